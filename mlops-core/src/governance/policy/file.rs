//! In which formats policies and plans can be written.

use std::path::Path;

use crate::config::{Document, Syntax};
use crate::error::{Error, Result};

/// A format in which a policy or a plan can be written. The keys and words are the same in all.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PolicyFormat {
    /// TOML; the default.
    #[default]
    Toml,
    /// JSON.
    Json,
    /// YAML, with the feature `yaml`.
    Yaml,
}

impl PolicyFormat {
    /// The format that a file's extension speaks of; TOML for any that is not known.
    ///
    /// ```
    /// use mlops_core::governance::policy::PolicyFormat;
    /// assert_eq!(PolicyFormat::of("platform.policy.yaml"), PolicyFormat::Yaml);
    /// assert_eq!(PolicyFormat::of("platform"), PolicyFormat::Toml);
    /// ```
    pub fn of(path: impl AsRef<Path>) -> Self {
        let extension = path.as_ref().extension().and_then(|e| e.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "json" => Self::Json,
            "yaml" | "yml" => Self::Yaml,
            _ => Self::Toml,
        }
    }
}

pub(super) fn document<'a>(
    operation: &'static str,
    name: &'a str,
    text: &'a str,
    format: PolicyFormat,
) -> Result<Document<'a>> {
    let syntax = match format {
        PolicyFormat::Toml => Syntax::Toml,
        PolicyFormat::Json => Syntax::Json,
        PolicyFormat::Yaml if cfg!(feature = "yaml") => Syntax::Yaml,
        PolicyFormat::Yaml => return Err(Error::unsupported(operation, "YAML, without the feature `yaml`")),
    };
    Document::new(operation, name, text, syntax)
}
