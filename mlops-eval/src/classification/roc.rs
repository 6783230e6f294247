//! Ranking quality of a score: the ROC curve and the area under it.
//!
//! A score is any finite number that is higher for rows more likely to be positive. Tied scores are one threshold: a
//! positive and a negative with the same score count one half. NaN and infinities are errors.

use mlops_core::num::ranks::sort_pairs;
use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use crate::input::{finite, in_range, named, paired, weight, weight_total};
use mlops_core::num::sum::Sum;

/// The area under the ROC curve: the probability that a random positive scores above a random negative, ties counting
/// one half.
///
/// In [0, 1]; 0.5 for a score that tells nothing. Counted in integers, so the result is the exact ratio, rounded
/// once. Undefined with [`UndefinedReason::SingleClass`] unless both classes occur. O(n) passes from 2 048 rows of a
/// class on, O(n log n) below.
///
/// Mann and Whitney (1947); Hanley and McNeil (1982). Agrees with scikit-learn 1.9.1 to 1e-12.
///
/// ```
/// use mlops_eval::classification::roc_auc;
///
/// assert_eq!(roc_auc(&[false, false, true, true], &[0.1, 0.4, 0.35, 0.8])?.value(), Some(0.75));
/// assert_eq!(roc_auc(&[false, true], &[0.5, 0.5])?.value(), Some(0.5));
/// assert_eq!(roc_auc(&[true, true], &[0.1, 0.9])?.value(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::Nan`], [`StatsError::NotFinite`].
pub fn roc_auc(y_true: &[bool], scores: &[f64]) -> Result<Measured, StatsError> {
    check(y_true, scores)?;
    let positives = sorted_class(y_true, scores, true);
    let negatives = sorted_class(y_true, scores, false);
    if positives.is_empty() || negatives.is_empty() {
        return Ok(single_class());
    }
    let halves = won_half_pairs(&positives, &negatives);
    let pairs = positives.len() as u128 * negatives.len() as u128;
    Ok(Measured::Value(halves as f64 / (2 * pairs) as f64))
}

/// [`roc_auc`] with a weight for each row: the same probability when rows are drawn in proportion to their weights.
///
/// Undefined with [`UndefinedReason::SingleClass`] when a class has no weight.
///
/// ```
/// use mlops_eval::classification::roc_auc_weighted;
///
/// let auc = roc_auc_weighted(&[false, true, true], &[0.5, 0.4, 0.9], &[1.0, 1.0, 3.0])?;
/// assert_eq!(auc.value(), Some(0.75));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`roc_auc`], and what [`weights::total`](mlops_core::num::weights::total) refuses.
pub fn roc_auc_weighted(y_true: &[bool], scores: &[f64], weights: &[f64]) -> Result<Measured, StatsError> {
    let (steps, totals) = steps(y_true, scores, Some(weights))?;
    if totals.has_single_class() {
        return Ok(single_class());
    }
    // Shares instead of weights: the product of two large totals would leave the range of f64.
    let mut above = 0.0;
    let mut area = Sum::default();
    for step in &steps {
        let (gained, passed) = (step.positives / totals.positives, step.negatives / totals.negatives);
        area.push(passed * (above + 0.5 * gained));
        above += gained;
    }
    Ok(Measured::Value(area.value().clamp(0.0, 1.0)))
}

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
/// Those of [`roc_auc`].
pub fn roc_curve(y_true: &[bool], scores: &[f64]) -> Result<RocCurve, StatsError> {
    curve(y_true, scores, None)
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
/// Those of [`roc_auc_weighted`].
pub fn roc_curve_weighted(y_true: &[bool], scores: &[f64], weights: &[f64]) -> Result<RocCurve, StatsError> {
    curve(y_true, scores, Some(weights))
}

fn curve(y_true: &[bool], scores: &[f64], weights: Option<&[f64]>) -> Result<RocCurve, StatsError> {
    let (steps, totals) = steps(y_true, scores, weights)?;
    let point = |threshold, tp: f64, fp: f64| RocPoint {
        threshold,
        true_positive_rate: Measured::ratio(tp, totals.positives).map(|rate| rate.min(1.0)),
        false_positive_rate: Measured::ratio(fp, totals.negatives).map(|rate| rate.min(1.0)),
    };
    let mut points = vec![point(None, 0.0, 0.0)];
    let (mut tp, mut fp) = (Sum::default(), Sum::default());
    for step in &steps {
        tp.push(step.positives);
        fp.push(step.negatives);
        points.push(point(Some(step.score), tp.value(), fp.value()));
    }
    Ok(RocCurve { points, positives: totals.positives, negatives: totals.negatives })
}

/// All rows that share a score.
struct Step {
    score: f64,
    positives: f64,
    negatives: f64,
}

struct Totals {
    positives: f64,
    negatives: f64,
}

impl Totals {
    fn has_single_class(&self) -> bool {
        self.positives == 0.0 || self.negatives == 0.0
    }
}

fn steps(
    y_true: &[bool],
    scores: &[f64],
    weights: Option<&[f64]>,
) -> Result<(Vec<Step>, Totals), StatsError> {
    check(y_true, scores)?;
    weight_total(weights, named("y_true", y_true))?;
    // Adding 0.0 makes both zeros one score, also in the thresholds that are returned.
    let row = |i: usize| (-(scores[i] + 0.0), (y_true[i], weight(weights, i)));
    let mut rows: Vec<(f64, (bool, f64))> = (0..scores.len()).map(row).collect();
    sort_pairs(&mut rows);
    let steps: Vec<Step> = rows.chunk_by(|a, b| a.0 == b.0).map(step_of).collect();
    let sum_of = |part: fn(&Step) -> f64| steps.iter().map(part).collect::<Sum>().value();
    let totals = Totals {
        positives: in_range("the weight of the positives", sum_of(|step| step.positives))?,
        negatives: in_range("the weight of the negatives", sum_of(|step| step.negatives))?,
    };
    Ok((steps, totals))
}

fn step_of(tied: &[(f64, (bool, f64))]) -> Step {
    let weight_of = |class| {
        let weights =
            tied.iter().filter(|(_, (positive, _))| *positive == class).map(|(_, (_, weight))| *weight);
        weights.collect::<Sum>().value()
    };
    let score = tied.first().map_or(0.0, |(negated, _)| 0.0 - negated);
    Step { score, positives: weight_of(true), negatives: weight_of(false) }
}

fn check(y_true: &[bool], scores: &[f64]) -> Result<(), StatsError> {
    paired(named("y_true", y_true), named("scores", scores))?;
    finite("scores", scores)
}

fn sorted_class(y_true: &[bool], scores: &[f64], class: bool) -> Vec<(f64, ())> {
    let of_class = y_true.iter().zip(scores).filter(|(label, _)| **label == class);
    let mut scores: Vec<(f64, ())> = of_class.map(|(_, score)| (*score, ())).collect();
    sort_pairs(&mut scores);
    scores
}

/// Twice the pairs a positive wins, plus the tied ones: an exact integer.
fn won_half_pairs(positives: &[(f64, ())], negatives: &[(f64, ())]) -> u128 {
    let (mut below, mut not_above) = (0, 0);
    let mut halves = 0_u128;
    for (score, ()) in positives {
        while below < negatives.len() && negatives[below].0 < *score {
            below += 1;
        }
        not_above = not_above.max(below);
        while not_above < negatives.len() && negatives[not_above].0 <= *score {
            not_above += 1;
        }
        halves += (below + not_above) as u128;
    }
    halves
}

fn single_class() -> Measured {
    Measured::none(UndefinedReason::SingleClass, 1, 2)
}

#[cfg(test)]
mod tests {
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
