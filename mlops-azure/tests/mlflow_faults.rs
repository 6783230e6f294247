//! The artifact store and the registry against a server in memory: uploads in parts, servers that refuse, interrupted
//! uploads, and a ledger of many parts.

mod fake;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mlops_azure::mlflow::{Dialect, MlflowArtifactStore, MlflowClient, MlflowRegistry};
use mlops_core::artifact::{ArtifactStore as _, ArtifactStoreExt as _, ByteStream, GcOptions};
use mlops_core::conformance::artifact::ArtifactsUnderTest;
use mlops_core::hash::Digest;
use mlops_core::model::{ModelFormat, Signature};
use mlops_core::problem::Task;
use mlops_core::registry::{
    AliasChange, Direction, Edge, ModelRegistry as _, NewModelVersion, Node, Relation,
};
use mlops_core::time::{ManualClock, SystemClock};
use mlops_core::{ActorId, Alias, ErrorKind, ModelName, PageRequest, Version};

use fake::{Fake, SIGNATURE};

const CREATE: &str = "POST /api/2.0/mlflow-artifacts/mpu/create/";
const COMPLETE: &str = "POST /api/2.0/mlflow-artifacts/mpu/complete/";
const ABORT: &str = "POST /api/2.0/mlflow-artifacts/mpu/abort/";
const PART: &str = "PUT /upload-";

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()))
}

/// A store that uploads what has ten bytes and more in parts of four.
fn in_parts(fake: &Fake) -> MlflowArtifactStore {
    MlflowArtifactStore::new(fake.client(), clock()).with_multipart(10, 4)
}

// The whole suite with every upload in parts, and with none.
fn under_test(parts: bool) -> ArtifactsUnderTest {
    let (fake, clock) = (Fake::default(), clock());
    let store = MlflowArtifactStore::new(fake.client(), clock.clone());
    let store = if parts { store.with_multipart(1, 64 << 10) } else { store };
    ArtifactsUnderTest::new(Arc::new(store)).with_clock(clock).with_damage(move |digest| {
        fake.with(|state| {
            let (_, bytes) =
                state.files.iter_mut().find(|(path, _)| path.ends_with(&content(digest))).unwrap();
            let mut damaged = bytes.to_vec();
            match damaged.first_mut() {
                Some(first) => *first ^= 1,
                None => damaged.push(0),
            }
            *bytes = damaged.into();
        });
    })
}

fn content(digest: &Digest) -> String {
    format!("/{}/content", digest.hex())
}

mlops_core::artifact_store_suite!(whole, under_test(false));
mlops_core::artifact_store_suite!(parts, under_test(true));

#[tokio::test]
async fn large_content_goes_to_the_store_in_parts_and_small_content_through_the_server() {
    let fake = Fake::default();
    let store = in_parts(&fake);
    let large = store.put_bytes(b"0123456789".to_vec()).await.unwrap();
    assert_eq!([CREATE, PART, COMPLETE, ABORT].map(|start| fake.count(start)), [1, 3, 1, 0]);
    assert_eq!(store.get_bytes(&large.digest, 100).await.unwrap(), b"0123456789"[..]);
    let small = store.put_bytes(b"012345678".to_vec()).await.unwrap();
    assert_eq!((fake.count(CREATE), fake.count(PART)), (1, 3));
    assert_eq!(store.get_bytes(&small.digest, 100).await.unwrap(), b"012345678"[..]);
}

/// A file is not held in memory, and arrives all the same: whole, and in parts.
#[tokio::test]
async fn content_larger_than_memory_arrives() {
    let content: Vec<u8> =
        (0..(9_u32 << 20)).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    for parts in [false, true] {
        let fake = Fake::default();
        let store = MlflowArtifactStore::new(fake.client(), clock());
        let store = if parts { store.with_multipart(1 << 20, 2 << 20) } else { store };
        let pieces: Vec<_> = content.chunks(70_001).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
        let blob = store.put(ByteStream::new(futures_util::stream::iter(pieces)), None).await.unwrap();
        assert_eq!(blob.digest, Digest::of(&content));
        assert_eq!(fake.count(PART), if parts { 5 } else { 0 });
        let middle = store.get(&blob.digest, Some(8_000_000..9_000_000)).await.unwrap();
        assert_eq!(middle.collect(1 << 20).await.unwrap(), content[8_000_000..9_000_000]);
    }
}

#[tokio::test]
async fn a_server_that_takes_no_parts_is_asked_once() {
    let fake = Fake::default();
    fake.with(|state| state.refusals.push((CREATE, 501)));
    let store = in_parts(&fake);
    for content in ["0123456789", "abcdefghij"] {
        let blob = store.put_bytes(content).await.unwrap();
        assert_eq!(store.get_bytes(&blob.digest, 100).await.unwrap(), content);
    }
    assert_eq!((fake.count(CREATE), fake.count(PART)), (1, 0));
}

#[tokio::test]
async fn an_upload_whose_part_is_refused_is_called_off_and_shows_no_signature() {
    for (refused, holes, kind) in
        [(Some(("PUT /upload-0/2", 403)), None, ErrorKind::Auth), (None, Some(2), ErrorKind::Protocol)]
    {
        let fake = Fake::default();
        fake.with(|state| {
            state.refusals.extend(refused);
            state.holes.extend(holes);
        });
        let store = in_parts(&fake);
        let error = store.put_bytes(b"0123456789".to_vec()).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(!format!("{error} {error:?}").contains(SIGNATURE), "{error:?}");
        assert_eq!((fake.count(COMPLETE), fake.count(ABORT)), (0, 1));
        assert!(fake.with(|state| state.uploads.is_empty()), "nothing is left in the store");
        assert_eq!(store.head(&Digest::of(b"0123456789")).await.unwrap(), None);
        // Once it goes, it goes.
        fake.with(|state| (state.refusals.clear(), state.holes.clear()));
        store.put_bytes(b"0123456789".to_vec()).await.unwrap();
    }
}

/// What was not put to the end is not there; it is cleared away, but not while its upload may still be under way.
#[tokio::test]
async fn the_remains_of_an_upload_are_no_content_and_go_after_the_grace() {
    let (fake, clock) = (Fake::default(), clock());
    let store = MlflowArtifactStore::new(fake.client(), clock.clone());
    let digest = Digest::of(b"weights");
    let file = format!("mlops/cas/sha256/{}{}", &digest.hex()[..2], content(&digest));
    fake.with(|state| state.files.insert(file.clone(), Bytes::from_static(b"weig")));
    assert_eq!(store.head(&digest).await.unwrap(), None);
    assert_eq!(store.get(&digest, None).await.unwrap_err().kind(), ErrorKind::NotFound);
    let hour = GcOptions::default().with_grace(Duration::from_secs(3600));
    let collect = async || store.collect_garbage(&BTreeSet::new(), &hour).await.unwrap();
    let left = || fake.with(|state| state.files.contains_key(&file));
    for _ in 0..2 {
        let report = collect().await;
        assert_eq!((report.removed.len(), report.in_grace, left()), (0, 0, true));
        clock.advance(Duration::from_secs(1800));
    }
    collect().await;
    assert!(!left(), "an hour after they were found");
    // The upload that comes to its end makes it content, with an age of its own.
    fake.with(|state| state.files.insert(file.clone(), Bytes::from_static(b"weig")));
    collect().await;
    clock.advance(Duration::from_secs(3600));
    let blob = store.put_bytes(b"weights".to_vec()).await.unwrap();
    assert_eq!(collect().await.in_grace, 1);
    assert_eq!(store.get_bytes(&blob.digest, 100).await.unwrap(), b"weights"[..]);
}

/// A mark of a put that a server with a clock ahead made is not taken back by one that is behind.
#[tokio::test]
async fn a_clock_that_is_set_back_makes_nothing_older() {
    let (fake, clock) = (Fake::default(), clock());
    let store = MlflowArtifactStore::new(fake.client(), clock.clone());
    store.put_bytes(b"weights".to_vec()).await.unwrap();
    clock.set("2025-01-01T00:00:00Z".parse().unwrap());
    store.put_bytes(b"weights".to_vec()).await.unwrap();
    clock.set("2026-01-01T00:30:00Z".parse().unwrap());
    let hour = GcOptions::default().with_grace(Duration::from_secs(3600));
    assert_eq!(store.collect_garbage(&BTreeSet::new(), &hour).await.unwrap().in_grace, 1);
}

#[tokio::test]
async fn a_tree_is_known_by_its_mark_and_not_by_its_bytes() {
    let fake = Fake::default();
    let store = MlflowArtifactStore::new(fake.client(), clock());
    let files = [(mlops_core::RelPath::new("f").unwrap(), Bytes::from_static(b"kept"))];
    let (tree, _) = store.put_files(&files).await.unwrap();
    let root = store.put_bytes(b"{\"entries\":[] and so on".to_vec()).await.unwrap();
    let roots = BTreeSet::from([tree.digest, root.digest]);
    let gets = fake.count("GET /api/2.0/mlflow-artifacts/artifacts/");
    let report = store.collect_garbage(&roots, &GcOptions::default()).await.unwrap();
    assert_eq!((report.removed.len(), report.reachable), (0, 3));
    let read = fake.count("GET /api/2.0/mlflow-artifacts/artifacts/") - gets;
    assert_eq!(read, 1, "of the roots only the manifest is read");
}

/// Two clients write over the end of a part of the ledger at once; a third one reads all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_goes_on_in_another_part() {
    let fake = Fake::default();
    let registry = || {
        let clock = Arc::new(SystemClock::new());
        let store = Arc::new(MlflowArtifactStore::new(fake.client(), clock.clone()));
        MlflowRegistry::new(fake.client(), store, clock)
    };
    let node = |number| Node::Model {
        name: ModelName::new("churn").unwrap(),
        version: Version::new(number).unwrap(),
    };
    let count = 2 * MlflowRegistry::PART + 20;
    let writers = (0..2).map(|writer| {
        let client = registry();
        tokio::spawn(async move {
            for i in (0..count).filter(|i| i % 2 == writer) {
                let edge = Edge { from: node(i + 1), to: node(i + 2), relation: Relation::UsedBy };
                client.link(&edge).await.unwrap();
            }
        })
    });
    for writer in futures_util::future::join_all(writers.collect::<Vec<_>>()).await {
        writer.unwrap();
    }
    let graph = registry().lineage(&node(1), Direction::Downstream, u32::MAX).await.unwrap();
    assert_eq!(graph.edges.len() as u64, count);
    let parts = fake.with(|state| state.models.iter().map(|(n, v)| (n.clone(), v.len())).collect::<Vec<_>>());
    let full = usize::try_from(MlflowRegistry::PART).unwrap();
    assert_eq!(parts.len(), 3);
    // One that was written past the end of a part does not count there, and was written again.
    assert!(parts[0].1 >= full && parts[1].1 >= full && parts[2].1 >= 20, "{parts:?}");
}

/// What the documentation says a call costs, counted.
#[tokio::test]
async fn calls_take_as_many_requests_as_is_said() {
    let (fake, clock) = (Fake::default(), Arc::new(SystemClock::new()));
    let store = Arc::new(MlflowArtifactStore::new(fake.client(), clock.clone()));
    let registry = MlflowRegistry::new(fake.client(), store.clone(), clock);
    let churn = ModelName::new("churn").unwrap();
    let actor = ActorId::new("trainer").unwrap();
    let artifact = store.put_bytes("weights").await.unwrap().digest;
    let new = || {
        let format = ModelFormat::new("mlops.linear/v1").unwrap();
        let signature = Signature::new(Task::Regression, Vec::new());
        NewModelVersion::new(churn.clone(), artifact, format, signature, actor.clone())
    };
    registry.register(&new()).await.unwrap();
    let requests = || fake.count("");
    let before = requests();
    let made = registry.register(&new()).await.unwrap();
    assert_eq!(requests() - before, 5);
    let before = requests();
    let alias = Alias::new("candidate").unwrap();
    registry.set_alias(&AliasChange::new(churn.clone(), alias, made.version, actor.clone())).await.unwrap();
    assert_eq!(requests() - before, 4);
    let before = requests();
    assert_eq!(registry.get(&"churn:@candidate".parse().unwrap()).await.unwrap(), made);
    assert_eq!(requests() - before, 1);
    let before = requests();
    store.put_bytes("other weights").await.unwrap();
    assert_eq!(requests() - before, 4);
}

/// Azure Machine Learning has no artifact proxy, and is not asked.
#[tokio::test]
async fn a_server_without_a_proxy_is_unsupported() {
    let fake = Fake::default();
    let builder = MlflowClient::builder("http://mlflow.example").dialect(Dialect::AzureMl);
    let client = builder.transport(Arc::new(fake.clone())).build().unwrap();
    let store = MlflowArtifactStore::new(client, clock());
    let digest = Digest::of(b"weights");
    for error in [
        store.put_bytes("weights").await.unwrap_err(),
        store.head(&digest).await.unwrap_err(),
        store.get(&digest, None).await.unwrap_err(),
        store.collect_garbage(&BTreeSet::new(), &GcOptions::default()).await.unwrap_err(),
    ] {
        assert_eq!(
            (error.kind(), error.context("capability")),
            (ErrorKind::Unsupported, Some("proxied_artifacts"))
        );
    }
    assert_eq!(fake.count(""), 0);
}

#[tokio::test]
async fn an_edited_entry_of_the_ledger_is_found() {
    let fake = Fake::default();
    let registry = || {
        let clock = Arc::new(SystemClock::new());
        let store = Arc::new(MlflowArtifactStore::new(fake.client(), clock.clone()));
        MlflowRegistry::new(fake.client(), store, clock)
    };
    let node = |number| Node::Model {
        name: ModelName::new("churn").unwrap(),
        version: Version::new(number).unwrap(),
    };
    let edge = Edge { from: node(1), to: node(2), relation: Relation::UsedBy };
    registry().link(&edge).await.unwrap();
    for (from, to) in [("churn", "other"), ("mlops.ledger/v1", "mlops.ledger/v2"), ("{", "")] {
        let before = fake.with(|state| {
            let entry = &mut state.models.get_mut("mlops.ledger.1").unwrap()[0];
            let before = entry.clone();
            let tag = &mut entry["tags"][0]["value"];
            *tag = tag.as_str().unwrap().replace(from, to).into();
            before
        });
        let error = registry().lineage(&node(1), Direction::Downstream, 1).await.unwrap_err();
        assert_eq!((error.kind(), error.context("entry")), (ErrorKind::Corrupt, Some("1")), "{from}");
        fake.with(|state| state.models.get_mut("mlops.ledger.1").unwrap()[0] = before);
    }
    assert_eq!(registry().lineage(&node(1), Direction::Downstream, 1).await.unwrap().edges, [edge]);
}

/// An entry of a later release is left alone, and so is everything after it: nobody knows what it means.
#[tokio::test]
async fn a_ledger_of_a_later_release_is_unsupported() {
    let fake = Fake::default();
    let json = r#"{"schema":"mlops.ledger/v9","mark":"m","kind":"moonwalk"}"#;
    let digest = Digest::of(json.as_bytes()).to_string();
    let entry = serde_json::json!({ "version": "1", "tags": [
        { "key": "mlops.entry.000", "value": json }, { "key": "mlops.digest", "value": digest },
    ] });
    fake.with(|state| state.models.insert("mlops.ledger.1".to_owned(), vec![entry]));
    let clock = Arc::new(SystemClock::new());
    let store = Arc::new(MlflowArtifactStore::new(fake.client(), clock.clone()));
    let registry = MlflowRegistry::new(fake.client(), store, clock);
    let error = registry.models(&PageRequest::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.context("schema")), (ErrorKind::Unsupported, Some("mlops.ledger/v9")));
}
