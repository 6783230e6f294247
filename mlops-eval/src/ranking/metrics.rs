//! The metrics by name, per query and as means over queries.

use std::fmt;

use mlops_core::num::{Measured, StatsError};
use serde::{Deserialize, Serialize};

use super::list::RankedList;
use super::options::RankingOptions;
use super::queries::Queries;
use super::state::RankingState;
use crate::catalog::Direction;

/// A metric of a ranked list. With a cutoff k it is the metric "at k". High is good for all of them.
///
/// r is the position of a document from 1, rel(r) whether it is relevant, g(r) its gain, R the number of relevant documents
/// of the query.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RankingMetric {
    /// Discounted cumulative gain: Σ g(r) / log_base(r + 1), from 0 (Järvelin and Kekäläinen 2002).
    Dcg,
    /// DCG over that of the best order of the same documents, in [0, 1].
    Ndcg,
    /// (1/R) Σ rel(r) · precision at r, in [0, 1]; its mean over queries is MAP. Divides by R also where the cutoff leaves room
    /// for fewer, as trec_eval's `map_cut` does.
    AveragePrecision,
    /// The inverse of the position of the first relevant document, 0 if it is below the cutoff; in [0, 1]. Its mean is MRR.
    ReciprocalRank,
    /// Expected reciprocal rank: Σ (1/r) p(r) Π_{i<r} (1 − p(i)) with p = (2^grade − 1) / 2^max_grade, in [0, 1) (Chapelle,
    /// Metzler, Zhang and Grinspan, CIKM 2009).
    ExpectedReciprocalRank,
    /// The share of the k positions that hold a relevant document, in [0, 1]; positions beyond the end of the list hold none.
    Precision,
    /// The share of relevant documents among the first k, in [0, 1].
    Recall,
    /// Whether there is a relevant document among the first k: 0 or 1, in between where ties leave it open.
    HitRate,
    /// 2 · hits / (k + R), the harmonic mean of precision and recall, in [0, 1].
    F1,
}

impl RankingMetric {
    /// Every metric of this kind.
    pub const ALL: &[Self] = &[
        Self::Dcg,
        Self::Ndcg,
        Self::AveragePrecision,
        Self::ReciprocalRank,
        Self::ExpectedReciprocalRank,
        Self::Precision,
        Self::Recall,
        Self::HitRate,
        Self::F1,
    ];

    /// The name it has in reports and configuration files.
    ///
    /// ```
    /// use mlops_eval::ranking::RankingMetric;
    /// assert_eq!(RankingMetric::Ndcg.name(), "ndcg");
    /// ```
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dcg => "dcg",
            Self::Ndcg => "ndcg",
            Self::AveragePrecision => "average_precision",
            Self::ReciprocalRank => "reciprocal_rank",
            Self::ExpectedReciprocalRank => "expected_reciprocal_rank",
            Self::Precision => "precision",
            Self::Recall => "recall",
            Self::HitRate => "hit_rate",
            Self::F1 => "f1",
        }
    }

    /// Which way is better: high, always.
    pub const fn direction(self) -> Direction {
        Direction::HigherIsBetter
    }

    /// The smallest and the largest value it can take; infinity where there is no largest one.
    pub const fn range(self) -> (f64, f64) {
        match self {
            Self::Dcg => (0.0, f64::INFINITY),
            _ => (0.0, 1.0),
        }
    }

    /// The metric of each query, in their order; undefined for a query without relevant documents, whatever
    /// [`RankingOptions::without_relevant`] says. O(n log n); ERR takes, for t documents of equal score, t times as long as the
    /// shorter of t and the cutoff.
    ///
    /// ```
    /// use mlops_eval::ranking::{Queries, RankingMetric, RankingOptions};
    ///
    /// let queries = Queries::from_offsets(&[0.0, 1.0, 0.0], &[0.9, 0.8, 0.7], &[0, 2, 3])?;
    /// let ranks = RankingMetric::ReciprocalRank.per_query(&queries, &RankingOptions::default())?;
    /// assert_eq!(ranks.iter().map(|rank| rank.value()).collect::<Vec<_>>(), [Some(0.5), None]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for the options; [`StatsError::Unsupported`] for ERR without
    /// [`max_grade`](RankingOptions::max_grade) and [`StatsError::OutOfRange`] for a grade above it;
    /// [`StatsError::Overflow`] when a gain leaves the range of f64.
    pub fn per_query(
        self,
        queries: &Queries<'_>,
        options: &RankingOptions,
    ) -> Result<Vec<Measured>, StatsError> {
        options.check()?;
        queries
            .iter()
            .map(|(relevance, scores)| RankedList::of(relevance, scores, options).measure(self))
            .collect()
    }
}

impl fmt::Display for RankingMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

macro_rules! means {
    ($($(#[doc = $doc:literal])+ $plain:ident, $weighted:ident: $metric:ident, example $example:literal;)+) => {$(
        $(#[doc = $doc])+
        ///
        /// ```
        #[doc = concat!("use mlops_eval::ranking::{Queries, RankingOptions, ", stringify!($plain), "};")]
        ///
        /// // Two queries: relevant documents at positions 2 and 3 of three, and at position 1 of two.
        /// let relevance = [0.0, 1.0, 1.0, 1.0, 0.0];
        /// let queries = Queries::from_offsets(&relevance, &[0.9, 0.8, 0.7, 0.6, 0.5], &[0, 3, 5])?;
        /// let options = RankingOptions::default().with_cutoff(2).with_max_grade(1.0);
        #[doc = concat!("let value = ", stringify!($plain), "(&queries, &options)?.value().unwrap_or(f64::NAN);")]
        #[doc = concat!("assert!((value - ", $example, ").abs() < 1e-15);")]
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        ///
        /// # Errors
        /// Those of [`RankingMetric::per_query`].
        pub fn $plain(queries: &Queries<'_>, options: &RankingOptions) -> Result<Measured, StatsError> {
            RankingState::of(queries, None, &[RankingMetric::$metric], options)?.mean(RankingMetric::$metric)
        }

        #[doc = concat!("[`", stringify!($plain), "`] with a weight for each query.")]
        ///
        /// ```
        #[doc = concat!("use mlops_eval::ranking::{Queries, RankingOptions, ", stringify!($plain), ", ", stringify!($weighted), "};")]
        ///
        /// let (relevance, scores) = ([0.0, 1.0, 1.0, 0.0], [0.9, 0.8, 0.7, 0.6]);
        /// let queries = Queries::from_offsets(&relevance, &scores, &[0, 2, 4])?;
        /// let options = RankingOptions::default().with_max_grade(1.0);
        #[doc = concat!("let first = ", stringify!($plain), "(&Queries::one(&relevance[..2], &scores[..2])?, &options)?;")]
        #[doc = concat!("assert_eq!(", stringify!($weighted), "(&queries, &[2.0, 0.0], &options)?, first);")]
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        ///
        /// # Errors
        /// Those of [`RankingState::of`].
        pub fn $weighted(
            queries: &Queries<'_>,
            weights: &[f64],
            options: &RankingOptions,
        ) -> Result<Measured, StatsError> {
            let state = RankingState::of(queries, Some(weights), &[RankingMetric::$metric], options)?;
            state.mean(RankingMetric::$metric)
        }
    )+};
}

means! {
    /// Mean [discounted cumulative gain](RankingMetric::Dcg) of the queries.
    dcg, dcg_weighted: Dcg, example "(1.0 / 3.0_f64.log2() + 1.0) / 2.0";

    /// Mean [normalised DCG](RankingMetric::Ndcg) of the queries.
    ndcg, ndcg_weighted: Ndcg, example "(1.0 / (3.0_f64.log2() + 1.0) + 1.0) / 2.0";

    /// MAP: the mean [average precision](RankingMetric::AveragePrecision) of the queries.
    mean_average_precision, mean_average_precision_weighted: AveragePrecision, example "(0.25 + 1.0) / 2.0";

    /// MRR: the mean [reciprocal rank](RankingMetric::ReciprocalRank) of the queries.
    mean_reciprocal_rank, mean_reciprocal_rank_weighted: ReciprocalRank, example "(0.5 + 1.0) / 2.0";

    /// Mean [expected reciprocal rank](RankingMetric::ExpectedReciprocalRank) of the queries.
    expected_reciprocal_rank, expected_reciprocal_rank_weighted: ExpectedReciprocalRank,
        example "(0.25 + 0.5) / 2.0";

    /// Mean [precision at k](RankingMetric::Precision) of the queries.
    precision_at_k, precision_at_k_weighted: Precision, example "0.5";

    /// Mean [recall at k](RankingMetric::Recall) of the queries.
    recall_at_k, recall_at_k_weighted: Recall, example "(0.5 + 1.0) / 2.0";

    /// Mean [hit rate at k](RankingMetric::HitRate) of the queries.
    hit_rate_at_k, hit_rate_at_k_weighted: HitRate, example "1.0";

    /// Mean [F1 at k](RankingMetric::F1) of the queries.
    f1_at_k, f1_at_k_weighted: F1, example "(2.0 / 4.0 + 2.0 / 3.0) / 2.0";
}
