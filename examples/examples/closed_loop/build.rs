//! Steps 2 to 6: data, candidates, evaluation, registration.

use std::path::Path;

use mlops_core::artifact::{ArtifactStoreExt as _, Entry, Manifest};
use mlops_core::data::{AssetKind, DataAsset, Fractions, NewDataAsset, Part, Split, Table};
use mlops_core::evaluation::{EvaluationInput, EvaluationReport, Evaluator as _, GateDecision, GateSpec};
use mlops_core::experiment::{
    ArtifactLink, Capsule, DataInput, ExperimentSpec, Field, LogBatch, MetricPoint, OrderBy, RunEnd,
    RunQuery, RunSpec,
};
use mlops_core::governance::{ApprovalDecision, ApprovalRequest, Approver as _, CallbackApprover};
use mlops_core::hash::{Digest, Hasher, canonical_json};
use mlops_core::model::{ModelFormat, Predictor};
use mlops_core::num::Random;
use mlops_core::problem::Task;
use mlops_core::registry::{ModelVersion, NewModelVersion, Promotion};
use mlops_core::time::{Clock as _, SystemClock, Timestamp};
use mlops_core::{
    ActorId, Alias, AssetName, Error, ErrorKind, ExperimentName, IdempotencyKey, MetricKey, ModelName,
    ParamKey, RelPath, Result, RunId, TagKey, Version,
};
use mlops_eval::evaluator::{EvaluatorOptions, StandardEvaluator};
use mlops_examples::narrate::{Progress, say};
use mlops_examples::platform::Platform;
use mlops_examples::prepare::{LABEL, Prepared, ROW, prepare};
use mlops_examples::train::{self, Candidate, TRAINERS, Trainer};

use super::setup::Setup;

/// Rows to learn from and rows to judge by, out of one version of the data asset.
#[derive(Debug)]
pub struct Rows {
    pub asset: DataAsset,
    pub train: Table<'static>,
    pub judge: Table<'static>,
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
    file: Entry,
}

/// A trained model, its run, and the version it may become.
#[derive(Debug)]
pub struct Trained {
    pub run: RunId,
    pub artifact: Digest,
    pub format: ModelFormat,
    pub predictor: Box<dyn Predictor>,
    pub inputs: Vec<DataInput>,
    pub name: &'static str,
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

    fn is_bundled(&self) -> bool {
        self.prepared.sensitive == "sex" && self.setup.source.target == "target"
    }

    /// Reads, checks, splits and registers the data.
    pub async fn prepare(setup: Setup, store: &Path) -> Result<Self> {
        let prepared = prepare(&setup.source)?;
        let platform = Platform::local(store, SystemClock::new().now())?;
        let rows = prepared.table.rows();
        say(format_args!(
            "{rows} rows with {} features pass their checks; {} exact duplicates were left out.",
            prepared.features.len(),
            prepared.duplicates
        ));
        say(format_args!("Positive: {}.", prepared.positive));

        let bytes = std::fs::read(&setup.source.file)
            .map_err(|e| Error::new(ErrorKind::Storage, "read", "the file cannot be read").with_source(e))?;
        let blob = platform.artifacts.put_bytes(bytes).await?;
        let file = Entry { path: RelPath::new("data")?, digest: blob.digest, size: blob.size };
        let asset = register_data(&platform, &prepared, &file, "as delivered", None).await?;

        let first =
            Rows { asset, train: prepared.part(Part::Train)?, judge: prepared.part(Part::Validation)? };
        let production = prepared.part(Part::Test)?;
        say(format_args!(
            "Split without leaks: {} rows to learn from, {} to judge by, {} stand in for production.",
            first.train.rows(),
            first.judge.rows(),
            production.rows()
        ));
        let options = EvaluatorOptions::default().with_bands(&prepared.slice, prepared.bands.clone());
        let evaluator = StandardEvaluator::new(options)?;
        Ok(Self { platform, setup, prepared, first, production, evaluator, file })
    }

    /// The data after production has taught something: half of its labelled rows to learn from, half to judge by.
    pub async fn grow(&self) -> Result<Rows> {
        let mut order: Vec<usize> = (0..self.production.rows()).collect();
        Random::new(self.setup.source.seed).stream("grow").shuffle(&mut order);
        let (learn, judge) = order.split_at(order.len() / 2);
        let add = |base: &Table<'static>, rows: &[usize]| {
            Table::concat(&[base.clone(), self.production.take(rows)?])
        };
        let train = add(&self.first.train, learn)?;
        let judge = add(&self.first.judge, judge)?;
        let note = format!("{} labelled rows of production added", order.len());
        let asset = register_data(&self.platform, &self.prepared, &self.file, &note, Some(&train)).await?;
        say(format_args!(
            "Data asset {}: {} rows to learn from, {} to judge by.",
            asset.reference(),
            train.rows(),
            judge.rows()
        ));
        Ok(Rows { asset, train, judge })
    }
}

/// Registers the file together with what is learned from it; the file itself is stored once, however often it is registered.
async fn register_data(
    platform: &Platform,
    prepared: &Prepared,
    file: &Entry,
    note: &str,
    train: Option<&Table<'_>>,
) -> Result<DataAsset> {
    let rows = match train {
        Some(train) => train.column(ROW)?.to_f64()?.into_owned(),
        None => prepared.part(Part::Train)?.column(ROW)?.to_f64()?.into_owned(),
    };
    let split = split_json(prepared, &rows)?;
    let blob = platform.artifacts.put_bytes(split).await?;
    let split = Entry { path: RelPath::new("split.json")?, digest: blob.digest, size: blob.size };
    let manifest = Manifest::new(vec![file.clone(), split])?;
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

/// What every candidate must beat.
pub async fn baseline(world: &World) -> Result<Trained> {
    let prior = train::prior(&world.first.train, &[], 0)?;
    let trained = track(world, prior, &world.first, &[]).await?;
    say("The baseline gives everybody the share of positives among the rows it learned from.");
    Ok(trained)
}

/// Trains every kind of candidate on a part of the training rows, picks the best on the rest, and trains that on all of them.
pub async fn train(world: &World, rows: &Rows, purpose: &'static str) -> Result<Trained> {
    let seed = world.setup.source.seed;
    let inner = Split::stratified(LABEL, Fractions::test(0.2)?, seed).apply(&rows.train)?;
    let (fit, pick) = (inner.table(&rows.train, Part::Train)?, inner.table(&rows.train, Part::Test)?);
    let mut progress = Progress::new("training", TRAINERS.len() as u64 + 1);
    let mut best: Option<(f64, &str, Trainer)> = None;
    for (name, trainer) in TRAINERS {
        let candidate = trainer(&fit, &world.prepared.features, seed)?;
        let report =
            judge(world, &*candidate.predictor, Digest::of(&candidate.bytes), &pick, rows.asset.spec.digest)?;
        let auc = report.metric("roc_auc").ok_or_else(|| {
            Error::new(ErrorKind::Rejected, "train", "the rows to choose by have one class only")
        })?;
        track(world, candidate, rows, &[("selection/roc_auc", auc)]).await?;
        say(format_args!("{name:<20} roc_auc {auc:.3} on {} rows to choose by", pick.rows()));
        if best.is_none_or(|(score, ..)| auc > score) {
            best = Some((auc, name, trainer));
        }
        progress.tick();
    }
    let Some((_, name, trainer)) = best else {
        return Err(Error::new(ErrorKind::Internal, "train", "there is nothing to train"));
    };
    let candidate = trainer(&rows.train, &world.prepared.features, seed)?;
    progress.tick();
    let trained = track(world, candidate, rows, &[]).await?;
    say(format_args!("The {purpose} candidate: {name}, trained on all {} rows.", rows.train.rows()));
    leaderboard(world).await?;
    Ok(trained)
}

async fn leaderboard(world: &World) -> Result<()> {
    let auc = MetricKey::new("selection/roc_auc")?;
    let query = RunQuery::new(experiment()?).with_order(OrderBy::descending(Field::Metric(auc.clone())));
    let runs = world.platform.tracker.search_runs(&query).await?.items;
    if let Some(best) = runs.first().and_then(|run| Some((run, run.metric(auc.as_str())?))) {
        say(format_args!(
            "{} runs are tracked; the best to choose by is {} with {:.3}.",
            runs.len(),
            best.0.name,
            best.1
        ));
    }
    Ok(())
}

fn experiment() -> Result<ExperimentName> {
    Ok(ExperimentName::new("closed-loop")?)
}

/// Stores a model and tracks its run: parameters, metrics, data, commit and seed.
pub async fn track(
    world: &World,
    candidate: Candidate,
    rows: &Rows,
    metrics: &[(&str, f64)],
) -> Result<Trained> {
    let Platform { tracker, artifacts, actor, .. } = &world.platform;
    tracker.ensure_experiment(&ExperimentSpec::new(experiment()?)).await?;
    let capsule = Capsule::capture(Path::new(env!("CARGO_MANIFEST_DIR")))
        .with_seed("training", world.setup.source.seed);
    let spec = RunSpec::new(experiment()?, candidate.name, actor.clone()).with_capsule(capsule);
    let run = tracker.start_run(&spec).await?;
    let blob = artifacts.put_bytes(candidate.bytes).await?;
    let input = DataInput {
        asset: rows.asset.spec.name.clone(),
        version: rows.asset.version,
        digest: rows.asset.spec.digest,
        role: "training".into(),
    };
    let mut batch = LogBatch::new()
        .input(input.clone())
        .tag(TagKey::new("rows")?, rows.train.rows().to_string())
        .artifact(ArtifactLink { path: RelPath::new("model.json")?, digest: blob.digest, size: blob.size });
    for (key, value) in &candidate.params {
        batch = batch.param(ParamKey::new(key)?, value);
    }
    for (key, value) in metrics {
        batch = batch.metric(MetricPoint::new(MetricKey::new(key)?, *value, world.now()));
    }
    tracker.write(&run.id, &batch).await?;
    tracker.finish_run(&run.id, &RunEnd::FINISHED).await?;
    Ok(Trained {
        run: run.id,
        artifact: blob.digest,
        format: candidate.format,
        predictor: candidate.predictor,
        inputs: vec![input],
        name: candidate.name,
    })
}

/// Judges a trained model by the rows it has not seen.
pub fn evaluate(world: &World, trained: &Trained, rows: &Rows) -> Result<EvaluationReport> {
    judge(world, &*trained.predictor, trained.artifact, &rows.judge, rows.judge_digest()?)
}

fn judge(
    world: &World,
    predictor: &dyn Predictor,
    model: Digest,
    rows: &Table<'_>,
    data: Digest,
) -> Result<EvaluationReport> {
    world.evaluator.evaluate(&EvaluationInput {
        model,
        data,
        task: Task::BinaryClassification,
        predictions: &predictor.predict(rows)?,
        truth: rows.column(LABEL)?,
        slices: &rows.select(&[&world.prepared.slice])?,
        sensitive: &rows.select(&[&world.prepared.sensitive])?,
        at: world.now(),
    })
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
    .with_description(trained.name);
    version.data.clone_from(&trained.inputs);
    let version = registry.register(&version).await?;
    let reference = version.reference().to_string();
    world.platform.record("model.register", &reference, trained.name).await?;
    say(format_args!("{reference} ({}) is {}", trained.name, version.spec.artifact));
    Ok(version)
}

pub fn champion() -> Result<Alias> {
    Ok(Alias::new("champion")?)
}

/// Asks for approval and moves the alias `champion`, unless somebody else has moved it meanwhile.
pub async fn promote(
    world: &World,
    version: &ModelVersion,
    gate: GateDecision,
    expected: Option<Version>,
) -> Result<()> {
    let Platform { registry, actor, .. } = &world.platform;
    let manager = CallbackApprover::new(ActorId::new("release-manager")?, |request: &ApprovalRequest| {
        (ApprovalDecision::Approved, format!("seen: {}", request.question))
    });
    let request = ApprovalRequest {
        subject: gate.digest()?,
        question: format!("May {} become champion?", version.reference()),
        requester: actor.clone(),
        expires_at: world.now() + chrono::TimeDelta::hours(24),
    };
    let approval = manager.decide(&request, world.now()).await?;
    say(format_args!("{} asks: {} {:?}.", request.requester, request.question, approval.decision));
    let record = registry
        .promote(&Promotion {
            key: IdempotencyKey::generate(),
            model: version.spec.model.clone(),
            version: version.version,
            alias: champion()?,
            expected,
            gate,
            approval: Some(approval),
            actor: actor.clone(),
        })
        .await?;
    let detail = format!("champion moves from {} to {}", shown(record.from), shown(record.to));
    world.platform.record("model.promote", &version.reference().to_string(), &detail).await?;
    say(format_args!("By compare-and-set, {detail}."));
    Ok(())
}

fn shown(version: Option<Version>) -> String {
    version.map_or_else(|| "nobody".to_owned(), |v| format!("version {v}"))
}
