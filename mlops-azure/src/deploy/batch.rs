//! Batch endpoints: models that score files, as jobs.
//!
//! A call makes a job; the job's outputs are where its predictions are. Resource Manager, version
//! [`API_VERSION`](crate::config::API_VERSION), and the endpoint's own address. The permissions are those of
//! `Microsoft.MachineLearningServices/workspaces/batchEndpoints` (`read`, `write`, `deployments/write`, `jobs/write`) and
//! `…/workspaces/jobs/read`; callers are known by a token of Entra ID for Azure Machine Learning, and by nothing else. The role
//! `AzureML Data Scientist` has all of it. Endpoints and deployments are long-running operations; a job that a call just made may be
//! answered with 404 for a moment.
//!
//! Core has no trait for it: its own batch scoring (`mlops_core::serve::batch`) reads and writes files in its own process, resumes
//! after a crash, and needs no cluster.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mlops_core::hash::Hasher;
use mlops_core::{Error, ErrorKind, IdempotencyKey, Result};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::scoring::DEPLOYMENT;
use crate::auth::TokenSource;
use crate::config::Workspace;
use crate::config::cloud::{Audience, Cloud};
use crate::http::header::HeaderName;
use crate::http::{
    Call, HttpTransport, PollPolicy, Repeat, ReqwestConfig, ReqwestTransport, Service, Url, guard,
};
use crate::wire::batch::BatchInvoke;
use crate::wire::job::JobStatus;
use crate::wire::{BatchDeployment, BatchEndpoint, Job, Place, Resource};

/// The batch endpoints of a workspace. Cheap to clone.
///
/// ```no_run
/// use mlops_azure::deploy::BatchEndpoints;
/// use mlops_azure::http::PollPolicy;
/// use mlops_azure::wire::batch::{BatchInput, BatchInvoke, BatchValueType};
/// use mlops_core::IdempotencyKey;
///
/// async fn tonight(batch: &BatchEndpoints) -> mlops_core::Result<()> {
///     let claims = BatchInput::data(BatchValueType::UriFolder, "azureml:claims:7");
///     let data = BatchInvoke::default().with_input("in", claims);
///     // With the same key it is the same job, however often it is asked for.
///     let job = batch.invoke("nightly", None, &data, &IdempotencyKey::new("claims-2026-03-02")?).await?;
///     let done = batch.wait(&job.name, &PollPolicy::default()).await?;
///     println!("{:?}", done.outputs);
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct BatchEndpoints(Arc<Inner>);

struct Inner {
    arm: Service,
    place: Place,
    cloud: Cloud,
    region: String,
    tokens: Arc<dyn TokenSource>,
    transport: Arc<dyn HttpTransport>,
    /// Where endpoints are called, by their names.
    known: Mutex<HashMap<String, Scoring>>,
}

/// Where an endpoint is called, and since when that is known.
#[derive(Clone)]
struct Scoring {
    service: Service,
    url: Url,
    since: Instant,
}

/// How long an address is believed; the same as of online endpoints.
const KNOWN_FOR: Duration = Duration::from_secs(300);

/// A job that a call has made.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct BatchJob {
    /// Its name.
    pub name: String,
    /// How far it is; `None` where the service does not say.
    pub status: Option<JobStatus>,
    /// Where its outputs are, by their names.
    pub outputs: BTreeMap<String, String>,
}

impl BatchJob {
    fn read(operation: &'static str, resource: &Resource<Job>) -> Result<Self> {
        let name = resource
            .name
            .clone()
            .ok_or_else(|| Error::new(ErrorKind::Protocol, operation, "the answer names no job"))?;
        let outputs = match &resource.properties {
            Job::Other(members) => members.get("outputs").and_then(Value::as_object).map(uris),
            job => serde_json::to_value(job).ok().and_then(|v| v.get("outputs")?.as_object().map(uris)),
        };
        Ok(Self { name, status: resource.properties.status(), outputs: outputs.unwrap_or_default() })
    }
}

fn uris(outputs: &serde_json::Map<String, Value>) -> BTreeMap<String, String> {
    let uri =
        |(name, output): (&String, &Value)| Some((name.clone(), output.get("uri")?.as_str()?.to_owned()));
    outputs.iter().filter_map(uri).collect()
}

impl BatchEndpoints {
    /// The endpoints of a workspace in a region, by a client of Resource Manager, and tokens of Entra ID for calls.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for connections that cannot be set up.
    pub fn new(
        arm: Service,
        workspace: &Workspace,
        region: impl Into<String>,
        tokens: Arc<dyn TokenSource>,
    ) -> Result<Self> {
        let transport = Arc::new(ReqwestTransport::new(&ReqwestConfig::default())?);
        Ok(Self::with_transport(arm, workspace, region, tokens, transport))
    }

    /// The same, calling through a transport.
    pub fn with_transport(
        arm: Service,
        workspace: &Workspace,
        region: impl Into<String>,
        tokens: Arc<dyn TokenSource>,
        transport: Arc<dyn HttpTransport>,
    ) -> Self {
        let (place, cloud, known) = (Place::from(workspace), workspace.cloud(), Mutex::default());
        Self(Arc::new(Inner { arm, place, cloud, region: region.into(), tokens, transport, known }))
    }

    /// Makes an endpoint, or finds the one that is there, which is then as it was.
    ///
    /// # Errors
    /// Those of the service.
    pub async fn ensure(&self, endpoint: &str) -> Result<Resource<BatchEndpoint>> {
        const OP: &str = "BatchEndpoints::ensure";
        let at = self.0.place.batch_endpoint(endpoint)?;
        match self.0.arm.begin(at.get(OP)).await {
            Ok(there) => there.wait().await,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let resource = Resource::new(BatchEndpoint::new()).with_location(&self.0.region);
                self.0.arm.begin(at.put(OP, &resource)?).await?.wait().await
            }
            Err(error) => Err(error),
        }
    }

    /// Writes a deployment, and waits until it is there.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an endpoint that is not there; those of the service.
    pub async fn deploy(
        &self,
        endpoint: &str,
        name: &str,
        deployment: BatchDeployment,
    ) -> Result<Resource<BatchDeployment>> {
        const OP: &str = "BatchEndpoints::deploy";
        let resource = Resource::new(deployment).with_location(&self.0.region);
        let put = self.0.place.batch_deployment(endpoint, name)?.put(OP, &resource)?;
        self.0.arm.begin(put).await?.wait().await
    }

    /// Makes a deployment the one that answers those who name none. The endpoint is read and written whole, because a write that
    /// leaves something out removes it.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] while another operation runs on the endpoint; [`ErrorKind::InvalidInput`] for a deployment that is not there;
    /// those of the service.
    pub async fn set_default(&self, endpoint: &str, deployment: &str) -> Result<Resource<BatchEndpoint>> {
        const OP: &str = "BatchEndpoints::set_default";
        let at = self.0.place.batch_endpoint(endpoint)?;
        let mut resource = self.0.arm.begin(at.get(OP)).await?.wait().await?;
        resource.properties = resource.properties.with_default(deployment);
        self.0.arm.begin(at.put(OP, &resource)?.unless_busy()).await?.wait().await
    }

    /// Calls an endpoint, or one of its deployments. With the same key it is the same job, so the call may be repeated.
    ///
    /// The endpoint's address is asked for once in five minutes, and anew where nobody answers there or the answer is 404 or 410: an
    /// endpoint that was removed and made again may be elsewhere.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an endpoint or a deployment that is not there, and for no default; [`ErrorKind::InvalidInput`] for
    /// data that the service does not take; those of the service.
    pub async fn invoke(
        &self,
        endpoint: &str,
        deployment: Option<&str>,
        data: &BatchInvoke,
        key: &IdempotencyKey,
    ) -> Result<BatchJob> {
        const OP: &str = "BatchEndpoints::invoke";
        let (known, fresh) = self.scoring(OP, endpoint).await?;
        let call = |scoring: Scoring| async move {
            let mut call = Call::<Resource<Job>>::post(OP, scoring.url.path())
                .repeat(Repeat::Safe)
                .json(data)?
                .header(HeaderName::from_static("repeatability_request-id"), &request_id(endpoint, key))?;
            if let Some(deployment) = deployment {
                call = call.header(HeaderName::from_static(DEPLOYMENT), deployment)?;
            }
            BatchJob::read(OP, &scoring.service.call(call).await?)
        };
        let error = match call(known.clone()).await {
            Err(error) if !fresh && is_elsewhere(&error) => error,
            answered => return answered,
        };
        self.known().remove(endpoint);
        match self.scoring(OP, endpoint).await {
            Ok((found, _)) if found.url != known.url => call(found).await,
            Err(gone) if gone.kind() == ErrorKind::NotFound => Err(gone),
            // What was answered first says more.
            _ => Err(error),
        }
    }

    /// A job as it is.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for one that is not there; those of the service.
    pub async fn job(&self, name: &str) -> Result<BatchJob> {
        const OP: &str = "BatchEndpoints::job";
        let resource = self.0.arm.call(self.0.place.job(name)?.get(OP)).await?;
        BatchJob::read(OP, &resource)
    }

    /// Waits until a job is over: [`PollPolicy::initial`] before the second look, half as long again before each further one, up to
    /// [`PollPolicy::longest`], and never less than a tenth of a second. Looks that fail in a way that may pass are passed over, so many
    /// in a row as [`PollPolicy::failures`] lets: a job that was made a moment ago is not yet known everywhere. To stop waiting does not
    /// stop the job.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`] for a job that failed and [`ErrorKind::Cancelled`] for one that was cancelled, with the `job`;
    /// [`ErrorKind::Timeout`] after [`PollPolicy::deadline`]; those of [`job`](Self::job).
    pub async fn wait(&self, name: &str, policy: &PollPolicy) -> Result<BatchJob> {
        const OP: &str = "BatchEndpoints::wait";
        const LEAST: Duration = Duration::from_millis(100);
        let (started, mut pause) = (Instant::now(), policy.initial.max(LEAST));
        let (mut failures, mut status) = (0_u32, None);
        loop {
            match self.job(name).await {
                Ok(job) => {
                    failures = 0;
                    let ended = |kind, message| Err(Error::new(kind, OP, message).with("job", &job.name));
                    match &job.status {
                        Some(JobStatus::Completed) => return Ok(job),
                        Some(JobStatus::Failed) => return ended(ErrorKind::Rejected, "the job failed"),
                        Some(JobStatus::Canceled) => {
                            return ended(ErrorKind::Cancelled, "the job was cancelled");
                        }
                        _ => status = job.status,
                    }
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    let may_pass = error.is_retryable() || error.kind() == ErrorKind::NotFound;
                    if !may_pass || failures > policy.failures {
                        return Err(error);
                    }
                }
            }
            if started.elapsed().saturating_add(pause) > policy.deadline {
                let status = status.as_ref().map_or("", JobStatus::as_str);
                let error = Error::new(ErrorKind::Timeout, OP, "the job did not end in time; it goes on");
                return Err(error.with("job", name).with("status", status).with_retryable(false));
            }
            sleep(pause).await;
            pause = pause
                .saturating_add(pause / 2)
                .clamp(policy.shortest.min(policy.longest), policy.longest)
                .max(LEAST);
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Scoring>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where an endpoint is called, and whether that was found out just now.
    async fn scoring(&self, operation: &'static str, endpoint: &str) -> Result<(Scoring, bool)> {
        let known = self.known().get(endpoint).filter(|known| known.since.elapsed() < KNOWN_FOR).cloned();
        if let Some(known) = known {
            return Ok((known, false));
        }
        let resource = self.0.arm.call(self.0.place.batch_endpoint(endpoint)?.get(operation)).await?;
        let bad = |message| Error::new(ErrorKind::Protocol, operation, message).with("endpoint", endpoint);
        let uri = resource.properties.scoring_uri.ok_or_else(|| bad("the endpoint has no address yet"))?;
        let url: Url = uri.parse().map_err(|_| bad("the endpoint's address is no URL"))?;
        guard::may_carry_secrets(operation, "scoringUri", &url)?;
        let scope = self.0.cloud.scope(Audience::MachineLearning);
        let service = Service::builder(url.clone(), scope, self.0.tokens.clone())
            .transport(self.0.transport.clone())
            .register_providers(false)
            .timeout(Duration::from_secs(60))
            .build()?;
        let found = Scoring { service, url, since: Instant::now() };
        self.known().insert(endpoint.to_owned(), found.clone());
        Ok((found, true))
    }
}

/// Whether an error may say that the endpoint is at another address by now.
fn is_elsewhere(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Transport)
        || error.context("status").is_some_and(|status| status == "410")
}

/// The id by which the service knows a call again: a GUID that follows from endpoint and key.
fn request_id(endpoint: &str, key: &IdempotencyKey) -> String {
    let hex = Hasher::new("mlops.azure.batch/v1").field(endpoint).field(key.as_str()).finish().hex();
    let part = |range| hex.get(range).unwrap_or_default();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

impl fmt::Debug for BatchEndpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchEndpoints").field("workspace", &self.0.place.id()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_guid_of_its_own() {
        let key = IdempotencyKey::new("nightly-7").unwrap();
        let id = request_id("churn", &key);
        assert!(crate::config::name::is_guid(&id), "{id}");
        assert_eq!(id, request_id("churn", &key));
        assert_ne!(id, request_id("risk", &key));
    }
}
