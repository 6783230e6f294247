//! The file of checkpoints: how far the log had come, kept outside the database.
//!
//! One line a checkpoint: its size, the hash of its last record, and a mark that binds the line to this store and to the
//! line before. Lines are only ever added, each synced before anything that follows from it is committed. A last line that
//! is not whole is one whose writer was killed: nothing followed from it, and the next writer takes its place.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::disk::folder::{Folder, Found, word};
use crate::disk::storage;
use crate::error::{Error, ErrorKind, Result};
use crate::governance::Checkpoint;
use crate::hash::{Digest, Hasher};

const FILE: &str = "audit.checkpoints";

/// A line has at most 20 digits, two digests of 71 characters, two spaces and an end.
const LONGEST: u64 = 165;

/// The file of one store.
#[derive(Clone, Debug)]
pub(super) struct Checkpoints {
    root: PathBuf,
    store: Uuid,
}

impl Checkpoints {
    pub(super) fn new(root: &Path, store: Uuid) -> Self {
        Self { root: root.to_owned(), store }
    }

    /// Adds a checkpoint, unless the file has come as far already, and returns after it is on the disk.
    ///
    /// Only one may add at a time: whoever does holds the database's write lock.
    pub(super) fn add(&self, operation: &'static str, checkpoint: &Checkpoint) -> Result<()> {
        let fault = |e| storage(operation, FILE, e);
        let folder = Folder::open(&self.root).map_err(fault)?;
        let mut file = folder.open_or_make_file(FILE, 0o666).map_err(fault)?;
        let (end, last) = last_line(&mut file).map_err(fault)?;
        if parse(&last).is_some_and(|(last, _)| last.size >= checkpoint.size) {
            // Whoever wrote it may not have come to this point.
            return file.sync_all().and_then(|()| folder.sync()).map_err(fault);
        }
        let mark = self.mark(&last, checkpoint);
        let line = format!("{} {} {mark}\n", checkpoint.size, checkpoint.head);
        let mut write = || {
            file.set_len(end)?;
            file.seek(SeekFrom::Start(end))?;
            file.write_all(line.as_bytes())?;
            file.sync_all()?;
            folder.sync()
        };
        let written = write();
        if written.is_err() {
            // What could not be synced must be written anew, not only synced again.
            let _ = file.set_len(end);
        }
        written.map_err(fault)
    }

    /// The checkpoint that was added last.
    pub(super) fn last(&self, operation: &'static str) -> Result<Option<Checkpoint>> {
        let fault = |e| storage(operation, FILE, e);
        let Some(mut file) = self.open(operation)? else { return Ok(None) };
        let (_, last) = last_line(&mut file).map_err(fault)?;
        Ok(parse(&last).map(|(checkpoint, _)| checkpoint))
    }

    /// All lines there are at this moment, in order.
    pub(super) fn lines(&self, operation: &'static str) -> Result<Lines> {
        let Some(file) = self.open(operation)? else {
            return Ok(Lines { of: self.clone(), reader: None, before: Vec::new() });
        };
        let length = file.metadata().map_err(|e| storage(operation, FILE, e))?.len();
        let reader = Some(BufReader::new(file.take(length)));
        Ok(Lines { of: self.clone(), reader, before: Vec::new() })
    }

    fn open(&self, operation: &'static str) -> Result<Option<File>> {
        match Folder::open(&self.root).and_then(|folder| folder.find(FILE)) {
            Ok(Found::File(file)) => Ok(Some(file)),
            Ok(Found::Other(kind)) => {
                let message = "something else is in the place of the checkpoints";
                let error = Error::new(ErrorKind::Corrupt, operation, message).with("file", FILE);
                Err(error.with("found", word(kind)))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(storage(operation, FILE, e)),
        }
    }

    fn mark(&self, before: &[u8], checkpoint: &Checkpoint) -> Digest {
        Hasher::new("mlops.checkpoint/v1")
            .field(self.store)
            .field(before)
            .field(checkpoint.size.to_le_bytes())
            .field(checkpoint.head.as_bytes())
            .finish()
    }
}

/// Where the last whole line ends, and that line without its end; nothing for a file without lines.
fn last_line(file: &mut File) -> std::io::Result<(u64, Vec<u8>)> {
    let length = file.seek(SeekFrom::End(0))?;
    // What was torn off and the last whole line are not longer than two lines; a longer piece is no line of ours.
    let start = length.saturating_sub(2 * LONGEST);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    Read::take(&mut *file, 2 * LONGEST).read_to_end(&mut tail)?;
    let Some(end) = tail.iter().rposition(|byte| *byte == b'\n') else {
        // Nothing, or one line that was torn off; anything longer is left for the verifier to see.
        return Ok((if start == 0 { 0 } else { length }, Vec::new()));
    };
    let whole = tail.get(..end).unwrap_or_default();
    let line = whole.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok((start + end as u64 + 1, line.to_vec()))
}

fn parse(line: &[u8]) -> Option<(Checkpoint, Digest)> {
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let size = words.next().filter(|size| size.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
    let head = words.next()?.parse().ok()?;
    let mark = words.next()?.parse().ok()?;
    words.next().is_none().then_some((Checkpoint { size, head }, mark))
}

/// The lines of the file, one by one.
#[derive(Debug)]
pub(super) struct Lines {
    of: Checkpoints,
    reader: Option<BufReader<std::io::Take<File>>>,
    before: Vec<u8>,
}

impl Lines {
    /// The next checkpoint; `Err(())` for a line that is not what was written.
    pub(super) fn next(&mut self, operation: &'static str) -> Result<Option<Result<Checkpoint, ()>>> {
        let Some(reader) = &mut self.reader else { return Ok(None) };
        let mut line = Vec::new();
        let read = Read::take(reader, LONGEST + 1).read_until(b'\n', &mut line);
        read.map_err(|e| storage(operation, FILE, e))?;
        if line.pop() != Some(b'\n') {
            // The end, or a line that was torn off; a longer piece is no line of ours.
            let torn = (line.len() as u64) < LONGEST;
            self.reader = None;
            return Ok((!torn).then_some(Err(())));
        }
        let honest = parse(&line).filter(|(found, mark)| *mark == self.of.mark(&self.before, found));
        self.before = line;
        Ok(Some(honest.map(|(checkpoint, _)| checkpoint).ok_or(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(size: u64) -> Checkpoint {
        Checkpoint { size, head: Digest::of(&size.to_le_bytes()) }
    }

    fn sizes(of: &Checkpoints) -> Vec<Option<u64>> {
        let mut lines = of.lines("t").unwrap();
        std::iter::from_fn(|| lines.next("t").unwrap()).map(|line| line.ok().map(|c| c.size)).collect()
    }

    #[test]
    fn a_torn_line_is_written_over_and_a_changed_one_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let file = Checkpoints::new(dir.path(), Uuid::nil());
        assert!(sizes(&file).is_empty());
        for size in [1, 2, 2, 1, u64::MAX / 2] {
            file.add("t", &checkpoint(size)).unwrap();
        }
        let all = [Some(1), Some(2), Some(u64::MAX / 2)];
        assert_eq!(sizes(&file), all);
        let path = dir.path().join(FILE);
        let honest = std::fs::read(&path).unwrap();
        // Whatever length the last line is cut to, it has not happened, and can happen again.
        let last = honest.len() - honest.split_inclusive(|b| *b == b'\n').next_back().unwrap().len();
        for length in last..honest.len() {
            std::fs::write(&path, &honest[..length]).unwrap();
            assert_eq!(sizes(&file), all[..2]);
            file.add("t", &checkpoint(u64::MAX / 2)).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), honest);
        }
        for at in 0..honest.len() {
            let mut changed = honest.clone();
            changed[at] ^= 1;
            std::fs::write(&path, changed).unwrap();
            assert_ne!(sizes(&file), all, "byte {at}");
        }
        let without_the_first = honest.split_inclusive(|b| *b == b'\n').skip(1).collect::<Vec<_>>().concat();
        std::fs::write(&path, without_the_first).unwrap();
        assert_eq!(sizes(&file)[0], None);
    }
}
