//! Reconstruction error outside the leading principal components.
//!
//! The reference is standardised (ddof 0), and its leading principal components are kept that together hold more than a given share
//! of the variance, 0.65 by default. A row's error is the length of what the components cannot express:
//!
//! > e(x) = ‖z − VVᵀz‖,  z = (x − mean) / deviation,
//!
//! in standard deviations. Rows that break the dependence between columns have larger errors, although every column alone may look as
//! before. Components, standardisation and mean errors are NannyML's (`DataReconstructionDriftCalculator`), with one difference: at
//! least one direction is left out, where all components would express everything and no error could ever change.
//!
//! # Its p-value
//! Errors of the rows that the components were fitted on are too small, more so the more columns and the fewer rows there are. So p
//! compares like with like: components are fitted on one half of the reference, drawn by the seed, and the errors of the other half
//! are held against those of the current rows. Given the fit, no drift means that these may be exchanged, so permutations of
//! Welch's |t| are exact.
//!
//! Cost: O(N · d² + d³) for d columns, then O(N) a permutation.

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, NanPolicy, Random, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::eigen::symmetric;
use super::joint::{
    JointDefinition, JointDistance, Null, Permuter, Sides, at_least, sample, some_permutations,
};
use super::matrix::{Matrix, Real, same_columns};
use super::scaler::{Unit, units};
use crate::distance::Interval;

/// Principal components of a reference.
///
/// ```
/// use mlops_drift::multivariate::{Matrix, Pca};
///
/// // Two columns that always agree, and one that does not.
/// let rows: Vec<f64> = (0..50).flat_map(|i| [f64::from(i), f64::from(2 * i), f64::from(i * 7 % 11)]).collect();
/// let pca = Pca::fit(&Matrix::new(&rows, 3)?, 0.65)?;
/// assert_eq!(pca.components(), 1);
/// let errors = pca.errors(&Matrix::new(&[10.0, 20.0, 4.0, 10.0, 90.0, 4.0], 3)?)?;
/// assert!(errors[1] > 2.0 * errors[0]); // the second row breaks the agreement
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pca {
    units: Vec<Unit>,
    components: usize,
    explained: f64,
    /// The directions that are left out, one a row.
    rest: Vec<f64>,
}

/// The most columns.
const MAX_COLUMNS: usize = 4_096;

impl Pca {
    /// The leading components that hold more than `share` of the variance, and at most all but one. O(n · d² + d³).
    ///
    /// # Errors
    /// [`StatsError::TooFew`] for one row; [`StatsError::Unsupported`] for one column or more than 4 096; [`StatsError::Nan`],
    /// [`StatsError::NotFinite`] and [`StatsError::Empty`] name `reference`; [`StatsError::Parameter`] for a share outside (0, 1);
    /// [`StatsError::Overflow`] when no double holds a deviation.
    pub fn fit<T: Real>(reference: &Matrix<'_, T>, share: f64) -> Result<Self, StatsError> {
        if !(share > 0.0 && share < 1.0) {
            let reason = "must lie between 0 and 1";
            return Err(StatsError::Parameter { parameter: "share", value: share, reason });
        }
        let complete = reference.complete("reference", NanPolicy::Raise)?;
        let (matrix, d) = (&complete.matrix, reference.columns());
        at_least("reference", 2, matrix.rows())?;
        if d < 2 {
            let reason = "one column has no direction beside the leading one";
            return Err(StatsError::Unsupported { what: "a reconstruction error", reason });
        }
        if d > MAX_COLUMNS {
            let reason = "more than 4 096 columns take memory by their square and time by their cube";
            return Err(StatsError::Unsupported { what: "a reconstruction error", reason });
        }
        let units = units(matrix)?;
        let eigen = symmetric(covariance(matrix, &units), d)?;
        let total: f64 = eigen.values.iter().sum();
        let mut held = 0.0;
        let reaches = |value: &f64| {
            held += value;
            held / total > share
        };
        // Without any variance nothing is reached and all directions are alike.
        let wanted = eigen.values.iter().position(reaches).map_or(d, |index| index + 1);
        let components = wanted.min(d - 1);
        let leading: f64 = eigen.values[..components].iter().sum();
        let explained = if total > 0.0 { leading / total } else { 0.0 };
        Ok(Self { units, components, explained, rest: eigen.vectors[components * d..].to_vec() })
    }

    /// How many components are kept.
    pub const fn components(&self) -> usize {
        self.components
    }

    /// The share of the variance that they hold; 0 when nothing varies.
    pub const fn explained(&self) -> f64 {
        self.explained
    }

    /// The reconstruction error of every row, in standard deviations of the reference. O(d · (d − components)) a row.
    ///
    /// Agrees with scikit-learn's `StandardScaler` and `PCA` to 1e-10.
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`] for rows of another width; [`StatsError::Empty`], [`StatsError::Nan`] and
    /// [`StatsError::NotFinite`] name `rows`; [`StatsError::Overflow`] for an error beyond the doubles.
    pub fn errors<T: Real>(&self, rows: &Matrix<'_, T>) -> Result<Vec<f64>, StatsError> {
        let complete = rows.complete("rows", NanPolicy::Raise)?;
        let d = self.units.len();
        if rows.columns() != d {
            return Err(StatsError::LengthMismatch {
                left: "a row of rows",
                left_len: rows.columns(),
                right: "a row of the reference",
                right_len: d,
            });
        }
        let mut z = vec![0.0; d];
        let error = |row: &[T]| {
            standardise(row, &self.units, &mut z);
            // What the components do not express, measured directly: no difference of large numbers.
            let along = self.rest.chunks_exact(d).map(|v| v.iter().zip(&z).map(|(v, z)| v * z).sum::<f64>());
            let length = along.map(|x| x * x).sum::<f64>().sqrt();
            if length.is_finite() {
                Ok(length)
            } else {
                Err(StatsError::Overflow { what: "a reconstruction error" })
            }
        };
        complete.matrix.iter().map(error).collect()
    }
}

fn standardise<T: Real>(row: &[T], units: &[Unit], z: &mut [f64]) {
    for ((z, value), unit) in z.iter_mut().zip(row).zip(units) {
        *z = unit.apply(value.to_f64());
    }
}

/// The covariance of the standardised columns, row by row, times the number of rows.
fn covariance<T: Real>(matrix: &Matrix<'_, T>, units: &[Unit]) -> Vec<f64> {
    let d = units.len();
    let (mut z, mut sums) = (vec![0.0; d], vec![0.0; d * d]);
    for row in matrix.iter() {
        standardise(row, units, &mut z);
        for (i, sums) in sums.chunks_exact_mut(d).enumerate() {
            let x = z[i];
            sums[i..].iter_mut().zip(&z[i..]).for_each(|(sum, y)| *sum += x * y);
        }
    }
    for i in 0..d {
        for j in 0..i {
            sums[i * d + j] = sums[j * d + i];
        }
    }
    sums
}

/// How [`pca_reconstruction_with`] compares.
///
/// ```
/// use mlops_drift::multivariate::PcaOptions;
/// let options = PcaOptions::new(7).with_share(0.9);
/// assert_eq!((options.share, options.permutations), (0.9, 499));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PcaOptions {
    /// What the halves of the reference and every permutation are drawn from.
    pub seed: u64,
    /// How many permutations; 499 by default, so that p is at least 0.002.
    pub permutations: u32,
    /// The share of the variance that the leading components hold, in (0, 1); 0.65 by default.
    pub share: f64,
    /// What a row with a NaN is; an error by default.
    pub nan: NanPolicy,
}

impl PcaOptions {
    /// The defaults for a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, permutations: 499, share: 0.65, nan: NanPolicy::Raise }
    }

    /// With so many permutations.
    #[must_use]
    pub const fn with_permutations(mut self, permutations: u32) -> Self {
        self.permutations = permutations;
        self
    }

    /// With this share of the variance.
    #[must_use]
    pub const fn with_share(mut self, share: f64) -> Self {
        self.share = share;
        self
    }

    /// With this policy for rows with a NaN.
    #[must_use]
    pub const fn with_nan(mut self, nan: NanPolicy) -> Self {
        self.nan = nan;
        self
    }
}

/// A mean reconstruction error.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeanError {
    /// The mean over rows.
    pub mean: f64,
    /// The standard error of that mean, s/√n with ddof 1; undefined for one row.
    pub standard_error: Measured,
}

impl MeanError {
    fn of(errors: &[f64]) -> Self {
        let (n, mean) = (errors.len(), mean(errors));
        let squares = errors.iter().map(|e| (e - mean).powi(2)).collect::<Sum>().value();
        let standard_error = if n < 2 {
            Measured::none(UndefinedReason::TooFew, n, 2)
        } else {
            Measured::Value((squares / (n as f64 - 1.0) / n as f64).sqrt())
        };
        Self { mean, standard_error }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().copied().collect::<Sum>().value() / values.len() as f64
}

/// Reconstruction errors of both sides, and whether they differ.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PcaReconstruction {
    /// The absolute difference of the mean errors of current rows and of those reference rows that were kept out of the fit, and
    /// what is needed to judge it. The interval is Welch's, at 95 %.
    pub distance: JointDistance,
    /// The mean error of current rows, by components of the whole reference: NannyML's metric.
    pub current: MeanError,
    /// The mean error of the reference rows by their own components. Smaller than that of new rows without drift.
    pub reference: MeanError,
    /// How many components of the whole reference are kept.
    pub components: u64,
    /// The share of the variance that they hold.
    pub explained: f64,
}

/// Mean reconstruction errors at a share of 0.65, with p by 499 permutations of the seed.
///
/// # Errors
/// As [`pca_reconstruction_with`].
///
/// ```
/// use mlops_drift::multivariate::{Matrix, pca_reconstruction};
///
/// // The same values in each column; only how they go together has changed.
/// let noise = |i: i32| f64::from(i * 7 % 5);
/// let together: Vec<f64> = (0..200).flat_map(|i| [f64::from(i), f64::from(i) + noise(i)]).collect();
/// let opposed: Vec<f64> = (0..200).flat_map(|i| [f64::from(i), f64::from(199 - i) + noise(i)]).collect();
/// let (reference, current) = (Matrix::new(&together, 2)?, Matrix::new(&opposed, 2)?);
/// let drift = pca_reconstruction(&reference, &current, 1)?;
/// assert_eq!(drift.distance.p.value(), Some(0.002));
/// assert!(drift.current.mean > 10.0 * drift.reference.mean);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn pca_reconstruction<T: Real, U: Real>(
    reference: &Matrix<'_, T>,
    current: &Matrix<'_, U>,
    seed: u64,
) -> Result<PcaReconstruction, StatsError> {
    pca_reconstruction_with(reference, current, &PcaOptions::new(seed))
}

/// Mean reconstruction errors under given [`PcaOptions`].
///
/// # Errors
/// [`StatsError::LengthMismatch`] for sides of different width; [`StatsError::TooFew`] below four usable reference or two usable
/// current rows; otherwise as [`Pca::fit`] and [`Pca::errors`]; [`StatsError::Parameter`] for permutations outside
/// 1 … 1 000 000.
///
/// ```
/// use mlops_drift::multivariate::{Matrix, PcaOptions, pca_reconstruction_with};
/// let rows: Vec<f32> = (0..60_u16).map(|i| f32::from(i * 7 % 32)).collect();
/// let matrix = Matrix::new(&rows, 3)?;
/// let same = pca_reconstruction_with(&matrix, &matrix, &PcaOptions::new(1).with_permutations(99))?;
/// assert!(same.distance.p.value() > Some(0.05));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn pca_reconstruction_with<T: Real, U: Real>(
    reference: &Matrix<'_, T>,
    current: &Matrix<'_, U>,
    options: &PcaOptions,
) -> Result<PcaReconstruction, StatsError> {
    some_permutations(options.permutations)?;
    same_columns(reference, current)?;
    let sides = Sides::new(reference, current, options.nan, 2)?;
    at_least("reference", 4, sides.sizes().0)?;
    let whole = Pca::fit(&sides.reference.matrix, options.share)?;
    Ok(PcaReconstruction {
        distance: distance(&sides, options)?,
        current: MeanError::of(&whole.errors(&sides.current.matrix)?),
        reference: MeanError::of(&whole.errors(&sides.reference.matrix)?),
        components: whole.components as u64,
        explained: whole.explained,
    })
}

fn distance<T: Real, U: Real>(
    sides: &Sides<'_, T, U>,
    options: &PcaOptions,
) -> Result<JointDistance, StatsError> {
    let random = Random::new(options.seed).stream("pca");
    let (n, m) = sides.sizes();
    let fitted = sample(n, n / 2, &mut random.stream("halves"));
    let mut kept_out = vec![true; n];
    fitted.iter().for_each(|&row| kept_out[row] = false);
    let reference = &sides.reference.matrix;
    let pca = Pca::fit(&reference.doubles(fitted), options.share)?;
    let kept_out = (0..n).filter(|&row| kept_out[row]);
    let before = pca.errors(&reference.doubles(kept_out))?;
    let now = pca.errors(&sides.current.matrix)?;
    let errors = Errors::new(&before, &now);
    let observed = errors.compare(&(0..before.len()).collect::<Vec<_>>());
    let mut permuter = Permuter::new(errors.centred.len(), before.len(), &random);
    let permuted: Vec<Welch> =
        (0..options.permutations).map(|index| errors.compare(permuter.nth(index))).collect();
    let ts: Vec<f64> = permuted.iter().map(|welch| welch.t).collect();
    // The rank of |t| is the p-value; the mean of the plain difference is the noise.
    let tolerance = if observed.t.is_finite() { 1e-10 * observed.t } else { 0.0 };
    let null = Null::new(observed.t, &ts, tolerance);
    let floor = permuted.iter().map(|welch| welch.difference).sum::<f64>() / permuted.len() as f64;
    let definition = JointDefinition::PcaReconstruction { share: options.share };
    let mut distance = sides.answer(definition, observed.difference, null.with_mean(floor), (n, m));
    let half = 1.959_963_984_540_054 * observed.standard_error;
    let (low, high) = ((observed.difference - half).max(0.0), observed.difference + half);
    distance.interval = Some(Interval { level: 0.95, low, high });
    Ok(distance)
}

/// Errors of both sides, less their common mean.
struct Errors {
    centred: Vec<f64>,
    sum: f64,
    squares: f64,
}

/// The comparison of two means with unequal variances.
#[derive(Clone, Copy)]
struct Welch {
    difference: f64,
    standard_error: f64,
    t: f64,
}

impl Errors {
    fn new(before: &[f64], now: &[f64]) -> Self {
        let all: Vec<f64> = before.iter().chain(now).copied().collect();
        let mean = mean(&all);
        let centred: Vec<f64> = all.iter().map(|e| e - mean).collect();
        let sum = centred.iter().copied().collect::<Sum>().value();
        let squares = centred.iter().map(|e| e * e).collect::<Sum>().value();
        Self { centred, sum, squares }
    }

    fn compare(&self, chosen: &[usize]) -> Welch {
        let (mut sum, mut squares) = (0.0, 0.0);
        for &row in chosen {
            let e = self.centred[row];
            sum += e;
            squares += e * e;
        }
        let (k, l) = (chosen.len() as f64, (self.centred.len() - chosen.len()) as f64);
        let (mean, other) = (sum / k, (self.sum - sum) / l);
        let variance = |squares: f64, mean: f64, k: f64| ((squares - k * mean * mean) / (k - 1.0)).max(0.0);
        let error = variance(squares, mean, k) / k + variance(self.squares - squares, other, l) / l;
        let difference = (mean - other).abs();
        let standard_error = error.sqrt();
        let t = if difference == 0.0 { 0.0 } else { difference / standard_error };
        Welch { difference, standard_error, t }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(rows: usize, columns: usize) -> Vec<f64> {
        (0..rows * columns).map(|i| ((i * i * 31 + i * 17) % 101) as f64 / 10.0).collect()
    }

    #[test]
    fn the_same_rows_on_both_sides_do_not_drift() {
        let rows = ring(80, 3);
        let matrix = Matrix::new(&rows, 3).unwrap();
        let got = pca_reconstruction(&matrix, &matrix, 5).unwrap();
        assert!(got.distance.p.value() > Some(0.05), "{got:?}");
        assert_eq!(got.current, got.reference);
    }

    #[test]
    fn a_constant_column_that_moves_is_seen() {
        let still: Vec<f64> = ring(100, 2).chunks_exact(2).flat_map(|row| [row[0], row[1], 4.0]).collect();
        let moved: Vec<f64> = still.chunks_exact(3).flat_map(|row| [row[0], row[1], 9.0]).collect();
        let (a, b) = (Matrix::new(&still, 3).unwrap(), Matrix::new(&moved, 3).unwrap());
        let got = pca_reconstruction(&a, &b, 5).unwrap();
        assert!(got.current.mean > 4.9 && got.distance.p.value() == Some(0.002), "{got:?}");
    }

    #[test]
    fn rows_that_never_vary_have_no_error() {
        let a = Matrix::new(&[2.0; 20], 2).unwrap();
        let got = pca_reconstruction(&a, &a, 5).unwrap();
        assert_eq!((got.current.mean, got.explained, got.distance.p.value()), (0.0, 0.0, Some(1.0)));
    }

    #[test]
    fn what_has_no_components_is_refused() {
        let one = Matrix::new(&[1.0, 2.0, 3.0, 4.0], 1).unwrap();
        assert!(matches!(pca_reconstruction(&one, &one, 0), Err(StatsError::Unsupported { .. })));
        let three = Matrix::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2).unwrap();
        assert!(matches!(pca_reconstruction(&three, &three, 0), Err(StatsError::TooFew { needed: 4, .. })));
        assert!(matches!(Pca::fit(&three, 1.0), Err(StatsError::Parameter { parameter: "share", .. })));
        assert!(Pca::fit(&three, 0.5).unwrap().errors(&one).is_err());
    }
}
