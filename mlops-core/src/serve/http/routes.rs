//! Which address is answered by what.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::routing::{get, post};
use serde_json::json;

use super::app::{App, Form, asked, json};
use super::endpoint::{Served, Slot};
use super::failure::{Code, Dialect, Failure};
use super::tensor::{OUTPUT, datatype};
use crate::problem::Task;

type Shared = State<Arc<App>>;
type Named = Result<Path<String>, PathRejection>;
type Versioned = Result<Path<(String, String)>, PathRejection>;

/// Every address.
pub(super) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/score", post(score))
        .route("/invocations", post(invocations))
        .route("/endpoints/{endpoint}/score", post(score_named))
        .route("/endpoints/{endpoint}/invocations", post(invocations_named))
        .route("/ping", get(live))
        .route("/health", get(live))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/v2", get(open_server))
        .route("/v2/", get(open_server))
        .route("/v2/health/live", get(open_live))
        .route("/v2/health/ready", get(open_ready))
        .route("/v2/models/{model}", get(open_model))
        .route("/v2/models/{model}/ready", get(open_model_ready))
        .route("/v2/models/{model}/infer", post(infer))
        .route("/v2/models/{model}/versions/{version}", get(open_version))
        .route("/v2/models/{model}/versions/{version}/ready", get(open_version_ready))
        .route("/v2/models/{model}/versions/{version}/infer", post(infer_version))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .with_state(app)
}

fn dialect(form: Form) -> Dialect {
    match form {
        Form::Azure => Dialect::Plain,
        Form::Mlflow => Dialect::Mlflow,
        Form::Open => Dialect::Open,
    }
}

async fn predict(
    app: &App,
    name: Option<&str>,
    version: Option<&str>,
    form: Form,
    request: Request,
) -> Response<Body> {
    let answer = async {
        let (found, asked) = (app.find(name), asked(request.extensions())?);
        found.inspect(|endpoint| asked.reach(endpoint));
        let served = app.admit(found, request.headers())?.clone();
        app.predict(&served, version, form, request).await
    };
    answer.await.unwrap_or_else(|failure| app.refuse(failure, dialect(form)))
}

async fn score(State(app): Shared, request: Request) -> Response<Body> {
    predict(&app, None, None, Form::Azure, request).await
}

async fn invocations(State(app): Shared, request: Request) -> Response<Body> {
    predict(&app, None, None, Form::Mlflow, request).await
}

async fn score_named(State(app): Shared, name: Named, request: Request) -> Response<Body> {
    predict(&app, Some(&text(name)), None, Form::Azure, request).await
}

async fn invocations_named(State(app): Shared, name: Named, request: Request) -> Response<Body> {
    predict(&app, Some(&text(name)), None, Form::Mlflow, request).await
}

async fn infer(State(app): Shared, name: Named, request: Request) -> Response<Body> {
    predict(&app, Some(&text(name)), None, Form::Open, request).await
}

async fn infer_version(State(app): Shared, path: Versioned, request: Request) -> Response<Body> {
    let (name, version) = both(path);
    predict(&app, Some(&name), Some(&version), Form::Open, request).await
}

/// What stands in the path; what is no text is the empty one, which nothing is called.
fn text(name: Named) -> String {
    name.map(|Path(name)| name).unwrap_or_default()
}

fn both(path: Versioned) -> (String, String) {
    path.map(|Path(both)| both).unwrap_or_default()
}

async fn live() -> Response<Body> {
    json(StatusCode::OK, &json!({"status": "live"}))
}

/// Whether every endpoint answers, as one word.
fn status(app: &App) -> (&'static str, bool) {
    if app.stopping.load(Acquire) {
        return ("stopping", false);
    }
    if !app.endpoints.values().all(|served| served.is_ready()) {
        return ("not_ready", false);
    }
    if app.endpoints.values().any(|served| served.is_degraded()) {
        return ("degraded", true);
    }
    ("ready", true)
}

async fn ready(State(app): Shared, headers: HeaderMap) -> Response<Body> {
    let (word, good) = status(&app);
    let mut body = json!({"status": word});
    // Probes have no key; the word is all they need.
    if app.admits(&headers) {
        let endpoints: Vec<_> = app.endpoints.values().map(|served| served.describe()).collect();
        body["endpoints"] = endpoints.into();
    }
    json(if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &body)
}

fn unauthorized(app: &App, dialect: Dialect) -> Response<Body> {
    app.refuse(Failure::new(Code::Unauthorized, "the key is missing or wrong"), dialect)
}

async fn metrics(State(app): Shared, headers: HeaderMap) -> Response<Body> {
    if !app.open_metrics && !app.admits(&headers) {
        return unauthorized(&app, Dialect::Plain);
    }
    app.metrics.waiting.store(app.gate.waiting(), Relaxed);
    let states: Vec<_> = app.endpoints.values().flat_map(|served| served.states()).collect();
    let mut response = Response::new(Body::from(app.metrics.render(&states)));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// The protocol wants a status of the four hundreds for no.
fn yes_or_no(yes: bool, body: &serde_json::Value) -> Response<Body> {
    json(if yes { StatusCode::OK } else { StatusCode::BAD_REQUEST }, body)
}

async fn open_live() -> Response<Body> {
    yes_or_no(true, &json!({"live": true}))
}

async fn open_ready(State(app): Shared) -> Response<Body> {
    let (_, good) = status(&app);
    yes_or_no(good, &json!({"ready": good}))
}

async fn open_server(State(app): Shared, headers: HeaderMap) -> Response<Body> {
    if !app.admits(&headers) {
        return unauthorized(&app, Dialect::Open);
    }
    json(StatusCode::OK, &json!({"name": "mlops", "version": env!("CARGO_PKG_VERSION"), "extensions": []}))
}

async fn open_model(State(app): Shared, name: Named, headers: HeaderMap) -> Response<Body> {
    describe(&app, &text(name), None, &headers).await
}

async fn open_version(State(app): Shared, path: Versioned, headers: HeaderMap) -> Response<Body> {
    let (name, version) = both(path);
    describe(&app, &name, Some(&version), &headers).await
}

async fn describe(app: &App, name: &str, version: Option<&str>, headers: &HeaderMap) -> Response<Body> {
    let described = async {
        let served = app.admit(app.find(Some(name)), headers)?;
        let slot = chosen(served, version).await?;
        Ok(metadata(served, &slot))
    };
    match described.await {
        Ok(body) => json(StatusCode::OK, &body),
        Err(failure) => app.refuse(failure, Dialect::Open),
    }
}

/// The deployment of a version, else the one with the largest share.
async fn chosen(served: &Served, version: Option<&str>) -> Result<Arc<Slot>, Failure> {
    if let Some(version) = version {
        return served.version(version).await;
    }
    let view = served.view();
    let largest = view.traffic.shares().max_by_key(|(_, share)| share.get());
    let slot = largest.and_then(|(name, _)| view.slots.get(name)).cloned();
    slot.ok_or_else(|| Failure::new(Code::NotReady, "the endpoint is not ready").retry_after(1))
}

fn metadata(served: &Served, slot: &Slot) -> serde_json::Value {
    let inputs: Vec<_> = slot
        .model
        .signature()
        .inputs
        .iter()
        .map(|input| json!({"name": input.name, "datatype": datatype(input.data_type), "shape": [-1]}))
        .collect();
    let versions: Vec<_> = served.view().slots.keys().cloned().collect();
    let several = slot.model.signature().task == Task::MulticlassClassification;
    let shape: &[i64] = if several { &[-1, -1] } else { &[-1] };
    json!({
        "name": served.name,
        "versions": versions,
        "platform": "mlops",
        "inputs": inputs,
        "outputs": [{"name": OUTPUT, "datatype": "FP64", "shape": shape}],
    })
}

async fn open_model_ready(State(app): Shared, name: Named, headers: HeaderMap) -> Response<Body> {
    is_ready(&app, &text(name), None, &headers).await
}

async fn open_version_ready(State(app): Shared, path: Versioned, headers: HeaderMap) -> Response<Body> {
    let (name, version) = both(path);
    is_ready(&app, &name, Some(&version), &headers).await
}

async fn is_ready(app: &App, name: &str, version: Option<&str>, headers: &HeaderMap) -> Response<Body> {
    let served = match app.admit(app.find(Some(name)), headers) {
        Ok(served) => served,
        Err(failure) => return app.refuse(failure, Dialect::Open),
    };
    match chosen(served, version).await {
        Ok(_) => yes_or_no(true, &json!({"name": name, "ready": true})),
        Err(failure) if failure.code == Code::NotReady => {
            yes_or_no(false, &json!({"name": name, "ready": false}))
        }
        Err(failure) => app.refuse(failure, Dialect::Open),
    }
}

fn dialect_of(request: &Request) -> Dialect {
    if request.uri().path().starts_with("/v2") { Dialect::Open } else { Dialect::Plain }
}

async fn nothing_here(State(app): Shared, request: Request) -> Response<Body> {
    app.refuse(
        Failure::new(Code::NotFound, "there is nothing at this address").closing(),
        dialect_of(&request),
    )
}

async fn wrong_method(State(app): Shared, request: Request) -> Response<Body> {
    let failure = Failure::new(Code::MethodNotAllowed, "the address does not take this method").closing();
    app.refuse(failure, dialect_of(&request))
}
