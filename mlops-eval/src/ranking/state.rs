//! The mergeable state behind means over queries.

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::list::RankedList;
use super::metrics::RankingMetric;
use super::options::{RankingOptions, WithoutRelevant};
use super::queries::{Queries, check_query, check_weights};
use crate::input::{check_weight, weight};

/// Sums over queries of some metrics, all with the same options. Its size does not depend on the data.
///
/// ```
/// use mlops_eval::ranking::{Queries, RankingMetric, RankingOptions, RankingState};
///
/// let metrics = [RankingMetric::Ndcg, RankingMetric::ReciprocalRank];
/// let mut state = RankingState::new(&metrics, &RankingOptions::default())?;
/// state.push(&[0.0, 2.0], &[0.9, 0.8], 1.0)?;
/// state.push(&[0.0, 0.0], &[0.9, 0.8], 1.0)?;
/// let more = Queries::one(&[1.0, 0.0], &[0.9, 0.8])?;
/// state.merge(&RankingState::of(&more, None, &metrics, &RankingOptions::default())?)?;
/// assert_eq!(state.mean(RankingMetric::ReciprocalRank)?.value(), Some(0.75));
/// assert_eq!((state.queries(), state.undefined(RankingMetric::ReciprocalRank)?), (3, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct RankingState {
    options: RankingOptions,
    queries: u64,
    total: Sum,
    entries: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    options: RankingOptions,
    queries: u64,
    total: Sum,
    entries: Vec<Entry>,
}

/// One metric: of the queries that have it, Σ weight · value and Σ weight, and how many have it not.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    metric: RankingMetric,
    values: Sum,
    weights: Sum,
    undefined: u64,
}

impl RankingState {
    /// No queries yet.
    ///
    /// # Errors
    /// [`StatsError::Empty`] without metrics, [`StatsError::Parameter`] for the options, [`StatsError::Unsupported`] for ERR
    /// without [`max_grade`](RankingOptions::max_grade).
    pub fn new(metrics: &[RankingMetric], options: &RankingOptions) -> Result<Self, StatsError> {
        crate::input::not_empty(crate::input::named("metrics", metrics))?;
        options.check()?;
        let mut entries: Vec<Entry> = Vec::new();
        for &metric in metrics {
            // Refuses what the options do not support.
            RankedList::of(&[], &[], options).measure(metric)?;
            if entries.iter().all(|entry| entry.metric != metric) {
                entries.push(Entry { metric, values: Sum::new(), weights: Sum::new(), undefined: 0 });
            }
        }
        Ok(Self { options: *options, queries: 0, total: Sum::new(), entries })
    }

    /// The state of queries; weights that are `None` are all 1. O(n log n) for each metric; see
    /// [`RankingMetric::per_query`] for ERR.
    ///
    /// # Errors
    /// Those of [`new`](Self::new) and of [`RankingMetric::per_query`]; [`StatsError::LengthMismatch`] and what
    /// [`weights::total`](mlops_core::num::weights::total) refuses.
    pub fn of(
        queries: &Queries<'_>,
        weights: Option<&[f64]>,
        metrics: &[RankingMetric],
        options: &RankingOptions,
    ) -> Result<Self, StatsError> {
        let mut state = Self::new(metrics, options)?;
        check_weights(weights, queries.len())?;
        for (query, (relevance, scores)) in queries.iter().enumerate() {
            state.add(relevance, scores, weight(weights, query))?;
        }
        state.in_range()
    }

    /// Adds one query.
    ///
    /// # Errors
    /// Those of [`Queries::one`], but for no documents, and of [`RankingMetric::per_query`]; [`StatsError::Nan`],
    /// [`StatsError::NotFinite`] or [`StatsError::OutOfRange`] for the weight. `self` is unchanged then.
    pub fn push(&mut self, relevance: &[f64], scores: &[f64], weight: f64) -> Result<(), StatsError> {
        check_weight(weight)?;
        check_query(relevance, scores)?;
        let mut next = self.clone();
        next.add(relevance, scores, weight)?;
        *self = next.in_range()?;
        Ok(())
    }

    fn add(&mut self, relevance: &[f64], scores: &[f64], weight: f64) -> Result<(), StatsError> {
        let list = RankedList::of(relevance, scores, &self.options);
        for entry in &mut self.entries {
            match list.measure(entry.metric)? {
                Measured::Value(value) => {
                    entry.values.push(weight * value);
                    entry.weights.push(weight);
                }
                Measured::Undefined(_) => entry.undefined = entry.undefined.saturating_add(1),
            }
        }
        self.total.push(weight);
        self.queries = self.queries.saturating_add(1);
        Ok(())
    }

    /// Adds the queries of another part of the data.
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] when options or metrics differ, [`StatsError::Overflow`]; `self` is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        if self.options != other.options {
            return Err(StatsError::Incompatible { what: "the options of the ranking" });
        }
        if !self.metrics().eq(other.metrics()) {
            return Err(StatsError::Incompatible { what: "the list of metrics" });
        }
        let mut next = self.clone();
        for (entry, part) in next.entries.iter_mut().zip(&other.entries) {
            entry.values.merge(part.values);
            entry.weights.merge(part.weights);
            entry.undefined = entry.undefined.saturating_add(part.undefined);
        }
        next.total.merge(other.total);
        next.queries = next.queries.saturating_add(other.queries);
        *self = next.in_range()?;
        Ok(())
    }

    fn in_range(self) -> Result<Self, StatsError> {
        crate::input::in_range("the sum of the weights", self.total.value())?;
        for entry in &self.entries {
            crate::input::in_range("a sum over queries", entry.values.value())?;
        }
        Ok(self)
    }

    /// The metrics it was made for, in their order.
    pub fn metrics(&self) -> impl Iterator<Item = RankingMetric> {
        self.entries.iter().map(|entry| entry.metric)
    }

    /// The number of queries.
    pub fn queries(&self) -> u64 {
        self.queries
    }

    /// The mean of a metric over the queries. Queries that do not have it are left out, or count as
    /// [`RankingOptions::without_relevant`] says; undefined when nothing is left.
    ///
    /// # Errors
    /// [`StatsError::Unsupported`] for a metric that the state was not made for.
    pub fn mean(&self, metric: RankingMetric) -> Result<Measured, StatsError> {
        let entry = self.entry(metric)?;
        let (values, weights) = (entry.values.value().max(0.0), entry.weights.value().max(0.0));
        let left_out = (self.total.value() - weights).max(0.0);
        let (values, weights) = match self.options.without_relevant {
            _ if entry.undefined == 0 => (values, weights),
            WithoutRelevant::Skip => (values, weights),
            WithoutRelevant::Zero => (values, self.total.value()),
            WithoutRelevant::One => (values + left_out, self.total.value()),
        };
        if weights == 0.0 {
            let reason = UndefinedReason::NothingDefined;
            return Ok(Measured::none(reason, 0, usize::try_from(self.queries).unwrap_or(usize::MAX)));
        }
        let (low, high) = metric.range();
        Ok(Measured::Value((values / weights).clamp(low, high)))
    }

    /// How many queries do not have the metric, because they have no relevant documents, or none at all.
    ///
    /// # Errors
    /// [`StatsError::Unsupported`] for a metric that the state was not made for.
    pub fn undefined(&self, metric: RankingMetric) -> Result<u64, StatsError> {
        Ok(self.entry(metric)?.undefined)
    }

    fn entry(&self, metric: RankingMetric) -> Result<&Entry, StatsError> {
        let found = self.entries.iter().find(|entry| entry.metric == metric);
        let reason = "the state was not made for it";
        found.ok_or(StatsError::Unsupported { what: metric.name(), reason })
    }
}

impl TryFrom<Stored> for RankingState {
    type Error = StatsError;

    fn try_from(stored: Stored) -> Result<Self, StatsError> {
        let Stored { options, queries, total, entries } = stored;
        let metrics: Vec<RankingMetric> = entries.iter().map(|entry| entry.metric).collect();
        if Self::new(&metrics, &options)?.entries.len() != entries.len() {
            let reason = "names a metric twice";
            return Err(StatsError::Parameter { parameter: "entries", value: entries.len() as f64, reason });
        }
        check_weight(total.value())?;
        // Rounding may move a part past the whole, by less than this.
        let slack = 1.0 + 1e-9;
        for (index, entry) in entries.iter().enumerate() {
            let (values, weights) = (entry.values.value(), entry.weights.value());
            check_weight(values)?;
            check_weight(weights)?;
            let above = |argument, value: f64, high: f64| {
                let error = StatsError::OutOfRange { argument, index, value, low: 0.0, high };
                if value > high * slack { Err(error) } else { Ok(()) }
            };
            above("weights", weights, total.value())?;
            above("undefined", entry.undefined as f64, queries as f64)?;
            if entry.metric.range().1.is_finite() {
                above("values", values, weights * entry.metric.range().1)?;
            }
        }
        Ok(Self { options, queries, total, entries })
    }
}

impl From<RankingState> for Stored {
    fn from(state: RankingState) -> Self {
        let RankingState { options, queries, total, entries } = state;
        Self { options, queries, total, entries }
    }
}
