//! What came of checking a table.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

use super::expectation::Severity;

/// What became of one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleVerdict {
    /// It was checked, and it holds within what is tolerated.
    Pass,
    /// It was checked, and it does not hold.
    Fail,
    /// It could not be checked: a column is not there or of another type, another table or the time was not given, too many keys.
    /// Counts like a failure.
    Unknown,
    /// It does not apply: its column is not there and need not be.
    Skipped,
}

/// An offending value.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Its row, counted from 0 through all batches.
    pub row: u64,
    /// The value, escaped and cut to 64 characters, in quotation marks where it is text; none where reports hold no values, and of
    /// a value that is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// What became of one expectation.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleResult {
    /// What the expectation is called.
    pub id: String,
    /// The rule's name.
    pub rule: String,
    /// The columns concerned; none for a rule about the table.
    pub columns: Vec<String>,
    /// What it means: of a failure the worst level that is exceeded, else the expectation's own.
    pub severity: Severity,
    /// What became of it.
    pub verdict: RuleVerdict,
    /// How many values or rows were looked at: those that are there.
    pub evaluated: u64,
    /// How many values or rows break the rule, tolerated or not; 0 when the rule is not about rows.
    pub failed: u64,
    /// The first of them.
    pub samples: Vec<Sample>,
    /// The statistic that a rule about one is about; none of other rules, where there is none that is finite, and of a statistic
    /// that is the value of a row where reports hold no values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<f64>,
    /// What happened, in one sentence, with rows counted from 1; empty where nothing did.
    pub message: String,
}

impl RuleResult {
    /// Whether the rule failed or could not be checked.
    pub fn is_failure(&self) -> bool {
        matches!(self.verdict, RuleVerdict::Fail | RuleVerdict::Unknown)
    }

    /// The rows of the samples, counted from 0.
    pub fn rows(&self) -> Vec<u64> {
        self.samples.iter().map(|sample| sample.row).collect()
    }
}

/// Rules that are broken by the same rows.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Combination {
    /// What the rules are called, in order.
    pub rules: Vec<String>,
    /// How many rows break these rules and no others.
    pub rows: u64,
}

/// What came of checking a table.
///
/// Every rule has a [result](RuleResult), in the order of the expectations. A rule that could not be checked counts as one that failed.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValidationReport {
    /// The version of this report's shape: 2.
    pub schema_version: u32,
    /// How many rows were seen.
    pub rows: u64,
    /// How many of them are bad: they break a rule about rows of severity error or worse.
    pub bad_rows: u64,
    /// How many expectations were checked.
    pub checked: usize,
    /// What became of each.
    pub results: Vec<RuleResult>,
    /// Which rules were broken together, the most frequent first; at most 1000.
    pub combinations: Vec<Combination>,
    /// How many rows break rules in a combination that is not listed.
    pub other_combinations: u64,
    /// How many rows repeat a key of a part that was merged in later or before: they are counted as failures of the rule, but as
    /// the parts did not know of each other, not among the bad rows.
    pub unplaced: u64,
}

impl ValidationReport {
    /// The rules that failed or could not be checked, in order.
    pub fn failures(&self) -> impl Iterator<Item = &RuleResult> {
        self.results.iter().filter(|result| result.is_failure())
    }

    /// What became of the expectation called `id`.
    pub fn result(&self, id: &str) -> Option<&RuleResult> {
        self.results.iter().find(|result| result.id == id)
    }

    /// How many rows break no rule about rows of severity error or worse.
    pub fn good_rows(&self) -> u64 {
        self.rows - self.bad_rows.min(self.rows)
    }

    /// Whether no failure is an error, and something was checked.
    pub fn passed(&self) -> bool {
        self.checked > 0 && self.failures().all(|f| f.severity < Severity::Error)
    }

    /// Whether the good rows may be used although others may not: no failure is critical, and those that are errors are failures
    /// of rows, which were set aside.
    ///
    /// ```
    /// use mlops_core::data::{Column, Expectation, Expectations, Table};
    ///
    /// let table = Table::new(vec![Column::f64("age", vec![61.0, f64::NAN])?])?;
    /// let finite = Expectations::new(vec![Expectation::finite("age")])?.validate(&table);
    /// assert!(!finite.passed() && finite.good_rows_usable());
    /// let other = Expectations::new(vec![Expectation::exists("sex")])?.validate(&table);
    /// assert!(!other.good_rows_usable());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn good_rows_usable(&self) -> bool {
        let bears = |f: &RuleResult| match f.severity {
            Severity::Info | Severity::Warning => true,
            Severity::Error => f.verdict == RuleVerdict::Fail && f.failed > 0,
            Severity::Critical => false,
        };
        self.checked > 0 && self.unplaced == 0 && self.failures().all(bears)
    }

    /// Turns a report that did not pass into an error.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`] that gives the number of errors, and the first three in words.
    ///
    /// ```
    /// use mlops_core::data::{Column, Expectation, Expectations, Table};
    /// let table = Table::new(vec![Column::f64("age", vec![-1.0])?])?;
    /// let report = Expectations::new(vec![Expectation::not_constant("age")])?.validate(&table);
    /// assert_eq!(report.require_passed().unwrap_err().kind(), mlops_core::ErrorKind::Rejected);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn require_passed(&self) -> Result<()> {
        if self.passed() {
            return Ok(());
        }
        let errors = || self.failures().filter(|f| f.severity >= Severity::Error);
        let count = errors().count();
        let first: Vec<&str> = errors().take(3).map(|f| f.message.as_str()).collect();
        let more = if count > 3 { format!("; and {} more", count - 3) } else { String::new() };
        let message = format!("the data does not meet its expectations: {}{more}", first.join("; "));
        Err(Error::new(ErrorKind::Rejected, "ValidationReport::require_passed", message)
            .with("errors", count)
            .with("rows", self.rows))
    }
}

impl fmt::Display for ValidationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passed() { "passed" } else { "failed" };
        write!(f, "{verdict}: {} expectations, {} rows", self.checked, self.rows)?;
        if self.bad_rows > 0 {
            write!(f, ", {} of them bad", self.bad_rows)?;
        }
        for failure in self.failures() {
            write!(f, "\n{}: {}", failure.severity.as_str(), failure.message)?;
        }
        Ok(())
    }
}
