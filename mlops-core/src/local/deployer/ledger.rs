//! How requests are counted by many processes at once, without a write for each.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::Thread;
use std::time::Duration;

use rusqlite::{Connection, Row, Transaction};

use super::super::db::{Db, Durability, corrupt, failed};
use super::super::sql;
use crate::deploy::{OperationStats, serving};
use crate::disk::lock::take;
use crate::disk::storage;
use crate::error::Result;
use crate::model::Predictions;
use crate::time::lock;

const OP: &str = "Deployer::stats";

/// The counts of one writer, in memory and, once a second, in the database.
///
/// A writer has a row of its own for each deployment, which says how much it has counted in all: a write that is repeated,
/// or whose answer was lost, counts nothing twice. What the process counts itself is never read back.
///
/// A writer that ends adds its rows to those of the writers before it. As long as it lives it holds the lock of a file that is called
/// like it: who finds rows of a writer whose file nobody holds adds them up in its place, before its own first ones.
pub(super) struct Ledger {
    db: Arc<Db>,
    folder: PathBuf,
    writer: String,
    counts: Mutex<HashMap<i64, Counted>>,
    /// Who writes once a second; nobody where there can be no thread.
    thread: OnceLock<Option<Thread>>,
    /// How the writer stands; held while it writes.
    standing: Mutex<Standing>,
}

enum Standing {
    /// It has written nothing yet.
    New,
    /// It writes, and holds its file.
    Open {
        _held: File,
    },
    Closed,
}

#[derive(Clone, Copy, Default)]
struct Counted {
    total: OperationStats,
    /// How many requests the database knows of.
    written: u64,
}

impl Ledger {
    /// How often counts are written.
    const INTERVAL: Duration = Duration::from_secs(1);

    pub(super) fn new(db: Arc<Db>, root: &Path) -> Self {
        let writer = uuid::Uuid::new_v4().simple().to_string();
        let (folder, standing) = (root.join("counts"), Mutex::new(Standing::New));
        Self { db, folder, writer, counts: Mutex::default(), thread: OnceLock::new(), standing }
    }

    /// Counts a request to a deployment.
    pub(super) fn count(self: &Arc<Self>, deployment: i64, answer: &Result<Predictions>, latency: Duration) {
        serving::count(&mut lock(&self.counts).entry(deployment).or_default().total, answer, latency);
        self.thread.get_or_init(|| self.write_at_intervals());
    }

    /// Everything counted for a deployment: here, and by everybody else as far as they have written it.
    pub(super) fn stats(&self, connection: &Connection, deployment: i64) -> Result<OperationStats> {
        let own = lock(&self.counts).get(&deployment).map(|counted| counted.total).unwrap_or_default();
        let query = "SELECT requests, failures, bad_requests, total_nanos, max_nanos FROM operation_count
            WHERE deployment = ?1 AND writer <> ?2";
        let others = sql::all(OP, connection, query, (deployment, &self.writer), read)?;
        Ok(others.into_iter().fold(own, add))
    }

    /// A thread that ends with the writer; where there can be none, the counts are written when the writer ends.
    fn write_at_intervals(self: &Arc<Self>) -> Option<Thread> {
        let writer = Arc::downgrade(self);
        let run = move || {
            loop {
                std::thread::park_timeout(Self::INTERVAL);
                let Some(ledger) = writer.upgrade() else { return };
                // Nothing is lost by a failure: the next write says it all.
                let _failed = ledger.write();
                if matches!(*lock(&ledger.standing), Standing::Closed) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("mlops-counts".to_owned()).spawn(run).ok()?;
        Some(thread.thread().clone())
    }

    /// Writes what is new.
    fn write(&self) -> Result<()> {
        let mut standing = lock(&self.standing);
        let new = self.unwritten();
        if matches!(*standing, Standing::Closed) || new.is_empty() {
            return Ok(());
        }
        self.begin(&mut standing)?;
        let gone = self.db.write_now(OP, Durability::Process, |tx| self.put(tx, &new))?;
        let mut counts = lock(&self.counts);
        for (deployment, counted) in new {
            if let Some(known) = counts.get_mut(&deployment) {
                known.written = counted.requests;
            }
        }
        // They took their counts with them.
        counts.retain(|deployment, _| !gone.contains(deployment));
        Ok(())
    }

    /// Before the first row: holds the file by which others know that the writer lives, and adds up what dead writers left.
    fn begin(&self, standing: &mut Standing) -> Result<()> {
        if matches!(standing, Standing::New) {
            self.db.check_writable(OP)?;
            let held = hold(&self.folder, &self.writer).map_err(|e| storage(OP, "counts", e))?;
            *standing = Standing::Open { _held: held };
            self.bury()?;
        }
        Ok(())
    }

    /// Adds up the rows of writers that are gone.
    fn bury(&self) -> Result<()> {
        let query = "SELECT DISTINCT writer FROM operation_count WHERE writer NOT IN ('', ?1)";
        let read = |row: &Row<'_>| row.get(0).map_err(failed(OP));
        let writers: Vec<String> =
            self.db.read_now(OP, |db| sql::all(OP, db, query, [&self.writer], read))?;
        // Held until their rows are added up.
        let mut dead: Vec<(String, Option<File>)> = Vec::new();
        for writer in writers {
            // Others count as they are.
            if let Ok(Some(held)) = is_dead(&self.folder.join(&writer)) {
                dead.push((writer, held));
            }
        }
        if dead.is_empty() {
            return Ok(());
        }
        self.db.write_now(OP, Durability::Process, |tx| {
            dead.iter().try_for_each(|(writer, _)| merge(tx, writer))
        })?;
        for (writer, _) in &dead {
            self.remove(writer);
        }
        Ok(())
    }

    /// Removes the file of a writer that has no rows any more; one that stays is no harm.
    fn remove(&self, writer: &str) {
        let _ = fs::remove_file(self.folder.join(writer));
    }

    fn unwritten(&self) -> Vec<(i64, OperationStats)> {
        let counts = lock(&self.counts);
        let new = counts.iter().filter(|(_, counted)| counted.written < counted.total.requests);
        new.map(|(deployment, counted)| (*deployment, counted.total)).collect()
    }

    /// Writes totals; tells which deployments are gone.
    fn put(&self, tx: &Transaction<'_>, totals: &[(i64, OperationStats)]) -> Result<Vec<i64>> {
        let insert = "INSERT INTO operation_count SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7
            WHERE EXISTS (SELECT 1 FROM deployment WHERE id = ?1)
            ON CONFLICT (deployment, writer) DO UPDATE SET requests = excluded.requests,
                failures = excluded.failures, bad_requests = excluded.bad_requests,
                total_nanos = excluded.total_nanos, max_nanos = excluded.max_nanos";
        let mut gone = Vec::new();
        for (deployment, total) in totals {
            let OperationStats { requests, failures, bad_requests, total_latency, max_latency } = *total;
            let [requests, failures, bad_requests] = [requests, failures, bad_requests].map(signed);
            let (sum, max) = (nanos(total_latency), nanos(max_latency));
            let row = (deployment, &self.writer, requests, failures, bad_requests, sum, max);
            if sql::execute(OP, tx, insert, row)? == 0 {
                gone.push(*deployment);
            }
        }
        Ok(gone)
    }

    /// Writes what is new and adds everything of this writer to what earlier ones left, in one transaction.
    pub(super) fn close(&self) -> Result<()> {
        if let Some(Some(thread)) = self.thread.get() {
            thread.unpark();
        }
        let mut standing = lock(&self.standing);
        if matches!(*standing, Standing::Closed) {
            return Ok(());
        }
        let nothing = lock(&self.counts).is_empty();
        let answer = if nothing { Ok(()) } else { self.finish(&mut standing) };
        *standing = Standing::Closed;
        answer
    }

    fn finish(&self, standing: &mut Standing) -> Result<()> {
        let new = self.unwritten();
        self.begin(standing)?;
        self.db.write_now(OP, Durability::Process, |tx| {
            self.put(tx, &new)?;
            merge(tx, &self.writer)
        })?;
        self.remove(&self.writer);
        Ok(())
    }
}

/// Adds the rows of a writer to what earlier ones left.
fn merge(tx: &Transaction<'_>, writer: &str) -> Result<()> {
    let add = "INSERT INTO operation_count
        SELECT deployment, '', requests, failures, bad_requests, total_nanos, max_nanos
        FROM operation_count WHERE writer = ?1
        ON CONFLICT (deployment, writer) DO UPDATE SET requests = requests + excluded.requests,
            failures = failures + excluded.failures, bad_requests = bad_requests + excluded.bad_requests,
            total_nanos = total_nanos + excluded.total_nanos, max_nanos = max(max_nanos, excluded.max_nanos)";
    sql::execute(OP, tx, add, [writer])?;
    sql::execute(OP, tx, "DELETE FROM operation_count WHERE writer = ?1", [writer])?;
    Ok(())
}

/// Makes and holds the file of a writer.
fn hold(folder: &Path, writer: &str) -> io::Result<File> {
    fs::create_dir_all(folder)?;
    loop {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(folder.join(writer))?;
        // Before it was locked it looked like that of a dead writer: somebody may have removed it.
        if take(&file)? && file.metadata()?.nlink() > 0 {
            return Ok(file);
        }
    }
}

/// Whether nobody holds a writer's file; with the file, held, if there is one.
fn is_dead(path: &Path) -> io::Result<Option<Option<File>>> {
    let file = match OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Some(None)),
        Err(e) => return Err(e),
    };
    Ok(take(&file)?.then_some(Some(file)))
}

fn read(row: &Row<'_>) -> Result<OperationStats> {
    let number = |at| {
        let number: i64 = row.get(at).map_err(failed(OP))?;
        u64::try_from(number).map_err(|e| corrupt(OP, "operation_count", e))
    };
    Ok(OperationStats {
        requests: number(0)?,
        failures: number(1)?,
        bad_requests: number(2)?,
        total_latency: Duration::from_nanos(number(3)?),
        max_latency: Duration::from_nanos(number(4)?),
    })
}

fn add(one: OperationStats, other: OperationStats) -> OperationStats {
    OperationStats {
        requests: one.requests.saturating_add(other.requests),
        failures: one.failures.saturating_add(other.failures),
        bad_requests: one.bad_requests.saturating_add(other.bad_requests),
        total_latency: one.total_latency.saturating_add(other.total_latency),
        max_latency: one.max_latency.max(other.max_latency),
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}
