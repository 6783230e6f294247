//! Every regression metric without a parameter, by name.

use std::fmt;

use mlops_core::num::parallel::Threads;
use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError};
use serde::{Deserialize, Serialize};

use super::d2::D2State;
use super::loss::{Loss, mean_loss};
use super::options::RegressionOptions;
use super::ranks::Pairs;
use super::residuals::{median, sizes};
use super::state::{RegressionState, check};
use crate::catalog::Direction;
use crate::input::in_range;

/// A regression metric, as a value.
///
/// ```
/// use mlops_eval::regression::RegressionMetric;
///
/// for metric in RegressionMetric::ALL {
///     println!("{metric} = {}", metric.evaluate(&[1.0, 2.0], &[1.5, 2.0], None)?);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegressionMetric {
    /// [`mae`](super::mae)
    Mae,
    /// [`mse`](super::mse)
    Mse,
    /// [`rmse`](super::rmse)
    Rmse,
    /// [`msle`](super::msle)
    Msle,
    /// [`rmsle`](super::rmsle)
    Rmsle,
    /// [`mape`](super::mape)
    Mape,
    /// [`smape`](super::smape)
    Smape,
    /// [`wape`](super::wape)
    Wape,
    /// [`mean_error`](super::mean_error)
    MeanError,
    /// [`log_cosh`](super::log_cosh)
    LogCosh,
    /// [`poisson_deviance`](super::poisson_deviance)
    PoissonDeviance,
    /// [`gamma_deviance`](super::gamma_deviance)
    GammaDeviance,
    /// [`r2`](super::r2)
    R2,
    /// [`explained_variance`](super::explained_variance)
    ExplainedVariance,
    /// [`d2_absolute_error`](super::d2_absolute_error())
    D2AbsoluteError,
    /// [`pearson`](super::pearson)
    Pearson,
    /// [`spearman`](super::spearman)
    Spearman,
    /// [`kendall`](super::kendall)
    Kendall,
    /// [`concordance_correlation`](super::concordance_correlation)
    ConcordanceCorrelation,
    /// [`concordance_index`](super::concordance_index)
    ConcordanceIndex,
    /// [`median_absolute_error`](super::median_absolute_error)
    MedianAbsoluteError,
    /// [`max_error`](super::max_error)
    MaxError,
}

/// Which numbers a metric is defined for.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Domain {
    /// All.
    Real,
    /// Targets and predictions above −1.
    AboveMinusOne,
    /// Targets of at least 0, predictions above 0.
    Counts,
    /// Targets and predictions above 0.
    Positive,
}

impl Domain {
    /// Whether a row lies in it.
    ///
    /// ```
    /// use mlops_eval::regression::Domain;
    /// assert!(Domain::Counts.contains(0.0, 1.5) && !Domain::Positive.contains(0.0, 1.5));
    /// ```
    pub fn contains(self, y_true: f64, y_pred: f64) -> bool {
        match self {
            Self::Real => true,
            Self::AboveMinusOne => y_true > -1.0 && y_pred > -1.0,
            Self::Counts => y_true >= 0.0 && y_pred > 0.0,
            Self::Positive => y_true > 0.0 && y_pred > 0.0,
        }
    }
}

impl RegressionMetric {
    /// Every metric of this kind.
    pub const ALL: &[Self] = &[
        Self::Mae,
        Self::Mse,
        Self::Rmse,
        Self::Msle,
        Self::Rmsle,
        Self::Mape,
        Self::Smape,
        Self::Wape,
        Self::MeanError,
        Self::LogCosh,
        Self::PoissonDeviance,
        Self::GammaDeviance,
        Self::R2,
        Self::ExplainedVariance,
        Self::D2AbsoluteError,
        Self::Pearson,
        Self::Spearman,
        Self::Kendall,
        Self::ConcordanceCorrelation,
        Self::ConcordanceIndex,
        Self::MedianAbsoluteError,
        Self::MaxError,
    ];

    /// The name it has in reports and configuration files.
    ///
    /// ```
    /// use mlops_eval::regression::RegressionMetric;
    /// assert_eq!(RegressionMetric::R2.name(), "r2");
    /// ```
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mae => "mae",
            Self::Mse => "mse",
            Self::Rmse => "rmse",
            Self::Msle => "msle",
            Self::Rmsle => "rmsle",
            Self::Mape => "mape",
            Self::Smape => "smape",
            Self::Wape => "wape",
            Self::MeanError => "mean_error",
            Self::LogCosh => "log_cosh",
            Self::PoissonDeviance => "poisson_deviance",
            Self::GammaDeviance => "gamma_deviance",
            Self::R2 => "r2",
            Self::ExplainedVariance => "explained_variance",
            Self::D2AbsoluteError => "d2_absolute_error",
            Self::Pearson => "pearson",
            Self::Spearman => "spearman",
            Self::Kendall => "kendall",
            Self::ConcordanceCorrelation => "concordance_correlation",
            Self::ConcordanceIndex => "concordance_index",
            Self::MedianAbsoluteError => "median_absolute_error",
            Self::MaxError => "max_error",
        }
    }

    /// Which way is better. A mean error is best at 0, so neither end is.
    pub const fn direction(self) -> Direction {
        match self {
            Self::R2
            | Self::ExplainedVariance
            | Self::D2AbsoluteError
            | Self::Pearson
            | Self::Spearman
            | Self::Kendall
            | Self::ConcordanceCorrelation
            | Self::ConcordanceIndex => Direction::HigherIsBetter,
            Self::MeanError => Direction::Neither,
            _ => Direction::LowerIsBetter,
        }
    }

    /// The smallest and the largest value it can take.
    pub const fn range(self) -> (f64, f64) {
        match self {
            Self::R2 | Self::ExplainedVariance | Self::D2AbsoluteError => (f64::NEG_INFINITY, 1.0),
            Self::Pearson | Self::Spearman | Self::Kendall | Self::ConcordanceCorrelation => (-1.0, 1.0),
            Self::ConcordanceIndex => (0.0, 1.0),
            Self::Smape => (0.0, 2.0),
            Self::MeanError => (f64::NEG_INFINITY, f64::INFINITY),
            _ => (0.0, f64::INFINITY),
        }
    }

    /// Which numbers it is defined for; a row outside is an error that names it.
    ///
    /// ```
    /// use mlops_eval::regression::{Domain, RegressionMetric};
    /// assert_eq!(RegressionMetric::Msle.domain(), Domain::AboveMinusOne);
    /// ```
    pub const fn domain(self) -> Domain {
        match self {
            Self::Msle | Self::Rmsle => Domain::AboveMinusOne,
            Self::PoissonDeviance => Domain::Counts,
            Self::GammaDeviance => Domain::Positive,
            _ => Domain::Real,
        }
    }

    /// The metric of these rows with the default options. Weights that are `None` are all 1.
    ///
    /// ```
    /// use mlops_eval::regression::RegressionMetric;
    ///
    /// let rmse = RegressionMetric::Rmse.evaluate(&[1.0, 2.0], &[1.0, 4.0], Some(&[1.0, 1.0]))?;
    /// assert_eq!(rmse.value(), Some(2.0_f64.sqrt()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`mae`](super::mae) and [`mae_weighted`](super::mae_weighted); [`StatsError::OutOfRange`] for a row outside the
    /// [`domain`](Self::domain).
    pub fn evaluate(
        self,
        y_true: &[f64],
        y_pred: &[f64],
        weights: Option<&[f64]>,
    ) -> Result<Measured, StatsError> {
        self.evaluate_with(y_true, y_pred, weights, &RegressionOptions::default())
    }

    /// [`evaluate`](Self::evaluate) with options.
    ///
    /// # Errors
    /// Those of [`evaluate`](Self::evaluate).
    pub fn evaluate_with(
        self,
        y_true: &[f64],
        y_pred: &[f64],
        weights: Option<&[f64]>,
        options: &RegressionOptions,
    ) -> Result<Measured, StatsError> {
        match self {
            Self::Msle => mean_loss(Loss::SquaredLog, y_true, y_pred, weights),
            Self::Rmsle => {
                mean_loss(Loss::SquaredLog, y_true, y_pred, weights).map(|msle| msle.map(f64::sqrt))
            }
            Self::LogCosh => mean_loss(Loss::LogCosh, y_true, y_pred, weights),
            Self::PoissonDeviance => mean_loss(Loss::POISSON, y_true, y_pred, weights),
            Self::GammaDeviance => mean_loss(Loss::GAMMA, y_true, y_pred, weights),
            Self::D2AbsoluteError => D2State::rows(Loss::MEDIAN, y_true, y_pred, weights)?
                .finish()
                .map(|share| options.force(share)),
            Self::Spearman => Pairs::check(y_true, y_pred, weights)?.spearman(),
            Self::Kendall => Pairs::check(y_true, y_pred, weights)?.kendall(),
            Self::ConcordanceIndex => Pairs::check(y_true, y_pred, weights)?.concordance_index(),
            Self::MedianAbsoluteError => {
                check(y_true, y_pred, weights)?;
                median(sizes(y_true, y_pred, weights))
            }
            metric => {
                let scale = weight_scale(weights);
                let state = RegressionState::build(y_true, y_pred, weights, Threads::ONE, scale)?;
                if metric == Self::Rmse && !state.squares_fit() {
                    return root_mean_square(y_true, y_pred, weights);
                }
                metric.from_state_with(&state, options)
            }
        }
    }

    /// The metric of the rows of a state, with the default options.
    ///
    /// ```
    /// use mlops_eval::regression::{RegressionMetric, RegressionState};
    /// let state = RegressionState::of(&[1.0, 2.0], &[2.0, 2.0], None)?;
    /// assert_eq!(RegressionMetric::Wape.from_state(&state)?.value(), Some(1.0 / 3.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Unsupported`] for what sums do not tell: medians, ranks and logarithms; [`StatsError::Overflow`].
    #[allow(clippy::wrong_self_convention, reason = "the metric is read from the state")]
    pub fn from_state(self, state: &RegressionState) -> Result<Measured, StatsError> {
        self.from_state_with(state, &RegressionOptions::default())
    }

    /// [`from_state`](Self::from_state) with options.
    ///
    /// # Errors
    /// Those of [`from_state`](Self::from_state).
    #[allow(clippy::wrong_self_convention, reason = "the metric is read from the state")]
    pub fn from_state_with(
        self,
        state: &RegressionState,
        options: &RegressionOptions,
    ) -> Result<Measured, StatsError> {
        state.measure(self, options).unwrap_or_else(|| {
            let reason = match self {
                Self::MedianAbsoluteError | Self::D2AbsoluteError => "a median cannot be read off sums",
                Self::Spearman | Self::Kendall | Self::ConcordanceIndex => "ranks cannot be read off sums",
                _ => "the sums hold no logarithms; a loss state does",
            };
            Err(StatsError::Unsupported { what: self.name(), reason })
        })
    }
}

impl fmt::Display for RegressionMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Whether a metric can be read off sums of errors.
pub(crate) fn of_sums(metric: RegressionMetric) -> bool {
    RegressionState::default().measure(metric, &RegressionOptions::default()).is_some()
}

/// A power of two that brings the largest weight near 1; 1 where there is none or weights are to be refused.
pub(crate) fn weight_scale(weights: Option<&[f64]>) -> f64 {
    let largest = weights.map_or(1.0, |weights| weights.iter().fold(0.0, |max: f64, w| max.max(*w)));
    if !(largest > 0.0 && largest.is_finite()) {
        return 1.0;
    }
    let exponent = (largest.to_bits() >> 52) & 0x7ff;
    f64::from_bits((2046 - exponent).clamp(1, 2045) << 52)
}

/// Relative to the largest error: squares leave the range of f64 long before the root does.
fn root_mean_square(y_true: &[f64], y_pred: &[f64], weights: Option<&[f64]>) -> Result<Measured, StatsError> {
    let total = check(y_true, y_pred, weights)?;
    let errors = || sizes(y_true, y_pred, weights);
    let largest = in_range("the largest error", errors().fold(0.0, |max: f64, (error, _)| max.max(error)))?;
    if largest == 0.0 {
        return Ok(Measured::Value(0.0));
    }
    let mean =
        errors().map(|(error, w)| (error / largest) * (error / largest) * (w / total)).collect::<Sum>();
    in_range("the root mean squared error", largest * mean.value().sqrt()).map(Measured::Value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::{r2, r2_force_finite, r2_weighted, rmse};
    use mlops_core::num::UndefinedReason;

    #[test]
    fn every_metric_is_listed_once_with_its_serialised_name() {
        assert_eq!(RegressionMetric::MaxError as usize + 1, RegressionMetric::ALL.len());
        for metric in RegressionMetric::ALL {
            assert_eq!(serde_json::to_string(metric).unwrap(), format!("\"{metric}\""));
        }
    }

    #[test]
    fn bad_input_is_named_by_every_metric() {
        let cases: [(&[f64], &[f64], &str); 4] = [
            (&[], &[], "`y_true` is empty"),
            (&[1.0], &[], "`y_true` has 1 elements but `y_pred` has 0"),
            (&[1.0, f64::NAN], &[1.0, 1.0], "`y_true` has a NaN at index 1"),
            (&[1.0], &[f64::INFINITY], "`y_pred` has inf at index 0, which is not finite"),
        ];
        for metric in RegressionMetric::ALL {
            for (y_true, y_pred, message) in cases {
                assert_eq!(metric.evaluate(y_true, y_pred, None).unwrap_err().to_string(), message);
            }
            assert!(metric.evaluate(&[1.0], &[1.0], Some(&[-1.0])).is_err());
            assert!(metric.evaluate(&[1.0], &[1.0], Some(&[0.0])).is_err());
            assert!(metric.evaluate(&[1.0, 2.0], &[1.0, 2.0], Some(&[f64::MAX, f64::MAX])).is_err());
            assert!(metric.evaluate(&[1.0, 2.0], &[1.0, 2.0], Some(&[1.0])).is_err());
        }
    }

    #[test]
    fn what_does_not_fit_is_an_overflow_and_never_infinite() {
        for metric in RegressionMetric::ALL {
            let result = metric.evaluate(&[f64::MAX, f64::MAX, 0.0], &[-f64::MAX, -f64::MAX, 0.0], None);
            match metric {
                // Ranks do not mind how far apart values are.
                RegressionMetric::Spearman | RegressionMetric::Kendall => {
                    let value = result.unwrap().value().unwrap();
                    assert!((value + 1.0).abs() < 1e-15, "{metric}: {value}");
                }
                RegressionMetric::ConcordanceIndex => assert_eq!(result, Ok(Measured::Value(0.0))),
                metric if metric.domain() != Domain::Real => {
                    assert!(matches!(result, Err(StatsError::OutOfRange { .. })), "{metric}: {result:?}");
                }
                // A target of 0 comes first.
                RegressionMetric::Mape => assert!(result.is_err(), "{result:?}"),
                metric => assert!(matches!(result, Err(StatsError::Overflow { .. })), "{metric}: {result:?}"),
            }
        }
    }

    #[test]
    fn rmse_survives_errors_whose_squares_do_not_fit() {
        let at = |y: f64| rmse(&[y, y * 1e-100], &[0.0, 0.0]).unwrap().value().unwrap() / y;
        for y in [1e200, 1e-200] {
            assert!((at(y) - 0.5_f64.sqrt()).abs() < 1e-15, "{y}");
        }
    }

    #[test]
    fn constant_targets_have_no_r2_even_when_their_mean_is_rounded() {
        let constant = r2(&[0.1; 7], &[0.1, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1]).unwrap();
        assert_eq!(constant.undefined().unwrap().reason, UndefinedReason::Constant);
        assert_eq!(r2_force_finite(r2(&[0.1; 7], &[0.1; 7]).unwrap()).value(), Some(1.0));
        let one_counts = r2_weighted(&[1.0, 2.0], &[1.0, 2.0], &[1.0, 0.0]).unwrap();
        assert_eq!(one_counts.undefined().unwrap().reason, UndefinedReason::TooFew);
    }

    #[test]
    fn weights_of_any_size_are_brought_near_one() {
        for largest in [5e-324, 1e-310, 1e-200, 1.0, 3.0, 1e200, f64::MAX] {
            let scale = weight_scale(Some(&[0.0, largest]));
            let scaled = largest * scale;
            assert!(scaled > 0.0 && scaled < 4.0 && scale.is_normal(), "{largest}: {scaled}");
            assert_eq!(scaled / scale, largest);
        }
    }
}
