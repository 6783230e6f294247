//! Clouds and workspaces.

use std::fmt;

use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// One of Azure's clouds. Each has its own hosts and its own token audiences.
///
/// ```
/// use mlops_azure::config::Cloud;
/// assert_eq!(Cloud::default(), Cloud::Public);
/// assert_eq!(Cloud::China.resource_manager(), "management.chinacloudapi.cn");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cloud {
    /// Azure.
    #[default]
    Public,
    /// Azure operated by 21Vianet.
    China,
    /// Azure Government.
    UsGovernment,
}

impl Cloud {
    /// The host of Azure Resource Manager.
    pub const fn resource_manager(self) -> &'static str {
        match self {
            Self::Public => "management.azure.com",
            Self::China => "management.chinacloudapi.cn",
            Self::UsGovernment => "management.usgovcloudapi.net",
        }
    }

    /// The host that issues tokens.
    pub const fn authority(self) -> &'static str {
        match self {
            Self::Public => "login.microsoftonline.com",
            Self::China => "login.chinacloudapi.cn",
            Self::UsGovernment => "login.microsoftonline.us",
        }
    }

    /// The suffix of storage hosts.
    pub const fn storage_suffix(self) -> &'static str {
        match self {
            Self::Public => "core.windows.net",
            Self::China => "core.chinacloudapi.cn",
            Self::UsGovernment => "core.usgovcloudapi.net",
        }
    }

    /// The token scope for Resource Manager, and for MLflow and run history in Azure Machine Learning.
    ///
    /// ```
    /// use mlops_azure::config::Cloud;
    /// assert_eq!(Cloud::Public.resource_manager_scope(), "https://management.azure.com/.default");
    /// ```
    pub fn resource_manager_scope(self) -> String {
        format!("https://{}/.default", self.resource_manager())
    }

    /// The token scope for scoring endpoints and batch invocations.
    pub const fn machine_learning_scope(self) -> &'static str {
        match self {
            Self::Public => "https://ml.azure.com/.default",
            Self::China => "https://ml.azure.cn/.default",
            Self::UsGovernment => "https://ml.azure.us/.default",
        }
    }
}

/// An Azure Machine Learning workspace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Workspace {
    cloud: Cloud,
    subscription: String,
    resource_group: String,
    name: String,
}

impl Workspace {
    /// A workspace in the public cloud, by subscription id, resource group and name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) that names the part: a subscription id is a GUID;
    /// a resource group has 1 to 90 letters, digits, `-`, `_`, `.`, `(`, `)` and does not end in `.`; a workspace has 3 to
    /// 33 letters, digits, `-`, `_`, the first a letter or digit.
    pub fn new(subscription: &str, resource_group: &str, name: &str) -> Result<Self> {
        check("subscription", subscription, is_guid(subscription), "must be a GUID")?;
        let group = "must have 1 to 90 letters, digits, -, _, ., ( or ) and not end in a dot";
        check("resource_group", resource_group, is_resource_group(resource_group), group)?;
        let workspace = "must have 3 to 33 letters, digits, - or _, and begin with a letter or digit";
        check("name", name, is_workspace(name), workspace)?;
        Ok(Self {
            cloud: Cloud::Public,
            subscription: subscription.to_ascii_lowercase(),
            resource_group: resource_group.to_owned(),
            name: name.to_owned(),
        })
    }

    /// The same workspace in another cloud.
    #[must_use]
    pub fn in_cloud(mut self, cloud: Cloud) -> Self {
        self.cloud = cloud;
        self
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
        let date = |v: &str| {
            let v = v.strip_suffix("-preview").unwrap_or(v);
            v.len() == 10
                && v.bytes()
                    .enumerate()
                    .all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() })
        };
        check("api_version", api_version, date(api_version), "must be a date, with or without -preview")?;
        let mut url = format!("https://{}{}", self.cloud.resource_manager(), self.id());
        for segment in segments {
            check(
                "segments",
                segment,
                is_segment(segment),
                "has a character that a URL reads as something else",
            )?;
            url.push('/');
            url.push_str(segment);
        }
        Ok(format!("{url}?api-version={api_version}"))
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
        }
        let raw = Raw::deserialize(deserializer)?;
        let workspace = Self::new(&raw.subscription, &raw.resource_group, &raw.name);
        workspace.map(|w| w.in_cloud(raw.cloud)).map_err(serde::de::Error::custom)
    }
}

fn check(field: &str, value: &str, ok: bool, reason: &str) -> Result<()> {
    if ok { Ok(()) } else { Err(Error::invalid("Workspace", field, reason).with("value", value)) }
}

fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

fn is_resource_group(text: &str) -> bool {
    let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'(' | b')');
    (1..=90).contains(&text.len()) && text.bytes().all(ok) && !text.ends_with('.') && !text.starts_with("..")
}

fn is_workspace(text: &str) -> bool {
    let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (3..=33).contains(&text.len()) && text.bytes().all(ok) && !text.starts_with(['-', '_'])
}

fn is_segment(text: &str) -> bool {
    let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !text.is_empty() && text.len() <= 255 && text.bytes().all(ok) && !matches!(text, "." | "..")
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
        assert_eq!(workspace.cloud(), Cloud::China);
        for bad in [good.replace("mlw-one", "x"), good.replace("cloud", "clod"), good.replace(GUID, "1")] {
            assert!(serde_json::from_str::<Workspace>(&bad).is_err(), "{bad}");
        }
    }
}
