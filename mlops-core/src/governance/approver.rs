//! Approvers that decide by themselves: always yes, or by a function.

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use async_trait::async_trait;

use super::{Approval, ApprovalDecision, ApprovalRequest, Approver};
use crate::error::{Error, ErrorKind, Result};
use crate::hash::{Digest, digest_json};
use crate::id::ActorId;
use crate::time::{Timestamp, lock};

const OP: &str = "Approver::decide";

/// What was decided so far, by the digest of the request. It is kept as long as the approver lives.
#[derive(Default)]
struct Decided(Mutex<HashMap<Digest, Approval>>);

impl Decided {
    /// The answer to a request: the one given earlier, or the one that `ask` gives now.
    ///
    /// A request that has expired is rejected whatever was said before, and nobody decides about a request of their own;
    /// `ask` is called for neither.
    fn answer(
        &self,
        approver: &ActorId,
        request: &ApprovalRequest,
        now: Timestamp,
        ask: impl FnOnce() -> Result<(ApprovalDecision, String)>,
    ) -> Result<Approval> {
        let key = digest_json(request)?;
        let earlier = lock(&self.0).get(&key).cloned();
        if let Some(standing) = standing(earlier, approver, request, now) {
            return Ok(standing);
        }
        let (decision, comment) = if *approver == request.requester {
            (ApprovalDecision::Rejected, "nobody can approve what they asked for".to_owned())
        } else {
            ask()?
        };
        let answer = Approval::answer(request, decision, approver.clone(), comment, now);
        if decision == ApprovalDecision::Pending {
            return Ok(answer);
        }
        // Nothing was locked while somebody decided: of two answers to one request the first counts.
        Ok(lock(&self.0).entry(key).or_insert(answer).clone())
    }
}

/// Says yes to everything, in the name of one actor: for development, and for steps that need nobody's consent.
///
/// Two things it does not say yes to, as no approver does: a request that has expired, and a request of the actor in whose
/// name it answers. The audit trail shows that actor, so give it a name that tells people that no person looked.
///
/// ```
/// use mlops_core::governance::{ApprovalDecision, ApprovalRequest, Approver, AutoApprover};
/// use mlops_core::{ActorId, hash::Digest};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let now = "2026-01-01T00:00:00Z".parse()?;
/// let request = ApprovalRequest::new(
///     Digest::of(b"decision"),
///     "Promote churn:4 to champion?",
///     ActorId::new("trainer")?,
///     "2026-01-02T00:00:00Z".parse()?,
/// );
/// let approver = AutoApprover::new(ActorId::new("auto-approval")?);
/// let answer = approver.decide(&request, now).await?;
/// assert_eq!(answer.decision, ApprovalDecision::Approved);
/// assert!(answer.require(&request.subject, now).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct AutoApprover {
    approver: ActorId,
    decided: Decided,
}

impl AutoApprover {
    /// An approver that answers as `approver`.
    pub fn new(approver: ActorId) -> Self {
        Self { approver, decided: Decided::default() }
    }
}

impl fmt::Debug for AutoApprover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AutoApprover").field("approver", &self.approver).finish_non_exhaustive()
    }
}

#[async_trait]
impl Approver for AutoApprover {
    async fn decide(&self, request: &ApprovalRequest, now: Timestamp) -> Result<Approval> {
        let yes = || Ok((ApprovalDecision::Approved, "approved automatically".to_owned()));
        self.decided.answer(&self.approver, request, now, yes)
    }
}

/// The answer for which nobody has to be asked: one given earlier that still counts, or the no to a request that has expired.
pub(crate) fn standing(
    earlier: Option<Approval>,
    approver: &ActorId,
    request: &ApprovalRequest,
    now: Timestamp,
) -> Option<Approval> {
    let expired = now >= request.expires_at;
    let counts = |earlier: &Approval| !(expired && earlier.decision == ApprovalDecision::Approved);
    let late = || {
        let (no, comment) = (ApprovalDecision::Rejected, "the request has expired");
        expired.then(|| Approval::answer(request, no, approver.clone(), comment, now))
    };
    earlier.filter(counts).or_else(late)
}

type Callback = Box<dyn Fn(&ApprovalRequest) -> (ApprovalDecision, String) + Send + Sync>;

/// Asks a function: a rule, a prompt at the terminal, a look into a ticket system.
///
/// The function returns the decision and a comment. It is asked until it decides, and not again after that; two tasks that
/// ask at once may both call it, the answer that is there first counts for both. It must not wait long: return
/// [`ApprovalDecision::Pending`] while there is no decision. One that panics has not approved anything: `decide` returns
/// [`ErrorKind::Internal`], and the request stays undecided.
///
/// ```
/// use mlops_core::governance::{ApprovalDecision, ApprovalRequest, Approver, CallbackApprover};
/// use mlops_core::{ActorId, hash::Digest};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let approver = CallbackApprover::new(ActorId::new("risk-officer")?, |request| {
///     match request.question.contains("champion") {
///         true => (ApprovalDecision::Approved, "looks good".into()),
///         false => (ApprovalDecision::Pending, String::new()),
///     }
/// });
/// let request = ApprovalRequest::new(
///     Digest::of(b"decision"),
///     "Promote churn:4 to champion?",
///     ActorId::new("trainer")?,
///     "2026-01-02T00:00:00Z".parse()?,
/// );
/// let answer = approver.decide(&request, "2026-01-01T00:00:00Z".parse()?).await?;
/// assert_eq!((answer.decision, answer.comment.as_str()), (ApprovalDecision::Approved, "looks good"));
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct CallbackApprover {
    approver: ActorId,
    callback: Callback,
    decided: Decided,
}

impl CallbackApprover {
    /// An approver that answers as `approver` what `callback` says.
    pub fn new(
        approver: ActorId,
        callback: impl Fn(&ApprovalRequest) -> (ApprovalDecision, String) + Send + Sync + 'static,
    ) -> Self {
        Self { approver, callback: Box::new(callback), decided: Decided::default() }
    }
}

impl fmt::Debug for CallbackApprover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallbackApprover").field("approver", &self.approver).finish_non_exhaustive()
    }
}

#[async_trait]
impl Approver for CallbackApprover {
    async fn decide(&self, request: &ApprovalRequest, now: Timestamp) -> Result<Approval> {
        let ask = || {
            // The function is the caller's own; what it leaves half-done when it panics is not ours to see.
            catch_unwind(AssertUnwindSafe(|| (self.callback)(request))).map_err(|_| {
                Error::new(ErrorKind::Internal, OP, "the callback panicked: nothing is approved")
                    .with("approver", &self.approver)
            })
        };
        self.decided.answer(&self.approver, request, now, ask)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::conformance::approver::ApproverUnderTest;

    fn officer() -> ActorId {
        ActorId::new("risk-officer").unwrap()
    }

    fn says(decision: ApprovalDecision) -> CallbackApprover {
        CallbackApprover::new(officer(), move |_| (decision, "because".to_owned()))
    }

    /// A callback that is undecided until somebody decides.
    fn undecided() -> ApproverUnderTest {
        let decision = Arc::new(Mutex::new(ApprovalDecision::Pending));
        let read = decision.clone();
        let approver = CallbackApprover::new(officer(), move |_| (*lock(&read), String::new()));
        ApproverUnderTest::new(Arc::new(approver)).with_decide(move |d| *lock(&decision) = d)
    }

    fn auto() -> AutoApprover {
        AutoApprover::new(officer())
    }

    crate::approver_suite!(auto_approver, ApproverUnderTest::new(Arc::new(auto())));
    crate::approver_suite!(
        callback_that_approves,
        ApproverUnderTest::new(Arc::new(says(ApprovalDecision::Approved)))
    );
    crate::approver_suite!(
        callback_that_rejects,
        ApproverUnderTest::new(Arc::new(says(ApprovalDecision::Rejected)))
    );
    crate::approver_suite!(callback_that_waits, undecided());
    crate::approver_suite!(
        in_an_arc,
        ApproverUnderTest::new(Arc::new(Arc::new(auto()) as Arc<dyn Approver>))
    );
    crate::approver_suite!(in_a_box, ApproverUnderTest::new(Arc::new(Box::new(auto()) as Box<dyn Approver>)));

    fn request(subject: &[u8]) -> (ApprovalRequest, Timestamp) {
        let now = chrono::DateTime::UNIX_EPOCH;
        let request = ApprovalRequest {
            subject: Digest::of(subject),
            question: "Promote?".to_owned(),
            requester: ActorId::new("trainer").unwrap(),
            expires_at: now + chrono::TimeDelta::hours(1),
        };
        (request, now)
    }

    #[tokio::test]
    async fn a_callback_that_panics_has_approved_nothing_and_is_asked_again() {
        let calls = AtomicUsize::new(0);
        let approver = CallbackApprover::new(officer(), move |_| {
            assert!(calls.fetch_add(1, Ordering::SeqCst) > 0, "the first call fails");
            (ApprovalDecision::Approved, String::new())
        });
        let (request, now) = request(b"x");
        assert_eq!(approver.decide(&request, now).await.unwrap_err().kind(), ErrorKind::Internal);
        assert_eq!(approver.decide(&request, now).await.unwrap().decision, ApprovalDecision::Approved);
    }

    #[tokio::test]
    async fn a_yes_does_not_outlive_its_request() {
        let (request, now) = request(b"x");
        let approver = auto();
        assert_eq!(approver.decide(&request, now).await.unwrap().decision, ApprovalDecision::Approved);
        let late = approver.decide(&request, request.expires_at).await.unwrap();
        assert_eq!(late.decision, ApprovalDecision::Rejected);
        assert!(late.comment.contains("expired"), "{}", late.comment);
    }

    #[tokio::test]
    async fn a_callback_is_asked_once_about_what_it_decided() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let approver = CallbackApprover::new(officer(), move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            (ApprovalDecision::Rejected, "no".to_owned())
        });
        let (one, now) = request(b"one");
        let (two, _) = request(b"two");
        for _ in 0..3 {
            approver.decide(&one, now).await.unwrap();
        }
        approver.decide(&two, now).await.unwrap();
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }
}
