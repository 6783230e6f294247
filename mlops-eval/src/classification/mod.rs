//! Metrics of classifiers: from labels ([`rates`], [`confusion`], [`matrix`]), from scores ([`roc`], [`auc`],
//! [`pr`], [`det`], [`ks`](mod@ks), [`gains`], [`thresholds`]), from probabilities ([`probability`]), from scores of several
//! classes or labels ([`multiclass_scores`], [`multilabel_scores`]).
//!
//! Binary labels are `&[bool]`, `true` being the positive class; the classes of a multiclass problem are codes
//! `&[u32]` from 0. Every function checks its input and returns a [`Measured`](mlops_core::num::Measured): a number,
//! or the typed reason why there is none. What other tools return instead of "no number" is one call away:
//! [`ZeroDivision`].

pub mod auc;
pub mod confusion;
pub mod det;
pub mod gains;
pub mod ks;
mod losses;
pub mod matrix;
pub mod multiclass_scores;
pub mod multilabel_scores;
pub mod pr;
pub mod probability;
pub mod rates;
pub mod roc;
mod score_metric;
mod scores;
pub mod thresholds;
mod zero_division;

pub use auc::*;
pub use confusion::{Confusion, WeightedConfusion};
pub use det::*;
pub use gains::*;
pub use ks::*;
pub use matrix::{Average, ConfusionMatrix, WeightedConfusionMatrix};
pub use multiclass_scores::*;
pub use multilabel_scores::*;
pub use pr::*;
pub use probability::*;
pub use rates::*;
pub use roc::*;
pub use score_metric::ScoreMetric;
pub use scores::{ScoreOptions, ScoreState, ScoreStream};
pub use thresholds::*;
pub use zero_division::ZeroDivision;
