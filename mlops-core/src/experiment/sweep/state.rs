//! Where a sweep stands.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{EndReason, FailureClass, SamplerRecord, SweepSpec};
use crate::experiment::sampler::{Observation, Outcome};
use crate::experiment::space::Assignment;
use crate::experiment::stopping::{Evidence, Standing, TrialReports};
use crate::hash::Digest;
use crate::id::RunId;
use crate::time::Timestamp;

/// How a trial stands.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum TrialPhase {
    /// Waits for a place.
    Queued,
    /// At work.
    Running,
    /// Waits at a rung to be promoted.
    Paused(Evidence),
    /// Ended with a value.
    Completed {
        /// The value of the objective.
        value: f64,
    },
    /// Ended early.
    Pruned(Evidence),
    /// Ended with nothing.
    Failed {
        /// Why.
        class: FailureClass,
        /// In words.
        message: String,
    },
    /// Ended from outside.
    Cancelled,
}

impl TrialPhase {
    /// Whether nothing will happen to the trial any more.
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::Queued | Self::Running | Self::Paused(_))
    }

    /// Its name in records.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Paused(_) => "paused",
            Self::Completed { .. } => "completed",
            Self::Pruned(_) => "pruned",
            Self::Failed { .. } => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One trial.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Its number: 0, 1, 2, … in the order in which they were suggested.
    pub number: u64,
    /// How many entries of the journal its suggestion knew of.
    pub prefix: u64,
    /// How it stands.
    pub phase: TrialPhase,
    /// How many attempts were begun.
    pub attempts: u32,
    /// How many of them were lost, or failed for a reason that may pass.
    pub losses: u32,
    /// From where it can go on.
    pub checkpoint: Option<String>,
    /// What it cost, over all attempts.
    pub cost: f64,
    /// When its first attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The last step that its present attempt added.
    pub(super) cursor: Option<u64>,
}

impl Trial {
    /// The value that it completed with, if it did.
    pub(super) const fn value(&self) -> Option<f64> {
        match self.phase {
            TrialPhase::Completed { value } => Some(value),
            _ => None,
        }
    }
}

/// From the beginning of a sweep to its first end, or from where it went on after an end to the next.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct SweepRound {
    /// When it began.
    pub began_at: Timestamp,
    /// How it ended, once it has.
    pub end: Option<RoundEnd>,
}

/// How a round of a sweep ended.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct RoundEnd {
    /// Why.
    pub reason: EndReason,
    /// When.
    pub at: Timestamp,
    /// The trial of the whole sweep that was best then.
    pub best: Option<u64>,
}

/// Where a sweep stands: what its journal says.
///
/// Made of entries alone, by [`SweepState::replay`] and [`SweepState::apply`]; the same entries make the same state.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepState {
    pub(super) id: RunId,
    pub(super) spec: SweepSpec,
    pub(super) sampler: SamplerRecord,
    pub(super) entries: u64,
    pub(super) trials: Vec<Trial>,
    /// As the stopping policies see the trials.
    pub(super) reports: Vec<TrialReports>,
    /// As the sampler sees them.
    pub(super) history: Vec<Observation>,
    pub(super) queue: BTreeSet<u64>,
    pub(super) running: BTreeSet<u64>,
    pub(super) waiting: BTreeSet<u64>,
    pub(super) failed: u64,
    /// How many had failed when the last round began.
    pub(super) failed_before: u64,
    pub(super) exhausted: bool,
    pub(super) paused: bool,
    pub(super) refused: Option<String>,
    pub(super) ended: Option<EndReason>,
    pub(super) rounds: Vec<SweepRound>,
    pub(super) cost: f64,
    pub(super) worked: Duration,
    pub(super) last_at: Timestamp,
    pub(super) created_at: Timestamp,
    pub(super) best: Option<u64>,
}

impl SweepState {
    /// The sweep's id, and that of its run.
    pub const fn id(&self) -> &RunId {
        &self.id
    }

    /// What it is to do; the budget is the present one.
    pub const fn spec(&self) -> &SweepSpec {
        &self.spec
    }

    /// Which sampler chooses.
    pub const fn sampler(&self) -> &SamplerRecord {
        &self.sampler
    }

    /// How many entries it was made of.
    pub const fn entries(&self) -> u64 {
        self.entries
    }

    /// All trials, by number.
    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// The trial of a number.
    pub fn trial(&self, number: u64) -> Option<&Trial> {
        self.trials.get(usize::try_from(number).ok()?)
    }

    /// The content that its trials need to go on, as far as their [checkpoints](super::TrialContext::save_checkpoint) are digests. For a sweep
    /// that is not over these are roots of [garbage collection](crate::artifact::ArtifactStore::collect_garbage); the embedded store
    /// finds them itself.
    pub fn contents(&self) -> impl Iterator<Item = Digest> {
        let open = self.trials.iter().filter(|trial| !trial.phase.is_final());
        open.filter_map(|trial| trial.checkpoint.as_ref()?.parse().ok())
    }

    /// What a trial runs with.
    pub fn assignment(&self, number: u64) -> Option<&Assignment> {
        self.history.get(usize::try_from(number).ok()?).map(|observation| &observation.assignment)
    }

    /// What trials reported, by number.
    pub fn reports(&self) -> &[TrialReports] {
        &self.reports
    }

    /// What the sampler is told, by number.
    pub fn history(&self) -> &[Observation] {
        &self.history
    }

    /// The completed trial with the best value; of several the first.
    pub fn best(&self) -> Option<&Trial> {
        self.trial(self.best?)
    }

    /// Why it is over, once it is.
    pub const fn ended(&self) -> Option<EndReason> {
        self.ended
    }

    /// Its rounds: one, and one more for each time that it went on after an end.
    pub fn rounds(&self) -> &[SweepRound] {
        &self.rounds
    }

    /// Whether somebody asked that no trial begins.
    pub const fn is_paused(&self) -> bool {
        self.paused
    }

    /// Why a budget that is shared with others let no trial begin, once it did not.
    pub fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// Whether the sampler has been through the whole space.
    pub const fn is_exhausted(&self) -> bool {
        self.exhausted
    }

    /// What all trials cost together.
    pub const fn cost(&self) -> f64 {
        self.cost
    }

    /// How long engines were at work on it, up to the last entry.
    pub const fn worked(&self) -> Duration {
        self.worked
    }

    /// How long engines were at work on it, up to `now`, if one is.
    pub fn worked_until(&self, now: Timestamp) -> Duration {
        self.worked.saturating_add((now - self.last_at).to_std().unwrap_or_default())
    }

    /// When it began.
    pub const fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// The numbers of the trials at work.
    pub fn running(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.running.iter().copied()
    }

    /// Puts the two other views of a trial in step with its phase.
    pub(super) fn align(&mut self, number: u64) {
        let Ok(at) = usize::try_from(number) else { return };
        let (Some(trial), Some(reports), Some(seen)) =
            (self.trials.get(at), self.reports.get_mut(at), self.history.get_mut(at))
        else {
            return;
        };
        let last = reports.reports.last();
        (reports.standing, seen.outcome) = match &trial.phase {
            TrialPhase::Queued | TrialPhase::Running => (Standing::Running, Outcome::Running),
            TrialPhase::Paused(evidence) => {
                (Standing::Paused { rung: evidence.rung.unwrap_or(0) }, Outcome::Running)
            }
            TrialPhase::Completed { value } => {
                (Standing::Completed { value: *value }, Outcome::Completed { value: *value })
            }
            TrialPhase::Pruned(_) => {
                let value = last.map(|report| report.value).filter(|value| !value.is_nan());
                (Standing::Stopped, Outcome::Pruned { value, step: last.map_or(0, |report| report.step) })
            }
            TrialPhase::Failed { .. } | TrialPhase::Cancelled => (Standing::Failed, Outcome::Failed),
        };
        let (queued, runs) = (trial.phase == TrialPhase::Queued, trial.phase == TrialPhase::Running);
        let waits = matches!(trial.phase, TrialPhase::Paused(_));
        for (set, belongs) in
            [(&mut self.queue, queued), (&mut self.running, runs), (&mut self.waiting, waits)]
        {
            if belongs {
                set.insert(number);
            } else {
                set.remove(&number);
            }
        }
    }
}
