//! What an objective is given.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, ErrorKind, Result};
use crate::experiment::space::Assignment;
use crate::id::RunId;
use crate::num::Random;

/// What an objective fails with: any error. One of this library's that says that a retry may help is tried again.
pub type TrialError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What a trial is to do after a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Go on.
    Continue,
    /// Return now; what is returned does not count any more.
    Stop,
    /// Return now; the objective may be called again for the same trial, with its last checkpoint, to go on.
    Pause,
}

impl Signal {
    /// Whether the objective is to return.
    ///
    /// ```
    /// use mlops_core::experiment::sweep::Signal;
    /// assert!(Signal::Stop.is_stop() && Signal::Pause.is_stop() && !Signal::Continue.is_stop());
    /// ```
    pub const fn is_stop(self) -> bool {
        !matches!(self, Self::Continue)
    }
}

/// What a task tells the engine.
#[derive(Debug)]
pub(super) enum Message {
    Report {
        trial: u64,
        attempt: u32,
        step: u64,
        value: f64,
        cost: f64,
        answer: oneshot::Sender<Result<Signal>>,
    },
    Checkpoint {
        trial: u64,
        attempt: u32,
        checkpoint: String,
        answer: oneshot::Sender<Result<()>>,
    },
    Heartbeat {
        trial: u64,
        attempt: u32,
    },
    Ended {
        trial: u64,
        attempt: u32,
        result: Result<f64, super::engine::Failure>,
        cost: f64,
    },
    /// Look at what was asked for.
    Wake,
}

/// One attempt of one trial: what it runs with, and how it reports.
///
/// Cheap to clone, for objectives that report from elsewhere.
#[derive(Clone, Debug)]
pub struct TrialContext {
    pub(super) shared: Arc<Shared>,
    pub(super) engine: mpsc::UnboundedSender<Message>,
}

/// What all clones of a context share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) trial: u64,
    pub(super) attempt: u32,
    pub(super) assignment: Assignment,
    pub(super) seed: u64,
    pub(super) run: RunId,
    pub(super) checkpoint: Option<String>,
    pub(super) last_step: Option<u64>,
    /// What the trial cost since it last said so, as bits.
    pub(super) cost: AtomicU64,
}

impl Shared {
    /// Adds to the cost that was not told yet.
    fn add(&self, cost: f64) {
        let add = |bits: u64| Some((f64::from_bits(bits) + cost).to_bits());
        // The function never refuses.
        let _ = self.cost.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Takes the cost that was not told yet.
    pub(super) fn take(&self) -> f64 {
        f64::from_bits(self.cost.swap(0.0_f64.to_bits(), Ordering::Relaxed))
    }
}

impl TrialContext {
    /// The trial's number.
    pub fn number(&self) -> u64 {
        self.shared.trial
    }

    /// Counts the attempts of the trial from 1.
    pub fn attempt(&self) -> u32 {
        self.shared.attempt
    }

    /// What the trial runs with.
    pub fn assignment(&self) -> &Assignment {
        &self.shared.assignment
    }

    /// The id of the trial's run.
    pub fn run(&self) -> &RunId {
        &self.shared.run
    }

    /// Randomness of this trial: the same for every attempt, so that one that is run again gives the same values.
    pub fn random(&self) -> Random {
        Random::new(self.shared.seed).stream("trial").nth(self.shared.trial)
    }

    /// What an earlier attempt saved last with [`save_checkpoint`](Self::save_checkpoint).
    pub fn checkpoint(&self) -> Option<&str> {
        self.shared.checkpoint.as_deref()
    }

    /// The last step that an earlier attempt reported.
    pub fn last_step(&self) -> Option<u64> {
        self.shared.last_step
    }

    /// Says what the trial cost, in the unit of the budget's; it adds up. What is negative or not finite is left out. It is
    /// written down with the next report or the end of the trial.
    pub fn spend(&self, cost: f64) {
        if cost.is_finite() && cost > 0.0 {
            self.shared.add(cost);
        }
    }

    /// Reports a value of the metric at a step. When this returns, both are written down.
    ///
    /// Steps grow within an attempt. Another attempt begins where it likes: a value that is the same as before adds nothing.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a step that does not grow, or is beyond the greatest; [`ErrorKind::Cancelled`] when the
    /// engine is gone: return then.
    pub async fn report(&self, step: u64, value: f64) -> Result<Signal> {
        let (answer, receiver) = oneshot::channel();
        self.send(self.report_message(step, value, answer))?;
        receiver.await.map_err(|_| gone())?
    }

    /// As [`report`](Self::report), from a thread that may block; see [`Sweep::run_blocking`](super::Sweep::run_blocking).
    ///
    /// # Errors
    /// As [`report`](Self::report).
    ///
    /// # Panics
    /// Within an async task, where nothing may block.
    pub fn report_blocking(&self, step: u64, value: f64) -> Result<Signal> {
        let (answer, receiver) = oneshot::channel();
        self.send(self.report_message(step, value, answer))?;
        receiver.blocking_recv().map_err(|_| gone())?
    }

    fn report_message(&self, step: u64, value: f64, answer: oneshot::Sender<Result<Signal>>) -> Message {
        let Shared { trial, attempt, .. } = *self.shared;
        Message::Report { trial, attempt, step, value, cost: self.shared.take(), answer }
    }

    /// Saves from where the trial can go on: a path, a digest. The next attempt is given it. A digest in full, `sha256:` and
    /// all, keeps its content from garbage collection until the trial has ended; see [`SweepState::contents`](super::SweepState::contents).
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`] for a text that is too long; [`ErrorKind::Cancelled`] when the engine is gone.
    pub async fn save_checkpoint(&self, checkpoint: impl Into<String>) -> Result<()> {
        let (answer, receiver) = oneshot::channel();
        let Shared { trial, attempt, .. } = *self.shared;
        self.send(Message::Checkpoint { trial, attempt, checkpoint: checkpoint.into(), answer })?;
        receiver.await.map_err(|_| gone())?
    }

    /// Says that the trial is alive, where the budget has a lease.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] when the engine is gone.
    pub fn heartbeat(&self) -> Result<()> {
        let Shared { trial, attempt, .. } = *self.shared;
        self.send(Message::Heartbeat { trial, attempt })
    }

    fn send(&self, message: Message) -> Result<()> {
        self.engine.send(message).map_err(|_| gone())
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Cancelled, "TrialContext", "the sweep is not run any more")
}
