//! Labels that are made at the same time in two parts.

use super::report::{Leak, LeakKind, at, count};
use super::shared::{Rows, Shared, pairs};
use super::{OP, SAMPLE};
use crate::data::moment::{Moment, Union};
use crate::data::split::{Labelled, labelled};
use crate::data::{Column, LabelSpan, Table};
use crate::error::{Result, quote};

pub(super) fn overlaps(
    parts: &[Rows<'_>],
    table: &Table<'_>,
    column: &Column<'_>,
    labels: &LabelSpan,
) -> Result<Vec<Leak>> {
    Ok(match labelled(OP, "label_window", labels, table, column)? {
        Labelled::Whole(times, ends) => of_pairs(parts, column, &times, &ends),
        Labelled::Real(times, ends) => of_pairs(parts, column, &times, &ends),
    })
}

fn of_pairs<T: Moment>(parts: &[Rows<'_>], column: &Column<'_>, times: &[T], ends: &[T]) -> Vec<Leak> {
    pairs(parts).into_iter().filter_map(|(a, b)| overlap(column, times, ends, a, b)).collect()
}

/// The rows of the earlier part that had to be purged.
fn overlap<T: Moment>(
    column: &Column<'_>,
    times: &[T],
    ends: &[T],
    earlier: Rows<'_>,
    later: Rows<'_>,
) -> Option<Leak> {
    let union = |rows: &[usize]| Union::new(rows.iter().map(|&row| (times[row], ends[row])).collect());
    let (of_earlier, of_later) = (union(earlier.1), union(later.1));
    let meeting = |rows: &[usize], union: &Union<T>| -> Vec<usize> {
        rows.iter().copied().filter(|&row| union.meets(times[row], ends[row])).collect()
    };
    let (left, right) = (meeting(earlier.1, &of_later), meeting(later.1, &of_earlier));
    if left.is_empty() {
        return None;
    }
    let partner = Partners::new(times, ends, &right);
    let rows: Vec<(usize, usize)> =
        left.iter().take(SAMPLE).filter_map(|&row| Some((row, partner.of(times, ends, row)?))).collect();
    let message = format!(
        "column `{}`: the labels of {} of {} are made while those of {} of {} are; first {}",
        quote(column.name()),
        count(left.len(), "row"),
        earlier.0,
        count(right.len(), "row"),
        later.0,
        at(earlier.0, later.0, rows.first())
    );
    let (keys, of) = (left.len(), later.1.len());
    let shared = Shared { keys, left: (earlier.0, left.len()), right: (later.0, right.len()), of, rows };
    Some(shared.leak(LeakKind::LabelWindow, Some(column.name()), message))
}

/// Finds a row whose interval meets another: of those that begin early enough, the one that ends last.
struct Partners(Vec<(usize, usize)>);

impl Partners {
    /// Rows by their beginning, each with the row that ends last up to there.
    fn new<T: Moment>(times: &[T], ends: &[T], rows: &[usize]) -> Self {
        let mut order = rows.to_vec();
        order.sort_by(|&a, &b| times[a].partial_cmp(&times[b]).unwrap_or(std::cmp::Ordering::Equal));
        let mut last = None;
        let with_last = order.into_iter().map(|row| {
            let longest = match last {
                Some(longest) if ends[longest] >= ends[row] => longest,
                _ => row,
            };
            last = Some(longest);
            (row, longest)
        });
        Self(with_last.collect())
    }

    fn of<T: Moment>(&self, times: &[T], ends: &[T], row: usize) -> Option<usize> {
        let before = self.0.partition_point(|(other, _)| times[*other] <= ends[row]);
        let (_, longest) = self.0.get(before.checked_sub(1)?)?;
        (ends[*longest] >= times[row]).then_some(*longest)
    }
}
