//! The noncentral χ² law, turned around: which noncentralities go with what was seen.

use std::f64::consts::SQRT_2;

/// 97.5 % of a normal law lie below.
pub(crate) const Z: f64 = 1.959_963_984_540_054;

/// The noncentralities λ ≥ 0 under which an observed `x` from χ²(`dof`, λ) is neither among the largest nor among the
/// smallest 2.5 %: the ends of a 95 % interval.
///
/// By Sankaran's approximation (*Approximations to the non-central chi-square distribution*, Biometrika 50, 1963): a power of
/// the variable is nearly normal. The upper end is too large for `dof` 1 and x below about 0.1.
pub(crate) fn noncentrality(x: f64, dof: f64) -> (f64, f64) {
    (solve(x, dof, Z), solve(x, dof, -Z))
}

/// The λ with z(λ) = target, or 0 where even λ = 0 is too large. z falls in λ.
fn solve(x: f64, dof: f64, target: f64) -> f64 {
    if normal_score(x, dof, 0.0) <= target {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, x.max(1.0));
    while normal_score(x, dof, high) > target && high < f64::MAX / 4.0 {
        high *= 2.0;
    }
    for _ in 0..80 {
        let middle = low + (high - low) / 2.0;
        if normal_score(x, dof, middle) > target {
            low = middle;
        } else {
            high = middle;
        }
        if high - low <= 1e-12 * high {
            break;
        }
    }
    low + (high - low) / 2.0
}

/// Sankaran's z: P(χ²(dof, λ) ≤ x) ≈ Φ(z).
fn normal_score(x: f64, dof: f64, lambda: f64) -> f64 {
    let (mean, double) = (dof + lambda, dof + 2.0 * lambda);
    let h = 1.0 - 2.0 / 3.0 * (mean / double) * ((dof + 3.0 * lambda) / double);
    let p = double / mean / mean;
    let m = (h - 1.0) * (1.0 - 3.0 * h);
    let centre = 1.0 + h * p * (h - 1.0 - 0.5 * (2.0 - h) * m * p);
    ((x / mean).powf(h) - centre) / (h * SQRT_2 * p.sqrt() * (1.0 + 0.5 * m * p))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// x, degrees of freedom, and the λ with P(X ≥ x) = 0.025 and with P(X ≤ x) = 0.025, by scipy 1.17.1
    /// `optimize.brentq(stats.ncx2)`.
    const EXACT: &[(f64, f64, f64, f64)] = &[
        (0.5, 1.0, 0.000000, 7.078940),
        (4.0, 1.0, 0.000000, 15.681315),
        (30.0, 1.0, 12.371129, 55.311789),
        (1.0, 3.0, 0.000000, 5.042909),
        (9.0, 3.0, 0.000000, 22.015628),
        (60.0, 3.0, 31.750325, 91.965221),
        (2.0, 9.0, 0.000000, 0.000000),
        (9.0, 9.0, 0.000000, 14.101910),
        (17.0, 9.0, 0.000000, 27.199776),
        (25.0, 9.0, 3.108426, 38.951938),
        (100.0, 9.0, 57.478067, 134.284581),
        (5000.0, 9.0, 4718.772357, 5272.912077),
        (80.0, 99.0, 0.000000, 8.856971),
        (140.0, 99.0, 9.026325, 83.690708),
        (1000.0, 99.0, 785.008021, 1026.772601),
        (1000000.0, 99.0, 995986.009576, 1003825.673435),
    ];

    #[test]
    fn ends_agree_with_scipy() {
        for &(x, dof, low, high) in EXACT {
            let got = noncentrality(x, dof);
            let within = |got: f64, want: f64| (got - want).abs() <= 0.05 * (x - want).abs() + 0.02;
            assert!(within(got.0, low) && within(got.1, high), "{x} {dof}: {got:?} is not ({low}, {high})");
        }
    }
}
