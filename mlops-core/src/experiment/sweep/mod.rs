//! Sweeps: many trials of one objective, each with other values, that survive being killed.
//!
//! A [`SweepState`] is a pure state machine: what may happen next follows from it, and everything that happens is a
//! [`SweepEvent`] in a [`SweepJournal`] before anything else is done about it. A `Sweep` (with the feature `runtime`) drives it:
//! it asks the sampler, runs the user's objective in tasks, hears its reports, lets the stopping policy decide, and keeps the
//! experiment tracker in step.
//!
//! ```text
//! Queued → Running ─┬→ Completed
//!   ↑   ↖  │  ↑     ├→ Pruned      (what decided is kept)
//!   │    └─┴──┼─────┼→ Failed      (by class; some are tried again)
//!   │ Paused ─┘     └→ Cancelled
//!   └─ lost: the lease ran out, or the process died
//! ```
//!
//! # What is promised
//! * **No trial is lost or duplicated.** Trials are numbered 0, 1, 2, … without gaps. One whose process died is queued again
//!   with the same values and its last checkpoint, up to [`Budget::max_attempts`] times, before any new trial; then it is failed
//!   as lost, never in silence.
//! * **The same suggestions after a kill.** A suggestion is a pure function of the space, the seed, the trial's number and what
//!   the entries of the journal before it say; how many those were is written down with it. [`verify_suggestions`] asks again.
//!   With one worker and an objective that gives the same values for the same trial, a sweep that was killed any number of
//!   times has the trials, values and decisions of one that was not. With several, the order of the entries decides, and that
//!   order is kept.
//! * **What was reported is not forgotten.** When `report` has answered, the value and what was decided about it are in the
//!   journal. A trial that is run again and reports the same values at the same steps adds nothing; other values replace those
//!   from there on, and both stay in the journal.
//! * **One engine.** Entry n + 1 is written after entry n and nothing else; of two engines one is told.
//! * **One run for each trial.** A trial's run has an id that follows from the sweep's and its number, its parent is the sweep's
//!   run. The journal is the truth; the runs are made to agree with it when a sweep is resumed.
//! * **A result is never changed.** The sweep's run ends when the sweep does, with why, and which trial was best. A sweep that goes on
//!   after that, with a greater budget, has a run within its own for each further [round](SweepState::rounds), with how the whole sweep
//!   stands when that ends; [`SweepSummary::run`] is the last of them.

mod azure;
#[cfg(feature = "runtime")]
mod context;
#[cfg(feature = "runtime")]
mod engine;
mod event;
mod journal;
mod machine;
mod progress;
#[cfg(feature = "runtime")]
mod projection;
#[cfg(feature = "runtime")]
mod runner;
mod spec;
mod state;
mod summary;

pub use azure::AzureSweep;
#[cfg(feature = "runtime")]
pub use context::{Signal, TrialContext, TrialError};
pub use event::{Decision, EndReason, FailureClass, SamplerRecord, SweepEntry, SweepEvent, TrialOutcome};
pub use journal::SweepJournal;
pub use machine::{Action, verify_suggestions};
pub use progress::{SweepProgress, TerminalProgress};
#[cfg(feature = "runtime")]
pub use runner::{Sweep, SweepControl};
pub use spec::{Budget, SweepSpec};
pub use state::{RoundEnd, SweepRound, SweepState, Trial, TrialPhase};
pub use summary::{BestTrial, SweepSummary, TrialCounts};
