//! The calibration curve (reliability diagram) and the errors that are read from it.

use mlops_core::num::parallel::Threads;
use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError};
use serde::{Deserialize, Serialize};

use super::bins::Binning;
use super::{Checked, state_of};
use crate::classification::ScoreState;
use crate::interval::{CONFIDENCE, Interval, check_confidence, wilson_share};

/// The choices behind a calibration curve.
///
/// ```
/// use mlops_eval::calibration::{Binning, CalibrationOptions};
/// let options = CalibrationOptions::default().with_binning(Binning::EqualMass(20));
/// assert_eq!(options.confidence, 0.95);
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CalibrationOptions {
    /// How [0, 1] is cut. Default: ten bins of equal width.
    pub binning: Binning,
    /// The confidence of the intervals, above 0 and below 1. Default 0.95.
    pub confidence: f64,
    /// How many threads may count rows into bins. Default: one. The numbers do not depend on it.
    pub threads: Threads,
}

impl Default for CalibrationOptions {
    fn default() -> Self {
        Self { binning: Binning::default(), confidence: CONFIDENCE, threads: Threads::ONE }
    }
}

impl CalibrationOptions {
    /// Sets [`Self::binning`].
    #[must_use]
    pub fn with_binning(mut self, binning: Binning) -> Self {
        self.binning = binning;
        self
    }

    /// Sets [`Self::confidence`].
    #[must_use]
    pub fn with_confidence(mut self, confidence: f64) -> Self {
        self.confidence = confidence;
        self
    }

    /// Sets [`Self::threads`].
    #[must_use]
    pub fn with_threads(mut self, threads: Threads) -> Self {
        self.threads = threads;
        self
    }
}

/// A bin of a calibration curve.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibrationBin {
    /// The lower edge, which belongs to the bin below if there is one.
    pub lower: f64,
    /// The upper edge, which belongs to this bin.
    pub upper: f64,
    /// The number of rows; none where a state has weights only.
    pub rows: Option<u64>,
    /// The weight of the rows; their number where rows count alike.
    pub weight: f64,
    /// The mean probability; undefined without weight.
    pub predicted: Measured,
    /// The share of positives; undefined without weight.
    pub observed: Measured,
    /// Wilson's interval of the share of positives, of the curve's confidence; none without weight.
    pub interval: Option<Interval>,
}

impl CalibrationBin {
    pub(super) fn new(
        (lower, upper): (f64, f64),
        rows: Option<u64>,
        (weight, positives, predicted): (f64, f64, f64),
        confidence: f64,
    ) -> Self {
        let positives = positives.min(weight);
        Self {
            lower,
            upper,
            rows,
            weight,
            predicted: Measured::ratio(predicted, weight).map(|mean| mean.clamp(0.0, 1.0)),
            observed: Measured::ratio(positives, weight),
            interval: (weight > 0.0).then(|| wilson_share(positives, weight, confidence)),
        }
    }

    /// How far the observed share is above the predicted one; undefined without weight.
    pub fn gap(&self) -> Measured {
        match (self.observed, self.predicted) {
            (Measured::Value(observed), Measured::Value(predicted)) => Measured::Value(observed - predicted),
            (none, _) => none,
        }
    }
}

/// Predicted and observed shares bin by bin, and the errors made of them.
///
/// With w the share of the weight in a bin and gap the observed minus the predicted share, over bins that have weight:
/// ECE = Σ w |gap| (Naeini, Cooper, Hauskrecht 2015), MCE = max |gap|, RMSCE = √(Σ w gap²), ACE = the plain mean of |gap|
/// (Nixon et al. 2019, meant for bins of equal mass). All lie in [0, 1].
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibrationCurve {
    /// The bins, ascending, those without rows included.
    pub bins: Vec<CalibrationBin>,
    /// The confidence of the intervals.
    pub confidence: f64,
}

impl CalibrationCurve {
    /// The bins that have weight: the points of scikit-learn's `calibration_curve`.
    pub fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.bins.iter().filter_map(|bin| Some((bin.predicted.value()?, bin.observed.value()?)))
    }

    /// Weights and gaps of the bins that have weight.
    fn gaps(&self) -> impl Iterator<Item = (f64, f64)> {
        self.bins.iter().filter_map(|bin| Some((bin.weight, bin.gap().value()?)))
    }

    fn total(&self) -> f64 {
        self.bins.iter().map(|bin| bin.weight).collect::<Sum>().value()
    }

    /// The expected calibration error: the weighted mean of |gap|.
    pub fn ece(&self) -> f64 {
        let total = self.total();
        if total <= 0.0 {
            return 0.0;
        }
        self.gaps().map(|(weight, gap)| weight / total * gap.abs()).collect::<Sum>().value()
    }

    /// The maximum calibration error: the largest |gap|.
    pub fn mce(&self) -> f64 {
        self.gaps().fold(0.0, |most, (_, gap)| most.max(gap.abs()))
    }

    /// The root mean square calibration error: the weighted quadratic mean of gap.
    pub fn rmsce(&self) -> f64 {
        let total = self.total();
        if total <= 0.0 {
            return 0.0;
        }
        self.gaps().map(|(weight, gap)| weight / total * (gap * gap)).collect::<Sum>().value().sqrt()
    }

    /// The average calibration error: the plain mean of |gap|, whatever the bins weigh.
    pub fn ace(&self) -> f64 {
        let bins = self.gaps().count();
        let sum = self.gaps().map(|(_, gap)| gap.abs()).collect::<Sum>().value();
        if bins == 0 { 0.0 } else { sum / bins as f64 }
    }
}

/// The calibration curve with ten bins of equal width: predicted and observed shares, with Wilson intervals. O(n).
///
/// A probability on an edge between two bins belongs to the lower one, as in scikit-learn; empty bins stay in the curve.
/// Agrees with scikit-learn 1.9.1 (`calibration_curve`, both strategies) to 1e-12.
///
/// ```
/// use mlops_eval::calibration::calibration_curve;
///
/// let curve = calibration_curve(&[true, false, true], &[0.75, 0.25, 0.3])?;
/// assert_eq!(curve.points().collect::<Vec<_>>(), [(0.275, 0.5), (0.75, 1.0)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::Nan`], [`StatsError::OutOfRange`].
pub fn calibration_curve(y_true: &[bool], probabilities: &[f64]) -> Result<CalibrationCurve, StatsError> {
    calibration_curve_with(y_true, probabilities, None, &CalibrationOptions::default())
}

/// [`calibration_curve`] with a weight for each row.
///
/// ```
/// use mlops_eval::calibration::calibration_curve_weighted;
///
/// let curve = calibration_curve_weighted(&[true, false], &[0.5, 0.5], &[3.0, 1.0])?;
/// assert_eq!(curve.ece(), 0.25);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`calibration_curve`], and what [`weights::total`](mlops_core::num::weights::total) refuses.
pub fn calibration_curve_weighted(
    y_true: &[bool],
    probabilities: &[f64],
    weights: &[f64],
) -> Result<CalibrationCurve, StatsError> {
    calibration_curve_with(y_true, probabilities, Some(weights), &CalibrationOptions::default())
}

/// [`calibration_curve`] with options, with or without weights. Quantiles and bins of equal mass sort the rows.
///
/// ```
/// use mlops_eval::calibration::{Binning, CalibrationOptions, calibration_curve_with};
///
/// let options = CalibrationOptions::default().with_binning(Binning::EqualMass(2));
/// let curve = calibration_curve_with(&[false, true, true, true], &[0.1, 0.2, 0.3, 0.4], None, &options)?;
/// assert_eq!((curve.bins[0].upper, curve.bins[0].weight), (0.2, 2.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`calibration_curve_weighted`], and [`StatsError::Parameter`], [`StatsError::Unsorted`] and alike for options.
pub fn calibration_curve_with(
    y_true: &[bool],
    probabilities: &[f64],
    weights: Option<&[f64]>,
    options: &CalibrationOptions,
) -> Result<CalibrationCurve, StatsError> {
    options.binning.check()?;
    check_confidence(options.confidence)?;
    let mut bins = if options.binning.is_fixed() {
        crate::input::not_empty(crate::input::named("y_true", y_true))?;
        options.binning.fixed_bins()?
    } else {
        options.binning.bins_for(Checked::new(&state_of(y_true, probabilities, weights)?)?)?
    };
    bins.extend_with(y_true, probabilities, weights, options.threads)?;
    bins.curve(options.confidence)
}

/// [`calibration_curve`] from the mergeable state of the rows: the same, but for the numbers of rows, which it does not know.
/// O(distinct probabilities).
///
/// ```
/// use mlops_eval::calibration::{CalibrationOptions, calibration_curve_from_state};
/// use mlops_eval::classification::ScoreState;
///
/// let state = ScoreState::of(&[true, false], &[0.75, 0.25])?;
/// assert_eq!(calibration_curve_from_state(&state, &CalibrationOptions::default())?.ece(), 0.25);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`] and [`StatsError::ZeroTotal`] for a state without rows or weight; [`StatsError::OutOfRange`] for
/// scores that are no probabilities; those of the options.
pub fn calibration_curve_from_state(
    state: &ScoreState,
    options: &CalibrationOptions,
) -> Result<CalibrationCurve, StatsError> {
    let mut bins = options.binning.bins_for(Checked::new(state)?)?;
    bins.fill(state);
    let mut curve = bins.curve(options.confidence)?;
    curve.bins.iter_mut().for_each(|bin| bin.rows = None);
    Ok(curve)
}
