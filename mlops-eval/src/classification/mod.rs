//! Metrics of classifiers: from labels ([`rates`], [`confusion`], [`matrix`], [`kappa`]), from scores ([`roc`], [`auc`],
//! [`pr`], [`det`], [`ks`](mod@ks), [`gains`], [`thresholds`]), from probabilities ([`probability`]), from scores of several
//! classes or labels ([`top_k`], [`multiclass_scores`], [`multilabel_scores`]), from rows with several labels ([`multilabel`],
//! [`label_ranking`]). What scikit-learn and Fairlearn return instead is in [`compat`].
//!
//! Binary labels are `&[bool]`, `true` being the positive class; the classes of a multiclass problem are codes
//! `&[u32]` from 0. Every function checks its input and returns a [`Measured`](mlops_core::num::Measured): a number,
//! or the typed reason why there is none. What other tools return instead of "no number" is one call away:
//! [`ZeroDivision`].
//!
//! ```
//! use mlops_eval::classification::{Confusion, f1, roc_auc};
//!
//! let (y_true, scores) = ([true, false, true, false], [0.9, 0.4, 0.6, 0.7]);
//! let y_pred = scores.map(|score| score >= 0.5);
//! assert_eq!(f1(&y_true, &y_pred)?.value(), Some(0.8));
//! assert_eq!(roc_auc(&y_true, &scores)?.value(), Some(0.75));
//!
//! let mut monday = Confusion::of(&y_true, &y_pred)?;
//! monday.merge(&Confusion::of(&[true], &[false])?)?;
//! assert_eq!(monday.false_negatives, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod auc;
pub mod average;
pub mod compat;
pub mod confusion;
pub mod det;
pub mod gains;
pub mod kappa;
mod kernel;
pub mod ks;
pub mod label_ranking;
mod losses;
pub mod matrix;
pub mod multiclass_scores;
pub mod multilabel;
pub mod multilabel_scores;
pub mod pr;
pub mod probability;
pub mod rates;
pub mod roc;
mod score_metric;
mod scores;
pub mod thresholds;
pub mod top_k;
mod zero_division;

pub use auc::*;
pub use average::{Average, CellMetric};
pub use confusion::{Confusion, WeightedConfusion, WeightedConfusionState};
pub use det::*;
pub use gains::*;
pub use kappa::{KappaWeights, cohen_kappa, cohen_kappa_weighted};
pub use ks::*;
pub use label_ranking::{
    LabelRanking, LabelRankingState, coverage_error, coverage_error_weighted,
    label_ranking_average_precision, label_ranking_average_precision_weighted, label_ranking_loss,
    label_ranking_loss_weighted,
};
pub use matrix::{ConfusionMatrix, Normalize, WeightedConfusionMatrix, WeightedConfusionMatrixState};
pub use multiclass_scores::*;
pub use multilabel::MultilabelConfusion;
pub use multilabel_scores::*;
pub use pr::*;
pub use probability::*;
pub use rates::*;
pub use roc::*;
pub use score_metric::ScoreMetric;
pub use scores::{ScoreOptions, ScoreState, ScoreStream};
pub use thresholds::*;
pub use top_k::{
    TopKOptions, TopKState, TopKTies, top_k_accuracy, top_k_accuracy_weighted, top_k_accuracy_weighted_with,
    top_k_accuracy_with,
};
pub use zero_division::ZeroDivision;
