//! Sweeps: Azure's blocks, and records of the journal. What is accepted keeps its promises; what cannot be is said to be corrupt.

use std::collections::BTreeSet;

use mlops_core::conformance::fuzz::Input;
use mlops_core::experiment::sampler::{Goal, SamplerSpec};
use mlops_core::experiment::space::{Distribution, SearchSpace};
use mlops_core::experiment::stopping::Asha;
use mlops_core::experiment::sweep::{
    AzureSweep, Budget, EndReason, FailureClass, SamplerRecord, SweepEntry, SweepEvent, SweepSpec,
    SweepState, SweepSummary, TrialCounts, TrialOutcome, verify_suggestions,
};
use mlops_core::{ActorId, ErrorKind, ExperimentName, MetricKey};
use serde_json::{Value, json};

use super::{at, edited, read};

const JOB: &str = "
type: sweep
objective:
  goal: minimize
  primary_metric: loss
limits:
  max_total_trials: 20
  max_concurrent_trials: 4
  timeout: 7200
early_termination:
  type: bandit
  slack_factor: 0.1
  delay_evaluation: 5
";

fn wire(input: &mut Input<'_>) -> Value {
    let policies = [
        json!({"policyType": "Bandit", "slackFactor": 0.2, "evaluationInterval": 2, "delayEvaluation": 5}),
        json!({"policyType": "MedianStopping", "evaluationInterval": 1}),
        json!({"policyType": "TruncationSelection", "truncationPercentage": 20, "excludeFinishedJobs": true}),
    ];
    json!({
        "objective": {"goal": "Maximize", "primaryMetric": "accuracy"},
        "limits": {
            "jobLimitsType": "Sweep", "maxTotalTrials": 9, "maxConcurrentTrials": 3, "timeout": "PT2H", "trialTimeout": "P1DT5M",
        },
        "earlyTermination": policies[input.below(3)],
    })
}

fn use_azure(sweep: &AzureSweep) {
    sweep.budget().check().unwrap();
    let wire = sweep.to_wire().unwrap();
    assert_eq!(&AzureSweep::from_wire(&wire).unwrap(), sweep, "{wire}");
    let text = sweep.to_yaml().unwrap();
    assert!(!text.is_empty());
    #[cfg(feature = "yaml")]
    assert_eq!(&AzureSweep::from_yaml("again.yml", &text).unwrap(), sweep, "{text}");
}

pub(crate) fn sweep_azure(input: &mut Input<'_>) {
    let sweep = match input.byte() % 3 {
        #[cfg(feature = "yaml")]
        0 => read(AzureSweep::from_yaml("job.yml", &edited(input, JOB))),
        #[cfg(feature = "yaml")]
        1 => {
            let job = json!({
                "objective": {"goal": "maximize", "primary_metric": "auc"},
                "limits": {"max_total_trials": 7, "timeout": 3600, "trial_timeout": 60},
                "early_termination": {"type": "truncation_selection", "truncation_percentage": 10, "evaluation_interval": 1},
            });
            read(AzureSweep::from_yaml("job.yml", &input.json(&job).to_string()))
        }
        _ => {
            let wire = wire(input);
            read(AzureSweep::from_wire(&input.json(&wire)))
        }
    };
    let _ = JOB;
    if let Some(sweep) = sweep {
        use_azure(&sweep);
    }
}

fn spec() -> SweepSpec {
    let space = [("x", Distribution::float(0.0, 1.0)), ("kind", Distribution::choice(["a", "b"]))];
    let sampler = serde_json::from_str::<SamplerSpec>(r#"{"type": "tpe", "startup_trials": 1}"#).unwrap();
    let (experiment, actor) = (ExperimentName::new("e").unwrap(), ActorId::new("a").unwrap());
    let (metric, space) = (MetricKey::new("loss").unwrap(), SearchSpace::new(space).unwrap());
    SweepSpec::new(experiment, "s", actor, metric, Goal::Minimize, space, sampler)
        .with_budget(Budget::trials(3).with_concurrent(2).with_attempts(2))
        .with_stopping(Asha::new(1, 2).unwrap())
}

/// The journal of a sweep of three trials, one of which is lost and begun again, and one fails.
fn journal() -> Vec<SweepEntry> {
    let spec = spec();
    let sampler = spec.sampler.build().unwrap();
    let record = SamplerRecord::new(sampler.name().to_owned(), sampler.parameters());
    let created = SweepEvent::Created { spec: Box::new(spec.clone()), sampler: record };
    let mut entries = vec![SweepEntry::new(1, at(), created)];
    let mut state = SweepState::begin(&entries[0]).unwrap();
    let mut push = |state: &mut SweepState, event: SweepEvent| {
        let entry = SweepEntry::new(state.entries() + 1, at(), event);
        state.apply(&entry).unwrap();
        entries.push(entry);
    };
    let report = |trial, attempt, step, value| SweepEvent::Reported {
        trial,
        attempt,
        step,
        value,
        cost: 0.5,
        decision: None,
    };
    let done = |trial, attempt, outcome| SweepEvent::Finished { trial, attempt, outcome, cost: 0.0 };
    push(&mut state, SweepEvent::Opened { budget: spec.budget });
    for trial in 0..3 {
        let asked = state.suggest(&*sampler).unwrap();
        push(&mut state, asked);
        push(&mut state, SweepEvent::Started { trial, attempt: 1 });
        push(&mut state, report(trial, 1, 1, 0.5));
        match trial {
            0 => push(&mut state, done(0, 1, TrialOutcome::Completed { value: 0.25 })),
            1 => {
                let checkpoint = "epoch 1".to_owned();
                push(&mut state, SweepEvent::Checkpointed { trial, attempt: 1, checkpoint });
                push(&mut state, SweepEvent::LeaseExpired { trial, attempt: 1 });
                push(&mut state, SweepEvent::Started { trial, attempt: 2 });
                push(&mut state, report(trial, 2, 1, 0.75));
                push(&mut state, done(trial, 2, TrialOutcome::Completed { value: 0.5 }));
            }
            _ => {
                let (class, message) = (FailureClass::NotFinite, "NaN".to_owned());
                push(&mut state, done(trial, 1, TrialOutcome::Failed { class, message }));
            }
        }
    }
    push(&mut state, SweepEvent::Ended { reason: EndReason::Trials });
    entries
}

/// What any state promises, however it came about.
fn use_state(state: &SweepState) {
    for (number, trial) in (0..).zip(state.trials()) {
        assert_eq!(trial.number, number);
        assert!(state.spec().space.contains(state.assignment(number).unwrap()));
    }
    assert_eq!(TrialCounts::of(state).total(), state.trials().len() as u64);
    assert_eq!(state.reports().len(), state.trials().len());
    assert!(state.cost() >= 0.0);
    let summary = SweepSummary::of(state);
    assert!(summary.best.is_none_or(|best| best.value.is_finite()));
    let policy = Asha::new(1, 2).unwrap();
    let busy: BTreeSet<u64> = state.running().collect();
    state.next(&busy, Some(&policy), at());
    state.next(&BTreeSet::new(), None, at());
    if let Ok(sampler) = state.spec().sampler.build() {
        read(state.suggest(&*sampler));
    }
}

/// Entries of a journal, spoilt; what is still a journal is one, what is not is said to be corrupt, and nothing else.
pub(crate) fn sweep_journal(input: &mut Input<'_>) {
    let written = serde_json::to_value(journal()).unwrap();
    let Ok(entries) = serde_json::from_value::<Vec<SweepEntry>>(input.json(&written)) else { return };
    for entry in &entries {
        let text = serde_json::to_string(entry).unwrap();
        assert!(serde_json::from_str::<SweepEntry>(&text).unwrap().is_same(entry), "{text}");
    }
    match SweepState::replay(&entries) {
        Ok(Some(state)) => {
            assert_eq!(state.entries(), entries.len() as u64);
            use_state(&state);
            let sampler = spec().sampler.build().unwrap();
            read(verify_suggestions(&entries, &*sampler));
        }
        Ok(None) => assert!(entries.is_empty()),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}"),
    }
}

/// Events by chance on a sweep that is under way: each is taken, or refused and changes nothing.
pub(crate) fn sweep_events(input: &mut Input<'_>) {
    let written = journal();
    let from = 1 + input.below(written.len());
    let mut state = SweepState::replay(&written[..from]).unwrap().unwrap();
    for _ in 0..input.below(24) {
        let (trial, attempt) = (input.count() % 5, u32::from(input.byte() % 4));
        let (step, value, cost) = (input.count(), input.f64(), input.f64());
        let outcome = match input.byte() % 4 {
            0 => TrialOutcome::Completed { value },
            1 => TrialOutcome::Pruned,
            2 => TrialOutcome::Cancelled,
            _ => TrialOutcome::Failed { class: FailureClass::Transient, message: input.text() },
        };
        let event = match input.byte() % 10 {
            0 => SweepEvent::Opened { budget: Budget::trials(input.count()) },
            1 => SweepEvent::Promoted { trial },
            2 => SweepEvent::Started { trial, attempt },
            3 => SweepEvent::Reported { trial, attempt, step, value, cost, decision: None },
            4 => SweepEvent::Checkpointed { trial, attempt, checkpoint: input.text() },
            5 => SweepEvent::Finished { trial, attempt, outcome, cost },
            6 => SweepEvent::LeaseExpired { trial, attempt },
            7 => SweepEvent::Ended { reason: EndReason::Cancelled },
            8 => SweepEvent::Refused { reason: input.text() },
            _ => input.pick(&written.iter().collect::<Vec<_>>()).event.clone(),
        };
        let sequence = if input.byte() == 0 { input.count() } else { state.entries() + 1 };
        let before = state.entries();
        match state.apply(&SweepEntry::new(sequence, at(), event)) {
            Ok(()) => assert_eq!(state.entries(), before + 1),
            Err(_) => assert_eq!(state.entries(), before),
        }
        use_state(&state);
    }
}
