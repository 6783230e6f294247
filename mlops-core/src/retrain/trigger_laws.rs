//! What the contract of [`Trigger`] says, tested for all triggers at once. A new trigger goes into [`held`] or [`all`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::evaluation::{EvaluationReport, Verdict};
use crate::hash::Digest;
use crate::monitor::{
    DriftReport, DriftVerdict, MonitorReport, PerformanceRule, SignalKind, SignalOutcome, SignalReport,
    SignalSpec, Window,
};
use crate::problem::Task;
use crate::time::Timestamp;

/// The cooldown of all triggers here, and the interval of the schedule, in seconds.
const COOLDOWN: i64 = 100;

fn cooldown() -> Duration {
    Duration::from_secs(100)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(seconds, 0).unwrap()
}

fn event(id: i64) -> Signal {
    Signal::Event { id: id.to_string(), kind: "data.registered".to_owned(), source: "lake".to_owned() }
}

fn drift() -> SignalOutcome {
    let report = DriftReport::new("psi", at(0), (10, 10), vec![], DriftVerdict::Drift, "age has shifted");
    SignalOutcome::Drift(report)
}

fn performance() -> SignalOutcome {
    let (model, data) = (Digest::of(b"model"), Digest::of(b"data"));
    let report = EvaluationReport::new(model, data, Task::Regression, at(0), 10);
    SignalOutcome::Performance { report: Some(report), labelled: 10 }
}

fn unlabelled() -> SignalOutcome {
    SignalOutcome::Performance { report: None, labelled: 0 }
}

fn failed() -> SignalOutcome {
    SignalOutcome::Failed("no reference".to_owned())
}

/// A report on window number `n` with one signal.
fn report(n: i64, signal: &str, verdict: Verdict, outcome: SignalOutcome) -> Signal {
    let kind = match &outcome {
        SignalOutcome::Performance { .. } => SignalKind::Performance(PerformanceRule {
            metric: "rmse".parse().unwrap(),
            limit: 1.0,
            min_labelled: 1,
        }),
        _ => SignalKind::DataDrift,
    };
    let found = SignalReport::new(&SignalSpec::new(signal, kind), verdict, "because", outcome);
    let window = Window::new(at(n), at(n + 1)).unwrap();
    let monitor = "production".parse().unwrap();
    Signal::Monitored(Box::new(MonitorReport::new(monitor, window, at(n + 1), 10, vec![found])))
}

fn bad_drift(n: i64) -> Signal {
    report(n, "inputs", Verdict::Fail, drift())
}

fn bad_performance(n: i64) -> Signal {
    report(n, "quality", Verdict::Fail, performance())
}

type Reason = fn(i64) -> Signal;

/// The triggers that have a cooldown, with a reason that differs by its number.
fn held() -> Vec<(&'static str, Arc<dyn Trigger>, Reason)> {
    let drift = Arc::new(DriftTrigger::new("inputs", 1, cooldown()).unwrap());
    let performance = Arc::new(PerformanceTrigger::new("quality", 1, cooldown()).unwrap());
    let event_trigger = Arc::new(EventTrigger::new("data.*", cooldown()).unwrap());
    let parts: Vec<Arc<dyn Trigger>> = vec![drift.clone(), performance.clone(), event_trigger.clone()];
    let any = Arc::new(AnyTrigger::new(parts).unwrap());
    let nested = Arc::new(AnyTrigger::new(vec![any.clone(), performance.clone()]).unwrap());
    vec![
        ("drift", drift, bad_drift),
        ("performance", performance, bad_performance),
        ("event", event_trigger, event),
        ("any, by an event", any.clone(), event),
        ("any, by drift", any, bad_drift),
        ("any of any", nested, bad_performance),
    ]
}

/// And the schedule, which is never held back.
fn all() -> Vec<(&'static str, Arc<dyn Trigger>, Reason)> {
    let schedule = Arc::new(ScheduleTrigger::new(cooldown(), at(0)).unwrap());
    let mut triggers = held();
    triggers.push(("schedule", schedule, |_| Signal::Tick));
    triggers
}

/// Any signal: good, bad and insufficient windows, repeated and new events, ticks.
fn signal() -> impl Strategy<Value = Signal> {
    let verdict = prop_oneof![
        Just(Verdict::Fail),
        Just(Verdict::Fail),
        Just(Verdict::Pass),
        Just(Verdict::Insufficient)
    ];
    let outcome = prop_oneof![
        Just(("inputs", drift())),
        Just(("quality", performance())),
        Just(("quality", unlabelled())),
        Just(("inputs", failed())),
        Just(("other", drift())),
    ];
    prop_oneof![
        (0..30_i64).prop_map(event),
        (0..30_i64, verdict, outcome)
            .prop_map(|(n, verdict, (name, outcome))| report(n, name, verdict, outcome)),
        Just(Signal::Tick),
    ]
}

/// Signals with the clock's steps before them: forward mostly, back sometimes, far back or ahead rarely.
fn history() -> impl Strategy<Value = Vec<(i64, Signal)>> {
    let step = prop_oneof![6 => 0..60_i64, 2 => -80..0_i64, 1 => -5000..5000_i64];
    prop::collection::vec((step, signal()), 0..60)
}

/// The clock's time, the seconds it went forward since the last look, the signal and the decision of every step.
fn run(trigger: &dyn Trigger, history: &[(i64, Signal)]) -> Vec<(i64, i64, Signal, TriggerDecision)> {
    let (mut state, mut clock) = (TriggerState::default(), 100_000);
    let mut decisions = Vec::new();
    for (step, signal) in history {
        clock += step;
        let decision = trigger.evaluate(&state, signal, at(clock)).unwrap();
        state = decision.state.clone();
        decisions.push((clock, step.max(&0).to_owned(), signal.clone(), decision));
    }
    decisions
}

fn suppression(decision: &TriggerDecision) -> &str {
    match &decision.outcome {
        TriggerOutcome::Suppressed(reason) => reason,
        other => panic!("not suppressed: {other:?}"),
    }
}

#[test]
fn cooldown_holds_back() {
    for (name, trigger, reason) in held() {
        let mut state = TriggerState::default();
        for (n, now, fires) in [
            (0, 0, true),
            (1, 0, false),
            (2, COOLDOWN - 1, false),
            (3, COOLDOWN, true),
            (4, COOLDOWN + 1, false),
        ] {
            let decision = trigger.evaluate(&state, &reason(n), at(now)).unwrap();
            assert_eq!(decision.fires(), fires, "{name} at {now}");
            if !fires {
                let until = if now < COOLDOWN { "00:01:40Z" } else { "00:03:20Z" };
                let held = format!("held back by the cooldown until 1970-01-01T{until}: ");
                assert!(suppression(&decision).starts_with(&held), "{name}: {decision:?}");
            }
            state = decision.state;
        }
    }
}

#[test]
fn cooldown_of_zero_holds_nothing_back() {
    let trigger = EventTrigger::new("*", Duration::ZERO).unwrap();
    let first = trigger.evaluate(&TriggerState::default(), &event(1), at(0)).unwrap();
    assert!(trigger.evaluate(&first.state, &event(2), at(0)).unwrap().fires());
}

#[test]
fn events_fire_once() {
    for (name, trigger, reason) in held() {
        let first = trigger.evaluate(&TriggerState::default(), &reason(7), at(0)).unwrap();
        assert!(first.fires(), "{name}");
        let again = trigger.evaluate(&first.state, &reason(7), at(10 * COOLDOWN)).unwrap();
        let said = suppression(&again);
        assert!(
            said.ends_with("was seen already") || said.ends_with("was counted already"),
            "{name}: {said}"
        );
    }
}

#[test]
fn insufficient_data_is_no_reason() {
    let fail = Verdict::Fail;
    for (name, verdict, outcome) in [
        ("inputs", Verdict::Insufficient, drift()),
        ("quality", Verdict::Insufficient, performance()),
        ("quality", Verdict::Insufficient, unlabelled()),
        ("inputs", Verdict::Insufficient, failed()),
        // What no monitor should say is no reason either.
        ("quality", fail, unlabelled()),
        ("inputs", fail, failed()),
        ("quality", fail, failed()),
        // Not what the trigger listens to.
        ("inputs", fail, performance()),
        ("quality", fail, drift()),
        ("other", fail, drift()),
        ("other", fail, performance()),
    ] {
        for (trigger_name, trigger, _) in held() {
            let signal = report(0, name, verdict, outcome.clone());
            let decision = trigger.evaluate(&TriggerState::default(), &signal, at(0)).unwrap();
            assert_eq!(decision.outcome, TriggerOutcome::Quiet, "{trigger_name}: {name} {verdict:?}");
        }
    }
}

/// One letter a window: bad, the one before it again, good, insufficient, failed, an event in between.
fn letter(letter: char, n: i64, name: &str, outcome: SignalOutcome) -> Signal {
    match letter {
        'b' => report(n, name, Verdict::Fail, outcome),
        'a' => report(n - 1, name, Verdict::Fail, outcome),
        'g' => report(n, name, Verdict::Pass, outcome),
        'i' => report(n, name, Verdict::Insufficient, outcome),
        'f' => report(n, name, Verdict::Insufficient, failed()),
        _ => event(n),
    }
}

#[test]
fn bad_windows_count_in_a_row() {
    let drifts = DriftTrigger::new("inputs", 3, cooldown()).unwrap();
    let worsens = PerformanceTrigger::new("quality", 3, cooldown()).unwrap();
    let subjects: [(&dyn Trigger, &str, SignalOutcome); 2] =
        [(&drifts, "inputs", drift()), (&worsens, "quality", performance())];
    // F: fires, s: suppressed, q: quiet.
    for (windows, expected) in [
        ("bbb", "ssF"),
        ("bbbbbb", "ssFssF"),
        ("bbgbbb", "ssqssF"),
        ("bibfebb", "sqsqqFs"),
        ("babab", "ssssF"),
        ("gigf", "qqqq"),
    ] {
        for (trigger, name, outcome) in &subjects {
            let mut state = TriggerState::default();
            let mut said = String::new();
            for (n, window) in (1..).zip(windows.chars()) {
                let signal = letter(window, n, name, outcome.clone());
                let decision = trigger.evaluate(&state, &signal, at(n * COOLDOWN)).unwrap();
                said.push(match decision.outcome {
                    TriggerOutcome::Fire(_) => 'F',
                    TriggerOutcome::Suppressed(_) => 's',
                    TriggerOutcome::Quiet => 'q',
                });
                state = decision.state;
            }
            assert_eq!(said, expected, "{name}: {windows}");
        }
    }
}

#[test]
fn bad_windows_during_the_cooldown_count_for_the_first_after_it() {
    let trigger = DriftTrigger::new("inputs", 2, cooldown()).unwrap();
    let mut state = TriggerState::default();
    for (n, now, expected) in [
        (0, 0, "1 of 2 bad windows: inputs was bad for 1 window,"),
        (
            1,
            1,
            "inputs was bad for 2 windows in a row, last from 1970-01-01T00:00:01Z to 1970-01-01T00:00:02Z: because",
        ),
        (2, 2, "1 of 2 bad windows: "),
        (
            3,
            3,
            "held back by the cooldown until 1970-01-01T00:01:41Z: inputs was bad for 2 windows in a row,",
        ),
        (4, 101, "inputs was bad for 3 windows in a row,"),
    ] {
        let decision = trigger.evaluate(&state, &bad_drift(n), at(now)).unwrap();
        let (TriggerOutcome::Fire(said) | TriggerOutcome::Suppressed(said)) = &decision.outcome else {
            panic!("quiet at {now}");
        };
        assert!(said.starts_with(expected), "{said}");
        assert_eq!(decision.fires(), matches!(now, 1 | 101));
        state = decision.state;
    }
}

#[test]
fn one_that_fires_starts_the_cooldowns_of_all() {
    let part = |kind: &str, seconds| -> Arc<dyn Trigger> {
        Arc::new(EventTrigger::new(kind, Duration::from_secs(seconds)).unwrap())
    };
    let inner = Arc::new(AnyTrigger::new(vec![part("slow", 1000)]).unwrap());
    let schedule = Arc::new(ScheduleTrigger::new(Duration::from_secs(500), at(500)).unwrap());
    let any = AnyTrigger::new(vec![part("quick", 10), inner, schedule]).unwrap();
    let of =
        |kind: &str, id: i64| Signal::Event { id: id.to_string(), kind: kind.to_owned(), source: "s".into() };
    let mut state = TriggerState::default();
    for (signal, now, fires) in [
        (of("quick", 1), 0, true),
        (of("slow", 2), 400, false),
        (of("quick", 3), 400, true),
        (Signal::Tick, 499, false),
        // The schedule keeps to its grid whatever fired before, and starts the cooldowns too.
        (Signal::Tick, 500, true),
        (of("quick", 4), 509, false),
        (of("slow", 5), 999, false),
        (Signal::Tick, 1000, true),
        (Signal::Tick, 1500, true),
        (of("slow", 6), 1999, false),
    ] {
        let decision = any.evaluate(&state, &signal, at(now)).unwrap();
        assert_eq!(decision.fires(), fires, "{signal:?} at {now}");
        state = decision.state;
    }
}

#[test]
fn several_reasons_fire_once_with_all_of_them() {
    let part = |kind: &str| -> Arc<dyn Trigger> { Arc::new(EventTrigger::new(kind, cooldown()).unwrap()) };
    let any = AnyTrigger::new(vec![part("data.*"), part("other"), part("*")]).unwrap();
    let first = any.evaluate(&TriggerState::default(), &event(1), at(0)).unwrap();
    let said = "event 1 of lake: data.registered";
    assert_eq!(first.outcome, TriggerOutcome::Fire(format!("{said}; {said}")));
    let again = any.evaluate(&first.state, &event(1), at(0)).unwrap();
    let said = "event 1 of lake was seen already";
    assert_eq!(suppression(&again), format!("{said}; {said}"));
    assert_eq!(any.evaluate(&again.state, &Signal::Tick, at(0)).unwrap().outcome, TriggerOutcome::Quiet);
}

#[test]
fn the_state_of_another_trigger_is_a_conflict() {
    let part = || -> Arc<dyn Trigger> { Arc::new(EventTrigger::new("*", cooldown()).unwrap()) };
    let two = AnyTrigger::new(vec![part(), part()]).unwrap();
    let three = AnyTrigger::new(vec![part(), part(), part()]).unwrap();
    let state = two.evaluate(&TriggerState::default(), &Signal::Tick, at(0)).unwrap().state;
    let error = three.evaluate(&state, &Signal::Tick, at(0)).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Conflict);
    assert_eq!((error.context("expected"), error.context("found")), (Some("3"), Some("2")));
}

#[test]
fn a_part_that_fails_fails_the_whole() {
    let parts: Vec<Arc<dyn Trigger>> = vec![
        Arc::new(ScheduleTrigger::new(cooldown(), at(0)).unwrap()),
        Arc::new(EventTrigger::new("*", cooldown()).unwrap()),
    ];
    let nameless = Signal::Event { id: String::new(), kind: "k".to_owned(), source: "s".to_owned() };
    let error =
        AnyTrigger::new(parts).unwrap().evaluate(&TriggerState::default(), &nameless, at(0)).unwrap_err();
    assert_eq!(error.context("field"), Some("id"));
}

#[test]
fn bad_windows_are_configured_with_checks() {
    let good = json!({"signal": "s", "windows": 2, "cooldown_seconds": 60});
    let drifts: DriftTrigger = serde_json::from_value(good.clone()).unwrap();
    let worsens: PerformanceTrigger = serde_json::from_value(good.clone()).unwrap();
    assert_eq!(drifts, DriftTrigger::new("s", 2, Duration::from_secs(60)).unwrap());
    assert_eq!(serde_json::to_value(drifts).unwrap(), good);
    assert_eq!(serde_json::to_value(worsens).unwrap(), good);
    for (key, value, field) in [
        ("signal", json!(""), "signal"),
        ("signal", json!("x".repeat(70_000)), "a signal's name"),
        ("windows", json!(0), "windows"),
        ("windows", json!(-1), "-1"),
        ("cooldown_seconds", json!(0.5), "0.5"),
        ("cooldown", json!(1), "cooldown"),
    ] {
        let mut bad = good.clone();
        bad[key] = value;
        for error in [
            serde_json::from_value::<DriftTrigger>(bad.clone()).unwrap_err(),
            serde_json::from_value::<PerformanceTrigger>(bad).unwrap_err(),
        ] {
            assert!(error.to_string().contains(field), "{key}: {error}");
        }
    }
}

proptest! {
    #[test]
    fn decisions_are_deterministic(history in history()) {
        for (name, trigger, _) in all() {
            let mut state = TriggerState::default();
            for (_, _, signal, decision) in run(&trigger, &history) {
                let now = decision.state.last_seen.unwrap();
                // Also when the state was written down and read in between.
                let text = serde_json::to_string(&state).unwrap();
                let read: TriggerState = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(&trigger.evaluate(&read, &signal, now).unwrap(), &decision, "{}", name);
                state = decision.state;
            }
        }
    }

    /// However the clock jumps, it has gone forward by a cooldown between two firings.
    #[test]
    fn two_firings_are_a_cooldown_apart(history in history()) {
        for (name, trigger, _) in held() {
            let mut passed = COOLDOWN;
            for (now, step, _, decision) in run(&trigger, &history) {
                passed += step;
                if decision.fires() {
                    prop_assert!(passed >= COOLDOWN, "{} fires at {} after {} s", name, now, passed);
                    passed = 0;
                }
            }
        }
    }

    #[test]
    fn no_event_and_no_window_fires_twice(history in history()) {
        for (name, trigger, _) in held() {
            let mut fired = BTreeSet::new();
            for (now, _, signal, decision) in run(&trigger, &history) {
                if decision.fires() {
                    let identity = match &signal {
                        Signal::Event { id, .. } => format!("event {id}"),
                        Signal::Monitored(report) => format!("{} {:?}", report.signals[0].signal, report.window),
                        Signal::Tick => "a tick".to_owned(),
                    };
                    prop_assert!(fired.insert(identity), "{} fires twice for {:?} at {}", name, signal, now);
                }
            }
        }
    }

    /// Whatever happened, and wherever the clock stands now: a new reason fires at once or when one cooldown has passed (two
    /// intervals of a schedule).
    #[test]
    fn clock_going_back_does_no_harm(history in history(), now in 0..200_000_i64) {
        for (name, trigger, reason) in all() {
            let mut state = run(&trigger, &history).pop().map(|(.., decision)| decision.state).unwrap_or_default();
            let mut fired = 0;
            let waits: &[i64] = if name == "schedule" { &[0, COOLDOWN, 2 * COOLDOWN] } else { &[0, COOLDOWN] };
            for (n, wait) in (1000..).zip(waits) {
                let later = at(now) + TimeDelta::seconds(*wait);
                let decision = trigger.evaluate(&state, &reason(n), later).unwrap();
                fired += u32::from(decision.fires());
                state = decision.state;
            }
            prop_assert!(fired > 0, "{} at {}: {:?}", name, now, state);
        }
    }

    #[test]
    fn only_reasons_fire(history in history()) {
        for (name, trigger, _) in held() {
            for (_, _, signal, decision) in run(&trigger, &history) {
                let may = match &signal {
                    Signal::Event { .. } => true,
                    Signal::Monitored(report) => report.raised().any(|s| {
                        !matches!(s.outcome, SignalOutcome::Failed(_) | SignalOutcome::Performance { report: None, .. })
                    }),
                    Signal::Tick => false,
                };
                prop_assert!(may || decision.outcome == TriggerOutcome::Quiet, "{}: {:?}", name, decision.outcome);
            }
        }
    }
}
