//! Intervals around the difference of two independent rates.

use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

use super::root::root;
use super::{Interval, Rate, check_confidence, normal_quantile, wilson_share};

/// How the interval around a difference p₁ − p₂ of independent rates is made; z is the normal quantile.
///
/// | method | interval |
/// |---|---|
/// | Miettinen–Nurminen (1985) | the δ with (p₁ − p₂ − δ)² ≤ z² (p̃₁q̃₁/n₁ + p̃₂q̃₂/n₂) N/(N−1), where p̃ are the most likely rates that differ by δ |
/// | Newcombe (1998), method 10 | d − √((p₁−l₁)² + (u₂−p₂)²) to d + √((u₁−p₁)² + (p₂−l₂)²), from Wilson's l and u |
/// | Agresti–Caffo (2000) | the normal interval with one success and one failure added to each side |
/// | Wald | d ± z √(p₁q₁/n₁ + p₂q₂/n₂); collapses at rates of 0 and 1, for comparison only |
///
/// Review: Fagerland, Lydersen, Laake, *Recommended confidence intervals for two independent binomial proportions*,
/// Statistical Methods in Medical Research 24, 2015.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceInterval {
    /// Miettinen and Nurminen's score interval. The default: coverage near nominal down to a few rows.
    #[default]
    MiettinenNurminen,
    /// Newcombe's hybrid of two Wilson intervals.
    Newcombe,
    /// Agresti and Caffo's adjusted normal interval, cut to [−1, 1].
    AgrestiCaffo,
    /// The normal interval, cut to [−1, 1].
    Wald,
}

impl DifferenceInterval {
    /// The interval; both rates have trials and the confidence has been checked.
    pub(crate) fn limits(self, first: Rate, second: Rate, confidence: f64) -> Interval {
        let z = normal_quantile(confidence);
        let (lower, upper) = match self {
            Self::MiettinenNurminen => (score_lower(first, second, z), -score_lower(second, first, z)),
            Self::Newcombe => newcombe(first, second, confidence),
            Self::AgrestiCaffo => normal(first, second, 1.0, z),
            Self::Wald => normal(first, second, 0.0, z),
        };
        let lower = lower.clamp(-1.0, 1.0);
        // Each limit is rounded by itself, which shows where they meet.
        Interval { lower, upper: upper.clamp(-1.0, 1.0).max(lower), confidence }
    }
}

/// An interval around `first` − `second`, two rates of independent rows, in [−1, 1]. O(1).
///
/// Agrees with statsmodels 0.15.0 (`confint_proportions_2indep`, cut to [−1, 1]) to 1e-12, but for the score interval, whose
/// constrained rates there do not maximise the likelihood; that one agrees with its definition, solved by SciPy 1.17.1, to
/// 1e-10, and with the intervals that Newcombe printed.
///
/// ```
/// use mlops_eval::interval::{DifferenceInterval, Rate, difference_interval};
///
/// // Newcombe (1998), table II, case (a): 56/70 against 48/80.
/// let (first, second) = (Rate::new(56, 70)?, Rate::new(48, 80)?);
/// let interval = difference_interval(first, second, 0.95, DifferenceInterval::Newcombe)?;
/// assert!((interval.lower - 0.0524).abs() < 5e-5 && (interval.upper - 0.3339).abs() < 5e-5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::ZeroTotal`] without trials on one side; [`StatsError::Parameter`] for a confidence outside (0, 1).
pub fn difference_interval(
    first: Rate,
    second: Rate,
    confidence: f64,
    method: DifferenceInterval,
) -> Result<Interval, StatsError> {
    check_confidence(confidence)?;
    first.has_trials("first")?;
    second.has_trials("second")?;
    Ok(method.limits(first, second, confidence))
}

fn newcombe(first: Rate, second: Rate, confidence: f64) -> (f64, f64) {
    let (p1, p2) = (first.share(), second.share());
    let w1 = wilson_share(first.k(), first.n(), confidence);
    let w2 = wilson_share(second.k(), second.n(), confidence);
    let difference = p1 - p2;
    (difference - (p1 - w1.lower).hypot(w2.upper - p2), difference + (w1.upper - p1).hypot(p2 - w2.lower))
}

/// The normal interval with `added` successes and as many failures on each side.
fn normal(first: Rate, second: Rate, added: f64, z: f64) -> (f64, f64) {
    let (p1, v1) = moments(first, added);
    let (p2, v2) = moments(second, added);
    let half = z * (v1 + v2).sqrt();
    (p1 - p2 - half, p1 - p2 + half)
}

/// A rate and its variance, with `added` successes and as many failures.
pub(crate) fn moments(rate: Rate, added: f64) -> (f64, f64) {
    let trials = rate.n() + 2.0 * added;
    let share = (rate.k() + added) / trials;
    (share, share * (1.0 - share) / trials)
}

/// The smallest difference that the score test does not reject.
fn score_lower(first: Rate, second: Rate, z: f64) -> f64 {
    let difference = first.share() - second.share();
    let excess = |delta: f64| difference - delta - z * score_error(first, second, delta);
    if excess(-1.0) <= 0.0 {
        return -1.0;
    }
    // Without any spread at the estimate the excess is 0 there, too; the limit lies at about z²/N from it.
    let step =
        if excess(difference) < 0.0 { 0.0 } else { 1e-3 * (z * z / (first.n() + second.n())).min(1.0) };
    root(-1.0, (difference - step).max(-1.0), excess)
}

/// Miettinen and Nurminen's standard error of the difference under p₁ − p₂ = δ.
pub(crate) fn score_error(first: Rate, second: Rate, delta: f64) -> f64 {
    let rows = first.n() + second.n();
    let p2 = most_likely(first, second, delta);
    let p1 = (p2 + delta).clamp(0.0, 1.0);
    let variance = p1 * (1.0 - p1) / first.n() + p2 * (1.0 - p2) / second.n();
    (variance * (rows / (rows - 1.0))).sqrt()
}

/// The most likely p₂ when p₁ = p₂ + δ: the root of a cubic, whose closed form is the start of Newton's method between the
/// bounds that it has.
fn most_likely(first: Rate, second: Rate, delta: f64) -> f64 {
    let (x1, n1, x2, n2) = (first.k(), first.n(), second.k(), second.n());
    let (rows, successes) = (n1 + n2, x1 + x2);
    let (mut low, mut high) = ((-delta).max(0.0), (1.0 - delta).min(1.0));
    let l2 = ((n1 + 2.0 * n2) * delta - rows - successes) / rows;
    let l1 = (n2 * delta * delta - delta * (rows + 2.0 * x2) + successes) / rows;
    let l0 = x2 * delta * (1.0 - delta) / rows;
    let third = l2 / 3.0;
    let q = third * third * third - l1 * third / 2.0 + l0 / 2.0;
    let radius = (third * third - l1 / 3.0).max(0.0).sqrt().copysign(q);
    let angle = (std::f64::consts::PI + (q / (radius * radius * radius)).clamp(-1.0, 1.0).acos()) / 3.0;
    let mut p = 2.0 * radius * angle.cos() - third;
    if !(p >= low && p <= high) {
        p = if p > high { high } else { low };
    }
    // The derivative of the likelihood, times what is positive: it falls through 0 between the bounds, or has one sign. That it is
    // 0 at a bound, and rises from there, says nothing.
    for _ in 0..60 {
        // Not by the cubic's coefficients, whose rounding drowns rates near 0 and 1.
        let p1 = p + delta;
        let slope = (x1 - n1 * p1) * p * (1.0 - p) + (x2 - n2 * p) * p1 * (1.0 - p1);
        let slope = slope / rows;
        let bend = (3.0 * p + 2.0 * l2) * p + l1;
        if slope == 0.0 && bend <= 0.0 {
            break;
        }
        if slope > 0.0 {
            low = p;
        } else if slope < 0.0 {
            high = p;
        }
        let newton = p - slope / bend;
        let next = if newton > low && newton < high { newton } else { f64::midpoint(low, high) };
        let done = (next - p).abs() <= f64::EPSILON * p;
        p = next;
        if done {
            break;
        }
    }
    p
}

#[cfg(test)]
mod tests {
    use super::*;

    const METHODS: [DifferenceInterval; 4] = [
        DifferenceInterval::MiettinenNurminen,
        DifferenceInterval::Newcombe,
        DifferenceInterval::AgrestiCaffo,
        DifferenceInterval::Wald,
    ];

    fn rate(k: u64, n: u64) -> Rate {
        Rate::new(k, n).unwrap()
    }

    #[test]
    fn changing_sides_changes_the_sign() {
        for method in METHODS {
            for (first, second) in
                [(rate(3, 10), rate(40, 50)), (rate(0, 4), rate(4, 4)), (rate(0, 1), rate(0, 9))]
            {
                let there = difference_interval(first, second, 0.9, method).unwrap();
                let back = difference_interval(second, first, 0.9, method).unwrap();
                assert!((there.lower + back.upper).abs() < 1e-12, "{method:?} {first:?} {second:?}");
                assert!(there.lower <= there.upper && there.lower >= -1.0 && there.upper <= 1.0);
            }
        }
    }

    #[test]
    fn the_score_interval_ends_where_the_score_test_rejects() {
        for (k1, n1) in [(0_u64, 1_u64), (0, 8), (3, 8), (8, 8), (700, 1_000), (1, 1_000_000)] {
            for (k2, n2) in [(0_u64, 3_u64), (1, 3), (3, 3), (40, 900), (999_999, 1_000_000)] {
                let (first, second) = (rate(k1, n1), rate(k2, n2));
                let interval =
                    difference_interval(first, second, 0.95, DifferenceInterval::MiettinenNurminen).unwrap();
                let difference = first.share() - second.share();
                assert!(interval.contains(difference));
                let z = |delta: f64| (difference - delta) / score_error(first, second, delta);
                // Near −1 and 1 the statistic changes within an ulp of the limit.
                let quantile = 1.959_963_984_540_054;
                let context = format!("{first:?} {second:?} {interval:?}");
                if interval.lower > -1.0 {
                    let around = [z((interval.lower - 1e-10).max(-1.0)), z(interval.lower + 1e-10)];
                    assert!(around[0] > quantile && around[1] < quantile, "{context} {around:?}");
                }
                if interval.upper < 1.0 {
                    let around = [z((interval.upper + 1e-10).min(1.0)), z(interval.upper - 1e-10)];
                    assert!(around[0] < -quantile && around[1] > -quantile, "{context} {around:?}");
                }
            }
        }
    }

    #[test]
    fn the_constrained_rate_is_most_likely() {
        for (k1, n1, k2, n2) in [(3_u64, 8_u64, 2_u64, 9_u64), (0, 5, 2, 5), (5, 5, 0, 3), (30, 70, 1, 2)] {
            for delta in [-0.9, -0.3, -1e-9, 0.0, 0.2, 0.7] {
                let likelihood = |p2: f64| {
                    let term = |count: f64, share: f64| if count == 0.0 { 0.0 } else { count * share.ln() };
                    let p1 = p2 + delta;
                    term(k1 as f64, p1)
                        + term((n1 - k1) as f64, 1.0 - p1)
                        + term(k2 as f64, p2)
                        + term((n2 - k2) as f64, 1.0 - p2)
                };
                let best = most_likely(rate(k1, n1), rate(k2, n2), delta);
                let (low, high) = (f64::max(0.0, -delta), f64::min(1.0, 1.0 - delta));
                assert!(best >= low && best <= high);
                for i in 1..200 {
                    let other = low + (high - low) * f64::from(i) / 200.0;
                    assert!(
                        likelihood(best) >= likelihood(other) - 1e-9,
                        "{k1}/{n1} {k2}/{n2} {delta} {best} {other}"
                    );
                }
            }
        }
    }

    #[test]
    fn sides_without_trials_are_named() {
        let error = difference_interval(rate(1, 2), rate(0, 0), 0.95, DifferenceInterval::Wald).unwrap_err();
        assert_eq!(error, StatsError::ZeroTotal { argument: "second" });
    }
}
