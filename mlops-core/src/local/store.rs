//! The store: one folder, opened.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::artifact::LocalArtifactStore;
use super::db::{Db, Durability, JournalMode, failed};
use super::file_system;
use super::journal::{self, RecoveryReport};
use super::secret::FileSecretStore;
use super::tracker::TrackerState;
use crate::disk::lock::{self, Sharing};
use crate::disk::{self, make_folders};
use crate::error::{Error, ErrorKind, Result};
use crate::page::pager::Pager;
use crate::time::{Clock, SystemClock};

const OPEN: &str = "LocalStore::open";

/// What to do with a folder on a network file system, where SQLite's write-ahead log cannot work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NetworkPolicy {
    /// [`ErrorKind::Unsupported`].
    #[default]
    Refuse,
    /// Use a rollback journal and sync every commit: slower, and only as safe as that file system's locks.
    Serve,
    /// Treat the folder like that, wherever it lies; for file systems that cannot be told from local ones.
    Assume,
}

/// How to open a [`LocalStore`].
///
/// ```
/// use mlops_core::local::LocalStore;
/// # let dir = tempfile::tempdir()?;
/// # let folder = dir.path().join(".mlops");
/// // Nothing is made where nothing is.
/// assert!(LocalStore::options().with_create(false).open(&folder).is_err());
/// let store = LocalStore::open(&folder)?;
/// assert!(LocalStore::options().with_read_only(true).open(&folder).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct LocalOptions {
    clock: Arc<dyn Clock>,
    create: bool,
    read_only: bool,
    network: NetworkPolicy,
}

impl Default for LocalOptions {
    fn default() -> Self {
        let network = NetworkPolicy::default();
        Self { clock: Arc::new(SystemClock::new()), create: true, read_only: false, network }
    }
}

impl LocalOptions {
    /// Takes the time from this clock. Default: the machine's.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Whether to make a store where there is none. Default: yes.
    #[must_use]
    pub fn with_create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Whether to change nothing on disk; every write is [`ErrorKind::Storage`] then. Default: only where the folder cannot be
    /// written. SQLite makes `mlops.db-shm` and an empty `mlops.db-wal` all the same, where it can: by them it sees what others
    /// write meanwhile.
    #[must_use]
    pub fn with_read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// What to do on a network file system. Default: refuse.
    #[must_use]
    pub fn with_network(mut self, network: NetworkPolicy) -> Self {
        self.network = network;
        self
    }

    /// Opens the store in `folder`.
    ///
    /// # Errors
    /// * [`ErrorKind::NotFound`] for no store where none may be made.
    /// * [`ErrorKind::Corrupt`] for a folder or database that is not a store, or only a part of one.
    /// * [`ErrorKind::Unsupported`] for a store of a newer version, and for a network file system that is not to be served.
    /// * [`ErrorKind::Storage`] where the disk says no; [`ErrorKind::Busy`] when somebody else keeps opening it for 30 s.
    pub fn open(&self, folder: impl AsRef<Path>) -> Result<LocalStore> {
        LocalStore::open_with(folder.as_ref(), self)
    }
}

/// A store in one folder: every stateful trait, no server, for as many processes as like to use it at once.
///
/// | in the folder | what it is |
/// |---|---|
/// | `mlops.db` | the truth: experiments, runs, data assets, model versions, aliases, audit, deployments, monitors |
/// | `journal/` | metric values on their way into the database; each file belongs to one process |
/// | `cas/` | content by its digest |
/// | `secrets/` | secrets, one file each |
/// | `sweeps/` | journals of sweeps, one file each |
/// | `counts/` | a file for each process that counts requests, held as long as it lives |
/// | `audit.checkpoints` | how far the audit log had come, outside the database |
/// | `mlflow.db` | what MLflow's user interface shows; can be made again at any time |
/// | `store.json`, `lock` | what this folder is; held while somebody opens it |
/// | `roots.lock`, `deploy.lock`, `mlflow.lock` | held while content is collected, deployments are made, MLflow's tables are written |
///
/// A handle is cheap to clone. See the [module](super) for what is promised.
#[derive(Clone)]
pub struct LocalStore {
    inner: Arc<Inner>,
}

/// What all backends of one store share.
pub(crate) struct Inner {
    pub(crate) root: PathBuf,
    pub(crate) id: Uuid,
    pub(crate) db: Arc<Db>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) pager: Pager,
    pub(crate) artifacts: LocalArtifactStore,
    pub(crate) tracker: TrackerState,
    pub(crate) recovery: RecoveryReport,
}

/// What `store.json` says: that this folder is a store, and which.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Marker {
    schema: String,
    id: Uuid,
}

impl Marker {
    const SCHEMA: &str = "mlops.store/v1";
}

impl LocalStore {
    /// Opens the store in `folder`, and makes one where there is none.
    ///
    /// # Errors
    /// As [`LocalOptions::open`].
    ///
    /// ```
    /// use mlops_core::local::LocalStore;
    /// # let dir = tempfile::tempdir()?;
    /// let store = LocalStore::open(dir.path().join(".mlops"))?;
    /// assert!(store.folder().join("mlops.db").exists());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        Self::options().open(folder)
    }

    /// How to open a store, to be changed before [`LocalOptions::open`].
    pub fn options() -> LocalOptions {
        LocalOptions::default()
    }

    /// The folder, as an absolute path.
    pub fn folder(&self) -> &Path {
        &self.inner.root
    }

    /// The id the store was given when it was made; a copy has the same.
    pub fn id(&self) -> Uuid {
        self.inner.id
    }

    fn open_with(folder: &Path, options: &LocalOptions) -> Result<Self> {
        let there = folder.join("mlops.db").exists() || folder.join("store.json").exists();
        if !there && (options.read_only || !options.create) {
            return Err(Error::not_found(OPEN, "store", folder.display()));
        }
        if options.read_only {
            return Self::open_read_only(folder, options);
        }
        match Self::open_to_write(folder, options) {
            Err(e) if there && matches!(e.context("reason"), Some("read-only" | "denied")) => {
                Self::open_read_only(folder, options)
            }
            answer => answer,
        }
    }

    fn open_to_write(folder: &Path, options: &LocalOptions) -> Result<Self> {
        let io = |e| storage(folder, e);
        make_folders(folder).map_err(io)?;
        // Absolute, so that the store stays where it is when the process goes elsewhere.
        let root = fs::canonicalize(folder).map_err(io)?;
        let mode = journal_mode(&root, options.network)?;
        let opening = hold(&root)?;
        let marker = read_marker(&root)?;
        let path = root.join("mlops.db");
        if marker.is_some() && fs::metadata(&path).map_or(true, |found| found.len() == 0) {
            let message = "the store's database is gone or empty; bring it back from a backup";
            return Err(Error::new(ErrorKind::Corrupt, OPEN, message));
        }
        let (db, _) = Db::open(&path, mode)?;
        let identity = identify(&db, marker.as_ref())?;
        if marker.is_none() {
            write_marker(&root, identity.id)?;
        }
        drop(opening);
        let recovery = journal::recover(&root, identity.id, &db);
        Self::assemble(root, db, identity, options, recovery)
    }

    fn open_read_only(folder: &Path, options: &LocalOptions) -> Result<Self> {
        let root = fs::canonicalize(folder).map_err(|e| storage(folder, e))?;
        let db = Db::open_read_only(&root.join("mlops.db"))?;
        let marker = read_marker(&root)?;
        let identity = read_identity(&db, marker.as_ref())?;
        Self::assemble(root, db, identity, options, RecoveryReport::default())
    }

    fn assemble(
        root: PathBuf,
        db: Db,
        identity: Identity,
        options: &LocalOptions,
        recovery: RecoveryReport,
    ) -> Result<Self> {
        let (clock, db) = (options.clock.clone(), Arc::new(db));
        let cas = root.join("cas");
        let artifacts = match db.check_writable(OPEN) {
            Ok(()) => LocalArtifactStore::open(&cas, clock.clone())?,
            Err(_) => LocalArtifactStore::open_read_only(&cas, clock.clone())?,
        };
        let pager = Pager::with_secret(identity.secret);
        let tracker = TrackerState::new(&root, identity.id, &db, &clock);
        let inner = Inner { root, id: identity.id, db, clock, pager, artifacts, tracker, recovery };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What was found in the journals of processes that died while they logged. Their values are in the database now, but for
    /// what the report says. A store that was opened for reading only was not looked through.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.inner.recovery
    }

    /// The content of this store.
    ///
    /// It knows nothing of who refers to what: to collect garbage through this handle with roots of one's own removes what models
    /// and data sets of the store need. [`collect_garbage`](Self::collect_garbage) of the store finds the roots itself.
    ///
    /// ```
    /// use mlops_core::artifact::ArtifactStoreExt as _;
    /// use mlops_core::local::LocalStore;
    /// # let dir = tempfile::tempdir()?;
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let store = LocalStore::open(dir.path())?;
    /// let blob = store.artifacts().put_bytes(b"weights".to_vec()).await?;
    /// assert_eq!(blob.size, 7);
    /// # Ok::<(), mlops_core::Error>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn artifacts(&self) -> LocalArtifactStore {
        self.inner.artifacts.clone()
    }

    /// The secrets of this store, one file each, which only their owner may read.
    ///
    /// # Errors
    /// As [`FileSecretStore::open`]. A store that was opened for reading only has no secrets where it has no folder of them.
    ///
    /// ```
    /// use mlops_core::SecretName;
    /// use mlops_core::governance::{Secret, SecretStore as _};
    /// use mlops_core::local::LocalStore;
    /// # let dir = tempfile::tempdir()?;
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let secrets = LocalStore::open(dir.path())?.secrets()?;
    /// let name = SecretName::new("tracking-token")?;
    /// secrets.set(&name, &Secret::new("hunter2")).await?;
    /// assert_eq!(secrets.get(&name).await?.expose(), "hunter2");
    /// # Ok::<(), mlops_core::Error>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn secrets(&self) -> Result<FileSecretStore> {
        let folder = self.inner.root.join("secrets");
        match self.inner.db.check_writable(OPEN) {
            Ok(()) => FileSecretStore::open(&folder),
            Err(_) => FileSecretStore::open_read_only(&folder),
        }
    }

    /// What the backends share; for them.
    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }
}

impl fmt::Debug for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalStore").field("folder", &self.inner.root).finish_non_exhaustive()
    }
}

fn journal_mode(root: &Path, policy: NetworkPolicy) -> Result<JournalMode> {
    match (file_system::network(root), policy) {
        (_, NetworkPolicy::Assume) | (Some(_), NetworkPolicy::Serve) => Ok(JournalMode::Rollback),
        (None, _) => Ok(JournalMode::WriteAhead),
        (Some(name), NetworkPolicy::Refuse) => {
            let message = "the folder lies on a network file system; see NetworkPolicy";
            Err(Error::new(ErrorKind::Unsupported, OPEN, message).with("file system", name))
        }
    }
}

/// Holds the store's lock while it is opened, so that of many that open a new store at once one makes it.
fn hold(root: &Path) -> Result<File> {
    lock::hold(OPEN, &root.join("lock"), Sharing::Alone, "somebody else is opening the store")
}

fn read_marker(root: &Path) -> Result<Option<Marker>> {
    let text = match fs::read(root.join("store.json")) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(storage(root, e)),
    };
    let corrupt = || Error::new(ErrorKind::Corrupt, OPEN, "store.json is damaged");
    let marker: Marker = serde_json::from_slice(&text).map_err(|e| corrupt().with_source(e))?;
    if marker.schema == Marker::SCHEMA {
        Ok(Some(marker))
    } else {
        Err(corrupt().with("schema", marker.schema))
    }
}

fn write_marker(root: &Path, id: Uuid) -> Result<()> {
    let marker = Marker { schema: Marker::SCHEMA.to_owned(), id };
    let text = serde_json::to_vec(&marker)
        .map_err(|e| Error::new(ErrorKind::Internal, OPEN, "store.json cannot be written").with_source(e))?;
    let write = || -> std::io::Result<()> {
        let partial = root.join("store.json.part");
        fs::write(&partial, &text)?;
        File::open(&partial)?.sync_all()?;
        fs::rename(&partial, root.join("store.json"))?;
        File::open(root)?.sync_all()
    };
    write().map_err(|e| storage(root, e))
}

struct Identity {
    id: Uuid,
    secret: Uuid,
}

/// The identity of a store that is open to write; a new one gets its own.
fn identify(db: &Db, marker: Option<&Marker>) -> Result<Identity> {
    if let Some(found) = find_identity(db)? {
        return same(found, marker);
    }
    if marker.is_some() {
        return Err(Error::new(ErrorKind::Corrupt, OPEN, "the database is not the one this folder had"));
    }
    let made = Identity { id: Uuid::now_v7(), secret: Uuid::new_v4() };
    db.write_now(OPEN, Durability::Power, |tx| {
        for (key, value) in [("id", made.id), ("page secret", made.secret)] {
            let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2)";
            tx.execute(sql, (key, value.to_string())).map_err(failed(OPEN))?;
        }
        Ok(())
    })?;
    Ok(made)
}

fn read_identity(db: &Db, marker: Option<&Marker>) -> Result<Identity> {
    match find_identity(db)? {
        Some(found) => same(found, marker),
        None => Err(Error::new(ErrorKind::Corrupt, OPEN, "the database does not say which store it is")),
    }
}

fn find_identity(db: &Db) -> Result<Option<Identity>> {
    use rusqlite::OptionalExtension as _;
    db.read_now(OPEN, |connection| {
        let find = |key: &str| {
            let sql = "SELECT value FROM meta WHERE key = ?1";
            let found = connection.query_row(sql, [key], |row| row.get::<_, String>(0)).optional();
            found.map_err(failed(OPEN))?.map(|text| parse(&text)).transpose()
        };
        Ok(find("id")?.zip(find("page secret")?).map(|(id, secret)| Identity { id, secret }))
    })
}

fn parse(text: &str) -> Result<Uuid> {
    Uuid::parse_str(text).map_err(|e| super::db::corrupt(OPEN, "meta", e))
}

fn same(found: Identity, marker: Option<&Marker>) -> Result<Identity> {
    match marker {
        Some(marker) if marker.id != found.id => {
            let message = "the database is of another store than store.json";
            Err(Error::new(ErrorKind::Corrupt, OPEN, message)
                .with("expected", marker.id)
                .with("found", found.id))
        }
        _ => Ok(found),
    }
}

fn storage(root: &Path, e: std::io::Error) -> Error {
    disk::storage(OPEN, root.display(), e)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_the_same_when_it_is_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a ? # % folder");
        let first = LocalStore::open(&folder).unwrap();
        let second = LocalStore::open(&folder).unwrap();
        assert_eq!((first.id(), first.folder()), (second.id(), second.folder()));
        let reader = LocalStore::options().with_read_only(true).open(&folder).unwrap();
        assert_eq!(reader.id(), first.id());
    }

    #[test]
    fn a_store_that_lost_its_database_is_not_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mlops.db");
        drop(LocalStore::open(dir.path()).unwrap());
        for damage in [None, Some(Vec::new())] {
            match &damage {
                None => fs::remove_file(&path).unwrap(),
                Some(bytes) => fs::write(&path, bytes).unwrap(),
            }
            assert_eq!(LocalStore::open(dir.path()).unwrap_err().kind(), ErrorKind::Corrupt, "{damage:?}");
        }
    }

    #[test]
    fn the_database_of_another_store_is_noticed() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        drop(LocalStore::open(one.path()).unwrap());
        drop(LocalStore::open(two.path()).unwrap());
        fs::copy(one.path().join("mlops.db"), two.path().join("mlops.db")).unwrap();
        assert_eq!(LocalStore::open(two.path()).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn a_store_whose_making_was_interrupted_is_finished() {
        let dir = tempfile::tempdir().unwrap();
        let id = LocalStore::open(dir.path()).unwrap().id();
        fs::remove_file(dir.path().join("store.json")).unwrap();
        assert_eq!(LocalStore::open(dir.path()).unwrap().id(), id);
        assert!(dir.path().join("store.json").exists());
    }

    #[test]
    fn many_threads_may_make_one_store() {
        let dir = tempfile::tempdir().unwrap();
        let ids: Vec<Uuid> = std::thread::scope(|scope| {
            let open = || scope.spawn(|| LocalStore::open(dir.path()).map(|store| store.id()));
            let threads: Vec<_> = (0..8).map(|_| open()).collect();
            threads.into_iter().map(|t| t.join().unwrap().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]));
    }

    /// Everything below a folder: names, contents, and when it was changed last; but for the files by which SQLite sees what others
    /// write, and the time at which they came into the folder.
    fn everything(folder: &Path) -> Vec<(PathBuf, Option<Vec<u8>>, std::time::SystemTime)> {
        let mut found = Vec::new();
        let mut open = vec![folder.to_owned()];
        while let Some(folder) = open.pop() {
            let is_store = folder.join("store.json").exists();
            let changed = fs::metadata(&folder).unwrap().modified().unwrap();
            found.push((folder.clone(), None, if is_store { std::time::UNIX_EPOCH } else { changed }));
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else if !path.to_string_lossy().contains("mlops.db-") {
                    let changed = fs::metadata(&path).unwrap().modified().unwrap();
                    found.push((path.clone(), Some(fs::read(&path).unwrap()), changed));
                }
            }
        }
        found.sort();
        found
    }

    #[tokio::test]
    async fn who_opens_for_reading_changes_nothing_and_every_write_is_refused() {
        use crate::artifact::{ArtifactStore as _, ArtifactStoreExt as _, Entry, GcOptions, Manifest};
        use crate::experiment::sweep::{SweepEntry, SweepEvent, SweepJournal as _};
        use crate::governance::{Secret, SecretStore as _};
        use crate::id::{RelPath, RunId, SecretName};

        let dir = tempfile::tempdir().unwrap();
        let (name, run) = (SecretName::new("token").unwrap(), RunId::generate());
        let path = RelPath::new("weights").unwrap();
        let entry = |n| SweepEntry::new(n, chrono::DateTime::UNIX_EPOCH, SweepEvent::Promoted { trial: n });
        let writer = LocalStore::open(dir.path()).unwrap();
        let blob = writer.artifacts().put_bytes(b"weights".to_vec()).await.unwrap();
        writer.secrets().unwrap().set(&name, &Secret::new("hunter2")).await.unwrap();
        writer.sweeps().append(&run, &entry(1)).await.unwrap();
        drop(writer);
        let manifest = Manifest::new(vec![Entry { path, digest: blob.digest, size: blob.size }]).unwrap();
        fs::write(dir.path().join("cas/tmp/.tmp-left"), "by a process that died").unwrap();
        for gone in ["", "secrets", "cas"] {
            if !gone.is_empty() {
                fs::remove_dir_all(dir.path().join(gone)).unwrap();
            }
            let before = everything(dir.path());
            let store = LocalStore::options().with_read_only(true).open(dir.path()).unwrap();
            let (content, secrets) = (store.artifacts(), store.secrets().unwrap());
            let read = (content.head(&blob.digest).await.unwrap(), secrets.names().await.unwrap());
            assert_eq!(read.0.is_some(), gone != "cas");
            assert_eq!(read.1.is_empty(), !gone.is_empty());
            assert_eq!(secrets.get(&name).await.is_ok(), gone.is_empty());
            assert_eq!(content.stats().await.unwrap().blobs, usize::from(gone != "cas"));
            assert_eq!(store.sweeps().entries(&run, 0).await.unwrap().len(), 1);
            assert!(store.verify().await.is_ok());
            let refused = [
                content.put_bytes(b"other".to_vec()).await.err(),
                content.put_bytes(b"weights".to_vec()).await.err(),
                content.put_tree(&manifest).await.err(),
                content.put_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/disk").as_path()).await.err(),
                content.renew(&blob.digest).await.err(),
                content.collect_garbage(&Default::default(), &GcOptions::default()).await.err(),
                store.collect_garbage(&GcOptions::default()).await.err(),
                secrets.set(&name, &Secret::new("other")).await.err(),
                secrets.remove(&name).await.err(),
                store.sweeps().append(&run, &entry(2)).await.err(),
                store.mlflow().sync().await.err(),
                store.mlflow().rebuild().await.err(),
            ];
            for (at, error) in refused.into_iter().enumerate() {
                let error = error.unwrap_or_else(|| panic!("write {at} was not refused"));
                assert_eq!(
                    (error.kind(), error.context("reason")),
                    (ErrorKind::Storage, Some("read-only")),
                    "{at}"
                );
            }
            drop(store);
            assert_eq!(everything(dir.path()), before, "without {gone:?}");
        }
    }

    #[test]
    fn a_store_where_log_files_cannot_be_shared_works_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let options = LocalStore::options().with_network(NetworkPolicy::Assume);
        let id = options.open(dir.path()).unwrap().id();
        assert_eq!(options.open(dir.path()).unwrap().id(), id);
        assert!(!dir.path().join("mlops.db-shm").exists());
    }
}
