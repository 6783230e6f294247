//! What a batch does to a run's rows: everything that is wrong with it is found before any of it is kept.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, Params};

use super::points::{self, Point};
use super::rows;
use crate::error::{Error, ErrorKind, Result};
use crate::experiment::{ArtifactLink, DataInput, LogBatch, WriteReceipt};
use crate::hash::Digest;
use crate::id::{IdempotencyKey, MAX_ENTRIES, MetricKey, ParamKey, RunId, TagKey};
use crate::local::db::failed;

const OP: &str = "ExperimentTracker::write";

/// The digest of a batch that has a key: what makes a repeated call the same.
pub(crate) fn content(batch: &LogBatch) -> Result<Digest> {
    let bytes = serde_json::to_vec(batch).map_err(|e| {
        Error::new(ErrorKind::Internal, OP, "the batch cannot be written down").with_source(e)
    })?;
    Ok(Digest::of(&bytes))
}

/// The receipt of a batch, if it was written under its key before.
pub(crate) fn replay(
    db: &Connection,
    id: i64,
    run: &RunId,
    key: &IdempotencyKey,
    content: Digest,
) -> Result<Option<WriteReceipt>> {
    let sql = "SELECT digest, receipt FROM write_call WHERE run = ?1 AND key = ?2";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
    let find = || db.prepare_cached(sql)?.query_row((id, key.as_str()), read).optional();
    match find().map_err(failed(OP))? {
        None => Ok(None),
        Some((written, receipt)) if written == content.hex() => {
            rows::parse(OP, "write_call", &receipt).map(Some)
        }
        Some(_) => {
            let message = "the key was used to log something else";
            Err(Error::new(ErrorKind::Conflict, OP, message).with("key", key).with("run", run))
        }
    }
}

/// Remembers what was answered to a call.
pub(crate) fn remember(
    db: &Connection,
    id: i64,
    key: &IdempotencyKey,
    content: Digest,
    receipt: &WriteReceipt,
) -> Result<()> {
    let sql = "INSERT INTO write_call (run, key, digest, receipt) VALUES (?1, ?2, ?3, ?4)";
    execute(db, sql, (id, key.as_str(), content.hex(), rows::json(OP, receipt)?))
}

/// Finds everything that is wrong with a batch, before any of it is kept.
pub(crate) fn check(db: &Connection, run: i64, batch: &LogBatch) -> Result<()> {
    let mut new_params = 0;
    for (key, value) in &batch.params {
        match find_text(db, "SELECT value FROM param WHERE run = ?1 AND key = ?2", run, key.as_str())? {
            None => new_params += 1,
            Some(there) if there == *value => {}
            Some(there) => {
                let error = Error::conflict(OP, "a parameter has another value already", value, there);
                return Err(error.with("parameter", key));
            }
        }
    }
    check_artifacts(db, run, batch)?;
    let mut new_tags = 0;
    for key in batch.tags.keys() {
        let there = find_text(db, "SELECT key FROM tag WHERE run = ?1 AND key = ?2", run, key.as_str())?;
        new_tags += usize::from(there.is_none());
    }
    check_count(
        db,
        "SELECT count(*) FROM param WHERE run = ?1",
        run,
        "the number of parameters",
        new_params,
    )?;
    check_count(db, "SELECT count(*) FROM tag WHERE run = ?1", run, "the number of tags", new_tags)
}

fn check_count(db: &Connection, sql: &str, run: i64, what: &'static str, new: usize) -> Result<()> {
    if new == 0 {
        return Ok(());
    }
    let count = || db.prepare_cached(sql)?.query_row([run], |row| row.get::<_, i64>(0));
    let there = usize::try_from(count().map_err(failed(OP))?).unwrap_or(usize::MAX);
    match there.saturating_add(new) {
        count if count > MAX_ENTRIES => Err(Error::limit(OP, what, MAX_ENTRIES, count)),
        _ => Ok(()),
    }
}

fn check_artifacts(db: &Connection, run: i64, batch: &LogBatch) -> Result<()> {
    let sql = "SELECT digest, size FROM artifact WHERE run = ?1 AND path = ?2";
    let mut sent: HashMap<_, &ArtifactLink> = HashMap::new();
    for link in &batch.artifacts {
        let find = || {
            let mut statement = db.prepare_cached(sql)?;
            let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?));
            statement.query_row((run, link.path.as_str()), read).optional()
        };
        let there = match sent.insert(&link.path, link) {
            Some(there) => Some((there.digest.hex(), there.size.cast_signed())),
            None => find().map_err(failed(OP))?,
        };
        let same = (link.digest.hex(), link.size.cast_signed());
        if let Some((digest, _)) = there.filter(|there| *there != same) {
            let message = "an artifact's path has other content already";
            let error = Error::conflict(OP, message, link.digest, format!("sha256:{digest}"));
            return Err(error.with("path", &link.path));
        }
    }
    Ok(())
}

/// Takes a checked batch in.
pub(crate) fn apply(db: &Connection, run: i64, batch: &LogBatch) -> Result<WriteReceipt> {
    let mut new_points = 0;
    for (key, points) in by_key(batch) {
        new_points += points::add(OP, db, run, key.as_str(), points)?;
    }
    for (key, value) in &batch.params {
        put_param(db, run, key, value)?;
    }
    for (key, value) in &batch.tags {
        put_tag(OP, db, run, key, value)?;
    }
    for input in &batch.inputs {
        put_input(db, run, input)?;
    }
    for link in &batch.artifacts {
        let sql = "INSERT OR IGNORE INTO artifact (run, path, digest, size) VALUES (?1, ?2, ?3, ?4)";
        execute(db, sql, (run, link.path.as_str(), link.digest.hex(), link.size.cast_signed()))?;
    }
    Ok(WriteReceipt::new(new_points))
}

/// The points of each metric, in the order of logging.
fn by_key(batch: &LogBatch) -> Vec<(&MetricKey, Vec<Point>)> {
    let mut places: HashMap<&MetricKey, usize> = HashMap::new();
    let mut out: Vec<(&MetricKey, Vec<Point>)> = Vec::new();
    for point in &batch.metrics {
        // A batch of one metric, or sorted by metric, needs no look-up.
        let last = out.last_mut().filter(|(key, _)| **key == point.key);
        let new = Point::new(point.step, point.at.timestamp_micros(), point.value);
        match last {
            Some((_, points)) => points.push(new),
            None => match places.get(&point.key).and_then(|place| out.get_mut(*place)) {
                Some((_, points)) => points.push(new),
                None => {
                    places.insert(&point.key, out.len());
                    out.push((&point.key, vec![new]));
                }
            },
        }
    }
    out
}

fn put_param(db: &Connection, run: i64, key: &ParamKey, value: &str) -> Result<()> {
    let sql = "INSERT OR IGNORE INTO param (run, key, value) VALUES (?1, ?2, ?3)";
    execute(db, sql, (run, key.as_str(), value))
}

/// Sets a tag.
pub(crate) fn put_tag(
    operation: &'static str,
    db: &Connection,
    run: i64,
    key: &TagKey,
    value: &str,
) -> Result<()> {
    let sql = "INSERT INTO tag (run, key, value) VALUES (?1, ?2, ?3)
               ON CONFLICT (run, key) DO UPDATE SET value = excluded.value";
    let set = || db.prepare_cached(sql)?.execute((run, key.as_str(), value));
    set().map(drop).map_err(failed(operation))
}

fn put_input(db: &Connection, run: i64, input: &DataInput) -> Result<()> {
    let sql = "INSERT INTO input (run, place, asset, version, digest, role)
               SELECT ?1, (SELECT coalesce(max(place) + 1, 0) FROM input WHERE run = ?1), ?2, ?3, ?4, ?5
               WHERE NOT EXISTS (SELECT 1 FROM input WHERE asset = ?2 AND run = ?1 AND version = ?3
                                 AND digest = ?4 AND role = ?5)";
    let version = input.version.get().cast_signed();
    execute(db, sql, (run, input.asset.as_str(), version, input.digest.hex(), input.role.as_str()))
}

fn find_text(db: &Connection, sql: &str, run: i64, key: &str) -> Result<Option<String>> {
    let find = || db.prepare_cached(sql)?.query_row((run, key), |row| row.get(0)).optional();
    find().map_err(failed(OP))
}

fn execute(db: &Connection, sql: &str, values: impl Params) -> Result<()> {
    let run = || db.prepare_cached(sql)?.execute(values);
    run().map(drop).map_err(failed(OP))
}
