//! What MLflow shows: the store's experiments and models in MLflow's own tables, made from the truth and never read as it.
//!
//! `mlflow.db` can be opened by `mlflow ui` with no export. A newer MLflow migrates whatever it opens, in place and one way, and
//! can be killed half-way; that may ruin the projection, never the store. Delete it, and the next
//! [`sync`](MlflowProjection::sync) makes it again.

mod files;
mod follow;
mod import;
mod kept;
mod write;

use std::fmt;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use serde::{Deserialize, Serialize};

pub use follow::Follower;
pub use import::{Edit, EditKind, ImportReport, RefusedEdit};

use super::db::failed;
use super::store::Inner;
use super::{LocalModelRegistry, LocalStore, LocalTracker};
use crate::disk::lock::{self, Sharing};
use crate::disk::{self, blocking};
use crate::error::{Error, ErrorKind, Result};
use crate::id::ModelName;
use crate::page::PageRequest;
use crate::registry::{ModelRegistry as _, ModelVersion};

use write::Places;

const SYNC: &str = "MlflowProjection::sync";

/// What a synchronisation did.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncReport {
    /// Whether the projection was made anew.
    pub rebuilt: bool,
    /// Experiments written.
    pub experiments: u64,
    /// Runs written.
    pub runs: u64,
    /// Metric points written.
    pub points: u64,
    /// Models written, with all their versions and aliases.
    pub models: u64,
    /// Files of runs and models laid out for MLflow.
    pub files: u64,
    /// Content that could not be laid out, by its place: it is missing or damaged, or a file has the name of its folder, or a folder its
    /// own.
    pub missing: Vec<String>,
}

/// The store as MLflow sees it: `mlflow.db`, and the files of runs and models under `mlflow/`.
///
/// | MLflow | from |
/// |---|---|
/// | experiments, runs, params, metrics, tags | the same; times to the millisecond, infinities as ±1.797e308 with a tag `mlops.infinite.KEY` |
/// | `mlflow.parentRunId`, `mlflow.user`, `mlflow.runName`, `mlflow.source.git.*` | the run's parent, actor, name, capsule |
/// | dataset inputs | the run's inputs; 32 digits of the digest, the whole of it in the source |
/// | registered models, versions, aliases | the same; format, signature, content and scores as tags `mlops.*` |
/// | artifacts | copies (where the file system can, copies that share their blocks), so that nothing done to them reaches the store |
///
/// Values that a person may edit in MLflow (tags, aliases, descriptions) are written only when the truth changes; an edit
/// stays there until [`import`](Self::import) takes it over.
///
/// Cost: a synchronisation reads what changed since the last one. Making everything anew takes time in proportion to the
/// number of metric points.
///
/// ```
/// use mlops_core::experiment::{ExperimentSpec, ExperimentTracker as _, RunSpec};
/// use mlops_core::local::LocalStore;
/// use mlops_core::{ActorId, ExperimentName};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # let dir = tempfile::tempdir().map_err(|e| mlops_core::Error::invalid("doc", "dir", e.to_string()))?;
/// let store = LocalStore::open(dir.path().join(".mlops"))?;
/// let (tracker, name) = (store.tracker(), ExperimentName::new("diabetes")?);
/// tracker.ensure_experiment(&ExperimentSpec::new(name.clone())).await?;
/// tracker.start_run(&RunSpec::new(name, "baseline", ActorId::new("trainer")?)).await?;
///
/// let mlflow = store.mlflow();
/// assert_eq!(mlflow.sync().await?.runs, 1);
/// assert_eq!(mlflow.sync().await?.runs, 0); // nothing has changed since
/// println!("{}", mlflow.command());
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct MlflowProjection {
    inner: Arc<Inner>,
    tracker: LocalTracker,
    registry: LocalModelRegistry,
}

impl LocalStore {
    /// The store as MLflow sees it.
    pub fn mlflow(&self) -> MlflowProjection {
        MlflowProjection { inner: self.inner().clone(), tracker: self.tracker(), registry: self.registry() }
    }
}

impl fmt::Debug for MlflowProjection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MlflowProjection").field("database", &self.database()).finish_non_exhaustive()
    }
}

impl MlflowProjection {
    /// Where MLflow's database lies.
    pub fn database(&self) -> PathBuf {
        self.inner.root.join("mlflow.db")
    }

    /// Moves aliases through this registry when edits are imported: one that knows which aliases are protected.
    #[must_use]
    pub fn with_registry(mut self, registry: LocalModelRegistry) -> Self {
        self.registry = registry;
        self
    }

    /// The command that shows it, for a shell.
    pub fn command(&self) -> String {
        // SQLAlchemy takes the path as it is; the quotes are for the shell.
        let path = self.database().display().to_string();
        let plain = path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b));
        let uri = format!("sqlite:///{path}");
        let uri = if plain { uri } else { format!("'{}'", uri.replace('\'', r"'\''")) };
        format!("mlflow ui --backend-store-uri {uri}")
    }

    /// Brings the projection up to date, and makes it where it is not there or is ruined.
    ///
    /// Processes that do this at once take turns.
    ///
    /// What is kept of how far it came is kept after all of it is there: a synchronisation that was killed is done again.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`] where the disk says no, and for a store that was opened for reading only; [`ErrorKind::Busy`] while
    /// MLflow holds the database, or another process the projection, for longer than 30 s, [`ErrorKind::Unsupported`] when an MLflow that is too new has changed its tables beyond recognition:
    /// [`rebuild`](Self::rebuild) helps.
    pub async fn sync(&self) -> Result<SyncReport> {
        let lock = self.hold().await?;
        let rebuilt = self.prepare().await?;
        let mut report = SyncReport { rebuilt, ..SyncReport::default() };
        self.follow_tracker(&mut report).await?;
        self.follow_registry(&mut report).await?;
        drop(lock);
        Ok(report)
    }

    /// Makes the projection anew. Edits made in MLflow that were not imported are gone, and so is what MLflow added.
    ///
    /// # Errors
    /// As [`sync`](Self::sync).
    pub async fn rebuild(&self) -> Result<SyncReport> {
        let lock = self.hold().await?;
        let inner = self.inner.clone();
        blocking(SYNC, move || remove(&inner)).await?;
        drop(lock);
        let report = self.sync().await?;
        Ok(SyncReport { rebuilt: true, ..report })
    }

    /// Holds the projection's lock; the kernel lets go of it when the process dies.
    async fn hold(&self) -> Result<File> {
        self.inner.db.check_writable(SYNC)?;
        let path = self.inner.root.join("mlflow.lock");
        let busy = "another process brings the projection up to date";
        blocking(SYNC, move || lock::hold(SYNC, &path, Sharing::Alone, busy)).await
    }

    /// Opens or makes the database; whether it was made.
    async fn prepare(&self) -> Result<bool> {
        let inner = self.inner.clone();
        blocking(SYNC, move || {
            if is_ours(&inner)? {
                return Ok(false);
            }
            remove(&inner)?;
            make(&inner).map_err(refused)?;
            Ok(true)
        })
        .await
    }

    /// Experiments and runs that changed since the last time, a few hundred at a time.
    async fn follow_tracker(&self, report: &mut SyncReport) -> Result<()> {
        const AT_ONCE: usize = 200;
        loop {
            let inner = self.inner.clone();
            let step = blocking(SYNC, move || follow::tracker(&inner, AT_ONCE)).await?;
            report.experiments += step.experiments;
            report.runs += step.runs.len() as u64;
            report.points += step.points;
            for run in &step.runs {
                let folder = self.places().run(&run.id);
                let files = run.artifacts.iter().map(|link| (link.path.clone(), link.digest));
                files::lay_out(&self.inner, &folder, files, report).await?;
            }
            // Last of all: who is killed before it writes all of them again, which changes nothing.
            let inner = self.inner.clone();
            blocking(SYNC, move || follow::done(&inner, step.upto)).await?;
            if step.done {
                return Ok(());
            }
        }
    }

    /// Models of which something happened since the last time.
    async fn follow_registry(&self, report: &mut SyncReport) -> Result<()> {
        const EVENTS: &str = "registry event";
        let inner = self.inner.clone();
        let mut after = blocking(SYNC, move || progress(&connect(&inner)?, EVENTS)).await?;
        loop {
            let events = self.registry.events(after, PageRequest::MAX_LIMIT).await?;
            let Some(last) = events.last() else { return Ok(()) };
            after = last.sequence;
            let changed: std::collections::BTreeSet<ModelName> =
                events.into_iter().map(|event| event.model).collect();
            for name in changed {
                self.write_model(&name, report).await?;
                report.models += 1;
            }
            let inner = self.inner.clone();
            blocking(SYNC, move || transact(&mut connect(&inner)?, |tx| set_progress(tx, EVENTS, after)))
                .await?;
        }
    }

    async fn write_model(&self, name: &ModelName, report: &mut SyncReport) -> Result<()> {
        let mut versions: Vec<ModelVersion> = Vec::new();
        let mut page = PageRequest::first(PageRequest::MAX_LIMIT);
        loop {
            let mut found = self.registry.versions(name, &page).await?;
            versions.append(&mut found.items);
            match page.after(&found) {
                Some(next) => page = next,
                None => break,
            }
        }
        // Newest first is how they are listed; oldest first is how they were made.
        versions.reverse();
        let aliases = self.registry.aliases(name).await?.into_iter().collect();
        let (inner, model, written) = (self.inner.clone(), name.clone(), versions.clone());
        blocking(SYNC, move || {
            let folder = artifacts(&inner);
            let places = Places { artifacts: &folder };
            transact(&mut connect(&inner)?, |tx| {
                let Some(first) = written.first() else { return Ok(()) };
                write::model(tx, &model, first.created_at)?;
                written.iter().try_for_each(|version| write::version(tx, &places, version))?;
                write::aliases(tx, &model, &aliases)
            })
        })
        .await?;
        for version in &versions {
            let folder = self.places().model(name, version.version);
            files::lay_out_model(&self.inner, &folder, &version.spec.artifact, report).await?;
        }
        Ok(())
    }

    fn places(&self) -> OwnedPlaces {
        OwnedPlaces(artifacts(&self.inner))
    }
}

/// [`Places`] that holds its folder.
struct OwnedPlaces(PathBuf);

impl OwnedPlaces {
    fn run(&self, run: &crate::id::RunId) -> PathBuf {
        Places { artifacts: &self.0 }.run(run)
    }

    fn model(&self, model: &ModelName, version: crate::id::Version) -> PathBuf {
        Places { artifacts: &self.0 }.model(model, version)
    }
}

fn artifacts(inner: &Inner) -> PathBuf {
    inner.root.join("mlflow")
}

fn database(inner: &Inner) -> PathBuf {
    inner.root.join("mlflow.db")
}

fn open(path: &std::path::Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(30))?;
    connection.set_prepared_statement_cache_capacity(64);
    // What is lost in a power cut is made again.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    Ok(connection)
}

fn connect(inner: &Inner) -> Result<Connection> {
    open(&database(inner)).map_err(refused)
}

/// Whether the database is there, is ours, and is of this store at this place.
fn is_ours(inner: &Inner) -> Result<bool> {
    let path = database(inner);
    if !path.is_file() {
        return Ok(false);
    }
    let look = || -> rusqlite::Result<bool> {
        let connection = open(&path)?;
        let find = |key: &str| {
            let sql = "SELECT value FROM mlops_projection WHERE key = ?1";
            connection.query_row(sql, [key], |row| row.get::<_, String>(0)).optional()
        };
        // Reading one row of a table of MLflow's tells a migration that was killed half-way.
        for table in ["alembic_version", "experiments", "runs", "metrics", "tags", "model_versions"] {
            connection.prepare(&format!("SELECT 1 FROM {table} LIMIT 1"))?.exists([])?;
        }
        let folder = inner.root.display().to_string();
        Ok(find("store")? == Some(inner.id.to_string()) && find("folder")? == Some(folder))
    };
    match look() {
        Ok(ours) => Ok(ours),
        Err(e) => match refused(e) {
            e if matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported) => Ok(false),
            e => Err(e),
        },
    }
}

fn make(inner: &Inner) -> rusqlite::Result<()> {
    let mut connection = open(&database(inner))?;
    // MLflow leaves a database in the mode in which it finds it; in this one it can read while we write.
    connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0))?;
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(include_str!("schema.sql"))?;
    let folder = inner.root.display().to_string();
    for (key, value) in [("store", inner.id.to_string()), ("folder", folder)] {
        tx.execute("INSERT INTO mlops_projection (key, value) VALUES (?1, ?2)", params![key, value])?;
    }
    tx.commit()
}

/// Removes the database and its logs, which would otherwise be taken for those of the next one; the files stay.
fn remove(inner: &Inner) -> Result<()> {
    for name in ["mlflow.db", "mlflow.db-wal", "mlflow.db-shm", "mlflow.db-journal"] {
        let path = inner.root.join(name);
        let gone = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match gone {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(storage(e)),
            _ => {}
        }
    }
    Ok(())
}

fn transact<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Result<T> {
    let run = || -> rusqlite::Result<T> {
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let answer = work(&tx)?;
        tx.commit()?;
        Ok(answer)
    };
    run().map_err(refused)
}

/// How far one of the streams that the projection follows has come.
fn progress(connection: &Connection, stream: &str) -> Result<u64> {
    let sql = "SELECT CAST(value AS INTEGER) FROM mlops_projection WHERE key = ?1";
    let found = connection.query_row(sql, [stream], |row| row.get::<_, i64>(0)).optional();
    Ok(found.map_err(refused)?.and_then(|n| u64::try_from(n).ok()).unwrap_or(0))
}

fn set_progress(tx: &Connection, stream: &str, to: u64) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO mlops_projection (key, value) VALUES (?1, ?2)";
    tx.execute(sql, params![stream, to.to_string()]).map(drop)
}

/// A statement that MLflow's database refused: its tables are no longer those we know.
fn refused(e: rusqlite::Error) -> Error {
    let schema = matches!(&e, rusqlite::Error::SqlInputError { .. })
        || matches!(
            e.sqlite_error_code(),
            Some(rusqlite::ErrorCode::Unknown | rusqlite::ErrorCode::ConstraintViolation)
        );
    if schema {
        let message = "MLflow's tables are not as they were made; rebuild the projection";
        return Error::new(ErrorKind::Unsupported, SYNC, message).with_source(e);
    }
    failed(SYNC)(e)
}

fn storage(e: std::io::Error) -> Error {
    disk::storage(SYNC, "the projection", e)
}
