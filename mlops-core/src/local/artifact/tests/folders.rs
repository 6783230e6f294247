//! Folders that become trees, and trees that become folders.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;
use crate::RelPath;
use crate::artifact::ArtifactStoreExt as _;

/// A source folder with two good files.
fn source(fixture: &Fixture) -> PathBuf {
    let dir = fixture.folder.path().join("source");
    std::fs::create_dir_all(dir.join("model/deep")).unwrap();
    std::fs::write(dir.join("model/weights"), noise(2 * read::PIECE + 3)).unwrap();
    std::fs::write(dir.join("model/deep/größe 模型"), b"").unwrap();
    std::fs::write(dir.join("readme"), b"hello").unwrap();
    dir
}

#[tokio::test]
async fn a_folder_goes_in_and_comes_out_as_it_was() {
    let fixture = Fixture::new();
    let dir = source(&fixture);
    std::fs::create_dir(dir.join("empty")).unwrap();
    std::fs::hard_link(dir.join("readme"), dir.join("same")).unwrap();
    let (tree, manifest) = fixture.store.put_dir(&dir).await.unwrap();
    let paths: Vec<_> = manifest.entries().iter().map(|e| e.path.as_str()).collect();
    assert_eq!(paths, ["model/deep/größe 模型", "model/weights", "readme", "same"]);
    assert_eq!(fixture.store.tree(&tree.digest).await.unwrap(), manifest);

    let copy = fixture.folder.path().join("copy");
    fixture.store.get_dir(&tree.digest, &copy).await.unwrap();
    for entry in manifest.entries() {
        assert_eq!(Digest::of(&std::fs::read(copy.join(entry.path.as_str())).unwrap()), entry.digest);
    }
    assert!(!copy.join("empty").exists(), "empty folders are not kept");
    // Times, modes and the order of reading do not matter.
    assert_eq!(fixture.store.put_dir(&copy).await.unwrap().0, tree);
    let left: Vec<_> =
        std::fs::read_dir(fixture.folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[tokio::test]
async fn what_is_neither_file_nor_folder_is_refused_at_once_and_named() {
    for what in
        ["a symbolic link", "a cycle", "a dangling link", "a linked folder", "a FIFO", "a socket", "a device"]
    {
        let fixture = Fixture::new();
        let dir = source(&fixture);
        let bad = dir.join("model/bad");
        match what {
            "a symbolic link" => symlink("/etc/passwd", &bad).unwrap(),
            "a cycle" => symlink("..", &bad).unwrap(),
            "a dangling link" => symlink("nowhere", &bad).unwrap(),
            "a linked folder" => symlink("/etc", &bad).unwrap(),
            "a FIFO" => mknodat(CWD, &bad, FileType::Fifo, Mode::RWXU, 0).unwrap(),
            "a socket" => drop(UnixListener::bind(&bad).unwrap()),
            _ => {
                let zero = rustix::fs::makedev(1, 5);
                if mknodat(CWD, &bad, FileType::CharacterDevice, Mode::RWXU, zero).is_err() {
                    skipped("devices need root to make");
                    continue;
                }
            }
        }
        let error = fixture.store.put_dir(&dir).await.unwrap_err();
        assert_eq!((error.kind(), error.context("field")), (ErrorKind::InvalidInput, Some("dir")), "{what}");
        assert_eq!(error.context("path"), Some("model/bad"), "{what}");
        assert_eq!(fixture.store.stats().await.unwrap(), ContentStats::default(), "nothing was read: {what}");
    }
}

#[tokio::test]
async fn names_that_no_tree_can_have_are_refused() {
    let long = "x".repeat(255);
    for bad in
        [&b"not \xff text"[..], b"a\nb", b"a:b", b"trailing.", b"con", b"back\\slash", b"%2e%2e", b"~x"]
    {
        let fixture = Fixture::new();
        let dir = source(&fixture);
        std::fs::write(dir.join("model").join(OsStr::from_bytes(bad)), b"x").unwrap();
        let error = fixture.store.put_dir(&dir).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.context("folder")),
            (ErrorKind::InvalidInput, Some("model")),
            "{error}"
        );
        assert!(error.context("name").is_some() && !error.to_string().contains('\n'), "{error}");
    }
    for (name, folders) in [("deep", 65), (long.as_str(), 4)] {
        let fixture = Fixture::new();
        let mut dir = source(&fixture);
        for _ in 0..folders {
            dir.push(if folders == 65 { "d" } else { name });
        }
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(name), b"x").unwrap();
        let error = fixture.store.put_dir(&fixture.folder.path().join("source")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
    }
    let fixture = Fixture::new();
    let dir = source(&fixture);
    std::fs::write(dir.join("README"), b"twin of readme").unwrap();
    assert_eq!(fixture.store.put_dir(&dir).await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn what_is_no_folder_of_files_is_refused() {
    let fixture = Fixture::new();
    let dir = source(&fixture);
    let empty = fixture.folder.path().join("empty");
    std::fs::create_dir_all(empty.join("inner")).unwrap();
    for (bad, kind) in [
        (empty, ErrorKind::InvalidInput),
        (dir.join("readme"), ErrorKind::InvalidInput),
        (dir.join("missing"), ErrorKind::NotFound),
        (PathBuf::from("a\0b"), ErrorKind::Storage),
    ] {
        let error = fixture.store.put_dir(&bad).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    let folder = crate::disk::folder::Folder::open(&dir).unwrap();
    assert_eq!(import::scan(&folder, 3).unwrap().len(), 3);
    let error = import::scan(&folder, 2).unwrap_err();
    assert_eq!((error.kind(), error.context("limit")), (ErrorKind::LimitExceeded, Some("2")));
}

/// Between looking and opening the file becomes a link to something outside, and back; ten thousand times nothing of the
/// outside is opened.
#[test]
fn a_file_swapped_for_a_link_is_never_followed() {
    let fixture = Fixture::new();
    let dir = source(&fixture);
    let outside = fixture.folder.path().join("outside");
    std::fs::write(&outside, b"canary").unwrap();
    let (target, spare) = (dir.join("readme"), fixture.folder.path().join("spare"));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                symlink(&outside, &spare).unwrap();
                std::fs::rename(&spare, &target).unwrap();
                std::fs::write(&spare, b"hello").unwrap();
                std::fs::rename(&spare, &target).unwrap();
            }
        });
        let folder = crate::disk::folder::Folder::open(&dir).unwrap();
        let path = RelPath::new("readme").unwrap();
        let (mut opened, mut refused) = (0, 0);
        for _ in 0..10_000 {
            let stat = folder.stat("readme").unwrap();
            match import::open(&folder, &path, &stat) {
                Ok(mut file) => {
                    let mut text = String::new();
                    std::io::Read::read_to_string(&mut file, &mut text).unwrap();
                    assert!(!text.contains("canary"), "the link was followed");
                    opened += 1;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Integrity, "{error}");
                    refused += 1;
                }
            }
        }
        println!("{opened} opened, {refused} refused");
        for _ in 0..20 {
            if let Err(error) = now(fixture.store.put_dir(&dir)) {
                assert!(matches!(error.kind(), ErrorKind::Integrity | ErrorKind::InvalidInput), "{error}");
            }
        }
        done.store(true, Ordering::Relaxed);
        swapper.join().unwrap();
    });
    assert_eq!(now(fixture.store.head(&Digest::of(b"canary"))).unwrap(), None);
}

#[test]
fn a_file_that_changes_while_it_is_read_is_not_stored_as_a_tree() {
    let fixture = Fixture::new();
    let dir = fixture.folder.path().join("source");
    std::fs::create_dir(&dir).unwrap();
    // Long enough to be changed while it is read.
    let content = noise(8 << 20);
    for change in ["grows", "shrinks", "is overwritten", "goes", "gets a neighbour"] {
        std::fs::write(dir.join("file"), &content).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let file = std::fs::File::options().write(true).open(dir.join("file")).unwrap();
                for round in 0_u64.. {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    match change {
                        "grows" => file.set_len((8 << 20) + round).unwrap(),
                        "shrinks" => file.set_len((8_u64 << 20).saturating_sub(round + 1)).unwrap(),
                        "is overwritten" => {
                            std::os::unix::fs::FileExt::write_all_at(
                                &file,
                                &round.to_ne_bytes(),
                                round % 4096,
                            )
                            .unwrap();
                        }
                        "goes" => drop(std::fs::remove_file(dir.join("file"))),
                        _ => {
                            std::fs::write(dir.join(format!("file-{round}")), b"").unwrap();
                        }
                    }
                    std::thread::sleep(std::time::Duration::from_micros(200));
                }
            });
            let error = now(fixture.store.put_dir(&dir)).map(drop);
            done.store(true, Ordering::Relaxed);
            let error = error.expect_err(change);
            // The file that went before it was first seen leaves an empty folder.
            let expected = if change == "goes" {
                [ErrorKind::Integrity, ErrorKind::InvalidInput]
            } else {
                [ErrorKind::Integrity; 2]
            };
            assert!(expected.contains(&error.kind()), "{change}: {error}");
        });
        std::fs::remove_dir_all(&dir).unwrap();
        std::fs::create_dir(&dir).unwrap();
    }
    let report = now(fixture.store.verify_all(&BTreeSet::new())).unwrap();
    assert!(report.is_sound());
    let stored = std::fs::read_dir(fixture.cas().join("sha256"))
        .unwrap()
        .flat_map(|d| std::fs::read_dir(d.unwrap().path()).unwrap());
    let manifests = stored
        .filter(|file| std::fs::read(file.as_ref().unwrap().path()).unwrap().starts_with(b"{\"entries\""));
    assert_eq!(manifests.count(), 0);
    assert_eq!(now(fixture.store.stats()).unwrap().temporary, 0);
}

#[tokio::test]
async fn a_target_that_exists_is_left_alone() {
    let fixture = Fixture::new();
    let (tree, _) = fixture.store.put_dir(&source(&fixture)).await.unwrap();
    let at = |name: &str| fixture.folder.path().join(name);
    std::fs::write(at("file"), b"mine").unwrap();
    std::fs::create_dir(at("empty")).unwrap();
    std::fs::create_dir(at("full")).unwrap();
    std::fs::write(at("full/file"), b"mine").unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    symlink("empty", at("link")).unwrap();
    let names = || -> BTreeSet<_> {
        std::fs::read_dir(fixture.folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect()
    };
    let before = names();
    for target in ["file", "empty", "full", "dangling", "link"] {
        let error = fixture.store.get_dir(&tree.digest, &at(target)).await.unwrap_err();
        assert_eq!((error.kind(), error.context("target")), (ErrorKind::AlreadyExists, Some(target)));
    }
    assert_eq!(std::fs::read(at("file")).unwrap(), b"mine");
    assert!(std::fs::read_dir(at("empty")).unwrap().next().is_none() && !at("nowhere").exists());
    for (target, kind) in [
        (at("missing/target"), ErrorKind::NotFound),
        (at("file/target"), ErrorKind::Storage),
        (PathBuf::from("/"), ErrorKind::InvalidInput),
        (at(".."), ErrorKind::InvalidInput),
    ] {
        let error = fixture.store.get_dir(&tree.digest, &target).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    assert_eq!(names(), before, "nothing is left beside");
}

#[tokio::test]
async fn a_tree_with_a_damaged_or_missing_file_makes_no_folder() {
    let fixture = Fixture::new();
    let (tree, manifest) = fixture.store.put_dir(&source(&fixture)).await.unwrap();
    let weights = manifest.get(&RelPath::new("model/weights").unwrap()).unwrap();
    let before = std::fs::read_dir(fixture.folder.path()).unwrap().count();
    let target = fixture.folder.path().join("target");
    damage(&fixture.path(&weights.digest));
    let error = fixture.store.get_dir(&tree.digest, &target).await.unwrap_err();
    assert_eq!((error.kind(), error.context("path")), (ErrorKind::Integrity, Some("model/weights")));
    std::fs::remove_file(fixture.path(&weights.digest)).unwrap();
    let error = fixture.store.get_dir(&tree.digest, &target).await.unwrap_err();
    assert_eq!((error.kind(), error.context("path")), (ErrorKind::NotFound, Some("model/weights")));
    assert_eq!(
        fixture.store.get_dir(&Digest::of(b"no"), &target).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let blob = fixture.store.put_bytes(b"no tree".to_vec()).await.unwrap();
    assert_eq!(fixture.store.get_dir(&blob.digest, &target).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(std::fs::read_dir(fixture.folder.path()).unwrap().count(), before);
}
