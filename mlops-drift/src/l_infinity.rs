//! Largest difference of shares: L∞.
//!
//! > L∞ = max |pᵢ − qᵢ|
//!
//! over cells with reference shares pᵢ and current shares qᵢ, in [0, 1]: what happened to the one cell, category or level that moved most.
//! NannyML's default for categories.
//!
//! # The law under no drift
//! The differences over √(1/n + 1/m) are close to normal variables with the covariance of one multinomial draw on the pooled shares.
//! The p-value is 1 − Π(1 − αᵢ), where αᵢ is the probability that cell i alone differs so much: an upper bound for normal variables of any
//! correlation (Šidák, *Rectangular confidence regions for the means of multivariate normal distributions*, JASA 62, 1967), and
//! exact for two cells, which are one. Against 10⁶ draws a nominal 5 % is 4.1 to 4.5 % with three cells and 4.9 to 5.0 % from ten on. The noise
//! floor is the mean that belongs to this law: a little more than the score's mean.
//!
//! The interval is that of [total variation](mod@crate::total_variation).

use mlops_core::num::StatsError;
use mlops_core::num::sum::Sum;

use crate::bins::{Counted, Weighed};
use crate::comparison::Comparison;
use crate::distance::{CellOptions, Definition, Distance};
use crate::pair::Tail;
use crate::sample::{Sample, Value};
use crate::smoothing::Smoothing;
use crate::special::ln_chi2_sf;
use crate::tally::Tally;
use crate::total_variation::bounded;

/// The largest difference of shares of two samples on ten quantile cells of the reference; NaN is an error.
///
/// # Errors
/// As [`psi`](crate::psi()).
///
/// ```
/// use mlops_drift::l_infinity;
/// assert_eq!(l_infinity(&[5; 9], &[7; 9])?.score, 1.0);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn l_infinity<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    current: impl Into<Sample<'b, T>>,
) -> Result<Distance, StatsError> {
    l_infinity_with(reference, current, &CellOptions::default())
}

/// The largest difference of shares of two samples under given [`CellOptions`].
///
/// # Errors
/// As [`psi_with`](crate::psi_with).
///
/// ```
/// use mlops_drift::{BinRule, CellOptions, l_infinity_with};
/// let options = CellOptions::default().with_bins(BinRule::EqualWidth(2));
/// assert_eq!(l_infinity_with(&[0, 1, 2, 3], &[3, 3, 3, 0], &options)?.score, 0.25);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn l_infinity_with<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    current: impl Into<Sample<'b, T>>,
    options: &CellOptions,
) -> Result<Distance, StatsError> {
    let counted = Counted::fit(reference.into(), current.into(), options.bins, options.missing)?;
    distance(&counted.comparison()?)
}

/// The largest difference of shares of two samples of weighted values. Weights do not shape the cells; n and m are Kish's effective sizes.
///
/// # Errors
/// As [`l_infinity_with`], and as [`weights::total_for`](mlops_core::num::weights::total_for) for the weights.
///
/// ```
/// use mlops_drift::{CellOptions, l_infinity_weighted};
/// let (values, weights) = ([1.0, 2.0, 3.0], [1.0, 2.0, 1.0]);
/// assert_eq!(l_infinity_weighted(&values, &weights, &values, &weights, &CellOptions::default())?.score, 0.0);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn l_infinity_weighted<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    reference_weights: &[f64],
    current: impl Into<Sample<'b, T>>,
    current_weights: &[f64],
    options: &CellOptions,
) -> Result<Distance, StatsError> {
    let sides = ((reference.into(), reference_weights), (current.into(), current_weights));
    distance(&Weighed::fit(sides.0, sides.1, options.bins, options.missing)?.comparison()?)
}

/// The largest difference of shares of two rows of counts over the same cells. Linear time, no allocation.
///
/// # Errors
/// As [`hellinger_from_counts`](crate::hellinger_from_counts).
///
/// ```
/// use mlops_drift::l_infinity_from_counts;
/// let distance = l_infinity_from_counts(&[50, 30, 20], &[30, 35, 35])?;
/// assert!((distance.score - 0.2).abs() < 1e-15);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn l_infinity_from_counts<'a, 'b>(
    reference: impl Into<Tally<'a>>,
    current: impl Into<Tally<'b>>,
) -> Result<Distance, StatsError> {
    distance(&Comparison::new(reference.into(), current.into())?)
}

fn distance(comparison: &Comparison<'_>) -> Result<Distance, StatsError> {
    let score = largest(comparison)?.min(1.0);
    let unit = comparison.inverse_size().sqrt();
    let spread = |share: f64| (share * (1.0 - share)).max(0.0).sqrt();
    let pooled = comparison.shares(Smoothing::None)?.map(|s| spread(comparison.pooled(s)));
    let noise = unit * mean(comparison, pooled.fold(0.0, f64::max))?;
    let (n, m) = comparison.sizes;
    let apart = comparison.shares(Smoothing::None)?;
    let deviation = apart.map(|s| (spread(s.reference).powi(2) / n + spread(s.current).powi(2) / m).sqrt());
    let tail = tail(&comparison.folded())?.with_outside(&comparison.folded());
    let deviation = deviation.fold(0.0, f64::max);
    Ok(bounded(Definition::LInfinity, comparison, score, noise, deviation, tail))
}

fn largest(comparison: &Comparison<'_>) -> Result<f64, StatsError> {
    Ok(comparison.shares(Smoothing::None)?.map(|s| s.difference.abs()).fold(0.0, f64::max))
}

fn tail(comparison: &Comparison<'_>) -> Result<Tail, StatsError> {
    if comparison.cells < 2 {
        return Ok(Tail::chi2(0.0, 0));
    }
    let x = largest(comparison)? / comparison.inverse_size().sqrt();
    let ln_below = ln_all_below(comparison, x)?;
    // ln(1 − e^b), from the side that keeps its digits.
    let ln_p = if ln_below > -1e-12 { ln_any_above(comparison, x)? } else { (-ln_below.exp_m1()).ln() };
    Ok(Tail::from_ln(ln_p.min(0.0)))
}

/// ln Π(1 − αᵢ).
fn ln_all_below(comparison: &Comparison<'_>, x: f64) -> Result<f64, StatsError> {
    let ln_below: Sum = ln_alphas(comparison, x)?.map(|ln_alpha| (-ln_alpha.exp()).ln_1p()).collect();
    Ok(ln_below.value())
}

/// ln Σ αᵢ, where all are tiny.
fn ln_any_above(comparison: &Comparison<'_>, x: f64) -> Result<f64, StatsError> {
    let top = ln_alphas(comparison, x)?.fold(f64::NEG_INFINITY, f64::max);
    let sum: Sum = ln_alphas(comparison, x)?.map(|ln_alpha| (ln_alpha - top).exp()).collect();
    Ok(top + sum.value().ln())
}

/// ln P(|Zᵢ| ≥ x) for every cell that varies; two cells are one and the same.
fn ln_alphas<'a>(
    comparison: &'a Comparison<'_>,
    x: f64,
) -> Result<impl Iterator<Item = f64> + 'a, StatsError> {
    let both = if comparison.cells == 2 { Some(widest(comparison)?) } else { None };
    let each = comparison.shares(Smoothing::None)?.filter(move |_| both.is_none());
    let variances = both.into_iter().chain(each.map(|s| variance(comparison.pooled(s))));
    Ok(variances.filter(|&variance| variance > 0.0).map(move |variance| ln_chi2_sf(x * x / variance, 1.0)))
}

/// The largest variance of a cell. A share that rounds to 1 loses its own, but then another cell has the same.
pub(crate) fn widest(comparison: &Comparison<'_>) -> Result<f64, StatsError> {
    Ok(comparison.shares(Smoothing::None)?.map(|s| variance(comparison.pooled(s))).fold(0.0, f64::max))
}

fn variance(share: f64) -> f64 {
    (share * (1.0 - share)).max(0.0)
}

/// The mean of a variable with P(X ≥ x) = 1 − Π(1 − αᵢ(x)): the integral of that, by Simpson's rule up to where it is nothing.
fn mean(comparison: &Comparison<'_>, deviation: f64) -> Result<f64, StatsError> {
    const STEPS: u32 = 64;
    if deviation == 0.0 {
        return Ok(0.0);
    }
    let end = deviation * (2.0 * (comparison.cells as f64).ln() + 40.0).sqrt();
    let step = end / f64::from(STEPS);
    let mut total = Sum::new();
    for i in 0..=STEPS {
        let above = -ln_all_below(comparison, f64::from(i) * step)?.exp_m1();
        let weight = if i == 0 || i == STEPS { 1.0 } else { f64::from(2 + 2 * (i % 2)) };
        total.push(weight * above);
    }
    Ok(total.value() * step / 3.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_cells_are_one() {
        let got = l_infinity_from_counts(&[480, 520], &[520, 480]).unwrap();
        // By scipy 1.17.1 `2*norm.sf(0.04/sqrt(.25*.002))`; the mean of |Z| is √(2/π)·σ.
        assert!((got.p.value().unwrap() - 0.073_638_270_121_002_15).abs() < 1e-12, "{got:?}");
        let mean = (2.0 / std::f64::consts::PI).sqrt() * (0.25f64 * 0.002).sqrt();
        assert!((got.noise_floor - mean).abs() < 1e-3 * mean, "{got:?}");
    }

    #[test]
    fn the_tail_has_no_seam() {
        let mut before = 0.0;
        for i in 0..2000 {
            let got = l_infinity_from_counts(&[4000, 4000, 4000], &[4000 + i, 4000, 4000 - i]).unwrap();
            let ln_p = got.ln_p.value().unwrap();
            assert!(ln_p <= before && before - ln_p < 1.0, "step {i}: {ln_p} after {before}");
            before = ln_p;
        }
        assert!(before < -100.0);
    }
}
