//! What triggers have in common: what was seen already, and how long ago it fired.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::retrain::{TriggerDecision, TriggerOutcome, TriggerState};
use crate::time::{Timestamp, duration_text};

/// Ten years: beyond that a duration is a mistake.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Remembers an id of a source, and forgets the oldest over `limit`. Whether it is new.
pub(super) fn remember(state: &mut TriggerState, source: &str, id: &str, limit: usize) -> bool {
    if state.seen_events.iter().any(|(s, i)| s == source && i == id) {
        return false;
    }
    state.seen_events.push((source.to_owned(), id.to_owned()));
    let over = state.seen_events.len().saturating_sub(limit);
    state.seen_events.drain(..over);
    true
}

/// Fires for `reason`, unless it fired less than `cooldown` ago.
pub(super) fn fire(
    mut state: TriggerState,
    cooldown: Duration,
    reason: String,
    now: Timestamp,
) -> TriggerDecision {
    if let Some(held) = cooling(&mut state, cooldown, now) {
        return suppress(state, format!("{held}; held back: {reason}"));
    }
    state.last_fired = Some(now);
    TriggerDecision { outcome: TriggerOutcome::Fire(reason), state }
}

/// Why it may not fire yet. A clock that went back behind the last firing starts the cooldown anew, so that it ends.
pub(super) fn cooling(state: &mut TriggerState, cooldown: Duration, now: Timestamp) -> Option<String> {
    let last = state.last_fired?.min(now);
    state.last_fired = Some(last);
    let since = (now - last).to_std().unwrap_or_default();
    (since < cooldown).then(|| {
        let (cooldown, since) = (duration_text::format(cooldown), duration_text::format(since));
        format!("it fired {since} ago and the cooldown is {cooldown}")
    })
}

pub(super) fn suppress(state: TriggerState, reason: String) -> TriggerDecision {
    TriggerDecision { outcome: TriggerOutcome::Suppressed(reason), state }
}

pub(super) fn quiet(state: TriggerState) -> TriggerDecision {
    TriggerDecision { outcome: TriggerOutcome::Quiet, state }
}

pub(super) fn check_duration(
    operation: &'static str,
    field: &str,
    value: Duration,
    least: Duration,
) -> Result<()> {
    if (least..=LONGEST).contains(&value) {
        return Ok(());
    }
    let (least, value) = (duration_text::format(least), duration_text::format(value));
    Err(Error::invalid(operation, field, format!("must lie between {least} and ten years, got {value}")))
}

pub(super) fn check_name(operation: &'static str, field: &str, name: &str) -> Result<()> {
    if name.trim().is_empty() {
        return Err(Error::invalid(operation, field, "must not be empty"));
    }
    Ok(())
}
