//! Approvals: somebody says yes or no to exactly one thing, for a limited time.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::ApprovalSignature;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::Digest;
use crate::id::ActorId;
use crate::time::Timestamp;

/// What somebody is asked.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRequest {
    /// The digest of what is to be approved: a gate's decision, a plan, a configuration.
    pub subject: Digest,
    /// What it is, as a sentence for the person who decides.
    pub question: String,
    /// Who asks; may not decide.
    pub requester: ActorId,
    /// Until when an answer counts.
    pub expires_at: Timestamp,
}

impl ApprovalRequest {
    /// A question about this subject, open until it expires.
    pub fn new(
        subject: Digest,
        question: impl Into<String>,
        requester: ActorId,
        expires_at: Timestamp,
    ) -> Self {
        Self { subject, question: question.into(), requester, expires_at }
    }
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalDecision {
    /// Yes.
    Approved,
    /// No.
    Rejected,
    /// Not decided yet; ask again later with the same request.
    Pending,
}

/// An answer to a request, bound to its subject.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The digest of what it is about.
    pub subject: Digest,
    /// The decision.
    pub decision: ApprovalDecision,
    /// Who asked.
    pub requester: ActorId,
    /// Who decided.
    pub approver: ActorId,
    /// When.
    pub at: Timestamp,
    /// Until when it counts.
    pub expires_at: Timestamp,
    /// What the approver said.
    pub comment: String,
    /// The approver's signature over everything else, where it is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<ApprovalSignature>,
}

impl Approval {
    /// With this signature.
    #[must_use]
    pub fn with_signature(mut self, signature: impl Into<Option<ApprovalSignature>>) -> Self {
        self.signature = signature.into();
        self
    }

    /// An answer of `approver` to a request, not signed.
    pub fn answer(
        request: &ApprovalRequest,
        decision: ApprovalDecision,
        approver: ActorId,
        comment: impl Into<String>,
        at: Timestamp,
    ) -> Self {
        Self {
            subject: request.subject,
            decision,
            requester: request.requester.clone(),
            approver,
            at,
            expires_at: request.expires_at,
            comment: comment.into(),
            signature: None,
        }
    }

    /// Nothing, if this is a valid yes to `subject`: approved, by somebody else than the one who asked, not expired. That it is
    /// really the approver's, [`ApproverKeys::verify`](super::ApproverKeys::verify) says.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when it is about something else, else [`ErrorKind::Rejected`].
    ///
    /// ```
    /// use mlops_core::governance::{Approval, ApprovalDecision, ApprovalRequest};
    /// use mlops_core::{ActorId, hash::Digest};
    ///
    /// let now = "2026-01-01T00:00:00Z".parse()?;
    /// let request = ApprovalRequest::new(
    ///     Digest::of(b"decision"),
    ///     "Promote churn:4 to champion?",
    ///     ActorId::new("trainer")?,
    ///     "2026-01-02T00:00:00Z".parse()?,
    /// );
    /// let by = |who| Approval::answer(&request, ApprovalDecision::Approved, who, "", now);
    /// assert!(by(ActorId::new("risk-officer")?).require(&request.subject, now).is_ok());
    /// assert!(by(ActorId::new("trainer")?).require(&request.subject, now).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn require(&self, subject: &Digest, now: Timestamp) -> Result<()> {
        const OP: &str = "Approval::require";
        if self.subject != *subject {
            return Err(Error::conflict(OP, "the approval is about something else", subject, self.subject));
        }
        let reason = if self.decision != ApprovalDecision::Approved {
            "it was not approved"
        } else if self.approver == self.requester {
            "nobody can approve what they asked for"
        } else if now >= self.expires_at || self.at >= self.expires_at {
            "the approval has expired"
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Rejected, OP, reason).with("approver", &self.approver))
    }
}

/// Somebody, or something, that can say yes.
///
/// # Contract
/// * The answer is bound to the subject of the request and carries its expiry. (`answer_is_bound_to_the_request`)
/// * The same request asked again gives the same answer once it is decided. (`decided_requests_stay_decided`)
/// * `decide` does not wait for a person: it answers [`ApprovalDecision::Pending`] until there is a decision.
///   (`undecided_requests_are_pending`)
/// * A request that has expired is not approved, also when it was approved in time.
///   (`expired_requests_are_not_approved`, `an_approval_expires_with_its_request`)
/// * Nobody approves what they asked for. (`nobody_approves_what_they_asked_for`)
#[async_trait]
pub trait Approver: Debug + Send + Sync + 'static {
    /// Asks.
    async fn decide(&self, request: &ApprovalRequest, now: Timestamp) -> Result<Approval>;
}

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: Approver + ?Sized> Approver for $pointer<T> {
            async fn decide(&self, request: &ApprovalRequest, now: Timestamp) -> Result<Approval> {
                (**self).decide(request, now).await
            }
        }
    };
}
forward!(Arc);
forward!(Box);

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn Approver) {}
