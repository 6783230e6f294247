//! Experiments, runs and what is logged to them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Capsule;
use crate::error::{Error, Result};
use crate::hash::Digest;
use crate::id::{
    ActorId, AssetName, ExperimentName, IdempotencyKey, MAX_ENTRIES, MetricKey, ParamKey, RelPath, RunId,
    TagKey, Tags, Version, check_tags, check_text,
};
use crate::time::Timestamp;

/// An experiment to make sure of.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExperimentSpec {
    /// The name, which is its identity.
    pub name: ExperimentName,
    /// Tags it gets when it is made; an experiment that is there already keeps its own.
    pub tags: Tags,
}

impl ExperimentSpec {
    /// With a tag for an experiment that is made.
    #[must_use]
    pub fn with_tag(mut self, key: TagKey, value: impl Into<String>) -> Self {
        self.tags.insert(key, value.into());
        self
    }

    /// An experiment without tags.
    pub fn new(name: ExperimentName) -> Self {
        Self { name, tags: Tags::new() }
    }
}

/// A group of runs that can be compared.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Experiment {
    /// The name, which is its identity.
    pub name: ExperimentName,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Experiment {
    /// An experiment as the backend keeps it; for backends.
    pub fn new(spec: ExperimentSpec, created_at: Timestamp) -> Self {
        Self { name: spec.name, tags: spec.tags, created_at }
    }
}

/// A run to start.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSpec {
    /// The id, made by the client: starting the same run again returns it.
    pub id: RunId,
    /// The experiment it belongs to.
    pub experiment: ExperimentName,
    /// A name for people; need not be unique.
    pub name: String,
    /// The run it is part of.
    pub parent: Option<RunId>,
    /// Who runs it.
    pub actor: ActorId,
    /// When it started; `None` takes the backend's clock.
    pub started_at: Option<Timestamp>,
    /// Its first tags.
    pub tags: Tags,
    /// What one needs to make it again.
    pub capsule: Capsule,
}

impl RunSpec {
    /// With this id, that of an earlier try.
    #[must_use]
    pub fn with_id(mut self, id: RunId) -> Self {
        self.id = id;
        self
    }

    /// Started then; `None` takes the backend's clock.
    #[must_use]
    pub fn with_started_at(mut self, started_at: impl Into<Option<Timestamp>>) -> Self {
        self.started_at = started_at.into();
        self
    }

    /// A run with a new id.
    ///
    /// ```
    /// use mlops_core::experiment::RunSpec;
    /// use mlops_core::{ActorId, ExperimentName};
    /// let spec = RunSpec::new(ExperimentName::new("diabetes")?, "baseline", ActorId::new("trainer")?);
    /// assert!(spec.parent.is_none());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn new(experiment: ExperimentName, name: impl Into<String>, actor: ActorId) -> Self {
        Self {
            id: RunId::generate(),
            experiment,
            name: name.into(),
            parent: None,
            actor,
            started_at: None,
            tags: Tags::new(),
            capsule: Capsule::default(),
        }
    }

    /// Makes it a part of `parent`.
    #[must_use]
    pub fn with_parent(mut self, parent: RunId) -> Self {
        self.parent = Some(parent);
        self
    }

    /// Adds the reproducibility capsule.
    #[must_use]
    pub fn with_capsule(mut self, capsule: Capsule) -> Self {
        self.capsule = capsule;
        self
    }

    /// Adds a tag.
    #[must_use]
    pub fn with_tag(mut self, key: TagKey, value: impl Into<String>) -> Self {
        self.tags.insert(key, value.into());
        self
    }

    /// Checks text, tags and capsule; backends call this first.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded), or
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a run that is its own parent.
    pub fn check(&self) -> Result<()> {
        const OP: &str = "ExperimentTracker::start_run";
        if self.parent.as_ref() == Some(&self.id) {
            return Err(Error::invalid(OP, "parent", "a run cannot be its own parent").with("run", &self.id));
        }
        check_text(OP, "the name", &self.name)?;
        self.capsule.check(OP)?;
        check_tags(OP, &self.tags)
    }
}

/// How far a run has come. It moves forward only: from `Scheduled` or `Running` to one of the three ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Planned.
    Scheduled,
    /// At work.
    Running,
    /// Ended as it should.
    Finished,
    /// Ended with an error.
    Failed,
    /// Ended from outside, or its lease ran out.
    Killed,
}

impl RunStatus {
    /// Whether nothing can be logged any more.
    ///
    /// ```
    /// use mlops_core::experiment::RunStatus;
    /// assert!(RunStatus::Killed.is_final() && !RunStatus::Running.is_final());
    /// ```
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Killed)
    }

    /// Every status.
    pub const ALL: [Self; 5] = [Self::Scheduled, Self::Running, Self::Finished, Self::Failed, Self::Killed];

    /// Its name in records.
    ///
    /// ```
    /// use mlops_core::experiment::RunStatus;
    /// assert_eq!(RunStatus::Finished.as_str(), "finished");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Killed => "killed",
        }
    }
}

/// How a run ends.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEnd {
    /// The final status.
    pub status: RunStatus,
    /// When; `None` takes the backend's clock.
    pub at: Option<Timestamp>,
}

impl RunEnd {
    /// Ended like this, now.
    pub const fn new(status: RunStatus) -> Self {
        Self { status, at: None }
    }

    /// Ended then; `None` takes the backend's clock.
    #[must_use]
    pub fn with_at(mut self, at: impl Into<Option<Timestamp>>) -> Self {
        self.at = at.into();
        self
    }

    /// Ended as it should, now.
    pub const FINISHED: Self = Self { status: RunStatus::Finished, at: None };
    /// Ended with an error, now.
    pub const FAILED: Self = Self { status: RunStatus::Failed, at: None };
    /// Ended from outside, now.
    pub const KILLED: Self = Self { status: RunStatus::Killed, at: None };
}

/// One value of a metric. Any `f64` is kept as it is, NaN and infinities too.
#[non_exhaustive]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MetricPoint {
    /// Which metric.
    pub key: MetricKey,
    /// The value.
    #[serde(with = "crate::num::json_float")]
    pub value: f64,
    /// The step: an epoch, a batch, anything that counts; may repeat and go backwards.
    pub step: i64,
    /// When it was measured.
    pub at: Timestamp,
}

impl MetricPoint {
    /// A value at step 0.
    pub fn new(key: MetricKey, value: f64, at: Timestamp) -> Self {
        Self { key, value, step: 0, at }
    }

    /// Sets the step.
    #[must_use]
    pub fn with_step(mut self, step: i64) -> Self {
        self.step = step;
        self
    }

    /// What makes two points the same point: key, step, time and the bits of the value (all NaNs are one).
    pub fn identity(&self) -> (&MetricKey, i64, Timestamp, u64) {
        let bits = if self.value.is_nan() { f64::NAN.to_bits() } else { self.value.to_bits() };
        (&self.key, self.step, self.at, bits)
    }
}

/// Two points are equal if they are the same point, so NaN equals NaN and 0.0 differs from −0.0.
impl PartialEq for MetricPoint {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

/// Data that went into a run or a model.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DataInput {
    /// The data asset.
    pub asset: AssetName,
    /// Its version.
    pub version: Version,
    /// The digest of its content.
    pub digest: Digest,
    /// What it was used for: `training`, `validation`, `test`, …
    pub role: String,
}

impl DataInput {
    /// A version of a data asset, used for this.
    pub fn new(asset: AssetName, version: Version, digest: Digest, role: impl Into<String>) -> Self {
        Self { asset, version, digest, role: role.into() }
    }
}

/// A file of a run, by content.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ArtifactLink {
    /// Where the run keeps it.
    pub path: RelPath,
    /// The digest of its content.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

impl ArtifactLink {
    /// A blob and where the run keeps it.
    pub fn new(path: RelPath, digest: Digest, size: u64) -> Self {
        Self { path, digest, size }
    }
}

/// Things to log in one call; all of them or none.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LogBatch {
    /// Makes a repeated call the same call, for what has no identity of its own: one key for each batch of a run. Optional.
    pub key: Option<IdempotencyKey>,
    /// Metric values.
    pub metrics: Vec<MetricPoint>,
    /// Parameters; one that is there already must have the same value.
    pub params: BTreeMap<ParamKey, String>,
    /// Tags; they replace what was there.
    pub tags: Tags,
    /// Data that went in.
    pub inputs: Vec<DataInput>,
    /// Files that came out; a path that is there already must have the same content.
    pub artifacts: Vec<ArtifactLink>,
}

impl LogBatch {
    /// With a key, by which a repeated batch is written once.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Option<IdempotencyKey>>) -> Self {
        self.key = key.into();
        self
    }

    /// With these points of metrics, and no others.
    #[must_use]
    pub fn with_metrics(mut self, metrics: impl IntoIterator<Item = MetricPoint>) -> Self {
        self.metrics = metrics.into_iter().collect();
        self
    }

    /// A batch with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a metric value.
    #[must_use]
    pub fn metric(mut self, point: MetricPoint) -> Self {
        self.metrics.push(point);
        self
    }

    /// Adds a parameter.
    ///
    /// ```
    /// use mlops_core::{ParamKey, experiment::LogBatch};
    /// let batch = LogBatch::new().param(ParamKey::new("depth")?, 6);
    /// assert_eq!(batch.params.len(), 1);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn param(mut self, key: ParamKey, value: impl ToString) -> Self {
        self.params.insert(key, value.to_string());
        self
    }

    /// Sets a tag.
    #[must_use]
    pub fn tag(mut self, key: TagKey, value: impl Into<String>) -> Self {
        self.tags.insert(key, value.into());
        self
    }

    /// Adds data that went in.
    #[must_use]
    pub fn input(mut self, input: DataInput) -> Self {
        self.inputs.push(input);
        self
    }

    /// Adds a file that came out.
    #[must_use]
    pub fn artifact(mut self, artifact: ArtifactLink) -> Self {
        self.artifacts.push(artifact);
        self
    }

    /// Whether there is nothing to log.
    pub fn is_empty(&self) -> bool {
        self.metrics.is_empty()
            && self.params.is_empty()
            && self.tags.is_empty()
            && self.inputs.is_empty()
            && self.artifacts.is_empty()
    }

    /// Checks limits; backends call this first.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) that names the parameter or tag.
    pub fn check(&self) -> Result<()> {
        const OP: &str = "ExperimentTracker::write";
        if self.params.len() > MAX_ENTRIES {
            return Err(Error::limit(OP, "the number of parameters", MAX_ENTRIES, self.params.len()));
        }
        for (key, value) in &self.params {
            check_text(OP, "a parameter", value).map_err(|e| e.with("parameter", key))?;
        }
        for input in &self.inputs {
            check_text(OP, "an input's role", &input.role)?;
        }
        check_tags(OP, &self.tags)
    }
}

/// What is known of a metric without reading its history.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricSummary {
    /// The point with the greatest step, among those the latest, among those the last logged.
    pub last: MetricPoint,
    /// The smallest value that is not NaN.
    #[serde(with = "optional_float")]
    pub min: Option<f64>,
    /// The greatest value that is not NaN.
    #[serde(with = "optional_float")]
    pub max: Option<f64>,
    /// How many points there are.
    pub count: u64,
}

impl MetricSummary {
    /// The summary of one point.
    pub fn of(point: MetricPoint) -> Self {
        let value = (!point.value.is_nan()).then_some(point.value);
        Self { last: point, min: value, max: value, count: 1 }
    }

    /// Takes one more point in.
    ///
    /// ```
    /// use mlops_core::{MetricKey, experiment::{MetricPoint, MetricSummary}};
    /// let at = "2026-01-01T00:00:00Z".parse()?;
    /// let loss = |value, step| MetricPoint::new(MetricKey::new("loss").unwrap(), value, at).with_step(step);
    /// let mut summary = MetricSummary::of(loss(0.5, 2));
    /// summary.add(loss(0.9, 1));
    /// assert_eq!((summary.last.value, summary.max, summary.count), (0.5, Some(0.9), 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add(&mut self, point: MetricPoint) {
        if !point.value.is_nan() {
            self.min = Some(self.min.map_or(point.value, |m| m.min(point.value)));
            self.max = Some(self.max.map_or(point.value, |m| m.max(point.value)));
        }
        self.count += 1;
        if (point.step, point.at) >= (self.last.step, self.last.at) {
            self.last = point;
        }
    }
}

mod optional_float {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Float(#[serde(with = "crate::num::json_float")] f64);

    pub(super) fn serialize<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(Float).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        Option::<Float>::deserialize(deserializer).map(|value| value.map(|Float(v)| v))
    }
}

/// A run with everything but its metric histories.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Its experiment.
    pub experiment: ExperimentName,
    /// Its name for people.
    pub name: String,
    /// The run it is part of.
    pub parent: Option<RunId>,
    /// Who runs it.
    pub actor: ActorId,
    /// How far it has come.
    pub status: RunStatus,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Until when it counts as alive without another heartbeat; `None` without a lease.
    pub lease_until: Option<Timestamp>,
    /// Its parameters.
    pub params: BTreeMap<ParamKey, String>,
    /// Its tags.
    pub tags: Tags,
    /// Its metrics, summarised.
    pub metrics: BTreeMap<MetricKey, MetricSummary>,
    /// Data that went in.
    pub inputs: Vec<DataInput>,
    /// Files that came out, sorted by path.
    pub artifacts: Vec<ArtifactLink>,
    /// What one needs to make it again.
    pub capsule: Capsule,
    /// Deleted runs are hidden, and can be restored.
    pub deleted: bool,
}

impl Run {
    /// A run that just started; for backends.
    pub fn start(spec: RunSpec, now: Timestamp) -> Self {
        Self {
            id: spec.id,
            experiment: spec.experiment,
            name: spec.name,
            parent: spec.parent,
            actor: spec.actor,
            status: RunStatus::Running,
            started_at: spec.started_at.unwrap_or(now),
            ended_at: None,
            lease_until: None,
            params: BTreeMap::new(),
            tags: spec.tags,
            metrics: BTreeMap::new(),
            inputs: Vec::new(),
            artifacts: Vec::new(),
            capsule: spec.capsule,
            deleted: false,
        }
    }

    /// Refuses to take this run for another under the same id.
    pub(crate) fn check_same(&self, spec: &RunSpec) -> Result<()> {
        let shown = |parent: &Option<RunId>| parent.as_ref().map_or_else(String::new, ToString::to_string);
        let fields = [
            ("experiment", spec.experiment.to_string(), self.experiment.to_string()),
            ("name", spec.name.clone(), self.name.clone()),
            ("parent", shown(&spec.parent), shown(&self.parent)),
            ("actor", spec.actor.to_string(), self.actor.to_string()),
        ];
        match fields.into_iter().find(|(_, asked, there)| asked != there) {
            None => Ok(()),
            Some((field, asked, there)) => {
                let message = "the run id is taken by a run that differs";
                let error = Error::conflict("ExperimentTracker::start_run", message, asked, there);
                Err(error.with("field", field).with("run", &self.id))
            }
        }
    }

    /// Refuses writes once it has ended or is deleted.
    pub(crate) fn check_open(&self, operation: &'static str) -> Result<()> {
        let found = match (self.deleted, self.status.is_final()) {
            (true, _) => "deleted",
            (_, true) => self.status.as_str(),
            _ => return Ok(()),
        };
        let error = Error::conflict(operation, "the run takes no more writes", "an open run", found);
        Err(error.with("run", &self.id))
    }

    /// The last value of a metric.
    pub fn metric(&self, key: &str) -> Option<f64> {
        self.metrics.get(key).map(|summary| summary.last.value)
    }
}
