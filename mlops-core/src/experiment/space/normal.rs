//! The standard normal law: density, probability and quantiles.

use std::f64::consts::{FRAC_2_SQRT_PI, SQRT_2};

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

/// P(a ≤ Z ≤ b) for a ≤ b, right to about 10⁻¹⁶ of 1; the tails keep their digits.
pub(in crate::experiment) fn mass(a: f64, b: f64) -> f64 {
    let (a, b) = (a / SQRT_2, b / SQRT_2);
    if a > 0.0 {
        return (0.5 * (erfc(a) - erfc(b))).max(0.0);
    }
    if b < 0.0 {
        return (0.5 * (erfc(-b) - erfc(-a))).max(0.0);
    }
    0.5 * (erf(b) + erf(-a))
}

/// The error function of x ≥ 0.
fn erf(x: f64) -> f64 {
    if x <= SMALL { erf_small(x) } else { 1.0 - erfc(x) }
}

/// The complement of the error function, to about 10⁻¹⁵ of itself, and 2 · 10⁻¹³ where it is smallest.
///
/// Source: Cody, "Rational Chebyshev approximations for the error function" (Mathematics of Computation 23, 1969).
fn erfc(x: f64) -> f64 {
    if x < 0.0 {
        return 2.0 - erfc(-x);
    }
    if x <= SMALL {
        return 1.0 - erf_small(x);
    }
    if x > 27.3 {
        return 0.0;
    }
    let scaled = if x <= 4.0 {
        fraction(&MIDDLE_ABOVE, &MIDDLE_BELOW, x)
    } else {
        let square = (x * x).recip();
        (FRAC_2_SQRT_PI / 2.0 - square * fraction(&TAIL_ABOVE, &TAIL_BELOW, square)) / x
    };
    // x² in two parts, the first of which is exact.
    let coarse = (x * 16.0).trunc() / 16.0;
    (-coarse * coarse).exp() * (-(x - coarse) * (x + coarse)).exp() * scaled
}

/// Up to here the error function itself is the easier one.
const SMALL: f64 = 0.468_75;

fn erf_small(x: f64) -> f64 {
    x * fraction(&SMALL_ABOVE, &SMALL_BELOW, x * x)
}

/// A quotient of polynomials, the highest powers first.
fn fraction<const N: usize>(above: &[f64; N], below: &[f64; N], x: f64) -> f64 {
    let polynomial = |coefficients: &[f64; N]| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    polynomial(above) / polynomial(below)
}

#[rustfmt::skip]
const SMALL_ABOVE: [f64; 5] = [
    1.857_777_061_846_031_5e-1, 3.161_123_743_870_565_6, 1.138_641_541_510_501_6e2, 3.774_852_376_853_02e2,
    3.209_377_589_138_469_5e3,
];
#[rustfmt::skip]
const SMALL_BELOW: [f64; 5] = [
    1.0, 2.360_129_095_234_412_2e1, 2.440_246_379_344_441_7e2, 1.282_616_526_077_372_3e3, 2.844_236_833_439_171e3,
];
#[rustfmt::skip]
const MIDDLE_ABOVE: [f64; 9] = [
    2.153_115_354_744_038_5e-8, 5.641_884_969_886_701e-1, 8.883_149_794_388_376, 6.611_919_063_714_163e1,
    2.986_351_381_974_001e2, 8.819_522_212_417_69e2, 1.712_047_612_634_070_6e3, 2.051_078_377_826_071_5e3,
    1.230_339_354_797_997_3e3,
];
#[rustfmt::skip]
const MIDDLE_BELOW: [f64; 9] = [
    1.0, 1.574_492_611_070_983_5e1, 1.176_939_508_913_125e2, 5.371_811_018_620_099e2, 1.621_389_574_566_690_2e3,
    3.290_799_235_733_459_7e3, 4.362_619_090_143_247e3, 3.439_367_674_143_721_6e3, 1.230_339_354_803_749_5e3,
];
#[rustfmt::skip]
const TAIL_ABOVE: [f64; 6] = [
    1.631_538_713_730_209_8e-2, 3.053_266_349_612_323_4e-1, 3.603_448_999_498_044_4e-1, 1.257_817_261_112_292_5e-1,
    1.608_378_514_874_227_5e-2, 6.587_491_615_298_378e-4,
];
#[rustfmt::skip]
const TAIL_BELOW: [f64; 6] = [
    1.0, 2.568_520_192_289_822, 1.872_952_849_923_467_3, 5.279_051_029_514_284e-1, 6.051_834_131_244_132e-2,
    2.335_204_976_268_691_8e-3,
];

/// The standard normal law truncated to \[a, b\], a ≤ 0 ≤ b.
#[derive(Clone, Copy, Debug)]
pub(in crate::experiment) struct Truncated {
    a: f64,
    b: f64,
    /// P(Z < a) and P(Z > b).
    below: f64,
    above: f64,
}

impl Truncated {
    pub(in crate::experiment) fn new(a: f64, b: f64) -> Self {
        // Beyond this a tail is less than half the last digit of the whole.
        let tail = |x: f64| if x < -8.3 { 0.0 } else { cdf(x) };
        Self { a, b, below: tail(a), above: tail(-b) }
    }

    /// P(a ≤ Z ≤ b), right to about 10⁻¹⁶ of 1.
    pub(in crate::experiment) fn mass(&self) -> f64 {
        1.0 - self.below - self.above
    }

    /// The x with P(a ≤ Z ≤ x) = p · P(a ≤ Z ≤ b), for p in (0, 1).
    pub(in crate::experiment) fn quantile(&self, p: f64) -> f64 {
        let left = self.below + p * self.mass();
        // From the nearer end, so that the tail keeps its digits.
        let x = if left <= 0.5 { quantile(left) } else { -quantile(self.above + (1.0 - p) * self.mass()) };
        x.clamp(self.a, self.b)
    }
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
            assert!((cdf(x) - p).abs() <= 4e-13 * p, "{x}: {} is not {p}", cdf(x));
        }
    }

    #[test]
    fn a_truncated_draw_lies_where_its_share_of_the_mass_says() {
        for (a, b) in [(-3.0, 1.0), (-0.001, 40.0), (-100.0, 0.0), (0.0, 1e-6)] {
            let mass = cdf(b) - cdf(a);
            for p in [1e-9, 0.1, 0.5, 0.9, 1.0 - 1e-9] {
                let x = Truncated::new(a, b).quantile(p);
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
