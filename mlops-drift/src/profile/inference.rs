//! What counts and sketches can say, and what they cannot.
//!
//! Counts on a grid do not know the order of values inside a cell, and a sketch knows ranks only within its error. So there is
//! no single statistic, but the range in which it certainly lies, and no single p-value, but one for each end. A verdict is
//! *drift* when even the larger p-value is small enough, *no drift* when even the smaller one is not, and **inconclusive** in
//! between: then the state could not see the difference, and the values have to be asked.

use mlops_core::monitor::DriftVerdict;
use mlops_core::num::Measured;
use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::profile::{ColumnProfile, Profile};
use super::reference::{ColumnCells, Reference};
use super::sketch::QuantileSketch;
use super::{Extremes, Grid, NumericProfile};
use crate::special::ln_kolmogorov_sf;

/// Two ends between which a number certainly lies; infinite where nothing is known on that side.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// The lower end.
    #[serde(with = "mlops_core::num::json_float")]
    pub low: f64,
    /// The upper end, at least `low`.
    #[serde(with = "mlops_core::num::json_float")]
    pub high: f64,
}

impl Bounds {
    /// Whether a value lies inside, ends included.
    ///
    /// ```
    /// use mlops_core::data::{Column, Table};
    /// use mlops_drift::profile::Reference;
    ///
    /// let reference = Reference::fit(&Table::new(vec![Column::i64("n", (0..100).collect::<Vec<i64>>())?])?)?;
    /// let median = reference.quantile(reference.baseline(), "n", 0.5)?;
    /// assert!(median.contains(median.low) && median.contains(median.high) && !median.contains(99.0));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// The two-sample Kolmogorov–Smirnov test as far as counts or sketches know it.
///
/// p-values are by Kolmogorov's limit law of D·√(nm/(n + m)), which errs on the side of caution: `p_low` belongs to the largest
/// D that is possible, `p_high` to the smallest.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KsBounds {
    /// Where D lies, in [0, 1].
    pub statistic: Bounds,
    /// The p-value of the largest possible D.
    pub p_low: Measured,
    /// The p-value of the smallest possible D.
    pub p_high: Measured,
    /// The natural logarithm of `p_low`.
    pub ln_p_low: Measured,
    /// The natural logarithm of `p_high`.
    pub ln_p_high: Measured,
    /// The confidence with which D lies between the bounds: 1 for counts, 0.98 or less for sketches.
    pub confidence: f64,
    /// How many values the first side has.
    pub n: u64,
    /// How many values the second side has.
    pub m: u64,
}

impl KsBounds {
    /// From counts of the same cells in ascending order, of values that are there. O(cells), no allocation.
    ///
    /// D is at least its largest value at an edge of a cell. Inside a cell F and G rise in an order that the counts do not
    /// tell, so that D is at most the larger of F(end) − G(start) and G(end) − F(start); in a cell that is empty on one side it cannot
    /// exceed the edges. Both ends are computed in integers.
    ///
    /// # Errors
    /// [`InvalidInput`](mlops_core::ErrorKind::InvalidInput) for counts of different lengths, a side without values or with more than 2⁶².
    ///
    /// ```
    /// use mlops_drift::profile::KsBounds;
    ///
    /// let ks = KsBounds::from_counts(&[10, 10, 10], &[5, 10, 15])?;
    /// assert!((ks.statistic.low - 1.0 / 6.0).abs() < 1e-15); // at the edges
    /// assert!((ks.statistic.high - 0.5).abs() < 1e-15); // 20/30 − 5/30 or 1 − 15/30, were the values of a cell in the worst order
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn from_counts(one: &[u64], other: &[u64]) -> Result<Self> {
        let (n, m) = (total("one", one)?, total("other", other)?);
        if one.len() != other.len() {
            return Err(invalid("other", format!("has {} cells, `one` has {}", other.len(), one.len())));
        }
        let (mut low, mut high) = (0, 0);
        for cell in walk(one, other, n, m) {
            low = low.max(cell.at_end);
            high = high.max(cell.inside);
        }
        let all = n as f64 * m as f64;
        let statistic = Bounds { low: low as f64 / all, high: high.max(low) as f64 / all };
        Ok(Self::new(statistic, 1.0, n, m))
    }

    fn new(statistic: Bounds, confidence: f64, n: u64, m: u64) -> Self {
        let (p_low, ln_p_low) = kolmogorov(statistic.high, n, m);
        let (p_high, ln_p_high) = kolmogorov(statistic.low, n, m);
        Self { statistic, p_low, p_high, ln_p_low, ln_p_high, confidence, n, m }
    }

    /// The cells that can hold the maximum, ascending.
    pub(crate) fn undecided(one: &[u64], other: &[u64]) -> Vec<usize> {
        let (Ok(n), Ok(m)) = (total("one", one), total("other", other)) else { return Vec::new() };
        let best = walk(one, other, n, m).map(|cell| cell.at_end).max().unwrap_or(0);
        let cells = walk(one, other, n, m).enumerate();
        cells.filter(|(_, cell)| cell.inside > best).map(|(index, _)| index).collect()
    }

    /// From two quantile sketches.
    ///
    /// The largest difference of the two sketched distribution functions, give or take the sum of the two
    /// [rank errors](QuantileSketch::rank_error), each of which holds with 99 %.
    ///
    /// # Errors
    /// [`InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a sketch without values.
    ///
    /// ```
    /// use mlops_core::monitor::DriftVerdict;
    /// use mlops_drift::profile::{KsBounds, QuantileSketch};
    ///
    /// let sketch = |shift: i64| {
    ///     let mut sketch = QuantileSketch::new(200)?;
    ///     (0..100_000_i64).for_each(|i| sketch.push((i * 7919 % 100_003 + shift) as f64));
    ///     Ok::<_, mlops_core::Error>(sketch)
    /// };
    /// // A difference of 0.9 % would be significant for so many values: sketches with k = 200 could not have seen it.
    /// let equal = KsBounds::from_sketches(&sketch(0)?, &sketch(0)?)?;
    /// assert_eq!(equal.verdict(0.001), DriftVerdict::Inconclusive);
    /// let large = KsBounds::from_sketches(&sketch(0)?, &sketch(20_000)?)?;
    /// assert_eq!(large.verdict(0.001), DriftVerdict::Drift);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn from_sketches(one: &QuantileSketch, other: &QuantileSketch) -> Result<Self> {
        for (name, sketch) in [("one", one), ("other", other)] {
            if sketch.count() == 0 {
                return Err(invalid(name, "has no values"));
            }
        }
        let seen = gap(&one.steps(), &other.steps());
        let error = one.rank_error() + other.rank_error();
        Ok(Self::around(
            seen,
            error,
            [one, other].map(QuantileSketch::rank_error),
            one.count(),
            other.count(),
        ))
    }

    /// From counts on a grid, underflow first and overflow last, and a quantile sketch: at the edges of cells the counts are
    /// exact and the sketch is within its error; between them F can rise by the mass of the cell.
    ///
    /// # Errors
    /// [`InvalidInput`](mlops_core::ErrorKind::InvalidInput) for counts that are not those of the grid's values, and for a side without values.
    ///
    /// ```
    /// use mlops_drift::profile::{Grid, KsBounds, QuantileSketch};
    ///
    /// let grid = Grid::fit(&[0.0, 8.0], 9)?;
    /// let mut sketch = QuantileSketch::new(200)?;
    /// [1.0, 3.0, 5.0, 7.0].iter().for_each(|&x| sketch.push(x));
    /// let ks = KsBounds::from_counts_and_sketch(&grid, &[0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0], &sketch)?;
    /// assert!(ks.statistic.contains(2.0 / 9.0));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn from_counts_and_sketch(grid: &Grid, counts: &[u64], sketch: &QuantileSketch) -> Result<Self> {
        if counts.len() != grid.overflow() + 1 {
            return Err(invalid(
                "counts",
                format!("has {} cells, the grid {}", counts.len(), grid.overflow() + 1),
            ));
        }
        let n = total("counts", counts)?;
        if sketch.count() == 0 {
            return Err(invalid("sketch", "has no values"));
        }
        let steps = sketch.steps();
        let (mut below, mut before, mut low, mut high) = (0_u64, 0.0_f64, 0.0_f64, 0.0_f64);
        for (index, &count) in counts.iter().enumerate() {
            let start = below as f64 / n as f64;
            below += count;
            let end = below as f64 / n as f64;
            let rank =
                if index < grid.overflow() { rank_below(&steps, grid.threshold(index + 1)) } else { 1.0 };
            low = low.max((end - rank).abs());
            high = high.max((end - before).abs()).max((rank - start).abs());
            before = rank;
        }
        let error = sketch.rank_error();
        let statistic = Bounds { low: (low - error).max(0.0), high: (high + error).min(1.0) };
        Ok(Self::new(statistic, if error > 0.0 { 0.99 } else { 1.0 }, n, sketch.count()))
    }

    fn around(seen: f64, error: f64, errors: [f64; 2], n: u64, m: u64) -> Self {
        let statistic = Bounds { low: (seen - error).max(0.0), high: (seen + error).min(1.0) };
        let doubtful = errors.iter().filter(|&&error| error > 0.0).count();
        Self::new(statistic, 1.0 - 0.01 * doubtful as f64, n, m)
    }

    /// Drift when even the smallest possible difference is significant at this level, no drift when even the largest is not,
    /// inconclusive in between.
    ///
    /// ```
    /// use mlops_core::monitor::DriftVerdict;
    /// use mlops_drift::profile::KsBounds;
    ///
    /// let verdict = |a: &[u64], b: &[u64]| KsBounds::from_counts(a, b).map(|ks| ks.verdict(0.05));
    /// assert_eq!(verdict(&[100, 0], &[0, 100])?, DriftVerdict::Drift);
    /// assert_eq!(verdict(&[100], &[100])?, DriftVerdict::Inconclusive); // one cell says nothing
    /// assert_eq!(verdict(&[1; 100], &[1; 100])?, DriftVerdict::NoDrift);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn verdict(&self, alpha: f64) -> DriftVerdict {
        match (self.p_low.value(), self.p_high.value()) {
            (_, Some(high)) if high <= alpha => DriftVerdict::Drift,
            (Some(low), _) if low > alpha => DriftVerdict::NoDrift,
            _ => DriftVerdict::Inconclusive,
        }
    }
}

/// P(D or more | no drift) and its logarithm by Kolmogorov's limit law.
pub(crate) fn kolmogorov(statistic: f64, n: u64, m: u64) -> (Measured, Measured) {
    let (n, m) = (n as f64, m as f64);
    let root = (n / (n + m) * m).sqrt();
    let ln_p = if statistic > 0.0 { ln_kolmogorov_sf(statistic * root).min(0.0) } else { 0.0 };
    (Measured::Value(ln_p.exp()), Measured::Value(ln_p))
}

/// One cell: the difference at its end, and the largest that is possible inside, as multiples of 1/(n·m).
struct Cell {
    at_end: u128,
    inside: u128,
}

fn walk<'a>(one: &'a [u64], other: &'a [u64], n: u64, m: u64) -> impl Iterator<Item = Cell> + 'a {
    let scaled = |count: u64, by: u64| u128::from(count) * u128::from(by);
    let (mut i, mut j) = (0, 0);
    one.iter().zip(other).map(move |(&a, &b)| {
        let (i_start, j_start) = (i, j);
        (i, j) = (i + a, j + b);
        let at_end = scaled(i, m).abs_diff(scaled(j, n));
        let inside = if a > 0 && b > 0 {
            let up = scaled(i, m).saturating_sub(scaled(j_start, n));
            up.max(scaled(j, n).saturating_sub(scaled(i_start, m)))
        } else {
            0
        };
        Cell { at_end, inside }
    })
}

/// The largest difference of two step functions.
fn gap(one: &[(f64, f64)], other: &[(f64, f64)]) -> f64 {
    let (mut i, mut j, mut f, mut g, mut gap) = (0, 0, 0.0_f64, 0.0_f64, 0.0_f64);
    loop {
        let next = match (one.get(i), other.get(j)) {
            (Some(a), Some(b)) => a.0.min(b.0),
            (Some(a), None) => a.0,
            (None, Some(b)) => b.0,
            (None, None) => return gap,
        };
        if let Some(&(_, rank)) = one.get(i).filter(|step| step.0 == next) {
            (f, i) = (rank, i + 1);
        }
        if let Some(&(_, rank)) = other.get(j).filter(|step| step.0 == next) {
            (g, j) = (rank, j + 1);
        }
        gap = gap.max((f - g).abs());
    }
}

/// The share of values below x.
fn rank_below(steps: &[(f64, f64)], x: f64) -> f64 {
    let below = steps.partition_point(|step| step.0 < x);
    below.checked_sub(1).and_then(|last| steps.get(last)).map_or(0.0, |step| step.1)
}

impl Reference {
    /// Kolmogorov–Smirnov of a column, from the counts of two profiles: bounds of D and p that hold with certainty.
    ///
    /// # Errors
    /// [`NotFound`](mlops_core::ErrorKind::NotFound) and [`InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a column that is not
    /// there, is text or has no value on one side; as [`Self::check`].
    ///
    /// ```
    /// use mlops_core::data::{Column, Table};
    /// use mlops_drift::profile::Reference;
    ///
    /// let table = |shift: i64| Table::new(vec![Column::i64("n", (0..1000).map(|i| i % 100 + shift).collect::<Vec<i64>>())?]);
    /// let reference = Reference::fit(&table(0)?)?;
    /// let week = reference.profile(&table(7)?)?;
    /// assert!(reference.ks(reference.baseline(), &week, "n")?.statistic.contains(0.07));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn ks(&self, one: &Profile, other: &Profile, column: &str) -> Result<KsBounds> {
        let (grid, a) = self.numbers(one, column)?;
        let (_, b) = self.numbers(other, column)?;
        KsBounds::from_counts(present(grid, a), present(grid, b)).map_err(|e| e.with("column", column))
    }

    /// The Wasserstein-1 distance ∫|F − G| of a column, in its unit, from the counts of two profiles.
    ///
    /// In a cell that spans w, F − G stays between F(start) − G(end) and F(end) − G(start), which gives both bounds; where the profiles know
    /// means, the distance is also at least their difference. The outer cells end at the extremes; where they are occupied and
    /// no finite extremes are known, the upper bound is infinite.
    ///
    /// # Errors
    /// As [`Self::ks`].
    ///
    /// ```
    /// use mlops_core::data::{Column, Table};
    /// use mlops_drift::profile::Reference;
    ///
    /// let table = |shift: i64| Table::new(vec![Column::i64("n", (0..1000).map(|i| i % 100 + shift).collect::<Vec<i64>>())?]);
    /// let reference = Reference::fit(&table(0)?)?;
    /// let w1 = reference.wasserstein(reference.baseline(), &reference.profile(&table(7)?)?, "n")?;
    /// assert!(w1.low > 6.999 && w1.high < 7.3, "{w1:?}");
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn wasserstein(&self, one: &Profile, other: &Profile, column: &str) -> Result<Bounds> {
        let (grid, a) = self.numbers(one, column)?;
        let (_, b) = self.numbers(other, column)?;
        let (x, y) = (present(grid, a), present(grid, b));
        let named = |e: Error| e.with("column", column);
        let (n, m) = (total("one", x).map_err(named)? as f64, total("other", y).map_err(named)? as f64);
        let outer = outer_ends(grid, a, b);
        let (mut i, mut j, mut low, mut high) = (0_u64, 0_u64, 0.0_f64, 0.0_f64);
        for (index, (&count_a, &count_b)) in x.iter().zip(y).enumerate() {
            let (start, other_start) = (i as f64 / n, j as f64 / m);
            (i, j) = (i + count_a, j + count_b);
            let (end, other_end) = (i as f64 / n, j as f64 / m);
            let (most, least) = (end - other_start, start - other_end);
            let width = width_of(grid, index, outer);
            let largest = most.abs().max(least.abs());
            if largest > 0.0 {
                high += largest * width;
            }
            // An outer cell may be narrower than its bound, and then says nothing about the least.
            if (1..=grid.cells()).contains(&index) && (most < 0.0 || least > 0.0) {
                low += most.abs().min(least.abs()) * width;
            }
        }
        if let (Some(one), Some(other)) = (self.moments(one, column)?, self.moments(other, column)?)
            && let (Some(one), Some(other)) = (one.mean.value(), other.mean.value())
            && (a.infinite(), b.infinite()) == (Some(0), Some(0))
        {
            low = low.max((one - other).abs() * (1.0 - 1e-12));
        }
        // A few roundings a cell, and edges that the subtraction of the grid moves by half a unit in the last place.
        let slack = 4.0 * f64::EPSILON * x.len() as f64;
        let moved = f64::EPSILON * grid.low().abs().max(grid.high().abs());
        low = (low * (1.0 - slack) - moved).max(0.0);
        high = if high > 0.0 { (high * (1.0 + slack) + moved).max(low) } else { high };
        Ok(Bounds { low, high })
    }

    /// Where the quantile of a column lies: the ⌈p·n⌉-th smallest value (the smallest for p = 0), which is in a known cell.
    /// Clipped to the extremes where they are known.
    ///
    /// # Errors
    /// As [`Self::ks`]; [`InvalidInput`](mlops_core::ErrorKind::InvalidInput) for p outside [0, 1].
    ///
    /// ```
    /// use mlops_core::data::{Column, Table};
    /// use mlops_drift::profile::Reference;
    ///
    /// let table = Table::new(vec![Column::i64("n", (1..=1000).collect::<Vec<i64>>())?])?;
    /// let reference = Reference::fit(&table)?;
    /// let median = reference.quantile(reference.baseline(), "n", 0.5)?;
    /// assert!(median.contains(500.0) && median.high - median.low < 1.0);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn quantile(&self, profile: &Profile, column: &str, p: f64) -> Result<Bounds> {
        let (grid, counted) = self.numbers(profile, column)?;
        if !(0.0..=1.0).contains(&p) {
            return Err(invalid("p", format!("must lie in [0, 1], not {p}")));
        }
        let counts = present(grid, counted);
        let n = total("profile", counts).map_err(|e| e.with("column", column))?;
        #[expect(clippy::cast_sign_loss, reason = "a share of a count is not negative")]
        let rank = ((p * n as f64).ceil() as u64).clamp(1, n);
        let mut below = 0;
        let cell = counts.iter().position(|&count| {
            below += count;
            below >= rank
        });
        let cell = cell.unwrap_or(grid.overflow());
        let range = counted.extremes().unwrap_or(Extremes { min: f64::NEG_INFINITY, max: f64::INFINITY });
        let low = if cell == 0 { f64::NEG_INFINITY } else { grid.threshold(cell) };
        let high = if cell == grid.overflow() { f64::INFINITY } else { grid.threshold(cell + 1).next_down() };
        Ok(Bounds { low: low.max(range.min), high: high.min(range.max) })
    }

    fn numbers<'p>(&self, profile: &'p Profile, column: &str) -> Result<(&Grid, &'p NumericProfile)> {
        match self.counted_column(profile, column)? {
            (fitted, ColumnProfile::Numeric(counted)) if fitted.grid().is_some() => {
                let ColumnCells::Numeric { grid, .. } = fitted.cells() else { return Err(text(column)) };
                Ok((grid, counted))
            }
            _ => Err(text(column)),
        }
    }
}

fn text(column: &str) -> Error {
    invalid("column", "is text").with("column", column)
}

/// The counts of values that are there.
fn present<'p>(grid: &Grid, counted: &'p NumericProfile) -> &'p [u64] {
    counted.cells().get(..=grid.overflow()).unwrap_or_default()
}

/// How far the outer cells reach; infinite where they are occupied and it is not known.
fn outer_ends(grid: &Grid, one: &NumericProfile, other: &NumericProfile) -> (f64, f64) {
    let (mut below, mut above) = (0.0_f64, 0.0_f64);
    for counted in [one, other] {
        let occupied = |index: usize| counted.cells().get(index).is_some_and(|&count| count > 0);
        if occupied(0) {
            below = below.max(counted.extremes().map_or(f64::INFINITY, |range| grid.low() - range.min));
        }
        if occupied(grid.overflow()) {
            above = above.max(counted.extremes().map_or(f64::INFINITY, |range| range.max - grid.high()));
        }
    }
    (below, above)
}

fn width_of(grid: &Grid, index: usize, outer: (f64, f64)) -> f64 {
    match index {
        0 => outer.0,
        index if index > grid.cells() => outer.1,
        _ => grid.width(),
    }
}

fn total(field: &'static str, counts: &[u64]) -> Result<u64> {
    let total = counts.iter().try_fold(0_u64, |sum, &count| sum.checked_add(count));
    match total {
        Some(0) => Err(invalid(field, "has no values")),
        Some(total) if total <= Profile::MAX_ROWS => Ok(total),
        _ => Err(invalid(field, "has more than 2^62 values")),
    }
}

fn invalid(field: &'static str, message: impl Into<String>) -> Error {
    Error::invalid("profile::inference", field, message)
}
