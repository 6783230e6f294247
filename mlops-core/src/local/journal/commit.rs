//! The committer: moves records from the files into the database, exactly once.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::record::{self, Record};
use super::writer::{Writer, Written};
use crate::disk::frame::{Found, Frames, HEAD};
use crate::error::{Error, ErrorKind, Result};
use crate::local::db::{Db, Durability, failed};
use crate::local::tracker::lease::Leases;
use crate::local::tracker::points::{self, Point};
use crate::local::tracker::rows;
use crate::local::tracker::touch;
use crate::time::{Clock, lock};

/// How much of a file goes into one transaction: about 200 000 records.
const PIECE: u64 = 8 << 20;

/// From how many new records on the committer does not wait for its time.
const ENOUGH: usize = 32_768;

/// How long the committer waits at most after it could not commit.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A lease that is renewed as long as the store handle lives and the run is open.
struct Renewal {
    row: i64,
    lease: Duration,
    /// By the clock's monotonic time.
    next: Duration,
}

struct Wake {
    stop: bool,
    kicked: bool,
    every: Duration,
}

/// What loggers, readers and the committer share.
pub(crate) struct Shared {
    pub(crate) db: Arc<Db>,
    pub(crate) clock: Arc<dyn Clock>,
    leases: Arc<Leases>,
    pub(crate) writer: Mutex<Writer>,
    /// Names of files that are gone, whose rows are not. Held while somebody commits.
    commit: Mutex<Vec<String>>,
    renewals: Mutex<Vec<Renewal>>,
    wake: Mutex<Wake>,
    woken: Condvar,
    /// Whether anything was ever logged.
    used: AtomicBool,
}

/// What is moved in one transaction.
enum Work {
    /// A part of a file, from `start` to `end`.
    Piece { file: Arc<File>, name: String, salt: u32, start: u64, end: u64 },
    /// What waits in memory.
    Queue(Vec<Record>),
}

impl Shared {
    pub(crate) fn new(db: Arc<Db>, clock: Arc<dyn Clock>, leases: Arc<Leases>, writer: Writer) -> Self {
        Self {
            db,
            clock,
            leases,
            writer: Mutex::new(writer),
            commit: Mutex::default(),
            renewals: Mutex::default(),
            wake: Mutex::new(Wake { stop: false, kicked: false, every: Duration::MAX }),
            woken: Condvar::new(),
            used: AtomicBool::new(false),
        }
    }

    pub(crate) fn use_it(&self) {
        self.used.store(true, Ordering::Release);
    }

    pub(crate) fn is_used(&self) -> bool {
        self.used.load(Ordering::Acquire)
    }

    /// Commits at least this often.
    pub(crate) fn commit_every(&self, every: Duration) {
        let every = every.max(Duration::from_millis(1));
        let mut wake = lock(&self.wake);
        if every < wake.every {
            wake.every = every;
            self.woken.notify_one();
        }
    }

    /// Renews a lease that was just given.
    pub(crate) fn keep_alive(&self, row: i64, lease: Duration) {
        let next = self.clock.monotonic().saturating_add(lease / 3);
        let mut renewals = lock(&self.renewals);
        renewals.retain(|renewal| renewal.row != row);
        renewals.push(Renewal { row, lease, next });
        self.commit_every(lease / 6);
    }

    pub(crate) fn let_go(&self, row: i64) {
        lock(&self.renewals).retain(|renewal| renewal.row != row);
    }

    /// Takes a record.
    pub(crate) fn log(&self, writer: &mut Writer, record: Record) {
        writer.log(record);
        if writer.fresh == ENOUGH {
            self.kick();
        }
    }

    fn kick(&self) {
        lock(&self.wake).kicked = true;
        self.woken.notify_one();
    }

    pub(crate) fn stop(&self) {
        lock(&self.wake).stop = true;
        self.woken.notify_one();
    }

    /// The committer's thread.
    pub(crate) fn work(&self) {
        let mut pause = Duration::ZERO;
        while self.wait(pause) {
            let done = self.renew().and(self.drain("RunLogger"));
            pause = match done {
                Ok(()) => Duration::ZERO,
                Err(_) => (pause * 2).clamp(Duration::from_millis(50), LONGEST_WAIT),
            };
        }
        self.close();
    }

    /// Waits for the next time, but at least for `pause`; false when it is the last.
    fn wait(&self, pause: Duration) -> bool {
        let began = Instant::now();
        let mut wake = lock(&self.wake);
        loop {
            let waited = began.elapsed();
            if wake.stop {
                return false;
            }
            let until = if wake.kicked { pause } else { wake.every.max(pause) };
            let Some(rest) = until.checked_sub(waited).filter(|rest| !rest.is_zero()) else {
                wake.kicked = false;
                return true;
            };
            // The longest wait that no platform finds too long.
            let rest = rest.min(Duration::from_secs(3600));
            let waited = self.woken.wait_timeout(wake, rest);
            (wake, _) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    /// Moves everything that was logged into the database.
    pub(crate) fn drain(&self, operation: &'static str) -> Result<()> {
        if !self.is_used() {
            return Ok(());
        }
        let mut gone = lock(&self.commit);
        let answer = self.drain_held(operation, &mut gone);
        if let Err(e) = &answer {
            let copy = Error::new(e.kind(), e.operation(), e.message());
            lock(&self.writer).note(copy.with("cause", e));
        }
        answer
    }

    fn drain_held(&self, operation: &'static str, gone: &mut Vec<String>) -> Result<()> {
        while let Some(work) = self.next_work() {
            match work {
                Work::Piece { file, name, salt, start, end } => {
                    let (records, damaged, next) = read(operation, &file, salt, start, end)?;
                    self.commit(operation, &records, Some((&name, next)), gone)?;
                    let counts = by_run(&records);
                    let mut writer = lock(&self.writer);
                    if damaged {
                        let message = "a part of the journal was damaged on the disk; what was in it is lost";
                        writer.note(Error::new(ErrorKind::Corrupt, operation, message).with("file", &name));
                    }
                    writer.committed(&counts, false);
                    moved(&mut writer, &name, next);
                    // Nobody who logs waits for the disk, or for the removal of a file.
                    drop(writer);
                    self.remove_done(operation, gone)?;
                }
                Work::Queue(records) => {
                    self.commit(operation, &records, None, gone)?;
                    let counts = by_run(&records);
                    let mut writer = lock(&self.writer);
                    writer.committed(&counts, true);
                    writer.queue.drain(..records.len());
                }
            }
        }
        Ok(())
    }

    fn next_work(&self) -> Option<Work> {
        let mut writer = lock(&self.writer);
        writer.fresh = 0;
        writer.retry();
        let piece = |written: &Written| Work::Piece {
            file: written.file.file.clone(),
            name: written.file.name.clone(),
            salt: written.salt,
            start: written.committed,
            end: written.end,
        };
        let open = writer.sealed.iter().chain(&writer.current).find(|file| file.committed < file.end);
        match open {
            Some(written) => Some(piece(written)),
            None if writer.queue.is_empty() => None,
            None => Some(Work::Queue(writer.queue.iter().copied().collect())),
        }
    }

    /// Removes the files that are full and all of whose records are in the database.
    fn remove_done(&self, operation: &'static str, gone: &mut Vec<String>) -> Result<()> {
        let is_done = |file: &&Written| file.committed == file.end;
        let name = |file: &Written| (file.file.name.clone(), file.end);
        let done: Vec<_> = lock(&self.writer).sealed.iter().take_while(is_done).map(name).collect();
        if done.is_empty() {
            return Ok(());
        }
        settle(operation, &self.db, &done)?;
        let files: Vec<Written> = lock(&self.writer).sealed.drain(..done.len()).collect();
        gone.extend(files.into_iter().map(Writer::remove));
        Ok(())
    }

    /// One transaction: the points, and how far they came. A run that somebody ended, in any process, takes no more from then on; what
    /// was logged until that is known here is kept, as it is when the journal of a dead process is replayed.
    fn commit(
        &self,
        operation: &'static str,
        records: &[Record],
        file: Option<(&str, u64)>,
        gone: &mut Vec<String>,
    ) -> Result<()> {
        let groups = self.groups(records);
        let mut runs: Vec<i64> = groups.iter().map(|group| group.run).collect();
        runs.dedup();
        let ended = self.db.write_now(operation, Durability::Process, |tx| {
            add(operation, tx, groups)?;
            if let Some((name, committed)) = file {
                note(operation, tx, name, committed)?;
            }
            forget(operation, tx, gone)?;
            let mut ended = Vec::new();
            for run in runs {
                if rows::is_over(operation, tx, run, &self.leases)? {
                    ended.push(run);
                }
            }
            Ok(ended)
        })?;
        gone.clear();
        let mut writer = lock(&self.writer);
        ended.into_iter().for_each(|run| writer.close(run));
        Ok(())
    }

    /// The points of each metric of each run, in the order of logging.
    fn groups(&self, records: &[Record]) -> Vec<Group> {
        let mut sorted: Vec<&Record> = records.iter().collect();
        sorted.sort_by_key(|record| (record.run, record.key));
        let same = |left: &&Record, right: &&Record| (left.run, left.key) == (right.run, right.key);
        let group = |records: &[&Record]| {
            let first = records.first()?;
            // Held for a moment only: whoever logs waits for it.
            let (run, key) = lock(&self.writer).names(first)?;
            Some(Group { run, key, points: records.iter().map(|record| point(record)).collect() })
        };
        sorted.chunk_by(same).filter_map(group).collect()
    }

    /// Renews the leases that are due.
    fn renew(&self) -> Result<()> {
        const OP: &str = "RunLogger";
        let now = self.clock.monotonic();
        let due = |renewal: &&Renewal| renewal.next <= now;
        let due: Vec<_> = lock(&self.renewals).iter().filter(due).map(|r| (r.row, r.lease)).collect();
        if due.is_empty() {
            return Ok(());
        }
        let alive = self.db.write_now(OP, Durability::Process, |tx| {
            let mut alive = Vec::new();
            for &(row, lease) in &due {
                if renew_one(tx, row, lease, &self.leases).map_err(failed(OP))? {
                    alive.push(row);
                }
            }
            Ok(alive)
        })?;
        lock(&self.renewals).retain_mut(|renewal| {
            let was_due = renewal.next <= now;
            if was_due {
                renewal.next = now.saturating_add(renewal.lease / 3);
            }
            !was_due || alive.contains(&renewal.row)
        });
        let mut writer = lock(&self.writer);
        for (row, _) in due.iter().filter(|(row, _)| !alive.contains(row)) {
            writer.close(*row);
        }
        Ok(())
    }

    /// Moves what is left, and removes the files. What cannot be moved stays in them, for who opens the store next.
    fn close(&self) {
        const OP: &str = "RunLogger";
        drop(self.drain(OP));
        let mut writer = lock(&self.writer);
        let open = std::mem::take(&mut writer.sealed).into_iter().chain(writer.current.take());
        let done: Vec<Written> = open.filter(|file| file.committed == file.end).collect();
        drop(writer);
        let names: Vec<_> = done.iter().map(|file| (file.file.name.clone(), file.end)).collect();
        if done.is_empty() || settle(OP, &self.db, &names).is_err() {
            return;
        }
        let gone: Vec<String> = done.into_iter().map(Writer::remove).collect();
        drop(self.db.write_now(OP, Durability::Process, |tx| forget(OP, tx, &gone)));
    }
}

/// Gives an open run its lease again; whether it is open.
fn renew_one(db: &Connection, row: i64, lease: Duration, leases: &Leases) -> rusqlite::Result<bool> {
    use rusqlite::OptionalExtension as _;
    let find = "SELECT lease_until FROM run WHERE id = ?1 AND status < 2 AND lease_until IS NOT NULL";
    let until: Option<i64> = db.prepare_cached(find)?.query_row([row], |row| row.get(0)).optional()?;
    // Once it is over it is over: somebody may have seen that.
    if until.is_none_or(|until| leases.is_over(row, until)) {
        return Ok(false);
    }
    let until = leases.give(row, lease);
    let changed =
        db.prepare_cached("UPDATE run SET lease_until = ?2 WHERE id = ?1")?.execute((row, until))?;
    Ok(changed == 1)
}

/// Points of one metric of one run.
pub(crate) struct Group {
    pub(crate) run: i64,
    pub(crate) key: String,
    pub(crate) points: Vec<Point>,
}

pub(crate) fn point(record: &Record) -> Point {
    Point::new(record.step, record.at, record.value)
}

/// Adds points; how many were new.
pub(crate) fn add(operation: &'static str, db: &Connection, groups: Vec<Group>) -> Result<u64> {
    let (mut all, mut changed) = (0, Vec::new());
    for group in groups {
        let new = points::add(operation, db, group.run, &group.key, group.points)?;
        all += new;
        if new > 0 && !changed.contains(&group.run) {
            changed.push(group.run);
        }
    }
    for run in changed {
        touch(operation, db, run)?;
    }
    Ok(all)
}

/// Remembers how far a file is in the database.
pub(crate) fn note(operation: &'static str, db: &Connection, name: &str, committed: u64) -> Result<()> {
    let sql = "INSERT INTO journal_file (name, committed) VALUES (?1, ?2)
               ON CONFLICT (name) DO UPDATE SET committed = excluded.committed";
    let write = || db.prepare_cached(sql)?.execute((name, committed.cast_signed()));
    write().map(drop).map_err(failed(operation))
}

/// Has the disk take everything that was committed, before files are removed: a removal may come to the disk before the commits do
/// that made it right, and a power cut would take both.
fn settle(operation: &'static str, db: &Db, files: &[(String, u64)]) -> Result<()> {
    db.write_now(operation, Durability::Power, |tx| {
        files.iter().try_for_each(|(name, end)| note_anew(operation, tx, name, *end))
    })
}

/// As [`note`], but so that there is always something to write, and so to sync.
pub(crate) fn note_anew(operation: &'static str, db: &Connection, name: &str, committed: u64) -> Result<()> {
    forget(operation, db, std::slice::from_ref(&name.to_owned()))?;
    note(operation, db, name, committed)
}

/// Forgets files that are gone.
pub(crate) fn forget(operation: &'static str, db: &Connection, names: &[String]) -> Result<()> {
    for name in names {
        let remove = || db.prepare_cached("DELETE FROM journal_file WHERE name = ?1")?.execute([name]);
        remove().map_err(failed(operation))?;
    }
    Ok(())
}

/// How many of these records are of each run.
fn by_run(records: &[Record]) -> BTreeMap<u32, u64> {
    let mut counts = BTreeMap::new();
    for run in records.chunk_by(|left, right| left.run == right.run) {
        if let Some(first) = run.first() {
            *counts.entry(first.run).or_default() += run.len() as u64;
        }
    }
    counts
}

fn moved(writer: &mut Writer, name: &str, committed: u64) {
    let files = writer.sealed.iter_mut().chain(&mut writer.current);
    for written in files.filter(|written| written.file.name == name) {
        written.committed = committed;
    }
}

/// The records of a part of a file, whether some were damaged, and where the next part begins.
fn read(
    operation: &'static str,
    file: &File,
    salt: u32,
    start: u64,
    end: u64,
) -> Result<(Vec<Record>, bool, u64)> {
    let stop = end.min(start + PIECE);
    let mut bytes = vec![0; usize::try_from(stop - start).unwrap_or_default()];
    file.read_exact_at(&mut bytes, start).map_err(super::unreadable(operation))?;
    let mut records = Vec::with_capacity(bytes.len() / (HEAD + Record::LEN));
    let (mut damaged, mut next) = (false, start);
    for found in Frames::new(&bytes, start, salt) {
        match found {
            Found::Frame { kind: record::POINT, payload, end, .. } => {
                records.extend(Record::decode(payload));
                next = end;
            }
            Found::Frame { end, .. } => next = end,
            Found::Damaged { end, .. } => (damaged, next) = (true, end),
            // A frame that goes on after this part, unless this is the last part or the frame is all of it.
            Found::Tail { start: tail } if stop < end && tail > start => {}
            Found::Tail { .. } => (damaged, next) = (true, stop),
        }
    }
    Ok((records, damaged, next))
}
