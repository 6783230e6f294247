//! Which files of a folder are left behind.
//!
//! Nothing is asked of Azure here; the rules are those of Git, read as the official SDK reads them. The local backend leaves out nothing.

use std::fs;
use std::io::ErrorKind as IoKind;
use std::path::Path;

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use mlops_core::{Error, ErrorKind, Result};

use super::content::unreadable;

const OP: &str = "IgnoreRules::of";

/// The files that say what is left behind, the one that counts first.
const NAMES: [&str; 2] = [".amlignore", ".gitignore"];

/// A file of rules is not longer.
const MAX_LENGTH: u64 = 1 << 20;

/// Which files of a folder are left behind when it is uploaded, as `.amlignore` and `.gitignore` say it.
///
/// Every line is a pattern [as Git writes them](https://git-scm.com/docs/gitignore), and of those that match a file, or a folder
/// above it, the last one decides: a line that begins with `!` takes back what one before it left out, also below a folder that is
/// left out, where Git would not look any more. Spaces at the end of a line are none of it. That is what `azure-ai-ml` 1.35 does,
/// so that both upload the same files. Only the file in the folder itself counts, not those of folders below or above it.
///
/// ```
/// use mlops_azure::storage::IgnoreRules;
/// let rules = IgnoreRules::parse("*.pyc\n.git/\ndata/\n!data/keep.csv\n")?;
/// assert!(rules.leaves_out("lib/model.pyc") && rules.leaves_out(".git/config") && rules.leaves_out("data/raw.csv"));
/// assert!(!rules.leaves_out("data/keep.csv") && !rules.leaves_out("train.py"));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct IgnoreRules {
    /// One matcher a line: within a matcher, a folder above has no say once the file itself has matched.
    lines: Vec<Gitignore>,
}

impl IgnoreRules {
    /// No rules: nothing is left behind.
    pub fn none() -> Self {
        Self::default()
    }

    /// Rules of a text, a pattern a line.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a line that is no pattern, with its number.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let bad = |e| {
                let error = Error::invalid("IgnoreRules::parse", "text", "has a line that is no pattern");
                error.with("line", at + 1).with_source(e)
            };
            let mut builder = GitignoreBuilder::new("");
            builder.add_line(None, line.trim_end()).map_err(bad)?;
            let line = builder.build().map_err(bad)?;
            if !line.is_empty() {
                lines.push(line);
            }
        }
        Ok(Self { lines })
    }

    /// The rules of a folder: those of its `.amlignore`, or else of its `.gitignore`, or none.
    ///
    /// # Errors
    /// As of [`parse`](Self::parse), with the path; [`ErrorKind::InvalidInput`] for a file that is no text,
    /// [`ErrorKind::LimitExceeded`] for one of more than 1 MiB, and [`ErrorKind::Storage`] for one that cannot be read.
    pub fn of(folder: &Path) -> Result<Self> {
        for name in NAMES {
            let path = folder.join(name);
            let told = |e: Error| e.with("path", path.display());
            let length = match fs::metadata(&path) {
                Ok(there) if there.is_file() => there.len(),
                Ok(_) => continue,
                Err(e) if matches!(e.kind(), IoKind::NotFound | IoKind::NotADirectory) => continue,
                Err(e) => return Err(told(unreadable(OP, e))),
            };
            if length > MAX_LENGTH {
                return Err(told(Error::limit(OP, "the bytes of rules", MAX_LENGTH, length)));
            }
            let bytes = fs::read(&path).map_err(|e| told(unreadable(OP, e)))?;
            let text = String::from_utf8(bytes)
                .map_err(|_| told(Error::new(ErrorKind::InvalidInput, OP, "a file of rules is no text")))?;
            return Self::parse(&text).map_err(told);
        }
        Ok(Self::none())
    }

    /// Whether a file is left behind, by its path below the folder, with `/` between its parts.
    pub fn leaves_out(&self, path: &str) -> bool {
        self.decides(path, false)
    }

    /// Whether everything below a folder is left behind.
    pub(super) fn leaves_out_all_below(&self, folder: &str) -> bool {
        // A line that takes back may speak of files in it.
        self.decides(folder, true) && self.lines.iter().all(|line| line.num_whitelists() == 0)
    }

    fn decides(&self, path: &str, is_folder: bool) -> bool {
        // The matcher takes no path that begins at the root.
        let path = path.trim_start_matches('/');
        let matched = |line: &Gitignore| match line.matched_path_or_any_parents(path, is_folder) {
            ignore::Match::None => None,
            ignore::Match::Ignore(_) => Some(true),
            ignore::Match::Whitelist(_) => Some(false),
        };
        self.lines.iter().rev().find_map(matched).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [&str; 23] = [
        "train.py",
        "lib/a.py",
        "lib/a.pyc",
        "lib/deep/b.pyc",
        "__pycache__/x.pyc",
        "lib/__pycache__/y",
        "data/raw/1.csv",
        "data/keep.csv",
        "notes.md",
        "docs/index.md",
        "docs/api/ref.md",
        ".git/config",
        "build/out",
        "src/build/out",
        "B.txt",
        "a b.txt",
        "#hash",
        "!bang",
        "deep/x/y/z.txt",
        "deep/y.txt",
        "logs/1.log",
        "logs/important.log",
        "weights[1].bin",
    ];

    /// Rules, what they leave out of [`FILES`], or with a `!` before it, all that they do not.
    ///
    /// Source: `get_upload_files_from_folder` of azure-ai-ml 1.35.2.
    const CASES: [(&str, &[&str]); 25] = [
        ("*.pyc\n__pycache__/\n", &["__pycache__/x.pyc", "lib/__pycache__/y", "lib/a.pyc", "lib/deep/b.pyc"]),
        ("# comment\n\n*.md\n!notes.md\n", &["docs/api/ref.md", "docs/index.md"]),
        ("/data\n", &["data/keep.csv", "data/raw/1.csv"]),
        ("data/\n!data/keep.csv\n", &["data/raw/1.csv"]),
        ("!data/keep.csv\ndata/\n", &["data/keep.csv", "data/raw/1.csv"]),
        ("/build\n", &["build/out"]),
        ("build\n", &["build/out", "src/build/out"]),
        ("docs/**\n", &["docs/api/ref.md", "docs/index.md"]),
        ("**/build\n", &["build/out", "src/build/out"]),
        ("deep/**/z.txt\n", &["deep/x/y/z.txt"]),
        ("deep/*\n!deep/x\n", &["deep/y.txt"]),
        ("logs/*.log\n!logs/important.log\n", &["logs/1.log"]),
        ("\\#hash\n\\!bang\n", &["!bang", "#hash"]),
        ("*.log   \n", &["logs/1.log", "logs/important.log"]),
        ("a b.txt\n", &["a b.txt"]),
        ("weights[1].bin\n", &[]),
        ("weights\\[1\\].bin\n", &["weights[1].bin"]),
        ("lib/*\n", &["lib/__pycache__/y", "lib/a.py", "lib/a.pyc", "lib/deep/b.pyc"]),
        ("*.PY\n", &[]),
        (".git\n", &[".git/config"]),
        ("B.txt\n!B.txt\nB.txt\n", &["B.txt"]),
        ("?.txt\n", &["B.txt", "deep/x/y/z.txt", "deep/y.txt"]),
        ("[A-C].txt\n", &["B.txt"]),
        ("deep/x/**\n!deep/x/y/z.txt\n", &[]),
        ("\u{feff}*.md\r\n", &["docs/api/ref.md", "docs/index.md", "notes.md"]),
    ];

    #[test]
    fn rules_leave_out_what_the_official_sdk_leaves_out() {
        let left = |rules: &str| -> Vec<&str> {
            let rules = IgnoreRules::parse(rules).unwrap();
            let mut left: Vec<&str> = FILES.into_iter().filter(|path| rules.leaves_out(path)).collect();
            left.sort_unstable();
            left
        };
        for (rules, expected) in CASES {
            assert_eq!(left(rules), expected, "{rules:?}");
        }
        // All but what is taken back. The same source.
        for (rules, kept) in [
            ("*\n!*.py\n", &["train.py", "lib/a.py"][..]),
            ("**\n!train.py\n", &["train.py"]),
            ("/*\n!/lib\n", &["lib/a.py", "lib/a.pyc", "lib/deep/b.pyc", "lib/__pycache__/y"]),
        ] {
            let left = left(rules);
            let mut expected: Vec<&str> = FILES.into_iter().filter(|path| !kept.contains(path)).collect();
            expected.sort_unstable();
            assert_eq!(left, expected, "{rules:?}");
        }
    }

    #[test]
    fn a_folder_is_passed_over_only_if_nothing_in_it_can_be_taken_back() {
        let rules = IgnoreRules::parse("venv/\n*.pyc\n").unwrap();
        assert!(rules.leaves_out_all_below("venv") && !rules.leaves_out_all_below("src"));
        let rules = IgnoreRules::parse("venv/\n!venv/keep\n").unwrap();
        assert!(!rules.leaves_out_all_below("venv"));
        assert!(!IgnoreRules::none().leaves_out("a") && !IgnoreRules::none().leaves_out_all_below("a"));
    }

    #[test]
    fn one_file_of_a_folder_counts() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!IgnoreRules::of(folder.path()).unwrap().leaves_out("a.md"));
        fs::write(folder.path().join(".gitignore"), "*.md\n").unwrap();
        assert!(IgnoreRules::of(folder.path()).unwrap().leaves_out("a.md"));
        fs::write(folder.path().join(".amlignore"), "*.csv\n").unwrap();
        let rules = IgnoreRules::of(folder.path()).unwrap();
        assert!(rules.leaves_out("a.csv") && !rules.leaves_out("a.md"));
        for (content, kind) in [
            (b"\xff\xfe".to_vec(), ErrorKind::InvalidInput),
            (b"a[z-a]\n".to_vec(), ErrorKind::InvalidInput),
            (vec![b'#'; (1 << 20) + 1], ErrorKind::LimitExceeded),
        ] {
            fs::write(folder.path().join(".amlignore"), content).unwrap();
            let error = IgnoreRules::of(folder.path()).unwrap_err();
            assert_eq!(error.kind(), kind);
            assert!(error.context("path").unwrap().ends_with(".amlignore"), "{error}");
        }
        let error = IgnoreRules::parse("a\nb[z-a]\n").unwrap_err();
        assert_eq!((error.context("field"), error.context("line")), (Some("text"), Some("2")));
    }
}
