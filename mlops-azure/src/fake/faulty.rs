//! A transport that makes faults, around any other.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use mlops_core::artifact::ByteStream;
use mlops_core::time::{Clock as _, SystemClock};
use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use tokio::time::Instant;

use crate::http::transport::bare;
use crate::http::{HttpFault, HttpRequest, HttpResponse, HttpTransport, Stage};

/// What goes wrong with one request.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// No connection comes about.
    Unreachable,
    /// None comes about before the request's deadline.
    ConnectTimeout,
    /// The connection breaks before the other end has the request.
    Reset,
    /// The request is carried out, and the connection breaks before the answer.
    LostAnswer,
    /// The request is not carried out, and nothing is heard until its deadline.
    Silence,
    /// The request is carried out after so long, unless its deadline comes first.
    Late(Duration),
    /// The request is carried out, and the answer's body breaks off in its middle.
    HalfBody,
    /// The request is carried out, and the answer's body comes byte by byte with so long between them, until the deadline.
    Trickle(Duration),
    /// The request is carried out, and the answer's body goes on for so many bytes of white space.
    HugeBody(u64),
    /// The request is not carried out; somebody on the way answers 200 with a page of HTML.
    Html,
    /// The request is not carried out, and answered with this status, and with `Retry-After` in seconds where there is a number.
    Status(u16, Option<u64>),
    /// The request is not carried out, and sent on to this address with 307.
    Redirect(String),
    /// The request is carried out by somebody whose clock goes so many seconds ahead, or behind if negative: `Date` says so, and
    /// `Retry-After` asks for a time by that clock, where it asked for seconds.
    Skew(i64),
}

/// Which requests meet a fault, and how often. A rule without conditions is met by every request.
///
/// ```
/// use mlops_azure::fake::{Fault, FaultRule};
/// use mlops_azure::http::Method;
/// // The second and the third write of an endpoint lose their answers.
/// let rule = FaultRule::new(Fault::LostAnswer).method(Method::PUT).path("/onlineEndpoints/").after(1).times(2);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct FaultRule {
    fault: Fault,
    method: Option<Method>,
    host: Option<String>,
    path: Option<String>,
    after: u32,
    times: Option<u32>,
}

impl FaultRule {
    /// A rule for every request, always.
    pub fn new(fault: Fault) -> Self {
        Self { fault, method: None, host: None, path: None, after: 0, times: None }
    }

    /// The same for requests with this method alone.
    pub fn method(mut self, method: Method) -> Self {
        self.method = Some(method);
        self
    }

    /// The same for requests to this host alone.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// The same for requests whose path has this text in it.
    pub fn path(mut self, part: impl Into<String>) -> Self {
        self.path = Some(part.into());
        self
    }

    /// The same, but the first so many requests that it is for pass.
    pub fn after(mut self, requests: u32) -> Self {
        self.after = requests;
        self
    }

    /// The same, but only for so many requests; then the rule is over.
    pub fn times(mut self, requests: u32) -> Self {
        self.times = Some(requests);
        self
    }

    fn is_for(&self, request: &HttpRequest) -> bool {
        let host = request.url.host_str().unwrap_or_default();
        self.method.as_ref().is_none_or(|method| *method == request.method)
            && self.host.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(host))
            && self.path.as_ref().is_none_or(|part| request.url.path().contains(part.as_str()))
            && self.times != Some(0)
    }

    /// Counts a request that it is for; whether that one meets the fault.
    fn count(&mut self) -> bool {
        if self.after > 0 {
            self.after -= 1;
            return false;
        }
        if let Some(times) = &mut self.times {
            *times = times.saturating_sub(1);
        }
        true
    }
}

/// A transport around another that makes faults by rules: of several that a request meets, the one that was added first.
///
/// It holds to the contract of [`HttpTransport`]: what it makes is what a transport can meet, deadlines included. Waits are those of
/// `tokio`'s clock, which a test can pause.
///
/// ```
/// use std::sync::Arc;
/// use mlops_azure::config::cloud::Audience;
/// use mlops_azure::fake::{FakeAzure, Fault, FaultRule, FaultyTransport};
/// use mlops_azure::http::Call;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let azure = FakeAzure::new();
/// let faulty = Arc::new(FaultyTransport::new(azure.transport()));
/// faulty.add(FaultRule::new(Fault::HalfBody).times(1));
/// let base = "https://management.azure.com".parse().unwrap();
/// let arm = azure.builder(base, Audience::ResourceManager).transport(faulty.clone()).build()?;
/// let call: Call<serde_json::Value> = Call::get("example", azure.workspace().id()).query("api-version", "2026-05-01");
/// assert_eq!(arm.call(call).await?["name"], "mlw-fake");
/// assert_eq!((faulty.made().len(), azure.count()), (1, 2));
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FaultyTransport {
    inner: Arc<dyn HttpTransport>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rules: Vec<FaultRule>,
    made: Vec<String>,
}

impl FaultyTransport {
    /// A transport that makes no fault yet.
    pub fn new(inner: Arc<dyn HttpTransport>) -> Self {
        Self { inner, state: Mutex::default() }
    }

    /// Adds a rule.
    pub fn add(&self, rule: FaultRule) -> &Self {
        self.state().rules.push(rule);
        self
    }

    /// Removes all rules.
    pub fn heal(&self) {
        self.state().rules.clear();
    }

    /// The faults that were made, in order: each with method and address, without the query.
    pub fn made(&self) -> Vec<String> {
        self.state().made.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault that a request meets.
    fn meet(&self, request: &HttpRequest) -> Option<Fault> {
        let mut state = self.state();
        let rule = state.rules.iter_mut().find(|rule| rule.is_for(request))?;
        let fault = rule.fault.clone();
        if !rule.count() {
            return None;
        }
        state.made.push(format!("{fault:?}: {} {}", request.method, bare(&request.url)));
        Some(fault)
    }
}

impl fmt::Debug for FaultyTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyTransport").field("inner", &self.inner).finish_non_exhaustive()
    }
}

fn broken(stage: Stage, timeout: bool) -> HttpFault {
    HttpFault::new(stage, timeout, "a fault that was asked for")
}

#[async_trait]
impl HttpTransport for FaultyTransport {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpFault> {
        let (timeout, deadline) = (request.timeout, Instant::now() + request.timeout);
        let Some(fault) = self.meet(&request) else { return self.inner.send(request).await };
        match fault {
            Fault::Unreachable => Err(broken(Stage::Connect, false)),
            Fault::ConnectTimeout => {
                tokio::time::sleep(timeout).await;
                Err(broken(Stage::Connect, true))
            }
            Fault::Reset => Err(broken(Stage::Answer, false)),
            Fault::LostAnswer => {
                drop(self.inner.send(request).await?);
                Err(broken(Stage::Answer, false))
            }
            Fault::Silence => {
                tokio::time::sleep(timeout).await;
                Err(broken(Stage::Answer, true))
            }
            Fault::Late(wait) if wait >= timeout => {
                tokio::time::sleep(timeout).await;
                Err(broken(Stage::Answer, true))
            }
            Fault::Late(wait) => {
                tokio::time::sleep(wait).await;
                self.inner.send(HttpRequest { timeout: timeout.saturating_sub(wait), ..request }).await
            }
            Fault::HalfBody => whole(self.inner.send(request).await?).await.map(half),
            Fault::Trickle(pause) => {
                let (response, bytes) = whole(self.inner.send(request).await?).await?;
                Ok(HttpResponse { body: trickle(bytes, pause, deadline), ..response })
            }
            Fault::HugeBody(length) => {
                let mut response = self.inner.send(request).await?;
                response.headers.remove(CONTENT_LENGTH);
                Ok(HttpResponse { body: blanks(length), ..response })
            }
            Fault::Html => Ok(page(200, "<!doctype html><title>Sign in</title>")),
            Fault::Status(status, wait) => {
                let mut response = HttpResponse { status, headers: HeaderMap::new(), body: "".into() };
                if let Some(wait) = wait {
                    response.headers.insert(RETRY_AFTER, wait.into());
                }
                Ok(response)
            }
            Fault::Redirect(to) => {
                let mut response = page(307, "");
                let to = HeaderValue::try_from(to).map_err(|_| broken(Stage::Request, false))?;
                response.headers.insert(LOCATION, to);
                Ok(response)
            }
            Fault::Skew(seconds) => self.inner.send(request).await.map(|response| skewed(response, seconds)),
        }
    }
}

/// A page of HTML.
fn page(status: u16, text: &'static str) -> HttpResponse {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    HttpResponse { status, headers, body: Bytes::from_static(text.as_bytes()).into() }
}

/// An answer with its whole body beside it.
async fn whole(response: HttpResponse) -> Result<(HttpResponse, Bytes), HttpFault> {
    const LARGEST: usize = 1 << 30;
    let HttpResponse { status, headers, body } = response;
    let bytes = body.collect(LARGEST).await.map_err(|e| HttpFault::new(Stage::Answer, false, e))?;
    Ok((HttpResponse { status, headers, body: Bytes::new().into() }, bytes))
}

fn half((response, bytes): (HttpResponse, Bytes)) -> HttpResponse {
    let first = Ok(bytes.slice(..bytes.len() / 2));
    let end = Err(broken(Stage::Answer, false).into_error("HttpTransport::send"));
    HttpResponse { body: ByteStream::new(stream::iter([first, end])), ..response }
}

/// A body byte by byte; after the deadline it ends with a fault.
fn trickle(bytes: Bytes, pause: Duration, deadline: Instant) -> ByteStream {
    let pieces = (0..bytes.len()).map(move |i| bytes.slice(i..i + 1));
    let slow = stream::iter(pieces).then(move |piece| async move {
        tokio::time::sleep_until((Instant::now() + pause).min(deadline)).await;
        match Instant::now() < deadline {
            true => Ok(piece),
            false => Err(broken(Stage::Answer, true).into_error("HttpTransport::send")),
        }
    });
    ByteStream::new(slow)
}

/// So many bytes of white space, in pieces of 64 KiB.
fn blanks(length: u64) -> ByteStream {
    const PIECE: &[u8] = &[b' '; 65_536];
    let pieces = stream::unfold(length, |left| async move {
        let piece = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE.len());
        let bytes = PIECE.get(..piece).filter(|bytes| !bytes.is_empty())?;
        Some((Ok(Bytes::from_static(bytes)), left - bytes.len() as u64))
    });
    ByteStream::new(pieces)
}

/// An answer of somebody whose clock is wrong.
fn skewed(mut response: HttpResponse, seconds: i64) -> HttpResponse {
    const FORM: &str = "%a, %d %b %Y %H:%M:%S GMT";
    let time = |ahead: i64| {
        let ahead = chrono::TimeDelta::try_seconds(ahead).unwrap_or_default();
        SystemClock::new().now().checked_add_signed(ahead)
    };
    let header = |ahead| HeaderValue::try_from(time(ahead)?.format(FORM).to_string()).ok();
    if let Some(date) = header(seconds) {
        response.headers.insert(DATE, date);
    }
    let asked = response.header(RETRY_AFTER.as_str()).and_then(|text| text.parse::<i64>().ok());
    if let Some(then) = asked.and_then(|asked| header(seconds.saturating_add(asked))) {
        response.headers.insert(RETRY_AFTER, then);
    }
    response
}
