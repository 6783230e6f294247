//! Retrain when something happened outside.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::memory;
use crate::error::{Error, Result};
use crate::retrain::{Signal, Trigger, TriggerDecision, TriggerState};
use crate::time::{Timestamp, duration_text};

/// Fires at events of a kind.
///
/// Events are told apart by source and id, as CloudEvents are: the same one again is suppressed as a duplicate, as long as it is
/// among the last `remember` that matched. An event that the cooldown held back is not fired for later.
///
/// ```
/// use mlops_core::retrain::{EventTrigger, Signal, Trigger as _, TriggerState};
///
/// let trigger = EventTrigger::new("data.*").from_source("lake");
/// let event = |kind: &str, source: &str| Signal::Event { id: "7".into(), kind: kind.into(), source: source.into() };
/// let now = "2026-01-01T00:00:00Z".parse()?;
/// let fires = |signal| trigger.evaluate(&TriggerState::default(), &signal, now).map(|d| d.fires());
/// assert!(fires(event("data.registered", "lake"))?);
/// assert!(!fires(event("model.registered", "lake"))?);
/// assert!(!fires(event("data.registered", "elsewhere"))?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventTrigger {
    /// The kind, where `*` stands for any text: `data.registered`, `data.*`, `*`.
    pub kind: String,
    /// The source, exactly; any if there is none.
    #[serde(default)]
    pub source: Option<String>,
    /// How long it is held back after it fired. Default not at all.
    #[serde(default, with = "duration_text")]
    pub cooldown: Duration,
    /// How many events are remembered, 1 to 100 000. Default 1024.
    #[serde(default = "remember")]
    pub remember: usize,
}

fn remember() -> usize {
    1_024
}

/// The longest id, kind or source, in bytes: what is remembered is bounded.
const LONGEST: usize = 1_024;

const OP: &str = "EventTrigger::evaluate";

impl EventTrigger {
    /// Fires at every event of a kind.
    pub fn new(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), source: None, cooldown: Duration::ZERO, remember: remember() }
    }

    /// Only events of this source.
    #[must_use]
    pub fn from_source(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Sets how long it is held back after it fired.
    #[must_use]
    pub fn with_cooldown(mut self, cooldown: Duration) -> Self {
        self.cooldown = cooldown;
        self
    }

    /// Sets how many events are remembered.
    #[must_use]
    pub fn with_remember(mut self, events: usize) -> Self {
        self.remember = events;
        self
    }

    /// Checks the options; `evaluate` does so each time.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the option.
    ///
    /// ```
    /// use mlops_core::retrain::EventTrigger;
    /// assert!(EventTrigger::new("").check().is_err());
    /// assert!(EventTrigger::new("*").with_remember(0).check().is_err());
    /// ```
    pub fn check(&self) -> Result<()> {
        memory::check_name(OP, "kind", &self.kind)?;
        if !(1..=100_000).contains(&self.remember) {
            let message = format!("must lie between 1 and 100000, got {}", self.remember);
            return Err(Error::invalid(OP, "remember", message));
        }
        memory::check_duration(OP, "cooldown", self.cooldown, Duration::ZERO)
    }
}

impl Trigger for EventTrigger {
    /// # Errors
    /// Besides bad options, [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for an event whose id, kind or source
    /// is over 1024 bytes.
    fn evaluate(&self, state: &TriggerState, signal: &Signal, now: Timestamp) -> Result<TriggerDecision> {
        self.check()?;
        let mut state = state.clone();
        let Signal::Event { id, kind, source } = signal else {
            return Ok(memory::quiet(state));
        };
        for (what, text) in [("an event's id", id), ("an event's kind", kind), ("an event's source", source)]
        {
            if text.len() > LONGEST {
                return Err(Error::limit(OP, what, LONGEST, text.len()));
            }
        }
        if !matches(&self.kind, kind) || self.source.as_ref().is_some_and(|wanted| wanted != source) {
            return Ok(memory::quiet(state));
        }
        state.last_seen = Some(now);
        let shown = format!(
            "{} {} of {}",
            crate::error::quote(kind),
            crate::error::quote(id),
            crate::error::quote(source)
        );
        if !memory::remember(&mut state, source, id, self.remember) {
            return Ok(memory::suppress(state, format!("{shown} came before")));
        }
        Ok(memory::fire(state, self.cooldown, shown, now))
    }
}

/// Whether a text fits a pattern in which `*` stands for any text. Takes time in proportion to both lengths multiplied at worst.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go on when the last star has to stand for one more byte.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((after, from)) = star {
            star = Some((after, from + 1));
            (p, t) = (after, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::super::support::*;
    use super::*;
    use crate::retrain::TriggerOutcome;

    #[test]
    fn patterns_are_whole_texts_with_stars() {
        for (pattern, text, expected) in [
            ("data.registered", "data.registered", true),
            ("data.registered", "data.registered2", false),
            ("data.*", "data.", true),
            ("data.*", "data", false),
            ("*.registered", "data.registered", true),
            ("*.registered", "data.registered.again", false),
            ("a*b*c", "a--b--b--c", true),
            ("a*b*c", "a--c--b", false),
            ("*", "", true),
            ("**", "ä", true),
            ("data.*", "DATA.x", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
        // A pattern that makes naive matchers take for ever.
        assert!(!matches(&format!("{}b", "a*".repeat(100)), &"a".repeat(1_000)));
    }

    #[test]
    fn events_fire_once() {
        let mut seat = Seat::new(EventTrigger::new("data.*"));
        assert!(seat.send(&event("1", "data.new", "lake"), 0).fires());
        assert!(matches!(
            seat.send(&event("1", "data.new", "lake"), 1).outcome,
            TriggerOutcome::Suppressed(_)
        ));
        assert!(seat.send(&event("1", "data.new", "sea"), 2).fires(), "ids are of their source");
        assert!(seat.send(&event("2", "data.new", "lake"), 3).fires());
    }

    #[test]
    fn memory_is_bounded_and_holds_only_what_matched() {
        let mut seat = Seat::new(EventTrigger::new("data.*").with_remember(3));
        for id in 0..10 {
            seat.send(&event(&id.to_string(), "data.new", "lake"), 0);
            seat.send(&event(&id.to_string(), "model.new", "lake"), 0);
        }
        let ids: Vec<_> = seat.state.seen_events.iter().map(|(_, id)| id.as_str()).collect();
        assert_eq!(ids, ["7", "8", "9"]);
        let long = event(&"x".repeat(1_025), "data.new", "lake");
        assert!(seat.trigger.evaluate(&seat.state, &long, at(0)).is_err());
    }

    #[test]
    fn cooldown_holds_back() {
        let mut seat = Seat::new(EventTrigger::new("*").with_cooldown(Duration::from_secs(100)));
        assert!(seat.send(&event("1", "a", "s"), 0).fires());
        assert!(!seat.send(&event("2", "a", "s"), 99).fires());
        assert!(seat.send(&event("3", "a", "s"), 100).fires());
    }

    #[test]
    fn a_hostile_event_cannot_forge_a_log_line() {
        let decision =
            Seat::new(EventTrigger::new("*")).send(&event("1\n2026 granted", "a\u{202e}b", "s"), 0);
        let TriggerOutcome::Fire(reason) = decision.outcome else { panic!("{decision:?}") };
        assert!(!reason.contains(['\n', '\u{202e}']), "{reason}");
    }

    #[test]
    fn clock_going_back_does_no_harm() {
        let trigger = EventTrigger::new("*").with_cooldown(Duration::from_secs(100));
        clock_going_back_does_no_harm_to(trigger, |i| event(&i.to_string(), "a", "s"), 100);
    }
}
