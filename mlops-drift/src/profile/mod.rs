//! Profiles: a table as counts that add up, and what can be concluded from them.
//!
//! A [`Reference`] is fitted once. Shards, days, windows of a stream are then counted against it, each into a [`Profile`], and
//! profiles **merge**: counts, extremes, moments and distinct counts to the bits of one pass over everything, in any order. No row
//! is kept, and everything serialises.
//!
//! | question | from | how sure |
//! |---|---|---|
//! | PSI, JS, chi-square, … | [`Reference::bin_counts`] and the `…_from_counts` functions | exact: bins are unions of cells |
//! | Kolmogorov–Smirnov | [`Reference::ks`] | certain bounds of D and p; exact with a [second pass](crate::sql::exact_ks) |
//! | Wasserstein-1, quantiles | [`Reference::wasserstein`], [`Reference::quantile`] | certain bounds |
//! | mean, variance, skewness, kurtosis | [`Reference::moments`] | exact sums, rounded at the end |
//! | distinct values | [`DistinctSketch`] | 1.6 % by default |
//! | new categories | [`Reference::top_categories`] | bounds on each count |
//! | ranks without a reference | [`QuantileSketch`], [`KsBounds::from_sketches`] | rank error at 99 %, or *inconclusive* |
//!
//! The same counts can be had from a database: see [`crate::sql`].

mod category;
mod exact;
mod grid;
mod inference;
mod moments;
mod numeric;
mod options;
#[expect(clippy::module_inception, reason = "the file holds the noun")]
mod profile;
mod reference;
mod sketch;

pub use category::CategoryProfile;
pub use grid::Grid;
pub(crate) use inference::kolmogorov;
pub use inference::{Bounds, KsBounds};
pub use moments::{MomentSummary, Moments};
pub use numeric::{Extremes, NumericDetail, NumericProfile};
pub use options::ProfileOptions;
pub(crate) use profile::for_each_chunk as column_values;
pub use profile::{ColumnProfile, Profile, Profiler};
pub use reference::{ColumnCells, Reference, ReferenceColumn};
pub use sketch::{DistinctSketch, FrequentSketch, QuantileSketch};
