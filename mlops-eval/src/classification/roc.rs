//! The ROC curve.
//!
//! A score is any finite number that is higher for rows more likely to be positive. Tied scores are one threshold: a
//! positive and a negative with the same score count one half of the area. NaN and infinities are errors.

use mlops_core::num::{Measured, StatsError};
use serde::{Deserialize, Serialize};

use super::scores::ScoreState;
use super::thresholds::descending;

/// A point of a [`RocCurve`]: what happens when rows that score at least `threshold` are predicted positive.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RocPoint {
    /// The smallest score that is predicted positive; `None` stands above every score: nothing is.
    pub threshold: Option<f64>,
    /// Undefined when there are no positives.
    pub true_positive_rate: Measured,
    /// Undefined when there are no negatives.
    pub false_positive_rate: Measured,
}

/// True against false positive rate for every threshold that matters, from "nothing is positive" to "everything is".
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RocCurve {
    /// The points, thresholds descending: one for each distinct score, and the first without a threshold.
    pub points: Vec<RocPoint>,
    /// The number, or weight, of positive rows.
    pub positives: f64,
    /// The number, or weight, of negative rows.
    pub negatives: f64,
}

/// The ROC curve, with one point for each distinct score.
///
/// Agrees with `sklearn.metrics.roc_curve(drop_intermediate=False)` to 1e-12, whose first threshold is infinite where
/// ours is `None`.
///
/// ```
/// use mlops_eval::classification::roc_curve;
///
/// let curve = roc_curve(&[false, true, false, true], &[0.1, 0.8, 0.4, 0.4])?;
/// let thresholds: Vec<_> = curve.points.iter().map(|point| point.threshold).collect();
/// assert_eq!(thresholds, [None, Some(0.8), Some(0.4), Some(0.1)]);
/// assert_eq!(curve.points[1].true_positive_rate.value(), Some(0.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`roc_auc`](super::roc_auc).
pub fn roc_curve(y_true: &[bool], scores: &[f64]) -> Result<RocCurve, StatsError> {
    roc_curve_from_state(&ScoreState::of(y_true, scores)?)
}

/// [`roc_curve`] with a weight for each row. Scores that only rows of weight 0 have are points too.
///
/// ```
/// use mlops_eval::classification::roc_curve_weighted;
///
/// let curve = roc_curve_weighted(&[false, true, true], &[0.1, 0.8, 0.4], &[1.0, 1.0, 3.0])?;
/// assert_eq!(curve.points[1].true_positive_rate.value(), Some(0.25));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`roc_auc_weighted`](super::roc_auc_weighted).
pub fn roc_curve_weighted(y_true: &[bool], scores: &[f64], weights: &[f64]) -> Result<RocCurve, StatsError> {
    roc_curve_from_state(&ScoreState::weighted(y_true, scores, weights)?)
}

/// [`roc_curve`] of the rows that a state was built from.
///
/// ```
/// use mlops_eval::classification::{ScoreState, roc_curve_from_state};
/// let curve = roc_curve_from_state(&ScoreState::of(&[false, true], &[0.1, 0.8])?)?;
/// assert_eq!(curve.points.len(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`] and [`StatsError::ZeroTotal`] for a state of nothing.
pub fn roc_curve_from_state(state: &ScoreState) -> Result<RocCurve, StatsError> {
    roc_curve_from_state_with(state, &RocCurveOptions::default())
}

/// Which points of the curve are kept.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RocCurveOptions {
    /// Leaves out thresholds in the middle of a straight line, by the rule of `sklearn.metrics.roc_curve`: those whose step
    /// equals the next one. The curve and its area stay the same. Default: no (scikit-learn's default is yes).
    pub drop_intermediate: bool,
}

impl RocCurveOptions {
    /// Sets [`Self::drop_intermediate`].
    #[must_use]
    pub fn with_drop_intermediate(mut self, drop_intermediate: bool) -> Self {
        self.drop_intermediate = drop_intermediate;
        self
    }
}

/// [`roc_curve_from_state`] with options.
///
/// ```
/// use mlops_eval::classification::{RocCurveOptions, ScoreState, roc_curve_from_state_with};
///
/// let state = ScoreState::of(&[false, false, false, true], &[0.1, 0.2, 0.3, 0.8])?;
/// let options = RocCurveOptions::default().with_drop_intermediate(true);
/// let thresholds: Vec<_> =
///     roc_curve_from_state_with(&state, &options)?.points.iter().map(|point| point.threshold).collect();
/// assert_eq!(thresholds, [None, Some(0.8), Some(0.1)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`roc_curve_from_state`].
pub fn roc_curve_from_state_with(
    state: &ScoreState,
    options: &RocCurveOptions,
) -> Result<RocCurve, StatsError> {
    state.check_weight()?;
    let (positives, negatives) = (state.positives(), state.negatives());
    let point = |threshold, tp: f64, fp: f64| RocPoint {
        threshold,
        true_positive_rate: Measured::ratio(tp, positives),
        false_positive_rate: Measured::ratio(fp, negatives),
    };
    let mut points = vec![point(None, 0.0, 0.0)];
    let steps: Vec<_> = descending(state).collect();
    for (position, step) in steps.iter().enumerate() {
        let straight = position > 0
            && steps.get(position + 1).is_some_and(|next| {
                next.step_positives == step.step_positives && next.step_negatives == step.step_negatives
            });
        if !(options.drop_intermediate && straight) {
            points.push(point(Some(step.threshold), step.true_positives, step.false_positives));
        }
    }
    Ok(RocCurve { points, positives, negatives })
}

#[cfg(test)]
mod tests {
    use mlops_core::num::UndefinedReason;

    use super::super::{roc_auc, roc_auc_weighted};
    use super::*;

    /// The definition, pair by pair.
    fn by_pairs(y_true: &[bool], scores: &[f64]) -> f64 {
        let (mut won, mut pairs) = (0.0, 0.0);
        for i in (0..y_true.len()).filter(|&i| y_true[i]) {
            for j in (0..y_true.len()).filter(|&j| !y_true[j]) {
                pairs += 1.0;
                won += f64::from(u8::from(scores[i] > scores[j]))
                    + 0.5 * f64::from(u8::from(scores[i] == scores[j]));
            }
        }
        won / pairs
    }

    #[test]
    fn many_rows_with_ties_follow_the_definition() {
        let y_true: Vec<bool> = (0..5000_u64).map(|i| (i * i) % 7 < 3).collect();
        let scores: Vec<f64> = (0..5000_u64).map(|i| ((i * 31) % 997) as f64 / 100.0 - 4.0).collect();
        let expected = by_pairs(&y_true, &scores);
        assert_eq!(roc_auc(&y_true, &scores).unwrap().value(), Some(expected));
        let weighted = roc_auc_weighted(&y_true, &scores, &vec![1.0; 5000]).unwrap().value().unwrap();
        assert!((weighted - expected).abs() < 1e-13);
    }

    #[test]
    fn both_zeros_are_one_score() {
        assert_eq!(roc_auc(&[true, false], &[-0.0, 0.0]).unwrap().value(), Some(0.5));
        let curve = roc_curve(&[true, false], &[-0.0, 0.0]).unwrap();
        assert_eq!(curve.points.len(), 2);
        assert!(curve.points[1].threshold.is_some_and(|score| score == 0.0 && score.is_sign_positive()));
    }

    #[test]
    fn a_single_class_has_no_area_but_half_a_curve() {
        let curve = roc_curve(&[true, true], &[0.2, 0.4]).unwrap();
        let last = curve.points.last().unwrap();
        assert_eq!(last.true_positive_rate, Measured::Value(1.0));
        assert_eq!(last.false_positive_rate.value(), None);
        let zero_weight = roc_auc_weighted(&[true, false], &[0.2, 0.4], &[1.0, 0.0]).unwrap();
        assert_eq!(zero_weight.undefined().unwrap().reason, UndefinedReason::SingleClass);
    }

    #[test]
    fn huge_weights_do_not_overflow() {
        let auc = roc_auc_weighted(&[true, false, true], &[0.9, 0.5, 0.1], &[8e307, 8e307, 1.0]).unwrap();
        assert_eq!(auc.value(), Some(1.0));
    }

    #[test]
    fn bad_scores_are_named() {
        let cases = [
            (f64::NAN, "`scores` has a NaN at index 1"),
            (f64::INFINITY, "`scores` has inf at index 1, which is not finite"),
        ];
        for (bad, message) in cases {
            assert_eq!(roc_auc(&[true, false], &[0.0, bad]).unwrap_err().to_string(), message);
        }
        assert_eq!(roc_auc(&[], &[]), Err(StatsError::Empty { argument: "y_true" }));
    }
}
