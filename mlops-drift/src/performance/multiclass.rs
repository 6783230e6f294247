//! Several classes: the confusion matrix, and means over the classes, of labels or of probabilities in their place.

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError, UndefinedReason, ranks};

use super::curve::Curve;
use super::estimate::moments;
use super::{Measurement, Metric, check};

/// What a model said of rows of several classes: a score for each class and the class predicted.
///
/// ```
/// use mlops_drift::performance::Multiclass;
/// assert!(Multiclass::new(&[0.2, 0.7, 0.1, 0.5, 0.3, 0.2], 3, &[1, 0]).is_ok());
/// assert!(Multiclass::new(&[0.2, 0.7, 0.1, 0.5, 0.3, 0.2], 3, &[1, 3]).is_err());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Multiclass<'a> {
    /// Row by row.
    pub(super) scores: &'a [f64],
    pub(super) classes: usize,
    pub(super) predicted: &'a [u32],
}

impl<'a> Multiclass<'a> {
    /// The most classes.
    pub const MAX_CLASSES: usize = 4096;

    /// Checks scores, given row by row and each in [0, 1], and the predicted classes, which count from 0. Scores of a row need
    /// not add up to 1.
    ///
    /// # Errors
    /// [`StatsError::Empty`]; [`StatsError::Parameter`] for fewer than 2 or more than [`MAX_CLASSES`](Self::MAX_CLASSES)
    /// classes; [`StatsError::LengthMismatch`], [`StatsError::Nan`], [`StatsError::OutOfRange`], [`StatsError::UnknownCode`].
    pub fn new(scores: &'a [f64], classes: usize, predicted: &'a [u32]) -> Result<Self, StatsError> {
        if !(2..=Self::MAX_CLASSES).contains(&classes) {
            let reason = "must be from 2 to 4096";
            return Err(StatsError::Parameter { parameter: "classes", value: classes as f64, reason });
        }
        let cells =
            predicted.len().checked_mul(classes).ok_or(StatsError::Overflow { what: "rows × classes" })?;
        check::same_length("scores", scores.len(), "predicted × classes", cells)?;
        check::probabilities("scores", scores)?;
        check::codes("predicted", predicted, classes)?;
        Ok(Self { scores, classes, predicted })
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.predicted.len()
    }

    /// How many classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The scores of one class.
    pub(super) fn column(&self, class: usize) -> Vec<f64> {
        self.scores.iter().skip(class).step_by(self.classes).copied().collect()
    }
}

/// Measures rows whose labels are known, each metric with the variance that a row brings.
///
/// Agrees with scikit-learn's macro averages to 1e-12 where every class occurs. O(n k log n) for k classes.
///
/// # Errors
/// [`StatsError::LengthMismatch`]; [`StatsError::UnknownCode`] for a true class beyond the last; [`StatsError::Unsupported`] for a
/// metric that is not of several classes.
///
/// ```
/// use mlops_drift::performance::{Metric, Multiclass, measure_multiclass};
///
/// let rows = Multiclass::new(&[0.7, 0.2, 0.1, 0.1, 0.8, 0.1, 0.2, 0.5, 0.3], 3, &[0, 1, 1])?;
/// let accuracy = measure_multiclass(&rows, &[0, 1, 2], &[Metric::Accuracy])?[0];
/// assert_eq!(accuracy.value.value(), Some(2.0 / 3.0));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn measure_multiclass(
    rows: &Multiclass<'_>,
    truth: &[u32],
    metrics: &[Metric],
) -> Result<Vec<Measurement>, StatsError> {
    check::same_length("predicted", rows.rows(), "truth", truth.len())?;
    check::codes("truth", truth, rows.classes)?;
    check_metrics(metrics)?;
    let soft = Soft::new(rows, &one_hot(truth, rows.classes), metrics);
    let measure = |&metric: &Metric| Measurement {
        metric,
        value: soft.value(metric),
        unit_variance: soft.unit_variance(metric, rows, truth),
        rows: rows.rows() as u64,
    };
    Ok(metrics.iter().map(measure).collect())
}

pub(super) fn check_metrics(metrics: &[Metric]) -> Result<(), StatsError> {
    let reason = "it is not a measure of several classes";
    match metrics.iter().find(|metric| !Metric::MULTICLASS.contains(metric)) {
        Some(metric) => Err(StatsError::Unsupported { what: metric.as_str(), reason }),
        None => Ok(()),
    }
}

/// A row of zeros with a one at the class, for each row.
fn one_hot(truth: &[u32], classes: usize) -> Vec<f64> {
    let one = |code: u32| (0..classes as u64).map(move |class| f64::from(u8::from(class == u64::from(code))));
    truth.iter().flat_map(|&code| one(code)).collect()
}

/// One class against the rest, in rows or in expectation.
#[derive(Clone, Copy, Debug)]
struct Class {
    both: f64,
    predicted: f64,
    truly: f64,
    rows: f64,
}

impl Class {
    fn precision(&self) -> Measured {
        Measured::ratio(self.both, self.predicted)
    }

    fn recall(&self) -> Measured {
        Measured::ratio(self.both, self.truly)
    }

    fn f1(&self) -> Measured {
        Measured::ratio(2.0 * self.both, self.predicted + self.truly)
    }

    fn specificity(&self) -> Measured {
        Measured::ratio(self.rows - self.predicted - self.truly + self.both, self.rows - self.truly)
    }

    fn of(&self, metric: Metric) -> Measured {
        match metric {
            Metric::Precision => self.precision(),
            Metric::Recall => self.recall(),
            Metric::F1 => self.f1(),
            _ => self.specificity(),
        }
    }

    /// How a row that is predicted and true to be of this class (or not) moves the metric.
    fn influence(&self, metric: Metric, predicted: bool, truly: bool) -> f64 {
        let Some(value) = self.of(metric).value() else { return 0.0 };
        let one = |yes: bool| f64::from(u8::from(yes));
        match metric {
            Metric::Precision => one(predicted) * (one(truly) - value) * self.rows / self.predicted,
            Metric::Recall => one(truly) * (one(predicted) - value) * self.rows / self.truly,
            Metric::F1 => {
                let gain = 2.0 * one(predicted && truly) - value * (one(predicted) + one(truly));
                gain * self.rows / (self.predicted + self.truly)
            }
            _ => one(!truly) * (one(!predicted) - value) * self.rows / (self.rows - self.truly),
        }
    }
}

/// Rows with the probabilities that each is truly of each class; 0 and 1 where the label is known.
pub(super) struct Soft {
    classes: Vec<Class>,
    curves: Vec<Curve>,
    correct: f64,
    rows: f64,
    log_loss: Vec<f64>,
    brier: Vec<f64>,
}

impl Soft {
    /// `truly` has a probability for each class, row by row.
    pub(super) fn new(rows: &Multiclass<'_>, truly: &[f64], metrics: &[Metric]) -> Self {
        let k = rows.classes;
        let wants = |metric: Metric| metrics.contains(&metric);
        let mut sums = vec![[Sum::new(); 2]; k];
        let mut predictions = vec![0.0; k];
        let (mut log_loss, mut brier) = (Vec::new(), Vec::new());
        let both = rows.scores.chunks_exact(k).zip(truly.chunks_exact(k));
        for (&predicted, (scores, truly)) in rows.predicted.iter().zip(both) {
            let predicted = predicted as usize;
            for (class, (sums, &p)) in sums.iter_mut().zip(truly).enumerate() {
                sums[1].push(p);
                if class == predicted {
                    sums[0].push(p);
                }
            }
            if let Some(count) = predictions.get_mut(predicted) {
                *count += 1.0;
            }
            if wants(Metric::LogLoss) {
                log_loss.push(surprise(scores, truly));
            }
            if wants(Metric::Brier) {
                brier.push(distance(scores, truly));
            }
        }
        let n = rows.rows() as f64;
        let class = |(sums, predicted): (&[Sum; 2], f64)| Class {
            both: sums[0].value(),
            predicted,
            truly: sums[1].value(),
            rows: n,
        };
        let curve = |class| Curve::new(&rows.column(class), truly.iter().skip(class).step_by(k).copied());
        Self {
            classes: sums.iter().zip(predictions).map(class).collect(),
            curves: if wants(Metric::Auroc) { (0..k).map(curve).collect() } else { Vec::new() },
            correct: sums.iter().map(|sums| sums[0].value()).collect::<Sum>().value(),
            rows: n,
            log_loss,
            brier,
        }
    }

    pub(super) fn value(&self, metric: Metric) -> Measured {
        match metric {
            Metric::Accuracy => Measured::ratio(self.correct, self.rows),
            Metric::LogLoss => Measured::Value(moments(&self.log_loss).0),
            Metric::Brier => Measured::Value(moments(&self.brier).0),
            Metric::Auroc => mean_defined(self.curves.iter().map(Curve::auroc)),
            Metric::Precision | Metric::Recall | Metric::F1 | Metric::Specificity => {
                mean_defined(self.classes.iter().map(|class| class.of(metric)))
            }
            _ => Measured::none(UndefinedReason::NothingDefined, 0, 1),
        }
    }

    /// Only for labels that are known.
    fn unit_variance(&self, metric: Metric, rows: &Multiclass<'_>, truth: &[u32]) -> Measured {
        match metric {
            Metric::Accuracy => self.value(metric).map(|p| p * (1.0 - p)),
            Metric::LogLoss => Measured::Value(moments(&self.log_loss).1),
            Metric::Brier => Measured::Value(moments(&self.brier).1),
            Metric::Auroc => self.auroc_variance(rows, truth),
            _ => self.mean_variance(metric, rows, truth),
        }
    }

    /// The mean square of the influence of a row on the mean over the classes, which moves with all of them at once.
    fn mean_variance(&self, metric: Metric, rows: &Multiclass<'_>, truth: &[u32]) -> Measured {
        let defined = self.classes.iter().filter(|class| class.of(metric).value().is_some()).count();
        // A row that is neither predicted nor true to be of a class moves only that class's specificity.
        let bystander = |class: &Class| class.influence(metric, false, false);
        let bystanders = self.classes.iter().map(bystander).collect::<Sum>().value();
        let change = |class: u32, predicted: bool, truly: bool| {
            self.classes
                .get(class as usize)
                .map_or(0.0, |class| class.influence(metric, predicted, truly) - bystander(class))
        };
        let influence = |(&predicted, &truly): (&u32, &u32)| {
            let moved = if predicted == truly {
                change(truly, true, true)
            } else {
                change(predicted, true, false) + change(truly, false, true)
            };
            let mean = (bystanders + moved) / defined as f64;
            mean * mean
        };
        let total = rows.predicted.iter().zip(truth).map(influence).collect::<Sum>().value();
        self.value(metric).map(|_| total / self.rows)
    }

    fn auroc_variance(&self, rows: &Multiclass<'_>, truth: &[u32]) -> Measured {
        let mut influence = vec![0.0; rows.rows()];
        let mut defined = 0_u32;
        for (class, curve) in self.curves.iter().enumerate() {
            let Some(steps) = curve.auroc_influence() else { continue };
            defined += 1;
            let mut order: Vec<(f64, usize)> = rows.column(class).into_iter().zip(0..).collect();
            ranks::sort_pairs(&mut order);
            let mut steps = steps.into_iter();
            let (mut at, mut step) = (f64::NAN, (0.0, 0.0));
            for (score, row) in order {
                if score != at {
                    step = steps.next().unwrap_or(step);
                    at = score;
                }
                let positive = truth.get(row).is_some_and(|&code| code as usize == class);
                if let Some(total) = influence.get_mut(row) {
                    *total += if positive { step.0 } else { step.1 };
                }
            }
        }
        let total = influence.iter().map(|sum| sum * sum).collect::<Sum>().value();
        self.value(Metric::Auroc).map(|_| total / f64::from(defined).powi(2) / self.rows)
    }
}

fn mean_defined(values: impl Iterator<Item = Measured>) -> Measured {
    let (mut sum, mut defined, mut all) = (Sum::new(), 0_usize, 0_usize);
    for value in values {
        all += 1;
        if let Some(value) = value.value() {
            sum.push(value);
            defined += 1;
        }
    }
    if defined == 0 {
        return Measured::none(UndefinedReason::NothingDefined, 0, all.max(1));
    }
    Measured::Value(sum.value() / defined as f64)
}

fn surprise(scores: &[f64], truly: &[f64]) -> f64 {
    let ln = |score: f64| score.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln();
    scores.iter().zip(truly).filter(|(_, p)| **p > 0.0).map(|(&score, &p)| -p * ln(score)).sum()
}

/// The expected squared distance of the scores to the corner of the true class: Σ s² + Σ p (1 − 2s), as p adds up to 1.
fn distance(scores: &[f64], truly: &[f64]) -> f64 {
    let squares: f64 = scores.iter().map(|score| score * score).sum();
    let crossed: f64 = scores.iter().zip(truly).map(|(score, p)| p * (1.0 - 2.0 * score)).sum();
    (squares + crossed).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::performance::{Binary, measure_binary};

    #[test]
    fn two_classes_of_many_are_the_two_classes() {
        let positive: Vec<f64> = (0..300).map(|i| f64::from((i * 71) % 97) / 97.0).collect();
        let truth: Vec<bool> = (0..300).map(|i| (i * 71) % 97 + (i * 31) % 60 > 70).collect();
        let predicted: Vec<bool> = positive.iter().map(|&score| score > 0.6).collect();
        let scores: Vec<f64> = positive.iter().flat_map(|&score| [1.0 - score, score]).collect();
        let code = |flags: &[bool]| flags.iter().map(|&flag| u32::from(flag)).collect::<Vec<_>>();
        let (codes, truths) = (code(&predicted), code(&truth));
        let many = Multiclass::new(&scores, 2, &codes).unwrap();
        let two = Binary::new(&positive, &predicted).unwrap();
        // These do not depend on which class is called positive.
        for metric in [Metric::Accuracy, Metric::Auroc, Metric::LogLoss] {
            let of_many = measure_multiclass(&many, &truths, &[metric]).unwrap()[0];
            let of_two = measure_binary(&two, &truth, &[metric], None).unwrap()[0];
            let (a, b) = (of_many.value.value().unwrap(), of_two.value.value().unwrap());
            assert!((a - b).abs() < 1e-12, "{metric}: {a} {b}");
            // DeLong divides by one less than the rows of a class.
            let errors = [of_many, of_two].map(|m| m.standard_error().value().unwrap());
            assert!((errors[0] / errors[1] - 1.0).abs() < 0.01, "{metric}: {errors:?}");
        }
        // Macro recall is the mean of recall and specificity, so its influence is the mean of two.
        let recall = measure_multiclass(&many, &truths, &[Metric::Recall]).unwrap()[0];
        let specificity = measure_multiclass(&many, &truths, &[Metric::Specificity]).unwrap()[0];
        assert!((recall.value.value().unwrap() - specificity.value.value().unwrap()).abs() < 1e-12);
        let variances = [recall, specificity].map(|m| m.unit_variance.value().unwrap());
        assert!((variances[0] - variances[1]).abs() < 1e-12, "{variances:?}");
    }
}
