//! What a webhook needs of HTTP.

use std::fmt::{self, Debug};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::Result;

/// A POST to make. Its URL does not print: for many receivers it is the secret.
#[non_exhaustive]
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookRequest {
    /// Where to.
    pub url: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// What is signed, and sent as it is.
    pub body: Bytes,
}

impl WebhookRequest {
    /// A request.
    pub fn new(url: impl Into<String>, headers: Vec<(String, String)>, body: impl Into<Bytes>) -> Self {
        Self { url: url.into(), headers, body: body.into() }
    }

    /// The first header of a name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

impl Debug for WebhookRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookRequest")
            .field("headers", &self.headers)
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What was answered. The body does not matter.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookResponse {
    /// The status code.
    pub status: u16,
    /// The header `Retry-After`, as it is.
    pub retry_after: Option<String>,
}

impl WebhookResponse {
    /// An answer.
    pub fn new(status: u16) -> Self {
        Self { status, retry_after: None }
    }

    /// Sets the header `Retry-After`.
    #[must_use]
    pub fn with_retry_after(mut self, value: impl Into<String>) -> Self {
        self.retry_after = Some(value.into());
        self
    }
}

/// Makes a POST.
///
/// # Contract
/// * `post` sends the body byte for byte, once, to the URL, follows no redirect, and gives up after a time of its own.
/// * Whatever status comes is an answer. No answer is an error: [`ErrorKind::Transport`](crate::ErrorKind::Transport),
///   [`ErrorKind::Timeout`](crate::ErrorKind::Timeout), or another kind where trying again is of no use. It never holds the URL.
#[async_trait]
pub trait WebhookTransport: Debug + Send + Sync + 'static {
    /// Posts a request.
    async fn post(&self, request: &WebhookRequest) -> Result<WebhookResponse>;
}

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: WebhookTransport + ?Sized> WebhookTransport for $pointer<T> {
            async fn post(&self, request: &WebhookRequest) -> Result<WebhookResponse> {
                (**self).post(request).await
            }
        }
    };
}
forward!(Arc);
forward!(Box);

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn WebhookTransport) {}
