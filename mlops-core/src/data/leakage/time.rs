//! Parts that overlap in time.

use super::report::{Leak, LeakKind, count};
use super::shared::{Rows, Shared, known, pairs};
use super::{OP, SAMPLE};
use crate::data::cell::shown;
use crate::data::{Column, Values};
use crate::error::{Error, Result, quote};

pub(super) fn overlaps(parts: &[Rows<'_>], column: &Column<'_>) -> Result<Vec<Leak>> {
    for row in 0..column.len() {
        known(column, row)?;
    }
    match column.values() {
        Values::I64(times) | Values::Time(times) => Ok(of_pairs(parts, column, times)),
        Values::F64(_) | Values::F32(_) => Ok(of_pairs(parts, column, &column.to_f64()?)),
        _ => {
            let message = "must hold numbers or times, to be in an order";
            Err(Error::invalid(OP, "time", message).with("column", column.name()))
        }
    }
}

fn of_pairs<T: Copy + PartialOrd>(parts: &[Rows<'_>], column: &Column<'_>, times: &[T]) -> Vec<Leak> {
    pairs(parts).into_iter().filter_map(|(earlier, later)| overlap(column, times, earlier, later)).collect()
}

/// Times are not NaN here, so they have a latest.
fn overlap<T: Copy + PartialOrd>(
    column: &Column<'_>,
    times: &[T],
    earlier: Rows<'_>,
    later: Rows<'_>,
) -> Option<Leak> {
    let latest = earlier.1.iter().copied().reduce(|a, b| if times[b] > times[a] { b } else { a })?;
    let first = later.1.iter().copied().reduce(|a, b| if times[b] < times[a] { b } else { a })?;
    let early: Vec<usize> = later.1.iter().copied().filter(|&row| times[row] <= times[latest]).collect();
    let late = earlier.1.iter().filter(|&&row| times[row] >= times[first]).count();
    if early.is_empty() {
        return None;
    }
    let verb = if early.len() == 1 { "is" } else { "are" };
    let message = format!(
        "column `{}`: {} of {} {verb} not later than the last of {} ({}, row {}); first row {} ({})",
        quote(column.name()),
        count(early.len(), "row"),
        later.0,
        earlier.0,
        shown(column, latest),
        latest + 1,
        early[0] + 1,
        shown(column, early[0])
    );
    let rows = early.iter().take(SAMPLE).map(|&row| (latest, row)).collect();
    let (left, right, of) = ((earlier.0, late), (later.0, early.len()), later.1.len());
    let shared = Shared { keys: early.len(), left, right, of, rows };
    Some(shared.leak(LeakKind::TimeOverlap, Some(column.name()), message))
}
