//! Azure's clouds.

use std::fmt;
use std::str::FromStr;

use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::auth::Scope;

/// One of Azure's clouds. Each has its own hosts and its own token audiences.
///
/// ```
/// use mlops_azure::config::Cloud;
/// assert_eq!(Cloud::default(), Cloud::Public);
/// assert_eq!(Cloud::China.resource_manager(), "management.chinacloudapi.cn");
/// assert_eq!("AzureUSGovernment".parse::<Cloud>()?, Cloud::UsGovernment);
/// # Ok::<(), mlops_core::Error>(())
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
    /// Every cloud.
    pub const ALL: [Self; 3] = [Self::Public, Self::China, Self::UsGovernment];

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

    /// The suffix of Key Vault hosts.
    pub const fn vault_suffix(self) -> &'static str {
        match self {
            Self::Public => "vault.azure.net",
            Self::China => "vault.azure.cn",
            Self::UsGovernment => "vault.usgovcloudapi.net",
        }
    }

    /// The host that says where a registry is.
    pub const fn registry_discovery(self) -> &'static str {
        match self {
            Self::Public => "eastus.api.azureml.ms",
            Self::China => "chinaeast2.api.ml.azure.cn",
            Self::UsGovernment => "usgovarizona.api.ml.azure.us",
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

    /// The token scope for blobs and Data Lake; the same in every cloud.
    pub const fn storage_scope(self) -> &'static str {
        "https://storage.azure.com/.default"
    }

    /// The token scope for Key Vault.
    pub fn vault_scope(self) -> String {
        format!("https://{}/.default", self.vault_suffix())
    }

    /// The checked scope of a kind of service in this cloud.
    ///
    /// ```
    /// use mlops_azure::config::cloud::{Audience, Cloud};
    /// assert_eq!(Cloud::China.scope(Audience::MachineLearning).as_str(), "https://ml.azure.cn/.default");
    /// ```
    pub fn scope(self, audience: Audience) -> Scope {
        Scope::known(match audience {
            Audience::ResourceManager => self.resource_manager_scope(),
            Audience::MachineLearning => self.machine_learning_scope().to_owned(),
            Audience::Storage => self.storage_scope().to_owned(),
            Audience::KeyVault => self.vault_scope(),
            Audience::EventGrid => "https://eventgrid.azure.net/.default".to_owned(),
            // Two slashes: the audience itself ends in one.
            Audience::Monitor => "https://monitor.azure.com//.default".to_owned(),
            Audience::Metrics => "https://metrics.monitor.azure.com/.default".to_owned(),
        })
    }

    /// The name that Azure's command line has for this cloud.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Public => "AzureCloud",
            Self::China => "AzureChinaCloud",
            Self::UsGovernment => "AzureUSGovernment",
        }
    }

    /// The cloud to which a token issuer belongs, by its address; `None` for one that is in none of them.
    ///
    /// ```
    /// use mlops_azure::config::Cloud;
    /// assert_eq!(Cloud::of_authority("https://login.microsoftonline.us/"), Some(Cloud::UsGovernment));
    /// assert_eq!(Cloud::of_authority("https://login.example.com"), None);
    /// ```
    pub fn of_authority(authority: &str) -> Option<Self> {
        let host = authority.strip_prefix("https://").unwrap_or(authority).trim_end_matches('/');
        Self::ALL.into_iter().find(|cloud| cloud.authority().eq_ignore_ascii_case(host))
    }
}

/// What kind of service a token is for.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Audience {
    /// Resource Manager; MLflow and run history too.
    ResourceManager,
    /// Scoring, batch invocation, and the token that pipeline jobs carry.
    MachineLearning,
    /// Blobs and Data Lake.
    Storage,
    /// Key Vault's secrets.
    KeyVault,
    /// Publishing to Event Grid.
    EventGrid,
    /// Application Insights.
    Monitor,
    /// Metrics of many resources at once.
    Metrics,
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Cloud {
    type Err = Error;

    /// Reads the names of Azure's command line (`AzureCloud`) and this crate's own (`us_government`), in any case.
    fn from_str(text: &str) -> Result<Self> {
        let own = |cloud: &Self| match cloud {
            Self::Public => "public",
            Self::China => "china",
            Self::UsGovernment => "us_government",
        };
        let is =
            |cloud: &Self| text.eq_ignore_ascii_case(cloud.name()) || text.eq_ignore_ascii_case(own(cloud));
        let reason = "is none of AzureCloud, AzureChinaCloud and AzureUSGovernment";
        Self::ALL
            .into_iter()
            .find(is)
            .ok_or_else(|| Error::invalid("Cloud::from_str", "cloud", reason).with("value", text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_are_refused() {
        for cloud in Cloud::ALL {
            assert_eq!(cloud.to_string().parse::<Cloud>().unwrap(), cloud);
            assert_eq!(cloud.name().to_uppercase().parse::<Cloud>().unwrap(), cloud);
            assert_eq!(Cloud::of_authority(cloud.authority()), Some(cloud));
        }
        assert_eq!("us_government".parse::<Cloud>().unwrap(), Cloud::UsGovernment);
        for bad in ["", "azure", "AzureGermanCloud"] {
            assert_eq!(bad.parse::<Cloud>().unwrap_err().context("field"), Some("cloud"));
        }
    }

    #[test]
    fn every_scope_of_every_cloud_is_one() {
        let audiences = [
            Audience::ResourceManager,
            Audience::MachineLearning,
            Audience::Storage,
            Audience::KeyVault,
            Audience::EventGrid,
            Audience::Monitor,
            Audience::Metrics,
        ];
        for cloud in Cloud::ALL {
            for audience in audiences {
                let scope = cloud.scope(audience);
                assert!(Scope::new(scope.as_str()).is_ok(), "{scope}");
            }
        }
    }
}
