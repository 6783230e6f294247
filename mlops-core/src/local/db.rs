//! The database: one SQLite file, opened so that many processes may use it at once and none of them can ruin it.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::disk::blocking;
use crate::disk::sync_folder_of;
use crate::disk::{read_only, storage};
use crate::error::{Error, ErrorKind, Result};
use crate::time::lock;

/// Marks a database as one of ours: "mlop" in ASCII. See <https://sqlite.org/fileformat2.html#application_id>.
pub(crate) const APPLICATION_ID: i32 = 0x6d6c_6f70;

/// The schema, version by version: version n is what the first n scripts make.
const MIGRATIONS: &[&[&str]] = &[
    &[
        include_str!("schema/store.sql"),
        include_str!("schema/row.sql"),
        include_str!("schema/audit.sql"),
        include_str!("schema/data.sql"),
        include_str!("schema/deploy.sql"),
        include_str!("schema/monitor.sql"),
        include_str!("schema/registry.sql"),
        include_str!("schema/tracker.sql"),
    ],
    &[include_str!("schema/pipeline.sql")],
    &[include_str!("schema/loop.sql")],
    &[include_str!("schema/approval.sql")],
    &[include_str!("schema/protection.sql")],
];

/// How long a call waits for other writers.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a commit survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The process being killed; a power cut may take the last commits, never part of one.
    Process,
    /// A power cut too: the call returns after the disk has it.
    Power,
}

/// How the database keeps what it is about to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JournalMode {
    /// The write-ahead log: readers and the writer do not wait for each other. Needs shared memory.
    WriteAhead,
    /// A rollback journal, cut to nothing after each commit: works wherever file locks work.
    Rollback,
}

/// A database that is open. One writer at a time in this process, readers beside it.
pub(crate) struct Db {
    path: PathBuf,
    mode: JournalMode,
    access: Access,
    writers: Mutex<Option<Writers>>,
    readers: Mutex<Vec<Connection>>,
}

/// How the file may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Write,
    Read,
    /// Nobody can write, not even SQLite its shared memory: the folder or its disk is read-only.
    Immutable,
}

struct Writers {
    process: Connection,
    power: Connection,
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db").field("mode", &self.mode).field("access", &self.access).finish_non_exhaustive()
    }
}

/// What opening found, besides the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// There was nothing: the schema was made.
    Fresh,
    /// It was as new as this library.
    Current,
    /// It was of this older version, and is current now.
    Migrated(usize),
}

impl Db {
    /// How many idle readers are kept.
    const IDLE_READERS: usize = 4;

    /// Opens the database at `path`, making or migrating it. The caller holds the store's lock, so nobody else does.
    pub(crate) fn open(path: &Path, mode: JournalMode) -> Result<(Self, Opened)> {
        const OP: &str = "LocalStore::open";
        let mut connection = connect(path, Access::Write).map_err(failed(OP))?;
        // Looked at before anything is changed: what is not ours, or newer than we are, stays as it is.
        let version = version(&connection, OP)?;
        let current = MIGRATIONS.len();
        let opened = match version {
            Some(v) if v > current => return Err(newer(v, current)),
            Some(v) if v == current => Opened::Current,
            Some(v) => {
                back_up(&connection, path, v)?;
                migrate(&mut connection, v)?;
                Opened::Migrated(v)
            }
            None => {
                migrate(&mut connection, 0)?;
                Opened::Fresh
            }
        };
        set_mode(&connection, mode).map_err(failed(OP))?;
        let db = Self {
            path: path.to_owned(),
            mode,
            access: Access::Write,
            writers: Mutex::new(None),
            readers: Mutex::default(),
        };
        Ok((db, opened))
    }

    /// Opens the database for reading only: nothing on disk is changed.
    pub(crate) fn open_read_only(path: &Path) -> Result<Self> {
        const OP: &str = "LocalStore::open";
        if !path.is_file() {
            return Err(Error::not_found(OP, "database", path.display()));
        }
        let look = |access| {
            let connection = connect(path, access).map_err(failed(OP))?;
            let version = version(&connection, OP)?;
            Ok::<_, Error>((connection, version, access))
        };
        // What is still in the log cannot be seen without shared memory, and leaving it out would be a lie.
        let log = path.with_extension("db-wal");
        let all_in_one_file = std::fs::metadata(log).map_or(true, |found| found.len() == 0);
        let (connection, version, access) = match look(Access::Read) {
            Err(e) if e.kind() == ErrorKind::Storage && all_in_one_file => look(Access::Immutable)?,
            answer => answer?,
        };
        let current = MIGRATIONS.len();
        match version {
            Some(v) if v > current => return Err(newer(v, current)),
            Some(v) if v == current => {}
            _ => {
                let message =
                    "the store is of an older version; it can be read after it was opened for writing";
                return Err(Error::new(ErrorKind::Unsupported, OP, message));
            }
        }
        let (mode, readers) = (JournalMode::WriteAhead, Mutex::new(vec![connection]));
        Ok(Self { path: path.to_owned(), mode, access, writers: Mutex::new(None), readers })
    }

    /// Reads in one transaction: everything `work` sees is of one moment. Blocks.
    pub(crate) fn read_now<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        let idle = lock(&self.readers).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.reader().map_err(failed(operation))?,
        };
        let answer = {
            let transaction = connection.transaction().map_err(failed(operation))?;
            let answer = work(&transaction);
            // Nothing was written: how it ends makes no difference.
            drop(transaction);
            answer
        };
        let mut readers = lock(&self.readers);
        if readers.len() < Self::IDLE_READERS {
            readers.push(connection);
        }
        answer
    }

    /// Writes in one transaction that begins by becoming the writer: all of what `work` does is kept, or nothing. Blocks.
    pub(crate) fn write_now<T>(
        &self,
        operation: &'static str,
        durability: Durability,
        work: impl FnOnce(&Transaction<'_>) -> Result<T>,
    ) -> Result<T> {
        self.check_writable(operation)?;
        let mut guard = lock(&self.writers);
        let mut writers = match guard.take() {
            Some(writers) => writers,
            None => self.connect_writers().map_err(failed(operation))?,
        };
        let connection = match durability {
            Durability::Process => &mut writers.process,
            Durability::Power => &mut writers.power,
        };
        let answer = transact(connection, operation, work);
        // After a failure of the disk the connection is not trusted with another transaction.
        if !matches!(&answer, Err(e) if e.kind() == ErrorKind::Storage) {
            *guard = Some(writers);
        }
        answer
    }

    /// Refuses what would write to a store that was opened for reading.
    pub(crate) fn check_writable(&self, operation: &'static str) -> Result<()> {
        if self.access == Access::Write {
            return Ok(());
        }
        Err(read_only(operation))
    }

    /// [`Self::read_now`], off the threads that drive futures.
    pub(crate) async fn read<T: Send + 'static>(
        self: &std::sync::Arc<Self>,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let db = self.clone();
        blocking(operation, move || db.read_now(operation, work)).await
    }

    /// [`Self::write_now`], off the threads that drive futures.
    pub(crate) async fn write<T: Send + 'static>(
        self: &std::sync::Arc<Self>,
        operation: &'static str,
        durability: Durability,
        work: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let db = self.clone();
        blocking(operation, move || db.write_now(operation, durability, work)).await
    }

    fn reader(&self) -> rusqlite::Result<Connection> {
        let access = if self.access == Access::Immutable { Access::Immutable } else { Access::Read };
        connect(&self.path, access)
    }

    fn connect_writers(&self) -> rusqlite::Result<Writers> {
        let process = connect(&self.path, Access::Write)?;
        let power = connect(&self.path, Access::Write)?;
        // A rollback journal that is not synced can be of no use after a power cut; the write-ahead log still is.
        let relaxed = if self.mode == JournalMode::WriteAhead { "NORMAL" } else { "FULL" };
        process.pragma_update(None, "synchronous", relaxed)?;
        power.pragma_update(None, "synchronous", "FULL")?;
        Ok(Writers { process, power })
    }
}

impl Drop for Db {
    /// The last connection to close moves the log into the database, and a reader cannot: readers go first.
    fn drop(&mut self) {
        lock(&self.readers).clear();
    }
}

fn transact<T>(
    connection: &mut Connection,
    operation: &'static str,
    work: impl FnOnce(&Transaction<'_>) -> Result<T>,
) -> Result<T> {
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed(operation))?;
    let answer = work(&transaction)?;
    transaction.commit().map_err(failed(operation))?;
    Ok(answer)
}

fn connect(path: &Path, access: Access) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match access {
        // Not as a URI: a path with `?`, `#` or `%` in it is a path.
        Access::Write => {
            let write = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
            Connection::open_with_flags(path, flags | write)
        }
        Access::Read => Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_READ_ONLY),
        Access::Immutable => {
            let read = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
            Connection::open_with_flags(immutable_uri(path), flags | read)
        }
    }?;
    connection.busy_timeout(PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(128);
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    if access != Access::Write {
        connection.pragma_update(None, "query_only", true)?;
    }
    Ok(connection)
}

/// See <https://sqlite.org/uri.html>: what has a meaning in a URI is written as `%` and two digits.
fn immutable_uri(path: &Path) -> std::ffi::OsString {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let mut uri = b"file:".to_vec();
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            uri.push(byte);
        } else {
            uri.extend(format!("%{byte:02x}").bytes());
        }
    }
    uri.extend(b"?immutable=1");
    std::ffi::OsString::from_vec(uri)
}

fn set_mode(connection: &Connection, mode: JournalMode) -> rusqlite::Result<()> {
    let name = match mode {
        JournalMode::WriteAhead => "wal",
        JournalMode::Rollback => "truncate",
    };
    // The mode is kept in the file: somebody who has it open in this mode already is not disturbed.
    let now: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    if now != name {
        connection.pragma_update_and_check(None, "journal_mode", name, |row| row.get::<_, String>(0))?;
    }
    Ok(())
}

/// The version of the schema; `None` where there is nothing at all.
fn version(connection: &Connection, operation: &'static str) -> Result<Option<usize>> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let id = number("application_id").map_err(failed(operation))?;
    let version = number("user_version").map_err(failed(operation))?;
    if id == APPLICATION_ID {
        return match usize::try_from(version) {
            Ok(version) if version > 0 => Ok(Some(version)),
            _ => Err(Error::new(ErrorKind::Corrupt, operation, "the database has no version")),
        };
    }
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed(operation))?;
    if id == 0 && version == 0 && tables == 0 {
        return Ok(None);
    }
    let message = "the database belongs to another program";
    Err(Error::new(ErrorKind::Corrupt, operation, message).with("application_id", id))
}

fn newer(found: usize, known: usize) -> Error {
    let message = "the store was written by a newer version of this library; it is left as it is";
    Error::new(ErrorKind::Unsupported, "LocalStore::open", message).with("found", found).with("known", known)
}

/// Everything in one transaction: a migration that is killed has not happened.
fn migrate(connection: &mut Connection, from: usize) -> Result<()> {
    const OP: &str = "LocalStore::open";
    let run = |connection: &mut Connection| -> rusqlite::Result<()> {
        connection.pragma_update(None, "synchronous", "FULL")?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for script in MIGRATIONS.iter().skip(from).copied().flatten() {
            transaction.execute_batch(script)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        let version = i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX);
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()
    };
    run(connection).map_err(failed(OP))
}

/// A copy beside the database, made by SQLite's online backup so that it is whole, and synced before anything is changed.
fn back_up(connection: &Connection, path: &Path, version: usize) -> Result<()> {
    const OP: &str = "LocalStore::open";
    let target = path.with_extension(format!("v{version}.bak"));
    let partial = path.with_extension(format!("v{version}.bak.part"));
    let io = |e| storage(OP, "the backup before a migration", e);
    connection.backup("main", &partial, None::<fn(rusqlite::backup::Progress)>).map_err(failed(OP))?;
    std::fs::File::open(&partial).and_then(|file| file.sync_all()).map_err(io)?;
    std::fs::rename(&partial, &target).map_err(io)?;
    // The migration may be on the disk before the new name is.
    sync_folder_of(&target).map_err(io)
}

/// Turns an error of SQLite into one of ours.
pub(crate) fn failed(operation: &'static str) -> impl Fn(rusqlite::Error) -> Error {
    move |e| convert(operation, e)
}

/// A row that cannot be read as what it should be.
pub(crate) fn corrupt(
    operation: &'static str,
    what: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::new(ErrorKind::Corrupt, operation, "a row of the database is damaged")
        .with("row", what)
        .with_source(source)
}

fn convert(operation: &'static str, e: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode;
    let (kind, message, reason) = match e.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (ErrorKind::Busy, "other writers hold the database", "")
        }
        Some(ErrorCode::DiskFull) => (ErrorKind::Storage, "the database cannot be written", "no space"),
        Some(ErrorCode::ReadOnly) => (ErrorKind::Storage, "the database cannot be written", "read-only"),
        Some(ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => {
            (ErrorKind::Storage, "the database cannot be opened", "denied")
        }
        Some(ErrorCode::CannotOpen) => (ErrorKind::Storage, "the database cannot be opened", "i/o"),
        Some(
            ErrorCode::SystemIoFailure | ErrorCode::FileLockingProtocolFailed | ErrorCode::NoLargeFileSupport,
        ) => (ErrorKind::Storage, "the database cannot be read or written", "i/o"),
        Some(ErrorCode::NotADatabase) => (ErrorKind::Corrupt, "the file is no database", ""),
        Some(ErrorCode::DatabaseCorrupt) => (ErrorKind::Corrupt, "the database is damaged", ""),
        Some(ErrorCode::TooBig) => (ErrorKind::LimitExceeded, "a value is too long for the database", ""),
        Some(ErrorCode::OperationInterrupted) => (ErrorKind::Cancelled, "the call was interrupted", ""),
        Some(_) => (ErrorKind::Internal, "the database refused a statement", ""),
        None => match e {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..)
            | rusqlite::Error::InvalidColumnType(..) => {
                (ErrorKind::Corrupt, "a row of the database is damaged", "")
            }
            _ => (ErrorKind::Internal, "the database was asked wrongly", ""),
        },
    };
    let error = Error::new(kind, operation, message);
    let error = if reason.is_empty() { error } else { error.with("reason", reason) };
    error.with_source(e)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> Result<(Db, Opened)> {
        Db::open(path, JournalMode::WriteAhead)
    }

    fn meta(db: &Db) -> String {
        let sql = "SELECT value FROM meta WHERE key = 'k'";
        db.read_now("t", |c| c.query_row(sql, [], |r| r.get(0)).map_err(failed("t"))).unwrap()
    }

    #[test]
    fn a_transaction_is_kept_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let (db, opened) = open(&dir.path().join("x.db")).unwrap();
        assert_eq!(opened, Opened::Fresh);
        for (durability, ok, seen) in [
            (Durability::Power, true, "0"),
            (Durability::Process, false, "0"),
            (Durability::Process, true, "2"),
        ] {
            let value = if ok { seen } else { "lost" };
            let answer = db.write_now("t", durability, |tx| {
                let sql = "INSERT OR REPLACE INTO meta VALUES ('k', ?1)";
                tx.execute(sql, [value]).map_err(failed("t"))?;
                if ok { Ok(()) } else { Err(Error::invalid("t", "x", "no")) }
            });
            assert_eq!((answer.is_ok(), meta(&db).as_str()), (ok, seen));
        }
    }

    #[test]
    fn what_is_not_ours_or_newer_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let newer = MIGRATIONS.len() + 1;
        let cases: [(&str, String, ErrorKind); 3] = [
            ("foreign table", "CREATE TABLE t (x)".into(), ErrorKind::Corrupt),
            ("foreign id", "PRAGMA application_id = 7".into(), ErrorKind::Corrupt),
            (
                "newer",
                format!(
                    "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {newer}; CREATE TABLE t (x)"
                ),
                ErrorKind::Unsupported,
            ),
        ];
        for (name, sql, kind) in cases {
            let path = dir.path().join(name);
            Connection::open(&path).unwrap().execute_batch(&sql).unwrap();
            let before = std::fs::read(&path).unwrap();
            assert_eq!(open(&path).unwrap_err().kind(), kind, "{name}");
            assert_eq!(std::fs::read(&path).unwrap(), before, "{name} was changed");
        }
        let path = dir.path().join("noise");
        std::fs::write(&path, [7_u8; 5000]).unwrap();
        assert_eq!(open(&path).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(std::fs::read(&path).unwrap(), [7_u8; 5000]);
    }

    #[test]
    fn a_migration_leaves_a_backup_and_either_happens_or_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mlops.db");
        drop(open(&path).unwrap());
        let mut connection = connect(&path, Access::Write).unwrap();
        back_up(&connection, &path, 1).unwrap();
        let copy = Connection::open(dir.path().join("mlops.v1.bak")).unwrap();
        assert_eq!(version(&copy, "t").unwrap(), Some(MIGRATIONS.len()));
        // The tables are there: making them again fails, and nothing of it stays.
        assert!(migrate(&mut connection, 0).is_err());
        assert_eq!(version(&connection, "t").unwrap(), Some(MIGRATIONS.len()));
    }

    #[test]
    fn a_database_of_an_older_version_is_kept_and_brought_up_to_date() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mlops.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(&MIGRATIONS[0].concat()).unwrap();
        old.execute_batch(&format!(
            "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1; INSERT INTO meta VALUES ('k', 'v')"
        ))
        .unwrap();
        drop(old);
        let (db, _) = open(&path).unwrap();
        assert_eq!(meta(&db), "v");
        drop(db);
        let now = Connection::open(&path).unwrap();
        assert_eq!(version(&now, "t").unwrap(), Some(MIGRATIONS.len()));
        let kept = Connection::open(dir.path().join("mlops.v1.bak")).unwrap();
        assert_eq!(version(&kept, "t").unwrap(), Some(1));
    }

    #[test]
    fn a_closed_database_is_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let (db, _) = open(&dir.path().join("x.db")).unwrap();
        db.write_now("t", Durability::Process, |tx| {
            tx.execute("INSERT INTO meta VALUES ('k', 'v')", []).map_err(failed("t")).map(drop)
        })
        .unwrap();
        assert_eq!(meta(&db), "v");
        drop(db);
        assert!(!dir.path().join("x.db-wal").exists());
    }

    #[test]
    fn a_read_only_database_refuses_writes_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        drop(open(&path).unwrap());
        let db = Db::open_read_only(&path).unwrap();
        let error = db.write_now("t", Durability::Power, |_| Ok(())).unwrap_err();
        assert_eq!((error.kind(), error.context("reason")), (ErrorKind::Storage, Some("read-only")));
    }

    #[test]
    fn the_safe_journal_mode_needs_no_shared_memory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        let (db, _) = Db::open(&path, JournalMode::Rollback).unwrap();
        db.write_now("t", Durability::Process, |tx| {
            tx.execute("INSERT INTO meta VALUES ('k', 'v')", []).map_err(failed("t")).map(drop)
        })
        .unwrap();
        assert_eq!(meta(&db), "v");
        assert!(!dir.path().join("x.db-shm").exists() && !dir.path().join("x.db-wal").exists());
    }
}
