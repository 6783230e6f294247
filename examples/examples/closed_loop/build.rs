//! Steps 2 to 6: data, evaluation, registration; training is next door.

use std::path::Path;
use std::sync::Arc;

use mlops_core::artifact::{ArtifactStoreExt as _, Entry, Manifest};
use mlops_core::data::{AssetKind, DataAsset, NewDataAsset, Part, Table};
use mlops_core::evaluation::{EvaluationInput, EvaluationReport, Evaluator as _, GateSpec};
use mlops_core::experiment::{ArtifactLink, Capsule, DataInput, ExperimentSpec, LogBatch, RunEnd, RunSpec};
use mlops_core::hash::{Digest, Hasher, canonical_json};
use mlops_core::model::{ModelFormat, Predictor};
use mlops_core::num::Random;
use mlops_core::problem::Task;
use mlops_core::registry::{ModelVersion, NewModelVersion};
use mlops_core::time::Timestamp;
use mlops_core::{
    Alias, AssetName, EndpointName, ExperimentName, ModelName, ParamKey, RelPath, Result, RunId, TagKey,
};
use mlops_eval::evaluator::{EvaluatorOptions, StandardEvaluator};
use mlops_examples::narrate::say;
use mlops_examples::platform::Platform;
use mlops_examples::prepare::{LABEL, Prepared, ROW, prepare_rows};
use mlops_examples::rows::pack;
use mlops_examples::train::Candidate;

use super::setup::Setup;
use super::validate::{self, Delivery};

/// Rows to learn from and rows to judge by, out of one version of the data asset.
#[derive(Debug)]
pub struct Rows {
    pub asset: DataAsset,
    pub train: Table<'static>,
    pub judge: Table<'static>,
    /// What of the rows to learn from production has shown and labelled; none at first.
    pub labelled: Table<'static>,
}

impl Rows {
    /// The identity of the rows to judge by.
    pub fn judge_digest(&self) -> Result<Digest> {
        rows_digest(&self.asset, &self.judge)
    }
}

fn rows_digest(asset: &DataAsset, rows: &Table<'_>) -> Result<Digest> {
    let mut hasher = Hasher::new("mlops.example.rows/v1").field(asset.spec.digest.as_bytes());
    for row in rows.column(ROW)?.to_f64()?.iter() {
        hasher.push(&row.to_le_bytes());
    }
    Ok(hasher.finish())
}

/// The platform and what was prepared on it.
#[derive(Debug)]
pub struct World {
    pub platform: Platform,
    pub setup: Setup,
    pub prepared: Prepared,
    pub first: Rows,
    /// Rows that stand in for production.
    pub production: Table<'static>,
    pub evaluator: StandardEvaluator,
    /// What was delivered, and what of it was set aside.
    stored: Vec<Entry>,
}

/// A trained model, its run, and the version it may become.
#[derive(Debug)]
pub struct Trained {
    pub run: RunId,
    pub artifact: Digest,
    pub format: ModelFormat,
    pub predictor: Arc<dyn Predictor>,
    pub inputs: Vec<DataInput>,
    pub name: String,
}

impl World {
    pub fn now(&self) -> Timestamp {
        self.platform.now()
    }

    pub fn gate(&self) -> &GateSpec {
        &self.setup.gate
    }

    pub fn model(&self) -> Result<ModelName> {
        Ok(ModelName::new(if self.is_bundled() { "diabetes-progression" } else { "own-model" })?)
    }

    pub fn endpoint(&self) -> Result<EndpointName> {
        Ok(EndpointName::new("progression")?)
    }

    pub fn is_bundled(&self) -> bool {
        !self.setup.own_data
    }

    /// Holds the data to its schema, splits and registers it.
    pub async fn prepare(setup: Setup, platform: Platform) -> Result<Self> {
        let delivery = match &setup.schema {
            Some(schema) if !setup.own_data => validate::bundled(&setup.source, schema)?,
            schema => validate::own(&setup.source, schema.as_ref())?,
        };
        let prepared = of_file(&setup, &delivery)?;
        say(format_args!(
            "{} rows with {} features pass their checks; {} exact duplicates were left out.",
            prepared.table.rows(),
            prepared.features.len(),
            prepared.duplicates
        ));
        say(format_args!("Positive: {}.", prepared.positive));

        let mut stored = vec![entry(&platform, "data", delivery.bytes).await?];
        if let Some(bad) = &delivery.bad {
            stored.push(entry(&platform, "set-aside.json", pack(bad)?).await?);
        }
        let train = prepared.part(Part::Train)?;
        let asset = register_data(&platform, &prepared, &stored, "as delivered", &train).await?;

        let production = prepared.part(Part::Test)?;
        let (judge, labelled) = (prepared.part(Part::Validation)?, production.take(&[])?);
        let first = Rows { asset, train, judge, labelled };
        say(format_args!(
            "Split without leaks: {} rows to learn from, {} to judge by, {} stand in for production.",
            first.train.rows(),
            first.judge.rows(),
            production.rows()
        ));
        let options = EvaluatorOptions::default().with_bands(&prepared.slice, prepared.bands.clone());
        let evaluator = StandardEvaluator::new(options)?;
        Ok(Self { platform, setup, prepared, first, production, evaluator, stored })
    }

    /// The data after production has taught something: half of its labelled rows to learn from, half to judge by.
    pub async fn grow(&self) -> Result<Rows> {
        let mut order: Vec<usize> = (0..self.production.rows()).collect();
        Random::new(self.setup.source.seed).stream("grow").shuffle(&mut order);
        let (learn, judge) = order.split_at(order.len() / 2);
        let (labelled, more) = (self.production.take(learn)?, self.production.take(judge)?);
        let train = Table::concat(&[self.first.train.clone(), labelled.clone()])?;
        let judge = Table::concat(&[self.first.judge.clone(), more])?;
        let note = format!("{} labelled rows of production added", order.len());
        let asset = register_data(&self.platform, &self.prepared, &self.stored, &note, &train).await?;
        say(format_args!(
            "Data asset {}: {} rows to learn from, {} to judge by.",
            asset.reference(),
            train.rows(),
            judge.rows()
        ));
        Ok(Rows { asset, train, judge, labelled })
    }
}

/// The good rows, labelled and split; what is wrong with them is said with the file's name.
fn of_file(setup: &Setup, delivery: &Delivery) -> Result<Prepared> {
    let name = setup.source.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    prepare_rows(&setup.source, &delivery.good, &delivery.numbers, delivery.schema.clone())
        .map_err(|e| if e.context("file").is_some() { e } else { e.with("file", name) })
}

/// A file of a data asset.
async fn entry(platform: &Platform, path: &str, bytes: Vec<u8>) -> Result<Entry> {
    let blob = platform.artifacts.put_bytes(bytes).await?;
    Ok(Entry { path: RelPath::new(path)?, digest: blob.digest, size: blob.size })
}

/// Registers what was delivered together with what is learned from it; the delivery itself is stored once, however often it is
/// registered.
async fn register_data(
    platform: &Platform,
    prepared: &Prepared,
    stored: &[Entry],
    note: &str,
    train: &Table<'_>,
) -> Result<DataAsset> {
    let split = entry(platform, "split.json", split_json(prepared, &train.column(ROW)?.to_f64()?)?).await?;
    let manifest = Manifest::new(stored.iter().cloned().chain([split]).collect())?;
    let tree = platform.artifacts.put_tree(&manifest).await?;
    let name =
        AssetName::new(if prepared.features.iter().any(|f| f == "bmi") { "patients" } else { "own-data" })?;
    let asset = NewDataAsset::stored(name, AssetKind::Table, tree.digest, platform.actor.clone())
        .with_schema(prepared.schema.digest())
        .with_rows(prepared.table.rows() as u64)
        .with_description(note);
    let asset = platform.data.register(&asset).await?;
    platform.record("data.register", &asset.reference().to_string(), note).await?;
    say(format_args!("Registered {} as {}.", asset.reference(), asset.spec.digest));
    Ok(asset)
}

/// What is stored beside the file: how it was split, and which rows are learned from.
fn split_json(prepared: &Prepared, train: &[f64]) -> Result<Vec<u8>> {
    canonical_json(&(prepared.partition.manifest().digest, train))
}

pub fn experiment() -> Result<ExperimentName> {
    Ok(ExperimentName::new("closed-loop")?)
}

/// The rows, as something that a model was made from.
pub fn training_input(rows: &Rows) -> DataInput {
    DataInput::new(rows.asset.spec.name.clone(), rows.asset.version, rows.asset.spec.digest, "training")
}

/// Stores a model that was not made by the pipeline, and tracks its run: parameters, data, commit and seed.
pub async fn track(world: &World, candidate: Candidate, rows: &Rows) -> Result<Trained> {
    let Platform { tracker, artifacts, actor, .. } = &world.platform;
    tracker.ensure_experiment(&ExperimentSpec::new(experiment()?)).await?;
    let capsule = Capsule::capture(Path::new(env!("CARGO_MANIFEST_DIR")))
        .with_seed("training", world.setup.source.seed);
    let spec = RunSpec::new(experiment()?, candidate.name, actor.clone()).with_capsule(capsule);
    let run = tracker.start_run(&spec).await?;
    let blob = artifacts.put_bytes(candidate.bytes).await?;
    let input = training_input(rows);
    let mut batch = LogBatch::new()
        .input(input.clone())
        .tag(TagKey::new("rows")?, rows.train.rows().to_string())
        .artifact(ArtifactLink::new(RelPath::new("model.json")?, blob.digest, blob.size));
    for (key, value) in &candidate.params {
        batch = batch.param(ParamKey::new(key)?, value);
    }
    tracker.write(&run.id, &batch).await?;
    tracker.finish_run(&run.id, &RunEnd::FINISHED).await?;
    Ok(Trained {
        run: run.id,
        artifact: blob.digest,
        format: candidate.format,
        predictor: Arc::from(candidate.predictor),
        inputs: vec![input],
        name: candidate.name.to_owned(),
    })
}

/// Judges a trained model by the rows it has not seen.
pub fn evaluate(world: &World, trained: &Trained, rows: &Rows) -> Result<EvaluationReport> {
    let judge = &rows.judge;
    world.evaluator.evaluate(
        &EvaluationInput::new(
            trained.artifact,
            rows.judge_digest()?,
            Task::BinaryClassification,
            &trained.predictor.predict(judge)?,
            judge.column(LABEL)?,
            world.now(),
        )
        .with_slices(&judge.select(&[&world.prepared.slice])?)
        .with_sensitive(&judge.select(&[&world.prepared.sensitive])?),
    )
}

pub fn tell_report(world: &World, report: &EvaluationReport) {
    let number = |key: &str| report.metric(key).map_or_else(|| "undefined".to_owned(), |v| format!("{v:.3}"));
    let metrics = ["roc_auc", "accuracy", "f1", "log_loss", "brier"].map(|m| format!("{m} {}", number(m)));
    say(format_args!("On {} rows: {}", report.rows, metrics.join(", ")));
    for slice in &report.slices {
        let accuracy =
            slice.metrics.get("accuracy").map_or_else(String::new, |e| short(&e.value.to_string()));
        say(format_args!("  {:<22} {:>6} rows, accuracy {accuracy}", slice.name, slice.rows));
    }
    for fairness in &report.fairness {
        for group in &fairness.groups {
            let rate =
                |key: &str| group.metrics.get(key).map_or_else(String::new, |e| short(&e.value.to_string()));
            let (selected, found) = (rate("selection_rate"), rate("recall"));
            say(format_args!(
                "  {:<22} {:>6} rows, selected {selected}, found {found}",
                group.name, group.rows
            ));
        }
        let name = "equal_opportunity_difference";
        if let Some(disparity) = fairness.disparities.get(name) {
            let value = short(&disparity.estimate.value.to_string());
            say(format_args!("  {name} between groups of {}: {value}", world.prepared.sensitive));
        }
    }
}

/// A number to three decimals; other text as it is.
fn short(text: &str) -> String {
    text.parse::<f64>().map_or_else(|_| text.to_owned(), |v| format!("{v:.3}"))
}

/// Registers a trained model as the next version.
pub async fn register(world: &World, trained: &Trained) -> Result<ModelVersion> {
    let Platform { registry, actor, .. } = &world.platform;
    let signature = trained.predictor.signature().clone();
    let mut version = NewModelVersion::new(
        world.model()?,
        trained.artifact,
        trained.format.clone(),
        signature,
        actor.clone(),
    )
    .with_run(trained.run.clone())
    .with_description(&trained.name);
    version.data.clone_from(&trained.inputs);
    let version = registry.register(&version).await?;
    if let Some(azure) = &world.platform.azure {
        let (name, number) = (version.spec.model.as_str(), version.version.to_string());
        azure.lend(name, &number, Arc::clone(&trained.predictor))?;
    }
    let reference = version.reference().to_string();
    world.platform.record("model.register", &reference, &trained.name).await?;
    say(format_args!("{reference} ({}) is {}", trained.name, version.spec.artifact));
    Ok(version)
}

pub fn champion() -> Result<Alias> {
    Ok(Alias::new("champion")?)
}
