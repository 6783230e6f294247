//! The values of a column that has an order, as numbers to compute with.

use crate::data::{Column, Values};
use crate::error::{Error, Result, quote};

/// A place on the line: whole numbers wide enough that no shift overflows, or floats.
pub(super) trait Moment: Copy + PartialOrd + std::fmt::Debug {
    /// Further by `length`; back when it is negative.
    fn shifted(self, length: i128) -> Self;
}

impl Moment for i128 {
    fn shifted(self, length: i128) -> Self {
        self.saturating_add(length)
    }
}

impl Moment for f64 {
    fn shifted(self, length: i128) -> Self {
        self + length as Self
    }
}

/// The values of a column: all present, none NaN or infinite, −0.0 as 0.0.
#[derive(Clone, Debug)]
pub(super) enum Moments {
    /// Of whole numbers or times in microseconds.
    Whole(Vec<i128>),
    /// Of floats.
    Real(Vec<f64>),
}

/// The moments of a column.
///
/// Fails for text and booleans, which have no distances, and for a value that is missing or not finite, with its row.
pub(super) fn moments(operation: &'static str, field: &str, column: &Column<'_>) -> Result<Moments> {
    if let Some(row) = (0..column.len()).find(|&row| !column.is_valid(row)) {
        return Err(bad(operation, field, column, row, "is missing"));
    }
    match column.values() {
        Values::I64(values) | Values::Time(values) => {
            Ok(Moments::Whole(values.iter().map(|&value| i128::from(value)).collect()))
        }
        Values::F64(_) | Values::F32(_) => {
            let values: Vec<f64> = column.to_f64()?.iter().map(|value| value + 0.0).collect();
            match values.iter().position(|value| !value.is_finite()) {
                Some(row) if values[row].is_nan() => Err(bad(operation, field, column, row, "is NaN")),
                Some(row) => Err(bad(operation, field, column, row, "is not finite")),
                None => Ok(Moments::Real(values)),
            }
        }
        _ => {
            let message = "must hold numbers or times, to be in an order";
            Err(Error::invalid(operation, field, message).with("column", column.name()))
        }
    }
}

/// A value that has no place on the line.
pub(super) fn bad(
    operation: &'static str,
    field: &str,
    column: &Column<'_>,
    row: usize,
    what: &str,
) -> Error {
    let message = format!("column `{}`, row {}: the time {what}", quote(column.name()), row + 1);
    Error::invalid(operation, field, message).with("column", column.name()).with("row", row + 1)
}

/// Rows in the order of their moments; equal ones in the order of the table.
pub(super) fn in_order<T: Moment>(moments: &[T]) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..moments.len()).collect();
    rows.sort_by(|&a, &b| moments[a].partial_cmp(&moments[b]).unwrap_or(std::cmp::Ordering::Equal));
    rows
}

/// Closed intervals that do not touch each other, ascending: the union of others.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Union<T>(Vec<(T, T)>);

impl<T: Moment> Union<T> {
    /// The union of closed intervals. O(n log n).
    pub(super) fn new(mut intervals: Vec<(T, T)>) -> Self {
        intervals.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap_or(std::cmp::Ordering::Equal));
        let mut union: Vec<(T, T)> = Vec::new();
        for (from, until) in intervals {
            match union.last_mut() {
                Some(last) if from <= last.1 => {
                    if until > last.1 {
                        last.1 = until;
                    }
                }
                _ => union.push((from, until)),
            }
        }
        Self(union)
    }

    /// Whether a closed interval has a point in common with one of these. O(log n).
    pub(super) fn meets(&self, from: T, until: T) -> bool {
        let next = self.0.partition_point(|interval| interval.1 < from);
        self.0.get(next).is_some_and(|interval| interval.0 <= until)
    }

    /// The last point.
    pub(super) fn end(&self) -> Option<T> {
        self.0.last().map(|interval| interval.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_union_meets_what_any_of_its_intervals_meets(
            intervals in prop::collection::vec((-20_i128..20, 0_i128..6), 0..12), from in -25_i128..25, length in 0_i128..6,
        ) {
            let intervals: Vec<(i128, i128)> = intervals.into_iter().map(|(a, l)| (a, a + l)).collect();
            let union = Union::new(intervals.clone());
            let meets = intervals.iter().any(|(a, b)| *a <= from + length && from <= *b);
            prop_assert_eq!(union.meets(from, from + length), meets);
            prop_assert_eq!(union.end(), intervals.iter().map(|i| i.1).max());
        }
    }
}
