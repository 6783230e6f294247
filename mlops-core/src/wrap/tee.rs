//! Keeping everything twice.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;

use crate::artifact::{ArtifactStore, Blob, ByteStream, GcOptions, GcReport, Manifest};
use crate::error::{Error, Result};
use crate::experiment::{
    Degradation, Experiment, ExperimentSpec, ExperimentTracker, HistoryQuery, LogBatch, MetricPoint, Run,
    RunEnd, RunQuery, RunSpec, TrackerCapabilities, WriteReceipt,
};
use crate::hash::Digest;
use crate::id::{ExperimentName, RunId};
use crate::monitor::{Alert, AlertReceipt, AlertSink};
use crate::page::{Page, PageRequest};
use crate::time::lock;

/// What a failure of the second backend means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TeePolicy {
    /// The call fails with it. The first backend has kept what was sent; sent again, it is the same.
    #[default]
    Require,
    /// The call succeeds; the failure is in the receipt where there is one, and in [`Tee::failures`].
    Report,
}

/// A call that the second backend did not take.
#[non_exhaustive]
#[derive(Debug)]
pub struct TeeFailure {
    /// The call, as `Trait::method`.
    pub operation: &'static str,
    /// Why.
    pub error: Error,
}

/// Two backends as one: every write goes to the first and then to the second, every answer comes from the first.
///
/// Ids and keys are made by the client, and times are those of the first, so both keep the same. Nothing is written to the
/// second that the first has refused.
///
/// ```
/// use mlops_core::experiment::{ExperimentSpec, ExperimentTracker as _, RunSpec};
/// use mlops_core::memory::MemoryTracker;
/// use mlops_core::wrap::Tee;
/// use mlops_core::{ActorId, ExperimentName};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let tee = Tee::new(MemoryTracker::default(), MemoryTracker::default());
/// let name = ExperimentName::new("diabetes")?;
/// tee.ensure_experiment(&ExperimentSpec::new(name.clone())).await?;
/// let run = tee.start_run(&RunSpec::new(name, "baseline", ActorId::new("trainer")?)).await?;
/// assert_eq!(tee.second().run(&run.id).await?, run);
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Tee<A, B> {
    first: A,
    second: B,
    policy: TeePolicy,
    failures: Mutex<(Vec<TeeFailure>, u64)>,
}

impl<A, B> Tee<A, B> {
    /// How many failures are kept; more are counted only.
    pub const KEPT_FAILURES: usize = 1000;

    /// Two backends as one; a failure of either is a failure.
    pub fn new(first: A, second: B) -> Self {
        Self { first, second, policy: TeePolicy::default(), failures: Mutex::default() }
    }

    /// Says what a failure of the second means.
    #[must_use]
    pub fn with_policy(mut self, policy: TeePolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The first backend.
    pub fn first(&self) -> &A {
        &self.first
    }

    /// The second backend.
    pub fn second(&self) -> &B {
        &self.second
    }

    /// Takes out what the second backend did not take since the last time, and how many there were in all.
    pub fn failures(&self) -> (Vec<TeeFailure>, u64) {
        std::mem::take(&mut *lock(&self.failures))
    }

    /// What came of a call to the second backend: nothing, or a failure that is an error or is written down.
    fn settle<T>(&self, operation: &'static str, answer: Result<T>) -> Result<Option<Degradation>> {
        let error = match (answer, self.policy) {
            (Ok(_), _) => return Ok(None),
            (Err(error), TeePolicy::Require) => return Err(error.with("backend", "second")),
            (Err(error), TeePolicy::Report) => error,
        };
        let degradation = Degradation::new("the second backend", error.to_string());
        let mut failures = lock(&self.failures);
        failures.1 += 1;
        if failures.0.len() < Self::KEPT_FAILURES {
            failures.0.push(TeeFailure { operation, error });
        }
        Ok(Some(degradation))
    }
}

impl<A: fmt::Debug, B: fmt::Debug> fmt::Debug for Tee<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tee")
            .field("first", &self.first)
            .field("second", &self.second)
            .finish_non_exhaustive()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<A: ExperimentTracker, B: ExperimentTracker> ExperimentTracker for Tee<A, B> {
    /// What the first can keep: answers come from there. What the second cannot is in the receipts.
    fn capabilities(&self) -> TrackerCapabilities {
        self.first.capabilities()
    }

    async fn ensure_experiment(&self, spec: &ExperimentSpec) -> Result<Experiment> {
        let made = self.first.ensure_experiment(spec).await?;
        let tags = made.tags.clone();
        let same = ExperimentSpec { name: spec.name.clone(), tags };
        self.settle("ExperimentTracker::ensure_experiment", self.second.ensure_experiment(&same).await)?;
        Ok(made)
    }

    async fn experiment(&self, name: &ExperimentName) -> Result<Experiment> {
        self.first.experiment(name).await
    }

    async fn experiments(&self, page: &PageRequest) -> Result<Page<Experiment>> {
        self.first.experiments(page).await
    }

    async fn start_run(&self, spec: &RunSpec) -> Result<Run> {
        let run = self.first.start_run(spec).await?;
        let same = RunSpec { started_at: Some(run.started_at), ..spec.clone() };
        self.settle("ExperimentTracker::start_run", self.second.start_run(&same).await)?;
        Ok(run)
    }

    async fn write(&self, run: &RunId, batch: &LogBatch) -> Result<WriteReceipt> {
        let mut receipt = self.first.write(run, batch).await?;
        let answer = self.second.write(run, batch).await;
        let degraded = answer.as_ref().map_or_else(|_| Vec::new(), |second| second.degraded.clone());
        let failed = self.settle("ExperimentTracker::write", answer)?;
        receipt.degraded.extend(degraded);
        receipt.degraded.extend(failed);
        Ok(receipt)
    }

    async fn heartbeat(&self, run: &RunId, lease: Duration) -> Result<()> {
        self.first.heartbeat(run, lease).await?;
        self.settle("ExperimentTracker::heartbeat", self.second.heartbeat(run, lease).await).map(drop)
    }

    async fn finish_run(&self, run: &RunId, end: &RunEnd) -> Result<Run> {
        let ended = self.first.finish_run(run, end).await?;
        let same = RunEnd { status: end.status, at: ended.ended_at.or(end.at) };
        self.settle("ExperimentTracker::finish_run", self.second.finish_run(run, &same).await)?;
        Ok(ended)
    }

    async fn run(&self, run: &RunId) -> Result<Run> {
        self.first.run(run).await
    }

    async fn search_runs(&self, query: &RunQuery) -> Result<Page<Run>> {
        self.first.search_runs(query).await
    }

    async fn history(&self, run: &RunId, query: &HistoryQuery) -> Result<Page<MetricPoint>> {
        self.first.history(run, query).await
    }

    async fn set_deleted(&self, run: &RunId, deleted: bool) -> Result<Run> {
        let changed = self.first.set_deleted(run, deleted).await?;
        self.settle("ExperimentTracker::set_deleted", self.second.set_deleted(run, deleted).await)?;
        Ok(changed)
    }
}

/// The body of a `put` can be read once: it goes to the first, and from there, verified, to the second.
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<A: ArtifactStore, B: ArtifactStore> ArtifactStore for Tee<A, B> {
    async fn put(&self, body: ByteStream, expect: Option<Digest>) -> Result<Blob> {
        let blob = self.first.put(body, expect).await?;
        let answer = match self.first.get(&blob.digest, None).await {
            Ok(content) => self.second.put(content, Some(blob.digest)).await,
            Err(e) => Err(e),
        };
        self.settle("ArtifactStore::put", answer)?;
        Ok(blob)
    }

    async fn get(&self, digest: &Digest, range: Option<Range<u64>>) -> Result<ByteStream> {
        self.first.get(digest, range).await
    }

    async fn head(&self, digest: &Digest) -> Result<Option<Blob>> {
        self.first.head(digest).await
    }

    async fn put_tree(&self, manifest: &Manifest) -> Result<Blob> {
        let blob = self.first.put_tree(manifest).await?;
        self.settle("ArtifactStore::put_tree", self.second.put_tree(manifest).await)?;
        Ok(blob)
    }

    async fn tree(&self, digest: &Digest) -> Result<Manifest> {
        self.first.tree(digest).await
    }

    async fn collect_garbage(&self, roots: &BTreeSet<Digest>, options: &GcOptions) -> Result<GcReport> {
        let report = self.first.collect_garbage(roots, options).await?;
        self.settle("ArtifactStore::collect_garbage", self.second.collect_garbage(roots, options).await)?;
        Ok(report)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<A: AlertSink, B: AlertSink> AlertSink for Tee<A, B> {
    async fn deliver(&self, alert: &Alert) -> Result<AlertReceipt> {
        let receipt = self.first.deliver(alert).await?;
        self.settle("AlertSink::deliver", self.second.deliver(alert).await)?;
        Ok(receipt)
    }
}
