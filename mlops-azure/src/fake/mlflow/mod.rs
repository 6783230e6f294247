//! An MLflow server in memory: the tracking and registry API of MLflow 2.22, as Azure Machine Learning offers it.
//!
//! What it decides, it decides as a real server does; the tests send the same requests to both and compare. It differs where
//! Azure does: what came with MLflow 3 (logged models, traces) is answered with 404, and there is no artifact proxy.

mod filter;
mod registry;
mod tracking;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use mlops_core::time::{Clock as _, SystemClock};
use reqwest::Method;
use serde_json::{Map, Value, json};

use self::registry::Models;
use self::tracking::Tracking;
use super::azure::FakeAzure;
use super::exchange::{FakeAnswer, FakePart, FakeRequest};
use crate::mlflow::TrackingUri;

/// The part of Azure that answers for MLflow: below `…/mlflow/v2.0/…/api/2.0/`, every workspace and every registry a server
/// of its own.
///
/// ```
/// use mlops_azure::fake::{FakeMlflow, FakeRequest};
/// use mlops_azure::http::Method;
///
/// let mlflow = FakeMlflow::new();
/// let url = "https://h.api.azureml.ms/mlflow/v2.0/w/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default";
/// let answer = mlflow.respond(&FakeRequest::new(Method::GET, url.parse()?)).ok_or("not MLflow's")?;
/// assert!(String::from_utf8_lossy(&answer.body).contains(r#""experiment_id":"0""#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct FakeMlflow {
    servers: Arc<Mutex<HashMap<String, Server>>>,
    /// The published limits of Azure Machine Learning on the tags of a run, instead of MLflow's.
    strict: bool,
}

/// One server.
#[derive(Default)]
struct Server {
    tracking: Tracking,
    models: Models,
}

impl FakeMlflow {
    /// Servers with nothing in them but the experiment that MLflow makes itself.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with the limits that Azure Machine Learning publishes for runs: 50 tags, keys of 100 and values of 1 000
    /// characters.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Starts the run of a job, as the service does it: the run is there, running, and has a name for an id.
    ///
    /// ```
    /// use mlops_azure::fake::FakeMlflow;
    /// use mlops_azure::mlflow::TrackingUri;
    /// let uri = TrackingUri::of_registry("eastus.api.azureml.ms", "contoso-ml")?;
    /// FakeMlflow::new().start_job(&uri, "churn", "amiable_pin_1");
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn start_job(&self, uri: &TrackingUri, experiment: &str, run: &str) {
        let address = uri.address();
        let base = address.split_once(uri.host()).map_or("", |(_, path)| path).to_ascii_lowercase();
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let server = servers.entry(base.clone()).or_default();
        server.tracking.start_job(&format!("azureml://{}{base}", uri.host()), experiment, run);
    }

    /// The answer to a request, if it is one of MLflow's API.
    pub fn respond(&self, request: &FakeRequest) -> Option<FakeAnswer> {
        let (base, path) = match request.path().split_once("/api/2.0/") {
            Some(parts) => parts,
            None if request.path().contains("/api/3.0/") => return Some(no_third_version()),
            None => return None,
        };
        let call = Ask::read(request, base, path);
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let server = servers.entry(base.to_ascii_lowercase()).or_default();
        let limits = if self.strict { Limits::AZURE } else { Limits::MLFLOW };
        Some(match server.answer(&call, &limits) {
            Ok(answer) => FakeAnswer::ok(answer),
            Err(fail) if fail.code.is_empty() => no_third_version(),
            Err(fail) => {
                FakeAnswer::json(fail.status, json!({ "error_code": fail.code, "message": fail.message }))
            }
        })
    }
}

impl fmt::Debug for FakeMlflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeMlflow { .. }")
    }
}

impl FakePart for FakeMlflow {
    fn answer(&self, request: &FakeRequest, _: &FakeAzure) -> Option<FakeAnswer> {
        let is_ours = request.host().ends_with(".api.azureml.ms") && request.path().starts_with("/mlflow/");
        is_ours.then(|| self.respond(request)).flatten()
    }
}

fn no_third_version() -> FakeAnswer {
    FakeAnswer::error(404, "NotFound", "V3 API not implemented yet")
}

impl Server {
    fn answer(&mut self, call: &Ask, limits: &Limits) -> Result<Value, Fail> {
        if let Some(path) = call.path.strip_prefix("preview/mlflow/") {
            return self.tracking.answer_preview(call, path, limits);
        }
        let Some(path) = call.path.strip_prefix("mlflow/") else { return Err(Fail::absent()) };
        match path.split_once('/') {
            Some(("experiments" | "runs" | "metrics", _)) => self.tracking.answer(call, path, limits),
            Some(("registered-models" | "model-versions", _)) => self.models.answer(call, path),
            _ => Err(Fail::absent()),
        }
    }
}

/// What a text may be long, and how many tags a run may have.
pub(super) struct Limits {
    tags: usize,
    tag_key: usize,
    tag_value: usize,
    /// What is longer is cut without a word, as MLflow does it; else it is refused.
    cuts: bool,
}

impl Limits {
    const MLFLOW: Self = Self { tags: usize::MAX, tag_key: 250, tag_value: 8_000, cuts: true };
    const AZURE: Self = Self { tags: 50, tag_key: 100, tag_value: 1_000, cuts: false };
}

/// Why a request is refused. Without a code the server has no such endpoint.
#[derive(Debug)]
struct Fail {
    status: u16,
    code: &'static str,
    message: String,
}

impl Fail {
    fn invalid(message: impl Into<String>) -> Self {
        Self { status: 400, code: "INVALID_PARAMETER_VALUE", message: message.into() }
    }

    fn missing(message: impl Into<String>) -> Self {
        Self { status: 404, code: "RESOURCE_DOES_NOT_EXIST", message: message.into() }
    }

    fn exists(message: impl Into<String>) -> Self {
        Self { status: 400, code: "RESOURCE_ALREADY_EXISTS", message: message.into() }
    }

    fn absent() -> Self {
        Self { status: 404, code: "", message: String::new() }
    }
}

/// A request's arguments, from the query of a GET and from the body of everything else.
struct Ask {
    method: Method,
    /// The address of the server, as its clients know it: for URIs of artifacts.
    address: String,
    path: String,
    arguments: Map<String, Value>,
}

impl Ask {
    fn read(request: &FakeRequest, base: &str, path: &str) -> Self {
        let mut arguments = match request.json() {
            Value::Object(members) => members,
            // A body that is none is taken for an empty one.
            _ => Map::new(),
        };
        if request.method == Method::GET {
            for (name, value) in request.url.query_pairs() {
                match arguments.get_mut(&*name) {
                    Some(Value::Array(values)) => values.push(value.into()),
                    Some(first) => *first = json!([first.clone(), value]),
                    None => drop(arguments.insert(name.into_owned(), Value::from(value.into_owned()))),
                }
            }
        }
        let address = format!("azureml://{}{base}", request.host());
        Self { method: request.method.clone(), address, path: path.to_owned(), arguments }
    }

    fn value(&self, name: &str) -> &Value {
        self.arguments.get(name).unwrap_or(&Value::Null)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.value(name).as_str()
    }

    /// A text that must be there and not be empty.
    fn required(&self, name: &str) -> Result<&str, Fail> {
        self.text(name).filter(|text| !text.is_empty()).ok_or_else(|| required(name))
    }

    fn integer(&self, name: &str) -> Option<i64> {
        integer(self.value(name))
    }

    fn list(&self, name: &str) -> Result<Vec<Value>, Fail> {
        match self.value(name) {
            Value::Null => Ok(Vec::new()),
            Value::Array(values) => Ok(values.clone()),
            one @ Value::String(_) if self.method == Method::GET => Ok(vec![one.clone()]),
            _ => Err(Fail::invalid(format!("Invalid value for parameter '{name}' supplied."))),
        }
    }

    fn texts(&self, name: &str) -> Result<Vec<String>, Fail> {
        Ok(self.list(name)?.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect())
    }

    /// Pairs of keys and values, in their order.
    fn pairs(&self, name: &str) -> Result<Vec<(String, String)>, Fail> {
        self.list(name)?.iter().map(pair).collect()
    }

    /// How many items a page has, and where it begins.
    fn page(&self, usual: usize, most: usize) -> Result<(usize, usize), Fail> {
        let limit = match self.integer("max_results") {
            None => usual,
            Some(limit) => {
                usize::try_from(limit).ok().filter(|limit| (1..=most).contains(limit)).ok_or_else(|| {
                    Fail::invalid(format!("Invalid value {limit} for parameter 'max_results' supplied."))
                })?
            }
        };
        let token = self.text("page_token").filter(|token| !token.is_empty());
        let start = token.map_or(Some(0), offset);
        start
            .map(|start| (start, limit))
            .ok_or_else(|| Fail::invalid("Invalid page token, could not base64-decode"))
    }
}

fn required(name: &str) -> Fail {
    Fail::invalid(format!("Missing value for required parameter '{name}'."))
}

fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn pair(value: &Value) -> Result<(String, String), Fail> {
    let key = value["key"].as_str().filter(|key| !key.is_empty()).ok_or_else(|| required("key"))?;
    Ok((key.to_owned(), value["value"].as_str().unwrap_or_default().to_owned()))
}

/// The token of a page that begins after so many items.
fn token(offset: usize) -> String {
    base64::engine::general_purpose::STANDARD.encode(format!(r#"{{"offset": {offset}}}"#))
}

/// What a token of a page says: how many items came before.
fn offset(token: &str) -> Option<usize> {
    let text = base64::engine::general_purpose::STANDARD.decode(token).ok()?;
    let value: Value = serde_json::from_slice(&text).ok()?;
    usize::try_from(value["offset"].as_u64()?).ok()
}

/// Puts a page of items into an answer, with the token of the next one.
fn paged<T>(name: &str, items: Vec<T>, (start, limit): (usize, usize), show: impl Fn(&T) -> Value) -> Value {
    let end = start.saturating_add(limit);
    let mut answer = Map::new();
    let page: Vec<Value> = items.iter().skip(start).take(limit).map(show).collect();
    if !page.is_empty() {
        answer.insert(name.to_owned(), page.into());
    }
    if end < items.len() {
        answer.insert("next_page_token".to_owned(), token(end).into());
    }
    answer.into()
}

/// Pairs as an answer has them.
fn shown_pairs<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> Vec<Value> {
    pairs.into_iter().map(|(key, value)| json!({ "key": key, "value": value })).collect()
}

/// Takes out of an answer what is empty, as a server does.
fn lean(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let empty = |value: &Value| match value {
                Value::Null => true,
                Value::Array(items) => items.is_empty(),
                _ => false,
            };
            Value::Object(members.into_iter().filter(|(_, value)| !empty(value)).collect())
        }
        other => other,
    }
}

fn now() -> i64 {
    SystemClock::new().now().timestamp_millis()
}

/// Whether a text can name a metric, a parameter or a tag.
fn is_key(text: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ' | '/' | ':');
    let is_path = text.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    !text.is_empty() && text.chars().all(fits) && is_path
}

fn check_key(what: &str, text: &str, limit: usize) -> Result<(), Fail> {
    match text.chars().count() {
        length if length > limit => Err(Fail::invalid(format!(
            "{what} '{}' had length {length}, which exceeded length limit of {limit}",
            text.chars().take(250).collect::<String>()
        ))),
        _ if !is_key(text) => Err(Fail::invalid(format!(
            "Invalid {} name: '{text}'. Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), \
             spaces ( ), colon(:) and slashes (/).",
            what.to_lowercase()
        ))),
        _ => Ok(()),
    }
}
