//! Every metric on every slice.

use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::declared::Slice;
use crate::catalog::{Input, Metric};

/// How slices are measured.
///
/// ```
/// use mlops_eval::slice::SliceOptions;
/// assert_eq!(SliceOptions::default().minimum_size, 10);
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceOptions {
    /// The fewest rows of a slice that is measured. Default 10, for the reason given at
    /// [`FairnessOptions::minimum_size`](crate::fairness::FairnessOptions::minimum_size).
    pub minimum_size: usize,
}

impl Default for SliceOptions {
    fn default() -> Self {
        Self { minimum_size: 10 }
    }
}

impl SliceOptions {
    /// Sets [`Self::minimum_size`].
    #[must_use]
    pub fn with_minimum_size(mut self, minimum_size: usize) -> Self {
        self.minimum_size = minimum_size;
        self
    }
}

/// What was measured on one slice.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SliceResult {
    /// The slice's name.
    pub name: String,
    /// The number of rows inside.
    pub rows: usize,
    /// The metrics, in the order asked for.
    pub values: Vec<SliceValue>,
}

/// One metric on one slice.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SliceValue {
    /// Which metric.
    pub metric: Metric,
    /// Its value; undefined with [`UndefinedReason::TooFew`] when the slice has fewer rows than the minimum.
    pub value: Measured,
}

/// Measures every metric on every slice. Slices may overlap; an empty one is reported, never skipped.
///
/// Copies the rows of one slice at a time: O(slices · (n + cost of the metrics)).
///
/// ```
/// use mlops_core::num::UndefinedReason;
/// use mlops_eval::catalog::{Input, Metric};
/// use mlops_eval::slice::{Slice, SliceOptions, evaluate_slices};
///
/// let input = Input::regression(&[1.0, 2.0, 3.0], &[1.0, 2.5, 3.5]);
/// let slices = [Slice::new("first", vec![true, false, false]), Slice::new("rest", vec![false, true, true])];
/// let metrics: [Metric; 1] = ["mae".parse()?];
/// let results = evaluate_slices(&input, &slices, &metrics, &SliceOptions::default().with_minimum_size(2))?;
/// assert_eq!(results[0].values[0].value.undefined().map(|u| u.reason), Some(UndefinedReason::TooFew));
/// assert_eq!(results[1].values[0].value.value(), Some(0.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::LengthMismatch`] for a mask or a part of the input that is not as long as the truth, and those of
/// the metrics. Weights that are all zero within a slice leave its metrics undefined with
/// [`UndefinedReason::TooFew`].
pub fn evaluate_slices(
    input: &Input<'_>,
    slices: &[Slice],
    metrics: &[Metric],
    options: &SliceOptions,
) -> Result<Vec<SliceResult>, StatsError> {
    input.check()?;
    slices.iter().map(|slice| evaluate(input, slice, metrics, options)).collect()
}

fn evaluate(
    input: &Input<'_>,
    slice: &Slice,
    metrics: &[Metric],
    options: &SliceOptions,
) -> Result<SliceResult, StatsError> {
    let (left_len, right_len) = (slice.mask().len(), input.rows());
    if left_len != right_len {
        return Err(StatsError::LengthMismatch { left: "slice", left_len, right: "y_true", right_len });
    }
    let rows = slice.rows();
    // A slice without rows has no metrics, whatever the minimum.
    let needed = options.minimum_size.max(1);
    let part = (rows >= needed).then(|| input.pick(slice.mask()));
    let value = |metric: &Metric| {
        let value = match &part {
            None => Measured::none(UndefinedReason::TooFew, rows, needed),
            Some(part) => match metric.evaluate(&part.input()) {
                Err(StatsError::ZeroTotal { argument: "weights" }) => {
                    Measured::none(UndefinedReason::TooFew, 0, needed)
                }
                result => result?,
            },
        };
        Ok(SliceValue { metric: *metric, value })
    };
    let values = metrics.iter().map(value).collect::<Result<_, StatsError>>()?;
    Ok(SliceResult { name: slice.name().to_owned(), rows, values })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_measured_like_its_rows() {
        let y_true: Vec<bool> = (0..40).map(|i| i % 3 == 0).collect();
        let scores: Vec<f64> = (0..40).map(|i| f64::from(i * 7 % 40) / 40.0).collect();
        let labels: Vec<bool> = scores.iter().map(|score| *score > 0.5).collect();
        let weights: Vec<f64> = (0..40).map(|i| f64::from(i % 4)).collect();
        let whole = Input::binary(&y_true).with_labels(&labels).with_scores(&scores).with_weights(&weights);
        let metrics: Vec<Metric> = Metric::all().filter(|metric| whole.supports(*metric)).collect();
        let mask = (0..40).map(|i| i < 20).collect();
        // Exactly as many rows as are needed.
        let options = SliceOptions::default().with_minimum_size(20);
        let results = evaluate_slices(&whole, &[Slice::new("half", mask)], &metrics, &options).unwrap();
        let half = Input::binary(&y_true[..20])
            .with_labels(&labels[..20])
            .with_scores(&scores[..20])
            .with_weights(&weights[..20]);
        assert_eq!(results[0].rows, 20);
        for SliceValue { metric, value } in &results[0].values {
            assert_eq!(*value, metric.evaluate(&half).unwrap(), "{metric}");
        }
    }

    #[test]
    fn empty_and_weightless_slices_have_no_numbers() {
        let input = Input::regression(&[1.0, 2.0], &[1.0, 2.0]).with_weights(&[0.0, 1.0]);
        let slices = [Slice::new("empty", vec![false, false]), Slice::new("weightless", vec![true, false])];
        let metrics = ["mae".parse().unwrap()];
        let options = SliceOptions::default().with_minimum_size(0);
        for result in evaluate_slices(&input, &slices, &metrics, &options).unwrap() {
            assert_eq!(result.values[0].value.undefined().unwrap().reason, UndefinedReason::TooFew);
        }
    }

    #[test]
    fn what_does_not_fit_together_is_named() {
        let options = SliceOptions::default();
        let metrics = ["mae".parse().unwrap()];
        let slice = [Slice::new("s", vec![true])];
        let short = Input::regression(&[1.0, 2.0], &[1.0]);
        let error = evaluate_slices(&short, &slice, &metrics, &options).unwrap_err();
        assert_eq!(error.to_string(), "`y_pred` has 1 elements but `y_true` has 2");
        let input = Input::regression(&[1.0, 2.0], &[1.0, 2.0]);
        let error = evaluate_slices(&input, &slice, &metrics, &options).unwrap_err();
        assert_eq!(error.to_string(), "`slice` has 1 elements but `y_true` has 2");
    }
}
