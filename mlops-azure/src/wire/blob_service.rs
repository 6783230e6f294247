//! What a storage account does with blobs that are removed or overwritten: `blobServices/default`.

use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::quiet::Members;
use super::resource::{Properties, Resource};
use crate::config::name::{check, is_guid, is_resource_group};
use crate::http::Call;

/// The version of the storage provider's Resource Manager API.
pub const VERSION: &str = "2026-04-01";

/// For how long something that was removed is kept.
///
/// ```
/// use mlops_azure::wire::blob_service::Retention;
/// assert!(Retention::days(14).is_ok() && Retention::days(0).is_err() && Retention::days(366).is_err());
/// assert_eq!(serde_json::to_string(&Retention::off())?, r#"{"enabled":false}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// Whether it is kept at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// For how many days, 1 to 365.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl Retention {
    /// Kept for so many days.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a number that is not from 1 to 365.
    pub fn days(days: u32) -> Result<Self> {
        match (1..=365).contains(&days) {
            true => Ok(Self { enabled: Some(true), days: Some(days), other: Members::new() }),
            false => {
                Err(Error::invalid("Retention::days", "days", "must be from 1 to 365").with("value", days))
            }
        }
    }

    /// Not kept.
    pub fn off() -> Self {
        Self { enabled: Some(false), ..Self::default() }
    }
}

/// The settings of an account's blobs. Members that are not here are kept as they are read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BlobService {
    /// Soft delete of blobs, of their versions and snapshots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_retention_policy: Option<Retention>,
    /// Soft delete of containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_delete_retention_policy: Option<Retention>,
    /// Whether what is overwritten is kept as an earlier version. Accounts with a hierarchical namespace (Data Lake) refuse it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_versioning_enabled: Option<bool>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl Properties for BlobService {
    const READ_ONLY: &'static [&'static str] = &[];
}

/// The calls about one account's settings.
///
/// ```
/// use mlops_azure::wire::blob_service::BlobServiceAt;
/// let at = BlobServiceAt::new("00000000-0000-0000-0000-000000000000", "rg", "stchurn")?;
/// assert!(at.get("example").target().ends_with("/storageAccounts/stchurn/blobServices/default?api-version=2026-04-01"));
/// assert!(BlobServiceAt::new("00000000-0000-0000-0000-000000000000", "rg", "../x").is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobServiceAt {
    path: String,
}

impl BlobServiceAt {
    /// Those of an account.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) that names the part that Azure would refuse.
    pub fn new(subscription: &str, resource_group: &str, account: &str) -> Result<Self> {
        const OP: &str = "BlobServiceAt::new";
        check(OP, "subscription", subscription, is_guid(subscription), "must be a GUID")?;
        let group = "must have 1 to 90 letters, digits, -, _, ., ( or ) and not end in a dot";
        check(OP, "resource_group", resource_group, is_resource_group(resource_group), group)?;
        let fits = (3..=24).contains(&account.len())
            && account.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        check(OP, "account", account, fits, "must have 3 to 24 lower-case letters and digits")?;
        let path = format!(
            "/subscriptions/{}/resourceGroups/{resource_group}/providers/Microsoft.Storage/storageAccounts/{account}/blobServices/default",
            subscription.to_ascii_lowercase()
        );
        Ok(Self { path })
    }

    /// Reads them.
    pub fn get(&self, operation: &'static str) -> Call<Resource<BlobService>> {
        Call::get(operation, &self.path).query("api-version", VERSION)
    }

    /// Writes them all.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a body that JSON cannot hold.
    pub fn put(
        &self,
        operation: &'static str,
        settings: &Resource<BlobService>,
    ) -> Result<Call<Resource<BlobService>>> {
        let mut body = settings.body()?;
        // The service says these of the account, and takes them from nobody here.
        if let Some(body) = body.as_object_mut() {
            ["sku", "tags", "location", "identity"].iter().for_each(|name| drop(body.remove(*name)));
        }
        Ok(Call::put(operation, &self.path, &body)?.query("api-version", VERSION))
    }
}
