//! What is measured in every group: a metric of the catalogue, or one of the caller's.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::catalog::{Direction, Metric};

/// A metric that is not in the catalogue: a name for reports, which way is better, and whether it can be negative.
///
/// ```
/// use mlops_eval::catalog::Direction;
/// use mlops_eval::fairness::CustomMetric;
///
/// let profit = CustomMetric::new("profit", Direction::HigherIsBetter);
/// assert!(!profit.non_negative);
/// assert!(CustomMetric::new("cost", Direction::LowerIsBetter).with_non_negative(true).non_negative);
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomMetric {
    /// The name it has in reports.
    pub name: String,
    /// Which way is better.
    pub direction: Direction,
    /// Whether no value is below 0, so that ratios have a meaning. Default: no.
    pub non_negative: bool,
}

impl CustomMetric {
    /// A metric that may be negative.
    pub fn new(name: impl Into<String>, direction: Direction) -> Self {
        Self { name: name.into(), direction, non_negative: false }
    }

    /// Sets [`Self::non_negative`].
    #[must_use]
    pub fn with_non_negative(mut self, non_negative: bool) -> Self {
        self.non_negative = non_negative;
        self
    }
}

/// A metric of the catalogue or one of the caller's. Serialises as the name of the one, as the fields of the other.
///
/// ```
/// use mlops_eval::catalog::{Direction, Metric};
/// use mlops_eval::fairness::{CustomMetric, Measure};
///
/// let accuracy = Measure::from("accuracy".parse::<Metric>()?);
/// let profit = Measure::from(CustomMetric::new("profit", Direction::HigherIsBetter));
/// assert_eq!((accuracy.name(), profit.name()), ("accuracy", "profit"));
/// assert!(accuracy.is_non_negative() && !profit.is_non_negative());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Measure {
    /// Of the catalogue.
    Catalogue(Metric),
    /// Of the caller.
    Custom(CustomMetric),
}

impl Measure {
    /// The name it has in reports.
    pub fn name(&self) -> &str {
        match self {
            Self::Catalogue(metric) => metric.name(),
            Self::Custom(metric) => &metric.name,
        }
    }

    /// Which way is better.
    pub fn direction(&self) -> Direction {
        match self {
            Self::Catalogue(metric) => metric.direction(),
            Self::Custom(metric) => metric.direction,
        }
    }

    /// Whether no value is below 0, so that ratios have a meaning.
    pub fn is_non_negative(&self) -> bool {
        match self {
            Self::Catalogue(metric) => metric.range().0 >= 0.0,
            Self::Custom(metric) => metric.non_negative,
        }
    }

    /// The name for an error that cannot hold the caller's.
    pub(super) fn static_name(&self) -> &'static str {
        match self {
            Self::Catalogue(metric) => metric.name(),
            Self::Custom(_) => "a ratio of a metric of your own",
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl From<Metric> for Measure {
    fn from(metric: Metric) -> Self {
        Self::Catalogue(metric)
    }
}

impl From<CustomMetric> for Measure {
    fn from(metric: CustomMetric) -> Self {
        Self::Custom(metric)
    }
}
