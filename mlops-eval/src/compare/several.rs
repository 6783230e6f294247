//! More than two models on the same rows or data sets: is there a difference at all, and which pairs differ?

use mlops_core::num::multiple::{Correction, adjust};
use mlops_core::num::ranks::{midranks, tie_sum};
use mlops_core::num::special::{ln_chi2_sf, ln_f_sf, ln_normal_sf, ln_normal_two_sided};
use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::result::{Alternative, Method, TestResult};
use crate::input::{finite, named, not_empty};

/// Whole rows of `models` values, and how many rows.
fn rows_of<T>(name: &'static str, values: &[T], models: usize) -> Result<usize, StatsError> {
    not_empty(named(name, values))?;
    if models < 2 {
        return Err(StatsError::TooFew { argument: "models", needed: 2, got: models });
    }
    if values.len().is_multiple_of(models) {
        return Ok(values.len() / models);
    }
    let right_len = values.len().div_ceil(models).saturating_mul(models);
    Err(StatsError::LengthMismatch { left: name, left_len: values.len(), right: "whole rows", right_len })
}

/// Cochran's Q that `models` classifiers succeed equally often on the same rows: McNemar's uncorrected χ² for more than two.
///
/// `success` is row-major, one row per observation and one column per model. Q = (k − 1)(k ΣC² − N²)/(k N − ΣR²) over the columns'
/// sums C, the rows' sums R and their total N; χ² with k − 1 degrees of freedom. p is 1 where every row succeeds or fails as a whole.
/// Agrees with statsmodels 0.15.0 (`cochrans_q`) to 1e-12. W. Cochran, Biometrika 37, 1950.
///
/// ```
/// use mlops_eval::compare::cochran_q;
/// let success = [true, true, false, true, false, false, true, true, false, false, true, false];
/// assert!(cochran_q(&success, 3)?.p.value().is_some_and(|p| p > 0.05));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`]; [`StatsError::TooFew`] for fewer than two models; [`StatsError::LengthMismatch`] unless rows are whole.
pub fn cochran_q(success: &[bool], models: usize) -> Result<TestResult, StatsError> {
    let rows = rows_of("success", success, models)?;
    let mut columns = vec![0_u64; models];
    let mut squares = 0_u128;
    for row in success.chunks_exact(models) {
        columns.iter_mut().zip(row).for_each(|(sum, success)| *sum += u64::from(*success));
        let of_row = row.iter().filter(|success| **success).count() as u128;
        squares += of_row * of_row;
    }
    let k = models as u128;
    let total: u128 = columns.iter().map(|sum| u128::from(*sum)).sum();
    let of_columns: u128 = columns.iter().map(|sum| u128::from(*sum) * u128::from(*sum)).sum();
    let (method, alternative) = (Method::CochranQ, Alternative::TwoSided);
    let within = k * total - squares;
    let result = if within == 0 {
        TestResult::nothing_differs(method, alternative)
    } else {
        let q = (k - 1) as f64 * (k * of_columns - total * total) as f64 / within as f64;
        let ln_p = ln_chi2_sf(q, (k - 1) as f64);
        TestResult::new(method, alternative, Measured::Value(q), Measured::Value(ln_p))
    };
    Ok(result.with(no_difference(), None, rows as u64))
}

fn no_difference() -> Measured {
    Measured::none(UndefinedReason::NothingDefined, 0, 1)
}

/// Friedman's test with what its post-hoc comparisons need.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Friedman {
    /// Friedman's χ² with k − 1 degrees of freedom, corrected for ties.
    pub chi_square: TestResult,
    /// Iman and Davenport's F with k − 1 and (k − 1)(n − 1) degrees of freedom: less conservative.
    pub f: TestResult,
    /// Each model's mean rank; 1 is for the smallest values.
    pub mean_ranks: Vec<f64>,
    /// The number of rows, data sets or folds.
    pub rows: u64,
}

/// A pair of models after Friedman's test.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairOfModels {
    /// The one model.
    pub first: usize,
    /// The other.
    pub second: usize,
    /// Mean rank of the second minus that of the first.
    pub rank_difference: f64,
    /// The p-value, adjusted for the number of pairs.
    pub p: f64,
}

/// Friedman's test that `models` models rank alike over the same rows (data sets, folds, queries).
///
/// `values` is row-major, one row per data set and one column per model. Values of a row are ranked, ties sharing their mean rank.
/// χ² agrees with SciPy 1.17.1 (`friedmanchisquare`) to 1e-12. p is 1 where all values of each row tie; F is undefined where every
/// row ranks the models in the same way. M. Friedman, 1937; R. Iman, J. Davenport, 1980; J. Demšar, *Statistical comparisons of
/// classifiers over multiple data sets*, JMLR 7, 2006.
///
/// ```
/// use mlops_eval::compare::friedman;
/// let accuracy = [0.8, 0.9, 0.7, 0.6, 0.7, 0.5, 0.9, 0.8, 0.7, 0.8, 0.9, 0.6, 0.7, 0.8, 0.75];
/// let test = friedman(&accuracy, 3)?;
/// assert_eq!(test.mean_ranks, [2.0, 2.8, 1.2]);
/// assert!(test.nemenyi().iter().any(|pair| pair.p < 0.05));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`cochran_q`], [`StatsError::Nan`], [`StatsError::NotFinite`].
pub fn friedman(values: &[f64], models: usize) -> Result<Friedman, StatsError> {
    let rows = rows_of("values", values, models)?;
    finite("values", values)?;
    let (mut sums, mut ties) = (vec![0.0; models], 0.0);
    for row in values.chunks_exact(models) {
        sums.iter_mut().zip(midranks("values", row)?).for_each(|(sum, rank)| *sum += rank);
        ties += tie_sum("values", row)?;
    }
    let (n, k) = (rows as f64, models as f64);
    let middle = n * (k + 1.0) / 2.0;
    let between: f64 = sums.iter().map(|sum| (sum - middle) * (sum - middle)).sum();
    let within = n * k * (k + 1.0) - ties / (k - 1.0);
    let alternative = Alternative::TwoSided;
    let (chi_square, f) = if ties >= n * k * (k * k - 1.0) {
        let none = |method| TestResult::nothing_differs(method, alternative);
        (none(Method::Friedman), none(Method::ImanDavenport))
    } else {
        let statistic = 12.0 * between / within;
        let dof = k - 1.0;
        let chi_square = TestResult::new(
            Method::Friedman,
            alternative,
            Measured::Value(statistic),
            Measured::Value(ln_chi2_sf(statistic, dof)),
        );
        let left = n * dof - statistic;
        let f = if left > 1e-9 * n * dof && rows > 1 {
            let f = (n - 1.0) * statistic / left;
            TestResult::new(
                Method::ImanDavenport,
                alternative,
                Measured::Value(f),
                Measured::Value(ln_f_sf(f, dof, dof * (n - 1.0))),
            )
        } else {
            let none = Measured::none(UndefinedReason::Constant, 0, 1);
            TestResult::new(Method::ImanDavenport, alternative, none, none)
        };
        (chi_square, f)
    };
    let with_rows = |test: TestResult| test.with(no_difference(), None, rows as u64);
    Ok(Friedman {
        chi_square: with_rows(chi_square),
        f: with_rows(f),
        mean_ranks: sums.iter().map(|sum| sum / n).collect(),
        rows: rows as u64,
    })
}

impl Friedman {
    fn pairs(&self) -> Vec<(usize, usize, f64)> {
        let k = self.mean_ranks.len();
        let pairs = (0..k).flat_map(|i| (i + 1..k).map(move |j| (i, j)));
        pairs.map(|(i, j)| (i, j, self.mean_ranks[j] - self.mean_ranks[i])).collect()
    }

    /// A rank difference over its standard error √(k(k + 1)/6n).
    fn z(&self, difference: f64) -> f64 {
        let k = self.mean_ranks.len() as f64;
        difference / (k * (k + 1.0) / (6.0 * self.rows as f64)).sqrt()
    }

    /// Nemenyi's comparison of all pairs: p from the studentized range of k normal variables.
    ///
    /// ```
    /// use mlops_eval::compare::friedman;
    /// let pairs = friedman(&[1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0, 2.0, 3.0], 3)?.nemenyi();
    /// assert!((pairs[1].p - 0.0380).abs() < 1e-4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn nemenyi(&self) -> Vec<PairOfModels> {
        let k = self.mean_ranks.len();
        let pair = |(first, second, rank_difference): (usize, usize, f64)| {
            let range = self.z(rank_difference).abs() * std::f64::consts::SQRT_2;
            PairOfModels { first, second, rank_difference, p: studentized_range_sf(range, k) }
        };
        self.pairs().into_iter().map(pair).collect()
    }

    /// All pairs by a normal test of their rank difference, adjusted by [`Correction::Holm`] or another correction: more powerful
    /// than [`nemenyi`](Self::nemenyi) (S. García, F. Herrera, JMLR 9, 2008).
    ///
    /// ```
    /// use mlops_core::num::multiple::Correction;
    /// use mlops_eval::compare::friedman;
    /// let test = friedman(&[1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0, 2.0, 3.0], 3)?;
    /// assert!((test.pairwise(Correction::Holm)?[1].p - 0.0429).abs() < 1e-4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Nan`] where mean ranks put in by hand are no numbers.
    pub fn pairwise(&self, correction: Correction) -> Result<Vec<PairOfModels>, StatsError> {
        let pairs = self.pairs();
        let p: Vec<f64> =
            pairs.iter().map(|(_, _, difference)| ln_normal_two_sided(self.z(*difference)).exp()).collect();
        let adjusted = adjust(&p, correction)?;
        let pair = |((first, second, rank_difference), p)| PairOfModels { first, second, rank_difference, p };
        Ok(pairs.into_iter().zip(adjusted).map(pair).collect())
    }
}

/// P(range of k independent standard normals ≥ q): one minus k ∫ φ(x) [Φ(x) − Φ(x − q)]ᵏ⁻¹ dx, by the trapezoid rule, which
/// converges exponentially here; to about 1e-12 absolutely.
fn studentized_range_sf(q: f64, k: usize) -> f64 {
    if q <= 0.0 {
        return 1.0;
    }
    const STEPS: i32 = 800;
    let step = (17.0 + q.min(17.0)) / f64::from(STEPS);
    let power = k as f64 - 1.0;
    let below = |x: f64| ln_normal_sf(-x).exp();
    let terms = (0..=STEPS).map(|i| {
        let x = -8.5 + step * f64::from(i);
        let density = (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
        density * (below(x) - below(x - q)).max(0.0).powf(power)
    });
    (1.0 - k as f64 * step * terms.sum::<f64>()).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_and_unanimity_have_typed_answers() {
        let tied = friedman(&[1.0; 6], 3).unwrap();
        assert_eq!((tied.chi_square.p, tied.f.p), (Measured::Value(1.0), Measured::Value(1.0)));
        let unanimous = friedman(&[1.0, 2.0, 3.0, 1.0, 2.0, 3.0], 3).unwrap();
        assert!(unanimous.f.p.value().is_none() && unanimous.chi_square.p.value().is_some());
        assert!(friedman(&[1.0, 2.0, 3.0], 2).is_err());
        assert!(friedman(&[1.0], 1).is_err());
        assert!(friedman(&[1.0, f64::NAN], 2).is_err());
        assert_eq!(cochran_q(&[true, true, false, false], 2).unwrap().p, Measured::Value(1.0));
        assert!(cochran_q(&[], 2).is_err());
    }

    #[test]
    fn cochran_of_two_is_mcnemar() {
        let success = [true, false, true, false, true, false, false, true, true, true, false, false];
        let q = cochran_q(&success, 2).unwrap();
        assert_eq!(q.statistic.value(), Some(1.0));
    }

    /// SciPy 1.17.1, `scipy.stats.studentized_range.sf(q, k, inf)`.
    #[test]
    fn the_range_of_normals_agrees_with_scipy() {
        for (q, k, expected) in RANGES {
            let got = studentized_range_sf(q, k);
            assert!((got - expected).abs() < 1e-9, "{q} {k}: {got} {expected}");
        }
    }

    const RANGES: [(f64, usize, f64); 5] = [
        (2.0, 2, 0.15729920705028522),
        (3.314493, 3, 0.050000013903938045),
        (1.0, 5, 0.9549548551886442),
        (4.5, 10, 0.04730582731292854),
        (6.0, 4, 0.00012981724532679095),
    ];
}
