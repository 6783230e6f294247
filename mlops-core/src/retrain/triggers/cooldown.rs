//! Not again so soon.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::memory;
use crate::error::Result;
use crate::retrain::{Signal, Trigger, TriggerDecision, TriggerOutcome, TriggerState};
use crate::time::{Timestamp, duration_text};

/// Holds a trigger back for a while after it fired.
///
/// The trigger inside does not notice that it was held back: its reason stays, and a drift that goes on or a slot that is due
/// fires with the first signal after the cooldown. Around an [`AnyTrigger`](super::AnyTrigger) it spaces the firings of all.
///
/// ```
/// use mlops_core::retrain::{Cooldown, ScheduleTrigger, Signal, Trigger as _, TriggerOutcome, TriggerState};
/// use std::time::Duration;
///
/// let start = "2026-01-01T00:00:00Z".parse()?;
/// let hourly = ScheduleTrigger::new(start, Duration::from_secs(3_600));
/// let trigger = Cooldown::new(hourly, Duration::from_secs(5_400));
/// let mut state = TriggerState::default();
/// let mut outcomes = Vec::new();
/// for minutes in [0, 60, 120, 149, 150] {
///     let decision = trigger.evaluate(&state, &Signal::Tick, start + chrono::TimeDelta::minutes(minutes))?;
///     outcomes.push(decision.fires());
///     state = decision.state;
/// }
/// assert_eq!(outcomes, [false, true, false, false, true]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cooldown<T> {
    /// The trigger.
    pub trigger: T,
    /// How long it is held back after it fired; at most ten years.
    #[serde(with = "duration_text")]
    pub cooldown: Duration,
}

impl<T: Trigger> Cooldown<T> {
    /// Holds `trigger` back for `cooldown` after it fired.
    pub fn new(trigger: T, cooldown: Duration) -> Self {
        Self { trigger, cooldown }
    }
}

impl<T: Trigger> Trigger for Cooldown<T> {
    fn evaluate(&self, state: &TriggerState, signal: &Signal, now: Timestamp) -> Result<TriggerDecision> {
        memory::check_duration("Cooldown::evaluate", "cooldown", self.cooldown, Duration::ZERO)?;
        let mut state = state.clone();
        state.inner.resize_with(1, TriggerState::default);
        let decision = self.trigger.evaluate(&state.inner[0], signal, now)?;
        state.last_seen = Some(now);
        let TriggerOutcome::Fire(reason) = decision.outcome else {
            state.inner[0] = decision.state;
            return Ok(TriggerDecision { outcome: decision.outcome, state });
        };
        let decided = memory::fire(state, self.cooldown, reason, now);
        Ok(match decided.fires() {
            // Only now it has really fired.
            true => {
                let mut decided = decided;
                decided.state.inner[0] = decision.state;
                decided
            }
            false => decided,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::support::*;
    use super::super::{DriftTrigger, EventTrigger};
    use super::*;
    use crate::evaluation::Verdict::{Fail, Pass};

    fn trigger() -> Cooldown<DriftTrigger> {
        let drift = DriftTrigger::new(monitor(), "drift").with_windows(2);
        Cooldown::new(drift, Duration::from_secs(100))
    }

    #[test]
    fn cooldown_holds_back() {
        let mut seat = Seat::new(trigger());
        seat.send(&drift_report(0, Fail), 0);
        assert!(seat.send(&drift_report(1, Fail), 1).fires());
        for window in 2..6 {
            let outcome = seat.send(&drift_report(window, Fail), 50).outcome;
            assert!(matches!(outcome, TriggerOutcome::Suppressed(_)), "{outcome:?}");
        }
        assert!(seat.send(&drift_report(6, Fail), 101).fires(), "the row was kept");
        seat.send(&drift_report(7, Pass), 300);
        assert!(!seat.send(&drift_report(8, Fail), 301).fires(), "and a good window ends it");
    }

    #[test]
    fn clock_going_back_does_no_harm() {
        let trigger = Cooldown::new(EventTrigger::new("*"), Duration::from_secs(100));
        clock_going_back_does_no_harm_to(trigger, |i| event(&i.to_string(), "a", "s"), 100);
    }
}
