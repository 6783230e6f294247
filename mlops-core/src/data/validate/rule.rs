//! What can be expected of a table.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::data::{DataType, Range};
use crate::error::{Error, Result};

use super::expectations::OP;
use super::pattern;
use super::statistic::Statistic;

/// The most rules that are checked together.
pub(super) const MAX_RULES: usize = 10_000;

/// The most quantiles of one set of expectations: each may take eight mebibytes.
pub(super) const MAX_QUANTILES: usize = 64;

/// How two values of a row compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// Less than.
    Lt,
    /// At most.
    Le,
    /// Equal to.
    Eq,
    /// Different from.
    Ne,
    /// At least.
    Ge,
    /// Greater than.
    Gt,
}

impl Comparison {
    /// As it is said: "the value is not …".
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Lt => "less than",
            Self::Le => "at most",
            Self::Eq => "equal to",
            Self::Ne => "different from",
            Self::Ge => "at least",
            Self::Gt => "greater than",
        }
    }

    /// Whether an order of two values keeps the comparison.
    pub(super) const fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Lt => order.is_lt(),
            Self::Le => order.is_le(),
            Self::Eq => order.is_eq(),
            Self::Ne => order.is_ne(),
            Self::Ge => order.is_ge(),
            Self::Gt => order.is_gt(),
        }
    }
}

/// What can be expected of a table.
///
/// Missing values are [`Rule::Present`]'s affair: every other rule on values looks at those that are there. NaN is a value.
///
/// | rules | about | a failure has |
/// |---|---|---|
/// | readable, present (without a share), within, within_time, one_of, not_one_of, matches, length, finite, unique, compare, foreign_key | rows | rows, and those rows are bad |
/// | present (with a share) | a column | rows, but none of them is bad for it |
/// | mean, sum, min, max, standard_deviation, quantile, distinct | a column | no rows |
/// | exists, type, not_constant, fresh, rows, no_other_columns, column_order, rows_ratio | the table | no rows |
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// The column is there.
    Exists {
        /// The column.
        column: String,
    },
    /// The column is there and has this type.
    Type {
        /// The column.
        column: String,
        /// Its type.
        data_type: DataType,
    },
    /// Every value could be read as one of its column's type. A value of a file that could not is missing for every other rule; see
    /// [`Validator::push_read`](super::Validator::push_read).
    Readable {
        /// The columns. None stands for what no other such rule names: all other columns, and rows that could not be read as a
        /// whole, because they have another number of fields than there are columns. Those are always bad, and no other rule looks
        /// at them.
        columns: Vec<String>,
    },
    /// A statistic of a column lies in a range; a column without values has none, and does not pass. One rule a statistic: `mean`,
    /// `sum`, `min`, `max`, `standard_deviation`, `quantile` (with a `share`), `distinct`.
    Aggregate {
        /// The column.
        column: String,
        /// The statistic.
        statistic: Statistic,
        /// The range.
        range: Range,
    },
    /// At most a share of the column's values is missing, and at least so many are there.
    Present {
        /// The column.
        column: String,
        /// The largest share allowed, in \[0, 1\]; 0 allows none, and then a row without a value is a bad row.
        max_missing: f64,
        /// The fewest values that must be there.
        min_count: u64,
    },
    /// Every value lies in a range. For numbers and times (in microseconds); NaN lies in no range. Integers are compared
    /// exactly, also beyond 2⁵³.
    Within {
        /// The column.
        column: String,
        /// The range.
        range: Range,
    },
    /// Every time lies between two moments, both included; a side that is not given is open.
    WithinTime {
        /// The column.
        column: String,
        /// The earliest moment allowed.
        from: Option<DateTime<Utc>>,
        /// The latest moment allowed.
        until: Option<DateTime<Utc>>,
    },
    /// Every value reads as one of these texts.
    OneOf {
        /// The column.
        column: String,
        /// The texts allowed.
        values: Vec<String>,
    },
    /// No value reads as one of these texts.
    NotOneOf {
        /// The column.
        column: String,
        /// The texts forbidden.
        values: Vec<String>,
    },
    /// Every value, as text, matches a pattern from its first to its last character. Syntax of the crate `regex`: no
    /// look-around, no back-references, and therefore linear time. `\d`, `\w` and `\s` are Unicode's.
    Matches {
        /// The column.
        column: String,
        /// The pattern; at most 1000 bytes, one mebibyte when compiled.
        pattern: String,
    },
    /// Every text has so many characters (Unicode scalar values).
    Length {
        /// The column, of categories.
        column: String,
        /// The fewest characters.
        min: u64,
        /// The most characters.
        max: Option<u64>,
    },
    /// No value is NaN or infinite.
    Finite {
        /// The column.
        column: String,
    },
    /// At least two different values.
    NotConstant {
        /// The column.
        column: String,
    },
    /// No two rows are equal in all of these columns: every row that repeats an earlier one is bad. A row with a missing value
    /// among them equals no other, as in SQL.
    Unique {
        /// The columns, together the key.
        columns: Vec<String>,
    },
    /// In every row one column compares with another: two numbers, two times, or (equal and different only) two texts or truth
    /// values. A row where one is missing is not looked at; a NaN compares with nothing.
    Compare {
        /// The left column.
        column: String,
        /// How it compares.
        is: Comparison,
        /// The right column.
        other: String,
    },
    /// The number of rows.
    Rows {
        /// The smallest number allowed.
        min: usize,
        /// The largest number allowed.
        max: Option<usize>,
    },
    /// There are no columns but these.
    NoOtherColumns {
        /// The columns allowed.
        columns: Vec<String>,
    },
    /// Those of these columns that are there stand in this order, whatever stands between them.
    ColumnOrder {
        /// The columns, in order.
        columns: Vec<String>,
    },
    /// The newest time of a column is not older than `max_age` before
    /// [`ValidateOptions::now`](super::ValidateOptions::now), and not after it.
    Fresh {
        /// The column, of times.
        column: String,
        /// The greatest age.
        max_age: Duration,
    },
    /// Every key is found in another table, which is given to [`Validator::add_reference`](super::Validator::add_reference). A
    /// row with a missing value in the key is not looked at, as in SQL.
    ForeignKey {
        /// The columns, together the key.
        columns: Vec<String>,
        /// The name of the other table.
        table: String,
        /// The columns of the other table, in the same order.
        references: Vec<String>,
    },
    /// The number of rows divided by that of another table.
    RowsRatio {
        /// The name of the other table.
        table: String,
        /// The range of the quotient.
        range: Range,
    },
}

impl Rule {
    /// The rule's name, as it is serialised.
    ///
    /// ```
    /// use mlops_core::data::Rule;
    /// assert_eq!(Rule::Finite { column: "age".into() }.name(), "finite");
    /// ```
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Exists { .. } => "exists",
            Self::Type { .. } => "type",
            Self::Present { .. } => "present",
            Self::Within { .. } => "within",
            Self::WithinTime { .. } => "within_time",
            Self::OneOf { .. } => "one_of",
            Self::NotOneOf { .. } => "not_one_of",
            Self::Matches { .. } => "matches",
            Self::Length { .. } => "length",
            Self::Finite { .. } => "finite",
            Self::NotConstant { .. } => "not_constant",
            Self::Unique { .. } => "unique",
            Self::Compare { .. } => "compare",
            Self::Rows { .. } => "rows",
            Self::NoOtherColumns { .. } => "no_other_columns",
            Self::ColumnOrder { .. } => "column_order",
            Self::Fresh { .. } => "fresh",
            Self::ForeignKey { .. } => "foreign_key",
            Self::RowsRatio { .. } => "rows_ratio",
            Self::Readable { .. } => "readable",
            Self::Aggregate { statistic, .. } => statistic.name(),
        }
    }

    /// The columns the rule is about; none for a rule about the table.
    pub fn columns(&self) -> &[String] {
        match self {
            Self::Exists { column }
            | Self::Type { column, .. }
            | Self::Present { column, .. }
            | Self::Within { column, .. }
            | Self::WithinTime { column, .. }
            | Self::OneOf { column, .. }
            | Self::NotOneOf { column, .. }
            | Self::Matches { column, .. }
            | Self::Length { column, .. }
            | Self::Finite { column }
            | Self::NotConstant { column }
            | Self::Fresh { column, .. }
            | Self::Aggregate { column, .. }
            | Self::Compare { column, .. } => std::slice::from_ref(column),
            Self::Unique { columns } | Self::ForeignKey { columns, .. } | Self::Readable { columns } => {
                columns
            }
            Self::Rows { .. }
            | Self::NoOtherColumns { .. }
            | Self::ColumnOrder { .. }
            | Self::RowsRatio { .. } => &[],
        }
    }

    /// Every column that must be there for the rule to be checked.
    pub(super) fn needs(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.columns().iter().map(String::as_str).collect();
        if let Self::Compare { other, .. } = self {
            names.push(other);
        }
        names
    }

    /// Whether a failure is a failure of rows.
    ///
    /// ```
    /// use mlops_core::data::Rule;
    /// assert!(Rule::Finite { column: "age".into() }.is_about_rows());
    /// assert!(!Rule::Rows { min: 1, max: None }.is_about_rows());
    /// ```
    pub fn is_about_rows(&self) -> bool {
        match self {
            Self::Present { max_missing, .. } => *max_missing == 0.0,
            Self::Within { .. }
            | Self::WithinTime { .. }
            | Self::OneOf { .. }
            | Self::NotOneOf { .. }
            | Self::Matches { .. }
            | Self::Length { .. }
            | Self::Finite { .. }
            | Self::Unique { .. }
            | Self::Compare { .. }
            | Self::ForeignKey { .. }
            | Self::Readable { .. } => true,
            _ => false,
        }
    }

    /// What is wrong with the rule itself: the key, and a sentence.
    pub(super) fn fault(&self) -> Option<(&'static str, String)> {
        let empty = |values: &[String]| values.is_empty().then(|| "must not be empty".to_owned());
        match self {
            Self::Present { max_missing, .. } if !(0.0..=1.0).contains(max_missing) => {
                Some(("max_missing", format!("must lie in [0, 1], got {max_missing}")))
            }
            Self::OneOf { values, .. } | Self::NotOneOf { values, .. } => {
                empty(values).map(|message| ("values", message))
            }
            Self::Unique { columns } | Self::NoOtherColumns { columns } | Self::ColumnOrder { columns } => {
                empty(columns).map(|message| ("columns", message))
            }
            Self::ForeignKey { columns, references, .. } => {
                let unequal = || {
                    let message = format!("has {} columns, the key has {}", references.len(), columns.len());
                    (references.len() != columns.len()).then_some(("references", message))
                };
                empty(columns).map(|message| ("columns", message)).or_else(unequal)
            }
            Self::Rows { min, max: Some(max) } if min > max => {
                Some(("min", format!("must not be above the maximum: {min} > {max}")))
            }
            Self::Length { min, max: Some(max), .. } if min > max => {
                Some(("min", format!("must not be above the maximum: {min} > {max}")))
            }
            Self::WithinTime { from: None, until: None, .. } => {
                Some(("from", "one of `from` and `until` must be given".to_owned()))
            }
            Self::WithinTime { from: Some(from), until: Some(until), .. } if from > until => {
                Some(("from", format!("must not be after `until`: {from} > {until}")))
            }
            Self::Compare { column, other, .. } if column == other => {
                Some(("other", "must be another column".to_owned()))
            }
            Self::Aggregate { statistic, .. } => statistic.fault(),
            Self::Matches { pattern, .. } => pattern::fault(pattern).map(|message| ("pattern", message)),
            _ => None,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        match self.fault() {
            None => Ok(()),
            Some((field, message)) => Err(Error::invalid(OP, field, message).with("rule", self.name())),
        }
    }
}
