//! Every metric of scores and probabilities that is one number, as a value.

use std::fmt;

use mlops_core::num::{Measured, StatsError};
use serde::{Deserialize, Serialize};

use super::{
    ScoreState, average_precision, average_precision_from_state, average_precision_weighted, brier,
    brier_from_state, brier_weighted, d2_brier, d2_brier_from_state, d2_brier_weighted, d2_log_loss,
    d2_log_loss_from_state, d2_log_loss_weighted, gini, gini_from_state, gini_weighted, ks, ks_from_state,
    ks_weighted, log_loss, log_loss_from_state, log_loss_weighted, pr_auc, pr_auc_from_state,
    pr_auc_weighted, roc_auc, roc_auc_from_state, roc_auc_weighted,
};
use crate::catalog::{Direction, Needs};

/// A metric of scores or probabilities, as a value.
///
/// ```
/// use mlops_eval::classification::ScoreMetric;
///
/// let auc = ScoreMetric::RocAuc.evaluate(&[false, true], &[0.2, 0.7], None)?;
/// assert_eq!(auc.value(), Some(1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreMetric {
    /// [`roc_auc`]
    RocAuc,
    /// [`average_precision`]
    AveragePrecision,
    /// [`pr_auc`]
    PrAuc,
    /// [`gini`]
    Gini,
    /// [`ks`](super::ks())
    Ks,
    /// [`log_loss`]
    LogLoss,
    /// [`brier`]
    Brier,
    /// [`d2_log_loss`]
    #[serde(rename = "d2_log_loss")]
    D2LogLoss,
    /// [`d2_brier`]
    #[serde(rename = "d2_brier")]
    D2Brier,
}

impl ScoreMetric {
    /// Every metric of this kind.
    pub const ALL: &[Self] = &[
        Self::RocAuc,
        Self::AveragePrecision,
        Self::PrAuc,
        Self::Gini,
        Self::Ks,
        Self::LogLoss,
        Self::Brier,
        Self::D2LogLoss,
        Self::D2Brier,
    ];

    /// The name it has in reports and configuration files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RocAuc => "roc_auc",
            Self::AveragePrecision => "average_precision",
            Self::PrAuc => "pr_auc",
            Self::Gini => "gini",
            Self::Ks => "ks",
            Self::LogLoss => "log_loss",
            Self::Brier => "brier",
            Self::D2LogLoss => "d2_log_loss",
            Self::D2Brier => "d2_brier",
        }
    }

    /// Which way is better.
    pub const fn direction(self) -> Direction {
        match self {
            Self::LogLoss | Self::Brier => Direction::LowerIsBetter,
            _ => Direction::HigherIsBetter,
        }
    }

    /// The smallest and the largest value it can take.
    pub const fn range(self) -> (f64, f64) {
        match self {
            Self::RocAuc | Self::AveragePrecision | Self::PrAuc | Self::Ks | Self::Brier => (0.0, 1.0),
            Self::Gini => (-1.0, 1.0),
            Self::LogLoss => (0.0, f64::INFINITY),
            Self::D2LogLoss | Self::D2Brier => (f64::NEG_INFINITY, 1.0),
        }
    }

    /// Scores of any scale, or probabilities.
    pub const fn needs(self) -> Needs {
        match self {
            Self::RocAuc | Self::AveragePrecision | Self::PrAuc | Self::Gini | Self::Ks => Needs::Scores,
            Self::LogLoss | Self::Brier | Self::D2LogLoss | Self::D2Brier => Needs::Probabilities,
        }
    }

    /// The metric of these rows. Weights that are `None` are all 1.
    ///
    /// # Errors
    /// Those of the metric's function.
    pub fn evaluate(
        self,
        y_true: &[bool],
        scores: &[f64],
        weights: Option<&[f64]>,
    ) -> Result<Measured, StatsError> {
        match weights {
            None => self.unweighted(y_true, scores),
            Some(weights) => self.weighted(y_true, scores, weights),
        }
    }

    fn unweighted(self, y_true: &[bool], scores: &[f64]) -> Result<Measured, StatsError> {
        match self {
            Self::RocAuc => roc_auc(y_true, scores),
            Self::AveragePrecision => average_precision(y_true, scores),
            Self::PrAuc => pr_auc(y_true, scores),
            Self::Gini => gini(y_true, scores),
            Self::Ks => ks(y_true, scores),
            Self::LogLoss => log_loss(y_true, scores),
            Self::Brier => brier(y_true, scores),
            Self::D2LogLoss => d2_log_loss(y_true, scores),
            Self::D2Brier => d2_brier(y_true, scores),
        }
    }

    fn weighted(self, y_true: &[bool], scores: &[f64], weights: &[f64]) -> Result<Measured, StatsError> {
        match self {
            Self::RocAuc => roc_auc_weighted(y_true, scores, weights),
            Self::AveragePrecision => average_precision_weighted(y_true, scores, weights),
            Self::PrAuc => pr_auc_weighted(y_true, scores, weights),
            Self::Gini => gini_weighted(y_true, scores, weights),
            Self::Ks => ks_weighted(y_true, scores, weights),
            Self::LogLoss => log_loss_weighted(y_true, scores, weights),
            Self::Brier => brier_weighted(y_true, scores, weights),
            Self::D2LogLoss => d2_log_loss_weighted(y_true, scores, weights),
            Self::D2Brier => d2_brier_weighted(y_true, scores, weights),
        }
    }

    /// The metric of the rows that a state was built from.
    ///
    /// ```
    /// use mlops_eval::classification::{ScoreMetric, ScoreState};
    ///
    /// let state = ScoreState::of(&[false, true], &[0.2, 0.7])?;
    /// for metric in ScoreMetric::ALL {
    ///     println!("{metric} = {}", metric.from_state(&state)?);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of the metric's function.
    pub fn from_state(self, state: &ScoreState) -> Result<Measured, StatsError> {
        match self {
            Self::RocAuc => roc_auc_from_state(state),
            Self::AveragePrecision => average_precision_from_state(state),
            Self::PrAuc => pr_auc_from_state(state),
            Self::Gini => gini_from_state(state),
            Self::Ks => ks_from_state(state),
            Self::LogLoss => log_loss_from_state(state),
            Self::Brier => brier_from_state(state),
            Self::D2LogLoss => d2_log_loss_from_state(state),
            Self::D2Brier => d2_brier_from_state(state),
        }
    }
}

impl fmt::Display for ScoreMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
