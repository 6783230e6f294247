//! The data asset store in memory.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::artifact::{ArtifactStore, ArtifactStoreExt as _};
use crate::data::{DataAsset, DataAssetStore, DataRef, DataVerification, Location, NewDataAsset};
use crate::error::{Error, ErrorKind, Result};
use crate::hash::Digest;
use crate::id::{AssetName, IdempotencyKey, Version, VersionSpec};
use crate::page::pager::Pager;
use crate::page::{Page, PageRequest};
use crate::time::{Clock, lock};

/// Data assets in memory, whose content lies in an artifact store.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::artifact::ArtifactStoreExt as _;
/// use mlops_core::data::{AssetKind, DataAssetStore as _, DataRef, NewDataAsset};
/// use mlops_core::memory::{MemoryArtifactStore, MemoryDataAssetStore};
/// use mlops_core::time::SystemClock;
/// use mlops_core::{ActorId, AssetName, RelPath};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let artifacts = Arc::new(MemoryArtifactStore::default());
/// let store = MemoryDataAssetStore::new(artifacts.clone(), Arc::new(SystemClock::new()));
///
/// // Content first, then the name.
/// let (tree, _) = artifacts.put_files(&[(RelPath::new("rows.csv")?, b"x,y\n1,2\n".to_vec().into())]).await?;
/// let name = AssetName::new("patients")?;
/// let asset = NewDataAsset::stored(name.clone(), AssetKind::Table, tree.digest, ActorId::new("ingest")?);
/// store.register(&asset).await?;
/// assert_eq!(store.get(&DataRef::latest(name)).await?.version.get(), 1);
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MemoryDataAssetStore {
    artifacts: Arc<dyn ArtifactStore>,
    clock: Arc<dyn Clock>,
    pager: Pager,
    state: Mutex<State>,
}

/// Version n of an asset is at index n − 1.
#[derive(Default)]
struct State {
    assets: BTreeMap<AssetName, Vec<DataAsset>>,
    keys: HashMap<IdempotencyKey, (AssetName, usize)>,
}

impl MemoryDataAssetStore {
    /// An empty store, whose stored content lies in `artifacts`.
    pub fn new(artifacts: Arc<dyn ArtifactStore>, clock: Arc<dyn Clock>) -> Self {
        Self { artifacts, clock, pager: Pager::new(), state: Mutex::default() }
    }

    async fn check_content(&self, asset: &NewDataAsset) -> Result<()> {
        const OP: &str = "DataAssetStore::register";
        match self.artifacts.tree(&asset.digest).await {
            Ok(_) => Ok(()),
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                let error = Error::invalid(OP, "digest", "names content that is not a manifest");
                Err(error.with("digest", asset.digest).with_source(e))
            }
            Err(e) => Err(e.with("asset", &asset.name)),
        }
    }
}

impl fmt::Debug for MemoryDataAssetStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = lock(&self.state).assets.len();
        f.debug_struct("MemoryDataAssetStore").field("names", &names).finish_non_exhaustive()
    }
}

impl State {
    /// The registration made with this key, if it was one of the same content.
    fn replay(&self, asset: &NewDataAsset) -> Result<Option<DataAsset>> {
        let Some((name, index)) = self.keys.get(&asset.key) else { return Ok(None) };
        match self.assets.get(name).and_then(|versions| versions.get(*index)) {
            Some(made) if made.spec == *asset => Ok(Some(made.clone())),
            _ => {
                let message = "the key was used to register something else";
                let error = Error::new(ErrorKind::Conflict, "DataAssetStore::register", message);
                Err(error.with("key", &asset.key).with("asset", name).with("version", index + 1))
            }
        }
    }

    fn versions(&self, operation: &'static str, name: &AssetName) -> Result<&Vec<DataAsset>> {
        self.assets.get(name).ok_or_else(|| Error::not_found(operation, "data asset", name))
    }
}

fn index(version: Version) -> usize {
    usize::try_from(version.get() - 1).unwrap_or(usize::MAX)
}

#[async_trait]
impl DataAssetStore for MemoryDataAssetStore {
    async fn register(&self, asset: &NewDataAsset) -> Result<DataAsset> {
        const OP: &str = "DataAssetStore::register";
        asset.check()?;
        if let Some(made) = lock(&self.state).replay(asset)? {
            return Ok(made);
        }
        if asset.location == Location::Stored {
            self.check_content(asset).await?;
        }
        let mut state = lock(&self.state);
        // The same call may have come through while the content was looked for.
        if let Some(made) = state.replay(asset)? {
            return Ok(made);
        }
        let versions = state.assets.entry(asset.name.clone()).or_default();
        let index = versions.len();
        let version = versions.last().map_or(Some(Version::FIRST), |last| last.version.next());
        let version = version.ok_or_else(|| Error::limit(OP, "the version", "2^63 - 1", "2^63"))?;
        let made = DataAsset::new(asset.clone(), version, self.clock.now());
        versions.push(made.clone());
        state.keys.insert(asset.key.clone(), (asset.name.clone(), index));
        Ok(made)
    }

    async fn get(&self, reference: &DataRef) -> Result<DataAsset> {
        const OP: &str = "DataAssetStore::get";
        let state = lock(&self.state);
        let mut newest_first = state.versions(OP, &reference.name)?.iter().rev();
        let found = match &reference.version {
            VersionSpec::Latest => newest_first.find(|a| !a.archived),
            VersionSpec::Exact(version) => newest_first.find(|a| a.version == *version),
            VersionSpec::Digest(digest) => newest_first.find(|a| a.spec.digest == *digest),
            VersionSpec::Alias(_) | VersionSpec::AliasAsOf { .. } => {
                return Err(Error::unsupported(OP, "aliases of data assets").with("reference", reference));
            }
        };
        found.cloned().ok_or_else(|| Error::not_found(OP, "version of this data asset", reference))
    }

    async fn versions(&self, name: &AssetName, page: &PageRequest) -> Result<Page<DataAsset>> {
        const OP: &str = "DataAssetStore::versions";
        let state = lock(&self.state);
        self.pager.page(OP, name, page, |after: Option<Version>| {
            let versions = state.versions(OP, name)?;
            let older = after.map_or(versions.len(), index).min(versions.len());
            Ok(versions[..older].iter().rev().map(|asset| (asset.version, asset.clone())))
        })
    }

    async fn names(&self, page: &PageRequest) -> Result<Page<AssetName>> {
        let state = lock(&self.state);
        self.pager.page("DataAssetStore::names", &(), page, |after: Option<AssetName>| {
            let start = after.map_or(Bound::Unbounded, Bound::Excluded);
            let names = state.assets.range((start, Bound::Unbounded)).map(|(name, _)| name);
            Ok(names.map(|name| (name.clone(), name.clone())))
        })
    }

    async fn set_archived(&self, name: &AssetName, version: Version, archived: bool) -> Result<DataAsset> {
        const OP: &str = "DataAssetStore::set_archived";
        let mut state = lock(&self.state);
        let asset = state.assets.get_mut(name).and_then(|versions| versions.get_mut(index(version)));
        let asset = asset
            .ok_or_else(|| Error::not_found(OP, "version of this data asset", version).with("asset", name))?;
        asset.archived = archived;
        Ok(asset.clone())
    }

    async fn verify(&self, reference: &DataRef) -> Result<DataVerification> {
        let asset = self.get(reference).await?;
        if asset.spec.location != Location::Stored {
            let reason = "content outside the artifact store is not reached from memory".to_owned();
            return Ok(DataVerification::NotChecked { reason });
        }
        let digest: &Digest = &asset.spec.digest;
        match self.artifacts.verify_tree(digest).await {
            Ok(bytes) => Ok(DataVerification::Intact { bytes }),
            Err(e) if matches!(e.kind(), ErrorKind::Integrity | ErrorKind::NotFound | ErrorKind::Corrupt) => {
                Ok(DataVerification::Damaged { reason: e.to_string() })
            }
            Err(e) => Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::data::DataAssetsUnderTest;
    use crate::memory::MemoryArtifactStore;
    use crate::time::ManualClock;

    fn fresh(wrap: impl FnOnce(MemoryDataAssetStore) -> Arc<dyn DataAssetStore>) -> DataAssetsUnderTest {
        let clock = Arc::new(ManualClock::at(chrono::DateTime::UNIX_EPOCH));
        let artifacts = Arc::new(MemoryArtifactStore::new(clock.clone()));
        let damaged = artifacts.clone();
        let store = MemoryDataAssetStore::new(artifacts.clone(), clock);
        DataAssetsUnderTest::new(wrap(store), artifacts).with_damage(move |digest| damaged.damage(digest))
    }

    crate::data_asset_store_suite!(plain, fresh(|store| Arc::new(store)));
    crate::data_asset_store_suite!(
        in_an_arc,
        fresh(|store| Arc::new(Arc::new(store) as Arc<dyn DataAssetStore>))
    );
    crate::data_asset_store_suite!(
        in_a_box,
        fresh(|store| Arc::new(Box::new(store) as Box<dyn DataAssetStore>))
    );
}
