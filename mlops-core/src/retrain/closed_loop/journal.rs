//! The journal of loops: what happened, what was recorded of it, and where the loop stands, written down before anything is done.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{LoopEffect, LoopEvent, LoopPhase, LoopState};
use crate::error::{Error, Result};
use crate::id::IdempotencyKey;
use crate::retrain::gates::GateRecord;
use crate::time::{Timestamp, lock};

/// One thing that happened to a loop, and what followed from it.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoopEntry {
    /// Counts the entries of a loop: 1, 2, 3, … without gaps.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub event: LoopEvent,
    /// The phase it led to, where that is another one.
    pub phase: Option<LoopPhase>,
    /// What was to be done, and what was recorded.
    pub effects: Vec<LoopEffect>,
}

impl LoopEntry {
    /// An entry.
    pub fn new(
        sequence: u64,
        at: Timestamp,
        event: LoopEvent,
        phase: Option<LoopPhase>,
        effects: Vec<LoopEffect>,
    ) -> Self {
        Self { sequence, at, event, phase, effects }
    }

    /// What the gates decided in it: about every reason to retrain, also those that were held back.
    pub fn records(&self) -> impl Iterator<Item = &GateRecord> {
        self.effects.iter().filter_map(|effect| match effect {
            LoopEffect::Recorded(record) => Some(&**record),
            _ => None,
        })
    }
}

/// Where a loop stands.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoopStanding {
    /// The number of its last entry.
    pub sequence: u64,
    /// The state after it.
    pub state: LoopState,
}

impl LoopStanding {
    /// Where a loop stands; for backends.
    pub fn new(sequence: u64, state: LoopState) -> Self {
        Self { sequence, state }
    }
}

/// Keeps what loops went through, each known by the id in its [state](LoopState::id).
///
/// A loop lives for years: the entries are many and small, the state is one and is replaced.
///
/// # Contract
/// * `append` returns only after entry and state are kept, both or neither. It takes entry n + 1 after entry n and nothing else:
///   [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) tells a loop that another one is driven under its id.
///   (`an_entry_and_its_state_come_back`, `entries_follow_one_another`, `an_entry_that_was_made_otherwise_is_a_conflict`,
///   `of_many_drivers_one_wins`)
/// * The entry that was appended last, appended again with the same state, changes nothing.
///   (`the_last_entry_again_changes_nothing`)
/// * `standing` is the state that came with the last entry; `None` for a loop it does not know. (`the_last_state_stands`,
///   `an_unknown_loop_stands_nowhere`, `loops_are_kept_apart`)
/// * `entries` returns those after a number in order, at most `limit` of them and never more than 1 000. (`entries_are_paged`)
#[async_trait]
pub trait LoopJournal: Debug + Send + Sync + 'static {
    /// Writes down an entry, and the state after it, of the loop with that state's id.
    async fn append(&self, entry: &LoopEntry, state: &LoopState) -> Result<()>;

    /// Where a loop stands.
    async fn standing(&self, id: &IdempotencyKey) -> Result<Option<LoopStanding>>;

    /// The entries of a loop after the one with the number `after`, of which 0 is before the first.
    async fn entries(&self, id: &IdempotencyKey, after: u64, limit: usize) -> Result<Vec<LoopEntry>>;
}

/// The most entries that one call of [`LoopJournal::entries`] returns.
pub(crate) const ENTRIES: usize = 1_000;

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: LoopJournal + ?Sized> LoopJournal for $pointer<T> {
            async fn append(&self, entry: &LoopEntry, state: &LoopState) -> Result<()> {
                (**self).append(entry, state).await
            }

            async fn standing(&self, id: &IdempotencyKey) -> Result<Option<LoopStanding>> {
                (**self).standing(id).await
            }

            async fn entries(&self, id: &IdempotencyKey, after: u64, limit: usize) -> Result<Vec<LoopEntry>> {
                (**self).entries(id, after, limit).await
            }
        }
    };
}
forward!(Arc);
forward!(Box);

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn LoopJournal) {}

/// A journal in memory: it outlives a loop, not the process.
///
/// ```
/// use mlops_core::IdempotencyKey;
/// use mlops_core::retrain::closed_loop::{LoopJournal as _, VecLoopJournal};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let journal = VecLoopJournal::default();
/// assert!(journal.standing(&IdempotencyKey::new("diabetes")?).await?.is_none());
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct VecLoopJournal(Mutex<BTreeMap<IdempotencyKey, Kept>>);

#[derive(Debug)]
struct Kept {
    entries: Vec<LoopEntry>,
    state: LoopState,
}

#[async_trait]
impl LoopJournal for VecLoopJournal {
    async fn append(&self, entry: &LoopEntry, state: &LoopState) -> Result<()> {
        let mut loops = lock(&self.0);
        let known = loops.get_mut(&state.id);
        if known.as_ref().is_some_and(|kept| kept.entries.last() == Some(entry) && kept.state == *state) {
            return Ok(());
        }
        let expected = known.as_ref().map_or(0, |kept| kept.entries.len() as u64) + 1;
        if entry.sequence != expected {
            let message = "the journal is at another entry: is the loop driven twice?";
            return Err(Error::conflict("LoopJournal::append", message, expected, entry.sequence));
        }
        match known {
            Some(kept) => {
                kept.entries.push(entry.clone());
                kept.state = state.clone();
            }
            None => {
                let kept = Kept { entries: vec![entry.clone()], state: state.clone() };
                loops.insert(state.id.clone(), kept);
            }
        }
        Ok(())
    }

    async fn standing(&self, id: &IdempotencyKey) -> Result<Option<LoopStanding>> {
        let loops = lock(&self.0);
        let standing = |kept: &Kept| LoopStanding::new(kept.entries.len() as u64, kept.state.clone());
        Ok(loops.get(id).map(standing))
    }

    async fn entries(&self, id: &IdempotencyKey, after: u64, limit: usize) -> Result<Vec<LoopEntry>> {
        let loops = lock(&self.0);
        let entries = loops.get(id).map_or(&[][..], |kept| &kept.entries);
        let after = usize::try_from(after).unwrap_or(usize::MAX);
        Ok(entries.iter().skip(after).take(limit.min(ENTRIES)).cloned().collect())
    }
}
