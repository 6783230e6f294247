//! Parts of tests that run in a process of their own: to be killed, to be limited, to be somebody else.
//!
//! Each is a test that does nothing unless another test starts this program again and says so.

use std::io::Write as _;
use std::process::{Child, Command, Output, Stdio};

use super::*;
use crate::artifact::ArtifactStoreExt as _;
use crate::time::SystemClock;

const FOLDER: &str = "MLOPS_TEST_CONTENT_FOLDER";

/// A command that runs one of the tests below on `folder`, through `wrapper`.
pub(super) fn command(test: &str, wrapper: &[&str], folder: &Path) -> Command {
    let exe = std::env::current_exe().unwrap();
    let name = format!("local::artifact::tests::children::{test}");
    let arguments = ["--exact", &name, "--ignored", "--nocapture", "--test-threads=1"];
    let mut command = match wrapper {
        [] => Command::new(exe),
        [program, rest @ ..] => {
            let mut command = Command::new(program);
            command.args(rest).arg(exe);
            command
        }
    };
    command.args(arguments).env(FOLDER, folder).stdin(Stdio::null());
    command
}

/// Runs one of the tests below to its end; what it printed.
pub(super) fn run(test: &str, wrapper: &[&str], folder: &Path) -> String {
    let output = command(test, wrapper, folder).output().unwrap();
    let text = shown(&output);
    assert!(output.status.success(), "{test}: {text}");
    assert!(text.contains("1 passed"), "{test}: {text}");
    text
}

pub(super) fn shown(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Starts one of the tests below and waits until it printed `word`.
pub(super) fn start(test: &str, folder: &Path, word: &str) -> Child {
    let mut child = command(test, &[], folder).stdout(Stdio::piped()).spawn().unwrap();
    let lines = std::io::BufReader::new(child.stdout.take().unwrap());
    assert!(std::io::BufRead::lines(lines).any(|line| line.unwrap().contains(word)), "{test} ended");
    child
}

fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

fn open(folder: &Path) -> LocalArtifactStore {
    LocalArtifactStore::open(&folder.join("cas"), Arc::new(SystemClock::new())).unwrap()
}

/// Prints a line of its own, whatever the test harness printed before.
fn say(text: impl fmt::Display) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{text}").unwrap();
    out.flush().unwrap();
}

/// Stores two files and their tree, and says of each when it was stored.
#[test]
#[ignore = "run by another test, in a process of its own"]
fn stores() {
    let Some(folder) = folder() else { return };
    let store = open(&folder);
    for content in [noise(100), noise(3 << 16)] {
        let blob = now(store.put_bytes(content)).unwrap();
        say(format_args!("stored {}", blob.digest));
    }
    let path = crate::RelPath::new("file").unwrap();
    let (tree, _) = now(store.put_files(&[(path, noise(100).into())])).unwrap();
    say(format_args!("stored {}", tree.digest));
    let report = now(store.collect_garbage(&BTreeSet::from([tree.digest]), &GcOptions::default())).unwrap();
    say(format_args!("collected {}", report.removed.len()));
}

/// Stores twice where the first time fails: a file can be written anew, a folder cannot.
#[test]
#[ignore = "run by another test, in a process of its own"]
fn stores_again_after_a_failure() {
    let Some(folder) = folder() else { return };
    let store = LocalArtifactStore::open(&folder.join("cas"), Arc::new(SystemClock::new()));
    let Ok(store) = store else { return say("opening failed") };
    let put = || now(store.put_bytes(noise(100)));
    let Err(first) = put() else { return say("nothing failed") };
    assert_eq!((first.kind(), first.context("reason")), (ErrorKind::Storage, Some("i/o")), "{first:?}");
    let second = put();
    if first.context("path") == Some("cas/tmp") {
        assert!(second.is_ok(), "{second:?}");
        return say("the file failed");
    }
    assert_eq!(second.unwrap_err().kind(), ErrorKind::Storage, "{first:?}");
    // Opened again, it looks at what is there.
    let again = LocalArtifactStore::open(&folder.join("cas"), Arc::new(SystemClock::new())).unwrap();
    assert!(now(again.put_bytes(noise(100))).is_ok());
    say("the folder failed");
}

/// Runs where few files may be open at once.
#[test]
#[ignore = "run by another test, in a process of its own"]
fn runs_out_of_open_files() {
    let Some(folder) = folder() else { return };
    let store = open(&folder);
    let kept = now(store.put_bytes(noise(100))).unwrap();
    let mut open: Vec<_> =
        std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).take(10_000).collect();
    assert!(open.len() < 10_000, "there is no limit");
    // One by one there are more, until all succeed.
    let mut failed = 0;
    while !open.is_empty() {
        let answers = [
            now(store.put_bytes(noise(200))).map(drop),
            now(store.get(&kept.digest, None)).map(drop),
            now(store.collect_garbage(&BTreeSet::from([kept.digest]), &GcOptions::default())).map(drop),
        ];
        for error in answers.into_iter().filter_map(Result::err) {
            let shown = (error.kind(), error.context("reason"), error.is_retryable());
            assert_eq!(shown, (ErrorKind::Storage, Some("open files"), true), "{error:?}");
            failed += 1;
        }
        assert_eq!(now(store.head(&Digest::of(b"x"))).ok().flatten(), None);
        open.pop();
    }
    assert!(failed >= 3, "{failed}");
    assert!(now(store.put_bytes(noise(200))).is_ok());
    assert!(now(store.verify_all(&BTreeSet::from([kept.digest]))).unwrap().is_sound());
    assert_eq!(now(store.stats()).unwrap().temporary, 0);
    say("as promised");
}

/// Stores the same content as others do, many times.
#[test]
#[ignore = "run by another test, in a process of its own"]
fn stores_the_same() {
    let Some(folder) = folder() else { return };
    let store = open(&folder);
    for _ in 0..20 {
        let blob = now(store.put_bytes(noise(100_000))).unwrap();
        assert_eq!(now(store.get_bytes(&blob.digest, 100_000)).unwrap(), noise(100_000));
    }
}

/// Begins to store and never ends.
#[test]
#[ignore = "run by another test, in a process of its own"]
fn hangs_while_storing() {
    let Some(folder) = folder() else { return };
    let store = open(&folder);
    let mut writer = Writer::new(store.cas, "test").unwrap();
    writer.write(&[noise(1000).into()]).unwrap();
    say("half written");
    loop {
        std::thread::sleep(std::time::Duration::from_secs(60));
    }
}

/// Runs where there is room for three mebibytes only, on files or altogether.
#[test]
#[ignore = "run by another test, in a process of its own"]
fn runs_out_of_space() {
    let Some(folder) = folder() else { return };
    let store = open(&folder);
    let kept = now(store.put_bytes(noise(300_000))).unwrap();
    for _ in 0..3 {
        let error = now(store.put_bytes(noise(8 << 20))).unwrap_err();
        assert_eq!(
            (error.kind(), error.context("reason")),
            (ErrorKind::Storage, Some("no space")),
            "{error:?}"
        );
        let source = std::error::Error::source(&error).unwrap();
        assert!(source.downcast_ref::<std::io::Error>().is_some());
    }
    // Nothing of it stays, and what was there before can be read.
    let stats = now(store.stats()).unwrap();
    assert_eq!((stats.blobs, stats.bytes, stats.temporary), (1, 300_000, 0));
    assert_eq!(now(store.get_bytes(&kept.digest, 300_000)).unwrap(), noise(300_000));
    let after = now(store.put_bytes(noise(300_001))).unwrap();
    let tree = now(store.get_dir(&after.digest, &folder.join("copy")));
    assert_eq!(tree.unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(now(store.verify_all(&BTreeSet::from([kept.digest, after.digest]))).unwrap().is_sound());
    say("as promised");
}

/// Runs as somebody who may read the store but not write to it, and not read one of its files.
#[test]
#[ignore = "run by another test, in a process of its own"]
fn may_only_read() {
    let Some(folder) = folder() else { return };
    let store = open(&folder);
    let (good, hidden) = (Digest::of(&noise(100)), Digest::of(&noise(200)));
    assert_eq!(now(store.get_bytes(&good, 100)).unwrap(), noise(100));
    let denied = |error: Error| {
        assert_eq!(
            (error.kind(), error.context("reason")),
            (ErrorKind::Storage, Some("denied")),
            "{error:?}"
        );
        assert!(!error.to_string().contains(folder.to_str().unwrap()), "{error}");
    };
    denied(now(store.get(&hidden, None)).unwrap_err());
    denied(now(store.put_bytes(noise(300))).unwrap_err());
    denied(now(store.renew(&good)).unwrap_err());
    denied(now(store.collect_garbage(&BTreeSet::new(), &GcOptions::default())).unwrap_err());
    denied(now(store.collect_garbage(&BTreeSet::from([hidden]), &GcOptions::default())).unwrap_err());
    let dry = GcOptions::default().with_dry_run(true);
    assert_eq!(now(store.collect_garbage(&BTreeSet::new(), &dry)).unwrap().removed.len(), 2);
    let report = now(store.verify_all(&BTreeSet::new())).unwrap();
    assert_eq!((report.good, report.damaged.len(), report.damaged[0].kind), (1, 1, ErrorKind::Storage));
    assert_eq!(now(store.stats()).unwrap().blobs, 2);
    say("as promised");
}

/// Stores and reads much, and says how much memory that took at most.
#[test]
#[ignore = "run by another test, in a process of its own"]
fn handles_much() {
    const MUCH: u64 = 256 << 20;
    let Some(folder) = folder() else { return };
    let store = open(&folder);
    let before = peak_memory();
    let piece = bytes::Bytes::from(vec![0_u8; 1 << 20]);
    let body = futures_util::stream::iter((0..MUCH >> 20).map(move |_| Ok(piece.clone())));
    let blob = now(store.put(ByteStream::new(body), None)).unwrap();
    assert_eq!(blob.size, MUCH);
    let mut stream = now(store.get(&blob.digest, None)).unwrap();
    let mut read = 0;
    while let Some(piece) = now(stream.next()) {
        read += piece.unwrap().len() as u64;
    }
    assert_eq!(read, MUCH);
    // The same content from a folder, where it takes no room.
    std::fs::create_dir(folder.join("source")).unwrap();
    std::fs::File::create(folder.join("source/sparse")).unwrap().set_len(MUCH).unwrap();
    let (tree, manifest) = now(store.put_dir(&folder.join("source"))).unwrap();
    assert_eq!(manifest.entries()[0].digest, blob.digest);
    now(store.get_dir(&tree.digest, &folder.join("copy"))).unwrap();
    assert_eq!(std::fs::metadata(folder.join("copy/sparse")).unwrap().len(), MUCH);
    assert!(now(store.verify_all(&BTreeSet::from([tree.digest]))).unwrap().is_sound());
    say(format_args!("took {} KiB more", peak_memory() - before));
}

/// The most memory this process had at once, in KiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
