//! Maximum mean discrepancy between two clouds of rows, with a Gaussian kernel.
//!
//! > MMD²ᵤ = 1/(n(n−1)) Σᵢ≠ⱼ k(xᵢ, xⱼ) + 1/(m(m−1)) Σᵢ≠ⱼ k(yᵢ, yⱼ) − 2/(nm) Σᵢⱼ k(xᵢ, yⱼ),  k(a, b) = exp(−‖a − b‖²/(2σ²)),
//!
//! the unbiased estimate: on average 0 when nothing drifts, so it may be negative; at most 2. σ is the median distance of two
//! rows of either side, or given. p comes from permuting the rows between the sides.
//!
//! Cost up to [`MmdOptions::max_rows`] rows: O(N² · columns), then O(min(n, m)²) a permutation; N²/2 doubles of memory. Beyond,
//! the kernel is approximated by D random Fourier features: O(N · D · columns) once, and memory that does not grow with N.
//!
//! Sources: Gretton, Borgwardt, Rasch, Schölkopf, Smola, *A kernel two-sample test*, JMLR 13, 2012; Rahimi and Recht, *Random
//! features for large-scale kernel machines*, NIPS 2007.

use mlops_core::num::{NanPolicy, Random, StatsError};
use serde::{Deserialize, Serialize};

use super::joint::{
    JointDefinition, JointDistance, Null, Permuter, Pool, Sides, at_most_a_million, normals, sample,
    some_permutations,
};
use super::matrix::{Matrix, Real};
use super::pairwise::{GroupSums, Triangle, squared_distance};

/// The width σ of the Gaussian kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bandwidth {
    /// The median distance of two different rows of either side, of 1 000 rows sampled by the seed where there are more; their
    /// mean distance where the median is 0. The default.
    #[default]
    Median,
    /// A given one, positive and finite.
    Fixed(f64),
}

/// How [`mmd_with`] compares.
///
/// ```
/// use mlops_drift::multivariate::{Bandwidth, MmdOptions};
/// let options = MmdOptions::new(7).with_bandwidth(Bandwidth::Fixed(2.0));
/// assert_eq!((options.permutations, options.max_rows, options.frequencies), (499, 5_000, 256));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MmdOptions {
    /// What every permutation, sample and frequency is drawn from.
    pub seed: u64,
    /// How many permutations; 499 by default, so that p is at least 0.002.
    pub permutations: u32,
    /// The width of the kernel; the median distance by default.
    pub bandwidth: Bandwidth,
    /// The most rows of both sides together for which the kernel is exact; 5 000 by default, 100 MB of kernel values.
    pub max_rows: usize,
    /// D: how many frequencies approximate the kernel beyond that; 256 by default.
    pub frequencies: u32,
    /// What a row with a NaN is; an error by default.
    pub nan: NanPolicy,
}

impl MmdOptions {
    /// The defaults for a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            permutations: 499,
            bandwidth: Bandwidth::Median,
            max_rows: 5_000,
            frequencies: 256,
            nan: NanPolicy::Raise,
        }
    }

    /// With so many permutations.
    #[must_use]
    pub const fn with_permutations(mut self, permutations: u32) -> Self {
        self.permutations = permutations;
        self
    }

    /// With this width of the kernel.
    #[must_use]
    pub const fn with_bandwidth(mut self, bandwidth: Bandwidth) -> Self {
        self.bandwidth = bandwidth;
        self
    }

    /// With an exact kernel up to so many rows.
    #[must_use]
    pub const fn with_max_rows(mut self, max_rows: usize) -> Self {
        self.max_rows = max_rows;
        self
    }

    /// With so many frequencies beyond that.
    #[must_use]
    pub const fn with_frequencies(mut self, frequencies: u32) -> Self {
        self.frequencies = frequencies;
        self
    }

    /// With this policy for rows with a NaN.
    #[must_use]
    pub const fn with_nan(mut self, nan: NanPolicy) -> Self {
        self.nan = nan;
        self
    }

    fn check(&self) -> Result<(), StatsError> {
        some_permutations(self.permutations)?;
        at_most_a_million("frequencies", self.frequencies)?;
        match self.bandwidth {
            Bandwidth::Fixed(value) if !(value > 0.0 && value.is_finite()) => {
                let reason = "must be positive and finite";
                Err(StatsError::Parameter { parameter: "bandwidth", value, reason })
            }
            _ => Ok(()),
        }
    }
}

/// A maximum mean discrepancy and the width of its kernel.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mmd {
    /// MMD²ᵤ, and what is needed to judge it.
    pub distance: JointDistance,
    /// σ; 0 when all rows are equal, and the distance is then 0 too.
    pub bandwidth: f64,
}

/// MMD²ᵤ at the median bandwidth, with p by 499 permutations of the seed.
///
/// # Errors
/// As [`mmd_with`].
///
/// ```
/// use mlops_drift::multivariate::{Matrix, mmd};
///
/// // The same values in each column; only how they go together has changed.
/// let together: Vec<f32> = (0..60_u8).flat_map(|i| [f32::from(i), f32::from(i)]).collect();
/// let opposed: Vec<f32> = (0..60_u8).flat_map(|i| [f32::from(i), f32::from(59 - i)]).collect();
/// let (reference, current) = (Matrix::new(&together, 2)?, Matrix::new(&opposed, 2)?);
/// let drift = mmd(&reference, &current, 1)?.distance;
/// assert_eq!(drift.p.value(), Some(0.002));
/// assert!(drift.score > 0.1 && drift.noise_floor.abs() < 0.01);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn mmd<T: Real, U: Real>(
    reference: &Matrix<'_, T>,
    current: &Matrix<'_, U>,
    seed: u64,
) -> Result<Mmd, StatsError> {
    mmd_with(reference, current, &MmdOptions::new(seed))
}

/// MMD²ᵤ under given [`MmdOptions`].
///
/// Beyond `max_rows` the rows of each side are dealt at random into blocks of equal size, at most 2 048 a side, and whole
/// blocks are permuted. Blocks are exchangeable when rows are, so p is as valid; rows that fill no block are left out and
/// not counted as used.
///
/// # Errors
/// [`StatsError::LengthMismatch`] for sides of different width; [`StatsError::TooFew`] for a side with one usable row;
/// [`StatsError::Empty`], [`StatsError::Nan`], [`StatsError::NotFinite`], [`StatsError::AllMissing`] name the side;
/// [`StatsError::Parameter`] for permutations or frequencies outside 1 … 1 000 000 or a bandwidth that is not positive; [`StatsError::Overflow`] for
/// distances beyond the doubles.
///
/// ```
/// use mlops_drift::multivariate::{Matrix, MmdOptions, mmd_with};
/// let rows: Vec<f64> = (0..600).map(|i| f64::from(i * 37 % 101)).collect();
/// let matrix = Matrix::new(&rows, 2)?;
/// let exact = mmd_with(&matrix, &matrix, &MmdOptions::new(0))?.distance;
/// let approximate = mmd_with(&matrix, &matrix, &MmdOptions::new(0).with_max_rows(100))?.distance;
/// assert!((exact.score - approximate.score).abs() < 0.001);
/// assert_ne!(exact.definition, approximate.definition);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn mmd_with<T: Real, U: Real>(
    reference: &Matrix<'_, T>,
    current: &Matrix<'_, U>,
    options: &MmdOptions,
) -> Result<Mmd, StatsError> {
    options.check()?;
    let sides = Sides::new(reference, current, options.nan, 2)?;
    let random = Random::new(options.seed).stream("mmd");
    let (n, m) = sides.sizes();
    if n + m <= options.max_rows {
        let pool = sides.pool();
        let bandwidth = width(&pool, options.bandwidth, &random)?;
        return Ok(Mmd { distance: exact(&sides, &pool, bandwidth, options, &random), bandwidth });
    }
    let few = sides.pool_at_most(2 * SAMPLE, &random.stream("bandwidth"));
    let bandwidth = width(&few, options.bandwidth, &random)?;
    let blocks = Blocks::new(&sides, bandwidth, options.frequencies, &random);
    if !blocks.sums.iter().all(|sum| sum.is_finite()) {
        return Err(StatsError::Overflow { what: "the product of a row and a frequency" });
    }
    Ok(Mmd { distance: blocks.distance(&sides, options, &random), bandwidth })
}

/// How many rows the median distance is taken from.
const SAMPLE: usize = 1_000;

fn width(pool: &Pool, bandwidth: Bandwidth, random: &Random) -> Result<f64, StatsError> {
    if let Bandwidth::Fixed(width) = bandwidth {
        return Ok(width);
    }
    let rows = sample(pool.rows(), SAMPLE.min(pool.rows()), &mut random.stream("median"));
    let mut squares = Vec::with_capacity(rows.len() * rows.len() / 2);
    for (position, &i) in rows.iter().enumerate() {
        squares.extend(rows[..position].iter().map(|&j| squared_distance(pool.row(i), pool.row(j))));
    }
    let count = squares.len();
    let (below, &mut upper, _) = squares.select_nth_unstable_by(count / 2, f64::total_cmp);
    let upper = upper.sqrt();
    let lower =
        if count.is_multiple_of(2) { below.iter().copied().fold(0.0, f64::max).sqrt() } else { upper };
    let median = (lower + upper) / 2.0;
    let width =
        if median > 0.0 { median } else { squares.iter().map(|d| d.sqrt()).sum::<f64>() / count as f64 };
    if !width.is_finite() {
        return Err(StatsError::Overflow { what: "the distance of two rows" });
    }
    Ok(width)
}

/// exp(−d²/(2σ²)); 1 for equal rows, also when all of them are.
fn kernel(squared_distance: f64, bandwidth: f64) -> f64 {
    if squared_distance == 0.0 {
        return 1.0;
    }
    // Divided twice: the square of a small width may be 0.
    (-0.5 * (squared_distance / bandwidth / bandwidth)).exp()
}

fn exact<T: Real, U: Real>(
    sides: &Sides<'_, T, U>,
    pool: &Pool,
    bandwidth: f64,
    options: &MmdOptions,
    random: &Random,
) -> JointDistance {
    let triangle = Triangle::of_squared_distances(pool, |d| kernel(d, bandwidth));
    let (n, m) = (pool.n, pool.m);
    let (chosen, others) = (n.min(m), n.max(m));
    let statistic = |sums: GroupSums| unbiased([sums.chosen, sums.others], sums.across, chosen, others);
    let observed: Vec<usize> = if n <= m { (0..n).collect() } else { (n..n + m).collect() };
    let score = statistic(triangle.split(&observed));
    let mut permuter = Permuter::new(n + m, chosen, random);
    let permuted: Vec<f64> =
        (0..options.permutations).map(|index| statistic(triangle.split(permuter.nth(index)))).collect();
    sides.answer(JointDefinition::Mmd, score, Null::new(score, &permuted, TOLERANCE), (n, m))
}

/// Kernel values lie in [0, 1]; means of them that differ by less are equal but for rounding.
const TOLERANCE: f64 = 1e-13;

/// The estimate from sums over unordered pairs.
fn unbiased(within: [f64; 2], across: f64, chosen: usize, others: usize) -> f64 {
    let (k, l) = (chosen as f64, others as f64);
    2.0 * (within[0] / (k * (k - 1.0)) + within[1] / (l * (l - 1.0)) - across / (k * l))
}

/// Sums of random Fourier features over blocks of `size` rows each: `n` blocks of the reference, then `m` of the current side.
///
/// The features of a row, cos(ωx)/√D and sin(ωx)/√D for D frequencies ω ~ N(0, σ⁻²), have length 1, and the product of
/// two rows' features is the kernel on average.
struct Blocks {
    sums: Vec<f64>,
    width: usize,
    size: usize,
    n: usize,
    m: usize,
}

const MAX_BLOCKS: usize = 2_048;
const WANTED_BLOCKS: usize = 64;

impl Blocks {
    fn new<T: Real, U: Real>(
        sides: &Sides<'_, T, U>,
        bandwidth: f64,
        frequencies: u32,
        random: &Random,
    ) -> Self {
        let (n, m) = sides.sizes();
        // Large enough that the larger side fits, small enough that the smaller one still has blocks to permute.
        let size = n.max(m).div_ceil(MAX_BLOCKS).min(n.min(m) / WANTED_BLOCKS).max(1);
        let (n, m) = ((n / size).min(MAX_BLOCKS), (m / size).min(MAX_BLOCKS));
        let frequencies = usize::try_from(frequencies).unwrap_or(usize::MAX);
        let mut omegas =
            normals(frequencies.saturating_mul(sides.columns), &mut random.stream("frequencies"));
        // Equal rows have a width of 0 and equal features whatever the frequency.
        let scale = if bandwidth > 0.0 { bandwidth } else { 1.0 };
        omegas.iter_mut().for_each(|omega| *omega /= scale);
        let mut blocks =
            Self { sums: Vec::with_capacity((n + m) * 2 * frequencies), width: 2 * frequencies, size, n, m };
        blocks.fill(&sides.reference.matrix, n, &omegas, &random.stream("reference"));
        blocks.fill(&sides.current.matrix, m, &omegas, &random.stream("current"));
        blocks
    }

    fn fill<T: Real>(&mut self, matrix: &Matrix<'_, T>, blocks: usize, omegas: &[f64], random: &Random) {
        let mut order: Vec<usize> = (0..matrix.rows()).collect();
        random.clone().shuffle(&mut order);
        let columns = matrix.columns();
        let norm = 1.0 / ((self.width / 2) as f64).sqrt();
        let mut row = vec![0.0; columns];
        for block in order.chunks_exact(self.size).take(blocks) {
            let start = self.sums.len();
            self.sums.resize(start + self.width, 0.0);
            let sums = &mut self.sums[start..];
            for &index in block {
                let Some(values) = matrix.row(index) else { continue };
                row.iter_mut().zip(values).for_each(|(to, value)| *to = value.to_f64());
                for (pair, omega) in sums.chunks_exact_mut(2).zip(omegas.chunks_exact(columns)) {
                    let angle: f64 = omega.iter().zip(&row).map(|(o, x)| o * x).sum();
                    let (sin, cos) = angle.sin_cos();
                    pair[0] += norm * cos;
                    pair[1] += norm * sin;
                }
            }
        }
    }

    fn block(&self, index: usize) -> &[f64] {
        &self.sums[index * self.width..(index + 1) * self.width]
    }

    fn sum(&self, blocks: impl IntoIterator<Item = usize>) -> Vec<f64> {
        let mut sum = vec![0.0; self.width];
        for index in blocks {
            sum.iter_mut().zip(self.block(index)).for_each(|(to, value)| *to += value);
        }
        sum
    }

    fn distance<T: Real, U: Real>(
        &self,
        sides: &Sides<'_, T, U>,
        options: &MmdOptions,
        random: &Random,
    ) -> JointDistance {
        let (n, m) = (self.n, self.m);
        let total = self.sum(0..n + m);
        let (chosen, others) = (n.min(m), n.max(m));
        let observed: Vec<usize> = if n <= m { (0..n).collect() } else { (n..n + m).collect() };
        let statistic = |blocks: &[usize]| {
            let sum = self.sum(blocks.iter().copied());
            self.statistic(&sum, &total, chosen * self.size, others * self.size)
        };
        let score = statistic(&observed);
        let mut permuter = Permuter::new(n + m, chosen, random);
        let permuted: Vec<f64> =
            (0..options.permutations).map(|index| statistic(permuter.nth(index))).collect();
        let null = Null::new(score, &permuted, TOLERANCE);
        let definition = JointDefinition::MmdFourier { frequencies: options.frequencies };
        sides.answer(definition, score, null, (n * self.size, m * self.size))
    }

    /// The estimate from the sum of features over one group of `k` rows and over all `k + l`.
    fn statistic(&self, sum: &[f64], total: &[f64], k: usize, l: usize) -> f64 {
        let (mut own, mut other, mut across) = (0.0, 0.0, 0.0);
        for (&s, &t) in sum.iter().zip(total) {
            let rest = t - s;
            own += s * s;
            other += rest * rest;
            across += s * rest;
        }
        // A row's features have length 1: what the pairs of a row with itself add up to is the number of rows.
        unbiased([(own - k as f64) / 2.0, (other - l as f64) / 2.0], across, k, l)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlops_core::num::Measured;

    fn cloud(rows: usize, columns: usize, shift: f64, seed: u64) -> Vec<f64> {
        normals(rows * columns, &mut Random::new(seed)).into_iter().map(|value| value + shift).collect()
    }

    #[test]
    fn random_features_come_near_the_exact_kernel() {
        let (a, b) = (cloud(700, 3, 0.0, 1), cloud(500, 3, 0.5, 2));
        let (a, b) = (Matrix::new(&a, 3).unwrap(), Matrix::new(&b, 3).unwrap());
        let options = MmdOptions::new(5).with_bandwidth(Bandwidth::Fixed(2.0)).with_permutations(99);
        let exact = mmd_with(&a, &b, &options).unwrap();
        let approximate = mmd_with(&a, &b, &options.with_max_rows(10).with_frequencies(2_000)).unwrap();
        let (exact, approximate) = (exact.distance, approximate.distance);
        assert!((exact.score - approximate.score).abs() < 0.1 * exact.score, "{exact:?} {approximate:?}");
        assert_eq!((approximate.reference.used, approximate.current.used), (700, 500));
        assert_eq!(approximate.p, Measured::Value(0.01));
    }

    #[test]
    fn blocks_bound_the_memory_and_leave_few_rows_out() {
        let (a, b) = (cloud(10_000, 1, 0.0, 1), cloud(400, 1, 0.0, 2));
        let (a, b) = (Matrix::new(&a, 1).unwrap(), Matrix::new(&b, 1).unwrap());
        let got = mmd_with(&a, &b, &MmdOptions::new(5).with_permutations(9).with_frequencies(8)).unwrap();
        // Blocks of five rows: 2 000 of the reference, 80 of the current side.
        assert_eq!((got.distance.reference.used, got.distance.current.used), (10_000, 400));
    }

    #[test]
    fn rows_that_are_all_equal_do_not_drift() {
        let a = Matrix::new(&[2.5_f32; 40], 2).unwrap();
        for max_rows in [100, 10] {
            let got = mmd_with(&a, &a, &MmdOptions::new(1).with_max_rows(max_rows)).unwrap();
            assert_eq!((got.bandwidth, got.distance.p.value()), (0.0, Some(1.0)));
            assert!(got.distance.score.abs() < 1e-12);
        }
    }

    #[test]
    fn options_out_of_range_are_named() {
        let a = Matrix::new(&[1.0, 2.0, 3.0], 1).unwrap();
        for options in [
            MmdOptions::new(0).with_permutations(0),
            MmdOptions::new(0).with_frequencies(0),
            MmdOptions::new(0).with_bandwidth(Bandwidth::Fixed(0.0)),
            MmdOptions::new(0).with_bandwidth(Bandwidth::Fixed(f64::NAN)),
        ] {
            assert!(matches!(mmd_with(&a, &a, &options), Err(StatsError::Parameter { .. })), "{options:?}");
        }
        let one = Matrix::new(&[1.0], 1).unwrap();
        assert!(matches!(
            mmd(&a, &one, 0),
            Err(StatsError::TooFew { argument: "current", needed: 2, got: 1 })
        ));
    }
}
