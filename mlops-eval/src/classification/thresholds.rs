//! What happens at each threshold of a score, and which threshold is best.
//!
//! A row is predicted positive when its score is at least the threshold. Every threshold that is returned is a score that
//! occurs, so that using it with `>=` gives exactly the cells that are returned with it; `None` stands above every score.

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError};
use serde::{Deserialize, Serialize};

use super::confusion::WeightedConfusion;
use super::rates::LabelMetric;
use super::scores::ScoreState;
use crate::catalog::Direction;

/// The rows at and above a threshold.
#[derive(Clone, Copy)]
pub(crate) struct Above {
    pub(crate) threshold: f64,
    /// The weights of the rows that score the threshold itself.
    pub(crate) step_positives: f64,
    pub(crate) step_negatives: f64,
    /// The weights of the rows that score at least as much; never more than all there is.
    pub(crate) true_positives: f64,
    pub(crate) false_positives: f64,
}

/// Every distinct score, from the highest down. At the lowest all rows are above, to the last bit.
pub(crate) fn descending(state: &ScoreState) -> impl Iterator<Item = Above> {
    let (mut above_positives, mut above_negatives) = (Sum::new(), Sum::new());
    let mut left = state.distinct();
    state.points().rev().map(move |(threshold, step_negatives, step_positives)| {
        above_positives.push(step_positives);
        above_negatives.push(step_negatives);
        left -= 1;
        let (true_positives, false_positives) = if left == 0 {
            (state.positives(), state.negatives())
        } else {
            (above_positives.value().min(state.positives()), above_negatives.value().min(state.negatives()))
        };
        Above { threshold, step_positives, step_negatives, true_positives, false_positives }
    })
}

fn cells(state: &ScoreState, tp: f64, fp: f64) -> Result<WeightedConfusion, StatsError> {
    WeightedConfusion::new(tp, fp, state.positives() - tp, state.negatives() - fp)
}

/// The confusion cells when rows that score at least `threshold` are predicted positive. O(distinct scores).
///
/// ```
/// use mlops_eval::classification::{ScoreState, confusion_at_threshold};
///
/// let state = ScoreState::of(&[false, true, true], &[0.2, 0.5, 0.9])?;
/// let cells = confusion_at_threshold(&state, 0.5)?;
/// assert_eq!((cells.true_positives(), cells.false_positives()), (2.0, 0.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Parameter`] for a threshold that is NaN; [`StatsError::Empty`] and [`StatsError::ZeroTotal`] for a state of
/// nothing.
pub fn confusion_at_threshold(state: &ScoreState, threshold: f64) -> Result<WeightedConfusion, StatsError> {
    state.check_weight()?;
    if threshold.is_nan() {
        return Err(StatsError::Parameter {
            parameter: "threshold",
            value: threshold,
            reason: "is no number",
        });
    }
    let last = descending(state).take_while(|above| above.threshold >= threshold).last();
    last.map_or_else(
        || cells(state, 0.0, 0.0),
        |above| cells(state, above.true_positives, above.false_positives),
    )
}

/// A threshold with the cells it gives.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThresholdCells {
    /// The smallest score that is predicted positive; `None`: nothing is.
    pub threshold: Option<f64>,
    /// The weight of each pair of truth and prediction.
    pub cells: WeightedConfusion,
}

/// The confusion cells at every threshold that matters, descending, from "nothing is positive" to "everything is".
/// O(distinct scores).
///
/// Agrees with `sklearn.metrics.confusion_matrix_at_thresholds` of scikit-learn 1.9.1, which leaves out the first.
///
/// ```
/// use mlops_eval::classification::{LabelMetric, ScoreState, confusion_at_thresholds};
///
/// let state = ScoreState::of(&[false, true, true], &[0.2, 0.5, 0.9])?;
/// for at in confusion_at_thresholds(&state)? {
///     println!("{:?}: {}", at.threshold, LabelMetric::F1.from_counts(at.cells));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`] and [`StatsError::ZeroTotal`] for a state of nothing.
pub fn confusion_at_thresholds(state: &ScoreState) -> Result<Vec<ThresholdCells>, StatsError> {
    state.check_weight()?;
    let nothing = ThresholdCells { threshold: None, cells: cells(state, 0.0, 0.0)? };
    let at = |above: Above| {
        let cells = cells(state, above.true_positives, above.false_positives)?;
        Ok(ThresholdCells { threshold: Some(above.threshold), cells })
    };
    std::iter::once(Ok(nothing)).chain(descending(state).map(at)).collect()
}

/// What a threshold is chosen for.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdObjective {
    /// The largest F-β: the weighted harmonic mean of precision and recall. β above 0 and finite.
    FBeta(f64),
    /// The largest true positive rate minus false positive rate (Youden 1950).
    Youden,
    /// The best value of any metric of labels; metrics without a better end are refused.
    Metric(LabelMetric),
    /// The least mean cost.
    Cost(CostMatrix),
    /// The largest precision among thresholds whose recall is at least this.
    MinRecall(f64),
    /// The largest recall among thresholds whose precision is at least this.
    MinPrecision(f64),
}

/// What each outcome costs; gains are negative. All finite.
///
/// ```
/// use mlops_eval::classification::CostMatrix;
/// let costs = CostMatrix { false_positive: 1.0, false_negative: 20.0, ..CostMatrix::default() };
/// assert_eq!(costs.true_positive, 0.0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CostMatrix {
    /// Of a positive predicted positive.
    pub true_positive: f64,
    /// Of a negative predicted positive.
    pub false_positive: f64,
    /// Of a positive predicted negative.
    pub false_negative: f64,
    /// Of a negative predicted negative.
    pub true_negative: f64,
}

impl CostMatrix {
    /// The cost of a row on average.
    fn mean(&self, cells: &WeightedConfusion) -> f64 {
        let total = cells.total();
        let terms = [
            self.true_positive * (cells.true_positives() / total),
            self.false_positive * (cells.false_positives() / total),
            self.false_negative * (cells.false_negatives() / total),
            self.true_negative * (cells.true_negatives() / total),
        ];
        terms.into_iter().collect::<Sum>().value()
    }

    fn check(&self) -> Result<(), StatsError> {
        let costs = [self.true_positive, self.false_positive, self.false_negative, self.true_negative];
        match costs.into_iter().find(|cost| !cost.is_finite()) {
            Some(value) => Err(StatsError::Parameter { parameter: "cost", value, reason: "is not finite" }),
            None => Ok(()),
        }
    }
}

/// The best threshold, what it gives and the cells it comes from.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BestThreshold {
    /// The smallest score to predict positive; `None`: nothing.
    pub threshold: Option<f64>,
    /// The value of the objective: F-β, Youden's J, the metric, the mean cost, or the precision or recall that was maximised.
    pub value: f64,
    /// The cells of `score >= threshold`.
    pub cells: WeightedConfusion,
}

/// The threshold that serves an objective best; of equally good ones the highest, which predicts the fewest positive.
///
/// `None` when the objective has a value at no threshold: a class it needs is missing, or no threshold reaches the precision
/// that is asked for. O(distinct scores).
///
/// ```
/// use mlops_eval::classification::{CostMatrix, ScoreState, ThresholdObjective, best_threshold};
///
/// let state = ScoreState::of(&[false, false, true, true], &[0.1, 0.4, 0.35, 0.8])?;
/// let youden = best_threshold(&state, &ThresholdObjective::Youden)?.ok_or("no threshold")?;
/// assert_eq!((youden.threshold, youden.value), (Some(0.8), 0.5));
///
/// // A missed positive is as bad as ten false alarms.
/// let costs = CostMatrix { false_positive: 1.0, false_negative: 10.0, ..CostMatrix::default() };
/// let cheapest = best_threshold(&state, &ThresholdObjective::Cost(costs))?.ok_or("no threshold")?;
/// assert_eq!((cheapest.threshold, cheapest.value), (Some(0.35), 0.25));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Parameter`] for a β, bound or cost out of range, [`StatsError::Unsupported`] for a metric without a better end,
/// [`StatsError::Overflow`] for costs too large to add, [`StatsError::Empty`] and [`StatsError::ZeroTotal`] for a state of
/// nothing.
pub fn best_threshold(
    state: &ScoreState,
    objective: &ThresholdObjective,
) -> Result<Option<BestThreshold>, StatsError> {
    objective.check()?;
    let mut best: Option<BestThreshold> = None;
    for ThresholdCells { threshold, cells } in confusion_at_thresholds(state)? {
        let Some(value) = objective.value(&cells) else { continue };
        let value = crate::input::in_range("the objective", value)?;
        let better = best
            .is_none_or(|best| if objective.is_lowest() { value < best.value } else { value > best.value });
        if better {
            best = Some(BestThreshold { threshold, value, cells });
        }
    }
    Ok(best)
}

impl ThresholdObjective {
    fn check(&self) -> Result<(), StatsError> {
        let refuse = |parameter, value, reason| Err(StatsError::Parameter { parameter, value, reason });
        match *self {
            Self::FBeta(beta) if !(beta > 0.0 && beta.is_finite()) => {
                refuse("beta", beta, "must be positive and finite")
            }
            Self::MinRecall(bound) if !(0.0..=1.0).contains(&bound) => {
                refuse("min_recall", bound, "must lie in [0, 1]")
            }
            Self::MinPrecision(bound) if !(0.0..=1.0).contains(&bound) => {
                refuse("min_precision", bound, "must lie in [0, 1]")
            }
            Self::Metric(metric) if metric.direction() == Direction::Neither => {
                Err(StatsError::Unsupported { what: metric.name(), reason: "neither end of it is better" })
            }
            Self::Cost(costs) => costs.check(),
            _ => Ok(()),
        }
    }

    fn is_lowest(&self) -> bool {
        match self {
            Self::Cost(_) => true,
            Self::Metric(metric) => metric.direction() == Direction::LowerIsBetter,
            _ => false,
        }
    }

    /// The value at a threshold, if it has one and is allowed.
    fn value(&self, cells: &WeightedConfusion) -> Option<f64> {
        let precision = || LabelMetric::Precision.from_counts(*cells).value();
        let recall = || LabelMetric::Recall.from_counts(*cells).value();
        match *self {
            Self::FBeta(beta) => f_beta(cells, beta).value(),
            Self::Youden => Some(recall()? - LabelMetric::FalsePositiveRate.from_counts(*cells).value()?),
            Self::Metric(metric) => metric.from_counts(*cells).value(),
            Self::Cost(costs) => Some(costs.mean(cells)),
            Self::MinRecall(bound) => precision().filter(|_| recall().is_some_and(|recall| recall >= bound)),
            Self::MinPrecision(bound) => {
                recall().filter(|_| precision().is_some_and(|precision| precision >= bound))
            }
        }
    }
}

/// TP/(TP + (FP + β²FN)/(1 + β²)), which no β makes overflow.
fn f_beta(cells: &WeightedConfusion, beta: f64) -> Measured {
    let recall_share = 1.0 / (1.0 + (1.0 / beta) * (1.0 / beta));
    let errors = (1.0 - recall_share) * cells.false_positives() + recall_share * cells.false_negatives();
    Measured::ratio(cells.true_positives(), cells.true_positives() + errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_used_with_at_least_gives_the_cells_it_came_with() {
        let y_true: Vec<bool> = (0..500).map(|i| (i * i) % 7 < 3).collect();
        let scores: Vec<f64> = (0..500).map(|i| f64::from((i * 37) % 91) / 90.0).collect();
        let weights: Vec<f64> = (0..500).map(|i| f64::from(i % 4) / 4.0).collect();
        let state = ScoreState::weighted(&y_true, &scores, &weights).unwrap();
        let costs = CostMatrix { false_positive: 2.0, false_negative: 1.0, ..CostMatrix::default() };
        for objective in [
            ThresholdObjective::FBeta(0.5),
            ThresholdObjective::Youden,
            ThresholdObjective::Metric(LabelMetric::Accuracy),
            ThresholdObjective::Cost(costs),
            ThresholdObjective::MinRecall(0.8),
            ThresholdObjective::MinPrecision(0.45),
        ] {
            let best = best_threshold(&state, &objective).unwrap().unwrap();
            let y_pred: Vec<bool> = scores
                .iter()
                .map(|&score| best.threshold.is_some_and(|threshold| score >= threshold))
                .collect();
            assert_eq!(
                best.cells,
                WeightedConfusion::of(&y_true, &y_pred, &weights).unwrap(),
                "{objective:?}"
            );
            let at = confusion_at_threshold(&state, best.threshold.unwrap_or(f64::INFINITY)).unwrap();
            assert_eq!(at, best.cells);
        }
    }

    #[test]
    fn of_equally_good_thresholds_the_highest_is_taken() {
        let state = ScoreState::of(&[true, false, true, false], &[0.9, 0.8, 0.7, 0.6]).unwrap();
        let best = best_threshold(&state, &ThresholdObjective::Youden).unwrap().unwrap();
        assert_eq!((best.threshold, best.value), (Some(0.9), 0.5));
        let costs = ThresholdObjective::Cost(CostMatrix::default());
        assert_eq!(best_threshold(&state, &costs).unwrap().unwrap().threshold, None);
    }

    #[test]
    fn what_cannot_be_met_is_none_and_what_makes_no_sense_is_refused() {
        let state = ScoreState::of(&[false, true], &[0.9, 0.1]).unwrap();
        assert_eq!(best_threshold(&state, &ThresholdObjective::MinPrecision(0.9)), Ok(None));
        let positives = ScoreState::of(&[true], &[0.9]).unwrap();
        assert_eq!(best_threshold(&positives, &ThresholdObjective::Youden), Ok(None));
        for bad in [
            ThresholdObjective::FBeta(0.0),
            ThresholdObjective::MinRecall(f64::NAN),
            ThresholdObjective::MinPrecision(1.5),
            ThresholdObjective::Cost(CostMatrix { true_positive: f64::INFINITY, ..CostMatrix::default() }),
            ThresholdObjective::Metric(LabelMetric::SelectionRate),
        ] {
            assert!(best_threshold(&state, &bad).is_err(), "{bad:?}");
        }
        assert!(confusion_at_threshold(&state, f64::NAN).is_err());
        assert!(best_threshold(&ScoreState::default(), &ThresholdObjective::Youden).is_err());
    }
}
