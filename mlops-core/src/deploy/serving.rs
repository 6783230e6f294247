//! What every deployer does that asks its models in its own process: find a version, load it, choose who answers, ask, count.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Deployment, DeploymentSpec, DeploymentState, EndedRequest, Endpoint, InvokeRequest, InvokeResponse,
    Mirror, MirrorChange, Observers, OperationStats, RequestOutcome, TrafficChange,
};
use crate::artifact::ArtifactStore;
use crate::data::Table;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{DeploymentName, EndpointName, IdempotencyKey, Percent};
use crate::model::{ModelLoader, Predictions, Predictor, read_model};
use crate::registry::{Edge, ModelRef, ModelRegistry, ModelVersion, Node, Relation};
use crate::time::Clock;

const INVOKE: &str = "Deployer::invoke";

/// The most bytes a model may have.
pub(crate) const MAX_MODEL: usize = 1 << 30;

/// Where models come from: what is registered, where its content lies, and who understands it.
#[derive(Clone, Debug)]
pub(crate) struct Models {
    pub(crate) registry: Arc<dyn ModelRegistry>,
    pub(crate) artifacts: Arc<dyn ArtifactStore>,
    pub(crate) loader: Arc<dyn ModelLoader>,
}

impl Models {
    /// The registered version that a deployment is of.
    pub(crate) async fn version(&self, spec: &DeploymentSpec) -> Result<ModelVersion> {
        self.registry.get(&ModelRef::new(spec.model.clone(), spec.version)).await
    }

    /// The registered version that a deployment is of, which has the content that was deployed.
    pub(crate) async fn deployed(
        &self,
        operation: &'static str,
        deployment: &Deployment,
    ) -> Result<ModelVersion> {
        let Deployment { spec, artifact, .. } = deployment;
        let version = self.version(spec).await?;
        if version.spec.artifact == *artifact {
            return Ok(version);
        }
        let message = "the registered version is not what was deployed";
        let error = Error::new(ErrorKind::Integrity, operation, message).with("model", &spec.model);
        let error = error.with("version", spec.version).with("expected", artifact);
        Err(error.with("found", version.spec.artifact))
    }

    /// Reads and loads the model of a version.
    pub(crate) async fn load(
        &self,
        operation: &'static str,
        version: &ModelVersion,
    ) -> Result<Arc<dyn Predictor>> {
        let spec = &version.spec;
        let bytes = read_model(&self.artifacts, &spec.artifact, MAX_MODEL).await?;
        let load = || {
            let predictor = self.loader.load(&spec.format, &bytes)?;
            let difference = spec.signature.difference(predictor.signature());
            Ok((predictor, difference))
        };
        let (predictor, difference) = guarded(operation, "the loader panicked", load)
            .map_err(|e| e.with("model", &spec.model).with("version", version.version))?;
        let Some(difference) = difference else { return Ok(predictor) };
        // Callers are told what the registry says; a model that wants something else would refuse them, or worse.
        let message = "the model has another signature than it was registered with";
        let error = Error::new(ErrorKind::Corrupt, operation, message).with("difference", difference);
        Err(error.with("model", &spec.model).with("version", version.version))
    }

    /// Links a deployment to its model version, where the registry keeps lineage.
    pub(crate) async fn link(&self, spec: &DeploymentSpec) -> Result<()> {
        if !self.registry.capabilities().lineage {
            return Ok(());
        }
        let from = Node::Model { name: spec.model.clone(), version: spec.version };
        let to = Node::Deployment { endpoint: spec.endpoint.clone(), deployment: spec.name.clone() };
        self.registry.link(&Edge { from, to, relation: Relation::DeployedAs }).await
    }
}

pub(crate) fn no_endpoint(operation: &'static str, name: &EndpointName) -> Error {
    Error::not_found(operation, "endpoint", name)
}

pub(crate) fn no_deployment(
    operation: &'static str,
    endpoint: &EndpointName,
    name: &DeploymentName,
) -> Error {
    Error::not_found(operation, "deployment", name).with("endpoint", endpoint)
}

/// Whether a deployment that has the name of `spec` is the one it asks for; if not, the name is taken.
pub(crate) fn check_same(found: &Deployment, spec: &DeploymentSpec) -> Result<()> {
    if found.spec == *spec {
        return Ok(());
    }
    let message = "the endpoint has another deployment of this name";
    Err(Error::new(ErrorKind::AlreadyExists, "Deployer::deploy", message)
        .with("deployment", &spec.name)
        .with("model", &found.spec.model)
        .with("version", found.spec.version))
}

/// Who is to get traffic can answer.
pub(crate) fn check_ready(deployment: &Deployment) -> Result<()> {
    if deployment.state == DeploymentState::Ready {
        return Ok(());
    }
    let message = "a deployment that is not ready cannot have traffic";
    let error = Error::new(ErrorKind::Conflict, "Deployer::set_traffic", message);
    Err(error.with("deployment", &deployment.spec.name).with("state", format!("{:?}", deployment.state)))
}

/// Who is to be deleted has no traffic and is nobody's shadow.
pub(crate) fn check_unused(endpoint: &Endpoint, deployment: &DeploymentName) -> Result<()> {
    const OP: &str = "Deployer::delete_deployment";
    let share = endpoint.traffic.share(deployment);
    if share != Percent::ZERO {
        let error = Error::new(ErrorKind::Conflict, OP, "the deployment has traffic");
        return Err(error.with("deployment", deployment).with("share", share));
    }
    match shadow_named(endpoint, deployment) {
        None => Ok(()),
        Some(_) => {
            let error = Error::new(ErrorKind::Conflict, OP, "requests are mirrored to the deployment");
            Err(error.with("deployment", deployment))
        }
    }
}

fn shadow_named<'a>(endpoint: &'a Endpoint, deployment: &DeploymentName) -> Option<&'a Mirror> {
    endpoint.mirror.as_ref().filter(|mirror| mirror.deployment == *deployment)
}

/// A change of traffic or of the mirror, known by one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Change {
    Traffic(TrafficChange),
    Mirror(MirrorChange),
}

impl Change {
    pub(crate) fn key(&self) -> &IdempotencyKey {
        match self {
            Self::Traffic(change) => &change.key,
            Self::Mirror(change) => &change.key,
        }
    }

    pub(crate) fn endpoint(&self) -> &EndpointName {
        match self {
            Self::Traffic(change) => &change.endpoint,
            Self::Mirror(change) => &change.endpoint,
        }
    }

    pub(crate) fn operation(&self) -> &'static str {
        match self {
            Self::Traffic(_) => "Deployer::set_traffic",
            Self::Mirror(_) => "Deployer::set_mirror",
        }
    }

    fn expected(&self) -> Option<u64> {
        match self {
            Self::Traffic(change) => change.expected,
            Self::Mirror(change) => change.expected,
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Traffic(change) => change.split.to_string(),
            Self::Mirror(change) => {
                change.mirror.as_ref().map_or("no mirror".to_owned(), |mirror| format!("mirror {mirror}"))
            }
        }
    }

    /// Who is asked after it, and must be ready.
    pub(crate) fn deployments(&self) -> Vec<&DeploymentName> {
        match self {
            Self::Traffic(change) => change.split.shares().map(|(name, _)| name).collect(),
            Self::Mirror(change) => change.mirror.iter().map(|mirror| &mirror.deployment).collect(),
        }
    }

    /// The endpoint after it. It meets the revision it names, and nobody is live and mirrored.
    pub(crate) fn applied_to(&self, mut endpoint: Endpoint) -> Result<Endpoint> {
        let found = endpoint.revision;
        if let Some(expected) = self.expected().filter(|expected| *expected != found) {
            let message = "the endpoint's traffic was changed";
            let error = Error::conflict(self.operation(), message, expected, found);
            return Err(error.with("endpoint", &endpoint.name));
        }
        match self {
            Self::Traffic(change) => endpoint.traffic = change.split.clone(),
            Self::Mirror(change) => endpoint.mirror.clone_from(&change.mirror),
        }
        endpoint.revision += 1;
        let both = |mirror: &&Mirror| endpoint.traffic.share(&mirror.deployment) != Percent::ZERO;
        match endpoint.mirror.as_ref().filter(both) {
            None => Ok(endpoint),
            Some(mirror) => {
                let message = "a deployment that requests are mirrored to cannot have traffic";
                let error = Error::new(ErrorKind::Conflict, self.operation(), message);
                Err(error.with("deployment", &mirror.deployment).with("endpoint", &endpoint.name))
            }
        }
    }
}

/// A change whose key was used before is that change.
pub(crate) fn check_repeated(made: &Change, change: &Change) -> Result<()> {
    if made == change {
        return Ok(());
    }
    let message = "the key was used for another change";
    let error = Error::conflict(change.operation(), message, change.shown(), made.shown());
    Err(error.with("key", change.key()))
}

/// Who answers a request, and which shadow is asked too.
pub(crate) struct Chosen<'a> {
    pub(crate) live: &'a DeploymentName,
    pub(crate) shadow: Option<&'a DeploymentName>,
}

/// Who answers a request; `number` counts the requests that came without a routing key.
pub(crate) fn choose<'a>(
    endpoint: &'a Endpoint,
    request: &'a InvokeRequest<'_>,
    number: impl FnOnce() -> u64,
) -> Result<Chosen<'a>> {
    if let Some(live) = &request.deployment {
        return Ok(Chosen { live, shadow: None });
    }
    let key = request.routing_key.clone().unwrap_or_else(|| number().to_string());
    let Some(live) = endpoint.traffic.route(endpoint.traffic.salt(&endpoint.name), &key, None) else {
        let error = Error::new(ErrorKind::Conflict, INVOKE, "the endpoint has no traffic");
        return Err(error.with("endpoint", &endpoint.name));
    };
    let mirrored = |mirror: &&Mirror| mirror.deployment != *live && mirror.takes(&key);
    let shadow = endpoint.mirror.as_ref().filter(mirrored).map(|mirror| &mirror.deployment);
    Ok(Chosen { live, shadow })
}

/// Asks a predictor, and measures how long it takes by the clock's monotonic time.
pub(crate) fn ask(
    predictor: &dyn Predictor,
    rows: &Table<'_>,
    clock: &dyn Clock,
) -> (Result<Predictions>, Duration) {
    let start = clock.monotonic();
    let answer = predict(INVOKE, predictor, rows);
    (answer, clock.monotonic().saturating_sub(start))
}

/// How a request ended, by what the model said.
pub(crate) fn outcome(answer: &Result<Predictions>) -> RequestOutcome {
    match answer {
        Ok(_) => RequestOutcome::Answered,
        Err(e) if matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::LimitExceeded) => {
            RequestOutcome::Refused
        }
        Err(_) => RequestOutcome::Failed,
    }
}

/// Counts one request and how it ended.
pub(crate) fn count(stats: &mut OperationStats, answer: &Result<Predictions>, latency: Duration) {
    stats.requests += 1;
    match outcome(answer) {
        RequestOutcome::Answered => {
            stats.total_latency = stats.total_latency.saturating_add(latency);
            stats.max_latency = stats.max_latency.max(latency);
        }
        RequestOutcome::Refused => stats.bad_requests += 1,
        RequestOutcome::Failed | RequestOutcome::Abandoned => stats.failures += 1,
    }
}

/// Tells everybody who wants to hear of it how a request ended.
pub(crate) fn tell(
    observers: &Observers,
    spec: &DeploymentSpec,
    shadow: bool,
    answer: &Result<Predictions>,
    latency: Duration,
    clock: &dyn Clock,
) {
    let (deployment, outcome) = (Some(&spec.name), outcome(answer));
    let ended = EndedRequest::new(&spec.endpoint, deployment, clock.now(), outcome, latency);
    observers.tell(&if shadow { ended.of_shadow() } else { ended });
}

/// What the caller is told.
pub(crate) fn respond(
    spec: &DeploymentSpec,
    answer: Result<Predictions>,
    latency: Duration,
) -> Result<InvokeResponse> {
    match answer {
        Ok(predictions) => Ok(InvokeResponse::new(spec.name.clone(), spec.version, predictions, latency)),
        Err(e) => Err(e.with("endpoint", &spec.endpoint).with("deployment", &spec.name)),
    }
}

/// Runs code that is not ours. A panic in it is an error here.
fn guarded<T>(operation: &'static str, panicked: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    // Models and loaders are only ever read; whatever a panic leaves half-done inside them is theirs.
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, operation, panicked)))
}

/// Asks a predictor, and believes neither that it checks its rows nor that it keeps its contract.
pub(crate) fn predict(
    operation: &'static str,
    predictor: &dyn Predictor,
    rows: &Table<'_>,
) -> Result<Predictions> {
    guarded(operation, "the predictor panicked", || {
        predictor.signature().check(rows)?;
        let predictions = predictor.predict(rows)?;
        if predictions.len() != rows.rows() {
            let error = Error::new(ErrorKind::Internal, operation, "the predictor did not answer every row");
            return Err(error.with("rows", rows.rows()).with("predictions", predictions.len()));
        }
        predictions.checked().map_err(|e| {
            Error::new(ErrorKind::Internal, operation, "the predictor's answer is no prediction")
                .with_source(e)
        })
    })
}
