//! A service behind a token.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use mlops_core::governance::Secret;
use mlops_core::time::{Clock, SystemClock};
use mlops_core::{Error, ErrorKind, Result};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;
use tracing::Instrument as _;
use uuid::Uuid;

use super::call::Call;
use super::client::{ReqwestConfig, ReqwestTransport};
use super::limits::RateLimits;
use super::operation::{self, Operation, OperationState, PollPolicy};
use super::page::{self, Page};
use super::retry::{self, Draws, Repeat, RetryPolicy};
use super::transport::{HttpBody, HttpRequest, HttpResponse, HttpTransport};
use super::{guard, wait};
use crate::auth::{AccessToken, Scope, TokenSource};
use crate::config::Endpoints;
use crate::config::cloud::Audience;
use crate::error::{self, Answer, ServiceError};

/// A client of one service of Azure: its address, the scope of its tokens, and how requests to it are sent.
///
/// Cheap to clone; clones share connections, tokens and what is known of the service's limits.
///
/// # What it does with every call
/// * The token goes to this host alone. Redirects are not followed; links in answers are checked by [`guard::same_origin`].
/// * 401 is answered with a new token, once. 408, 429, 5xx and lost connections are tried again as [`RetryPolicy`] and the call's
///   [`Repeat`] say. 409 because of another operation on the same resource is waited for: such a call was not taken. Whether it is
///   because of one is read from the code where that says so, else from `Retry-After`, else from the resources around: the one
///   that the call is about with the one above it, and of an endpoint all its deployments. If `provisioningState` says nowhere that
///   something is under way, the call is tried once more, for it may have ended meanwhile; then it is a conflict.
/// * All of it, the token included, ends at the deadline.
/// * 409 `MissingSubscriptionRegistration` registers the resource provider in the subscription, waits until it is, and sends the
///   call again under a new id, because the service remembers the old id's answer. To register takes the permission
///   `*/register/action`.
/// * Every try of a call carries the same `x-ms-client-request-id`, by which Azure's people find it.
/// * The answer's body is read to [`ServiceBuilder::max_answer`], and never unpacked.
///
/// ```
/// use std::sync::Arc;
/// use mlops_azure::auth::{AccessToken, FixedToken};
/// use mlops_azure::config::{Cloud, Endpoints};
/// use mlops_azure::http::Service;
///
/// let tokens = Arc::new(FixedToken::new(AccessToken::new("hunter2", "2100-01-01T00:00:00Z".parse()?)));
/// let service = Service::resource_manager(&Endpoints::of(Cloud::Public)?, tokens).build()?;
/// assert!(!format!("{service:?}").contains("hunter2"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    base: Url,
    scope: Scope,
    tokens: Arc<dyn TokenSource>,
    transport: Arc<dyn HttpTransport>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    limits: Mutex<RateLimits>,
}

#[derive(Clone, Debug)]
struct Settings {
    retry: RetryPolicy,
    poll: PollPolicy,
    timeout: Duration,
    max_answer: usize,
    user_agent: Option<HeaderValue>,
    registers: bool,
}

/// Builds a [`Service`].
#[must_use]
pub struct ServiceBuilder {
    base: Url,
    scope: Scope,
    tokens: Arc<dyn TokenSource>,
    http: ReqwestConfig,
    transport: Option<Arc<dyn HttpTransport>>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    user_agent: Option<String>,
}

/// An answer that is a success, with its whole body.
#[non_exhaustive]
#[derive(Clone)]
pub struct Reply {
    /// The status, from 200 to 299.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// An answer whose body is there.
    pub const fn new(status: u16, headers: HeaderMap, body: Bytes) -> Self {
        Self { status, headers, body }
    }

    /// The header's value, if it is there and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Reads the body; no body reads as JSON's `null`.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] for a body that is not JSON or not what is expected. The error shows nothing of the body.
    pub fn json<T: DeserializeOwned>(&self, operation: &'static str) -> Result<T> {
        let blank = self.body.iter().all(u8::is_ascii_whitespace);
        let body: &[u8] = if blank { b"null" } else { &self.body };
        serde_json::from_slice(body).map_err(|e| {
            let message = match e.classify() {
                serde_json::error::Category::Data => "the answer is JSON, but not what was expected",
                _ => "the answer is not JSON",
            };
            let error = Error::new(ErrorKind::Protocol, operation, message)
                .with("status", self.status)
                .with("position", format!("{}:{}", e.line(), e.column()));
            match self.header("content-type") {
                Some(kind) => error.with("content_type", kind),
                None => error,
            }
        })
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl ServiceBuilder {
    /// The longest answer that is read, where nothing else is set: 16 MiB.
    pub const MAX_ANSWER: usize = 16 << 20;
    /// How long one call may take with everything that is tried again, where nothing else is set.
    pub const DEADLINE: Duration = Duration::from_secs(300);

    /// What is tried again.
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.settings.retry = retry;
        self
    }

    /// How often long-running operations are asked.
    pub fn poll(mut self, poll: PollPolicy) -> Self {
        self.settings.poll = poll;
        self
    }

    /// The deadline of one try; two minutes where nothing is set.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// The longest answer that is read; [`Self::MAX_ANSWER`] where nothing is set.
    pub fn max_answer(mut self, bytes: usize) -> Self {
        self.settings.max_answer = bytes;
        self
    }

    /// What comes before this crate's name in `User-Agent`.
    pub fn user_agent(mut self, application: impl Into<String>) -> Self {
        self.user_agent = Some(application.into());
        self
    }

    /// Whether resource providers are registered where one is missing; they are, if nothing is set.
    pub fn register_providers(mut self, yes: bool) -> Self {
        self.settings.registers = yes;
        self
    }

    /// How connections are made: proxies, certificates, deadlines.
    pub fn connections(mut self, http: ReqwestConfig) -> Self {
        self.http = http;
        self
    }

    /// Sends through this transport; connections are then its own matter.
    pub fn transport(mut self, transport: Arc<dyn HttpTransport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Where the wall clock's time comes from, by which dates in `Retry-After` are read.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The service. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an address to which no token may be sent, a user agent that no header can hold, and
    /// for connections that cannot be set up.
    pub fn build(self) -> Result<Service> {
        const OP: &str = "ServiceBuilder::build";
        guard::may_carry_secrets(OP, "base", &self.base)?;
        let mut settings = self.settings;
        settings.user_agent = match &self.user_agent {
            None => None,
            Some(application) => {
                let text = format!("{application} {}", super::client::USER_AGENT);
                let bad = |_| Error::invalid(OP, "user_agent", "holds a character that no header can hold");
                Some(HeaderValue::from_str(&text).map_err(bad)?)
            }
        };
        let transport = match self.transport {
            Some(transport) => transport,
            None => Arc::new(ReqwestTransport::new(&self.http)?),
        };
        let (base, scope, tokens, clock) = (self.base, self.scope, self.tokens, self.clock);
        Ok(Service(Arc::new(Inner {
            base,
            scope,
            tokens,
            transport,
            clock,
            settings,
            limits: Mutex::default(),
        })))
    }
}

impl fmt::Debug for ServiceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.base.host_str();
        f.debug_struct("ServiceBuilder")
            .field("host", &host)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl Service {
    /// Begins to set up a client for the service at `base`, whose tokens have this scope. What `base` holds besides scheme,
    /// host and port is not used.
    pub fn builder(base: Url, scope: Scope, tokens: Arc<dyn TokenSource>) -> ServiceBuilder {
        let settings = Settings {
            retry: RetryPolicy { deadline: Some(ServiceBuilder::DEADLINE), ..RetryPolicy::default() },
            poll: PollPolicy::default(),
            timeout: HttpRequest::TIMEOUT,
            max_answer: ServiceBuilder::MAX_ANSWER,
            user_agent: None,
            registers: true,
        };
        let (http, clock) = (ReqwestConfig::default(), Arc::new(SystemClock::new()));
        ServiceBuilder { base, scope, tokens, http, transport: None, clock, settings, user_agent: None }
    }

    /// Begins to set up a client for Resource Manager.
    pub fn resource_manager(endpoints: &Endpoints, tokens: Arc<dyn TokenSource>) -> ServiceBuilder {
        let scope = endpoints.cloud().scope(Audience::ResourceManager);
        Self::builder(endpoints.resource_manager().clone(), scope, tokens)
    }

    /// The address.
    pub fn base(&self) -> &Url {
        &self.0.base
    }

    /// What the service last said of its limits.
    pub fn rate_limits(&self) -> RateLimits {
        self.0.limits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A client for another service of the same caller: at another address, with tokens of another scope, and with the same
    /// transport, tokens, clock and settings.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an address to which no token may be sent.
    pub fn beside(&self, base: Url, scope: Scope) -> Result<Self> {
        guard::may_carry_secrets("Service::beside", "base", &base)?;
        let Inner { tokens, transport, clock, settings, .. } = &*self.0;
        let (tokens, transport, clock) = (tokens.clone(), transport.clone(), clock.clone());
        let settings = settings.clone();
        Ok(Self(Arc::new(Inner {
            base,
            scope,
            tokens,
            transport,
            clock,
            settings,
            limits: Mutex::default(),
        })))
    }

    /// A token for the service, as a client of its own may need it (`x-azureml-token`).
    ///
    /// # Errors
    /// Those of the [`TokenSource`]; [`ErrorKind::Timeout`] when it does not answer before a call's deadline.
    pub async fn token(&self, scope: &Scope) -> Result<AccessToken> {
        retry::before("Service::token", Some(self.total()), self.0.tokens.token(scope)).await
    }

    /// How long a call may take with everything that is tried again and with its token.
    fn total(&self) -> Duration {
        self.0.settings.retry.total(self.0.settings.timeout)
    }

    /// A token for a call that has so much time left.
    async fn authorize(&self, operation: &'static str, left: Option<Duration>) -> Result<AccessToken> {
        retry::before(operation, left, self.0.tokens.token(&self.0.scope)).await
    }

    /// Sends a call and reads its answer.
    ///
    /// # Errors
    /// As by [`error::from_response`]; [`ErrorKind::UnknownOutcome`] when the answer to a call that may not be repeated was
    /// lost; [`ErrorKind::Protocol`] for an answer that is not what the call expects.
    pub async fn call<T: DeserializeOwned>(&self, call: Call<T>) -> Result<T> {
        let operation = call.operation;
        self.reply(call).await?.json(operation)
    }

    /// Sends a call and returns the answer as it is.
    ///
    /// # Errors
    /// As of [`call`](Self::call).
    pub async fn reply<T>(&self, call: Call<T>) -> Result<Reply> {
        let url = guard::same_origin(call.operation, &self.0.base, &call.target())?;
        let request = Outgoing {
            operation: call.operation,
            method: call.method,
            url,
            headers: call.headers,
            body: call.body,
            repeat: call.repeat,
            settling: call.settling,
            waits: call.waits,
            deadline: Some(self.total()),
        };
        self.exchange(request).await
    }

    /// Sends a call that begins a long-running operation.
    ///
    /// # Errors
    /// As of [`call`](Self::call), and [`ErrorKind::Protocol`] for an answer that does not say how to go on.
    pub async fn begin<T: DeserializeOwned>(&self, call: Call<T>) -> Result<Operation<T>> {
        let (operation, method) = (call.operation, call.method.clone());
        let url = guard::same_origin(operation, &self.0.base, &call.target())?;
        let reply = self.reply(call).await?;
        Operation::new(self.clone(), operation, &method, url, &reply)
    }

    /// Goes on with a long-running operation that was [saved](Operation::save).
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] for one that is at another host.
    pub fn resume<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        state: OperationState,
    ) -> Result<Operation<T>> {
        Operation::resume(self.clone(), operation, state)
    }

    /// The pages of a list, one after the other, each asked for when it is wanted.
    ///
    /// The stream ends after an error. A link to a page that was there already is [`ErrorKind::Protocol`]: the list would have
    /// no end.
    pub fn pages<T>(&self, call: Call<Page<T>>) -> impl Stream<Item = Result<Vec<T>>> + Send + use<T>
    where
        T: DeserializeOwned + Send + 'static,
    {
        page::pages(self.clone(), call)
    }

    /// The items of all pages.
    pub fn items<T>(&self, call: Call<Page<T>>) -> impl Stream<Item = Result<T>> + Send + use<T>
    where
        T: DeserializeOwned + Send + 'static,
    {
        page::items(self.clone(), call)
    }

    /// Follows a link of an answer of this service.
    pub(super) async fn follow(
        &self,
        operation: &'static str,
        link: &str,
        deadline: Option<Duration>,
    ) -> Result<Reply> {
        let url = guard::same_origin(operation, &self.0.base, link)?;
        let deadline = Some(deadline.map_or(self.total(), |deadline| deadline.min(self.total())));
        self.exchange(Outgoing { deadline, ..Outgoing::get(operation, url) }).await
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    /// The scope of its tokens.
    pub(crate) fn scope(&self) -> &Scope {
        &self.0.scope
    }

    /// What requests go through, for those that may have no token: to signed addresses.
    pub(crate) fn transport(&self) -> &Arc<dyn HttpTransport> {
        &self.0.transport
    }

    pub(crate) fn retry_policy(&self) -> &RetryPolicy {
        &self.0.settings.retry
    }

    pub(crate) fn poll_policy(&self) -> &PollPolicy {
        &self.0.settings.poll
    }

    pub(crate) fn draws(&self, operation: &str) -> Draws {
        self.0.settings.retry.draws(operation)
    }

    /// Sends a request of the caller's making, with a token, and returns the answer with its body to come, whatever its status.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] for a URL at another host; those of the token and of the transport.
    pub async fn send(
        &self,
        operation: &'static str,
        repeat: Repeat,
        mut request: HttpRequest,
    ) -> Result<HttpResponse> {
        guard::same_origin(operation, &self.0.base, request.url.as_str())?;
        let id = Uuid::new_v4().to_string();
        let (started, retry) = (Instant::now(), &self.0.settings.retry);
        let token = self.authorize(operation, Some(retry.total(request.timeout))).await?;
        self.dress(operation, &mut request.headers, &token, &id)?;
        let span = span(operation, &request.method, &request.url, &id);
        let left = retry.deadline.map(|deadline| deadline.saturating_sub(started.elapsed()));
        let policy = RetryPolicy { deadline: left, ..retry.clone() };
        let sent = retry::send(&*self.0.transport, &policy, operation, repeat, None, request);
        let response = sent.instrument(span).await?;
        self.note(&response.headers);
        if response.status == 401 {
            self.0.tokens.refuse(&self.0.scope, &token).await;
        }
        Ok(response)
    }

    /// Sends a request until it has an answer that is a success.
    async fn exchange(&self, request: Outgoing) -> Result<Reply> {
        let id = Uuid::new_v4().to_string();
        let span = span(request.operation, &request.method, &request.url, &id);
        self.exchange_as(request, id).instrument(span).await
    }

    async fn exchange_as(&self, request: Outgoing, mut id: String) -> Result<Reply> {
        let started = Instant::now();
        let mut state = Progress { started, refused: false, registered: false, doubted: false, waits: 0 };
        let mut draws = self.draws(request.operation);
        loop {
            let token = self.authorize(request.operation, request.left(started)).await?;
            let reply = self.attempt(&request, &token, &id, started).await?;
            if (200..300).contains(&reply.status) {
                tracing::debug!(status = reply.status, "answered");
                return Ok(reply);
            }
            let mut error = self.error(&request, &reply, &token);
            if error::is_open_conflict(&error) && self.is_under_way(&request, started).await {
                let secrets = request.secrets(&token);
                let answer = reply.answer(self.0.clock.now()).with_secrets(&secrets);
                error = error::busy(request.operation, &answer);
            }
            match self.remedy(&request, &reply, &error, &mut state, &mut draws) {
                Remedy::None => return Err(error),
                Remedy::Token => self.0.tokens.refuse(&self.0.scope, &token).await,
                Remedy::Wait(wait) => {
                    tracing::debug!(status = reply.status, wait_ms = wait.as_millis(), "waiting");
                    tokio::time::sleep(wait).await;
                }
                Remedy::Register(namespace) => {
                    self.register(&request, &namespace)
                        .await
                        .map_err(|e| error_of_registration(e, &namespace))?;
                    id = Uuid::new_v4().to_string();
                }
            }
        }
    }

    async fn attempt(
        &self,
        request: &Outgoing,
        token: &AccessToken,
        id: &str,
        started: Instant,
    ) -> Result<Reply> {
        let settings = &self.0.settings;
        let mut sent = HttpRequest::new(request.method.clone(), request.url.clone());
        sent.headers = request.headers.clone();
        sent.body = request.body.clone().map_or(HttpBody::Empty, HttpBody::Bytes);
        sent.timeout = settings.timeout;
        self.dress(request.operation, &mut sent.headers, token, id)?;
        let policy = RetryPolicy { deadline: request.left(started), ..settings.retry.clone() };
        let (operation, limit) = (request.operation, settings.max_answer);
        let response =
            retry::send(&*self.0.transport, &policy, operation, request.repeat, Some(limit), sent).await?;
        self.note(&response.headers);
        let HttpResponse { status, headers, body } = response;
        Ok(Reply { status, headers, body: body.collect(limit).await? })
    }

    /// Adds the headers of every request.
    fn dress(
        &self,
        operation: &'static str,
        headers: &mut HeaderMap,
        token: &AccessToken,
        id: &str,
    ) -> Result<()> {
        let bearer = Secret::new(format!("Bearer {}", token.secret.expose()));
        let mut value = HeaderValue::from_str(bearer.expose()).map_err(|_| {
            Error::new(ErrorKind::Auth, operation, "the token has a character that no header can hold")
        })?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("application/json"));
        if let Ok(id) = HeaderValue::from_str(id) {
            headers.insert("x-ms-client-request-id", id);
        }
        if let Some(agent) = &self.0.settings.user_agent {
            headers.insert(USER_AGENT, agent.clone());
        }
        Ok(())
    }

    fn note(&self, headers: &HeaderMap) {
        let mut limits = self.0.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let known = std::mem::take(&mut *limits);
        *limits = known.updated(RateLimits::of(headers));
    }

    /// The error of an answer, without the token and without what the call's own headers hold.
    fn error(&self, request: &Outgoing, reply: &Reply, token: &AccessToken) -> Error {
        let secrets = request.secrets(token);
        error::from_response(request.operation, &reply.answer(self.0.clock.now()).with_secrets(&secrets))
    }

    /// Whether an operation is under way around what a call is about. A look that fails has seen nothing.
    async fn is_under_way(&self, request: &Outgoing, started: Instant) -> bool {
        for path in around(&request.method, request.url.path()) {
            let mut url = request.url.clone();
            url.set_path(&path);
            let version = url.query_pairs().find(|(name, _)| name == "api-version");
            let version = version.map(|(_, version)| format!("api-version={version}"));
            url.set_query(version.as_deref());
            let look = Outgoing { deadline: request.left(started), ..Outgoing::get(request.operation, url) };
            // Boxed, because it is an exchange within an exchange; it looks at nothing else.
            let Ok(reply) = Box::pin(self.attempt_plain(&look)).await else { continue };
            if reply.json::<Value>(request.operation).is_ok_and(|value| has_pending(&value)) {
                return true;
            }
        }
        false
    }

    /// What to do about an answer that is not a success.
    fn remedy(
        &self,
        request: &Outgoing,
        reply: &Reply,
        error: &Error,
        state: &mut Progress,
        draws: &mut Draws,
    ) -> Remedy {
        let said = |code| ServiceError::of(error).is_some_and(|e| e.has(code));
        match reply.status {
            401 if !state.refused => {
                state.refused = true;
                Remedy::Token
            }
            403 | 404 if request.settling.is_some() => {
                let within = request.settling.unwrap_or_default();
                self.patience(reply, state, draws, Some(within))
            }
            409 if self.0.settings.registers
                && !state.registered
                && said("MissingSubscriptionRegistration") =>
            {
                state.registered = true;
                namespace(request.url.path(), error).map_or(Remedy::None, Remedy::Register)
            }
            409 if request.waits && error.kind() == ErrorKind::Busy => {
                self.patience(reply, state, draws, request.deadline)
            }
            409 if request.waits
                && !state.doubted
                && error::is_open_conflict(error)
                && !around(&request.method, request.url.path()).is_empty() =>
            {
                state.doubted = true;
                self.patience(reply, state, draws, request.deadline)
            }
            _ => Remedy::None,
        }
    }

    /// Waits for what will be otherwise soon, as long as there is time.
    fn patience(
        &self,
        reply: &Reply,
        state: &mut Progress,
        draws: &mut Draws,
        within: Option<Duration>,
    ) -> Remedy {
        let policy = &self.0.settings.retry;
        let asked =
            wait::asked(&reply.headers, self.0.clock.now()).filter(|wait| *wait <= policy.max_retry_after);
        let wait = asked.unwrap_or_else(|| policy.delay(state.waits, draws.draw()));
        // Whoever is told to come back at once still does not come back a thousand times a second.
        let wait = wait.max(Duration::from_millis(100));
        state.waits = state.waits.saturating_add(1);
        let limit = within.unwrap_or(policy.budget);
        let in_time = state.started.elapsed().saturating_add(wait) < limit;
        if in_time && policy.attempts > 1 { Remedy::Wait(wait) } else { Remedy::None }
    }

    /// Registers a resource provider in the request's subscription and waits until it is.
    async fn register(&self, request: &Outgoing, namespace: &str) -> Result<()> {
        const VERSION: &str = "2016-02-01";
        const PATIENCE: Duration = Duration::from_secs(600);
        let operation = request.operation;
        let bad = || Error::new(ErrorKind::Protocol, operation, "the call is about no subscription");
        let subscription = subscription(request.url.path()).ok_or_else(bad)?;
        let path = format!("/subscriptions/{subscription}/providers/{namespace}");
        tracing::info!(namespace, "registering a resource provider");
        let url = |suffix: &str| {
            guard::same_origin(operation, &self.0.base, &format!("{path}{suffix}?api-version={VERSION}"))
        };
        let started = Instant::now();
        let method = Method::POST;
        let mut next = Outgoing { method, ..Outgoing::get(operation, url("/register")?) };
        loop {
            // Boxed, because a registration is an exchange within an exchange; it never registers anything itself.
            let reply = Box::pin(self.attempt_plain(&next)).await?;
            let provider: Provider = reply.json(operation)?;
            if provider.registration_state.eq_ignore_ascii_case("registered") {
                return Ok(());
            }
            if started.elapsed() > PATIENCE {
                let message = "the resource provider is not registered in time";
                return Err(Error::new(ErrorKind::Timeout, operation, message));
            }
            let wait = wait::asked(&reply.headers, self.0.clock.now()).unwrap_or(Duration::from_secs(10));
            tokio::time::sleep(wait.clamp(Duration::from_secs(1), Duration::from_secs(60))).await;
            next = Outgoing::get(operation, url("")?);
        }
    }

    /// One exchange without remedies.
    async fn attempt_plain(&self, request: &Outgoing) -> Result<Reply> {
        let started = Instant::now();
        let token = self.authorize(request.operation, request.left(started)).await?;
        let id = Uuid::new_v4().to_string();
        let reply = self.attempt(request, &token, &id, started).await?;
        match reply.status {
            200..=299 => Ok(reply),
            _ => Err(self.error(request, &reply, &token)),
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("host", &self.0.base.host_str())
            .field("scope", &self.0.scope)
            .field("tokens", &self.0.tokens)
            .finish_non_exhaustive()
    }
}

impl Reply {
    /// What an error is read from.
    pub(super) fn answer(&self, now: mlops_core::time::Timestamp) -> Answer<'_> {
        let mut answer = Answer::new(self.status, &self.body);
        if let Some(id) = self.header("x-ms-request-id") {
            answer = answer.with_request_id(id);
        }
        if let Some(id) = self.header("x-ms-correlation-request-id") {
            answer = answer.with_correlation_id(id);
        }
        if let Some(wait) = wait::asked(&self.headers, now) {
            answer = answer.with_retry_after(wait);
        }
        answer
    }
}

/// A request that may be sent several times.
struct Outgoing {
    operation: &'static str,
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<Bytes>,
    repeat: Repeat,
    settling: Option<Duration>,
    /// Whether another operation on the resource is waited for.
    waits: bool,
    deadline: Option<Duration>,
}

impl Outgoing {
    fn get(operation: &'static str, url: Url) -> Self {
        let (method, headers, repeat) = (Method::GET, HeaderMap::new(), Repeat::Safe);
        Self {
            operation,
            method,
            url,
            headers,
            body: None,
            repeat,
            settling: None,
            waits: true,
            deadline: None,
        }
    }

    /// What remains of its time.
    fn left(&self, started: Instant) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_sub(started.elapsed()))
    }

    /// What may be in no error: the token, and what its own headers hold.
    fn secrets(&self, token: &AccessToken) -> Vec<Secret> {
        let own = self.headers.values().filter(|value| value.is_sensitive());
        let own = own.filter_map(|value| value.to_str().ok().map(Secret::new));
        own.chain([token.secret.clone()]).collect()
    }
}

/// What became of a call so far.
struct Progress {
    started: Instant,
    refused: bool,
    registered: bool,
    /// Whether it was tried again although nothing was seen to be under way.
    doubted: bool,
    waits: u32,
}

/// What an answer that is not a success asks for.
enum Remedy {
    None,
    /// Another token.
    Token,
    /// Time.
    Wait(Duration),
    /// A resource provider in the subscription.
    Register(String),
}

#[derive(Deserialize)]
struct Provider {
    #[serde(rename = "registrationState", default)]
    registration_state: String,
}

fn error_of_registration(error: Error, namespace: &str) -> Error {
    let message = "the subscription is not registered to use a resource provider, and could not be";
    Error::new(error.kind(), error.operation(), message).with("namespace", namespace).with_source(error)
}

fn span(operation: &'static str, method: &Method, url: &Url, id: &str) -> tracing::Span {
    let host = url.host_str().unwrap_or_default();
    tracing::debug_span!(
        "azure",
        operation,
        method = method.as_str(),
        host,
        path = url.path(),
        client_request_id = id
    )
}

/// The subscription of a path of Resource Manager.
fn subscription(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/subscriptions/")?;
    rest.split('/').next().filter(|id| crate::config::name::is_guid(id))
}

/// Where in Resource Manager an operation may be seen for which a call to this path was turned away: the resource and the one above
/// it; an endpoint and the list of its deployments, of which the service lets only one change at a time.
fn around(method: &Method, path: &str) -> Vec<String> {
    let parts: Vec<&str> = path.split('/').collect();
    let is_provider = |part: &&str| part.eq_ignore_ascii_case("providers");
    let Some(at) = parts.iter().rposition(is_provider).filter(|_| subscription(path).is_some()) else {
        return Vec::new();
    };
    // The namespace, and then names of kinds and of resources; what is left over is an act.
    let first = at + 2;
    let pairs = parts.len().saturating_sub(first) / 2;
    let upto = |pairs: usize| parts.get(..first + 2 * pairs).unwrap_or_default().join("/");
    let is_endpoint = |kind: &&str| {
        ["onlineEndpoints", "batchEndpoints"].iter().any(|endpoints| kind.eq_ignore_ascii_case(endpoints))
    };
    let kinds: Vec<&str> = parts.iter().skip(first).step_by(2).take(pairs).copied().collect();
    match (kinds.iter().position(is_endpoint), pairs) {
        _ if *method == Method::GET || *method == Method::HEAD => Vec::new(),
        (Some(endpoint), _) => {
            let endpoint = upto(endpoint + 1);
            vec![endpoint.clone(), format!("{endpoint}/deployments")]
        }
        (None, 0) => Vec::new(),
        (None, 1) => vec![upto(1)],
        (None, pairs) => vec![upto(pairs), upto(pairs - 1)],
    }
}

/// Whether a resource, or one of the first page of a list, says that something is under way.
fn has_pending(value: &Value) -> bool {
    let is_pending = |resource: &Value| {
        let state = resource.pointer("/properties/provisioningState").and_then(Value::as_str);
        state.is_some_and(operation::is_pending)
    };
    let items = value.get("value").and_then(Value::as_array);
    is_pending(value) || items.is_some_and(|items| items.iter().any(is_pending))
}

/// The resource provider that is missing: one that the path names, and of several the one that the error quotes.
fn namespace(path: &str, error: &Error) -> Option<String> {
    let parts: Vec<&str> = path.split('/').collect();
    let is_name =
        |name: &&str| name.contains('.') && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.');
    let named: Vec<&str> = parts
        .windows(2)
        .filter_map(|pair| match pair {
            [word, name] if word.eq_ignore_ascii_case("providers") => Some(*name),
            _ => None,
        })
        .filter(is_name)
        .collect();
    let message = ServiceError::of(error).and_then(|e| e.message.as_deref()).unwrap_or_default();
    let quoted = message.split('\'').nth(1).unwrap_or_default();
    let found = named.iter().find(|name| name.eq_ignore_ascii_case(quoted)).or(named.last());
    found.map(|name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_looked_for_at_the_resource_and_above_it() {
        let group = "/subscriptions/01234567-89ab-cdef-0123-456789abcdef/resourceGroups/g";
        let workspace = "/providers/Microsoft.MachineLearningServices/workspaces/w";
        for (method, path, expected) in [
            (Method::PUT, "/computes/c", &["/computes/c", ""][..]),
            (Method::POST, "/computes/c/start", &["/computes/c", ""]),
            (Method::PUT, "", &[""]),
            (Method::POST, "/diagnose", &[""]),
            (Method::GET, "/computes/c", &[]),
            (Method::PUT, "/models/m/versions/1", &["/models/m/versions/1", "/models/m"]),
            (Method::PATCH, "/onlineEndpoints/e", &["/onlineEndpoints/e", "/onlineEndpoints/e/deployments"]),
            (
                Method::DELETE,
                "/batchendpoints/e/deployments/d",
                &["/batchendpoints/e", "/batchendpoints/e/deployments"],
            ),
            (
                Method::PUT,
                "/onlineEndpoints/e/providers/Microsoft.Insights/autoscaleSettings/a",
                &["/onlineEndpoints/e/providers/Microsoft.Insights/autoscaleSettings/a"],
            ),
        ] {
            let full = |path: &&str| format!("{group}{workspace}{path}");
            let expected: Vec<String> = expected.iter().map(full).collect();
            assert_eq!(around(&method, &full(&path)), expected, "{method} {path}");
        }
        for path in [
            "",
            "/x",
            group,
            "/secrets/s",
            "/history/v1.0/subscriptions/s/providers/A.B/c/d",
            "/subscriptions/evil/providers/A.B/c/d",
        ] {
            assert!(around(&Method::PUT, path).is_empty(), "{path}");
        }
    }

    #[test]
    fn the_missing_provider_is_one_of_the_path() {
        let error = |message: &str| {
            let body =
                format!(r#"{{"error":{{"code":"MissingSubscriptionRegistration","message":"{message}"}}}}"#);
            error::from_response("op", &Answer::new(409, body.as_bytes()))
        };
        let path = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w/providers/Microsoft.Authorization/roleAssignments/r";
        for (message, expected) in [
            ("to use namespace 'Microsoft.MachineLearningServices'", "Microsoft.MachineLearningServices"),
            ("to use namespace 'microsoft.authorization'", "Microsoft.Authorization"),
            ("to use namespace '../../evil'", "Microsoft.Authorization"),
            ("", "Microsoft.Authorization"),
        ] {
            assert_eq!(namespace(path, &error(message)).as_deref(), Some(expected), "{message}");
        }
        assert_eq!(namespace("/subscriptions/s", &error("'Microsoft.Insights'")), None);
    }
}
