//! How a table is validated.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// How a table is validated.
///
/// ```
/// use mlops_core::data::ValidateOptions;
/// let options = ValidateOptions::default().with_now("2026-01-31T00:00:00Z".parse()?).with_values(false);
/// assert_eq!((options.samples, options.values), (20, false));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValidateOptions {
    /// The time against which [`Rule::Fresh`](super::Rule::Fresh) is checked; without it, that rule cannot be checked.
    pub now: Option<DateTime<Utc>>,
    /// The most offending values listed of each rule; counts are always complete. At most
    /// [`MAX_SAMPLES`](Self::MAX_SAMPLES); default 20.
    pub samples: usize,
    /// Whether reports hold offending values, each cut to 64 characters. Set to false where a report is read by people who
    /// must not see the data: it then names rows only. Default true.
    pub values: bool,
    /// The most different keys that [`Rule::Unique`](super::Rule::Unique) and [`Rule::ForeignKey`](super::Rule::ForeignKey) keep of one
    /// rule; numbers that follow each other in the data, as row numbers do, count as one. Beyond it the rule cannot be checked, and
    /// does not pass. 10 to 40 bytes each; default 20 million.
    pub max_keys: u64,
}

impl Default for ValidateOptions {
    fn default() -> Self {
        Self { now: None, samples: 20, values: true, max_keys: 20_000_000 }
    }
}

impl ValidateOptions {
    /// The greatest [`ValidateOptions::samples`]; more are cut down to it.
    pub const MAX_SAMPLES: usize = 1_000;

    /// Sets the time against which freshness is checked.
    #[must_use]
    pub fn with_now(mut self, now: DateTime<Utc>) -> Self {
        self.now = Some(now);
        self
    }

    /// Sets the most offending values listed.
    #[must_use]
    pub fn with_samples(mut self, samples: usize) -> Self {
        self.samples = samples;
        self
    }

    /// Sets whether reports hold values.
    #[must_use]
    pub fn with_values(mut self, values: bool) -> Self {
        self.values = values;
        self
    }

    /// Sets the most keys kept.
    #[must_use]
    pub fn with_max_keys(mut self, max_keys: u64) -> Self {
        self.max_keys = max_keys;
        self
    }

    pub(super) fn sample_limit(&self) -> usize {
        self.samples.min(Self::MAX_SAMPLES)
    }
}
