//! Alerts as signed webhooks.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;
use serde::{Deserialize, Serialize};

use super::{Delivered, WebhookRequest, WebhookResponse, WebhookSecret, WebhookTransport, alert_event};
use crate::error::{Error, ErrorKind, Result};
use crate::hash::Digest;
use crate::id::{IdempotencyKey, check_text};
use crate::monitor::{Alert, AlertReceipt, AlertSink};
use crate::num::Random;
use crate::time::{Backoff, Clock, Pause, Timestamp, duration_text, lock};

const DELIVER: &str = "AlertSink::deliver";
const CHECK: &str = "WebhookAlertSink::new";
/// The most attempts that are remembered.
const RECORDS: usize = 1_000;

/// How often a webhook is tried, and how long after one another.
///
/// The n-th wait is drawn evenly from the upper half of `base` · 2ⁿ⁻¹, at most `longest`; what is drawn follows from the key of
/// the alert and n alone. A receiver that asks for more with `Retry-After` gets it, up to `longest`: if it asks for more than
/// that, the delivery ends with an error that can be tried again later.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookRetry {
    /// The most attempts, 1 to 100. Default: 5.
    pub attempts: u32,
    /// The longest first wait. Default: 1 s.
    #[serde(with = "duration_text")]
    pub base: Duration,
    /// The longest wait of all. Default: 1 minute.
    #[serde(with = "duration_text")]
    pub longest: Duration,
}

impl Default for WebhookRetry {
    fn default() -> Self {
        Self { attempts: 5, base: Duration::from_secs(1), longest: Duration::from_secs(60) }
    }
}

impl WebhookRetry {
    /// With at most so many attempts, 1 to 100.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// With this longest first wait.
    #[must_use]
    pub fn with_base(mut self, base: Duration) -> Self {
        self.base = base;
        self
    }

    /// With this longest wait of all.
    #[must_use]
    pub fn with_longest(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// The wait after attempt `n`, counted from 1.
    fn wait(&self, n: u32, key: &IdempotencyKey) -> Duration {
        let mut seed = [0; 8];
        seed.iter_mut()
            .zip(Digest::of(key.as_str().as_bytes()).as_bytes())
            .for_each(|(to, from)| *to = *from);
        let mut random = Random::new(u64::from_le_bytes(seed)).stream("webhook.wait").nth(n.into());
        Backoff { base: self.base, longest: self.longest }.wait(n, 0.5, random.next_f64())
    }
}

/// One attempt to deliver an alert.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookAttempt {
    /// The alert.
    pub key: IdempotencyKey,
    /// Counts the attempts of one delivery, from 1.
    pub attempt: u32,
    /// When.
    pub at: Timestamp,
    /// The status that was answered; `None` where there was no answer.
    pub status: Option<u16>,
    /// Why it failed; `None` where it arrived.
    pub failure: Option<String>,
    /// How long the next attempt waits; `None` where there is none.
    pub wait: Option<Duration>,
}

/// Where a webhook leads.
#[non_exhaustive]
#[derive(Clone)]
pub struct WebhookTarget {
    /// What it is called in receipts and errors, which never say the URL.
    pub name: String,
    /// The receiver. For many receivers it is a secret: it does not print.
    pub url: String,
    /// Where the alerts come from, a URI reference: `/mlops/monitors/diabetes`.
    pub source: String,
    /// Keys to sign with, 1 to 8 of them: every alert is signed with each, so that keys can be changed on either side first.
    pub secrets: Vec<WebhookSecret>,
    /// How often it is tried.
    pub retry: WebhookRetry,
}

impl WebhookTarget {
    /// A receiver, tried as often as [`WebhookRetry`] says by default.
    pub fn new(
        name: impl Into<String>,
        url: impl Into<String>,
        source: impl Into<String>,
        secrets: impl IntoIterator<Item = WebhookSecret>,
    ) -> Self {
        Self {
            name: name.into(),
            url: url.into(),
            source: source.into(),
            secrets: secrets.into_iter().collect(),
            retry: WebhookRetry::default(),
        }
    }

    /// Tried like this.
    #[must_use]
    pub fn with_retry(mut self, retry: WebhookRetry) -> Self {
        self.retry = retry;
        self
    }
}

impl fmt::Debug for WebhookTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookTarget")
            .field("name", &self.name)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

/// Through what a webhook works.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct WebhookIo {
    /// What posts.
    pub transport: Arc<dyn WebhookTransport>,
    /// What waits between attempts.
    pub pause: Arc<dyn Pause>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

impl WebhookIo {
    /// This transport, pause and clock.
    pub fn new(transport: Arc<dyn WebhookTransport>, pause: Arc<dyn Pause>, clock: Arc<dyn Clock>) -> Self {
        Self { transport, pause, clock }
    }
}

/// Posts alerts as CloudEvents, signed as Standard Webhooks ask.
///
/// * **Body**: [`alert_event`] as `application/cloudevents+json`. **Headers**: `webhook-id` is the alert's key, the same on
///   every attempt; `webhook-timestamp` and `webhook-signature` are of the attempt. [`verify_webhook`](super::verify_webhook) is
///   the other side.
/// * **Arrived** is any status from 200 to 299. 408, 425, 429, 500 and above are tried again, and so is an error of the
///   transport that says it may be; everything else is final: a redirect, 404, 410.
/// * **Failures** are errors, never silence, and every attempt is in [`attempts`](Self::attempts), the last 1 000 of them.
/// * Alerts are posted one at a time, in the order of the calls. Keys that arrived are remembered in this process, the last
///   100 000 of them; after a restart, the receiver knows a second one by its id.
#[derive(Clone)]
pub struct WebhookAlertSink {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    url: String,
    source: String,
    secrets: Vec<WebhookSecret>,
    retry: WebhookRetry,
    transport: Arc<dyn WebhookTransport>,
    pause: Arc<dyn Pause>,
    clock: Arc<dyn Clock>,
    /// Held while an alert is posted.
    delivered: futures_util::lock::Mutex<Delivered>,
    attempts: Mutex<VecDeque<WebhookAttempt>>,
}

impl WebhookAlertSink {
    /// A webhook.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a name that is empty, a URL that is not `https` (`http` is for the own machine alone:
    /// `127.0.0.1`, `[::1]`, `localhost`), a source that is no URI reference, no secret or more than 8, retries out of range.
    pub fn new(target: WebhookTarget, through: WebhookIo) -> Result<Self> {
        let WebhookTarget { name, url, source, secrets, retry } = target;
        let WebhookIo { transport, pause, clock } = through;
        if name.trim().is_empty() || name.len() > 256 {
            return Err(Error::invalid(CHECK, "name", "has 1 to 256 bytes"));
        }
        check_url(&url)?;
        if !(1..=8).contains(&secrets.len()) {
            return Err(Error::invalid(CHECK, "secrets", format!("needs 1 to 8, got {}", secrets.len())));
        }
        if !(1..=100).contains(&retry.attempts) {
            return Err(Error::invalid(
                CHECK,
                "attempts",
                format!("must lie in 1 to 100, got {}", retry.attempts),
            ));
        }
        if retry.longest > Duration::from_secs(86_400) || retry.base > retry.longest {
            return Err(Error::invalid(
                CHECK,
                "longest",
                "must be at least the first wait, and at most a day",
            ));
        }
        // What would fail at every alert fails now.
        let key = IdempotencyKey::new("check")?;
        let monitor = crate::id::MonitorName::new("check")?;
        alert_event(
            &Alert::new(key, monitor, "", crate::monitor::Severity::Info, "", DateTime::UNIX_EPOCH),
            &source,
        )?;
        let (delivered, attempts) = (futures_util::lock::Mutex::default(), Mutex::default());
        let inner = Inner { name, url, source, secrets, retry, transport, pause, clock, delivered, attempts };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The request for an alert at a time: pure, for those who send themselves.
    ///
    /// # Errors
    /// As [`alert_event`].
    pub fn request(&self, alert: &Alert, at: Timestamp) -> Result<WebhookRequest> {
        let body = serde_json::to_vec(&alert_event(alert, &self.inner.source)?).map_err(|source| {
            Error::new(ErrorKind::Internal, DELIVER, "cannot write the alert down").with_source(source)
        })?;
        let (id, timestamp) = (alert.key.as_str(), at.timestamp());
        let signatures: Vec<String> =
            self.inner.secrets.iter().map(|secret| secret.sign(id, timestamp, &body)).collect();
        let headers = [
            ("content-type", "application/cloudevents+json; charset=utf-8".to_owned()),
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", timestamp.to_string()),
            ("webhook-signature", signatures.join(" ")),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value)).into();
        Ok(WebhookRequest::new(self.inner.url.clone(), headers, body))
    }

    /// The last 1 000 attempts, oldest first.
    pub fn attempts(&self) -> Vec<WebhookAttempt> {
        lock(&self.inner.attempts).iter().cloned().collect()
    }

    fn remember(&self, attempt: WebhookAttempt) {
        let mut attempts = lock(&self.inner.attempts);
        attempts.push_back(attempt);
        let over = attempts.len().saturating_sub(RECORDS);
        attempts.drain(..over);
    }

    /// Tries until it arrived, or trying is of no use.
    async fn post(&self, alert: &Alert) -> Result<()> {
        let retry = &self.inner.retry;
        for n in 1..=retry.attempts {
            let at = self.inner.clock.now();
            let answer = self.inner.transport.post(&self.request(alert, at)?).await;
            let (status, failure) = match judge(answer, at) {
                Ok(status) => (Some(status), None),
                Err(failure) => (failure.status, Some(failure)),
            };
            let wait = failure.as_ref().and_then(|failure| failure.wait(retry, n, &alert.key));
            let message = failure.as_ref().map(|failure| failure.error.to_string());
            let key = alert.key.clone();
            self.remember(WebhookAttempt { key, attempt: n, at, status, failure: message, wait });
            match (failure, wait) {
                (None, _) => return Ok(()),
                (Some(_), Some(wait)) => self.inner.pause.pause(wait).await,
                (Some(failure), None) => {
                    return Err(failure.error.with("sink", &self.inner.name).with("attempts", n));
                }
            }
        }
        // Not reached: the last attempt has no wait after it.
        Err(Error::new(ErrorKind::Internal, DELIVER, "no attempt was made"))
    }
}

/// An attempt that failed.
struct Failure {
    status: Option<u16>,
    error: Error,
    retry_after: Option<Duration>,
}

impl Failure {
    /// How long the next attempt waits after the `n`-th; `None` where there is none.
    fn wait(&self, retry: &WebhookRetry, n: u32, key: &IdempotencyKey) -> Option<Duration> {
        if n >= retry.attempts || !self.error.is_retryable() {
            return None;
        }
        let asked = self.retry_after.unwrap_or_default();
        (asked <= retry.longest).then(|| retry.wait(n, key).max(asked))
    }
}

/// What an answer says.
fn judge(answer: Result<WebhookResponse>, now: Timestamp) -> Result<u16, Failure> {
    let response = match answer {
        Ok(response) => response,
        Err(error) => return Err(Failure { status: None, error, retry_after: None }),
    };
    let status = response.status;
    let kind = match status {
        200..=299 => return Ok(status),
        408 => ErrorKind::Timeout,
        429 => ErrorKind::RateLimited,
        425 | 500.. => ErrorKind::Busy,
        401 | 403 => ErrorKind::Auth,
        404 | 410 => ErrorKind::NotFound,
        _ => ErrorKind::Rejected,
    };
    let retry_after = response.retry_after.as_deref().and_then(|text| retry_after(text, now));
    let mut error = Error::new(kind, DELIVER, "the receiver did not take it").with("status", status);
    if let Some(after) = retry_after {
        error = error.with("retry_after", duration_text::format(after));
    }
    Err(Failure { status: Some(status), error, retry_after })
}

/// `Retry-After`: seconds, or a date as HTTP writes it (IMF-fixdate); what is neither is ignored, as RFC 9110 has it.
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = chrono::NaiveDateTime::parse_from_str(text, "%a, %d %b %Y %H:%M:%S GMT").ok()?.and_utc();
    Some((date - now).to_std().unwrap_or_default())
}

/// Secrets and alerts do not travel in the clear.
fn check_url(url: &str) -> Result<()> {
    let bad = |message: &str| Err(Error::invalid(CHECK, "url", message));
    let plain = url.bytes().all(|byte| byte.is_ascii_graphic()) && url.len() <= 2_048;
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if !plain || authority.is_empty() {
        return bad("is an absolute URL of at most 2 048 printable ASCII characters");
    }
    if authority.contains('@') {
        return bad("holds no user and no password");
    }
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    match scheme.to_ascii_lowercase().as_str() {
        "https" => Ok(()),
        "http" if matches!(host, "127.0.0.1" | "[::1]" | "localhost") => Ok(()),
        _ => bad("begins with `https`, unless it leads to this machine"),
    }
}

impl fmt::Debug for WebhookAlertSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookAlertSink")
            .field("name", &self.inner.name)
            .field("retry", &self.inner.retry)
            .field("transport", &self.inner.transport)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl AlertSink for WebhookAlertSink {
    async fn deliver(&self, alert: &Alert) -> Result<AlertReceipt> {
        check_text(DELIVER, "the signal's name", &alert.signal)?;
        check_text(DELIVER, "the message", &alert.message)?;
        let mut delivered = self.inner.delivered.lock().await;
        let duplicate = delivered.contains(&alert.key);
        if !duplicate {
            self.post(alert).await?;
            delivered.insert(&alert.key);
        }
        Ok(AlertReceipt::new(duplicate, self.inner.name.clone()))
    }
}
