//! The points of metrics: kept once each, as rows or in chunks, read in order.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::chunk;
use crate::error::Result;
use crate::local::db::{corrupt, failed};

/// From how many new points of one series on they are packed.
const PACK: usize = 64;

/// One point of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) step: i64,
    /// Microseconds since 1970.
    pub(crate) at: i64,
    /// The value's [`key`](super::value::key).
    pub(crate) value: i64,
    /// How many points of its series were logged before it.
    pub(crate) number: i64,
}

/// Where a point stands in its series.
pub(crate) type Place = (i64, i64, i64);

impl Point {
    /// A point that has no number yet.
    pub(crate) fn new(step: i64, at: i64, value: f64) -> Self {
        Self { step, at, value: super::value::key(value), number: 0 }
    }

    pub(crate) fn place(&self) -> Place {
        (self.step, self.at, self.number)
    }

    fn moment(&self) -> (i64, i64) {
        (self.step, self.at)
    }

    /// What makes it the same point.
    fn identity(&self) -> (i64, i64, i64) {
        (self.step, self.at, self.value)
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { step: row.get(0)?, at: row.get(1)?, value: row.get(2)?, number: row.get(3)? })
    }
}

/// What is known of a series.
struct Series {
    id: i64,
    count: i64,
    step: i64,
    at: i64,
    value: i64,
    min: Option<i64>,
    max: Option<i64>,
}

impl Series {
    fn find(db: &Connection, run: i64, key: &str) -> rusqlite::Result<Option<Self>> {
        let sql = "SELECT id, count, step, at, value, min, max FROM series WHERE run = ?1 AND key = ?2";
        let read = |row: &Row<'_>| {
            Ok(Self {
                id: row.get(0)?,
                count: row.get(1)?,
                step: row.get(2)?,
                at: row.get(3)?,
                value: row.get(4)?,
                min: row.get(5)?,
                max: row.get(6)?,
            })
        };
        db.prepare_cached(sql)?.query_row((run, key), read).optional()
    }

    /// A series whose row was just made, still without a point.
    fn make(db: &Connection, run: i64, key: &str) -> rusqlite::Result<Self> {
        let sql = "INSERT INTO series (run, key, count, step, at, value) VALUES (?1, ?2, 0, 0, 0, 0)";
        db.prepare_cached(sql)?.execute((run, key))?;
        let (id, first) = (db.last_insert_rowid(), i64::MIN);
        Ok(Self { id, count: 0, step: first, at: first, value: 0, min: None, max: None })
    }

    /// Takes one more point in, and numbers it.
    fn count(&mut self, point: &mut Point) {
        point.number = self.count;
        self.count += 1;
        if point.value <= super::value::greatest() {
            self.min = Some(self.min.map_or(point.value, |least| least.min(point.value)));
            self.max = Some(self.max.map_or(point.value, |most| most.max(point.value)));
        }
        if point.moment() >= (self.step, self.at) {
            (self.step, self.at, self.value) = (point.step, point.at, point.value);
        }
    }

    fn save(&self, db: &Connection) -> rusqlite::Result<()> {
        let sql =
            "UPDATE series SET count = ?2, step = ?3, at = ?4, value = ?5, min = ?6, max = ?7 WHERE id = ?1";
        let row = (self.id, self.count, self.step, self.at, self.value, self.min, self.max);
        db.prepare_cached(sql)?.execute(row).map(drop)
    }
}

/// Adds points, in the order of logging, to a series of a run; how many of them are new.
pub(crate) fn add(
    operation: &'static str,
    db: &Connection,
    run: i64,
    key: &str,
    mut points: Vec<Point>,
) -> Result<u64> {
    if points.is_empty() {
        return Ok(0);
    }
    let found = Series::find(db, run, key).map_err(failed(operation))?;
    keep_new(operation, db, found.as_ref(), &mut points)?;
    if points.is_empty() {
        return Ok(0);
    }
    let new = points.len() as u64;
    let save = || {
        let mut series = match found {
            Some(series) => series,
            None => Series::make(db, run, key)?,
        };
        points.iter_mut().for_each(|point| series.count(point));
        series.save(db)?;
        points.sort_unstable_by_key(Point::place);
        store(db, series.id, &points)
    };
    save().map_err(failed(operation))?;
    Ok(new)
}

/// Removes the points that are there already, and all but the first of those that are the same.
fn keep_new(
    operation: &'static str,
    db: &Connection,
    series: Option<&Series>,
    points: &mut Vec<Point>,
) -> Result<()> {
    // The common case: a series that goes on. Nothing can be there already.
    let rising = points.windows(2).all(|pair| pair[0].moment() < pair[1].moment());
    let behind = |series: &Series| points.first().is_some_and(|p| p.moment() > (series.step, series.at));
    if rising && series.is_none_or(behind) {
        return Ok(());
    }
    let mut new: HashSet<_> = points.iter().map(Point::identity).collect();
    if let Some(series) = series {
        let mut moments: Vec<_> = points.iter().map(Point::moment).collect();
        moments.sort_unstable();
        moments.dedup();
        forget_packed(operation, db, series.id, &moments, &mut new)?;
        forget_rows(db, series.id, &moments, points, &mut new).map_err(failed(operation))?;
    }
    points.retain(|point| new.remove(&point.identity()));
    Ok(())
}

/// Takes out of `new` what is in a chunk. Only chunks that hold one of the moments are unpacked.
fn forget_packed(
    operation: &'static str,
    db: &Connection,
    series: i64,
    moments: &[(i64, i64)],
    new: &mut HashSet<(i64, i64, i64)>,
) -> Result<()> {
    let (Some(&first), Some(&last)) = (moments.first(), moments.last()) else { return Ok(()) };
    for chunk in chunks(operation, db, series, first, last)? {
        let start = moments.partition_point(|moment| *moment < chunk.first);
        if moments.get(start).is_some_and(|moment| *moment <= chunk.last) {
            for point in unpack(operation, db, chunk.id)? {
                new.remove(&point.identity());
            }
        }
    }
    Ok(())
}

/// Takes out of `new` what is a row.
fn forget_rows(
    db: &Connection,
    series: i64,
    moments: &[(i64, i64)],
    points: &[Point],
    new: &mut HashSet<(i64, i64, i64)>,
) -> rusqlite::Result<()> {
    let (Some(first), Some(last)) = (moments.first(), moments.last()) else { return Ok(()) };
    let any = "SELECT 1 FROM point WHERE series = ?1 AND (step, at) >= (?2, ?3) AND (step, at) <= (?4, ?5)";
    if !db.prepare_cached(any)?.exists((series, first.0, first.1, last.0, last.1))? {
        return Ok(());
    }
    let sql = "SELECT 1 FROM point WHERE series = ?1 AND step = ?2 AND at = ?3 AND value = ?4";
    let mut one = db.prepare_cached(sql)?;
    for point in points {
        if one.exists((series, point.step, point.at, point.value))? {
            new.remove(&point.identity());
        }
    }
    Ok(())
}

/// Writes points that are new and sorted.
fn store(db: &Connection, series: i64, points: &[Point]) -> rusqlite::Result<()> {
    if points.len() < PACK {
        let sql = "INSERT INTO point (series, step, at, value, number) VALUES (?1, ?2, ?3, ?4, ?5)";
        let mut insert = db.prepare_cached(sql)?;
        for point in points {
            insert.execute((series, point.step, point.at, point.value, point.number))?;
        }
        return Ok(());
    }
    // Chunks of one size: a small rest would be a chunk of its own for ever.
    let each = points.len().div_ceil(points.len().div_ceil(chunk::MAX));
    let sql = "INSERT INTO chunk (series, first_step, first_at, last_step, last_at, count, crc, points)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let mut insert = db.prepare_cached(sql)?;
    for part in points.chunks(each) {
        let (Some(first), Some(last)) = (part.first(), part.last()) else { continue };
        let bytes = chunk::encode(part);
        let (count, crc) = (i64::try_from(part.len()).unwrap_or(i64::MAX), crc32fast::hash(&bytes));
        insert.execute((series, first.step, first.at, last.step, last.at, count, crc, bytes))?;
    }
    Ok(())
}

/// Where a chunk lies.
struct Lies {
    id: i64,
    first: (i64, i64),
    last: (i64, i64),
}

/// The chunks that may have points from `first` to `last`, in the order in which they begin.
fn chunks(
    operation: &'static str,
    db: &Connection,
    series: i64,
    first: (i64, i64),
    last: (i64, i64),
) -> Result<Vec<Lies>> {
    let sql = "SELECT id, first_step, first_at, last_step, last_at FROM chunk
               WHERE series = ?1 AND (first_step, first_at) <= (?4, ?5) AND (last_step, last_at) >= (?2, ?3)
               ORDER BY first_step, first_at";
    let read = |row: &Row<'_>| {
        let (first, last) = ((row.get(1)?, row.get(2)?), (row.get(3)?, row.get(4)?));
        Ok(Lies { id: row.get(0)?, first, last })
    };
    let find = || -> rusqlite::Result<Vec<Lies>> {
        let mut statement = db.prepare_cached(sql)?;
        statement.query_map((series, first.0, first.1, last.0, last.1), read)?.collect()
    };
    find().map_err(failed(operation))
}

/// The points of a chunk.
pub(crate) fn unpack(operation: &'static str, db: &Connection, id: i64) -> Result<Vec<Point>> {
    let sql = "SELECT count, crc, points FROM chunk WHERE id = ?1";
    let find = || {
        let mut statement = db.prepare_cached(sql)?;
        statement.query_row([id], |row| {
            let (count, crc): (i64, u32) = (row.get(0)?, row.get(1)?);
            let bytes = row.get_ref(2)?.as_blob()?;
            let whole = crc32fast::hash(bytes) == crc;
            Ok(usize::try_from(count).ok().filter(|_| whole).and_then(|n| chunk::decode(bytes, n)))
        })
    };
    find().map_err(failed(operation))?.ok_or_else(|| {
        corrupt(operation, "chunk", "the checksum of packed metric points is wrong").with("id", id)
    })
}

/// The first `limit` points of a series after a place, up to a step.
pub(crate) fn history(
    operation: &'static str,
    db: &Connection,
    series: i64,
    after: Place,
    to_step: i64,
    limit: usize,
) -> Result<Vec<Point>> {
    let mut found = rows(db, series, after, to_step, limit).map_err(failed(operation))?;
    for chunk in chunks(operation, db, series, (after.0, after.1), (to_step, i64::MAX))? {
        let full = found.len() == limit;
        if full && found.last().is_some_and(|last| last.moment() < chunk.first) {
            break;
        }
        let wanted = |point: &Point| point.place() > after && point.step <= to_step;
        found.extend(unpack(operation, db, chunk.id)?.into_iter().filter(wanted));
        found.sort_by_key(Point::place);
        found.truncate(limit);
    }
    Ok(found)
}

fn rows(
    db: &Connection,
    series: i64,
    after: Place,
    to_step: i64,
    limit: usize,
) -> rusqlite::Result<Vec<Point>> {
    let sql = "SELECT step, at, value, number FROM point
               WHERE series = ?1 AND (step, at) >= (?2, ?3) AND step <= ?5
                 AND NOT (step = ?2 AND at = ?3 AND number <= ?4)
               ORDER BY step, at, number LIMIT ?6";
    let mut statement = db.prepare_cached(sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    statement.query_map((series, after.0, after.1, after.2, to_step, limit), Point::read)?.collect()
}

/// The points of a series that are kept as rows, from a number on.
pub(crate) fn rows_from(db: &Connection, series: i64, number: i64) -> rusqlite::Result<Vec<Point>> {
    let sql = "SELECT step, at, value, number FROM point WHERE series = ?1 AND number >= ?2";
    db.prepare_cached(sql)?.query_map((series, number), Point::read)?.collect()
}

/// The id of a series.
pub(crate) fn series(operation: &'static str, db: &Connection, run: i64, key: &str) -> Result<Option<i64>> {
    let sql = "SELECT id FROM series WHERE run = ?1 AND key = ?2";
    let find = || db.prepare_cached(sql)?.query_row((run, key), |row| row.get(0)).optional();
    find().map_err(failed(operation))
}
