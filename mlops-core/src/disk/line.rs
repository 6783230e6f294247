//! Files of lines that are only ever appended to.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::durable::sync_folder_of;
use super::lock;

/// A file of lines, open and locked: nobody else appends to it.
///
/// * A line counts once [`append`](Self::append) has returned. What a call that failed has left is cut off.
/// * A process that is killed while it writes leaves a part of a line at the end. Who opens the file reads it, says where what
///   is whole [ends](Self::keep), and the rest is cut off. Not before the lock is held: it could be somebody's line.
/// * With the first line that has to outlive a power cut, the file's name has to, too.
#[derive(Debug)]
pub(crate) struct LineFile {
    path: PathBuf,
    file: File,
    /// Where the next line goes.
    end: u64,
    /// Whether something may lie behind the end.
    torn: bool,
    /// Whether the file's name is known to be durable.
    named: bool,
}

impl LineFile {
    /// Opens a file, or makes it; its folder has to be there. `None` while somebody else has it, or has just removed it.
    pub(crate) fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        if !lock::take(&file)? || !is_there(&file, path) {
            return Ok(None);
        }
        Ok(Some(Self { path: path.to_owned(), file, end: 0, torn: true, named: false }))
    }

    /// What is in it, from the beginning.
    pub(crate) fn read(&self) -> io::Result<impl BufRead> {
        (&self.file).seek(SeekFrom::Start(0))?;
        Ok(BufReader::new(&self.file))
    }

    /// Where the next line goes.
    #[cfg(any(test, feature = "local"))]
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Cuts off what lies behind `end`; there the next line goes.
    pub(crate) fn keep(&mut self, end: u64) -> io::Result<()> {
        (self.end, self.torn) = (end, true);
        if self.file.metadata()?.len() != end {
            self.file.set_len(end)?;
        }
        self.file.seek(SeekFrom::Start(end))?;
        self.torn = false;
        Ok(())
    }

    /// Appends a line, which has its end, by one system call; a `durable` one is on the disk when this returns.
    pub(crate) fn append(&mut self, line: &[u8], durable: bool) -> io::Result<()> {
        if self.torn {
            self.keep(self.end)?;
        }
        let mut write = || {
            self.file.write_all(line)?;
            if durable {
                self.file.sync_data()?;
                if !self.named {
                    sync_folder_of(&self.path)?;
                    self.named = true;
                }
            }
            Ok(())
        };
        if let Err(e) = write() {
            // Not only the write that failed: what could not be synced has to be written anew, not only synced again.
            self.torn = self.keep(self.end).is_err();
            return Err(e);
        }
        self.end += line.len() as u64;
        Ok(())
    }
}

impl Drop for LineFile {
    /// Lets go of it at once: a child of this process that has just been forked holds the same lock until it runs its program.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// Whether the file is still the one that has this name.
#[cfg(unix)]
fn is_there(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let both = file.metadata().and_then(|ours| std::fs::metadata(path).map(|named| (ours, named)));
    both.is_ok_and(|(ours, named)| (ours.dev(), ours.ino()) == (named.dev(), named.ino()))
}

#[cfg(not(unix))]
fn is_there(_: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_handle_at_a_time_appends_and_what_is_torn_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        std::fs::write(&path, "one\ntw").unwrap();
        let mut lines = LineFile::open(&path).unwrap().unwrap();
        assert!(LineFile::open(&path).unwrap().is_none());
        let text = io::read_to_string(lines.read().unwrap()).unwrap();
        assert_eq!(text, "one\ntw");
        lines.keep(4).unwrap();
        for durable in [false, true] {
            lines.append(b"two\n", durable).unwrap();
        }
        assert_eq!((lines.end(), std::fs::read_to_string(&path).unwrap().as_str()), (12, "one\ntwo\ntwo\n"));
        drop(lines);
        let mut lines = LineFile::open(&path).unwrap().unwrap();
        lines.keep(12).unwrap();
        lines.append(b"three\n", false).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\ntwo\nthree\n");
    }

    /// A write that failed half-way, of which a part could not be cut off at once.
    #[test]
    #[cfg(target_os = "linux")]
    fn what_a_write_that_failed_has_left_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let mut lines = LineFile::open(&path).unwrap().unwrap();
        lines.append(b"one\n", true).unwrap();
        // A file that is open for reading only can be neither written to nor cut.
        let writable = std::mem::replace(&mut lines.file, File::open(&path).unwrap());
        std::fs::write(&path, "one\ntw").unwrap();
        assert!(lines.append(b"two\n", false).is_err());
        assert!(lines.torn);
        lines.file = writable;
        lines.append(b"three\n", false).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\nthree\n");
    }
}
