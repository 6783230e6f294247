//! Many at once: threads, processes, collectors, and callers who stop waiting.

use std::sync::Barrier;
use std::time::Duration;

use super::*;
use crate::artifact::ArtifactStoreExt as _;
use crate::time::SystemClock;

#[test]
fn eight_threads_and_eight_processes_that_store_the_same_make_one_blob() {
    let folder = tempfile::tempdir().unwrap();
    let processes: Vec<_> = (0..8)
        .map(|_| {
            children::command("stores_the_same", &[], folder.path())
                .stdout(std::process::Stdio::piped())
                .spawn()
        })
        .collect();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                // Each opens the store of its own, while it is being made.
                let store =
                    LocalArtifactStore::open(&folder.path().join("cas"), Arc::new(SystemClock::new()))
                        .unwrap();
                for _ in 0..20 {
                    let blob = now(store.put_bytes(noise(100_000))).unwrap();
                    assert_eq!(now(store.get_bytes(&blob.digest, 100_000)).unwrap(), noise(100_000));
                }
            });
        }
    });
    for process in processes {
        let output = process.unwrap().wait_with_output().unwrap();
        assert!(output.status.success(), "{}", children::shown(&output));
    }
    let store = LocalArtifactStore::open(&folder.path().join("cas"), Arc::new(SystemClock::new())).unwrap();
    let stats = now(store.stats()).unwrap();
    assert_eq!((stats.blobs, stats.bytes, stats.temporary), (1, 100_000, 0));
    assert!(now(store.verify_all(&BTreeSet::from([Digest::of(&noise(100_000))]))).unwrap().is_sound());
}

/// Old content is put again, renewed or put into a tree at the moment at which it is collected: whoever is told that it is
/// there can read it.
#[test]
fn content_that_is_put_while_it_is_collected_is_there() {
    let fixture = Fixture::new();
    let hour = GcOptions::default().with_grace(Duration::from_secs(3600));
    let (mut collected, mut kept) = (0, 0);
    for round in 0..300 {
        let content = format!("content {}", round % 3).into_bytes();
        let blob = now(fixture.store.put_bytes(content.clone())).unwrap();
        fixture.clock.advance(Duration::from_secs(7200));
        // A handle of its own for each, as another process would have.
        let open = || LocalArtifactStore::open(&fixture.cas(), fixture.clock.clone()).unwrap();
        let (one, two, start) = (open(), open(), Barrier::new(2));
        let (acknowledged, removed) = std::thread::scope(|scope| {
            let putter = scope.spawn(|| {
                start.wait();
                match round % 3 {
                    0 => now(one.put_bytes(content.clone())).is_ok(),
                    1 => now(one.renew(&blob.digest)).unwrap().is_some(),
                    _ => {
                        let path = crate::RelPath::new("f").unwrap();
                        let entry = Entry { path, digest: blob.digest, size: blob.size };
                        match now(one.put_tree(&Manifest::new(vec![entry]).unwrap())) {
                            Ok(_) => true,
                            Err(error) if error.kind() == ErrorKind::NotFound => false,
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                }
            });
            let collector = scope.spawn(|| {
                start.wait();
                now(two.collect_garbage(&BTreeSet::new(), &hour)).unwrap().removed
            });
            (putter.join().unwrap(), collector.join().unwrap())
        });
        collected += removed.len();
        if acknowledged {
            assert_eq!(now(fixture.store.get_bytes(&blob.digest, 100)).unwrap(), content, "round {round}");
            kept += 1;
        }
    }
    println!("{kept} kept, {collected} collected");
    assert!(collected > 0);
}

#[test]
fn two_collectors_report_each_blob_once() {
    let fixture = Fixture::new();
    let blobs: BTreeSet<_> =
        (0..200_u32).map(|i| now(fixture.store.put_bytes(i.to_string())).unwrap().digest).collect();
    let start = Barrier::new(4);
    let removed: Vec<_> = std::thread::scope(|scope| {
        let collect = || {
            start.wait();
            now(fixture.store.collect_garbage(&BTreeSet::new(), &GcOptions::default())).unwrap().removed
        };
        let collectors: Vec<_> = (0..4).map(|_| scope.spawn(collect)).collect();
        collectors
            .into_iter()
            .flat_map(|collector| collector.join().unwrap())
            .map(|blob| blob.digest)
            .collect()
    });
    assert_eq!(removed.len(), 200);
    assert_eq!(removed.into_iter().collect::<BTreeSet<_>>(), blobs);
}

#[test]
fn files_of_killed_processes_are_removed_and_those_of_living_ones_stay() {
    let folder = tempfile::tempdir().unwrap();
    let open = || LocalArtifactStore::open(&folder.path().join("cas"), Arc::new(SystemClock::new())).unwrap();
    let mut alive = children::start("hangs_while_storing", folder.path(), "half written");
    let mut dead = children::start("hangs_while_storing", folder.path(), "half written");
    let store = open();
    assert_eq!(now(store.stats()).unwrap().temporary, 2);
    dead.kill().unwrap();
    dead.wait().unwrap();
    assert_eq!(now(open().stats()).unwrap().temporary, 1, "only that of the living one stays");
    alive.kill().unwrap();
    alive.wait().unwrap();
    // A store that stays open cleans up when it collects.
    now(store.collect_garbage(&BTreeSet::new(), &GcOptions::default())).unwrap();
    assert_eq!(now(store.stats()).unwrap(), ContentStats::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_stops_waiting_leaves_nothing_behind() {
    let fixture = Fixture::new();
    for pieces in 0..6 {
        let body = futures_util::stream::iter((0..pieces).map(|_| Ok(bytes::Bytes::from(noise(700_000)))))
            .chain(futures_util::stream::pending());
        let put = fixture.store.put(ByteStream::new(body), None);
        assert!(tokio::time::timeout(Duration::from_millis(30), put).await.is_err());
    }
    // What was begun on another thread ends there.
    for _ in 0..1_500 {
        if fixture.store.stats().await.unwrap() == ContentStats::default() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{:?}", fixture.store.stats().await);
}
