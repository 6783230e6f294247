//! Calibration errors over bins, as single numbers.
//!
//! | function | error | bins |
//! |---|---|---|
//! | [`ece`] | weighted mean of the gaps | ten of equal width |
//! | [`mce`] | the largest gap | ten of equal width |
//! | [`rmsce`] | quadratic mean of the gaps | ten of equal width |
//! | [`ace`] | plain mean of the gaps | ten of equal mass |
//!
//! A gap is the distance between the mean probability and the share of positives of a bin. For other bins, take the curve of
//! [`calibration_curve_with`] and read the error from it. All of these errors are above 0
//! by chance alone for a model that is calibrated: see [`debiased`](super::debiased).

use mlops_core::num::{Measured, StatsError};

use super::bins::Binning;
use super::curve::{CalibrationCurve, CalibrationOptions, calibration_curve_with};

/// The expected calibration error (Naeini, Cooper, Hauskrecht 2015) over ten bins of equal width: Σ w |observed − predicted|.
///
/// In [0, 1], lower is better. Always defined. O(n). Ties and edges: see [`calibration_curve`](super::calibration_curve()).
///
/// ```
/// use mlops_eval::calibration::ece;
/// assert_eq!(ece(&[true, false], &[0.75, 0.25])?.value(), Some(0.25));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`calibration_curve`](super::calibration_curve()).
pub fn ece(y_true: &[bool], probabilities: &[f64]) -> Result<Measured, StatsError> {
    over_bins(y_true, probabilities, None, Binning::default(), CalibrationCurve::ece)
}

/// [`ece`] with a weight for each row.
///
/// ```
/// use mlops_eval::calibration::ece_weighted;
/// assert_eq!(ece_weighted(&[true, false], &[0.5, 0.5], &[3.0, 1.0])?.value(), Some(0.25));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`calibration_curve_weighted`](super::calibration_curve_weighted).
pub fn ece_weighted(y_true: &[bool], probabilities: &[f64], weights: &[f64]) -> Result<Measured, StatsError> {
    over_bins(y_true, probabilities, Some(weights), Binning::default(), CalibrationCurve::ece)
}

/// The maximum calibration error over ten bins of equal width: max |observed − predicted|.
///
/// In [0, 1], lower is better. Always defined; a bin of one row counts as much as any. O(n).
///
/// ```
/// use mlops_eval::calibration::mce;
/// assert_eq!(mce(&[true, false, false], &[0.75, 0.25, 0.25])?.value(), Some(0.25));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`calibration_curve`](super::calibration_curve()).
pub fn mce(y_true: &[bool], probabilities: &[f64]) -> Result<Measured, StatsError> {
    over_bins(y_true, probabilities, None, Binning::default(), CalibrationCurve::mce)
}

/// [`mce`] with a weight for each row.
///
/// ```
/// use mlops_eval::calibration::mce_weighted;
/// assert_eq!(mce_weighted(&[true, false], &[0.5, 0.0], &[3.0, 1.0])?.value(), Some(0.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`calibration_curve_weighted`](super::calibration_curve_weighted).
pub fn mce_weighted(y_true: &[bool], probabilities: &[f64], weights: &[f64]) -> Result<Measured, StatsError> {
    over_bins(y_true, probabilities, Some(weights), Binning::default(), CalibrationCurve::mce)
}

/// The root mean square calibration error over ten bins of equal width: √(Σ w (observed − predicted)²).
///
/// In [0, 1], lower is better. Always defined. O(n).
///
/// ```
/// use mlops_eval::calibration::rmsce;
/// assert_eq!(rmsce(&[true, false], &[0.75, 0.25])?.value(), Some(0.25));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`calibration_curve`](super::calibration_curve()).
pub fn rmsce(y_true: &[bool], probabilities: &[f64]) -> Result<Measured, StatsError> {
    over_bins(y_true, probabilities, None, Binning::default(), CalibrationCurve::rmsce)
}

/// [`rmsce`] with a weight for each row.
///
/// ```
/// use mlops_eval::calibration::rmsce_weighted;
/// assert_eq!(rmsce_weighted(&[true, false], &[0.5, 0.5], &[3.0, 1.0])?.value(), Some(0.25));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`calibration_curve_weighted`](super::calibration_curve_weighted).
pub fn rmsce_weighted(
    y_true: &[bool],
    probabilities: &[f64],
    weights: &[f64],
) -> Result<Measured, StatsError> {
    over_bins(y_true, probabilities, Some(weights), Binning::default(), CalibrationCurve::rmsce)
}

/// The adaptive calibration error (Nixon et al. 2019) over ten bins of equal mass: the plain mean of |observed − predicted|.
///
/// In [0, 1], lower is better. Always defined. Tied probabilities stay in one bin. Sorts the rows.
///
/// ```
/// use mlops_eval::calibration::ace;
/// assert_eq!(ace(&[true, false], &[0.75, 0.25])?.value(), Some(0.25));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`calibration_curve`](super::calibration_curve()).
pub fn ace(y_true: &[bool], probabilities: &[f64]) -> Result<Measured, StatsError> {
    over_bins(y_true, probabilities, None, Binning::EqualMass(10), CalibrationCurve::ace)
}

/// [`ace`] with a weight for each row.
///
/// ```
/// use mlops_eval::calibration::ace_weighted;
/// assert_eq!(ace_weighted(&[true, false], &[0.5, 0.5], &[3.0, 1.0])?.value(), Some(0.25));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`calibration_curve_weighted`](super::calibration_curve_weighted).
pub fn ace_weighted(y_true: &[bool], probabilities: &[f64], weights: &[f64]) -> Result<Measured, StatsError> {
    over_bins(y_true, probabilities, Some(weights), Binning::EqualMass(10), CalibrationCurve::ace)
}

fn over_bins(
    y_true: &[bool],
    probabilities: &[f64],
    weights: Option<&[f64]>,
    binning: Binning,
    error: impl Fn(&CalibrationCurve) -> f64,
) -> Result<Measured, StatsError> {
    let options = CalibrationOptions::default().with_binning(binning);
    let curve = calibration_curve_with(y_true, probabilities, weights, &options)?;
    Ok(Measured::Value(error(&curve)))
}
