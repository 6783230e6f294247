//! From scores over time to an alarm that does not flutter.
//!
//! One window beyond a threshold is a poor reason to wake somebody, and one below it a poor reason to call the fire off. A
//! [`Policy`] says what it takes: two thresholds instead of one (**hysteresis**: an alarm is raised beyond the first and cleared
//! only inside the second), agreement of **k of the last n** windows, and a **least number of rows** under which a window has
//! no voice. [`step`] is a pure function from a [`State`] and an [`Event`] to the next state and a [`Decision`]; a state is small,
//! serialises with a version, and is all there is to keep between windows. Replaying an event changes nothing.
//!
//! [`step_report`] does the same for a whole [`DriftReport`](mlops_core::monitor::DriftReport), feature by feature.
//!
//! ```
//! use mlops_drift::decision::{Decision, Event, Policy, State, step};
//!
//! // Raised when two of three days are above 0.2, cleared when two of three are below 0.1.
//! let policy = Policy::above(0.2)?.with_leave(0.1)?.with_votes(2, 3)?.with_min_rows(100);
//! let scores = [0.25, 0.05, 0.3, 0.15, 0.15, 0.05, 0.05];
//! let mut state = State::default();
//! let mut decisions = Vec::new();
//! for (day, score) in (1..).zip(scores) {
//!     let at = format!("2026-03-0{day}T00:00:00Z").parse()?;
//!     let decision;
//!     (state, decision) = step(&policy, &state, &Event::new(at, 500, Some(score)));
//!     decisions.push(decision);
//! }
//! use Decision::{Calm, Cleared, Kept, Raised};
//! assert_eq!(decisions, [Calm, Calm, Raised, Kept, Kept, Kept, Cleared]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod board;
mod policy;

pub use board::{Board, Change, step_report};
pub use policy::{AlarmWhen, Decision, Event, Policy, State, step};
