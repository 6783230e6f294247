//! Drift statistics as pure functions: has this column changed, by how much, and could it be chance?
//!
//! Slices go in, a small `Copy` struct comes out, and a [`StatsError`](mlops_core::num::StatsError) that names the argument
//! stands in between. A result carries the score, what the score would be without any drift, a p-value with its logarithm, and
//! how many values it speaks for. There is never a NaN for "no answer": a number that does not exist is an
//! [`Undefined`](mlops_core::num::Undefined) with its reason. The same input gives the same bits on every run.
//!
//! # The statistics
//! | statistic | samples | counts | range | checked against |
//! |---|---|---|---|---|
//! | [population stability index](mod@psi) | [`psi()`], [`psi_with`] | [`psi_from_counts`] | 0 … ∞ nats | mpmath, 60 digits |
//! | [Jensen–Shannon distance](mod@js) | [`js()`], [`js_with`] | [`js_from_counts`] | 0 … 1 (base 2) | SciPy `jensenshannon` |
//! | [Jensen–Shannon divergence](mod@js) | | [`js_divergence_from_counts`] | 0 … 1 (base 2), 0 … ln 2 | mpmath, 60 digits |
//! | [chi-square of homogeneity](mod@chi2) | | [`chi2_homogeneity`] | 0 … n + m | SciPy `chi2_contingency` |
//! | [Kolmogorov–Smirnov](mod@ks) | [`ks()`], [`ks_with`], [`ks_sorted`] | | 0 … 1 | SciPy `ks_2samp`, exact rationals |
//!
//! Statistics agree to 1e-12 and p-values to 1e-10, down to p = 1e-300 and in ln p beyond; `tests/reference` holds the values
//! and the script that made them.
//!
//! # A tour
//! ```
//! use mlops_drift::{BinRule, Bins, CategoryBins, Cell, Smoothing, chi2_homogeneity, js, ks, psi_from_counts};
//!
//! // A year of ages at training time, and a week in which an older cohort arrives.
//! let reference: Vec<f64> = (0..1200).map(|i| 20.0 + f64::from(i % 60)).collect();
//! let current: Vec<f64> = (0..300).map(|i| 35.0 + f64::from(i % 50)).collect();
//!
//! // Fit cells on the reference once, keep them with the model, and count every later week against them.
//! let bins = Bins::fit(&reference, BinRule::default())?;
//! let baseline = bins.count(&reference);
//! let week = bins.count(&current);
//! let psi = psi_from_counts(baseline.as_slice(), week.as_slice(), Smoothing::default())?;
//! println!("PSI {:.3}, of which noise {:.3}, ln p {:.0}", psi.score, psi.noise_floor, psi.ln_p);
//! assert!(psi.score > 0.25 && psi.corrected > 0.25);
//!
//! // Which cell moved? Ages above 79 were never seen before.
//! let moved = bins.cells().zip(week.as_slice()).find(|(cell, _)| matches!(cell, Cell::Overflow { .. }));
//! assert_eq!(moved.map(|(cell, count)| (cell.to_string(), *count)), Some(("(79, inf)".to_owned(), 30)));
//!
//! // Without cells: the largest gap between the two distribution functions, with a p-value that is exact despite ties.
//! let ks = ks(&reference, &current)?;
//! assert!(ks.ln_p.value().is_some_and(|ln_p| ln_p < -20.0));
//!
//! // Bounded between 0 and 1, for columns on different scales.
//! assert!(js(&reference, &current)?.score > 0.3);
//!
//! // Categories: unseen ones and missing ones have cells of their own.
//! let plans = CategoryBins::fit(["basic", "basic", "plus"].map(Some))?;
//! let before = plans.count(["basic", "basic", "plus"].map(Some));
//! let after = plans.count([Some("basic"), Some("premium"), None]);
//! assert_eq!(chi2_homogeneity(before.as_slice(), after.as_slice())?.dof, 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it is not
//! - **No thresholds.** "PSI above 0.2" is a convention whose meaning changes with the number of cells and values; a decision
//!   belongs to whoever takes it. The noise floor and the p-value are there to take it by.
//! - **No data frames.** Functions take slices; turning a frame into columns is `mlops_core`'s business.
//! - **No imitation by default.** Where tools disagree the default is the definition that can be defended, and the choices are
//!   named: [`Smoothing`], [`BinRule`], [`LogBase`], [`KsMethod`].
//!
//! # Values that are not numbers, not finite, or not there
//! | | PSI, JS on samples | KS | [`Bins::count`] |
//! |---|---|---|---|
//! | NaN | error; or left out; or a cell ([`Missing`]) | error; or left out; or undefined ([`NanPolicy`](mlops_core::num::NanPolicy)) | the missing cell |
//! | ±∞ | underflow and overflow cells | ordinary, extreme values | underflow and overflow cells |
//! | −0.0 | equals 0.0 | equals 0.0 | equals 0.0 |
//!
//! # Features
//! | feature | default | brings |
//! |---|---|---|
//! | `polars` | no | forwards to `mlops-core`: data frames as tables of columns |
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod bins;
pub mod breakdown;
pub mod chi2;
mod chi2_cells;
mod comparison;
pub mod compat;
pub mod detector;
pub mod distance;
pub mod energy;
mod family;
pub mod hellinger;
pub mod js;
pub mod kl;
pub mod ks;
pub mod l_infinity;
pub mod multiple;
mod noncentral;
mod outside;
mod pair;
pub mod psi;
pub mod sample;
pub mod smoothing;
mod special;
mod tally;
pub mod total_variation;

pub use bins::{BinRule, Bins, CategoryBins, CategoryCell, Cell, Counts, Masses, Missing, code_counts};
pub use breakdown::{Breakdown, CellShift};
pub use chi2::{Chi2, chi2_homogeneity};
pub use chi2_cells::chi2_on_cells;
pub use distance::{CellOptions, Definition, Distance, Interval};
pub use energy::{EnergyOptions, energy, energy_sorted, energy_with};
pub use hellinger::{hellinger, hellinger_from_counts, hellinger_weighted, hellinger_with};
pub use js::{JsOptions, LogBase, js, js_divergence_from_counts, js_from_counts, js_weighted, js_with};
pub use kl::{KlDirection, KlOptions, kl, kl_from_counts, kl_weighted, kl_with};
pub use ks::{Ks, KsMethod, KsOptions, ks, ks_sorted, ks_with};
pub use l_infinity::{l_infinity, l_infinity_from_counts, l_infinity_weighted, l_infinity_with};
pub use multiple::{Correction, adjust};
pub use psi::{PsiOptions, psi, psi_from_counts, psi_weighted, psi_with};
pub use sample::{Sample, Side, Value};
pub use smoothing::Smoothing;
pub use tally::Tally;
pub use total_variation::{
    total_variation, total_variation_from_counts, total_variation_weighted, total_variation_with,
};
