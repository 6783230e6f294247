//! The trait of artifact stores.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{ByteStream, Entry, Manifest};
use crate::error::{Error, ErrorKind, Result};
use crate::hash::Digest;
use crate::id::RelPath;

/// Content that is in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Blob {
    /// The digest of the content, which is its name.
    pub digest: Digest,
    /// The length in bytes.
    pub size: u64,
}

/// What garbage collection may remove.
#[non_exhaustive]
#[derive(Clone, Debug, Default)]
pub struct GcOptions {
    /// Content younger than this stays, so that something being registered right now is not lost. Default: zero.
    pub grace: Duration,
    /// Only say what would be removed.
    pub dry_run: bool,
}

impl GcOptions {
    /// Keeps content younger than `grace`.
    #[must_use]
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Only reports.
    #[must_use]
    pub fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }
}

/// What garbage collection removed, or would have.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GcReport {
    /// The content removed.
    pub removed: Vec<Blob>,
    /// How many blobs are reachable from the roots.
    pub reachable: usize,
    /// How many unreachable blobs stayed because they are young.
    pub in_grace: usize,
}

impl GcReport {
    /// A report of these numbers.
    pub fn new(removed: Vec<Blob>, reachable: usize, in_grace: usize) -> Self {
        Self { removed, reachable, in_grace }
    }
}

/// A store of immutable content under its digest.
///
/// # Contract
/// * `put` returns only after the content is stored under its digest; the same content twice is one blob. With `expect`,
///   content of another digest is [`ErrorKind::Integrity`] and nothing is stored. (`put_is_idempotent`, `put_checks_expect`)
/// * A body that ends in an error stores nothing. (`broken_body_stores_nothing`)
/// * Content never changes: a digest that was readable stays readable, byte for byte, until garbage collection removes it.
///   Should it be damaged from outside, putting it again repairs it. (`content_never_changes`, `put_repairs_damage`)
/// * `get` hands out verified bytes only: content that no longer hashes to its digest is [`ErrorKind::Integrity`], before
///   any byte of it. A digest that is not there is [`ErrorKind::NotFound`]. (`damaged_content_is_not_handed_out`,
///   `get_missing_is_not_found`)
/// * `get` with a range that does not lie within the content is [`ErrorKind::InvalidInput`]. (`get_range`)
/// * `put_tree` needs every file of the manifest in the store, with the size stated; else [`ErrorKind::NotFound`] or
///   [`ErrorKind::Integrity`] with the file's path as the [context](Error::context) `path`, and nothing is stored.
///   (`put_tree_needs_its_files`)
/// * `tree` of content that is not a manifest is [`ErrorKind::Corrupt`]. (`tree_of_other_content_is_corrupt`)
/// * What reads the files of a tree, as [`verify_tree`](ArtifactStoreExt::verify_tree) does through `get`, fails with the first that is
///   damaged, and names it in the context `path` too. (`a_damaged_file_fails_the_tree`)
/// * `collect_garbage` removes nothing that is a root, is in the tree of a root, or is younger than the grace. Content is
///   as old as the last `put` of it, or `put_tree` with it. (`gc_keeps_what_is_reachable`, `gc_keeps_what_is_young`,
///   `gc_dry_run_removes_nothing`, `gc_counts_age_from_the_last_put`)
/// * A call that fails changes nothing. (`failed_calls_change_nothing`)
/// * All methods may be called from many tasks at once. (`concurrent_puts_are_one_blob`)
#[async_trait]
pub trait ArtifactStore: Debug + Send + Sync + 'static {
    /// Stores content, hashing it on the way.
    async fn put(&self, body: ByteStream, expect: Option<Digest>) -> Result<Blob>;

    /// Reads content, or the bytes of `range` in it, verified.
    async fn get(&self, digest: &Digest, range: Option<Range<u64>>) -> Result<ByteStream>;

    /// Whether content is there, and how long it is; does not read it.
    async fn head(&self, digest: &Digest) -> Result<Option<Blob>>;

    /// Stores a manifest whose files are stored already.
    async fn put_tree(&self, manifest: &Manifest) -> Result<Blob>;

    /// Reads a manifest.
    async fn tree(&self, digest: &Digest) -> Result<Manifest>;

    /// Removes what is not reachable from `roots`; a root that is a manifest keeps its files. The store does not know what else refers
    /// to its content: of an embedded store, call [`LocalStore::collect_garbage`](crate::local::LocalStore::collect_garbage).
    async fn collect_garbage(&self, roots: &BTreeSet<Digest>, options: &GcOptions) -> Result<GcReport>;
}

/// Conveniences on top of every [`ArtifactStore`].
#[async_trait]
pub trait ArtifactStoreExt: ArtifactStore {
    /// Stores bytes that are in memory.
    ///
    /// ```
    /// use mlops_core::artifact::ArtifactStoreExt as _;
    /// use mlops_core::memory::MemoryArtifactStore;
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let store = MemoryArtifactStore::default();
    /// let blob = store.put_bytes(b"weights".to_vec()).await?;
    /// assert_eq!(&store.get_bytes(&blob.digest, 1024).await?[..], b"weights");
    /// # Ok::<(), mlops_core::Error>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    async fn put_bytes<B: Into<Bytes> + Send>(&self, bytes: B) -> Result<Blob> {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        self.put(bytes.into(), Some(digest)).await
    }

    /// Reads all of a blob into memory, at most `limit` bytes.
    async fn get_bytes(&self, digest: &Digest, limit: usize) -> Result<Bytes> {
        self.get(digest, None).await?.collect(limit).await
    }

    /// Stores files that are in memory as one tree.
    async fn put_files(&self, files: &[(RelPath, Bytes)]) -> Result<(Blob, Manifest)> {
        let mut entries = Vec::with_capacity(files.len());
        for (path, bytes) in files {
            let blob = self.put_bytes(bytes.clone()).await?;
            entries.push(Entry { path: path.clone(), digest: blob.digest, size: blob.size });
        }
        let manifest = Manifest::new(entries)?;
        let blob = self.put_tree(&manifest).await?;
        Ok((blob, manifest))
    }

    /// Reads every file of a tree and checks it against the manifest; returns how many bytes were read.
    ///
    /// # Errors
    /// [`ErrorKind::Integrity`] or [`ErrorKind::NotFound`] with the path of the first file that is not what it should be.
    async fn verify_tree(&self, digest: &Digest) -> Result<u64> {
        use futures_util::StreamExt as _;
        let manifest = self.tree(digest).await?;
        let mut total = 0;
        for entry in manifest.entries() {
            let mut stream = self.get(&entry.digest, None).await.map_err(|e| e.with("path", &entry.path))?;
            let mut size = 0;
            while let Some(piece) = stream.next().await {
                size += piece.map_err(|e| e.with("path", &entry.path))?.len() as u64;
            }
            if size != entry.size {
                let error = Error::new(ErrorKind::Integrity, "verify_tree", "a file has another length");
                return Err(error.with("path", &entry.path).with("expected", entry.size).with("found", size));
            }
            total += size;
        }
        Ok(total)
    }
}

impl<T: ArtifactStore + ?Sized> ArtifactStoreExt for T {}

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: ArtifactStore + ?Sized> ArtifactStore for $pointer<T> {
            async fn put(&self, body: ByteStream, expect: Option<Digest>) -> Result<Blob> {
                (**self).put(body, expect).await
            }

            async fn get(&self, digest: &Digest, range: Option<Range<u64>>) -> Result<ByteStream> {
                (**self).get(digest, range).await
            }

            async fn head(&self, digest: &Digest) -> Result<Option<Blob>> {
                (**self).head(digest).await
            }

            async fn put_tree(&self, manifest: &Manifest) -> Result<Blob> {
                (**self).put_tree(manifest).await
            }

            async fn tree(&self, digest: &Digest) -> Result<Manifest> {
                (**self).tree(digest).await
            }

            async fn collect_garbage(
                &self,
                roots: &BTreeSet<Digest>,
                options: &GcOptions,
            ) -> Result<GcReport> {
                (**self).collect_garbage(roots, options).await
            }
        }
    };
}
forward!(Arc);
forward!(Box);

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn ArtifactStore) {}
