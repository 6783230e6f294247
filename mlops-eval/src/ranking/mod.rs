//! Metrics of ranked lists: documents of a query ordered by score, judged by graded relevance.
//!
//! The rows of all queries lie in one column each of relevance and scores; [`Queries`] says which belong together, and queries
//! may have any number of documents. Relevance is finite and not negative; 0 is irrelevant unless
//! [`RankingOptions::relevant_above`] says otherwise. Higher scores rank first.
//!
//! **Ties.** Documents of equal score have no order of their own. By default every metric is its expected value over all
//! orders of the tied documents, each as likely (McSherry and Najork, *Computing information retrieval performance measures
//! efficiently in the presence of tied scores*, ECIR 2008): no order of rows matters and no model gains by giving everything
//! the same score. [`RankTies`] has the orders of rows as options.
//!
//! **Queries without relevant documents** have no NDCG, average precision, reciprocal rank, recall, hit rate or F1. The mean
//! over queries leaves them out and counts them; [`WithoutRelevant`] puts 0 (scikit-learn's NDCG) or 1 in their place.
//!
//! ```
//! use mlops_eval::ranking::{Queries, RankingMetric, RankingOptions, RankingState, ndcg};
//!
//! let relevance = [3.0, 0.0, 1.0, 0.0, 2.0];
//! let scores = [0.9, 0.5, 0.5, 0.8, 0.1];
//! let queries = Queries::from_offsets(&relevance, &scores, &[0, 3, 5])?;
//! let options = RankingOptions::default().with_cutoff(2);
//! println!("NDCG@2 = {}", ndcg(&queries, &options)?);
//!
//! let metrics = [RankingMetric::AveragePrecision, RankingMetric::ReciprocalRank];
//! let state = RankingState::of(&queries, None, &metrics, &options)?;
//! println!("MRR@2 = {}", state.mean(RankingMetric::ReciprocalRank)?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod list;
mod metrics;
mod options;
mod queries;
mod state;

pub use metrics::*;
pub use options::{Gain, RankTies, RankingOptions, WithoutRelevant};
pub use queries::Queries;
pub use state::RankingState;
