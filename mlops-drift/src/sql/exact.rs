//! The second pass: Kolmogorov–Smirnov exactly, from the values of a few cells.

use mlops_core::data::Table;
use mlops_core::hash::Digest;
use mlops_core::num::{Measured, json_float};
use mlops_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::profile::{KsBounds, Profile, Reference, ReferenceColumn, column_values, kolmogorov};
use crate::sample::Value as _;

/// The cells that can still hold the maximum of |F − G|, for each column of a reference.
///
/// The counts bound the difference inside a cell by what its values can do in the worst order; a cell whose bound does not
/// exceed the largest difference at an edge cannot hold the maximum. At most 64 ranges of cells a column are named, by
/// closing the narrowest gaps, so that statements stay short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidates {
    reference: Digest,
    ranges: Vec<Vec<(usize, usize)>>,
}

const MAX_RANGES: usize = 64;

impl Candidates {
    /// The candidates for a pair of profiles.
    ///
    /// # Errors
    /// As [`Reference::check`].
    ///
    /// ```
    /// use mlops_core::data::{Column, Table};
    /// use mlops_drift::profile::Reference;
    /// use mlops_drift::sql::Candidates;
    ///
    /// let table = |from: i64| Table::new(vec![Column::i64("n", (from..from + 100).collect::<Vec<i64>>())?]);
    /// let reference = Reference::fit(&table(0)?)?;
    /// // Disjoint: the maximum is at an edge, and nothing has to be fetched.
    /// let apart = Candidates::new(&reference, reference.baseline(), &reference.profile(&table(500)?)?)?;
    /// assert!(apart.of(0).is_empty());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn new(reference: &Reference, one: &Profile, other: &Profile) -> Result<Self> {
        reference.check(one)?;
        reference.check(other)?;
        let both = one.columns().iter().zip(other.columns());
        let ranges = reference.columns().iter().zip(both).map(|(column, (one, other))| match column.grid() {
            Some(grid) => {
                let values = ..=grid.overflow();
                let cells = one.cells().get(values).unwrap_or_default();
                narrowed(KsBounds::undecided(cells, other.cells().get(values).unwrap_or_default()))
            }
            None => Vec::new(),
        });
        Ok(Self { reference: reference.digest(), ranges: ranges.collect() })
    }

    /// The ranges of cells of a column, first and last, ascending.
    pub fn of(&self, column: usize) -> &[(usize, usize)] {
        self.ranges.get(column).map_or(&[], Vec::as_slice)
    }

    fn holds(&self, column: usize, cell: usize) -> bool {
        let ranges = self.of(column);
        let after = ranges.partition_point(|&(first, _)| first <= cell);
        after > 0 && cell <= ranges[after - 1].1
    }

    pub(super) fn belong_to(&self, reference: &Reference) -> Result<()> {
        // A range that was read back is not walked before it is known to lie in the grid.
        let inside = |(column, ranges): (&ReferenceColumn, &Vec<(usize, usize)>)| match column.grid() {
            Some(grid) => {
                let mut from = 0;
                ranges.iter().all(|&(first, last)| {
                    let follows = from <= first && first <= last && last <= grid.overflow();
                    from = last.saturating_add(1);
                    follows
                })
            }
            None => ranges.is_empty(),
        };
        if self.reference == reference.digest()
            && self.ranges.len() == reference.columns().len()
            && reference.columns().iter().zip(&self.ranges).all(inside)
        {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Conflict, "Candidates", "the candidates have another reference"))
    }
}

/// Single cells as ranges, at most [`MAX_RANGES`] of them.
fn narrowed(cells: Vec<usize>) -> Vec<(usize, usize)> {
    let mut gaps: Vec<usize> =
        cells.windows(2).map(|pair| pair[1] - pair[0]).filter(|&gap| gap > 1).collect();
    gaps.sort_unstable_by(|a, b| b.cmp(a));
    // Gaps wider than this stay open: fewer than the limit.
    let closed = gaps.get(MAX_RANGES - 1).copied().unwrap_or(1);
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for cell in cells {
        match ranges.last_mut() {
            Some((_, last)) if cell - *last <= closed => *last = cell,
            _ => ranges.push((cell, cell)),
        }
    }
    ranges
}

/// One row of the result of [`value_statement`](super::value_statement). Infinities are read from the strings `"Infinity"` and
/// `"-Infinity"`, too.
///
/// ```
/// let row: mlops_drift::sql::ValueRow = serde_json::from_str(r#"{"mlops_column":0,"mlops_value":0.1,"mlops_count":3}"#)?;
/// assert_eq!(row.value, 0.1);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueRow {
    /// The index of the column in the reference.
    #[serde(rename = "mlops_column")]
    pub column: usize,
    /// The value, to the bit.
    #[serde(rename = "mlops_value", with = "json_float")]
    pub value: f64,
    /// How many rows have it.
    #[serde(rename = "mlops_count")]
    pub count: u64,
}

/// How often each value occurs in the candidate cells of one side.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueCounts {
    reference: Digest,
    columns: Vec<Vec<Counted>>,
}

/// A value by its [key](crate::Value::key), its cell, and how often it occurs.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Counted {
    key: u64,
    cell: usize,
    count: u64,
}

/// Reads the rows of a [`value_statement`](super::value_statement), and checks them against the profile of the same side.
///
/// # Errors
/// [`InvalidInput`](ErrorKind::InvalidInput) for a value outside the candidate cells; [`Conflict`](ErrorKind::Conflict) when the
/// values of a cell do not add up to its count, because rows are missing, values were rounded on the way, or the source changed between the statements.
pub fn read_values(
    reference: &Reference,
    candidates: &Candidates,
    profile: &Profile,
    rows: impl IntoIterator<Item = ValueRow>,
) -> Result<ValueCounts> {
    candidates.belong_to(reference)?;
    reference.check(profile)?;
    let mut columns: Vec<Vec<Counted>> = vec![Vec::new(); reference.columns().len()];
    for ValueRow { column, value, count } in rows {
        let grid = reference.columns().get(column).and_then(ReferenceColumn::grid);
        let cell = grid.map(|grid| grid.index_of(value)).filter(|&cell| candidates.holds(column, cell));
        let (Some(cell), Some(values)) = (cell, columns.get_mut(column)) else {
            return Err(Error::invalid("read_values", "rows", "have a value that was not asked for")
                .with("column", column)
                .with("value", value));
        };
        values.push(Counted { key: value.key(), cell, count });
    }
    for values in &mut columns {
        values.sort_unstable_by_key(|value| value.key);
        // Shards give a value more than once, and engines may tell −0.0 from 0.0.
        values.dedup_by(|next, kept| {
            let same = next.key == kept.key;
            if same {
                kept.count = kept.count.saturating_add(next.count);
            }
            same
        });
    }
    let counts = ValueCounts { reference: reference.digest(), columns };
    counts.agree_with(reference, candidates, profile)?;
    Ok(counts)
}

impl ValueCounts {
    /// Counts the values of a table, for a side that is here.
    ///
    /// # Errors
    /// As [`read_values`], and [`NotFound`](ErrorKind::NotFound) for a column that the table does not have.
    pub fn of_table(
        reference: &Reference,
        candidates: &Candidates,
        profile: &Profile,
        table: &Table<'_>,
    ) -> Result<Self> {
        let mut rows = Vec::new();
        for (index, column) in reference.columns().iter().enumerate() {
            if let (Some(grid), false) = (column.grid(), candidates.of(index).is_empty()) {
                column_values(table.column(column.name())?, |values| {
                    let wanted =
                        values.iter().filter(|&&value| candidates.holds(index, grid.index_of(value)));
                    rows.extend(wanted.map(|&value| ValueRow { column: index, value, count: 1 }));
                });
            }
        }
        read_values(reference, candidates, profile, rows)
    }

    /// Counts the values that the reference kept.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) where a column with candidates has no values.
    ///
    /// ```
    /// use mlops_core::data::{Column, Table};
    /// use mlops_drift::profile::{ProfileOptions, Reference};
    /// use mlops_drift::sql::{Candidates, ValueCounts, exact_ks};
    ///
    /// let table = |step: i64| Table::new(vec![Column::i64("n", (0..100).map(|i| i * i * step % 997).collect::<Vec<i64>>())?]);
    /// let reference = Reference::fit_with(&table(1)?, &ProfileOptions::default().with_keep_values(true))?;
    /// let week = reference.profile(&table(3)?)?;
    /// let candidates = Candidates::new(&reference, reference.baseline(), &week)?;
    /// let before = ValueCounts::of_reference(&reference, &candidates)?;
    /// let after = ValueCounts::of_table(&reference, &candidates, &week, &table(3)?)?;
    /// let ks = exact_ks(&reference, &candidates, "n", (reference.baseline(), &before), (&week, &after))?;
    /// assert_eq!(ks.numerator % 100, 0);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn of_reference(reference: &Reference, candidates: &Candidates) -> Result<Self> {
        candidates.belong_to(reference)?;
        let mut rows = Vec::new();
        for (index, (column, counted)) in
            reference.columns().iter().zip(reference.baseline().columns()).enumerate()
        {
            let (Some(grid), false) = (column.grid(), candidates.of(index).is_empty()) else { continue };
            let Some(values) = column.values() else {
                return Err(Error::unsupported("ValueCounts::of_reference", "keep_values")
                    .with("column", column.name()));
            };
            let wanted = values.iter().filter(|&&value| candidates.holds(index, grid.index_of(value)));
            rows.extend(wanted.map(|&value| ValueRow { column: index, value, count: 1 }));
            // Infinities are in the outer cells, and are not among the finite values.
            for (cell, value) in [(0, f64::NEG_INFINITY), (grid.overflow(), f64::INFINITY)] {
                let finite = values.iter().filter(|&&value| grid.index_of(value) == cell).count() as u64;
                let count = counted.cells().get(cell).copied().unwrap_or(0).saturating_sub(finite);
                if count > 0 && candidates.holds(index, cell) {
                    rows.push(ValueRow { column: index, value, count });
                }
            }
        }
        read_values(reference, candidates, reference.baseline(), rows)
    }

    fn agree_with(&self, reference: &Reference, candidates: &Candidates, profile: &Profile) -> Result<()> {
        for (index, (values, counted)) in self.columns.iter().zip(profile.columns()).enumerate() {
            let mut found = vec![0_u64; counted.cells().len()];
            for value in values {
                if let Some(found) = found.get_mut(value.cell) {
                    *found = found.saturating_add(value.count);
                }
            }
            let differs = |cell: &usize| found.get(*cell) != counted.cells().get(*cell);
            let mut asked = candidates.of(index).iter().flat_map(|&(first, last)| first..=last);
            if let Some(cell) = asked.find(differs) {
                let name = reference.columns().get(index).map_or("", ReferenceColumn::name);
                let message = "the values of a cell do not add up to its count";
                return Err(Error::new(ErrorKind::Conflict, "read_values", message)
                    .with("column", name)
                    .with("cell", cell));
            }
        }
        Ok(())
    }
}

/// The two-sample Kolmogorov–Smirnov statistic exactly, and its p-value by the limit law.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExactKs {
    /// D in [0, 1].
    pub statistic: f64,
    /// D·n·m as the exact integer max |i·m − j·n|.
    pub numerator: u128,
    /// P(D or more | no drift) by [Kolmogorov's law](mod@crate::ks), which errs on the side of caution, more so with ties.
    pub p: Measured,
    /// The natural logarithm of `p`.
    pub ln_p: Measured,
    /// How many values the first side has.
    pub n: u64,
    /// How many values the second side has.
    pub m: u64,
}

/// The statistic of a column from the counts of both sides and the values of the candidate cells: the number that
/// [`ks`](fn@crate::ks) gives on the values.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) and [`InvalidInput`](ErrorKind::InvalidInput) for a column that is not there, is text or has no
/// value on some side; [`Conflict`](ErrorKind::Conflict) for values that do not belong to the profiles.
pub fn exact_ks(
    reference: &Reference,
    candidates: &Candidates,
    column: &str,
    one: (&Profile, &ValueCounts),
    other: (&Profile, &ValueCounts),
) -> Result<ExactKs> {
    const OP: &str = "exact_ks";
    candidates.belong_to(reference)?;
    let index = reference.index_of(column)?;
    let Some(grid) = reference.columns().get(index).and_then(ReferenceColumn::grid) else {
        return Err(Error::invalid(OP, "column", "is text").with("column", column));
    };
    for (profile, values) in [one, other] {
        reference.check(profile)?;
        if values.reference != reference.digest() {
            return Err(Error::new(ErrorKind::Conflict, OP, "the values have another reference"));
        }
        values.agree_with(reference, candidates, profile)?;
    }
    let cells = |profile: &Profile| profile.columns()[index].cells()[..=grid.overflow()].to_vec();
    let (a, b) = (cells(one.0), cells(other.0));
    let (n, m): (u64, u64) = (a.iter().sum(), b.iter().sum());
    if n == 0 || m == 0 {
        return Err(Error::invalid(OP, "column", "has no value on one side").with("column", column));
    }
    let (mut i, mut j, mut numerator) = (0_u64, 0_u64, 0_u128);
    let (mut x, mut y) = (&one.1.columns[index][..], &other.1.columns[index][..]);
    let mut step = |a: u64, b: u64| {
        (i, j) = (i + a, j + b);
        let difference = (u128::from(i) * u128::from(m)).abs_diff(u128::from(j) * u128::from(n));
        numerator = numerator.max(difference);
    };
    for (cell, (&a, &b)) in a.iter().zip(&b).enumerate() {
        if !candidates.holds(index, cell) {
            step(a, b);
            continue;
        }
        // The values of the cell in ascending order, equal ones in one step.
        while let Some(key) = next_key(x, y, cell) {
            step(take(&mut x, key), take(&mut y, key));
        }
    }
    let statistic = numerator as f64 / (n as f64 * m as f64);
    let (p, ln_p) = kolmogorov(statistic, n, m);
    Ok(ExactKs { statistic, numerator, p, ln_p, n, m })
}

/// The smallest value left on either side, in this cell.
fn next_key(x: &[Counted], y: &[Counted], cell: usize) -> Option<u64> {
    let first = |values: &[Counted]| values.first().filter(|value| value.cell == cell).map(|value| value.key);
    match (first(x), first(y)) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    }
}

/// Takes the first value if it is this one: how often it occurs, or 0.
fn take(values: &mut &[Counted], key: u64) -> u64 {
    match values.split_first() {
        Some((first, rest)) if first.key == key => {
            *values = rest;
            first.count
        }
        _ => 0,
    }
}
