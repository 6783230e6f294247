//! A table of counts with its margins, checked once: what the tests of independence start from.

use mlops_core::num::StatsError;
use mlops_core::num::sum::Sum;

use crate::pair::Pair;

/// A table of counts whose total is positive.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    cells: Vec<&'a [u64]>,
    rows: Vec<u64>,
    columns: Vec<u64>,
    pub(crate) total: u64,
}

/// One cell of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) count: u64,
    /// What the margins make expect.
    pub(crate) expected: f64,
    /// count/expected − 1, from an exact difference.
    pub(crate) excess: f64,
}

impl<'a> Table<'a> {
    pub(crate) fn new(rows: &[&'a [u64]]) -> Result<Self, StatsError> {
        let argument = "rows";
        let width = rows.first().ok_or(StatsError::Empty { argument })?.len();
        if width == 0 {
            return Err(StatsError::Empty { argument });
        }
        let mut columns = vec![0_u64; width];
        let mut sums = Vec::with_capacity(rows.len());
        let mut total = 0_u64;
        let overflow = StatsError::Overflow { what: "the total of the counts (at most 2^62)" };
        for row in rows {
            if row.len() != width {
                let (left_len, right_len) = (width, row.len());
                return Err(StatsError::LengthMismatch {
                    left: "the first row",
                    left_len,
                    right: "a row",
                    right_len,
                });
            }
            let sum = row.iter().try_fold(0_u64, |sum, &count| sum.checked_add(count)).ok_or(overflow)?;
            total = total.checked_add(sum).filter(|total| *total <= Pair::MAX_TOTAL).ok_or(overflow)?;
            sums.push(sum);
            columns.iter_mut().zip(*row).for_each(|(sum, count)| *sum += count);
        }
        if total == 0 {
            return Err(StatsError::ZeroTotal { argument });
        }
        Ok(Self { cells: rows.to_vec(), rows: sums, columns, total })
    }

    /// How many rows and how many columns are not empty; at least 1.
    pub(crate) fn occupied(&self) -> (u64, u64) {
        let occupied = |sums: &[u64]| sums.iter().filter(|sum| **sum > 0).count() as u64;
        (occupied(&self.rows), occupied(&self.columns))
    }

    /// (rows − 1)(columns − 1), of those that are not empty.
    pub(crate) fn dof(&self) -> u64 {
        let (rows, columns) = self.occupied();
        (rows - 1) * (columns - 1)
    }

    /// Every cell in an occupied row and column.
    pub(crate) fn cells(&self) -> impl Iterator<Item = Cell> + '_ {
        let rows = self.cells.iter().zip(&self.rows).filter(|(_, row)| **row > 0);
        rows.flat_map(move |(cells, &row)| {
            let columns = cells.iter().zip(&self.columns).filter(|(_, column)| **column > 0);
            columns.map(move |(&count, &column)| self.cell(count, row, column))
        })
    }

    fn cell(&self, count: u64, row: u64, column: u64) -> Cell {
        let (seen, expected) =
            (u128::from(count) * u128::from(self.total), u128::from(row) * u128::from(column));
        let difference =
            if seen >= expected { (seen - expected) as f64 } else { -((expected - seen) as f64) };
        let product = row as f64 * column as f64;
        Cell { count, expected: product / self.total as f64, excess: difference / product }
    }

    /// Pearson's χ²: Σ (count − expected)²/expected.
    pub(crate) fn chi2(&self) -> f64 {
        self.cells().map(|cell| cell.expected * cell.excess * cell.excess).collect::<Sum>().value()
    }

    /// The smallest expected count.
    pub(crate) fn min_expected(&self) -> f64 {
        self.cells().map(|cell| cell.expected).fold(f64::INFINITY, f64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_rows_and_columns_do_not_count() {
        let table = Table::new(&[&[1, 0, 2], &[0, 0, 0], &[3, 0, 6]]).unwrap();
        assert_eq!((table.occupied(), table.dof(), table.chi2()), ((2, 2), 1, 0.0));
        assert_eq!(table.cells().count(), 4);
    }

    #[test]
    fn tables_that_are_none_are_refused() {
        assert_eq!(Table::new(&[]).err(), Some(StatsError::Empty { argument: "rows" }));
        assert_eq!(Table::new(&[&[]]).err(), Some(StatsError::Empty { argument: "rows" }));
        assert_eq!(Table::new(&[&[0], &[0]]).err(), Some(StatsError::ZeroTotal { argument: "rows" }));
        assert!(matches!(Table::new(&[&[1], &[1, 2]]), Err(StatsError::LengthMismatch { .. })));
        assert!(matches!(Table::new(&[&[u64::MAX], &[1]]), Err(StatsError::Overflow { .. })));
    }
}
