//! Population stability index.
//!
//! Over k cells with reference shares pᵢ and current shares qᵢ,
//!
//! > PSI = Σ (pᵢ − qᵢ) · ln(pᵢ / qᵢ),
//!
//! the symmetrised Kullback–Leibler divergence (Jeffreys, *An invariant form for the prior probability in estimation
//! problems*, Proc. R. Soc. A 186, 1946) in nats: 0 for equal shares, without an upper bound, the same when the two sides
//! change places. Shares are [smoothed](crate::smoothing), by default with Jeffreys' half counts.
//!
//! # A score alone says little
//! Two samples of n and m values from the *same* distribution do not score 0. Their PSI is close to (1/n + 1/m) times a χ²
//! variable with k − 1 degrees of freedom (Yurdakul and Naranjo, *Statistical properties of the population stability index*,
//! Journal of Risk Model Validation 14, 2020), so on average it is the **noise floor** (k − 1)(1/n + 1/m): 0.09 for ten cells
//! and 200 values a side, most of the way to the customary threshold of 0.1. So every result carries the floor, the score
//! above it, and a p-value by that law. The p-value is always that of the index with Jeffreys' half counts, whatever smoothing
//! the score has: it is the one that keeps nearest to its level where cells are sparse.
//!
//! What cells fitted on the reference do to the p-value, and where the interval comes from, is told in
//! [`distance`](mod@crate::distance).

use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

use crate::bins::{BinRule, Counted, Missing, Weighed};
use crate::comparison::Comparison;
use crate::distance::{Definition, Distance};
use crate::family::{Family, Unit};
use crate::sample::{Sample, Value};
use crate::smoothing::{Shares, Smoothing};
use crate::tally::Tally;

/// How [`psi_with`] cuts, counts and smooths.
///
/// ```
/// use mlops_drift::{BinRule, PsiOptions, Smoothing};
///
/// let options = PsiOptions::default().with_bins(BinRule::EqualWidth(20)).with_smoothing(Smoothing::Laplace);
/// assert_eq!(options.bins, BinRule::EqualWidth(20));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PsiOptions {
    /// How the reference is cut into cells; ten quantile cells by default.
    pub bins: BinRule,
    /// How shares are kept away from zero; Jeffreys by default.
    pub smoothing: Smoothing,
    /// What a missing value is; by default a NaN is an error and an absent value is left out.
    pub missing: Missing,
}

impl PsiOptions {
    /// With this rule for the cells.
    #[must_use]
    pub fn with_bins(mut self, bins: BinRule) -> Self {
        self.bins = bins;
        self
    }

    /// With this smoothing.
    #[must_use]
    pub fn with_smoothing(mut self, smoothing: Smoothing) -> Self {
        self.smoothing = smoothing;
        self
    }

    /// With this meaning of NaN.
    #[must_use]
    pub fn with_missing(mut self, missing: Missing) -> Self {
        self.missing = missing;
        self
    }
}

/// The PSI of two samples on ten quantile cells of the reference, with Jeffreys' smoothing; NaN is an error.
///
/// Bins are fitted on the reference alone (O(n log n)), so the result changes when the arguments change places. To compare
/// many samples with one reference, fit [`Bins`](crate::Bins) once and use [`psi_from_counts`].
///
/// # Errors
/// [`StatsError::Empty`] and [`StatsError::Nan`] name the argument; [`StatsError::NotFinite`] when the reference has no finite
/// value.
///
/// ```
/// use mlops_drift::psi;
///
/// let reference: Vec<f64> = (0..1000).map(f64::from).collect();
/// let shifted: Vec<f64> = reference.iter().map(|value| value + 300.0).collect();
/// assert_eq!(psi(&reference, &reference)?.score, 0.0);
///
/// let drift = psi(&reference, &shifted)?;
/// assert!(drift.score > 0.25 && drift.noise_floor < 0.03);
/// assert!(drift.ln_p.value().is_some_and(|ln_p| ln_p < -100.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn psi<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    current: impl Into<Sample<'b, T>>,
) -> Result<Distance, StatsError> {
    psi_with(reference, current, &PsiOptions::default())
}

/// The PSI of two samples under given [`PsiOptions`].
///
/// # Errors
/// As [`psi`]; [`StatsError::AllMissing`] under [`Missing::Omit`] and, for the reference, [`Missing::Cell`]; as [`Bins::fit`](crate::Bins::fit)
/// for the rule and as [`psi_from_counts`] for the smoothing.
///
/// # Example: missing values are a cell of their own
/// ```
/// use mlops_drift::{Missing, PsiOptions, psi_with};
///
/// let reference = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
/// let current = [1.0, f64::NAN, 3.0, f64::NAN, 5.0, f64::NAN, 7.0, f64::NAN];
/// let score = |missing| psi_with(&reference, &current, &PsiOptions::default().with_missing(missing));
/// assert!(score(Missing::Raise).is_err());
/// assert!(score(Missing::Cell)?.score > score(Missing::Omit)?.score);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn psi_with<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    current: impl Into<Sample<'b, T>>,
    options: &PsiOptions,
) -> Result<Distance, StatsError> {
    let counted = Counted::fit(reference.into(), current.into(), options.bins, options.missing)?;
    distance(&counted.comparison()?, options.smoothing)
}

/// The PSI of two samples of weighted values. Weights do not shape the cells; n and m are Kish's effective sizes.
///
/// # Errors
/// As [`psi_with`], and as [`weights::total_for`](mlops_core::num::weights::total_for) for the weights.
///
/// ```
/// use mlops_drift::{PsiOptions, psi_weighted, psi_with};
///
/// let (reference, current) = ([1.0, 2.0, 3.0, 4.0], [2.0, 3.0, 9.0]);
/// let options = PsiOptions::default();
/// let weighted = psi_weighted(&reference, &[1.0; 4], &current, &[1.0; 3], &options)?;
/// let plain = psi_with(&reference, &current, &options)?;
/// assert!((weighted.score - plain.score).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn psi_weighted<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    reference_weights: &[f64],
    current: impl Into<Sample<'b, T>>,
    current_weights: &[f64],
    options: &PsiOptions,
) -> Result<Distance, StatsError> {
    let sides = ((reference.into(), reference_weights), (current.into(), current_weights));
    let weighed = Weighed::fit(sides.0, sides.1, options.bins, options.missing)?;
    distance(&weighed.comparison()?, options.smoothing)
}

/// The PSI of two rows of counts over the same cells. Linear time, no allocation.
///
/// Cells empty on both sides are dropped. The score agrees with 50-digit arithmetic to 1e-12 for every smoothing.
///
/// # Errors
/// [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::ZeroTotal`]; [`StatsError::Overflow`] when a side adds
/// up to more than 2⁶², and under [`Smoothing::None`] when a cell is empty on one side only, where the PSI is infinite;
/// [`StatsError::Parameter`] for an ε outside (0, 1].
///
/// ```
/// use mlops_drift::{Smoothing, psi_from_counts};
///
/// let psi = psi_from_counts(&[100, 200, 300], &[90, 210, 330], Smoothing::Jeffreys)?;
/// assert_eq!((psi.reference.used, psi.current.used, psi.cells), (600, 630, 3));
/// assert!((psi.noise_floor - 2.0 * (1.0 / 600.0 + 1.0 / 630.0)).abs() < 1e-15);
/// assert_eq!(psi.corrected, 0.0); // the score does not even reach the noise
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn psi_from_counts<'a, 'b>(
    reference: impl Into<Tally<'a>>,
    current: impl Into<Tally<'b>>,
    smoothing: Smoothing,
) -> Result<Distance, StatsError> {
    distance(&Comparison::new(reference.into(), current.into())?, smoothing)
}

fn distance(comparison: &Comparison<'_>, smoothing: Smoothing) -> Result<Distance, StatsError> {
    let (definition, top) = (Definition::Psi(smoothing), f64::INFINITY);
    Family { definition, smoothing, factor: 1.0, nats: index, term, gradient, top, unit: Unit::NATS }
        .distance(comparison)
}

fn index(comparison: &Comparison<'_>, smoothing: Smoothing) -> Result<f64, StatsError> {
    comparison.sum(smoothing, term)
}

fn gradient(Shares { reference, current, .. }: Shares) -> (f64, f64) {
    let ratio = (reference / current).ln();
    (ratio - current / reference, -ratio - reference / current)
}

/// (p − q)·ln(p/q), precise also where p and q are nearly equal.
pub(crate) fn term(shares: Shares) -> f64 {
    let Shares { reference, current, difference } = shares;
    if difference == 0.0 {
        return 0.0;
    }
    let relative = difference / current;
    difference * if relative.abs() < 0.5 { relative.ln_1p() } else { (reference / current).ln() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_sides_may_change_places() {
        for smoothing in [Smoothing::Jeffreys, Smoothing::Laplace, Smoothing::Floor(0.01)] {
            let (a, b) = ([10, 0, 30, 7], [1, 20, 25, 90]);
            let there = psi_from_counts(&a, &b, smoothing).unwrap().score;
            let back = psi_from_counts(&b, &a, smoothing).unwrap().score;
            assert!((there - back).abs() <= 1e-15 * there, "{smoothing:?}");
        }
    }

    #[test]
    fn an_infinite_index_is_an_error_and_not_a_number() {
        let refused = psi_from_counts(&[1, 0], &[1, 1], Smoothing::None);
        assert!(matches!(refused, Err(StatsError::Overflow { .. })), "{refused:?}");
        assert_eq!(psi_from_counts(&[1, 0, 1], &[1, 0, 1], Smoothing::None).unwrap().score, 0.0);
    }

    #[test]
    fn cells_empty_on_both_sides_change_nothing() {
        let dense = psi_from_counts(&[50, 70], &[5, 2], Smoothing::Jeffreys).unwrap();
        let sparse = psi_from_counts(&[0, 50, 0, 0, 70], &[0, 5, 0, 0, 2], Smoothing::Jeffreys).unwrap();
        assert_eq!(dense, sparse);
    }

    #[test]
    fn a_single_cell_has_a_score_and_no_p_value() {
        let psi = psi_from_counts(&[7], &[9], Smoothing::Jeffreys).unwrap();
        assert_eq!((psi.score, psi.noise_floor, psi.p.value()), (0.0, 0.0, None));
    }

    #[test]
    fn a_growing_atom_is_seen() {
        // One per cent of exact ones becomes half of the sample: plain quantile cells score 0 here.
        let reference: Vec<f64> = (0..990).map(|i| f64::from(i) / 990.0).chain([1.0; 10]).collect();
        let current: Vec<f64> = (0..500).map(|i| f64::from(i) / 500.0).chain([1.0; 500]).collect();
        assert!(psi(&reference, &current).unwrap().score > 0.5);
    }

    #[test]
    fn a_constant_that_moves_is_seen() {
        let drift = psi(&[3.5; 100], &[4.5; 100]).unwrap();
        assert!(drift.score > 5.0, "{drift:?}");
        assert_eq!(psi(&[3.5; 100], &[3.5; 100]).unwrap().score, 0.0);
    }

    #[test]
    fn one_outlier_does_not_hide_a_shift() {
        let reference: Vec<f64> = (0..1000).map(f64::from).collect();
        let mut current: Vec<f64> = reference.iter().map(|v| v + 500.0).collect();
        let clean = psi(&reference, &current).unwrap().score;
        current[0] = 1e300;
        assert!((psi(&reference, &current).unwrap().score - clean).abs() < 0.1 * clean);
    }
}
