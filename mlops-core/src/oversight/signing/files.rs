//! What is signed: the files of a model by name and content.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use super::statement::SignedModel;
use crate::artifact::Manifest;
use crate::error::{Error, ErrorKind, Result, needs_escape};
use crate::hash::{Digest, StreamHasher};
use crate::id::RelPath;

/// The most files of a model.
pub(super) const MAX_FILES: usize = 100_000;

/// The most that is found in a folder and its folders, files or not.
const MAX_ENTRIES: usize = 1_000_000;

/// How much of a file is held at once.
const PIECE: usize = 1 << 20;

/// What the format leaves out by default: it changes without the model.
const IGNORED: [&str; 4] = [".git", ".gitattributes", ".github", ".gitignore"];

/// The name of a model that is a single file, as `model-signing` has it.
pub(super) const SINGLE: &str = ".";

/// How a folder is read.
///
/// ```
/// use mlops_core::RelPath;
/// use mlops_core::oversight::signing::ReadOptions;
/// let options = ReadOptions::new().with_ignored(RelPath::new("model.sig")?);
/// assert!(options.ignored().any(|path| path == "model.sig") && options.ignored().any(|path| path == ".git"));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    ignored: BTreeSet<String>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { ignored: IGNORED.map(str::to_owned).into() }
    }
}

impl ReadOptions {
    /// Leaves out what belongs to Git, `.git`, `.gitattributes`, `.github` and `.gitignore` of the folder, as the format demands.
    pub fn new() -> Self {
        Self::default()
    }

    /// Leaves out a file or a folder with all that is in it; the signature says so.
    #[must_use]
    pub fn with_ignored(mut self, path: RelPath) -> Self {
        self.ignored.insert(path.as_str().to_owned());
        self
    }

    /// Leaves out what a signature says was left out.
    #[must_use]
    pub fn with_signed(mut self, signed: &SignedModel) -> Self {
        self.ignored.extend(signed.ignored().map(str::to_owned));
        self
    }

    /// What is left out, alphabetically.
    pub fn ignored(&self) -> impl Iterator<Item = &str> {
        self.ignored.iter().map(String::as_str)
    }

    fn leaves_out(&self, name: &str) -> bool {
        let is_in =
            |folder: &String| name.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'));
        self.ignored.contains(name) || self.ignored.iter().any(is_in)
    }
}

/// The files of a model by name and content, and what was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFiles {
    name: String,
    files: BTreeMap<String, Digest>,
    ignored: BTreeSet<String>,
}

impl ModelFiles {
    /// Files that are known by their digests; those that belong to Git are left out. The name is for people.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a name that is no line of text, a path twice, and no files at all;
    /// [`ErrorKind::LimitExceeded`] for more than 100 000 files.
    pub fn new(name: impl Into<String>, files: impl IntoIterator<Item = (RelPath, Digest)>) -> Result<Self> {
        const OP: &str = "ModelFiles::new";
        let options = ReadOptions::new();
        let mut all = BTreeMap::new();
        for (path, digest) in files {
            if options.leaves_out(path.as_str()) {
                continue;
            }
            check_count(OP, all.len() + 1)?;
            if all.insert(path.as_str().to_owned(), digest).is_some() {
                return Err(Error::invalid(OP, "files", "a path comes twice").with("path", &path));
            }
        }
        Self::checked(OP, name.into(), all, options)
    }

    /// The files of a tree.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of_manifest(name: impl Into<String>, manifest: &Manifest) -> Result<Self> {
        Self::new(name, manifest.entries().iter().map(|entry| (entry.path.clone(), entry.digest)))
    }

    /// A model of a single file.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a name that is no line of text.
    pub fn single(name: impl Into<String>, digest: Digest) -> Result<Self> {
        let files = [(SINGLE.to_owned(), digest)].into();
        Self::checked("ModelFiles::single", name.into(), files, ReadOptions::new())
    }

    /// Reads a folder with all folders in it, or a single file. Blocks; holds one mebibyte of content at once. O(bytes).
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::InvalidInput`] that names the path for what is neither file nor folder, a link (it may lead
    /// anywhere), a name that is not UTF-8, and a folder without files; [`ErrorKind::LimitExceeded`] for more than 100 000 files or a
    /// million entries; [`ErrorKind::Storage`] for what the file system refuses.
    pub fn read(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Self> {
        const OP: &str = "ModelFiles::read";
        let path = path.as_ref();
        let kind = fs::symlink_metadata(path).map_err(|e| fault(path, e))?.file_type();
        let whole = fs::canonicalize(path).map_err(|e| fault(path, e))?;
        let name = whole.file_name().and_then(|name| name.to_str()).unwrap_or("model").to_owned();
        let files = if kind.is_file() {
            [(SINGLE.to_owned(), digest_of(path)?)].into()
        } else if kind.is_dir() {
            read_folder(path, options)?
        } else {
            return Err(odd(path, kind));
        };
        Self::checked(OP, name, files, options.clone())
    }

    fn checked(
        operation: &'static str,
        name: String,
        files: BTreeMap<String, Digest>,
        options: ReadOptions,
    ) -> Result<Self> {
        if name.trim().is_empty() || name.len() > 1024 || name.contains(needs_escape) {
            let message = "must be a line of text of at most 1024 bytes";
            return Err(Error::invalid(operation, "name", message).with("value", name));
        }
        if files.is_empty() {
            return Err(Error::invalid(operation, "files", "a model has at least one file"));
        }
        Ok(Self { name, files, ignored: options.ignored })
    }

    /// What the model is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The files by name, in the order in which they are signed: that of their names' characters.
    pub fn files(&self) -> impl Iterator<Item = (&str, &Digest)> {
        self.files.iter().map(|(name, digest)| (name.as_str(), digest))
    }

    /// What was left out.
    pub fn ignored(&self) -> impl Iterator<Item = &str> {
        self.ignored.iter().map(String::as_str)
    }

    /// The digest by which other documents can name the model: SHA-256 over the digests of the files, in order. It says nothing
    /// about their names; the signature does.
    pub fn root(&self) -> Digest {
        root(self.files.values())
    }

    pub(super) fn by_name(&self) -> &BTreeMap<String, Digest> {
        &self.files
    }
}

/// SHA-256 over digests, one after another.
pub(super) fn root<'a>(digests: impl IntoIterator<Item = &'a Digest>) -> Digest {
    let mut hasher = StreamHasher::new();
    digests.into_iter().for_each(|digest| hasher.update(digest.as_bytes()));
    hasher.finish()
}

pub(super) fn check_count(operation: &'static str, got: usize) -> Result<()> {
    match got {
        got if got > MAX_FILES => Err(Error::limit(operation, "the number of files", MAX_FILES, got)),
        _ => Ok(()),
    }
}

fn read_folder(root: &Path, options: &ReadOptions) -> Result<BTreeMap<String, Digest>> {
    const OP: &str = "ModelFiles::read";
    let mut folders = vec![(root.to_owned(), String::new())];
    let (mut files, mut seen) = (BTreeMap::new(), 0);
    while let Some((folder, prefix)) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|e| fault(&folder, e))? {
            let entry = entry.map_err(|e| fault(&folder, e))?;
            let path = entry.path();
            seen += 1;
            if seen > MAX_ENTRIES {
                return Err(Error::limit(OP, "the number of entries", MAX_ENTRIES, seen));
            }
            let name = entry.file_name().into_string();
            let name = name.map_err(|_| invalid(&path, "has a name that is not UTF-8"))?;
            let name = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
            if options.ignored.contains(&name) {
                continue;
            }
            let kind = entry.file_type().map_err(|e| fault(&path, e))?;
            if kind.is_dir() {
                folders.push((path, name));
            } else if kind.is_file() {
                check_count(OP, files.len() + 1)?;
                files.insert(name, digest_of(&path)?);
            } else {
                return Err(odd(&path, kind));
            }
        }
    }
    Ok(files)
}

fn digest_of(path: &Path) -> Result<Digest> {
    let mut file = File::open(path).map_err(|e| fault(path, e))?;
    let (mut hasher, mut piece) = (StreamHasher::new(), vec![0; PIECE]);
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(read) => hasher.update(piece.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(fault(path, error)),
        }
    }
}

fn invalid(path: &Path, message: &str) -> Error {
    Error::invalid("ModelFiles::read", "path", message).with("path", path.display())
}

fn odd(path: &Path, kind: fs::FileType) -> Error {
    invalid(path, if kind.is_symlink() { "is a link" } else { "is neither a file nor a folder" })
}

fn fault(path: &Path, source: std::io::Error) -> Error {
    let kind = match source.kind() {
        std::io::ErrorKind::NotFound => ErrorKind::NotFound,
        _ => ErrorKind::Storage,
    };
    let error = Error::new(kind, "ModelFiles::read", "the file cannot be read");
    error.with("path", path.display()).with_source(source)
}
