//! The rows of the registry.

use rusqlite::Connection;
use rusqlite::types::Value;

use crate::error::{Error, Result};
use crate::hash::Digest;
use crate::id::{Alias, IdempotencyKey, ModelName, Tags, Version};
use crate::local::names::Listed;
use crate::local::row::{self, Cells, Record, bytes, damaged, doc, number, text, time, version};
use crate::registry::{AliasRecord, ModelVersion, NewModelVersion, RegistryEvent};
use crate::time::Timestamp;

/// The tally of events.
pub(super) const EVENTS: &str = "registry events";

/// A model: how many versions it has, and how many aliases it ever had.
#[derive(Debug)]
pub(crate) struct ModelRow {
    pub(crate) name: ModelName,
    pub(crate) versions: u64,
    pub(crate) aliases: u64,
    pub(super) next: Option<ModelName>,
}

impl Record for ModelRow {
    const TABLE: &'static str = "model";
    const COLUMNS: &'static str = "name, versions, aliases, next";
    const KEY: usize = 1;

    fn cells(&self) -> Result<Vec<Value>> {
        const OP: &str = "ModelRegistry";
        let next = self.next.as_ref().map_or(Value::Null, text);
        Ok(vec![text(&self.name), number(OP, self.versions)?, number(OP, self.aliases)?, next])
    }

    fn read(cells: &Cells<'_, '_>) -> Result<Self> {
        Ok(Self {
            name: cells.parse(0)?,
            versions: cells.number(1)?,
            aliases: cells.number(2)?,
            next: cells.optional(3, Cells::parse)?,
        })
    }
}

impl Listed for ModelRow {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn next(&self) -> Option<&str> {
        self.next.as_ref().map(ModelName::as_str)
    }

    fn set_next(&mut self, operation: &'static str, next: Option<&str>) -> Result<()> {
        let read = |name| ModelName::new(name).map_err(|_| damaged(operation, Self::TABLE, name));
        self.next = next.map(read).transpose()?;
        Ok(())
    }
}

impl ModelRow {
    pub(super) fn find(
        operation: &'static str,
        connection: &Connection,
        model: &ModelName,
    ) -> Result<Option<Self>> {
        row::find(operation, connection, "WHERE name = ?1", [model.as_str()])
    }

    pub(super) fn get(operation: &'static str, connection: &Connection, model: &ModelName) -> Result<Self> {
        Self::find(operation, connection, model)?.ok_or_else(|| Error::not_found(operation, "model", model))
    }

    /// A version that a caller names.
    pub(super) fn version(
        &self,
        operation: &'static str,
        connection: &Connection,
        version: Version,
    ) -> Result<VersionRow> {
        match VersionRow::find(operation, connection, &self.name, version)? {
            Some(found) => Ok(found),
            None if version.get() <= self.versions => Err(self.lost(operation, version)),
            None => {
                let error = Error::not_found(operation, "model version", version);
                Err(error.with("model", &self.name))
            }
        }
    }

    /// A version that is there.
    pub(super) fn known(
        &self,
        operation: &'static str,
        connection: &Connection,
        version: Version,
    ) -> Result<VersionRow> {
        let found = VersionRow::find(operation, connection, &self.name, version)?;
        found.ok_or_else(|| self.lost(operation, version))
    }

    /// At most `limit` versions before `before`, newest first.
    pub(super) fn older(
        &self,
        operation: &'static str,
        connection: &Connection,
        before: u64,
        limit: usize,
    ) -> Result<Vec<VersionRow>> {
        let mut next = before.min(self.versions.saturating_add(1)).saturating_sub(1);
        let tail = "WHERE model = ?1 AND version <= ?2 ORDER BY version DESC LIMIT ?3";
        let params = (self.name.as_str(), row::bound(next), row::bound(limit as u64));
        let versions: Vec<VersionRow> = row::list(operation, connection, tail, params)?;
        for found in &versions {
            if found.made.version.get() != next {
                return Err(damaged(operation, VersionRow::TABLE, format_args!("{} {next}", self.name)));
            }
            next -= 1;
        }
        if versions.len() < limit && next > 0 {
            return Err(damaged(operation, VersionRow::TABLE, format_args!("{} {next}", self.name)));
        }
        Ok(versions)
    }

    /// All aliases the model ever had, alphabetically.
    pub(super) fn all_aliases(
        &self,
        operation: &'static str,
        connection: &Connection,
    ) -> Result<Vec<AliasRow>> {
        let tail = "WHERE model = ?1 ORDER BY alias";
        let aliases: Vec<AliasRow> = row::list(operation, connection, tail, [self.name.as_str()])?;
        if aliases.len() as u64 == self.aliases {
            return Ok(aliases);
        }
        let error = damaged(operation, AliasRow::TABLE, format_args!("{} count", self.name));
        Err(error.with("expected", self.aliases).with("found", aliases.len()))
    }

    fn lost(&self, operation: &'static str, version: Version) -> Error {
        damaged(operation, VersionRow::TABLE, format_args!("{} {version}", self.name))
    }
}

/// A version, and its tags when it was registered.
#[derive(Debug)]
pub(crate) struct VersionRow {
    pub(crate) made: ModelVersion,
    first_tags: Tags,
}

impl Record for VersionRow {
    const TABLE: &'static str = "model_version";
    const COLUMNS: &'static str = "model, version, artifact, created_at, archived, run, tags, doc";
    const KEY: usize = 2;

    fn cells(&self) -> Result<Vec<Value>> {
        const OP: &str = "ModelRegistry";
        let ModelVersion { spec, version, created_at, archived } = &self.made;
        let asked = NewModelVersion { tags: self.first_tags.clone(), ..spec.clone() };
        Ok(vec![
            text(&spec.model),
            row::version(Some(*version)),
            bytes(&spec.artifact),
            time(*created_at),
            Value::Integer(i64::from(*archived)),
            spec.run.as_ref().map_or(Value::Null, text),
            doc(OP, &spec.tags)?,
            doc(OP, &asked)?,
        ])
    }

    fn read(cells: &Cells<'_, '_>) -> Result<Self> {
        let mut spec: NewModelVersion = cells.doc(7)?;
        let first_tags = std::mem::replace(&mut spec.tags, cells.doc(6)?);
        let mut made = ModelVersion::new(spec, cells.version(1)?, cells.time(3)?);
        made.archived = cells.flag(4)?;
        Ok(Self { made, first_tags })
    }
}

impl VersionRow {
    pub(super) fn new(made: ModelVersion) -> Self {
        let first_tags = made.spec.tags.clone();
        Self { made, first_tags }
    }

    fn find(
        operation: &'static str,
        connection: &Connection,
        model: &ModelName,
        version: Version,
    ) -> Result<Option<Self>> {
        let params = (model.as_str(), row::bound(version.get()));
        row::find(operation, connection, "WHERE model = ?1 AND version = ?2", params)
    }
}

/// The highest version of a model that has this content.
#[derive(Debug)]
pub(crate) struct ContentRow {
    pub(super) model: ModelName,
    pub(super) artifact: Digest,
    pub(super) version: Version,
}

impl Record for ContentRow {
    const TABLE: &'static str = "model_content";
    const COLUMNS: &'static str = "model, artifact, version";
    const KEY: usize = 1;

    fn cells(&self) -> Result<Vec<Value>> {
        Ok(vec![text(&self.model), bytes(&self.artifact), version(Some(self.version))])
    }

    fn read(cells: &Cells<'_, '_>) -> Result<Self> {
        Ok(Self { model: cells.parse(0)?, artifact: cells.digest(1)?, version: cells.version(2)? })
    }
}

impl ContentRow {
    pub(super) fn find(
        operation: &'static str,
        connection: &Connection,
        model: &ModelName,
        artifact: &Digest,
    ) -> Result<Option<Self>> {
        let tail = "WHERE model = ?1 AND artifact = ?2";
        row::find(operation, connection, tail, (model.as_str(), artifact.as_bytes()))
    }
}

/// Where an alias points now, since when, and how often it was changed.
#[derive(Debug)]
pub(crate) struct AliasRow {
    pub(crate) model: ModelName,
    pub(crate) alias: Alias,
    pub(crate) sequence: u64,
    pub(crate) target: Option<Version>,
    pub(crate) at: Timestamp,
}

impl Record for AliasRow {
    const TABLE: &'static str = "alias";
    const COLUMNS: &'static str = "model, alias, sequence, target, at";
    const KEY: usize = 2;

    fn cells(&self) -> Result<Vec<Value>> {
        let sequence = number("ModelRegistry::set_alias", self.sequence)?;
        Ok(vec![text(&self.model), text(&self.alias), sequence, version(self.target), time(self.at)])
    }

    fn read(cells: &Cells<'_, '_>) -> Result<Self> {
        Ok(Self {
            model: cells.parse(0)?,
            alias: cells.parse(1)?,
            sequence: cells.number(2)?,
            target: cells.optional(3, Cells::version)?,
            at: cells.time(4)?,
        })
    }
}

impl AliasRow {
    pub(super) fn find(
        operation: &'static str,
        connection: &Connection,
        model: &ModelName,
        alias: &Alias,
    ) -> Result<Option<Self>> {
        let tail = "WHERE model = ?1 AND alias = ?2";
        row::find(operation, connection, tail, (model.as_str(), alias.as_str()))
    }

    /// What it pointed to at a moment: what the last record that is not after it says.
    ///
    /// The record after that one is read too: that it is after the moment must not be the damage of a bit.
    pub(super) fn as_of(
        &self,
        operation: &'static str,
        connection: &Connection,
        at: Timestamp,
    ) -> Result<Option<Version>> {
        let tail = "WHERE model = ?1 AND alias = ?2 AND at <= ?3 ORDER BY sequence DESC LIMIT 1";
        let params = (self.model.as_str(), self.alias.as_str(), at.timestamp_micros());
        let last: Option<HistoryRow> = row::find(operation, connection, tail, params)?;
        let sequence = last.as_ref().map_or(0, |last| last.0.sequence);
        if sequence < self.sequence {
            let next = self.record(operation, connection, sequence + 1)?;
            if next.at <= at {
                return Err(self.lost(operation, sequence + 1));
            }
        }
        Ok(last.and_then(|last| last.0.to))
    }

    /// The record with this number, which is there.
    pub(super) fn record(
        &self,
        operation: &'static str,
        connection: &Connection,
        sequence: u64,
    ) -> Result<AliasRecord> {
        HistoryRow::find(operation, connection, &self.model, &self.alias, sequence)?
            .ok_or_else(|| self.lost(operation, sequence))
    }

    /// At most `limit` records after number `after`, oldest first.
    pub(super) fn history(
        &self,
        operation: &'static str,
        connection: &Connection,
        after: u64,
        limit: usize,
    ) -> Result<Vec<AliasRecord>> {
        let tail = "WHERE model = ?1 AND alias = ?2 AND sequence > ?3 ORDER BY sequence LIMIT ?4";
        let keys = (self.model.as_str(), self.alias.as_str(), row::bound(after), row::bound(limit as u64));
        let rows: Vec<HistoryRow> = row::list(operation, connection, tail, keys)?;
        let mut last = after;
        for HistoryRow(record) in &rows {
            if record.sequence != last + 1 {
                return Err(self.lost(operation, last + 1));
            }
            last = record.sequence;
        }
        if rows.len() < limit && last < self.sequence {
            return Err(self.lost(operation, last + 1));
        }
        Ok(rows.into_iter().map(|row| row.0).collect())
    }

    /// Whether it pointed to this version before.
    pub(super) fn held(
        &self,
        operation: &'static str,
        connection: &Connection,
        version: Version,
    ) -> Result<bool> {
        let tail = "WHERE model = ?1 AND alias = ?2 AND target = ?3 ORDER BY sequence DESC LIMIT 1";
        let params = (self.model.as_str(), self.alias.as_str(), row::bound(version.get()));
        Ok(row::find::<HistoryRow>(operation, connection, tail, params)?.is_some())
    }

    fn lost(&self, operation: &'static str, sequence: u64) -> Error {
        let key = format_args!("{} {} {sequence}", self.model, self.alias).to_string();
        damaged(operation, HistoryRow::TABLE, key)
    }
}

/// One change of an alias.
#[derive(Debug)]
pub(crate) struct HistoryRow(pub(crate) AliasRecord);

impl Record for HistoryRow {
    const TABLE: &'static str = "alias_history";
    const COLUMNS: &'static str = "model, alias, sequence, target, at, doc";
    const KEY: usize = 3;

    fn cells(&self) -> Result<Vec<Value>> {
        const OP: &str = "ModelRegistry::set_alias";
        let record = &self.0;
        Ok(vec![
            text(&record.model),
            text(&record.alias),
            number(OP, record.sequence)?,
            version(record.to),
            time(record.at),
            doc(OP, record)?,
        ])
    }

    fn read(cells: &Cells<'_, '_>) -> Result<Self> {
        cells.doc(5).map(Self)
    }
}

impl HistoryRow {
    pub(super) fn find(
        operation: &'static str,
        connection: &Connection,
        model: &ModelName,
        alias: &Alias,
        sequence: u64,
    ) -> Result<Option<AliasRecord>> {
        let tail = "WHERE model = ?1 AND alias = ?2 AND sequence = ?3";
        let params = (model.as_str(), alias.as_str(), row::bound(sequence));
        Ok(row::find::<Self>(operation, connection, tail, params)?.map(|row| row.0))
    }
}

/// What a call did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallKind {
    Register,
    Change,
    Promote,
}

impl CallKind {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Register, "register"), (Self::Change, "change"), (Self::Promote, "promote")];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
    }
}

/// What was done under a key, for whom it was asked again.
#[derive(Debug)]
pub(crate) struct CallRow {
    pub(super) key: IdempotencyKey,
    pub(super) kind: CallKind,
    pub(super) request: Digest,
    pub(super) model: ModelName,
    pub(super) alias: Option<Alias>,
    pub(super) result: u64,
}

impl Record for CallRow {
    const TABLE: &'static str = "registry_call";
    const COLUMNS: &'static str = "key, kind, request, model, alias, result";
    const KEY: usize = 1;

    fn cells(&self) -> Result<Vec<Value>> {
        Ok(vec![
            text(&self.key),
            text(self.kind.name()),
            bytes(&self.request),
            text(&self.model),
            self.alias.as_ref().map_or(Value::Null, text),
            number("ModelRegistry", self.result)?,
        ])
    }

    fn read(cells: &Cells<'_, '_>) -> Result<Self> {
        Ok(Self {
            key: cells.parse(0)?,
            kind: CallKind::of(cells.text(1)?).ok_or_else(|| cells.damaged())?,
            request: cells.digest(2)?,
            model: cells.parse(3)?,
            alias: cells.optional(4, Cells::parse)?,
            result: cells.number(5)?,
        })
    }
}

/// One event.
#[derive(Debug)]
pub(crate) struct EventRow(pub(crate) RegistryEvent);

impl Record for EventRow {
    const TABLE: &'static str = "registry_event";
    const COLUMNS: &'static str = "sequence, at, model, doc";
    const KEY: usize = 1;

    fn cells(&self) -> Result<Vec<Value>> {
        const OP: &str = "ModelRegistry";
        let event = &self.0;
        Ok(vec![number(OP, event.sequence)?, time(event.at), text(&event.model), doc(OP, event)?])
    }

    fn read(cells: &Cells<'_, '_>) -> Result<Self> {
        cells.doc(3).map(Self)
    }
}
