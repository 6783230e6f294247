//! The artifacts of a run.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use bytes::BytesMut;
use futures_util::{StreamExt as _, TryStreamExt as _};
use mlops_core::artifact::{Blob, ByteStream};
use mlops_core::experiment::ArtifactLink;
use mlops_core::governance::Secret;
use mlops_core::hash::{Digest, StreamHasher};
use mlops_core::{Error, ErrorKind, RelPath, Result};
use tokio::fs;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::blob::{Blobs, Put, Stored};
use crate::artifact::spool::Spool;
use crate::http::{Service, redact};
use crate::wire::RunHistory;

/// How many artifacts are entered in one request; as many as azureml-mlflow enters.
const BATCH: usize = 50;

/// How many files are on their way at once.
const AT_ONCE: usize = 4;

/// The most files of one folder.
const MAX_FILES: usize = 100_000;

/// How much is read from a file at once.
const PIECE: usize = 256 << 10;

/// The artifacts of one run in Azure Machine Learning, through run history: what people see under "Outputs + logs".
///
/// * An artifact is written once. To write the same content again changes nothing, also after an answer was lost; other content
///   is [`ErrorKind::Conflict`].
/// * Content of more than [`AzureMlflow::PART`](super::AzureMlflow::PART) goes up in blocks, and is there once all of them are.
///   An upload that broke off goes on where it was: blocks that are there are not sent again.
/// * Content that goes up here has its digest beside it, and is checked by it when it comes down. Of what other clients put
///   there, the length is checked, and the digest if the caller knows it.
/// * A download that breaks off goes on where it was. It is handed out once all of it came and was checked.
/// * What is on its way is held in memory up to 8 MiB and in a temporary file beyond.
///
/// Nothing can be removed, and nothing here is content-addressed: for core's
/// [`ArtifactStore`](mlops_core::artifact::ArtifactStore) take one on blobs. A whole upload of a file takes two requests, and
/// 50 files share one of the two.
///
/// # Permissions
/// `Microsoft.MachineLearningServices/workspaces/experiments/runs/read` and `…/write`. The storage itself is reached by addresses that
/// run history signs.
///
/// ```no_run
/// use mlops_azure::mlflow::AzureMlflow;
/// use mlops_core::RelPath;
/// # async fn f(azure: AzureMlflow) -> mlops_core::Result<()> {
/// let artifacts = azure.artifacts("churn", "amiable_pin_1")?;
/// let link = artifacts.upload(&RelPath::new("model/weights.json")?, b"{}".to_vec().into()).await?;
/// println!("{} has {} bytes", link.path, link.size);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct RunArtifacts {
    service: Service,
    blobs: Blobs,
    run: RunHistory,
}

/// Where an artifact stands before its bytes go up.
enum Entry {
    New(Secret),
    There,
}

fn local(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.display().to_string();
    move |e| {
        let kind = match e.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Storage,
        };
        Error::new(kind, operation, "a local file cannot be used").with("file", path).with_source(e)
    }
}

impl RunArtifacts {
    pub(super) fn new(service: Service, blobs: Blobs, run: RunHistory) -> Self {
        Self { service, blobs, run }
    }

    /// The paths of all artifacts of the run, in order.
    ///
    /// # Errors
    /// Those of the service; [`ErrorKind::Protocol`] for a path that leads out of a folder.
    pub async fn list(&self) -> Result<Vec<RelPath>> {
        const OP: &str = "RunArtifacts::list";
        let items = self.service.items(self.run.list(OP));
        let path = |artifact: crate::wire::RunArtifact| {
            RelPath::new(&artifact.path).map_err(|e| {
                Error::new(ErrorKind::Protocol, OP, "the service lists a path that is none").with_source(e)
            })
        };
        let mut paths: Vec<RelPath> = items.map(|item| item.and_then(path)).try_collect().await?;
        paths.sort();
        paths.dedup();
        Ok(paths)
    }

    /// Puts content at a path, and returns what to link the run with.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] for a path that has other content already; those of the service, of the storage and of `body`.
    pub async fn upload(&self, path: &RelPath, body: ByteStream) -> Result<ArtifactLink> {
        const OP: &str = "RunArtifacts::upload";
        let spool = Spool::read(OP, body).await?;
        let entry = self.enter(OP, &[path]).await?.remove(path).unwrap_or(Entry::There);
        self.store(OP, path, entry, &spool).await
    }

    /// Puts a file at a path.
    ///
    /// # Errors
    /// As of [`upload`](Self::upload); [`ErrorKind::NotFound`] and [`ErrorKind::Storage`] for the file.
    pub async fn upload_file(&self, path: &RelPath, file: &Path) -> Result<ArtifactLink> {
        self.upload(path, read_file("RunArtifacts::upload_file", file).await?).await
    }

    /// Puts all files of a folder below a path, or below the run itself. Repeated, it sends what is missing.
    ///
    /// # Errors
    /// As of [`upload_file`](Self::upload_file); [`ErrorKind::InvalidInput`] for a folder with links, or with names that are no
    /// paths; [`ErrorKind::LimitExceeded`] beyond 100 000 files. What was put before an error stays.
    pub async fn upload_folder(&self, at: Option<&RelPath>, folder: &Path) -> Result<Vec<ArtifactLink>> {
        const OP: &str = "RunArtifacts::upload_folder";
        let files = files_of(OP, at, folder).await?;
        let mut links = Vec::with_capacity(files.len());
        for batch in files.chunks(BATCH) {
            let paths: Vec<&RelPath> = batch.iter().map(|(path, _)| path).collect();
            let mut entries = self.enter(OP, &paths).await?;
            let uploads: Vec<_> = batch
                .iter()
                .map(|(path, file)| (path, file, entries.remove(path).unwrap_or(Entry::There)))
                .collect();
            let uploads = futures_util::stream::iter(uploads).map(|(path, file, entry)| async move {
                let spool = Spool::read(OP, read_file(OP, file).await?).await?;
                self.store(OP, path, entry, &spool).await
            });
            links.extend(uploads.buffered(AT_ONCE).try_collect::<Vec<_>>().await?);
        }
        Ok(links)
    }

    /// Content at a path, all of it read and checked: against `expected`, else against the digest beside it, and always against
    /// its length.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Integrity`] for content that has another digest; those of the service and of the
    /// storage.
    pub async fn download(
        &self,
        path: &RelPath,
        expected: Option<&Digest>,
    ) -> Result<(ArtifactLink, ByteStream)> {
        const OP: &str = "RunArtifacts::download";
        let (stored, body) = self.open(OP, path).await?;
        let spool = Spool::read(OP, body).await?;
        check(OP, path, &spool.blob, expected.copied().or(stored.digest))?;
        let body = spool.stream(OP, 0..spool.blob.size).await?;
        Ok((link(path, &spool.blob), body))
    }

    /// Writes the content at a path into a file, which is there once all of it came and was checked. A file that has this
    /// content already is left as it is.
    ///
    /// # Errors
    /// As of [`download`](Self::download); [`ErrorKind::Storage`] for the file.
    pub async fn download_file(
        &self,
        path: &RelPath,
        expected: Option<&Digest>,
        file: &Path,
    ) -> Result<ArtifactLink> {
        const OP: &str = "RunArtifacts::download_file";
        let (stored, body) = self.open(OP, path).await?;
        let digest = expected.copied().or(stored.digest);
        if let Some(digest) = digest
            && is_file_of(OP, file, Blob { digest, size: stored.size }).await?
        {
            return Ok(link(path, &Blob { digest, size: stored.size }));
        }
        let spool = Spool::read(OP, body).await?;
        check(OP, path, &spool.blob, digest)?;
        write_file(OP, file, spool.stream(OP, 0..spool.blob.size).await?).await?;
        Ok(link(path, &spool.blob))
    }

    /// Writes all artifacts below a path, or of the run, into a folder. Repeated, it fetches what is missing.
    ///
    /// # Errors
    /// As of [`list`](Self::list) and [`download_file`](Self::download_file).
    pub async fn download_folder(&self, from: Option<&RelPath>, folder: &Path) -> Result<Vec<ArtifactLink>> {
        let below = |path: &RelPath| match from {
            None => Some(path.to_string()),
            Some(from) => path.as_str().strip_prefix(from.as_str())?.strip_prefix('/').map(str::to_owned),
        };
        let paths = self.list().await?;
        let wanted: Vec<_> = paths.into_iter().filter_map(|path| Some((below(&path)?, path))).collect();
        let files = futures_util::stream::iter(wanted).map(|(below, path)| async move {
            let file = below.split('/').fold(folder.to_owned(), |at, segment| at.join(segment));
            self.download_file(&path, None, &file).await
        });
        files.buffered(AT_ONCE).try_collect().await
    }
}

impl RunArtifacts {
    /// Enters artifacts, and says of each where its bytes go, or that it is there.
    async fn enter(&self, operation: &'static str, paths: &[&RelPath]) -> Result<HashMap<RelPath, Entry>> {
        let texts: Vec<&str> = paths.iter().map(|path| path.as_str()).collect();
        let answer = self.service.call(self.run.enter(operation, &texts)?).await?;
        let mut entries = HashMap::new();
        let (mut made, errors) = (answer.artifact_content_information, answer.errors);
        for path in paths {
            let entry = match (
                made.remove(path.as_str()).and_then(|info| info.content_uri),
                errors.get(path.as_str()),
            ) {
                (Some(uri), _) => Entry::New(uri),
                (None, Some(failed)) if failed.error.is_there() => Entry::There,
                (None, Some(failed)) => {
                    let shown = |text: Option<&str>| redact::text(text.unwrap_or_default(), &[], 400);
                    let message = "the service does not take the artifact";
                    return Err(Error::new(ErrorKind::Rejected, operation, message)
                        .with("path", path)
                        .with("code", shown(failed.error.code.as_deref()))
                        .with("said", shown(failed.error.message.as_deref())));
                }
                (None, None) => {
                    let message = "the service does not say where the artifact goes";
                    return Err(Error::new(ErrorKind::Protocol, operation, message).with("path", path));
                }
            };
            entries.insert((*path).clone(), entry);
        }
        Ok(entries)
    }

    /// The signed address of an artifact that is entered.
    async fn place(&self, operation: &'static str, path: &RelPath) -> Result<Secret> {
        let info = self.service.call(self.run.content(operation, path.as_str())).await;
        let info = info.map_err(|error| error.with("path", path))?;
        info.content_uri.ok_or_else(|| {
            let message = "the service does not say where the artifact is";
            Error::new(ErrorKind::Protocol, operation, message).with("path", path)
        })
    }

    /// Puts content that is entered; if something is there, it must be the same.
    async fn store(
        &self,
        operation: &'static str,
        path: &RelPath,
        entry: Entry,
        spool: &Spool,
    ) -> Result<ArtifactLink> {
        let link = link(path, &spool.blob);
        let put = async |uri: &Secret| {
            self.blobs.put(operation, uri, spool).await.map_err(|error| error.with("path", path))
        };
        if let Entry::New(uri) = &entry
            && put(uri).await? == Put::Done
        {
            return Ok(link);
        }
        for _ in 0..2 {
            let uri = self.place(operation, path).await?;
            match self.blobs.look(operation, &uri).await? {
                Some(stored) => {
                    self.must_be(operation, path, &uri, &stored, &spool.blob).await?;
                    return Ok(link);
                }
                // It was entered, and then its upload broke off.
                None if put(&uri).await? == Put::Done => return Ok(link),
                // Somebody else was faster, or this call was and its answer was lost.
                None => {}
            }
        }
        let message = "others write and remove the artifact at the same time";
        Err(Error::new(ErrorKind::Busy, operation, message).with("path", path))
    }

    /// Checks that what is at a path is this content.
    async fn must_be(
        &self,
        operation: &'static str,
        path: &RelPath,
        uri: &Secret,
        stored: &Stored,
        wanted: &Blob,
    ) -> Result<()> {
        let other = |found: String| {
            let message = "an artifact's path has other content already";
            Err(Error::conflict(operation, message, wanted.digest, found).with("path", path))
        };
        if stored.size != wanted.size {
            return other(format!("{} bytes", stored.size));
        }
        let found = match stored.digest {
            Some(digest) => digest,
            // Another client put it there, without its digest.
            None => match self.blobs.open(operation, uri).await? {
                Some((_, body)) => Spool::read(operation, body).await?.blob.digest,
                None => return Err(Error::not_found(operation, "artifact", path)),
            },
        };
        match found == wanted.digest {
            true => Ok(()),
            false => other(found.to_string()),
        }
    }

    async fn open(&self, operation: &'static str, path: &RelPath) -> Result<(Stored, ByteStream)> {
        let uri = self.place(operation, path).await?;
        let found = self.blobs.open(operation, &uri).await.map_err(|error| error.with("path", path))?;
        found.ok_or_else(|| Error::not_found(operation, "artifact", path))
    }
}

fn link(path: &RelPath, blob: &Blob) -> ArtifactLink {
    ArtifactLink::new(path.clone(), blob.digest, blob.size)
}

fn check(operation: &'static str, path: &RelPath, found: &Blob, expected: Option<Digest>) -> Result<()> {
    match expected.filter(|expected| *expected != found.digest) {
        None => Ok(()),
        Some(expected) => {
            Err(Error::new(ErrorKind::Integrity, operation, "the artifact does not hash to its digest")
                .with("path", path)
                .with("expected", expected)
                .with("found", found.digest))
        }
    }
}

/// The content of a file in pieces.
async fn read_file(operation: &'static str, path: &Path) -> Result<ByteStream> {
    let file = fs::File::open(path).await.map_err(local(operation, path))?;
    let path = path.to_owned();
    let pieces = futures_util::stream::try_unfold((file, path), move |(mut file, path)| async move {
        let mut piece = BytesMut::with_capacity(PIECE);
        match file.read_buf(&mut piece).await.map_err(local(operation, &path))? {
            0 => Ok(None),
            _ => Ok(Some((piece.freeze(), (file, path)))),
        }
    });
    Ok(ByteStream::new(pieces))
}

/// Whether a file has this content.
async fn is_file_of(operation: &'static str, path: &Path, blob: Blob) -> Result<bool> {
    match fs::metadata(path).await {
        Ok(found) if found.is_file() && found.len() == blob.size => {}
        _ => return Ok(false),
    }
    let (mut hasher, mut body) = (StreamHasher::new(), read_file(operation, path).await?);
    while let Some(piece) = body.next().await {
        hasher.update(&piece?);
    }
    Ok(hasher.finish() == blob.digest)
}

/// Writes a file beside its place, and puts it there once it is whole.
async fn write_file(operation: &'static str, path: &Path, mut body: ByteStream) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).await.map_err(local(operation, folder))?;
    let beside = tempfile::NamedTempFile::new_in(folder).map_err(local(operation, folder))?;
    let mut file = fs::File::create(beside.path()).await.map_err(local(operation, path))?;
    while let Some(piece) = body.next().await {
        file.write_all(&piece?).await.map_err(local(operation, path))?;
    }
    file.sync_all().await.map_err(local(operation, path))?;
    beside.persist(path).map_err(|e| local(operation, path)(e.error))?;
    Ok(())
}

/// The files of a folder with their paths below `at`, in order.
async fn files_of(
    operation: &'static str,
    at: Option<&RelPath>,
    folder: &Path,
) -> Result<Vec<(RelPath, PathBuf)>> {
    let (mut found, mut left) = (BTreeMap::new(), vec![(at.map(ToString::to_string), folder.to_owned())]);
    while let Some((prefix, folder)) = left.pop() {
        let mut entries = fs::read_dir(&folder).await.map_err(local(operation, &folder))?;
        while let Some(entry) = entries.next_entry().await.map_err(local(operation, &folder))? {
            let (path, kind) = (entry.path(), entry.file_type().await.map_err(local(operation, &folder))?);
            let bad = |reason| Error::invalid(operation, "folder", reason).with("file", path.display());
            let name = entry.file_name().into_string().map_err(|_| bad("has a name that is not Unicode"))?;
            let below = prefix.as_ref().map_or_else(|| name.clone(), |prefix| format!("{prefix}/{name}"));
            match () {
                () if kind.is_symlink() => return Err(bad("has a link, which may lead anywhere")),
                () if kind.is_dir() => left.push((Some(below), path)),
                () => {
                    let place =
                        RelPath::new(&below).map_err(|e| bad("has a name that is no path").with_source(e))?;
                    found.insert(place, path);
                }
            }
            if found.len() + left.len() > MAX_FILES {
                return Err(Error::limit(
                    operation,
                    "the number of files",
                    MAX_FILES,
                    found.len() + left.len(),
                ));
            }
        }
    }
    Ok(found.into_iter().collect())
}
