//! The model registry in memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::artifact::ArtifactStore;
use crate::error::{Error, ErrorKind, Result};
use crate::governance::ApproverKeys;
use crate::id::{ActorId, Alias, IdempotencyKey, ModelName, Tags, Version, VersionSpec, check_tags};
use crate::page::pager::Pager;
use crate::page::{Page, PageRequest};
use crate::registry::{
    AliasChange, AliasRecord, Direction, Edge, LineageGraph, ModelRef, ModelRegistry, ModelVersion,
    NewModelVersion, Node, Promotion, Protection, RegistryCapabilities, RegistryEvent, RegistryEventKind,
    Relation,
};
use crate::time::{Clock, Timestamp, lock};

/// Model versions in memory, whose content lies in an artifact store.
///
/// Every registration, and every move of an alias, has one key for all of them: a key that registered a version cannot
/// move an alias.
///
/// No alias is protected until [`Self::with_protected`] says so.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::artifact::ArtifactStoreExt as _;
/// use mlops_core::memory::{MemoryArtifactStore, MemoryModelRegistry};
/// use mlops_core::model::{ModelFormat, Signature};
/// use mlops_core::problem::Task;
/// use mlops_core::registry::{AliasChange, ModelRegistry as _, NewModelVersion};
/// use mlops_core::time::SystemClock;
/// use mlops_core::{ActorId, Alias, ModelName};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let artifacts = Arc::new(MemoryArtifactStore::default());
/// let registry = MemoryModelRegistry::new(artifacts.clone(), Arc::new(SystemClock::new()));
///
/// // Content first, then the version, then the name it goes by.
/// let weights = artifacts.put_bytes(b"weights".to_vec()).await?;
/// let (name, trainer) = (ModelName::new("churn")?, ActorId::new("trainer")?);
/// let format = ModelFormat::new("mlops.linear/v1")?;
/// let signature = Signature::new(Task::BinaryClassification, Vec::new());
/// let new = NewModelVersion::new(name.clone(), weights.digest, format, signature, trainer.clone());
/// let version = registry.register(&new).await?.version;
///
/// let change = AliasChange::new(name, Alias::new("candidate")?, version, trainer);
/// registry.set_alias(&change).await?;
/// assert_eq!(registry.get(&"churn:@candidate".parse()?).await?.version, version);
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MemoryModelRegistry {
    artifacts: Arc<dyn ArtifactStore>,
    clock: Arc<dyn Clock>,
    protected: BTreeMap<Alias, Protection>,
    approver_keys: ApproverKeys,
    pager: Pager,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    models: BTreeMap<ModelName, Model>,
    calls: HashMap<IdempotencyKey, Call>,
    edges: Vec<Edge>,
    linked: HashSet<Edge>,
    events: Vec<RegistryEvent>,
}

/// Version n is at index n − 1. What an alias points to is where its last record says it went.
#[derive(Default)]
struct Model {
    versions: Vec<ModelVersion>,
    aliases: BTreeMap<Alias, Vec<AliasRecord>>,
}

/// What was done under a key, as it was asked for.
enum Call {
    Register(Box<NewModelVersion>, Version),
    Change(Box<(AliasChange, AliasRecord)>),
    Promote(Box<(Promotion, AliasRecord)>),
}

impl MemoryModelRegistry {
    /// An empty registry of models whose content lies in `artifacts`.
    pub fn new(artifacts: Arc<dyn ArtifactStore>, clock: Arc<dyn Clock>) -> Self {
        let (protected, pager, state) = (BTreeMap::new(), Pager::new(), Mutex::default());
        Self { artifacts, clock, protected, approver_keys: ApproverKeys::new(), pager, state }
    }

    /// Protects an alias, of every model.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use mlops_core::Alias;
    /// use mlops_core::memory::{MemoryArtifactStore, MemoryModelRegistry};
    /// use mlops_core::registry::Protection;
    /// use mlops_core::time::SystemClock;
    ///
    /// let artifacts = Arc::new(MemoryArtifactStore::default());
    /// let registry = MemoryModelRegistry::new(artifacts, Arc::new(SystemClock::new()))
    ///     .with_protected(Alias::new("champion")?, Protection::GateAndApproval);
    /// assert!(format!("{registry:?}").contains("champion"));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_protected(mut self, alias: Alias, protection: Protection) -> Self {
        self.protected.insert(alias, protection);
        self
    }

    /// Takes approvals of promotions only if they are signed with one of these keys.
    #[must_use]
    pub fn with_approver_keys(mut self, keys: ApproverKeys) -> Self {
        self.approver_keys = keys;
        self
    }
}

impl fmt::Debug for MemoryModelRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let models = lock(&self.state).models.len();
        f.debug_struct("MemoryModelRegistry")
            .field("models", &models)
            .field("protected", &self.protected)
            .finish_non_exhaustive()
    }
}

fn index(version: Version) -> usize {
    usize::try_from(version.get() - 1).unwrap_or(usize::MAX)
}

fn shown(version: Option<Version>) -> String {
    version.map_or_else(|| "not set".to_owned(), |version| version.to_string())
}

fn key_reused(operation: &'static str, key: &IdempotencyKey) -> Error {
    Error::new(ErrorKind::Conflict, operation, "the key was used for something else").with("key", key)
}

impl Model {
    fn version(&self, operation: &'static str, model: &ModelName, version: Version) -> Result<&ModelVersion> {
        self.versions
            .get(index(version))
            .ok_or_else(|| Error::not_found(operation, "model version", version).with("model", model))
    }

    fn version_mut(
        &mut self,
        operation: &'static str,
        model: &ModelName,
        version: Version,
    ) -> Result<&mut ModelVersion> {
        self.versions
            .get_mut(index(version))
            .ok_or_else(|| Error::not_found(operation, "model version", version).with("model", model))
    }

    fn alias(&self, alias: &Alias) -> Option<Version> {
        self.aliases.get(alias)?.last()?.to
    }

    fn alias_as_of(&self, alias: &Alias, at: Timestamp) -> Option<Version> {
        self.aliases.get(alias)?.iter().rev().find(|record| record.at <= at)?.to
    }

    fn find(&self, version: &VersionSpec) -> Option<&ModelVersion> {
        let numbered = |version: Version| self.versions.get(index(version));
        let mut newest_first = self.versions.iter().rev();
        match version {
            VersionSpec::Latest => newest_first.find(|v| !v.archived),
            VersionSpec::Exact(version) => numbered(*version),
            VersionSpec::Digest(digest) => newest_first.find(|v| v.spec.artifact == *digest),
            VersionSpec::Alias(alias) => self.alias(alias).and_then(numbered),
            VersionSpec::AliasAsOf { alias, at } => self.alias_as_of(alias, *at).and_then(numbered),
        }
    }

    /// The version an alias is to point to: it must be there, and not archived.
    fn target(&self, operation: &'static str, model: &ModelName, version: Version) -> Result<&ModelVersion> {
        let found = self.version(operation, model, version)?;
        if found.archived {
            let message = "an alias cannot point to an archived version";
            let error = Error::conflict(operation, message, "a version that is not archived", version);
            return Err(error.with("model", model));
        }
        Ok(found)
    }

    /// Compares an alias with what is expected of it.
    fn compare(&self, operation: &'static str, alias: &Alias, expected: Option<Version>) -> Result<()> {
        let found = self.alias(alias);
        if found == expected {
            return Ok(());
        }
        let message = "the alias is not as expected";
        Err(Error::conflict(operation, message, shown(expected), shown(found)).with("alias", alias))
    }

    /// Sequence and time of the next record of an alias; time does not go back, whatever the clock does.
    fn next_record(&self, alias: &Alias, now: Timestamp) -> (u64, Timestamp) {
        match self.aliases.get(alias).and_then(|history| history.last()) {
            Some(last) => (last.sequence + 1, now.max(last.at)),
            None => (1, now),
        }
    }

    /// Whether an alias pointed to a version before.
    fn held(&self, alias: &Alias, version: Version) -> bool {
        self.aliases.get(alias).is_some_and(|history| history.iter().any(|r| r.to == Some(version)))
    }
}

impl State {
    fn model(&self, operation: &'static str, model: &ModelName) -> Result<&Model> {
        self.models.get(model).ok_or_else(|| Error::not_found(operation, "model", model))
    }

    fn model_mut(&mut self, operation: &'static str, model: &ModelName) -> Result<&mut Model> {
        self.models.get_mut(model).ok_or_else(|| Error::not_found(operation, "model", model))
    }

    fn event(&mut self, at: Timestamp, model: &ModelName, actor: &ActorId, kind: RegistryEventKind) {
        let sequence = self.events.len() as u64 + 1;
        self.events.push(RegistryEvent::new(sequence, at, model.clone(), actor.clone(), kind));
    }

    fn link(&mut self, edge: Edge) {
        if self.linked.insert(edge.clone()) {
            self.edges.push(edge);
        }
    }

    /// The registration made under this key, as it is now, if it was one of the same content.
    fn registered(&self, new: &NewModelVersion) -> Result<Option<ModelVersion>> {
        const OP: &str = "ModelRegistry::register";
        match self.calls.get(&new.key) {
            None => Ok(None),
            Some(Call::Register(asked, version)) if **asked == *new => {
                self.model(OP, &new.model)?.version(OP, &new.model, *version).cloned().map(Some)
            }
            Some(_) => Err(key_reused(OP, &new.key)),
        }
    }

    fn record(&mut self, record: &AliasRecord) -> Result<()> {
        let model = self.model_mut("ModelRegistry::set_alias", &record.model)?;
        model.aliases.entry(record.alias.clone()).or_default().push(record.clone());
        let kind = RegistryEventKind::AliasMoved(Box::new(record.clone()));
        self.event(record.at, &record.model, &record.actor, kind);
        Ok(())
    }

    fn link_origins(&mut self, made: &ModelVersion) {
        let model = Node::Model { name: made.spec.model.clone(), version: made.version };
        for input in &made.spec.data {
            let (name, version, digest) = (input.asset.clone(), input.version, input.digest);
            let from = Node::Data { name, version, digest };
            self.link(Edge { from, to: model.clone(), relation: Relation::UsedBy });
        }
        if let Some(run) = made.spec.run.clone() {
            self.link(Edge { from: Node::Run(run), to: model, relation: Relation::Produced });
        }
    }
}

#[async_trait]
impl ModelRegistry for MemoryModelRegistry {
    fn capabilities(&self) -> RegistryCapabilities {
        RegistryCapabilities::FULL
    }

    async fn register(&self, new: &NewModelVersion) -> Result<ModelVersion> {
        const OP: &str = "ModelRegistry::register";
        new.check()?;
        if let Some(made) = lock(&self.state).registered(new)? {
            return Ok(made);
        }
        if self.artifacts.head(&new.artifact).await?.is_none() {
            return Err(Error::not_found(OP, "artifact", new.artifact).with("model", &new.model));
        }
        let mut state = lock(&self.state);
        // The same call may have come through while the content was looked for.
        if let Some(made) = state.registered(new)? {
            return Ok(made);
        }
        let versions = &mut state.models.entry(new.model.clone()).or_default().versions;
        let version = versions.last().map_or(Some(Version::FIRST), |last| last.version.next());
        let version = version.ok_or_else(|| Error::limit(OP, "the version", "2^63 - 1", "2^63"))?;
        let made = ModelVersion::new(new.clone(), version, self.clock.now());
        versions.push(made.clone());
        state.calls.insert(new.key.clone(), Call::Register(Box::new(new.clone()), version));
        state.link_origins(&made);
        state.event(made.created_at, &new.model, &new.actor, RegistryEventKind::Registered(version));
        Ok(made)
    }

    async fn get(&self, reference: &ModelRef) -> Result<ModelVersion> {
        const OP: &str = "ModelRegistry::get";
        let state = lock(&self.state);
        let found = state.model(OP, &reference.model)?.find(&reference.version);
        found.cloned().ok_or_else(|| Error::not_found(OP, "model version", reference))
    }

    async fn versions(&self, model: &ModelName, page: &PageRequest) -> Result<Page<ModelVersion>> {
        const OP: &str = "ModelRegistry::versions";
        let state = lock(&self.state);
        self.pager.page(OP, model, page, |after: Option<Version>| {
            let versions = &state.model(OP, model)?.versions;
            let older = after.map_or(versions.len(), index).min(versions.len());
            Ok(versions[..older].iter().rev().map(|version| (version.version, version.clone())))
        })
    }

    async fn models(&self, page: &PageRequest) -> Result<Page<ModelName>> {
        let state = lock(&self.state);
        self.pager.page("ModelRegistry::models", &(), page, |after: Option<ModelName>| {
            let start = after.map_or(Bound::Unbounded, Bound::Excluded);
            let names = state.models.range((start, Bound::Unbounded)).map(|(name, _)| name);
            Ok(names.map(|name| (name.clone(), name.clone())))
        })
    }

    async fn set_alias(&self, change: &AliasChange) -> Result<AliasRecord> {
        const OP: &str = "ModelRegistry::set_alias";
        change.check()?;
        let mut state = lock(&self.state);
        match state.calls.get(&change.key) {
            Some(Call::Change(made)) if made.0 == *change => return Ok(made.1.clone()),
            Some(_) => return Err(key_reused(OP, &change.key)),
            None => {}
        }
        let model = state.model(OP, &change.model)?;
        if let Some(version) = change.to {
            model.target(OP, &change.model, version)?;
            if self.protected.contains_key(&change.alias) && !model.held(&change.alias, version) {
                let error = Error::new(ErrorKind::Rejected, OP, "a protected alias moves by promotion only");
                return Err(error.with("alias", &change.alias).with("version", version));
            }
        }
        model.compare(OP, &change.alias, change.expected)?;
        let (sequence, at) = model.next_record(&change.alias, self.clock.now());
        let record = AliasRecord::of_change(change, sequence, at);
        state.record(&record)?;
        let call = Call::Change(Box::new((change.clone(), record.clone())));
        state.calls.insert(change.key.clone(), call);
        Ok(record)
    }

    async fn promote(&self, promotion: &Promotion) -> Result<AliasRecord> {
        const OP: &str = "ModelRegistry::promote";
        promotion.check()?;
        let mut state = lock(&self.state);
        match state.calls.get(&promotion.key) {
            Some(Call::Promote(made)) if made.0 == *promotion => return Ok(made.1.clone()),
            Some(_) => return Err(key_reused(OP, &promotion.key)),
            None => {}
        }
        let now = self.clock.now();
        let model = state.model(OP, &promotion.model)?;
        let target = model.target(OP, &promotion.model, promotion.version)?;
        promotion.check_evidence(&target.spec.artifact, now)?;
        promotion.check_signature(&self.approver_keys)?;
        if self.protected.get(&promotion.alias) == Some(&Protection::GateAndApproval) {
            promotion.require_approval()?;
        }
        model.compare(OP, &promotion.alias, promotion.expected)?;
        let (sequence, at) = model.next_record(&promotion.alias, now);
        let record = AliasRecord::of_promotion(promotion, sequence, at)?;
        state.record(&record)?;
        let call = Call::Promote(Box::new((promotion.clone(), record.clone())));
        state.calls.insert(promotion.key.clone(), call);
        Ok(record)
    }

    async fn aliases(&self, model: &ModelName) -> Result<Vec<(Alias, Version)>> {
        let state = lock(&self.state);
        let model = state.model("ModelRegistry::aliases", model)?;
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
        let state = lock(&self.state);
        self.pager.page(OP, &(model, alias), page, |after: Option<u64>| {
            let history = state.model(OP, model)?.aliases.get(alias);
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
        let mut state = lock(&self.state);
        let found = state.model_mut(OP, model)?.version_mut(OP, model, version)?;
        let changed = found.spec.tags != *tags;
        found.spec.tags.clone_from(tags);
        let tagged = found.clone();
        if changed {
            state.event(self.clock.now(), model, actor, RegistryEventKind::Tagged(version));
        }
        Ok(tagged)
    }

    async fn set_archived(
        &self,
        model: &ModelName,
        version: Version,
        archived: bool,
        actor: &ActorId,
    ) -> Result<ModelVersion> {
        const OP: &str = "ModelRegistry::set_archived";
        let mut state = lock(&self.state);
        let kept = state.model_mut(OP, model)?;
        let alias = kept.aliases.keys().find(|alias| kept.alias(alias) == Some(version));
        if let Some(alias) = alias.filter(|_| archived) {
            let message = "an alias points to this version";
            let error = Error::conflict(OP, message, "a version without alias", alias);
            return Err(error.with("model", model).with("version", version));
        }
        let found = kept.version_mut(OP, model, version)?;
        let changed = found.archived != archived;
        found.archived = archived;
        let answer = found.clone();
        if changed {
            state.event(self.clock.now(), model, actor, RegistryEventKind::Archived(version, archived));
        }
        Ok(answer)
    }

    async fn link(&self, edge: &Edge) -> Result<()> {
        lock(&self.state).link(edge.clone());
        Ok(())
    }

    async fn lineage(&self, node: &Node, direction: Direction, depth: u32) -> Result<LineageGraph> {
        Ok(LineageGraph::reach(&lock(&self.state).edges, node, direction, depth))
    }

    async fn events(&self, after: u64, limit: usize) -> Result<Vec<RegistryEvent>> {
        PageRequest::first(limit).check("ModelRegistry::events")?;
        let skip = usize::try_from(after).unwrap_or(usize::MAX);
        Ok(lock(&self.state).events.iter().skip(skip).take(limit).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::registry::RegistryUnderTest;
    use crate::memory::MemoryArtifactStore;
    use crate::time::ManualClock;

    fn fresh(wrap: impl FnOnce(MemoryModelRegistry) -> Arc<dyn ModelRegistry>) -> RegistryUnderTest {
        let clock = Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
        let artifacts = Arc::new(MemoryArtifactStore::default());
        let [gated, approved] = ["staging", "champion"].map(|alias| Alias::new(alias).unwrap());
        let registry = MemoryModelRegistry::new(artifacts.clone(), clock.clone())
            .with_protected(gated.clone(), Protection::Gate)
            .with_protected(approved.clone(), Protection::GateAndApproval);
        RegistryUnderTest::new(wrap(registry), artifacts)
            .with_clock(clock)
            .with_gated(gated)
            .with_approved(approved)
    }

    crate::model_registry_suite!(plain, fresh(|registry| Arc::new(registry)));
    crate::model_registry_suite!(
        in_an_arc,
        fresh(|registry| Arc::new(Arc::new(registry) as Arc<dyn ModelRegistry>))
    );
    crate::model_registry_suite!(
        in_a_box,
        fresh(|registry| Arc::new(Box::new(registry) as Box<dyn ModelRegistry>))
    );
}
