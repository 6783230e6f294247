//! Where code may be put: `startPendingUpload`.

use std::fmt;

use mlops_core::Result;
use mlops_core::governance::Secret;
use serde::{Deserialize, Deserializer, Serialize};

use super::asset::CodeVersion;
use super::place::At;
use super::resource::Resource;
use crate::http::{Call, Repeat};

/// What asks for a place for code: POST `…/startPendingUpload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StartPendingUpload {
    /// In which way.
    pub pending_upload_type: &'static str,
}

impl Default for StartPendingUpload {
    fn default() -> Self {
        Self { pending_upload_type: "TemporaryBlobReference" }
    }
}

/// Asks for a place for a version of code. It may be asked again: a place that nobody uses is forgotten.
///
/// # Errors
/// None in practice: the body is fixed.
///
/// ```
/// use mlops_azure::config::Workspace;
/// use mlops_azure::wire::{Place, pending_upload};
/// let workspace = Workspace::new("00000000-0000-0000-0000-000000000000", "rg", "mlw-churn")?;
/// let code = Place::from(&workspace).code("e0586a8a-a934-4e58-aee4-a0059f998acf", "1")?;
/// let call = pending_upload::start("example", &code)?;
/// assert!(call.target().contains("/versions/1/startPendingUpload?api-version="));
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub fn start(operation: &'static str, code: &At<Resource<CodeVersion>>) -> Result<Call<PendingUpload>> {
    let call = code.act(operation, "startPendingUpload")?.repeat(Repeat::Safe);
    call.json(&StartPendingUpload::default())
}

/// The place for code: an address, and a signature for it. `Debug` does not show the signature.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingUpload {
    /// The service's id of the place.
    #[serde(default)]
    pub pending_upload_id: Option<String>,
    /// Where it is.
    pub blob_reference_for_consumption: BlobReference,
}

/// An address of blobs, and a signature for it. `Debug` does not show the signature.
///
/// ```
/// use mlops_azure::wire::pending_upload::PendingUpload;
/// let answer = r#"{"pendingUploadId":"p","pendingUploadType":"TemporaryBlobReference","blobReferenceForConsumption":
///     {"blobUri":"https://sa.blob.core.windows.net/c","storageAccountArmId":"/x",
///      "credential":{"credentialType":"SAS","sasUri":"https://sa.blob.core.windows.net/c?sv=1&sig=hunter2"}}}"#;
/// let upload: PendingUpload = serde_json::from_str(answer)?;
/// let place = &upload.blob_reference_for_consumption;
/// assert!(place.sas_uri.as_ref().is_some_and(|uri| uri.expose().ends_with("sig=hunter2")));
/// assert!(!format!("{upload:?}").contains("hunter2"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlobReference {
    /// The address under which assets name it.
    pub blob_uri: String,
    /// The Resource Manager id of the account.
    #[serde(default)]
    pub storage_account_arm_id: Option<String>,
    /// The same address with a signature that lets whoever has it write; `None` where the service gives none.
    #[serde(default, rename = "credential", deserialize_with = "sas_uri")]
    pub sas_uri: Option<Secret>,
}

fn sas_uri<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<Secret>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Raw {
        #[serde(default)]
        sas_uri: Option<String>,
    }
    Ok(Option::<Raw>::deserialize(deserializer)?.and_then(|raw| raw.sas_uri).map(Secret::new))
}

impl fmt::Debug for BlobReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A service that put a signature into the address itself would have it shown, too.
        let uri = self.blob_uri.split('?').next().unwrap_or_default();
        f.debug_struct("BlobReference").field("blob_uri", &uri).finish_non_exhaustive()
    }
}

impl fmt::Debug for PendingUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingUpload")
            .field("pending_upload_id", &self.pending_upload_id)
            .field("blob_reference_for_consumption", &self.blob_reference_for_consumption)
            .finish()
    }
}
