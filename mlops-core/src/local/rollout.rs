//! The embedded journal of rollouts.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, Row, Transaction};

use super::db::{Durability, corrupt, failed};
use super::seal::{self, open, seal};
use super::sql;
use super::store::{Inner, LocalStore};
use super::verify::{FindingKind, Findings, gaps};
use crate::deploy::rollout::{JournalEntry, RolloutJournal, RolloutState};
use crate::error::{Error, ErrorKind, Result};
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

fn unfinished(connection: &Connection) -> Result<Vec<RolloutState>> {
    const OP: &str = "LocalRolloutJournal::unfinished";
    let query = "SELECT DISTINCT rollout FROM rollout_entry";
    let rollouts: Vec<String> = sql::all(OP, connection, query, [], |row| row.get(0).map_err(failed(OP)))?;
    let mut standing = Vec::new();
    for rollout in rollouts {
        let entries = read(connection, &rollout)?;
        let Some((first, last)) = entries.first().zip(entries.last()) else { continue };
        if !last.state.phase.is_terminal() {
            standing.push((first.at, last.state.clone()));
        }
    }
    standing.sort_by_key(|(began, _)| *began);
    Ok(standing.into_iter().map(|(_, state)| state).collect())
}

/// All entries of a rollout, each checked, without gaps.
fn read(connection: &Connection, rollout: &str) -> Result<Vec<JournalEntry>> {
    let query = "SELECT sequence, body, digest FROM rollout_entry WHERE rollout = ?1 ORDER BY sequence";
    let entries = sql::all(ENTRIES, connection, query, [rollout], |row| entry(ENTRIES, rollout, row))?;
    match entries.iter().zip(1..).find(|(entry, expected)| entry.sequence != *expected) {
        None => Ok(entries),
        Some((entry, expected)) => Err(Error::new(ErrorKind::Corrupt, ENTRIES, "the journal has a gap")
            .with("rollout", rollout)
            .with("expected", expected)
            .with("found", entry.sequence)),
    }
}

/// The entry in a row of number, body and digest.
fn entry(operation: &'static str, rollout: &str, row: &Row<'_>) -> Result<JournalEntry> {
    let sequence: u64 = row
        .get::<_, i64>(0)
        .map_err(failed(operation))?
        .try_into()
        .map_err(|e: std::num::TryFromIntError| corrupt(operation, "rollout_entry", e))?;
    let entry: JournalEntry = open(operation, "rollout_entry", &key(rollout, sequence), row, 1)?;
    if entry.sequence == sequence {
        return Ok(entry);
    }
    let error = Error::new(ErrorKind::Corrupt, operation, "an entry of the journal has another number");
    Err(error.with("rollout", rollout).with("expected", sequence).with("found", entry.sequence))
}

fn key(rollout: &str, sequence: u64) -> String {
    format!("{rollout}/{sequence}")
}

fn append(tx: &Transaction<'_>, rollout: &str, new: &JournalEntry) -> Result<()> {
    let query = "SELECT sequence, body, digest FROM rollout_entry WHERE rollout = ?1
        ORDER BY sequence DESC LIMIT 1";
    let last = sql::first(APPEND, tx, query, [rollout], |row| entry(APPEND, rollout, row))?;
    if last.as_ref() == Some(new) {
        return Ok(());
    }
    let expected = last.map_or(0, |last| last.sequence) + 1;
    if new.sequence != expected {
        let message = "the journal is at another entry: is the rollout driven twice?";
        return Err(Error::conflict(APPEND, message, expected, new.sequence));
    }
    let row = seal(APPEND, "rollout_entry", &key(rollout, new.sequence), new)?;
    let kept: Option<JournalEntry> = serde_json::from_str(&row.body).ok();
    if kept.as_ref() != Some(new) {
        // JSON has no NaN, for one: what was decided must be read as what it was.
        return Err(Error::invalid(
            APPEND,
            "entry",
            "cannot be kept exactly: it holds a number that is none",
        ));
    }
    let insert = "INSERT INTO rollout_entry (rollout, sequence, body, digest) VALUES (?1, ?2, ?3, ?4)";
    let sequence = sql::signed(APPEND, "the number of an entry", new.sequence)?;
    sql::execute(APPEND, tx, insert, (rollout, sequence, row.body, row.digest)).map(drop)
}

/// Checks every entry, and that they are contiguous.
pub(crate) fn check(connection: &Connection, findings: &mut Findings) -> Result<()> {
    let query = "SELECT rollout || '/' || sequence, body, digest FROM rollout_entry";
    let entries: Vec<(String, JournalEntry)> = seal::check(connection, findings, "rollout_entry", query)?;
    let mut found: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (key, entry) in &entries {
        let rollout = key.split_once('/').map_or(key.as_str(), |(rollout, _)| rollout);
        found.entry(rollout).or_default().push(entry.sequence);
    }
    for (rollout, found) in found {
        let last = found.iter().copied().max().unwrap_or_default();
        for gap in gaps(last, found) {
            findings.add(FindingKind::Missing, format!("rollout_entry {rollout}/{gap}"), "the entry is gone");
        }
    }
    Ok(())
}

#[async_trait]
impl RolloutJournal for LocalRolloutJournal {
    async fn append(&self, rollout: &Digest, entry: &JournalEntry) -> Result<()> {
        let (rollout, entry) = (rollout.hex(), entry.clone());
        self.store.db.write(APPEND, Durability::Power, move |tx| append(tx, &rollout, &entry)).await
    }

    async fn entries(&self, rollout: &Digest) -> Result<Vec<JournalEntry>> {
        let rollout = rollout.hex();
        self.store.db.read(ENTRIES, move |connection| read(connection, &rollout)).await
    }
}
