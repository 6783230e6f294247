//! The artifact store against real MLflow servers, which `.ci/mlflow` starts: the public suite on both.

mod servers;

use std::sync::Arc;

use bytes::Bytes;
use mlops_core::artifact::{ArtifactStore as _, ByteStream};
use mlops_core::conformance::artifact::ArtifactsUnderTest;
use mlops_core::hash::Digest;
use mlops_core::time::ManualClock;

use servers::server;

fn fresh(line: u8) -> Option<ArtifactsUnderTest> {
    let server = server(line)?;
    let clock = Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
    let under = ArtifactsUnderTest::new(Arc::new(server.store(clock.clone()))).with_clock(clock);
    Some(match server.is_local() {
        true => under.with_damage(move |digest| server.damage(digest)),
        false => under,
    })
}

macro_rules! fresh {
    ($line:literal) => {
        match fresh($line) {
            Some(under) => under,
            None => return,
        }
    };
}

mlops_core::artifact_store_suite!(mlflow2, fresh!(2));
mlops_core::artifact_store_suite!(mlflow3, fresh!(3));

/// More than is held in memory on the way: it goes up and comes down as a stream, by way of a temporary file.
async fn streams(line: u8) {
    let Some(server) = server(line) else { return };
    let store = server.store(Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap())));
    let content: Vec<u8> =
        (0..(24_u32 << 20) + 5).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let pieces: Vec<_> = content.chunks(1_000_003).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
    let blob = store.put(ByteStream::new(futures_util::stream::iter(pieces)), None).await.unwrap();
    assert_eq!((blob.digest, blob.size), (Digest::of(&content), content.len() as u64));
    let all = store.get(&blob.digest, None).await.unwrap().collect(32 << 20).await.unwrap();
    assert!(all == content);
    let (from, to) = (9_999_999, 20_000_001);
    let part = store.get(&blob.digest, Some(from as u64..to as u64)).await.unwrap();
    assert!(part.collect(32 << 20).await.unwrap() == content[from..to]);
    if let Some(file) = server.file(&blob.digest) {
        assert_eq!(std::fs::metadata(&file).unwrap().len(), blob.size, "it lies where the server keeps it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_larger_than_memory_streams_through_mlflow2() {
    streams(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_larger_than_memory_streams_through_mlflow3() {
    streams(3).await;
}
