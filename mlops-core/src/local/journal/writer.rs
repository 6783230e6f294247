//! The hot path: one record, one write to the file, nothing that can fail for the caller.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use super::file::JournalFile;
use super::record::{self, Record};
use crate::disk::frame::{self, HEAD, Header};
use crate::error::Error;
use crate::id::{MetricKey, RunId};

/// From this size on a file is closed and another one begun: what has to be read again after a crash stays small.
const ROTATE: u64 = 32 << 20;

/// How many values wait in memory while the file cannot be written: 2.5 MiB.
pub(crate) const QUEUE: usize = 65_536;

/// What one run's logging came to, in this store handle.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) accepted: u64,
    pub(crate) committed: u64,
    pub(crate) in_memory: u64,
    pub(crate) dropped: u64,
    pub(crate) refused: u64,
}

/// A run that is logged to.
pub(crate) struct Logged {
    pub(crate) id: RunId,
    /// The id of its row.
    pub(crate) row: i64,
    /// It ended: what comes now is refused.
    pub(crate) closed: bool,
    pub(crate) counts: Counts,
}

/// A file with records, and how far they are in the database.
pub(crate) struct Written {
    pub(crate) file: JournalFile,
    pub(crate) salt: u32,
    pub(crate) committed: u64,
    pub(crate) end: u64,
    /// Which runs and metrics the file has the names of.
    runs: Vec<bool>,
    keys: Vec<bool>,
}

impl Written {
    fn create(folder: &std::path::Path, owner: Uuid) -> io::Result<Self> {
        let (file, salt) = JournalFile::create(folder, owner)?;
        let start = Header::LEN as u64;
        Ok(Self { file, salt, committed: start, end: start, runs: Vec::new(), keys: Vec::new() })
    }

    fn knows(&self, record: &Record) -> bool {
        let has = |list: &[bool], number: u32| list.get(number as usize).copied().unwrap_or_default();
        has(&self.runs, record.run) && has(&self.keys, record.key)
    }

    /// Writes at the end, which moves only when all of it is there: what was cut off is written over.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.file.write_all_at(bytes, self.end)?;
        self.end += bytes.len() as u64;
        Ok(())
    }
}

/// Everything that is on its way into the database.
pub(crate) struct Writer {
    folder: PathBuf,
    owner: Uuid,
    /// Files that are full, the oldest first, and the one that is written to.
    pub(crate) sealed: VecDeque<Written>,
    pub(crate) current: Option<Written>,
    pub(crate) runs: Vec<Logged>,
    run_numbers: HashMap<RunId, u32>,
    pub(crate) keys: Vec<MetricKey>,
    key_numbers: HashMap<MetricKey, u32>,
    /// What could not be written to a file yet, later than everything in one.
    pub(crate) queue: VecDeque<Record>,
    last_at: i64,
    pub(crate) last_error: Option<Arc<Error>>,
    /// Records since the last commit began.
    pub(crate) fresh: usize,
}

impl Writer {
    pub(crate) fn new(folder: PathBuf, owner: Uuid) -> Self {
        Self {
            folder,
            owner,
            sealed: VecDeque::new(),
            current: None,
            runs: Vec::new(),
            run_numbers: HashMap::new(),
            keys: Vec::new(),
            key_numbers: HashMap::new(),
            queue: VecDeque::new(),
            last_at: i64::MIN,
            last_error: None,
            fresh: 0,
        }
    }

    /// Makes sure that there is a file.
    pub(crate) fn open(&mut self) -> io::Result<()> {
        if self.current.is_none() {
            self.current = Some(Written::create(&self.folder, self.owner)?);
        }
        Ok(())
    }

    /// The number of a run.
    pub(crate) fn run(&mut self, id: &RunId, row: i64) -> u32 {
        if let Some(number) = self.run_numbers.get(id) {
            return *number;
        }
        let number = u32::try_from(self.runs.len()).unwrap_or(u32::MAX);
        self.runs.push(Logged { id: id.clone(), row, closed: false, counts: Counts::default() });
        self.run_numbers.insert(id.clone(), number);
        number
    }

    pub(crate) fn counts(&mut self, run: u32) -> Option<&mut Counts> {
        self.runs.get_mut(run as usize).map(|logged| &mut logged.counts)
    }

    /// The row of a record's run, and its metric's key.
    pub(crate) fn names(&self, record: &Record) -> Option<(i64, String)> {
        let run = self.runs.get(record.run as usize)?.row;
        Some((run, self.keys.get(record.key as usize)?.as_str().to_owned()))
    }

    /// So many records of each run are in the database now; whether they were in memory before.
    pub(crate) fn committed(&mut self, by_run: &BTreeMap<u32, u64>, from_memory: bool) {
        for (run, number) in by_run {
            if let Some(counts) = self.counts(*run) {
                counts.committed += number;
                counts.in_memory -= if from_memory { *number } else { 0 };
            }
        }
    }

    /// Takes no more values for a run, by its row.
    pub(crate) fn close(&mut self, row: i64) {
        for logged in self.runs.iter_mut().filter(|logged| logged.row == row) {
            logged.closed = true;
        }
    }

    /// The number of a metric.
    pub(crate) fn key(&mut self, key: &MetricKey) -> u32 {
        if let Some(number) = self.key_numbers.get(key) {
            return *number;
        }
        let number = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        self.keys.push(key.clone());
        self.key_numbers.insert(key.clone(), number);
        number
    }

    /// A time for what is logged now: after all that were given before, whatever the wall clock says.
    pub(crate) fn stamp(&mut self, now: i64) -> i64 {
        self.last_at = now.max(self.last_at.saturating_add(1));
        self.last_at
    }

    /// Takes a record, and keeps it where it can.
    pub(crate) fn log(&mut self, record: Record) {
        let Some(logged) = self.runs.get_mut(record.run as usize) else { return };
        if logged.closed {
            logged.counts.refused += 1;
            return;
        }
        logged.counts.accepted += 1;
        self.fresh += 1;
        // What waits comes first.
        if self.queue.is_empty() {
            match self.write(&record) {
                Ok(()) => return,
                Err(e) => self.note(super::unwritable(e)),
            }
        }
        let room = self.queue.len() < QUEUE;
        if room {
            self.queue.push_back(record);
        }
        if let Some(counts) = self.counts(record.run) {
            let counter = if room { &mut counts.in_memory } else { &mut counts.dropped };
            *counter += 1;
        }
    }

    pub(crate) fn note(&mut self, error: Error) {
        self.last_error = Some(Arc::new(error));
    }

    /// Tries again to write what waits; whether nothing waits any more.
    pub(crate) fn retry(&mut self) -> bool {
        while let Some(record) = self.queue.front().copied() {
            if let Err(e) = self.write(&record) {
                self.note(super::unwritable(e));
                return false;
            }
            self.queue.pop_front();
            if let Some(counts) = self.counts(record.run) {
                counts.in_memory -= 1;
            }
        }
        true
    }

    fn write(&mut self, record: &Record) -> io::Result<()> {
        if self.current.as_ref().is_some_and(|current| current.end >= ROTATE) {
            // Without another file this one grows on.
            drop(self.turn());
        }
        match self.append(record) {
            Err(e) if e.kind() == io::ErrorKind::FileTooLarge => {
                self.turn()?;
                self.append(record)
            }
            answer => answer,
        }
    }

    /// Begins another file.
    fn turn(&mut self) -> io::Result<()> {
        let next = Written::create(&self.folder, self.owner)?;
        if let Some(full) = self.current.replace(next) {
            // A write that was cut off may have left something after the end.
            drop(full.file.file.set_len(full.end));
            self.sealed.push_back(full);
        }
        Ok(())
    }

    fn append(&mut self, record: &Record) -> io::Result<()> {
        self.open()?;
        let Some(current) = &mut self.current else { return Err(io::Error::other("no file")) };
        if current.knows(record) {
            let payload = record.encode();
            let mut bytes = [0; HEAD + Record::LEN];
            let (head, rest) = bytes.split_at_mut(HEAD);
            head.copy_from_slice(&frame::head(current.salt, current.end, record::POINT, &payload));
            rest.copy_from_slice(&payload);
            return current.append(&bytes);
        }
        self.write_named(record)
    }

    /// Writes a record after the names of what is in it. Each name is written twice: one damaged place takes one record with
    /// it, not all that go by a name.
    fn write_named(&mut self, record: &Record) -> io::Result<()> {
        let (run, key) = (record.run as usize, record.key as usize);
        let (Some(logged), Some(name), Some(current)) =
            (self.runs.get(run), self.keys.get(key), &mut self.current)
        else {
            return Err(io::Error::other("no such run or metric"));
        };
        let (run_name, key_name) = (
            record::definition(record.run, logged.id.as_str()),
            record::definition(record.key, name.as_str()),
        );
        let mut bytes = Vec::new();
        let frames = [(record::RUN, &run_name), (record::KEY, &key_name)];
        for (kind, payload) in frames.into_iter().chain(frames) {
            frame::put(&mut bytes, current.salt, current.end, kind, payload);
        }
        frame::put(&mut bytes, current.salt, current.end, record::POINT, &record.encode());
        current.append(&bytes)?;
        for (list, number) in [(&mut current.runs, run), (&mut current.keys, key)] {
            if list.len() <= number {
                list.resize(number + 1, false);
            }
            if let Some(known) = list.get_mut(number) {
                *known = true;
            }
        }
        Ok(())
    }

    /// Ends a file whose records are all in the database; the name to forget.
    pub(crate) fn remove(written: Written) -> String {
        // A file that stays is replayed when the store is opened next: nothing in it is new then.
        drop(fs::remove_file(&written.file.path));
        written.file.name
    }
}
