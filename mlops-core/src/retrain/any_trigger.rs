//! Retrain when one of several triggers says so.

use std::sync::Arc;

use super::cooldown::looked;
use super::{Signal, Trigger, TriggerDecision, TriggerOutcome, TriggerState, WatchedSignal};
use crate::error::{Error, Result};
use crate::time::Timestamp;

/// Fires when any of its parts fires.
///
/// * Every part sees every signal and keeps its own state, in [`TriggerState::inner`], in the order of the parts.
/// * When several fire at once it fires once, with all their reasons. When none fires and some are suppressed, it is
///   suppressed, with all their reasons.
/// * One that fires starts the cooldowns of all: the retraining answers them all, whichever asked for it. So a drift alarm
///   an hour after the nightly retraining is held back for as long as the drift trigger's own cooldown says. Counts of bad
///   windows stand, and schedules keep to their grid.
/// * When a part fails, the evaluation fails, and no part's state changes.
///
/// It has no configuration of its own: write down the parts. Cost: that of the parts.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use mlops_core::retrain::{AnyTrigger, EventTrigger, ScheduleTrigger, Signal, Trigger, TriggerState};
///
/// let day = Duration::from_secs(86_400);
/// let trigger = AnyTrigger::new(vec![
///     Arc::new(ScheduleTrigger::new(7 * day, "2026-01-01T00:00:00Z".parse()?)?),
///     Arc::new(EventTrigger::new("data.registered", day)?),
/// ])?;
///
/// let scheduled = trigger.evaluate(&TriggerState::default(), &Signal::Tick, "2026-01-01T00:00:00Z".parse()?)?;
/// assert!(scheduled.fires());
///
/// // The event has a reason of its own, but there was a retraining an hour ago.
/// let event = |id: &str| Signal::Event { id: id.into(), kind: "data.registered".into(), source: "lake".into() };
/// let held = trigger.evaluate(&scheduled.state, &event("1"), "2026-01-01T01:00:00Z".parse()?)?;
/// assert!(!held.fires());
/// assert!(trigger.evaluate(&held.state, &event("2"), "2026-01-02T00:00:00Z".parse()?)?.fires());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct AnyTrigger {
    parts: Vec<Arc<dyn Trigger>>,
}

impl AnyTrigger {
    /// Fires when any of `parts` fires.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when there are no parts: it would never fire.
    ///
    /// ```
    /// use mlops_core::retrain::AnyTrigger;
    /// let error = AnyTrigger::new(vec![]).unwrap_err();
    /// assert_eq!(error.context("field"), Some("parts"));
    /// ```
    pub fn new(parts: Vec<Arc<dyn Trigger>>) -> Result<Self> {
        if parts.is_empty() {
            return Err(Error::invalid("AnyTrigger::new", "parts", "must have at least one trigger"));
        }
        Ok(Self { parts })
    }

    /// The state of every part; new ones where nothing is remembered yet.
    fn inner(&self, state: &TriggerState) -> Result<Vec<TriggerState>> {
        match state.inner.len() {
            0 => Ok(vec![TriggerState::default(); self.parts.len()]),
            found if found == self.parts.len() => Ok(state.inner.clone()),
            found => {
                let message = "the state belongs to a trigger with another number of parts";
                Err(Error::conflict("Trigger::evaluate", message, self.parts.len(), found))
            }
        }
    }
}

/// Starts the cooldown of a part and of the parts in it. A schedule may remember a moment that is still to come.
fn start_cooldown(state: &mut TriggerState, now: Timestamp) {
    state.last_fired = state.last_fired.max(Some(now));
    state.inner.iter_mut().for_each(|part| start_cooldown(part, now));
}

/// One outcome of several: firing counts more than suppression, and that more than nothing.
fn combine(outcomes: &[TriggerOutcome]) -> TriggerOutcome {
    let (mut fired, mut suppressed) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            TriggerOutcome::Fire(reason) => fired.push(reason.as_str()),
            TriggerOutcome::Suppressed(reason) => suppressed.push(reason.as_str()),
            TriggerOutcome::Quiet => {}
        }
    }
    match (fired.is_empty(), suppressed.is_empty()) {
        (false, _) => TriggerOutcome::Fire(fired.join("; ")),
        (true, false) => TriggerOutcome::Suppressed(suppressed.join("; ")),
        (true, true) => TriggerOutcome::Quiet,
    }
}

impl Trigger for AnyTrigger {
    /// # Errors
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) when `state` was made with another number of parts; else what a
    /// part returns.
    fn evaluate(&self, state: &TriggerState, signal: &Signal, now: Timestamp) -> Result<TriggerDecision> {
        let inner = self.inner(state)?;
        let decisions = self.parts.iter().zip(&inner).map(|(part, state)| part.evaluate(state, signal, now));
        let decisions = decisions.collect::<Result<Vec<_>>>()?;
        let (outcomes, inner): (Vec<_>, Vec<_>) = decisions.into_iter().map(|d| (d.outcome, d.state)).unzip();
        let outcome = combine(&outcomes);
        let mut state = TriggerState { inner, ..looked(state, now) };
        if matches!(outcome, TriggerOutcome::Fire(_)) {
            start_cooldown(&mut state, now);
        }
        Ok(TriggerDecision { outcome, state })
    }

    /// Those of all parts.
    fn watches(&self) -> Vec<WatchedSignal> {
        self.parts.iter().flat_map(|part| part.watches()).collect()
    }
}
