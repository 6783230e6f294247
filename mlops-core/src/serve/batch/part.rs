//! A file that is written piece by piece, and known by the digest of all of it.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::journal::Extent;
use super::{OP, name, storage};
use crate::error::{Error, ErrorKind, Result};
use crate::hash::StreamHasher;

/// A file that is only appended to.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) path: PathBuf,
    file: File,
    bytes: u64,
    hasher: StreamHasher,
}

impl Part {
    /// Opens a file of which so much is known to be good, or begins one. What is behind that is cut off.
    ///
    /// [`ErrorKind::Integrity`] when it does not hold what it held.
    pub(super) fn open(path: PathBuf, good: Option<Extent>) -> Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(good.is_none()).open(&path);
        let mut part =
            Self { file: file.map_err(storage(&path))?, path, bytes: 0, hasher: StreamHasher::new() };
        if let Some(good) = good {
            (part.hasher, part.bytes) = hash(&mut part.file, &part.path, good.bytes)?;
            check(&part.path, &part.extent(), &good)?;
            part.file.set_len(good.bytes).map_err(storage(&part.path))?;
            part.file.seek(SeekFrom::Start(good.bytes)).map_err(storage(&part.path))?;
        }
        Ok(part)
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(storage(&self.path))?;
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Waits until all of it is on the disk; how far that is.
    pub(super) fn sync(&self) -> Result<Extent> {
        self.file.sync_data().map_err(storage(&self.path))?;
        Ok(self.extent())
    }

    pub(super) fn extent(&self) -> Extent {
        Extent { bytes: self.bytes, digest: self.hasher.clone().finish() }
    }
}

/// The digest of the first bytes of a file, and how many of them there were.
fn hash(file: &mut File, path: &Path, most: u64) -> Result<(StreamHasher, u64)> {
    let (mut hasher, mut read, mut bytes) = (StreamHasher::new(), 0, vec![0; 1 << 18]);
    let mut limited = file.take(most);
    loop {
        let some = limited.read(&mut bytes).map_err(storage(path))?;
        if some == 0 {
            return Ok((hasher, read));
        }
        hasher.update(bytes.get(..some).unwrap_or_default());
        read += some as u64;
    }
}

fn check(path: &Path, found: &Extent, expected: &Extent) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    let message = "the file does not hold what was written to it; restart";
    let error = Error::new(ErrorKind::Integrity, OP, message).with("file", name(path));
    let shown = |extent: &Extent| format!("{} bytes, {}", extent.bytes, extent.digest.short());
    Err(error.with("expected", shown(expected)).with("found", shown(found)))
}

/// Checks that a file holds this and nothing else.
pub(super) fn verify(path: &Path, expected: &Extent) -> Result<()> {
    let mut file = File::open(path).map_err(storage(path))?;
    let (hasher, bytes) = hash(&mut file, path, expected.bytes.saturating_add(1))?;
    check(path, &Extent { bytes, digest: hasher.finish() }, expected)
}
