//! Early termination against the tools it comes from, and against definitions written out a second time.

use std::num::NonZeroU64;

use mlops_core::experiment::sampler::Goal;
use mlops_core::experiment::stopping::{
    Abstention, Asha, Bandit, EvaluationSchedule, Hyperband, MedianStopping, Patience, Percentile, Reports,
    RungRule, Slack, Standing, StoppingError, StoppingPolicy, StoppingSpec, Threshold, TrialReports,
    TruncationSelection, Verdict, Wilcoxon, signed_rank_greater,
};
use mlops_core::num::Random;
use proptest::prelude::*;
use serde::Deserialize;

const GOALS: [Goal; 2] = [Goal::Minimize, Goal::Maximize];

fn trial(number: u64, values: &[f64]) -> TrialReports {
    TrialReports::new(number).with_values(values.iter().copied()).unwrap()
}

fn trials(curves: &[&[f64]]) -> Vec<TrialReports> {
    (0..).zip(curves).map(|(number, values)| trial(number, values)).collect()
}

fn stops(policy: &dyn StoppingPolicy, number: usize, all: &[TrialReports], goal: Goal) -> bool {
    matches!(policy.decide(&all[number], all, goal), Verdict::Stop(_))
}

// ------------------------------------------------------------------------------------------------- decisions of Optuna

#[derive(Deserialize)]
struct Reference {
    optuna: String,
    cases: Vec<Case>,
    signed_rank: Vec<SignedRank>,
    brackets: Vec<Brackets>,
}

#[derive(Deserialize)]
struct Case {
    goal: Goal,
    policy: StoppingSpec,
    events: Vec<Event>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Event {
    Report(u64, u64, Number, bool),
    End(u64, #[allow(dead_code)] String, f64),
}

#[derive(Deserialize)]
struct Number(#[serde(with = "mlops_core::num::json_float")] f64);

#[derive(Deserialize)]
struct SignedRank {
    differences: Vec<f64>,
    p: Number,
}

#[derive(Deserialize)]
struct Brackets {
    min: u64,
    max: u64,
    factor: u64,
    brackets: Vec<u32>,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("reference/stopping_optuna_5.0.0.json")).unwrap()
}

/// Goes through a case's events; how many decisions there were, and how many of them were to stop.
fn replay(number: usize, case: &Case) -> (usize, usize) {
    let mut all: Vec<TrialReports> = Vec::new();
    let mut counts = (0, 0);
    for event in &case.events {
        match event {
            Event::Report(trial, step, Number(value), stop) => {
                let at = usize::try_from(*trial).unwrap();
                // A trial counts from its first report on, as nobody sees it before.
                while all.len() <= at {
                    all.push(TrialReports::new(all.len() as u64));
                }
                all[at].reports.push(*step, *value).unwrap();
                let verdict = case.policy.decide(&all[at], &all, case.goal);
                assert_eq!(
                    !verdict.goes_on(),
                    *stop,
                    "case {number}, {:?} {:?}: trial {trial}, step {step}, {value}: {verdict:?}",
                    case.policy,
                    case.goal
                );
                counts = (counts.0 + 1, counts.1 + usize::from(*stop));
                if *stop {
                    all[at].standing = Standing::Stopped;
                }
            }
            Event::End(trial, _, value) => {
                all[usize::try_from(*trial).unwrap()].standing = Standing::Completed { value: *value };
            }
        }
    }
    counts
}

/// Optuna 5.0.0, `tests/reference/make_stopping.py`.
#[test]
fn every_decision_is_optunas() {
    let reference = reference();
    assert_eq!(reference.optuna, "5.0.0");
    let (mut decided, mut stopped) = (0, 0);
    for (number, case) in reference.cases.iter().enumerate() {
        let counts = replay(number, case);
        (decided, stopped) = (decided + counts.0, stopped + counts.1);
    }
    println!("{decided} decisions in {} sweeps, {stopped} of them to stop", reference.cases.len());
    assert!(decided > 3000 && stopped > 400, "{decided} {stopped}");
}

/// SciPy 1.17.1.
#[test]
fn signed_rank_p_values_are_scipys() {
    for SignedRank { differences, p: Number(expected) } in reference().signed_rank {
        let p = signed_rank_greater(&differences).unwrap();
        assert!((p - expected).abs() <= 1e-13, "n = {}: {p} and {expected}", differences.len());
    }
    assert_eq!(signed_rank_greater(&[0.0; 14]), None);
    assert_eq!(signed_rank_greater(&[1.0, f64::INFINITY]), None);
}

/// Optuna 5.0.0.
#[test]
fn trials_are_in_optunas_brackets() {
    for case in reference().brackets {
        let policy = Hyperband::new("a sweep", case.min, case.max, case.factor).unwrap();
        let brackets: Vec<u32> = (0..60).map(|trial| policy.bracket(trial)).collect();
        assert_eq!(brackets, case.brackets, "{} to {} by {}", case.min, case.max, case.factor);
    }
}

// ------------------------------------------------------------------------------------------------------ Azure's policies

/// learn.microsoft.com, how-to-tune-hyperparameters (2025-09): "if the best performing job … 0.8 … slack factor 0.2", and
/// v1's `Y + Y*slack_factor < B`.
#[test]
fn bandit_meets_azures_examples() {
    let all = trials(&[&[0.8], &[0.66], &[0.67], &[0.6]]);
    let factor = Bandit::new(Slack::Factor(0.2)).unwrap();
    let found = [0, 1, 2, 3].map(|n| stops(&factor, n, &all, Goal::Maximize));
    assert_eq!(found, [false, true, false, true]);
    let amount = Bandit::new(Slack::Amount(0.14)).unwrap();
    let found = [0, 1, 2, 3].map(|n| stops(&amount, n, &all, Goal::Maximize));
    assert_eq!(found, [false, false, false, true]);
    // The mirror: with a loss of 0.6 at best, more than 0.72 stops.
    let all = trials(&[&[0.6], &[0.73], &[0.71]]);
    assert_eq!([0, 1, 2].map(|n| stops(&factor, n, &all, Goal::Minimize)), [false, true, false]);
    let Verdict::Stop(evidence) = factor.decide(&all[1], &all, Goal::Minimize) else { panic!("it stops") };
    assert_eq!((evidence.interval, evidence.own, evidence.compared), (1, 0.73, 3));
    assert!((evidence.bound - 0.72).abs() < 1e-15);
}

#[test]
fn bandit_compares_bests_up_to_the_same_interval() {
    // The old trial was bad at interval 2, however good it became.
    let mut all = trials(&[&[0.1, 0.5, 0.99], &[0.2, 0.46]]);
    let policy = Bandit::new(Slack::Amount(0.05)).unwrap();
    assert!(!stops(&policy, 1, &all, Goal::Maximize));
    // A best in the past counts for the trial.
    all.push(trial(2, &[0.6, 0.0]));
    assert!(!stops(&policy, 2, &all, Goal::Maximize));
    // And against the others.
    assert!(stops(&policy, 1, &all, Goal::Maximize));
}

#[test]
fn a_ratio_of_what_is_not_positive_is_refused_with_a_reason() {
    let policy = Bandit::new(Slack::Factor(0.5)).unwrap();
    for (goal, best) in
        [(Goal::Maximize, -2.0), (Goal::Maximize, 0.0), (Goal::Minimize, -5.0), (Goal::Minimize, 0.0)]
    {
        let worse = if goal == Goal::Maximize { best - 100.0 } else { best + 100.0 };
        let all = trials(&[&[best], &[worse]]);
        let verdict = policy.decide(&all[1], &all, goal);
        assert_eq!(verdict, Verdict::Abstain(Abstention::RatioOfNonPositive { best }), "{goal:?}");
        let Verdict::Abstain(why) = verdict else { panic!() };
        assert!(why.to_string().contains("give an amount"));
        let amount = Bandit::new(Slack::Amount(0.5)).unwrap();
        assert!(stops(&amount, 1, &all, goal));
    }
}

#[test]
fn policies_of_azures_are_evaluated_at_their_intervals_alone() {
    let schedule = EvaluationSchedule::default().with_evaluation_interval(3).with_delay_evaluation(5);
    let policies: [StoppingSpec; 3] = [
        Bandit::new(Slack::Amount(0.0)).unwrap().with_schedule(schedule).into(),
        MedianStopping::from(schedule).into(),
        TruncationSelection::new(50).unwrap().with_schedule(schedule).into(),
    ];
    for policy in policies {
        let mut all = vec![trial(0, &[]), trial(1, &[])];
        let mut stopped = Vec::new();
        for interval in 1..=12 {
            all[0].reports.push(interval * 10, 1.0).unwrap();
            all[1].reports.push(interval * 10, 0.0).unwrap();
            if stops(&policy, 1, &all, Goal::Maximize) {
                stopped.push(interval);
            }
            assert!(!stops(&policy, 0, &all, Goal::Maximize));
        }
        assert_eq!(stopped, [6, 9, 12], "{policy:?}");
    }
}

#[test]
fn truncation_ranks_old_trials_by_what_they_had_at_the_interval() {
    let all = trials(&[&[0.1, 0.9], &[0.2, 0.9], &[0.3, 0.9], &[0.4, 0.9], &[0.15]]);
    let policy = TruncationSelection::new(20).unwrap();
    // One of five goes: the one that was worst at interval 1, whoever asks.
    assert!(!stops(&policy, 4, &all, Goal::Maximize));
    let young = trials(&[&[0.1, 0.9], &[0.2, 0.9], &[0.3, 0.9], &[0.4, 0.9], &[0.05]]);
    assert!(stops(&policy, 4, &young, Goal::Maximize));
    // A tie speaks for the trial.
    let tied = trials(&[&[0.1, 0.9], &[0.2, 0.9], &[0.3, 0.9], &[0.4, 0.9], &[0.1]]);
    assert!(!stops(&policy, 4, &tied, Goal::Maximize));
    // Without those that ended, one of two is not 20 percent.
    let mut ended = young;
    ended[0].standing = Standing::Stopped;
    (1..3).for_each(|n| ended[n].standing = Standing::Completed { value: 0.9 });
    assert!(stops(&policy, 4, &ended, Goal::Maximize));
    assert!(!stops(&policy.without_finished(), 4, &ended, Goal::Maximize));
}

/// Azure's definitions once more, as sorting and counting.
fn brute_force(policy: &StoppingSpec, number: usize, all: &[TrialReports], goal: Goal) -> bool {
    let values = |t: &TrialReports| t.reports.iter().map(|r| r.value).collect::<Vec<f64>>();
    let turned = |v: f64| if goal == Goal::Maximize { -v } else { v };
    let i = values(&all[number]).len();
    let reached: Vec<Vec<f64>> = all
        .iter()
        .map(values)
        .filter(|v| v.len() >= i)
        .map(|v| v[..i].iter().map(|x| turned(*x)).collect())
        .collect();
    let own: Vec<f64> = values(&all[number]).into_iter().map(turned).collect();
    let least = |v: &[f64]| v.iter().copied().fold(f64::INFINITY, f64::min);
    match policy {
        StoppingSpec::Bandit(bandit) => {
            let best = reached.iter().map(|v| least(v)).fold(f64::INFINITY, f64::min);
            match bandit.slack() {
                Slack::Amount(slack) => least(&own) > best + slack,
                Slack::Factor(slack) if goal == Goal::Minimize => {
                    best > 0.0 && least(&own) > best * (1.0 + slack)
                }
                Slack::Factor(slack) => best < 0.0 && least(&own) > best / (1.0 + slack),
            }
        }
        StoppingSpec::MedianStopping(_) => {
            let mut means: Vec<f64> =
                reached.iter().map(|v| v.iter().sum::<f64>() / v.len() as f64).collect();
            means.sort_by(f64::total_cmp);
            let n = means.len();
            let median = if n % 2 == 1 {
                means[n / 2]
            } else {
                means[n / 2 - 1] + 0.5 * (means[n / 2] - means[n / 2 - 1])
            };
            least(&own) > median
        }
        StoppingSpec::TruncationSelection(truncation) => {
            let mut at: Vec<f64> = reached.iter().map(|v| v[i - 1]).collect();
            at.sort_by(f64::total_cmp);
            let cancelled = at.len() * usize::from(truncation.percentage()) / 100;
            // Where the trial stands if it comes first among its equals.
            let place = at.iter().filter(|v| **v < own[i - 1]).count();
            place >= at.len() - cancelled
        }
        _ => unreachable!(),
    }
}

#[test]
fn azures_policies_decide_as_their_definitions_written_out() {
    let policies: Vec<StoppingSpec> = [0.0, 0.1, 0.5]
        .into_iter()
        .flat_map(|slack| [Slack::Amount(slack), Slack::Factor(slack)])
        .map(|slack| Bandit::new(slack).unwrap().into())
        .chain([MedianStopping::default().into()])
        .chain([1, 20, 33, 50, 99].map(|p| TruncationSelection::new(p).unwrap().into()))
        .collect();
    let mut random = Random::new(11);
    let (mut decided, mut stopped) = (0, 0);
    for round in 0..300 {
        let count = 1 + round % 9;
        let all: Vec<TrialReports> = (0..count)
            .map(|number| {
                let length = 1 + random.below(NonZeroU64::new(6).unwrap());
                // Quarters: ties are common and sums are exact. Some rounds go below 0.
                let shift = if round % 3 == 0 { 4.0 } else { 0.0 };
                let values: Vec<f64> = (0..length)
                    .map(|_| random.below(NonZeroU64::new(32).unwrap()) as f64 / 4.0 - shift)
                    .collect();
                trial(number, &values)
            })
            .collect();
        for policy in &policies {
            for goal in GOALS {
                for number in 0..all.len() {
                    let stop = stops(policy, number, &all, goal);
                    let expected = brute_force(policy, number, &all, goal);
                    assert_eq!(stop, expected, "{policy:?} {goal:?} trial {number} of {all:?}");
                    (decided, stopped) = (decided + 1, stopped + usize::from(stop));
                }
            }
        }
    }
    println!("{decided} decisions, {stopped} to stop");
    assert!(stopped > 1000 && decided - stopped > 1000);
}

// ---------------------------------------------------------------------------------------------------- successive halving

/// The rule of Ray 2.60's `AsyncHyperBandScheduler`, one bracket: rungs max_t·rf^−k, the cutoff is the (1 − 1/rf) percentile
/// of what was recorded before, with NumPy's linear interpolation.
#[test]
fn the_quantile_rule_is_rays_formula() {
    let (grace, factor) = (1_u64, 4_u64);
    let policy = Asha::new(grace, factor).unwrap().with_rule(RungRule::Quantile);
    let mut random = Random::new(5);
    for goal in GOALS {
        let sign = if goal == Goal::Maximize { 1.0 } else { -1.0 };
        let mut all: Vec<TrialReports> = Vec::new();
        let mut recorded: Vec<Vec<f64>> = vec![Vec::new(); 4];
        let (mut stopped, mut kept) = (0, 0);
        for number in 0..150 {
            all.push(trial(number, &[]));
            let at = all.len() - 1;
            for step in 1..=64 {
                let value = random.below(NonZeroU64::new(40).unwrap()) as f64 / 8.0;
                all[at].reports.push(step, value).unwrap();
                let rung = [1, 4, 16, 64].iter().position(|milestone| *milestone == step);
                let expected = rung.is_some_and(|rung| {
                    let mut known = recorded[rung].clone();
                    recorded[rung].push(sign * value);
                    known.sort_by(f64::total_cmp);
                    let Some(last) = known.len().checked_sub(1) else { return false };
                    let h = last as f64 * 0.75;
                    // Quarters of whole numbers: exact.
                    let below = last * 3 / 4;
                    let (low, high) = (known[below], known[(last * 3).div_ceil(4)]);
                    sign * value < low + (h - h.floor()) * (high - low)
                });
                let stop = stops(&policy, at, &all, goal);
                assert_eq!(stop, expected, "trial {number}, step {step}");
                if stop {
                    stopped += 1;
                    all[at].standing = Standing::Stopped;
                    break;
                }
                kept += usize::from(rung.is_some());
            }
        }
        assert!(stopped > 20 && kept > 20, "{stopped} {kept}");
    }
}

#[test]
fn a_waiting_trial_goes_on_when_enough_worse_ones_have_come() {
    let policy = Asha::new(1, 3).unwrap().pausing(9).unwrap();
    let mut all = Vec::new();
    let mut promoted = Vec::new();
    for (number, value) in (0..).zip([0.5, 0.3, 0.4, 0.2, 0.9, 0.8]) {
        all.push(trial(number, &[value]));
        let at = all.len() - 1;
        match policy.decide(&all[at], &all, Goal::Minimize) {
            Verdict::Pause(evidence) => {
                assert_eq!(evidence.rung, Some(0));
                all[at].standing = Standing::Paused { rung: 0 };
            }
            verdict => assert!(verdict.goes_on(), "nobody stops"),
        }
        if let Some(next) = policy.promote(&all, Goal::Minimize) {
            promoted.push((number, next));
            all[usize::try_from(next).unwrap()].standing = Standing::Running;
        }
    }
    // Of three the best one goes on, of six the best two: trial 3 was among them when it came.
    assert_eq!(promoted, [(2, 1)]);
    assert_eq!(all[3].standing, Standing::Running);
    assert_eq!(policy.promote(&all, Goal::Minimize), None);
    // At the greatest resource nobody waits.
    let done = trial(9, &[0.9; 9]);
    assert_eq!(policy.decide(&done, &all, Goal::Minimize), Verdict::Continue);
}

#[test]
fn rungs_beyond_every_step_end_the_ladder() {
    for policy in [
        Asha::new(u64::MAX, u64::MAX).unwrap(),
        Asha::new(1, 2).unwrap().with_early_stopping_rate(u32::MAX),
        Asha::new(1, u64::MAX).unwrap(),
    ] {
        let all = trials(&[&[1.0, 2.0, 3.0], &[2.0]]);
        assert!(all.iter().all(|t| policy.decide(t, &all, Goal::Minimize).goes_on() || t.number == 1));
    }
}

// ------------------------------------------------------------------------------------------------------- NaN, and limits

fn policies() -> Vec<StoppingSpec> {
    vec![
        Bandit::new(Slack::Factor(0.1)).unwrap().into(),
        Bandit::new(Slack::Amount(0.1)).unwrap().into(),
        MedianStopping::default().into(),
        TruncationSelection::new(40).unwrap().into(),
        Percentile::median().with_startup_trials(1).into(),
        Asha::new(1, 2).unwrap().into(),
        Asha::new(1, 2).unwrap().with_rule(RungRule::Quantile).into(),
        Asha::new(1, 2).unwrap().pausing(16).unwrap().into(),
        Hyperband::new("x", 1, 16, 2).unwrap().into(),
        Wilcoxon::default().into(),
        Threshold::new(Some(-3.0), Some(3.0)).unwrap().into(),
        Patience::new(1, 0.0).unwrap().into(),
        Patience::new(0, 0.0)
            .unwrap()
            .with_inner(Percentile::median().with_startup_trials(1).into())
            .unwrap()
            .into(),
    ]
}

#[test]
fn nan_never_counts_as_good() {
    let nan = f64::NAN;
    for goal in GOALS {
        let mut all = trials(&[&[1.0; 4], &[1.5; 4], &[nan; 4], &[2.0; 4]]);
        for (n, value) in [(0, 1.0), (1, 1.5), (3, 2.0)] {
            all[n].standing = Standing::Completed { value };
        }
        for policy in policies() {
            let verdict = policy.decide(&all[2], &all, goal);
            // A signed-rank test of NaN is none; all the others see that the trial is lost. Hyperband asks at its rungs.
            let exempt = matches!(policy, StoppingSpec::Wilcoxon(_));
            assert!(matches!(verdict, Verdict::Stop(_)) || exempt, "{policy:?} {goal:?}: {verdict:?}");
            // A NaN trial stops nobody: with it the best one goes on just so.
            let best = if goal == Goal::Minimize { 0 } else { 3 };
            let waits = matches!(policy.decide(&all[best], &all, goal), Verdict::Pause(_));
            assert!(policy.decide(&all[best], &all, goal).goes_on() || waits, "{policy:?} {goal:?}");
        }
    }
}

#[test]
fn settings_that_cannot_be_followed_are_named() {
    let argument = |error: StoppingError| match error {
        StoppingError::Setting { argument, .. } => argument,
        other => panic!("{other:?}"),
    };
    assert_eq!(argument(Bandit::new(Slack::Factor(-0.1)).unwrap_err()), "slack_factor");
    assert_eq!(argument(Bandit::new(Slack::Amount(f64::NAN)).unwrap_err()), "slack_amount");
    assert_eq!(argument(TruncationSelection::new(0).unwrap_err()), "truncation_percentage");
    assert_eq!(argument(TruncationSelection::new(100).unwrap_err()), "truncation_percentage");
    assert_eq!(argument(Percentile::new(101.0).unwrap_err()), "percentile");
    assert_eq!(argument(Percentile::median().with_steps(0, 0).unwrap_err()), "interval_steps");
    assert_eq!(argument(Asha::new(0, 2).unwrap_err()), "min_resource");
    assert_eq!(argument(Asha::new(1, 1).unwrap_err()), "reduction_factor");
    assert_eq!(argument(Asha::new(5, 2).unwrap().pausing(4).unwrap_err()), "max_resource");
    assert_eq!(argument(Hyperband::new("", 9, 8, 3).unwrap_err()), "max_resource");
    assert_eq!(argument(Wilcoxon::new(f64::NAN, 2).unwrap_err()), "p_threshold");
    assert_eq!(argument(Threshold::new(Some(2.0), Some(1.0)).unwrap_err()), "upper");
    assert_eq!(argument(Threshold::new(None, None).unwrap_err()), "upper");
    assert_eq!(argument(Patience::new(1, f64::INFINITY).unwrap_err()), "min_delta");
    for (factor, amount) in [(None, None), (Some(0.1), Some(0.1))] {
        let error = Bandit::from_settings(factor, amount).unwrap_err();
        assert!(error.to_string().contains("exactly one of `slack_factor` and `slack_amount`"));
    }
    let twice = Patience::new(1, 0.0).unwrap().with_inner(Patience::new(1, 0.0).unwrap().into()).unwrap();
    assert_eq!(Patience::new(1, 0.0).unwrap().with_inner(twice.into()), Err(StoppingError::Nested));
}

#[test]
fn reports_grow_by_steps_and_have_a_last_one() {
    let mut reports = Reports::new();
    reports.push(5, 1.0).unwrap();
    for step in [0, 4, 5] {
        assert_eq!(reports.push(step, 0.0), Err(StoppingError::Step { step, last: 5, interval: 1 }));
    }
    assert!(matches!(reports.push(u64::MAX, 0.0), Err(StoppingError::Limit { argument: "step", .. })));
    reports.push(Reports::MAX_STEP, f64::NAN).unwrap();
    assert_eq!((reports.interval(), reports.best(Goal::Maximize)), (2, Some(1.0)));
    let text = serde_json::to_string(&reports).unwrap();
    assert_eq!(serde_json::from_str::<Reports>(&text).unwrap(), reports);
    assert!(serde_json::from_str::<Reports>(r#"[{"step":2,"value":1},{"step":1,"value":1}]"#).is_err());
    reports.truncate_from(6);
    assert_eq!(reports.interval(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any values, any lengths: no policy panics, every verdict is the same a second time, and whoever is promoted waits.
    #[test]
    fn policies_are_total_and_pure(
        curves in prop::collection::vec(prop::collection::vec(prop::num::f64::ANY, 0..9), 1..8),
        standings in prop::collection::vec(0..5_u8, 8),
        maximize in any::<bool>(),
    ) {
        let goal = if maximize { Goal::Maximize } else { Goal::Minimize };
        let all: Vec<TrialReports> = (0..).zip(&curves).zip(&standings).map(|((number, values), standing)| {
            let value = values.last().copied().unwrap_or(0.0);
            trial(number, values).with_standing(match standing {
                0 => Standing::Paused { rung: u32::from(*standing) },
                1 => Standing::Completed { value },
                2 => Standing::Stopped,
                3 => Standing::Failed,
                _ => Standing::Running,
            })
        }).collect();
        for policy in policies() {
            for t in &all {
                let verdict = policy.decide(t, &all, goal);
                prop_assert_eq!(&verdict, &policy.decide(t, &all, goal));
                if let Some(evidence) = verdict.evidence() {
                    prop_assert_eq!(evidence.interval, t.reports.interval());
                    let text = serde_json::to_string(evidence).unwrap();
                    prop_assert_eq!(&serde_json::from_str::<mlops_core::experiment::stopping::Evidence>(&text).unwrap(), evidence);
                }
            }
            if let Some(number) = policy.promote(&all, goal) {
                let waits = matches!(all[usize::try_from(number).unwrap()].standing, Standing::Paused { .. });
                prop_assert!(waits);
            }
            // What is written is read as the same policy.
            let text = serde_json::to_string(&policy).unwrap();
            prop_assert_eq!(serde_json::from_str::<StoppingSpec>(&text).unwrap(), policy);
        }
    }
}
