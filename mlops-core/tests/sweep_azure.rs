//! Azure ML's blocks: what is read is what it means, what is written is read as the same, what is wrong is named.

use std::time::Duration;

use mlops_core::experiment::sampler::{Goal, RandomOptions, SamplerSpec};
use mlops_core::experiment::space::{Distribution, SearchSpace};
use mlops_core::experiment::stopping::{
    Asha, Bandit, EvaluationSchedule, Slack, StoppingSpec, TruncationSelection,
};
use mlops_core::experiment::sweep::{AzureSweep, Budget, SweepSpec};
use mlops_core::{ActorId, ErrorKind, ExperimentName, MetricKey};
use proptest::prelude::*;
use serde_json::{Value, json};

fn plain() -> AzureSweep {
    AzureSweep::new(MetricKey::new("accuracy").unwrap(), Goal::Maximize)
}

fn policy(wire: Value) -> Result<Option<StoppingSpec>, mlops_core::Error> {
    let job =
        json!({"objective": {"goal": "Maximize", "primaryMetric": "accuracy"}, "earlyTermination": wire});
    AzureSweep::from_wire(&job).map(|sweep| sweep.early_termination)
}

/// The shapes of the REST interface's `BanditPolicy`, `MedianStoppingPolicy` and `TruncationSelectionPolicy`.
#[test]
fn policies_of_the_rest_interface_are_read_as_they_are_meant() {
    let at = |evaluation_interval, delay_evaluation| {
        EvaluationSchedule::default()
            .with_evaluation_interval(evaluation_interval)
            .with_delay_evaluation(delay_evaluation)
    };
    let bandit = |slack, schedule| Some(Bandit::new(slack).unwrap().with_schedule(schedule).into());
    for (wire, expected) in [
        (
            json!({"policyType": "Bandit", "slackFactor": 0.2, "evaluationInterval": 2, "delayEvaluation": 5}),
            bandit(Slack::Factor(0.2), at(2, 5)),
        ),
        // As the SDK sends it: the other slack is there, and 0.
        (
            json!({"policyType": "Bandit", "slackFactor": 0.2, "slackAmount": 0.0, "evaluationInterval": 0}),
            bandit(Slack::Factor(0.2), at(0, 0)),
        ),
        (
            json!({"policyType": "Bandit", "slackFactor": 0, "slackAmount": 0.1}),
            bandit(Slack::Amount(0.1), at(0, 0)),
        ),
        (json!({"policyType": "Bandit", "slackFactor": null}), bandit(Slack::Amount(0.0), at(0, 0))),
        (
            json!({"policyType": "MedianStopping", "evaluationInterval": 1}),
            Some(StoppingSpec::MedianStopping(at(1, 0).into())),
        ),
        (
            json!({"policyType": "TruncationSelection", "truncationPercentage": 20, "delayEvaluation": 3}),
            Some(TruncationSelection::new(20).unwrap().with_schedule(at(0, 3)).into()),
        ),
        (json!(null), None),
    ] {
        assert_eq!(policy(wire.clone()).unwrap(), expected, "{wire}");
    }
    for (wire, words) in [
        (json!({"policyType": "Bandit", "slackFactor": 0.1, "slackAmount": 0.1}), "exactly one"),
        (json!({"policyType": "Bandit", "slackFactor": -0.1}), "slack_factor"),
        (json!({"policyType": "MedianStopping", "slackFactor": 0.1}), "does not belong"),
        (json!({"policyType": "TruncationSelection"}), "truncation_percentage"),
        (json!({"policyType": "TruncationSelection", "truncationPercentage": 100}), "1 to 99"),
        (json!({"policyType": "TruncationSelection", "truncationPercentage": 257}), "1 to 99"),
        (json!({"policyType": "Hyperband"}), "unknown variant"),
        (json!({"policyType": "Bandit", "slackfactor": 0.1}), "unknown field"),
        (json!({"policyType": "Bandit", "slackFactor": "0.1"}), "invalid type"),
        (json!([]), ""),
    ] {
        let error = policy(wire.clone()).unwrap_err();
        assert_eq!(
            (error.kind(), error.context("field")),
            (ErrorKind::InvalidInput, Some("earlyTermination"))
        );
        assert!(error.message().contains(words), "{wire}: {error}");
    }
}

#[test]
fn limits_that_are_not_given_are_azures() {
    let sweep = AzureSweep::from_wire(&plain().to_wire().unwrap()).unwrap();
    assert_eq!(sweep, plain());
    let budget = sweep.budget();
    assert_eq!((budget.max_trials, budget.max_concurrent), (1000, 1000));
    assert_eq!(budget.max_time, Some(Duration::from_secs(5_184_000)));
    assert_eq!(budget.max_trial_time, None);
}

#[test]
fn limits_that_the_service_misreads_are_refused() {
    for (field, limits) in [
        ("timeout", json!({"timeout": "PT59S"})),
        ("timeout", json!({"timeout": "2h"})),
        ("trial_timeout", json!({"trialTimeout": "PT0S"})),
        ("max_total_trials", json!({"maxTotalTrials": 0})),
        ("max_concurrent_trials", json!({"maxConcurrentTrials": 0})),
        ("limits", json!({"maxTotalTrials": -1})),
        ("limits", json!({"jobLimitsType": "Command"})),
        ("limits", json!({"max_total_trials": 1})),
    ] {
        let job = json!({"objective": {"goal": "Minimize", "primaryMetric": "x"}, "limits": limits});
        let error = AzureSweep::from_wire(&job).unwrap_err();
        assert_eq!((error.kind(), error.context("field")), (ErrorKind::InvalidInput, Some(field)), "{error}");
    }
    for job in
        [json!({}), json!(null), json!([1]), json!({"objective": {"goal": "up", "primaryMetric": "x"}})]
    {
        let error = AzureSweep::from_wire(&job).unwrap_err();
        assert_eq!(error.context("field"), Some("objective"), "{error}");
    }
}

#[test]
fn what_azure_has_no_word_for_is_refused() {
    let space = SearchSpace::new([("x", Distribution::float(0.0, 1.0))]).unwrap();
    let (experiment, actor) = (ExperimentName::new("e").unwrap(), ActorId::new("a").unwrap());
    let sampler = SamplerSpec::Random(RandomOptions::default());
    let metric = MetricKey::new("loss").unwrap();
    let spec = SweepSpec::new(experiment, "s", actor, metric, Goal::Minimize, space, sampler);
    let fits = spec.clone().with_budget(Budget::trials(20).with_concurrent(4));
    let sweep = AzureSweep::of(&fits.with_stopping(Bandit::new(Slack::Factor(0.1)).unwrap())).unwrap();
    assert_eq!((sweep.max_total_trials, sweep.max_concurrent_trials), (20, Some(4)));
    for (bad, word) in [
        (spec.clone().with_budget(Budget::trials(2).with_cost(1.0)), "cost"),
        (spec.clone().with_budget(Budget::trials(2).with_failures(1)), "failures"),
        (spec.clone().with_budget(Budget::trials(2).with_lease(Duration::from_secs(9))), "lease"),
        (spec.clone().with_stopping(Asha::new(1, 2).unwrap()), "policy"),
    ] {
        let error = AzureSweep::of(&bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.context("capability").unwrap().contains(word), "{error}");
    }
    let hurried = spec.with_budget(Budget::trials(2).with_time(Duration::from_secs(30)));
    assert_eq!(AzureSweep::of(&hurried).unwrap_err().context("field"), Some("timeout"));
}

/// Seconds in YAML reach further than durations in JSON are read: what was read is always written and read again.
#[test]
fn nothing_takes_longer_than_a_century() {
    let century = Duration::from_secs(36_525 * 86_400);
    let mut longest = plain();
    (longest.timeout, longest.trial_timeout) = (century, Some(century));
    assert_eq!(AzureSweep::from_wire(&longest.to_wire().unwrap()).unwrap(), longest);
    let over = century + Duration::from_secs(1);
    for field in ["timeout", "trial_timeout"] {
        let mut sweep = plain();
        match field {
            "timeout" => sweep.timeout = over,
            _ => sweep.trial_timeout = Some(over),
        }
        assert_eq!(sweep.to_wire().unwrap_err().context("field"), Some(field));
        assert_eq!(sweep.to_yaml().unwrap_err().context("field"), Some(field));
    }
}

fn any_sweep() -> impl Strategy<Value = AzureSweep> {
    let slack = prop_oneof![
        (0.001..9.0_f64).prop_map(Slack::Factor),
        (0.001..9.0_f64).prop_map(Slack::Amount),
        Just(Slack::Amount(0.0))
    ];
    let policy = prop_oneof![
        Just(None),
        (slack, 0..9_u64, 0..9_u64).prop_map(|(slack, evaluation_interval, delay_evaluation)| {
            let schedule = EvaluationSchedule::default()
                .with_evaluation_interval(evaluation_interval)
                .with_delay_evaluation(delay_evaluation);
            Some(Bandit::new(slack).unwrap().with_schedule(schedule).into())
        }),
        (1..100_u8, any::<bool>()).prop_map(|(percentage, finished)| {
            let policy = TruncationSelection::new(percentage).unwrap();
            Some(if finished { policy.without_finished().into() } else { policy.into() })
        }),
        Just(Some(StoppingSpec::MedianStopping(Default::default()))),
    ];
    let metric = prop_oneof![Just("val/loss"), Just("yes"), Just("accuracy score"), Just("0.5")];
    let time = prop::option::of((60..1_000_000_u64).prop_map(Duration::from_secs));
    let trials = prop::option::of(1..5000_u64);
    (policy, metric, any::<bool>(), 1..5000_u64, trials, time.clone(), time).prop_map(
        |(policy, metric, minimize, total, at_once, timeout, trial)| {
            let goal = if minimize { Goal::Minimize } else { Goal::Maximize };
            let mut sweep = AzureSweep::new(MetricKey::new(metric).unwrap(), goal);
            (sweep.max_total_trials, sweep.max_concurrent_trials) = (total, at_once);
            sweep.timeout = timeout.unwrap_or(sweep.timeout);
            (sweep.trial_timeout, sweep.early_termination) = (trial, policy);
            sweep
        },
    )
}

/// Any JSON of a few levels.
fn any_json() -> impl Strategy<Value = Value> {
    const WORDS: &[&str] = &[
        "goal",
        "primaryMetric",
        "policyType",
        "Bandit",
        "slackFactor",
        "timeout",
        "PT1H",
        "Sweep",
        "Minimize",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(WORDS).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 30, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(prop::sample::select(WORDS), inner, 0..5)
                .prop_map(|map| map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_as_the_same(sweep in any_sweep()) {
        prop_assert_eq!(&AzureSweep::from_wire(&sweep.to_wire().unwrap()).unwrap(), &sweep);
        #[cfg(feature = "yaml")]
        {
            let yaml = sweep.to_yaml().unwrap();
            prop_assert_eq!(&AzureSweep::from_yaml("a.yml", &yaml).unwrap(), &sweep, "{}", yaml);
        }
    }

    #[test]
    fn any_json_is_an_error_or_can_be_written_again(objective in any_json(), limits in any_json(), policy in any_json()) {
        let good = json!({"goal": "Minimize", "primaryMetric": "x"});
        for objective in [objective, good] {
            let job = json!({"objective": objective, "limits": limits, "earlyTermination": policy});
            match AzureSweep::from_wire(&job) {
                Ok(sweep) => prop_assert_eq!(AzureSweep::from_wire(&sweep.to_wire().unwrap()).unwrap(), sweep),
                Err(e) => prop_assert_eq!(e.kind(), ErrorKind::InvalidInput),
            }
        }
    }
}

#[cfg(feature = "yaml")]
mod yaml {
    use super::*;

    #[test]
    fn faults_have_a_place() {
        let good = "objective:\n  goal: maximize\n  primary_metric: accuracy\n";
        for (more, field, line) in [
            ("limits:\n  max_totl_trials: 3\n", "limits.max_totl_trials", "5"),
            ("limits:\n  max_total_trials: 0\n", "max_total_trials", "5"),
            ("limits:\n  max_total_trials: 9\n  timeout: 30\n", "timeout", "6"),
            ("limits:\n  timeout: 1h\n", "limits.timeout", "5"),
            ("early_termination:\n  type: bandit\n", "early_termination", "5"),
            ("early_termination:\n  type: bandit\n  slack_factor: .nan\n", "", ""),
            ("early_termination:\n  type: hyperband\n", "early_termination", "5"),
        ] {
            let error = AzureSweep::from_yaml("job.yml", &format!("{good}{more}")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            assert_eq!(error.context("file"), Some("job.yml"), "{error}");
            if !field.is_empty() {
                let found = error.context("field").unwrap();
                assert!(found.starts_with(field) || field.ends_with(found), "{error}");
                assert_eq!(error.context("line"), Some(line), "{error}");
            }
        }
        assert!(AzureSweep::from_yaml("job.yml", "type: sweep").is_err());
        let twice = "early_termination:\n  type: bandit\n  slack_factor: 0.1\n  slack_amount: 0.2\n";
        assert!(AzureSweep::from_yaml("job.yml", &format!("{good}{twice}")).is_err());
    }

    #[test]
    fn other_keys_of_a_job_are_left_alone() {
        let job = "$schema: x\ntype: sweep\nsampling_algorithm: random\nsearch_space:\n  lr:\n    type: uniform\n    \
            min_value: 0.1\n    max_value: 1\nobjective:\n  goal: minimize\n  primary_metric: loss\nearly_termination:\n  \
            type: truncation_selection\n  truncation_percentage: 20\n  evaluation_interval: 1\n";
        let sweep = AzureSweep::from_yaml("job.yml", job).unwrap();
        assert_eq!(sweep.early_termination, Some(TruncationSelection::new(20).unwrap().into()));
    }
}
