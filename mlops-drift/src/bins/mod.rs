//! Cells: how a column becomes counts that can be compared.
//!
//! [`Bins`] cuts numbers and [`CategoryBins`] cuts categories. Both are fitted on the **reference alone**, serialised, and
//! used for every later sample, so that today's and tomorrow's scores speak about the same cells and one outlier in a current
//! sample cannot stretch them. Nothing is dropped in silence: what lies below or above the reference, what the reference has
//! never seen, and what is missing all have cells of their own.
//!
//! The [default rule](BinRule::Quantile) cuts at quantiles and isolates **atoms**: a value that makes up 1/k of the
//! reference or more gets a cell to itself. Plain quantile edges coincide there, and a mass that moves onto the atom
//! (1 % exact ones that become 50 %) scores 0.
//!
//! [`Counts`] of shards, days or machines add up: the heavy pass can run anywhere.

mod category;
mod codes;
mod counts;
mod fit;
mod kernel;
mod masses;
mod numeric;
mod sampled;

pub use category::{CategoryBins, CategoryCell};
pub use codes::code_counts;
pub use counts::Counts;
pub use masses::Masses;
pub(crate) use masses::Weighed;
pub use numeric::{Bins, Cell};
pub(crate) use sampled::Counted;

use serde::{Deserialize, Serialize};

/// How the finite values of a reference are cut into cells.
///
/// ```
/// assert_eq!(mlops_drift::BinRule::default(), mlops_drift::BinRule::Quantile(10));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BinRule {
    /// About k cells of equal mass, between 1 and [`Bins::MAX_BINS`], with atoms isolated. Where values tie or are few there
    /// are fewer cells, and around atoms there are more.
    Quantile(usize),
    /// k cells of equal width from the smallest to the largest value, between 1 and [`Bins::MAX_BINS`]; fewer where
    /// doubles are too coarse for k edges. One outlier in the reference empties most of them.
    EqualWidth(usize),
    /// Cells of equal width, ⌈log₂ n + 1⌉ of them for n finite values (Sturges, *The choice of a class interval*, JASA 21, 1926),
    /// with NumPy's rounding: `numpy.histogram_bin_edges(bins="sturges")`. What Evidently and NumPy's `auto` use for small samples.
    Sturges,
    /// Cells of equal width, as Sturges but more of them where the values are skewed (Doane, *Aesthetic frequency
    /// classifications*, The American Statistician 30, 1976): `bins="doane"` in NumPy. NannyML's rule.
    Doane,
    /// Cells of the width 2·IQR/∛n (Freedman and Diaconis, *On the histogram as a density estimator*, 1981): `bins="fd"` in NumPy.
    /// Where the IQR is 0 the rule has no width, and Sturges' is taken (NumPy has one cell). A heavy tail asks for millions of cells:
    /// more than [`Bins::MAX_BINS`] are an error.
    FreedmanDiaconis,
}

impl Default for BinRule {
    fn default() -> Self {
        Self::Quantile(10)
    }
}

/// What a missing value is to a statistic on cells: a NaN, or one that is absent by a validity bitmap.
///
/// ```
/// assert_eq!(mlops_drift::Missing::default(), mlops_drift::Missing::Raise);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// A NaN is an error that names the argument and the index; values absent by the bitmap are left out. The default.
    #[default]
    Raise,
    /// Left out: the score compares the values that are present.
    Omit,
    /// A cell of its own: a changed share of missing values is drift.
    Cell,
}

impl Missing {
    /// The cells of `counts` that take part in a score: all of them, or all but the missing one.
    ///
    /// ```
    /// use mlops_drift::{Bins, Missing};
    ///
    /// let bins = Bins::from_edges(&[0.0, 1.0])?;
    /// let counts = bins.count(&[0.5, f64::NAN]);
    /// assert_eq!(Missing::Cell.cells(&counts), [0, 1, 0, 1]);
    /// assert_eq!(Missing::Omit.cells(&counts), [0, 1, 0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cells(self, counts: &Counts) -> &[u64] {
        match self {
            Self::Cell => counts.as_slice(),
            Self::Raise | Self::Omit => counts.present(),
        }
    }
}
