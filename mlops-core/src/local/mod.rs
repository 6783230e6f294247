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
mod secret;
mod store;
mod tracker;

pub use journal::{
    JournalOutcome, LogReport, LoggerOptions, MetricHandle, MetricName, RecoveredJournal, RecoveryReport,
    RunLogger,
};
pub use store::{LocalOptions, LocalStore, NetworkPolicy};
pub use tracker::LocalTracker;
