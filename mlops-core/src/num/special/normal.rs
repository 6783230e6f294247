//! The standard normal law.

use std::f64::consts::LN_2;

use super::ln_chi2_sf;

/// ln P(Z ≥ z). The square of Z is χ² with one degree of freedom, whose tail has its logarithm at any depth.
///
/// ```
/// use mlops_core::num::special::ln_normal_sf;
/// assert!((ln_normal_sf(100.0) + 5005.524208694205).abs() < 1e-9);
/// ```
pub fn ln_normal_sf(z: f64) -> f64 {
    if z == 0.0 {
        return -LN_2;
    }
    let ln_tail = ln_chi2_sf(z * z, 1.0) - LN_2;
    if z > 0.0 { ln_tail } else { (-ln_tail.exp()).ln_1p() }
}

/// ln P(|Z| ≥ |z|).
///
/// ```
/// use mlops_core::num::special::ln_normal_two_sided;
/// assert!((ln_normal_two_sided(1.959963984540054).exp() - 0.05).abs() < 1e-15);
/// ```
pub fn ln_normal_two_sided(z: f64) -> f64 {
    ln_chi2_sf(z * z, 1.0)
}

/// The z with P(|Z| ≤ z) = `level`, for a level in (0, 1).
///
/// ```
/// use mlops_core::num::special::normal_quantile;
/// assert!((normal_quantile(0.95) - 1.959963984540054).abs() < 1e-14);
/// ```
pub fn normal_quantile(level: f64) -> f64 {
    upper(level, ln_normal_two_sided)
}

/// The x ≥ 0 where a two-sided tail falls to 1 − `level`, by bisection of its logarithm.
pub(super) fn upper(level: f64, ln_tail: impl Fn(f64) -> f64) -> f64 {
    let wanted = (-level).ln_1p();
    let mut high = 1.0;
    while ln_tail(high) > wanted && high < 1e150 {
        high *= 2.0;
    }
    let mut low = 0.0;
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if ln_tail(middle) > wanted {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_agree_with_mpmath_at_any_depth() {
        for &(z, ln_sf) in NORMAL {
            let got = ln_normal_sf(z);
            let tolerance = 1e-13 * f64::abs(ln_sf).clamp(1e-3, f64::MAX) + 1e-13 * f64::abs(ln_sf).min(1.0);
            assert!((got - ln_sf).abs() <= tolerance, "z = {z}: {got} is not {ln_sf}");
        }
    }

    #[test]
    fn quantiles_are_where_the_tail_says() {
        assert!((normal_quantile(0.95) - 1.959963984540054).abs() < 1e-14);
        assert!((normal_quantile(0.999) - 3.2905267314919255).abs() < 1e-13);
    }

    /// z and ln P(Z ≥ z), by mpmath 1.4.1 with 60 digits.
    const NORMAL: &[(f64, f64)] = &[
        (-40.0, -0.0),
        (-8.3, -5.205569744890254e-17),
        (-3.0, -0.0013508099647481938),
        (-1.0, -0.17275377902344988),
        (-0.1, -0.6165050101150263),
        (-1e-09, -0.6931471797620608),
        (0.0, -LN_2),
        (1e-300, -LN_2),
        (1e-09, -0.6931471813578298),
        (0.1, -0.7761545927302733),
        (0.5, -1.1759117615936185),
        (1.0, -1.8410216450092636),
        (1.959963984540054, -3.688879454113936),
        (3.0, -6.607726221510349),
        (6.0, -20.736768949974707),
        (10.0, -53.23128515051247),
        (23.5, -280.20274160349766),
        (37.0, -689.0305855768906),
        (38.6, -749.5528608462079),
        (100.0, -5005.524208694205),
        (10000.0, -50000010.12927891),
        (1000000000.0, -5e+17),
    ];
}
