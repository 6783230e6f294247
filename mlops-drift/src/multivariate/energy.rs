//! Energy distance between two clouds of rows.
//!
//! > E = 2/(nm) Σᵢⱼ ‖xᵢ − yⱼ‖ − 1/n² Σᵢⱼ ‖xᵢ − xⱼ‖ − 1/m² Σᵢⱼ ‖yᵢ − yⱼ‖ ≥ 0,
//!
//! in the unit of the columns, which should be on one scale ([`Scaler`](super::Scaler)). In the limit it is 0 for equal
//! distributions only, so that any difference shows with enough rows: of means, spreads or dependence. In one column it is the
//! square of SciPy's `energy_distance`; in several it equals dcor's `energy_distance`.
//!
//! Cost: O(N² · columns) for the N rows of both sides, then O(min(n, m)²) a permutation; N²/2 doubles of memory.
//!
//! Source: Székely and Rizzo, *Energy statistics: a class of statistics based on distances*, J. Stat. Plan. Inference 143, 2013.

use mlops_core::num::{NanPolicy, Random, StatsError};
use serde::{Deserialize, Serialize};

use super::joint::{
    Beyond, JointDefinition, JointDistance, Null, Permuter, Sides, not_below, some_permutations,
};
use super::matrix::{Matrix, Real};
use super::pairwise::{GroupSums, Triangle};

/// How [`energy_with`] compares.
///
/// ```
/// use mlops_drift::multivariate::{Beyond, EnergyOptions};
/// let options = EnergyOptions::new(7).with_permutations(999).with_beyond(Beyond::Sample);
/// assert_eq!((options.seed, options.permutations, options.max_rows), (7, 999, 5_000));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnergyOptions {
    /// What every permutation and sample is drawn from.
    pub seed: u64,
    /// How many permutations; 499 by default, so that p is at least 0.002.
    pub permutations: u32,
    /// The most rows of both sides together; 5 000 by default, 100 MB of distances.
    pub max_rows: usize,
    /// What to do with more; an error by default.
    pub beyond: Beyond,
    /// What a row with a NaN is; an error by default.
    pub nan: NanPolicy,
}

impl EnergyOptions {
    /// The defaults for a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, permutations: 499, max_rows: 5_000, beyond: Beyond::Refuse, nan: NanPolicy::Raise }
    }

    /// With so many permutations.
    #[must_use]
    pub const fn with_permutations(mut self, permutations: u32) -> Self {
        self.permutations = permutations;
        self
    }

    /// With this limit of rows.
    #[must_use]
    pub const fn with_max_rows(mut self, max_rows: usize) -> Self {
        self.max_rows = max_rows;
        self
    }

    /// With this answer to more rows than the limit.
    #[must_use]
    pub const fn with_beyond(mut self, beyond: Beyond) -> Self {
        self.beyond = beyond;
        self
    }

    /// With this policy for rows with a NaN.
    #[must_use]
    pub const fn with_nan(mut self, nan: NanPolicy) -> Self {
        self.nan = nan;
        self
    }
}

/// The energy distance, with p by 499 permutations of the seed.
///
/// # Errors
/// As [`energy_with`].
///
/// ```
/// use mlops_drift::multivariate::{Matrix, energy};
///
/// // The same values in each column; only how they go together has changed.
/// let together: Vec<f64> = (0..60).flat_map(|i| [f64::from(i), f64::from(i)]).collect();
/// let opposed: Vec<f64> = (0..60).flat_map(|i| [f64::from(i), f64::from(59 - i)]).collect();
/// let (reference, current) = (Matrix::new(&together, 2)?, Matrix::new(&opposed, 2)?);
/// assert_eq!(energy(&reference, &current, 1)?.p.value(), Some(0.002));
/// assert_eq!(energy(&reference, &reference, 1)?.score, 0.0);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn energy<T: Real, U: Real>(
    reference: &Matrix<'_, T>,
    current: &Matrix<'_, U>,
    seed: u64,
) -> Result<JointDistance, StatsError> {
    energy_with(reference, current, &EnergyOptions::new(seed))
}

/// The energy distance under given [`EnergyOptions`].
///
/// # Errors
/// [`StatsError::LengthMismatch`] for sides of different width; [`StatsError::Empty`], [`StatsError::Nan`],
/// [`StatsError::NotFinite`], [`StatsError::AllMissing`] name the side; [`StatsError::Parameter`] for permutations outside 1 … 1 000 000 and for more
/// rows than `max_rows` under [`Beyond::Refuse`]; [`StatsError::Overflow`] for distances beyond the doubles.
///
/// ```
/// use mlops_drift::multivariate::{EnergyOptions, Matrix, energy_with};
/// let rows: Vec<f32> = (0..40_u8).map(f32::from).collect();
/// let matrix = Matrix::new(&rows, 2)?;
/// assert!(energy_with(&matrix, &matrix, &EnergyOptions::new(0).with_max_rows(30)).is_err());
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn energy_with<T: Real, U: Real>(
    reference: &Matrix<'_, T>,
    current: &Matrix<'_, U>,
    options: &EnergyOptions,
) -> Result<JointDistance, StatsError> {
    some_permutations(options.permutations)?;
    let sides = Sides::new(reference, current, options.nan, 1)?;
    let (n, m) = sides.sizes();
    if options.beyond == Beyond::Refuse {
        let reason = "is below the number of rows, whose distances take memory by its square";
        not_below("max_rows", options.max_rows, n + m, reason)?;
    }
    not_below("max_rows", options.max_rows, 2, "must be at least 2")?;
    let random = Random::new(options.seed).stream("energy");
    let pool = sides.pool_at_most(options.max_rows, &random);
    let triangle = Triangle::of_squared_distances(&pool, f64::sqrt);
    if !triangle.total().is_finite() {
        return Err(StatsError::Overflow { what: "the distance of two rows" });
    }
    let (n, m) = (pool.n, pool.m);
    // The smaller side is the cheaper one to sum over.
    let (chosen, others) = (n.min(m), n.max(m));
    let statistic = |sums: GroupSums| {
        let (k, l) = (chosen as f64, others as f64);
        2.0 * (sums.across / (k * l) - sums.chosen / (k * k) - sums.others / (l * l))
    };
    let observed: Vec<usize> = if n <= m { (0..n).collect() } else { (n..n + m).collect() };
    let score = statistic(triangle.split(&observed));
    let mut permuter = Permuter::new(n + m, chosen, &random);
    let permuted: Vec<f64> =
        (0..options.permutations).map(|index| statistic(triangle.split(permuter.nth(index)))).collect();
    let pairs = (n + m) as f64 * (n + m) as f64;
    let tolerance = 1e-12 * triangle.total() / pairs;
    let null = Null::new(score, &permuted, tolerance);
    // Rounding must not take a distance below 0.
    Ok(sides.answer(JointDefinition::Energy, score.max(0.0), null, (n, m)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampled_rows_are_counted() {
        let far: Vec<f64> = (0..200).map(|i| f64::from(i) + 500.0).collect();
        let near: Vec<f64> = (0..100).map(f64::from).collect();
        let (a, b) = (Matrix::new(&near, 1).unwrap(), Matrix::new(&far, 1).unwrap());
        let options = EnergyOptions::new(3).with_max_rows(60).with_beyond(Beyond::Sample);
        let got = energy_with(&a, &b, &options).unwrap();
        assert_eq!((got.reference.rows, got.reference.used), (100, 30));
        assert_eq!((got.current.rows, got.current.used), (200, 30));
        assert_eq!(got.p.value(), Some(0.002));
    }

    #[test]
    fn distances_that_overflow_are_an_error() {
        let (a, b) = (Matrix::new(&[1e300, 1.0], 1).unwrap(), Matrix::new(&[-1e300, 2.0], 1).unwrap());
        assert!(matches!(energy(&a, &b, 0), Err(StatsError::Overflow { .. })));
    }

    #[test]
    fn rows_that_are_all_equal_do_not_drift() {
        let a = Matrix::new(&[2.5_f32; 40], 2).unwrap();
        let got = energy(&a, &a, 0).unwrap();
        assert_eq!((got.score, got.noise_floor, got.p.value()), (0.0, 0.0, Some(1.0)));
    }
}
