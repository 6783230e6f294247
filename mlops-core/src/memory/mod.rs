//! Backends that keep everything in memory: the reference of every store, always compiled. The journals of rollouts and loops in
//! memory are beside their traits: [`VecJournal`](crate::deploy::rollout::VecJournal) and
//! [`VecLoopJournal`](crate::retrain::closed_loop::VecLoopJournal).
//!
//! They keep every promise of the contracts, and they are the first clients of the conformance suites: other backends are
//! compared with them. What they do not do is outlive the process. They fit tests, examples, services that hold short-lived
//! state, and anybody who wants to read in one page what a trait means.
//!
//! Each keeps its state behind one mutex that is never held while something is awaited, so a call is one atomic step. Time
//! comes from the [`Clock`](crate::time::Clock) handed in; order never does. None of them prints what it keeps.
//!
//! # Limits
//! One blob has at most [`MemoryArtifactStore::MAX_BLOB`] bytes (1 GiB). Text and tags have the limits of [`crate::id`].
//! Page tokens are valid for the store that made them, and for the query they came from; anything else is refused.

mod alert;
mod artifact;
mod audit;
mod data;
mod deployer;
mod monitor;
mod pipeline;
mod registry;
mod secret;
mod sweep;
mod tracker;

pub use alert::MemoryAlertSink;
pub use artifact::MemoryArtifactStore;
pub use audit::MemoryAuditLog;
pub use data::MemoryDataAssetStore;
pub use deployer::MemoryDeployer;
pub use monitor::MemoryMonitor;
pub use pipeline::{MemoryPipelineJournal, MemoryStepCache};
pub use registry::MemoryModelRegistry;
pub use secret::MemorySecretStore;
pub use sweep::MemorySweepJournal;
pub use tracker::MemoryTracker;
