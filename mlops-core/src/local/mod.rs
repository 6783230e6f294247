//! The embedded backend: every stateful trait on one folder, no server, safe for many processes.

mod alert;
mod approval;
mod artifact;
mod audit;
mod blocking;
mod data;
mod db;
mod deployer;
mod file_system;
mod garbage;
mod journal;
mod monitor;
mod names;
mod projection;
mod registry;
mod rollout;
mod row;
mod secret;
mod store;
mod tracker;
mod verify;

pub use audit::LocalAuditLog;
pub use data::LocalDataAssetStore;
pub use registry::LocalModelRegistry;
pub use store::{LocalOptions, LocalStore, NetworkPolicy};
pub use verify::{Finding, FindingKind, StoreReport};
