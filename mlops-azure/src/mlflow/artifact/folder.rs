//! The folder of one content on the server: the bytes, and files without bytes whose names say when it was put.

use mlops_core::artifact::Blob;
use mlops_core::hash::Digest;
use mlops_core::{Error, ErrorKind, Result};
use serde_json::Value;

/// The name of the file with the bytes.
pub(super) const CONTENT: &str = "content";

/// One file or folder in a listing.
#[derive(Debug)]
pub(super) struct Item {
    pub name: String,
    pub size: u64,
    pub is_folder: bool,
}

/// The items of a listing. Servers leave out what is zero, false or empty.
pub(super) fn items(operation: &'static str, answer: &Value) -> Result<Vec<Item>> {
    let files = answer.get("files").and_then(Value::as_array);
    let item = |file: &Value| {
        let path = file.get("path").and_then(Value::as_str);
        let path = path.ok_or_else(|| {
            Error::new(ErrorKind::Protocol, operation, "the server lists a file without a path")
        })?;
        Ok(Item {
            name: path.rsplit('/').next().unwrap_or(path).to_owned(),
            size: file
                .get("file_size")
                .and_then(|size| size.as_u64().or_else(|| size.as_str()?.parse().ok()))
                .unwrap_or(0),
            is_folder: file.get("is_dir").and_then(Value::as_bool).unwrap_or(false),
        })
    };
    files.into_iter().flatten().map(item).collect()
}

/// What a mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Content was put.
    Put,
    /// Content was put that is the manifest of a tree.
    Tree,
    /// Garbage collection found bytes that nobody has put to the end.
    Seen,
}

impl Mark {
    fn word(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Tree => "tree",
            Self::Seen => "seen",
        }
    }

    /// The name of a mark made at a time, in microseconds since 1970.
    pub(super) fn name(self, at: i64) -> String {
        format!("{}-{:016}", self.word(), at.max(0))
    }

    fn parse(name: &str) -> Option<(Self, i64)> {
        let (word, digits) = name.split_once('-')?;
        let mark = [Self::Put, Self::Tree, Self::Seen].into_iter().find(|mark| mark.word() == word)?;
        Some((mark, digits.parse().ok().filter(|at| *at >= 0)?))
    }
}

/// What the folder of a content holds.
#[derive(Debug, Default)]
pub(super) struct Folder {
    size: Option<u64>,
    marks: Vec<(Mark, i64)>,
}

impl Folder {
    pub(super) fn of(items: &[Item]) -> Self {
        let mut folder = Self::default();
        for item in items.iter().filter(|item| !item.is_folder) {
            if item.name == CONTENT {
                folder.size = Some(item.size);
            }
            folder.marks.extend(Mark::parse(&item.name));
        }
        folder
    }

    fn is_put(&self) -> bool {
        self.marks.iter().any(|(mark, _)| *mark != Mark::Seen)
    }

    /// The content, if it was put to the end.
    pub(super) fn blob(&self, digest: Digest) -> Option<Blob> {
        let size = self.size.filter(|_| self.is_put())?;
        Some(Blob { digest, size })
    }

    /// Whether there are bytes, put to the end or not.
    pub(super) fn has_bytes(&self) -> bool {
        self.size.is_some()
    }

    /// Whether it is the manifest of a tree.
    pub(super) fn is_tree(&self) -> bool {
        self.marks.iter().any(|(mark, _)| *mark == Mark::Tree)
    }

    /// When it was put last, or its remains were found; in microseconds since 1970.
    pub(super) fn at(&self) -> Option<i64> {
        let newest = |put: bool| {
            let marks = self.marks.iter().filter(move |(mark, _)| (*mark != Mark::Seen) == put);
            marks.map(|(_, at)| *at)
        };
        // Remains age from when they were found first; content from when it was put last.
        newest(true).max().or_else(|| newest(false).min())
    }

    /// The names of the marks that are not needed beside this one.
    pub(super) fn older_than(&self, at: i64) -> Vec<String> {
        self.marks.iter().filter(|(_, other)| *other < at).map(|(mark, at)| mark.name(*at)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn folder(names: &[(&str, u64)]) -> Folder {
        let files: Vec<_> =
            names.iter().map(|(n, size)| json!({"path": n, "is_dir": false, "file_size": size})).collect();
        Folder::of(&items("op", &json!({ "files": files })).unwrap())
    }

    #[test]
    fn content_counts_once_it_is_marked() {
        let digest = Digest::of(b"");
        assert_eq!(folder(&[("content", 3)]).blob(digest), None);
        assert_eq!(folder(&[("content", 3), ("seen-0000000000000001", 0)]).blob(digest), None);
        assert_eq!(folder(&[("put-0000000000000001", 0)]).blob(digest), None);
        let put = folder(&[("content", 3), ("put-0000000000000001", 0)]);
        assert_eq!(put.blob(digest), Some(Blob { digest, size: 3 }));
        assert!(!put.is_tree() && folder(&[("tree-0000000000000001", 0)]).is_tree());
    }

    #[test]
    fn the_newest_put_and_the_oldest_finding_tell_the_age() {
        let names = [("put-0000000000000005", 0), ("tree-0000000000000007", 0), ("seen-0000000000000009", 0)];
        assert_eq!(folder(&names).at(), Some(7));
        assert_eq!(folder(&names).older_than(7), ["put-0000000000000005"]);
        assert_eq!(folder(&[("seen-3", 0), ("seen-9", 0), ("put-x", 0), ("put--1", 0)]).at(), Some(3));
        assert_eq!(folder(&[("content", 1)]).at(), None);
        assert_eq!(Mark::Put.name(-7), "put-0000000000000000");
    }

    #[test]
    fn a_listing_without_sizes_is_read() {
        // MLflow 2.22.5 leaves out a size of zero and an empty list.
        let answer =
            json!({"files": [{"path": "content", "is_dir": false}, {"path": "a/ab", "is_dir": true}]});
        let items = items("op", &answer).unwrap();
        assert_eq!((items[0].size, items[1].name.as_str(), items[1].is_folder), (0, "ab", true));
        assert!(super::items("op", &json!({})).unwrap().is_empty());
        assert!(super::items("op", &json!({"files": [{}]})).is_err());
    }
}
