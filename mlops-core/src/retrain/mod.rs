//! Phase 8: decide when to retrain, and close the loop.

pub mod closed_loop;
mod trigger;
mod triggers;

pub use crate::governance::{Approval, ApprovalDecision, ApprovalRequest, Approver};
pub use trigger::{Signal, Trigger, TriggerDecision, TriggerOutcome, TriggerState};
pub use triggers::{
    AnyTrigger, Cooldown, DriftTrigger, EventTrigger, Misfire, PerformanceTrigger, ScheduleTrigger,
    TriggerConfig,
};
