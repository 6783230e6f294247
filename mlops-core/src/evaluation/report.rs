//! What an evaluation found.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::hash::{Digest, digest_json};
use crate::id::MetricKey;
use crate::num::{Measured, Undefined};
use crate::problem::{Direction, Task};
use crate::time::Timestamp;

/// A metric's value, with what one needs to judge it.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The value, or why there is none.
    pub value: Measured,
    /// Which way is better.
    pub direction: Direction,
    /// How many rows it rests on.
    pub rows: u64,
    /// A 95 % confidence interval, where one was computed.
    pub interval: Option<(f64, f64)>,
}

impl Estimate {
    /// A value without an interval.
    pub fn new(value: Measured, direction: Direction, rows: u64) -> Self {
        Self { value, direction, rows, interval: None }
    }

    /// Adds a 95 % confidence interval.
    #[must_use]
    pub fn with_interval(mut self, low: f64, high: f64) -> Self {
        self.interval = Some((low, high));
        self
    }
}

/// The metrics of a part of the rows.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SliceReport {
    /// The slice's name: column and value, as `region = north`.
    pub name: String,
    /// How many rows it has.
    pub rows: u64,
    /// Its metrics.
    pub metrics: BTreeMap<MetricKey, Estimate>,
}

impl SliceReport {
    /// A slice's metrics.
    pub fn new(name: impl Into<String>, rows: u64, metrics: BTreeMap<MetricKey, Estimate>) -> Self {
        Self { name: name.into(), rows, metrics }
    }
}

/// The metrics of one group of a sensitive attribute.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupReport {
    /// The group's name.
    pub name: String,
    /// How many rows it has.
    pub rows: u64,
    /// Whether it has too few rows to be compared.
    pub too_small: bool,
    /// Its metrics.
    pub metrics: BTreeMap<MetricKey, Estimate>,
}

impl GroupReport {
    /// A group's metrics.
    pub fn new(
        name: impl Into<String>,
        rows: u64,
        too_small: bool,
        metrics: BTreeMap<MetricKey, Estimate>,
    ) -> Self {
        Self { name: name.into(), rows, too_small, metrics }
    }
}

/// A disparity between groups, and which groups could not take part.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Disparity {
    /// The value, or why there is none.
    pub estimate: Estimate,
    /// Groups that were left out: too small, or undefined.
    pub left_out: Vec<String>,
}

impl Disparity {
    /// A disparity.
    pub fn new(estimate: Estimate, left_out: Vec<String>) -> Self {
        Self { estimate, left_out }
    }
}

/// How groups of one sensitive attribute compare.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FairnessReport {
    /// The attribute, or several joined by ` × `.
    pub attribute: String,
    /// Every group.
    pub groups: Vec<GroupReport>,
    /// Disparities by name: `demographic_parity_difference`, …
    pub disparities: BTreeMap<MetricKey, Disparity>,
}

impl FairnessReport {
    /// How groups compare.
    pub fn new(
        attribute: impl Into<String>,
        groups: Vec<GroupReport>,
        disparities: BTreeMap<MetricKey, Disparity>,
    ) -> Self {
        Self { attribute: attribute.into(), groups, disparities }
    }
}

/// What an evaluation found: of one model (by digest) on one data set (by digest).
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationReport {
    /// The version of this shape: 1.
    pub schema: u32,
    /// The digest of the model.
    pub model: Digest,
    /// The digest of the data it was evaluated on.
    pub data: Digest,
    /// What it predicts.
    pub task: Task,
    /// When.
    pub at: Timestamp,
    /// On how many rows.
    pub rows: u64,
    /// Metrics over all rows.
    pub metrics: BTreeMap<MetricKey, Estimate>,
    /// Metrics over parts of the rows.
    pub slices: Vec<SliceReport>,
    /// Comparisons between groups.
    pub fairness: Vec<FairnessReport>,
}

impl EvaluationReport {
    /// A report with nothing in it yet.
    pub fn new(model: Digest, data: Digest, task: Task, at: Timestamp, rows: u64) -> Self {
        Self {
            schema: 1,
            model,
            data,
            task,
            at,
            rows,
            metrics: BTreeMap::new(),
            slices: Vec::new(),
            fairness: Vec::new(),
        }
    }

    /// A metric over all rows, if it has a value.
    pub fn metric(&self, key: &str) -> Option<f64> {
        self.metrics.get(key).and_then(|e| e.value.value())
    }

    /// The metrics that have no value, with the reason.
    pub fn undefined(&self) -> impl Iterator<Item = (&MetricKey, Undefined)> {
        self.metrics.iter().filter_map(|(key, e)| e.value.undefined().map(|u| (key, u)))
    }

    /// The digest of the report, to which decisions and approvals are bound.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if a number in it is NaN or infinite, which no evaluator
    /// writes.
    pub fn digest(&self) -> Result<Digest> {
        digest_json(self)
    }
}
