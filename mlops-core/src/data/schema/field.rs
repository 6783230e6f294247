//! One column of a schema.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::data::text::strings;
use crate::data::validate::Expectation;
use crate::data::{Column, DataType};

use super::range::{Length, Range, is_false};

/// One column of a [`Schema`](super::Schema): its type, and what its values are held to.
///
/// What a field says is an error where it does not hold. What shall only be a warning, or tolerate some failures, is a
/// [rule](super::Schema::with_rules) of the schema.
///
/// ```
/// use mlops_core::data::{DataType, Field, Range};
/// let age = Field::new("age", DataType::I64).with_range(Range::new(Some(0.0), Some(120.0))?);
/// assert!(!age.nullable);
/// let code = Field::new("icd", DataType::Category).with_pattern(r"[A-Z]\d\d(\.\d+)?").with_not_in(["serving"]);
/// assert!(!code.is_in("serving"));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// The column's name.
    pub name: String,
    /// The type of its values.
    pub data_type: DataType,
    /// Whether values may be missing.
    #[serde(default)]
    pub nullable: bool,
    /// Whether the column may be missing as a whole. Its constraints hold where it is there.
    #[serde(default, skip_serializing_if = "is_false")]
    pub optional: bool,
    /// The range its values lie in, where that is known; for numbers and times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Range>,
    /// The texts it may hold, where they are known; for categories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub levels: Option<Vec<String>>,
    /// The pattern that its texts match as a whole; for categories. See [`Rule::Matches`](crate::data::Rule::Matches).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// How many characters its texts have; for categories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<Length>,
    /// Whether NaN and the infinities are refused; for floats.
    #[serde(default, skip_serializing_if = "is_false")]
    pub finite: bool,
    /// Whether no value comes twice.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unique: bool,
    /// The environments in which the column is; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only_in: Vec<String>,
    /// The environments in which the column is not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_in: Vec<String>,
}

impl Field {
    /// A field without missing values and without limits.
    pub fn new(name: impl Into<String>, data_type: DataType) -> Self {
        Self {
            name: name.into(),
            data_type,
            nullable: false,
            optional: false,
            range: None,
            levels: None,
            pattern: None,
            length: None,
            finite: false,
            unique: false,
            only_in: Vec::new(),
            not_in: Vec::new(),
        }
    }

    /// Sets whether values may be missing.
    #[must_use]
    pub fn with_nullable(mut self, nullable: bool) -> Self {
        self.nullable = nullable;
        self
    }

    /// Sets whether the column may be missing as a whole.
    #[must_use]
    pub fn with_optional(mut self, optional: bool) -> Self {
        self.optional = optional;
        self
    }

    /// Sets the range.
    #[must_use]
    pub fn with_range(mut self, range: Range) -> Self {
        self.range = Some(range);
        self
    }

    /// Sets the texts allowed.
    #[must_use]
    pub fn with_levels<S: Into<String>>(mut self, levels: impl IntoIterator<Item = S>) -> Self {
        self.levels = Some(strings(levels));
        self
    }

    /// Sets the pattern.
    #[must_use]
    pub fn with_pattern(mut self, pattern: impl Into<String>) -> Self {
        self.pattern = Some(pattern.into());
        self
    }

    /// Sets how many characters texts have.
    #[must_use]
    pub fn with_length(mut self, length: Length) -> Self {
        self.length = Some(length);
        self
    }

    /// Sets whether NaN and the infinities are refused.
    #[must_use]
    pub fn with_finite(mut self, finite: bool) -> Self {
        self.finite = finite;
        self
    }

    /// Sets whether no value comes twice.
    #[must_use]
    pub fn with_unique(mut self, unique: bool) -> Self {
        self.unique = unique;
        self
    }

    /// Sets the environments in which the column is.
    #[must_use]
    pub fn with_only_in<S: Into<String>>(mut self, environments: impl IntoIterator<Item = S>) -> Self {
        self.only_in = strings(environments);
        self
    }

    /// Sets the environments in which the column is not.
    #[must_use]
    pub fn with_not_in<S: Into<String>>(mut self, environments: impl IntoIterator<Item = S>) -> Self {
        self.not_in = strings(environments);
        self
    }

    /// Whether the column is in an environment.
    pub fn is_in(&self, environment: &str) -> bool {
        crate::data::validate::holds_in(&self.only_in, &self.not_in, environment)
    }

    pub(super) fn infer(column: &Column<'_>) -> Self {
        Self::new(column.name(), column.data_type()).with_nullable(column.missing() > 0)
    }

    /// What is wrong with it: the key, and a sentence.
    pub(super) fn fault(&self) -> Option<(&'static str, String)> {
        // A column checks its name; what cannot be a column's name cannot be a field's.
        if let Err(error) = Column::f64(&self.name, Vec::new()) {
            return Some(("name", error.message().to_owned()));
        }
        let ordered = self.data_type.is_numeric() || self.data_type == DataType::Time;
        let text = self.data_type == DataType::Category;
        let float = matches!(self.data_type, DataType::F64 | DataType::F32);
        let only = |key, what: &str| Some((key, format!("only {what}")));
        if self.range.is_some() && !ordered {
            return only("range", "numbers and times have a range");
        }
        if self.levels.is_some() && !text {
            return only("levels", "categories have levels");
        }
        if self.pattern.is_some() && !text {
            return only("pattern", "categories have a pattern");
        }
        if self.length.is_some() && !text {
            return only("length", "categories have a length");
        }
        if self.finite && !float {
            return only("finite", "floats can be other than finite");
        }
        let mut seen = HashSet::new();
        if self.levels.as_ref().is_some_and(|l| l.is_empty() || !l.iter().all(|level| seen.insert(level))) {
            return Some(("levels", "the levels must be distinct, and at least one".to_owned()));
        }
        let pattern = self.pattern.as_ref().and_then(|p| Expectation::matches(&self.name, p).fault());
        pattern.or_else(|| {
            let both = self.only_in.iter().find(|name| self.not_in.contains(name))?;
            Some(("not_in", format!("`{}` is in `only_in` too", crate::error::quote(both))))
        })
    }
}
