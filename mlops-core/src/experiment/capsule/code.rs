//! The version of the code, read from git's own files.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::hash::Digest;

/// The version of the code that ran.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeVersion {
    /// The git commit, as hexadecimal digits.
    pub commit: Option<String>,
    /// The git branch; `None` when the head is detached.
    pub branch: Option<String>,
    /// Whether tracked files differed from the commit; `None` when that was not looked at.
    pub dirty: Option<bool>,
    /// The digest of what the work tree has beyond the commit: the paths of changed and of untracked files (ignored ones
    /// aside), and their content. Equal for equal work trees of one commit; `None` when that was not looked at.
    #[serde(default)]
    pub diff: Option<Digest>,
    /// How many files were neither tracked nor ignored; `None` when that was not looked at.
    #[serde(default)]
    pub untracked: Option<u64>,
    /// Where the code comes from: the URL of the remote `origin`, else of the first; without credentials and query.
    #[serde(default)]
    pub repository: Option<String>,
}

impl CodeVersion {
    /// With this commit.
    #[must_use]
    pub fn with_commit(mut self, commit: impl Into<String>) -> Self {
        self.commit = Some(commit.into());
        self
    }

    /// With this branch.
    #[must_use]
    pub fn with_branch(mut self, branch: impl Into<String>) -> Self {
        self.branch = Some(branch.into());
        self
    }

    /// With changes that are not committed, or without.
    #[must_use]
    pub fn with_dirty(mut self, dirty: impl Into<Option<bool>>) -> Self {
        self.dirty = dirty.into();
        self
    }

    /// With the digest of these changes.
    #[must_use]
    pub fn with_diff(mut self, diff: impl Into<Option<Digest>>) -> Self {
        self.diff = diff.into();
        self
    }

    /// With so many untracked files.
    #[must_use]
    pub fn with_untracked(mut self, untracked: impl Into<Option<u64>>) -> Self {
        self.untracked = untracked.into();
        self
    }

    /// From this repository.
    #[must_use]
    pub fn with_repository(mut self, repository: impl Into<String>) -> Self {
        self.repository = Some(repository.into());
        self
    }

    /// Reads commit, branch and repository of the git work tree that holds `dir`, from git's own files: no process is started, no
    /// hook runs. Everything is `None` where there is no work tree or it cannot be read: a run must not fail for that.
    ///
    /// ```
    /// use mlops_core::experiment::CodeVersion;
    /// let code = CodeVersion::discover(std::path::Path::new("."));
    /// assert!(code.commit.is_none_or(|c| c.bytes().all(|b| b.is_ascii_hexdigit())));
    /// ```
    pub fn discover(dir: &Path) -> Self {
        Repository::find(dir).map(|repository| repository.code_version()).unwrap_or_default()
    }
}

/// Where a work tree and the files of its repository lie.
#[derive(Debug)]
pub(super) struct Repository {
    /// The root of the work tree.
    pub(super) root: PathBuf,
    /// What belongs to this work tree: its head and its index.
    pub(super) git: PathBuf,
    /// What linked work trees share: branches, objects and settings. Usually the same folder.
    pub(super) common: PathBuf,
}

/// The longest text of one line that is read: a head, a pointer.
const MAX_LINE: u64 = 4_096;

/// The longest list of packed branches, and the longest settings, that are read.
const MAX_FILE: u64 = 64 << 20;

impl Repository {
    /// The repository whose work tree holds `dir`.
    pub(super) fn find(dir: &Path) -> Option<Self> {
        let start = fs::canonicalize(dir).ok()?;
        let root = start.ancestors().find(|d| d.join(".git").exists())?.to_owned();
        let git = match root.join(".git") {
            folder if folder.is_dir() => folder,
            pointer => root.join(read_line(&pointer)?.strip_prefix("gitdir: ")?),
        };
        // Branches of a linked work tree live in the main one.
        let common = read_line(&git.join("commondir")).map_or_else(|| git.clone(), |path| git.join(path));
        Some(Self { root, git, common })
    }

    pub(super) fn code_version(&self) -> CodeVersion {
        let mut code = CodeVersion { repository: self.url(), ..CodeVersion::default() };
        let Some(head) = read_line(&self.git.join("HEAD")) else { return code };
        let Some(reference) = head.strip_prefix("ref: ") else {
            code.commit = hexadecimal(head);
            return code;
        };
        let safe = !reference.split('/').any(|part| matches!(part, "" | "." | ".."))
            && !reference.chars().any(char::is_control);
        if safe {
            let loose = read_line(&self.common.join(reference));
            code.commit = loose.or_else(|| self.packed(reference)).and_then(hexadecimal);
            // Where branches lie in a table, the file names one that cannot be.
            let branch = reference.strip_prefix("refs/heads/").filter(|name| *name != ".invalid");
            code.branch = branch.map(str::to_owned);
        }
        code
    }

    fn packed(&self, reference: &str) -> Option<String> {
        let text = read_text(&self.common.join("packed-refs"), MAX_FILE)?;
        text.lines().find_map(|line| {
            let (commit, name) = line.split_once(' ')?;
            (name == reference).then(|| commit.to_owned())
        })
    }

    /// The repository's own settings; files that it includes are not read.
    pub(super) fn settings(&self) -> Vec<Setting> {
        read_text(&self.common.join("config"), MAX_FILE).map(|text| settings(&text)).unwrap_or_default()
    }

    fn url(&self) -> Option<String> {
        let settings = self.settings();
        let mut urls = settings.iter().filter(|s| s.section == "remote" && s.key == "url");
        let origin = urls.clone().find(|s| s.subsection == "origin");
        without_credentials(&origin.or_else(|| urls.next())?.value)
    }
}

/// Reads a regular file of at most `limit` bytes; what is not one could block for ever.
pub(super) fn read_bytes(path: &Path, limit: u64) -> Option<Vec<u8>> {
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(limit + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= limit).then_some(bytes)
}

pub(super) fn read_text(path: &Path, limit: u64) -> Option<String> {
    String::from_utf8(read_bytes(path, limit)?).ok()
}

fn read_line(path: &Path) -> Option<String> {
    read_text(path, MAX_LINE).map(|text| text.trim_end().to_owned())
}

fn hexadecimal(text: String) -> Option<String> {
    (matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())).then_some(text)
}

/// One setting of git's: `section.subsection.key = value`, section and key in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) section: String,
    pub(super) subsection: String,
    pub(super) key: String,
    pub(super) value: String,
}

/// Reads git's settings as far as they stand on one line each, which is how git writes them.
fn settings(text: &str) -> Vec<Setting> {
    let (mut section, mut subsection) = (String::new(), String::new());
    let mut all = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            let (name, quoted) = header.split_once('"').unwrap_or((header, ""));
            section = name.trim().to_ascii_lowercase();
            subsection = quoted.trim_end().trim_end_matches('"').replace("\\\"", "\"").replace("\\\\", "\\");
        } else if let Some((key, value)) = line.split_once('=')
            && !line.starts_with(['#', ';'])
        {
            let key = key.trim().to_ascii_lowercase();
            all.push(Setting {
                section: section.clone(),
                subsection: subsection.clone(),
                key,
                value: unquoted(value),
            });
        }
    }
    all
}

/// A value without its quotes and without the comment behind it.
fn unquoted(value: &str) -> String {
    let (mut out, mut quoted, mut escaped) = (String::new(), false, false);
    for c in value.trim().chars() {
        match c {
            _ if escaped => {
                out.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '#' | ';' if !quoted => break,
            _ => out.push(c),
        }
    }
    out.trim_end().to_owned()
}

/// A remote's URL without user, password, query and fragment; `None` for what could still hide some.
fn without_credentials(url: &str) -> Option<String> {
    const MAX: usize = 2_048;
    let url = url.split(['?', '#']).next().unwrap_or_default().trim();
    if url.is_empty() || url.len() > MAX || url.chars().any(char::is_control) {
        return None;
    }
    if let Some((scheme, rest)) = url.split_once("://") {
        let (authority, path) = rest.split_once('/').map_or((rest, None), |(a, p)| (a, Some(p)));
        let host = authority.rsplit('@').next().unwrap_or_default();
        let port = host.rsplit(']').next().and_then(|rest| rest.split_once(':')).map(|(_, port)| port);
        // What follows a colon and is no port was a password with a slash in it.
        let plain = scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
            && port.is_none_or(|port| port.bytes().all(|b| b.is_ascii_digit()));
        return plain.then(|| match path {
            Some(path) => format!("{scheme}://{host}/{path}"),
            None => format!("{scheme}://{host}"),
        });
    }
    // `helper::address` hands anything to a program.
    if url.contains("::") {
        return None;
    }
    // `user@host:path`, or a path.
    let (host, path) = url.split_once(':').map_or((url, None), |(host, path)| (host, Some(path)));
    match path {
        Some(path) if !host.contains('/') => {
            Some(format!("{}:{path}", host.rsplit('@').next().unwrap_or_default()))
        }
        _ => Some(url.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn work_tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
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
            let root = work_tree(&files);
            let code = CodeVersion::discover(root.path());
            assert_eq!((code.commit.as_deref(), code.branch.as_deref()), (Some(COMMIT), branch), "{name}");
        }
    }

    #[test]
    fn a_submodule_and_a_repository_without_commits_are_read() {
        let submodule = work_tree(&[
            (".git/HEAD", "ref: refs/heads/main\n"),
            ("sub/.git", "gitdir: ../.git/modules/sub\n"),
            (".git/modules/sub/HEAD", COMMIT),
        ]);
        let code = CodeVersion::discover(&submodule.path().join("sub"));
        assert_eq!((code.commit.as_deref(), code.branch), (Some(COMMIT), None));
        let unborn = CodeVersion::discover(submodule.path());
        assert_eq!((unborn.commit, unborn.branch.as_deref()), (None, Some("main")));
    }

    #[test]
    fn a_head_that_points_outside_is_not_followed() {
        let long = "a".repeat(5_000);
        for head in [
            "ref: refs/../../secret\n",
            "ref: refs/heads/a\u{1b}b",
            &format!("ref: refs/heads/{long}"),
            "HEAD",
        ] {
            let root = work_tree(&[(".git/HEAD", head), ("secret", COMMIT)]);
            assert_eq!(CodeVersion::discover(root.path()), CodeVersion::default(), "{head:?}");
        }
    }

    #[test]
    fn the_repository_is_named_without_credentials() {
        for (url, expected) in [
            ("https://github.com/owner/repo.git", Some("https://github.com/owner/repo.git")),
            ("https://user:hunter2@github.com/owner/repo", Some("https://github.com/owner/repo")),
            ("https://hunter2@github.com:8443/owner/repo", Some("https://github.com:8443/owner/repo")),
            ("https://u:hun@ter2@host/repo", Some("https://host/repo")),
            ("https://user:hun/ter2@host/repo", None),
            ("https://host/repo?sig=hunter2", Some("https://host/repo")),
            ("https://host/@scope/repo#hunter2", Some("https://host/@scope/repo")),
            ("ssh://git:hunter2@[::1]:22/repo", Some("ssh://[::1]:22/repo")),
            ("git@github.com:owner/repo.git", Some("github.com:owner/repo.git")),
            ("hunter2@host:repo", Some("host:repo")),
            ("/srv/git/repo@2:x.git", Some("/srv/git/repo@2:x.git")),
            ("ext::sh -c hunter2", None),
            ("https://host/a\u{7}b", None),
            ("", None),
        ] {
            let config = format!("[core]\n\tbare = false\n[remote \"origin\"]\n\turl = \"{url}\"\n");
            let root = work_tree(&[(".git/HEAD", COMMIT), (".git/config", &config)]);
            let found = CodeVersion::discover(root.path()).repository;
            assert_eq!(found.as_deref(), expected, "{url}");
            assert!(!found.unwrap_or_default().contains("hunter2"));
        }
        assert_eq!(without_credentials(&format!("https://host/{}", "x".repeat(3_000))), None);
    }

    #[test]
    fn settings_are_read_as_git_writes_them() {
        let text = "; comment\n[core]\n\tfileMode = true # really\n[Remote \"a\\\"b\"]\n\tURL = \"x;y\" ; z\n\tno-value\n[remote \"origin\"]\nurl=o\n";
        let found: Vec<String> = settings(text)
            .into_iter()
            .map(|s| format!("{}|{}|{}|{}", s.section, s.subsection, s.key, s.value))
            .collect();
        assert_eq!(found, ["core||filemode|true", "remote|a\"b|url|x;y", "remote|origin|url|o"]);
    }
}
