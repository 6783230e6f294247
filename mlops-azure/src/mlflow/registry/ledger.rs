//! The ledger: everything that happened in a registry, in one order for all of its clients, and what follows from it.
//!
//! MLflow moves an alias for whoever asks last, and forgets where it was. What it does do, in one transaction, is to give
//! the next number to a new model version. So every change is written as an entry, a version of a model of its own, before
//! anything else: the number is its place in the order. An entry is a request. Whether it counts follows from the entries
//! before it, by the rules in this file, so that every client that reads the ledger comes to the same answer: of two moves
//! that expect the same the one with the lower number counts, the other never happened. An entry that came twice, because
//! its answer was lost and it was sent again, counts once.

use std::collections::{BTreeMap, HashMap, HashSet};

use mlops_core::experiment::DataInput;
use mlops_core::hash::Digest;
use mlops_core::registry::{AliasRecord, Edge, Node, RegistryEvent, RegistryEventKind, Relation};
use mlops_core::time::Timestamp;
use mlops_core::{
    ActorId, Alias, Error, ErrorKind, IdempotencyKey, ModelName, Result, RunId, Tags, Version, VersionSpec,
};
use serde::{Deserialize, Serialize};

/// What an entry is written as.
pub(super) const SCHEMA: &str = "mlops.ledger/v1";

/// An entry: a request, and the mark by which it is known should it come twice.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub schema: String,
    pub mark: String,
    #[serde(flatten)]
    pub record: Record,
}

/// What is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Record {
    /// Nobody else shall register under this key; `over`: also not who claimed it before and was not heard of since.
    Claim { key: IdempotencyKey, asked: Digest, claim: String, over: Option<String>, model: ModelName },
    /// A claim is given back: the registration failed.
    Release { key: IdempotencyKey, claim: String },
    /// The version that was made under a claim.
    Registered(Box<Registered>),
    /// An alias is to move. The sequence and the time of the record are set where the entry is read.
    Moved { key: IdempotencyKey, asked: Digest, record: Box<AliasRecord> },
    /// The tags of a version are to be these.
    Tagged { model: ModelName, version: Version, tags: Tags, actor: ActorId, at: Timestamp },
    /// A version is to be hidden, or shown.
    Archived { model: ModelName, version: Version, archived: bool, actor: ActorId, at: Timestamp },
    /// An edge of lineage.
    Linked { edge: Edge },
}

/// The facts about a version by which it is found; what it is lies in its own tags, under `asked`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Registered {
    pub key: IdempotencyKey,
    pub asked: Digest,
    pub model: ModelName,
    pub version: Version,
    pub at: Timestamp,
    pub actor: ActorId,
    pub artifact: Digest,
    pub tags: Tags,
    pub run: Option<RunId>,
    pub data: Vec<DataInput>,
}

/// What became of an entry, or would.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// It changes something.
    New,
    /// It asks for what is so already: the same call again, or nothing to change.
    Same,
}

/// What was done under a key.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Claimed { asked: Digest, claim: String },
    Registered { asked: Digest, version: Version },
    Moved { asked: Digest, record: Box<AliasRecord> },
}

/// A version as the ledger knows it.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub version: Version,
    pub asked: Digest,
    pub artifact: Digest,
    pub created_at: Timestamp,
    pub tags: Tags,
    pub archived: bool,
}

/// What an alias points to is where its last record says it went.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub versions: BTreeMap<Version, Kept>,
    pub aliases: BTreeMap<Alias, Vec<AliasRecord>>,
}

/// What follows from the entries read so far.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    last: u64,
    marks: HashSet<String>,
    models: BTreeMap<ModelName, Model>,
    calls: HashMap<IdempotencyKey, Call>,
    edges: Vec<Edge>,
    linked: HashSet<Edge>,
    events: Vec<RegistryEvent>,
}

fn shown(version: Option<Version>) -> String {
    version.map_or_else(|| "not set".to_owned(), |version| version.to_string())
}

fn key_reused(operation: &'static str, key: &IdempotencyKey) -> Error {
    Error::new(ErrorKind::Conflict, operation, "the key was used for something else").with("key", key)
}

impl Model {
    pub(super) fn version(
        &self,
        operation: &'static str,
        model: &ModelName,
        version: Version,
    ) -> Result<&Kept> {
        let missing = || Error::not_found(operation, "model version", version).with("model", model);
        self.versions.get(&version).ok_or_else(missing)
    }

    pub(super) fn alias(&self, alias: &Alias) -> Option<Version> {
        self.aliases.get(alias)?.last()?.to
    }

    fn alias_as_of(&self, alias: &Alias, at: Timestamp) -> Option<Version> {
        self.aliases.get(alias)?.iter().rev().find(|record| record.at <= at)?.to
    }

    /// Whether an alias pointed to a version before.
    pub(super) fn held(&self, alias: &Alias, version: Version) -> bool {
        self.aliases.get(alias).is_some_and(|history| history.iter().any(|r| r.to == Some(version)))
    }

    pub(super) fn find(&self, version: &VersionSpec) -> Option<&Kept> {
        let numbered = |version: Version| self.versions.get(&version);
        let mut newest_first = self.versions.values().rev();
        match version {
            VersionSpec::Latest => newest_first.find(|v| !v.archived),
            VersionSpec::Exact(version) => numbered(*version),
            VersionSpec::Digest(digest) => newest_first.find(|v| v.artifact == *digest),
            VersionSpec::Alias(alias) => self.alias(alias).and_then(numbered),
            VersionSpec::AliasAsOf { alias, at } => self.alias_as_of(alias, *at).and_then(numbered),
            _ => None,
        }
    }

    /// The version an alias is to point to: it must be there, and not archived.
    pub(super) fn target(
        &self,
        operation: &'static str,
        model: &ModelName,
        version: Version,
    ) -> Result<&Kept> {
        let found = self.version(operation, model, version)?;
        if !found.archived {
            return Ok(found);
        }
        let message = "an alias cannot point to an archived version";
        let error = Error::conflict(operation, message, "a version that is not archived", version);
        Err(error.with("model", model))
    }

    fn compare(&self, operation: &'static str, alias: &Alias, expected: Option<Version>) -> Result<()> {
        let found = self.alias(alias);
        if found == expected {
            return Ok(());
        }
        let message = "the alias is not as expected";
        Err(Error::conflict(operation, message, shown(expected), shown(found)).with("alias", alias))
    }
}

impl Ledger {
    /// How many entries were read.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn models(&self) -> &BTreeMap<ModelName, Model> {
        &self.models
    }

    pub(super) fn edges(&self) -> &[Edge] {
        &self.edges
    }

    pub(super) fn events(&self) -> &[RegistryEvent] {
        &self.events
    }

    pub(super) fn model(&self, operation: &'static str, model: &ModelName) -> Result<&Model> {
        self.models.get(model).ok_or_else(|| Error::not_found(operation, "model", model))
    }

    /// What became of a registration under this key, if it was one of the same content.
    pub(super) fn registration(
        &self,
        operation: &'static str,
        key: &IdempotencyKey,
        wanted: &Digest,
    ) -> Result<Option<&Call>> {
        match self.calls.get(key) {
            None => Ok(None),
            Some(call @ (Call::Claimed { asked, .. } | Call::Registered { asked, .. }))
                if asked == wanted =>
            {
                Ok(Some(call))
            }
            Some(_) => Err(key_reused(operation, key)),
        }
    }

    /// Whether somebody is registering under this key.
    pub(super) fn is_claimed(&self, key: &IdempotencyKey) -> bool {
        matches!(self.calls.get(key), Some(Call::Claimed { .. }))
    }

    /// The record of a move under this key, if it was the same move.
    pub(super) fn moved(
        &self,
        operation: &'static str,
        key: &IdempotencyKey,
        wanted: &Digest,
    ) -> Result<Option<&AliasRecord>> {
        match self.calls.get(key) {
            None => Ok(None),
            Some(Call::Moved { asked, record }) if asked == wanted => Ok(Some(record)),
            Some(_) => Err(key_reused(operation, key)),
        }
    }

    /// Whether a request would count if it came next; asks for the same as every client that reads it later.
    pub(super) fn admit(&self, operation: &'static str, record: &Record) -> Result<Verdict> {
        match record {
            Record::Claim { key, asked, over, .. } => {
                self.admit_claim(operation, key, asked, over.as_deref())
            }
            Record::Release { key, claim } => match self.calls.get(key) {
                Some(Call::Claimed { claim: held, .. }) if held == claim => Ok(Verdict::New),
                _ => Ok(Verdict::Same),
            },
            Record::Registered(made) => match self.registration(operation, &made.key, &made.asked)? {
                Some(Call::Claimed { .. }) => Ok(Verdict::New),
                Some(_) => Ok(Verdict::Same),
                None => Err(Error::new(ErrorKind::Conflict, operation, "the claim was given back")
                    .with("key", &made.key)),
            },
            Record::Moved { key, asked, record } => self.admit_move(operation, key, asked, record),
            Record::Tagged { model, version, tags, .. } => {
                let kept = self.model(operation, model)?.version(operation, model, *version)?;
                Ok(if kept.tags == *tags { Verdict::Same } else { Verdict::New })
            }
            Record::Archived { model, version, archived, .. } => {
                self.admit_archive(operation, model, *version, *archived)
            }
            Record::Linked { edge } => {
                Ok(if self.linked.contains(edge) { Verdict::Same } else { Verdict::New })
            }
        }
    }

    fn admit_claim(
        &self,
        operation: &'static str,
        key: &IdempotencyKey,
        asked: &Digest,
        over: Option<&str>,
    ) -> Result<Verdict> {
        match self.registration(operation, key, asked)? {
            None => Ok(Verdict::New),
            Some(Call::Claimed { claim, .. }) if over == Some(claim.as_str()) => Ok(Verdict::New),
            Some(Call::Claimed { .. }) => {
                Err(Error::new(ErrorKind::Busy, operation, "another client is registering under this key")
                    .with("key", key))
            }
            Some(_) => Ok(Verdict::Same),
        }
    }

    fn admit_move(
        &self,
        operation: &'static str,
        key: &IdempotencyKey,
        asked: &Digest,
        record: &AliasRecord,
    ) -> Result<Verdict> {
        if self.moved(operation, key, asked)?.is_some() {
            return Ok(Verdict::Same);
        }
        let model = self.model(operation, &record.model)?;
        if let Some(version) = record.to {
            model.target(operation, &record.model, version)?;
        }
        model.compare(operation, &record.alias, record.from)?;
        Ok(Verdict::New)
    }

    fn admit_archive(
        &self,
        operation: &'static str,
        model: &ModelName,
        version: Version,
        archived: bool,
    ) -> Result<Verdict> {
        let kept = self.model(operation, model)?;
        let alias = kept.aliases.keys().find(|alias| kept.alias(alias) == Some(version));
        if let Some(alias) = alias.filter(|_| archived) {
            let message = "an alias points to this version";
            let error = Error::conflict(operation, message, "a version without alias", alias);
            return Err(error.with("model", model).with("version", version));
        }
        let now = kept.version(operation, model, version)?.archived;
        Ok(if now == archived { Verdict::Same } else { Verdict::New })
    }

    /// Takes the next entry of the ledger, and says what became of it.
    pub(super) fn read(&mut self, operation: &'static str, entry: Entry) -> Result<Verdict> {
        self.last += 1;
        if !self.marks.insert(entry.mark) {
            return Ok(Verdict::Same);
        }
        let verdict = self.admit(operation, &entry.record)?;
        if verdict == Verdict::New {
            self.enter(entry.record);
        }
        Ok(verdict)
    }

    /// Makes a request that counts so.
    fn enter(&mut self, record: Record) {
        match record {
            Record::Claim { key, asked, claim, .. } => {
                self.calls.insert(key, Call::Claimed { asked, claim });
            }
            Record::Release { key, .. } => {
                self.calls.remove(&key);
            }
            Record::Registered(made) => self.enter_version(*made),
            Record::Moved { key, asked, record } => self.enter_move(key, asked, *record),
            Record::Tagged { model, version, tags, actor, at } => {
                if let Some(kept) = self.version_mut(&model, version) {
                    kept.tags = tags;
                }
                self.event(at, model, actor, RegistryEventKind::Tagged(version));
            }
            Record::Archived { model, version, archived, actor, at } => {
                if let Some(kept) = self.version_mut(&model, version) {
                    kept.archived = archived;
                }
                self.event(at, model, actor, RegistryEventKind::Archived(version, archived));
            }
            Record::Linked { edge } => self.link(edge),
        }
    }

    fn enter_version(&mut self, made: Registered) {
        let Registered { key, asked, model, version, at, actor, artifact, tags, run, data } = made;
        let node = Node::Model { name: model.clone(), version };
        for DataInput { asset: name, version, digest, .. } in data {
            let from = Node::Data { name, version, digest };
            self.link(Edge { from, to: node.clone(), relation: Relation::UsedBy });
        }
        if let Some(run) = run {
            self.link(Edge { from: Node::Run(run), to: node, relation: Relation::Produced });
        }
        let kept = Kept { version, asked, artifact, created_at: at, tags, archived: false };
        self.models.entry(model.clone()).or_default().versions.insert(version, kept);
        self.calls.insert(key, Call::Registered { asked, version });
        self.event(at, model, actor, RegistryEventKind::Registered(version));
    }

    /// Time does not go back within the history of an alias, whatever the clocks of its writers do.
    fn enter_move(&mut self, key: IdempotencyKey, asked: Digest, mut record: AliasRecord) {
        let history = self
            .models
            .entry(record.model.clone())
            .or_default()
            .aliases
            .entry(record.alias.clone())
            .or_default();
        record.sequence = history.len() as u64 + 1;
        record.at = history.last().map_or(record.at, |last| record.at.max(last.at));
        history.push(record.clone());
        let (model, actor) = (record.model.clone(), record.actor.clone());
        self.event(record.at, model, actor, RegistryEventKind::AliasMoved(Box::new(record.clone())));
        self.calls.insert(key, Call::Moved { asked, record: Box::new(record) });
    }

    fn version_mut(&mut self, model: &ModelName, version: Version) -> Option<&mut Kept> {
        self.models.get_mut(model)?.versions.get_mut(&version)
    }

    fn link(&mut self, edge: Edge) {
        if self.linked.insert(edge.clone()) {
            self.edges.push(edge);
        }
    }

    fn event(&mut self, at: Timestamp, model: ModelName, actor: ActorId, kind: RegistryEventKind) {
        let sequence = self.events.len() as u64 + 1;
        self.events.push(RegistryEvent::new(sequence, at, model, actor, kind));
    }
}
