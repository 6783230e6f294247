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
mod folder;
mod journal;
mod monitor;
mod projection;
mod registry;
mod rollout;
mod secret;
mod storage;
mod store;
mod temp;
mod tracker;

pub use artifact::{ContentReport, ContentStats, DamagedContent, LocalArtifactStore};
pub use secret::{EnvSecretStore, FileSecretStore};
pub use store::{LocalOptions, LocalStore, NetworkPolicy};
pub use tracker::LocalTracker;
