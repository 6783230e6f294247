//! The embedded journal of rollouts.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::Connection;

use super::db::Durability;
use super::numbered::{self, Numbered};
use super::store::{Inner, LocalStore};
use super::verify::Findings;
use crate::deploy::rollout::{JournalEntry, RolloutJournal, RolloutState};
use crate::error::Result;
use crate::hash::Digest;

const APPEND: &str = "RolloutJournal::append";
const ENTRIES: &str = "RolloutJournal::entries";

/// The journal of rollouts in a folder: a rollout goes on where it was, in whatever process.
///
/// An entry that was appended survives a power cut. Of two drivers that append the same entry number one wins, whichever
/// processes they are in; the other one is told. A journal that is damaged or has a gap is
/// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt): no rollout is driven on from a state that nobody wrote.
///
/// ```
/// use mlops_core::deploy::rollout::{Event, JournalEntry, RolloutJournal as _, RolloutOptions, RolloutPlan, RolloutState};
/// use mlops_core::local::LocalStore;
/// # use mlops_core::{ActorId, DeploymentName, EndpointName};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// # let folder = dir.path();
/// # let (endpoint, blue) = (EndpointName::new("diabetes")?, DeploymentName::new("blue")?);
/// # let plan = RolloutPlan::first(endpoint, blue, ActorId::new("release-bot")?, RolloutOptions::default())?;
/// # let now = chrono::DateTime::UNIX_EPOCH;
/// let journal = LocalStore::open(folder)?.rollouts();
/// let entry = JournalEntry::new(1, now, Event::Tick, RolloutState::new(plan.clone()), Vec::new());
/// journal.append(&plan.digest()?, &entry).await?;
/// drop(journal);
///
/// // After a restart: which rollouts have not ended?
/// let journal = LocalStore::open(folder)?.rollouts();
/// assert_eq!(journal.unfinished().await?[0].plan, plan);
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct LocalRolloutJournal {
    store: Arc<Inner>,
}

impl LocalStore {
    /// The journal of rollouts.
    pub fn rollouts(&self) -> LocalRolloutJournal {
        LocalRolloutJournal { store: self.inner().clone() }
    }
}

impl LocalRolloutJournal {
    /// Where every rollout stands that has not ended, in the order in which they began: each goes on with
    /// [`RolloutDriver::resume`](crate::deploy::rollout::RolloutDriver::resume) and the plan in its state.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) for a journal that is damaged.
    pub async fn unfinished(&self) -> Result<Vec<RolloutState>> {
        self.store.db.read("LocalRolloutJournal::unfinished", unfinished).await
    }
}

impl fmt::Debug for LocalRolloutJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalRolloutJournal").field("folder", &self.store.root).finish_non_exhaustive()
    }
}

impl Numbered for JournalEntry {
    const TABLE: &'static str = "rollout_entry";
    const OF: &'static str = "rollout";

    fn sequence(&self) -> u64 {
        self.sequence
    }
}

fn unfinished(connection: &Connection) -> Result<Vec<RolloutState>> {
    const OP: &str = "LocalRolloutJournal::unfinished";
    let mut standing = Vec::new();
    for rollout in numbered::names::<JournalEntry>(OP, connection)? {
        let entries: Vec<JournalEntry> = numbered::entries(OP, connection, &rollout)?;
        let Some((first, last)) = entries.first().zip(entries.last()) else { continue };
        if !last.state.phase.is_terminal() {
            standing.push((first.at, last.state.clone()));
        }
    }
    standing.sort_by_key(|(began, _)| *began);
    Ok(standing.into_iter().map(|(_, state)| state).collect())
}

/// Checks every entry, and that they are contiguous.
pub(crate) fn check(connection: &Connection, findings: &mut Findings) -> Result<()> {
    numbered::check::<JournalEntry>(connection, findings).map(drop)
}

#[async_trait]
impl RolloutJournal for LocalRolloutJournal {
    async fn append(&self, rollout: &Digest, entry: &JournalEntry) -> Result<()> {
        let (rollout, entry) = (rollout.hex(), entry.clone());
        self.store
            .db
            .write(APPEND, Durability::Power, move |tx| numbered::append(APPEND, tx, &rollout, &entry))
            .await
    }

    async fn entries(&self, rollout: &Digest) -> Result<Vec<JournalEntry>> {
        let rollout = rollout.hex();
        self.store.db.read(ENTRIES, move |c| numbered::entries(ENTRIES, c, &rollout)).await
    }
}
