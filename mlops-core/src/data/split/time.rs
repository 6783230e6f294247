//! Training first, the test last, by the values of a column.

use super::holdout::sizes;
use super::windows::{LabelSpan, Labelled, labelled};
use super::{OP, Part};
use crate::data::moment::{self, Moment};
use crate::data::{Column, Span, Table};
use crate::error::{Error, Result};

pub(super) fn by_time(
    table: &Table<'_>,
    column: &Column<'_>,
    parts: &[(Part, f64)],
    gap: Span,
    labels: &LabelSpan,
) -> Result<Vec<Option<usize>>> {
    let gap = gap.along(OP, "gap", column)?;
    match labelled(OP, "column", labels, table, column)? {
        Labelled::Whole(times, ends) => in_order(&times, &ends, parts, gap),
        Labelled::Real(times, ends) => in_order(&times, &ends, parts, gap),
    }
}

/// Cuts rows in the order of their times, and leaves out those whose time or label is too near to the next part.
fn in_order<T: Moment>(
    times: &[T],
    ends: &[T],
    parts: &[(Part, f64)],
    gap: i128,
) -> Result<Vec<Option<usize>>> {
    let sizes = sizes(times.len(), parts)?;
    let rows = moment::in_order(times);
    let changes: Vec<usize> = (1..rows.len()).filter(|&i| times[rows[i - 1]] != times[rows[i]]).collect();
    let starts = cuts(&changes, &sizes).ok_or_else(|| {
        let message = format!("has {} different times for {} parts", changes.len() + 1, parts.len());
        Error::invalid(OP, "column", message)
    })?;
    let mut chosen = vec![None; times.len()];
    for part in 0..parts.len() {
        let (from, until) = (starts[part], starts[part + 1]);
        let next = rows.get(until).map(|&row| times[row]);
        let clear = |row: usize, next: T| times[row].shifted(gap) < next && ends[row] < next;
        let kept = |row: &&usize| next.is_none_or(|next| clear(**row, next));
        rows[from..until].iter().filter(kept).for_each(|&row| chosen[row] = Some(part));
        if !rows[from..until].iter().any(|&row| chosen[row].is_some()) {
            let message = format!("leaves no rows for {}, or the labels do", parts[part].0);
            return Err(Error::invalid(OP, "gap", message));
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
