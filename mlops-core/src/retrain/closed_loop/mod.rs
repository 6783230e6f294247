//! The closed loop: from a reason to retrain to the version that serves, and back when it does not serve well.
//!
//! The rules are a pure function, [`step`]; [`ClosedLoop`] carries them out over traits alone. The order of things, and why, is
//! described there.

mod config;
mod machine;
mod runner;
mod state;
#[cfg(test)]
mod tests;

pub use config::LoopConfig;
pub use machine::{LoopEffect, LoopEvent, step};
pub use runner::{ClosedLoop, LoopBackends};
pub use state::{Challenger, LoopPhase, LoopState, Serving};
