//! The conventions of scikit-learn 1.9.1 and Fairlearn 0.15.0 where they put a number in the place of "no number", by name.
//!
//! The functions beside the metrics keep what is undefined undefined; these give what the tools return, to 1e-12. What is
//! still undefined here is NaN there. Averages of precision, recall, F and Jaccard need no function of their own:
//! [`ZeroDivision`] holds scikit-learn's choices, of which `"warn"` is [`ZeroDivision::Zero`], and
//! [`average_of`](WeightedConfusionMatrix::average_of) its `labels=`.

use mlops_core::num::{Measured, StatsError};

use super::confusion::WeightedConfusion;
use super::kappa::KappaWeights;
use super::matrix::{Normalize, WeightedConfusionMatrix};
use super::rates::LabelMetric;
use super::{CellMetric, ZeroDivision};

/// `sklearn.metrics.balanced_accuracy_score(adjusted=…)`: the mean recall of the classes that occur among the true labels,
/// even if it is only one; adjusted for chance it is undefined then.
///
/// ```
/// use mlops_eval::classification::{ConfusionMatrix, compat};
///
/// let matrix = ConfusionMatrix::of(&[1, 1], &[1, 0], 2)?.weighted();
/// assert_eq!(matrix.balanced_accuracy().value(), None);
/// assert_eq!(compat::balanced_accuracy(&matrix, false).value(), Some(0.5));
/// assert_eq!(compat::balanced_accuracy(&matrix, true).value(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn balanced_accuracy(matrix: &WeightedConfusionMatrix, adjusted: bool) -> Measured {
    if adjusted {
        return matrix.balanced_accuracy_adjusted();
    }
    let recalls: Vec<f64> =
        matrix.per_class(LabelMetric::Recall).into_iter().filter_map(Measured::value).collect();
    Measured::ratio(recalls.iter().sum(), recalls.len() as f64)
}

/// `sklearn.metrics.matthews_corrcoef`: 0 where true or predicted labels do not vary.
///
/// ```
/// use mlops_eval::classification::{ConfusionMatrix, compat};
/// let matrix = ConfusionMatrix::of(&[1, 1], &[1, 0], 2)?.weighted();
/// assert_eq!(compat::mcc(&matrix), 0.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn mcc(matrix: &WeightedConfusionMatrix) -> f64 {
    matrix.mcc().value().unwrap_or(0.0)
}

/// `sklearn.metrics.cohen_kappa_score` without `labels`: classes that do not occur have no place in the order, and
/// `replace_undefined_by` stands for what is undefined; `None` is its default, NaN.
///
/// ```
/// use mlops_eval::classification::{ConfusionMatrix, KappaWeights, compat};
///
/// let matrix = ConfusionMatrix::of(&[4, 4], &[4, 4], 5)?.weighted();
/// let kappa = compat::cohen_kappa(&matrix, &KappaWeights::Linear, Some(0.0))?;
/// assert_eq!(kappa.value(), Some(0.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`WeightedConfusionMatrix::kappa`], with the custom weights of the classes that occur.
pub fn cohen_kappa(
    matrix: &WeightedConfusionMatrix,
    disagreement: &KappaWeights,
    replace_undefined_by: Option<f64>,
) -> Result<Measured, StatsError> {
    let kappa = matrix.select(&matrix.present())?.kappa(disagreement)?;
    let replaced = replace_undefined_by.filter(|replacement| !replacement.is_nan()).map(Measured::Value);
    Ok(if kappa.value().is_none() { replaced.unwrap_or(kappa) } else { kappa })
}

/// `sklearn.metrics.confusion_matrix(normalize=…)`: 0 in the rows or columns of classes that do not occur.
///
/// ```
/// use mlops_eval::classification::{ConfusionMatrix, Normalize, compat};
/// let matrix = ConfusionMatrix::of(&[0, 0], &[0, 1], 2)?.weighted();
/// assert_eq!(compat::normalized(&matrix, Normalize::True), [0.5, 0.5, 0.0, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn normalized(matrix: &WeightedConfusionMatrix, by: Normalize) -> Vec<f64> {
    matrix.normalized(by).into_iter().map(|share| share.value().unwrap_or(0.0)).collect()
}

/// `sklearn.metrics.class_likelihood_ratios(replace_undefined_by=…)`: LR+ and LR−. Each replacement stands where its
/// denominator is 0 (no false positives, no true negatives); `None` is NaN. Without positives both are undefined there, but
/// only where the other class leaves a denominator of 0 is something put in its place.
///
/// ```
/// use mlops_eval::classification::{Confusion, compat};
///
/// let cells = Confusion { true_positives: 3, false_negatives: 1, true_negatives: 4, false_positives: 0 };
/// let [positive, negative] = compat::likelihood_ratios(cells, Some(1.0), Some(1.0));
/// assert_eq!((positive.value(), negative.value()), (Some(1.0), Some(0.25)));
/// ```
pub fn likelihood_ratios(
    cells: impl Into<WeightedConfusion>,
    positive: Option<f64>,
    negative: Option<f64>,
) -> [Measured; 2] {
    let cells = cells.into();
    let replace = |metric: LabelMetric, denominator: f64, replacement: Option<f64>| {
        let replacement = replacement.filter(|replacement| denominator == 0.0 && !replacement.is_nan());
        replacement.map_or_else(|| metric.from_counts(cells), Measured::Value)
    };
    [
        replace(LabelMetric::PositiveLikelihoodRatio, cells.false_positives(), positive),
        replace(LabelMetric::NegativeLikelihoodRatio, cells.true_negatives(), negative),
    ]
}

/// Fairlearn's `true_positive_rate` and its three siblings, any metric whose ratio 0/0 it takes for 0.
///
/// ```
/// use mlops_eval::classification::{Confusion, LabelMetric, compat};
/// let no_positives = Confusion { true_negatives: 3, ..Default::default() };
/// assert_eq!(compat::fairlearn_rate(LabelMetric::Recall, no_positives).value(), Some(0.0));
/// ```
pub fn fairlearn_rate(metric: impl Into<CellMetric>, cells: impl Into<WeightedConfusion>) -> Measured {
    ZeroDivision::Zero.apply(metric.into().from_counts(cells))
}
