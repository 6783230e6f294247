//! The deployer in memory.

#[cfg(feature = "serve")]
mod host;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::artifact::ArtifactStore;
use crate::deploy::serving::{self, Change, Models};
use crate::deploy::{
    Deployer, DeployerCapabilities, Deployment, DeploymentSpec, Endpoint, EndpointSpec, InvokeRequest,
    InvokeResponse, MirrorChange, Observers, OperationStats, RequestObserver, TrafficChange,
};
use crate::error::Result;
use crate::id::{DeploymentName, EndpointName, IdempotencyKey, check_tags};
use crate::model::{ModelLoader, Predictor};
use crate::page::pager::Pager;
use crate::page::{Page, PageRequest};
use crate::registry::ModelRegistry;
use crate::time::{Clock, lock};

/// Endpoints in memory: models are loaded into this process and asked on the caller's thread.
///
/// `deploy` fetches the version from the registry, reads its model with [`read_model`](crate::model::read_model), loads it
/// with the loader and checks that the model takes and answers what it was registered with. Where the registry keeps lineage,
/// the deployment is linked to its model version.
///
/// Routing is by [`TrafficSplit::route`](crate::deploy::TrafficSplit::route) with the salt of the split, else the endpoint's name, and the fixed, alphabetical order of deployments.
/// With a fixed order, raising the share of one deployment only ever moves callers to it, whichever deployment that is, and
/// lowering it again moves the same callers back. Requests without a key are counted, and routed by their number.
///
/// A shadow is asked on the caller's thread too, once the answer is there: who asks waits for it, and its time is in no latency but
/// its own.
///
/// A predictor that panics answers [`ErrorKind::Internal`](crate::ErrorKind::Internal) to that one request and takes nothing
/// else down, as does one that answers NaN or too few rows; all of them count as failures. Latency is measured by the clock's
/// monotonic time, and only requests that were answered count towards it.
///
/// ```
/// # use std::sync::Arc;
/// # use mlops_core::artifact::ArtifactStoreExt as _;
/// # use mlops_core::data::{Column, Table};
/// use mlops_core::deploy::{Deployer, DeploymentSpec, EndpointSpec, InvokeRequest, TrafficChange, TrafficSplit};
/// use mlops_core::memory::{MemoryArtifactStore, MemoryDeployer, MemoryModelRegistry};
/// # use mlops_core::model::{ModelFormat, Predictor as _};
/// use mlops_core::registry::{ModelRegistry, NewModelVersion};
/// # use mlops_core::problem::Task;
/// use mlops_core::serve::{BuiltinLoader, ConstantPredictor};
/// # use mlops_core::time::SystemClock;
/// # use mlops_core::{ActorId, DeploymentName, EndpointName, IdempotencyKey, ModelName};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let clock = Arc::new(SystemClock::new());
/// let artifacts = Arc::new(MemoryArtifactStore::default());
/// let registry = Arc::new(MemoryModelRegistry::new(artifacts.clone(), clock.clone()));
/// let deployer = MemoryDeployer::new(registry.clone(), artifacts.clone(), Arc::new(BuiltinLoader), clock);
///
/// // A registered model: here the prior of the positive class.
/// let (me, model) = (ActorId::new("release")?, ModelName::new("prior")?);
/// let prior = ConstantPredictor::new(Task::BinaryClassification, 0.25)?;
/// let blob = artifacts.put_bytes(prior.to_bytes()?).await?;
/// let format = ModelFormat::new("mlops.constant/v1")?;
/// let spec = NewModelVersion::new(model.clone(), blob.digest, format, prior.signature().clone(), me.clone());
/// let version = registry.register(&spec).await?.version;
///
/// // Deployed without traffic, then given all of it.
/// let (endpoint, blue) = (EndpointName::new("diabetes")?, DeploymentName::new("blue")?);
/// deployer.ensure_endpoint(&EndpointSpec::new(endpoint.clone(), me.clone())).await?;
/// deployer.deploy(&DeploymentSpec::new(endpoint.clone(), blue.clone(), model, version, me.clone())).await?;
/// let (key, split) = (IdempotencyKey::generate(), TrafficSplit::all_to(blue));
/// let change = TrafficChange::new(endpoint.clone(), split, me).with_key(key).expecting(0);
/// deployer.set_traffic(&change).await?;
///
/// let rows = Table::new(vec![Column::f64("age", vec![59.0, 48.0])?])?;
/// let request = InvokeRequest::new(endpoint, &rows).with_routing_key("user-7".to_owned());
/// assert_eq!(deployer.invoke(&request).await?.predictions.as_slice(), [0.25, 0.25]);
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MemoryDeployer {
    models: Models,
    clock: Arc<dyn Clock>,
    observers: Observers,
    pager: Pager,
    /// Held by `deploy` from its first look to its last write, across the reading of the model: of two that make the same
    /// deployment, the second finds it made.
    deploying: futures_util::lock::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    endpoints: BTreeMap<EndpointName, Served>,
    /// Changes of traffic and mirrors that were made, with the endpoint as it was after each.
    changes: HashMap<IdempotencyKey, (Change, Endpoint)>,
}

struct Served {
    endpoint: Endpoint,
    deployments: BTreeMap<DeploymentName, Live>,
    /// Counts requests without a routing key.
    keyless: u64,
}

/// A deployment that answers. Cloned out of the lock for the time of a request, so that a slow model blocks nobody.
#[derive(Clone, Debug)]
struct Live {
    deployment: Deployment,
    predictor: Arc<dyn Predictor>,
    stats: Arc<Mutex<OperationStats>>,
}

impl MemoryDeployer {
    /// The most bytes a model may have: 1 GiB.
    pub const MAX_MODEL: usize = serving::MAX_MODEL;

    /// A deployer of the models in `registry`, whose content lies in `artifacts` and is understood by `loader`.
    pub fn new(
        registry: Arc<dyn ModelRegistry>,
        artifacts: Arc<dyn ArtifactStore>,
        loader: Arc<dyn ModelLoader>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            models: Models { registry, artifacts, loader },
            clock,
            observers: Observers::default(),
            pager: Pager::new(),
            deploying: futures_util::lock::Mutex::new(()),
            state: Mutex::default(),
        }
    }

    /// Tells `observer` of every request that [`invoke`](Deployer::invoke) brings to a deployment. What comes through a server
    /// is told by the server.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn RequestObserver>) -> Self {
        self.observers.add(observer);
        self
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
        self.endpoints.get_mut(name).ok_or_else(|| serving::no_endpoint(operation, name))
    }
}

impl Served {
    fn live(&self, operation: &'static str, name: &DeploymentName) -> Result<&Live> {
        let live = self.deployments.get(name);
        live.ok_or_else(|| serving::no_deployment(operation, &self.endpoint.name, name))
    }

    /// The deployment of a spec, if it was made; a conflict if another has its name.
    fn existing(&self, spec: &DeploymentSpec) -> Result<Option<Deployment>> {
        let Some(live) = self.deployments.get(&spec.name) else { return Ok(None) };
        serving::check_same(&live.deployment, spec)?;
        Ok(Some(live.deployment.clone()))
    }

    /// Who answers a request, and the shadow that is asked too.
    fn choose(&mut self, request: &InvokeRequest<'_>) -> Result<(Live, Option<Live>)> {
        let keyless = &mut self.keyless;
        let chosen = serving::choose(&self.endpoint, request, || {
            *keyless = keyless.wrapping_add(1);
            *keyless
        })?;
        let shadow = chosen.shadow.and_then(|name| self.deployments.get(name)).cloned();
        Ok((self.live("Deployer::invoke", chosen.live)?.clone(), shadow))
    }
}

impl MemoryDeployer {
    /// Makes a change of traffic or mirror, once.
    fn change(&self, change: Change) -> Result<Endpoint> {
        let mut state = lock(&self.state);
        if let Some((made, endpoint)) = state.changes.get(change.key()) {
            serving::check_repeated(made, &change)?;
            return Ok(endpoint.clone());
        }
        let served = state.served(change.operation(), change.endpoint())?;
        let endpoint = change.applied_to(served.endpoint.clone())?;
        for name in change.deployments() {
            serving::check_ready(&served.live(change.operation(), name)?.deployment)?;
        }
        served.endpoint = endpoint.clone();
        state.changes.insert(change.key().clone(), (change, endpoint.clone()));
        Ok(endpoint)
    }

    fn ask(&self, live: &Live, request: &InvokeRequest<'_>, shadow: bool) -> Result<InvokeResponse> {
        let (answer, latency) = serving::ask(&live.predictor, request.rows, &self.clock);
        serving::count(&mut lock(&live.stats), &answer, latency);
        let spec = &live.deployment.spec;
        serving::tell(&self.observers, spec, shadow, &answer, latency, &self.clock);
        serving::respond(spec, answer, latency)
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
        let version = self.models.version(spec).await?;
        let predictor = self.models.load(OP, &version).await?;
        // The edge comes before the deployment: if it cannot be kept, there is no deployment without an origin.
        self.models.link(spec).await?;
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
        self.change(Change::Traffic(change.clone()))
    }

    async fn set_mirror(&self, change: &MirrorChange) -> Result<Endpoint> {
        self.change(Change::Mirror(change.clone()))
    }

    async fn delete_deployment(&self, endpoint: &EndpointName, deployment: &DeploymentName) -> Result<()> {
        const OP: &str = "Deployer::delete_deployment";
        self.with_served(OP, endpoint, |served| {
            serving::check_unused(&served.endpoint, deployment)?;
            served.deployments.remove(deployment);
            Ok(())
        })
    }

    async fn invoke(&self, request: &InvokeRequest<'_>) -> Result<InvokeResponse> {
        let (live, shadow) =
            self.with_served("Deployer::invoke", &request.endpoint, |served| served.choose(request))?;
        let answer = self.ask(&live, request, false);
        if let Some(shadow) = shadow {
            // What a shadow answers is nobody's.
            let _dropped = self.ask(&shadow, request, true);
        }
        answer
    }

    async fn stats(&self, endpoint: &EndpointName, deployment: &DeploymentName) -> Result<OperationStats> {
        const OP: &str = "Deployer::stats";
        self.with_served(OP, endpoint, |served| Ok(*lock(&served.live(OP, deployment)?.stats)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::artifact::ArtifactStoreExt as _;
    use crate::conformance::deployer::DeployerUnderTest;
    use crate::data::{Column, DataType, Table};
    use crate::deploy::TrafficSplit;
    use crate::error::{Error, ErrorKind};
    use crate::hash::Digest;
    use crate::id::{ActorId, Alias, ModelName, Percent, RelPath, Tags, Version};
    use crate::memory::{MemoryArtifactStore, MemoryModelRegistry};
    use crate::model::{Feature, ModelFormat, Predictions, Signature};
    use crate::problem::Task;
    use crate::registry::{
        AliasChange, AliasRecord, Direction, Edge, LineageGraph, ModelRef, ModelVersion, NewModelVersion,
        Node, Promotion, RegistryCapabilities, RegistryEvent,
    };
    use crate::time::ManualClock;

    /// A registry of what is put into it, with lineage.
    #[derive(Debug, Default)]
    struct Shelf {
        versions: Mutex<Vec<ModelVersion>>,
        edges: Mutex<Vec<Edge>>,
        broken_links: bool,
    }

    fn unused<T>() -> Result<T> {
        Err(Error::unsupported("ModelRegistry", "not needed here"))
    }

    #[async_trait]
    impl ModelRegistry for Shelf {
        fn capabilities(&self) -> RegistryCapabilities {
            RegistryCapabilities {
                compare_and_set: false,
                alias_history: false,
                lineage: true,
                events: false,
            }
        }

        async fn register(&self, version: &NewModelVersion) -> Result<ModelVersion> {
            let mut versions = lock(&self.versions);
            let earlier = versions.iter().filter(|v| v.spec.model == version.model).count() as u64;
            let number = Version::new(earlier + 1).unwrap();
            versions.push(ModelVersion::new(version.clone(), number, chrono::DateTime::UNIX_EPOCH));
            Ok(versions[versions.len() - 1].clone())
        }

        async fn get(&self, reference: &ModelRef) -> Result<ModelVersion> {
            let versions = lock(&self.versions);
            let found = versions.iter().find(|v| v.reference() == *reference);
            found.cloned().ok_or_else(|| Error::not_found("ModelRegistry::get", "model version", reference))
        }

        async fn versions(&self, _: &ModelName, _: &PageRequest) -> Result<Page<ModelVersion>> {
            unused()
        }

        async fn models(&self, _: &PageRequest) -> Result<Page<ModelName>> {
            unused()
        }

        async fn set_alias(&self, _: &AliasChange) -> Result<AliasRecord> {
            unused()
        }

        async fn promote(&self, _: &Promotion) -> Result<AliasRecord> {
            unused()
        }

        async fn aliases(&self, _: &ModelName) -> Result<Vec<(Alias, Version)>> {
            unused()
        }

        async fn alias_history(
            &self,
            _: &ModelName,
            _: &Alias,
            _: &PageRequest,
        ) -> Result<Page<AliasRecord>> {
            unused()
        }

        async fn set_tags(&self, _: &ModelName, _: Version, _: &Tags, _: &ActorId) -> Result<ModelVersion> {
            unused()
        }

        async fn set_archived(
            &self,
            _: &ModelName,
            _: Version,
            _: bool,
            _: &ActorId,
        ) -> Result<ModelVersion> {
            unused()
        }

        async fn link(&self, edge: &Edge) -> Result<()> {
            if self.broken_links {
                return Err(Error::new(ErrorKind::Storage, "ModelRegistry::link", "no space left"));
            }
            let mut edges = lock(&self.edges);
            if !edges.contains(edge) {
                edges.push(edge.clone());
            }
            Ok(())
        }

        async fn lineage(&self, node: &Node, direction: Direction, depth: u32) -> Result<LineageGraph> {
            Ok(LineageGraph::reach(&lock(&self.edges), node, direction, depth))
        }

        async fn events(&self, _: u64, _: usize) -> Result<Vec<RegistryEvent>> {
            unused()
        }
    }

    /// Answers `w · age`, or misbehaves in the way its bytes say.
    #[derive(Debug)]
    struct Scaled {
        signature: Signature,
        weight: f64,
        fault: String,
    }

    fn signature() -> Signature {
        Signature::new(Task::Regression, vec![Feature::required("age", DataType::F64)])
    }

    impl Predictor for Scaled {
        fn signature(&self) -> &Signature {
            &self.signature
        }

        fn predict(&self, rows: &Table<'_>) -> Result<Predictions> {
            let ages = rows.column("age")?.to_f64()?;
            match self.fault.as_str() {
                "panics" => panic!("this model panics"),
                "fails" => Err(Error::new(ErrorKind::Storage, "predict", "the weights are gone")),
                "forgets" => Ok(Predictions::Value(Vec::new())),
                "nan" => Ok(Predictions::Value(vec![f64::NAN; ages.len()])),
                _ => Predictions::value(ages.iter().map(|age| age * self.weight).collect()),
            }
        }
    }

    /// Reads `WEIGHT FAULT`.
    #[derive(Debug)]
    struct ScaledLoader;

    impl ModelLoader for ScaledLoader {
        fn load(&self, format: &ModelFormat, bytes: &[u8]) -> Result<Arc<dyn Predictor>> {
            const OP: &str = "ModelLoader::load";
            if format.as_str() != "test.scaled/v1" {
                return Err(Error::unsupported(OP, "model format"));
            }
            let corrupt = || Error::new(ErrorKind::Corrupt, OP, "is not a scaled model");
            let text = std::str::from_utf8(bytes).map_err(|e| corrupt().with_source(e))?;
            assert!(text != "loader panics");
            let (weight, fault) = text.split_once(' ').ok_or_else(corrupt)?;
            let weight = weight.parse::<f64>().map_err(|e| corrupt().with_source(e))?;
            Ok(Arc::new(Scaled { signature: signature(), weight, fault: fault.to_owned() }))
        }
    }

    struct World {
        registry: Arc<Shelf>,
        artifacts: Arc<MemoryArtifactStore>,
        deployer: Arc<MemoryDeployer>,
    }

    fn model(name: &str) -> ModelName {
        ModelName::new(name).unwrap()
    }

    fn actor() -> ActorId {
        ActorId::new("release").unwrap()
    }

    impl World {
        fn new(registry: Shelf) -> Self {
            let (registry, artifacts) = (Arc::new(registry), Arc::new(MemoryArtifactStore::default()));
            let clock = Arc::new(ManualClock::at(chrono::DateTime::UNIX_EPOCH));
            let deployer =
                MemoryDeployer::new(registry.clone(), artifacts.clone(), Arc::new(ScaledLoader), clock);
            Self { registry, artifacts, deployer: Arc::new(deployer) }
        }

        async fn register(&self, name: &str, format: &str, artifact: Digest) -> Version {
            let format = ModelFormat::new(format).unwrap();
            let spec = NewModelVersion::new(model(name), artifact, format, signature(), actor());
            self.registry.register(&spec).await.unwrap().version
        }

        async fn put(&self, name: &str, content: &str) -> Version {
            let blob = self.artifacts.put_bytes(content.to_owned()).await.unwrap();
            self.register(name, "test.scaled/v1", blob.digest).await
        }

        fn spec(&self, endpoint: &str, name: &str, model_name: &str) -> DeploymentSpec {
            let endpoint = EndpointName::new(endpoint).unwrap();
            let name = DeploymentName::new(name).unwrap();
            DeploymentSpec::new(endpoint, name, model(model_name), Version::FIRST, actor())
        }
    }

    fn ages(ages: Vec<f64>) -> Table<'static> {
        Table::new(vec![Column::f64("age", ages).unwrap()]).unwrap()
    }

    async fn fresh(wrap: impl FnOnce(Arc<MemoryDeployer>) -> Arc<dyn Deployer>) -> DeployerUnderTest {
        let world = World::new(Shelf::default());
        let versions = [world.put("scaled", "2 ok").await, world.put("scaled", "3 ok").await];
        let text = Table::new(vec![Column::text("age", ["old", "young"]).unwrap()]).unwrap();
        let mut under = DeployerUnderTest::new(
            wrap(world.deployer.clone()),
            model("scaled"),
            versions,
            ages(vec![59.0, 48.0]),
        )
        .with_lineage(world.registry.clone())
        .with_bad_rows(text);
        for (name, content) in [("corrupt", "nonsense"), ("panicking", "loader panics")] {
            under = under.with_broken(model(name), world.put(name, content).await);
        }
        let damaged = world.artifacts.put_bytes("4 ok").await.unwrap().digest;
        world.artifacts.damage(&damaged);
        for (name, format, digest) in [
            ("damaged", "test.scaled/v1", damaged),
            ("missing", "test.scaled/v1", Digest::of(b"nowhere")),
            ("unknown", "test.other/v1", world.artifacts.put_bytes("5 ok").await.unwrap().digest),
        ] {
            under = under.with_broken(model(name), world.register(name, format, digest).await);
        }
        for fault in ["panics", "fails", "forgets", "nan"] {
            under = under.with_failing(model(fault), world.put(fault, &format!("1 {fault}")).await);
        }
        under
    }

    crate::deployer_suite!(plain, fresh(|deployer| deployer).await);
    crate::deployer_suite!(in_an_arc, fresh(|deployer| Arc::new(deployer as Arc<dyn Deployer>)).await);
    crate::deployer_suite!(in_a_box, fresh(|d| Arc::new(Box::new(d) as Box<dyn Deployer>)).await);

    /// The same with the registry of this module.
    async fn beside_the_memory_registry() -> DeployerUnderTest {
        let clock = Arc::new(ManualClock::at(chrono::DateTime::UNIX_EPOCH));
        let artifacts = Arc::new(MemoryArtifactStore::default());
        let registry = Arc::new(MemoryModelRegistry::new(artifacts.clone(), clock.clone()));
        let loader = Arc::new(ScaledLoader);
        let deployer = MemoryDeployer::new(registry.clone(), artifacts.clone(), loader, clock);
        let register = async |name: &str, content: &str| {
            let blob = artifacts.put_bytes(content.to_owned()).await.unwrap();
            let format = ModelFormat::new("test.scaled/v1").unwrap();
            let spec = NewModelVersion::new(model(name), blob.digest, format, signature(), actor());
            (blob.digest, registry.register(&spec).await.unwrap().version)
        };
        let versions = [register("scaled", "2 ok").await.1, register("scaled", "3 ok").await.1];
        let (digest, damaged) = register("damaged", "4 ok").await;
        artifacts.damage(&digest);
        let rows = ages(vec![59.0, 48.0]);
        DeployerUnderTest::new(Arc::new(deployer), model("scaled"), versions, rows)
            .with_broken(model("damaged"), damaged)
            .with_lineage(registry)
    }

    crate::deployer_suite!(with_the_memory_registry, beside_the_memory_registry().await);

    async fn ask(world: &World, endpoint: &str, rows: &Table<'_>) -> Result<InvokeResponse> {
        let endpoint = EndpointName::new(endpoint).unwrap();
        let deployment = Some(DeploymentName::new("blue").unwrap());
        world.deployer.invoke(&InvokeRequest { endpoint, deployment, routing_key: None, rows }).await
    }

    async fn endpoint(world: &World, name: &str) {
        let spec = EndpointSpec::new(EndpointName::new(name).unwrap(), actor());
        world.deployer.ensure_endpoint(&spec).await.unwrap();
    }

    #[tokio::test]
    async fn models_in_trees_are_found_and_answer() {
        let world = World::new(Shelf::default());
        endpoint(&world, "tree").await;
        let files = [
            (RelPath::new("model").unwrap(), "2 ok".into()),
            (RelPath::new("notes/README.md").unwrap(), "how it was made".into()),
        ];
        let (tree, manifest) = world.artifacts.put_files(&files).await.unwrap();
        world.register("in-a-tree", "test.scaled/v1", tree.digest).await;
        let made = world.deployer.deploy(&world.spec("tree", "blue", "in-a-tree")).await.unwrap();
        assert_eq!(made.artifact, tree.digest);
        let answer = ask(&world, "tree", &ages(vec![1.0, 2.0])).await.unwrap();
        assert_eq!(answer.predictions.as_slice(), [2.0, 4.0]);
        // Once loaded, what becomes of the store does no harm; deploying it again does look.
        world.artifacts.damage(&manifest.get(&RelPath::new("notes/README.md").unwrap()).unwrap().digest);
        assert!(ask(&world, "tree", &ages(vec![1.0])).await.is_ok());
        let error = world.deployer.deploy(&world.spec("tree", "green", "in-a-tree")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity);
    }

    #[tokio::test]
    async fn a_model_that_takes_something_else_than_registered_is_not_deployed() {
        let world = World::new(Shelf::default());
        endpoint(&world, "skewed").await;
        let blob = world.artifacts.put_bytes("2 ok").await.unwrap();
        let other = Signature::new(Task::Regression, vec![Feature::required("weight", DataType::F64)]);
        let format = ModelFormat::new("test.scaled/v1").unwrap();
        let spec = NewModelVersion::new(model("skewed"), blob.digest, format, other, actor());
        world.registry.register(&spec).await.unwrap();
        let error = world.deployer.deploy(&world.spec("skewed", "blue", "skewed")).await.unwrap_err();
        assert_eq!((error.kind(), error.context("model")), (ErrorKind::Corrupt, Some("skewed")));
    }

    #[tokio::test]
    async fn a_deployment_whose_origin_cannot_be_kept_is_not_made() {
        let world = World::new(Shelf { broken_links: true, ..Shelf::default() });
        endpoint(&world, "unlinked").await;
        world.put("scaled", "2 ok").await;
        let spec = world.spec("unlinked", "blue", "scaled");
        assert_eq!(world.deployer.deploy(&spec).await.unwrap_err().kind(), ErrorKind::Storage);
        assert!(world.deployer.deployments(&spec.endpoint).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn errors_name_the_deployment_and_not_the_rows() {
        let world = World::new(Shelf::default());
        endpoint(&world, "failing").await;
        world.put("panics", "1 panics").await;
        world.deployer.deploy(&world.spec("failing", "blue", "panics")).await.unwrap();
        let error = ask(&world, "failing", &ages(vec![59.25])).await.unwrap_err();
        assert_eq!((error.kind(), error.context("deployment")), (ErrorKind::Internal, Some("blue")));
        assert!(!format!("{error:?}").contains("59.25"), "{error:?}");
    }

    /// What somebody may do to an endpoint.
    #[derive(Clone, Debug)]
    enum Step {
        Deploy(usize),
        Delete(usize),
        Traffic(Vec<u8>, bool),
        Invoke(Option<u8>),
    }

    const NAMES: [&str; 4] = ["amber", "blue", "green", "red"];

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..NAMES.len()).prop_map(Step::Deploy),
            (0..NAMES.len()).prop_map(Step::Delete),
            (prop::collection::vec(0..=100_u8, 1..=NAMES.len()), any::<bool>())
                .prop_map(|(shares, stale)| Step::Traffic(shares, stale)),
            prop::option::of(any::<u8>()).prop_map(Step::Invoke),
        ]
    }

    /// Shares that sum to 100, from numbers that need not.
    fn shares(weights: &[u8]) -> TrafficSplit {
        let mut rest = 100;
        let mut parts = Vec::new();
        for (i, weight) in weights.iter().enumerate() {
            let share = if i + 1 == weights.len() { rest } else { rest.min(*weight) };
            parts.push((DeploymentName::new(NAMES[i]).unwrap(), Percent::new(share).unwrap()));
            rest -= share;
        }
        TrafficSplit::new(parts).unwrap()
    }

    async fn walk(steps: Vec<Step>) {
        let world = World::new(Shelf::default());
        world.put("scaled", "2 ok").await;
        endpoint(&world, "walked").await;
        let (name, rows) = (EndpointName::new("walked").unwrap(), ages(vec![1.0]));
        let mut answered = 0;
        for step in steps {
            let before = world.deployer.endpoint(&name).await.unwrap();
            match step {
                Step::Deploy(i) => {
                    world.deployer.deploy(&world.spec("walked", NAMES[i], "scaled")).await.unwrap();
                }
                Step::Delete(i) => {
                    let gone = DeploymentName::new(NAMES[i]).unwrap();
                    let result = world.deployer.delete_deployment(&name, &gone).await;
                    assert_eq!(result.is_ok(), before.traffic.share(&gone) == Percent::ZERO);
                }
                Step::Traffic(weights, stale) => {
                    let expected = Some(before.revision + u64::from(stale));
                    let (key, split) = (IdempotencyKey::generate(), shares(&weights));
                    let change =
                        TrafficChange { key, endpoint: name.clone(), split, expected, actor: actor() };
                    let made = world.deployer.set_traffic(&change).await;
                    assert!(!(stale && made.is_ok()));
                }
                Step::Invoke(key) => {
                    let routing_key = key.map(|key| key.to_string());
                    let request =
                        InvokeRequest { endpoint: name.clone(), deployment: None, routing_key, rows: &rows };
                    let answer = world.deployer.invoke(&request).await;
                    assert_eq!(answer.is_err(), before.traffic.is_none(), "{answer:?}");
                    if let Ok(answer) = answer {
                        assert!(before.traffic.share(&answer.deployment).get() > 0);
                        answered += 1;
                    }
                }
            }
            let after = world.deployer.endpoint(&name).await.unwrap();
            let there = world.deployer.deployments(&name).await.unwrap();
            let total: u8 = after.traffic.shares().map(|(_, share)| share.get()).sum();
            assert!(total == 100 || (total == 0 && after.traffic.is_none()), "{after:?}");
            assert!(after.traffic.shares().all(|(name, _)| there.contains_key(name)), "{after:?} {there:?}");
            assert!(after.revision == before.revision || after.revision == before.revision + 1);
        }
        let mut counted = 0;
        for deployment in world.deployer.deployments(&name).await.unwrap().keys() {
            counted += world.deployer.stats(&name, deployment).await.unwrap().requests;
        }
        assert!(counted <= answered, "deployments that were deleted took their counts with them");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn traffic_is_whole_and_answered_whatever_is_done(steps in prop::collection::vec(step(), 1..40)) {
            tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(walk(steps));
        }

        #[test]
        fn raising_one_share_moves_nobody_away_from_it(
            weights in prop::collection::vec(0..=60_u8, NAMES.len()),
            raised in 0..NAMES.len(),
            loser in 0..NAMES.len(),
            by in 1..=100_u8,
        ) {
            let before = shares(&weights);
            let name = |i: usize| DeploymentName::new(NAMES[i]).unwrap();
            let by = by.min(before.share(&name(loser)).get());
            prop_assume!(raised != loser && by > 0);
            let parts = (0..NAMES.len()).map(|i| {
                let share = before.share(&name(i)).get();
                let share = if i == raised { share + by } else if i == loser { share - by } else { share };
                (name(i), Percent::new(share).unwrap())
            });
            let after = TrafficSplit::new(parts).unwrap();
            for user in 0..200 {
                let key = user.to_string();
                if before.route("salt", &key, None) == Some(&name(raised)) {
                    prop_assert_eq!(after.route("salt", &key, None), Some(&name(raised)));
                }
            }
        }
    }
}
