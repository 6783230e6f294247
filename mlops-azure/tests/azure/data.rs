//! Data assets behind core's trait: the whole suite, races between clients, faults, assets of other clients, and what it costs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use mlops_azure::data::AzureDataAssets;
use mlops_azure::fake::FakeAzure;
use mlops_azure::wire::{DataType, DataVersion, Resource, TextMap};
use mlops_core::artifact::ArtifactStoreExt as _;
use mlops_core::conformance::data::DataAssetsUnderTest;
use mlops_core::data::{AssetKind, DataAssetStore as _, DataRef, DataVerification, Location, NewDataAsset};
use mlops_core::hash::Digest;
use mlops_core::memory::MemoryArtifactStore;
use mlops_core::time::SystemClock;
use mlops_core::{ActorId, AssetName, ErrorKind, IdempotencyKey, PageRequest, RelPath, Version, VersionSpec};

use crate::judged;

const OP: &str = "test";

fn assets(azure: &FakeAzure, content: &Arc<MemoryArtifactStore>) -> AzureDataAssets {
    let clock = Arc::new(SystemClock::new());
    AzureDataAssets::new(azure.arm(), &azure.workspace(), content.clone(), clock)
}

fn fresh() -> DataAssetsUnderTest {
    let content = Arc::new(MemoryArtifactStore::default());
    let damaged = content.clone();
    let store = assets(&judged(), &content);
    DataAssetsUnderTest::new(Arc::new(store), content).with_damage(move |digest| damaged.damage(digest))
}

mlops_core::data_asset_store_suite!(suite, fresh());

fn name(text: &str) -> AssetName {
    AssetName::new(text).unwrap()
}

fn actor() -> ActorId {
    ActorId::new("tester").unwrap()
}

fn version(number: u64) -> Version {
    Version::new(number).unwrap()
}

fn exact(asset: &str, number: u64) -> DataRef {
    DataRef { name: name(asset), version: version(number).into() }
}

async fn new_asset(content: &MemoryArtifactStore, asset: &str, text: &str) -> NewDataAsset {
    let file = (RelPath::new("rows.csv").unwrap(), text.to_owned().into());
    let digest = content.put_files(&[file]).await.unwrap().0.digest;
    NewDataAsset::stored(name(asset), AssetKind::Folder, digest, actor())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_that_register_at_once_get_distinct_versions_and_none_is_lost() {
    const CLIENTS: u64 = 24;
    let (azure, content) = (judged(), Arc::new(MemoryArtifactStore::default()));
    let new = new_asset(&content, "crowded", "the same content").await;
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|i| {
            let store = assets(&azure, &content);
            let new = new.clone().with_key(IdempotencyKey::generate()).with_rows(i);
            tokio::spawn(async move { store.register(&new).await.unwrap() })
        })
        .collect();
    let mut made = Vec::new();
    for task in tasks {
        made.push(task.await.unwrap());
    }
    let versions: BTreeSet<u64> = made.iter().map(|made| made.version.get()).collect();
    assert_eq!(versions, (1..=CLIENTS).collect());
    let reader = assets(&azure, &content);
    for made in &made {
        assert_eq!(reader.get(&made.reference()).await.unwrap(), *made, "none is another's");
    }
    assert_eq!(azure.refused(), Vec::<String>::new());
    println!("{CLIENTS} clients at once took {} requests", azure.count());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_that_make_the_same_call_make_one_version() {
    let (azure, content) = (judged(), Arc::new(MemoryArtifactStore::default()));
    let new = new_asset(&content, "patients", "content").await;
    let other = assets(&azure, &content);
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let (store, new) = (assets(&azure, &content), new.clone());
            tokio::spawn(async move { store.register(&new).await.unwrap() })
        })
        .collect();
    let between = other.register(&new_asset(&content, "patients", "another").await).await.unwrap();
    let mut made = Vec::new();
    for task in tasks {
        made.push(task.await.unwrap());
    }
    assert!(made.iter().all(|again| *again == made[0]), "{made:?}");
    assert_ne!(made[0].version, between.version);
    let all = other.versions(&name("patients"), &PageRequest::default()).await.unwrap();
    assert_eq!(all.items.len(), 2);
}

#[tokio::test]
async fn a_call_that_was_interrupted_anywhere_is_finished_by_its_repetition() {
    let (azure, content) = (judged(), Arc::new(MemoryArtifactStore::default()));
    let container = |kind: &str| format!("{}/data/mlops--data-{kind}", azure.workspace().id());
    let new = new_asset(&content, "patients", "content").await;
    let made = assets(&azure, &content).register(&new).await.unwrap();
    // Nothing but the key was written, key and number, all of it.
    let version = format!("{}/data/patients", azure.workspace().id());
    for removed in [vec![container("numbers"), version.clone()], vec![version], vec![]] {
        removed.iter().for_each(|id| assert!(azure.remove_resource(id)));
        let again = assets(&azure, &content).register(&new).await.unwrap();
        assert_eq!((again.version, &again.spec), (made.version, &made.spec));
        assert_eq!(assets(&azure, &content).get(&made.reference()).await.unwrap(), again);
    }
}

#[tokio::test]
async fn what_is_not_seen_everywhere_at_once_is_waited_for() {
    let (azure, content) = (judged(), Arc::new(MemoryArtifactStore::default()));
    azure.faults().hidden(2);
    let (one, two) = (assets(&azure, &content), assets(&azure, &content));
    for (store, number) in [(&one, 1), (&two, 2)] {
        let new = new_asset(&content, "patients", &number.to_string()).await;
        let made = store.register(&new).await.unwrap();
        assert_eq!(made.version, version(number));
        // What a call wrote is seen when it returns.
        assert_eq!(two.get(&made.reference()).await.unwrap(), made);
    }
}

#[tokio::test]
async fn throttling_outages_and_lost_answers_lose_no_version_and_make_none_twice() {
    let (azure, content) = (judged(), Arc::new(MemoryArtifactStore::default()));
    let store = assets(&azure, &content);
    for round in 1..=9 {
        match round % 3 {
            0 => drop(azure.faults().busy(2)),
            1 => drop(azure.faults().lose_answers(2)),
            _ => drop(azure.faults().unavailable(2)),
        }
        let made = store.register(&new_asset(&content, "patients", &round.to_string()).await).await.unwrap();
        assert_eq!(made.version, version(round));
    }
    // Every single answer of a registration lost, one after the other.
    for (lost, round) in (10..16).enumerate() {
        let new = new_asset(&content, "patients", &round.to_string()).await;
        for _ in 0..lost {
            azure.arm().call(azure.place().container("data", "patients").unwrap().get(OP)).await.unwrap();
        }
        azure.faults().lose_answers(1);
        assert_eq!(store.register(&new).await.unwrap().version, version(round));
    }
    let all = store.versions(&name("patients"), &PageRequest::first(100)).await.unwrap();
    let numbers: Vec<u64> = all.items.iter().map(|asset| asset.version.get()).collect();
    assert_eq!(numbers, (1..16).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_version_of_another_client_is_never_overwritten() {
    let (azure, content) = (judged(), Arc::new(MemoryArtifactStore::default()));
    let arm = azure.arm();
    let foreign = |text: &str| {
        let uri = format!("azureml://datastores/workspaceblobstore/paths/LocalUpload/{text}/");
        Resource::new(DataVersion::new(DataType::UriFolder, uri))
    };
    let store = assets(&azure, &content);
    let one = store.register(&new_asset(&content, "patients", "ours").await).await.unwrap();
    // This handle believes that the next number is free.
    let two = azure.place().data("patients", "2").unwrap();
    arm.call(two.put(OP, &foreign("theirs")).unwrap()).await.unwrap();
    let made = store.register(&new_asset(&content, "patients", "ours again").await).await.unwrap();
    assert_eq!((one.version.get(), made.version.get()), (1, 3));
    let theirs = arm.call(two.get(OP)).await.unwrap().properties;
    assert!(theirs.data_uri.ends_with("theirs/") && theirs.tags.unwrap_or_default().is_empty());
    // Nor is one that names the very same place.
    let new = new_asset(&content, "patients", "the same place").await;
    let mut external = new.clone();
    external.location = Location::External("https://example.com/data".to_owned());
    let four = azure.place().data("patients", "4").unwrap();
    let same_place = DataVersion::new(DataType::UriFolder, "https://example.com/data");
    let same_place = same_place.with_properties(TextMap::from_iter([("owner", "another")]));
    arm.call(four.put(OP, &Resource::new(same_place)).unwrap()).await.unwrap();
    let elsewhere = assets(&azure, &content);
    assert_eq!(elsewhere.register(&external).await.unwrap().version.get(), 5);
}

#[tokio::test]
async fn assets_of_other_clients_are_read_as_far_as_their_digest_is_said() {
    let (azure, content) = (judged(), Arc::new(MemoryArtifactStore::default()));
    let (arm, store) = (azure.arm(), assets(&azure, &content));
    let digest = Digest::of(b"their content");
    let uri = "azureml://datastores/workspaceblobstore/paths/LocalUpload/x/";
    let said = DataVersion::new(DataType::UriFolder, uri)
        .with_description("theirs")
        .with_tags(TextMap::from_iter([("mlops.digest", digest.to_string()), ("team", "a".to_owned())]));
    let silent = DataVersion::new(DataType::UriFolder, uri);
    let wrong = silent.clone().with_tags(TextMap::from_iter([("mlops.digest", "sha256:xyz")]));
    for (number, data) in
        [("1", said), ("2", silent), ("3", wrong), ("nightly", DataVersion::new(DataType::UriFolder, uri))]
    {
        let at = azure.place().data("theirs", number).unwrap();
        arm.call(at.put(OP, &Resource::new(data)).unwrap()).await.unwrap();
    }
    let read = store.get(&exact("theirs", 1)).await.unwrap();
    assert_eq!((read.spec.digest, read.spec.kind), (digest, AssetKind::Folder));
    assert_eq!((read.spec.location.clone(), read.spec.tags.len()), (Location::External(uri.to_owned()), 2));
    assert_eq!(store.get(&exact("theirs", 1)).await.unwrap(), read, "its key follows from name and version");
    let by_digest = DataRef { name: name("theirs"), version: VersionSpec::Digest(digest) };
    assert_eq!(store.get(&by_digest).await.unwrap(), read);
    assert!(matches!(store.verify(&exact("theirs", 1)).await.unwrap(), DataVerification::NotChecked { .. }));
    for reference in [exact("theirs", 2), exact("theirs", 3), DataRef::latest(name("theirs"))] {
        let error = store.get(&reference).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{reference}");
        assert_eq!(error.context("asset"), Some("theirs"));
        assert!(error.context("version").is_some() && error.context("data_type").is_some(), "{error}");
    }
    let listed = store.versions(&name("theirs"), &PageRequest::default()).await.unwrap();
    assert_eq!(listed.items, [read]);
    assert_eq!(store.azure("theirs", "nightly").await.unwrap().properties.data_uri, uri);
    assert_eq!(store.azure("theirs", "weekly").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.names(&PageRequest::default()).await.unwrap().items, [name("theirs")]);
    assert!(store.set_archived(&name("theirs"), version(1), true).await.unwrap().archived);
}

#[tokio::test]
async fn what_somebody_changed_behind_our_back_is_noticed() {
    let (azure, content) = (judged(), Arc::new(MemoryArtifactStore::default()));
    let store = assets(&azure, &content);
    let made = store.register(&new_asset(&content, "patients", "content").await).await.unwrap();
    let id = azure.place().data("patients", "1").unwrap().id().to_owned();
    let good = azure.resource(&id).unwrap();
    let broken = |path: &str, value: serde_json::Value| {
        let mut bad = good.clone();
        bad["properties"]["properties"][path] = value;
        azure.set_resource(&id, bad);
    };
    broken("mlops.spec.000", "{}".into());
    assert_eq!(store.get(&made.reference()).await.unwrap_err().kind(), ErrorKind::Integrity);
    broken("mlops.created_at", "yesterday".into());
    assert_eq!(store.get(&made.reference()).await.unwrap_err().kind(), ErrorKind::Integrity);
    azure.set_resource(&id, good.clone());
    // Tags are for people: what counts is what was registered.
    let mut tagged = good;
    tagged["properties"]["tags"] = serde_json::json!({ "anything": "else" });
    azure.set_resource(&id, tagged);
    assert_eq!(store.get(&made.reference()).await.unwrap(), made);
    // A name that only this library writes.
    let keys = format!("{}/data/mlops--data-keys/versions", azure.workspace().id());
    for mut key in azure.list_resources(&keys) {
        key["properties"]["dataUri"] = "https://example.com/else".into();
        let id = key["id"].as_str().unwrap().to_owned();
        azure.set_resource(&id, key);
    }
    assert_eq!(store.register(&made.spec).await.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn names_that_this_library_keeps_are_refused() {
    let (azure, content) = (judged(), Arc::new(MemoryArtifactStore::default()));
    let store = assets(&azure, &content);
    for own in ["mlops--data-keys", "MLOPS--x", "Patients--u1", "patients--u0"] {
        let refused = store.register(&new_asset(&content, own, "content").await).await.unwrap_err();
        assert_eq!((refused.kind(), refused.context("field")), (ErrorKind::InvalidInput, Some("name")));
    }
    assert_eq!(azure.count(), 0, "nothing was asked");
    store.register(&new_asset(&content, "mlops-churn--users", "content").await).await.unwrap();
    assert_eq!(store.names(&PageRequest::default()).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn round_trips_are_counted() {
    let (azure, content) = (judged(), Arc::new(MemoryArtifactStore::default()));
    let store = assets(&azure, &content).with_patience(Duration::from_secs(5));
    let mut count = Vec::new();
    for text in ["first", "second"] {
        azure.forget_requests();
        store.register(&new_asset(&content, "patients", text).await).await.unwrap();
        count.push(azure.count());
        println!(
            "register a data asset ({text}): {} requests (azure-ai-ml: 6 with the upload)",
            azure.count()
        );
        azure.requests().iter().for_each(|line| println!("  {line}"));
    }
    assert_eq!(count, [5, 4]);
    for (act, reference, expected) in [
        ("read by number", exact("patients", 1), 1),
        ("read the latest", DataRef::latest(name("patients")), 1),
    ] {
        azure.forget_requests();
        store.get(&reference).await.unwrap();
        println!("{act}: {} request", azure.count());
        assert_eq!(azure.count(), expected);
    }
    azure.forget_requests();
    store.set_archived(&name("patients"), version(1), true).await.unwrap();
    assert_eq!(azure.count(), 2);
}

#[tokio::test]
async fn the_digest_is_shown_as_a_tag_and_names_of_this_library_are_as_short_as_azure_wants() {
    let (azure, content) = (judged(), Arc::new(MemoryArtifactStore::default()));
    let store = assets(&azure, &content);
    let made = store.register(&new_asset(&content, "patients", "content").await).await.unwrap();
    let shown = store.azure("patients", "1").await.unwrap().properties;
    let digest = made.spec.digest.to_string();
    assert_eq!(shown.tags.unwrap().get("mlops.digest"), Some(digest.as_str()));
    assert_eq!(shown.properties.unwrap().get("mlops.digest"), Some(digest.as_str()));
    // What others change of the tag changes nothing here.
    let id = format!("{}/data/patients/versions/1", azure.workspace().id());
    let mut changed = azure.resource(&id).unwrap();
    changed["properties"]["tags"]["mlops.digest"] = Digest::of(b"other").to_string().into();
    azure.set_resource(&id, changed);
    assert_eq!(assets(&azure, &content).get(&made.reference()).await.unwrap(), made);
    let by_digest = DataRef { name: name("patients"), version: VersionSpec::Digest(made.spec.digest) };
    assert_eq!(store.get(&by_digest).await.unwrap(), made);
    let by_tag = DataRef { version: VersionSpec::Digest(Digest::of(b"other")), ..by_digest };
    assert_eq!(store.get(&by_tag).await.unwrap_err().kind(), ErrorKind::NotFound);
    // "Argument 'version' exceeded maximum length of 30 for DatasetId", as Azure says it.
    let long = "a".repeat(31);
    let body =
        Resource::new(DataVersion::new(DataType::UriFile, "azureml://datastores/workspaceblobstore/paths/x"));
    let put = azure.place().data("mine", &long).unwrap().put(OP, &body).unwrap();
    assert_eq!(azure.arm().call(put).await.unwrap_err().kind(), ErrorKind::InvalidInput);
}
