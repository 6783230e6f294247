//! Artifacts by content on one folder.

mod cas;
mod check;
mod collect;
mod export;
mod import;
mod parallel;
mod read;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt as _;

use self::cas::Cas;
pub use self::check::{ContentReport, ContentStats, DamagedContent};
use self::parallel::parallel;
use self::write::{Batch, Writer};
use crate::artifact::{ArtifactStore, Blob, ByteStream, Entry, GcOptions, GcReport, Manifest};
use crate::disk::blocking;
use crate::disk::storage;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::Digest;
use crate::time::Clock;

/// Content on the file system, by digest: `sha256/ab/cdef…`, one read-only file each.
///
/// Any number of processes of one user may use the folder at once, on one machine.
///
/// * **Nothing is half there.** Content is written to a file that only its writer sees, made durable, and then moved under
///   its digest; the call returns when the name is durable too. What a process that died left unfinished is removed when
///   the folder is next opened, or garbage collected; what a living one is writing stays.
/// * **Nothing unverified is handed out.** Content is hashed as a whole before its first byte is handed out, also for a
///   range, and each piece again as it is: O(size) for every `get`. Memory stays bounded, whatever the size.
/// * **What lies in the place of content is distrusted.** A symbolic link, a FIFO, a folder is
///   [`ErrorKind::Integrity`]; it is neither followed nor waited for.
/// * **Age** is the time of the last put, by the clock handed in, kept as the file's modification time. A clock that is set
///   back makes nothing old. One that jumps forward does: choose a grace longer than your clocks are wrong.
/// * **Garbage collection** reads every root of up to 64 MiB, and longer ones that look like manifests: it removes nothing
///   while a root is damaged, because a damaged manifest does not say which files it needs. After a power failure content
///   that was removed may be there again, for the next collection.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::artifact::ArtifactStoreExt as _;
/// use mlops_core::local::LocalArtifactStore;
/// use mlops_core::time::SystemClock;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # let folder = tempfile::tempdir().unwrap();
/// # let dir = folder.path().join("cas");
/// let store = LocalArtifactStore::open(&dir, Arc::new(SystemClock::new()))?;
/// let blob = store.put_bytes(b"weights".to_vec()).await?;
///
/// let again = LocalArtifactStore::open(&dir, Arc::new(SystemClock::new()))?;
/// assert_eq!(&again.get_bytes(&blob.digest, 1024).await?[..], b"weights");
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct LocalArtifactStore {
    cas: Arc<Cas>,
}

impl fmt::Debug for LocalArtifactStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalArtifactStore").finish_non_exhaustive()
    }
}

const PUT: &str = "ArtifactStore::put";
const PUT_TREE: &str = "ArtifactStore::put_tree";
const TREE: &str = "ArtifactStore::tree";

impl LocalArtifactStore {
    /// Opens the store in `dir`, and makes it where it is not there.
    ///
    /// The folder is held open: a change of the working directory does not matter to it. One that can only be read is
    /// opened all the same; storing then fails.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`] for a folder that can be neither opened nor made.
    pub fn open(dir: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        Cas::open(dir, clock).map(|cas| Self { cas: Arc::new(cas) })
    }

    /// As [`open`](Self::open), for one who changes nothing: what is not there is not made, and every write is
    /// [`ErrorKind::Storage`].
    pub(crate) fn open_read_only(dir: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        Cas::open_read_only(dir, clock).map(|cas| Self { cas: Arc::new(cas) })
    }

    /// Makes content young again, as a put of it would, without sending it: for content that is about to be registered. A tree is made
    /// young with its files, as by [`put_tree`](ArtifactStore::put_tree). Reads a manifest; of other content no more than how it begins.
    ///
    /// Returns what is there, if anything; garbage collection with a grace then leaves it alone for that long. A tree of which a
    /// file is gone is not there.
    ///
    /// # Errors
    /// [`ErrorKind::Integrity`] for something else in its place, for a damaged manifest and for a file of another size than it says;
    /// [`ErrorKind::Storage`].
    ///
    /// ```
    /// use std::sync::Arc;
    /// use mlops_core::artifact::ArtifactStoreExt as _;
    /// use mlops_core::hash::Digest;
    /// use mlops_core::local::LocalArtifactStore;
    /// use mlops_core::time::SystemClock;
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// let store = LocalArtifactStore::open(&folder.path().join("cas"), Arc::new(SystemClock::new()))?;
    /// let blob = store.put_bytes(b"weights".to_vec()).await?;
    /// assert_eq!(store.renew(&blob.digest).await?, Some(blob));
    /// assert_eq!(store.renew(&Digest::of(b"missing")).await?, None);
    /// # Ok::<(), mlops_core::Error>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn renew(&self, digest: &Digest) -> Result<Option<Blob>> {
        const OP: &str = "LocalArtifactStore::renew";
        let (cas, digest) = (self.cas.clone(), *digest);
        blocking(OP, move || {
            let _nothing_is_collected = cas.lock_to_store(OP)?;
            match cas.whole(OP, &digest) {
                Ok(Some((blob, manifest))) => {
                    let files = manifest.as_ref().map(Manifest::entries).unwrap_or_default();
                    files.iter().try_for_each(|file| cas.renew(OP, &file.digest))?;
                    cas.renew(OP, &digest).map(|()| Some(blob))
                }
                Ok(None) => Ok(None),
                Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
                Err(e) => Err(e),
            }
        })
        .await
    }

    /// Looks whether content is there, and all files of it where it is a tree.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] or [`ErrorKind::Integrity`] with the path of the first file that is not what the manifest says.
    pub(crate) async fn whole(&self, operation: &'static str, digest: &Digest) -> Result<Option<Blob>> {
        let (cas, digest) = (self.cas.clone(), *digest);
        blocking(operation, move || Ok(cas.whole(operation, &digest)?.map(|(blob, _)| blob))).await
    }

    /// Stores a folder of the file system as a tree, as it is at one moment.
    ///
    /// Only paths and contents are kept: no times, modes, owners, and no empty folders. A file with several hard links is
    /// stored like any other: whoever may read it by one name may by all.
    ///
    /// # Errors
    /// No tree is stored for
    /// * a symbolic link, FIFO, socket or device, which is neither followed, opened nor waited for, a name that is not a
    ///   [`RelPath`](crate::RelPath), or no file at all: [`ErrorKind::InvalidInput`], or [`ErrorKind::LimitExceeded`] for a
    ///   path that is too long or too deep and for more than a million files;
    /// * anything that changes between the first look and the last: [`ErrorKind::Integrity`]. Contents stored until then
    ///   stay, unreachable, for garbage collection.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use mlops_core::local::LocalArtifactStore;
    /// use mlops_core::time::SystemClock;
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let dir = folder.path();
    /// std::fs::create_dir(dir.join("model"))?;
    /// std::fs::write(dir.join("model/weights"), "0.5")?;
    ///
    /// let store = LocalArtifactStore::open(&dir.join("cas"), Arc::new(SystemClock::new()))?;
    /// let (tree, manifest) = store.put_dir(&dir.join("model")).await?;
    /// assert_eq!(manifest.entries()[0].path.as_str(), "weights");
    ///
    /// store.get_dir(&tree.digest, &dir.join("copy")).await?;
    /// assert_eq!(std::fs::read_to_string(dir.join("copy/weights"))?, "0.5");
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn put_dir(&self, dir: &Path) -> Result<(Blob, Manifest)> {
        let (cas, dir) = (self.cas.clone(), dir.to_owned());
        blocking("LocalArtifactStore::put_dir", move || cas.put_dir(&dir)).await
    }

    /// Writes a tree to a new folder, verified.
    ///
    /// The folder appears complete and durable or not at all: it is made beside `target`, under a name that begins with
    /// `.mlops-`, and moved. A process that is killed may leave that one behind.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] for a `target` that exists, whatever it is, which is left alone;
    /// [`ErrorKind::NotFound`] for a tree that is not there, or a folder above `target` that is not;
    /// [`ErrorKind::Integrity`] with the path of a file that is damaged; [`ErrorKind::Corrupt`] for content that is no tree.
    ///
    /// See [`put_dir`](Self::put_dir) for an example.
    pub async fn get_dir(&self, digest: &Digest, target: &Path) -> Result<()> {
        let (cas, digest, target) = (self.cas.clone(), *digest, target.to_owned());
        blocking("LocalArtifactStore::get_dir", move || cas.get_dir(&digest, &target)).await
    }

    /// Reads every blob and says which are damaged, and which of `roots` and the files of their trees are missing.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`] where the store cannot be listed. What is wrong with a blob is in the report.
    ///
    /// ```
    /// use std::collections::{BTreeMap, BTreeSet};
    /// use std::sync::Arc;
    /// use mlops_core::artifact::ArtifactStoreExt as _;
    /// use mlops_core::hash::Digest;
    /// use mlops_core::local::LocalArtifactStore;
    /// use mlops_core::time::SystemClock;
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// let store = LocalArtifactStore::open(&folder.path().join("cas"), Arc::new(SystemClock::new()))?;
    /// let blob = store.put_bytes(b"weights".to_vec()).await?;
    /// let lost = Digest::of(b"never stored");
    /// let report = store.verify_all(&BTreeSet::from([blob.digest, lost])).await?;
    /// assert_eq!((report.good, report.missing), (1, vec![lost]));
    /// # Ok::<(), mlops_core::Error>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn verify_all(&self, roots: &BTreeSet<Digest>) -> Result<ContentReport> {
        let (cas, roots) = (self.cas.clone(), roots.clone());
        blocking("LocalArtifactStore::verify_all", move || cas.verify_all(&roots)).await
    }

    /// Counts what is in the store, without reading it.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`] where the store cannot be listed.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use mlops_core::artifact::ArtifactStoreExt as _;
    /// use mlops_core::local::LocalArtifactStore;
    /// use mlops_core::time::SystemClock;
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// let store = LocalArtifactStore::open(&folder.path().join("cas"), Arc::new(SystemClock::new()))?;
    /// store.put_bytes(b"weights".to_vec()).await?;
    /// store.put_bytes(b"weights".to_vec()).await?;
    /// let stats = store.stats().await?;
    /// assert_eq!((stats.blobs, stats.bytes, stats.temporary), (1, 7, 0));
    /// # Ok::<(), mlops_core::Error>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn stats(&self) -> Result<ContentStats> {
        let cas = self.cas.clone();
        blocking("LocalArtifactStore::stats", move || cas.stats()).await
    }
}

#[async_trait]
impl ArtifactStore for LocalArtifactStore {
    async fn put(&self, mut body: ByteStream, expect: Option<Digest>) -> Result<Blob> {
        let (mut writer, mut batch) = (None, Batch::default());
        while let Some(piece) = body.next().await {
            batch.push(piece?);
            if batch.is_full() {
                let (cas, pieces) = (self.cas.clone(), batch.take());
                writer = Some(blocking(PUT, move || write(cas, writer, &pieces)).await?);
            }
        }
        let (cas, pieces) = (self.cas.clone(), batch.take());
        blocking(PUT, move || write(cas, writer, &pieces)?.commit(expect, || Ok(()))).await
    }

    async fn get(&self, digest: &Digest, range: Option<Range<u64>>) -> Result<ByteStream> {
        const OP: &str = "ArtifactStore::get";
        let (cas, digest) = (self.cas.clone(), *digest);
        blocking(OP, move || cas.verified(OP, &digest)).await?.stream(range)
    }

    async fn head(&self, digest: &Digest) -> Result<Option<Blob>> {
        const OP: &str = "ArtifactStore::head";
        let (cas, digest) = (self.cas.clone(), *digest);
        blocking(OP, move || cas.head(OP, &digest)).await
    }

    async fn put_tree(&self, manifest: &Manifest) -> Result<Blob> {
        let (cas, manifest) = (self.cas.clone(), manifest.clone());
        blocking(PUT_TREE, move || cas.put_tree(&manifest)).await
    }

    async fn tree(&self, digest: &Digest) -> Result<Manifest> {
        let (cas, digest) = (self.cas.clone(), *digest);
        blocking(TREE, move || cas.tree(&digest)).await
    }

    async fn collect_garbage(&self, roots: &BTreeSet<Digest>, options: &GcOptions) -> Result<GcReport> {
        let (cas, roots, options) = (self.cas.clone(), roots.clone(), options.clone());
        blocking("ArtifactStore::collect_garbage", move || cas.collect_garbage(&roots, &options)).await
    }
}

/// Goes on writing, or begins to.
fn write(cas: Arc<Cas>, writer: Option<Writer>, pieces: &[bytes::Bytes]) -> Result<Writer> {
    let mut writer = writer.map_or_else(|| Writer::new(cas, PUT), Ok)?;
    writer.write(pieces)?;
    Ok(writer)
}

impl Cas {
    /// Stores a manifest whose files are here, and makes them young.
    fn put_tree(self: &Arc<Self>, manifest: &Manifest) -> Result<Blob> {
        let bytes = manifest.to_bytes()?;
        if bytes.len() as u64 > collect::MAX_MANIFEST {
            return Err(Error::limit(PUT_TREE, "the manifest", collect::MAX_MANIFEST, bytes.len()));
        }
        self.sync_files(manifest)?;
        let mut writer = Writer::new(self.clone(), PUT_TREE)?;
        writer.write(&[bytes.into()])?;
        writer.commit(None, || {
            // All are looked at before any is changed.
            manifest.entries().iter().try_for_each(|entry| self.check_file(PUT_TREE, entry))?;
            manifest.entries().iter().try_for_each(|entry| self.renew(PUT_TREE, &entry.digest))
        })
    }

    fn tree(&self, digest: &Digest) -> Result<Manifest> {
        let content = self.verified(TREE, digest)?;
        if content.size() > collect::MAX_MANIFEST {
            return Err(Error::new(ErrorKind::Corrupt, TREE, "is not a manifest").with("digest", digest));
        }
        Manifest::from_bytes(&content.bytes()?).map_err(|error| error.with("digest", digest))
    }

    /// Makes the names of the files durable: whoever is putting one of them may not have come to that.
    fn sync_files(&self, manifest: &Manifest) -> Result<()> {
        let mut places = BTreeMap::new();
        for entry in manifest.entries() {
            places.entry(entry.digest.as_bytes()[0]).or_insert(entry.digest);
        }
        let places: Vec<_> = places.into_values().collect();
        parallel(PUT_TREE, &places, |digest| match self.place(PUT_TREE, digest)? {
            Some(place) => self.sync(PUT_TREE, &place),
            None => Ok(()),
        })?;
        Ok(())
    }

    /// What is there under a digest; where it is a tree its manifest, whose files are there too.
    fn whole(&self, operation: &'static str, digest: &Digest) -> Result<Option<(Blob, Option<Manifest>)>> {
        let Some(blob) = self.head(operation, digest)? else { return Ok(None) };
        let manifest = match self.begins_as_manifest(operation, &blob)? {
            true => self.manifest_of(operation, &blob)?,
            false => None,
        };
        let files = manifest.as_ref().map(Manifest::entries).unwrap_or_default();
        files.iter().try_for_each(|file| self.check_file(operation, file))?;
        Ok(Some((blob, manifest)))
    }

    fn check_file(&self, operation: &'static str, entry: &Entry) -> Result<()> {
        let found = self.head(operation, &entry.digest).map_err(|error| error.with("path", &entry.path))?;
        let Some(found) = found else {
            return Err(Error::not_found(operation, "content", entry.digest).with("path", &entry.path));
        };
        if found.size == entry.size {
            return Ok(());
        }
        let error = Error::new(ErrorKind::Integrity, operation, "a file has another size");
        Err(error.with("path", &entry.path).with("expected", entry.size).with("found", found.size))
    }

    /// Makes content young; the caller keeps collectors out.
    fn renew(&self, operation: &'static str, digest: &Digest) -> Result<()> {
        let file = self.file(operation, digest)?;
        cas::make_young(&file, self.clock.now())
            .map_err(|error| storage(operation, format_args!("cas/sha256/{}", digest.hex()), error))
    }
}

#[cfg(test)]
mod tests;
