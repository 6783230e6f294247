//! Kullback–Leibler divergence, both ways.
//!
//! Over cells with shares pᵢ and qᵢ,
//!
//! > KL(P‖Q) = Σ pᵢ log(pᵢ / qᵢ),
//!
//! the divergence of P **from** Q (Kullback and Leibler, *On information and sufficiency*, Annals of Mathematical Statistics 22,
//! 1951): 0 for equal shares, without an upper bound, and not symmetric, so that a [`KlDirection`] is part of the definition.
//! Tools differ: Evidently computes the reference from the current sample, driftwatch the other way. The two add up to the
//! [PSI](mod@crate::psi).
//!
//! A cell with pᵢ > 0 and qᵢ = 0 makes it infinite; shares are therefore [smoothed](crate::smoothing), by default with Jeffreys'
//! half counts. Shares that do not add up to 1 after smoothing are divided by their sum.
//!
//! Under no drift, 2·KL in nats over (1/n + 1/m) is close to a χ² variable with k − 1 degrees of freedom; see
//! [`distance`](mod@crate::distance).

use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

use crate::bins::{BinRule, Counted, Missing, Weighed};
use crate::comparison::Comparison;
use crate::distance::{Definition, Distance};
use crate::family::{Family, Unit};
use crate::js::LogBase;
use crate::sample::{Sample, Value};
use crate::smoothing::{Shares, Smoothing};
use crate::tally::Tally;

/// Which of the two distributions is measured from the other.
///
/// ```
/// assert_eq!(mlops_drift::KlDirection::default(), mlops_drift::KlDirection::CurrentFromReference);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KlDirection {
    /// KL(current‖reference): how badly the reference describes what is seen now. The default.
    #[default]
    CurrentFromReference,
    /// KL(reference‖current).
    ReferenceFromCurrent,
}

/// How [`kl_with`] cuts, counts and measures.
///
/// ```
/// use mlops_drift::{KlDirection, KlOptions};
/// let options = KlOptions::default().with_direction(KlDirection::ReferenceFromCurrent);
/// assert_eq!(options.direction, KlDirection::ReferenceFromCurrent);
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KlOptions {
    /// How the reference is cut into cells; ten quantile cells by default.
    pub bins: BinRule,
    /// Which is measured from which; the current sample from the reference by default.
    pub direction: KlDirection,
    /// The base of the logarithm; e by default.
    pub base: LogBase,
    /// How shares are kept away from zero; Jeffreys by default.
    pub smoothing: Smoothing,
    /// What a missing value is; by default a NaN is an error and an absent value is left out.
    pub missing: Missing,
}

impl Default for KlOptions {
    fn default() -> Self {
        Self {
            bins: BinRule::default(),
            direction: KlDirection::default(),
            base: LogBase::E,
            smoothing: Smoothing::default(),
            missing: Missing::default(),
        }
    }
}

impl KlOptions {
    /// With this rule for the cells.
    #[must_use]
    pub fn with_bins(mut self, bins: BinRule) -> Self {
        self.bins = bins;
        self
    }

    /// With this direction.
    #[must_use]
    pub fn with_direction(mut self, direction: KlDirection) -> Self {
        self.direction = direction;
        self
    }

    /// With this base.
    #[must_use]
    pub fn with_base(mut self, base: LogBase) -> Self {
        self.base = base;
        self
    }

    /// With this smoothing.
    #[must_use]
    pub fn with_smoothing(mut self, smoothing: Smoothing) -> Self {
        self.smoothing = smoothing;
        self
    }

    /// With this meaning of a missing value.
    #[must_use]
    pub fn with_missing(mut self, missing: Missing) -> Self {
        self.missing = missing;
        self
    }
}

/// The divergence of the current sample from the reference, in nats, on ten quantile cells of the reference with Jeffreys'
/// smoothing; NaN is an error.
///
/// # Errors
/// As [`psi`](crate::psi()).
///
/// ```
/// use mlops_drift::kl;
///
/// let reference: Vec<f64> = (0..500).map(f64::from).collect();
/// let narrower: Vec<f64> = (200..300).map(f64::from).collect();
/// assert_eq!(kl(&reference, &reference)?.score, 0.0);
/// // A fifth of the cells holds everything: about ln 5 nats.
/// let divergence = kl(&reference, &narrower)?;
/// assert!((1.0..5f64.ln()).contains(&divergence.score));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn kl<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    current: impl Into<Sample<'b, T>>,
) -> Result<Distance, StatsError> {
    kl_with(reference, current, &KlOptions::default())
}

/// The divergence of two samples under given [`KlOptions`].
///
/// # Errors
/// As [`psi_with`](crate::psi_with).
///
/// ```
/// use mlops_drift::{KlOptions, LogBase, kl_with};
/// let bits = kl_with(&[1, 2, 3, 4], &[3, 4, 4, 4], &KlOptions::default().with_base(LogBase::Two))?;
/// assert!(bits.score > 0.0);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn kl_with<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    current: impl Into<Sample<'b, T>>,
    options: &KlOptions,
) -> Result<Distance, StatsError> {
    let counted = Counted::fit(reference.into(), current.into(), options.bins, options.missing)?;
    family(options.direction, options.base, options.smoothing).distance(&counted.comparison()?)
}

/// The divergence of two samples of weighted values. Weights do not shape the cells; n and m are Kish's effective sizes.
///
/// # Errors
/// As [`kl_with`], and as [`weights::total_for`](mlops_core::num::weights::total_for) for the weights.
///
/// ```
/// use mlops_drift::{KlOptions, kl_weighted};
/// let kl = kl_weighted(&[1.0, 2.0], &[1.0, 1.0], &[1.0, 2.0], &[3.0, 1.0], &KlOptions::default())?;
/// assert!(kl.score > 0.0);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn kl_weighted<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    reference_weights: &[f64],
    current: impl Into<Sample<'b, T>>,
    current_weights: &[f64],
    options: &KlOptions,
) -> Result<Distance, StatsError> {
    let sides = ((reference.into(), reference_weights), (current.into(), current_weights));
    let weighed = Weighed::fit(sides.0, sides.1, options.bins, options.missing)?;
    family(options.direction, options.base, options.smoothing).distance(&weighed.comparison()?)
}

/// The divergence in nats of two rows of counts over the same cells. Linear time, no allocation.
///
/// Agrees with `scipy.stats.entropy(p, q)` to 1e-12, and keeps that precision where the rows are nearly equal.
///
/// # Errors
/// As [`psi_from_counts`](crate::psi_from_counts).
///
/// ```
/// use mlops_drift::{KlDirection, Smoothing, kl_from_counts};
///
/// let way = |direction| kl_from_counts(&[50, 50], &[80, 20], direction, Smoothing::None).map(|kl| kl.score);
/// assert!((way(KlDirection::CurrentFromReference)? - 0.19274475702175753).abs() < 1e-15);
/// assert!((way(KlDirection::ReferenceFromCurrent)? - 0.22314355131420976).abs() < 1e-15);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn kl_from_counts<'a, 'b>(
    reference: impl Into<Tally<'a>>,
    current: impl Into<Tally<'b>>,
    direction: KlDirection,
    smoothing: Smoothing,
) -> Result<Distance, StatsError> {
    let comparison = Comparison::new(reference.into(), current.into())?;
    family(direction, LogBase::E, smoothing).distance(&comparison)
}

fn family(direction: KlDirection, base: LogBase, smoothing: Smoothing) -> Family {
    let (definition, unit, top) =
        (Definition::Kl(direction, base, smoothing), Unit { base, root: false }, f64::INFINITY);
    match direction {
        KlDirection::CurrentFromReference => Family {
            definition,
            smoothing,
            factor: 2.0,
            nats: current_nats,
            term: current_term,
            gradient: current_gradient,
            top,
            unit,
        },
        KlDirection::ReferenceFromCurrent => Family {
            definition,
            smoothing,
            factor: 2.0,
            nats: reference_nats,
            term: reference_term,
            gradient: reference_gradient,
            top,
            unit,
        },
    }
}

pub(crate) fn current_term(shares: Shares) -> f64 {
    term(shares.current, shares.reference, -shares.difference)
}

pub(crate) fn reference_term(shares: Shares) -> f64 {
    term(shares.reference, shares.current, shares.difference)
}

fn current_nats(comparison: &Comparison<'_>, smoothing: Smoothing) -> Result<f64, StatsError> {
    nats(comparison, smoothing, |s| (s.current, s.reference, -s.difference))
}

fn reference_nats(comparison: &Comparison<'_>, smoothing: Smoothing) -> Result<f64, StatsError> {
    nats(comparison, smoothing, |s| (s.reference, s.current, s.difference))
}

/// `order` gives the share, the share it is measured from, and their difference.
fn nats(
    comparison: &Comparison<'_>,
    smoothing: Smoothing,
    order: fn(Shares) -> (f64, f64, f64),
) -> Result<f64, StatsError> {
    if !matches!(smoothing, Smoothing::Replace(_) | Smoothing::Floor(_)) {
        return comparison.sum(smoothing, |s| {
            let (p, q, difference) = order(s);
            term(p, q, difference)
        });
    }
    let (p_all, q_all) =
        (comparison.sum(smoothing, |s| order(s).0)?, comparison.sum(smoothing, |s| order(s).1)?);
    comparison.sum(smoothing, |s| {
        let (p, q) = (order(s).0 / p_all, order(s).1 / q_all);
        term(p, q, p - q)
    })
}

/// p·ln(p/q) − p + q = q·[(1 + r)·ln(1 + r) − r] with r = (p − q)/q: what is added cancels over all cells, and leaves a term
/// that is never negative, by its series Σ (−r)ᵏ/(k(k−1)) near 0.
fn term(p: f64, q: f64, difference: f64) -> f64 {
    if p == 0.0 {
        return q;
    }
    let r = difference / q;
    if r.abs() > 0.1 {
        return (p * (p / q).ln() - difference).max(0.0);
    }
    let series = (2..=16).rev().map(|k| 1.0 / f64::from(k * (k - 1)));
    difference * r * series.fold(0.0, |sum, coefficient| coefficient - r * sum)
}

fn current_gradient(Shares { reference, current, .. }: Shares) -> (f64, f64) {
    (-current / reference, (current / reference).ln())
}

fn reference_gradient(Shares { reference, current, .. }: Shares) -> (f64, f64) {
    ((reference / current).ln(), -reference / current)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_and_formula_meet() {
        for (p, q) in [(0.11, 0.1), (0.10999999, 0.1), (0.09, 0.1), (0.0900001, 0.1)] {
            let difference = p - q;
            let formula = p * f64::ln(p / q) - difference;
            assert!((term(p, q, difference) - formula).abs() < 1e-16, "{p}");
        }
    }

    #[test]
    fn both_ways_add_up_to_the_psi() {
        let (a, b) = ([10, 0, 30, 7], [1, 20, 25, 90]);
        for smoothing in [Smoothing::Jeffreys, Smoothing::Laplace, Smoothing::AddRenormalise(1e-4)] {
            let way = |direction| kl_from_counts(&a, &b, direction, smoothing).unwrap().score;
            let both = way(KlDirection::CurrentFromReference) + way(KlDirection::ReferenceFromCurrent);
            let psi = crate::psi_from_counts(&a, &b, smoothing).unwrap().score;
            assert!((both - psi).abs() < 1e-14 * psi, "{smoothing:?}");
        }
    }

    #[test]
    fn only_the_infinite_way_is_refused() {
        let way = |direction| kl_from_counts(&[5, 5], &[9, 0], direction, Smoothing::None);
        assert!((way(KlDirection::CurrentFromReference).unwrap().score - 2f64.ln()).abs() < 1e-15);
        assert!(matches!(way(KlDirection::ReferenceFromCurrent), Err(StatsError::Overflow { .. })));
    }
}
