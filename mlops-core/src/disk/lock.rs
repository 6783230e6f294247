//! Locks of files. They are the kernel's: they end with the process that holds them, however that ends, and hold between the
//! handles of one process as between processes.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::storage;
use crate::error::{Error, ErrorKind, Result};

/// How long a call waits for others.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(2);

/// Takes the lock of a file that nobody else has; whether that came off.
pub(crate) fn take(file: &File) -> io::Result<bool> {
    attempt(file, File::try_lock)
}

/// Tries again where a signal came in between.
fn attempt(file: &File, lock: impl Fn(&File) -> std::result::Result<(), TryLockError>) -> io::Result<bool> {
    loop {
        match lock(file) {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(TryLockError::Error(e)) => return Err(e),
        }
    }
}

/// Who may hold a lock at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// One alone.
    Alone,
    /// Everybody who shares it.
    Shared,
}

/// Holds the lock of a file that is there for this alone, made where it is not there, for as long as the answer lives.
/// Waits for others, 30 s at most: then it is [`ErrorKind::Busy`], with `busy` as the message. Blocks.
pub(crate) fn hold(
    operation: &'static str,
    path: &Path,
    sharing: Sharing,
    busy: &'static str,
) -> Result<File> {
    wait(operation, path, sharing, busy, PATIENCE)
}

fn wait(
    operation: &'static str,
    path: &Path,
    sharing: Sharing,
    busy: &'static str,
    patience: Duration,
) -> Result<File> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fault = |e| storage(operation, &name, e);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(fault)?;
    let began = Instant::now();
    let lock = match sharing {
        Sharing::Alone => File::try_lock,
        Sharing::Shared => File::try_lock_shared,
    };
    while !attempt(&file, lock).map_err(fault)? {
        if began.elapsed() > patience {
            return Err(Error::new(ErrorKind::Busy, operation, busy).with("file", &name));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits for a lock that is free. A process that another test just begins may still hold it for a moment.
    fn hold(path: &Path, sharing: Sharing) -> Result<File> {
        wait("op", path, sharing, "somebody has it", Duration::from_secs(10))
    }

    fn try_hold(path: &Path, sharing: Sharing) -> Result<File> {
        wait("op", path, sharing, "somebody has it", Duration::from_millis(20))
    }

    #[test]
    fn who_waits_is_told_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lock");
        let alone = hold(&path, Sharing::Alone).unwrap();
        for sharing in [Sharing::Alone, Sharing::Shared] {
            let error = try_hold(&path, sharing).unwrap_err();
            assert_eq!((error.kind(), error.context("file")), (ErrorKind::Busy, Some("a.lock")));
            assert_eq!(error.message(), "somebody has it");
        }
        drop(alone);
        let shared = hold(&path, Sharing::Shared).unwrap();
        assert!(hold(&path, Sharing::Shared).is_ok());
        assert!(try_hold(&path, Sharing::Alone).is_err());
        drop(shared);
        assert!(hold(&path, Sharing::Alone).is_ok());
        let error = hold(&folder.path().join("none/a.lock"), Sharing::Alone).unwrap_err();
        assert_eq!((error.kind(), error.context("path")), (ErrorKind::Storage, Some("a.lock")));
    }
}
