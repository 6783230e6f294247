//! Retrain at regular times.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cooldown::{fire, later, quiet, shown, whole_seconds};
use super::{Signal, Trigger, TriggerDecision, TriggerState};
use crate::error::{Error, Result};
use crate::time::Timestamp;

/// Fires once per interval on a fixed grid: at `start`, `start + every`, `start + 2 * every` and so on.
///
/// * Any signal will do: it fires at the first one at or after a point of the grid. The loop therefore sends
///   [`Signal::Tick`] as often as it wants the schedule to be exact.
/// * Points that were missed fire once together, and the grid stays where it is: a firing that was late does not make
///   the next one late. The very first look after `start` fires too; begin in the future if it should not.
/// * It is never suppressed, also not by the cooldowns of the other parts of an [`AnyTrigger`](super::AnyTrigger).
/// * A point fires once, also when the clock steps back over it by no more than one interval. When the clock goes back
///   further, it waits for at most two intervals.
///
/// Intervals are stretches of time, not of the calendar: a day is 86 400 seconds, and knows no time zone and no daylight
/// saving.
///
/// As configuration: `every_seconds` and `start`. Cost: constant, but for copying the state.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::retrain::{ScheduleTrigger, Signal, Trigger, TriggerState};
/// use mlops_core::time::Timestamp;
///
/// let trigger = ScheduleTrigger::new(Duration::from_secs(86_400), "2026-01-01T02:00:00Z".parse()?)?;
/// let mut state = TriggerState::default();
/// for (now, fires) in [
///     ("2026-01-01T01:59:59Z", false),
///     ("2026-01-01T02:00:00Z", true),
///     ("2026-01-01T20:00:00Z", false),
///     // Two points were missed; they fire once, and the next one is on time.
///     ("2026-01-03T20:00:00Z", true),
///     ("2026-01-04T02:00:00Z", true),
/// ] {
///     let decision = trigger.evaluate(&state, &Signal::Tick, now.parse()?)?;
///     assert_eq!(decision.fires(), fires, "{now}");
///     state = decision.state;
/// }
///
/// let written = serde_json::to_string(&trigger)?;
/// assert_eq!(written, r#"{"every_seconds":86400,"start":"2026-01-01T02:00:00Z"}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ScheduleWire", into = "ScheduleWire")]
pub struct ScheduleTrigger {
    every: Duration,
    start: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScheduleWire {
    every_seconds: u64,
    start: Timestamp,
}

impl From<ScheduleTrigger> for ScheduleWire {
    fn from(trigger: ScheduleTrigger) -> Self {
        Self { every_seconds: trigger.every.as_secs(), start: trigger.start }
    }
}

impl TryFrom<ScheduleWire> for ScheduleTrigger {
    type Error = Error;

    fn try_from(wire: ScheduleWire) -> Result<Self> {
        Self::new(Duration::from_secs(wire.every_seconds), wire.start)
    }
}

impl ScheduleTrigger {
    /// Fires at `start` and then once per interval.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when `every` is zero or not a whole number of seconds.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mlops_core::retrain::ScheduleTrigger;
    /// let error = ScheduleTrigger::new(Duration::ZERO, "2026-01-01T00:00:00Z".parse()?).unwrap_err();
    /// assert_eq!(error.context("field"), Some("every"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(every: Duration, start: Timestamp) -> Result<Self> {
        const OP: &str = "ScheduleTrigger::new";
        whole_seconds(OP, "every", every)?;
        if every.is_zero() {
            return Err(Error::invalid(OP, "every", "must be at least one second, got 0"));
        }
        Ok(Self { every, start })
    }

    /// The interval.
    pub fn every(&self) -> Duration {
        self.every
    }

    /// The first point of the grid.
    pub fn start(&self) -> Timestamp {
        self.start
    }

    /// The number of the last grid point at or before `at`; `None` before the first.
    fn point(&self, at: Timestamp) -> Option<u64> {
        let passed = (at - self.start).to_std().ok()?;
        Some(passed.as_secs() / self.every.as_secs())
    }

    fn time_of(&self, point: u64) -> Timestamp {
        later(self.start, Duration::from_secs(point.saturating_mul(self.every.as_secs())))
    }
}

impl Trigger for ScheduleTrigger {
    fn evaluate(&self, state: &TriggerState, _: &Signal, now: Timestamp) -> Result<TriggerDecision> {
        // Not cut to `now`, as a cooldown is: clocks are set by fractions of a second all the time, and a step back over the
        // grid point that has just fired must not let it fire again. Cut to one interval ahead, so that the wait ends.
        let last_fired = state.last_fired.map(|fired| fired.min(later(now, self.every)));
        let state = TriggerState { last_fired, last_seen: Some(now), ..state.clone() };
        let Some(point) =
            self.point(now).filter(|point| Some(*point) > last_fired.and_then(|t| self.point(t)))
        else {
            return Ok(quiet(state));
        };
        Ok(fire(state, now, format!("the schedule was due at {}", shown(self.time_of(point)))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::TriggerOutcome;
    use super::*;

    const EVERY: i64 = 100;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_timestamp_millis(millis).unwrap()
    }

    /// Fires at 1000 s, 1100 s, …
    fn trigger() -> ScheduleTrigger {
        ScheduleTrigger::new(Duration::from_secs(100), at(1_000_000)).unwrap()
    }

    fn firings(seconds: &[f64]) -> Vec<bool> {
        let mut state = TriggerState::default();
        let mut fired = Vec::new();
        for second in seconds {
            let now = at(1000) + chrono::TimeDelta::from_std(Duration::from_secs_f64(second - 1.0)).unwrap();
            let decision = trigger().evaluate(&state, &Signal::Tick, now).unwrap();
            fired.push(decision.fires());
            state = decision.state;
        }
        fired
    }

    #[test]
    fn every_point_fires_once() {
        let cases: [(&str, &[f64], &[bool]); 7] = [
            ("before the start", &[1.0, 999.999], &[false, false]),
            ("on the point", &[1000.0, 1000.0, 1099.999, 1100.0], &[true, false, false, true]),
            ("late, and the grid stays", &[1050.0, 1100.0], &[true, true]),
            ("missed ones fire once", &[1000.0, 1999.0, 1999.5, 2000.0], &[true, true, false, true]),
            (
                "a step back over the point",
                &[1100.1, 1099.9, 1100.0, 1199.9, 1200.0],
                &[true, false, false, false, true],
            ),
            (
                "a leap back: two intervals at most",
                &[90_000.0, 1050.0, 1199.9, 1200.0, 1300.0],
                &[true, false, false, true, true],
            ),
            ("back to before the start", &[1000.0, 500.0, 999.9, 1000.0], &[true, false, false, true]),
        ];
        for (name, seconds, expected) in cases {
            assert_eq!(firings(seconds), expected, "{name}");
        }
    }

    #[test]
    fn the_reason_names_the_point() {
        let decision = trigger().evaluate(&TriggerState::default(), &Signal::Tick, at(1_150_000)).unwrap();
        let expected = "the schedule was due at 1970-01-01T00:18:20Z";
        assert_eq!(decision.outcome, TriggerOutcome::Fire(expected.to_owned()));
    }

    #[test]
    fn the_ends_of_time_do_no_harm() {
        for every in [1, u64::MAX] {
            let trigger = ScheduleTrigger::new(Duration::from_secs(every), Timestamp::MIN_UTC).unwrap();
            let mut state = TriggerState::default();
            for now in [Timestamp::MIN_UTC, Timestamp::MAX_UTC, at(0), Timestamp::MIN_UTC] {
                state = trigger.evaluate(&state, &Signal::Tick, now).unwrap().state;
            }
        }
    }

    #[test]
    fn bad_configuration_is_refused() {
        for text in [
            r#"{"every_seconds":0,"start":"2026-01-01T00:00:00Z"}"#,
            r#"{"every_seconds":-1,"start":"2026-01-01T00:00:00Z"}"#,
            r#"{"every_seconds":1,"start":"2026-01-01"}"#,
            r#"{"every_seconds":1}"#,
            r#"{"every_seconds":1,"start":"2026-01-01T00:00:00Z","zone":"CET"}"#,
        ] {
            assert!(serde_json::from_str::<ScheduleTrigger>(text).is_err(), "{text}");
        }
        let error = ScheduleTrigger::new(Duration::from_millis(500), at(0)).unwrap_err();
        assert_eq!(error.context("field"), Some("every"));
    }

    proptest! {
        /// While the clock steps back by less than an interval.
        #[test]
        fn a_point_fires_once_and_none_is_left_out(steps in prop::collection::vec(0..250_i64, 1..60), jitter in 0..EVERY) {
            let mut state = TriggerState::default();
            let mut points = Vec::new();
            let mut clock = 1000;
            for (i, step) in steps.iter().enumerate() {
                clock += step;
                let now = at((clock - if i % 3 == 2 { jitter } else { 0 }) * 1000);
                let decision = trigger().evaluate(&state, &Signal::Tick, now).unwrap();
                let point = trigger().point(now);
                if decision.fires() {
                    prop_assert!(points.last() < Some(&point), "{points:?} {point:?}");
                    points.push(point);
                }
                prop_assert!(points.last() >= Some(&point), "due and did not fire: {points:?} {point:?}");
                state = decision.state;
            }
        }
    }
}
