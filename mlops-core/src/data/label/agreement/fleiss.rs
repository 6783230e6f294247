//! Fleiss' kappa.

use crate::num::{Measured, StatsError};

/// Fleiss' kappa: (P̄ − Pₑ) ÷ (1 − Pₑ), from how many raters put each unit into each class. Every unit has the same number
/// of ratings n ≥ 2; P̄ is the mean over units of Σ k(k − 1) ÷ n(n − 1), Pₑ the sum of the squared shares of the classes.
///
/// At most 1; 0 is chance. Undefined when all ratings are of one class. Agrees with statsmodels 0.15.0's `fleiss_kappa` to
/// 1e-12. Where numbers of ratings differ use [`krippendorff_alpha`](super::krippendorff_alpha).
///
/// Source: Fleiss, "Measuring nominal scale agreement among many raters" (1971).
///
/// ```
/// use mlops_core::data::fleiss_kappa;
/// let kappa = fleiss_kappa(&[vec![3, 0], vec![0, 3], vec![3, 0]])?;
/// assert_eq!(kappa.value(), Some(1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`] for no units; [`StatsError::TooFew`] for fewer than two ratings a unit;
/// [`StatsError::LengthMismatch`] for a unit with another number of classes or ratings than the first.
pub fn fleiss_kappa(counts: &[Vec<u64>]) -> Result<Measured, StatsError> {
    let Some(first) = counts.first() else { return Err(StatsError::Empty { argument: "counts" }) };
    let sum = |unit: &[u64]| unit.iter().try_fold(0_u64, |sum, &k| sum.checked_add(k));
    let overflow = StatsError::Overflow { what: "the number of ratings" };
    let raters = sum(first).ok_or(overflow)?;
    let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    if raters < 2 {
        return Err(StatsError::TooFew { argument: "counts", needed: 2, got: size(raters) });
    }
    let n = raters as f64;
    let (mut agreement, mut of_class) = (0.0, vec![0.0; first.len()]);
    for unit in counts {
        let got = sum(unit).ok_or(overflow)?;
        for (left, right) in [(first.len(), unit.len()), (size(raters), size(got))] {
            if left != right {
                let (left_len, right_len) = (left, right);
                return Err(StatsError::LengthMismatch {
                    left: "the first unit",
                    left_len,
                    right: "a unit",
                    right_len,
                });
            }
        }
        for (total, &k) in of_class.iter_mut().zip(unit) {
            let k = k as f64;
            *total += k;
            agreement += k * (k - 1.0) / (n * (n - 1.0));
        }
    }
    let units = counts.len() as f64;
    let observed = agreement / units;
    let chance: f64 = of_class.iter().map(|total| (total / (units * n)).powi(2)).sum();
    Ok(Measured::ratio(observed - chance, 1.0 - chance))
}
