//! The artifact store in a container of blobs.
//!
//! Blob service, version 2023-11-03; permissions, consistency and what differs from the local store are said by [`BlobArtifacts`] and by
//! [the module above](super).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _};
use mlops_core::artifact::{ArtifactStore, Blob, ByteStream, GcOptions, GcReport, Manifest};
use mlops_core::hash::Digest;
use mlops_core::{Error, ErrorKind, RelPath, Result};
use tokio::sync::Mutex;

use super::spool::{self, MAX_MANIFEST, Spool, is_manifest};
use crate::storage::container::{BlobProperties, Condition, Container, Listed, Written};
use crate::storage::content::{Sending, Source, md5_of};

/// Where content lies, unless something else is set.
const ROOT: &str = "mlops/cas/sha256";

/// The metadata with the content's SHA-256, in hexadecimal digits.
const SHA: &str = "mlops_sha256";

/// The metadata that says whether the content is the manifest of a tree: `yes` or `no`.
const TREE: &str = "mlops_tree";

/// How many requests about different blobs are under way at once.
const AT_ONCE: usize = 8;

/// How often a call begins again because somebody else changed the same blob.
const TRIES: usize = 8;

/// Up to which size content is sent before it is known whether it is there.
const SEND_FIRST: u64 = 256 << 10;

/// Content by digest in a container of Azure Blob Storage. Cheap to clone.
///
/// Content of the digest `ab12…` is the blob `mlops/cas/sha256/ab/ab12…`, with its digest in the metadata. The service writes a
/// blob whole or not at all.
///
/// * **Bounded memory.** Content is held in memory up to 8 MiB and in a temporary file beyond, until its digest is known; it is
///   sent and read in pieces of 8 MiB, of which five are in memory. (Beyond 390 GiB the pieces grow: a blob has at most
///   50 000 blocks.)
/// * **Resumed.** `put` of content whose upload was cut off, by a crash too, sends the blocks that are missing.
/// * **Once.** A blob is made under the condition that it is not there; of two that put the same content one makes it, and both
///   are told so. `put` of content that is there sends nothing if its length, its MD5 and the digest in its metadata are right,
///   and makes it young; otherwise it is replaced. New content of up to 256 KiB costs one request, of up to 8 MiB two.
/// * **Verified.** `get` reads all of the content and hashes it before it hands out any of it: O(size), also for a range.
/// * **Garbage collection** costs one request for each 5000 blobs, one for each root and another for each that is a tree, and one
///   for each blob it removes. It removes a blob only if it is still the one that was looked at: content that is put in between
///   stays.
///
/// # Age
/// Content is as old as its blob's `Last-Modified`, which is to the second, by the service's own clock: machines whose clocks differ
/// agree on it. `put_tree` takes two requests for each file, to look at it and to make it young.
///
/// # What it cannot promise
/// * Whoever may write to the container can overwrite content. `get` notices that always; `put` notices it by the properties, which
///   the service rewrites with the content, and so repairs what was overwritten, but not what somebody overwrote *and* gave the
///   right properties.
/// * With soft delete, versions or snapshots the account keeps what was removed, and is paid for, as long as its settings say.
///   Under an immutability policy removing fails.
/// * A blob that a lease holds can be neither replaced nor removed; such calls fail with the service's error.
///
/// # Permissions
/// The role `Storage Blob Data Contributor` on the container, or a signature with `racwdl`. A role that was just assigned is
/// refused for some minutes. Reading after writing is consistent; there is nothing to wait for.
///
/// ```no_run
/// use mlops_azure::artifact::BlobArtifacts;
/// use mlops_azure::config::Cloud;
/// use mlops_azure::storage::{Container, StorageAccount, StorageCredential};
/// use mlops_core::artifact::ArtifactStoreExt as _;
/// use mlops_core::governance::Secret;
/// # async fn f() -> mlops_core::Result<()> {
/// let account = StorageAccount::named("stchurn", Cloud::Public)?;
/// let credential = StorageCredential::sas(&Secret::new("sv=…&sig=…"))?;
/// let store = BlobArtifacts::new(Container::builder(account, "artifacts", credential).build()?);
/// let blob = store.put_bytes(b"weights".to_vec()).await?;
/// assert_eq!(&store.get_bytes(&blob.digest, 1024).await?[..], b"weights");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct BlobArtifacts {
    container: Container,
    root: String,
    /// Who puts content waits for who puts the same content in this process, or content that shares its lock.
    locks: std::sync::Arc<[Mutex<()>; 64]>,
}

impl BlobArtifacts {
    /// The store in a container, at its default place.
    pub fn new(container: Container) -> Self {
        let locks = std::sync::Arc::new([const { Mutex::const_new(()) }; 64]);
        Self { container, root: ROOT.to_owned(), locks }
    }

    /// Puts the content below this path in the container. Nothing else may lie there.
    #[must_use]
    pub fn with_root(mut self, root: &RelPath) -> Self {
        self.root = root.to_string();
        self
    }

    /// The container.
    pub fn container(&self) -> &Container {
        &self.container
    }

    /// The key of the blob that a content is.
    ///
    /// ```
    /// # use mlops_azure::config::Cloud;
    /// # use mlops_azure::storage::{Container, StorageAccount, StorageCredential};
    /// # use mlops_core::governance::Secret;
    /// # let account = StorageAccount::named("stchurn", Cloud::Public)?;
    /// # let sas = StorageCredential::sas(&Secret::new("sv=1&sig=x"))?;
    /// # let container = Container::builder(account, "data", sas).build()?;
    /// let store = mlops_azure::artifact::BlobArtifacts::new(container);
    /// let key = store.key(&mlops_core::hash::Digest::of(b""));
    /// assert_eq!(key, "mlops/cas/sha256/e3/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn key(&self, digest: &Digest) -> String {
        let hex = digest.hex();
        format!("{}/{}/{hex}", self.root, hex.get(..2).unwrap_or_default())
    }
}

impl fmt::Debug for BlobArtifacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobArtifacts")
            .field("container", &self.container)
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

fn metadata(digest: &Digest, is_tree: bool) -> [(&'static str, String); 2] {
    let tree = if is_tree { "yes" } else { "no" };
    [("x-ms-meta-mlops_sha256", digest.hex()), ("x-ms-meta-mlops_tree", tree.to_owned())]
}

/// Whether a blob says of itself that it is this content, as it was put here.
fn claims(properties: &BlobProperties, digest: &Digest) -> bool {
    properties.metadata.get(SHA) == Some(&digest.hex()) && is_tree(properties).is_some()
}

fn is_tree(properties: &BlobProperties) -> Option<bool> {
    match properties.metadata.get(TREE)?.as_str() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

fn mismatch(operation: &'static str, expected: &Digest, found: &Digest) -> Error {
    Error::new(ErrorKind::Integrity, operation, "the content does not hash to its digest")
        .with("expected", expected)
        .with("found", found)
}

fn busy(operation: &'static str, digest: &Digest) -> Error {
    let message = "the content does not stay as it is: something else changes it";
    Error::new(ErrorKind::Busy, operation, message).with("digest", digest)
}

// ------------------------------------------------------------------------------------------------------------- one content

impl BlobArtifacts {
    /// All of a content, verified.
    async fn read(&self, operation: &'static str, digest: &Digest) -> Result<Spool> {
        let missing = |e: Error| match e.kind() {
            ErrorKind::NotFound if e.context("code") != Some("ContainerNotFound") => {
                Error::not_found(operation, "content", digest)
            }
            _ => e,
        };
        let key = self.key(digest);
        let (_, body) = self.container.read(operation, &key).await.map_err(missing)?;
        let spool = Spool::read(operation, body).await?;
        match spool.blob.digest == *digest {
            true => Ok(spool),
            false => Err(mismatch(operation, digest, &spool.blob.digest)),
        }
    }

    async fn look(&self, operation: &'static str, digest: &Digest) -> Result<Option<BlobProperties>> {
        self.container.properties(operation, &self.key(digest)).await
    }

    async fn send(
        &self,
        operation: &'static str,
        spool: &Spool,
        condition: Condition,
        is_tree: bool,
    ) -> Result<bool> {
        let Blob { digest, size } = spool.blob;
        let (key, metadata) = (self.key(&digest), metadata(&digest, is_tree));
        let source = Source::Spool(spool);
        let sending = Sending { operation, key: &key, source, size, digest, condition, metadata: &metadata };
        Ok(sending.send(&self.container).await?.is_some())
    }

    /// Whether a blob is the content, by what the service says of it.
    async fn is_intact(
        &self,
        operation: &'static str,
        spool: &Spool,
        there: &BlobProperties,
    ) -> Result<bool> {
        if there.size != spool.blob.size || !claims(there, &spool.blob.digest) {
            return Ok(false);
        }
        let md5 = md5_of(operation, &Source::Spool(spool), spool.blob.size).await?;
        Ok(there.md5 == Some(md5))
    }

    /// Stores a content, or makes it young where it is.
    async fn store(&self, operation: &'static str, spool: &Spool, is_tree: bool) -> Result<Blob> {
        let blob = spool.blob;
        let _guard = self.guard(&blob.digest).await;
        if blob.size <= SEND_FIRST && self.send(operation, spool, Condition::New, is_tree).await? {
            return Ok(blob);
        }
        let mut seen: Option<String> = None;
        for _ in 0..TRIES {
            let Some(there) = self.look(operation, &blob.digest).await? else {
                if self.send(operation, spool, Condition::New, is_tree).await? {
                    return Ok(blob);
                }
                continue;
            };
            if !self.is_intact(operation, spool, &there).await? {
                if self.send(operation, spool, Condition::Same(there.etag), is_tree).await? {
                    return Ok(blob);
                }
                continue;
            }
            // Somebody wrote it since this call looked the first time: it is as young as this call.
            if seen.as_ref().is_some_and(|etag| *etag != there.etag) {
                return Ok(blob);
            }
            if self.renew(operation, &blob.digest, &there).await? == Written::Yes {
                return Ok(blob);
            }
            seen = Some(there.etag);
        }
        Err(busy(operation, &blob.digest))
    }

    /// Makes a content young. What somebody else wrote in its place is not declared to be in order by that.
    async fn renew(
        &self,
        operation: &'static str,
        digest: &Digest,
        there: &BlobProperties,
    ) -> Result<Written> {
        let own = metadata(digest, is_tree(there).unwrap_or_default());
        let metadata: &[_] = if claims(there, digest) { &own } else { &[] };
        self.container.set_metadata(operation, &self.key(digest), Some(&there.etag), metadata).await
    }

    /// A file of a tree, which must be there with its size, made young.
    async fn file(&self, operation: &'static str, digest: Digest, size: u64, path: RelPath) -> Result<()> {
        let mut seen: Option<String> = None;
        for _ in 0..TRIES {
            let Some(there) = self.look(operation, &digest).await? else {
                return Err(Error::not_found(operation, "content", digest).with("path", &path));
            };
            if there.size != size {
                return Err(Error::new(ErrorKind::Integrity, operation, "a file has another size")
                    .with("path", &path)
                    .with("expected", size)
                    .with("found", there.size));
            }
            // Somebody wrote it since this call looked the first time: it is as young as this call.
            let young = seen.as_ref().is_some_and(|etag| *etag != there.etag);
            if young || self.renew(operation, &digest, &there).await? == Written::Yes {
                return Ok(());
            }
            seen = Some(there.etag);
        }
        Err(busy(operation, &digest).with("path", &path))
    }

    async fn guard(&self, digest: &Digest) -> tokio::sync::MutexGuard<'_, ()> {
        let [first, ..] = digest.as_bytes();
        self.locks[usize::from(*first) % self.locks.len()].lock().await
    }

    async fn manifest(&self, operation: &'static str, digest: &Digest) -> Result<Manifest> {
        let spool = self.read(operation, digest).await?;
        spool::manifest(operation, digest, &spool).await
    }
}

// -------------------------------------------------------------------------------------------------------------- collection

/// What became of content that was to be removed.
enum Removal {
    /// It is gone.
    Removed(Blob),
    /// Somebody put it again.
    IsYoung,
    /// Somebody else removed it.
    WasGone,
}

impl BlobArtifacts {
    /// Every content in the container. What lies there and is no content is left alone.
    async fn everything(&self, operation: &'static str) -> Result<BTreeMap<Digest, Listed>> {
        let listed = self.container.list(operation, &self.root).await?;
        let contents = listed.into_iter().filter_map(|listed| {
            let (_, hex) = listed.key.rsplit_once('/')?;
            let digest: Digest = format!("sha256:{hex}").parse().ok()?;
            (self.key(&digest) == listed.key).then_some((digest, listed))
        });
        Ok(contents.collect())
    }

    /// The files of a root that is a tree; none of one that is not.
    ///
    /// # Errors
    /// [`ErrorKind::Integrity`] for a root that cannot be read as what it was: what its files are, nobody knows any more.
    async fn files(&self, operation: &'static str, root: &Digest) -> Result<Vec<Digest>> {
        let Some(there) = self.look(operation, root).await? else { return Ok(Vec::new()) };
        let tree = match claims(&there, root) {
            true => is_tree(&there).unwrap_or(true),
            // Something else was written in its place; perhaps it was a tree.
            false => {
                let spool = self.read(operation, root).await.map_err(|e| e.with("root", root))?;
                is_manifest(operation, &spool).await?
            }
        };
        if !tree {
            return Ok(Vec::new());
        }
        let manifest = self.manifest(operation, root).await.map_err(|e| e.with("root", root))?;
        Ok(manifest.entries().iter().map(|entry| entry.digest).collect())
    }

    async fn reachable(
        &self,
        operation: &'static str,
        roots: &BTreeSet<Digest>,
        all: &BTreeMap<Digest, Listed>,
    ) -> Result<BTreeSet<Digest>> {
        let there: Vec<Digest> = roots.iter().filter(|root| all.contains_key(root)).copied().collect();
        let files = futures_util::stream::iter(there.clone())
            .map(|root| async move { self.files(operation, &root).await })
            .buffer_unordered(AT_ONCE);
        let files: Vec<Vec<Digest>> = files.try_collect().await?;
        let files = files.into_iter().flatten().filter(|digest| all.contains_key(digest));
        Ok(there.into_iter().chain(files).collect())
    }

    /// Removes a content that is still the one that was listed.
    async fn remove(&self, operation: &'static str, digest: Digest, listed: Listed) -> Result<Removal> {
        match self.container.delete_same(operation, &listed.key, &listed.etag).await? {
            Written::Yes => Ok(Removal::Removed(Blob { digest, size: listed.size })),
            Written::No => match self.look(operation, &digest).await? {
                Some(_) => Ok(Removal::IsYoung),
                None => Ok(Removal::WasGone),
            },
        }
    }
}

#[async_trait]
impl ArtifactStore for BlobArtifacts {
    async fn put(&self, body: ByteStream, expect: Option<Digest>) -> Result<Blob> {
        const OP: &str = "ArtifactStore::put";
        let spool = Spool::read(OP, body).await?;
        let digest = spool.blob.digest;
        if let Some(expected) = expect.filter(|expected| *expected != digest) {
            let error = Error::new(ErrorKind::Integrity, OP, "the content has another digest");
            return Err(error.with("expected", expected).with("found", digest));
        }
        let is_tree = is_manifest(OP, &spool).await?;
        self.store(OP, &spool, is_tree).await
    }

    async fn get(&self, digest: &Digest, range: Option<Range<u64>>) -> Result<ByteStream> {
        const OP: &str = "ArtifactStore::get";
        let spool = self.read(OP, digest).await?;
        let size = spool.blob.size;
        let range = range.unwrap_or(0..size);
        if range.start > range.end || range.end > size {
            return Err(Error::invalid(OP, "range", "does not lie within the content")
                .with("range", format!("{}..{}", range.start, range.end))
                .with("size", size));
        }
        spool.stream(OP, range).await
    }

    async fn head(&self, digest: &Digest) -> Result<Option<Blob>> {
        let there = self.look("ArtifactStore::head", digest).await?;
        Ok(there.map(|there| Blob { digest: *digest, size: there.size }))
    }

    async fn put_tree(&self, manifest: &Manifest) -> Result<Blob> {
        const OP: &str = "ArtifactStore::put_tree";
        let bytes = manifest.to_bytes()?;
        if bytes.len() > MAX_MANIFEST {
            return Err(Error::limit(OP, "the manifest", MAX_MANIFEST, bytes.len()));
        }
        // Content that is in the tree twice is looked at once, unless the tree itself says two sizes.
        let files: BTreeMap<(Digest, u64), RelPath> =
            manifest.entries().iter().rev().map(|e| ((e.digest, e.size), e.path.clone())).collect();
        let looking = futures_util::stream::iter(files)
            .map(|((digest, size), path)| self.file(OP, digest, size, path))
            .buffer_unordered(AT_ONCE);
        looking.try_collect::<()>().await?;
        let spool = Spool::read(OP, ByteStream::from(bytes)).await?;
        self.store(OP, &spool, true).await
    }

    async fn tree(&self, digest: &Digest) -> Result<Manifest> {
        self.manifest("ArtifactStore::tree", digest).await
    }

    async fn collect_garbage(&self, roots: &BTreeSet<Digest>, options: &GcOptions) -> Result<GcReport> {
        const OP: &str = "ArtifactStore::collect_garbage";
        let all = self.everything(OP).await?;
        let reachable = self.reachable(OP, roots, &all).await?;
        // A request, if there is none before: what the service's clock says is in its answers.
        self.look(OP, &Digest::of(b"")).await?;
        let now = self.container.service_now();
        let age = |listed: &Listed| -> Duration {
            now.signed_duration_since(listed.last_modified).to_std().unwrap_or_default()
        };
        let unreachable = all.into_iter().filter(|(digest, _)| !reachable.contains(digest));
        let (young, old): (Vec<_>, Vec<_>) = unreachable.partition(|(_, listed)| age(listed) < options.grace);
        let mut in_grace = young.len();
        let mut removed: Vec<Blob> = Vec::new();
        if options.dry_run {
            removed.extend(old.into_iter().map(|(digest, listed)| Blob { digest, size: listed.size }));
        } else {
            let removing = futures_util::stream::iter(old)
                .map(|(digest, listed)| self.remove(OP, digest, listed))
                .buffer_unordered(AT_ONCE);
            for removal in removing.try_collect::<Vec<_>>().await? {
                match removal {
                    Removal::Removed(blob) => removed.push(blob),
                    Removal::IsYoung => in_grace += 1,
                    Removal::WasGone => {}
                }
            }
        }
        removed.sort_by_key(|blob| blob.digest);
        Ok(GcReport::new(removed, reachable.len(), in_grace))
    }
}
