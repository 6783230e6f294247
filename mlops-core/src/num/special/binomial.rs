//! The binomial law: how many of n trials succeed.

use super::{excess, ln_f_sf, stirling_remainder};

/// `trials` trials, each with the same `probability` in [0, 1] of success; at most 2⁵³ trials.
///
/// Tails are incomplete beta functions, P(X ≥ k) = I_p(k, n − k + 1), so their cost does not grow with n and they keep their
/// logarithm at any depth.
///
/// ```
/// use mlops_core::num::special::Binomial;
///
/// let coins = Binomial { trials: 4, probability: 0.5 };
/// assert!((coins.ln_pmf(2).exp() - 0.375).abs() < 1e-15);
/// assert!((coins.ln_below(1).exp() - 0.3125).abs() < 1e-14);
/// assert!((coins.ln_above(3).exp() - 0.3125).abs() < 1e-14);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Binomial {
    /// How many trials.
    pub trials: u64,
    /// The probability of success of each.
    pub probability: f64,
}

impl Binomial {
    /// ln P(X = k), by Loader's saddle-point form (C. Loader, *Fast and accurate computation of binomial probabilities*, 2000);
    /// −∞ for what cannot happen.
    pub fn ln_pmf(&self, k: u64) -> f64 {
        let (n, p) = (self.trials, self.probability);
        if k > n || (p <= 0.0 && k > 0) || (p >= 1.0 && k < n) {
            return f64::NEG_INFINITY;
        }
        if p <= 0.0 || p >= 1.0 {
            return 0.0;
        }
        if k == 0 {
            return n as f64 * (-p).ln_1p();
        }
        if k == n {
            return n as f64 * p.ln();
        }
        let (failures, n, k) = ((n - k) as f64, n as f64, k as f64);
        let (expected, missed) = (n * p, n * (1.0 - p));
        let deviance = deviance(k, expected) + deviance(failures, missed);
        let remainder = stirling_remainder(n) - stirling_remainder(k) - stirling_remainder(failures);
        remainder - deviance + 0.5 * (n / (std::f64::consts::TAU * k * failures)).ln()
    }

    /// ln P(X ≤ k).
    pub fn ln_below(&self, k: u64) -> f64 {
        if k >= self.trials {
            return 0.0;
        }
        let mirrored = Self { trials: self.trials, probability: 1.0 - self.probability };
        // At most k successes are at least n − k failures.
        mirrored.upper_tail(self.trials - k, self.probability)
    }

    /// ln P(X ≥ k); −∞ for k above n.
    pub fn ln_above(&self, k: u64) -> f64 {
        if k > self.trials {
            return f64::NEG_INFINITY;
        }
        self.upper_tail(k, 1.0 - self.probability)
    }

    /// ln P(X ≥ k) for k ≤ n, given 1 − p to its own last digit.
    fn upper_tail(&self, k: u64, complement: f64) -> f64 {
        if k == 0 || self.probability >= 1.0 {
            return 0.0;
        }
        if self.probability <= 0.0 {
            return f64::NEG_INFINITY;
        }
        let (successes, others) = (2.0 * k as f64, 2.0 * (self.trials - k + 1) as f64);
        // I_p(k, n − k + 1) as the tail of F where p = d2/(d2 + d1·f).
        ln_f_sf(complement / self.probability * (successes / others), others, successes)
    }
}

/// x·ln(x/m) + m − x.
fn deviance(x: f64, m: f64) -> f64 {
    let relative = (m - x) / x;
    x * if relative.abs() < 0.3 { excess(relative) } else { relative - (m / x).ln() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_add_up_from_the_terms() {
        for (trials, probability) in [(1, 0.3), (7, 0.5), (60, 0.01), (200, 0.97), (1000, 0.5)] {
            let law = Binomial { trials, probability };
            let mass: Vec<f64> = (0..=trials).map(|k| law.ln_pmf(k).exp()).collect();
            for k in 0..=trials {
                let (head, tail) = mass.split_at(usize::try_from(k).unwrap());
                let above: f64 = tail.iter().sum();
                let below: f64 = head.iter().sum::<f64>() + tail[0];
                assert!((law.ln_above(k).exp() - above).abs() < 1e-12, "{law:?} {k}");
                assert!((law.ln_below(k).exp() - below).abs() < 1e-12, "{law:?} {k}");
            }
        }
    }

    #[test]
    fn tails_agree_with_exact_rationals() {
        for &(trials, probability, k, ln_below, ln_above) in TAILS {
            let law = Binomial { trials, probability };
            for (got, expected) in [(law.ln_below(k), ln_below), (law.ln_above(k), ln_above)] {
                let tolerance = 1e-11 * f64::abs(expected).clamp(1e-3, 1.0) + 1e-13 * f64::abs(expected);
                assert!((got - expected).abs() <= tolerance, "{law:?} {k}: {got} is not {expected}");
            }
        }
    }

    #[test]
    fn certain_trials_have_certain_counts() {
        let never = Binomial { trials: 5, probability: 0.0 };
        assert_eq!((never.ln_pmf(0), never.ln_above(1), never.ln_below(0)), (0.0, f64::NEG_INFINITY, 0.0));
        let always = Binomial { trials: 5, probability: 1.0 };
        assert_eq!((always.ln_pmf(5), always.ln_above(5), always.ln_below(4)), (0.0, 0.0, f64::NEG_INFINITY));
        let none = Binomial { trials: 0, probability: 0.5 };
        assert_eq!((none.ln_pmf(0), none.ln_above(0), none.ln_below(0), none.ln_above(1)), {
            (0.0, 0.0, 0.0, f64::NEG_INFINITY)
        });
    }

    /// Trials, probability, k, ln P(X ≤ k) and ln P(X ≥ k), from exact integers of CPython 3.11.
    const TAILS: &[(u64, f64, u64, f64, f64)] = &[
        (10, 0.5, 2, -2.906120114864304, -0.010800301350769714),
        (25, 0.5, 20, -0.00045536393921769664, -6.195463694936858),
        (1000, 0.5, 400, -22.715259239806745, -9.008412706686116e-11),
        (1000, 0.5, 650, -4.321481532604211e-22, -48.5677085170427),
        (1000, 0.125, 3, -120.4195046637349, -1.053121e-54),
        (300, 0.0078125, 0, -2.352953238307768, 0.0),
        (300, 0.0078125, 9, -0.0001529022388693754, -7.28679890854223),
        (2000, 0.75, 1500, -0.676126436241763, -0.669402607132485),
        (2000, 0.75, 1200, -111.54675075514774, -1.79224344705e-49),
        (50, 0.1, 0, -5.268025782891315, 0.0),
        (50, 0.1, 50, 0.0, -115.12925464970228),
    ];
}
