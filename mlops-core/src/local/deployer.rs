//! The embedded deployer.

#[cfg(feature = "serve")]
mod host;
mod ledger;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::fs::File;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, Transaction};
use serde::{Deserialize, Serialize};

use self::ledger::Ledger;
use super::db::{Durability, failed};
use super::seal::{self, open, seal};
use super::sql;
use super::store::{Inner, LocalStore};
use super::verify::{FindingKind, Findings, gaps};
use crate::artifact::ArtifactStore;
use crate::deploy::serving::{self, Change, Models};
use crate::deploy::{
    Deployer, DeployerCapabilities, Deployment, DeploymentSpec, Endpoint, EndpointSpec, InvokeRequest,
    InvokeResponse, MirrorChange, Observers, OperationStats, RequestObserver, TrafficChange,
};
use crate::disk::blocking;
use crate::disk::{self, lock::Sharing};
use crate::error::Result;
use crate::id::{DeploymentName, EndpointName, IdempotencyKey, check_tags};
use crate::model::{ModelLoader, Predictor};
use crate::page::{Page, PageRequest};
use crate::registry::ModelRegistry;
use crate::time::lock;

/// Endpoints in a folder: kept in the store, answered by models that are loaded into this process.
///
/// Endpoints, deployments and traffic survive a power cut once a call returned, and everybody who has the store open sees a
/// change at their next call. A change of traffic is compare-and-set and idempotent by its key, in one transaction; every
/// change that was made stays in the store. A row that is not what was written is
/// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) and names itself; a registered version that is not what was deployed is
/// [`ErrorKind::Integrity`](crate::ErrorKind::Integrity).
///
/// A deployment refers to a model version, never to a file. `deploy` loads the model to see that it loads; any other process
/// loads it from the version's artifact when it is first asked, and both keep it in memory as long as the deployment is there.
///
/// # What each process does for itself
/// * Requests without a routing key are numbered by each deployer from 1; each meets the split on its own.
/// * Requests are counted in memory and written once a second, and when the last clone is dropped. `stats` gives what this
///   deployer counted and what others have written: their last second may be missing, nothing is ever counted twice. A process
///   that is killed loses the requests of its last second from the counts, and nothing else; the next one that counts adds what it
///   left to the sum of all that ended.
/// * Latency is measured by the clock's monotonic time; only requests that were answered count towards it.
///
/// A shadow is asked on the caller's task too, once the answer is there: who asks waits for it, and its time is in no latency but
/// its own.
///
/// `deploy` holds the file `deploy.lock` while it writes down a deployment and where it comes from, so that of two processes
/// that make the same deployment the second finds it made. The lock ends with its process.
///
/// ```
/// # use std::sync::Arc;
/// use mlops_core::artifact::ArtifactStoreExt as _;
/// # use mlops_core::data::{Column, Table};
/// use mlops_core::deploy::{Deployer, DeploymentSpec, EndpointSpec, InvokeRequest, TrafficChange, TrafficSplit};
/// use mlops_core::local::LocalStore;
/// # use mlops_core::model::{ModelFormat, Predictor as _};
/// use mlops_core::registry::{ModelRegistry, NewModelVersion};
/// # use mlops_core::problem::Task;
/// use mlops_core::serve::{BuiltinLoader, ConstantPredictor};
/// # use mlops_core::{ActorId, DeploymentName, EndpointName, IdempotencyKey, ModelName};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// # let folder = dir.path();
/// let store = LocalStore::open(folder)?;
/// let deployer = store.deployer(Arc::new(store.registry()), Arc::new(BuiltinLoader));
///
/// // A registered model: here the prior of the positive class.
/// let (me, model) = (ActorId::new("release")?, ModelName::new("prior")?);
/// let prior = ConstantPredictor::new(Task::BinaryClassification, 0.25)?;
/// let blob = store.artifacts().put_bytes(prior.to_bytes()?).await?;
/// let format = ModelFormat::new("mlops.constant/v1")?;
/// let spec = NewModelVersion::new(model.clone(), blob.digest, format, prior.signature().clone(), me.clone());
/// let version = store.registry().register(&spec).await?.version;
///
/// // Deployed without traffic, then given all of it.
/// let (endpoint, blue) = (EndpointName::new("diabetes")?, DeploymentName::new("blue")?);
/// deployer.ensure_endpoint(&EndpointSpec::new(endpoint.clone(), me.clone())).await?;
/// deployer.deploy(&DeploymentSpec::new(endpoint.clone(), blue.clone(), model, version, me.clone())).await?;
/// let (key, split) = (IdempotencyKey::generate(), TrafficSplit::all_to(blue));
/// let change = TrafficChange::new(endpoint.clone(), split, me).with_key(key).expecting(0);
/// deployer.set_traffic(&change).await?;
/// drop((deployer, store));
///
/// // Later, or in another process: it serves as it was left.
/// let store = LocalStore::open(folder)?;
/// let deployer = store.deployer(Arc::new(store.registry()), Arc::new(BuiltinLoader));
/// let rows = Table::new(vec![Column::f64("age", vec![59.0, 48.0])?])?;
/// let request = InvokeRequest::new(endpoint, &rows).with_routing_key("user-7".to_owned());
/// assert_eq!(deployer.invoke(&request).await?.predictions.as_slice(), [0.25, 0.25]);
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct LocalDeployer {
    handle: Arc<Handle>,
}

impl LocalStore {
    /// Deploys models of `registry` that `loader` understands; their content is read from this store.
    pub fn deployer(&self, registry: Arc<dyn ModelRegistry>, loader: Arc<dyn ModelLoader>) -> LocalDeployer {
        let store = self.inner().clone();
        let artifacts = Arc::new(store.artifacts.clone());
        LocalDeployer::new(store, Models { registry, artifacts, loader }, Observers::default())
    }
}

/// What all clones share, and what is done when the last of them goes.
struct Handle {
    store: Arc<Inner>,
    models: Models,
    observers: Observers,
    /// Held by `deploy` across the reading of the model, so that many that ask for the same load it once.
    deploying: futures_util::lock::Mutex<()>,
    endpoints: Mutex<HashMap<EndpointName, Arc<Snapshot>>>,
    /// Counts requests without a routing key.
    keyless: Mutex<HashMap<EndpointName, u64>>,
    ledger: Arc<Ledger>,
}

/// An endpoint and its deployments as they were at one moment.
struct Snapshot {
    generation: i64,
    endpoint: Endpoint,
    deployments: BTreeMap<DeploymentName, Arc<Live>>,
}

/// A deployment that can answer.
struct Live {
    id: i64,
    deployment: Deployment,
    predictor: futures_util::lock::Mutex<Option<Arc<dyn Predictor>>>,
}

/// An endpoint as it is in the database.
struct Found {
    generation: i64,
    endpoint: Endpoint,
    deployments: Vec<(i64, Deployment)>,
}

/// A change of traffic or mirror that was made, and the endpoint after it.
#[derive(Serialize, Deserialize)]
struct Made {
    change: Change,
    endpoint: Endpoint,
}

impl LocalDeployer {
    /// The most bytes a model may have: 1 GiB.
    pub const MAX_MODEL: usize = serving::MAX_MODEL;

    fn new(store: Arc<Inner>, models: Models, observers: Observers) -> Self {
        let ledger = Arc::new(Ledger::new(store.db.clone(), &store.root));
        let handle = Handle {
            store,
            models,
            observers,
            deploying: futures_util::lock::Mutex::new(()),
            endpoints: Mutex::default(),
            keyless: Mutex::default(),
            ledger,
        };
        Self { handle: Arc::new(handle) }
    }

    /// Reads the content of models from another store than this one: the one in which the registry finds it.
    #[must_use]
    pub fn with_artifacts(self, artifacts: Arc<dyn ArtifactStore>) -> Self {
        let models = Models { artifacts, ..self.handle.models.clone() };
        Self::new(self.handle.store.clone(), models, self.handle.observers.clone())
    }

    /// Tells `observer` of every request that [`invoke`](Deployer::invoke) of this deployer brings to a deployment. What comes
    /// through a server is told by the server.
    #[must_use]
    pub fn with_observer(self, observer: Arc<dyn RequestObserver>) -> Self {
        let mut observers = self.handle.observers.clone();
        observers.add(observer);
        Self::new(self.handle.store.clone(), self.handle.models.clone(), observers)
    }
}

impl fmt::Debug for LocalDeployer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalDeployer").field("folder", &self.handle.store.root).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // What was written before is there; a destructor has nobody to tell about the rest.
        let _failed = self.ledger.close();
    }
}

impl Handle {
    async fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.store.db.read(operation, work).await
    }

    async fn write<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.store.db.write(operation, Durability::Power, work).await
    }

    /// The deployment of a spec, if it was made; a conflict if another has its name.
    async fn existing(&self, spec: &DeploymentSpec) -> Result<Option<Deployment>> {
        let spec = spec.clone();
        self.read("Deployer::deploy", move |connection| existing(connection, &spec)).await
    }

    /// An endpoint as it is now: the one in memory, if nobody has changed it since.
    async fn snapshot(&self, operation: &'static str, name: &EndpointName) -> Result<Arc<Snapshot>> {
        let known = lock(&self.endpoints).get(name).cloned();
        let (wanted, generation) = (name.clone(), known.as_ref().map(|known| known.generation));
        let found = self.read(operation, move |c| find_newer(operation, c, &wanted, generation)).await?;
        Ok(match (known, found) {
            (Some(known), None) => known,
            (_, Some(found)) => self.merge(found),
            (None, None) => return Err(serving::no_endpoint(operation, name)),
        })
    }

    /// Makes what was found the current snapshot, unless a newer one came first. Deployments that stay, stay loaded.
    fn merge(&self, found: Found) -> Arc<Snapshot> {
        let mut endpoints = lock(&self.endpoints);
        let known = endpoints.get(&found.endpoint.name);
        if let Some(known) = known.filter(|known| known.generation >= found.generation) {
            return known.clone();
        }
        let loaded = |id: i64, name: &DeploymentName| {
            known.and_then(|known| known.deployments.get(name)).filter(|live| live.id == id).cloned()
        };
        let live = |(id, deployment): (i64, Deployment)| {
            let name = deployment.spec.name.clone();
            let live = loaded(id, &name);
            let new = || Arc::new(Live { id, deployment, predictor: futures_util::lock::Mutex::new(None) });
            (name, live.unwrap_or_else(new))
        };
        let deployments = found.deployments.into_iter().map(live).collect();
        let (generation, endpoint) = (found.generation, found.endpoint);
        let name = endpoint.name.clone();
        let snapshot = Arc::new(Snapshot { generation, endpoint, deployments });
        endpoints.insert(name, snapshot.clone());
        snapshot
    }

    /// The model of a deployment, loaded if it is not yet.
    async fn predictor(&self, live: &Live) -> Result<Arc<dyn Predictor>> {
        const OP: &str = "Deployer::invoke";
        let mut slot = live.predictor.lock().await;
        if let Some(predictor) = &*slot {
            return Ok(predictor.clone());
        }
        let version = self.models.deployed(OP, &live.deployment).await?;
        let predictor = self.models.load(OP, &version).await?;
        Ok(slot.insert(predictor).clone())
    }

    /// Asks a deployment, counts that it was asked, and tells the observers.
    async fn ask(&self, live: &Live, request: &InvokeRequest<'_>, shadow: bool) -> Result<InvokeResponse> {
        let (answer, latency) = match self.predictor(live).await {
            Ok(predictor) => serving::ask(&predictor, request.rows, &self.store.clock),
            Err(e) => (Err(e), Duration::ZERO),
        };
        self.ledger.count(live.id, &answer, latency);
        let spec = &live.deployment.spec;
        serving::tell(&self.observers, spec, shadow, &answer, latency, &self.store.clock);
        serving::respond(spec, answer, latency)
    }

    /// Keeps a predictor that was loaded already.
    async fn keep(&self, endpoint: &EndpointName, id: i64, predictor: Arc<dyn Predictor>) {
        let Ok(snapshot) = self.snapshot("Deployer::deploy", endpoint).await else { return };
        if let Some(live) = snapshot.deployments.values().find(|live| live.id == id) {
            live.predictor.lock().await.get_or_insert(predictor);
        }
    }

    fn next_number(&self, endpoint: &EndpointName) -> u64 {
        let mut keyless = lock(&self.keyless);
        let number = keyless.entry(endpoint.clone()).or_default();
        *number = number.wrapping_add(1);
        *number
    }

    /// Keeps other processes from writing down a deployment while this is held.
    async fn hold(&self) -> Result<File> {
        self.store.db.check_writable("Deployer::deploy")?;
        let path = self.store.root.join("deploy.lock");
        let (op, busy) = ("Deployer::deploy", "another process is deploying");
        blocking(op, move || disk::lock::hold(op, &path, Sharing::Alone, busy)).await
    }
}

impl Snapshot {
    fn live(&self, operation: &'static str, name: &DeploymentName) -> Result<&Arc<Live>> {
        let live = self.deployments.get(name);
        live.ok_or_else(|| serving::no_deployment(operation, &self.endpoint.name, name))
    }
}

fn deployment_key(endpoint: &EndpointName, name: &DeploymentName) -> String {
    format!("{endpoint}/{name}")
}

fn find_endpoint(
    operation: &'static str,
    connection: &Connection,
    name: &EndpointName,
) -> Result<Option<Endpoint>> {
    let query = "SELECT body, digest FROM endpoint WHERE name = ?1";
    sql::first(operation, connection, query, [name.as_str()], |row| {
        open(operation, "endpoint", name.as_str(), row, 0)
    })
}

fn the_endpoint(operation: &'static str, connection: &Connection, name: &EndpointName) -> Result<Endpoint> {
    find_endpoint(operation, connection, name)?.ok_or_else(|| serving::no_endpoint(operation, name))
}

/// Reads an endpoint if it is of another generation than the one known; none where it is not, or is not there.
fn find_newer(
    operation: &'static str,
    connection: &Connection,
    name: &EndpointName,
    known: Option<i64>,
) -> Result<Option<Found>> {
    let query = "SELECT generation FROM endpoint WHERE name = ?1";
    let generation = sql::first(operation, connection, query, [name.as_str()], |row| {
        row.get::<_, i64>(0).map_err(failed(operation))
    })?;
    match generation {
        Some(generation) if known != Some(generation) => {
            let endpoint = the_endpoint(operation, connection, name)?;
            let deployments = find_deployments(operation, connection, name)?;
            Ok(Some(Found { generation, endpoint, deployments }))
        }
        _ => Ok(None),
    }
}

fn find_deployments(
    operation: &'static str,
    connection: &Connection,
    endpoint: &EndpointName,
) -> Result<Vec<(i64, Deployment)>> {
    let query = "SELECT id, name, body, digest FROM deployment WHERE endpoint = ?1 ORDER BY name";
    sql::all(operation, connection, query, [endpoint.as_str()], |row| {
        let (id, name): (i64, String) = sql::head(operation, row)?;
        Ok((id, open(operation, "deployment", &format!("{endpoint}/{name}"), row, 2)?))
    })
}

fn find_deployment(
    operation: &'static str,
    connection: &Connection,
    endpoint: &EndpointName,
    name: &DeploymentName,
) -> Result<Option<(i64, Deployment)>> {
    let query = "SELECT id, name, body, digest FROM deployment WHERE endpoint = ?1 AND name = ?2";
    sql::first(operation, connection, query, [endpoint.as_str(), name.as_str()], |row| {
        let (id, _): (i64, String) = sql::head(operation, row)?;
        Ok((id, open(operation, "deployment", &deployment_key(endpoint, name), row, 2)?))
    })
}

fn the_deployment(
    operation: &'static str,
    connection: &Connection,
    endpoint: &EndpointName,
    name: &DeploymentName,
) -> Result<(i64, Deployment)> {
    let found = find_deployment(operation, connection, endpoint, name)?;
    found.ok_or_else(|| serving::no_deployment(operation, endpoint, name))
}

fn existing(connection: &Connection, spec: &DeploymentSpec) -> Result<Option<Deployment>> {
    const OP: &str = "Deployer::deploy";
    the_endpoint(OP, connection, &spec.endpoint)?;
    let Some((_, found)) = find_deployment(OP, connection, &spec.endpoint, &spec.name)? else {
        return Ok(None);
    };
    serving::check_same(&found, spec)?;
    Ok(Some(found))
}

/// Writes down a deployment, and its number; the one that is there already if somebody was faster.
fn insert_deployment(tx: &Transaction<'_>, deployment: Deployment) -> Result<(Deployment, Option<i64>)> {
    const OP: &str = "Deployer::deploy";
    if let Some(made) = existing(tx, &deployment.spec)? {
        return Ok((made, None));
    }
    let DeploymentSpec { endpoint, name, .. } = &deployment.spec;
    let row = seal(OP, "deployment", &deployment_key(endpoint, name), &deployment)?;
    let insert = "INSERT INTO deployment (endpoint, name, body, digest) VALUES (?1, ?2, ?3, ?4)";
    sql::execute(OP, tx, insert, (endpoint.as_str(), name.as_str(), row.body, row.digest))?;
    let id = tx.last_insert_rowid();
    changed(OP, tx, endpoint)?;
    Ok((deployment, Some(id)))
}

/// Says that an endpoint or one of its deployments was changed.
fn changed(operation: &'static str, tx: &Transaction<'_>, endpoint: &EndpointName) -> Result<()> {
    let update = "UPDATE endpoint SET generation = generation + 1 WHERE name = ?1";
    sql::execute(operation, tx, update, [endpoint.as_str()]).map(drop)
}

fn find_change(
    operation: &'static str,
    connection: &Connection,
    key: &IdempotencyKey,
) -> Result<Option<Made>> {
    let query = "SELECT body, digest FROM traffic_change WHERE key = ?1";
    sql::first(operation, connection, query, [key.as_str()], |row| {
        open(operation, "traffic_change", key.as_str(), row, 0)
    })
}

fn make(tx: &Transaction<'_>, change: Change) -> Result<Endpoint> {
    let op = change.operation();
    if let Some(made) = find_change(op, tx, change.key())? {
        serving::check_repeated(&made.change, &change)?;
        return Ok(made.endpoint);
    }
    let endpoint = change.applied_to(the_endpoint(op, tx, change.endpoint())?)?;
    for name in change.deployments() {
        serving::check_ready(&the_deployment(op, tx, &endpoint.name, name)?.1)?;
    }
    let row = seal(op, "endpoint", endpoint.name.as_str(), &endpoint)?;
    let update = "UPDATE endpoint SET body = ?2, digest = ?3, generation = generation + 1 WHERE name = ?1";
    sql::execute(op, tx, update, (endpoint.name.as_str(), row.body, row.digest))?;
    let made = Made { change, endpoint };
    let key = made.change.key().as_str();
    let row = seal(op, "traffic_change", key, &made)?;
    let insert =
        "INSERT INTO traffic_change (key, endpoint, revision, body, digest) VALUES (?1, ?2, ?3, ?4, ?5)";
    let (name, revision) =
        (made.endpoint.name.as_str(), sql::signed(op, "revision", made.endpoint.revision)?);
    sql::execute(op, tx, insert, (key, name, revision, row.body, row.digest))?;
    Ok(made.endpoint)
}

fn delete_deployment(tx: &Transaction<'_>, endpoint: &EndpointName, name: &DeploymentName) -> Result<()> {
    const OP: &str = "Deployer::delete_deployment";
    serving::check_unused(&the_endpoint(OP, tx, endpoint)?, name)?;
    let delete = "DELETE FROM deployment WHERE endpoint = ?1 AND name = ?2";
    if sql::execute(OP, tx, delete, [endpoint.as_str(), name.as_str()])? > 0 {
        changed(OP, tx, endpoint)?;
    }
    Ok(())
}

fn ensure_endpoint(tx: &Transaction<'_>, new: Endpoint) -> Result<Endpoint> {
    const OP: &str = "Deployer::ensure_endpoint";
    if let Some(found) = find_endpoint(OP, tx, &new.name)? {
        return Ok(found);
    }
    let row = seal(OP, "endpoint", new.name.as_str(), &new)?;
    let insert = "INSERT INTO endpoint (name, generation, body, digest) VALUES (?1, 0, ?2, ?3)";
    sql::execute(OP, tx, insert, (new.name.as_str(), row.body, row.digest))?;
    Ok(new)
}

/// Checks endpoints, deployments and traffic, and that they agree with each other.
pub(crate) fn check(connection: &Connection, findings: &mut Findings) -> Result<()> {
    let query = "SELECT name, body, digest FROM endpoint";
    let endpoints: Vec<(String, Endpoint)> = seal::check(connection, findings, "endpoint", query)?;
    let query = "SELECT endpoint || '/' || name, body, digest FROM deployment";
    let deployments: Vec<(String, Deployment)> = seal::check(connection, findings, "deployment", query)?;
    let deployments: BTreeSet<String> = deployments.into_iter().map(|(key, _)| key).collect();
    let query = "SELECT key, body, digest FROM traffic_change ORDER BY revision";
    let mut changes: BTreeMap<EndpointName, Vec<Endpoint>> = BTreeMap::new();
    for (_, made) in seal::check::<Made>(connection, findings, "traffic_change", query)? {
        changes.entry(made.endpoint.name.clone()).or_default().push(made.endpoint);
    }
    for (_, endpoint) in endpoints {
        let made = changes.remove(&endpoint.name).unwrap_or_default();
        check_traffic(findings, &endpoint, &made, &deployments);
    }
    Ok(())
}

fn check_traffic(
    findings: &mut Findings,
    endpoint: &Endpoint,
    changes: &[Endpoint],
    deployments: &BTreeSet<String>,
) {
    let name = &endpoint.name;
    for gap in gaps(endpoint.revision, changes.iter().map(|made| made.revision)) {
        findings.add(FindingKind::Missing, format!("traffic_change {name} {gap}"), "the change is gone");
    }
    let newest = changes.last().map(|made| (&made.traffic, &made.mirror));
    if newest.is_some_and(|newest| newest != (&endpoint.traffic, &endpoint.mirror)) {
        let reason = "the traffic is not what the last change of it says";
        findings.add(FindingKind::Inconsistent, format!("endpoint {name}"), reason);
    }
    let shadow = endpoint.mirror.iter().map(|mirror| &mirror.deployment);
    for deployment in endpoint.traffic.shares().map(|(deployment, _)| deployment).chain(shadow) {
        let key = deployment_key(name, deployment);
        if !deployments.contains(&key) {
            let reason = "the deployment has traffic, and is not there";
            findings.add(FindingKind::Inconsistent, format!("deployment {key}"), reason);
        }
    }
}

#[async_trait]
impl Deployer for LocalDeployer {
    fn capabilities(&self) -> DeployerCapabilities {
        DeployerCapabilities::FULL
    }

    async fn ensure_endpoint(&self, spec: &EndpointSpec) -> Result<Endpoint> {
        const OP: &str = "Deployer::ensure_endpoint";
        check_tags(OP, &spec.tags)?;
        let name = spec.name.clone();
        if let Some(found) = self.handle.read(OP, move |c| find_endpoint(OP, c, &name)).await? {
            return Ok(found);
        }
        let new = Endpoint::new(spec.clone(), self.handle.store.clock.now());
        self.handle.write(OP, |tx| ensure_endpoint(tx, new)).await
    }

    async fn endpoint(&self, name: &EndpointName) -> Result<Endpoint> {
        const OP: &str = "Deployer::endpoint";
        let name = name.clone();
        self.handle.read(OP, move |connection| the_endpoint(OP, connection, &name)).await
    }

    async fn endpoints(&self, page: &PageRequest) -> Result<Page<Endpoint>> {
        const OP: &str = "Deployer::endpoints";
        page.check(OP)?;
        let (store, page) = (self.handle.store.clone(), page.clone());
        let list = move |connection: &Connection| {
            store.pager.page(OP, &(), &page, |after: Option<EndpointName>| {
                // No name is empty.
                let after = after.as_ref().map_or("", EndpointName::as_str);
                let query = "SELECT name, body, digest FROM endpoint WHERE name > ?1 ORDER BY name LIMIT ?2";
                let rows = sql::all(OP, connection, query, (after, sql::one_more(&page)), |row| {
                    let name: String = row.get(0).map_err(failed(OP))?;
                    let endpoint: Endpoint = open(OP, "endpoint", &name, row, 1)?;
                    Ok((endpoint.name.clone(), endpoint))
                })?;
                Ok(rows.into_iter())
            })
        };
        self.handle.read(OP, list).await
    }

    async fn deploy(&self, spec: &DeploymentSpec) -> Result<Deployment> {
        const OP: &str = "Deployer::deploy";
        check_tags(OP, &spec.tags)?;
        let handle = &self.handle;
        let _alone = handle.deploying.lock().await;
        if let Some(made) = handle.existing(spec).await? {
            return Ok(made);
        }
        let version = handle.models.version(spec).await?;
        let predictor = handle.models.load(OP, &version).await?;
        let held = handle.hold().await?;
        if let Some(made) = handle.existing(spec).await? {
            return Ok(made);
        }
        // The edge comes before the deployment: if it cannot be kept, there is no deployment without an origin.
        handle.models.link(spec).await?;
        let new = Deployment::ready(spec.clone(), version.spec.artifact, handle.store.clock.now());
        // The lock goes with the answer: it is held until this is committed, also when nobody waits for it any more.
        let insert = move |tx: &Transaction<'_>| Ok((insert_deployment(tx, new)?, held));
        let ((made, id), _held) = handle.write(OP, insert).await?;
        if let Some(id) = id {
            handle.keep(&spec.endpoint, id, predictor).await;
        }
        Ok(made)
    }

    async fn deployments(&self, endpoint: &EndpointName) -> Result<BTreeMap<DeploymentName, Deployment>> {
        let snapshot = self.handle.snapshot("Deployer::deployments", endpoint).await?;
        let all = snapshot.deployments.iter();
        Ok(all.map(|(name, live)| (name.clone(), live.deployment.clone())).collect())
    }

    async fn set_traffic(&self, change: &TrafficChange) -> Result<Endpoint> {
        let change = Change::Traffic(change.clone());
        self.handle.write("Deployer::set_traffic", |tx| make(tx, change)).await
    }

    async fn set_mirror(&self, change: &MirrorChange) -> Result<Endpoint> {
        let change = Change::Mirror(change.clone());
        self.handle.write("Deployer::set_mirror", |tx| make(tx, change)).await
    }

    async fn delete_deployment(&self, endpoint: &EndpointName, deployment: &DeploymentName) -> Result<()> {
        let (endpoint, name) = (endpoint.clone(), deployment.clone());
        let delete = move |tx: &Transaction<'_>| delete_deployment(tx, &endpoint, &name);
        self.handle.write("Deployer::delete_deployment", delete).await
    }

    async fn invoke(&self, request: &InvokeRequest<'_>) -> Result<InvokeResponse> {
        const OP: &str = "Deployer::invoke";
        let handle = &self.handle;
        let snapshot = handle.snapshot(OP, &request.endpoint).await?;
        let chosen = serving::choose(&snapshot.endpoint, request, || handle.next_number(&request.endpoint))?;
        let answer = handle.ask(snapshot.live(OP, chosen.live)?, request, false).await;
        if let Some(shadow) = chosen.shadow.and_then(|name| snapshot.deployments.get(name)) {
            // What a shadow answers is nobody's.
            let _dropped = handle.ask(shadow, request, true).await;
        }
        answer
    }

    async fn stats(&self, endpoint: &EndpointName, deployment: &DeploymentName) -> Result<OperationStats> {
        const OP: &str = "Deployer::stats";
        let (endpoint, name, ledger) = (endpoint.clone(), deployment.clone(), self.handle.ledger.clone());
        let read = move |connection: &Connection| {
            the_endpoint(OP, connection, &endpoint)?;
            let (id, _) = the_deployment(OP, connection, &endpoint, &name)?;
            ledger.stats(connection, id)
        };
        self.handle.read(OP, read).await
    }
}
