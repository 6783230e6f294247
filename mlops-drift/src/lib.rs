//! Drift.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod bins;
pub mod chi2;
pub mod detector;
pub mod js;
pub mod ks;
pub mod multiple;
mod pair;
pub mod psi;
pub mod smoothing;
mod special;

pub use bins::{BinRule, Bins, CategoryBins, CategoryCell, Cell, Counts, Missing};
pub use chi2::{Chi2, chi2_homogeneity};
pub use js::{
    JsDistance, JsDivergence, JsOptions, LogBase, js, js_divergence_from_counts, js_from_counts, js_with,
};
pub use ks::{Ks, KsMethod, KsOptions, ks, ks_sorted, ks_with};
pub use multiple::{Correction, adjust};
pub use psi::{Psi, PsiOptions, psi, psi_from_counts, psi_with};
pub use smoothing::Smoothing;
