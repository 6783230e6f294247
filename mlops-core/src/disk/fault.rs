//! What the operating system answered, as our error.

use std::fmt;
use std::io;

use crate::error::{Error, ErrorKind};

/// [`ErrorKind::Storage`] for what the operating system answered about `path`.
///
/// `path` is shown as it is given: hand it in relative to what the caller knows, so that no message tells where that lies. The
/// context has a `reason`: `no space`, `read-only`, `denied`, `open files` or `i/o`. Only running out of open files passes by
/// itself, so only that says that a retry may help; above all a failed `fsync` must never be tried again into a success.
pub(crate) fn storage(operation: &'static str, path: impl fmt::Display, error: io::Error) -> Error {
    let reason = reason(&error);
    Error::new(ErrorKind::Storage, operation, "the file system refused")
        .with("reason", reason)
        .with("path", path)
        .with_retryable(reason == "open files")
        .with_source(error)
}

/// [`ErrorKind::Storage`] for a write to what was opened for reading only.
#[cfg(feature = "local")]
pub(crate) fn read_only(operation: &'static str) -> Error {
    let message = "the store was opened for reading only";
    Error::new(ErrorKind::Storage, operation, message).with("reason", "read-only")
}

fn reason(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => "no space",
        io::ErrorKind::ReadOnlyFilesystem => "read-only",
        io::ErrorKind::PermissionDenied => "denied",
        _ if error.raw_os_error().is_some_and(|number| OPEN_FILES.contains(&number)) => "open files",
        _ => "i/o",
    }
}

/// `ENFILE` and `EMFILE`, which have the same numbers on every Unix.
#[cfg(unix)]
const OPEN_FILES: [i32; 2] = [23, 24];
/// `ERROR_TOO_MANY_OPEN_FILES`.
#[cfg(not(unix))]
const OPEN_FILES: [i32; 1] = [4];

#[cfg(all(test, feature = "local"))]
mod tests {
    use std::error::Error as _;

    use rustix::io::Errno;

    use super::*;

    #[test]
    fn every_answer_has_a_reason_and_keeps_its_source() {
        for (errno, reason, retryable) in [
            (Errno::NOSPC, "no space", false),
            (Errno::DQUOT, "no space", false),
            (Errno::FBIG, "no space", false),
            (Errno::ROFS, "read-only", false),
            (Errno::ACCESS, "denied", false),
            (Errno::PERM, "denied", false),
            (Errno::MFILE, "open files", true),
            (Errno::NFILE, "open files", true),
            (Errno::IO, "i/o", false),
            (Errno::STALE, "i/o", false),
        ] {
            let error = storage("op", "cas/tmp", errno.into());
            assert_eq!(error.kind(), ErrorKind::Storage);
            assert_eq!(error.context("reason"), Some(reason), "{errno:?}");
            assert_eq!(error.context("path"), Some("cas/tmp"));
            assert_eq!(error.is_retryable(), retryable, "{errno:?}");
            let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
            assert_eq!(source.and_then(io::Error::raw_os_error), Some(errno.raw_os_error()));
        }
    }
}
