//! Fine cells of one width: a column becomes counts with one subtraction, one multiplication and one floor.

use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// Cells of equal width, fitted on a reference, whose arithmetic any database repeats bit for bit.
///
/// A value x with `low` ≤ x < `high` has the cell ⌊(x − `low`) · `scale`⌋. The width is a power of two and `low` a multiple of it,
/// so that every edge is a double, `scale` = 1/width is exact, the multiplication rounds nothing, and all constants
/// have short decimal forms. Counts are kept in the order
///
/// | index | holds |
/// |---|---|
/// | 0 | underflow: below `low`, −∞ |
/// | 1 … cells | the fitted cells |
/// | cells + 1 | overflow: `high` and above, +∞ |
/// | cells + 2 | NaN |
/// | cells + 3 | absent (SQL's `NULL`) |
///
/// −0.0 is 0.0. The subtraction rounds to nearest, so a value within half an ulp of `x − low` below an edge may count above it;
/// [`Grid::threshold`] gives the smallest double of a cell, which is what bounds on cells are computed from.
///
/// # Heavy tails
/// The grid spans the reference's finite values, but no more than 16 interquartile ranges on either side of the quartiles: one
/// outlier of 1e300 costs nothing but its own place in the overflow cell.
///
/// ```
/// use mlops_drift::profile::Grid;
///
/// let grid = Grid::fit(&[0.0, 1.0, 2.0, 3.0, 4.0], 16)?;
/// assert_eq!((grid.low(), grid.high(), grid.width()), (0.0, 4.5, 0.5));
/// assert_eq!([-1.0, 0.0, 0.4, 0.5, 4.4, 4.5, f64::NAN].map(|x| grid.index_of(x)), [0, 1, 1, 2, 9, 10, 11]);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Grid {
    low: f64,
    high: f64,
    /// width = 2^exponent.
    exponent: i32,
    cells: usize,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    low: f64,
    exponent: i32,
    cells: usize,
}

/// The most interquartile ranges (or wider central ranges, where that is 0) that the grid reaches beyond.
const REACH: f64 = 16.0;

/// Beyond 2^1021 values under- or overflow, so that no difference inside the grid does.
const FARTHEST: f64 = 2.247_116_418_577_895e307;

const OP: &str = "Grid::fit";

impl Grid {
    /// The most cells a grid may have.
    pub const MAX_CELLS: usize = 65_536;

    /// Fits at most `cells` cells on the finite values among ascending ones.
    ///
    /// # Errors
    /// [`InvalidInput`](mlops_core::ErrorKind::InvalidInput) for `cells` outside 2 … [`Self::MAX_CELLS`], values that are not
    /// ascending, and when none is finite.
    ///
    /// ```
    /// use mlops_drift::profile::Grid;
    /// assert!(Grid::fit(&[f64::INFINITY], 4096).is_err());
    /// assert!(Grid::fit(&[1.0], 1).is_err());
    /// ```
    pub fn fit(sorted: &[f64], cells: usize) -> Result<Self> {
        if !(2..=Self::MAX_CELLS).contains(&cells) {
            return Err(Error::invalid(OP, "cells", format!("must lie between 2 and 65536, not {cells}")));
        }
        if sorted.windows(2).any(|pair| pair[0] > pair[1]) {
            return Err(Error::invalid(OP, "sorted", "must be ascending"));
        }
        let from = sorted.partition_point(|&x| x == f64::NEG_INFINITY);
        let to = sorted.partition_point(|&x| x < f64::INFINITY);
        let finite = sorted.get(from..to).unwrap_or_default();
        let (Some(_), false) = (finite.first(), finite.iter().any(|x| x.is_nan())) else {
            return Err(Error::invalid(OP, "sorted", "has no finite value to fit on"));
        };
        let (low, high) = fences(finite);
        Self::spanning(low.clamp(-FARTHEST, FARTHEST), high.clamp(-FARTHEST, FARTHEST), cells)
    }

    /// The finest grid of at most `cells` cells that covers both ends.
    fn spanning(low: f64, high: f64, cells: usize) -> Result<Self> {
        let magnitude = low.abs().max(high.abs());
        // Two units in the last place keep every edge a double; below 2^-1021 powers of two lose digits.
        let finest = if magnitude == 0.0 { MIN_EXPONENT } else { exponent_of(magnitude) - 51 };
        let wanted = (high - low) / (cells - 1) as f64;
        let mut exponent = if wanted > 0.0 { exponent_of(wanted) } else { finest };
        if wanted > power(exponent) {
            exponent += 1;
        }
        exponent = exponent.clamp(MIN_EXPONENT, MAX_EXPONENT).max(finest);
        let scale = power(-exponent);
        let start = (low * scale).floor() / scale + 0.0;
        let used = ((high - start) * scale).floor() + 1.0;
        #[expect(clippy::cast_sign_loss, reason = "`high` is at least `start`")]
        let used = used as usize;
        Self::new(start, exponent, used.min(cells))
    }

    fn new(low: f64, exponent: i32, cells: usize) -> Result<Self> {
        let bad = |message: &str| Err(Error::invalid(OP, "grid", message));
        if !(1..=Self::MAX_CELLS).contains(&cells) {
            return bad("must have between 1 and 65536 cells");
        }
        if !(MIN_EXPONENT..=MAX_EXPONENT).contains(&exponent) {
            return bad("has a width that is out of range");
        }
        let (width, scale) = (power(exponent), power(-exponent));
        let high = low + cells as f64 * width + 0.0;
        let place = low * scale;
        let exact = place.abs() < TWO_52 && place.floor() == place && (high - low) * scale == cells as f64;
        if !low.is_finite() || !exact || low.abs() > 2.0 * FARTHEST || high.abs() > 2.0 * FARTHEST {
            return bad("must begin at a multiple of its width, and end in range");
        }
        Ok(Self { low: low + 0.0, high, exponent, cells })
    }

    /// The lower end of the first cell.
    pub const fn low(&self) -> f64 {
        self.low
    }

    /// The upper end of the last cell; not part of it.
    pub const fn high(&self) -> f64 {
        self.high
    }

    /// The width of a cell, a power of two.
    pub fn width(&self) -> f64 {
        power(self.exponent)
    }

    /// 1/width, exactly.
    pub fn scale(&self) -> f64 {
        power(-self.exponent)
    }

    /// How many cells were fitted; the counts have four more.
    pub const fn cells(&self) -> usize {
        self.cells
    }

    /// How many counts there are: the fitted cells, underflow, overflow, NaN, absent.
    ///
    /// ```
    /// let grid = mlops_drift::profile::Grid::fit(&[1.0], 4096)?;
    /// assert_eq!(grid.len(), grid.cells() + 4);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[expect(clippy::len_without_is_empty, reason = "there are always at least five")]
    pub const fn len(&self) -> usize {
        self.cells + 4
    }

    /// The index of the overflow count.
    pub const fn overflow(&self) -> usize {
        self.cells + 1
    }

    /// The index of the NaN count.
    pub const fn nan(&self) -> usize {
        self.cells + 2
    }

    /// The index of the count of absent values.
    pub const fn absent(&self) -> usize {
        self.cells + 3
    }

    /// The index of the count of one value.
    #[inline]
    pub fn index_of(&self, value: f64) -> usize {
        place(value, self.low, self.high, self.scale(), self.cells)
    }

    /// Adds the values, none of them absent, to the counts. Counts of another length stay as they are.
    pub(crate) fn count(&self, counts: &mut [u64], values: &[f64]) {
        let (low, high, scale, cells) = (self.low, self.high, self.scale(), self.cells);
        if counts.len() != self.len() {
            return;
        }
        for &value in values {
            counts[place(value, low, high, scale, cells)] += 1;
        }
    }

    /// The smallest double whose index is at least `index`, for an index from 1 to that of overflow: its cell is
    /// [threshold(index), threshold(index + 1)). O(1), or 64 steps where rounding moved it off the edge.
    ///
    /// ```
    /// let grid = mlops_drift::profile::Grid::fit(&[-8.0, 8.0], 16)?;
    /// let edge = grid.threshold(5);
    /// assert_eq!((grid.index_of(edge), grid.index_of(edge.next_down())), (5, 4));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn threshold(&self, index: usize) -> f64 {
        let index = index.clamp(1, self.overflow());
        let edge = self.low + (index - 1) as f64 * self.width() + 0.0;
        if index == 1 || self.index_of(edge.next_down()) < index {
            return edge;
        }
        let (mut below, mut at) = (ordered(self.low), ordered(edge));
        while at - below > 1 {
            let middle = below + (at - below) / 2;
            if self.index_of(unordered(middle)) < index { below = middle } else { at = middle }
        }
        unordered(at) + 0.0
    }
}

/// The index of one value; the one place where it is decided.
#[inline(always)]
#[expect(clippy::cast_sign_loss, reason = "a value of at least `low` has a place of at least 0")]
fn place(value: f64, low: f64, high: f64, scale: f64, cells: usize) -> usize {
    if value < low {
        0
    } else if value >= high {
        cells + 1
    } else if value.is_nan() {
        cells + 2
    } else {
        ((value - low) * scale).floor() as usize + 1
    }
}

const MIN_EXPONENT: i32 = -1021;
const MAX_EXPONENT: i32 = 1021;
const TWO_52: f64 = 4_503_599_627_370_496.0;

/// 2^exponent, for exponents of normal numbers.
fn power(exponent: i32) -> f64 {
    let biased = u64::from(exponent.clamp(-1022, 1023).wrapping_add(1023).unsigned_abs());
    f64::from_bits(biased << 52)
}

/// ⌊log₂ x⌋ of a positive finite number; −1022 for subnormal ones.
fn exponent_of(x: f64) -> i32 {
    let biased = (x.to_bits() >> 52) & 0x7ff;
    i32::try_from(biased).map_or(0, |biased| biased.max(1) - 1023)
}

/// An integer in the order of the doubles.
fn ordered(x: f64) -> i128 {
    let magnitude = i128::from(x.to_bits() & (u64::MAX >> 1));
    if x.is_sign_negative() { -magnitude } else { magnitude }
}

fn unordered(key: i128) -> f64 {
    let magnitude = f64::from_bits(u64::try_from(key.unsigned_abs()).unwrap_or(0));
    if key < 0 { -magnitude } else { magnitude }
}

/// Where the grid begins and ends: at the extremes, or 16 central ranges beyond the central range.
fn fences(finite: &[f64]) -> (f64, f64) {
    let last = finite.len() - 1;
    let (min, max) = (finite[0], finite[last]);
    for share in [4, 20, 200] {
        let (low, high) = (finite[last / share], finite[last - last / share]);
        let spread = high - low;
        if spread > 0.0 {
            return (min.max(low - REACH * spread), max.min(high + REACH * spread));
        }
    }
    (min, max)
}

impl TryFrom<Stored> for Grid {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        Self::new(stored.low, stored.exponent, stored.cells)
    }
}

impl From<Grid> for Stored {
    fn from(grid: Grid) -> Self {
        Self { low: grid.low, exponent: grid.exponent, cells: grid.cells }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(values: &[f64], cells: usize) {
        let mut sorted: Vec<f64> = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let grid = Grid::fit(&sorted, cells).unwrap();
        assert!(grid.cells() <= cells, "{grid:?}");
        let text = serde_json::to_string(&grid).unwrap();
        assert_eq!(serde_json::from_str::<Grid>(&text).unwrap(), grid, "{text}");
        let indices: Vec<usize> = sorted.iter().map(|&x| grid.index_of(x)).collect();
        assert!(indices.is_sorted() && indices.iter().all(|&i| i <= grid.overflow()), "{grid:?} {indices:?}");
        for index in [1, 2, grid.cells().div_ceil(2), grid.cells(), grid.overflow()] {
            let edge = grid.threshold(index);
            assert!(grid.index_of(edge) >= index, "{grid:?} {index} {edge}");
            assert!(grid.index_of(edge.next_down()) < index, "{grid:?} {index} {edge}");
        }
        let mut counts = vec![0; grid.len()];
        grid.count(&mut counts, values);
        for (index, &count) in counts.iter().enumerate() {
            assert_eq!(count, values.iter().filter(|&&x| grid.index_of(x) == index).count() as u64);
        }
    }

    #[test]
    fn hostile_references_get_a_grid() {
        for values in [
            vec![0.0],
            vec![-0.0, 0.0],
            vec![7.5; 9],
            vec![f64::MIN, f64::MAX],
            vec![-1e308, 0.0, 1e308],
            vec![f64::MAX; 3],
            vec![5e-324, 1e-323, 0.0, -5e-324],
            vec![f64::MIN_POSITIVE, 2.0 * f64::MIN_POSITIVE],
            vec![1e15, 1e15 + 1.0, 1e15 + 2.0],
            vec![9_007_199_254_740_993.0, 9_007_199_254_740_995.0],
            vec![f64::NEG_INFINITY, 1.0, 2.0, f64::INFINITY],
            vec![1.0, 2.0, 3.0, 4.0, 5.0, 1e300],
            vec![-3.0, -0.1, 0.1, 0.7, 2.9999999],
        ] {
            for cells in [2, 3, 16, 4096, Grid::MAX_CELLS] {
                check(&values, cells);
            }
        }
    }

    #[test]
    fn small_integers_have_a_cell_each() {
        let values: Vec<f64> = (-100..=155).map(f64::from).collect();
        let grid = Grid::fit(&values, 4096).unwrap();
        let mut indices: Vec<usize> = values.iter().map(|&x| grid.index_of(x)).collect();
        indices.dedup();
        assert_eq!(indices.len(), 256);
    }

    #[test]
    fn an_outlier_does_not_coarsen_the_grid() {
        let mut values: Vec<f64> = (0..1000).map(|i| f64::from(i) / 100.0).collect();
        values.push(1e300);
        let grid = Grid::fit(&values, 4096).unwrap();
        assert!(grid.width() < 0.1, "{grid:?}");
        assert_eq!(grid.index_of(1e300), grid.overflow());
    }

    #[test]
    fn grids_read_from_outside_are_checked() {
        for text in [
            r#"{"low":0.5,"exponent":0,"cells":4}"#,
            r#"{"low":0.0,"exponent":0,"cells":0}"#,
            r#"{"low":0.0,"exponent":0,"cells":65537}"#,
            r#"{"low":0.0,"exponent":2000,"cells":4}"#,
            r#"{"low":1e308,"exponent":1000,"cells":4}"#,
            r#"{"low":1e300,"exponent":0,"cells":4}"#,
            r#"{"low":null,"exponent":0,"cells":4}"#,
            r#"{"low":0.0,"exponent":0,"cells":4,"more":1}"#,
        ] {
            assert!(serde_json::from_str::<Grid>(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_reference_gets_a_consistent_grid(
            values in prop::collection::vec(any::<f64>().prop_filter("finite", |v| v.is_finite()), 1..40),
            cells in 2usize..300,
        ) {
            check(&values, cells);
        }
    }
}
