//! Alert rules in files.

use std::path::Path;

use super::AlertRules;
use super::rules::RulesWire;
use crate::config::{self, Document, Format as AlertFormat};
use crate::error::Result;

const READ: &str = "AlertRules::read";
const PARSE: &str = "AlertRules::parse";

impl AlertRules {
    /// Reads rules from a file of at most one mebibyte, in the format of its extension.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and what the file system refuses.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = config::read(READ, path)?;
        parse(READ, &path.display().to_string(), &text, AlertFormat::of(path))
    }

    /// Reads rules from a text.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) with the context `file`, `line`, `column`, `field` and, in a rule
    /// or a route, its `id`; [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for a text of more than one mebibyte.
    ///
    /// ```
    /// use mlops_core::monitor::alerting::{AlertFormat, AlertRules};
    /// let text = r#"
    /// name = "diabetes"
    /// [[rules]]
    /// id = "errors"
    /// signal = "error_rate"
    /// above = 0.05
    /// recovery = 0.5
    /// [[routes]]
    /// id = "everything"
    /// sinks = ["inbox"]
    /// "#;
    /// let error = AlertRules::parse(text, AlertFormat::Toml).unwrap_err();
    /// assert_eq!((error.context("id"), error.context("line")), (Some("errors"), Some("7")));
    /// assert_eq!(error.message(), "must be at most 0.05, got 0.5");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn parse(text: &str, format: AlertFormat) -> Result<Self> {
        parse(PARSE, "text", text, format)
    }
}

fn parse(operation: &'static str, file: &str, text: &str, format: AlertFormat) -> Result<AlertRules> {
    let document = Document::new(operation, file, text, format)?;
    let wire: RulesWire = document.parse(Some("rules"))?;
    wire.check().map_err(|wrong| match wrong.entry {
        Some((place, id)) => {
            let offset = document.offset_within(wrong.list, place, &[wrong.key]);
            document.error(wrong.key, offset, wrong.message).with("id", id)
        }
        None => document.error(wrong.key, document.offset(&[wrong.list]), wrong.message),
    })?;
    Ok(AlertRules::checked(wire))
}
