//! What the tests of the embedded store share.
#![allow(dead_code)] // each test binary uses its part

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mlops_core::local::{LocalStore, NetworkPolicy};
use mlops_core::time::{Clock, ManualClock, Timestamp};
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
