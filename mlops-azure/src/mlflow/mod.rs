//! MLflow's REST API: the tracker, registry and artifacts of any MLflow server, behind core's traits.
//!
//! | module | what it holds |
//! |---|---|
//! | [`client`] | [`MlflowClient`]: requests with retry, credentials and capped answers |
//! | [`azure`] | MLflow in Azure Machine Learning: its address, tokens, jobs and the artifacts of runs |
//! | [`auth`] | credentials: none, Basic, Bearer, or tokens that somebody else renews |
//! | [`config`] | [`MlflowBuilder`]: deadlines, certificates, dialect |
//! | [`capabilities`] | what the server at the other end can do, asked once |
//! | [`error`] | MLflow's error bodies, turned into [`mlops_core::Error`] |
//! | [`wire`] | values as MLflow's JSON has them; no I/O |
//! | [`MlflowTracker`] | core's experiment tracker |
//! | [`MlflowArtifactStore`] | core's artifact store, behind the server's artifact proxy |
//! | [`MlflowRegistry`] | core's model registry, with a ledger that gives MLflow compare-and-set and history |
//!
//! ```no_run
//! use mlops_azure::mlflow::MlflowClient;
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let client = MlflowClient::builder("http://127.0.0.1:5000").build()?;
//! let server = client.capabilities().await?;
//! println!("{:?} {}", server.dialect, server.version.as_deref().unwrap_or("unknown"));
//! # Ok::<(), mlops_core::Error>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod artifact;
pub mod auth;
pub mod azure;
pub mod capabilities;
pub mod client;
pub mod config;
pub mod error;
mod registry;
mod tracker;
pub mod wire;

pub use artifact::MlflowArtifactStore;
pub use auth::{MlflowAuth, TokenProvider};
pub use azure::{AzureMlflow, JobRun, RunArtifacts, TrackingUri};
pub use capabilities::{Dialect, ServerCapabilities};
pub use client::{MlflowClient, RawCall};
pub use config::MlflowBuilder;
pub use registry::MlflowRegistry;
pub use tracker::MlflowTracker;
