//! From a request to its answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed},
};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use super::Limits;
use super::capture::{Captured, Queue};
use super::connection::Progress;
use super::endpoint::{RoutingKey, Served, Slot};
use super::failure::{Code, Dialect, Failure};
use super::gate::{Budget, Gate};
use super::metrics::{Metrics, Route};
use super::mirror::{Mirrored, Shadows};
use super::request_id;
use super::rows::Envelope;
use super::tensor::{InferenceRequest, OUTPUT};
use crate::data::Table;
use crate::deploy::{EndedRequest, Observers, RequestOutcome};
use crate::error::Error;
use crate::id::EndpointName;
use crate::model::{Predictions, Signature};
use crate::time::Clock;

/// The header that names a deployment, in requests and in answers.
const DEPLOYMENT: HeaderName = HeaderName::from_static("azureml-model-deployment");

/// Bodies up to this size are read on the thread that drives connections; beyond, elsewhere.
const INLINE_BODY: usize = 32 * 1024;

/// Predictions that take up to this long are made on the thread that drives connections: to hand them to another thread and back
/// takes tens of microseconds.
const INLINE: Duration = Duration::from_micros(200);

/// Everything that requests share.
#[derive(Debug)]
pub(super) struct App {
    pub(super) endpoints: BTreeMap<EndpointName, Arc<Served>>,
    pub(super) limits: Arc<Limits>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) gate: Gate,
    pub(super) budget: Budget,
    pub(super) capture: Option<Arc<Queue>>,
    pub(super) observers: Observers,
    pub(super) shadows: Shadows,
    /// The hosts that requests may name; any where there are none.
    pub(super) hosts: Vec<String>,
    pub(super) open_metrics: bool,
    pub(super) stopping: AtomicBool,
}

/// A request, as its handler finds it, and how far it has come.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) id: String,
    started: Instant,
    endpoint: OnceLock<Arc<Served>>,
    slot: OnceLock<Arc<Slot>>,
    rows: AtomicUsize,
}

impl Asked {
    fn new(id: String) -> Self {
        let (endpoint, slot, rows) = (OnceLock::new(), OnceLock::new(), AtomicUsize::new(0));
        Self { id, started: Instant::now(), endpoint, slot, rows }
    }

    /// Notes that a prediction of this endpoint was asked for.
    pub(super) fn reach(&self, endpoint: &Arc<Served>) {
        let _once = self.endpoint.set(endpoint.clone());
    }
}

/// Sees to it that a request is counted however it ends, also when nobody waits for its end any more.
struct Ending<'a> {
    app: &'a App,
    asked: &'a Asked,
    told: bool,
}

impl Ending<'_> {
    fn tell(mut self, outcome: RequestOutcome) {
        self.told = true;
        self.app.ended(self.asked, outcome);
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if self.told {
            return;
        }
        // Its caller went away, or the server did.
        let stopping = self.app.stopping.load(Acquire);
        let outcome = if stopping { RequestOutcome::Failed } else { RequestOutcome::Abandoned };
        self.app.ended(self.asked, outcome);
    }
}

/// In which words rows come and predictions go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `[0.1, 0.9]`.
    Azure,
    /// `{"predictions": [0.1, 0.9]}`.
    Mlflow,
    /// Tensors.
    Open,
}

/// Lowers a gauge when it is dropped.
struct Raised<'a>(&'a AtomicU64);

impl<'a> Raised<'a> {
    fn new(gauge: &'a AtomicU64) -> Self {
        gauge.fetch_add(1, Relaxed);
        Self(gauge)
    }
}

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// What kind of address a path is, and in whose words errors are told there.
fn classify(path: &str) -> (Route, Dialect) {
    let last = path.rsplit('/').next().unwrap_or_default();
    match (path, last) {
        ("/metrics", _) => (Route::Metrics, Dialect::Plain),
        ("/ping" | "/health" | "/health/live" | "/health/ready", _) => (Route::Health, Dialect::Plain),
        ("/v2/health/live" | "/v2/health/ready", _) => (Route::Health, Dialect::Open),
        (_, "infer") if path.starts_with("/v2/models/") => (Route::Infer, Dialect::Open),
        _ if path == "/v2" || path.starts_with("/v2/") => (Route::Metadata, Dialect::Open),
        ("/score", _) => (Route::Score, Dialect::Plain),
        ("/invocations", _) => (Route::Invocations, Dialect::Mlflow),
        (_, "score") if path.starts_with("/endpoints/") => (Route::Score, Dialect::Plain),
        (_, "invocations") if path.starts_with("/endpoints/") => (Route::Invocations, Dialect::Mlflow),
        _ => (Route::Other, Dialect::Plain),
    }
}

impl App {
    /// Answers one request, whatever happens.
    pub(super) async fn dispatch(
        self: Arc<Self>,
        router: Router,
        mut request: Request<Incoming>,
        progress: Arc<Progress>,
        local: SocketAddr,
    ) -> Response<Body> {
        let _in_flight = Raised::new(&self.metrics.in_flight);
        let (route, dialect) = classify(request.uri().path());
        let asked = Arc::new(Asked::new(request_id::accept(text(request.headers(), "x-request-id"))));
        let ending = Ending { app: &self, asked: &asked, told: false };
        let client_id = request.headers().get("x-ms-client-request-id").filter(|id| id.len() <= 128).cloned();
        let checked = self.check_host(request.headers(), local);
        request.extensions_mut().insert(asked.clone());
        let answer = async {
            match checked {
                Ok(()) => match TowerToHyperService::new(router).call(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                },
                Err(failure) => self.refuse(failure, dialect),
            }
        };
        let answer = AssertUnwindSafe(answer).catch_unwind();
        let mut response = match tokio::time::timeout(self.limits.request_timeout, answer).await {
            Ok(Ok(response)) => response,
            Ok(Err(_panic)) => {
                self.metrics.panics.fetch_add(1, Relaxed);
                self.refuse(Failure::new(Code::Internal, "the server failed").closing(), dialect)
            }
            Err(_elapsed) => self
                .refuse(Failure::new(Code::AnswerTimeout, "there was no answer in time").closing(), dialect),
        };
        let headers = response.headers_mut();
        // Both were checked to be visible ASCII.
        if let Ok(id) = HeaderValue::from_str(&asked.id) {
            headers.insert("x-request-id", id.clone());
            headers.insert("x-ms-request-id", id);
        }
        if let Some(id) = client_id {
            headers.insert("x-ms-client-request-id", id);
        }
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if headers.get(header::CONNECTION).is_some_and(|value| value == "close") {
            progress.leave_unread();
        } else if self.stopping.load(Acquire) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        self.metrics.answer(route, response.status().as_u16());
        let refused = response.extensions().get::<Code>().map(|code| code.outcome());
        ending.tell(refused.unwrap_or(RequestOutcome::Answered));
        response
    }

    /// Counts a request for a prediction.
    fn ended(&self, asked: &Asked, outcome: RequestOutcome) {
        let Some(endpoint) = asked.endpoint.get() else { return };
        let (slot, took) = (asked.slot.get(), asked.started.elapsed());
        if let Some(slot) = slot {
            slot.metrics.ended(outcome, asked.rows.load(Relaxed), took);
        }
        if self.observers.is_empty() {
            return;
        }
        let deployment = slot.map(|slot| &slot.deployment.spec.name);
        self.observers.tell(&EndedRequest::new(&endpoint.name, deployment, self.clock.now(), outcome, took));
    }

    /// An error as an answer, counted.
    pub(super) fn refuse(&self, failure: Failure, dialect: Dialect) -> Response<Body> {
        self.metrics.failure(failure.code);
        failure.into_response(dialect)
    }

    /// Whether the host that a request names is one of this server's.
    fn check_host(&self, headers: &HeaderMap, local: SocketAddr) -> Result<(), Failure> {
        let guarded = local.ip().is_loopback() && self.endpoints.values().any(|served| served.is_open());
        if self.hosts.is_empty() && !guarded {
            return Ok(());
        }
        let named = text(headers, "host").unwrap_or_default();
        let name = match named.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => named,
        };
        let known = |host: &str| name.eq_ignore_ascii_case(host);
        let good = if self.hosts.is_empty() {
            ["localhost", "127.0.0.1", "[::1]"].into_iter().any(known)
        } else {
            self.hosts.iter().any(|host| known(host))
        };
        if good {
            Ok(())
        } else {
            Err(Failure::new(Code::WrongHost, "the host is not one of this server's").closing())
        }
    }

    /// The endpoint of a name, or the only one.
    pub(super) fn find(&self, name: Option<&str>) -> Option<&Arc<Served>> {
        match name {
            Some(name) => EndpointName::new(name).ok().and_then(|name| self.endpoints.get(&name)),
            None if self.endpoints.len() == 1 => self.endpoints.values().next(),
            None => None,
        }
    }

    /// The endpoint that was found, for a caller who has one of its keys.
    ///
    /// Who has no key at all learns nothing, not even which endpoints there are.
    pub(super) fn admit<'a>(
        &self,
        found: Option<&'a Arc<Served>>,
        headers: &HeaderMap,
    ) -> Result<&'a Arc<Served>, Failure> {
        let authorization = text(headers, "authorization");
        let unauthorized = || Failure::new(Code::Unauthorized, "the key is missing or wrong").closing();
        match found {
            Some(served) if served.admits(authorization) => Ok(served),
            Some(_) => Err(unauthorized()),
            None if !self.admits(headers) => Err(unauthorized()),
            None => {
                let message = "there is no such endpoint; with several, ask /endpoints/NAME/…";
                Err(Failure::new(Code::UnknownEndpoint, message).closing())
            }
        }
    }

    /// Whether a caller may ask any endpoint.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        let authorization = text(headers, "authorization");
        // Every endpoint is asked, so that time does not tell which one it was.
        self.endpoints.values().fold(false, |any, served| any | served.admits(authorization))
    }

    /// Predicts what a request asks for.
    pub(super) async fn predict(
        &self,
        served: &Arc<Served>,
        version: Option<&str>,
        form: Form,
        request: axum::extract::Request,
    ) -> Result<Response<Body>, Failure> {
        let (parts, body) = request.into_parts();
        let headers = parts.headers;
        let asked = asked(&parts.extensions)?;
        check_content(&headers)?;
        let body = self.receive(body).await?;
        let place = Arc::new(self.gate.enter().await?);
        let view = served.view();
        let by = served.routing_key(&view);
        let read = self.read(body, form, by, place.clone()).await?;
        let key = routing_key(by, &headers, read.routing()).unwrap_or(&asked.id);
        let pinned = headers.get(DEPLOYMENT).map(|value| value.to_str().unwrap_or_default());
        let slot = match (pinned, version) {
            (Some(name), _) => served.slot(name).await?,
            (None, Some(version)) => served.version(version).await?,
            (None, None) => served.route(key)?,
        };
        let _once = asked.slot.set(slot.clone());
        let key = (pinned.is_none() && version.is_none()).then(|| key.to_owned());
        let (answer, read) = self.answer(&slot, read, place).await;
        let (predictions, rows) = answer?;
        let response = respond(form, served, &slot, read.id(), &predictions);
        asked.rows.store(predictions.len(), Relaxed);
        self.pass_on(served, &slot, key.as_deref(), &asked, rows, predictions);
        Ok(response)
    }

    /// Hands a request to the shadow and to the capture; neither makes anybody wait.
    fn pass_on(
        &self,
        served: &Served,
        slot: &Slot,
        key: Option<&str>,
        asked: &Asked,
        rows: Arc<Table<'static>>,
        predictions: Predictions,
    ) {
        let endpoint = || served.name.clone();
        if let Some(shadow) = key.and_then(|key| served.shadow(key, slot)) {
            let mirrored =
                Mirrored { endpoint: endpoint(), shadow, id: asked.id.clone(), rows: rows.clone() };
            self.shadows.offer(mirrored);
        }
        if let Some(queue) = self.capture.as_ref().filter(|queue| queue.takes(&asked.id)) {
            let (at, deployment) = (self.clock.now(), slot.deployment.spec.name.clone());
            let id = asked.id.clone();
            queue.offer(Captured { endpoint: endpoint(), deployment, at, id, rows, predictions });
        }
    }

    /// Receives a body, within its limits of size and time.
    async fn receive(&self, body: Body) -> Result<Bytes, Failure> {
        let limit = self.limits.max_body;
        let too_large =
            || Failure::new(Code::BodyTooLarge, "the body is too large").with("limit", limit).closing();
        let announced = hyper::body::Body::size_hint(&body).lower();
        if usize::try_from(announced).map_or(true, |announced| announced > limit) {
            return Err(too_large());
        }
        let received = async {
            let mut share = self.budget.share();
            let mut stream = body.into_data_stream();
            let (mut first, mut all) = (Bytes::new(), Vec::new());
            while let Some(piece) = stream.next().await {
                let Ok(piece) = piece else {
                    return Err(
                        Failure::new(Code::IncompleteBody, "the body did not come to an end").closing()
                    );
                };
                if first.len() + all.len() + piece.len() > limit {
                    return Err(too_large());
                }
                if !share.grow(piece.len()) {
                    let failure = Failure::new(Code::Overloaded, "too many large requests at once");
                    return Err(failure.retry_after(1).closing());
                }
                if first.is_empty() && all.is_empty() {
                    first = piece;
                } else {
                    if all.is_empty() {
                        all.extend_from_slice(&first);
                        first = Bytes::new();
                    }
                    all.extend_from_slice(&piece);
                }
            }
            Ok(if all.is_empty() { first } else { Bytes::from(all) })
        };
        match tokio::time::timeout(self.limits.body_timeout, received).await {
            Ok(answer) => answer,
            Err(_elapsed) => {
                Err(Failure::new(Code::RequestTimeout, "the body did not come in time").closing())
            }
        }
    }

    /// Reads everything of a body but its rows.
    async fn read(
        &self,
        body: Bytes,
        form: Form,
        by: &RoutingKey,
        place: Arc<OwnedSemaphorePermit>,
    ) -> Result<Read, Failure> {
        let field = match by {
            RoutingKey::Field(field) => Some(field.clone()),
            RoutingKey::None | RoutingKey::Header(_) => None,
        };
        if body.len() <= INLINE_BODY {
            return Read::new(body, form, field.as_deref());
        }
        self.elsewhere(place, move || Read::new(body, form, field.as_deref())).await?
    }

    /// Reads rows and predicts them: here if both are quick, else elsewhere.
    async fn answer(
        &self,
        slot: &Arc<Slot>,
        read: Read,
        place: Arc<OwnedSemaphorePermit>,
    ) -> (Result<(Predictions, Arc<Table<'static>>), Failure>, Arc<Read>) {
        let (read, max_rows) = (Arc::new(read), self.limits.max_rows);
        if read.len() > INLINE_BODY {
            let (slot, kept) = (slot.clone(), read.clone());
            let work = move || {
                let rows = Arc::new(kept.rows(slot.model.signature(), max_rows)?);
                predict(&slot, &rows).map(|predictions| (predictions, rows))
            };
            let answer = self.elsewhere(place, work).await.and_then(|answer| answer);
            return (answer, read);
        }
        let rows = match read.rows(slot.model.signature(), max_rows) {
            Ok(rows) => Arc::new(rows),
            Err(failure) => return (Err(failure), read),
        };
        let quick = slot.estimate(rows.rows()).is_some_and(|estimate| estimate <= INLINE);
        let predictions = if quick {
            predict(slot, &rows)
        } else {
            let (slot, rows) = (slot.clone(), rows.clone());
            self.elsewhere(place, move || predict(&slot, &rows)).await.and_then(|answer| answer)
        };
        (predictions.map(|predictions| (predictions, rows)), read)
    }

    /// Runs work on the threads for work, holding a place until it ends, also when nobody waits for it any more.
    async fn elsewhere<T: Send + 'static>(
        &self,
        place: Arc<OwnedSemaphorePermit>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let held = move || {
            let done = work();
            drop(place);
            done
        };
        tokio::task::spawn_blocking(held).await.map_err(|error| {
            if error.is_panic() {
                self.metrics.panics.fetch_add(1, Relaxed);
            }
            Failure::new(Code::Internal, "the server failed")
        })
    }
}

/// A body whose form is known.
#[derive(Debug)]
struct Read {
    body: Bytes,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Rows(Envelope),
    Tensors(InferenceRequest),
}

impl Read {
    fn new(body: Bytes, form: Form, field: Option<&str>) -> Result<Self, Failure> {
        let content = match form {
            Form::Azure | Form::Mlflow => Content::Rows(Envelope::read(&body, field)?),
            Form::Open => Content::Tensors(InferenceRequest::read(&body, field)?),
        };
        Ok(Self { body, content })
    }

    fn len(&self) -> usize {
        self.body.len()
    }

    fn routing(&self) -> Option<&str> {
        match &self.content {
            Content::Rows(envelope) => envelope.routing.as_deref(),
            Content::Tensors(request) => request.routing.as_deref(),
        }
    }

    fn id(&self) -> Option<&str> {
        match &self.content {
            Content::Rows(_) => None,
            Content::Tensors(request) => request.id.as_deref(),
        }
    }

    fn rows(&self, signature: &Signature, max_rows: usize) -> Result<Table<'static>, Failure> {
        match &self.content {
            Content::Rows(envelope) => envelope.rows(&self.body, signature, max_rows),
            Content::Tensors(request) => request.rows(&self.body, signature, max_rows),
        }
    }
}

fn predict(slot: &Slot, rows: &Table<'static>) -> Result<Predictions, Failure> {
    let began = Instant::now();
    let predictions = slot.model.predict(rows);
    slot.learn(rows.rows(), began.elapsed());
    predictions.map_err(|error: Error| Failure::of_model(&error))
}

/// By what a caller is told apart, if the endpoint does that and the request has it.
fn routing_key<'r>(by: &RoutingKey, headers: &'r HeaderMap, field: Option<&'r str>) -> Option<&'r str> {
    match by {
        RoutingKey::None => None,
        RoutingKey::Header(name) => text(headers, name).filter(|key| !key.is_empty()),
        RoutingKey::Field(_) => field,
    }
}

/// What is known of a request since it came.
pub(super) fn asked(extensions: &Extensions) -> Result<Arc<Asked>, Failure> {
    let asked = extensions.get::<Arc<Asked>>().cloned();
    asked.ok_or_else(|| Failure::new(Code::Internal, "the server failed"))
}

/// JSON as it is, and nothing else.
fn check_content(headers: &HeaderMap) -> Result<(), Failure> {
    let refused = |message: &str| Err(Failure::new(Code::UnsupportedMediaType, message).closing());
    if headers.contains_key("inference-header-content-length") {
        return refused("tensors are sent as JSON here, not as bytes");
    }
    if text(headers, "content-encoding").is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return refused("bodies are not compressed here");
    }
    let kind = text(headers, "content-type").unwrap_or_default();
    let (kind, parameters) = kind.split_once(';').unwrap_or((kind, ""));
    let parameter = parameters.trim().to_ascii_lowercase();
    let utf8 = matches!(parameter.as_str(), "" | "charset=utf-8" | "charset=\"utf-8\"" | "charset=utf8");
    if kind.trim().eq_ignore_ascii_case("application/json") && utf8 {
        return Ok(());
    }
    refused("expected the content type application/json")
}

/// Predictions in the words of the one who asked.
fn respond(
    form: Form,
    served: &Served,
    slot: &Slot,
    id: Option<&str>,
    predictions: &Predictions,
) -> Response<Body> {
    #[derive(Serialize)]
    struct Tensor<'a> {
        name: &'a str,
        shape: Vec<usize>,
        datatype: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        parameters: Option<Labels<'a>>,
        data: &'a [f64],
    }
    #[derive(Serialize)]
    struct Labels<'a> {
        classes: &'a [String],
    }
    #[derive(Serialize)]
    struct Inference<'a> {
        model_name: &'a str,
        model_version: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
        outputs: [Tensor<'a>; 1],
    }
    #[derive(Serialize)]
    struct Wrapped<T> {
        predictions: T,
    }
    let spec = &slot.deployment.spec;
    let data = predictions.as_slice();
    // Of several classes a list a row, as scikit-learn's `predict_proba` answers.
    let classes = predictions.as_classes();
    let lists = || data.chunks(predictions.width()).collect::<Vec<_>>();
    let shape = match classes {
        None => vec![data.len()],
        Some(classes) => vec![classes.rows(), classes.classes()],
    };
    let body = match (form, classes) {
        (Form::Azure, None) => serde_json::to_vec(data),
        (Form::Azure, Some(_)) => serde_json::to_vec(&lists()),
        (Form::Mlflow, None) => serde_json::to_vec(&Wrapped { predictions: data }),
        (Form::Mlflow, Some(_)) => serde_json::to_vec(&Wrapped { predictions: lists() }),
        (Form::Open, _) => serde_json::to_vec(&Inference {
            model_name: served.name.as_str(),
            model_version: spec.version.to_string(),
            id,
            outputs: [Tensor {
                name: OUTPUT,
                shape,
                datatype: "FP64",
                parameters: classes.map(|classes| Labels { classes: classes.labels() }),
                data,
            }],
        }),
    };
    // Finite numbers and texts are JSON.
    let mut response = Response::new(Body::from(body.unwrap_or_default()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(name) = HeaderValue::from_str(spec.name.as_str()) {
        headers.insert(DEPLOYMENT, name);
    }
    response
}

/// JSON with a status.
pub(super) fn json(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
