//! Run history: how a job went, its logs, and what of it can be changed.
//!
//! It is behind a host of its own (`https://REGION.api.azureml.ms`) and takes the tokens of Resource Manager. A job cannot be changed by
//! writing it again (`JobPropertyImmutable`): its name for people, description, tags, properties and whether it is hidden are changed
//! here. Tags are removed by a call of their own ([`History::change_tags`]); properties cannot be removed.
//!
//! What trials measured and ran with is read by MLflow's interface at the same host: a sweep logs both there.

use std::collections::BTreeMap;
use std::fmt;

use mlops_core::governance::Secret;
use mlops_core::time::Timestamp;
use mlops_core::{Error, ErrorKind, Result};
use reqwest::Url;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::job::JobStatus;
use super::quiet::{Text, Untyped};
use super::text::TextMap;
use crate::config::Workspace;
use crate::config::name::path_below;
use crate::http::{Call, Repeat, StorageHosts};

/// The version of the interface.
pub const VERSION: &str = "v1.0";

const OP: &str = "History";

/// The calls of run history, below a workspace.
///
/// ```
/// use mlops_azure::config::Workspace;
/// use mlops_azure::wire::history::History;
/// let workspace = Workspace::new("00000000-0000-0000-0000-000000000000", "rg", "mlw-churn")?;
/// let call = History::from(&workspace).details("example", "job-1")?;
/// assert!(call.target().starts_with("/history/v1.0/subscriptions/"));
/// assert!(call.target().ends_with("/workspaces/mlw-churn/runs/job-1/details?api-version=v1.0"));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    history: String,
    mlflow: String,
}

impl From<&Workspace> for History {
    fn from(workspace: &Workspace) -> Self {
        let id = workspace.id();
        Self { history: format!("/history/v1.0{id}"), mlflow: format!("/mlflow/v2.0{id}/api/2.0/mlflow") }
    }
}

impl History {
    /// A run with what the service keeps of it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a name that a URL reads as something else.
    pub fn run(&self, operation: &'static str, run: &str) -> Result<Call<Run>> {
        let path = path_below(OP, &self.history, &["runs", run])?;
        Ok(Call::get(operation, path).query("api-version", VERSION))
    }

    /// How a run went: status, error, and where its logs are.
    ///
    /// # Errors
    /// As of [`run`](Self::run).
    pub fn details(&self, operation: &'static str, run: &str) -> Result<Call<RunDetails>> {
        let path = path_below(OP, &self.history, &["runs", run, "details"])?;
        Ok(Call::get(operation, path).query("api-version", VERSION))
    }

    /// Changes what can be changed of a run.
    ///
    /// # Errors
    /// As of [`run`](Self::run).
    pub fn update(
        &self,
        operation: &'static str,
        experiment: &str,
        run: &str,
        change: &RunUpdate,
    ) -> Result<Call<Run>> {
        let path = path_below(OP, &self.history, &["experiments", experiment, "runs", run])?;
        Ok(Call::patch(operation, path, change)?.query("api-version", VERSION))
    }

    /// Changes and removes tags of a run, which [`update`](Self::update) can only add and change.
    ///
    /// # Errors
    /// As of [`run`](Self::run).
    pub fn change_tags(
        &self,
        operation: &'static str,
        experiment: &str,
        run: &str,
        change: &TagChange,
    ) -> Result<Call<Run>> {
        let path = path_below(OP, &self.history, &["experiments", experiment, "runs", run, "tags"])?;
        Ok(Call::patch(operation, path, change)?.query("api-version", VERSION))
    }

    /// A run with what it logged, by MLflow's interface.
    ///
    /// # Errors
    /// As of [`run`](Self::run).
    pub fn logged(&self, operation: &'static str, run: &str) -> Result<Call<LoggedAnswer>> {
        let path = path_below(OP, &self.mlflow, &["runs", "get"])?;
        path_below(OP, "", &[run])?;
        Ok(Call::get(operation, path).query("run_id", run))
    }

    /// A page of the children of a run with what they logged, by MLflow's interface.
    ///
    /// # Errors
    /// As of [`run`](Self::run).
    pub fn children(
        &self,
        operation: &'static str,
        experiment_id: &str,
        parent: &str,
        page_token: Option<&str>,
    ) -> Result<Call<LoggedPage>> {
        const PAGE: u32 = 200;
        path_below(OP, "", &[parent])?;
        let mut body = json!({
            "experiment_ids": [experiment_id],
            "filter": format!("tags.mlflow.parentRunId = '{parent}'"),
            "max_results": PAGE,
        });
        if let Some(token) = page_token {
            body["page_token"] = token.into();
        }
        let path = path_below(OP, &self.mlflow, &["runs", "search"])?;
        Ok(Call::post(operation, path).json(&body)?.repeat(Repeat::Safe))
    }
}

/// What of a run is changed; what is not said stays.
///
/// ```
/// use mlops_azure::wire::history::RunUpdate;
/// let hide = serde_json::to_string(&RunUpdate::hidden(true))?;
/// assert_eq!(hide, r#"{"hidden":true}"#);
/// let tag = serde_json::to_string(&RunUpdate::default().with_tag("stage", "canary"))?;
/// assert_eq!(tag, r#"{"tags":{"stage":"canary"}}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunUpdate {
    /// Its name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// What it is, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Text>,
    /// Tags that are added or changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<TextMap>,
    /// Properties that are added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub properties: Option<TextMap>,
    /// Whether it is hidden from lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<bool>,
}

impl RunUpdate {
    /// Hides it from lists, or shows it again.
    pub fn hidden(yes: bool) -> Self {
        Self { hidden: Some(yes), ..Self::default() }
    }

    /// The same with a tag.
    #[must_use]
    pub fn with_tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.get_or_insert_default().insert(name, value);
        self
    }

    /// The same with a name for people.
    #[must_use]
    pub fn with_display_name(mut self, name: impl Into<String>) -> Self {
        self.display_name = Some(name.into());
        self
    }

    /// The same with a description.
    #[must_use]
    pub fn with_description(mut self, text: impl Into<String>) -> Self {
        self.description = Some(Text(text.into()));
        self
    }
}

/// Which tags of a run are changed, and which go; the others stay.
///
/// Source: `DeleteOrModifyTags` of the client of run history in `azure-ai-ml` 1.35.2.
///
/// ```
/// use mlops_azure::wire::history::TagChange;
/// let change = TagChange::default().with_tag("stage", "canary").without("candidate");
/// assert_eq!(serde_json::to_string(&change)?, r#"{"tagsToModify":{"stage":"canary"},"tagsToDelete":["candidate"]}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TagChange {
    /// Tags that are added or changed.
    #[serde(skip_serializing_if = "TextMap::is_empty")]
    pub tags_to_modify: TextMap,
    /// Names of tags that go; one that is not there is gone already.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags_to_delete: Vec<String>,
}

impl TagChange {
    /// Tags that go.
    pub fn removing(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { tags_to_delete: names.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// The same with a tag.
    #[must_use]
    pub fn with_tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags_to_modify.insert(name, value);
        self
    }

    /// The same without a tag.
    #[must_use]
    pub fn without(mut self, name: impl Into<String>) -> Self {
        self.tags_to_delete.push(name.into());
        self
    }
}

/// A run with what the service keeps of it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Run {
    /// Its id: the job's name.
    pub run_id: String,
    /// How far it is.
    pub status: Option<JobStatus>,
    /// The experiment's id.
    pub experiment_id: Option<String>,
    /// Its name for people.
    pub display_name: Option<String>,
    /// What it is, for people.
    pub description: Option<Text>,
    /// The tags.
    pub tags: TextMap,
    /// The properties.
    pub properties: TextMap,
    /// Whether it is hidden from lists.
    pub hidden: Option<bool>,
}

/// An address that is signed: whoever has it can read what is there. It never prints.
///
/// ```
/// use mlops_azure::wire::history::SignedUrl;
/// let url: SignedUrl = serde_json::from_str(r#""https://sa.blob.core.windows.net/c/log.txt?sig=hunter2""#)?;
/// assert_eq!(format!("{url:?}"), r#"SignedUrl("https://sa.blob.core.windows.net/c/log.txt")"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone)]
pub struct SignedUrl(Secret);

impl SignedUrl {
    /// An address.
    pub fn new(url: impl Into<String>) -> Self {
        Self(Secret::new(url))
    }

    /// The address, if it is one of a storage of Azure's clouds.
    ///
    /// # Errors
    /// As of [`url_at`](Self::url_at).
    pub fn url(&self, operation: &'static str) -> Result<Url> {
        self.url_at(operation, &StorageHosts::azure())
    }

    /// The address, if it is one of these hosts.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] for a text that is no address, and for one at [another host](StorageHosts::check).
    pub fn url_at(&self, operation: &'static str, hosts: &StorageHosts) -> Result<Url> {
        let url = self.well_formed(operation)?;
        hosts.check(operation, &url)?;
        Ok(url)
    }

    /// The address, wherever it leads; nothing may be sent there yet.
    pub(crate) fn well_formed(&self, operation: &'static str) -> Result<Url> {
        let bad = |_| Error::new(ErrorKind::Protocol, operation, "the service's signed address is none");
        Url::parse(self.0.expose()).map_err(bad)
    }

    /// The text, signature included.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for SignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = Url::parse(self.0.expose()).map(|url| crate::http::transport::bare(&url));
        f.debug_tuple("SignedUrl").field(&shown.unwrap_or_default()).finish()
    }
}

impl<'de> Deserialize<'de> for SignedUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// How a run went. Its `Debug` shows neither signatures nor the service's error, which may hold them.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunDetails {
    /// Its id: the job's name.
    pub run_id: String,
    /// How far it is.
    pub status: Option<JobStatus>,
    /// When it began.
    pub start_time_utc: Option<Timestamp>,
    /// When it ended.
    pub end_time_utc: Option<Timestamp>,
    /// Its logs by their paths, such as `user_logs/std_log.txt`.
    pub log_files: BTreeMap<String, SignedUrl>,
    /// Why it failed.
    error: Option<Value>,
}

impl RunDetails {
    /// Why it failed, as a body that [`from_operation`](crate::error::from_operation) reads; `None` where nothing is said.
    pub fn error_body(&self) -> Option<Vec<u8>> {
        let error = self.error.as_ref().filter(|error| error.is_object())?;
        // Run history wraps the error once more than Resource Manager.
        let body = if error.get("error").is_some() { error.clone() } else { json!({ "error": error }) };
        serde_json::to_vec(&body).ok()
    }
}

impl fmt::Debug for RunDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunDetails")
            .field("run_id", &self.run_id)
            .field("status", &self.status)
            .field("start_time_utc", &self.start_time_utc)
            .field("end_time_utc", &self.end_time_utc)
            .field("log_files", &self.log_files.keys())
            .field("failed", &self.error.is_some())
            .finish()
    }
}

/// What MLflow's interface answers about one run.
#[derive(Clone, Debug, Deserialize)]
pub struct LoggedAnswer {
    /// The run.
    pub run: LoggedRun,
}

/// A page of runs of MLflow's interface.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct LoggedPage {
    /// The runs.
    pub runs: Vec<LoggedRun>,
    /// What asks for the next page.
    pub next_page_token: Option<String>,
}

/// A run with what it logged.
///
/// ```
/// use mlops_azure::wire::history::LoggedRun;
/// let text = r#"{"info":{"run_id":"sweep_1","status":"FINISHED"},
///     "data":{"metrics":[{"key":"auc","value":0.9}],"params":[{"key":"lr","value":"0.1"}]}}"#;
/// let run: LoggedRun = serde_json::from_str(text)?;
/// assert_eq!((run.info.run_id.as_str(), run.metric("auc"), run.parameter("lr")), ("sweep_1", Some(0.9), Some("0.1")));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
pub struct LoggedRun {
    /// What it is.
    pub info: LoggedInfo,
    /// What it logged.
    #[serde(default)]
    pub data: LoggedData,
}

impl LoggedRun {
    /// The last value of a metric; `None` where there is none that is a number.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let metric = self.data.metrics.iter().find(|metric| metric.key == name)?;
        match &metric.value {
            Untyped(Value::Number(value)) => value.as_f64(),
            // What JSON has no number for.
            Untyped(Value::String(text)) => text.parse().ok(),
            _ => None,
        }
    }

    /// The value of a parameter, as text.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.data.params.iter().find(|pair| pair.key == name).map(|pair| pair.value.as_str())
    }
}

/// What a run of MLflow's interface is.
#[derive(Clone, Debug, Deserialize)]
pub struct LoggedInfo {
    /// Its id: the job's name.
    pub run_id: String,
    /// How far it is: `RUNNING`, `FINISHED`, `FAILED`, `KILLED`.
    #[serde(default)]
    pub status: String,
}

/// What a run logged.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct LoggedData {
    /// The last value of each metric.
    pub metrics: Vec<LoggedMetric>,
    /// The parameters.
    pub params: Vec<LoggedPair>,
}

/// The last value of a metric.
#[derive(Clone, Debug, Deserialize)]
pub struct LoggedMetric {
    /// The name.
    pub key: String,
    /// The value: a number, or the text of one that JSON has no number for.
    pub value: Untyped,
}

/// A parameter.
#[derive(Clone, Debug, Deserialize)]
pub struct LoggedPair {
    /// The name.
    pub key: String,
    /// The value.
    pub value: Text,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_run_shows_a_signature() {
        let text = r#"{"runId":"j1","status":"Failed","logFiles":{"user_logs/std_log.txt":"https://sa/c/l?sig=hunter2"},
            "error":{"error":{"code":"UserError","message":"no https://sa/c/l?sig=hunter2"}}}"#;
        let details: RunDetails = serde_json::from_str(text).unwrap();
        assert!(!format!("{details:?} {details:#?}").contains("hunter2"));
        let body = details.error_body().unwrap();
        let error = crate::error::from_operation("op", "Failed", &crate::error::Answer::new(200, &body));
        assert_eq!(error.context("code"), Some("UserError"));
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn a_name_cannot_leave_its_place() {
        let history =
            History::from(&Workspace::new("00000000-0000-0000-0000-000000000000", "rg", "wsp").unwrap());
        for bad in ["..", "a/b", "", "a' or '1'='1", "a?b"] {
            assert!(history.run("op", bad).is_err() && history.logged("op", bad).is_err(), "{bad}");
            assert!(history.children("op", "1", bad, None).is_err(), "{bad}");
            assert!(history.update("op", bad, "run", &RunUpdate::hidden(true)).is_err(), "{bad}");
            assert!(history.change_tags("op", "ex", bad, &TagChange::default()).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_that_is_none_is_told_without_its_signature() {
        for bad in
            ["", "sa/c?sig=hunter2", "http://sa.blob.core.windows.net/c?sig=hunter2", "https://u:hunter2@sa/"]
        {
            let url = SignedUrl::new(bad);
            let error = url.url("op").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol);
            assert!(!format!("{url:?} {error} {error:?}").contains("hunter2"), "{bad}");
        }
    }
}
