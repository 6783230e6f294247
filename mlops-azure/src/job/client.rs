//! The client of jobs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use mlops_core::hash::digest_json;
use mlops_core::{Error, ErrorKind, Result};
use reqwest::Url;
use reqwest::header::HeaderName;
use serde::Deserialize;
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::config::Workspace;
use crate::config::cloud::{Audience, Cloud};
use crate::config::name::{check, is_asset};
use crate::environment::{Codes, Components, Environments};
use crate::http::{Service, StorageHosts};
use crate::wire::history::{History, Run, RunUpdate, TagChange};
use crate::wire::job::{Job, JobOutput};
use crate::wire::{Nothing, Place, Resource};

/// The jobs of a workspace. Cheap to clone; clones share what is known of registered code, environments and components.
///
/// ```no_run
/// use futures_util::TryStreamExt as _;
/// use mlops_azure::job::Jobs;
/// use mlops_azure::wire::job::{CommandJob, JobInput};
/// # use mlops_azure::{config::Workspace, http::Service};
/// # async fn example(arm: Service, workspace: Workspace) -> mlops_core::Result<()> {
/// let jobs = Jobs::new(arm, &workspace);
/// let job = CommandJob::new("python train.py --lr ${{inputs.lr}}", "azureml:train:3")
///     .on(workspace.resource_id(&["computes", "cpu"])?)
///     .with_input("lr", JobInput::literal(0.1));
/// jobs.submit("train-2026-06-01", job).await?;
/// let mut states = std::pin::pin!(jobs.follow("train-2026-06-01"));
/// while let Some(state) = states.try_next().await? {
///     println!("{state}");
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Jobs {
    pub(super) arm: Service,
    pub(super) place: Place,
    pub(super) calls: History,
    pub(super) deadline: Duration,
    pub(super) hosts: StorageHosts,
    workspace: Workspace,
    history: Arc<OnceCell<Service>>,
    environments: Environments,
    codes: Codes,
    components: Components,
}

/// Which of a list are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ListView {
    /// Those that are not hidden.
    #[default]
    Active,
    /// Those that are hidden.
    Archived,
    /// All of them.
    All,
}

impl ListView {
    /// The value of `listViewType`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ActiveOnly",
            Self::Archived => "ArchivedOnly",
            Self::All => "All",
        }
    }
}

/// Which jobs are listed; what is not said does not count.
///
/// ```
/// use mlops_azure::job::JobFilter;
///
/// let sweeps = JobFilter::default().with_job_type("Sweep");
/// assert_eq!((sweeps.job_type.as_deref(), sweeps.tag), (Some("Sweep"), None));
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Of which type: `Command`, `Sweep`, `Pipeline`, `AutoML`.
    pub job_type: Option<String>,
    /// With which tag: its name.
    pub tag: Option<String>,
    /// With which properties: names and values, separated by commas, as Azure wants them.
    pub properties: Option<String>,
    /// Hidden or not.
    pub view: ListView,
}

impl JobFilter {
    /// Of this type.
    #[must_use]
    pub fn with_job_type(mut self, job_type: impl Into<String>) -> Self {
        self.job_type = Some(job_type.into());
        self
    }

    /// With a tag of this name.
    #[must_use]
    pub fn with_tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = Some(tag.into());
        self
    }

    /// With these properties, as Azure wants them.
    #[must_use]
    pub fn with_properties(mut self, properties: impl Into<String>) -> Self {
        self.properties = Some(properties.into());
        self
    }

    /// Hidden or not.
    #[must_use]
    pub fn with_view(mut self, view: ListView) -> Self {
        self.view = view;
        self
    }
}

/// The property of a job that says what its content was.
const DIGEST: &str = "mlops.digest";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WorkspaceProperties {
    #[serde(default)]
    ml_flow_tracking_uri: Option<String>,
}

impl Jobs {
    /// How long a job is followed, where nothing else is set: seven days.
    pub const DEADLINE: Duration = Duration::from_secs(7 * 86_400);

    /// Those of a workspace, by Resource Manager. Where run history is, the workspace says when it is first asked for.
    pub fn new(arm: Service, workspace: &Workspace) -> Self {
        Self {
            place: Place::from(workspace),
            calls: History::from(workspace),
            deadline: Self::DEADLINE,
            hosts: StorageHosts::azure(),
            history: Arc::default(),
            environments: Environments::new(arm.clone(), workspace),
            codes: Codes::new(arm.clone(), workspace),
            components: Components::new(arm.clone(), workspace),
            workspace: workspace.clone(),
            arm,
        }
    }

    /// The same with run history at a host that is known, which saves a call.
    #[must_use]
    pub fn with_history(mut self, history: Service) -> Self {
        self.history = Arc::new(OnceCell::new_with(Some(history)));
        self
    }

    /// The same, but a job is followed for at most so long.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The same, but logs may be at these hosts: run history says where they are.
    #[must_use]
    pub fn with_storage_hosts(mut self, hosts: StorageHosts) -> Self {
        self.hosts = hosts;
        self
    }

    /// The environments, sharing what is known of them.
    pub fn environments(&self) -> &Environments {
        &self.environments
    }

    /// The code, sharing what is known of it.
    pub fn codes(&self) -> &Codes {
        &self.codes
    }

    /// The components, sharing what is known of them.
    pub fn components(&self) -> &Components {
        &self.components
    }

    /// A name that no other job has: a prefix and 128 random bits.
    ///
    /// ```
    /// use mlops_azure::job::Jobs;
    /// assert_ne!(Jobs::new_name("train"), Jobs::new_name("train"));
    /// ```
    pub fn new_name(prefix: &str) -> String {
        format!("{prefix}-{}", Uuid::new_v4().simple())
    }

    /// Submits a job under a name. One call, which may be repeated: the same content under the same name is the same job, and is
    /// returned as it is now.
    ///
    /// Pipelines, and jobs that run as whoever starts them, carry a token for Azure Machine Learning in the header `x-azureml-token`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a name that none can have, for a pipeline whose steps do not fit
    /// ([`check`](crate::wire::job::PipelineJob::check)), and for what Azure refuses; [`ErrorKind::AlreadyExists`] for a name that is
    /// taken by a job with other content.
    pub async fn submit(&self, name: &str, job: impl Into<Job>) -> Result<Resource<Job>> {
        self.submit_job(name, job.into()).await
    }

    async fn submit_job(&self, name: &str, mut job: Job) -> Result<Resource<Job>> {
        const OP: &str = "Jobs::submit";
        check(OP, "name", name, is_asset(name), "must have 1 to 255 letters, digits, -, _ or .")?;
        if let Job::Pipeline(pipeline) = &job {
            pipeline.check()?;
        }
        let digest = digest_json(&job)?.to_string();
        job.set_property(DIGEST, &digest);
        let needs_token = job.needs_user_token();
        let at = self.place.job(name)?;
        let mut call = at.put(OP, &Resource::new(job))?;
        if needs_token {
            let scope = self.workspace.cloud().scope(Audience::MachineLearning);
            let token = self.arm.token(&scope).await?;
            call = call.header(HeaderName::from_static("x-azureml-token"), token.secret.expose())?;
        }
        let taken = match self.arm.call(call).await {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => error,
            other => return other,
        };
        // A lost answer was repeated, or somebody has the name.
        let there = self.arm.call(at.get(OP)).await?;
        match there.properties.properties().get(DIGEST) == Some(digest.as_str()) {
            true => Ok(there),
            false => {
                let message = "a job with other content has this name";
                Err(Error::new(ErrorKind::AlreadyExists, OP, message).with("job", name).with_source(taken))
            }
        }
    }

    /// A job as it is now.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn get(&self, name: &str) -> Result<Resource<Job>> {
        self.arm.call(self.place.job(name)?.get("Jobs::get")).await
    }

    /// The jobs that a filter lets through, page by page.
    ///
    /// # Errors
    /// None before the first page; those come in the stream.
    pub fn list(
        &self,
        filter: &JobFilter,
    ) -> Result<impl Stream<Item = Result<Resource<Job>>> + Send + use<>> {
        let mut call = self.place.job("any")?.list("Jobs::list")?;
        for (name, value) in
            [("jobType", &filter.job_type), ("tag", &filter.tag), ("properties", &filter.properties)]
        {
            if let Some(value) = value {
                call = call.query(name, value);
            }
        }
        Ok(self.arm.items(call.query("listViewType", filter.view.as_str())))
    }

    /// What a job gives out, and where to; outputs without a place are where the service chose.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn outputs(&self, name: &str) -> Result<BTreeMap<String, JobOutput>> {
        Ok(self.get(name).await?.properties.outputs())
    }

    /// The address of an output of a job, or of a path in it: what models and data assets are registered from.
    ///
    /// ```
    /// use mlops_azure::job::Jobs;
    /// assert_eq!(Jobs::output_uri("train-1", "model", ""), "azureml://jobs/train-1/outputs/model/paths/");
    /// ```
    pub fn output_uri(job: &str, output: &str, path: &str) -> String {
        format!("azureml://jobs/{job}/outputs/{output}/paths/{path}")
    }

    /// Asks that a job end, and waits until the service has taken that. It ends some time later: [`wait`](Self::wait) tells.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; what the service says of a job that is over already.
    pub async fn cancel(&self, name: &str) -> Result<()> {
        const OP: &str = "Jobs::cancel";
        let call = self.place.job(name)?.ask::<Nothing>(OP, "cancel")?;
        self.arm.begin(call).await?.wait().await.map(|_| ())
    }

    /// Removes a job that is over, with its run, and waits until it is gone. What it gave out stays.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; what the service says of a job that is at work.
    pub async fn delete(&self, name: &str) -> Result<()> {
        const OP: &str = "Jobs::delete";
        let call = self.place.job(name)?.delete(OP);
        self.arm.begin(call).await?.wait().await.map(|_| ())
    }

    /// Changes what can be changed of a job, in run history. Two calls: the job says of which experiment it is.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn update(&self, name: &str, change: &RunUpdate) -> Result<Run> {
        let job = self.arm.call(self.place.job(name)?.get("Jobs::update")).await?;
        self.update_in(job.properties.experiment_name().unwrap_or("Default"), name, change).await
    }

    /// The same for a job whose experiment is known. One call.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn update_in(&self, experiment: &str, name: &str, change: &RunUpdate) -> Result<Run> {
        let call = self.calls.update("Jobs::update", experiment, name, change)?;
        self.history().await?.call(call).await
    }

    /// Changes tags of a job and removes others, in run history. Two calls: the job says of which experiment it is.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    ///
    /// ```no_run
    /// # async fn promoted(jobs: &mlops_azure::job::Jobs) -> mlops_core::Result<()> {
    /// use mlops_azure::wire::history::TagChange;
    /// jobs.change_tags("train-1", &TagChange::removing(["candidate"]).with_tag("stage", "production")).await?;
    /// # Ok(()) }
    /// ```
    pub async fn change_tags(&self, name: &str, change: &TagChange) -> Result<Run> {
        const OP: &str = "Jobs::change_tags";
        let job = self.arm.call(self.place.job(name)?.get(OP)).await?;
        let experiment = job.properties.experiment_name().unwrap_or("Default");
        let call = self.calls.change_tags(OP, experiment, name, change)?;
        self.history().await?.call(call).await
    }

    /// Hides a job from lists.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn archive(&self, name: &str) -> Result<()> {
        self.update(name, &RunUpdate::hidden(true)).await.map(|_| ())
    }

    /// Shows a hidden job in lists again.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn restore(&self, name: &str) -> Result<()> {
        self.update(name, &RunUpdate::hidden(false)).await.map(|_| ())
    }

    /// Run history: the one that was given, or where the workspace says it is.
    pub(super) async fn history(&self) -> Result<&Service> {
        const OP: &str = "Jobs::history";
        self.history
            .get_or_try_init(|| async {
                let call = self.place.itself::<Resource<WorkspaceProperties>>().get(OP);
                let uri = self.arm.call(call).await?.properties.ml_flow_tracking_uri.unwrap_or_default();
                let base = history_host(OP, &uri, self.workspace.cloud())?;
                // Run history takes Resource Manager's tokens, not those of Azure Machine Learning.
                self.arm.beside(base, self.arm.scope().clone())
            })
            .await
    }
}

/// The host of a workspace's MLflow address, `azureml://HOST/mlflow/…`; it must be one of Azure Machine Learning in this cloud, for it
/// gets tokens of Resource Manager.
fn history_host(operation: &'static str, uri: &str, cloud: Cloud) -> Result<Url> {
    let host = uri.split_once("://").and_then(|(_, rest)| rest.split('/').next()).unwrap_or_default();
    let suffix = cloud.registry_discovery().split_once('.').map_or("", |(_, suffix)| suffix);
    let inside = host.strip_suffix(suffix).is_some_and(|region| region.len() > 1 && region.ends_with('.'));
    let plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
    let bad = || {
        Error::new(ErrorKind::Protocol, operation, "the workspace does not say where its run history is")
            .with("host", host)
            .with("expected", suffix)
    };
    if !(inside && plain) {
        return Err(bad());
    }
    Url::parse(&format!("https://{host}/")).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_to_azure_machine_learning_alone() {
        let host = |uri: &str, cloud| history_host("op", uri, cloud).map(|url| url.to_string()).ok();
        let good = "azureml://eastus.api.azureml.ms/mlflow/v1.0/subscriptions/s";
        assert_eq!(host(good, Cloud::Public).as_deref(), Some("https://eastus.api.azureml.ms/"));
        let private = "azureml://g.workspace.eastus.api.azureml.ms/mlflow/v1.0";
        assert!(host(private, Cloud::Public).is_some());
        assert!(host("azureml://chinaeast2.api.ml.azure.cn/mlflow", Cloud::China).is_some());
        for bad in [
            "",
            "eastus.api.azureml.ms/mlflow",
            "azureml://evil.example/mlflow",
            "azureml://evil.example#.api.azureml.ms/mlflow",
            "azureml://u:p@eastus.api.azureml.ms/mlflow",
            "azureml://evilapi.azureml.ms/mlflow",
            "azureml://.api.azureml.ms/mlflow",
            "azureml://eastus.api.azureml.ms:1/mlflow",
        ] {
            assert_eq!(host(bad, Cloud::Public), None, "{bad}");
        }
        assert_eq!(host(good, Cloud::China), None);
    }
}
