//! Where people and other tools see a pipeline's runs: nested runs of a tracker, data assets with lineage.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    Content, ParamValue, PipelineState, PipelineStatus, PortType, RunPlan, StepKey, StepMetric, StepSpec,
    StepState,
};
use crate::artifact::{ArtifactStore, Blob, Entry, Manifest};
use crate::data::{AssetKind, DataAssetStore, DataRef, NewDataAsset};
use crate::error::{Error, ErrorKind, Result};
use crate::experiment::{
    ArtifactLink, DataInput, ExperimentSpec, ExperimentTracker, LogBatch, MetricPoint, RunEnd, RunSpec,
    RunStatus,
};
use crate::hash::{Digest, Hasher};
use crate::id::{
    ActorId, AssetName, ExperimentName, IdempotencyKey, ParamKey, PortName, RelPath, RunId, StepName, TagKey,
    VersionSpec,
};
use crate::time::Timestamp;

/// Where runs and outputs are shown: a tracker, a store of data assets, both or none.
///
/// A run of a pipeline is a run of the tracker, and every attempt of a step and every reuse a run nested in it, with parameters,
/// metrics, data that went in and files that came out. An output that a step names as an asset becomes the next version of that
/// data asset, unless a version has the same content already; a step that reads it has it as an input, which is its lineage.
/// Everything has ids that follow from the run, the step and the attempt, so that a run that is resumed writes nothing twice. An attempt
/// that was cut off while it was shown ends as killed when its run is resumed.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::memory::MemoryTracker;
/// use mlops_core::pipeline::Publishing;
/// use mlops_core::{ActorId, ExperimentName};
/// let publishing = Publishing::new(ActorId::new("nightly")?)
///     .with_tracker(Arc::new(MemoryTracker::default()), ExperimentName::new("diabetes")?);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Publishing {
    actor: ActorId,
    tracker: Option<(Arc<dyn ExperimentTracker>, ExperimentName)>,
    assets: Option<Arc<dyn DataAssetStore>>,
}

/// One attempt, or one reuse.
pub(super) struct Attempt<'a> {
    pub(super) run: &'a RunId,
    pub(super) step: &'a StepName,
    pub(super) number: u32,
    pub(super) key: StepKey,
    pub(super) began: Timestamp,
    pub(super) ended: Timestamp,
    pub(super) parameters: &'a BTreeMap<PortName, ParamValue>,
    pub(super) inputs: &'a BTreeMap<PortName, Content>,
    pub(super) outputs: &'a BTreeMap<PortName, Content>,
    pub(super) metrics: &'a [StepMetric],
    pub(super) log: Option<Blob>,
    pub(super) reused: Option<&'a RunId>,
    pub(super) error: Option<&'a str>,
    pub(super) reason: Option<String>,
}

impl Publishing {
    /// Shows nothing yet; what will be shown is by `actor`.
    pub fn new(actor: ActorId) -> Self {
        Self { actor, tracker: None, assets: None }
    }

    /// Shows runs in an experiment, which is made where it is not there.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use mlops_core::memory::MemoryTracker;
    /// # use mlops_core::pipeline::Publishing;
    /// # use mlops_core::{ActorId, ExperimentName};
    /// let tracker = Arc::new(MemoryTracker::default());
    /// let publishing = Publishing::new(ActorId::new("nightly")?).with_tracker(tracker, ExperimentName::new("diabetes")?);
    /// assert!(format!("{publishing:?}").contains("diabetes"));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_tracker(mut self, tracker: Arc<dyn ExperimentTracker>, experiment: ExperimentName) -> Self {
        self.tracker = Some((tracker, experiment));
        self
    }

    /// Registers outputs as data assets.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use mlops_core::ActorId;
    /// # use mlops_core::memory::{MemoryArtifactStore, MemoryDataAssetStore};
    /// # use mlops_core::time::SystemClock;
    /// # use mlops_core::pipeline::Publishing;
    /// let artifacts = Arc::new(MemoryArtifactStore::default());
    /// let assets = Arc::new(MemoryDataAssetStore::new(artifacts, Arc::new(SystemClock::new())));
    /// let publishing = Publishing::new(ActorId::new("nightly")?).with_assets(assets);
    /// assert!(format!("{publishing:?}").contains("MemoryDataAssetStore"));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_assets(mut self, assets: Arc<dyn DataAssetStore>) -> Self {
        self.assets = Some(assets);
        self
    }

    pub(super) fn has_assets(&self) -> bool {
        self.assets.is_some()
    }

    /// The run of the pipeline.
    pub(super) async fn begin(&self, run: &RunId, plan: &RunPlan, at: Timestamp) -> Result<()> {
        let Some((tracker, experiment)) = &self.tracker else { return Ok(()) };
        tracker.ensure_experiment(&ExperimentSpec::new(experiment.clone())).await?;
        let mut spec = RunSpec::new(experiment.clone(), plan.name.as_str(), self.actor.clone())
            .with_tag(TagKey::new("mlops.pipeline")?, plan.pipeline.to_string());
        (spec.id, spec.started_at) = (run.clone(), Some(at));
        tracker.start_run(&spec).await?;
        let batch = LogBatch { inputs: lineage(&plan.inputs), ..parameters(&plan.arguments)? };
        if batch.is_empty() { Ok(()) } else { tracker.write(run, &batch).await.map(drop) }
    }

    /// A run nested in that of the pipeline.
    pub(super) async fn attempt(&self, attempt: &Attempt<'_>) -> Result<()> {
        let Some((tracker, experiment)) = &self.tracker else { return Ok(()) };
        let mut spec = RunSpec::new(experiment.clone(), attempt.step.as_str(), self.actor.clone())
            .with_parent(attempt.run.clone())
            .with_tag(TagKey::new("mlops.step")?, attempt.step.as_str())
            .with_tag(TagKey::new("mlops.step.attempt")?, attempt.number.to_string())
            .with_tag(TagKey::new("mlops.step.key")?, attempt.key.to_string());
        spec.id = nested_run(attempt.run, attempt.step, attempt.number)?;
        spec.started_at = Some(attempt.began);
        for (key, value) in [
            ("mlops.step.reused_from", attempt.reused.map(ToString::to_string)),
            ("mlops.step.error", attempt.error.map(str::to_owned)),
            ("mlops.step.reason", attempt.reason.clone()),
        ] {
            if let Some(value) = value {
                spec = spec.with_tag(TagKey::new(key)?, value);
            }
        }
        tracker.start_run(&spec).await?;
        match tracker.write(&spec.id, &batch(attempt)?).await {
            Ok(_) => {}
            // The run that was cut off had come as far as ending it.
            Err(e) if e.kind() == ErrorKind::Conflict && tracker.run(&spec.id).await?.status.is_final() => {
                return Ok(());
            }
            Err(e) => return Err(e),
        }
        let status = if attempt.error.is_some() { RunStatus::Failed } else { RunStatus::Finished };
        tracker.finish_run(&spec.id, &RunEnd { status, at: Some(attempt.ended) }).await.map(drop)
    }

    /// Ends the runs of attempts that were cut off while they were shown: the attempts after them have runs of their own.
    pub(super) async fn cut_off(&self, run: &RunId, state: &PipelineState, at: Timestamp) -> Result<()> {
        let Some((tracker, _)) = &self.tracker else { return Ok(()) };
        for (step, status) in state.steps() {
            let StepState::Running { attempt } = status.state else { continue };
            let nested = nested_run(run, step, attempt)?;
            match tracker.run(&nested).await {
                Ok(shown) if shown.status.is_final() => {}
                Ok(_) => {
                    let end = RunEnd { status: RunStatus::Killed, at: Some(at) };
                    tracker.finish_run(&nested, &end).await?;
                }
                // It had not come to that.
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// The outputs, with the data assets that they are now.
    pub(super) async fn register(
        &self,
        run: &RunId,
        step: &StepSpec,
        outputs: &BTreeMap<PortName, Content>,
        artifacts: &dyn ArtifactStore,
    ) -> Result<BTreeMap<PortName, Content>> {
        let mut registered = outputs.clone();
        let Some(assets) = &self.assets else { return Ok(registered) };
        for (port, name) in &step.assets {
            let Some(output) = registered.get_mut(port) else { continue };
            let digest = tree(port, output, artifacts).await?;
            let reference = DataRef { name: name.clone(), version: VersionSpec::Digest(digest) };
            let asset = match assets.get(&reference).await {
                Ok(asset) => asset,
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    assets.register(&self.asset(run, &step.id, name, output, digest)?).await?
                }
                Err(e) => return Err(e),
            };
            *output = output.clone().with_asset(name.clone(), asset.version);
        }
        Ok(registered)
    }

    fn asset(
        &self,
        run: &RunId,
        step: &StepName,
        name: &AssetName,
        output: &Content,
        digest: Digest,
    ) -> Result<NewDataAsset> {
        let kind = match output.r#type {
            PortType::MlTable => AssetKind::Table,
            kind if kind.is_tree() => AssetKind::Folder,
            _ => AssetKind::File,
        };
        let key = Hasher::new("mlops.pipeline.asset/v1").field(run.as_str()).field(step.as_str());
        let key = key.field(name.as_str()).field(digest.as_bytes()).finish();
        let mut asset = NewDataAsset::stored(name.clone(), kind, digest, self.actor.clone())
            .with_key(IdempotencyKey::new(key.hex())?);
        asset.tags.insert(TagKey::new("mlops.run")?, run.to_string());
        asset.tags.insert(TagKey::new("mlops.step")?, step.to_string());
        Ok(asset)
    }

    /// Ends the run of the pipeline.
    pub(super) async fn end(&self, run: &RunId, status: PipelineStatus, at: Timestamp) -> Result<()> {
        let Some((tracker, _)) = &self.tracker else { return Ok(()) };
        let status = match status {
            PipelineStatus::Succeeded => RunStatus::Finished,
            PipelineStatus::Cancelled => RunStatus::Killed,
            _ => RunStatus::Failed,
        };
        if tracker.run(run).await?.status.is_final() {
            return Ok(());
        }
        tracker.finish_run(run, &RunEnd { status, at: Some(at) }).await.map(drop)
    }
}

/// The id of the run of an attempt; a reuse is attempt 0.
pub(super) fn nested_run(run: &RunId, step: &StepName, attempt: u32) -> Result<RunId> {
    let digest = Hasher::new("mlops.pipeline.step-run/v1").field(run.as_str()).field(step.as_str());
    let hex = digest.field(attempt.to_le_bytes()).finish().hex();
    Ok(RunId::new(hex.get(..32).unwrap_or_default())?)
}

fn parameters(values: &BTreeMap<PortName, ParamValue>) -> Result<LogBatch> {
    let mut batch = LogBatch::new();
    for (name, value) in values {
        let shown = match value {
            ParamValue::Text(text) => text.clone(),
            other => other.to_string(),
        };
        batch = batch.param(ParamKey::new(name.as_str())?, shown);
    }
    Ok(batch)
}

fn lineage(inputs: &BTreeMap<PortName, Content>) -> Vec<DataInput> {
    let of_asset = |(port, content): (&PortName, &Content)| {
        let asset = content.asset.as_ref()?;
        Some(DataInput {
            asset: asset.name.clone(),
            version: asset.version,
            digest: content.digest,
            role: port.to_string(),
        })
    };
    inputs.iter().filter_map(of_asset).collect()
}

fn batch(attempt: &Attempt<'_>) -> Result<LogBatch> {
    let mut batch = LogBatch { inputs: lineage(attempt.inputs), ..parameters(attempt.parameters)? };
    for metric in attempt.metrics {
        batch = batch.metric(MetricPoint::new(metric.key.clone(), metric.value, attempt.ended));
    }
    for (port, output) in attempt.outputs {
        let path = RelPath::new(format!("outputs/{port}"))?;
        batch = batch.artifact(ArtifactLink { path, digest: output.digest, size: output.size });
    }
    if let Some(log) = attempt.log {
        batch = batch.artifact(ArtifactLink {
            path: RelPath::new("log.txt")?,
            digest: log.digest,
            size: log.size,
        });
    }
    Ok(batch)
}

/// The digest of the tree that a data asset is: of the folder, or of one with the file alone.
async fn tree(port: &PortName, output: &Content, artifacts: &dyn ArtifactStore) -> Result<Digest> {
    if output.r#type.is_tree() {
        return Ok(output.digest);
    }
    let path = RelPath::new(port.as_str()).map_err(Error::from)?;
    let entry = Entry { path, digest: output.digest, size: output.size };
    Ok(artifacts.put_tree(&Manifest::new(vec![entry])?).await?.digest)
}
