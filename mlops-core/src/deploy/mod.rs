//! Phase 6: deploy, shift traffic step by step, roll back.

mod deployer;
mod mirror;
pub mod rollout;
pub(crate) mod serving;
mod smoke;
mod traffic;

pub use deployer::{
    Deployer, DeployerCapabilities, Deployment, DeploymentSpec, DeploymentState, Endpoint, EndpointSpec,
    InvokeRequest, InvokeResponse, OperationStats, TrafficChange,
};
pub use mirror::{Mirror, MirrorChange};
pub use smoke::{SmokeCheck, SmokeReport, SmokeTest};
pub use traffic::TrafficSplit;
