//! The folder: where content lies, the lock between storing and collecting, and what is in it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, SystemTime};

use chrono::DateTime;
use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use crate::artifact::Blob;
use crate::disk::folder::{Folder, Found, file_type, word};
use crate::disk::make_folders;
use crate::disk::temp;
use crate::disk::{read_only, storage};
use crate::error::{Error, ErrorKind, Result};
use crate::hash::Digest;
use crate::time::{Clock, Timestamp};

const LOCK: &str = "gc.lock";

/// The folder of a store, held open.
pub(super) struct Cas {
    /// What only who may write needs.
    write: Option<Write>,
    /// Folders that are missing were not made, for one who may only read.
    contents: Option<Arc<Folder>>,
    temporary: Option<Arc<Folder>>,
    pub(super) clock: Arc<dyn Clock>,
    /// What this handle knows of each of the 256 folders.
    folders: Vec<AtomicU8>,
    /// Whether the store's own folders are known to be durable.
    above: AtomicBool,
}

struct Write {
    /// The folder above, unless it is somebody else's.
    parent: Option<Folder>,
    root: Folder,
    contents: Arc<Folder>,
    temporary: Arc<Folder>,
}

/// Nothing is known of a folder yet.
const UNKNOWN: u8 = 0;
/// Its name is durable.
const DURABLE: u8 = 1;
/// An `fsync` of it failed.
const FAILED: u8 = 2;

/// Where content of one digest lies: its folder and its name there.
pub(super) struct Place {
    pub(super) folder: Folder,
    pub(super) name: String,
    pub(super) first: u8,
}

/// What lies in the place of content.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    pub(super) kind: FileType,
    pub(super) size: u64,
    /// When it was last put, by the clock of whoever did.
    pub(super) put_at: Timestamp,
}

impl Stored {
    fn new(stat: &Stat) -> Self {
        let put_at = DateTime::from_timestamp(stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0));
        Self {
            kind: file_type(stat),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            put_at: put_at.unwrap_or(Timestamp::MAX_UTC),
        }
    }

    /// Time since the last put; none while that lies in the future, so a clock that was set back makes nothing old.
    pub(super) fn age(&self, now: Timestamp) -> Duration {
        now.signed_duration_since(self.put_at).to_std().unwrap_or_default()
    }
}

impl Cas {
    /// Opens the folder, and makes it where it is not there. One that can only be read is opened for reading.
    pub(super) fn open(dir: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        const OP: &str = "LocalArtifactStore::open";
        let fault = |path| move |error| storage(OP, path, error);
        make_folders(dir).map_err(fault("cas"))?;
        let root = Folder::open(dir).map_err(fault("cas"))?;
        let parent = match root.folder("..") {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
            parent => Some(parent.map_err(fault(".."))?),
        };
        root.make_folder("sha256", 0o777).map_err(fault("cas/sha256"))?;
        root.make_folder("tmp", 0o700).map_err(fault("cas/tmp"))?;
        let contents = Arc::new(root.folder("sha256").map_err(fault("cas/sha256"))?);
        let temporary = Arc::new(root.folder("tmp").map_err(fault("cas/tmp"))?);
        let read = (Some(contents.clone()), Some(temporary.clone()));
        let cas = Self::new(Some(Write { parent, root, contents, temporary }), read, clock);
        cas.remove_stale();
        Ok(cas)
    }

    /// Opens the folder and changes nothing: what is not there is not made, and holds nothing.
    pub(super) fn open_read_only(dir: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let find = |name: &str| match Folder::open(&dir.join(name)) {
            Ok(folder) => Ok(Some(Arc::new(folder))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(storage("LocalArtifactStore::open", format_args!("cas/{name}"), error)),
        };
        Ok(Self::new(None, (find("sha256")?, find("tmp")?), clock))
    }

    fn new(
        write: Option<Write>,
        (contents, temporary): (Option<Arc<Folder>>, Option<Arc<Folder>>),
        clock: Arc<dyn Clock>,
    ) -> Self {
        let folders = (0..=u8::MAX).map(|_| AtomicU8::new(UNKNOWN)).collect();
        Self { write, contents, temporary, clock, folders, above: AtomicBool::new(false) }
    }

    /// Refuses what would write to a store that was opened for reading.
    pub(super) fn check_writable(&self, operation: &'static str) -> Result<()> {
        self.writable(operation).map(drop)
    }

    fn writable(&self, operation: &'static str) -> Result<&Write> {
        self.write.as_ref().ok_or_else(|| read_only(operation))
    }

    /// Where files that are not ready are written.
    pub(super) fn temporary(&self, operation: &'static str) -> Result<&Arc<Folder>> {
        self.writable(operation).map(|write| &write.temporary)
    }

    /// Removes what dead writers left. What cannot be removed now, from a store that can only be read for one, stays
    /// until somebody can: it does no harm, nothing reads there.
    pub(super) fn remove_stale(&self) {
        if let Some(write) = &self.write {
            let _ = temp::remove_stale(&write.temporary);
        }
    }

    /// The place of `digest`, made where it is not there. The folder is durable once [`Cas::sync`] was called with it.
    pub(super) fn make_place(&self, operation: &'static str, digest: &Digest) -> Result<Place> {
        let place = Names::of(digest);
        let fault = |error| storage(operation, place.shown(), error);
        let contents = &self.writable(operation)?.contents;
        contents.make_folder(&place.folder, 0o777).map_err(fault)?;
        let folder = contents.folder(&place.folder).map_err(fault)?;
        Ok(Place { folder, name: place.file, first: digest.as_bytes()[0] })
    }

    /// The place of `digest`, if its folder is there.
    pub(super) fn place(&self, operation: &'static str, digest: &Digest) -> Result<Option<Place>> {
        let place = Names::of(digest);
        let Some(contents) = &self.contents else { return Ok(None) };
        match contents.folder(&place.folder) {
            Ok(folder) => Ok(Some(Place { folder, name: place.file, first: digest.as_bytes()[0] })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(storage(operation, place.shown(), error)),
        }
    }

    /// Makes the names in `place` durable, whoever made them.
    ///
    /// Also when the content was there before: whoever put it may not have come to this point. Once it failed for a
    /// folder it fails for as long as the store is open: the system reports a write that was lost to one `fsync` and
    /// answers well to the next.
    pub(super) fn sync(&self, operation: &'static str, place: &Place) -> Result<()> {
        let fault = |error| storage(operation, shown(place), error);
        let write = self.writable(operation)?;
        let Some(known) = self.folders.get(usize::from(place.first)) else { return Ok(()) };
        if known.load(Ordering::Acquire) == FAILED {
            return Err(fault(io::Error::other("an earlier fsync of this folder failed")));
        }
        let sync = || {
            place.folder.sync()?;
            match known.load(Ordering::Acquire) {
                DURABLE => Ok(()),
                _ => write.contents.sync().and_then(|()| self.sync_above(write)),
            }
        };
        let answer = sync();
        match answer {
            // Unless it failed meanwhile for somebody else.
            Ok(()) => drop(known.compare_exchange(UNKNOWN, DURABLE, Ordering::AcqRel, Ordering::Acquire)),
            Err(_) => known.store(FAILED, Ordering::Release),
        }
        answer.map_err(fault)
    }

    /// Makes the store's own folders durable: another process may have made them and not have come to that.
    fn sync_above(&self, write: &Write) -> io::Result<()> {
        if self.above.load(Ordering::Acquire) {
            return Ok(());
        }
        write.root.sync()?;
        // One that cannot be read is not ours, so its names were durable before.
        write.parent.as_ref().map_or(Ok(()), Folder::sync)?;
        self.above.store(true, Ordering::Release);
        Ok(())
    }

    /// The content of `digest`, open and not verified.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where nothing is; [`ErrorKind::Integrity`] where something else than a file is, which is
    /// not opened.
    pub(super) fn file(&self, operation: &'static str, digest: &Digest) -> Result<File> {
        let missing = || Error::not_found(operation, "content", digest);
        let place = self.place(operation, digest)?.ok_or_else(missing)?;
        match place.folder.find(&place.name) {
            Ok(Found::File(file)) => Ok(file),
            Ok(Found::Other(kind)) => Err(not_a_file(operation, digest, kind)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(missing()),
            Err(error) => Err(storage(operation, shown(&place), error)),
        }
    }

    /// What lies in the place of `digest`.
    pub(super) fn stored(&self, operation: &'static str, digest: &Digest) -> Result<Option<Stored>> {
        let Some(place) = self.place(operation, digest)? else { return Ok(None) };
        match place.folder.stat(&place.name) {
            Ok(stat) => Ok(Some(Stored::new(&stat))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(storage(operation, shown(&place), error)),
        }
    }

    /// The content of `digest` by name and length, if it is there.
    pub(super) fn head(&self, operation: &'static str, digest: &Digest) -> Result<Option<Blob>> {
        match self.stored(operation, digest)? {
            None => Ok(None),
            Some(Stored { kind: FileType::RegularFile, size, .. }) => {
                Ok(Some(Blob { digest: *digest, size }))
            }
            Some(other) => Err(not_a_file(operation, digest, other.kind)),
        }
    }

    /// Everything that lies in the place of some content, and the paths that are no such place.
    pub(super) fn list(&self, operation: &'static str) -> Result<(BTreeMap<Digest, Stored>, Vec<String>)> {
        let fault = |error| storage(operation, "cas/sha256", error);
        let (mut stored, mut foreign) = (BTreeMap::new(), Vec::new());
        let Some(contents) = &self.contents else { return Ok((stored, foreign)) };
        for outer in contents.names().map_err(fault)? {
            let outer = outer.map_err(fault)?.to_string_lossy().into_owned();
            let is_place = outer.len() == 2 && outer.bytes().all(is_hex);
            let folder = match is_place.then(|| contents.folder(&outer)) {
                Some(Ok(folder)) => folder,
                Some(Err(error)) if !is_no_folder(&error) => return Err(fault(error)),
                _ => {
                    foreign.push(format!("sha256/{outer}"));
                    continue;
                }
            };
            for inner in folder.names().map_err(fault)? {
                let inner = inner.map_err(fault)?.to_string_lossy().into_owned();
                let Ok(digest) = format!("sha256:{outer}{inner}").parse() else {
                    foreign.push(format!("sha256/{outer}/{inner}"));
                    continue;
                };
                match folder.stat(&inner) {
                    Ok(stat) => drop(stored.insert(digest, Stored::new(&stat))),
                    // Collected by another process since.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(fault(error)),
                }
            }
        }
        foreign.sort();
        Ok((stored, foreign))
    }

    /// Keeps collectors out for as long as the answer lives, beside others that store.
    pub(super) fn lock_to_store(&self, operation: &'static str) -> Result<File> {
        self.lock(operation, File::lock_shared)
    }

    /// Keeps everybody out for as long as the answer lives.
    pub(super) fn lock_to_remove(&self, operation: &'static str) -> Result<File> {
        self.lock(operation, File::lock)
    }

    /// The lock is the kernel's, of a file opened for this one time: it ends with the process that holds it, however that
    /// ends, and holds between threads as between processes.
    fn lock(&self, operation: &'static str, lock: impl Fn(&File) -> io::Result<()>) -> Result<File> {
        let fault = |error| storage(operation, "cas/gc.lock", error);
        let file = self.writable(operation)?.root.open_or_make_file(LOCK, 0o666).map_err(fault)?;
        loop {
            match lock(&file) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                answer => return answer.map(|()| file).map_err(fault),
            }
        }
    }

    /// Removes content unless it is younger than `grace`, and looks at that while nobody stores.
    pub(super) fn remove_if_old(
        &self,
        operation: &'static str,
        digest: &Digest,
        grace: Duration,
    ) -> Result<Removal> {
        let Some(place) = self.place(operation, digest)? else { return Ok(Removal::WasGone) };
        let _nobody_stores = self.lock_to_remove(operation)?;
        match self.stored(operation, digest)? {
            None => Ok(Removal::WasGone),
            Some(stored) if stored.kind != FileType::RegularFile => Ok(Removal::WasGone),
            Some(stored) if stored.age(self.clock.now()) < grace => Ok(Removal::IsYoung),
            Some(_) => match place.folder.remove_file(&place.name) {
                Ok(()) => Ok(Removal::Removed),
                Err(error) => Err(storage(operation, shown(&place), error)),
            },
        }
    }

    /// How many files are being written.
    pub(super) fn temporary_files(&self, operation: &'static str) -> Result<usize> {
        let count = self.temporary.as_deref().map_or(Ok(0), temp::count);
        count.map_err(|error| storage(operation, "cas/tmp", error))
    }
}

/// What became of content that was to be removed.
pub(super) enum Removal {
    /// It is gone.
    Removed,
    /// Somebody else removed it.
    WasGone,
    /// Somebody put it again.
    IsYoung,
}

/// The names under which content of one digest lies.
struct Names {
    folder: String,
    file: String,
}

impl Names {
    fn of(digest: &Digest) -> Self {
        let mut folder = digest.hex();
        let file = folder.split_off(2);
        Self { folder, file }
    }

    fn shown(&self) -> String {
        format!("cas/sha256/{}/{}", self.folder, self.file)
    }
}

/// The place for a message.
pub(super) fn shown(place: &Place) -> String {
    format!("cas/sha256/{:02x}/{}", place.first, place.name)
}

/// Makes content as young as `now`, and never older than it was: a clock set back must not undo what another one said.
pub(super) fn make_young(file: &File, now: Timestamp) -> io::Result<()> {
    let now = SystemTime::from(now);
    match file.metadata()?.modified() {
        Ok(put_at) if put_at >= now => Ok(()),
        _ => file.set_modified(now),
    }
}

/// [`ErrorKind::Integrity`]: something else is where content should be.
pub(super) fn not_a_file(operation: &'static str, digest: &Digest, kind: FileType) -> Error {
    Error::new(ErrorKind::Integrity, operation, "something else is in the place of the content")
        .with("expected", digest)
        .with("found", word(kind))
}

/// Whether something else is there, a link for one.
fn is_no_folder(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotADirectory || error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}
