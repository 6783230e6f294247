//! Expectations, checked together.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::data::{Schema, Table};
use crate::error::{Error, Result};

use super::expectation::{Expectation, holds_in};
use super::options::ValidateOptions;
use super::pattern;
use super::report::ValidationReport;
use super::rule::{MAX_QUANTILES, MAX_RULES, Rule};
use super::statistic::Statistic;
use super::validator::Validator;

pub(super) const OP: &str = "Expectations::new";

/// Expectations, checked together.
///
/// ```
/// use mlops_core::data::{Column, Expectation, Expectations, Table};
///
/// let table = Table::new(vec![
///     Column::i64("id", vec![1, 2, 2])?,
///     Column::f64("bmi", vec![32.1, f64::NAN, 21.6])?,
/// ])?;
/// let expected = Expectations::new(vec![Expectation::unique(["id"]), Expectation::finite("bmi")])?;
/// let report = expected.validate(&table);
/// assert!(!report.passed());
/// let messages: Vec<&str> = report.failures().map(|f| f.message.as_str()).collect();
/// assert_eq!(messages, [
///     "column `id`: 1 row repeats an earlier one; first in row 3 (value 2)",
///     "column `bmi`: 1 value is not finite; first in row 2 (NaN)",
/// ]);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Expectation>", into = "Vec<Expectation>")]
pub struct Expectations(Vec<Expectation>);

impl From<Expectations> for Vec<Expectation> {
    fn from(expectations: Expectations) -> Self {
        expectations.0
    }
}

impl TryFrom<Vec<Expectation>> for Expectations {
    type Error = Error;

    fn try_from(expectations: Vec<Expectation>) -> Result<Self> {
        Self::new(expectations)
    }
}

impl Expectations {
    /// These expectations.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for none at all (nothing expected is nothing passed), for a
    /// malformed rule (a share outside \[0, 1\], an empty list, a minimum above the maximum, a pattern that is none) and for
    /// two of one given id; [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for more than 10 000 rules, 256
    /// patterns or 64 quantiles.
    pub fn new(expectations: Vec<Expectation>) -> Result<Self> {
        if expectations.is_empty() {
            return Err(Error::invalid(OP, "expectations", "must not be empty"));
        }
        if expectations.len() > MAX_RULES {
            return Err(Error::limit(OP, "the number of rules", MAX_RULES, expectations.len()));
        }
        let is_pattern = |e: &&Expectation| matches!(e.rule, Rule::Matches { .. });
        let patterns = expectations.iter().filter(is_pattern).count();
        if patterns > pattern::MAX_PATTERNS {
            return Err(Error::limit(OP, "the number of patterns", pattern::MAX_PATTERNS, patterns));
        }
        let is_quantile =
            |e: &&Expectation| matches!(e.rule, Rule::Aggregate { statistic: Statistic::Quantile(_), .. });
        let quantiles = expectations.iter().filter(is_quantile).count();
        if quantiles > MAX_QUANTILES {
            return Err(Error::limit(OP, "the number of quantiles", MAX_QUANTILES, quantiles));
        }
        let mut ids = HashSet::new();
        for expectation in &expectations {
            expectation.rule.check()?;
            if let Some((field, message)) = expectation.fault() {
                return Err(Error::invalid(OP, field, message).with("rule", expectation.rule.name()));
            }
            if let Some(id) = expectation.id.as_ref().filter(|id| !ids.insert(id.as_str())) {
                return Err(Error::invalid(OP, "id", "two rules have one id").with("id", id));
            }
        }
        Ok(Self(expectations))
    }

    /// What a schema says wherever one is: types, no missing values where they are not nullable, constraints of the fields as
    /// errors, its rules; columns the schema does not know, and their order, as [`Schema::extra_columns`] and
    /// [`Schema::is_ordered`] say. Fields and rules that are bound to environments are left out; see
    /// [`Expectations::for_environment`].
    ///
    /// ```
    /// use mlops_core::data::{Column, Expectations, Schema, Table};
    /// let train = Table::new(vec![Column::i64("age", vec![59])?])?;
    /// let serving = Table::new(vec![Column::f64("age", vec![59.0])?, Column::bool("new", vec![true])?])?;
    /// let report = Expectations::from_schema(&Schema::infer(&train)?).validate(&serving);
    /// let messages: Vec<&str> = report.failures().map(|f| f.message.as_str()).collect();
    /// assert_eq!(messages, ["column `age`: is f64, expected i64", "column `new`: not expected"]);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn from_schema(schema: &Schema) -> Self {
        let everywhere = |only_in: &[String], not_in: &[String]| only_in.is_empty() && not_in.is_empty();
        Self(super::of_schema(schema, everywhere, Expectation::holds_everywhere))
    }

    /// What a schema says in one of its environments. A column that is not in it must not be there, as an unknown one.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) for an environment that the schema does not have.
    ///
    /// ```
    /// use mlops_core::data::{DataType, Expectations, Field, Schema};
    ///
    /// let label = Field::new("label", DataType::Bool).with_not_in(["serving"]);
    /// let schema = Schema::new(vec![Field::new("age", DataType::I64), label])?
    ///     .with_environments(["training", "serving"])?;
    /// let in_serving = Expectations::for_environment(&schema, "serving")?;
    /// assert!(in_serving.as_slice().iter().all(|e| e.rule.columns() != ["label"]));
    /// assert!(Expectations::for_environment(&schema, "severing").is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn for_environment(schema: &Schema, environment: &str) -> Result<Self> {
        if !schema.environments().iter().any(|name| name == environment) {
            return Err(Error::not_found("Expectations::for_environment", "environment", environment));
        }
        let there = |only_in: &[String], not_in: &[String]| holds_in(only_in, not_in, environment);
        Ok(Self(super::of_schema(schema, there, |e| e.holds_in(environment))))
    }

    /// The same and more.
    ///
    /// # Errors
    /// As [`Expectations::new`].
    pub fn with(mut self, more: impl IntoIterator<Item = Expectation>) -> Result<Self> {
        self.0.extend(more);
        Self::new(self.0)
    }

    /// Expectations that were checked before.
    pub(super) fn checked(expectations: Vec<Expectation>) -> Self {
        Self(expectations)
    }

    /// The expectations, in order.
    pub fn as_slice(&self) -> &[Expectation] {
        &self.0
    }

    /// Checks every expectation in one scan and collects all failures, in the order of the expectations.
    ///
    /// O(rows) time for each rule; memory for each failure is bounded, [`Rule::Unique`] keeps 10 to 40 bytes a row. With options,
    /// in batches or to set bad rows aside: [`Validator`].
    pub fn validate(&self, table: &Table<'_>) -> ValidationReport {
        let mut validator = Validator::new(self, ValidateOptions::default());
        // The first batch cannot differ from those before it.
        let _ = validator.push(table);
        validator.report()
    }
}
