//! The embedded store's experiment tracker: the public suite, what it promises beyond it, and a model to compare with.

mod journal;
mod leases;
mod model;
mod processes;
mod search;
mod support;

use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::conformance::tracker::TrackerUnderTest;
use mlops_core::experiment::{
    Experiment, ExperimentSpec, ExperimentTracker, HistoryQuery, LogBatch, MetricPoint, Run, RunEnd,
    RunQuery, RunSpec, TrackerCapabilities, WriteReceipt,
};
use mlops_core::local::{LocalOptions, LocalStore, LocalTracker, NetworkPolicy};
use mlops_core::{ExperimentName, Page, PageRequest, Result, RunId};

/// A tracker with the folder it lives in.
#[derive(Debug)]
struct Housed {
    tracker: LocalTracker,
    _folder: tempfile::TempDir,
}

#[async_trait]
impl ExperimentTracker for Housed {
    fn capabilities(&self) -> TrackerCapabilities {
        self.tracker.capabilities()
    }

    async fn ensure_experiment(&self, spec: &ExperimentSpec) -> Result<Experiment> {
        self.tracker.ensure_experiment(spec).await
    }

    async fn experiment(&self, name: &ExperimentName) -> Result<Experiment> {
        self.tracker.experiment(name).await
    }

    async fn experiments(&self, page: &PageRequest) -> Result<Page<Experiment>> {
        self.tracker.experiments(page).await
    }

    async fn start_run(&self, spec: &RunSpec) -> Result<Run> {
        self.tracker.start_run(spec).await
    }

    async fn write(&self, run: &RunId, batch: &LogBatch) -> Result<WriteReceipt> {
        self.tracker.write(run, batch).await
    }

    async fn heartbeat(&self, run: &RunId, lease: std::time::Duration) -> Result<()> {
        self.tracker.heartbeat(run, lease).await
    }

    async fn finish_run(&self, run: &RunId, end: &RunEnd) -> Result<Run> {
        self.tracker.finish_run(run, end).await
    }

    async fn run(&self, run: &RunId) -> Result<Run> {
        self.tracker.run(run).await
    }

    async fn search_runs(&self, query: &RunQuery) -> Result<Page<Run>> {
        self.tracker.search_runs(query).await
    }

    async fn history(&self, run: &RunId, query: &HistoryQuery) -> Result<Page<MetricPoint>> {
        self.tracker.history(run, query).await
    }

    async fn set_deleted(&self, run: &RunId, deleted: bool) -> Result<Run> {
        self.tracker.set_deleted(run, deleted).await
    }
}

fn fresh(options: LocalOptions) -> TrackerUnderTest {
    let (clock, folder) = (support::clock(), tempfile::tempdir().unwrap());
    let store = options.with_clock(clock.clone()).open(folder.path()).unwrap();
    let tracker = Housed { tracker: store.tracker(), _folder: folder };
    TrackerUnderTest::new(Arc::new(tracker)).with_clock(clock)
}

mlops_core::experiment_tracker_suite!(plain, fresh(LocalStore::options()));
mlops_core::experiment_tracker_suite!(
    without_shared_memory,
    fresh(LocalStore::options().with_network(NetworkPolicy::Assume))
);
