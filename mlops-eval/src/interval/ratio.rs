//! Intervals around the ratio of two independent rates.

use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

use super::root::root;
use super::{Interval, Rate, check_confidence, normal_quantile};

/// How the interval around a ratio p₁ / p₂ of independent rates is made; z is the normal quantile.
///
/// | method | interval |
/// |---|---|
/// | Koopman (1984) | the φ with (p₁ − φp₂)² ≤ z² (p̃₁q̃₁/n₁ + φ²p̃₂q̃₂/n₂), where p̃ are the most likely rates of ratio φ |
/// | Miettinen–Nurminen (1985) | Koopman's with the variance times N/(N−1) |
/// | Katz (1978) | ln(p₁/p₂) ± z √(1/x₁ − 1/n₁ + 1/x₂ − 1/n₂); 0 to ∞ without successes on a side, a point where all succeed |
/// | Walter (1975) | Katz's with ½ added to successes and trials |
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RatioInterval {
    /// Koopman's score interval. The default.
    #[default]
    Koopman,
    /// Miettinen and Nurminen's score interval.
    MiettinenNurminen,
    /// Katz's logarithmic interval.
    Katz,
    /// Walter's adjusted logarithmic interval.
    Walter,
}

impl RatioInterval {
    /// The interval; both rates have trials and the confidence has been checked.
    pub(crate) fn limits(self, first: Rate, second: Rate, confidence: f64) -> Interval {
        let z = normal_quantile(confidence);
        let rows = first.n() + second.n();
        let score = |factor: f64| {
            let z = z * factor;
            (score_lower(first, second, z), 1.0 / score_lower(second, first, z))
        };
        let (lower, upper) = match self {
            Self::Koopman => score(1.0),
            Self::MiettinenNurminen => score((rows / (rows - 1.0)).sqrt()),
            Self::Katz => logarithmic(first, second, 0.0, z),
            Self::Walter => logarithmic(first, second, 0.5, z),
        };
        // Each limit is rounded by itself, which shows where they meet.
        Interval { lower, upper: upper.max(lower), confidence }
    }
}

/// An interval around `first` / `second`, two rates of independent rows, in [0, ∞]. The upper limit is infinite when
/// `second` has no successes. Agrees with statsmodels 0.15.0 (`confint_proportions_2indep`) to 1e-10, relatively. O(1).
///
/// ```
/// use mlops_eval::interval::{Rate, RatioInterval, ratio_interval};
///
/// let four_fifths = ratio_interval(Rate::new(40, 100)?, Rate::new(50, 100)?, 0.95, RatioInterval::Koopman)?;
/// assert!(four_fifths.contains(0.8) && four_fifths.contains(1.0));
/// let nobody = ratio_interval(Rate::new(3, 9)?, Rate::new(0, 9)?, 0.95, RatioInterval::Koopman)?;
/// assert_eq!(nobody.upper, f64::INFINITY);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::ZeroTotal`] without trials on one side; [`StatsError::Parameter`] for a confidence outside (0, 1).
pub fn ratio_interval(
    first: Rate,
    second: Rate,
    confidence: f64,
    method: RatioInterval,
) -> Result<Interval, StatsError> {
    check_confidence(confidence)?;
    first.has_trials("first")?;
    second.has_trials("second")?;
    Ok(method.limits(first, second, confidence))
}

fn logarithmic(first: Rate, second: Rate, added: f64, z: f64) -> (f64, f64) {
    let (x1, n1) = (first.k() + added, first.n() + added);
    let (x2, n2) = (second.k() + added, second.n() + added);
    if x1 == 0.0 || x2 == 0.0 {
        return (0.0, f64::INFINITY);
    }
    let center = (x1 / n1 * (n2 / x2)).ln();
    let half = z * ((1.0 / x1 - 1.0 / n1) + (1.0 / x2 - 1.0 / n2)).sqrt();
    ((center - half).exp(), (center + half).exp())
}

/// The smallest ratio that the score test does not reject.
fn score_lower(first: Rate, second: Rate, z: f64) -> f64 {
    if first.successes() == 0 {
        return 0.0;
    }
    let (p1, p2) = (first.share(), second.share());
    let excess = |ln_ratio: f64| {
        let ratio = ln_ratio.exp();
        p1 - ratio * p2 - z * score_error(first, second, ratio)
    };
    // At the estimate the excess is not positive; far enough below it is, because everything but p₁ vanishes.
    let high = if p2 > 0.0 { (p1 / p2).ln() } else { (2.0 * second.n()).ln() + z * z };
    // Where all rows succeed there is no spread at the estimate; the limit lies at about z²/N from it.
    let step = if excess(high) < 0.0 { 0.0 } else { 1e-3 * (z * z / (first.n() + second.n())).min(1.0) };
    let high = high - step;
    let mut low = high - 1.0;
    while excess(low) <= 0.0 {
        low = high - 2.0 * (high - low);
        if low < -700.0 {
            return 0.0;
        }
    }
    root(low, high, excess).exp()
}

/// The standard error of p₁ − φ·p₂ at the most likely rates of ratio φ.
fn score_error(first: Rate, second: Rate, ratio: f64) -> f64 {
    let (x1, n1, x2, n2) = (first.k(), first.n(), second.k(), second.n());
    let linear = ratio * (n1 + x2) + x1 + n2;
    let product = (n1 + n2) * ratio * (x1 + x2);
    // The smaller root of N·φ·p² − linear·p + (x₁ + x₂), written without a difference.
    let p2 = 2.0 * (x1 + x2) / (linear + (linear * linear - 4.0 * product).max(0.0).sqrt());
    let p2 = p2.min(1.0).min(1.0 / ratio);
    let p1 = (ratio * p2).min(1.0);
    (p1 * (1.0 - p1) / n1 + ratio * ratio * p2 * (1.0 - p2) / n2).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const METHODS: [RatioInterval; 4] = [
        RatioInterval::Koopman,
        RatioInterval::MiettinenNurminen,
        RatioInterval::Katz,
        RatioInterval::Walter,
    ];

    #[test]
    fn changing_sides_inverts_the_limits() {
        for method in METHODS {
            for (a, b) in
                [((3, 10), (40, 50)), ((1, 4), (4, 4)), ((1, 1_000_000), (900, 1_000)), ((2, 9), (0, 5))]
            {
                let (first, second) = (Rate::new(a.0, a.1).unwrap(), Rate::new(b.0, b.1).unwrap());
                let there = ratio_interval(first, second, 0.9, method).unwrap();
                let back = ratio_interval(second, first, 0.9, method).unwrap();
                assert!(
                    (there.lower * back.upper - 1.0).abs() < 1e-9 || there.lower == 0.0,
                    "{method:?} {a:?} {b:?}"
                );
                assert!(there.lower <= there.upper && there.lower >= 0.0);
                if b.0 > 0 {
                    assert!(
                        there.contains(first.share() / second.share()) || method == RatioInterval::Walter
                    );
                }
            }
        }
    }

    #[test]
    fn without_successes_nothing_bounds_the_ratio_on_that_side() {
        let (none, some) = (Rate::new(0, 9).unwrap(), Rate::new(4, 9).unwrap());
        let interval = ratio_interval(none, some, 0.95, RatioInterval::Koopman).unwrap();
        assert!(interval.lower == 0.0 && interval.upper > 0.0 && interval.upper < 1.0);
        let both = ratio_interval(none, none, 0.95, RatioInterval::Koopman).unwrap();
        assert_eq!((both.lower, both.upper), (0.0, f64::INFINITY));
        let text = serde_json::to_string(&both).unwrap();
        assert_eq!(serde_json::from_str::<Interval>(&text).unwrap(), both);
    }
}
