//! What the tests of all triggers share.

use crate::evaluation::Verdict;
use crate::id::MonitorName;
use crate::monitor::{
    DriftReport, DriftVerdict, MonitorReport, PerformanceRule, SignalKind, SignalOutcome, SignalReport,
    SignalSpec, Window,
};
use crate::retrain::{Signal, Trigger, TriggerDecision, TriggerState};
use crate::time::Timestamp;

pub(super) fn at(seconds: i64) -> Timestamp {
    chrono::DateTime::from_timestamp(1_767_225_600 + seconds, 0).unwrap()
}

pub(super) fn monitor() -> MonitorName {
    MonitorName::new("diabetes").unwrap()
}

pub(super) fn event(id: &str, kind: &str, source: &str) -> Signal {
    Signal::Event { id: id.into(), kind: kind.into(), source: source.into() }
}

fn report(window: usize, signal: SignalReport) -> Signal {
    let start = i64::try_from(window).unwrap() * 60;
    let window = Window::new(at(start), at(start + 60)).unwrap();
    Signal::Monitored(Box::new(MonitorReport::new(monitor(), window, at(start + 60), 100, vec![signal])))
}

pub(super) fn drift_report(window: usize, verdict: Verdict) -> Signal {
    let seen = match verdict {
        Verdict::Fail => DriftVerdict::Drift,
        Verdict::Pass => DriftVerdict::NoDrift,
        Verdict::Insufficient => DriftVerdict::Inconclusive,
    };
    let found = DriftReport::new("psi", at(0), (100, 100), Vec::new(), seen, "looked");
    let spec = SignalSpec::new("drift", SignalKind::DataDrift);
    report(window, SignalReport::new(&spec, verdict, "bmi drifted", SignalOutcome::Drift(found)))
}

pub(super) fn performance_report(window: usize, verdict: Verdict, labelled: u64) -> Signal {
    let metric = crate::MetricKey::new("accuracy").unwrap();
    let rule = PerformanceRule { metric, limit: 0.7, min_labelled: 1 };
    let spec = SignalSpec::new("performance", SignalKind::Performance(rule));
    let outcome = SignalOutcome::Performance { report: None, labelled };
    report(window, SignalReport::new(&spec, verdict, "accuracy fell", outcome))
}

/// A trigger and what it remembers.
pub(super) struct Seat<T> {
    pub(super) trigger: T,
    pub(super) state: TriggerState,
}

impl<T: Trigger> Seat<T> {
    pub(super) fn new(trigger: T) -> Self {
        Self { trigger, state: TriggerState::default() }
    }

    pub(super) fn send(&mut self, signal: &Signal, second: i64) -> TriggerDecision {
        let decision = self.trigger.evaluate(&self.state, signal, at(second)).unwrap();
        // What is remembered survives being written down.
        let text = serde_json::to_string(&decision.state).unwrap();
        self.state = serde_json::from_str(&text).unwrap();
        assert_eq!(self.state, decision.state);
        decision
    }
}

/// A trigger that fires at every signal of `signal`, with this cooldown in seconds: after the clock has gone back it neither
/// fires within a cooldown of itself nor stays silent for more than one.
pub(super) fn clock_going_back_does_no_harm_to<T: Trigger>(
    trigger: T,
    signal: impl Fn(usize) -> Signal,
    cooldown: i64,
) {
    let mut seat = Seat::new(trigger);
    let far = 3_000_000_000;
    assert!(seat.send(&signal(0), far).fires());
    assert!(!seat.send(&signal(1), 0).fires(), "no time has passed for all one knows");
    assert!(!seat.send(&signal(2), cooldown - 1).fires());
    assert!(seat.send(&signal(3), cooldown).fires());
    assert!(!seat.send(&signal(4), cooldown - 5).fires());
    assert!(!seat.send(&signal(5), cooldown + 10).fires());
    assert!(seat.send(&signal(6), 2 * cooldown + 10).fires());
}
