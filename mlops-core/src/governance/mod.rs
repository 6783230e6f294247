//! Across all phases: who may, who did, and what must stay secret.

mod approval;
mod approver;
mod audit;
mod secret;

pub use approval::{Approval, ApprovalDecision, ApprovalRequest, Approver};
#[cfg(feature = "local")]
pub(crate) use approver::standing;
pub use approver::{AutoApprover, CallbackApprover};
pub use audit::{
    AuditEntry, AuditLog, AuditLogExt, AuditRecord, AuditVerification, ChainVerifier, Checkpoint,
    verify_chain,
};
pub use secret::{Secret, SecretStore};
