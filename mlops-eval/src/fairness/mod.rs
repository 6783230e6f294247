//! How a model treats groups: metrics per group, their differences and ratios, and the named parity criteria.
//!
//! The rows are counted once, into the confusion cells of every group ([`GroupMetrics`]); everything else is read off
//! those cells. Groups are the combinations of one or several [`SensitiveFeature`]s.
//!
//! # What is not a number here
//! - A group with fewer rows than [`FairnessOptions::minimum_size`] is listed as [`GroupStatus::TooSmall`] and left
//!   out of every aggregate.
//! - A rate without a denominator, such as the true positive rate of a group without positives, is undefined and left
//!   out.
//! - A comparison of fewer than two groups is undefined.
//! - An [`Aggregate`] lists whom it left out, and why; a decision should not pass on one that is not
//!   [complete](Aggregate::is_complete).
//!
//! Fairlearn makes 0 of such rates and compares groups of any size. [`FairnessOptions::fairlearn_0_15`] does the same.
//!
//! # What it does not do
//! It does not decide what is fair, and trains no model. Two mitigations that need no training loop are here:
//! [`ThresholdOptimizer`] and [`Reweighing`].
//!
//! # What a sample can show
//! The differences are plug-in values of one sample: the largest difference between groups is above 0 by chance alone, the
//! more so the more groups there are and the smaller they are. Beside every rate stands its interval
//! ([`FairnessOptions::rate_interval`]: Wilson's, or one that is exact), which says what is known of that group by itself. For
//! what is known of the groups together, each question has its own answer:
//!
//! | question | answer | holds |
//! |---|---|---|
//! | Could all groups have one rate? | [`GroupMetrics::disparity_test`], [`odds_test`](GroupMetrics::odds_test) | exactly, for any number of rows |
//! | the same, of many rows | [`GroupMetrics::homogeneity_test`] | from about five expected successes and failures a group on |
//! | Which groups differ, and by how much? | [`GroupMetrics::pairwise_differences`] | for all pairs together |
//! | How large is the largest difference? | [`GroupMetrics::disparity_interval`] | for equal groups too: its lower limit can be 0 |
//! | Are all groups alike within a margin? | [`GroupMetrics::difference_within`], [`ratio_within`](GroupMetrics::ratio_within), [`odds_within`](GroupMetrics::odds_within) | a wrong pass and a wrong fail each at most with probability α |
//! | How sure is F1, or a number of my own? | [`GroupMetrics::bootstrap`] | for many rows; of a largest difference it cannot reach 0 |
//! | What is the rate of a group of few rows? | [`GroupMetrics::shrunken_rates`], [`structured_rates`](GroupMetrics::structured_rates) | on average over groups |
//!
//! No significant difference is not parity: with few rows nothing is significant. A decision rests on
//! [`difference_within`](GroupMetrics::difference_within) and its like, which say [`Insufficient`] where rows are too few or a
//! group is left out. Within the strata of control features the same answers are had by [`MetricFrame::in_strata`]. All of them
//! take rows as independent and without weights.
//!
//! [`Insufficient`]: mlops_core::evaluation::Verdict::Insufficient
//!
//! ```
//! use mlops_eval::classification::LabelMetric;
//! use mlops_eval::fairness::{FairnessOptions, GroupMetrics, SensitiveFeature};
//!
//! let y_true = [true, true, false, false, true, true, false, false];
//! let y_pred = [true, true, false, true, true, false, false, false];
//! let sex = SensitiveFeature::new("sex", &[0, 0, 0, 0, 1, 1, 1, 1], ["female", "male"]);
//!
//! let options = FairnessOptions::default().with_minimum_size(4);
//! let groups = GroupMetrics::of(&y_true, &y_pred, &[sex], &options)?;
//! for group in groups.by_group(LabelMetric::Recall).groups {
//!     println!("{}: {} of {} rows", group.group, group.value, group.rows);
//! }
//! let parity = groups.demographic_parity_difference();
//! assert_eq!(parity.value.value(), Some(0.5));
//! assert!(parity.is_complete());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod aggregate;
mod balance;
mod bootstrap;
mod consistency;
mod count;
mod demographic_disparity;
mod differential;
mod equivalence;
mod errors;
mod frame;
mod group;
mod homogeneity;
mod inequality;
mod kept;
mod measure;
mod metrics;
mod mitigation;
mod named;
mod options;
mod pairwise;
mod parity;
mod shrinkage;
mod uncertainty;

pub use crate::interval::BootstrapInterval;
pub use aggregate::{
    Aggregate, Contrast, Contrasts, Extreme, GroupValue, LeftOut, LeftOutReason, MetricByGroup,
};
pub use balance::{
    AggregateBalance, BalanceGap, CategoryCounts, DistributionBalance, FeatureBalance, LabelBalance,
    aggregate_balance, distribution_balance,
};
pub use bootstrap::{BootstrapEstimate, BootstrapOptions, CellBootstrap, Resampling};
pub use consistency::{ConsistencyOptions, consistency};
pub use demographic_disparity::{
    ConditionalDisparity, MAX_STRATA, StratumDisparity, conditional_demographic_disparity,
    conditional_demographic_disparity_weighted, demographic_disparity_aif360,
};
pub use differential::{DifferentialFairness, differential_fairness, differential_fairness_amplification};
pub use equivalence::{
    DecidingPair, DisparityInterval, MoreTrials, OddsDecision, ParityDecision, ParityOptions,
    difference_within, disparity_interval, odds_within, ratio_within,
};
pub use errors::GroupErrors;
pub use frame::{InStratum, MetricFrame, Stratum, StratumMetrics};
pub use group::{FeatureValue, Group, GroupStatus, MAX_GROUPS, MISSING, SensitiveFeature};
pub use homogeneity::{
    DisparityStatistic, DisparityTest, DisparityTestOptions, HomogeneityMethod, HomogeneityTest, OddsTest,
    disparity_test, homogeneity_test, odds_test,
};
pub use inequality::{
    EntropyDecomposition, atkinson_index, coefficient_of_variation, generalized_entropy,
    generalized_entropy_by_group, generalized_entropy_from_counts, generalized_entropy_weighted, theil_index,
};
pub use measure::{CustomMetric, Measure};
pub use metrics::GroupMetrics;
pub use mitigation::{
    Cutoff, GroupRule, Operation, ParityConstraint, Reweighing, ThresholdObjective, ThresholdOptimizer,
    ThresholdOptions, ThresholdRules,
};
pub use named::{AverageOdds, DisparateImpact, FOUR_FIFTHS, FourFifths, ImpactRatio, OddsContrast};
pub use options::{Comparison, FairnessOptions, HalfOdds, LoneGroup, OddsAggregation};
pub use pairwise::{
    MAX_PAIRED_GROUPS, PairwiseDifference, PairwiseDifferences, PairwiseOptions, Simultaneous,
    pairwise_differences,
};
pub use parity::{
    EqualizedOdds, accuracy_equality_difference, accuracy_equality_difference_weighted,
    accuracy_equality_ratio, accuracy_equality_ratio_weighted, demographic_parity_difference,
    demographic_parity_difference_weighted, demographic_parity_ratio, demographic_parity_ratio_weighted,
    equal_opportunity_difference, equal_opportunity_difference_weighted, equal_opportunity_ratio,
    equal_opportunity_ratio_weighted, equalized_odds_difference, equalized_odds_difference_weighted,
    equalized_odds_ratio, equalized_odds_ratio_weighted, error_rate_difference,
    error_rate_difference_weighted, error_rate_ratio, error_rate_ratio_weighted,
    predictive_parity_difference, predictive_parity_difference_weighted, predictive_parity_ratio,
    predictive_parity_ratio_weighted, treatment_equality_difference, treatment_equality_difference_weighted,
    treatment_equality_ratio, treatment_equality_ratio_weighted,
};
pub use shrinkage::{
    BetaPrior, PriorFit, ShrunkenRate, StructuredRates, james_stein, smoothed_rate, structured_rates,
};
pub use uncertainty::{
    DisparityEstimate, GroupBootstrap, GroupEstimate, ShrunkenGroup, ShrunkenRates, StructuredGroup,
    StructuredGroups,
};
