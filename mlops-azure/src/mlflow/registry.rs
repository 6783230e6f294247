//! The model registry on MLflow's REST API.
//!
//! # Version, permission, and what is eventually consistent
//! MLflow's REST API 2.0, as servers of MLflow 2 and 3 speak it. With authentication on, the user needs `EDIT` on the registered models,
//! and `MANAGE` to remove aliases. A server over one SQL database is consistent; where it has replicas, what was written is waited for.
//!
//! # What differs from the local backend
//! MLflow has no compare-and-set, no protection, no history of aliases and no keys: a ledger of versions has them, see
//! [`MlflowRegistry`] for what remains. MLflow's own interface shows the versions, and other clients may change what it shows.

mod names;
mod server;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::artifact::ArtifactStore;
use mlops_core::hash::{Digest, Hasher};
use mlops_core::id::{TagKey, check_tags};
use mlops_core::page::pager::Pager;
use mlops_core::registry::{
    AliasChange, AliasRecord, Direction, Edge, LineageGraph, ModelRef, ModelRegistry, ModelVersion,
    NewModelVersion, Node, Promotion, Protection, RegistryCapabilities, RegistryEvent,
};
use mlops_core::time::Clock;
use mlops_core::{
    ActorId, Alias, Error, ErrorKind, IdempotencyKey, ModelName, Page, PageRequest, Result, Tags, Version,
};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

use self::names::{Namespace, encode_alias, shown_key};
use self::server::{NewVersion, Server, Stored};
use super::artifact::content_path;
use super::{Dialect, MlflowClient, MlflowTracker};
use crate::http::Repeat;
use crate::ledger::rules::{Call, Entry, Kept, Ledger, Record, Registered, SCHEMA, Verdict};
use crate::ledger::text::{ascii_json, cut, from_json, join, shown, tag};

/// How many entries one part of the ledger has: MLflow 2.x reads all versions of a model to find the next number.
const PART: u64 = 500;

/// The longest description that MLflow's databases hold.
const DESCRIPTION: usize = 5_000;

/// How many versions are kept in memory once read.
const CACHED: usize = 4_096;

/// Model versions on an MLflow server, whose content lies in an artifact store.
///
/// # What MLflow shows, and what counts
/// A version is an MLflow model version of the same name and number. Its description, run and tags are where MLflow's pages
/// and clients look for them, and the place of its content is in the tag `mlops.source`, and in the version's source where
/// the server takes it: MLflow 3 wants content on its own artifact proxy to be part of a run's. The whole specification is in its tags `mlops.spec.000`, …,
/// and is checked against its digest whenever it is read. Aliases are set in MLflow, too, so that `models:/churn@champion`
/// loads what was promoted.
///
/// What counts is the ledger: entries that can only be added, each a version of the registered model `mlops.ledger.1`,
/// then `.2`, …, of [500](Self::PART) entries each. MLflow numbers them in one transaction, and from that order every client
/// derives the same state. This is how aliases are compare-and-set between any number of processes and machines, have a
/// history, and why events have an order, although MLflow has none of it.
///
/// * An alias or a tag that somebody sets with MLflow's own client is not seen here, and stands in MLflow until it is set
///   here again, or until [`restore_aliases`](Self::restore_aliases). So does an alias whose move was entered by a process
///   that died before it told MLflow. Protection cannot be gone around on the way through this registry; MLflow itself knows no protection.
/// * Versions that another client registered under the same name are not seen here, and take up their numbers.
/// * A version deleted with another client is not found any more. When a whole model is deleted or renamed and MLflow begins
///   to number again, what was a version stays one: registering is [`ErrorKind::Corrupt`] until the numbers are new. So is
///   everything once an entry of the ledger is missing or was edited.
/// * The server needs a database that numbers versions in a transaction, as every SQL store does. The file store does not.
/// * When a process dies between telling MLflow and the ledger, and another repeats its registration while the first
///   request is still on its way, MLflow may make a version that nobody registered: its number is then left out.
///
/// # Cost
/// The first call of a handle reads the ledger from its beginning, 100 entries in one request. After that, every call asks
/// for what is new (one request). A registration takes five requests, a move of an alias four.
///
/// Names that MLflow holds exactly are its names; an alias with a `.` is written with `_2e_` for it.
///
/// ```no_run
/// use std::sync::Arc;
/// use mlops_azure::mlflow::{MlflowArtifactStore, MlflowClient, MlflowRegistry};
/// use mlops_core::Alias;
/// use mlops_core::registry::{ModelRegistry as _, Protection};
/// use mlops_core::time::SystemClock;
/// # async fn f() -> mlops_core::Result<()> {
/// let client = MlflowClient::builder("http://127.0.0.1:5000").build()?;
/// let clock = Arc::new(SystemClock::new());
/// let artifacts = Arc::new(MlflowArtifactStore::new(client.clone(), clock.clone()));
/// let registry = MlflowRegistry::new(client, artifacts, clock)
///     .with_protected(Alias::new("champion")?, Protection::GateAndApproval);
/// println!("{}", registry.get(&"churn:@champion".parse()?).await?.version);
/// # Ok(()) }
/// ```
pub struct MlflowRegistry {
    server: Server,
    namespace: Namespace,
    artifacts: Arc<dyn ArtifactStore>,
    clock: Arc<dyn Clock>,
    protected: BTreeMap<Alias, Protection>,
    sources: String,
    runs: Option<MlflowTracker>,
    patience: Duration,
    /// This handle, in the claims it makes.
    name: String,
    /// Changes of this handle wait for each other: a race between them would be decided by the server at a higher price.
    turn: Mutex<()>,
    ledger: Mutex<Ledger>,
    pager: Pager,
    specs: StdMutex<HashMap<(ModelName, Version), Arc<NewModelVersion>>>,
}

impl MlflowRegistry {
    /// How many entries one part of the ledger has.
    pub const PART: u64 = PART;

    /// The registry of a server, of models whose content lies in `artifacts`. Nothing is sent yet.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use mlops_azure::mlflow::{MlflowArtifactStore, MlflowClient, MlflowRegistry, MlflowTracker};
    /// use mlops_core::Alias;
    /// use mlops_core::registry::{ModelRegistry as _, Protection, RegistryCapabilities};
    /// use mlops_core::time::SystemClock;
    /// let client = MlflowClient::builder("http://127.0.0.1:5000").build()?;
    /// let clock = Arc::new(SystemClock::new());
    /// let artifacts = Arc::new(MlflowArtifactStore::new(client.clone(), clock.clone()));
    /// let sources = artifacts.uri();
    /// let registry = MlflowRegistry::new(client.clone(), artifacts, clock)
    ///     .with_sources(sources)
    ///     .with_runs_of(MlflowTracker::new(client))
    ///     .with_patience(Duration::from_secs(30))
    ///     .with_protected(Alias::new("champion")?, Protection::Gate);
    /// assert_eq!(registry.capabilities(), RegistryCapabilities::FULL);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn new(client: MlflowClient, artifacts: Arc<dyn ArtifactStore>, clock: Arc<dyn Clock>) -> Self {
        Self {
            server: Server::new(client),
            namespace: Namespace::default(),
            artifacts,
            clock,
            protected: BTreeMap::new(),
            sources: format!("mlflow-artifacts:/{}", super::artifact::ROOT),
            runs: None,
            patience: Duration::from_secs(10),
            name: uuid::Uuid::new_v4().simple().to_string(),
            turn: Mutex::default(),
            ledger: Mutex::default(),
            pager: Pager::new(),
            specs: StdMutex::default(),
        }
    }

    /// Protects an alias, of every model.
    #[must_use]
    pub fn with_protected(mut self, alias: Alias, protection: Protection) -> Self {
        self.protected.insert(alias, protection);
        self
    }

    /// Puts a text before every name on the server, so that several registries share it without seeing each other.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] or [`ErrorKind::LimitExceeded`]: at most 64 letters, digits, `-`, `_` and `.`.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use mlops_azure::mlflow::{MlflowArtifactStore, MlflowClient, MlflowRegistry};
    /// # use mlops_core::time::SystemClock;
    /// # let client = MlflowClient::builder("http://127.0.0.1:5000").build()?;
    /// # let clock = Arc::new(SystemClock::new());
    /// # let artifacts = Arc::new(MlflowArtifactStore::new(client.clone(), clock.clone()));
    /// let registry = MlflowRegistry::new(client, artifacts, clock).with_namespace("team-a.")?;
    /// assert!(registry.with_namespace("team/a").is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn with_namespace(mut self, namespace: &str) -> Result<Self> {
        self.namespace = Namespace::new(namespace)?;
        Ok(self)
    }

    /// Where MLflow's own clients find the content: the URI of the folder of an artifact store, which
    /// [`MlflowArtifactStore::uri`](super::MlflowArtifactStore::uri) says. Default: that of an artifact store at its
    /// default place on the same server.
    #[must_use]
    pub fn with_sources(mut self, uri: impl Into<String>) -> Self {
        self.sources = uri.into();
        self
    }

    /// Names the run that made a version as MLflow knows it, so that MLflow's pages lead from the one to the other. Without it,
    /// and for a run that the tracker does not have, it is the id that the client made.
    #[must_use]
    pub fn with_runs_of(mut self, tracker: MlflowTracker) -> Self {
        self.runs = Some(tracker);
        self
    }

    /// Sets MLflow's own aliases of a model to what counts here, whoever moved them.
    ///
    /// ```no_run
    /// # use mlops_azure::mlflow::MlflowRegistry;
    /// # use mlops_core::ModelName;
    /// # async fn f(registry: MlflowRegistry) -> mlops_core::Result<()> {
    /// registry.restore_aliases(&ModelName::new("churn")?).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a model that is not there; those of the transport.
    pub async fn restore_aliases(&self, model: &ModelName) -> Result<()> {
        const OP: &str = "MlflowRegistry::restore_aliases";
        let _turn = self.turn.lock().await;
        let aliases: Vec<Alias> = self.current(OP).await?.model(OP, model)?.aliases.keys().cloned().collect();
        for alias in &aliases {
            self.show_alias(OP, model, alias).await?;
        }
        Ok(())
    }

    /// How long a registration waits for another client that is registering under the same key, before it takes the place
    /// of one that was lost. Default: ten seconds.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
}

impl fmt::Debug for MlflowRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MlflowRegistry")
            .field("server", &self.server)
            .field("namespace", &self.namespace)
            .field("protected", &self.protected)
            .finish_non_exhaustive()
    }
}

/// A specification as it is kept on the server, and the digest that names it.
struct Spec {
    json: String,
    digest: Digest,
}

impl Spec {
    fn of(operation: &'static str, new: &impl Serialize) -> Result<Self> {
        let json = ascii_json(operation, new)?;
        let digest = Digest::of(json.as_bytes());
        Ok(Self { json, digest })
    }
}

/// How a registration begins.
enum Start {
    Made(Kept),
    /// `resumed`: the key was claimed before this call, which may have made its version.
    Claimed {
        claim: String,
        resumed: bool,
    },
}

/// What is known of a registration before it begins.
enum Standing {
    Made(Kept),
    /// The key is free, or was claimed by one that was not heard of since.
    Free {
        over: Option<String>,
    },
    /// Somebody else is at it.
    Busy,
}

/// What a registration is found by: its key and its content, in letters that a filter takes.
fn call(new: &NewModelVersion, asked: &Digest) -> String {
    Hasher::new("mlops.call/v1").field(new.key.as_str()).field(asked.as_bytes()).finish().hex()
}

fn corrupt(operation: &'static str, message: &str) -> Error {
    Error::new(ErrorKind::Corrupt, operation, message)
}

/// What of a version is written a second time, where MLflow's pages and clients look for it.
#[derive(Clone, Copy)]
struct Copies {
    tags: bool,
    source: bool,
}

fn is_invalid<T>(result: &Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == ErrorKind::InvalidInput)
}

// ------------------------------------------------------------------------------------------------------------ the ledger

impl MlflowRegistry {
    /// The ledger with everything that was written until now.
    async fn current(&self, operation: &'static str) -> Result<MutexGuard<'_, Ledger>> {
        let mut ledger = self.ledger.lock().await;
        self.catch_up(operation, &mut ledger, None).await?;
        Ok(ledger)
    }

    /// Reads what is new, and says what became of the entry with the mark `watched`.
    async fn catch_up(
        &self,
        operation: &'static str,
        ledger: &mut Ledger,
        watched: Option<&str>,
    ) -> Result<Option<Result<Verdict>>> {
        let mut seen = None;
        loop {
            let (part, read) = (ledger.last() / PART, ledger.last() % PART);
            let entries = self.entries(operation, part, read).await?;
            let full = read + entries.len() as u64 == PART;
            for entry in entries {
                let watched = watched == Some(entry.mark.as_str());
                // What was refused to others changes nothing; they were told.
                let verdict = ledger.read(operation, entry);
                if watched && seen.is_none() {
                    seen = Some(verdict);
                }
            }
            if !full {
                return Ok(seen);
            }
        }
    }

    /// The entries of a part of the ledger after the first `read`.
    async fn entries(&self, operation: &'static str, part: u64, read: u64) -> Result<Vec<Entry>> {
        let name = self.namespace.ledger(part);
        // Entries may be long: a hundred of them fit into one answer, whatever they say.
        let limit = if read == 0 { 100 } else { 32 };
        let (mut found, mut token) = (BTreeMap::new(), None);
        loop {
            let (versions, next) = self.server.newest(operation, &name, limit, token.as_deref()).await?;
            let reached = versions.iter().any(|v| v.number <= read + 1);
            let fresh = versions.into_iter().filter(|v| (read + 1..=PART).contains(&v.number));
            found.extend(fresh.map(|version| (version.number, version.tags)));
            match next {
                Some(next) if !reached => token = Some(next),
                _ => break,
            }
        }
        let mut entries = Vec::with_capacity(found.len());
        for (number, tags) in found {
            if number != read + 1 + entries.len() as u64 {
                return Err(corrupt(operation, "an entry of the ledger is missing")
                    .with("ledger", &name)
                    .with("entry", read + 1 + entries.len() as u64));
            }
            entries.push(entry(operation, &tags).map_err(|e| e.with("ledger", &name).with("entry", number))?);
        }
        Ok(entries)
    }

    /// Writes an entry, reads up to it, and says what became of it; the outer error is that it could not be written or read.
    async fn append(
        &self,
        operation: &'static str,
        ledger: &mut Ledger,
        record: Record,
    ) -> Result<Result<Verdict>> {
        let mark = uuid::Uuid::new_v4().simple().to_string();
        let entry = Entry { schema: SCHEMA.to_owned(), mark, record };
        let json = ascii_json(operation, &entry)?;
        let summary = entry.record.summary();
        let mut tags = cut("mlops.entry", &json);
        tags.push(tag("mlops.digest", &Digest::of(json.as_bytes()).to_string()));
        // Twice is enough, unless others fill whole parts in between.
        for _ in 0..8 {
            let part = ledger.last() / PART;
            let name = self.namespace.ledger(part);
            let new = NewVersion {
                name: &name,
                source: "mlops-ledger:/entry",
                run: None,
                description: &summary,
                tags: tags.clone(),
            };
            let number = self.create_in_ledger(operation, &new).await?;
            if part * PART + number == ledger.last() + 1 && number <= PART {
                return Ok(ledger.read(operation, entry));
            }
            if let Some(verdict) = self.catch_up(operation, ledger, Some(&entry.mark)).await? {
                return Ok(verdict);
            }
        }
        Err(Error::new(ErrorKind::Protocol, operation, "what was written cannot be read")
            .with("ledger", self.namespace.ledger(ledger.last() / PART)))
    }

    /// An entry may be written twice, and counts once: it may be sent again.
    async fn create_in_ledger(&self, operation: &'static str, new: &NewVersion<'_>) -> Result<u64> {
        match self.server.create_version(operation, new, Repeat::Safe).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let what = "What happened in this registry, entry by entry, written by the mlops SDK. Without it the \
                            models lose their history: do not change or delete anything here.";
                self.server.create_model(operation, new.name, what).await?;
                self.server.create_version(operation, new, Repeat::Safe).await
            }
            other => other,
        }
    }

    /// Asks for a change, unless it is refused already or there is nothing to change.
    async fn ask(&self, operation: &'static str, ledger: &mut Ledger, record: Record) -> Result<Verdict> {
        match ledger.admit(operation, &record)? {
            Verdict::Same => Ok(Verdict::Same),
            Verdict::New => self.append(operation, ledger, record).await?,
        }
    }
}

/// The entry in the tags of a version of the ledger.
fn entry(operation: &'static str, tags: &[Value]) -> Result<Entry> {
    let json = join("mlops.entry", tags)
        .ok_or_else(|| corrupt(operation, "an entry of the ledger is incomplete"))?;
    let digest = Digest::of(json.as_bytes()).to_string();
    if !tags.contains(&tag("mlops.digest", &digest)) {
        return Err(corrupt(operation, "an entry of the ledger was changed").with("found", digest));
    }
    Entry::read(operation, &json)
}

// ---------------------------------------------------------------------------------------------------------- the versions

impl MlflowRegistry {
    fn cached(&self, model: &ModelName, version: Version) -> Option<Arc<NewModelVersion>> {
        let specs = self.specs.lock().unwrap_or_else(PoisonError::into_inner);
        specs.get(&(model.clone(), version)).cloned()
    }

    fn cache(&self, model: &ModelName, version: Version, spec: &Arc<NewModelVersion>) {
        let mut specs = self.specs.lock().unwrap_or_else(PoisonError::into_inner);
        if specs.len() >= CACHED {
            specs.clear();
        }
        specs.insert((model.clone(), version), spec.clone());
    }

    /// The specification in the tags of a version, checked against its digest.
    fn read_spec(
        &self,
        operation: &'static str,
        model: &ModelName,
        kept: &Kept,
        stored: &Stored,
    ) -> Result<Arc<NewModelVersion>> {
        let damaged = |message| {
            let error = Error::new(ErrorKind::Integrity, operation, message);
            error.with("model", model).with("version", kept.version)
        };
        let json = join("mlops.spec", &stored.tags);
        let json = json.ok_or_else(|| damaged("the specification of the version is incomplete"))?;
        let found = Digest::of(json.as_bytes());
        if found != kept.asked {
            let error = damaged("the specification of the version was changed");
            return Err(error.with("expected", kept.asked).with("found", found));
        }
        let spec = Arc::new(from_json(operation, &json)?);
        self.cache(model, kept.version, &spec);
        Ok(spec)
    }

    /// A version as it is now.
    async fn whole(&self, operation: &'static str, model: &ModelName, kept: &Kept) -> Result<ModelVersion> {
        if let Some(spec) = self.cached(model, kept.version) {
            return Ok(made(&spec, kept));
        }
        let name = self.namespace.model(operation, model)?;
        let stored = self.server.version(operation, &name, kept.version.get()).await.map_err(|error| {
            match error.kind() {
                ErrorKind::NotFound => Error::not_found(operation, "model version", kept.version)
                    .with("model", model)
                    .with("reason", "it was deleted by another client of MLflow"),
                _ => error,
            }
        })?;
        Ok(made(&*self.read_spec(operation, model, kept, &stored)?, kept))
    }

    /// Several versions of a model, without those that another client deleted; many of them in few requests.
    async fn all(
        &self,
        operation: &'static str,
        model: &ModelName,
        kept: &[Kept],
    ) -> Result<Vec<Option<ModelVersion>>> {
        let missing: BTreeMap<u64, &Kept> = kept
            .iter()
            .filter(|kept| self.cached(model, kept.version).is_none())
            .map(|kept| (kept.version.get(), kept))
            .collect();
        let mut specs = HashMap::new();
        if let Some((lowest, _)) = missing.first_key_value() {
            let name = self.namespace.model(operation, model)?;
            let mut token = None;
            loop {
                let (versions, next) = self.server.newest(operation, &name, 200, token.as_deref()).await?;
                let reached = versions.iter().any(|v| v.number <= *lowest);
                for version in versions {
                    if let Some(kept) = missing.get(&version.number) {
                        specs.insert(kept.version, self.read_spec(operation, model, kept, &version)?);
                    }
                }
                match next {
                    Some(next) if !reached => token = Some(next),
                    _ => break,
                }
            }
        }
        let spec =
            |kept: &Kept| specs.get(&kept.version).cloned().or_else(|| self.cached(model, kept.version));
        Ok(kept.iter().map(|kept| spec(kept).map(|spec| made(&spec, kept))).collect())
    }
}

fn made(spec: &NewModelVersion, kept: &Kept) -> ModelVersion {
    let mut spec = spec.clone();
    spec.tags = kept.tags.clone();
    let mut version = ModelVersion::new(spec, kept.version, kept.created_at);
    version.archived = kept.archived;
    version
}

// -------------------------------------------------------------------------------------------------------- registrations

impl MlflowRegistry {
    /// What is known of a registration; `patient`: another client that is at it is waited for.
    fn standing(
        &self,
        operation: &'static str,
        ledger: &Ledger,
        (new, asked): (&NewModelVersion, &Digest),
        patient: bool,
    ) -> Result<Standing> {
        match ledger.registration(operation, &new.key, asked)? {
            None => Ok(Standing::Free { over: None }),
            Some(Call::Registered { version, .. }) => {
                let kept = ledger.model(operation, &new.model)?.version(operation, &new.model, *version)?;
                Ok(Standing::Made(kept.clone()))
            }
            // One of this handle whose call ended early: there is one at a time.
            Some(Call::Claimed { claim, .. }) if claim.starts_with(&self.name) || !patient => {
                Ok(Standing::Free { over: Some(claim.clone()) })
            }
            Some(_) => Ok(Standing::Busy),
        }
    }

    /// Claims the key, so that nobody else registers under it; or finds what was registered.
    async fn start(&self, operation: &'static str, new: &NewModelVersion, asked: &Digest) -> Result<Start> {
        let step = Duration::from_millis(200);
        let (mut waited, mut checked) = (Duration::ZERO, false);
        loop {
            let standing = {
                let ledger = self.current(operation).await?;
                self.standing(operation, &ledger, (new, asked), waited < self.patience)?
            };
            let over = match standing {
                Standing::Made(kept) => return Ok(Start::Made(kept)),
                Standing::Free { over } => over,
                Standing::Busy => {
                    tokio::time::sleep(step).await;
                    waited = waited.saturating_add(step);
                    continue;
                }
            };
            if !checked && self.artifacts.head(&new.artifact).await?.is_none() {
                return Err(Error::not_found(operation, "artifact", new.artifact).with("model", &new.model));
            }
            checked = true;
            let claim = format!("{}.{}", self.name, uuid::Uuid::new_v4().simple());
            let (key, model, resumed) = (new.key.clone(), new.model.clone(), over.is_some());
            let record = Record::Claim { key, asked: *asked, claim: claim.clone(), over, model };
            let mut ledger = self.ledger.lock().await;
            match self.append(operation, &mut ledger, record).await? {
                Ok(Verdict::New) => return Ok(Start::Claimed { claim, resumed }),
                // Somebody was faster, and may be done by now.
                Ok(Verdict::Same) => {}
                Err(error) if error.kind() == ErrorKind::Busy => waited = Duration::ZERO,
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes the version in MLflow, or finds the one that was made by a call whose answer was lost.
    async fn make(
        &self,
        operation: &'static str,
        new: &NewModelVersion,
        spec: &Spec,
        resumed: bool,
    ) -> Result<u64> {
        let name = self.namespace.model(operation, &new.model)?;
        let call = call(new, &spec.digest);
        if resumed && let Some(found) = self.server.tagged(operation, &name, "mlops.call", &call).await? {
            return Ok(found);
        }
        if !self.ledger.lock().await.models().contains_key(&new.model) {
            self.create_model(operation, &name, &new.model).await?;
        }
        // MLflow 3 takes a source on its own artifact proxy only as part of a run's artifacts.
        let on_proxy = self.sources.starts_with("mlflow-artifacts:");
        let dialect = self.server.dialect().await?;
        let copies = Copies { tags: true, source: !(on_proxy && dialect == Dialect::Mlflow3) };
        let mut result = self.create(operation, &name, new, spec, copies).await;
        // What is copied for people and other clients is no reason to fail: some servers allow sources by a list, and refuse
        // keys of tags that others take.
        for less in [Copies { source: false, ..copies }, Copies { source: false, tags: false }] {
            if is_invalid(&result) {
                result = self.create(operation, &name, new, spec, less).await;
            }
        }
        match result {
            Err(error) if error.kind() == ErrorKind::UnknownOutcome => {
                // Not there yet: it may still come. The key makes the same call safe.
                let message = "the answer was lost; repeat the call with its key";
                let found = self.server.tagged(operation, &name, "mlops.call", &call).await?;
                found.ok_or_else(|| Error::new(ErrorKind::Transport, operation, message).with_source(error))
            }
            other => other,
        }
    }

    async fn create(
        &self,
        operation: &'static str,
        name: &str,
        new: &NewModelVersion,
        spec: &Spec,
        copies: Copies,
    ) -> Result<u64> {
        let content = format!("{}/{}", self.sources, content_path(&new.artifact));
        let mut tags = cut("mlops.spec", &spec.json);
        tags.push(tag("mlops.key", new.key.as_str()));
        tags.push(tag("mlops.call", &call(new, &spec.digest)));
        tags.push(tag("mlops.artifact", &new.artifact.to_string()));
        tags.push(tag("mlops.source", &content));
        tags.push(tag("mlops.format", &shown(&new.format.to_string(), DESCRIPTION)));
        tags.push(tag("mlops.actor", new.actor.as_str()));
        for (i, input) in new.data.iter().enumerate() {
            let text = format!("{}:{} ({}) {}", input.asset, input.version, input.role, input.digest);
            tags.push(tag(&format!("mlops.data.{i}"), &shown(&text, DESCRIPTION)));
        }
        for (metric, value) in &new.metrics {
            let key = format!("mlops.metric.{metric}");
            if copies.tags && key.chars().count() <= 250 {
                tags.push(tag(&key, &value.to_string()));
            }
        }
        for (key, value) in new.tags.iter().filter(|_| copies.tags) {
            tags.extend(shown_key(key).map(|key| tag(&key, &shown(value, DESCRIPTION))));
        }
        let run = self.run_of(new).await?;
        let plain = format!("mlops-artifact:/sha256/{}", new.artifact.hex());
        let version = NewVersion {
            name,
            source: if copies.source { &content } else { &plain },
            run: run.as_deref(),
            description: &shown(&new.description, DESCRIPTION),
            tags,
        };
        match self.server.create_version(operation, &version, Repeat::Never).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.create_model(operation, name, &new.model).await?;
                self.server.create_version(operation, &version, Repeat::Never).await
            }
            other => other,
        }
    }

    /// Makes the registered model, unless it is there.
    async fn create_model(&self, operation: &'static str, name: &str, model: &ModelName) -> Result<()> {
        if !self.server.create_model(operation, name, "").await? {
            return Ok(());
        }
        // There already: perhaps under a name that this database takes for the same.
        let found = self.server.model_name(operation, name).await?;
        if found == name {
            return Ok(());
        }
        let message = "the server has a model whose name differs only in case";
        let error = Error::new(ErrorKind::AlreadyExists, operation, message);
        Err(error.with("model", model).with("found", found))
    }

    /// The run that made a version, by MLflow's id if it is known.
    async fn run_of(&self, new: &NewModelVersion) -> Result<Option<String>> {
        let (Some(run), Some(tracker)) = (&new.run, &self.runs) else {
            return Ok(new.run.as_ref().map(ToString::to_string));
        };
        match tracker.mlflow_run_id(run).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Some(run.to_string())),
            found => found.map(Some),
        }
    }

    /// Tells the ledger what was made under a claim, and returns what counts.
    async fn finish(
        &self,
        operation: &'static str,
        new: &NewModelVersion,
        asked: Digest,
        number: u64,
    ) -> Result<Kept> {
        let version = Version::new(number).ok_or_else(|| {
            Error::new(ErrorKind::Protocol, operation, "a version that is none").with("version", number)
        })?;
        let registered = Registered {
            key: new.key.clone(),
            asked,
            model: new.model.clone(),
            version,
            at: self.clock.now(),
            actor: new.actor.clone(),
            artifact: new.artifact,
            tags: new.tags.clone(),
            run: new.run.clone(),
            data: new.data.clone(),
        };
        let mut ledger = self.ledger.lock().await;
        self.append(operation, &mut ledger, Record::Registered(Box::new(registered))).await??;
        match ledger.registration(operation, &new.key, &asked)? {
            Some(Call::Registered { version, .. }) => {
                Ok(ledger.model(operation, &new.model)?.version(operation, &new.model, *version)?.clone())
            }
            _ => Err(Error::new(ErrorKind::Internal, operation, "a registration was not entered")
                .with("key", &new.key)),
        }
    }
}

// ---------------------------------------------------------------------------------------------------- what MLflow shows

impl MlflowRegistry {
    /// Lets MLflow's own alias follow the ledger. Another client may do so at the same moment, for a later move, so the
    /// ledger is looked at again afterwards.
    async fn show_alias(&self, operation: &'static str, model: &ModelName, alias: &Alias) -> Result<()> {
        let (name, text) = (self.namespace.model(operation, model)?, encode_alias(operation, alias)?);
        let mut to = self.ledger.lock().await.model(operation, model)?.alias(alias);
        for _ in 0..8 {
            match to {
                Some(version) => self.server.set_alias(operation, &name, &text, version.get()).await?,
                None => self.server.delete_alias(operation, &name, &text).await?,
            }
            let now = self.current(operation).await?.model(operation, model)?.alias(alias);
            if now == to {
                return Ok(());
            }
            to = now;
        }
        let message = "the alias moved, and MLflow's own alias does not follow: others keep moving it";
        Err(Error::new(ErrorKind::Busy, operation, message).with("model", model).with("alias", alias))
    }

    /// Lets the tags in MLflow follow: those that are for people to see.
    async fn show_tags(
        &self,
        operation: &'static str,
        model: &ModelName,
        version: Version,
        (old, new): (&Tags, &Tags),
    ) -> Result<()> {
        let name = self.namespace.model(operation, model)?;
        let at = (name.as_str(), version.get());
        for key in old.keys().filter(|key| !new.contains_key(*key)).filter_map(shown_key) {
            self.server.delete_tag(operation, at, &key).await?;
        }
        let changed = new.iter().filter(|(key, value)| old.get(*key) != Some(value));
        for (key, value) in changed.filter_map(|(key, value): (&TagKey, _)| Some((shown_key(key)?, value))) {
            match self.server.set_tag(operation, at, &key, &shown(value, DESCRIPTION)).await {
                Err(error) if error.kind() != ErrorKind::InvalidInput => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Moves an alias, unless the same call did; then MLflow follows.
    async fn shift(
        &self,
        operation: &'static str,
        mut ledger: MutexGuard<'_, Ledger>,
        shift: Shift,
    ) -> Result<AliasRecord> {
        let Shift { key, asked, record } = shift;
        let (model, alias) = (record.model.clone(), record.alias.clone());
        let moved = Record::Moved { key: key.clone(), asked, record: Box::new(record) };
        self.ask(operation, &mut ledger, moved).await?;
        let made = ledger.moved(operation, &key, &asked)?.cloned();
        drop(ledger);
        self.show_alias(operation, &model, &alias).await?;
        made.ok_or_else(|| Error::new(ErrorKind::Internal, operation, "a move was not entered"))
    }
}

/// A move of an alias to be made.
struct Shift {
    key: IdempotencyKey,
    asked: Digest,
    record: AliasRecord,
}

#[async_trait]
impl ModelRegistry for MlflowRegistry {
    /// Everything: what MLflow lacks, the ledger has.
    fn capabilities(&self) -> RegistryCapabilities {
        RegistryCapabilities::FULL
    }

    async fn register(&self, new: &NewModelVersion) -> Result<ModelVersion> {
        const OP: &str = "ModelRegistry::register";
        new.check()?;
        let name = self.namespace.model(OP, &new.model)?;
        let spec = Spec::of(OP, new)?;
        let _turn = self.turn.lock().await;
        let (claim, resumed) = match self.start(OP, new, &spec.digest).await? {
            Start::Made(kept) => return self.whole(OP, &new.model, &kept).await,
            Start::Claimed { claim, resumed } => (claim, resumed),
        };
        let number = match self.make(OP, new, &spec, resumed).await {
            Ok(number) => number,
            Err(error) => {
                // What may help when it is repeated may have been carried out: then the claim stays.
                if !error.is_retryable() {
                    let release = Record::Release { key: new.key.clone(), claim };
                    // The first error says more than a second one would.
                    let _ = self.append(OP, &mut *self.ledger.lock().await, release).await;
                }
                return Err(error);
            }
        };
        let kept = self.finish(OP, new, spec.digest, number).await?;
        if kept.version.get() != number {
            // Another client registered under the same key in the meantime: its version counts, and ours is one too many.
            self.server.delete_version(OP, &name, number).await?;
        }
        self.cache(&new.model, kept.version, &Arc::new(new.clone()));
        Ok(made(new, &kept))
    }

    async fn get(&self, reference: &ModelRef) -> Result<ModelVersion> {
        const OP: &str = "ModelRegistry::get";
        let found = self.current(OP).await?.model(OP, &reference.model)?.find(&reference.version).cloned();
        let kept = found.ok_or_else(|| Error::not_found(OP, "model version", reference))?;
        self.whole(OP, &reference.model, &kept).await
    }

    async fn versions(&self, model: &ModelName, page: &PageRequest) -> Result<Page<ModelVersion>> {
        const OP: &str = "ModelRegistry::versions";
        let kept = {
            let ledger = self.current(OP).await?;
            self.pager.page(OP, model, page, |after: Option<Version>| {
                let versions = ledger.model(OP, model)?.versions.values().rev();
                let older = versions.filter(move |kept| after.is_none_or(|after| kept.version < after));
                Ok(older.map(|kept| (kept.version, kept.clone())))
            })?
        };
        let items = self.all(OP, model, &kept.items).await?.into_iter().flatten().collect();
        Ok(Page::new(items, kept.next))
    }

    async fn models(&self, page: &PageRequest) -> Result<Page<ModelName>> {
        const OP: &str = "ModelRegistry::models";
        let ledger = self.current(OP).await?;
        self.pager.page(OP, &(), page, |after: Option<ModelName>| {
            let names = ledger.models().keys();
            let later = names.filter(move |name| after.as_ref().is_none_or(|after| *name > after));
            Ok(later.map(|name| (name.clone(), name.clone())))
        })
    }

    async fn set_alias(&self, change: &AliasChange) -> Result<AliasRecord> {
        const OP: &str = "ModelRegistry::set_alias";
        change.check()?;
        encode_alias(OP, &change.alias)?;
        let asked = Spec::of(OP, change)?.digest;
        let _turn = self.turn.lock().await;
        let ledger = self.current(OP).await?;
        if ledger.moved(OP, &change.key, &asked)?.is_none()
            && let Some(version) = change.to
        {
            let model = ledger.model(OP, &change.model)?;
            model.target(OP, &change.model, version)?;
            if self.protected.contains_key(&change.alias) && !model.held(&change.alias, version) {
                let error = Error::new(ErrorKind::Rejected, OP, "a protected alias moves by promotion only");
                return Err(error.with("alias", &change.alias).with("version", version));
            }
        }
        let record = AliasRecord::of_change(change, 0, self.clock.now());
        self.shift(OP, ledger, Shift { key: change.key.clone(), asked, record }).await
    }

    async fn promote(&self, promotion: &Promotion) -> Result<AliasRecord> {
        const OP: &str = "ModelRegistry::promote";
        promotion.check()?;
        encode_alias(OP, &promotion.alias)?;
        let asked = Spec::of(OP, promotion)?.digest;
        let _turn = self.turn.lock().await;
        let now = self.clock.now();
        let ledger = self.current(OP).await?;
        if ledger.moved(OP, &promotion.key, &asked)?.is_none() {
            let model = ledger.model(OP, &promotion.model)?;
            let target = model.target(OP, &promotion.model, promotion.version)?;
            promotion.check_evidence(&target.artifact, now)?;
            if self.protected.get(&promotion.alias) == Some(&Protection::GateAndApproval) {
                promotion.require_approval()?;
            }
        }
        let record = AliasRecord::of_promotion(promotion, 0, now)?;
        self.shift(OP, ledger, Shift { key: promotion.key.clone(), asked, record }).await
    }

    async fn aliases(&self, model: &ModelName) -> Result<Vec<(Alias, Version)>> {
        const OP: &str = "ModelRegistry::aliases";
        let ledger = self.current(OP).await?;
        let model = ledger.model(OP, model)?;
        let set = model.aliases.keys().filter_map(|alias| Some((alias.clone(), model.alias(alias)?)));
        Ok(set.collect())
    }

    async fn alias_history(
        &self,
        model: &ModelName,
        alias: &Alias,
        page: &PageRequest,
    ) -> Result<Page<AliasRecord>> {
        const OP: &str = "ModelRegistry::alias_history";
        let ledger = self.current(OP).await?;
        self.pager.page(OP, &(model, alias), page, |after: Option<u64>| {
            let history = ledger.model(OP, model)?.aliases.get(alias);
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
        let _turn = self.turn.lock().await;
        let mut ledger = self.current(OP).await?;
        let old = ledger.model(OP, model)?.version(OP, model, version)?.tags.clone();
        let (tags, actor, at) = (tags.clone(), actor.clone(), self.clock.now());
        self.ask(OP, &mut ledger, Record::Tagged { model: model.clone(), version, tags, actor, at }).await?;
        let kept = ledger.model(OP, model)?.version(OP, model, version)?.clone();
        drop(ledger);
        self.show_tags(OP, model, version, (&old, &kept.tags)).await?;
        self.whole(OP, model, &kept).await
    }

    async fn set_archived(
        &self,
        model: &ModelName,
        version: Version,
        archived: bool,
        actor: &ActorId,
    ) -> Result<ModelVersion> {
        const OP: &str = "ModelRegistry::set_archived";
        let _turn = self.turn.lock().await;
        let (actor, at) = (actor.clone(), self.clock.now());
        let mut ledger = self.current(OP).await?;
        self.ask(OP, &mut ledger, Record::Archived { model: model.clone(), version, archived, actor, at })
            .await?;
        let kept = ledger.model(OP, model)?.version(OP, model, version)?.clone();
        drop(ledger);
        let name = self.namespace.model(OP, model)?;
        let shown = (name.as_str(), version.get());
        match kept.archived {
            true => self.server.set_tag(OP, shown, "mlops.archived", "true").await?,
            false => self.server.delete_tag(OP, shown, "mlops.archived").await?,
        }
        self.whole(OP, model, &kept).await
    }

    async fn link(&self, edge: &Edge) -> Result<()> {
        const OP: &str = "ModelRegistry::link";
        let mut ledger = self.current(OP).await?;
        self.ask(OP, &mut ledger, Record::Linked { edge: edge.clone() }).await.map(drop)
    }

    async fn lineage(&self, node: &Node, direction: Direction, depth: u32) -> Result<LineageGraph> {
        let ledger = self.current("ModelRegistry::lineage").await?;
        Ok(LineageGraph::reach(ledger.edges(), node, direction, depth))
    }

    async fn events(&self, after: u64, limit: usize) -> Result<Vec<RegistryEvent>> {
        const OP: &str = "ModelRegistry::events";
        PageRequest::first(limit).check(OP)?;
        let skip = usize::try_from(after).unwrap_or(usize::MAX);
        Ok(self.current(OP).await?.events().iter().skip(skip).take(limit).cloned().collect())
    }
}
