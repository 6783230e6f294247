//! The embedded journal of sweeps: one file for each, of lines that are only ever appended to.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::store::{Inner, LocalStore};
use super::verify::{FindingKind, Findings};
use crate::disk::blocking;
use crate::disk::storage;
use crate::disk::{LineFile, make_folders};
use crate::error::{Error, ErrorKind, Result};
use crate::experiment::sweep::{SweepEntry, SweepEvent, SweepJournal, SweepState};
use crate::id::RunId;
use crate::time::lock;

const APPEND: &str = "SweepJournal::append";
const ENTRIES: &str = "SweepJournal::entries";
/// What a file begins with; the sweep's id follows.
const MAGIC: &str = "mlops.sweep/v1 ";
const EXTENSION: &str = "sweep";
/// The longest file that is read: 1 GiB.
const MAX_FILE: u64 = 1 << 30;
/// The end of a file is looked at first; a line that says that a sweep is over is far shorter.
const MAX_LAST: u64 = 1 << 12;

/// The journal of sweeps in a folder: a sweep goes on where it was, in whatever process.
///
/// Each sweep has a text file under `sweeps/`, named after its id; each entry is a line with its CRC-32 and its JSON. Appending
/// is one system call: what it returned from survives the process being killed at any moment after, and with
/// [`synced`](Self::synced) a power cut. A line that was cut off is cut away when the file is next written to; any other damage
/// is [`ErrorKind::Corrupt`], with the line: no sweep goes on from what nobody wrote.
///
/// The first entry a handle appends to a sweep takes the file's lock. The entry that ends the sweep lets go of it, and so does
/// dropping all clones of the handle, or the process' end. While it is held, other handles are told [`ErrorKind::Busy`].
///
/// ```
/// use mlops_core::local::LocalStore;
/// use mlops_core::experiment::sweep::SweepJournal as _;
/// # use mlops_core::RunId;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// # let folder = dir.path();
/// let journal = LocalStore::open(folder)?.sweeps();
/// assert!(journal.entries(&RunId::generate(), 0).await?.is_empty());
/// assert!(journal.unfinished().await?.is_empty());
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct LocalSweepJournal {
    store: Arc<Inner>,
    synced: bool,
    open: Arc<Mutex<HashMap<RunId, Slot>>>,
}

/// The file of one sweep, while it is open. Locked across waiting for the disk, which the map of all of them never is.
type Slot = Arc<Mutex<Option<Writer>>>;

/// A file that is open, locked and known to be whole.
#[derive(Debug)]
struct Writer {
    lines: LineFile,
    last: Option<SweepEntry>,
}

impl LocalStore {
    /// The journal of sweeps.
    pub fn sweeps(&self) -> LocalSweepJournal {
        LocalSweepJournal { store: self.inner().clone(), synced: false, open: Arc::default() }
    }
}

impl LocalSweepJournal {
    /// Makes every entry survive a power cut too, at the cost of waiting for the disk each time. Default no.
    #[must_use]
    pub fn synced(mut self) -> Self {
        self.synced = true;
        self
    }

    /// Where every sweep stands that is not over, in the order in which they began. Of those that are over, the last line alone is
    /// read.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] for a journal that is damaged.
    pub async fn unfinished(&self) -> Result<Vec<SweepState>> {
        let root = self.store.root.clone();
        blocking("LocalSweepJournal::unfinished", move || {
            let mut standing = Vec::new();
            for path in files(&root)? {
                if is_over(&path)? {
                    continue;
                }
                let bytes = read_file(&path)?;
                let entries = parse(None, &bytes, &path)?.entries;
                standing.extend(SweepState::replay(&entries)?.filter(|state| state.ended().is_none()));
            }
            standing.sort_by_key(SweepState::created_at);
            Ok(standing)
        })
        .await
    }

    fn slot(&self, sweep: &RunId) -> Slot {
        lock(&self.open).entry(sweep.clone()).or_default().clone()
    }

    /// Forgets a file that is closed, unless somebody is about to open it.
    fn forget(&self, sweep: &RunId, slot: &Slot) {
        let mut open = lock(&self.open);
        // The map's and ours: nobody else has it, and while the map is locked nobody gets it.
        if Arc::strong_count(slot) == 2 && lock(slot).is_none() {
            open.remove(sweep);
        }
    }
}

impl fmt::Debug for LocalSweepJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSweepJournal").field("folder", &self.store.root).finish_non_exhaustive()
    }
}

fn folder(root: &Path) -> PathBuf {
    root.join("sweeps")
}

/// The file of a sweep: its id is 32 digits.
fn path(root: &Path, sweep: &RunId) -> PathBuf {
    folder(root).join(sweep.as_str()).with_extension(EXTENSION)
}

/// The files of all sweeps, by name.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let listed = match fs::read_dir(folder(root)) {
        Ok(listed) => listed,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(e) => return Err(storage(ENTRIES, "sweeps", e)),
    };
    for entry in listed {
        let path = entry.map_err(|e| storage(ENTRIES, "sweeps", e))?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// A file for a message.
fn name(path: &Path) -> String {
    format!("sweeps/{}", path.file_name().unwrap_or_default().to_string_lossy())
}

/// Whether the last line says that the sweep is over.
fn is_over(path: &Path) -> Result<bool> {
    let read = || -> io::Result<Vec<u8>> {
        let (mut file, mut tail) = (File::open(path)?, Vec::new());
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(MAX_LAST)))?;
        file.take(MAX_LAST).read_to_end(&mut tail)?;
        Ok(tail)
    };
    let tail = match read() {
        Ok(tail) => tail,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(storage(ENTRIES, name(path), e)),
    };
    // Anything else than a whole line is for who reads all of it to judge.
    let last = tail.strip_suffix(b"\n").and_then(|rest| rest.rsplit(|byte| *byte == b'\n').next());
    let sweep = path.file_stem().and_then(|stem| stem.to_str());
    let entry = last.zip(sweep).and_then(|(last, sweep)| read_line(sweep, &[last, b"\n"].concat()));
    Ok(entry.is_some_and(|entry| matches!(entry.event, SweepEvent::Ended { .. })))
}

/// The bytes of a file; none when it is not there.
fn read_file(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(storage(ENTRIES, name(path), e)),
    }
    if bytes.len() as u64 > MAX_FILE {
        return Err(
            Error::limit(ENTRIES, "the journal's size", MAX_FILE, bytes.len()).with("path", name(path))
        );
    }
    Ok(bytes)
}

/// What a file holds.
#[derive(Debug)]
struct Parsed {
    entries: Vec<SweepEntry>,
    /// Where what is whole ends.
    end: usize,
}

/// The checksum of a line: of the sweep it belongs to, and of its JSON.
fn checksum(sweep: &str, json: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(sweep.as_bytes());
    hasher.update(b"\n");
    hasher.update(json);
    hasher.finalize()
}

/// Reads a file. A last line without its end, and noughts that a power cut left, are no lines; anything else that cannot be
/// read is damage.
fn parse(sweep: Option<&RunId>, bytes: &[u8], path: &Path) -> Result<Parsed> {
    let damaged = |line: usize, message: &str| {
        let error = Error::new(ErrorKind::Corrupt, ENTRIES, message);
        Err(error.with("path", name(path)).with("line", line))
    };
    let mut parsed = Parsed { entries: Vec::new(), end: 0 };
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').enumerate();
    let whole = |line: &[u8]| line.ends_with(b"\n");
    let Some((_, header)) = lines.next().filter(|(_, line)| whole(line)) else {
        // Nothing, or a first line that was cut off.
        let begun = bytes.len() <= MAGIC.len() + 256
            && (MAGIC.as_bytes().starts_with(bytes) || bytes.starts_with(MAGIC.as_bytes()));
        let nothing = bytes.iter().all(|byte| *byte == 0);
        return if begun || nothing { Ok(parsed) } else { damaged(1, "is no journal of a sweep") };
    };
    let id = std::str::from_utf8(header).ok().and_then(|line| line.trim_end().strip_prefix(MAGIC));
    let Some(id) = id.filter(|id| sweep.is_none_or(|sweep| sweep.as_str() == *id)) else {
        return damaged(1, "is no journal of this sweep");
    };
    parsed.end = header.len();
    for (number, line) in lines {
        if !whole(line) || line.iter().all(|byte| *byte == 0) {
            // Only the last line has no end.
            return Ok(parsed);
        }
        let Some(entry) = read_line(id, line) else {
            return damaged(number + 1, "the line is not what was written");
        };
        if entry.sequence != parsed.entries.len() as u64 + 1 {
            return damaged(number + 1, "the entries have a gap");
        }
        parsed.entries.push(entry);
        parsed.end += line.len();
    }
    Ok(parsed)
}

fn read_line(sweep: &str, line: &[u8]) -> Option<SweepEntry> {
    let (crc, rest) = line.split_first_chunk::<8>()?;
    let json = rest.strip_prefix(b" ")?.strip_suffix(b"\n")?;
    // As text, so that there is one way to write a line.
    if format!("{:08x}", checksum(sweep, json)).as_bytes() != crc {
        return None;
    }
    serde_json::from_slice(json).ok()
}

/// A line for an entry; after the header, where it is the first.
fn line(sweep: &RunId, entry: &SweepEntry, first: bool) -> Result<Vec<u8>> {
    let json = serde_json::to_vec(entry)
        .map_err(|e| Error::invalid(APPEND, "entry", "cannot be written as JSON").with_source(e))?;
    let header = if first { format!("{MAGIC}{sweep}\n") } else { String::new() };
    let mut out = format!("{header}{:08x} ", checksum(sweep.as_str(), &json)).into_bytes();
    out.extend_from_slice(&json);
    out.push(b'\n');
    Ok(out)
}

impl Writer {
    fn open(root: &Path, sweep: &RunId) -> Result<Self> {
        let path = path(root, sweep);
        let fault = |e| storage(APPEND, name(&path), e);
        make_folders(&folder(root)).map_err(fault)?;
        let Some(mut lines) = LineFile::open(&path).map_err(fault)? else {
            let message = "another engine writes to this sweep";
            return Err(Error::new(ErrorKind::Busy, APPEND, message).with("sweep", sweep));
        };
        // What is no line is cut away.
        let mut parsed = parse(Some(sweep), &read_file(&path)?, &path)?;
        lines.keep(parsed.end as u64).map_err(fault)?;
        Ok(Self { lines, last: parsed.entries.pop() })
    }

    fn append(&mut self, sweep: &RunId, entry: &SweepEntry, synced: bool) -> Result<()> {
        if self.last.as_ref().is_some_and(|last| last.is_same(entry)) {
            return Ok(());
        }
        let expected = self.last.as_ref().map_or(0, |last| last.sequence) + 1;
        if entry.sequence != expected {
            let message = "the journal is at another entry: is the sweep driven twice?";
            return Err(Error::conflict(APPEND, message, expected, entry.sequence).with("sweep", sweep));
        }
        let bytes = line(sweep, entry, self.lines.end() == 0)?;
        self.lines.append(&bytes, synced).map_err(|e| storage(APPEND, format_args!("sweeps/{sweep}"), e))?;
        self.last = Some(entry.clone());
        Ok(())
    }
}

/// Appends to the file, which is opened where it is not; with the entry that ends the sweep it is closed.
fn append_to(
    slot: &mut Option<Writer>,
    root: &Path,
    sweep: &RunId,
    entry: &SweepEntry,
    synced: bool,
) -> Result<()> {
    let mut writer = match slot.take() {
        Some(writer) => writer,
        None => Writer::open(root, sweep)?,
    };
    let answer = writer.append(sweep, entry, synced);
    if answer.is_err() || !matches!(entry.event, SweepEvent::Ended { .. }) {
        *slot = Some(writer);
    }
    answer
}

#[async_trait]
impl SweepJournal for LocalSweepJournal {
    async fn append(&self, sweep: &RunId, entry: &SweepEntry) -> Result<()> {
        self.store.db.check_writable(APPEND)?;
        let slot = self.slot(sweep);
        let here = match slot.try_lock() {
            // One system call, which does not wait for the disk.
            Ok(mut open) if open.is_some() && !self.synced => {
                Some(append_to(&mut open, &self.store.root, sweep, entry, false))
            }
            _ => None,
        };
        let answer = match here {
            Some(answer) => answer,
            None => {
                let (slot, root, synced) = (slot.clone(), self.store.root.clone(), self.synced);
                let (sweep, entry) = (sweep.clone(), entry.clone());
                let work = move || append_to(&mut lock(&slot), &root, &sweep, &entry, synced);
                blocking(APPEND, work).await
            }
        };
        self.forget(sweep, &slot);
        answer
    }

    async fn entries(&self, sweep: &RunId, after: u64) -> Result<Vec<SweepEntry>> {
        let (path, sweep) = (path(&self.store.root, sweep), sweep.clone());
        blocking(ENTRIES, move || {
            let mut entries = parse(Some(&sweep), &read_file(&path)?, &path)?.entries;
            let from = usize::try_from(after).unwrap_or(usize::MAX).min(entries.len());
            Ok(entries.split_off(from))
        })
        .await
    }
}

/// Checks that every journal can be read and that what it says can be.
pub(crate) fn check(inner: &Inner, findings: &mut Findings) -> Result<()> {
    for path in files(&inner.root)? {
        let subject = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let read = read_file(&path).and_then(|bytes| parse(None, &bytes, &path));
        match read.and_then(|parsed| look_through(&parsed.entries)) {
            Ok(rows) => findings.whole(rows),
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                findings.add(FindingKind::Row, format!("sweeps/{subject}"), e.to_string());
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// How many entries there are, which follow from one another where they are those of a sweep.
fn look_through(entries: &[SweepEntry]) -> Result<u64> {
    if entries.first().is_some_and(|first| matches!(first.event, SweepEvent::Created { .. })) {
        SweepState::replay(entries)?;
    }
    Ok(entries.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> RunId {
        RunId::new("0123456789abcdef0123456789abcdef").unwrap()
    }

    fn entry(sequence: u64) -> SweepEntry {
        SweepEntry::new(sequence, chrono::DateTime::UNIX_EPOCH, SweepEvent::Promoted { trial: sequence })
    }

    fn file(entries: u64) -> Vec<u8> {
        (1..=entries).flat_map(|n| line(&id(), &entry(n), n == 1).unwrap()).collect()
    }

    fn read(bytes: &[u8]) -> Result<usize> {
        parse(Some(&id()), bytes, Path::new("x")).map(|parsed| parsed.entries.len())
    }

    #[test]
    fn a_file_that_was_cut_has_the_lines_before_the_cut() {
        let bytes = file(3);
        let ends: Vec<usize> =
            bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1).skip(1).collect();
        for length in 0..=bytes.len() {
            let expected = ends.iter().filter(|end| **end <= length).count();
            assert_eq!(read(&bytes[..length]).unwrap(), expected, "{length}");
            // Noughts after it are what a power cut leaves.
            let padded = [&bytes[..length], &[0; 100]].concat();
            if length == 0 || bytes[length - 1] == b'\n' {
                assert_eq!(read(&padded).unwrap(), expected, "{length} and noughts");
            }
        }
    }

    #[test]
    fn a_turned_bit_is_noticed_wherever_it_is() {
        let bytes = file(3);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            match read(&bad) {
                Err(e) => assert_eq!(e.kind(), ErrorKind::Corrupt, "bit {bit}"),
                // The end of the last line turned into something else: it was cut off.
                Ok(found) => assert_eq!((found, bit / 8), (2, bytes.len() - 1), "bit {bit}"),
            }
        }
    }

    #[test]
    fn lines_count_in_their_own_file_and_order_alone() {
        let other = RunId::new("fedcba9876543210fedcba9876543210").unwrap();
        assert!(parse(Some(&other), &file(2), Path::new("x")).is_err());
        let lines: Vec<Vec<u8>> = file(3).split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
        let joined = |order: &[usize]| order.iter().flat_map(|n| lines[*n].clone()).collect::<Vec<u8>>();
        assert_eq!(read(&joined(&[0, 1, 2, 3])).unwrap(), 3);
        for order in [&[0, 2][..], &[0, 1, 3], &[0, 2, 1], &[0, 1, 1], &[1, 2]] {
            assert!(read(&joined(order)).is_err(), "{order:?}");
        }
    }
}
