//! Schemas as files.

use std::path::Path;

use crate::config::{self, Document, Format as SchemaFormat};
use crate::data::validate::Wire;
use crate::error::{Error, Result};

use super::{Schema, SchemaWire};

impl Schema {
    /// Reads a schema from text.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) with the context `field` (the key), `line` and `column`: an unknown
    /// key, one that comes twice, is missing or does not belong to its rule, and all that [`Schema::new`] and
    /// [`Schema::with_rules`] refuse. [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for more than 1 MiB, 10 000 rules or
    /// 256 patterns. [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for YAML without the feature.
    ///
    /// ```
    /// use mlops_core::data::{Schema, SchemaFormat};
    ///
    /// let text = "[[fields]]\nname = \"age\"\ndata_type = \"i64\"\nrange = { min = 0 }\n";
    /// let schema = Schema::from_text(text, SchemaFormat::Toml)?;
    /// assert_eq!(Schema::from_text(&schema.to_text(SchemaFormat::Json)?, SchemaFormat::Json)?, schema);
    ///
    /// let error = Schema::from_text(&text.replace("range", "rnage"), SchemaFormat::Toml).unwrap_err();
    /// assert_eq!((error.context("field"), error.context("line")), (Some("rnage"), Some("4")));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn from_text(text: &str, format: SchemaFormat) -> Result<Self> {
        Self::read("Schema::from_text", "(text)", text, format)
    }

    /// Reads a schema from a file: JSON from `.json`, YAML from `.yaml` and `.yml`, TOML from any other.
    ///
    /// # Errors
    /// As [`Schema::from_text`], with the context `file`; [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) or
    /// [`ErrorKind::Storage`](crate::ErrorKind::Storage) when the file cannot be read.
    ///
    /// ```
    /// use mlops_core::{ErrorKind, data::Schema};
    /// assert_eq!(Schema::from_file("no-such-schema.toml").unwrap_err().kind(), ErrorKind::NotFound);
    /// ```
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        const OP: &str = "Schema::from_file";
        let path = path.as_ref();
        let text = config::read(OP, path)?;
        Self::read(OP, &path.display().to_string(), &text, SchemaFormat::of(path))
    }

    fn read(operation: &'static str, file: &str, text: &str, format: SchemaFormat) -> Result<Self> {
        let document = Document::new(operation, file, text, format)?;
        let file_wire: SchemaWire<Wire> = document.parse(Some("rules"))?;
        let SchemaWire { environments, extra_columns, ordered, fields, rules: written } = file_wire;
        let mut rules = Vec::with_capacity(written.len());
        for (place, rule) in written.into_iter().enumerate() {
            let at = |(key, message): (&'static str, String)| {
                document.error(key, document.offset_in("rules", place, key), message)
            };
            rules.push(rule.expectation().map_err(at)?);
        }
        let wire = SchemaWire { environments, extra_columns, ordered, fields, rules };
        let Some(fault) = wire.fault() else {
            // What is left are limits on the whole, which have no place.
            return Self::try_from(wire).map_err(|e| e.with("file", file));
        };
        let Some(place) = fault.place else {
            return Err(document.error(fault.key, document.offset(&[fault.list]), fault.message));
        };
        let error =
            document.error(fault.key, document.offset_in(fault.list, place, fault.key), fault.message);
        Err(match wire.fields.get(place).filter(|_| fault.list == "fields") {
            Some(field) => error.with("name", &field.name),
            None => error,
        })
    }

    /// The schema as text that [`Schema::from_text`] reads back the same.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for YAML: write JSON, which YAML contains.
    pub fn to_text(&self, format: SchemaFormat) -> Result<String> {
        const OP: &str = "Schema::to_text";
        let internal = |source: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(crate::ErrorKind::Internal, OP, "a schema cannot be written").with_source(source)
        };
        match format {
            SchemaFormat::Toml => toml::to_string(self).map_err(|e| internal(e.into())),
            SchemaFormat::Json => serde_json::to_string_pretty(self).map_err(|e| internal(e.into())),
            SchemaFormat::Yaml => Err(Error::unsupported(OP, "writing YAML")),
        }
    }
}
