//! Every metric on every slice.

use std::cell::LazyCell;

use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::declared::Slice;
use crate::catalog::{Evaluation, Input, Metric, Rows};
use crate::classification::confusion::cell_index;
use crate::classification::{Confusion, LabelMetric, WeightedConfusion};
use crate::input::{named, weight_total};
use crate::interval::{CONFIDENCE, Interval, RateInterval, check_confidence};
use mlops_core::num::simd::{Kernel, run};
use mlops_core::num::sum::Sum;

/// How slices are measured.
///
/// ```
/// use mlops_eval::slice::SliceOptions;
/// assert_eq!(SliceOptions::default().minimum_size, 10);
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SliceOptions {
    /// The fewest rows of a slice that is measured. Default 10, for the reason given at
    /// [`FairnessOptions::minimum_size`](crate::fairness::FairnessOptions::minimum_size).
    pub minimum_size: usize,
    /// The confidence of the interval beside each share, above 0 and below 1. Default 0.95.
    #[serde(default = "confidence")]
    pub confidence: f64,
    /// How the interval beside each share is made. Default: Wilson's.
    #[serde(default)]
    pub rate_interval: RateInterval,
}

fn confidence() -> f64 {
    CONFIDENCE
}

impl Default for SliceOptions {
    fn default() -> Self {
        Self { minimum_size: 10, confidence: CONFIDENCE, rate_interval: RateInterval::Wilson }
    }
}

impl SliceOptions {
    /// Sets [`Self::minimum_size`].
    #[must_use]
    pub fn with_minimum_size(mut self, minimum_size: usize) -> Self {
        self.minimum_size = minimum_size;
        self
    }

    /// Sets [`Self::confidence`].
    #[must_use]
    pub fn with_confidence(mut self, confidence: f64) -> Self {
        self.confidence = confidence;
        self
    }

    /// Sets [`Self::rate_interval`].
    #[must_use]
    pub fn with_rate_interval(mut self, rate_interval: RateInterval) -> Self {
        self.rate_interval = rate_interval;
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
    /// Numerator and denominator, for a metric of binary labels that is a share of rows; weights where rows have weights.
    pub share: Option<(f64, f64)>,
    /// The interval of the share, made as [`SliceOptions::rate_interval`] says; for rows without weights.
    pub interval: Option<Interval>,
}

/// Measures every metric on every slice. Slices may overlap; an empty one is reported, never skipped.
///
/// Metrics of binary labels are read off confusion cells, counted in one pass over the rows for all slices: O(slices · n)
/// without a copy. For others the rows of one slice at a time are copied, once for all metrics: O(slices · (n + cost of the
/// metrics)). Metrics that are sums of errors share one pass over them; average precision, the area under the precision-recall
/// curve and the Kolmogorov–Smirnov statistic share one sort. A value has the bits that the metric has of the slice's rows.
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
/// [`StatsError::LengthMismatch`] for a mask or a part of the input that is not as long as the truth,
/// [`StatsError::Parameter`] for a confidence outside (0, 1), and those of the metrics. Weights that are all zero within a slice leave its metrics undefined with
/// [`UndefinedReason::TooFew`].
pub fn evaluate_slices(
    input: &Input<'_>,
    slices: &[Slice],
    metrics: &[Metric],
    options: &SliceOptions,
) -> Result<Vec<SliceResult>, StatsError> {
    input.check()?;
    check_confidence(options.confidence)?;
    let right_len = input.rows();
    if let Some(slice) = slices.iter().find(|slice| slice.mask().len() != right_len) {
        let (left, left_len, right) = ("slice", slice.mask().len(), "y_true");
        return Err(StatsError::LengthMismatch { left, left_len, right, right_len });
    }
    let cells = if metrics.iter().any(|metric| matches!(metric, Metric::Label(_))) {
        cells_of_slices(input, slices)?
    } else {
        None
    };
    let of_slice = |(index, slice): (usize, &Slice)| {
        let cells = cells.as_ref().and_then(|cells| cells.get(index));
        evaluate(input, slice, cells, metrics, options)
    };
    slices.iter().enumerate().map(of_slice).collect()
}

fn evaluate(
    input: &Input<'_>,
    slice: &Slice,
    cells: Option<&Cells>,
    metrics: &[Metric],
    options: &SliceOptions,
) -> Result<SliceResult, StatsError> {
    let rows = slice.rows();
    // A slice without rows has no metrics, whatever the minimum.
    let needed = options.minimum_size.max(1);
    let picked = LazyCell::new(|| input.pick(slice.mask()));
    let mut part = None;
    let value = |metric: &Metric| {
        let share = match (metric, cells) {
            (Metric::Label(label), Some(cells)) => label.share(cells.weights),
            _ => None,
        };
        let counted = cells.is_some_and(|cells| cells.counted);
        let trials = share.filter(|(_, denominator)| counted && *denominator > 0.0);
        let value = match (metric, cells) {
            _ if rows < needed => Measured::none(UndefinedReason::TooFew, rows, needed),
            (Metric::Label(label), Some(cells)) => of_cells(*label, cells, needed),
            _ => {
                let part = part.get_or_insert_with(|| Evaluation::new(picked.input()));
                match part.value(*metric) {
                    Err(StatsError::ZeroTotal { argument: "weights" }) => {
                        Measured::none(UndefinedReason::TooFew, 0, needed)
                    }
                    result => result?,
                }
            }
        };
        let interval = trials.map(|(k, n)| options.rate_interval.limits(k, n, options.confidence));
        Ok(SliceValue { metric: *metric, value, share, interval })
    };
    let values = metrics.iter().map(value).collect::<Result<_, StatsError>>()?;
    Ok(SliceResult { name: slice.name().to_owned(), rows, values })
}

fn of_cells(metric: LabelMetric, cells: &Cells, needed: usize) -> Measured {
    if cells.weights.total() > 0.0 {
        metric.from_counts(cells.weights)
    } else {
        Measured::none(UndefinedReason::TooFew, 0, needed)
    }
}

/// The confusion cells of a slice.
struct Cells {
    weights: WeightedConfusion,
    /// Whether they are counts.
    counted: bool,
}

/// Rows looked at for one slice before the next: the labels stay in the cache.
const BLOCK: usize = 16_384;

/// Positive, predicted positive, both, and inside: how many rows of a slice are so.
struct Count<'a> {
    y_true: &'a [bool],
    y_pred: &'a [bool],
    mask: &'a [bool],
}

impl Kernel for Count<'_> {
    type Output = [u64; 4];

    #[inline(always)]
    fn run(self) -> [u64; 4] {
        let mut counts = [0_u64; 4];
        let labels = self.y_true.chunks(128).zip(self.y_pred.chunks(128));
        for ((y_true, y_pred), mask) in labels.zip(self.mask.chunks(128)) {
            // Sums of so few marks fit a byte, and bytes are what vector instructions have most of.
            let [mut actual, mut predicted, mut both, mut inside] = [0_u8; 4];
            for ((&t, &p), &m) in y_true.iter().zip(y_pred).zip(mask) {
                actual += u8::from(t & m);
                predicted += u8::from(p & m);
                both += u8::from(t & p & m);
                inside += u8::from(m);
            }
            for (count, part) in counts.iter_mut().zip([actual, predicted, both, inside]) {
                *count += u64::from(part);
            }
        }
        counts
    }
}

/// The cells of every slice, for an input of binary labels.
fn cells_of_slices(input: &Input<'_>, slices: &[Slice]) -> Result<Option<Vec<Cells>>, StatsError> {
    let Rows::Binary { y_true, labels: Some(y_pred), .. } = input.rows else { return Ok(None) };
    let Some(weights) = input.weights else { return Ok(Some(counted(y_true, y_pred, slices))) };
    match weight_total(Some(weights), named("y_true", y_true)) {
        // No slice weighs anything then.
        Ok(_) | Err(StatsError::ZeroTotal { .. }) => {}
        Err(error) => return Err(error),
    }
    let weighted = |slice: &Slice| {
        let mut sums = [Sum::default(); 4];
        for (row, _) in slice.mask().iter().enumerate().filter(|(_, inside)| **inside) {
            sums[cell_index(y_true[row], y_pred[row])].push(weights[row]);
        }
        Ok(Cells { weights: WeightedConfusion::from_sums(&sums)?, counted: false })
    };
    slices.iter().map(weighted).collect::<Result<_, StatsError>>().map(Some)
}

fn counted(y_true: &[bool], y_pred: &[bool], slices: &[Slice]) -> Vec<Cells> {
    let mut counts = vec![[0_u64; 4]; slices.len()];
    for (block, (y_true, y_pred)) in y_true.chunks(BLOCK).zip(y_pred.chunks(BLOCK)).enumerate() {
        for (counts, slice) in counts.iter_mut().zip(slices) {
            let mask = slice.mask().get(block * BLOCK..).unwrap_or_default();
            let part = run(Count { y_true, y_pred, mask: &mask[..mask.len().min(BLOCK)] });
            counts.iter_mut().zip(part).for_each(|(count, part)| *count += part);
        }
    }
    let cells = |[actual, predicted, both, inside]: [u64; 4]| Confusion {
        true_positives: both,
        false_positives: predicted - both,
        false_negatives: actual - both,
        true_negatives: inside + both - actual - predicted,
    };
    counts.into_iter().map(|counts| Cells { weights: cells(counts).into(), counted: true }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::RegressionMetric;

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
        for SliceValue { metric, value, .. } in &results[0].values {
            assert_eq!(*value, metric.evaluate(&half).unwrap(), "{metric}");
        }
    }

    #[test]
    fn every_regression_metric_is_that_of_the_rows() {
        let y: Vec<f64> = (0..60).map(|i| 1.0 + f64::from(i * 7 % 23)).collect();
        let p: Vec<f64> = (0..60).map(|i| 0.5 + f64::from(i * 5 % 19)).collect();
        let weights: Vec<f64> = (0..60).map(|i| f64::from(i % 4) * 0.3).collect();
        let metrics: Vec<Metric> = RegressionMetric::ALL.iter().copied().map(Metric::Regression).collect();
        let mask: Vec<bool> = (0..60).map(|i| i % 3 != 0).collect();
        let picked = |values: &[f64]| -> Vec<f64> {
            values.iter().zip(&mask).filter(|(_, inside)| **inside).map(|(value, _)| *value).collect()
        };
        // Errors whose squares leave the range of f64, too.
        for scale in [1.0, 1e200] {
            let (y, p): (Vec<f64>, Vec<f64>) = y.iter().zip(&p).map(|(y, p)| (y * scale, p * scale)).unzip();
            let (part_y, part_p, part_weights) = (picked(&y), picked(&p), picked(&weights));
            for weighted in [false, true] {
                let (mut whole, mut part) = (Input::regression(&y, &p), Input::regression(&part_y, &part_p));
                if weighted {
                    (whole, part) = (whole.with_weights(&weights), part.with_weights(&part_weights));
                }
                for &metric in &metrics {
                    let slices = [Slice::new("part", mask.clone())];
                    let options = SliceOptions::default();
                    let expected = metric.evaluate(&part);
                    let alone = evaluate_slices(&whole, &slices, &[metric], &options);
                    assert_eq!(alone.map(|results| results[0].values[0].value), expected, "{metric}");
                }
                let fine: Vec<Metric> =
                    metrics.iter().copied().filter(|metric| metric.evaluate(&part).is_ok()).collect();
                assert!(fine.len() > 10);
                let slices = [Slice::new("part", mask.clone())];
                let together = evaluate_slices(&whole, &slices, &fine, &SliceOptions::default()).unwrap();
                for SliceValue { metric, value, .. } in &together[0].values {
                    assert_eq!(*value, metric.evaluate(&part).unwrap(), "{metric}");
                }
            }
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
