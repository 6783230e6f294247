//! Phase 6: deploy, shift traffic step by step, roll back.

mod deployer;
mod traffic;

pub use deployer::{
    Deployer, DeployerCapabilities, Deployment, DeploymentSpec, DeploymentState, Endpoint, EndpointSpec,
    InvokeRequest, InvokeResponse, OperationStats, TrafficChange,
};
pub use traffic::TrafficSplit;
