//! How the values of several classes, or labels, become one number.

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::ZeroDivision;
use super::confusion::WeightedConfusion;
use super::rates::{LabelMetric, f_beta_of, recall_share};

/// How the values of the classes become one number.
///
/// Classes that occur neither among the true nor among the predicted labels of a confusion matrix are left out. A class
/// whose own value is undefined makes the average undefined, unless a [`ZeroDivision`] puts a number in its place or leaves
/// it out.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Average {
    /// Every class counts the same. The default.
    #[default]
    Macro,
    /// The cells of all classes are added first. For precision, recall and F1 of all classes this is accuracy.
    Micro,
    /// Every class counts by its true rows.
    Weighted,
}

/// A metric of the four cells of one class against the rest: a [`LabelMetric`], or F-beta with its β.
///
/// ```
/// use mlops_eval::classification::{CellMetric, Confusion, LabelMetric};
///
/// let counts = Confusion { true_positives: 1, false_positives: 1, false_negatives: 2, true_negatives: 9 };
/// assert_eq!(CellMetric::f_beta(2.0)?.from_counts(counts).value(), Some(5.0 / 14.0));
/// assert_eq!(CellMetric::from(LabelMetric::Precision).from_counts(counts).value(), Some(0.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CellMetric(Kind);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Label(LabelMetric),
    /// F-beta by β²/(1+β²).
    FBeta(f64),
}

impl CellMetric {
    /// [`f_beta`](super::f_beta()) with this β.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for a β that is negative or not finite.
    pub fn f_beta(beta: f64) -> Result<Self, StatsError> {
        Ok(Self(Kind::FBeta(recall_share(beta)?)))
    }

    /// The metric from the cells.
    // The name follows the family of names that every metric has, and it converts cells, not `self`.
    #[allow(clippy::wrong_self_convention)]
    pub fn from_counts(self, cells: impl Into<WeightedConfusion>) -> Measured {
        match self.0 {
            Kind::Label(metric) => metric.from_counts(cells),
            Kind::FBeta(share) => f_beta_of(&cells.into(), share),
        }
    }
}

impl From<LabelMetric> for CellMetric {
    fn from(metric: LabelMetric) -> Self {
        Self(Kind::Label(metric))
    }
}

/// The average over classes, each given by its cells.
pub(super) fn averaged(
    cells: &[WeightedConfusion],
    metric: CellMetric,
    average: Average,
    zero_division: ZeroDivision,
) -> Measured {
    if cells.is_empty() {
        return Measured::none(UndefinedReason::NothingDefined, 0, 0);
    }
    if let Average::Micro = average {
        return zero_division.apply(metric.from_counts(pooled(cells)));
    }
    let support = |cells: &WeightedConfusion| match average {
        Average::Weighted => cells.true_positives() + cells.false_negatives(),
        _ => 1.0,
    };
    let values = cells.iter().map(|cells| (metric.from_counts(*cells), support(cells)));
    mean_of(values, zero_division)
}

/// The mean of values with weights. What is undefined makes the mean undefined, or is replaced or left out as the policy
/// says. Where all weights are zero there is no mean, unless the policy is one of scikit-learn's, which then lets them count
/// alike.
pub(super) fn mean_of(
    values: impl Iterator<Item = (Measured, f64)>,
    zero_division: ZeroDivision,
) -> Measured {
    let all: Vec<(Option<f64>, f64)> =
        values.map(|(value, weight)| (zero_division.apply(value).value(), weight)).collect();
    let defined: Vec<(f64, f64)> = all.iter().filter_map(|&(value, weight)| Some((value?, weight))).collect();
    let complete = defined.len() == all.len() || zero_division == ZeroDivision::Nan;
    if !complete || defined.is_empty() {
        return Measured::none(UndefinedReason::NothingDefined, 0, all.len());
    }
    // Shares of the largest weight: their sum stays within range.
    let largest = defined.iter().fold(0.0_f64, |largest, &(_, weight)| largest.max(weight));
    if largest > 0.0 {
        let total: Sum = defined.iter().map(|(_, weight)| weight / largest).collect();
        let terms: Sum = defined.iter().map(|(value, weight)| value * (weight / largest)).collect();
        return Measured::Value(terms.value() / total.value());
    }
    if zero_division == ZeroDivision::Undefined {
        return Measured::ratio(0.0, 0.0);
    }
    let total: Sum = defined.iter().map(|(value, _)| *value).collect();
    Measured::Value(total.value() / defined.len() as f64)
}

/// The cells of all classes added up, divided by a power of two that no metric notices, so that the sums stay in range.
fn pooled(cells: &[WeightedConfusion]) -> WeightedConfusion {
    let scale = cells.len().next_power_of_two() as f64;
    let sum = |part: fn(&WeightedConfusion) -> f64| {
        cells.iter().map(|cells| part(cells) / scale).collect::<Sum>().value()
    };
    let pooled = WeightedConfusion::new(
        sum(WeightedConfusion::true_positives),
        sum(WeightedConfusion::false_positives),
        sum(WeightedConfusion::false_negatives),
        sum(WeightedConfusion::true_negatives),
    );
    // Parts of finite totals, divided by their number: never refused.
    pooled.unwrap_or_default()
}
