//! Jensen–Shannon distance and divergence.
//!
//! Over cells with reference shares pᵢ, current shares qᵢ and their means mᵢ = (pᵢ + qᵢ)/2,
//!
//! > JSD = ½ Σ pᵢ log(pᵢ/mᵢ) + ½ Σ qᵢ log(qᵢ/mᵢ), and the distance is √JSD
//!
//! (Lin, *Divergence measures based on the Shannon entropy*, IEEE Trans. Inf. Theory 37, 1991; the root is a metric: Endres
//! and Schindelin, ibid. 49, 2003). With base 2 both lie in [0, 1]; with base e the divergence ends at ln 2 ≈ 0.693 and the
//! distance at 0.833. Tools differ in root and base, so that "0.1" means three different things; here the result's
//! [`Definition`] names both. Empty cells are no difficulty, so there is no smoothing unless asked for.
//!
//! Under no drift, 8·JSD in nats is close to (1/n + 1/m) times a χ² variable with k − 1 degrees of freedom, the same law as
//! for the [PSI](mod@crate::psi): it gives the noise floor and the p-value. The p-value is that of the divergence with Jeffreys' half
//! counts, also where the score has no smoothing; see [`distance`](mod@crate::distance).

use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

use crate::bins::{BinRule, Counted, Missing, Weighed};
use crate::comparison::Comparison;
use crate::distance::{Definition, Distance};
use crate::family::{Family, Unit};
use crate::sample::{Sample, Value};
use crate::smoothing::{Shares, Smoothing};
use crate::tally::Tally;

/// The base of a logarithm, and so the unit of an entropy.
///
/// ```
/// assert_eq!(mlops_drift::LogBase::default(), mlops_drift::LogBase::Two);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogBase {
    /// Bits. The default: distances then lie in [0, 1].
    #[default]
    Two,
    /// Nats.
    E,
}

impl LogBase {
    /// From nats to this unit.
    pub(crate) fn of_nats(self, nats: f64) -> f64 {
        match self {
            Self::Two => nats / std::f64::consts::LN_2,
            Self::E => nats,
        }
    }
}

/// How [`js_with`] cuts, counts and measures.
///
/// ```
/// use mlops_drift::{JsOptions, LogBase};
/// assert_eq!(JsOptions::default().with_base(LogBase::E).base, LogBase::E);
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JsOptions {
    /// How the reference is cut into cells; ten quantile cells by default.
    pub bins: BinRule,
    /// The base of the logarithm; 2 by default.
    pub base: LogBase,
    /// Smoothing; none by default. Shares that do not add up to 1 afterwards are divided by their sum.
    pub smoothing: Smoothing,
    /// What a missing value is; by default a NaN is an error and an absent value is left out.
    pub missing: Missing,
}

impl Default for JsOptions {
    fn default() -> Self {
        Self {
            bins: BinRule::default(),
            base: LogBase::default(),
            smoothing: Smoothing::None,
            missing: Missing::default(),
        }
    }
}

impl JsOptions {
    /// With this rule for the cells.
    #[must_use]
    pub fn with_bins(mut self, bins: BinRule) -> Self {
        self.bins = bins;
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

    /// With this meaning of NaN.
    #[must_use]
    pub fn with_missing(mut self, missing: Missing) -> Self {
        self.missing = missing;
        self
    }
}

/// The Jensen–Shannon distance, base 2, of two samples on ten quantile cells of the reference; NaN is an error.
///
/// # Errors
/// As [`psi`](crate::psi()).
///
/// ```
/// use mlops_drift::js;
///
/// let reference: Vec<f64> = (0..500).map(f64::from).collect();
/// let elsewhere: Vec<f64> = (1000..1500).map(f64::from).collect();
/// assert_eq!(js(&reference, &reference)?.score, 0.0);
/// assert_eq!(js(&reference, &elsewhere)?.score, 1.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn js<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    current: impl Into<Sample<'b, T>>,
) -> Result<Distance, StatsError> {
    js_with(reference, current, &JsOptions::default())
}

/// The Jensen–Shannon distance of two samples under given [`JsOptions`].
///
/// # Errors
/// As [`psi_with`](crate::psi_with), except that an empty cell is never an error.
///
/// ```
/// use mlops_drift::{BinRule, JsOptions, LogBase, js_with};
///
/// let options = JsOptions::default().with_bins(BinRule::EqualWidth(4)).with_base(LogBase::E);
/// let far = js_with(&[0.0, 1.0, 2.0, 3.0], &[9.0], &options)?;
/// assert!((far.score - 2f64.ln().sqrt()).abs() < 1e-15);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn js_with<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    current: impl Into<Sample<'b, T>>,
    options: &JsOptions,
) -> Result<Distance, StatsError> {
    let counted = Counted::fit(reference.into(), current.into(), options.bins, options.missing)?;
    distance(&counted.comparison()?, options.smoothing, options.base)
}

/// The Jensen–Shannon distance of two samples of weighted values. Weights do not shape the cells; n and m are Kish's effective
/// sizes.
///
/// # Errors
/// As [`js_with`], and as [`weights::total_for`](mlops_core::num::weights::total_for) for the weights.
///
/// ```
/// use mlops_drift::{JsOptions, js_weighted};
///
/// let (reference, current) = ([1.0, 2.0, 3.0, 4.0], [2.0, 3.0, 9.0]);
/// let js = js_weighted(&reference, &[1.0; 4], &current, &[1.0, 1.0, 0.0], &JsOptions::default())?;
/// assert!(js.score < 1.0 && js.current.used == 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn js_weighted<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    reference_weights: &[f64],
    current: impl Into<Sample<'b, T>>,
    current_weights: &[f64],
    options: &JsOptions,
) -> Result<Distance, StatsError> {
    let sides = ((reference.into(), reference_weights), (current.into(), current_weights));
    let weighed = Weighed::fit(sides.0, sides.1, options.bins, options.missing)?;
    distance(&weighed.comparison()?, options.smoothing, options.base)
}

/// The Jensen–Shannon distance of two rows of counts over the same cells, without smoothing. Linear time, no allocation.
///
/// Agrees with `scipy.spatial.distance.jensenshannon` to 1e-12, and keeps that precision where the rows are nearly equal.
///
/// # Errors
/// [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::ZeroTotal`]; [`StatsError::Overflow`] when a side adds
/// up to more than 2⁶².
///
/// ```
/// use mlops_drift::{LogBase, js_from_counts};
///
/// let js = js_from_counts(&[10, 20, 30, 40], &[40, 30, 20, 10], LogBase::Two)?;
/// assert!((js.score - 0.3918681606471551).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn js_from_counts<'a, 'b>(
    reference: impl Into<Tally<'a>>,
    current: impl Into<Tally<'b>>,
    base: LogBase,
) -> Result<Distance, StatsError> {
    distance(&Comparison::new(reference.into(), current.into())?, Smoothing::None, base)
}

/// The Jensen–Shannon divergence of two rows of counts over the same cells, without smoothing.
///
/// # Errors
/// As [`js_from_counts`].
///
/// ```
/// use mlops_drift::{LogBase, js_divergence_from_counts};
///
/// let js = js_divergence_from_counts(&[1, 1], &[1, 1], LogBase::Two)?;
/// assert_eq!((js.score, js.p.value()), (0.0, Some(1.0)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn js_divergence_from_counts<'a, 'b>(
    reference: impl Into<Tally<'a>>,
    current: impl Into<Tally<'b>>,
    base: LogBase,
) -> Result<Distance, StatsError> {
    let comparison = Comparison::new(reference.into(), current.into())?;
    family(Definition::JsDivergence(base, Smoothing::None), Smoothing::None, base, false)
        .distance(&comparison)
}

fn distance(
    comparison: &Comparison<'_>,
    smoothing: Smoothing,
    base: LogBase,
) -> Result<Distance, StatsError> {
    family(Definition::JsDistance(base, smoothing), smoothing, base, true).distance(comparison)
}

fn family(definition: Definition, smoothing: Smoothing, base: LogBase, root: bool) -> Family {
    let (top, unit) = (std::f64::consts::LN_2, Unit { base, root });
    Family {
        definition,
        smoothing,
        factor: 8.0,
        nats: divergence_nats,
        term: shares_term,
        gradient,
        top,
        unit,
    }
}

fn gradient(Shares { reference, current, .. }: Shares) -> (f64, f64) {
    let mean = f64::midpoint(reference, current);
    (0.5 * (reference / mean).ln(), 0.5 * (current / mean).ln())
}

fn divergence_nats(comparison: &Comparison<'_>, smoothing: Smoothing) -> Result<f64, StatsError> {
    let nats = if matches!(smoothing, Smoothing::Replace(_) | Smoothing::Floor(_)) {
        let (p, q) = (comparison.sum(smoothing, |s| s.reference)?, comparison.sum(smoothing, |s| s.current)?);
        comparison.sum(smoothing, |s| term(s.reference / p, s.current / q, None))?
    } else {
        comparison.sum(smoothing, shares_term)?
    };
    Ok(nats.clamp(0.0, std::f64::consts::LN_2))
}

pub(crate) fn shares_term(shares: Shares) -> f64 {
    term(shares.reference, shares.current, Some(shares.difference))
}

/// ½p·ln(2p/(p+q)) + ½q·ln(2q/(p+q)) = (p+q)/2 · g((p−q)/(p+q)) with g(δ) = ½[(1+δ)ln(1+δ) + (1−δ)ln(1−δ)]: never negative
/// and without cancellation, because the first-order parts of the two logarithms are gone.
fn term(p: f64, q: f64, difference: Option<f64>) -> f64 {
    let delta = difference.unwrap_or(p - q) / (p + q);
    (p + q) / 2.0 * entropy_loss(delta.clamp(-1.0, 1.0))
}

/// g(δ) for δ in [−1, 1]: its series Σ δ²ᵏ/(2k(2k−1)) near 0, the formula elsewhere.
fn entropy_loss(delta: f64) -> f64 {
    let square = delta * delta;
    if square < 0.04 {
        let series = (1..=12).rev().map(|k| 1.0 / f64::from(2 * k * (2 * k - 1)));
        return series.fold(0.0, |sum, coefficient| sum * square + coefficient) * square;
    }
    let part = |x: f64| if x == 0.0 { 0.0 } else { x * x.ln() };
    0.5 * (part(1.0 + delta) + part(1.0 - delta))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_and_formula_meet() {
        for delta in [0.19_f64, 0.1999999, 0.2000001, 0.21] {
            let formula = 0.5 * ((1.0 + delta) * delta.ln_1p() + (1.0 - delta) * (-delta).ln_1p());
            assert!((entropy_loss(delta) - formula).abs() < 1e-14 * formula.max(1e-3), "{delta}");
        }
    }

    #[test]
    fn disjoint_cells_are_at_the_upper_end() {
        for (base, end) in [(LogBase::Two, 1.0), (LogBase::E, std::f64::consts::LN_2)] {
            let js = js_divergence_from_counts(&[5000, 0], &[0, 10], base).unwrap();
            assert!((js.score - end).abs() < 1e-15);
        }
    }

    #[test]
    fn smoothing_that_breaks_the_sum_is_renormalised() {
        let pair = Comparison::new(Tally::new(&[500, 500, 0]), Tally::new(&[480, 470, 50])).unwrap();
        for smoothing in [Smoothing::Replace(1e-4), Smoothing::Floor(0.01), Smoothing::Jeffreys] {
            let smoothed = divergence_nats(&pair, smoothing).unwrap();
            let plain = divergence_nats(&pair, Smoothing::None).unwrap();
            assert!(smoothed > 0.0 && smoothed < plain, "{smoothing:?}: {smoothed} {plain}");
        }
    }

    #[test]
    fn neighbours_keep_their_distance() {
        let n = 1 << 40;
        let js = js_divergence_from_counts(&[n, n], &[n + 1, n - 1], LogBase::E).unwrap();
        // δ²/2 a cell with δ = ½/n: exact to first order.
        let expected = 0.5 * (0.5 / n as f64).powi(2);
        assert!((js.score - expected).abs() < 1e-11 * expected, "{} {expected}", js.score);
    }
}
