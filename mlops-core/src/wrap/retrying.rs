//! Trying again.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use crate::artifact::{ArtifactStore, Blob, ByteStream, GcOptions, GcReport, Manifest};
use crate::data::{DataAsset, DataAssetStore, DataRef, DataVerification, NewDataAsset};
use crate::deploy::{
    Deployer, DeployerCapabilities, Deployment, DeploymentSpec, Endpoint, EndpointSpec, InvokeRequest,
    InvokeResponse, MirrorChange, OperationStats, TrafficChange,
};
use crate::error::{Error, ErrorKind, Result};
use crate::experiment::sweep::{SweepEntry, SweepJournal};
use crate::experiment::{
    Experiment, ExperimentSpec, ExperimentTracker, HistoryQuery, LogBatch, MetricPoint, Run, RunEnd,
    RunQuery, RunSpec, TrackerCapabilities, WriteReceipt,
};
use crate::governance::{
    AuditEntry, AuditLog, AuditRecord, AuditVerification, Checkpoint, Secret, SecretStore,
};
use crate::hash::Digest;
use crate::id::{
    ActorId, Alias, AssetName, ComponentName, DeploymentName, EndpointName, ExperimentName, IdempotencyKey,
    ModelName, RunId, SecretName, Tags, Version,
};
use crate::monitor::{Alert, AlertReceipt, AlertSink};
use crate::num::Random;
use crate::page::{Page, PageRequest};
use crate::pipeline::{Claim, Claimed, PipelineEntry, PipelineJournal, StepCache, StepKey, StepRecord};
use crate::registry::{
    AliasChange, AliasRecord, Direction, Edge, LineageGraph, ModelRef, ModelRegistry, ModelVersion,
    NewModelVersion, Node, Promotion, RegistryCapabilities, RegistryEvent,
};
use crate::time::{Backoff, Clock, Pause, SystemClock, lock};

/// How often, and how long after one another.
///
/// The n-th wait is drawn evenly from between half of and all of `base` · 2ⁿ⁻¹, at most `longest`: callers that failed together
/// do not come back together. No wait is begun that would end after `deadline`.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::wrap::RetryPolicy;
/// let policy = RetryPolicy::default();
/// assert_eq!((policy.attempts, policy.deadline), (4, Duration::from_secs(60)));
/// assert!(policy.with_attempts(0).check().is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The most attempts, the first one included. Default: 4.
    pub attempts: u32,
    /// The longest first wait. Default: 200 ms.
    pub base: Duration,
    /// The longest wait of all. Default: 10 s.
    pub longest: Duration,
    /// The time after the call began at which nothing is tried any more. Default: 60 s.
    pub deadline: Duration,
    /// The seed of the waits. Default: 0.
    pub seed: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 4,
            base: Duration::from_millis(200),
            longest: Duration::from_secs(10),
            deadline: Duration::from_secs(60),
            seed: 0,
        }
    }
}

impl RetryPolicy {
    /// With this longest first wait.
    #[must_use]
    pub fn with_base(mut self, base: Duration) -> Self {
        self.base = base;
        self
    }

    /// With this longest wait of all.
    #[must_use]
    pub fn with_longest(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// With nothing tried any more so long after the call began.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// With waits drawn from this seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the most attempts.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Refuses a policy that never tries.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for no attempts.
    pub fn check(&self) -> Result<()> {
        match self.attempts {
            0 => Err(Error::invalid("RetryPolicy::check", "attempts", "must be at least 1")),
            _ => Ok(()),
        }
    }

    /// The wait after the `failed`-th attempt.
    fn wait(&self, failed: u32, share: f64) -> Duration {
        Backoff { base: self.base, longest: self.longest }.wait(failed, 0.5, share)
    }
}

/// A backend that tries again what [may succeed later](Error::is_retryable).
///
/// That is safe because every write of the traits is the same write when it is repeated: it has a key, an id made by the client or
/// a state that it expects. What sets a value and has none of these (tags of a version, archiving, a secret) sets it again: repeated after
/// a lost answer, it wins over whoever set it in between. A [`LogBatch`] without a key is given one, so that its receipt is that of the attempt that came
/// through. An entry of a journal, repeated, is the last entry; a claim to a step is granted to its holder anew. Two things are not tried again: an outcome that is [unknown](crate::ErrorKind::UnknownOutcome), and the body of
/// [`ArtifactStore::put`], which can be read once.
///
/// The error after the last attempt is that attempt's, with how many there were as context `attempts`.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::experiment::{ExperimentSpec, ExperimentTracker as _};
/// use mlops_core::memory::MemoryTracker;
/// use mlops_core::wrap::{NoPause, RetryPolicy, Retrying};
/// use mlops_core::ExperimentName;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let tracker = Retrying::new(MemoryTracker::default(), RetryPolicy::default(), Arc::new(NoPause))?;
/// tracker.ensure_experiment(&ExperimentSpec::new(ExperimentName::new("diabetes")?)).await?;
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Retrying<T> {
    inner: T,
    policy: RetryPolicy,
    pause: Arc<dyn Pause>,
    clock: Arc<dyn Clock>,
    random: Mutex<Random>,
}

impl<T> Retrying<T> {
    /// Puts it around a backend.
    ///
    /// # Errors
    /// As [`RetryPolicy::check`].
    pub fn new(inner: T, policy: RetryPolicy, pause: Arc<dyn Pause>) -> Result<Self> {
        policy.check()?;
        let random = Mutex::new(Random::new(policy.seed));
        Ok(Self { inner, policy, pause, clock: Arc::new(SystemClock::new()), random })
    }

    /// Measures the deadline by this clock. Default: the machine's.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The backend inside.
    pub fn inner(&self) -> &T {
        &self.inner
    }

    async fn retry<A, F>(&self, mut call: impl FnMut() -> F) -> Result<A>
    where
        F: Future<Output = Result<A>>,
    {
        let began = self.clock.monotonic();
        for attempt in 1.. {
            let error = match call().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if !error.is_retryable() {
                return Err(error);
            }
            let wait = self.policy.wait(attempt, lock(&self.random).next_f64());
            let over =
                self.clock.monotonic().saturating_sub(began).saturating_add(wait) > self.policy.deadline;
            if attempt >= self.policy.attempts || over {
                return Err(error.with("attempts", attempt));
            }
            self.pause.pause(wait).await;
        }
        Err(Error::new(ErrorKind::Internal, "Retrying", "ran out of numbers"))
    }
}

impl<T: fmt::Debug> fmt::Debug for Retrying<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retrying")
            .field("inner", &self.inner)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// Implements a trait by trying each of its async methods again.
macro_rules! retrying {
    ($trait:ident { $($capabilities:ident -> $kind:ty)? } $(
        fn $name:ident($($argument:ident: $type:ty),*) -> $answer:ty;
    )*) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: $trait> $trait for Retrying<T> {
            $(fn $capabilities(&self) -> $kind {
                self.inner.$capabilities()
            })?

            $(async fn $name(&self, $($argument: $type),*) -> Result<$answer> {
                self.retry(|| self.inner.$name($($argument),*)).await
            })*
        }
    };
}

retrying! { ModelRegistry { capabilities -> RegistryCapabilities }
    fn register(version: &NewModelVersion) -> ModelVersion;
    fn get(reference: &ModelRef) -> ModelVersion;
    fn versions(model: &ModelName, page: &PageRequest) -> Page<ModelVersion>;
    fn models(page: &PageRequest) -> Page<ModelName>;
    fn set_alias(change: &AliasChange) -> AliasRecord;
    fn promote(promotion: &Promotion) -> AliasRecord;
    fn aliases(model: &ModelName) -> Vec<(Alias, Version)>;
    fn alias_history(model: &ModelName, alias: &Alias, page: &PageRequest) -> Page<AliasRecord>;
    fn set_tags(model: &ModelName, version: Version, tags: &Tags, actor: &ActorId) -> ModelVersion;
    fn set_archived(model: &ModelName, version: Version, archived: bool, actor: &ActorId) -> ModelVersion;
    fn link(edge: &Edge) -> ();
    fn lineage(node: &Node, direction: Direction, depth: u32) -> LineageGraph;
    fn events(after: u64, limit: usize) -> Vec<RegistryEvent>;
}

retrying! { DataAssetStore {}
    fn register(asset: &NewDataAsset) -> DataAsset;
    fn get(reference: &DataRef) -> DataAsset;
    fn versions(name: &AssetName, page: &PageRequest) -> Page<DataAsset>;
    fn names(page: &PageRequest) -> Page<AssetName>;
    fn set_archived(name: &AssetName, version: Version, archived: bool) -> DataAsset;
    fn verify(reference: &DataRef) -> DataVerification;
}

retrying! { Deployer { capabilities -> DeployerCapabilities }
    fn ensure_endpoint(spec: &EndpointSpec) -> Endpoint;
    fn endpoint(name: &EndpointName) -> Endpoint;
    fn endpoints(page: &PageRequest) -> Page<Endpoint>;
    fn deploy(spec: &DeploymentSpec) -> Deployment;
    fn deployments(endpoint: &EndpointName) -> BTreeMap<DeploymentName, Deployment>;
    fn set_traffic(change: &TrafficChange) -> Endpoint;
    fn set_mirror(change: &MirrorChange) -> Endpoint;
    fn delete_deployment(endpoint: &EndpointName, deployment: &DeploymentName) -> ();
    fn invoke(request: &InvokeRequest<'_>) -> InvokeResponse;
    fn stats(endpoint: &EndpointName, deployment: &DeploymentName) -> OperationStats;
}

retrying! { AuditLog {}
    fn append(entry: &AuditEntry) -> AuditRecord;
    fn read(after: u64, limit: usize) -> Vec<AuditRecord>;
    fn checkpoint() -> Checkpoint;
    fn verify(checkpoint: Option<&Checkpoint>) -> AuditVerification;
}

retrying! { AlertSink {}
    fn deliver(alert: &Alert) -> AlertReceipt;
}

retrying! { SweepJournal {}
    fn append(sweep: &RunId, entry: &SweepEntry) -> ();
    fn entries(sweep: &RunId, after: u64) -> Vec<SweepEntry>;
}

retrying! { PipelineJournal {}
    fn append(run: &RunId, entry: &PipelineEntry) -> ();
    fn entries(run: &RunId) -> Vec<PipelineEntry>;
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: StepCache> StepCache for Retrying<T> {
    async fn get(&self, key: &StepKey) -> Result<Option<StepRecord>> {
        self.retry(|| self.inner.get(key)).await
    }

    async fn put(&self, record: &StepRecord, claim: &Claim) -> Result<()> {
        self.retry(|| self.inner.put(record, claim)).await
    }

    async fn claim(&self, key: &StepKey, holder: &str, lease: Duration) -> Result<Claimed> {
        self.retry(|| self.inner.claim(key, holder, lease)).await
    }

    async fn renew(&self, claim: &Claim, lease: Duration) -> Result<Claim> {
        self.retry(|| self.inner.renew(claim, lease)).await
    }

    async fn release(&self, claim: &Claim) -> Result<()> {
        self.retry(|| self.inner.release(claim)).await
    }

    async fn recent(&self, component: &ComponentName, limit: usize) -> Result<Vec<StepRecord>> {
        self.retry(|| self.inner.recent(component, limit)).await
    }

    /// Whether there was a record when the call began: an attempt whose answer was lost may have taken it away. One that cannot
    /// be read is there.
    async fn remove(&self, key: &StepKey) -> Result<bool> {
        let was_there = match self.get(key).await {
            Ok(record) => record.is_some(),
            Err(error) if error.is_retryable() => return Err(error),
            Err(_) => true,
        };
        self.retry(|| self.inner.remove(key)).await.map(|removed| removed || was_there)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: SecretStore> SecretStore for Retrying<T> {
    async fn get(&self, name: &SecretName) -> Result<Secret> {
        self.retry(|| self.inner.get(name)).await
    }

    async fn set(&self, name: &SecretName, value: &Secret) -> Result<()> {
        self.retry(|| self.inner.set(name, value)).await
    }

    /// A secret that is gone when it is removed again was removed by the attempt whose answer was lost.
    async fn remove(&self, name: &SecretName) -> Result<()> {
        let tried = std::sync::atomic::AtomicBool::new(false);
        self.retry(|| {
            let again = tried.swap(true, std::sync::atomic::Ordering::Relaxed);
            async move {
                match self.inner.remove(name).await {
                    Err(e) if again && e.kind() == ErrorKind::NotFound => Ok(()),
                    answer => answer,
                }
            }
        })
        .await
    }

    async fn names(&self) -> Result<Vec<SecretName>> {
        self.retry(|| self.inner.names()).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: ExperimentTracker> ExperimentTracker for Retrying<T> {
    fn capabilities(&self) -> TrackerCapabilities {
        self.inner.capabilities()
    }

    async fn ensure_experiment(&self, spec: &ExperimentSpec) -> Result<Experiment> {
        self.retry(|| self.inner.ensure_experiment(spec)).await
    }

    async fn experiment(&self, name: &ExperimentName) -> Result<Experiment> {
        self.retry(|| self.inner.experiment(name)).await
    }

    async fn experiments(&self, page: &PageRequest) -> Result<Page<Experiment>> {
        self.retry(|| self.inner.experiments(page)).await
    }

    async fn start_run(&self, spec: &RunSpec) -> Result<Run> {
        self.retry(|| self.inner.start_run(spec)).await
    }

    async fn write(&self, run: &RunId, batch: &LogBatch) -> Result<WriteReceipt> {
        let mut batch = batch.clone();
        batch.key.get_or_insert_with(IdempotencyKey::generate);
        self.retry(|| self.inner.write(run, &batch)).await
    }

    async fn heartbeat(&self, run: &RunId, lease: Duration) -> Result<()> {
        self.retry(|| self.inner.heartbeat(run, lease)).await
    }

    async fn finish_run(&self, run: &RunId, end: &RunEnd) -> Result<Run> {
        self.retry(|| self.inner.finish_run(run, end)).await
    }

    async fn run(&self, run: &RunId) -> Result<Run> {
        self.retry(|| self.inner.run(run)).await
    }

    async fn search_runs(&self, query: &RunQuery) -> Result<Page<Run>> {
        self.retry(|| self.inner.search_runs(query)).await
    }

    async fn history(&self, run: &RunId, query: &HistoryQuery) -> Result<Page<MetricPoint>> {
        self.retry(|| self.inner.history(run, query)).await
    }

    async fn set_deleted(&self, run: &RunId, deleted: bool) -> Result<Run> {
        self.retry(|| self.inner.set_deleted(run, deleted)).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: ArtifactStore> ArtifactStore for Retrying<T> {
    async fn put(&self, body: ByteStream, expect: Option<Digest>) -> Result<Blob> {
        self.inner.put(body, expect).await
    }

    async fn get(&self, digest: &Digest, range: Option<Range<u64>>) -> Result<ByteStream> {
        self.retry(|| self.inner.get(digest, range.clone())).await
    }

    async fn head(&self, digest: &Digest) -> Result<Option<Blob>> {
        self.retry(|| self.inner.head(digest)).await
    }

    async fn put_tree(&self, manifest: &Manifest) -> Result<Blob> {
        self.retry(|| self.inner.put_tree(manifest)).await
    }

    async fn tree(&self, digest: &Digest) -> Result<Manifest> {
        self.retry(|| self.inner.tree(digest)).await
    }

    async fn collect_garbage(
        &self,
        roots: &std::collections::BTreeSet<Digest>,
        options: &GcOptions,
    ) -> Result<GcReport> {
        self.retry(|| self.inner.collect_garbage(roots, options)).await
    }
}
