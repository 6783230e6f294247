//! CloudEvents 1.0 over HTTP.

use serde_json::{Map, Value};

use super::{HandshakeReply, IncomingEvent, Received, check_body, check_count, json, optional, text, time};
use crate::error::{Error, ErrorKind, Result};
use crate::hash::base64;

const RECEIVE: &str = "CloudEvents::receive";
const HANDSHAKE: &str = "CloudEvents::handshake";
/// What the specification names; everything else is an extension.
const KNOWN: [&str; 10] = [
    "id",
    "source",
    "specversion",
    "type",
    "datacontenttype",
    "dataschema",
    "subject",
    "time",
    "data",
    "data_base64",
];

/// Who may send CloudEvents here, and how many.
///
/// # Example: a handshake, and an event
/// ```
/// use mlops_core::retrain::event_source::{CloudEvents, Received};
/// let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
/// let receiver = CloudEvents::new(["eventgrid.azure.net"])?.with_rate(120)?;
///
/// // OPTIONS: somebody asks.
/// let reply = receiver.handshake(&[header("WebHook-Request-Origin", "eventgrid.azure.net")])?;
/// assert!(reply.headers.contains(&header("WebHook-Allowed-Origin", "eventgrid.azure.net")));
///
/// // POST: something happened.
/// let body = br#"{"specversion": "1.0", "id": "7", "source": "lake", "type": "data.registered"}"#;
/// let headers = [header("Content-Type", "application/cloudevents+json; charset=utf-8")];
/// let Received::Events(events) = receiver.receive(&headers, body)? else { return Err("a handshake".into()) };
/// assert_eq!((events[0].source.as_str(), events[0].kind.as_str()), ("lake", "data.registered"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudEvents {
    origins: Vec<String>,
    rate: Option<u32>,
}

impl CloudEvents {
    /// Takes events from senders that ask from one of these origins (host names); `*` is every origin.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for no origin, more than 100, or one that is no host name.
    pub fn new(origins: impl IntoIterator<Item = impl Into<String>>) -> Result<Self> {
        const OP: &str = "CloudEvents::new";
        let origins: Vec<String> = origins.into_iter().map(Into::into).collect();
        if !(1..=100).contains(&origins.len()) {
            return Err(Error::invalid(OP, "origins", format!("needs 1 to 100, got {}", origins.len())));
        }
        match origins.iter().find(|origin| *origin != "*" && !is_host(origin)) {
            Some(bad) => Err(Error::invalid(OP, "origins", "is not a host name").with("value", bad)),
            None => Ok(Self { origins, rate: None }),
        }
    }

    /// Asks senders for at most so many requests a minute.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for 0.
    pub fn with_rate(mut self, requests_a_minute: u32) -> Result<Self> {
        if requests_a_minute == 0 {
            return Err(Error::invalid("CloudEvents::with_rate", "requests_a_minute", "must be at least 1"));
        }
        self.rate = Some(requests_a_minute);
        Ok(self)
    }

    /// Answers an OPTIONS request that asks whether events are wanted here (HTTP 1.1 Web Hooks for Event Delivery 1.0.2).
    ///
    /// The answer names the origin that asked, and a rate where one is set or was asked for (`*` means any). The address in
    /// `WebHook-Request-Callback` is not called: the permission is given here and now, or not.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] without one `WebHook-Request-Origin`, [`ErrorKind::Auth`] for an origin that is not allowed:
    /// answer without the header then, which is a refusal.
    pub fn handshake(&self, headers: &[(String, String)]) -> Result<HandshakeReply> {
        let origin =
            header(HANDSHAKE, headers, "webhook-request-origin")?
                .filter(|origin| is_host(origin))
                .ok_or_else(|| Error::invalid(HANDSHAKE, "webhook-request-origin", "must be a host name"))?;
        let allowed = |known: &String| known == "*" || known.eq_ignore_ascii_case(origin);
        if !self.origins.iter().any(allowed) {
            let error = Error::new(ErrorKind::Auth, HANDSHAKE, "the origin is not allowed");
            return Err(error.with("origin", origin));
        }
        let mut reply = vec![
            ("Allow".to_owned(), "OPTIONS, POST".to_owned()),
            ("WebHook-Allowed-Origin".to_owned(), origin.to_owned()),
        ];
        let asked = header(HANDSHAKE, headers, "webhook-request-rate")?;
        let rate = self.rate.map(|rate| rate.to_string()).or_else(|| asked.map(|_| "*".to_owned()));
        reply.extend(rate.map(|rate| ("WebHook-Allowed-Rate".to_owned(), rate)));
        Ok(HandshakeReply { status: 200, headers: reply, body: String::new() })
    }

    /// Reads a POST request: one event in structured mode (`application/cloudevents+json`), many in batched mode
    /// (`application/cloudevents-batch+json`), one in binary mode (`ce-…` headers, of which the body is the data).
    ///
    /// * `id`, `source`, `specversion` (`1.0`) and `type` are required, and at most 1 024 bytes.
    /// * Attributes that the specification does not name are kept as extensions; in binary mode as texts.
    /// * Data that is no JSON, also in `data_base64`, is null here: a trigger has no use for it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] that names the attribute and the event's place; then no event of the request is taken.
    /// [`ErrorKind::LimitExceeded`] for a body of more than one mebibyte or more than 5 000 events.
    /// [`ErrorKind::Unsupported`] for another content type without `ce-…` headers.
    pub fn receive(&self, headers: &[(String, String)], body: &[u8]) -> Result<Received> {
        check_body(RECEIVE, body)?;
        let kind = header(RECEIVE, headers, "content-type")?.unwrap_or_default();
        let media = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let events = match media.as_str() {
            "application/cloudevents+json" => vec![structured(0, json(RECEIVE, body)?)?],
            "application/cloudevents-batch+json" => batch(json(RECEIVE, body)?)?,
            _ if header(RECEIVE, headers, "ce-specversion")?.is_some() => {
                vec![binary(headers, &media, body)?]
            }
            _ => {
                let error =
                    Error::new(ErrorKind::Unsupported, RECEIVE, "is no content type of CloudEvents in JSON");
                return Err(error.with("content_type", kind));
            }
        };
        Ok(Received::Events(events))
    }
}

/// The value of a header that stands once, if it does.
fn header<'a>(
    operation: &'static str,
    headers: &'a [(String, String)],
    name: &str,
) -> Result<Option<&'a str>> {
    let mut found =
        headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
    match (found.next(), found.next()) {
        (value, None) => Ok(value),
        _ => Err(Error::invalid(operation, name, "stands twice")),
    }
}

fn is_host(text: &str) -> bool {
    let of_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':');
    (1..=255).contains(&text.len()) && text.bytes().all(of_host)
}

fn batch(document: Value) -> Result<Vec<IncomingEvent>> {
    let Value::Array(events) = document else {
        return Err(Error::invalid(RECEIVE, "body", "a batch is a list"));
    };
    check_count(RECEIVE, events.len())?;
    events.into_iter().enumerate().map(|(place, event)| structured(place, event)).collect()
}

fn structured(place: usize, event: Value) -> Result<IncomingEvent> {
    let Value::Object(mut fields) = event else {
        return Err(Error::invalid(RECEIVE, "body", "an event is an object").with("event", place));
    };
    let data = match (fields.remove("data"), fields.remove("data_base64")) {
        (Some(_), Some(_)) => {
            return Err(Error::invalid(RECEIVE, "data_base64", "stands beside `data`").with("event", place));
        }
        (Some(data), None) => data,
        (None, Some(Value::String(encoded))) => {
            let bytes = base64::decode(&encoded).ok_or_else(|| {
                Error::invalid(RECEIVE, "data_base64", "is not base64").with("event", place)
            })?;
            serde_json::from_slice(&bytes).unwrap_or_default()
        }
        (None, Some(_)) => {
            return Err(Error::invalid(RECEIVE, "data_base64", "must be a text").with("event", place));
        }
        (None, None) => Value::Null,
    };
    event_of(place, &fields, data)
}

/// The event with these attributes.
pub(super) fn event_of(place: usize, fields: &Map<String, Value>, data: Value) -> Result<IncomingEvent> {
    let version = text(RECEIVE, place, fields, "specversion")?;
    if version != "1.0" {
        let error = Error::invalid(RECEIVE, "specversion", "must be 1.0");
        return Err(error.with("event", place).with("value", version));
    }
    let at = optional(RECEIVE, place, fields, "time")?;
    let extensions = fields.iter().filter(|(key, value)| !KNOWN.contains(&key.as_str()) && !value.is_null());
    Ok(IncomingEvent {
        id: text(RECEIVE, place, fields, "id")?,
        source: text(RECEIVE, place, fields, "source")?,
        kind: text(RECEIVE, place, fields, "type")?,
        subject: optional(RECEIVE, place, fields, "subject")?,
        time: time(RECEIVE, place, "time", at.as_deref())?,
        data,
        extensions: extensions.map(|(key, value)| (key.clone(), value.clone())).collect(),
    })
}

fn binary(headers: &[(String, String)], media: &str, body: &[u8]) -> Result<IncomingEvent> {
    let mut fields = Map::new();
    for (name, value) in headers {
        let Some(name) = name.to_ascii_lowercase().strip_prefix("ce-").map(str::to_owned) else { continue };
        if fields.insert(name.clone(), Value::String(unescaped(value.trim()))).is_some() {
            return Err(Error::invalid(RECEIVE, &name, "stands twice"));
        }
    }
    let is_json = media.is_empty() || media == "application/json" || media.ends_with("+json");
    let data = if is_json && !body.is_empty() { json(RECEIVE, body)? } else { Value::Null };
    event_of(0, &fields, data)
}

/// A header's value with its `%xx` undone, as the HTTP binding asks; what is no UTF-8 then stays as it is.
fn unescaped(value: &str) -> String {
    let hex = |at: usize| value.get(at + 1..at + 3).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let mut bytes = Vec::with_capacity(value.len());
    let mut at = 0;
    while let Some(byte) = value.as_bytes().get(at) {
        match hex(at).filter(|_| *byte == b'%') {
            Some(decoded) => {
                bytes.push(decoded);
                at += 3;
            }
            None => {
                bytes.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| value.to_owned())
}
