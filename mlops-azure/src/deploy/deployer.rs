//! Core's deployer on managed online endpoints.

use std::collections::HashMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use mlops_core::deploy::{
    Deployer, DeployerCapabilities, Deployment, DeploymentSpec, DeploymentState, Endpoint, EndpointSpec,
    InvokeRequest, InvokeResponse, MirrorChange, OperationStats, TrafficChange, TrafficSplit,
};
use mlops_core::governance::Secret;
use mlops_core::id::{DeploymentName, EndpointName, check_tags};
use mlops_core::page::pager::Pager;
use mlops_core::registry::{Edge, ModelRef, ModelRegistry, Node, Relation};
use mlops_core::time::Clock;
use mlops_core::{Error, ErrorKind, Page, PageRequest, Percent, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::builder::AzureDeployerBuilder;
use super::ledger::Change;
use super::online::OnlineEndpoints;
use super::rows;
use super::scoring::{DEPLOYMENT, EndpointSecret, Scored, Scoring};
use super::seen::{self, AllDeployed, Deployed, Seen};
use super::template::{DeploymentTemplate, ModelSource};
use crate::auth::TokenSource;
use crate::config::Workspace;
use crate::config::cloud::{Audience, Cloud};
use crate::error;
use crate::http::{HttpTransport, Operation, RetryPolicy, Service, Url, guard};
use crate::wire::endpoint::AuthMode;
use crate::wire::open::ProvisioningState;
use crate::wire::{At, Identity, OnlineDeployment, OnlineEndpoint, Place, Resource, Traffic};

/// The largest share that Azure mirrors: 50 per cent.
const MAX_MIRROR: Percent = match Percent::new(Traffic::MAX_MIRROR as u8) {
    Some(share) => share,
    None => Percent::ZERO,
};

/// Of how many endpoints something is remembered at once.
const MOST_SLOTS: usize = 4096;

/// How long is waited for other operations and other writers that get in the way.
const PATIENCE: Duration = Duration::from_secs(300);

/// Managed online endpoints of a workspace as a [`Deployer`]. Cheap to clone; clones are the same deployer.
///
/// # What it keeps where
/// * A deployment's model, version, digest, actor and the kind of its answers are in its properties, which Azure lets nobody change.
///   Deployments that others made are shown if their model is a version of the registry, and left out otherwise.
/// * Each change of traffic or mirror writes its key and its revision into the endpoint's tags, in the same PUT as the traffic; the
///   last twenty to forty are remembered, and a key that is older, or was used at another endpoint, is a new key. What somebody else changes counts as one revision
///   more, as long as it stays.
///
/// # What Azure cannot do, and what follows
/// * It has no compare-and-set: of two processes that read the same revision, both may write, and the last one wins. Each change is
///   read back, so that a change that is lost is told or made again; but not everything that was overwritten is seen. Within one
///   deployer and its clones changes are made one after the other. So `compare_and_set` is promised only to who says that there is
///   [one writer](AzureDeployerBuilder::sole_writer); expected revisions are always checked.
/// * Its router draws for each request: a routing key means nothing to it.
///   [`sticky_routing`](AzureDeployerBuilder::sticky_routing) chooses here instead; such requests are not mirrored, and the split may be
///   [some minutes](AzureDeployerBuilder::known_for) old where somebody else changes it.
/// * It counts requests in Azure Monitor's metrics (`RequestsPerMinute` by deployment and status, `RequestLatency`): minutes late, for
///   93 days, and not since a deployment was made. So there are no `stats`; a rollout is judged by guards on metrics, which look at
///   windows of time: [`AzureMetrics`](super::AzureMetrics) is the source that they query, and callers may report what they met.
/// * It mirrors at most half of the requests.
/// * A deployment takes minutes. That its model loads is seen when it has come about; one that does not is removed again.
///
/// # Round trips
/// A prediction is one request after the first, which is up to four: endpoint, key, deployments, prediction. A change of traffic is three:
/// read, write, read back. A deployment that has come about when it is looked at is three: look, write, look; one more where neither
/// [`region`](AzureDeployerBuilder::region) nor an endpoint that was seen says where the workspace is.
///
/// # Permissions
/// Below `Microsoft.MachineLearningServices/workspaces`: `read`, `onlineEndpoints/read`, `write`, `listKeys/action` or `token/action`;
/// `onlineEndpoints/deployments/read`, `write`, `delete`. The role
/// `AzureML Data Scientist` has them.
///
/// ```
/// use std::sync::Arc;
/// use mlops_azure::deploy::{AzureDeployer, DeploymentTemplate};
/// use mlops_azure::fake::FakeAzure;
/// # use mlops_core::artifact::ArtifactStoreExt as _;
/// # use mlops_core::data::{Column, Table};
/// use mlops_core::deploy::{Deployer as _, DeploymentSpec, EndpointSpec, InvokeRequest, TrafficChange, TrafficSplit};
/// # use mlops_core::memory::{MemoryArtifactStore, MemoryModelRegistry};
/// # use mlops_core::model::{ModelFormat, Signature};
/// # use mlops_core::problem::Task;
/// # use mlops_core::registry::{ModelRegistry as _, NewModelVersion};
/// # use mlops_core::time::SystemClock;
/// # use mlops_core::{ActorId, DeploymentName, EndpointName, IdempotencyKey, ModelName};
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// # let artifacts = Arc::new(MemoryArtifactStore::default());
/// # let registry = Arc::new(MemoryModelRegistry::new(artifacts.clone(), Arc::new(SystemClock::new())));
/// # let (me, model) = (ActorId::new("release")?, ModelName::new("churn")?);
/// # let blob = artifacts.put_bytes(b"weights".to_vec()).await?;
/// # let (format, signature) = (ModelFormat::new("mlflow.sklearn/v1")?, Signature::new(Task::BinaryClassification, Vec::new()));
/// # let new = NewModelVersion::new(model.clone(), blob.digest, format, signature, me.clone());
/// # let version = registry.register(&new).await?.version;
/// // Azure in memory, with version 1 of a model that says 0.25 to one row.
/// let azure = FakeAzure::new();
/// azure.set_resource(azure.place().model("churn", "1")?.id(), serde_json::json!({ "properties": {} }));
/// azure.score_with(|_model, _rows| Ok(serde_json::json!([0.25])));
///
/// let template = DeploymentTemplate::new("Standard_DS3_v2");
/// let deployer = AzureDeployer::builder(azure.arm(), &azure.workspace(), registry, template);
/// let deployer = deployer.transport(azure.transport()).sole_writer().build()?;
/// let (endpoint, blue) = (EndpointName::new("churn")?, DeploymentName::new("blue")?);
/// deployer.ensure_endpoint(&EndpointSpec::new(endpoint.clone(), me.clone())).await?;
/// deployer.deploy(&DeploymentSpec::new(endpoint.clone(), blue.clone(), model, version, me.clone())).await?;
/// let (key, split) = (IdempotencyKey::generate(), TrafficSplit::all_to(blue));
/// let change = TrafficChange::new(endpoint.clone(), split, me).with_key(key).expecting(0);
/// deployer.set_traffic(&change).await?;
///
/// let rows = Table::new(vec![Column::f64("age", vec![59.0])?])?;
/// let request = InvokeRequest::new(endpoint, &rows);
/// assert_eq!(deployer.invoke(&request).await?.predictions.as_slice(), [0.25]);
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct AzureDeployer(Arc<Inner>);

pub(super) struct Inner {
    pub(super) arm: Service,
    pub(super) place: Place,
    pub(super) cloud: Cloud,
    pub(super) online: OnlineEndpoints,
    pub(super) registry: Arc<dyn ModelRegistry>,
    pub(super) template: DeploymentTemplate,
    pub(super) auth_mode: AuthMode,
    pub(super) tokens: Option<Arc<dyn TokenSource>>,
    pub(super) region: OnceCell<String>,
    pub(super) transport: Arc<dyn HttpTransport>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) retry: RetryPolicy,
    pub(super) timeout: Duration,
    pub(super) known_for: Duration,
    pub(super) sole_writer: bool,
    pub(super) sticky: bool,
    pub(super) pager: Pager,
    pub(super) slots: Mutex<HashMap<EndpointName, Arc<Slot>>>,
}

/// What belongs to one endpoint.
#[derive(Default)]
pub(super) struct Slot {
    /// Held by who writes the endpoint or its deployments, from the first look to the last.
    writing: tokio::sync::Mutex<()>,
    /// Held by who finds out where the endpoint is asked.
    asking: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
}

/// What is known of an endpoint, and since when.
#[derive(Default)]
struct Known {
    scoring: Option<Arc<Scoring>>,
    deployments: Option<(Instant, Arc<AllDeployed>)>,
    traffic: Option<(Instant, TrafficSplit)>,
}

impl Slot {
    fn known<T>(&self, look: impl FnOnce(&mut Known) -> T) -> T {
        look(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn forget(&self) {
        self.known(|known| *known = Known::default());
    }
}

/// Waits between tries that something got in the way of: a tenth of a second, then twice as long each time, up to five seconds.
struct Patience {
    started: Instant,
    next: Duration,
    doubts: u32,
}

impl Patience {
    fn new() -> Self {
        Self { started: Instant::now(), next: Duration::from_millis(100), doubts: 0 }
    }

    /// Waits; the error, if it has taken too long, or if nobody but the error itself says that something is under way.
    async fn wait(&mut self, last: Error) -> Result<()> {
        const DOUBTS: u32 = 2;
        if last.kind() != ErrorKind::Busy {
            self.doubts += 1;
        }
        if self.doubts > DOUBTS || self.started.elapsed().saturating_add(self.next) > PATIENCE {
            return Err(last);
        }
        tokio::time::sleep(self.next).await;
        self.next = self.next.saturating_mul(2).min(Duration::from_secs(5));
        Ok(())
    }
}

/// Whether a write was turned away because of another operation, or may have been: of one that ended before anybody looked there is
/// nothing to see.
fn may_be_busy(error: &Error) -> bool {
    error.kind() == ErrorKind::Busy || error::is_open_conflict(error)
}

/// What became of a write of an endpoint's traffic.
enum Written {
    /// It was made.
    Made(Endpoint),
    /// Another operation or another writer got in its way; the endpoint must be read again.
    Again(Error),
}

impl AzureDeployer {
    /// Begins to set up a deployer for the endpoints of a workspace, by a client of Resource Manager. Versions are looked up in
    /// `registry`, whose models must be in Azure under the same names and versions; what else a deployment needs says the template.
    pub fn builder(
        arm: Service,
        workspace: &Workspace,
        registry: Arc<dyn ModelRegistry>,
        template: DeploymentTemplate,
    ) -> AzureDeployerBuilder {
        AzureDeployerBuilder::new(arm, workspace, registry, template)
    }

    pub(super) fn around(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Keys, tokens, logs and sizes.
    pub fn online(&self) -> &OnlineEndpoints {
        &self.0.online
    }

    /// Begins a deployment without waiting for it, so that another process may [go on](Service::resume) with the saved operation.
    /// [`Deployer::deploy`] with the same spec waits for it, and says whether it came about.
    ///
    /// # Errors
    /// As of [`Deployer::deploy`], up to its beginning; [`ErrorKind::AlreadyExists`] where a deployment of this name is there, and
    /// [`ErrorKind::Busy`] while another operation runs on the endpoint.
    pub async fn begin_deployment(
        &self,
        spec: &DeploymentSpec,
    ) -> Result<Operation<Resource<OnlineDeployment>>> {
        const OP: &str = "AzureDeployer::begin_deployment";
        check_tags(OP, &spec.tags)?;
        let slot = self.slot(&spec.endpoint);
        let _alone = slot.writing.lock().await;
        if self.find(OP, &self.deployment_at(&spec.endpoint, &spec.name)?).await?.is_some() {
            return Err(taken(OP, spec));
        }
        self.begin(OP, spec).await
    }

    fn slot(&self, endpoint: &EndpointName) -> Arc<Slot> {
        let mut slots = self.0.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MOST_SLOTS && !slots.contains_key(endpoint) {
            // What nobody is at work on can be found out again.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        slots.entry(endpoint.clone()).or_default().clone()
    }

    /// The error of a call about an endpoint that is not there, of which nothing is believed any more.
    fn absent(&self, operation: &'static str, endpoint: &EndpointName, error: Error) -> Error {
        if error.kind() != ErrorKind::NotFound {
            return error;
        }
        self.slot(endpoint).forget();
        Error::not_found(operation, "endpoint", endpoint).with_source(error)
    }

    fn endpoint_at(&self, endpoint: &EndpointName) -> Result<At<Resource<OnlineEndpoint>>> {
        self.0.place.online_endpoint(endpoint.as_str())
    }

    fn deployment_at(
        &self,
        endpoint: &EndpointName,
        deployment: &DeploymentName,
    ) -> Result<At<Resource<OnlineDeployment>>> {
        self.0.place.online_deployment(endpoint.as_str(), deployment.as_str())
    }

    /// A resource, if it is there.
    async fn find<R: DeserializeOwned>(&self, operation: &'static str, at: &At<R>) -> Result<Option<R>> {
        match self.0.arm.call(at.get(operation)).await {
            Ok(resource) => Ok(Some(resource)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A resource, once no operation on it is under way: it is asked until then.
    async fn settled<R: DeserializeOwned>(&self, operation: &'static str, at: &At<R>) -> Result<R> {
        self.0.arm.begin(at.get(operation)).await?.wait().await
    }

    /// What an operation has written. To look at the resource itself, and not at the operation first, saves a round trip where all
    /// goes well; `None` where only the operation knows how it ended.
    async fn outcome<R: DeserializeOwned>(
        &self,
        operation: &'static str,
        at: &At<R>,
        begun: &Operation<R>,
    ) -> Result<Option<R>> {
        let looking = async { self.0.arm.begin(at.get(operation)).await?.no_longer_than(begun).wait().await };
        match looking.await {
            Ok(resource) => Ok(Some(resource)),
            // It failed, or it is not seen yet.
            Err(error) if is_failure(&error) || error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// An endpoint as it is, whatever is under way there.
    async fn look(&self, operation: &'static str, endpoint: &EndpointName) -> Result<Seen> {
        let resource = self.0.arm.call(self.endpoint_at(endpoint)?.get(operation)).await;
        let resource = resource.map_err(|e| self.absent(operation, endpoint, e))?;
        self.read(operation, endpoint, resource)
    }

    fn read(
        &self,
        operation: &'static str,
        endpoint: &EndpointName,
        resource: Resource<OnlineEndpoint>,
    ) -> Result<Seen> {
        // Endpoints are where their workspace is.
        if let Some(region) = &resource.location {
            let _known_already = self.0.region.set(region.clone());
        }
        let seen = Seen::read(operation, endpoint, resource)?;
        let split = (Instant::now(), seen.endpoint.traffic.clone());
        self.slot(endpoint).known(|known| known.traffic = Some(split));
        Ok(seen)
    }

    /// The region of the workspace.
    async fn region(&self, operation: &'static str) -> Result<String> {
        let ask = || async {
            let workspace: Value = self.0.arm.call(self.0.place.itself().get(operation)).await?;
            let region = workspace.get("location").and_then(Value::as_str);
            region.map(str::to_owned).ok_or_else(|| {
                Error::new(ErrorKind::Protocol, operation, "the workspace does not say where it is")
            })
        };
        self.0.region.get_or_try_init(ask).await.cloned()
    }

    /// All deployments of an endpoint, asked for now.
    async fn all(&self, operation: &'static str, endpoint: &EndpointName) -> Result<Arc<AllDeployed>> {
        // The name is the one part of the path that a list leaves out.
        let list = self.0.place.online_deployment(endpoint.as_str(), "all")?.list(operation)?;
        let items: Vec<_> =
            self.0.arm.items(list).try_collect().await.map_err(|e| self.absent(operation, endpoint, e))?;
        let mut all = AllDeployed::new();
        for resource in items {
            let Some(name) = seen::name_of(&resource) else { continue };
            if let Some(deployed) = self.describe(operation, endpoint, &name, &resource).await? {
                all.insert(name, deployed);
            }
        }
        let all = Arc::new(all);
        self.slot(endpoint).known(|known| known.deployments = Some((Instant::now(), all.clone())));
        Ok(all)
    }

    /// A deployment in core's words; `None` for one of a model that is not registered.
    async fn describe(
        &self,
        operation: &'static str,
        endpoint: &EndpointName,
        name: &DeploymentName,
        resource: &Resource<OnlineDeployment>,
    ) -> Result<Option<Deployed>> {
        if let Some(deployed) = seen::deployed(operation, endpoint, name, resource)? {
            return Ok(Some(deployed));
        }
        let Some((model, version)) = seen::model_of(resource) else { return Ok(None) };
        match self.0.registry.get(&ModelRef::new(model, version)).await {
            Ok(version) => seen::adopted(endpoint, name, &version, resource).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A deployment by what is known, and by what the service says where that does not know it.
    async fn deployed(
        &self,
        operation: &'static str,
        endpoint: &EndpointName,
        name: &DeploymentName,
    ) -> Result<Option<Deployed>> {
        let fresh = |since: &Instant| since.elapsed() < self.0.known_for;
        let known = self.slot(endpoint).known(|known| {
            let (_, all) = known.deployments.as_ref().filter(|(since, _)| fresh(since))?;
            all.get(name).cloned()
        });
        // One that was not ready may be by now.
        match known.filter(|deployed| deployed.deployment.state == DeploymentState::Ready) {
            Some(deployed) => Ok(Some(deployed)),
            None => Ok(self.all(operation, endpoint).await?.get(name).cloned()),
        }
    }

    /// Remembers a deployment that was made, or that it is gone.
    fn remember(&self, endpoint: &EndpointName, name: &DeploymentName, deployed: Option<Deployed>) {
        self.slot(endpoint).known(|known| {
            let Some((_, all)) = &mut known.deployments else { return };
            let all = Arc::make_mut(all);
            match deployed {
                Some(deployed) => drop(all.insert(name.clone(), deployed)),
                None => drop(all.remove(name)),
            }
        });
    }
}

/// Making and removing deployments.
impl AzureDeployer {
    /// Begins to write a deployment that is not there.
    async fn begin(
        &self,
        operation: &'static str,
        spec: &DeploymentSpec,
    ) -> Result<Operation<Resource<OnlineDeployment>>> {
        let version = self.0.registry.get(&ModelRef::new(spec.model.clone(), spec.version)).await?;
        let model = self.0.template.model_id(&self.0.place, &spec.model, spec.version)?;
        let (tags, properties) = seen::notes_of_deployment(operation, spec, &version, self.0.clock.now())?;
        let mut deployment = self.0.template.of(model);
        deployment.properties.get_or_insert_default().0.extend(properties.0);
        let resource = Resource::new(deployment)
            .with_location(self.region(operation).await?)
            .with_sku(self.0.template.sku())
            .with_tags(tags);
        let at = self.deployment_at(&spec.endpoint, &spec.name)?;
        // After an operation that is in the way, somebody else may have the name.
        match self.0.arm.begin(at.put(operation, &resource)?.unless_busy()).await {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => {
                Err(self.missing(operation, spec, error).await)
            }
            begun => begun,
        }
    }

    /// Why a deployment was refused: its endpoint or its model may not be there.
    async fn missing(&self, operation: &'static str, spec: &DeploymentSpec, error: Error) -> Error {
        if error.kind() == ErrorKind::NotFound {
            return self.look(operation, &spec.endpoint).await.err().unwrap_or(error);
        }
        if self.0.template.models != ModelSource::Workspace {
            return error;
        }
        let Ok(at) = self.0.place.model(spec.model.as_str(), &spec.version.to_string()) else { return error };
        match self.find(operation, &at).await {
            Ok(None) => {
                let missing = Error::not_found(operation, "model", &spec.model).with("version", spec.version);
                missing.with("place", self.0.place.id()).with_source(error)
            }
            _ => error,
        }
    }

    /// Removes what a deployment that failed has left behind, and gives back why it failed.
    ///
    /// An operation that goes on, or of which nothing was heard, may still come about; and what somebody else has put in the place of
    /// the one that failed is theirs.
    async fn clean_up(&self, spec: &DeploymentSpec, error: Error) -> Error {
        const OP: &str = "Deployer::deploy";
        if !is_failure(&error) {
            return error;
        }
        let remove = async || {
            let Some(left) = self.find(OP, &self.deployment_at(&spec.endpoint, &spec.name)?).await? else {
                return Ok(());
            };
            let ours = seen::deployed(OP, &spec.endpoint, &spec.name, &left)?;
            let is_left = |found: &Deployed| {
                found.deployment.spec == *spec && found.deployment.state == DeploymentState::Failed
            };
            match ours.filter(is_left) {
                Some(_) => self.remove(OP, &spec.endpoint, &spec.name).await,
                None => Ok(()),
            }
        };
        match remove().await {
            Ok(()) => error,
            Err(left) => error.with("left_behind", &spec.name).with("because", left),
        }
    }

    /// Begins to remove a deployment, unless somebody is at work on it, and waits until it is gone.
    async fn remove(
        &self,
        operation: &'static str,
        endpoint: &EndpointName,
        name: &DeploymentName,
    ) -> Result<()> {
        self.remember(endpoint, name, None);
        let call = self.deployment_at(endpoint, name)?.delete(operation).unless_busy();
        self.0.arm.begin(call).await?.wait().await.map(|_| ())
    }

    /// Links a deployment to its model version, where the registry keeps lineage.
    async fn link(&self, spec: &DeploymentSpec) -> Result<()> {
        if !self.0.registry.capabilities().lineage {
            return Ok(());
        }
        let from = Node::Model { name: spec.model.clone(), version: spec.version };
        let to = Node::Deployment { endpoint: spec.endpoint.clone(), deployment: spec.name.clone() };
        self.0.registry.link(&Edge { from, to, relation: Relation::DeployedAs }).await
    }

    /// The deployment that is there and is what the spec asks for; `None` where the name is free.
    async fn existing(&self, operation: &'static str, spec: &DeploymentSpec) -> Result<Option<Deployed>> {
        let at = self.deployment_at(&spec.endpoint, &spec.name)?;
        let Some(mut resource) = self.find(operation, &at).await? else { return Ok(None) };
        let described = self.describe(operation, &spec.endpoint, &spec.name, &resource).await?;
        if described.is_none_or(|found| found.deployment.spec != *spec) {
            return Err(taken(operation, spec));
        }
        if is_under_way(resource.properties.provisioning_state.as_ref()) {
            resource = match self.settled(operation, &at).await {
                Ok(resource) => resource,
                Err(error) => return Err(self.clean_up(spec, error).await),
            };
        }
        let found = self.describe(operation, &spec.endpoint, &spec.name, &resource).await?;
        match found.filter(|found| found.deployment.state == DeploymentState::Ready) {
            Some(found) => Ok(Some(found)),
            None => {
                // It failed earlier, and nobody was there to remove it.
                self.remove(operation, &spec.endpoint, &spec.name).await?;
                Ok(None)
            }
        }
    }
}

impl AzureDeployer {
    /// The deployment that a spec asks for: the one that is there, or a new one once it has come about.
    async fn made(&self, operation: &'static str, spec: &DeploymentSpec) -> Result<Deployed> {
        if let Some(found) = self.existing(operation, spec).await? {
            return Ok(found);
        }
        let begun = self.begin(operation, spec).await?;
        let at = self.deployment_at(&spec.endpoint, &spec.name)?;
        let resource = match self.outcome(operation, &at, &begun).await {
            Ok(Some(resource)) => Ok(resource),
            Ok(None) => begun.wait().await,
            Err(error) => Err(error),
        };
        let resource = match resource {
            Ok(resource) => resource,
            Err(error) => return Err(self.clean_up(spec, error).await),
        };
        let made = self.describe(operation, &spec.endpoint, &spec.name, &resource).await?;
        // Somebody else may have written another one at the same time.
        made.filter(|made| made.deployment.spec == *spec).ok_or_else(|| taken(operation, spec))
    }
}

fn is_under_way(state: Option<&ProvisioningState>) -> bool {
    use ProvisioningState::{Canceled, Failed, Succeeded};
    !matches!(state, None | Some(Succeeded | Failed | Canceled))
}

fn taken(operation: &'static str, spec: &DeploymentSpec) -> Error {
    let message = "the endpoint has another deployment of this name";
    let error = Error::new(ErrorKind::AlreadyExists, operation, message);
    error.with("deployment", &spec.name).with("endpoint", &spec.endpoint)
}

/// Changing traffic and mirrors.
impl AzureDeployer {
    async fn change(&self, change: Change<'_>) -> Result<Endpoint> {
        let operation = change.operation();
        let slot = self.slot(change.endpoint());
        let _alone = slot.writing.lock().await;
        let mut patience = Patience::new();
        loop {
            let seen = self.at_rest(operation, change.endpoint()).await?;
            if let Some(made) = seen.ledger.made(&change, &seen.endpoint)? {
                return Ok(made);
            }
            let after = change.applied_to(&seen.endpoint)?;
            self.check_ready(&change).await?;
            match self.write(&change, &seen, &after).await? {
                Written::Made(endpoint) => {
                    let split = (Instant::now(), endpoint.traffic.clone());
                    slot.known(|known| known.traffic = Some(split));
                    return Ok(endpoint);
                }
                Written::Again(error) => patience.wait(error).await?,
            }
        }
    }

    /// An endpoint on which nothing is under way.
    async fn at_rest(&self, operation: &'static str, endpoint: &EndpointName) -> Result<Seen> {
        let seen = self.look(operation, endpoint).await?;
        if !is_under_way(seen.resource.properties.provisioning_state.as_ref()) {
            return Ok(seen);
        }
        match self.settled(operation, &self.endpoint_at(endpoint)?).await {
            Ok(resource) => self.read(operation, endpoint, resource),
            // Somebody's operation failed. The endpoint is there, and can be written.
            Err(error) if is_failure(&error) => self.look(operation, endpoint).await,
            Err(error) => Err(error),
        }
    }

    /// Everybody who is to be asked can answer.
    async fn check_ready(&self, change: &Change<'_>) -> Result<()> {
        for name in change.deployments() {
            let Some(deployed) = self.deployed(change.operation(), change.endpoint(), name).await? else {
                let error = Error::not_found(change.operation(), "deployment", name);
                return Err(error.with("endpoint", change.endpoint()));
            };
            let state = deployed.deployment.state;
            if state != DeploymentState::Ready {
                let message = "a deployment that is not ready cannot have traffic";
                let error = Error::new(ErrorKind::Conflict, change.operation(), message);
                return Err(error.with("deployment", name).with("state", format!("{state:?}")));
            }
        }
        Ok(())
    }

    /// Writes the whole endpoint, and reads it back.
    async fn write(&self, change: &Change<'_>, seen: &Seen, after: &Endpoint) -> Result<Written> {
        let operation = change.operation();
        let ledger = seen.ledger.clone().with(change, after)?;
        let at = self.endpoint_at(change.endpoint())?;
        let resource = seen.resource_with(operation, after, &ledger)?;
        let put = at.put(operation, &resource)?.unless_busy();
        let begun = match self.0.arm.begin(put).await {
            Ok(begun) => begun,
            Err(error) if may_be_busy(&error) => return Ok(Written::Again(error)),
            Err(error) => {
                // What was thought of the deployments was perhaps not so.
                self.slot(change.endpoint()).known(|known| known.deployments = None);
                if error.kind() == ErrorKind::InvalidInput {
                    self.check_ready(change).await?;
                }
                return Err(error);
            }
        };
        let looked = match self.outcome(operation, &at, &begun).await? {
            Some(resource) => self.verify(change, resource)?,
            None => None,
        };
        let verified = match looked {
            Some(made) => Some(made),
            // It failed, or it is not seen yet: the operation knows.
            None => self.verify(change, begun.wait().await?)?,
        };
        match (verified, change.expected()) {
            (Some(made), _) => Ok(Written::Made(made)),
            (None, None) => {
                let message = "other writers' changes came over this one again and again";
                Ok(Written::Again(Error::new(ErrorKind::Busy, operation, message)))
            }
            (None, Some(expected)) => {
                let found = self.look(operation, change.endpoint()).await?.endpoint.revision;
                let message = "the endpoint's traffic was changed by another writer at the same time";
                let error = Error::conflict(operation, message, expected, found);
                Err(error.with("endpoint", change.endpoint()))
            }
        }
    }

    /// The endpoint after a change, if what was read back has it.
    fn verify(&self, change: &Change<'_>, resource: Resource<OnlineEndpoint>) -> Result<Option<Endpoint>> {
        let seen = self.read(change.operation(), change.endpoint(), resource)?;
        seen.ledger.made(change, &seen.endpoint)
    }
}

/// Whether an error says that an operation was over, and had failed.
fn is_failure(error: &Error) -> bool {
    let state = error.context("state").unwrap_or_default();
    ["failed", "canceled", "cancelled"].iter().any(|name| state.eq_ignore_ascii_case(name))
}

const INVOKE: &str = "Deployer::invoke";

/// Asking for predictions.
impl AzureDeployer {
    /// Where an endpoint is asked: found out once.
    async fn scoring(&self, slot: &Slot, endpoint: &EndpointName) -> Result<Arc<Scoring>> {
        if let Some(scoring) = slot.known(|known| known.scoring.clone()) {
            return Ok(scoring);
        }
        let _alone = slot.asking.lock().await;
        if let Some(scoring) = slot.known(|known| known.scoring.clone()) {
            return Ok(scoring);
        }
        let seen = self.look(INVOKE, endpoint).await?;
        let scoring = Arc::new(self.scoring_of(endpoint, &seen.resource)?);
        slot.known(|known| known.scoring = Some(scoring.clone()));
        Ok(scoring)
    }

    fn scoring_of(&self, endpoint: &EndpointName, resource: &Resource<OnlineEndpoint>) -> Result<Scoring> {
        let bad = |message| Error::new(ErrorKind::Conflict, INVOKE, message).with("endpoint", endpoint);
        let uri = resource.properties.scoring_uri.as_deref();
        let uri = uri.ok_or_else(|| bad("the endpoint has no scoring address yet"))?;
        let url: Url = uri.parse().map_err(|_| {
            Error::new(ErrorKind::Protocol, INVOKE, "the endpoint's scoring address is no URL")
        })?;
        guard::may_carry_secrets(INVOKE, "scoringUri", &url)?;
        let mode = resource.properties.auth_mode.clone();
        let tokens: Arc<dyn TokenSource> = match (&mode, &self.0.tokens) {
            (AuthMode::AadToken, Some(tokens)) => tokens.clone(),
            (AuthMode::AadToken, None) => {
                let message = "the endpoint is opened by tokens of Entra ID, and nobody here gives them out";
                return Err(Error::new(ErrorKind::Auth, INVOKE, message).with("endpoint", endpoint));
            }
            _ => {
                let (online, clock) = (self.0.online.clone(), self.0.clock.clone());
                Arc::new(EndpointSecret::new(online, endpoint.as_str(), mode.clone(), clock))
            }
        };
        let scope = self.0.cloud.scope(Audience::MachineLearning);
        let service = Service::builder(url.clone(), scope.clone(), tokens.clone())
            .transport(self.0.transport.clone())
            .retry(self.0.retry.clone())
            .clock(self.0.clock.clone())
            .register_providers(false)
            .build()?;
        let (timeout, clock) = (self.0.timeout, self.0.clock.clone());
        Ok(Scoring { service, tokens, scope, url, timeout, clock, mode, since: Instant::now() })
    }

    /// Asks once more where an endpoint is elsewhere by now, or is opened in another way: somebody has made it anew. What was found out a
    /// [moment](AzureDeployerBuilder::known_for) ago is not found out again.
    async fn ask_anew(
        &self,
        slot: &Slot,
        request: &InvokeRequest<'_>,
        known: Arc<Scoring>,
        chosen: Option<&DeploymentName>,
        body: Bytes,
        asked: Result<Scored>,
    ) -> Result<(Arc<Scoring>, Scored)> {
        if known.since.elapsed() < self.0.known_for {
            return asked.map(|scored| (known, scored));
        }
        slot.known(|known| known.scoring = None);
        match self.scoring(slot, &request.endpoint).await {
            Ok(fresh) if !fresh.is_as(&known) => {
                let scored = fresh.ask(chosen, body).await?;
                Ok((fresh, scored))
            }
            Ok(fresh) => asked.map(|scored| (fresh, scored)),
            Err(gone) if gone.kind() == ErrorKind::NotFound => Err(gone),
            // What was asked first says more.
            Err(_) => asked.map(|scored| (known, scored)),
        }
    }

    /// The deployment that is named to the service: the caller's choice, or with sticky routing that of the key.
    async fn choose(&self, slot: &Slot, request: &InvokeRequest<'_>) -> Result<Option<DeploymentName>> {
        let (None, Some(key), true) = (&request.deployment, &request.routing_key, self.0.sticky) else {
            return Ok(request.deployment.clone());
        };
        let fresh = |known: &mut Known| {
            let (_, split) =
                known.traffic.as_ref().filter(|(since, _)| since.elapsed() < self.0.known_for)?;
            (!split.is_none()).then(|| split.clone())
        };
        let split = match slot.known(fresh) {
            Some(split) => split,
            None => self.look(INVOKE, &request.endpoint).await?.endpoint.traffic,
        };
        match split.route(request.endpoint.as_str(), key, None) {
            Some(name) => Ok(Some(name.clone())),
            None => Err(no_traffic(&request.endpoint)),
        }
    }

    /// The error of an answer that is none. What 404 means, the endpoint must say.
    async fn refusal(
        &self,
        slot: &Slot,
        request: &InvokeRequest<'_>,
        chosen: Option<&DeploymentName>,
        scored: &Scored,
        secrets: &[Secret],
    ) -> Error {
        let error = scored.error(self.0.clock.now(), secrets);
        let error = match scored.status {
            404 => {
                slot.forget();
                match (self.look(INVOKE, &request.endpoint).await, chosen) {
                    (Err(error), _) => return error,
                    (Ok(_), Some(name)) => Error::not_found(INVOKE, "deployment", name).with_source(error),
                    (Ok(_), None) => return no_traffic(&request.endpoint).with_source(error),
                }
            }
            _ => error,
        };
        let error = error.with("endpoint", &request.endpoint);
        match scored.header(DEPLOYMENT).or(chosen.map(DeploymentName::as_str)) {
            Some(name) if scored.status != 404 => error.with("deployment", mlops_core::error::quote(name)),
            _ => error,
        }
    }

    /// Who answered: the service says so, or the caller has named it, or there is only one.
    fn who(&self, slot: &Slot, scored: &Scored, chosen: Option<DeploymentName>) -> Result<DeploymentName> {
        let said = [DEPLOYMENT, "azureml-model-session"].into_iter().find_map(|name| scored.header(name));
        if let Some(name) = said.and_then(|name| DeploymentName::new(name).ok()) {
            return Ok(name);
        }
        let only = || {
            slot.known(|known| {
                let (_, split) = known.traffic.as_ref()?;
                let mut shares = split.shares();
                shares.next().filter(|(_, share)| *share == Percent::ALL).map(|(name, _)| name.clone())
            })
        };
        chosen.or_else(only).ok_or_else(|| {
            Error::new(ErrorKind::Protocol, INVOKE, "the answer does not say which deployment gave it")
        })
    }
}

fn no_traffic(endpoint: &EndpointName) -> Error {
    Error::new(ErrorKind::Conflict, INVOKE, "the endpoint has no traffic").with("endpoint", endpoint)
}

#[async_trait]
impl Deployer for AzureDeployer {
    fn capabilities(&self) -> DeployerCapabilities {
        DeployerCapabilities::none()
            .with_sticky_routing(self.0.sticky)
            .with_compare_and_set(self.0.sole_writer)
            .with_max_mirror(MAX_MIRROR)
    }

    async fn ensure_endpoint(&self, spec: &EndpointSpec) -> Result<Endpoint> {
        const OP: &str = "Deployer::ensure_endpoint";
        check_tags(OP, &spec.tags)?;
        let slot = self.slot(&spec.name);
        let _alone = slot.writing.lock().await;
        let at = self.endpoint_at(&spec.name)?;
        if let Some(resource) = self.find(OP, &at).await? {
            let resource = match is_under_way(resource.properties.provisioning_state.as_ref()) {
                true => self.settled(OP, &at).await?,
                false => resource,
            };
            let never_made = resource.properties.scoring_uri.is_none();
            let failed = resource.properties.provisioning_state == Some(ProvisioningState::Failed);
            if !(failed && never_made) {
                return Ok(self.read(OP, &spec.name, resource)?.endpoint);
            }
        }
        let (tags, properties) = seen::notes_of_endpoint(OP, spec, self.0.clock.now())?;
        let mut endpoint = OnlineEndpoint::new(self.0.auth_mode.clone());
        endpoint.properties = Some(properties);
        let resource = Resource::new(endpoint)
            .with_location(self.region(OP).await?)
            .with_identity(Identity::system())
            .with_tags(tags);
        let made = match self.0.arm.begin(at.put(OP, &resource)?.unless_busy()).await {
            Ok(begun) => begun.wait().await?,
            // Somebody else is making it; to write it again would take away what they give it.
            Err(error) if may_be_busy(&error) => match self.settled(OP, &at).await {
                // Nobody is: the name is somebody else's elsewhere, or whatever the conflict is about.
                Err(absent) if absent.kind() == ErrorKind::NotFound => return Err(error),
                settled => settled?,
            },
            Err(error) => return Err(error),
        };
        Ok(self.read(OP, &spec.name, made)?.endpoint)
    }

    async fn endpoint(&self, name: &EndpointName) -> Result<Endpoint> {
        Ok(self.look("Deployer::endpoint", name).await?.endpoint)
    }

    /// Reads the whole list for each page, because Azure's is in no order that is promised.
    async fn endpoints(&self, page: &PageRequest) -> Result<Page<Endpoint>> {
        const OP: &str = "Deployer::endpoints";
        let after: Option<EndpointName> = self.0.pager.after(OP, &(), page)?;
        let list = self.0.place.online_endpoint("all")?.list(OP)?;
        let items: Vec<_> = self.0.arm.items(list).try_collect().await?;
        let mut all = std::collections::BTreeMap::new();
        for resource in items {
            let name = resource.name.as_deref().unwrap_or_default();
            // A few names that Azure allows are none of core's.
            let Ok(name) = EndpointName::new(name) else { continue };
            if after.as_ref().is_none_or(|after| name > *after) {
                let endpoint = Seen::read(OP, &name, resource)?.endpoint;
                all.insert(name, endpoint);
            }
        }
        self.0.pager.page(OP, &(), page, |after: Option<EndpointName>| {
            let start = after.map_or(Bound::Unbounded, Bound::Excluded);
            Ok(all.range((start, Bound::Unbounded)).map(|(name, endpoint)| (name.clone(), endpoint.clone())))
        })
    }

    async fn deploy(&self, spec: &DeploymentSpec) -> Result<Deployment> {
        const OP: &str = "Deployer::deploy";
        check_tags(OP, &spec.tags)?;
        let slot = self.slot(&spec.endpoint);
        let _alone = slot.writing.lock().await;
        let mut patience = Patience::new();
        let made = loop {
            match self.made(OP, spec).await {
                Err(error) if may_be_busy(&error) => patience.wait(error).await?,
                made => break made?,
            }
        };
        self.link(spec).await?;
        self.remember(&spec.endpoint, &spec.name, Some(made.clone()));
        Ok(made.deployment)
    }

    async fn deployments(
        &self,
        endpoint: &EndpointName,
    ) -> Result<std::collections::BTreeMap<DeploymentName, Deployment>> {
        let all = self.all("Deployer::deployments", endpoint).await?;
        Ok(all.iter().map(|(name, deployed)| (name.clone(), deployed.deployment.clone())).collect())
    }

    async fn set_traffic(&self, change: &TrafficChange) -> Result<Endpoint> {
        change.split.require_plain("Deployer::set_traffic")?;
        self.change(Change::Traffic(change)).await
    }

    async fn set_mirror(&self, change: &MirrorChange) -> Result<Endpoint> {
        let share = change.mirror.as_ref().map_or(Percent::ZERO, |mirror| mirror.share);
        if share > MAX_MIRROR {
            let error = Error::invalid("Deployer::set_mirror", "share", "Azure mirrors at most 50 per cent");
            return Err(error.with("value", share));
        }
        self.change(Change::Mirror(change)).await
    }

    async fn delete_deployment(&self, endpoint: &EndpointName, deployment: &DeploymentName) -> Result<()> {
        const OP: &str = "Deployer::delete_deployment";
        let slot = self.slot(endpoint);
        let _alone = slot.writing.lock().await;
        let unused = |endpoint: &Endpoint| {
            let share = endpoint.traffic.share(deployment);
            let conflict =
                |message| Error::new(ErrorKind::Conflict, OP, message).with("deployment", deployment);
            if share != Percent::ZERO {
                return Err(conflict("the deployment has traffic").with("share", share));
            }
            match endpoint.mirror.as_ref().filter(|mirror| mirror.deployment == *deployment) {
                Some(_) => Err(conflict("requests are mirrored to the deployment")),
                None => Ok(()),
            }
        };
        let mut patience = Patience::new();
        loop {
            unused(&self.look(OP, endpoint).await?.endpoint)?;
            match self.remove(OP, endpoint, deployment).await {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                Err(error) if may_be_busy(&error) => patience.wait(error).await?,
                // It may have been given traffic after the look.
                Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Conflict) => {
                    unused(&self.look(OP, endpoint).await?.endpoint)?;
                    return Err(error);
                }
                removed => return removed,
            }
        }
    }

    async fn invoke(&self, request: &InvokeRequest<'_>) -> Result<InvokeResponse> {
        let body = serde_json::to_vec(&rows::body(request.rows)?)
            .map_err(|e| Error::invalid(INVOKE, "rows", "cannot be written as JSON").with_source(e))?;
        let slot = self.slot(&request.endpoint);
        let scoring = self.scoring(&slot, &request.endpoint).await?;
        let chosen = self.choose(&slot, request).await?;
        let body = Bytes::from(body);
        let asked = scoring.ask(chosen.as_ref(), body.clone()).await;
        let (scoring, scored) = match asked {
            Ok(scored) if !matches!(scored.status, 401 | 403) => (scoring, scored),
            asked => self.ask_anew(&slot, request, scoring, chosen.as_ref(), body, asked).await?,
        };
        if !(200..300).contains(&scored.status) {
            let secrets = scoring.secrets().await;
            return Err(self.refusal(&slot, request, chosen.as_ref(), &scored, &secrets).await);
        }
        let who = self.who(&slot, &scored, chosen)?;
        let Some(deployed) = self.deployed(INVOKE, &request.endpoint, &who).await? else {
            let message = "the deployment that answered is of no registered model version";
            return Err(Error::new(ErrorKind::Unsupported, INVOKE, message).with("deployment", &who));
        };
        let predictions = rows::predictions(&scored.body, deployed.task, request.rows.rows())
            .map_err(|e| e.with("endpoint", &request.endpoint).with("deployment", &who))?;
        Ok(InvokeResponse::new(who, deployed.deployment.spec.version, predictions, scored.latency))
    }

    async fn stats(&self, endpoint: &EndpointName, deployment: &DeploymentName) -> Result<OperationStats> {
        const OP: &str = "Deployer::stats";
        let error = Error::unsupported(
            OP,
            "Azure counts requests in its metrics, minutes late, and not since a deployment was made: see AzureMetrics",
        );
        Err(error.with("endpoint", endpoint).with("deployment", deployment))
    }
}

impl fmt::Debug for AzureDeployer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureDeployer").field("workspace", &self.0.place.id()).finish_non_exhaustive()
    }
}
