//! Where an endpoint is asked, and with which key.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mlops_core::governance::Secret;
use mlops_core::id::DeploymentName;
use mlops_core::time::{Clock, Timestamp};
use mlops_core::{Error, ErrorKind, Result};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::online::OnlineEndpoints;
use crate::auth::{AccessToken, Scope, TokenSource};
use crate::error::{Answer, from_response};
use crate::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use crate::http::{HttpRequest, Method, Repeat, Service, Url, wait};
use crate::wire::endpoint::AuthMode;

const OP: &str = "Deployer::invoke";

/// Which deployment is asked, and which answered.
pub(super) const DEPLOYMENT: &str = "azureml-model-deployment";

/// The longest answer that is read.
const MAX_ANSWER: usize = 64 << 20;

/// An endpoint's scoring address, with what opens it.
pub(super) struct Scoring {
    pub(super) service: Service,
    pub(super) tokens: Arc<dyn TokenSource>,
    pub(super) scope: Scope,
    pub(super) url: Url,
    pub(super) timeout: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) mode: AuthMode,
    /// When this was found out.
    pub(super) since: Instant,
}

/// What the address answered, whatever it is.
pub(super) struct Scored {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) latency: Duration,
}

impl Scoring {
    /// Asks, with headers of its own for each call. A key that is refused is asked for anew, once.
    pub(super) async fn ask(&self, deployment: Option<&DeploymentName>, body: Bytes) -> Result<Scored> {
        let first = self.send(deployment, body.clone()).await?;
        if first.status == 401 { self.send(deployment, body).await } else { Ok(first) }
    }

    /// Whether another one says the same.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        self.url == other.url && self.mode == other.mode
    }

    /// What must not be in an error: the key in force, which a service may repeat.
    pub(super) async fn secrets(&self) -> Vec<Secret> {
        self.tokens.token(&self.scope).await.map(|token| vec![token.secret]).unwrap_or_default()
    }

    async fn send(&self, deployment: Option<&DeploymentName>, body: Bytes) -> Result<Scored> {
        let mut request = HttpRequest::new(Method::POST, self.url.clone());
        request.timeout = self.timeout;
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(name) = deployment {
            let bad = |_| Error::invalid(OP, "deployment", "cannot be a header's value");
            request.headers.insert(DEPLOYMENT, HeaderValue::from_str(name.as_str()).map_err(bad)?);
        }
        request.body = body.into();
        let began = self.clock.monotonic();
        // A prediction changes nothing: one that is asked for twice is counted twice, and that is all.
        let response = self.service.send(OP, Repeat::Safe, request).await?;
        let (status, headers) = (response.status, response.headers);
        let body = response.body.collect(MAX_ANSWER).await?;
        let latency = self.clock.monotonic().saturating_sub(began);
        Ok(Scored { status, headers, body, latency })
    }
}

impl fmt::Debug for Scoring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scoring").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

impl Scored {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The error of an answer that is no success.
    ///
    /// 424 says that the endpoint is well and the model is not: the model's own status tells whether it refused the rows. Nothing of
    /// the model's answer is shown, because it may repeat the rows; nor is anything of the refusal of a key, which may repeat that.
    pub(super) fn error(&self, now: Timestamp, secrets: &[Secret]) -> Error {
        let body: &[u8] = if matches!(self.status, 401 | 403 | 424) { b"" } else { &self.body };
        let mut answer = Answer::new(self.status, body).with_secrets(secrets);
        if let Some(id) = self.header("x-ms-request-id") {
            answer = answer.with_request_id(id);
        }
        if let Some(asked) = wait::asked(&self.headers, now) {
            answer = answer.with_retry_after(asked);
        }
        if self.status != 424 {
            return from_response(OP, &answer);
        }
        let status = self.header("ms-azureml-model-error-statuscode").and_then(|text| text.parse().ok());
        let (kind, message) = match status {
            Some(status) if is_refusal(status) => (ErrorKind::InvalidInput, "the model refused the rows"),
            _ => (ErrorKind::Internal, "the model failed"),
        };
        let mut error = Error::new(kind, OP, message).with("status", 424);
        if let Some(status) = status {
            error = error.with("model_status", status);
        }
        match self.header("ms-azureml-model-error-reason") {
            Some(reason) => error.with("reason", mlops_core::error::quote(reason)),
            None => error,
        }
    }
}

/// Whether a model's own status says that it refused the rows.
pub(super) fn is_refusal(model_status: u16) -> bool {
    matches!(model_status, 400 | 413 | 415 | 422)
}

/// The key or the token of one endpoint, fetched when it is needed first and again when it is refused or grows old.
pub(super) struct EndpointSecret {
    online: OnlineEndpoints,
    endpoint: String,
    mode: AuthMode,
    clock: Arc<dyn Clock>,
    held: Mutex<Option<AccessToken>>,
}

impl EndpointSecret {
    pub(super) fn new(
        online: OnlineEndpoints,
        endpoint: &str,
        mode: AuthMode,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { online, endpoint: endpoint.to_owned(), mode, clock, held: Mutex::new(None) }
    }

    async fn fetch(&self) -> Result<AccessToken> {
        match self.mode {
            AuthMode::AmlToken => {
                let token = self.online.token(&self.endpoint).await?;
                let fresh = AccessToken::new(token.token.expose(), token.expires);
                Ok(fresh.refresh_at(token.refresh_after))
            }
            _ => {
                let keys = self.online.keys(&self.endpoint).await?;
                Ok(AccessToken::new(keys.primary_key.expose(), Timestamp::MAX_UTC))
            }
        }
    }
}

#[async_trait]
impl TokenSource for EndpointSecret {
    async fn token(&self, _: &Scope) -> Result<AccessToken> {
        // Held over the fetch: of many that need it first, one asks.
        let mut held = self.held.lock().await;
        let now = self.clock.now();
        let old = held.clone().filter(|token| now < token.expires_at);
        match &old {
            Some(token) if token.refresh_at.is_none_or(|at| now < at) => return Ok(token.clone()),
            _ => {}
        }
        match (self.fetch().await, old) {
            (Ok(fresh), _) => Ok(held.insert(fresh).clone()),
            // The old one is good for a while still.
            (Err(_), Some(old)) => Ok(old),
            (Err(error), None) => Err(error),
        }
    }

    async fn refuse(&self, _: &Scope, token: &AccessToken) {
        let mut held = self.held.lock().await;
        if held.as_ref().is_some_and(|mine| mine.secret.expose() == token.secret.expose()) {
            *held = None;
        }
    }
}

impl fmt::Debug for EndpointSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointSecret").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_repeats_is_not_shown() {
        let secrets = [Secret::new("endpoint-key-hunter2")];
        let body = r#"{"error":{"code":"X","message":"you sent endpoint-key-hunter2 and 77.125"}}"#;
        for (status, kind, rows_hidden) in [
            (400, ErrorKind::InvalidInput, false),
            (401, ErrorKind::Auth, true),
            (403, ErrorKind::Auth, true),
            (408, ErrorKind::Timeout, false),
            (413, ErrorKind::LimitExceeded, false),
            (424, ErrorKind::Internal, true),
            (429, ErrorKind::RateLimited, false),
            (502, ErrorKind::Transport, false),
        ] {
            let (headers, latency) = (HeaderMap::new(), Duration::ZERO);
            let scored = Scored { status, headers, body: body.into(), latency };
            let error = scored.error(Timestamp::UNIX_EPOCH, &secrets);
            assert_eq!(error.kind(), kind, "{status}");
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunter2"), "{shown}");
            assert_eq!(!shown.contains("77.125"), rows_hidden, "{shown}");
        }
    }

    #[test]
    fn the_models_own_status_tells_whose_fault_it_is() {
        for (status, kind) in [
            ("400", ErrorKind::InvalidInput),
            ("422", ErrorKind::InvalidInput),
            ("500", ErrorKind::Internal),
            ("what", ErrorKind::Internal),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("ms-azureml-model-error-statuscode", HeaderValue::from_static(status));
            let scored = Scored { status: 424, headers, body: Bytes::new(), latency: Duration::ZERO };
            assert_eq!(scored.error(Timestamp::UNIX_EPOCH, &[]).kind(), kind, "{status}");
        }
    }
}
