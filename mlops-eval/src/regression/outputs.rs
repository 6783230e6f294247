//! Several targets predicted at once: one metric per output, and their average.

use mlops_core::num::parallel::Threads;
use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError, weights};
use serde::{Deserialize, Serialize};

use super::metric::{RegressionMetric, weight_scale};
use super::options::RegressionOptions;
use super::state::RegressionState;
use crate::input::in_range;

/// How the metrics of the outputs become one number.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum OutputAverage {
    /// Every output counts alike. The default.
    #[default]
    Uniform,
    /// By the variance of the output's targets; alike when no output varies. For shares of variance alone: R² and explained
    /// variance.
    VarianceWeighted,
    /// By these weights, one for each output.
    Weights(Vec<f64>),
}

/// The metric of every output. `y_true` and `y_pred` are matrices in row-major order with one column per output; `weights` has
/// one number per row. O(n·outputs).
///
/// ```
/// use mlops_eval::regression::{RegressionMetric, RegressionOptions, output_metrics};
///
/// let (y, p) = ([0.5, 1.0, -1.0, 1.0, 7.0, -6.0], [0.0, 2.0, -1.0, 2.0, 8.0, -5.0]);
/// let options = RegressionOptions::default();
/// let mae = output_metrics(RegressionMetric::Mae, &y, &p, 2, None, &options)?;
/// assert_eq!(mae.iter().map(|mae| mae.value()).collect::<Vec<_>>(), [Some(0.5), Some(1.0)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Parameter`] for no outputs or a number of elements that is no multiple of them;
/// [`StatsError::LengthMismatch`]; those of the metric, which name rows of the output.
pub fn output_metrics(
    metric: RegressionMetric,
    y_true: &[f64],
    y_pred: &[f64],
    outputs: usize,
    weights: Option<&[f64]>,
    options: &RegressionOptions,
) -> Result<Vec<Measured>, StatsError> {
    check_shape(y_true, y_pred, outputs)?;
    let one = |output| {
        let (y, p) = (column(y_true, outputs, output), column(y_pred, outputs, output));
        metric.evaluate_with(&y, &p, weights, options)
    };
    (0..outputs).map(one).collect()
}

/// The average of [`output_metrics`]. Undefined, for the same reason, when the metric of an output that counts is.
///
/// Agrees with `multioutput` of scikit-learn 1.9.1 to 1e-12 under [`RegressionOptions::scikit_learn_1_9`].
///
/// ```
/// use mlops_eval::regression::{OutputAverage, RegressionMetric, RegressionOptions, outputs_average};
///
/// let (y, p) = ([0.5, 1.0, -1.0, 1.0, 7.0, -6.0], [0.0, 2.0, -1.0, 2.0, 8.0, -5.0]);
/// let average = |average| {
///     outputs_average(RegressionMetric::R2, &y, &p, 2, None, &average, &RegressionOptions::default())
/// };
/// let value = average(OutputAverage::VarianceWeighted)?.value();
/// assert!(value.is_some_and(|value| (value - 0.9382566585956417).abs() < 1e-12));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`output_metrics`]; [`StatsError::Unsupported`] for a variance-weighted average of other metrics; what
/// [`weights::total`] refuses.
pub fn outputs_average(
    metric: RegressionMetric,
    y_true: &[f64],
    y_pred: &[f64],
    outputs: usize,
    weights: Option<&[f64]>,
    average: &OutputAverage,
    options: &RegressionOptions,
) -> Result<Measured, StatsError> {
    let values = output_metrics(metric, y_true, y_pred, outputs, weights, options)?;
    let shares = match average {
        OutputAverage::Uniform => vec![1.0; outputs],
        OutputAverage::Weights(shares) => shares.clone(),
        OutputAverage::VarianceWeighted => variances(metric, y_true, y_pred, outputs, weights)?,
    };
    let total = weights::total_for("output_weights", &shares, "outputs", outputs)?;
    let mut sum = Sum::new();
    for (value, share) in values.into_iter().zip(shares).filter(|(_, share)| *share > 0.0) {
        match value {
            Measured::Value(value) => sum.push(value * (share / total)),
            undefined => return Ok(undefined),
        }
    }
    in_range("the average of the outputs", sum.value()).map(Measured::Value)
}

fn variances(
    metric: RegressionMetric,
    y_true: &[f64],
    y_pred: &[f64],
    outputs: usize,
    weights: Option<&[f64]>,
) -> Result<Vec<f64>, StatsError> {
    if !matches!(metric, RegressionMetric::R2 | RegressionMetric::ExplainedVariance) {
        let reason = "the metric is no share of a variance";
        return Err(StatsError::Unsupported { what: "a variance-weighted average", reason });
    }
    let spread = |output| {
        let (y, p) = (column(y_true, outputs, output), column(y_pred, outputs, output));
        let state = RegressionState::build(&y, &p, weights, Threads::ONE, weight_scale(weights))?;
        in_range("the spread of an output", state.target_spread())
    };
    let spreads = (0..outputs).map(spread).collect::<Result<Vec<_>, _>>()?;
    let varies = spreads.iter().any(|spread| *spread > 0.0);
    Ok(if varies { spreads } else { vec![1.0; outputs] })
}

fn check_shape(y_true: &[f64], y_pred: &[f64], outputs: usize) -> Result<(), StatsError> {
    let refuse = |reason| Err(StatsError::Parameter { parameter: "outputs", value: outputs as f64, reason });
    if outputs == 0 {
        return refuse("must be at least 1");
    }
    crate::input::paired(crate::input::named("y_true", y_true), crate::input::named("y_pred", y_pred))?;
    if !y_true.len().is_multiple_of(outputs) {
        return refuse("must divide the number of elements");
    }
    Ok(())
}

fn column(matrix: &[f64], columns: usize, column: usize) -> Vec<f64> {
    matrix.iter().skip(column).step_by(columns).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_and_weights_that_do_not_fit_are_refused() {
        let options = RegressionOptions::default();
        let metric = RegressionMetric::Mae;
        for outputs in [0, 2, usize::MAX] {
            let result = output_metrics(metric, &[1.0; 3], &[1.0; 3], outputs, None, &options);
            assert!(matches!(result, Err(StatsError::Parameter { parameter: "outputs", .. })), "{outputs}");
        }
        let average = |average| outputs_average(metric, &[1.0; 4], &[1.0; 4], 2, None, &average, &options);
        assert!(average(OutputAverage::Weights(vec![1.0])).is_err());
        assert!(average(OutputAverage::Weights(vec![0.0, 0.0])).is_err());
        assert!(average(OutputAverage::VarianceWeighted).is_err());
    }

    #[test]
    fn an_output_without_weight_may_be_undefined() {
        let (y, p) = ([1.0, 5.0, 2.0, 5.0], [1.0, 5.0, 2.0, 4.0]);
        let options = RegressionOptions::default();
        let average = |average| outputs_average(RegressionMetric::R2, &y, &p, 2, None, &average, &options);
        assert_eq!(average(OutputAverage::Uniform).unwrap().value(), None);
        assert_eq!(average(OutputAverage::VarianceWeighted).unwrap().value(), Some(1.0));
        assert_eq!(average(OutputAverage::Weights(vec![1.0, 0.0])).unwrap().value(), Some(1.0));
    }
}
