//! Laws of the statistics of this crate alone, as logarithms; those that others need too are in
//! [`mlops_core::num::special`].

mod complex;
mod quadratic;

pub(crate) use mlops_core::num::special::{
    Hypergeometric, ln_chi2_sf, ln_choose, ln_f_sf, ln_normal_sf, ln_normal_two_sided, ln_student_t_sf,
    ln_student_t_two_sided, normal_quantile, stirling_remainder, student_t_quantile,
};
pub(crate) use quadratic::{AndersonDarlingLaw, Bridge, CramerVonMisesLaw, ln_sf};

/// ln P(K ≥ x) for Kolmogorov's limit law: 2 Σ (−1)ᵏ⁻¹ exp(−2k²x²), or 1 − √(2π)/x Σ exp(−(2k−1)²π²/8x²) where that
/// converges faster (A. N. Kolmogorov, *Sulla determinazione empirica di una legge di distribuzione*, 1933).
pub(crate) fn ln_kolmogorov_sf(x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x < 1.0 {
        let unit = (std::f64::consts::PI / x).powi(2) / 8.0;
        let below: f64 = (1..=5).map(|k| (-unit * f64::from((2 * k - 1) * (2 * k - 1))).exp()).sum();
        return (-(std::f64::consts::TAU.sqrt() / x * below)).ln_1p();
    }
    let unit = 2.0 * x * x;
    let rest: f64 = (2..=6)
        .map(|k| {
            let term = (-unit * f64::from(k * k - 1)).exp();
            if k % 2 == 0 { -term } else { term }
        })
        .sum();
    std::f64::consts::LN_2 - unit + rest.ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, expected: f64, tolerance: f64) -> bool {
        (got - expected).abs() <= tolerance * expected.abs().max(1e-300)
    }

    #[test]
    fn kolmogorov_tails_agree_with_mpmath() {
        for &(x, ln_sf) in KOLMOGOROV {
            let got = ln_kolmogorov_sf(x);
            assert!(close(got, ln_sf, 1e-13), "x = {x}: {got} is not {ln_sf}");
        }
    }

    /// x and ln of Kolmogorov's survival function, by mpmath 1.4.1 with 400 digits.
    const KOLMOGOROV: &[(f64, f64)] = &[
        (0.25, -2.6823810444588226e-08),
        (0.3, -9.305844633804485e-06),
        (0.5, -0.03672078716235487),
        (0.8, -0.6085442804041838),
        (0.99, -1.2698496811935096),
        (1.0, -1.3093345359942996),
        (1.01, -1.3492522922063566),
        (1.36, -3.006067968191612),
        (2.0, -7.306852819477806),
        (5.0, -49.30685281944005),
        (11.7, -273.08685281944),
        (18.6, -691.2268528194402),
        (37.0, -2737.30685281944),
        (100.0, -19999.30685281944),
    ];
}
