//! Thresholds per group that equalise a rate among groups and cost as little as possible.

use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

use super::operating::{Point, check, points};
use super::randomized::{ThresholdRules, equalized_odds, parity};
use super::single;
use crate::classification::ScoreState;
use crate::fairness::group::MAX_GROUPS;
use crate::input::{named, not_empty};

/// The rate that is to be equal among groups.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParityConstraint {
    /// Who is selected: demographic parity. The default.
    #[default]
    SelectionRate,
    /// Negatives that are selected.
    FalsePositiveRate,
    /// Positives that are not.
    FalseNegativeRate,
    /// Positives that are selected: equal opportunity.
    TruePositiveRate,
    /// Negatives that are not.
    TrueNegativeRate,
    /// True and false positive rate at once.
    EqualizedOdds,
}

/// What is to be as large as possible.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdObjective {
    /// Rows that are right. The default.
    #[default]
    Accuracy,
    /// The mean of true positive and true negative rate of each group.
    BalancedAccuracy,
    /// Rows that are selected; not with equalized odds.
    SelectionRate,
    /// The true positive rate of each group; not with equalized odds.
    TruePositiveRate,
    /// The true negative rate of each group; not with equalized odds.
    TrueNegativeRate,
}

impl ThresholdObjective {
    fn of_rates(
        self,
        positives: f64,
        negatives: f64,
        true_positive_rate: f64,
        false_positive_rate: f64,
    ) -> f64 {
        let right = positives * true_positive_rate + negatives * (1.0 - false_positive_rate);
        match self {
            Self::BalancedAccuracy => 0.5 * true_positive_rate + 0.5 * (1.0 - false_positive_rate),
            _ => right / (positives + negatives),
        }
    }
}

/// How thresholds are chosen.
///
/// ```
/// use mlops_eval::fairness::{ParityConstraint, ThresholdOptions};
///
/// let options = ThresholdOptions::default().with_constraint(ParityConstraint::EqualizedOdds);
/// assert_eq!((options.grid, options.deterministic), (1000, false));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThresholdOptions {
    /// The rate that is to be equal.
    pub constraint: ParityConstraint,
    /// What is to be as large as possible.
    pub objective: ThresholdObjective,
    /// Steps of the grid of rates among which the best is looked for, 1 to 1 000 000. Default 1000. Not used by deterministic
    /// rules for a single rate.
    pub grid: usize,
    /// Also allow rules that select below a cutoff, for scores that are worse than chance. Default: no.
    pub flip: bool,
    /// By how much the groups' rates may differ. Default: not at all, which deterministic rules can only keep by selecting
    /// nobody or everybody, so that they need one; with equalized odds only deterministic rules have one.
    pub tolerance: Option<f64>,
    /// One cutoff for each group, no drawing of lots. Default: no.
    pub deterministic: bool,
}

impl Default for ThresholdOptions {
    fn default() -> Self {
        Self {
            constraint: ParityConstraint::default(),
            objective: ThresholdObjective::default(),
            grid: 1000,
            flip: false,
            tolerance: None,
            deterministic: false,
        }
    }
}

impl ThresholdOptions {
    /// Sets [`Self::constraint`].
    #[must_use]
    pub fn with_constraint(mut self, constraint: ParityConstraint) -> Self {
        self.constraint = constraint;
        self
    }

    /// Sets [`Self::objective`].
    #[must_use]
    pub fn with_objective(mut self, objective: ThresholdObjective) -> Self {
        self.objective = objective;
        self
    }

    /// Sets [`Self::grid`].
    #[must_use]
    pub fn with_grid(mut self, grid: usize) -> Self {
        self.grid = grid;
        self
    }

    /// Sets [`Self::flip`].
    #[must_use]
    pub fn with_flip(mut self, flip: bool) -> Self {
        self.flip = flip;
        self
    }

    /// Sets [`Self::tolerance`].
    #[must_use]
    pub fn with_tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = Some(tolerance);
        self
    }

    /// Sets [`Self::deterministic`].
    #[must_use]
    pub fn with_deterministic(mut self, deterministic: bool) -> Self {
        self.deterministic = deterministic;
        self
    }

    fn check(&self) -> Result<(), StatsError> {
        let odds = self.constraint == ParityConstraint::EqualizedOdds;
        if !(1..=1_000_000).contains(&self.grid) {
            let (value, reason) = (self.grid as f64, "must lie in [1, 1000000]");
            return Err(StatsError::Parameter { parameter: "grid", value, reason });
        }
        if let Some(value) = self.tolerance.filter(|tolerance| !(0.0..=1.0).contains(tolerance)) {
            return Err(StatsError::Parameter {
                parameter: "tolerance",
                value,
                reason: "must lie in [0, 1]",
            });
        }
        let unsupported = |what, reason| Err(StatsError::Unsupported { what, reason });
        if odds
            && !matches!(self.objective, ThresholdObjective::Accuracy | ThresholdObjective::BalancedAccuracy)
        {
            return unsupported(
                "this objective with equalized odds",
                "it does not rise with the true positive rate alone",
            );
        }
        if odds && self.tolerance.is_some() && !self.deterministic {
            return unsupported(
                "a tolerance with equalized odds",
                "randomised rules meet both rates exactly",
            );
        }
        if self.deterministic && self.tolerance.is_none() {
            return unsupported(
                "a deterministic rule without a tolerance",
                "it would select nobody or everybody",
            );
        }
        Ok(())
    }

    fn needs_positives(&self) -> bool {
        use ParityConstraint::{EqualizedOdds, FalseNegativeRate, TruePositiveRate};
        use ThresholdObjective as Objective;
        matches!(self.constraint, FalseNegativeRate | TruePositiveRate | EqualizedOdds)
            || matches!(self.objective, Objective::BalancedAccuracy | Objective::TruePositiveRate)
    }

    fn needs_negatives(&self) -> bool {
        use ParityConstraint::{EqualizedOdds, FalsePositiveRate, TrueNegativeRate};
        use ThresholdObjective as Objective;
        matches!(self.constraint, FalsePositiveRate | TrueNegativeRate | EqualizedOdds)
            || matches!(self.objective, Objective::BalancedAccuracy | Objective::TrueNegativeRate)
    }
}

/// Chooses a threshold rule for each group, so that a rate is equal among groups and an objective as large as it can then be
/// (Hardt, Price and Srebro, *Equality of Opportunity in Supervised Learning*, NeurIPS 2016).
///
/// Every group has a curve: what the objective can be at each value of the rate, by its thresholds and by drawing lots between
/// two of them. With a single rate, the value is taken at which the sum of the groups' curves, weighted by their rows, is
/// highest. With equalized odds, it is the best point below all groups' ROC curves; groups that could do better are made worse
/// by ignoring some of their scores. Objectives other than accuracy under equalized odds are each group's own, weighted by rows.
///
/// Agrees with Fairlearn 0.15.0 (`ThresholdOptimizer`) to 1e-12, with two additions: rows may have weights, and
/// [`deterministic`](ThresholdOptions::deterministic) rules draw no lots. It says yes to groups of one class where the rates of
/// constraint and objective exist for them.
///
/// ```
/// use mlops_eval::classification::ScoreState;
/// use mlops_eval::fairness::{ThresholdOptimizer, ThresholdOptions};
///
/// let women = ScoreState::of(&[true, false, true, false], &[0.8, 0.6, 0.4, 0.2])?;
/// let men = ScoreState::of(&[true, true, false, false], &[0.9, 0.7, 0.5, 0.3])?;
/// let rules = ThresholdOptimizer::fit(&[women, men], &ThresholdOptions::default())?;
/// assert_eq!(rules.rates(), [0.5, 0.5]);
/// assert_eq!(rules.objective(), 0.875);
/// // The first group has no threshold that is best: lots are drawn between two.
/// assert_eq!((rules.probability(0, 0.9)?, rules.probability(0, 0.5)?), (1.0, 0.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ThresholdOptimizer;

impl ThresholdOptimizer {
    /// Fits the rules to the scores of each group. O(groups · (scores log scores + grid)); deterministic equalized odds takes
    /// O(grid² · groups).
    ///
    /// # Errors
    /// [`StatsError::Empty`] without groups; [`StatsError::Parameter`] for a group (by its position) without the rows,
    /// positives or negatives that constraint and objective divide by, for more than [`MAX_GROUPS`] groups, and for an option
    /// out of its range; [`StatsError::Unsupported`] for options that do not go together.
    pub fn fit(groups: &[ScoreState], options: &ThresholdOptions) -> Result<ThresholdRules, StatsError> {
        options.check()?;
        not_empty(named("groups", groups))?;
        if groups.len() > MAX_GROUPS {
            let (value, reason) = (groups.len() as f64, "must not exceed 65536");
            return Err(StatsError::Parameter { parameter: "the number of groups", value, reason });
        }
        for (index, group) in groups.iter().enumerate() {
            check(group, index, options.needs_positives(), options.needs_negatives())?;
        }
        let odds = options.constraint == ParityConstraint::EqualizedOdds;
        Ok(match (options.deterministic, odds) {
            (true, false) => single::parity(groups, options),
            (true, true) => single::equalized_odds(groups, options),
            (false, false) => parity(groups, options),
            (false, true) => equalized_odds(groups, options),
        })
    }
}

/// The points of a group in the plane of constraint and objective; true positive rate over false positive rate for equalized
/// odds.
pub(super) fn plane(group: &ScoreState, options: &ThresholdOptions) -> Vec<Point> {
    let x = |cells: &super::operating::Cells| cells.constraint(options.constraint);
    if options.constraint == ParityConstraint::EqualizedOdds {
        points(group, options.flip, x, super::operating::Cells::true_positive_rate)
    } else {
        points(group, options.flip, x, |cells| cells.objective(options.objective))
    }
}

/// The share of each group in all weight.
pub(super) fn shares(groups: &[ScoreState]) -> Vec<f64> {
    let weight = |group: &ScoreState| group.negatives() + group.positives();
    let total: f64 = groups.iter().map(weight).sum();
    groups.iter().map(|group| weight(group) / total).collect()
}

/// The objective of all groups at one true and one false positive rate.
pub(super) fn odds_objective(
    groups: &[ScoreState],
    options: &ThresholdOptions,
    true_positive_rate: f64,
    false_positive_rate: f64,
) -> f64 {
    let positives: f64 = groups.iter().map(ScoreState::positives).sum();
    let negatives: f64 = groups.iter().map(ScoreState::negatives).sum();
    options.objective.of_rates(positives, negatives, true_positive_rate, false_positive_rate)
}
