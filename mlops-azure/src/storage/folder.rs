//! A file or a folder on this machine, as it is to be uploaded.
//!
//! Nothing is asked of Azure here: files are read with the permissions of this process. What changes after a tree was read is noticed
//! when it is sent, by its digest. The digest is that of the same files in the local artifact store.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use futures_util::{StreamExt as _, TryStreamExt as _};
use mlops_core::artifact::{Entry, Manifest};
use mlops_core::hash::{Digest, StreamHasher};
use mlops_core::{Error, ErrorKind, RelPath, Result};

use super::content::unreadable;
use super::ignore::IgnoreRules;

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
/// A link is refused: what it leads to may lie outside of the folder, and would be uploaded unseen. Empty folders are nothing.
///
/// Files of rules (`.amlignore`, `.gitignore`) are files like any other, and nothing is left behind, if nobody says so
/// ([`read_with`](Self::read_with)): of data, what Git does not keep is what matters. The official SDK leaves behind what they say,
/// also of data. [Code](super::LocalCode) is read as it reads it.
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
        Self::read_with(path, IgnoreRules::none()).await
    }

    /// Reads a file or a folder through, without the files that the rules leave behind. What is left behind may be anything, a link,
    /// too.
    ///
    /// # Errors
    /// As of [`read`](Self::read).
    pub async fn read_with(path: &Path, rules: IgnoreRules) -> Result<Self> {
        let root = path.to_owned();
        let walked = blocking(move || walk(&root, &rules)).await?;
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

    /// Reads the files once more, for the hash of a snapshot of code, as the service keeps it and `azure-ai-ml` writes it
    /// (`hash_version` 202208): SHA-256 of the number of files in decimal; of `#path#size` of each, in the order of their paths in
    /// lower case; and of their contents in this order.
    ///
    /// Unlike [`digest`](Self::digest) it is not one to one: names of files with `#` in them may stand for two others.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] for a file that is not what it was when the tree was read; [`ErrorKind::NotFound`] and
    /// [`ErrorKind::Storage`] for what cannot be read.
    ///
    /// ```
    /// use mlops_azure::storage::LocalTree;
    /// # let folder = tempfile::tempdir()?;
    /// # tokio::runtime::Builder::new_multi_thread().build()?.block_on(async {
    /// std::fs::write(folder.path().join("train.py"), b"print(1)\n").unwrap();
    /// let tree = LocalTree::read(folder.path()).await?;
    /// // Source: recorded of azure-ai-ml 1.35.2.
    /// let expected = "7e6aee81e75d7941c8a3ec46da6b49c0905194136af456e2271f263c3bbefefe";
    /// assert_eq!(tree.snapshot_hash().await?.hex(), expected);
    /// # Ok::<(), mlops_core::Error>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn snapshot_hash(&self) -> Result<Digest> {
        let tree = self.clone();
        blocking(move || tree.hash_of_snapshot()).await
    }

    fn hash_of_snapshot(&self) -> Result<Digest> {
        const OP: &str = "LocalTree::snapshot_hash";
        let mut entries: Vec<(String, &Entry)> =
            self.manifest.entries().iter().map(|entry| (entry.path.as_str().to_lowercase(), entry)).collect();
        entries.sort_by(|(one, _), (two, _)| one.cmp(two));
        let mut snapshot = StreamHasher::new();
        snapshot.update(entries.len().to_string().as_bytes());
        for (_, entry) in &entries {
            snapshot.update(format!("#{}#{}", entry.path, entry.size).as_bytes());
        }
        for (_, entry) in entries {
            let mut content = StreamHasher::new();
            let read = File::open(self.path(&entry.path)).and_then(|file| {
                each_piece(file, |piece| {
                    snapshot.update(piece);
                    content.update(piece);
                })
            });
            read.map_err(|e| unreadable(OP, e).with("path", &entry.path))?;
            if content.finish() != entry.digest {
                let message = "a file changed after the folder was read";
                return Err(Error::new(ErrorKind::Conflict, OP, message).with("path", &entry.path));
            }
        }
        Ok(snapshot.finish())
    }

    /// Where a file is on this machine.
    pub(super) fn path(&self, entry: &RelPath) -> PathBuf {
        at(&self.root, self.is_folder, entry)
    }
}

fn at(root: &Path, is_folder: bool, entry: &RelPath) -> PathBuf {
    if is_folder { root.join(entry.as_str()) } else { root.to_owned() }
}

/// Does what blocks, where it may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let ended = |_| Error::new(ErrorKind::Internal, OP, "a reading task ended");
    tokio::task::spawn_blocking(work).await.map_err(ended)?
}

/// Hands out a file's bytes, piece by piece.
fn each_piece(mut file: File, mut take: impl FnMut(&[u8])) -> std::io::Result<()> {
    let mut piece = vec![0; 1 << 18];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(()),
            read => take(piece.get(..read).unwrap_or_default()),
        }
    }
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

fn walk(path: &Path, rules: &IgnoreRules) -> Result<Walked> {
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
            let relative = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if kind.is_dir() {
                if !rules.leaves_out_all_below(&relative) {
                    name_of(&path)?;
                    folders.push((path, format!("{relative}/")));
                }
            } else if rules.leaves_out(&relative) {
                continue;
            } else if kind.is_file() {
                name_of(&path)?;
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
    let (digest, size) = blocking(move || {
        let (mut hasher, mut size) = (StreamHasher::new(), 0_u64);
        let read = File::open(&path).and_then(|open| {
            each_piece(open, |piece| {
                hasher.update(piece);
                size += piece.len() as u64;
            })
        });
        read.map_err(|e| unreadable(OP, e).with("path", shown))?;
        Ok((hasher.finish(), size))
    })
    .await?;
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

    /// Source: `get_content_hash` of azure-ai-ml 1.35.2.
    #[tokio::test]
    async fn snapshots_have_the_hash_of_the_official_sdk() {
        let files = [
            ("b.py", "2"),
            ("a/Z.py", ""),
            ("A.txt", "1"),
            ("\u{c9}.txt", "x"),
            ("a.py", "#"),
            ("C.py", "3"),
        ];
        let folder = tree(&files);
        let tree = LocalTree::read(folder.path()).await.unwrap();
        assert_eq!(
            tree.snapshot_hash().await.unwrap().hex(),
            "428b1021a177505825abd47dfa34259b900a4237364f72047d3a89176d624a55"
        );
        fs::write(folder.path().join("b.py"), "3").unwrap();
        let error = tree.snapshot_hash().await.unwrap_err();
        assert_eq!((error.kind(), error.context("path")), (ErrorKind::Conflict, Some("b.py")));
        fs::remove_file(folder.path().join("b.py")).unwrap();
        assert_eq!(tree.snapshot_hash().await.unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn what_is_left_behind_is_not_looked_at() {
        let folder = tree(&[("train.py", "1"), ("venv/x", "2"), ("a.pyc", "3")]);
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("venv/link")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("b.pyc")).unwrap();
        let rules = IgnoreRules::parse("venv/\n*.pyc\n").unwrap();
        let tree = LocalTree::read_with(folder.path(), rules).await.unwrap();
        let paths: Vec<&str> = tree.manifest().entries().iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(paths, ["train.py"]);
        let all = IgnoreRules::parse("*").unwrap();
        let error = LocalTree::read_with(folder.path(), all).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
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
