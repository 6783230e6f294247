//! What a gate decided, and why.

use std::fmt;

use serde::{Deserialize, Serialize};

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
}

impl CriterionResult {
    /// A result.
    pub fn new(
        id: impl Into<String>,
        verdict: Verdict,
        observed: Option<Measured>,
        reason: impl Into<String>,
    ) -> Self {
        Self { id: id.into(), verdict, observed, reason: reason.into() }
    }
}

/// What a gate decided about one evaluation, bound by digests to the model, the report and the gate file.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateDecision {
    /// The version of this shape: 1.
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
    /// The verdict over all criteria.
    pub verdict: Verdict,
    /// Every criterion, in the order of the file.
    pub criteria: Vec<CriterionResult>,
}

impl GateDecision {
    /// A decision over criteria; the verdict follows from theirs.
    pub fn new(
        gate: impl Into<String>,
        gate_digest: Digest,
        model: Digest,
        report: Digest,
        champion_report: Option<Digest>,
        at: Timestamp,
        criteria: Vec<CriterionResult>,
    ) -> Self {
        let verdict = Verdict::all(criteria.iter().map(|c| c.verdict));
        Self {
            schema: 1,
            gate: gate.into(),
            gate_digest,
            model,
            report,
            champion_report,
            at,
            verdict,
            criteria,
        }
    }

    /// The criteria that did not pass.
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
        let verdict = Verdict::all(self.criteria.iter().map(|c| c.verdict));
        if verdict == Verdict::Pass && self.verdict == Verdict::Pass {
            return Ok(());
        }
        let reason = self.unmet().next().map_or("no criterion was judged", |c| c.reason.as_str());
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
    fn a_decision_that_contradicts_its_criteria_does_not_pass() {
        let mut forged = decision(&[Verdict::Fail]);
        forged.verdict = Verdict::Pass;
        assert!(forged.require_pass(&Digest::of(b"m")).is_err());
    }
}
