//! Azure in memory.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::time::{Clock, SystemClock, Timestamp};
use reqwest::{Method, Url};
use serde_json::Value;

use super::arm;
use super::body::{self, Bodies};
use super::exchange::{FakeAnswer, FakePart, FakeRequest};
use super::faults::{Faults, Meets};
use super::job::FakeJobs;
use super::metrics::FakeMetrics;
use super::path::ArmPath;
use super::schema::Schemas;
use super::state::State;
use super::token::FakeTokens;
use crate::auth::TokenSource;
use crate::config::cloud::Audience;
use crate::config::{Cloud, Registry, Workspace};
use crate::http::{
    HttpFault, HttpRequest, HttpResponse, HttpTransport, PollPolicy, RetryPolicy, Service, ServiceBuilder,
    Stage,
};
use crate::wire::Place;

/// The region of everything.
pub const REGION: &str = "eastus";

const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";
const GROUP: &str = "rg-fake";
const WORKSPACE: &str = "mlw-fake";

/// Azure in memory: Resource Manager, and what is behind other hosts as [parts](FakePart) that are plugged in.
///
/// See [the module](super) for what it does as Azure does, and what not. Clones are the same fake.
///
/// ```
/// use mlops_azure::fake::FakeAzure;
/// use mlops_azure::wire::model::ModelType;
/// use mlops_azure::wire::{ModelVersion, Resource};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let azure = FakeAzure::new();
/// let model = azure.place().model("churn", "1")?;
/// let body = Resource::new(ModelVersion::new(ModelType::Custom, "azureml://datastores/workspaceblobstore/paths/churn"));
/// azure.arm().call(model.put("example", &body)?).await?;
/// let read = azure.arm().call(model.get("example")).await?;
/// assert_eq!(read.name.as_deref(), Some("1"));
/// assert_eq!(azure.count(), 2);
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct FakeAzure(Arc<Inner>);

struct Inner {
    workspace: Workspace,
    tokens: Arc<FakeTokens>,
    faults: Arc<Faults>,
    jobs: FakeJobs,
    metrics: FakeMetrics,
    parts: Mutex<Vec<Arc<dyn FakePart>>>,
    /// Held while a request is answered: parts read and write the store in several steps.
    turn: Mutex<()>,
    state: Mutex<State>,
}

/// What is checked where it is written can be nothing else.
fn known<T>(result: mlops_core::Result<T>) -> T {
    #[allow(clippy::expect_used, reason = "the fake's own names and addresses are constants that are right")]
    result.expect("the fake's own names and addresses are right")
}

impl Default for FakeAzure {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeAzure {
    /// A subscription with the resource group `rg-fake`, in it the workspace `mlw-fake` in `eastus` with its default datastore
    /// `workspaceblobstore`, a storage account, a vault and an Application Insights component.
    pub fn new() -> Self {
        let tokens = Arc::new(FakeTokens::default());
        let faults = Arc::new(Faults::new(tokens.clone()));
        let state = State::new(faults.clone(), Arc::new(SystemClock::new()));
        let azure = Self(Arc::new(Inner {
            workspace: known(Workspace::new(SUBSCRIPTION, GROUP, WORKSPACE)),
            tokens,
            faults,
            jobs: FakeJobs::new(),
            metrics: FakeMetrics::default(),
            parts: Mutex::default(),
            turn: Mutex::default(),
            state: Mutex::new(state),
        }));
        super::world::furnish(&azure);
        #[cfg(feature = "storage")]
        azure.plug(super::storage::FakeStorage::default());
        azure.plug(super::compute::FakeComputes);
        azure.plug(super::schedule::FakeSchedules);
        azure.plug(super::mlflow::FakeMlflow::new());
        azure.plug(super::run_artifact::FakeRunArtifacts::new());
        azure.plug(azure.0.metrics.clone());
        // Whoever is plugged in last is asked first: the trials of a sweep are its own, all other runs are MLflow's.
        azure.plug(azure.0.jobs.clone());
        azure
    }

    /// The same without any part: the store alone, which knows kinds of resources and not what they do.
    #[must_use]
    pub fn without_parts(self) -> Self {
        self.0.parts.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self
    }

    /// The same with every body of a PUT judged by Azure's own types: what they refuse is answered with 400 and kept in
    /// [`refused`](Self::refused).
    #[must_use]
    pub fn judging(self, schemas: impl Into<Arc<Schemas>>) -> Self {
        self.state().schemas = Some(schemas.into());
        self
    }

    /// The same with lists in pages of so many items; it is five where nothing is set.
    #[must_use]
    pub fn paging(self, items: usize) -> Self {
        self.state().page = items.max(1);
        self
    }

    /// The same with another clock, from which all times in answers are.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        self.state().clock = clock;
        self
    }

    /// The workspace.
    pub fn workspace(&self) -> Workspace {
        self.0.workspace.clone()
    }

    /// A registry in the same resource group, which is made if it is not there.
    ///
    /// # Panics
    /// For a name that no registry can have.
    #[allow(clippy::panic, reason = "a test that names its registry wrongly is wrong")]
    pub fn registry(&self, name: &str) -> Registry {
        let registry = match Registry::new(SUBSCRIPTION, GROUP, name) {
            Ok(registry) => registry,
            Err(error) => panic!("{error}"),
        };
        if self.resource(&registry.id()).is_none() {
            self.set_resource(&registry.id(), super::world::registry());
        }
        registry
    }

    /// What the workspace's resources are below.
    pub fn place(&self) -> Place {
        Place::from(&self.0.workspace)
    }

    /// A source of tokens that this fake takes: each for the audience of its scope, and for nothing else.
    pub fn tokens(&self) -> Arc<dyn TokenSource> {
        self.0.tokens.clone()
    }

    /// How many tokens were given out.
    pub fn tokens_issued(&self) -> u64 {
        self.0.tokens.issued()
    }

    /// A transport at whose other end this fake is, for every host.
    pub fn transport(&self) -> Arc<dyn HttpTransport> {
        Arc::new(self.clone())
    }

    /// A client of Resource Manager that waits for nothing: neither between tries nor between looks at an operation.
    pub fn arm(&self) -> Service {
        known(self.builder(known_url("https://management.azure.com"), Audience::ResourceManager).build())
    }

    /// A client of any other host that waits for nothing.
    ///
    /// # Panics
    /// For an address to which no token may be sent.
    #[allow(clippy::panic, reason = "a test with such an address is wrong")]
    pub fn service(&self, base: Url, audience: Audience) -> Service {
        match self.builder(base, audience).build() {
            Ok(service) => service,
            Err(error) => panic!("{error}"),
        }
    }

    /// A client of any host, to be set up further.
    pub fn builder(&self, base: Url, audience: Audience) -> ServiceBuilder {
        let retry = RetryPolicy {
            initial: Duration::ZERO,
            deadline: Some(ServiceBuilder::DEADLINE),
            ..RetryPolicy::default()
        };
        let instant = Duration::from_millis(1);
        let poll = PollPolicy::default().with_initial(Duration::ZERO).with_longest(instant);
        Service::builder(base, Cloud::Public.scope(audience), self.tokens())
            .transport(self.transport())
            .retry(retry)
            .poll(poll.with_deadline(Duration::from_secs(20)))
    }

    /// Every request so far, in order, as [`FakeRequest::line`] shows it.
    pub fn requests(&self) -> Vec<String> {
        self.state().requests.clone()
    }

    /// How many requests there were.
    pub fn count(&self) -> usize {
        self.state().requests.len()
    }

    /// Forgets the requests so far, and what was refused.
    pub fn forget_requests(&self) {
        let mut state = self.state();
        state.requests.clear();
        state.refused.clear();
    }

    /// Every body that was refused, with the reasons.
    pub fn refused(&self) -> Vec<String> {
        self.state().refused.clone()
    }

    /// What is to go wrong.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// How jobs go.
    pub fn jobs(&self) -> &FakeJobs {
        &self.0.jobs
    }

    /// What Azure Monitor knows of online endpoints.
    pub fn metrics(&self) -> &FakeMetrics {
        &self.0.metrics
    }

    /// A resource provider that the subscription is not registered to use, until somebody registers it and it is looked at so
    /// many times.
    pub fn unregister(&self, namespace: &str, looks: u32) {
        self.state().unregister(namespace, looks);
    }

    /// Plugs in a part, which is asked before all that were plugged in before it.
    pub fn plug(&self, part: impl FakePart + 'static) {
        self.0.parts.lock().unwrap_or_else(PoisonError::into_inner).insert(0, Arc::new(part));
    }

    pub(super) fn parts(&self) -> Vec<Arc<dyn FakePart>> {
        self.0.parts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.state().now()
    }

    /// What is answered to a request without a good token for an audience; `None` for one that has it.
    pub fn refuse_token(&self, request: &FakeRequest, audience: Audience) -> Option<FakeAnswer> {
        self.0.tokens.objection(request, Cloud::Public.scope(audience).audience())
    }

    /// Judges the body of a request, for parts that answer one themselves: of a PUT at Resource Manager by Azure's types, of everything
    /// else by [what the official clients say](super::body). `None` for one that is good, and where nobody knows.
    pub fn refuse_body(&self, request: &FakeRequest) -> Option<FakeAnswer> {
        let bodies = Bodies::official();
        if let Some(report) = bodies.findings(&request.method, request.host(), request.path(), &request.body)
        {
            return (!report.errors.is_empty()).then(|| {
                let said: Vec<String> =
                    report.errors.iter().map(|e| format!("{} {}", e.at, e.message)).collect();
                self.state().refused.push(format!("{}: {}", report.type_name, said.join("; ")));
                body::refusal(request, &report)
            });
        }
        if request.method != Method::PUT || request.host() != Cloud::Public.resource_manager() {
            return None;
        }
        let path = ArmPath::parse(request.path())?;
        let version = request.query("api-version").unwrap_or_default();
        arm::judge(&mut self.state(), &path, &version, &request.json()).err()
    }

    /// A resource as it is, with its envelope, by its id in any case.
    pub fn resource(&self, id: &str) -> Option<Value> {
        self.state().store.get(&key(id)).map(|entry| entry.value.clone())
    }

    /// Writes a resource as it is to be; its envelope is written by the store. Nothing is checked, and no operation begins.
    pub fn set_resource(&self, id: &str, resource: Value) {
        let mut state = self.state();
        let id = id.trim_end_matches('/');
        let old = state.store.get(&key(id)).map(|entry| entry.value.clone());
        let value = match ArmPath::parse(id) {
            Some(path) => arm::envelope(&path, resource, old.as_ref(), state.now()),
            None => resource,
        };
        state.store.put(&key(id), value, 0);
        if let Some(path) = ArmPath::parse(id) {
            super::asset::recount(&mut state.store, &path);
        }
    }

    /// Removes a resource and everything below it; says whether it was there.
    pub fn remove_resource(&self, id: &str) -> bool {
        let mut state = self.state();
        let was_there = state.store.remove(&key(id));
        if let Some(path) = ArmPath::parse(id) {
            super::asset::recount(&mut state.store, &path);
        }
        was_there
    }

    /// Everything below an id, by id: of a list its items, of a resource all that it has.
    pub fn list_resources(&self, below: &str) -> Vec<Value> {
        self.state().store.below(&key(below)).map(|(_, entry)| entry.value.clone()).collect()
    }

    /// Begins an operation on a resource that changes nothing there, and answers with 202 and `Location`, where `result` will be,
    /// or nothing for `null`. It ends as all others do.
    pub fn begin(&self, request: &FakeRequest, id: &str, result: Value) -> FakeAnswer {
        let Some(path) = ArmPath::parse(id) else { return arm::not_found(id) };
        let version = request.query("api-version").unwrap_or_default();
        let mut state = self.state();
        let family = super::kind::family(&path).to_owned();
        let way = super::kind::Way::Location;
        state.begin(
            &path,
            &family,
            super::operation::Act::Other(result),
            way,
            &version,
            FakeAnswer::empty(202),
        )
    }

    /// Whether an operation on a resource, or on the endpoint that it belongs to, is under way.
    pub fn is_busy(&self, id: &str) -> bool {
        let Some(path) = ArmPath::parse(id) else { return false };
        self.state().operations.of_family(super::kind::family(&path)).is_some()
    }

    /// Ends the operation on a resource that is under way, as it would have ended; says whether there was one.
    pub fn finish(&self, id: &str) -> bool {
        ArmPath::parse(id).is_some_and(|path| self.state().end(&path, None))
    }

    /// Cancels the operation on a resource that is under way; says whether there was one.
    pub fn cancel(&self, id: &str) -> bool {
        ArmPath::parse(id).is_some_and(|path| self.state().end(&path, Some("Canceled")))
    }

    /// Answers a request, unless its host does not exist or its answer is lost.
    pub(super) async fn exchange(&self, request: &FakeRequest) -> Result<FakeAnswer, HttpFault> {
        let unknown = || HttpFault::new(Stage::Connect, false, "there is no such host at the fake");
        let answer = self.answer(request).ok_or_else(unknown)?;
        match self.0.faults.loses_answer() {
            true => Err(HttpFault::new(Stage::Answer, false, "the fake lost the answer")),
            false => Ok(answer),
        }
    }

    /// Answers a request; `None` for a host that does not exist.
    fn answer(&self, request: &FakeRequest) -> Option<FakeAnswer> {
        let _turn = self.0.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.state().requests.push(request.line());
        match self.0.faults.meet() {
            Meets::Nothing => {}
            Meets::Busy => {
                let message = "The request was throttled.";
                return Some(FakeAnswer::error(429, "TooManyRequests", message).retry_after(0));
            }
            Meets::Unavailable => {
                return Some(FakeAnswer::error(503, "ServerUnavailable", "The service is unavailable."));
            }
        }
        let knows = |part: &Arc<dyn FakePart>| part.judges(request);
        if body::judge_of(request) == body::Judge::Missing && !self.parts().iter().any(knows) {
            self.state().refused.push(format!("{}: nobody judges its body", request.line()));
            return Some(body::unknown(request));
        }
        let host = request.host();
        let is_arm = host == Cloud::Public.resource_manager();
        if (is_arm || host.ends_with(".api.azureml.ms"))
            && let Some(refused) = self.refuse_token(request, Audience::ResourceManager)
        {
            return Some(refused);
        }
        if self.0.faults.forbids() {
            let message = "The client does not have authorization to perform the action.";
            return Some(FakeAnswer::error(403, "AuthorizationFailed", message));
        }
        // Parts at other hosts look at the token first, and judge then.
        let judges = host.ends_with(".api.azureml.ms") || (is_arm && request.method != Method::PUT);
        let refused = || judges.then(|| self.refuse_body(request)).flatten();
        let part = || self.parts().iter().find_map(|part| part.answer(request, self));
        if is_arm {
            let answer = match arm::admit(self, request) {
                Ok(path) => refused().or_else(part).unwrap_or_else(|| arm::answer(self, request, &path)),
                Err(refused) => refused,
            };
            return Some(arm::dress(self, request, answer));
        }
        if host == Cloud::Public.authority() {
            return part().or_else(|| Some(self.0.tokens.issuer(request)));
        }
        let nothing = || host.ends_with(".api.azureml.ms").then(|| arm::not_found(request.path()));
        refused().or_else(part).or_else(nothing)
    }
}

/// An id as the store has it.
fn key(id: &str) -> String {
    id.trim_end_matches('/').to_ascii_lowercase()
}

fn known_url(text: &str) -> Url {
    #[allow(clippy::expect_used, reason = "the fake's own addresses are constants that are right")]
    text.parse().expect("the fake's own addresses are right")
}

impl fmt::Debug for FakeAzure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeAzure").field("workspace", &self.0.workspace.id()).finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpTransport for FakeAzure {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpFault> {
        let request = FakeRequest::read(request).await?;
        self.exchange(&request).await.map(HttpResponse::from)
    }
}
