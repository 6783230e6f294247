//! How far the work has come, written down line by line.

use std::io::{BufRead as _, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{BatchCounts, OP, storage};
use crate::disk::LineFile;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::{Digest, Hasher};

const FORMAT: &str = "mlops.batch/v1";

/// The longest line that is read back; those that are written are far below.
const MAX_LINE: u64 = 1 << 20;

/// What the first line says: which work this is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    format: String,
    job: Digest,
}

/// How far a file was when a checkpoint was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Extent {
    pub(super) bytes: u64,
    pub(super) digest: Digest,
}

/// How far the work was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Checkpoint {
    pub(super) batches: u64,
    pub(super) counts: BatchCounts,
    pub(super) results: Extent,
    pub(super) refused: Extent,
    /// What the predictions are called, if there were any yet.
    pub(super) answers: Option<Vec<String>>,
    /// Whether that was all.
    pub(super) done: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<T> {
    entry: T,
    check: Digest,
}

/// The digest of a line, which has that of the line before it in it.
fn check<T: Serialize>(before: &Digest, entry: &T) -> Result<Digest> {
    let json = text(entry)?;
    Ok(Hasher::new("mlops.batch.journal/v1").field(before.as_bytes()).field(json).finish())
}

fn text<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|e| Error::new(ErrorKind::Internal, OP, "the journal cannot be written").with_source(e))
}

/// The journal of one piece of work. It is locked: nobody else goes on with it.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    lines: LineFile,
    last: Digest,
}

/// What a journal said when it was opened.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The last checkpoint, and the one before it.
    pub(super) last: Option<Checkpoint>,
    pub(super) before: Option<Checkpoint>,
}

impl Journal {
    /// Opens a journal, or begins one. With `restart` it is begun anew, whatever it says.
    ///
    /// [`ErrorKind::Busy`] when somebody has it; [`ErrorKind::Conflict`] when it is of other work; [`ErrorKind::Corrupt`] when it is no journal.
    pub(super) fn open(path: &Path, job: &Digest, restart: bool) -> Result<(Self, Found)> {
        let lines = LineFile::open(path).map_err(storage(path))?.ok_or_else(busy)?;
        let head = Head { format: FORMAT.to_owned(), job: *job };
        let first = check(&Digest::of(b""), &head)?;
        let mut journal = Self { path: path.to_owned(), lines, last: first };
        if !restart && let Some((length, found)) = journal.read(&head)? {
            // What a write that was cut off has left goes.
            journal.lines.keep(length).map_err(storage(path))?;
            return Ok((journal, found));
        }
        journal.lines.keep(0).map_err(storage(path))?;
        journal.put(&Line { entry: head, check: first })?;
        Ok((journal, Found::default()))
    }

    /// The length of what is sound in it, and what it says; none where not even its first line was written to the end.
    fn read(&mut self, head: &Head) -> Result<Option<(u64, Found)>> {
        let mut reader = self.lines.read().map_err(storage(&self.path))?;
        let (mut line, mut length, mut found) = (Vec::new(), 0, Found::default());
        let mut ours = true;
        for number in 0_u64.. {
            line.clear();
            let read = (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line);
            read.map_err(storage(&self.path))?;
            let whole = line.last() == Some(&b'\n');
            if number == 0 {
                if !whole && line.len() < 512 {
                    return Ok(None);
                }
                ours = self.begins_with(head, &line)?;
            } else if !ours {
                // Work that had not come to a checkpoint is none that could be taken up.
                return if whole { Err(self.other()) } else { Ok(None) };
            } else {
                // The first line that is not sound ends the journal: what is behind it is made again.
                let read = serde_json::from_slice::<Line<Checkpoint>>(&line).ok().filter(|_| whole);
                let Some(Line { entry, check: told }) = read else { break };
                if check(&self.last, &entry)? != told {
                    break;
                }
                self.last = told;
                found.before = found.last.replace(entry);
            }
            length += line.len() as u64;
        }
        Ok(Some((length, found)))
    }

    /// Whether it is of this work.
    fn begins_with(&self, head: &Head, line: &[u8]) -> Result<bool> {
        let read = serde_json::from_slice::<Line<Head>>(line).ok();
        let Some(line) = read.filter(|line| line.entry.format == FORMAT) else {
            let error = Error::new(ErrorKind::Corrupt, OP, "the journal of unfinished work cannot be read");
            return Err(error.with("file", super::name(&self.path)));
        };
        Ok(line.entry == *head && line.check == self.last)
    }

    fn other(&self) -> Error {
        let message = "there is unfinished work on another input, with another model or other options; finish it or restart";
        Error::new(ErrorKind::Conflict, OP, message).with("file", super::name(&self.path))
    }

    fn put<T: Serialize>(&mut self, line: &Line<T>) -> Result<()> {
        let mut json = text(line)?;
        json.push('\n');
        self.lines.append(json.as_bytes(), true).map_err(storage(&self.path))
    }

    /// Writes a checkpoint down; what it speaks of is on the disk by then.
    pub(super) fn append(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let check = check(&self.last, checkpoint)?;
        self.put(&Line { entry: checkpoint, check })?;
        self.last = check;
        Ok(())
    }
}

fn busy() -> Error {
    Error::new(ErrorKind::Busy, OP, "somebody else is writing these results")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(batches: u64) -> Checkpoint {
        let extent = |bytes| Extent { bytes, digest: Digest::of(&batches.to_le_bytes()) };
        let counts = BatchCounts { rows: 10 * batches, scored: 9 * batches, bad: batches };
        let answers = Some(vec!["value".to_owned()]);
        Checkpoint { batches, counts, results: extent(batches), refused: extent(0), answers, done: false }
    }

    fn open(path: &Path, job: &Digest) -> Result<Found> {
        Journal::open(path, job, false).map(|(_, found)| found)
    }

    #[test]
    fn wherever_it_is_cut_or_damaged_the_sound_beginning_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let (path, job) = (folder.path().join("journal"), Digest::of(b"job"));
        let (mut journal, found) = Journal::open(&path, &job, false).unwrap();
        assert!(found.last.is_none());
        let mut ends = vec![std::fs::metadata(&path).unwrap().len()];
        for batches in 1..=3 {
            journal.append(&checkpoint(batches)).unwrap();
            ends.push(std::fs::metadata(&path).unwrap().len());
        }
        assert_eq!(Journal::open(&path, &job, false).unwrap_err().kind(), ErrorKind::Busy);
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        let sound = |length: u64| ends.iter().filter(|end| **end <= length).count();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let found = open(&path, &job).unwrap();
            let checkpoints = sound(cut as u64).saturating_sub(1) as u64;
            assert_eq!(found.last.map_or(0, |c| c.batches), checkpoints, "cut at {cut}");
            assert_eq!(found.before.map_or(0, |c| c.batches), checkpoints.saturating_sub(1));
        }
        for at in usize::try_from(ends[0]).unwrap()..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            let checkpoints = sound(at as u64) as u64 - 1;
            assert_eq!(open(&path, &job).unwrap().last.map_or(0, |c| c.batches), checkpoints, "byte {at}");
        }
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(open(&path, &Digest::of(b"other")).unwrap_err().kind(), ErrorKind::Conflict);
        let (_, found) = Journal::open(&path, &Digest::of(b"other"), true).unwrap();
        assert!(found.last.is_none());
        std::fs::write(&path, "somebody's diary\n").unwrap();
        assert_eq!(open(&path, &job).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
