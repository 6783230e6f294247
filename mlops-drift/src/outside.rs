//! The law of what lies beyond the reference: cells that begin at a sample's own extremes.
//!
//! The cells below the smallest and above the largest reference value are empty in the reference by construction, so a χ²
//! law that takes their emptiness for chance alarms too often. But how many of m current values fall beyond the extremes of
//! n reference values has an exact law of its own, the same for every continuous distribution: when nothing drifts all orders
//! of the n + m values are equally likely. Ties only make such values rarer.
//!
//! So p-values on fitted cells come from two tests: the distance with the outer cells counted as part of their
//! neighbours, at 49/50 of the level, and the number of values beyond, at 1/50 (Bonferroni's bound with weights).

use mlops_core::num::Measured;
use statrs::function::gamma::ln_gamma;

use crate::comparison::Comparison;
use crate::pair::Tail;

/// The share of the level that the values beyond the reference get.
const SHARE: f64 = 0.02;

impl Tail {
    /// This tail, of a distance on the folded cells, together with that of the values in the cells that were folded away.
    pub(crate) fn with_outside(self, folded: &Comparison<'_>) -> Self {
        let (ends, beyond) = folded.outside();
        if ends == 0 {
            return self;
        }
        let (n, m) = folded.sizes;
        match self.ln_p {
            // Nothing can vary inside: what lies beyond is the only test.
            Measured::Undefined(_) if beyond > 0.0 => Self::from_ln(ln_beyond(n, m, beyond, ends)),
            Measured::Undefined(_) => self,
            Measured::Value(inside) => {
                let outside = ln_beyond(n, m, beyond, ends) - SHARE.ln();
                Self::from_ln((inside - (1.0 - SHARE).ln()).min(outside).min(0.0))
            }
        }
    }
}

/// ln P(at least s of m values lie beyond one end, or both, of n others) when all orders are equally likely.
///
/// One end: the s largest of all are current, m(m−1)… / N(N−1)… with s factors each. Both: of the first s + 1 values taken in
/// from the outside at most one is a reference value, because the two outer gaps have the law of any two neighbouring ones.
fn ln_beyond(n: f64, m: f64, s: f64, ends: usize) -> f64 {
    let s = s.min(m.floor());
    if s <= 0.0 {
        return 0.0;
    }
    let all = n + m;
    let ln_p = match ends {
        1 => ln_falling(m, s) - ln_falling(all, s),
        _ => ln_falling(m, s) - ln_falling(all, s + 1.0) + (m - s + (s + 1.0) * n).ln(),
    };
    ln_p.min(0.0)
}

/// ln x(x−1)…(x−s+1).
fn ln_falling(x: f64, s: f64) -> f64 {
    const FEW: f64 = 4096.0;
    if s > FEW {
        // The logarithm is large here, so that cancellation is small beside it.
        return ln_gamma(x + 1.0) - ln_gamma(x - s + 1.0);
    }
    let mut total = 0.0;
    let mut i = 0.0;
    while i < s {
        total += (x - i).max(f64::MIN_POSITIVE).ln();
        i += 1.0;
    }
    total
}

/// The mean of a function of how many of m values lie beyond one end of n others: over 64 equally likely numbers, from the geometric
/// law that the exact one is close to.
pub(crate) fn mean_beyond(n: f64, m: f64, of: impl Fn(f64) -> f64) -> f64 {
    const POINTS: u32 = 64;
    let ln_ratio = (m / (n + m)).ln();
    let point = |i: u32| (((f64::from(i) + 0.5) / f64::from(POINTS)).ln() / ln_ratio).floor().min(m);
    (0..POINTS).map(|i| of(point(i))).sum::<f64>() / f64::from(POINTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every order of n reference and m current values, counted one by one.
    fn by_enumeration(n: u32, m: u32, s: u32, ends: usize) -> f64 {
        let all = n + m;
        let (mut hits, mut orders) = (0.0, 0.0);
        // A set bit is a reference value.
        for order in (0_u32..1 << all).filter(|order| order.count_ones() == n) {
            let below = order.trailing_zeros();
            let above = all - (32 - order.leading_zeros());
            let beyond = if ends == 1 { above } else { below + above };
            hits += f64::from(u8::from(beyond >= s));
            orders += 1.0;
        }
        hits / orders
    }

    #[test]
    fn the_law_counts_orders() {
        for (n, m) in [(1, 4), (2, 3), (4, 6), (7, 5), (9, 2)] {
            for s in 0..=m {
                for ends in [1, 2] {
                    let expected = by_enumeration(n, m, s, ends);
                    let got = ln_beyond(f64::from(n), f64::from(m), f64::from(s), ends).exp();
                    assert!((got - expected).abs() < 1e-12, "{n} {m} {s} {ends}: {got} {expected}");
                }
            }
        }
    }

    #[test]
    fn as_many_values_lie_beyond_as_the_law_says() {
        // The exact mean is m/(n + 1).
        for (n, m) in [(1000.0, 1000.0), (300.0, 2000.0), (2000.0, 300.0)] {
            let got = mean_beyond(n, m, |beyond| beyond);
            assert!((got - m / (n + 1.0)).abs() < 0.08 * got, "{n} {m}: {got}");
        }
    }

    #[test]
    fn long_products_meet_short_ones() {
        let (m, s) = (1e6, 4096.0);
        let short = ln_falling(m, s);
        let long = ln_gamma(m + 1.0) - ln_gamma(m - s + 1.0);
        assert!((short - long).abs() < 1e-8 * short);
    }
}
