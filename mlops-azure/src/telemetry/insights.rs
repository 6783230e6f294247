//! Telemetry for Application Insights, kept until it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use mlops_core::governance::Secret;
use mlops_core::time::{Clock, SystemClock};
use mlops_core::{Error, ErrorKind, Result};
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION,
};
use reqwest::{Method, Url};
use serde_json::Value;

use super::connection::ConnectionString;
use super::spool::Spool;
use crate::auth::{AccessToken, Scope, TokenSource};
use crate::http::{
    HttpBody, HttpRequest, HttpTransport, ReqwestConfig, ReqwestTransport, guard, redact, retry, wait,
};
use crate::wire::telemetry::{Envelope, TelemetryItem, Texts, TrackAnswer, TrackError};

const FLUSH: &str = "AppInsights::flush";
/// The shortest body that is compressed, in bytes: a shorter one fits into a packet as it is.
const COMPRESSED_FROM: usize = 1_024;
/// The longest answer that is read.
const MAX_ANSWER: usize = 4 << 20;
/// How often a request follows a redirect.
const MAX_REDIRECTS: usize = 3;
/// The first wait after a failure; each is twice the one before.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// The longest of those waits.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// The wait after the quota of a day is used up, where the service asks for none.
const QUOTA_WAIT: Duration = Duration::from_secs(3_600);
/// The longest wait that the service can ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(86_400);
/// The hosts that telemetry may be redirected to, and their subdomains.
const HOSTS: [&str; 8] = [
    "applicationinsights.azure.com",
    "applicationinsights.azure.cn",
    "applicationinsights.azure.us",
    "applicationinsights.us",
    "monitor.azure.com",
    "monitor.azure.cn",
    "monitor.azure.us",
    "services.visualstudio.com",
];

/// Keeps telemetry in a [`Spool`] and sends it in batches.
///
/// # What it does with each answer
/// | answer | what becomes of the items |
/// |---|---|
/// | 200 | they are there |
/// | 206 | those that are named with 401, 403, 408, 429, 439, 500, 502, 503 or 504 wait, the others that are named are lost and counted, the rest is there |
/// | 307, 308 | sent to the new address if it is one of Azure's for telemetry (from then on for good), else they wait |
/// | 402, 439 | the quota is used up: they wait for as long as the service asks, else an hour |
/// | 413 | sent again in halves; one alone is lost and counted |
/// | 415 to a compressed body | sent again as it is, as everything from then on |
/// | 400, 422 | they are lost and counted |
/// | anything else, and no answer | they wait, for as long as the service asks, else longer after each failure, to five minutes |
///
/// Bodies of 1 KiB or more are compressed with gzip, as Azure's own clients do ([`AppInsightsBuilder::uncompressed`] turns that off); what
/// waits in the spool is not.
///
/// While it waits, nothing is sent. A process that ends between answer and removal sends some items twice.
///
/// Cheap to clone. Its `Debug` shows the host.
///
/// ```
/// use mlops_azure::telemetry::{AppInsights, Spool};
/// use mlops_azure::wire::telemetry::TelemetryItem;
///
/// let connection = "InstrumentationKey=00000000-0000-0000-0000-00000000abcd".parse()?;
/// let insights = AppInsights::builder(connection).role("scorer").spool(Spool::in_memory(1 << 20)).build()?;
/// insights.track(&[TelemetryItem::event("prediction", "2026-01-01T00:00:00Z".parse()?)])?;
/// assert_eq!(insights.waiting(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct AppInsights(Arc<Inner>);

struct Inner {
    key: Secret,
    tags: Texts,
    auth: Option<Auth>,
    transport: Arc<dyn HttpTransport>,
    clock: Arc<dyn Clock>,
    timeout: Duration,
    spool: Mutex<Spool>,
    losses: Mutex<Losses>,
    /// Held while something is sent.
    line: tokio::sync::Mutex<Line>,
}

#[derive(Clone)]
struct Auth {
    scope: Scope,
    tokens: Arc<dyn TokenSource>,
}

/// How the service is doing.
struct Line {
    url: Url,
    failures: u32,
    /// The monotonic time before which nothing is sent.
    not_before: Duration,
    /// The most items of a request.
    most: usize,
    /// Whether bodies are compressed.
    compresses: bool,
}

/// Items that will never be there.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Because more waited than the spool may hold, or an item was too long.
    pub over_limit: u64,
    /// Because the service does not take them.
    pub refused: u64,
    /// Entries of the spool that could not be read back.
    pub unreadable: u64,
}

/// What became of what waited.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlushReport {
    /// How many items are there now.
    pub accepted: u64,
    /// How many were refused for good.
    pub refused: u64,
    /// How many still wait.
    pub waiting: u64,
    /// How long nothing is sent from now on.
    pub wait: Option<Duration>,
    /// Why, in the service's words or the transport's.
    pub failure: Option<String>,
    /// In how many requests.
    pub requests: u32,
}

/// Builds an [`AppInsights`].
#[must_use]
pub struct AppInsightsBuilder {
    connection: ConnectionString,
    tags: Texts,
    tokens: Option<Arc<dyn TokenSource>>,
    http: ReqwestConfig,
    transport: Option<Arc<dyn HttpTransport>>,
    clock: Arc<dyn Clock>,
    timeout: Duration,
    spool: Spool,
    compresses: bool,
}

impl fmt::Debug for AppInsightsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppInsightsBuilder").field("connection", &self.connection).finish_non_exhaustive()
    }
}

impl AppInsightsBuilder {
    /// The service that tells, as the application map shows it.
    pub fn role(self, name: impl Into<String>) -> Self {
        self.tag("ai.cloud.role", name)
    }

    /// Which of its instances tells.
    pub fn instance(self, name: impl Into<String>) -> Self {
        self.tag("ai.cloud.roleInstance", name)
    }

    /// A tag of every item.
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(name.into(), value.into());
        self
    }

    /// Sends with tokens too, for resources that take no key alone.
    pub fn tokens(mut self, tokens: Arc<dyn TokenSource>) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// Where items wait; 16 MiB in memory where nothing is set.
    pub fn spool(mut self, spool: Spool) -> Self {
        self.spool = spool;
        self
    }

    /// The deadline of a request; 30 seconds where nothing is set.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends bodies as they are, whatever their length.
    pub fn uncompressed(mut self) -> Self {
        self.compresses = false;
        self
    }

    /// How connections are made.
    pub fn connections(mut self, http: ReqwestConfig) -> Self {
        self.http = http;
        self
    }

    /// Sends through this transport.
    pub fn transport(mut self, transport: Arc<dyn HttpTransport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// What time it is.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for connections that cannot be set up.
    pub fn build(self) -> Result<AppInsights> {
        let transport = match self.transport {
            Some(transport) => transport,
            None => Arc::new(ReqwestTransport::new(&self.http)?),
        };
        let connection = self.connection;
        let auth = self.tokens.map(|tokens| Auth { scope: connection.scope().clone(), tokens });
        let line = Line {
            url: connection.track_url(),
            failures: 0,
            not_before: Duration::ZERO,
            most: Spool::MAX_ITEMS,
            compresses: self.compresses,
        };
        Ok(AppInsights(Arc::new(Inner {
            key: connection.key().clone(),
            tags: self.tags,
            auth,
            transport,
            clock: self.clock,
            timeout: self.timeout,
            spool: Mutex::new(self.spool),
            losses: Mutex::default(),
            line: tokio::sync::Mutex::new(line),
        })))
    }
}

/// What a request came to.
enum Outcome {
    /// Everything is there.
    Taken,
    /// Some are; the errors say which not.
    Partly(Vec<TrackError>),
    /// Nothing is; later.
    Later { wait: Option<Duration>, quota: bool, why: String },
    /// Too much at once.
    TooLarge,
    /// Never.
    Refused(String),
}

impl AppInsights {
    /// Begins to set up a client.
    pub fn builder(connection: ConnectionString) -> AppInsightsBuilder {
        let tags =
            Texts::from_iter([("ai.internal.sdkVersion", concat!("mlops:", env!("CARGO_PKG_VERSION")))]);
        AppInsightsBuilder {
            connection,
            tags,
            tokens: None,
            http: ReqwestConfig::default(),
            transport: None,
            clock: Arc::new(SystemClock::new()),
            timeout: Duration::from_secs(30),
            spool: Spool::in_memory(16 << 20),
            compresses: true,
        }
    }

    fn spool(&self) -> MutexGuard<'_, Spool> {
        self.0.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self) -> MutexGuard<'_, Losses> {
        self.0.losses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps items to be sent by the next [`flush`](Self::flush). With a spool in a folder they survive this process.
    ///
    /// # Errors
    /// As of [`Spool::push`].
    pub fn track(&self, items: &[TelemetryItem]) -> Result<()> {
        self.spool().push(items)
    }

    /// How many items wait.
    pub fn waiting(&self) -> u64 {
        self.spool().len()
    }

    /// What was lost since this client was made.
    pub fn losses(&self) -> Losses {
        let mut losses = *self.lost();
        let spool = self.spool();
        (losses.over_limit, losses.unreadable) = (spool.dropped(), spool.unreadable());
        losses
    }

    /// Sends what waits, oldest first, until nothing waits or the service has to be waited for; then it says for how long, and sends
    /// nothing before. Call it from time to time.
    ///
    /// To drop the future loses nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`] for a spool that cannot be used, [`ErrorKind::Auth`] without a token. What the service and the network
    /// do is in the report.
    pub async fn flush(&self) -> Result<FlushReport> {
        let mut line = self.0.line.lock().await;
        let mut report = FlushReport::default();
        loop {
            if let Some(wait) = self.patience(&line) {
                report.wait = Some(wait);
                break;
            }
            let mut batch = self.spool().oldest(line.most)?;
            // An entry may hold more than a request that was too large: then its first items alone are sent.
            let is_cut = match batch.as_mut_slice() {
                [] => break,
                [(_, items), ..] => items.len() > line.most,
            };
            let most = if is_cut { line.most } else { usize::MAX };
            let sent: Vec<&TelemetryItem> = batch.iter().flat_map(|(_, items)| items).take(most).collect();
            report.requests += 1;
            let outcome = self.post(&mut line, &sent).await?;
            let total = sent.len();
            match outcome {
                Outcome::Taken => self.settle(&batch, total, &[], &mut report)?,
                Outcome::Partly(errors) => {
                    self.settle(&batch, total, &errors, &mut report)?;
                    if let Some(error) = errors.iter().find(|error| may_pass(error.status_code)) {
                        let why = redact::text(&error.message, std::slice::from_ref(&self.0.key), 200);
                        let quota = matches!(error.status_code, 402 | 439);
                        self.back_off(&mut line, None, quota);
                        report.failure = Some(why);
                        continue;
                    }
                }
                Outcome::Later { wait, quota, why } => {
                    self.back_off(&mut line, wait, quota);
                    report.failure = Some(why);
                    continue;
                }
                Outcome::TooLarge if total > 1 => line.most = total.div_ceil(2),
                Outcome::TooLarge => {
                    self.refuse(&batch, total, &mut report, "an item is too large".to_owned())?;
                }
                Outcome::Refused(why) => self.refuse(&batch, total, &mut report, why)?,
            }
            line.failures = 0;
        }
        report.waiting = self.waiting();
        Ok(report)
    }

    /// Sends items past the spool; they are there when this returns.
    ///
    /// # Errors
    /// [`ErrorKind::RateLimited`] while the service has to be waited for, and when it does not take them now; [`ErrorKind::Rejected`]
    /// when it will never take one of them; [`ErrorKind::Auth`] without a token.
    pub async fn send(&self, items: &[TelemetryItem]) -> Result<()> {
        const OP: &str = "AppInsights::send";
        let mut line = self.0.line.lock().await;
        let later = |why: &str| Error::new(ErrorKind::RateLimited, OP, "not now").with("why", why);
        if let Some(wait) = self.patience(&line) {
            return Err(later("the service asked to wait").with("wait_s", wait.as_secs()));
        }
        let sent: Vec<&TelemetryItem> = items.iter().collect();
        match self.post(&mut line, &sent).await? {
            Outcome::Taken => {
                line.failures = 0;
                Ok(())
            }
            Outcome::Later { wait, quota, why } => {
                self.back_off(&mut line, wait, quota);
                Err(later(&why))
            }
            Outcome::Partly(errors) => match errors.iter().find(|error| !may_pass(error.status_code)) {
                Some(error) => {
                    let why = redact::text(&error.message, std::slice::from_ref(&self.0.key), 200);
                    let refused = Error::new(ErrorKind::Rejected, OP, "the service does not take an item");
                    Err(refused.with("status", error.status_code).with("why", why))
                }
                None => Err(later("the service took a part")),
            },
            Outcome::TooLarge => Err(Error::new(ErrorKind::Rejected, OP, "too much for one request")),
            Outcome::Refused(why) => {
                Err(Error::new(ErrorKind::Rejected, OP, "the service does not take it").with("why", why))
            }
        }
    }

    /// How long nothing may be sent.
    fn patience(&self, line: &Line) -> Option<Duration> {
        let left = line.not_before.saturating_sub(self.0.clock.monotonic());
        (!left.is_zero()).then_some(left)
    }

    fn back_off(&self, line: &mut Line, asked: Option<Duration>, quota: bool) {
        let doubled = FIRST_WAIT.saturating_mul(1_u32.checked_shl(line.failures).unwrap_or(u32::MAX));
        let own = if quota { QUOTA_WAIT } else { doubled.min(LONGEST_WAIT) };
        // Half of it is drawn: processes that failed together do not come back together.
        let wait = match asked {
            Some(asked) => asked.clamp(Duration::from_millis(100), LONGEST_ASKED),
            None => own.mul_f64(0.5 + retry::random() / 2.0),
        };
        line.failures = line.failures.saturating_add(1);
        line.not_before = self.0.clock.monotonic().saturating_add(wait);
    }

    /// Removes from the spool what was among the first `total` items and is not to be sent again.
    fn settle(
        &self,
        batch: &[(u64, Vec<TelemetryItem>)],
        total: usize,
        errors: &[TrackError],
        report: &mut FlushReport,
    ) -> Result<()> {
        let errors: BTreeMap<usize, u16> = errors
            .iter()
            .filter(|error| error.index < total)
            .map(|error| (error.index, error.status_code))
            .collect();
        let refused = errors.values().filter(|status| !may_pass(**status)).count() as u64;
        report.refused += refused;
        report.accepted += (total - errors.len()) as u64;
        self.lost().refused += refused;
        let mut first = 0;
        let mut spool = self.spool();
        for (number, items) in batch {
            let stays = |place: &usize| {
                let at = first + place;
                at >= total || errors.get(&at).is_some_and(|status| may_pass(*status))
            };
            let places: BTreeSet<usize> = (0..items.len()).filter(stays).collect();
            spool.keep(*number, items, &places)?;
            first += items.len();
        }
        Ok(())
    }

    /// Removes the first `total` items: they are lost.
    fn refuse(
        &self,
        batch: &[(u64, Vec<TelemetryItem>)],
        total: usize,
        report: &mut FlushReport,
        why: String,
    ) -> Result<()> {
        let error = |index| TrackError { index, status_code: 400, message: String::new().into() };
        let errors: Vec<TrackError> = (0..total).map(error).collect();
        report.failure = Some(why);
        self.settle(batch, total, &errors, report)
    }

    /// One request, redirects included.
    async fn post(&self, line: &mut Line, items: &[&TelemetryItem]) -> Result<Outcome> {
        let envelopes: Vec<Envelope<'_>> =
            items.iter().map(|item| Envelope::new(item, self.0.key.expose(), &self.0.tags)).collect();
        let bad = |e| Error::new(ErrorKind::Internal, FLUSH, "an item cannot be written").with_source(e);
        let body = serde_json::to_vec(&envelopes).map_err(|e: serde_json::Error| bad(e))?;
        let plain = Bytes::from(body);
        let mut compressed = line.compresses.then(|| compress(&plain)).flatten();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = HttpRequest::new(Method::POST, line.url.clone());
            let token = self.dress(&mut request.headers).await?;
            if compressed.is_some() {
                request.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            request.body = HttpBody::Bytes(compressed.as_ref().unwrap_or(&plain).clone());
            request.timeout = self.0.timeout;
            let response = match self.0.transport.send(request).await {
                Ok(response) => response,
                Err(fault) => {
                    let why = fault.to_string();
                    return Ok(Outcome::Later { wait: None, quota: false, why });
                }
            };
            let status = response.status;
            if matches!(status, 307 | 308) {
                let to = response.header(LOCATION.as_str()).map(str::to_owned);
                match to.and_then(|to| redirect(&line.url, &to)) {
                    Some(url) => line.url = url,
                    None => {
                        let why = "redirected to where no telemetry may go".to_owned();
                        return Ok(Outcome::Later { wait: None, quota: false, why });
                    }
                }
                continue;
            }
            if status == 415 && compressed.take().is_some() {
                line.compresses = false;
                continue;
            }
            if let (401, Some(auth), Some(token)) = (status, &self.0.auth, &token) {
                auth.tokens.refuse(&auth.scope, token).await;
            }
            let asked = wait::asked(&response.headers, self.0.clock.now());
            let Ok(body) = response.body.collect(MAX_ANSWER).await else {
                let why = "the answer broke off".to_owned();
                return Ok(Outcome::Later { wait: asked, quota: false, why });
            };
            return Ok(self.outcome(status, asked, &body));
        }
        let why = "too many redirects".to_owned();
        Ok(Outcome::Later { wait: None, quota: false, why })
    }

    /// Adds the headers of every request, and says with which token.
    async fn dress(&self, headers: &mut HeaderMap) -> Result<Option<AccessToken>> {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let Some(auth) = &self.0.auth else { return Ok(None) };
        let token = retry::before(FLUSH, Some(self.0.timeout), auth.tokens.token(&auth.scope)).await?;
        let bearer = Secret::new(format!("Bearer {}", token.secret.expose()));
        let bad = |_| Error::new(ErrorKind::Auth, FLUSH, "the token has a character that no header can hold");
        let mut value = HeaderValue::from_str(bearer.expose()).map_err(bad)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
        Ok(Some(token))
    }

    fn outcome(&self, status: u16, asked: Option<Duration>, body: &[u8]) -> Outcome {
        let answer: Option<TrackAnswer> = serde_json::from_slice(body).ok();
        let why = || {
            let said: Option<String> = serde_json::from_slice::<Value>(body)
                .ok()
                .and_then(|body| body.get("errors")?.get(0)?.get("message")?.as_str().map(str::to_owned));
            let said = redact::text(&said.unwrap_or_default(), std::slice::from_ref(&self.0.key), 200);
            format!("{status} {said}").trim_end().to_owned()
        };
        match status {
            206 => match answer {
                Some(answer) => Outcome::Partly(answer.errors),
                None => {
                    Outcome::Later { wait: asked, quota: false, why: "206 without saying which".to_owned() }
                }
            },
            200..=299 => Outcome::Taken,
            413 => Outcome::TooLarge,
            402 | 439 => Outcome::Later { wait: asked, quota: true, why: why() },
            // That it is no telemetry will not change.
            400 | 422 => Outcome::Refused(why()),
            // Everything else is not about what was sent: the resource is not there or not there any more, the address is another
            // one, or something between here and there answers in its place.
            _ => Outcome::Later { wait: asked, quota: false, why: why() },
        }
    }
}

/// A body compressed, if it is long enough and shorter then.
fn compress(body: &Bytes) -> Option<Bytes> {
    if body.len() < COMPRESSED_FROM {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::default());
    encoder.write_all(body).ok()?;
    let compressed = encoder.finish().ok()?;
    (compressed.len() < body.len()).then(|| compressed.into())
}

/// Whether the same item may be taken later.
fn may_pass(status: u16) -> bool {
    matches!(status, 401 | 402 | 403 | 408 | 429 | 439 | 500 | 502 | 503 | 504)
}

/// Where a redirect leads, if telemetry may go there: to Azure's hosts for it over `https`; from this machine to this machine.
fn redirect(from: &Url, to: &str) -> Option<Url> {
    let url = from.join(to).ok()?;
    if guard::may_carry_secrets(FLUSH, "location", &url).is_err() {
        return None;
    }
    let host = url.host_str()?.to_ascii_lowercase();
    let is_below =
        |domain: &str| host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    let of_azure =
        url.scheme() == "https" && url.port().is_none() && HOSTS.iter().any(|domain| is_below(domain));
    let at_home = guard::is_loopback(from) && guard::is_loopback(&url);
    (of_azure || at_home).then_some(url)
}

impl fmt::Debug for AppInsights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppInsights")
            .field("tags", &self.0.tags)
            .field("spool", &*self.spool())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telemetry_goes_to_azure_alone() {
        let from: Url = "https://eastus-1.in.applicationinsights.azure.com/v2.1/track".parse().unwrap();
        for good in [
            "https://westus-0.in.applicationinsights.azure.com/v2.1/track",
            "https://x.monitor.azure.com/v2.1/track",
            "https://MONITOR.azure.com/",
            "https://dc.services.visualstudio.com/v2.1/track",
            "/v2.2/track",
        ] {
            assert!(redirect(&from, good).is_some(), "{good}");
        }
        for bad in [
            "https://evil.example/v2.1/track",
            "https://monitor.azure.com.evil.example/",
            "https://evilmonitor.azure.com/",
            "http://x.monitor.azure.com/",
            "https://x.monitor.azure.com:8443/",
            "https://u:p@x.monitor.azure.com/",
            "http://127.0.0.1/v2.1/track",
            "//evil.example",
            "file:///etc/passwd",
            "https://[",
        ] {
            assert!(redirect(&from, bad).is_none(), "{bad}");
        }
        let here: Url = "http://127.0.0.1:1/v2.1/track".parse().unwrap();
        assert!(redirect(&here, "http://127.0.0.1:2/v2.1/track").is_some());
    }
}
