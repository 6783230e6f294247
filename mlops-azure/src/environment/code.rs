//! Folders of code.
//!
//! Resource Manager, version [`API_VERSION`](crate::config::API_VERSION): `…/workspaces/codes/versions/read` and `…/write`, which the role
//! `AzureML Data Scientist` has. A version is there as soon as it was written, and cannot be changed. The local backend runs code where it
//! is, and keeps its digest alone.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::hash::Digest;
use mlops_core::{Error, ErrorKind, Result};

use super::{Known, guid};
use crate::config::Workspace;
use crate::data::once::is_taken;
use crate::http::Service;
use crate::wire::history::SignedUrl;
use crate::wire::pending_upload::{self, BlobReference};
use crate::wire::{At, CodeVersion, Place, Resource};

/// A folder of code that can be brought to Azure. With the feature `storage`, `storage::LocalCode` is one on this machine.
///
/// # Contract
/// * [`digest`](Self::digest) is of the whole content: equal for equal content alone, on every machine.
/// * [`upload`](Self::upload) returns when everything is there. Called again it may find a part of it, and leaves that as it is.
/// * The signature of the address appears in no error, and goes to no other host. That the host is a storage is checked before anything
///   is sent there, as [`SignedUrl::url_at`] does it.
#[async_trait]
pub trait CodeSource: fmt::Debug + Send + Sync + 'static {
    /// The digest of the content.
    async fn digest(&self) -> Result<Digest>;

    /// The hash with which the code is registered, by which the official SDK finds code: that of a snapshot in version 202208. If nothing
    /// is said, it is the [`digest`](Self::digest), and the official SDK does not find the code.
    async fn snapshot_hash(&self) -> Result<Digest> {
        self.digest().await
    }

    /// Puts the content into a container, and says in which folder of it.
    async fn upload(&self, to: &PendingUpload) -> Result<String>;

    /// Whether Azure is asked for the code before it is sent, as it is if nothing is said. For content that is sent with one request,
    /// the question costs as much as the answer saves.
    fn ask_first(&self) -> bool {
        true
    }
}

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn CodeSource) {}

/// Where content that is about to be registered goes.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct PendingUpload {
    /// The container's address, without a signature.
    pub blob_uri: String,
    /// The same with a signature that lets content be written for a while.
    pub signed: SignedUrl,
}

impl PendingUpload {
    /// A place for code, and the URL that may write there.
    pub fn new(blob_uri: impl Into<String>, signed: SignedUrl) -> Self {
        Self { blob_uri: blob_uri.into(), signed }
    }
}

/// Asks where a version of code goes. Asked twice, the service answers with the upload that it has begun.
pub(crate) async fn begin(
    arm: &Service,
    operation: &'static str,
    at: &At<Resource<CodeVersion>>,
) -> Result<PendingUpload> {
    let started = arm.call(pending_upload::start(operation, at)?).await?;
    let BlobReference { blob_uri, sas_uri, .. } = started.blob_reference_for_consumption;
    let missing =
        || Error::new(ErrorKind::Protocol, operation, "the service gives no signature for the code");
    let signed = SignedUrl::new(sas_uri.ok_or_else(missing)?.expose());
    signed.well_formed(operation)?;
    Ok(PendingUpload { blob_uri, signed })
}

/// The name of code: its digest, as the service wants names of what has none.
pub(crate) fn name_of(digest: &Digest) -> String {
    guid(digest)
}

/// The one version that code has.
pub(crate) const VERSION: &str = "1";

/// The code of a workspace. Cheap to clone.
///
/// Code has no name of its own: it is found by the digest of its content, in this process without a call.
#[derive(Clone, Debug)]
pub struct Codes {
    arm: Service,
    place: Place,
    known: Arc<Known>,
}

const OP: &str = "Codes::register";

impl Codes {
    /// Those of a workspace.
    pub fn new(arm: Service, workspace: &Workspace) -> Self {
        Self { arm, place: Place::from(workspace), known: Arc::default() }
    }

    /// The id of a folder of code, which is uploaded and registered if Azure does not have it. None of it takes a call if this process
    /// knows the code. Otherwise, beside the upload:
    ///
    /// | | Azure has it | it is new |
    /// |---|---|---|
    /// | [asked for first](CodeSource::ask_first) | 1, and no upload | 3 |
    /// | sent at once | 2 or 3, and an upload that finds everything there | 2 |
    ///
    /// # Errors
    /// Those of the [`CodeSource`]; [`ErrorKind::Integrity`] where the service has other content under this digest;
    /// [`ErrorKind::Protocol`] for an answer that does not say where to upload.
    pub async fn register(&self, code: &dyn CodeSource) -> Result<String> {
        let digest = code.digest().await?;
        if let Some(id) = self.known.get(&digest) {
            return Ok(id);
        }
        let at = self.place.code(&name_of(&digest), VERSION)?;
        let snapshot = code.snapshot_hash().await?;
        if !code.ask_first() || !self.has(&at, &snapshot).await? {
            self.send(&at, &snapshot, code).await?;
        }
        self.known.insert(digest, at.id());
        Ok(at.id().to_owned())
    }

    /// Whether the service has the code.
    async fn has(&self, at: &At<Resource<CodeVersion>>, snapshot: &Digest) -> Result<bool> {
        match self.arm.call(at.get(OP)).await {
            Ok(there) if there.properties.properties.get("hash_sha256") == Some(&snapshot.hex()) => Ok(true),
            Ok(_) => {
                let message = "the service has other code under the digest of this one";
                Err(Error::new(ErrorKind::Integrity, OP, message).with("id", at.id()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Uploads the code and registers it. That it is registered already, and lies elsewhere, is no failure.
    async fn send(
        &self,
        at: &At<Resource<CodeVersion>>,
        snapshot: &Digest,
        code: &dyn CodeSource,
    ) -> Result<()> {
        let put = async {
            let pending = begin(&self.arm, OP, at).await?;
            let folder = code.upload(&pending).await?;
            let container = pending.blob_uri.trim_end_matches('/');
            let version = CodeVersion::new(format!("{container}/{folder}"), snapshot.hex());
            self.arm.call(at.put(OP, &Resource::new(version))?).await
        };
        match put.await {
            Ok(_) => Ok(()),
            Err(error) if is_taken(&error) => match self.has(at, snapshot).await? {
                true => Ok(()),
                false => Err(error),
            },
            Err(error) => Err(error),
        }
    }
}
