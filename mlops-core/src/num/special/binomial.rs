//! Tails of the binomial law, through the incomplete beta function.

use super::beta::ln_beta_cdf;

/// ln P(X ≥ k) for X successes in n trials of probability `share` in \[0, 1\]: I_share(k, n − k + 1).
///
/// ```
/// use mlops_core::num::special::ln_binomial_above;
/// assert!((ln_binomial_above(3, 4, 0.5).exp() - 5.0 / 16.0).abs() < 1e-15);
/// assert_eq!(ln_binomial_above(0, 4, 0.5), 0.0);
/// ```
pub fn ln_binomial_above(k: u64, n: u64, share: f64) -> f64 {
    if k == 0 {
        return 0.0;
    }
    if k > n {
        return f64::NEG_INFINITY;
    }
    ln_beta_cdf(share, k as f64, (n - k) as f64 + 1.0)
}

/// ln P(X ≤ k) for X successes in n trials of probability `share` in \[0, 1\]: the failures are at least n − k.
///
/// ```
/// use mlops_core::num::special::ln_binomial_below;
/// assert!((ln_binomial_below(1, 4, 0.5).exp() - 5.0 / 16.0).abs() < 1e-15);
/// ```
pub fn ln_binomial_below(k: u64, n: u64, share: f64) -> f64 {
    if k >= n { 0.0 } else { ln_binomial_above(n - k, n, 1.0 - share) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_agree_with_exact_sums() {
        // Powers of two are exact: C(n, k) / 2ⁿ added up.
        for n in [1_u64, 2, 9, 30, 50] {
            let mut below = 0.0;
            let mut choose = 1.0_f64;
            for k in 0..=n {
                let above = 1.0 - below / 2f64.powi(i32::try_from(n).unwrap());
                below += choose;
                choose = choose * (n - k) as f64 / (k + 1) as f64;
                let share = below / 2f64.powi(i32::try_from(n).unwrap());
                assert!((ln_binomial_below(k, n, 0.5).exp() - share).abs() < 1e-13, "{n} {k}");
                assert!((ln_binomial_above(k, n, 0.5).exp() - above).abs() < 1e-13, "{n} {k}");
            }
        }
    }

    #[test]
    fn certain_and_impossible_counts_are_so() {
        assert_eq!(ln_binomial_below(5, 5, 0.3), 0.0);
        assert_eq!(ln_binomial_above(6, 5, 0.3), f64::NEG_INFINITY);
        assert_eq!(ln_binomial_above(1, 5, 0.0), f64::NEG_INFINITY);
        assert_eq!(ln_binomial_below(4, 5, 1.0), f64::NEG_INFINITY);
    }
}
