//! Events from outside that may be reasons to retrain: CloudEvents, Azure Event Grid, MLflow's webhooks.
//!
//! A server hands a request to [`CloudEvents::receive`], [`EventGrid::receive`] or [`MlflowWebhook::receive`] as headers and
//! bytes, and gets a [`Received`]: events, or the answer to a handshake. An [`EventFilter`] says which events matter;
//! [`IncomingEvent::signal`] makes them a [`Signal`] for a trigger, which knows each event by source and id and takes it once. No
//! function here makes a request: the addresses in a handshake are never called.
//!
//! Delivery is at least once and in no order. On Azure, failed and cancelled operations raise no event at all: a schedule beside the
//! event trigger finds what never came.

mod cloud_events;
mod event_grid;
mod filter;
mod mlflow;

pub use cloud_events::CloudEvents;
pub use event_grid::EventGrid;
pub use filter::{DataFilter, EventFilter};
pub use mlflow::MlflowWebhook;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Signal;
use crate::error::{Error, Result};
use crate::time::Timestamp;

/// The longest body, in bytes: what Event Grid sends at most.
pub const MAX_BODY: usize = 1 << 20;
/// The most events in one request.
pub const MAX_EVENTS: usize = 5_000;
/// The longest id, source, type and subject, in bytes: what an [`EventTrigger`](super::EventTrigger) remembers.
const MAX_TEXT: usize = 1_024;

/// Something that happened outside.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncomingEvent {
    /// Unique within its source.
    pub id: String,
    /// Where it comes from: a CloudEvent's `source`, Event Grid's `topic`.
    pub source: String,
    /// What it is: a CloudEvent's `type`, Event Grid's `eventType`.
    pub kind: String,
    /// What it is about.
    pub subject: Option<String>,
    /// When it happened.
    pub time: Option<Timestamp>,
    /// What it holds; null where it holds nothing or no JSON.
    pub data: Value,
    /// Attributes that the envelope's specification does not name: a CloudEvent's extensions.
    pub extensions: BTreeMap<String, Value>,
}

impl IncomingEvent {
    /// As what a trigger looks at.
    pub fn signal(&self) -> Signal {
        Signal::Event { id: self.id.clone(), kind: self.kind.clone(), source: self.source.clone() }
    }

    /// The value at a path of keys in the data. Letters match in either case: Azure writes `RunTags` in one document and
    /// `runTags` in another. A key that is there exactly goes before one that differs in case.
    ///
    /// ```
    /// use mlops_core::retrain::event_source::{EventGrid, Received};
    /// let body = br#"[{"topic": "/t", "id": "1", "eventType": "Run", "data": {"RunTags": {"stage": "final"}}}]"#;
    /// let Received::Events(events) = EventGrid::receive(body)? else { return Err("a handshake".into()) };
    /// assert_eq!(events[0].at(&["runTags", "Stage"]).and_then(|tag| tag.as_str()), Some("final"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn at(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(&self.data, |value, key| {
            let fields = value.as_object()?;
            let in_either_case = || fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
            fields.get(*key).or_else(|| in_either_case().map(|(_, value)| value))
        })
    }

    /// The signal of an Azure model monitor that this event says is over its threshold: of a changed run status whose tag
    /// `azureml_modelmonitor_threshold_breached` says that a signal has failed. `None` for every other event.
    ///
    /// Azure leaves metrics out that cannot be computed: that there is no such event does not say that all is well.
    ///
    /// ```
    /// use mlops_core::retrain::event_source::{EventGrid, Received};
    /// let body = br#"[{"topic": "/t", "id": "1", "eventType": "Microsoft.MachineLearningServices.RunStatusChanged", "data": {"RunTags":
    ///   {"azureml_modelmonitor_threshold_breached": "The signal 'inputs' has failed due to one or more features violating metric thresholds."}}}]"#;
    /// let Received::Events(events) = EventGrid::receive(body)? else { return Err("a handshake".into()) };
    /// assert_eq!(events[0].breached_signal(), Some("inputs"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn breached_signal(&self) -> Option<&str> {
        if !self.kind.eq_ignore_ascii_case("Microsoft.MachineLearningServices.RunStatusChanged") {
            return None;
        }
        let text = self.at(&["runTags", "azureml_modelmonitor_threshold_breached"])?.as_str()?;
        let (_, rest) = text.split_once("The signal '")?;
        let (signal, rest) = rest.split_once("' has failed")?;
        rest.contains("violating metric thresholds").then_some(signal)
    }
}

/// What an answer to a handshake holds.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandshakeReply {
    /// The status to answer with.
    pub status: u16,
    /// The headers to answer with.
    pub headers: Vec<(String, String)>,
    /// The body to answer with; empty where there is none.
    pub body: String,
}

/// What a request was.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum Received {
    /// Events, in the order of the request.
    Events(Vec<IncomingEvent>),
    /// Somebody asks whether events are wanted here: answer this.
    Handshake(HandshakeReply),
}

fn check_body(operation: &'static str, body: &[u8]) -> Result<()> {
    if body.len() <= MAX_BODY {
        Ok(())
    } else {
        Err(Error::limit(operation, "the body's size", MAX_BODY, body.len()))
    }
}

fn check_count(operation: &'static str, events: usize) -> Result<()> {
    if events <= MAX_EVENTS {
        Ok(())
    } else {
        Err(Error::limit(operation, "the number of events", MAX_EVENTS, events))
    }
}

/// Reads JSON; what is nested more than 127 times is refused.
fn json(operation: &'static str, body: &[u8]) -> Result<Value> {
    check_body(operation, body)?;
    let bad = |source: serde_json::Error| {
        let error = Error::invalid(operation, "body", "is not JSON");
        error.with("line", source.line()).with("column", source.column()).with_source(source)
    };
    serde_json::from_slice(body).map_err(bad)
}

/// A required text.
fn text(
    operation: &'static str,
    place: usize,
    fields: &Map<String, Value>,
    key: &'static str,
) -> Result<String> {
    let bad = |what: String| Error::invalid(operation, key, what).with("event", place);
    match fields.get(key) {
        Some(Value::String(text)) if (1..=MAX_TEXT).contains(&text.len()) => Ok(text.clone()),
        Some(Value::String(text)) => Err(bad(format!("must have 1 to {MAX_TEXT} bytes, got {}", text.len()))),
        Some(_) => Err(bad("must be a text".to_owned())),
        None => Err(bad("is missing".to_owned())),
    }
}

/// A text that may be missing or null.
fn optional(
    operation: &'static str,
    place: usize,
    fields: &Map<String, Value>,
    key: &'static str,
) -> Result<Option<String>> {
    match fields.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(_) => text(operation, place, fields, key).map(Some),
    }
}

/// A moment, as RFC 3339 writes it.
fn time(
    operation: &'static str,
    place: usize,
    field: &'static str,
    text: Option<&str>,
) -> Result<Option<Timestamp>> {
    let Some(text) = text else { return Ok(None) };
    text.parse().map(Some).map_err(|source: chrono::ParseError| {
        let error = Error::invalid(operation, field, "is not a time of RFC 3339").with("event", place);
        error.with("value", text).with_source(source)
    })
}
