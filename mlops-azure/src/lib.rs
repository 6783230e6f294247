//! MLflow and Azure for the mlops SDK: the traits of [`mlops_core`] over REST.
//!
//! | module | what it holds |
//! |---|---|
//! | [`auth`] | tokens of Entra ID: sources, a chain that says why, a cache; where a token may go |
//! | [`config`] | Azure's clouds with their hosts and token scopes; workspaces and registries, from code, environment or `config.json` |
//! | [`data`] | data assets |
//! | [`error`] | Azure's error bodies and status codes, turned into [`mlops_core::Error`] |
//! | [`governance`] | secrets in Key Vault |
//! | [`http`] | the transport below: deadlines, retries, pages, long-running operations, webhooks, and what never leaves for another host |
//! | [`mlflow`] | the traits on any MLflow server, 2 or 3 |
//! | [`registry`] | models in workspaces and registries |
//! | [`wire`] | what Azure's services are told and what they answer, as types without I/O |
//! | `fake` | what tests need to stand in for Azure (feature `fake`) |
//!
//! # Features
//! | feature | what it adds |
//! |---|---|
//! | `identity` | `auth::identity`: the sources of `azure_identity`, over this crate's transport |
//! | `fake` | `fake`: Azure's type definitions as a judge of bodies, a Key Vault in memory |
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
//! println!("{}", model.properties.model_uri.unwrap_or_default());
//! # Ok::<(), mlops_core::Error>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ```
//! use mlops_azure::config::{Cloud, Workspace};
//!
//! let workspace = Workspace::new("00000000-0000-0000-0000-000000000000", "rg-ml", "mlw-churn")?.in_cloud(Cloud::Public);
//! let url = workspace.resource_url(&["models", "churn", "versions", "3"], "2025-12-01")?;
//! assert!(url.starts_with("https://management.azure.com/subscriptions/"));
//! assert!(url.ends_with("/workspaces/mlw-churn/models/churn/versions/3?api-version=2025-12-01"));
//! # Ok::<(), mlops_core::Error>(())
//! ```
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod artifact;
pub mod auth;
pub mod config;
pub mod data;
pub mod error;
#[cfg(feature = "fake")]
pub mod fake;
pub mod governance;
pub mod http;
mod ledger;
pub mod mlflow;
pub mod registry;
#[cfg(feature = "storage")]
pub mod storage;
pub mod wire;
