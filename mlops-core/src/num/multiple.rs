//! Many tests at once: p-values adjusted so that their number does not make the finding.
//!
//! An adjusted p-value is compared with the same α that a single test would be. With m tests and sorted p₍₁₎ ≤ … ≤ p₍ₘ₎:
//!
//! | correction | adjusted p₍ᵢ₎ | keeps | reference |
//! |---|---|---|---|
//! | [`Correction::BenjaminiHochberg`] | min over j ≥ i of min(1, m p₍ⱼ₎ / j) | the share of false alarms among alarms, for independent or positively dependent tests | Benjamini & Hochberg (1995) |
//! | [`Correction::BenjaminiYekutieli`] | the same times 1 + 1/2 + … + 1/m | that share, whatever the dependence | Benjamini & Yekutieli (2001) |
//! | [`Correction::Holm`] | max over j ≤ i of min(1, (m − j + 1) p₍ⱼ₎) | the chance of any false alarm | Holm (1979) |
//! | [`Correction::Hommel`] | the largest Simes p of any set of tests that holds i | the chance of any false alarm, for independent or positively dependent tests | Hommel (1988) |
//! | [`Correction::Bonferroni`] | min(1, m p₍ᵢ₎) | the chance of any false alarm | |
//!
//! [`simes`] answers a smaller question with more power: is there drift in *any* of the tests? Its p-value, min over i of
//! min(1, m p₍ᵢ₎ / i), is also the smallest that Benjamini and Hochberg's adjustment gives.

use serde::{Deserialize, Serialize};

use super::StatsError;

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
    /// Keeps the family-wise error rate under independence or positive dependence, with more power than Holm: closed testing
    /// with [`simes`]. O(m²).
    Hommel,
    /// Keeps the family-wise error rate, and is never stronger than Holm.
    Bonferroni,
    /// Leaves p-values as they are.
    None,
}

impl Correction {
    /// The name in reports: `benjamini_hochberg`.
    ///
    /// ```
    /// assert_eq!(mlops_core::num::multiple::Correction::default().name(), "benjamini_hochberg");
    /// ```
    pub const fn name(self) -> &'static str {
        match self {
            Self::BenjaminiHochberg => "benjamini_hochberg",
            Self::BenjaminiYekutieli => "benjamini_yekutieli",
            Self::Holm => "holm",
            Self::Hommel => "hommel",
            Self::Bonferroni => "bonferroni",
            Self::None => "none",
        }
    }
}

/// The p-value of Simes' test that no hypothesis at all is false: min over i of m p₍ᵢ₎ / i (Simes, *An improved Bonferroni
/// procedure for multiple tests of significance*, Biometrika 73, 1986). In [0, 1]. Keeps its level for independent and for
/// positively dependent tests; never larger than Bonferroni's m · min p. O(m log m).
///
/// # Errors
/// [`StatsError::Empty`] for no values; [`StatsError::Nan`] or [`StatsError::OutOfRange`] for a value outside [0, 1].
///
/// ```
/// use mlops_core::num::multiple::simes;
///
/// // No single test is striking, three together are.
/// assert!((simes(&[0.03, 0.02, 0.025])? - 0.03).abs() < 1e-15);
/// assert!(simes(&[]).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn simes(p: &[f64]) -> Result<f64, StatsError> {
    if p.is_empty() {
        return Err(StatsError::Empty { argument: "p" });
    }
    check(p)?;
    let mut sorted = p.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    Ok(simes_sorted(&sorted))
}

fn simes_sorted(sorted: &[f64]) -> f64 {
    let m = sorted.len() as f64;
    sorted.iter().enumerate().fold(1.0, |least, (i, p)| least.min(m * p / (i + 1) as f64))
}

fn check(p: &[f64]) -> Result<(), StatsError> {
    let Some(index) = p.iter().position(|p| !(0.0..=1.0).contains(p)) else {
        return Ok(());
    };
    let value = p[index];
    Err(if value.is_nan() {
        StatsError::Nan { argument: "p", index }
    } else {
        StatsError::OutOfRange { argument: "p", index, value, low: 0.0, high: 1.0 }
    })
}

/// Adjusts p-values; the answer is in the order of the input. O(m log m), for [`Correction::Hommel`] O(m²).
///
/// # Errors
/// [`StatsError::Nan`] or [`StatsError::OutOfRange`] for a value outside [0, 1]. No values, no error: the answer is empty.
///
/// ```
/// use mlops_core::num::multiple::{Correction, adjust};
///
/// let adjusted = adjust(&[0.01, 0.04, 0.03], Correction::BenjaminiHochberg)?;
/// assert_eq!(adjusted, [0.03, 0.04, 0.04]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn adjust(p: &[f64], correction: Correction) -> Result<Vec<f64>, StatsError> {
    check(p)?;
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
        Correction::Hommel => {
            let sorted: Vec<f64> = order.iter().map(|&i| p[i]).collect();
            order.iter().zip(hommel(&sorted)).for_each(|(&i, value)| adjusted[i] = value);
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

/// Hommel's adjustment of p-values in ascending order, by the algorithm of Wright, *Adjusted p-values for simultaneous
/// inference*, Biometrics 48, 1992: for every size s of a set, the least p that a set of that size with this test can have.
fn hommel(sorted: &[f64]) -> Vec<f64> {
    let n = sorted.len();
    let mut adjusted = vec![simes_sorted(sorted); n];
    for size in (2..n).rev() {
        let (heads, tails) = sorted.split_at(n - size + 1);
        let s = size as f64;
        let tail = tails.iter().enumerate().fold(1.0_f64, |least, (i, p)| least.min(s * p / (i + 2) as f64));
        let mut last = tail;
        for (value, p) in adjusted.iter_mut().zip(heads) {
            last = (s * p).min(tail);
            *value = value.max(last);
        }
        adjusted[n - size + 1..].iter_mut().for_each(|value| *value = value.max(last));
    }
    adjusted.iter().zip(sorted).map(|(value, p)| value.max(*p)).collect()
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
    fn hommel_is_closed_testing_with_simes() {
        for p in [&P[..], &[0.01], &[0.04, 0.03], &[0.02, 0.02, 0.02, 0.9], &[0.0, 1.0, 0.5, 0.011, 0.012]] {
            let adjusted = adjust(p, Correction::Hommel).unwrap();
            for (i, value) in adjusted.iter().enumerate() {
                // By the definition: the largest p of any set of tests that holds this one.
                let sets = (1_u32..1 << p.len()).filter(|set| set >> i & 1 == 1);
                let of_set = |set: u32| {
                    let members: Vec<f64> =
                        (0..p.len()).filter(|j| set >> j & 1 == 1).map(|j| p[j]).collect();
                    simes(&members).unwrap()
                };
                let expected = sets.map(of_set).fold(0.0, f64::max);
                assert!((value - expected).abs() <= 1e-15, "{p:?} {i}: {value} {expected}");
            }
        }
    }

    #[test]
    fn simes_is_the_smallest_discovery_rate() {
        let discovery = adjust(&P, Correction::BenjaminiHochberg).unwrap();
        assert_eq!(simes(&P).unwrap(), discovery.iter().copied().fold(1.0, f64::min));
        assert!(simes(&[0.5, f64::NAN]).is_err());
        assert_eq!(simes(&[1.0, 1.0]), Ok(1.0));
    }

    #[test]
    fn an_adjusted_value_is_never_smaller_than_its_own() {
        for (correction, _) in REFERENCE {
            let adjusted = adjust(&P, correction).unwrap();
            assert!(adjusted.iter().zip(P).all(|(a, p)| *a >= p && *a <= 1.0), "{correction:?}");
        }
    }
}
