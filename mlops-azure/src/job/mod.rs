//! Jobs: submitted, followed, read and cancelled.
//!
//! | module | what it holds |
//! |---|---|
//! | [`client`] | [`Jobs`]: submit, get, list, cancel, delete, change |
//! | [`follow`] | the stream of a job's states, and how it ended |
//! | [`log`] | the tail of a job's log |
//! | [`sweep`] | core's sweeps as jobs, and their trials |
//!
//! # Versions, permissions, and what is eventually consistent
//! Resource Manager, version [`API_VERSION`](crate::config::API_VERSION), and run history `v1.0` with MLflow's interface beside it. To
//! submit takes `Microsoft.MachineLearningServices/workspaces/jobs/write`, to cancel `jobs/cancel/action`, to read logs and trials
//! `experiments/runs/read`, to change tags `experiments/runs/write`; the role `AzureML Data Scientist` has them all. A job can be read as
//! soon as it was submitted; run history knows it some seconds later, and lists later than that.
//!
//! # Names
//! The caller names a job, so that a lost answer submits nothing twice: the job carries the digest of its content, and the same content
//! under the same name is the same job. Other content under a name that is taken is
//! [`ErrorKind::AlreadyExists`](mlops_core::ErrorKind::AlreadyExists).
//!
//! # What differs from the local backend
//! * A job is changed in run history alone, and there only its name for people, description, tags, properties and whether it is hidden.
//! * A sweep is run by the service: it has Azure's three policies of early termination and its samplers alone, and cannot be resumed.
//! * A job goes on in Azure when this process ends, and nothing of it is lost.
//! * Tags are removed by a call of their own, [`Jobs::change_tags`]; properties cannot be removed.

pub mod client;
pub mod follow;
pub mod log;
pub mod sweep;

pub use client::{JobFilter, Jobs, ListView};
pub use log::{LogChunk, LogOptions};
pub use sweep::{SweepTrial, sweep_job};
