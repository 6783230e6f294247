//! The closed loop: from a reason to retrain to the version that serves, and back when it does not serve well.
//!
//! The rules are a pure function, [`step`]; [`ClosedLoop`] carries them out over traits alone and writes everything into a
//! [`LoopJournal`] first. The order of things, and why, is described there.

mod config;
mod journal;
mod machine;
mod note;
mod runner;
mod state;
#[cfg(test)]
mod tests;
mod trigger;

pub use config::LoopConfig;
pub(crate) use journal::ENTRIES;
pub use journal::{LoopEntry, LoopJournal, LoopStanding, VecLoopJournal};
pub use machine::{LoopEffect, LoopEvent, step};
pub use runner::{ClosedLoop, LoopBackends};
pub use state::{Challenger, Comparison, LoopPhase, LoopState, Serving};
pub use trigger::LoopTrigger;
