//! Phase 6: deploy, shift traffic step by step, roll back.

mod deployer;
mod mirror;
mod observer;
pub mod rollout;
pub(crate) mod serving;
mod smoke;
mod sticky;
mod traffic;

pub use deployer::{
    Deployer, DeployerCapabilities, Deployment, DeploymentSpec, DeploymentState, Endpoint, EndpointSpec,
    InvokeRequest, InvokeResponse, OperationStats, TrafficChange,
};
pub use mirror::{Mirror, MirrorChange};
pub(crate) use observer::Observers;
pub use observer::{EndedRequest, RequestObserver, RequestOutcome};
pub use smoke::{SmokeCheck, SmokeReport, SmokeTest};
pub use sticky::{Sticky, StickyKey};
pub use traffic::TrafficSplit;
