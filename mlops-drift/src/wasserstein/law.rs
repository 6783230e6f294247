//! What the distance is when nothing drifts.
//!
//! √(nm/(n + m))·W₁ tends to I = ∫ |B(H(x))| dx, with a Brownian bridge B and the pooled distribution function H (del Barrio, Giné
//! and Matrán, Ann. Probab. 27, 1999). Its mean √(2/π)·∫ √(H(1 − H)) dx and second moment are integrals over the pooled
//! quantiles, taken here at some fifty points that lie closer towards both ends.
#![allow(clippy::cast_possible_wrap, clippy::cast_sign_loss, reason = "shares of a length are not negative")]

use statrs::function::gamma::ln_gamma;

use crate::noncentral::Z;
use crate::special::ln_chi2_sf;

/// How many points at most.
const POINTS: usize = 56;

/// A pooled value, with the shares of the values below it and up to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) value: f64,
    pub(crate) below: f64,
    pub(crate) upto: f64,
}

/// The law of I.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Law {
    mean: f64,
    /// E I².
    second: f64,
    /// The variance of ∫ B(H(x)) dx, without the magnitude: that of the pooled values.
    variance: f64,
    /// The shape of Nakagami's law with these moments.
    shape: f64,
}

/// The ranks (from 0, ascending) among `total` pooled values at which [`Law::new`] wants to know them.
pub(crate) fn ranks(total: usize) -> Vec<usize> {
    if total <= POINTS {
        return (0..total).collect();
    }
    // Equal steps of ln(h/(1 − h)) between both ends.
    let end = (total as f64 - 1.0).ln();
    let mut ranks: Vec<usize> = (0..POINTS)
        .map(|k| {
            let t = end * (2.0 * k as f64 / (POINTS - 1) as f64 - 1.0);
            let share = 1.0 / (1.0 + (-t).exp());
            ((share * total as f64) as usize).min(total - 1)
        })
        .collect();
    ranks[0] = 0;
    ranks[POINTS - 1] = total - 1;
    ranks.dedup();
    ranks
}

impl Law {
    /// From pooled values in ascending order.
    pub(crate) fn new(points: &[Point]) -> Self {
        // Between two points: the gap times the mean of √(H(1 − H)) by Simpson's rule, and H in the middle.
        let root = |h: f64| (h * (1.0 - h)).max(0.0).sqrt();
        let gap = |pair: &[Point]| {
            let (from, to) = (pair[0].upto, pair[1].below.max(pair[0].upto));
            let middle = (from + to) / 2.0;
            ((pair[1].value - pair[0].value) * (root(from) + 4.0 * root(middle) + root(to)) / 6.0, middle)
        };
        let gaps: Vec<(f64, f64)> = points.windows(2).map(gap).filter(|(weight, _)| *weight > 0.0).collect();
        let mut law = Self { mean: 0.0, second: 0.0, variance: 0.0, shape: 0.5 };
        for (k, &(here, h)) in gaps.iter().enumerate() {
            law.mean += here;
            law.second += here * here;
            law.variance += here * here;
            for &(there, above) in &gaps[..k] {
                let correlation = (above * (1.0 - h) / (h * (1.0 - above))).sqrt().min(1.0);
                let root = (1.0 - correlation * correlation).sqrt();
                let product = std::f64::consts::FRAC_2_PI * (root + correlation * correlation.asin());
                law.second += 2.0 * here * there * product;
                law.variance += 2.0 * here * there * correlation;
            }
        }
        law.mean *= std::f64::consts::FRAC_2_PI.sqrt();
        if law.varies() {
            law.shape = law.shape();
        }
        law
    }

    fn varies(&self) -> bool {
        self.mean > 0.0 && self.second > 0.0 && self.variance > 0.0
    }

    /// What I exceeds with a probability of 2.5 % at most, in standard deviations of ∫ B: the larger quantile of the two laws of
    /// [`Self::ln_sf`], Nakagami's by Wilson and Hilferty's cube root.
    pub(crate) fn margin(&self) -> Option<f64> {
        /// The 97.5 % quantile of χ² with one degree of freedom.
        const SQUARE: f64 = 5.023_886_187_314_888;
        if !self.varies() {
            return None;
        }
        let part = 1.0 / (9.0 * self.shape);
        let bulk = (1.0 - part + Z * part.sqrt()).powi(3) * self.second / self.variance;
        // A factor c before the tail of χ² moves its quantile by less than 2·ln c.
        let tail = SQUARE + 2.0 * self.ln_crossings();
        Some(bulk.max(tail).sqrt()).filter(|margin| margin.is_finite())
    }

    fn ln_crossings(&self) -> f64 {
        (0.5 + 0.5 * self.second / self.variance).ln().max(0.0)
    }

    /// The mean.
    pub(crate) fn mean(&self) -> f64 {
        self.mean
    }

    /// ln P(I ≥ x): the larger of two. In the bulk I² has nearly a gamma law (I Nakagami's), matched by the first two moments of I;
    /// in the far tail I is ∫ B or −∫ B, which is normal. On the way there the paths that still cross 0 make up for a factor of
    /// about (1 + E I²/Var ∫ B)/2, found by simulation of nine laws: 1.2 for uniform values, 1 where nothing crosses. It is kept
    /// to the end, so that p errs on the side of caution there.
    pub(crate) fn ln_sf(&self, x: f64) -> Option<f64> {
        if !self.varies() {
            return None;
        }
        let (bulk, shape) = (x * x / self.second, self.shape);
        let bulk = ln_chi2_sf((2.0 * shape * bulk).min(f64::MAX), 2.0 * shape);
        let tail = ln_chi2_sf((x * x / self.variance).min(f64::MAX), 1.0);
        Some(bulk.max(tail + self.ln_crossings()).min(0.0))
    }

    /// The shape whose mean over root mean square, Γ(s + ½)/(Γ(s)·√s), is that of I; at least ½, the half-normal law's.
    fn shape(&self) -> f64 {
        let wanted = (self.mean / self.second.sqrt()).ln();
        let ratio = |s: f64| ln_gamma(s + 0.5) - ln_gamma(s) - 0.5 * s.ln();
        let (mut low, mut high) = (0.5, 64.0);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if ratio(middle) < wanted { low = middle } else { high = middle }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uniform_law_has_its_known_moments() {
        let n = 100_000;
        let share = |count: usize| count as f64 / n as f64;
        let point = |rank| Point { value: share(rank), below: share(rank), upto: share(rank + 1) };
        let points: Vec<Point> = ranks(n).into_iter().map(point).collect();
        let law = Law::new(&points);
        // √(2/π)·π/8, 7/60 and 1/12 (Johnson and Killeen, J. Amer. Statist. Assoc. 78, 1983).
        for (got, expected) in
            [(law.mean, 0.313_328_534_328_875_1), (law.second, 7.0 / 60.0), (law.variance, 1.0 / 12.0)]
        {
            assert!((got / expected - 1.0).abs() < 0.01, "{got} is not {expected}");
        }
        // Exceeded as seldom as it says, by the same law.
        let tail = law.ln_sf(law.margin().unwrap() * law.variance.sqrt()).unwrap().exp();
        assert!((0.022..=0.0255).contains(&tail), "{tail}");
    }
}
