//! The embedded backend: every stateful trait on one folder, no server, safe for many processes.

mod alert;
mod approval;
mod artifact;
mod audit;
pub(crate) mod blocking;
mod data;
mod db;
mod deployer;
mod file_system;
mod folder;
mod garbage;
pub(crate) mod journal;
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
pub(crate) mod storage;
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
