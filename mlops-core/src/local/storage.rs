//! What the operating system answered, as our error.

use std::fmt;
use std::io;

use rustix::io::Errno;

use crate::error::{Error, ErrorKind};

/// [`ErrorKind::Storage`] for what the operating system answered about `path`.
///
/// `path` is shown as it is given: hand it in relative to the store, so that no message tells where the store lies. The
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

fn reason(error: &io::Error) -> &'static str {
    let errno = |errno: Errno| error.raw_os_error() == Some(errno.raw_os_error());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => "no space",
        io::ErrorKind::ReadOnlyFilesystem => "read-only",
        io::ErrorKind::PermissionDenied => "denied",
        _ if errno(Errno::MFILE) || errno(Errno::NFILE) => "open files",
        _ => "i/o",
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

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
