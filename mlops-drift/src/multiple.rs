//! Many tests at once: p-values adjusted so that the number of columns does not make the alarm.
//!
//! An adjusted p-value is compared with the same α that a single test would be. With m tests and sorted p₍₁₎ ≤ … ≤ p₍ₘ₎:
//!
//! | correction | adjusted p₍ᵢ₎ | keeps | reference |
//! |---|---|---|---|
//! | [`Correction::BenjaminiHochberg`] | min over j ≥ i of min(1, m p₍ⱼ₎ / j) | the share of false alarms among alarms, for independent or positively dependent tests | Benjamini & Hochberg (1995) |
//! | [`Correction::BenjaminiYekutieli`] | the same times 1 + 1/2 + … + 1/m | that share, whatever the dependence | Benjamini & Yekutieli (2001) |
//! | [`Correction::Holm`] | max over j ≤ i of min(1, (m − j + 1) p₍ⱼ₎) | the chance of any false alarm | Holm (1979) |
//! | [`Correction::Bonferroni`] | min(1, m p₍ᵢ₎) | the chance of any false alarm | |

use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

/// How p-values of several tests are adjusted.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Correction {
    /// Keeps the false discovery rate. The default.
    #[default]
    BenjaminiHochberg,
    /// Keeps the false discovery rate under any dependence.
    BenjaminiYekutieli,
    /// Keeps the family-wise error rate.
    Holm,
    /// Keeps the family-wise error rate, and is never stronger than Holm.
    Bonferroni,
    /// Leaves p-values as they are.
    None,
}

/// Adjusts p-values; the answer is in the order of the input. O(m log m).
///
/// # Errors
/// [`StatsError::Nan`] or [`StatsError::OutOfRange`] for a value outside [0, 1]. No values, no error: the answer is empty.
///
/// ```
/// use mlops_drift::{Correction, adjust};
///
/// let adjusted = adjust(&[0.01, 0.04, 0.03], Correction::BenjaminiHochberg)?;
/// assert_eq!(adjusted, [0.03, 0.04, 0.04]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn adjust(p: &[f64], correction: Correction) -> Result<Vec<f64>, StatsError> {
    if let Some(index) = p.iter().position(|p| !(0.0..=1.0).contains(p)) {
        let value = p[index];
        return Err(if value.is_nan() {
            StatsError::Nan { argument: "p", index }
        } else {
            StatsError::OutOfRange { argument: "p", index, value, low: 0.0, high: 1.0 }
        });
    }
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&i, &j| p[i].total_cmp(&p[j]));
    let m = p.len() as f64;
    let mut adjusted = vec![0.0; p.len()];
    match correction {
        Correction::None => adjusted.copy_from_slice(p),
        Correction::Bonferroni => adjusted.iter_mut().zip(p).for_each(|(a, p)| *a = (m * p).min(1.0)),
        Correction::Holm => {
            let mut running = 0.0_f64;
            for (rank, &i) in order.iter().enumerate() {
                running = running.max((m - rank as f64) * p[i]).min(1.0);
                adjusted[i] = running;
            }
        }
        Correction::BenjaminiHochberg => step_up(p, &order, m, &mut adjusted),
        Correction::BenjaminiYekutieli => {
            let harmonic: f64 = (1..=p.len()).map(|i| 1.0 / i as f64).sum();
            step_up(p, &order, m * harmonic, &mut adjusted);
        }
    }
    Ok(adjusted)
}

fn step_up(p: &[f64], order: &[usize], factor: f64, adjusted: &mut [f64]) {
    let mut running = 1.0_f64;
    for (rank, &i) in order.iter().enumerate().rev() {
        running = running.min(factor * p[i] / (rank + 1) as f64);
        adjusted[i] = running;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: [f64; 6] = [0.001, 0.2, 0.013, 0.04, 0.9, 0.013];

    fn close(actual: &[f64], expected: &[f64]) {
        assert_eq!(actual.len(), expected.len());
        for (a, e) in actual.iter().zip(expected) {
            assert!((a - e).abs() <= 1e-15, "{actual:?} {expected:?}");
        }
    }

    /// SciPy 1.17.1, `scipy.stats.false_discovery_control(P, method=...)`; statsmodels 0.15.0,
    /// `multipletests(P, method=...)[1]` for Holm and Bonferroni.
    #[test]
    fn adjusted_p_values_meet_scipy_and_statsmodels() {
        for (correction, expected) in REFERENCE {
            close(&adjust(&P, correction).unwrap(), &expected);
        }
    }

    const REFERENCE: [(Correction, [f64; 6]); 4] = [
        (Correction::BenjaminiHochberg, [0.006, 0.24, 0.026, 0.06, 0.9, 0.026]),
        (Correction::BenjaminiYekutieli, [0.0147, 0.588, 0.0637, 0.147, 1.0, 0.0637]),
        (Correction::Holm, [0.006, 0.4, 0.065, 0.12, 0.9, 0.065]),
        (Correction::Bonferroni, [0.006, 1.0, 0.078, 0.24, 1.0, 0.078]),
    ];

    #[test]
    fn what_is_no_probability_is_refused() {
        assert_eq!(
            adjust(&[0.1, f64::NAN], Correction::Holm),
            Err(StatsError::Nan { argument: "p", index: 1 })
        );
        assert!(adjust(&[1.1], Correction::None).is_err());
        assert_eq!(adjust(&[], Correction::BenjaminiYekutieli), Ok(vec![]));
    }

    #[test]
    fn an_adjusted_value_is_never_smaller_than_its_own() {
        for (correction, _) in REFERENCE {
            let adjusted = adjust(&P, correction).unwrap();
            assert!(adjusted.iter().zip(P).all(|(a, p)| *a >= p && *a <= 1.0), "{correction:?}");
        }
    }
}
