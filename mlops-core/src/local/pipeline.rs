//! The embedded cache of steps and journal of pipelines.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, Row, Transaction};

use super::db::{Durability, corrupt, failed};
use super::numbered::{self, Numbered};
use super::seal::{self, open, seal_exactly};
use super::sql;
use super::store::{Inner, LocalStore};
use super::verify::{FindingKind, Findings};
use crate::artifact::ArtifactStore;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::Digest;
use crate::id::{ComponentName, RunId};
use crate::pipeline::{
    Claim, Claimed, PipelineEntry, PipelineEvent, PipelineJournal, PipelineState, StepCache, StepKey,
    StepRecord, check_put, lease_end,
};
use crate::time::Timestamp;

const APPEND: &str = "PipelineJournal::append";
const ENTRIES: &str = "PipelineJournal::entries";
const GET: &str = "StepCache::get";
const PUT: &str = "StepCache::put";
const CLAIM: &str = "StepCache::claim";
const RENEW: &str = "StepCache::renew";
const RELEASE: &str = "StepCache::release";
const RECENT: &str = "StepCache::recent";
const REMOVE: &str = "StepCache::remove";

/// The journal of pipelines in a folder: a run goes on where it was, in whatever process.
///
/// An entry that was appended survives the process being killed, and a power cut too; but that a step was reused survives a power
/// cut only once anything else is written down after it, at the latest the end of the run. Nothing follows from a reuse until then: a
/// run that lost it finds the record again. Of two executors that append the same entry number one wins, whichever
/// processes they are in; the other one is told. A journal that is damaged or has a gap is
/// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt).
///
/// ```
/// use mlops_core::RunId;
/// use mlops_core::local::LocalStore;
/// use mlops_core::pipeline::PipelineJournal as _;
/// # let dir = tempfile::tempdir()?;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let journal = LocalStore::open(dir.path())?.pipelines();
/// assert!(journal.entries(&RunId::generate()).await?.is_empty());
/// assert!(journal.unfinished().await?.is_empty());
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct LocalPipelineJournal {
    store: Arc<Inner>,
}

/// What steps made, in a folder, for all processes that have it open: single flight across them.
///
/// A record that was put survives a power cut; a claim survives the process being killed, until its lease ends by the wall clock.
/// A record keeps no content from being collected as garbage, and one whose content is gone is no hit. But finding a record makes
/// its content as young as storing it would, so that a collection with a grace leaves it to the run that found it.
///
/// ```
/// use mlops_core::hash::Digest;
/// use mlops_core::local::LocalStore;
/// use mlops_core::pipeline::{StepCache as _, StepKey};
/// # let dir = tempfile::tempdir()?;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let cache = LocalStore::open(dir.path())?.step_cache();
/// assert!(cache.get(&StepKey::new(Digest::of(b"a key"))).await?.is_none());
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct LocalStepCache {
    store: Arc<Inner>,
    /// Where content is, if it is elsewhere.
    elsewhere: Option<Arc<dyn ArtifactStore>>,
}

impl LocalStore {
    /// The journal of pipelines.
    pub fn pipelines(&self) -> LocalPipelineJournal {
        LocalPipelineJournal { store: self.inner().clone() }
    }

    /// What steps of pipelines made.
    pub fn step_cache(&self) -> LocalStepCache {
        LocalStepCache { store: self.inner().clone(), elsewhere: None }
    }
}

impl LocalStepCache {
    /// Records of content in another artifact store, such as one in the cloud: the folder keeps what was made of what, and the store
    /// keeps what was made. Whoever asks whether content is there asks that store, so one folder goes with one of them.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use mlops_core::local::LocalStore;
    /// use mlops_core::memory::MemoryArtifactStore;
    /// # let dir = tempfile::tempdir()?;
    /// let content = Arc::new(MemoryArtifactStore::default());
    /// let cache = LocalStore::open(dir.path())?.step_cache().with_artifacts(content);
    /// # drop(cache);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_artifacts(self, artifacts: Arc<dyn ArtifactStore>) -> Self {
        Self { elsewhere: Some(artifacts), ..self }
    }
}

impl LocalStepCache {
    /// Makes the content of a record that was found young, until whoever found it has written down that it needs it.
    async fn keep(&self, record: &StepRecord) -> Result<()> {
        if self.elsewhere.is_some() || self.store.db.check_writable(GET).is_err() {
            return Ok(());
        }
        let outputs = record.contents().map(|(_, content)| content.digest);
        for digest in outputs.chain(record.log.map(|log| log.digest)) {
            match self.store.artifacts.renew(&digest).await {
                Ok(_) => {}
                // Who looks at the content says what is wrong with it.
                Err(e) if matches!(e.kind(), ErrorKind::Integrity | ErrorKind::Corrupt) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

impl LocalPipelineJournal {
    /// The runs that have not ended, by id, which is the order in which they were made: each goes on with
    /// [`PipelineExecutor::resume`](crate::pipeline::PipelineExecutor::resume).
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) for a journal that is damaged.
    pub async fn unfinished(&self) -> Result<Vec<RunId>> {
        const OP: &str = "LocalPipelineJournal::unfinished";
        let open = self.store.db.read(OP, |connection| unfinished(OP, connection)).await?;
        Ok(open.into_iter().map(|(run, _)| run).collect())
    }
}

impl fmt::Debug for LocalPipelineJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalPipelineJournal").field("folder", &self.store.root).finish_non_exhaustive()
    }
}

impl fmt::Debug for LocalStepCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalStepCache").field("folder", &self.store.root).finish_non_exhaustive()
    }
}

impl Numbered for PipelineEntry {
    const TABLE: &'static str = "pipeline_entry";
    const OF: &'static str = "run";

    fn sequence(&self) -> u64 {
        self.sequence
    }
}

/// The runs that have not ended, by id.
fn unfinished(operation: &'static str, connection: &Connection) -> Result<Vec<(RunId, PipelineState)>> {
    let mut open = Vec::new();
    for run in numbered::names::<PipelineEntry>(operation, connection)? {
        // Nothing comes after the end, so that the others need not be read.
        let last: Option<PipelineEntry> = numbered::last(operation, connection, &run)?;
        if last.is_some_and(|last| matches!(last.event, PipelineEvent::Ended { .. })) {
            continue;
        }
        let state = PipelineState::replay(&numbered::entries(operation, connection, &run)?)?;
        let run = RunId::new(&run).map_err(|e| corrupt(operation, PipelineEntry::TABLE, e))?;
        open.push((run, state));
    }
    Ok(open)
}

fn unsigned(operation: &'static str, table: &'static str, number: i64) -> Result<u64> {
    u64::try_from(number).map_err(|e| corrupt(operation, table, e))
}

/// What the runs that have not ended need to go on.
pub(crate) fn roots(operation: &'static str, connection: &Connection) -> Result<BTreeSet<Digest>> {
    Ok(unfinished(operation, connection)?.iter().flat_map(|(_, state)| state.contents()).collect())
}

/// Checks every entry and record: that they are what was written, that journals have no gaps and tell what can have happened.
pub(crate) fn check(connection: &Connection, findings: &mut Findings) -> Result<()> {
    for (run, entries) in numbered::check::<PipelineEntry>(connection, findings)? {
        // What has a gap is known to be wrong.
        if entries.last().is_some_and(|last| last.sequence == entries.len() as u64)
            && let Err(e) = PipelineState::replay(&entries)
        {
            findings.add(FindingKind::Database, format!("pipeline_entry {run}"), e.to_string());
        }
    }
    let query = "SELECT key, body, digest FROM step_record";
    seal::check::<StepRecord>(connection, findings, "step_record", query).map(drop)
}

#[async_trait]
impl PipelineJournal for LocalPipelineJournal {
    async fn append(&self, run: &RunId, entry: &PipelineEntry) -> Result<()> {
        // What is synced for the next entry is synced up to it: no entry outlives one before it.
        let durability = match entry.event {
            PipelineEvent::Reused { .. } | PipelineEvent::Spent { .. } => Durability::Process,
            _ => Durability::Power,
        };
        let (run, entry) = (run.to_string(), entry.clone());
        self.store.db.write(APPEND, durability, move |tx| numbered::append(APPEND, tx, &run, &entry)).await
    }

    async fn entries(&self, run: &RunId) -> Result<Vec<PipelineEntry>> {
        let run = run.to_string();
        self.store.db.read(ENTRIES, move |connection| numbered::entries(ENTRIES, connection, &run)).await
    }
}

/// The last claim to a key.
struct Slot {
    token: u64,
    held: Option<(String, Timestamp)>,
}

fn slot(operation: &'static str, connection: &Connection, key: &str) -> Result<Option<Slot>> {
    let query = "SELECT token, holder, until FROM step_claim WHERE key = ?1";
    sql::first(operation, connection, query, [key], |row| {
        let read =
            || Ok((row.get::<_, i64>(0)?, row.get::<_, Option<String>>(1)?, row.get::<_, Option<i64>>(2)?));
        let (token, holder, until) = read().map_err(failed(operation))?;
        let until = until.map(|micros| {
            let wrong = || corrupt(operation, "step_claim", "a time that is none");
            Timestamp::from_timestamp_micros(micros).ok_or_else(wrong)
        });
        Ok(Slot { token: unsigned(operation, "step_claim", token)?, held: holder.zip(until.transpose()?) })
    })
}

fn keep_slot(operation: &'static str, tx: &Transaction<'_>, key: &str, slot: &Slot) -> Result<()> {
    let upsert = "INSERT INTO step_claim (key, token, holder, until) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (key) DO UPDATE SET token = excluded.token, holder = excluded.holder, until = excluded.until";
    let token = sql::signed(operation, "the token of a claim", slot.token)?;
    let (holder, until) = match &slot.held {
        Some((holder, until)) => (Some(holder), Some(until.timestamp_micros())),
        None => (None, None),
    };
    sql::execute(operation, tx, upsert, (key, token, holder, until)).map(drop)
}

/// Refuses a claim that somebody else has been granted, or that was given back.
fn held(operation: &'static str, connection: &Connection, claim: &Claim) -> Result<Slot> {
    let found = slot(operation, connection, &claim.key.to_string())?;
    let token = found.as_ref().map_or(0, |slot| slot.token);
    found
        .filter(|slot| {
            slot.token == claim.token && slot.held.as_ref().is_some_and(|(who, _)| *who == claim.holder)
        })
        .ok_or_else(|| {
            Error::conflict(operation, "the claim was lost", claim.token, token).with("key", claim.key)
        })
}

fn take(
    tx: &Transaction<'_>,
    key: StepKey,
    holder: &str,
    now: Timestamp,
    until: Timestamp,
) -> Result<Claimed> {
    let text = key.to_string();
    let found = slot(CLAIM, tx, &text)?.unwrap_or(Slot { token: 0, held: None });
    if let Some((who, end)) = &found.held
        && *end > now
        && who != holder
    {
        return Ok(Claimed::Held { until: *end });
    }
    let slot = Slot { token: found.token + 1, held: Some((holder.to_owned(), until)) };
    keep_slot(CLAIM, tx, &text, &slot)?;
    Ok(Claimed::Granted(Claim { key, holder: holder.to_owned(), token: slot.token, until }))
}

fn put(tx: &Transaction<'_>, record: &StepRecord, claim: &Claim) -> Result<()> {
    held(PUT, tx, claim)?;
    let key = record.key.to_string();
    let row = seal_exactly(PUT, "step_record", &key, "record", record)?;
    // A new row, and so a new number: the newest is what was put last.
    sql::execute(PUT, tx, "DELETE FROM step_record WHERE key = ?1", [&key])?;
    let insert = "INSERT INTO step_record (key, component, body, digest) VALUES (?1, ?2, ?3, ?4)";
    let component = record.parts.component.as_str();
    sql::execute(PUT, tx, insert, (&key, component, row.body, row.digest)).map(drop)
}

/// The record in a row of key, body and digest.
fn record(operation: &'static str, row: &Row<'_>) -> Result<StepRecord> {
    let key: String = row.get(0).map_err(failed(operation))?;
    open(operation, "step_record", &key, row, 1)
}

#[async_trait]
impl StepCache for LocalStepCache {
    async fn get(&self, key: &StepKey) -> Result<Option<StepRecord>> {
        let key = key.to_string();
        let query = "SELECT key, body, digest FROM step_record WHERE key = ?1";
        let read = move |c: &Connection| sql::first(GET, c, query, [&key], |row| record(GET, row));
        let found = self.store.db.read(GET, read).await?;
        if let Some(record) = &found {
            self.keep(record).await?;
        }
        Ok(found)
    }

    async fn put(&self, record: &StepRecord, claim: &Claim) -> Result<()> {
        let own: &dyn ArtifactStore = &self.store.artifacts;
        check_put(record, claim, self.elsewhere.as_deref().unwrap_or(own)).await?;
        let (record, claim) = (record.clone(), claim.clone());
        self.store.db.write(PUT, Durability::Power, move |tx| put(tx, &record, &claim)).await
    }

    async fn claim(&self, key: &StepKey, holder: &str, lease: Duration) -> Result<Claimed> {
        let now = self.store.clock.now();
        let until = lease_end(CLAIM, now, lease)?;
        let (key, holder) = (*key, holder.to_owned());
        // A power cut takes the processes with it that a claim is about.
        let write = move |tx: &Transaction<'_>| take(tx, key, &holder, now, until);
        self.store.db.write(CLAIM, Durability::Process, write).await
    }

    async fn renew(&self, claim: &Claim, lease: Duration) -> Result<Claim> {
        let until = lease_end(RENEW, self.store.clock.now(), lease)?;
        let claim = claim.clone();
        let write = move |tx: &Transaction<'_>| {
            let slot = held(RENEW, tx, &claim)?;
            let slot = Slot { held: Some((claim.holder.clone(), until)), ..slot };
            keep_slot(RENEW, tx, &claim.key.to_string(), &slot)?;
            Ok(Claim { until, ..claim })
        };
        self.store.db.write(RENEW, Durability::Process, write).await
    }

    async fn release(&self, claim: &Claim) -> Result<()> {
        let claim = claim.clone();
        let write = move |tx: &Transaction<'_>| match held(RELEASE, tx, &claim) {
            Ok(slot) => keep_slot(RELEASE, tx, &claim.key.to_string(), &Slot { held: None, ..slot }),
            Err(e) if e.kind() == ErrorKind::Conflict => Ok(()),
            Err(e) => Err(e),
        };
        self.store.db.write(RELEASE, Durability::Process, write).await
    }

    async fn recent(&self, component: &ComponentName, limit: usize) -> Result<Vec<StepRecord>> {
        let component = component.to_string();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let query =
            "SELECT key, body, digest FROM step_record WHERE component = ?1 ORDER BY number DESC LIMIT ?2";
        let read =
            move |c: &Connection| sql::all(RECENT, c, query, (&component, limit), |row| record(RECENT, row));
        self.store.db.read(RECENT, read).await
    }

    async fn remove(&self, key: &StepKey) -> Result<bool> {
        let key = key.to_string();
        let delete = "DELETE FROM step_record WHERE key = ?1";
        let write = move |tx: &Transaction<'_>| sql::execute(REMOVE, tx, delete, [&key]).map(|rows| rows > 0);
        self.store.db.write(REMOVE, Durability::Process, write).await
    }
}
