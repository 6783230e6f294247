//! Calibration with several classes: of the top label, and of every class.

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError};
use serde::{Deserialize, Serialize};

use super::PROBABILITIES;
use super::curve::{CalibrationCurve, CalibrationOptions, calibration_curve_with};
use crate::input::{named, not_empty, probabilities as check_probabilities};

/// How far the probabilities of a row may be from adding up to 1.
pub const ROW_SUM_TOLERANCE: f64 = 1e-6;

/// Whether the most probable class of each row is right, and its probability: a binary problem, to which everything else of
/// [`calibration`](super) applies.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopLabels {
    /// Whether the most probable class is the true one.
    pub correct: Vec<bool>,
    /// Its probability.
    pub confidence: Vec<f64>,
}

/// The top labels of rows of probabilities: `probabilities` has a row of `classes` numbers for each of `y_true`, one after the
/// other. Of classes that tie for the top the first one counts. O(n · classes).
///
/// ```
/// use mlops_eval::calibration::{ece, top_labels};
///
/// let top = top_labels(&[2, 0], &[0.1, 0.15, 0.75, 0.25, 0.5, 0.25], 3)?;
/// assert_eq!((top.correct.as_slice(), top.confidence.as_slice()), (&[true, false][..], &[0.75, 0.5][..]));
/// assert_eq!(ece(&top.correct, &top.confidence)?.value(), Some(0.375));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`]; [`StatsError::LengthMismatch`] unless there are n · classes probabilities; [`StatsError::UnknownCode`];
/// [`StatsError::Nan`] and [`StatsError::OutOfRange`] for a probability, by its index, or for the sum of a row that is not 1 to
/// within 1e-6, by the number of the row; [`StatsError::Parameter`] for fewer than two classes.
pub fn top_labels(y_true: &[u32], probabilities: &[f64], classes: usize) -> Result<TopLabels, StatsError> {
    check(y_true, probabilities, classes)?;
    let (mut correct, mut confidence) = (Vec::with_capacity(y_true.len()), Vec::with_capacity(y_true.len()));
    for (&truth, row) in y_true.iter().zip(probabilities.chunks_exact(classes)) {
        let mut top = (0, f64::NEG_INFINITY);
        for (class, &p) in row.iter().enumerate() {
            if p > top.1 {
                top = (class, p);
            }
        }
        correct.push(top.0 == truth as usize);
        confidence.push(top.1);
    }
    Ok(TopLabels { correct, confidence })
}

/// Calibration errors of every class against the rest.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClasswiseError {
    /// The calibration curve of each class.
    pub curves: Vec<CalibrationCurve>,
    /// The mean over the classes of their expected calibration errors.
    pub ece: Measured,
    /// The largest gap of any class.
    pub mce: Measured,
    /// The quadratic mean over classes and bins.
    pub rmsce: Measured,
    /// The mean over classes of their average calibration errors; with bins of equal mass the adaptive error of Nixon et al.
    pub ace: Measured,
}

/// Classwise calibration errors (Kull et al., *Beyond temperature scaling*, NeurIPS 2019; Nixon et al. 2019): for each class,
/// its probability against whether it is the true one, and the mean over the classes.
///
/// In [0, 1], lower is better. Always defined; a class that does not occur counts like any. O(n · classes), or with a sort for
/// each class where the bins depend on the data.
///
/// ```
/// use mlops_eval::calibration::{CalibrationOptions, classwise_calibration_error};
///
/// let p = [0.75, 0.25, 0.25, 0.75];
/// let errors = classwise_calibration_error(&[0, 1], &p, 2, None, &CalibrationOptions::default())?;
/// assert_eq!(errors.ece.value(), Some(0.25));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`top_labels`], and those of [`calibration_curve_with`].
pub fn classwise_calibration_error(
    y_true: &[u32],
    probabilities: &[f64],
    classes: usize,
    weights: Option<&[f64]>,
    options: &CalibrationOptions,
) -> Result<ClasswiseError, StatsError> {
    check(y_true, probabilities, classes)?;
    let mut curves = Vec::with_capacity(classes);
    for class in 0..classes {
        let truth: Vec<bool> = y_true.iter().map(|code| *code as usize == class).collect();
        let column: Vec<f64> = probabilities.chunks_exact(classes).map(|row| row[class]).collect();
        curves.push(calibration_curve_with(&truth, &column, weights, options)?);
    }
    let mean = |error: fn(&CalibrationCurve) -> f64| {
        curves.iter().map(error).collect::<Sum>().value() / classes as f64
    };
    Ok(ClasswiseError {
        ece: Measured::Value(mean(CalibrationCurve::ece)),
        mce: Measured::Value(curves.iter().map(CalibrationCurve::mce).fold(0.0, f64::max)),
        rmsce: Measured::Value(mean(|curve| curve.rmsce().powi(2)).sqrt()),
        ace: Measured::Value(mean(CalibrationCurve::ace)),
        curves,
    })
}

fn check(y_true: &[u32], probabilities: &[f64], classes: usize) -> Result<(), StatsError> {
    not_empty(named("y_true", y_true))?;
    if classes < 2 {
        let reason = "must be at least 2";
        return Err(StatsError::Parameter { parameter: "classes", value: classes as f64, reason });
    }
    let needed =
        y_true.len().checked_mul(classes).ok_or(StatsError::Overflow { what: "rows times classes" })?;
    if probabilities.len() != needed {
        return Err(StatsError::LengthMismatch {
            left: PROBABILITIES,
            left_len: probabilities.len(),
            right: "rows times classes",
            right_len: needed,
        });
    }
    if let Some((index, &code)) = y_true.iter().enumerate().find(|(_, code)| **code as usize >= classes) {
        let (code, known) = (u64::from(code), classes as u64);
        return Err(StatsError::UnknownCode { argument: "y_true", index, code, known });
    }
    check_probabilities(PROBABILITIES, probabilities)?;
    for (index, row) in probabilities.chunks_exact(classes).enumerate() {
        let value = row.iter().copied().collect::<Sum>().value();
        let (low, high) = (1.0 - ROW_SUM_TOLERANCE, 1.0 + ROW_SUM_TOLERANCE);
        if !(low..=high).contains(&value) {
            return Err(StatsError::OutOfRange {
                argument: "the sums of the rows of probabilities",
                index,
                value,
                low,
                high,
            });
        }
    }
    Ok(())
}
