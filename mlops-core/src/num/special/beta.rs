//! The incomplete beta function as a logarithm: tails of Fisher's F and Student's t, and the beta law itself.

use std::f64::consts::{LN_2, TAU};

use super::normal::upper;
use super::{excess, stirling_remainder};

/// ln P(F ≥ f) for `d1` and `d2` degrees of freedom, not necessarily whole, and f ≥ 0.
///
/// The tail is the regularised incomplete beta function Iₓ(d2/2, d1/2) with x = d2/(d2 + d1·f): a continued fraction right of
/// f = 1, the complement of one left of it.
///
/// ```
/// use mlops_core::num::special::ln_f_sf;
/// assert!((ln_f_sf(2.5, 4.0, 100.0) + 3.052530398841302).abs() < 1e-12);
/// ```
pub fn ln_f_sf(f: f64, d1: f64, d2: f64) -> f64 {
    if f <= 0.0 {
        return 0.0;
    }
    let (a, b) = (d2 / 2.0, d1 / 2.0);
    let x = 1.0 / (1.0 + d1 / d2 * f);
    let y = 1.0 / (1.0 + d2 / d1 / f);
    let ln_density = ln_beta_density(f, d1, d2);
    // a − (a + b)x, without the cancellation.
    let lambda =
        if f > 1.0 { a * (1.0 - 1.0 / f) / (1.0 + d2 / d1 / f) } else { a * d1 * (f - 1.0) / (d2 + d1 * f) };
    if f >= 1.0 {
        (ln_density + fraction(a, b, x, y, lambda).ln()).min(0.0)
    } else {
        let ln_below = ln_density + fraction(b, a, y, x, -lambda).ln();
        (-ln_below.exp().min(1.0)).ln_1p()
    }
}

/// ln P(|T| ≥ |t|) for ν degrees of freedom: t² is F with 1 and ν.
///
/// ```
/// use mlops_core::num::special::ln_student_t_two_sided;
/// assert!((ln_student_t_two_sided(1.0, 1.0).exp() - 0.5).abs() < 1e-14);
/// ```
pub fn ln_student_t_two_sided(t: f64, dof: f64) -> f64 {
    let size = t.abs();
    if size > FAR_T && size.is_finite() {
        // t² would overflow. So far out the tail is a power: P(|T| ≥ t) ∝ t^−ν.
        return ln_f_sf(FAR_T * FAR_T, 1.0, dof) - dof * (size.ln() - FAR_T.ln());
    }
    ln_f_sf(t * t, 1.0, dof)
}

/// A t whose square is far below the largest number.
const FAR_T: f64 = 1e150;

/// ln P(T ≥ t) for ν degrees of freedom.
///
/// ```
/// use mlops_core::num::special::ln_student_t_sf;
/// assert!((ln_student_t_sf(1.0, 1.0).exp() - 0.25).abs() < 1e-14);
/// ```
pub fn ln_student_t_sf(t: f64, dof: f64) -> f64 {
    let ln_tail = ln_student_t_two_sided(t, dof) - LN_2;
    if t >= 0.0 { ln_tail } else { (-ln_tail.exp()).ln_1p() }
}

/// The t with P(|T| ≤ t) = `level`, for a level in (0, 1).
///
/// ```
/// use mlops_core::num::special::student_t_quantile;
/// assert!((student_t_quantile(0.95, 30.0) - 2.0422724563012378).abs() < 1e-12);
/// ```
pub fn student_t_quantile(level: f64, dof: f64) -> f64 {
    upper(level, |t| ln_student_t_two_sided(t, dof))
}

/// ln Iₓ(a, b), the logarithm of P(X ≤ x) for X ~ Beta(a, b), with a, b > 0 and x in \[0, 1\]; −∞ at 0.
///
/// ```
/// use mlops_core::num::special::ln_beta_cdf;
/// // Beta(2, 1) has the density 2x.
/// assert!((ln_beta_cdf(0.5, 2.0, 1.0).exp() - 0.25).abs() < 1e-15);
/// ```
pub fn ln_beta_cdf(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return f64::NEG_INFINITY;
    }
    if x >= 1.0 {
        return 0.0;
    }
    ln_f_sf(as_f(x, a, b), 2.0 * b, 2.0 * a)
}

/// The f of [`ln_f_sf`] for 2b and 2a degrees of freedom whose x is this one.
fn as_f(x: f64, a: f64, b: f64) -> f64 {
    a / b * ((1.0 - x) / x)
}

/// The x with Iₓ(a, b) = p, for a, b > 0 and p in (0, 1): Newton's method on ln I over ln x, kept between bounds that it
/// narrows. Below 1e-300 the answer is 0.
///
/// For a point of the upper tail take 1 minus the quantile of the mirrored law, whose p is small:
/// `1.0 - beta_quantile(tail, b, a)`.
///
/// ```
/// use mlops_core::num::special::beta_quantile;
/// assert!((beta_quantile(0.25, 2.0, 1.0) - 0.5).abs() < 1e-15);
/// ```
pub fn beta_quantile(p: f64, a: f64, b: f64) -> f64 {
    let wanted = p.ln();
    let (mut low, mut high) = (1e-300_f64, 1.0_f64);
    let mut x = a / (a + b);
    for _ in 0..400 {
        let f = as_f(x, a, b);
        let ln_cdf = ln_f_sf(f, 2.0 * b, 2.0 * a);
        if ln_cdf < wanted {
            low = x;
        } else {
            high = x;
        }
        // d ln I / d ln x.
        let slope = (ln_beta_density(f, 2.0 * b, 2.0 * a) - ln_cdf).exp() / (1.0 - x);
        let newton = x * ((wanted - ln_cdf) / slope).exp();
        let next = if newton > low && newton < high {
            newton
        } else if low < 0.01 * high {
            (low * high).sqrt()
        } else {
            f64::midpoint(low, high)
        };
        if (next - x).abs() <= 2.0 * f64::EPSILON * x {
            return if next <= 1e-299 { 0.0 } else { next };
        }
        x = next;
    }
    x
}

/// ln(xᵃ yᵇ / B(a, b)) with x and y as in [`ln_f_sf`], written around the point where it is largest so that nothing large
/// cancels.
fn ln_beta_density(f: f64, d1: f64, d2: f64) -> f64 {
    let (a, b) = (d2 / 2.0, d1 / 2.0);
    let c = a + b;
    // How far x and y are from a/c and b/c, relatively; a·dx + b·dy = 0.
    let bottom = d2 + d1 * f;
    let deviation = if bottom.is_finite() {
        let dx = d1 * (1.0 - f) / bottom;
        let dy = d2 * (f - 1.0) / bottom;
        a * relative_excess(dx, (d1 + d2) / bottom) + b * relative_excess(dy, f * ((d1 + d2) / bottom))
    } else {
        // x is about d2/(d1·f), y is 1.
        let ln_x = (d2 / d1).ln() - f.ln();
        -a * (ln_x - (a / c).ln()) - b * (c / b).ln()
    };
    let remainder = stirling_remainder(c) - stirling_remainder(a) - stirling_remainder(b);
    // Halves of a product of two numbers of very different size.
    0.5 * (a / c * b / TAU).ln() - deviation + remainder
}

/// r − ln(1 + r), given r and 1 + r.
fn relative_excess(r: f64, one_plus: f64) -> f64 {
    if r.abs() < 0.3 { excess(r) } else { r - one_plus.ln() }
}

/// Iₓ(a, b)·B(a, b)/(xᵃ yᵇ) for y = 1 − x and `lambda` = a − (a + b)x ≥ 0.
///
/// The even part of the continued fraction DLMF 8.17.22, in which 1 − x never has to be computed (A. DiDonato and A. Morris,
/// *Algorithm 708*, ACM Transactions on Mathematical Software 18, 1992, section 5).
fn fraction(a: f64, b: f64, x: f64, y: f64, lambda: f64) -> f64 {
    let (first, scale) = (1.0 + lambda, 1.0 + 1.0 / a);
    let (mut top_before, mut bottom_before) = (0.0, 1.0);
    let (mut top, mut bottom) = (1.0, first / scale);
    let mut value = top / bottom;
    let mut p = 1.0;
    // Converges within a small multiple of the root of the larger parameter.
    let rounds = (10_000.0 + 100.0 * a.max(b).sqrt()).min(1e8);
    let mut n = 1.0;
    while n <= rounds {
        let s = a + 2.0 * n - 1.0;
        let (t, w, e) = (n / a, n * (b - n) * x, a / s);
        let alpha = p * (p + b / a) * e * e * w * x;
        let e = (1.0 + t) / (scale + 2.0 * t);
        let beta = n + w / s + e * (first + n * (1.0 + y));
        p = 1.0 + t;
        let next_top = alpha * top_before + beta * top;
        let next_bottom = alpha * bottom_before + beta * bottom;
        let next = next_top / next_bottom;
        let done = (next - value).abs() <= f64::EPSILON * next;
        (top_before, bottom_before) = (top / next_bottom, bottom / next_bottom);
        (top, bottom, value) = (next, 1.0, next);
        // What is no number any more will not become one.
        if done || next.is_nan() {
            break;
        }
        n += 1.0;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_tails_agree_with_mpmath_at_any_depth() {
        for &(f, d1, d2, ln_sf) in F {
            let got = ln_f_sf(f, d1, d2);
            let tolerance = 1e-12 * f64::abs(ln_sf).clamp(1e-3, 1.0) + 1e-13 * f64::abs(ln_sf);
            assert!((got - ln_sf).abs() <= tolerance, "f = {f}, {d1} and {d2}: {got} is not {ln_sf}");
        }
    }

    #[test]
    fn student_tails_reach_as_far_as_numbers_do() {
        // a·log(x) − log(a) − log(beta(a, 1/2)) + log(hyp2f1(a, 1/2, a + 1, x)), a = ν/2 and x = ν/(ν + t²), by mpmath 1.4.1 with 700
        // digits.
        for (t, dof, expected) in [
            (1e160, 9.0, -3307.1871483936084),
            (-1e279, 9.0, -5773.255782990232),
            (1e300, 2.5, -1726.5750941095291),
            (1e200, 1.0, -460.96860130409857),
        ] {
            let got = ln_student_t_two_sided(t, dof);
            assert!((got / expected - 1.0).abs() < 1e-14, "{t} {dof}: {got}");
        }
    }

    #[test]
    fn student_tails_agree_with_mpmath_on_both_sides() {
        for &(t, dof, ln_sf) in STUDENT {
            let got = ln_student_t_sf(t, dof);
            let tolerance = 1e-12 * f64::abs(ln_sf).clamp(1e-3, 1.0) + 1e-13 * f64::abs(ln_sf);
            assert!((got - ln_sf).abs() <= tolerance, "t = {t}, dof = {dof}: {got} is not {ln_sf}");
        }
    }

    #[test]
    fn quantiles_are_where_the_tail_says() {
        // By mpmath 1.4.1 with 60 digits.
        for (level, dof, t) in [
            (0.95, 1.0, 12.706204736174694),
            (0.95, 4.7, 2.62072607535317),
            (0.95, 30.0, 2.0422724563012378),
            (0.99, 12.0, 3.0545395893929017),
        ] {
            assert!((student_t_quantile(level, dof) / t - 1.0).abs() < 1e-13, "{level} {dof}");
        }
    }

    #[test]
    fn beta_quantiles_agree_with_mpmath() {
        for &(p, a, b, x) in BETA {
            let got = beta_quantile(p, a, b);
            assert!((got / x - 1.0).abs() < 2e-13, "{p} {a} {b}: {got} is not {x}");
        }
    }

    #[test]
    fn a_beta_quantile_undoes_the_distribution_at_any_shape() {
        for a in [0.01, 0.5, 1.0, 3.0, 40.5, 1e4, 1e9] {
            for b in [0.01, 0.5, 1.0, 7.0, 1e3, 1e6, 1e9] {
                for p in [1e-12, 0.001, 0.025, 0.5, 0.975, 0.999_999] {
                    let x = beta_quantile(p, a, b);
                    // Where x itself is rounded to 0 or 1 there is nothing to undo.
                    if x > 0.0 && x < 0.999_999 {
                        let back = ln_beta_cdf(x, a, b);
                        assert!((back - f64::ln(p)).abs() < 1e-7, "{p} {a} {b}: {x} gives {}", back.exp());
                    }
                }
            }
        }
        assert_eq!(ln_beta_cdf(0.0, 2.0, 3.0), f64::NEG_INFINITY);
        assert_eq!(ln_beta_cdf(1.0, 2.0, 3.0), 0.0);
    }

    /// p, a, b and the x with Iₓ(a, b) = p, by mpmath 1.4.1 with 50 digits.
    const BETA: &[(f64, f64, f64, f64)] = &[
        (0.025, 5.0, 6.0, 0.18708602844739852),
        (0.975, 0.5, 10.5, 0.2171962675092105),
        (0.025, 0.5, 10.5, 4.7890433157581896e-05),
        (0.5, 3.5, 2.25, 0.6220749636021635),
        (1e-09, 2.0, 30.0, 1.4664919391606474e-06),
        (0.025, 9990.5, 10.5, 0.9982267869785467),
        (0.0005, 120.0, 20000.0, 0.004337323351758476),
        (0.3, 0.05, 0.2, 2.287762471657872e-09),
        (0.975, 40.0, 1.0, 0.9993672550679505),
    ];

    /// f, degrees of freedom and ln P(F ≥ f), by mpmath 1.4.1 with 60 digits.
    const F: &[(f64, f64, f64, f64)] = &[
        (0.01, 1.0, 5.0, -0.07879416783966209),
        (0.5, 1.0, 20.5, -0.7185448226830067),
        (1.0, 3.0, 7.0, -0.8050185940341177),
        (4.0, 1.0, 38.0, -2.943423146913103),
        (2.5, 4.0, 100.0, -3.052530398841302),
        (1000.0, 1.0, 10.0, -24.473502035977674),
        (50.0, 2.0, 10000.0, -49.751654265840415),
        (1500.0, 1.0, 2000.0, -563.2191714843553),
        (0.9, 10.0, 12.0, -0.5796544200012447),
        (3.0, 60.0, 55.0, -10.413157190635742),
        (1000000.0, 1.0, 8.0, -48.240987067454675),
        (1e+200, 1.0, 3.0, -689.9846572786091),
        (0.2, 30.0, 40.0, -8.498769602534638e-06),
        (1.0001, 1.0, 1000000.0, -1.1479499576444443),
        (900.0, 1.0, 10000000.0, -453.60780301750583),
        (1.5, 1.0, 0.7, -0.7042057689847268),
        (50000.0, 1.0, 100000.0, -20278.688375847614),
    ];

    /// t, degrees of freedom and ln P(T ≥ t), by mpmath 1.4.1 with 60 digits.
    const STUDENT: &[(f64, f64, f64)] = &[
        (0.0, 5.0, -LN_2),
        (1e-08, 3.0, -0.6931471879109973),
        (-2.0, 4.0, -0.059811855318935195),
        (-40.0, 2.5, -7.09806905220783e-05),
        (0.7, 1.0, -1.1854785888829502),
        (1.96, 1000000000.0, -3.6889636461833972),
        (2.5, 17.3, -4.4764472025650015),
        (5.0, 60.0, -12.843213057567336),
        (12.0, 11.9, -17.451787144084246),
        (40.0, 98.0, -142.94456662801363),
        (40.0, 1000000.0, -803.968324750342),
        (10000000000.0, 3.5, -80.01399813543189),
        (1e+100, 2.0, -461.2101657793691),
        (100.0, 1000.0, -1203.2731472575078),
        (37.2, 12345.678, -660.2980685454587),
        (-0.3, 8.0, -0.48761743082256787),
        (1.0, 1.0, -1.3862943611198906),
    ];
}
