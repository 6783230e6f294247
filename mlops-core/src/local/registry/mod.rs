//! The model registry in the database.

mod check;
mod lineage;
mod protection;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, Transaction};

pub(crate) use self::check::check;
pub(crate) use self::lineage::{neighbours, reach};

use self::lineage::link;
use self::protection::protections;
use self::rows::{
    AliasRow, CallKind, CallRow, ContentRow, EVENTS, EventRow, HistoryRow, ModelRow, VersionRow,
};
use super::db::Durability;
use super::garbage::keep;
use super::names;
use super::row::{self, Tally};
use super::store::{Inner, LocalStore};
use crate::error::{Error, ErrorKind, Result};
use crate::governance::ApproverKeys;
use crate::hash::Digest;
use crate::id::{ActorId, Alias, IdempotencyKey, ModelName, Tags, Version, VersionSpec, check_tags};
use crate::page::{Page, PageRequest};
use crate::registry::{
    AliasChange, AliasRecord, Direction, Edge, LineageGraph, ModelRef, ModelRegistry, ModelVersion,
    NewModelVersion, Node, Promotion, Protection, RegistryCapabilities, RegistryEvent, RegistryEventKind,
    Relation,
};
use crate::time::{Timestamp, truncate};

/// Model versions in a [`LocalStore`], whose content lies in its artifact store.
///
/// Every call is one transaction that is on the disk when it returns. Every registration, and every move of an alias, has
/// one key for all of them: a key that registered a version cannot move an alias.
///
/// Every row carries a digest of its columns, and rows are numbered or counted, so that damage to the database is
/// [`ErrorKind::Corrupt`] with the name of the row: no read answers with a value that was changed. It does not find somebody
/// who changes rows on purpose and makes their digests anew; keep an [audit log](crate::governance::AuditLog) for that.
///
/// No alias is protected until [`Self::protect`] says so, for everybody who opens the store, or [`Self::with_protected`], for one
/// handle. A handle is cheap to clone.
///
/// ```
/// use mlops_core::artifact::ArtifactStoreExt as _;
/// use mlops_core::local::LocalStore;
/// use mlops_core::model::{ModelFormat, Signature};
/// use mlops_core::problem::Task;
/// use mlops_core::registry::{AliasChange, ModelRegistry as _, NewModelVersion};
/// use mlops_core::{ActorId, Alias, ModelName};
/// # let dir = tempfile::tempdir()?;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let store = LocalStore::open(dir.path().join(".mlops"))?;
/// let registry = store.registry();
///
/// // Content first, then the version, then the name it goes by.
/// let weights = store.artifacts().put_bytes(b"weights".to_vec()).await?;
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
#[derive(Clone)]
pub struct LocalModelRegistry {
    inner: Arc<Inner>,
    protected: Arc<BTreeMap<Alias, Protection>>,
    approver_keys: Arc<ApproverKeys>,
}

impl LocalStore {
    /// The models of this store.
    ///
    /// ```
    /// # use mlops_core::local::LocalStore;
    /// # let dir = tempfile::tempdir()?;
    /// let registry = LocalStore::open(dir.path())?.registry();
    /// assert!(format!("{registry:?}").contains("LocalModelRegistry"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn registry(&self) -> LocalModelRegistry {
        let (protected, approver_keys) = Default::default();
        LocalModelRegistry { inner: self.inner().clone(), protected, approver_keys }
    }
}

impl LocalModelRegistry {
    /// Protects an alias, of every model, from moves through this handle and its clones; [`protect`](Self::protect) does so for every
    /// handle.
    ///
    /// ```
    /// use mlops_core::Alias;
    /// use mlops_core::local::LocalStore;
    /// use mlops_core::registry::Protection;
    /// # let dir = tempfile::tempdir()?;
    /// let registry = LocalStore::open(dir.path())?
    ///     .registry()
    ///     .with_protected(Alias::new("champion")?, Protection::GateAndApproval);
    /// assert!(format!("{registry:?}").contains("champion"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_protected(mut self, alias: Alias, protection: Protection) -> Self {
        Arc::make_mut(&mut self.protected).insert(alias, protection);
        self
    }

    /// Takes approvals of promotions through this handle and its clones only if they are signed with one of these keys.
    #[must_use]
    pub fn with_approver_keys(mut self, keys: ApproverKeys) -> Self {
        self.approver_keys = Arc::new(keys);
        self
    }

    async fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Inner, &Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = self.inner.clone();
        self.inner.db.read(operation, move |connection| work(&inner, connection)).await
    }

    async fn write<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Write<'_, '_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (inner, protected) = (self.inner.clone(), self.protected.clone());
        let keys = self.approver_keys.clone();
        let work = move |transaction: &Transaction<'_>| {
            let now = truncate(inner.clock.now());
            work(&Write { operation, transaction, handle: &protected, approver_keys: &keys, now })
        };
        self.inner.db.write(operation, Durability::Power, work).await
    }
}

impl fmt::Debug for LocalModelRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalModelRegistry")
            .field("folder", &self.inner.root)
            .field("protected", &self.protected)
            .finish_non_exhaustive()
    }
}

fn shown(version: Option<Version>) -> String {
    version.map_or_else(|| "not set".to_owned(), |version| version.to_string())
}

fn key_reused(operation: &'static str, key: &IdempotencyKey) -> Error {
    Error::new(ErrorKind::Conflict, operation, "the key was used for something else").with("key", key)
}

/// The call made under this key, if it was one of the same kind that asked for the same.
fn repeated(
    operation: &'static str,
    connection: &Connection,
    key: &IdempotencyKey,
    kind: CallKind,
    asked: &impl serde::Serialize,
) -> Result<Option<CallRow>> {
    let found: Option<CallRow> = row::find(operation, connection, "WHERE key = ?1", [key.as_str()])?;
    let Some(call) = found else { return Ok(None) };
    if call.kind == kind && call.request == row::request(operation, asked)? {
        return Ok(Some(call));
    }
    Err(key_reused(operation, key))
}

/// The version registered by this very call, as it is now.
fn registered(
    operation: &'static str,
    connection: &Connection,
    new: &NewModelVersion,
) -> Result<Option<ModelVersion>> {
    let Some(call) = repeated(operation, connection, &new.key, CallKind::Register, new)? else {
        return Ok(None);
    };
    let lost = || row::damaged(operation, "registry_call", &new.key);
    let version = Version::new(call.result).ok_or_else(lost)?;
    let model = ModelRow::find(operation, connection, &call.model)?.ok_or_else(lost)?;
    Ok(Some(model.known(operation, connection, version)?.made))
}

/// The record made by this very change or promotion.
fn moved(
    operation: &'static str,
    connection: &Connection,
    key: &IdempotencyKey,
    kind: CallKind,
    asked: &impl serde::Serialize,
) -> Result<Option<AliasRecord>> {
    let Some(call) = repeated(operation, connection, key, kind, asked)? else { return Ok(None) };
    let lost = || row::damaged(operation, "registry_call", key);
    let alias = call.alias.as_ref().ok_or_else(lost)?;
    let record = HistoryRow::find(operation, connection, &call.model, alias, call.result)?;
    record.map(Some).ok_or_else(lost)
}

fn find(
    operation: &'static str,
    connection: &Connection,
    model: &ModelRow,
    version: &VersionSpec,
) -> Result<Option<ModelVersion>> {
    let alias = |alias| AliasRow::find(operation, connection, &model.name, alias);
    let number = match version {
        VersionSpec::Latest => return latest(operation, connection, model),
        VersionSpec::Exact(version) => (version.get() <= model.versions).then_some(*version),
        VersionSpec::Digest(digest) => {
            ContentRow::find(operation, connection, &model.name, digest)?.map(|row| row.version)
        }
        VersionSpec::Alias(name) => alias(name)?.and_then(|row| row.target),
        VersionSpec::AliasAsOf { alias: name, at } => match alias(name)? {
            Some(row) => row.as_of(operation, connection, *at)?,
            None => None,
        },
    };
    number.map(|number| model.known(operation, connection, number).map(|row| row.made)).transpose()
}

/// Reads from the newest down, archived ones too: that one is archived must not be the damage of a bit.
fn latest(
    operation: &'static str,
    connection: &Connection,
    model: &ModelRow,
) -> Result<Option<ModelVersion>> {
    for version in (1..=model.versions).rev().filter_map(Version::new) {
        let found = model.known(operation, connection, version)?.made;
        if !found.archived {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// A transaction that changes the registry, and when it does.
struct Write<'a, 't> {
    operation: &'static str,
    transaction: &'a Transaction<'t>,
    /// What is protected through the handle; the store may protect more.
    handle: &'a BTreeMap<Alias, Protection>,
    approver_keys: &'a ApproverKeys,
    now: Timestamp,
}

impl Write<'_, '_> {
    fn register(&self, new: NewModelVersion) -> Result<ModelVersion> {
        let Self { operation, transaction, .. } = *self;
        let mut model = match ModelRow::find(operation, transaction, &new.model)? {
            Some(model) => model,
            None => {
                let mut model = ModelRow { name: new.model.clone(), versions: 0, aliases: 0, next: None };
                names::add(operation, transaction, &mut model)?;
                model
            }
        };
        let version = Version::new(model.versions).map_or(Some(Version::FIRST), Version::next);
        let version = version.ok_or_else(|| Error::limit(operation, "the version", "2^63 - 1", "2^63"))?;
        let call = CallRow {
            key: new.key.clone(),
            kind: CallKind::Register,
            request: row::request(operation, &new)?,
            model: new.model.clone(),
            alias: None,
            result: version.get(),
        };
        let made = ModelVersion::new(new, version, self.now);
        let (name, artifact) = (made.spec.model.clone(), made.spec.artifact);
        row::insert(operation, transaction, &VersionRow::new(made.clone()))?;
        row::put(operation, transaction, &ContentRow { model: name, artifact, version })?;
        model.versions = version.get();
        row::put(operation, transaction, &model)?;
        row::insert(operation, transaction, &call)?;
        self.link_origins(&made)?;
        self.event(self.now, &made.spec.model, &made.spec.actor, RegistryEventKind::Registered(version))?;
        Ok(made)
    }

    fn link_origins(&self, made: &ModelVersion) -> Result<()> {
        let model = Node::Model { name: made.spec.model.clone(), version: made.version };
        for input in &made.spec.data {
            let (name, version, digest) = (input.asset.clone(), input.version, input.digest);
            let from = Node::Data { name, version, digest };
            let edge = Edge { from, to: model.clone(), relation: Relation::UsedBy };
            link(self.operation, self.transaction, &edge)?;
        }
        match made.spec.run.clone() {
            Some(run) => {
                let edge = Edge { from: Node::Run(run), to: model, relation: Relation::Produced };
                link(self.operation, self.transaction, &edge)
            }
            None => Ok(()),
        }
    }

    fn event(
        &self,
        at: Timestamp,
        model: &ModelName,
        actor: &ActorId,
        kind: RegistryEventKind,
    ) -> Result<()> {
        let sequence = Tally::next(self.operation, self.transaction, EVENTS)?;
        let event = RegistryEvent::new(sequence, at, model.clone(), actor.clone(), kind);
        row::insert(self.operation, self.transaction, &EventRow(event))
    }

    fn set_alias(&self, change: &AliasChange) -> Result<AliasRecord> {
        let model = ModelRow::get(self.operation, self.transaction, &change.model)?;
        let alias = AliasRow::find(self.operation, self.transaction, &change.model, &change.alias)?;
        if let Some(version) = change.to {
            self.target(&model, version)?;
            if self.protection(&change.alias)?.is_some() && !self.held(alias.as_ref(), version)? {
                let message = "a protected alias moves by promotion only";
                let error = Error::new(ErrorKind::Rejected, self.operation, message);
                return Err(error.with("alias", &change.alias).with("version", version));
            }
        }
        self.compare(&change.alias, alias.as_ref(), change.expected)?;
        let (sequence, at) = self.next_record(alias.as_ref());
        let record = AliasRecord::of_change(change, sequence, at);
        let call = self.call(&change.key, CallKind::Change, change, &record)?;
        self.record(model, alias.is_none(), &record, &call)?;
        Ok(record)
    }

    fn promote(&self, promotion: &Promotion) -> Result<AliasRecord> {
        let model = ModelRow::get(self.operation, self.transaction, &promotion.model)?;
        let target = self.target(&model, promotion.version)?;
        promotion.check_evidence(&target.spec.artifact, self.now)?;
        promotion.check_signature(self.approver_keys)?;
        if self.protection(&promotion.alias)? == Some(Protection::GateAndApproval) {
            promotion.require_approval()?;
        }
        let alias = AliasRow::find(self.operation, self.transaction, &promotion.model, &promotion.alias)?;
        self.compare(&promotion.alias, alias.as_ref(), promotion.expected)?;
        let (sequence, at) = self.next_record(alias.as_ref());
        let record = AliasRecord::of_promotion(promotion, sequence, at)?;
        let call = self.call(&promotion.key, CallKind::Promote, promotion, &record)?;
        self.record(model, alias.is_none(), &record, &call)?;
        Ok(record)
    }

    fn protection(&self, alias: &Alias) -> Result<Option<Protection>> {
        let all = protections(self.operation, self.transaction, self.handle)?;
        Ok(all.get(alias).copied())
    }

    /// The version an alias is to point to: it must be there, and not archived.
    fn target(&self, model: &ModelRow, version: Version) -> Result<ModelVersion> {
        let found = model.version(self.operation, self.transaction, version)?.made;
        if found.archived {
            let message = "an alias cannot point to an archived version";
            let error = Error::conflict(self.operation, message, "a version that is not archived", version);
            return Err(error.with("model", &model.name));
        }
        Ok(found)
    }

    fn held(&self, alias: Option<&AliasRow>, version: Version) -> Result<bool> {
        alias.map_or(Ok(false), |alias| alias.held(self.operation, self.transaction, version))
    }

    /// Compares an alias with what is expected of it.
    fn compare(&self, name: &Alias, alias: Option<&AliasRow>, expected: Option<Version>) -> Result<()> {
        let found = alias.and_then(|alias| alias.target);
        if found == expected {
            return Ok(());
        }
        let message = "the alias is not as expected";
        Err(Error::conflict(self.operation, message, shown(expected), shown(found)).with("alias", name))
    }

    /// Sequence and time of the next record of an alias; time does not go back, whatever the clock does.
    fn next_record(&self, alias: Option<&AliasRow>) -> (u64, Timestamp) {
        alias.map_or((1, self.now), |last| (last.sequence + 1, self.now.max(last.at)))
    }

    fn call(
        &self,
        key: &IdempotencyKey,
        kind: CallKind,
        asked: &impl serde::Serialize,
        record: &AliasRecord,
    ) -> Result<CallRow> {
        Ok(CallRow {
            key: key.clone(),
            kind,
            request: row::request(self.operation, asked)?,
            model: record.model.clone(),
            alias: Some(record.alias.clone()),
            result: record.sequence,
        })
    }

    fn record(&self, mut model: ModelRow, first: bool, record: &AliasRecord, call: &CallRow) -> Result<()> {
        let Self { operation, transaction, .. } = *self;
        if first {
            model.aliases += 1;
            row::put(operation, transaction, &model)?;
        }
        let alias = AliasRow {
            model: record.model.clone(),
            alias: record.alias.clone(),
            sequence: record.sequence,
            target: record.to,
            at: record.at,
        };
        row::put(operation, transaction, &alias)?;
        row::insert(operation, transaction, &HistoryRow(record.clone()))?;
        row::insert(operation, transaction, call)?;
        let kind = RegistryEventKind::AliasMoved(Box::new(record.clone()));
        self.event(record.at, &record.model, &record.actor, kind)
    }

    fn set_tags(
        &self,
        model: &ModelName,
        version: Version,
        tags: &Tags,
        actor: &ActorId,
    ) -> Result<ModelVersion> {
        let kept = ModelRow::get(self.operation, self.transaction, model)?;
        let mut found = kept.version(self.operation, self.transaction, version)?;
        if found.made.spec.tags != *tags {
            found.made.spec.tags.clone_from(tags);
            row::put(self.operation, self.transaction, &found)?;
            self.event(self.now, model, actor, RegistryEventKind::Tagged(version))?;
        }
        Ok(found.made)
    }

    fn set_archived(
        &self,
        model: &ModelName,
        version: Version,
        archived: bool,
        actor: &ActorId,
    ) -> Result<ModelVersion> {
        let kept = ModelRow::get(self.operation, self.transaction, model)?;
        if archived {
            let aliases = kept.all_aliases(self.operation, self.transaction)?;
            if let Some(pointing) = aliases.iter().find(|alias| alias.target == Some(version)) {
                let message = "an alias points to this version";
                let error =
                    Error::conflict(self.operation, message, "a version without alias", &pointing.alias);
                return Err(error.with("model", model).with("version", version));
            }
        }
        let mut found = kept.version(self.operation, self.transaction, version)?;
        if found.made.archived != archived {
            found.made.archived = archived;
            row::put(self.operation, self.transaction, &found)?;
            self.event(self.now, model, actor, RegistryEventKind::Archived(version, archived))?;
        }
        Ok(found.made)
    }
}

/// Events after number `after`, at most `limit`.
fn events(
    operation: &'static str,
    connection: &Connection,
    after: u64,
    limit: usize,
) -> Result<Vec<RegistryEvent>> {
    let tail = "WHERE sequence > ?1 ORDER BY sequence LIMIT ?2";
    let params = (row::bound(after), row::bound(limit as u64));
    let rows: Vec<EventRow> = row::list(operation, connection, tail, params)?;
    let mut last = after;
    for EventRow(event) in &rows {
        if event.sequence != last + 1 {
            return Err(row::damaged(operation, "registry_event", last + 1));
        }
        last = event.sequence;
    }
    if rows.len() < limit && last < Tally::of(operation, connection, EVENTS)? {
        return Err(row::damaged(operation, "registry_event", last + 1));
    }
    Ok(rows.into_iter().map(|row| row.0).collect())
}

#[async_trait]
impl ModelRegistry for LocalModelRegistry {
    fn capabilities(&self) -> RegistryCapabilities {
        RegistryCapabilities::FULL
    }

    async fn register(&self, new: &NewModelVersion) -> Result<ModelVersion> {
        const OP: &str = "ModelRegistry::register";
        new.check()?;
        let asked = new.clone();
        if let Some(made) = self.read(OP, move |_, c| registered(OP, c, &asked)).await? {
            return Ok(made);
        }
        // From here to the end of the transaction nothing is collected.
        let kept = keep(&self.inner, OP).await?;
        let found = self.inner.artifacts.whole(OP, &new.artifact).await;
        if found.map_err(|e| e.with("model", &new.model))?.is_none() {
            return Err(Error::not_found(OP, "artifact", new.artifact).with("model", &new.model));
        }
        let new = new.clone();
        let register = move |write: &Write<'_, '_>| {
            // The same call may have come through while the content was looked for.
            match registered(OP, write.transaction, &new)? {
                Some(made) => Ok((made, kept)),
                None => write.register(new).map(|made| (made, kept)),
            }
        };
        self.write(OP, register).await.map(|(made, _)| made)
    }

    async fn get(&self, reference: &ModelRef) -> Result<ModelVersion> {
        const OP: &str = "ModelRegistry::get";
        let reference = reference.clone();
        self.read(OP, move |_, connection| {
            let model = ModelRow::get(OP, connection, &reference.model)?;
            let found = find(OP, connection, &model, &reference.version)?;
            found.ok_or_else(|| Error::not_found(OP, "model version", &reference))
        })
        .await
    }

    async fn versions(&self, model: &ModelName, page: &PageRequest) -> Result<Page<ModelVersion>> {
        const OP: &str = "ModelRegistry::versions";
        let (model, page) = (model.clone(), page.clone());
        self.read(OP, move |inner, connection| {
            inner.pager.page(OP, &model, &page, |after: Option<Version>| {
                let kept = ModelRow::get(OP, connection, &model)?;
                let before = after.map_or(u64::MAX, Version::get);
                let rows = kept.older(OP, connection, before, page.limit + 1)?;
                Ok(rows.into_iter().map(|row| (row.made.version, row.made)))
            })
        })
        .await
    }

    async fn models(&self, page: &PageRequest) -> Result<Page<ModelName>> {
        const OP: &str = "ModelRegistry::models";
        let page = page.clone();
        self.read(OP, move |inner, connection| {
            inner.pager.page(OP, &(), &page, |after: Option<ModelName>| {
                let after = after.as_ref().map(ModelName::as_str);
                let rows: Vec<ModelRow> = names::page(OP, connection, after, page.limit + 1)?;
                Ok(rows.into_iter().map(|row| (row.name.clone(), row.name)))
            })
        })
        .await
    }

    async fn set_alias(&self, change: &AliasChange) -> Result<AliasRecord> {
        const OP: &str = "ModelRegistry::set_alias";
        change.check()?;
        let change = change.clone();
        self.write(OP, move |write| {
            match moved(OP, write.transaction, &change.key, CallKind::Change, &change)? {
                Some(record) => Ok(record),
                None => write.set_alias(&change),
            }
        })
        .await
    }

    async fn promote(&self, promotion: &Promotion) -> Result<AliasRecord> {
        const OP: &str = "ModelRegistry::promote";
        promotion.check()?;
        let promotion = promotion.clone();
        self.write(OP, move |write| {
            match moved(OP, write.transaction, &promotion.key, CallKind::Promote, &promotion)? {
                Some(record) => Ok(record),
                None => write.promote(&promotion),
            }
        })
        .await
    }

    async fn aliases(&self, model: &ModelName) -> Result<Vec<(Alias, Version)>> {
        const OP: &str = "ModelRegistry::aliases";
        let model = model.clone();
        self.read(OP, move |_, connection| {
            let aliases = ModelRow::get(OP, connection, &model)?.all_aliases(OP, connection)?;
            Ok(aliases.into_iter().filter_map(|row| Some((row.alias, row.target?))).collect())
        })
        .await
    }

    async fn alias_history(
        &self,
        model: &ModelName,
        alias: &Alias,
        page: &PageRequest,
    ) -> Result<Page<AliasRecord>> {
        const OP: &str = "ModelRegistry::alias_history";
        let (model, alias, page) = (model.clone(), alias.clone(), page.clone());
        self.read(OP, move |inner, connection| {
            inner.pager.page(OP, &(&model, &alias), &page, |after: Option<u64>| {
                let kept = ModelRow::get(OP, connection, &model)?;
                let row = kept.all_aliases(OP, connection)?.into_iter().find(|row| row.alias == alias);
                let records = match row {
                    Some(row) => row.history(OP, connection, after.unwrap_or(0), page.limit + 1)?,
                    None => Vec::new(),
                };
                Ok(records.into_iter().map(|record| (record.sequence, record)))
            })
        })
        .await
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
        let (model, tags, actor) = (model.clone(), tags.clone(), actor.clone());
        self.write(OP, move |write| write.set_tags(&model, version, &tags, &actor)).await
    }

    async fn set_archived(
        &self,
        model: &ModelName,
        version: Version,
        archived: bool,
        actor: &ActorId,
    ) -> Result<ModelVersion> {
        const OP: &str = "ModelRegistry::set_archived";
        let (model, actor) = (model.clone(), actor.clone());
        self.write(OP, move |write| write.set_archived(&model, version, archived, &actor)).await
    }

    async fn link(&self, edge: &Edge) -> Result<()> {
        const OP: &str = "ModelRegistry::link";
        let edge = edge.clone();
        self.write(OP, move |write| link(OP, write.transaction, &edge)).await
    }

    async fn lineage(&self, node: &Node, direction: Direction, depth: u32) -> Result<LineageGraph> {
        const OP: &str = "ModelRegistry::lineage";
        let node = node.clone();
        self.read(OP, move |_, connection| {
            reach(&node, direction, depth, |node| neighbours(OP, connection, node, direction))
        })
        .await
    }

    async fn events(&self, after: u64, limit: usize) -> Result<Vec<RegistryEvent>> {
        const OP: &str = "ModelRegistry::events";
        PageRequest::first(limit).check(OP)?;
        self.read(OP, move |_, connection| events(OP, connection, after, limit)).await
    }
}

/// The content of every version, archived ones too.
pub(crate) fn roots(operation: &'static str, connection: &Connection) -> Result<BTreeSet<Digest>> {
    let models: Vec<ModelRow> = names::all(operation, connection)?;
    let mut expected: BTreeMap<_, _> = models.into_iter().map(|model| (model.name, model.versions)).collect();
    let mut roots = BTreeSet::new();
    row::each(operation, connection, "", [], |version: Result<VersionRow>| {
        let version = version?.made;
        if let Some(missing) = expected.get_mut(&version.spec.model) {
            *missing = missing.saturating_sub(1);
        }
        roots.insert(version.spec.artifact);
        Ok(())
    })?;
    match expected.into_iter().find(|(_, missing)| *missing > 0) {
        Some((model, missing)) => {
            let error = row::damaged(operation, "model_version", format_args!("{model} count"));
            Err(error.with("missing", missing))
        }
        None => Ok(roots),
    }
}
