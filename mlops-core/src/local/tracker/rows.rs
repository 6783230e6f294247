//! Runs and experiments as rows, and back.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, Row};
use serde::de::DeserializeOwned;

use super::lease::Leases;
use super::value;
use crate::error::{Error, ErrorKind, Result};
use crate::experiment::{
    ArtifactLink, DataInput, Experiment, ExperimentSpec, MetricPoint, MetricSummary, Run, RunSpec, RunStatus,
};
use crate::hash::Digest;
use crate::id::{
    ActorId, AssetName, ExperimentName, MetricKey, NameError, ParamKey, RelPath, RunId, TagKey, Tags, Version,
};
use crate::local::db::{corrupt, failed};
use crate::time::Timestamp;

pub(crate) fn status_number(status: RunStatus) -> i64 {
    match status {
        RunStatus::Scheduled => 0,
        RunStatus::Running => 1,
        RunStatus::Finished => 2,
        RunStatus::Failed => 3,
        RunStatus::Killed => 4,
    }
}

fn status(operation: &'static str, number: i64) -> Result<RunStatus> {
    Ok(match number {
        0 => RunStatus::Scheduled,
        1 => RunStatus::Running,
        2 => RunStatus::Finished,
        3 => RunStatus::Failed,
        4 => RunStatus::Killed,
        other => return Err(corrupt(operation, "run", "no such status").with("status", other)),
    })
}

pub(crate) fn timestamp(operation: &'static str, micros: i64) -> Result<Timestamp> {
    chrono::DateTime::from_timestamp_micros(micros)
        .ok_or_else(|| corrupt(operation, "run", "no such time").with("microseconds", micros))
}

pub(crate) fn json<T: serde::Serialize>(operation: &'static str, value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|e| {
        Error::new(ErrorKind::Internal, operation, "a value cannot be written as JSON").with_source(e)
    })
}

pub(crate) fn parse<T: DeserializeOwned>(
    operation: &'static str,
    what: &'static str,
    text: &str,
) -> Result<T> {
    serde_json::from_str(text).map_err(|e| corrupt(operation, what, e))
}

/// Counts a change; what is changed gets this number.
pub(crate) fn change(operation: &'static str, db: &Connection) -> Result<i64> {
    let sql = "UPDATE counter SET value = value + 1 WHERE name = 'change' RETURNING value";
    let bump = || db.prepare_cached(sql)?.query_row([], |row| row.get(0));
    bump().map_err(failed(operation))
}

/// A run's row, without what hangs on it.
pub(crate) struct RunRow {
    pub(crate) id: i64,
    pub(crate) run: Run,
}

/// An experiment, if it is there, with the id of its row.
pub(crate) fn experiment(
    operation: &'static str,
    db: &Connection,
    name: &ExperimentName,
) -> Result<Option<(i64, Experiment)>> {
    let sql = "SELECT id, name, tags, created_at FROM experiment WHERE name = ?1";
    let find = || {
        let mut statement = db.prepare_cached(sql)?;
        statement.query_row([name.as_str()], raw_experiment).optional()
    };
    find().map_err(failed(operation))?.map(|raw| read_experiment(operation, raw)).transpose()
}

/// The experiments after a name, by name.
pub(crate) fn experiments(
    operation: &'static str,
    db: &Connection,
    after: Option<&ExperimentName>,
    limit: usize,
) -> Result<Vec<Experiment>> {
    let sql = "SELECT id, name, tags, created_at FROM experiment WHERE name > ?1 ORDER BY name LIMIT ?2";
    let find = || {
        let mut statement = db.prepare_cached(sql)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        // No name is empty: all of them come after nothing.
        let after = after.map_or("", ExperimentName::as_str);
        statement.query_map((after, limit), raw_experiment)?.collect::<rusqlite::Result<Vec<_>>>()
    };
    let raw = find().map_err(failed(operation))?;
    raw.into_iter().map(|raw| Ok(read_experiment(operation, raw)?.1)).collect()
}

/// The experiments that changed after a count of changes, with the ids of their rows.
pub(crate) fn experiments_changed(
    operation: &'static str,
    db: &Connection,
    after: i64,
) -> Result<Vec<(i64, Experiment)>> {
    let sql = "SELECT id, name, tags, created_at FROM experiment WHERE change > ?1 ORDER BY id";
    let find = || -> rusqlite::Result<Vec<RawExperiment>> {
        db.prepare_cached(sql)?.query_map([after], raw_experiment)?.collect()
    };
    find().map_err(failed(operation))?.into_iter().map(|raw| read_experiment(operation, raw)).collect()
}

type RawExperiment = (i64, String, String, i64);

fn raw_experiment(row: &Row<'_>) -> rusqlite::Result<RawExperiment> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}

fn read_experiment(operation: &'static str, raw: RawExperiment) -> Result<(i64, Experiment)> {
    let (id, name, tags, created_at) = raw;
    let name = ExperimentName::new(name).map_err(|e| corrupt(operation, "experiment", e))?;
    let tags: Tags = parse(operation, "experiment", &tags)?;
    let spec = ExperimentSpec { tags, ..ExperimentSpec::new(name) };
    Ok((id, Experiment::new(spec, timestamp(operation, created_at)?)))
}

/// The id of a run's row.
pub(crate) fn find_run(operation: &'static str, db: &Connection, run: &RunId) -> Result<Option<i64>> {
    let sql = "SELECT id FROM run WHERE run_id = ?1";
    let find = || db.prepare_cached(sql)?.query_row([run.as_str()], |row| row.get(0)).optional();
    find().map_err(failed(operation))
}

/// Writes ids so that `json_each` reads them: however many there are, the statement is the same.
pub(crate) fn list(ids: &[i64]) -> String {
    let mut out = String::with_capacity(ids.len() * 8 + 2);
    out.push('[');
    for (i, id) in ids.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push_str(&id.to_string());
    }
    out.push(']');
    out
}

/// Reads the runs with these ids, in this order, whole, in six statements however many there are. Runs whose lease is over
/// are read as killed; `dead` gets their ids.
pub(crate) fn read(
    operation: &'static str,
    db: &Connection,
    ids: &[i64],
    leases: &Leases,
    dead: &mut Vec<i64>,
) -> Result<Vec<RunRow>> {
    let wanted = list(ids);
    let mut runs = bare(operation, db, &wanted)?;
    for row in runs.values_mut() {
        if expire(row, leases) {
            dead.push(row.id);
        }
    }
    texts(operation, db, &wanted, &mut runs)?;
    metrics(operation, db, &wanted, &mut runs)?;
    inputs(operation, db, &wanted, &mut runs)?;
    artifacts(operation, db, &wanted, &mut runs)?;
    Ok(ids.iter().filter_map(|id| runs.remove(id)).collect())
}

/// One run, whole.
pub(crate) fn read_one(
    operation: &'static str,
    db: &Connection,
    id: i64,
    leases: &Leases,
    dead: &mut Vec<i64>,
) -> Result<Run> {
    let row = read(operation, db, &[id], leases, dead)?.pop();
    row.map(|row| row.run).ok_or_else(|| corrupt(operation, "run", "the row is gone").with("id", id))
}

/// One run without what hangs on it.
pub(crate) fn read_bare(
    operation: &'static str,
    db: &Connection,
    run: &RunId,
    leases: &Leases,
) -> Result<Option<RunRow>> {
    let Some(id) = find_run(operation, db, run)? else { return Ok(None) };
    let mut row = bare(operation, db, &list(&[id]))?.remove(&id);
    if let Some(row) = &mut row {
        expire(row, leases);
    }
    Ok(row)
}

/// Whether a run, by its row, has ended or its lease is over.
pub(crate) fn is_over(operation: &'static str, db: &Connection, id: i64, leases: &Leases) -> Result<bool> {
    let sql = "SELECT status >= 2, lease_until FROM run WHERE id = ?1";
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let find = || db.prepare_cached(sql)?.query_row([id], read).optional();
    let found: Option<(bool, Option<i64>)> = find().map_err(failed(operation))?;
    Ok(found.is_none_or(|(ended, until)| ended || until.is_some_and(|until| leases.is_over(id, until))))
}

/// Kills a run whose lease is over; whether it did.
fn expire(row: &mut RunRow, leases: &Leases) -> bool {
    let run = &mut row.run;
    let over = |until: Timestamp| leases.is_over(row.id, until.timestamp_micros());
    if run.status.is_final() || !run.lease_until.is_some_and(over) {
        return false;
    }
    run.status = RunStatus::Killed;
    run.ended_at = run.lease_until;
    true
}

/// Writes down that these runs were killed, unless somebody gave them a new lease.
pub(crate) fn bury(operation: &'static str, db: &Connection, dead: &[i64], leases: &Leases) -> Result<()> {
    let find = "SELECT lease_until FROM run WHERE id = ?1 AND status < 2 AND lease_until IS NOT NULL";
    let kill = "UPDATE run SET status = 4, ended_at = lease_until, change = ?2 WHERE id = ?1";
    for id in dead {
        let until = || db.prepare_cached(find)?.query_row([id], |row| row.get(0)).optional();
        let until: Option<i64> = until().map_err(failed(operation))?;
        if until.is_some_and(|until| leases.is_over(*id, until)) {
            let change = change(operation, db)?;
            let write = || db.prepare_cached(kill)?.execute((id, change));
            write().map_err(failed(operation))?;
        }
    }
    Ok(())
}

/// The runs whose lease is over and that are not killed yet.
pub(crate) fn overdue(operation: &'static str, db: &Connection, leases: &Leases) -> Result<Vec<i64>> {
    let sql = "SELECT id, lease_until FROM run WHERE lease_until IS NOT NULL AND status < 2";
    let find = || {
        let mut statement = db.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<Vec<(i64, i64)>>>()
    };
    let leased = find().map_err(failed(operation))?;
    Ok(leased.into_iter().filter(|(id, until)| leases.is_over(*id, *until)).map(|(id, _)| id).collect())
}

type Runs = HashMap<i64, RunRow>;

/// What one row of `run` holds, before it is checked.
struct RawRun {
    id: i64,
    run_id: String,
    experiment: String,
    name: String,
    parent: Option<String>,
    actor: String,
    status: i64,
    started_at: i64,
    ended_at: Option<i64>,
    lease_until: Option<i64>,
    deleted: bool,
    capsule: String,
}

impl RawRun {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            run_id: row.get(1)?,
            experiment: row.get(2)?,
            name: row.get(3)?,
            parent: row.get(4)?,
            actor: row.get(5)?,
            status: row.get(6)?,
            started_at: row.get(7)?,
            ended_at: row.get(8)?,
            lease_until: row.get(9)?,
            deleted: row.get(10)?,
            capsule: row.get(11)?,
        })
    }

    fn check(self, operation: &'static str) -> Result<RunRow> {
        let bad = |e: NameError| corrupt(operation, "run", e);
        let time = |micros: Option<i64>| micros.map(|micros| timestamp(operation, micros)).transpose();
        let spec = RunSpec {
            id: RunId::new(self.run_id).map_err(bad)?,
            experiment: ExperimentName::new(self.experiment).map_err(bad)?,
            name: self.name,
            parent: self.parent.map(RunId::new).transpose().map_err(bad)?,
            actor: ActorId::new(self.actor).map_err(bad)?,
            started_at: None,
            tags: Tags::new(),
            capsule: parse(operation, "run", &self.capsule)?,
        };
        let mut run = Run::start(spec, timestamp(operation, self.started_at)?);
        run.status = status(operation, self.status)?;
        run.ended_at = time(self.ended_at)?;
        run.lease_until = time(self.lease_until)?;
        run.deleted = self.deleted;
        Ok(RunRow { id: self.id, run })
    }
}

fn bare(operation: &'static str, db: &Connection, wanted: &str) -> Result<Runs> {
    let sql = "SELECT r.id, r.run_id, e.name, r.name, r.parent, r.actor, r.status, r.started_at, r.ended_at,
                      r.lease_until, r.deleted, r.capsule
               FROM json_each(?1) AS wanted
               JOIN run AS r ON r.id = wanted.value
               JOIN experiment AS e ON e.id = r.experiment";
    let raw = collect(operation, db, sql, wanted, RawRun::read)?;
    raw.into_iter().map(|raw| Ok((raw.id, raw.check(operation)?))).collect()
}

/// All rows of a statement about the wanted runs.
fn collect<T>(
    operation: &'static str,
    db: &Connection,
    sql: &str,
    wanted: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    let find =
        || -> rusqlite::Result<Vec<T>> { db.prepare_cached(sql)?.query_map([wanted], read)?.collect() };
    find().map_err(failed(operation))
}

/// Parameters and tags.
fn texts(operation: &'static str, db: &Connection, wanted: &str, runs: &mut Runs) -> Result<()> {
    let read = |row: &Row<'_>| -> rusqlite::Result<(i64, String, String)> {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    };
    let sql =
        "SELECT p.run, p.key, p.value FROM json_each(?1) AS wanted JOIN param AS p ON p.run = wanted.value";
    for (id, key, value) in collect(operation, db, sql, wanted, read)? {
        let key = ParamKey::new(key).map_err(|e| corrupt(operation, "param", e))?;
        if let Some(row) = runs.get_mut(&id) {
            row.run.params.insert(key, value);
        }
    }
    let sql =
        "SELECT t.run, t.key, t.value FROM json_each(?1) AS wanted JOIN tag AS t ON t.run = wanted.value";
    for (id, key, value) in collect(operation, db, sql, wanted, read)? {
        let key = TagKey::new(key).map_err(|e| corrupt(operation, "tag", e))?;
        if let Some(row) = runs.get_mut(&id) {
            row.run.tags.insert(key, value);
        }
    }
    Ok(())
}

/// What one row of `series` holds.
struct RawSummary {
    run: i64,
    key: String,
    count: i64,
    step: i64,
    at: i64,
    value: i64,
    min: Option<i64>,
    max: Option<i64>,
}

impl RawSummary {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            run: row.get(0)?,
            key: row.get(1)?,
            count: row.get(2)?,
            step: row.get(3)?,
            at: row.get(4)?,
            value: row.get(5)?,
            min: row.get(6)?,
            max: row.get(7)?,
        })
    }

    fn check(self, operation: &'static str) -> Result<MetricSummary> {
        let key = MetricKey::new(self.key).map_err(|e| corrupt(operation, "series", e))?;
        let point = MetricPoint::new(key, value::value(self.value), timestamp(operation, self.at)?);
        let count = u64::try_from(self.count).map_err(|e| corrupt(operation, "series", e))?;
        let (min, max) = (self.min.map(value::value), self.max.map(value::value));
        Ok(MetricSummary { min, max, count, ..MetricSummary::of(point.with_step(self.step)) })
    }
}

fn metrics(operation: &'static str, db: &Connection, wanted: &str, runs: &mut Runs) -> Result<()> {
    let sql = "SELECT s.run, s.key, s.count, s.step, s.at, s.value, s.min, s.max
               FROM json_each(?1) AS wanted JOIN series AS s ON s.run = wanted.value";
    for raw in collect(operation, db, sql, wanted, RawSummary::read)? {
        let id = raw.run;
        let summary = raw.check(operation)?;
        if let Some(row) = runs.get_mut(&id) {
            row.run.metrics.insert(summary.last.key.clone(), summary);
        }
    }
    Ok(())
}

pub(crate) fn digest(operation: &'static str, what: &'static str, hex: &str) -> Result<Digest> {
    format!("sha256:{hex}").parse().map_err(|e: Error| corrupt(operation, what, e))
}

fn inputs(operation: &'static str, db: &Connection, wanted: &str, runs: &mut Runs) -> Result<()> {
    let sql = "SELECT i.run, i.asset, i.version, i.digest, i.role
               FROM json_each(?1) AS wanted JOIN input AS i ON i.run = wanted.value ORDER BY i.run, i.place";
    let read = |row: &Row<'_>| -> rusqlite::Result<(i64, String, i64, String, String)> {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
    };
    for (id, asset, version, hex, role) in collect(operation, db, sql, wanted, read)? {
        let asset = AssetName::new(asset).map_err(|e| corrupt(operation, "input", e))?;
        let number = u64::try_from(version).ok().and_then(Version::new);
        let version = number.ok_or_else(|| corrupt(operation, "input", "no such version"))?;
        let input = DataInput { asset, version, digest: digest(operation, "input", &hex)?, role };
        if let Some(row) = runs.get_mut(&id) {
            row.run.inputs.push(input);
        }
    }
    Ok(())
}

fn artifacts(operation: &'static str, db: &Connection, wanted: &str, runs: &mut Runs) -> Result<()> {
    let sql = "SELECT a.run, a.path, a.digest, a.size
               FROM json_each(?1) AS wanted JOIN artifact AS a ON a.run = wanted.value ORDER BY a.run, a.path";
    let read = |row: &Row<'_>| -> rusqlite::Result<(i64, String, String, i64)> {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    };
    for (id, path, hex, size) in collect(operation, db, sql, wanted, read)? {
        let path = RelPath::new(path).map_err(|e| corrupt(operation, "artifact", e))?;
        let link =
            ArtifactLink { path, digest: digest(operation, "artifact", &hex)?, size: size.cast_unsigned() };
        if let Some(row) = runs.get_mut(&id) {
            row.run.artifacts.push(link);
        }
    }
    Ok(())
}
