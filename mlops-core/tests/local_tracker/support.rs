//! What the tests share.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mlops_core::experiment::{
    ExperimentSpec, ExperimentTracker as _, ExperimentTrackerExt as _, MetricPoint, RunSpec,
};
use mlops_core::local::{LocalStore, LocalTracker};
use mlops_core::time::ManualClock;
use mlops_core::{ActorId, ExperimentName, MetricKey, RunId};

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()))
}

/// Waits for a future without a runtime: the embedded backend works there, too.
pub(crate) fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

pub(crate) fn experiment() -> ExperimentName {
    ExperimentName::new("tests").unwrap()
}

pub(crate) fn key(name: &str) -> MetricKey {
    MetricKey::new(name).unwrap()
}

pub(crate) fn start(tracker: &LocalTracker) -> RunId {
    block(tracker.ensure_experiment(&ExperimentSpec::new(experiment()))).unwrap();
    let spec = RunSpec::new(experiment(), "r", ActorId::new("a").unwrap());
    block(tracker.start_run(&spec)).unwrap().id
}

pub(crate) fn history(tracker: &LocalTracker, run: &RunId, name: &str) -> Vec<MetricPoint> {
    block(tracker.full_history(run, &key(name))).unwrap()
}

pub(crate) fn journals(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("journal")).unwrap();
    let mut found: Vec<_> = entries.map(|e| e.unwrap().path()).filter(|path| path.is_file()).collect();
    found.sort();
    found
}

/// A copy of a store as it would be found after its process was killed: nobody holds what is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    for part in ["", "journal"] {
        let Ok(entries) = std::fs::read_dir(from.join(part)) else { continue };
        std::fs::create_dir_all(to.join(part)).unwrap();
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap();
            // Shared memory is made anew from the log.
            if path.is_file() && name != "mlops.db-shm" {
                std::fs::copy(&path, to.join(part).join(name)).unwrap();
            }
        }
    }
}

pub(crate) fn open(folder: &Path) -> LocalStore {
    LocalStore::open(folder).unwrap()
}
