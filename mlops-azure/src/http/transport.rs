//! The trait of transports, and what goes in and comes out.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use mlops_core::artifact::ByteStream;
use mlops_core::{Error, ErrorKind, Result};
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Method, Url};

/// Sends requests.
///
/// # Contract
/// * One call is one request: a transport follows no redirect and repeats nothing.
/// * A status is an answer, whatever it is; a [`HttpFault`] means that there is none, and says how far the request came.
/// * The exchange ends within [`HttpRequest::timeout`], the body of the answer included.
/// * Nothing that it prints or returns in a fault holds a header's value, a query or a body.
#[async_trait]
pub trait HttpTransport: fmt::Debug + Send + Sync + 'static {
    /// Sends a request and waits for the head of the answer.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpFault>;
}

#[async_trait]
impl<T: HttpTransport + ?Sized> HttpTransport for Arc<T> {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpFault> {
        (**self).send(request).await
    }
}

/// The body of a request.
#[derive(Default)]
pub enum HttpBody {
    /// None.
    #[default]
    Empty,
    /// Bytes in memory; can be sent again.
    Bytes(Bytes),
    /// A stream, with its length where it is known; can be sent once.
    Stream(ByteStream, Option<u64>),
}

impl HttpBody {
    /// A second body like this one; `None` for a stream, which can be read once only.
    ///
    /// ```
    /// use mlops_azure::http::HttpBody;
    /// assert!(HttpBody::from("text").again().is_some());
    /// assert!(HttpBody::Stream("text".into(), None).again().is_none());
    /// ```
    pub fn again(&self) -> Option<Self> {
        match self {
            Self::Empty => Some(Self::Empty),
            Self::Bytes(bytes) => Some(Self::Bytes(bytes.clone())),
            Self::Stream(..) => None,
        }
    }
}

impl<T: Into<Bytes>> From<T> for HttpBody {
    fn from(bytes: T) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl fmt::Debug for HttpBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Stream(_, Some(length)) => write!(f, "Stream({length})"),
            Self::Stream(_, None) => f.write_str("Stream(..)"),
        }
    }
}

/// A request. Its `Debug` shows neither the query nor any header's value.
#[non_exhaustive]
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// The headers; values that are secret are marked as sensitive.
    pub headers: HeaderMap,
    /// The body.
    pub body: HttpBody,
    /// The deadline for the whole exchange, the body of the answer included.
    pub timeout: Duration,
}

impl HttpRequest {
    /// The deadline of a request that sets none: two minutes.
    pub const TIMEOUT: Duration = Duration::from_secs(120);

    /// A request without headers and body.
    ///
    /// ```
    /// use mlops_azure::http::{HttpRequest, Method};
    /// let url = "https://host/path?sig=secret".parse().unwrap();
    /// let shown = format!("{:?}", HttpRequest::new(Method::GET, url));
    /// assert!(shown.contains("https://host/path") && !shown.contains("secret"));
    /// ```
    pub fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: HttpBody::Empty, timeout: Self::TIMEOUT }
    }

    /// The same request once more; `None` if its body is a stream.
    pub fn again(&self) -> Option<Self> {
        Some(Self {
            method: self.method.clone(),
            url: self.url.clone(),
            headers: self.headers.clone(),
            body: self.body.again()?,
            timeout: self.timeout,
        })
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("url", &bare(&self.url))
            .field("headers", &self.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>())
            .field("body", &self.body)
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// A URL without what may be secret: user, password, query and fragment.
pub(crate) fn bare(url: &Url) -> String {
    let origin = url.origin().ascii_serialization();
    format!("{origin}{}", url.path())
}

/// The head of an answer, and its body to come.
#[non_exhaustive]
pub struct HttpResponse {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: ByteStream,
}

impl HttpResponse {
    /// An answer; for transports.
    pub const fn new(status: u16, headers: HeaderMap, body: ByteStream) -> Self {
        Self { status, headers, body }
    }

    /// The header's value, if it is there, once, and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body with an end: more than `limit` bytes are [`ErrorKind::LimitExceeded`].
    #[must_use]
    pub fn limited(self, operation: &'static str, limit: u64) -> Self {
        let mut seen = 0_u64;
        let body = self.body.map(move |piece| {
            let piece = piece?;
            seen = seen.saturating_add(piece.len() as u64);
            match seen > limit {
                true => Err(Error::limit(operation, "the answer's body", limit, seen)),
                false => Ok(piece),
            }
        });
        Self { body: ByteStream::new(body), ..self }
    }
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpResponse").field("status", &self.status).finish_non_exhaustive()
    }
}

/// How far a request came that has no answer.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// It was not sent: the request is not well-formed, or its own body failed.
    Request,
    /// There was no connection: the peer has seen nothing of it.
    Connect,
    /// It was sent, or part of it, and no answer came: it may have been carried out.
    Answer,
}

/// A request without an answer.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.describe())]
pub struct HttpFault {
    /// How far it came.
    pub stage: Stage,
    /// Whether the deadline passed.
    pub timeout: bool,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl HttpFault {
    /// A fault; for transports. The source must not show what may be secret.
    pub fn new(stage: Stage, timeout: bool, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { stage, timeout, source: Some(source.into()) }
    }

    fn describe(&self) -> &'static str {
        match (self.stage, self.timeout) {
            (Stage::Request, _) => "the request could not be sent",
            (Stage::Connect, true) => "no connection before the deadline",
            (Stage::Connect, false) => "no connection",
            (Stage::Answer, true) => "no answer before the deadline",
            (Stage::Answer, false) => "the connection broke before the answer",
        }
    }

    /// The error of an operation that failed for this fault.
    pub fn into_error(self, operation: &'static str) -> Error {
        let kind = match (self.stage, self.timeout) {
            (Stage::Request, _) => ErrorKind::InvalidInput,
            (_, true) => ErrorKind::Timeout,
            (_, false) => ErrorKind::Transport,
        };
        Error::new(kind, operation, self.describe()).with_source(self)
    }
}

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn HttpTransport) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_over_its_limit_ends_with_an_error() {
        let pieces = futures_util::stream::iter((0..10).map(|_| Ok(Bytes::from_static(b"abcd"))));
        let response = HttpResponse { status: 200, headers: HeaderMap::new(), body: ByteStream::new(pieces) };
        let mut body = response.limited("op", 10).body;
        assert!(body.next().await.unwrap().is_ok() && body.next().await.unwrap().is_ok());
        assert_eq!(body.next().await.unwrap().unwrap_err().kind(), ErrorKind::LimitExceeded);
    }

    #[test]
    fn nothing_secret_is_shown() {
        let mut request =
            HttpRequest::new(Method::POST, "https://ann:hunter2@host/p?sig=hunter2#hunter2".parse().unwrap());
        request.headers.insert("x-api-key", "hunter2".parse().unwrap());
        request.body = HttpBody::from("hunter2");
        assert!(!format!("{request:?}").contains("hunter2"));
    }
}
