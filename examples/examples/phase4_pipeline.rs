//! Phase 4: a pipeline that remembers: what was made is used again, what changed is said, what fails is contained.
//!
//! `cargo run -p mlops-examples --example phase4_pipeline`

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use mlops_core::data::{DataAssetStore as _, DataRef};
use mlops_core::experiment::{ExperimentTracker as _, RunQuery};
use mlops_core::id::{ComponentName, ComponentVersion, PortName, StepName};
use mlops_core::local::LocalStore;
use mlops_core::num::Random;
use mlops_core::pipeline::{
    Backends, BlockingOutputs, Component, Components, ParamSpec, Pipeline, PipelineExecutor, PipelineFormat,
    PortType, Publishing, RunOptions, StepContext, StepError, source_digest,
};
use mlops_core::time::{SystemClock, TokioPause};
use mlops_core::{ActorId, AssetName, ExperimentName, MetricKey};
use mlops_examples::narrate::{say, step};

/// How the components are wired. Two fits with penalties of their own run beside each other; the better one is chosen. `warn` runs
/// when something failed.
const PIPELINE: &str = r#"
name = "ridge"
continue_on_step_failure = true

[parameters.rows]
type = "integer"
default = 400
max = 100_000

[parameters.penalty]
type = "number"
default = 0.1
min = 0.0

[[steps]]
id = "load"
component = "load:1"
parameters.rows = "${{parent.inputs.rows}}"
assets.rows = "measurements"

[[steps]]
id = "fit_weak"
component = "fit:1"
inputs.rows = "${{parent.jobs.load.outputs.rows}}"
parameters.penalty = "${{parent.inputs.penalty}}"

[[steps]]
id = "fit_strong"
component = "fit:1"
inputs.rows = "${{parent.jobs.load.outputs.rows}}"
parameters.penalty = 100
retry = { attempts = 3, base = "10ms" }

[[steps]]
id = "choose"
component = "choose:1"
inputs.one = "${{parent.jobs.fit_weak.outputs.model}}"
inputs.other = "${{parent.jobs.fit_strong.outputs.model}}"

[[steps]]
id = "warn"
component = "warn:1"
after = ["choose"]
when = "on_failure"
"#;

fn port(name: &str) -> Result<PortName, mlops_core::Error> {
    Ok(PortName::new(name)?)
}

/// A component whose code is this file: when it changes, everything is made again.
fn component(name: &str) -> Result<Component, mlops_core::Error> {
    let code = source_digest([("phase4_pipeline.rs", &include_bytes!("phase4_pipeline.rs")[..])]);
    Ok(Component::new(ComponentName::new(name)?, ComponentVersion::new("1")?, code))
}

type Made = Result<BlockingOutputs, StepError>;

fn one_output(name: &str, bytes: String) -> Made {
    Ok(BTreeMap::from([(port(name)?, bytes.into_bytes())]))
}

/// Rows of x and y around the line y = 3 x.
fn load(context: &StepContext, _: &BTreeMap<PortName, Bytes>) -> Made {
    let mut random = Random::new(context.seed()).stream("rows");
    let rows = (0..context.integer("rows")?).map(|_| {
        let x = random.next_f64();
        format!("{x},{}\n", 3.0 * x + random.next_f64() - 0.5)
    });
    one_output("rows", rows.collect())
}

/// Ridge regression of one slope: Σ x y / (Σ x² + penalty); the model is the slope and its mean squared error.
fn fit(context: &StepContext, inputs: &BTreeMap<PortName, Bytes>) -> Made {
    let penalty = context.number("penalty")?;
    if penalty > 1000.0 {
        return Err(StepError::permanent(format!("a penalty of {penalty} leaves no slope")));
    }
    let text = inputs.get("rows").ok_or_else(|| StepError::permanent("no rows"))?;
    let rows: Vec<(f64, f64)> = std::str::from_utf8(text)
        .map_err(|e| StepError::permanent(e.to_string()))?
        .lines()
        .filter_map(|line| line.split_once(',').and_then(|(x, y)| Some((x.parse().ok()?, y.parse().ok()?))))
        .collect();
    let slope = rows.iter().map(|(x, y)| x * y).sum::<f64>()
        / (rows.iter().map(|(x, _)| x * x).sum::<f64>() + penalty);
    let error = rows.iter().map(|(x, y)| (y - slope * x).powi(2)).sum::<f64>() / rows.len() as f64;
    context.metric(MetricKey::new("mse").map_err(mlops_core::Error::from)?, error);
    one_output("model", format!("{slope} {error}"))
}

/// The model with the smaller error.
fn choose(_: &StepContext, inputs: &BTreeMap<PortName, Bytes>) -> Made {
    let error =
        |model: &&str| model.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(f64::INFINITY);
    let models = inputs.values().filter_map(|bytes| std::str::from_utf8(bytes).ok());
    let best = models.min_by(|a, b| error(a).total_cmp(&error(b)));
    one_output("model", best.ok_or_else(|| StepError::permanent("no model"))?.to_owned())
}

fn components() -> Result<Components, mlops_core::Error> {
    let load_rows = component("load")?
        .with_output(port("rows")?, PortType::UriFile)
        .with_parameter(port("rows")?, ParamSpec::integer(Some(2), None));
    let fit_slope = component("fit")?
        .with_input(port("rows")?, PortType::UriFile)
        .with_output(port("model")?, PortType::CustomModel)
        .with_parameter(port("penalty")?, ParamSpec::number(Some(0.0), None));
    let choose_best = component("choose")?
        .with_input(port("one")?, PortType::CustomModel)
        .with_input(port("other")?, PortType::CustomModel)
        .with_output(port("model")?, PortType::CustomModel);
    Components::new()
        .with_blocking(load_rows, load)?
        .with_blocking(fit_slope, fit)?
        .with_blocking(choose_best, choose)?
        .with_fn(component("warn")?, |context: StepContext| async move {
            context.log("somebody is told");
            Ok(())
        })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let store = LocalStore::open(folder.path())?;
    let components = components()?;

    // The file is checked before anything runs: every wire by type, every parameter by its range, with line and column.
    step(1, "Read the pipeline");
    let pipeline = Pipeline::parse(PIPELINE, PipelineFormat::Toml, &components)?;
    say(format!(
        "{} steps, in the order {:?}",
        pipeline.steps().len(),
        pipeline.steps().map(|s| s.id.as_str()).collect::<Vec<_>>()
    ));
    let wrong = PIPELINE.replace("load.outputs.rows", "load.outputs.rosw");
    if let Err(error) = Pipeline::parse(&wrong, PipelineFormat::Toml, &components) {
        say(format!("a slip is found: {}", error.message()));
    }

    // Outputs go into the store by their content, runs and data assets where everybody looks for them.
    let backends = Backends::new(
        Arc::new(store.artifacts()),
        Arc::new(store.step_cache()),
        Arc::new(store.pipelines()),
        Arc::new(SystemClock::new()),
        Arc::new(TokioPause),
    );
    let publishing = Publishing::new(ActorId::new("trainer")?)
        .with_tracker(Arc::new(store.tracker()), ExperimentName::new("ridge")?)
        .with_assets(Arc::new(store.data_assets()));
    let executor = PipelineExecutor::new(backends, components).with_publishing(publishing);

    step(2, "Run it");
    let first = executor.run(&pipeline, &RunOptions::new()).await?;
    say(&first);

    // Nothing that the steps depend on has changed, so nothing runs.
    step(3, "Run it again");
    let second = executor.run(&pipeline, &RunOptions::new()).await?;
    say(format!("{} of {} steps were reused", second.reused(), pipeline.steps().len()));

    // One parameter changes. What does not depend on it is reused, and the report says why the rest ran.
    step(4, "Change a parameter");
    let changed = executor.run(&pipeline, &RunOptions::new().with_argument(port("penalty")?, 5.0)).await?;
    for report in &changed.steps {
        say(report.explain());
    }

    // A branch fails. The other one is done all the same, what needs both is skipped, and somebody is told.
    step(5, "Let a branch fail");
    let failed = executor.run(&pipeline, &RunOptions::new().with_argument(port("penalty")?, 5000.0)).await?;
    for report in &failed.steps {
        say(report.explain());
    }

    // The data that was made is a data asset, and every run that read it says so.
    step(6, "Follow the lineage");
    let rows = store.data_assets().get(&DataRef::latest(AssetName::new("measurements")?)).await?;
    let runs = store.tracker().search_runs(&RunQuery::everywhere()).await?.items;
    let readers =
        runs.iter().filter(|run| run.inputs.iter().any(|input| input.asset == rows.spec.name)).count();
    say(format!("measurements:{} was read by {readers} of {} runs", rows.version, runs.len()));
    let chosen = StepName::new("choose")?;
    let model =
        first.outputs(&chosen).and_then(|outputs| outputs.get("model")).map(|model| model.digest.short());
    say(format!("the model that was chosen first is {}", model.unwrap_or_default()));
    Ok(())
}
