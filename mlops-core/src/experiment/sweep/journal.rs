//! The journal: everything that happens to a sweep, written down before it counts.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use super::SweepEntry;
use crate::error::Result;
use crate::id::RunId;

/// Keeps what sweeps went through, each known by its id.
///
/// # Contract
/// * `append` returns only after the entry is kept, as a whole. It takes entry n + 1 after entry n and nothing else:
///   [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) tells an engine that another one has taken the sweep over.
///   (`entries_come_back_as_they_were`, `entries_follow_one_another`, `an_entry_that_was_made_otherwise_is_a_conflict`,
///   `of_many_engines_one_wins`, `an_engine_that_was_overtaken_writes_nothing_more`)
/// * The entry that was appended last, appended again, changes nothing. (`the_last_entry_again_changes_nothing`)
/// * `entries` returns all of a sweep in order, but for the first `after`; none for a sweep it does not know.
///   (`entries_come_back_in_order`, `reading_may_begin_anywhere`, `an_unknown_sweep_has_no_entries`,
///   `sweeps_are_kept_apart`, `concurrent_sweeps_do_not_meet`)
#[async_trait]
pub trait SweepJournal: Debug + Send + Sync + 'static {
    /// Writes down an entry.
    async fn append(&self, sweep: &RunId, entry: &SweepEntry) -> Result<()>;

    /// What is written down about a sweep, without its first `after` entries.
    async fn entries(&self, sweep: &RunId, after: u64) -> Result<Vec<SweepEntry>>;
}

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: SweepJournal + ?Sized> SweepJournal for $pointer<T> {
            async fn append(&self, sweep: &RunId, entry: &SweepEntry) -> Result<()> {
                (**self).append(sweep, entry).await
            }

            async fn entries(&self, sweep: &RunId, after: u64) -> Result<Vec<SweepEntry>> {
                (**self).entries(sweep, after).await
            }
        }
    };
}
forward!(Arc);
forward!(Box);

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn SweepJournal) {}
