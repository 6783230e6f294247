//! Sweeps: the rules, the engine, the journals.

mod common;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mlops_core::conformance::sweep_journal::SweepsUnderTest;
use mlops_core::experiment::sampler::{Goal, GridOptions, RandomOptions, SamplerSpec, TpeOptions};
use mlops_core::experiment::space::{Assignment, Distribution, SearchSpace};
use mlops_core::experiment::stopping::{
    Asha, Bandit, MedianStopping, Percentile, Slack, StoppingPolicy, TrialReports, Verdict,
};
use mlops_core::experiment::sweep::{
    Action, Budget, Decision, EndReason, FailureClass, SamplerRecord, Signal, Sweep, SweepEntry, SweepEvent,
    SweepJournal, SweepProgress, SweepSpec, SweepState, SweepSummary, TerminalProgress, TrialContext,
    TrialError, TrialOutcome, TrialPhase, verify_suggestions,
};
use mlops_core::experiment::{ExperimentTracker, ExperimentTrackerExt as _, Run, RunQuery, RunStatus};
use mlops_core::governance::budget::{Threshold, ThresholdBasis, TimeGrain};
use mlops_core::governance::{self, BudgetGuard};
use mlops_core::local::LocalStore;
use mlops_core::memory::{MemorySweepJournal, MemoryTracker};
use mlops_core::time::{Clock, SystemClock};
use mlops_core::{ActorId, ErrorKind, ExperimentName, MetricKey, PageRequest};
use proptest::prelude::*;

mlops_core::sweep_journal_suite!(local, {
    let folder = tempfile::tempdir().unwrap().keep();
    SweepsUnderTest::new(Arc::new(LocalStore::open(folder).unwrap().sweeps()))
});
mlops_core::sweep_journal_suite!(local_synced, {
    let folder = tempfile::tempdir().unwrap().keep();
    SweepsUnderTest::new(Arc::new(LocalStore::open(folder).unwrap().sweeps().synced()))
});

fn space() -> SearchSpace {
    SearchSpace::new([("x", Distribution::float(-2.0, 2.0)), ("n", Distribution::int(1, 9))]).unwrap()
}

fn spec(name: &str, budget: Budget) -> SweepSpec {
    let sampler = SamplerSpec::Random(RandomOptions::default());
    let (experiment, actor) = (ExperimentName::new("sweeps").unwrap(), ActorId::new("tester").unwrap());
    let metric = MetricKey::new("loss").unwrap();
    SweepSpec::new(experiment, name, actor, metric, Goal::Minimize, space(), sampler)
        .with_seed(3)
        .with_budget(budget)
}

fn memory() -> Arc<MemorySweepJournal> {
    Arc::new(MemorySweepJournal::default())
}

/// A learning curve: it falls to (x − 0.5)² + n / 10.
fn curve(assignment: &Assignment, epoch: u64) -> f64 {
    let (x, n) = (assignment.float("x").unwrap(), assignment.int("n").unwrap());
    (x - 0.5).powi(2) + n as f64 / 10.0 + 4.0 / (epoch as f64 + 1.0)
}

async fn train(trial: TrialContext) -> Result<f64, TrialError> {
    let mut loss = f64::NAN;
    for epoch in 1..=8 {
        loss = curve(trial.assignment(), epoch);
        if trial.report(epoch, loss).await?.is_stop() {
            break;
        }
    }
    Ok(loss)
}

async fn runs(tracker: &dyn ExperimentTracker) -> Vec<Run> {
    let page = PageRequest::first(PageRequest::MAX_LIMIT);
    tracker.search_runs(&RunQuery::everywhere().with_page(page)).await.unwrap().items
}

async fn entries(journal: &dyn SweepJournal, spec: &SweepSpec) -> Vec<SweepEntry> {
    journal.entries(&spec.id(), 0).await.unwrap()
}

/// What two sweeps must agree in: of each trial its values, reports and end.
fn shape(state: &SweepState) -> Vec<String> {
    let trials = state.trials().iter().zip(state.reports());
    trials
        .map(|(trial, reports)| {
            let assignment = state.assignment(trial.number).unwrap();
            format!("{} {assignment} {:?} {:?}", trial.number, trial.phase, reports.reports)
        })
        .collect()
}

// -------------------------------------------------------------------------------------------------------------- the engine

#[tokio::test]
async fn every_trial_is_run_and_is_a_run() {
    let (journal, tracker) = (memory(), Arc::new(MemoryTracker::default()));
    let spec = spec("all", Budget::trials(12));
    let sweep = Sweep::new(spec.clone(), journal.clone()).unwrap().with_tracker(tracker.clone());
    let summary = sweep.run(train).await.unwrap();
    assert_eq!(summary.ended, Some(EndReason::Trials));
    assert_eq!((summary.trials.completed, summary.trials.total()), (12, 12));
    assert_eq!(summary.tracker_problem, None);

    let state = sweep.state().await.unwrap().unwrap();
    let values = state.trials().iter().map(|trial| match trial.phase {
        TrialPhase::Completed { value } => value,
        _ => panic!("{trial:?}"),
    });
    let best = summary.best.unwrap();
    assert_eq!(best.value, values.fold(f64::INFINITY, f64::min));
    assert_eq!(best.value, curve(&best.assignment, 8));

    let runs = runs(&*tracker).await;
    assert_eq!(runs.len(), 13);
    let parent = tracker.run(&spec.id()).await.unwrap();
    assert_eq!((parent.status, parent.metric("loss")), (RunStatus::Finished, Some(best.value)));
    assert_eq!(
        parent.tags.get("mlops.sweep.best_trial").map(String::as_str),
        Some(&*best.number.to_string())
    );
    for trial in state.trials() {
        let run = tracker.run(&spec.trial_run(trial.number)).await.unwrap();
        assert_eq!((run.parent.as_ref(), run.status), (Some(&spec.id()), RunStatus::Finished));
        let assignment = state.assignment(trial.number).unwrap();
        for (path, value) in assignment.flat() {
            assert_eq!(run.params.get(path.as_str()), Some(&value.to_string()));
        }
        let history = tracker.full_history(&run.id, &spec.metric).await.unwrap();
        let expected: Vec<f64> = (1..=8).map(|epoch| curve(assignment, epoch)).collect();
        assert_eq!(history.iter().map(|point| point.value).collect::<Vec<_>>(), expected);
        assert_eq!(run.tags.get("mlops.trial.outcome").map(String::as_str), Some("completed"));
    }
    // Every suggestion follows from what was written before it.
    let sampler = spec.sampler.build().unwrap();
    assert_eq!(verify_suggestions(&entries(&*journal, &spec).await, &*sampler).unwrap(), 12);
}

#[tokio::test]
async fn a_sweep_that_is_over_is_only_read() {
    let journal = memory();
    let spec = spec("over", Budget::trials(3));
    let sweep = Sweep::new(spec.clone(), journal.clone()).unwrap();
    let first = sweep.run(train).await.unwrap();
    let written = entries(&*journal, &spec).await.len();
    let again = sweep.run(|_| async { panic!("nothing is run") }).await.unwrap();
    assert_eq!((first, written), (again, entries(&*journal, &spec).await.len()));
}

#[tokio::test]
async fn a_greater_budget_goes_on_with_the_same_suggestions() {
    let (journal, whole) = (memory(), memory());
    let budgets = [Budget::trials(4), Budget::trials(9)];
    for budget in budgets {
        Sweep::new(spec("more", budget), journal.clone()).unwrap().run(train).await.unwrap();
    }
    let spec = spec("more", Budget::trials(9));
    let at_once = Sweep::new(spec.clone(), whole.clone()).unwrap();
    at_once.run(train).await.unwrap();
    let state = SweepState::replay(&entries(&*journal, &spec).await).unwrap().unwrap();
    assert_eq!(shape(&state), shape(&at_once.state().await.unwrap().unwrap()));
}

/// What a tracker shows of the rounds is what the journal says of them, each as it was when it ended.
async fn check_rounds(tracker: &dyn ExperimentTracker, spec: &SweepSpec, state: &SweepState) {
    let trials = state.trials();
    assert_eq!(state.rounds().len(), 2);
    for (round, many) in [(0, 4), (1, 9)] {
        let value = |trial: &&mlops_core::experiment::sweep::Trial| match trial.phase {
            TrialPhase::Completed { value } => value,
            _ => panic!("{trial:?}"),
        };
        let best = trials[..many].iter().min_by(|a, b| value(a).total_cmp(&value(b))).unwrap();
        let end = state.rounds()[round].end.as_ref().unwrap();
        assert_eq!((end.reason, end.best), (EndReason::Trials, Some(best.number)), "round {round}");
        let run = tracker.run(&spec.round_run(round)).await.unwrap();
        assert_eq!((run.status, run.ended_at), (RunStatus::Finished, Some(end.at)), "round {round}");
        assert_eq!(run.metric("loss"), Some(value(&best)), "round {round}");
        assert_eq!(run.tags["mlops.sweep.ended"], "trials");
        assert_eq!(run.tags["mlops.sweep.best_trial"], best.number.to_string(), "round {round}");
        assert_eq!(run.tags["mlops.sweep.best_run"], spec.trial_run(best.number).to_string());
        assert_eq!(run.params["sweep.metric"], "loss");
        let within = (round > 0).then(|| spec.id());
        assert_eq!((run.parent, run.tags.contains_key("mlops.sweep.round")), (within, round > 0));
    }
    let shown = runs(tracker).await;
    assert_eq!(shown.len(), 2 + 9);
    assert!(shown.iter().all(|run| run.status == RunStatus::Finished));
}

#[tokio::test]
async fn a_sweep_that_goes_on_has_a_run_for_each_round() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::open(folder.path()).unwrap();
    let trackers: [Arc<dyn ExperimentTracker>; 2] =
        [Arc::new(MemoryTracker::default()), Arc::new(store.tracker())];
    let first = spec("rounds", Budget::trials(4));
    assert_eq!(first.round_run(0), first.id());
    for tracker in trackers {
        let journal = memory();
        let sweep = |budget| {
            let sweep = Sweep::new(spec("rounds", budget), journal.clone()).unwrap();
            sweep.with_tracker(tracker.clone())
        };
        let summary = sweep(Budget::trials(4)).run(train).await.unwrap();
        assert_eq!((&summary.run, summary.tracker_problem), (&first.id(), None));
        let before = tracker.run(&first.id()).await.unwrap();
        // The same again changes nothing; more of it is another round.
        for budget in [4, 9, 9] {
            let summary = sweep(Budget::trials(budget)).run(train).await.unwrap();
            assert_eq!(summary.tracker_problem, None);
            assert_eq!(summary.run, first.round_run(usize::from(budget == 9)));
        }
        assert_eq!(tracker.run(&first.id()).await.unwrap(), before);
        let state = sweep(Budget::trials(9)).state().await.unwrap().unwrap();
        check_rounds(&*tracker, &first, &state).await;
    }
}

#[tokio::test]
async fn a_round_that_a_tracker_was_not_told_of_is_told_as_it_was_in_the_next() {
    for calls in 0.. {
        let (journal, tracker) = (memory(), Arc::new(common::FailingTracker::after(calls)));
        let sweep = |budget| {
            let sweep = Sweep::new(spec("late", budget), journal.clone()).unwrap();
            sweep.with_tracker(tracker.clone())
        };
        let summary = sweep(Budget::trials(4)).run(train).await.unwrap();
        let failed = summary.tracker_problem.is_some();
        tracker.mend();
        let summary = sweep(Budget::trials(9)).run(train).await.unwrap();
        assert_eq!(summary.tracker_problem, None, "after {calls} calls");
        let sweep = sweep(Budget::trials(9));
        check_rounds(&*tracker, sweep.spec(), &sweep.state().await.unwrap().unwrap()).await;
        if !failed {
            break;
        }
    }
}

#[tokio::test]
async fn what_a_policy_decides_is_kept_with_its_evidence() {
    let (journal, tracker) = (memory(), Arc::new(MemoryTracker::default()));
    let spec = spec("bandit", Budget::trials(20)).with_stopping(Bandit::new(Slack::Amount(0.2)).unwrap());
    let sweep = Sweep::new(spec.clone(), journal.clone()).unwrap().with_tracker(tracker.clone());
    let summary = sweep.run(train).await.unwrap();
    assert!(summary.trials.pruned > 5 && summary.trials.completed > 0, "{summary}");
    let state = sweep.state().await.unwrap().unwrap();
    for trial in state.trials() {
        let run = tracker.run(&spec.trial_run(trial.number)).await.unwrap();
        match &trial.phase {
            TrialPhase::Pruned(evidence) => {
                let reports = &state.reports()[usize::try_from(trial.number).unwrap()].reports;
                assert_eq!(evidence.interval, reports.interval());
                assert!(evidence.own > evidence.bound);
                assert_eq!(run.status, RunStatus::Killed);
                assert!(run.tags.get("mlops.trial.evidence").unwrap().contains("bandit at interval"));
            }
            phase => assert!(matches!(phase, TrialPhase::Completed { .. }), "{phase:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trials_run_at_once_but_never_too_many() {
    let journal = memory();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let spec =
        spec("parallel", Budget::trials(40).with_concurrent(4)).with_stopping(Asha::new(1, 2).unwrap());
    let sweep = Sweep::new(spec.clone(), journal.clone()).unwrap();
    let (counter, peak) = (now.clone(), most.clone());
    let summary = sweep
        .run(move |trial| {
            let (now, most) = (counter.clone(), peak.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                let loss = train(trial).await;
                now.fetch_sub(1, Ordering::SeqCst);
                loss
            }
        })
        .await
        .unwrap();
    assert_eq!(summary.trials.total(), 40);
    assert!(summary.trials.pruned > 0, "{summary}");
    assert!((2..=4).contains(&most.load(Ordering::SeqCst)), "{most:?}");
    // The order of the entries decides, and is kept.
    let sampler = spec.sampler.build().unwrap();
    assert_eq!(verify_suggestions(&entries(&*journal, &spec).await, &*sampler).unwrap(), 40);
}

#[tokio::test]
async fn failures_are_classed_and_end_their_trial_alone() {
    let (journal, tracker) = (memory(), Arc::new(MemoryTracker::default()));
    let spec = spec("failures", Budget::trials(6).with_attempts(3));
    let sweep = Sweep::new(spec.clone(), journal.clone()).unwrap().with_tracker(tracker.clone());
    let summary = sweep
        .run(|trial| async move {
            match trial.number() {
                0 => panic!("a canary"),
                1 => Err("out of luck".into()),
                2 => Ok(f64::NAN),
                3 => Err(mlops_core::Error::new(ErrorKind::Busy, "op", "the machine is busy").into()),
                4 if trial.attempt() < 3 => Err(mlops_core::Error::new(ErrorKind::Busy, "op", "busy").into()),
                n => Ok(n as f64),
            }
        })
        .await
        .unwrap();
    assert_eq!((summary.trials.completed, summary.trials.failed), (2, 4));
    let state = sweep.state().await.unwrap().unwrap();
    let class = |n: u64| match &state.trial(n).unwrap().phase {
        TrialPhase::Failed { class, message } => Some((*class, message.clone())),
        _ => None,
    };
    assert_eq!(class(0), Some((FailureClass::Panic, "a canary".to_owned())));
    assert_eq!(class(1), Some((FailureClass::Permanent, "out of luck".to_owned())));
    assert_eq!(class(2).unwrap().0, FailureClass::NotFinite);
    assert_eq!(class(3).unwrap().0, FailureClass::Transient);
    let attempts: Vec<u32> = state.trials().iter().map(|trial| trial.attempts).collect();
    assert_eq!(attempts, [1, 1, 1, 3, 3, 1]);
    // What fails for a reason that does not pass is no loss.
    let losses: Vec<u32> = state.trials().iter().map(|trial| trial.losses).collect();
    assert_eq!((losses, summary.losses), (vec![0, 0, 0, 3, 2, 0], 5));
    let run = tracker.run(&spec.trial_run(0)).await.unwrap();
    assert_eq!(run.status, RunStatus::Failed);
    assert!(run.tags.get("mlops.trial.failure").unwrap().contains("panic: a canary"));
}

#[tokio::test]
async fn too_many_failures_end_the_sweep() {
    let sweep = Sweep::new(spec("luckless", Budget::trials(50).with_failures(2)), memory()).unwrap();
    let summary = sweep.run(|_| async { Err("no".into()) }).await.unwrap();
    assert_eq!(
        (summary.ended, summary.trials.failed, summary.trials.total()),
        (Some(EndReason::Failures), 3, 3)
    );
}

#[tokio::test]
async fn a_sweep_of_which_nothing_comes_ends_after_its_first_failures() {
    let (journal, tracker) = (memory(), Arc::new(MemoryTracker::default()));
    let hopeless = spec("hopeless", Budget::trials(500));
    let run = async |spec: &SweepSpec, works_from: u64| {
        let sweep = Sweep::new(spec.clone(), journal.clone()).unwrap().with_tracker(tracker.clone());
        let objective = move |trial: TrialContext| async move {
            if trial.number() < works_from { Err("no such column".into()) } else { Ok(1.0) }
        };
        sweep.run(objective).await.unwrap()
    };
    let summary = run(&hopeless, u64::MAX).await;
    assert_eq!((summary.ended, summary.trials.failed), (Some(EndReason::FirstFailures), 10));
    assert!(summary.to_string().ends_with("ended by first_failures"), "{summary}");
    assert_eq!(tracker.run(&summary.run).await.unwrap().status, RunStatus::Failed);
    // The same budget leaves it alone; another one goes on, and the failures of this round count.
    assert_eq!(run(&hopeless, 0).await.trials.total(), 10);
    let more = run(&hopeless.clone().with_budget(Budget::trials(40)), 15).await;
    assert_eq!((more.ended, more.trials.failed, more.trials.completed), (Some(EndReason::Trials), 15, 25));

    for (name, budget, works_from, expected) in [
        ("last-chance", Budget::trials(60), 9, (EndReason::Trials, 9)),
        ("never", Budget::trials(60).with_first_failures(0), u64::MAX, (EndReason::Trials, 60)),
        ("three", Budget::trials(60).with_first_failures(3), u64::MAX, (EndReason::FirstFailures, 3)),
        ("few", Budget::trials(4), u64::MAX, (EndReason::Trials, 4)),
    ] {
        let summary = run(&spec(name, budget), works_from).await;
        assert_eq!((summary.ended, summary.trials.failed), (Some(expected.0), expected.1), "{name}");
    }
}

/// Trials that were stopped early have worked.
#[tokio::test]
async fn a_trial_that_was_stopped_early_is_something() {
    let spec = spec("stopped", Budget::trials(30).with_first_failures(5))
        .with_stopping(Bandit::new(Slack::Factor(0.1)).unwrap());
    let sweep = Sweep::new(spec, memory()).unwrap();
    let objective = move |trial: TrialContext| async move {
        // The first reports well and fails, the second is stopped for being worse, and all others fail.
        match trial.number() {
            0 => trial.report(1, 1.0).await.map(drop)?,
            1 => trial.report(1, 100.0).await.map(drop)?,
            _ => {}
        }
        Err("no".into())
    };
    let summary = sweep.run(objective).await.unwrap();
    assert_eq!(
        (summary.ended, summary.trials.pruned, summary.trials.failed),
        (Some(EndReason::Trials), 1, 29)
    );
}

/// A budget that was written down before there was the limit has the default one.
#[test]
fn budgets_from_before_the_limit_of_first_failures_are_read() {
    let old = r#"{"max_trials":7,"max_concurrent":2,"max_attempts":3}"#;
    assert_eq!(serde_json::from_str::<Budget>(old).unwrap(), Budget::trials(7).with_concurrent(2));
    let never = Budget::trials(7).with_first_failures(0);
    let written = serde_json::to_string(&never).unwrap();
    assert_eq!(serde_json::from_str::<Budget>(&written).unwrap(), never);
}

#[tokio::test]
async fn a_grid_that_is_used_up_ends_the_sweep() {
    let space = SearchSpace::new([
        ("x", Distribution::choice([0.0, 0.5, 1.0])),
        ("n", Distribution::choice([1_i64, 2])),
    ])
    .unwrap();
    let mut spec = spec("grid", Budget::trials(100).with_concurrent(4));
    (spec.space, spec.sampler) = (space, SamplerSpec::Grid(GridOptions::default()));
    let journal = memory();
    let sweep = Sweep::new(spec.clone(), journal.clone()).unwrap();
    let summary = sweep.run(train).await.unwrap();
    assert_eq!((summary.ended, summary.trials.completed), (Some(EndReason::Exhausted), 6));
    let state = sweep.state().await.unwrap().unwrap();
    let tried: BTreeSet<String> = (0..6).map(|n| state.assignment(n).unwrap().to_string()).collect();
    assert_eq!(tried.len(), 6);
    let sampler = spec.sampler.build().unwrap();
    assert_eq!(verify_suggestions(&entries(&*journal, &spec).await, &*sampler).unwrap(), 6);
}

#[tokio::test]
async fn costs_add_up_and_end_the_sweep() {
    let sweep = Sweep::new(spec("dear", Budget::trials(50).with_cost(1.0)), memory()).unwrap();
    let summary = sweep
        .run(|trial| async move {
            trial.spend(0.125);
            trial.spend(f64::NAN);
            trial.report(1, 1.0).await?;
            trial.spend(0.125);
            Ok(1.0)
        })
        .await
        .unwrap();
    assert_eq!((summary.ended, summary.cost, summary.trials.total()), (Some(EndReason::Cost), 1.0, 4));
}

fn shared_budget(amount: f64, spent: f64) -> BudgetGuard {
    let start = "2026-01-01".parse().unwrap();
    let thresholds = vec![Threshold::new(50.0).with_basis(ThresholdBasis::Actual)];
    let budget =
        governance::budget::Budget::new("team", amount, TimeGrain::Monthly, start, thresholds).unwrap();
    BudgetGuard::new(&budget, spent).unwrap()
}

async fn dear(trial: TrialContext) -> Result<f64, TrialError> {
    trial.spend(0.5);
    trial.report(1, 1.0).await?;
    trial.spend(0.25);
    Ok(1.0)
}

async fn failing_once(trial: TrialContext) -> Result<f64, TrialError> {
    if trial.number() == 1 { Err("it failed".into()) } else { Ok(1.0) }
}

async fn yielding(trial: TrialContext) -> Result<f64, TrialError> {
    tokio::task::yield_now().await;
    trial.spend(1.0);
    Ok(1.0)
}

#[tokio::test]
async fn a_budget_that_is_shared_ends_the_sweep_with_the_reason_and_warns_before() {
    let warned = Arc::new(Mutex::new(Vec::new()));
    let log = warned.clone();
    let guard =
        shared_budget(10.0, 2.0).with_warning(move |crossed| log.lock().unwrap().push(crossed.amount));
    let (spec, journal) = (spec("guarded", Budget::trials(50).with_concurrent(3)), memory());
    let sweep = Sweep::new(spec.clone(), journal.clone()).unwrap().with_guard(guard.clone(), 1.5);
    let summary = sweep.run(dear).await.unwrap();
    assert_eq!(summary.ended, Some(EndReason::Budget));
    // Each trial cost half of what was expected: it waited for those at work, and went on with what they left.
    assert_eq!((summary.trials.completed, summary.trials.total(), summary.cost), (9, 9, 6.75));
    assert_eq!((guard.spent(), guard.promised(), guard.remaining()), (8.75, 0.0, 1.25));
    let reason = "the budget `team` of 10 has 1.25 left, and 1.5 would be needed";
    assert_eq!(summary.refused.as_deref(), Some(reason));
    assert!(summary.to_string().ends_with(&format!("; ended by budget: {}", &reason[..62])), "{summary}");
    assert_eq!(warned.lock().unwrap().len(), 1);
    let entries = entries(&*journal, &spec).await;
    assert!(
        matches!(&entries[entries.len() - 2].event, SweepEvent::Refused { reason: said } if said == reason)
    );

    // Run again, it is over as long as the budget holds no more, and goes on when it does.
    assert_eq!(sweep.run(dear).await.unwrap(), summary);
    let more = shared_budget(10.0, 7.0);
    let sweep = Sweep::new(spec.clone(), journal.clone()).unwrap().with_guard(more.clone(), 1.5);
    let summary = sweep.run(dear).await.unwrap();
    assert_eq!((summary.ended, summary.trials.completed), (Some(EndReason::Budget), 12));
    assert_eq!(more.spent(), 9.25);
}

#[tokio::test]
async fn a_trial_that_does_not_say_what_it_cost_costs_what_was_expected() {
    let guard = shared_budget(10.0, 0.0);
    let sweep =
        Sweep::new(spec("silent", Budget::trials(50)), memory()).unwrap().with_guard(guard.clone(), 3.0);
    let summary = sweep.run(failing_once).await.unwrap();
    assert_eq!((summary.trials.completed, summary.trials.failed), (2, 1), "{summary}");
    assert_eq!((guard.spent(), summary.cost), (9.0, 0.0));
}

#[tokio::test]
async fn two_sweeps_with_one_budget_spend_it_once() {
    let guard = shared_budget(20.0, 0.0);
    let run = |name: &'static str| {
        let spec = spec(name, Budget::trials(100).with_concurrent(4));
        let sweep = Sweep::new(spec, memory()).unwrap().with_guard(guard.clone(), 1.0);
        async move { sweep.run(yielding).await.unwrap().trials.completed }
    };
    let (one, other) = tokio::join!(run("one"), run("other"));
    assert_eq!(one + other, 20);
    assert!(one > 0 && other > 0);
    assert_eq!(guard.spent(), 20.0);
}

/// A clock that moves by a second each time it is asked.
#[derive(Debug, Default)]
struct Hurried(AtomicU64);

impl Clock for Hurried {
    fn now(&self) -> mlops_core::time::Timestamp {
        let passed = self.0.fetch_add(1, Ordering::SeqCst);
        chrono::DateTime::UNIX_EPOCH + Duration::from_secs(passed)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

#[tokio::test]
async fn time_that_is_used_up_ends_everything() {
    let budget = Budget::trials(1000).with_time(Duration::from_secs(200));
    let spec = spec("hurried", budget);
    let journal = memory();
    let sweep = Sweep::new(spec.clone(), journal.clone()).unwrap().with_clock(Arc::new(Hurried::default()));
    let summary = sweep.run(train).await.unwrap();
    assert_eq!(summary.ended, Some(EndReason::Time));
    assert!(summary.trials.completed > 0 && summary.trials.total() < 100, "{summary}");
    assert_eq!(summary.trials.open, 0);
}

#[tokio::test]
async fn a_trial_that_takes_too_long_is_ended() {
    let budget = Budget::trials(2).with_trial_time(Duration::from_millis(30));
    let sweep = Sweep::new(spec("endless", budget), memory()).unwrap();
    let summary = sweep
        .run(|trial| async move {
            if trial.number() == 0 {
                std::future::pending::<()>().await;
            }
            Ok(1.0)
        })
        .await
        .unwrap();
    assert_eq!((summary.trials.completed, summary.trials.failed), (1, 1));
    let state = sweep.state().await.unwrap().unwrap();
    assert!(matches!(state.trials()[0].phase, TrialPhase::Failed { class: FailureClass::Timeout, .. }));
}

#[tokio::test]
async fn a_silent_trial_is_lost_and_tried_again_with_its_checkpoint() {
    let budget = Budget::trials(1).with_lease(Duration::from_millis(40)).with_attempts(2);
    let sweep = Sweep::new(spec("silent", budget), memory()).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = seen.clone();
    let summary = sweep
        .run(move |trial| {
            let told = told.clone();
            async move {
                let checkpoint = trial.checkpoint().map(str::to_owned);
                told.lock().unwrap().push((trial.attempt(), checkpoint, trial.last_step()));
                trial.report(3, 0.5).await?;
                if trial.attempt() == 1 {
                    trial.save_checkpoint("epoch-3").await?;
                    std::future::pending::<()>().await;
                }
                Ok(0.25)
            }
        })
        .await
        .unwrap();
    assert_eq!((summary.trials.completed, summary.losses), (1, 1));
    let expected = vec![(1, None, None), (2, Some("epoch-3".to_owned()), Some(3))];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[tokio::test]
async fn steps_grow_within_an_attempt() {
    let sweep = Sweep::new(spec("steps", Budget::trials(1)), memory()).unwrap();
    let summary = sweep
        .run(|trial| async move {
            trial.report(5, 1.0).await?;
            for step in [5, 4, u64::MAX] {
                let error = trial.report(step, 1.0).await.unwrap_err();
                let expected =
                    if step == u64::MAX { ErrorKind::LimitExceeded } else { ErrorKind::InvalidInput };
                assert_eq!(error.kind(), expected);
            }
            assert_eq!(trial.report(6, f64::NAN).await?, Signal::Continue);
            Ok(1.0)
        })
        .await
        .unwrap();
    assert_eq!(summary.trials.completed, 1, "{summary}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objectives_may_block() {
    let spec =
        spec("blocking", Budget::trials(10).with_concurrent(3)).with_stopping(MedianStopping::default());
    let sweep = Sweep::new(spec, memory()).unwrap();
    let summary = sweep
        .run_blocking(|trial| {
            if trial.number() == 7 {
                panic!("a canary");
            }
            let mut loss = 0.0;
            for epoch in 1..=5 {
                loss = curve(trial.assignment(), epoch);
                if trial.report_blocking(epoch, loss)?.is_stop() {
                    break;
                }
            }
            Ok(loss)
        })
        .await
        .unwrap();
    assert_eq!((summary.trials.total(), summary.trials.failed), (10, 1), "{summary}");
}

#[tokio::test]
async fn trials_that_wait_at_a_rung_go_on_or_end() {
    let policy = Asha::new(1, 2).unwrap().pausing(8).unwrap();
    let spec = spec("rungs", Budget::trials(16)).with_stopping(policy);
    let journal = memory();
    let sweep = Sweep::new(spec.clone(), journal.clone()).unwrap();
    let attempts = Arc::new(AtomicU64::new(0));
    let counter = attempts.clone();
    let summary = sweep
        .run(move |trial| {
            counter.fetch_add(1, Ordering::SeqCst);
            train(trial)
        })
        .await
        .unwrap();
    assert_eq!((summary.trials.open, summary.trials.total(), summary.losses), (0, 16, 0));
    assert!(summary.trials.completed >= 1 && summary.trials.pruned >= 10, "{summary}");
    let written = entries(&*journal, &spec).await;
    let promoted = written.iter().filter(|entry| matches!(entry.event, SweepEvent::Promoted { .. })).count();
    assert!(promoted >= 1, "{promoted}");
    assert_eq!(attempts.load(Ordering::SeqCst), 16 + promoted as u64);
    // The best curve of all came to its end.
    let state = sweep.state().await.unwrap().unwrap();
    let best = (0..16).map(|n| curve(state.assignment(n).unwrap(), 8)).fold(f64::INFINITY, f64::min);
    assert_eq!(summary.best.unwrap().value, best);
    // Nobody was asked twice for the same report.
    let mut seen = BTreeSet::new();
    for entry in &written {
        if let SweepEvent::Reported { trial, step, .. } = entry.event {
            assert!(seen.insert((trial, step)), "{entry:?}");
        }
    }
}

#[tokio::test]
async fn a_pause_lets_trials_end_and_the_next_run_goes_on() {
    let spec = spec("pause", Budget::trials(10));
    let journal = memory();
    let sweep = Sweep::new(spec.clone(), journal.clone()).unwrap();
    let control = sweep.control();
    let paused = sweep
        .run(move |trial| {
            if trial.number() == 3 {
                control.pause();
            }
            train(trial)
        })
        .await
        .unwrap();
    assert_eq!((paused.ended, paused.trials.completed, paused.trials.open), (None, 4, 0));
    let whole = sweep.run(train).await.unwrap();
    assert_eq!((whole.ended, whole.trials.completed), (Some(EndReason::Trials), 10));
}

#[tokio::test]
async fn a_cancelled_sweep_is_over_at_once() {
    let tracker = Arc::new(MemoryTracker::default());
    let spec = spec("cancel", Budget::trials(10).with_concurrent(3));
    let sweep = Sweep::new(spec.clone(), memory()).unwrap().with_tracker(tracker.clone());
    let control = sweep.control();
    let summary = sweep
        .run(move |trial| {
            let control = control.clone();
            async move {
                if trial.number() == 2 {
                    control.cancel();
                }
                std::future::pending::<()>().await;
                Ok(1.0)
            }
        })
        .await
        .unwrap();
    assert_eq!((summary.ended, summary.trials.cancelled), (Some(EndReason::Cancelled), 3));
    assert_eq!(tracker.run(&spec.id()).await.unwrap().status, RunStatus::Killed);
    assert!(runs(&*tracker).await.iter().all(|run| run.status == RunStatus::Killed));
}

#[tokio::test]
async fn another_sweep_under_the_same_name_is_refused_with_what_differs() {
    let journal = memory();
    let first = spec("same", Budget::trials(2));
    Sweep::new(first.clone(), journal.clone()).unwrap().run(train).await.unwrap();
    let other =
        SearchSpace::new([("x", Distribution::float(-2.0, 3.0)), ("n", Distribution::int(1, 9))]).unwrap();
    for (field, changed) in [
        ("space", {
            let mut changed = first.clone();
            changed.space = other;
            changed
        }),
        ("seed", first.clone().with_seed(4)),
        ("goal", {
            let mut changed = first.clone();
            changed.goal = Goal::Maximize;
            changed
        }),
        ("stopping", first.clone().with_stopping(Percentile::median())),
    ] {
        let error = Sweep::new(changed, journal.clone()).unwrap().run(train).await.unwrap_err();
        assert_eq!((error.kind(), error.context("field")), (ErrorKind::Conflict, Some(field)), "{error}");
    }
}

#[tokio::test]
async fn an_engine_that_is_overtaken_is_told() {
    let journal = memory();
    let spec = spec("overtaken", Budget::trials(20));
    let sweep = Sweep::new(spec.clone(), journal.clone()).unwrap();
    let (other, id) = (journal.clone(), spec.id());
    let error = sweep
        .run(move |trial| {
            let (other, id) = (other.clone(), id.clone());
            async move {
                if trial.number() == 4 {
                    let next = other.entries(&id, 0).await?.len() as u64 + 1;
                    let event = SweepEvent::Opened { budget: Budget::default() };
                    other.append(&id, &SweepEntry::new(next, SystemClock::new().now(), event)).await?;
                }
                train(trial).await
            }
        })
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    // Whoever took it over goes on, and nothing is lost.
    let summary = sweep.run(train).await.unwrap();
    assert_eq!((summary.trials.completed, summary.losses), (20, 1));
}

/// Drops the future of a sweep when its journal has so many entries, and goes on, until it is over.
async fn interrupted(
    spec: &SweepSpec,
    journal: Arc<dyn SweepJournal>,
    tracker: Arc<MemoryTracker>,
    every: usize,
) -> SweepSummary {
    #[derive(Debug)]
    struct Alarm(AtomicUsize, usize, tokio::sync::Notify);
    impl SweepProgress for Alarm {
        fn heard(&self, _: &SweepState, _: &SweepEntry) {
            if self.0.fetch_add(1, Ordering::SeqCst) + 1 >= self.1 {
                self.2.notify_one();
            }
        }
    }
    loop {
        let alarm = Arc::new(Alarm(AtomicUsize::new(0), every, tokio::sync::Notify::new()));
        let sweep = Sweep::new(spec.clone(), journal.clone()).unwrap();
        let sweep = sweep.with_tracker(tracker.clone()).with_progress(alarm.clone());
        tokio::select! {
            biased;
            () = alarm.2.notified() => {}
            summary = sweep.run(train) => return summary.unwrap(),
        }
    }
}

/// Looks at what it is shown, and lets everybody go on.
#[derive(Debug, Default)]
struct Looking {
    decided: AtomicUsize,
}

impl StoppingPolicy for Looking {
    fn decide(&self, trial: &TrialReports, all: &[TrialReports], _: Goal) -> Verdict {
        let known = &all[usize::try_from(trial.number).unwrap()];
        assert_eq!(known, trial, "all trials are as they are just after the report");
        assert!(std::ptr::eq(known, trial), "nothing is copied to be shown");
        self.decided.fetch_add(1, Ordering::SeqCst);
        Verdict::Continue
    }
}

/// The first attempt fails half way; the second one says something else from the third epoch on.
async fn failing_half_way(trial: TrialContext) -> Result<f64, TrialError> {
    for epoch in 1..=6 {
        let other = if trial.attempt() > 1 && epoch > 2 { 0.5 } else { 0.0 };
        trial.report(epoch, curve(trial.assignment(), epoch) + other).await?;
        if trial.attempt() == 1 && epoch == 4 {
            return Err(mlops_core::Error::new(ErrorKind::Busy, "test", "try again").into());
        }
    }
    Ok(1.0)
}

#[tokio::test]
async fn a_policy_is_shown_all_trials_as_they_are_after_the_report() {
    let (journal, policy) = (memory(), Arc::new(Looking::default()));
    let spec = spec("shown", Budget::trials(5).with_attempts(2));
    let sweep = Sweep::new(spec.clone(), journal.clone()).unwrap().with_policy(policy.clone());
    let summary = sweep.run(failing_half_way).await.unwrap();
    assert_eq!(summary.trials.completed, 5);
    // Four reports, and four that were not said before.
    assert_eq!(policy.decided.load(Ordering::SeqCst), 5 * (4 + 4));
    let state = sweep.state().await.unwrap().unwrap();
    for reports in state.reports() {
        let assignment = state.assignment(reports.number).unwrap();
        let other = |epoch| if epoch > 2 { 0.5 } else { 0.0 };
        let expected: Vec<f64> = (1..=6).map(|epoch| curve(assignment, epoch) + other(epoch)).collect();
        assert_eq!(reports.reports.iter().map(|report| report.value).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn a_sweep_dropped_at_any_entry_ends_as_one_that_was_not() {
    let base = spec("dropped", Budget::trials(12).with_attempts(1000));
    for spec in [
        base.clone(),
        base.clone().with_stopping(Bandit::new(Slack::Amount(0.3)).unwrap()),
        base.clone().with_stopping(Asha::new(1, 2).unwrap().pausing(8).unwrap()),
        base.clone().with_stopping(Percentile::median().with_startup_trials(2)),
        // A sampler whose suggestions hang on every trial before.
        {
            let mut spec = spec("dropped", Budget::trials(25).with_attempts(1000));
            spec.sampler = SamplerSpec::Tpe(TpeOptions::default());
            spec.with_stopping(Bandit::new(Slack::Amount(0.3)).unwrap())
        },
    ] {
        let whole = Sweep::new(spec.clone(), memory()).unwrap();
        whole.run(train).await.unwrap();
        let expected = shape(&whole.state().await.unwrap().unwrap());
        // At least an attempt's entries have to fit between two drops.
        for every in 12..24 {
            let (journal, tracker) = (memory(), Arc::new(MemoryTracker::default()));
            let summary = interrupted(&spec, journal.clone(), tracker.clone(), every).await;
            let state = SweepState::replay(&entries(&*journal, &spec).await).unwrap().unwrap();
            assert_eq!(shape(&state), expected, "every {every} entries");
            assert!(summary.losses > 0);
            // One run for each trial, and each point once.
            let runs = runs(&*tracker).await;
            assert_eq!(runs.len() as u64, spec.budget.max_trials + 1);
            assert!(runs.iter().all(|run| run.status.is_final()), "every {every} entries");
            for (trial, reports) in state.trials().iter().zip(state.reports()) {
                let history =
                    tracker.full_history(&spec.trial_run(trial.number), &spec.metric).await.unwrap();
                let found: Vec<f64> = history.iter().map(|point| point.value).collect();
                assert_eq!(found, reports.reports.iter().map(|r| r.value).collect::<Vec<_>>());
            }
        }
    }
}

#[tokio::test]
async fn a_trial_that_is_lost_too_often_has_failed() {
    let spec = spec("doomed", Budget::trials(2).with_attempts(2));
    let journal = memory();
    for _ in 0..2 {
        let sweep = Sweep::new(spec.clone(), journal.clone()).unwrap();
        // Dropped while the first trial runs.
        let run = sweep.run(|_| std::future::pending());
        assert!(tokio::time::timeout(Duration::from_millis(20), run).await.is_err());
    }
    let sweep = Sweep::new(spec.clone(), journal.clone()).unwrap();
    let summary = sweep.run(train).await.unwrap();
    assert_eq!((summary.trials.failed, summary.trials.completed, summary.losses), (1, 1, 2));
    let state = sweep.state().await.unwrap().unwrap();
    assert!(matches!(state.trials()[0].phase, TrialPhase::Failed { class: FailureClass::Lost, .. }));
}

#[tokio::test]
async fn progress_is_plain_lines_where_there_is_no_terminal() {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let spec = spec("lines", Budget::trials(3));
    let progress = Arc::new(TerminalProgress::new(lines.clone(), false));
    let sweep = Sweep::new(spec, memory()).unwrap().with_progress(progress);
    sweep
        .run(|trial| async move {
            if trial.number() == 1 {
                return Err("line\nbreak\u{1b}[2J".into());
            }
            Ok(trial.number() as f64 + 0.5)
        })
        .await
        .unwrap();
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let expected = "trial 0 of 3: 0.5  [best 0.5 in trial 0]\n\
        trial 1 of 3: failed (permanent): line\\nbreak\\u{1b}[2J  [best 0.5 in trial 0]\n\
        trial 2 of 3: 2.5  [best 0.5 in trial 0]\n\
        2 completed, 0 pruned, 1 failed: ended by trials\n";
    assert_eq!(text, expected);
}

#[tokio::test]
async fn the_local_store_keeps_sweeps_and_vouches_for_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::open(dir.path()).unwrap();
    let spec = spec("local", Budget::trials(5));
    let sweep = Sweep::new(spec.clone(), Arc::new(store.sweeps())).unwrap();
    let control = sweep.control();
    let run = sweep.with_tracker(Arc::new(store.tracker()));
    let stop = control.clone();
    run.run(move |trial| {
        if trial.number() == 2 {
            stop.pause();
        }
        train(trial)
    })
    .await
    .unwrap();
    assert_eq!(store.sweeps().unfinished().await.unwrap()[0].id(), &spec.id());
    // The handle of the sweep holds the file.
    let other = Sweep::new(spec.clone(), Arc::new(store.sweeps())).unwrap();
    assert_eq!(other.run(train).await.unwrap_err().kind(), ErrorKind::Busy);
    drop(run);
    let summary = other.with_tracker(Arc::new(store.tracker())).run(train).await.unwrap();
    assert_eq!((summary.trials.completed, summary.tracker_problem), (5, None));
    assert_eq!(runs(&store.tracker()).await.len(), 6);
    assert!(store.sweeps().unfinished().await.unwrap().is_empty());
    // With its end the file is let go of, also while the handle that wrote it lives.
    let journal = Arc::new(store.sweeps());
    let ended = entries(&*journal, &spec).await;
    journal.append(&spec.id(), ended.last().unwrap()).await.unwrap();
    let more = Sweep::new(self::spec("local", Budget::trials(6)), Arc::new(store.sweeps())).unwrap();
    assert_eq!(more.run(train).await.unwrap().trials.completed, 6);
    drop(journal);

    let report = store.verify().await.unwrap();
    assert!(report.is_sound(), "{report:?}");
    let file = std::fs::read_dir(dir.path().join("sweeps")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let report = store.verify().await.unwrap();
    assert_eq!(report.findings.len(), 1, "{report:?}");
    let error = Sweep::new(spec, Arc::new(store.sweeps())).unwrap().run(train).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.context("line").is_some());
}

// ---------------------------------------------------------------------------------------------------------------- the rules

fn created(budget: Budget) -> SweepEntry {
    let sampler = SamplerRecord::new("random", serde_json::Value::Null);
    let event = SweepEvent::Created { spec: Box::new(spec("rules", budget)), sampler };
    SweepEntry::new(1, chrono::DateTime::UNIX_EPOCH, event)
}

fn any_event() -> impl Strategy<Value = SweepEvent> {
    let trial = 0..4_u64;
    let attempt = 0..4_u32;
    let value = prop_oneof![Just(f64::NAN), Just(f64::INFINITY), -3.0..3.0_f64];
    let outcome = prop_oneof![
        value.clone().prop_map(|value| TrialOutcome::Completed { value }),
        Just(TrialOutcome::Pruned),
        Just(TrialOutcome::Cancelled),
        Just(TrialOutcome::Failed { class: FailureClass::Transient, message: String::new() }),
        Just(TrialOutcome::Failed { class: FailureClass::Panic, message: String::new() }),
    ];
    let decision = prop_oneof![3 => Just(0), 1 => Just(1), 1 => Just(2)];
    let cost = prop_oneof![4 => Just(0.0), 1 => Just(-1.0), 1 => Just(f64::NAN), 1 => Just(0.5)];
    prop_oneof![
        1 => Just(SweepEvent::Opened { budget: Budget::trials(4).with_attempts(2) }),
        4 => (trial.clone(), -3.0..3.0_f64, 0..60_u64).prop_map(|(trial, x, prefix)| {
            let assignment = Assignment::new().with("x", x).unwrap().with("n", 3).unwrap();
            SweepEvent::Asked { trial, assignment, prefix }
        }),
        1 => Just(SweepEvent::Exhausted),
        2 => trial.clone().prop_map(|trial| SweepEvent::Promoted { trial }),
        6 => (trial.clone(), attempt.clone()).prop_map(|(trial, attempt)| SweepEvent::Started { trial, attempt }),
        8 => (trial.clone(), attempt.clone(), 0..5_u64, value, cost.clone(), decision).prop_map(
            |(trial, attempt, step, value, cost, decision)| {
                let mut reports = mlops_core::experiment::stopping::Reports::new();
                reports.push(1, 1.0).unwrap();
                let policy = mlops_core::experiment::stopping::PolicyKind::Custom;
                let evidence = mlops_core::experiment::stopping::Evidence::new(policy, &reports, 1.0, 0.0, 1);
                let decision = match decision {
                    1 => Some(Decision::Stop(evidence)),
                    2 => Some(Decision::Pause(evidence)),
                    _ => None,
                };
                SweepEvent::Reported { trial, attempt, step, value, cost, decision }
            }
        ),
        1 => (trial.clone(), attempt.clone()).prop_map(|(trial, attempt)| {
            SweepEvent::Checkpointed { trial, attempt, checkpoint: "x".to_owned() }
        }),
        4 => (trial.clone(), attempt.clone(), outcome, cost).prop_map(|(trial, attempt, outcome, cost)| {
            SweepEvent::Finished { trial, attempt, outcome, cost }
        }),
        2 => (trial, attempt).prop_map(|(trial, attempt)| SweepEvent::LeaseExpired { trial, attempt }),
        1 => Just(SweepEvent::Paused),
        1 => Just(SweepEvent::Refused { reason: "nothing is left".to_owned() }),
        1 => Just(SweepEvent::Ended { reason: EndReason::Time }),
    ]
}

/// What must hold in every state.
fn invariants(state: &SweepState, before: &SweepState) {
    for (number, trial) in (0..).zip(state.trials()) {
        assert_eq!(trial.number, number, "trials are numbered without gaps");
        let then = before.trial(number);
        if let Some(then) = then {
            assert!(
                !then.phase.is_final() || then.phase.as_str() == trial.phase.as_str(),
                "what ended has ended"
            );
            assert!(then.attempts <= trial.attempts && then.losses <= trial.losses);
            assert_eq!(before.assignment(number), state.assignment(number), "values never change");
        }
        assert!(trial.losses <= trial.attempts);
        let steps: Vec<u64> =
            state.reports()[usize::try_from(number).unwrap()].reports.iter().map(|r| r.step).collect();
        assert!(steps.is_sorted_by(|a, b| a < b));
        if let TrialPhase::Completed { value } = trial.phase {
            assert!(value.is_finite());
            let best = state.best().expect("there is a best one");
            assert!(matches!(best.phase, TrialPhase::Completed { value: best } if best <= value));
        }
    }
    assert!(state.trials().len() >= before.trials().len(), "no trial is lost");
    assert_eq!(state.history().len(), state.trials().len());
    assert_eq!(
        state.running().len(),
        state.trials().iter().filter(|t| t.phase == TrialPhase::Running).count()
    );
    assert!(state.cost().is_finite() && state.cost() >= before.cost());
    if state.ended().is_some() {
        assert!(state.trials().iter().all(|trial| trial.phase.is_final()));
    }
}

/// A store, and the journal of a sweep in it that came to its end.
static HOSTILE: std::sync::LazyLock<(tempfile::TempDir, Vec<u8>)> = std::sync::LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::open(dir.path()).unwrap();
    let spec = spec("hostile", Budget::trials(3));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(Sweep::new(spec.clone(), Arc::new(store.sweeps())).unwrap().run(train)).unwrap();
    let bytes = std::fs::read(dir.path().join("sweeps").join(format!("{}.sweep", spec.id()))).unwrap();
    (dir, bytes)
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Events in any order: what cannot be is refused and changes nothing; what can be keeps what must hold; and the same
    /// entries make the same state.
    #[test]
    fn no_events_break_what_must_hold(events in prop::collection::vec(any_event(), 0..60)) {
        let first = created(Budget::trials(4).with_attempts(2));
        let mut state = SweepState::begin(&first).unwrap();
        let mut kept = vec![first];
        for event in events {
            // Numbers that are often right, so that sweeps come far.
            let event = match event {
                SweepEvent::Asked { trial, assignment, prefix } if prefix % 3 > 0 => {
                    let next = if trial % 2 == 0 { state.trials().len() as u64 } else { trial };
                    SweepEvent::Asked { trial: next, assignment, prefix: state.entries() }
                }
                event => event,
            };
            let before = state.clone();
            let entry = SweepEntry::new(state.entries() + 1, chrono::DateTime::UNIX_EPOCH, event);
            match state.apply(&entry) {
                Ok(()) => kept.push(entry),
                Err(e) => {
                    prop_assert_eq!(e.kind(), ErrorKind::Corrupt);
                    prop_assert!(state == before || before.reports().iter().any(|t| t.reports.iter().any(|r| r.value.is_nan())));
                }
            }
            invariants(&state, &before);
        }
        let again = SweepState::replay(&kept).unwrap().unwrap();
        prop_assert_eq!(shape(&again), shape(&state));
        // There is always something to do, or somebody to wait for; and doing it never fails.
        let mut entry = SweepEntry::new(state.entries() + 1, chrono::DateTime::UNIX_EPOCH, SweepEvent::Paused);
        for _ in 0..100 {
            let busy: BTreeSet<u64> = state.running().collect();
            let sequence = state.entries() + 1;
            let attempts = |n: u64| state.trial(n).map_or(0, |t| t.attempts);
            let event = match state.next(&busy, None, chrono::DateTime::UNIX_EPOCH) {
                Action::Start(trial) => SweepEvent::Started { trial, attempt: attempts(trial) + 1 },
                Action::Promote(trial) => SweepEvent::Promoted { trial },
                Action::Ask(trial) => {
                    let assignment = Assignment::new().with("x", 0.5).unwrap().with("n", 3).unwrap();
                    SweepEvent::Asked { trial, assignment, prefix: state.entries() }
                }
                Action::Settle(trial) => SweepEvent::Finished { trial, attempt: attempts(trial), outcome: TrialOutcome::Pruned, cost: 0.0 },
                Action::Cancel(trial) => SweepEvent::Finished { trial, attempt: attempts(trial), outcome: TrialOutcome::Cancelled, cost: 0.0 },
                Action::End(reason) => SweepEvent::Ended { reason },
                _ => match state.running().next() {
                    Some(trial) => SweepEvent::Finished { trial, attempt: attempts(trial), outcome: TrialOutcome::Completed { value: 1.0 }, cost: 0.0 },
                    None if state.ended().is_some() => break,
                    None => SweepEvent::Opened { budget: Budget::trials(4).with_attempts(2) },
                },
            };
            entry = SweepEntry::new(sequence, chrono::DateTime::UNIX_EPOCH, event);
            prop_assert!(state.apply(&entry).is_ok(), "{:?}", entry);
        }
        prop_assert!(state.ended().is_some(), "{:?} {:?}", entry, state);
        prop_assert_eq!(state.trials().iter().filter(|t| !t.phase.is_final()).count(), 0);
    }

    /// Any bytes in place of a journal, or of a part of one: an error or a part of what was written, never a panic.
    #[test]
    fn hostile_journals_are_errors(cut in 0..4000_usize, noise in prop::collection::vec(any::<u8>(), 0..60), at in 0..4000_usize) {
        let (dir, good) = &*HOSTILE;
        let spec = spec("hostile", Budget::trials(3));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let store = LocalStore::open(dir.path()).unwrap();
        let file = dir.path().join("sweeps").join(format!("{}.sweep", spec.id()));
        let mut bad = good.clone();
        bad.truncate(cut.max(1));
        let at = at.min(bad.len());
        bad.splice(at..(at + noise.len()).min(bad.len()), noise);
        std::fs::write(&file, &bad).unwrap();
        let whole = runtime.block_on(store.sweeps().entries(&spec.id(), 0));
        match whole {
            Ok(found) => {
                let lines = good.split(|b| *b == b'\n').count();
                prop_assert!(found.len() < lines);
                // What is left goes on.
                let summary = runtime.block_on(Sweep::new(spec, Arc::new(store.sweeps())).unwrap().run(train)).unwrap();
                prop_assert_eq!(summary.trials.completed, 3);
            }
            Err(e) => prop_assert_eq!(e.kind(), ErrorKind::Corrupt),
        }
    }
}
