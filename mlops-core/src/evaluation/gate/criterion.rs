//! One criterion of a gate.

use serde::{Deserialize, Serialize};

use super::words::{Hypothesis, IntervalEnd, NoChampion, Severity, TestName};
use crate::evaluation::subject::Subject;
use crate::id::MetricKey;
use crate::problem::Direction;

/// One criterion of a gate: a number of the report and the bounds it must keep. All bounds given must hold.
///
/// A criterion with `hypothesis` or `test` is *tested*: that the number keeps its bound is not enough, a test has to show
/// that this is no accident of the rows at hand. The p-value comes from [evidence](super::GateEvidence); without any, a
/// tested criterion is [`Insufficient`](crate::evaluation::Verdict::Insufficient).
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Criterion {
    /// A name for the criterion, of its own within the gate: a letter or digit, then letters, digits, `.`, `_`, `-`.
    pub id: String,
    /// The metric; with `attribute`, the disparity.
    pub metric: MetricKey,
    /// The slice over which the metric is taken, as the report names it.
    #[serde(default)]
    pub slice: Option<String>,
    /// The sensitive attribute between whose groups `metric` is a disparity, as the report names it.
    #[serde(default)]
    pub attribute: Option<String>,
    /// The smallest value allowed.
    #[serde(default)]
    pub min: Option<f64>,
    /// The largest value allowed.
    #[serde(default)]
    pub max: Option<f64>,
    /// The fewest rows on which the value may rest; at least one is always needed.
    #[serde(default)]
    pub min_rows: Option<u64>,
    /// Compare this end of the 95 % confidence interval with the bound, in place of the value: `low` with `min`, `high`
    /// with `max`. The other way round a wide interval would help to pass.
    #[serde(default)]
    pub require_interval: Option<IntervalEnd>,
    /// By how much the value may be worse than the champion's, in the metric's own direction; 0 or more.
    #[serde(default)]
    pub max_drop: Option<f64>,
    /// By how much the value must be better than the champion's, in the metric's own direction; 0 or more, and 0 asks for
    /// as good.
    #[serde(default)]
    pub min_gain: Option<f64>,
    /// What holds when there is no champion; only with a margin to the champion.
    #[serde(default)]
    pub no_champion: Option<NoChampion>,
    /// Which way the metric is better, where the report says of it that neither way is; only with a margin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// By which share of the champion's value, taken without its sign, the value must be better; 0 or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_relative_gain: Option<f64>,
    /// By how much the value may differ from the champion's, whichever way; 0 or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub band: Option<f64>,
    /// The name of the baseline with which is compared in place of the champion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// What a test has to show about the margin; makes the criterion tested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hypothesis: Option<Hypothesis>,
    /// The test from which the p-value has to come; makes the criterion tested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<TestName>,
    /// The level of the test, between 0 and 0.5, in place of the gate's; only when tested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// The fewest rows of the positive class on which the value may rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_positives: Option<u64>,
    /// The fewest rows of the negative class on which the value may rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_negatives: Option<u64>,
    /// How much it matters when the criterion is not met.
    #[serde(default, skip_serializing_if = "Severity::is_error")]
    pub severity: Severity,
}

impl Criterion {
    /// A criterion about a metric, still without a bound.
    pub fn new(id: impl Into<String>, metric: MetricKey) -> Self {
        Self {
            id: id.into(),
            metric,
            slice: None,
            attribute: None,
            min: None,
            max: None,
            min_rows: None,
            require_interval: None,
            max_drop: None,
            min_gain: None,
            no_champion: None,
            direction: None,
            min_relative_gain: None,
            band: None,
            baseline: None,
            hypothesis: None,
            test: None,
            alpha: None,
            min_positives: None,
            min_negatives: None,
            severity: Severity::Error,
        }
    }

    /// Takes the metric over one slice.
    #[must_use]
    pub fn with_slice(mut self, slice: impl Into<String>) -> Self {
        self.slice = Some(slice.into());
        self
    }

    /// Takes the disparity between the groups of an attribute.
    #[must_use]
    pub fn with_attribute(mut self, attribute: impl Into<String>) -> Self {
        self.attribute = Some(attribute.into());
        self
    }

    /// Asks for at least `min`.
    #[must_use]
    pub fn with_min(mut self, min: f64) -> Self {
        self.min = Some(min);
        self
    }

    /// Asks for at most `max`.
    #[must_use]
    pub fn with_max(mut self, max: f64) -> Self {
        self.max = Some(max);
        self
    }

    /// Asks for at least so many rows.
    #[must_use]
    pub fn with_min_rows(mut self, rows: u64) -> Self {
        self.min_rows = Some(rows);
        self
    }

    /// Compares an end of the confidence interval in place of the value.
    #[must_use]
    pub fn with_interval(mut self, end: IntervalEnd) -> Self {
        self.require_interval = Some(end);
        self
    }

    /// Allows to be worse than the champion by at most `drop`.
    #[must_use]
    pub fn with_max_drop(mut self, drop: f64) -> Self {
        self.max_drop = Some(drop);
        self
    }

    /// Asks to be better than the champion by at least `gain`.
    #[must_use]
    pub fn with_min_gain(mut self, gain: f64) -> Self {
        self.min_gain = Some(gain);
        self
    }

    /// Says what holds when there is no champion.
    #[must_use]
    pub fn with_no_champion(mut self, policy: NoChampion) -> Self {
        self.no_champion = Some(policy);
        self
    }

    /// Says which way a metric is better of which the report says that neither way is.
    #[must_use]
    pub fn with_direction(mut self, direction: Direction) -> Self {
        self.direction = Some(direction);
        self
    }

    /// Asks to be better than the champion by at least this share of its value.
    #[must_use]
    pub fn with_min_relative_gain(mut self, share: f64) -> Self {
        self.min_relative_gain = Some(share);
        self
    }

    /// Allows to differ from the champion by at most `band`.
    #[must_use]
    pub fn with_band(mut self, band: f64) -> Self {
        self.band = Some(band);
        self
    }

    /// Compares with a named baseline in place of the champion.
    #[must_use]
    pub fn with_baseline(mut self, name: impl Into<String>) -> Self {
        self.baseline = Some(name.into());
        self
    }

    /// Asks a test to show something about the margin.
    #[must_use]
    pub fn with_hypothesis(mut self, hypothesis: Hypothesis) -> Self {
        self.hypothesis = Some(hypothesis);
        self
    }

    /// Asks for the p-value of a test.
    #[must_use]
    pub fn with_test(mut self, test: TestName) -> Self {
        self.test = Some(test);
        self
    }

    /// Tests at another level than the gate's.
    #[must_use]
    pub fn with_alpha(mut self, alpha: f64) -> Self {
        self.alpha = Some(alpha);
        self
    }

    /// Asks for at least so many rows of the positive and of the negative class.
    #[must_use]
    pub fn with_min_of_each_class(mut self, positives: u64, negatives: u64) -> Self {
        self.min_positives = Some(positives);
        self.min_negatives = Some(negatives);
        self
    }

    /// Says how much it matters when the criterion is not met.
    #[must_use]
    pub fn with_severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    pub(in crate::evaluation) fn subject(&self) -> Subject<'_> {
        Subject { metric: &self.metric, slice: self.slice.as_deref(), attribute: self.attribute.as_deref() }
    }

    /// Whether the value is held against another model's.
    pub(in crate::evaluation) fn compares(&self) -> bool {
        self.margins().next().is_some()
    }

    /// Whether it is the champion's.
    pub(super) fn compares_with_champion(&self) -> bool {
        self.compares() && self.baseline.is_none()
    }

    /// The margins to another model that are given, by key.
    pub(super) fn margins(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let all = [
            ("max_drop", self.max_drop),
            ("min_gain", self.min_gain),
            ("min_relative_gain", self.min_relative_gain),
            ("band", self.band),
        ];
        all.into_iter().filter_map(|(key, margin)| margin.map(|margin| (key, margin)))
    }

    /// Whether the criterion needs the p-value of a test.
    pub fn is_tested(&self) -> bool {
        self.hypothesis.is_some() || self.test.is_some()
    }

    /// Whether the criterion needs evidence: of a test, or of how many rows each class has.
    pub fn needs_evidence(&self) -> bool {
        self.is_tested() || self.min_positives.is_some() || self.min_negatives.is_some()
    }
}
