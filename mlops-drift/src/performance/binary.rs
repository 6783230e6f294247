//! Two classes: the confusion matrix and what follows from it, of labels or of probabilities in their place.

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError};
use serde::{Deserialize, Serialize};

use super::curve::Curve;
use super::estimate::moments;
use super::{Measurement, Metric, check};

/// What a model said of rows of two classes: the score of the positive class and the class predicted.
///
/// ```
/// use mlops_drift::performance::Binary;
/// assert!(Binary::new(&[0.2, 0.7], &[false, true]).is_ok());
/// assert!(Binary::new(&[0.2, 1.7], &[false, true]).is_err());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Binary<'a> {
    pub(super) scores: &'a [f64],
    pub(super) predicted: &'a [bool],
}

impl<'a> Binary<'a> {
    /// Checks the scores, each in [0, 1], and that there is a prediction for each.
    ///
    /// # Errors
    /// [`StatsError::Empty`], [`StatsError::LengthMismatch`], [`StatsError::Nan`], [`StatsError::OutOfRange`].
    pub fn new(scores: &'a [f64], predicted: &'a [bool]) -> Result<Self, StatsError> {
        check::same_length("scores", scores.len(), "predicted", predicted.len())?;
        check::probabilities("scores", scores)?;
        Ok(Self { scores, predicted })
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.scores.len()
    }
}

/// Rows by predicted and true class: counts, or expected counts.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confusion {
    /// Predicted and truly positive.
    pub true_positive: f64,
    /// Predicted positive, truly negative.
    pub false_positive: f64,
    /// Predicted negative, truly positive.
    pub false_negative: f64,
    /// Predicted and truly negative.
    pub true_negative: f64,
}

impl Confusion {
    fn new(predicted: &[bool], positive: &[f64]) -> Self {
        let [mut tp, mut fp, mut false_negative, mut tn] = [Sum::new(); 4];
        for (&predicted, &p) in predicted.iter().zip(positive) {
            let (truly, not) = if predicted { (&mut tp, &mut fp) } else { (&mut false_negative, &mut tn) };
            truly.push(p);
            not.push(1.0 - p);
        }
        Self {
            true_positive: tp.value(),
            false_positive: fp.value(),
            false_negative: false_negative.value(),
            true_negative: tn.value(),
        }
    }

    /// All rows.
    pub fn rows(&self) -> f64 {
        self.true_positive + self.false_positive + self.false_negative + self.true_negative
    }

    /// (TP + TN) / n.
    pub fn accuracy(&self) -> Measured {
        Measured::ratio(self.true_positive + self.true_negative, self.rows())
    }

    /// TP / (TP + FP).
    pub fn precision(&self) -> Measured {
        Measured::ratio(self.true_positive, self.true_positive + self.false_positive)
    }

    /// TP / (TP + FN).
    pub fn recall(&self) -> Measured {
        Measured::ratio(self.true_positive, self.true_positive + self.false_negative)
    }

    /// TP / (TP + (FP + FN) / 2).
    pub fn f1(&self) -> Measured {
        let wrong = 0.5 * (self.false_positive + self.false_negative);
        Measured::ratio(self.true_positive, self.true_positive + wrong)
    }

    /// TN / (TN + FP).
    pub fn specificity(&self) -> Measured {
        Measured::ratio(self.true_negative, self.true_negative + self.false_positive)
    }

    /// The mean value of a row; undefined where a value is NaN, or infinite with none of its rows.
    pub fn business_value(&self, values: &CellValues) -> Measured {
        let total = values.true_positive * self.true_positive
            + values.false_positive * self.false_positive
            + values.false_negative * self.false_negative
            + values.true_negative * self.true_negative;
        if total.is_nan() {
            return Measured::none(mlops_core::num::UndefinedReason::NanInput, 0, 1);
        }
        Measured::ratio(total, self.rows())
    }

    /// The variance of a share p over a part of the rows, as the variance that one row of all brings: p (1 − p) n / part.
    fn share_variance(&self, share: Measured, part: f64) -> Measured {
        share.map(|p| p * (1.0 - p) * self.rows() / part)
    }

    fn unit_variance(&self, metric: Metric, values: &CellValues) -> Measured {
        let (tp, fp) = (self.true_positive, self.false_positive);
        let (missed, tn) = (self.false_negative, self.true_negative);
        match metric {
            Metric::Accuracy => self.share_variance(self.accuracy(), self.rows()),
            Metric::Precision => self.share_variance(self.precision(), tp + fp),
            Metric::Recall => self.share_variance(self.recall(), tp + missed),
            Metric::Specificity => self.share_variance(self.specificity(), tn + fp),
            // With shares a of TP and b of FP and FN: 4ab (a + b) / (2a + b)⁴.
            Metric::F1 => {
                let (n, b) = (self.rows(), fp + missed);
                self.f1().map(|_| 4.0 * tp * b * (tp + b) * n / (2.0 * tp + b).powi(4))
            }
            _ => self.business_value(values).map(|mean| {
                let spread = |value: f64, rows: f64| (value - mean) * (value - mean) * rows;
                let total = spread(values.true_positive, tp)
                    + spread(values.false_positive, fp)
                    + spread(values.false_negative, missed)
                    + spread(values.true_negative, tn);
                total / self.rows()
            }),
        }
    }
}

/// What a row is worth, by the cell of the confusion matrix it falls into: numbers of a magnitude of at most 1e100.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellValues {
    /// Of a true positive.
    pub true_positive: f64,
    /// Of a false positive.
    pub false_positive: f64,
    /// Of a false negative.
    pub false_negative: f64,
    /// Of a true negative.
    pub true_negative: f64,
}

impl CellValues {
    /// The largest magnitude: squares of sums stay finite.
    const LIMIT: f64 = 1e100;

    pub(super) fn check(&self) -> Result<(), StatsError> {
        let values = [self.true_positive, self.false_positive, self.false_negative, self.true_negative];
        check::finite("values", &values)?;
        let far = values.iter().enumerate().find(|(_, value)| value.abs() > Self::LIMIT);
        far.map_or(Ok(()), |(index, &value)| {
            let (low, high) = (-Self::LIMIT, Self::LIMIT);
            Err(StatsError::OutOfRange { argument: "values", index, value, low, high })
        })
    }
}

/// Counts the rows by predicted and true class.
///
/// # Errors
/// [`StatsError::LengthMismatch`].
///
/// ```
/// use mlops_drift::performance::{Binary, confusion};
///
/// let rows = Binary::new(&[0.9, 0.8, 0.3], &[true, true, false])?;
/// let matrix = confusion(&rows, &[true, false, false])?;
/// assert_eq!(matrix.precision().value(), Some(0.5));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn confusion(rows: &Binary<'_>, truth: &[bool]) -> Result<Confusion, StatsError> {
    check::same_length("scores", rows.rows(), "truth", truth.len())?;
    Ok(Confusion::new(rows.predicted, &soft(truth)))
}

/// Measures rows whose labels are known, each metric with the variance that a row brings.
///
/// Agrees with scikit-learn to 1e-12. `values` is needed for [`Metric::BusinessValue`] alone. O(n log n) where a metric needs the
/// order of the scores.
///
/// # Errors
/// [`StatsError::LengthMismatch`]; [`StatsError::Unsupported`] for a metric that is not of two classes, or business value without
/// values; [`StatsError::NotFinite`] and [`StatsError::Nan`] for values.
///
/// ```
/// use mlops_drift::performance::{Binary, Metric, measure_binary};
///
/// let rows = Binary::new(&[0.9, 0.8, 0.3, 0.1], &[true, true, false, false])?;
/// let measured = measure_binary(&rows, &[true, false, true, false], &[Metric::Accuracy, Metric::Auroc], None)?;
/// assert_eq!(measured[1].value.value(), Some(0.75));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn measure_binary(
    rows: &Binary<'_>,
    truth: &[bool],
    metrics: &[Metric],
    values: Option<&CellValues>,
) -> Result<Vec<Measurement>, StatsError> {
    check::same_length("scores", rows.rows(), "truth", truth.len())?;
    check_metrics(metrics, values)?;
    let soft = Soft::new(rows, &soft(truth), metrics);
    let measure = |&metric: &Metric| Measurement {
        metric,
        value: soft.value(metric, values),
        unit_variance: soft.unit_variance(metric, values),
        rows: rows.rows() as u64,
    };
    Ok(metrics.iter().map(measure).collect())
}

pub(super) fn check_metrics(metrics: &[Metric], values: Option<&CellValues>) -> Result<(), StatsError> {
    for metric in metrics {
        if metric.is_regression() {
            return Err(StatsError::Unsupported {
                what: metric.as_str(),
                reason: "it measures numbers, and these are two classes",
            });
        }
        if *metric == Metric::BusinessValue && values.is_none() {
            return Err(StatsError::Unsupported {
                what: metric.as_str(),
                reason: "the values of the cells are not given",
            });
        }
    }
    values.map_or(Ok(()), CellValues::check)
}

pub(super) fn soft(truth: &[bool]) -> Vec<f64> {
    truth.iter().map(|&truth| f64::from(u8::from(truth))).collect()
}

/// Rows with the probability that each is truly positive; 0 or 1 where the label is known.
pub(super) struct Soft {
    pub(super) confusion: Confusion,
    curve: Option<Curve>,
    log_loss: Vec<f64>,
    brier: Vec<f64>,
}

impl Soft {
    pub(super) fn new(rows: &Binary<'_>, positive: &[f64], metrics: &[Metric]) -> Self {
        let wants = |wanted: &[Metric]| metrics.iter().any(|metric| wanted.contains(metric));
        let losses = |metric: Metric, of: fn(f64, f64) -> f64| -> Vec<f64> {
            let rows = rows.scores.iter().zip(positive).filter(|_| wants(&[metric]));
            rows.map(|(&score, &p)| of(score, p)).collect()
        };
        Self {
            confusion: Confusion::new(rows.predicted, positive),
            curve: wants(&[Metric::Auroc, Metric::AveragePrecision])
                .then(|| Curve::new(rows.scores, positive.iter().copied())),
            log_loss: losses(Metric::LogLoss, |score, p| {
                let score = score.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
                let surprise = |p: f64, ln: f64| if p > 0.0 { -p * ln } else { 0.0 };
                surprise(p, score.ln()) + surprise(1.0 - p, (1.0 - score).ln())
            }),
            brier: losses(Metric::Brier, |score, p| p * (1.0 - score).powi(2) + (1.0 - p) * score * score),
        }
    }

    pub(super) fn value(&self, metric: Metric, values: Option<&CellValues>) -> Measured {
        let none = Measured::none(mlops_core::num::UndefinedReason::NothingDefined, 0, 1);
        match metric {
            Metric::Accuracy => self.confusion.accuracy(),
            Metric::Precision => self.confusion.precision(),
            Metric::Recall => self.confusion.recall(),
            Metric::F1 => self.confusion.f1(),
            Metric::Specificity => self.confusion.specificity(),
            Metric::Auroc => self.curve.as_ref().map_or(none, Curve::auroc),
            Metric::AveragePrecision => self.curve.as_ref().map_or(none, Curve::average_precision),
            Metric::LogLoss => Measured::Value(moments(&self.log_loss).0),
            Metric::Brier => Measured::Value(moments(&self.brier).0),
            Metric::BusinessValue => values.map_or(none, |values| self.confusion.business_value(values)),
            _ => none,
        }
    }

    /// Only for labels that are known.
    fn unit_variance(&self, metric: Metric, values: Option<&CellValues>) -> Measured {
        let none = Measured::none(mlops_core::num::UndefinedReason::NothingDefined, 0, 1);
        match metric {
            Metric::Auroc => self.curve.as_ref().map_or(none, Curve::auroc_unit_variance),
            Metric::AveragePrecision => {
                self.curve.as_ref().map_or(none, Curve::average_precision_unit_variance)
            }
            Metric::LogLoss => Measured::Value(moments(&self.log_loss).1),
            Metric::Brier => Measured::Value(moments(&self.brier).1),
            _ => {
                const NOTHING: CellValues = CellValues {
                    true_positive: 0.0,
                    false_positive: 0.0,
                    false_negative: 0.0,
                    true_negative: 0.0,
                };
                self.confusion.unit_variance(metric, values.unwrap_or(&NOTHING))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variance_of_f1_is_that_of_its_influence() {
        // IF = (2·1[TP] − F (1[predicted] + 1[true])) / (shares of predicted and true).
        let matrix =
            Confusion { true_positive: 30.0, false_positive: 12.0, false_negative: 7.0, true_negative: 51.0 };
        let (n, f) = (100.0, matrix.f1().value().unwrap());
        let scale = (42.0 + 37.0) / n;
        let cells = [(30.0, 2.0 - 2.0 * f), (12.0, -f), (7.0, -f), (51.0, 0.0)];
        let variance: f64 = cells.iter().map(|(rows, gain)| rows / n * (gain / scale) * (gain / scale)).sum();
        const NOTHING: CellValues =
            CellValues { true_positive: 0.0, false_positive: 0.0, false_negative: 0.0, true_negative: 0.0 };
        let got = matrix.unit_variance(Metric::F1, &NOTHING).value().unwrap();
        assert!((got - variance).abs() < 1e-12, "{got} {variance}");
    }

    #[test]
    fn ratios_of_nothing_are_undefined() {
        let rows = Binary::new(&[0.1, 0.2], &[false, false]).unwrap();
        let measured = measure_binary(&rows, &[false, false], &Metric::BINARY, None).unwrap();
        for metric in [Metric::Precision, Metric::Recall, Metric::F1, Metric::Auroc, Metric::AveragePrecision]
        {
            let m = measured.iter().find(|m| m.metric == metric).unwrap();
            assert!(m.value.undefined().is_some() && m.standard_error().undefined().is_some(), "{metric}");
        }
    }
}
