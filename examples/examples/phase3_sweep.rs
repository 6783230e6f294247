//! Phase 3: a sweep that runs trials at once, stops the bad ones early, is killed half-way and goes on.
//!
//! Run it with `cargo run -p mlops-examples --example phase3_sweep`.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use mlops_core::experiment::sampler::{Goal, RandomOptions, SamplerSpec};
use mlops_core::experiment::space::{Distribution, SearchSpace};
use mlops_core::experiment::stopping::Asha;
use mlops_core::experiment::sweep::{
    Budget, Sweep, SweepJournal as _, SweepSpec, TerminalProgress, verify_suggestions,
};
use mlops_core::experiment::{ExperimentTracker as _, RunQuery};
use mlops_core::local::LocalStore;
use mlops_core::num::Random;
use mlops_core::{ActorId, ExperimentName, MetricKey, PageRequest};

/// Rows of two numbers and what a line through them should give, with noise.
fn rows(seed: u64, count: usize) -> Vec<([f64; 2], f64)> {
    let mut random = Random::new(seed).stream("rows");
    let mut draw = move || 2.0 * random.next_f64() - 1.0;
    (0..count)
        .map(|_| {
            let x = [draw(), draw()];
            (x, 3.0 * x[0] - 2.0 * x[1] + 0.1 * draw())
        })
        .collect()
}

/// One pass of gradient descent with a penalty on large weights; returns the mean squared error on `test`.
fn epoch(
    weights: &mut [f64; 2],
    rate: f64,
    penalty: f64,
    training: &[([f64; 2], f64)],
    test: &[([f64; 2], f64)],
) -> f64 {
    for (x, y) in training {
        let error = weights[0] * x[0] + weights[1] * x[1] - y;
        for (weight, x) in weights.iter_mut().zip(x) {
            *weight -= rate * (error * x + penalty * *weight);
        }
    }
    let squares = test.iter().map(|(x, y)| (weights[0] * x[0] + weights[1] * x[1] - y).powi(2));
    squares.sum::<f64>() / test.len() as f64
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile_folder()?;
    let store = LocalStore::open(&folder)?;

    // What is varied, how values are chosen, when a trial stops, and how much the sweep may use.
    let space = SearchSpace::new([
        ("rate", Distribution::log_float(1e-4, 1.0)),
        ("penalty", Distribution::log_float(1e-6, 1e-1)),
    ])?;
    let spec = SweepSpec::new(
        ExperimentName::new("lines")?,
        "rate and penalty",
        ActorId::new("trainer")?,
        MetricKey::new("mse")?,
        Goal::Minimize,
        space,
        SamplerSpec::Random(RandomOptions::default()),
    )
    .with_seed(2026)
    .with_stopping(Asha::new(1, 3)?)
    .with_budget(Budget::trials(24).with_concurrent(2));

    // An objective is a function from a trial to its value; it reports after each epoch and is told whether to go on.
    let data = Arc::new((rows(1, 400), rows(2, 100)));
    let objective = move |pause: Duration| {
        let data = data.clone();
        move |trial: mlops_core::experiment::sweep::TrialContext| {
            let data = data.clone();
            async move {
                let (rate, penalty) =
                    (trial.assignment().float("rate")?, trial.assignment().float("penalty")?);
                let (mut weights, mut error) = ([0.0; 2], f64::NAN);
                for step in 1..=27 {
                    error = epoch(&mut weights, rate, penalty, &data.0, &data.1);
                    tokio::time::sleep(pause).await;
                    if trial.report(step, error).await?.is_stop() {
                        break;
                    }
                }
                Ok(error)
            }
        }
    };

    // The first process: it is gone before the sweep is over. Dropping the future is all that a kill leaves behind too.
    let journal = Arc::new(store.sweeps());
    let sweep = Sweep::new(spec.clone(), journal.clone())?.with_tracker(Arc::new(store.tracker()));
    let killed =
        tokio::time::timeout(Duration::from_millis(150), sweep.run(objective(Duration::from_millis(2))))
            .await;
    let state = sweep.state().await?.ok_or("the sweep has begun")?;
    println!("killed: {}; {} trials were begun", killed.is_err(), state.trials().len());

    // The next one: the same spec is the same sweep, and goes on where it was.
    let sweep = Sweep::new(spec.clone(), journal.clone())?
        .with_tracker(Arc::new(store.tracker()))
        .with_progress(Arc::new(TerminalProgress::stderr()));
    let summary = sweep.run(objective(Duration::ZERO)).await?;
    println!("{summary}");

    // Every suggestion follows from what was written down before it, and every trial is one run within the sweep's.
    let entries = journal.entries(&spec.id(), 0).await?;
    let asked = verify_suggestions(&entries, &*spec.sampler.build()?)?;
    let page = PageRequest::first(PageRequest::MAX_LIMIT);
    let runs = store.tracker().search_runs(&RunQuery::everywhere().with_page(page)).await?;
    println!("{asked} suggestions were asked for again and are the same; {} runs", runs.items.len());
    assert_eq!((summary.trials.total(), runs.items.len()), (24, 25));
    assert!(summary.trials.pruned > 0 && summary.best.is_some_and(|best| best.value < 0.1));
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

/// A folder of this program's own.
fn tempfile_folder() -> std::io::Result<std::path::PathBuf> {
    let folder = std::env::temp_dir().join(format!("mlops-phase3-sweep-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
