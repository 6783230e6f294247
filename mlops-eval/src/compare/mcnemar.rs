//! Two shares on the same rows: McNemar's tests, and intervals for the difference.

use mlops_core::num::special::{Binomial, ln_chi2_sf, ln_normal_sf, normal_quantile};
use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::counts::PairedCounts;
use super::equivalence::Difference;
use super::result::{Alternative, Method, TestResult, ln_p_normal};
use crate::interval::{Interval, check_confidence, wilson};

/// Which of McNemar's tests.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum McnemarKind {
    /// Exact probabilities, of which the observed one counts half. Keeps its level in practice and is far less conservative than
    /// [`Exact`](Self::Exact) (M. Fagerland, S. Lydersen, P. Laake, *The McNemar test for binary matched-pairs data*, BMC Medical
    /// Research Methodology 13, 2013). The default.
    #[default]
    MidP,
    /// Exact probabilities: never rejects too often.
    Exact,
    /// (b − c)²/(b + c) is χ² with one degree of freedom.
    ChiSquare,
    /// (|b − c| − 1)²/(b + c), Edwards' continuity correction; 0 for b = c.
    Corrected,
}

/// McNemar's test that two paired shares are equal, by [`McnemarKind::MidP`].
///
/// With c rows where only the first succeeds and b where only the second, b is binomial with b + c trials and probability ½ under
/// equality. Without such rows nothing differs and p is 1. The difference is that of the shares, second minus first, over all
/// rows counted, with Tango's interval. Agrees with statsmodels 0.15.0 (`mcnemar`) to 1e-12.
///
/// ```
/// use mlops_eval::compare::{PairedCounts, mcnemar};
///
/// let test = mcnemar(&PairedCounts { both: 80, only_first: 3, only_second: 9, neither: 8 })?;
/// assert_eq!(test.difference.value(), Some(0.06));
/// assert!(test.p.value().is_some_and(|p| (p - 0.0923).abs() < 1e-4));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`mcnemar_with`].
pub fn mcnemar(counts: &PairedCounts) -> Result<TestResult, StatsError> {
    mcnemar_with(counts, McnemarKind::MidP, Alternative::TwoSided, 0.95)
}

/// [`mcnemar`] of a kind, against an alternative, with an interval of some confidence.
///
/// One-sided χ² tests use the signed root of the statistic.
///
/// ```
/// use mlops_eval::compare::{Alternative, McnemarKind, PairedCounts, mcnemar_with};
/// let counts = PairedCounts::discordant(0, 5);
/// let test = mcnemar_with(&counts, McnemarKind::Exact, Alternative::Greater, 0.95)?;
/// assert!(test.p.value().is_some_and(|p| (p - 1.0 / 32.0).abs() < 1e-15));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::ZeroTotal`] without rows; [`StatsError::Overflow`] from 2⁵³ rows on; [`StatsError::Parameter`] for a
/// confidence outside (0, 1).
pub fn mcnemar_with(
    counts: &PairedCounts,
    kind: McnemarKind,
    alternative: Alternative,
    confidence: f64,
) -> Result<TestResult, StatsError> {
    let interval = tango(counts, confidence)?;
    let difference = Measured::Value(point(counts));
    let (b, c) = (counts.only_second, counts.only_first);
    let method = match kind {
        McnemarKind::MidP => Method::McnemarMidP,
        McnemarKind::Exact => Method::McnemarExact,
        McnemarKind::ChiSquare => Method::McnemarChiSquare,
        McnemarKind::Corrected => Method::McnemarCorrected,
    };
    let result = if b + c == 0 {
        TestResult::nothing_differs(method, alternative)
    } else {
        let (statistic, ln_p) = match kind {
            McnemarKind::MidP => (b as f64, ln_exact(b, b + c, alternative, true)),
            McnemarKind::Exact => (b as f64, ln_exact(b, b + c, alternative, false)),
            McnemarKind::ChiSquare => chi_square(b, c, 0.0, alternative),
            McnemarKind::Corrected => chi_square(b, c, 1.0, alternative),
        };
        TestResult::new(method, alternative, Measured::Value(statistic), Measured::Value(ln_p))
    };
    Ok(result.with(difference, Some(interval), counts.rows()))
}

/// ln p of k successes in n fair trials; a mid-p counts half of the probability of k itself.
pub(super) fn ln_exact(k: u64, n: u64, alternative: Alternative, mid: bool) -> f64 {
    let law = Binomial { trials: n, probability: 0.5 };
    let less_half = |ln_tail: f64| {
        if mid { ln_tail + (-0.5 * (law.ln_pmf(k) - ln_tail).exp()).ln_1p() } else { ln_tail }
    };
    match alternative {
        Alternative::Greater => less_half(law.ln_above(k)),
        Alternative::Less => less_half(law.ln_below(k)),
        Alternative::TwoSided => {
            let ln_tail = law.ln_below(k.min(n - k));
            (less_half(ln_tail) + std::f64::consts::LN_2).min(0.0)
        }
    }
}

fn chi_square(b: u64, c: u64, correction: f64, alternative: Alternative) -> (f64, f64) {
    let (b, c) = (b as f64, c as f64);
    let root = ((b - c).abs() - correction).max(0.0) / (b + c).sqrt();
    let statistic = root * root;
    match alternative {
        Alternative::TwoSided => (statistic, ln_chi2_sf(statistic, 1.0)),
        one_sided => (statistic, ln_p_normal(root.copysign(b - c), one_sided)),
    }
}

fn point(counts: &PairedCounts) -> f64 {
    (counts.only_second as f64 - counts.only_first as f64) / counts.rows() as f64
}

fn check(counts: &PairedCounts, confidence: f64) -> Result<(), StatsError> {
    check_confidence(confidence)?;
    let rows = counts.rows();
    if rows == 0 {
        return Err(StatsError::ZeroTotal { argument: "counts" });
    }
    if rows >= 1 << 53 {
        return Err(StatsError::Overflow { what: "the number of rows" });
    }
    Ok(())
}

/// Tango's score interval for a difference of paired shares, second minus first: the differences that a score test does not
/// reject. In [−1, 1]; contains 0 exactly when McNemar's uncorrected χ² test does not reject.
///
/// T. Tango, *Equivalence test and confidence interval for the difference in proportions for the paired-sample design*,
/// Statistics in Medicine 17, 1998. Keeps its coverage for small n and rare disagreement. By bisection, to the last digit.
///
/// ```
/// use mlops_eval::compare::{PairedCounts, tango};
///
/// let interval = tango(&PairedCounts { both: 43, only_first: 0, only_second: 1, neither: 0 }, 0.95)?;
/// assert!(interval.lower < 0.0 && interval.contains(1.0 / 44.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`mcnemar_with`].
pub fn tango(counts: &PairedCounts, confidence: f64) -> Result<Interval, StatsError> {
    check(counts, confidence)?;
    let z = normal_quantile(confidence);
    // The statistic falls in the null difference: from +z at the lower limit to −z at the upper one.
    let lower = crossing(-1.0, point(counts), |null| score(counts, null) > z);
    let upper = crossing(point(counts), 1.0, |null| score(counts, null) > -z);
    Ok(Interval { lower, upper, confidence })
}

/// Where `above` turns from true to false between `low` and `high`.
fn crossing(mut low: f64, mut high: f64, above: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if above(middle) { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// (b − c − nδ) over its standard error where the shares differ by δ and are otherwise as likely as can be.
fn score(counts: &PairedCounts, null: f64) -> f64 {
    let (n, b, c) = (counts.rows() as f64, counts.only_second as f64, counts.only_first as f64);
    let distance = b - c - n * null;
    // 2n·q² + B·q − c·δ(1 − δ) = 0 for q, the probability that only the first succeeds.
    let linear = (2.0 * n - b + c) * null - b - c;
    let constant = c * null * (1.0 - null);
    let root = (linear * linear + 8.0 * n * constant).max(0.0).sqrt();
    // The stable one of the two forms of the larger root.
    let q = if linear <= 0.0 {
        (root - linear) / (4.0 * n)
    } else if constant == 0.0 {
        0.0
    } else {
        2.0 * constant / (root + linear)
    };
    let q = q.clamp((-null).max(0.0), 1.0);
    let variance = n * (2.0 * q + null * (1.0 - null)).max(0.0);
    if distance == 0.0 {
        return 0.0;
    }
    distance / variance.sqrt()
}

/// Newcombe's hybrid score interval for a difference of paired shares, second minus first: his method 10, from the Wilson
/// intervals of both shares and a correlation that is corrected towards 0. In [−1, 1]; closed form.
///
/// R. Newcombe, *Improved confidence intervals for the difference between binomial proportions based on paired data*,
/// Statistics in Medicine 17, 1998.
///
/// ```
/// use mlops_eval::compare::{PairedCounts, newcombe_paired};
///
/// let interval = newcombe_paired(&PairedCounts { both: 1, only_first: 1, only_second: 7, neither: 12 }, 0.95)?;
/// assert!(interval.contains(6.0 / 21.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`mcnemar_with`].
pub fn newcombe_paired(counts: &PairedCounts, confidence: f64) -> Result<Interval, StatsError> {
    check(counts, confidence)?;
    let n = counts.rows();
    let (e, f, g, h) =
        (counts.both as f64, counts.only_first as f64, counts.only_second as f64, counts.neither as f64);
    let (first, second) = ((e + f) / n as f64, (e + g) / n as f64);
    let of_first = wilson(counts.both + counts.only_first, n, confidence)?;
    let of_second = wilson(counts.both + counts.only_second, n, confidence)?;
    // In shares, so that products of counts stay in range.
    let share = |x: f64| x / n as f64;
    let (row, column) = (share(e + f) * share(g + h), share(e + g) * share(f + h));
    let spread = (row * column).sqrt();
    let together = share(e) * share(h) - share(f) * share(g);
    let corrected = if together > 0.0 { (together - 0.5 / n as f64).max(0.0) } else { together };
    let correlation = if spread > 0.0 { corrected / spread } else { 0.0 };
    let hybrid = |x: f64, y: f64| (x * x - 2.0 * correlation * x * y + y * y).max(0.0).sqrt();
    let difference = point(counts);
    let down = hybrid(second - of_second.lower, of_first.upper - first);
    let up = hybrid(of_second.upper - second, first - of_first.lower);
    Ok(Interval { lower: (difference - down).max(-1.0), upper: (difference + up).min(1.0), confidence })
}

/// Tango's score, as evidence about a difference of shares.
impl Difference for PairedCounts {
    fn method(&self) -> Method {
        Method::Tango
    }

    fn n(&self) -> u64 {
        self.rows()
    }

    fn estimate(&self) -> Measured {
        match check(self, 0.95) {
            Ok(()) => Measured::Value(point(self)),
            Err(_) => Measured::none(UndefinedReason::TooFew, 0, 1),
        }
    }

    fn ln_p_at_most(&self, null: f64) -> Measured {
        one_sided(self, null, ln_normal_sf)
    }

    fn ln_p_at_least(&self, null: f64) -> Measured {
        one_sided(self, null, |z| ln_normal_sf(-z))
    }

    fn interval(&self, confidence: f64) -> Result<Option<Interval>, StatsError> {
        tango(self, confidence).map(Some)
    }
}

fn one_sided(counts: &PairedCounts, null: f64, tail: impl Fn(f64) -> f64) -> Measured {
    if check(counts, 0.95).is_err() {
        return Measured::none(UndefinedReason::TooFew, 0, 1);
    }
    // Outside (−1, 1) nothing is uncertain, and a tail has no number.
    let z = if null.abs() < 1.0 { score(counts, null) } else { f64::NAN };
    if z.is_finite() { Measured::Value(tail(z)) } else { Measured::none(UndefinedReason::Constant, 0, 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tango_agrees_with_mcnemar_about_zero() {
        for (c, b) in [(1, 9), (5, 14), (20, 33), (33, 20), (0, 4), (7, 7)] {
            let counts = PairedCounts { both: 50, only_first: c, only_second: b, neither: 11 };
            let test = mcnemar_with(&counts, McnemarKind::ChiSquare, Alternative::TwoSided, 0.95).unwrap();
            let rejects = test.p.value().unwrap() < 0.05;
            assert_eq!(test.interval.unwrap().contains(0.0), !rejects, "{c} {b}");
            let one_sided = counts.ln_p_at_most(0.0).value().unwrap().exp();
            let two_sided = 2.0 * one_sided.min(1.0 - one_sided);
            assert!((two_sided - test.p.value().unwrap()).abs() < 1e-12);
        }
    }

    #[test]
    fn without_disagreement_the_interval_still_has_a_width() {
        let counts = PairedCounts { both: 100, ..Default::default() };
        let interval = tango(&counts, 0.95).unwrap();
        let z2 = normal_quantile(0.95).powi(2);
        assert!((interval.upper - z2 / (100.0 + z2)).abs() < 1e-12);
        assert!((interval.lower + interval.upper).abs() < 1e-12);
        assert_eq!(mcnemar(&counts).unwrap().p, Measured::Value(1.0));
    }

    #[test]
    fn intervals_lie_around_the_difference_for_any_counts() {
        let sizes = [0, 1, 2, 50, 1 << 40];
        for both in sizes {
            for only_first in sizes {
                for only_second in sizes {
                    for neither in sizes {
                        let counts = PairedCounts { both, only_first, only_second, neither };
                        if counts.rows() == 0 {
                            assert!(tango(&counts, 0.95).is_err());
                            continue;
                        }
                        let difference = point(&counts);
                        for interval in
                            [tango(&counts, 0.95).unwrap(), newcombe_paired(&counts, 0.95).unwrap()]
                        {
                            assert!(
                                interval.lower <= difference + 1e-12 && difference <= interval.upper + 1e-12
                            );
                            assert!(
                                interval.lower >= -1.0 && interval.upper <= 1.0,
                                "{counts:?} {interval:?}"
                            );
                        }
                        for kind in [
                            McnemarKind::MidP,
                            McnemarKind::Exact,
                            McnemarKind::ChiSquare,
                            McnemarKind::Corrected,
                        ] {
                            for alternative in
                                [Alternative::TwoSided, Alternative::Greater, Alternative::Less]
                            {
                                let p =
                                    mcnemar_with(&counts, kind, alternative, 0.9).unwrap().p.value().unwrap();
                                assert!((0.0..=1.0).contains(&p));
                            }
                        }
                    }
                }
            }
        }
    }
}
