//! The logger: what a training loop calls.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::commit::Shared;
use super::record::Record;
use super::writer::{Counts, Writer};
use crate::error::{Error, Result};
use crate::experiment::{Run, RunEnd, RunStatus};
use crate::id::{MetricKey, RunId};
use crate::local::db::{Durability, failed};
use crate::local::tracker::{LocalTracker, rows};
use crate::time::{Timestamp, lock};

/// How a [`RunLogger`] works.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::local::LoggerOptions;
/// let options = LoggerOptions::default().with_lease(Some(Duration::from_secs(300)));
/// assert_eq!(options.commit_every, Duration::from_millis(200));
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggerOptions {
    /// How long the run counts as alive after this process was heard of last. It is renewed as long as the process lives, so
    /// a process that is killed leaves a run that becomes killed. `None` leaves the lease as it is. Default: 60 s.
    pub lease: Option<Duration>,
    /// How often what was logged is moved into the database, where other processes see it. Default: 200 ms.
    pub commit_every: Duration,
    /// How the run ends when the logger and all its clones are gone and nobody has ended it: as failed, where a training function
    /// returns early or panics, as with MLflow's `with mlflow.start_run()`. Default: not at all, the run goes on as long as the store
    /// handle lives.
    pub end_on_drop: Option<RunStatus>,
}

impl Default for LoggerOptions {
    fn default() -> Self {
        let (lease, commit_every) = (Some(Duration::from_secs(60)), Duration::from_millis(200));
        Self { lease, commit_every, end_on_drop: None }
    }
}

impl LoggerOptions {
    /// Sets the lease.
    #[must_use]
    pub fn with_lease(mut self, lease: Option<Duration>) -> Self {
        self.lease = lease;
        self
    }

    /// Ends the run with this status, which must be a final one, when the logger and all its clones are gone and nobody has ended it.
    #[must_use]
    pub fn with_end_on_drop(mut self, status: RunStatus) -> Self {
        self.end_on_drop = Some(status);
        self
    }

    /// Sets how often what was logged is moved into the database. The loggers of one store handle share a committer, which
    /// takes the shortest time that was asked for.
    #[must_use]
    pub fn with_commit_every(mut self, every: Duration) -> Self {
        self.commit_every = every;
        self
    }
}

/// A metric to log to: its key, or the handle that [`RunLogger::handle`] made of it, which saves looking the key up.
#[derive(Clone, Copy, Debug)]
pub enum MetricName<'a> {
    /// By its key.
    Key(&'a MetricKey),
    /// By its handle.
    Handle(&'a MetricHandle),
}

impl<'a> From<&'a MetricKey> for MetricName<'a> {
    fn from(key: &'a MetricKey) -> Self {
        Self::Key(key)
    }
}

impl<'a> From<&'a MetricHandle> for MetricName<'a> {
    fn from(handle: &'a MetricHandle) -> Self {
        Self::Handle(handle)
    }
}

/// A metric's key, looked up; good for every logger of the same store handle, and for others as good as the key.
#[derive(Clone)]
pub struct MetricHandle {
    key: MetricKey,
    number: u32,
    journal: std::sync::Weak<Shared>,
}

impl MetricHandle {
    /// The key.
    pub fn key(&self) -> &MetricKey {
        &self.key
    }
}

impl fmt::Debug for MetricHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MetricHandle").field(&self.key).finish()
    }
}

/// What became of the values that were logged to a run through one store handle.
///
/// Every value that was accepted is committed, pending or dropped: nothing is lost in silence.
#[non_exhaustive]
#[derive(Clone, Debug, Default)]
pub struct LogReport {
    /// Values that were taken.
    pub accepted: u64,
    /// Of these, how many are in the database.
    pub committed: u64,
    /// Of these, how many are in memory alone, because the journal could not be written: a kill would take them.
    pub in_memory: u64,
    /// Of these, how many are lost: the journal could not be written for so long that memory was full.
    pub dropped: u64,
    /// Values that were not taken, because the run had ended.
    pub refused: u64,
    /// What failed last, also when it worked since.
    pub last_error: Option<Arc<Error>>,
}

impl LogReport {
    /// How many accepted values are not in the database yet, and not lost.
    ///
    /// ```
    /// assert_eq!(mlops_core::local::LogReport::default().pending(), 0);
    /// ```
    pub fn pending(&self) -> u64 {
        self.accepted.saturating_sub(self.committed).saturating_sub(self.dropped)
    }

    /// Whether every value that was logged is in the database.
    pub fn is_complete(&self) -> bool {
        self.pending() == 0 && self.dropped == 0 && self.refused == 0
    }

    fn new(counts: Counts, last_error: Option<Arc<Error>>) -> Self {
        let Counts { accepted, committed, in_memory, dropped, refused } = counts;
        Self { accepted, committed, in_memory, dropped, refused, last_error }
    }
}

/// Logs metrics of one run from a training loop: no `await`, no `Result`, no waiting for the database.
///
/// A call writes one record to the journal, by one system call, and is done. The record survives the process being killed;
/// a committer moves it into the database, where other processes see it, within [`LoggerOptions::commit_every`]. Reads through
/// the same [`LocalStore`](super::super::LocalStore) see it at once.
///
/// While the journal cannot be written (a full disk), up to 65 536 values wait in memory and are tried again; what comes when
/// memory is full is counted as dropped. [`Self::status`] and [`Self::flush`] say what became of every value.
///
/// A run that has ended takes no more values. That another handle or process ended it is found out when values are committed or the
/// lease is renewed: what was logged until then is kept, what comes after is counted as refused.
///
/// It may be used by many threads at once; a clone logs to the same run. The run's lease is renewed as long as the store
/// handle lives and the run has not ended, also after its loggers are gone. In a process that lives on, a run that nobody ends is
/// therefore running for ever: let the logger [end it](LoggerOptions::end_on_drop) where training can return early or panic.
///
/// ```
/// use mlops_core::experiment::{ExperimentSpec, ExperimentTracker as _, RunEnd, RunSpec, RunStatus};
/// use mlops_core::local::{LocalStore, LocalTracker, LogReport, LoggerOptions};
/// use mlops_core::{ActorId, ExperimentName, MetricKey, RunId};
/// # let dir = tempfile::tempdir()?;
/// fn train(tracker: &LocalTracker, run: &RunId, losses: &[&str]) -> Result<LogReport, Box<dyn std::error::Error>> {
///     let logger = tracker.logger(run, LoggerOptions::default().with_end_on_drop(RunStatus::Failed))?;
///     let loss = logger.handle(&MetricKey::new("loss")?);
///     for (step, value) in (0..).zip(losses) {
///         // Whoever returns here leaves a run that has failed.
///         logger.metric(&loss, value.parse()?, step);
///     }
///     Ok(logger.finish(&RunEnd::FINISHED)?)
/// }
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let tracker = LocalStore::open(dir.path().join(".mlops"))?.tracker();
/// let name = ExperimentName::new("diabetes")?;
/// tracker.ensure_experiment(&ExperimentSpec::new(name.clone())).await?;
/// let mut ended = Vec::new();
/// for losses in [&["0.5", "0.25"], &["0.5", "oops"]] {
///     let run = tracker.start_run(&RunSpec::new(name.clone(), "baseline", ActorId::new("trainer")?)).await?;
///     let _ = train(&tracker, &run.id, losses);
///     ended.push(tracker.run(&run.id).await?.status);
/// }
/// assert_eq!(ended, [RunStatus::Finished, RunStatus::Failed]);
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// ```
/// use mlops_core::experiment::{ExperimentSpec, ExperimentTracker as _, RunEnd, RunSpec};
/// use mlops_core::local::{LocalStore, LoggerOptions};
/// use mlops_core::{ActorId, ExperimentName, MetricKey};
/// # let dir = tempfile::tempdir()?;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let tracker = LocalStore::open(dir.path().join(".mlops"))?.tracker();
/// let name = ExperimentName::new("diabetes")?;
/// tracker.ensure_experiment(&ExperimentSpec::new(name.clone())).await?;
/// let run = tracker.start_run(&RunSpec::new(name, "baseline", ActorId::new("trainer")?)).await?;
///
/// let logger = tracker.logger(&run.id, LoggerOptions::default())?;
/// let loss = logger.handle(&MetricKey::new("loss")?);
/// for step in 0..1000 {
///     logger.metric(&loss, 1.0 / (1.0 + step as f64), step);
/// }
/// let report = logger.finish(&RunEnd::FINISHED)?;
/// assert_eq!((report.committed, report.dropped), (1000, 0));
///
/// assert_eq!(tracker.run(&run.id).await?.metric("loss"), Some(0.001));
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct RunLogger {
    tracker: LocalTracker,
    shared: Arc<Shared>,
    run: RunId,
    number: u32,
    ending: Option<Arc<Ending>>,
}

/// Ends a run when the last clone of its logger goes.
struct Ending {
    tracker: LocalTracker,
    shared: Arc<Shared>,
    run: RunId,
    row: i64,
    status: RunStatus,
    /// Whether the logger has ended it.
    done: AtomicBool,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if self.done.load(Ordering::Acquire) {
            return;
        }
        // A run that somebody else has ended stays as it is. One that cannot be ended now is not kept alive: its lease ends.
        if self.tracker.finish_run_now(&self.run, &RunEnd { status: self.status, at: None }).is_err() {
            self.shared.let_go(self.row);
        }
    }
}

impl fmt::Debug for RunLogger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunLogger").field("run", &self.run).finish_non_exhaustive()
    }
}

impl LocalTracker {
    /// A logger for a run, which must be open. Blocks for as long as a write to the database takes.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) for no such run, [`ErrorKind::Conflict`](crate::ErrorKind::Conflict)
    /// for one that has ended or is deleted, [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for an empty lease or an end
    /// that is none, [`ErrorKind::Storage`](crate::ErrorKind::Storage) where the journal cannot be written.
    pub fn logger(&self, run: &RunId, options: LoggerOptions) -> Result<RunLogger> {
        const OP: &str = "LocalTracker::logger";
        if options.lease.is_some_and(|lease| lease.is_zero()) {
            return Err(Error::invalid(OP, "lease", "must be longer than nothing").with("run", run));
        }
        if let Some(status) = options.end_on_drop.filter(|status| !status.is_final()) {
            let message = format!("must be finished, failed or killed, got {status:?}");
            return Err(Error::invalid(OP, "end_on_drop", message).with("run", run));
        }
        let inner = self.inner();
        let row = inner.db.write_now(OP, Durability::Process, |tx| {
            let found = rows::read_bare(OP, tx, run, &inner.tracker.leases)?;
            let row = found.ok_or_else(|| Error::not_found(OP, "run", run))?;
            row.run.check_open(OP)?;
            if let Some(lease) = options.lease {
                let until = inner.tracker.leases.give(row.id, lease);
                let give = || tx.execute("UPDATE run SET lease_until = ?2 WHERE id = ?1", (row.id, until));
                give().map_err(failed(OP))?;
            }
            Ok(row.id)
        })?;
        let shared = inner.tracker.journal.start(OP)?;
        let number = {
            let mut writer = lock(&shared.writer);
            writer.open().map_err(|e| super::unwritable(e).with("run", run))?;
            writer.run(run, row)
        };
        shared.commit_every(options.commit_every);
        if let Some(lease) = options.lease {
            shared.keep_alive(row, lease);
        }
        let ending = options.end_on_drop.map(|status| {
            let (tracker, shared, run) = (self.clone(), shared.clone(), run.clone());
            Arc::new(Ending { tracker, shared, run, row, status, done: AtomicBool::new(false) })
        });
        Ok(RunLogger { tracker: self.clone(), shared, run: run.clone(), number, ending })
    }
}

impl RunLogger {
    /// The run.
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// Looks a metric up, once for many values.
    pub fn handle(&self, key: &MetricKey) -> MetricHandle {
        let number = lock(&self.shared.writer).key(key);
        MetricHandle { key: key.clone(), number, journal: Arc::downgrade(&self.shared) }
    }

    /// Logs a value, measured now. Two calls are two points, also of the same value at the same step: each gets a time
    /// after the one before, whatever the wall clock says.
    pub fn metric<'a>(&self, metric: impl Into<MetricName<'a>>, value: f64, step: i64) {
        let now = self.shared.clock.now().timestamp_micros();
        let mut writer = lock(&self.shared.writer);
        let key = self.number_of(&mut writer, metric.into());
        let at = writer.stamp(now);
        self.shared.log(&mut writer, Record { run: self.number, key, step, at, value });
    }

    /// Logs a value that was measured at a time. The same value, step and time are the same point, which is kept once.
    pub fn metric_at<'a>(&self, metric: impl Into<MetricName<'a>>, value: f64, step: i64, at: Timestamp) {
        let at = at.timestamp_micros();
        let mut writer = lock(&self.shared.writer);
        let key = self.number_of(&mut writer, metric.into());
        self.shared.log(&mut writer, Record { run: self.number, key, step, at, value });
    }

    fn number_of(&self, writer: &mut Writer, metric: MetricName<'_>) -> u32 {
        match metric {
            MetricName::Handle(handle)
                if std::ptr::eq(handle.journal.as_ptr(), Arc::as_ptr(&self.shared)) =>
            {
                handle.number
            }
            MetricName::Handle(handle) => writer.key(&handle.key),
            MetricName::Key(key) => writer.key(key),
        }
    }

    /// What became of what was logged to this run, so far.
    pub fn status(&self) -> LogReport {
        let mut writer = lock(&self.shared.writer);
        let last_error = writer.last_error.clone();
        LogReport::new(writer.counts(self.number).copied().unwrap_or_default(), last_error)
    }

    /// Moves everything that was logged into the database, and says what became of it. Blocks until it is there.
    ///
    /// # Errors
    /// Those of the database; what was logged stays in the journal then, and is tried again.
    pub fn flush(&self) -> Result<LogReport> {
        self.shared.drain("RunLogger::flush")?;
        Ok(self.status())
    }

    /// Moves everything into the database, ends the run, and says what became of what was logged.
    ///
    /// # Errors
    /// Those of [`Self::flush`] and of [`finish_run`](crate::experiment::ExperimentTracker::finish_run).
    pub fn finish(&self, end: &RunEnd) -> Result<LogReport> {
        let _: Run = self.tracker.finish_run_now(&self.run, end)?;
        if let Some(ending) = &self.ending {
            ending.done.store(true, Ordering::Release);
        }
        Ok(self.status())
    }
}
