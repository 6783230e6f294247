//! Metrics of classifiers: from labels ([`rates`], [`confusion`], [`matrix`], [`kappa`]), from scores of several classes
//! ([`top_k`]), from rows with several labels ([`multilabel`], [`label_ranking`]), from scores ([`roc`]), from
//! probabilities ([`probability`]). What scikit-learn and Fairlearn return instead is in [`compat`].
//!
//! Binary labels are `&[bool]`, `true` being the positive class; the classes of a multiclass problem are codes
//! `&[u32]` from 0. Every function checks its input and returns a [`Measured`](mlops_core::num::Measured): a number,
//! or the typed reason why there is none. What other tools return instead of "no number" is one call away:
//! [`ZeroDivision`].

pub mod average;
pub mod compat;
pub mod confusion;
pub mod kappa;
mod kernel;
pub mod label_ranking;
pub mod matrix;
pub mod multilabel;
pub mod probability;
pub mod rates;
pub mod roc;
mod scores;
pub mod top_k;
mod zero_division;

pub use average::{Average, CellMetric};
pub use confusion::{Confusion, WeightedConfusion, WeightedConfusionState};
pub use kappa::{KappaWeights, cohen_kappa, cohen_kappa_weighted};
pub use label_ranking::{
    LabelRanking, LabelRankingState, coverage_error, coverage_error_weighted,
    label_ranking_average_precision, label_ranking_average_precision_weighted, label_ranking_loss,
    label_ranking_loss_weighted,
};
pub use matrix::{ConfusionMatrix, Normalize, WeightedConfusionMatrix, WeightedConfusionMatrixState};
pub use multilabel::MultilabelConfusion;
pub use probability::{
    LogLossOptions, brier, brier_weighted, log_loss, log_loss_weighted, log_loss_weighted_with, log_loss_with,
};
pub use rates::*;
pub use roc::{RocCurve, RocPoint, roc_auc, roc_auc_weighted, roc_curve, roc_curve_weighted};
pub use scores::ScoreState;
pub use top_k::{
    TopKOptions, TopKState, TopKTies, top_k_accuracy, top_k_accuracy_weighted, top_k_accuracy_weighted_with,
    top_k_accuracy_with,
};
pub use zero_division::ZeroDivision;
