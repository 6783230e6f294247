//! Names that outlive a power cut: a file or a folder has its name for good once the folder above it was synced.

use std::io;
use std::path::Path;

/// Makes the names in the folder of `path` durable: that of `path`, and those of its neighbours.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    sync_folder(above(path))
}

/// The folder in which `path` lies.
fn above(path: &Path) -> &Path {
    path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    match std::fs::File::open(path)?.sync_all() {
        // A file system that has no such thing for folders.
        Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        answer => answer,
    }
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Makes a folder and those above it, each made durable in the one above. [`io::ErrorKind::AlreadyExists`] where something else has
/// the name of one of them.
#[cfg(feature = "local")]
pub(crate) fn make_folders(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    make_folders(above(path))?;
    match std::fs::create_dir(path) {
        // Somebody else may have made it since.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !path.is_dir() => Err(error),
        _ => sync_folder_of(path),
    }
}
