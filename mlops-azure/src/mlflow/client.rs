//! The client: requests with retry, credentials and capped answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mlops_core::governance::Secret;
use mlops_core::{Error, ErrorKind, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::auth::MlflowAuth;
use super::capabilities::{Dialect, ServerCapabilities, ServerInfo};
use super::config::{MlflowBuilder, Settings};
use super::error;
use crate::http::{HttpBody, HttpRequest, HttpResponse, HttpTransport, Repeat, RetryPolicy, retry};

/// What a path segment may hold as it is: the unreserved characters of RFC 3986.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A connection to one MLflow server. Cheap to clone; all clones share connections and what is known of the server.
///
/// Paths are given as text, not encoded: `mlflow/runs/get` is under the API's prefix (`/api/2.0/`), `/version` with a slash
/// is under the server's root. Every segment is percent-encoded; one that is empty, `.` or `..` is refused, so no path leaves
/// where it should be.
///
/// ```
/// use mlops_azure::mlflow::MlflowClient;
/// let client = MlflowClient::builder("http://127.0.0.1:5000").build()?;
/// assert_eq!(format!("{client:?}"), "MlflowClient { url: \"http://127.0.0.1:5000/\", .. }");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone)]
pub struct MlflowClient(Arc<Inner>);

struct Inner {
    url: Url,
    auth: MlflowAuth,
    transport: Arc<dyn HttpTransport>,
    dialect: Option<Dialect>,
    settings: Settings,
    server: OnceCell<ServerCapabilities>,
}

/// A request beyond JSON: artifacts, and whatever the API does not cover. Its `Debug` shows neither the query nor any header's value.
#[non_exhaustive]
#[must_use]
pub struct RawCall {
    /// The method.
    pub method: Method,
    /// The path, as in [`MlflowClient`].
    pub path: String,
    /// The query, not encoded.
    pub query: Vec<(String, String)>,
    /// Headers besides `Authorization`.
    pub headers: HeaderMap,
    /// The body.
    pub body: HttpBody,
    /// Whether it may be sent twice. A stream is sent once in any case.
    pub repeat: Repeat,
}

impl fmt::Debug for RawCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawCall")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("body", &self.body)
            .field("repeat", &self.repeat)
            .finish_non_exhaustive()
    }
}

impl RawCall {
    /// A call without query, headers and body, which may be repeated.
    ///
    /// ```
    /// use mlops_azure::http::Method;
    /// use mlops_azure::mlflow::RawCall;
    /// let call = RawCall::new(Method::GET, "mlflow-artifacts/artifacts/1/model.json");
    /// assert!(call.query.is_empty());
    /// ```
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: HttpBody::Empty,
            repeat: Repeat::Safe,
        }
    }

    /// Adds a query pair.
    pub fn query(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((key.into(), value.into()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<HttpBody>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets whether it may be sent twice.
    pub fn repeat(mut self, repeat: Repeat) -> Self {
        self.repeat = repeat;
        self
    }
}

impl MlflowClient {
    /// Begins to set up a client for the server at `url`.
    pub fn builder(url: &str) -> MlflowBuilder {
        MlflowBuilder::new(url)
    }

    pub(super) fn new(
        mut url: Url,
        auth: MlflowAuth,
        transport: Arc<dyn HttpTransport>,
        dialect: Option<Dialect>,
        settings: Settings,
    ) -> Self {
        let mut path = url.path().trim_end_matches('/').to_owned();
        if dialect == Some(Dialect::AzureMl) {
            // Tracking URIs say 1.0; the API is at 2.0.
            path = path.replacen("/mlflow/v1.0/", "/mlflow/v2.0/", 1);
        }
        url.set_path(&format!("{path}/"));
        Self(Arc::new(Inner { url, auth, transport, dialect, settings, server: OnceCell::new() }))
    }

    /// What the server can do. It is asked once; a failure is not remembered.
    ///
    /// # Errors
    /// Those of the transport, and [`ErrorKind::Auth`].
    pub async fn capabilities(&self) -> Result<&ServerCapabilities> {
        self.0.server.get_or_try_init(|| self.negotiate()).await
    }

    /// Whether it is Azure Machine Learning, which its address says.
    pub(super) fn is_azure(&self) -> bool {
        self.0.dialect == Some(Dialect::AzureMl)
    }

    async fn negotiate(&self) -> Result<ServerCapabilities> {
        const OP: &str = "MlflowClient::capabilities";
        if let Some(dialect) = self.0.dialect {
            return Ok(ServerCapabilities::of(dialect));
        }
        let version = match self.read(OP, RawCall::new(Method::GET, "/version")).await {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if is_absent(&error) => String::new(),
            Err(error) => return Err(error),
        };
        let server = ServerCapabilities::of_version(&version);
        if server.dialect != Dialect::Mlflow3 {
            return Ok(server);
        }
        let info = RawCall::new(Method::GET, "/api/3.0/mlflow/server-info");
        match self.read(OP, info).await {
            Ok(bytes) => {
                Ok(server.with_info(&serde_json::from_slice::<ServerInfo>(&bytes).unwrap_or_default()))
            }
            Err(error) if is_absent(&error) => Ok(server),
            Err(error) => Err(error),
        }
    }

    /// GETs JSON.
    ///
    /// # Errors
    /// As by [`error::from_answer`]; [`ErrorKind::Protocol`] for an answer that is not JSON.
    pub async fn get(&self, operation: &'static str, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        let mut call = RawCall::new(Method::GET, path);
        call.query = query.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        self.json(operation, call).await
    }

    /// POSTs JSON.
    ///
    /// # Errors
    /// As by [`error::from_answer`]; [`ErrorKind::UnknownOutcome`] when the answer was lost and the call may not be repeated.
    pub async fn post(
        &self,
        operation: &'static str,
        path: &str,
        body: &Value,
        repeat: Repeat,
    ) -> Result<Value> {
        self.send_json(operation, Method::POST, path, body, repeat).await
    }

    /// PATCHes JSON; to set the same values twice is to set them once.
    ///
    /// # Errors
    /// As by [`error::from_answer`].
    pub async fn patch(&self, operation: &'static str, path: &str, body: &Value) -> Result<Value> {
        self.send_json(operation, Method::PATCH, path, body, Repeat::Safe).await
    }

    /// Sends DELETE with a JSON body. A repeated call may find nothing any more, and then is
    /// [`ErrorKind::NotFound`].
    ///
    /// # Errors
    /// As by [`error::from_answer`].
    pub async fn delete(&self, operation: &'static str, path: &str, body: &Value) -> Result<Value> {
        self.send_json(operation, Method::DELETE, path, body, Repeat::Safe).await
    }

    async fn send_json(
        &self,
        operation: &'static str,
        method: Method,
        path: &str,
        body: &Value,
        repeat: Repeat,
    ) -> Result<Value> {
        let text = Bytes::from(body.to_string());
        let (policy, time) = (&self.0.settings.retry, self.time());
        for tried in 0.. {
            let mut call = RawCall::new(method.clone(), path).body(text.clone()).repeat(repeat);
            call.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            match self.json_within(operation, call, &time).await {
                Err(error) if repeat == Repeat::Safe && is_race(&error) && tried + 1 < policy.attempts => {
                    let wait = policy.delay(tried, retry::random());
                    if wait >= time.left() {
                        return Err(error);
                    }
                    tokio::time::sleep(wait).await;
                }
                result => return result,
            }
        }
        Err(Error::new(ErrorKind::Internal, operation, "a request was not sent"))
    }

    async fn json(&self, operation: &'static str, call: RawCall) -> Result<Value> {
        self.json_within(operation, call, &self.time()).await
    }

    async fn json_within(&self, operation: &'static str, call: RawCall, time: &Time) -> Result<Value> {
        let bytes = self.read_within(operation, call, time).await?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Value::Object(serde_json::Map::new()));
        }
        serde_json::from_slice(&bytes).map_err(|e| {
            Error::new(ErrorKind::Protocol, operation, "the server's answer is not JSON").with_source(e)
        })
    }

    /// Sends a call and reads the whole answer, which must be a success.
    async fn read(&self, operation: &'static str, call: RawCall) -> Result<Bytes> {
        self.read_within(operation, call, &self.time()).await
    }

    async fn read_within(&self, operation: &'static str, call: RawCall, time: &Time) -> Result<Bytes> {
        let limit = self.0.settings.max_answer;
        let response = self.exchange(operation, call, time, Some(limit)).await?;
        response.body.collect(limit).await
    }

    /// The time of a call of the API, from now on.
    fn time(&self) -> Time {
        Time::of(&self.0.settings.retry, self.0.settings.timeout)
    }

    /// The time of a transfer, from now on.
    fn transfer_time(&self) -> Time {
        Time::of(&self.0.settings.retry, self.0.settings.transfer_timeout)
    }

    /// Sends any call, and returns the answer with its body to come. An answer that is not a success is an error.
    ///
    /// # Errors
    /// As by [`error::from_answer`].
    pub async fn raw(&self, operation: &'static str, call: RawCall) -> Result<HttpResponse> {
        self.exchange(operation, call, &self.transfer_time(), None).await
    }

    async fn exchange(
        &self,
        operation: &'static str,
        call: RawCall,
        time: &Time,
        collect: Option<usize>,
    ) -> Result<HttpResponse> {
        let mut url = self.url(operation, &call.path)?;
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        let mut request = HttpRequest::new(call.method, url);
        (request.headers, request.body, request.timeout) = (call.headers, call.body, time.of_one_try);
        request.headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        let Some(provider) = self.0.auth.provider() else {
            return self.authorized(operation, request, call.repeat, collect, time).await.1;
        };
        let spare = request.again();
        match self.authorized(operation, request, call.repeat, collect, time).await {
            // What was refused for its token was not carried out.
            (Some(token), Err(error)) if error.context("status") == Some("401") => {
                provider.refuse(&token).await;
                match spare {
                    Some(request) => self.authorized(operation, request, call.repeat, collect, time).await.1,
                    None => Err(error),
                }
            }
            (_, result) => result,
        }
    }

    /// Sends a request with credentials, and says with which token, if it was one.
    async fn authorized(
        &self,
        operation: &'static str,
        mut request: HttpRequest,
        repeat: Repeat,
        collect: Option<usize>,
        time: &Time,
    ) -> (Option<Secret>, Result<HttpResponse>) {
        let mut secrets = Vec::new();
        match retry::before(operation, Some(time.left()), self.0.auth.header(operation)).await {
            Ok(Some((header, hidden))) => {
                request.headers.insert(AUTHORIZATION, header);
                secrets = hidden;
            }
            Ok(None) => {}
            Err(error) => return (None, Err(error)),
        }
        let result = self.dispatch(operation, request, repeat, collect, &secrets, time).await;
        (secrets.into_iter().next(), result)
    }

    /// Sends a request to a host that the server named (a presigned URL), without credentials of the server.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a URL that is none; [`ErrorKind::Protocol`] for one at a host that is neither the server's own
    /// nor one of the [hosts of storage](MlflowBuilder::storage_hosts); else as by [`error::from_answer`].
    pub async fn foreign(
        &self,
        operation: &'static str,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: HttpBody,
    ) -> Result<HttpResponse> {
        let bad = |reason| Error::invalid(operation, "url", reason);
        let url = Url::parse(url).map_err(|_| bad("is not a URL"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad("must begin with http:// or https://"));
        }
        if url.origin() != self.0.url.origin() {
            self.0.settings.hosts.check(operation, &url)?;
        }
        let secrets: Vec<Secret> = url.query().map(Secret::new).into_iter().collect();
        let mut request = HttpRequest::new(method, url);
        (request.headers, request.body) = (headers, body);
        request.headers.remove(AUTHORIZATION);
        let time = self.transfer_time();
        request.timeout = time.of_one_try;
        self.dispatch(operation, request, Repeat::Safe, None, &secrets, &time).await
    }

    async fn dispatch(
        &self,
        operation: &'static str,
        request: HttpRequest,
        repeat: Repeat,
        collect: Option<usize>,
        secrets: &[Secret],
        time: &Time,
    ) -> Result<HttpResponse> {
        const ERROR_BODY: usize = 1 << 20;
        let policy = RetryPolicy { deadline: Some(time.left()), ..self.0.settings.retry.clone() };
        let response = retry::send(&*self.0.transport, &policy, operation, repeat, collect, request).await?;
        if (200..300).contains(&response.status) {
            return Ok(response);
        }
        // A body that cannot be read says nothing; the status still does.
        let body = response.body.collect(ERROR_BODY).await.unwrap_or_default();
        Err(error::from_answer(operation, response.status, &body, secrets))
    }

    fn url(&self, operation: &'static str, path: &str) -> Result<Url> {
        let (prefix, path) = match path.strip_prefix('/') {
            Some(rest) => ("", rest),
            None => ("api/2.0/", path),
        };
        let bad = |segment: &str| matches!(segment, "" | "." | "..");
        if path.split('/').any(bad) {
            let error = Error::invalid(operation, "path", "has an empty segment, `.` or `..`");
            return Err(error.with("value", path));
        }
        let encoded: Vec<String> =
            path.split('/').map(|segment| utf8_percent_encode(segment, SEGMENT).to_string()).collect();
        let mut url = self.0.url.clone();
        url.set_path(&format!("{}{prefix}{}", self.0.url.path(), encoded.join("/")));
        Ok(url)
    }
}

/// How long one call may take, with everything that is tried again and with its token.
struct Time {
    started: Instant,
    of_one_try: Duration,
    total: Duration,
}

impl Time {
    fn of(policy: &RetryPolicy, of_one_try: Duration) -> Self {
        Self { started: Instant::now(), of_one_try, total: policy.total(of_one_try) }
    }

    fn left(&self) -> Duration {
        self.total.saturating_sub(self.started.elapsed())
    }
}

/// Whether another client wrote at the same moment, which MLflow does not answer with a status that says so.
fn is_race(error: &Error) -> bool {
    error.kind() == ErrorKind::Busy && error.context("status") == Some("400")
}

/// Whether the server does not have what was asked for.
fn is_absent(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::NotFound)
}

impl fmt::Debug for MlflowClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MlflowClient").field("url", &self.0.url.as_str()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(base: &str, path: &str) -> Result<String> {
        MlflowClient::builder(base).build()?.url("op", path).map(|url| url.to_string())
    }

    #[test]
    fn paths_stay_where_they_belong() {
        for (base, path, expected) in [
            ("http://h:1", "mlflow/runs/get", "http://h:1/api/2.0/mlflow/runs/get"),
            ("http://h:1/", "/version", "http://h:1/version"),
            ("https://h/team/", "mlflow/runs/get", "https://h/team/api/2.0/mlflow/runs/get"),
            (
                "http://h",
                "mlflow-artifacts/artifacts/1/a b%2e#;?é",
                "http://h/api/2.0/mlflow-artifacts/artifacts/1/a%20b%252e%23%3B%3F%C3%A9",
            ),
            (
                "azureml://h.azureml.ms/mlflow/v1.0/subscriptions/s/workspaces/w",
                "mlflow/runs/get",
                "https://h.azureml.ms/mlflow/v2.0/subscriptions/s/workspaces/w/api/2.0/mlflow/runs/get",
            ),
        ] {
            assert_eq!(url(base, path).unwrap(), expected);
        }
        for path in ["a/../b", "..", "a//b", "a/.", "", "/"] {
            assert_eq!(url("http://h", path).unwrap_err().context("field"), Some("path"), "{path}");
        }
    }
}
