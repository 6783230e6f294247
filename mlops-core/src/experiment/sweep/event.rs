//! What happens to a sweep.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Budget, SweepSpec};
use crate::experiment::space::Assignment;
use crate::experiment::stopping::Evidence;
use crate::time::Timestamp;

/// Why a trial came to nothing.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The objective returned an error that will come again.
    Permanent,
    /// The objective returned an error that may pass: one of this library's that says that a retry may help.
    Transient,
    /// The objective panicked.
    Panic,
    /// It took longer than [`Budget::max_trial_time`].
    Timeout,
    /// Its value is NaN or infinite.
    NotFinite,
    /// Its lease ran out or its process died.
    Lost,
}

impl FailureClass {
    /// Whether the trial is tried again.
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Transient | Self::Lost)
    }

    /// Its name in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permanent => "permanent",
            Self::Transient => "transient",
            Self::Panic => "panic",
            Self::Timeout => "timeout",
            Self::NotFinite => "not_finite",
            Self::Lost => "lost",
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What was decided about a trial at a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decision {
    /// It stops.
    Stop(Evidence),
    /// It waits at a rung.
    Pause(Evidence),
}

/// How an attempt of a trial ended.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case", deny_unknown_fields)]
pub enum TrialOutcome {
    /// With a value; finite.
    Completed {
        /// The value of the objective.
        value: f64,
    },
    /// It waited at a rung and nobody will promote it any more.
    Pruned,
    /// With nothing.
    Failed {
        /// Why.
        class: FailureClass,
        /// In words.
        message: String,
    },
    /// From outside.
    Cancelled,
}

/// Why a sweep is over.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// All trials of the budget have ended.
    Trials,
    /// The sampler has been through the whole space.
    Exhausted,
    /// The time is used up.
    Time,
    /// The money is.
    Cost,
    /// A budget that is shared with others is, or does not hold another trial; see [`SweepEvent::Refused`].
    Budget,
    /// Too many trials failed.
    Failures,
    /// The first trials all failed: [`Budget::max_first_failures`](super::Budget::max_first_failures).
    FirstFailures,
    /// Somebody cancelled it.
    Cancelled,
}

impl EndReason {
    /// Its name in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trials => "trials",
            Self::Exhausted => "exhausted",
            Self::Time => "time",
            Self::Cost => "cost",
            Self::Budget => "budget",
            Self::Failures => "failures",
            Self::FirstFailures => "first_failures",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which sampler chose, by name and parameters; so that a sweep is not resumed with another.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplerRecord {
    /// Its name.
    pub name: String,
    /// Its parameters.
    pub parameters: serde_json::Value,
}

impl SamplerRecord {
    /// A sampler by name, with its parameters.
    pub fn new(name: impl Into<String>, parameters: serde_json::Value) -> Self {
        Self { name: name.into(), parameters }
    }
}

/// One thing that happened.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum SweepEvent {
    /// The sweep began.
    Created {
        /// What it is to do.
        spec: Box<SweepSpec>,
        /// Which sampler chooses.
        sampler: SamplerRecord,
    },
    /// An engine took it over, with this budget.
    Opened {
        /// The budget from now on.
        budget: Budget,
    },
    /// A new trial was suggested, and queued.
    Asked {
        /// Its number.
        trial: u64,
        /// What it runs with.
        assignment: Assignment,
        /// How many entries the suggestion knows of.
        prefix: u64,
    },
    /// The sampler has nothing left to suggest.
    Exhausted,
    /// A trial that waited at a rung was queued again.
    Promoted {
        /// Its number.
        trial: u64,
    },
    /// An attempt began.
    Started {
        /// The trial.
        trial: u64,
        /// Counts its attempts from 1.
        attempt: u32,
    },
    /// A trial reported a value.
    Reported {
        /// The trial.
        trial: u64,
        /// Its attempt.
        attempt: u32,
        /// The step.
        step: u64,
        /// The value.
        #[serde(with = "crate::num::json_float")]
        value: f64,
        /// What it cost since it last said so.
        #[serde(default, skip_serializing_if = "is_zero")]
        cost: f64,
        /// What was decided; nothing when the trial goes on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decision: Option<Decision>,
    },
    /// A trial said from where it can go on.
    Checkpointed {
        /// The trial.
        trial: u64,
        /// Its attempt.
        attempt: u32,
        /// What it wants to be told when it is run again: a path, a digest.
        checkpoint: String,
    },
    /// An attempt ended.
    Finished {
        /// The trial.
        trial: u64,
        /// Its attempt.
        attempt: u32,
        /// How.
        outcome: TrialOutcome,
        /// What it cost since it last said so.
        #[serde(default, skip_serializing_if = "is_zero")]
        cost: f64,
    },
    /// Nothing was heard of an attempt any more.
    LeaseExpired {
        /// The trial.
        trial: u64,
        /// Its attempt.
        attempt: u32,
    },
    /// Somebody asked that no trial begins until the sweep is opened again.
    Paused,
    /// A budget that is shared with others let no trial begin: the sweep ends.
    Refused {
        /// Why not.
        reason: String,
    },
    /// The sweep is over.
    Ended {
        /// Why.
        reason: EndReason,
    },
}

// By reference, as serde asks.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(cost: &f64) -> bool {
    *cost == 0.0
}

impl SweepEvent {
    /// The trial it is about, if it is about one.
    pub const fn trial(&self) -> Option<u64> {
        match self {
            Self::Asked { trial, .. }
            | Self::Promoted { trial }
            | Self::Started { trial, .. }
            | Self::Reported { trial, .. }
            | Self::Checkpointed { trial, .. }
            | Self::Finished { trial, .. }
            | Self::LeaseExpired { trial, .. } => Some(*trial),
            Self::Created { .. }
            | Self::Opened { .. }
            | Self::Exhausted
            | Self::Paused
            | Self::Refused { .. }
            | Self::Ended { .. } => None,
        }
    }
}

/// An event, where it stands in the journal and when it happened.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepEntry {
    /// Counts the entries of a sweep: 1, 2, 3, … without gaps.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    pub event: SweepEvent,
}

impl SweepEntry {
    /// An entry.
    pub fn new(sequence: u64, at: Timestamp, event: SweepEvent) -> Self {
        Self { sequence, at, event }
    }

    /// Whether two entries say the same; a NaN is the same as a NaN here.
    pub fn is_same(&self, other: &Self) -> bool {
        let told = |entry: &Self| serde_json::to_string(entry).ok();
        self.sequence == other.sequence && (self == other || told(self) == told(other))
    }
}
