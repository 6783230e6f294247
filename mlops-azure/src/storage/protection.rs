//! What an account does with blobs that are removed or overwritten: soft delete and versions.
//!
//! # Version, permission, and what differs
//! Resource Manager, `Microsoft.Storage` [`VERSION`](crate::wire::blob_service::VERSION). The actions
//! `Microsoft.Storage/storageAccounts/blobServices/read` and `…/write`, such as the role `Storage Account Contributor` has. There is
//! no condition on a write: of two that change the settings at once the last one wins. A change takes up to a minute to be in force.
//! Core's local store has nothing like it: there, what garbage collection removes is gone.

use mlops_core::Result;

use crate::http::Service;
use crate::wire::Resource;
use crate::wire::blob_service::{BlobService, BlobServiceAt, Retention};

/// The settings of one storage account.
///
/// ```no_run
/// use mlops_azure::storage::{Protection, ProtectionSettings};
/// # async fn f(arm: mlops_azure::http::Service) -> mlops_core::Result<()> {
/// let protection = Protection::new(arm, "00000000-0000-0000-0000-000000000000", "rg-ml", "stchurn")?;
/// let settings = ProtectionSettings::default().with_soft_delete(Some(14)).with_versions(true);
/// protection.set(&settings).await?;
/// assert_eq!(protection.get().await?.soft_delete, Some(14));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Protection {
    service: Service,
    at: BlobServiceAt,
}

/// How blobs are protected.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProtectionSettings {
    /// For how many days a removed blob is kept; `None` removes it at once.
    pub soft_delete: Option<u32>,
    /// For how many days a removed container is kept; `None` removes it at once.
    pub container_soft_delete: Option<u32>,
    /// Whether what is overwritten is kept as an earlier version. Accounts with a hierarchical namespace refuse it.
    pub versions: bool,
}

impl ProtectionSettings {
    /// Keeps removed blobs for so many days.
    #[must_use]
    pub fn with_soft_delete(mut self, days: Option<u32>) -> Self {
        self.soft_delete = days;
        self
    }

    /// Keeps removed containers for so many days.
    #[must_use]
    pub fn with_container_soft_delete(mut self, days: Option<u32>) -> Self {
        self.container_soft_delete = days;
        self
    }

    /// Keeps what is overwritten.
    #[must_use]
    pub fn with_versions(mut self, yes: bool) -> Self {
        self.versions = yes;
        self
    }
}

impl Protection {
    /// The settings of an account; `service` is Resource Manager.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) that names the part that Azure would refuse.
    pub fn new(service: Service, subscription: &str, resource_group: &str, account: &str) -> Result<Self> {
        Ok(Self { service, at: BlobServiceAt::new(subscription, resource_group, account)? })
    }

    /// Reads the settings.
    ///
    /// # Errors
    /// Those of the service.
    pub async fn get(&self) -> Result<ProtectionSettings> {
        let resource = self.service.call(self.at.get("Protection::get")).await?;
        Ok(read(&resource.properties))
    }

    /// Changes the settings: reads all of the account's, changes these, and writes all of them back.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for days that are not from 1 to 365, before anything is
    /// sent; those of the service.
    pub async fn set(&self, settings: &ProtectionSettings) -> Result<ProtectionSettings> {
        const OP: &str = "Protection::set";
        let blobs = retention(settings.soft_delete)?;
        let containers = retention(settings.container_soft_delete)?;
        let mut resource: Resource<BlobService> = self.service.call(self.at.get(OP)).await?;
        let properties = &mut resource.properties;
        change(&mut properties.delete_retention_policy, blobs);
        change(&mut properties.container_delete_retention_policy, containers);
        properties.is_versioning_enabled = Some(settings.versions);
        let written = self.service.call(self.at.put(OP, &resource)?).await?;
        Ok(read(&written.properties))
    }
}

fn retention(days: Option<u32>) -> Result<Retention> {
    days.map_or(Ok(Retention::off()), Retention::days)
}

/// Changes what is known of a policy and leaves what is not.
fn change(policy: &mut Option<Retention>, to: Retention) {
    let other = policy.take().map(|policy| policy.other).unwrap_or_default();
    *policy = Some(Retention { other, ..to });
}

fn read(properties: &BlobService) -> ProtectionSettings {
    let days = |policy: &Option<Retention>| {
        policy.as_ref().filter(|policy| policy.enabled == Some(true)).and_then(|policy| policy.days)
    };
    ProtectionSettings {
        soft_delete: days(&properties.delete_retention_policy),
        container_soft_delete: days(&properties.container_delete_retention_policy),
        versions: properties.is_versioning_enabled.unwrap_or_default(),
    }
}
