//! Content that is not what it was.

use std::os::unix::fs::{FileExt as _, symlink};
use std::os::unix::net::UnixListener;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;
use crate::artifact::ArtifactStoreExt as _;

/// Nothing of it is handed out, whole or in part, and the error says what was expected.
async fn is_refused(store: &LocalArtifactStore, digest: &Digest) {
    for range in [None, Some(0..0), Some(0..1)] {
        let error = store.get(digest, range).await.expect_err("damaged content is handed out");
        assert_eq!(error.kind(), ErrorKind::Integrity);
        let expected = error.context("expected").unwrap();
        assert!(digest.to_string().starts_with(expected.trim_end_matches('…')), "{error}");
        assert!(error.context("found").is_some(), "{error}");
    }
}

#[tokio::test]
async fn every_flipped_bit_of_a_small_blob_is_found() {
    let fixture = Fixture::new();
    let content = noise(67);
    let blob = fixture.store.put_bytes(content.clone()).await.unwrap();
    for bit in 0..content.len() * 8 {
        let mut changed = content.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        overwrite(&fixture.path(&blob.digest), &changed);
        is_refused(&fixture.store, &blob.digest).await;
    }
    overwrite(&fixture.path(&blob.digest), &content);
    assert_eq!(fixture.store.get_bytes(&blob.digest, 100).await.unwrap(), content);
}

#[tokio::test]
async fn flipped_bits_of_a_large_blob_are_found() {
    let fixture = Fixture::new();
    let content = noise(3 * read::PIECE + 17);
    let blob = fixture.store.put_bytes(content.clone()).await.unwrap();
    let path = fixture.path(&blob.digest);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let mut random = Random(1);
    let mut places =
        vec![0, read::PIECE - 1, read::PIECE, 3 * read::PIECE - 1, 3 * read::PIECE, content.len() - 1];
    places.extend((0..24).map(|_| random.below(content.len())));
    for at in places {
        file.write_all_at(&[content[at] ^ 1 << random.below(8)], at as u64).unwrap();
        let error = fixture.store.get(&blob.digest, Some(0..1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity, "byte {at}");
        file.write_all_at(&[content[at]], at as u64).unwrap();
    }
    assert_eq!(fixture.store.get_bytes(&blob.digest, content.len()).await.unwrap(), content);
}

#[tokio::test]
async fn shorter_longer_and_swapped_content_is_found_and_repaired() {
    for length in [1, 1000, read::PIECE - 1, read::PIECE, read::PIECE + 1, 2 * read::PIECE] {
        let fixture = Fixture::new();
        let content = noise(length);
        let blob = fixture.store.put_bytes(content.clone()).await.unwrap();
        let longer: Vec<u8> = content.iter().copied().chain([0]).collect();
        let mut other = content.clone();
        other.reverse();
        other[0] ^= 1;
        for bad in [&[], &content[..length / 2], &content[..length - 1], &longer, &other] {
            overwrite(&fixture.path(&blob.digest), bad);
            is_refused(&fixture.store, &blob.digest).await;
            assert_eq!(fixture.store.put_bytes(content.clone()).await.unwrap(), blob);
            assert_eq!(fixture.store.get_bytes(&blob.digest, length).await.unwrap(), content);
        }
        assert_eq!(fixture.store.stats().await.unwrap().temporary, 0);
    }
}

/// Puts something that is no file where content is; each way by its name.
fn in_its_place(what: &str, path: &Path) {
    std::fs::remove_file(path).unwrap();
    match what {
        "a folder" => std::fs::create_dir(path).unwrap(),
        "a FIFO" => mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap(),
        "a socket" => drop(UnixListener::bind(path).unwrap()),
        "a symbolic link" => {
            // Even to the right content: whoever can change where it points can change what is read.
            let target = path.with_extension("target");
            std::fs::write(&target, b"weights").unwrap();
            symlink(target, path).unwrap();
        }
        _ => unreachable!(),
    }
}

#[tokio::test]
async fn what_is_no_file_is_neither_followed_nor_waited_for_nor_collected() {
    for what in ["a folder", "a FIFO", "a socket", "a symbolic link"] {
        let fixture = Fixture::new();
        let store = &fixture.store;
        let blob = store.put_bytes(b"weights".to_vec()).await.unwrap();
        let path = fixture.path(&blob.digest);
        in_its_place(what, &path);
        is_refused(store, &blob.digest).await;
        let error = store.head(&blob.digest).await.unwrap_err();
        assert_eq!((error.kind(), error.context("found")), (ErrorKind::Integrity, Some(what)));
        let entry = Entry { path: crate::RelPath::new("f").unwrap(), digest: blob.digest, size: 7 };
        let tree = store.put_tree(&Manifest::new(vec![entry]).unwrap()).await;
        assert_eq!(tree.unwrap_err().kind(), ErrorKind::Integrity);
        let roots = BTreeSet::from([blob.digest]);
        assert_eq!(
            store.collect_garbage(&roots, &GcOptions::default()).await.unwrap_err().kind(),
            ErrorKind::Integrity
        );
        assert!(
            store.collect_garbage(&BTreeSet::new(), &GcOptions::default()).await.unwrap().removed.is_empty()
        );
        assert!(path.symlink_metadata().is_ok(), "{what} is not ours to remove");
        let report = store.verify_all(&roots).await.unwrap();
        assert_eq!((report.damaged.len(), report.damaged[0].kind), (1, ErrorKind::Integrity));
        // Putting the content again repairs it, and does not write through the link.
        assert_eq!(store.put_bytes(b"weights".to_vec()).await.unwrap(), blob);
        assert!(path.symlink_metadata().unwrap().is_file());
        assert_eq!(&store.get_bytes(&blob.digest, 7).await.unwrap()[..], b"weights");
    }
}

#[tokio::test]
async fn a_folder_with_something_in_it_is_not_removed_for_content() {
    let fixture = Fixture::new();
    let blob = fixture.store.put_bytes(b"weights".to_vec()).await.unwrap();
    let path = fixture.path(&blob.digest);
    in_its_place("a folder", &path);
    std::fs::write(path.join("somebody's"), b"work").unwrap();
    let error = fixture.store.put_bytes(b"weights".to_vec()).await.unwrap_err();
    assert_eq!((error.kind(), error.context("found")), (ErrorKind::Integrity, Some("a folder")));
    assert!(path.join("somebody's").exists());
    assert_eq!(fixture.store.stats().await.unwrap().temporary, 0);
}

#[tokio::test]
async fn a_linked_folder_leads_nowhere() {
    let fixture = Fixture::new();
    let blob = fixture.store.put_bytes(b"weights".to_vec()).await.unwrap();
    let folder = fixture.path(&blob.digest).parent().unwrap().to_owned();
    let outside = fixture.folder.path().join("outside");
    std::fs::rename(&folder, &outside).unwrap();
    symlink(&outside, &folder).unwrap();
    let before = std::fs::read_dir(&outside).unwrap().count();
    for error in [
        fixture.store.get(&blob.digest, None).await.map(drop).unwrap_err(),
        fixture.store.head(&blob.digest).await.map(drop).unwrap_err(),
        fixture.store.put_bytes(b"weights".to_vec()).await.map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
    }
    let report = fixture.store.collect_garbage(&BTreeSet::new(), &GcOptions::default()).await.unwrap();
    assert!(report.removed.is_empty());
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), before);
    let report = fixture.store.verify_all(&BTreeSet::new()).await.unwrap();
    assert_eq!(report.foreign, [format!("sha256/{}", &blob.digest.hex()[..2])]);
}

#[tokio::test]
async fn a_change_while_content_is_read_ends_the_stream_before_the_changed_piece() {
    let content = noise(4 * read::PIECE);
    for (from, to, cut) in
        [(0, content.len(), false), (0, content.len(), true), (5, content.len() - 5, false)]
    {
        let fixture = Fixture::new();
        let blob = fixture.store.put_bytes(content.clone()).await.unwrap();
        let mut stream = fixture.store.get(&blob.digest, Some(from as u64..to as u64)).await.unwrap();
        let first = stream.next().await.unwrap().unwrap();
        assert_eq!(first, content[from..read::PIECE]);
        let path = fixture.path(&blob.digest);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        if cut {
            file.set_len(3 * read::PIECE as u64 - 1).unwrap();
        } else {
            // The last byte of the third piece.
            file.write_all_at(&[content[3 * read::PIECE - 1] ^ 1], 3 * read::PIECE as u64 - 1).unwrap();
        }
        let (rest, error) = drain(stream).await;
        assert_eq!(rest, content[read::PIECE..2 * read::PIECE], "the piece before it is still good");
        assert_eq!(error.unwrap().kind(), ErrorKind::Integrity);
    }
}

#[tokio::test]
async fn every_range_across_pieces_gives_its_bytes() {
    let fixture = Fixture::new();
    let content = noise(3 * read::PIECE + 5);
    let blob = fixture.store.put_bytes(content.clone()).await.unwrap();
    let edges = [
        0,
        1,
        read::PIECE - 1,
        read::PIECE,
        read::PIECE + 1,
        3 * read::PIECE,
        content.len() - 1,
        content.len(),
    ];
    for start in edges {
        for end in edges.into_iter().filter(|end| *end >= start) {
            let stream = fixture.store.get(&blob.digest, Some(start as u64..end as u64)).await.unwrap();
            let (bytes, error) = drain(stream).await;
            assert!(error.is_none() && bytes == content[start..end], "{start}..{end}");
        }
    }
}

#[tokio::test]
async fn everything_is_looked_at_and_counted() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let path = |text| crate::RelPath::new(text).unwrap();
    let files = [
        (path("a"), b"1".to_vec().into()),
        (path("b"), b"22".to_vec().into()),
        (path("c"), noise(2 * read::PIECE).into()),
    ];
    let (tree, manifest) = store.put_files(&files).await.unwrap();
    let roots = BTreeSet::from([tree.digest]);
    let report = store.verify_all(&roots).await.unwrap();
    assert_eq!((report.good, report.bytes), (4, 3 + 2 * read::PIECE as u64 + tree.size));
    assert!(report.is_sound() && report.foreign.is_empty());
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.blobs, stats.bytes, stats.temporary), (4, report.bytes, 0));

    damage(&fixture.path(&manifest.entries()[0].digest));
    std::fs::remove_file(fixture.path(&manifest.entries()[2].digest)).unwrap();
    std::fs::write(fixture.cas().join("sha256/README"), b"?").unwrap();
    std::fs::write(fixture.path(&tree.digest).with_extension("bak"), b"?").unwrap();
    let report = store.verify_all(&roots).await.unwrap();
    assert_eq!(report.damaged.iter().map(|d| d.digest).collect::<Vec<_>>(), [manifest.entries()[0].digest]);
    assert_eq!(report.damaged[0].kind, ErrorKind::Integrity);
    assert_eq!(report.missing, [manifest.entries()[2].digest]);
    assert_eq!((report.good, report.foreign.len(), report.is_sound()), (2, 2, false));
}

#[tokio::test]
async fn a_tree_that_names_what_no_path_may_be_is_corrupt_and_writes_nothing() {
    let fixture = Fixture::new();
    let before = std::fs::read_dir(fixture.folder.path()).unwrap().count();
    for bad in
        ["../escape", "/etc/passwd", "a/../../b", "a\\u0000b", &"x".repeat(300), "", "a//b", "~/x", "C:x"]
    {
        let digest = Digest::of(b"x");
        fixture.store.put_bytes(b"x".to_vec()).await.unwrap();
        let text = format!(
            r#"{{"entries":[{{"digest":"{digest}","path":"{bad}","size":1}}],"schema":"mlops.manifest/v1"}}"#
        );
        let blob = fixture.store.put_bytes(text).await.unwrap();
        assert_eq!(fixture.store.tree(&blob.digest).await.unwrap_err().kind(), ErrorKind::Corrupt, "{bad}");
        let target = fixture.folder.path().join("target");
        let error = fixture.store.get_dir(&blob.digest, &target).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{bad}");
        assert_eq!(std::fs::read_dir(fixture.folder.path()).unwrap().count(), before, "{bad}");
    }
}
