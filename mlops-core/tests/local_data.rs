//! The data assets of the embedded store.

mod common;

use std::sync::Arc;

use common::{fresh, open, sabotage, wait};
use mlops_core::artifact::{ArtifactStoreExt as _, GcOptions};
use mlops_core::conformance::data::DataAssetsUnderTest;
use mlops_core::data::{AssetKind, DataAsset, DataAssetStore as _, DataRef, Location, NewDataAsset};
use mlops_core::hash::Digest;
use mlops_core::local::{LocalStore, NetworkPolicy};
use mlops_core::time::ManualClock;
use mlops_core::{ActorId, AssetName, ErrorKind, PageRequest, RelPath, VersionSpec};

fn under_test() -> DataAssetsUnderTest {
    let (store, _) = fresh(NetworkPolicy::Refuse);
    let contents = store.folder().join("cas/sha256");
    let damage = move |digest: &Digest| {
        let hex = digest.hex();
        let path = contents.join(&hex[..2]).join(&hex[2..]);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[0] ^= 1;
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
    };
    let under_test = DataAssetsUnderTest::new(Arc::new(store.data_assets()), Arc::new(store.artifacts()));
    under_test.with_damage(damage)
}

mlops_core::data_asset_store_suite!(suite, under_test());

fn name(text: &str) -> AssetName {
    AssetName::new(text).unwrap()
}

fn actor() -> ActorId {
    ActorId::new("tests").unwrap()
}

/// Stores the content and describes an asset that has it.
async fn asset(store: &LocalStore, name: &str, content: &str) -> NewDataAsset {
    let file = (RelPath::new("rows.csv").unwrap(), content.to_owned().into());
    let tree = store.artifacts().put_files(&[file]).await.unwrap().0.digest;
    NewDataAsset::stored(self::name(name), AssetKind::Table, tree, actor())
}

async fn register(store: &LocalStore, name: &str, content: &str) -> DataAsset {
    store.data_assets().register(&asset(store, name, content).await).await.unwrap()
}

#[test]
fn everything_is_the_same_in_a_store_that_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
    wait(async {
        let store = open(dir.path(), &clock);
        let new = asset(&store, "patients", "1").await.with_rows(u64::MAX).with_description("größe");
        let first = store.data_assets().register(&new).await.unwrap();
        drop(store);
        clock.set("1999-01-01T00:00:00Z".parse().unwrap());
        let store = open(dir.path(), &clock);
        assert_eq!(store.data_assets().register(&new).await.unwrap(), first, "it is the same call");
        let conflict = store.data_assets().register(&new.clone().with_rows(7)).await.unwrap_err();
        assert_eq!(conflict.kind(), ErrorKind::Conflict);
        let second = register(&store, "patients", "2").await;
        let hidden = store.data_assets().set_archived(&name("patients"), second.version, true).await.unwrap();
        assert!(hidden.archived);
        drop(store);
        let store = open(dir.path(), &clock);
        assert_eq!(store.data_assets().get(&DataRef::latest(name("patients"))).await.unwrap(), first);
        let all = store.data_assets().versions(&name("patients"), &PageRequest::default()).await.unwrap();
        assert_eq!(all.items, [hidden, first]);
    });
}

#[test]
fn damage_to_the_database_is_an_error_that_names_the_row() {
    wait(async {
        for (damage, row) in [
            ("UPDATE data_version SET archived = 1 WHERE version = 2", "data_version patients 2"),
            (
                "UPDATE data_version SET doc = replace(doc, 'table', 'file') WHERE version = 2",
                "data_version patients 2",
            ),
            ("UPDATE data_version SET created_at = created_at + 1", "data_version patients 2"),
            ("DELETE FROM data_version WHERE version = 2", "data_version patients 2"),
            ("UPDATE data_asset SET versions = 1", "data_asset patients"),
        ] {
            let (store, _) = fresh(NetworkPolicy::Refuse);
            register(&store, "patients", "1").await;
            let made = register(&store, "patients", "2").await;
            sabotage(store.folder(), damage);
            let assets = store.data_assets();
            let (all, digest) = (PageRequest::default(), VersionSpec::Digest(made.spec.digest));
            let errors = [
                assets.get(&DataRef::latest(name("patients"))).await.unwrap_err(),
                assets.get(&made.reference()).await.unwrap_err(),
                assets.get(&DataRef { name: name("patients"), version: digest }).await.unwrap_err(),
                assets.versions(&name("patients"), &all).await.unwrap_err(),
                assets.verify(&made.reference()).await.unwrap_err(),
            ];
            for error in errors {
                assert_eq!((error.kind(), error.context("row")), (ErrorKind::Corrupt, Some(row)), "{damage}");
            }
        }
    });
}

#[test]
fn a_name_that_was_hidden_is_missed_on_every_page() {
    wait(async {
        let (store, _) = fresh(NetworkPolicy::Refuse);
        for name in ["d", "a", "c", "b", "e"] {
            register(&store, name, "content").await;
        }
        sabotage(store.folder(), "CREATE TABLE old AS SELECT * FROM data_asset");
        for hidden in ["a", "b", "c", "d", "e"] {
            sabotage(store.folder(), &format!("DELETE FROM data_asset WHERE name = '{hidden}'"));
            for limit in [1, 2, 5, 10] {
                let mut request = PageRequest::first(limit);
                let error = loop {
                    match store.data_assets().names(&request).await {
                        Ok(page) => request = request.after(&page).expect("it is missed before the end"),
                        Err(error) => break error,
                    }
                };
                let row = format!("data_asset {hidden}");
                assert_eq!((error.kind(), error.context("row")), (ErrorKind::Corrupt, Some(row.as_str())));
            }
            sabotage(store.folder(), "INSERT OR REPLACE INTO data_asset SELECT * FROM old");
        }
        assert_eq!(store.data_assets().names(&PageRequest::default()).await.unwrap().items.len(), 5);
    });
}

#[test]
fn external_content_is_neither_collected_nor_missed() {
    wait(async {
        let (store, _) = fresh(NetworkPolicy::Refuse);
        let mut new = asset(&store, "lake", "1").await;
        new.location = Location::External("s3://bucket/patients".to_owned());
        store.data_assets().register(&new).await.unwrap();
        assert!(store.collect_garbage(&GcOptions::default()).await.unwrap().removed.is_empty());
        assert!(store.verify().await.unwrap().is_sound());
    });
}

/// Names that could lead out of the store, or into a statement, are no names.
#[test]
fn hostile_names_are_refused_before_the_store_sees_them() {
    for bad in
        ["", " ", ".", "..", "../../evil", "a/b", "C:evil", "a\0b", "a\r\nb", "'; DROP TABLE x;--", "a%2Fb"]
    {
        assert!(AssetName::new(bad).is_err(), "{bad:?}");
        assert!(format!("{bad}:latest").parse::<DataRef>().is_err(), "{bad:?}");
    }
}
