//! The standard normal law: density, probability and quantiles.

use std::f64::consts::SQRT_2;

use statrs::function::erf::erfc;

/// ½ ln 2π.
const LN_SQRT_TAU: f64 = 0.918_938_533_204_672_7;

/// P(Z ≤ x).
pub(in crate::experiment) fn cdf(x: f64) -> f64 {
    0.5 * erfc(-x / SQRT_2)
}

/// ln φ(x), the logarithm of the density.
pub(in crate::experiment) fn ln_density(x: f64) -> f64 {
    -0.5 * x * x - LN_SQRT_TAU
}

/// The x with P(a ≤ Z ≤ x) = p · P(a ≤ Z ≤ b), for a ≤ 0 ≤ b: a draw of the law truncated to \[a, b\].
pub(in crate::experiment) fn truncated_quantile(p: f64, a: f64, b: f64) -> f64 {
    let (below, above) = (cdf(a), cdf(-b));
    let mass = 1.0 - below - above;
    let left = below + p * mass;
    // From the nearer end, so that the tail keeps its digits.
    let x = if left <= 0.5 { quantile(left) } else { -quantile(above + (1.0 - p) * mass) };
    x.clamp(a, b)
}

/// The z with P(Z ≤ z) = p, for p in (0, 1). Relative error about 10⁻¹⁶ in either tail; the infinities at 0 and 1.
///
/// Source: Wichura, "Algorithm AS 241: the percentage points of the normal distribution" (Applied Statistics 37, 1988), PPND16.
pub(in crate::experiment) fn quantile(p: f64) -> f64 {
    let from_middle = p - 0.5;
    if from_middle.abs() <= 0.425 {
        let r = 0.180_625 - from_middle * from_middle;
        return from_middle * polynomial(&CENTRE.0, r) / polynomial(&CENTRE.1, r);
    }
    let tail = if from_middle < 0.0 { p } else { 1.0 - p };
    let z = tail_quantile(tail.ln());
    if from_middle < 0.0 { z } else { -z }
}

/// The z ≤ 0 with ln P(Z ≤ z) = `ln_p`, for probabilities below 0.075.
fn tail_quantile(ln_p: f64) -> f64 {
    let r = (-ln_p).sqrt();
    if !r.is_finite() {
        return f64::NEG_INFINITY;
    }
    let (table, r) = if r <= 5.0 { (&NEAR, r - 1.6) } else { (&FAR, r - 5.0) };
    -polynomial(&table.0, r) / polynomial(&table.1, r)
}

/// By Horner's rule, the constant first.
fn polynomial(coefficients: &[f64; 8], x: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, c| sum * x + c)
}

type Rational = ([f64; 8], [f64; 8]);

/// |p − ½| ≤ 0.425.
#[rustfmt::skip]
#[expect(clippy::excessive_precision, reason = "as published")]
const CENTRE: Rational = (
    [3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
     4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3],
    [1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
     2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3],
);

/// √(−ln p) ≤ 5.
#[rustfmt::skip]
#[expect(clippy::excessive_precision, reason = "as published")]
const NEAR: Rational = (
    [1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
     1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4],
    [1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
     1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9],
);

/// The rest.
#[rustfmt::skip]
#[expect(clippy::excessive_precision, reason = "as published")]
const FAR: Rational = (
    [6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
     2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7],
    [1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
     7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15],
);

#[cfg(test)]
mod tests {
    use super::*;

    /// SciPy 1.17.1: `scipy.special.ndtri(p)`.
    #[test]
    fn quantiles_agree_with_scipy() {
        for &(p, z) in QUANTILES {
            let got = quantile(p);
            assert!((got - z).abs() <= 4e-15 * f64::abs(z).max(1.0), "{p}: {got} is not {z}");
        }
        assert_eq!((quantile(0.0), quantile(1.0)), (f64::NEG_INFINITY, f64::INFINITY));
    }

    /// SciPy 1.17.1: `scipy.special.ndtr(x)`.
    #[test]
    fn probabilities_agree_with_scipy() {
        for &(x, p) in PROBABILITIES {
            assert!((cdf(x) - p).abs() <= 1e-14 * p, "{x}: {} is not {p}", cdf(x));
        }
    }

    #[test]
    fn a_truncated_draw_lies_where_its_share_of_the_mass_says() {
        for (a, b) in [(-3.0, 1.0), (-0.001, 40.0), (-100.0, 0.0), (0.0, 1e-6)] {
            let mass = cdf(b) - cdf(a);
            for p in [1e-9, 0.1, 0.5, 0.9, 1.0 - 1e-9] {
                let x = truncated_quantile(p, a, b);
                assert!((a..=b).contains(&x));
                assert!((cdf(x) - cdf(a) - p * mass).abs() < 1e-14, "{a} {b} {p}: {x}");
            }
        }
    }

    const QUANTILES: &[(f64, f64)] = &[
        (1e-300, -37.0470962993612),
        (1e-20, -9.262340089798409),
        (1e-10, -6.361340902404056),
        (1e-05, -4.264890793922825),
        (0.001, -3.090232306167813),
        (0.025, -1.9599639845400545),
        (0.07, -1.4757910281791706),
        (0.0751, -1.4388253927525403),
        (0.1, -1.2815515655446004),
        (0.3, -0.5244005127080409),
        (0.499, -0.0025066308995717666),
        (0.5, 0.0),
        (0.6, 0.2533471031357997),
        (0.9, 1.2815515655446004),
        (0.925, 1.4395314709384563),
        (0.975, 1.959963984540054),
        (0.9999, 3.719016485455709),
        (0.9999999999, 6.361340889697422),
    ];

    const PROBABILITIES: &[(f64, f64)] = &[
        (-30.0, 4.906713927147908e-198),
        (-10.0, 7.61985302416047e-24),
        (-5.0, 2.866515718791933e-07),
        (-3.0, 0.0013498980316300933),
        (-1.0, 0.15865525393145707),
        (-0.5, 0.3085375387259869),
        (-0.1, 0.460172162722971),
        (0.0, 0.5),
        (0.1, 0.539827837277029),
        (0.7, 0.758036347776927),
        (1.0, 0.8413447460685429),
        (2.0, 0.9772498680518208),
        (4.0, 0.9999683287581669),
        (7.0, 0.9999999999987201),
    ];
}
