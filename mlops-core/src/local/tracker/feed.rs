//! What changed since somebody last looked, for those who follow the store.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::lease::Leases;
use super::points::{self, Point};
use super::{LocalTracker, rows, value};
use crate::error::{Error, Result};
use crate::experiment::{Experiment, MetricPoint, Run};
use crate::hash::Digest;
use crate::id::{MetricKey, RunId, TagKey};
use crate::local::db::{Durability, corrupt, failed};

/// Experiments and runs that changed.
pub(crate) struct Changes {
    /// With the ids of their rows.
    pub(crate) experiments: Vec<(i64, Experiment)>,
    pub(crate) runs: Vec<ChangedRun>,
    /// Up to where this goes: what is asked for the next time.
    pub(crate) upto: i64,
    /// Whether this was all.
    pub(crate) done: bool,
}

/// A run that changed.
pub(crate) struct ChangedRun {
    pub(crate) id: i64,
    pub(crate) experiment: i64,
    pub(crate) run: Run,
}

/// What changed after a count of changes: experiments, and at most `limit` runs, in the order of their last change.
pub(crate) fn changes(
    operation: &'static str,
    db: &Connection,
    after: i64,
    limit: usize,
    leases: &Leases,
) -> Result<Changes> {
    let list = |sql: &str| -> rusqlite::Result<Vec<(i64, i64, i64)>> {
        let mut statement = db.prepare_cached(sql)?;
        let bound = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map((after, bound), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.collect()
    };
    let runs = "SELECT id, experiment, change FROM run WHERE change > ?1 ORDER BY change, id LIMIT ?2";
    let found = list(runs).map_err(failed(operation))?;
    // All changes of one write have one number: what was cut off in the middle of it is asked for again.
    let done = found.len() < limit;
    let now = || db.query_row("SELECT value FROM counter WHERE name = 'change'", [], |row| row.get(0));
    let upto = match found.last() {
        Some((_, _, last)) if !done => last - 1,
        _ => now().map_err(failed(operation))?,
    };
    let ids: Vec<i64> = found.iter().map(|(id, ..)| *id).collect();
    let read = rows::read(operation, db, &ids, leases, &mut Vec::new())?;
    let experiment_of = |id: i64| found.iter().find(|(run, ..)| *run == id).map_or(0, |(_, e, _)| *e);
    let runs = read
        .into_iter()
        .map(|row| ChangedRun { id: row.id, experiment: experiment_of(row.id), run: row.run })
        .collect();
    let experiments = rows::experiments_changed(operation, db, after)?;
    Ok(Changes { experiments, runs, upto: upto.max(after), done })
}

/// A series of a run, and how many points it has.
pub(crate) struct SeriesCount {
    pub(crate) id: i64,
    pub(crate) key: MetricKey,
    pub(crate) count: i64,
}

/// The series of a run.
pub(crate) fn series(operation: &'static str, db: &Connection, run: i64) -> Result<Vec<SeriesCount>> {
    let sql = "SELECT id, key, count FROM series WHERE run = ?1 ORDER BY id";
    let find = || -> rusqlite::Result<Vec<(i64, String, i64)>> {
        let mut statement = db.prepare_cached(sql)?;
        statement.query_map([run], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
    };
    let read = |(id, key, count): (i64, String, i64)| {
        let key = MetricKey::new(&key).map_err(|e| corrupt(operation, "series", e))?;
        Ok(SeriesCount { id, key, count })
    };
    find().map_err(failed(operation))?.into_iter().map(read).collect()
}

/// The points of a series from a number on that are not in chunks up to `chunk`, and the last chunk there is. A point that
/// was packed meanwhile may come twice.
pub(crate) fn points_from(
    operation: &'static str,
    db: &Connection,
    series: &SeriesCount,
    number: i64,
    chunk: i64,
) -> Result<(Vec<MetricPoint>, i64)> {
    let mut found = points::rows_from(db, series.id, number).map_err(failed(operation))?;
    let sql = "SELECT id FROM chunk WHERE series = ?1 AND id > ?2 ORDER BY id";
    let list = || -> rusqlite::Result<Vec<i64>> {
        db.prepare_cached(sql)?.query_map((series.id, chunk), |row| row.get(0))?.collect()
    };
    let mut last = chunk;
    for id in list().map_err(failed(operation))? {
        found.extend(points::unpack(operation, db, id)?.into_iter().filter(|p| p.number >= number));
        last = id;
    }
    let point = |p: Point| {
        let at = rows::timestamp(operation, p.at)?;
        Ok(MetricPoint { key: series.key.clone(), value: value::value(p.value), step: p.step, at })
    };
    let points: Result<Vec<MetricPoint>> = found.into_iter().map(point).collect();
    Ok((points?, last))
}

/// The content that runs refer to.
pub(crate) fn roots(operation: &'static str, db: &Connection) -> Result<BTreeSet<Digest>> {
    let find = || -> rusqlite::Result<Vec<String>> {
        let mut statement = db.prepare("SELECT DISTINCT digest FROM artifact")?;
        statement.query_map([], |row| row.get(0))?.collect()
    };
    let digest = |hex: String| rows::digest(operation, "artifact", &hex);
    find().map_err(failed(operation))?.into_iter().map(digest).collect()
}

impl LocalTracker {
    /// Sets a tag of a run whatever its state: for edits by people, who describe runs after they ended.
    pub(crate) async fn set_tag(
        &self,
        operation: &'static str,
        run: &RunId,
        tag: (TagKey, String),
    ) -> Result<()> {
        let (run, (key, text)) = (run.clone(), tag);
        let work = move |tx: &rusqlite::Transaction<'_>| {
            let Some(id) = rows::find_run(operation, tx, &run)? else {
                return Err(Error::not_found(operation, "run", run));
            };
            let sql = "INSERT OR REPLACE INTO tag (run, key, value) VALUES (?1, ?2, ?3)";
            let set = || tx.prepare_cached(sql)?.execute((id, key.as_str(), text));
            set().map_err(failed(operation))?;
            super::touch(operation, tx, id)
        };
        self.inner.db.write(operation, Durability::Process, work).await
    }

    /// Sets or removes a tag of the experiment with this row.
    pub(crate) async fn set_experiment_tag(
        &self,
        operation: &'static str,
        experiment: i64,
        tag: (TagKey, Option<String>),
    ) -> Result<()> {
        let (key, text) = tag;
        let work = move |tx: &rusqlite::Transaction<'_>| {
            let all = rows::experiments_changed(operation, tx, -1)?;
            let Some((_, found)) = all.into_iter().find(|(id, _)| *id == experiment) else {
                return Err(Error::not_found(operation, "experiment", experiment));
            };
            let mut tags = found.tags;
            match text {
                Some(text) => tags.insert(key, text),
                None => tags.remove(&key),
            };
            let (tags, change) = (rows::json(operation, &tags)?, rows::change(operation, tx)?);
            let sql = "UPDATE experiment SET tags = ?2, change = ?3 WHERE id = ?1";
            let set = || tx.prepare_cached(sql)?.execute((experiment, tags, change));
            set().map(drop).map_err(failed(operation))
        };
        self.inner.db.write(operation, Durability::Process, work).await
    }
}
