//! Steps 3 and 9: training as a pipeline that remembers what it made, with a sweep as one of its steps.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use mlops_core::artifact::ArtifactStoreExt as _;
use mlops_core::data::{CrossValidation, DataAsset, Table};
use mlops_core::experiment::sampler::{Goal, SamplerSpec, TpeOptions};
use mlops_core::experiment::space::SearchSpace;
use mlops_core::experiment::stopping::MedianStopping;
use mlops_core::experiment::sweep::{Budget, Sweep, SweepJournal, SweepSpec, TrialContext, TrialError};
use mlops_core::experiment::{ExperimentTracker, Filter, Run, RunQuery};
use mlops_core::hash::{Digest, canonical_json};
use mlops_core::id::{ComponentName, ComponentVersion, PortName, StepName};
use mlops_core::model::{ModelFormat, ModelLoader as _, Predictor as _};
use mlops_core::num::Random;
use mlops_core::pipeline::{
    Backends, BlockingOutputs, Component, Components, Content, ParamSpec, Pipeline, PipelineExecutor,
    PipelineReport, PortType, Publishing, RunOptions, StepContext, StepError, StepState, source_digest,
};
use mlops_core::serve::BuiltinLoader;
use mlops_core::time::{Clock, TokioPause};
use mlops_core::{ActorId, Error, ErrorKind, MetricKey, PageRequest, Result, RunId};
use mlops_eval::classification::roc_auc;
use mlops_examples::narrate::say;
use mlops_examples::prepare::LABEL;
use mlops_examples::rows::{pack, unpack};
use mlops_examples::train::{Candidate, Settings, prior};
use serde::{Deserialize, Serialize};

use super::build::{Rows, Trained, World, experiment, training_input};
use super::serve::truth;
use super::setup::config;

/// On how many parts of the rows a trial is judged, one after the other; a trial that is behind is stopped before the next.
const FOLDS: u64 = 5;

/// The most rows that the sweep looks at: settings show on a part of the rows which of them are good.
const TUNING_ROWS: usize = 2_000;

/// The most bytes of packed rows and of a model.
const LIMIT: usize = 1 << 30;

/// The pipeline, and what runs it.
#[derive(Debug)]
pub struct Training {
    pipeline: Pipeline,
    executor: PipelineExecutor,
    space: Content,
}

impl Training {
    /// Reads the pipeline's file and registers the code of its steps.
    pub async fn open(world: &World) -> Result<Self> {
        let platform = &world.platform;
        let (store, tracker) = (&platform.store, Arc::clone(&platform.tracker));
        let components = components(Bench {
            journal: Arc::new(store.sweeps()),
            tracker: Arc::clone(&tracker),
            clock: platform.clock.clone(),
            actor: platform.actor.clone(),
        })?;
        // A misspelt step, a wire that does not fit: found here, with line and column.
        let pipeline = Pipeline::read(config("training.pipeline.toml"), &components)?;
        let space = SearchSpace::from_file(config("training.space.toml"))?;
        let space = platform.artifacts.put_bytes(canonical_json(&space)?).await?;
        let backends = Backends::new(
            Arc::clone(&platform.artifacts),
            Arc::new(store.step_cache().with_artifacts(Arc::clone(&platform.artifacts))),
            Arc::new(store.pipelines()),
            platform.clock.clone(),
            Arc::new(TokioPause),
        );
        let publishing = Publishing::new(platform.actor.clone()).with_tracker(tracker, experiment()?);
        let executor = PipelineExecutor::new(backends, components).with_publishing(publishing);
        Ok(Self { pipeline, executor, space: Content::new(PortType::UriFile, space) })
    }

    /// Trains on the first rows and on those that were labelled since.
    pub async fn run(&self, world: &World, rows: &Rows) -> Result<PipelineReport> {
        let options = RunOptions::new()
            .with_input(port("space")?, self.space.clone())
            .with_input(port("rows")?, handed(world, &world.first.train, &world.first.asset).await?)
            .with_input(port("labelled")?, handed(world, &rows.labelled, &rows.asset).await?)
            .with_seed(world.setup.source.seed);
        let report = self.executor.run(&self.pipeline, &options).await?;
        match report.is_success() {
            true => Ok(report),
            false => Err(Error::new(ErrorKind::Rejected, "train", report.to_string())),
        }
    }

    /// Runs the same once more: everything is there already, and what is there is what was made.
    pub async fn run_again(&self, world: &World, rows: &Rows, first: &PipelineReport) -> Result<()> {
        let again = self.run(world, rows).await?;
        tell(&again);
        let same = again.steps.iter().all(|step| again.outputs(&step.name) == first.outputs(&step.name));
        if again.reused() == self.pipeline.steps().len() && same {
            return Ok(());
        }
        let message = format!("nothing changed, and not everything was reused:\n{again}");
        Err(Error::new(ErrorKind::Integrity, "train", message))
    }

    /// The model that a step of a run made.
    pub async fn model(
        &self,
        world: &World,
        report: &PipelineReport,
        step: &str,
        rows: &Rows,
    ) -> Result<Trained> {
        let about: About = serde_json::from_slice(&self.output(world, report, step, "about").await?)
            .map_err(|e| Error::new(ErrorKind::Corrupt, "train", "a model has no name").with_source(e))?;
        let bytes = self.output(world, report, step, "model").await?;
        Ok(Trained {
            run: report.run.clone(),
            artifact: Digest::of(&bytes),
            predictor: BuiltinLoader.load(&about.format, &bytes)?,
            format: about.format,
            inputs: vec![training_input(rows)],
            name: about.name,
        })
    }

    /// Tells how the sweep went, and holds what it says of itself against the tracker.
    pub async fn tell_sweep(&self, world: &World, report: &PipelineReport) -> Result<()> {
        let story = self.output(world, report, "tune", "story").await?;
        let story: Story = serde_json::from_slice(&story)
            .map_err(|e| Error::new(ErrorKind::Corrupt, "tune", "the sweep has no story").with_source(e))?;
        let query = RunQuery::new(experiment()?)
            .with_filter(Filter::Parent(story.run.clone()))
            .with_page(PageRequest::first(PageRequest::MAX_LIMIT));
        let trials = world.platform.tracker.search_runs(&query).await?.items;
        let judged = |run: &Run| run.metrics.get("roc_auc").map_or(0, |metric| metric.count);
        let judged: u64 = trials.iter().map(judged).sum();
        say(format_args!(
            "The sweep tried {} settings; {} were stopped early, so that {judged} of {} fits were enough.",
            story.trials,
            story.pruned,
            story.trials * FOLDS
        ));
        say(format_args!("Best over {FOLDS} folds: roc_auc {:.3} with {}.", story.roc_auc, story.settings));
        say(format_args!("Its run {} has {} runs within it, one for each trial.", story.run, trials.len()));
        if trials.len() as u64 != story.trials || (world.is_bundled() && story.pruned == 0) {
            let message = "the tracker does not have the trials, or none was stopped early";
            return Err(Error::new(ErrorKind::Integrity, "tune", message));
        }
        Ok(())
    }

    async fn output(&self, world: &World, report: &PipelineReport, step: &str, name: &str) -> Result<Bytes> {
        let outputs = report.outputs(&StepName::new(step)?);
        let content = outputs
            .and_then(|outputs| outputs.get(name))
            .ok_or_else(|| Error::not_found("train", "output", format!("{step}.{name}")))?;
        world.platform.artifacts.get_bytes(&content.digest, LIMIT).await
    }
}

/// Which steps ran, and why.
pub fn tell(report: &PipelineReport) {
    for step in &report.steps {
        say(format_args!("  {}", step.explain()));
    }
}

/// After production taught something, only what depends on the new rows may have run.
///
/// # Errors
/// Where another step ran, or one of those did not.
pub fn only_new_rows_ran(report: &PipelineReport) -> Result<()> {
    for (name, reused) in [("baseline", true), ("tune", true), ("collect", false), ("fit", false)] {
        let state = report.step(&StepName::new(name)?).map(|step| &step.state);
        if matches!(state, Some(StepState::Reused { .. })) != reused {
            let message =
                format!("step `{name}` should {}have been reused", if reused { "" } else { "not " });
            return Err(Error::new(ErrorKind::Integrity, "train", message));
        }
    }
    Ok(())
}

/// What goes into the pipeline: the columns that a model sees, and the label.
async fn handed(world: &World, rows: &Table<'static>, asset: &DataAsset) -> Result<Content> {
    let columns: Vec<&str> =
        world.prepared.features.iter().map(String::as_str).chain(std::iter::once(LABEL)).collect();
    let blob = world.platform.artifacts.put_bytes(pack(&rows.select(&columns)?)?).await?;
    Ok(Content::new(PortType::UriFile, blob).with_asset(asset.spec.name.clone(), asset.version))
}

// ------------------------------------------------------------------------------------------------------------ the steps

/// What is known about a model beside its bytes.
#[derive(Debug, Serialize, Deserialize)]
struct About {
    name: String,
    format: ModelFormat,
}

/// How the sweep went.
#[derive(Debug, Serialize, Deserialize)]
struct Story {
    run: RunId,
    trials: u64,
    pruned: u64,
    roc_auc: f64,
    settings: String,
}

/// Where the sweep keeps its journal and its runs.
#[derive(Clone, Debug)]
struct Bench {
    journal: Arc<dyn SweepJournal>,
    tracker: Arc<dyn ExperimentTracker>,
    clock: Arc<dyn Clock>,
    actor: ActorId,
}

type Inputs = BTreeMap<PortName, Bytes>;
type Made = Result<BlockingOutputs, StepError>;

fn port(name: &str) -> Result<PortName> {
    Ok(PortName::new(name)?)
}

/// A component whose code is these files and whose environment is the lock file: where they change, everything is made again.
fn component(name: &str) -> Result<Component> {
    let code = source_digest([
        ("training.rs", &include_bytes!("training.rs")[..]),
        ("rows.rs", &include_bytes!("../../src/rows.rs")[..]),
        ("train.rs", &include_bytes!("../../src/train.rs")[..]),
    ]);
    let component = Component::new(ComponentName::new(name)?, ComponentVersion::new("1")?, code);
    Ok(component.with_environment(Digest::of(include_bytes!("../../../Cargo.lock"))))
}

fn components(bench: Bench) -> Result<Components> {
    let file = PortType::UriFile;
    let baseline = component("baseline")?
        .with_input(port("rows")?, file)
        .with_output(port("about")?, file)
        .with_output(port("model")?, PortType::CustomModel);
    let tune = component("tune")?
        .with_input(port("rows")?, file)
        .with_input(port("space")?, file)
        .with_output(port("settings")?, file)
        .with_output(port("story")?, file)
        .with_parameter(port("trials")?, ParamSpec::integer(Some(1), Some(1000)));
    let collect = component("collect")?
        .with_input(port("rows")?, file)
        .with_input(port("labelled")?, file)
        .with_output(port("rows")?, file);
    let fit = component("fit")?
        .with_input(port("rows")?, file)
        .with_input(port("settings")?, file)
        .with_output(port("about")?, file)
        .with_output(port("model")?, PortType::CustomModel);
    Components::new()
        .with_blocking(baseline, |_, inputs| {
            let (rows, features) = rows(inputs)?;
            model(&prior(&rows, &features, 0)?)
        })?
        .with_fn(tune, move |context| run_sweep(context, bench.clone()))?
        .with_blocking(collect, |_, inputs| {
            let all = Table::concat(&[unpack(input(inputs, "rows")?)?, unpack(input(inputs, "labelled")?)?])?;
            Ok(BTreeMap::from([(port("rows")?, pack(&all)?)]))
        })?
        .with_blocking(fit, |context, inputs| {
            let (rows, features) = rows(inputs)?;
            let settings: Settings = serde_json::from_slice(input(inputs, "settings")?)
                .map_err(|e| StepError::permanent(e.to_string()))?;
            model(&settings.train(&rows, &features, context.seed())?)
        })
}

fn input<'a>(inputs: &'a Inputs, name: &str) -> Result<&'a Bytes, StepError> {
    inputs.get(name).ok_or_else(|| StepError::permanent(format!("there is no input `{name}`")))
}

/// The rows that went in, and the names of what a model may look at.
fn rows(inputs: &Inputs) -> Result<(Table<'static>, Vec<String>), StepError> {
    let rows = unpack(input(inputs, "rows")?)?;
    let features = features(&rows);
    Ok((rows, features))
}

fn features(rows: &Table<'_>) -> Vec<String> {
    rows.names().filter(|name| *name != LABEL).map(str::to_owned).collect()
}

fn model(candidate: &Candidate) -> Made {
    let about = About { name: candidate.name.to_owned(), format: candidate.format.clone() };
    Ok(BTreeMap::from([(port("about")?, canonical_json(&about)?), (port("model")?, candidate.bytes.clone())]))
}

// ------------------------------------------------------------------------------------------------------------ the sweep

/// The step `tune`. The sweep is called after the step's key: one that is killed goes on when the step is run again.
async fn run_sweep(context: StepContext, bench: Bench) -> Result<(), StepError> {
    let invalid = |e: &dyn std::fmt::Display| StepError::permanent(e.to_string());
    let space = context.read("space", LIMIT).await?;
    let space = SearchSpace::from_json(&String::from_utf8_lossy(&space))?;
    let rows = unpack(&context.read("rows", LIMIT).await?)?;
    let trials = u64::try_from(context.integer("trials")?).unwrap_or(1);
    let spec = SweepSpec::new(
        experiment()?,
        format!("tuning {}", context.key().digest().short()),
        bench.actor,
        MetricKey::new("roc_auc").map_err(|e| invalid(&e))?,
        Goal::Maximize,
        space,
        SamplerSpec::Tpe(TpeOptions::default()),
    )
    .with_seed(context.seed())
    // A trial stops whose value so far is worse than the median of the others'.
    .with_stopping(MedianStopping::default())
    // One trial after the other: of several at once, the clock would decide which is compared with which.
    .with_budget(Budget::trials(trials));
    let folds = Arc::new(folds(&rows, context.seed())?);
    let (names, seed) = (features(&rows), context.seed());
    let sweep = Sweep::new(spec, bench.journal)?.with_tracker(bench.tracker).with_clock(bench.clock);
    let summary = sweep.run_blocking(move |trial| judged(&trial, &folds, &names, seed)).await?;
    context.log(&summary.to_string());
    let best = summary.best.ok_or_else(|| StepError::permanent("no trial came to its end"))?;
    let settings = best.assignment.get("model").ok_or_else(|| invalid(&"the space has no `model`"))?;
    let story = Story {
        run: summary.id,
        trials: summary.trials.total(),
        pruned: summary.trials.pruned,
        roc_auc: best.value,
        settings: best.assignment.to_string(),
    };
    context.write("settings", canonical_json(settings)?).await?;
    context.write("story", canonical_json(&story)?).await?;
    Ok(())
}

/// Pairs of rows to learn from and rows to judge by.
fn folds(rows: &Table<'static>, seed: u64) -> Result<Vec<(Table<'static>, Table<'static>)>> {
    let mut order: Vec<usize> = (0..rows.rows()).collect();
    Random::new(seed).stream("tuning").shuffle(&mut order);
    order.truncate(TUNING_ROWS);
    let rows = rows.take(&order)?;
    let folds = usize::try_from(FOLDS).unwrap_or(usize::MAX);
    let folds = CrossValidation::stratified(LABEL, folds).with_shuffle(seed).apply(&rows)?;
    folds.folds().iter().map(|fold| Ok((rows.take(fold.train())?, rows.take(fold.test())?))).collect()
}

/// One trial: the mean area under the curve over the folds so far, until there are no more or somebody says stop.
fn judged(
    trial: &TrialContext,
    folds: &[(Table<'static>, Table<'static>)],
    features: &[String],
    seed: u64,
) -> Result<f64, TrialError> {
    let settings = trial.assignment().get("model").ok_or("the space has no `model`")?;
    let settings: Settings = serde_json::from_value(serde_json::to_value(settings)?)?;
    let (mut sum, mut mean) = (0.0, f64::NAN);
    for (step, (fit, judge)) in (1_u32..).zip(folds) {
        let predictions = settings.train(fit, features, seed)?.predictor.predict(judge)?;
        sum += roc_auc(&truth(judge)?, predictions.as_slice())?.value().ok_or("a fold has one class only")?;
        mean = sum / f64::from(step);
        if trial.report_blocking(u64::from(step), mean)?.is_stop() {
            break;
        }
    }
    Ok(mean)
}
