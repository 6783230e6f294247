//! MLflow in Azure Machine Learning: its address, its tokens, its runs' artifacts.
//!
//! | module | what it holds |
//! |---|---|
//! | [`TrackingUri`] | where MLflow is: a workspace or a registry at a host of the service |
//! | [`JobRun`] | what a job of the service is told of MLflow |
//! | [`AzureMlflow`] | all of it together: the client, the tracker, the artifacts |
//! | [`RunArtifacts`] | the artifacts of a run, which here do not go through MLflow |
//!
//! # What is different here
//! The service speaks the API of MLflow 2 (`/mlflow/v2.0/…/api/2.0/`) to clients of any version, without logged models, without
//! traces, and without an artifact proxy. Tokens are those of Resource Manager. Inside a job the job's run is there already,
//! and how it ends is the service's matter: its status is not written, whoever finishes it here.
//!
//! Azure Machine Learning keeps less of a run than MLflow does: 50 tags with keys of 100 and values of 1 000 characters, and 50
//! metrics by name. The tracker's own records are cut into tags of that length; a run with more inputs, artifacts, keyed batches and
//! tags of its own than that leaves room for is refused by the service, batch by batch, with the service's words.
//!
//! [`MlflowRegistry`](super::MlflowRegistry) keeps its ledger as versions whose source is `mlops-ledger:/entry`. Whether Azure takes
//! such a source is not documented, and could not be tried; [`AzureModelRegistry`](crate::registry::AzureModelRegistry) needs
//! nothing of the kind.
//!
//! # Permissions
//! `Microsoft.MachineLearningServices/workspaces/read` to look up the address, and below `workspaces/experiments` and `workspaces/models`
//! what is read and written: the role AzureML Data Scientist has all of it. After a role was assigned it takes minutes until it
//! counts.

mod artifacts;
mod blob;
mod job;
mod uri;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mlops_core::{Error, ErrorKind, Result, RunId};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use self::artifacts::RunArtifacts;
use self::blob::Blobs;
pub use self::job::JobRun;
use self::uri::ArtifactUri;
pub use self::uri::TrackingUri;
use super::auth::MlflowAuth;
use super::capabilities::Dialect;
use super::client::MlflowClient;
use super::tracker::MlflowTracker;
use super::wire::{self, Metric, RunAnswer};
use crate::auth::{MlflowTokens, TokenSource};
use crate::config::cloud::Audience;
use crate::http::{
    HttpTransport, Repeat, ReqwestConfig, ReqwestTransport, RetryPolicy, Service, StorageHosts,
};
use crate::wire::RunHistory;

/// MLflow of one workspace, or of one registry.
///
/// ```
/// use std::sync::Arc;
/// use mlops_azure::auth::{AccessToken, FixedToken};
/// use mlops_azure::mlflow::AzureMlflow;
///
/// let tokens = Arc::new(FixedToken::new(AccessToken::new("hunter2", "2100-01-01T00:00:00Z".parse()?)));
/// let uri = "azureml://westeurope.api.azureml.ms/mlflow/v1.0/subscriptions/00000000-0000-0000-0000-000000000000\
///     /resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/mlw-churn";
/// let azure = AzureMlflow::builder(uri.parse()?, tokens).build()?;
/// let tracker = azure.tracker();
/// assert!(!format!("{azure:?} {tracker:?}").contains("hunter2"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct AzureMlflow {
    uri: TrackingUri,
    client: MlflowClient,
    history: Service,
    blobs: Blobs,
    job: Option<JobRun>,
}

/// Builds an [`AzureMlflow`].
#[must_use]
pub struct AzureMlflowBuilder {
    uri: TrackingUri,
    tokens: Arc<dyn TokenSource>,
    job: Option<JobRun>,
    transport: Option<Arc<dyn HttpTransport>>,
    connections: ReqwestConfig,
    retry: RetryPolicy,
    transfer_timeout: Duration,
    part: u64,
    hosts: StorageHosts,
}

impl AzureMlflowBuilder {
    /// Sends through this transport.
    pub fn transport(mut self, transport: Arc<dyn HttpTransport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// How connections are made: proxies, certificates, deadlines.
    pub fn connections(mut self, http: ReqwestConfig) -> Self {
        self.connections = http;
        self
    }

    /// What is tried again.
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// The deadline of one transfer of an artifact or of a block of it; an hour where nothing is set.
    pub fn transfer_timeout(mut self, timeout: Duration) -> Self {
        self.transfer_timeout = timeout;
        self
    }

    /// How long the blocks are in which long artifacts go up; [`AzureMlflow::PART`] where nothing is set. One block is in memory
    /// at a time.
    pub fn part(mut self, bytes: u64) -> Self {
        self.part = bytes.max(1);
        self
    }

    /// Lets the service name places for artifacts at these hosts; if nothing is set, at storages of Azure's clouds.
    pub fn storage_hosts(mut self, hosts: StorageHosts) -> Self {
        self.hosts = hosts;
        self
    }

    /// The client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for connections that cannot be set up.
    pub fn build(self) -> Result<AzureMlflow> {
        let transport = match self.transport {
            Some(transport) => transport,
            None => Arc::new(ReqwestTransport::new(&self.connections)?),
        };
        let cloud = self.uri.cloud();
        let auth = MlflowAuth::Provider(Arc::new(MlflowTokens::new(self.tokens.clone(), cloud)));
        let client = MlflowClient::builder(&self.uri.address())
            .dialect(Dialect::AzureMl)
            .auth(auth)
            .retry(self.retry.clone())
            .transport(transport.clone())
            .build()?;
        let history =
            Service::builder(self.uri.origin()?, cloud.scope(Audience::ResourceManager), self.tokens)
                .retry(self.retry.clone())
                .transport(transport.clone())
                .build()?;
        let Self { retry, transfer_timeout: timeout, part, hosts, .. } = self;
        let blobs = Blobs { transport, retry, timeout, part, hosts };
        Ok(AzureMlflow { uri: self.uri, client, history, blobs, job: self.job })
    }
}

impl fmt::Debug for AzureMlflowBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureMlflowBuilder").field("uri", &self.uri).finish_non_exhaustive()
    }
}

/// The number under which the service keeps metrics that it has not stored yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PendingMetrics {
    run: String,
    batch: String,
}

impl AzureMlflow {
    /// How long the blocks are in which long artifacts go up, where nothing else is set: 8 MiB.
    pub const PART: u64 = 8 << 20;

    /// Begins to set up MLflow of a workspace or a registry. `tokens` should be a [`TokenCache`](crate::auth::TokenCache): every
    /// request asks for one.
    pub fn builder(uri: TrackingUri, tokens: Arc<dyn TokenSource>) -> AzureMlflowBuilder {
        AzureMlflowBuilder {
            uri,
            tokens,
            job: None,
            transport: None,
            connections: ReqwestConfig::default(),
            retry: RetryPolicy::default(),
            transfer_timeout: Duration::from_secs(3600),
            part: Self::PART,
            hosts: StorageHosts::azure(),
        }
    }

    /// Begins to set up MLflow as a job of the service sees it. Without `tokens`, the token of the job's environment is used.
    ///
    /// # Errors
    /// [`ErrorKind::Auth`] where there is neither.
    pub fn in_job(job: JobRun, tokens: Option<Arc<dyn TokenSource>>) -> Result<AzureMlflowBuilder> {
        let tokens = tokens.or_else(|| job.tokens()).ok_or_else(|| {
            let message = "the job has no token, and no source of tokens is given";
            Error::new(ErrorKind::Auth, "AzureMlflow::in_job", message)
                .with("variable", "MLFLOW_TRACKING_TOKEN")
        })?;
        Ok(AzureMlflowBuilder { job: Some(job.clone()), ..Self::builder(job.uri().clone(), tokens) })
    }

    /// Where it is.
    pub fn uri(&self) -> &TrackingUri {
        &self.uri
    }

    /// The client of MLflow's API, for [`MlflowTracker`] and [`MlflowRegistry`](super::MlflowRegistry).
    pub fn client(&self) -> &MlflowClient {
        &self.client
    }

    /// The tracker. Inside a job it leaves the status of the job's own run to the service.
    pub fn tracker(&self) -> MlflowTracker {
        let tracker = MlflowTracker::new(self.client.clone());
        match &self.job {
            Some(job) if job.is_own() => tracker.with_status_left_of(job.run()),
            _ => tracker,
        }
    }

    /// The run of the job in which this process is, as a run of ours: to write to it, and to be the parent of others. Nothing
    /// outside a job.
    ///
    /// # Errors
    /// As of [`MlflowTracker::adopt`].
    pub async fn attach(&self, tracker: &MlflowTracker) -> Result<Option<RunId>> {
        match &self.job {
            Some(job) => Ok(Some(tracker.adopt(job.run()).await?.id)),
            None => Ok(None),
        }
    }

    /// The artifacts of a run, by the name of its experiment and its id in Azure Machine Learning.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for parts that are none; [`ErrorKind::Unsupported`] for a registry, which has no runs.
    pub fn artifacts(&self, experiment: &str, run: &str) -> Result<RunArtifacts> {
        let workspace = self.uri.workspace();
        let workspace =
            workspace.ok_or_else(|| Error::unsupported("AzureMlflow::artifacts", "runs of a registry"))?;
        let run = RunHistory::new(workspace, experiment, run)?;
        Ok(RunArtifacts::new(self.history.clone(), self.blobs.clone(), run))
    }

    /// The artifacts of a run by MLflow's id of it, which is asked where they are: one call.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Protocol`] for artifacts that are not in this workspace, because the tokens are for
    /// it.
    pub async fn artifacts_of(&self, run: &str) -> Result<RunArtifacts> {
        const OP: &str = "AzureMlflow::artifacts_of";
        let answer = self.client.get(OP, "mlflow/runs/get", &[("run_id", run)]).await?;
        let info = wire::read::<RunAnswer>(OP, answer)?.run.info;
        let protocol = |message| Error::new(ErrorKind::Protocol, OP, message).with("run", run);
        let place: ArtifactUri = info.artifact_uri.parse().map_err(|e: Error| {
            protocol("the run's artifacts are not in Azure Machine Learning").with_source(e)
        })?;
        let same = |uri: &TrackingUri| uri.to_string().eq_ignore_ascii_case(&self.uri.to_string());
        match same(&place.uri) && place.run == run {
            true => self.artifacts(&place.experiment, &place.run),
            false => Err(protocol("the run's artifacts are in another place")),
        }
    }

    /// Logs metrics without waiting until they are stored: a way that only Azure Machine Learning has (`log-batch-async`), for
    /// runs that log more than they can wait for. What is logged so is neither compared with what is there nor counted; the
    /// tracker does both, and waits.
    ///
    /// # Errors
    /// Those of the service; [`ErrorKind::LimitExceeded`] beyond 1 000 values, which are not sent.
    pub async fn log_metrics_async(&self, run: &str, metrics: &[Metric]) -> Result<Option<PendingMetrics>> {
        const OP: &str = "AzureMlflow::log_metrics_async";
        const MOST: usize = 1_000;
        if metrics.len() > MOST {
            return Err(Error::limit(OP, "the number of values", MOST, metrics.len()));
        }
        let metrics: Vec<_> = metrics
            .iter()
            .map(|metric| {
                json!({
                    "key": metric.key, "value": wire::float(metric.value), "timestamp": metric.timestamp,
                    "step": metric.step, "run_id": run,
                })
            })
            .collect();
        let body = json!({ "run_id": run, "metrics": metrics });
        // The same value at the same time and step is one: it may be sent again.
        let answer = self.client.post(OP, "preview/mlflow/runs/log-batch-async", &body, Repeat::Safe).await?;
        let batch = answer.get("batch_tracking_id").and_then(serde_json::Value::as_str);
        let batch = batch.filter(|batch| !batch.is_empty()).map(str::to_owned);
        Ok(batch.map(|batch| PendingMetrics { run: run.to_owned(), batch }))
    }

    /// Whether metrics that were [logged without waiting](Self::log_metrics_async) are stored by now.
    ///
    /// # Errors
    /// Those of the service.
    pub async fn are_stored(&self, pending: &PendingMetrics) -> Result<bool> {
        let query = [("run_id", pending.run.as_str()), ("batch_tracking_id", pending.batch.as_str())];
        let path = "preview/mlflow/runs/get-run-data-status";
        let answer = self.client.get("AzureMlflow::are_stored", path, &query).await?;
        Ok(answer.get("is_complete").and_then(serde_json::Value::as_bool).unwrap_or_default())
    }
}

impl fmt::Debug for AzureMlflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureMlflow").field("uri", &self.uri.to_string()).finish_non_exhaustive()
    }
}
