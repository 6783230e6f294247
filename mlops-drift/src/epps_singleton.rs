//! Epps–Singleton test: do the empirical characteristic functions agree?
//!
//! At t = 0.4 and 0.8, in units of half the interquartile range σ of the pooled sample, every value x becomes the vector g(x) =
//! (cos(t₁x/σ), cos(t₂x/σ), sin(t₁x/σ), sin(t₂x/σ)), and with the difference d of the two mean vectors and their covariances
//! (divided by n and m)
//!
//! > W = N·dᵀ·S⁻·d,  S = N/n·cov(g(x)) + N/m·cov(g(y)),
//!
//! against χ² with the rank of S, usually 4, as degrees of freedom (Epps and Singleton, *An omnibus test for the two-sample
//! problem using the empirical characteristic function*, J. Stat. Comput. Simul. 26, 1986). It needs no continuity: it keeps
//! its level for integers and ties, and often sees more than Kolmogorov–Smirnov. Below 25 values a side W is multiplied by
//! the small-sample correction 1/(1 + N^−0.45 + 10.1·(n^−1.7 + m^−1.7)).
//!
//! Values are measured from their pooled median, which changes W by rounding alone. Values must be finite, and there must be five a side.

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, NanPolicy, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use crate::moments::Offsets;
use crate::pair::Tail;
use crate::sample::{Sample, Side, Value};
use crate::two::{Sides, Two};

/// The result of an Epps–Singleton test.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EppsSingleton {
    /// W, at least 0; undefined below five values a side and where the interquartile range of the pooled sample is 0.
    pub statistic: Measured,
    /// Degrees of freedom: the rank of the covariance matrix, at most 4; 0 where W is undefined.
    pub dof: u64,
    /// P(W or more | no drift) by the χ² law.
    pub p: Measured,
    /// The natural logarithm of `p`, finite where `p` is too small for a double.
    pub ln_p: Measured,
    /// What became of the reference values.
    pub reference: Side,
    /// What became of the current values.
    pub current: Side,
}

/// The test; NaN and infinities are errors. O(N log N).
///
/// W agrees with `scipy.stats.epps_singleton_2samp` to 1e-12 times the condition of the covariance matrix.
///
/// # Errors
/// [`StatsError::Empty`], [`StatsError::Nan`], [`StatsError::NotFinite`], [`StatsError::AllMissing`];
/// [`StatsError::Overflow`] when a value over the interquartile range is too large for a double.
///
/// ```
/// use mlops_drift::epps_singleton;
///
/// let a: Vec<f64> = (0..40).map(f64::from).collect();
/// let b: Vec<f64> = (0..40).map(|i| f64::from(i % 4) * 12.0).collect();
/// let test = epps_singleton(&a, &b)?;
/// assert_eq!(test.dof, 4);
/// assert!(epps_singleton(&a, &a)?.p.value().is_some_and(|p| p == 1.0));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn epps_singleton<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    current: impl Into<Sample<'b, T>>,
) -> Result<EppsSingleton, StatsError> {
    epps_singleton_with(reference, current, NanPolicy::default())
}

/// The test under a given [`NanPolicy`].
///
/// # Errors
/// As [`epps_singleton`].
///
/// ```
/// use mlops_core::num::{NanPolicy, UndefinedReason};
/// use mlops_drift::epps_singleton_with;
/// let few = epps_singleton_with(&[1, 2, 3], &[1, 2, 3, 4, 5], NanPolicy::Raise)?;
/// assert_eq!(few.p.undefined().map(|u| u.reason), Some(UndefinedReason::TooFew));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn epps_singleton_with<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    current: impl Into<Sample<'b, T>>,
    nan: NanPolicy,
) -> Result<EppsSingleton, StatsError> {
    let two = Two::new(reference, current, nan)?;
    let Sides { reference, current } = two.sides;
    let without = |none| EppsSingleton { statistic: none, dof: 0, p: none, ln_p: none, reference, current };
    if let Some(none) = two.undefined {
        return Ok(without(none));
    }
    two.finite()?;
    let fewest = two.reference.len().min(two.current.len());
    if fewest < FEWEST {
        return Ok(without(Measured::none(UndefinedReason::TooFew, fewest, FEWEST)));
    }
    let offsets = Offsets::new(&two);
    let (centre, range) = quartiles(&offsets);
    if range <= 0.0 {
        return Ok(without(Measured::none(UndefinedReason::Constant, 1, 2)));
    }
    let side = |values: &[f64]| Features::new(values, centre, range / 2.0);
    let (a, b) = (side(&offsets.reference)?, side(&offsets.current)?);
    let (form, rank) = a.compare(&b);
    if rank == 0 {
        return Ok(without(Measured::none(UndefinedReason::Constant, 1, 2)));
    }
    let statistic = form * correction(a.n, b.n);
    let tail = Tail::chi2(statistic, rank);
    let (statistic, p, ln_p) = (Measured::Value(statistic), tail.p, tail.ln_p);
    Ok(EppsSingleton { statistic, dof: rank, p, ln_p, reference, current })
}

const FEWEST: usize = 5;
const POINTS: [f64; 2] = [0.4, 0.8];
const FEATURES: usize = 4;

/// The median of the pooled sample and its interquartile range (linear interpolation, type 7).
#[expect(clippy::cast_sign_loss, reason = "a share of a length")]
fn quartiles(offsets: &Offsets) -> (f64, f64) {
    let mut pooled = [&offsets.reference[..], &offsets.current[..]].concat();
    pooled.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| {
        let position = share * (pooled.len() - 1) as f64;
        let (below, part) = (position.floor(), position.fract());
        let value = |index: f64| pooled.get(index as usize).copied().unwrap_or_default();
        let (low, high) = (value(below), value(position.ceil()));
        low + (high - low) * part
    };
    (at(0.5), at(0.75) - at(0.25))
}

fn correction(n: f64, m: f64) -> f64 {
    if n.max(m) >= 25.0 {
        return 1.0;
    }
    1.0 / (1.0 + (n + m).powf(-0.45) + 10.1 * (n.powf(-1.7) + m.powf(-1.7)))
}

type Vector = [f64; FEATURES];
type Matrix = [Vector; FEATURES];

/// The mean and covariance of the features of one sample.
struct Features {
    n: f64,
    mean: Vector,
    covariance: Matrix,
}

impl Features {
    fn new(values: &[f64], centre: f64, unit: f64) -> Result<Self, StatsError> {
        let features: Vec<Vector> = values.iter().map(|x| Self::of((x - centre) / unit)).collect();
        if features.iter().any(|g| g.iter().any(|x| x.is_nan())) {
            return Err(StatsError::Overflow { what: "a value over the interquartile range" });
        }
        let n = values.len() as f64;
        let mut mean = [0.0; FEATURES];
        for (i, mean) in mean.iter_mut().enumerate() {
            *mean = features.iter().map(|g| g[i]).collect::<Sum>().value() / n;
        }
        let mut covariance = [[0.0; FEATURES]; FEATURES];
        for (i, row) in covariance.iter_mut().enumerate() {
            for (j, cell) in row.iter_mut().enumerate() {
                let products = features.iter().map(|g| (g[i] - mean[i]) * (g[j] - mean[j]));
                *cell = products.collect::<Sum>().value() / n;
            }
        }
        Ok(Self { n, mean, covariance })
    }

    fn of(x: f64) -> Vector {
        let [t, s] = POINTS.map(|point| point * x);
        [t.cos(), s.cos(), t.sin(), s.sin()]
    }

    /// N·dᵀ·S⁻·d and the rank of S.
    fn compare(&self, other: &Self) -> (f64, u64) {
        let total = self.n + other.n;
        let mut pooled = self.covariance;
        for (i, row) in pooled.iter_mut().enumerate() {
            for (j, cell) in row.iter_mut().enumerate() {
                *cell = total / self.n * *cell + total / other.n * other.covariance[i][j];
            }
        }
        let (values, vectors) = eigen(pooled);
        let largest = values.iter().fold(0.0, |top, value| f64::max(top, *value));
        let (mut form, mut rank) = (0.0, 0);
        for (value, vector) in values.iter().zip(&vectors) {
            // What is left of a direction in which nothing varies is rounding.
            if *value > 1e-12 * largest && largest > 1e-20 {
                let along: f64 = (0..FEATURES).map(|i| vector[i] * (self.mean[i] - other.mean[i])).sum();
                form += along * along / value;
                rank += 1;
            }
        }
        (total * form, rank)
    }
}

/// The eigenvalues and eigenvectors of a symmetric matrix, by Jacobi rotations.
fn eigen(mut matrix: Matrix) -> (Vector, Matrix) {
    let mut vectors = [[0.0; FEATURES]; FEATURES];
    (0..FEATURES).for_each(|i| vectors[i][i] = 1.0);
    for _ in 0..30 {
        let off: f64 =
            (0..FEATURES).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| matrix[i][j].powi(2)).sum();
        if off == 0.0 {
            break;
        }
        for p in 0..FEATURES {
            for q in p + 1..FEATURES {
                rotate(&mut matrix, &mut vectors, p, q);
            }
        }
    }
    let mut values = [0.0; FEATURES];
    (0..FEATURES).for_each(|i| values[i] = matrix[i][i]);
    (values, vectors)
}

/// Makes the element (p, q) zero; rows of `vectors` are the eigenvectors so far.
fn rotate(matrix: &mut Matrix, vectors: &mut Matrix, p: usize, q: usize) {
    let off = matrix[p][q];
    if off == 0.0 {
        return;
    }
    let theta = (matrix[q][q] - matrix[p][p]) / (2.0 * off);
    let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let t = if theta == 0.0 { 1.0 } else { t };
    let c = 1.0 / t.hypot(1.0);
    let s = t * c;
    for row in matrix.iter_mut() {
        (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
    }
    for i in 0..FEATURES {
        (matrix[p][i], matrix[q][i]) =
            (c * matrix[p][i] - s * matrix[q][i], s * matrix[p][i] + c * matrix[q][i]);
        (vectors[p][i], vectors[q][i]) =
            (c * vectors[p][i] - s * vectors[q][i], s * vectors[p][i] + c * vectors[q][i]);
    }
    (matrix[p][q], matrix[q][p]) = (0.0, 0.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvectors_take_the_matrix_apart() {
        let matrix =
            [[4.0, 1.0, -2.0, 0.5], [1.0, 3.0, 0.0, 1.0], [-2.0, 0.0, 5.0, 2.0], [0.5, 1.0, 2.0, 1.0]];
        let (values, vectors) = eigen(matrix);
        for i in 0..4 {
            for j in 0..4 {
                let back: f64 = (0..4).map(|k| values[k] * vectors[k][i] * vectors[k][j]).sum();
                assert!((back - matrix[i][j]).abs() < 1e-14, "{i} {j}: {back}");
            }
        }
    }

    #[test]
    fn two_values_leave_a_covariance_of_rank_one() {
        let a: Vec<u8> = (0..40).map(|i| u8::from(i % 2 == 0)).collect();
        let b: Vec<u8> = (0..40).map(|i| u8::from(i % 3 == 0)).collect();
        let test = epps_singleton(&a, &b).unwrap();
        assert_eq!(test.dof, 1);
    }

    #[test]
    fn a_constant_middle_has_no_unit_to_measure_in() {
        let test = epps_singleton(&[1.0; 9], &[1.0, 1.0, 1.0, 1.0, 1.0, 2.0]).unwrap();
        assert_eq!(test.statistic.undefined().map(|u| u.reason), Some(UndefinedReason::Constant));
    }
}
