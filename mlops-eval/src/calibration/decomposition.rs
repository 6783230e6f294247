//! What the Brier score is made of: reliability, resolution, uncertainty, and what bins leave over.

use mlops_core::num::StatsError;
use mlops_core::num::sum::Sum;
use serde::{Deserialize, Serialize};

use super::Checked;
use super::bins::Binning;
use crate::classification::ScoreState;

/// Murphy's decomposition over distinct probabilities: brier = reliability − resolution + uncertainty.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrierDecomposition {
    /// The Brier score.
    pub brier: f64,
    /// Σ w (p − o)²: how far probabilities are from the shares observed with them. 0 is best.
    pub reliability: f64,
    /// Σ w (o − ō)²: how far those shares are from the overall one. At most the uncertainty, which is best.
    pub resolution: f64,
    /// ō(1 − ō): the Brier score of the overall share.
    pub uncertainty: f64,
}

/// The decomposition over bins: brier = reliability − resolution + uncertainty + within-bin variance − within-bin covariance.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BinnedBrier {
    /// The Brier score.
    pub brier: f64,
    /// Σ w (p̄ − o)² with the mean probability of each bin.
    pub reliability: f64,
    /// Σ w (o − ō)².
    pub resolution: f64,
    /// ō(1 − ō).
    pub uncertainty: f64,
    /// The mean of (p − p̄)²: how much probabilities vary within bins.
    pub within_bin_variance: f64,
    /// Twice the mean of (p − p̄)(y − o): how much of that variation the outcome follows.
    pub within_bin_covariance: f64,
}

impl BinnedBrier {
    /// Resolution − within-bin variance + within-bin covariance: the resolution that does not depend on the bins so much
    /// (Stephenson, Coelho, Jolliffe 2008).
    pub fn generalized_resolution(&self) -> f64 {
        self.resolution - self.within_bin_variance + self.within_bin_covariance
    }
}

/// The exact decomposition of the Brier score over distinct probabilities (Murphy, *A New Vector Partition of the Probability
/// Score*, 1973). O(distinct probabilities). The identity holds to 1e-12.
///
/// Where every probability is distinct, reliability is the Brier score and resolution the uncertainty: then use bins, or
/// [`corp_decomposition`](super::corp_decomposition).
///
/// ```
/// use mlops_eval::calibration::brier_decomposition;
/// use mlops_eval::classification::ScoreState;
///
/// let state = ScoreState::of(&[true, false, false, false], &[0.5, 0.5, 0.0, 0.0])?;
/// let parts = brier_decomposition(&state)?;
/// assert_eq!((parts.brier, parts.reliability), (0.125, 0.0));
/// assert_eq!((parts.resolution, parts.uncertainty), (0.0625, 0.1875));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`] and [`StatsError::ZeroTotal`] for a state without rows or weight; [`StatsError::OutOfRange`] for
/// scores that are no probabilities.
pub fn brier_decomposition(state: &ScoreState) -> Result<BrierDecomposition, StatsError> {
    let data = Checked::new(state)?;
    let overall = data.positives / data.total;
    let observed = |point: super::Point| point.positive / point.weight();
    Ok(BrierDecomposition {
        brier: brier(data),
        reliability: data.mean(|point| point.weight() * (point.p - observed(point)).powi(2)),
        resolution: data.mean(|point| point.weight() * (observed(point) - overall).powi(2)),
        uncertainty: uncertainty(data),
    })
}

/// The decomposition over bins, with the two terms for what happens within them (Stephenson, Coelho, Jolliffe, *Two Extra
/// Components in the Brier Score Decomposition*, 2008). O(distinct probabilities). The identity holds to 1e-12.
///
/// ```
/// use mlops_eval::calibration::{Binning, brier_decomposition_binned};
/// use mlops_eval::classification::ScoreState;
///
/// let state = ScoreState::of(&[true, false], &[0.375, 0.125])?;
/// let parts = brier_decomposition_binned(&state, &Binning::Uniform(1))?;
/// assert_eq!((parts.within_bin_variance, parts.within_bin_covariance), (0.015625, 0.125));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`brier_decomposition`], and those of the bins.
pub fn brier_decomposition_binned(state: &ScoreState, binning: &Binning) -> Result<BinnedBrier, StatsError> {
    let data = Checked::new(state)?;
    let bins = binning.bins_for(data)?;
    let mut sums = vec![[Sum::new(); 3]; bins.edges().len().saturating_sub(1).max(1)];
    for point in data.points() {
        let Some([weight, positives, predicted]) = sums.get_mut(bins.index(point.p)) else { continue };
        weight.push(point.weight());
        positives.push(point.positive);
        predicted.push(point.weight() * point.p);
    }
    let overall = data.positives / data.total;
    // Weight, mean probability and share of positives of each bin; nothing is read from a bin without weight.
    let means: Vec<(f64, f64, f64)> = sums
        .into_iter()
        .map(|sums| sums.map(|sum| sum.value()))
        .map(|[weight, positives, predicted]| match weight > 0.0 {
            true => (weight, predicted / weight, positives / weight),
            false => (0.0, 0.0, 0.0),
        })
        .collect();
    let over_bins = |term: &dyn Fn(f64, f64) -> f64| {
        let terms = means.iter().map(|(weight, predicted, observed)| weight * term(*predicted, *observed));
        terms.collect::<Sum>().value() / data.total
    };
    let mean_of = |p: f64| {
        means.get(bins.index(p)).map_or((0.0, 0.0), |(_, predicted, observed)| (*predicted, *observed))
    };
    Ok(BinnedBrier {
        brier: brier(data),
        reliability: over_bins(&|predicted, observed| (predicted - observed).powi(2)),
        resolution: over_bins(&|_, observed| (observed - overall).powi(2)),
        uncertainty: uncertainty(data),
        within_bin_variance: data.mean(|point| point.weight() * (point.p - mean_of(point.p).0).powi(2)),
        within_bin_covariance: data.mean(|point| {
            let (predicted, observed) = mean_of(point.p);
            let outcome = point.positive * (1.0 - observed) - point.negative * observed;
            2.0 * (point.p - predicted) * outcome
        }),
    })
}

fn brier(data: Checked<'_>) -> f64 {
    data.mean(|point| point.positive * (1.0 - point.p).powi(2) + point.negative * point.p.powi(2))
}

fn uncertainty(data: Checked<'_>) -> f64 {
    data.positives / data.total * (data.negatives / data.total)
}
