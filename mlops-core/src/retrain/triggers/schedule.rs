//! Retrain at fixed intervals.

use std::time::Duration;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::memory;
use crate::error::Result;
use crate::retrain::{Signal, Trigger, TriggerDecision, TriggerOutcome, TriggerState};
use crate::time::{Timestamp, duration_text};

/// What to do about slots that passed while nobody looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Misfire {
    /// Fire once for all of them.
    #[default]
    FireOnce,
    /// Wait for the next one.
    Skip,
}

/// Fires at `start`, and then every so often: at `start + n · every` for n = 0, 1, 2, …
///
/// It is looked at by [`Signal::Tick`], at any rate: it fires at the first tick at or after a slot, so never early, and late by
/// at most the time between two ticks; what it missed does not shift later slots. Slots before it was looked at first are not
/// due. Two firings lie at least `every` apart in slots: a clock that goes back makes it wait, at most twice `every`.
///
/// ```
/// use mlops_core::retrain::{ScheduleTrigger, Signal, Trigger as _, TriggerState};
/// use std::time::Duration;
///
/// let weekly = ScheduleTrigger::new("2026-01-05T03:00:00Z".parse()?, Duration::from_secs(7 * 86_400));
/// let mut state = TriggerState::default();
/// let mut fires_at = |time: &str| -> Result<bool, Box<dyn std::error::Error>> {
///     let decision = weekly.evaluate(&state, &Signal::Tick, time.parse()?)?;
///     state = decision.state.clone();
///     Ok(decision.fires())
/// };
/// assert!(!fires_at("2026-01-11T00:00:00Z")?);
/// assert!(!fires_at("2026-01-12T02:59:59Z")?);
/// assert!(fires_at("2026-01-12T03:00:20Z")?);
/// assert!(!fires_at("2026-01-12T03:00:40Z")?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleTrigger {
    /// The first slot.
    pub start: Timestamp,
    /// The time from slot to slot, at least a second; counted in whole milliseconds.
    #[serde(with = "duration_text")]
    pub every: Duration,
    /// What to do about slots that were missed. Default fire once.
    #[serde(default)]
    pub misfire: Misfire,
    /// How late a slot may be noticed before it counts as missed. Default one minute.
    #[serde(default = "grace", with = "duration_text")]
    pub grace: Duration,
}

fn grace() -> Duration {
    Duration::from_secs(60)
}

const OP: &str = "ScheduleTrigger::evaluate";

impl ScheduleTrigger {
    /// Fires at `start` and every so often after it.
    pub fn new(start: Timestamp, every: Duration) -> Self {
        Self { start, every, misfire: Misfire::default(), grace: grace() }
    }

    /// Sets what to do about slots that were missed.
    #[must_use]
    pub fn with_misfire(mut self, misfire: Misfire) -> Self {
        self.misfire = misfire;
        self
    }

    /// Sets how late a slot may be noticed before it counts as missed.
    #[must_use]
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Checks the options; `evaluate` does so each time.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the option.
    ///
    /// ```
    /// use mlops_core::retrain::ScheduleTrigger;
    /// use std::time::Duration;
    /// let start = "2026-01-01T00:00:00Z".parse()?;
    /// assert!(ScheduleTrigger::new(start, Duration::from_secs(1)).check().is_ok());
    /// assert!(ScheduleTrigger::new(start, Duration::ZERO).check().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn check(&self) -> Result<()> {
        memory::check_duration(OP, "every", self.every, Duration::from_secs(1))?;
        memory::check_duration(OP, "grace", self.grace, Duration::ZERO)
    }

    /// The last slot at or before `now`.
    fn slot(&self, now: Timestamp) -> Option<Timestamp> {
        let every = TimeDelta::from_std(self.every).ok()?.num_milliseconds();
        let since = (now - self.start).num_milliseconds();
        let slots = if now < self.start { None } else { since.checked_div(every) }?;
        self.start.checked_add_signed(TimeDelta::try_milliseconds(slots.checked_mul(every)?)?)
    }

    fn due(&self, mut state: TriggerState, slot: Timestamp, now: Timestamp) -> TriggerDecision {
        let shown = slot.to_rfc3339();
        let since_last = state.last_fired.map(|last| (slot - last).to_std().unwrap_or_default());
        if since_last.is_some_and(|since| since < self.every) {
            return memory::suppress(
                state,
                format!("the slot {shown} is too soon after the last: the clock went back"),
            );
        }
        let late = (now - slot).to_std().unwrap_or_default();
        if self.misfire == Misfire::Skip && late > self.grace {
            let late = duration_text::format(late);
            return memory::suppress(state, format!("the slot {shown} was missed by {late}"));
        }
        state.last_fired = Some(slot);
        TriggerDecision { outcome: TriggerOutcome::Fire(format!("scheduled for {shown}")), state }
    }
}

impl Trigger for ScheduleTrigger {
    fn evaluate(&self, state: &TriggerState, signal: &Signal, now: Timestamp) -> Result<TriggerDecision> {
        self.check()?;
        let mut state = state.clone();
        if *signal != Signal::Tick {
            return Ok(memory::quiet(state));
        }
        let seen = state.last_seen.replace(now);
        state.last_fired = state.last_fired.map(|last| last.min(now));
        Ok(match (self.slot(now), seen) {
            (Some(slot), Some(seen)) if slot > seen => self.due(state, slot, now),
            _ => memory::quiet(state),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::support::*;
    use super::*;

    /// Every 100 s from second 0 on.
    fn trigger() -> ScheduleTrigger {
        ScheduleTrigger::new(at(0), Duration::from_secs(100))
    }

    fn fired(trigger: ScheduleTrigger, ticks: impl IntoIterator<Item = i64>) -> Vec<i64> {
        let mut seat = Seat::new(trigger);
        ticks.into_iter().filter(|tick| seat.send(&Signal::Tick, *tick).fires()).collect()
    }

    #[test]
    fn it_fires_at_the_first_tick_of_each_slot() {
        assert_eq!(fired(trigger(), -250..350), [0, 100, 200, 300]);
        assert_eq!(fired(trigger(), (-7..400).step_by(30)), [23, 113, 203, 323]);
        assert_eq!(fired(trigger(), [50, 99, 100, 100, 101]), [100]);
        // What passed before the first look is not due.
        assert_eq!(fired(trigger(), [1_000, 1_001, 1_099, 1_100]), [1_100]);
    }

    #[test]
    fn what_was_missed_fires_once_or_not_at_all() {
        let ticks = [50, 760, 761, 799, 800];
        assert_eq!(fired(trigger(), ticks), [760, 800]);
        let skip = trigger().with_misfire(Misfire::Skip).with_grace(Duration::from_secs(59));
        assert_eq!(fired(skip.clone(), ticks), [800]);
        assert_eq!(fired(skip.with_grace(Duration::from_secs(60)), ticks), [760, 800]);
    }

    #[test]
    fn clock_going_back_does_no_harm() {
        // A small step back over the slot does not fire it again, and the next one fires as ever.
        assert_eq!(fired(trigger(), [50, 100, 99, 100, 101, 199, 200]), [100, 200]);
        // A great one makes it wait at most twice the interval, and never fires two in one interval.
        let ticks = (5_000..5_150).chain(620..1_000);
        assert_eq!(fired(trigger(), ticks), [5_100, 800, 900]);
        // A clock that once was in the far future does not silence it for ever.
        let ticks = [50, 3_000_000_000].into_iter().chain(100..500);
        assert_eq!(fired(trigger(), ticks), [3_000_000_000, 200, 300, 400]);
    }

    #[test]
    fn only_ticks_are_looked_at() {
        let mut seat = Seat::new(trigger());
        seat.send(&Signal::Tick, 50);
        assert!(!seat.send(&event("1", "a", "s"), 150).fires());
        assert!(seat.send(&Signal::Tick, 160).fires());
    }

    #[test]
    fn the_ends_of_time_are_no_trouble() {
        for (start, now) in [
            (Timestamp::MIN_UTC, Timestamp::MAX_UTC),
            (Timestamp::MAX_UTC, Timestamp::MIN_UTC),
            (Timestamp::MAX_UTC, Timestamp::MAX_UTC),
        ] {
            let trigger = ScheduleTrigger::new(start, Duration::from_secs(1));
            let mut state = TriggerState::default();
            for _ in 0..2 {
                state = trigger.evaluate(&state, &Signal::Tick, now).unwrap().state;
            }
        }
    }
}
