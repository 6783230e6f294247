//! D²: the share of a loss that predictions save beside the best constant.

use mlops_core::num::{Measured, StatsError};
use serde::{Deserialize, Serialize};

use super::loss::{Loss, LossState};
use super::metric::weight_scale;
use super::residuals::quantile_of;
use super::state::{constant_target, explained, too_few};
use crate::input::{in_range, weight};
use crate::runs::Runs;

/// The sum of a loss and the distribution of the targets: D² = 1 − Σ w·loss(y, ŷ) / Σ w·loss(y, c), c the constant with the
/// smallest sum: the quantile at α for the pinball loss, the mean for the Tweedie deviance (Hastie, Tibshirani, Wainwright,
/// *Statistical Learning with Sparsity*, 2015, section 3).
///
/// Merges and serialises; its size is the number of distinct targets.
///
/// ```
/// use mlops_eval::regression::{D2State, Loss};
///
/// let loss = Loss::Pinball { alpha: 0.5 };
/// let mut state = D2State::of(loss, &[1.0, 2.0], &[1.0, 3.0], None)?;
/// state.merge(&D2State::of(loss, &[3.0], &[3.0], None)?)?;
/// assert_eq!(state.finish()?.value(), Some(0.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct D2State {
    loss: LossState,
    targets: Runs<1>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    loss: LossState,
    targets: Runs<1>,
}

impl D2State {
    /// The state of these rows. Weights that are `None` are all 1. O(n) from 2 048 rows on, O(n log n) below.
    ///
    /// # Errors
    /// Those of [`LossState::of`]; [`StatsError::Unsupported`] for a loss that is neither pinball nor Tweedie.
    pub fn of(
        loss: Loss,
        y_true: &[f64],
        y_pred: &[f64],
        weights: Option<&[f64]>,
    ) -> Result<Self, StatsError> {
        Self::scaled(loss, y_true, y_pred, weights, 1.0)
    }

    /// [`of`](Self::of) with weights brought near 1.
    pub(crate) fn rows(
        loss: Loss,
        y_true: &[f64],
        y_pred: &[f64],
        weights: Option<&[f64]>,
    ) -> Result<Self, StatsError> {
        Self::scaled(loss, y_true, y_pred, weights, weight_scale(weights))
    }

    fn scaled(
        loss: Loss,
        y_true: &[f64],
        y_pred: &[f64],
        weights: Option<&[f64]>,
        scale: f64,
    ) -> Result<Self, StatsError> {
        supported(loss)?;
        let loss = LossState::scaled(loss, y_true, y_pred, weights, scale)?;
        let pairs = y_true.iter().enumerate().map(|(row, &y)| (y, [weight(weights, row) * scale]));
        Ok(Self { loss, targets: Runs::of(pairs.filter(|(_, w)| w[0] > 0.0).collect()) })
    }

    /// Adds the rows of another part of the data.
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] for another loss, [`StatsError::Overflow`]; `self` is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        let mut loss = self.loss;
        loss.merge(&other.loss)?;
        self.targets.merge(&other.targets)?;
        self.loss = loss;
        Ok(())
    }

    /// D², at most 1. Undefined with [`UndefinedReason::TooFew`](mlops_core::num::UndefinedReason::TooFew) for fewer than two
    /// rows, and with [`UndefinedReason::Constant`](mlops_core::num::UndefinedReason::Constant) when no constant loses anything,
    /// as for equal targets.
    ///
    /// # Errors
    /// [`StatsError::Overflow`] when a sum does not fit an f64.
    pub fn finish(&self) -> Result<Measured, StatsError> {
        if self.loss.rows() < 2 || self.targets.len() == 0 {
            return Ok(too_few(self.loss.rows().min(self.targets.len() as u64), 2));
        }
        let left = self.loss.sum()?;
        if self.targets.len() < 2 {
            return Ok(constant_target(left));
        }
        let best = self.best_constant()?;
        let loss = self.loss.loss();
        let targets = self.targets.values().iter().zip(self.targets.weights());
        let spread = targets.map(|(&y, [w])| w * loss.of(y, best));
        let spread = spread.collect::<mlops_core::num::sum::Sum>().value();
        explained(left, in_range("the loss of the best constant", spread)?)
    }

    fn best_constant(&self) -> Result<f64, StatsError> {
        match self.loss.loss() {
            Loss::Pinball { alpha } => {
                let values = self.targets.iter().map(|(y, [w])| (y, w));
                Ok(quantile_of(values, self.targets.totals()[0], alpha).unwrap_or(0.0))
            }
            _ => {
                let total = self.targets.totals()[0];
                let mean = self.targets.iter().map(|(y, [w])| y * (w / total));
                in_range("the mean target", mean.collect::<mlops_core::num::sum::Sum>().value())
            }
        }
    }
}

fn supported(loss: Loss) -> Result<(), StatsError> {
    match loss {
        Loss::Pinball { .. } | Loss::Tweedie { .. } => Ok(()),
        _ => {
            let reason = "its best constant has no simple form";
            Err(StatsError::Unsupported { what: "D² of this loss", reason })
        }
    }
}

impl TryFrom<Stored> for D2State {
    type Error = StatsError;

    fn try_from(Stored { loss, targets }: Stored) -> Result<Self, StatsError> {
        supported(loss.loss())?;
        if (targets.len() as u64) > loss.rows() {
            let (parameter, value) = ("rows", loss.rows() as f64);
            let reason = "is less than the number of distinct targets";
            return Err(StatsError::Parameter { parameter, value, reason });
        }
        let lowest = targets.values().first().copied().unwrap_or(1.0);
        if let Loss::Tweedie { power } = loss.loss()
            && ((power >= 1.0 && lowest < 0.0) || (power >= 2.0 && lowest == 0.0))
        {
            let (argument, index, low, high) = ("targets", 0, 0.0, f64::INFINITY);
            return Err(StatsError::OutOfRange { argument, index, value: lowest, low, high });
        }
        Ok(Self { loss, targets })
    }
}

impl From<D2State> for Stored {
    fn from(state: D2State) -> Self {
        Self { loss: state.loss, targets: state.targets }
    }
}

/// D² of the absolute error: 1 − Σ w|y − ŷ| / Σ w|y − median|, at most 1; 0 for predicting the median. O(n).
///
/// Agrees with `d2_absolute_error_score` of scikit-learn 1.9.1 to 1e-12, which returns 1 or 0 where this is undefined: for
/// equal targets.
///
/// ```
/// use mlops_eval::regression::d2_absolute_error;
/// assert_eq!(d2_absolute_error(&[1.0, 2.0, 3.0], &[1.0, 3.0, 3.0])?.value(), Some(0.5));
/// assert_eq!(d2_absolute_error(&[2.0, 2.0], &[1.0, 3.0])?.value(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`mae`](super::mae).
pub fn d2_absolute_error(y_true: &[f64], y_pred: &[f64]) -> Result<Measured, StatsError> {
    D2State::rows(Loss::MEDIAN, y_true, y_pred, None)?.finish()
}

/// [`d2_absolute_error`] with a weight for each row; rows of weight 0 do not count.
///
/// # Errors
/// Those of [`mae_weighted`](super::mae_weighted).
pub fn d2_absolute_error_weighted(
    y_true: &[f64],
    y_pred: &[f64],
    weights: &[f64],
) -> Result<Measured, StatsError> {
    D2State::rows(Loss::MEDIAN, y_true, y_pred, Some(weights))?.finish()
}

/// D² of the pinball loss at the share α, beside the quantile of the targets at α. O(n). Agrees with `d2_pinball_score` of
/// scikit-learn 1.9.1 to 1e-12 where the targets vary.
///
/// ```
/// use mlops_eval::regression::d2_pinball;
/// let value = d2_pinball(&[1.0, 2.0, 3.0], &[1.0, 3.0, 3.0], 0.9)?.value();
/// assert!(value.is_some_and(|value| (value - 2.0 / 3.0).abs() < 1e-15));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`pinball`](super::pinball()).
pub fn d2_pinball(y_true: &[f64], y_pred: &[f64], alpha: f64) -> Result<Measured, StatsError> {
    D2State::rows(Loss::Pinball { alpha }, y_true, y_pred, None)?.finish()
}

/// [`d2_pinball`] with a weight for each row; rows of weight 0 do not count.
///
/// # Errors
/// Those of [`pinball_weighted`](super::pinball_weighted()).
pub fn d2_pinball_weighted(
    y_true: &[f64],
    y_pred: &[f64],
    weights: &[f64],
    alpha: f64,
) -> Result<Measured, StatsError> {
    D2State::rows(Loss::Pinball { alpha }, y_true, y_pred, Some(weights))?.finish()
}

/// D² of the Tweedie deviance of a power, beside the mean of the targets; R² for a power of 0. O(n). Agrees with
/// `d2_tweedie_score` of scikit-learn 1.9.1 to 1e-12 where the targets vary; it divides by zero where they do not.
///
/// ```
/// use mlops_eval::regression::{d2_tweedie, r2};
/// let (y, p) = ([0.5, 1.0, 2.5, 7.0], [1.0, 1.0, 5.0, 3.5]);
/// let (d2, r2) = (d2_tweedie(&y, &p, 0.0)?.value(), r2(&y, &p)?.value());
/// assert!(d2.zip(r2).is_some_and(|(d2, r2)| (d2 - r2).abs() < 1e-15));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`tweedie_deviance`](super::tweedie_deviance()).
pub fn d2_tweedie(y_true: &[f64], y_pred: &[f64], power: f64) -> Result<Measured, StatsError> {
    D2State::rows(Loss::Tweedie { power }, y_true, y_pred, None)?.finish()
}

/// [`d2_tweedie`] with a weight for each row; rows of weight 0 do not count.
///
/// # Errors
/// Those of [`tweedie_deviance_weighted`](super::tweedie_deviance_weighted()).
pub fn d2_tweedie_weighted(
    y_true: &[f64],
    y_pred: &[f64],
    weights: &[f64],
    power: f64,
) -> Result<Measured, StatsError> {
    D2State::rows(Loss::Tweedie { power }, y_true, y_pred, Some(weights))?.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_without_a_best_constant_are_refused() {
        let result = D2State::of(Loss::LogCosh, &[1.0], &[1.0], None);
        assert!(matches!(result, Err(StatsError::Unsupported { .. })));
    }

    #[test]
    fn a_tweedie_score_of_targets_below_zero_has_a_constant_that_is_not_negative() {
        // A power below 0 allows negative targets, but its deviance needs a positive mean.
        let result = D2State::of(Loss::Tweedie { power: -1.0 }, &[-2.0, 1.0], &[1.0, 1.0], None);
        let finished = result.unwrap().finish();
        assert!(finished.is_err() || finished.is_ok_and(|share| share.value().is_none_or(f64::is_finite)));
    }

    #[test]
    fn what_is_read_back_is_checked() {
        let state = D2State::of(Loss::POISSON, &[0.0, 3.0], &[1.0, 2.0], None).unwrap();
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<D2State>(&text).unwrap(), state);
        assert!(serde_json::from_str::<D2State>(&text.replace("[0.0,3.0]", "[-1.0,3.0]")).is_err());
        assert!(serde_json::from_str::<D2State>(&text.replace("\"rows\":2", "\"rows\":1")).is_err());
    }
}
