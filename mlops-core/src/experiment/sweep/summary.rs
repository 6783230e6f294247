//! How a sweep went.

use std::fmt;
use std::time::Duration;

use super::{EndReason, SweepState, TrialPhase};
use crate::error::quote;
use crate::experiment::space::Assignment;
use crate::id::RunId;

/// How many trials stand how.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrialCounts {
    /// Ended with a value.
    pub completed: u64,
    /// Ended early.
    pub pruned: u64,
    /// Ended with nothing.
    pub failed: u64,
    /// Ended from outside.
    pub cancelled: u64,
    /// Not ended.
    pub open: u64,
}

impl TrialCounts {
    /// The counts of a sweep. O(trials).
    pub fn of(state: &SweepState) -> Self {
        let mut counts = Self::default();
        for trial in state.trials() {
            *match trial.phase {
                TrialPhase::Completed { .. } => &mut counts.completed,
                TrialPhase::Pruned(_) => &mut counts.pruned,
                TrialPhase::Failed { .. } => &mut counts.failed,
                TrialPhase::Cancelled => &mut counts.cancelled,
                TrialPhase::Queued | TrialPhase::Running | TrialPhase::Paused(_) => &mut counts.open,
            } += 1;
        }
        counts
    }

    /// All of them.
    pub const fn total(&self) -> u64 {
        self.completed + self.pruned + self.failed + self.cancelled + self.open
    }
}

impl fmt::Display for TrialCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} completed, {} pruned, {} failed", self.completed, self.pruned, self.failed)?;
        for (count, what) in [(self.cancelled, "cancelled"), (self.open, "open")] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

/// The best trial.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct BestTrial {
    /// Its number.
    pub number: u64,
    /// The value of the objective.
    pub value: f64,
    /// What it ran with.
    pub assignment: Assignment,
    /// Its run.
    pub run: RunId,
}

/// How a sweep went, or how it stands.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct SweepSummary {
    /// The sweep's id, and that of the run that all others are within.
    pub id: RunId,
    /// The run that says in a tracker how it went: that of the last [round](SweepState::rounds).
    pub run: RunId,
    /// Why it is over; `None` when it is not: it was paused.
    pub ended: Option<EndReason>,
    /// Why a budget that is shared with others let no more trials begin, where it did not.
    pub refused: Option<String>,
    /// How many trials stand how.
    pub trials: TrialCounts,
    /// The best of those that completed; of several the first.
    pub best: Option<BestTrial>,
    /// How long engines were at work on it.
    pub worked: Duration,
    /// What all trials cost together.
    pub cost: f64,
    /// How many attempts were lost, or failed for a reason that may pass.
    pub losses: u64,
    /// What went wrong last with the tracker; the journal has everything, and running the sweep again tries again.
    pub tracker_problem: Option<String>,
}

impl SweepSummary {
    /// The summary of a state.
    pub fn of(state: &SweepState) -> Self {
        let best = state.best().and_then(|trial| {
            let value = trial.value()?;
            let assignment = state.assignment(trial.number)?.clone();
            let run = super::spec::trial_run(state.id(), trial.number);
            Some(BestTrial { number: trial.number, value, assignment, run })
        });
        Self {
            id: state.id().clone(),
            run: super::spec::round_run(state.id(), state.rounds().len() - 1),
            ended: state.ended(),
            refused: state.refused().map(str::to_owned),
            trials: TrialCounts::of(state),
            best,
            worked: state.worked(),
            cost: state.cost(),
            losses: state.trials().iter().map(|trial| u64::from(trial.losses)).sum(),
            tracker_problem: None,
        }
    }
}

impl fmt::Display for SweepSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} trials: {}", self.trials.total(), self.trials)?;
        if let Some(best) = &self.best {
            write!(f, "; best {} in trial {} with {}", best.value, best.number, best.assignment)?;
        }
        match (self.ended, &self.refused) {
            (Some(reason), Some(refused)) => write!(f, "; ended by {reason}: {}", quote(refused)),
            (Some(reason), None) => write!(f, "; ended by {reason}"),
            (None, _) => f.write_str("; not over"),
        }
    }
}
