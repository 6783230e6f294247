//! Phase 3: whether a run can be made again.
//!
//! Run it with `cargo run -p mlops-examples --example phase3_reproduce`.

use std::error::Error;

use mlops_core::data::{Column, Table, content_digest};
use mlops_core::experiment::reproduce::{
    Recipe, Recording, ReproduceOptions, Reproducibility, Reproduction, Tolerance, reproduce,
};
use mlops_core::experiment::{
    Capsule, CaptureOptions, ExperimentSpec, ExperimentTracker, LogBatch, MetricPoint, RunEnd, RunSpec,
};
use mlops_core::memory::MemoryTracker;
use mlops_core::num::Random;
use mlops_core::time::{Clock as _, SystemClock};
use mlops_core::{ActorId, ExperimentName, MetricKey, ParamKey};

/// The data, as it lies somewhere.
fn data(shift: f64) -> Result<Table<'static>, mlops_core::Error> {
    let ages: Vec<f64> = (0..200).map(|i| 20.0 + f64::from(i % 60) + shift).collect();
    Table::new(vec![Column::f64("age", ages)?])
}

/// "Trains": the mean of a random part of the rows.
fn train(table: &Table<'_>, share: f64, seed: u64) -> Result<f64, mlops_core::Error> {
    let ages = table.column("age")?.to_f64()?;
    let mut random = Random::new(seed).stream("rows");
    let chosen: Vec<f64> = ages.iter().copied().filter(|_| random.next_f64() < share).collect();
    Ok(chosen.iter().sum::<f64>() / chosen.len() as f64)
}

/// What makes the run again: everything it needs comes from the recipe.
async fn again(recipe: Recipe, shift: f64) -> Result<Reproduction, mlops_core::Error> {
    let table = data(shift)?;
    let mean = train(&table, recipe.param("share")?, recipe.seed("rows")?)?;
    Ok(Reproduction::new()
        .with_metric(MetricKey::new("mean_age")?, mean)
        .with_input("training", content_digest(&table)))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (tracker, clock) = (MemoryTracker::default(), SystemClock::new());
    let (experiment, actor) = (ExperimentName::new("ages")?, ActorId::new("trainer")?);
    tracker.ensure_experiment(&ExperimentSpec::new(experiment.clone())).await?;

    // A run records what went in: parameters, seeds, the digest of the data, and the program itself.
    let table = data(0.0)?;
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let now = Capsule::capture_with(here, &CaptureOptions::default().with_program());
    let capsule = now.clone().with_seed("rows", 7).with_input("training", content_digest(&table));
    let run =
        tracker.start_run(&RunSpec::new(experiment, "mean age", actor.clone()).with_capsule(capsule)).await?;
    let value = train(&table, 0.5, 7)?;
    let batch = LogBatch::new().param(ParamKey::new("share")?, 0.5).metric(MetricPoint::new(
        MetricKey::new("mean_age")?,
        value,
        clock.now(),
    ));
    tracker.write(&run.id, &batch).await?;
    tracker.finish_run(&run.id, &RunEnd::FINISHED).await?;

    // Made again, it gives the same number; the reproduction is a run of its own that says whose it is.
    let (options, recording) = (ReproduceOptions::default(), Recording::new(&actor, &clock));
    let report =
        reproduce(&tracker, &run.id, &now, &options, Some(recording), |recipe| again(recipe, 0.0)).await?;
    println!("{report}");
    assert_eq!(report.verdict, Reproducibility::Reproduced);

    // With data that has moved it does not, and the report says why.
    let report = reproduce(&tracker, &run.id, &now, &options, None, |recipe| again(recipe, 0.5)).await?;
    println!("{report}");
    assert_eq!(report.verdict, Reproducibility::Differs);

    // A tolerance lets the number pass, but other data prove nothing.
    let options = ReproduceOptions::default().with_tolerance(Tolerance::new(0.0, 0.1)?);
    let report = reproduce(&tracker, &run.id, &now, &options, None, |recipe| again(recipe, 0.5)).await?;
    println!("{report}");
    assert_eq!(report.verdict, Reproducibility::Inconclusive);
    Ok(())
}
