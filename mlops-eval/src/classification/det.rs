//! The detection error trade-off curve: false negatives against false positives.

use mlops_core::num::{Measured, StatsError};
use serde::{Deserialize, Serialize};

use super::scores::ScoreState;
use super::thresholds::descending;

/// A point of a [`DetCurve`]: the two error rates when rows that score at least `threshold` are predicted positive.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DetPoint {
    /// The smallest score that is predicted positive; `None` stands above every score: nothing is.
    pub threshold: Option<f64>,
    /// Undefined when there are no negatives.
    pub false_positive_rate: Measured,
    /// Undefined when there are no positives.
    pub false_negative_rate: Measured,
}

/// Both error rates for the thresholds that trade one for the other (Martin et al. 1997).
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DetCurve {
    /// The points, thresholds descending: from the last one without false positives to the first one without false negatives.
    pub points: Vec<DetPoint>,
    /// The number, or weight, of positive rows.
    pub positives: f64,
    /// The number, or weight, of negative rows.
    pub negatives: f64,
}

/// The detection error trade-off curve.
///
/// Agrees with `sklearn.metrics.det_curve` of scikit-learn 1.9.1 to 1e-12, which lists the points the other way round and refuses
/// a single class; here the rate of the class that is missing is undefined.
///
/// ```
/// use mlops_eval::classification::det_curve;
///
/// let curve = det_curve(&[false, false, true, true], &[0.1, 0.4, 0.35, 0.8])?;
/// let rates: Vec<_> =
///     curve.points.iter().map(|p| (p.false_positive_rate.value(), p.false_negative_rate.value())).collect();
/// assert_eq!(rates, [(Some(0.0), Some(0.5)), (Some(0.5), Some(0.5)), (Some(0.5), Some(0.0))]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`roc_auc`](super::roc_auc).
pub fn det_curve(y_true: &[bool], scores: &[f64]) -> Result<DetCurve, StatsError> {
    det_curve_from_state(&ScoreState::of(y_true, scores)?)
}

/// [`det_curve`] with a weight for each row.
///
/// ```
/// use mlops_eval::classification::det_curve_weighted;
/// let curve = det_curve_weighted(&[false, true], &[0.8, 0.4], &[1.0, 3.0])?;
/// assert_eq!(curve.positives, 3.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`roc_auc_weighted`](super::roc_auc_weighted).
pub fn det_curve_weighted(y_true: &[bool], scores: &[f64], weights: &[f64]) -> Result<DetCurve, StatsError> {
    det_curve_from_state(&ScoreState::weighted(y_true, scores, weights)?)
}

/// [`det_curve`] of the rows that a state was built from. O(distinct scores).
///
/// ```
/// use mlops_eval::classification::{ScoreState, det_curve_from_state};
/// let curve = det_curve_from_state(&ScoreState::of(&[false, true], &[0.1, 0.8])?)?;
/// assert_eq!(curve.points.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`] and [`StatsError::ZeroTotal`] for a state of nothing.
pub fn det_curve_from_state(state: &ScoreState) -> Result<DetCurve, StatsError> {
    state.check_weight()?;
    let (positives, negatives) = (state.positives(), state.negatives());
    let all = std::iter::once((None, 0.0, 0.0));
    let all = all.chain(descending(state).map(|a| (Some(a.threshold), a.true_positives, a.false_positives)));
    let all: Vec<_> = all.collect();
    let first = all.iter().rposition(|(_, _, fp)| *fp == 0.0).unwrap_or(0);
    let last = all.iter().position(|(_, tp, _)| *tp == positives).unwrap_or(all.len() - 1);
    let points = all.iter().take(last + 1).skip(first).map(|&(threshold, tp, fp)| DetPoint {
        threshold,
        false_positive_rate: Measured::ratio(fp, negatives),
        false_negative_rate: Measured::ratio(positives - tp, positives),
    });
    Ok(DetCurve { points: points.collect(), positives, negatives })
}
