//! The embedded backend: every stateful trait on one folder, no server, safe for many processes.
//!
//! ```
//! use mlops_core::experiment::{ExperimentSpec, ExperimentTracker as _, RunEnd, RunSpec};
//! use mlops_core::local::{LocalStore, LoggerOptions};
//! use mlops_core::{ActorId, ExperimentName, MetricKey};
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! # let dir = tempfile::tempdir().map_err(|e| mlops_core::Error::invalid("doc", "dir", e.to_string()))?;
//! # let folder = dir.path().join(".mlops");
//! let store = LocalStore::open(&folder)?;
//! let (tracker, name) = (store.tracker(), ExperimentName::new("diabetes")?);
//! tracker.ensure_experiment(&ExperimentSpec::new(name.clone())).await?;
//! let run = tracker.start_run(&RunSpec::new(name, "baseline", ActorId::new("trainer")?)).await?;
//!
//! // In the training loop: one system call for each value, nothing to await, nothing that can fail.
//! let (logger, loss) = (tracker.logger(&run.id, LoggerOptions::default())?, MetricKey::new("loss")?);
//! for step in 1..=100 {
//!     logger.metric(&loss, 1.0 / step as f64, step);
//! }
//! assert!(logger.finish(&RunEnd::FINISHED)?.is_complete());
//! println!("{}", store.mlflow().command()); // mlflow ui --backend-store-uri sqlite:///…/.mlops/mlflow.db
//! # Ok::<(), mlops_core::Error>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | trait | here | survives |
//! |---|---|---|
//! | [`ExperimentTracker`](crate::experiment::ExperimentTracker) | [`LocalTracker`], with [`RunLogger`] for training loops | a kill |
//! | [`ArtifactStore`](crate::artifact::ArtifactStore) | [`LocalArtifactStore`] | a power cut |
//! | [`DataAssetStore`](crate::data::DataAssetStore), [`ModelRegistry`](crate::registry::ModelRegistry) | [`LocalDataAssetStore`], [`LocalModelRegistry`] | a power cut |
//! | [`Deployer`](crate::deploy::Deployer), [`RolloutJournal`](crate::deploy::rollout::RolloutJournal) | [`LocalDeployer`], [`LocalRolloutJournal`] | a power cut; counts of requests: a kill, but for the last second |
//! | [`LoopJournal`](crate::retrain::closed_loop::LoopJournal) | [`LocalLoopJournal`] | a power cut |
//! | [`SweepJournal`](crate::experiment::sweep::SweepJournal) | [`LocalSweepJournal`] | a kill; a power cut when asked for |
//! | [`StepCache`](crate::pipeline::StepCache), [`PipelineJournal`](crate::pipeline::PipelineJournal) | [`LocalStepCache`], [`LocalPipelineJournal`] | a power cut; claims a kill |
//! | [`Monitor`](crate::monitor::Monitor), [`AlertSink`](crate::monitor::AlertSink) | [`LocalMonitor`], [`LocalAlertSink`] | definitions and reports a power cut, observations a kill |
//! | [`AuditLog`](crate::governance::AuditLog), [`Approver`](crate::governance::Approver) | [`LocalAuditLog`], [`LocalApprover`] | a power cut |
//! | [`SecretStore`](crate::governance::SecretStore) | [`FileSecretStore`], [`EnvSecretStore`] | a power cut |
//!
//! # What is promised
//! * **Acknowledged is kept.** What a call returned from is there when the store is opened again, after the process was killed at
//!   any moment; a call that was cut off has happened as a whole or not at all.
//! * **Many processes.** Any number of processes of one machine may open the store, make it, and write to it at once.
//! * **Damage is noticed.** Content is hashed before it is handed out; rows that decisions hang on carry a digest that is checked
//!   when they are read; [`LocalStore::verify`] looks at everything.
//! * **Nothing foreign, nothing newer is touched.** A database of another program, or of a newer version of this library, is
//!   refused and left as it is. Migrations happen in one transaction, after a backup.
//!
//! Not promised: protection from who may write to the folder as the same user, and anything on a network file system
//! ([`NetworkPolicy`]). Unix only.
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
//!   done to the wall clock. Where the process lives on and training does not,
//!   [the logger ends it](LoggerOptions::end_on_drop).

mod alert;
mod approval;
mod artifact;
mod audit;
mod closed_loop;
mod data;
mod db;
mod deployer;
mod file_system;
mod garbage;
mod journal;
mod lineage;
mod monitor;
mod names;
mod numbered;
mod pipeline;
mod projection;
mod registry;
mod rollout;
mod row;
mod seal;
mod secret;
mod sql;
mod store;
mod sweep;
mod tracker;
mod verify;

pub use alert::LocalAlertSink;
pub use approval::{LocalApprovals, LocalApprover, PendingApproval};
pub use artifact::{ContentReport, ContentStats, DamagedContent, LocalArtifactStore};
pub use audit::LocalAuditLog;
pub use closed_loop::LocalLoopJournal;
pub use data::LocalDataAssetStore;
pub use deployer::LocalDeployer;
pub use journal::{
    JournalOutcome, LogReport, LoggerOptions, MetricHandle, MetricName, RecoveredJournal, RecoveryReport,
    RunLogger,
};
pub use monitor::LocalMonitor;
pub use pipeline::{LocalPipelineJournal, LocalStepCache};
pub use projection::{Edit, EditKind, Follower, ImportReport, MlflowProjection, RefusedEdit, SyncReport};
pub use registry::LocalModelRegistry;
pub use rollout::LocalRolloutJournal;
pub use secret::{EnvSecretStore, FileSecretStore};
pub use store::{LocalOptions, LocalStore, NetworkPolicy};
pub use sweep::LocalSweepJournal;
pub use tracker::LocalTracker;
pub use verify::{Finding, FindingKind, StoreReport};
