//! Alerts as CloudEvents.

use chrono::SecondsFormat;
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind, Result};
use crate::monitor::{Alert, AlertStatus};

/// The envelope of a CloudEvent 1.0 in the structured JSON format (`application/cloudevents+json`).
#[derive(Serialize)]
struct Envelope<'a> {
    specversion: &'static str,
    id: &'a str,
    source: String,
    #[serde(rename = "type")]
    kind: &'static str,
    subject: &'a str,
    time: String,
    datacontenttype: &'static str,
    data: &'a Alert,
}

/// An alert as a CloudEvent 1.0 in structured JSON.
///
/// * `id` is the alert's key, and `source` is the given one: together they are the identity, so that a receiver knows an alert
///   that is sent again.
/// * `type` is `mlops.alert.firing` or `mlops.alert.resolved`; `subject` is the signal (left out where it is empty); `time` is
///   the alert's, in RFC 3339; `data` is the alert as it is kept everywhere else.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for a `source` that is empty or has characters that no URI reference has.
///
/// ```
/// use mlops_core::IdempotencyKey;
/// use mlops_core::monitor::sink::alert_event;
/// use mlops_core::monitor::{Alert, Severity};
/// let at = "2026-01-01T00:00:00Z".parse()?;
/// let alert = Alert::new(IdempotencyKey::new("k")?, "diabetes".parse()?, "inputs", Severity::Warning, "age drifted", at);
/// let event = alert_event(&alert, "/mlops/monitors/diabetes")?;
/// assert_eq!(event["type"], "mlops.alert.firing");
/// assert_eq!(event["data"]["message"], "age drifted");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn alert_event(alert: &Alert, source: &str) -> Result<Value> {
    const OP: &str = "alert_event";
    let of_uri = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    if source.is_empty() || !source.bytes().all(of_uri) {
        return Err(Error::invalid(OP, "source", "is not a URI reference").with("value", source));
    }
    let envelope = Envelope {
        specversion: "1.0",
        id: alert.key.as_str(),
        source: source.to_owned(),
        kind: match alert.status {
            AlertStatus::Firing => "mlops.alert.firing",
            AlertStatus::Resolved => "mlops.alert.resolved",
        },
        subject: &alert.signal,
        time: alert.at.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        datacontenttype: "application/json",
        data: alert,
    };
    let mut event = serde_json::to_value(envelope).map_err(|source| {
        Error::new(ErrorKind::Internal, OP, "cannot be written down").with_source(source)
    })?;
    // The specification demands that an attribute is not empty.
    if event.get("subject") == Some(&json!(""))
        && let Some(fields) = event.as_object_mut()
    {
        fields.remove("subject");
    }
    Ok(event)
}
