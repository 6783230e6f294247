//! Cosine distance between the centroids of two clouds of rows: the cheapest look at embeddings.
//!
//! > C = 1 − x̄·ȳ / (‖x̄‖ ‖ȳ‖),  x̄ and ȳ the means of the rows,
//!
//! between 0 (the same direction) and 2 (the opposite one). It sees a mean that turns, not one that only grows, and neither spreads
//! nor shapes; and it depends on where zero is, so it is for embeddings and not for standardised columns, whose reference mean is zero
//! and has no direction. p comes from permuting the rows between the sides.
//!
//! Cost: O(N · columns) for N rows of both sides, then O(min(n, m) · columns) a permutation; N · columns doubles of memory.

use mlops_core::num::sum::Sum;
use mlops_core::num::{NanPolicy, Random, StatsError};
use serde::{Deserialize, Serialize};

use super::joint::{
    JointDefinition, JointDistance, Null, Permuter, Pool, Sides, not_below, some_permutations,
};
use super::matrix::{Matrix, Real};

/// How [`centroid_cosine_with`] compares.
///
/// ```
/// use mlops_drift::multivariate::CentroidOptions;
/// let options = CentroidOptions::new(7).with_permutations(999);
/// assert_eq!((options.permutations, options.max_rows), (999, None));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CentroidOptions {
    /// What every permutation and sample is drawn from.
    pub seed: u64,
    /// How many permutations; 499 by default, so that p is at least 0.002.
    pub permutations: u32,
    /// Compare at most so many rows of both sides together, sampled by the seed; all of them by default.
    pub max_rows: Option<usize>,
    /// What a row with a NaN is; an error by default.
    pub nan: NanPolicy,
}

impl CentroidOptions {
    /// The defaults for a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, permutations: 499, max_rows: None, nan: NanPolicy::Raise }
    }

    /// With so many permutations.
    #[must_use]
    pub const fn with_permutations(mut self, permutations: u32) -> Self {
        self.permutations = permutations;
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

/// The cosine distance of the centroids, with p by 499 permutations of the seed.
///
/// # Errors
/// As [`centroid_cosine_with`].
///
/// ```
/// use mlops_drift::multivariate::{Matrix, centroid_cosine};
///
/// let embeddings: Vec<f32> = (0..40_u8).flat_map(|i| [1.0, f32::from(i % 5) / 10.0]).collect();
/// let turned: Vec<f32> = (0..40_u8).flat_map(|i| [f32::from(i % 5) / 10.0, 1.0]).collect();
/// let drift = centroid_cosine(&Matrix::new(&embeddings, 2)?, &Matrix::new(&turned, 2)?, 1)?;
/// assert!(drift.score > 0.5 && drift.p.value() == Some(0.002));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn centroid_cosine<T: Real, U: Real>(
    reference: &Matrix<'_, T>,
    current: &Matrix<'_, U>,
    seed: u64,
) -> Result<JointDistance, StatsError> {
    centroid_cosine_with(reference, current, &CentroidOptions::new(seed))
}

/// The cosine distance of the centroids under given [`CentroidOptions`].
///
/// # Errors
/// [`StatsError::LengthMismatch`] for sides of different width; [`StatsError::Empty`], [`StatsError::Nan`],
/// [`StatsError::NotFinite`], [`StatsError::AllMissing`] name the side; [`StatsError::ZeroTotal`] names a side whose centroid is zero
/// and has no direction; [`StatsError::Parameter`] for permutations outside 1 … 1 000 000 or fewer than two rows to sample;
/// [`StatsError::Overflow`] for sums beyond the doubles.
///
/// ```
/// use mlops_drift::multivariate::{CentroidOptions, Matrix, centroid_cosine_with};
/// let (a, b) = (Matrix::new(&[1.0, 2.0], 2)?, Matrix::new(&[2.0, 4.0], 2)?);
/// let longer = centroid_cosine_with(&a, &b, &CentroidOptions::new(1).with_permutations(9))?;
/// assert!(longer.score < 1e-15); // twice as long, the same direction
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn centroid_cosine_with<T: Real, U: Real>(
    reference: &Matrix<'_, T>,
    current: &Matrix<'_, U>,
    options: &CentroidOptions,
) -> Result<JointDistance, StatsError> {
    some_permutations(options.permutations)?;
    let limit = options.max_rows.unwrap_or(usize::MAX);
    not_below("max_rows", limit, 2, "must be at least 2")?;
    let sides = Sides::new(reference, current, options.nan, 1)?;
    let random = Random::new(options.seed).stream("centroid");
    let pool = sides.pool_at_most(limit, &random);
    let (n, m) = (pool.n, pool.m);
    let total = exact_sum(&pool);
    if !dot(&total, &total).is_finite() {
        return Err(StatsError::Overflow { what: "the length of a centroid" });
    }
    // The smaller side is the cheaper one to sum over; the other is what it leaves of the total.
    let observed: Vec<usize> = if n <= m { (0..n).collect() } else { (n..n + m).collect() };
    let (chosen, others) = halves(&pool, &total, &observed);
    for (sum, is_reference) in [(&chosen, n <= m), (&others, n > m)] {
        if sum.iter().all(|value| *value == 0.0) {
            return Err(StatsError::ZeroTotal {
                argument: if is_reference { "reference" } else { "current" },
            });
        }
    }
    let score = cosine_distance(&chosen, &others);
    if !score.is_finite() {
        return Err(StatsError::Overflow { what: "the length of a centroid" });
    }
    let mut permuter = Permuter::new(n + m, observed.len(), &random);
    let permuted: Vec<f64> = (0..options.permutations)
        .map(|index| {
            let (chosen, others) = halves(&pool, &total, permuter.nth(index));
            let distance = cosine_distance(&chosen, &others);
            // A centroid that happens to be zero counts as far out.
            if distance.is_finite() { distance } else { 2.0 }
        })
        .collect();
    let null = Null::new(score, &permuted, 1e-13);
    Ok(sides.answer(JointDefinition::CentroidCosine, score, null, (n, m)))
}

fn exact_sum(pool: &Pool) -> Vec<f64> {
    let column = |index: usize| pool.values.iter().skip(index).step_by(pool.columns).copied();
    (0..pool.columns).map(|index| column(index).collect::<Sum>().value()).collect()
}

/// The sums over the chosen rows and over the others.
fn halves(pool: &Pool, total: &[f64], chosen: &[usize]) -> (Vec<f64>, Vec<f64>) {
    let mut sum = vec![0.0; pool.columns];
    for &row in chosen {
        sum.iter_mut().zip(pool.row(row)).for_each(|(sum, value)| *sum += value);
    }
    let others = total.iter().zip(&sum).map(|(total, sum)| total - sum).collect();
    (sum, others)
}

/// 1 − cos as ½‖a/‖a‖ − b/‖b‖‖²: precise also where the directions nearly agree. Sums have the direction of means.
fn cosine_distance(a: &[f64], b: &[f64]) -> f64 {
    let (a_length, b_length) = (dot(a, a).sqrt(), dot(b, b).sqrt());
    let squares = a.iter().zip(b).map(|(x, y)| (x / a_length - y / b_length).powi(2));
    0.5 * squares.sum::<f64>()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_centroid_of_zero_has_no_direction() {
        let (a, b) = (Matrix::new(&[1.0, -1.0, -1.0, 1.0], 2).unwrap(), Matrix::new(&[1.0, 1.0], 2).unwrap());
        assert_eq!(centroid_cosine(&a, &b, 1), Err(StatsError::ZeroTotal { argument: "reference" }));
        assert_eq!(centroid_cosine(&b, &a, 1), Err(StatsError::ZeroTotal { argument: "current" }));
    }

    #[test]
    fn opposite_directions_are_two_apart() {
        let (a, b) = (Matrix::new(&[3.0_f32, 4.0], 2).unwrap(), Matrix::new(&[-3.0, -4.0], 2).unwrap());
        assert!((centroid_cosine(&a, &b, 1).unwrap().score - 2.0).abs() < 1e-15);
    }

    #[test]
    fn lengths_beyond_the_doubles_are_an_error() {
        let (a, b) = (Matrix::new(&[1e200, 1.0], 2).unwrap(), Matrix::new(&[1.0, 1.0], 2).unwrap());
        assert!(matches!(centroid_cosine(&a, &b, 1), Err(StatsError::Overflow { .. })));
    }
}
