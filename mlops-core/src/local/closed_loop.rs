//! The embedded journal of loops.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, Row, Transaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::db::{Durability, corrupt, failed};
use super::seal::{self, Sealed, open, seal};
use super::sql;
use super::store::{Inner, LocalStore};
use super::verify::{FindingKind, Findings, gaps};
use crate::error::{Error, ErrorKind, Result};
use crate::id::IdempotencyKey;
use crate::retrain::closed_loop::{ENTRIES, LoopEntry, LoopJournal, LoopStanding, LoopState, driven_twice};

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

/// The entry in a row of number, body and digest.
fn entry(operation: &'static str, id: &str, row: &Row<'_>) -> Result<LoopEntry> {
    let sequence: u64 = row
        .get::<_, i64>(0)
        .map_err(failed(operation))?
        .try_into()
        .map_err(|e: std::num::TryFromIntError| corrupt(operation, "loop_entry", e))?;
    let entry: LoopEntry = open(operation, "loop_entry", &key(id, sequence), row, 1)?;
    if entry.sequence == sequence {
        return Ok(entry);
    }
    let error = Error::new(ErrorKind::Corrupt, operation, "an entry of the journal has another number");
    Err(error.with("loop", id).with("expected", sequence).with("found", entry.sequence))
}

fn key(id: &str, sequence: u64) -> String {
    format!("{id}/{sequence}")
}

fn last(operation: &'static str, connection: &Connection, id: &str) -> Result<Option<LoopEntry>> {
    let query =
        "SELECT sequence, body, digest FROM loop_entry WHERE loop = ?1 ORDER BY sequence DESC LIMIT 1";
    sql::first(operation, connection, query, [id], |row| entry(operation, id, row))
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
    match (last(operation, connection, id)?, state) {
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
    let expected = known.map_or(0, |(entry, _)| entry.sequence) + 1;
    if new.sequence != expected {
        return Err(driven_twice(expected, new.sequence));
    }
    let row = sealed("loop_entry", &key(id, new.sequence), new)?;
    let insert = "INSERT INTO loop_entry (loop, sequence, body, digest) VALUES (?1, ?2, ?3, ?4)";
    let sequence = sql::signed(APPEND, "the number of an entry", new.sequence)?;
    sql::execute(APPEND, tx, insert, (id, sequence, row.body, row.digest))?;
    let row = sealed("loop_state", id, state)?;
    let replace = "INSERT INTO loop_state (loop, body, digest) VALUES (?1, ?2, ?3)
        ON CONFLICT (loop) DO UPDATE SET body = excluded.body, digest = excluded.digest";
    sql::execute(APPEND, tx, replace, (id, row.body, row.digest)).map(drop)
}

/// Seals what reads back as what it was: JSON has no NaN, for one.
fn sealed<T: Serialize + DeserializeOwned + PartialEq>(
    table: &'static str,
    key: &str,
    value: &T,
) -> Result<Sealed> {
    let row = seal(APPEND, table, key, value)?;
    if serde_json::from_str::<T>(&row.body).is_ok_and(|kept| kept == *value) {
        return Ok(row);
    }
    Err(Error::invalid(APPEND, "entry", "cannot be kept exactly: it holds a number that is none"))
}

/// The entries after a number, each checked, without gaps.
fn read(connection: &Connection, id: &str, after: u64, limit: usize) -> Result<Vec<LoopEntry>> {
    let query = "SELECT sequence, body, digest FROM loop_entry WHERE loop = ?1 AND sequence > ?2
        ORDER BY sequence LIMIT ?3";
    let from = i64::try_from(after).unwrap_or(i64::MAX);
    let limit = i64::try_from(limit.min(ENTRIES)).unwrap_or_default();
    let entries = sql::all(READ, connection, query, (id, from, limit), |row| entry(READ, id, row))?;
    match entries.iter().zip(after.saturating_add(1)..).find(|(entry, expected)| entry.sequence != *expected)
    {
        None => Ok(entries),
        Some((entry, expected)) => Err(Error::new(ErrorKind::Corrupt, READ, "the journal has a gap")
            .with("loop", id)
            .with("expected", expected)
            .with("found", entry.sequence)),
    }
}

/// Checks every entry and state, and that entries are contiguous.
pub(crate) fn check(connection: &Connection, findings: &mut Findings) -> Result<()> {
    let query = "SELECT loop || '/' || sequence, body, digest FROM loop_entry";
    let entries: Vec<(String, LoopEntry)> = seal::check(connection, findings, "loop_entry", query)?;
    let query = "SELECT loop, body, digest FROM loop_state";
    let states: Vec<(String, LoopState)> = seal::check(connection, findings, "loop_state", query)?;
    let mut found: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (key, entry) in &entries {
        let id = key.rsplit_once('/').map_or(key.as_str(), |(id, _)| id);
        found.entry(id).or_default().push(entry.sequence);
    }
    for (id, _) in &states {
        if !found.contains_key(id.as_str()) {
            findings.add(FindingKind::Missing, format!("loop_entry {id}"), "the loop has no entry");
        }
    }
    for (id, found) in found {
        let last = found.iter().copied().max().unwrap_or_default();
        for gap in gaps(last, found) {
            findings.add(FindingKind::Missing, format!("loop_entry {id}/{gap}"), "the entry is gone");
        }
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
        self.store.db.read(READ, move |connection| read(connection, id.as_str(), after, limit)).await
    }
}
