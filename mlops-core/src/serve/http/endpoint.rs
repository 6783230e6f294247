//! One endpoint as the server serves it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::access::Access;
use super::failure::{Code, Failure};
use super::host::ModelHost;
use super::metrics::{DeploymentMetrics, DeploymentState, Metrics};
use crate::deploy::{Deployment, DeploymentState as State, Mirror, Sticky, StickyKey, TrafficSplit};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{DeploymentName, EndpointName, Percent, Version};
use crate::model::Predictor;
use crate::time::{Backoff, lock};

/// When a deployment that could not be loaded is tried again.
const AGAIN: Backoff = Backoff { base: Duration::from_millis(400), longest: Duration::from_millis(51_200) };

/// How callers are told apart, so that each meets one deployment as long as the traffic allows it.
///
/// The key is hashed into one of 10 000 buckets by [`TrafficSplit::route`] with the endpoint's name as salt, as the deployer's own
/// `invoke` does it. Raising the share of a deployment moves callers to it and never one away from it. A request without the key
/// is routed by its id.
///
/// It is what the server goes by as long as the traffic does not [say](TrafficSplit::with_sticky) itself what tells callers apart.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RoutingKey {
    /// Not at all: each request is routed on its own.
    #[default]
    None,
    /// By a header, in lower case.
    Header(String),
    /// By a field of the body beside the rows, a text or a whole number; with the Open Inference Protocol by the parameter of this
    /// name.
    Field(String),
}

impl From<&Sticky> for RoutingKey {
    fn from(sticky: &Sticky) -> Self {
        match sticky.key() {
            StickyKey::Header(name) => Self::Header(name.clone()),
            StickyKey::Field(name) => Self::Field(name.clone()),
        }
    }
}

/// Which shadow a server asks for an endpoint.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ServedMirror {
    /// That of the deployer's endpoint, as it is at the time.
    #[default]
    Deployer,
    /// None, whatever the deployer's endpoint has.
    Off,
    /// This one, whatever the deployer's endpoint has.
    On(Mirror),
}

impl ServedMirror {
    /// The shadow, where the deployer's endpoint has this one.
    fn or<'a>(&'a self, deployer: Option<&'a Mirror>) -> Option<&'a Mirror> {
        match self {
            Self::Deployer => deployer,
            Self::Off => None,
            Self::On(mirror) => Some(mirror),
        }
    }
}

impl From<Mirror> for ServedMirror {
    fn from(mirror: Mirror) -> Self {
        Self::On(mirror)
    }
}

/// None is no shadow.
impl From<Option<Mirror>> for ServedMirror {
    fn from(mirror: Option<Mirror>) -> Self {
        mirror.map_or(Self::Off, Self::On)
    }
}

/// An endpoint to serve.
///
/// ```
/// use mlops_core::governance::Secret;
/// use mlops_core::serve::http::{Access, RoutingKey, ServedEndpoint};
/// let access = Access::keys(&Secret::new("5f0c7d88-c7de-45b8"), None)?;
/// let endpoint = ServedEndpoint::new("diabetes".parse()?, access)
///     .with_routing_key(RoutingKey::Header("x-user".to_owned()));
/// assert_eq!(endpoint.name.as_str(), "diabetes");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct ServedEndpoint {
    /// Its name at the deployer.
    pub name: EndpointName,
    /// Who may ask it.
    pub access: Access,
    /// How callers are told apart, where the deployer's endpoint does not say.
    pub routing_key: RoutingKey,
    /// The shadow, at first. Default that of the deployer's endpoint.
    pub mirror: ServedMirror,
}

impl ServedEndpoint {
    /// An endpoint without a routing key, with the shadow of the deployer's endpoint.
    pub fn new(name: EndpointName, access: Access) -> Self {
        Self { name, access, routing_key: RoutingKey::None, mirror: ServedMirror::Deployer }
    }

    /// Sets how callers are told apart where the deployer's endpoint does not say.
    #[must_use]
    pub fn with_routing_key(mut self, routing_key: RoutingKey) -> Self {
        self.routing_key = routing_key;
        self
    }

    /// Sets a shadow, or that there is none.
    #[must_use]
    pub fn with_mirror(mut self, mirror: impl Into<ServedMirror>) -> Self {
        self.mirror = mirror.into();
        self
    }
}

/// A deployment that answers.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) deployment: Deployment,
    pub(super) model: Arc<dyn Predictor>,
    pub(super) metrics: Arc<DeploymentMetrics>,
    /// What a row cost of late, in nanoseconds; 0 before the first.
    row_nanos: AtomicU64,
}

impl Slot {
    /// How long so many rows will take, by what they took of late; nothing before the first.
    pub(super) fn estimate(&self, rows: usize) -> Option<Duration> {
        let row = self.row_nanos.load(Relaxed);
        (row > 0).then(|| Duration::from_nanos(row.saturating_mul(rows as u64)))
    }

    /// Learns what a row costs: at once when it costs more, slowly when it costs less.
    pub(super) fn learn(&self, rows: usize, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX) / (rows.max(1) as u64);
        let before = self.row_nanos.load(Relaxed);
        self.row_nanos.store(nanos.max(before - before / 8).max(1), Relaxed);
    }
}

/// Traffic and deployments at one moment; whoever has traffic is loaded.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) traffic: TrafficSplit,
    /// How the traffic says that callers are told apart, if it does.
    routing_key: Option<RoutingKey>,
    /// The deployer's shadow.
    mirror: Option<Mirror>,
    pub(super) slots: BTreeMap<DeploymentName, Arc<Slot>>,
}

/// A deployment that could not be loaded.
#[derive(Clone, Debug)]
struct Unloadable {
    deployment: Deployment,
    kind: ErrorKind,
    attempts: u32,
    again: Instant,
}

/// What is known about an endpoint beside its view.
#[derive(Debug, Default)]
struct Condition {
    unloadable: BTreeMap<DeploymentName, Unloadable>,
    /// Why the newest traffic is not served yet, or the deployer could not be asked.
    behind: Option<ErrorKind>,
    refreshed: Option<Instant>,
}

/// An endpoint as the server serves it.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) name: EndpointName,
    routing_key: RoutingKey,
    access: RwLock<Access>,
    mirror: RwLock<ServedMirror>,
    host: Arc<dyn ModelHost>,
    view: RwLock<Arc<View>>,
    condition: Mutex<Condition>,
    refreshing: tokio::sync::Mutex<()>,
    metrics: Arc<Metrics>,
}

fn read<T: Clone>(slot: &RwLock<T>) -> T {
    slot.read().unwrap_or_else(PoisonError::into_inner).clone()
}

fn write<T>(slot: &RwLock<T>, value: T) {
    *slot.write().unwrap_or_else(PoisonError::into_inner) = value;
}

impl View {
    fn new(
        traffic: TrafficSplit,
        mirror: Option<Mirror>,
        slots: BTreeMap<DeploymentName, Arc<Slot>>,
    ) -> Arc<Self> {
        let routing_key = traffic.sticky().map(RoutingKey::from);
        Arc::new(Self { traffic, routing_key, mirror, slots })
    }
}

impl Served {
    pub(super) fn new(endpoint: ServedEndpoint, host: Arc<dyn ModelHost>, metrics: Arc<Metrics>) -> Self {
        Self {
            name: endpoint.name,
            routing_key: endpoint.routing_key,
            access: RwLock::new(endpoint.access),
            mirror: RwLock::new(endpoint.mirror),
            host,
            view: RwLock::default(),
            condition: Mutex::default(),
            refreshing: tokio::sync::Mutex::new(()),
            metrics,
        }
    }

    pub(super) fn admits(&self, authorization: Option<&str>) -> bool {
        self.access.read().unwrap_or_else(PoisonError::into_inner).admits(authorization)
    }

    pub(super) fn is_open(&self) -> bool {
        self.access.read().unwrap_or_else(PoisonError::into_inner).is_open()
    }

    pub(super) fn set_access(&self, access: Access) {
        write(&self.access, access);
    }

    pub(super) fn set_mirror(&self, mirror: ServedMirror) {
        write(&self.mirror, mirror);
    }

    pub(super) fn view(&self) -> Arc<View> {
        read(&self.view)
    }

    /// How callers are told apart as long as the view is as it is.
    pub(super) fn routing_key<'a>(&'a self, view: &'a View) -> &'a RoutingKey {
        view.routing_key.as_ref().unwrap_or(&self.routing_key)
    }

    /// Whether requests are answered.
    pub(super) fn is_ready(&self) -> bool {
        !self.view().traffic.is_none()
    }

    /// Whether what is served is not what the deployer says, or not all of it could be loaded.
    pub(super) fn is_degraded(&self) -> bool {
        let condition = lock(&self.condition);
        condition.behind.is_some() || !condition.unloadable.is_empty()
    }

    /// Looks at the deployer, loads what is new and serves it as a whole.
    ///
    /// New traffic is served when everybody who has some is loaded; until then the old traffic is.
    pub(super) async fn refresh(&self) -> Result<()> {
        let _alone = self.refreshing.lock().await;
        let answer = self.look().await;
        let mut condition = lock(&self.condition);
        condition.refreshed = Some(Instant::now());
        match answer {
            Ok(behind) => condition.behind = behind,
            Err(e) => {
                condition.behind = Some(e.kind());
                return Err(e);
            }
        }
        Ok(())
    }

    async fn look(&self) -> Result<Option<ErrorKind>> {
        let (traffic, mirror, deployments) = self.consistent().await?;
        let old = self.view();
        // Those that are gone make room; those who have the old traffic are counted as long as they have it.
        let has_traffic = |name: &DeploymentName| old.traffic.share(name) != Percent::ZERO;
        self.metrics.retain(&self.name, |name| deployments.contains_key(name) || has_traffic(name));
        let mut slots = BTreeMap::new();
        for (name, deployment) in &deployments {
            if deployment.state != State::Ready {
                continue;
            }
            let known = old.slots.get(name).filter(|slot| slot.deployment == *deployment);
            let slot = match known {
                Some(slot) => Some(self.counted(name, slot)),
                None => self.load(name, deployment).await,
            };
            slots.extend(slot.map(|slot| (name.clone(), slot)));
        }
        lock(&self.condition).unloadable.retain(|name, _| deployments.contains_key(name));
        if traffic.shares().all(|(name, _)| slots.contains_key(name)) {
            write(&self.view, View::new(traffic, mirror, slots));
            return Ok(None);
        }
        // Those who have the old traffic go on, also when they were deleted since.
        for (name, _) in old.traffic.shares() {
            if let (false, Some(slot)) = (slots.contains_key(name), old.slots.get(name)) {
                slots.insert(name.clone(), slot.clone());
            }
        }
        write(&self.view, View::new(old.traffic.clone(), mirror, slots));
        Ok(Some(ErrorKind::Corrupt))
    }

    /// Traffic and deployments that belong together: between the two questions both may change.
    async fn consistent(
        &self,
    ) -> Result<(TrafficSplit, Option<Mirror>, BTreeMap<DeploymentName, Deployment>)> {
        for _ in 0..8 {
            let before = self.host.endpoint(&self.name).await?;
            let deployments = self.host.deployments(&self.name).await?;
            if before.traffic.shares().all(|(name, _)| deployments.contains_key(name)) {
                return Ok((before.traffic, before.mirror, deployments));
            }
        }
        Err(Error::new(ErrorKind::Conflict, "Server::refresh", "the endpoint changes all the time"))
    }

    /// A deployment that is known, counted apart as soon as there is room.
    fn counted(&self, name: &DeploymentName, slot: &Arc<Slot>) -> Arc<Slot> {
        if !self.metrics.has_room_for(&slot.metrics) {
            return slot.clone();
        }
        let (deployment, model) = (slot.deployment.clone(), slot.model.clone());
        let row_nanos = AtomicU64::new(slot.row_nanos.load(Relaxed));
        let metrics = self.metrics.deployment(&self.name, name);
        Arc::new(Slot { deployment, model, metrics, row_nanos })
    }

    /// Loads a deployment; one that could not be loaded is tried again, later each time.
    async fn load(&self, name: &DeploymentName, deployment: &Deployment) -> Option<Arc<Slot>> {
        let failed = lock(&self.condition).unloadable.get(name).cloned();
        let failed = failed.filter(|failed| failed.deployment == *deployment);
        if failed.as_ref().is_some_and(|failed| Instant::now() < failed.again) {
            return None;
        }
        match self.host.model(&self.name, name).await {
            Ok(model) => {
                lock(&self.condition).unloadable.remove(name);
                let metrics = self.metrics.deployment(&self.name, name);
                let (deployment, row_nanos) = (deployment.clone(), AtomicU64::new(0));
                Some(Arc::new(Slot { deployment, model, metrics, row_nanos }))
            }
            Err(e) => {
                let attempts = failed.map_or(1, |failed| failed.attempts.saturating_add(1));
                let again = Instant::now() + AGAIN.most(attempts);
                let failed = Unloadable { deployment: deployment.clone(), kind: e.kind(), attempts, again };
                lock(&self.condition).unloadable.insert(name.clone(), failed);
                None
            }
        }
    }

    /// The deployment of a name. One that is not known is looked for at the deployer, at most every 10 ms: it may be new.
    pub(super) async fn slot(&self, name: &str) -> Result<Arc<Slot>, Failure> {
        let unknown = || {
            Failure::new(Code::UnknownDeployment, "the endpoint has no such deployment")
                .quoting("deployment", name)
        };
        let Ok(wanted) = DeploymentName::new(name) else { return Err(unknown()) };
        if let Some(slot) = self.view().slots.get(&wanted) {
            return Ok(slot.clone());
        }
        let recently = |at: Instant| at.elapsed() < Duration::from_millis(10);
        if !lock(&self.condition).refreshed.is_some_and(recently) {
            // Where it fails, what is known is known.
            let _failed = self.refresh().await;
        }
        if let Some(slot) = self.view().slots.get(&wanted) {
            return Ok(slot.clone());
        }
        if lock(&self.condition).unloadable.contains_key(&wanted) {
            let failure = Failure::new(Code::NotReady, "the deployment could not be loaded").retry_after(5);
            return Err(failure.with("deployment", wanted.as_str()));
        }
        Err(unknown())
    }

    /// The deployment of a version in the Open Inference Protocol: its name, else the first that serves the model's version.
    pub(super) async fn version(&self, version: &str) -> Result<Arc<Slot>, Failure> {
        let unknown = match self.slot(version).await {
            Err(failure) if failure.code == Code::UnknownDeployment => failure,
            answer => return answer,
        };
        let number = version.parse::<u64>().ok().and_then(Version::new);
        let view = self.view();
        let serves = |slot: &&Arc<Slot>| Some(slot.deployment.spec.version) == number;
        view.slots.values().find(serves).cloned().ok_or(unknown)
    }

    /// Who answers a caller.
    pub(super) fn route(&self, key: &str) -> Result<Arc<Slot>, Failure> {
        let view = self.view();
        let chosen = view.traffic.route(view.traffic.salt(&self.name), key, None);
        if let Some(slot) = chosen.and_then(|name| view.slots.get(name)) {
            return Ok(slot.clone());
        }
        if self.is_degraded() || lock(&self.condition).refreshed.is_none() {
            return Err(Failure::new(Code::NotReady, "the endpoint is not ready").retry_after(1));
        }
        Err(Failure::new(Code::NoTraffic, "no deployment of the endpoint has traffic"))
    }

    /// The shadow of a request that `live` answers, if it has one.
    pub(super) fn shadow(&self, key: &str, live: &Slot) -> Option<Arc<Slot>> {
        let view = self.view();
        let own = read(&self.mirror);
        let mirror = own.or(view.mirror.as_ref())?;
        if mirror.deployment == live.deployment.spec.name || !mirror.takes(key) {
            return None;
        }
        view.slots.get(&mirror.deployment).cloned()
    }

    /// Every deployment, loaded or not, for metrics.
    pub(super) fn states(&self) -> Vec<DeploymentState> {
        let view = self.view();
        let state = |deployment: &DeploymentName, loaded: bool| DeploymentState {
            endpoint: self.name.clone(),
            deployment: deployment.clone(),
            loaded,
            share: view.traffic.share(deployment).get(),
        };
        let loaded = view.slots.keys().map(|name| state(name, true));
        let condition = lock(&self.condition);
        let failed = condition.unloadable.keys().filter(|name| !view.slots.contains_key(*name));
        loaded.chain(failed.map(|name| state(name, false))).collect()
    }

    /// What health tells to whoever may know.
    pub(super) fn describe(&self) -> serde_json::Value {
        let view = self.view();
        let mut deployments: Vec<serde_json::Value> = view
            .slots
            .iter()
            .map(|(name, slot)| {
                serde_json::json!({
                    "name": name,
                    "model": slot.deployment.spec.model,
                    "version": slot.deployment.spec.version,
                    "traffic": view.traffic.share(name).get(),
                    "state": "loaded",
                })
            })
            .collect();
        let condition = lock(&self.condition);
        deployments.extend(
            condition.unloadable.iter().filter(|(name, _)| !view.slots.contains_key(*name)).map(
                |(name, failed)| {
                    serde_json::json!({
                        "name": name,
                        "model": failed.deployment.spec.model,
                        "version": failed.deployment.spec.version,
                        "traffic": view.traffic.share(name).get(),
                        "state": "failed",
                        "reason": failed.kind.as_str(),
                        "attempts": failed.attempts,
                    })
                },
            ),
        );
        let behind = condition.behind.map(ErrorKind::as_str);
        serde_json::json!({ "name": self.name, "behind": behind, "deployments": deployments })
    }
}
