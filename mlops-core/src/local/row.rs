//! Rows that notice a change from outside: each carries a digest of its columns, which is checked before anything of it is
//! believed.
//!
//! A digest finds a changed row. A row that is not found any more, because the tree above it was damaged, is found by its
//! neighbours: versions and sequence numbers are contiguous, names know the next one (`names.rs`), and what has neither is
//! counted by its parent. Somebody who writes rows with the right digests is not found; that is what the audit log is for.

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Params, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::db::failed;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::{Digest, Hasher};
use crate::id::Version;
use crate::time::{Timestamp, truncate};

/// A type whose values are rows of one table.
pub(crate) trait Record: Sized {
    /// The table, whose last column is `digest`.
    const TABLE: &'static str;
    /// The other columns, the key first.
    const COLUMNS: &'static str;
    /// How many of them are the key.
    const KEY: usize;

    /// The values, in the order of the columns.
    fn cells(&self) -> Result<Vec<Value>>;

    /// Reads a row whose digest was right.
    fn read(cells: &Cells<'_, '_>) -> Result<Self>;
}

/// The columns of one row, by place.
pub(crate) struct Cells<'a, 'r> {
    operation: &'static str,
    table: &'static str,
    key: usize,
    row: &'a Row<'r>,
}

impl Cells<'_, '_> {
    pub(crate) fn text(&self, at: usize) -> Result<&str> {
        let cell = self.row.get_ref(at).map_err(failed(self.operation))?;
        cell.as_str().map_err(|e| self.damaged().with_source(e))
    }

    pub(crate) fn number(&self, at: usize) -> Result<u64> {
        self.integer(at).and_then(|n| u64::try_from(n).map_err(|e| self.damaged().with_source(e)))
    }

    pub(crate) fn flag(&self, at: usize) -> Result<bool> {
        Ok(self.integer(at)? != 0)
    }

    pub(crate) fn time(&self, at: usize) -> Result<Timestamp> {
        chrono::DateTime::from_timestamp_micros(self.integer(at)?).ok_or_else(|| self.damaged())
    }

    pub(crate) fn digest(&self, at: usize) -> Result<Digest> {
        let cell = self.row.get_ref(at).map_err(failed(self.operation))?;
        let bytes = cell.as_blob().ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        bytes.map(Digest::from_bytes).ok_or_else(|| self.damaged())
    }

    pub(crate) fn version(&self, at: usize) -> Result<Version> {
        Version::new(self.number(at)?).ok_or_else(|| self.damaged())
    }

    /// `None` for NULL, else what `read` says.
    pub(crate) fn optional<T>(
        &self,
        at: usize,
        read: impl FnOnce(&Self, usize) -> Result<T>,
    ) -> Result<Option<T>> {
        match self.row.get_ref(at).map_err(failed(self.operation))? {
            ValueRef::Null => Ok(None),
            _ => read(self, at).map(Some),
        }
    }

    pub(crate) fn parse<T>(&self, at: usize) -> Result<T>
    where
        T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
    {
        self.text(at)?.parse().map_err(|e| self.damaged().with_source(e))
    }

    pub(crate) fn doc<T: DeserializeOwned>(&self, at: usize) -> Result<T> {
        serde_json::from_str(self.text(at)?).map_err(|e| self.damaged().with_source(e))
    }

    /// What is said of a row that does not hold what it should.
    pub(crate) fn damaged(&self) -> Error {
        damaged(self.operation, self.table, self.shown_key())
    }

    fn integer(&self, at: usize) -> Result<i64> {
        let cell = self.row.get_ref(at).map_err(failed(self.operation))?;
        cell.as_i64().map_err(|e| self.damaged().with_source(e))
    }

    fn shown_key(&self) -> String {
        let shown = |at: usize| match self.row.get_ref(at) {
            Ok(ValueRef::Integer(n)) => n.to_string(),
            Ok(ValueRef::Text(text)) => String::from_utf8_lossy(text).into_owned(),
            _ => "?".to_owned(),
        };
        (0..self.key).map(shown).collect::<Vec<_>>().join(" ")
    }

    /// Compares the columns with the digest behind them.
    fn verify(&self) -> Result<()> {
        let columns = self.row.as_ref().column_count().saturating_sub(1);
        let mut hasher = Hasher::new("mlops.row/v1").field(self.table);
        for at in 0..columns {
            push(&mut hasher, self.row.get_ref(at).map_err(failed(self.operation))?);
        }
        match self.digest(columns) {
            Ok(found) if found == hasher.finish() => Ok(()),
            Ok(_) => Err(self.damaged()),
            Err(e) => Err(e),
        }
    }
}

/// A row that does not hold what it should, or is not there and should be.
pub(crate) fn damaged(operation: &'static str, table: &'static str, key: impl std::fmt::Display) -> Error {
    let message = "a row of the database is damaged or missing";
    Error::new(ErrorKind::Corrupt, operation, message).with("row", format_args!("{table} {key}"))
}

/// A digest that differs for values that SQLite tells apart.
fn push(hasher: &mut Hasher, cell: ValueRef<'_>) {
    let (kind, bytes): (u8, &[u8]) = match cell {
        ValueRef::Null => (0, &[]),
        ValueRef::Integer(n) => return hasher.push(&[&[1], &n.to_le_bytes()[..]].concat()),
        ValueRef::Real(x) => return hasher.push(&[&[2], &x.to_le_bytes()[..]].concat()),
        ValueRef::Text(text) => (3, text),
        ValueRef::Blob(bytes) => (4, bytes),
    };
    hasher.push(&[kind]);
    hasher.push(bytes);
}

/// Adds a row that is not there yet.
pub(crate) fn insert<R: Record>(operation: &'static str, connection: &Connection, record: &R) -> Result<()> {
    write(operation, connection, "INSERT", record).map_err(|e| match e.kind() {
        // Whoever adds a row has looked that it is not there: something hid it.
        ErrorKind::Internal => damaged(operation, R::TABLE, "was hidden").with_source(e),
        _ => e,
    })
}

/// Adds a row, or replaces the one with the same key.
pub(crate) fn put<R: Record>(operation: &'static str, connection: &Connection, record: &R) -> Result<()> {
    write(operation, connection, "INSERT OR REPLACE", record)
}

fn write<R: Record>(operation: &'static str, connection: &Connection, verb: &str, record: &R) -> Result<()> {
    let mut cells = record.cells()?;
    let mut hasher = Hasher::new("mlops.row/v1").field(R::TABLE);
    cells.iter().for_each(|cell| push(&mut hasher, cell.into()));
    cells.push(Value::Blob(hasher.finish().as_bytes().to_vec()));
    let places = vec!["?"; cells.len()].join(", ");
    let sql = format!("{verb} INTO {} ({}, digest) VALUES ({places})", R::TABLE, R::COLUMNS);
    let mut statement = connection.prepare_cached(&sql).map_err(failed(operation))?;
    statement.execute(rusqlite::params_from_iter(cells)).map(drop).map_err(failed(operation))
}

/// The first row that `tail` (everything after FROM and the table) selects.
pub(crate) fn find<R: Record>(
    operation: &'static str,
    connection: &Connection,
    tail: &str,
    params: impl Params,
) -> Result<Option<R>> {
    let mut statement = connection.prepare_cached(&select::<R>(tail)).map_err(failed(operation))?;
    let found = statement.query_row(params, |row| Ok(read(operation, row))).optional();
    found.map_err(failed(operation))?.transpose()
}

/// All rows that `tail` selects.
pub(crate) fn list<R: Record>(
    operation: &'static str,
    connection: &Connection,
    tail: &str,
    params: impl Params,
) -> Result<Vec<R>> {
    let mut all = Vec::new();
    each(operation, connection, tail, params, |record| {
        all.push(record?);
        Ok(())
    })?;
    Ok(all)
}

/// Hands out the rows that `tail` selects one by one, those that are damaged as errors.
pub(crate) fn each<R: Record>(
    operation: &'static str,
    connection: &Connection,
    tail: &str,
    params: impl Params,
    mut take: impl FnMut(Result<R>) -> Result<()>,
) -> Result<()> {
    let mut statement = connection.prepare_cached(&select::<R>(tail)).map_err(failed(operation))?;
    let mut rows = statement.query(params).map_err(failed(operation))?;
    while let Some(row) = rows.next().map_err(failed(operation))? {
        take(read(operation, row))?;
    }
    Ok(())
}

fn select<R: Record>(tail: &str) -> String {
    format!("SELECT {}, digest FROM {} {tail}", R::COLUMNS, R::TABLE)
}

fn read<R: Record>(operation: &'static str, row: &Row<'_>) -> Result<R> {
    let cells = Cells { operation, table: R::TABLE, key: R::KEY, row };
    cells.verify()?;
    R::read(&cells)
}

/// A document as it is kept: the JSON of a type, whose fields have one order.
///
/// Not RFC 8785, which has no sign for zero and no integers beyond 2⁵³: what was said is kept to the bit.
pub(crate) fn doc(operation: &'static str, value: &impl Serialize) -> Result<Value> {
    json(operation, value).map(Value::Text)
}

fn json(operation: &'static str, value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|e| Error::new(ErrorKind::Internal, operation, "a row cannot be written").with_source(e))
}

/// The digest of what a call asked for, to know it again.
pub(crate) fn request(operation: &'static str, asked: &impl Serialize) -> Result<Digest> {
    Ok(Hasher::new("mlops.call/v1").field(operation).field(json(operation, asked)?).finish())
}

pub(crate) fn text(value: impl std::fmt::Display) -> Value {
    Value::Text(value.to_string())
}

pub(crate) fn bytes(digest: &Digest) -> Value {
    Value::Blob(digest.as_bytes().to_vec())
}

/// As an integer of SQLite, which has a sign.
pub(crate) fn number(operation: &'static str, n: u64) -> Result<Value> {
    let too_many = |_| Error::limit(operation, "a number", i64::MAX, n);
    i64::try_from(n).map(Value::Integer).map_err(too_many)
}

pub(crate) fn time(at: Timestamp) -> Value {
    Value::Integer(truncate(at).timestamp_micros())
}

pub(crate) fn version(version: Option<Version>) -> Value {
    let number = version.and_then(|version| i64::try_from(version.get()).ok());
    number.map_or(Value::Null, Value::Integer)
}

/// A number for a query; beyond what SQLite has, its greatest.
pub(crate) fn bound(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// How many there are of something that is numbered from 1 without gaps.
#[derive(Debug)]
pub(crate) struct Tally {
    name: &'static str,
    pub(crate) value: u64,
}

impl Record for Tally {
    const TABLE: &'static str = "tally";
    const COLUMNS: &'static str = "name, value";
    const KEY: usize = 1;

    fn cells(&self) -> Result<Vec<Value>> {
        Ok(vec![text(self.name), number("Tally", self.value)?])
    }

    fn read(cells: &Cells<'_, '_>) -> Result<Self> {
        Ok(Self { name: "", value: cells.number(1)? })
    }
}

impl Tally {
    /// The count under `name`; 0 when nothing was counted yet.
    pub(crate) fn of(operation: &'static str, connection: &Connection, name: &'static str) -> Result<u64> {
        let found = find::<Self>(operation, connection, "WHERE name = ?1", [name])?;
        Ok(found.map_or(0, |tally| tally.value))
    }

    /// Counts one more, and says how many that makes.
    pub(crate) fn next(operation: &'static str, connection: &Connection, name: &'static str) -> Result<u64> {
        let value = Self::of(operation, connection, name)?.saturating_add(1);
        put(operation, connection, &Self { name, value })?;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tallies() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("schema/row.sql")).unwrap();
        for expected in 1..=3 {
            assert_eq!(Tally::next("t", &connection, "x").unwrap(), expected);
        }
        connection
    }

    #[test]
    fn a_row_that_was_changed_is_named() {
        let connection = tallies();
        for change in [
            "UPDATE tally SET value = 4",
            "UPDATE tally SET name = 'y'",
            "UPDATE tally SET digest = zeroblob(32)",
            "UPDATE tally SET digest = x'00'",
        ] {
            connection.execute_batch("SAVEPOINT s").unwrap();
            connection.execute_batch(change).unwrap();
            let error = list::<Tally>("t", &connection, "", []).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{change}");
            assert!(error.context("row").unwrap().starts_with("tally "), "{error}");
            connection.execute_batch("ROLLBACK TO s; RELEASE s").unwrap();
        }
        assert_eq!(Tally::of("t", &connection, "x").unwrap(), 3);
    }

    #[test]
    fn values_of_different_types_have_different_digests() {
        let digest = |cells: &[Value]| {
            let mut hasher = Hasher::new("t");
            cells.iter().for_each(|cell| push(&mut hasher, cell.into()));
            hasher.finish()
        };
        let cells = [Value::Null, Value::Integer(0), Value::Real(0.0), text(""), Value::Blob(Vec::new())];
        let mut all: Vec<Digest> = cells.iter().map(|cell| digest(std::slice::from_ref(cell))).collect();
        all.extend([digest(&[]), digest(&[text("a"), text("b")]), digest(&[text("ab"), text("")])]);
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
