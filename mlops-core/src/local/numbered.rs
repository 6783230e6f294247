//! Journals as tables: what rollouts, loops and pipelines went through, entry by entry, each sealed and none missing.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row, Transaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::db::{corrupt, failed};
use super::seal::{self, open, seal_exactly};
use super::sql;
use super::verify::{FindingKind, Findings, gaps};
use crate::error::{Error, ErrorKind, Result};

/// An entry of a journal, which counts its entries 1, 2, 3, … without gaps.
pub(super) trait Numbered: Serialize + DeserializeOwned + PartialEq {
    /// The table, whose columns are [`OF`](Self::OF), `sequence`, `body` and `digest`; the first two are its key.
    const TABLE: &'static str;
    /// What a journal is of: the column with its name, and the word for it in errors.
    const OF: &'static str;

    /// Its number.
    fn sequence(&self) -> u64;
}

fn key(of: &str, sequence: u64) -> String {
    format!("{of}/{sequence}")
}

/// The entry in a row of number, body and digest.
fn entry<E: Numbered>(operation: &'static str, of: &str, row: &Row<'_>) -> Result<E> {
    let sequence: i64 = row.get(0).map_err(failed(operation))?;
    let sequence = u64::try_from(sequence).map_err(|e| corrupt(operation, E::TABLE, e))?;
    let entry: E = open(operation, E::TABLE, &key(of, sequence), row, 1)?;
    if entry.sequence() == sequence {
        return Ok(entry);
    }
    let error = Error::new(ErrorKind::Corrupt, operation, "an entry of the journal has another number");
    Err(error.with(E::OF, of).with("expected", sequence).with("found", entry.sequence()))
}

/// The names of all journals that have entries, in order. O(journals · log(entries)).
pub(super) fn names<E: Numbered>(operation: &'static str, connection: &Connection) -> Result<Vec<String>> {
    let (table, of) = (E::TABLE, E::OF);
    let query = format!("SELECT {of} FROM {table} WHERE {of} > ?1 ORDER BY {of} LIMIT 1");
    let mut names: Vec<String> = Vec::new();
    loop {
        let after = names.last().map_or("", String::as_str);
        let next =
            sql::first(operation, connection, &query, [after], |row| row.get(0).map_err(failed(operation)))?;
        match next {
            Some(name) => names.push(name),
            None => return Ok(names),
        }
    }
}

/// The last entry of a journal.
pub(super) fn last<E: Numbered>(
    operation: &'static str,
    connection: &Connection,
    of: &str,
) -> Result<Option<E>> {
    let (table, column) = (E::TABLE, E::OF);
    let query = format!(
        "SELECT sequence, body, digest FROM {table} WHERE {column} = ?1 ORDER BY sequence DESC LIMIT 1"
    );
    sql::first(operation, connection, &query, [of], |row| entry(operation, of, row))
}

/// All entries of a journal, each checked, without gaps.
pub(super) fn entries<E: Numbered>(
    operation: &'static str,
    connection: &Connection,
    of: &str,
) -> Result<Vec<E>> {
    entries_after(operation, connection, of, 0, usize::MAX)
}

/// At most `limit` entries of a journal after a number, each checked, without gaps.
pub(super) fn entries_after<E: Numbered>(
    operation: &'static str,
    connection: &Connection,
    of: &str,
    after: u64,
    limit: usize,
) -> Result<Vec<E>> {
    let (table, column) = (E::TABLE, E::OF);
    let query = format!(
        "SELECT sequence, body, digest FROM {table} WHERE {column} = ?1 AND sequence > ?2
        ORDER BY sequence LIMIT ?3"
    );
    let from = i64::try_from(after).unwrap_or(i64::MAX);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let read = |row: &Row<'_>| entry(operation, of, row);
    let entries: Vec<E> = sql::all(operation, connection, &query, (of, from, limit), read)?;
    let mut numbered = entries.iter().zip(after.saturating_add(1)..);
    match numbered.find(|(entry, expected)| entry.sequence() != *expected) {
        None => Ok(entries),
        Some((entry, expected)) => Err(Error::new(ErrorKind::Corrupt, operation, "the journal has a gap")
            .with(E::OF, of)
            .with("expected", expected)
            .with("found", entry.sequence())),
    }
}

/// Appends the next entry; the last one again changes nothing.
pub(super) fn append<E: Numbered>(
    operation: &'static str,
    tx: &Transaction<'_>,
    of: &str,
    new: &E,
) -> Result<()> {
    let last: Option<E> = last(operation, tx, of)?;
    if last.as_ref() == Some(new) {
        return Ok(());
    }
    add(operation, tx, of, last.as_ref(), new)
}

/// Adds the entry after the last.
pub(super) fn add<E: Numbered>(
    operation: &'static str,
    tx: &Transaction<'_>,
    of: &str,
    last: Option<&E>,
    new: &E,
) -> Result<()> {
    let (table, column, number) = (E::TABLE, E::OF, new.sequence());
    let expected = last.map_or(0, E::sequence) + 1;
    if number != expected {
        let message = format!("the journal is at another entry: is the {column} driven twice?");
        return Err(Error::conflict(operation, message, expected, number));
    }
    let row = seal_exactly(operation, table, &key(of, number), "entry", new)?;
    let insert = format!("INSERT INTO {table} ({column}, sequence, body, digest) VALUES (?1, ?2, ?3, ?4)");
    let sequence = sql::signed(operation, "the number of an entry", number)?;
    sql::execute(operation, tx, &insert, (of, sequence, row.body, row.digest)).map(drop)
}

/// Checks every entry, and that none is missing; what there is of each journal, in order.
pub(super) fn check<E: Numbered>(
    connection: &Connection,
    findings: &mut Findings,
) -> Result<BTreeMap<String, Vec<E>>> {
    let (table, of) = (E::TABLE, E::OF);
    let query = format!("SELECT {of} || '/' || sequence, body, digest FROM {table} ORDER BY {of}, sequence");
    let mut journals: BTreeMap<String, Vec<E>> = BTreeMap::new();
    for (key, entry) in seal::check::<E>(connection, findings, table, &query)? {
        let name = key.rsplit_once('/').map_or(key.as_str(), |(name, _)| name);
        journals.entry(name.to_owned()).or_default().push(entry);
    }
    for (name, entries) in &journals {
        let found = entries.iter().map(E::sequence);
        let last = found.clone().max().unwrap_or_default();
        for gap in gaps(last, found) {
            findings.add(FindingKind::Missing, format!("{table} {name}/{gap}"), "the entry is gone");
        }
    }
    Ok(journals)
}
