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
mod journal;
mod monitor;
mod projection;
mod registry;
mod rollout;
mod seal;
mod secret;
mod sql;
mod store;
mod tracker;

pub use alert::LocalAlertSink;
pub use approval::{LocalApprovals, LocalApprover, PendingApproval};
pub use deployer::LocalDeployer;
pub use monitor::LocalMonitor;
pub use rollout::LocalRolloutJournal;
pub use store::{LocalOptions, LocalStore, NetworkPolicy};
