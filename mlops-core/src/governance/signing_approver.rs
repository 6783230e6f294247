//! An approver whose answers are signed.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::signing_key::SigningKey;
use super::{Approval, ApprovalDecision, ApprovalRequest, Approver};
use crate::error::Result;
use crate::id::ActorId;
use crate::time::Timestamp;

/// Signs what another approver answers in somebody's name, with their key: for an approver that runs where the key is.
///
/// Answers of others, and those that wait, are passed on as they are. The key is not shown by `Debug`.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::governance::{ApprovalRequest, Approver as _, ApproverKeys, AutoApprover, SigningApprover};
/// use mlops_core::{ActorId, hash::Digest};
/// use mlops_core::oversight::signing::SigningKey;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let (robot, key) = (ActorId::new("auto-approval")?, SigningKey::generate()?);
/// let keys = ApproverKeys::new().with_key(robot.clone(), key.verifying_key().to_pem()?)?;
/// let approver = SigningApprover::new(Arc::new(AutoApprover::new(robot.clone())), robot, key);
/// let request = ApprovalRequest::new(
///     Digest::of(b"decision"),
///     "Promote churn:4 to champion?",
///     ActorId::new("trainer")?,
///     "2026-01-02T00:00:00Z".parse()?,
/// );
/// let answer = approver.decide(&request, "2026-01-01T00:00:00Z".parse()?).await?;
/// keys.verify(&answer)?;
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SigningApprover {
    approver: Arc<dyn Approver>,
    signer: ActorId,
    key: SigningKey,
}

impl SigningApprover {
    /// Signs what `approver` answers as `signer`, with the key of `signer`.
    pub fn new(approver: Arc<dyn Approver>, signer: ActorId, key: SigningKey) -> Self {
        Self { approver, signer, key }
    }
}

impl fmt::Debug for SigningApprover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("SigningApprover");
        out.field("approver", &self.approver).field("signer", &self.signer).finish_non_exhaustive()
    }
}

#[async_trait]
impl Approver for SigningApprover {
    async fn decide(&self, request: &ApprovalRequest, now: Timestamp) -> Result<Approval> {
        let answer = self.approver.decide(request, now).await?;
        let own = answer.approver == self.signer && answer.decision != ApprovalDecision::Pending;
        if own && answer.signature.is_none() { answer.signed(&self.key) } else { Ok(answer) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::approver::ApproverUnderTest;
    use crate::governance::{AutoApprover, CallbackApprover};

    fn officer() -> ActorId {
        ActorId::new("risk-officer").unwrap()
    }

    fn signing(approver: impl Approver) -> ApproverUnderTest {
        let key = SigningKey::generate().unwrap();
        ApproverUnderTest::new(Arc::new(SigningApprover::new(Arc::new(approver), officer(), key)))
    }

    crate::approver_suite!(signing_what_is_approved, signing(AutoApprover::new(officer())));
    crate::approver_suite!(
        signing_what_is_rejected,
        signing(CallbackApprover::new(officer(), |_| (ApprovalDecision::Rejected, "because".to_owned())))
    );

    #[tokio::test]
    async fn answers_of_others_and_those_that_wait_are_not_signed() {
        let now = chrono::DateTime::UNIX_EPOCH;
        let request = ApprovalRequest {
            subject: crate::hash::Digest::of(b"decision"),
            question: "Promote?".to_owned(),
            requester: ActorId::new("trainer").unwrap(),
            expires_at: now + chrono::TimeDelta::hours(1),
        };
        let waits = CallbackApprover::new(officer(), |_| (ApprovalDecision::Pending, String::new()));
        let other = AutoApprover::new(ActorId::new("somebody").unwrap());
        for approver in [Arc::new(waits) as Arc<dyn Approver>, Arc::new(other)] {
            let signing = SigningApprover::new(approver, officer(), SigningKey::generate().unwrap());
            assert_eq!(signing.decide(&request, now).await.unwrap().signature, None);
            assert!(!format!("{signing:?}").contains("PRIVATE"));
        }
    }
}
