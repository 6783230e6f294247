//! How a program that runs a gate ends.

use std::process::ExitCode;

use super::{GateDecision, Verdict};
use crate::error::{Error, ErrorKind};
use crate::governance::Approval;
use crate::time::Timestamp;

/// How a program that runs a gate ends: what a build service acts on. Only 0 lets a model through.
///
/// | code | meaning |
/// |---|---|
/// | 0 | the gate passed, and was approved where it asks for that |
/// | 1 | the gate failed: the model is not good enough |
/// | 2 | the program was called wrongly: an argument, or the gate's file, cannot be used |
/// | 3 | the gate could not be evaluated: too little data or evidence, or something broke on the way |
/// | 4 | the gate passed, and the approval it asks for is missing, expired, refused or about another decision |
///
/// ```
/// use mlops_core::evaluation::{CriterionResult, GateDecision, GateExit, Verdict};
/// # let (digest, at) = (mlops_core::hash::Digest::of(b"x"), "2026-01-05T09:00:00Z".parse()?);
/// let exit = |verdict| {
///     let criteria = vec![CriterionResult::new("auc", verdict, None, "because")];
///     GateExit::of(&GateDecision::new("release", digest, digest, digest, None, at, criteria), None, at).code()
/// };
/// assert_eq!([Verdict::Pass, Verdict::Fail, Verdict::Insufficient].map(exit), [0, 1, 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GateExit {
    /// 0: the gate passed.
    Pass,
    /// 1: the gate failed.
    Fail,
    /// 2: wrong arguments, or a gate's file that cannot be used.
    Usage,
    /// 3: the gate could not be evaluated, or the data do not suffice to decide.
    NotEvaluated,
    /// 4: the gate passed and somebody has to approve.
    NeedsApproval,
}

impl GateExit {
    /// How a decision ends. An approval counts when it was given for exactly this decision and has not expired at `now`.
    pub fn of(decision: &GateDecision, approval: Option<&Approval>, now: Timestamp) -> Self {
        let exit = Self::of_verdict(decision.settled_verdict());
        if exit != Self::Pass || !decision.requires_approval {
            return exit;
        }
        match (approval, decision.digest()) {
            (Some(approval), Ok(digest)) if approval.require(&digest, now).is_ok() => Self::Pass,
            _ => Self::NeedsApproval,
        }
    }

    /// How a verdict ends, where nobody has to approve.
    pub(super) const fn of_verdict(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Pass,
            Verdict::Fail => Self::Fail,
            Verdict::Insufficient => Self::NotEvaluated,
        }
    }

    /// How an error ends: 2 where the caller has to change something that was handed in, else 3.
    ///
    /// ```
    /// use mlops_core::evaluation::{GateExit, GateSpec};
    /// let error = GateSpec::from_toml("name = 1").unwrap_err();
    /// assert_eq!(GateExit::of_error(&error).code(), 2);
    /// ```
    pub fn of_error(error: &Error) -> Self {
        use ErrorKind::{InvalidInput, LimitExceeded, NotFound, Unsupported};
        match error.kind() {
            InvalidInput | LimitExceeded | NotFound | Unsupported => Self::Usage,
            _ => Self::NotEvaluated,
        }
    }

    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 1,
            Self::Usage => 2,
            Self::NotEvaluated => 3,
            Self::NeedsApproval => 4,
        }
    }
}

impl From<GateExit> for ExitCode {
    fn from(exit: GateExit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::CriterionResult;
    use crate::governance::{ApprovalDecision, ApprovalRequest};
    use crate::hash::Digest;
    use crate::id::ActorId;

    #[test]
    fn only_an_approval_of_this_decision_ends_in_nought() {
        let (digest, at) = (Digest::of(b"x"), chrono::DateTime::UNIX_EPOCH);
        let hour = std::time::Duration::from_secs(3_600);
        let criteria = vec![CriterionResult::new("c", Verdict::Pass, None, "because")];
        let mut decision = GateDecision::new("g", digest, digest, digest, None, at, criteria);
        decision.requires_approval = true;
        let approval = |subject, answer| {
            let request = ApprovalRequest {
                subject,
                question: "?".to_owned(),
                requester: ActorId::new("a").unwrap(),
                expires_at: at + hour,
            };
            Approval::answer(&request, answer, ActorId::new("b").unwrap(), String::new(), at)
        };
        let own = decision.digest().unwrap();
        let yes = approval(own, ApprovalDecision::Approved);
        for (approval, now, exit) in [
            (None, at, GateExit::NeedsApproval),
            (Some(&yes), at, GateExit::Pass),
            (Some(&yes), at + hour, GateExit::NeedsApproval),
            (Some(&approval(own, ApprovalDecision::Rejected)), at, GateExit::NeedsApproval),
            (Some(&approval(own, ApprovalDecision::Pending)), at, GateExit::NeedsApproval),
            (Some(&approval(digest, ApprovalDecision::Approved)), at, GateExit::NeedsApproval),
        ] {
            assert_eq!(GateExit::of(&decision, approval, now), exit);
        }
        // Nobody approves of what failed, and a verdict that was written by hand is not believed.
        decision.criteria[0].verdict = Verdict::Fail;
        assert_eq!(GateExit::of(&decision, Some(&yes), at), GateExit::Fail);
        decision.criteria.clear();
        assert_eq!(GateExit::of(&decision, Some(&yes), at), GateExit::NotEvaluated);
    }
}
