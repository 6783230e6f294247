//! MLflow and Azure for the mlops SDK: the traits of [`mlops_core`] over REST.
//!
//! This crate will hold those traits on Azure Machine Learning, its storage, Key Vault and Monitor too. What is here today:
//!
//! | module | what it holds |
//! |---|---|
//! | [`mlflow`] | the traits on any MLflow server, 2 or 3 |
//! | [`http`] | the transport below: deadlines, retries, and what never leaves for another host |
//! | [`config`] | Azure's clouds with their hosts and token scopes; a workspace, checked by Azure's naming rules, and its URLs |
//! | [`error`] | Azure's error bodies and status codes, turned into [`mlops_core::Error`] |
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

pub mod auth;
pub mod config;
pub mod error;
pub mod governance;
pub mod http;
pub mod mlflow;
pub mod wire;
