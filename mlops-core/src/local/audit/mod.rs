//! The audit log in the database, with checkpoints outside it.

mod checkpoints;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction};

use self::checkpoints::{Checkpoints, Lines};
use super::db::{Durability, failed};
use super::row::{self, Tally, damaged};
use super::store::{Inner, LocalStore};
use crate::error::{Error, ErrorKind, Result};
use crate::governance::{AuditEntry, AuditLog, AuditRecord, AuditVerification, ChainVerifier, Checkpoint};
use crate::hash::Digest;
use crate::time::{Timestamp, truncate};

const TABLE: &str = "audit_record";
const APPEND: &str = "AuditLog::append";
const VERIFY: &str = "AuditLog::verify";

/// The tally of records.
const RECORDS: &str = "audit records";

/// A chain of records in a [`LocalStore`].
///
/// A record is on the disk when `append` returns. Its hash covers the record and the hash before it; a record that does not
/// have its hash is [`ErrorKind::Corrupt`] for everybody who reads it, and nothing is appended after it.
///
/// # What `verify` finds
/// Edits, removals, insertions and changes of order anywhere, from the chain alone. That the end was cut off, or that
/// records were made anew with a chain of their own from some place on, a chain cannot show; for that the log keeps
/// checkpoints in a file beside the database, `audit.checkpoints`: one after every [`Self::CHECKPOINT_EVERY`] records,
/// written before the next record is committed, and one at each call of `checkpoint`. `verify` compares the chain with all of
/// them, and misses those that must be there.
///
/// So whoever can write to the database but not to that file can remove or replace unnoticed only what came after the last
/// checkpoint. **Whoever can write to both can make both anew**, with everything in them: there is no secret in either. To be
/// safe from such a one keep the answers of `checkpoint` elsewhere (on another machine, in a ticket, on paper) and hand them
/// to `verify`; or let another account own the file and the process that appends. A database that is brought back from a
/// backup needs its own `audit.checkpoints` back with it.
///
/// ```
/// use mlops_core::ActorId;
/// use mlops_core::governance::{AuditLog, AuditLogExt as _};
/// use mlops_core::local::LocalStore;
/// # let dir = tempfile::tempdir()?;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let log = LocalStore::open(dir.path().join(".mlops"))?.audit_log();
/// let trainer = ActorId::new("trainer")?;
/// log.record(&trainer, "model.register", "model/churn:1", "accuracy 0.81").await?;
/// let seen = log.checkpoint().await?;
/// log.record(&trainer, "model.promote", "model/churn:1", "gate passed").await?;
/// assert!(log.verify(Some(&seen)).await?.is_intact());
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct LocalAuditLog {
    inner: Arc<Inner>,
    checkpoints: Checkpoints,
}

impl LocalStore {
    /// The audit log of this store.
    ///
    /// ```
    /// # use mlops_core::local::LocalStore;
    /// # let dir = tempfile::tempdir()?;
    /// let log = LocalStore::open(dir.path())?.audit_log();
    /// assert!(format!("{log:?}").contains("LocalAuditLog"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn audit_log(&self) -> LocalAuditLog {
        let inner = self.inner().clone();
        let checkpoints = Checkpoints::new(&inner.root, inner.id);
        LocalAuditLog { inner, checkpoints }
    }
}

impl LocalAuditLog {
    /// A checkpoint is written for every so many records.
    pub const CHECKPOINT_EVERY: u64 = 32;
}

impl fmt::Debug for LocalAuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalAuditLog").field("folder", &self.inner.root).finish_non_exhaustive()
    }
}

const COLUMNS: &str = "sequence, at, key, doc, previous, hash";

/// A record as it lies there, whatever its hash; `Err` for one that cannot be a record at all.
fn read_row(operation: &'static str, row: &Row<'_>) -> Result<AuditRecord> {
    let sequence: i64 = row.get(0).map_err(failed(operation))?;
    let damaged = || damaged(operation, TABLE, sequence);
    let digest = |at| {
        let bytes = row.get::<_, [u8; 32]>(at).map_err(|e| damaged().with_source(e))?;
        Ok::<_, Error>(Digest::from_bytes(bytes))
    };
    let text = |at| row.get::<_, String>(at).map_err(|e| damaged().with_source(e));
    let micros: i64 = row.get(1).map_err(|e| damaged().with_source(e))?;
    let entry: AuditEntry = serde_json::from_str(&text(3)?).map_err(|e| damaged().with_source(e))?;
    if text(2)? != entry.key.as_str() {
        return Err(damaged());
    }
    Ok(AuditRecord {
        sequence: u64::try_from(sequence).map_err(|e| damaged().with_source(e))?,
        at: chrono::DateTime::from_timestamp_micros(micros).ok_or_else(damaged)?,
        entry,
        previous: digest(4)?,
        hash: digest(5)?,
    })
}

/// A record that has its hash.
fn read_checked(operation: &'static str, row: &Row<'_>) -> Result<AuditRecord> {
    let record = read_row(operation, row)?;
    if record.compute_hash()? == record.hash {
        return Ok(record);
    }
    Err(damaged(operation, TABLE, record.sequence))
}

fn find(
    operation: &'static str,
    connection: &Connection,
    condition: &str,
    param: impl rusqlite::ToSql,
) -> Result<Option<AuditRecord>> {
    let sql = format!("SELECT {COLUMNS} FROM {TABLE} WHERE {condition}");
    let mut statement = connection.prepare_cached(&sql).map_err(failed(operation))?;
    let found = statement.query_row([param], |row| Ok(read_checked(operation, row))).optional();
    found.map_err(failed(operation))?.transpose()
}

/// The last record, as the count says.
fn last(operation: &'static str, connection: &Connection) -> Result<Option<AuditRecord>> {
    match Tally::of(operation, connection, RECORDS)? {
        0 => Ok(None),
        size => {
            let found = find(operation, connection, "sequence = ?1", row::bound(size))?;
            found.map(Some).ok_or_else(|| damaged(operation, TABLE, size))
        }
    }
}

fn checkpoint_of(last: Option<&AuditRecord>) -> Checkpoint {
    last.map_or_else(
        || Checkpoint { size: 0, head: AuditRecord::genesis() },
        |last| Checkpoint { size: last.sequence, head: last.hash },
    )
}

/// The record made with this key, if it is one of the same entry.
fn replay(connection: &Connection, entry: &AuditEntry) -> Result<Option<AuditRecord>> {
    let Some(record) = find(APPEND, connection, "key = ?1", entry.key.as_str())? else { return Ok(None) };
    if record.entry == *entry {
        return Ok(Some(record));
    }
    if record.entry.key != entry.key {
        // The index says which row it is: a damaged one may say another.
        return Err(damaged(APPEND, TABLE, record.sequence));
    }
    let message = "the key was used for another entry";
    let error = Error::conflict(APPEND, message, &entry.action, &record.entry.action);
    Err(error.with("key", &entry.key).with("sequence", record.sequence))
}

fn append(
    tx: &Transaction<'_>,
    checkpoints: &Checkpoints,
    entry: &AuditEntry,
    now: Timestamp,
) -> Result<AuditRecord> {
    if let Some(record) = replay(tx, entry)? {
        return Ok(record);
    }
    let last = last(APPEND, tx)?;
    if let Some(last) =
        last.as_ref().filter(|last| last.sequence.is_multiple_of(LocalAuditLog::CHECKPOINT_EVERY))
    {
        // Of what is committed, before anything follows: the file is never ahead, and never misses one.
        checkpoints.add(APPEND, &checkpoint_of(Some(last)))?;
    }
    let record = AuditRecord::chain(last.as_ref(), entry.clone(), now)?;
    insert(tx, &record)?;
    Tally::next(APPEND, tx, RECORDS)?;
    Ok(record)
}

fn insert(tx: &Transaction<'_>, record: &AuditRecord) -> Result<()> {
    let sql = format!("INSERT INTO {TABLE} ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
    let mut statement = tx.prepare_cached(&sql).map_err(failed(APPEND))?;
    let entry = &record.entry;
    let values = rusqlite::params![
        row::number(APPEND, record.sequence)?,
        row::time(record.at),
        entry.key.as_str(),
        row::doc(APPEND, entry)?,
        record.previous.as_bytes(),
        record.hash.as_bytes(),
    ];
    match statement.execute(values) {
        Ok(_) => Ok(()),
        // The place was free, or so it looked: something hid a record.
        Err(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
            Err(damaged(APPEND, TABLE, record.sequence).with_source(e))
        }
        Err(e) => Err(failed(APPEND)(e)),
    }
}

fn read(connection: &Connection, after: u64, limit: usize) -> Result<Vec<AuditRecord>> {
    const OP: &str = "AuditLog::read";
    let sql = format!("SELECT {COLUMNS} FROM {TABLE} WHERE sequence > ?1 ORDER BY sequence LIMIT ?2");
    let mut statement = connection.prepare_cached(&sql).map_err(failed(OP))?;
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    let mut rows = statement.query((row::bound(after), row::bound(limit))).map_err(failed(OP))?;
    let (mut records, mut last) = (Vec::new(), after);
    while let Some(row) = rows.next().map_err(failed(OP))? {
        let record = read_checked(OP, row)?;
        if record.sequence != last + 1 {
            return Err(damaged(OP, TABLE, last + 1));
        }
        last = record.sequence;
        records.push(record);
    }
    if (records.len() as u64) < limit && last < Tally::of(OP, connection, RECORDS)? {
        return Err(damaged(OP, TABLE, last + 1));
    }
    Ok(records)
}

/// Compares the records with each other, with the count of them, and with the checkpoints outside the database.
struct Verification {
    chain: ChainVerifier,
    lines: Lines,
    next: Option<Checkpoint>,
    /// Up to here there is a checkpoint wherever there must be one.
    complete: u64,
    covered: bool,
}

impl Verification {
    fn new(lines: Lines, complete: u64, checkpoint: Option<&Checkpoint>) -> Result<Self> {
        let mut chain = ChainVerifier::new();
        checkpoint.map_or(Ok(()), |checkpoint| chain.expect(checkpoint))?;
        let mut verification = Self { chain, lines, next: None, complete, covered: true };
        verification.advance()?;
        Ok(verification)
    }

    fn run(mut self, connection: &Connection) -> Result<AuditVerification> {
        let sql = format!("SELECT {COLUMNS} FROM {TABLE} ORDER BY sequence");
        let mut statement = connection.prepare(&sql).map_err(failed(VERIFY))?;
        let mut rows = statement.query([]).map_err(failed(VERIFY))?;
        while let Some(row) = rows.next().map_err(failed(VERIFY))? {
            if !self.push(read_row(VERIFY, row))? {
                return Ok(self.chain.finish());
            }
        }
        self.count(connection)?;
        if let Some(beyond) = &self.next {
            self.chain.expect(beyond)?;
        }
        Ok(self.chain.finish())
    }

    fn push(&mut self, record: Result<AuditRecord>) -> Result<bool> {
        let place = self.chain.size() + 1;
        if !self.covered && place <= self.complete {
            self.chain.fail(place - 1, "the checkpoint of this record outside the database is missing");
        }
        self.covered = !place.is_multiple_of(LocalAuditLog::CHECKPOINT_EVERY);
        while let Some(next) = self.next.filter(|next| next.size <= place) {
            self.covered |= next.size == place;
            if self.chain.expect(&next).is_err() {
                self.chain.fail(place, "the checkpoints outside the database are not in order");
            }
            self.advance()?;
        }
        match record {
            Ok(record) => Ok(self.chain.push(&record)),
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                self.chain.fail(place, "the record cannot be read");
                Ok(false)
            }
            Err(e) => Err(e),
        }
    }

    /// Reads the next line.
    fn advance(&mut self) -> Result<()> {
        self.next = match self.lines.next(VERIFY)? {
            Some(Ok(checkpoint)) => Some(checkpoint),
            Some(Err(())) => {
                let reason = "a checkpoint outside the database was changed";
                self.chain.fail(self.chain.size() + 1, reason);
                None
            }
            None => None,
        };
        Ok(())
    }

    fn count(&mut self, connection: &Connection) -> Result<()> {
        let size = self.chain.size();
        match Tally::of(VERIFY, connection, RECORDS) {
            Ok(counted) if counted > size => {
                self.chain.fail(size + 1, "records are missing at the end");
            }
            Ok(counted) if counted < size => {
                self.chain.fail(counted + 1, "there are more records than were counted");
            }
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                self.chain.fail(size + 1, "the count of records was changed");
            }
            Err(e) => return Err(e),
        }
        Ok(())
    }
}

/// Reads everything, one record at a time.
pub(crate) fn verify(inner: &Inner, checkpoint: Option<&Checkpoint>) -> Result<AuditVerification> {
    // In this order: every record that is counted here has its checkpoints among the lines, and every line is of records
    // that are read after it.
    let counted = inner.db.read_now(VERIFY, |connection| Tally::of(VERIFY, connection, RECORDS));
    let complete = match counted {
        Err(e) if e.kind() == ErrorKind::Corrupt => 0,
        counted => counted?,
    };
    let lines = Checkpoints::new(&inner.root, inner.id).lines(VERIFY)?;
    let verification = Verification::new(lines, complete, checkpoint)?;
    inner.db.read_now(VERIFY, |connection| verification.run(connection))
}

#[async_trait]
impl AuditLog for LocalAuditLog {
    async fn append(&self, entry: &AuditEntry) -> Result<AuditRecord> {
        entry.check()?;
        let (inner, checkpoints, entry) = (self.inner.clone(), self.checkpoints.clone(), entry.clone());
        self.inner
            .db
            .write(APPEND, Durability::Power, move |tx| {
                append(tx, &checkpoints, &entry, truncate(inner.clock.now()))
            })
            .await
    }

    async fn read(&self, after: u64, limit: usize) -> Result<Vec<AuditRecord>> {
        self.inner.db.read("AuditLog::read", move |connection| read(connection, after, limit)).await
    }

    /// Writes the checkpoint to the file too, unless the store was opened for reading.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when the file has a later checkpoint than the log has records: the end of the log is gone.
    async fn checkpoint(&self) -> Result<Checkpoint> {
        const OP: &str = "AuditLog::checkpoint";
        if self.inner.db.check_writable(OP).is_err() {
            return self.inner.db.read(OP, |c| last(OP, c).map(|last| checkpoint_of(last.as_ref()))).await;
        }
        let checkpoints = self.checkpoints.clone();
        self.inner
            .db
            .write(OP, Durability::Power, move |tx| {
                let checkpoint = checkpoint_of(last(OP, tx)?.as_ref());
                match checkpoints.last(OP)? {
                    Some(known) if known.size > checkpoint.size => {
                        let error = damaged(OP, TABLE, checkpoint.size + 1);
                        Err(error.with("expected", known.size).with("found", checkpoint.size))
                    }
                    _ if checkpoint.size == 0 => Ok(checkpoint),
                    _ => checkpoints.add(OP, &checkpoint).map(|()| checkpoint),
                }
            })
            .await
    }

    async fn verify(&self, checkpoint: Option<&Checkpoint>) -> Result<AuditVerification> {
        let (inner, checkpoint) = (self.inner.clone(), checkpoint.copied());
        crate::disk::blocking(VERIFY, move || verify(&inner, checkpoint.as_ref())).await
    }
}
