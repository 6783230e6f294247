//! Registries.

use std::fmt;

use mlops_core::Result;
use serde::{Deserialize, Serialize};

use super::cloud::Cloud;
use super::name::{check_scope, path_below};

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
        })
    }

    /// The same registry in another cloud.
    #[must_use]
    pub fn in_cloud(mut self, cloud: Cloud) -> Self {
        self.cloud = cloud;
        self
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
        }
        let raw = Raw::deserialize(deserializer)?;
        let registry = Self::new(&raw.subscription, &raw.resource_group, &raw.name);
        registry.map(|r| r.in_cloud(raw.cloud)).map_err(serde::de::Error::custom)
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
