//! The experiment tracker in the store.

pub(crate) mod chunk;
pub(crate) mod feed;
pub(crate) mod lease;
mod listing;
pub(crate) mod points;
pub(crate) mod rows;
mod search;
pub(crate) mod value;
pub(crate) mod write;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use self::lease::Leases;
use self::listing::Listings;
use self::points::Place;
use super::db::{Db, Durability, failed};
use super::journal::Journal;
use super::store::{Inner, LocalStore};
use crate::disk::blocking;
use crate::error::{Error, ErrorKind, Result};
use crate::experiment::{
    Experiment, ExperimentSpec, ExperimentTracker, HistoryQuery, LogBatch, MetricPoint, Run, RunEnd,
    RunQuery, RunSpec, TrackerCapabilities, WriteReceipt,
};
use crate::id::{ExperimentName, RunId, check_tags};
use crate::page::{Page, PageRequest};
use crate::time::{Clock, truncate};

/// Runs in a [`LocalStore`].
///
/// Leases are measured as [`MemoryTracker`](crate::memory::MemoryTracker) does by the handle that gave them, and by the wall
/// clock by everybody else.
///
/// A search in an order that can move (by a metric, a parameter, a tag, the end) and that has more than one page remembers which
/// runs it found, so that its pages hold together. The latest [`Self::LISTINGS`] are remembered, in this handle alone: the
/// token of an older one, or of one made by another process, is refused. Orders that cannot move need no memory, and their
/// tokens hold for everybody.
///
/// Cost: a write is one transaction of a few statements; 64 new points of a metric and more are packed. A page of a search
/// reads the runs that it has, in seven statements, after one that finds them.
///
/// ```
/// use mlops_core::experiment::{ExperimentSpec, ExperimentTracker as _, ExperimentTrackerExt as _, RunEnd, RunSpec};
/// use mlops_core::local::LocalStore;
/// use mlops_core::{ActorId, ExperimentName, MetricKey};
/// # let dir = tempfile::tempdir()?;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let store = LocalStore::open(dir.path().join(".mlops"))?;
/// let tracker = store.tracker();
/// let name = ExperimentName::new("diabetes")?;
/// tracker.ensure_experiment(&ExperimentSpec::new(name.clone())).await?;
/// let run = tracker.start_run(&RunSpec::new(name, "baseline", ActorId::new("trainer")?)).await?;
///
/// tracker.log_metric(&run.id, MetricKey::new("loss")?, f64::NAN, 1, run.started_at).await?;
/// tracker.log_metric(&run.id, MetricKey::new("loss")?, 0.25, 2, run.started_at).await?;
///
/// let run = tracker.finish_run(&run.id, &RunEnd::FINISHED).await?;
/// assert_eq!(run.metric("loss"), Some(0.25));
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct LocalTracker {
    inner: Arc<Inner>,
}

/// What the trackers of one store handle share.
pub(crate) struct TrackerState {
    pub(crate) leases: Arc<Leases>,
    listings: Mutex<Listings>,
    pub(crate) journal: Journal,
}

impl TrackerState {
    pub(crate) fn new(root: &Path, id: uuid::Uuid, db: &Arc<Db>, clock: &Arc<dyn Clock>) -> Self {
        let leases = Arc::new(Leases::new(clock.clone()));
        let journal = Journal::new(root, id, db.clone(), clock.clone(), leases.clone());
        Self { leases, listings: Mutex::default(), journal }
    }
}

impl fmt::Debug for LocalTracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalTracker").field("folder", &self.inner.root).finish_non_exhaustive()
    }
}

impl LocalStore {
    /// The store's experiment tracker.
    ///
    /// ```
    /// use mlops_core::experiment::{ExperimentTracker as _, TrackerCapabilities};
    /// use mlops_core::local::LocalStore;
    /// # let dir = tempfile::tempdir()?;
    /// let tracker = LocalStore::open(dir.path())?.tracker();
    /// assert_eq!(tracker.capabilities(), TrackerCapabilities::FULL);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tracker(&self) -> LocalTracker {
        LocalTracker { inner: self.inner().clone() }
    }
}

impl LocalTracker {
    /// How many searches with more than one page, in an order that can move, are remembered: 256.
    pub const LISTINGS: usize = Listings::MOST;

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    fn leases(&self) -> &Leases {
        &self.inner.tracker.leases
    }

    fn write_transaction<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&rusqlite::Connection) -> Result<T>,
    ) -> Result<T> {
        self.inner.db.write_now(operation, Durability::Process, |tx| work(tx))
    }

    /// Writes down that runs were killed. They read as killed in any case, so what stands in the way is no error of a reader.
    fn bury(&self, operation: &'static str, dead: &[i64]) {
        if !dead.is_empty() {
            let leases = self.leases();
            drop(self.write_transaction(operation, |tx| rows::bury(operation, tx, dead, leases)));
        }
    }

    /// A write to a run whose lease is over fails and leaves nothing; that it is over is kept all the same.
    fn bury_if_refused<T>(&self, operation: &'static str, answer: Result<T>, run: &RunId) -> Result<T> {
        if answer.as_ref().is_err_and(|e| e.kind() == ErrorKind::Conflict)
            && let Ok(Some(id)) = self.inner.db.read_now(operation, |db| rows::find_run(operation, db, run))
        {
            let over = |db: &rusqlite::Connection| rows::overdue(operation, db, self.leases());
            let overdue = self.inner.db.read_now(operation, over).unwrap_or_default();
            if overdue.contains(&id) {
                self.bury(operation, &[id]);
            }
        }
        answer
    }

    /// Lets a reader see what was logged through this handle. Where that cannot be moved into the database, what is there is
    /// read all the same: the logger says what is missing.
    fn catch_up(&self, operation: &'static str) {
        drop(self.inner.tracker.journal.drain(operation));
    }

    fn ensure_experiment_now(&self, spec: &ExperimentSpec) -> Result<Experiment> {
        const OP: &str = "ExperimentTracker::ensure_experiment";
        check_tags(OP, &spec.tags)?;
        let find =
            |db: &rusqlite::Connection| Ok(rows::experiment(OP, db, &spec.name)?.map(|(_, found)| found));
        if let Some(found) = self.inner.db.read_now(OP, find)? {
            return Ok(found);
        }
        let made = Experiment::new(spec.clone(), truncate(self.inner.clock.now()));
        self.write_transaction(OP, |tx| {
            if let Some(found) = find(tx)? {
                return Ok(found);
            }
            let sql = "INSERT INTO experiment (name, tags, created_at, change) VALUES (?1, ?2, ?3, ?4)";
            let (tags, at) = (rows::json(OP, &made.tags)?, made.created_at.timestamp_micros());
            let change = rows::change(OP, tx)?;
            tx.execute(sql, (made.name.as_str(), tags, at, change)).map_err(failed(OP))?;
            Ok(made)
        })
    }

    fn experiment_now(&self, name: &ExperimentName) -> Result<Experiment> {
        const OP: &str = "ExperimentTracker::experiment";
        let found = self.inner.db.read_now(OP, |db| rows::experiment(OP, db, name))?;
        found.map(|(_, experiment)| experiment).ok_or_else(|| Error::not_found(OP, "experiment", name))
    }

    fn experiments_now(&self, page: &PageRequest) -> Result<Page<Experiment>> {
        const OP: &str = "ExperimentTracker::experiments";
        self.inner.pager.page(OP, &(), page, |after: Option<ExperimentName>| {
            let read = |db: &rusqlite::Connection| rows::experiments(OP, db, after.as_ref(), page.limit + 1);
            let found = self.inner.db.read_now(OP, read)?;
            Ok(found.into_iter().map(|experiment| (experiment.name.clone(), experiment)))
        })
    }

    fn start_run_now(&self, spec: &RunSpec) -> Result<Run> {
        const OP: &str = "ExperimentTracker::start_run";
        spec.check()?;
        self.catch_up(OP);
        let mut dead = Vec::new();
        let run = self.write_transaction(OP, |tx| match rows::find_run(OP, tx, &spec.id)? {
            Some(id) => {
                let run = rows::read_one(OP, tx, id, self.leases(), &mut dead)?;
                run.check_same(spec)?;
                Ok(run)
            }
            None => self.insert_run(OP, tx, spec),
        })?;
        self.bury(OP, &dead);
        Ok(run)
    }

    fn insert_run(&self, operation: &'static str, db: &rusqlite::Connection, spec: &RunSpec) -> Result<Run> {
        let Some((experiment, _)) = rows::experiment(operation, db, &spec.experiment)? else {
            return Err(Error::not_found(operation, "experiment", &spec.experiment));
        };
        if let Some(parent) = &spec.parent
            && rows::find_run(operation, db, parent)?.is_none()
        {
            return Err(Error::not_found(operation, "parent run", parent));
        }
        let mut run = Run::start(spec.clone(), self.inner.clock.now());
        run.started_at = truncate(run.started_at);
        let sql =
            "INSERT INTO run (run_id, experiment, name, parent, actor, status, started_at, change, capsule)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        let row = (
            run.id.as_str(),
            experiment,
            run.name.as_str(),
            run.parent.as_ref().map(RunId::as_str),
            run.actor.as_str(),
            rows::status_number(run.status),
            run.started_at.timestamp_micros(),
            rows::change(operation, db)?,
            rows::json(operation, &run.capsule)?,
        );
        let insert = || db.prepare_cached(sql)?.execute(row);
        insert().map_err(failed(operation))?;
        let id = db.last_insert_rowid();
        for (key, value) in &run.tags {
            write::put_tag(operation, db, id, key, value)?;
        }
        Ok(run)
    }

    fn write_run_now(&self, run: &RunId, batch: &LogBatch) -> Result<WriteReceipt> {
        const OP: &str = "ExperimentTracker::write";
        batch.check()?;
        let keyed =
            batch.key.as_ref().map(|key| write::content(batch).map(|digest| (key, digest))).transpose()?;
        self.catch_up(OP);
        let answer = self.write_transaction(OP, |tx| {
            let found = rows::read_bare(OP, tx, run, self.leases())?;
            let row = found.ok_or_else(|| Error::not_found(OP, "run", run))?;
            // First of all: a call that came through before the run ended may be repeated after.
            if let Some((key, digest)) = keyed
                && let Some(receipt) = write::replay(tx, row.id, run, key, digest)?
            {
                return Ok(receipt);
            }
            row.run.check_open(OP)?;
            write::check(tx, row.id, batch)?;
            let receipt = write::apply(tx, row.id, batch)?;
            if let Some((key, digest)) = keyed {
                write::remember(tx, row.id, key, digest, &receipt)?;
            }
            touch(OP, tx, row.id)?;
            Ok(receipt)
        });
        self.bury_if_refused(OP, answer, run)
    }

    fn heartbeat_now(&self, run: &RunId, lease: Duration) -> Result<()> {
        const OP: &str = "ExperimentTracker::heartbeat";
        if lease.is_zero() {
            return Err(Error::invalid(OP, "lease", "must be longer than nothing").with("run", run));
        }
        let answer = self.write_transaction(OP, |tx| {
            let found = rows::read_bare(OP, tx, run, self.leases())?;
            let row = found.ok_or_else(|| Error::not_found(OP, "run", run))?;
            row.run.check_open(OP)?;
            let until = self.leases().give(row.id, lease);
            let give = || {
                let mut statement = tx.prepare_cached("UPDATE run SET lease_until = ?2 WHERE id = ?1")?;
                statement.execute((row.id, until))
            };
            give().map(drop).map_err(failed(OP))
        });
        self.bury_if_refused(OP, answer, run)
    }

    pub(crate) fn finish_run_now(&self, run: &RunId, end: &RunEnd) -> Result<Run> {
        const OP: &str = "ExperimentTracker::finish_run";
        if !end.status.is_final() {
            let error = Error::invalid(OP, "status", "must be finished, failed or killed");
            return Err(error.with("value", format!("{:?}", end.status)));
        }
        // What was logged before the end is in the database before it.
        self.inner.tracker.journal.drain(OP)?;
        let mut dead = Vec::new();
        let answer = self.write_transaction(OP, |tx| {
            let found = rows::read_bare(OP, tx, run, self.leases())?;
            let row = found.ok_or_else(|| Error::not_found(OP, "run", run))?;
            if row.run.status != end.status {
                row.run.check_open(OP)?;
                let at = end.at.unwrap_or_else(|| self.inner.clock.now()).timestamp_micros();
                let change = rows::change(OP, tx)?;
                let sql = "UPDATE run SET status = ?2, ended_at = ?3, lease_until = NULL, change = ?4 WHERE id = ?1";
                let finish = || {
                    tx.prepare_cached(sql)?.execute((row.id, rows::status_number(end.status), at, change))
                };
                finish().map_err(failed(OP))?;
                self.leases().forget(row.id);
            }
            Ok((row.id, rows::read_one(OP, tx, row.id, self.leases(), &mut dead)?))
        });
        self.bury(OP, &dead);
        let (row, ended) = self.bury_if_refused(OP, answer, run)?;
        self.inner.tracker.journal.end(row);
        Ok(ended)
    }

    fn run_now(&self, run: &RunId) -> Result<Run> {
        const OP: &str = "ExperimentTracker::run";
        self.catch_up(OP);
        let mut dead = Vec::new();
        let answer = self.inner.db.read_now(OP, |db| {
            let found = rows::find_run(OP, db, run)?;
            let id = found.ok_or_else(|| Error::not_found(OP, "run", run))?;
            rows::read_one(OP, db, id, self.leases(), &mut dead)
        });
        self.bury(OP, &dead);
        answer
    }

    fn history_now(&self, run: &RunId, query: &HistoryQuery) -> Result<Page<MetricPoint>> {
        const OP: &str = "ExperimentTracker::history";
        if query.from_step > query.to_step {
            return Err(Error::invalid(OP, "from_step", "must not be greater than `to_step`")
                .with("from_step", query.from_step)
                .with("to_step", query.to_step));
        }
        self.catch_up(OP);
        let asked = (run, &query.key, query.from_step, query.to_step);
        self.inner.pager.page(OP, &asked, &query.page, |after: Option<Place>| {
            // Numbers begin at 0.
            let after = after.unwrap_or((query.from_step, i64::MIN, -1));
            let points = self.inner.db.read_now(OP, |db| {
                let found = rows::find_run(OP, db, run)?;
                let id = found.ok_or_else(|| Error::not_found(OP, "run", run))?;
                match points::series(OP, db, id, query.key.as_str())? {
                    Some(series) => {
                        points::history(OP, db, series, after, query.to_step, query.page.limit + 1)
                    }
                    None => Ok(Vec::new()),
                }
            })?;
            let mut out = Vec::with_capacity(points.len());
            for point in points {
                let at = rows::timestamp(OP, point.at)?;
                let value = value::value(point.value);
                out.push((
                    point.place(),
                    MetricPoint { key: query.key.clone(), value, step: point.step, at },
                ));
            }
            Ok(out.into_iter())
        })
    }

    fn set_deleted_now(&self, run: &RunId, deleted: bool) -> Result<Run> {
        const OP: &str = "ExperimentTracker::set_deleted";
        self.catch_up(OP);
        let mut dead = Vec::new();
        let answer = self.write_transaction(OP, |tx| {
            let found = rows::find_run(OP, tx, run)?;
            let id = found.ok_or_else(|| Error::not_found(OP, "run", run))?;
            let change = rows::change(OP, tx)?;
            let set = || {
                let sql = "UPDATE run SET deleted = ?2, change = ?3 WHERE id = ?1";
                tx.prepare_cached(sql)?.execute((id, deleted, change))
            };
            set().map_err(failed(OP))?;
            rows::read_one(OP, tx, id, self.leases(), &mut dead)
        });
        self.bury(OP, &dead);
        answer
    }
}

/// Says that a run changed.
pub(crate) fn touch(operation: &'static str, db: &rusqlite::Connection, run: i64) -> Result<()> {
    let change = rows::change(operation, db)?;
    let set = || db.prepare_cached("UPDATE run SET change = ?2 WHERE id = ?1")?.execute((run, change));
    set().map(drop).map_err(failed(operation))
}

#[async_trait]
impl ExperimentTracker for LocalTracker {
    fn capabilities(&self) -> TrackerCapabilities {
        TrackerCapabilities::FULL
    }

    async fn ensure_experiment(&self, spec: &ExperimentSpec) -> Result<Experiment> {
        let (this, spec) = (self.clone(), spec.clone());
        blocking("ExperimentTracker::ensure_experiment", move || this.ensure_experiment_now(&spec)).await
    }

    async fn experiment(&self, name: &ExperimentName) -> Result<Experiment> {
        let (this, name) = (self.clone(), name.clone());
        blocking("ExperimentTracker::experiment", move || this.experiment_now(&name)).await
    }

    async fn experiments(&self, page: &PageRequest) -> Result<Page<Experiment>> {
        let (this, page) = (self.clone(), page.clone());
        blocking("ExperimentTracker::experiments", move || this.experiments_now(&page)).await
    }

    async fn start_run(&self, spec: &RunSpec) -> Result<Run> {
        let (this, spec) = (self.clone(), spec.clone());
        blocking("ExperimentTracker::start_run", move || this.start_run_now(&spec)).await
    }

    async fn write(&self, run: &RunId, batch: &LogBatch) -> Result<WriteReceipt> {
        let (this, run, batch) = (self.clone(), run.clone(), batch.clone());
        blocking("ExperimentTracker::write", move || this.write_run_now(&run, &batch)).await
    }

    async fn heartbeat(&self, run: &RunId, lease: Duration) -> Result<()> {
        let (this, run) = (self.clone(), run.clone());
        blocking("ExperimentTracker::heartbeat", move || this.heartbeat_now(&run, lease)).await
    }

    async fn finish_run(&self, run: &RunId, end: &RunEnd) -> Result<Run> {
        let (this, run, end) = (self.clone(), run.clone(), *end);
        blocking("ExperimentTracker::finish_run", move || this.finish_run_now(&run, &end)).await
    }

    async fn run(&self, run: &RunId) -> Result<Run> {
        let (this, run) = (self.clone(), run.clone());
        blocking("ExperimentTracker::run", move || this.run_now(&run)).await
    }

    async fn search_runs(&self, query: &RunQuery) -> Result<Page<Run>> {
        // A filter nested too deep is refused before it is copied.
        query.check()?;
        let (this, query) = (self.clone(), query.clone());
        blocking("ExperimentTracker::search_runs", move || this.search_now(&query)).await
    }

    async fn history(&self, run: &RunId, query: &HistoryQuery) -> Result<Page<MetricPoint>> {
        let (this, run, query) = (self.clone(), run.clone(), query.clone());
        blocking("ExperimentTracker::history", move || this.history_now(&run, &query)).await
    }

    async fn set_deleted(&self, run: &RunId, deleted: bool) -> Result<Run> {
        let (this, run) = (self.clone(), run.clone());
        blocking("ExperimentTracker::set_deleted", move || this.set_deleted_now(&run, deleted)).await
    }
}
