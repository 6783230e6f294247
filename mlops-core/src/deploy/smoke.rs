//! Smoke tests: a few known rows asked of a deployment before it gets any traffic.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Deployer, InvokeRequest, InvokeResponse};
use crate::data::Table;
use crate::error::{Error, Result};
use crate::id::{DeploymentName, EndpointName, Version};
use crate::model::Predictions;
use crate::time::duration_text;

/// Rows to ask a deployment, and what its answer must be like.
///
/// Five checks are always made: the deployment answers; it is the one that was asked; it gives one prediction a row; every
/// prediction is finite; none lies outside the range of its kind ([0, 1] for probabilities). A narrower range, a limit on the
/// latency and expected predictions can be added.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::data::{Column, Table};
/// use mlops_core::deploy::SmokeTest;
/// use mlops_core::model::Predictions;
///
/// let rows = Table::new(vec![Column::f64("bmi", vec![32.1, 21.6])?])?;
/// let test = SmokeTest::new(rows)?
///     .with_range(0.05, 0.95)?
///     .with_max_latency(Duration::from_millis(50))
///     .expecting(Predictions::probability(vec![0.81, 0.12])?, 1e-9)?;
/// assert_eq!(test.rows(), 2);
/// assert!(SmokeTest::new(Table::default()).is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone)]
pub struct SmokeTest {
    rows: Table<'static>,
    range: Option<(f64, f64)>,
    max_latency: Option<Duration>,
    expected: Option<(Predictions, f64)>,
}

impl fmt::Debug for SmokeTest {
    /// The rows are not printed: they may be those of a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmokeTest")
            .field("rows", &self.rows.rows())
            .field("range", &self.range)
            .field("max_latency", &self.max_latency)
            .field("tolerance", &self.expected.as_ref().map(|(_, tolerance)| tolerance))
            .finish_non_exhaustive()
    }
}

impl SmokeTest {
    /// A test with these rows.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for no rows: they would show nothing.
    pub fn new(rows: Table<'_>) -> Result<Self> {
        if rows.rows() == 0 {
            return Err(Error::invalid("SmokeTest::new", "rows", "a smoke test needs at least one row"));
        }
        Ok(Self { rows: rows.into_owned(), range: None, max_latency: None, expected: None })
    }

    /// Demands that every prediction lies in [`low`, `high`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) unless both are finite and `low <= high`.
    pub fn with_range(mut self, low: f64, high: f64) -> Result<Self> {
        if !(low.is_finite() && high.is_finite() && low <= high) {
            let message = format!("must be finite and in order, got [{low}, {high}]");
            return Err(Error::invalid("SmokeTest::with_range", "range", message));
        }
        self.range = Some((low, high));
        Ok(self)
    }

    /// Demands an answer within this time, by the deployer's clock.
    #[must_use]
    pub fn with_max_latency(mut self, limit: Duration) -> Self {
        self.max_latency = Some(limit);
        self
    }

    /// Demands these predictions, each to within the absolute `tolerance`: what the model itself says of the rows, so that a
    /// deployment that answers with another model, or reads its inputs in another order, is found.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when there is not one prediction a row, one is not
    /// finite, or the tolerance is negative or not finite.
    pub fn expecting(mut self, predictions: Predictions, tolerance: f64) -> Result<Self> {
        const OP: &str = "SmokeTest::expecting";
        if predictions.len() != self.rows.rows() {
            let message = format!("has {} predictions for {} rows", predictions.len(), self.rows.rows());
            return Err(Error::invalid(OP, "predictions", message));
        }
        if let Some(at) = predictions.as_slice().iter().position(|p| !p.is_finite()) {
            let row = at / predictions.width();
            return Err(Error::invalid(OP, "predictions", "is not finite").with("row", row));
        }
        if !(tolerance.is_finite() && tolerance >= 0.0) {
            let message = format!("must be finite and not negative, got {tolerance}");
            return Err(Error::invalid(OP, "tolerance", message));
        }
        self.expected = Some((predictions, tolerance));
        Ok(self)
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows.rows()
    }

    /// Asks the deployment, past the split and whether or not it has traffic, and checks the answer.
    ///
    /// A deployment that refuses the rows or fails to answer has failed the test; the report says so.
    ///
    /// # Errors
    /// Only an error that a retry may cure ([`Error::is_retryable`]): it says nothing about the deployment.
    ///
    /// ```no_run
    /// # async fn f(test: mlops_core::deploy::SmokeTest, deployer: &dyn mlops_core::deploy::Deployer) -> mlops_core::Result<()> {
    /// use mlops_core::{DeploymentName, EndpointName};
    /// let report = test.run(deployer, &EndpointName::new("diabetes")?, &DeploymentName::new("green")?).await?;
    /// assert!(report.passed(), "{}", report.reason());
    /// # Ok(()) }
    /// ```
    pub async fn run(
        &self,
        deployer: &dyn Deployer,
        endpoint: &EndpointName,
        deployment: &DeploymentName,
    ) -> Result<SmokeReport> {
        let request = InvokeRequest {
            endpoint: endpoint.clone(),
            deployment: Some(deployment.clone()),
            routing_key: None,
            rows: &self.rows,
        };
        let mut report = SmokeReport::new(deployment.clone(), self.rows.rows() as u64);
        match deployer.invoke(&request).await {
            Ok(answer) => self.judge(&answer, &mut report),
            Err(error) if error.is_retryable() => return Err(error),
            Err(error) => report.push("answers", false, error.to_string()),
        }
        Ok(report)
    }

    fn judge(&self, answer: &InvokeResponse, report: &mut SmokeReport) {
        report.version = Some(answer.version);
        report.latency = Some(answer.latency);
        report.push("answers", true, format!("answered in {:?}", answer.latency));
        let asked = answer.deployment == report.deployment;
        report.push("deployment", asked, format!("{} answered", answer.deployment));
        let (got, rows) = (answer.predictions.len(), self.rows.rows());
        report.push("one_prediction_a_row", got == rows, format!("{got} predictions for {rows} rows"));
        let (passed, reason) =
            check_each(&answer.predictions, |p| p.is_finite(), "every prediction is finite");
        report.push("finite", passed, reason);
        self.judge_range(&answer.predictions, report);
        if let Some(limit) = self.max_latency {
            let reason = format!("answered in {:?}, at most {limit:?} are allowed", answer.latency);
            report.push("latency", answer.latency <= limit, reason);
        }
        if let Some((expected, tolerance)) = &self.expected {
            let (passed, reason) = agreement(&answer.predictions, expected, *tolerance);
            report.push("agreement", passed, reason);
        }
    }

    fn judge_range(&self, predictions: &Predictions, report: &mut SmokeReport) {
        let natural = match predictions {
            Predictions::Probability(_) | Predictions::Classes(_) => (0.0, 1.0),
            Predictions::Value(_) => (f64::MIN, f64::MAX),
        };
        let (low, high) = self.range.map_or(natural, |(low, high)| (low.max(natural.0), high.min(natural.1)));
        let within = format!("every prediction lies in [{low}, {high}]");
        let (passed, reason) = check_each(predictions, |p| (low..=high).contains(&p), &within);
        report.push("range", passed, reason);
    }
}

/// Whether `ok` holds for every value, and the reason: `all`, or the first row that breaks it.
fn check_each(predictions: &Predictions, ok: impl Fn(f64) -> bool, all: &str) -> (bool, String) {
    let values = predictions.as_slice();
    match values.iter().enumerate().find(|(_, value)| !ok(**value)) {
        None => (true, all.to_owned()),
        Some((at, value)) => {
            let row = at / predictions.width();
            (false, format!("not so that {all}: row {row} has {value}"))
        }
    }
}

fn agreement(got: &Predictions, expected: &Predictions, tolerance: f64) -> (bool, String) {
    let labels = |p: &Predictions| p.as_classes().map(|classes| classes.shared_labels());
    let alike =
        std::mem::discriminant(got) == std::mem::discriminant(expected) && labels(got) == labels(expected);
    if !alike || got.len() != expected.len() {
        return (false, "the answer is of another kind or length than the expected predictions".to_owned());
    }
    let pairs = || got.as_slice().iter().zip(expected.as_slice());
    // Negated so that a NaN does not agree with anything.
    #[allow(clippy::neg_cmp_op_on_partial_ord)]
    match pairs().position(|(g, e)| !((g - e).abs() <= tolerance)) {
        None => (true, format!("agrees with the expected predictions to {tolerance}")),
        Some(row) => {
            let (got, expected) = (got.as_slice()[row], expected.as_slice()[row]);
            (false, format!("row {row} has {got}, expected {expected} to {tolerance}"))
        }
    }
}

/// One check of a smoke test.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmokeCheck {
    /// Its name: `answers`, `deployment`, `one_prediction_a_row`, `finite`, `range`, `latency`, `agreement`.
    pub name: String,
    /// Whether it passed.
    pub passed: bool,
    /// What was found, as a sentence.
    pub reason: String,
}

impl SmokeCheck {
    /// A check.
    pub fn new(name: impl Into<String>, passed: bool, reason: impl Into<String>) -> Self {
        Self { name: name.into(), passed, reason: reason.into() }
    }
}

/// What a smoke test found.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmokeReport {
    /// The version of this shape: 1.
    pub schema: u32,
    /// The deployment that was asked.
    pub deployment: DeploymentName,
    /// The model version that answered; `None` when there was no answer.
    pub version: Option<Version>,
    /// How many rows it was asked.
    pub rows: u64,
    /// How long the answer took.
    #[serde(with = "duration_text::option")]
    pub latency: Option<Duration>,
    /// Every check that was made; without an answer only the first.
    pub checks: Vec<SmokeCheck>,
}

impl SmokeReport {
    /// A report with no checks yet, which has not passed.
    pub fn new(deployment: DeploymentName, rows: u64) -> Self {
        Self { schema: 1, deployment, version: None, rows, latency: None, checks: Vec::new() }
    }

    /// Adds a check.
    #[must_use]
    pub fn with_check(mut self, check: SmokeCheck) -> Self {
        self.checks.push(check);
        self
    }

    fn push(&mut self, name: &str, passed: bool, reason: String) {
        self.checks.push(SmokeCheck::new(name, passed, reason));
    }

    /// Whether there were checks and every one passed.
    ///
    /// ```
    /// use mlops_core::deploy::{SmokeCheck, SmokeReport};
    /// let empty = SmokeReport::new(mlops_core::DeploymentName::new("green")?, 2);
    /// assert!(!empty.passed());
    /// assert!(empty.with_check(SmokeCheck::new("answers", true, "it answers")).passed());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn passed(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.passed)
    }

    /// Why it did not pass, or that it did, as a sentence.
    pub fn reason(&self) -> String {
        match self.checks.iter().find(|check| !check.passed) {
            Some(check) => format!("{}: {}", check.name, check.reason),
            None if self.checks.is_empty() => "nothing was checked".to_owned(),
            None => format!("{} checks passed", self.checks.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Column;

    fn rows() -> Table<'static> {
        Table::new(vec![Column::f64("bmi", vec![32.1, 21.6]).unwrap()]).unwrap()
    }

    fn green() -> DeploymentName {
        DeploymentName::new("green").unwrap()
    }

    fn judge(test: &SmokeTest, deployment: &str, predictions: Predictions) -> SmokeReport {
        let mut report = SmokeReport::new(green(), 2);
        let (deployment, latency) = (DeploymentName::new(deployment).unwrap(), Duration::from_millis(20));
        let answer = InvokeResponse::new(deployment, Version::FIRST, predictions, latency);
        test.judge(&answer, &mut report);
        report
    }

    #[test]
    fn each_check_fails_alone() {
        use Predictions::{Probability, Value};
        let plain = SmokeTest::new(rows()).unwrap();
        let narrow = plain.clone().with_range(0.2, 0.8).unwrap();
        let quick = plain.clone().with_max_latency(Duration::from_millis(19));
        let exact = plain.clone().expecting(Probability(vec![0.3, 0.7]), 0.01).unwrap();
        let good = || Probability(vec![0.3, 0.7]);
        for (test, deployment, predictions, expected) in [
            (&plain, "green", good(), None),
            (&plain, "green", Value(vec![-1e300, 1e300]), None),
            (&narrow, "green", good(), None),
            (&exact, "green", Probability(vec![0.305, 0.695]), None),
            (&plain, "blue", good(), Some("deployment")),
            (&plain, "green", Probability(vec![0.3]), Some("one_prediction_a_row")),
            (&plain, "green", Probability(vec![]), Some("one_prediction_a_row")),
            (&plain, "green", Value(vec![0.3, f64::INFINITY]), Some("finite")),
            (&plain, "green", Probability(vec![0.3, f64::NAN]), Some("finite")),
            (&plain, "green", Probability(vec![0.3, 1.5]), Some("range")),
            (&narrow, "green", Probability(vec![0.1, 0.7]), Some("range")),
            (&quick, "green", good(), Some("latency")),
            (&exact, "green", Probability(vec![0.3, 0.72]), Some("agreement")),
            (&exact, "green", Value(vec![0.3, 0.7]), Some("agreement")),
        ] {
            let report = judge(test, deployment, predictions);
            let failed = report.checks.iter().find(|check| !check.passed).map(|check| check.name.as_str());
            assert_eq!(failed, expected, "{}", report.reason());
            assert_eq!(report.passed(), expected.is_none());
        }
    }

    #[test]
    fn a_test_that_could_not_fail_rightly_is_refused() {
        let test = SmokeTest::new(rows()).unwrap();
        for (low, high) in [(1.0, 0.0), (f64::NAN, 1.0), (0.0, f64::INFINITY)] {
            assert!(test.clone().with_range(low, high).is_err());
        }
        let two = Predictions::Value(vec![1.0, 2.0]);
        for tolerance in [-1e-9, f64::NAN, f64::INFINITY] {
            assert!(test.clone().expecting(two.clone(), tolerance).is_err());
        }
        assert!(test.clone().expecting(Predictions::Value(vec![1.0]), 0.0).is_err());
        assert!(test.expecting(Predictions::Value(vec![1.0, f64::NAN]), 0.0).is_err());
    }

    #[test]
    fn the_rows_are_not_printed() {
        let shown = format!("{:?}", SmokeTest::new(rows()).unwrap());
        assert!(!shown.contains("32.1") && !shown.contains("bmi"), "{shown}");
    }
}
