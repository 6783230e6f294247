//! Core's model registry on the models of a workspace or a registry.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::artifact::ArtifactStore;
use mlops_core::hash::Digest;
use mlops_core::id::check_tags;
use mlops_core::page::pager::Pager;
use mlops_core::registry::{
    AliasChange, AliasRecord, Direction, Edge, LineageGraph, ModelRef, ModelRegistry, ModelVersion,
    NewModelVersion, Node, Promotion, Protection, RegistryCapabilities, RegistryEvent,
};
use mlops_core::time::Clock;
use mlops_core::{
    ActorId, Alias, Error, ErrorKind, IdempotencyKey, ModelName, Page, PageRequest, Result, Tags, Version,
    VersionSpec,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Mutex, MutexGuard};

use super::files::{ModelContent, ModelFiles, Sources};
use crate::config::{Registry, Workspace};
use crate::data::case;
use crate::data::once::{self, Once, PATIENCE, RESERVED, Written, is_taken};
use crate::http::Service;
use crate::ledger::rules::{Call, Entry, Kept, Ledger, Numbered, Record, SCHEMA, Verdict};
use crate::ledger::text::{ascii_json, gather, shown, spread};
use crate::wire::model::ModelType;
use crate::wire::{At, ModelVersion as AzureModel, Place, Properties, Resource, TextMap};

/// The longest text that is written a second time, for people.
const SHOWN: usize = 5_000;

/// How often the next place in the ledger, or the next number, is tried before it is given up: each time another client was
/// faster.
const TRIES: u32 = 1_000;

/// Models of a workspace or a registry, whose content lies in an artifact store.
///
/// # What Azure shows, and what counts
/// A version is an Azure model version of the same name and number. Its type is `mlflow_model` if its artifact is a tree with a file
/// `MLmodel` at its root, and `custom_model` otherwise. Its description and tags are where the studio and other clients look for
/// them, its content is at its `modelUri` (a folder for a tree, a file for anything else: [`with_files`](Self::with_files)), its
/// digest is in its property `mlops.artifact`, and what it was made from in `mlops.run`, `mlops.data.0`, …. The aliases of a model are tags of its container, `mlops.alias.champion = 3`, so that people see
/// them; whether a version is archived is Azure's own `isArchived`.
///
/// What counts is the ledger: entries that can only be added, each a version of the data asset `mlops--ledger` of the workspace,
/// numbered 1, 2, 3, …. Azure refuses to change the place that a version names, and every entry names another, so that of two
/// clients that write the same number one is refused, reads what is there, and takes the next. From that order every client
/// derives the same state. This is how registrations get distinct numbers, how aliases are compare-and-set between any number of
/// processes and machines, protected, and have a history, and why events have an order, although Azure has none of it. An
/// entry of a registration has the whole specification, so that a process that dies after it has left nothing undone: the
/// version in Azure is written by whoever repeats the call or changes the version next.
///
/// What remains, because Azure permits no more:
/// * That of two writes with different places one is refused is what the service says of itself; how it decides between two
///   that arrive in the same instant is not documented.
/// * An alias or a tag that somebody sets with another client is not seen here, and stands in Azure until it is set here again
///   or until [`restore`](Self::restore). So does an alias whose move was entered by a process that died before it told Azure,
///   and of two that tell Azure at once the earlier one may stand until then. Protection cannot be gone around on the way
///   through this registry; Azure itself knows no protection.
/// * A version that another client registered under the same name keeps its number, and the next number is taken here. It is
///   no version here, because it has no signature, format and digest: asked for by its number it is
///   [`ErrorKind::Unsupported`], and [`azure`](Self::azure) reads it as it is. If it takes the very number that is being
///   registered here at that moment, the entry is withdrawn and the next number taken; the event of the first entry stays.
/// * Whether Azure tells names apart that differ in case only is not documented. So the one that comes second is kept under
///   another: `Churn` beside `churn` as `Churn--u1`. Names of that form are refused.
/// * A version that is deleted in Azure with another client is still one here; [`restore`](Self::restore) writes it again.
/// * Azure changes neither type nor place of a version. What earlier releases registered as a tree is read as before, and stands in
///   Azure as a `custom_model` that is the manifest alone; registered again, it can be deployed.
/// * A call sees what is in the ledger when it is asked, but for entries that were written so recently that Azure does not
///   show them yet; every writer reads its entry back until it is seen. What is not seen yet is never overwritten: the place
///   is taken, and read then.
///
/// # Cost
/// The first call of a handle reads the ledger from its beginning, a page of entries in one request; a handle keeps every
/// specification that it has read. After that every call asks for what is new (one request). A registration takes six
/// requests, besides what it takes to bring its files to Azure; a move of an alias, new tags and archiving five.
///
/// ```
/// use std::sync::Arc;
/// use mlops_azure::auth::{AccessToken, FixedToken};
/// use mlops_azure::config::{Cloud, Endpoints, Workspace};
/// use mlops_azure::http::Service;
/// use mlops_azure::registry::AzureModelRegistry;
/// use mlops_core::Alias;
/// use mlops_core::memory::MemoryArtifactStore;
/// use mlops_core::registry::{ModelRegistry as _, Protection, RegistryCapabilities};
/// use mlops_core::time::SystemClock;
///
/// let tokens = Arc::new(FixedToken::new(AccessToken::new("…", "2100-01-01T00:00:00Z".parse()?)));
/// let service = Service::resource_manager(&Endpoints::of(Cloud::Public)?, tokens).build()?;
/// let workspace = Workspace::new("00000000-0000-0000-0000-000000000000", "rg-ml", "mlw-churn")?;
/// let content = Arc::new(MemoryArtifactStore::default());
/// let registry = AzureModelRegistry::new(service, &workspace, content, Arc::new(SystemClock::new()))
///     .with_protected(Alias::new("champion")?, Protection::GateAndApproval);
/// assert_eq!(registry.capabilities(), RegistryCapabilities::FULL);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct AzureModelRegistry {
    pub(super) service: Service,
    pub(super) place: Place,
    /// Whether writes are long-running operations: those of a registry are.
    long: bool,
    ledger: Once,
    artifacts: Arc<dyn ArtifactStore>,
    clock: Arc<dyn Clock>,
    protected: BTreeMap<Alias, Protection>,
    files: Arc<dyn ModelFiles>,
    pub(super) patience: Duration,
    /// Changes of this handle wait for each other: a race between them would cost more requests.
    turn: Mutex<()>,
    state: Mutex<State>,
    pager: Pager,
}

#[derive(Debug, Default)]
struct State {
    ledger: Ledger,
    /// Whether what was there at the beginning has been read.
    begun: bool,
}

impl fmt::Debug for AzureModelRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureModelRegistry")
            .field("place", &self.place.id())
            .field("ledger", &self.ledger.container())
            .field("protected", &self.protected)
            .finish_non_exhaustive()
    }
}

impl AzureModelRegistry {
    /// The models of a workspace, whose content lies in `artifacts`. Nothing is sent yet.
    pub fn new(
        service: Service,
        workspace: &Workspace,
        artifacts: Arc<dyn ArtifactStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let place = Place::from(workspace);
        let ledger = Once::new(service.clone(), place.clone(), format!("{RESERVED}ledger"));
        Self::over(service, place, false, workspace, ledger, (artifacts, clock))
    }

    /// The models of a registry, whose ledger lies in the workspace `home`, because a registry keeps no data without uploading
    /// them: everybody who writes here must name the same one.
    ///
    /// Azure takes the content of a registry's models from storage that the registry itself can read; where it is,
    /// [`with_sources`](Self::with_sources) must say, and for models that are trees [`with_files`](Self::with_files), with
    /// [`ModelFiles`] of one's own. Models that are [published](Self::publish) from a workspace need none.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use mlops_azure::auth::{AccessToken, FixedToken};
    /// # use mlops_azure::config::{Cloud, Endpoints, Registry, Workspace};
    /// # use mlops_azure::http::Service;
    /// # use mlops_azure::registry::AzureModelRegistry;
    /// # use mlops_core::memory::MemoryArtifactStore;
    /// # use mlops_core::time::SystemClock;
    /// # let tokens = Arc::new(FixedToken::new(AccessToken::new("…", "2100-01-01T00:00:00Z".parse()?)));
    /// # let service = Service::resource_manager(&Endpoints::of(Cloud::Public)?, tokens).build()?;
    /// # let content = Arc::new(MemoryArtifactStore::default());
    /// let home = Workspace::new("00000000-0000-0000-0000-000000000000", "rg-ml", "mlw-churn")?;
    /// let shared = Registry::new("00000000-0000-0000-0000-000000000000", "rg-shared", "contoso-ml")?;
    /// let registry =
    ///     AzureModelRegistry::in_registry(service, &shared, &home, content, Arc::new(SystemClock::new()));
    /// assert!(format!("{registry:?}").contains("mlops--ledger-of-contoso-ml"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn in_registry(
        service: Service,
        registry: &Registry,
        home: &Workspace,
        artifacts: Arc<dyn ArtifactStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let container = format!("{RESERVED}ledger-of-{}", registry.name());
        let ledger = Once::new(service.clone(), Place::from(home), container);
        Self::over(service, Place::from(registry), true, home, ledger, (artifacts, clock))
    }

    fn over(
        service: Service,
        place: Place,
        long: bool,
        workspace: &Workspace,
        ledger: Once,
        (artifacts, clock): (Arc<dyn ArtifactStore>, Arc<dyn Clock>),
    ) -> Self {
        let sources = format!(
            "azureml://subscriptions/{}/resourcegroups/{}/workspaces/{}/datastores/workspaceblobstore/paths/mlops/cas/sha256",
            workspace.subscription(),
            workspace.resource_group(),
            workspace.name()
        );
        Self {
            service,
            place,
            long,
            ledger,
            artifacts,
            clock,
            protected: BTreeMap::new(),
            files: Arc::new(Sources(sources)),
            patience: PATIENCE,
            turn: Mutex::default(),
            state: Mutex::default(),
            pager: Pager::new(),
        }
    }

    /// Protects an alias, of every model.
    #[must_use]
    pub fn with_protected(mut self, alias: Alias, protection: Protection) -> Self {
        self.protected.insert(alias, protection);
        self
    }

    /// Says how what models consist of gets to where Azure reads it: with the feature `storage`, by `storage::DatastoreFiles`, whatever
    /// the artifact store is. It happens before anything is registered.
    ///
    /// Without it the content is taken to lie below [`with_sources`](Self::with_sources), and nothing is sent: right for an artifact
    /// store in a container of the workspace, and for models of one file. A model that is a tree is then refused as
    /// [`ErrorKind::Unsupported`], because no endpoint could read it.
    #[must_use]
    pub fn with_files(mut self, files: Arc<dyn ModelFiles>) -> Self {
        self.files = files;
        self
    }

    /// Where Azure finds the content, where [`with_files`](Self::with_files) does not say it: the URI of the folder of the artifact
    /// store, below which content with the digest `ab…` is at `/ab/ab…`. Default: `mlops/cas/sha256` in the workspace's own datastore.
    #[must_use]
    pub fn with_sources(mut self, uri: impl Into<String>) -> Self {
        self.files = Arc::new(Sources(uri.into()));
        self
    }

    /// How long something that was written is waited for until it is seen. Default: half a minute.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self.ledger = self.ledger.with_patience(patience);
        self
    }

    pub(super) fn is_shared(&self) -> bool {
        self.long
    }

    /// A version as Azure has it, whoever registered it; versions of other clients may be any text.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; those of the transport.
    pub async fn azure(&self, model: &str, version: &str) -> Result<Resource<AzureModel>> {
        const OP: &str = "AzureModelRegistry::azure";
        let found = self.service.call(self.place.model(model, version)?.get(OP)).await;
        found.map_err(|e| missing(OP, model, version, e))
    }

    /// Lets Azure show of a model what counts here: writes versions that are missing, and the tags of versions, the
    /// tags for aliases and whether a version is archived where they differ. Two requests and one for each version, and one for
    /// each that differs.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a model that is not there; [`ErrorKind::AlreadyExists`] for a version that another client
    /// wrote; those of the transport.
    pub async fn restore(&self, model: &ModelName) -> Result<()> {
        const OP: &str = "AzureModelRegistry::restore";
        let _turn = self.turn.lock().await;
        let versions: Vec<Kept> = {
            let state = self.current(OP).await?;
            state.ledger.model(OP, model)?.versions.values().cloned().collect()
        };
        for kept in &versions {
            self.show(OP, model, kept.version).await?;
        }
        self.show_aliases(OP, model).await
    }
}

fn missing(operation: &'static str, model: &str, version: impl fmt::Display, error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => Error::not_found(operation, "model version", version).with("model", model),
        _ => error.with("model", model),
    }
}

/// A call as it is known again: the digest of everything in it.
fn asked(operation: &'static str, call: &impl Serialize) -> Result<Digest> {
    Ok(Digest::of(ascii_json(operation, call)?.as_bytes()))
}

// ------------------------------------------------------------------------------------------------------------ the ledger

impl AzureModelRegistry {
    /// The ledger with everything that was written until now.
    async fn current(&self, operation: &'static str) -> Result<MutexGuard<'_, State>> {
        let mut state = self.state.lock().await;
        if !state.begun {
            self.begin(operation, &mut state).await?;
            state.begun = true;
        }
        loop {
            let next = state.ledger.last().saturating_add(1);
            let Some(written) = self.ledger.read(operation, &next.to_string()).await? else { break };
            // What was refused to others changes nothing; they were told.
            let _ = state.ledger.read(operation, self.entry(operation, next, &written)?);
        }
        Ok(state)
    }

    /// Reads what the list shows. What it does not show yet at its end is read one by one.
    async fn begin(&self, operation: &'static str, state: &mut State) -> Result<()> {
        let numbered = |(name, written): (String, Written)| Some((name.parse::<u64>().ok()?, written));
        let found: BTreeMap<u64, Written> =
            self.ledger.all(operation).await?.into_iter().filter_map(numbered).collect();
        for (number, written) in found {
            while state.ledger.last().saturating_add(1) < number {
                let next = state.ledger.last().saturating_add(1);
                let hidden = self.ledger.read_settled(operation, &next.to_string()).await?;
                let hidden = hidden.ok_or_else(|| {
                    let error =
                        Error::new(ErrorKind::Corrupt, operation, "an entry of the ledger is missing");
                    error.with("ledger", self.ledger.container()).with("entry", next)
                })?;
                let _ = state.ledger.read(operation, self.entry(operation, next, &hidden)?);
            }
            let _ = state.ledger.read(operation, self.entry(operation, number, &written)?);
        }
        Ok(())
    }

    /// What an entry says.
    fn entry(&self, operation: &'static str, number: u64, written: &Written) -> Result<Entry> {
        let told = |error: Error| error.with("ledger", self.ledger.container()).with("entry", number);
        let corrupt = |message| told(Error::new(ErrorKind::Corrupt, operation, message));
        let json = gather("mlops.entry", &written.properties);
        let json = json.ok_or_else(|| corrupt("an entry of the ledger is incomplete"))?;
        let digest = Digest::of(json.as_bytes()).to_string();
        if written.properties.get("mlops.digest") != Some(digest.as_str()) {
            return Err(corrupt("an entry of the ledger was changed"));
        }
        let entry = Entry::read(operation, &json).map_err(told)?;
        match entry.mark == written.text {
            true => Ok(entry),
            false => Err(corrupt("an entry of the ledger is another's")),
        }
    }

    /// Writes an entry at the first free place, reads up to it, and says what became of it; the outer error is that it could not
    /// be written or read.
    async fn append(
        &self,
        operation: &'static str,
        state: &mut State,
        record: Record,
    ) -> Result<Result<Verdict>> {
        let mark = uuid::Uuid::new_v4().simple().to_string();
        let entry = Entry { schema: SCHEMA.to_owned(), mark, record };
        let json = ascii_json(operation, &entry)?;
        let mut properties = TextMap::default();
        spread("mlops.entry", &json, &mut properties);
        properties.insert("mlops.digest", Digest::of(json.as_bytes()).to_string());
        let note = entry.record.summary();
        for _ in 0..TRIES {
            let next = state.ledger.last().saturating_add(1);
            let (name, properties, note) = (next.to_string(), properties.clone(), note.clone());
            let written = self.ledger.write(operation, &name, &entry.mark, properties, note).await?;
            // What counts is what is read, and what is read once is seen by those who come after.
            let written = match written.text == entry.mark {
                true => self.ledger.read_settled(operation, &next.to_string()).await?.unwrap_or(written),
                false => written,
            };
            let won = written.text == entry.mark;
            let verdict = state.ledger.read(operation, self.entry(operation, next, &written)?);
            if won {
                return Ok(verdict);
            }
            // Another client was faster, and may have done what is asked for, or made it impossible.
            match state.ledger.admit(operation, &entry.record) {
                Ok(Verdict::New) => {}
                decided => return Ok(decided),
            }
        }
        let error = Error::new(ErrorKind::Busy, operation, "other clients keep writing to the ledger");
        Err(error.with("ledger", self.ledger.container()).with("tries", TRIES))
    }

    /// Asks for a change, unless it is refused already or there is nothing to change.
    async fn ask(&self, operation: &'static str, state: &mut State, record: Record) -> Result<Verdict> {
        match state.ledger.admit(operation, &record)? {
            Verdict::Same => Ok(Verdict::Same),
            Verdict::New => self.append(operation, state, record).await?,
        }
    }
}

// ---------------------------------------------------------------------------------------------------------- what Azure shows

impl AzureModelRegistry {
    /// Writes a resource, and waits until that is done.
    async fn write<P>(&self, operation: &'static str, at: &At<Resource<P>>, body: &Resource<P>) -> Result<()>
    where
        P: Properties + DeserializeOwned,
    {
        let call = at.put(operation, body)?;
        match self.long {
            false => self.service.call(call).await.map(drop),
            true => self.service.begin(call).await?.wait().await.map(drop),
        }
    }

    /// What Azure calls a model.
    async fn azure_name(&self, model: &ModelName) -> String {
        match self.state.lock().await.ledger.has_namesake(model) {
            true => case::apart(model.as_str()),
            false => model.as_str().to_owned(),
        }
    }

    /// Where a version is, as the ledger is known now.
    pub(super) async fn at(&self, model: &ModelName, version: Version) -> Result<At<Resource<AzureModel>>> {
        self.place.model(&self.azure_name(model).await, &version.to_string())
    }

    /// Lets the content of a version lie where Azure reads it.
    async fn placed(&self, operation: &'static str, spec: &NewModelVersion) -> Result<Placed> {
        let content = ModelContent::read(&*self.artifacts, &spec.artifact).await?;
        let missing = || Error::not_found(operation, "artifact", spec.artifact).with("model", &spec.model);
        let content = content.ok_or_else(missing)?;
        let uri = self.files.place(&content).await.map_err(|e| e.with("model", &spec.model))?;
        Ok(Placed { kind: content.model_type(), uri })
    }

    /// A version as Azure is to show it.
    fn resource(spec: &NewModelVersion, kept: &Kept, placed: &Placed) -> Resource<AzureModel> {
        let mut properties = TextMap::default();
        properties.insert("mlops.asked", kept.asked.to_string());
        properties.insert("mlops.key", spec.key.as_str());
        properties.insert("mlops.artifact", spec.artifact.to_string());
        properties.insert("mlops.format", spec.format.to_string());
        properties.insert("mlops.actor", spec.actor.as_str());
        if let Some(run) = &spec.run {
            properties.insert("mlops.run", run.as_str());
        }
        for (i, input) in spec.data.iter().enumerate() {
            let text = format!("{}:{} ({}) {}", input.asset, input.version, input.role, input.digest);
            properties.insert(format!("mlops.data.{i}"), shown(&text, SHOWN));
        }
        let mut model = AzureModel::new(placed.kind.clone(), placed.uri.clone()).with_properties(properties);
        model.description =
            (!spec.description.is_empty()).then(|| shown(&spec.description, SHOWN)).map(Into::into);
        model.tags = Some(shown_tags(&kept.tags));
        model.is_archived = kept.archived.then_some(true);
        Resource::new(model)
    }

    /// Lets a version in Azure be as the ledger says, and says whether it is ours. Another client may change the ledger
    /// meanwhile, so that it is looked at again by whoever changes it.
    async fn show(&self, operation: &'static str, model: &ModelName, version: Version) -> Result<()> {
        let (spec, kept) = {
            let state = self.state.lock().await;
            let kept = state.ledger.model(operation, model)?.version(operation, model, version)?.clone();
            (spec_of(operation, &state.ledger, model, version)?, kept)
        };
        let at = self.at(model, version).await?;
        match self.service.call(at.get(operation)).await {
            Ok(found) => self.adjust(operation, &at, found, &kept).await.map_err(|e| e.with("model", model)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let placed = self.placed(operation, &spec).await?;
                let written = self.write(operation, &at, &Self::resource(&spec, &kept, &placed)).await;
                written.map_err(|e| e.with("model", model))
            }
            Err(error) => Err(error.with("model", model)),
        }
    }

    /// Changes what may change of a version in Azure, where it differs.
    async fn adjust(
        &self,
        operation: &'static str,
        at: &At<Resource<AzureModel>>,
        mut found: Resource<AzureModel>,
        kept: &Kept,
    ) -> Result<()> {
        if !is_ours(&found, &kept.asked) {
            let message = "another client has a version of this number in Azure";
            let error = Error::new(ErrorKind::AlreadyExists, operation, message);
            return Err(error.with("version", kept.version));
        }
        let tags = shown_tags(&kept.tags);
        let model = &mut found.properties;
        if model.tags.as_ref().unwrap_or(&TextMap::default()) == &tags
            && model.is_archived.unwrap_or(false) == kept.archived
        {
            return Ok(());
        }
        (model.tags, model.is_archived) = (Some(tags), Some(kept.archived));
        self.write(operation, at, &found).await
    }

    /// Lets the container's tags say which aliases are set. Another client may do so at the same moment, for a later move, so
    /// the ledger is looked at again afterwards.
    async fn show_aliases(&self, operation: &'static str, model: &ModelName) -> Result<()> {
        const TAG: &str = "mlops.alias.";
        let at = self.place.container("models", &self.azure_name(model).await)?;
        let mut wanted = set_aliases(&*self.state.lock().await, operation, model)?;
        for _ in 0..8 {
            let found = match self.service.call(at.get(operation)).await {
                Err(error) if error.kind() == ErrorKind::NotFound && wanted.is_empty() => return Ok(()),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    // Whoever entered the versions has not told Azure, or did so a moment ago.
                    for (_, version) in &wanted {
                        self.show(operation, model, *version).await?;
                    }
                    self.service.call(at.get(operation).settling(self.patience)).await
                }
                found => found,
            };
            let mut container = found.map_err(|e| e.with("model", model))?;
            let mut tags = container.properties.tags.clone().unwrap_or_default();
            tags.0.retain(|key, _| !key.starts_with(TAG));
            tags.0
                .extend(wanted.iter().map(|(alias, version)| (format!("{TAG}{alias}"), version.to_string())));
            if container.properties.tags.as_ref() != Some(&tags) {
                container.properties.tags = Some(tags);
                self.write(operation, &at, &container).await.map_err(|e| e.with("model", model))?;
            }
            let now = set_aliases(&*self.state.lock().await, operation, model)?;
            if now == wanted {
                return Ok(());
            }
            wanted = now;
        }
        let message = "an alias moved, and Azure does not show it: others keep moving it";
        Err(Error::new(ErrorKind::Busy, operation, message).with("model", model))
    }

    /// Moves an alias, unless the same call did; then Azure follows.
    async fn shift(
        &self,
        operation: &'static str,
        mut state: MutexGuard<'_, State>,
        (key, asked, record): (IdempotencyKey, Digest, AliasRecord),
    ) -> Result<AliasRecord> {
        let model = record.model.clone();
        let moved = Record::Moved { key: key.clone(), asked, record: Box::new(record) };
        self.ask(operation, &mut state, moved).await?;
        let made = state.ledger.moved(operation, &key, &asked)?.cloned();
        drop(state);
        self.show_aliases(operation, &model).await?;
        made.ok_or_else(|| Error::new(ErrorKind::Internal, operation, "a move was not entered"))
    }
}

/// What a version consists of, as Azure is told it.
#[derive(Clone, Debug)]
struct Placed {
    kind: ModelType,
    uri: String,
}

/// The aliases of a model that are set.
fn set_aliases(state: &State, operation: &'static str, model: &ModelName) -> Result<Vec<(Alias, Version)>> {
    let model = state.ledger.model(operation, model)?;
    Ok(model.aliases.keys().filter_map(|alias| Some((alias.clone(), model.alias(alias)?))).collect())
}

fn spec_of(
    operation: &'static str,
    ledger: &Ledger,
    model: &ModelName,
    version: Version,
) -> Result<Arc<NewModelVersion>> {
    let missing =
        || Error::new(ErrorKind::Corrupt, operation, "a version has no specification in the ledger");
    ledger.spec(model, version).ok_or_else(|| missing().with("model", model).with("version", version))
}

fn shown_tags(tags: &Tags) -> TextMap {
    tags.iter().map(|(key, value)| (key.as_str(), shown(value, SHOWN))).collect()
}

/// Whether a version in Azure is the one of a registration.
pub(super) fn is_ours(found: &Resource<AzureModel>, asked: &Digest) -> bool {
    let said = found.properties.properties.as_ref().and_then(|map| map.get("mlops.asked"));
    said == Some(asked.to_string().as_str())
}

/// A version as the ledger has it.
fn made(operation: &'static str, ledger: &Ledger, model: &ModelName, kept: &Kept) -> Result<ModelVersion> {
    let spec = spec_of(operation, ledger, model, kept.version)?;
    let mut spec = (*spec).clone();
    spec.tags = kept.tags.clone();
    let mut version = ModelVersion::new(spec, kept.version, kept.created_at);
    version.archived = kept.archived;
    Ok(version)
}

// -------------------------------------------------------------------------------------------------------- registrations

/// How far a registration is.
enum Standing {
    /// It was made before.
    Made(Version),
    /// It was entered now, and its content is there.
    Entered(Version, Placed),
    /// Somebody was faster.
    Again,
}

/// The version that a registration has, if it was made before.
fn entered(
    operation: &'static str,
    state: &State,
    new: &NewModelVersion,
    asked: &Digest,
) -> Result<Option<Version>> {
    match state.ledger.registration(operation, &new.key, asked)? {
        None => Ok(None),
        Some(Call::Registered { version, .. }) => Ok(Some(*version)),
        Some(_) => Err(Error::new(ErrorKind::Corrupt, operation, "the ledger has a claim of a key")),
    }
}

impl AzureModelRegistry {
    /// The first number from `least` on that nobody has, as far as can be seen.
    async fn free_number(
        &self,
        operation: &'static str,
        (model, azure): (&ModelName, &str),
        least: u64,
    ) -> Result<Version> {
        let bad = || Error::limit(operation, "the version", "2^63 - 1", "2^63").with("model", model);
        let at = self.place.model(azure, &least.to_string())?;
        match self.service.call(at.get(operation)).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Version::new(least).ok_or_else(bad),
            Err(error) => return Err(error.with("model", model)),
            Ok(_) => {}
        }
        // Another client has it: whatever else it has, the container's next number is after that.
        let container = self.place.container("models", azure)?;
        let container = self.service.call(container.get(operation)).await?.properties;
        let said = once::after(container.latest_version.as_deref(), container.next_version.as_deref());
        let next = said.unwrap_or_default().max(least.saturating_add(1));
        Version::new(next).ok_or_else(bad)
    }

    /// Enters a registration with the next number. Its content is brought to Azure before, while nobody waits for the ledger.
    async fn enter(
        &self,
        operation: &'static str,
        new: &NewModelVersion,
        asked: &Digest,
        least: u64,
        placed: &mut Option<Placed>,
    ) -> Result<Standing> {
        let mut state = self.current(operation).await?;
        if let Some(made) = entered(operation, &state, new, asked)? {
            return Ok(Standing::Made(made));
        }
        let ours = match placed {
            Some(placed) => placed.clone(),
            None => {
                drop(state);
                let ours = placed.insert(self.placed(operation, new).await?).clone();
                state = self.state.lock().await;
                if let Some(made) = entered(operation, &state, new, asked)? {
                    return Ok(Standing::Made(made));
                }
                ours
            }
        };
        let known =
            state.ledger.models().get(&new.model).and_then(|m| m.versions.keys().next_back().copied());
        let least = known.map_or(1, |last| last.get().saturating_add(1)).max(least);
        let azure = match state.ledger.has_namesake(&new.model) {
            true => case::apart(new.model.as_str()),
            false => new.model.as_str().to_owned(),
        };
        let version = self.free_number(operation, (&new.model, &azure), least).await?;
        let (at, spec) = (self.clock.now(), new.clone());
        let record = Record::Numbered(Box::new(Numbered { asked: *asked, version, at, spec }));
        match self.append(operation, &mut state, record).await? {
            Ok(Verdict::New) => Ok(Standing::Entered(version, ours)),
            Ok(Verdict::Same) => Ok(Standing::Again),
            Err(error) if error.kind() == ErrorKind::Busy => Ok(Standing::Again),
            Err(error) => Err(error),
        }
    }

    /// Writes the version that was entered, and reads it back until it is seen; whether it is the one that was written.
    async fn project(
        &self,
        operation: &'static str,
        new: &NewModelVersion,
        version: Version,
        placed: &Placed,
    ) -> Result<bool> {
        let (spec, kept) = {
            let state = self.state.lock().await;
            let model = state.ledger.model(operation, &new.model)?;
            let kept = model.version(operation, &new.model, version)?.clone();
            (spec_of(operation, &state.ledger, &new.model, version)?, kept)
        };
        let at = self.at(&new.model, version).await?;
        match self.write(operation, &at, &Self::resource(&spec, &kept, placed)).await {
            Err(error) if !is_taken(&error) => return Err(error.with("model", &new.model)),
            _ => {}
        }
        let found = self.service.call(at.get(operation).settling(self.patience)).await;
        Ok(is_ours(&found.map_err(|e| e.with("model", &new.model))?, &kept.asked))
    }
}

#[async_trait]
impl ModelRegistry for AzureModelRegistry {
    /// Everything: what Azure lacks, the ledger has.
    fn capabilities(&self) -> RegistryCapabilities {
        RegistryCapabilities::FULL
    }

    async fn register(&self, new: &NewModelVersion) -> Result<ModelVersion> {
        const OP: &str = "ModelRegistry::register";
        new.check()?;
        if case::joined(new.model.as_str()).is_some() {
            let reason = "names that end in `--u` and which letters are capital are this library's own";
            return Err(Error::invalid(OP, "model", reason).with("value", &new.model));
        }
        let asked = asked(OP, new)?;
        let _turn = self.turn.lock().await;
        let (mut least, mut placed) = (1, None);
        for _ in 0..TRIES {
            let version = match self.enter(OP, new, &asked, least, &mut placed).await? {
                Standing::Again => continue,
                Standing::Made(version) => {
                    self.show(OP, &new.model, version).await?;
                    version
                }
                Standing::Entered(version, ours) => {
                    if !self.project(OP, new, version, &ours).await? {
                        let (key, model) = (new.key.clone(), new.model.clone());
                        let mut state = self.state.lock().await;
                        self.ask(OP, &mut state, Record::Withdrawn { key, model, version }).await?;
                        least = version.get().saturating_add(1);
                        continue;
                    }
                    version
                }
            };
            let state = self.state.lock().await;
            let kept = state.ledger.model(OP, &new.model)?.version(OP, &new.model, version)?;
            return made(OP, &state.ledger, &new.model, kept);
        }
        let error = Error::new(ErrorKind::Busy, OP, "other clients keep taking the next number");
        Err(error.with("model", &new.model).with("tries", TRIES))
    }

    async fn get(&self, reference: &ModelRef) -> Result<ModelVersion> {
        const OP: &str = "ModelRegistry::get";
        let model = &reference.model;
        {
            let state = self.current(OP).await?;
            let known = state.ledger.models().get(model);
            if let Some(kept) = known.and_then(|known| known.find(&reference.version)) {
                return made(OP, &state.ledger, model, kept);
            }
        }
        let not_found = || Error::not_found(OP, "model version", reference);
        let VersionSpec::Exact(version) = &reference.version else { return Err(not_found()) };
        let at = self.place.model(model.as_str(), &version.to_string())?;
        match self.service.call(at.get(OP)).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Err(not_found()),
            Err(error) => Err(error.with("model", model)),
            Ok(found) => {
                let message =
                    "another client registered it, and nothing says its signature, format and digest";
                let error = Error::new(ErrorKind::Unsupported, OP, message);
                let error = error.with("model", model).with("version", version);
                match found.properties.model_type {
                    Some(kind) => Err(error.with("model_type", kind)),
                    None => Err(error),
                }
            }
        }
    }

    async fn versions(&self, model: &ModelName, page: &PageRequest) -> Result<Page<ModelVersion>> {
        const OP: &str = "ModelRegistry::versions";
        let state = self.current(OP).await?;
        let kept = self.pager.page(OP, model, page, |after: Option<Version>| {
            let versions = state.ledger.model(OP, model)?.versions.values().rev();
            let older = versions.filter(move |kept| after.is_none_or(|after| kept.version < after));
            Ok(older.map(|kept| (kept.version, kept)))
        })?;
        let items = kept.items.into_iter().map(|kept| made(OP, &state.ledger, model, kept));
        Ok(Page::new(items.collect::<Result<_>>()?, kept.next))
    }

    async fn models(&self, page: &PageRequest) -> Result<Page<ModelName>> {
        const OP: &str = "ModelRegistry::models";
        let state = self.current(OP).await?;
        self.pager.page(OP, &(), page, |after: Option<ModelName>| {
            let names = state.ledger.models().keys();
            let later = names.filter(move |name| after.as_ref().is_none_or(|after| *name > after));
            Ok(later.map(|name| (name.clone(), name.clone())))
        })
    }

    async fn set_alias(&self, change: &AliasChange) -> Result<AliasRecord> {
        const OP: &str = "ModelRegistry::set_alias";
        change.check()?;
        let asked = asked(OP, change)?;
        let _turn = self.turn.lock().await;
        let state = self.current(OP).await?;
        if state.ledger.moved(OP, &change.key, &asked)?.is_none()
            && let Some(version) = change.to
        {
            let model = state.ledger.model(OP, &change.model)?;
            model.target(OP, &change.model, version)?;
            if self.protected.contains_key(&change.alias) && !model.held(&change.alias, version) {
                let error = Error::new(ErrorKind::Rejected, OP, "a protected alias moves by promotion only");
                return Err(error.with("alias", &change.alias).with("version", version));
            }
        }
        let record = AliasRecord::of_change(change, 0, self.clock.now());
        self.shift(OP, state, (change.key.clone(), asked, record)).await
    }

    async fn promote(&self, promotion: &Promotion) -> Result<AliasRecord> {
        const OP: &str = "ModelRegistry::promote";
        promotion.check()?;
        let asked = asked(OP, promotion)?;
        let _turn = self.turn.lock().await;
        let now = self.clock.now();
        let state = self.current(OP).await?;
        if state.ledger.moved(OP, &promotion.key, &asked)?.is_none() {
            let model = state.ledger.model(OP, &promotion.model)?;
            let target = model.target(OP, &promotion.model, promotion.version)?;
            promotion.check_evidence(&target.artifact, now)?;
            if self.protected.get(&promotion.alias) == Some(&Protection::GateAndApproval) {
                promotion.require_approval()?;
            }
        }
        let record = AliasRecord::of_promotion(promotion, 0, now)?;
        self.shift(OP, state, (promotion.key.clone(), asked, record)).await
    }

    async fn aliases(&self, model: &ModelName) -> Result<Vec<(Alias, Version)>> {
        const OP: &str = "ModelRegistry::aliases";
        set_aliases(&*self.current(OP).await?, OP, model)
    }

    async fn alias_history(
        &self,
        model: &ModelName,
        alias: &Alias,
        page: &PageRequest,
    ) -> Result<Page<AliasRecord>> {
        const OP: &str = "ModelRegistry::alias_history";
        let state = self.current(OP).await?;
        self.pager.page(OP, &(model, alias), page, |after: Option<u64>| {
            let history = state.ledger.model(OP, model)?.aliases.get(alias);
            let records = history.into_iter().flatten();
            let later = records.filter(move |record| after.is_none_or(|last| record.sequence > last));
            Ok(later.map(|record| (record.sequence, record.clone())))
        })
    }

    async fn set_tags(
        &self,
        model: &ModelName,
        version: Version,
        tags: &Tags,
        actor: &ActorId,
    ) -> Result<ModelVersion> {
        const OP: &str = "ModelRegistry::set_tags";
        check_tags(OP, tags)?;
        let (tags, actor, at) = (tags.clone(), actor.clone(), self.clock.now());
        let record = Record::Tagged { model: model.clone(), version, tags, actor, at };
        self.change(OP, model, version, record).await
    }

    async fn set_archived(
        &self,
        model: &ModelName,
        version: Version,
        archived: bool,
        actor: &ActorId,
    ) -> Result<ModelVersion> {
        const OP: &str = "ModelRegistry::set_archived";
        let (actor, at) = (actor.clone(), self.clock.now());
        let record = Record::Archived { model: model.clone(), version, archived, actor, at };
        self.change(OP, model, version, record).await
    }

    async fn link(&self, edge: &Edge) -> Result<()> {
        const OP: &str = "ModelRegistry::link";
        let mut state = self.current(OP).await?;
        self.ask(OP, &mut state, Record::Linked { edge: edge.clone() }).await.map(drop)
    }

    async fn lineage(&self, node: &Node, direction: Direction, depth: u32) -> Result<LineageGraph> {
        let state = self.current("ModelRegistry::lineage").await?;
        Ok(LineageGraph::reach(state.ledger.edges(), node, direction, depth))
    }

    async fn events(&self, after: u64, limit: usize) -> Result<Vec<RegistryEvent>> {
        const OP: &str = "ModelRegistry::events";
        PageRequest::first(limit).check(OP)?;
        let skip = usize::try_from(after).unwrap_or(usize::MAX);
        Ok(self.current(OP).await?.ledger.events().iter().skip(skip).take(limit).cloned().collect())
    }
}

impl AzureModelRegistry {
    /// Changes what may change of a version; then Azure follows.
    async fn change(
        &self,
        operation: &'static str,
        model: &ModelName,
        version: Version,
        record: Record,
    ) -> Result<ModelVersion> {
        let _turn = self.turn.lock().await;
        let mut state = self.current(operation).await?;
        self.ask(operation, &mut state, record).await?;
        let kept = state.ledger.model(operation, model)?.version(operation, model, version)?;
        let changed = made(operation, &state.ledger, model, kept)?;
        drop(state);
        self.show(operation, model, version).await?;
        Ok(changed)
    }
}
