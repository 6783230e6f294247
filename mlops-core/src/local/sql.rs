//! Statements, prepared once for each connection, with errors of ours.

use rusqlite::types::FromSql;
use rusqlite::{Connection, Params, Row};

use super::db::failed;
use crate::error::{Error, Result};
use crate::page::PageRequest;

/// Runs a statement; how many rows it changed.
pub(super) fn execute(
    operation: &'static str,
    connection: &Connection,
    sql: &str,
    params: impl Params,
) -> Result<usize> {
    let run = || connection.prepare_cached(sql)?.execute(params);
    run().map_err(failed(operation))
}

/// The first row that a query finds.
pub(super) fn first<T>(
    operation: &'static str,
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> Result<T>,
) -> Result<Option<T>> {
    let mut statement = connection.prepare_cached(sql).map_err(failed(operation))?;
    let mut rows = statement.query(params).map_err(failed(operation))?;
    rows.next().map_err(failed(operation))?.map(read).transpose()
}

/// Every row that a query finds.
pub(super) fn all<T>(
    operation: &'static str,
    connection: &Connection,
    sql: &str,
    params: impl Params,
    mut read: impl FnMut(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut statement = connection.prepare_cached(sql).map_err(failed(operation))?;
    let mut rows = statement.query(params).map_err(failed(operation))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(failed(operation))? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// A number as SQLite keeps it.
pub(super) fn signed(operation: &'static str, what: &'static str, number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| Error::limit(operation, what, i64::MAX, number))
}

/// How many rows tell whether there is a page after this one.
pub(super) fn one_more(page: &PageRequest) -> i64 {
    i64::try_from(page.limit).unwrap_or(i64::MAX).saturating_add(1)
}

/// The first two columns of a row.
pub(super) fn head<A, B>(operation: &'static str, row: &Row<'_>) -> Result<(A, B)>
where
    A: FromSql,
    B: FromSql,
{
    let read = || Ok((row.get(0)?, row.get(1)?));
    read().map_err(failed(operation))
}
