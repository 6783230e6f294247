//! What waits to be sent.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use mlops_core::{Error, ErrorKind, Result};

use crate::wire::telemetry::TelemetryItem;

const OPEN: &str = "Spool::open";
const PUSH: &str = "Spool::push";

/// Telemetry that waits, oldest first, in memory or in a folder, up to a limit: beyond it the oldest goes, and is counted.
///
/// In a folder every call to [`push`](Self::push) is files of its own, which are on the disk when the call returns: written beside,
/// synced, and renamed. A process that is killed leaves whole files, which the next one sends, and perhaps one that has no name yet,
/// which the next one removes. Files hold no key; they can be read by their owner alone. One process uses a folder at a time.
///
/// Writing and reading block the calling thread for as long as the disk takes.
///
/// ```
/// use mlops_azure::telemetry::Spool;
/// use mlops_azure::wire::telemetry::TelemetryItem;
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path();
/// let at = "2026-01-01T00:00:00Z".parse()?;
/// Spool::open(path, 1 << 20)?.push(&[TelemetryItem::event("prediction", at)])?;
/// // Another process, later.
/// assert_eq!(Spool::open(path, 1 << 20)?.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Spool {
    folder: Option<PathBuf>,
    limit: u64,
    entries: BTreeMap<u64, Entry>,
    bytes: u64,
    items: u64,
    next: u64,
    dropped: u64,
    unreadable: u64,
}

struct Entry {
    bytes: u64,
    items: u64,
    /// In memory alone.
    content: Option<Vec<u8>>,
}

impl Spool {
    /// The most items in an entry, and so in a request.
    pub const MAX_ITEMS: usize = 500;
    /// The most bytes in an entry.
    pub const MAX_ENTRY: usize = 512 << 10;
    /// The longest item, which the service would refuse beyond.
    pub const MAX_ITEM: usize = 64 << 10;
    /// The most entries.
    const MAX_ENTRIES: usize = 10_000;

    /// In memory, of at most so many bytes.
    pub fn in_memory(limit: u64) -> Self {
        Self {
            folder: None,
            limit,
            entries: BTreeMap::new(),
            bytes: 0,
            items: 0,
            next: 0,
            dropped: 0,
            unreadable: 0,
        }
    }

    /// In a folder, which is made if it is not there, of at most so many bytes. What waits there already is kept.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`] for what the file system refuses.
    pub fn open(folder: impl AsRef<Path>, limit: u64) -> Result<Self> {
        let folder = folder.as_ref().to_owned();
        let fault = |e| storage(OPEN, &folder, e);
        fs::create_dir_all(&folder).map_err(fault)?;
        let mut spool = Self { folder: Some(folder.clone()), ..Self::in_memory(limit) };
        for file in fs::read_dir(&folder).map_err(fault)? {
            let path = file.map_err(fault)?.path();
            if path.extension() == Some(OsStr::new("tmp")) && is_ours(&path, ".spool-") {
                fs::remove_file(&path).map_err(fault)?;
                continue;
            }
            let Some((number, items)) = numbers(&path) else { continue };
            let bytes = fs::metadata(&path).map_err(fault)?.len();
            // A process was killed between writing what is kept of an entry and removing the entry: the shorter one is the newer.
            if let Some(twin) = spool.entries.get(&number).map(|entry| entry.items) {
                let older = spool.path(number, twin.max(items)).unwrap_or_else(|| path.clone());
                fs::remove_file(&older).map_err(fault)?;
                if twin <= items {
                    continue;
                }
            }
            spool.note(number, Entry { bytes, items, content: None });
            spool.next = spool.next.max(number.saturating_add(1));
        }
        spool.shrink()?;
        Ok(spool)
    }

    /// How many items wait.
    pub fn len(&self) -> u64 {
        self.items
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many bytes wait.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many items had to go for newer ones, or were too long, since this spool was opened.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// How many entries could not be read back.
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// Keeps items. Those that are too long are dropped and counted.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`] for what the file system refuses; items before in the same call are kept.
    pub fn push(&mut self, items: &[TelemetryItem]) -> Result<()> {
        let (mut open, mut count) = (Vec::from(b"["), 0_u64);
        for item in items {
            let bad = |e| Error::new(ErrorKind::Internal, PUSH, "an item cannot be written").with_source(e);
            let text = serde_json::to_vec(item).map_err(|e: serde_json::Error| bad(e))?;
            if text.len() > Self::MAX_ITEM {
                self.dropped += 1;
                continue;
            }
            let is_full = count as usize >= Self::MAX_ITEMS || open.len() + text.len() + 2 > Self::MAX_ENTRY;
            if count > 0 && is_full {
                open.push(b']');
                self.add(std::mem::replace(&mut open, Vec::from(b"[")), count)?;
                count = 0;
            }
            if count > 0 {
                open.push(b',');
            }
            open.extend_from_slice(&text);
            count += 1;
        }
        if count > 0 {
            open.push(b']');
            self.add(open, count)?;
        }
        self.shrink()
    }

    /// The oldest entries, of together at most so many items but at least one entry, with their numbers. Nothing is removed; what
    /// cannot be read is, and is counted.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`] for what the file system refuses.
    pub(super) fn oldest(&mut self, most: usize) -> Result<Vec<(u64, Vec<TelemetryItem>)>> {
        let (mut taken, mut count, mut bytes) = (Vec::new(), 0_usize, 0_u64);
        let numbers: Vec<u64> = self.entries.keys().copied().collect();
        for number in numbers {
            let Some(entry) = self.entries.get(&number) else { continue };
            let items = usize::try_from(entry.items).unwrap_or(usize::MAX);
            let grown = bytes.saturating_add(entry.bytes);
            let fits = count.saturating_add(items) <= most && grown <= Self::MAX_ENTRY as u64;
            if !taken.is_empty() && !fits {
                break;
            }
            match self.read(number)? {
                Some(items) => {
                    (count, bytes) = (count + items.len(), grown);
                    taken.push((number, items));
                }
                None => {
                    self.unreadable += 1;
                    self.remove(number)?;
                }
            }
        }
        Ok(taken)
    }

    /// Removes an entry.
    pub(super) fn remove(&mut self, number: u64) -> Result<()> {
        if let Some(path) = self.entries.get(&number).and_then(|entry| self.path(number, entry.items)) {
            match fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(storage("Spool::remove", &path, e));
                }
                _ => {}
            }
        }
        if let Some(entry) = self.entries.remove(&number) {
            self.bytes = self.bytes.saturating_sub(entry.bytes);
            self.items = self.items.saturating_sub(entry.items);
        }
        Ok(())
    }

    /// Keeps of an entry the items at these places.
    pub(super) fn keep(
        &mut self,
        number: u64,
        items: &[TelemetryItem],
        places: &BTreeSet<usize>,
    ) -> Result<()> {
        if places.is_empty() {
            return self.remove(number);
        }
        if places.len() == items.len() {
            return Ok(());
        }
        let kept: Vec<&TelemetryItem> = places.iter().filter_map(|place| items.get(*place)).collect();
        let bad = |e| Error::new(ErrorKind::Internal, PUSH, "an item cannot be written").with_source(e);
        let text = serde_json::to_vec(&kept).map_err(|e: serde_json::Error| bad(e))?;
        let count = kept.len() as u64;
        // The new file first: a process that is killed in between sends some items twice, and loses none.
        let (bytes, content) = self.write(number, text, count)?;
        let old = self.entries.get(&number).map(|entry| entry.items);
        if let Some(path) = old.filter(|old| *old != count).and_then(|old| self.path(number, old)) {
            fs::remove_file(&path).map_err(|e| storage("Spool::keep", &path, e))?;
        }
        if let Some(entry) = self.entries.remove(&number) {
            self.bytes = self.bytes.saturating_sub(entry.bytes);
            self.items = self.items.saturating_sub(entry.items);
        }
        self.note(number, Entry { bytes, items: count, content });
        Ok(())
    }

    fn note(&mut self, number: u64, entry: Entry) {
        self.bytes = self.bytes.saturating_add(entry.bytes);
        self.items = self.items.saturating_add(entry.items);
        if let Some(twice) = self.entries.insert(number, entry) {
            self.bytes = self.bytes.saturating_sub(twice.bytes);
            self.items = self.items.saturating_sub(twice.items);
        }
    }

    fn add(&mut self, text: Vec<u8>, items: u64) -> Result<()> {
        let number = self.next;
        let (bytes, content) = self.write(number, text, items)?;
        self.next = number.saturating_add(1);
        self.note(number, Entry { bytes, items, content });
        Ok(())
    }

    /// Lets the oldest go until what is left fits.
    fn shrink(&mut self) -> Result<()> {
        while self.bytes > self.limit || self.entries.len() > Self::MAX_ENTRIES {
            let Some((number, items)) =
                self.entries.iter().next().map(|(number, entry)| (*number, entry.items))
            else {
                break;
            };
            self.dropped = self.dropped.saturating_add(items);
            self.remove(number)?;
        }
        Ok(())
    }

    fn path(&self, number: u64, items: u64) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(format!("{number:016x}-{items}.json")))
    }

    fn write(&self, number: u64, text: Vec<u8>, items: u64) -> Result<(u64, Option<Vec<u8>>)> {
        let bytes = text.len() as u64;
        let (Some(folder), Some(path)) = (&self.folder, self.path(number, items)) else {
            return Ok((bytes, Some(text)));
        };
        let fault = |e| storage(PUSH, folder, e);
        let mut file =
            tempfile::Builder::new().prefix(".spool-").suffix(".tmp").tempfile_in(folder).map_err(fault)?;
        file.write_all(&text).map_err(fault)?;
        file.as_file().sync_data().map_err(fault)?;
        file.persist(&path).map_err(|e| fault(e.error))?;
        // The name is on the disk when its folder is.
        #[cfg(unix)]
        fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(fault)?;
        Ok((bytes, None))
    }

    fn read(&self, number: u64) -> Result<Option<Vec<TelemetryItem>>> {
        let Some(entry) = self.entries.get(&number) else { return Ok(None) };
        let text = match (&entry.content, self.path(number, entry.items)) {
            (Some(content), _) => content.clone(),
            (None, Some(path)) => match fs::read(&path) {
                Ok(text) => text,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                Err(e) => return Err(storage("Spool::oldest", &path, e)),
            },
            (None, None) => return Ok(None),
        };
        Ok(serde_json::from_slice(&text).ok())
    }
}

fn storage(operation: &'static str, path: &Path, source: std::io::Error) -> Error {
    let error = Error::new(ErrorKind::Storage, operation, "the file system refused");
    error.with("path", path.display()).with_source(source)
}

fn is_ours(path: &Path, prefix: &str) -> bool {
    path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with(prefix))
}

/// The number and the count of items of a file's name; `None` for one that is not ours.
fn numbers(path: &Path) -> Option<(u64, u64)> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".json")?;
    let (number, items) = stem.split_once('-')?;
    if number.len() != 16 {
        return None;
    }
    let items = items.parse().ok().filter(|items| (1..=Spool::MAX_ITEMS as u64).contains(items))?;
    Some((u64::from_str_radix(number, 16).ok()?, items))
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool")
            .field("folder", &self.folder)
            .field("items", &self.items)
            .field("bytes", &self.bytes)
            .field("dropped", &self.dropped)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str) -> TelemetryItem {
        TelemetryItem::event(name, "2026-01-01T00:00:00Z".parse().unwrap())
    }

    fn names(taken: &[(u64, Vec<TelemetryItem>)]) -> Vec<String> {
        let all = taken.iter().flat_map(|(_, items)| items);
        all.map(|item| match &item.data {
            crate::wire::telemetry::Telemetry::Event(data) => data.name.clone(),
            other => panic!("{other:?}"),
        })
        .collect()
    }

    #[test]
    fn the_oldest_goes_first_in_memory_and_on_a_disk() {
        let folder = tempfile::tempdir().unwrap();
        let size = {
            let mut spool = Spool::in_memory(1 << 20);
            spool.push(&[event("0")]).unwrap();
            spool.bytes()
        };
        for mut spool in [Spool::in_memory(3 * size), Spool::open(folder.path(), 3 * size).unwrap()] {
            for n in 0..5 {
                spool.push(&[event(&n.to_string())]).unwrap();
            }
            assert_eq!((spool.len(), spool.bytes(), spool.dropped()), (3, 3 * size, 2));
            assert_eq!(names(&spool.oldest(10).unwrap()), ["2", "3", "4"]);
            assert_eq!(names(&spool.oldest(2).unwrap()), ["2", "3"]);
        }
        assert_eq!(Spool::open(folder.path(), 2 * size).unwrap().len(), 2);
    }

    #[test]
    fn what_a_kill_leaves_is_sorted_out() {
        let folder = tempfile::tempdir().unwrap();
        Spool::open(folder.path(), 1 << 20).unwrap().push(&[event("a"), event("b")]).unwrap();
        fs::write(folder.path().join(".spool-x.tmp"), "half").unwrap();
        fs::write(folder.path().join("0000000000000007-1.json"), "[{\"time\":").unwrap();
        fs::write(folder.path().join("somebody-elses.json"), "[]").unwrap();
        fs::write(folder.path().join("0000000000000000-3.json"), "older").unwrap();
        let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
        assert_eq!(spool.len(), 3);
        let taken = spool.oldest(10).unwrap();
        assert_eq!((names(&taken), spool.unreadable(), spool.len()), (vec!["a".into(), "b".into()], 1, 2));
        spool.push(&[event("c")]).unwrap();
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|f| f.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["0000000000000000-2.json", "0000000000000008-1.json", "somebody-elses.json"]);
    }

    #[test]
    fn a_part_is_kept_and_survives() {
        let folder = tempfile::tempdir().unwrap();
        for mut spool in [Spool::in_memory(1 << 20), Spool::open(folder.path(), 1 << 20).unwrap()] {
            spool.push(&[event("a"), event("b"), event("c")]).unwrap();
            let taken = spool.oldest(10).unwrap();
            spool.keep(taken[0].0, &taken[0].1, &BTreeSet::from([0, 2])).unwrap();
            assert_eq!((names(&spool.oldest(10).unwrap()), spool.len()), (vec!["a".into(), "c".into()], 2));
        }
        let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
        let taken = spool.oldest(10).unwrap();
        assert_eq!(names(&taken), ["a", "c"]);
        spool.keep(taken[0].0, &taken[0].1, &BTreeSet::new()).unwrap();
        assert!(spool.is_empty() && fs::read_dir(folder.path()).unwrap().next().is_none());
    }

    #[test]
    fn many_items_are_several_entries_and_a_giant_is_dropped() {
        let mut spool = Spool::in_memory(64 << 20);
        let giant =
            (0..20).fold(event("giant"), |item, n| item.with_property(&n.to_string(), "x".repeat(8_192)));
        let mut items = vec![event("e"); 1_200];
        items.insert(600, giant);
        spool.push(&items).unwrap();
        assert_eq!((spool.len(), spool.dropped(), spool.entries.len()), (1_200, 1, 3));
        assert_eq!(spool.oldest(500).unwrap().len(), 1);
    }
}
