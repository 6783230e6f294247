//! The pause after firing, once for all triggers that have one.

use std::time::Duration;

use chrono::{SecondsFormat, TimeDelta};

use super::{TriggerDecision, TriggerOutcome, TriggerState};
use crate::error::{Error, Result};
use crate::time::Timestamp;

/// How long a trigger is held back after it fired. Zero never holds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cooldown(Duration);

impl Cooldown {
    pub(super) fn new(operation: &'static str, length: Duration) -> Result<Self> {
        whole_seconds(operation, "cooldown", length)?;
        Ok(Self(length))
    }

    pub(super) fn length(self) -> Duration {
        self.0
    }

    /// Fires for `reason`, or says until when the cooldown holds it back. `state` comes from [`looked`].
    pub(super) fn decide(self, state: TriggerState, now: Timestamp, reason: String) -> TriggerDecision {
        match self.ends(&state).filter(|end| now < *end) {
            Some(end) => {
                let held = format!("held back by the cooldown until {}: {reason}", shown(end));
                TriggerDecision { outcome: TriggerOutcome::Suppressed(held), state }
            }
            None => fire(state, now, reason),
        }
    }

    fn ends(self, state: &TriggerState) -> Option<Timestamp> {
        state.last_fired.map(|fired| later(fired, self.0))
    }
}

/// What to remember of a look at `now`. A `last_fired` that lies in the future, because the clock went back, becomes `now`:
/// the cooldown starts again, so that it holds back once more at most and not until the clock has caught up.
pub(super) fn looked(state: &TriggerState, now: Timestamp) -> TriggerState {
    let last_fired = state.last_fired.map(|fired| fired.min(now));
    TriggerState { last_fired, last_seen: Some(now), ..state.clone() }
}

/// Fires, and starts counting afresh.
pub(super) fn fire(state: TriggerState, now: Timestamp, reason: String) -> TriggerDecision {
    let state = TriggerState { last_fired: Some(now), bad_windows: 0, ..state };
    TriggerDecision { outcome: TriggerOutcome::Fire(reason), state }
}

pub(super) fn suppressed(state: TriggerState, reason: String) -> TriggerDecision {
    TriggerDecision { outcome: TriggerOutcome::Suppressed(reason), state }
}

pub(super) fn quiet(state: TriggerState) -> TriggerDecision {
    TriggerDecision { outcome: TriggerOutcome::Quiet, state }
}

/// Refuses fractions of a second: they would be lost where the configuration is written down.
pub(super) fn whole_seconds(operation: &'static str, field: &str, length: Duration) -> Result<()> {
    if length.subsec_nanos() == 0 {
        return Ok(());
    }
    Err(Error::invalid(operation, field, format!("must be a whole number of seconds, got {length:?}")))
}

/// `at + by`, or the end of representable time.
pub(super) fn later(at: Timestamp, by: Duration) -> Timestamp {
    let step = TimeDelta::from_std(by).unwrap_or(TimeDelta::MAX);
    at.checked_add_signed(step).unwrap_or(Timestamp::MAX_UTC)
}

/// A moment in a sentence.
pub(super) fn shown(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn it_holds_back_until_the_moment_it_ends() {
        let cooldown = Cooldown::new("op", Duration::from_secs(10)).unwrap();
        for (last_fired, now, fires) in [
            (None, 0, true),
            (Some(100), 100, false),
            (Some(100), 109, false),
            (Some(100), 110, true),
            (Some(100), 111, true),
            (Some(100), 50, false),
        ] {
            let state = TriggerState { last_fired: last_fired.map(at), ..TriggerState::default() };
            let decision = cooldown.decide(looked(&state, at(now)), at(now), "because".to_owned());
            assert_eq!(decision.fires(), fires, "{last_fired:?} {now}");
        }
    }

    #[test]
    fn a_last_firing_in_the_future_starts_the_cooldown_again_once() {
        let cooldown = Cooldown::new("op", Duration::from_secs(10)).unwrap();
        let mut state = TriggerState { last_fired: Some(at(1_000_000)), ..TriggerState::default() };
        for (now, fires) in [(50, false), (55, false), (59, false), (60, true), (61, false)] {
            let decision = cooldown.decide(looked(&state, at(now)), at(now), "because".to_owned());
            assert_eq!(decision.fires(), fires, "at {now}");
            state = decision.state;
        }
    }

    #[test]
    fn the_longest_cooldown_ends_with_time_itself() {
        let cooldown = Cooldown::new("op", Duration::from_secs(u64::MAX)).unwrap();
        let state = TriggerState { last_fired: Some(at(0)), ..TriggerState::default() };
        assert!(!cooldown.decide(state, at(1), "because".to_owned()).fires());
        assert_eq!(later(at(0), Duration::MAX), Timestamp::MAX_UTC);
    }

    #[test]
    fn a_fraction_of_a_second_is_refused() {
        let error = Cooldown::new("op", Duration::from_millis(1500)).unwrap_err();
        assert_eq!(error.context("field"), Some("cooldown"));
        assert!(error.message().contains("1.5s"), "{error}");
    }
}
