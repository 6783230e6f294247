//! What every deployer does that asks its models in its own process: find a version, load it, choose who answers, ask, count.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::{
    Deployment, DeploymentSpec, DeploymentState, Endpoint, InvokeRequest, InvokeResponse, OperationStats,
    TrafficChange,
};
use crate::artifact::ArtifactStore;
use crate::data::Table;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{DeploymentName, EndpointName};
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

/// Who is to be deleted has no traffic.
pub(crate) fn check_unused(endpoint: &Endpoint, deployment: &DeploymentName) -> Result<()> {
    let share = endpoint.traffic.share(deployment);
    if share.get() == 0 {
        return Ok(());
    }
    let error = Error::new(ErrorKind::Conflict, "Deployer::delete_deployment", "the deployment has traffic");
    Err(error.with("deployment", deployment).with("share", share))
}

/// A change whose key was used before is that change.
pub(crate) fn check_repeated(made: &TrafficChange, change: &TrafficChange) -> Result<()> {
    if made == change {
        return Ok(());
    }
    let message = "the key was used for another change";
    let error = Error::conflict("Deployer::set_traffic", message, &change.split, &made.split);
    Err(error.with("key", &change.key))
}

/// A change meets the revision it names.
pub(crate) fn check_expected(endpoint: &Endpoint, change: &TrafficChange) -> Result<()> {
    let found = endpoint.revision;
    match change.expected.filter(|expected| *expected != found) {
        None => Ok(()),
        Some(expected) => {
            let message = "the endpoint's traffic was changed";
            let error = Error::conflict("Deployer::set_traffic", message, expected, found);
            Err(error.with("endpoint", &change.endpoint))
        }
    }
}

/// Who answers a request; `number` counts the requests that came without a routing key.
pub(crate) fn choose<'a>(
    endpoint: &'a Endpoint,
    request: &'a InvokeRequest<'_>,
    number: impl FnOnce() -> u64,
) -> Result<&'a DeploymentName> {
    if let Some(name) = &request.deployment {
        return Ok(name);
    }
    let salt = endpoint.name.as_str();
    let chosen = match &request.routing_key {
        Some(key) => endpoint.traffic.route(salt, key, None),
        None => endpoint.traffic.route(salt, &number().to_string(), None),
    };
    chosen.ok_or_else(|| {
        Error::new(ErrorKind::Conflict, INVOKE, "the endpoint has no traffic")
            .with("endpoint", &endpoint.name)
    })
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

/// Counts one request and how it ended.
pub(crate) fn count(stats: &mut OperationStats, answer: &Result<Predictions>, latency: Duration) {
    stats.requests += 1;
    match answer {
        Ok(_) => {
            stats.total_latency = stats.total_latency.saturating_add(latency);
            stats.max_latency = stats.max_latency.max(latency);
        }
        Err(e) if e.kind() == ErrorKind::InvalidInput => stats.bad_requests += 1,
        Err(_) => stats.failures += 1,
    }
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
