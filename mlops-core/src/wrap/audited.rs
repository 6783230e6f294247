//! Writing down what is done.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::data::{DataAsset, DataAssetStore, DataRef, DataVerification, NewDataAsset};
use crate::deploy::{
    Deployer, DeployerCapabilities, Deployment, DeploymentSpec, Endpoint, EndpointSpec, InvokeRequest,
    InvokeResponse, MirrorChange, OperationStats, TrafficChange,
};
use crate::error::Result;
use crate::experiment::sweep::{SweepEntry, SweepEvent, SweepJournal};
use crate::experiment::{
    Experiment, ExperimentSpec, ExperimentTracker, HistoryQuery, LogBatch, MetricPoint, Run, RunEnd,
    RunQuery, RunSpec, TrackerCapabilities, WriteReceipt,
};
use crate::governance::{AuditEntry, AuditLog};
use crate::hash::{Digest, Hasher, digest_json};
use crate::id::{
    ActorId, Alias, AssetName, ComponentName, DeploymentName, EndpointName, ExperimentName, IdempotencyKey,
    ModelName, RunId, Tags, Version,
};
use crate::page::{Page, PageRequest};
use crate::pipeline::{
    Claim, Claimed, PipelineEntry, PipelineEvent, PipelineJournal, StepCache, StepKey, StepRecord,
};
use crate::registry::{
    AliasChange, AliasRecord, Direction, Edge, LineageGraph, ModelRef, ModelRegistry, ModelVersion,
    NewModelVersion, Node, Promotion, RegistryCapabilities, RegistryEvent,
};

/// A backend that writes every change into an audit log: that it is about to be made, and what came of it.
///
/// Nothing is done that could not be written down first: when the log refuses, the call fails and the backend is not asked. When
/// the second record fails, the call fails although the change was made; made again, it is the same change, and completes
/// the log. A process that is killed in between leaves a record of what was about to be done.
///
/// Changes are written in the name of whoever the call names, and else of the actor given to [`Audited::new`]. The detail of
/// the second record is `done`, or the kind of the error. Of a deployment and a change of traffic or of the mirror, the detail of the
/// first record says to what, and both have the digest of the change, which is that of its canonical JSON. What only reads is not written
/// down, neither is what runs log (metrics, parameters, tags, artifacts) and renew, nor the requests that a deployment answers. Of a sweep or a pipeline it is written down that it begins, is taken up, paused, refused by a budget and over:
/// what its trials and steps do is in its own journal. Of a cache of steps it is records that are put and removed, and not claims.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::ActorId;
/// use mlops_core::artifact::ArtifactStoreExt as _;
/// use mlops_core::data::{AssetKind, DataAssetStore as _, NewDataAsset};
/// use mlops_core::governance::AuditLog as _;
/// use mlops_core::memory::{MemoryArtifactStore, MemoryAuditLog, MemoryDataAssetStore};
/// use mlops_core::time::SystemClock;
/// use mlops_core::wrap::Audited;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let artifacts = Arc::new(MemoryArtifactStore::default());
/// let log = Arc::new(MemoryAuditLog::default());
/// let assets = MemoryDataAssetStore::new(artifacts.clone(), Arc::new(SystemClock::new()));
/// let assets = Audited::new(assets, log.clone(), ActorId::new("service")?);
///
/// let (tree, _) = artifacts.put_files(&[("rows.csv".parse()?, b"x\n1\n".to_vec().into())]).await?;
/// let ingest = ActorId::new("ingest")?;
/// assets.register(&NewDataAsset::stored("patients".parse()?, AssetKind::Table, tree.digest, ingest)).await?;
/// let records = log.read(0, 10).await?;
/// assert_eq!(records[0].entry.action, "data.register.begin");
/// assert_eq!((records[1].entry.action.as_str(), records[1].entry.detail.as_str()), ("data.register.end", "done"));
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Audited<T> {
    inner: T,
    log: Arc<dyn AuditLog>,
    actor: ActorId,
}

/// A change, as it is written down.
struct Change<'a> {
    actor: &'a ActorId,
    action: &'static str,
    subject: String,
    digest: Option<Digest>,
    /// To what, where the subject does not say it.
    to: String,
    key: IdempotencyKey,
}

impl<'a> Change<'a> {
    fn new(actor: &'a ActorId, action: &'static str, subject: String) -> Self {
        Self { actor, action, subject, digest: None, to: String::new(), key: IdempotencyKey::generate() }
    }

    fn with_digest(mut self, digest: Digest) -> Self {
        self.digest = Some(digest);
        self
    }

    /// Says to what, in words and by the digest of everything that was asked for.
    fn to(mut self, to: impl fmt::Display, asked: &impl serde::Serialize) -> Self {
        // What has no digest is refused by every backend.
        (self.to, self.digest) = (to.to_string(), digest_json(asked).ok());
        self
    }

    /// Repeated, it is the same change, and the same two records.
    fn with_key(mut self, key: &IdempotencyKey) -> Self {
        self.key = key.clone();
        self
    }

    fn entry(&self, phase: &str, detail: &str) -> Result<AuditEntry> {
        // The same call makes the same record; a key that comes with something else, which the backend will refuse, another one.
        let hasher = Hasher::new("mlops.audited/v1").field(self.key.as_str()).field(self.actor.as_str());
        let hasher = hasher.field(self.action).field(&self.subject).field(phase).field(detail);
        let digest = self.digest.map_or_else(Vec::new, |digest| digest.as_bytes().to_vec());
        let name = hasher.field(digest).finish();
        let action = format!("{}.{phase}", self.action);
        let entry = AuditEntry::new(self.actor.clone(), action, &self.subject);
        let entry = entry.with_detail(detail).with_key(IdempotencyKey::new(name.hex())?);
        Ok(match self.digest {
            Some(digest) => entry.with_digest(digest),
            None => entry,
        })
    }
}

impl<T> Audited<T> {
    /// Puts it around a backend; `actor` is who acts where a call does not say it.
    pub fn new(inner: T, log: Arc<dyn AuditLog>, actor: ActorId) -> Self {
        Self { inner, log, actor }
    }

    /// The backend inside.
    pub fn inner(&self) -> &T {
        &self.inner
    }

    async fn around<A>(&self, change: Change<'_>, call: impl Future<Output = Result<A>>) -> Result<A> {
        self.log.append(&change.entry("begin", &change.to)?).await?;
        let answer = call.await;
        let outcome = answer.as_ref().map_or_else(|e| e.kind().as_str(), |_| "done");
        self.log.append(&change.entry("end", outcome)?).await?;
        answer
    }
}

impl<T: fmt::Debug> fmt::Debug for Audited<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audited")
            .field("inner", &self.inner)
            .field("actor", &self.actor)
            .finish_non_exhaustive()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: ModelRegistry> ModelRegistry for Audited<T> {
    fn capabilities(&self) -> RegistryCapabilities {
        self.inner.capabilities()
    }

    async fn register(&self, version: &NewModelVersion) -> Result<ModelVersion> {
        let change = Change::new(&version.actor, "model.register", format!("model/{}", version.model));
        let change = change.with_digest(version.artifact).with_key(&version.key);
        self.around(change, self.inner.register(version)).await
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
        let to = change.to.map_or_else(|| "nothing".to_owned(), |version| version.to_string());
        let subject = format!("model/{}@{} to {to}", change.model, change.alias);
        let audit = Change::new(&change.actor, "model.alias", subject).with_key(&change.key);
        self.around(audit, self.inner.set_alias(change)).await
    }

    async fn promote(&self, promotion: &Promotion) -> Result<AliasRecord> {
        let Promotion { model, alias, version, .. } = promotion;
        let subject = format!("model/{model}@{alias} to {version}");
        let audit = Change::new(&promotion.actor, "model.promote", subject).with_key(&promotion.key);
        let audit = match promotion.gate.digest() {
            Ok(gate) => audit.with_digest(gate),
            Err(_) => audit,
        };
        self.around(audit, self.inner.promote(promotion)).await
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
        let change = Change::new(actor, "model.tag", format!("model/{model}:{version}"));
        self.around(change, self.inner.set_tags(model, version, tags, actor)).await
    }

    async fn set_archived(
        &self,
        model: &ModelName,
        version: Version,
        archived: bool,
        actor: &ActorId,
    ) -> Result<ModelVersion> {
        let action = if archived { "model.archive" } else { "model.restore" };
        let change = Change::new(actor, action, format!("model/{model}:{version}"));
        self.around(change, self.inner.set_archived(model, version, archived, actor)).await
    }

    async fn link(&self, edge: &Edge) -> Result<()> {
        let change = Change::new(&self.actor, "lineage.link", format!("{} to {}", edge.from, edge.to));
        self.around(change, self.inner.link(edge)).await
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
impl<T: DataAssetStore> DataAssetStore for Audited<T> {
    async fn register(&self, asset: &NewDataAsset) -> Result<DataAsset> {
        let change = Change::new(&asset.actor, "data.register", format!("data/{}", asset.name));
        let change = change.with_digest(asset.digest).with_key(&asset.key);
        self.around(change, self.inner.register(asset)).await
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
        let action = if archived { "data.archive" } else { "data.restore" };
        let change = Change::new(&self.actor, action, format!("data/{name}:{version}"));
        self.around(change, self.inner.set_archived(name, version, archived)).await
    }

    async fn verify(&self, reference: &DataRef) -> Result<DataVerification> {
        self.inner.verify(reference).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: Deployer> Deployer for Audited<T> {
    fn capabilities(&self) -> DeployerCapabilities {
        self.inner.capabilities()
    }

    async fn ensure_endpoint(&self, spec: &EndpointSpec) -> Result<Endpoint> {
        let change = Change::new(&spec.actor, "endpoint.ensure", format!("endpoint/{}", spec.name));
        self.around(change, self.inner.ensure_endpoint(spec)).await
    }

    async fn endpoint(&self, name: &EndpointName) -> Result<Endpoint> {
        self.inner.endpoint(name).await
    }

    async fn endpoints(&self, page: &PageRequest) -> Result<Page<Endpoint>> {
        self.inner.endpoints(page).await
    }

    async fn deploy(&self, spec: &DeploymentSpec) -> Result<Deployment> {
        let subject = format!("endpoint/{}/{}", spec.endpoint, spec.name);
        let change = Change::new(&spec.actor, "endpoint.deploy", subject);
        let change = change.to(format_args!("{}:{}", spec.model, spec.version), spec);
        self.around(change, self.inner.deploy(spec)).await
    }

    async fn deployments(&self, endpoint: &EndpointName) -> Result<BTreeMap<DeploymentName, Deployment>> {
        self.inner.deployments(endpoint).await
    }

    async fn set_traffic(&self, change: &TrafficChange) -> Result<Endpoint> {
        let subject = format!("endpoint/{}", change.endpoint);
        let audit = Change::new(&change.actor, "endpoint.traffic", subject).with_key(&change.key);
        let audit = audit.to(&change.split, change);
        self.around(audit, self.inner.set_traffic(change)).await
    }

    async fn set_mirror(&self, change: &MirrorChange) -> Result<Endpoint> {
        let subject = format!("endpoint/{}", change.endpoint);
        let audit = Change::new(&change.actor, "endpoint.mirror", subject).with_key(&change.key);
        let to = change.mirror.as_ref().map_or_else(|| "no mirror".to_owned(), ToString::to_string);
        let audit = audit.to(to, change);
        self.around(audit, self.inner.set_mirror(change)).await
    }

    async fn delete_deployment(&self, endpoint: &EndpointName, deployment: &DeploymentName) -> Result<()> {
        let change =
            Change::new(&self.actor, "endpoint.undeploy", format!("endpoint/{endpoint}/{deployment}"));
        self.around(change, self.inner.delete_deployment(endpoint, deployment)).await
    }

    async fn invoke(&self, request: &InvokeRequest<'_>) -> Result<InvokeResponse> {
        self.inner.invoke(request).await
    }

    async fn stats(&self, endpoint: &EndpointName, deployment: &DeploymentName) -> Result<OperationStats> {
        self.inner.stats(endpoint, deployment).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: ExperimentTracker> ExperimentTracker for Audited<T> {
    fn capabilities(&self) -> TrackerCapabilities {
        self.inner.capabilities()
    }

    async fn ensure_experiment(&self, spec: &ExperimentSpec) -> Result<Experiment> {
        let change = Change::new(&self.actor, "experiment.ensure", format!("experiment/{}", spec.name));
        self.around(change, self.inner.ensure_experiment(spec)).await
    }

    async fn experiment(&self, name: &ExperimentName) -> Result<Experiment> {
        self.inner.experiment(name).await
    }

    async fn experiments(&self, page: &PageRequest) -> Result<Page<Experiment>> {
        self.inner.experiments(page).await
    }

    async fn start_run(&self, spec: &RunSpec) -> Result<Run> {
        let change = Change::new(&spec.actor, "run.start", format!("run/{}", spec.id));
        self.around(change, self.inner.start_run(spec)).await
    }

    async fn write(&self, run: &RunId, batch: &LogBatch) -> Result<WriteReceipt> {
        self.inner.write(run, batch).await
    }

    async fn heartbeat(&self, run: &RunId, lease: Duration) -> Result<()> {
        self.inner.heartbeat(run, lease).await
    }

    async fn finish_run(&self, run: &RunId, end: &RunEnd) -> Result<Run> {
        let change = Change::new(&self.actor, "run.finish", format!("run/{run}"));
        self.around(change, self.inner.finish_run(run, end)).await
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
        let action = if deleted { "run.delete" } else { "run.restore" };
        let change = Change::new(&self.actor, action, format!("run/{run}"));
        self.around(change, self.inner.set_deleted(run, deleted)).await
    }
}

/// What was appended, so that the same entry again is the same change.
fn entry_key(run: &RunId, sequence: u64, entry: &impl serde::Serialize) -> IdempotencyKey {
    let hasher = Hasher::new("mlops.audited.entry/v1").field(run.as_str()).field(sequence.to_le_bytes());
    let json = serde_json::to_vec(entry).ok();
    let key = json.and_then(|json| IdempotencyKey::new(hasher.field(json).finish().hex()).ok());
    // What has no JSON is refused by every journal, each time as another change.
    key.unwrap_or_else(IdempotencyKey::generate)
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: SweepJournal> SweepJournal for Audited<T> {
    async fn append(&self, sweep: &RunId, entry: &SweepEntry) -> Result<()> {
        let (actor, action) = match &entry.event {
            SweepEvent::Created { spec, .. } => (&spec.actor, "sweep.create"),
            SweepEvent::Opened { .. } => (&self.actor, "sweep.open"),
            SweepEvent::Paused => (&self.actor, "sweep.pause"),
            SweepEvent::Refused { .. } => (&self.actor, "sweep.refuse"),
            SweepEvent::Ended { .. } => (&self.actor, "sweep.end"),
            _ => return self.inner.append(sweep, entry).await,
        };
        let change = Change::new(actor, action, format!("sweep/{sweep}"));
        let change = change.with_key(&entry_key(sweep, entry.sequence, entry));
        self.around(change, self.inner.append(sweep, entry)).await
    }

    async fn entries(&self, sweep: &RunId, after: u64) -> Result<Vec<SweepEntry>> {
        self.inner.entries(sweep, after).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: PipelineJournal> PipelineJournal for Audited<T> {
    async fn append(&self, run: &RunId, entry: &PipelineEntry) -> Result<()> {
        let (action, digest) = match &entry.event {
            PipelineEvent::Begun(plan) => ("pipeline.begin", Some(plan.pipeline)),
            PipelineEvent::Resumed => ("pipeline.resume", None),
            PipelineEvent::Ended { .. } => ("pipeline.end", None),
            _ => return self.inner.append(run, entry).await,
        };
        let change = Change::new(&self.actor, action, format!("pipeline/{run}"));
        let mut change = change.with_key(&entry_key(run, entry.sequence, entry));
        change.digest = digest;
        self.around(change, self.inner.append(run, entry)).await
    }

    async fn entries(&self, run: &RunId) -> Result<Vec<PipelineEntry>> {
        self.inner.entries(run).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: StepCache> StepCache for Audited<T> {
    async fn get(&self, key: &StepKey) -> Result<Option<StepRecord>> {
        self.inner.get(key).await
    }

    async fn put(&self, record: &StepRecord, claim: &Claim) -> Result<()> {
        let change = Change::new(&self.actor, "step.put", format!("step/{}", record.key));
        self.around(change, self.inner.put(record, claim)).await
    }

    async fn claim(&self, key: &StepKey, holder: &str, lease: Duration) -> Result<Claimed> {
        self.inner.claim(key, holder, lease).await
    }

    async fn renew(&self, claim: &Claim, lease: Duration) -> Result<Claim> {
        self.inner.renew(claim, lease).await
    }

    async fn release(&self, claim: &Claim) -> Result<()> {
        self.inner.release(claim).await
    }

    async fn recent(&self, component: &ComponentName, limit: usize) -> Result<Vec<StepRecord>> {
        self.inner.recent(component, limit).await
    }

    async fn remove(&self, key: &StepKey) -> Result<bool> {
        let change = Change::new(&self.actor, "step.remove", format!("step/{key}"));
        self.around(change, self.inner.remove(key)).await
    }
}
