//! Rows that decisions rest on: a body in JSON, and a digest of the table, the row's key and the body.
//!
//! SQLite has no checksums of its own. A bit that flips in such a row is found when the row is read; so is a row that was
//! moved to another key or another table. Where a decision is a document that is read as a whole, this is less to write than a
//! [`Record`](super::row::Record), which has a column for each part.

use rusqlite::{Connection, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::db::failed;
use super::row::damaged;
use super::sql;
use super::verify::{FindingKind, Findings};
use crate::error::{Error, ErrorKind, Result};
use crate::hash::{Digest, Hasher};

/// A row as it is written.
pub(super) struct Sealed {
    pub(super) body: String,
    pub(super) digest: [u8; 32],
}

/// Seals the body of the row `key` of `table`.
pub(super) fn seal<T: Serialize>(
    operation: &'static str,
    table: &'static str,
    key: &str,
    value: &T,
) -> Result<Sealed> {
    let body = serde_json::to_string(value)
        .map_err(|e| Error::new(ErrorKind::Internal, operation, "a row cannot be written").with_source(e))?;
    let digest = *digest(table, key, &body).as_bytes();
    Ok(Sealed { body, digest })
}

/// Seals what reads back as what it was, and refuses the rest as the argument it is: JSON has no NaN, for one.
pub(super) fn seal_exactly<T: Serialize + DeserializeOwned + PartialEq>(
    operation: &'static str,
    table: &'static str,
    key: &str,
    argument: &str,
    value: &T,
) -> Result<Sealed> {
    let row = seal(operation, table, key, value)?;
    if serde_json::from_str::<T>(&row.body).is_ok_and(|kept| kept == *value) {
        return Ok(row);
    }
    Err(Error::invalid(operation, argument, "cannot be kept exactly: it holds a number that is none"))
}

/// Opens the row `key` of `table`, whose body and digest are the columns `at` and `at + 1`.
pub(super) fn open<T: DeserializeOwned>(
    operation: &'static str,
    table: &'static str,
    key: &str,
    row: &Row<'_>,
    at: usize,
) -> Result<T> {
    let wrong = || damaged(operation, table, key);
    let columns = || Ok((row.get::<_, String>(at)?, row.get::<_, Vec<u8>>(at + 1)?));
    let (body, found) = columns().map_err(|e: rusqlite::Error| wrong().with_source(e))?;
    if found != digest(table, key, &body).as_bytes() {
        return Err(wrong());
    }
    serde_json::from_str(&body).map_err(|e| wrong().with_source(e))
}

/// Opens every row of a table; those that are not what was written are findings. The query gives key, body and digest.
pub(super) fn check<T: DeserializeOwned>(
    connection: &Connection,
    findings: &mut Findings,
    table: &'static str,
    query: &str,
) -> Result<Vec<(String, T)>> {
    const OP: &str = "LocalStore::verify";
    let read = sql::all(OP, connection, query, [], |row| {
        let key: String = row.get(0).map_err(failed(OP))?;
        let opened = open(OP, table, &key, row, 1);
        Ok(findings.row(table, opened)?.map(|value| (key, value)))
    });
    match read {
        Ok(rows) => Ok(rows.into_iter().flatten().collect()),
        Err(e) if e.kind() == ErrorKind::Corrupt => {
            findings.add(FindingKind::Database, table, e.to_string());
            Ok(Vec::new())
        }
        Err(e) => Err(e),
    }
}

fn digest(table: &str, key: &str, body: &str) -> Digest {
    Hasher::new("mlops.local.row/v1").field(table).field(key).field(body).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(table: &'static str, key: &str, body: &str, digest: &[u8]) -> Result<Vec<u32>> {
        let connection = Connection::open_in_memory().unwrap();
        let mut statement = connection.prepare("SELECT ?1, ?2").unwrap();
        let mut rows = statement.query((body, digest)).unwrap();
        open("t", table, key, rows.next().unwrap().unwrap(), 0)
    }

    #[test]
    fn a_row_is_read_as_it_was_written_or_not_at_all() {
        let Sealed { body, digest } = seal("t", "endpoint", "a/b", &vec![1_u32, 2]).unwrap();
        assert_eq!(read("endpoint", "a/b", &body, &digest).unwrap(), [1, 2]);
        let mut flipped = digest;
        flipped[31] ^= 1;
        for (table, key, body, digest) in [
            ("endpoint", "a/b", "[1,3]", &digest[..]),
            ("endpoint", "a/c", &body, &digest),
            ("deployment", "a/b", &body, &digest),
            ("endpoint", "a/b", &body, &flipped),
            ("endpoint", "a/b", &body, &digest[..31]),
            ("endpoint", "a/b", &body, &[]),
        ] {
            let error = read(table, key, body, digest).unwrap_err();
            let row = format!("{table} {key}");
            assert_eq!((error.kind(), error.context("row")), (ErrorKind::Corrupt, Some(row.as_str())));
        }
    }
}
