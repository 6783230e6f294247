//! What tests share.
#![allow(dead_code)] // each test binary uses its part

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mlops_core::experiment::{
    Experiment, ExperimentSpec, ExperimentTracker, HistoryQuery, LogBatch, MetricPoint, Run, RunEnd,
    RunQuery, RunSpec, TrackerCapabilities, WriteReceipt,
};
use mlops_core::local::{LocalStore, NetworkPolicy};
use mlops_core::memory::MemoryTracker;
use mlops_core::time::{Clock, ManualClock, Timestamp};
use mlops_core::{Error, ErrorKind, ExperimentName, Page, PageRequest, Result, RunId};
use tempfile::TempDir;

/// A clock that owns the folder of the store that has it, so that the folder goes when the store has gone.
#[derive(Debug)]
struct Owner {
    clock: Arc<ManualClock>,
    _folder: TempDir,
}

impl Clock for Owner {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }
}

/// A new store in a folder of its own, and the clock it has its time from.
pub fn fresh(network: NetworkPolicy) -> (LocalStore, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".mlops");
    let owner = Owner { clock: clock.clone(), _folder: folder };
    let options = LocalStore::options().with_clock(Arc::new(owner)).with_network(network);
    (options.open(path).unwrap(), clock)
}

/// A store in `folder` that has its time from `clock`.
pub fn open(folder: &Path, clock: &Arc<ManualClock>) -> LocalStore {
    LocalStore::options().with_clock(clock.clone()).open(folder).unwrap()
}

/// Runs a future to its end on this thread.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Changes the database behind the store's back.
pub fn sabotage(store: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(store.join("mlops.db")).unwrap();
    connection.pragma_update(None, "foreign_keys", false).unwrap();
    connection.execute_batch(sql).unwrap();
}

/// Runs this test binary again, `count` times at once, with only the test `name`, which finds `value` in the environment
/// under `variable`; answers what each of them printed.
pub fn children(count: usize, name: &str, variable: &str, value: &Path) -> Vec<String> {
    let start = |_| {
        std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(variable, value)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap()
    };
    let children: Vec<_> = (0..count).map(start).collect();
    let finish = |child: std::process::Child| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    children.into_iter().map(finish).collect()
}

/// A tracker in memory that takes so many changes, and then none until it is mended.
#[derive(Debug)]
pub struct FailingTracker {
    inner: MemoryTracker,
    left: AtomicUsize,
}

impl FailingTracker {
    pub fn after(changes: usize) -> Self {
        Self { inner: MemoryTracker::default(), left: AtomicUsize::new(changes) }
    }

    pub fn mend(&self) {
        self.left.store(usize::MAX, Ordering::SeqCst);
    }

    fn change(&self) -> Result<()> {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map(drop).map_err(|_| Error::new(ErrorKind::Transport, "FailingTracker", "nobody answers"))
    }
}

#[async_trait::async_trait]
impl ExperimentTracker for FailingTracker {
    fn capabilities(&self) -> TrackerCapabilities {
        self.inner.capabilities()
    }

    async fn ensure_experiment(&self, spec: &ExperimentSpec) -> Result<Experiment> {
        self.change()?;
        self.inner.ensure_experiment(spec).await
    }

    async fn experiment(&self, name: &ExperimentName) -> Result<Experiment> {
        self.inner.experiment(name).await
    }

    async fn experiments(&self, page: &PageRequest) -> Result<Page<Experiment>> {
        self.inner.experiments(page).await
    }

    async fn start_run(&self, spec: &RunSpec) -> Result<Run> {
        self.change()?;
        self.inner.start_run(spec).await
    }

    async fn write(&self, run: &RunId, batch: &LogBatch) -> Result<WriteReceipt> {
        self.change()?;
        self.inner.write(run, batch).await
    }

    async fn heartbeat(&self, run: &RunId, lease: Duration) -> Result<()> {
        self.change()?;
        self.inner.heartbeat(run, lease).await
    }

    async fn finish_run(&self, run: &RunId, end: &RunEnd) -> Result<Run> {
        self.change()?;
        self.inner.finish_run(run, end).await
    }

    async fn run(&self, run: &RunId) -> Result<Run> {
        self.inner.run(run).await
    }

    async fn search_runs(&self, query: &RunQuery) -> Result<Page<Run>> {
        self.inner.search_runs(query).await
    }

    async fn history(&self, run: &RunId, query: &HistoryQuery) -> Result<Page<MetricPoint>> {
        self.inner.history(run, query).await
    }

    async fn set_deleted(&self, run: &RunId, deleted: bool) -> Result<Run> {
        self.change()?;
        self.inner.set_deleted(run, deleted).await
    }
}
