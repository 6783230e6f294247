//! Search spaces in files.

use std::path::Path;

use super::search_space::SearchSpace;
use crate::config::{self, Document, Format as SpaceFormat};
use crate::error::Result;

impl SearchSpace {
    /// Reads a space from TOML: a table for each parameter, with its `type` and the fields of the [`Distribution`](super::Distribution)
    /// of that name; a plain value is a parameter that does not vary.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) with `field`, `line` and `column`: no TOML, an unknown key or
    /// word with the nearest known one, a key that comes twice, a value of another type, and whatever [`SearchSpace::new`]
    /// refuses. [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for more than 1 MiB.
    ///
    /// ```
    /// use mlops_core::experiment::space::SearchSpace;
    ///
    /// let space = SearchSpace::from_toml(
    ///     r#"
    ///     rate = { type = "float", low = 1e-5, high = 0.1, log = true }
    ///     depth = { type = "int", low = 2, high = 10 }
    ///
    ///     [model]
    ///     type = "choice"
    ///     values = [
    ///         "linear",
    ///         { kind = "forest", trees = { type = "int", low = 10, high = 500, log = true } },
    ///     ]
    ///     "#,
    /// )?;
    /// assert_eq!(space.paths(), ["depth", "model", "model.kind", "model.trees", "rate"]);
    ///
    /// let error = SearchSpace::from_toml("rate = { type = \"float\", low = 1, high = 0 }").unwrap_err();
    /// assert_eq!(error.message(), "`rate`: `low` is 1.0, which must be below `high`, 0.0");
    /// assert_eq!((error.context("field"), error.context("line")), (Some("rate"), Some("1")));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn from_toml(text: &str) -> Result<Self> {
        Self::read("SearchSpace::from_toml", "(text)", text, SpaceFormat::Toml)
    }

    /// Reads a space from JSON, with the same keys as in TOML.
    ///
    /// # Errors
    /// As [`from_toml`](Self::from_toml).
    ///
    /// ```
    /// use mlops_core::experiment::space::SearchSpace;
    /// let space = SearchSpace::from_json(r#"{"x": {"type": "uniform", "min": 0, "max": 1}}"#)?;
    /// assert_eq!(serde_json::to_string(&space)?, r#"{"x":{"type":"uniform","min":0.0,"max":1.0}}"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_json(text: &str) -> Result<Self> {
        Self::read("SearchSpace::from_json", "(text)", text, SpaceFormat::Json)
    }

    /// Reads a space from YAML, with the same keys as in TOML. For Azure's keys there is
    /// [`from_azure_yaml`](Self::from_azure_yaml).
    ///
    /// # Errors
    /// As [`from_toml`](Self::from_toml).
    #[cfg(feature = "yaml")]
    pub fn from_yaml(text: &str) -> Result<Self> {
        Self::read("SearchSpace::from_yaml", "(text)", text, SpaceFormat::Yaml)
    }

    /// Reads a space from a text in a format.
    ///
    /// # Errors
    /// As [`from_toml`](Self::from_toml); [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for YAML without the feature
    /// `yaml`.
    ///
    /// ```
    /// use mlops_core::experiment::space::{SearchSpace, SpaceFormat};
    /// let toml = SearchSpace::from_text("x = { type = \"uniform\", min = 0, max = 1 }", SpaceFormat::Toml)?;
    /// let json = serde_json::to_string(&toml)?;
    /// assert_eq!(SearchSpace::from_text(&json, SpaceFormat::Json)?, toml);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_text(text: &str, format: SpaceFormat) -> Result<Self> {
        Self::read("SearchSpace::from_text", "(text)", text, format)
    }

    /// Reads a space from a file: JSON from `.json`, YAML from `.yaml` and `.yml`, TOML from any other.
    ///
    /// # Errors
    /// As [`from_text`](Self::from_text), with the context `file`; [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) or
    /// [`ErrorKind::Storage`](crate::ErrorKind::Storage) when the file cannot be read.
    ///
    /// ```
    /// use mlops_core::ErrorKind;
    /// use mlops_core::experiment::space::SearchSpace;
    /// assert_eq!(SearchSpace::from_file("no-such-space.toml").unwrap_err().kind(), ErrorKind::NotFound);
    /// ```
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        const OP: &str = "SearchSpace::from_file";
        let path = path.as_ref();
        let text = config::read(OP, path)?;
        Self::read(OP, &path.display().to_string(), &text, SpaceFormat::of(path))
    }

    fn read(operation: &'static str, file: &str, text: &str, format: SpaceFormat) -> Result<Self> {
        Document::new(operation, file, text, format)?.parse(None)
    }
}
