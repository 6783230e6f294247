//! Deployers that lend their models to a server.

use std::sync::Arc;

use async_trait::async_trait;

use crate::deploy::Deployer;
use crate::error::Result;
use crate::id::{DeploymentName, EndpointName};
use crate::model::Predictor;

/// A deployer that asks its models in this process, and lends them to a [`Server`](super::Server).
///
/// The server routes by the endpoint's traffic as [`Deployer::endpoint`] tells it, so that a change made through the deployer
/// takes effect without a restart.
///
/// # Contract
/// * `model` answers the loaded model of a deployment; asked again, it loads nothing again as long as the deployment is there.
/// * What is asked of it counts in [`Deployer::stats`] as if it had come by [`Deployer::invoke`], so that a rollout judges what is
///   served. Its answers are checked in the same way: rows against the signature, predictions for their number and range, and a
///   panic is an [`ErrorKind::Internal`](crate::ErrorKind::Internal).
/// * It can be asked as long as it is held, also when its deployment was deleted meanwhile: no request is lost.
#[async_trait]
pub trait ModelHost: Deployer {
    /// The model of a deployment, loaded.
    async fn model(&self, endpoint: &EndpointName, deployment: &DeploymentName)
    -> Result<Arc<dyn Predictor>>;
}
