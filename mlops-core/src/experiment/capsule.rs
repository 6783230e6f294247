//! The reproducibility capsule: what one needs to make a run again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::hash::Digest;

/// The version of the code that ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeVersion {
    /// The git commit, as hexadecimal digits.
    pub commit: Option<String>,
    /// The git branch; `None` when the head is detached.
    pub branch: Option<String>,
    /// Whether tracked files differed from the commit; `None` when that was not looked at.
    pub dirty: Option<bool>,
}

impl CodeVersion {
    /// Reads commit and branch of the git work tree that holds `dir`, from git's own files: no process is started, no hook
    /// runs. Everything is `None` where there is no work tree or it cannot be read: a run must not fail for that.
    ///
    /// ```
    /// use mlops_core::experiment::CodeVersion;
    /// let code = CodeVersion::discover(std::path::Path::new("."));
    /// assert!(code.commit.is_none_or(|c| c.bytes().all(|b| b.is_ascii_hexdigit())));
    /// ```
    pub fn discover(dir: &Path) -> Self {
        read_head(dir).unwrap_or_default()
    }
}

fn read_head(dir: &Path) -> Option<CodeVersion> {
    let git = git_dir(dir)?;
    let head = read_line(&git.join("HEAD"))?;
    let Some(reference) = head.strip_prefix("ref: ") else {
        return Some(CodeVersion { commit: hexadecimal(head), ..CodeVersion::default() });
    };
    // Branches of a linked work tree live in the main one.
    let common = read_line(&git.join("commondir")).map_or_else(|| git.clone(), |path| git.join(path));
    let safe = !reference.split('/').any(|part| matches!(part, "" | "." | ".."));
    let loose = safe.then(|| read_line(&common.join(reference))).flatten();
    let commit = loose.or_else(|| packed(&common, reference)).and_then(hexadecimal);
    Some(CodeVersion {
        commit,
        branch: reference.strip_prefix("refs/heads/").map(str::to_owned),
        dirty: None,
    })
}

fn git_dir(dir: &Path) -> Option<PathBuf> {
    let start = fs::canonicalize(dir).ok()?;
    let found = start.ancestors().map(|d| d.join(".git")).find(|p| p.exists())?;
    if found.is_dir() {
        return Some(found);
    }
    let pointer = read_line(&found)?;
    Some(found.parent()?.join(pointer.strip_prefix("gitdir: ")?))
}

fn packed(git: &Path, reference: &str) -> Option<String> {
    let text = fs::read_to_string(git.join("packed-refs")).ok()?;
    text.lines().find_map(|line| {
        let (commit, name) = line.split_once(' ')?;
        (name == reference).then(|| commit.to_owned())
    })
}

fn read_line(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim_end().to_owned())
}

fn hexadecimal(text: String) -> Option<String> {
    (matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())).then_some(text)
}

/// What one needs to make a run again; every part is optional, none may hold a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capsule {
    /// The version of the code.
    pub code: CodeVersion,
    /// The digest of the lock file that pins the dependencies.
    pub lock: Option<Digest>,
    /// The seeds, by what they were for.
    pub seeds: BTreeMap<String, u64>,
    /// The versions of what mattered, by name (`rustc`, `mlops-core`, …).
    pub versions: BTreeMap<String, String>,
}

impl Capsule {
    /// Code version of the work tree at `dir`, the digest of its `Cargo.lock` and the version of this crate.
    ///
    /// ```
    /// use mlops_core::experiment::Capsule;
    /// let capsule = Capsule::capture(std::path::Path::new(".")).with_seed("split", 7);
    /// assert_eq!(capsule.seeds["split"], 7);
    /// assert_eq!(capsule.versions["mlops-core"], env!("CARGO_PKG_VERSION"));
    /// ```
    pub fn capture(dir: &Path) -> Self {
        let lock = fs::canonicalize(dir)
            .ok()
            .and_then(|d| d.ancestors().map(|a| a.join("Cargo.lock")).find(|p| p.is_file()))
            .and_then(|path| fs::read(path).ok())
            .map(|bytes| Digest::of(&bytes));
        Self {
            code: CodeVersion::discover(dir),
            lock,
            seeds: BTreeMap::new(),
            versions: BTreeMap::from([("mlops-core".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]),
        }
    }

    /// Adds a seed.
    #[must_use]
    pub fn with_seed(mut self, purpose: impl Into<String>, seed: u64) -> Self {
        self.seeds.insert(purpose.into(), seed);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn work_tree(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("mlops-capsule-{name}-{}", std::process::id()));
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_head_is_found_loose_packed_detached_and_in_a_linked_work_tree() {
        let loose = format!("{COMMIT}\n");
        let packed = format!("# pack-refs with: peeled\n{COMMIT} refs/heads/main\n");
        let detached = loose.clone();
        type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, Option<&'a str>);
        let cases: [Case<'_>; 4] = [
            (
                "loose",
                vec![(".git/HEAD", "ref: refs/heads/main\n"), (".git/refs/heads/main", &loose)],
                Some("main"),
            ),
            (
                "packed",
                vec![(".git/HEAD", "ref: refs/heads/main\n"), (".git/packed-refs", &packed)],
                Some("main"),
            ),
            ("detached", vec![(".git/HEAD", &detached)], None),
            (
                "linked",
                vec![
                    (".git", "gitdir: main/.git/worktrees/side\n"),
                    ("main/.git/worktrees/side/HEAD", "ref: refs/heads/side\n"),
                    ("main/.git/worktrees/side/commondir", "../..\n"),
                    ("main/.git/refs/heads/side", &loose),
                ],
                Some("side"),
            ),
        ];
        for (name, files, branch) in cases {
            let root = work_tree(name, &files);
            let code = CodeVersion::discover(&root);
            assert_eq!((code.commit.as_deref(), code.branch.as_deref()), (Some(COMMIT), branch), "{name}");
            fs::remove_dir_all(root).unwrap();
        }
    }

    #[test]
    fn a_head_that_points_outside_is_not_followed() {
        let root = work_tree("hostile", &[(".git/HEAD", "ref: refs/../../secret\n"), ("secret", COMMIT)]);
        assert_eq!(CodeVersion::discover(&root).commit, None);
        fs::remove_dir_all(root).unwrap();
    }
}
