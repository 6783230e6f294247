//! A journal's file: made so that nobody takes it for one of a dead process, held by its lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use crate::disk::frame::Header;

pub(crate) const MAGIC: [u8; 8] = *b"MLOPSJNL";
/// The version of the records.
pub(crate) const VERSION: u32 = 1;
const EXTENSION: &str = "mlj";
const UNFINISHED: &str = "part";

/// A file that is open and locked: its records are written by nobody else, and replayed by nobody.
#[derive(Clone, Debug)]
pub(crate) struct JournalFile {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<File>,
}

impl JournalFile {
    /// Makes a new one; answers with its salt too.
    ///
    /// It gets its name only after it is locked and has its header: a file of that name that can be locked has lost its
    /// writer.
    pub(crate) fn create(folder: &Path, owner: Uuid) -> io::Result<(Self, u32)> {
        fs::create_dir_all(folder)?;
        let mut last = io::Error::other("no name is free");
        for _ in 0..8 {
            let id = Uuid::now_v7();
            let name = format!("{id}.{EXTENSION}");
            let (part, path) = (folder.join(format!("{id}.{UNFINISHED}")), folder.join(&name));
            let [.., s0, s1, s2, s3] = *id.as_bytes();
            let header =
                Header { magic: MAGIC, version: VERSION, salt: u32::from_le_bytes([s0, s1, s2, s3]), owner };
            match finish(&part, &path, &header) {
                Ok(file) => return Ok((Self { name, path, file: Arc::new(file) }, header.salt)),
                Err(e) => {
                    // What is half made is of no use; who opens the store next removes what stays.
                    drop(fs::remove_file(&part));
                    // Somebody who opened the store took it for a left-over: another one is made.
                    let taken = matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotFound);
                    last = e;
                    if !taken {
                        break;
                    }
                }
            }
        }
        Err(last)
    }

    /// Takes over a file whose writer is gone; `None` if it has one, or if somebody else took it over and is done.
    pub(crate) fn take_over(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(e)) => return Err(e),
        }
        if file.metadata()?.nlink() == 0 {
            return Ok(None);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Some(Self { name, path: path.to_owned(), file: Arc::new(file) }))
    }
}

fn finish(part: &Path, path: &Path, header: &Header) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(part)?;
    file.try_lock().map_err(io::Error::from)?;
    file.write_all_at(&header.encode(), 0)?;
    fs::rename(part, path)?;
    Ok(file)
}

/// The journal's files in a folder, by name. Left-overs of files that were never finished are removed.
pub(crate) fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(e) => return Err(e),
    };
    for entry in entries {
        let path = entry?.path();
        match path.extension().and_then(|e| e.to_str()) {
            Some(EXTENSION) => found.push(path),
            Some(UNFINISHED) => {
                // Whoever is making it right now holds its lock, or will find it gone and make another.
                if let Ok(Some(left)) = JournalFile::take_over(&path) {
                    drop(fs::remove_file(&left.path));
                }
            }
            _ => {}
        }
    }
    found.sort();
    Ok(found)
}
