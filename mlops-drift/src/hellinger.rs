//! Hellinger distance.
//!
//! Over cells with reference shares pᵢ and current shares qᵢ,
//!
//! > H = √(½ Σ (√pᵢ − √qᵢ)²) = √(1 − Σ √(pᵢqᵢ))
//!
//! (Hellinger, *Neue Begründung der Theorie quadratischer Formen von unendlichvielen Veränderlichen*, 1909): a metric in [0, 1].
//! Empty cells are no difficulty, so there is no smoothing.
//!
//! Under no drift, 8·H² over (1/n + 1/m) is close to a χ² variable with k − 1 degrees of freedom; see
//! [`distance`](mod@crate::distance).

use mlops_core::num::StatsError;

use crate::bins::{Counted, Weighed};
use crate::comparison::Comparison;
use crate::distance::{CellOptions, Definition, Distance};
use crate::family::{Family, Unit};
use crate::js::LogBase;
use crate::sample::{Sample, Value};
use crate::smoothing::{Shares, Smoothing};
use crate::tally::Tally;

/// The Hellinger distance of two samples on ten quantile cells of the reference; NaN is an error.
///
/// # Errors
/// As [`psi`](crate::psi()).
///
/// ```
/// use mlops_drift::hellinger;
/// assert_eq!(hellinger(&[1.0, 2.0, 3.0], &[7.0, 8.0])?.score, 1.0);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn hellinger<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    current: impl Into<Sample<'b, T>>,
) -> Result<Distance, StatsError> {
    hellinger_with(reference, current, &CellOptions::default())
}

/// The Hellinger distance of two samples under given [`CellOptions`].
///
/// # Errors
/// As [`psi_with`](crate::psi_with).
///
/// ```
/// use mlops_drift::{BinRule, CellOptions, hellinger_with};
/// let options = CellOptions::default().with_bins(BinRule::EqualWidth(2));
/// assert_eq!(hellinger_with(&[0, 1, 2, 3], &[3, 3, 0, 0], &options)?.score, 0.0);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn hellinger_with<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    current: impl Into<Sample<'b, T>>,
    options: &CellOptions,
) -> Result<Distance, StatsError> {
    let counted = Counted::fit(reference.into(), current.into(), options.bins, options.missing)?;
    FAMILY.distance(&counted.comparison()?)
}

/// The Hellinger distance of two samples of weighted values. Weights do not shape the cells; n and m are Kish's effective sizes.
///
/// # Errors
/// As [`hellinger_with`], and as [`weights::total_for`](mlops_core::num::weights::total_for) for the weights.
///
/// ```
/// use mlops_drift::{CellOptions, hellinger_weighted};
/// let (values, weights) = ([1.0, 2.0, 3.0], [1.0, 2.0, 1.0]);
/// assert_eq!(hellinger_weighted(&values, &weights, &values, &weights, &CellOptions::default())?.score, 0.0);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn hellinger_weighted<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    reference_weights: &[f64],
    current: impl Into<Sample<'b, T>>,
    current_weights: &[f64],
    options: &CellOptions,
) -> Result<Distance, StatsError> {
    let sides = ((reference.into(), reference_weights), (current.into(), current_weights));
    FAMILY.distance(&Weighed::fit(sides.0, sides.1, options.bins, options.missing)?.comparison()?)
}

/// The Hellinger distance of two rows of counts over the same cells. Linear time, no allocation.
///
/// Agrees with 60-digit arithmetic to 1e-12, also where the rows are nearly equal.
///
/// # Errors
/// [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::ZeroTotal`]; [`StatsError::Overflow`] when a side adds
/// up to more than 2⁶².
///
/// ```
/// use mlops_drift::hellinger_from_counts;
/// let distance = hellinger_from_counts(&[36, 64], &[64, 36])?;
/// assert!((distance.score - 0.2).abs() < 1e-15);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn hellinger_from_counts<'a, 'b>(
    reference: impl Into<Tally<'a>>,
    current: impl Into<Tally<'b>>,
) -> Result<Distance, StatsError> {
    FAMILY.distance(&Comparison::new(reference.into(), current.into())?)
}

const FAMILY: Family = Family {
    definition: Definition::Hellinger,
    smoothing: Smoothing::None,
    factor: 8.0,
    nats: square,
    term,
    gradient,
    top: 1.0,
    unit: Unit { base: LogBase::E, root: true },
};

fn square(comparison: &Comparison<'_>, smoothing: Smoothing) -> Result<f64, StatsError> {
    Ok(comparison.sum(smoothing, term)?.min(1.0))
}

/// ½(√p − √q)² = ½((p − q)/(√p + √q))².
pub(crate) fn term(Shares { reference, current, difference }: Shares) -> f64 {
    0.5 * (difference / (reference.sqrt() + current.sqrt())).powi(2)
}

fn gradient(Shares { reference, current, .. }: Shares) -> (f64, f64) {
    (-0.5 * (current / reference).sqrt(), -0.5 * (reference / current).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_keep_their_distance() {
        let n = 1 << 40;
        let got = hellinger_from_counts(&[n, n], &[n + 1, n - 1]).unwrap().score;
        // H² is δ²/8·Σ 1/p to first order, with δ = 1/2n and p = ½.
        let expected = (0.5 / n as f64) / 2f64.sqrt();
        assert!((got - expected).abs() < 1e-11 * expected, "{got} {expected}");
    }
}
