//! Recovery: what processes left in their journals when they died.

use std::collections::HashMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use rusqlite::OptionalExtension as _;
use uuid::Uuid;

use super::commit::{self, Group};
use super::file::{self, JournalFile, MAGIC, VERSION};
use super::record::{self, Record};
use crate::disk::frame::{Found, Frames, Header, NoHeader};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{MetricKey, RunId};
use crate::local::db::{Db, Durability, failed};
use crate::local::tracker::rows;

const OP: &str = "LocalStore::open";

/// What was done with a journal that nobody wrote to any more.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalOutcome {
    /// All of it is in the database; it was removed.
    Replayed,
    /// What could be read is in the database; it was put aside, in `journal/damaged/`.
    PutAside,
    /// It stays where it is, for the reason in [`RecoveredJournal::problem`].
    Left,
}

/// One journal that was found when the store was opened.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredJournal {
    /// The file's name.
    pub name: String,
    /// What was done with it.
    pub outcome: JournalOutcome,
    /// Metric values that were brought into the database.
    pub points: u64,
    /// Places where records were damaged, and skipped.
    pub damaged: u64,
    /// Bytes at the end that are no record: a write that was cut off, or damage.
    pub torn_bytes: u64,
    /// Values whose run or metric is not known, because the record that says it is damaged or the database has no such run.
    pub unattributed: u64,
    /// Where it is kept, if it was not removed.
    pub kept: Option<PathBuf>,
    /// What stood in the way.
    pub problem: Option<String>,
}

impl RecoveredJournal {
    fn new(path: &Path) -> Self {
        Self {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            outcome: JournalOutcome::Replayed,
            points: 0,
            damaged: 0,
            torn_bytes: 0,
            unattributed: 0,
            kept: None,
            problem: None,
        }
    }

    fn left(path: &Path, problem: impl std::fmt::Display) -> Self {
        let (kept, problem) = (Some(path.to_owned()), Some(problem.to_string()));
        Self { outcome: JournalOutcome::Left, kept, problem, ..Self::new(path) }
    }

    /// Whether all that was logged is in the database.
    pub fn is_whole(&self) -> bool {
        self.outcome == JournalOutcome::Replayed
    }
}

/// What was found in the journals of processes that are gone.
///
/// ```
/// use mlops_core::local::LocalStore;
/// # let dir = tempfile::tempdir()?;
/// let store = LocalStore::open(dir.path().join(".mlops"))?;
/// assert!(store.recovery().is_whole());
/// assert_eq!(store.recovery().points(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The journals, by name. Those of processes that live are not among them.
    pub journals: Vec<RecoveredJournal>,
    /// Why the folder of the journals could not be looked at.
    pub problem: Option<String>,
}

impl RecoveryReport {
    /// Whether nothing was lost and nothing was left.
    pub fn is_whole(&self) -> bool {
        self.problem.is_none() && self.journals.iter().all(RecoveredJournal::is_whole)
    }

    /// How many metric values were brought into the database.
    pub fn points(&self) -> u64 {
        self.journals.iter().map(|journal| journal.points).sum()
    }
}

/// Replays the journals that nobody holds. What cannot be replayed stays, and is reported: it does not keep the store shut.
pub(crate) fn recover(root: &Path, owner: Uuid, db: &Db) -> RecoveryReport {
    let folder = root.join(super::FOLDER);
    let mut report = RecoveryReport::default();
    match file::list(&folder) {
        Ok(paths) => report.journals.extend(paths.iter().filter_map(|path| recover_file(path, owner, db))),
        Err(e) => report.problem = Some(e.to_string()),
    }
    forget_removed(&folder, db);
    report
}

fn recover_file(path: &Path, owner: Uuid, db: &Db) -> Option<RecoveredJournal> {
    let journal = match JournalFile::take_over(path) {
        Ok(taken) => taken?,
        // Somebody was quicker.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return None,
        Err(e) => return Some(RecoveredJournal::left(path, e)),
    };
    let answer = replay(&journal, owner, db);
    Some(answer.unwrap_or_else(|e| RecoveredJournal::left(path, e)))
}

/// What a file has.
#[derive(Default)]
struct Content {
    runs: HashMap<u32, RunId>,
    keys: HashMap<u32, MetricKey>,
    /// What is not in the database yet.
    records: Vec<Record>,
    damaged: u64,
    torn_bytes: u64,
}

fn replay(journal: &JournalFile, owner: Uuid, db: &Db) -> Result<RecoveredJournal> {
    let mut bytes = Vec::new();
    (&*journal.file).read_to_end(&mut bytes).map_err(super::unreadable(OP))?;
    let header = match Header::decode(&bytes, MAGIC) {
        Ok(header) if header.version > VERSION => {
            let problem = format!("it is of version {}, known is {VERSION}", header.version);
            return Ok(RecoveredJournal::left(&journal.path, problem));
        }
        Ok(header) if header.owner != owner => {
            return Ok(RecoveredJournal::left(&journal.path, "it is of another store"));
        }
        Ok(header) => header,
        Err(NoHeader::Foreign) => {
            return Ok(RecoveredJournal::left(&journal.path, "it is no journal"));
        }
        Err(NoHeader::Damaged) => {
            let torn_bytes = bytes.len() as u64;
            let report = RecoveredJournal { damaged: 1, torn_bytes, ..RecoveredJournal::new(&journal.path) };
            return put_aside(journal, report);
        }
    };
    let committed = committed(db, &journal.name)?;
    let content = content(&bytes, header.salt, committed);
    let mut report = RecoveredJournal::new(&journal.path);
    (report.damaged, report.torn_bytes) = (content.damaged, content.torn_bytes);
    let strangers = move_in(db, &journal.name, bytes.len() as u64, &content, &mut report)?;
    if strangers > 0 {
        // They may be back, from a better copy of the database.
        let problem = format!("{strangers} values are of runs that are not in the database");
        let (outcome, kept) = (JournalOutcome::Left, Some(journal.path.clone()));
        return Ok(RecoveredJournal { outcome, kept, problem: Some(problem), ..report });
    }
    if report.damaged > 0 || report.torn_bytes > 0 || report.unattributed > 0 {
        return put_aside(journal, report);
    }
    remove(journal, report)
}

fn committed(db: &Db, name: &str) -> Result<u64> {
    let committed: Option<i64> = db.read_now(OP, |db| {
        let sql = "SELECT committed FROM journal_file WHERE name = ?1";
        db.query_row(sql, [name], |row| row.get(0)).optional().map_err(failed(OP))
    })?;
    Ok(committed.map_or(0, i64::cast_unsigned))
}

/// Reads all of a file: the names may stand before what is in the database already.
fn content(bytes: &[u8], salt: u32, committed: u64) -> Content {
    let mut content = Content::default();
    let body = bytes.get(Header::LEN..).unwrap_or_default();
    for found in Frames::new(body, Header::LEN as u64, salt) {
        match found {
            Found::Frame { kind, payload, start, .. } => {
                if !content.take(kind, payload, start >= committed) {
                    content.damaged += 1;
                }
            }
            // What was damaged after it was committed is lost to nobody.
            Found::Damaged { end, .. } if end <= committed => {}
            Found::Damaged { .. } => content.damaged += 1,
            Found::Tail { start } => content.torn_bytes = bytes.len() as u64 - start,
        }
    }
    content
}

impl Content {
    /// Whether the frame is one of ours.
    fn take(&mut self, kind: u8, payload: &[u8], new: bool) -> bool {
        match kind {
            record::POINT => match Record::decode(payload) {
                Some(record) => {
                    self.records.extend(new.then_some(record));
                    true
                }
                None => false,
            },
            record::RUN => record::run(payload).map(|(number, run)| self.runs.insert(number, run)).is_some(),
            record::KEY => record::key(payload).map(|(number, key)| self.keys.insert(number, key)).is_some(),
            _ => false,
        }
    }
}

/// Adds the points, and notes that the file is done. How many are of runs that the database does not have: then it is not done.
fn move_in(db: &Db, name: &str, end: u64, content: &Content, report: &mut RecoveredJournal) -> Result<u64> {
    let mut sorted: Vec<&Record> = content.records.iter().collect();
    sorted.sort_by_key(|record| (record.run, record.key));
    let same = |left: &&Record, right: &&Record| (left.run, left.key) == (right.run, right.key);
    let mut strangers = 0;
    let mut unattributed = 0;
    // The file is removed after this, and the removal may come to the disk first: the disk has the values before.
    let points = db.write_now(OP, Durability::Power, |tx| {
        let mut groups = Vec::new();
        for records in sorted.chunk_by(same) {
            let Some(first) = records.first() else { continue };
            let count = records.len() as u64;
            let (Some(run), Some(key)) = (content.runs.get(&first.run), content.keys.get(&first.key)) else {
                unattributed += count;
                continue;
            };
            match rows::find_run(OP, tx, run)? {
                Some(run) => groups.push(Group {
                    run,
                    key: key.as_str().to_owned(),
                    points: records.iter().map(|record| commit::point(record)).collect(),
                }),
                None => strangers += count,
            }
        }
        let points = commit::add(OP, tx, groups)?;
        if strangers == 0 {
            commit::note_anew(OP, tx, name, end)?;
        }
        Ok(points)
    })?;
    (report.points, report.unattributed) = (points, unattributed + strangers);
    Ok(strangers)
}

fn remove(journal: &JournalFile, report: RecoveredJournal) -> Result<RecoveredJournal> {
    match fs::remove_file(&journal.path) {
        Ok(()) => Ok(report),
        // All of it is in the database, which knows that.
        Err(e) => {
            Ok(RecoveredJournal { kept: Some(journal.path.clone()), problem: Some(e.to_string()), ..report })
        }
    }
}

/// Keeps a damaged file where nobody replays it, for who wants to look at it.
fn put_aside(journal: &JournalFile, report: RecoveredJournal) -> Result<RecoveredJournal> {
    let target = journal.path.with_file_name("damaged");
    let path = target.join(&journal.name);
    let put = || {
        fs::create_dir_all(&target)?;
        fs::rename(&journal.path, &path)
    };
    put().map_err(|e: std::io::Error| {
        Error::new(ErrorKind::Storage, OP, "a damaged journal cannot be put aside").with_source(e)
    })?;
    Ok(RecoveredJournal { outcome: JournalOutcome::PutAside, kept: Some(path), ..report })
}

/// Forgets how far files were that are gone. A row that stays is no harm.
fn forget_removed(folder: &Path, db: &Db) {
    let names = db.read_now(OP, |db| {
        let find = || {
            let mut statement = db.prepare("SELECT name FROM journal_file")?;
            statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()
        };
        find().map_err(failed(OP))
    });
    // A row is made after its file: who has a row and no file has lost it for good.
    let gone = |name: &String| !folder.join(name).exists();
    let names: Vec<String> = names.unwrap_or_default().into_iter().filter(gone).collect();
    if !names.is_empty() {
        drop(db.write_now(OP, Durability::Process, |tx| commit::forget(OP, tx, &names)));
    }
}
