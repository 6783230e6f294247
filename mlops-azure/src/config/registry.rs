//! Registries.

use std::fmt;

use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::cloud::Cloud;
use super::name::{check_scope, parts_of_id, path_below};
use super::version::ApiVersion;

/// A registry: models, data, environments and components that workspaces of one organisation share.
///
/// ```
/// use mlops_azure::config::Registry;
/// let registry = Registry::new("00000000-0000-0000-0000-000000000000", "rg-shared", "contoso-ml")?;
/// assert_eq!(registry.asset_uri("models", "churn", "3")?, "azureml://registries/contoso-ml/models/churn/versions/3");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Registry {
    cloud: Cloud,
    subscription: String,
    resource_group: String,
    name: String,
    #[serde(skip_serializing_if = "ApiVersion::is_default")]
    api_version: ApiVersion,
}

impl Registry {
    /// A registry in the public cloud, by subscription id, resource group and name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) that names the part; the rules are those of
    /// [`Workspace::new`](super::Workspace::new).
    pub fn new(subscription: &str, resource_group: &str, name: &str) -> Result<Self> {
        check_scope("Registry", subscription, resource_group, name)?;
        Ok(Self {
            cloud: Cloud::Public,
            subscription: subscription.to_ascii_lowercase(),
            resource_group: resource_group.to_owned(),
            name: name.to_owned(),
            api_version: ApiVersion::default(),
        })
    }

    /// The same registry in another cloud.
    #[must_use]
    pub fn in_cloud(mut self, cloud: Cloud) -> Self {
        self.cloud = cloud;
        self
    }

    /// The same registry, spoken to in another version of the API.
    #[must_use]
    pub fn with_api_version(mut self, version: ApiVersion) -> Self {
        self.api_version = version;
        self
    }

    /// The version of the API in which it is spoken to.
    pub fn api_version(&self) -> &ApiVersion {
        &self.api_version
    }

    /// The cloud.
    pub fn cloud(&self) -> Cloud {
        self.cloud
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The Resource Manager id: `/subscriptions/…/registries/NAME`.
    pub fn id(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.MachineLearningServices/registries/{}",
            self.subscription, self.resource_group, self.name
        )
    }

    /// The Resource Manager id of a resource below the registry.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) that names the segment.
    pub fn resource_id(&self, segments: &[&str]) -> Result<String> {
        path_below("Registry", &self.id(), segments)
    }

    /// Reads a Resource Manager id; the fixed words in any case, as Azure itself returns them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) that names the part.
    ///
    /// ```
    /// use mlops_azure::config::Registry;
    /// let registry = Registry::new("00000000-0000-0000-0000-000000000000", "rg-shared", "contoso-ml")?;
    /// assert_eq!(Registry::from_id(&registry.id().to_uppercase())?.id(), registry.id().replace("rg-shared", "RG-SHARED").replace("contoso-ml", "CONTOSO-ML"));
    /// assert!(Registry::from_id("/subscriptions/x").is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn from_id(id: &str) -> Result<Self> {
        let shape = "is not /subscriptions/…/resourceGroups/…/providers/Microsoft.MachineLearningServices/registries/…";
        let parts = parts_of_id(id, "registries");
        let [subscription, group, name] =
            parts.ok_or_else(|| Error::invalid("Registry", "id", shape).with("value", id))?;
        Self::new(subscription, group, name)
    }

    /// The subscription's id.
    pub fn subscription(&self) -> &str {
        &self.subscription
    }

    /// The resource group.
    pub fn resource_group(&self) -> &str {
        &self.resource_group
    }

    /// The URI by which workspaces name an asset of the registry.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) that names the segment.
    pub fn asset_uri(&self, kind: &str, name: &str, version: &str) -> Result<String> {
        let root = format!("azureml://registries/{}", self.name);
        path_below("Registry", &root, &[kind, name, "versions", version])
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id())
    }
}

impl<'de> Deserialize<'de> for Registry {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Raw {
            #[serde(default)]
            cloud: Cloud,
            subscription: String,
            resource_group: String,
            name: String,
            #[serde(default)]
            api_version: ApiVersion,
        }
        let raw = Raw::deserialize(deserializer)?;
        let registry = Self::new(&raw.subscription, &raw.resource_group, &raw.name);
        registry
            .map(|r| r.in_cloud(raw.cloud).with_api_version(raw.api_version))
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_checked_however_it_comes() {
        let guid = "01234567-89ab-cdef-0123-456789abcdef";
        for (subscription, group, name, field) in [
            ("1", "rg", "reg-one", "subscription"),
            (guid, "rg.", "reg-one", "resource_group"),
            (guid, "rg", "r/g", "name"),
        ] {
            assert_eq!(Registry::new(subscription, group, name).unwrap_err().context("field"), Some(field));
        }
        let registry = Registry::new(guid, "rg", "reg-one").unwrap().in_cloud(Cloud::China);
        let text = serde_json::to_string(&registry).unwrap();
        assert_eq!(serde_json::from_str::<Registry>(&text).unwrap(), registry);
        assert!(serde_json::from_str::<Registry>(&text.replace("reg-one", "..")).is_err());
        assert!(registry.asset_uri("models", "..", "1").is_err());
    }
}
