//! Workspaces and registries from the environment and from `config.json`, as Azure Machine Learning's portal hands it out for workspaces.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use mlops_core::{Error, ErrorKind, Result};
use serde::Deserialize;

use super::cloud::Cloud;
use super::registry::Registry;
use super::version::ApiVersion;
use super::workspace::Workspace;

/// Where variables come from: the process's environment, or a list in a test.
pub trait Variables {
    /// The value of a variable; an empty one counts as not set.
    fn read(&self, name: &str) -> Option<String>;
}

/// The process's environment.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessVariables;

impl Variables for ProcessVariables {
    fn read(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }
}

impl Variables for [(&str, &str)] {
    fn read(&self, name: &str) -> Option<String> {
        self.iter()
            .find(|(key, value)| *key == name && !value.is_empty())
            .map(|(_, value)| (*value).to_owned())
    }
}

impl Cloud {
    /// The cloud that the environment names: `AZUREML_CURRENT_CLOUD`, else the one whose issuer `AZURE_AUTHORITY_HOST` is,
    /// else the public one.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a name that is no cloud's.
    ///
    /// ```
    /// use mlops_azure::config::Cloud;
    /// let variables = [("AZUREML_CURRENT_CLOUD", "AzureChinaCloud")];
    /// assert_eq!(Cloud::from_variables(&variables[..])?, Cloud::China);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn from_variables(variables: &(impl Variables + ?Sized)) -> Result<Self> {
        if let Some(name) = variables.read("AZUREML_CURRENT_CLOUD") {
            return name.parse();
        }
        let authority = variables.read("AZURE_AUTHORITY_HOST");
        Ok(authority.and_then(|host| Self::of_authority(&host)).unwrap_or_default())
    }
}

/// The variables that name a part of a workspace, in the order in which they are asked: those that Azure Machine Learning
/// sets for its jobs, then those that people set.
const SUBSCRIPTION: [&str; 2] = ["AZUREML_ARM_SUBSCRIPTION", "AZURE_SUBSCRIPTION_ID"];
const RESOURCE_GROUP: [&str; 2] = ["AZUREML_ARM_RESOURCEGROUP", "AZURE_RESOURCE_GROUP"];
const NAME: [&str; 2] = ["AZUREML_ARM_WORKSPACE_NAME", "AZUREML_WORKSPACE_NAME"];

/// The variables that name a part of a registry. What is not said of it is as for a workspace, but for its name.
const REGISTRY_SUBSCRIPTION: [&str; 3] =
    ["AZUREML_REGISTRY_SUBSCRIPTION_ID", "AZUREML_ARM_SUBSCRIPTION", "AZURE_SUBSCRIPTION_ID"];
const REGISTRY_GROUP: [&str; 3] =
    ["AZUREML_REGISTRY_RESOURCE_GROUP", "AZUREML_ARM_RESOURCEGROUP", "AZURE_RESOURCE_GROUP"];
const REGISTRY_NAME: [&str; 1] = ["AZUREML_REGISTRY_NAME"];

/// The first of these variables that is set.
fn first<const N: usize>(
    variables: &(impl Variables + ?Sized),
    operation: &'static str,
    what: &str,
    names: [&'static str; N],
    usual: &'static str,
) -> Result<String> {
    names.into_iter().find_map(|name| variables.read(name)).ok_or_else(|| {
        let message = format!("the environment does not name a {what}");
        Error::new(ErrorKind::NotFound, operation, message).with("variable", usual)
    })
}

impl Workspace {
    /// The workspace that the environment names: inside a job by `AZUREML_ARM_SUBSCRIPTION`, `AZUREML_ARM_RESOURCEGROUP` and
    /// `AZUREML_ARM_WORKSPACE_NAME`, elsewhere by `AZURE_SUBSCRIPTION_ID`, `AZURE_RESOURCE_GROUP` and
    /// `AZUREML_WORKSPACE_NAME`; the cloud as by [`Cloud::from_variables`], and the version of the API as by
    /// [`ApiVersion::from_variables`].
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] that names the `variable` that is not set; [`ErrorKind::InvalidInput`] for a part that Azure
    /// would refuse.
    ///
    /// ```
    /// use mlops_azure::config::Workspace;
    /// let variables = [
    ///     ("AZURE_SUBSCRIPTION_ID", "00000000-0000-0000-0000-000000000000"),
    ///     ("AZURE_RESOURCE_GROUP", "rg-ml"),
    ///     ("AZUREML_WORKSPACE_NAME", "mlw-churn"),
    /// ];
    /// assert_eq!(Workspace::from_variables(&variables[..])?.name(), "mlw-churn");
    /// let error = Workspace::from_variables(&variables[..2]).unwrap_err();
    /// assert_eq!(error.context("variable"), Some("AZUREML_WORKSPACE_NAME"));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn from_variables(variables: &(impl Variables + ?Sized)) -> Result<Self> {
        const OP: &str = "Workspace::from_variables";
        let read = |names: [&'static str; 2]| first(variables, OP, "workspace", names, names[1]);
        let (subscription, group, name) = (read(SUBSCRIPTION)?, read(RESOURCE_GROUP)?, read(NAME)?);
        Self::new(&subscription, &group, &name)?.with_variables(variables)
    }

    /// The same in the cloud that the environment names, and spoken to in the version that it names.
    fn with_variables(self, variables: &(impl Variables + ?Sized)) -> Result<Self> {
        let workspace = self.in_cloud(Cloud::from_variables(variables)?);
        Ok(match ApiVersion::from_variables(variables)? {
            Some(version) => workspace.with_api_version(version),
            None => workspace,
        })
    }

    /// The workspace that the process's environment names.
    ///
    /// # Errors
    /// As of [`from_variables`](Self::from_variables).
    pub fn from_env() -> Result<Self> {
        Self::from_variables(&ProcessVariables)
    }

    /// The workspace of the environment, else of the nearest [`ConfigFile`] from the current folder upwards.
    ///
    /// # Errors
    /// Those of [`from_variables`](Self::from_variables) unless it is that nothing is set; then those of
    /// [`ConfigFile::find`] and [`ConfigFile::read`].
    pub fn discover() -> Result<Self> {
        match Self::from_env() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                ConfigFile::find(&here("Workspace::discover")?)?.read()?.with_variables(&ProcessVariables)
            }
            result => result,
        }
    }
}

fn here(operation: &'static str) -> Result<PathBuf> {
    let none = |e| Error::new(ErrorKind::Storage, operation, "there is no current folder").with_source(e);
    std::env::current_dir().map_err(none)
}

impl Registry {
    /// The registry that the environment names: by `AZUREML_REGISTRY_NAME`, with `AZUREML_REGISTRY_SUBSCRIPTION_ID` and
    /// `AZUREML_REGISTRY_RESOURCE_GROUP` where it is not in the subscription and the resource group of the
    /// [workspace](Workspace::from_variables). Cloud and version as for a workspace.
    ///
    /// # Errors
    /// As of [`Workspace::from_variables`].
    ///
    /// ```
    /// use mlops_azure::config::Registry;
    /// let variables = [
    ///     ("AZURE_SUBSCRIPTION_ID", "00000000-0000-0000-0000-000000000000"),
    ///     ("AZUREML_REGISTRY_RESOURCE_GROUP", "rg-shared"),
    ///     ("AZUREML_REGISTRY_NAME", "contoso-ml"),
    /// ];
    /// assert_eq!(Registry::from_variables(&variables[..])?.name(), "contoso-ml");
    /// let error = Registry::from_variables(&variables[..2]).unwrap_err();
    /// assert_eq!(error.context("variable"), Some("AZUREML_REGISTRY_NAME"));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn from_variables(variables: &(impl Variables + ?Sized)) -> Result<Self> {
        const OP: &str = "Registry::from_variables";
        // The name first: without it nothing else is about a registry.
        let name = first(variables, OP, "registry", REGISTRY_NAME, REGISTRY_NAME[0])?;
        let subscription = first(variables, OP, "registry", REGISTRY_SUBSCRIPTION, REGISTRY_SUBSCRIPTION[0])?;
        let group = first(variables, OP, "registry", REGISTRY_GROUP, REGISTRY_GROUP[0])?;
        Self::new(&subscription, &group, &name)?.with_variables(variables)
    }

    fn with_variables(self, variables: &(impl Variables + ?Sized)) -> Result<Self> {
        let registry = self.in_cloud(Cloud::from_variables(variables)?);
        Ok(match ApiVersion::from_variables(variables)? {
            Some(version) => registry.with_api_version(version),
            None => registry,
        })
    }

    /// The registry that the process's environment names.
    ///
    /// # Errors
    /// As of [`from_variables`](Self::from_variables).
    pub fn from_env() -> Result<Self> {
        Self::from_variables(&ProcessVariables)
    }

    /// The registry of the environment, else of the nearest [`ConfigFile`] from the current folder upwards.
    ///
    /// # Errors
    /// As of [`Workspace::discover`], with [`ConfigFile::read_registry`] in place of [`ConfigFile::read`].
    pub fn discover() -> Result<Self> {
        match Self::from_env() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                ConfigFile::find(&here("Registry::discover")?)?
                    .read_registry()?
                    .with_variables(&ProcessVariables)
            }
            result => result,
        }
    }
}

/// The file that names a workspace.
///
/// ```
/// use mlops_azure::config::ConfigFile;
///
/// let folder = tempfile::tempdir()?;
/// let below = folder.path().join("src/jobs");
/// std::fs::create_dir_all(&below)?;
/// std::fs::write(
///     folder.path().join("config.json"),
///     r#"{"subscription_id": "00000000-0000-0000-0000-000000000000", "resource_group": "rg", "workspace_name": "mlw-churn"}"#,
/// )?;
/// assert_eq!(ConfigFile::find(&below)?.read()?.name(), "mlw-churn");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFile(PathBuf);

impl ConfigFile {
    /// How many folders above the first one are searched.
    pub const LEVELS: usize = 20;
    /// The largest file that is read.
    pub const MAX_BYTES: u64 = 64 << 10;

    /// A file at a known place.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The nearest file from `start` upwards, as `azure-ai-ml` searches: first `.azureml/config.json`, then
    /// `.azureml/project.json`, then `config.json`, then `project.json`, each in `start` and in up to
    /// [`LEVELS`](Self::LEVELS) folders above it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with the folder where the search began.
    pub fn find(start: &Path) -> Result<Self> {
        const PLACES: [&str; 4] =
            [".azureml/config.json", ".azureml/project.json", "config.json", "project.json"];
        let start = fs::canonicalize(start).unwrap_or_else(|_| start.to_owned());
        let here = |place: &str| {
            start.ancestors().take(Self::LEVELS + 1).map(|folder| folder.join(place)).find(|p| p.is_file())
        };
        PLACES.iter().find_map(|place| here(place)).map(Self).ok_or_else(|| {
            let message = "neither here nor in a folder above is a config.json of a workspace";
            Error::new(ErrorKind::NotFound, "ConfigFile::find", message).with("folder", start.display())
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The workspace that it names, in the public cloud: by `subscription_id`, `resource_group` and `workspace_name`, or by a
    /// Resource Manager id under `Scope`; with the version of the API under `api_version`, if it is there. Other members are left
    /// alone.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] and [`ErrorKind::Storage`] for a file that cannot be read; [`ErrorKind::Corrupt`] for one that
    /// is not JSON, too large, or names no workspace; [`ErrorKind::InvalidInput`] for a part that Azure would refuse.
    pub fn read(&self) -> Result<Workspace> {
        const OP: &str = "ConfigFile::read";
        let raw = self.raw(OP)?;
        let path = |error: Error| error.with("path", self.0.display());
        let workspace = match &raw.scope {
            Some(id) => Workspace::from_id(id).map_err(path)?,
            None => {
                let subscription = self.member(OP, "workspace", "subscription_id", &raw.subscription_id)?;
                let group = self.member(OP, "workspace", "resource_group", &raw.resource_group)?;
                let name = self.member(OP, "workspace", "workspace_name", &raw.workspace_name)?;
                Workspace::new(subscription, group, name).map_err(path)?
            }
        };
        Ok(match self.version(&raw)? {
            Some(version) => workspace.with_api_version(version),
            None => workspace,
        })
    }

    /// The registry that it names, in the public cloud: by `registry_name`, `subscription_id` and `resource_group`, as the official SDK
    /// takes them, or by a Resource Manager id of a registry under `Scope`; with the version under `api_version`.
    ///
    /// # Errors
    /// As of [`read`](Self::read).
    ///
    /// ```
    /// use mlops_azure::config::ConfigFile;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("config.json");
    /// std::fs::write(
    ///     &path,
    ///     r#"{"subscription_id": "00000000-0000-0000-0000-000000000000", "resource_group": "rg", "registry_name": "contoso-ml"}"#,
    /// )?;
    /// assert_eq!(ConfigFile::at(&path).read_registry()?.name(), "contoso-ml");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_registry(&self) -> Result<Registry> {
        const OP: &str = "ConfigFile::read_registry";
        let raw = self.raw(OP)?;
        let path = |error: Error| error.with("path", self.0.display());
        let registry = match (&raw.scope, &raw.registry_name) {
            (Some(id), None) => Registry::from_id(id).map_err(path)?,
            (_, name) => {
                let name = self.member(OP, "registry", "registry_name", name)?;
                let subscription = self.member(OP, "registry", "subscription_id", &raw.subscription_id)?;
                let group = self.member(OP, "registry", "resource_group", &raw.resource_group)?;
                Registry::new(subscription, group, name).map_err(path)?
            }
        };
        Ok(match self.version(&raw)? {
            Some(version) => registry.with_api_version(version),
            None => registry,
        })
    }

    fn version(&self, raw: &Raw) -> Result<Option<ApiVersion>> {
        let version = raw.api_version.as_deref().map(str::parse).transpose();
        version.map_err(|error: Error| error.with("path", self.0.display()))
    }

    fn member<'a>(
        &self,
        operation: &'static str,
        what: &str,
        name: &'static str,
        value: &'a Option<String>,
    ) -> Result<&'a str> {
        let missing = || {
            Error::new(ErrorKind::Corrupt, operation, format!("the file names no {what}"))
                .with("missing", name)
                .with("path", self.0.display())
        };
        value.as_deref().ok_or_else(missing)
    }

    fn raw(&self, operation: &'static str) -> Result<Raw> {
        let path = |error: Error| error.with("path", self.0.display());
        let text = self.text().map_err(|e| {
            let kind = match e.kind() {
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                _ => ErrorKind::Storage,
            };
            path(Error::new(kind, operation, "the file cannot be read").with_source(e))
        })?;
        if text.len() as u64 > Self::MAX_BYTES {
            return Err(path(Error::new(
                ErrorKind::Corrupt,
                operation,
                "the file is too large to name a workspace",
            )));
        }
        serde_json::from_slice(strip_mark(&text)).map_err(|e| {
            path(
                Error::new(ErrorKind::Corrupt, operation, "the file is not a workspace's config.json")
                    .with_source(e),
            )
        })
    }

    fn text(&self) -> std::io::Result<Vec<u8>> {
        let mut text = Vec::new();
        fs::File::open(&self.0)?.take(Self::MAX_BYTES + 1).read_to_end(&mut text)?;
        Ok(text)
    }
}

/// What editors on Windows put before the text.
fn strip_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "Scope")]
    scope: Option<String>,
    subscription_id: Option<String>,
    resource_group: Option<String>,
    workspace_name: Option<String>,
    registry_name: Option<String>,
    api_version: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "01234567-89ab-cdef-0123-456789abcdef";

    fn config(name: &str) -> String {
        format!(r#"{{"subscription_id":"{GUID}","resource_group":"rg","workspace_name":"{name}","extra":1}}"#)
    }

    #[test]
    fn a_jobs_own_variables_come_first() {
        let variables = [
            ("AZURE_SUBSCRIPTION_ID", "x"),
            ("AZUREML_ARM_SUBSCRIPTION", GUID),
            ("AZUREML_ARM_RESOURCEGROUP", "rg-job"),
            ("AZURE_RESOURCE_GROUP", "rg"),
            ("AZUREML_ARM_WORKSPACE_NAME", ""),
            ("AZUREML_WORKSPACE_NAME", "mlw-one"),
            ("AZURE_AUTHORITY_HOST", "https://login.chinacloudapi.cn"),
        ];
        let workspace = Workspace::from_variables(&variables[..]).unwrap();
        assert_eq!((workspace.resource_group(), workspace.name()), ("rg-job", "mlw-one"));
        assert_eq!(workspace.cloud(), Cloud::China);
        let wrong = [("AZUREML_CURRENT_CLOUD", "AzureMoonCloud")];
        assert_eq!(Cloud::from_variables(&wrong[..]).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn a_registry_has_variables_and_a_file_too() {
        let variables = [
            ("AZUREML_ARM_SUBSCRIPTION", GUID),
            ("AZUREML_ARM_RESOURCEGROUP", "rg-job"),
            ("AZUREML_REGISTRY_NAME", "contoso-ml"),
            ("AZUREML_CURRENT_CLOUD", "AzureUSGovernment"),
            ("MLOPS_AZURE_API_VERSION", "2025-12-01"),
        ];
        let registry = Registry::from_variables(&variables[..]).unwrap();
        assert_eq!((registry.subscription(), registry.resource_group()), (GUID, "rg-job"));
        assert_eq!((registry.cloud(), registry.api_version().as_str()), (Cloud::UsGovernment, "2025-12-01"));
        let other: Vec<_> =
            variables.into_iter().chain([("AZUREML_REGISTRY_RESOURCE_GROUP", "rg-shared")]).collect();
        assert_eq!(Registry::from_variables(&other[..]).unwrap().resource_group(), "rg-shared");
        let error = Registry::from_variables(&[("AZUREML_REGISTRY_NAME", "contoso-ml")][..]).unwrap_err();
        assert_eq!(
            (error.kind(), error.context("variable")),
            (ErrorKind::NotFound, Some("AZUREML_REGISTRY_SUBSCRIPTION_ID"))
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let id = format!(
            "/subscriptions/{GUID}/resourceGroups/rg/providers/Microsoft.MachineLearningServices/registries/contoso-ml"
        );
        fs::write(&path, format!(r#"{{"Scope":"{id}","api_version":"2026-03-01"}}"#)).unwrap();
        let registry = ConfigFile::at(&path).read_registry().unwrap();
        assert_eq!((registry.id(), registry.api_version().as_str()), (id, "2026-03-01"));
        assert_eq!(ConfigFile::at(&path).read().unwrap_err().kind(), ErrorKind::InvalidInput);
        fs::write(&path, config("mlw-one")).unwrap();
        let error = ConfigFile::at(&path).read_registry().unwrap_err();
        assert_eq!((error.kind(), error.context("missing")), (ErrorKind::Corrupt, Some("registry_name")));
    }

    #[test]
    fn the_version_of_the_api_is_named_where_the_workspace_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        fs::write(&path, config("mlw-one").replace("\"extra\":1", "\"api_version\":\"2025-12-01\"")).unwrap();
        let workspace = ConfigFile::at(&path).read().unwrap();
        assert_eq!(workspace.api_version().as_str(), "2025-12-01");
        // The environment has the last word.
        let newer = [("MLOPS_AZURE_API_VERSION", "2026-03-01")];
        assert_eq!(
            workspace.clone().with_variables(&newer[..]).unwrap().api_version().as_str(),
            "2026-03-01"
        );
        assert_eq!(workspace.clone().with_variables(&newer[..0]).unwrap(), workspace);
        fs::write(&path, config("mlw-one").replace("\"extra\":1", "\"api_version\":\"new\"")).unwrap();
        let error = ConfigFile::at(&path).read().unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidInput && error.context("path").is_some());
    }

    #[test]
    fn the_nearest_file_wins_and_its_own_folder_is_first() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("a/b");
        fs::create_dir_all(deep.join(".azureml")).unwrap();
        fs::write(root.path().join("config.json"), config("mlw-root")).unwrap();
        assert_eq!(ConfigFile::find(&deep).unwrap().read().unwrap().name(), "mlw-root");
        fs::write(root.path().join("a/config.json"), config("mlw-a")).unwrap();
        assert_eq!(ConfigFile::find(&deep).unwrap().read().unwrap().name(), "mlw-a");
        // A folder of that name is no file.
        fs::create_dir(deep.join("config.json")).unwrap();
        fs::create_dir(root.path().join(".azureml")).unwrap();
        fs::write(root.path().join(".azureml/config.json"), config("mlw-hidden")).unwrap();
        assert_eq!(ConfigFile::find(&deep).unwrap().read().unwrap().name(), "mlw-hidden");
        let empty = tempfile::tempdir().unwrap();
        let nothing = empty.path().join("x");
        fs::create_dir(&nothing).unwrap();
        let found = ConfigFile::find(&nothing);
        assert!(found.is_err_and(|e| e.kind() == ErrorKind::NotFound && e.context("folder").is_some()));
    }

    #[test]
    fn what_is_no_configuration_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        for (text, kind) in [
            ("{".to_owned(), ErrorKind::Corrupt),
            ("[]".to_owned(), ErrorKind::Corrupt),
            ("{}".to_owned(), ErrorKind::Corrupt),
            (config("x"), ErrorKind::InvalidInput),
            (config("a/b/c"), ErrorKind::InvalidInput),
            (r#"{"Scope":"/subscriptions/1"}"#.to_owned(), ErrorKind::InvalidInput),
            (format!("{}{}", config("mlw-one"), " ".repeat(100_000)), ErrorKind::Corrupt),
        ] {
            fs::write(&path, &text).unwrap();
            let error = ConfigFile::at(&path).read().unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.context("path").is_some());
        }
        let scope = format!(
            "/subscriptions/{GUID}/resourcegroups/rg/providers/Microsoft.MachineLearningServices/workspaces/mlw-two"
        );
        fs::write(&path, format!("\u{feff}{{\"Scope\":\"{scope}\"}}")).unwrap();
        assert_eq!(ConfigFile::at(&path).read().unwrap().name(), "mlw-two");
        fs::remove_file(&path).unwrap();
        assert_eq!(ConfigFile::at(&path).read().unwrap_err().kind(), ErrorKind::NotFound);
    }
}
