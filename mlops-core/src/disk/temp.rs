//! Files that are not ready: written under a name that nobody guesses, then moved into place.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::sync::Arc;

use super::folder::{Folder, Found};
use super::lock::take;

const PREFIX: &str = ".tmp-";

/// A file that only its writer sees, removed when it is dropped before it was placed.
///
/// Its writer holds a lock on it for as long as it lives. A process that died holds no lock, so its files can be told from
/// those of the living, also across processes; see [`remove_stale`].
#[derive(Debug)]
pub(crate) struct TempFile {
    folder: Arc<Folder>,
    name: String,
    file: File,
    placed: bool,
}

impl TempFile {
    /// A new file in `folder` that nobody else may read.
    pub(crate) fn new(folder: &Arc<Folder>) -> io::Result<Self> {
        loop {
            let name = format!("{PREFIX}{}", uuid::Uuid::new_v4().simple());
            let file = folder.make_file(&name, 0o600)?;
            let temp = Self { folder: folder.clone(), name, file, placed: false };
            if temp.is_held()? {
                return Ok(temp);
            }
        }
    }

    /// Locks the file. Between making and locking it, it looked like that of a dead process: somebody may have removed it.
    fn is_held(&self) -> io::Result<bool> {
        if !take(&self.file)? {
            return Ok(false);
        }
        match self.folder.stat(&self.name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            answer => answer.map(|_| true),
        }
    }

    /// The file, to write to.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Moves it to `name` in `folder`, replacing what is there.
    pub(crate) fn place(&mut self, folder: &Folder, name: &str) -> io::Result<()> {
        self.folder.rename(&self.name, folder, name)?;
        self.placed = true;
        Ok(())
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if !self.placed {
            // Should it fail, the next process that opens the folder tries again.
            let _ = self.folder.remove_file(&self.name);
        }
    }
}

/// Removes the files of processes that died; how many. Those of the living stay.
pub(crate) fn remove_stale(folder: &Folder) -> io::Result<usize> {
    let mut removed = 0;
    for name in folder.names()? {
        let name = name?;
        if !is_ours(&name) {
            continue;
        }
        // Gone in between: its writer placed it.
        let Ok(Found::File(file)) = folder.find(&name) else { continue };
        // The name is never used again, so what is removed is this file or nothing.
        if file.try_lock().is_ok() && folder.remove_file(&name).is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}

/// How many files are being written, or were when their process died.
pub(crate) fn count(folder: &Folder) -> io::Result<usize> {
    let mut count = 0;
    for name in folder.names()? {
        count += usize::from(is_ours(&name?));
    }
    Ok(count)
}

fn is_ours(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn folder() -> (tempfile::TempDir, Arc<Folder>) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Arc::new(Folder::open(dir.path()).unwrap());
        (dir, folder)
    }

    #[test]
    fn a_file_is_private_and_gone_unless_placed() {
        let (dir, folder) = folder();
        let temp = TempFile::new(&folder).unwrap();
        let mode = temp.file().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(count(&folder).unwrap(), 1);
        drop(temp);
        assert_eq!(count(&folder).unwrap(), 0);
        let mut temp = TempFile::new(&folder).unwrap();
        temp.file().write_all(b"content").unwrap();
        temp.place(&folder, "placed").unwrap();
        drop(temp);
        assert_eq!(std::fs::read(dir.path().join("placed")).unwrap(), b"content");
    }

    #[test]
    fn files_of_the_dead_go_and_those_of_the_living_stay() {
        let (dir, folder) = folder();
        let alive = TempFile::new(&folder).unwrap();
        // A process that died left its file, with nobody holding the lock.
        std::fs::write(dir.path().join(".tmp-dead"), b"half").unwrap();
        std::fs::write(dir.path().join("foreign"), b"not ours").unwrap();
        std::os::unix::fs::symlink("foreign", dir.path().join(".tmp-link")).unwrap();
        assert_eq!(remove_stale(&folder).unwrap(), 1);
        assert!(!dir.path().join(".tmp-dead").exists());
        assert!(dir.path().join("foreign").exists() && dir.path().join(&alive.name).exists());
    }

    #[test]
    fn cleaning_while_others_begin_takes_no_file_away() {
        let (_dir, folder) = folder();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for _ in 0..2000 {
                    let temp = TempFile::new(&folder).unwrap();
                    assert!(folder.stat(&temp.name).is_ok(), "a living file was removed");
                }
            });
            while !writer.is_finished() {
                remove_stale(&folder).unwrap();
            }
        });
    }
}
