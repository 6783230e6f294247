//! Intervals around rates, their differences and ratios, and means.
//!
//! | around | function | methods |
//! |---|---|---|
//! | a rate | [`rate_interval`], [`wilson`]; [`rate_interval_effective`] for weighted rows | [`RateInterval`] |
//! | a difference of two independent rates | [`difference_interval`] | [`DifferenceInterval`] |
//! | a ratio of two independent rates | [`ratio_interval`] | [`RatioInterval`] |
//! | a mean (MAE, MSE of a group) | [`mean_interval`], [`mean_interval_from_moments`] | [`MeanInterval`] |
//!
//! Every one covers what it is made for about as often as it says when the rows are independent; `tests/coverage.rs`
//! measures it. Several of them at once cover all their targets less often:
//! [`fairness::pairwise_differences`](crate::fairness::pairwise_differences) corrects for that.
//!
//! ```
//! use mlops_eval::interval::{Rate, RateInterval, rate_interval};
//!
//! // No error in 30 rows is no proof of an error rate below a tenth.
//! let interval = rate_interval(Rate::new(0, 30)?, 0.95, RateInterval::ClopperPearson)?;
//! assert!(interval.lower == 0.0 && interval.upper > 0.1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bootstrap;
mod difference;
mod mean;
mod rate;
mod ratio;
mod root;

use mlops_core::num::{StatsError, json_float};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

pub use bootstrap::BootstrapInterval;
pub(crate) use difference::moments;
pub use difference::{DifferenceInterval, difference_interval};
pub use mean::{MeanInterval, mean_interval, mean_interval_from_moments};
pub use rate::{Rate, RateInterval, rate_interval, rate_interval_effective};
pub use ratio::{RatioInterval, ratio_interval};

/// The default confidence of an interval.
pub const CONFIDENCE: f64 = 0.95;

/// A confidence interval.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower limit.
    #[serde(serialize_with = "json_float::serialize", deserialize_with = "limit")]
    pub lower: f64,
    /// The upper limit; infinite only where nothing bounds a ratio ("Infinity" in JSON).
    #[serde(serialize_with = "json_float::serialize", deserialize_with = "limit")]
    pub upper: f64,
    /// The confidence it was made for, in (0, 1).
    pub confidence: f64,
}

/// A limit in a file: a number or an infinity, never NaN.
fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = json_float::deserialize(deserializer)?;
    if value.is_nan() { Err(D::Error::custom("a limit is not NaN")) } else { Ok(value) }
}

impl Interval {
    /// Whether `value` lies inside, limits included.
    ///
    /// ```
    /// use mlops_eval::interval::wilson;
    /// assert!(wilson(5, 10, 0.95)?.contains(0.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn contains(&self, value: f64) -> bool {
        (self.lower..=self.upper).contains(&value)
    }
}

/// Wilson's score interval (1927) for a share of `successes` in `trials`, without continuity correction.
///
/// The shares p that a two-sided score test at 1 − `confidence` does not reject: (k + z²/2 ± z √(k(n−k)/n + z²/4)) /
/// (n + z²). Lies in [0, 1], is never empty and keeps its coverage for shares near 0 and 1, where the normal interval
/// collapses (Brown, Cai, DasGupta 2001). Rows are taken as independent. Agrees with SciPy 1.17.1 (`binomtest(k,
/// n).proportion_ci(method="wilson")`) to 1e-12.
///
/// ```
/// use mlops_eval::interval::wilson;
///
/// let none_of_ten = wilson(0, 10, 0.95)?;
/// assert_eq!(none_of_ten.lower, 0.0);
/// assert!((none_of_ten.upper - 0.2775327998628892).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::ZeroTotal`] without trials; [`StatsError::Parameter`] for more successes than trials, or a
/// confidence outside (0, 1).
pub fn wilson(successes: u64, trials: u64, confidence: f64) -> Result<Interval, StatsError> {
    check_confidence(confidence)?;
    if trials == 0 {
        return Err(StatsError::ZeroTotal { argument: "trials" });
    }
    if successes > trials {
        let reason = "must not exceed `trials`";
        return Err(StatsError::Parameter { parameter: "successes", value: successes as f64, reason });
    }
    Ok(wilson_share(successes as f64, trials as f64, confidence))
}

/// [`wilson`] for counts that are f64 already; 0 ≤ k ≤ n, n > 0 and the confidence have been checked.
pub(crate) fn wilson_share(k: f64, n: f64, confidence: f64) -> Interval {
    let z = normal_quantile(confidence);
    let (lower, upper) = wilson_limits(k, n, z * z);
    Interval {
        // Exact where the formula gives 0 or 1 up to a rounding error.
        lower: if k == 0.0 { 0.0 } else { lower },
        upper: if k >= n { 1.0 } else { upper },
        confidence,
    }
}

fn wilson_limits(k: f64, n: f64, z2: f64) -> (f64, f64) {
    let center = (k + 0.5 * z2) / (n + z2);
    // k(n−k)/n as a product of one share, which stays within range for any count.
    let half = (z2 * (k * ((n - k) / n) + 0.25 * z2)).sqrt() / (n + z2);
    ((center - half).clamp(0.0, 1.0), (center + half).clamp(0.0, 1.0))
}

/// z with P(|Z| ≤ z) = confidence for a standard normal Z.
pub(crate) fn normal_quantile(confidence: f64) -> f64 {
    // Of the tail: 1 − confidence is exact where (1 + confidence)/2 has few digits left.
    -Normal::standard().inverse_cdf(0.5 * (1.0 - confidence))
}

pub(crate) fn check_confidence(confidence: f64) -> Result<(), StatsError> {
    // From the last f64 below 1 on, (1 + confidence)/2 is 1.
    if confidence > 0.0 && confidence.midpoint(1.0) < 1.0 {
        return Ok(());
    }
    let reason = "must lie above 0 and below 1";
    Err(StatsError::Parameter { parameter: "confidence", value: confidence, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_lies_in_the_unit_range_around_the_share() {
        for n in [1, 2, 7, 100, 1_000_000, u64::MAX] {
            for k in [0, 1, n / 3, n / 2, n - 1, n] {
                for confidence in [1e-9, 0.5, 0.95, 0.999_999] {
                    let interval = wilson(k, n, confidence).unwrap();
                    let share = k as f64 / n as f64;
                    assert!(interval.lower >= 0.0 && interval.upper <= 1.0, "{k}/{n} {confidence}");
                    assert!(interval.contains(share), "{k}/{n} {confidence}: {interval:?}");
                }
            }
        }
    }

    /// SciPy 1.17.1: `norm.isf((1 - c) / 2)`.
    #[test]
    fn quantiles_keep_their_digits_near_certainty() {
        for (confidence, z) in [
            (1e-3, 0.001_253_314_465_432_555_7),
            (0.5, 0.674_489_750_196_081_7),
            (0.95, 1.959_963_984_540_054),
            (0.999_999, 4.891_638_475_692_932_5),
            (0.999_999_999_999, 7.130_509_892_879_273),
            (0.999_999_999_999_99, 7.739_357_990_926_661),
            (0.999_999_999_999_999_8, 8.209_536_151_601_387),
        ] {
            let got = normal_quantile(confidence);
            assert!((got / z - 1.0).abs() < 1e-14, "{confidence}: {got} is not {z}");
        }
    }

    #[test]
    fn bad_arguments_are_named() {
        assert_eq!(wilson(0, 0, 0.95), Err(StatsError::ZeroTotal { argument: "trials" }));
        let error = wilson(3, 2, 0.95).unwrap_err();
        assert_eq!(error.to_string(), "`successes` is 3, which must not exceed `trials`");
        for confidence in [0.0, 1.0, -1.0, 2.0, f64::NAN, 1.0 - f64::EPSILON / 2.0] {
            assert!(matches!(wilson(1, 2, confidence), Err(StatsError::Parameter { .. })), "{confidence}");
        }
    }
}
