//! The files of runs and models, laid out in folders as MLflow expects them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;

use super::{SYNC, SyncReport, artifacts, storage};
use crate::artifact::ArtifactStore as _;
use crate::disk::blocking;
use crate::disk::folder::Folder;
use crate::disk::{make_folders, sync_folder_of};
use crate::error::{ErrorKind, Result};
use crate::hash::Digest;
use crate::id::RelPath;
use crate::local::store::Inner;

/// Lays out files that are not there yet, and returns after the disk has them and their names. Content that is missing or damaged, and
/// what has no place because a file has the name of its folder, is reported; the rest is laid out.
pub(super) async fn lay_out(
    inner: &Inner,
    folder: &Path,
    files: impl Iterator<Item = (RelPath, Digest)>,
    report: &mut SyncReport,
) -> Result<()> {
    let mut folders = BTreeSet::new();
    for (path, digest) in files {
        let target = folder.join(path.as_str());
        if target.is_file() {
            continue;
        }
        match copy(inner, &digest, &target).await {
            Ok(true) => {
                report.files += 1;
                folders.extend(target.parent().map(Path::to_owned));
            }
            Ok(false) => report.missing.push(target.display().to_string()),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Integrity) => {
                report.missing.push(target.display().to_string());
            }
            Err(e) => return Err(e),
        }
    }
    blocking(SYNC, move || {
        let sync = |folder: &PathBuf| Folder::open(folder)?.sync();
        folders.iter().try_for_each(sync).map_err(storage)
    })
    .await
}

/// A model is a tree of files, or one file, which is called `model` then.
pub(super) async fn lay_out_model(
    inner: &Inner,
    folder: &Path,
    artifact: &Digest,
    report: &mut SyncReport,
) -> Result<()> {
    if folder.exists() {
        return Ok(());
    }
    let files: Vec<(RelPath, Digest)> = match inner.artifacts.tree(artifact).await {
        Ok(manifest) => manifest.entries().iter().map(|e| (e.path.clone(), e.digest)).collect(),
        Err(e) if e.kind() == ErrorKind::Corrupt => vec![(RelPath::new("model")?, *artifact)],
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Integrity) => {
            report.missing.push(folder.display().to_string());
            return Ok(());
        }
        Err(e) => return Err(e),
    };
    // The folder appears when it is whole.
    let partial = folder.with_extension("part");
    let missing = report.missing.len();
    lay_out(inner, &partial, files.into_iter(), report).await?;
    if report.missing.len() > missing {
        return Ok(());
    }
    let folder = folder.to_owned();
    let place = move || fs::rename(partial, &folder).and_then(|()| sync_folder_of(&folder));
    blocking(SYNC, move || place().map_err(storage)).await
}

/// Copies verified content to a file that appears when it is whole and the disk has it; false where it has no place.
async fn copy(inner: &Inner, digest: &Digest, target: &Path) -> Result<bool> {
    let mut content = inner.artifacts.get(digest, None).await?;
    // One for all: who lays out holds the projection's lock.
    let (partial, target) = (artifacts(inner).join(".part"), target.to_owned());
    let (begun, above) = (partial.clone(), target.parent().map(Path::to_owned));
    let place = target.clone();
    let begin = move || -> io::Result<Option<File>> {
        match above.as_deref().map_or(Ok(()), make_folders) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(e) => Err(e),
            Ok(()) if place.is_dir() => Ok(None),
            Ok(()) => File::create(begun).map(Some),
        }
    };
    let Some(mut file) = blocking(SYNC, move || begin().map_err(storage)).await? else { return Ok(false) };
    while let Some(piece) = content.next().await {
        let piece = match piece {
            Ok(piece) => piece,
            Err(e) => {
                let _ = fs::remove_file(&partial);
                return Err(e);
            }
        };
        file = blocking(SYNC, move || {
            file.write_all(&piece).map_err(storage)?;
            Ok(file)
        })
        .await?;
    }
    // What has its name is never looked into again.
    let place = move || file.sync_all().and_then(|()| fs::rename(partial, target));
    blocking(SYNC, move || place().map_err(storage)).await?;
    Ok(true)
}
