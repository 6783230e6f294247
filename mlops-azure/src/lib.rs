//! Azure for the mlops SDK: which cloud, which workspace, and what Azure's answers mean.
//!
//! This crate will hold the traits of [`mlops_core`] on Azure Machine Learning, its storage, Key Vault and Monitor, over
//! REST, and on MLflow's REST API. What is here today is the ground that every one of those backends stands on:
//!
//! | module | what it holds |
//! |---|---|
//! | [`config`] | the clouds with their hosts and token scopes; a workspace, checked by Azure's naming rules, and its URLs |
//! | [`error`] | Azure's error bodies and status codes, turned into [`mlops_core::Error`] |
//!
//! There is no client in this crate yet: nothing here opens a connection.
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

pub mod config;
pub mod error;
pub mod http;
pub mod mlflow;
