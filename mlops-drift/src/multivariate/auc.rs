//! The area under the ROC curve of two groups of scores.

use mlops_core::num::ranks::{midranks, tie_sum};
use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

/// How well scores tell two groups apart.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Auc {
    /// P(score of a current row > score of a reference row) + ½ P(equal), in [0, 1]; ½ when scores know nothing.
    pub value: f64,
    /// DeLong's standard error of the value; undefined where a side has one score.
    pub standard_error: Measured,
    /// The standard deviation of the value when nothing drifts, given the ties: Mann and Whitney's. 0 when all scores are equal.
    pub null_deviation: f64,
}

/// The area under the ROC curve, ties counted half. O(N log N).
///
/// Agrees with scikit-learn's `roc_auc_score` to 1e-12. Source of the standard error: DeLong, DeLong, Clarke-Pearson, *Comparing the
/// areas under two or more correlated receiver operating characteristic curves*, Biometrics 44, 1988.
///
/// # Errors
/// [`StatsError::Empty`] and [`StatsError::Nan`] name the side; infinite scores are ordinary, extreme ones.
///
/// ```
/// use mlops_drift::multivariate::auc;
///
/// let auc = auc(&[0.1, 0.4, 0.35], &[0.8, 0.4])?;
/// assert!((auc.value - 5.5 / 6.0).abs() < 1e-15);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn auc(reference: &[f64], current: &[f64]) -> Result<Auc, StatsError> {
    for (argument, side) in [("reference", reference), ("current", current)] {
        if side.is_empty() {
            return Err(StatsError::Empty { argument });
        }
    }
    let (before, now) = (midranks("reference", reference)?, midranks("current", current)?);
    let all = [reference, current].concat();
    let ranks = midranks("scores", &all)?;
    let (n, m) = (reference.len() as f64, current.len() as f64);
    // A current score's rank among all, less its rank among its own, counts the reference scores below it.
    let (ranks_before, ranks_now) = ranks.split_at(reference.len());
    let share = |all: &[f64], own: &[f64], others: f64| -> Vec<f64> {
        all.iter().zip(own).map(|(rank, own)| (rank - own) / others).collect()
    };
    let below = share(ranks_now, &now, n);
    let above = share(ranks_before, &before, m);
    let value = below.iter().copied().collect::<Sum>().value() / m;
    let ties = tie_sum("scores", &all)?;
    let total = n + m;
    let spread = (total + 1.0) - ties / (total * (total - 1.0));
    let null_deviation = (spread.max(0.0) / (12.0 * n * m)).sqrt();
    let standard_error = match (variance(&below), variance(&above)) {
        (Some(current), Some(reference)) => Measured::Value((current / m + reference / n).sqrt()),
        _ => Measured::none(UndefinedReason::TooFew, reference.len().min(current.len()), 2),
    };
    Ok(Auc { value, standard_error, null_deviation })
}

/// With ddof 1.
fn variance(values: &[f64]) -> Option<f64> {
    let n = values.len() as f64;
    if values.len() < 2 {
        return None;
    }
    let mean = values.iter().copied().collect::<Sum>().value() / n;
    Some(values.iter().map(|v| (v - mean).powi(2)).collect::<Sum>().value() / (n - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_counts() {
        let a: Vec<f64> = (0..23).map(|i| f64::from(i * i % 7)).collect();
        let b: Vec<f64> = (0..31).map(|i| f64::from(i * 5 % 9)).collect();
        let pairs = b.iter().flat_map(|y| a.iter().map(move |x| (x, y)));
        let wins: f64 = pairs
            .map(|(x, y)| {
                if y > x {
                    1.0
                } else if y == x {
                    0.5
                } else {
                    0.0
                }
            })
            .sum();
        let got = auc(&a, &b).unwrap();
        assert!((got.value - wins / (23.0 * 31.0)).abs() < 1e-15);
    }

    #[test]
    fn equal_scores_know_nothing() {
        let got = auc(&[1.0; 5], &[1.0; 4]).unwrap();
        assert_eq!((got.value, got.null_deviation), (0.5, 0.0));
        assert_eq!(auc(&[f64::NEG_INFINITY], &[f64::INFINITY]).unwrap().value, 1.0);
        assert!(matches!(auc(&[1.0], &[f64::NAN]), Err(StatsError::Nan { argument: "current", index: 0 })));
        assert!(auc(&[], &[1.0]).is_err());
    }
}
