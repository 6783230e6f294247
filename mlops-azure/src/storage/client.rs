//! Requests to storage: signed, tried again, and with the service's errors read.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta};
use mlops_core::governance::Secret;
use mlops_core::time::{Clock, Timestamp};
use mlops_core::{Error, ErrorKind, Result};
use object_store::azure::{AzureAuthorizer, AzureCredential};
use object_store::client::HttpRequestBody;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde_json::json;
use tokio::time::Instant;

use super::account::StorageAccount;
use super::connect::outgoing;
use super::credential::{StorageCredential, secrets_of};
use crate::error::{self, Answer};
use crate::http::{HttpRequest, HttpTransport, Repeat, RetryPolicy, redact, retry};

/// The longest answer that is read whole: a piece of a blob, or a list of blocks.
const MAX_ANSWER: usize = 64 << 20;

/// A request to storage, before it is signed. Keys are checked by who makes it.
pub(super) struct Signed {
    pub operation: &'static str,
    pub method: Method,
    pub query: Vec<(&'static str, String)>,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

impl Signed {
    pub fn new(operation: &'static str, method: Method) -> Self {
        Self { operation, method, query: Vec::new(), headers: Vec::new(), body: Bytes::new() }
    }

    pub fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }
}

/// What storage answered, with its whole body.
pub(super) struct Answered {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// What travelled with the request, and may come back in an error's text.
    pub secrets: Vec<Secret>,
}

impl Answered {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The service's code: of the header, since an answer to HEAD has no body.
    pub fn code(&self) -> &str {
        self.header("x-ms-error-code").unwrap_or_default()
    }
}

/// Sends signed requests to one account.
pub(super) struct Client {
    pub account: StorageAccount,
    pub credential: StorageCredential,
    pub transport: Arc<dyn HttpTransport>,
    pub retry: RetryPolicy,
    pub timeout: Duration,
    pub clock: Arc<dyn Clock>,
    /// By how many seconds the service's clock is ahead of ours.
    pub ahead: AtomicI64,
}

impl Client {
    /// The address of a path below `base`; every segment is encoded.
    pub fn url(&self, operation: &'static str, base: &Url, segments: &[&str]) -> Result<Url> {
        let mut url = base.clone();
        url.path_segments_mut()
            .map_err(|()| Error::invalid(operation, "base", "is an address without paths"))?
            .pop_if_empty()
            .extend(segments);
        Ok(url)
    }

    /// What the service's clock says, as far as its last answer tells.
    pub fn service_now(&self) -> Timestamp {
        let ahead = TimeDelta::try_seconds(self.ahead.load(Ordering::Relaxed)).unwrap_or_default();
        self.clock.now().checked_add_signed(ahead).unwrap_or_else(|| self.clock.now())
    }

    /// Sends a request and returns the answer, whatever its status; an answer that breaks off is asked for again. A
    /// credential that is refused is replaced, once.
    pub async fn answer(&self, url: &Url, call: &Signed) -> Result<Answered> {
        let (started, total) = (Instant::now(), self.retry.total(self.timeout));
        let left = || total.saturating_sub(started.elapsed());
        let used = retry::before(call.operation, Some(left()), self.credential.get(call.operation)).await?;
        let answer = self.attempt(url, call, &used, left()).await?;
        let refused =
            answer.status == 401 || (answer.status == 403 && answer.code() == "AuthenticationFailed");
        if !refused || !self.credential.refuse(&used).await {
            return Ok(answer);
        }
        let renewed =
            retry::before(call.operation, Some(left()), self.credential.get(call.operation)).await?;
        self.attempt(url, call, &renewed, left()).await
    }

    /// As [`answer`](Self::answer), but an answer that is not a success is an error.
    pub async fn send(&self, url: &Url, call: &Signed) -> Result<Answered> {
        let answer = self.answer(url, call).await?;
        match answer.status {
            200..=299 => Ok(answer),
            _ => Err(self.error(call.operation, &answer)),
        }
    }

    async fn attempt(
        &self,
        url: &Url,
        call: &Signed,
        credential: &AzureCredential,
        left: Duration,
    ) -> Result<Answered> {
        let operation = call.operation;
        let request = self.signed(url, call, credential)?;
        let secrets = secrets_in(&request, credential);
        let (transport, policy) =
            (&*self.transport, RetryPolicy { deadline: Some(left), ..self.retry.clone() });
        // Every request here says the same when it is sent twice: what is created carries its condition.
        let sent = retry::send(transport, &policy, operation, Repeat::Safe, Some(MAX_ANSWER), request).await;
        let response = sent.map_err(|e| hide(e, &secrets))?;
        let body = response.body.collect(MAX_ANSWER).await?;
        self.note(&response.headers);
        Ok(Answered { status: response.status, headers: response.headers, body, secrets })
    }

    fn signed(&self, url: &Url, call: &Signed, credential: &AzureCredential) -> Result<HttpRequest> {
        let operation = call.operation;
        let bad = |field: &'static str| Error::invalid(operation, field, "cannot be sent to storage");
        let mut url = url.clone();
        if !call.query.is_empty() {
            url.query_pairs_mut()
                .extend_pairs(call.query.iter().map(|(name, value)| (*name, value.as_str())));
        }
        let body = HttpRequestBody::from(call.body.clone());
        let mut request = object_store::client::HttpRequest::new(body);
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = url.as_str().parse().map_err(|_| bad("url"))?;
        let headers = request.headers_mut();
        for (name, value) in &call.headers {
            let plain = value.bytes().all(|b| (0x20..0x7f).contains(&b));
            let value = HeaderValue::from_str(value)
                .ok()
                .filter(|_| plain)
                .ok_or_else(|| bad("headers").with("name", *name))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        if call.method == Method::PUT || call.method == Method::PATCH || !call.body.is_empty() {
            headers.insert("content-length", HeaderValue::from(call.body.len()));
        }
        if let Ok(id) = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()) {
            headers.insert("x-ms-client-request-id", id);
        }
        let signed = AzureAuthorizer::new(credential, self.account.name()).try_authorize(&mut request);
        signed.map_err(|_| Error::new(ErrorKind::Auth, operation, "the request cannot be signed"))?;
        outgoing(request, self.timeout).map_err(|_| bad("url"))
    }

    /// Remembers by how much the service's clock is ahead.
    fn note(&self, headers: &HeaderMap) {
        let date = headers.get("date").and_then(|value| value.to_str().ok());
        if let Some(theirs) = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok()) {
            let ahead = theirs.to_utc().signed_duration_since(self.clock.now()).num_seconds();
            self.ahead.store(ahead, Ordering::Relaxed);
        }
    }

    /// The error of an answer. Storage writes XML, and repeats the code in a header.
    pub fn error(&self, operation: &'static str, answer: &Answered) -> Error {
        storage_error(operation, answer)
    }
}

/// What of a request must not be seen: keys' signatures and tokens in a header, signatures in the address, as it is encoded and as it
/// is not.
fn secrets_in(request: &HttpRequest, credential: &AzureCredential) -> Vec<Secret> {
    let mut secrets = secrets_of(credential);
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'*');
    let encoded = |secret: &Secret| utf8_percent_encode(secret.expose(), KEPT).to_string();
    secrets.extend(secrets.iter().map(encoded).map(Secret::new).collect::<Vec<_>>());
    let header = request.headers.get("authorization").and_then(|value| value.to_str().ok());
    secrets.extend(header.and_then(|value| value.split_once(' ')).map(|(_, rest)| Secret::new(rest)));
    secrets
}

/// An error without what travelled with the request: a transport that broke its promise is not repeated.
fn hide(error: Error, secrets: &[Secret]) -> Error {
    let shown = format!("{error} {error:?}");
    match secrets.iter().any(|secret| shown.contains(secret.expose())) {
        true => Error::new(error.kind(), error.operation(), "storage did not answer")
            .with_retryable(error.is_retryable()),
        false => error,
    }
}

fn storage_error(operation: &'static str, answer: &Answered) -> Error {
    let text = String::from_utf8_lossy(answer.body.get(..4096).unwrap_or(&answer.body));
    let message = between(&text, "<Message>", "</Message>")
        .or_else(|| between(&text, r#""message":""#, "\""))
        .unwrap_or_default();
    let code = match answer.code() {
        "" => between(&text, "<Code>", "</Code>")
            .or_else(|| between(&text, r#""code":""#, "\""))
            .unwrap_or_default(),
        code => code,
    };
    // The first line says what happened; the lines after it are the request's id and its time.
    let message = message.lines().next().unwrap_or_default();
    let body = json!({"error": {"code": code, "message": redact::text(message, &answer.secrets, 400)}});
    let body = body.to_string();
    let mut said = Answer::new(answer.status, body.as_bytes());
    if let Some(id) = answer.header("x-ms-request-id") {
        said = said.with_request_id(id);
    }
    error::from_response(operation, &said)
}

/// The text between two marks.
pub(super) fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    text.split_once(from)?.1.split_once(to).map(|(inner, _)| inner)
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("account", &self.account.name())
            .field("credential", &self.credential)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_s_code_and_first_line_reach_the_error() {
        let body = "\u{feff}<?xml version=\"1.0\"?><Error><Code>InvalidBlockList</Code><Message>The specified block list is invalid.\nRequestId:1\nTime:2026</Message></Error>";
        let answer =
            Answered { status: 400, headers: HeaderMap::new(), body: body.into(), secrets: Vec::new() };
        let error = storage_error("op", &answer);
        assert_eq!(
            (error.kind(), error.context("code")),
            (ErrorKind::InvalidInput, Some("InvalidBlockList"))
        );
        assert_eq!(error.message(), "The specified block list is invalid.");
        let mut headers = HeaderMap::new();
        headers.insert("x-ms-error-code", HeaderValue::from_static("BlobNotFound"));
        let error =
            storage_error("op", &Answered { status: 404, headers, body: Bytes::new(), secrets: Vec::new() });
        assert_eq!((error.kind(), error.context("code")), (ErrorKind::NotFound, Some("BlobNotFound")));
    }
}
