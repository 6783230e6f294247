//! The suite of [`Trigger`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::support::{at, skipped};
use crate::evaluation::{EvaluationReport, Verdict};
use crate::hash::Digest;
use crate::id::MonitorName;
use crate::monitor::{
    DriftReport, DriftVerdict, MonitorReport, PerformanceRule, SignalKind, SignalOutcome, SignalReport,
    SignalSpec, Window,
};
use crate::problem::Task;
use crate::retrain::{Signal, Trigger, TriggerDecision, TriggerOutcome, TriggerState, WatchedSignal};
use crate::time::Timestamp;

/// Makes a test of every case of the [`Trigger`] suite.
///
/// Takes the name of the module to put them in, and an expression that makes a
/// [`TriggerUnderTest`](crate::conformance::trigger::TriggerUnderTest). See [the module](crate::conformance) for a whole
/// example; the tests are plain `#[test]`s and need no tokio.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use mlops_core::conformance::trigger::TriggerUnderTest;
/// use mlops_core::retrain::{Signal, Trigger};
///
/// // A trigger that fires on every event, and then not for an hour.
/// fn under_test(trigger: Arc<dyn Trigger>) -> TriggerUnderTest {
///     let event = |round: u32| Signal::Event {
///         id: round.to_string(),
///         kind: "data.registered".into(),
///         source: "registry".into(),
///     };
///     TriggerUnderTest::new(trigger, move |round| vec![(Duration::ZERO, event(round))])
///         .with_cooldown(Duration::from_secs(3600))
/// }
/// // mlops_core::trigger_suite!(my_trigger, under_test(Arc::new(my_trigger())));
/// ```
#[macro_export]
macro_rules! trigger_suite {
    ($module:ident, $fresh:expr) => {
        $crate::__conformance_suite_pure! { $module, $fresh, trigger, [
            it_fires_on_its_reason,
            decisions_are_deterministic,
            state_survives_being_written_down,
            events_fire_once,
            cooldown_holds_back,
            insufficient_data_is_no_reason,
            clock_going_back_does_no_harm,
            what_it_watches_is_heard,
        ] }
    };
}

type Round = Box<dyn Fn(u32) -> Vec<(Duration, Signal)> + Send + Sync>;

/// A trigger, and what makes it fire.
pub struct TriggerUnderTest {
    trigger: Arc<dyn Trigger>,
    round: Round,
    cooldown: Option<Duration>,
}

impl TriggerUnderTest {
    /// A trigger, and the signals after which it fires: each with the time since the start of the round. It fires at the last
    /// signal of a round and at none before. Every round needs signals of its own, by its number: other events, other windows.
    pub fn new(
        trigger: Arc<dyn Trigger>,
        round: impl Fn(u32) -> Vec<(Duration, Signal)> + Send + Sync + 'static,
    ) -> Self {
        Self { trigger, round: Box::new(round), cooldown: None }
    }

    /// For how long the trigger is held back after it fired; longer than a round.
    #[must_use]
    pub fn with_cooldown(mut self, cooldown: Duration) -> Self {
        self.cooldown = Some(cooldown);
        self
    }

    /// One step; what the trigger remembers goes on.
    fn step(&self, state: &mut TriggerState, signal: &Signal, now: Timestamp) -> TriggerOutcome {
        let decision = self.trigger.evaluate(state, signal, now).unwrap();
        if let TriggerOutcome::Fire(reason) | TriggerOutcome::Suppressed(reason) = &decision.outcome {
            assert!(!reason.is_empty(), "a decision has a reason");
        }
        *state = decision.state;
        decision.outcome
    }

    /// A whole round from `start`: when the last step was, and what was decided in each.
    fn play(
        &self,
        state: &mut TriggerState,
        number: u32,
        start: Timestamp,
    ) -> (Timestamp, Vec<TriggerOutcome>) {
        let steps = (self.round)(number);
        let last = steps.last().map_or(start, |(after, _)| start + *after);
        (last, steps.iter().map(|(after, signal)| self.step(state, signal, start + *after)).collect())
    }

    /// A state in which it has just fired, and when that was.
    fn fired(&self) -> (TriggerState, Timestamp) {
        let mut state = TriggerState::default();
        let (when, outcomes) = self.play(&mut state, 0, start());
        assert!(fired(&outcomes), "{outcomes:?}");
        (state, when)
    }
}

impl fmt::Debug for TriggerUnderTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TriggerUnderTest")
            .field("trigger", &self.trigger)
            .field("cooldown", &self.cooldown)
            .finish_non_exhaustive()
    }
}

fn start() -> Timestamp {
    at("2026-01-01T00:00:00Z")
}

fn fired(outcomes: &[TriggerOutcome]) -> bool {
    outcomes.iter().any(|o| matches!(o, TriggerOutcome::Fire(_)))
}

/// At the end of a round it fires, not before.
pub fn it_fires_on_its_reason(under: &TriggerUnderTest) {
    let (_, outcomes) = under.play(&mut TriggerState::default(), 0, start());
    let (last, before) = outcomes.split_last().expect("a round has signals");
    assert!(matches!(last, TriggerOutcome::Fire(_)), "{outcomes:?}");
    assert!(!fired(before), "{outcomes:?}");
}

/// The same state, signal and time give the same decision.
pub fn decisions_are_deterministic(under: &TriggerUnderTest) {
    let mut state = TriggerState::default();
    for (after, signal) in (0..3).flat_map(|number| (under.round)(number)) {
        let decide = || under.trigger.evaluate(&state, &signal, start() + after).unwrap();
        let decision: TriggerDecision = decide();
        assert_eq!(decide(), decision);
        assert_eq!(decision.fires(), matches!(decision.outcome, TriggerOutcome::Fire(_)));
        state = decision.state;
    }
}

/// What a trigger remembers can be written down and read back without changing what it decides.
pub fn state_survives_being_written_down(under: &TriggerUnderTest) {
    let (mut kept, mut written) = (TriggerState::default(), TriggerState::default());
    for number in 0..3 {
        let begin = start() + Duration::from_secs(86_400) * number;
        for (after, signal) in (under.round)(number) {
            let text = serde_json::to_string(&written).unwrap();
            written = serde_json::from_str(&text).unwrap();
            let (a, b) = (
                under.step(&mut kept, &signal, begin + after),
                under.step(&mut written, &signal, begin + after),
            );
            assert_eq!(a, b);
        }
    }
    assert_eq!(kept, written);
}

/// The same event again is no reason again, however much later it comes.
pub fn events_fire_once(under: &TriggerUnderTest) {
    let steps = (under.round)(0);
    let Some((_, event @ Signal::Event { .. })) = steps.last() else {
        return skipped("it fires on no event");
    };
    let (mut state, when) = under.fired();
    for later in [0, 1, 3_600, 86_400 * 400] {
        let outcome = under.step(&mut state, event, when + Duration::from_secs(later));
        assert!(!matches!(outcome, TriggerOutcome::Fire(_)), "{later} s later: {outcome:?}");
    }
}

/// After it fired it is held back until the cooldown has passed, and says so.
pub fn cooldown_holds_back(under: &TriggerUnderTest) {
    let Some(cooldown) = under.cooldown else { return skipped("the trigger has no cooldown") };
    let (mut state, when) = under.fired();
    let (end, held) = under.play(&mut state, 1, when + Duration::from_micros(1));
    assert!(end < when + cooldown, "the cooldown is longer than a round");
    assert!(!fired(&held), "{held:?}");
    assert!(matches!(held.last(), Some(TriggerOutcome::Suppressed(_))), "{held:?}");
    let (_, after) = under.play(&mut state, 2, when + cooldown);
    assert!(fired(&after), "{after:?}");
}

/// A monitor that could not tell is no reason, however often it could not.
pub fn insufficient_data_is_no_reason(under: &TriggerUnderTest) {
    let kinds = [("inputs", SignalKind::DataDrift), ("predictions", SignalKind::PredictionDrift)];
    let specs = kinds.map(|(name, kind)| SignalSpec::new(name, kind));
    let mut state = TriggerState::default();
    for hour in 0..50 {
        let begin = start() + Duration::from_secs(3_600) * hour;
        let window = Window::new(begin, begin + Duration::from_secs(3_600)).unwrap();
        let signals = specs.iter().map(|spec| {
            let outcome = SignalOutcome::Failed("too few rows".to_owned());
            SignalReport::new(spec, Verdict::Insufficient, "too few rows", outcome)
        });
        // One report with no signal at all among them.
        let signals = signals.take(if hour % 5 == 4 { 0 } else { specs.len() }).collect();
        let monitor = MonitorName::new("diabetes").unwrap();
        let report = MonitorReport::new(monitor, window, window.end, 3, signals);
        let outcome = under.step(&mut state, &Signal::Monitored(Box::new(report)), window.end);
        assert!(!matches!(outcome, TriggerOutcome::Fire(_)), "{outcome:?}");
    }
}

/// A clock that was wrong and is put right makes it fire neither at once again nor never again.
pub fn clock_going_back_does_no_harm(under: &TriggerUnderTest) {
    let Some(cooldown) = under.cooldown else { return skipped("the trigger has no cooldown") };
    for back in [Duration::from_secs(60), Duration::from_secs(86_400 * 3_650)] {
        let (mut state, when) = under.fired();
        let (end, held) = under.play(&mut state, 1, when - back);
        // Time seems not to have passed, so the cooldown cannot have.
        assert!(!fired(&held), "put back by {back:?}: {held:?}");
        let (_, after) = under.play(&mut state, 2, end + cooldown);
        assert!(fired(&after), "put back by {back:?}, it fires no more: {after:?}");
    }
}

/// A bad window of a signal that it says it looks at makes it fire, or is suppressed with a reason; it is not passed over.
pub fn what_it_watches_is_heard(under: &TriggerUnderTest) {
    let watched = under.trigger.watches();
    if watched.is_empty() {
        return skipped("it says of no signal that it looks at it");
    }
    let end = start() + Duration::from_secs(3_600);
    let window = Window::new(start(), end).unwrap();
    let (model, data) = (Digest::of(b"model"), Digest::of(b"data"));
    for signal in watched {
        let (kind, outcome) = match &signal {
            WatchedSignal::Performance(_) => {
                let rule =
                    PerformanceRule { metric: "accuracy".parse().unwrap(), limit: 0.8, min_labelled: 1 };
                let report = EvaluationReport::new(model, data, Task::BinaryClassification, end, 9);
                let outcome = SignalOutcome::Performance { report: Some(report), labelled: 9 };
                (SignalKind::Performance(rule), outcome)
            }
            _ => {
                let drift = DriftReport::new("ks", end, (99, 9), vec![], DriftVerdict::Drift, "it is bad");
                (SignalKind::DataDrift, SignalOutcome::Drift(drift))
            }
        };
        assert!(signal.takes(&kind), "{signal:?}");
        let found =
            SignalReport::new(&SignalSpec::new(signal.name(), kind), Verdict::Fail, "it is bad", outcome);
        let monitor = MonitorName::new("diabetes").unwrap();
        let report = MonitorReport::new(monitor, window, end, 9, vec![found]);
        let outcome = under.step(&mut TriggerState::default(), &Signal::Monitored(Box::new(report)), end);
        assert!(outcome != TriggerOutcome::Quiet, "{signal:?} is bad, and it is quiet");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;
    use crate::retrain::{AnyTrigger, DriftTrigger, EventTrigger};

    const HOUR: Duration = Duration::from_secs(3_600);

    /// Fires on any event, and on the second window in a row with an alarm; then an hour not at all.
    #[derive(Debug)]
    struct Simple;

    impl Trigger for Simple {
        fn evaluate(&self, state: &TriggerState, signal: &Signal, now: Timestamp) -> Result<TriggerDecision> {
            let mut state = state.clone();
            let went_back = state.last_fired.is_some_and(|fired| now < fired);
            if went_back {
                state.last_fired = Some(now);
            }
            let outcome = match Self::reason(&mut state, signal) {
                None => TriggerOutcome::Quiet,
                Some(_) if state.last_fired.is_some_and(|fired| now - fired < HOUR_DELTA) => {
                    TriggerOutcome::Suppressed("it fired less than an hour ago".to_owned())
                }
                Some(reason) => {
                    state.last_fired = Some(now);
                    TriggerOutcome::Fire(reason)
                }
            };
            Ok(TriggerDecision { outcome, state })
        }
    }

    const HOUR_DELTA: chrono::TimeDelta = chrono::TimeDelta::hours(1);

    impl Simple {
        fn reason(state: &mut TriggerState, signal: &Signal) -> Option<String> {
            match signal {
                Signal::Event { id, source, .. } => {
                    let event = (source.clone(), id.clone());
                    let new = !state.seen_events.contains(&event);
                    state.seen_events.push(event);
                    new.then(|| "something happened".to_owned())
                }
                Signal::Monitored(report) => {
                    state.bad_windows = if report.raised().count() > 0 { state.bad_windows + 1 } else { 0 };
                    (state.bad_windows >= 2).then(|| "two bad windows in a row".to_owned())
                }
                _ => None,
            }
        }
    }

    fn events(wrap: Arc<dyn Trigger>) -> TriggerUnderTest {
        TriggerUnderTest::new(wrap, |number| {
            let (kind, source) = ("data.registered".to_owned(), "registry".to_owned());
            vec![
                (Duration::ZERO, Signal::Tick),
                (Duration::from_secs(1), Signal::Event { id: number.to_string(), kind, source }),
            ]
        })
        .with_cooldown(HOUR)
    }

    fn alarms(trigger: impl Trigger) -> TriggerUnderTest {
        TriggerUnderTest::new(Arc::new(trigger), |number| {
            let alarm = move |minute: u32| {
                let begin = start() + HOUR * number + Duration::from_secs(60) * minute;
                let window = Window::new(begin, begin + Duration::from_secs(60)).unwrap();
                let spec = SignalSpec::new("inputs", SignalKind::DataDrift);
                let drift =
                    DriftReport::new("ks", window.end, (99, 9), vec![], DriftVerdict::Drift, "age drifted");
                let outcome = SignalOutcome::Drift(drift);
                let signals = vec![SignalReport::new(&spec, Verdict::Fail, "age drifted", outcome)];
                let monitor = MonitorName::new("diabetes").unwrap();
                Signal::Monitored(Box::new(MonitorReport::new(monitor, window, window.end, 9, signals)))
            };
            vec![(Duration::ZERO, alarm(0)), (Duration::from_secs(60), alarm(1))]
        })
        .with_cooldown(HOUR)
    }

    crate::trigger_suite!(on_events, events(Arc::new(Simple)));
    crate::trigger_suite!(on_alarms, alarms(Simple));
    crate::trigger_suite!(
        event_trigger,
        events(Arc::new(EventTrigger::new("data.registered", HOUR).unwrap()))
    );
    crate::trigger_suite!(drift_trigger, alarms(DriftTrigger::new("inputs", 2, HOUR).unwrap()));
    crate::trigger_suite!(any_trigger_of_alarms, {
        let part = DriftTrigger::new("inputs", 2, HOUR).unwrap();
        alarms(AnyTrigger::new(vec![Arc::new(part)]).unwrap())
    });
    crate::trigger_suite!(any_trigger, {
        let part = EventTrigger::new("data.*", HOUR).unwrap();
        events(Arc::new(AnyTrigger::new(vec![Arc::new(part)]).unwrap()))
    });
    crate::trigger_suite!(in_an_arc, events(Arc::new(Arc::new(Simple) as Arc<dyn Trigger>)));
    crate::trigger_suite!(in_a_box, events(Arc::new(Box::new(Simple) as Box<dyn Trigger>)));
}
