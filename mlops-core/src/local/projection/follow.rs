//! Following the store: what changed, into MLflow's tables, on request or at an interval.

use std::fmt;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::write::{self, Places};
use super::{MlflowProjection, SYNC, SyncReport, artifacts, connect, progress, set_progress, transact};
use crate::error::{Error, ErrorKind, Result};
use crate::experiment::{MetricPoint, Run};
use crate::local::db::Durability;
use crate::local::store::Inner;
use crate::local::tracker::{feed, rows};
use crate::time::lock;

/// Which changes of experiments and runs were followed.
const CHANGES: &str = "change";

/// What one step did.
pub(super) struct Step {
    pub(super) experiments: u64,
    pub(super) runs: Vec<Run>,
    pub(super) points: u64,
    /// The change up to which everything is written, but for the files of the runs.
    pub(super) upto: u64,
    pub(super) done: bool,
}

/// A run to write, with the points that are new.
struct Written {
    experiment: i64,
    run: Run,
    points: Vec<MetricPoint>,
    /// By series: how many points there are now, and the last chunk.
    series: Vec<(i64, i64, i64)>,
}

/// Writes at most `limit` runs that changed, and all experiments. That it did is noted by [`done`].
pub(super) fn tracker(inner: &Inner, limit: usize) -> Result<Step> {
    // What was logged through this handle is shown, too; what cannot be committed now comes with a later synchronisation.
    drop(inner.tracker.journal.drain(SYNC));
    let leases = &inner.tracker.leases;
    let dead = inner.db.read_now(SYNC, |db| rows::overdue(SYNC, db, leases))?;
    if !dead.is_empty() {
        inner.db.write_now(SYNC, Durability::Process, |tx| rows::bury(SYNC, tx, &dead, leases))?;
    }
    let mut mlflow = connect(inner)?;
    let after = i64::try_from(progress(&mlflow, CHANGES)?).unwrap_or(i64::MAX);
    let (changes, written) = inner.db.read_now(SYNC, |db| {
        let mut changes = feed::changes(SYNC, db, after, limit, leases)?;
        let mut written = Vec::with_capacity(changes.runs.len());
        for changed in std::mem::take(&mut changes.runs) {
            written.push(new_points(db, &mlflow, changed)?);
        }
        Ok((changes, written))
    })?;
    let folder = artifacts(inner);
    let places = Places { artifacts: &folder };
    let upto = u64::try_from(changes.upto).unwrap_or(0);
    let mut points = 0;
    transact(&mut mlflow, |tx| {
        for (id, experiment) in &changes.experiments {
            write::experiment(tx, &places, *id, experiment)?;
        }
        for Written { experiment, run, points: new, series } in &written {
            write::run(tx, &places, *experiment, run)?;
            write::points(tx, &run.id, new)?;
            points += new.len() as u64;
            for (id, count, chunk) in series {
                let sql = "INSERT OR REPLACE INTO mlops_series (series, count, chunk) VALUES (?1, ?2, ?3)";
                tx.prepare_cached(sql)?.execute(params![id, count, chunk])?;
            }
        }
        Ok(())
    })?;
    let runs = written.into_iter().map(|written| written.run).collect();
    Ok(Step { experiments: changes.experiments.len() as u64, runs, points, upto, done: changes.done })
}

/// Notes that everything up to a change was followed.
pub(super) fn done(inner: &Inner, upto: u64) -> Result<()> {
    transact(&mut connect(inner)?, |tx| set_progress(tx, CHANGES, upto))
}

fn new_points(db: &Connection, mlflow: &Connection, changed: feed::ChangedRun) -> Result<Written> {
    let (mut points, mut known) = (Vec::new(), Vec::new());
    for series in feed::series(SYNC, db, changed.id)? {
        let sql = "SELECT count, chunk FROM mlops_series WHERE series = ?1";
        let before = || {
            let mut statement = mlflow.prepare_cached(sql)?;
            statement.query_row([series.id], |row| Ok((row.get(0)?, row.get(1)?))).optional()
        };
        let (count, chunk): (i64, i64) = before().map_err(super::refused)?.unwrap_or((0, 0));
        if series.count > count {
            let (mut new, last) = feed::points_from(SYNC, db, &series, count, chunk)?;
            points.append(&mut new);
            known.push((series.id, series.count, last));
        }
    }
    Ok(Written { experiment: changed.experiment, run: changed.run, points, series: known })
}

/// Keeps the projection up to date for as long as it lives; see [`MlflowProjection::follow`].
pub struct Follower {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    last: Arc<Mutex<Option<Result<SyncReport>>>>,
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").finish_non_exhaustive()
    }
}

impl MlflowProjection {
    /// Keeps the projection up to date: a thread of its own synchronises every `interval`, and once more when the answer is
    /// dropped.
    ///
    /// A synchronisation that fails is tried again with the next one; [`Follower::last`] tells.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an interval of nothing; [`ErrorKind::Storage`] where no thread can be started.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mlops_core::local::LocalStore;
    /// # let dir = tempfile::tempdir()?;
    /// let store = LocalStore::open(dir.path().join(".mlops"))?;
    /// let follower = store.mlflow().follow(Duration::from_secs(1))?;
    /// // … log, register, move aliases …
    /// drop(follower);
    /// assert!(store.mlflow().database().exists());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn follow(&self, interval: Duration) -> Result<Follower> {
        const OP: &str = "MlflowProjection::follow";
        if interval.is_zero() {
            return Err(Error::invalid(OP, "interval", "must be longer than nothing"));
        }
        let (stop, stopped) = channel();
        let last = Arc::new(Mutex::new(None));
        let (projection, told) = (self.clone(), last.clone());
        let work = move || {
            // Without a runtime everything is done on this thread.
            let sync = || {
                let answer = now(projection.sync());
                *lock(&told) = Some(answer);
            };
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                sync();
            }
            sync();
        };
        let thread = std::thread::Builder::new().name("mlops-mlflow".to_owned()).spawn(work);
        let thread = thread
            .map_err(|e| Error::new(ErrorKind::Storage, OP, "no thread can be started").with_source(e))?;
        Ok(Follower { stop: Some(stop), thread: Some(thread), last })
    }
}

impl Follower {
    /// What the last synchronisation did, if there was one since this was asked last.
    pub fn last(&self) -> Option<Result<SyncReport>> {
        lock(&self.last).take()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there was a defect, and has been said where panics are said.
            let _ = thread.join();
        }
    }
}

/// Drives a future that waits for nothing but the disk, on this thread.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let waker = std::task::Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = std::task::Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(answer) => return answer,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

struct Unpark(std::thread::Thread);

impl std::task::Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
