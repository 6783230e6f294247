//! Phase 3: a sweep that runs trials at once, stops the bad ones early, is killed half-way and goes on.
//!
//! Run it with `cargo run -p mlops-examples --example phase3_sweep`.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use mlops_core::experiment::sampler::{Goal, RandomOptions, SamplerSpec};
use mlops_core::experiment::space::{Assignment, Distribution, SearchSpace, SpaceError};
use mlops_core::experiment::stopping::Asha;
use mlops_core::experiment::sweep::{
    Budget, Sweep, SweepJournal as _, SweepSpec, SweepState, TerminalProgress, TrialContext,
    verify_suggestions,
};
use mlops_core::experiment::{ExperimentTracker as _, RunQuery};
use mlops_core::local::LocalStore;
use mlops_core::{ActorId, ExperimentName, MetricKey, PageRequest};

/// Epochs of a whole trial, and the rungs at which half of the trials go on.
const EPOCHS: u64 = 32;
const RUNGS: [u64; 3] = [4, 8, 16];

/// A learning curve as networks have them: a high rate learns fast and ends high, a low one takes long to end low; so curves cross,
/// and who leads after four epochs does not win. The best end is at a rate of 0.05 and a dropout of 0.3.
fn loss(rate: f64, dropout: f64, epoch: u64) -> f64 {
    let off = (rate / 0.05).log10();
    let end = 0.2 * off.powi(2) + 0.5 * (dropout - 0.3).powi(2);
    end + 2.0 * (-0.35 * 10_f64.powf(0.3 * off) * epoch as f64).exp()
}

fn loss_of(values: &Assignment, epoch: u64) -> Result<f64, SpaceError> {
    Ok(loss(values.float("rate")?, values.float("dropout")?, epoch))
}

/// The trials by how far they came, with their loss at every rung.
fn table(state: &SweepState) -> Result<(), Box<dyn Error>> {
    println!("trial   rate     dropout {:>8} {:>8} {:>8} {:>8}", "4", "8", "16", "32");
    let mut trials: Vec<_> = state.trials().iter().zip(state.reports()).collect();
    trials.sort_by_key(|(trial, told)| (std::cmp::Reverse(told.reports.interval()), trial.number));
    for (trial, told) in &trials {
        let values = state.assignment(trial.number).ok_or("every trial has values")?;
        let at = |epoch| told.reports.at_step(epoch).map_or(String::new(), |r| format!("{:.4}", r.value));
        let [a, b, c, d] = [4, 8, 16, 32].map(at);
        let (rate, dropout) = (values.float("rate")?, values.float("dropout")?);
        let best = if state.best().is_some_and(|best| best.number == trial.number) { " best" } else { "" };
        println!("{:5}   {rate:<8.5} {dropout:<7.3} {a:>8} {b:>8} {c:>8} {d:>8}{best}", trial.number);
    }
    for (rung, least) in [("the first rung", 5), ("the second", 9), ("the third", 17)] {
        let passed = trials.iter().filter(|(_, told)| told.reports.interval() >= least).count();
        println!("{passed} of {} went on from {rung}", trials.len());
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile_folder()?;
    let store = LocalStore::open(&folder)?;

    // What is varied, how values are chosen, when a trial stops, and how much the sweep may use.
    let space = SearchSpace::new([
        ("rate", Distribution::log_float(1e-4, 1.0)),
        ("dropout", Distribution::float(0.0, 0.8)),
    ])?;
    let spec = SweepSpec::new(
        ExperimentName::new("digits")?,
        "rate and dropout",
        ActorId::new("trainer")?,
        MetricKey::new("loss")?,
        Goal::Minimize,
        space,
        SamplerSpec::Random(RandomOptions::default()),
    )
    .with_seed(2026)
    // A trial waits at a rung, and goes on once it is in the better half of those that came so far.
    .with_stopping(Asha::new(RUNGS[0], 2)?.pausing(EPOCHS)?)
    .with_budget(Budget::trials(24).with_concurrent(2));

    // An objective is a function from a trial to its value; it reports after each epoch and is told whether to go on. One that goes
    // on after a rung, or after a kill, begins where it saved last.
    let objective = |pause: Duration| {
        move |trial: TrialContext| async move {
            let done = trial.checkpoint().map_or(Ok(0), str::parse::<u64>)?;
            let mut last = loss_of(trial.assignment(), done)?;
            for epoch in done + 1..=EPOCHS {
                last = loss_of(trial.assignment(), epoch)?;
                tokio::time::sleep(pause).await;
                if RUNGS.contains(&epoch) {
                    trial.save_checkpoint(epoch.to_string()).await?;
                }
                if trial.report(epoch, last).await?.is_stop() {
                    break;
                }
            }
            Ok(last)
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
    let state = sweep.state().await?.ok_or("the sweep is over")?;
    table(&state)?;

    // What stopping saved, and that it lost nothing: every trial run to its end would have given the same best one.
    let epochs: u64 = state.reports().iter().map(|told| told.reports.interval()).sum();
    let ends = (0..24).map(|n| Ok((loss_of(state.assignment(n).ok_or("trial")?, EPOCHS)?, n)));
    let ends = ends.collect::<Result<Vec<(f64, u64)>, Box<dyn Error>>>()?;
    let (value, number) = ends.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)).ok_or("24 trials")?;
    println!(
        "{epochs} of {} epochs were run; the best of all trials is number {number}: {value:.4}",
        24 * EPOCHS
    );
    assert_eq!(summary.best.as_ref().map(|best| best.number), Some(number));

    // Every suggestion follows from what was written down before it, and every trial is one run within the sweep's.
    let entries = journal.entries(&spec.id(), 0).await?;
    let asked = verify_suggestions(&entries, &*spec.sampler.build()?)?;
    let page = PageRequest::first(PageRequest::MAX_LIMIT);
    let runs = store.tracker().search_runs(&RunQuery::everywhere().with_page(page)).await?;
    println!("{asked} suggestions were asked for again and are the same; {} runs", runs.items.len());
    assert_eq!((summary.trials.total(), runs.items.len()), (24, 25));
    assert!((3..=8).contains(&summary.trials.completed), "{}", summary.trials);
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

/// A folder of this program's own.
fn tempfile_folder() -> std::io::Result<std::path::PathBuf> {
    let folder = std::env::temp_dir().join(format!("mlops-phase3-sweep-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
