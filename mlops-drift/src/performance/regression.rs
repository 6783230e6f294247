//! Numbers: errors of predictions, with the variance that a row brings.

use mlops_core::num::{Measured, StatsError, UndefinedReason};

use super::estimate::moments;
use super::{Measurement, Metric, check};

/// What a model said of rows whose truth is a number.
#[derive(Clone, Copy, Debug)]
pub struct Regression<'a> {
    pub(super) predicted: &'a [f64],
}

impl<'a> Regression<'a> {
    /// Checks that the predictions are finite.
    ///
    /// # Errors
    /// [`StatsError::Empty`], [`StatsError::Nan`], [`StatsError::NotFinite`].
    pub fn new(predicted: &'a [f64]) -> Result<Self, StatsError> {
        if predicted.is_empty() {
            return Err(StatsError::Empty { argument: "predicted" });
        }
        check::finite("predicted", predicted)?;
        Ok(Self { predicted })
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.predicted.len()
    }
}

/// Measures rows whose truth is known. Agrees with scikit-learn to 1e-12. O(n).
///
/// # Errors
/// [`StatsError::LengthMismatch`], [`StatsError::Nan`], [`StatsError::NotFinite`]; [`StatsError::OutOfRange`] for values at or below −1
/// under a logarithmic metric; [`StatsError::Overflow`] for errors too large to square; [`StatsError::Unsupported`] for a metric of classes.
///
/// ```
/// use mlops_drift::performance::{Metric, Regression, measure_regression};
///
/// let rows = Regression::new(&[2.0, 3.0])?;
/// let rmse = measure_regression(&rows, &[1.0, 3.0], &[Metric::Rmse])?[0];
/// assert_eq!(rmse.value.value(), Some(0.5_f64.sqrt()));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn measure_regression(
    rows: &Regression<'_>,
    truth: &[f64],
    metrics: &[Metric],
) -> Result<Vec<Measurement>, StatsError> {
    let measure = |&metric: &Metric| {
        let losses = losses(rows, truth, metric)?;
        let (mean, variance) = moments(&losses);
        if !(mean.is_finite() && variance.is_finite()) {
            return Err(StatsError::Overflow { what: "the errors of the predictions" });
        }
        let rows = losses.len() as u64;
        Ok(Measurement {
            metric,
            value: finish(metric, mean),
            unit_variance: delta(metric, mean, variance),
            rows,
        })
    };
    check_metrics(metrics)?;
    metrics.iter().map(measure).collect()
}

pub(super) fn check_metrics(metrics: &[Metric]) -> Result<(), StatsError> {
    let reason = "it measures classes, and these are numbers";
    match metrics.iter().find(|metric| !metric.is_regression()) {
        Some(metric) => Err(StatsError::Unsupported { what: metric.as_str(), reason }),
        None => Ok(()),
    }
}

/// The loss of each row, whose mean (or the root of it) is the metric.
pub(super) fn losses(rows: &Regression<'_>, truth: &[f64], metric: Metric) -> Result<Vec<f64>, StatsError> {
    check::same_length("predicted", rows.rows(), "truth", truth.len())?;
    check::finite("truth", truth)?;
    if matches!(metric, Metric::Msle | Metric::Rmsle) {
        above_minus_one("truth", truth)?;
        above_minus_one("predicted", rows.predicted)?;
    }
    let loss = |(&predicted, &truth): (&f64, &f64)| match metric {
        Metric::Mae => (truth - predicted).abs(),
        Metric::Mape => (truth - predicted).abs() / truth.abs().max(f64::EPSILON),
        Metric::Msle | Metric::Rmsle => (truth.ln_1p() - predicted.ln_1p()).powi(2),
        _ => (truth - predicted) * (truth - predicted),
    };
    let losses: Vec<f64> = rows.predicted.iter().zip(truth).map(loss).collect();
    if losses.iter().any(|loss| !loss.is_finite()) {
        return Err(StatsError::Overflow { what: "the errors of the predictions" });
    }
    Ok(losses)
}

fn above_minus_one(argument: &'static str, values: &[f64]) -> Result<(), StatsError> {
    let low = (-1.0_f64).next_up();
    match values.iter().enumerate().find(|(_, value)| **value < low) {
        Some((index, &value)) => Err(StatsError::OutOfRange { argument, index, value, low, high: f64::MAX }),
        None => Ok(()),
    }
}

/// The metric of a mean loss.
pub(super) fn finish(metric: Metric, mean: f64) -> Measured {
    Measured::Value(if matches!(metric, Metric::Rmse | Metric::Rmsle) { mean.max(0.0).sqrt() } else { mean })
}

/// The variance that one row brings; of a root by the delta method, Var / 4 MSE.
fn delta(metric: Metric, mean: f64, variance: f64) -> Measured {
    match metric {
        Metric::Rmse | Metric::Rmsle if mean > 0.0 => Measured::Value(variance / (4.0 * mean)),
        Metric::Rmse | Metric::Rmsle => Measured::none(UndefinedReason::Constant, 1, 2),
        _ => Measured::Value(variance),
    }
}
