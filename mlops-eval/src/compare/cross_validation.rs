//! Two models compared over splits of the same data, where splits share rows and are not independent.

use mlops_core::num::special::ln_f_sf;
use mlops_core::num::sum::{mean, sum};
use mlops_core::num::{Measured, StatsError, UndefinedReason};

use super::differences::{check, mean_difference};
use super::equivalence::Wald;
use super::result::{Alternative, Method, TestResult, check_finite, ln_p_student};
use crate::input::in_range;

/// The mean difference over J resampled splits, with Nadeau and Bengio's standard error: the variance of the differences times
/// 1/J + n_test/n_train instead of 1/J, for training sets overlap; J − 1 degrees of freedom.
///
/// `differences[j]` is the metric of the second minus that of the first model on split j; random splits, or all folds of a k-fold
/// cross-validation repeated r times, J = k·r and n_test/n_train = 1/(k − 1) (R. Bouckaert, E. Frank, 2004). The result is evidence
/// for a t test and for non-inferiority and the like.
///
/// C. Nadeau, Y. Bengio, *Inference for the generalization error*, Machine Learning 52, 2003.
///
/// ```
/// use mlops_eval::compare::{Alternative, corrected_resampled};
///
/// let gains = [0.02, 0.01, 0.03, 0.02, 0.00, 0.02, 0.01, 0.03, 0.02, 0.01];
/// let test = corrected_resampled(&gains, 1.0 / 9.0)?.test(Alternative::TwoSided, 0.95)?;
/// assert!(test.p.value().is_some_and(|p| p > 0.001 && p < 0.01));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`], [`StatsError::Nan`], [`StatsError::NotFinite`]; [`StatsError::Parameter`] for a ratio of test to training
/// rows that is not positive; [`StatsError::Overflow`].
pub fn corrected_resampled(differences: &[f64], test_to_train: f64) -> Result<Wald, StatsError> {
    check_finite("test_to_train", test_to_train)?;
    if test_to_train <= 0.0 {
        let reason = "must be positive";
        return Err(StatsError::Parameter { parameter: "test_to_train", value: test_to_train, reason });
    }
    let plain = mean_difference(differences)?;
    let inflation = (1.0 + differences.len() as f64 * test_to_train).sqrt();
    let standard_error = plain.standard_error.map(|error| error * inflation);
    if let Measured::Value(error) = standard_error {
        in_range("the corrected standard error", error)?;
    }
    Ok(Wald { method: Method::CorrectedResampledT, standard_error, ..plain })
}

/// Dietterich's t over five repetitions of two folds: the difference of the first fold of the first repetition over the root of the
/// mean of the five variances; five degrees of freedom.
///
/// `differences` are second minus first, two folds a repetition: 1a, 1b, 2a, … 5b. Prefer [`five_by_two_f`], which does not hinge on
/// which fold comes first. p is 1 where all differences are 0, undefined where only their variances are.
///
/// T. Dietterich, *Approximate statistical tests for comparing supervised classification learning algorithms*, Neural Computation
/// 10, 1998.
///
/// ```
/// use mlops_eval::compare::{Alternative, five_by_two_t};
/// let differences = [0.02, 0.01, 0.03, 0.02, 0.0, 0.02, 0.01, 0.03, 0.02, 0.01];
/// assert!(five_by_two_t(&differences, Alternative::TwoSided)?.p.value().is_some_and(|p| p > 0.05));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::LengthMismatch`] unless there are ten differences; [`StatsError::Nan`], [`StatsError::NotFinite`].
pub fn five_by_two_t(differences: &[f64], alternative: Alternative) -> Result<TestResult, StatsError> {
    let variances = five_variances(differences)?;
    let scale = (sum(&variances) / 5.0).sqrt();
    let test = |statistic: f64| (statistic, ln_p_student(statistic, 5.0, alternative));
    five_by_two(Method::FiveByTwoT, alternative, differences, scale, || test(differences[0] / scale))
}

/// Alpaydın's combined F over five repetitions of two folds: the sum of the ten squared differences over twice the sum of the five
/// variances, with 10 and 5 degrees of freedom.
///
/// As [`five_by_two_t`], two-sided, more powerful, and the same whatever the order of folds.
///
/// E. Alpaydın, *Combined 5×2 cv F test for comparing supervised classification learning algorithms*, Neural Computation 11, 1999.
///
/// ```
/// use mlops_eval::compare::five_by_two_f;
/// let differences = [0.02, 0.01, 0.03, 0.02, 0.0, 0.02, 0.01, 0.03, 0.02, 0.01];
/// assert!(five_by_two_f(&differences)?.statistic.value().is_some_and(|f| (f - 37.0 / 11.0).abs() < 1e-12));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`five_by_two_t`].
pub fn five_by_two_f(differences: &[f64]) -> Result<TestResult, StatsError> {
    let variances = five_variances(differences)?;
    let scale = sum(&variances);
    let squares: Vec<f64> = differences.iter().map(|d| d * d).collect();
    let squares = in_range("the sum of the squares", sum(&squares))?;
    let test = |f: f64| (f, ln_f_sf(f, 10.0, 5.0));
    let alternative = Alternative::TwoSided;
    five_by_two(Method::FiveByTwoF, alternative, differences, scale, || test(squares / (2.0 * scale)))
}

fn five_by_two(
    method: Method,
    alternative: Alternative,
    differences: &[f64],
    scale: f64,
    test: impl FnOnce() -> (f64, f64),
) -> Result<TestResult, StatsError> {
    let result = if scale > 0.0 {
        let (statistic, ln_p) = test();
        TestResult::new(method, alternative, Measured::Value(statistic), Measured::Value(ln_p))
    } else if differences.iter().all(|d| *d == 0.0) {
        TestResult::nothing_differs(method, alternative)
    } else {
        let none = Measured::none(UndefinedReason::Constant, 0, 1);
        TestResult::new(method, alternative, none, none)
    };
    Ok(result.with(Measured::Value(mean(differences)?), None, differences.len() as u64))
}

fn five_variances(differences: &[f64]) -> Result<Vec<f64>, StatsError> {
    if differences.len() != 10 {
        return Err(StatsError::LengthMismatch {
            left: "differences",
            left_len: differences.len(),
            right: "five repetitions of two folds",
            right_len: 10,
        });
    }
    check(differences)?;
    let variance = |pair: &[f64]| in_range("a variance", (pair[0] - pair[1]) * (pair[0] - pair[1]) / 2.0);
    differences.chunks_exact(2).map(variance).collect()
}
