//! Phase 6: deploy, shift traffic step by step, roll back.

mod deployer;
pub mod rollout;
pub(crate) mod serving;
mod smoke;
mod traffic;

pub use deployer::{
    Deployer, DeployerCapabilities, Deployment, DeploymentSpec, DeploymentState, Endpoint, EndpointSpec,
    InvokeRequest, InvokeResponse, OperationStats, TrafficChange,
};
pub use smoke::{SmokeCheck, SmokeReport, SmokeTest};
pub use traffic::TrafficSplit;
