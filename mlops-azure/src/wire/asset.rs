//! The containers of versions, and code.

use serde::{Deserialize, Serialize};

use super::data::DataType;
use super::quiet::{Members, Text};
use super::resource::Properties;
use super::text::TextMap;

/// The container of an asset's versions: data, model, environment, component or code under one name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// What all versions of a data asset are; nothing for other assets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_type: Option<DataType>,
    /// What it is, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Text>,
    /// Whether it is hidden from lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_archived: Option<bool>,
    /// The newest version; read only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_version: Option<String>,
    /// The number that the next version should have; read only, and not reserved for whoever reads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_version: Option<String>,
    /// Tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<TextMap>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl Properties for Container {
    const READ_ONLY: &'static [&'static str] = &["latestVersion", "nextVersion", "provisioningState"];
}

/// A folder of code in a datastore.
///
/// ```
/// use mlops_azure::wire::{CodeVersion, Resource};
/// let code = CodeVersion::new("https://sa.blob.core.windows.net/c/LocalUpload/x/src", "ab");
/// let body = Resource::new(code).body()?;
/// assert_eq!(body["properties"]["properties"]["hash_version"], "202208");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CodeVersion {
    /// Where it is: an `https` address of a blob.
    pub code_uri: Text,
    /// Whether nobody gave it a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_anonymous: Option<bool>,
    /// What is found again by `hash` and `hashVersion` in a list's query.
    #[serde(default, skip_serializing_if = "TextMap::is_empty")]
    pub properties: TextMap,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl CodeVersion {
    /// The version of the hash that `azure-ai-ml` writes and asks for.
    pub const HASH_VERSION: &'static str = "202208";

    /// Code without a name, with the digest of its content.
    pub fn new(code_uri: impl Into<String>, hash_sha256: impl Into<String>) -> Self {
        let properties = [
            ("hash_sha256".to_owned(), hash_sha256.into()),
            ("hash_version".to_owned(), Self::HASH_VERSION.to_owned()),
        ];
        Self {
            code_uri: Text(code_uri.into()),
            is_anonymous: Some(true),
            properties: properties.into_iter().collect(),
            other: Members::new(),
        }
    }
}

impl Properties for CodeVersion {
    const READ_ONLY: &'static [&'static str] = &["provisioningState"];
}
