//! A folder of the file system becomes a tree.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rustix::fs::{FileType, Stat, fstat};

use super::cas::Cas;
use super::parallel::parallel;
use super::read::PIECE;
use super::write::Writer;
use crate::artifact::{Blob, Entry, Manifest};
use crate::disk::folder::{Folder, Found, file_type, word};
use crate::disk::storage;
use crate::error::{Error, ErrorKind, Result};
use crate::id::RelPath;

const OP: &str = "LocalArtifactStore::put_dir";

/// The most files a folder may have.
pub(super) const MAX_FILES: usize = 1_000_000;

/// Two changes of a file within this time may leave it with the same times.
const TICK: Duration = Duration::from_millis(20);

/// The files of a folder and what they were like.
type Files = BTreeMap<RelPath, Stat>;

impl Cas {
    /// Stores what is in `dir` as it is at one moment: whatever changes meanwhile ends it.
    pub(super) fn put_dir(self: &Arc<Self>, dir: &Path) -> Result<(Blob, Manifest)> {
        let root = Folder::open(dir).map_err(|error| source(error, "."))?;
        let files = scan_at_rest(&root)?;
        let list: Vec<_> = files.iter().collect();
        let entries = parallel(OP, &list, |(path, stat)| match self.put_file(&root, path, stat) {
            Ok(blob) => Ok(Entry { path: (*path).clone(), digest: blob.digest, size: blob.size }),
            Err(error) => Err(error.with("path", path)),
        })?;
        let manifest = Manifest::new(entries)?;
        unchanged(&files, &scan(&root, MAX_FILES)?)?;
        let blob = self.put_tree(&manifest)?;
        Ok((blob, manifest))
    }

    fn put_file(self: &Arc<Self>, root: &Folder, path: &RelPath, stat: &Stat) -> Result<Blob> {
        let mut file = open(root, path, stat)?;
        let mut writer = Writer::new(self.clone(), OP)?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        // One byte more than there should be, so that a file that grows is noticed and one without end is not read.
        let mut rest = file.by_ref().take(size.saturating_add(1));
        let mut copied = 0;
        loop {
            let mut piece = Vec::new();
            let read = rest
                .by_ref()
                .take(PIECE as u64)
                .read_to_end(&mut piece)
                .map_err(|error| source(error, path))?;
            if read == 0 {
                break;
            }
            copied += read as u64;
            writer.write(&[Bytes::from(piece)])?;
        }
        if copied != size || !same(stat, &now(&file, path)?) {
            return Err(changed());
        }
        // Storing the tree makes the names of all its files durable.
        writer.commit_name(None, || Ok(())).map(|(blob, _)| blob)
    }
}

/// Opens a file that was found, folder by folder, following no link, if it is still that one.
pub(super) fn open(root: &Folder, path: &RelPath, stat: &Stat) -> Result<File> {
    let open = || -> io::Result<Found> {
        let (folders, name) = path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()));
        let mut folder = None;
        for name in folders.split('/').filter(|name| !name.is_empty()) {
            folder = Some(folder.as_ref().unwrap_or(root).folder(name)?);
        }
        folder.as_ref().unwrap_or(root).find(name)
    };
    match open() {
        Ok(Found::File(file)) if same(stat, &now(&file, path)?) => Ok(file),
        Ok(_) => Err(changed()),
        // It was there a moment ago, below folders that were folders.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(changed())
        }
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => Err(changed()),
        Err(error) => Err(source(error, path)),
    }
}

fn now(file: impl AsFd, path: &RelPath) -> Result<Stat> {
    fstat(file).map_err(|error| source(error.into(), path))
}

/// The files, looked at when none of them had just changed: what changes later then shows in its times.
fn scan_at_rest(root: &Folder) -> Result<Files> {
    let files = scan(root, MAX_FILES)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let recent = |stat: &Stat| {
        let seconds = u64::try_from(stat.st_ctime).unwrap_or(0);
        let nanoseconds = u32::try_from(stat.st_ctime_nsec).unwrap_or(0);
        Duration::new(seconds, nanoseconds) + TICK > now
    };
    if !files.values().any(recent) {
        return Ok(files);
    }
    thread::sleep(TICK);
    scan(root, MAX_FILES)
}

/// The files below a folder, at most `limit`.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for anything that is neither file nor folder and for names that no tree can have, before
/// anything is opened that could do something or wait.
pub(super) fn scan(root: &Folder, limit: usize) -> Result<Files> {
    let mut files = Files::new();
    scan_into(&mut files, root, None, limit)?;
    Ok(files)
}

/// Goes as deep as a [`RelPath`] may.
fn scan_into(files: &mut Files, folder: &Folder, above: Option<&RelPath>, limit: usize) -> Result<()> {
    let shown = above.map_or(".", RelPath::as_str);
    for name in folder.names().map_err(|error| source(error, shown))? {
        let name = name.map_err(|error| source(error, shown))?;
        let path = join(above, &name)?;
        let stat = match folder.stat(&name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(changed().with("path", &path));
            }
            stat => stat.map_err(|error| source(error, &path))?,
        };
        match file_type(&stat) {
            FileType::RegularFile => {
                if files.len() == limit {
                    return Err(Error::limit(OP, "the number of files", limit, limit + 1));
                }
                files.insert(path, stat);
            }
            FileType::Directory => {
                let inner = folder.folder(&name).map_err(|error| source(error, &path))?;
                scan_into(files, &inner, Some(&path), limit)?;
            }
            other => {
                let error = Error::invalid(OP, "dir", "holds something that is neither a file nor a folder");
                return Err(error.with("path", &path).with("found", word(other)));
            }
        }
    }
    Ok(())
}

fn join(above: Option<&RelPath>, name: &OsStr) -> Result<RelPath> {
    let refused = |shown: &str| {
        let error = Error::invalid(OP, "dir", "holds a name that no tree can have");
        error.with("folder", above.map_or(".", RelPath::as_str)).with("name", shown)
    };
    let Some(text) = name.to_str() else { return Err(refused(&name.to_string_lossy())) };
    let path = above.map_or_else(|| RelPath::new(text), |above| RelPath::new(format!("{above}/{text}")));
    path.map_err(|error| {
        let error = Error::from(error);
        Error::new(error.kind(), OP, "holds a name that no tree can have")
            .with("field", "dir")
            .with("folder", above.map_or(".", RelPath::as_str))
            .with("name", text)
            .with_source(error)
    })
}

fn unchanged(before: &Files, after: &Files) -> Result<()> {
    let as_before =
        |(path, stat): &(&RelPath, &Stat)| after.get(*path).is_some_and(|after| same(stat, after));
    let gone = before.iter().find(|file| !as_before(file)).map(|(path, _)| path);
    match gone.or_else(|| after.keys().find(|path| !before.contains_key(*path))) {
        None => Ok(()),
        Some(path) => Err(changed().with("path", path)),
    }
}

/// Whether this is the same file, with nothing changed.
fn same(one: &Stat, two: &Stat) -> bool {
    let identity = |stat: &Stat| (stat.st_dev, stat.st_ino, stat.st_size);
    let changed = |stat: &Stat| (stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec);
    identity(one) == identity(two) && changed(one) == changed(two)
}

fn changed() -> Error {
    Error::new(ErrorKind::Integrity, OP, "the folder changed while it was read")
}

/// An error about the folder that is read, which the caller named.
fn source(error: io::Error, path: impl std::fmt::Display) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::not_found(OP, "folder", path).with_source(error),
        io::ErrorKind::NotADirectory => {
            Error::invalid(OP, "dir", "is not a folder").with("path", path).with_source(error)
        }
        _ => storage(OP, path, error),
    }
}
