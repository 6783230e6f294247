//! Deployment on Azure Machine Learning: online endpoints behind core's trait, autoscale settings, batch endpoints.
//!
//! | module | what it holds |
//! |---|---|
//! | [`AzureDeployer`] | core's [`Deployer`](mlops_core::deploy::Deployer) on managed online endpoints |
//! | [`DeploymentTemplate`] | machines, environment and code of its deployments |
//! | [`OnlineEndpoints`] | keys, tokens, logs and sizes |
//! | [`metrics`] | [`EndpointMetrics`]: answers by status, latencies, utilization, from Azure Monitor |
//! | [`AzureMetrics`] | core's [`MetricProvider`](mlops_core::deploy::rollout::MetricProvider): what guards of a rollout query |
//! | [`autoscale`] | settings by which Azure Monitor adds and removes instances |
//! | [`batch`] | batch endpoints: deploy, invoke, wait for the job |
//!
//! # Versions, permissions, and what is eventually consistent
//! Azure Machine Learning's Resource Manager API, version [`API_VERSION`](crate::config::API_VERSION); what permissions are needed says
//! each type. An endpoint that was just made may be answered with 404 by its scoring address for a moment, and a deployment that was
//! just made by `…/score` with its name; a role that was just assigned is refused for some minutes. One operation at a time runs on
//! an endpoint and its deployments: others are refused with 409, and waited for here. Metrics are those of Azure Monitor, version
//! [`VERSION`](crate::wire::metrics::VERSION), and some minutes late.
//!
//! # What differs from the local deployers
//! Azure has no compare-and-set, routes at random, mirrors at most half of the requests and counts them late; see [`AzureDeployer`]
//! and [`AzureMetrics`] for what is made of that. The local deployers have none of: several instances, autoscaling, keys and tokens, logs of containers.

pub mod autoscale;
pub mod batch;
mod builder;
mod deployer;
mod ledger;
pub mod metrics;
mod observed;
mod online;
mod rows;
mod scoring;
mod seen;
mod tags;
mod template;

pub use autoscale::AutoscaleSettings;
pub use batch::{BatchEndpoints, BatchJob};
pub use builder::AzureDeployerBuilder;
pub use deployer::AzureDeployer;
pub use metrics::EndpointMetrics;
pub use observed::AzureMetrics;
pub use online::OnlineEndpoints;
pub use template::{DeploymentTemplate, ModelSource};
