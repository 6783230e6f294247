//! How engines spell the same statement.

use std::fmt::Write as _;

use mlops_core::data::DataType;
use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// The language of an engine.
///
/// All of them count alike because the arithmetic is that of IEEE 754 doubles, and all constants are written with an exponent:
/// engines that read `0.1` as a decimal read `1e-1` as a double.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Apache DataFusion, and engines near to standard SQL that have `isnan`.
    DataFusion,
    /// DuckDB.
    DuckDb,
    /// Apache Spark 3 and later, Databricks.
    Spark,
    /// SQL Server, Azure SQL, Synapse and Fabric. Its floats are never NaN nor infinite.
    TSql,
    /// Google BigQuery.
    BigQuery,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 5] = [Self::DataFusion, Self::DuckDb, Self::Spark, Self::TSql, Self::BigQuery];

    /// A name as a quoted identifier: whatever is in it stays a name.
    ///
    /// # Errors
    /// [`InvalidInput`](mlops_core::ErrorKind::InvalidInput) for an empty name and for one with a NUL character, which engines
    /// cut off at.
    ///
    /// ```
    /// use mlops_drift::sql::Dialect;
    ///
    /// assert_eq!(Dialect::DuckDb.identifier(r#"a"b"#)?, r#""a""b""#);
    /// assert_eq!(Dialect::Spark.identifier("a`b")?, "`a``b`");
    /// assert_eq!(Dialect::TSql.identifier("a]b")?, "[a]]b]");
    /// assert_eq!(Dialect::BigQuery.identifier("a`b\\c")?, r"`a\`b\\c`");
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn identifier(self, name: &str) -> Result<String> {
        if name.is_empty() || name.contains('\0') {
            return Err(Error::invalid("Dialect::identifier", "name", "must not be empty nor contain NUL"));
        }
        Ok(match self {
            Self::DataFusion | Self::DuckDb => format!("\"{}\"", name.replace('"', "\"\"")),
            Self::Spark => format!("`{}`", name.replace('`', "``")),
            Self::TSql => format!("[{}]", name.replace(']', "]]")),
            Self::BigQuery => format!("`{}`", backslashed(name, '`')),
        })
    }

    /// A text as a literal: whatever is in it stays text. For filters and paths that callers write themselves.
    ///
    /// # Errors
    /// [`InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a text with a NUL character.
    ///
    /// ```
    /// use mlops_drift::sql::Dialect;
    ///
    /// assert_eq!(Dialect::DuckDb.literal("it's")?, "'it''s'");
    /// assert_eq!(Dialect::Spark.literal(r"it's \n")?, r"'it\'s \\n'");
    /// assert_eq!(Dialect::TSql.literal("it's")?, "N'it''s'");
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn literal(self, text: &str) -> Result<String> {
        if text.contains('\0') {
            return Err(Error::invalid("Dialect::literal", "text", "must not contain NUL"));
        }
        Ok(match self {
            Self::DataFusion | Self::DuckDb => format!("'{}'", text.replace('\'', "''")),
            Self::TSql => format!("N'{}'", text.replace('\'', "''")),
            Self::Spark | Self::BigQuery => format!("'{}'", backslashed(text, '\'')),
        })
    }

    /// A finite number as a double that every parser reads back to the bit.
    pub(super) fn number(self, value: f64) -> String {
        match self {
            // Without the letter, old settings of Spark read a decimal.
            Self::Spark => format!("{value:e}D"),
            _ => format!("{value:e}"),
        }
    }

    pub(super) const fn double(self) -> &'static str {
        match self {
            Self::DataFusion | Self::DuckDb | Self::Spark => "DOUBLE",
            Self::TSql => "FLOAT(53)",
            Self::BigQuery => "FLOAT64",
        }
    }

    pub(super) const fn integer(self) -> &'static str {
        match self {
            Self::BigQuery => "INT64",
            _ => "INT",
        }
    }

    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::DataFusion | Self::DuckDb => "VARCHAR",
            Self::Spark | Self::BigQuery => "STRING",
            Self::TSql => "NVARCHAR(MAX)",
        }
    }

    pub(super) const fn count(self) -> &'static str {
        match self {
            Self::TSql => "COUNT_BIG(*)",
            _ => "COUNT(*)",
        }
    }

    /// Whether a double is NaN; `None` where it cannot be.
    pub(super) fn is_nan(self, x: &str) -> Option<String> {
        match self {
            Self::DataFusion | Self::DuckDb | Self::Spark => Some(format!("isnan({x})")),
            Self::BigQuery => Some(format!("IS_NAN({x})")),
            Self::TSql => None,
        }
    }

    /// A column as a double.
    pub(super) fn as_double(self, column: &str, data_type: DataType) -> String {
        match (self, data_type) {
            (Self::DataFusion | Self::DuckDb | Self::Spark | Self::BigQuery, DataType::Bool) => {
                let (one, zero) = (self.number(1.0), self.number(0.0));
                format!("CASE WHEN {column} THEN {one} WHEN NOT {column} THEN {zero} END")
            }
            _ => format!("CAST({column} AS {})", self.double()),
        }
    }

    /// x < low. DataFusion orders −0.0 before 0.0, so below 0 is there what is at most the largest negative number.
    pub(super) fn below(self, x: &str, low: f64) -> String {
        if low == 0.0 && self == Self::DataFusion {
            return format!("{x} <= {}", self.number(-f64::from_bits(1)));
        }
        format!("{x} < {}", self.number(low))
    }
}

/// Backslash escapes for a quote, backslashes and what would end or garble a line.
fn backslashed(text: &str, quote: char) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            // Writing to a string cannot fail.
            c => drop(out.write_char(c)),
        }
        out
    })
}
