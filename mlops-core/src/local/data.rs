//! The data asset store in the database.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::types::Value;
use rusqlite::{Connection, Transaction};

use super::db::Durability;
use super::garbage::keep;
use super::names::{self, Listed};
use super::row::{self, Cells, Record, bytes, damaged, doc, number, text, time};
use super::store::{Inner, LocalStore};
use super::verify::{Contents, FindingKind, Findings, gaps};
use crate::artifact::{ArtifactStore as _, ArtifactStoreExt as _};
use crate::data::{DataAsset, DataAssetStore, DataRef, DataVerification, Location, NewDataAsset};
use crate::error::{Error, ErrorKind, Result};
use crate::hash::Digest;
use crate::id::{AssetName, IdempotencyKey, Version, VersionSpec};
use crate::page::{Page, PageRequest};
use crate::time::truncate;

const REGISTER: &str = "DataAssetStore::register";

/// Data assets in a [`LocalStore`], whose content lies in its artifact store.
///
/// Every call is one transaction that is on the disk when it returns. Damage to the database is [`ErrorKind::Corrupt`] with
/// the name of the row, as with [`LocalModelRegistry`](super::LocalModelRegistry). A handle is cheap to clone.
///
/// ```
/// use mlops_core::artifact::ArtifactStoreExt as _;
/// use mlops_core::data::{AssetKind, DataAssetStore as _, DataRef, NewDataAsset};
/// use mlops_core::local::LocalStore;
/// use mlops_core::{ActorId, AssetName, RelPath};
/// # let dir = tempfile::tempdir()?;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let store = LocalStore::open(dir.path().join(".mlops"))?;
///
/// // Content first, then the name.
/// let file = (RelPath::new("rows.csv")?, b"x,y\n1,2\n".to_vec().into());
/// let (tree, _) = store.artifacts().put_files(&[file]).await?;
/// let name = AssetName::new("patients")?;
/// let asset = NewDataAsset::stored(name.clone(), AssetKind::Table, tree.digest, ActorId::new("ingest")?);
/// store.data_assets().register(&asset).await?;
/// assert_eq!(store.data_assets().get(&DataRef::latest(name)).await?.version.get(), 1);
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct LocalDataAssetStore {
    inner: Arc<Inner>,
}

impl LocalStore {
    /// The data assets of this store.
    ///
    /// ```
    /// # use mlops_core::local::LocalStore;
    /// # let dir = tempfile::tempdir()?;
    /// let assets = LocalStore::open(dir.path())?.data_assets();
    /// assert!(format!("{assets:?}").contains("LocalDataAssetStore"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn data_assets(&self) -> LocalDataAssetStore {
        LocalDataAssetStore { inner: self.inner().clone() }
    }
}

impl fmt::Debug for LocalDataAssetStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalDataAssetStore").field("folder", &self.inner.root).finish_non_exhaustive()
    }
}

/// An asset, and how many versions it has.
#[derive(Debug)]
pub(crate) struct AssetRow {
    name: AssetName,
    versions: u64,
    next: Option<AssetName>,
}

impl Record for AssetRow {
    const TABLE: &'static str = "data_asset";
    const COLUMNS: &'static str = "name, versions, next";
    const KEY: usize = 1;

    fn cells(&self) -> Result<Vec<Value>> {
        let next = self.next.as_ref().map_or(Value::Null, text);
        Ok(vec![text(&self.name), number(REGISTER, self.versions)?, next])
    }

    fn read(cells: &Cells<'_, '_>) -> Result<Self> {
        let next = cells.optional(2, Cells::parse)?;
        Ok(Self { name: cells.parse(0)?, versions: cells.number(1)?, next })
    }
}

impl Listed for AssetRow {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn next(&self) -> Option<&str> {
        self.next.as_ref().map(AssetName::as_str)
    }

    fn set_next(&mut self, operation: &'static str, next: Option<&str>) -> Result<()> {
        let read = |name| AssetName::new(name).map_err(|_| damaged(operation, Self::TABLE, name));
        self.next = next.map(read).transpose()?;
        Ok(())
    }
}

impl AssetRow {
    fn find(operation: &'static str, connection: &Connection, name: &AssetName) -> Result<Option<Self>> {
        row::find(operation, connection, "WHERE name = ?1", [name.as_str()])
    }

    fn get(operation: &'static str, connection: &Connection, name: &AssetName) -> Result<Self> {
        Self::find(operation, connection, name)?
            .ok_or_else(|| Error::not_found(operation, "data asset", name))
    }

    /// A version that is there.
    fn known(&self, operation: &'static str, connection: &Connection, version: u64) -> Result<DataAsset> {
        let params = (self.name.as_str(), row::bound(version));
        let tail = "WHERE name = ?1 AND version = ?2";
        let found: Option<AssetVersionRow> = row::find(operation, connection, tail, params)?;
        found.map(|row| row.0).ok_or_else(|| self.lost(operation, version))
    }

    /// At most `limit` versions before `before`, newest first.
    fn older(
        &self,
        operation: &'static str,
        connection: &Connection,
        before: u64,
        limit: usize,
    ) -> Result<Vec<DataAsset>> {
        let mut next = before.min(self.versions.saturating_add(1)).saturating_sub(1);
        let tail = "WHERE name = ?1 AND version <= ?2 ORDER BY version DESC LIMIT ?3";
        let params = (self.name.as_str(), row::bound(next), row::bound(limit as u64));
        let versions: Vec<AssetVersionRow> = row::list(operation, connection, tail, params)?;
        for AssetVersionRow(found) in &versions {
            if found.version.get() != next {
                return Err(self.lost(operation, next));
            }
            next -= 1;
        }
        if versions.len() < limit && next > 0 {
            return Err(self.lost(operation, next));
        }
        Ok(versions.into_iter().map(|row| row.0).collect())
    }

    /// Reads from the newest down, archived ones too: that one is archived must not be the damage of a bit.
    fn latest(&self, operation: &'static str, connection: &Connection) -> Result<Option<DataAsset>> {
        for version in (1..=self.versions).rev() {
            let found = self.known(operation, connection, version)?;
            if !found.archived {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn with_content(
        &self,
        operation: &'static str,
        connection: &Connection,
        digest: &Digest,
    ) -> Result<Option<DataAsset>> {
        let tail = "WHERE name = ?1 AND manifest = ?2";
        let params = (self.name.as_str(), digest.as_bytes());
        let found: Option<AssetContentRow> = row::find(operation, connection, tail, params)?;
        found.map(|row| self.known(operation, connection, row.version.get())).transpose()
    }

    fn lost(&self, operation: &'static str, version: u64) -> Error {
        damaged(operation, AssetVersionRow::TABLE, format_args!("{} {version}", self.name))
    }
}

/// A version of an asset.
#[derive(Debug)]
pub(crate) struct AssetVersionRow(pub(crate) DataAsset);

impl Record for AssetVersionRow {
    const TABLE: &'static str = "data_version";
    const COLUMNS: &'static str = "name, version, manifest, created_at, archived, doc";
    const KEY: usize = 2;

    fn cells(&self) -> Result<Vec<Value>> {
        let DataAsset { spec, version, created_at, archived } = &self.0;
        Ok(vec![
            text(&spec.name),
            row::version(Some(*version)),
            bytes(&spec.digest),
            time(*created_at),
            Value::Integer(i64::from(*archived)),
            doc(REGISTER, spec)?,
        ])
    }

    fn read(cells: &Cells<'_, '_>) -> Result<Self> {
        let mut asset = DataAsset::new(cells.doc(5)?, cells.version(1)?, cells.time(3)?);
        asset.archived = cells.flag(4)?;
        Ok(Self(asset))
    }
}

/// The highest version of an asset that has this content.
#[derive(Debug)]
pub(crate) struct AssetContentRow {
    name: AssetName,
    manifest: Digest,
    version: Version,
}

impl Record for AssetContentRow {
    const TABLE: &'static str = "data_content";
    const COLUMNS: &'static str = "name, manifest, version";
    const KEY: usize = 1;

    fn cells(&self) -> Result<Vec<Value>> {
        Ok(vec![text(&self.name), bytes(&self.manifest), row::version(Some(self.version))])
    }

    fn read(cells: &Cells<'_, '_>) -> Result<Self> {
        Ok(Self { name: cells.parse(0)?, manifest: cells.digest(1)?, version: cells.version(2)? })
    }
}

/// What was registered under a key.
#[derive(Debug)]
pub(crate) struct AssetCallRow {
    key: IdempotencyKey,
    request: Digest,
    name: AssetName,
    version: Version,
}

impl Record for AssetCallRow {
    const TABLE: &'static str = "data_call";
    const COLUMNS: &'static str = "key, request, name, version";
    const KEY: usize = 1;

    fn cells(&self) -> Result<Vec<Value>> {
        let version = row::version(Some(self.version));
        Ok(vec![text(&self.key), bytes(&self.request), text(&self.name), version])
    }

    fn read(cells: &Cells<'_, '_>) -> Result<Self> {
        Ok(Self {
            key: cells.parse(0)?,
            request: cells.digest(1)?,
            name: cells.parse(2)?,
            version: cells.version(3)?,
        })
    }
}

/// The registration made with this key, if it was one of the same content.
fn replay(connection: &Connection, asset: &NewDataAsset) -> Result<Option<DataAsset>> {
    let found: Option<AssetCallRow> =
        row::find(REGISTER, connection, "WHERE key = ?1", [asset.key.as_str()])?;
    let Some(call) = found else { return Ok(None) };
    if call.request != row::request(REGISTER, asset)? {
        let message = "the key was used to register something else";
        let error = Error::new(ErrorKind::Conflict, REGISTER, message).with("key", &asset.key);
        return Err(error.with("asset", &call.name).with("version", call.version));
    }
    let lost = || damaged(REGISTER, AssetCallRow::TABLE, &asset.key);
    let kept = AssetRow::find(REGISTER, connection, &call.name)?.ok_or_else(lost)?;
    kept.known(REGISTER, connection, call.version.get()).map(Some)
}

fn register(inner: &Inner, tx: &Transaction<'_>, asset: NewDataAsset) -> Result<DataAsset> {
    let mut kept = match AssetRow::find(REGISTER, tx, &asset.name)? {
        Some(kept) => kept,
        None => {
            let mut kept = AssetRow { name: asset.name.clone(), versions: 0, next: None };
            names::add(REGISTER, tx, &mut kept)?;
            kept
        }
    };
    let version = Version::new(kept.versions).map_or(Some(Version::FIRST), Version::next);
    let version = version.ok_or_else(|| Error::limit(REGISTER, "the version", "2^63 - 1", "2^63"))?;
    let (key, request) = (asset.key.clone(), row::request(REGISTER, &asset)?);
    let (name, manifest) = (asset.name.clone(), asset.digest);
    let made = DataAsset::new(asset, version, truncate(inner.clock.now()));
    row::insert(REGISTER, tx, &AssetVersionRow(made.clone()))?;
    row::put(REGISTER, tx, &AssetContentRow { name: name.clone(), manifest, version })?;
    row::insert(REGISTER, tx, &AssetCallRow { key, request, name, version })?;
    kept.versions = version.get();
    row::put(REGISTER, tx, &kept)?;
    Ok(made)
}

impl LocalDataAssetStore {
    async fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Inner, &Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = self.inner.clone();
        self.inner.db.read(operation, move |connection| work(&inner, connection)).await
    }

    async fn check_content(&self, asset: &NewDataAsset) -> Result<()> {
        let artifacts = &self.inner.artifacts;
        let looked = match artifacts.tree(&asset.digest).await {
            Ok(_) => artifacts.whole(REGISTER, &asset.digest).await.map(drop),
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                let error = Error::invalid(REGISTER, "digest", "names content that is not a manifest");
                return Err(error.with("digest", asset.digest).with_source(e));
            }
            Err(e) => Err(e),
        };
        looked.map_err(|e| e.with("asset", &asset.name))
    }
}

#[async_trait]
impl DataAssetStore for LocalDataAssetStore {
    async fn register(&self, asset: &NewDataAsset) -> Result<DataAsset> {
        asset.check()?;
        let asked = asset.clone();
        if let Some(made) = self.read(REGISTER, move |_, c| replay(c, &asked)).await? {
            return Ok(made);
        }
        // From here to the end of the transaction nothing is collected.
        let kept = keep(&self.inner, REGISTER).await?;
        if asset.location == Location::Stored {
            self.check_content(asset).await?;
        }
        let (inner, asset) = (self.inner.clone(), asset.clone());
        let write = move |tx: &Transaction<'_>| {
            // The same call may have come through while the content was looked for.
            match replay(tx, &asset)? {
                Some(made) => Ok((made, kept)),
                None => register(&inner, tx, asset).map(|made| (made, kept)),
            }
        };
        self.inner.db.write(REGISTER, Durability::Power, write).await.map(|(made, _)| made)
    }

    async fn get(&self, reference: &DataRef) -> Result<DataAsset> {
        const OP: &str = "DataAssetStore::get";
        let reference = reference.clone();
        self.read(OP, move |_, connection| {
            let kept = AssetRow::get(OP, connection, &reference.name)?;
            let found = match &reference.version {
                VersionSpec::Latest => kept.latest(OP, connection)?,
                VersionSpec::Exact(version) if version.get() > kept.versions => None,
                VersionSpec::Exact(version) => Some(kept.known(OP, connection, version.get())?),
                VersionSpec::Digest(digest) => kept.with_content(OP, connection, digest)?,
                VersionSpec::Alias(_) | VersionSpec::AliasAsOf { .. } => {
                    let error = Error::unsupported(OP, "aliases of data assets");
                    return Err(error.with("reference", &reference));
                }
            };
            found.ok_or_else(|| Error::not_found(OP, "version of this data asset", &reference))
        })
        .await
    }

    async fn versions(&self, name: &AssetName, page: &PageRequest) -> Result<Page<DataAsset>> {
        const OP: &str = "DataAssetStore::versions";
        let (name, page) = (name.clone(), page.clone());
        self.read(OP, move |inner, connection| {
            inner.pager.page(OP, &name, &page, |after: Option<Version>| {
                let kept = AssetRow::get(OP, connection, &name)?;
                let before = after.map_or(u64::MAX, Version::get);
                let assets = kept.older(OP, connection, before, page.limit + 1)?;
                Ok(assets.into_iter().map(|asset| (asset.version, asset)))
            })
        })
        .await
    }

    async fn names(&self, page: &PageRequest) -> Result<Page<AssetName>> {
        const OP: &str = "DataAssetStore::names";
        let page = page.clone();
        self.read(OP, move |inner, connection| {
            inner.pager.page(OP, &(), &page, |after: Option<AssetName>| {
                let after = after.as_ref().map(AssetName::as_str);
                let rows: Vec<AssetRow> = names::page(OP, connection, after, page.limit + 1)?;
                Ok(rows.into_iter().map(|row| (row.name.clone(), row.name)))
            })
        })
        .await
    }

    async fn set_archived(&self, name: &AssetName, version: Version, archived: bool) -> Result<DataAsset> {
        const OP: &str = "DataAssetStore::set_archived";
        let name = name.clone();
        self.inner
            .db
            .write(OP, Durability::Power, move |tx| {
                let missing =
                    || Error::not_found(OP, "version of this data asset", version).with("asset", &name);
                let kept = AssetRow::find(OP, tx, &name)?.filter(|kept| version.get() <= kept.versions);
                let mut asset = kept.ok_or_else(missing)?.known(OP, tx, version.get())?;
                if asset.archived != archived {
                    asset.archived = archived;
                    row::put(OP, tx, &AssetVersionRow(asset.clone()))?;
                }
                Ok(asset)
            })
            .await
    }

    async fn verify(&self, reference: &DataRef) -> Result<DataVerification> {
        let asset = self.get(reference).await?;
        if asset.spec.location != Location::Stored {
            let reason = "content outside the artifact store is not reached from here".to_owned();
            return Ok(DataVerification::NotChecked { reason });
        }
        match self.inner.artifacts.verify_tree(&asset.spec.digest).await {
            Ok(bytes) => Ok(DataVerification::Intact { bytes }),
            Err(e) if matches!(e.kind(), ErrorKind::Integrity | ErrorKind::NotFound | ErrorKind::Corrupt) => {
                Ok(DataVerification::Damaged { reason: e.to_string() })
            }
            Err(e) => Err(e),
        }
    }
}

/// The content of every version, archived ones too.
pub(crate) fn roots(operation: &'static str, connection: &Connection) -> Result<BTreeSet<Digest>> {
    let assets: Vec<AssetRow> = names::all(operation, connection)?;
    let mut expected: BTreeMap<_, _> = assets.into_iter().map(|asset| (asset.name, asset.versions)).collect();
    let mut roots = BTreeSet::new();
    row::each(operation, connection, "", [], |version: Result<AssetVersionRow>| {
        let AssetVersionRow(version) = version?;
        if let Some(missing) = expected.get_mut(&version.spec.name) {
            *missing = missing.saturating_sub(1);
        }
        roots.insert(version.spec.digest);
        Ok(())
    })?;
    match expected.into_iter().find(|(_, missing)| *missing > 0) {
        Some((name, missing)) => {
            let error = damaged(operation, AssetVersionRow::TABLE, format_args!("{name} count"));
            Err(error.with("missing", missing))
        }
        None => Ok(roots),
    }
}

/// Checks the data assets, and says what content they refer to.
pub(crate) fn check(connection: &Connection, findings: &mut Findings, contents: &mut Contents) -> Result<()> {
    let assets: Vec<AssetRow> = findings.rows(connection, "name", |row| row)?;
    findings.names(connection, &assets)?;
    let assets: BTreeMap<AssetName, u64> = assets.into_iter().map(|row| (row.name, row.versions)).collect();
    let mut numbers: BTreeMap<AssetName, Vec<u64>> =
        assets.keys().map(|name| (name.clone(), Vec::new())).collect();
    let mut highest = BTreeMap::new();
    let keep = |AssetVersionRow(made)| {
        let stored = made.spec.location == Location::Stored;
        (made.spec.name, made.version, made.spec.digest, stored)
    };
    for (name, version, digest, stored) in findings.rows(connection, "name, version", keep)? {
        if stored {
            contents.tree(digest, format_args!("data {name}:{version}"));
        }
        highest.insert((name.clone(), digest), version);
        numbers.entry(name).or_default().push(version.get());
    }
    for (name, found) in numbers {
        let expected = assets.get(&name).copied().unwrap_or(0);
        findings.count(format!("data_version {name}"), expected, found.len() as u64);
        for gap in gaps(expected, found) {
            findings.add(FindingKind::Missing, format!("data_version {name} {gap}"), "the version is gone");
        }
    }
    let rows: Vec<AssetContentRow> = findings.rows(connection, "name, manifest", |row| row)?;
    findings.count(AssetContentRow::TABLE, highest.len() as u64, rows.len() as u64);
    for AssetContentRow { name, manifest, version } in rows {
        if highest.get(&(name.clone(), manifest)) != Some(&version) {
            let reason = format!("version {version} is not the highest one with this content");
            findings.add(FindingKind::Inconsistent, format!("data_content {name} {manifest}"), reason);
        }
    }
    for call in findings.rows(connection, "key", |row: AssetCallRow| row)? {
        if assets.get(&call.name).is_none_or(|versions| call.version.get() > *versions) {
            let reason = format!("it was of {}, and what it did is not there", call.name);
            findings.add(FindingKind::Inconsistent, format!("data_call {}", call.key), reason);
        }
    }
    Ok(())
}
