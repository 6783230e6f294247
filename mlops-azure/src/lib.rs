//! MLflow and Azure for the mlops SDK: the traits of [`mlops_core`] over REST.
//!
//! | phase | module | what it holds |
//! |---|---|---|
//! | 2 data | [`data`] | [`AzureDataAssets`](data::AzureDataAssets): core's data assets as Azure's |
//! | 2 data, 4 train | [`artifact`], `storage` | `BlobArtifacts`: content by digest in blobs; uploads, datastores, soft delete, access lists (feature `storage`) |
//! | 3 experiments | [`mlflow`], [`mlflow::azure`] | tracker, registry and artifacts on any MLflow server, 2 or 3, and on a workspace's |
//! | 3, 4 | [`job`], [`environment`] | jobs: command, sweep, pipeline, AutoML; environments, code, components |
//! | 4 train | [`compute`], [`schedule`] | clusters, instances, quotas; what Azure starts at times |
//! | 5 register | [`registry`] | [`AzureModelRegistry`](registry::AzureModelRegistry): models in workspaces and registries, publishing |
//! | 6 deploy | [`deploy`] | [`AzureDeployer`](deploy::AzureDeployer) on online endpoints, with [`AzureMetrics`](deploy::AzureMetrics) for the guards of rollouts; keys, autoscale settings, batch endpoints |
//! | 7 monitor | [`monitor`], [`telemetry`] | model monitors; Application Insights with a spool on disk, OTLP |
//! | 8 retrain | [`event`] | Event Grid: from a breach to core's triggers, from core's alerts to subscribers |
//! | across all | [`governance`] | [`KeyVault`](governance::KeyVault) as secret store; role assignments, tags, workspaces |
//!
//! | below them | what it holds |
//! |---|---|
//! | [`auth`] | tokens of Entra ID: sources, a chain that says why, a cache; where a token may go |
//! | [`config`] | Azure's clouds with their hosts and token scopes; workspaces and registries, from code, environment or `config.json` |
//! | [`error`] | Azure's error bodies and status codes, turned into [`mlops_core::Error`] |
//! | [`http`] | the transport: deadlines, retries, pages, long-running operations, webhooks, and what never leaves for another host |
//! | [`wire`] | what Azure's services are told and what they answer, as types without I/O |
//! | `fake` | Azure in memory, for tests of one's own (feature `fake`) |
//!
//! Every module that calls a service, or its parts, says which permissions that takes, what Azure makes visible only after a while, and what
//! Azure cannot do that core's embedded backend can.
//!
//! # Features
//! | feature | what it adds |
//! |---|---|
//! | `fake` | `fake`: Azure in memory, a transport that makes faults, Azure's type definitions as a judge of bodies |
//! | `identity` | `auth::identity`: the sources of `azure_identity`, over this crate's transport |
//! | `schedule` | core's schedules as Azure's triggers, in time zones by their Windows names |
//! | `storage` | `storage` and `artifact::BlobArtifacts`: blobs, by `object_store` over this crate's transport |
//!
//! # A call
//! Builders make calls as data, a [`Service`](http::Service) sends them:
//!
//! ```no_run
//! use std::sync::Arc;
//! use mlops_azure::auth::{AccessToken, FixedToken, TokenCache};
//! use mlops_azure::config::{Cloud, Endpoints, Workspace};
//! use mlops_azure::http::Service;
//! use mlops_azure::wire::Place;
//! use mlops_core::time::SystemClock;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let tokens = FixedToken::new(AccessToken::new("…", "2100-01-01T00:00:00Z".parse().unwrap()));
//! let tokens = Arc::new(TokenCache::new(Arc::new(tokens), Arc::new(SystemClock::new())));
//! let service = Service::resource_manager(&Endpoints::of(Cloud::Public)?, tokens).build()?;
//! let workspace = Workspace::discover()?;
//! let model = service.call(Place::from(&workspace).model("churn", "3")?.get("example")).await?;
//! println!("{}", model.properties.model_uri.unwrap_or_default().as_str());
//! # Ok::<(), mlops_core::Error>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ```
//! use mlops_azure::config::{API_VERSION, Cloud, Workspace};
//!
//! let workspace = Workspace::new("00000000-0000-0000-0000-000000000000", "rg-ml", "mlw-churn")?.in_cloud(Cloud::Public);
//! let url = workspace.resource_url(&["models", "churn", "versions", "3"], API_VERSION)?;
//! assert!(url.starts_with("https://management.azure.com/subscriptions/"));
//! assert!(url.contains("/workspaces/mlw-churn/models/churn/versions/3?api-version="));
//! # Ok::<(), mlops_core::Error>(())
//! ```
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod artifact;
pub mod auth;
pub mod compute;
pub mod config;
pub mod data;
mod delivered;
pub mod deploy;
pub mod environment;
pub mod error;
pub mod event;
#[cfg(feature = "fake")]
pub mod fake;
pub mod governance;
pub mod http;
pub mod job;
mod ledger;
pub mod mlflow;
pub mod monitor;
pub mod registry;
pub mod schedule;
#[cfg(feature = "storage")]
pub mod storage;
pub mod telemetry;
pub mod wire;
