//! What is kept in a spool: the calls that change something, and what came of those that were refused.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};
use crate::experiment::{ExperimentSpec, LogBatch, RunEnd, RunSpec};
use crate::id::RunId;
use crate::time::Timestamp;

/// The name of an entry in a spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SpoolId(Uuid);

impl SpoolId {
    /// The bytes of an id at the beginning of a frame.
    pub(super) const LEN: usize = 16;

    pub(super) fn new() -> Self {
        Self(Uuid::now_v7())
    }

    pub(super) fn as_bytes(&self) -> &[u8; Self::LEN] {
        self.0.as_bytes()
    }

    /// The id that a frame begins with, and the rest of it.
    pub(super) fn split(payload: &[u8]) -> Option<(Self, &[u8])> {
        let (id, rest) = payload.split_first_chunk()?;
        Some((Self(Uuid::from_bytes(*id)), rest))
    }
}

impl fmt::Display for SpoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A call that waits in a spool, complete with its times and its key: sent again, it is the same call.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpooledCall {
    /// [`ensure_experiment`](crate::experiment::ExperimentTracker::ensure_experiment).
    EnsureExperiment(ExperimentSpec),
    /// [`start_run`](crate::experiment::ExperimentTracker::start_run).
    StartRun(Box<RunSpec>),
    /// [`write`](crate::experiment::ExperimentTracker::write).
    Write {
        /// The run that is logged to.
        run: RunId,
        /// What is logged.
        batch: LogBatch,
    },
    /// [`finish_run`](crate::experiment::ExperimentTracker::finish_run).
    FinishRun {
        /// The run that ends.
        run: RunId,
        /// How it ends.
        end: RunEnd,
    },
    /// [`set_deleted`](crate::experiment::ExperimentTracker::set_deleted).
    SetDeleted {
        /// The run that is hidden or shown again.
        run: RunId,
        /// Whether it is hidden.
        deleted: bool,
    },
}

impl SpooledCall {
    /// The run that it changes, if it is about one.
    pub fn run(&self) -> Option<&RunId> {
        match self {
            Self::EnsureExperiment(_) => None,
            Self::StartRun(spec) => Some(&spec.id),
            Self::Write { run, .. } | Self::FinishRun { run, .. } | Self::SetDeleted { run, .. } => Some(run),
        }
    }

    /// The call, as `Trait::method`.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::EnsureExperiment(_) => "ExperimentTracker::ensure_experiment",
            Self::StartRun(_) => "ExperimentTracker::start_run",
            Self::Write { .. } => "ExperimentTracker::write",
            Self::FinishRun { .. } => "ExperimentTracker::finish_run",
            Self::SetDeleted { .. } => "ExperimentTracker::set_deleted",
        }
    }

    /// The frame of this call. What would not come back as it is, is refused now and not when it is sent.
    pub(super) fn encode(&self, id: SpoolId) -> Result<Vec<u8>> {
        let mut payload = id.as_bytes().to_vec();
        serde_json::to_writer(&mut payload, self).map_err(|e| self.unspeakable().with_source(e))?;
        match Self::decode(&payload) {
            Some((_, same)) if same == *self => Ok(payload),
            _ => Err(self.unspeakable()),
        }
    }

    pub(super) fn decode(payload: &[u8]) -> Option<(SpoolId, Self)> {
        let (id, rest) = SpoolId::split(payload)?;
        Some((id, serde_json::from_slice(rest).ok()?))
    }

    fn unspeakable(&self) -> Error {
        Error::new(ErrorKind::Internal, self.operation(), "the call cannot be written down")
    }
}

/// Why an entry was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Refusal {
    pub(super) kind: ErrorKind,
    pub(super) message: String,
    pub(super) at: Timestamp,
}

impl Refusal {
    pub(super) fn encode(&self, id: SpoolId) -> Result<Vec<u8>> {
        let mut payload = id.as_bytes().to_vec();
        serde_json::to_writer(&mut payload, self).map_err(|e| {
            Error::new(ErrorKind::Internal, "Spooled::replay", "the refusal cannot be written down")
                .with_source(e)
        })?;
        Ok(payload)
    }

    pub(super) fn decode(payload: &[u8]) -> Option<(SpoolId, Self)> {
        let (id, rest) = SpoolId::split(payload)?;
        Some((id, serde_json::from_slice(rest).ok()?))
    }
}
