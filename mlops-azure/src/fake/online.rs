//! Online endpoints: their rules, their keys and tokens, and their scoring addresses.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mlops_core::model::Predictor;
use mlops_core::num::Random;
use mlops_core::time::Timestamp;
use mlops_core::{Error, ErrorKind, Result};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::azure::{FakeAzure, REGION};
use super::exchange::{FakeAnswer, FakePart, FakeRequest};
use super::path::ArmPath;
use super::rows;
use crate::config::cloud::Audience;

/// What answers for a model: from the model's id and the body of a request.
type Scorer = dyn Fn(&str, &Value) -> Result<Value> + Send + Sync;

/// Whether a model loads, by its id.
type Loads = dyn Fn(&str) -> bool + Send + Sync;

/// What a deployment was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FakeCounts {
    /// Requests, copies of others' among them.
    pub requests: u64,
    /// Requests at which the model failed.
    pub failures: u64,
    /// Requests that the model refused.
    pub bad_requests: u64,
}

/// The part of a [`FakeAzure`] behind online endpoints. Clones are the same part.
///
/// As Azure does, it checks traffic (whole per cent that sum to 0 or 100, deployments that are there), mirrors (one deployment, at
/// most 50 per cent, without traffic of its own), tags, and properties that may be added and not changed; it refuses to delete a
/// deployment with traffic; its addresses draw who answers for each request, unless a header names somebody; copies of requests go to
/// the shadow, and nobody gets its answers. A model that fails is answered with 424. What models answer is counted in the
/// [metrics](FakeAzure::metrics).
///
/// Simplified: what is drawn is drawn from a fixed seed, a deployment serves as soon as its operation is over, and there is no limit
/// on requests but the faults of the fake.
#[derive(Clone)]
pub struct FakeOnline(Arc<Inner>);

struct Inner {
    scorer: Box<Scorer>,
    loads: Box<Loads>,
    state: Mutex<State>,
}

struct State {
    /// By endpoint, how often the first and the second key were drawn.
    keys: BTreeMap<String, [u32; 2]>,
    /// Tokens that endpoints gave out: for which, and how long they hold.
    tokens: BTreeMap<String, (String, Timestamp)>,
    issued: u32,
    refresh: Duration,
    lifetime: Duration,
    counts: BTreeMap<(String, String), FakeCounts>,
    draws: u64,
    silent: bool,
}

impl FakeAzure {
    /// Lets models answer: `scorer` takes a model's id, as its deployment names it, and the body of the request. An error of kind
    /// [`ErrorKind::InvalidInput`] is a refusal of the rows, any other error, and a panic, a failure of the model.
    ///
    /// ```
    /// use mlops_azure::fake::FakeAzure;
    /// let azure = FakeAzure::new();
    /// let online = azure.score_with(|_model, _body| Ok(serde_json::json!([0.5])));
    /// assert_eq!(online.counts("churn", "blue").requests, 0);
    /// ```
    pub fn score_with(
        &self,
        scorer: impl Fn(&str, &Value) -> Result<Value> + Send + Sync + 'static,
    ) -> FakeOnline {
        let online = FakeOnline::around(Box::new(scorer), Box::new(|_| true));
        self.plug(online.clone());
        online
    }

    /// Lets predictors answer: `find` gives that of a model, by its id. A deployment of a model that has none fails, as one whose
    /// container crashes.
    pub fn predict_with(
        &self,
        find: impl Fn(&str) -> Option<Arc<dyn Predictor>> + Send + Sync + 'static,
    ) -> FakeOnline {
        let find = Arc::new(find);
        let of = find.clone();
        let scorer = move |model: &str, body: &Value| match of(model) {
            Some(predictor) => rows::predict(&*predictor, body),
            None => Err(Error::new(ErrorKind::Internal, "FakeOnline", "there is no such model")),
        };
        let online = FakeOnline::around(Box::new(scorer), Box::new(move |model| find(model).is_some()));
        self.plug(online.clone());
        online
    }
}

impl Default for FakeOnline {
    /// Endpoints whose models all fail, because nobody has said how they answer.
    fn default() -> Self {
        let nobody =
            |_: &str, _: &Value| Err(Error::new(ErrorKind::Internal, "FakeOnline", "nobody scores here"));
        Self::around(Box::new(nobody), Box::new(|_| true))
    }
}

impl FakeOnline {
    fn around(scorer: Box<Scorer>, loads: Box<Loads>) -> Self {
        let state = State {
            keys: BTreeMap::new(),
            tokens: BTreeMap::new(),
            issued: 0,
            refresh: Duration::from_secs(3600),
            lifetime: Duration::from_secs(7200),
            counts: BTreeMap::new(),
            draws: 0,
            silent: false,
        };
        Self(Arc::new(Inner { scorer, loads, state: Mutex::new(state) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a deployment was asked so far.
    pub fn counts(&self, endpoint: &str, deployment: &str) -> FakeCounts {
        let key = (endpoint.to_ascii_lowercase(), deployment.to_ascii_lowercase());
        self.state().counts.get(&key).copied().unwrap_or_default()
    }

    /// How long tokens of endpoints hold from now on, and when they should be renewed.
    pub fn token_lifetime(&self, refresh_after: Duration, lifetime: Duration) {
        let mut state = self.state();
        (state.refresh, state.lifetime) = (refresh_after, lifetime);
    }

    /// From now on no answer says which deployment gave it.
    pub fn name_nobody(&self) {
        self.state().silent = true;
    }
}

impl State {
    fn key(&self, endpoint: &str, which: usize) -> String {
        let drawn = self.keys.get(endpoint).and_then(|keys| keys.get(which)).copied().unwrap_or_default();
        // Looks like no other text of a test, so that one that leaks is found.
        format!("endpoint-key-canary-{endpoint}-{which}-{drawn}")
    }

    /// A number in [0, 1).
    fn draw(&mut self) -> f64 {
        self.draws += 1;
        Random::new(1).stream("fake.online").nth(self.draws).next_f64()
    }
}

/// An endpoint or a deployment of one.
struct Online {
    endpoint: String,
    deployment: Option<String>,
}

impl Online {
    fn of(path: &ArmPath) -> Option<Self> {
        let lower = |i: usize| path.names.get(i).map(|name| name.to_ascii_lowercase());
        if !path.is_machine_learning() || !path.words.get(1)?.eq_ignore_ascii_case("onlineEndpoints") {
            return None;
        }
        Some(Self { endpoint: lower(1)?, deployment: lower(2) })
    }
}

fn endpoint_id(azure: &FakeAzure, endpoint: &str) -> String {
    format!("{}/onlineEndpoints/{endpoint}", azure.workspace().id())
}

fn refused(message: impl Into<String>) -> FakeAnswer {
    FakeAnswer::user_error(400, "UserError", message, &["BadArgument", "ArgumentInvalid"])
}

/// Percentages by deployment, in lower case, of those that have some.
fn shares(value: Option<&Value>) -> Result<BTreeMap<String, u64>, FakeAnswer> {
    let mut shares = BTreeMap::new();
    for (name, share) in value.and_then(Value::as_object).into_iter().flatten() {
        let share = share.as_u64().filter(|share| *share <= 100);
        let share = share.ok_or_else(|| refused(format!("The traffic of '{name}' is no whole per cent.")))?;
        if share > 0 {
            shares.insert(name.to_ascii_lowercase(), share);
        }
    }
    Ok(shares)
}

fn state_of(resource: &Value) -> &str {
    resource.pointer("/properties/provisioningState").and_then(Value::as_str).unwrap_or_default()
}

/// Deployments that can answer.
fn serving(azure: &FakeAzure, endpoint: &str) -> BTreeMap<String, Value> {
    let all = azure.list_resources(&format!("{}/deployments", endpoint_id(azure, endpoint)));
    let named = |value: Value| Some((value["name"].as_str()?.to_ascii_lowercase(), value));
    all.into_iter()
        .filter(|value| matches!(state_of(value), "Succeeded" | "Updating"))
        .filter_map(named)
        .collect()
}

/// The rules of an endpoint's write.
fn check_endpoint(azure: &FakeAzure, name: &str, new: &Value, old: Option<&Value>) -> Result<(), FakeAnswer> {
    check_tags(&new["tags"])?;
    let mode = |value: &Value| {
        value.pointer("/properties/authMode").and_then(Value::as_str).map(str::to_ascii_lowercase)
    };
    if let Some(old) = old {
        if mode(old) != mode(new) {
            return Err(refused("The authentication mode of an endpoint cannot be changed."));
        }
        let of = |value: &Value| value.pointer("/properties/properties").and_then(Value::as_object).cloned();
        let (old, new) = (of(old).unwrap_or_default(), of(new).unwrap_or_default());
        let own = |name: &String| name == "AzureAsyncOperationUri";
        if let Some((name, _)) = old.iter().find(|(name, value)| !own(name) && new.get(*name) != Some(value))
        {
            return Err(refused(format!("The property '{name}' can be neither changed nor removed.")));
        }
    }
    let live = shares(new.pointer("/properties/traffic"))?;
    let mirror = shares(new.pointer("/properties/mirrorTraffic"))?;
    let total: u64 = live.values().sum();
    if total != 0 && total != 100 {
        return Err(refused(format!("The sum of the traffic is {total}; it must be 0 or 100.")));
    }
    let serving = serving(azure, name);
    if let Some(unknown) = live.keys().chain(mirror.keys()).find(|name| !serving.contains_key(*name)) {
        return Err(refused(format!("The deployment '{unknown}' is not there or does not serve.")));
    }
    match mirror.iter().collect::<Vec<_>>().as_slice() {
        [] => Ok(()),
        [(_, share)] if **share > 50 => Err(refused("At most 50 per cent of the traffic can be mirrored.")),
        [(name, _)] if live.contains_key(*name) => {
            Err(refused(format!("The deployment '{name}' cannot have traffic and mirrored traffic.")))
        }
        [_] => Ok(()),
        _ => Err(refused("Traffic can be mirrored to one deployment.")),
    }
}

/// What Resource Manager asks of tags.
fn check_tags(tags: &Value) -> Result<(), FakeAnswer> {
    let bad = |message: String| FakeAnswer::error(400, "InvalidTag", message);
    let none = Map::new();
    let tags = tags.as_object().unwrap_or(&none);
    if tags.len() > 50 {
        return Err(FakeAnswer::error(400, "TooManyTags", "A resource can have at most 50 tags."));
    }
    let mut names = HashSet::new();
    for (name, value) in tags {
        if name.is_empty()
            || name.chars().count() > 512
            || name.contains(['<', '>', '%', '&', '\\', '?', '/'])
        {
            return Err(FakeAnswer::error(
                400,
                "InvalidTagNameCharacters",
                format!("The tag '{name}' is none."),
            ));
        }
        if !names.insert(name.to_lowercase()) {
            return Err(bad(format!("There are two tags '{name}'.")));
        }
        if value.as_str().is_none_or(|text| text.chars().count() > 256) {
            return Err(bad(format!("The value of the tag '{name}' is longer than 256 characters.")));
        }
    }
    Ok(())
}

impl FakeOnline {
    fn check_deployment(&self, azure: &FakeAzure, path: &ArmPath, new: &Value) -> Result<(), FakeAnswer> {
        // Where there is no endpoint, the store says so.
        if path.parent().is_none_or(|endpoint| azure.resource(&endpoint.path).is_none()) {
            return Ok(());
        }
        check_tags(&new["tags"])?;
        if new.pointer("/sku/capacity").and_then(Value::as_u64) == Some(0) {
            return Err(refused("A deployment has one instance or more: sku.capacity."));
        }
        let model = new.pointer("/properties/model").and_then(Value::as_str).unwrap_or_default();
        let in_workspace =
            model.to_ascii_lowercase().starts_with(&azure.workspace().id().to_ascii_lowercase());
        if in_workspace && azure.resource(model).is_none() {
            return Err(refused(format!("The model '{model}' is not found.")));
        }
        if !azure.is_busy(&path.path) && !(self.0.loads)(model) {
            let message = "User container has crashed or terminated. Please see troubleshooting guide";
            azure.faults().fail_operation(&path.key, "ResourceNotReady", message);
        }
        Ok(())
    }

    fn act(
        &self,
        request: &FakeRequest,
        azure: &FakeAzure,
        online: &Online,
        action: &str,
    ) -> Option<FakeAnswer> {
        let id = endpoint_id(azure, &online.endpoint);
        let endpoint = azure.resource(&id)?;
        let mode = endpoint.pointer("/properties/authMode").and_then(Value::as_str).unwrap_or_default();
        let is = |expected: &str| mode.eq_ignore_ascii_case(expected);
        let wrong = || refused(format!("The endpoint is not opened so: its mode is {mode}."));
        Some(match (action, &online.deployment) {
            ("listkeys", None) if is("Key") => {
                let state = self.state();
                let key = |which| state.key(&online.endpoint, which);
                FakeAnswer::ok(json!({ "primaryKey": key(0), "secondaryKey": key(1) }))
            }
            ("regeneratekeys", None) if is("Key") => {
                let which = usize::from(request.json()["keyType"] == "Secondary");
                let mut state = self.state();
                if let Some(drawn) = state.keys.entry(online.endpoint.clone()).or_default().get_mut(which) {
                    *drawn += 1;
                }
                drop(state);
                azure.begin(request, &id, Value::Null)
            }
            ("token", None) if is("AMLToken") => self.token(azure, &online.endpoint),
            ("listkeys" | "regeneratekeys" | "token", None) => wrong(),
            ("getlogs", Some(deployment)) => {
                azure.resource(&format!("{id}/deployments/{deployment}"))?;
                let asked = self.counts(&online.endpoint, deployment).requests;
                let lines = ["the model is loaded".to_owned(), format!("{asked} requests so far")];
                let tail = request.json()["tail"].as_u64().unwrap_or(50);
                let skip = lines.len().saturating_sub(usize::try_from(tail).unwrap_or(usize::MAX));
                FakeAnswer::ok(json!({ "content": lines.get(skip..).unwrap_or_default().join("\n") }))
            }
            _ => return None,
        })
    }

    fn token(&self, azure: &FakeAzure, endpoint: &str) -> FakeAnswer {
        let now = azure.now();
        let mut state = self.state();
        state.issued += 1;
        let (expires, refresh) = (now + state.lifetime, now + state.refresh);
        let token = format!("endpoint-token-canary-{}", state.issued);
        state.tokens.insert(token.clone(), (endpoint.to_owned(), expires));
        FakeAnswer::ok(json!({
            "accessToken": token, "tokenType": "Bearer",
            "expiryTimeUtc": expires.timestamp(), "refreshAfterTimeUtc": refresh.timestamp(),
        }))
    }

    /// What is answered at an endpoint's own address.
    fn score(&self, request: &FakeRequest, azure: &FakeAzure, endpoint: &str) -> Option<FakeAnswer> {
        let resource = azure.resource(&endpoint_id(azure, endpoint))?;
        if (&request.method, request.path()) != (&Method::POST, "/score") {
            return None;
        }
        if let Some(refused) = self.refuse_caller(request, azure, endpoint, &resource) {
            return Some(refused);
        }
        let serving = serving(azure, endpoint);
        let named = request.header("azureml-model-deployment").map(str::to_ascii_lowercase);
        let live = named.clone().or_else(|| self.draw_among(resource.pointer("/properties/traffic")));
        let Some((name, deployment)) = live.and_then(|name| serving.get_key_value(&name)) else {
            let message = "No valid deployments to route to. Please check that the endpoint has at least one deployment with positive weight values or use a deployment specific header to route.";
            return Some(FakeAnswer::error(404, "NoValidDeployments", message));
        };
        if named.is_none() {
            self.mirror(request, azure, endpoint, &resource, &serving);
        }
        let answer = self.ask(request, azure, endpoint, name, deployment);
        match self.state().silent {
            true => Some(answer),
            false => Some(answer.with("azureml-model-deployment", name)),
        }
    }

    fn refuse_caller(
        &self,
        request: &FakeRequest,
        azure: &FakeAzure,
        endpoint: &str,
        resource: &Value,
    ) -> Option<FakeAnswer> {
        let mode = resource.pointer("/properties/authMode").and_then(Value::as_str).unwrap_or_default();
        let (state, now) = (self.state(), azure.now());
        let said = request.bearer().unwrap_or_default();
        let is_good = match mode.to_ascii_lowercase().as_str() {
            "key" => (0..2).any(|which| state.key(endpoint, which) == said),
            "amltoken" => state.tokens.get(said).is_some_and(|(of, until)| of == endpoint && now < *until),
            _ => return azure.refuse_token(request, Audience::MachineLearning),
        };
        (!is_good).then(|| FakeAnswer::error(401, "Unauthorized", "Invalid token or key"))
    }

    /// One of those that have traffic, drawn by their shares.
    fn draw_among(&self, traffic: Option<&Value>) -> Option<String> {
        let shares = shares(traffic).ok()?;
        let mut left = self.state().draw() * 100.0;
        shares
            .into_iter()
            .find(|(_, share)| {
                left -= *share as f64;
                left < 0.0
            })
            .map(|(name, _)| name)
    }

    /// Asks the shadow, if it is drawn, and drops its answer.
    fn mirror(
        &self,
        request: &FakeRequest,
        azure: &FakeAzure,
        endpoint: &str,
        resource: &Value,
        serving: &BTreeMap<String, Value>,
    ) {
        let mirrored = shares(resource.pointer("/properties/mirrorTraffic")).unwrap_or_default();
        for (name, share) in mirrored {
            let drawn = self.state().draw() * 100.0 < share as f64;
            if let Some(deployment) = serving.get(&name).filter(|_| drawn) {
                self.ask(request, azure, endpoint, &name, deployment);
            }
        }
    }

    /// Asks a deployment, and counts.
    fn ask(
        &self,
        request: &FakeRequest,
        azure: &FakeAzure,
        endpoint: &str,
        name: &str,
        deployment: &Value,
    ) -> FakeAnswer {
        let model = deployment.pointer("/properties/model").and_then(Value::as_str).unwrap_or_default();
        let body = request.json();
        // What a panic leaves half-done inside of a model is the model's.
        let scored = catch_unwind(AssertUnwindSafe(|| (self.0.scorer)(model, &body)));
        let mut state = self.state();
        let counts = state.counts.entry((endpoint.to_owned(), name.to_owned())).or_default();
        counts.requests += 1;
        let (scored, status) = match scored {
            Ok(Ok(answer)) => (Some(answer), (200, 200)),
            Ok(Err(error)) if error.kind() == ErrorKind::InvalidInput => {
                counts.bad_requests += 1;
                (None, (424, 400))
            }
            Ok(Err(_)) | Err(_) => {
                counts.failures += 1;
                (None, (424, 500))
            }
        };
        drop(state);
        azure.metrics().answered(endpoint, name, status, azure.now());
        if let Some(answer) = scored {
            return FakeAnswer::ok(answer);
        }
        // A container may well repeat the rows in its answer.
        let echo = String::from_utf8_lossy(&request.body).into_owned();
        FakeAnswer::json(424, json!({ "error": { "code": "ModelError", "message": echo } }))
            .with("ms-azureml-model-error-statuscode", status.1.to_string())
            .with("ms-azureml-model-error-reason", "model_error")
    }
}

impl FakePart for FakeOnline {
    fn answer(&self, request: &FakeRequest, azure: &FakeAzure) -> Option<FakeAnswer> {
        let suffix = format!(".{REGION}.inference.ml.azure.com");
        if let Some(endpoint) = request.host().strip_suffix(&suffix) {
            return self.score(request, azure, endpoint);
        }
        let path = ArmPath::parse(request.path())?;
        let online = Online::of(&path)?;
        if request.method == Method::POST && !path.is_resource() {
            return self.act(request, azure, &online, &path.words.last()?.to_ascii_lowercase());
        }
        if !path.is_resource() || path.words.len() > 3 {
            return None;
        }
        let outcome = match (&request.method, &online.deployment) {
            (&Method::PUT, None) => {
                let old = azure.resource(&path.path);
                check_endpoint(azure, &online.endpoint, &request.json(), old.as_ref())
            }
            (&Method::PUT, Some(_)) => self.check_deployment(azure, &path, &request.json()),
            (&Method::DELETE, Some(name)) => refuse_with_traffic(azure, &online.endpoint, name),
            _ => return None,
        };
        outcome.err()
    }

    fn complete(&self, resource: &mut Value, _: &FakeAzure) {
        let Some(path) = resource["id"].as_str().and_then(ArmPath::parse) else { return };
        let Some(Online { endpoint, deployment: None }) = Online::of(&path) else { return };
        if let Some(properties) = resource.get_mut("properties").and_then(Value::as_object_mut) {
            let host = format!("https://{endpoint}.{REGION}.inference.ml.azure.com");
            properties.entry("scoringUri").or_insert_with(|| json!(format!("{host}/score")));
            properties.entry("swaggerUri").or_insert_with(|| json!(format!("{host}/swagger.json")));
            // What is not sent is not there: of traffic and mirrors nothing is kept.
            for name in ["traffic", "mirrorTraffic"] {
                properties.entry(name).or_insert_with(|| json!({}));
            }
        }
    }
}

fn refuse_with_traffic(azure: &FakeAzure, endpoint: &str, name: &str) -> Result<(), FakeAnswer> {
    let Some(resource) = azure.resource(&endpoint_id(azure, endpoint)) else { return Ok(()) };
    let has = |pointer: &str| shares(resource.pointer(pointer)).is_ok_and(|shares| shares.contains_key(name));
    match has("/properties/traffic") || has("/properties/mirrorTraffic") {
        true => Err(refused(format!("The deployment '{name}' has traffic and cannot be deleted."))),
        false => Ok(()),
    }
}

impl fmt::Debug for FakeOnline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeOnline { .. }")
    }
}
