//! The calls of Azure Machine Learning's Resource Manager API, by the resource that they are about.

use std::fmt;
use std::marker::PhantomData;

use mlops_core::{Error, Result};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::asset::{CodeVersion, Container};
use super::batch::{BatchDeployment, BatchEndpoint};
use super::component::ComponentVersion;
use super::compute::Compute;
use super::data::DataVersion;
use super::datastore::Datastore;
use super::deployment::OnlineDeployment;
use super::endpoint::OnlineEndpoint;
use super::environment::EnvironmentVersion;
use super::job::Job;
use super::model::ModelVersion;
use super::resource::{Properties, Resource};
use super::schedule::Schedule;
use crate::config::name::{check, is_datastore, is_endpoint, path_below};
use crate::config::{ApiVersion, Registry, Workspace};
use crate::http::{Call, Page, Repeat};

/// An answer that nobody reads.
pub type Nothing = IgnoredAny;

/// A workspace or a registry: what its resources are below. Its calls speak the workspace's [version](ApiVersion) of the API.
///
/// ```
/// use mlops_azure::config::Workspace;
/// use mlops_azure::wire::Place;
///
/// let workspace = Workspace::new("00000000-0000-0000-0000-000000000000", "rg", "mlw-churn")?;
/// let call = Place::from(&workspace).model("churn", "3")?.get("ModelRegistry::get");
/// assert!(call.target().ends_with("/workspaces/mlw-churn/models/churn/versions/3?api-version=2026-05-01"));
/// assert!(Place::from(&workspace).model("..", "3").is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    root: String,
    version: ApiVersion,
}

impl From<&Workspace> for Place {
    fn from(workspace: &Workspace) -> Self {
        Self { root: workspace.id(), version: workspace.api_version().clone() }
    }
}

impl From<&Registry> for Place {
    fn from(registry: &Registry) -> Self {
        Self { root: registry.id(), version: registry.api_version().clone() }
    }
}

const OP: &str = "Place";

impl Place {
    /// The Resource Manager id.
    pub fn id(&self) -> &str {
        &self.root
    }

    /// The version of the API of all its calls.
    pub fn api_version(&self) -> &ApiVersion {
        &self.version
    }

    /// Any resource below, by the segments of its path.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) that names the segment.
    pub fn at<R>(&self, segments: &[&str]) -> Result<At<R>> {
        let path = path_below(OP, &self.root, segments)?;
        Ok(At { path, version: self.version.clone(), resource: PhantomData })
    }

    /// The resource itself.
    pub fn itself<R>(&self) -> At<R> {
        At { path: self.root.clone(), version: self.version.clone(), resource: PhantomData }
    }

    /// A version of a data asset.
    ///
    /// # Errors
    /// As of [`at`](Self::at).
    pub fn data(&self, name: &str, version: &str) -> Result<At<Resource<DataVersion>>> {
        self.at(&["data", name, "versions", version])
    }

    /// A version of a model.
    ///
    /// # Errors
    /// As of [`at`](Self::at).
    pub fn model(&self, name: &str, version: &str) -> Result<At<Resource<ModelVersion>>> {
        self.at(&["models", name, "versions", version])
    }

    /// A version of an environment.
    ///
    /// # Errors
    /// As of [`at`](Self::at).
    pub fn environment(&self, name: &str, version: &str) -> Result<At<Resource<EnvironmentVersion>>> {
        self.at(&["environments", name, "versions", version])
    }

    /// A version of code.
    ///
    /// # Errors
    /// As of [`at`](Self::at).
    pub fn code(&self, name: &str, version: &str) -> Result<At<Resource<CodeVersion>>> {
        self.at(&["codes", name, "versions", version])
    }

    /// The container of an asset's versions; `kind` is `data`, `models`, `environments`, `components` or `codes`.
    ///
    /// # Errors
    /// As of [`at`](Self::at).
    pub fn container(&self, kind: &str, name: &str) -> Result<At<Resource<Container>>> {
        self.at(&[kind, name])
    }

    /// A datastore.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a name that none can have.
    pub fn datastore(&self, name: &str) -> Result<At<Resource<Datastore>>> {
        check(OP, "datastore", name, is_datastore(name), "must have 1 to 255 letters, digits or _")?;
        self.at(&["datastores", name])
    }

    /// A job.
    ///
    /// # Errors
    /// As of [`at`](Self::at).
    pub fn job(&self, name: &str) -> Result<At<Resource<Job>>> {
        self.at(&["jobs", name])
    }

    /// A compute.
    ///
    /// # Errors
    /// As of [`at`](Self::at).
    pub fn compute(&self, name: &str) -> Result<At<Resource<Compute>>> {
        self.at(&["computes", name])
    }

    /// A version of a component.
    ///
    /// # Errors
    /// As of [`at`](Self::at).
    pub fn component(&self, name: &str, version: &str) -> Result<At<Resource<ComponentVersion>>> {
        self.at(&["components", name, "versions", version])
    }

    /// A schedule.
    ///
    /// # Errors
    /// As of [`at`](Self::at).
    pub fn schedule(&self, name: &str) -> Result<At<Resource<Schedule>>> {
        self.at(&["schedules", name])
    }

    /// A batch endpoint.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a name that none can have.
    pub fn batch_endpoint(&self, name: &str) -> Result<At<Resource<BatchEndpoint>>> {
        check_endpoint("endpoint", name)?;
        self.at(&["batchEndpoints", name])
    }

    /// A deployment of a batch endpoint.
    ///
    /// # Errors
    /// As of [`at`](Self::at).
    pub fn batch_deployment(&self, endpoint: &str, name: &str) -> Result<At<Resource<BatchDeployment>>> {
        check_endpoint("endpoint", endpoint)?;
        self.at(&["batchEndpoints", endpoint, "deployments", name])
    }

    /// An online endpoint.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a name that none can have.
    pub fn online_endpoint(&self, name: &str) -> Result<At<Resource<OnlineEndpoint>>> {
        check_endpoint("endpoint", name)?;
        self.at(&["onlineEndpoints", name])
    }

    /// A deployment of an online endpoint.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a name that none can have.
    pub fn online_deployment(&self, endpoint: &str, name: &str) -> Result<At<Resource<OnlineDeployment>>> {
        check_endpoint("endpoint", endpoint)?;
        check_endpoint("deployment", name)?;
        self.at(&["onlineEndpoints", endpoint, "deployments", name])
    }
}

fn check_endpoint(field: &'static str, name: &str) -> Result<()> {
    let rule = "must have 3 to 32 letters, digits or hyphens, a letter first and no hyphen last";
    check(OP, field, name, is_endpoint(name), rule)
}

/// One resource, or one list of them, and the calls that are about it.
///
/// `operation` is how errors name what is being done.
pub struct At<R> {
    path: String,
    version: ApiVersion,
    resource: PhantomData<fn() -> R>,
}

impl<R> At<R> {
    /// The Resource Manager id.
    pub fn id(&self) -> &str {
        &self.path
    }

    /// Reads it.
    pub fn get(&self, operation: &'static str) -> Call<R> {
        Call::get(operation, &self.path).query("api-version", self.version.as_str())
    }

    /// Removes it.
    pub fn delete(&self, operation: &'static str) -> Call<Nothing> {
        Call::delete(operation, &self.path).query("api-version", self.version.as_str())
    }

    /// Changes a part of it; which parts a resource lets be changed so, its documentation says.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a body that JSON cannot hold.
    pub fn patch(&self, operation: &'static str, body: &impl Serialize) -> Result<Call<R>> {
        Ok(Call::patch(operation, &self.path, body)?.query("api-version", self.version.as_str()))
    }

    /// Does something with it that changes nothing, such as to list its keys; may be repeated.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for an action that a URL reads as something else.
    pub fn ask<T: DeserializeOwned>(&self, operation: &'static str, action: &str) -> Result<Call<T>> {
        Ok(self.act(operation, action)?.repeat(Repeat::Safe))
    }

    /// Does something with it, once.
    ///
    /// # Errors
    /// As of [`ask`](Self::ask).
    pub fn act<T: DeserializeOwned>(&self, operation: &'static str, action: &str) -> Result<Call<T>> {
        let path = path_below(OP, &self.path, &[action])?;
        Ok(Call::post(operation, path).query("api-version", self.version.as_str()))
    }

    /// The list that it is in: the same without its name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for what is in no list.
    pub fn list(&self, operation: &'static str) -> Result<Call<Page<R>>> {
        let (list, _) = self
            .path
            .rsplit_once('/')
            .filter(|(list, _)| !list.is_empty())
            .ok_or_else(|| Error::invalid(operation, "resource", "is in no list"))?;
        Ok(Call::get(operation, list).query("api-version", self.version.as_str()))
    }
}

impl<P: Properties> At<Resource<P>> {
    /// Writes the whole of it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a body that JSON cannot hold.
    ///
    /// ```
    /// use mlops_azure::config::Workspace;
    /// use mlops_azure::wire::{DataType, DataVersion, Place, Resource};
    ///
    /// let workspace = Workspace::new("00000000-0000-0000-0000-000000000000", "rg", "mlw-churn")?;
    /// let data = Resource::new(DataVersion::new(DataType::UriFile, "azureml://datastores/d/paths/churn.csv"));
    /// let call = Place::from(&workspace).data("churn", "1")?.put("DataAssets::register", &data)?;
    /// assert_eq!(call.method(), "PUT");
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn put(&self, operation: &'static str, resource: &Resource<P>) -> Result<Call<Resource<P>>> {
        Ok(Call::put(operation, &self.path, &resource.body()?)?.query("api-version", self.version.as_str()))
    }
}

impl<R> fmt::Debug for At<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("At").field(&self.path).finish()
    }
}

impl<R> Clone for At<R> {
    fn clone(&self) -> Self {
        Self { path: self.path.clone(), version: self.version.clone(), resource: PhantomData }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::model::ModelType;

    #[test]
    fn every_call_speaks_the_version_of_its_place() {
        let workspace = Workspace::new("00000000-0000-0000-0000-000000000000", "rg", "mlw-churn").unwrap();
        let registry = Registry::new("00000000-0000-0000-0000-000000000000", "rg", "contoso-ml").unwrap();
        for named in ["2026-05-01", "2025-12-01"] {
            let version: ApiVersion = named.parse().unwrap();
            let places = [
                Place::from(&workspace.clone().with_api_version(version.clone())),
                Place::from(&registry.clone().with_api_version(version)),
            ];
            for place in places {
                let at = place.model("churn", "3").unwrap().clone();
                let model =
                    Resource::new(ModelVersion::new(ModelType::Custom, "azureml://datastores/d/paths/m"));
                for target in [
                    at.get("op").target(),
                    at.delete("op").target(),
                    at.patch("op", &1).unwrap().target(),
                    at.put("op", &model).unwrap().target(),
                    at.act::<Nothing>("op", "publish").unwrap().target(),
                    at.ask::<Nothing>("op", "publish").unwrap().target(),
                    at.list("op").unwrap().target(),
                    place.itself::<Nothing>().get("op").target(),
                ] {
                    assert!(target.ends_with(&format!("?api-version={named}")), "{target}");
                }
            }
        }
    }
}
