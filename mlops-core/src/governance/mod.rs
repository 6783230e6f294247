//! Across all phases: who may, who did, and what must stay secret.

mod approval;
mod audit;
mod secret;

pub use approval::{Approval, ApprovalDecision, ApprovalRequest, Approver};
pub use audit::{
    AuditEntry, AuditLog, AuditLogExt, AuditRecord, AuditVerification, Checkpoint, verify_chain,
};
pub use secret::{Secret, SecretStore};
