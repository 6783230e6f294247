//! Retrain when something happens outside.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cooldown::{Cooldown, looked, quiet, suppressed};
use super::{Signal, Trigger, TriggerDecision, TriggerState, seen};
use crate::error::{Error, Result, quote};
use crate::time::Timestamp;

/// The longest id and source of an event, in bytes: a thousand of them are kept.
const LONGEST: usize = 1024;

/// Fires when an event of its kind arrives: new data was registered, a label batch is complete.
///
/// * `kind` is the event's kind exactly, or a beginning followed by `*`: `data.*` takes `data.registered` and
///   `data.deleted`, `*` takes all. Upper and lower case differ.
/// * With [`with_source`](Self::with_source), only events of that source, exactly.
/// * An event is known by source and id together. One that arrives again is suppressed, as long as it is among the last
///   1000 that were seen; only events of its kind and source take a place there.
/// * An event during the cooldown is suppressed and has had its chance: arriving again later, it was seen already.
///
/// As configuration: `kind`, `cooldown_seconds` and, if wanted, `source`. Cost: proportional to what is remembered.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::retrain::{EventTrigger, Signal, Trigger, TriggerOutcome, TriggerState};
///
/// let trigger = EventTrigger::new("data.*", Duration::from_secs(3600))?.with_source("lake")?;
/// let event = |id: &str| Signal::Event { id: id.into(), kind: "data.registered".into(), source: "lake".into() };
///
/// let noon = "2026-01-01T12:00:00Z".parse()?;
/// let first = trigger.evaluate(&TriggerState::default(), &event("7"), noon)?;
/// assert!(first.fires());
///
/// let next_day = "2026-01-02T12:00:00Z".parse()?;
/// let again = trigger.evaluate(&first.state, &event("7"), next_day)?;
/// assert_eq!(again.outcome, TriggerOutcome::Suppressed("event 7 of lake was seen already".into()));
/// assert!(trigger.evaluate(&again.state, &event("8"), next_day)?.fires());
///
/// let written = serde_json::to_string(&trigger)?;
/// assert_eq!(written, r#"{"kind":"data.*","source":"lake","cooldown_seconds":3600}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "EventWire", into = "EventWire")]
pub struct EventTrigger {
    kind: String,
    source: Option<String>,
    cooldown: Cooldown,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventWire {
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    cooldown_seconds: u64,
}

impl From<EventTrigger> for EventWire {
    fn from(trigger: EventTrigger) -> Self {
        let cooldown_seconds = trigger.cooldown.length().as_secs();
        Self { kind: trigger.kind, source: trigger.source, cooldown_seconds }
    }
}

impl TryFrom<EventWire> for EventTrigger {
    type Error = Error;

    fn try_from(wire: EventWire) -> Result<Self> {
        let trigger = Self::new(wire.kind, Duration::from_secs(wire.cooldown_seconds))?;
        match wire.source {
            Some(source) => trigger.with_source(source),
            None => Ok(trigger),
        }
    }
}

impl EventTrigger {
    /// Fires for events of this kind from any source, and not again during the cooldown.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when `kind` is empty or has a `*` that is not its end, or
    /// `cooldown` is not a whole number of seconds.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mlops_core::retrain::EventTrigger;
    /// let error = EventTrigger::new("*.registered", Duration::ZERO).unwrap_err();
    /// assert_eq!(error.context("field"), Some("kind"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(kind: impl Into<String>, cooldown: Duration) -> Result<Self> {
        const OP: &str = "EventTrigger::new";
        let kind = kind.into();
        if kind.trim().is_empty() {
            return Err(Error::invalid(OP, "kind", "must not be empty; `*` takes every kind"));
        }
        if kind.strip_suffix('*').unwrap_or(&kind).contains('*') {
            return Err(Error::invalid(OP, "kind", "may have one `*`, at its end").with("value", kind));
        }
        Ok(Self { kind, source: None, cooldown: Cooldown::new(OP, cooldown)? })
    }

    /// Only events of this source.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when it is empty.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mlops_core::retrain::EventTrigger;
    /// let trigger = EventTrigger::new("data.registered", Duration::ZERO)?.with_source("lake")?;
    /// assert_eq!(trigger.source(), Some("lake"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_source(mut self, source: impl Into<String>) -> Result<Self> {
        let source = source.into();
        if source.is_empty() {
            return Err(Error::invalid("EventTrigger::with_source", "source", "must not be empty"));
        }
        self.source = Some(source);
        Ok(self)
    }

    /// The kind of event, or its beginning and `*`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The only source it listens to, if there is one.
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// How long it is held back after it fired.
    pub fn cooldown(&self) -> Duration {
        self.cooldown.length()
    }

    fn takes(&self, kind: &str, source: &str) -> bool {
        let of_kind = match self.kind.strip_suffix('*') {
            Some(beginning) => kind.starts_with(beginning),
            None => kind == self.kind,
        };
        of_kind && self.source.as_ref().is_none_or(|only| only == source)
    }
}

/// An event without an id cannot be told from the next one.
fn check(field: &'static str, value: &str) -> Result<()> {
    if (1..=LONGEST).contains(&value.len()) {
        return Ok(());
    }
    let message = format!("of an event must have 1 to {LONGEST} bytes, got {}", value.len());
    Err(Error::invalid("Trigger::evaluate", field, message).with("value", value))
}

impl Trigger for EventTrigger {
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for an event of its kind whose `id` or `source` is empty or
    /// longer than 1024 bytes.
    fn evaluate(&self, state: &TriggerState, signal: &Signal, now: Timestamp) -> Result<TriggerDecision> {
        let mut state = looked(state, now);
        let Signal::Event { id, kind, source } = signal else { return Ok(quiet(state)) };
        if !self.takes(kind, source) {
            return Ok(quiet(state));
        }
        check("id", id)?;
        check("source", source)?;
        let event = format!("event {} of {}", quote(id), quote(source));
        if !seen::is_new(&mut state, source, id) {
            return Ok(suppressed(state, format!("{event} was seen already")));
        }
        Ok(self.cooldown.decide(state, now, format!("{event}: {}", quote(kind))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::TriggerOutcome;
    use super::*;
    use crate::error::ErrorKind;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(seconds, 0).unwrap()
    }

    fn event(id: &str, kind: &str, source: &str) -> Signal {
        Signal::Event { id: id.to_owned(), kind: kind.to_owned(), source: source.to_owned() }
    }

    #[test]
    fn the_kind_matches_exactly_or_by_its_beginning() {
        for (pattern, kind, takes) in [
            ("data.registered", "data.registered", true),
            ("data.registered", "data.registered.v2", false),
            ("data.registered", "Data.Registered", false),
            ("data.*", "data.registered", true),
            ("data.*", "data.", true),
            ("data.*", "data", false),
            ("data.*", "database.registered", false),
            ("data*", "database.registered", true),
            ("*", "anything", true),
            ("*", "", true),
        ] {
            let trigger = EventTrigger::new(pattern, Duration::ZERO).unwrap();
            let decision = trigger.evaluate(&TriggerState::default(), &event("1", kind, "s"), at(0)).unwrap();
            assert_eq!(decision.fires(), takes, "{pattern} {kind}");
        }
    }

    #[test]
    fn other_sources_are_quiet_and_take_no_place_in_the_memory() {
        let trigger = EventTrigger::new("*", Duration::ZERO).unwrap().with_source("lake").unwrap();
        let decision = trigger.evaluate(&TriggerState::default(), &event("1", "k", "pond"), at(0)).unwrap();
        assert_eq!(decision.outcome, TriggerOutcome::Quiet);
        assert!(decision.state.seen_events.is_empty());
    }

    #[test]
    fn an_event_during_the_cooldown_has_had_its_chance() {
        let trigger = EventTrigger::new("k", Duration::from_secs(10)).unwrap();
        let mut state = TriggerState::default();
        for (id, now, expected) in [
            ("1", 0, "fire"),
            ("2", 5, "held back by the cooldown until 1970-01-01T00:00:10Z: event 2 of s: k"),
            ("2", 20, "event 2 of s was seen already"),
            ("1", 20, "event 1 of s was seen already"),
            ("3", 20, "fire"),
        ] {
            let decision = trigger.evaluate(&state, &event(id, "k", "s"), at(now)).unwrap();
            match &decision.outcome {
                TriggerOutcome::Fire(_) => assert_eq!(expected, "fire", "{id} at {now}"),
                TriggerOutcome::Suppressed(reason) => assert_eq!(reason, expected),
                TriggerOutcome::Quiet => panic!("quiet: {id} at {now}"),
            }
            state = decision.state;
        }
    }

    #[test]
    fn an_event_without_identity_is_refused_and_one_of_another_kind_is_not_looked_at() {
        let trigger = EventTrigger::new("k", Duration::ZERO).unwrap();
        let long = "x".repeat(1025);
        for (id, source, field) in
            [("", "s", "id"), ("1", "", "source"), (&*long, "s", "id"), ("1", &*long, "source")]
        {
            let state = TriggerState::default();
            let error = trigger.evaluate(&state, &event(id, "k", source), at(0)).unwrap_err();
            assert_eq!((error.kind(), error.context("field")), (ErrorKind::InvalidInput, Some(field)));
            assert!(trigger.evaluate(&state, &event(id, "other", source), at(0)).is_ok());
        }
    }

    #[test]
    fn a_hostile_id_cannot_forge_a_line_in_the_reason() {
        let trigger = EventTrigger::new("*", Duration::ZERO).unwrap();
        let signal = event("1\nfired", "k\r\n", "s\u{202e}");
        match trigger.evaluate(&TriggerState::default(), &signal, at(0)).unwrap().outcome {
            TriggerOutcome::Fire(reason) => assert!(!reason.contains(['\n', '\r', '\u{202e}']), "{reason}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn bad_configuration_is_refused() {
        for text in [
            r#"{"kind":"","cooldown_seconds":1}"#,
            r#"{"kind":"a*b","cooldown_seconds":1}"#,
            r#"{"kind":"a**","cooldown_seconds":1}"#,
            r#"{"kind":"a","source":"","cooldown_seconds":1}"#,
            r#"{"kind":"a"}"#,
            r#"{"kind":"a","cooldown_seconds":1.5}"#,
            r#"{"kind":"a","cooldown_seconds":1,"colour":"red"}"#,
        ] {
            assert!(serde_json::from_str::<EventTrigger>(text).is_err(), "{text}");
        }
    }
}
