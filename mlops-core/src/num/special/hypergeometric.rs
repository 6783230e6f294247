//! The hypergeometric law: how many of r marked balls are among n drawn from N.

use super::{excess, stirling_remainder};

/// A draw of `drawn` from `total` balls of which `marked` are marked; neither exceeds `total`, and that stays below 2⁶².
///
/// ```
/// use mlops_core::num::special::Hypergeometric;
///
/// let law = Hypergeometric { total: 10, marked: 4, drawn: 3 };
/// assert_eq!((law.lowest(), law.mode(), law.highest()), (0, 1, 3));
/// assert!((law.ln_pmf(1).exp() - 0.5).abs() < 1e-14);
/// assert!((law.ln_below(0).exp() - 1.0 / 6.0).abs() < 1e-14);
/// assert!((law.ln_above(3).exp() - 1.0 / 30.0).abs() < 1e-14);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hypergeometric {
    /// All balls.
    pub total: u64,
    /// The marked ones among them.
    pub marked: u64,
    /// How many are drawn.
    pub drawn: u64,
}

impl Hypergeometric {
    /// The smallest count that is possible.
    pub fn lowest(&self) -> u64 {
        (self.marked + self.drawn).saturating_sub(self.total)
    }

    /// The largest count that is possible.
    pub fn highest(&self) -> u64 {
        self.marked.min(self.drawn)
    }

    /// The most probable count.
    pub fn mode(&self) -> u64 {
        let product = (u128::from(self.marked) + 1) * (u128::from(self.drawn) + 1);
        let mode = product / (u128::from(self.total) + 2);
        u64::try_from(mode).unwrap_or(u64::MAX).clamp(self.lowest(), self.highest())
    }

    /// ln P(X = x), by Loader's saddle-point form: no factorial of a large number is ever taken (C. Loader, *Fast and accurate
    /// computation of binomial probabilities*, 2000).
    pub fn ln_pmf(&self, x: u64) -> f64 {
        let (total, marked, drawn) = (self.total, self.marked, self.drawn);
        if total == 0 || drawn == 0 || drawn == total {
            return 0.0;
        }
        let plain = total - marked;
        // With probability drawn/total a piece, x of the marked and drawn − x of the others are taken, given that drawn are.
        binomial(x, marked, drawn, total) + binomial(drawn - x, plain, drawn, total)
            - binomial(drawn, total, drawn, total)
    }

    /// ln P(X ≤ x).
    pub fn ln_below(&self, x: u64) -> f64 {
        if x >= self.highest() {
            return 0.0;
        }
        if x >= self.mode() {
            return (-self.ln_sum_up(x + 1).exp().min(1.0)).ln_1p();
        }
        self.ln_sum_down(x)
    }

    /// ln P(X ≥ x).
    pub fn ln_above(&self, x: u64) -> f64 {
        if x <= self.lowest() {
            return 0.0;
        }
        if x <= self.mode() {
            return (-self.ln_sum_down(x - 1).exp().min(1.0)).ln_1p();
        }
        self.ln_sum_up(x)
    }

    /// P(X = x + 1) / P(X = x).
    fn step(&self, x: u64) -> f64 {
        let (up, down) = ((self.marked - x) as f64, (x + 1) as f64);
        let (others, left) =
            ((self.drawn - x) as f64, (self.total - self.marked + x + 1 - self.drawn) as f64);
        up / down * (others / left)
    }

    /// ln Σ P(X = k) over k ≥ x: the first term, and the others by their ratios.
    fn ln_sum_up(&self, x: u64) -> f64 {
        let (mut sum, mut term) = (1.0, 1.0);
        for k in x..self.highest() {
            term *= self.step(k);
            sum += term;
            if term < 1e-18 * sum {
                break;
            }
        }
        (self.ln_pmf(x) + f64::ln(sum)).min(0.0)
    }

    /// ln Σ P(X = k) over k ≤ x.
    fn ln_sum_down(&self, x: u64) -> f64 {
        let (mut sum, mut term) = (1.0, 1.0);
        for k in (self.lowest()..x).rev() {
            term /= self.step(k);
            sum += term;
            if term < 1e-18 * sum {
                break;
            }
        }
        (self.ln_pmf(x) + f64::ln(sum)).min(0.0)
    }
}

/// ln of the probability of x successes in n trials of probability drawn/total.
fn binomial(x: u64, n: u64, drawn: u64, total: u64) -> f64 {
    let (share, rest) = (drawn as f64 / total as f64, (total - drawn) as f64 / total as f64);
    if n == 0 {
        return 0.0;
    }
    if x == 0 {
        // (1 − p)ⁿ, with the smaller of the two shares in the logarithm.
        return n as f64 * if share < rest { (-share).ln_1p() } else { rest.ln() };
    }
    if x == n {
        return n as f64 * if rest < share { (-rest).ln_1p() } else { share.ln() };
    }
    // n·x·total stays below 2¹²⁸ because totals stay below 2⁶².
    let (hits, expected) = (u128::from(x) * u128::from(total), u128::from(n) * u128::from(drawn));
    let above = if hits >= expected { (hits - expected) as f64 } else { -((expected - hits) as f64) };
    let above = above / total as f64;
    let (x, n) = (x as f64, n as f64);
    let deviance = deviance(x, n * share, above) + deviance(n - x, n * rest, -above);
    let remainder = stirling_remainder(n) - stirling_remainder(x) - stirling_remainder(n - x);
    remainder - deviance + 0.5 * (n / (std::f64::consts::TAU * x * (n - x))).ln()
}

/// x·ln(x/m) + m − x for x = m + `above`.
fn deviance(x: f64, m: f64, above: f64) -> f64 {
    // With r = m/x − 1 this is x·(r − ln(1 + r)).
    let relative = -above / x;
    x * if relative.abs() < 0.3 { excess(relative) } else { relative - (m / x).ln() }
}

/// ln of the number of ways to choose k of n; 0 for k above n.
///
/// ```
/// use mlops_core::num::special::ln_choose;
/// assert!((ln_choose(5, 2) - f64::ln(10.0)).abs() < 1e-14);
/// ```
pub fn ln_choose(n: u64, k: u64) -> f64 {
    if k == 0 || k >= n {
        return 0.0;
    }
    // P(X = k) under even odds is C(n, k)/2ⁿ.
    binomial(k, n, 1, 2) + n as f64 * std::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_agree_with_exact_rationals() {
        for &(total, marked, drawn, x, ln_below, ln_above) in HYPERGEOMETRIC {
            let law = Hypergeometric { total, marked, drawn };
            for (got, expected) in [(law.ln_below(x), ln_below), (law.ln_above(x), ln_above)] {
                let tolerance = 1e-11 * f64::abs(expected).clamp(1e-3, 1.0) + 1e-13 * f64::abs(expected);
                assert!((got - expected).abs() <= tolerance, "{law:?} {x}: {got} is not {expected}");
            }
        }
    }

    #[test]
    fn probabilities_add_up_to_one() {
        for (total, marked, drawn) in
            [(10, 4, 3), (50, 25, 25), (400, 3, 399), (1, 1, 1), (7, 0, 3), (1000, 990, 20)]
        {
            let law = Hypergeometric { total, marked, drawn };
            let sum: f64 = (law.lowest()..=law.highest()).map(|x| law.ln_pmf(x).exp()).sum();
            assert!((sum - 1.0).abs() < 1e-13, "{law:?}: {sum}");
        }
    }

    #[test]
    fn binomial_coefficients_are_counted() {
        for (n, k, count) in
            [(5u64, 2u64, 10.0f64), (52, 5, 2_598_960.0), (60, 30, 118_264_581_564_861_424.0), (9, 0, 1.0)]
        {
            assert!((ln_choose(n, k) - count.ln()).abs() < 1e-13, "{n} {k}");
        }
    }

    /// Total, marked, drawn, x, ln P(X ≤ x) and ln P(X ≥ x), from exact integers of CPython 3.11.
    const HYPERGEOMETRIC: &[(u64, u64, u64, u64, f64, f64)] = &[
        (10, 4, 3, 2, -0.033901551675681346, -1.0986122886681098),
        (100, 50, 30, 28, -1.162148312430594e-10, -19.38364227242753),
        (100, 50, 30, 0, -27.15818149876699, 0.0),
        (2000, 900, 300, 250, -1.245760381037784e-50, -112.8118856327003),
        (2000, 900, 300, 135, -0.6430812095823936, -0.6453032826962048),
        (4000, 2000, 2000, 1000, -0.6682335243132684, -0.6682335243132684),
        (10000, 3000, 5000, 2600, -0.0, -1256.5907440165693),
        (10000, 3000, 5000, 1300, -41.085742091819355, -9.735935491433846e-19),
        (5010, 2600, 10, 9, -0.001406173929257158, -4.2353032644505),
        (1000, 990, 20, 20, 0.0, -0.20295135869981942),
        (20000, 10000, 10000, 9000, -0.0, -7364.734616693393),
        (300, 1, 299, 1, 0.0, -0.0033389012655146324),
        (6, 3, 3, 0, -2.995732273553991, 0.0),
    ];
}
