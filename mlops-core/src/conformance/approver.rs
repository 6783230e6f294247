//! The suite of [`Approver`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::support::{RACERS, TEXTS, actor, at, race, skipped};
use crate::governance::{Approval, ApprovalDecision, ApprovalRequest, Approver};
use crate::hash::Digest;
use crate::id::ActorId;
use crate::time::Timestamp;

/// Makes a test of every case of the [`Approver`] suite.
///
/// Takes the name of the module to put them in, and an expression that makes a fresh
/// [`ApproverUnderTest`](crate::conformance::approver::ApproverUnderTest). See [the module](crate::conformance) for a whole
/// example.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::ActorId;
/// use mlops_core::conformance::approver::ApproverUnderTest;
/// use mlops_core::governance::AutoApprover;
///
/// fn approver() -> AutoApprover {
///     AutoApprover::new(ActorId::new("auto-approval").unwrap())
/// }
/// mlops_core::approver_suite!(auto, ApproverUnderTest::new(Arc::new(approver())));
/// ```
#[macro_export]
macro_rules! approver_suite {
    ($module:ident, $fresh:expr) => {
        $crate::__conformance_suite! { $module, $fresh, approver, [
            answer_is_bound_to_the_request,
            decided_requests_stay_decided,
            undecided_requests_are_pending,
            expired_requests_are_not_approved,
            an_approval_expires_with_its_request,
            nobody_approves_what_they_asked_for,
            requests_are_decided_apart,
            concurrent_asks_get_one_answer,
            questions_of_any_script_are_answered,
        ] }
    };
}

type Decide = Box<dyn Fn(ApprovalDecision) + Send + Sync>;

/// An approver that was asked nothing yet, and the person behind it.
pub struct ApproverUnderTest {
    approver: Arc<dyn Approver>,
    decide: Option<Decide>,
}

impl ApproverUnderTest {
    /// An approver that decides at once, as it likes.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use mlops_core::conformance::approver::ApproverUnderTest;
    /// use mlops_core::{ActorId, governance::AutoApprover};
    /// let under_test = ApproverUnderTest::new(Arc::new(AutoApprover::new(ActorId::new("auto")?)));
    /// assert!(format!("{under_test:?}").contains("AutoApprover"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(approver: Arc<dyn Approver>) -> Self {
        Self { approver, decide: None }
    }

    /// An approver that answers pending until this is called; it decides everything that is asked from then on.
    #[must_use]
    pub fn with_decide(mut self, decide: impl Fn(ApprovalDecision) + Send + Sync + 'static) -> Self {
        self.decide = Some(Box::new(decide));
        self
    }

    /// Has the person behind it, if there is one, say yes.
    fn say_yes(&self) {
        if let Some(decide) = &self.decide {
            decide(ApprovalDecision::Approved);
        }
    }

    async fn ask(&self, request: &ApprovalRequest, now: Timestamp) -> Approval {
        self.approver.decide(request, now).await.unwrap()
    }
}

impl fmt::Debug for ApproverUnderTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApproverUnderTest")
            .field("approver", &self.approver)
            .field("decide", &self.decide.is_some())
            .finish()
    }
}

fn now() -> Timestamp {
    at("2026-01-01T00:00:00Z")
}

/// A request that is open for a day.
fn request(subject: &str) -> ApprovalRequest {
    ApprovalRequest {
        subject: Digest::of(subject.as_bytes()),
        question: format!("Promote {subject}?"),
        requester: actor(),
        expires_at: now() + Duration::from_secs(86_400),
    }
}

/// An answer is about what was asked, and carries who asked and until when it counts.
pub async fn answer_is_bound_to_the_request(under: &ApproverUnderTest) {
    under.say_yes();
    let request = request("churn:4");
    let answer = under.ask(&request, now()).await;
    assert_eq!(answer.subject, request.subject);
    assert_eq!(answer.requester, request.requester);
    assert_eq!(answer.expires_at, request.expires_at);
    assert!(!answer.approver.as_str().is_empty());
    assert!(answer.require(&Digest::of(b"something else"), now()).is_err());
    if answer.decision == ApprovalDecision::Approved {
        answer.require(&request.subject, now()).unwrap();
    }
}

/// The same request asked again gives the same answer once it is decided, also later.
pub async fn decided_requests_stay_decided(under: &ApproverUnderTest) {
    under.say_yes();
    let request = request("churn:4");
    let first = under.ask(&request, now()).await;
    assert_ne!(first.decision, ApprovalDecision::Pending, "there is nobody to wait for");
    if let Some(decide) = &under.decide {
        decide(ApprovalDecision::Rejected);
    }
    for hours in [0, 1, 23] {
        assert_eq!(under.ask(&request, now() + Duration::from_secs(hours * 3_600)).await, first);
    }
}

/// While nobody has decided, the answer is pending, and it comes at once.
pub async fn undecided_requests_are_pending(under: &ApproverUnderTest) {
    let Some(decide) = &under.decide else { return skipped("this approver is never undecided") };
    let request = request("churn:4");
    for hours in 0..3 {
        let answer = under.ask(&request, now() + Duration::from_secs(hours * 3_600)).await;
        assert_eq!(answer.decision, ApprovalDecision::Pending);
        assert!(answer.require(&request.subject, now()).is_err());
    }
    decide(ApprovalDecision::Approved);
    assert_eq!(under.ask(&request, now()).await.decision, ApprovalDecision::Approved);
}

/// A request that has expired is not approved, from its last moment on.
pub async fn expired_requests_are_not_approved(under: &ApproverUnderTest) {
    under.say_yes();
    for (i, late) in [0, 1, 86_400 * 365].into_iter().enumerate() {
        let request = request(&format!("churn:{i}"));
        let answer = under.ask(&request, request.expires_at + Duration::from_secs(late)).await;
        assert_ne!(answer.decision, ApprovalDecision::Approved, "{late} s late");
    }
}

/// What was approved in time counts no longer than the request.
pub async fn an_approval_expires_with_its_request(under: &ApproverUnderTest) {
    under.say_yes();
    let request = request("churn:4");
    under.ask(&request, now()).await;
    let late = request.expires_at + Duration::from_secs(1);
    assert!(under.ask(&request, late).await.require(&request.subject, late).is_err());
}

/// Whoever asks does not decide, not even an approver that says yes to everything.
pub async fn nobody_approves_what_they_asked_for(under: &ApproverUnderTest) {
    under.say_yes();
    let approver: ActorId = under.ask(&request("churn:4"), now()).await.approver;
    let own = ApprovalRequest { requester: approver, ..request("churn:5") };
    let answer = under.ask(&own, now()).await;
    assert!(answer.decision != ApprovalDecision::Approved || answer.approver != own.requester, "{answer:?}");
}

/// A decision about one request says nothing about another, however alike they are.
pub async fn requests_are_decided_apart(under: &ApproverUnderTest) {
    let Some(decide) = &under.decide else { return skipped("nobody can be told what to decide here") };
    decide(ApprovalDecision::Approved);
    let first = request("churn:4");
    assert_eq!(under.ask(&first, now()).await.decision, ApprovalDecision::Approved);
    decide(ApprovalDecision::Pending);
    let others = [
        ApprovalRequest { subject: Digest::of(b"churn:5"), ..first.clone() },
        ApprovalRequest { requester: ActorId::new("another").unwrap(), ..first.clone() },
        ApprovalRequest { expires_at: first.expires_at + Duration::from_secs(1), ..first.clone() },
    ];
    for other in others {
        let answer = under.ask(&other, now()).await;
        assert_eq!((answer.decision, answer.subject), (ApprovalDecision::Pending, other.subject));
    }
}

/// Many that ask the same at once hear the same.
pub async fn concurrent_asks_get_one_answer(under: &ApproverUnderTest) {
    under.say_yes();
    let answers = race(RACERS, |i| {
        let approver = under.approver.clone();
        let when = now() + Duration::from_secs(i as u64);
        async move { approver.decide(&request("churn:4"), when).await.unwrap() }
    })
    .await;
    assert!(answers.iter().all(|a| *a == answers[0]), "{answers:?}");
}

/// Any text may be asked.
pub async fn questions_of_any_script_are_answered(under: &ApproverUnderTest) {
    under.say_yes();
    for text in TEXTS {
        let request = ApprovalRequest { question: (*text).to_owned(), ..request(text) };
        assert_eq!(under.ask(&request, now()).await.subject, request.subject);
    }
}
