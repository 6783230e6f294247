//! What the joint statistics answer, and how they sample rows.

use std::fmt;

use mlops_core::num::{Measured, Random, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::matrix::{Complete, Matrix, Real, same_columns};
use crate::distance::Interval;
use crate::sample::Side;

/// A distance between the rows of a reference and of current data, taken as wholes, with what is needed to judge it.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct JointDistance {
    /// What exactly was computed.
    pub definition: JointDefinition,
    /// The distance. Larger is farther; its unit and range are the definition's.
    pub score: f64,
    /// What the score is on average when nothing drifts, in the unit of the score.
    pub noise_floor: f64,
    /// The score with the noise floor taken off, at least 0.
    pub corrected: f64,
    /// P(this much or more | no drift); undefined with the reason when there is none.
    pub p: Measured,
    /// The natural logarithm of `p`.
    pub ln_p: Measured,
    /// Where the score would lie with endless data; `None` where no interval is known.
    pub interval: Option<Interval>,
    /// What became of the reference rows; `used` is fewer than `rows − missing` where rows were sampled.
    pub reference: Side,
    /// What became of the current rows.
    pub current: Side,
    /// How many columns a row has.
    pub columns: u64,
    /// How many permutations `p` and `noise_floor` come from; 0 where they come from a formula.
    pub permutations: u64,
}

/// What exactly a joint statistic computes. Shown as its id: two scores may be compared when their ids are equal.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JointDefinition {
    /// [Cosine distance of the centroids](super::centroid_cosine()).
    CentroidCosine,
    /// Out-of-fold AUC of a [domain classifier](super::domain_classifier()).
    DomainClassifier {
        /// The number of folds.
        folds: u32,
    },
    /// Difference of mean [reconstruction errors](super::pca_reconstruction) outside the leading principal components.
    PcaReconstruction {
        /// The share of the variance that the leading components hold.
        share: f64,
    },
    /// Unbiased squared [maximum mean discrepancy](super::mmd()), Gaussian kernel.
    Mmd,
    /// The same, the kernel approximated by random Fourier features.
    MmdFourier {
        /// The number of frequencies.
        frequencies: u32,
    },
    /// [Energy distance](super::energy()), as a V-statistic.
    Energy,
    /// [Sliced Wasserstein-1 distance](super::sliced_wasserstein()).
    SlicedWasserstein {
        /// The number of directions.
        projections: u32,
    },
}

impl fmt::Display for JointDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CentroidCosine => f.write_str("centroid.cosine/v1"),
            Self::DomainClassifier { folds } => write!(f, "domain_classifier.auc.folds{folds}/v1"),
            Self::PcaReconstruction { share } => write!(f, "pca.reconstruction.share{share}/v1"),
            Self::Mmd => f.write_str("mmd2.unbiased.gaussian/v1"),
            Self::MmdFourier { frequencies } => write!(f, "mmd2.unbiased.gaussian.fourier{frequencies}/v1"),
            Self::Energy => f.write_str("energy.v/v1"),
            Self::SlicedWasserstein { projections } => {
                write!(f, "sliced_wasserstein1.directions{projections}/v1")
            }
        }
    }
}

/// What to do with more rows than a matrix of all pairs may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Beyond {
    /// Nothing: an error names the limit. The default.
    #[default]
    Refuse,
    /// Compare rows sampled without replacement by the seed; the smaller side is kept whole up to half the limit.
    Sample,
}

/// The null distribution by permutation, summed up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Null {
    mean: f64,
    p: f64,
    permutations: u64,
}

impl Null {
    /// From the permuted scores. A permutation as far out as the data counts: p = (1 + #{Tᵇ ≥ T}) / (1 + B).
    ///
    /// Sums of the same numbers in another order differ by rounding; `tolerance` makes them equal.
    pub(crate) fn new(observed: f64, permuted: &[f64], tolerance: f64) -> Self {
        let count = permuted.len() as f64;
        let extreme = permuted.iter().filter(|&&score| score >= observed - tolerance).count() as f64;
        let mean = permuted.iter().sum::<f64>() / count.max(1.0);
        Self { mean, p: (1.0 + extreme) / (1.0 + count), permutations: permuted.len() as u64 }
    }

    /// With another mean: of a score that p is not the rank of.
    pub(crate) const fn with_mean(mut self, mean: f64) -> Self {
        self.mean = mean;
        self
    }
}

/// Two sides ready to be compared: of equal width, without NaN, all finite.
#[derive(Debug)]
pub(crate) struct Sides<'a, T: Clone, U: Clone> {
    pub(crate) reference: Complete<'a, T>,
    pub(crate) current: Complete<'a, U>,
    pub(crate) columns: usize,
}

impl<'a, T: Real, U: Real> Sides<'a, T, U> {
    pub(crate) fn new(
        reference: &'a Matrix<'_, T>,
        current: &'a Matrix<'_, U>,
        nan: mlops_core::num::NanPolicy,
        needed: usize,
    ) -> Result<Self, StatsError> {
        let columns = same_columns(reference, current)?;
        let sides = Self {
            reference: reference.complete("reference", nan)?,
            current: current.complete("current", nan)?,
            columns,
        };
        let (n, m) = sides.sizes();
        at_least("reference", needed, n)?;
        at_least("current", needed, m)?;
        Ok(sides)
    }

    /// How many usable rows the reference and the current side have.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.reference.matrix.rows(), self.current.matrix.rows())
    }

    /// All usable rows as doubles, the reference first.
    pub(crate) fn pool(&self) -> Pool {
        self.pool_of(0..self.sizes().0, 0..self.sizes().1)
    }

    /// At most `limit` rows of both sides together, sampled without replacement where there are more.
    pub(crate) fn pool_at_most(&self, limit: usize, random: &Random) -> Pool {
        let (n, m) = self.sizes();
        if n.saturating_add(m) <= limit {
            return self.pool();
        }
        let (from_n, from_m) = shares(n, m, limit);
        let reference = sample(n, from_n, &mut random.stream("reference"));
        let current = sample(m, from_m, &mut random.stream("current"));
        self.pool_of(reference, current)
    }

    fn pool_of(
        &self,
        reference: impl IntoIterator<Item = usize>,
        current: impl IntoIterator<Item = usize>,
    ) -> Pool {
        let mut values = self.reference.matrix.doubles(reference).values().to_vec();
        let n = values.len() / self.columns;
        values.extend_from_slice(self.current.matrix.doubles(current).values());
        let m = values.len() / self.columns - n;
        Pool { values, columns: self.columns, n, m }
    }

    /// The answer, once a score was found on `used` rows of each side.
    pub(crate) fn answer(
        &self,
        definition: JointDefinition,
        score: f64,
        null: Null,
        used: (usize, usize),
    ) -> JointDistance {
        let (mut reference, mut current) = (self.reference.side, self.current.side);
        (reference.used, current.used) = (used.0 as u64, used.1 as u64);
        let p = self.defined(null.p);
        JointDistance {
            definition,
            score,
            noise_floor: null.mean,
            corrected: (score - null.mean).max(0.0),
            p,
            ln_p: p.map(f64::ln),
            interval: None,
            reference,
            current,
            columns: self.columns as u64,
            permutations: null.permutations,
        }
    }

    /// The number, or that a NaN has made it undefined.
    pub(crate) fn defined(&self, value: f64) -> Measured {
        if self.reference.undefined || self.current.undefined {
            let (n, m) = self.sizes();
            let rows = self.reference.side.rows + self.current.side.rows;
            return Measured::none(
                UndefinedReason::NanInput,
                n + m,
                usize::try_from(rows).unwrap_or(usize::MAX),
            );
        }
        Measured::Value(value)
    }
}

/// How many rows to take of `n` and `m` so that they are at most `limit`: the smaller side whole, up to half of it.
pub(crate) fn shares(n: usize, m: usize, limit: usize) -> (usize, usize) {
    if n.saturating_add(m) <= limit {
        return (n, m);
    }
    let smaller = n.min(m).min(limit / 2);
    if n <= m { (smaller, limit - smaller) } else { (limit - smaller, smaller) }
}

/// Refuses a side with fewer rows than are needed.
pub(crate) fn at_least(argument: &'static str, needed: usize, got: usize) -> Result<(), StatsError> {
    if got < needed { Err(StatsError::TooFew { argument, needed, got }) } else { Ok(()) }
}

/// Refuses an option below its least value.
pub(crate) fn not_below(
    parameter: &'static str,
    value: usize,
    least: usize,
    reason: &'static str,
) -> Result<(), StatsError> {
    if value < least {
        return Err(StatsError::Parameter { parameter, value: value as f64, reason });
    }
    Ok(())
}

/// Refuses a permutation test without permutations, and one that nobody can wait for.
pub(crate) fn some_permutations(permutations: u32) -> Result<(), StatsError> {
    at_most_a_million("permutations", permutations)
}

/// Refuses a count that is 0 or beyond what memory and patience hold.
pub(crate) fn at_most_a_million(parameter: &'static str, count: u32) -> Result<(), StatsError> {
    if (1..=1_000_000).contains(&count) {
        return Ok(());
    }
    let reason = "must lie between 1 and 1 000 000";
    Err(StatsError::Parameter { parameter, value: f64::from(count), reason })
}

/// Rows of both sides in one piece: `n` of the reference, then `m` of the current data.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) values: Vec<f64>,
    pub(crate) columns: usize,
    pub(crate) n: usize,
    pub(crate) m: usize,
}

impl Pool {
    pub(crate) fn rows(&self) -> usize {
        self.n + self.m
    }

    pub(crate) fn row(&self, index: usize) -> &[f64] {
        &self.values[index * self.columns..(index + 1) * self.columns]
    }
}

/// Which rows a permutation gives to the smaller side.
///
/// Permutation `i` is drawn from a stream of its own, so it does not depend on the others.
#[derive(Debug)]
pub(crate) struct Permuter {
    rows: usize,
    chosen: usize,
    random: Random,
    order: Vec<usize>,
}

impl Permuter {
    /// Chooses `chosen` of `rows` rows.
    pub(crate) fn new(rows: usize, chosen: usize, random: &Random) -> Self {
        Self { rows, chosen, random: random.stream("permutations"), order: Vec::new() }
    }

    /// The chosen rows of permutation `index`, ascending. O(rows).
    pub(crate) fn nth(&mut self, index: u32) -> &[usize] {
        self.order.clear();
        self.order.extend(0..self.rows);
        draw_first(&mut self.order, self.chosen, &mut self.random.nth(u64::from(index)));
        self.order.truncate(self.chosen);
        self.order.sort_unstable();
        &self.order
    }
}

/// `count` of `0..rows`, without replacement, ascending.
pub(crate) fn sample(rows: usize, count: usize, random: &mut Random) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows).collect();
    draw_first(&mut order, count, random);
    order.truncate(count);
    order.sort_unstable();
    order
}

/// Moves a random choice of `count` items to the front (the first steps of Fisher–Yates).
fn draw_first(items: &mut [usize], count: usize, random: &mut Random) {
    let len = items.len();
    for first in 0..count.min(len) {
        let Some(bound) = std::num::NonZeroU64::new((len - first) as u64) else { continue };
        // What lies below a usize is a usize.
        let step = usize::try_from(random.below(bound)).unwrap_or(0);
        items.swap(first, first + step);
    }
}

/// Two independent standard normal numbers. Source: Box and Muller, Ann. Math. Stat. 29, 1958.
pub(crate) fn normal_pair(random: &mut Random) -> [f64; 2] {
    // 1 − u lies in (0, 1], where the logarithm is finite.
    let radius = (-2.0 * (1.0 - random.next_f64()).ln()).sqrt();
    let (sin, cos) = (std::f64::consts::TAU * random.next_f64()).sin_cos();
    [radius * cos, radius * sin]
}

/// `count` independent standard normal numbers.
pub(crate) fn normals(count: usize, random: &mut Random) -> Vec<f64> {
    let mut values: Vec<f64> = (0..count.div_ceil(2)).flat_map(|_| normal_pair(random)).collect();
    values.truncate(count);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permutations_do_not_depend_on_each_other() {
        let random = Random::new(3);
        let mut forward = Permuter::new(20, 7, &random);
        let all: Vec<Vec<usize>> = (0..5).map(|i| forward.nth(i).to_vec()).collect();
        let mut backward = Permuter::new(20, 7, &random);
        for index in (0..5).rev() {
            let chosen = backward.nth(index);
            assert_eq!(chosen, all[index as usize]);
            assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]) && chosen.len() == 7);
        }
        assert_ne!(all[0], all[1]);
    }

    /// Pearson's chi-square over 10 rows, each chosen 3 times in 10; 29.6 is above the 0.999 quantile for 9 degrees of freedom.
    #[test]
    fn every_row_is_chosen_equally_often() {
        let mut permuter = Permuter::new(10, 3, &Random::new(1));
        let mut counts = [0_u32; 10];
        for index in 0..10_000 {
            permuter.nth(index).iter().for_each(|&row| counts[row] += 1);
        }
        let chi2: f64 = counts.iter().map(|&c| (f64::from(c) - 3000.0).powi(2) / 3000.0).sum();
        assert!(chi2 < 29.6, "{counts:?}");
    }

    #[test]
    fn the_smaller_side_is_kept_whole_when_rows_are_sampled() {
        let (a, b) = (Matrix::new(vec![1.0; 500], 1).unwrap(), Matrix::new(vec![2.0; 30], 1).unwrap());
        let sides = Sides::new(&a, &b, mlops_core::num::NanPolicy::Raise, 2).unwrap();
        let pool = sides.pool_at_most(100, &Random::new(1));
        assert_eq!((pool.n, pool.m), (70, 30));
        let sides = Sides::new(&b, &a, mlops_core::num::NanPolicy::Raise, 2).unwrap();
        let pool = sides.pool_at_most(40, &Random::new(1));
        assert_eq!((pool.n, pool.m), (20, 20));
    }

    #[test]
    fn a_permutation_as_far_out_counts() {
        let null = Null::new(1.0, &[0.0, 1.0, 2.0], 0.0);
        assert_eq!((null.p, null.mean), (0.75, 1.0));
        assert_eq!(Null::new(5.0, &[0.0, 1.0, 2.0], 0.0).p, 0.25);
    }
}
