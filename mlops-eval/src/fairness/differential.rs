//! Intersectional fairness as one number: by what factor the chance of an outcome differs between any two groups.
//!
//! A mechanism is ε-differentially fair when for every outcome y and every two groups s, t
//! e^−ε ≤ P(y | s) / P(y | t) ≤ e^ε (Foulds, Islam, Keya and Pan, *An Intersectional Definition of Fairness*, ICDE 2020). The
//! chances are estimated with a symmetric Dirichlet prior of total weight c, the concentration: (k + c/2) / (n + c), so that a
//! small group does not make ε infinite. Groups without rows take no part. Agrees with AIF360 0.6.1 (`smoothed_edf`,
//! `df_bias_amplification`) to 1e-12.

use mlops_core::num::{Measured, StatsError, Undefined, UndefinedReason};
use serde::{Deserialize, Serialize};

use crate::classification::WeightedConfusion;
use crate::input::{named, not_empty};

/// ε, with the groups and the outcome that make it.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DifferentialFairness {
    /// The largest |ln P(y | s) − ln P(y | t)|; 0 when all groups are treated alike. Undefined with fewer than two groups, or
    /// when a chance is 0, which only a concentration of 0 allows.
    pub epsilon: Measured,
    /// The outcome in which they differ most: `true` for the positive one.
    pub outcome: bool,
    /// The group in which that outcome is likeliest, by its position.
    pub highest: Option<usize>,
    /// The group in which it is least likely.
    pub lowest: Option<usize>,
}

/// Positives and rows of each group, to their [`DifferentialFairness`]. O(groups).
///
/// ```
/// use mlops_eval::fairness::differential_fairness;
///
/// let fairness = differential_fairness(&[(60.0, 100.0), (30.0, 100.0), (0.0, 0.0)], 1.0)?;
/// assert!((fairness.epsilon.value().unwrap() - f64::ln(60.5 / 30.5)).abs() < 1e-15);
/// assert_eq!((fairness.outcome, fairness.highest, fairness.lowest), (true, Some(0), Some(1)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`]; [`StatsError::OutOfRange`] with the position of a group whose positives are not between 0 and its
/// rows, or whose rows are not finite; [`StatsError::Parameter`] for a concentration that is negative or not finite.
pub fn differential_fairness(
    groups: &[(f64, f64)],
    concentration: f64,
) -> Result<DifferentialFairness, StatsError> {
    not_empty(named("groups", groups))?;
    if !(concentration >= 0.0 && concentration.is_finite()) {
        let reason = "must be finite and 0 or more";
        return Err(StatsError::Parameter { parameter: "concentration", value: concentration, reason });
    }
    for (index, &(positives, rows)) in groups.iter().enumerate() {
        if !(rows.is_finite() && (0.0..=rows).contains(&positives)) {
            let (value, low, high) = (positives, 0.0, rows);
            return Err(StatsError::OutOfRange { argument: "groups", index, value, low, high });
        }
    }
    let positive = spread(groups.iter().map(|&(k, n)| (k, n)), concentration);
    let negative = spread(groups.iter().map(|&(k, n)| (n - k, n)), concentration);
    let pick = match (positive.epsilon.value(), negative.epsilon.value()) {
        (None, _) => positive,
        (_, None) => negative,
        (Some(a), Some(b)) => {
            if a >= b {
                positive
            } else {
                negative
            }
        }
    };
    Ok(DifferentialFairness { outcome: pick == positive, ..pick })
}

/// How much more ε a classifier has than the data it is judged on: ε of predictions minus ε of truth, each smoothed by the same
/// concentration. Above 0 the classifier widens the gap.
///
/// ```
/// use mlops_eval::classification::Confusion;
/// use mlops_eval::fairness::differential_fairness_amplification;
///
/// let even = Confusion { true_positives: 50, true_negatives: 50, ..Default::default() };
/// let missed = Confusion { true_positives: 20, false_negatives: 30, true_negatives: 50, ..Default::default() };
/// let amplification = differential_fairness_amplification(&[even, missed], 1.0)?.value().unwrap();
/// assert!((amplification - f64::ln(50.5 / 20.5)).abs() < 1e-15);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`differential_fairness`].
pub fn differential_fairness_amplification<C: Into<WeightedConfusion> + Copy>(
    groups: &[C],
    concentration: f64,
) -> Result<Measured, StatsError> {
    let cells: Vec<WeightedConfusion> = groups.iter().map(|&group| group.into()).collect();
    let truth = |c: &WeightedConfusion| (c.true_positives() + c.false_negatives(), c.total());
    let predicted = |c: &WeightedConfusion| (c.true_positives() + c.false_positives(), c.total());
    let epsilon = |rates: Vec<(f64, f64)>| differential_fairness(&rates, concentration);
    let data = epsilon(cells.iter().map(truth).collect())?.epsilon;
    let model = epsilon(cells.iter().map(predicted).collect())?.epsilon;
    Ok(match (model, data) {
        (Measured::Value(model), Measured::Value(data)) => Measured::Value(model - data),
        (Measured::Value(_), undefined) | (undefined, _) => undefined,
    })
}

fn spread(groups: impl Iterator<Item = (f64, f64)>, concentration: f64) -> DifferentialFairness {
    let smoothed = |(k, n): (f64, f64)| (k + concentration / 2.0) / (n + concentration);
    let rates: Vec<(usize, f64)> = groups
        .enumerate()
        .filter(|(_, (_, n))| *n > 0.0)
        .map(|(index, group)| (index, smoothed(group)))
        .collect();
    let first = |better: fn(f64, f64) -> bool| {
        rates.iter().copied().reduce(|best, rate| if better(rate.1, best.1) { rate } else { best })
    };
    let (highest, lowest) = (first(|a, b| a > b), first(|a, b| a < b));
    let epsilon = match (highest, lowest) {
        (Some((_, high)), Some((_, low))) if rates.len() >= 2 => {
            if low > 0.0 {
                Measured::Value(high.ln() - low.ln())
            } else if high == 0.0 {
                // An outcome nobody has tells no groups apart.
                Measured::Value(0.0)
            } else {
                let reason = UndefinedReason::ZeroDenominator;
                Measured::Undefined(Undefined { reason, numerator: high, denominator: low })
            }
        }
        _ => Measured::none(UndefinedReason::TooFew, rates.len(), 2),
    };
    let index = |group: Option<(usize, f64)>| group.map(|(index, _)| index);
    DifferentialFairness { epsilon, outcome: true, highest: index(highest), lowest: index(lowest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rarer_outcome_may_decide() {
        let fairness = differential_fairness(&[(95.0, 100.0), (80.0, 100.0)], 0.0).unwrap();
        assert!((fairness.epsilon.value().unwrap() - f64::ln(4.0)).abs() < 1e-12);
        assert_eq!((fairness.outcome, fairness.highest, fairness.lowest), (false, Some(1), Some(0)));
    }

    #[test]
    fn without_smoothing_a_zero_has_no_ratio() {
        assert_eq!(differential_fairness(&[(0.0, 9.0), (1.0, 9.0)], 0.0).unwrap().epsilon.value(), None);
        assert_eq!(differential_fairness(&[(0.0, 9.0), (0.0, 4.0)], 0.0).unwrap().epsilon.value(), Some(0.0));
    }

    #[test]
    fn one_group_cannot_be_compared() {
        let one = differential_fairness(&[(1.0, 9.0), (0.0, 0.0)], 1.0).unwrap();
        assert_eq!(one.epsilon.undefined().unwrap().reason, UndefinedReason::TooFew);
    }

    #[test]
    fn bad_groups_are_named() {
        for bad in [(2.0, 1.0), (-1.0, 1.0), (f64::NAN, 1.0), (0.0, f64::NAN), (0.0, f64::INFINITY)] {
            let error = differential_fairness(&[(0.0, 1.0), bad], 1.0).unwrap_err();
            assert!(matches!(error, StatsError::OutOfRange { index: 1, .. }), "{error}");
        }
        assert!(differential_fairness(&[], 1.0).is_err());
        assert!(differential_fairness(&[(1.0, 1.0)], -1.0).is_err());
    }
}
