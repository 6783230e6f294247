//! The embedded backend: every stateful trait on one folder, no server, safe for many processes.
//!
//! # What is promised for metrics
//! * A value that [`RunLogger::metric`] returned from survives the process being killed at any moment after: it lies in the
//!   journal, which the next one to open the store moves into the database. It is there once, however often somebody is
//!   killed on the way, and however many open the store at once. [`LocalStore::recovery`] says what was found.
//! * What [`ExperimentTracker::write`](crate::experiment::ExperimentTracker::write) and the other calls of the trait returned
//!   from is committed, and survives that, too. A power cut may take what was logged last, never a part of a batch.
//! * Every value is kept bit for bit, but for the payload of a NaN; every time to the microsecond. A metric's values come back
//!   in the order of step, time and logging.
//! * A call to [`RunLogger::metric`] is one system call: it waits neither for the database nor for other processes.
//! * On a full disk up to 65 536 values wait in memory and are written when there is room again. What does not fit is counted
//!   as dropped in [`LogReport`], and nothing else is ever dropped.
//! * A damaged bit in a journal takes no more than the record it hit, never changes a value, and is reported; the damaged file
//!   is kept in `journal/damaged/`.
//! * A run whose process died becomes killed when its lease ends; a run of a live process with a logger does not, whatever is
//!   done to the wall clock.

mod alert;
mod approval;
mod artifact;
mod audit;
mod blocking;
mod data;
mod db;
mod deployer;
mod file_system;
mod folder;
mod garbage;
mod journal;
mod lineage;
mod monitor;
mod names;
mod projection;
mod registry;
mod rollout;
mod row;
mod seal;
mod secret;
mod sql;
mod storage;
mod store;
mod temp;
mod tracker;
mod verify;

pub use alert::LocalAlertSink;
pub use approval::{LocalApprovals, LocalApprover, PendingApproval};
pub use artifact::{ContentReport, ContentStats, DamagedContent, LocalArtifactStore};
pub use audit::LocalAuditLog;
pub use data::LocalDataAssetStore;
pub use deployer::LocalDeployer;
pub use journal::{
    JournalOutcome, LogReport, LoggerOptions, MetricHandle, MetricName, RecoveredJournal, RecoveryReport,
    RunLogger,
};
pub use monitor::LocalMonitor;
pub use projection::{Edit, EditKind, Follower, ImportReport, MlflowProjection, RefusedEdit, SyncReport};
pub use registry::LocalModelRegistry;
pub use rollout::LocalRolloutJournal;
pub use secret::{EnvSecretStore, FileSecretStore};
pub use store::{LocalOptions, LocalStore, NetworkPolicy};
pub use tracker::LocalTracker;
pub use verify::{Finding, FindingKind, StoreReport};
