//! The artifact store in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::artifact::{ArtifactStore, Blob, ByteStream, Entry, GcOptions, GcReport, Manifest};
use crate::error::{Error, ErrorKind, Result};
use crate::hash::Digest;
use crate::time::{Clock, SystemClock, lock};

/// Content in memory, by digest.
///
/// ```
/// use mlops_core::artifact::ArtifactStoreExt as _;
/// use mlops_core::memory::MemoryArtifactStore;
/// use mlops_core::RelPath;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let store = MemoryArtifactStore::default();
/// let (tree, _) = store.put_files(&[(RelPath::new("model/weights")?, b"0.5".to_vec().into())]).await?;
/// assert_eq!(store.verify_tree(&tree.digest).await?, 3);
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MemoryArtifactStore {
    clock: Arc<dyn Clock>,
    max_blob: usize,
    blobs: Mutex<BTreeMap<Digest, Stored>>,
}

struct Stored {
    bytes: Bytes,
    /// The files it holds, where the content is a manifest. Known from the time of the put, so that a manifest damaged
    /// later still keeps its files.
    files: Vec<Digest>,
    /// Monotonic time of the last put: a wall clock that jumps must not make content old.
    put_at: Duration,
}

impl Stored {
    fn new(bytes: Bytes, put_at: Duration) -> Self {
        let files = Manifest::from_bytes(&bytes)
            .map(|manifest| manifest.entries().iter().map(|e| e.digest).collect())
            .unwrap_or_default();
        Self { bytes, files, put_at }
    }

    fn blob(&self, digest: Digest) -> Blob {
        Blob { digest, size: self.bytes.len() as u64 }
    }
}

impl MemoryArtifactStore {
    /// The most bytes one blob may have, unless [`Self::with_max_blob`] says less: 1 GiB.
    pub const MAX_BLOB: usize = 1 << 30;

    /// An empty store that tells the age of content by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, max_blob: Self::MAX_BLOB, blobs: Mutex::default() }
    }

    /// Refuses blobs of more than `bytes` bytes.
    ///
    /// ```
    /// use mlops_core::artifact::ArtifactStoreExt as _;
    /// use mlops_core::{ErrorKind, memory::MemoryArtifactStore};
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let store = MemoryArtifactStore::default().with_max_blob(4);
    /// assert!(store.put_bytes(b"1234".to_vec()).await.is_ok());
    /// assert_eq!(store.put_bytes(b"12345".to_vec()).await.unwrap_err().kind(), ErrorKind::LimitExceeded);
    /// # });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_max_blob(mut self, bytes: usize) -> Self {
        self.max_blob = bytes.min(Self::MAX_BLOB);
        self
    }

    /// Flips one bit of a blob (an empty one gets a byte), to see whether that is noticed.
    #[doc(hidden)]
    #[cfg(any(test, feature = "conformance"))]
    pub fn damage(&self, digest: &Digest) {
        if let Some(stored) = lock(&self.blobs).get_mut(digest) {
            let mut bytes = stored.bytes.to_vec();
            match bytes.last_mut() {
                Some(last) => *last ^= 1,
                None => bytes.push(0),
            }
            stored.bytes = bytes.into();
        }
    }

    /// The content of `digest`, verified.
    fn read(&self, operation: &'static str, digest: &Digest) -> Result<Bytes> {
        let bytes = lock(&self.blobs).get(digest).map(|stored| stored.bytes.clone());
        let bytes = bytes.ok_or_else(|| Error::not_found(operation, "content", digest))?;
        let found = Digest::of(&bytes);
        if found == *digest {
            return Ok(bytes);
        }
        let error = Error::new(ErrorKind::Integrity, operation, "the content does not hash to its digest");
        Err(error.with("expected", digest).with("found", found))
    }
}

impl Default for MemoryArtifactStore {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock::new()))
    }
}

impl fmt::Debug for MemoryArtifactStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blobs = lock(&self.blobs).len();
        f.debug_struct("MemoryArtifactStore").field("blobs", &blobs).finish_non_exhaustive()
    }
}

#[async_trait]
impl ArtifactStore for MemoryArtifactStore {
    async fn put(&self, body: ByteStream, expect: Option<Digest>) -> Result<Blob> {
        let bytes = body.collect(self.max_blob).await?;
        let digest = Digest::of(&bytes);
        if let Some(expected) = expect.filter(|e| *e != digest) {
            let error =
                Error::new(ErrorKind::Integrity, "ArtifactStore::put", "the content has another digest");
            return Err(error.with("expected", expected).with("found", digest));
        }
        let stored = Stored::new(bytes, self.clock.monotonic());
        let blob = stored.blob(digest);
        // Also when it is there already: that makes it young again, and repairs it should it be damaged.
        lock(&self.blobs).insert(digest, stored);
        Ok(blob)
    }

    async fn get(&self, digest: &Digest, range: Option<Range<u64>>) -> Result<ByteStream> {
        const OP: &str = "ArtifactStore::get";
        let bytes = self.read(OP, digest)?;
        let Some(range) = range else { return Ok(bytes.into()) };
        let within = |at: u64| usize::try_from(at).ok().filter(|at| *at <= bytes.len());
        match (within(range.start), within(range.end)) {
            (Some(start), Some(end)) if start <= end => Ok(bytes.slice(start..end).into()),
            _ => Err(Error::invalid(OP, "range", "does not lie within the content")
                .with("range", format!("{}..{}", range.start, range.end))
                .with("size", bytes.len())),
        }
    }

    async fn head(&self, digest: &Digest) -> Result<Option<Blob>> {
        Ok(lock(&self.blobs).get(digest).map(|stored| stored.blob(*digest)))
    }

    async fn put_tree(&self, manifest: &Manifest) -> Result<Blob> {
        let bytes = Bytes::from(manifest.to_bytes()?);
        if bytes.len() > self.max_blob {
            return Err(Error::limit("ArtifactStore::put_tree", "the manifest", self.max_blob, bytes.len()));
        }
        let digest = Digest::of(&bytes);
        let stored = Stored::new(bytes, self.clock.monotonic());
        let blob = stored.blob(digest);
        let mut blobs = lock(&self.blobs);
        manifest.entries().iter().try_for_each(|entry| check_file(&blobs, entry))?;
        for entry in manifest.entries() {
            if let Some(file) = blobs.get_mut(&entry.digest) {
                file.put_at = stored.put_at;
            }
        }
        blobs.insert(digest, stored);
        Ok(blob)
    }

    async fn tree(&self, digest: &Digest) -> Result<Manifest> {
        let bytes = self.read("ArtifactStore::tree", digest)?;
        Manifest::from_bytes(&bytes).map_err(|e| e.with("digest", digest))
    }

    async fn collect_garbage(&self, roots: &BTreeSet<Digest>, options: &GcOptions) -> Result<GcReport> {
        let now = self.clock.monotonic();
        let mut blobs = lock(&self.blobs);
        let files = roots.iter().filter_map(|root| blobs.get(root)).flat_map(|root| root.files.iter());
        let reachable: BTreeSet<Digest> =
            files.chain(roots).filter(|digest| blobs.contains_key(*digest)).copied().collect();
        let unreachable = blobs.iter().filter(|(digest, _)| !reachable.contains(*digest));
        let (young, old): (Vec<_>, Vec<_>) =
            unreachable.partition(|(_, stored)| now.saturating_sub(stored.put_at) < options.grace);
        let in_grace = young.len();
        let removed: Vec<Blob> = old.into_iter().map(|(digest, stored)| stored.blob(*digest)).collect();
        if !options.dry_run {
            for blob in &removed {
                blobs.remove(&blob.digest);
            }
        }
        Ok(GcReport::new(removed, reachable.len(), in_grace))
    }
}

fn check_file(blobs: &BTreeMap<Digest, Stored>, entry: &Entry) -> Result<()> {
    const OP: &str = "ArtifactStore::put_tree";
    let Some(stored) = blobs.get(&entry.digest) else {
        return Err(Error::not_found(OP, "content", entry.digest).with("path", &entry.path));
    };
    let found = stored.blob(entry.digest).size;
    if found == entry.size {
        return Ok(());
    }
    let error = Error::new(ErrorKind::Integrity, OP, "a file has another size");
    Err(error.with("path", &entry.path).with("expected", entry.size).with("found", found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::ArtifactStoreExt as _;
    use crate::conformance::artifact::ArtifactsUnderTest;
    use crate::time::ManualClock;

    fn fresh(wrap: impl FnOnce(Arc<MemoryArtifactStore>) -> Arc<dyn ArtifactStore>) -> ArtifactsUnderTest {
        let clock = Arc::new(ManualClock::at(chrono::DateTime::UNIX_EPOCH));
        let store = Arc::new(MemoryArtifactStore::new(clock.clone()));
        let damaged = store.clone();
        ArtifactsUnderTest::new(wrap(store))
            .with_clock(clock)
            .with_damage(move |digest| damaged.damage(digest))
    }

    crate::artifact_store_suite!(plain, fresh(|store| store));
    crate::artifact_store_suite!(in_an_arc, fresh(|store| Arc::new(store as Arc<dyn ArtifactStore>)));
    crate::artifact_store_suite!(
        in_a_box,
        fresh(|store| Arc::new(Box::new(store) as Box<dyn ArtifactStore>))
    );

    #[tokio::test]
    async fn debug_output_has_no_content() {
        let store = MemoryArtifactStore::default();
        store.put_bytes(b"secret".to_vec()).await.unwrap();
        let shown = format!("{store:?}");
        assert!(shown.contains("blobs: 1") && !shown.contains("secret"), "{shown}");
    }

    #[tokio::test]
    async fn a_blob_over_the_limit_is_refused_and_not_kept() {
        let store = MemoryArtifactStore::default().with_max_blob(8);
        let error = store.put_bytes(vec![0; 9]).await.unwrap_err();
        assert_eq!((error.kind(), error.context("limit")), (ErrorKind::LimitExceeded, Some("8")));
        assert_eq!(lock(&store.blobs).len(), 0);
        assert_eq!(store.put_bytes(vec![0; 8]).await.unwrap().size, 8);
    }
}
