//! Whether the work tree is what was committed: asked of git, without letting the repository run anything.
//!
//! # Why not simply `git status`
//! A repository's own settings name programs that git runs while it looks at files: `core.fsmonitor`, filters, external
//! diffs, helpers that fetch missing objects. A downloaded folder may bring such settings. So git is shown another
//! repository: an empty one of ours, which borrows the index, the objects and the head, and takes over no setting but a few
//! that say how files are written. There git has no program to run, needs no trust in the folder's owner, and writes nothing.
//! In submodules it only reads which commit is checked out.
//!
//! The price: files under a filter (Git LFS) count as changed once their times no longer match the index, and git must
//! answer within a deadline. Rather "dirty" once too often than "clean" once too often.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::code::{CodeVersion, Repository, read_bytes};
use crate::hash::{Digest, Hasher, StreamHasher};

/// How git is asked about the work tree.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::experiment::GitOptions;
/// let patient = GitOptions::default().with_deadline(Duration::from_secs(30));
/// assert!(patient.max_bytes > 0);
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitOptions {
    /// How long git, and reading changed files, may take. Default 5 seconds.
    pub deadline: Duration,
    /// The most bytes of changed and untracked files that are read for the digest. Default 64 MiB.
    pub max_bytes: u64,
}

impl Default for GitOptions {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(5), max_bytes: 64 << 20 }
    }
}

impl GitOptions {
    /// With so long for git and for reading changed files.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// With at most so many bytes read for the digest.
    #[must_use]
    pub fn with_max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = max_bytes;
        self
    }
}

/// What the work tree has beyond the commit.
#[derive(Debug)]
pub(super) struct WorkTree {
    pub(super) dirty: bool,
    pub(super) untracked: u64,
    /// The digest, or why there is none.
    pub(super) diff: Result<Digest, String>,
}

/// The longest answer of git that is read.
const MAX_ANSWER: u64 = 32 << 20;

/// Settings that say how content lies in files, and the values that are taken over.
const HARMLESS: &[&str] = &[
    "autocrlf",
    "eol",
    "filemode",
    "ignorecase",
    "precomposeunicode",
    "protecthfs",
    "protectntfs",
    "symlinks",
];

/// Looks at a work tree; in words why it could not.
pub(super) fn look(
    repository: &Repository,
    code: &CodeVersion,
    options: &GitOptions,
) -> Result<WorkTree, String> {
    let commit = code.commit.as_deref();
    if commit.is_none() && code.branch.is_none() {
        return Err("the commit could not be read".to_owned());
    }
    let deadline = Instant::now().checked_add(options.deadline).ok_or("the deadline is too far away")?;
    let scratch =
        Scratch::new(repository, commit).map_err(|e| format!("no room for git to work in: {}", e.kind()))?;
    let answer = run(scratch.status(repository), deadline)?;
    drop(scratch);
    let changes = parse(&answer).ok_or("git's answer could not be read")?;
    let untracked = changes.values().filter(|change| change.is_untracked).count();
    Ok(WorkTree {
        dirty: changes.len() > untracked,
        untracked: untracked as u64,
        diff: digest(&repository.root, &changes, options.max_bytes, deadline),
    })
}

/// The empty repository that git is shown; removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(repository: &Repository, commit: Option<&str>) -> std::io::Result<Self> {
        let scratch = Self(std::env::temp_dir().join(format!("mlops-git-{}", uuid::Uuid::new_v4())));
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&scratch.0)?;
        for folder in ["refs", "objects", "info"] {
            builder.create(scratch.0.join(folder))?;
        }
        let head = commit.map_or_else(|| "ref: refs/heads/none\n".to_owned(), |commit| format!("{commit}\n"));
        fs::write(scratch.0.join("HEAD"), head)?;
        fs::write(scratch.0.join("config"), config(repository, commit))?;
        if let Some(patterns) = read_bytes(&repository.common.join("info/exclude"), 1 << 20) {
            fs::write(scratch.0.join("info/exclude"), patterns)?;
        }
        Ok(scratch)
    }

    fn status(&self, repository: &Repository) -> Command {
        let mut command = Command::new("git");
        command
            // Not by `current_dir`: where the path names a folder relatively, git itself would be looked for in there.
            .arg("-C")
            .arg(&repository.root)
            .args(["--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"])
            .args(["-c", "core.untrackedCache=false", "status", "--porcelain=v2", "-z", "--no-renames"])
            .args(["--untracked-files=all", "--ignore-submodules=dirty"])
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| is_needed(&name.to_string_lossy())))
            .env("GIT_DIR", &self.0)
            .env("GIT_WORK_TREE", &repository.root)
            .env("GIT_INDEX_FILE", repository.git.join("index"))
            .env("GIT_OBJECT_DIRECTORY", repository.common.join("objects"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", if cfg!(windows) { "NUL" } else { "/dev/null" })
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("HOME", &self.0)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    }
}

/// What a program needs to be found and to start; nothing else of the environment is handed on.
fn is_needed(name: &str) -> bool {
    ["PATH", "SYSTEMROOT", "TMPDIR", "TEMP", "TMP"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now lies in the folder for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The settings of our repository: the object format, and what the other's say of how files are written.
fn config(repository: &Repository, commit: Option<&str>) -> String {
    let mut text = "[core]\n\trepositoryformatversion = 1\n\tbare = false\n".to_owned();
    for setting in repository.settings() {
        let plain = matches!(&*setting.value, "true" | "false" | "input" | "lf" | "crlf" | "native");
        if setting.section == "core" && HARMLESS.contains(&&*setting.key) && plain {
            text += &format!("\t{} = {}\n", setting.key, setting.value);
        }
    }
    if commit.is_some_and(|commit| commit.len() == 64) {
        text += "[extensions]\n\tobjectformat = sha256\n";
    }
    text
}

fn run(mut command: Command, deadline: Instant) -> Result<Vec<u8>, String> {
    let mut child = command.spawn().map_err(|e| format!("git could not be started: {}", e.kind()))?;
    let answer = read_answer(&mut child, deadline);
    let _ = child.kill();
    // Also after a kill: what is not waited for stays as a zombie.
    let status = child.wait().map_err(|e| format!("git could not be waited for: {}", e.kind()));
    let answer = answer?;
    if status?.success() { Ok(answer) } else { Err("git could not read the repository".to_owned()) }
}

/// Everything git says until it has ended.
fn read_answer(child: &mut Child, deadline: Instant) -> Result<Vec<u8>, String> {
    let late = || "git did not answer in time".to_owned();
    let output = child.stdout.take().ok_or("git has no output")?;
    let (sender, receiver) = mpsc::sync_channel(1);
    // A pipe cannot be read with a deadline; the thread ends with the pipe, at the latest when git is killed.
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let done = output.take(MAX_ANSWER + 1).read_to_end(&mut bytes);
        let _ = sender.send(done.map(|_| bytes));
    });
    let left = deadline.saturating_duration_since(Instant::now());
    let bytes = receiver
        .recv_timeout(left)
        .map_err(|_| late())?
        .map_err(|e| format!("git's answer: {}", e.kind()))?;
    if bytes.len() as u64 > MAX_ANSWER {
        return Err("git's answer is too long: there are too many changes".to_owned());
    }
    loop {
        match child.try_wait() {
            Ok(Some(_)) => return Ok(bytes),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
            Ok(None) => return Err(late()),
            Err(e) => return Err(format!("git could not be waited for: {}", e.kind())),
        }
    }
}

/// A path that is not what the commit says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    is_untracked: bool,
    is_submodule: bool,
}

/// Reads what `git status --porcelain=v2 -z` wrote, by path.
fn parse(answer: &[u8]) -> Option<BTreeMap<Vec<u8>, Change>> {
    let mut changes = BTreeMap::new();
    for record in answer.split(|byte| *byte == 0).filter(|record| !record.is_empty()) {
        // The fields before the path: `1 XY sub mH mI mW hH hI path`, `u XY sub m1 m2 m3 mW h1 h2 h3 path`, `? path`.
        let before = match record.first()? {
            b'1' => 8,
            b'u' => 10,
            b'?' => 1,
            b'#' => continue,
            _ => return None,
        };
        let fields: Vec<&[u8]> = record.splitn(before + 1, |byte| *byte == b' ').collect();
        let path = fields.get(before).filter(|path| !path.is_empty())?;
        let is_submodule = before > 1 && fields.get(2)?.first() == Some(&b'S');
        changes.insert(path.to_vec(), Change { is_untracked: before == 1, is_submodule });
    }
    Some(changes)
}

/// The digest of what lies at the changed paths now.
fn digest(
    root: &Path,
    changes: &BTreeMap<Vec<u8>, Change>,
    max_bytes: u64,
    deadline: Instant,
) -> Result<Digest, String> {
    let mut hasher = Hasher::new("mlops.worktree/v1");
    let mut left = max_bytes;
    for (bytes, change) in changes {
        let path = path(bytes).ok_or("a path leads out of the work tree")?;
        let (sort, content) = state(&root.join(&path), change, &mut left, deadline)?;
        hasher.push(bytes);
        hasher.push(if change.is_untracked { b"untracked" } else { b"tracked" });
        hasher.push(sort.as_bytes());
        hasher.push(&content);
    }
    Ok(hasher.finish())
}

/// A path in the work tree, as git names it.
fn path(bytes: &[u8]) -> Option<PathBuf> {
    #[cfg(unix)]
    let path = PathBuf::from(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(bytes));
    #[cfg(not(unix))]
    let path = PathBuf::from(std::str::from_utf8(bytes).ok()?);
    path.components().all(|part| matches!(part, Component::Normal(_))).then_some(path)
}

/// What lies at a path: its sort, and its content, target or commit.
fn state(
    path: &Path,
    change: &Change,
    left: &mut u64,
    deadline: Instant,
) -> Result<(&'static str, Vec<u8>), String> {
    if change.is_submodule {
        let commit = Repository::find(path).and_then(|inner| inner.code_version().commit);
        return Ok(("submodule", commit.unwrap_or_default().into_bytes()));
    }
    let unreadable = |e: std::io::Error| format!("a changed file cannot be read: {}", e.kind());
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(("absent", Vec::new()));
        }
        Err(e) => return Err(unreadable(e)),
    };
    if metadata.is_symlink() {
        let target = fs::read_link(path).map_err(unreadable)?;
        return Ok(("link", target.into_os_string().into_encoded_bytes()));
    }
    if !metadata.is_file() {
        return Ok((if metadata.is_dir() { "folder" } else { "other" }, Vec::new()));
    }
    let sort = if is_executable(&metadata) { "program" } else { "file" };
    content(path, left, deadline).map(|digest| (sort, digest.as_bytes().to_vec()))
}

#[cfg(unix)]
fn is_executable(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o100 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &fs::Metadata) -> bool {
    false
}

fn content(path: &Path, left: &mut u64, deadline: Instant) -> Result<Digest, String> {
    let unreadable = |e: std::io::Error| format!("a changed file cannot be read: {}", e.kind());
    let mut file = File::open(path).map_err(unreadable)?;
    let mut hasher = StreamHasher::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        if Instant::now() > deadline {
            return Err("reading the changed files took too long".to_owned());
        }
        let read = file.read(&mut buffer).map_err(unreadable)?;
        if read == 0 {
            return Ok(hasher.finish());
        }
        *left = left.checked_sub(read as u64).ok_or("the changed files are too large to be read")?;
        hasher.update(&buffer[..read]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    #[test]
    fn the_answer_is_read_and_what_is_no_answer_is_refused() {
        let answer = b"1 .M N... 100644 100644 100644 aaaa bbbb a b.txt\0? new\nline\0\
            u UU N... 100644 100644 100644 100644 a b c both\x001 .M SC.. 160000 160000 160000 a b sub\0# branch\0";
        let changes = parse(answer).unwrap();
        let found: Vec<(&[u8], bool, bool)> =
            changes.iter().map(|(path, c)| (&path[..], c.is_untracked, c.is_submodule)).collect();
        assert_eq!(
            found,
            [
                (&b"a b.txt"[..], false, false),
                (b"both", false, false),
                (b"new\nline", true, false),
                (b"sub", false, true)
            ]
        );
        assert_eq!(parse(b""), Some(BTreeMap::new()));
        for bad in [&b"1 .M N..."[..], b"2 R. x", b"? ", b"fatal: no", b"1 a b c d e f g "] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn paths_that_lead_out_are_not_read() {
        for bad in [&b"../x"[..], b"/etc/passwd", b"a/../../x"] {
            assert_eq!(path(bad), None);
        }
        assert!(path(b"a/b c").is_some());
    }

    /// A work tree with one commit, made by git itself; `None`, and a word, where there is no git.
    fn committed() -> Option<TempDir> {
        let folder = tempfile::tempdir().unwrap();
        if git(folder.path(), &["init", "-q", "-b", "main"]).is_none() {
            println!("skipped: there is no git");
            return None;
        }
        write(folder.path(), "a.txt", "one\n");
        write(folder.path(), "src/b.txt", "two\n");
        write(folder.path(), ".gitignore", "ignored\n");
        commit(folder.path());
        Some(folder)
    }

    fn git(dir: &Path, arguments: &[&str]) -> Option<()> {
        let status = Command::new("git")
            .args(["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "protocol.file.allow=always"])
            .args(["-c", "commit.gpgsign=false"])
            .args(arguments)
            .current_dir(dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.ok()?.success().then_some(())
    }

    fn commit(dir: &Path) {
        git(dir, &["add", "-A"]).unwrap();
        git(dir, &["commit", "-q", "-m", "m"]).unwrap();
    }

    fn write(dir: &Path, path: &str, text: &str) {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Generous: the machine may be busy.
    fn options() -> GitOptions {
        GitOptions { deadline: Duration::from_secs(120), ..GitOptions::default() }
    }

    fn look_at(dir: &Path) -> Result<WorkTree, String> {
        let repository = Repository::find(dir).unwrap();
        look(&repository, &repository.code_version(), &options())
    }

    fn seen(dir: &Path) -> (bool, u64, Digest) {
        let tree = look_at(dir).unwrap();
        (tree.dirty, tree.untracked, tree.diff.unwrap())
    }

    #[test]
    fn a_clean_tree_is_clean_and_every_change_has_its_own_digest() {
        let Some(folder) = committed() else { return };
        let dir = folder.path();
        let (dirty, untracked, clean) = seen(dir);
        assert_eq!((dirty, untracked), (false, 0));
        write(dir, "ignored", "x");
        // Touched, but the same.
        write(dir, "a.txt", "one\n");
        assert_eq!(seen(&dir.join("src")), (false, 0, clean));

        let mut digests = std::collections::HashSet::from([clean]);
        let mut expect = |dirty: bool, untracked: u64| {
            let found = seen(dir);
            assert_eq!((found.0, found.1), (dirty, untracked));
            assert!(digests.insert(found.2));
            found.2
        };
        write(dir, "new ü\n.txt", "x");
        expect(false, 1);
        write(dir, "new ü\n.txt", "y");
        expect(false, 1);
        fs::rename(dir.join("new ü\n.txt"), dir.join("newer")).unwrap();
        expect(false, 1);
        fs::remove_file(dir.join("newer")).unwrap();
        write(dir, "a.txt", "two\n");
        let changed = expect(true, 0);
        // Staging changes nothing that runs.
        git(dir, &["add", "-A"]).unwrap();
        assert_eq!(seen(dir), (true, 0, changed));
        write(dir, "a.txt", "one\n");
        git(dir, &["add", "-A"]).unwrap();
        assert_eq!(seen(dir), (false, 0, clean));
        fs::remove_file(dir.join("src/b.txt")).unwrap();
        expect(true, 0);
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("a.txt", dir.join("src/b.txt")).unwrap();
            expect(true, 0);
            fs::remove_file(dir.join("src/b.txt")).unwrap();
            write(dir, "src/b.txt", "two\n");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(dir.join("src/b.txt"), mode).unwrap();
            expect(true, 0);
        }
    }

    #[test]
    fn a_tree_without_commits_and_a_linked_one_are_looked_at() {
        let Some(folder) = committed() else { return };
        let linked = tempfile::tempdir().unwrap();
        let at = linked.path().join("side");
        git(folder.path(), &["worktree", "add", "-q", at.to_str().unwrap()]).unwrap();
        write(folder.path(), "a.txt", "changed only here\n");
        assert!(seen(folder.path()).0 && !seen(&at).0);

        let unborn = tempfile::tempdir().unwrap();
        git(unborn.path(), &["init", "-q"]).unwrap();
        write(unborn.path(), "x", "x");
        let (dirty, untracked, _) = seen(unborn.path());
        assert_eq!((dirty, untracked), (false, 1));
        git(unborn.path(), &["add", "-A"]).unwrap();
        assert!(seen(unborn.path()).0);
    }

    #[test]
    fn of_a_submodule_the_commit_counts() {
        let (Some(folder), Some(inner)) = (committed(), committed()) else { return };
        let url = inner.path().to_str().unwrap();
        git(folder.path(), &["submodule", "add", "-q", url, "sub"]).unwrap();
        commit(folder.path());
        let clean = seen(folder.path());
        assert!(!clean.0);
        let sub = folder.path().join("sub");
        write(&sub, "a.txt", "changed\n");
        assert_eq!(seen(folder.path()), clean);
        commit(&sub);
        let moved = seen(folder.path());
        assert!(moved.0 && moved.2 != clean.2);
    }

    #[test]
    fn what_is_too_large_or_too_slow_is_said_and_not_awaited() {
        let Some(folder) = committed() else { return };
        write(folder.path(), "large", &"x".repeat(2_000));
        let repository = Repository::find(folder.path()).unwrap();
        let code = repository.code_version();
        let tree = look(&repository, &code, &GitOptions { max_bytes: 1_999, ..options() }).unwrap();
        assert_eq!(
            (tree.untracked, tree.diff.unwrap_err().as_str()),
            (1, "the changed files are too large to be read")
        );
        assert!(
            look(&repository, &code, &GitOptions { max_bytes: 2_000, ..options() }).unwrap().diff.is_ok()
        );
        let late = look(&repository, &code, &GitOptions { deadline: Duration::ZERO, ..options() });
        assert_eq!(late.unwrap_err(), "git did not answer in time");
        let unknown = CodeVersion::default();
        assert_eq!(look(&repository, &unknown, &options()).unwrap_err(), "the commit could not be read");
        let gone = CodeVersion { commit: Some("0".repeat(40)), ..CodeVersion::default() };
        assert_eq!(look(&repository, &gone, &options()).unwrap_err(), "git could not read the repository");
    }

    /// Everything a repository can name to be run while somebody looks at it.
    #[cfg(unix)]
    #[test]
    fn nothing_that_the_repository_brings_is_run_and_nothing_in_it_changes() {
        let (Some(folder), Some(inner)) = (committed(), committed()) else { return };
        let dir = folder.path();
        git(dir, &["submodule", "add", "-q", inner.path().to_str().unwrap(), "sub"]).unwrap();
        let outside = tempfile::tempdir().unwrap();
        let (program, trace) = (outside.path().join("program"), outside.path().join("ran"));
        fs::write(&program, format!("#!/bin/sh\necho \"$0 $*\" >> '{}'\ncat\n", trace.display())).unwrap();
        let executable = || std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&program, executable()).unwrap();
        let program = program.to_str().unwrap();
        write(dir, ".gitattributes", "*.txt filter=evil diff=evil merge=evil\n");
        write(dir, ".git/info/attributes", "*.txt filter=evil diff=evil\n");
        commit(dir);
        let included = outside.path().join("included");
        fs::write(
            &included,
            format!("[core]\n\tfsmonitor = {program}\n[filter \"evil\"]\n\tclean = {program}\n"),
        )
        .unwrap();
        for git_dir in [".git", ".git/modules/sub"] {
            let config = dir.join(git_dir).join("config");
            let hostile = format!(
                "[core]\n\tfsmonitor = {program}\n\thooksPath = {hooks}\n\tpager = {program}\n\tsshCommand = {program}\n\
                 \tgitProxy = {program}\n\teditor = {program}\n\
                 [filter \"evil\"]\n\tclean = {program}\n\tsmudge = {program}\n\tprocess = {program}\n\trequired = true\n\
                 [diff]\n\texternal = {program}\n[diff \"evil\"]\n\tcommand = {program}\n\ttextconv = {program}\n\
                 [alias]\n\tstatus = !{program}\n[include]\n\tpath = {included}\n\
                 [remote \"origin\"]\n\turl = ext::{program}\n\tpromisor = true\n\tpartialclonefilter = blob:none\n",
                hooks = outside.path().display(),
                included = included.display(),
            );
            let before = fs::read_to_string(&config).unwrap();
            fs::write(&config, before + &hostile).unwrap();
        }
        for hook in ["post-index-change", "fsmonitor-watchman", "query-watchman", "pre-commit"] {
            fs::copy(program, outside.path().join(hook)).unwrap();
            fs::copy(program, dir.join(".git/hooks").join(hook)).unwrap();
        }
        // A `git` in the folder itself.
        fs::copy(program, dir.join("git")).unwrap();
        write(dir, "a.txt", "changed\n");
        write(dir, "sub/a.txt", "changed\n");
        let index = fs::read(dir.join(".git/index")).unwrap();
        let (dirty, untracked, _) = seen(dir);
        assert_eq!((dirty, untracked), (true, 1));
        assert_eq!(fs::read_to_string(&trace).unwrap_or_default(), "");
        assert_eq!(fs::read(dir.join(".git/index")).unwrap(), index);
        // The trap works: git on its own steps into it.
        let _ = git(dir, &["status"]);
        assert!(trace.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_of_another_owner_is_looked_at_without_trusting_it() {
        let Some(folder) = committed() else { return };
        write(folder.path(), "a.txt", "changed\n");
        let git_dir = folder.path().join(".git");
        for path in [folder.path(), &git_dir] {
            if std::os::unix::fs::chown(path, Some(65_534), None).is_err() {
                return println!("skipped: only root may give files away");
            }
        }
        assert!(git(folder.path(), &["status"]).is_none(), "git refuses dubious ownership");
        assert!(seen(folder.path()).0);
    }
}
