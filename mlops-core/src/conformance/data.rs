//! The suite of [`DataAssetStore`].

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::support::{
    RACERS, TEXTS, actor, fault, hostile_tags, kind, race, read_all, read_quietly, refuses_bad_pages, skipped,
};
use crate::artifact::{ArtifactStore, ArtifactStoreExt as _, GcOptions};
use crate::data::{AssetKind, DataAsset, DataAssetStore, DataRef, DataVerification, Location, NewDataAsset};
use crate::error::ErrorKind;
use crate::hash::Digest;
use crate::id::{
    Alias, AssetName, IdempotencyKey, MAX_ENTRIES, MAX_TEXT, RelPath, TagKey, Version, VersionSpec,
};
use crate::page::PageRequest;

/// Makes a test of every case of the [`DataAssetStore`] suite.
///
/// Takes the name of the module to put them in, and an expression that makes a fresh
/// [`DataAssetsUnderTest`](crate::conformance::data::DataAssetsUnderTest).
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::conformance::data::DataAssetsUnderTest;
/// use mlops_core::memory::{MemoryArtifactStore, MemoryDataAssetStore};
/// use mlops_core::time::SystemClock;
///
/// fn fresh() -> DataAssetsUnderTest {
///     let artifacts = Arc::new(MemoryArtifactStore::default());
///     let store = MemoryDataAssetStore::new(artifacts.clone(), Arc::new(SystemClock::new()));
///     DataAssetsUnderTest::new(Arc::new(store), artifacts)
/// }
/// mlops_core::data_asset_store_suite!(memory, fresh());
/// ```
#[macro_export]
macro_rules! data_asset_store_suite {
    ($module:ident, $fresh:expr) => {
        $crate::__conformance_suite! { $module, $fresh, data, [
            versions_are_contiguous,
            concurrent_registrations_get_distinct_versions,
            register_is_idempotent,
            concurrent_replays_are_one_registration,
            key_reuse_is_a_conflict,
            of_many_that_reuse_a_key_one_wins,
            stored_content_must_exist,
            stored_content_must_be_a_manifest,
            registered_versions_never_change,
            failed_calls_change_nothing,
            missing_is_not_found,
            latest_skips_archived,
            archiving_can_be_undone,
            resolve_by_digest,
            aliases_are_unsupported,
            names_are_alphabetical,
            versions_are_newest_first,
            paging_is_complete_under_writes,
            tokens_belong_to_their_query,
            bad_pages_are_refused,
            verify_reads_every_byte,
            verify_notices_missing_content,
            external_content_is_kept_by_name,
            bad_uris_are_refused,
            unicode_is_kept_exactly,
            names_that_differ_in_case_are_two,
            limits_are_typed,
        ] }
    };
}

/// An empty data asset store, the artifact store it looks into, and what the suite may do to them.
pub struct DataAssetsUnderTest {
    store: Arc<dyn DataAssetStore>,
    artifacts: Arc<dyn ArtifactStore>,
    damage: Option<Damage>,
}

type Damage = Box<dyn Fn(&Digest) + Send + Sync>;

impl DataAssetsUnderTest {
    /// An empty store whose stored content lies in `artifacts`.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use mlops_core::conformance::data::DataAssetsUnderTest;
    /// use mlops_core::memory::{MemoryArtifactStore, MemoryDataAssetStore};
    /// use mlops_core::time::SystemClock;
    /// let artifacts = Arc::new(MemoryArtifactStore::default());
    /// let store = MemoryDataAssetStore::new(artifacts.clone(), Arc::new(SystemClock::new()));
    /// let under_test = DataAssetsUnderTest::new(Arc::new(store), artifacts);
    /// assert!(format!("{under_test:?}").contains("MemoryDataAssetStore"));
    /// ```
    pub fn new(store: Arc<dyn DataAssetStore>, artifacts: Arc<dyn ArtifactStore>) -> Self {
        Self { store, artifacts, damage: None }
    }

    /// A way to change the stored bytes of a digest behind the artifact store's back.
    #[must_use]
    pub fn with_damage(mut self, damage: impl Fn(&Digest) + Send + Sync + 'static) -> Self {
        self.damage = Some(Box::new(damage));
        self
    }

    /// Stores one file with this content as a tree, and returns the digest of its manifest.
    async fn content(&self, text: &str) -> Digest {
        let file = (RelPath::new("rows.csv").unwrap(), Bytes::from(text.to_owned()));
        self.artifacts.put_files(&[file]).await.unwrap().0.digest
    }

    /// A registration of this content under `name`.
    async fn asset(&self, name: &str, text: &str) -> NewDataAsset {
        NewDataAsset::stored(self::name(name), AssetKind::Table, self.content(text).await, actor())
    }

    async fn everything(&self) -> Vec<DataAsset> {
        let mut all = Vec::new();
        for name in read_quietly(100, async |page| self.store.names(&page).await).await {
            all.extend(read_quietly(100, async |page| self.store.versions(&name, &page).await).await);
        }
        all
    }
}

impl fmt::Debug for DataAssetsUnderTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataAssetsUnderTest")
            .field("store", &self.store)
            .field("artifacts", &self.artifacts)
            .field("damage", &self.damage.is_some())
            .finish()
    }
}

fn name(text: &str) -> AssetName {
    AssetName::new(text).unwrap()
}

fn version(number: u64) -> Version {
    Version::new(number).unwrap()
}

fn exact(name: &str, number: u64) -> DataRef {
    DataRef { name: self::name(name), version: version(number).into() }
}

fn latest(name: &str) -> DataRef {
    DataRef::latest(self::name(name))
}

/// Every name has its own versions 1, 2, 3, …
pub async fn versions_are_contiguous(under: &DataAssetsUnderTest) {
    for expected in 1..=3 {
        for name in ["one", "two"] {
            let asset = under.asset(name, "same content").await;
            let made = under.store.register(&asset).await.unwrap();
            assert_eq!((made.version, made.archived), (version(expected), false));
            assert_eq!(made.spec, asset);
            assert_eq!(under.store.get(&exact(name, expected)).await.unwrap(), made);
        }
    }
}

/// Many that register at once get versions without gaps, and none is lost.
pub async fn concurrent_registrations_get_distinct_versions(under: &DataAssetsUnderTest) {
    let asset = under.asset("crowded", "content").await;
    let made = race(RACERS, |i| {
        let store = under.store.clone();
        let asset = asset.clone().with_key(IdempotencyKey::generate()).with_rows(i as u64);
        async move { store.register(&asset).await.unwrap() }
    })
    .await;
    let versions: BTreeSet<u64> = made.iter().map(|m| m.version.get()).collect();
    assert_eq!(versions, (1..=RACERS as u64).collect());
    for made in made {
        assert_eq!(under.store.get(&made.reference()).await.unwrap(), made, "none is another's");
    }
}

/// The same key with the same content is the same registration.
pub async fn register_is_idempotent(under: &DataAssetsUnderTest) {
    let asset = under.asset("patients", "content").await;
    let made = under.store.register(&asset).await.unwrap();
    under.store.register(&under.asset("patients", "newer").await).await.unwrap();
    assert_eq!(under.store.register(&asset).await.unwrap(), made);
    // Also when the content has been removed since: the call did happen.
    under.artifacts.collect_garbage(&BTreeSet::new(), &GcOptions::default()).await.unwrap();
    assert_eq!(under.store.register(&asset).await.unwrap(), made);
    assert_eq!(under.everything().await.len(), 2);
}

/// A call repeated by many at once is one registration.
pub async fn concurrent_replays_are_one_registration(under: &DataAssetsUnderTest) {
    let asset = under.asset("patients", "content").await;
    let made = race(RACERS, |_| {
        let (store, asset) = (under.store.clone(), asset.clone());
        async move { store.register(&asset).await.unwrap() }
    })
    .await;
    assert!(made.iter().all(|m| *m == made[0]));
    assert_eq!(under.everything().await, [made[0].clone()]);
}

/// The same key with any other content is a conflict, and registers nothing.
pub async fn key_reuse_is_a_conflict(under: &DataAssetsUnderTest) {
    let asset = under.asset("patients", "content").await;
    let made = under.store.register(&asset).await.unwrap();
    let mut tagged = asset.clone();
    tagged.tags.insert(TagKey::new("k").unwrap(), "v".to_owned());
    let others = [
        NewDataAsset { name: name("others"), ..asset.clone() },
        NewDataAsset { digest: under.content("other").await, ..asset.clone() },
        NewDataAsset { kind: AssetKind::File, ..asset.clone() },
        asset.clone().with_rows(7),
        asset.clone().with_schema(Digest::of(b"schema")),
        asset.clone().with_content(Digest::of(b"rows")),
        asset.clone().with_description("other"),
        tagged,
    ];
    for other in others {
        assert_eq!(kind(under.store.register(&other).await), ErrorKind::Conflict, "{other:?}");
    }
    assert_eq!(under.everything().await, [made]);
}

/// Of many that use one key for different content exactly one registers.
pub async fn of_many_that_reuse_a_key_one_wins(under: &DataAssetsUnderTest) {
    let asset = under.asset("patients", "content").await;
    let results = race(RACERS, |i| {
        let (store, asset) = (under.store.clone(), asset.clone().with_rows(i as u64));
        async move { store.register(&asset).await }
    })
    .await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    assert!(lost.into_iter().all(|r| kind(r) == ErrorKind::Conflict));
    assert_eq!(under.everything().await.len(), 1);
}

/// Content that is said to be stored must be, and a refusal uses up no version.
pub async fn stored_content_must_exist(under: &DataAssetsUnderTest) {
    let mut asset = under.asset("patients", "content").await;
    asset.digest = Digest::of(b"nowhere");
    assert_eq!(kind(under.store.register(&asset).await), ErrorKind::NotFound);
    assert_eq!(kind(under.store.get(&latest("patients")).await), ErrorKind::NotFound);
    // The key was not used up either.
    asset.digest = under.content("content").await;
    assert_eq!(under.store.register(&asset).await.unwrap().version, Version::FIRST);
}

/// Content that is there but is not a manifest cannot be an asset.
pub async fn stored_content_must_be_a_manifest(under: &DataAssetsUnderTest) {
    let mut asset = under.asset("patients", "content").await;
    asset.digest = under.artifacts.put_bytes(b"x,y\n1,2\n".to_vec()).await.unwrap().digest;
    let error = fault(under.store.register(&asset).await);
    assert_eq!((error.kind(), error.context("field")), (ErrorKind::InvalidInput, Some("digest")));
    assert!(under.everything().await.is_empty());
}

/// What is registered stays as it was, whatever comes after; only `archived` changes.
pub async fn registered_versions_never_change(under: &DataAssetsUnderTest) {
    let first = under.store.register(&under.asset("patients", "1").await).await.unwrap();
    for i in 2..10 {
        under.store.register(&under.asset("patients", &i.to_string()).await).await.unwrap();
        under.store.set_archived(&name("patients"), version(i), i % 2 == 0).await.unwrap();
    }
    assert_eq!(under.store.get(&first.reference()).await.unwrap(), first);
    let hidden = under.store.set_archived(&name("patients"), first.version, true).await.unwrap();
    assert!(hidden.archived);
    assert_eq!(
        (hidden.spec, hidden.version, hidden.created_at),
        (first.spec, first.version, first.created_at)
    );
}

/// Whatever fails leaves the store with what it had.
pub async fn failed_calls_change_nothing(under: &DataAssetsUnderTest) {
    let good = under.asset("patients", "content").await;
    under.store.register(&good).await.unwrap();
    let before = under.everything().await;
    let fresh = || NewDataAsset { key: IdempotencyKey::generate(), ..good.clone() };
    let mut external = fresh();
    external.location = Location::External("http://host/x".to_owned());
    let mut nowhere = fresh();
    (nowhere.name, nowhere.digest) = (name("others"), Digest::of(b"nowhere"));
    let long = fresh().with_description("x".repeat(MAX_TEXT + 1));
    for bad in [external, nowhere, long, good.clone().with_rows(1)] {
        assert!(under.store.register(&bad).await.is_err(), "{:?}", bad.location);
    }
    for (asset, number) in [("patients", 2), ("patients", u64::MAX / 2), ("others", 1)] {
        let result = under.store.set_archived(&name(asset), version(number), true).await;
        assert_eq!(kind(result), ErrorKind::NotFound);
    }
    assert_eq!(under.everything().await, before);
}

/// What is not there is not found, by every way of asking.
pub async fn missing_is_not_found(under: &DataAssetsUnderTest) {
    let asset = under.asset("patients", "content").await;
    let store = &under.store;
    for reference in [latest("patients"), exact("patients", 1)] {
        assert_eq!(kind(store.get(&reference).await), ErrorKind::NotFound);
        assert_eq!(kind(store.verify(&reference).await), ErrorKind::NotFound);
    }
    assert_eq!(kind(store.versions(&name("patients"), &PageRequest::default()).await), ErrorKind::NotFound);
    assert!(store.names(&PageRequest::default()).await.unwrap().items.is_empty());
    store.register(&asset).await.unwrap();
    let other = VersionSpec::Digest(Digest::of(b"other"));
    for version in [version(2).into(), version(u64::MAX / 2).into(), other] {
        let reference = DataRef { name: name("patients"), version };
        assert_eq!(kind(store.get(&reference).await), ErrorKind::NotFound, "{reference}");
    }
}

/// `Latest` is the highest version that is not archived.
pub async fn latest_skips_archived(under: &DataAssetsUnderTest) {
    for content in ["1", "2", "3"] {
        under.store.register(&under.asset("patients", content).await).await.unwrap();
    }
    for (archive, expected) in [(2, Some(3)), (3, Some(1)), (1, None)] {
        under.store.set_archived(&name("patients"), version(archive), true).await.unwrap();
        let found = under.store.get(&latest("patients")).await;
        match expected {
            Some(number) => assert_eq!(found.unwrap().version, version(number)),
            None => assert_eq!(kind(found), ErrorKind::NotFound),
        }
        assert!(under.store.get(&exact("patients", archive)).await.unwrap().archived, "still readable");
    }
    // A version that was given out is not given out again.
    let next = under.store.register(&under.asset("patients", "4").await).await.unwrap();
    assert_eq!(next.version, version(4));
}

/// Archiving can be undone, and doing either twice is doing it once.
pub async fn archiving_can_be_undone(under: &DataAssetsUnderTest) {
    let made = under.store.register(&under.asset("patients", "1").await).await.unwrap();
    for archived in [true, true, false, false] {
        let changed = under.store.set_archived(&name("patients"), Version::FIRST, archived).await.unwrap();
        assert_eq!(changed.archived, archived);
    }
    assert_eq!(under.store.get(&latest("patients")).await.unwrap(), made);
}

/// By digest one gets the highest version with that content, archived or not.
pub async fn resolve_by_digest(under: &DataAssetsUnderTest) {
    for content in ["old", "same", "same", "new"] {
        under.store.register(&under.asset("patients", content).await).await.unwrap();
    }
    under.store.register(&under.asset("others", "same").await).await.unwrap();
    under.store.set_archived(&name("patients"), version(3), true).await.unwrap();
    let digest = under.content("same").await;
    let reference = DataRef { name: name("patients"), version: VersionSpec::Digest(digest) };
    assert_eq!(under.store.get(&reference).await.unwrap().version, version(3));
}

/// Data assets have no aliases, and that is said.
pub async fn aliases_are_unsupported(under: &DataAssetsUnderTest) {
    let made = under.store.register(&under.asset("patients", "1").await).await.unwrap();
    let alias = Alias::new("champion").unwrap();
    for version in [
        VersionSpec::Alias(alias.clone()),
        VersionSpec::AliasAsOf { alias: alias.clone(), at: made.created_at },
    ] {
        let reference = DataRef { name: name("patients"), version };
        assert_eq!(kind(under.store.get(&reference).await), ErrorKind::Unsupported);
    }
}

/// Names come in the order of their bytes, each once.
pub async fn names_are_alphabetical(under: &DataAssetsUnderTest) {
    for asset in ["b", "a", "B", "a-1", "a1", "a_1", "10", "9", "b"] {
        under.store.register(&under.asset(asset, "content").await).await.unwrap();
    }
    for limit in [1, 2, 3, 100] {
        let names = read_quietly(limit, async |page| under.store.names(&page).await).await;
        let names: Vec<_> = names.iter().map(AssetName::as_str).collect();
        assert_eq!(names, ["10", "9", "B", "a", "a-1", "a1", "a_1", "b"], "in pages of {limit}");
    }
}

/// Versions come newest first, archived ones too.
pub async fn versions_are_newest_first(under: &DataAssetsUnderTest) {
    for i in 1..=12 {
        under.store.register(&under.asset("patients", &i.to_string()).await).await.unwrap();
    }
    under.store.set_archived(&name("patients"), version(7), true).await.unwrap();
    for limit in [1, 5, 12, 100] {
        let all =
            read_quietly(limit, async |page| under.store.versions(&name("patients"), &page).await).await;
        let numbers: Vec<_> = all.iter().map(|a| a.version.get()).collect();
        assert_eq!(numbers, (1..=12).rev().collect::<Vec<_>>(), "in pages of {limit}");
    }
}

/// A reader of pages sees everything that was there when it began exactly once, while others write.
pub async fn paging_is_complete_under_writes(under: &DataAssetsUnderTest) {
    for i in 1..=9 {
        under.store.register(&under.asset("patients", &i.to_string()).await).await.unwrap();
        under.store.register(&under.asset(&format!("name-{i}"), "content").await).await.unwrap();
    }
    let seen = read_all(
        2,
        async |page| under.store.versions(&name("patients"), &page).await,
        async |i| {
            under.store.register(&under.asset("patients", &format!("new {i}")).await).await.unwrap();
            under.store.set_archived(&name("patients"), version(9), i % 2 == 0).await.unwrap();
        },
    )
    .await;
    let old: Vec<_> = seen.iter().map(|a| a.version.get()).filter(|v| *v <= 9).collect();
    assert_eq!(old, (1..=9).rev().collect::<Vec<_>>());
    let seen = read_all(
        2,
        async |page| under.store.names(&page).await,
        async |i| {
            // Before, between and after what was read.
            for new in [format!("a{i}"), format!("name-{}x", i + 1), format!("z{i}")] {
                under.store.register(&under.asset(&new, "content").await).await.unwrap();
            }
        },
    )
    .await;
    for i in 1..=9 {
        assert_eq!(seen.iter().filter(|n| n.as_str() == format!("name-{i}")).count(), 1);
    }
    assert!(seen.is_sorted());
}

/// A token of another query, or of nobody, is refused.
pub async fn tokens_belong_to_their_query(under: &DataAssetsUnderTest) {
    for asset in ["one", "one", "two", "two"] {
        under.store.register(&under.asset(asset, "content").await).await.unwrap();
    }
    let first = PageRequest::first(1);
    let page = under.store.versions(&name("one"), &first).await.unwrap();
    let next = first.after(&page).unwrap();
    assert_eq!(under.store.versions(&name("one"), &next).await.unwrap().items[0].version, Version::FIRST);
    assert_eq!(kind(under.store.versions(&name("two"), &next).await), ErrorKind::InvalidInput);
    assert_eq!(kind(under.store.names(&next).await), ErrorKind::InvalidInput);
    let again = under.store.versions(&name("one"), &next).await.unwrap();
    assert_eq!(again.items[0].version, Version::FIRST, "a page can be read again");
}

/// Limits of nobody and forged tokens are refused.
pub async fn bad_pages_are_refused(under: &DataAssetsUnderTest) {
    under.store.register(&under.asset("one", "content").await).await.unwrap();
    refuses_bad_pages(async |page| under.store.names(&page).await).await;
    refuses_bad_pages(async |page| under.store.versions(&name("one"), &page).await).await;
}

/// Verifying reads every byte: one flipped bit is damage, and the content is told from its size alone by nothing.
pub async fn verify_reads_every_byte(under: &DataAssetsUnderTest) {
    let made = under.store.register(&under.asset("patients", "12345").await).await.unwrap();
    let verify = async || under.store.verify(&made.reference()).await.unwrap();
    assert_eq!(verify().await, DataVerification::Intact { bytes: 5 });
    let Some(damage) = &under.damage else { return skipped("content cannot be damaged here") };
    damage(&Digest::of(b"12345"));
    assert!(matches!(verify().await, DataVerification::Damaged { .. }));
    under.artifacts.put_bytes(b"12345".to_vec()).await.unwrap();
    assert_eq!(verify().await, DataVerification::Intact { bytes: 5 });
    damage(&made.spec.digest);
    assert!(matches!(verify().await, DataVerification::Damaged { .. }), "the manifest counts too");
}

/// Content that was removed is damage, not an error.
pub async fn verify_notices_missing_content(under: &DataAssetsUnderTest) {
    let made = under.store.register(&under.asset("patients", "content").await).await.unwrap();
    under.artifacts.collect_garbage(&BTreeSet::new(), &GcOptions::default()).await.unwrap();
    let found = under.store.verify(&made.reference()).await.unwrap();
    assert!(matches!(found, DataVerification::Damaged { .. }), "{found:?}");
}

/// Content elsewhere is registered by its URI and digest; a store that cannot reach it does not call it intact.
pub async fn external_content_is_kept_by_name(under: &DataAssetsUnderTest) {
    for uri in ["abfss://data@lake.dfs.core.windows.net/patients/2026", "s3://no-such-bucket/größe/家族"]
    {
        let mut asset = under.asset("patients", "content").await;
        (asset.digest, asset.location) = (Digest::of(b"elsewhere"), Location::External(uri.to_owned()));
        let made = under.store.register(&asset).await.unwrap();
        assert_eq!(under.store.get(&made.reference()).await.unwrap().spec, asset);
        let found = under.store.verify(&made.reference()).await;
        assert!(!matches!(found, Ok(DataVerification::Intact { .. })), "nobody can have read that");
    }
}

/// URIs that hold credentials, leave their folder or have another scheme are refused, and not quoted in full.
pub async fn bad_uris_are_refused(under: &DataAssetsUnderTest) {
    for uri in [
        "",
        "patients.csv",
        "ftp://host/x",
        "http://host/x",
        "https://user:hunter2@host/x",
        "https://host/x?sig=hunter2",
        "https://host/a/../x",
        "https://host/%2e%2e/x",
        "https://host/a\nb",
    ] {
        let mut asset = under.asset("patients", "content").await;
        asset.location = Location::External(uri.to_owned());
        let error = fault(under.store.register(&asset).await);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{uri}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
    assert!(under.everything().await.is_empty());
}

/// Text of any script comes back as it went.
pub async fn unicode_is_kept_exactly(under: &DataAssetsUnderTest) {
    for text in TEXTS {
        let mut asset = under.asset("patients", text).await.with_description(*text);
        asset =
            asset.with_schema(Digest::of(b"schema")).with_content(Digest::of(text.as_bytes())).with_rows(1);
        asset.tags = hostile_tags();
        let made = under.store.register(&asset).await.unwrap();
        assert_eq!(made.spec, asset);
        assert_eq!(under.store.get(&made.reference()).await.unwrap().spec, asset, "{text:?}");
        assert_eq!(under.store.register(&asset).await.unwrap(), made, "{text:?}");
    }
}

/// Names that differ only in case are two names.
pub async fn names_that_differ_in_case_are_two(under: &DataAssetsUnderTest) {
    let lower = under.store.register(&under.asset("patients", "lower").await).await.unwrap();
    let upper = under.store.register(&under.asset("Patients", "upper").await).await.unwrap();
    assert_eq!((lower.version, upper.version), (Version::FIRST, Version::FIRST));
    assert_eq!(under.store.get(&latest("patients")).await.unwrap(), lower);
    assert_eq!(under.store.get(&latest("Patients")).await.unwrap(), upper);
}

/// What is too much is refused with the limit and what was sent; what just fits is kept.
pub async fn limits_are_typed(under: &DataAssetsUnderTest) {
    let fits =
        under.asset("patients", "1").await.with_description("é".repeat(MAX_TEXT)).with_rows(u64::MAX / 2);
    assert_eq!(under.store.register(&fits).await.unwrap().spec, fits);
    let long = under.asset("patients", "1").await.with_description("é".repeat(MAX_TEXT + 1));
    let mut tag = under.asset("patients", "1").await;
    tag.tags.insert(TagKey::new("k").unwrap(), "x".repeat(10 << 20));
    let mut tags = under.asset("patients", "1").await;
    tags.tags = (0..=MAX_ENTRIES).map(|i| (TagKey::new(i.to_string()).unwrap(), String::new())).collect();
    for (asset, limit) in [(long, MAX_TEXT), (tag, MAX_TEXT), (tags, MAX_ENTRIES)] {
        let error = fault(under.store.register(&asset).await);
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
        assert_eq!(error.context("limit"), Some(limit.to_string().as_str()));
        assert!(error.context("got").is_some());
    }
    assert_eq!(under.everything().await.len(), 1);
}
