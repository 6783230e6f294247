//! Proper scoring rules of predicted probabilities.

use mlops_core::num::{Measured, StatsError};
use serde::{Deserialize, Serialize};

use crate::input::{in_range, named, paired, probabilities, weight, weight_total};
use mlops_core::num::sum::Sum;

/// How [`log_loss_with`] treats certainty.
///
/// ```
/// use mlops_eval::classification::LogLossOptions;
/// assert_eq!(LogLossOptions::default().eps, f64::EPSILON);
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogLossOptions {
    /// Probabilities are moved into [eps, 1 − eps] first, so that a certain wrong answer costs −ln eps instead of
    /// infinity. Above 0 and below 0.5. Default: `f64::EPSILON` = 2.2e-16, a cost of at most 36.04 a row, as in
    /// scikit-learn.
    pub eps: f64,
}

impl Default for LogLossOptions {
    fn default() -> Self {
        Self { eps: f64::EPSILON }
    }
}

impl LogLossOptions {
    /// Sets [`Self::eps`].
    ///
    /// ```
    /// use mlops_eval::classification::{LogLossOptions, log_loss_with};
    ///
    /// let options = LogLossOptions::default().with_eps(0.01);
    /// assert_eq!(log_loss_with(&[true], &[0.0], &options)?.value(), Some(-(0.01_f64.ln())));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }
}

/// The mean of −ln of the probability given to what happened (Good 1952), with natural logarithms, in nats.
///
/// At least 0, lower is better. `probabilities[i]` is the probability that row i is positive. Always defined;
/// probabilities are clipped as [`LogLossOptions`] says. O(n). Agrees with scikit-learn 1.9.1 to 1e-12.
///
/// ```
/// use mlops_eval::classification::log_loss;
///
/// let loss = log_loss(&[true, false], &[0.8, 0.4])?.value().unwrap_or(f64::NAN);
/// assert!((loss - (-(0.8_f64.ln()) - 0.6_f64.ln()) / 2.0).abs() < 1e-15);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::Nan`], [`StatsError::OutOfRange`].
pub fn log_loss(y_true: &[bool], probabilities: &[f64]) -> Result<Measured, StatsError> {
    log_loss_with(y_true, probabilities, &LogLossOptions::default())
}

/// [`log_loss`] with options.
///
/// ```
/// use mlops_eval::classification::{LogLossOptions, log_loss_with};
///
/// let loss = log_loss_with(&[false], &[1.0], &LogLossOptions::default().with_eps(1e-3))?;
/// assert_eq!(loss.value(), Some(-(1e-3_f64.ln())));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`log_loss`], and [`StatsError::Parameter`] for an `eps` outside (0, 0.5).
pub fn log_loss_with(
    y_true: &[bool],
    probabilities: &[f64],
    options: &LogLossOptions,
) -> Result<Measured, StatsError> {
    let losses = row_losses(options)?;
    mean_over_rows("the log loss", y_true, probabilities, None, losses)
}

/// [`log_loss`] with a weight for each row.
///
/// ```
/// use mlops_eval::classification::{log_loss, log_loss_weighted};
///
/// let weighted = log_loss_weighted(&[true, false], &[0.8, 0.4], &[1.0, 0.0])?;
/// assert_eq!(weighted, log_loss(&[true], &[0.8])?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`log_loss`], and what [`weights::total`](mlops_core::num::weights::total) refuses.
pub fn log_loss_weighted(
    y_true: &[bool],
    probabilities: &[f64],
    weights: &[f64],
) -> Result<Measured, StatsError> {
    log_loss_weighted_with(y_true, probabilities, weights, &LogLossOptions::default())
}

/// [`log_loss`] with a weight for each row, and options.
///
/// ```
/// use mlops_eval::classification::{LogLossOptions, log_loss_weighted_with};
///
/// let options = LogLossOptions::default().with_eps(1e-3);
/// let loss = log_loss_weighted_with(&[false, true], &[1.0, 0.5], &[2.0, 0.0], &options)?;
/// assert_eq!(loss.value(), Some(-(1e-3_f64.ln())));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`log_loss_with`] and [`log_loss_weighted`].
pub fn log_loss_weighted_with(
    y_true: &[bool],
    probabilities: &[f64],
    weights: &[f64],
    options: &LogLossOptions,
) -> Result<Measured, StatsError> {
    let losses = row_losses(options)?;
    mean_over_rows("the log loss", y_true, probabilities, Some(weights), losses)
}

/// The mean squared distance between probability and outcome (Brier 1950): Σ (p − y)² / n with y in {0, 1}.
///
/// In [0, 1], lower is better. Always defined. O(n). Agrees with scikit-learn 1.9.1 to 1e-12.
///
/// ```
/// use mlops_eval::classification::brier;
/// assert_eq!(brier(&[true, false], &[0.5, 0.5])?.value(), Some(0.25));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`log_loss`].
pub fn brier(y_true: &[bool], probabilities: &[f64]) -> Result<Measured, StatsError> {
    mean_over_rows("the Brier score", y_true, probabilities, None, squared_distance)
}

/// [`brier`] with a weight for each row.
///
/// ```
/// use mlops_eval::classification::brier_weighted;
/// assert_eq!(brier_weighted(&[true, false], &[0.5, 1.0], &[3.0, 1.0])?.value(), Some(1.75 / 4.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`log_loss_weighted`].
pub fn brier_weighted(
    y_true: &[bool],
    probabilities: &[f64],
    weights: &[f64],
) -> Result<Measured, StatsError> {
    mean_over_rows("the Brier score", y_true, probabilities, Some(weights), squared_distance)
}

fn squared_distance(positive: bool, probability: f64) -> f64 {
    let distance = if positive { 1.0 - probability } else { probability };
    distance * distance
}

fn row_losses(options: &LogLossOptions) -> Result<impl Fn(bool, f64) -> f64 + use<>, StatsError> {
    let eps = options.eps;
    if !(eps > 0.0 && eps < 0.5) {
        let reason = "must lie above 0 and below 0.5";
        return Err(StatsError::Parameter { parameter: "eps", value: eps, reason });
    }
    Ok(move |positive, probability| row_loss(positive, probability, eps))
}

/// −ln of the probability of what happened, moved into [eps, 1 − eps].
fn row_loss(positive: bool, probability: f64, eps: f64) -> f64 {
    if positive {
        return -probability.max(eps).min(1.0 - eps).ln();
    }
    // ln_1p keeps the digits that 1 − p loses for a small p; the upper end is clipped on 1 − p, where eps itself is a
    // number (1 − eps may round to 1).
    let complement = 1.0 - probability;
    if complement <= eps { -eps.ln() } else { -(-probability.max(eps)).ln_1p() }
}

fn mean_over_rows(
    what: &'static str,
    y_true: &[bool],
    forecast: &[f64],
    weights: Option<&[f64]>,
    loss: impl Fn(bool, f64) -> f64,
) -> Result<Measured, StatsError> {
    paired(named("y_true", y_true), named("probabilities", forecast))?;
    probabilities("probabilities", forecast)?;
    let total = weight_total(weights, named("y_true", y_true))?;
    let rows = y_true.iter().zip(forecast).enumerate();
    // The weight becomes a share before it meets the loss, so that large weights do not overflow.
    let terms = rows.map(|(i, (&y, &p))| match weights {
        None => loss(y, p),
        Some(_) => loss(y, p) * (weight(weights, i) / total),
    });
    let sum = terms.collect::<Sum>().value();
    let mean = if weights.is_none() { sum / total } else { sum };
    Ok(Measured::Value(in_range(what, mean)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certainty_costs_what_eps_says() {
        for eps in [f64::MIN_POSITIVE, 1e-17, f64::EPSILON, 1e-7, 0.1, 0.49] {
            let options = LogLossOptions { eps };
            for (y, p) in [(true, 0.0), (false, 1.0)] {
                let wrong = log_loss_with(&[y], &[p], &options).unwrap().value().unwrap();
                assert_eq!(wrong, -eps.ln(), "{y} {p} {eps}");
                let right = log_loss_with(&[!y], &[p], &options).unwrap().value().unwrap();
                assert!((right - -(1.0 - eps).ln()).abs() < 1e-15, "{y} {p} {eps}: {right}");
            }
        }
    }

    #[test]
    fn bad_input_is_named() {
        for eps in [0.0, -1.0, 0.5, f64::NAN] {
            let error = log_loss_with(&[true], &[0.5], &LogLossOptions { eps }).unwrap_err();
            assert!(error.to_string().starts_with("`eps` is"), "{error}");
        }
        let cases: [(&[bool], &[f64], &str); 5] = [
            (&[], &[], "`y_true` is empty"),
            (&[true], &[], "`y_true` has 1 elements but `probabilities` has 0"),
            (&[true], &[f64::NAN], "`probabilities` has a NaN at index 0"),
            (&[true], &[1.5], "`probabilities` has 1.5 at index 0, which lies outside [0, 1]"),
            (&[true], &[f64::NEG_INFINITY], "`probabilities` has -inf at index 0, which lies outside [0, 1]"),
        ];
        for (y_true, p, message) in cases {
            assert_eq!(log_loss(y_true, p).unwrap_err().to_string(), message);
            assert_eq!(brier(y_true, p).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn weights_of_any_size_are_shares() {
        let brier = brier_weighted(&[true, true], &[0.5, 1.0], &[8e307, 8e307]).unwrap();
        assert_eq!(brier.value(), Some(0.125));
    }
}
