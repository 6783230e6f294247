//! Tags of any resource, resource group or subscription.
//!
//! Source: the API of `Microsoft.Resources/tags`, version [`VERSION`].

use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::arm_scope::{ArmAt, ArmScope};
use super::quiet::Members;
use super::resource::{Properties, Resource};
use super::text::TextMap;

/// The version of the API of tags that is spoken.
pub const VERSION: &str = "2025-04-01";

open_enum! {
    /// What becomes of the tags that are there.
    pub enum TagOperation {
        /// They stay; those of the same name get the new value.
        Merge = "Merge",
        /// They go.
        Replace = "Replace",
        /// Those that are named, with the same value, go; the others stay.
        Delete = "Delete",
    }
}

/// The tags of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tags {
    /// Each.
    pub tags: TextMap,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl Properties for Tags {
    const READ_ONLY: &'static [&'static str] = &[];
}

/// A change of tags.
///
/// ```
/// use mlops_azure::wire::TextMap;
/// use mlops_azure::wire::tags::{TagOperation, TagPatch};
/// let patch = TagPatch::new(TagOperation::Merge, TextMap::from_iter([("environment", "dev")]))?;
/// assert_eq!(serde_json::to_string(&patch)?, r#"{"operation":"Merge","properties":{"tags":{"environment":"dev"}}}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TagPatch {
    operation: TagOperation,
    properties: Inner,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Inner {
    tags: TextMap,
}

impl TagPatch {
    /// A change.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) that names the tag: at most 50, with names of 1 to 512
    /// characters without `<>%&\?/` and values of at most 256.
    pub fn new(operation: TagOperation, tags: TextMap) -> Result<Self> {
        const OP: &str = "TagPatch::new";
        if tags.0.len() > 50 {
            return Err(Error::limit(OP, "the number of tags", 50, tags.0.len()));
        }
        for (name, value) in &tags.0 {
            let bad = |reason| Err(Error::invalid(OP, "tags", reason).with("tag", name));
            if !(1..=512).contains(&name.chars().count())
                || name.contains(['<', '>', '%', '&', '\\', '?', '/'])
            {
                return bad("a name has 1 to 512 characters, none of <>%&\\?/");
            }
            if value.chars().count() > 256 {
                return bad("a value has at most 256 characters");
            }
        }
        Ok(Self { operation, properties: Inner { tags } })
    }
}

/// The tags of a scope.
///
/// # Errors
/// None in practice: what is below the scope is written here.
pub fn tags(scope: &ArmScope) -> Result<ArmAt<Resource<Tags>>> {
    scope.at(&["providers", "Microsoft.Resources", "tags", "default"], VERSION)
}
