//! Phase 8: decide when to retrain, and close the loop.

mod any_trigger;
pub mod closed_loop;
mod cooldown;
mod drift_trigger;
pub mod event_source;
mod event_trigger;
pub mod gates;
mod performance_trigger;
mod schedule_trigger;
mod seen;
mod trigger;
#[cfg(test)]
mod trigger_laws;
mod watched;
mod windows;

pub use crate::governance::{
    Approval, ApprovalDecision, ApprovalRequest, Approver, AutoApprover, CallbackApprover,
};
pub use any_trigger::AnyTrigger;
pub use drift_trigger::DriftTrigger;
pub use event_trigger::EventTrigger;
pub use performance_trigger::PerformanceTrigger;
pub use schedule_trigger::ScheduleTrigger;
pub use trigger::{Signal, Trigger, TriggerDecision, TriggerOutcome, TriggerState};
pub use watched::{TriggerExt, WatchedSignal};
