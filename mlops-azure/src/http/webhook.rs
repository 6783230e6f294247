//! Webhooks over this transport: what mlops-core's sink of alerts posts through.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::monitor::sink::{WebhookRequest, WebhookResponse, WebhookTransport};
use mlops_core::{Error, Result};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Url};

use super::client::{ReqwestConfig, ReqwestTransport};
use super::transport::{HttpBody, HttpRequest, HttpTransport};

const POST: &str = "WebhookTransport::post";

/// Posts webhooks over an [`HttpTransport`]: once each, byte for byte, without following redirects, with a deadline.
///
/// The body of the answer is not read. Neither what it prints nor its errors hold the URL, a header's value or the body.
///
/// ```
/// use std::sync::Arc;
/// use mlops_azure::http::webhook::HttpWebhook;
/// use mlops_core::monitor::sink::{WebhookAlertSink, WebhookIo, WebhookSecret, WebhookTarget};
/// use mlops_core::time::SystemClock;
/// use mlops_core::wrap::Pause;
///
/// /// `pause` waits between attempts: `mlops_core::wrap::TokioPause`, for one.
/// fn on_call(pause: Arc<dyn Pause>, secret: WebhookSecret) -> mlops_core::Result<WebhookAlertSink> {
///     let target = WebhookTarget::new(
///         "on-call",
///         "https://hooks.example.com/services/T0/B0",
///         "/mlops/monitors/diabetes",
///         vec![secret],
///     );
///     let (transport, clock) = (Arc::new(HttpWebhook::new()?), Arc::new(SystemClock::new()));
///     WebhookAlertSink::new(target, WebhookIo::new(transport, pause, clock))
/// }
/// ```
#[derive(Clone)]
pub struct HttpWebhook {
    transport: Arc<dyn HttpTransport>,
    timeout: Duration,
}

impl HttpWebhook {
    /// The deadline for a whole exchange, unless another one is set.
    pub const TIMEOUT: Duration = Duration::from_secs(10);

    /// A transport with connections of its own.
    ///
    /// # Errors
    /// As [`ReqwestTransport::new`].
    ///
    /// ```
    /// use mlops_azure::http::webhook::HttpWebhook;
    /// assert!(HttpWebhook::new().is_ok());
    /// ```
    pub fn new() -> Result<Self> {
        Ok(Self::over(Arc::new(ReqwestTransport::new(&ReqwestConfig::default())?)))
    }

    /// Posts over a transport that is there already.
    pub fn over(transport: Arc<dyn HttpTransport>) -> Self {
        Self { transport, timeout: Self::TIMEOUT }
    }

    /// Sets the deadline for a whole exchange.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) unless it is longer than nothing and at most ten minutes.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mlops_azure::http::webhook::HttpWebhook;
    /// assert!(HttpWebhook::new()?.with_timeout(Duration::from_secs(3)).is_ok());
    /// assert!(HttpWebhook::new()?.with_timeout(Duration::ZERO).is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn with_timeout(mut self, timeout: Duration) -> Result<Self> {
        if timeout.is_zero() || timeout > Duration::from_secs(600) {
            let message = format!("must be longer than nothing and at most ten minutes, got {timeout:?}");
            return Err(Error::invalid("HttpWebhook::with_timeout", "timeout", message));
        }
        self.timeout = timeout;
        Ok(self)
    }
}

impl fmt::Debug for HttpWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpWebhook")
            .field("transport", &self.transport)
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// The request as the transport takes it; what is wrong with it is said without its values.
fn request(webhook: &WebhookRequest, timeout: Duration) -> Result<HttpRequest> {
    let url = Url::parse(&webhook.url)
        .map_err(|e| Error::invalid(POST, "url", "is not an absolute URL").with_source(e))?;
    let mut headers = HeaderMap::new();
    for (name, value) in &webhook.headers {
        let bad = |what| Error::invalid(POST, "headers", what);
        let name = HeaderName::try_from(name.as_str()).map_err(|_| bad("has a name that none can have"))?;
        let mut value = HeaderValue::try_from(value.as_str())
            .map_err(|_| bad("has a value that none can have").with("header", &name))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    let mut request = HttpRequest::new(Method::POST, url);
    (request.headers, request.body, request.timeout) =
        (headers, HttpBody::Bytes(webhook.body.clone()), timeout);
    Ok(request)
}

#[async_trait]
impl WebhookTransport for HttpWebhook {
    async fn post(&self, webhook: &WebhookRequest) -> Result<WebhookResponse> {
        let answer = self.transport.send(request(webhook, self.timeout)?).await;
        let answer = answer.map_err(|fault| fault.into_error(POST))?;
        let response = WebhookResponse::new(answer.status);
        // A header that stands twice says nothing.
        let mut waits = answer.headers.get_all(RETRY_AFTER).iter();
        Ok(match (waits.next().and_then(|wait| wait.to_str().ok()), waits.next()) {
            (Some(wait), None) => response.with_retry_after(wait),
            _ => response,
        })
    }
}
