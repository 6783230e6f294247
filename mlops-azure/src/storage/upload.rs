//! Uploads as the official SDK makes them, so that both find what the other one uploaded where they look for it.
//!
//! Data, models and build contexts of environments go to a datastore, below `LocalUpload/{digest}/{name}`. The first file, by its
//! path, has in its metadata whether everything is there, and the name and version of the asset that it was uploaded for. Code goes
//! to a place that the service hands out ([`Uploads::code`]).
//!
//! | | requests |
//! |---|---|
//! | the datastore and its secret | 2, once an hour |
//! | one file of up to 8 MiB | look, write with its MD5 on condition that it is not there, mark: 3 |
//! | *n* files | look, list, *n* writes, mark: *n* + 3 |
//! | what is there already | look: 1 |
//! | code of one file of up to 8 MiB | write with its MD5 and the mark on condition that it is not there: 1 |
//! | code of *n* files | list, *n* writes, the last one with the mark: *n* + 1 |
//! | a tree of an artifact store of *n* files ([`Uploads::stored`]) | list, *n* writes, the last one with the mark: *n* + 1 |
//! | such a tree that is there already | list, look: 2 |
//! | one content of an artifact store | look, write with the mark: 2, or 1 where it is there already |
//!
//! # Resumed
//! A call that was cut off is made again: files that are there, with their length and MD5, are not sent; of a file of more than
//! 8 MiB only the blocks that are missing. Nothing is marked as complete before everything is there.
//!
//! # Version, permission, and what differs
//! Datastores are asked for in Resource Manager, Azure Machine Learning [`API_VERSION`](crate::config::API_VERSION), blobs are written in
//! version 2023-11-03. Whoever may ask for the datastore's secret may upload, or `Storage Blob Data Contributor` for a datastore without
//! credentials. Blobs are there at once. The local backend has one folder, and content by its digest alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _};
use mlops_core::artifact::{ArtifactStore, Blob, Entry, Manifest};
use mlops_core::hash::Digest;
use mlops_core::{Error, ErrorKind, RelPath, Result};

use super::code::LocalCode;
use super::container::{BlobProperties, Condition, Container, Listed, PIECE};
use super::content::{Sending, Source, Took, md5_of, unreadable};
use super::datastore::Datastores;
use super::folder::LocalTree;
use crate::artifact::spool::Spool;
use crate::config::name::{check, is_asset};
use crate::environment::code::begin;
use crate::wire::{CodeVersion, Place};

/// The folder of what is uploaded to datastores.
const FOLDER: &str = "LocalUpload";

/// The metadata that says that everything is there.
const STATUS: &str = "upload_status";

/// The metadata with the SHA-256 of a file that came from an artifact store, in hexadecimal digits.
const SHA: &str = "mlops_sha256";

/// How many files are sent at once, where nothing else is set.
pub(super) const AT_ONCE: usize = 4;

/// How often a file is looked at again because somebody else writes it.
const TRIES: usize = 4;

/// Uploads to the datastores of a workspace. Cheap to clone.
///
/// ```no_run
/// use std::path::Path;
/// use mlops_azure::storage::{Datastores, Uploads};
/// # async fn f(datastores: Datastores) -> mlops_core::Result<()> {
/// let uploads = Uploads::new(datastores);
/// let uploaded = uploads.asset("workspaceblobstore", Path::new("data/churn"), "churn", "1").await?;
/// println!("{}", uploaded.data_uri());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Uploads {
    datastores: Datastores,
    at_once: usize,
}

/// What was uploaded, and where it is. No secret is in it.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploaded {
    /// The datastore; `None` for code, whose place has no name.
    pub datastore: Option<String>,
    /// The path in the container, without a slash at its end.
    pub path: String,
    /// The address of it, without a signature and without a slash at its end.
    pub url: String,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// What names the content.
    pub digest: Digest,
    /// Of code: the hash that it is registered with.
    pub snapshot: Option<Digest>,
    /// How many files it has.
    pub files: usize,
    /// How many files were sent, in whole or in part.
    pub sent_files: usize,
    /// How many bytes were sent.
    pub sent_bytes: u64,
    /// How many bytes were there already.
    pub kept_bytes: u64,
}

impl Uploaded {
    /// How data assets name it: `azureml://datastores/{datastore}/paths/{path}`. For code, its address.
    pub fn data_uri(&self) -> String {
        match &self.datastore {
            Some(datastore) => format!("azureml://datastores/{datastore}/paths/{}", self.path),
            None => self.url.clone(),
        }
    }

    /// How models name it: with the workspace in it.
    pub fn model_uri(&self, place: &Place) -> String {
        let long = self.datastore.as_ref().and_then(|datastore| long_uri(place, datastore, &self.path));
        long.unwrap_or_else(|| self.data_uri())
    }

    /// How environments name their build context: the address, with a slash at its end.
    pub fn context_uri(&self) -> String {
        format!("{}/", self.url)
    }

    /// A version of code that is this, with the hash that the official SDK writes, too ([`LocalTree::snapshot_hash`]).
    pub fn code(&self) -> CodeVersion {
        CodeVersion::new(self.url.clone(), self.snapshot.unwrap_or(self.digest).hex())
    }
}

/// The URI of a path of a workspace's datastore with the workspace in it.
pub(super) fn long_uri(place: &Place, datastore: &str, path: &str) -> Option<String> {
    let parts: Vec<&str> = place.id().split('/').collect();
    match parts.as_slice() {
        ["", "subscriptions", subscription, _, group, "providers", _, kind, name] => Some(format!(
            "azureml://subscriptions/{subscription}/resourcegroups/{group}/{kind}/{name}/datastores/{datastore}/paths/{path}"
        )),
        _ => None,
    }
}

/// For what something is uploaded; it is written beside the content.
pub(super) struct Label<'a> {
    pub name: &'a str,
    pub version: &'a str,
}

impl Label<'_> {
    /// What is written on the first file when everything is there.
    pub fn metadata(&self) -> Vec<(&'static str, String)> {
        let [status] = completed();
        vec![status, ("x-ms-meta-name", self.name.to_owned()), ("x-ms-meta-version", self.version.to_owned())]
    }
}

/// The mark that everything is there.
fn completed() -> [(&'static str, String); 1] {
    [("x-ms-meta-upload_status", "completed".to_owned())]
}

impl Uploads {
    /// Uploads to these datastores.
    pub fn new(datastores: Datastores) -> Self {
        Self { datastores, at_once: AT_ONCE }
    }

    /// Sends so many files at once, 1 to 64; each holds up to 40 MiB in memory.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for another number.
    pub fn with_at_once(mut self, files: usize) -> Result<Self> {
        if !(1..=64).contains(&files) {
            let error = Error::invalid("Uploads::with_at_once", "files", "must be from 1 to 64");
            return Err(error.with("value", files));
        }
        self.at_once = files;
        Ok(self)
    }

    /// The datastores.
    pub fn datastores(&self) -> &Datastores {
        &self.datastores
    }

    /// Uploads a file or a folder for a version of a data asset, a model or an environment. The asset itself is not made.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a name or a version that no asset can have, and as [`LocalTree::read`];
    /// [`ErrorKind::Conflict`] for a file that changes while it is sent; those of the datastore and of storage.
    pub async fn asset(&self, datastore: &str, source: &Path, name: &str, version: &str) -> Result<Uploaded> {
        let tree = LocalTree::read(source).await?;
        self.tree(datastore, &tree, name, version).await
    }

    /// As [`asset`](Self::asset), of what was read already.
    ///
    /// # Errors
    /// As of [`asset`](Self::asset).
    pub async fn tree(
        &self,
        datastore: &str,
        tree: &LocalTree,
        name: &str,
        version: &str,
    ) -> Result<Uploaded> {
        const OP: &str = "Uploads::asset";
        let label = label(OP, name, version)?;
        let container = self.datastores.container(datastore).await?;
        let root = format!("{FOLDER}/{}/{}", tree.digest().hex(), tree.name());
        let upload = Upload {
            operation: OP,
            container: &container,
            root: &root,
            files: Files::Local(tree),
            at_once: self.at_once,
            conversation: Conversation::Recorded,
        };
        let mut uploaded = upload.send(&label.metadata()).await?;
        uploaded.datastore = Some(datastore.to_owned());
        Ok(uploaded)
    }

    /// Brings content of an artifact store to a path of a datastore: a tree as a folder of its files, under their own names, other
    /// content as one file.
    ///
    /// Nothing else may lie at the path, so it should have the content's digest in it. What is there already is not sent: of each file its
    /// length and the SHA-256 in its metadata are compared. The first file comes last and has the mark that everything is there, so
    /// that a call that was cut off is resumed by the next one. Each file that is sent is read from the store, verified by its digest,
    /// and held in memory up to 8 MiB and in a temporary file beyond.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a path that storage cannot hold; [`ErrorKind::NotFound`] and [`ErrorKind::Integrity`] for content
    /// that is not in the store as it should be; [`ErrorKind::Busy`] for a file that somebody else keeps writing; those of the
    /// datastore and of storage.
    ///
    /// ```no_run
    /// use mlops_azure::storage::Uploads;
    /// use mlops_core::RelPath;
    /// use mlops_core::artifact::{ArtifactStore, Blob, Manifest};
    /// # async fn f(uploads: Uploads, store: &dyn ArtifactStore, tree: Blob) -> mlops_core::Result<()> {
    /// let files: Manifest = store.tree(&tree.digest).await?;
    /// let path = RelPath::new(format!("models/{}/model", tree.digest.hex()))?;
    /// let uploaded = uploads.stored("workspaceblobstore", &path, store, &tree, Some(&files)).await?;
    /// println!("{}", uploaded.data_uri());
    /// # Ok(()) }
    /// ```
    pub async fn stored(
        &self,
        datastore: &str,
        path: &RelPath,
        store: &dyn ArtifactStore,
        content: &Blob,
        tree: Option<&Manifest>,
    ) -> Result<Uploaded> {
        const OP: &str = "Uploads::stored";
        let container = self.datastores.container(datastore).await?;
        let name = path.as_str().rsplit('/').next().unwrap_or_default();
        let one = [Entry { path: RelPath::new(name)?, digest: content.digest, size: content.size }];
        let upload = Upload {
            operation: OP,
            container: &container,
            root: path.as_str(),
            files: Files::Stored {
                store,
                entries: tree.map_or(one.as_slice(), Manifest::entries),
                is_folder: tree.is_some(),
                digest: content.digest,
            },
            at_once: self.at_once,
            conversation: Conversation::Short,
        };
        let mut uploaded = upload.send(&completed()).await?;
        uploaded.datastore = Some(datastore.to_owned());
        Ok(uploaded)
    }

    /// Uploads a folder of code for a version of code, to a place that the service hands out for it. The version itself is not made:
    /// [`Uploaded::code`] is what to make it of. [`LocalCode`] does it in the same way under a name of the content's own, and
    /// [`Codes`](crate::environment::Codes) makes the version too.
    ///
    /// # Errors
    /// As of [`asset`](Self::asset); [`ErrorKind::Protocol`] for a place that cannot be written to.
    pub async fn code(&self, source: &Path, name: &str, version: &str) -> Result<Uploaded> {
        const OP: &str = "Uploads::code";
        let label = label(OP, name, version)?;
        let mut code = LocalCode::read(source).await?;
        let at = self.datastores.place().code(name, version)?;
        let pending = begin(self.datastores.service(), OP, &at).await?;
        code = code.at_once(self.at_once).retry(self.datastores.blob_retry().clone());
        if let Some(transport) = self.datastores.blob_transport() {
            code = code.transport(transport.clone());
        }
        code.send(OP, &pending, &label).await
    }
}

fn label<'a>(operation: &'static str, name: &'a str, version: &'a str) -> Result<Label<'a>> {
    let rule = "must have 1 to 255 letters, digits, -, _ or ., a letter or digit first";
    check(operation, "name", name, is_asset(name), rule)?;
    check(operation, "version", version, is_asset(version), rule)?;
    Ok(Label { name, version })
}

fn is_complete(there: &BlobProperties, first: &Entry) -> bool {
    there.size == first.size && there.metadata.get(STATUS).is_some_and(|status| status == "completed")
}

/// What is there of a file that is to be uploaded.
#[derive(Clone)]
enum There {
    /// By the list: its properties are still to be asked for.
    Listed,
    Known(BlobProperties),
}

/// Where the files are that go up.
#[derive(Clone, Copy)]
pub(super) enum Files<'a> {
    /// On this machine.
    Local(&'a LocalTree),
    /// In an artifact store.
    Stored { store: &'a dyn ArtifactStore, entries: &'a [Entry], is_folder: bool, digest: Digest },
}

/// The content of one file, to be read again from the start.
enum Held {
    File(Arc<File>),
    Spool(Spool),
}

impl Held {
    fn source(&self) -> Source<'_> {
        match self {
            Self::File(file) => Source::File(file.clone()),
            Self::Spool(spool) => Source::Spool(spool),
        }
    }
}

impl Files<'_> {
    fn entries(&self) -> &[Entry] {
        match self {
            Self::Local(tree) => tree.manifest().entries(),
            Self::Stored { entries, .. } => entries,
        }
    }

    fn is_folder(&self) -> bool {
        match self {
            Self::Local(tree) => tree.is_folder(),
            Self::Stored { is_folder, .. } => *is_folder,
        }
    }

    fn digest(&self) -> Digest {
        match self {
            Self::Local(tree) => *tree.digest(),
            Self::Stored { digest, .. } => *digest,
        }
    }

    fn size(&self) -> u64 {
        self.entries().iter().fold(0, |sum, entry| sum.saturating_add(entry.size))
    }

    /// What of a file's content is written beside it.
    fn metadata(&self, entry: &Entry) -> Option<(&'static str, String)> {
        match self {
            Self::Local(_) => None,
            Self::Stored { .. } => Some(("x-ms-meta-mlops_sha256", entry.digest.hex())),
        }
    }

    /// Whether what is there says of itself that it is the file, as it was sent from here.
    fn is_said_by(&self, entry: &Entry, there: &BlobProperties) -> bool {
        let is_stored = matches!(self, Self::Stored { .. });
        is_stored && there.size == entry.size && there.metadata.get(SHA) == Some(&entry.digest.hex())
    }

    async fn open(&self, operation: &'static str, entry: &Entry) -> Result<Held> {
        match self {
            Self::Local(tree) => {
                let file = File::open(tree.path(&entry.path)).map_err(|e| unreadable(operation, e))?;
                Ok(Held::File(Arc::new(file)))
            }
            Self::Stored { store, .. } => {
                let spool = Spool::read(operation, store.get(&entry.digest, None).await?).await?;
                if spool.blob == (Blob { digest: entry.digest, size: entry.size }) {
                    return Ok(Held::Spool(spool));
                }
                let error = Error::new(ErrorKind::Integrity, operation, "the store has other content");
                Err(error.with("expected", entry.digest).with("found", spool.blob.digest))
            }
        }
    }
}

/// In which order it is looked, written and marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conversation {
    /// As the official SDK does it, for places in which it looks for what it uploaded.
    Recorded,
    /// With as few requests as it takes, for places that only this upload has.
    Short,
}

/// Content on its way to a container.
pub(super) struct Upload<'a> {
    pub operation: &'static str,
    pub container: &'a Container,
    /// The path in the container.
    pub root: &'a str,
    pub files: Files<'a>,
    /// How many files are sent at once.
    pub at_once: usize,
    pub conversation: Conversation,
}

/// The metadata of a file.
type Metadata = [(&'static str, String)];

impl Upload<'_> {
    /// Sends what is not there, and marks the whole as complete.
    pub async fn send(&self, complete: &Metadata) -> Result<Uploaded> {
        let Self { operation, container, root, ref files, .. } = *self;
        let mut uploaded = Uploaded {
            datastore: None,
            url: container.url(root)?.to_string(),
            path: root.to_owned(),
            is_folder: files.is_folder(),
            digest: files.digest(),
            snapshot: None,
            files: files.entries().len(),
            sent_files: 0,
            sent_bytes: 0,
            kept_bytes: 0,
        };
        let entries = files.entries();
        let (first, others) =
            entries.split_first().ok_or_else(|| Error::invalid(operation, "source", "has no files"))?;
        let sent = match self.conversation {
            Conversation::Recorded => self.recorded(first, entries, complete).await?,
            Conversation::Short => self.short(first, others, complete).await?,
        };
        match sent {
            None => uploaded.kept_bytes = files.size(),
            Some(all) => {
                uploaded.sent_files = all.iter().filter(|took| took.wrote).count();
                uploaded.sent_bytes = all.iter().map(|took| took.sent).sum();
                uploaded.kept_bytes = all.iter().map(|took| took.kept).sum();
            }
        }
        Ok(uploaded)
    }

    /// Looks at the first file, writes all of them, and marks the first. `None`: everything was there.
    async fn recorded(
        &self,
        first: &Entry,
        entries: &[Entry],
        complete: &Metadata,
    ) -> Result<Option<Vec<Took>>> {
        let mark = self.key(first);
        let marked = self.container.properties(self.operation, &mark).await?;
        if marked.as_ref().is_some_and(|there| is_complete(there, first)) {
            return Ok(None);
        }
        let mut there = match entries.len() {
            // Of one file that is known already.
            1 => BTreeMap::new(),
            _ => self.listed().await?,
        };
        if let Some(properties) = marked {
            there.insert(mark.clone(), There::Known(properties));
        }
        let all = self.all(entries, &there).await?;
        self.container.set_metadata(self.operation, &mark, None, &self.marked(first, complete)).await?;
        Ok(Some(all))
    }

    /// Writes all files, the first one last, and with the mark. `None`: everything was there.
    async fn short(&self, first: &Entry, others: &[Entry], complete: &Metadata) -> Result<Option<Vec<Took>>> {
        let mark = self.key(first);
        let there = match others {
            [] => BTreeMap::new(),
            _ => self.listed().await?,
        };
        // To write one short file costs no more than to look for it, where it need not be fetched first.
        let is_local = matches!(self.files, Files::Local(_));
        let write_first = others.is_empty() && is_local && first.size <= PIECE;
        let mut marked = match write_first || !others.is_empty() && !there.contains_key(&mark) {
            true => None,
            false => self.container.properties(self.operation, &mark).await?,
        };
        if marked.as_ref().is_some_and(|there| is_complete(there, first)) {
            return Ok(None);
        }
        let mut all = self.all(others, &there).await?;
        let complete = self.marked(first, complete);
        if write_first {
            let file = self.files.open(self.operation, first).await?;
            let sending = self.sending(first, &mark, file.source(), Condition::New, &complete);
            if let Some(took) = sending.send(self.container).await.map_err(|e| e.with("path", &first.path))? {
                return Ok(Some(vec![took]));
            }
            marked = self.container.properties(self.operation, &mark).await?;
            if marked.as_ref().is_some_and(|there| is_complete(there, first)) {
                return Ok(None);
            }
        }
        let took = self.file(first.clone(), marked.map(There::Known), &complete).await?;
        if !took.wrote {
            self.container.set_metadata(self.operation, &mark, None, &complete).await?;
        }
        all.push(took);
        Ok(Some(all))
    }

    /// The metadata of the first file when everything is there.
    fn marked(&self, first: &Entry, complete: &Metadata) -> Vec<(&'static str, String)> {
        complete.iter().cloned().chain(self.files.metadata(first)).collect()
    }

    fn key(&self, entry: &Entry) -> String {
        match self.files.is_folder() {
            true => format!("{}/{}", self.root, entry.path),
            false => self.root.to_owned(),
        }
    }

    /// What of the tree is there.
    async fn listed(&self) -> Result<BTreeMap<String, There>> {
        let listed: Vec<Listed> = self.container.list(self.operation, self.root).await?;
        Ok(listed.into_iter().map(|listed| (listed.key, There::Listed)).collect())
    }

    /// Sends those files that are not there.
    async fn all(&self, entries: &[Entry], there: &BTreeMap<String, There>) -> Result<Vec<Took>> {
        let sending = futures_util::stream::iter(entries.iter().cloned())
            .map(|entry| async move {
                let there = there.get(self.key(&entry).as_str()).cloned();
                let metadata: Vec<_> = self.files.metadata(&entry).into_iter().collect();
                self.file(entry, there, &metadata).await
            })
            .buffer_unordered(self.at_once);
        sending.try_collect().await
    }

    async fn file(&self, entry: Entry, there: Option<There>, metadata: &Metadata) -> Result<Took> {
        self.file_at(&entry, there, metadata).await.map_err(|e| e.with("path", &entry.path))
    }

    fn sending<'a>(
        &self,
        entry: &Entry,
        key: &'a str,
        source: Source<'a>,
        condition: Condition,
        metadata: &'a Metadata,
    ) -> Sending<'a> {
        let (operation, size, digest) = (self.operation, entry.size, entry.digest);
        Sending { operation, key, source, size, digest, condition, metadata }
    }

    async fn file_at(&self, entry: &Entry, there: Option<There>, metadata: &Metadata) -> Result<Took> {
        let (operation, key) = (self.operation, self.key(entry));
        let kept = Took { sent: 0, kept: entry.size, wrote: false };
        let mut known = match there {
            None => None,
            Some(There::Known(properties)) => Some(properties),
            Some(There::Listed) => self.container.properties(operation, &key).await?,
        };
        let mut open = None;
        for _ in 0..TRIES {
            if known.as_ref().is_some_and(|there| self.files.is_said_by(entry, there)) {
                return Ok(kept);
            }
            let file = match open.take() {
                Some(file) => file,
                None => self.files.open(operation, entry).await?,
            };
            let file = open.insert(file);
            let condition = match known {
                None => Condition::New,
                Some(there) if there.size == entry.size => {
                    let md5 = md5_of(operation, &file.source(), entry.size).await?;
                    if there.md5 == Some(md5) {
                        return Ok(kept);
                    }
                    Condition::Same(there.etag)
                }
                Some(there) => Condition::Same(there.etag),
            };
            let sending = self.sending(entry, &key, file.source(), condition, metadata);
            if let Some(took) = sending.send(self.container).await? {
                return Ok(took);
            }
            known = self.container.properties(operation, &key).await?;
        }
        let message = "the file does not stay as it is in storage: something else changes it";
        Err(Error::new(ErrorKind::Busy, operation, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_asset_has_its_own_form_of_the_address() {
        let uploaded = Uploaded {
            datastore: Some("workspaceblobstore".to_owned()),
            path: "LocalUpload/ab/data".to_owned(),
            url: "https://sa.blob.core.windows.net/c/LocalUpload/ab/data".to_owned(),
            is_folder: true,
            digest: Digest::of(b""),
            snapshot: None,
            files: 1,
            sent_files: 1,
            sent_bytes: 1,
            kept_bytes: 0,
        };
        assert_eq!(uploaded.data_uri(), "azureml://datastores/workspaceblobstore/paths/LocalUpload/ab/data");
        let workspace =
            crate::config::Workspace::new("00000000-0000-0000-0000-000000000001", "rg", "wsp").unwrap();
        assert_eq!(
            uploaded.model_uri(&Place::from(&workspace)),
            "azureml://subscriptions/00000000-0000-0000-0000-000000000001/resourcegroups/rg/workspaces/wsp/datastores/workspaceblobstore/paths/LocalUpload/ab/data"
        );
        assert_eq!(uploaded.context_uri(), "https://sa.blob.core.windows.net/c/LocalUpload/ab/data/");
        assert_eq!(uploaded.code().properties.get("hash_version"), Some("202208"));
    }
}
