//! The artifact store on an MLflow server's artifact proxy.
//!
//! # Version, permission, and what is eventually consistent
//! `mlflow-artifacts` of MLflow's REST API 2.0, in servers that serve artifacts; Azure Machine Learning has no such proxy. With
//! authentication on, the server's default permission counts, because the paths name no experiment. What was written is read at once
//! where the store behind the server is consistent, as files and object stores are.
//!
//! # What differs from the local backend
//! The proxy checks nothing and overwrites in place, so content counts once it is marked; ages are by the clocks of clients.

mod folder;
mod multipart;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _};
use mlops_core::artifact::{ArtifactStore, Blob, ByteStream, Entry, GcOptions, GcReport, Manifest};
use mlops_core::hash::Digest;
use mlops_core::time::Clock;
use mlops_core::{Error, ErrorKind, RelPath, Result};
use reqwest::Method;
use tokio::sync::{Mutex, MutexGuard};

use self::folder::{CONTENT, Folder, Item, Mark, items};
use super::{MlflowClient, RawCall};
use crate::artifact::spool::{self, MAX_MANIFEST, Spool, is_manifest};
use crate::http::HttpBody;

/// Where content lies, unless something else is set.
pub(super) const ROOT: &str = "mlops/cas/sha256";

/// How many requests are under way at once.
const AT_ONCE: usize = 8;

/// How often a transfer is begun.
const TRIES: u32 = 4;

/// Content by digest behind the artifact proxy of an MLflow server (`--serve-artifacts`, its default).
///
/// Every content has a folder, `mlops/cas/sha256/ab/ab12…`, with the bytes in `content` and, once they are all there, an
/// empty file whose name says when. The proxy checks nothing, overwrites in place and has no times: so bytes are hashed
/// before they are sent and before they are handed out, content counts once it is marked, and the marks tell its age.
///
/// * `get` reads all of the content into memory (up to 8 MiB) or a temporary file, checks it, then hands out what was asked
///   for: O(size), also for a range.
/// * `put` of content that is there reads it and checks it, and sends it again only if it is damaged.
/// * `put_tree` takes three requests for each of its files. Garbage collection takes one for each content, and one for each
///   of the up to 256 folders above.
/// * Garbage collection looks at a content again right before it removes it. Between that look and the removal, some
///   milliseconds, another process may put the same content: `put` looks, too, when it is done, and begins again.
///   A grace longer than the longest upload keeps the two apart for good.
/// * Content of [500 MiB](Self::MULTIPART) and more goes up in parts where the server offers it, as servers on an object
///   store do; the parts go straight to the store.
/// * The age of content is the difference of two wall clocks, that of who put it and that of who collects.
///
/// ```no_run
/// use std::sync::Arc;
/// use mlops_azure::mlflow::{MlflowArtifactStore, MlflowClient};
/// use mlops_core::artifact::ArtifactStoreExt as _;
/// use mlops_core::time::SystemClock;
/// # async fn f() -> mlops_core::Result<()> {
/// let client = MlflowClient::builder("http://127.0.0.1:5000").build()?;
/// let store = MlflowArtifactStore::new(client, Arc::new(SystemClock::new()));
/// let blob = store.put_bytes(b"weights".to_vec()).await?;
/// assert_eq!(&store.get_bytes(&blob.digest, 1024).await?[..], b"weights");
/// # Ok(()) }
/// ```
pub struct MlflowArtifactStore {
    client: MlflowClient,
    clock: Arc<dyn Clock>,
    root: String,
    multipart_from: u64,
    part: u64,
    /// The server said that it takes no uploads in parts.
    whole_only: AtomicBool,
    /// Who puts or removes content waits for who does so with the same content, or with one that shares its lock.
    locks: [Mutex<()>; 64],
}

impl MlflowArtifactStore {
    /// From how many bytes on content goes up in parts, where nothing else is set: as MLflow's own client does it.
    pub const MULTIPART: u64 = 500 << 20;

    /// The store of a server, at its default place.
    pub fn new(client: MlflowClient, clock: Arc<dyn Clock>) -> Self {
        Self {
            client,
            clock,
            root: ROOT.to_owned(),
            multipart_from: Self::MULTIPART,
            part: 10 << 20,
            whole_only: AtomicBool::new(false),
            locks: [const { Mutex::const_new(()) }; 64],
        }
    }

    /// Puts the content into this folder of the server's artifacts. Nothing else may lie there.
    #[must_use]
    pub fn with_root(mut self, root: &RelPath) -> Self {
        self.root = root.to_string();
        self
    }

    /// Uploads content of at least `from` bytes in parts of `part` bytes, where the server offers it. A part is held in memory
    /// while it is sent.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use mlops_azure::mlflow::{MlflowArtifactStore, MlflowClient};
    /// # use mlops_core::time::SystemClock;
    /// # let client = MlflowClient::builder("http://127.0.0.1:5000").build()?;
    /// let store = MlflowArtifactStore::new(client, Arc::new(SystemClock::new())).with_multipart(100 << 20, 16 << 20);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_multipart(mut self, from: u64, part: u64) -> Self {
        (self.multipart_from, self.part) = (from, part.max(1));
        self
    }

    /// Where MLflow's clients find the content: what
    /// [`MlflowRegistry::with_sources`](super::MlflowRegistry::with_sources) takes.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use mlops_azure::mlflow::{MlflowArtifactStore, MlflowClient};
    /// use mlops_core::RelPath;
    /// use mlops_core::time::SystemClock;
    /// let client = MlflowClient::builder("http://127.0.0.1:5000").build()?;
    /// let store = MlflowArtifactStore::new(client, Arc::new(SystemClock::new()));
    /// assert_eq!(store.uri(), "mlflow-artifacts:/mlops/cas/sha256");
    /// assert_eq!(store.with_root(&RelPath::new("team")?).uri(), "mlflow-artifacts:/team");
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn uri(&self) -> String {
        format!("mlflow-artifacts:/{}", self.root)
    }
}

impl fmt::Debug for MlflowArtifactStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MlflowArtifactStore")
            .field("client", &self.client)
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

/// The folder of a content below the root.
fn folder_path(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("{}/{hex}", hex.get(..2).unwrap_or_default())
}

/// The file with the bytes of a content below the root.
pub(super) fn content_path(digest: &Digest) -> String {
    format!("{}/{CONTENT}", folder_path(digest))
}

fn mismatch(operation: &'static str, expected: &Digest, found: Option<Digest>) -> Error {
    let error = Error::new(ErrorKind::Integrity, operation, "the content does not hash to its digest");
    let error = error.with("expected", expected);
    match found {
        Some(found) => error.with("found", found),
        None => error,
    }
}

async fn pause(tried: u32) {
    tokio::time::sleep(Duration::from_millis(100 << tried.min(6))).await;
}

/// How content is held that was asked for.
enum Reading {
    Found(Spool),
    Missing,
    /// What it hashes to, if all of it was read.
    Damaged(Option<Digest>),
}

// ---------------------------------------------------------------------------------------------------------- the requests

impl MlflowArtifactStore {
    fn folder_of(&self, digest: &Digest) -> String {
        format!("{}/{}", self.root, folder_path(digest))
    }

    fn lock_of(&self, digest: &Digest) -> &Mutex<()> {
        let [first, ..] = digest.as_bytes();
        &self.locks[usize::from(*first) % self.locks.len()]
    }

    async fn list(&self, operation: &'static str, path: &str) -> Result<Vec<Item>> {
        if !self.client.capabilities().await?.proxied_artifacts {
            return Err(Error::unsupported(operation, "proxied_artifacts"));
        }
        let answer = self.client.get(operation, "mlflow-artifacts/artifacts", &[("path", path)]).await;
        match answer {
            Ok(answer) => items(operation, &answer),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn folder(&self, operation: &'static str, digest: &Digest) -> Result<Folder> {
        Ok(Folder::of(&self.list(operation, &self.folder_of(digest)).await?))
    }

    async fn upload(&self, operation: &'static str, path: &str, body: HttpBody) -> Result<()> {
        let call = RawCall::new(Method::PUT, format!("mlflow-artifacts/artifacts/{path}")).body(body);
        self.client.raw(operation, call).await.map(drop)
    }

    async fn remove(&self, operation: &'static str, path: &str) -> Result<()> {
        let call = RawCall::new(Method::DELETE, format!("mlflow-artifacts/artifacts/{path}"));
        match self.client.raw(operation, call).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Content that is in the listing, read and checked once.
    async fn download(&self, operation: &'static str, blob: &Blob) -> Result<Reading> {
        let path = format!("mlflow-artifacts/artifacts/{}/{CONTENT}", self.folder_of(&blob.digest));
        let mut tried = 0;
        loop {
            let result = async {
                let response = self.client.raw(operation, RawCall::new(Method::GET, path.clone())).await?;
                // More than the listing said is not that content, and need not be read to its end.
                Spool::read(operation, response.limited(operation, blob.size).body).await
            };
            tried += 1;
            match result.await {
                Ok(spool) if spool.blob.digest == blob.digest => return Ok(Reading::Found(spool)),
                Ok(spool) => return Ok(Reading::Damaged(Some(spool.blob.digest))),
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Reading::Missing),
                Err(error) if error.kind() == ErrorKind::LimitExceeded => return Ok(Reading::Damaged(None)),
                Err(error) if error.is_retryable() && tried < TRIES => pause(tried).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Content, read and checked. What another process is writing again at this moment looks damaged until it is done: so
    /// what looks damaged is read again before that is said.
    async fn read(&self, operation: &'static str, digest: &Digest) -> Result<Spool> {
        let missing = || Error::not_found(operation, "content", digest);
        let mut tried = 0;
        loop {
            let blob = self.folder(operation, digest).await?.blob(*digest).ok_or_else(missing)?;
            tried += 1;
            match self.download(operation, &blob).await? {
                Reading::Found(spool) => return Ok(spool),
                Reading::Missing => return Err(missing()),
                Reading::Damaged(_) if tried < TRIES => pause(tried).await,
                Reading::Damaged(found) => return Err(mismatch(operation, digest, found)),
            }
        }
    }

    /// Sends the bytes of a content to its folder.
    async fn send(&self, operation: &'static str, spool: &Spool) -> Result<()> {
        let folder = self.folder_of(&spool.blob.digest);
        if spool.blob.size >= self.multipart_from.max(1) && !self.whole_only.load(Ordering::Relaxed) {
            if multipart::upload(&self.client, operation, &folder, spool, self.part).await? {
                return Ok(());
            }
            self.whole_only.store(true, Ordering::Relaxed);
        }
        let path = format!("{folder}/{CONTENT}");
        if let Some(bytes) = spool.in_memory() {
            return self.upload(operation, &path, HttpBody::Bytes(bytes)).await;
        }
        let mut tried = 0;
        loop {
            let size = spool.blob.size;
            let body = HttpBody::Stream(spool.stream(operation, 0..size).await?, Some(size));
            tried += 1;
            match self.upload(operation, &path, body).await {
                Err(error) if error.is_retryable() && tried < TRIES => pause(tried).await,
                other => return other,
            }
        }
    }

    /// Marks a content as put now, and takes away the marks before.
    async fn mark(
        &self,
        operation: &'static str,
        digest: &Digest,
        before: &Folder,
        mark: Mark,
    ) -> Result<()> {
        let (path, at) = (self.folder_of(digest), self.clock.now().timestamp_micros());
        // A clock that was set back must not make content older than it was.
        let at = before.at().map_or(at, |last| at.max(last));
        self.upload(operation, &format!("{path}/{}", mark.name(at)), HttpBody::Bytes(Default::default()))
            .await?;
        for old in before.older_than(at) {
            self.remove(operation, &format!("{path}/{old}")).await?;
        }
        Ok(())
    }

    /// Stores content that is known, under the lock of its digest.
    async fn store(&self, operation: &'static str, spool: &Spool, mark: Mark) -> Result<Blob> {
        let blob = spool.blob;
        for _ in 0..TRIES {
            let before = self.folder(operation, &blob.digest).await?;
            let intact = match before.blob(blob.digest) {
                Some(found) if found.size == blob.size => {
                    matches!(self.download(operation, &found).await?, Reading::Found(_))
                }
                _ => false,
            };
            if !intact {
                self.send(operation, spool).await?;
            }
            self.mark(operation, &blob.digest, &before, mark).await?;
            // Garbage collection elsewhere may have removed it in between.
            if self.folder(operation, &blob.digest).await?.blob(blob.digest) == Some(blob) {
                return Ok(blob);
            }
        }
        let message = "the content does not stay on the server: something else changes it";
        Err(Error::new(ErrorKind::Busy, operation, message).with("digest", blob.digest))
    }

    async fn guard(&self, digest: &Digest) -> MutexGuard<'_, ()> {
        self.lock_of(digest).lock().await
    }
}

// -------------------------------------------------------------------------------------------------------------- the trees

impl MlflowArtifactStore {
    /// A file of a tree, which must be there with its size.
    async fn file(&self, operation: &'static str, entry: Entry) -> Result<()> {
        let folder = self.folder(operation, &entry.digest).await?;
        match folder.blob(entry.digest) {
            None => Err(Error::not_found(operation, "content", entry.digest).with("path", &entry.path)),
            Some(found) if found.size != entry.size => {
                Err(Error::new(ErrorKind::Integrity, operation, "a file has another size")
                    .with("path", &entry.path)
                    .with("expected", entry.size)
                    .with("found", found.size))
            }
            Some(_) => Ok(()),
        }
    }

    /// Makes a content young again, which is what it was.
    async fn refresh(&self, operation: &'static str, digest: &Digest) -> Result<()> {
        let _guard = self.guard(digest).await;
        let before = self.folder(operation, digest).await?;
        if before.blob(*digest).is_none() {
            return Err(Error::not_found(operation, "content", digest));
        }
        let mark = if before.is_tree() { Mark::Tree } else { Mark::Put };
        self.mark(operation, digest, &before, mark).await
    }

    async fn manifest(&self, operation: &'static str, digest: &Digest) -> Result<Manifest> {
        let spool = self.read(operation, digest).await?;
        spool::manifest(operation, digest, &spool).await
    }
}

// ------------------------------------------------------------------------------------------------------------ collection

impl MlflowArtifactStore {
    /// Every content that has a folder.
    async fn everything(&self, operation: &'static str) -> Result<BTreeMap<Digest, Folder>> {
        let shards = self.list(operation, &self.root).await?;
        let names = |items: Vec<Item>| items.into_iter().filter(|item| item.is_folder).map(|item| item.name);
        let shards = futures_util::stream::iter(names(shards)).map(|shard| async move {
            let items = self.list(operation, &format!("{}/{shard}", self.root)).await?;
            Ok::<_, Error>(
                names(items).filter_map(|hex| format!("sha256:{hex}").parse().ok()).collect::<Vec<_>>(),
            )
        });
        let digests: Vec<Vec<Digest>> = shards.buffer_unordered(AT_ONCE).try_collect().await?;
        let folders = futures_util::stream::iter(digests.into_iter().flatten());
        let folders =
            folders.map(|digest| async move { Ok((digest, self.folder(operation, &digest).await?)) });
        folders.buffer_unordered(AT_ONCE).try_collect().await
    }

    /// What the roots keep of what is there: themselves, and the files of those that are trees.
    async fn reachable(
        &self,
        operation: &'static str,
        roots: &BTreeSet<Digest>,
        all: &BTreeMap<Digest, Folder>,
    ) -> Result<BTreeSet<Digest>> {
        let is_there = |digest: &Digest| all.get(digest).is_some_and(|folder| folder.blob(*digest).is_some());
        let mut kept: BTreeSet<Digest> = roots.iter().filter(|root| is_there(root)).copied().collect();
        let trees: Vec<Digest> = kept.iter().filter(|root| all[*root].is_tree()).copied().collect();
        for tree in trees {
            // A manifest that cannot be read keeps nobody knows what: then nothing is removed at all.
            let manifest = self.manifest(operation, &tree).await?;
            kept.extend(manifest.entries().iter().map(|entry| entry.digest).filter(is_there));
        }
        Ok(kept)
    }

    fn is_old(&self, folder: &Folder, grace: Duration) -> bool {
        let now = self.clock.now().timestamp_micros();
        match folder.at() {
            Some(at) => Duration::from_micros(u64::try_from(now.saturating_sub(at)).unwrap_or(0)) >= grace,
            None => grace.is_zero(),
        }
    }

    /// Removes a content, unless it was put since it was found to be old.
    async fn sweep(&self, operation: &'static str, digest: &Digest, grace: Duration) -> Result<bool> {
        let _guard = self.guard(digest).await;
        let folder = self.folder(operation, digest).await?;
        if !self.is_old(&folder, grace) {
            return Ok(false);
        }
        self.remove(operation, &self.folder_of(digest)).await?;
        Ok(true)
    }

    /// Bytes that nobody has put to the end: an upload under way, or the remains of one that broke off. They stay for the
    /// grace, from when they were found.
    async fn sweep_remains(
        &self,
        operation: &'static str,
        digest: &Digest,
        folder: &Folder,
        options: &GcOptions,
    ) -> Result<()> {
        if self.is_old(folder, options.grace) {
            return self.sweep(operation, digest, options.grace).await.map(drop);
        }
        if folder.at().is_some() || !folder.has_bytes() {
            return Ok(());
        }
        let mark = Mark::Seen.name(self.clock.now().timestamp_micros());
        self.upload(
            operation,
            &format!("{}/{mark}", self.folder_of(digest)),
            HttpBody::Bytes(Default::default()),
        )
        .await
    }
}

#[async_trait]
impl ArtifactStore for MlflowArtifactStore {
    async fn put(&self, body: ByteStream, expect: Option<Digest>) -> Result<Blob> {
        const OP: &str = "ArtifactStore::put";
        let spool = Spool::read(OP, body).await?;
        let digest = spool.blob.digest;
        if let Some(expected) = expect.filter(|expected| *expected != digest) {
            let error = Error::new(ErrorKind::Integrity, OP, "the content has another digest");
            return Err(error.with("expected", expected).with("found", digest));
        }
        let is_tree = is_manifest(OP, &spool).await?;
        let _guard = self.guard(&digest).await;
        self.store(OP, &spool, if is_tree { Mark::Tree } else { Mark::Put }).await
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
        Ok(self.folder("ArtifactStore::head", digest).await?.blob(*digest))
    }

    async fn put_tree(&self, manifest: &Manifest) -> Result<Blob> {
        const OP: &str = "ArtifactStore::put_tree";
        let bytes = manifest.to_bytes()?;
        if bytes.len() > MAX_MANIFEST {
            return Err(Error::limit(OP, "the manifest", MAX_MANIFEST, bytes.len()));
        }
        // Two entries of one digest must have one size: all are looked at, and each digest is refreshed once.
        let entries = manifest.entries().to_vec();
        let files: BTreeMap<Digest, RelPath> = entries.iter().map(|e| (e.digest, e.path.clone())).collect();
        let checks = futures_util::stream::iter(entries).map(|entry| self.file(OP, entry));
        checks.buffer_unordered(AT_ONCE).try_for_each(|()| async { Ok(()) }).await?;
        let fresh = futures_util::stream::iter(files).map(|(digest, path)| async move {
            self.refresh(OP, &digest).await.map_err(|e| e.with("path", path))
        });
        fresh.buffer_unordered(AT_ONCE).try_for_each(|()| async { Ok(()) }).await?;
        let spool = Spool::read(OP, bytes.into()).await?;
        let _guard = self.guard(&spool.blob.digest).await;
        self.store(OP, &spool, Mark::Tree).await
    }

    async fn tree(&self, digest: &Digest) -> Result<Manifest> {
        self.manifest("ArtifactStore::tree", digest).await
    }

    async fn collect_garbage(&self, roots: &BTreeSet<Digest>, options: &GcOptions) -> Result<GcReport> {
        const OP: &str = "ArtifactStore::collect_garbage";
        let all = self.everything(OP).await?;
        let reachable = self.reachable(OP, roots, &all).await?;
        let (mut removed, mut in_grace) = (Vec::new(), 0);
        for (digest, folder) in all.iter().filter(|(digest, _)| !reachable.contains(*digest)) {
            match folder.blob(*digest) {
                Some(_) if !self.is_old(folder, options.grace) => in_grace += 1,
                Some(blob) if options.dry_run => removed.push(blob),
                Some(blob) => match self.sweep(OP, digest, options.grace).await? {
                    true => removed.push(blob),
                    false => in_grace += 1,
                },
                None if options.dry_run => {}
                None => self.sweep_remains(OP, digest, folder, options).await?,
            }
        }
        Ok(GcReport::new(removed, reachable.len(), in_grace))
    }
}
