//! Disks that are full, folders that cannot be written, processes that die at any moment, clocks that are wrong.

use std::process::Command;
use std::time::Duration;

use super::*;
use crate::artifact::ArtifactStoreExt as _;

fn is_there(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|path| path.join(program).is_file())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

#[test]
fn files_are_read_only_and_what_is_being_written_is_private() {
    let fixture = Fixture::new();
    let blob = now(fixture.store.put_bytes(b"weights".to_vec())).unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&fixture.path(&blob.digest)), 0o444);
    assert_eq!(mode(&fixture.cas().join("tmp")), 0o700);
}

#[test]
fn a_full_disk_stores_nothing_and_loses_nothing() {
    if !is_root() || !is_there("unshare") || !is_there("mount") {
        return skipped("mounting a small file system needs root");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let mount = "mount -t tmpfs -o size=3m none \"$0\" || exit 77; exec \"$@\"";
    let output =
        children::command("runs_out_of_space", &["unshare", "-m", "sh", "-c", mount, path], folder.path())
            .output();
    let output = output.unwrap();
    let text = children::shown(&output);
    if !output.status.success() && !text.contains("running 1 test") {
        return skipped("a small file system cannot be mounted here");
    }
    assert!(text.contains("as promised"), "{text}");
}

#[test]
fn a_file_that_may_not_grow_stores_nothing_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // The signal that would end the process is ignored, so that the write fails; 4096 blocks are at most four mebibytes.
    let limit = "trap '' XFSZ; ulimit -f 4096; exec \"$0\" \"$@\"";
    let text = children::run("runs_out_of_space", &["sh", "-c", limit], folder.path());
    assert!(text.contains("as promised"), "{text}");
}

#[test]
fn a_store_that_can_only_be_read_is_read() {
    if !is_root() || !is_there("setpriv") {
        return skipped("becoming somebody else needs root and setpriv");
    }
    let fixture = Fixture::new();
    now(fixture.store.put_bytes(noise(100))).unwrap();
    let hidden = now(fixture.store.put_bytes(noise(200))).unwrap();
    let set =
        |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    set(&fixture.path(&hidden.digest), 0o000);
    set(fixture.folder.path(), 0o755);
    set(&fixture.cas().join("tmp"), 0o755);
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let exe = std::env::current_exe().unwrap();
    let may_start = Command::new(nobody[0]).args(&nobody[1..]).arg(exe).arg("--list").output();
    if !may_start.is_ok_and(|output| output.status.success()) {
        return skipped("nobody may not start this program");
    }
    let text = children::run("may_only_read", &nobody, fixture.folder.path());
    assert!(text.contains("as promised"), "{text}");
}

#[test]
fn memory_stays_bounded_whatever_the_size() {
    if !Path::new("/proc/self/status").exists() {
        return skipped("the memory of a process cannot be read here");
    }
    let folder = tempfile::tempdir().unwrap();
    let text = children::run("handles_much", &[], folder.path());
    let took = text.lines().find_map(|line| line.strip_prefix("took ")?.strip_suffix(" KiB more"));
    let took: u64 = took.unwrap().parse().unwrap();
    println!("256 MiB stored and read four times took {took} KiB");
    assert!(took < 32 << 10, "{took} KiB");
}

/// Kills a process that stores at each of its system calls that change something, and looks at what it left.
#[test]
fn a_process_killed_at_any_change_leaves_what_it_acknowledged_and_nothing_half() {
    if !is_there("strace") {
        return skipped("needs strace");
    }
    let mut points = 0;
    let calls = [
        "mkdirat,?mkdir",
        "write,pwrite64",
        "fchmod",
        "utimensat",
        "fsync",
        "flock",
        "renameat,?renameat2",
        "unlinkat",
    ];
    for calls in calls {
        for nth in 1..200 {
            let folder = tempfile::tempdir().unwrap();
            let traced = format!("trace={calls}");
            let inject = format!("inject={calls}:signal=KILL:when={nth}");
            let trace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &traced, "-e", &inject];
            let output = children::command("stores", &trace, folder.path()).output().unwrap();
            let text = children::shown(&output);
            if text.contains("ptrace") {
                return skipped("strace may not trace here");
            }
            check(folder.path(), &text, &inject);
            if output.status.success() {
                break;
            }
            points += 1;
        }
    }
    println!("killed at {points} points");
    assert!(points > 30, "{points}");
}

/// Fails each of these calls of a process that stores, and looks at what it left.
#[test]
fn a_call_that_fails_loses_nothing_that_was_acknowledged() {
    if !is_there("strace") {
        return skipped("needs strace");
    }
    let mut points = 0;
    for (calls, errno) in
        [("fsync", "EIO"), ("renameat,?renameat2", "ENOSPC"), ("mkdirat", "EDQUOT"), ("fchmod", "EPERM")]
    {
        for nth in 1..200 {
            let folder = tempfile::tempdir().unwrap();
            let traced = format!("trace={calls}");
            let inject = format!("inject={calls}:error={errno}:when={nth}");
            let trace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &traced, "-e", &inject];
            let output = children::command("stores", &trace, folder.path()).output().unwrap();
            let text = children::shown(&output);
            if text.contains("ptrace") {
                return skipped("strace may not trace here");
            }
            check(folder.path(), &text, &inject);
            if output.status.success() {
                break;
            }
            assert!(text.contains("kind: Storage"), "{inject}: {text}");
            points += 1;
        }
    }
    println!("failed at {points} points");
    assert!(points > 10, "{points}");
}

#[test]
fn a_failed_fsync_is_not_tried_again_into_a_success() {
    if !is_there("strace") {
        return skipped("needs strace");
    }
    let (mut files, mut folders) = (0, 0);
    for nth in 1..50 {
        let folder = tempfile::tempdir().unwrap();
        let inject = format!("inject=fsync:error=EIO:when={nth}");
        let trace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "-e", &inject];
        let output =
            children::command("stores_again_after_a_failure", &trace, folder.path()).output().unwrap();
        let text = children::shown(&output);
        if text.contains("ptrace") {
            return skipped("strace may not trace here");
        }
        assert!(output.status.success(), "{inject}: {text}");
        files += usize::from(text.contains("the file failed"));
        folders += usize::from(text.contains("the folder failed"));
        if text.contains("nothing failed") {
            break;
        }
    }
    assert!(files == 1 && folders >= 2, "{files} {folders}");
}

#[test]
fn running_out_of_open_files_is_said_and_passes() {
    let folder = tempfile::tempdir().unwrap();
    let text = children::run(
        "runs_out_of_open_files",
        &["sh", "-c", "ulimit -n 40; exec \"$0\" \"$@\""],
        folder.path(),
    );
    assert!(text.contains("as promised"), "{text}");
}

#[test]
fn a_lock_that_is_interrupted_is_waited_for_again() {
    if !is_there("strace") {
        return skipped("needs strace");
    }
    let folder = tempfile::tempdir().unwrap();
    let trace = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=flock",
        "-e",
        "inject=flock:error=EINTR:when=1+2",
    ];
    let output = children::command("stores", &trace, folder.path()).output().unwrap();
    let text = children::shown(&output);
    if text.contains("ptrace") {
        return skipped("strace may not trace here");
    }
    assert!(output.status.success(), "{text}");
}

/// What was acknowledged is there and good until it is collected, and opening leaves nothing unfinished.
fn check(folder: &Path, said: &str, when: &str) {
    let clock = Arc::new(crate::time::SystemClock::new());
    let store = LocalArtifactStore::open(&folder.join("cas"), clock).unwrap();
    let stored: Vec<Digest> =
        said.lines().filter_map(|line| line.trim().strip_prefix("stored ")?.parse().ok()).collect();
    // The collection at the end keeps the tree and its file.
    let roots = match stored.as_slice() {
        [_, _, tree] => BTreeSet::from([*tree]),
        some => some.iter().copied().collect(),
    };
    let report = now(store.verify_all(&roots)).unwrap();
    assert!(report.is_sound() && report.foreign.is_empty(), "{when}: {report:?}");
    assert_eq!(now(store.stats()).unwrap().temporary, 0, "{when}");
    // It goes on as if nothing had been.
    let blob = now(store.put_bytes(noise(100))).unwrap();
    assert_eq!(now(store.get_bytes(&blob.digest, 100)).unwrap(), noise(100), "{when}");
}

/// The bytes are durable before the name is, and the name before the answer.
#[test]
fn bytes_are_durable_before_their_name_and_the_name_before_the_answer() {
    if !is_there("strace") {
        return skipped("needs strace");
    }
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let trace = [
        "strace",
        "-f",
        "-y",
        "-qq",
        "-o",
        log.to_str().unwrap(),
        "-e",
        "trace=fsync,renameat,?renameat2,write",
    ];
    let output = children::command("stores", &trace, folder.path()).output().unwrap();
    if !output.status.success() {
        return skipped("strace may not trace here");
    }
    let log = std::fs::read_to_string(log).unwrap();
    let mut events = Vec::new();
    for line in log.lines() {
        let event = match line {
            line if line.contains("fsync(") && line.contains("/cas/tmp/") => "bytes",
            line if line.contains("renameat") => "name",
            line if line.contains("fsync(") && line.contains("/cas/sha256>") => "name above",
            line if line.contains("fsync(") && line.contains("/cas/sha256/") => "name durable",
            line if line.contains("stored sha256") => "answer",
            _ => continue,
        };
        events.push(event);
    }
    let whole = ["bytes", "name", "name durable", "name above", "answer"];
    assert_eq!(events[..5], whole, "{events:?}");
    assert_eq!(events[5..10], whole, "{events:?}");
    // The file of the tree is there already: its name is made durable all the same, and again before the tree.
    assert_eq!(
        events[10..17],
        ["name durable", "name durable", "bytes", "name", "name durable", "name above", "answer"]
    );
}

#[tokio::test]
async fn a_clock_set_back_makes_nothing_old() {
    let fixture = Fixture::new();
    let hour = GcOptions::default().with_grace(Duration::from_secs(3600));
    let now = Clock::now(&*fixture.clock);
    let blob = fixture.store.put_bytes(b"weights".to_vec()).await.unwrap();
    fixture.clock.set("1970-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(fixture.store.collect_garbage(&BTreeSet::new(), &hour).await.unwrap().in_grace, 1);
    // Put again by a clock that is wrong: another process with the right one still finds it young.
    fixture.store.put_bytes(b"weights".to_vec()).await.unwrap();
    fixture.clock.set(now + Duration::from_secs(3599));
    assert_eq!(fixture.store.collect_garbage(&BTreeSet::new(), &hour).await.unwrap().in_grace, 1);
    fixture.clock.set(now + Duration::from_secs(3600));
    assert_eq!(fixture.store.collect_garbage(&BTreeSet::new(), &hour).await.unwrap().removed, [blob]);
}

#[test]
fn age_is_known_to_the_next_process_and_by_any_runtime_or_none() {
    let fixture = Fixture::new();
    let blob = now(fixture.store.put_bytes(b"weights".to_vec())).unwrap();
    fixture.clock.advance(Duration::from_secs(60));
    let again = LocalArtifactStore::open(&fixture.cas(), fixture.clock.clone()).unwrap();
    let grace = |seconds| GcOptions::default().with_grace(Duration::from_secs(seconds));
    assert_eq!(now(again.collect_garbage(&BTreeSet::new(), &grace(61))).unwrap().in_grace, 1);
    assert_eq!(now(again.renew(&blob.digest)).unwrap(), Some(blob));
    assert_eq!(now(again.collect_garbage(&BTreeSet::new(), &grace(60))).unwrap().in_grace, 1);
    fixture.clock.advance(Duration::from_secs(60));
    assert_eq!(now(again.collect_garbage(&BTreeSet::new(), &grace(60))).unwrap().removed, [blob]);
}

#[test]
fn a_folder_that_was_removed_or_is_a_file_is_a_typed_error() {
    let fixture = Fixture::new();
    let blob = now(fixture.store.put_bytes(b"weights".to_vec())).unwrap();
    let moved = fixture.folder.path().join("moved");
    std::fs::rename(fixture.cas(), &moved).unwrap();
    assert_eq!(now(fixture.store.head(&blob.digest)).unwrap(), Some(blob), "it is held open, wherever it is");
    std::fs::remove_dir_all(&moved).unwrap();
    assert_eq!(now(fixture.store.put_bytes(b"other".to_vec())).unwrap_err().kind(), ErrorKind::Storage);
    assert_eq!(now(fixture.store.get(&blob.digest, None)).unwrap_err().kind(), ErrorKind::NotFound);
    std::fs::write(fixture.cas(), b"a file").unwrap();
    let error = LocalArtifactStore::open(&fixture.cas(), fixture.clock.clone()).unwrap_err();
    assert_eq!((error.kind(), error.context("path")), (ErrorKind::Storage, Some("cas")));
}
