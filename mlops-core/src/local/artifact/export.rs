//! A tree becomes a folder of the file system.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use super::cas::Cas;
use super::parallel::parallel;
use crate::artifact::Entry;
use crate::disk::folder::Folder;
use crate::disk::storage;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::Digest;

const OP: &str = "LocalArtifactStore::get_dir";

impl Cas {
    /// Writes a tree to `target`, which appears as a whole or not at all.
    pub(super) fn get_dir(&self, digest: &Digest, target: &Path) -> Result<()> {
        let Some(name) = target.file_name() else {
            return Err(
                Error::invalid(OP, "target", "has no last component").with("target", target.display())
            );
        };
        let parent =
            target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let parent = Folder::open(parent).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::not_found(OP, "folder", parent.display()).with_source(error),
            _ => fault("..")(error),
        })?;
        let exists = || {
            Error::new(ErrorKind::AlreadyExists, OP, "something is at the target")
                .with("target", name.display())
        };
        match parent.stat(name) {
            Ok(_) => return Err(exists()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(fault(".")(error)),
        }
        let manifest = self.tree(digest)?;
        let staging = Staging::new(&parent)?;
        parallel(OP, manifest.entries(), |entry| {
            self.write_file(&staging.tree, entry).map_err(|error| error.with("path", &entry.path))
        })?;
        sync_folders(&staging.tree).map_err(fault("."))?;
        match staging.outer.rename_new(TREE, &parent, name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(exists()),
            answer => answer.map_err(fault("."))?,
        }
        drop(staging);
        parent.sync().map_err(fault("."))
    }

    /// Writes one file. What is written is verified at the end, before anybody can see it.
    fn write_file(&self, root: &Folder, entry: &Entry) -> Result<()> {
        let content = self.verified(OP, &entry.digest)?;
        if content.size() != entry.size {
            let error = Error::new(ErrorKind::Integrity, OP, "a file has another size");
            return Err(error.with("expected", entry.size).with("found", content.size()));
        }
        let mut file = make(root, entry).map_err(fault(&entry.path))?;
        content.for_each(|piece| file.write_all(piece).map_err(fault(&entry.path)))?;
        file.sync_all().map_err(fault(&entry.path))
    }
}

fn fault<P: std::fmt::Display>(path: P) -> impl Fn(io::Error) -> Error {
    move |error| storage(OP, &path, error)
}

/// Makes a file that was not there, and the folders above it.
fn make(root: &Folder, entry: &Entry) -> io::Result<File> {
    let mut names = entry.path.as_str().split('/').peekable();
    let mut folder = None;
    while let Some(name) = names.next() {
        let here = folder.as_ref().unwrap_or(root);
        if names.peek().is_none() {
            return here.make_file(name, 0o666);
        }
        here.make_folder(name, 0o777)?;
        folder = Some(here.folder(name)?);
    }
    Err(io::ErrorKind::InvalidInput.into())
}

/// Makes every name in a folder and below it durable.
fn sync_folders(folder: &Folder) -> io::Result<()> {
    for name in folder.names()? {
        if let Ok(inner) = folder.folder(name?) {
            sync_folders(&inner)?;
        }
    }
    folder.sync()
}

const TREE: &str = "tree";

/// A folder beside the target that only its owner may enter, removed with what is left in it.
///
/// The tree is made in a folder within, with the modes that everybody's folders have, and leaves it complete.
struct Staging<'a> {
    parent: &'a Folder,
    name: String,
    outer: Folder,
    tree: Folder,
}

impl<'a> Staging<'a> {
    fn new(parent: &'a Folder) -> Result<Self> {
        let make = || {
            let name = format!(".mlops-{}", uuid::Uuid::new_v4().simple());
            if !parent.make_folder(&name, 0o700)? {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let within = || -> io::Result<_> {
                let outer = parent.folder(&name)?;
                outer.make_folder(TREE, 0o777)?;
                let tree = outer.folder(TREE)?;
                Ok((outer, tree))
            };
            match within() {
                Ok((outer, tree)) => Ok(Self { parent, name, outer, tree }),
                Err(error) => {
                    remove_all(parent, &name);
                    Err(error)
                }
            }
        };
        make().map_err(fault("."))
    }
}

impl Drop for Staging<'_> {
    fn drop(&mut self) {
        remove_all(self.parent, &self.name);
    }
}

/// Removes a folder of ours and what is in it, as far as that goes, following no link.
fn remove_all(parent: &Folder, name: impl AsRef<std::ffi::OsStr>) {
    let name = name.as_ref();
    if let Ok(folder) = parent.folder(name) {
        for inner in folder.names().into_iter().flatten().flatten() {
            if folder.remove_file(&inner).is_err() {
                remove_all(&folder, &inner);
            }
        }
    }
    let _ = parent.remove_folder(name);
}
