//! What a gate decided, and why.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::gate::{CriterionEvidence, EarlierUses, Severity, TestName};
use crate::error::{Error, ErrorKind, Result};
use crate::hash::{Digest, digest_json};
use crate::num::Measured;
use crate::time::Timestamp;

/// A decision where data may be too thin to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Good enough, and there is enough data to say so.
    Pass,
    /// Not good enough.
    Fail,
    /// Not enough data to say either.
    Insufficient,
}

impl Verdict {
    /// The verdict over several: one failure fails, else one insufficient is insufficient; none at all is insufficient.
    ///
    /// ```
    /// use mlops_core::evaluation::Verdict::{self, *};
    /// assert_eq!(Verdict::all([Pass, Insufficient, Fail]), Fail);
    /// assert_eq!(Verdict::all([Pass, Insufficient]), Insufficient);
    /// assert_eq!(Verdict::all([]), Insufficient);
    /// ```
    pub fn all(verdicts: impl IntoIterator<Item = Self>) -> Self {
        let mut result = None;
        for verdict in verdicts {
            result = Some(match (result, verdict) {
                (Some(Self::Fail), _) | (_, Self::Fail) => Self::Fail,
                (Some(Self::Insufficient), _) | (_, Self::Insufficient) => Self::Insufficient,
                _ => Self::Pass,
            });
        }
        result.unwrap_or(Self::Insufficient)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Insufficient => "insufficient",
        })
    }
}

/// What a test showed about a criterion.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tested {
    /// The test.
    pub test: TestName,
    /// Its p-value.
    pub p: f64,
    /// The p-value adjusted for the other tests of the gate.
    pub adjusted: f64,
    /// The level with which the adjusted p-value was compared.
    pub alpha: f64,
    /// The value or gain that was tested.
    pub estimate: Option<f64>,
    /// A two-sided interval for it.
    pub interval: Option<(f64, f64)>,
    /// The confidence of the interval.
    pub confidence: Option<f64>,
    /// On how many rows it rests.
    pub rows: u64,
    /// How many of them are of the positive class.
    pub positives: Option<u64>,
    /// How many of them are of the negative class.
    pub negatives: Option<u64>,
    /// How many more rows it would probably take.
    pub more_rows: Option<u64>,
}

impl Tested {
    pub(super) fn new(
        test: TestName,
        p: f64,
        adjusted: f64,
        alpha: f64,
        evidence: &CriterionEvidence,
    ) -> Self {
        let CriterionEvidence {
            estimate, interval, confidence, rows, positives, negatives, more_rows, ..
        } = *evidence;
        Self {
            test,
            p,
            adjusted,
            alpha,
            estimate,
            interval,
            confidence,
            rows,
            positives,
            negatives,
            more_rows,
        }
    }
}

/// What one criterion of a gate found.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CriterionResult {
    /// The criterion's id in the gate file.
    pub id: String,
    /// Its verdict.
    pub verdict: Verdict,
    /// The value that was judged; `None` when the report has no such number at all.
    pub observed: Option<Measured>,
    /// What was asked for, and what was found, as a sentence.
    pub reason: String,
    /// How much it matters; only errors keep the gate from passing.
    #[serde(default, skip_serializing_if = "Severity::is_error")]
    pub severity: Severity,
    /// What a test showed, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tested: Option<Tested>,
}

impl CriterionResult {
    /// A result of severity `error`.
    pub fn new(
        id: impl Into<String>,
        verdict: Verdict,
        observed: Option<Measured>,
        reason: impl Into<String>,
    ) -> Self {
        let (id, reason) = (id.into(), reason.into());
        Self { id, verdict, observed, reason, severity: Severity::Error, tested: None }
    }

    /// Says how much it matters.
    #[must_use]
    pub fn with_severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Whether the criterion keeps the gate from passing: it did not pass, and it is an error.
    pub fn blocks(&self) -> bool {
        self.verdict != Verdict::Pass && self.severity.blocks()
    }
}

/// What a gate decided about one evaluation, bound by digests to the model, the report and the gate file.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateDecision {
    /// The version of this shape: 2, or 1 where nothing is said for which version 1 had no place. What version 1 wrote is
    /// read as it was, and keeps its digest.
    pub schema: u32,
    /// The gate's name.
    pub gate: String,
    /// The digest of the gate file.
    pub gate_digest: Digest,
    /// The digest of the model that was judged.
    pub model: Digest,
    /// The digest of the report that was read.
    pub report: Digest,
    /// The digest of the champion's report, where one was compared with.
    pub champion_report: Option<Digest>,
    /// When.
    pub at: Timestamp,
    /// The verdict over all criteria of severity `error`.
    pub verdict: Verdict,
    /// Every criterion, in the order of the file.
    pub criteria: Vec<CriterionResult>,
    /// The digests of the baselines' reports that were compared with, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub baseline_reports: BTreeMap<String, Digest>,
    /// The digest of the evidence that was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Digest>,
    /// How often the test set had decided before, where the gate limits that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<EarlierUses>,
    /// Whether somebody has to approve of the decision before it counts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requires_approval: bool,
}

impl GateDecision {
    /// A decision over criteria; the verdict follows from theirs. Without any criterion of severity `error` it is
    /// insufficient.
    pub fn new(
        gate: impl Into<String>,
        gate_digest: Digest,
        model: Digest,
        report: Digest,
        champion_report: Option<Digest>,
        at: Timestamp,
        criteria: Vec<CriterionResult>,
    ) -> Self {
        let verdict = overall(&criteria);
        let decision = Self {
            schema: 1,
            gate: gate.into(),
            gate_digest,
            model,
            report,
            champion_report,
            at,
            verdict,
            criteria,
            baseline_reports: BTreeMap::new(),
            evidence: None,
            uses: None,
            requires_approval: false,
        };
        decision.versioned()
    }

    /// With the version that its content needs.
    pub(super) fn versioned(mut self) -> Self {
        let beyond = |c: &CriterionResult| c.tested.is_some() || c.severity != Severity::Error;
        let second = !self.baseline_reports.is_empty()
            || self.evidence.is_some()
            || self.uses.is_some()
            || self.requires_approval
            || self.criteria.iter().any(beyond);
        self.schema = if second { 2 } else { 1 };
        self
    }

    /// The verdict that follows from the criteria, whatever the decision says of itself.
    ///
    /// ```
    /// # use mlops_core::evaluation::{CriterionResult, GateDecision, Severity, Verdict};
    /// # let (digest, at) = (mlops_core::hash::Digest::of(b"x"), "2026-01-05T09:00:00Z".parse()?);
    /// let criteria = vec![
    ///     CriterionResult::new("auc", Verdict::Pass, None, "good"),
    ///     CriterionResult::new("size", Verdict::Fail, None, "large").with_severity(Severity::Warning),
    /// ];
    /// let decision = GateDecision::new("release", digest, digest, digest, None, at, criteria);
    /// assert_eq!(decision.computed_verdict(), Verdict::Pass);
    /// assert_eq!(decision.unmet().count(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn computed_verdict(&self) -> Verdict {
        overall(&self.criteria)
    }

    /// The worse of the verdict that is stated and the one that follows from the criteria.
    pub(super) fn settled_verdict(&self) -> Verdict {
        Verdict::all([self.verdict, self.computed_verdict()])
    }

    /// The criteria that did not pass, of any severity.
    pub fn unmet(&self) -> impl Iterator<Item = &CriterionResult> {
        self.criteria.iter().filter(|c| c.verdict != Verdict::Pass)
    }

    /// Nothing, if the gate passed for this model. The verdict is computed from the criteria anew, so that a decision that
    /// was written by hand cannot claim another.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`] with the first reason; [`ErrorKind::Conflict`] when the decision is about another model.
    pub fn require_pass(&self, model: &Digest) -> Result<()> {
        const OP: &str = "GateDecision::require_pass";
        if self.model != *model {
            return Err(Error::conflict(OP, "the gate judged another model", model, self.model));
        }
        let verdict = self.computed_verdict();
        if verdict == Verdict::Pass && self.verdict == Verdict::Pass {
            return Ok(());
        }
        let blocking = self.criteria.iter().find(|c| c.blocks());
        let reason = blocking.map_or("no criterion was judged", |c| c.reason.as_str());
        let error = Error::new(ErrorKind::Rejected, OP, "the gate did not pass");
        Err(error.with("gate", &self.gate).with("verdict", verdict).with("reason", reason))
    }

    /// The digest of the decision, to which approvals are bound.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if a number in it is NaN or infinite.
    pub fn digest(&self) -> Result<Digest> {
        digest_json(self)
    }
}

fn overall(criteria: &[CriterionResult]) -> Verdict {
    Verdict::all(criteria.iter().filter(|c| c.severity.blocks()).map(|c| c.verdict))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(verdicts: &[Verdict]) -> GateDecision {
        let digest = Digest::of(b"m");
        let criteria = verdicts.iter().map(|v| CriterionResult::new("c", *v, None, "because")).collect();
        GateDecision::new("g", digest, digest, digest, None, chrono::DateTime::UNIX_EPOCH, criteria)
    }

    #[test]
    fn only_a_decision_in_which_everything_passed_lets_a_model_through() {
        let model = Digest::of(b"m");
        assert!(decision(&[Verdict::Pass]).require_pass(&model).is_ok());
        for bad in
            [&[][..], &[Verdict::Fail], &[Verdict::Insufficient], &[Verdict::Pass, Verdict::Insufficient]]
        {
            assert_eq!(
                decision(bad).require_pass(&model).unwrap_err().kind(),
                ErrorKind::Rejected,
                "{bad:?}"
            );
        }
        let other = decision(&[Verdict::Pass]).require_pass(&Digest::of(b"other"));
        assert_eq!(other.unwrap_err().kind(), ErrorKind::Conflict);
    }

    #[test]
    fn a_decision_of_the_first_version_keeps_its_digest() {
        let text = r#"{"schema":1,"gate":"g","gate_digest":"sha256:62c66a7a5dd70c3146618063c344e531e6d4b59e379808443ce962b3abd63c5a","model":"sha256:62c66a7a5dd70c3146618063c344e531e6d4b59e379808443ce962b3abd63c5a","report":"sha256:62c66a7a5dd70c3146618063c344e531e6d4b59e379808443ce962b3abd63c5a","champion_report":null,"at":"1970-01-01T00:00:00Z","verdict":"pass","criteria":[{"id":"c","verdict":"pass","observed":null,"reason":"because"}]}"#;
        let read: GateDecision = serde_json::from_str(text).unwrap();
        assert_eq!(read, decision(&[Verdict::Pass]));
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(read.digest().unwrap(), digest_json(&value).unwrap());
    }

    #[test]
    fn a_warning_is_shown_and_does_not_block() {
        let warning = |severity| {
            let mut decided = decision(&[Verdict::Pass, Verdict::Fail]);
            decided.criteria[1].severity = severity;
            let GateDecision { gate, gate_digest, model, report, at, criteria, .. } = decided;
            GateDecision::new(gate, gate_digest, model, report, None, at, criteria)
        };
        for (severity, verdict) in [
            (Severity::Error, Verdict::Fail),
            (Severity::Warning, Verdict::Pass),
            (Severity::Note, Verdict::Pass),
        ] {
            let decision = warning(severity);
            assert_eq!((decision.verdict, decision.unmet().count()), (verdict, 1));
            assert_eq!(decision.require_pass(&Digest::of(b"m")).is_ok(), verdict == Verdict::Pass);
            assert_eq!(decision.schema, if severity == Severity::Error { 1 } else { 2 });
        }
        // Nothing but warnings is nothing at all.
        let mut nothing = warning(Severity::Warning);
        nothing.criteria.remove(0);
        assert!(nothing.require_pass(&Digest::of(b"m")).is_err());
    }

    #[test]
    fn a_decision_that_contradicts_its_criteria_does_not_pass() {
        let mut forged = decision(&[Verdict::Fail]);
        forged.verdict = Verdict::Pass;
        assert!(forged.require_pass(&Digest::of(b"m")).is_err());
    }
}
