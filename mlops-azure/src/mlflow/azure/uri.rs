//! Azure Machine Learning's tracking URIs, and the URIs of its runs' artifacts.

use std::fmt;
use std::str::FromStr;

use mlops_core::{Error, ErrorKind, Result};
use percent_encoding::percent_decode_str;
use reqwest::Url;
use serde_json::Value;

use crate::config::name::is_workspace;
use crate::config::{Cloud, Workspace};
use crate::http::Service;
use crate::wire::Place;

const OP: &str = "TrackingUri";

/// Where MLflow is in Azure Machine Learning: `azureml://HOST/mlflow/v1.0/subscriptions/…/workspaces/NAME`, or
/// `azureml://HOST/mlflow/v1.0/registries/NAME` for a registry.
///
/// Every workspace and registry at a host has one such text, which [`Display`](fmt::Display) writes and which reads back as the
/// same value; two different ones never share a text. Read are also `v2.0` instead of `v1.0`, the fixed words in any case, and
/// the query `?is-remote=True` that older jobs have; anything else is refused, because tokens go where the URI says: the host
/// must be one of `*.api.azureml.ms`, `*.api.ml.azure.cn` and `*.api.ml.azure.us`, without port and credentials.
///
/// ```
/// use mlops_azure::mlflow::TrackingUri;
/// let text = "azureml://westeurope.api.azureml.ms/mlflow/v1.0/subscriptions/00000000-0000-0000-0000-000000000000\
///     /resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/mlw-churn";
/// let uri: TrackingUri = text.parse()?;
/// assert_eq!(uri.workspace().map(|workspace| workspace.name()), Some("mlw-churn"));
/// assert_eq!(uri.to_string(), text);
/// assert!(text.replace("api.azureml.ms", "api.azureml.ms.example.com").parse::<TrackingUri>().is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TrackingUri {
    host: String,
    cloud: Cloud,
    target: Target,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Target {
    Workspace(Workspace),
    Registry(String),
}

/// The end of the hosts of each cloud.
const HOSTS: [(&str, Cloud); 3] = [
    (".api.azureml.ms", Cloud::Public),
    (".api.ml.azure.cn", Cloud::China),
    (".api.ml.azure.us", Cloud::UsGovernment),
];

fn bad(reason: &str) -> Error {
    Error::invalid(OP, "uri", reason)
}

/// The cloud to which a host belongs.
fn cloud_of(host: &str) -> Result<Cloud> {
    let label = |label: &str| {
        let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(ok)
    };
    let found = HOSTS.into_iter().find_map(|(end, cloud)| Some((host.strip_suffix(end)?, cloud)));
    match found {
        Some((front, cloud)) if front.split('.').all(label) => Ok(cloud),
        // What comes before an @ may be a password.
        _ => {
            let shown = host.rsplit('@').next().unwrap_or_default();
            Err(bad("does not name a host of Azure Machine Learning").with("host", shown))
        }
    }
}

fn is_version(text: &str) -> bool {
    matches!(text, "v1.0" | "v2.0")
}

impl TrackingUri {
    /// The URI of a workspace at a host.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`]: the host is none of Azure Machine Learning's, or is in another cloud than the workspace.
    pub fn of_workspace(host: &str, workspace: &Workspace) -> Result<Self> {
        let cloud = cloud_of(host)?;
        match cloud == workspace.cloud() {
            true => Ok(Self { host: host.to_owned(), cloud, target: Target::Workspace(workspace.clone()) }),
            false => {
                Err(bad("is at a host of another cloud").with("host", host).with("cloud", workspace.cloud()))
            }
        }
    }

    /// The URI of a registry at a host.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`]: the host is none of Azure Machine Learning's, or no registry can have this name.
    ///
    /// ```
    /// use mlops_azure::mlflow::TrackingUri;
    /// let uri = TrackingUri::of_registry("eastus.api.azureml.ms", "contoso-ml")?;
    /// assert_eq!(uri.to_string(), "azureml://eastus.api.azureml.ms/mlflow/v1.0/registries/contoso-ml");
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn of_registry(host: &str, name: &str) -> Result<Self> {
        let cloud = cloud_of(host)?;
        match is_workspace(name) {
            true => Ok(Self { host: host.to_owned(), cloud, target: Target::Registry(name.to_owned()) }),
            false => Err(bad("names no registry").with("registry", name)),
        }
    }

    /// Asks Resource Manager for the URI of a workspace (`properties.mlFlowTrackingUri`): one call, which takes the permission
    /// `Microsoft.MachineLearningServices/workspaces/read`.
    ///
    /// # Errors
    /// As of [`Service::call`]; [`ErrorKind::Protocol`] for a workspace that has none, or that of another.
    pub async fn read(resource_manager: &Service, workspace: &Workspace) -> Result<Self> {
        const READ: &str = "TrackingUri::read";
        let answer: Value = resource_manager.call(Place::from(workspace).itself().get(READ)).await?;
        let text = answer.pointer("/properties/mlFlowTrackingUri").and_then(Value::as_str);
        let protocol =
            |message| Error::new(ErrorKind::Protocol, READ, message).with("workspace", workspace.name());
        let uri: Self = text
            .ok_or_else(|| protocol("the workspace has no address for MLflow"))?
            .parse()
            .map_err(|e: Error| protocol("the workspace's address for MLflow is none").with_source(e))?;
        let same = |there: &Workspace| there.id().eq_ignore_ascii_case(&workspace.id());
        match uri.workspace().is_some_and(same) {
            // As it was asked for: Azure does not keep the case of names.
            true => Self::of_workspace(&uri.host, workspace),
            false => Err(protocol("the workspace's address for MLflow is that of another")),
        }
    }

    /// The host.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The cloud, which says what tokens are for.
    pub fn cloud(&self) -> Cloud {
        self.cloud
    }

    /// The workspace, if it is one's.
    pub fn workspace(&self) -> Option<&Workspace> {
        match &self.target {
            Target::Workspace(workspace) => Some(workspace),
            Target::Registry(_) => None,
        }
    }

    /// The name of the registry, if it is one's.
    pub fn registry(&self) -> Option<&str> {
        match &self.target {
            Target::Workspace(_) => None,
            Target::Registry(name) => Some(name),
        }
    }

    fn scope(&self) -> String {
        match &self.target {
            Target::Workspace(workspace) => workspace.id(),
            Target::Registry(name) => format!("/registries/{name}"),
        }
    }

    /// Where MLflow's API is: clients of MLflow 2 and 3 speak to `v2.0`.
    ///
    /// ```
    /// use mlops_azure::mlflow::TrackingUri;
    /// let uri = TrackingUri::of_registry("eastus.api.azureml.ms", "contoso-ml")?;
    /// assert_eq!(uri.address(), "https://eastus.api.azureml.ms/mlflow/v2.0/registries/contoso-ml");
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn address(&self) -> String {
        format!("https://{}/mlflow/v2.0{}", self.host, self.scope())
    }

    /// The host as a URL, where run history is too.
    pub(crate) fn origin(&self) -> Result<Url> {
        Url::parse(&format!("https://{}/", self.host)).map_err(|e| bad("names no host").with_source(e))
    }
}

impl fmt::Display for TrackingUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "azureml://{}/mlflow/v1.0{}", self.host, self.scope())
    }
}

impl FromStr for TrackingUri {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = match text.split_once('?') {
            None => text,
            Some((text, query)) if query.is_empty() || query.eq_ignore_ascii_case("is-remote=true") => text,
            Some(_) => return Err(bad("has a query")),
        };
        let rest = text.strip_prefix("azureml://").ok_or_else(|| bad("must begin with azureml://"))?;
        let (host, path) = rest.split_once('/').ok_or_else(|| bad("has no path"))?;
        let host = host.to_ascii_lowercase();
        let cloud = cloud_of(&host)?;
        let shape = || bad("must go on with /mlflow/v1.0/subscriptions/… or /mlflow/v1.0/registries/…");
        let (word, path) = path.split_once('/').ok_or_else(shape)?;
        let (version, path) = path.split_once('/').ok_or_else(shape)?;
        if word != "mlflow" || !is_version(version) {
            return Err(shape());
        }
        match path.split_once('/') {
            Some((word, name)) if word.eq_ignore_ascii_case("registries") => Self::of_registry(&host, name),
            Some((word, _)) if word.eq_ignore_ascii_case("subscriptions") && !path.ends_with('/') => {
                let workspace = Workspace::from_id(&format!("/{path}"))?.in_cloud(cloud);
                Self::of_workspace(&host, &workspace)
            }
            _ => Err(shape()),
        }
    }
}

/// Where the artifacts of a run are, as MLflow on Azure Machine Learning says it in `artifact_uri`:
/// `azureml://HOST/mlflow/v2.0/subscriptions/…/workspaces/NAME/experiments/EXPERIMENT/runs/RUN/artifacts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArtifactUri {
    pub uri: TrackingUri,
    pub experiment: String,
    pub run: String,
}

impl FromStr for ArtifactUri {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let shape = || {
            Error::invalid("ArtifactUri", "artifact_uri", "is not that of a run in Azure Machine Learning")
        };
        let (workspace, rest) = text.split_once("/experiments/").ok_or_else(shape)?;
        let uri: TrackingUri = workspace.parse()?;
        let segments: Vec<&str> = rest.split('/').collect();
        let decode = |text: &str| percent_decode_str(text).decode_utf8().map(|text| text.into_owned());
        match (uri.workspace(), segments.as_slice()) {
            (Some(_), [experiment, "runs", run] | [experiment, "runs", run, "artifacts"]) => {
                let (experiment, run) = (decode(experiment), decode(run));
                let (Ok(experiment), Ok(run)) = (experiment, run) else { return Err(shape()) };
                Ok(Self { uri, experiment, run })
            }
            _ => Err(shape()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const W: &str = "/subscriptions/01234567-89ab-cdef-0123-456789abcdef/resourceGroups/rg\
        /providers/Microsoft.MachineLearningServices/workspaces/mlw-churn";

    fn uri(text: &str) -> Result<TrackingUri> {
        text.parse()
    }

    #[test]
    fn what_is_written_is_read_and_every_spelling_is_written_in_one_way() {
        let written = format!("azureml://westeurope.api.azureml.ms/mlflow/v1.0{W}");
        for text in [
            written.clone(),
            written.replace("v1.0", "v2.0"),
            written.replace("resourceGroups", "resourcegroups"),
            written.replace("01234567-89ab-cdef", "01234567-89AB-CDEF"),
            written.replace("westeurope", "WestEurope"),
            format!("{written}?"),
            format!("{written}?is-remote=True"),
        ] {
            assert_eq!(uri(&text).unwrap().to_string(), written, "{text}");
        }
        let private = written.replace("westeurope", "0a1b.workspace.westeurope");
        assert_eq!(uri(&private).unwrap().to_string(), private);
    }

    #[test]
    fn different_places_have_different_texts() {
        let guid = "01234567-89ab-cdef-0123-456789abcdef";
        let (hosts, groups, names) = (
            ["a.api.azureml.ms", "b.api.azureml.ms"],
            ["rg", "RG", "r.g"],
            ["mlw-one", "mlw_one", "MLW-one"],
        );
        let mut seen = std::collections::BTreeMap::new();
        for host in hosts {
            for group in groups {
                for name in names {
                    let workspace = Workspace::new(guid, group, name).unwrap();
                    let uri = TrackingUri::of_workspace(host, &workspace).unwrap();
                    assert_eq!(uri.to_string().parse::<TrackingUri>().unwrap(), uri);
                    assert_eq!(seen.insert(uri.to_string(), uri), None);
                }
            }
            for name in names {
                let uri = TrackingUri::of_registry(host, name).unwrap();
                assert_eq!(uri.to_string().parse::<TrackingUri>().unwrap(), uri);
                assert_eq!(seen.insert(uri.to_string(), uri), None);
            }
        }
        assert_eq!(seen.len(), 24);
    }

    #[test]
    fn what_would_take_a_token_elsewhere_is_refused() {
        let good = format!("azureml://westeurope.api.azureml.ms/mlflow/v1.0{W}");
        assert!(uri(&good).is_ok());
        for text in [
            String::new(),
            good.replace("azureml://", "https://"),
            good.replace(".api.azureml.ms", ".api.azureml.ms.example.com"),
            good.replace(".api.azureml.ms", ".example.com"),
            good.replace("westeurope.", ""),
            good.replace("westeurope", "user:hunter2@westeurope"),
            good.replace(".ms/", ".ms:8443/"),
            good.replace("westeurope", "a..b"),
            good.replace("westeurope", "evil.example.com#"),
            good.replace("/mlflow/", "/history/"),
            good.replace("v1.0", "v3.0"),
            good.replace("/rg/", "/../"),
            good.replace("/rg/", "/r%67/"),
            good.replace("workspaces", "registries"),
            format!("{good}/"),
            format!("{good}/experiments/e"),
            format!("{good}?sig=hunter2"),
            format!("{good}#fragment"),
            "azureml://westeurope.api.azureml.ms/mlflow/v1.0/registries/a/models/b".to_owned(),
            "azureml://westeurope.api.azureml.ms/mlflow/v1.0/registries/".to_owned(),
        ] {
            let error = uri(&text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{text}");
        }
        let china = Workspace::from_id(W).unwrap().in_cloud(Cloud::China);
        assert!(TrackingUri::of_workspace("a.api.azureml.ms", &china).is_err());
        assert!(TrackingUri::of_workspace("a.api.ml.azure.cn", &china).is_ok());
    }

    #[test]
    fn a_runs_artifacts_are_where_its_uri_says() {
        let base = format!("azureml://westeurope.api.azureml.ms/mlflow/v2.0{W}");
        let read: ArtifactUri = format!("{base}/experiments/a%20b/runs/r_1/artifacts").parse().unwrap();
        assert_eq!((read.experiment.as_str(), read.run.as_str()), ("a b", "r_1"));
        for bad in ["/experiments/e/runs/r/artifacts/x", "/experiments/e", "/experiments/e/r/artifacts", ""] {
            assert!(format!("{base}{bad}").parse::<ArtifactUri>().is_err(), "{bad}");
        }
        assert!("mlflow-artifacts:/1/r/artifacts".parse::<ArtifactUri>().is_err());
    }
}
