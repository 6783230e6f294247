//! The journal: every step forward of a run, written down before anything follows from it.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::PipelineEvent;
use crate::error::Result;
use crate::id::RunId;
use crate::time::Timestamp;

/// One thing that happened to a run.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineEntry {
    /// Counts the entries of a run: 1, 2, 3, … without gaps.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub event: PipelineEvent,
}

impl PipelineEntry {
    /// An entry.
    pub fn new(sequence: u64, at: Timestamp, event: PipelineEvent) -> Self {
        Self { sequence, at, event }
    }
}

/// Keeps what runs of pipelines went through.
///
/// # Contract
/// * `append` returns only after the entry is kept, as a whole. It takes entry n + 1 after entry n and nothing else:
///   [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) tells an executor that another one drives the same run.
///   (`entries_come_back_as_they_were`, `entries_follow_one_another`, `an_entry_that_was_made_otherwise_is_a_conflict`,
///   `of_many_executors_one_wins`)
/// * The entry that was appended last, appended again, changes nothing. (`the_last_entry_again_changes_nothing`)
/// * `entries` returns all of a run in order; none for a run it does not know. (`entries_come_back_in_order`,
///   `an_unknown_run_has_no_entries`, `runs_are_kept_apart`)
#[async_trait]
pub trait PipelineJournal: Debug + Send + Sync + 'static {
    /// Writes down an entry.
    async fn append(&self, run: &RunId, entry: &PipelineEntry) -> Result<()>;

    /// Everything written down about a run.
    async fn entries(&self, run: &RunId) -> Result<Vec<PipelineEntry>>;
}

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: PipelineJournal + ?Sized> PipelineJournal for $pointer<T> {
            async fn append(&self, run: &RunId, entry: &PipelineEntry) -> Result<()> {
                (**self).append(run, entry).await
            }

            async fn entries(&self, run: &RunId) -> Result<Vec<PipelineEntry>> {
                (**self).entries(run).await
            }
        }
    };
}
forward!(Arc);
forward!(Box);

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn PipelineJournal) {}
