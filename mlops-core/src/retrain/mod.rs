//! Phase 8: decide when to retrain, and close the loop.

mod trigger;

pub use crate::governance::{
    Approval, ApprovalDecision, ApprovalRequest, Approver, AutoApprover, CallbackApprover,
};
pub use trigger::{Signal, Trigger, TriggerDecision, TriggerOutcome, TriggerState};
