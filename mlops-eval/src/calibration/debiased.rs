//! The squared calibration error without the bias that the number of rows in a bin brings, and an interval around it.

use mlops_core::num::special::normal_quantile;
use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::curve::CalibrationOptions;
use super::{Checked, state_of};
use crate::classification::ScoreState;
use crate::interval::{Interval, check_confidence};

/// An unbiased squared L2 calibration error with its interval.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DebiasedError {
    /// The unbiased estimate of the squared error. May be negative: its mean over samples is the squared error, which may
    /// be 0.
    pub squared: Measured,
    /// An interval for the squared error, in [0, 1].
    pub squared_interval: Option<Interval>,
    /// The root of the estimate, 0 where that is negative.
    pub error: Measured,
    /// The interval for the root.
    pub interval: Option<Interval>,
    /// The debiased squared error of Bröcker (2012) and Kumar, Liang, Ma (2019): Σ w (gap² − o(1 − o)/(n − 1)) with o the
    /// observed share of a bin. It takes the probabilities of a bin as alike.
    pub kumar_squared: Measured,
    /// The number of bins with at least two rows: the others add 0.
    pub bins: usize,
}

/// The debiased squared L2 calibration error over bins, and its interval.
///
/// With u = y − p, and n rows with mean δ and variance v of u in a bin, the bin's δ² is estimated without bias by
/// (Σ u)² − Σ u² over n(n − 1); the estimate T is the mean over bins, weighted by n/N. It is the estimator of Sun, Chaudhari,
/// Barnett, Dobriban, *A Confidence Interval for the ℓ2 Expected Calibration Error*, arXiv 2408.08998. Bins with fewer than
/// two rows add 0. The target θ is the squared error over these bins of the population, which is at most the squared error
/// without bins.
///
/// Var T = Σ 2 n v²/(n − 1) / N² + [4 Σ (n/N) δ² v + Σ (n/N) δ⁴ − θ²] / N: the first term is what is left for a calibrated
/// model, the second rules otherwise (they are the two rates of the paper). The interval is not the paper's but is derived
/// here as Wilson's is: it holds the θ with (T − θ)² ≤ z² Var(θ), where the second term is scaled from the estimated δ to θ
/// (4 δ² v with θ, δ⁴ with θ²). It is never empty at 0: a T below what the inversion allows gives [0, 0]. In simulations of
/// calibrated and of miscalibrated models with 10 and 50 bins it covers its target within the binomial bounds of nominal or
/// above.
///
/// Undefined with [`UndefinedReason::TooFew`] unless a bin has two rows. Weights count rows. O(n log n) or, on bins, O(n).
///
/// ```
/// use mlops_eval::calibration::{CalibrationOptions, debiased_calibration_error};
///
/// let y = [true, false, true, false];
/// let error = debiased_calibration_error(&y, &[0.5; 4], None, &CalibrationOptions::default())?;
/// assert_eq!(error.squared.value(), Some(-1.0 / 12.0));
/// assert_eq!(error.error.value(), Some(0.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`calibration_curve_with`](super::calibration_curve_with).
pub fn debiased_calibration_error(
    y_true: &[bool],
    probabilities: &[f64],
    weights: Option<&[f64]>,
    options: &CalibrationOptions,
) -> Result<DebiasedError, StatsError> {
    debiased_calibration_error_from_state(&state_of(y_true, probabilities, weights)?, options)
}

/// [`debiased_calibration_error`] from the mergeable state of the rows.
///
/// ```
/// use mlops_eval::calibration::{CalibrationOptions, debiased_calibration_error_from_state};
/// use mlops_eval::classification::ScoreState;
///
/// let state = ScoreState::of(&[true, true], &[0.0, 0.0])?;
/// let error = debiased_calibration_error_from_state(&state, &CalibrationOptions::default())?;
/// assert_eq!(error.error.value(), Some(1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`calibration_curve_from_state`](super::calibration_curve_from_state).
pub fn debiased_calibration_error_from_state(
    state: &ScoreState,
    options: &CalibrationOptions,
) -> Result<DebiasedError, StatsError> {
    check_confidence(options.confidence)?;
    let data = Checked::new(state)?;
    let moments = moments(data, options)?;
    if moments.is_empty() {
        let none = Measured::none(UndefinedReason::TooFew, usize::from(data.total >= 1.0), 2);
        return Ok(DebiasedError {
            squared: none,
            squared_interval: None,
            error: none,
            interval: None,
            kumar_squared: none,
            bins: 0,
        });
    }
    let mean = |term: fn(&Moments) -> f64| {
        moments.iter().map(|bin| bin.n / data.total * term(bin)).collect::<Sum>().value()
    };
    let squared = mean(Moments::squared_bias);
    let interval = invert(squared, &variance(&moments, data.total), options.confidence);
    Ok(DebiasedError {
        squared: Measured::Value(squared),
        squared_interval: Some(interval),
        error: Measured::Value(squared.max(0.0).sqrt()),
        interval: Some(Interval {
            lower: interval.lower.sqrt(),
            upper: interval.upper.sqrt(),
            confidence: interval.confidence,
        }),
        kumar_squared: Measured::Value(mean(Moments::kumar)),
        bins: moments.len(),
    })
}

/// The rows of a bin, at least two: their number, Σ u, Σ u² and the number of positives.
#[derive(Clone, Copy, Default)]
struct Moments {
    n: f64,
    sum: f64,
    squares: f64,
    positives: f64,
}

impl Moments {
    /// Unbiased for δ².
    fn squared_bias(&self) -> f64 {
        // Quotients first: weights may be so large that a product of them does not fit.
        self.delta() * (self.sum / (self.n - 1.0)) - self.squares / self.n / (self.n - 1.0)
    }

    /// Unbiased for the variance of u.
    fn variance(&self) -> f64 {
        ((self.squares - self.sum * (self.sum / self.n)) / (self.n - 1.0)).max(0.0)
    }

    fn delta(&self) -> f64 {
        self.sum / self.n
    }

    fn kumar(&self) -> f64 {
        let observed = self.positives / self.n;
        self.delta() * self.delta() - observed * (1.0 - observed) / (self.n - 1.0)
    }
}

fn moments(data: Checked<'_>, options: &CalibrationOptions) -> Result<Vec<Moments>, StatsError> {
    let bins = options.binning.bins_for(data)?;
    let mut sums = vec![[Sum::new(); 4]; bins.edges().len().saturating_sub(1).max(1)];
    for point in data.points() {
        let Some([n, sum, squares, positives]) = sums.get_mut(bins.index(point.p)) else { continue };
        let q = 1.0 - point.p;
        n.push(point.negative);
        n.push(point.positive);
        sum.push(point.positive * q);
        sum.push(-point.negative * point.p);
        squares.push(point.positive * (q * q));
        squares.push(point.negative * (point.p * point.p));
        positives.push(point.positive);
    }
    let moments = sums.into_iter().map(|sums| {
        let [n, sum, squares, positives] = sums.map(|sum| sum.value());
        Moments { n, sum, squares, positives }
    });
    Ok(moments.filter(|bin| bin.n >= 2.0).collect())
}

/// Var T as a function of θ: constant + linear · θ + quadratic · θ².
struct Variance {
    constant: f64,
    linear: f64,
    quadratic: f64,
}

fn variance(moments: &[Moments], total: f64) -> Variance {
    let mean = |term: &dyn Fn(&Moments) -> f64| {
        moments.iter().map(|bin| bin.n / total * term(bin)).collect::<Sum>().value()
    };
    let square = |bin: &Moments| bin.delta() * bin.delta();
    let constant = mean(&|bin| 2.0 * bin.variance() * bin.variance() / (bin.n - 1.0)) / total;
    let squared = mean(&square);
    if squared <= 0.0 {
        return Variance { constant, linear: 4.0 * mean(&Moments::variance) / total, quadratic: 0.0 };
    }
    let linear = 4.0 * mean(&|bin| square(bin) * bin.variance()) / squared / total;
    let fourth = mean(&|bin| square(bin) * square(bin));
    let quadratic = ((fourth / squared / squared - 1.0) / total).max(0.0);
    Variance { constant, linear, quadratic }
}

/// The θ in [0, 1] with (T − θ)² ≤ z² Var(θ).
fn invert(squared: f64, variance: &Variance, confidence: f64) -> Interval {
    let z2 = normal_quantile(confidence).powi(2);
    let a = 1.0 - z2 * variance.quadratic;
    let half = squared + 0.5 * z2 * variance.linear;
    let rest = squared * squared - z2 * variance.constant;
    let root = (half * half - a * rest).max(0.0).sqrt();
    // Where a ≤ 0 the spread grows faster than θ: nothing above the lower limit is excluded.
    let lower = if half + root > 0.0 { rest / (half + root) } else { 0.0 };
    let upper = if a > 0.0 { (half + root) / a } else { 1.0 };
    let upper = upper.clamp(0.0, 1.0);
    // At or below 0 the lower end is 0: the other root is negative, or the estimate is.
    let lower = if squared > 0.0 { lower.clamp(0.0, upper) } else { 0.0 };
    Interval { lower, upper, confidence }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_is_the_mean_over_pairs() {
        let y = [true, false, true, true, false];
        let p = [0.31, 0.32, 0.35, 0.9, 0.95];
        let error = debiased_calibration_error(&y, &p, None, &CalibrationOptions::default()).unwrap();
        let u: Vec<f64> = y.iter().zip(p).map(|(y, p)| f64::from(u8::from(*y)) - p).collect();
        let first = 2.0 * (u[0] * u[1] + u[0] * u[2] + u[1] * u[2]) / 6.0;
        // 0.9 lies on an edge: it is alone in its bin, and so is 0.95.
        let expected = 3.0 / 5.0 * first;
        assert!((error.squared.value().unwrap() - expected).abs() < 1e-15);
        assert_eq!(error.bins, 1);
    }

    #[test]
    fn lone_rows_say_nothing() {
        let error =
            debiased_calibration_error(&[true], &[0.3], None, &CalibrationOptions::default()).unwrap();
        assert_eq!(error.squared.undefined().unwrap().reason, UndefinedReason::TooFew);
        assert_eq!(error.interval, None);
    }
}
