//! The suite of [`ArtifactStore`].

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::support::{RACERS, fault, kind, race, skipped};
use crate::artifact::{ArtifactStore, ArtifactStoreExt as _, Blob, ByteStream, Entry, GcOptions, Manifest};
use crate::error::{Error, ErrorKind, Result};
use crate::hash::Digest;
use crate::id::RelPath;
use crate::time::ManualClock;

/// Makes a test of every case of the [`ArtifactStore`] suite.
///
/// Takes the name of the module to put them in, and an expression that makes a fresh
/// [`ArtifactsUnderTest`](crate::conformance::artifact::ArtifactsUnderTest). See
/// [the module](crate::conformance) for a whole example.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::conformance::artifact::ArtifactsUnderTest;
/// use mlops_core::memory::MemoryArtifactStore;
///
/// mlops_core::artifact_store_suite!(
///     memory,
///     ArtifactsUnderTest::new(Arc::new(MemoryArtifactStore::default()))
/// );
/// ```
#[macro_export]
macro_rules! artifact_store_suite {
    ($module:ident, $fresh:expr) => {
        $crate::__conformance_suite! { $module, $fresh, artifact, [
            put_is_idempotent,
            put_checks_expect,
            broken_body_stores_nothing,
            content_never_changes,
            get_missing_is_not_found,
            get_range,
            damaged_content_is_not_handed_out,
            put_repairs_damage,
            empty_content_is_content,
            pieces_make_the_same_blob_as_the_whole,
            large_content_round_trips,
            put_tree_needs_its_files,
            trees_round_trip,
            trees_are_named_by_paths_and_contents,
            tree_of_other_content_is_corrupt,
            paths_of_any_script_are_kept_exactly,
            a_damaged_file_fails_the_tree,
            gc_keeps_what_is_reachable,
            gc_keeps_what_is_young,
            gc_dry_run_removes_nothing,
            gc_counts_age_from_the_last_put,
            gc_beside_a_damaged_root_loses_nothing,
            removed_content_can_be_put_again,
            concurrent_puts_are_one_blob,
            concurrent_collection_loses_nothing_young,
            failed_calls_change_nothing,
        ] }
    };
}

/// An empty artifact store and what the suite may do to it.
pub struct ArtifactsUnderTest {
    store: Arc<dyn ArtifactStore>,
    clock: Option<Arc<ManualClock>>,
    damage: Option<Damage>,
}

type Damage = Box<dyn Fn(&Digest) + Send + Sync>;

impl ArtifactsUnderTest {
    /// An empty store.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use mlops_core::conformance::artifact::ArtifactsUnderTest;
    /// use mlops_core::memory::MemoryArtifactStore;
    /// let under_test = ArtifactsUnderTest::new(Arc::new(MemoryArtifactStore::default()));
    /// assert!(format!("{under_test:?}").contains("MemoryArtifactStore"));
    /// ```
    pub fn new(store: Arc<dyn ArtifactStore>) -> Self {
        Self { store, clock: None, damage: None }
    }

    /// The clock by which the store tells the age of content, when it can be turned.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<ManualClock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// A way to change the stored bytes of a digest behind the store's back.
    #[must_use]
    pub fn with_damage(mut self, damage: impl Fn(&Digest) + Send + Sync + 'static) -> Self {
        self.damage = Some(Box::new(damage));
        self
    }
}

impl fmt::Debug for ArtifactsUnderTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArtifactsUnderTest")
            .field("store", &self.store)
            .field("clock", &self.clock)
            .field("damage", &self.damage.is_some())
            .finish()
    }
}

const LIMIT: usize = 64 << 20;

fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

fn entry(at: &str, blob: Blob) -> Entry {
    Entry { path: path(at), digest: blob.digest, size: blob.size }
}

fn pieces(pieces: Vec<Result<Bytes>>) -> ByteStream {
    ByteStream::new(futures_util::stream::iter(pieces))
}

/// Bytes that neither compress nor repeat, the same on every run (the low byte of a multiplicative generator).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

async fn holds(store: &dyn ArtifactStore, blobs: &[Blob]) {
    for blob in blobs {
        assert_eq!(store.head(&blob.digest).await.unwrap(), Some(*blob));
        let bytes = store.get_bytes(&blob.digest, LIMIT).await.unwrap();
        assert_eq!(Digest::of(&bytes), blob.digest);
    }
}

async fn lacks(store: &dyn ArtifactStore, digest: &Digest) {
    assert_eq!(store.head(digest).await.unwrap(), None);
    assert_eq!(kind(store.get(digest, None).await), ErrorKind::NotFound);
}

/// The same content twice is one blob.
pub async fn put_is_idempotent(under: &ArtifactsUnderTest) {
    let store = &under.store;
    let one = store.put_bytes(b"weights".to_vec()).await.unwrap();
    let two = store.put_bytes(b"weights".to_vec()).await.unwrap();
    assert_eq!(one, two);
    assert_eq!(one, Blob { digest: Digest::of(b"weights"), size: 7 });
    holds(store, &[one]).await;
    let report = store.collect_garbage(&BTreeSet::new(), &GcOptions::default()).await.unwrap();
    assert_eq!(report.removed, [one], "it is there once");
}

/// Content of another digest than the one expected is refused and not stored.
pub async fn put_checks_expect(under: &ArtifactsUnderTest) {
    let store = &under.store;
    let right = Digest::of(b"right");
    let error = fault(store.put(b"wrong".to_vec().into(), Some(right)).await);
    assert_eq!(error.kind(), ErrorKind::Integrity);
    for digest in [right, Digest::of(b"wrong")] {
        lacks(store, &digest).await;
    }
    assert_eq!(store.put(b"right".to_vec().into(), Some(right)).await.unwrap().digest, right);
}

/// A body that ends in an error stores nothing, and the error comes back as it was.
pub async fn broken_body_stores_nothing(under: &ArtifactsUnderTest) {
    let store = &under.store;
    for good in [0, 1, 3] {
        let mut body: Vec<_> = (0..good).map(|_| Ok(Bytes::from_static(b"abcd"))).collect();
        body.push(Err(Error::new(ErrorKind::Transport, "peer", "the connection was cut")));
        assert_eq!(kind(store.put(pieces(body), None).await), ErrorKind::Transport);
        lacks(store, &Digest::of("abcd".repeat(good).as_bytes())).await;
    }
    let report = store.collect_garbage(&BTreeSet::new(), &GcOptions::default()).await.unwrap();
    assert!(report.removed.is_empty(), "nothing was left behind");
}

/// What was readable stays readable, byte for byte, whatever is stored beside it.
pub async fn content_never_changes(under: &ArtifactsUnderTest) {
    let store = &under.store;
    let first = store.put_bytes(noise(1000)).await.unwrap();
    for i in 0..50 {
        store.put_bytes(noise(i)).await.unwrap();
        let _ = store.put(noise(1000).into(), Some(Digest::of(b"other"))).await;
    }
    assert_eq!(store.get_bytes(&first.digest, LIMIT).await.unwrap(), noise(1000));
}

/// What is not there is not found, by every way of reading.
pub async fn get_missing_is_not_found(under: &ArtifactsUnderTest) {
    let missing = Digest::of(b"missing");
    lacks(&under.store, &missing).await;
    assert_eq!(kind(under.store.get(&missing, Some(0..0)).await), ErrorKind::NotFound);
    assert_eq!(kind(under.store.tree(&missing).await), ErrorKind::NotFound);
}

/// A range gives exactly its bytes, and one that does not lie within the content is refused.
pub async fn get_range(under: &ArtifactsUnderTest) {
    let store = &under.store;
    let blob = store.put_bytes(b"0123456789".to_vec()).await.unwrap();
    for (range, expected) in [
        (0..10, "0123456789"),
        (0..1, "0"),
        (3..7, "3456"),
        (9..10, "9"),
        (0..0, ""),
        (4..4, ""),
        (10..10, ""),
    ] {
        let stream = store.get(&blob.digest, Some(range.clone())).await.unwrap();
        assert_eq!(stream.collect(LIMIT).await.unwrap(), expected, "{range:?}");
    }
    let bad: [Range<u64>; 6] = [
        0..11,
        10..11,
        11..11,
        Range { start: 7, end: 3 },
        u64::MAX - 1..u64::MAX,
        Range { start: u64::MAX, end: 0 },
    ];
    for range in bad {
        let error = fault(store.get(&blob.digest, Some(range.clone())).await);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{range:?}");
        assert_eq!(error.context("field"), Some("range"));
    }
}

/// Content that no longer hashes to its digest is an integrity error before any byte of it, whole or in part.
pub async fn damaged_content_is_not_handed_out(under: &ArtifactsUnderTest) {
    let Some(damage) = &under.damage else { return skipped("content cannot be damaged here") };
    let store = &under.store;
    for content in [Vec::new(), b"x".to_vec(), noise(100_000)] {
        let blob = store.put_bytes(content).await.unwrap();
        damage(&blob.digest);
        assert_eq!(kind(store.get(&blob.digest, None).await), ErrorKind::Integrity);
        // Also where the bytes asked for are not the ones that changed.
        assert_eq!(kind(store.get(&blob.digest, Some(0..0)).await), ErrorKind::Integrity);
    }
}

/// Putting content again makes a damaged blob whole.
pub async fn put_repairs_damage(under: &ArtifactsUnderTest) {
    let Some(damage) = &under.damage else { return skipped("content cannot be damaged here") };
    let blob = under.store.put_bytes(b"weights".to_vec()).await.unwrap();
    damage(&blob.digest);
    assert_eq!(under.store.put_bytes(b"weights".to_vec()).await.unwrap(), blob);
    holds(&under.store, &[blob]).await;
}

/// Nothing is content too: zero bytes, with a digest.
pub async fn empty_content_is_content(under: &ArtifactsUnderTest) {
    let blob = under.store.put_bytes(Vec::new()).await.unwrap();
    assert_eq!(blob, Blob { digest: Digest::of(b""), size: 0 });
    holds(&under.store, &[blob]).await;
}

/// How content was cut on the way does not matter.
pub async fn pieces_make_the_same_blob_as_the_whole(under: &ArtifactsUnderTest) {
    let content = noise(1000);
    let whole = under.store.put_bytes(content.clone()).await.unwrap();
    for size in [1, 7, 999, 1000] {
        let mut body: Vec<_> = content.chunks(size).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
        body.insert(0, Ok(Bytes::new()));
        body.push(Ok(Bytes::new()));
        assert_eq!(under.store.put(pieces(body), None).await.unwrap(), whole, "pieces of {size}");
    }
}

/// Megabytes come back as they went, whole and in part.
pub async fn large_content_round_trips(under: &ArtifactsUnderTest) {
    let content = noise((4 << 20) + 17);
    let body = content.chunks(65_537).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
    let blob = under.store.put(pieces(body), None).await.unwrap();
    assert_eq!((blob.digest, blob.size), (Digest::of(&content), content.len() as u64));
    assert_eq!(under.store.get_bytes(&blob.digest, LIMIT).await.unwrap(), content);
    let part = under.store.get(&blob.digest, Some(1_048_575..3_145_729)).await.unwrap();
    assert_eq!(part.collect(LIMIT).await.unwrap(), content[1_048_575..3_145_729]);
}

/// A tree needs every file, with the size stated; else nothing is stored.
pub async fn put_tree_needs_its_files(under: &ArtifactsUnderTest) {
    let store = &under.store;
    let a = store.put_bytes(b"a".to_vec()).await.unwrap();
    let missing = Blob { digest: Digest::of(b"b"), size: 1 };
    for (entries, expected) in [
        (vec![entry("a", a), entry("b", missing)], ErrorKind::NotFound),
        (vec![entry("a", Blob { size: 2, ..a })], ErrorKind::Integrity),
        (vec![entry("a", Blob { size: 0, ..a })], ErrorKind::Integrity),
    ] {
        let manifest = Manifest::new(entries).unwrap();
        let error = fault(store.put_tree(&manifest).await);
        assert_eq!(error.kind(), expected);
        assert!(error.context("path").is_some(), "the error names the file: {error}");
        lacks(store, &manifest.digest().unwrap()).await;
    }
}

/// A tree comes back as it was stored, under the digest of its canonical form, and can be read as content.
pub async fn trees_round_trip(under: &ArtifactsUnderTest) {
    let store = &under.store;
    let files =
        [(path("model/weights"), Bytes::from(noise(500))), (path("model.json"), Bytes::from_static(b"{}"))];
    let (blob, manifest) = store.put_files(&files).await.unwrap();
    assert_eq!(blob.digest, manifest.digest().unwrap());
    assert_eq!(store.tree(&blob.digest).await.unwrap(), manifest);
    assert_eq!(store.get_bytes(&blob.digest, LIMIT).await.unwrap(), manifest.to_bytes().unwrap());
    assert_eq!(store.put_tree(&manifest).await.unwrap(), blob, "twice is once");
    assert_eq!(store.verify_tree(&blob.digest).await.unwrap(), 502);
}

/// Trees have one digest exactly if they have the same paths with the same contents.
pub async fn trees_are_named_by_paths_and_contents(under: &ArtifactsUnderTest) {
    let tree = async |files: &[(&str, &'static str)]| {
        let files: Vec<_> = files.iter().map(|(p, c)| (path(p), Bytes::from(*c))).collect();
        under.store.put_files(&files).await.unwrap().0.digest
    };
    assert_eq!(tree(&[("a", "1"), ("b", "2")]).await, tree(&[("b", "2"), ("a", "1")]).await);
    let different = [
        tree(&[("a", "bc")]).await,
        tree(&[("ab", "c")]).await,
        tree(&[("a/b", "c")]).await,
        tree(&[("a", "c"), ("b", "b")]).await,
        tree(&[("a", "b"), ("b", "c")]).await,
    ];
    assert_eq!(different.iter().collect::<BTreeSet<_>>().len(), different.len());
}

/// Content that is not a manifest is not read as one.
pub async fn tree_of_other_content_is_corrupt(under: &ArtifactsUnderTest) {
    for content in ["", "{}", "weights", "[]", r#"{"schema":"mlops.manifest/v2","entries":[]}"#] {
        let blob = under.store.put_bytes(content).await.unwrap();
        assert_eq!(kind(under.store.tree(&blob.digest).await), ErrorKind::Corrupt, "{content}");
    }
}

/// Paths of any script, and deep and long ones, are kept exactly.
pub async fn paths_of_any_script_are_kept_exactly(under: &ArtifactsUnderTest) {
    let long = "x".repeat(255);
    let deep = vec!["d"; 64].join("/");
    let names = [
        "größe/ß",
        "gro\u{308}ße",
        "模型/权重 🔬",
        "שלום",
        ".hidden",
        "100% 'a;b' $(id)",
        "-rf",
        &long,
        &deep,
    ];
    let files: Vec<_> = names.iter().map(|n| (path(n), Bytes::from((*n).to_owned()))).collect();
    let (blob, _) = under.store.put_files(&files).await.unwrap();
    let tree = under.store.tree(&blob.digest).await.unwrap();
    assert_eq!(tree.entries().len(), names.len());
    for name in names {
        assert_eq!(tree.get(&path(name)).unwrap().digest, Digest::of(name.as_bytes()), "{name}");
    }
}

/// Checking a tree finds the one file that changed, and names it.
pub async fn a_damaged_file_fails_the_tree(under: &ArtifactsUnderTest) {
    let Some(damage) = &under.damage else { return skipped("content cannot be damaged here") };
    let files = [(path("good"), Bytes::from_static(b"1")), (path("bad"), Bytes::from_static(b"2"))];
    let (blob, manifest) = under.store.put_files(&files).await.unwrap();
    damage(&manifest.get(&path("bad")).unwrap().digest);
    let error = fault(under.store.verify_tree(&blob.digest).await);
    assert_eq!((error.kind(), error.context("path")), (ErrorKind::Integrity, Some("bad")));
    damage(&blob.digest);
    assert_eq!(kind(under.store.tree(&blob.digest).await), ErrorKind::Integrity);
}

/// Roots and the files of their trees stay; all else goes and is reported.
pub async fn gc_keeps_what_is_reachable(under: &ArtifactsUnderTest) {
    let store = &under.store;
    let (tree, manifest) = store.put_files(&[(path("kept"), Bytes::from_static(b"kept"))]).await.unwrap();
    let (gone_tree, gone) = store.put_files(&[(path("gone"), Bytes::from_static(b"gone"))]).await.unwrap();
    let root = store.put_bytes(b"root".to_vec()).await.unwrap();
    let kept = manifest.get(&path("kept")).unwrap();
    let kept = Blob { digest: kept.digest, size: kept.size };
    // A root that is not in the store does no harm.
    let roots = BTreeSet::from([tree.digest, root.digest, Digest::of(b"elsewhere")]);
    let report = store.collect_garbage(&roots, &GcOptions::default()).await.unwrap();
    let removed: BTreeSet<Digest> = report.removed.iter().map(|b| b.digest).collect();
    assert_eq!(removed, BTreeSet::from([gone_tree.digest, gone.entries()[0].digest]));
    assert_eq!((report.removed.len(), report.reachable, report.in_grace), (2, 3, 0));
    holds(store, &[tree, root, kept]).await;
    for digest in removed {
        lacks(store, &digest).await;
    }
}

/// Content younger than the grace stays.
pub async fn gc_keeps_what_is_young(under: &ArtifactsUnderTest) {
    let store = &under.store;
    let hour = GcOptions::default().with_grace(Duration::from_secs(3600));
    let blob = store.put_bytes(b"young".to_vec()).await.unwrap();
    for grace in [hour.clone(), GcOptions::default().with_grace(Duration::MAX)] {
        let report = store.collect_garbage(&BTreeSet::new(), &grace).await.unwrap();
        assert_eq!((report.removed.len(), report.in_grace), (0, 1));
    }
    holds(store, &[blob]).await;
    let Some(clock) = &under.clock else { return skipped("the clock cannot be turned here") };
    clock.advance(Duration::from_secs(3599));
    assert!(store.collect_garbage(&BTreeSet::new(), &hour).await.unwrap().removed.is_empty());
    clock.advance(Duration::from_secs(1));
    assert_eq!(store.collect_garbage(&BTreeSet::new(), &hour).await.unwrap().removed, [blob]);
    lacks(store, &blob.digest).await;
}

/// A dry run reports the same and removes nothing.
pub async fn gc_dry_run_removes_nothing(under: &ArtifactsUnderTest) {
    let store = &under.store;
    let blob = store.put_bytes(b"unreachable".to_vec()).await.unwrap();
    let dry = GcOptions::default().with_dry_run(true);
    let said = store.collect_garbage(&BTreeSet::new(), &dry).await.unwrap();
    holds(store, &[blob]).await;
    assert_eq!(store.collect_garbage(&BTreeSet::new(), &GcOptions::default()).await.unwrap(), said);
    lacks(store, &blob.digest).await;
}

/// Content that is put again, or put into a tree, is young again: somebody is about to register it.
pub async fn gc_counts_age_from_the_last_put(under: &ArtifactsUnderTest) {
    let Some(clock) = &under.clock else { return skipped("the clock cannot be turned here") };
    let store = &under.store;
    let hour = GcOptions::default().with_grace(Duration::from_secs(3600));
    let again = store.put_bytes(b"again".to_vec()).await.unwrap();
    let filed = store.put_bytes(b"filed".to_vec()).await.unwrap();
    let old = store.put_bytes(b"old".to_vec()).await.unwrap();
    clock.advance(Duration::from_secs(3600));
    store.put_bytes(b"again".to_vec()).await.unwrap();
    let tree = store.put_tree(&Manifest::new(vec![entry("f", filed)]).unwrap()).await.unwrap();
    let report = store.collect_garbage(&BTreeSet::new(), &hour).await.unwrap();
    assert_eq!((report.removed, report.in_grace), (vec![old], 3));
    holds(store, &[again, filed, tree]).await;
}

/// A root whose manifest is damaged does not cost its files, whether collection goes on or refuses.
pub async fn gc_beside_a_damaged_root_loses_nothing(under: &ArtifactsUnderTest) {
    let Some(damage) = &under.damage else { return skipped("content cannot be damaged here") };
    let store = &under.store;
    let (tree, manifest) = store.put_files(&[(path("f"), Bytes::from_static(b"kept"))]).await.unwrap();
    damage(&tree.digest);
    if let Err(error) = store.collect_garbage(&BTreeSet::from([tree.digest]), &GcOptions::default()).await {
        assert!(matches!(error.kind(), ErrorKind::Integrity | ErrorKind::Corrupt), "{error}");
    }
    let kept = &manifest.entries()[0];
    holds(store, &[Blob { digest: kept.digest, size: kept.size }]).await;
}

/// What was removed is gone as if it had never been there.
pub async fn removed_content_can_be_put_again(under: &ArtifactsUnderTest) {
    let store = &under.store;
    let blob = store.put_bytes(b"phoenix".to_vec()).await.unwrap();
    store.collect_garbage(&BTreeSet::new(), &GcOptions::default()).await.unwrap();
    lacks(store, &blob.digest).await;
    assert_eq!(store.put_bytes(b"phoenix".to_vec()).await.unwrap(), blob);
    holds(store, &[blob]).await;
}

/// Many tasks that store the same content make one blob, and all of them are told so.
pub async fn concurrent_puts_are_one_blob(under: &ArtifactsUnderTest) {
    let content = noise(50_000);
    let blobs = race(RACERS, |i| {
        let (store, content) = (under.store.clone(), content.clone());
        async move {
            let size = 1000 + i;
            let body = content.chunks(size).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
            let blob = store.put(pieces(body), None).await.unwrap();
            assert_eq!(store.get_bytes(&blob.digest, LIMIT).await.unwrap(), content);
            blob
        }
    })
    .await;
    assert!(blobs.iter().all(|b| *b == blobs[0]));
    let report = under.store.collect_garbage(&BTreeSet::new(), &GcOptions::default()).await.unwrap();
    assert_eq!(report.removed, [blobs[0]]);
}

/// Collecting with a grace while others store loses nothing that was just stored.
pub async fn concurrent_collection_loses_nothing_young(under: &ArtifactsUnderTest) {
    let grace = GcOptions::default().with_grace(Duration::from_secs(3600));
    race(RACERS, |i| {
        let (store, grace) = (under.store.clone(), grace.clone());
        async move {
            if i % 4 == 0 {
                store.collect_garbage(&BTreeSet::new(), &grace).await.unwrap();
                return;
            }
            let content = Bytes::from(format!("content {i}"));
            let (tree, _) = store.put_files(&[(path("f"), content)]).await.unwrap();
            assert!(store.verify_tree(&tree.digest).await.is_ok());
        }
    })
    .await;
}

/// Whatever fails leaves the store with what it had.
pub async fn failed_calls_change_nothing(under: &ArtifactsUnderTest) {
    let store = &under.store;
    let (tree, manifest) = store.put_files(&[(path("f"), Bytes::from_static(b"file"))]).await.unwrap();
    let everything = async || {
        let dry = GcOptions::default().with_dry_run(true);
        let mut all = store.collect_garbage(&BTreeSet::new(), &dry).await.unwrap().removed;
        all.sort_by_key(|blob| blob.digest);
        all
    };
    let before = everything().await;
    assert_eq!(before.len(), 2);
    let cut = || vec![Ok(Bytes::from_static(b"half")), Err(Error::new(ErrorKind::Transport, "peer", "cut"))];
    let foreign = Blob { digest: Digest::of(b"foreign"), size: 7 };
    assert!(store.put(pieces(cut()), None).await.is_err());
    assert!(store.put(b"x".to_vec().into(), Some(foreign.digest)).await.is_err());
    assert!(store.put_tree(&Manifest::new(vec![entry("x", foreign)]).unwrap()).await.is_err());
    assert!(store.tree(&manifest.entries()[0].digest).await.is_err());
    assert!(store.get(&tree.digest, Some(0..u64::MAX)).await.is_err());
    assert_eq!(everything().await, before);
    assert_eq!(store.verify_tree(&tree.digest).await.unwrap(), 4);
}
