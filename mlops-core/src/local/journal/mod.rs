//! The journal: metric values on their way into the database.
//!
//! Each store handle that logs has a file of its own in `journal/`, held by its lock as long as the process lives. A value is
//! one record, appended by one write: what the kernel has taken survives the process. The committer moves records into the
//! database, in one transaction with how far it came, so that each is moved once, whenever somebody is killed. When a store is
//! opened, the files that nobody holds are replayed. A file is removed only after the disk has the commits that took its records in.

mod commit;
mod file;
mod logger;
mod record;
mod recover;
mod writer;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

pub use self::logger::{LogReport, LoggerOptions, MetricHandle, MetricName, RunLogger};
pub(crate) use self::recover::recover;
pub use self::recover::{JournalOutcome, RecoveredJournal, RecoveryReport};

use self::commit::Shared;
use self::writer::Writer;
use super::db::Db;
use super::tracker::lease::Leases;
use crate::disk::storage;
use crate::error::{Error, ErrorKind, Result};
use crate::time::{Clock, lock};

/// The folder of the journals.
pub(crate) const FOLDER: &str = "journal";

/// The journal of one store handle, with its committer.
pub(crate) struct Journal {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Journal {
    pub(crate) fn new(
        root: &Path,
        owner: uuid::Uuid,
        db: Arc<Db>,
        clock: Arc<dyn Clock>,
        leases: Arc<Leases>,
    ) -> Self {
        let writer = Writer::new(root.join(FOLDER), owner);
        Self { shared: Arc::new(Shared::new(db, clock, leases, writer)), thread: Mutex::default() }
    }

    /// Makes sure that the committer is at work.
    fn start(&self, operation: &'static str) -> Result<Arc<Shared>> {
        let mut thread = lock(&self.thread);
        if thread.is_none() {
            let shared = self.shared.clone();
            let started = std::thread::Builder::new().name("mlops-journal".to_owned());
            let started = started.spawn(move || shared.work()).map_err(|e| {
                Error::new(ErrorKind::Storage, operation, "no thread can be started").with_source(e)
            })?;
            *thread = Some(started);
            self.shared.use_it();
        }
        Ok(self.shared.clone())
    }

    /// Moves everything that was logged through this handle into the database.
    pub(crate) fn drain(&self, operation: &'static str) -> Result<()> {
        self.shared.drain(operation)
    }

    /// Takes no more values for a run that has ended.
    pub(crate) fn end(&self, row: i64) {
        if self.shared.is_used() {
            self.shared.let_go(row);
            lock(&self.shared.writer).close(row);
        }
    }
}

impl Drop for Journal {
    /// Waits until everything is in the database, or cannot get there.
    fn drop(&mut self) {
        if let Some(thread) = lock(&self.thread).take() {
            self.shared.stop();
            // A panic in it has been reported by the panic hook; the journal is replayed when the store is opened next.
            drop(thread.join());
        }
    }
}

/// Why the journal could not be written.
fn unwritable(e: io::Error) -> Error {
    storage("RunLogger::metric", "the journal", e)
}

fn unreadable(operation: &'static str) -> impl Fn(io::Error) -> Error {
    move |e| storage(operation, "the journal", e)
}
