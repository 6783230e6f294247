//! Core of the mlops SDK.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod artifact;
mod config;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod data;
pub mod deploy;
pub mod error;
pub mod evaluation;
pub mod experiment;
pub mod governance;
pub mod hash;
pub mod id;
pub mod memory;
pub mod model;
pub mod monitor;
pub mod num;
pub mod page;
pub mod problem;
pub mod registry;
pub mod retrain;
pub mod serve;
pub mod time;

pub use error::{Error, ErrorKind, Result};
pub use id::{
    ActorId, Alias, AssetName, DeploymentName, EndpointName, ExperimentName, IdempotencyKey, MetricKey,
    ModelName, MonitorName, ParamKey, Percent, RelPath, RunId, SecretName, TagKey, Tags, Version,
    VersionSpec,
};
pub use page::{Page, PageRequest};
