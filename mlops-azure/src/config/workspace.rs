//! Workspaces.

use std::fmt;

use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::cloud::Cloud;
use super::name::{check, check_scope, is_api_version, parts_of_id, path_below};
use super::version::ApiVersion;

/// An Azure Machine Learning workspace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Workspace {
    cloud: Cloud,
    subscription: String,
    resource_group: String,
    name: String,
    #[serde(skip_serializing_if = "ApiVersion::is_default")]
    api_version: ApiVersion,
}

impl Workspace {
    /// A workspace in the public cloud, by subscription id, resource group and name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) that names the part: a subscription id is a GUID;
    /// a resource group has 1 to 90 letters, digits, `-`, `_`, `.`, `(`, `)` and does not end in `.`; a workspace has 3 to
    /// 33 letters, digits, `-`, `_`, the first a letter or digit.
    pub fn new(subscription: &str, resource_group: &str, name: &str) -> Result<Self> {
        check_scope("Workspace", subscription, resource_group, name)?;
        Ok(Self {
            cloud: Cloud::Public,
            subscription: subscription.to_ascii_lowercase(),
            resource_group: resource_group.to_owned(),
            name: name.to_owned(),
            api_version: ApiVersion::default(),
        })
    }

    /// The same workspace in another cloud.
    #[must_use]
    pub fn in_cloud(mut self, cloud: Cloud) -> Self {
        self.cloud = cloud;
        self
    }

    /// The same workspace, spoken to in another version of the API.
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

    /// The Resource Manager id: `/subscriptions/…/workspaces/NAME`.
    pub fn id(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.MachineLearningServices/workspaces/{}",
            self.subscription, self.resource_group, self.name
        )
    }

    /// The URL of a resource below the workspace.
    ///
    /// Segments are checked, not escaped: a segment that a URL would read as something else (`..`, `a/b`, `a?b`, `%2e`) is
    /// refused, never changed.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) that names the segment or the version.
    pub fn resource_url(&self, segments: &[&str], api_version: &str) -> Result<String> {
        const OP: &str = "Workspace";
        let date = "must be a date, with or without -preview";
        check(OP, "api_version", api_version, is_api_version(api_version), date)?;
        let path = path_below(OP, &self.id(), segments)?;
        Ok(format!("https://{}{path}?api-version={api_version}", self.cloud.resource_manager()))
    }

    /// The Resource Manager id of a resource below the workspace, such as `["models", "churn", "versions", "3"]`.
    ///
    /// # Errors
    /// As of [`resource_url`](Self::resource_url).
    ///
    /// ```
    /// use mlops_azure::config::Workspace;
    /// let workspace = Workspace::new("00000000-0000-0000-0000-000000000000", "rg", "mlw-churn")?;
    /// assert!(workspace.resource_id(&["computes", "cpu"])?.ends_with("/workspaces/mlw-churn/computes/cpu"));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn resource_id(&self, segments: &[&str]) -> Result<String> {
        path_below("Workspace", &self.id(), segments)
    }

    /// Reads a Resource Manager id; the fixed words in any case, as Azure itself returns them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) that names the part.
    ///
    /// ```
    /// use mlops_azure::config::Workspace;
    /// let workspace = Workspace::new("00000000-0000-0000-0000-000000000000", "rg", "mlw-churn")?;
    /// assert_eq!(Workspace::from_id(&workspace.id().replace("resourceGroups", "resourcegroups"))?, workspace);
    /// assert!(Workspace::from_id("/subscriptions/x").is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn from_id(id: &str) -> Result<Self> {
        let shape = "is not /subscriptions/…/resourceGroups/…/providers/Microsoft.MachineLearningServices/workspaces/…";
        let parts = parts_of_id(id, "workspaces");
        let [subscription, group, name] =
            parts.ok_or_else(|| Error::invalid("Workspace", "id", shape).with("value", id))?;
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

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id())
    }
}

impl<'de> Deserialize<'de> for Workspace {
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
        let workspace = Self::new(&raw.subscription, &raw.resource_group, &raw.name);
        workspace
            .map(|w| w.in_cloud(raw.cloud).with_api_version(raw.api_version))
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "01234567-89ab-cdef-0123-456789abcdef";

    #[test]
    fn parts_that_azure_would_refuse_are_refused_and_named() {
        for (subscription, group, name, field) in [
            ("not-a-guid", "rg", "mlw-one", "subscription"),
            ("01234567-89ab-cdef-0123-456789abcdeg", "rg", "mlw-one", "subscription"),
            (GUID, "", "mlw-one", "resource_group"),
            (GUID, "rg.", "mlw-one", "resource_group"),
            (GUID, "rg/../other", "mlw-one", "resource_group"),
            (GUID, "rg", "ab", "name"),
            (GUID, "rg", "-abc", "name"),
            (GUID, "rg", "a?api-version=1", "name"),
        ] {
            let error = Workspace::new(subscription, group, name).unwrap_err();
            assert_eq!(error.context("field"), Some(field), "{error}");
        }
    }

    #[test]
    fn a_segment_cannot_leave_the_workspace() {
        let workspace = Workspace::new(GUID, "rg", "mlw-one").unwrap();
        for segment in ["..", ".", "", "a/b", "a%2Fb", "a?b", "a#b", "a\r\nb", "é", "a;b"] {
            assert!(workspace.resource_url(&["models", segment], "2025-12-01").is_err(), "{segment:?}");
        }
        for version in ["", "2025", "2025-12-01-preview2", "latest", "2025-12-01&x=y"] {
            assert!(workspace.resource_url(&["models"], version).is_err(), "{version:?}");
        }
    }

    #[test]
    fn a_workspace_read_from_configuration_is_checked() {
        let good =
            format!(r#"{{"subscription":"{GUID}","resource_group":"rg","name":"mlw-one","cloud":"china"}}"#);
        let workspace: Workspace = serde_json::from_str(&good).unwrap();
        assert_eq!((workspace.cloud(), workspace.api_version().as_str()), (Cloud::China, "2026-05-01"));
        let older = good.replace("}", r#","api_version":"2025-12-01"}"#);
        let workspace: Workspace = serde_json::from_str(&older).unwrap();
        assert_eq!(workspace.api_version().as_str(), "2025-12-01");
        let text = serde_json::to_string(&workspace).unwrap();
        assert_eq!(serde_json::from_str::<Workspace>(&text).unwrap(), workspace);
        assert!(serde_json::from_str::<Workspace>(&older.replace("2025-12-01", "new")).is_err());
        for bad in [good.replace("mlw-one", "x"), good.replace("cloud", "clod"), good.replace(GUID, "1")] {
            assert!(serde_json::from_str::<Workspace>(&bad).is_err(), "{bad}");
        }
    }
}
