//! Retrain for whichever reason comes first.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::memory;
use crate::error::Result;
use crate::retrain::{Signal, Trigger, TriggerDecision, TriggerOutcome, TriggerState};
use crate::time::Timestamp;

/// Fires when any of several triggers fires, and gives the reasons of all that did.
///
/// Each keeps its own memory in [`TriggerState::inner`], by its place: add new ones at the end. To hold all of them back after
/// any fired, put it into a [`Cooldown`](super::Cooldown). An error of one is an error of all, and none remembers the signal.
///
/// ```
/// use mlops_core::retrain::{AnyTrigger, EventTrigger, Signal, Trigger as _, TriggerOutcome, TriggerState};
///
/// let any = AnyTrigger::new([EventTrigger::new("data.*"), EventTrigger::new("*.registered")]);
/// let event = Signal::Event { id: "7".into(), kind: "data.registered".into(), source: "lake".into() };
/// let decision = any.evaluate(&TriggerState::default(), &event, "2026-01-01T00:00:00Z".parse()?)?;
/// assert_eq!(
///     decision.outcome,
///     TriggerOutcome::Fire("data.registered 7 of lake; data.registered 7 of lake".into())
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnyTrigger<T = Arc<dyn Trigger>> {
    /// The triggers.
    pub of: Vec<T>,
}

impl<T: Trigger> AnyTrigger<T> {
    /// Any of these; none at all never fires.
    pub fn new(of: impl IntoIterator<Item = T>) -> Self {
        Self { of: of.into_iter().collect() }
    }
}

impl<T: Trigger> Trigger for AnyTrigger<T> {
    fn evaluate(&self, state: &TriggerState, signal: &Signal, now: Timestamp) -> Result<TriggerDecision> {
        let mut state = state.clone();
        state.inner.resize_with(self.of.len(), TriggerState::default);
        let (mut fired, mut suppressed) = (Vec::new(), Vec::new());
        for (trigger, inner) in self.of.iter().zip(&mut state.inner) {
            let decision = trigger.evaluate(inner, signal, now)?;
            *inner = decision.state;
            match decision.outcome {
                TriggerOutcome::Fire(reason) => fired.push(reason),
                TriggerOutcome::Suppressed(reason) => suppressed.push(reason),
                TriggerOutcome::Quiet => {}
            }
        }
        state.last_seen = Some(now);
        if !fired.is_empty() {
            state.last_fired = Some(now);
            return Ok(TriggerDecision { outcome: TriggerOutcome::Fire(fired.join("; ")), state });
        }
        Ok(match suppressed.is_empty() {
            true => memory::quiet(state),
            false => memory::suppress(state, suppressed.join("; ")),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::support::*;
    use super::super::{DriftTrigger, EventTrigger, ScheduleTrigger};
    use super::*;
    use crate::evaluation::Verdict::Fail;

    #[test]
    fn each_keeps_its_own_memory() {
        let drift: Arc<dyn Trigger> = Arc::new(DriftTrigger::new(monitor(), "drift").with_windows(2));
        let events: Arc<dyn Trigger> = Arc::new(EventTrigger::new("*"));
        let schedule: Arc<dyn Trigger> = Arc::new(ScheduleTrigger::new(at(0), Duration::from_secs(100)));
        let mut seat = Seat::new(AnyTrigger::new([drift, events, schedule]));
        assert!(matches!(seat.send(&drift_report(0, Fail), 1).outcome, TriggerOutcome::Suppressed(_)));
        assert!(seat.send(&event("1", "a", "s"), 2).fires());
        assert!(!seat.send(&event("1", "a", "s"), 3).fires());
        assert!(seat.send(&drift_report(1, Fail), 4).fires());
        assert_eq!(seat.send(&Signal::Tick, 5).outcome, TriggerOutcome::Quiet);
        assert!(seat.send(&Signal::Tick, 105).fires());
        assert_eq!(seat.state.inner.len(), 3);
    }

    #[test]
    fn none_never_fires() {
        let none = AnyTrigger::<EventTrigger>::new([]);
        assert_eq!(Seat::new(none).send(&event("1", "a", "s"), 0).outcome, TriggerOutcome::Quiet);
    }
}
