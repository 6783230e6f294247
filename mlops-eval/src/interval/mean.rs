//! Intervals around the mean of a sample, such as the absolute or squared errors of a group's rows.

use mlops_core::num::special::student_t_quantile;
use mlops_core::num::{StatsError, sum::Sum};
use serde::{Deserialize, Serialize};

use super::{Interval, check_confidence, normal_quantile};
use crate::input::{finite, in_range, named, not_empty};

/// Which quantile the interval around a mean uses.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeanInterval {
    /// Student's t with n − 1 degrees of freedom. The default: exact for normal values.
    #[default]
    StudentT,
    /// The standard normal's, as for a known variance.
    Normal,
}

/// The interval mean ± q · s/√n around the mean of independent values, with the sample variance s² (divisor n − 1).
///
/// Exact for normal values with [`MeanInterval::StudentT`], approximate for others as n grows; absolute and squared errors are
/// skewed, and need the more rows the heavier their tail. Agrees with SciPy 1.17.1 (`t.interval`) to 1e-12. One pass, and one
/// more for the variance; compensated sums.
///
/// ```
/// use mlops_eval::interval::{MeanInterval, mean_interval};
///
/// let interval = mean_interval(&[1.0, 2.0, 3.0, 4.0], 0.95, MeanInterval::StudentT)?;
/// assert!((interval.lower - 0.4457397432391206).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`]; [`StatsError::Nan`] or [`StatsError::NotFinite`] with the row; and those of
/// [`mean_interval_from_moments`].
pub fn mean_interval(values: &[f64], confidence: f64, method: MeanInterval) -> Result<Interval, StatsError> {
    not_empty(named("values", values))?;
    finite("values", values)?;
    let mut sum = Sum::default();
    values.iter().for_each(|value| sum.push(*value));
    let n = values.len() as f64;
    let mean = in_range("the mean", sum.value() / n)?;
    let mut squares = Sum::default();
    values.iter().for_each(|value| squares.push((value - mean) * (value - mean)));
    let variance = in_range("the variance", squares.value() / (n - 1.0).max(1.0))?;
    mean_interval_from_moments(values.len() as u64, mean, variance, confidence, method)
}

/// [`mean_interval`] from the number of values, their mean and their sample variance.
///
/// ```
/// use mlops_eval::interval::{MeanInterval, mean_interval_from_moments};
///
/// let interval = mean_interval_from_moments(100, 5.0, 4.0, 0.95, MeanInterval::Normal)?;
/// assert!((interval.upper - (5.0 + 1.959963984540054 * 0.2)).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::TooFew`] for fewer than two values: one says nothing about its spread. [`StatsError::Parameter`] for a mean
/// that is not finite, a variance that is negative or not finite, or a confidence outside (0, 1). [`StatsError::Overflow`].
pub fn mean_interval_from_moments(
    count: u64,
    mean: f64,
    variance: f64,
    confidence: f64,
    method: MeanInterval,
) -> Result<Interval, StatsError> {
    check_confidence(confidence)?;
    if count < 2 {
        let got = usize::from(count == 1);
        return Err(StatsError::TooFew { argument: "values", needed: 2, got });
    }
    if !mean.is_finite() {
        return Err(StatsError::Parameter { parameter: "mean", value: mean, reason: "must be finite" });
    }
    if !(variance >= 0.0 && variance.is_finite()) {
        let reason = "must be finite and not negative";
        return Err(StatsError::Parameter { parameter: "variance", value: variance, reason });
    }
    let n = count as f64;
    let quantile = match method {
        MeanInterval::StudentT => student_t_quantile(confidence, n - 1.0),
        MeanInterval::Normal => normal_quantile(confidence),
    };
    let half = quantile * (variance / n).sqrt();
    Ok(Interval {
        lower: in_range("the lower limit", mean - half)?,
        upper: in_range("the upper limit", mean + half)?,
        confidence,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_say_nothing_are_refused() {
        let t = MeanInterval::StudentT;
        assert_eq!(mean_interval(&[], 0.95, t), Err(StatsError::Empty { argument: "values" }));
        assert!(matches!(mean_interval(&[1.0], 0.95, t), Err(StatsError::TooFew { got: 1, .. })));
        assert_eq!(
            mean_interval(&[1.0, f64::NAN], 0.95, t),
            Err(StatsError::Nan { argument: "values", index: 1 })
        );
        assert!(matches!(mean_interval(&[f64::MAX, f64::MAX], 0.95, t), Err(StatsError::Overflow { .. })));
        for variance in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(mean_interval_from_moments(5, 0.0, variance, 0.95, t).is_err());
        }
    }

    #[test]
    fn values_all_alike_have_an_interval_of_one_point() {
        let interval = mean_interval(&[2.0; 5], 0.95, MeanInterval::StudentT).unwrap();
        assert_eq!((interval.lower, interval.upper), (2.0, 2.0));
    }

    #[test]
    fn student_is_wider_than_normal() {
        let values = [0.1, 0.4, 0.2, 0.9];
        let width = |method| mean_interval(&values, 0.9, method).map(|i| i.upper - i.lower).unwrap();
        assert!(width(MeanInterval::StudentT) > width(MeanInterval::Normal));
    }
}
