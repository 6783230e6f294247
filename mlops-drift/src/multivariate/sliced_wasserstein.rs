//! Sliced Wasserstein-1 distance between two clouds of rows.
//!
//! > SW = 1/L Σₗ W₁(θₗ·x, θₗ·y),  W₁ = ∫ |F(t) − G(t)| dt,
//!
//! over L directions θₗ drawn evenly from the sphere: the mean, over directions, of how far mass must be moved along them. In the
//! unit of the columns, which should be on one scale ([`Scaler`](super::Scaler)). p comes from permuting the rows between
//! the sides, the directions staying as they are.
//!
//! Cost: O(L · N · (columns + log N + B)) for N rows of both sides and B permutations; memory O(N · (columns + B/8)) bytes.
//!
//! Source: Bonneel, Rabin, Peyré, Pfister, *Sliced and Radon Wasserstein barycenters of measures*, J. Math. Imaging Vis. 51, 2015.

use mlops_core::num::ranks::sort_pairs;
use mlops_core::num::{NanPolicy, Random, StatsError};
use serde::{Deserialize, Serialize};

use super::joint::{
    JointDefinition, JointDistance, Null, Permuter, Pool, Sides, at_most_a_million, normals, not_below,
    some_permutations,
};
use super::matrix::{Matrix, Real, same_columns};

/// How [`sliced_wasserstein_with`] compares.
///
/// ```
/// use mlops_drift::multivariate::SlicedWassersteinOptions;
/// let options = SlicedWassersteinOptions::new(7).with_projections(50);
/// assert_eq!((options.projections, options.permutations, options.max_rows), (50, 499, None));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlicedWassersteinOptions {
    /// What every direction, permutation and sample is drawn from.
    pub seed: u64,
    /// How many permutations; 499 by default, so that p is at least 0.002.
    pub permutations: u32,
    /// L: how many directions; 100 by default.
    pub projections: u32,
    /// Compare at most so many rows of both sides together, sampled by the seed; all of them by default.
    pub max_rows: Option<usize>,
    /// What a row with a NaN is; an error by default.
    pub nan: NanPolicy,
}

impl SlicedWassersteinOptions {
    /// The defaults for a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, permutations: 499, projections: 100, max_rows: None, nan: NanPolicy::Raise }
    }

    /// With so many permutations.
    #[must_use]
    pub const fn with_permutations(mut self, permutations: u32) -> Self {
        self.permutations = permutations;
        self
    }

    /// With so many directions.
    #[must_use]
    pub const fn with_projections(mut self, projections: u32) -> Self {
        self.projections = projections;
        self
    }

    /// With a sample of so many rows.
    #[must_use]
    pub const fn with_max_rows(mut self, max_rows: usize) -> Self {
        self.max_rows = Some(max_rows);
        self
    }

    /// With this policy for rows with a NaN.
    #[must_use]
    pub const fn with_nan(mut self, nan: NanPolicy) -> Self {
        self.nan = nan;
        self
    }
}

/// The sliced Wasserstein-1 distance over 100 directions, with p by 499 permutations of the seed.
///
/// # Errors
/// As [`sliced_wasserstein_with`].
///
/// ```
/// use mlops_drift::multivariate::{Matrix, sliced_wasserstein};
///
/// let reference: Vec<f64> = (0..100).flat_map(|i| [f64::from(i % 10), f64::from(i / 10)]).collect();
/// let moved: Vec<f64> = reference.iter().map(|value| value + 3.0).collect();
/// let (reference, current) = (Matrix::new(&reference, 2)?, Matrix::new(&moved, 2)?);
/// let drift = sliced_wasserstein(&reference, &current, 1)?;
/// assert!(drift.score > 2.0 && drift.p.value() == Some(0.002));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn sliced_wasserstein<T: Real, U: Real>(
    reference: &Matrix<'_, T>,
    current: &Matrix<'_, U>,
    seed: u64,
) -> Result<JointDistance, StatsError> {
    sliced_wasserstein_with(reference, current, &SlicedWassersteinOptions::new(seed))
}

/// The sliced Wasserstein-1 distance under given [`SlicedWassersteinOptions`].
///
/// # Errors
/// [`StatsError::LengthMismatch`] for sides of different width; [`StatsError::Empty`], [`StatsError::Nan`],
/// [`StatsError::NotFinite`], [`StatsError::AllMissing`] name the side; [`StatsError::Parameter`] for permutations or directions
/// outside 1 … 1 000 000 or fewer than two rows to sample; [`StatsError::Overflow`] for projections beyond the doubles.
///
/// ```
/// use mlops_drift::multivariate::{Matrix, SlicedWassersteinOptions, sliced_wasserstein_with};
/// let matrix = Matrix::new(&[1.0_f32, 2.0, 3.0, 4.0], 2)?;
/// let same = sliced_wasserstein_with(&matrix, &matrix, &SlicedWassersteinOptions::new(1).with_projections(5))?;
/// assert_eq!((same.score, same.p.value()), (0.0, Some(1.0)));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn sliced_wasserstein_with<T: Real, U: Real>(
    reference: &Matrix<'_, T>,
    current: &Matrix<'_, U>,
    options: &SlicedWassersteinOptions,
) -> Result<JointDistance, StatsError> {
    let columns = same_columns(reference, current)?;
    let directions = directions(columns, options.projections, options.seed)?;
    sliced_wasserstein_along(reference, current, &directions, options)
}

/// The same along given directions, one a row, in place of drawn ones; they are made unit length.
///
/// # Errors
/// As [`sliced_wasserstein_with`]; [`StatsError::LengthMismatch`] for directions of another width and
/// [`StatsError::ZeroTotal`] for one of length 0.
///
/// # Example: along the axes
/// ```
/// use mlops_drift::multivariate::{Matrix, SlicedWassersteinOptions, sliced_wasserstein_along};
///
/// let axes = Matrix::new(&[1.0, 0.0, 0.0, 1.0], 2)?;
/// let (a, b) = (Matrix::new(&[0.0, 0.0, 1.0, 0.0], 2)?, Matrix::new(&[0.0, 4.0, 1.0, 4.0], 2)?);
/// let got = sliced_wasserstein_along(&a, &b, &axes, &SlicedWassersteinOptions::new(1))?;
/// assert_eq!(got.score, 2.0); // nothing along the first, 4 along the second
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn sliced_wasserstein_along<T: Real, U: Real>(
    reference: &Matrix<'_, T>,
    current: &Matrix<'_, U>,
    directions: &Matrix<'_, f64>,
    options: &SlicedWassersteinOptions,
) -> Result<JointDistance, StatsError> {
    some_permutations(options.permutations)?;
    let sides = Sides::new(reference, current, options.nan, 1)?;
    same_columns(reference, directions)?;
    let directions = unit_length(directions)?;
    let random = Random::new(options.seed).stream("sliced_wasserstein");
    let limit = options.max_rows.unwrap_or(usize::MAX);
    not_below("max_rows", limit, 2, "must be at least 2")?;
    let pool = sides.pool_at_most(limit, &random);
    let labels = Labels::new(&pool, options.permutations, &random);
    let mut totals = vec![0.0; labels.count];
    for direction in directions.chunks_exact(sides.columns) {
        let line = project(&pool, direction)?;
        labels.add_distances(&line, &mut totals);
    }
    let lines = (directions.len() / sides.columns) as f64;
    let scale = lines * pool.n as f64 * pool.m as f64;
    totals.iter_mut().for_each(|total| *total /= scale);
    let Some((&score, permuted)) = totals.split_first() else {
        return Err(StatsError::Empty { argument: "permutations" });
    };
    if !score.is_finite() {
        return Err(StatsError::Overflow { what: "the sum of the distances" });
    }
    let null = Null::new(score, permuted, 1e-13 * score);
    let projections = u32::try_from(directions.len() / sides.columns).unwrap_or(u32::MAX);
    Ok(sides.answer(JointDefinition::SlicedWasserstein { projections }, score, null, (pool.n, pool.m)))
}

/// Directions even on the sphere: normal vectors, made unit length by the caller.
fn directions(columns: usize, projections: u32, seed: u64) -> Result<Matrix<'static, f64>, StatsError> {
    let count = usize::try_from(projections).unwrap_or(usize::MAX);
    at_most_a_million("projections", projections)?;
    let mut random = Random::new(seed).stream("sliced_wasserstein").stream("directions");
    Matrix::new(normals(count.saturating_mul(columns), &mut random), columns)
}

fn unit_length(directions: &Matrix<'_, f64>) -> Result<Vec<f64>, StatsError> {
    let argument = "directions";
    let complete = directions.complete(argument, NanPolicy::Raise)?;
    let mut values = complete.matrix.values().to_vec();
    for direction in values.chunks_exact_mut(directions.columns()) {
        let largest = direction.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        if largest == 0.0 {
            return Err(StatsError::ZeroTotal { argument });
        }
        direction.iter_mut().for_each(|value| *value /= largest);
        let length = direction.iter().map(|value| value * value).sum::<f64>().sqrt();
        direction.iter_mut().for_each(|value| *value /= length);
    }
    Ok(values)
}

/// Projections in ascending order with the row they belong to.
fn project(pool: &Pool, direction: &[f64]) -> Result<Vec<(f64, usize)>, StatsError> {
    let at = |row: usize| pool.row(row).iter().zip(direction).map(|(x, d)| x * d).sum::<f64>();
    let mut line: Vec<(f64, usize)> = (0..pool.rows()).map(|row| (at(row), row)).collect();
    if line.iter().any(|(value, _)| !value.is_finite()) {
        return Err(StatsError::Overflow { what: "the projection of a row" });
    }
    sort_pairs(&mut line);
    Ok(line)
}

/// How many labellings are walked through at once: one bit each in a word.
const LANES: usize = 64;

/// Which rows are of the smaller side: in the data (labelling 0) and in every permutation (from 1).
struct Labels {
    /// For every lane group, one word a row.
    words: Vec<Vec<u64>>,
    count: usize,
    rows: usize,
    chosen: usize,
}

impl Labels {
    fn new(pool: &Pool, permutations: u32, random: &Random) -> Self {
        let (n, m, rows) = (pool.n, pool.m, pool.rows());
        let count = usize::try_from(permutations).unwrap_or(usize::MAX).saturating_add(1);
        let chosen = n.min(m);
        let mut words = vec![vec![0_u64; rows]; count.div_ceil(LANES)];
        let observed = if n <= m { 0..n } else { n..n + m };
        if let Some(first) = words.first_mut() {
            first[observed].iter_mut().for_each(|word| *word |= 1);
        }
        let mut permuter = Permuter::new(rows, chosen, random);
        for (labelling, index) in (1..count).zip(0_u32..) {
            let words = &mut words[labelling / LANES];
            permuter.nth(index).iter().for_each(|&row| words[row] |= 1 << (labelling % LANES));
        }
        Self { words, count, rows, chosen }
    }

    /// Adds n·m·W₁ along one line to the total of every labelling.
    ///
    /// Between two neighbours on the line, |F − G| = |c·N − t·k|/(k·(N − k)) when c of the t values so far are of the smaller side,
    /// which has k of all N.
    fn add_distances(&self, line: &[(f64, usize)], totals: &mut [f64]) {
        let (all, chosen) = (self.rows as f64, self.chosen as f64);
        for (words, totals) in self.words.iter().zip(totals.chunks_mut(LANES)) {
            let (mut counts, mut areas) = ([0.0_f64; LANES], [0.0_f64; LANES]);
            for (before, pair) in line.windows(2).enumerate() {
                let word = words[pair[0].1];
                for (lane, count) in counts.iter_mut().enumerate() {
                    *count += (word >> lane & 1) as f64;
                }
                let gap = pair[1].0 - pair[0].0;
                if gap == 0.0 {
                    continue;
                }
                let expected = (before as f64 + 1.0) * chosen;
                for (area, count) in areas.iter_mut().zip(&counts) {
                    *area += (count * all - expected).abs() * gap;
                }
            }
            totals.iter_mut().zip(&areas).for_each(|(total, area)| *total += area);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W₁ of two samples by a walk of its own.
    fn wasserstein(a: &[f64], b: &[f64]) -> f64 {
        let mut line: Vec<(f64, bool)> =
            a.iter().map(|&v| (v, true)).chain(b.iter().map(|&v| (v, false))).collect();
        line.sort_by(|x, y| x.0.total_cmp(&y.0));
        let (mut f, mut g, mut area) = (0.0, 0.0, 0.0);
        for pair in line.windows(2) {
            if pair[0].1 {
                f += 1.0 / a.len() as f64
            } else {
                g += 1.0 / b.len() as f64
            }
            area += f64::abs(f - g) * (pair[1].0 - pair[0].0);
        }
        area
    }

    #[test]
    fn one_column_is_the_plain_distance() {
        let a: Vec<f64> = (0..70).map(|i| f64::from(i * i % 31)).collect();
        let b: Vec<f64> = (0..45).map(|i| f64::from(i * 7 % 40) + 0.5).collect();
        let (x, y) = (Matrix::new(&a, 1).unwrap(), Matrix::new(&b, 1).unwrap());
        let options = SlicedWassersteinOptions::new(1).with_projections(3);
        let got = sliced_wasserstein_with(&x, &y, &options).unwrap().score;
        let expected = wasserstein(&a, &b);
        assert!((got - expected).abs() < 1e-12 * expected, "{got} {expected}");
    }

    #[test]
    fn more_permutations_than_lanes_are_all_walked() {
        let a: Vec<f64> = (0..20).map(f64::from).collect();
        let b: Vec<f64> = (0..20).map(|i| f64::from(i) + 100.0).collect();
        let (x, y) = (Matrix::new(&a, 1).unwrap(), Matrix::new(&b, 1).unwrap());
        for permutations in [1, 63, 64, 65, 200] {
            let options =
                SlicedWassersteinOptions::new(1).with_projections(2).with_permutations(permutations);
            let got = sliced_wasserstein_with(&x, &y, &options).unwrap();
            assert_eq!(got.p.value(), Some(1.0 / (1.0 + f64::from(permutations))));
            assert!(got.noise_floor > 1.0);
        }
    }

    #[test]
    fn directions_are_checked() {
        let matrix = Matrix::new(&[1.0, 2.0], 2).unwrap();
        let options = SlicedWassersteinOptions::new(1);
        let zero = Matrix::new(&[0.0, 0.0], 2).unwrap();
        let along = |d: &Matrix<'_, f64>| sliced_wasserstein_along(&matrix, &matrix, d, &options);
        assert_eq!(along(&zero), Err(StatsError::ZeroTotal { argument: "directions" }));
        assert!(matches!(along(&Matrix::new(&[1.0], 1).unwrap()), Err(StatsError::LengthMismatch { .. })));
        assert!(sliced_wasserstein_with(&matrix, &matrix, &options.with_projections(0)).is_err());
    }
}
