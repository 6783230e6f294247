//! Tails of the laws that tests and intervals rest on, as logarithms, so that a p-value of 1e-5000 is still a number one can
//! rank by.
//!
//! | law | tail | quantile |
//! |---|---|---|
//! | standard normal | [`ln_normal_sf`], [`ln_normal_two_sided`] | [`normal_quantile`] |
//! | χ² | [`ln_chi2_sf`] | |
//! | Student's t | [`ln_student_t_sf`], [`ln_student_t_two_sided`] | [`student_t_quantile`] |
//! | Fisher's F | [`ln_f_sf`] | |
//! | noncentral t | [`noncentral_t_sf`], not as a logarithm | |
//! | beta | [`ln_beta_cdf`] | [`beta_quantile`] |
//! | binomial | [`Binomial::ln_below`], [`Binomial::ln_above`] | |
//! | hypergeometric | [`Hypergeometric::ln_below`], [`Hypergeometric::ln_above`] | |
//!
//! The arguments are what the docs of a function say; outside of that the answer has no meaning, and may be NaN, but nothing
//! panics. All agree with mpmath 1.4.1 (60 digits) or exact rationals to about 1e-12, relatively in p, at every depth.
//!
//! `statrs` 0.19 supplies ln Γ for Stirling's remainder; its incomplete gamma is not used, because it has no logarithm and
//! is 0 below 1e-308 (see the tests, which hold both against mpmath).

mod beta;
mod binomial;
mod hypergeometric;
mod noncentral;
mod normal;

use statrs::function::gamma::ln_gamma;

pub use beta::{
    beta_quantile, ln_beta_cdf, ln_f_sf, ln_student_t_sf, ln_student_t_two_sided, student_t_quantile,
};
pub use binomial::Binomial;
pub use hypergeometric::{Hypergeometric, ln_choose};
pub use noncentral::noncentral_t_sf;
pub use normal::{ln_normal_sf, ln_normal_two_sided, normal_quantile};

/// ln P(X ≥ x) for X ~ χ² with `dof` ≥ 1 degrees of freedom and finite x ≥ 0.
///
/// The regularised upper incomplete gamma function Q(dof/2, x/2): its complement's power series left of the mode, Legendre's
/// continued fraction (Lentz's algorithm) right of it; DLMF 8.7.1 and 8.9.2.
///
/// ```
/// use mlops_core::num::special::ln_chi2_sf;
/// assert!((ln_chi2_sf(3.841458820694124, 1.0).exp() - 0.05).abs() < 1e-15);
/// assert!((ln_chi2_sf(1400.0, 1.0) + 703.8486181251224).abs() < 1e-10);
/// ```
pub fn ln_chi2_sf(x: f64, dof: f64) -> f64 {
    let (a, x) = (dof / 2.0, x / 2.0);
    if x <= 0.0 {
        return 0.0;
    }
    if x < a + 1.0 {
        let ln_p = ln_gamma_density(a, x) + (lower_series(a, x) / a).ln();
        (-ln_p.exp()).ln_1p()
    } else {
        // Rounding must not give a probability above 1.
        (ln_gamma_density(a, x) + upper_fraction(a, x).ln()).min(0.0)
    }
}

/// ln(xᵃ e⁻ˣ / Γ(a)), without the cancellation of the three terms where a and x are large and near each other.
fn ln_gamma_density(a: f64, x: f64) -> f64 {
    let relative = (x - a) / a;
    // a·ln x − x = a·ln a − a − a·(r − ln(1 + r)) with r = (x − a)/a.
    let deviation = if relative.abs() < 0.3 { excess(relative) } else { relative - (x / a).ln() };
    -a * deviation + 0.5 * (a / std::f64::consts::TAU).ln() - stirling_remainder(a)
}

/// r − ln(1 + r) for |r| < 0.3, by its series: Σ (−r)ᵏ / k from k = 2.
fn excess(r: f64) -> f64 {
    let mut power = -r;
    let mut total = 0.0;
    for k in 2..80 {
        power *= -r;
        let term = power / f64::from(k);
        total += term;
        if term.abs() <= f64::EPSILON * total.abs() * 0.25 {
            break;
        }
    }
    total
}

/// What Stirling's formula leaves: ln Γ(a) − [(a − ½) ln a − a + ½ ln 2π], for a > 0.
///
/// ```
/// use mlops_core::num::special::stirling_remainder;
/// assert!((stirling_remainder(100.0) - 1.0 / 1200.0).abs() < 1e-8);
/// ```
pub fn stirling_remainder(a: f64) -> f64 {
    if a < 10.0 {
        return ln_gamma(a) - ((a - 0.5) * a.ln() - a + 0.5 * std::f64::consts::TAU.ln());
    }
    let square = 1.0 / (a * a);
    let series = [
        1.0 / 12.0,
        -1.0 / 360.0,
        1.0 / 1260.0,
        -1.0 / 1680.0,
        1.0 / 1188.0,
        -691.0 / 360_360.0,
        1.0 / 156.0,
    ];
    series.iter().rev().fold(0.0, |sum, coefficient| sum * square + coefficient) / a
}

/// 1 + x/(a+1) + x²/((a+1)(a+2)) + …, for x < a + 1.
fn lower_series(a: f64, x: f64) -> f64 {
    let (mut term, mut total, mut denominator) = (1.0, 1.0, a);
    // The terms shrink like exp(−k²/2a): about 9·√a of them count.
    for _ in 0..=iterations(a) {
        denominator += 1.0;
        term *= x / denominator;
        total += term;
        if term <= total * f64::EPSILON * 0.1 {
            break;
        }
    }
    total
}

/// The continued fraction of Γ(a, x) eˣ x⁻ᵃ, for x ≥ a + 1.
fn upper_fraction(a: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / TINY;
    let mut d = 1.0 / b;
    let mut h = d;
    for k in 1..=iterations(a) {
        let k = f64::from(k);
        let numerator = -k * (k - a);
        b += 2.0;
        d = numerator * d + b;
        d = 1.0 / if d.abs() < TINY { TINY } else { d };
        c = b + numerator / c;
        c = if c.abs() < TINY { TINY } else { c };
        let step = c * d;
        h *= step;
        if (step - 1.0).abs() <= f64::EPSILON {
            break;
        }
    }
    h
}

/// A generous bound on the terms either expansion needs: both converge within a small multiple of √a.
#[expect(clippy::cast_sign_loss, reason = "a square root, and the cast saturates")]
fn iterations(a: f64) -> u32 {
    (300.0 + 20.0 * a.sqrt()) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, expected: f64, tolerance: f64) -> bool {
        (got - expected).abs() <= tolerance * expected.abs().max(1e-300)
    }

    #[test]
    fn chi_square_tails_agree_with_mpmath_at_any_depth() {
        for &(x, dof, ln_sf) in CHI2 {
            let got = ln_chi2_sf(x, dof);
            // Relative in p is absolute in ln p: 1e-10 in p at every depth a double can express.
            let tolerance = 1e-13 * f64::abs(ln_sf).max(1.0);
            assert!((got - ln_sf).abs() <= tolerance, "x = {x}, dof = {dof}: {got} is not {ln_sf}");
        }
    }

    #[test]
    fn statrs_is_accurate_near_the_mode_and_gone_in_the_far_tail() {
        let ln_at = |x: f64, dof: f64| statrs::function::gamma::gamma_ur(dof / 2.0, x / 2.0).ln();
        assert!(close(ln_at(30.0, 9.0), ln_chi2_sf(30.0, 9.0), 1e-10));
        assert_eq!(ln_at(2000.0, 9.0), f64::NEG_INFINITY);
        assert!(ln_chi2_sf(2000.0, 9.0).is_finite());
    }

    #[test]
    fn a_probability_never_exceeds_one_and_never_rises() {
        for dof in [1.0, 2.0, 9.0, 1000.0, 1e6] {
            let mut before = 0.0;
            for i in 0..400 {
                let ln_p = ln_chi2_sf(dof * f64::from(i) / 100.0, dof);
                assert!(ln_p <= before + 1e-12, "dof {dof}, step {i}");
                before = ln_p;
            }
        }
    }

    /// x, degrees of freedom and ln of the survival function, by mpmath 1.4.1 with 60 digits.
    const CHI2: &[(f64, f64, f64)] = &[
        (1e-08, 1.0, -7.97916392154835e-05),
        (0.5, 1.0, -0.7350111298370844),
        (3.841458820694124, 1.0, -2.99573227355399),
        (40.0, 1.0, -22.093833084219643),
        (1400.0, 1.0, -703.8486181251224),
        (100000.0, 1.0, -50005.98226408488),
        (0.1, 2.0, -0.05),
        (30.0, 2.0, -15.0),
        (0.001, 9.0, -2.6688894706449115e-17),
        (5.0, 9.0, -0.18115232837589798),
        (11.0, 9.0, -1.288409546634711),
        (30.0, 9.0, -7.731645124901992),
        (2000.0, 9.0, -978.2730904726212),
        (1000000.0, 9.0, -499956.5254577499),
        (80.0, 99.0, -0.08426474487785485),
        (99.0, 99.0, -0.7316865480727047),
        (101.0, 99.0, -0.8551047511244404),
        (400.0, 99.0, -85.3732339765671),
        (900.0, 1000.0, -0.010775081338570533),
        (1001.0, 1000.0, -0.7233199986084329),
        (1300.0, 1000.0, -21.667509512525537),
        (99000.0, 100000.0, -0.01255682360044099),
        (100002.0, 100000.0, -0.6979161449343643),
        (103000.0, 100000.0, -24.903878989868765),
        (1000000.0, 100000.0, -334879.2714066863),
    ];
}
