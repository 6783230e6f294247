//! The artifacts of runs, as run history keeps them.
//!
//! Run history (`/history/v1.0/…` at the workspace's own host, no API version in the query) knows which artifacts a run has; their
//! bytes are in the workspace's default storage, at an address that run history signs for whoever asks. An artifact is
//! entered first (`artifacts/batch/metadata`), and its bytes are then put where the answer says.

use std::collections::BTreeMap;

use mlops_core::governance::Secret;
use mlops_core::{Error, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use super::quiet::Text;
use crate::config::Workspace;
use crate::http::{Call, Page, Repeat};

/// What a segment of a path may hold as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The artifacts of one run: what the calls below are about.
///
/// ```
/// use mlops_azure::config::Workspace;
/// use mlops_azure::wire::RunHistory;
///
/// let workspace = Workspace::new("00000000-0000-0000-0000-000000000000", "rg", "mlw-churn")?;
/// let run = RunHistory::new(&workspace, "churn", "amiable_pin_1")?;
/// let call = run.content("RunArtifacts::get", "model/weights.json");
/// assert!(call.target().ends_with("/experiments/churn/runs/amiable_pin_1/artifacts/contentinfo?path=model%2Fweights.json"));
/// assert!(RunHistory::new(&workspace, "..", "amiable_pin_1").is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunHistory {
    root: String,
}

impl RunHistory {
    /// A run, by the experiment it is in and its id.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) that names the part: it is empty, longer than 256
    /// characters, `.` or `..`, or holds a slash or a control character.
    pub fn new(workspace: &Workspace, experiment: &str, run: &str) -> Result<Self> {
        for (field, text) in [("experiment", experiment), ("run", run)] {
            let odd = |c: char| c.is_control() || matches!(c, '/' | '\\');
            if text.is_empty()
                || text.chars().count() > 256
                || matches!(text, "." | "..")
                || text.contains(odd)
            {
                let reason = "must have 1 to 256 characters and be no path";
                return Err(Error::invalid("RunHistory::new", field, reason).with("value", text));
            }
        }
        let encode = |text| utf8_percent_encode(text, SEGMENT);
        let root = format!(
            "/history/v1.0{}/experiments/{}/runs/{}/artifacts",
            workspace.id(),
            encode(experiment),
            encode(run)
        );
        Ok(Self { root })
    }

    /// Enters artifacts, and asks where their bytes go. To enter one that is there is an error of that one, so the call can be
    /// repeated.
    ///
    /// # Errors
    /// None in practice: paths can be written as JSON.
    pub fn enter(&self, operation: &'static str, paths: &[&str]) -> Result<Call<Entered>> {
        let paths = paths.iter().map(|path| EnteredPath { path }).collect();
        let body = EnteredPaths { paths };
        Ok(Call::post(operation, format!("{}/batch/metadata", self.root)).json(&body)?.repeat(Repeat::Safe))
    }

    /// Asks where the bytes of an artifact are.
    pub fn content(&self, operation: &'static str, path: &str) -> Call<ContentInfo> {
        Call::get(operation, format!("{}/contentinfo", self.root)).query("path", path)
    }

    /// Lists the artifacts of the run.
    pub fn list(&self, operation: &'static str) -> Call<Page<RunArtifact>> {
        Call::get(operation, &self.root)
    }
}

#[derive(Serialize)]
struct EnteredPaths<'a> {
    paths: Vec<EnteredPath<'a>>,
}

#[derive(Serialize)]
struct EnteredPath<'a> {
    path: &'a str,
}

/// The answer to [`RunHistory::enter`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Entered {
    /// Where the bytes go, by path.
    pub artifact_content_information: BTreeMap<String, ContentInfo>,
    /// What was not entered, and why.
    #[serde(deserialize_with = "or_default")]
    pub errors: BTreeMap<String, EntryError>,
}

/// `null` reads as nothing.
fn or_default<'de, D, T>(deserializer: D) -> std::result::Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Why an artifact was not entered.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct EntryError {
    /// The error.
    #[serde(default)]
    pub error: EntryErrorBody,
}

/// Code and text of an error.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EntryErrorBody {
    /// The code, such as `UserError`.
    pub code: Option<String>,
    /// The text.
    pub message: Option<Text>,
}

impl EntryErrorBody {
    /// Whether the artifact is there already.
    ///
    /// ```
    /// use mlops_azure::wire::run_artifact::EntryErrorBody;
    /// let text = r#"{"code": "UserError", "message": "Resource Conflict: ArtifactId a already exists."}"#;
    /// assert!(serde_json::from_str::<EntryErrorBody>(text)?.is_there());
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn is_there(&self) -> bool {
        let says = |text: Option<&str>, words: &str| {
            text.is_some_and(|text| text.to_ascii_lowercase().contains(words))
        };
        says(self.message.as_deref(), "already exist")
            || says(self.message.as_deref(), "resource conflict")
            || says(self.code.as_deref(), "conflict")
    }
}

/// Where the bytes of an artifact are. Its address is signed, so that `Debug` shows nothing of it.
///
/// ```
/// use mlops_azure::wire::ContentInfo;
/// let info: ContentInfo = serde_json::from_str(r#"{"contentUri": "https://sa.blob.core.windows.net/c/a?sig=hunter2"}"#)?;
/// assert!(!format!("{info:?}").contains("hunter2"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "RawInfo")]
pub struct ContentInfo {
    /// The signed address; nothing, if the answer has none.
    pub content_uri: Option<Secret>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawInfo {
    #[serde(default)]
    content_uri: Option<String>,
}

impl From<RawInfo> for ContentInfo {
    fn from(raw: RawInfo) -> Self {
        Self { content_uri: raw.content_uri.filter(|uri| !uri.is_empty()).map(Secret::new) }
    }
}

/// An artifact of a run, in a list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunArtifact {
    /// Its path below the run.
    pub path: String,
    /// When it was entered, as the service writes it.
    #[serde(default)]
    pub created_time: Option<String>,
}
