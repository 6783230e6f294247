//! Lists of names in their order, each of which knows the one after it: a name that cannot be found any more is missed by the
//! one before, on whatever page of the list.

use rusqlite::Connection;
use rusqlite::types::Value;

use super::row::{self, Cells, Record, bound, damaged, number, text};
use crate::error::Result;

/// A row whose first column is `name`, in a list of all of its table.
pub(crate) trait Listed: Record {
    /// The name.
    fn name(&self) -> &str;

    /// The name after it.
    fn next(&self) -> Option<&str>;

    /// Says which name is after it.
    fn set_next(&mut self, operation: &'static str, next: Option<&str>) -> Result<()>;
}

/// Where a list begins, and how long it is.
#[derive(Debug, Default)]
pub(crate) struct List {
    table: &'static str,
    pub(crate) first: Option<String>,
    pub(crate) count: u64,
}

impl Record for List {
    const TABLE: &'static str = "name_list";
    const COLUMNS: &'static str = "list, first, count";
    const KEY: usize = 1;

    fn cells(&self) -> Result<Vec<Value>> {
        let first = self.first.as_ref().map_or(Value::Null, text);
        Ok(vec![text(self.table), first, number("LocalStore", self.count)?])
    }

    fn read(cells: &Cells<'_, '_>) -> Result<Self> {
        let first = cells.optional(1, |cells, at| cells.text(at).map(str::to_owned))?;
        Ok(Self { table: "", first, count: cells.number(2)? })
    }
}

impl List {
    /// The list of this kind of rows.
    pub(crate) fn of<R: Listed>(operation: &'static str, connection: &Connection) -> Result<Self> {
        let found = row::find::<Self>(operation, connection, "WHERE list = ?1", [R::TABLE])?;
        Ok(Self { table: R::TABLE, ..found.unwrap_or_default() })
    }
}

/// Takes a new name into the list. Its own row is for the caller to write.
pub(crate) fn add<R: Listed>(operation: &'static str, connection: &Connection, new: &mut R) -> Result<()> {
    let mut list = List::of::<R>(operation, connection)?;
    let tail = "WHERE name < ?1 ORDER BY name DESC LIMIT 1";
    let before: Option<R> = row::find(operation, connection, tail, [new.name()])?;
    let next = before.as_ref().map_or(list.first.as_deref(), R::next).map(str::to_owned);
    if next.as_deref().is_some_and(|next| next <= new.name()) {
        return Err(damaged(operation, R::TABLE, next.unwrap_or_default()));
    }
    new.set_next(operation, next.as_deref())?;
    match before {
        Some(mut before) => {
            before.set_next(operation, Some(new.name()))?;
            row::put(operation, connection, &before)?;
        }
        None => list.first = Some(new.name().to_owned()),
    }
    list.count += 1;
    row::put(operation, connection, &list)
}

/// At most `limit` names after `after`, in order.
pub(crate) fn page<R: Listed>(
    operation: &'static str,
    connection: &Connection,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<R>> {
    let mut expected = match after {
        None => List::of::<R>(operation, connection)?.first,
        Some(name) => {
            let before: Option<R> = row::find(operation, connection, "WHERE name = ?1", [name])?;
            let before = before.ok_or_else(|| damaged(operation, R::TABLE, name))?;
            before.next().map(str::to_owned)
        }
    };
    let params = (after.unwrap_or(""), bound(limit as u64));
    let rows: Vec<R> = row::list(operation, connection, "WHERE name > ?1 ORDER BY name LIMIT ?2", params)?;
    for found in &rows {
        if expected.as_deref() != Some(found.name()) {
            return Err(damaged(operation, R::TABLE, expected.as_deref().unwrap_or(found.name())));
        }
        expected = found.next().map(str::to_owned);
    }
    match expected {
        Some(missing) if rows.len() < limit => Err(damaged(operation, R::TABLE, missing)),
        _ => Ok(rows),
    }
}

/// All rows of the table, in no order; as many as there should be.
pub(crate) fn all<R: Listed>(operation: &'static str, connection: &Connection) -> Result<Vec<R>> {
    let rows: Vec<R> = row::list(operation, connection, "", [])?;
    let counted = List::of::<R>(operation, connection)?.count;
    if counted == rows.len() as u64 {
        return Ok(rows);
    }
    Err(damaged(operation, R::TABLE, "count").with("expected", counted).with("found", rows.len()))
}
