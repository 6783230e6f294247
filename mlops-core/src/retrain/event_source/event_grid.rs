//! Azure Event Grid, in its own schema.

use serde_json::{Map, Value, json};

use super::{HandshakeReply, IncomingEvent, Received, check_count, json, optional, text, time};
use crate::error::{Error, Result};

const RECEIVE: &str = "EventGrid::receive";
/// What the schema names; everything else is kept as an extension.
const KNOWN: [&str; 8] =
    ["topic", "subject", "eventType", "eventTime", "id", "data", "dataVersion", "metadataVersion"];

/// Reads what Azure Event Grid sends in its own schema. For subscriptions in the CloudEvents schema, see
/// [`CloudEvents`](super::CloudEvents).
#[derive(Clone, Copy, Debug)]
pub struct EventGrid;

impl EventGrid {
    /// Reads a POST request: a list of events, or one alone.
    ///
    /// * A `Microsoft.EventGrid.SubscriptionValidationEvent` is a handshake: its code goes back in `validationResponse`. Its
    ///   `validationUrl` is never called, since anybody can send one.
    /// * `topic` (the source), `id` and `eventType` are required, and at most 1 024 bytes; `subject`, `eventTime` and `data` may be
    ///   missing; fields that are not known are kept as extensions.
    /// * Event Grid signs nothing: whoever knows the address can send events. Keep it secret, or ask for a token in front.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the field and the event's place; then no event of the
    /// request is taken. [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for a body of more than one mebibyte or more
    /// than 5 000 events.
    ///
    /// ```
    /// use mlops_core::retrain::event_source::{EventGrid, Received};
    /// let body = br#"[{"id": "1", "topic": "/subscriptions/s", "subject": "", "eventTime": "2026-01-01T00:00:00Z",
    ///   "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "512d38b6"}}]"#;
    /// let Received::Handshake(reply) = EventGrid::receive(body)? else { return Err("events".into()) };
    /// assert_eq!((reply.status, reply.body.as_str()), (200, r#"{"validationResponse":"512d38b6"}"#));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn receive(body: &[u8]) -> Result<Received> {
        let events = match json(RECEIVE, body)? {
            Value::Array(events) => events,
            event @ Value::Object(_) => vec![event],
            _ => return Err(Error::invalid(RECEIVE, "body", "is neither a list of events nor an event")),
        };
        check_count(RECEIVE, events.len())?;
        let alone = events.len() == 1;
        let events = events.into_iter().enumerate().map(|(place, event)| read(place, event));
        let events = events.collect::<Result<Vec<_>>>()?;
        let asks = |event: &&IncomingEvent| {
            event.kind.eq_ignore_ascii_case("Microsoft.EventGrid.SubscriptionValidationEvent")
        };
        match events.iter().find(asks) {
            Some(event) if alone => handshake(event),
            // Of several events, none is lost over a handshake.
            Some(_) => Err(Error::invalid(RECEIVE, "eventType", "a handshake comes alone")),
            None => Ok(Received::Events(events)),
        }
    }
}

fn handshake(event: &IncomingEvent) -> Result<Received> {
    let code = event.at(&["validationCode"]).and_then(Value::as_str);
    let code = code.filter(|code| (1..=1_024).contains(&code.len()));
    let code = code.ok_or_else(|| Error::invalid(RECEIVE, "validationCode", "must have 1 to 1 024 bytes"))?;
    let body = json!({ "validationResponse": code }).to_string();
    let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    Ok(Received::Handshake(HandshakeReply { status: 200, headers, body }))
}

fn read(place: usize, event: Value) -> Result<IncomingEvent> {
    let Value::Object(mut fields) = event else {
        return Err(Error::invalid(RECEIVE, "body", "an event is an object").with("event", place));
    };
    let data = fields.remove("data").unwrap_or_default();
    let at = optional(RECEIVE, place, &fields, "eventTime")?;
    let extension = |(key, value): (&String, &Value)| (key.clone(), value.clone());
    let unknown = |fields: &Map<String, Value>| {
        fields.iter().filter(|(key, _)| !KNOWN.contains(&key.as_str())).map(extension).collect()
    };
    Ok(IncomingEvent {
        id: text(RECEIVE, place, &fields, "id")?,
        source: text(RECEIVE, place, &fields, "topic")?,
        kind: text(RECEIVE, place, &fields, "eventType")?,
        subject: optional(RECEIVE, place, &fields, "subject")?,
        time: time(RECEIVE, place, "eventTime", at.as_deref())?,
        data,
        extensions: unknown(&fields),
    })
}
