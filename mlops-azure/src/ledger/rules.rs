//! The ledger: everything that happened in a registry, in one order for all of its clients, and what follows from it.
//!
//! MLflow and Azure Machine Learning move an alias for whoever asks last, if they know aliases at all, and forget where it
//! was. What each can do is to put something at a place of its own in an order: MLflow gives the next number to a new model
//! version in one transaction, Azure refuses to change the place that a version of a data asset names. So every change is
//! written as an entry, a version of an asset of its own, before anything else: the number is its place in the order. An
//! entry is a request. Whether it counts follows from the entries before it, by the rules in this file, so that every client
//! that reads the ledger comes to the same answer: of two moves that expect the same the one with the lower number counts,
//! the other never happened. An entry that came twice, because its answer was lost and it was sent again, counts once.
//!
//! The rules must not change, or two releases of this library would read two histories: another rule is another schema.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use mlops_core::experiment::DataInput;
use mlops_core::hash::Digest;
use mlops_core::registry::{
    AliasRecord, Edge, NewModelVersion, Node, RegistryEvent, RegistryEventKind, Relation,
};
use mlops_core::time::Timestamp;
use mlops_core::{
    ActorId, Alias, Error, ErrorKind, IdempotencyKey, ModelName, Result, RunId, Tags, Version, VersionSpec,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::text::{self, from_json};

/// What an entry is written as.
pub(crate) const SCHEMA: &str = "mlops.ledger/v1";

/// An entry: a request, and the mark by which it is known should it come twice.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub schema: String,
    pub mark: String,
    #[serde(flatten)]
    pub record: Record,
}

/// What is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Record {
    /// Nobody else shall register under this key; `over`: also not who claimed it before and was not heard of since.
    Claim { key: IdempotencyKey, asked: Digest, claim: String, over: Option<String>, model: ModelName },
    /// A claim is given back: the registration failed.
    Release { key: IdempotencyKey, claim: String },
    /// The version that was made under a claim.
    Registered(Box<Registered>),
    /// A version whose number its writer chose, with its whole specification: it counts if key and number are free.
    Numbered(Box<Numbered>),
    /// A version that was entered is none: somebody who does not read the ledger had taken its number.
    Withdrawn { key: IdempotencyKey, model: ModelName, version: Version },
    /// An alias is to move. The sequence and the time of the record are set where the entry is read.
    Moved { key: IdempotencyKey, asked: Digest, record: Box<AliasRecord> },
    /// The tags of a version are to be these.
    Tagged { model: ModelName, version: Version, tags: Tags, actor: ActorId, at: Timestamp },
    /// A version is to be hidden, or shown.
    Archived { model: ModelName, version: Version, archived: bool, actor: ActorId, at: Timestamp },
    /// An edge of lineage.
    Linked { edge: Edge },
}

impl Entry {
    /// Reads an entry that was written as JSON.
    pub(crate) fn read(operation: &'static str, json: &str) -> Result<Self> {
        let corrupt = |message| Error::new(ErrorKind::Corrupt, operation, message);
        let value: Value = from_json(operation, json)?;
        match value.get("schema").and_then(Value::as_str) {
            Some(SCHEMA) => from_json(operation, json),
            Some(other) => {
                let message = "an entry of the ledger was written by another version of this library";
                Err(Error::new(ErrorKind::Unsupported, operation, message).with("schema", other))
            }
            None => Err(corrupt("an entry of the ledger has no schema")),
        }
    }
}

impl Record {
    /// What is asked for, for people who look at it where it is kept.
    pub(crate) fn summary(&self) -> String {
        let target = |version: &Option<Version>| {
            version.map_or_else(|| "nothing".to_owned(), |v| format!("version {v}"))
        };
        let text = match self {
            Record::Claim { model, key, .. } => format!("{model}: a registration begins (key {key})"),
            Record::Release { key, .. } => format!("a registration failed (key {key})"),
            Record::Registered(made) => {
                format!("{}: version {} registered by {}", made.model, made.version, made.actor)
            }
            Record::Numbered(made) => {
                format!("{}: version {} registered by {}", made.spec.model, made.version, made.spec.actor)
            }
            Record::Withdrawn { model, version, .. } => {
                format!("{model}: version {version} withdrawn, because another client has its number")
            }
            Record::Moved { record: r, .. } => {
                format!("{}: alias {} to {} by {}: {}", r.model, r.alias, target(&r.to), r.actor, r.reason)
            }
            Record::Tagged { model, version, actor, .. } => {
                format!("{model}: tags of version {version} replaced by {actor}")
            }
            Record::Archived { model, version, archived, actor, .. } => {
                let what = if *archived { "archived" } else { "shown again" };
                format!("{model}: version {version} {what} by {actor}")
            }
            Record::Linked { edge } => format!("lineage: {} to {}", edge.from, edge.to),
        };
        text::shown(&text, 500)
    }
}

/// The facts about a version by which it is found; what it is lies in its own tags, under `asked`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Registered {
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

/// A version with its specification.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Numbered {
    pub asked: Digest,
    pub version: Version,
    pub at: Timestamp,
    pub spec: NewModelVersion,
}

/// What became of an entry, or would.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// It changes something.
    New,
    /// It asks for what is so already: the same call again, or nothing to change.
    Same,
}

/// What was done under a key.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Claimed { asked: Digest, claim: String },
    Registered { asked: Digest, version: Version },
    Moved { asked: Digest, record: Box<AliasRecord> },
}

/// A version as the ledger knows it.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub version: Version,
    pub asked: Digest,
    pub artifact: Digest,
    pub created_at: Timestamp,
    pub tags: Tags,
    pub archived: bool,
}

/// What an alias points to is where its last record says it went.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// The entry that made it one.
    pub since: u64,
    pub versions: BTreeMap<Version, Kept>,
    pub aliases: BTreeMap<Alias, Vec<AliasRecord>>,
}

/// What follows from the entries read so far.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    last: u64,
    marks: HashSet<String>,
    models: BTreeMap<ModelName, Model>,
    specs: HashMap<(ModelName, Version), Arc<NewModelVersion>>,
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
    pub(crate) fn version(
        &self,
        operation: &'static str,
        model: &ModelName,
        version: Version,
    ) -> Result<&Kept> {
        let missing = || Error::not_found(operation, "model version", version).with("model", model);
        self.versions.get(&version).ok_or_else(missing)
    }

    pub(crate) fn alias(&self, alias: &Alias) -> Option<Version> {
        self.aliases.get(alias)?.last()?.to
    }

    fn alias_as_of(&self, alias: &Alias, at: Timestamp) -> Option<Version> {
        self.aliases.get(alias)?.iter().rev().find(|record| record.at <= at)?.to
    }

    /// Whether an alias pointed to a version before.
    pub(crate) fn held(&self, alias: &Alias, version: Version) -> bool {
        self.aliases.get(alias).is_some_and(|history| history.iter().any(|r| r.to == Some(version)))
    }

    pub(crate) fn find(&self, version: &VersionSpec) -> Option<&Kept> {
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
    pub(crate) fn target(
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
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    pub(crate) fn models(&self) -> &BTreeMap<ModelName, Model> {
        &self.models
    }

    /// Whether a model that was there earlier has a name that differs from this one in case only.
    pub(crate) fn has_namesake(&self, model: &ModelName) -> bool {
        let since = self.models.get(model).map_or(u64::MAX, |known| known.since);
        let same = |other: &ModelName| other != model && other.as_str().eq_ignore_ascii_case(model.as_str());
        self.models.iter().any(|(other, known)| same(other) && known.since < since)
    }

    /// The specification of a version, where the ledger has it.
    pub(crate) fn spec(&self, model: &ModelName, version: Version) -> Option<Arc<NewModelVersion>> {
        self.specs.get(&(model.clone(), version)).cloned()
    }

    pub(crate) fn edges(&self) -> &[Edge] {
        &self.edges
    }

    pub(crate) fn events(&self) -> &[RegistryEvent] {
        &self.events
    }

    pub(crate) fn model(&self, operation: &'static str, model: &ModelName) -> Result<&Model> {
        self.models.get(model).ok_or_else(|| Error::not_found(operation, "model", model))
    }

    /// What became of a registration under this key, if it was one of the same content.
    pub(crate) fn registration(
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

    /// The record of a move under this key, if it was the same move.
    pub(crate) fn moved(
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
    pub(crate) fn admit(&self, operation: &'static str, record: &Record) -> Result<Verdict> {
        match record {
            Record::Claim { key, asked, over, .. } => {
                self.admit_claim(operation, key, asked, over.as_deref())
            }
            Record::Release { key, claim } => match self.calls.get(key) {
                Some(Call::Claimed { claim: held, .. }) if held == claim => Ok(Verdict::New),
                _ => Ok(Verdict::Same),
            },
            Record::Registered(made) => self.admit_version(operation, made),
            Record::Numbered(made) => self.admit_numbered(operation, made),
            Record::Withdrawn { key, model, version } => {
                let there = self.models.get(model).is_some_and(|m| m.versions.contains_key(version));
                match self.calls.get(key) {
                    Some(Call::Registered { version: made, .. }) if made == version && there => {
                        Ok(Verdict::New)
                    }
                    _ => Ok(Verdict::Same),
                }
            }
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

    fn admit_version(&self, operation: &'static str, made: &Registered) -> Result<Verdict> {
        match self.registration(operation, &made.key, &made.asked)? {
            Some(Call::Claimed { .. }) => {}
            Some(_) => return Ok(Verdict::Same),
            None => {
                let error = Error::new(ErrorKind::Conflict, operation, "the claim was given back");
                return Err(error.with("key", &made.key));
            }
        }
        let known = self.models.get(&made.model).is_some_and(|m| m.versions.contains_key(&made.version));
        if !known {
            return Ok(Verdict::New);
        }
        let message = "the server gave out a number again: the model was deleted with another client";
        let error = Error::new(ErrorKind::Corrupt, operation, message);
        Err(error.with("model", &made.model).with("version", made.version))
    }

    fn admit_numbered(&self, operation: &'static str, made: &Numbered) -> Result<Verdict> {
        let (key, model) = (&made.spec.key, &made.spec.model);
        if self.registration(operation, key, &made.asked)?.is_some() {
            return Ok(Verdict::Same);
        }
        let known = self.models.get(model).is_some_and(|m| m.versions.contains_key(&made.version));
        if !known {
            return Ok(Verdict::New);
        }
        let error = Error::new(ErrorKind::Busy, operation, "another client was given this number");
        Err(error.with("model", model).with("version", made.version))
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
    pub(crate) fn read(&mut self, operation: &'static str, entry: Entry) -> Result<Verdict> {
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
            Record::Numbered(made) => self.enter_numbered(*made),
            Record::Withdrawn { key, model, version } => self.withdraw(&key, &model, version),
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
        let since = self.last;
        let known = self.models.entry(model.clone()).or_insert_with(|| Model { since, ..Model::default() });
        known.versions.insert(version, kept);
        self.calls.insert(key, Call::Registered { asked, version });
        self.event(at, model, actor, RegistryEventKind::Registered(version));
    }

    fn enter_numbered(&mut self, made: Numbered) {
        let Numbered { asked, version, at, spec } = made;
        self.enter_version(Registered {
            key: spec.key.clone(),
            asked,
            model: spec.model.clone(),
            version,
            at,
            actor: spec.actor.clone(),
            artifact: spec.artifact,
            tags: spec.tags.clone(),
            run: spec.run.clone(),
            data: spec.data.clone(),
        });
        self.specs.insert((spec.model.clone(), version), Arc::new(spec));
    }

    /// Forgets a version and its lineage. What happened stays in the events.
    fn withdraw(&mut self, key: &IdempotencyKey, model: &ModelName, version: Version) {
        self.calls.remove(key);
        self.specs.remove(&(model.clone(), version));
        if let Some(known) = self.models.get_mut(model) {
            known.versions.remove(&version);
            if known.versions.is_empty() && known.aliases.is_empty() {
                self.models.remove(model);
            }
        }
        let node = Node::Model { name: model.clone(), version };
        self.edges.retain(|edge| edge.from != node && edge.to != node);
        self.linked.retain(|edge| edge.from != node && edge.to != node);
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

#[cfg(test)]
mod tests {
    use mlops_core::model::{ModelFormat, Signature};
    use mlops_core::problem::Task;
    use mlops_core::registry::AliasChange;

    use super::*;

    const OP: &str = "ledger";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_timestamp(second, 0).unwrap()
    }

    fn churn() -> ModelName {
        ModelName::new("churn").unwrap()
    }

    fn key(text: &str) -> IdempotencyKey {
        IdempotencyKey::new(text).unwrap()
    }

    fn version(number: u64) -> Version {
        Version::new(number).unwrap()
    }

    fn actor() -> ActorId {
        ActorId::new("tester").unwrap()
    }

    fn alias() -> Alias {
        Alias::new("candidate").unwrap()
    }

    fn claim(name: &str, by: &str, over: Option<&str>) -> Record {
        let (asked, over) = (Digest::of(name.as_bytes()), over.map(str::to_owned));
        Record::Claim { key: key(name), asked, claim: by.to_owned(), over, model: churn() }
    }

    fn registered(name: &str, number: u64) -> Record {
        let asked = Digest::of(name.as_bytes());
        Record::Registered(Box::new(Registered {
            key: key(name),
            asked,
            model: churn(),
            version: version(number),
            at: at(1),
            actor: actor(),
            artifact: asked,
            tags: Tags::new(),
            run: None,
            data: Vec::new(),
        }))
    }

    fn moved(name: &str, from: Option<u64>, to: Option<u64>, second: i64) -> Record {
        let change = AliasChange::new(churn(), alias(), version(1), actor()).with_to(to.map(version));
        let record = AliasRecord::of_change(&change.expecting(from.map(version)), 0, at(second));
        Record::Moved {
            key: key(name),
            asked: Digest::of(format!("{name}{from:?}{to:?}").as_bytes()),
            record: Box::new(record),
        }
    }

    /// Reads records as entries with marks of their own, and says what became of each.
    fn read(ledger: &mut Ledger, records: Vec<Record>) -> Vec<Result<Verdict, ErrorKind>> {
        let entry = |record, last| Entry { schema: SCHEMA.to_owned(), mark: format!("mark {last}"), record };
        let mut verdicts = Vec::new();
        for record in records {
            let entry = entry(record, ledger.last());
            verdicts.push(ledger.read(OP, entry).map_err(|e| e.kind()));
        }
        verdicts
    }

    fn with_versions(count: u64) -> Ledger {
        let mut ledger = Ledger::default();
        for number in 1..=count {
            let name = format!("version-{number}");
            let verdicts = read(&mut ledger, vec![claim(&name, "me", None), registered(&name, number)]);
            assert_eq!(verdicts, [Ok(Verdict::New), Ok(Verdict::New)]);
        }
        ledger
    }

    const NEW: Result<Verdict, ErrorKind> = Ok(Verdict::New);
    const SAME: Result<Verdict, ErrorKind> = Ok(Verdict::Same);

    #[test]
    fn of_moves_that_expect_the_same_the_first_one_counts() {
        let mut ledger = with_versions(3);
        let moves =
            vec![moved("a", None, Some(1), 5), moved("b", None, Some(2), 6), moved("c", Some(1), Some(3), 7)];
        assert_eq!(read(&mut ledger, moves), [NEW, Err(ErrorKind::Conflict), NEW]);
        let model = ledger.model(OP, &churn()).unwrap();
        assert_eq!(model.alias(&alias()), Some(version(3)));
        assert!(model.held(&alias(), version(1)) && !model.held(&alias(), version(2)));
        assert_eq!(ledger.events().len(), 5, "what does not count is no event");
        // The key of a move that did not count is free.
        assert_eq!(read(&mut ledger, vec![moved("b", Some(3), Some(2), 8)]), [NEW]);
    }

    #[test]
    fn an_entry_that_came_twice_counts_once_also_when_the_world_has_moved_on() {
        let mut ledger = with_versions(1);
        let tags = |text: &str| {
            let tags = Tags::from([(mlops_core::id::TagKey::new("k").unwrap(), text.to_owned())]);
            Record::Tagged { model: churn(), version: version(1), tags, actor: actor(), at: at(2) }
        };
        let entry = |mark: &str, record| Entry { schema: SCHEMA.to_owned(), mark: mark.to_owned(), record };
        for (mark, text, expected) in
            [("x", "1", Verdict::New), ("y", "2", Verdict::New), ("x", "1", Verdict::Same)]
        {
            assert_eq!(ledger.read(OP, entry(mark, tags(text))).unwrap(), expected);
        }
        let kept = ledger.model(OP, &churn()).unwrap().version(OP, &churn(), version(1)).unwrap();
        assert_eq!(kept.tags.values().collect::<Vec<_>>(), ["2"]);
        assert_eq!(ledger.last(), 5, "it takes up a number all the same");
    }

    #[test]
    fn a_claim_keeps_others_away_until_it_is_taken_over_or_given_back() {
        let mut ledger = Ledger::default();
        assert_eq!(
            read(&mut ledger, vec![claim("k", "one", None), claim("k", "two", None)]),
            [NEW, Err(ErrorKind::Busy)]
        );
        // Two that lost patience at once: the first takes over, the other finds that it waited for the wrong one.
        let over = vec![claim("k", "two", Some("one")), claim("k", "three", Some("one"))];
        assert_eq!(read(&mut ledger, over), [NEW, Err(ErrorKind::Busy)]);
        // Who was taken over cannot give back what is not its own any more, but what it made counts if it comes first.
        let release = |by: &str| Record::Release { key: key("k"), claim: by.to_owned() };
        assert_eq!(read(&mut ledger, vec![release("one")]), [SAME]);
        assert_eq!(read(&mut ledger, vec![registered("k", 1), registered("k", 2)]), [NEW, SAME]);
        assert_eq!(ledger.model(OP, &churn()).unwrap().versions.len(), 1);
        assert_eq!(read(&mut ledger, vec![claim("k", "four", None), release("two")]), [SAME, SAME]);
        assert_eq!(
            read(
                &mut ledger,
                vec![claim("l", "one", None), Record::Release { key: key("l"), claim: "one".to_owned() }]
            ),
            [NEW, NEW]
        );
        assert_eq!(read(&mut ledger, vec![registered("l", 2)]), [Err(ErrorKind::Conflict)]);
    }

    #[test]
    fn a_key_means_one_thing() {
        let mut ledger = with_versions(1);
        let other = Record::Claim {
            key: key("version-1"),
            asked: Digest::of(b"other"),
            claim: "x".to_owned(),
            over: None,
            model: churn(),
        };
        let moves = vec![
            other,
            moved("version-1", None, Some(1), 2),
            moved("m", None, Some(1), 2),
            moved("m", Some(1), None, 3),
        ];
        assert_eq!(
            read(&mut ledger, moves),
            [Err(ErrorKind::Conflict), Err(ErrorKind::Conflict), NEW, Err(ErrorKind::Conflict)]
        );
        assert_eq!(
            read(&mut ledger, vec![moved("m", None, Some(1), 2), claim("m", "x", None)]),
            [SAME, Err(ErrorKind::Conflict)]
        );
    }

    #[test]
    fn a_number_that_comes_again_takes_nothing_away() {
        let mut ledger = with_versions(2);
        let verdicts = read(&mut ledger, vec![claim("again", "me", None), registered("again", 2)]);
        assert_eq!(verdicts, [NEW, Err(ErrorKind::Corrupt)]);
        let kept = ledger.model(OP, &churn()).unwrap().version(OP, &churn(), version(2)).unwrap();
        assert_eq!(kept.asked, Digest::of(b"version-2"));
    }

    fn numbered(name: &str, number: u64) -> Record {
        let signature = Signature::new(Task::Regression, Vec::new());
        let format = ModelFormat::new("mlops.linear/v1").unwrap();
        let spec = NewModelVersion::new(churn(), Digest::of(b"content"), format, signature, actor())
            .with_key(key(name))
            .with_run(RunId::generate());
        let asked = Digest::of(name.as_bytes());
        Record::Numbered(Box::new(Numbered { asked, version: version(number), at: at(1), spec }))
    }

    #[test]
    fn of_two_that_chose_one_number_the_first_has_it() {
        let mut ledger = Ledger::default();
        let records = vec![numbered("a", 1), numbered("b", 1), numbered("b", 2), numbered("a", 3)];
        assert_eq!(read(&mut ledger, records), [NEW, Err(ErrorKind::Busy), NEW, SAME]);
        assert_eq!(ledger.spec(&churn(), version(2)).unwrap().key, key("b"));
        assert_eq!(ledger.models()[&churn()].versions.len(), 2);
    }

    #[test]
    fn what_is_withdrawn_leaves_its_key_free() {
        let mut ledger = Ledger::default();
        let withdrawn =
            |name: &str| Record::Withdrawn { key: key(name), model: churn(), version: version(1) };
        let records =
            vec![numbered("a", 1), withdrawn("b"), withdrawn("a"), withdrawn("a"), numbered("a", 2)];
        assert_eq!(read(&mut ledger, records), [NEW, SAME, NEW, SAME, NEW]);
        let versions: Vec<u64> = ledger.models()[&churn()].versions.keys().map(|v| v.get()).collect();
        assert_eq!((versions, ledger.edges().len(), ledger.events().len()), (vec![2], 1, 2));
    }

    #[test]
    fn history_does_not_go_back_in_time() {
        let mut ledger = with_versions(2);
        read(&mut ledger, vec![moved("a", None, Some(1), 100), moved("b", Some(1), Some(2), 50)]);
        let model = ledger.model(OP, &churn()).unwrap();
        let as_of = |second| {
            model
                .find(&VersionSpec::AliasAsOf { alias: alias(), at: at(second) })
                .map(|kept| kept.version.get())
        };
        assert_eq!([as_of(99), as_of(100)], [None, Some(2)]);
        let sequences: Vec<u64> = model.aliases[&alias()].iter().map(|r| r.sequence).collect();
        assert_eq!(sequences, [1, 2]);
    }

    #[test]
    fn archiving_and_aliases_keep_out_of_each_others_way_in_any_order() {
        let archive = |archived| Record::Archived {
            model: churn(),
            version: version(1),
            archived,
            actor: actor(),
            at: at(3),
        };
        let mut ledger = with_versions(1);
        let records = vec![
            archive(false),
            archive(true),
            archive(true),
            moved("a", None, Some(1), 4),
            archive(false),
            moved("a", None, Some(1), 4),
            archive(true),
        ];
        let conflict = || Err(ErrorKind::Conflict);
        assert_eq!(read(&mut ledger, records), [SAME, NEW, SAME, conflict(), NEW, NEW, conflict()]);
        let nowhere = Record::Archived {
            model: churn(),
            version: version(9),
            archived: true,
            actor: actor(),
            at: at(3),
        };
        assert_eq!(
            read(&mut ledger, vec![nowhere, moved("z", None, Some(9), 1)]),
            [Err(ErrorKind::NotFound), Err(ErrorKind::NotFound)]
        );
    }

    #[test]
    fn entries_are_read_as_they_were_written() {
        let records = [claim("k", "one", Some("zero")), registered("k", 1), moved("m", Some(1), None, 5)];
        for record in records {
            let entry = Entry { schema: SCHEMA.to_owned(), mark: "m".to_owned(), record };
            let json = serde_json::to_string(&entry).unwrap();
            let again: Entry = serde_json::from_str(&json).unwrap();
            assert_eq!(serde_json::to_string(&again).unwrap(), json);
        }
    }
}
