//! Across all phases: who may, who did, and what must stay secret.

mod approval;
mod approver;
mod audit;
mod authorizer;
pub mod budget;
pub mod cost;
mod denied;
pub mod forecast;
mod guard;
pub mod hygiene;
pub mod maturity;
pub mod policy;
mod principals;
mod questionnaire;
mod role;
mod secret;
mod signature;
#[cfg(feature = "signing")]
mod signing_approver;
#[cfg(feature = "signing")]
pub(crate) mod signing_key;

pub use approval::{Approval, ApprovalDecision, ApprovalRequest, Approver};
#[cfg(feature = "local")]
pub(crate) use approver::standing;
pub use approver::{AutoApprover, CallbackApprover};
pub use audit::{
    AuditEntry, AuditLog, AuditLogExt, AuditRecord, AuditVerification, ChainVerifier, Checkpoint,
    verify_chain,
};
pub use authorizer::{
    AccessRequest, Actor, Authorizer, Denial, Duty, DutyLog, RoleAuthorizer, SeparationOfDuties,
};
pub use denied::Denied;
pub use guard::{BudgetGuard, BudgetStop, Ticket};
pub use principals::Principals;
pub use questionnaire::Questionnaire;
pub use role::{Action, Role, Roles};
pub use secret::{Secret, SecretStore};
pub use signature::{ApprovalSignature, ApproverKeys};
#[cfg(feature = "signing")]
pub use signing_approver::SigningApprover;
