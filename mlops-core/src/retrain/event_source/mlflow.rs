//! MLflow's webhooks.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::{IncomingEvent, Received, check_body, json, text};
use crate::error::{Error, Result};
use crate::governance::Secret;
use crate::hash::{base64, mac};
use crate::monitor::sink::{SignatureError, header_once, recent, signed_by_any};
use crate::time::Timestamp;

const RECEIVE: &str = "MlflowWebhook::receive";

/// Reads what MLflow 3 sends to a webhook: `entity` and `action` become the kind `mlflow.<entity>.<action>`
/// (`mlflow.model_version.created`), the delivery's id the event's.
///
/// The request has to be signed: the header `X-MLflow-Signature` holds `v1,` and the base64 of HMAC-SHA256 with the secret over
/// `delivery id.timestamp.body`, of `X-MLflow-Delivery-Id` and `X-MLflow-Timestamp`. One of several secrets has to fit, so that
/// they can be changed. Compared in constant time.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::governance::Secret;
/// use mlops_core::retrain::event_source::{MlflowWebhook, Received};
/// let receiver = MlflowWebhook::new("mlflow", vec![Secret::new("a secret")])?;
/// let body = br#"{"entity": "model_version", "action": "created", "timestamp": "2026-01-01T00:00:00Z", "data": {"name": "diabetes"}}"#;
/// let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
/// let headers = [
///     header("X-MLflow-Delivery-Id", "d1"),
///     header("X-MLflow-Timestamp", "1767225600"),
///     header("X-MLflow-Signature", &receiver.sign("d1", "1767225600", body)[0]),
/// ];
/// let Received::Events(events) = receiver.receive(&headers, body, "2026-01-01T00:00:01Z".parse()?)? else {
///     return Err("a handshake".into());
/// };
/// assert_eq!(events[0].kind, "mlflow.model_version.created");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct MlflowWebhook {
    source: String,
    secrets: Vec<Secret>,
    tolerance: Duration,
}

impl fmt::Debug for MlflowWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MlflowWebhook").field("source", &self.source).finish_non_exhaustive()
    }
}

impl MlflowWebhook {
    /// Events of a server that is called `source` here, signed with one of 1 to 8 secrets, at most five minutes ago.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a source that is empty or longer than 1 024 bytes, for no
    /// secret, more than 8, or an empty one.
    pub fn new(source: impl Into<String>, secrets: Vec<Secret>) -> Result<Self> {
        const OP: &str = "MlflowWebhook::new";
        let source = source.into();
        if !(1..=1_024).contains(&source.len()) {
            return Err(Error::invalid(OP, "source", "must have 1 to 1 024 bytes"));
        }
        if !(1..=8).contains(&secrets.len()) || secrets.iter().any(|secret| secret.expose().is_empty()) {
            return Err(Error::invalid(OP, "secrets", "needs 1 to 8, none of them empty"));
        }
        Ok(Self { source, secrets, tolerance: Duration::from_secs(300) })
    }

    /// Sets how far the sender's timestamp may be from the clock here.
    #[must_use]
    pub fn with_tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// The signature by each secret, for senders and tests.
    pub fn sign(&self, delivery: &str, timestamp: &str, body: &[u8]) -> Vec<String> {
        let parts: [&[u8]; 5] = [delivery.as_bytes(), b".", timestamp.as_bytes(), b".", body];
        let sign = |secret: &Secret| {
            let digest = mac::hmac_sha256(secret.expose().as_bytes(), &parts);
            format!("v1,{}", base64::encode(digest.as_bytes()))
        };
        self.secrets.iter().map(sign).collect()
    }

    /// Reads a POST request.
    ///
    /// # Errors
    /// [`ErrorKind::Auth`](crate::ErrorKind::Auth) for what is not signed as it should be;
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a body that is no event;
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for one of more than one mebibyte.
    pub fn receive(&self, headers: &[(String, String)], body: &[u8], now: Timestamp) -> Result<Received> {
        check_body(RECEIVE, body)?;
        let id = header_once(headers, "x-mlflow-delivery-id")?;
        let sent = header_once(headers, "x-mlflow-timestamp")?;
        recent("x-mlflow-timestamp", sent, now, self.tolerance)?;
        let given = header_once(headers, "x-mlflow-signature")?;
        if !signed_by_any(given, &self.sign(id, sent, body)) {
            return Err(SignatureError::Mismatch.into());
        }
        let Value::Object(fields) = json(RECEIVE, body)? else {
            return Err(Error::invalid(RECEIVE, "body", "an event is an object"));
        };
        if !(1..=1_024).contains(&id.len()) {
            return Err(Error::invalid(RECEIVE, "x-mlflow-delivery-id", "must have 1 to 1 024 bytes"));
        }
        let (entity, action) = (text(RECEIVE, 0, &fields, "entity")?, text(RECEIVE, 0, &fields, "action")?);
        let at = fields.get("timestamp").and_then(Value::as_str);
        let data = fields.get("data").cloned().unwrap_or_default();
        Ok(Received::Events(vec![IncomingEvent {
            id: id.to_owned(),
            source: self.source.clone(),
            kind: format!("mlflow.{}.{}", entity.to_ascii_lowercase(), action.to_ascii_lowercase()),
            subject: data.get("name").and_then(Value::as_str).map(str::to_owned),
            time: super::time(RECEIVE, 0, "timestamp", at)?,
            data,
            extensions: BTreeMap::new(),
        }]))
    }
}
