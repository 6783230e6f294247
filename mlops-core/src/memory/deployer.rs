//! The deployer in memory.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::pager::Pager;
use crate::artifact::ArtifactStore;
use crate::data::Table;
use crate::deploy::{
    Deployer, DeployerCapabilities, Deployment, DeploymentSpec, DeploymentState, Endpoint, EndpointSpec,
    InvokeRequest, InvokeResponse, OperationStats, TrafficChange, TrafficSplit,
};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{DeploymentName, EndpointName, IdempotencyKey, check_tags};
use crate::model::{ModelLoader, Predictions, Predictor, read_model};
use crate::page::{Page, PageRequest};
use crate::registry::{Edge, ModelRef, ModelRegistry, ModelVersion, Node, Relation};
use crate::time::{Clock, lock};

/// Endpoints in memory: models are loaded into this process and asked on the caller's thread.
///
/// `deploy` fetches the version from the registry, reads its model with [`read_model`], loads it with the loader and checks
/// that the model takes and answers what it was registered with. Where the registry keeps lineage, the deployment is linked
/// to its model version.
///
/// Routing is by [`TrafficSplit::route`] with the endpoint's name as salt and the fixed, alphabetical order of deployments.
/// With a fixed order, raising the share of one deployment only ever moves callers to it, whichever deployment that is, and
/// lowering it again moves the same callers back. Requests without a key are counted, and routed by their number.
///
/// A predictor that panics answers [`ErrorKind::Internal`] to that one request and takes nothing else down, as does one that
/// answers NaN or too few rows; all of them count as failures. Latency is measured by the clock's monotonic time, and only
/// requests that were answered count towards it.
///
/// ```
/// # use std::sync::Arc;
/// use mlops_core::deploy::{Deployer, EndpointSpec};
/// use mlops_core::memory::MemoryDeployer;
/// use mlops_core::{ActorId, EndpointName};
/// # use mlops_core::{artifact::ArtifactStore, model::ModelLoader, registry::ModelRegistry, time::SystemClock};
/// # async fn example(
/// #     registry: Arc<dyn ModelRegistry>, artifacts: Arc<dyn ArtifactStore>, loader: Arc<dyn ModelLoader>,
/// # ) -> mlops_core::Result<()> {
///
/// let deployer = MemoryDeployer::new(registry, artifacts, loader, Arc::new(SystemClock::new()));
/// let endpoint = EndpointSpec::new(EndpointName::new("diabetes")?, ActorId::new("release")?);
/// assert!(deployer.ensure_endpoint(&endpoint).await?.traffic.is_none());
/// # Ok(())
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MemoryDeployer {
    registry: Arc<dyn ModelRegistry>,
    artifacts: Arc<dyn ArtifactStore>,
    loader: Arc<dyn ModelLoader>,
    clock: Arc<dyn Clock>,
    pager: Pager,
    /// Held by `deploy` from its first look to its last write, across the reading of the model: of two that make the same
    /// deployment, the second finds it made.
    deploying: futures_util::lock::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    endpoints: BTreeMap<EndpointName, Served>,
    /// Changes of traffic that were made, with the endpoint as it was after each.
    changes: HashMap<IdempotencyKey, (TrafficChange, Endpoint)>,
}

struct Served {
    endpoint: Endpoint,
    deployments: BTreeMap<DeploymentName, Live>,
    /// Counts requests without a routing key.
    keyless: u64,
}

/// A deployment that answers. Cloned out of the lock for the time of a request, so that a slow model blocks nobody.
#[derive(Clone)]
struct Live {
    deployment: Deployment,
    predictor: Arc<dyn Predictor>,
    stats: Arc<Mutex<OperationStats>>,
}

impl MemoryDeployer {
    /// The most bytes a model may have: 1 GiB.
    pub const MAX_MODEL: usize = 1 << 30;

    /// A deployer of the models in `registry`, whose content lies in `artifacts` and is understood by `loader`.
    pub fn new(
        registry: Arc<dyn ModelRegistry>,
        artifacts: Arc<dyn ArtifactStore>,
        loader: Arc<dyn ModelLoader>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            registry,
            artifacts,
            loader,
            clock,
            pager: Pager::new(),
            deploying: futures_util::lock::Mutex::new(()),
            state: Mutex::default(),
        }
    }

    /// Reads and loads the model of a version.
    async fn load(&self, version: &ModelVersion) -> Result<Arc<dyn Predictor>> {
        const OP: &str = "Deployer::deploy";
        let spec = &version.spec;
        let bytes = read_model(&self.artifacts, &spec.artifact, Self::MAX_MODEL).await?;
        let load = || {
            let predictor = self.loader.load(&spec.format, &bytes)?;
            let as_registered = *predictor.signature() == spec.signature;
            Ok((predictor, as_registered))
        };
        let (predictor, as_registered) = guarded(OP, "the loader panicked", load)
            .map_err(|e| e.with("model", &spec.model).with("version", version.version))?;
        if as_registered {
            return Ok(predictor);
        }
        // Callers are told what the registry says; a model that wants something else would refuse them, or worse.
        let message = "the model has another signature than it was registered with";
        let error = Error::new(ErrorKind::Corrupt, OP, message);
        Err(error.with("model", &spec.model).with("version", version.version))
    }

    async fn link(&self, spec: &DeploymentSpec) -> Result<()> {
        if !self.registry.capabilities().lineage {
            return Ok(());
        }
        let from = Node::Model { name: spec.model.clone(), version: spec.version };
        let to = Node::Deployment { endpoint: spec.endpoint.clone(), deployment: spec.name.clone() };
        self.registry.link(&Edge { from, to, relation: Relation::DeployedAs }).await
    }

    /// Looks at one endpoint.
    fn with_served<T>(
        &self,
        operation: &'static str,
        name: &EndpointName,
        look: impl FnOnce(&mut Served) -> Result<T>,
    ) -> Result<T> {
        lock(&self.state).served(operation, name).and_then(look)
    }
}

impl State {
    fn served(&mut self, operation: &'static str, name: &EndpointName) -> Result<&mut Served> {
        self.endpoints.get_mut(name).ok_or_else(|| Error::not_found(operation, "endpoint", name))
    }
}

impl Served {
    fn live(&self, operation: &'static str, name: &DeploymentName) -> Result<&Live> {
        self.deployments.get(name).ok_or_else(|| {
            Error::not_found(operation, "deployment", name).with("endpoint", &self.endpoint.name)
        })
    }

    /// The deployment of a spec, if it was made; a conflict if another has its name.
    fn existing(&self, spec: &DeploymentSpec) -> Result<Option<Deployment>> {
        match self.deployments.get(&spec.name) {
            None => Ok(None),
            Some(live) if live.deployment.spec == *spec => Ok(Some(live.deployment.clone())),
            Some(live) => {
                let message = "the endpoint has another deployment of this name";
                let found = &live.deployment.spec;
                Err(Error::new(ErrorKind::AlreadyExists, "Deployer::deploy", message)
                    .with("deployment", &spec.name)
                    .with("model", &found.model)
                    .with("version", found.version))
            }
        }
    }

    /// Checks that everybody who is to get traffic can answer.
    fn check_split(&self, split: &TrafficSplit) -> Result<()> {
        const OP: &str = "Deployer::set_traffic";
        for (name, _) in split.shares() {
            let state = self.live(OP, name)?.deployment.state;
            if state != DeploymentState::Ready {
                let message = "a deployment that is not ready cannot have traffic";
                let error = Error::new(ErrorKind::Conflict, OP, message);
                return Err(error.with("deployment", name).with("state", format!("{state:?}")));
            }
        }
        Ok(())
    }

    /// Who answers a request.
    fn choose(&mut self, request: &InvokeRequest<'_>) -> Result<Live> {
        const OP: &str = "Deployer::invoke";
        if let Some(name) = &request.deployment {
            return self.live(OP, name).cloned();
        }
        let salt = self.endpoint.name.as_str();
        let chosen = match &request.routing_key {
            Some(key) => self.endpoint.traffic.route(salt, key, None),
            None => {
                self.keyless = self.keyless.wrapping_add(1);
                self.endpoint.traffic.route(salt, &self.keyless.to_string(), None)
            }
        };
        match chosen {
            Some(name) => self.live(OP, name).cloned(),
            None => Err(Error::new(ErrorKind::Conflict, OP, "the endpoint has no traffic")
                .with("endpoint", &self.endpoint.name)),
        }
    }
}

/// Runs code that is not ours. A panic in it is an error here.
fn guarded<T>(operation: &'static str, panicked: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    // Models and loaders are only ever read; whatever a panic leaves half-done inside them is theirs.
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, operation, panicked)))
}

/// Asks a predictor, and believes neither that it checks its rows nor that it keeps its contract.
fn predict(predictor: &dyn Predictor, rows: &Table<'_>) -> Result<Predictions> {
    const OP: &str = "Deployer::invoke";
    guarded(OP, "the predictor panicked", || {
        predictor.signature().check(rows)?;
        let predictions = predictor.predict(rows)?;
        if predictions.len() != rows.rows() {
            let error = Error::new(ErrorKind::Internal, OP, "the predictor did not answer every row");
            return Err(error.with("rows", rows.rows()).with("predictions", predictions.len()));
        }
        match predictions {
            Predictions::Probability(values) => Predictions::probability(values),
            Predictions::Value(values) => Predictions::value(values),
        }
        .map_err(|e| Error::new(ErrorKind::Internal, OP, "the predictor's answer is no prediction").with_source(e))
    })
}

/// Counts one request and how it ended.
fn count(stats: &mut OperationStats, answer: &Result<Predictions>, latency: Duration) {
    stats.requests += 1;
    match answer {
        Ok(_) => {
            stats.total_latency = stats.total_latency.saturating_add(latency);
            stats.max_latency = stats.max_latency.max(latency);
        }
        Err(e) if e.kind() == ErrorKind::InvalidInput => stats.bad_requests += 1,
        Err(_) => stats.failures += 1,
    }
}

impl fmt::Debug for MemoryDeployer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoints = lock(&self.state).endpoints.len();
        f.debug_struct("MemoryDeployer").field("endpoints", &endpoints).finish_non_exhaustive()
    }
}

#[async_trait]
impl Deployer for MemoryDeployer {
    fn capabilities(&self) -> DeployerCapabilities {
        DeployerCapabilities::FULL
    }

    async fn ensure_endpoint(&self, spec: &EndpointSpec) -> Result<Endpoint> {
        check_tags("Deployer::ensure_endpoint", &spec.tags)?;
        let mut state = lock(&self.state);
        let served = state.endpoints.entry(spec.name.clone()).or_insert_with(|| Served {
            endpoint: Endpoint::new(spec.clone(), self.clock.now()),
            deployments: BTreeMap::new(),
            keyless: 0,
        });
        Ok(served.endpoint.clone())
    }

    async fn endpoint(&self, name: &EndpointName) -> Result<Endpoint> {
        self.with_served("Deployer::endpoint", name, |served| Ok(served.endpoint.clone()))
    }

    async fn endpoints(&self, page: &PageRequest) -> Result<Page<Endpoint>> {
        let state = lock(&self.state);
        self.pager.page("Deployer::endpoints", &(), page, |after: Option<EndpointName>| {
            let start = after.map_or(Bound::Unbounded, Bound::Excluded);
            let rest = state.endpoints.range((start, Bound::Unbounded));
            Ok(rest.map(|(name, served)| (name.clone(), served.endpoint.clone())))
        })
    }

    async fn deploy(&self, spec: &DeploymentSpec) -> Result<Deployment> {
        const OP: &str = "Deployer::deploy";
        check_tags(OP, &spec.tags)?;
        let _alone = self.deploying.lock().await;
        if let Some(made) = self.with_served(OP, &spec.endpoint, |served| served.existing(spec))? {
            return Ok(made);
        }
        let version = self.registry.get(&ModelRef::new(spec.model.clone(), spec.version)).await?;
        let predictor = self.load(&version).await?;
        // The edge comes before the deployment: if it cannot be kept, there is no deployment without an origin.
        self.link(spec).await?;
        let deployment = Deployment::ready(spec.clone(), version.spec.artifact, self.clock.now());
        let live = Live { deployment: deployment.clone(), predictor, stats: Arc::default() };
        self.with_served(OP, &spec.endpoint, |served| {
            served.deployments.insert(spec.name.clone(), live);
            Ok(deployment)
        })
    }

    async fn deployments(&self, endpoint: &EndpointName) -> Result<BTreeMap<DeploymentName, Deployment>> {
        self.with_served("Deployer::deployments", endpoint, |served| {
            let all = served.deployments.iter();
            Ok(all.map(|(name, live)| (name.clone(), live.deployment.clone())).collect())
        })
    }

    async fn set_traffic(&self, change: &TrafficChange) -> Result<Endpoint> {
        const OP: &str = "Deployer::set_traffic";
        let mut state = lock(&self.state);
        if let Some((made, endpoint)) = state.changes.get(&change.key) {
            if made == change {
                return Ok(endpoint.clone());
            }
            let message = "the key was used for another change";
            return Err(Error::conflict(OP, message, &change.split, &made.split).with("key", &change.key));
        }
        let served = state.served(OP, &change.endpoint)?;
        let found = served.endpoint.revision;
        if let Some(expected) = change.expected.filter(|expected| *expected != found) {
            let message = "the endpoint's traffic was changed";
            return Err(Error::conflict(OP, message, expected, found).with("endpoint", &change.endpoint));
        }
        served.check_split(&change.split)?;
        served.endpoint.traffic = change.split.clone();
        served.endpoint.revision += 1;
        let endpoint = served.endpoint.clone();
        state.changes.insert(change.key.clone(), (change.clone(), endpoint.clone()));
        Ok(endpoint)
    }

    async fn delete_deployment(&self, endpoint: &EndpointName, deployment: &DeploymentName) -> Result<()> {
        const OP: &str = "Deployer::delete_deployment";
        self.with_served(OP, endpoint, |served| {
            let share = served.endpoint.traffic.share(deployment);
            if share.get() > 0 {
                let error = Error::new(ErrorKind::Conflict, OP, "the deployment has traffic");
                return Err(error.with("deployment", deployment).with("share", share));
            }
            served.deployments.remove(deployment);
            Ok(())
        })
    }

    async fn invoke(&self, request: &InvokeRequest<'_>) -> Result<InvokeResponse> {
        let live = self.with_served("Deployer::invoke", &request.endpoint, |served| served.choose(request))?;
        let start = self.clock.monotonic();
        let answer = predict(&live.predictor, request.rows);
        let latency = self.clock.monotonic().saturating_sub(start);
        count(&mut lock(&live.stats), &answer, latency);
        let Live { deployment: Deployment { spec, .. }, .. } = live;
        match answer {
            Ok(predictions) => Ok(InvokeResponse::new(spec.name, spec.version, predictions, latency)),
            Err(e) => Err(e.with("endpoint", spec.endpoint).with("deployment", spec.name)),
        }
    }

    async fn stats(&self, endpoint: &EndpointName, deployment: &DeploymentName) -> Result<OperationStats> {
        const OP: &str = "Deployer::stats";
        self.with_served(OP, endpoint, |served| Ok(*lock(&served.live(OP, deployment)?.stats)))
    }
}
