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
