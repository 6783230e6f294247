//! A tree of files by content.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::hash::{Digest, canonical_json};
use crate::id::RelPath;

/// One file of a [`Manifest`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// Where it lies in the tree.
    pub path: RelPath,
    /// The digest of its content.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// Files of a tree, sorted by path, each once; no path is a folder of another.
///
/// Its canonical JSON is content like any other; the digest of that names the tree. Two trees have one digest exactly if
/// they have the same paths with the same contents: times, modes, owners and the order of reading do not matter.
///
/// ```
/// use mlops_core::artifact::{Entry, Manifest};
/// use mlops_core::{RelPath, hash::Digest};
///
/// let entry = |path, content: &[u8]| -> Result<Entry, mlops_core::Error> {
///     Ok(Entry { path: RelPath::new(path)?, digest: Digest::of(content), size: content.len() as u64 })
/// };
/// let one = Manifest::new(vec![entry("b", b"2")?, entry("a", b"1")?])?;
/// let two = Manifest::new(vec![entry("a", b"1")?, entry("b", b"2")?])?;
/// assert_eq!(one.digest()?, two.digest()?);
/// let (a_bc, ab_c) = (Manifest::new(vec![entry("a", b"bc")?])?, Manifest::new(vec![entry("ab", b"c")?])?);
/// assert_ne!(a_bc.digest()?, ab_c.digest()?);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Manifest {
    entries: Vec<Entry>,
}

impl Manifest {
    /// A manifest of these files, in any order.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for no files, a path twice, paths that differ only in case, or a path that is also a
    /// folder: such a tree cannot be written to every file system.
    pub fn new(mut entries: Vec<Entry>) -> Result<Self> {
        const OP: &str = "Manifest::new";
        if entries.is_empty() {
            return Err(Error::invalid(OP, "entries", "a tree needs at least one file"));
        }
        entries.sort();
        let mut seen: std::collections::HashMap<String, &RelPath> = std::collections::HashMap::new();
        for entry in &entries {
            let folded = entry.path.as_str().to_lowercase();
            if let Some(other) = seen.insert(folded, &entry.path) {
                let error = Error::invalid(OP, "entries", "two paths are equal or differ only in case");
                return Err(error.with("path", &entry.path).with("other", other));
            }
        }
        for entry in &entries {
            let folded = entry.path.as_str().to_lowercase();
            let mut parents = folded.match_indices('/').map(|(at, _)| &folded[..at]);
            if let Some(parent) = parents.find(|p| seen.contains_key(*p)) {
                let error = Error::invalid(OP, "entries", "a path is a file and a folder at once");
                return Err(error.with("path", parent));
            }
        }
        Ok(Self { entries })
    }

    /// The files, sorted by path.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The file at `path`.
    pub fn get(&self, path: &RelPath) -> Option<&Entry> {
        self.entries.binary_search_by(|e| e.path.cmp(path)).ok().map(|i| &self.entries[i])
    }

    /// The bytes of all files together.
    pub fn size(&self) -> u64 {
        self.entries.iter().fold(0, |sum, e| sum.saturating_add(e.size))
    }

    /// The canonical JSON under which the manifest itself is stored.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a file of more than 2⁵³ − 1 bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        canonical_json(&serde_json::json!({ "schema": "mlops.manifest/v1", "entries": self.entries }))
    }

    /// Reads what [`Manifest::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] for anything else, also for the same manifest written another way.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Stored {
            schema: String,
            entries: Vec<Entry>,
        }
        let corrupt = |message: &str| Error::new(ErrorKind::Corrupt, "Manifest::from_bytes", message);
        let stored: Stored =
            serde_json::from_slice(bytes).map_err(|e| corrupt("is not a manifest").with_source(e))?;
        if stored.schema != "mlops.manifest/v1" {
            return Err(corrupt("has another schema").with("schema", stored.schema));
        }
        let manifest = Self::new(stored.entries).map_err(|e| corrupt("has bad entries").with_source(e))?;
        if manifest.to_bytes()? == bytes { Ok(manifest) } else { Err(corrupt("is not in canonical form")) }
    }

    /// The digest that names this tree: of [`Manifest::to_bytes`].
    ///
    /// # Errors
    /// As [`Manifest::to_bytes`].
    pub fn digest(&self) -> Result<Digest> {
        self.to_bytes().map(|bytes| Digest::of(&bytes))
    }
}

impl<'de> Deserialize<'de> for Manifest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Raw {
            entries: Vec<Entry>,
        }
        Self::new(Raw::deserialize(deserializer)?.entries).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, content: &str) -> Entry {
        Entry {
            path: RelPath::new(path).unwrap(),
            digest: Digest::of(content.as_bytes()),
            size: content.len() as u64,
        }
    }

    #[test]
    fn trees_that_no_file_system_can_hold_are_refused() {
        for paths in [vec![], vec!["a", "a"], vec!["A", "a"], vec!["a", "a/b"], vec!["x/Y", "X/y/z"]] {
            let entries = paths.iter().map(|p| entry(p, "")).collect();
            assert_eq!(Manifest::new(entries).unwrap_err().kind(), ErrorKind::InvalidInput, "{paths:?}");
        }
    }

    #[test]
    fn what_was_written_is_read_back_and_nothing_else() {
        let manifest = Manifest::new(vec![entry("b/c", "1"), entry("a", "22")]).unwrap();
        let bytes = manifest.to_bytes().unwrap();
        assert_eq!(Manifest::from_bytes(&bytes).unwrap(), manifest);
        assert_eq!(manifest.get(&RelPath::new("b/c").unwrap()).unwrap().size, 1);
        let text = String::from_utf8(bytes).unwrap();
        for bad in [
            text.replace("v1", "v2"),
            text.replace("sha256:", "SHA256:"),
            text.replace("b/c", "../c"),
            format!(" {text}"),
            text.replace("\"size\":1", "\"size\":1,\"size\":1"),
            "{".to_owned(),
        ] {
            assert_eq!(Manifest::from_bytes(bad.as_bytes()).unwrap_err().kind(), ErrorKind::Corrupt, "{bad}");
        }
    }
}
