//! In which formats a gate can be written.

use std::path::Path;

use crate::config::Syntax;
use crate::error::{Error, Result};

/// A format in which a gate can be written. The keys and words are the same in all; `schemas/gate.schema.json` describes
/// them.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GateFormat {
    /// TOML; the default.
    #[default]
    Toml,
    /// JSON.
    Json,
    /// YAML, with the feature `yaml`.
    Yaml,
}

impl GateFormat {
    /// The format that a file's extension speaks of; TOML for any that is not known.
    ///
    /// ```
    /// use mlops_core::evaluation::GateFormat;
    /// assert_eq!(GateFormat::of("release.gate.yml"), GateFormat::Yaml);
    /// assert_eq!(GateFormat::of("gate"), GateFormat::Toml);
    /// ```
    pub fn of(path: impl AsRef<Path>) -> Self {
        let extension = path.as_ref().extension().and_then(|e| e.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "json" => Self::Json,
            "yaml" | "yml" => Self::Yaml,
            _ => Self::Toml,
        }
    }

    /// How the text is read.
    pub(super) fn syntax(self, operation: &'static str) -> Result<Syntax> {
        match self {
            Self::Toml => Ok(Syntax::Toml),
            Self::Json => Ok(Syntax::Json),
            Self::Yaml if cfg!(feature = "yaml") => Ok(Syntax::Yaml),
            Self::Yaml => Err(Error::unsupported(operation, "YAML, without the feature `yaml`")),
        }
    }
}
