//! A rule, what its failure means, and how much of it is tolerated.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::data::text::strings;
use crate::data::{DataType, Range};

use super::inside;
use super::rule::{Comparison, Rule};
use super::statistic::Statistic;
use super::wire::Wire;

/// What a failure means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth a note; the table passes, and the row is a good one.
    Info,
    /// Reported; the table passes, and the row is a good one.
    Warning,
    /// The table does not pass; its good rows may still be used. The default.
    #[default]
    Error,
    /// The table does not pass, and nothing of it may be used.
    Critical,
}

impl Severity {
    /// The word it is serialised as.
    ///
    /// ```
    /// assert_eq!(mlops_core::data::Severity::Critical.as_str(), "critical");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

/// A further level of an expectation: more failures than this mean something worse.
///
/// ```
/// use mlops_core::data::{Expectation, Severity, Threshold};
/// // A value that is not finite is worth a warning; a tenth of them ends the matter.
/// let bmi = Expectation::finite("bmi").with_severity(Severity::Warning)
///     .with_escalation(Threshold::new(Severity::Critical).with_max_fraction(0.1));
/// assert_eq!(bmi.escalations.len(), 1);
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// What it means when there are more.
    pub severity: Severity,
    /// The most failures allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_failed: Option<u64>,
    /// The largest share of failures allowed among the values that were looked at, in \[0, 1\].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_fraction: Option<f64>,
}

impl Threshold {
    /// A level that no failure is allowed at.
    pub fn new(severity: Severity) -> Self {
        Self { severity, max_failed: None, max_fraction: None }
    }

    /// Sets the most failures allowed.
    #[must_use]
    pub fn with_max_failed(mut self, max_failed: u64) -> Self {
        self.max_failed = Some(max_failed);
        self
    }

    /// Sets the largest share of failures allowed.
    #[must_use]
    pub fn with_max_fraction(mut self, max_fraction: f64) -> Self {
        self.max_fraction = Some(max_fraction);
        self
    }

    /// Whether so many failures are too many. With neither limit the first one is; with both, either is enough.
    pub(super) fn is_exceeded(&self, failed: u64, evaluated: u64) -> bool {
        let by_count = self.max_failed.is_some_and(|max| failed > max);
        let by_share = self.max_fraction.is_some_and(|max| !inside(failed, evaluated, max));
        let strict = self.max_failed.is_none() && self.max_fraction.is_none();
        failed > 0 && (strict || by_count || by_share)
    }
}

/// A rule, what its failure means, how much of it is tolerated, and in which environments it holds.
///
/// # Tolerance
/// `max_failed` and `max_fraction` say how many values or rows may break the rule before the rule fails; what is called *mostly*
/// elsewhere is 1 − `max_fraction`. With both given, either limit is enough to fail. A row that breaks a rule is a bad row
/// also when the rule tolerates it: tolerance is about the table.
///
/// ```
/// use mlops_core::data::{Expectation, Range, Severity};
///
/// let age = Expectation::within("age", Range::new(Some(0.0), Some(120.0))?);
/// assert_eq!(age.severity, Severity::Error);
/// let soft = Expectation::not_constant("age").warning().with_only_in(["training"]);
/// assert_eq!(soft.severity, Severity::Warning);
/// assert!(!soft.holds_in("serving"));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Expectation {
    /// A name of its own, by which reports call it; made from the rule when it is not given.
    pub id: Option<String>,
    /// What is expected.
    pub rule: Rule,
    /// What a failure means.
    pub severity: Severity,
    /// The most failures tolerated.
    pub max_failed: Option<u64>,
    /// The largest share of failures tolerated, in \[0, 1\].
    pub max_fraction: Option<f64>,
    /// Further levels; the worst one that is exceeded counts.
    pub escalations: Vec<Threshold>,
    /// Whether the rule is left alone when one of its columns is not there. Else it cannot be checked then, and does not pass.
    pub if_present: bool,
    /// The environments in which it holds; empty means all.
    pub only_in: Vec<String>,
    /// The environments in which it does not hold.
    pub not_in: Vec<String>,
}

impl From<Rule> for Expectation {
    fn from(rule: Rule) -> Self {
        Self {
            id: None,
            rule,
            severity: Severity::Error,
            max_failed: None,
            max_fraction: None,
            escalations: Vec::new(),
            if_present: false,
            only_in: Vec::new(),
            not_in: Vec::new(),
        }
    }
}

/// One constructor a rule.
impl Expectation {
    /// The column is there.
    pub fn exists(column: impl Into<String>) -> Self {
        Rule::Exists { column: column.into() }.into()
    }

    /// The column is there and has this type.
    pub fn data_type(column: impl Into<String>, data_type: DataType) -> Self {
        Rule::Type { column: column.into(), data_type }.into()
    }

    /// Every value of these columns could be read; without columns, everything that no other such rule names.
    pub fn readable<S: Into<String>>(columns: impl IntoIterator<Item = S>) -> Self {
        Rule::Readable { columns: strings(columns) }.into()
    }

    /// A statistic of a column lies in a range.
    ///
    /// ```
    /// use mlops_core::data::{Column, Expectation, Expectations, Range, Statistic, Table};
    ///
    /// let table = Table::new(vec![Column::f64("bmi", vec![21.6, 32.1, 27.3])?])?;
    /// let mean = Expectation::aggregate("bmi", Statistic::Mean, Range::new(Some(18.0), Some(25.0))?);
    /// let report = Expectations::new(vec![mean])?.validate(&table);
    /// assert_eq!(report.results[0].observed, Some(27.0));
    /// assert_eq!(report.results[0].message, "column `bmi`: the mean is 27, expected [18, 25]");
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn aggregate(column: impl Into<String>, statistic: Statistic, range: Range) -> Self {
        Rule::Aggregate { column: column.into(), statistic, range }.into()
    }

    /// No value is missing.
    pub fn present(column: impl Into<String>) -> Self {
        Self::mostly_present(column, 0.0)
    }

    /// At most the share `max_missing` of the values is missing.
    pub fn mostly_present(column: impl Into<String>, max_missing: f64) -> Self {
        Rule::Present { column: column.into(), max_missing, min_count: 0 }.into()
    }

    /// Every value lies in a range.
    pub fn within(column: impl Into<String>, range: Range) -> Self {
        Rule::Within { column: column.into(), range }.into()
    }

    /// Every time lies between two moments, both included.
    pub fn within_time(
        column: impl Into<String>,
        from: Option<DateTime<Utc>>,
        until: Option<DateTime<Utc>>,
    ) -> Self {
        Rule::WithinTime { column: column.into(), from, until }.into()
    }

    /// Every value reads as one of these texts.
    pub fn one_of<S: Into<String>>(column: impl Into<String>, values: impl IntoIterator<Item = S>) -> Self {
        Rule::OneOf { column: column.into(), values: strings(values) }.into()
    }

    /// No value reads as one of these texts.
    pub fn not_one_of<S: Into<String>>(
        column: impl Into<String>,
        values: impl IntoIterator<Item = S>,
    ) -> Self {
        Rule::NotOneOf { column: column.into(), values: strings(values) }.into()
    }

    /// Every value matches a pattern as a whole.
    pub fn matches(column: impl Into<String>, pattern: impl Into<String>) -> Self {
        Rule::Matches { column: column.into(), pattern: pattern.into() }.into()
    }

    /// Every text has `min` characters at least, and `max` at most where that is given.
    pub fn length(column: impl Into<String>, min: u64, max: Option<u64>) -> Self {
        Rule::Length { column: column.into(), min, max }.into()
    }

    /// No value is NaN or infinite.
    pub fn finite(column: impl Into<String>) -> Self {
        Rule::Finite { column: column.into() }.into()
    }

    /// At least two different values.
    pub fn not_constant(column: impl Into<String>) -> Self {
        Rule::NotConstant { column: column.into() }.into()
    }

    /// No two rows are equal in all of these columns.
    pub fn unique<S: Into<String>>(columns: impl IntoIterator<Item = S>) -> Self {
        Rule::Unique { columns: strings(columns) }.into()
    }

    /// In every row `column` compares with `other`.
    pub fn compare(column: impl Into<String>, is: Comparison, other: impl Into<String>) -> Self {
        Rule::Compare { column: column.into(), is, other: other.into() }.into()
    }

    /// At least `min` rows, and at most `max` where that is given.
    pub fn rows(min: usize, max: Option<usize>) -> Self {
        Rule::Rows { min, max }.into()
    }

    /// There are no columns but these.
    pub fn no_other_columns<S: Into<String>>(columns: impl IntoIterator<Item = S>) -> Self {
        Rule::NoOtherColumns { columns: strings(columns) }.into()
    }

    /// Those of these columns that are there stand in this order.
    pub fn column_order<S: Into<String>>(columns: impl IntoIterator<Item = S>) -> Self {
        Rule::ColumnOrder { columns: strings(columns) }.into()
    }

    /// The newest time of a column is at most `max_age` old.
    pub fn fresh(column: impl Into<String>, max_age: std::time::Duration) -> Self {
        Rule::Fresh { column: column.into(), max_age }.into()
    }

    /// Every key is found in another table, under the same names.
    pub fn foreign_key<S: Into<String>>(
        columns: impl IntoIterator<Item = S>,
        table: impl Into<String>,
    ) -> Self {
        let columns = strings(columns);
        Rule::ForeignKey { references: columns.clone(), columns, table: table.into() }.into()
    }

    /// The number of rows divided by that of another table lies in a range.
    pub fn rows_ratio(table: impl Into<String>, range: Range) -> Self {
        Rule::RowsRatio { table: table.into(), range }.into()
    }
}

/// What is set after.
impl Expectation {
    /// Sets the name.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets what a failure means.
    #[must_use]
    pub fn with_severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// The same, but a failure is only reported.
    #[must_use]
    pub fn warning(self) -> Self {
        self.with_severity(Severity::Warning)
    }

    /// Sets the most failures tolerated.
    #[must_use]
    pub fn with_max_failed(mut self, max_failed: u64) -> Self {
        self.max_failed = Some(max_failed);
        self
    }

    /// Sets the largest share of failures tolerated.
    #[must_use]
    pub fn with_max_fraction(mut self, max_fraction: f64) -> Self {
        self.max_fraction = Some(max_fraction);
        self
    }

    /// Adds a further level.
    #[must_use]
    pub fn with_escalation(mut self, threshold: Threshold) -> Self {
        self.escalations.push(threshold);
        self
    }

    /// Sets whether the rule is left alone when one of its columns is not there.
    #[must_use]
    pub fn with_if_present(mut self, if_present: bool) -> Self {
        self.if_present = if_present;
        self
    }

    /// Sets the environments in which it holds.
    #[must_use]
    pub fn with_only_in<S: Into<String>>(mut self, environments: impl IntoIterator<Item = S>) -> Self {
        self.only_in = strings(environments);
        self
    }

    /// Sets the environments in which it does not hold.
    #[must_use]
    pub fn with_not_in<S: Into<String>>(mut self, environments: impl IntoIterator<Item = S>) -> Self {
        self.not_in = strings(environments);
        self
    }

    /// The name by which reports call it: its own, or the rule's with its columns, as in `unique(id, day)`.
    ///
    /// ```
    /// use mlops_core::data::Expectation;
    /// assert_eq!(Expectation::unique(["id", "day"]).name(), "unique(id, day)");
    /// assert_eq!(Expectation::rows(1, None).name(), "rows");
    /// ```
    pub fn name(&self) -> String {
        let mut columns = self.rule.needs().join(", ");
        if let Rule::Aggregate { statistic: Statistic::Quantile(share), .. } = self.rule {
            columns.push_str(&format!(", {share}"));
        }
        match &self.id {
            Some(id) => id.clone(),
            None if columns.is_empty() => self.rule.name().to_owned(),
            None => format!("{}({columns})", self.rule.name()),
        }
    }

    /// Whether it holds in an environment.
    pub fn holds_in(&self, environment: &str) -> bool {
        holds_in(&self.only_in, &self.not_in, environment)
    }

    /// Whether it holds wherever one is.
    pub(super) fn holds_everywhere(&self) -> bool {
        self.only_in.is_empty() && self.not_in.is_empty()
    }

    /// The first level: that of the expectation itself.
    pub(in crate::data) fn threshold(&self) -> Threshold {
        Threshold { severity: self.severity, max_failed: self.max_failed, max_fraction: self.max_fraction }
    }

    /// The worst level that so many failures exceed.
    pub(super) fn exceeded(&self, failed: u64, evaluated: u64) -> Option<Severity> {
        let own = self.threshold();
        let levels = std::iter::once(&own).chain(&self.escalations);
        levels.filter(|level| level.is_exceeded(failed, evaluated)).map(|level| level.severity).max()
    }

    /// What is wrong with it: the key, and a sentence.
    pub(in crate::data) fn fault(&self) -> Option<(&'static str, String)> {
        let own = self.threshold();
        let share = |level: &Threshold| level.max_fraction.filter(|share| !(0.0..=1.0).contains(share));
        if let Some(fault) = self.rule.fault() {
            return Some(fault);
        }
        if self.id.as_ref().is_some_and(String::is_empty) {
            return Some(("id", "must not be empty".to_owned()));
        }
        if let Some(share) = share(&own) {
            return Some(("max_fraction", format!("must lie in [0, 1], got {share}")));
        }
        if let Some(share) = self.escalations.iter().find_map(share) {
            return Some(("escalations", format!("a share must lie in [0, 1], got {share}")));
        }
        let both = self.only_in.iter().find(|name| self.not_in.contains(name));
        both.map(|name| ("not_in", format!("`{}` is in `only_in` too", crate::error::quote(name))))
    }
}

/// Whether something that holds in some environments and in others not holds in this one.
pub(in crate::data) fn holds_in(only_in: &[String], not_in: &[String], environment: &str) -> bool {
    (only_in.is_empty() || only_in.iter().any(|name| name == environment))
        && !not_in.iter().any(|name| name == environment)
}
