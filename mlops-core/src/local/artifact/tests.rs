//! What the store promises beyond the suite of its trait.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::*;
use crate::conformance::artifact::ArtifactsUnderTest;
use crate::time::ManualClock;

/// A store in a folder of its own.
struct Fixture {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    store: LocalArtifactStore,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
        let store = LocalArtifactStore::open(&folder.path().join("cas"), clock.clone()).unwrap();
        Self { folder, clock, store }
    }

    fn cas(&self) -> PathBuf {
        self.folder.path().join("cas")
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        path_of(&self.cas(), digest)
    }
}

fn path_of(cas: &Path, digest: &Digest) -> PathBuf {
    let hex = digest.hex();
    cas.join("sha256").join(&hex[..2]).join(&hex[2..])
}

/// Puts other bytes where content is, as a failing disk does.
fn overwrite(path: &Path, bytes: &[u8]) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    match bytes.last_mut() {
        Some(last) => *last ^= 1,
        None => bytes.push(0),
    }
    overwrite(path, &bytes);
}

/// Bytes that do not repeat, the same on every run.
fn noise(length: usize) -> Vec<u8> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    (0..length).map(|_| random.next().to_be_bytes()[0]).collect()
}

/// A multiplicative generator, for tests alone.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 8
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next()).unwrap() % limit
    }
}

/// The answer of a future that needs no runtime: the work runs in place.
fn now<T>(future: impl Future<Output = T>) -> T {
    futures_util::FutureExt::now_or_never(future).expect("nothing is waited for")
}

/// Everything a stream hands out, and the error that ends it.
async fn drain(mut stream: ByteStream) -> (Vec<u8>, Option<Error>) {
    let mut all = Vec::new();
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) => all.extend_from_slice(&piece),
            Err(error) => return (all, Some(error)),
        }
    }
    (all, None)
}

fn skipped(reason: &str) {
    println!("skipped: {reason}");
}

fn fresh(wrap: impl FnOnce(Arc<LocalArtifactStore>) -> Arc<dyn ArtifactStore>) -> ArtifactsUnderTest {
    let fixture = Fixture::new();
    let store = wrap(Arc::new(fixture.store.clone()));
    let clock = fixture.clock.clone();
    ArtifactsUnderTest::new(store).with_clock(clock).with_damage(move |digest| damage(&fixture.path(digest)))
}

crate::artifact_store_suite!(plain, fresh(|store| store));
crate::artifact_store_suite!(in_an_arc, fresh(|store| Arc::new(store as Arc<dyn ArtifactStore>)));
crate::artifact_store_suite!(in_a_box, fresh(|store| Arc::new(Box::new(store) as Box<dyn ArtifactStore>)));

mod children;
mod damage;
mod faults;
mod folders;
mod races;
