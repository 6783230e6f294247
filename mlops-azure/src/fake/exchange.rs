//! Requests as a fake gets them, answers as it gives them, and parts that answer.

use std::fmt;
use std::io::Read as _;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use futures_util::TryStreamExt as _;
use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::azure::FakeAzure;
use crate::http::{HttpBody, HttpFault, HttpRequest, HttpResponse, Stage};

/// A part of Azure that answers what is its own: an action of a resource, or all of another host.
///
/// # Contract
/// * Parts are asked before Resource Manager's own store, the one plugged in last first; `None` means that the request is not
///   this part's. To check a write and leave it to the store, a part answers with an error or with `None`.
/// * Requests are answered one after the other: what a part reads and writes of the store in one answer is one step to everybody
///   else.
/// * A part is asked only for requests whose token is good, where the host is Resource Manager's or `*.api.azureml.ms`. At other
///   hosts it looks itself, with [`FakeAzure::refuse_token`].
pub trait FakePart: Send + Sync {
    /// The answer to a request, if it is this part's.
    fn answer(&self, request: &FakeRequest, azure: &FakeAzure) -> Option<FakeAnswer>;

    /// Whether this part knows what the body of a request may be, for one that goes to Azure and that [`Bodies`](super::Bodies) does not
    /// know.
    fn judges(&self, request: &FakeRequest) -> bool {
        let _ = request;
        false
    }

    /// Adds what the service itself writes into a resource, such as the address of an endpoint, after the store took a write of
    /// it and before anybody reads it. `resource` has the envelope with `id` and `type`.
    fn complete(&self, resource: &mut Value, azure: &FakeAzure) {
        let _ = (resource, azure);
    }
}

/// A request with its whole body. Its `Debug` shows neither the query nor a header's value.
#[derive(Clone)]
pub struct FakeRequest {
    /// The method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl FakeRequest {
    /// The largest body that is taken: 256 MiB.
    const LARGEST: usize = 256 << 20;

    /// A request without headers and body.
    pub fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// Reads what a transport was given.
    ///
    /// # Errors
    /// A fault of the request's own body.
    pub(super) async fn read(request: HttpRequest) -> Result<Self, HttpFault> {
        let HttpRequest { method, url, headers, body, .. } = request;
        let body = match body {
            HttpBody::Empty => Bytes::new(),
            HttpBody::Bytes(bytes) => bytes,
            HttpBody::Stream(stream, length) => {
                let mut stream = stream;
                let mut all = Vec::new();
                while let Some(piece) =
                    stream.try_next().await.map_err(|e| HttpFault::new(Stage::Request, false, e))?
                {
                    if all.len() + piece.len() > Self::LARGEST {
                        return Err(HttpFault::new(Stage::Answer, false, "the body is too long"));
                    }
                    all.extend_from_slice(&piece);
                }
                if length.is_some_and(|length| length != all.len() as u64) {
                    return Err(HttpFault::new(Stage::Request, false, "the body is not as long as it says"));
                }
                all.into()
            }
        };
        Ok(Self { method, url, headers, body })
    }

    /// The body as JSON; `null` for what is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as it was before it was compressed; `None` for one that says `gzip` and is not, or is longer than the longest that is taken.
    ///
    /// ```
    /// use mlops_azure::fake::FakeRequest;
    /// use mlops_azure::http::Method;
    /// let mut request = FakeRequest::new(Method::POST, "https://h/".parse().unwrap());
    /// request.body = "[]".into();
    /// assert_eq!(request.content().as_deref(), Some(&b"[]"[..]));
    /// request.headers.insert("content-encoding", "gzip".parse().unwrap());
    /// assert_eq!(request.content(), None);
    /// ```
    pub fn content(&self) -> Option<Bytes> {
        if self.header(CONTENT_ENCODING.as_str()) != Some("gzip") {
            return Some(self.body.clone());
        }
        let (mut content, most) = (Vec::new(), Self::LARGEST as u64);
        let read = MultiGzDecoder::new(self.body.as_ref()).take(most + 1).read_to_end(&mut content).ok()?;
        (read <= Self::LARGEST).then(|| content.into())
    }

    /// A parameter of the query, decoded; the first of several. Names are those of Resource Manager and have no case.
    pub fn query(&self, name: &str) -> Option<String> {
        let mut pairs = self.url.query_pairs();
        pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.into_owned())
    }

    /// The segments of the path, as they were sent, without empty ones.
    pub fn segments(&self) -> Vec<&str> {
        self.url.path().split('/').filter(|segment| !segment.is_empty()).collect()
    }

    /// The host, in lower case.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// The path.
    pub fn path(&self) -> &str {
        self.url.path()
    }

    /// The header's value, if it is there and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// What comes after `Bearer` in the header that says who is asking.
    pub fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header(AUTHORIZATION.as_str())?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    }

    /// How the log of requests shows it: method and address, with the values of parameters that may be secret left out.
    ///
    /// ```
    /// use mlops_azure::fake::FakeRequest;
    /// use mlops_azure::http::Method;
    /// let request = FakeRequest::new(Method::GET, "https://h/p?api-version=1&sig=hunter2&$skip=3".parse().unwrap());
    /// assert_eq!(request.line(), "GET https://h/p?api-version=1&sig=…&$skip=3");
    /// ```
    pub fn line(&self) -> String {
        const SECRET: [&str; 6] = ["sig", "key", "token", "code", "secret", "password"];
        let is_secret = |name: &str| {
            let name = name.to_ascii_lowercase();
            !name.starts_with('$') && SECRET.iter().any(|word| name.contains(word))
        };
        let pairs = self.url.query_pairs().map(|(name, value)| match is_secret(&name) {
            true => format!("{name}=…"),
            false => format!("{name}={value}"),
        });
        let query = pairs.collect::<Vec<_>>().join("&");
        let origin = self.url.origin().ascii_serialization();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{} {origin}{}{mark}{query}", self.method, self.url.path())
    }
}

impl fmt::Debug for FakeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeRequest")
            .field("method", &self.method)
            .field("url", &crate::http::transport::bare(&self.url))
            .field("headers", &self.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>())
            .field("body", &self.body.len())
            .finish()
    }
}

/// An answer.
#[derive(Clone)]
pub struct FakeAnswer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl FakeAnswer {
    /// 200 with a body in JSON.
    pub fn ok(body: Value) -> Self {
        Self::json(200, body)
    }

    /// A status with a body in JSON.
    pub fn json(status: u16, body: Value) -> Self {
        Self::bytes(status, "application/json; charset=utf-8", body.to_string())
    }

    /// A status with a body of any kind.
    pub fn bytes(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self { status, headers, body: body.into() }
    }

    /// A status without a body.
    pub fn empty(status: u16) -> Self {
        Self { status, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// An error as Resource Manager itself says it.
    ///
    /// ```
    /// use mlops_azure::fake::FakeAnswer;
    /// let answer = FakeAnswer::error(404, "ResourceNotFound", "it is not there");
    /// assert_eq!(answer.body, r#"{"error":{"code":"ResourceNotFound","message":"it is not there"}}"#);
    /// ```
    pub fn error(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self::json(status, json!({ "error": { "code": code, "message": message.into() } }))
    }

    /// An error as Azure Machine Learning says it: with a chain of inner codes, from the outermost on.
    ///
    /// ```
    /// use mlops_azure::fake::FakeAnswer;
    /// let answer = FakeAnswer::user_error(400, "UserError", "no", &["BadArgument", "MissingArgument"]);
    /// assert!(String::from_utf8_lossy(&answer.body).contains(r#""innerError":{"code":"MissingArgument""#));
    /// ```
    pub fn user_error(status: u16, code: &str, message: impl Into<String>, inner: &[&str]) -> Self {
        let chain = |below: Value, code: &&str| json!({ "code": code, "innerError": below });
        let inner = inner.iter().rev().fold(Value::Null, chain);
        let info = |kind: &str, value: Value| json!({ "type": kind, "info": { "value": value } });
        let additional = json!([
            info("ComponentName", json!("managementfrontend")),
            info("Environment", json!(super::azure::REGION)),
            info("Location", json!(super::azure::REGION)),
            info("InnerError", inner),
        ]);
        let error =
            json!({ "code": code, "message": message.into(), "details": [], "additionalInfo": additional });
        Self::json(status, json!({ "error": error }))
    }

    /// The same with a header; a value that no header can hold is left out.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.headers.insert(name, value);
        }
        self
    }

    /// The same, asking to come back after so many seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        self.with(RETRY_AFTER.as_str(), seconds.to_string())
    }

    /// Whether the status says success.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl From<FakeAnswer> for HttpResponse {
    fn from(answer: FakeAnswer) -> Self {
        let FakeAnswer { status, headers, body } = answer;
        Self { status, headers, body: body.into() }
    }
}

impl fmt::Debug for FakeAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeAnswer")
            .field("status", &self.status)
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}
