//! What a run of a pipeline is: a pure state machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Content, Damage, Difference, ErrorClass, ParamValue, PipelineEntry, StepKey};
use crate::artifact::Blob;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::Digest;
use crate::id::{ComponentName, PortName, RunId, StepName};
use crate::time::{Timestamp, duration_text};

/// Which steps run although what they would make is there. What they make is kept and used later like any other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Force {
    /// None: everything that is there is used.
    #[default]
    None,
    /// These.
    Steps(BTreeSet<StepName>),
    /// These, and all that wait for them.
    Downstream(BTreeSet<StepName>),
    /// All.
    All,
}

/// Why a step ran and was not reused.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunReason {
    /// Its component was never run before, as far as the cache knows.
    NeverRan,
    /// Its component is not deterministic.
    NotDeterministic,
    /// The step says that nothing is reused.
    ReuseOff,
    /// It was forced to.
    Forced,
    /// Something its outputs depend on is not what it was in the run before that is most like it.
    Changed {
        /// The run it is compared with.
        since: RunId,
        /// What changed.
        differences: Vec<Difference>,
    },
    /// What was made before is too old.
    Expired {
        /// Since when.
        at: Timestamp,
    },
    /// What was made before is damaged or gone.
    Damaged(Damage),
    /// An earlier attempt failed or was cut off.
    Again,
}

impl fmt::Display for RunReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverRan => f.write_str("its component never ran before"),
            Self::NotDeterministic => f.write_str("its component is not deterministic"),
            Self::ReuseOff => f.write_str("the step says that nothing is reused"),
            Self::Forced => f.write_str("it was forced to"),
            Self::Changed { since, differences } => {
                write!(f, "since run {}: ", since.as_str().get(..8).unwrap_or(since.as_str()))?;
                for (i, difference) in differences.iter().enumerate() {
                    write!(f, "{}{difference}", if i == 0 { "" } else { "; " })?;
                }
                Ok(())
            }
            Self::Expired { at } => write!(f, "what was made before expired at {at}"),
            Self::Damaged(damage) => write!(f, "what was made before is of no use: {damage}"),
            Self::Again => f.write_str("an earlier attempt did not succeed"),
        }
    }
}

/// Why a step did not run.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// Its condition does not hold.
    Condition,
    /// A step before it failed.
    Failed(StepName),
    /// A step before it, whose output it needs, was skipped.
    Skipped(StepName),
    /// It runs when something fails, and nothing did.
    NothingFailed,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Condition => f.write_str("its condition does not hold"),
            Self::Failed(step) => write!(f, "step `{step}` failed"),
            Self::Skipped(step) => write!(f, "step `{step}` was skipped"),
            Self::NothingFailed => f.write_str("nothing failed"),
        }
    }
}

/// How a run of a pipeline stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PipelineStatus {
    /// Not all steps have ended.
    Running,
    /// All steps succeeded, were reused or were skipped.
    Succeeded,
    /// A step failed.
    Failed,
    /// It was stopped from outside.
    Cancelled,
}

/// How a step stands: `Planned -> Ready -> Running -> Succeeded | Reused | Failed | Skipped | Cancelled`.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// It waits for others.
    Planned,
    /// It can run.
    Ready,
    /// An attempt is at work.
    Running {
        /// Which, counted from 1.
        attempt: u32,
    },
    /// It ran and made its outputs.
    Succeeded {
        /// Its key.
        key: StepKey,
        /// What it made.
        outputs: BTreeMap<PortName, Content>,
        /// How long the attempt took.
        #[serde(with = "duration_text")]
        took: Duration,
    },
    /// What was made before was used.
    Reused {
        /// Its key.
        key: StepKey,
        /// What was made.
        outputs: BTreeMap<PortName, Content>,
        /// By which run.
        from: RunId,
    },
    /// It failed.
    Failed {
        /// How.
        class: ErrorClass,
        /// Why.
        message: String,
    },
    /// It did not run.
    Skipped(SkipReason),
    /// It was stopped, or not begun, because everything was.
    Cancelled(String),
}

impl StepState {
    /// Whether nothing more happens to it.
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::Planned | Self::Ready | Self::Running { .. })
    }

    /// What it made, if it did.
    pub fn outputs(&self) -> Option<&BTreeMap<PortName, Content>> {
        match self {
            Self::Succeeded { outputs, .. } | Self::Reused { outputs, .. } => Some(outputs),
            _ => None,
        }
    }

    /// Its name in reports.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Ready => "ready",
            Self::Running { .. } => "running",
            Self::Succeeded { .. } => "succeeded",
            Self::Reused { .. } => "reused",
            Self::Failed { .. } => "failed",
            Self::Skipped(_) => "skipped",
            Self::Cancelled(_) => "cancelled",
        }
    }
}

/// What is known of a step.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct StepStatus {
    /// How it stands.
    pub state: StepState,
    /// How many attempts began.
    pub attempts: u32,
    /// How many of them failed by themselves.
    pub failed: u32,
    /// How many were cut off.
    pub preempted: u32,
    /// How far the last attempt that said so came.
    pub checkpoint: Option<Blob>,
    /// Why it ran.
    pub reason: Option<RunReason>,
    /// The last error.
    pub error: Option<String>,
    /// What its attempts cost together, in the currency of the budget.
    pub spent: f64,
    /// What of it is the last attempt's.
    last: f64,
    waits: usize,
}

/// A step as a run begins.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedStep {
    /// Its name.
    pub name: StepName,
    /// The steps it waits for.
    pub before: Vec<StepName>,
}

impl PlannedStep {
    /// A step that waits for these.
    pub fn new(name: StepName, before: impl IntoIterator<Item = StepName>) -> Self {
        Self { name, before: before.into_iter().collect() }
    }
}

/// How a run begins.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunPlan {
    /// The pipeline's name.
    pub name: ComponentName,
    /// The [digest](super::Pipeline::digest) of the pipeline.
    pub pipeline: Digest,
    /// The steps, in an order in which they can run.
    pub steps: Vec<PlannedStep>,
    /// What it works on.
    pub inputs: BTreeMap<PortName, Content>,
    /// Its parameters.
    pub arguments: BTreeMap<PortName, ParamValue>,
    /// Which steps must run.
    pub force: Force,
    /// The seed of everything that is drawn.
    pub seed: u64,
}

impl RunPlan {
    /// A plan of steps that depend on nothing outside.
    pub fn new(name: ComponentName, pipeline: Digest, steps: Vec<PlannedStep>) -> Self {
        Self {
            name,
            pipeline,
            steps,
            inputs: BTreeMap::new(),
            arguments: BTreeMap::new(),
            force: Force::None,
            seed: 0,
        }
    }
}

/// Something that happened to a run.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PipelineEvent {
    /// It began.
    Begun(Box<RunPlan>),
    /// It goes on in another process, or again in the same: what was running was cut off.
    Resumed,
    /// An attempt of a step began.
    Started {
        /// The step.
        step: StepName,
        /// Which attempt.
        attempt: u32,
        /// Why it runs.
        reason: RunReason,
    },
    /// An attempt said how far it came.
    Checkpointed {
        /// The step.
        step: StepName,
        /// Which attempt.
        attempt: u32,
        /// What it kept.
        blob: Blob,
    },
    /// What an attempt costs: as it begins what is expected, at its end what it came to. Of one attempt the last counts.
    Spent {
        /// The step.
        step: StepName,
        /// Which attempt.
        attempt: u32,
        /// How much, in the currency of the budget.
        cost: f64,
    },
    /// An attempt made what the step is to make.
    Succeeded {
        /// The step.
        step: StepName,
        /// Which attempt.
        attempt: u32,
        /// The step's key.
        key: StepKey,
        /// What was made.
        outputs: BTreeMap<PortName, Content>,
        /// How long it took.
        #[serde(with = "duration_text")]
        took: Duration,
    },
    /// What was made before is used.
    Reused {
        /// The step.
        step: StepName,
        /// Its key.
        key: StepKey,
        /// What was made.
        outputs: BTreeMap<PortName, Content>,
        /// By which run.
        from: RunId,
    },
    /// An attempt failed, and there will be another.
    AttemptFailed {
        /// The step.
        step: StepName,
        /// Which attempt.
        attempt: u32,
        /// How.
        class: ErrorClass,
        /// Why.
        message: String,
        /// How long nothing is done about it.
        #[serde(with = "duration_text")]
        wait: Duration,
    },
    /// A step failed for good.
    Failed {
        /// The step.
        step: StepName,
        /// How.
        class: ErrorClass,
        /// Why.
        message: String,
    },
    /// A step does not run.
    Skipped {
        /// The step.
        step: StepName,
        /// Why not.
        reason: SkipReason,
    },
    /// A step was stopped, or is not begun any more.
    Cancelled {
        /// The step.
        step: StepName,
        /// Why.
        reason: String,
    },
    /// All steps have ended.
    Ended {
        /// How.
        status: PipelineStatus,
    },
}

impl PipelineEvent {
    /// The step it is about.
    pub fn step(&self) -> Option<&StepName> {
        match self {
            Self::Begun(_) | Self::Resumed | Self::Ended { .. } => None,
            Self::Started { step, .. }
            | Self::Checkpointed { step, .. }
            | Self::Spent { step, .. }
            | Self::Succeeded { step, .. }
            | Self::Reused { step, .. }
            | Self::AttemptFailed { step, .. }
            | Self::Failed { step, .. }
            | Self::Skipped { step, .. }
            | Self::Cancelled { step, .. } => Some(step),
        }
    }
}

/// A run of a pipeline: what its events so far say.
///
/// # Invariants
/// Whatever events it is given, one that breaks them is refused and changes nothing:
/// * a step begins only when all before it have ended, and one attempt at a time;
/// * nothing happens to a step after it succeeded, was reused, failed, was skipped or cancelled; so no step runs again after its
///   success was written down;
/// * nothing happens to a run after it ended, and it ends only after all steps have.
///
/// ```
/// use mlops_core::hash::Digest;
/// use mlops_core::id::{ComponentName, StepName};
/// use mlops_core::pipeline::{PipelineEvent, PipelineState, PlannedStep, RunPlan, RunReason, StepState};
///
/// let (a, b) = (StepName::new("a")?, StepName::new("b")?);
/// let steps = vec![
///     PlannedStep::new(a.clone(), vec![]),
///     PlannedStep::new(b.clone(), vec![a.clone()]),
/// ];
/// let plan = RunPlan::new(ComponentName::new("p")?, Digest::of(b"pipeline"), steps);
/// let mut state = PipelineState::begin(plan)?;
/// assert_eq!(state.step(&b).map(|step| &step.state), Some(&StepState::Planned));
/// let start = |step| PipelineEvent::Started { step, attempt: 1, reason: RunReason::NeverRan };
/// assert!(state.apply(&start(b)).is_err());
/// state.apply(&start(a))?;
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PipelineState {
    plan: RunPlan,
    steps: BTreeMap<StepName, StepStatus>,
    behind: BTreeMap<StepName, Vec<StepName>>,
    open: usize,
    resumed: u32,
    status: PipelineStatus,
}

const APPLY: &str = "PipelineState::apply";

impl PipelineState {
    /// A run that just began.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a step twice, or one that waits for a step that does not come before it.
    pub fn begin(plan: RunPlan) -> Result<Self> {
        const OP: &str = "PipelineState::begin";
        let (mut steps, mut behind) = (BTreeMap::new(), BTreeMap::<StepName, Vec<StepName>>::new());
        for step in &plan.steps {
            for other in &step.before {
                if !steps.contains_key(other) {
                    let message = format!("waits for `{other}`, which does not come before it");
                    return Err(Error::invalid(OP, step.name.as_str(), message));
                }
                behind.entry(other.clone()).or_default().push(step.name.clone());
            }
            let waits = step.before.len();
            let state = if waits == 0 { StepState::Ready } else { StepState::Planned };
            let status = StepStatus {
                state,
                attempts: 0,
                failed: 0,
                preempted: 0,
                checkpoint: None,
                reason: None,
                error: None,
                spent: 0.0,
                last: 0.0,
                waits,
            };
            if steps.insert(step.name.clone(), status).is_some() {
                return Err(Error::invalid(OP, step.name.as_str(), "is the name of two steps"));
            }
        }
        let open = steps.len();
        Ok(Self { plan, steps, behind, open, resumed: 0, status: PipelineStatus::Running })
    }

    /// The run that these entries tell of.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] for entries that no run can have written, and for one that is missing between or before others;
    /// [`ErrorKind::NotFound`] for none.
    pub fn replay(entries: &[PipelineEntry]) -> Result<Self> {
        const OP: &str = "PipelineState::replay";
        let Some((first, rest)) = entries.split_first() else {
            return Err(Error::new(ErrorKind::NotFound, OP, "no such run of a pipeline"));
        };
        let corrupt = |entry: &PipelineEntry, source: Option<Error>| {
            let error = Error::new(ErrorKind::Corrupt, OP, "the journal tells what cannot have happened");
            let error = error.with("sequence", entry.sequence);
            match source {
                Some(source) => error.with_source(source),
                None => error,
            }
        };
        let PipelineEvent::Begun(plan) = &first.event else { return Err(corrupt(first, None)) };
        if first.sequence != 1 {
            return Err(corrupt(first, None));
        }
        let mut state = Self::begin(plan.as_ref().clone()).map_err(|e| corrupt(first, Some(e)))?;
        for (before, entry) in (first.sequence..).zip(rest) {
            if before.checked_add(1) != Some(entry.sequence) {
                return Err(corrupt(entry, None));
            }
            state.apply(&entry.event).map_err(|e| corrupt(entry, Some(e)))?;
        }
        Ok(state)
    }

    /// How it began.
    pub fn plan(&self) -> &RunPlan {
        &self.plan
    }

    /// How it stands.
    pub fn status(&self) -> PipelineStatus {
        self.status
    }

    /// How often it was resumed.
    pub fn resumed(&self) -> u32 {
        self.resumed
    }

    /// A step.
    pub fn step(&self, name: &StepName) -> Option<&StepStatus> {
        self.steps.get(name)
    }

    /// All steps, by name.
    pub fn steps(&self) -> impl Iterator<Item = (&StepName, &StepStatus)> {
        self.steps.iter()
    }

    /// The content that the run needs to go on: what it works on, what its steps made, and how far they said that they came. For a run that
    /// has not ended these are roots of [garbage collection](crate::artifact::ArtifactStore::collect_garbage); the embedded store
    /// finds them itself.
    ///
    /// ```
    /// # use mlops_core::artifact::Blob;
    /// # use mlops_core::hash::Digest;
    /// # use mlops_core::id::{ComponentName, PortName};
    /// # use mlops_core::pipeline::{Content, PipelineState, PortType, RunPlan};
    /// let rows = Blob { digest: Digest::of(b"age\n59\n"), size: 7 };
    /// let mut plan = RunPlan::new(ComponentName::new("p")?, Digest::of(b"pipeline"), vec![]);
    /// plan.inputs.insert(PortName::new("rows")?, Content::new(PortType::UriFile, rows));
    /// let state = PipelineState::begin(plan)?;
    /// assert_eq!(state.contents().collect::<Vec<_>>(), [rows.digest]);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn contents(&self) -> impl Iterator<Item = Digest> {
        let made = self.steps.values().filter_map(|step| step.state.outputs());
        let inputs = std::iter::once(&self.plan.inputs);
        let contents = inputs.chain(made).flat_map(BTreeMap::values).map(|content| content.digest);
        contents.chain(self.steps.values().filter_map(|step| step.checkpoint).map(|blob| blob.digest))
    }

    /// What the steps cost together, in the currency of the budget; reused ones cost nothing.
    pub fn spent(&self) -> f64 {
        self.steps.values().map(|step| step.spent).sum()
    }

    /// Whether every step has ended.
    pub fn is_done(&self) -> bool {
        self.open == 0
    }

    /// How it ends, once all steps have: cancelled where one was stopped from outside, failed where one failed.
    pub fn outcome(&self, cancelled: bool) -> PipelineStatus {
        let failed = self.steps.values().any(|step| matches!(step.state, StepState::Failed { .. }));
        match (cancelled, failed) {
            (true, _) => PipelineStatus::Cancelled,
            (false, true) => PipelineStatus::Failed,
            (false, false) => PipelineStatus::Succeeded,
        }
    }

    /// Takes an event in, or refuses it and stays as it is. O(number of steps that wait for the one it is about · log(steps)).
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] for an event that breaks an invariant.
    pub fn apply(&mut self, event: &PipelineEvent) -> Result<()> {
        if self.status != PipelineStatus::Running {
            return Err(Error::new(ErrorKind::Conflict, APPLY, "the run has ended"));
        }
        match event {
            PipelineEvent::Begun(_) => Err(Error::new(ErrorKind::Conflict, APPLY, "the run has begun")),
            PipelineEvent::Resumed => {
                self.resume();
                Ok(())
            }
            PipelineEvent::Ended { status } => self.end(*status),
            PipelineEvent::Started { step, attempt, reason } => self.start(step, *attempt, reason),
            PipelineEvent::Checkpointed { step, attempt, blob } => {
                self.running(step, *attempt)?.checkpoint = Some(*blob);
                Ok(())
            }
            PipelineEvent::Spent { step, attempt, cost } => self.spend(step, *attempt, *cost),
            PipelineEvent::AttemptFailed { step, attempt, class, message, .. } => {
                let status = self.running(step, *attempt)?;
                status.state = StepState::Ready;
                count(status, *class);
                status.error = Some(message.clone());
                Ok(())
            }
            PipelineEvent::Succeeded { step, attempt, key, outputs, took } => {
                self.running(step, *attempt)?;
                self.finish(step, StepState::Succeeded { key: *key, outputs: outputs.clone(), took: *took })
            }
            PipelineEvent::Reused { step, key, outputs, from } => {
                self.ready(step)?;
                self.finish(
                    step,
                    StepState::Reused { key: *key, outputs: outputs.clone(), from: from.clone() },
                )
            }
            PipelineEvent::Failed { step, class, message } => {
                let status = self.begun(step)?;
                if matches!(status.state, StepState::Running { .. }) {
                    count(status, *class);
                }
                status.error = Some(message.clone());
                self.finish(step, StepState::Failed { class: *class, message: message.clone() })
            }
            PipelineEvent::Skipped { step, reason } => {
                self.ready(step)?;
                self.finish(step, StepState::Skipped(reason.clone()))
            }
            PipelineEvent::Cancelled { step, reason } => {
                self.begun(step)?;
                self.finish(step, StepState::Cancelled(reason.clone()))
            }
        }
    }

    fn find(&mut self, step: &StepName) -> Result<&mut StepStatus> {
        self.steps.get_mut(step).ok_or_else(|| Error::not_found(APPLY, "step", step))
    }

    fn ready(&mut self, step: &StepName) -> Result<&mut StepStatus> {
        let status = self.find(step)?;
        match status.state {
            StepState::Ready => Ok(status),
            ref other => {
                Err(Error::conflict(APPLY, "the step is not ready", "ready", other.word()).with("step", step))
            }
        }
    }

    fn running(&mut self, step: &StepName, wanted: u32) -> Result<&mut StepStatus> {
        let status = self.find(step)?;
        match status.state {
            StepState::Running { attempt } if attempt == wanted => Ok(status),
            ref other => {
                let message = "this attempt of the step is not running";
                Err(Error::conflict(APPLY, message, format!("attempt {wanted}"), other.word())
                    .with("step", step))
            }
        }
    }

    /// A step that is ready or running.
    fn begun(&mut self, step: &StepName) -> Result<&mut StepStatus> {
        let status = self.find(step)?;
        match status.state {
            StepState::Ready | StepState::Running { .. } => Ok(status),
            ref other => {
                let message = "the step is neither ready nor running";
                Err(Error::conflict(APPLY, message, "ready", other.word()).with("step", step))
            }
        }
    }

    fn start(&mut self, step: &StepName, attempt: u32, reason: &RunReason) -> Result<()> {
        let status = self.ready(step)?;
        let expected = status.attempts.saturating_add(1);
        if attempt != expected {
            let message = "attempts are counted one by one";
            return Err(Error::conflict(APPLY, message, expected, attempt).with("step", step));
        }
        (status.attempts, status.last) = (attempt, 0.0);
        status.state = StepState::Running { attempt };
        status.reason = Some(reason.clone());
        Ok(())
    }

    fn spend(&mut self, step: &StepName, attempt: u32, cost: f64) -> Result<()> {
        let status = self.running(step, attempt)?;
        let spent = (status.spent - status.last).max(0.0) + cost;
        if !(cost >= 0.0 && spent.is_finite()) {
            let message = "a cost is finite and not negative";
            return Err(Error::new(ErrorKind::Conflict, APPLY, message)
                .with("step", step)
                .with("cost", cost));
        }
        (status.spent, status.last) = (spent, cost);
        Ok(())
    }

    fn finish(&mut self, step: &StepName, state: StepState) -> Result<()> {
        self.find(step)?.state = state;
        self.open -= 1;
        for other in self.behind.get(step).into_iter().flatten() {
            let Some(status) = self.steps.get_mut(other) else { continue };
            status.waits -= 1;
            if status.waits == 0 {
                status.state = StepState::Ready;
            }
        }
        Ok(())
    }

    fn resume(&mut self) {
        self.resumed = self.resumed.saturating_add(1);
        for status in self.steps.values_mut() {
            if matches!(status.state, StepState::Running { .. }) {
                status.state = StepState::Ready;
                count(status, ErrorClass::Preempted);
                status.error = Some("the attempt was cut off".to_owned());
            }
        }
    }

    fn end(&mut self, status: PipelineStatus) -> Result<()> {
        if self.open > 0 {
            return Err(
                Error::new(ErrorKind::Conflict, APPLY, "not all steps have ended").with("open", self.open)
            );
        }
        if status == PipelineStatus::Running {
            return Err(Error::new(ErrorKind::Conflict, APPLY, "running is no end"));
        }
        self.status = status;
        Ok(())
    }
}

fn count(status: &mut StepStatus, class: ErrorClass) {
    let counter = if class == ErrorClass::Preempted { &mut status.preempted } else { &mut status.failed };
    *counter = counter.saturating_add(1);
}
