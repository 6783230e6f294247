//! Running pipelines.

mod book;
mod drive;
mod options;
mod report;
mod work;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use self::options::{Backends, ExecutorOptions, RunOptions};
pub use self::report::{PipelineReport, StepReport};

use self::book::Book;
use self::drive::Drive;
use super::{
    Cancel, Components, Content, Force, Pipeline, PipelineEntry, PipelineState, PipelineStatus, PlannedStep,
    Publishing, RunPlan, StepCosts,
};
use crate::error::{Error, ErrorKind, Result};
use crate::governance::{BudgetGuard, Secret, SecretStore};
use crate::id::{PortName, RunId, StepName};

const RUN: &str = "PipelineExecutor::run";
const RESUME: &str = "PipelineExecutor::resume";

/// Runs pipelines: what must run, in parallel where it may, each step once.
///
/// # What it promises
/// * A step whose key has a good record is not run: its outputs are those of the record. A step that made the same as before leaves
///   the keys of those behind it as they were, so they are not run either.
/// * Of all executors that share a cache, in whatever processes, one at a time makes what belongs to a key; the others wait for it and
///   use it. One that dies is taken over from when its lease ends, or when its run is resumed.
/// * Every step forward is in the journal before anything follows from it. A run that was cut off at any moment goes on with
///   [`resume`](Self::resume): no step runs again after its success was written down, and the outputs are those of a run that was
///   not cut off, as far as the components are deterministic.
/// * Content is stored before the record that refers to it, and the record before the journal's entry: what is cut off leaves content
///   that nobody refers to, never a record or an entry without content.
/// * A step that panics has failed; nothing else happens to the others or to the caller.
///
/// Attempts run as tasks of tokio with the feature `local` and where a runtime drives the caller, else all on the task of the caller.
/// The timer handed in as [`Pause`](crate::time::Pause) must really wait.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::hash::Digest;
/// use mlops_core::id::{ComponentName, ComponentVersion, PortName, StepName};
/// use mlops_core::memory::{MemoryArtifactStore, MemoryPipelineJournal, MemoryStepCache};
/// use mlops_core::pipeline::{
///     Backends, Component, Components, Pipeline, PipelineExecutor, PipelineSpec, PortType, RunOptions, StepSpec,
/// };
/// use mlops_core::time::{SystemClock, TokioPause};
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
///
/// let load = Component::new(ComponentName::new("load")?, ComponentVersion::new("1")?, Digest::of(b"code"))
///     .with_output(PortName::new("rows")?, PortType::UriFile);
/// let step = StepName::new("load")?;
/// let spec = PipelineSpec::new(ComponentName::new("diabetes")?)
///     .with_step(StepSpec::new(step.clone(), load.reference()));
/// let components = Components::new().with_fn(load, |context| async move {
///     context.write("rows", b"age\n59\n".to_vec()).await?;
///     Ok(())
/// })?;
/// let pipeline = Pipeline::new(spec, &components)?;
///
/// let clock = Arc::new(SystemClock::new());
/// let artifacts = Arc::new(MemoryArtifactStore::new(clock.clone()));
/// let cache = Arc::new(MemoryStepCache::new(artifacts.clone(), clock.clone()));
/// let journal = Arc::new(MemoryPipelineJournal::default());
/// let backends = Backends::new(artifacts, cache, journal, clock, Arc::new(TokioPause));
/// let executor = PipelineExecutor::new(backends, components);
///
/// let first = executor.run(&pipeline, &RunOptions::default()).await?;
/// let second = executor.run(&pipeline, &RunOptions::default()).await?;
/// assert_eq!((first.reused(), second.reused()), (0, 1));
/// assert_eq!(first.outputs(&step), second.outputs(&step));
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct PipelineExecutor {
    backends: Backends,
    components: Components,
    options: ExecutorOptions,
    publishing: Option<Publishing>,
    secrets: Option<(Arc<dyn SecretStore>, Secret)>,
    guard: Option<(BudgetGuard, StepCosts)>,
}

impl PipelineExecutor {
    /// An executor on these backends, with the code of these components.
    pub fn new(backends: Backends, components: Components) -> Self {
        let options = ExecutorOptions::default();
        Self { backends, components, options, publishing: None, secrets: None, guard: None }
    }

    /// Changes how it works.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use mlops_core::memory::{MemoryArtifactStore, MemoryPipelineJournal, MemoryStepCache};
    /// # use mlops_core::pipeline::{Backends, Components, ExecutorOptions, PipelineExecutor};
    /// # use mlops_core::time::{SystemClock, TokioPause};
    /// # let clock = Arc::new(SystemClock::new());
    /// # let artifacts = Arc::new(MemoryArtifactStore::new(clock.clone()));
    /// # let cache = Arc::new(MemoryStepCache::new(artifacts.clone(), clock.clone()));
    /// # let journal = Arc::new(MemoryPipelineJournal::default());
    /// # let backends = Backends::new(artifacts, cache, journal, clock, Arc::new(TokioPause));
    /// # let executor = PipelineExecutor::new(backends, Components::new());
    /// let executor = executor.with_options(ExecutorOptions::default().with_parallelism(2));
    /// assert!(format!("{executor:?}").contains("parallelism: 2"));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_options(mut self, options: ExecutorOptions) -> Self {
        self.options = options;
        self
    }

    /// Shows runs and outputs elsewhere.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use mlops_core::ActorId;
    /// # use mlops_core::memory::{MemoryArtifactStore, MemoryPipelineJournal, MemoryStepCache};
    /// # use mlops_core::pipeline::{Backends, Components, PipelineExecutor, Publishing};
    /// # use mlops_core::time::{SystemClock, TokioPause};
    /// # let clock = Arc::new(SystemClock::new());
    /// # let artifacts = Arc::new(MemoryArtifactStore::new(clock.clone()));
    /// # let cache = Arc::new(MemoryStepCache::new(artifacts.clone(), clock.clone()));
    /// # let journal = Arc::new(MemoryPipelineJournal::default());
    /// # let backends = Backends::new(artifacts, cache, journal, clock, Arc::new(TokioPause));
    /// # let executor = PipelineExecutor::new(backends, Components::new());
    /// let executor = executor.with_publishing(Publishing::new(ActorId::new("nightly")?));
    /// assert!(format!("{executor:?}").contains("nightly"));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_publishing(mut self, publishing: Publishing) -> Self {
        self.publishing = Some(publishing);
        self
    }

    /// Where steps' secrets come from, and the key of their [fingerprints](super::secret_fingerprint). Whoever shares a cache must
    /// have the same key, or finds nothing of what was made with secrets.
    ///
    /// ```
    /// # use mlops_core::governance::Secret;
    /// # use std::sync::Arc;
    /// # use mlops_core::memory::{MemoryArtifactStore, MemoryPipelineJournal, MemorySecretStore, MemoryStepCache};
    /// # use mlops_core::pipeline::{Backends, Components, PipelineExecutor};
    /// # use mlops_core::time::{SystemClock, TokioPause};
    /// # let clock = Arc::new(SystemClock::new());
    /// # let artifacts = Arc::new(MemoryArtifactStore::new(clock.clone()));
    /// # let cache = Arc::new(MemoryStepCache::new(artifacts.clone(), clock.clone()));
    /// # let journal = Arc::new(MemoryPipelineJournal::default());
    /// # let backends = Backends::new(artifacts, cache, journal, clock, Arc::new(TokioPause));
    /// # let executor = PipelineExecutor::new(backends, Components::new());
    /// let executor = executor.with_secrets(Arc::new(MemorySecretStore::default()), Secret::new("a key of the team"));
    /// assert!(!format!("{executor:?}").contains("a key of the team"));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_secrets(mut self, secrets: Arc<dyn SecretStore>, fingerprint_key: Secret) -> Self {
        self.secrets = Some((secrets, fingerprint_key));
        self
    }

    /// Asks a budget that is shared with others before each attempt of a step, which is expected to cost what `costs` says, and costs it;
    /// a step that is reused costs nothing. A step that [says](crate::pipeline::StepContext::spend) what it costs costs that. What an
    /// attempt costs is in the journal from its beginning on, so that one that is cut off has cost what was expected, and in the report.
    ///
    /// When the budget does not hold an attempt, nothing new begins any more: what is at work comes to its end, all that has not begun is
    /// cancelled with the reason, and so is the run.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use mlops_core::memory::{MemoryArtifactStore, MemoryPipelineJournal, MemoryStepCache};
    /// # use mlops_core::pipeline::{Backends, Components, PipelineExecutor, StepCosts};
    /// # use mlops_core::time::{SystemClock, TokioPause};
    /// # let clock = Arc::new(SystemClock::new());
    /// # let artifacts = Arc::new(MemoryArtifactStore::new(clock.clone()));
    /// # let cache = Arc::new(MemoryStepCache::new(artifacts.clone(), clock.clone()));
    /// # let journal = Arc::new(MemoryPipelineJournal::default());
    /// # let backends = Backends::new(artifacts, cache, journal, clock, Arc::new(TokioPause));
    /// # let executor = PipelineExecutor::new(backends, Components::new());
    /// use mlops_core::governance::BudgetGuard;
    /// use mlops_core::governance::budget::{Budget, Threshold, ThresholdBasis, TimeGrain};
    /// let start = chrono::NaiveDate::from_ymd_opt(2026, 3, 1).ok_or("no such day")?;
    /// let thresholds = vec![Threshold::new(80.0).with_basis(ThresholdBasis::Actual)];
    /// let guard =
    ///     BudgetGuard::new(&Budget::new("team", 100.0, TimeGrain::Monthly, start, thresholds)?, 70.0)?;
    /// let executor = executor.with_guard(guard, StepCosts::new(0.5)?);
    /// assert!(format!("{executor:?}").contains("team"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_guard(mut self, guard: BudgetGuard, costs: StepCosts) -> Self {
        self.guard = Some((guard, costs));
        self
    }

    /// Runs a pipeline. A step that fails is in the report, not in the error.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for inputs and parameters that are missing or do not fit, before anything is written down;
    /// [`ErrorKind::Conflict`] for a run that is there already; what the backends say: then the run can be resumed.
    pub async fn run(&self, pipeline: &Pipeline, options: &RunOptions) -> Result<PipelineReport> {
        let plan = self.plan(pipeline, options)?;
        self.check(pipeline)?;
        let state = PipelineState::begin(plan.clone())?;
        let book = Book::begin(options.run.clone(), &self.backends, state).await?;
        self.drive(pipeline, plan, book, &options.cancel).await
    }

    /// Goes on with a run that was cut off; of one that has ended, returns the report, once its run in the tracker has ended too.
    ///
    /// The run must not be driven by anybody else: whoever drives it is stopped by a conflict at its next step forward.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a run that is not in the journal; [`ErrorKind::Conflict`] for a run of another pipeline, or of
    /// this one before it was changed; [`ErrorKind::Corrupt`] for a damaged journal; what the backends say.
    pub async fn resume(&self, pipeline: &Pipeline, run: &RunId, cancel: &Cancel) -> Result<PipelineReport> {
        let entries = self.backends.journal.entries(run).await?;
        let state = PipelineState::replay(&entries).map_err(|e| e.with("run", run))?;
        let (found, expected) = (state.plan().pipeline, pipeline.digest()?);
        if found != expected {
            let message = "the run is of another pipeline, or the pipeline or its code has changed";
            return Err(Error::conflict(RESUME, message, expected, found).with("run", run));
        }
        self.check(pipeline)?;
        if state.status() != PipelineStatus::Running {
            self.show_end(run, &state, &entries).await?;
            return Ok(PipelineReport::new(run.clone(), pipeline, &state));
        }
        if let Some(publishing) = &self.publishing {
            publishing.cut_off(run, &state, self.backends.clock.now()).await?;
        }
        let plan = state.plan().clone();
        let book = Book::resume(run.clone(), &self.backends, state, &entries).await?;
        self.drive(pipeline, plan, book, cancel).await
    }

    async fn drive(
        &self,
        pipeline: &Pipeline,
        plan: RunPlan,
        book: Arc<Book>,
        cancel: &Cancel,
    ) -> Result<PipelineReport> {
        if let Some(publishing) = &self.publishing {
            publishing.begin(book.run(), &plan, book.began()).await?;
        }
        let forced = forced(pipeline, &plan.force);
        let drive = Drive::new(self, pipeline, &plan, book.clone(), forced, cancel);
        drive.finish().await?;
        let state = book.state().await;
        if let Some(publishing) = &self.publishing {
            publishing.end(book.run(), state.status(), self.backends.clock.now()).await?;
        }
        Ok(PipelineReport::new(book.run().clone(), pipeline, &state))
    }

    /// Ends the run that is shown of one that has ended: whoever wrote the end down may not have come to it.
    async fn show_end(&self, run: &RunId, state: &PipelineState, entries: &[PipelineEntry]) -> Result<()> {
        let Some((publishing, last)) = self.publishing.as_ref().zip(entries.last()) else { return Ok(()) };
        match publishing.end(run, state.status(), last.at).await {
            // It was shown elsewhere, or nowhere.
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            told => told,
        }
    }

    fn plan(&self, pipeline: &Pipeline, options: &RunOptions) -> Result<RunPlan> {
        let arguments = pipeline.arguments(&options.arguments)?;
        check_inputs(pipeline, options)?;
        check_force(pipeline, &options.force)?;
        let steps = pipeline.steps().map(|step| PlannedStep {
            name: step.id.clone(),
            before: pipeline.before(&step.id).cloned().collect(),
        });
        let mut plan = RunPlan::new(pipeline.name().clone(), pipeline.digest()?, steps.collect());
        plan.inputs = options.inputs.clone();
        (plan.arguments, plan.force, plan.seed) = (arguments, options.force.clone(), options.seed);
        Ok(plan)
    }

    /// What can be known to fail before anything runs.
    fn check(&self, pipeline: &Pipeline) -> Result<()> {
        self.options.check()?;
        for step in pipeline.steps() {
            if let Some(component) = pipeline.component(&step.id) {
                self.components.body(component).map_err(|e| e.with("step", &step.id))?;
            }
            if !step.secrets.is_empty() && self.secrets.is_none() {
                return Err(
                    Error::invalid(RUN, "secrets", "the executor has no secrets").with("step", &step.id)
                );
            }
            if !step.assets.is_empty() && !self.publishing.as_ref().is_some_and(Publishing::has_assets) {
                let message = "the executor has no store of data assets";
                return Err(Error::invalid(RUN, "assets", message).with("step", &step.id));
            }
        }
        Ok(())
    }
}

fn check_inputs(pipeline: &Pipeline, options: &RunOptions) -> Result<()> {
    let wanted = &pipeline.spec().inputs;
    let wrong = |name: &PortName, message: String| Err(Error::invalid(RUN, name.as_str(), message));
    if let Some(name) = options.inputs.keys().find(|name| !wanted.contains_key(*name)) {
        return wrong(name, "the pipeline has no such input".to_owned());
    }
    for (name, kind) in wanted {
        match options.inputs.get(name) {
            None => return wrong(name, "the input is missing".to_owned()),
            Some(Content { r#type, .. }) if r#type != kind => {
                return wrong(name, format!("must be of type {kind}, got {}", r#type));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn check_force(pipeline: &Pipeline, force: &Force) -> Result<()> {
    let steps = match force {
        Force::Steps(steps) | Force::Downstream(steps) => steps,
        Force::None | Force::All => return Ok(()),
    };
    match steps.iter().find(|step| pipeline.component(step).is_none()) {
        Some(step) => Err(Error::new(ErrorKind::NotFound, RUN, "no such step to force").with("step", step)),
        None => Ok(()),
    }
}

fn forced(pipeline: &Pipeline, force: &Force) -> BTreeSet<StepName> {
    match force {
        Force::None => BTreeSet::new(),
        Force::Steps(steps) => steps.clone(),
        Force::Downstream(steps) => pipeline.downstream(steps),
        Force::All => pipeline.steps().map(|step| step.id.clone()).collect(),
    }
}

/// Never called: that it compiles says that a run can be moved to another thread.
#[allow(dead_code)]
fn is_send<'a>(
    executor: &'a PipelineExecutor,
    pipeline: &'a Pipeline,
    options: &'a RunOptions,
) -> impl Send + 'a {
    executor.run(pipeline, options)
}
