//! A file or a folder on this machine, as it is to be uploaded.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use futures_util::{StreamExt as _, TryStreamExt as _};
use mlops_core::artifact::{Entry, Manifest};
use mlops_core::hash::{Digest, StreamHasher};
use mlops_core::{Error, ErrorKind, RelPath, Result};

use super::content::unreadable;

/// The most files that one upload takes.
const MAX_FILES: usize = 1_000_000;

/// How many files are hashed at once.
const HASHED_AT_ONCE: usize = 4;

const OP: &str = "LocalTree::read";

/// A file or a folder on this machine, read through once: names, lengths and digests.
///
/// Its digest is that of a [`Manifest`] of its files: two have one digest exactly if they have the same paths with the same
/// contents. (The official SDK feeds names and contents into one hash, one after the other and without lengths: there `ab`
/// with `c` and `a` with `bc` have one digest, and the second of them is taken for the first, which was uploaded already.) The
/// name of the folder itself does not matter to the digest.
///
/// A link is refused: what it leads to may lie outside of the folder, and would be uploaded unseen. Empty folders are nothing;
/// ignore files (`.amlignore`, `.gitignore`) are files like any other: what is not to be uploaded must not lie in the folder.
///
/// ```
/// use mlops_azure::storage::LocalTree;
/// # let folder = tempfile::tempdir()?;
/// # tokio::runtime::Builder::new_multi_thread().build()?.block_on(async {
/// std::fs::write(folder.path().join("a.csv"), b"x,y\n").unwrap();
/// let tree = LocalTree::read(folder.path()).await?;
/// assert_eq!((tree.manifest().entries().len(), tree.size()), (1, 4));
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct LocalTree {
    root: PathBuf,
    name: String,
    is_folder: bool,
    manifest: Manifest,
    digest: Digest,
}

impl LocalTree {
    /// Reads a file or a folder through.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] that names the path for a link, a device, a name that is no path in storage, and a folder
    /// without files; [`ErrorKind::LimitExceeded`] for more than a million files; [`ErrorKind::NotFound`] and
    /// [`ErrorKind::Storage`] for what cannot be read.
    pub async fn read(path: &Path) -> Result<Self> {
        let root = path.to_owned();
        let walked = tokio::task::spawn_blocking(move || walk(&root));
        let walked =
            walked.await.map_err(|_| Error::new(ErrorKind::Internal, OP, "a reading task ended"))??;
        let root = walked.root.clone();
        let hashing = futures_util::stream::iter(walked.files)
            .map(|file| hash(root.clone(), walked.is_folder, file))
            .buffer_unordered(HASHED_AT_ONCE);
        let manifest = Manifest::new(hashing.try_collect().await?)?;
        let digest = manifest.digest()?;
        Ok(Self { root: walked.root, name: walked.name, is_folder: walked.is_folder, manifest, digest })
    }

    /// The name of the file or folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.is_folder
    }

    /// The files.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What names the content.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The bytes of all files together.
    pub fn size(&self) -> u64 {
        self.manifest.size()
    }

    /// Where a file is on this machine.
    pub(super) fn path(&self, entry: &RelPath) -> PathBuf {
        at(&self.root, self.is_folder, entry)
    }
}

fn at(root: &Path, is_folder: bool, entry: &RelPath) -> PathBuf {
    if is_folder { root.join(entry.as_str()) } else { root.to_owned() }
}

struct Walked {
    root: PathBuf,
    name: String,
    is_folder: bool,
    files: Vec<RelPath>,
}

fn bad(path: &Path, reason: &str) -> Error {
    Error::invalid(OP, "path", reason).with("path", path.display())
}

fn name_of(path: &Path) -> Result<String> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| bad(path, "has a name that is no text"))?;
    match RelPath::new(name) {
        Ok(checked) => Ok(checked.to_string()),
        Err(e) => Err(bad(path, "has a name that storage cannot hold").with_source(e)),
    }
}

fn walk(path: &Path) -> Result<Walked> {
    let fault = |path: &Path| {
        let shown = path.display().to_string();
        move |e| unreadable(OP, e).with("path", shown)
    };
    // The name of `.` is that of the folder that it is; a link given by name is meant.
    let root = fs::canonicalize(path).map_err(fault(path))?;
    let given = path.file_name().map_or_else(|| root.clone(), |_| path.to_owned());
    let name = name_of(&given)?;
    if fs::metadata(&root).map_err(fault(&root))?.is_file() {
        let files = vec![RelPath::new(&name)?];
        return Ok(Walked { root, name, is_folder: false, files });
    }
    let (mut files, mut folders) = (Vec::new(), vec![(root.clone(), String::new())]);
    while let Some((folder, prefix)) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(fault(&folder))? {
            let entry = entry.map_err(fault(&folder))?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(fault(&entry.path()))?);
            let relative = format!("{prefix}{}", name_of(&path)?);
            if kind.is_dir() {
                folders.push((path, format!("{relative}/")));
            } else if kind.is_file() {
                let unfit = |e| bad(&path, "is no path in storage").with_source(e);
                files.push(RelPath::new(&relative).map_err(unfit)?);
            } else {
                return Err(bad(&path, "is neither a file nor a folder, but a link or a device"));
            }
            if files.len() + folders.len() > MAX_FILES {
                return Err(Error::limit(
                    OP,
                    "the files and folders",
                    MAX_FILES,
                    files.len() + folders.len(),
                ));
            }
        }
    }
    match files.is_empty() {
        true => Err(bad(path, "has no files in it")),
        false => Ok(Walked { root, name, is_folder: true, files }),
    }
}

async fn hash(root: PathBuf, is_folder: bool, file: RelPath) -> Result<Entry> {
    let path = at(&root, is_folder, &file);
    let shown = path.display().to_string();
    let hashing = tokio::task::spawn_blocking(move || {
        let mut open = File::open(&path)?;
        let (mut hasher, mut size) = (StreamHasher::new(), 0_u64);
        let mut piece = vec![0; 1 << 18];
        loop {
            match open.read(&mut piece)? {
                0 => return Ok((hasher.finish(), size)),
                read => {
                    hasher.update(piece.get(..read).unwrap_or_default());
                    size += read as u64;
                }
            }
        }
    });
    let joined = hashing.await.map_err(|_| Error::new(ErrorKind::Internal, OP, "a reading task ended"))?;
    let (digest, size) = joined.map_err(|e: std::io::Error| unreadable(OP, e).with("path", shown))?;
    Ok(Entry { path: file, digest, size })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        folder
    }

    #[tokio::test]
    async fn trees_have_one_digest_exactly_if_they_are_the_same() {
        let digest =
            async |files: &[(&str, &str)]| *LocalTree::read(tree(files).path()).await.unwrap().digest();
        let one = digest(&[("a", "1"), ("b/c", "2")]).await;
        assert_eq!(one, digest(&[("b/c", "2"), ("a", "1")]).await, "another folder with the same in it");
        let others = [
            digest(&[("a", "12"), ("b/c", "")]).await,
            digest(&[("a1", ""), ("b/c", "2")]).await,
            digest(&[("a", "1"), ("b", "2")]).await,
            digest(&[("ab", "c")]).await,
            digest(&[("a", "bc")]).await,
        ];
        let mut all: Vec<_> = others.into_iter().chain([one]).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 6);
    }

    #[tokio::test]
    async fn what_cannot_be_uploaded_is_named() {
        let folder = tree(&[("a", "1")]);
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("link")).unwrap();
        let error = LocalTree::read(folder.path()).await.unwrap_err();
        assert_eq!((error.kind(), error.context("field")), (ErrorKind::InvalidInput, Some("path")));
        assert!(error.context("path").unwrap().ends_with("link"));
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(LocalTree::read(empty.path()).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        let missing = LocalTree::read(&empty.path().join("nothing")).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_file_is_a_tree_of_one() {
        let folder = tree(&[("data.csv", "x")]);
        let tree = LocalTree::read(&folder.path().join("data.csv")).await.unwrap();
        assert_eq!((tree.name(), tree.is_folder(), tree.size()), ("data.csv", false, 1));
        let path = tree.path(&tree.manifest().entries()[0].path);
        assert_eq!(fs::read(path).unwrap(), b"x");
    }
}
