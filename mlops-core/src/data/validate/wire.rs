//! An expectation as it is written: one flat table, so that an error knows at which key it is.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};

use crate::data::{DataType, Range};
use crate::time::duration_text;

use super::expectation::{Expectation, Severity, Threshold};
use super::rule::{Comparison, Rule};
use super::statistic::Statistic;

/// A value that is given: a null is none.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Name {
    Exists,
    Type,
    Present,
    Within,
    WithinTime,
    OneOf,
    NotOneOf,
    Matches,
    Length,
    Finite,
    NotConstant,
    Unique,
    Compare,
    Rows,
    NoOtherColumns,
    ColumnOrder,
    Fresh,
    ForeignKey,
    RowsRatio,
    Readable,
    Mean,
    Sum,
    Min,
    Max,
    StandardDeviation,
    Quantile,
    Distinct,
}

macro_rules! wire {
    ($($key:ident: $type:ty),+ $(,)?) => {
        /// Every key an expectation can have; those after `rule` belong to some rules only.
        #[derive(Debug, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(in crate::data) struct Wire {
            #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
            id: Option<String>,
            rule: Name,
            $(
                #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
                $key: Option<$type>,
            )+
            #[serde(default)]
            severity: Severity,
            #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
            max_failed: Option<u64>,
            #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
            max_fraction: Option<f64>,
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            escalations: Vec<Threshold>,
            #[serde(default, skip_serializing_if = "is_false")]
            if_present: bool,
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            only_in: Vec<String>,
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            not_in: Vec<String>,
        }

        impl Wire {
            fn new(rule: Name) -> Self {
                Self {
                    id: None,
                    rule,
                    $($key: None,)+
                    severity: Severity::Error,
                    max_failed: None,
                    max_fraction: None,
                    escalations: Vec::new(),
                    if_present: false,
                    only_in: Vec::new(),
                    not_in: Vec::new(),
                }
            }

            /// A key that the rule has no use for.
            fn surplus(&self) -> Option<&'static str> {
                [$((stringify!($key), self.$key.is_some())),+].into_iter().find(|(_, there)| *there).map(|(key, _)| key)
            }
        }
    };
}

wire! {
    column: String,
    columns: Vec<String>,
    data_type: DataType,
    max_missing: f64,
    min_count: u64,
    range: Range,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    values: Vec<String>,
    pattern: String,
    min: u64,
    max: u64,
    is: Comparison,
    other: String,
    max_age: Age,
    table: String,
    references: Vec<String>,
    share: f64,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct Age(#[serde(with = "duration_text")] std::time::Duration);

/// What is wrong with a rule: the key, and a sentence.
pub(in crate::data) type RuleFault = (&'static str, String);

fn need<T>(key: &'static str, value: Option<T>) -> Result<T, RuleFault> {
    value.ok_or_else(|| (key, format!("the key `{key}` is missing")))
}

fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

impl Wire {
    /// The rule, and what is left of the keys.
    fn rule(&mut self) -> Result<Rule, RuleFault> {
        let column = |wire: &mut Self| need("column", wire.column.take());
        let columns = |wire: &mut Self| need("columns", wire.columns.take());
        let aggregate = |wire: &mut Self, statistic| {
            let range = need("range", wire.range.take())?;
            Ok(Rule::Aggregate { column: need("column", wire.column.take())?, statistic, range })
        };
        Ok(match self.rule {
            Name::Exists => Rule::Exists { column: column(self)? },
            Name::Type => {
                Rule::Type { column: column(self)?, data_type: need("data_type", self.data_type.take())? }
            }
            Name::Present => Rule::Present {
                column: column(self)?,
                max_missing: self.max_missing.take().unwrap_or(0.0),
                min_count: self.min_count.take().unwrap_or(0),
            },
            Name::Within => Rule::Within { column: column(self)?, range: need("range", self.range.take())? },
            Name::WithinTime => {
                Rule::WithinTime { column: column(self)?, from: self.from.take(), until: self.until.take() }
            }
            Name::OneOf => Rule::OneOf { column: column(self)?, values: need("values", self.values.take())? },
            Name::NotOneOf => {
                Rule::NotOneOf { column: column(self)?, values: need("values", self.values.take())? }
            }
            Name::Matches => {
                Rule::Matches { column: column(self)?, pattern: need("pattern", self.pattern.take())? }
            }
            Name::Length => Rule::Length {
                column: column(self)?,
                min: self.min.take().unwrap_or(0),
                max: self.max.take(),
            },
            Name::Finite => Rule::Finite { column: column(self)? },
            Name::NotConstant => Rule::NotConstant { column: column(self)? },
            Name::Unique => Rule::Unique { columns: columns(self)? },
            Name::Compare => Rule::Compare {
                column: column(self)?,
                is: need("is", self.is.take())?,
                other: need("other", self.other.take())?,
            },
            Name::Rows => {
                Rule::Rows { min: size(self.min.take().unwrap_or(0)), max: self.max.take().map(size) }
            }
            Name::NoOtherColumns => Rule::NoOtherColumns { columns: columns(self)? },
            Name::ColumnOrder => Rule::ColumnOrder { columns: columns(self)? },
            Name::Fresh => {
                let Age(max_age) = need("max_age", self.max_age.take())?;
                Rule::Fresh { column: column(self)?, max_age }
            }
            Name::ForeignKey => {
                let columns = columns(self)?;
                let references = self.references.take().unwrap_or_else(|| columns.clone());
                Rule::ForeignKey { columns, table: need("table", self.table.take())?, references }
            }
            Name::RowsRatio => Rule::RowsRatio {
                table: need("table", self.table.take())?,
                range: need("range", self.range.take())?,
            },
            Name::Readable => Rule::Readable { columns: self.columns.take().unwrap_or_default() },
            Name::Mean => aggregate(self, Statistic::Mean)?,
            Name::Sum => aggregate(self, Statistic::Sum)?,
            Name::Min => aggregate(self, Statistic::Min)?,
            Name::Max => aggregate(self, Statistic::Max)?,
            Name::StandardDeviation => aggregate(self, Statistic::StandardDeviation)?,
            Name::Quantile => {
                let share = need("share", self.share.take())?;
                aggregate(self, Statistic::Quantile(share))?
            }
            Name::Distinct => aggregate(self, Statistic::Distinct)?,
        })
    }
}

impl Wire {
    /// The expectation these keys make.
    pub(in crate::data) fn expectation(mut self) -> Result<Expectation, RuleFault> {
        let rule = self.rule()?;
        if let Some(key) = self.surplus() {
            return Err((key, format!("the rule {} has no such key", rule.name())));
        }
        let Self { id, severity, max_failed, max_fraction, escalations, if_present, only_in, not_in, .. } =
            self;
        let expectation = Expectation {
            id,
            rule,
            severity,
            max_failed,
            max_fraction,
            escalations,
            if_present,
            only_in,
            not_in,
        };
        match expectation.fault() {
            None => Ok(expectation),
            Some(fault) => Err(fault),
        }
    }
}

impl TryFrom<Wire> for Expectation {
    type Error = String;

    fn try_from(wire: Wire) -> Result<Self, String> {
        wire.expectation().map_err(|(key, message)| format!("`{key}`: {message}"))
    }
}

impl From<Expectation> for Wire {
    fn from(expectation: Expectation) -> Self {
        let mut wire = Self::of(expectation.rule);
        wire.id = expectation.id;
        wire.severity = expectation.severity;
        wire.max_failed = expectation.max_failed;
        wire.max_fraction = expectation.max_fraction;
        wire.escalations = expectation.escalations;
        wire.if_present = expectation.if_present;
        wire.only_in = expectation.only_in;
        wire.not_in = expectation.not_in;
        wire
    }
}

impl Wire {
    fn of(rule: Rule) -> Self {
        let about = |name, column| Self { column: Some(column), ..Self::new(name) };
        let among = |name, columns| Self { columns: Some(columns), ..Self::new(name) };
        match rule {
            Rule::Exists { column } => about(Name::Exists, column),
            Rule::Type { column, data_type } => {
                Self { data_type: Some(data_type), ..about(Name::Type, column) }
            }
            Rule::Present { column, max_missing, min_count } => Self {
                max_missing: (max_missing != 0.0).then_some(max_missing),
                min_count: (min_count != 0).then_some(min_count),
                ..about(Name::Present, column)
            },
            Rule::Within { column, range } => Self { range: Some(range), ..about(Name::Within, column) },
            Rule::WithinTime { column, from, until } => {
                Self { from, until, ..about(Name::WithinTime, column) }
            }
            Rule::OneOf { column, values } => Self { values: Some(values), ..about(Name::OneOf, column) },
            Rule::NotOneOf { column, values } => {
                Self { values: Some(values), ..about(Name::NotOneOf, column) }
            }
            Rule::Matches { column, pattern } => {
                Self { pattern: Some(pattern), ..about(Name::Matches, column) }
            }
            Rule::Length { column, min, max } => Self { min: Some(min), max, ..about(Name::Length, column) },
            Rule::Finite { column } => about(Name::Finite, column),
            Rule::NotConstant { column } => about(Name::NotConstant, column),
            Rule::Unique { columns } => among(Name::Unique, columns),
            Rule::Compare { column, is, other } => {
                Self { is: Some(is), other: Some(other), ..about(Name::Compare, column) }
            }
            Rule::Rows { min, max } => {
                Self { min: Some(min as u64), max: max.map(|max| max as u64), ..Self::new(Name::Rows) }
            }
            Rule::NoOtherColumns { columns } => among(Name::NoOtherColumns, columns),
            Rule::ColumnOrder { columns } => among(Name::ColumnOrder, columns),
            Rule::Fresh { column, max_age } => {
                Self { max_age: Some(Age(max_age)), ..about(Name::Fresh, column) }
            }
            Rule::ForeignKey { columns, table, references } => {
                Self { table: Some(table), references: Some(references), ..among(Name::ForeignKey, columns) }
            }
            Rule::RowsRatio { table, range } => {
                Self { table: Some(table), range: Some(range), ..Self::new(Name::RowsRatio) }
            }
            Rule::Readable { columns } if columns.is_empty() => Self::new(Name::Readable),
            Rule::Readable { columns } => among(Name::Readable, columns),
            Rule::Aggregate { column, statistic, range } => {
                let (name, share) = match statistic {
                    Statistic::Mean => (Name::Mean, None),
                    Statistic::Sum => (Name::Sum, None),
                    Statistic::Min => (Name::Min, None),
                    Statistic::Max => (Name::Max, None),
                    Statistic::StandardDeviation => (Name::StandardDeviation, None),
                    Statistic::Quantile(share) => (Name::Quantile, Some(share)),
                    Statistic::Distinct => (Name::Distinct, None),
                };
                Self { range: Some(range), share, ..about(name, column) }
            }
        }
    }
}
