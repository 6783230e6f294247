//! The files of runs and models, laid out in folders as MLflow expects them.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use futures_util::StreamExt as _;

use super::{SYNC, SyncReport, storage};
use crate::artifact::ArtifactStore as _;
use crate::error::{ErrorKind, Result};
use crate::hash::Digest;
use crate::id::RelPath;
use crate::local::blocking::blocking;
use crate::local::store::Inner;

/// Lays out files that are not there yet. Content that is missing or damaged is reported; the rest is laid out.
pub(super) async fn lay_out(
    inner: &Inner,
    folder: &Path,
    files: impl Iterator<Item = (RelPath, Digest)>,
    report: &mut SyncReport,
) -> Result<()> {
    for (path, digest) in files {
        let target = folder.join(path.as_str());
        if target.exists() {
            continue;
        }
        match copy(inner, &digest, &target).await {
            Ok(()) => report.files += 1,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Integrity) => {
                report.missing.push(target.display().to_string());
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
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
    blocking(SYNC, move || fs::rename(partial, folder).map_err(storage)).await
}

/// Copies verified content to a file that appears when it is whole.
async fn copy(inner: &Inner, digest: &Digest, target: &Path) -> Result<()> {
    let mut content = inner.artifacts.get(digest, None).await?;
    let partial = target.with_extension(format!("{}.part", std::process::id()));
    let (folder, begun) = (target.parent().map(Path::to_owned), partial.clone());
    let mut file = blocking(SYNC, move || {
        folder.map_or(Ok(()), fs::create_dir_all).map_err(storage)?;
        File::create(begun).map_err(storage)
    })
    .await?;
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
    let target = target.to_owned();
    blocking(SYNC, move || fs::rename(partial, target).map_err(storage)).await
}
