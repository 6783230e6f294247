//! The journal: every state of a rollout and what was to be done in it, written down before it is done.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Effect, Event, RolloutState};
use crate::error::{Error, Result};
use crate::hash::Digest;
use crate::time::{Timestamp, lock};

/// One change of a rollout's state.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Counts the entries of a rollout: 1, 2, 3, … without gaps.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
    /// The state after it.
    pub state: RolloutState,
    /// What was to be done then.
    pub effects: Vec<Effect>,
}

impl JournalEntry {
    /// An entry.
    pub fn new(
        sequence: u64,
        at: Timestamp,
        event: Event,
        state: RolloutState,
        effects: Vec<Effect>,
    ) -> Self {
        Self { sequence, at, event, state, effects }
    }
}

/// Keeps what rollouts went through, each known by the [digest of its plan](super::RolloutPlan::digest).
///
/// # Contract
/// * `append` returns only after the entry is kept, as a whole. It takes entry n + 1 after entry n and nothing else:
///   [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) tells a driver that another one drives the same rollout.
///   (`entries_come_back_as_they_were`, `entries_follow_one_another`, `an_entry_that_was_made_otherwise_is_a_conflict`,
///   `of_many_drivers_one_wins`)
/// * The entry that was appended last, appended again, changes nothing. (`the_last_entry_again_changes_nothing`)
/// * `entries` returns all of a rollout in order; none for a rollout it does not know. (`entries_come_back_in_order`,
///   `an_unknown_rollout_has_no_entries`, `rollouts_are_kept_apart`)
#[async_trait]
pub trait RolloutJournal: Debug + Send + Sync + 'static {
    /// Writes down an entry.
    async fn append(&self, rollout: &Digest, entry: &JournalEntry) -> Result<()>;

    /// Everything written down about a rollout.
    async fn entries(&self, rollout: &Digest) -> Result<Vec<JournalEntry>>;
}

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: RolloutJournal + ?Sized> RolloutJournal for $pointer<T> {
            async fn append(&self, rollout: &Digest, entry: &JournalEntry) -> Result<()> {
                (**self).append(rollout, entry).await
            }

            async fn entries(&self, rollout: &Digest) -> Result<Vec<JournalEntry>> {
                (**self).entries(rollout).await
            }
        }
    };
}
forward!(Arc);
forward!(Box);

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn RolloutJournal) {}

/// A journal in memory: it outlives a driver, not the process.
///
/// ```
/// use mlops_core::deploy::rollout::{RolloutJournal as _, VecJournal};
/// use mlops_core::hash::Digest;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let journal = VecJournal::default();
/// assert!(journal.entries(&Digest::of(b"a plan")).await?.is_empty());
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct VecJournal(Mutex<BTreeMap<Digest, Vec<JournalEntry>>>);

#[async_trait]
impl RolloutJournal for VecJournal {
    async fn append(&self, rollout: &Digest, entry: &JournalEntry) -> Result<()> {
        let mut rollouts = lock(&self.0);
        let entries = rollouts.entry(*rollout).or_default();
        if entries.last() == Some(entry) {
            return Ok(());
        }
        let expected = entries.len() as u64 + 1;
        if entry.sequence != expected {
            let message = "the journal is at another entry: is the rollout driven twice?";
            return Err(Error::conflict("RolloutJournal::append", message, expected, entry.sequence));
        }
        entries.push(entry.clone());
        Ok(())
    }

    async fn entries(&self, rollout: &Digest) -> Result<Vec<JournalEntry>> {
        Ok(lock(&self.0).get(rollout).cloned().unwrap_or_default())
    }
}
