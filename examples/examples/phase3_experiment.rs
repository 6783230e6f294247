//! Phase 3: experiments that can be found, compared and made again.
//!
//! `cargo run -p mlops-examples --example phase3_experiment`

use std::error::Error;
use std::path::Path;

use mlops_core::data::{Part, Table};
use mlops_core::evaluation::{EvaluationInput, EvaluationReport, Evaluator as _};
use mlops_core::experiment::{
    Capsule, DataInput, ExperimentSpec, ExperimentTracker, Field, LogBatch, MetricPoint, OrderBy, RunEnd,
    RunQuery, RunSpec,
};
use mlops_core::hash::Digest;
use mlops_core::memory::MemoryTracker;
use mlops_core::problem::Task;
use mlops_core::time::{Clock as _, SystemClock};
use mlops_core::{ExperimentName, MetricKey, Version};
use mlops_eval::evaluator::StandardEvaluator;
use mlops_examples::narrate::{say, step};
use mlops_examples::prepare::{LABEL, Source, prepare};
use mlops_examples::train::{Candidate, boosted_trees, logistic, prior};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let source = Source::diabetes();
    let data = Digest::of(&std::fs::read(&source.file)?);
    let prepared = prepare(&source)?;
    let (train, validation) = (prepared.part(Part::Train)?, prepared.part(Part::Validation)?);

    // The capsule holds what one needs to make a run again: the commit, the lock file, the seeds.
    step(1, "An experiment, and what its runs share");
    let tracker = MemoryTracker::default();
    let experiment: ExperimentName = "diabetes".parse()?;
    tracker.ensure_experiment(&ExperimentSpec::new(experiment.clone())).await?;
    let capsule = Capsule::capture(Path::new(env!("CARGO_MANIFEST_DIR"))).with_seed("training", source.seed);
    let commit = capsule.code.commit.as_deref().unwrap_or("none: not a git work tree");
    say(format!("commit {commit}"));
    say(format!("seed   {}", source.seed));
    say(format!("lock   {}", capsule.lock.map_or("none".to_owned(), |digest| digest.to_string())));

    // The baseline goes through the same door as the candidates: what does not beat it has learnt nothing.
    step(2, "A baseline and two candidates");
    for trainer in [prior, logistic, boosted_trees] {
        let model = trainer(&train, &prepared.features, source.seed)?;
        let report = judge(&model, &validation, data)?;

        // The id of a run is made here, not by the tracker: starting it twice, say after a timeout, starts one run.
        let spec = RunSpec::new(experiment.clone(), model.name, "trainer".parse()?);
        let run = tracker.start_run(&spec.with_capsule(capsule.clone())).await?;

        // A batch is kept whole or not at all: parameters, the data by its digest, and the metrics.
        let input = DataInput::new("diabetes".parse()?, Version::FIRST, data, "train");
        let mut batch = LogBatch::new().input(input);
        for (name, value) in &model.params {
            batch = batch.param(name.parse()?, value);
        }
        for (name, estimate) in &report.metrics {
            if let Some(value) = estimate.value.value() {
                batch = batch.metric(MetricPoint::new(name.clone(), value, report.at));
            }
        }
        let receipt = tracker.write(&run.id, &batch).await?;
        tracker.finish_run(&run.id, &RunEnd::FINISHED).await?;
        say(format!("{:20} {} metrics, run {}", model.name, receipt.new_points, run.id));
    }

    // A search answers runs in an order of its own: here the best on the validation rows first.
    step(3, "The best first");
    let auc: MetricKey = "roc_auc".parse()?;
    let query = RunQuery::new(experiment).with_order(OrderBy::descending(Field::Metric(auc)));
    let found = tracker.search_runs(&query).await?;
    for run in &found.items {
        let metric = |key| run.metric(key).map_or("-".to_owned(), |value| format!("{value:.3}"));
        let params: Vec<String> = run.params.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let (auc, loss) = (metric("roc_auc"), metric("log_loss"));
        say(format!("{:20} roc_auc {auc}  log_loss {loss}  {}", run.name, params.join(" ")));
    }

    // A run that has ended takes no more writes: nobody improves a result afterwards.
    step(4, "History cannot be rewritten");
    if let Some(best) = found.items.first() {
        let late = LogBatch::new().param("alpha".parse()?, 0.1);
        if let Err(error) = tracker.write(&best.id, &late).await {
            say(error);
        }
    }
    Ok(())
}

/// Every metric of a binary classification, on rows the model has not seen.
fn judge(model: &Candidate, rows: &Table<'_>, data: Digest) -> mlops_core::Result<EvaluationReport> {
    StandardEvaluator::default().evaluate(&EvaluationInput::new(
        Digest::of(&model.bytes),
        data,
        Task::BinaryClassification,
        &model.predictor.predict(rows)?,
        rows.column(LABEL)?,
        SystemClock::new().now(),
    ))
}
