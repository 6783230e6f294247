//! Triggers: reasons to retrain, each a pure function of what it remembers, a signal and the time.

mod any;
mod config;
mod cooldown;
mod drift;
mod event;
mod memory;
mod performance;
mod schedule;
#[cfg(test)]
mod support;
mod windows;

pub use any::AnyTrigger;
pub use config::TriggerConfig;
pub use cooldown::Cooldown;
pub use drift::DriftTrigger;
pub use event::EventTrigger;
pub use performance::PerformanceTrigger;
pub use schedule::{Misfire, ScheduleTrigger};
