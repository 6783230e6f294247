//! How a table is described.

use serde::{Deserialize, Serialize};

/// How a table is described, and from where on something about it is worth an [alert](super::Alert).
///
/// ```
/// use mlops_core::data::ProfileOptions;
/// let quick = ProfileOptions::default().with_correlations(false).with_duplicates(false);
/// assert_eq!(quick.sample_rows, 65_536);
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProfileOptions {
    /// The most rows kept for quantiles, histograms, ranks and top values; 1000 to 1 048 576, default 65 536. Up to so many rows these
    /// are exact.
    pub sample_rows: usize,
    /// The seed of the sample.
    pub seed: u64,
    /// The most different values counted exactly in each column; 2 to 1 000 000, default 10 000.
    pub max_exact: usize,
    /// The most top values listed; at most 1000, default 10.
    pub top: usize,
    /// The cells of a histogram; 1 to 1000, default 30.
    pub bins: usize,
    /// Whether pairs of columns are correlated; default true.
    pub correlations: bool,
    /// The most numeric columns, and the most categorical ones, that are correlated: the first of each. At most 1000, default 40.
    pub max_correlated: usize,
    /// Whether rows that come twice are counted; default true.
    pub duplicates: bool,
    /// The most different rows kept to find repetitions, about 30 bytes each. Beyond it, how many rows come twice is not known. Default
    /// one million.
    pub max_duplicate_rows: u64,
    /// From which absolute correlation on two columns are alerted; default 0.9.
    pub high_correlation: f64,
    /// From which absolute skewness on a column is alerted; default 20, as in ydata-profiling.
    pub skewed: f64,
    /// From how many different texts on a column is alerted; default 50, as in ydata-profiling.
    pub high_cardinality: u64,
    /// From which imbalance on a column is alerted; default 0.5, as in ydata-profiling.
    pub imbalanced: f64,
    /// From which share on missing, infinite and zero values are alerted; default 0.01, as in ydata-profiling.
    pub share: f64,
}

impl Default for ProfileOptions {
    fn default() -> Self {
        Self {
            sample_rows: 65_536,
            seed: 0,
            max_exact: 10_000,
            top: 10,
            bins: 30,
            correlations: true,
            max_correlated: 40,
            duplicates: true,
            max_duplicate_rows: 1_000_000,
            high_correlation: 0.9,
            skewed: 20.0,
            high_cardinality: 50,
            imbalanced: 0.5,
            share: 0.01,
        }
    }
}

impl ProfileOptions {
    /// Sets the most rows kept.
    #[must_use]
    pub fn with_sample_rows(mut self, sample_rows: usize) -> Self {
        self.sample_rows = sample_rows;
        self
    }

    /// Sets the seed of the sample.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the most different values counted exactly.
    #[must_use]
    pub fn with_max_exact(mut self, max_exact: usize) -> Self {
        self.max_exact = max_exact;
        self
    }

    /// Sets whether pairs of columns are correlated.
    #[must_use]
    pub fn with_correlations(mut self, correlations: bool) -> Self {
        self.correlations = correlations;
        self
    }

    /// Sets whether rows that come twice are counted.
    #[must_use]
    pub fn with_duplicates(mut self, duplicates: bool) -> Self {
        self.duplicates = duplicates;
        self
    }

    /// What is out of its documented limits: the key, and a sentence.
    pub(super) fn fault(&self) -> Option<(&'static str, String)> {
        let sizes = [
            ("sample_rows", self.sample_rows, 1_000, 1 << 20),
            ("max_exact", self.max_exact, 2, 1_000_000),
            ("top", self.top, 0, 1_000),
            ("bins", self.bins, 1, 1_000),
            ("max_correlated", self.max_correlated, 0, 1_000),
        ];
        let size = sizes.into_iter().find(|(_, value, low, high)| !(low..=high).contains(&value));
        if let Some((key, value, low, high)) = size {
            return Some((key, format!("must lie in [{low}, {high}], got {value}")));
        }
        let shares = [
            ("high_correlation", self.high_correlation),
            ("skewed", self.skewed),
            ("imbalanced", self.imbalanced),
            ("share", self.share),
        ];
        let share = shares.into_iter().find(|(_, value)| !value.is_finite() || *value < 0.0);
        share.map(|(key, value)| (key, format!("must be finite and not negative, got {value}")))
    }
}
