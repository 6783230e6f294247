//! A folder of code on this machine, brought to where Azure wants it.
//!
//! # Version, permission, and what differs
//! The place is handed out by Resource Manager, Azure Machine Learning [`API_VERSION`](crate::config::API_VERSION), for
//! `Microsoft.MachineLearningServices/workspaces/codes/versions/write` (the role `AzureML Data Scientist`), with a signature of some
//! hours; blobs are written in version 2023-11-03, and are there at once. The local backend runs code where it is and uploads none.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::governance::Secret;
use mlops_core::hash::Digest;
use mlops_core::{Error, ErrorKind, Result};
use reqwest::Url;

use super::account::StorageAccount;
use super::container::Container;
use super::credential::StorageCredential;
use super::folder::LocalTree;
use super::ignore::IgnoreRules;
use super::upload::{AT_ONCE, Conversation, Files, Label, Upload, Uploaded};
use crate::environment::code::{CodeSource, PendingUpload, VERSION, name_of};
use crate::http::{HttpTransport, RetryPolicy, StorageHosts};

/// A folder of code on this machine, read through once, as jobs run it. Cheap to clone.
///
/// [`Codes::register`](crate::environment::Codes::register) puts it into the place that the service hands out, below the name of the
/// folder, and registers it under its digest. An upload that was cut off is resumed by the next one, as every upload here is
/// ([`upload`](super::upload)); what Azure has already is not sent, not even looked at.
///
/// What it takes, of Resource Manager and of storage:
///
/// | | new code | code that Azure has |
/// |---|---|---|
/// | one file of up to 1 MiB | 2 and 1 | 2 and 2 |
/// | one file of up to 8 MiB | 3 and 1 | 1 and 0 |
/// | *n* files | 3 and *n* + 1 | 1 and 0 |
/// | [asked for first](Self::ask_first), whatever it is | one more of Resource Manager | 1 and 0 |
///
/// Code that this process knows takes nothing.
///
/// What the folder's `.amlignore`, or else its `.gitignore`, leaves out is left behind ([`IgnoreRules`]). The hash that is registered
/// is the one that the official SDK writes ([`LocalTree::snapshot_hash`]).
///
/// ```no_run
/// use std::path::Path;
/// use mlops_azure::job::Jobs;
/// use mlops_azure::storage::LocalCode;
/// use mlops_azure::wire::CommandJob;
/// # async fn f(jobs: Jobs) -> mlops_core::Result<()> {
/// let code = LocalCode::read(Path::new("src")).await?;
/// let id = jobs.codes().register(&code).await?;
/// jobs.submit("train-1", CommandJob::new("python train.py", "azureml:train:3").with_code(id)).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct LocalCode {
    tree: Arc<LocalTree>,
    snapshot: Digest,
    transport: Option<Arc<dyn HttpTransport>>,
    retry: RetryPolicy,
    hosts: StorageHosts,
    at_once: usize,
    ask_first: bool,
}

/// Code of one file that is not longer is sent without a question whether it is there.
const SHORT: u64 = 1 << 20;

impl LocalCode {
    /// Reads a folder through, but for what its file of rules leaves out.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a file, and as [`IgnoreRules::of`] and [`LocalTree::read`].
    pub async fn read(folder: &Path) -> Result<Self> {
        Self::read_with(folder, IgnoreRules::of(folder)?).await
    }

    /// The same with rules of one's own.
    ///
    /// # Errors
    /// As of [`read`](Self::read).
    pub async fn read_with(folder: &Path, rules: IgnoreRules) -> Result<Self> {
        let tree = Arc::new(LocalTree::read_with(folder, rules).await?);
        if !tree.is_folder() {
            let error = Error::invalid("LocalCode::read", "folder", "must be a folder, not a file");
            return Err(error.with("path", folder.display()));
        }
        let snapshot = tree.snapshot_hash().await?;
        let ask_first = tree.manifest().entries().len() > 1 || tree.size() > SHORT;
        let (retry, at_once) = (RetryPolicy::default(), AT_ONCE);
        let hosts = StorageHosts::azure();
        Ok(Self { tree, snapshot, transport: None, retry, hosts, at_once, ask_first })
    }

    /// Whether Azure is asked for the code before it is sent. If nothing is set: not for a single file of up to 1 MiB.
    ///
    /// To ask saves the upload of what is there, and is one call in vain for what is new.
    #[must_use]
    pub fn ask_first(mut self, ask: bool) -> Self {
        self.ask_first = ask;
        self
    }

    /// Sends to storage through this transport.
    #[must_use]
    pub fn transport(mut self, transport: Arc<dyn HttpTransport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// What of the requests to storage is tried again.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Lets the service name places at these hosts; if nothing is set, at storages of Azure's clouds.
    #[must_use]
    pub fn storage_hosts(mut self, hosts: StorageHosts) -> Self {
        self.hosts = hosts;
        self
    }

    /// So many files at once, of 1 to 64.
    pub(super) fn at_once(mut self, files: usize) -> Self {
        self.at_once = files;
        self
    }

    /// What was read.
    pub fn tree(&self) -> &LocalTree {
        &self.tree
    }

    /// Brings the code to its place, under the name and version that it will have.
    pub(super) async fn send(
        &self,
        operation: &'static str,
        to: &PendingUpload,
        label: &Label<'_>,
    ) -> Result<Uploaded> {
        let place = CodePlace::of(operation, to, &self.hosts)?;
        let mut builder = Container::builder(place.account, place.container, place.credential);
        if let Some(transport) = &self.transport {
            builder = builder.transport(transport.clone());
        }
        let container = builder.retry(self.retry.clone()).build()?;
        let root = format!("{}{}", place.prefix, self.tree.name());
        let upload = Upload {
            operation,
            container: &container,
            root: &root,
            files: Files::Local(&self.tree),
            at_once: self.at_once,
            conversation: Conversation::Short,
        };
        let mut uploaded = upload.send(&label.metadata()).await?;
        // Assets name the place as the service spells it.
        uploaded.url = format!("{}/{}", place.uri, self.tree.name());
        uploaded.snapshot = Some(self.snapshot);
        Ok(uploaded)
    }
}

impl fmt::Debug for LocalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, digest) = (self.tree.name(), self.tree.digest());
        f.debug_struct("LocalCode").field("name", &name).field("digest", digest).finish_non_exhaustive()
    }
}

#[async_trait]
impl CodeSource for LocalCode {
    async fn digest(&self) -> Result<Digest> {
        Ok(*self.tree.digest())
    }

    async fn snapshot_hash(&self) -> Result<Digest> {
        Ok(self.snapshot)
    }

    async fn upload(&self, to: &PendingUpload) -> Result<String> {
        let label = Label { name: &name_of(self.tree.digest()), version: VERSION };
        self.send("LocalCode::upload", to, &label).await?;
        Ok(self.tree.name().to_owned())
    }

    fn ask_first(&self) -> bool {
        self.ask_first
    }
}

/// Where code goes.
struct CodePlace {
    account: StorageAccount,
    container: String,
    /// The path in the container, with a slash at its end, or nothing.
    prefix: String,
    /// How assets name the place.
    uri: String,
    credential: StorageCredential,
}

impl CodePlace {
    fn of(operation: &'static str, pending: &PendingUpload, hosts: &StorageHosts) -> Result<Self> {
        let bad = |message: &str| Error::new(ErrorKind::Protocol, operation, message);
        let url = pending.signed.url_at(operation, hosts)?;
        let query = url.query().ok_or_else(|| bad("the place for the code has no signature"))?;
        let credential = StorageCredential::sas(&Secret::new(query))?;
        let host = url.host_str().unwrap_or_default();
        let account = host.split('.').next().unwrap_or_default();
        let base = url.origin().ascii_serialization();
        let account = StorageAccount::at(account, &base)?;
        let path = url.path().trim_matches('/');
        let (container, prefix) = path.split_once('/').unwrap_or((path, ""));
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let uri = pending.blob_uri.split('?').next().unwrap_or_default().trim_end_matches('/').to_owned();
        let same = Url::parse(&uri).is_ok_and(|uri| uri.origin() == url.origin());
        if !same {
            return Err(bad("the place for the code and its signature are at two hosts"));
        }
        Ok(Self { account, container: container.to_owned(), prefix, uri, credential })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::history::SignedUrl;

    fn pending(blob: &str, sas: &str) -> PendingUpload {
        PendingUpload { blob_uri: blob.to_owned(), signed: SignedUrl::new(sas) }
    }

    #[test]
    fn the_place_for_code_is_read_from_its_addresses() {
        let place = CodePlace::of(
            "op",
            &pending(
                "https://sa1.blob.core.windows.net/c1/",
                "https://sa1.blob.core.windows.net/c1?sv=1&sig=hunter2",
            ),
            &StorageHosts::azure(),
        )
        .unwrap();
        assert_eq!(
            (place.account.name(), place.container.as_str(), place.prefix.as_str()),
            ("sa1", "c1", "")
        );
        assert_eq!(place.uri, "https://sa1.blob.core.windows.net/c1");
        let place = CodePlace::of(
            "op",
            &pending(
                "https://sa1.blob.core.windows.net/c1/x",
                "https://sa1.blob.core.windows.net/c1/x?sig=hunter2",
            ),
            &StorageHosts::azure(),
        )
        .unwrap();
        assert_eq!((place.container.as_str(), place.prefix.as_str()), ("c1", "x/"));
        for (blob, sas) in [
            ("https://sa1.blob.core.windows.net/c1", "https://sa1.blob.core.windows.net/c1"),
            ("https://sa1.blob.core.windows.net/c1", "https://sa1.blob.core.windows.net/c1?sv=hunter2"),
            ("https://sa1.blob.core.windows.net/c1", "http://sa1.blob.core.windows.net/c1?sig=hunter2"),
            ("https://sa1.blob.core.windows.net/c1", "https://evil.example/c1?sig=hunter2"),
            // Both at one host, which is in nobody's cloud.
            ("https://evil.example/c1", "https://evil.example/c1?sig=hunter2"),
            ("https://10.0.0.7/c1", "https://10.0.0.7/c1?sig=hunter2"),
            ("https://sa1.blob.core.windows.net/c1", "hunter2"),
        ] {
            let error = CodePlace::of("op", &pending(blob, sas), &StorageHosts::azure()).err().unwrap();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_file_is_no_folder_of_code() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("train.py");
        std::fs::write(&file, "print(1)").unwrap();
        let error = LocalCode::read(&file).await.unwrap_err();
        assert_eq!((error.kind(), error.context("field")), (ErrorKind::InvalidInput, Some("folder")));
    }
}
