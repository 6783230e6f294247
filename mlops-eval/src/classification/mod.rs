//! Metrics of classifiers: from labels ([`rates`], [`confusion`], [`matrix`]), from scores ([`roc`]), from
//! probabilities ([`probability`]).
//!
//! Binary labels are `&[bool]`, `true` being the positive class; the classes of a multiclass problem are codes
//! `&[u32]` from 0. Every function checks its input and returns a [`Measured`](mlops_core::num::Measured): a number,
//! or the typed reason why there is none. What other tools return instead of "no number" is one call away:
//! [`ZeroDivision`].

pub mod confusion;
pub mod matrix;
pub mod probability;
pub mod rates;
pub mod roc;
mod scores;
mod zero_division;

pub use confusion::{Confusion, WeightedConfusion};
pub use matrix::{Average, ConfusionMatrix, WeightedConfusionMatrix};
pub use probability::{
    LogLossOptions, brier, brier_weighted, log_loss, log_loss_weighted, log_loss_weighted_with, log_loss_with,
};
pub use rates::*;
pub use roc::{RocCurve, RocPoint, roc_auc, roc_auc_weighted, roc_curve, roc_curve_weighted};
pub use scores::ScoreState;
pub use zero_division::ZeroDivision;
