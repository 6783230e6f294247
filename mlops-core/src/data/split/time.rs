//! Training first, the test last, by the values of a column.

use std::cmp::Ordering;

use super::holdout::sizes;
use super::{OP, Part};
use crate::data::moment::bad;
use crate::data::{Column, Span, Values};
use crate::error::{Error, Result};

pub(super) fn by_time(column: &Column<'_>, parts: &[(Part, f64)], gap: Span) -> Result<Vec<Option<usize>>> {
    if let Some(row) = (0..column.len()).find(|&row| !column.is_valid(row)) {
        return Err(bad(OP, "column", column, row, "is missing"));
    }
    match column.values() {
        Values::I64(times) | Values::Time(times) => {
            let gap = gap.along(OP, "gap", column)?;
            in_order(times, parts, i64::cmp, |early, late| i128::from(early) + gap < i128::from(late))
        }
        Values::F64(_) | Values::F32(_) => {
            let gap = gap.along(OP, "gap", column)? as f64;
            let times = column.to_f64()?;
            if let Some(row) = times.iter().position(|time| time.is_nan()) {
                return Err(bad(OP, "column", column, row, "is NaN"));
            }
            // `total_cmp` would tell −0 from 0: one time, which may not straddle.
            let order = |a: &f64, b: &f64| a.partial_cmp(b).unwrap_or(Ordering::Equal);
            in_order(&times, parts, order, |early, late| early + gap < late)
        }
        _ => {
            let message = "must hold numbers or times, to be in an order";
            Err(Error::invalid(OP, "column", message).with("column", column.name()))
        }
    }
}

/// Cuts rows in the order of their times; `clear` says whether one time is far enough before another.
fn in_order<T: Copy + PartialEq>(
    times: &[T],
    parts: &[(Part, f64)],
    order: impl Fn(&T, &T) -> Ordering,
    clear: impl Fn(T, T) -> bool,
) -> Result<Vec<Option<usize>>> {
    let sizes = sizes(times.len(), parts)?;
    let mut rows: Vec<usize> = (0..times.len()).collect();
    rows.sort_by(|&a, &b| order(&times[a], &times[b]));
    let changes: Vec<usize> = (1..rows.len()).filter(|&i| times[rows[i - 1]] != times[rows[i]]).collect();
    let starts = cuts(&changes, &sizes).ok_or_else(|| {
        let message = format!("has {} different times for {} parts", changes.len() + 1, parts.len());
        Error::invalid(OP, "column", message)
    })?;
    let mut chosen = vec![None; times.len()];
    for part in 0..parts.len() {
        let (from, until) = (starts[part], starts[part + 1]);
        let next = rows.get(until).map(|&row| times[row]);
        let kept = |row: &&usize| next.is_none_or(|next| clear(times[**row], next));
        rows[from..until].iter().filter(kept).for_each(|&row| chosen[row] = Some(part));
        if !rows[from..until].iter().any(|&row| chosen[row].is_some()) {
            return Err(Error::invalid(OP, "gap", format!("leaves no rows for {}", parts[part].0)));
        }
    }
    Ok(chosen)
}

/// Where each part starts, and the end: the change of time nearest to the wanted size, with at least one time for every
/// part. `None` when there are fewer times than parts.
fn cuts(changes: &[usize], sizes: &[usize]) -> Option<Vec<usize>> {
    let rows: usize = sizes.iter().sum();
    let (mut starts, mut wanted, mut first) = (vec![0], 0, 0);
    for part in 1..sizes.len() {
        wanted += sizes[part - 1];
        // Each part after this one needs a change of its own.
        let last = changes.len().checked_sub(sizes.len() - part)?;
        let nearest = (first..=last).min_by_key(|&i| changes[i].abs_diff(wanted))?;
        starts.push(changes[nearest]);
        first = nearest + 1;
    }
    starts.push(rows);
    Some(starts)
}
