//! The scalar metrics of calibration by name.

use std::fmt;

use mlops_core::num::{Measured, StatsError};
use mlops_core::problem::Direction;
use serde::{Deserialize, Serialize};

use super::bins::Binning;
use super::corp::{CorpScore, corp_decomposition};
use super::curve::{CalibrationCurve, CalibrationOptions, calibration_curve_from_state};
use super::debiased::debiased_calibration_error_from_state;
use super::error::{ace, ace_weighted, ece, ece_weighted, mce, mce_weighted, rmsce, rmsce_weighted};
use super::goodness::{HosmerLemeshowOptions, calibration_ratio, hosmer_lemeshow, spiegelhalter};
use super::recalibration::{RecalibrationOptions, recalibration};
use super::smooth::smooth_calibration_error;
use super::state_of;
use crate::classification::ScoreState;
use crate::interval::CONFIDENCE;

/// A metric of calibration, as a value, with the default options of its function.
///
/// ```
/// use mlops_eval::calibration::CalibrationMetric;
///
/// let ece = CalibrationMetric::Ece.evaluate(&[true, false], &[0.75, 0.25], None)?;
/// assert_eq!(ece.value(), Some(0.25));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalibrationMetric {
    /// [`ece`]
    Ece,
    /// [`mce`]
    Mce,
    /// [`rmsce`]
    Rmsce,
    /// [`ace`]
    Ace,
    /// [`DebiasedError::error`](super::DebiasedError::error)
    DebiasedEce,
    /// [`smooth_calibration_error`]
    SmoothEce,
    /// [`Recalibration::slope`](super::Recalibration::slope)
    CalibrationSlope,
    /// [`Recalibration::intercept`](super::Recalibration::intercept)
    CalibrationIntercept,
    /// [`Recalibration::in_the_large`](super::Recalibration::in_the_large)
    CalibrationInTheLarge,
    /// [`calibration_ratio`]
    CalibrationRatio,
    /// [`Spiegelhalter::z`](super::Spiegelhalter::z)
    SpiegelhalterZ,
    /// [`HosmerLemeshow::chi2`](super::HosmerLemeshow::chi2)
    HosmerLemeshow,
    /// [`CorpDecomposition::miscalibration`](super::CorpDecomposition::miscalibration) of the Brier score
    CorpMiscalibration,
    /// [`CorpDecomposition::discrimination`](super::CorpDecomposition::discrimination) of the Brier score
    CorpDiscrimination,
}

impl CalibrationMetric {
    /// Every metric of this kind.
    pub const ALL: &[Self] = &[
        Self::Ece,
        Self::Mce,
        Self::Rmsce,
        Self::Ace,
        Self::DebiasedEce,
        Self::SmoothEce,
        Self::CalibrationSlope,
        Self::CalibrationIntercept,
        Self::CalibrationInTheLarge,
        Self::CalibrationRatio,
        Self::SpiegelhalterZ,
        Self::HosmerLemeshow,
        Self::CorpMiscalibration,
        Self::CorpDiscrimination,
    ];

    /// The name it has in reports and configuration files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ece => "ece",
            Self::Mce => "mce",
            Self::Rmsce => "rmsce",
            Self::Ace => "ace",
            Self::DebiasedEce => "debiased_ece",
            Self::SmoothEce => "smooth_ece",
            Self::CalibrationSlope => "calibration_slope",
            Self::CalibrationIntercept => "calibration_intercept",
            Self::CalibrationInTheLarge => "calibration_in_the_large",
            Self::CalibrationRatio => "calibration_ratio",
            Self::SpiegelhalterZ => "spiegelhalter_z",
            Self::HosmerLemeshow => "hosmer_lemeshow",
            Self::CorpMiscalibration => "corp_miscalibration",
            Self::CorpDiscrimination => "corp_discrimination",
        }
    }

    /// Which way is better. Neither for slope, intercepts, ratio and z: the best lies in the middle.
    pub const fn direction(self) -> Direction {
        match self {
            Self::Ece
            | Self::Mce
            | Self::Rmsce
            | Self::Ace
            | Self::DebiasedEce
            | Self::SmoothEce
            | Self::HosmerLemeshow
            | Self::CorpMiscalibration => Direction::LowerIsBetter,
            Self::CorpDiscrimination => Direction::HigherIsBetter,
            Self::CalibrationSlope
            | Self::CalibrationIntercept
            | Self::CalibrationInTheLarge
            | Self::CalibrationRatio
            | Self::SpiegelhalterZ => Direction::Neither,
        }
    }

    /// The smallest and the largest value it can take.
    pub const fn range(self) -> (f64, f64) {
        match self {
            Self::Ece | Self::Mce | Self::Rmsce | Self::Ace | Self::DebiasedEce | Self::SmoothEce => {
                (0.0, 1.0)
            }
            Self::CorpMiscalibration => (0.0, 1.0),
            Self::CorpDiscrimination => (0.0, 0.25),
            Self::HosmerLemeshow | Self::CalibrationRatio => (0.0, f64::INFINITY),
            Self::CalibrationSlope
            | Self::CalibrationIntercept
            | Self::CalibrationInTheLarge
            | Self::SpiegelhalterZ => (f64::NEG_INFINITY, f64::INFINITY),
        }
    }

    /// Whether it is counted from the rows, in their order, without a state.
    pub(crate) const fn reads_rows(self) -> bool {
        matches!(self, Self::Ece | Self::Mce | Self::Rmsce | Self::Ace)
    }

    /// Whether it is a smooth function of means over rows, so that resampled rows tell how it varies. The errors are not where
    /// they are small, and tests are about a number of rows.
    pub(crate) const fn resamples(self) -> bool {
        matches!(
            self,
            Self::CalibrationSlope
                | Self::CalibrationIntercept
                | Self::CalibrationInTheLarge
                | Self::CalibrationRatio
        )
    }

    /// The metric of these rows. Weights that are `None` are all 1.
    ///
    /// # Errors
    /// Those of the metric's function.
    pub fn evaluate(
        self,
        y_true: &[bool],
        probabilities: &[f64],
        weights: Option<&[f64]>,
    ) -> Result<Measured, StatsError> {
        match (self, weights) {
            (Self::Ece, None) => ece(y_true, probabilities),
            (Self::Ece, Some(weights)) => ece_weighted(y_true, probabilities, weights),
            (Self::Mce, None) => mce(y_true, probabilities),
            (Self::Mce, Some(weights)) => mce_weighted(y_true, probabilities, weights),
            (Self::Rmsce, None) => rmsce(y_true, probabilities),
            (Self::Rmsce, Some(weights)) => rmsce_weighted(y_true, probabilities, weights),
            (Self::Ace, None) => ace(y_true, probabilities),
            (Self::Ace, Some(weights)) => ace_weighted(y_true, probabilities, weights),
            (_, weights) => self.from_state(&state_of(y_true, probabilities, weights)?),
        }
    }

    /// The metric of the rows that a state has seen.
    ///
    /// ```
    /// use mlops_eval::calibration::CalibrationMetric;
    /// use mlops_eval::classification::ScoreState;
    ///
    /// let state = ScoreState::of(&[true, false], &[0.75, 0.75])?;
    /// assert_eq!(CalibrationMetric::SmoothEce.from_state(&state)?.value().map(|e| e > 0.2), Some(true));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of the metric's function.
    #[allow(clippy::wrong_self_convention, reason = "the family is named f_from_state everywhere")]
    pub fn from_state(self, state: &ScoreState) -> Result<Measured, StatsError> {
        let curve = |binning: Binning, error: fn(&CalibrationCurve) -> f64| {
            let options = CalibrationOptions::default().with_binning(binning);
            calibration_curve_from_state(state, &options).map(|curve| Measured::Value(error(&curve)))
        };
        let fit = || recalibration(state, &RecalibrationOptions::default());
        match self {
            Self::Ece => curve(Binning::default(), CalibrationCurve::ece),
            Self::Mce => curve(Binning::default(), CalibrationCurve::mce),
            Self::Rmsce => curve(Binning::default(), CalibrationCurve::rmsce),
            Self::Ace => curve(Binning::EqualMass(10), CalibrationCurve::ace),
            Self::DebiasedEce => debiased_calibration_error_from_state(state, &CalibrationOptions::default())
                .map(|error| error.error),
            Self::SmoothEce => smooth_calibration_error(state).map(|smooth| Measured::Value(smooth.error)),
            Self::CalibrationSlope => fit().map(|fit| fit.slope.estimate),
            Self::CalibrationIntercept => fit().map(|fit| fit.intercept.estimate),
            Self::CalibrationInTheLarge => fit().map(|fit| fit.in_the_large.estimate),
            Self::CalibrationRatio => calibration_ratio(state, CONFIDENCE).map(|ratio| ratio.ratio),
            Self::SpiegelhalterZ => spiegelhalter(state).map(|test| test.z),
            Self::HosmerLemeshow => {
                hosmer_lemeshow(state, &HosmerLemeshowOptions::default()).map(|test| test.chi2)
            }
            Self::CorpMiscalibration => {
                corp_decomposition(state, CorpScore::Brier).map(|parts| Measured::Value(parts.miscalibration))
            }
            Self::CorpDiscrimination => {
                corp_decomposition(state, CorpScore::Brier).map(|parts| Measured::Value(parts.discrimination))
            }
        }
    }
}

impl fmt::Display for CalibrationMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
