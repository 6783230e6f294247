//! The trait of deployers.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Mirror, MirrorChange, TrafficSplit};
use crate::data::Table;
use crate::error::{Error, Result};
use crate::hash::Digest;
use crate::id::{
    ActorId, DeploymentName, EndpointName, IdempotencyKey, ModelName, Percent, TagKey, Tags, Version,
};
use crate::model::Predictions;
use crate::page::{Page, PageRequest};
use crate::time::Timestamp;

/// What a deployer can do.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployerCapabilities {
    /// Requests with one routing key go to one deployment, raising a share moves callers one way only, and a split can
    /// [say](TrafficSplit::with_sticky) what the key is.
    pub sticky_routing: bool,
    /// Traffic changes are compare-and-set on the endpoint's revision.
    pub compare_and_set: bool,
    /// `stats` answers.
    pub operation_stats: bool,
    /// The largest share of requests that can be mirrored; 0 where none can.
    pub max_mirror: Percent,
}

impl DeployerCapabilities {
    /// Nothing of it: what a deployer can is said with the setters, and what is added here later it cannot.
    ///
    /// ```
    /// use mlops_core::deploy::DeployerCapabilities;
    /// let can = DeployerCapabilities::none().with_compare_and_set(true);
    /// assert!(can.compare_and_set && !can.sticky_routing);
    /// ```
    pub const fn none() -> Self {
        Self {
            sticky_routing: false,
            compare_and_set: false,
            operation_stats: false,
            max_mirror: Percent::ZERO,
        }
    }

    /// With sticky routing, or without.
    #[must_use]
    pub const fn with_sticky_routing(mut self, sticky_routing: bool) -> Self {
        self.sticky_routing = sticky_routing;
        self
    }

    /// With traffic changes that are compare-and-set, or not.
    #[must_use]
    pub const fn with_compare_and_set(mut self, compare_and_set: bool) -> Self {
        self.compare_and_set = compare_and_set;
        self
    }

    /// With `stats` that answers, or not.
    #[must_use]
    pub const fn with_operation_stats(mut self, operation_stats: bool) -> Self {
        self.operation_stats = operation_stats;
        self
    }

    /// With so large a share of requests that can be mirrored.
    #[must_use]
    pub const fn with_max_mirror(mut self, max_mirror: Percent) -> Self {
        self.max_mirror = max_mirror;
        self
    }

    /// Everything the trait can ask for.
    pub const FULL: Self =
        Self { sticky_routing: true, compare_and_set: true, operation_stats: true, max_mirror: Percent::ALL };
}

/// An endpoint to make sure of.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSpec {
    /// The name, which is its identity.
    pub name: EndpointName,
    /// Tags.
    pub tags: Tags,
    /// Who asks for it.
    pub actor: ActorId,
}

impl EndpointSpec {
    /// With a tag.
    #[must_use]
    pub fn with_tag(mut self, key: TagKey, value: impl Into<String>) -> Self {
        self.tags.insert(key, value.into());
        self
    }

    /// An endpoint without tags.
    pub fn new(name: EndpointName, actor: ActorId) -> Self {
        Self { name, tags: Tags::new(), actor }
    }
}

/// An endpoint: one address, several deployments, a split of the traffic.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The name.
    pub name: EndpointName,
    /// Tags.
    pub tags: Tags,
    /// How traffic is split now.
    pub traffic: TrafficSplit,
    /// The shadow, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Mirror>,
    /// Changes with every change of traffic or mirror: 0, 1, 2, …
    pub revision: u64,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Endpoint {
    /// An endpoint without traffic; for backends.
    pub fn new(spec: EndpointSpec, created_at: Timestamp) -> Self {
        let (traffic, mirror) = (TrafficSplit::none(), None);
        Self { name: spec.name, tags: spec.tags, traffic, mirror, revision: 0, created_at }
    }
}

/// A deployment to make: one model version behind an endpoint.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentSpec {
    /// The endpoint.
    pub endpoint: EndpointName,
    /// The name within the endpoint.
    pub name: DeploymentName,
    /// The model.
    pub model: ModelName,
    /// The version, exactly.
    pub version: Version,
    /// Tags.
    pub tags: Tags,
    /// Who deploys.
    pub actor: ActorId,
}

impl DeploymentSpec {
    /// With a tag.
    #[must_use]
    pub fn with_tag(mut self, key: TagKey, value: impl Into<String>) -> Self {
        self.tags.insert(key, value.into());
        self
    }

    /// A deployment of a model version.
    pub fn new(
        endpoint: EndpointName,
        name: DeploymentName,
        model: ModelName,
        version: Version,
        actor: ActorId,
    ) -> Self {
        Self { endpoint, name, model, version, tags: Tags::new(), actor }
    }
}

/// How far a deployment has come.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentState {
    /// Being made.
    Creating,
    /// Answers.
    Ready,
    /// Could not be made.
    Failed,
}

/// One model version behind an endpoint.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// What was asked for.
    #[serde(flatten)]
    pub spec: DeploymentSpec,
    /// The digest of the model that answers.
    pub artifact: Digest,
    /// How far it has come.
    pub state: DeploymentState,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Deployment {
    /// A deployment that answers; for backends.
    pub fn ready(spec: DeploymentSpec, artifact: Digest, created_at: Timestamp) -> Self {
        Self { spec, artifact, state: DeploymentState::Ready, created_at }
    }
}

/// A change of an endpoint's traffic.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficChange {
    /// Makes a repeated change the same change.
    pub key: IdempotencyKey,
    /// The endpoint.
    pub endpoint: EndpointName,
    /// The new split, and what keeps callers at their deployment from then on.
    pub split: TrafficSplit,
    /// The revision the endpoint must have now; `None` takes any.
    pub expected: Option<u64>,
    /// Who.
    pub actor: ActorId,
}

impl TrafficChange {
    /// A change at any revision, under a key of its own.
    ///
    /// ```
    /// use mlops_core::deploy::{TrafficChange, TrafficSplit};
    /// let split = TrafficSplit::all_to("blue".parse()?);
    /// let change = TrafficChange::new("diabetes".parse()?, split, "release".parse()?).expecting(0);
    /// assert_eq!(change.expected, Some(0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(endpoint: EndpointName, split: TrafficSplit, actor: ActorId) -> Self {
        Self { key: IdempotencyKey::generate(), endpoint, split, expected: None, actor }
    }

    /// Sets the key by which a repeated change is the same change.
    #[must_use]
    pub fn with_key(mut self, key: IdempotencyKey) -> Self {
        self.key = key;
        self
    }

    /// Sets the revision the endpoint must have now; `None` takes any.
    #[must_use]
    pub fn expecting(mut self, revision: impl Into<Option<u64>>) -> Self {
        self.expected = revision.into();
        self
    }
}

/// Rows to predict.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct InvokeRequest<'a> {
    /// The endpoint.
    pub endpoint: EndpointName,
    /// A deployment to ask past the split, with or without traffic: for smoke tests.
    pub deployment: Option<DeploymentName>,
    /// Who asks: one key, one deployment, as long as the split allows it; where the split [says](TrafficSplit::sticky) what the key
    /// is, the value of that. Without a key each request is routed on its own.
    pub routing_key: Option<String>,
    /// The rows.
    pub rows: &'a Table<'a>,
}

impl<'a> InvokeRequest<'a> {
    /// These rows, routed by the endpoint's split.
    ///
    /// ```
    /// use mlops_core::EndpointName;
    /// use mlops_core::data::Table;
    /// use mlops_core::deploy::InvokeRequest;
    ///
    /// let rows = Table::default();
    /// let request = InvokeRequest::new(EndpointName::new("churn")?, &rows)
    ///     .with_routing_key("customer-17".to_owned());
    /// assert_eq!((request.deployment, request.routing_key.as_deref()), (None, Some("customer-17")));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn new(endpoint: EndpointName, rows: &'a Table<'a>) -> Self {
        Self { endpoint, deployment: None, routing_key: None, rows }
    }

    /// To this deployment, past the split.
    #[must_use]
    pub fn with_deployment(mut self, deployment: impl Into<Option<DeploymentName>>) -> Self {
        self.deployment = deployment.into();
        self
    }

    /// For who asks under this key.
    #[must_use]
    pub fn with_routing_key(mut self, routing_key: impl Into<Option<String>>) -> Self {
        self.routing_key = routing_key.into();
        self
    }
}

/// What an endpoint answered.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct InvokeResponse {
    /// Which deployment answered.
    pub deployment: DeploymentName,
    /// Which model version.
    pub version: Version,
    /// One prediction a row.
    pub predictions: Predictions,
    /// How long it took.
    pub latency: Duration,
}

impl InvokeResponse {
    /// An answer; for backends.
    pub fn new(
        deployment: DeploymentName,
        version: Version,
        predictions: Predictions,
        latency: Duration,
    ) -> Self {
        Self { deployment, version, predictions, latency }
    }
}

/// How a deployment has been doing since it was made.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationStats {
    /// Requests it was asked.
    pub requests: u64,
    /// Requests it could not answer, bad requests not counted.
    pub failures: u64,
    /// Requests that were bad.
    pub bad_requests: u64,
    /// The time all answers took together.
    pub total_latency: Duration,
    /// The longest answer.
    pub max_latency: Duration,
}

impl OperationStats {
    /// The share of requests that failed; `None` before the first.
    ///
    /// ```
    /// assert_eq!(mlops_core::deploy::OperationStats::default().failure_rate(), None);
    /// ```
    pub fn failure_rate(&self) -> Option<f64> {
        let judged = self.requests.saturating_sub(self.bad_requests);
        (judged > 0).then(|| self.failures as f64 / judged as f64)
    }
}

/// Where models answer.
///
/// # Contract
/// * `ensure_endpoint` makes the endpoint or returns the one that is there. (`ensure_endpoint_is_idempotent`)
/// * `deploy` makes a deployment with no traffic, after checking that the model's content is intact and loads; repeated with
///   the same spec it returns the deployment, with another version it is
///   [`ErrorKind::AlreadyExists`](crate::ErrorKind::AlreadyExists). A failed `deploy` leaves nothing behind.
///   (`deploy_takes_no_traffic`, `deploy_is_idempotent`, `deployment_name_is_taken`, `failed_deploy_leaves_nothing`)
/// * `set_traffic` is compare-and-set on the revision, atomic, idempotent by key, and refuses deployments that are not
///   ready; a key that was used for another change is [`ErrorKind::Conflict`](crate::ErrorKind::Conflict).
///   (`traffic_compare_and_set`, `traffic_change_is_idempotent`, `traffic_key_reuse_is_a_conflict`,
///   `traffic_needs_ready_deployments`, `of_many_racing_traffic_changes_one_wins`)
/// * What a split says keeps callers at their deployment is kept with it, part of what a key stands for, and goes with the next split
///   that does not say it; another salt deals the callers out anew. A deployer that cannot keep it, as one without
///   [`sticky_routing`](DeployerCapabilities::sticky_routing), answers such a split [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported)
///   and changes nothing: [`TrafficSplit::require_plain`]. (`what_keeps_callers_is_kept`, `another_salt_deals_callers_out_anew`)
/// * `set_mirror` is like `set_traffic`: compare-and-set on the same revision, atomic, idempotent by key. A share of the requests
///   that name no deployment is then asked of the shadow too; its answers are dropped, the traffic and everybody's answers stay
///   as they are, whatever the shadow does. It is ready and has no traffic, and gets none while it is the shadow: both are
///   [`ErrorKind::Conflict`](crate::ErrorKind::Conflict). A share above [`DeployerCapabilities::max_mirror`] is
///   [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput). (`a_mirror_takes_no_traffic`, `a_mirror_copies_its_share`,
///   `mirror_changes_are_those_of_traffic`, `live_or_mirrored_but_not_both`, `a_failing_shadow_harms_nobody`)
/// * A deployment with traffic, or that is the shadow, cannot be deleted: [`ErrorKind::Conflict`](crate::ErrorKind::Conflict).
///   (`deployment_with_traffic_cannot_be_deleted`, `live_or_mirrored_but_not_both`)
/// * `invoke` routes by the split, or to the deployment named; with one routing key always to one deployment while the
///   split stays, and raising a canary's share never moves a caller away from it. (`routing_meets_the_split`,
///   `routing_is_sticky`, `named_deployment_is_asked`)
/// * An endpoint without traffic answers [`ErrorKind::Conflict`](crate::ErrorKind::Conflict); rows that do not meet the
///   signature are [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput). (`no_traffic_no_answer`,
///   `bad_rows_are_refused`)
/// * `stats` counts every request to a deployment, those of a mirror at the shadow and nowhere else; one that fails, also by a panic of the model, fails alone.
///   (`stats_count_requests`, `a_failing_model_fails_alone`)
#[async_trait]
pub trait Deployer: Debug + Send + Sync + 'static {
    /// What this backend can do.
    fn capabilities(&self) -> DeployerCapabilities;

    /// Makes sure an endpoint exists.
    async fn ensure_endpoint(&self, spec: &EndpointSpec) -> Result<Endpoint>;

    /// Finds an endpoint.
    async fn endpoint(&self, name: &EndpointName) -> Result<Endpoint>;

    /// All endpoints, alphabetically.
    async fn endpoints(&self, page: &PageRequest) -> Result<Page<Endpoint>>;

    /// Puts a model version behind an endpoint, without traffic.
    async fn deploy(&self, spec: &DeploymentSpec) -> Result<Deployment>;

    /// All deployments of an endpoint, by name.
    async fn deployments(&self, endpoint: &EndpointName) -> Result<BTreeMap<DeploymentName, Deployment>>;

    /// Changes the split of an endpoint's traffic.
    async fn set_traffic(&self, change: &TrafficChange) -> Result<Endpoint>;

    /// Sets or takes away the shadow of an endpoint. A backend without mirrors has nothing to implement.
    async fn set_mirror(&self, change: &MirrorChange) -> Result<Endpoint> {
        let error = Error::unsupported("Deployer::set_mirror", "requests are not mirrored here");
        Err(error.with("endpoint", &change.endpoint))
    }

    /// Removes a deployment that has no traffic; one that is not there is removed already.
    async fn delete_deployment(&self, endpoint: &EndpointName, deployment: &DeploymentName) -> Result<()>;

    /// Asks for predictions.
    async fn invoke(&self, request: &InvokeRequest<'_>) -> Result<InvokeResponse>;

    /// How a deployment has been doing.
    async fn stats(&self, endpoint: &EndpointName, deployment: &DeploymentName) -> Result<OperationStats>;
}

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: Deployer + ?Sized> Deployer for $pointer<T> {
            fn capabilities(&self) -> DeployerCapabilities {
                (**self).capabilities()
            }

            async fn ensure_endpoint(&self, spec: &EndpointSpec) -> Result<Endpoint> {
                (**self).ensure_endpoint(spec).await
            }

            async fn endpoint(&self, name: &EndpointName) -> Result<Endpoint> {
                (**self).endpoint(name).await
            }

            async fn endpoints(&self, page: &PageRequest) -> Result<Page<Endpoint>> {
                (**self).endpoints(page).await
            }

            async fn deploy(&self, spec: &DeploymentSpec) -> Result<Deployment> {
                (**self).deploy(spec).await
            }

            async fn deployments(
                &self,
                endpoint: &EndpointName,
            ) -> Result<BTreeMap<DeploymentName, Deployment>> {
                (**self).deployments(endpoint).await
            }

            async fn set_traffic(&self, change: &TrafficChange) -> Result<Endpoint> {
                (**self).set_traffic(change).await
            }

            async fn set_mirror(&self, change: &MirrorChange) -> Result<Endpoint> {
                (**self).set_mirror(change).await
            }

            async fn delete_deployment(
                &self,
                endpoint: &EndpointName,
                deployment: &DeploymentName,
            ) -> Result<()> {
                (**self).delete_deployment(endpoint, deployment).await
            }

            async fn invoke(&self, request: &InvokeRequest<'_>) -> Result<InvokeResponse> {
                (**self).invoke(request).await
            }

            async fn stats(
                &self,
                endpoint: &EndpointName,
                deployment: &DeploymentName,
            ) -> Result<OperationStats> {
                (**self).stats(endpoint, deployment).await
            }
        }
    };
}
forward!(Arc);
forward!(Box);

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn Deployer) {}
