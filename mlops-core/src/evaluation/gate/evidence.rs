//! What was computed on the rows so that a gate can decide: p-values, intervals, counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::criterion::Criterion;
use super::input::GateInput;
use super::spec::GateSpec;
use super::words::TestName;
use crate::config::hint;
use crate::error::{Error, Result, quote};
use crate::hash::{Digest, digest_json};

/// What was computed for one criterion.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CriterionEvidence {
    /// The test from which `p` comes; never [`TestName::Auto`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<TestName>,
    /// The p-value, before any correction, of the hypothesis that the criterion is *not* met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p: Option<f64>,
    /// The value; for a comparison the gain over the other model in the metric's own direction, for an equivalence the
    /// plain difference, this model's value less the other's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<f64>,
    /// A two-sided interval for the estimate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<(f64, f64)>,
    /// The confidence of the interval, between 0 and 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// On how many rows the numbers rest.
    pub rows: u64,
    /// How many of them are of the positive class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positives: Option<u64>,
    /// How many of them are of the negative class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negatives: Option<u64>,
    /// How many more rows it would probably take to show what the criterion asks for, if what was seen is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_rows: Option<u64>,
}

impl CriterionEvidence {
    /// Evidence that rests on so many rows, still without numbers.
    pub fn new(rows: u64) -> Self {
        Self { rows, ..Self::default() }
    }

    /// Adds the p-value of a test, and the value or gain that it is about.
    #[must_use]
    pub fn with_p(mut self, test: TestName, p: f64, estimate: f64) -> Self {
        (self.test, self.p, self.estimate) = (Some(test), Some(p), Some(estimate));
        self
    }

    /// Adds an interval for the estimate.
    #[must_use]
    pub fn with_interval(mut self, low: f64, high: f64, confidence: f64) -> Self {
        (self.interval, self.confidence) = (Some((low, high)), Some(confidence));
        self
    }

    /// Adds how many rows each class has.
    #[must_use]
    pub fn with_classes(mut self, positives: u64, negatives: u64) -> Self {
        (self.positives, self.negatives) = (Some(positives), Some(negatives));
        self
    }

    /// Adds how many more rows it would take.
    #[must_use]
    pub fn with_more_rows(mut self, rows: u64) -> Self {
        self.more_rows = Some(rows);
        self
    }

    /// What no evaluator writes.
    fn fault(&self) -> Option<String> {
        let outside = |v: Option<f64>| v.filter(|v| !(0.0..=1.0).contains(v));
        if let Some(p) = outside(self.p) {
            return Some(format!("has the p-value {p}"));
        }
        if self.p.is_some() != self.test.is_some() || self.test == Some(TestName::Auto) {
            return Some("has a p-value without the name of its test, or the name alone".to_owned());
        }
        if let Some(estimate) = self.estimate.filter(|v| !v.is_finite()) {
            return Some(format!("has the estimate {estimate}"));
        }
        if let Some(confidence) = outside(self.confidence) {
            return Some(format!("has the confidence {confidence}"));
        }
        if let Some((low, high)) = self.interval {
            let sound = low.is_finite() && high.is_finite() && low <= high;
            if !sound || self.confidence.is_none() {
                return Some(format!("has the interval [{low}, {high}], or no confidence for it"));
            }
        }
        let classes = [self.positives, self.negatives].map(Option::unwrap_or_default);
        match classes[0].checked_add(classes[1]).is_none_or(|sum| sum > self.rows) {
            true => Some(format!("has more rows in its classes than its {} rows", self.rows)),
            false => None,
        }
    }
}

/// What was computed on the rows so that a gate can decide, bound by digests to what it is about.
///
/// ```
/// use mlops_core::MetricKey;
/// use mlops_core::evaluation::{
///     Criterion, CriterionEvidence, Estimate, EvaluationReport, GateEvidence, GateInput, GateSpec, TestName, Verdict,
/// };
/// use mlops_core::hash::Digest;
/// use mlops_core::num::Measured;
/// use mlops_core::problem::{Direction, Task};
///
/// let accuracy = MetricKey::new("accuracy")?;
/// let at = "2026-01-05T09:00:00Z".parse()?;
/// let (model, data) = (Digest::of(b"model"), Digest::of(b"data"));
/// let mut report = EvaluationReport::new(model, data, Task::BinaryClassification, at, 200);
/// report.metrics.insert(accuracy.clone(), Estimate::new(Measured::Value(0.81), Direction::HigherIsBetter, 200));
///
/// // 0.81 is at least 0.8, but is that more than luck?
/// let criterion = Criterion::new("accuracy", accuracy).with_min(0.8).with_test(TestName::Exact);
/// let gate = GateSpec::new("release", vec![criterion])?;
/// assert_eq!(gate.decide(&report, None, at)?.verdict, Verdict::Insufficient);
///
/// let found = CriterionEvidence::new(200).with_p(TestName::Exact, 0.4, 0.81).with_more_rows(9_300);
/// let evidence = GateEvidence::new(gate.digest(), model, data).with("accuracy", found);
/// let decision = gate.decide_with(&GateInput::new(&report).with_evidence(&evidence), at)?;
/// assert_eq!(decision.verdict, Verdict::Insufficient);
/// assert_eq!(
///     decision.criteria[0].reason,
///     "accuracy is 0.81, at least 0.8 is needed, but that is not shown: p = 0.4 (exact), at most 0.05 is needed; \
///      9300 more rows needed"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateEvidence {
    /// The version of this shape: 1.
    pub schema: u32,
    /// The digest of the gate whose requirements were computed.
    pub gate: Digest,
    /// The digest of the model.
    pub model: Digest,
    /// The digest of the data.
    pub data: Digest,
    /// The digest of the champion, where one was compared with.
    #[serde(default)]
    pub champion: Option<Digest>,
    /// The digests of the baselines that were compared with, by name.
    #[serde(default)]
    pub baselines: BTreeMap<String, Digest>,
    /// What was computed, by the criterion's id.
    pub criteria: BTreeMap<String, CriterionEvidence>,
}

impl GateEvidence {
    /// Evidence about a model on data, still empty.
    pub fn new(gate: Digest, model: Digest, data: Digest) -> Self {
        Self {
            schema: 1,
            gate,
            model,
            data,
            champion: None,
            baselines: BTreeMap::new(),
            criteria: BTreeMap::new(),
        }
    }

    /// Names the champion that was compared with.
    #[must_use]
    pub fn with_champion(mut self, model: Digest) -> Self {
        self.champion = Some(model);
        self
    }

    /// Names a baseline that was compared with.
    #[must_use]
    pub fn with_baseline(mut self, name: impl Into<String>, model: Digest) -> Self {
        self.baselines.insert(name.into(), model);
        self
    }

    /// Adds what was computed for a criterion.
    #[must_use]
    pub fn with(mut self, id: impl Into<String>, evidence: CriterionEvidence) -> Self {
        self.criteria.insert(id.into(), evidence);
        self
    }

    /// The digest of the evidence; decisions that rest on it carry it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if a number in it is NaN or infinite.
    pub fn digest(&self) -> Result<Digest> {
        digest_json(self)
    }

    /// Refuses evidence about something else, and numbers that no evaluator writes.
    pub(super) fn check(
        &self,
        operation: &'static str,
        gate: &GateSpec,
        input: &GateInput<'_>,
    ) -> Result<()> {
        if self.schema != 1 {
            let message = format!("the evidence has version {} of its shape, this is version 1", self.schema);
            return Err(Error::invalid(operation, "evidence", message));
        }
        let report = input.report;
        for (what, expected, found) in [
            ("gate", gate.digest(), self.gate),
            ("model", report.model, self.model),
            ("data set", report.data, self.data),
        ] {
            if expected != found {
                let message = format!("the evidence is about another {what}");
                return Err(Error::conflict(operation, message, expected, found));
            }
        }
        self.check_others(operation, gate, input)?;
        for (id, evidence) in &self.criteria {
            if !gate.criteria().iter().any(|c| c.id == *id) {
                return Err(unknown(operation, gate, id));
            }
            if let Some(message) = evidence.fault() {
                return Err(Error::invalid(operation, "evidence", message).with("id", id));
            }
        }
        Ok(())
    }

    /// Whoever was compared with must be who is compared with now.
    fn check_others(&self, operation: &'static str, gate: &GateSpec, input: &GateInput<'_>) -> Result<()> {
        let tested = |c: &&Criterion| c.is_tested() && c.compares() && self.criteria.contains_key(&c.id);
        for criterion in gate.criteria().iter().filter(tested) {
            let (what, expected, found) = match &criterion.baseline {
                None => ("champion", input.champion, self.champion),
                Some(name) => {
                    ("baseline", input.baselines.get(name).copied(), self.baselines.get(name).copied())
                }
            };
            // Without the other's report there is no comparison, and no use of the evidence.
            let Some(expected) = expected.map(|report| report.model) else { continue };
            if found != Some(expected) {
                let message = format!("the evidence is about another {what}");
                let found = found.map_or_else(|| "none".to_owned(), |digest| digest.to_string());
                return Err(Error::conflict(operation, message, expected, found).with("id", &criterion.id));
            }
        }
        Ok(())
    }
}

fn unknown(operation: &'static str, gate: &GateSpec, id: &str) -> Error {
    let known: Vec<&str> = gate.criteria().iter().map(|c| c.id.as_str()).collect();
    let message = format!("the gate has no criterion `{}`{}", quote(id), hint(id, &known));
    Error::invalid(operation, "evidence", message)
}
