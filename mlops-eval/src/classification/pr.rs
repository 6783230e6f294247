//! Precision against recall: the curve, average precision, and the area by trapezoids.

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError};
use serde::{Deserialize, Serialize};

use super::scores::ScoreState;
use super::thresholds::descending;

/// A point of a [`PrCurve`]: what happens when rows that score at least `threshold` are predicted positive.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrPoint {
    /// The smallest score that is predicted positive; `None` stands above every score: nothing is.
    pub threshold: Option<f64>,
    /// 1 by convention where nothing is predicted positive; undefined where what is has no weight.
    pub precision: Measured,
    /// Undefined when there are no positives.
    pub recall: Measured,
}

/// Precision and recall for every threshold that matters, from "nothing is positive" to "everything is".
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrCurve {
    /// The points, thresholds descending: one for each distinct score, and the first without a threshold.
    pub points: Vec<PrPoint>,
    /// The number, or weight, of positive rows.
    pub positives: f64,
    /// The number, or weight, of all rows: `positives / total` is the precision of a score that tells nothing.
    pub total: f64,
}

/// The precision–recall curve, with one point for each distinct score.
///
/// Agrees with `sklearn.metrics.precision_recall_curve` of scikit-learn 1.9.1 to 1e-12, which lists the points the other way
/// round and sets recall to 1 when there are no positives.
///
/// ```
/// use mlops_eval::classification::pr_curve;
///
/// let curve = pr_curve(&[false, false, true, true], &[0.1, 0.4, 0.35, 0.8])?;
/// let precision: Vec<_> = curve.points.iter().filter_map(|point| point.precision.value()).collect();
/// assert_eq!(precision, [1.0, 1.0, 0.5, 2.0 / 3.0, 0.5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`roc_auc`](super::roc_auc).
pub fn pr_curve(y_true: &[bool], scores: &[f64]) -> Result<PrCurve, StatsError> {
    pr_curve_from_state(&ScoreState::of(y_true, scores)?)
}

/// [`pr_curve`] with a weight for each row.
///
/// ```
/// use mlops_eval::classification::pr_curve_weighted;
/// let curve = pr_curve_weighted(&[false, true], &[0.8, 0.4], &[1.0, 3.0])?;
/// assert_eq!(curve.points[2].precision.value(), Some(0.75));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`roc_auc_weighted`](super::roc_auc_weighted).
pub fn pr_curve_weighted(y_true: &[bool], scores: &[f64], weights: &[f64]) -> Result<PrCurve, StatsError> {
    pr_curve_from_state(&ScoreState::weighted(y_true, scores, weights)?)
}

/// [`pr_curve`] of the rows that a state was built from.
///
/// ```
/// use mlops_eval::classification::{ScoreState, pr_curve_from_state};
/// let curve = pr_curve_from_state(&ScoreState::of(&[false, true], &[0.1, 0.8])?)?;
/// assert_eq!(curve.points[1].recall.value(), Some(1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`] and [`StatsError::ZeroTotal`] for a state of nothing.
pub fn pr_curve_from_state(state: &ScoreState) -> Result<PrCurve, StatsError> {
    state.check_weight()?;
    let positives = state.positives();
    let nothing =
        PrPoint { threshold: None, precision: Measured::Value(1.0), recall: Measured::ratio(0.0, positives) };
    let points = descending(state).map(|above| PrPoint {
        threshold: Some(above.threshold),
        precision: Measured::ratio(above.true_positives, above.true_positives + above.false_positives),
        recall: Measured::ratio(above.true_positives, positives),
    });
    let points = std::iter::once(nothing).chain(points).collect();
    Ok(PrCurve { points, positives, total: positives + state.negatives() })
}

/// Average precision: Σ (Rₙ − Rₙ₋₁) Pₙ over the thresholds in descending order, without interpolation.
///
/// In [0, 1]; a score that tells nothing has the share of the positives. Tied scores are one threshold. Undefined with
/// [`ZeroDenominator`](mlops_core::num::UndefinedReason::ZeroDenominator) when there are no positives; scikit-learn returns 0
/// then, as [`ZeroDivision::Zero`](super::ZeroDivision::Zero) does. Costs what [`ScoreState::of`] costs. Agrees with scikit-learn
/// 1.9.1 to 1e-12.
///
/// ```
/// use mlops_eval::classification::average_precision;
///
/// let ap = average_precision(&[false, false, true, true], &[0.1, 0.4, 0.35, 0.8])?.value().unwrap_or(f64::NAN);
/// assert!((ap - 5.0 / 6.0).abs() < 1e-15);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`roc_auc`](super::roc_auc).
pub fn average_precision(y_true: &[bool], scores: &[f64]) -> Result<Measured, StatsError> {
    average_precision_from_state(&ScoreState::of(y_true, scores)?)
}

/// [`average_precision`] with a weight for each row.
///
/// ```
/// use mlops_eval::classification::average_precision_weighted;
/// let ap = average_precision_weighted(&[false, true], &[0.8, 0.4], &[1.0, 3.0])?;
/// assert_eq!(ap.value(), Some(0.75));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`roc_auc_weighted`](super::roc_auc_weighted).
pub fn average_precision_weighted(
    y_true: &[bool],
    scores: &[f64],
    weights: &[f64],
) -> Result<Measured, StatsError> {
    average_precision_from_state(&ScoreState::weighted(y_true, scores, weights)?)
}

/// [`average_precision`] of the rows that a state was built from. O(distinct scores).
///
/// ```
/// use mlops_eval::classification::{ScoreState, average_precision_from_state};
/// let state = ScoreState::of(&[false, true], &[0.1, 0.8])?;
/// assert_eq!(average_precision_from_state(&state)?.value(), Some(1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`] and [`StatsError::ZeroTotal`] for a state of nothing.
pub fn average_precision_from_state(state: &ScoreState) -> Result<Measured, StatsError> {
    area(state, |_, precision| precision)
}

/// The area under the straight lines between the points of the precision–recall curve.
///
/// In [0, 1]. Not the same number as [`average_precision`]: precision is not linear between two points, and the lines promise
/// more than can be reached (Davis and Goadrich 2006). It is here because others report it: `auc(recall, precision)` of
/// scikit-learn 1.9.1, to 1e-12. Undefined when there are no positives.
///
/// ```
/// use mlops_eval::classification::pr_auc;
/// let area = pr_auc(&[false, false, true, true], &[0.1, 0.4, 0.35, 0.8])?.value().unwrap_or(f64::NAN);
/// assert!((area - 0.7916666666666666).abs() < 1e-15);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`roc_auc`](super::roc_auc).
pub fn pr_auc(y_true: &[bool], scores: &[f64]) -> Result<Measured, StatsError> {
    pr_auc_from_state(&ScoreState::of(y_true, scores)?)
}

/// [`pr_auc`] with a weight for each row.
///
/// ```
/// use mlops_eval::classification::pr_auc_weighted;
/// let area = pr_auc_weighted(&[false, true], &[0.8, 0.4], &[1.0, 3.0])?;
/// assert_eq!(area.value(), Some(0.375));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`roc_auc_weighted`](super::roc_auc_weighted).
pub fn pr_auc_weighted(y_true: &[bool], scores: &[f64], weights: &[f64]) -> Result<Measured, StatsError> {
    pr_auc_from_state(&ScoreState::weighted(y_true, scores, weights)?)
}

/// [`pr_auc`] of the rows that a state was built from. O(distinct scores).
///
/// ```
/// use mlops_eval::classification::{ScoreState, pr_auc_from_state};
/// let state = ScoreState::of(&[false, true], &[0.1, 0.8])?;
/// assert_eq!(pr_auc_from_state(&state)?.value(), Some(1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`] and [`StatsError::ZeroTotal`] for a state of nothing.
pub fn pr_auc_from_state(state: &ScoreState) -> Result<Measured, StatsError> {
    area(state, |before, precision| 0.5 * (before + precision))
}

/// The sum of the steps of recall times a height made of the precisions at both ends.
fn area(state: &ScoreState, height: impl Fn(f64, f64) -> f64) -> Result<Measured, StatsError> {
    state.check_weight()?;
    if state.positives() == 0.0 {
        return Ok(Measured::ratio(0.0, 0.0));
    }
    let (mut area, mut before) = (Sum::new(), 1.0);
    for above in descending(state) {
        let predicted = above.true_positives + above.false_positives;
        // Scores of rows without weight are no thresholds.
        if predicted > 0.0 {
            let precision = above.true_positives / predicted;
            area.push((above.step_positives / state.positives()) * height(before, precision));
            before = precision;
        }
    }
    Ok(Measured::Value(area.value().clamp(0.0, 1.0)))
}
