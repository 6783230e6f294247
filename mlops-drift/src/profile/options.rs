//! What a reference fits and keeps.

use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::Grid;

/// How finely a [`Reference`](super::Reference) cuts, and what it and its profiles keep beside counts.
///
/// ```
/// use mlops_drift::profile::ProfileOptions;
///
/// let options = ProfileOptions::default().with_cells(1024).with_quantiles(Some(1024)).with_distinct(None);
/// assert_eq!(options.bins, 10);
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProfileOptions {
    /// How many bins of about equal mass a column of numbers gets, from 1 to `cells`; 10 by default.
    pub bins: usize,
    /// The most cells a grid has, from 2 to [`Grid::MAX_CELLS`]; 4096 by default.
    pub cells: usize,
    /// log₂ of the registers of the sketch of distinct values, from 4 to 21; 12 by default, `None` keeps none.
    pub distinct: Option<u8>,
    /// k of the quantile sketch, from 8; none by default, because a KLL sketch is not [reproducible](super::QuantileSketch).
    pub quantiles: Option<u16>,
    /// log₂ of the slots for frequent unseen categories, from 3 to 26; 10 by default.
    pub frequent: u8,
    /// Whether the reference keeps its finite values, sorted, for exact Kolmogorov–Smirnov tests; not by default.
    pub keep_values: bool,
}

impl Default for ProfileOptions {
    fn default() -> Self {
        Self { bins: 10, cells: 4096, distinct: Some(12), quantiles: None, frequent: 10, keep_values: false }
    }
}

impl ProfileOptions {
    /// With this many bins.
    #[must_use]
    pub fn with_bins(mut self, bins: usize) -> Self {
        self.bins = bins;
        self
    }

    /// With this many cells.
    #[must_use]
    pub fn with_cells(mut self, cells: usize) -> Self {
        self.cells = cells;
        self
    }

    /// With a sketch of distinct values of this size.
    #[must_use]
    pub fn with_distinct(mut self, lg_k: Option<u8>) -> Self {
        self.distinct = lg_k;
        self
    }

    /// With a quantile sketch of this size.
    #[must_use]
    pub fn with_quantiles(mut self, k: Option<u16>) -> Self {
        self.quantiles = k;
        self
    }

    /// With this size of the sketch of frequent unseen categories.
    #[must_use]
    pub fn with_frequent(mut self, lg_size: u8) -> Self {
        self.frequent = lg_size;
        self
    }

    /// With or without the reference's values.
    #[must_use]
    pub fn with_keep_values(mut self, keep: bool) -> Self {
        self.keep_values = keep;
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        let outside = |field, range: &str| {
            Err(Error::invalid("ProfileOptions::check", field, format!("must lie between {range}")))
        };
        if !(2..=Grid::MAX_CELLS).contains(&self.cells) {
            return outside("cells", "2 and 65536");
        }
        if !(1..=self.cells).contains(&self.bins) {
            return outside("bins", "1 and `cells`");
        }
        if self.distinct.is_some_and(|lg_k| !(4..=21).contains(&lg_k)) {
            return outside("distinct", "4 and 21");
        }
        if self.quantiles.is_some_and(|k| k < 8) {
            return outside("quantiles", "8 and 65535");
        }
        if !(3..=26).contains(&self.frequent) {
            return outside("frequent", "3 and 26");
        }
        Ok(())
    }
}
