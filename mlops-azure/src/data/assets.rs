//! Core's data asset store on the data assets of a workspace.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::artifact::{ArtifactStore, ArtifactStoreExt as _};
use mlops_core::data::{
    AssetKind, DataAsset, DataAssetStore, DataRef, DataVerification, Location, NewDataAsset,
};
use mlops_core::hash::{Digest, Hasher};
use mlops_core::id::{TagKey, check_uri};
use mlops_core::page::pager::Pager;
use mlops_core::time::{Clock, Timestamp};
use mlops_core::{
    ActorId, AssetName, Error, ErrorKind, IdempotencyKey, Page, PageRequest, Result, Tags, Version,
    VersionSpec,
};
use tokio::sync::Mutex;

use super::case;
use super::once::{self, Once, PATIENCE, RESERVED, is_taken};
use crate::config::Workspace;
use crate::config::name::is_asset;
use crate::http::Service;
use crate::ledger::text::{ascii_json, from_json, gather, shown, spread};
use crate::wire::{At, DataType, DataVersion, Place, Resource, TextMap};

/// The property, and the tag, with the digest of the content.
const DIGEST: &str = "mlops.digest";

/// The longest text that is written a second time, for people.
const SHOWN: usize = 5_000;

/// How many numbers are tried for one registration before it is given up: each is one that another client took meanwhile.
const TRIES: u64 = 10_000;

/// Data assets of a workspace, whose stored content lies in an artifact store.
///
/// # What Azure shows, and what counts
/// A version is a version of an Azure data asset of the same name and number: [`AssetKind::File`] is `uri_file`,
/// [`AssetKind::Folder`] `uri_folder` and [`AssetKind::Table`] `mltable`, which Azure's own tools read only where the folder has
/// a file `MLTable`. The place is the URI of [`Location::External`], or where the manifest of stored content lies, below
/// [`with_sources`](Self::with_sources). Description and tags are where the studio and other clients look for them; the whole
/// specification is in the properties `mlops.spec.000`, …, which Azure does not let be changed, and is checked against its
/// digest whenever it is read. The digest of the content is in the tag `mlops.digest`, where people find it, and in the property of
/// this name, which counts. What others change of tags and description in Azure changes nothing here.
///
/// # Versions and keys
/// A registration is four writes and reads in this order, each of which may be repeated by anybody who makes the same call:
/// the key gets its content and the first number that was free; the lowest number from there that nobody else has gets the
/// key; the version is written, and read back until it is seen and is what was written. So any number of clients get distinct
/// numbers without gaps, one key makes one version, and a process that dies in between is continued by its repetition.
///
/// What remains, because Azure permits no more:
/// * That of two writes with different places one is refused is what the service says of itself; how it decides between two that
///   arrive in the same instant is not documented. If it took both, two registrations would share a number, and the one whose
///   version is read back otherwise tries the next.
/// * A process that dies after its number was given and never repeats its call leaves the number out.
/// * Another client that writes the very version that is being registered here, with the same place and in the moment between
///   number and version, finds its tags and description replaced; this registration takes the next number.
/// * Archiving is a read and a write of the whole version: of two that do it at once the later one counts. Whoever deletes
///   versions with another client takes them away.
/// * Whether Azure tells names apart that differ in case only is not documented. Where it does not, the one that comes second is
///   kept under another: `Patients` beside `patients` as `Patients--u1`. Names of that form are refused.
///
/// # Assets of other clients
/// Core's assets have a digest, Azure's have none. One that another client registered is read if its tags or properties have
/// the digest of its content under `mlops.digest`; its key follows from name and version. Any other is
/// [`ErrorKind::Unsupported`] when it is asked for, also where it is the newest and `Latest` is asked for, is left out of
/// `versions`, and can be read as Azure has it by [`azure`](Self::azure).
///
/// # Cost
/// A registration takes five requests, and four after the first of a name through this handle; a read by number takes one, by
/// `Latest` and by digest one for each page of versions, archiving two.
///
/// ```
/// use std::sync::Arc;
/// use mlops_azure::auth::{AccessToken, FixedToken};
/// use mlops_azure::config::{Cloud, Endpoints, Workspace};
/// use mlops_azure::data::AzureDataAssets;
/// use mlops_azure::http::Service;
/// use mlops_core::memory::MemoryArtifactStore;
/// use mlops_core::time::SystemClock;
///
/// let tokens = Arc::new(FixedToken::new(AccessToken::new("…", "2100-01-01T00:00:00Z".parse()?)));
/// let service = Service::resource_manager(&Endpoints::of(Cloud::Public)?, tokens).build()?;
/// let workspace = Workspace::new("00000000-0000-0000-0000-000000000000", "rg-ml", "mlw-churn")?;
/// let content = Arc::new(MemoryArtifactStore::default());
/// let assets = AzureDataAssets::new(service, &workspace, content, Arc::new(SystemClock::new()));
/// assert!(format!("{assets:?}").contains("mlw-churn"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct AzureDataAssets {
    service: Service,
    place: Place,
    artifacts: Arc<dyn ArtifactStore>,
    clock: Arc<dyn Clock>,
    sources: String,
    patience: Duration,
    keys: Once,
    numbers: Once,
    pager: Pager,
    /// Registrations of this handle wait for each other: a race between them would cost more requests.
    turn: Mutex<()>,
    /// What Azure calls a name that this handle registered, and the number after the last.
    next: StdMutex<HashMap<AssetName, (String, u64)>>,
}

impl fmt::Debug for AzureDataAssets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureDataAssets")
            .field("workspace", &self.place.id())
            .field("sources", &self.sources)
            .finish_non_exhaustive()
    }
}

/// What is registered under a key.
struct Claim<'a> {
    asset: &'a NewDataAsset,
    json: String,
    asked: Digest,
    /// The key, as it is part of paths.
    key: String,
}

/// What became of a try to write a version.
enum Made {
    Ours(Box<DataAsset>),
    /// Another client has the number.
    Taken,
}

impl AzureDataAssets {
    /// The data assets of a workspace, whose stored content lies in `artifacts`. Nothing is sent yet.
    pub fn new(
        service: Service,
        workspace: &Workspace,
        artifacts: Arc<dyn ArtifactStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let place = Place::from(workspace);
        let once = |name: &str| Once::new(service.clone(), place.clone(), format!("{RESERVED}{name}"));
        Self {
            keys: once("data-keys"),
            numbers: once("data-numbers"),
            service,
            place,
            artifacts,
            clock,
            sources: "azureml://datastores/workspaceblobstore/paths/mlops/cas/sha256".to_owned(),
            patience: PATIENCE,
            pager: Pager::new(),
            turn: Mutex::default(),
            next: StdMutex::default(),
        }
    }

    /// Where Azure's own clients find stored content: the URI of the folder of the artifact store, below which content with the
    /// digest `ab…` is at `/ab/ab…`. Default: `mlops/cas/sha256` in the workspace's own datastore.
    #[must_use]
    pub fn with_sources(mut self, uri: impl Into<String>) -> Self {
        self.sources = uri.into();
        self
    }

    /// How long something that was written is waited for until it is seen. Default: half a minute.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self.keys = self.keys.with_patience(patience);
        self.numbers = self.numbers.with_patience(patience);
        self
    }

    /// A version as Azure has it, whoever registered it; versions of other clients may be any text.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; those of the transport.
    pub async fn azure(&self, name: &str, version: &str) -> Result<Resource<DataVersion>> {
        const OP: &str = "AzureDataAssets::azure";
        let found = self.service.call(self.place.data(name, version)?.get(OP)).await;
        found.map_err(|e| missing(OP, name, version, e))
    }

    fn place_of(&self, asset: &NewDataAsset) -> String {
        match &asset.location {
            Location::External(uri) => uri.clone(),
            _ => {
                let hex = asset.digest.hex();
                format!("{}/{}/{hex}", self.sources, hex.get(..2).unwrap_or_default())
            }
        }
    }

    /// What Azure calls a name, and the first number that seems to be free.
    async fn first_free(&self, operation: &'static str, name: &AssetName) -> Result<(String, u64)> {
        let known = self.next.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let plain = name.as_str().to_owned();
        for azure in [plain.clone(), case::apart(&plain)] {
            let at = self.place.container("data", &azure)?;
            let found = match self.service.call(at.get(operation)).await {
                Ok(found) => found,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok((azure, 1)),
                Err(error) => return Err(error.with("asset", name)),
            };
            if found.name.as_deref().is_some_and(|found| case::differ_in_case_only(found, &azure)) {
                continue;
            }
            let container = found.properties;
            let said = once::after(container.latest_version.as_deref(), container.next_version.as_deref());
            if let Some(next) = said {
                return Ok((azure, next.max(1)));
            }
            let versions = self.list(operation, &azure, "All").await?;
            let highest = versions.iter().filter_map(number).max();
            return Ok((azure, highest.map_or(1, |version| version.get().saturating_add(1))));
        }
        let message = "the service has data assets whose names differ in case only";
        Err(Error::new(ErrorKind::AlreadyExists, operation, message).with("asset", name))
    }

    /// Says under the key what is registered, and finds where to begin to count.
    async fn claim(&self, operation: &'static str, claim: &Claim<'_>) -> Result<(String, u64)> {
        let (azure, first) = self.first_free(operation, &claim.asset.name).await?;
        let text = format!("{}/{first}/{azure}", claim.asked.hex());
        let note = format!("{}: a registration, written by the mlops SDK", claim.asset.name);
        let written = self.keys.write(operation, &claim.key, &text, TextMap::default(), note).await?;
        self.begun(operation, claim, &written.text)
    }

    /// What Azure calls the name, and the first number to try, of a key that was used for the same content.
    fn begun(&self, operation: &'static str, claim: &Claim<'_>, text: &str) -> Result<(String, u64)> {
        let mut parts = text.splitn(3, '/');
        let asked = parts.next();
        let first = parts.next().and_then(|first| first.parse().ok());
        let azure = parts.next().filter(|azure| is_asset(azure));
        let unreadable = || unreadable(operation, self.keys.container(), &claim.key);
        if asked == Some(claim.asked.hex().as_str()) {
            return Ok((azure.ok_or_else(unreadable)?.to_owned(), first.ok_or_else(unreadable)?));
        }
        let error = Error::new(ErrorKind::Conflict, operation, "the key was used to register something else");
        Err(error.with("key", &claim.asset.key).with("asset", &claim.asset.name))
    }

    /// Stored content must be there; where it is not, the call may have happened before it went.
    async fn check_content(
        &self,
        operation: &'static str,
        claim: &Claim<'_>,
    ) -> Result<Option<(String, u64)>> {
        let asset = claim.asset;
        if asset.location != Location::Stored {
            return Ok(None);
        }
        let error = match self.artifacts.tree(&asset.digest).await {
            Ok(_) => return Ok(None),
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                let error = Error::invalid(operation, "digest", "names content that is not a manifest");
                error.with("digest", asset.digest).with_source(e)
            }
            Err(e) => e.with("asset", &asset.name),
        };
        match self.keys.read(operation, &claim.key).await? {
            Some(written) => self.begun(operation, claim, &written.text).map(Some),
            None => Err(error),
        }
    }

    /// Gives the key the lowest number that it can have, and writes the version.
    async fn settle(
        &self,
        operation: &'static str,
        claim: &Claim<'_>,
        (azure, first): (&str, u64),
    ) -> Result<DataAsset> {
        for tried in 0..TRIES {
            let version = first.checked_add(tried).and_then(Version::new);
            let version =
                version.ok_or_else(|| Error::limit(operation, "the version", "2^63 - 1", "2^63"))?;
            let name = &claim.asset.name;
            let slot = Hasher::new("mlops.data-number/v1").field(azure.to_ascii_lowercase());
            let slot = slot.field(version.to_string());
            let now = self.clock.now().timestamp_micros();
            let (text, note) = (format!("{}/{now}", claim.key), format!("{azure}:{version}"));
            let slot = slot_name(&slot.finish());
            let written = self.numbers.write(operation, &slot, &text, TextMap::default(), note).await?;
            let parts = written.text.split_once('/').and_then(|(key, at)| Some((key, at.parse().ok()?)));
            let (key, at) = parts.ok_or_else(|| unreadable(operation, self.numbers.container(), &slot))?;
            if key != claim.key {
                continue;
            }
            let created_at = Timestamp::from_timestamp_micros(at)
                .ok_or_else(|| unreadable(operation, self.numbers.container(), &slot))?;
            if let Made::Ours(asset) =
                self.write(operation, claim, azure, (version, created_at), written.fresh).await?
            {
                let mut known = self.next.lock().unwrap_or_else(PoisonError::into_inner);
                let (_, next) = known.entry(name.clone()).or_insert_with(|| (azure.to_owned(), 1));
                *next = (*next).max(version.get().saturating_add(1));
                return Ok(*asset);
            }
        }
        let error = Error::new(ErrorKind::Busy, operation, "other clients keep taking the next number");
        Err(error.with("asset", &claim.asset.name).with("tries", TRIES))
    }

    /// Writes the version, unless a call before did.
    async fn write(
        &self,
        operation: &'static str,
        claim: &Claim<'_>,
        azure: &str,
        (version, created_at): (Version, Timestamp),
        fresh: bool,
    ) -> Result<Made> {
        let at = self.place.data(azure, &version.to_string())?;
        if !fresh {
            match self.service.call(at.get(operation)).await {
                Ok(found) => return self.judge(operation, claim, found),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error.with("asset", &claim.asset.name)),
            }
        }
        let resource = self.resource(claim, created_at);
        match self.service.call(at.put(operation, &resource)?).await {
            Ok(_) => {}
            Err(error) if is_taken(&error) => {
                // By somebody else, or by a call of the same key at this moment.
                return match self.service.call(at.get(operation).settling(self.patience)).await {
                    Ok(found) => self.judge(operation, claim, found),
                    Err(_) => Err(error.with("asset", &claim.asset.name).with("version", version)),
                };
            }
            Err(error) => return Err(error.with("asset", &claim.asset.name).with("version", version)),
        }
        let found = self.service.call(at.get(operation).settling(self.patience)).await;
        self.judge(operation, claim, found.map_err(|e| e.with("asset", &claim.asset.name))?)
    }

    fn resource(&self, claim: &Claim<'_>, created_at: Timestamp) -> Resource<DataVersion> {
        let asset = claim.asset;
        let kind = match asset.kind {
            AssetKind::File => DataType::UriFile,
            AssetKind::Table => DataType::MlTable,
            _ => DataType::UriFolder,
        };
        let mut properties = TextMap::default();
        spread("mlops.spec", &claim.json, &mut properties);
        properties.insert("mlops.asked", claim.asked.to_string());
        properties.insert(DIGEST, asset.digest.to_string());
        properties.insert("mlops.name", asset.name.as_str());
        properties.insert("mlops.key", asset.key.as_str());
        properties.insert("mlops.actor", asset.actor.as_str());
        properties.insert("mlops.created_at", created_at.timestamp_micros().to_string());
        let tags = asset.tags.iter().map(|(key, value)| (key.as_str(), shown(value, SHOWN)));
        let mut tags: TextMap = tags.collect();
        // For people and for searches; what counts is the property, which nobody can change.
        tags.insert(DIGEST, asset.digest.to_string());
        let mut data = DataVersion::new(kind, self.place_of(asset)).with_properties(properties);
        data.tags = Some(tags);
        data.description =
            (!asset.description.is_empty()).then(|| shown(&asset.description, SHOWN)).map(Into::into);
        Resource::new(data)
    }

    /// Whether a version is the one that was to be written.
    fn judge(
        &self,
        operation: &'static str,
        claim: &Claim<'_>,
        found: Resource<DataVersion>,
    ) -> Result<Made> {
        let ours = found.properties.properties.as_ref().and_then(|p| p.get("mlops.asked"));
        if ours != Some(claim.asked.to_string().as_str()) {
            return Ok(Made::Taken);
        }
        read(operation, &claim.asset.name, found).map(Box::new).map(Made::Ours)
    }

    async fn list(
        &self,
        operation: &'static str,
        azure: &str,
        view: &str,
    ) -> Result<Vec<Resource<DataVersion>>> {
        let list = self.place.data(azure, "1")?.list(operation)?.query("listViewType", view);
        once::items(&self.service, list).await.map_err(|e| e.with("asset", azure))
    }

    /// The versions with a number, newest first.
    async fn newest_first(
        &self,
        operation: &'static str,
        name: &AssetName,
        view: &str,
    ) -> Result<Vec<(Version, Resource<DataVersion>)>> {
        let mut found = self.list(operation, name.as_str(), view).await?;
        if found.iter().any(|version| !is_of(version, name)) {
            found.extend(self.list(operation, &case::apart(name.as_str()), view).await?);
        }
        found.retain(|version| is_of(version, name));
        let mut numbered: Vec<_> = found.into_iter().filter_map(|v| Some((number(&v)?, v))).collect();
        numbered.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
        numbered.dedup_by_key(|(version, _)| *version);
        Ok(numbered)
    }

    /// A version by its number, wherever Azure keeps it.
    async fn find(
        &self,
        operation: &'static str,
        name: &AssetName,
        version: Version,
    ) -> Result<(At<Resource<DataVersion>>, Resource<DataVersion>)> {
        let number = version.to_string();
        for azure in [name.as_str().to_owned(), case::apart(name.as_str())] {
            let at = self.place.data(&azure, &number)?;
            match self.service.call(at.get(operation)).await {
                Ok(found) if is_of(&found, name) => return Ok((at, found)),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error.with("asset", name)),
            }
        }
        Err(Error::not_found(operation, "version of this data asset", version).with("asset", name))
    }
}

/// Whether a version is of the asset of this name, and not of one whose name differs in case.
fn is_of(version: &Resource<DataVersion>, name: &AssetName) -> bool {
    if let Some(said) = version.properties.properties.as_ref().and_then(|map| map.get("mlops.name")) {
        return said == name.as_str();
    }
    let container = version.id.as_deref().and_then(|id| id.rsplit('/').nth(2));
    container.is_none_or(|container| !case::differ_in_case_only(container, name.as_str()))
}

fn missing(operation: &'static str, name: &str, version: impl fmt::Display, error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => {
            Error::not_found(operation, "version of this data asset", version).with("asset", name)
        }
        _ => error.with("asset", name),
    }
}

fn unreadable(operation: &'static str, container: &str, name: &str) -> Error {
    let error = Error::new(ErrorKind::Corrupt, operation, "what was written under a name cannot be read");
    error.with("container", container).with("name", name)
}

/// The number of a version, where it has one.
fn number(version: &Resource<DataVersion>) -> Option<Version> {
    version.name.as_deref()?.parse().ok()
}

/// A version of this SDK, or one of another client that says its digest.
fn read(operation: &'static str, name: &AssetName, found: Resource<DataVersion>) -> Result<DataAsset> {
    let shown = found.name.clone().unwrap_or_default();
    let told = |error: Error| error.with("asset", name).with("version", &shown);
    let version = number(&found).ok_or_else(|| {
        told(Error::new(ErrorKind::Unsupported, operation, "the version is not a number that counts from 1"))
    })?;
    let properties = found.properties.properties.clone().unwrap_or_default();
    let archived = found.properties.is_archived.unwrap_or(false);
    let Some(asked) = properties.get("mlops.asked") else {
        return foreign(operation, name, version, &found).map_err(told);
    };
    let damaged = |message| told(Error::new(ErrorKind::Integrity, operation, message));
    let json = gather("mlops.spec", &properties);
    let json = json.ok_or_else(|| damaged("the specification of the version is incomplete"))?;
    if Digest::of(json.as_bytes()).to_string() != asked {
        return Err(damaged("the specification of the version was changed"));
    }
    let spec: NewDataAsset = from_json(operation, &json).map_err(told)?;
    if spec.name != *name {
        return Err(damaged("the version has the specification of another name").with("found", &spec.name));
    }
    let at = properties.get("mlops.created_at").and_then(|at| at.parse().ok());
    let at = at.and_then(Timestamp::from_timestamp_micros);
    let at = at.ok_or_else(|| damaged("the version does not say when it was made"))?;
    let mut asset = DataAsset::new(spec, version, at);
    asset.archived = archived;
    Ok(asset)
}

/// A version that another client registered, as far as core's type can say what it is.
fn foreign(
    operation: &'static str,
    name: &AssetName,
    version: Version,
    found: &Resource<DataVersion>,
) -> Result<DataAsset> {
    let data = &found.properties;
    let unsupported =
        |message| Error::new(ErrorKind::Unsupported, operation, message).with("data_type", &data.data_type);
    let said = said_digest(data);
    let digest: Digest = said
        .ok_or_else(|| {
            unsupported("another client registered it, and neither `mlops.digest` nor anything else says what its content is")
        })?
        .parse()
        .map_err(|e: Error| unsupported("its `mlops.digest` is no digest").with_source(e))?;
    let kind = match data.data_type {
        DataType::UriFile => AssetKind::File,
        DataType::UriFolder => AssetKind::Folder,
        DataType::MlTable => AssetKind::Table,
        _ => return Err(unsupported("it is of a type that is not known here")),
    };
    check_uri(operation, &data.data_uri)?;
    let made = found.system_data.as_ref();
    let at = made.and_then(|made| made.created_at);
    let at = at.ok_or_else(|| unsupported("the service does not say when it was made"))?;
    let actor = made.and_then(|made| ActorId::new(made.created_by.as_deref()?).ok());
    let actor = actor.map_or_else(|| ActorId::new("unknown"), Ok)?;
    let key = Hasher::new("mlops.foreign-data/v1").field(name.as_str()).field(version.to_string()).finish();
    let tag = |(key, value): (&String, &String)| Some((TagKey::new(key).ok()?, value.clone()));
    let tags: Tags = data.tags.iter().flat_map(|tags| &tags.0).filter_map(tag).collect();
    let mut spec = NewDataAsset::stored(name.clone(), kind, digest, actor)
        .with_key(IdempotencyKey::from_digest(&key))
        .with_description(data.description.clone().unwrap_or_default());
    spec.location = Location::External(data.data_uri.clone().into_string());
    spec.tags = tags;
    let mut asset = DataAsset::new(spec, version, at);
    asset.archived = data.is_archived.unwrap_or(false);
    Ok(asset)
}

/// What a version says of its content's digest: the property goes before the tag, which anybody may change.
fn said_digest(data: &DataVersion) -> Option<&str> {
    [&data.properties, &data.tags].into_iter().flatten().find_map(|map| map.get(DIGEST))
}

/// A digest as the version of a data asset: its first 120 bits, because the service takes no version of more than 30 characters
/// (it answers "Argument 'version' exceeded maximum length of 30 for DatasetId": <https://github.com/Azure/azureml-assets/issues/295>).
fn slot_name(digest: &Digest) -> String {
    digest.hex().chars().take(30).collect()
}

/// Names that are this library's own.
fn check_name(operation: &'static str, name: &AssetName) -> Result<()> {
    let bad = |reason| Err(Error::invalid(operation, "name", reason).with("value", name));
    if is_reserved(name.as_str()) {
        return bad("names that begin with `mlops--` are this library's own");
    }
    match case::joined(name.as_str()) {
        Some(_) => bad("names that end in `--u` and which letters are capital are this library's own"),
        None => Ok(()),
    }
}

fn is_reserved(name: &str) -> bool {
    name.get(..RESERVED.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED))
}

#[async_trait]
impl DataAssetStore for AzureDataAssets {
    async fn register(&self, asset: &NewDataAsset) -> Result<DataAsset> {
        const OP: &str = "DataAssetStore::register";
        asset.check()?;
        check_name(OP, &asset.name)?;
        let json = ascii_json(OP, asset)?;
        let asked = Digest::of(json.as_bytes());
        let key = slot_name(&Hasher::new("mlops.data-key/v1").field(asset.key.as_str()).finish());
        let claim = Claim { asset, json, asked, key };
        let _turn = self.turn.lock().await;
        let (azure, first) = match self.check_content(OP, &claim).await? {
            Some(begun) => begun,
            None => self.claim(OP, &claim).await?,
        };
        self.settle(OP, &claim, (&azure, first)).await
    }

    async fn get(&self, reference: &DataRef) -> Result<DataAsset> {
        const OP: &str = "DataAssetStore::get";
        let name = &reference.name;
        let not_found = || Error::not_found(OP, "version of this data asset", reference);
        match &reference.version {
            VersionSpec::Exact(version) => read(OP, name, self.find(OP, name, *version).await?.1),
            VersionSpec::Latest => {
                let newest = self.newest_first(OP, name, "ActiveOnly").await?;
                let shown = newest.into_iter().find(|(_, v)| !v.properties.is_archived.unwrap_or(false));
                read(OP, name, shown.ok_or_else(not_found)?.1)
            }
            VersionSpec::Digest(digest) => {
                let text = digest.to_string();
                for (_, version) in self.newest_first(OP, name, "All").await? {
                    if said_digest(&version.properties) == Some(text.as_str()) {
                        return read(OP, name, version);
                    }
                }
                Err(not_found())
            }
            _ => Err(Error::unsupported(OP, "aliases of data assets").with("reference", reference)),
        }
    }

    async fn versions(&self, name: &AssetName, page: &PageRequest) -> Result<Page<DataAsset>> {
        const OP: &str = "DataAssetStore::versions";
        let after: Option<Version> = self.pager.after(OP, name, page)?;
        let found = self.newest_first(OP, name, "All").await?;
        if found.is_empty() {
            return Err(Error::not_found(OP, "data asset", name));
        }
        let mut assets = Vec::new();
        // One more than fits says that there is another page.
        for (version, resource) in
            found.into_iter().filter(|(version, _)| after.is_none_or(|last| *version < last))
        {
            match read(OP, name, resource) {
                Ok(asset) => assets.push((version, asset)),
                Err(error) if error.kind() == ErrorKind::Unsupported => {}
                Err(error) => return Err(error),
            }
            if assets.len() > page.limit {
                break;
            }
        }
        self.pager.page(OP, name, page, |_: Option<Version>| Ok(assets.into_iter()))
    }

    async fn names(&self, page: &PageRequest) -> Result<Page<AssetName>> {
        const OP: &str = "DataAssetStore::names";
        let _: Option<AssetName> = self.pager.after(OP, &(), page)?;
        let list = self.place.container("data", "x")?.list(OP)?.query("listViewType", "All");
        let found = once::items(&self.service, list).await?;
        let named = found.into_iter().filter_map(|container| container.name);
        let named = named.filter(|name| !is_reserved(name));
        let named = named.map(|name| case::joined(&name).map_or(name.clone(), str::to_owned));
        let mut names: Vec<AssetName> = named.filter_map(|name| AssetName::new(name).ok()).collect();
        names.sort();
        names.dedup();
        self.pager.page(OP, &(), page, |after: Option<AssetName>| {
            let later = names.into_iter().filter(move |name| after.as_ref().is_none_or(|last| name > last));
            Ok(later.map(|name| (name.clone(), name)))
        })
    }

    async fn set_archived(&self, name: &AssetName, version: Version, archived: bool) -> Result<DataAsset> {
        const OP: &str = "DataAssetStore::set_archived";
        let (at, mut resource) = self.find(OP, name, version).await?;
        let mut asset = read(OP, name, resource.clone())?;
        if asset.archived != archived {
            resource.properties.is_archived = Some(archived);
            self.service.call(at.put(OP, &resource)?).await.map_err(|e| e.with("asset", name))?;
            asset.archived = archived;
        }
        Ok(asset)
    }

    async fn verify(&self, reference: &DataRef) -> Result<DataVerification> {
        let asset = self.get(reference).await?;
        if asset.spec.location != Location::Stored {
            let reason = "content outside the artifact store is not reached from here".to_owned();
            return Ok(DataVerification::NotChecked { reason });
        }
        match self.artifacts.verify_tree(&asset.spec.digest).await {
            Ok(bytes) => Ok(DataVerification::Intact { bytes }),
            Err(e) if matches!(e.kind(), ErrorKind::Integrity | ErrorKind::NotFound | ErrorKind::Corrupt) => {
                Ok(DataVerification::Damaged { reason: e.to_string() })
            }
            Err(e) => Err(e),
        }
    }
}
