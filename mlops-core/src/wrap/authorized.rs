//! Letting nobody do what they may not.

mod artifact;
mod journal;
mod secret;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::data::{DataAsset, DataAssetStore, DataRef, DataVerification, NewDataAsset};
use crate::deploy::{
    Deployer, DeployerCapabilities, Deployment, DeploymentSpec, Endpoint, EndpointSpec, InvokeRequest,
    InvokeResponse, MirrorChange, OperationStats, TrafficChange,
};
use crate::error::{ErrorKind, Result};
use crate::experiment::{
    Experiment, ExperimentSpec, ExperimentTracker, HistoryQuery, LogBatch, MetricPoint, Run, RunEnd,
    RunQuery, RunSpec, TrackerCapabilities, WriteReceipt,
};
use crate::governance::{
    AccessRequest, Action, Actor, AuditEntry, AuditLog, Authorizer, Denial, Denied, Principals,
};
use crate::hash::Digest;
use crate::id::{
    ActorId, Alias, AssetName, DeploymentName, EndpointName, ExperimentName, ModelName, RunId, Tags, Version,
    VersionSpec,
};
use crate::page::{Page, PageRequest};
use crate::registry::{
    AliasChange, AliasRecord, Direction, Edge, LineageGraph, ModelRef, ModelRegistry, ModelVersion,
    NewModelVersion, Node, Promotion, RegistryCapabilities, RegistryEvent,
};

/// A backend that asks before every change whether whoever makes it may, and refuses it with a [`Denied`] if not.
///
/// Asked is an [`Authorizer`], for whoever the call names, and else for the actor given to [`Authorized::new`]; their roles are those
/// that [`Principals`] knows, and who is not known has none. Whom a call names is believed: a service that takes calls from others
/// has to say itself who they are.
///
/// Where a change is about a model, the authorizer is told which, by the digest of its artifact, so that duties can be told apart.
/// A registry knows its versions; a deployer has to be given the registry with [`with_registry`](Self::with_registry), or nothing
/// that depends on the model is allowed by [`SeparationOfDuties`](crate::governance::SeparationOfDuties). A change of traffic is asked
/// for every model that gets some.
///
/// Every decision is written into the audit log before anything follows from it, as `access.allow` or `access.deny`, with the action
/// and the resource as its subject and the reason as its detail; when the log refuses, the call fails. Decisions about what is done all
/// the time, logging to a run, writing to a journal, storing content and asking for predictions, are written down when they deny.
/// What only reads is not asked, unless it reads a secret.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::sync::Arc;
/// use mlops_core::data::{AssetKind, DataAssetStore as _, NewDataAsset};
/// use mlops_core::artifact::ArtifactStoreExt as _;
/// use mlops_core::governance::{AuditLog as _, RoleAuthorizer, Roles};
/// use mlops_core::memory::{MemoryArtifactStore, MemoryAuditLog, MemoryDataAssetStore};
/// use mlops_core::time::SystemClock;
/// use mlops_core::wrap::Authorized;
/// use mlops_core::{ActorId, ErrorKind};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let artifacts = Arc::new(MemoryArtifactStore::default());
/// let log = Arc::new(MemoryAuditLog::default());
/// let assets = MemoryDataAssetStore::new(artifacts.clone(), Arc::new(SystemClock::new()));
/// let roles = |role: &str| [role.to_owned()].into();
/// let (ann, ben) = (ActorId::new("ann")?, ActorId::new("ben")?);
/// let known = BTreeMap::from([(ann.clone(), roles("trainer")), (ben.clone(), roles("reader"))]);
/// let authorizer = Arc::new(RoleAuthorizer::new(Roles::duties()));
/// let assets = Authorized::new(assets, authorizer, Arc::new(known), log.clone(), ann.clone());
///
/// let (tree, _) = artifacts.put_files(&[("rows.csv".parse()?, b"x\n1\n".to_vec().into())]).await?;
/// let by = |who: &ActorId| Ok::<_, mlops_core::Error>(
///     NewDataAsset::stored("patients".parse()?, AssetKind::Table, tree.digest, who.clone())
/// );
/// assets.register(&by(&ann)?).await?;
/// let error = assets.register(&by(&ben)?).await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Auth);
/// assert_eq!(error.message(), "none of the roles of `ben` allows data.register");
/// let records = log.read(0, 10).await?;
/// assert_eq!((records[0].entry.action.as_str(), records[1].entry.action.as_str()), ("access.allow", "access.deny"));
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Authorized<T> {
    inner: T,
    authorizer: Arc<dyn Authorizer>,
    principals: Arc<dyn Principals>,
    log: Arc<dyn AuditLog>,
    actor: ActorId,
    registry: Option<Arc<dyn ModelRegistry>>,
}

impl<T> Authorized<T> {
    /// Puts it around a backend; `actor` is who acts where a call does not say it.
    pub fn new(
        inner: T,
        authorizer: Arc<dyn Authorizer>,
        principals: Arc<dyn Principals>,
        log: Arc<dyn AuditLog>,
        actor: ActorId,
    ) -> Self {
        Self { inner, authorizer, principals, log, actor, registry: None }
    }

    /// Says where a deployer looks up which model a version is.
    #[must_use]
    pub fn with_registry(mut self, registry: Arc<dyn ModelRegistry>) -> Self {
        self.registry = Some(registry);
        self
    }

    /// The backend inside.
    pub fn inner(&self) -> &T {
        &self.inner
    }

    /// Asks whether somebody may, for each of the models it is about.
    async fn ask(&self, who: &ActorId, action: Action, resource: &str, models: &[Digest]) -> Result<()> {
        let requests: Vec<Option<Digest>> = match models {
            [] => vec![None],
            models => models.iter().copied().map(Some).collect(),
        };
        for model in requests {
            self.decide(who, action, resource, model).await?;
        }
        Ok(())
    }

    async fn decide(
        &self,
        who: &ActorId,
        action: Action,
        resource: &str,
        model: Option<Digest>,
    ) -> Result<()> {
        let nobody = || Actor { id: who.clone(), roles: BTreeSet::new() };
        let actor = self.principals.actor(who).unwrap_or_else(nobody);
        let request = AccessRequest::new(actor.clone(), action);
        let request = match model {
            Some(model) => request.about(model),
            None => request,
        };
        // Who is not known is refused whatever an authorizer makes of nobody's roles.
        let answer = match actor.roles.is_empty() {
            true => Err(Denial::NoRole { actor: who.clone() }),
            false => self.authorizer.authorize(&request),
        };
        if answer.is_err() || !is_frequent(action) {
            self.write_down(&request, resource, answer.as_ref().err()).await?;
        }
        answer.map_err(|denial| Denied::new(actor, action, resource, denial).into())
    }

    async fn write_down(
        &self,
        request: &AccessRequest,
        resource: &str,
        denial: Option<&Denial>,
    ) -> Result<()> {
        let word = if denial.is_some() { "access.deny" } else { "access.allow" };
        let subject = format!("{} {resource}", request.action);
        let entry = AuditEntry::new(request.actor.id.clone(), word, subject);
        let entry = entry.with_detail(denial.map_or_else(String::new, ToString::to_string));
        let entry = match request.subject {
            Some(model) => entry.with_digest(model),
            None => entry,
        };
        self.log.append(&entry).await.map(drop)
    }
}

/// What is done all the time.
const fn is_frequent(action: Action) -> bool {
    matches!(action, Action::RunWrite | Action::JournalWrite | Action::ArtifactPut | Action::EndpointInvoke)
}

impl<T: fmt::Debug> fmt::Debug for Authorized<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorized")
            .field("inner", &self.inner)
            .field("authorizer", &self.authorizer)
            .field("actor", &self.actor)
            .finish_non_exhaustive()
    }
}

/// Which model a version is; none for one that is not there, which the backend will say.
async fn model_of(
    registry: &dyn ModelRegistry,
    model: &ModelName,
    version: impl Into<VersionSpec>,
) -> Result<Option<Digest>> {
    match registry.get(&ModelRef::new(model.clone(), version)).await {
        Ok(found) => Ok(Some(found.spec.artifact)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: ModelRegistry> ModelRegistry for Authorized<T> {
    fn capabilities(&self) -> RegistryCapabilities {
        self.inner.capabilities()
    }

    async fn register(&self, version: &NewModelVersion) -> Result<ModelVersion> {
        let resource = format!("model/{}", version.model);
        self.ask(&version.actor, Action::ModelRegister, &resource, &[version.artifact]).await?;
        self.inner.register(version).await
    }

    async fn get(&self, reference: &ModelRef) -> Result<ModelVersion> {
        self.inner.get(reference).await
    }

    async fn versions(&self, model: &ModelName, page: &PageRequest) -> Result<Page<ModelVersion>> {
        self.inner.versions(model, page).await
    }

    async fn models(&self, page: &PageRequest) -> Result<Page<ModelName>> {
        self.inner.models(page).await
    }

    async fn set_alias(&self, change: &AliasChange) -> Result<AliasRecord> {
        let AliasChange { model, alias, to, actor, .. } = change;
        // Who takes an alias away does it to the version that has it.
        let found = match to {
            Some(version) => model_of(&self.inner, model, *version).await?,
            None => model_of(&self.inner, model, alias.clone()).await?,
        };
        let resource = format!("model/{model}@{alias}");
        self.ask(actor, Action::ModelAlias, &resource, found.as_slice()).await?;
        self.inner.set_alias(change).await
    }

    async fn promote(&self, promotion: &Promotion) -> Result<AliasRecord> {
        let Promotion { model, alias, version, actor, .. } = promotion;
        let found = model_of(&self.inner, model, *version).await?;
        let resource = format!("model/{model}@{alias}");
        self.ask(actor, Action::ModelPromote, &resource, found.as_slice()).await?;
        self.inner.promote(promotion).await
    }

    async fn aliases(&self, model: &ModelName) -> Result<Vec<(Alias, Version)>> {
        self.inner.aliases(model).await
    }

    async fn alias_history(
        &self,
        model: &ModelName,
        alias: &Alias,
        page: &PageRequest,
    ) -> Result<Page<AliasRecord>> {
        self.inner.alias_history(model, alias, page).await
    }

    async fn set_tags(
        &self,
        model: &ModelName,
        version: Version,
        tags: &Tags,
        actor: &ActorId,
    ) -> Result<ModelVersion> {
        let found = model_of(&self.inner, model, version).await?;
        let resource = format!("model/{model}:{version}");
        self.ask(actor, Action::ModelTag, &resource, found.as_slice()).await?;
        self.inner.set_tags(model, version, tags, actor).await
    }

    async fn set_archived(
        &self,
        model: &ModelName,
        version: Version,
        archived: bool,
        actor: &ActorId,
    ) -> Result<ModelVersion> {
        let found = model_of(&self.inner, model, version).await?;
        let resource = format!("model/{model}:{version}");
        self.ask(actor, Action::ModelArchive, &resource, found.as_slice()).await?;
        self.inner.set_archived(model, version, archived, actor).await
    }

    async fn link(&self, edge: &Edge) -> Result<()> {
        let resource = format!("{} to {}", edge.from, edge.to);
        self.ask(&self.actor, Action::LineageLink, &resource, &[]).await?;
        self.inner.link(edge).await
    }

    async fn lineage(&self, node: &Node, direction: Direction, depth: u32) -> Result<LineageGraph> {
        self.inner.lineage(node, direction, depth).await
    }

    async fn events(&self, after: u64, limit: usize) -> Result<Vec<RegistryEvent>> {
        self.inner.events(after, limit).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: DataAssetStore> DataAssetStore for Authorized<T> {
    async fn register(&self, asset: &NewDataAsset) -> Result<DataAsset> {
        let resource = format!("data/{}", asset.name);
        self.ask(&asset.actor, Action::DataRegister, &resource, &[]).await?;
        self.inner.register(asset).await
    }

    async fn get(&self, reference: &DataRef) -> Result<DataAsset> {
        self.inner.get(reference).await
    }

    async fn versions(&self, name: &AssetName, page: &PageRequest) -> Result<Page<DataAsset>> {
        self.inner.versions(name, page).await
    }

    async fn names(&self, page: &PageRequest) -> Result<Page<AssetName>> {
        self.inner.names(page).await
    }

    async fn set_archived(&self, name: &AssetName, version: Version, archived: bool) -> Result<DataAsset> {
        let resource = format!("data/{name}:{version}");
        self.ask(&self.actor, Action::DataArchive, &resource, &[]).await?;
        self.inner.set_archived(name, version, archived).await
    }

    async fn verify(&self, reference: &DataRef) -> Result<DataVerification> {
        self.inner.verify(reference).await
    }
}

impl<T: Deployer> Authorized<T> {
    /// Which model a version is, where there is a registry to ask.
    async fn deployed(&self, model: &ModelName, version: Version) -> Result<Option<Digest>> {
        match &self.registry {
            Some(registry) => model_of(&**registry, model, version).await,
            None => Ok(None),
        }
    }

    /// The models of deployments, each once. Nothing is known of any of them when it is not known of all.
    async fn models_of(&self, endpoint: &EndpointName, names: &[&DeploymentName]) -> Result<Vec<Digest>> {
        if self.registry.is_none() {
            return Ok(Vec::new());
        }
        let deployments = match self.inner.deployments(endpoint).await {
            Ok(deployments) => deployments,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut models = BTreeSet::new();
        for name in names {
            let Some(deployment) = deployments.get(*name) else { return Ok(Vec::new()) };
            let DeploymentSpec { model, version, .. } = &deployment.spec;
            let Some(found) = self.deployed(model, *version).await? else { return Ok(Vec::new()) };
            models.insert(found);
        }
        Ok(models.into_iter().collect())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: Deployer> Deployer for Authorized<T> {
    fn capabilities(&self) -> DeployerCapabilities {
        self.inner.capabilities()
    }

    async fn ensure_endpoint(&self, spec: &EndpointSpec) -> Result<Endpoint> {
        let resource = format!("endpoint/{}", spec.name);
        self.ask(&spec.actor, Action::EndpointEnsure, &resource, &[]).await?;
        self.inner.ensure_endpoint(spec).await
    }

    async fn endpoint(&self, name: &EndpointName) -> Result<Endpoint> {
        self.inner.endpoint(name).await
    }

    async fn endpoints(&self, page: &PageRequest) -> Result<Page<Endpoint>> {
        self.inner.endpoints(page).await
    }

    async fn deploy(&self, spec: &DeploymentSpec) -> Result<Deployment> {
        let found = self.deployed(&spec.model, spec.version).await?;
        let resource = format!("endpoint/{}/{}", spec.endpoint, spec.name);
        self.ask(&spec.actor, Action::EndpointDeploy, &resource, found.as_slice()).await?;
        self.inner.deploy(spec).await
    }

    async fn deployments(&self, endpoint: &EndpointName) -> Result<BTreeMap<DeploymentName, Deployment>> {
        self.inner.deployments(endpoint).await
    }

    async fn set_traffic(&self, change: &TrafficChange) -> Result<Endpoint> {
        let shares = change.split.shares().filter(|(_, share)| share.get() > 0);
        let names: Vec<_> = shares.map(|(name, _)| name).collect();
        let models = self.models_of(&change.endpoint, &names).await?;
        let resource = format!("endpoint/{}", change.endpoint);
        self.ask(&change.actor, Action::EndpointTraffic, &resource, &models).await?;
        self.inner.set_traffic(change).await
    }

    // A mirrored request is a request: who may move traffic may copy it. To take a shadow away is about no model, as to take a
    // deployment away is.
    async fn set_mirror(&self, change: &MirrorChange) -> Result<Endpoint> {
        let resource = format!("endpoint/{}", change.endpoint);
        match &change.mirror {
            Some(mirror) => {
                let models = self.models_of(&change.endpoint, &[&mirror.deployment]).await?;
                self.ask(&change.actor, Action::EndpointTraffic, &resource, &models).await?;
            }
            None => self.ask(&change.actor, Action::EndpointUndeploy, &resource, &[]).await?,
        }
        self.inner.set_mirror(change).await
    }

    async fn delete_deployment(&self, endpoint: &EndpointName, deployment: &DeploymentName) -> Result<()> {
        let resource = format!("endpoint/{endpoint}/{deployment}");
        self.ask(&self.actor, Action::EndpointUndeploy, &resource, &[]).await?;
        self.inner.delete_deployment(endpoint, deployment).await
    }

    async fn invoke(&self, request: &InvokeRequest<'_>) -> Result<InvokeResponse> {
        let resource = format!("endpoint/{}", request.endpoint);
        self.ask(&self.actor, Action::EndpointInvoke, &resource, &[]).await?;
        self.inner.invoke(request).await
    }

    async fn stats(&self, endpoint: &EndpointName, deployment: &DeploymentName) -> Result<OperationStats> {
        self.inner.stats(endpoint, deployment).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: ExperimentTracker> ExperimentTracker for Authorized<T> {
    fn capabilities(&self) -> TrackerCapabilities {
        self.inner.capabilities()
    }

    async fn ensure_experiment(&self, spec: &ExperimentSpec) -> Result<Experiment> {
        let resource = format!("experiment/{}", spec.name);
        self.ask(&self.actor, Action::ExperimentEnsure, &resource, &[]).await?;
        self.inner.ensure_experiment(spec).await
    }

    async fn experiment(&self, name: &ExperimentName) -> Result<Experiment> {
        self.inner.experiment(name).await
    }

    async fn experiments(&self, page: &PageRequest) -> Result<Page<Experiment>> {
        self.inner.experiments(page).await
    }

    async fn start_run(&self, spec: &RunSpec) -> Result<Run> {
        self.ask(&spec.actor, Action::RunStart, &format!("run/{}", spec.id), &[]).await?;
        self.inner.start_run(spec).await
    }

    async fn write(&self, run: &RunId, batch: &LogBatch) -> Result<WriteReceipt> {
        self.ask(&self.actor, Action::RunWrite, &format!("run/{run}"), &[]).await?;
        self.inner.write(run, batch).await
    }

    async fn heartbeat(&self, run: &RunId, lease: Duration) -> Result<()> {
        self.ask(&self.actor, Action::RunWrite, &format!("run/{run}"), &[]).await?;
        self.inner.heartbeat(run, lease).await
    }

    async fn finish_run(&self, run: &RunId, end: &RunEnd) -> Result<Run> {
        self.ask(&self.actor, Action::RunWrite, &format!("run/{run}"), &[]).await?;
        self.inner.finish_run(run, end).await
    }

    async fn run(&self, run: &RunId) -> Result<Run> {
        self.inner.run(run).await
    }

    async fn search_runs(&self, query: &RunQuery) -> Result<Page<Run>> {
        self.inner.search_runs(query).await
    }

    async fn history(&self, run: &RunId, query: &HistoryQuery) -> Result<Page<MetricPoint>> {
        self.inner.history(run, query).await
    }

    async fn set_deleted(&self, run: &RunId, deleted: bool) -> Result<Run> {
        self.ask(&self.actor, Action::RunDelete, &format!("run/{run}"), &[]).await?;
        self.inner.set_deleted(run, deleted).await
    }
}
