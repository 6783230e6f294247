//! Drift statistics as pure functions: has this column changed, by how much, and could it be chance?
//!
//! Slices go in, a small `Copy` struct comes out, and a [`StatsError`](mlops_core::num::StatsError) that names the argument
//! stands in between. A result carries the score, what the score would be without any drift, a p-value with its logarithm, and
//! how many values it speaks for. There is never a NaN for "no answer": a number that does not exist is an
//! [`Undefined`](mlops_core::num::Undefined) with its reason. The same input gives the same bits on every run.
//!
//! # The statistics
//! Distances answer with a [`Distance`]: score, noise floor, score above the noise, p-value, interval, what became of every value,
//! and the id of the definition. Tests answer with a statistic and its p-value.
//!
//! | distance | samples | weights | cells or sorted | range | checked against |
//! |---|---|---|---|---|---|
//! | [population stability index](mod@psi) | [`psi()`], [`psi_with`] | [`psi_weighted`] | [`psi_from_counts`] | 0 … ∞ nats | mpmath |
//! | [Jensen–Shannon](mod@js) | [`js()`], [`js_with`] | [`js_weighted`] | [`js_from_counts`], [`js_divergence_from_counts`] | 0 … 1 | SciPy, mpmath |
//! | [Kullback–Leibler](mod@kl), both ways | [`kl()`], [`kl_with`] | [`kl_weighted`] | [`kl_from_counts`] | 0 … ∞ | SciPy, mpmath |
//! | [Hellinger](mod@hellinger) | [`hellinger()`], [`hellinger_with`] | [`hellinger_weighted`] | [`hellinger_from_counts`] | 0 … 1 | mpmath |
//! | [total variation](mod@total_variation) | [`total_variation()`], [`total_variation_with`] | [`total_variation_weighted`] | [`total_variation_from_counts`] | 0 … 1 | exact rationals |
//! | [largest difference of shares](mod@l_infinity) | [`l_infinity()`], [`l_infinity_with`] | [`l_infinity_weighted`] | [`l_infinity_from_counts`] | 0 … 1 | exact rationals |
//! | [Wasserstein-1](mod@wasserstein) | [`wasserstein()`], [`wasserstein_with`] | [`wasserstein_weighted`] | [`wasserstein_sorted`] | 0 … ∞ | SciPy, mpmath |
//! | [energy](mod@energy) | [`energy()`], [`energy_with`] | [`energy_weighted`] | [`energy_sorted`] | 0 … ∞ | SciPy |
//!
//! | test | samples | other forms | p-value | checked against |
//! |---|---|---|---|---|
//! | [Kolmogorov–Smirnov](mod@ks) | [`ks()`], [`ks_with`] | [`ks_sorted`], [`ks_weighted`], [`SortedReference`] | exact given ties | SciPy, exact rationals |
//! | [Cramér–von Mises](mod@cramer_von_mises) | [`cramer_von_mises()`] | [`cramer_von_mises_sorted`], [`cramer_von_mises_from_counts`] | exact where small, limit law given ties | SciPy, mpmath |
//! | [Anderson–Darling](mod@anderson_darling) | [`anderson_darling()`] | [`anderson_darling_k`], [`anderson_darling_from_counts`] | limit law, at any depth | SciPy, mpmath |
//! | [Mann–Whitney](mod@mann_whitney) | [`mann_whitney()`] | [`mann_whitney_sorted`], [`mann_whitney_from_counts`] | exact where small | SciPy |
//! | [Epps–Singleton](mod@epps_singleton) | [`epps_singleton()`] | | χ² law | SciPy |
//! | [Student's and Welch's t](mod@t_test) | [`t_test()`] | | t law | SciPy |
//! | [Brown–Forsythe](mod@brown_forsythe) | [`brown_forsythe()`] | | F law | SciPy |
//! | [chi-square](mod@chi2) | [`chi2()`], [`chi2_text`] | [`chi2_homogeneity`], [`chi2_table`] | χ² law | SciPy |
//! | [G](mod@g_test) | [`g_test()`], [`g_test_text`] | [`g_test_from_counts`] | χ² law | SciPy |
//! | [Fisher's exact](mod@fisher) | [`fisher()`] | [`fisher_from_counts`] | exact | SciPy, exact rationals |
//! | [two proportions](mod@proportions) | [`proportions()`] | [`proportions_from_counts`] | normal law | statsmodels |
//! | [Cramér's V](mod@cramer_v), bias-corrected | [`cramer_v()`], [`cramer_v_text`] | [`cramer_v_from_counts`] | χ² law | SciPy |
//!
//! Statistics agree to 1e-12 and p-values to 1e-10, in ln p at any depth (held against values down to 5e-281); `tests/reference` holds the values
//! and the scripts that made them, with the versions of the tools. Values may be `f64`, `f32`, integers of any width or `bool`
//! ([`Value`]), with or without a validity bitmap ([`Sample`]).
//!
//! # Beyond single columns and batches
//! | module | what it answers |
//! |---|---|
//! | [`bins`] | cells fitted on a reference once, counted against at the speed of memory |
//! | [`profile`] | a table as counts that merge, over shards, windows and machines; no raw rows |
//! | [`sql`] | the same counts by a database: statements to run there, a reader for what comes back |
//! | [`detector`], [`multiple`] | every column of a table against a reference, one verdict |
//! | [`decision`], [`signal`] | verdicts over time; the signals of a model monitor |
//! | [`report`] | a report as text, JSON, or one page to look at |
//! | [`multivariate`] | changes that no single column shows |
//! | [`online`] | one value at a time, with a stated number of values between false alarms |
//! | [`chunk`], [`performance`] | is the model still good: measured with labels, estimated without |
//! | [`compat`] | what other tools would have said, by name and version |
//!
//! # A tour
//! ```
//! use mlops_drift::{
//!     BinRule, Bins, CategoryBins, Cell, Missing, Smoothing, chi2_homogeneity, js, ks, psi_from_counts,
//! };
//!
//! // A year of ages at training time, and a week in which an older cohort arrives.
//! let reference: Vec<f64> = (0..1200).map(|i| 20.0 + f64::from(i % 60)).collect();
//! let current: Vec<f64> = (0..300).map(|i| 35.0 + f64::from(i % 50)).collect();
//!
//! // Fit cells on the reference once, keep them with the model, and count every later week against them.
//! let bins = Bins::fit(&reference, BinRule::default())?;
//! let baseline = bins.count(&reference);
//! let week = bins.count(&current);
//! let (before, now) = (bins.tally(&baseline, Missing::Omit)?, bins.tally(&week, Missing::Omit)?);
//! let psi = psi_from_counts(before, now, Smoothing::default())?;
//! println!("PSI {:.3}, of which noise {:.3}, ln p {:.0}", psi.score, psi.noise_floor, psi.ln_p);
//! assert!(psi.score > 0.25 && psi.corrected > 0.25 && psi.current.unseen == 30);
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

pub mod alternative;
pub mod anderson_darling;
pub mod bins;
pub mod breakdown;
pub mod brown_forsythe;
mod cells;
pub mod chi2;
mod chi2_cells;
pub mod chunk;
mod comparison;
pub mod compat;
pub mod cramer_v;
pub mod cramer_von_mises;
pub mod decision;
pub mod detector;
pub mod distance;
pub mod energy;
pub mod epps_singleton;
mod family;
pub mod fisher;
pub mod g_test;
mod grid;
pub mod hellinger;
pub mod js;
pub mod kl;
pub mod ks;
pub mod l_infinity;
mod levels;
pub mod mann_whitney;
mod moments;
pub mod multivariate;
mod noncentral;
pub mod online;
mod outside;
mod pair;
pub mod performance;
pub mod profile;
pub mod proportions;
pub mod psi;
pub mod report;
pub mod sample;
pub mod signal;
pub mod smoothing;
pub mod sorted;
mod special;
pub mod sql;
pub mod t_test;
mod table;
mod tally;
pub mod total_variation;
mod two;
pub mod wasserstein;
mod weighted;

pub use alternative::Alternative;
pub use anderson_darling::{
    AndersonDarling, AndersonDarlingMethod, AndersonDarlingOptions, anderson_darling,
    anderson_darling_from_counts, anderson_darling_k, anderson_darling_sorted, anderson_darling_with,
};
pub use bins::{BinRule, Bins, CategoryBins, CategoryCell, Cell, Counts, Masses, Missing, code_counts};
pub use breakdown::{Breakdown, CellShift};
pub use brown_forsythe::{BrownForsythe, brown_forsythe, brown_forsythe_with};
pub use chi2::{Chi2, Chi2Table, chi2, chi2_homogeneity, chi2_table, chi2_text};
pub use chi2_cells::chi2_on_cells;
pub use cramer_v::{CramerV, cramer_v, cramer_v_from_counts, cramer_v_text};
pub use cramer_von_mises::{
    CramerVonMises, CramerVonMisesMethod, CramerVonMisesOptions, cramer_von_mises,
    cramer_von_mises_from_counts, cramer_von_mises_sorted, cramer_von_mises_with,
};
pub use detector::compare;
pub use distance::{CellOptions, Definition, Distance, Interval};
pub use energy::{EnergyOptions, energy, energy_sorted, energy_weighted, energy_with};
pub use epps_singleton::{EppsSingleton, epps_singleton, epps_singleton_with};
pub use fisher::{Fisher, fisher, fisher_from_counts};
pub use g_test::{GTest, g_test, g_test_from_counts, g_test_text};
pub use hellinger::{hellinger, hellinger_from_counts, hellinger_weighted, hellinger_with};
pub use js::{JsOptions, LogBase, js, js_divergence_from_counts, js_from_counts, js_weighted, js_with};
pub use kl::{KlDirection, KlOptions, kl, kl_from_counts, kl_weighted, kl_with};
pub use ks::{Ks, KsMethod, KsOptions, WeightedKs, ks, ks_sorted, ks_sorted_with, ks_weighted, ks_with};
pub use l_infinity::{l_infinity, l_infinity_from_counts, l_infinity_weighted, l_infinity_with};
pub use mann_whitney::{
    MannWhitney, MannWhitneyMethod, MannWhitneyOptions, mann_whitney, mann_whitney_from_counts,
    mann_whitney_sorted, mann_whitney_with,
};
#[doc(inline)]
pub use mlops_core::num::multiple;
pub use mlops_core::num::multiple::{Correction, adjust, simes};
pub use proportions::{
    Proportions, ProportionsOptions, proportions, proportions_from_counts, proportions_with,
};
pub use psi::{PsiOptions, psi, psi_from_counts, psi_weighted, psi_with};
pub use sample::{Sample, Side, Value};
pub use smoothing::Smoothing;
pub use sorted::{SortedReference, Workspace};
pub use t_test::{TTest, TTestMethod, TTestOptions, t_test, t_test_with};
pub use tally::Tally;
pub use total_variation::{
    total_variation, total_variation_from_counts, total_variation_weighted, total_variation_with,
};
pub use wasserstein::{
    WassersteinOptions, WassersteinScale, wasserstein, wasserstein_sorted, wasserstein_weighted,
    wasserstein_with,
};
