//! What is equal in two parts: rows, ids, groups.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use super::report::{Leak, LeakKind, at, count};
use super::{OP, SAMPLE};
use crate::data::cell::{Cell, cell, shown};
use crate::data::{Column, Part};
use crate::error::{Error, Result, quote};
use crate::hash::Digest;

/// A part and its rows.
pub(super) type Rows<'p> = (Part, &'p [usize]);

/// What two parts share.
#[derive(Debug)]
pub(super) struct Shared {
    /// How many different keys.
    pub(super) keys: usize,
    /// The earlier part and how many of its rows are concerned.
    pub(super) left: (Part, usize),
    /// The later one.
    pub(super) right: (Part, usize),
    /// How many rows the later part has.
    pub(super) of: usize,
    /// The first pairs.
    pub(super) rows: Vec<(usize, usize)>,
}

impl Shared {
    pub(super) fn leak(self, kind: LeakKind, column: Option<&str>, message: String) -> Leak {
        Leak {
            kind,
            severity: kind.severity(),
            column: column.map(str::to_owned),
            from: self.left,
            into: self.right,
            share: if self.of == 0 { 0.0 } else { self.right.1 as f64 / self.of as f64 },
            keys: self.keys,
            rows: self.rows,
            score: None,
            message,
        }
    }
}

/// Every pair of parts, the earlier one first.
pub(super) fn pairs<'p>(parts: &[Rows<'p>]) -> Vec<(Rows<'p>, Rows<'p>)> {
    (0..parts.len()).flat_map(|b| (0..b).map(move |a| (a, b))).map(|(a, b)| (parts[a], parts[b])).collect()
}

pub(super) fn duplicates(parts: &[Rows<'_>], digests: &[Digest]) -> Vec<Leak> {
    let leak = |shared: Shared| {
        let Shared { keys, left, right, rows, .. } = &shared;
        let (a, b) = (count(left.1, "row"), count(right.1, "row"));
        let distinct = count(*keys, "distinct row");
        let place = at(left.0, right.0, rows.first());
        let message = format!("{distinct}: {a} of {} equal {b} of {}; first {place}", left.0, right.0);
        shared.leak(LeakKind::DuplicateRow, None, message)
    };
    pairs(parts).into_iter().filter_map(|(a, b)| shared_keys(digests, a, b)).map(leak).collect()
}

pub(super) fn shared(parts: &[Rows<'_>], kind: LeakKind, column: &Column<'_>) -> Result<Vec<Leak>> {
    let keys = (0..column.len()).map(|row| known(column, row)).collect::<Result<Vec<Cell<'_>>>>()?;
    let noun = if kind == LeakKind::SharedId { "id" } else { "group" };
    let leak = |shared: Shared| {
        let Shared { keys, left, right, rows, .. } = &shared;
        let (a, b) = (count(left.1, "row"), count(right.1, "row"));
        let verb = if *keys == 1 { "is" } else { "are" };
        let value = rows.first().map(|(row, _)| shown(column, *row)).unwrap_or_default();
        let message = format!(
            "column `{}`: {} {verb} in both {} ({a}) and {} ({b}); first {value} {}",
            quote(column.name()),
            count(*keys, noun),
            left.0,
            right.0,
            at(left.0, right.0, rows.first())
        );
        shared.leak(kind, Some(column.name()), message)
    };
    Ok(pairs(parts).into_iter().filter_map(|(a, b)| shared_keys(&keys, a, b)).map(leak).collect())
}

fn shared_keys<K: Eq + Hash>(keys: &[K], left: Rows<'_>, right: Rows<'_>) -> Option<Shared> {
    let mut first_left = HashMap::new();
    for &row in left.1 {
        first_left.entry(&keys[row]).or_insert(row);
    }
    let mut found = HashSet::new();
    let (mut right_rows, mut rows) = (0, Vec::new());
    for &row in right.1 {
        if let Some(&other) = first_left.get(&keys[row]) {
            right_rows += 1;
            if found.insert(&keys[row]) && rows.len() < SAMPLE {
                rows.push((other, row));
            }
        }
    }
    let left_rows = left.1.iter().filter(|&&row| found.contains(&keys[row])).count();
    let (left, right, of) = ((left.0, left_rows), (right.0, right_rows), right.1.len());
    (!found.is_empty()).then_some(Shared { keys: found.len(), left, right, of, rows })
}

/// Rows of two parts that are equal in their features and not in their labels; a missing label is no label.
pub(super) fn conflicts(parts: &[Rows<'_>], digests: &[Digest], labels: &Column<'_>) -> Vec<Leak> {
    let leak = |shared: Shared| {
        let Shared { keys, left, right, rows, .. } = &shared;
        let distinct = count(*keys, "distinct row");
        let values = rows.first().map(|(a, b)| format!(" ({} and {})", shown(labels, *a), shown(labels, *b)));
        let message = format!(
            "column `{}`: {distinct} of equal features with different labels: {} of {} and {} of {}; first {}{}",
            quote(labels.name()),
            count(left.1, "row"),
            left.0,
            count(right.1, "row"),
            right.0,
            at(left.0, right.0, rows.first()),
            values.unwrap_or_default()
        );
        shared.leak(LeakKind::ConflictingLabel, Some(labels.name()), message)
    };
    pairs(parts).into_iter().filter_map(|(a, b)| conflicting(digests, labels, a, b)).map(leak).collect()
}

fn conflicting(digests: &[Digest], labels: &Column<'_>, left: Rows<'_>, right: Rows<'_>) -> Option<Shared> {
    let label = |row: usize| cell(labels, row);
    let labelled = |row: &usize| label(*row) != Cell::Missing;
    // One row, and one whose label is another, say it all.
    let of_side = |rows: &[usize]| {
        let mut seen: HashMap<Digest, (usize, Option<usize>)> = HashMap::new();
        for &row in rows.iter().filter(|row| labelled(row)) {
            let entry = seen.entry(digests[row]).or_insert((row, None));
            if entry.1.is_none() && label(row) != label(entry.0) {
                entry.1 = Some(row);
            }
        }
        seen
    };
    let (lefts, rights) = (of_side(left.1), of_side(right.1));
    let other = |side: &HashMap<Digest, (usize, Option<usize>)>, row: usize| {
        let (one, two) = side.get(&digests[row])?;
        if label(*one) != label(row) { Some(*one) } else { *two }
    };
    let (mut found, mut right_rows, mut rows) = (HashSet::new(), 0, Vec::new());
    for &row in right.1.iter().filter(|row| labelled(row)) {
        let Some(partner) = other(&lefts, row) else { continue };
        right_rows += 1;
        if found.insert(digests[row]) && rows.len() < SAMPLE {
            rows.push((partner, row));
        }
    }
    let left_rows = left.1.iter().filter(|row| labelled(row) && other(&rights, **row).is_some()).count();
    let (left, right, of) = ((left.0, left_rows), (right.0, right_rows), right.1.len());
    (!found.is_empty()).then_some(Shared { keys: found.len(), left, right, of, rows })
}

/// A value that is neither missing nor NaN.
pub(super) fn known<'c>(column: &'c Column<'_>, row: usize) -> Result<Cell<'c>> {
    let what = match cell(column, row) {
        Cell::Missing => "is missing",
        Cell::Nan => "is NaN",
        known => return Ok(known),
    };
    let message = format!("column `{}`, row {}: the value {what}", quote(column.name()), row + 1);
    Err(Error::invalid(OP, "column", message).with("column", column.name()).with("row", row + 1))
}
