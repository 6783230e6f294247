//! The embedded journal of loops.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, Transaction};

use super::db::Durability;
use super::numbered::{self, Numbered};
use super::seal::{self, open, seal_exactly};
use super::sql;
use super::store::{Inner, LocalStore};
use super::verify::{FindingKind, Findings};
use crate::error::{Error, ErrorKind, Result};
use crate::id::IdempotencyKey;
use crate::retrain::closed_loop::{ENTRIES, LoopEntry, LoopJournal, LoopStanding, LoopState};

const APPEND: &str = "LoopJournal::append";
const READ: &str = "LoopJournal::entries";
const STANDING: &str = "LoopJournal::standing";

/// The journal of loops in a folder: a loop goes on where it was, in whatever process.
///
/// Entry and state are appended in one transaction, which survives a power cut. Of two loops that append the same entry number
/// one wins, whichever processes they are in; the other one is told. A journal that is damaged or has a gap is
/// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt): no loop goes on from a state that nobody wrote.
///
/// ```
/// use mlops_core::local::LocalStore;
/// use mlops_core::retrain::closed_loop::{LoopConfig, LoopEntry, LoopEvent, LoopJournal as _, LoopState};
/// # use mlops_core::{ActorId, Alias, EndpointName, IdempotencyKey, ModelName};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// # let folder = dir.path();
/// # let (model, alias) = (ModelName::new("diabetes")?, Alias::new("champion")?);
/// # let config = LoopConfig::new(model, alias, EndpointName::new("diabetes")?, ActorId::new("retraining")?);
/// # let now = chrono::DateTime::UNIX_EPOCH;
/// let state = LoopState::new(config, None).with_id(IdempotencyKey::new("diabetes")?);
/// let journal = LocalStore::open(folder)?.loops();
/// let entry = LoopEntry::new(1, now, LoopEvent::Looked("drift".into()), None, Vec::new());
/// journal.append(&entry, &state).await?;
/// drop(journal);
///
/// // After a restart: where does it stand?
/// let journal = LocalStore::open(folder)?.loops();
/// assert_eq!(journal.standing(&state.id).await?.map(|standing| standing.state), Some(state));
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct LocalLoopJournal {
    store: Arc<Inner>,
}

impl LocalStore {
    /// The journal of loops.
    pub fn loops(&self) -> LocalLoopJournal {
        LocalLoopJournal { store: self.inner().clone() }
    }
}

impl fmt::Debug for LocalLoopJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalLoopJournal").field("folder", &self.store.root).finish_non_exhaustive()
    }
}

impl Numbered for LoopEntry {
    const TABLE: &'static str = "loop_entry";
    const OF: &'static str = "loop";

    fn sequence(&self) -> u64 {
        self.sequence
    }
}

/// The state and the last entry, of which there is both or neither.
fn standing(
    operation: &'static str,
    connection: &Connection,
    id: &str,
) -> Result<Option<(LoopEntry, LoopState)>> {
    let query = "SELECT body, digest FROM loop_state WHERE loop = ?1";
    let state: Option<LoopState> =
        sql::first(operation, connection, query, [id], |row| open(operation, "loop_state", id, row, 0))?;
    match (numbered::last(operation, connection, id)?, state) {
        (Some(entry), Some(state)) => Ok(Some((entry, state))),
        (None, None) => Ok(None),
        (entry, _) => {
            let part = if entry.is_some() { "state" } else { "last entry" };
            let error = Error::new(ErrorKind::Corrupt, operation, "the journal of a loop is not whole");
            Err(error.with("loop", id).with("missing", part))
        }
    }
}

fn append(tx: &Transaction<'_>, new: &LoopEntry, state: &LoopState) -> Result<()> {
    let id = state.id.as_str();
    let known = standing(APPEND, tx, id)?;
    if known.as_ref().is_some_and(|(entry, known)| entry == new && known == state) {
        return Ok(());
    }
    numbered::add(APPEND, tx, id, known.as_ref().map(|(entry, _)| entry), new)?;
    let row = seal_exactly(APPEND, "loop_state", id, "state", state)?;
    let replace = "INSERT INTO loop_state (loop, body, digest) VALUES (?1, ?2, ?3)
        ON CONFLICT (loop) DO UPDATE SET body = excluded.body, digest = excluded.digest";
    sql::execute(APPEND, tx, replace, (id, row.body, row.digest)).map(drop)
}

/// Checks every entry and state, and that entries are contiguous.
pub(crate) fn check(connection: &Connection, findings: &mut Findings) -> Result<()> {
    let journals = numbered::check::<LoopEntry>(connection, findings)?;
    let query = "SELECT loop, body, digest FROM loop_state";
    let states: Vec<(String, LoopState)> = seal::check(connection, findings, "loop_state", query)?;
    for (id, _) in &states {
        if !journals.contains_key(id) {
            findings.add(FindingKind::Missing, format!("loop_entry {id}"), "the loop has no entry");
        }
    }
    for id in journals.keys() {
        if !states.iter().any(|(state, _)| state == id) {
            findings.add(FindingKind::Missing, format!("loop_state {id}"), "the state is gone");
        }
    }
    Ok(())
}

#[async_trait]
impl LoopJournal for LocalLoopJournal {
    async fn append(&self, entry: &LoopEntry, state: &LoopState) -> Result<()> {
        let (entry, state) = (entry.clone(), state.clone());
        self.store.db.write(APPEND, Durability::Power, move |tx| append(tx, &entry, &state)).await
    }

    async fn standing(&self, id: &IdempotencyKey) -> Result<Option<LoopStanding>> {
        let id = id.clone();
        let look = move |connection: &Connection| standing(STANDING, connection, id.as_str());
        let found = self.store.db.read(STANDING, look).await?;
        Ok(found.map(|(entry, state)| LoopStanding::new(entry.sequence, state)))
    }

    async fn entries(&self, id: &IdempotencyKey, after: u64, limit: usize) -> Result<Vec<LoopEntry>> {
        let id = id.clone();
        self.store
            .db
            .read(READ, move |connection| {
                numbered::entries_after(READ, connection, id.as_str(), after, limit.min(ENTRIES))
            })
            .await
    }
}
