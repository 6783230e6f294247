//! Rules that draw lots between two thresholds, and may ignore the score altogether.

use std::collections::VecDeque;

use mlops_core::num::{Random, StatsError};
use serde::{Deserialize, Serialize};

use super::curve::{Mixture, tradeoff};
use super::operating::Operation;
use super::threshold::{ThresholdOptions, odds_objective, plane, shares};
use crate::classification::{ScoreState, WeightedConfusion};
use crate::input::{finite, named, paired};
use mlops_core::num::sum::Sum;

/// What decides in one group: with the chance `ignore` a lot that selects with the chance `constant`; otherwise the first rule
/// with the chance `share`, else the second.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct GroupRule {
    /// The chance that the score is ignored; 0 but for equalized odds.
    pub ignore: f64,
    /// The chance to be selected then.
    pub constant: f64,
    /// The chance of the first rule among those whose score counts.
    pub share: f64,
    /// The first rule.
    pub first: Operation,
    /// The second rule.
    pub second: Operation,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    ignore: f64,
    constant: f64,
    share: f64,
    first: Operation,
    second: Operation,
}

impl TryFrom<Stored> for GroupRule {
    type Error = StatsError;

    fn try_from(stored: Stored) -> Result<Self, StatsError> {
        let Stored { ignore, constant, share, first, second } = stored;
        crate::input::probabilities("a rule's chances", &[ignore, constant, share])?;
        Ok(Self { ignore, constant, share, first, second })
    }
}

impl GroupRule {
    /// A rule that draws no lots.
    pub(super) fn single(operation: Operation) -> Self {
        Self { ignore: 0.0, constant: 0.0, share: 1.0, first: operation, second: operation }
    }

    fn mixture(mixture: &Mixture) -> Self {
        let Mixture { share, first, second, .. } = *mixture;
        Self { ignore: 0.0, constant: 0.0, share, first, second }
    }

    /// The chance that this score is selected.
    pub fn probability(&self, score: f64) -> f64 {
        let chance = |operation: Operation| f64::from(u8::from(operation.selects(score)));
        let by_score = self.share * chance(self.first) + (1.0 - self.share) * chance(self.second);
        self.ignore * self.constant + (1.0 - self.ignore) * by_score
    }
}

/// The fitted rules of every group.
///
/// ```
/// use mlops_eval::classification::ScoreState;
/// use mlops_eval::fairness::{ParityConstraint, ThresholdOptimizer, ThresholdOptions};
///
/// let a = ScoreState::of(&[true, false, true, false], &[0.8, 0.6, 0.4, 0.2])?;
/// let b = ScoreState::of(&[true, true, false, false], &[0.9, 0.7, 0.5, 0.3])?;
/// let options = ThresholdOptions::default().with_constraint(ParityConstraint::EqualizedOdds);
/// let rules = ThresholdOptimizer::fit(&[a.clone(), b], &options)?;
///
/// // Applicant 17 of group 1 gets the same answer however often they ask.
/// assert_eq!(rules.decide(1, 0.6, 17, 42)?, rules.decide(1, 0.6, 17, 42)?);
/// // What to expect of group 0 in such data.
/// let cells = rules.expected(0, &a)?;
/// assert!((cells.true_positives() / 2.0 - cells.false_positives() / 2.0 - 0.5).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThresholdRules {
    options: ThresholdOptions,
    rules: Vec<GroupRule>,
    rates: Vec<f64>,
    objective: f64,
}

impl ThresholdRules {
    pub(super) fn new(
        options: &ThresholdOptions,
        rules: Vec<GroupRule>,
        rates: Vec<f64>,
        objective: f64,
    ) -> Self {
        Self { options: *options, rules, rates, objective }
    }

    /// How they were chosen.
    pub fn options(&self) -> &ThresholdOptions {
        &self.options
    }

    /// The rule of each group.
    pub fn rules(&self) -> &[GroupRule] {
        &self.rules
    }

    /// The rate that is to be equal, in each group of the data the rules were fitted to; the false positive rate for equalized
    /// odds.
    pub fn rates(&self) -> &[f64] {
        &self.rates
    }

    /// The objective on the data the rules were fitted to.
    pub fn objective(&self) -> f64 {
        self.objective
    }

    /// The chance that this score of this group is selected.
    ///
    /// # Errors
    /// [`StatsError::UnknownCode`] for a group the rules were not fitted to, [`StatsError::Nan`] and [`StatsError::NotFinite`].
    pub fn probability(&self, group: usize, score: f64) -> Result<f64, StatsError> {
        finite("score", &[score])?;
        Ok(self.rule(group, 0)?.probability(score))
    }

    /// The chances of rows, in their order.
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`], [`StatsError::Empty`], and those of [`probability`](Self::probability) with the row.
    pub fn probabilities(&self, groups: &[u32], scores: &[f64]) -> Result<Vec<f64>, StatsError> {
        paired(named("groups", groups), named("scores", scores))?;
        finite("scores", scores)?;
        let row = |(row, (&group, &score)): (usize, (&u32, &f64))| {
            Ok(self.rule(group as usize, row)?.probability(score))
        };
        groups.iter().zip(scores).enumerate().map(row).collect()
    }

    /// Decides about one row. `key` is the row's own number (an application's, say): the lot depends on it and on `seed`, and on
    /// nothing else, so that asking again does not change the answer.
    ///
    /// # Errors
    /// Those of [`probability`](Self::probability).
    pub fn decide(&self, group: usize, score: f64, key: u64, seed: u64) -> Result<bool, StatsError> {
        let chance = self.probability(group, score)?;
        Ok(Random::new(seed).nth(key).next_f64() < chance)
    }

    /// Decides about rows, whose keys are their positions.
    ///
    /// ```
    /// use mlops_eval::classification::ScoreState;
    /// use mlops_eval::fairness::{ThresholdOptimizer, ThresholdOptions};
    ///
    /// let group = ScoreState::of(&[true, false], &[0.8, 0.2])?;
    /// let rules = ThresholdOptimizer::fit(&[group], &ThresholdOptions::default())?;
    /// assert_eq!(rules.predict(&[0, 0], &[0.9, 0.1], 7)?, [true, false]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`probabilities`](Self::probabilities).
    pub fn predict(&self, groups: &[u32], scores: &[f64], seed: u64) -> Result<Vec<bool>, StatsError> {
        let random = Random::new(seed);
        let chances = self.probabilities(groups, scores)?.into_iter();
        Ok((0_u64..).zip(chances).map(|(row, chance)| random.nth(row).next_f64() < chance).collect())
    }

    /// The cells one can expect of a group in data with these scores: what a metric of the rules is computed from, without
    /// drawing a lot.
    ///
    /// # Errors
    /// [`StatsError::UnknownCode`] for a group the rules were not fitted to.
    pub fn expected(&self, group: usize, scores: &ScoreState) -> Result<WeightedConfusion, StatsError> {
        let rule = self.rule(group, 0)?;
        let (mut false_positives, mut true_positives) = (Sum::new(), Sum::new());
        for (score, negative, positive) in scores.points() {
            let chance = rule.probability(score);
            false_positives.push(chance * negative);
            true_positives.push(chance * positive);
        }
        let (fp, tp) = (false_positives.value(), true_positives.value());
        let rest = |all: f64, selected: f64| (all - selected).max(0.0);
        WeightedConfusion::new(tp, fp, rest(scores.positives(), tp), rest(scores.negatives(), fp))
    }

    fn rule(&self, group: usize, index: usize) -> Result<&GroupRule, StatsError> {
        let (code, known) = (group as u64, self.rules.len() as u64);
        self.rules.get(group).ok_or(StatsError::UnknownCode { argument: "groups", index, code, known })
    }
}

/// One rate, equal or within the tolerance.
pub(super) fn parity(groups: &[ScoreState], options: &ThresholdOptions) -> ThresholdRules {
    let curves: Vec<Vec<Mixture>> =
        groups.iter().map(|group| tradeoff(plane(group, options), options.grid)).collect();
    let shares = shares(groups);
    let (best, objective) = match options.tolerance.filter(|tolerance| *tolerance > 0.0) {
        None => highest_sum(&curves, &shares),
        Some(tolerance) => highest_within(&curves, &shares, tolerance),
    };
    let chosen = || curves.iter().zip(&best).map(|(curve, &k)| &curve[k]);
    let rules = chosen().map(GroupRule::mixture).collect();
    ThresholdRules::new(options, rules, chosen().map(|mixture| mixture.x).collect(), objective)
}

/// The first step of the grid at which the weighted sum of the curves is highest, once per group.
fn highest_sum(curves: &[Vec<Mixture>], shares: &[f64]) -> (Vec<usize>, f64) {
    let sum = |k: usize| curves.iter().zip(shares).map(|(curve, share)| share * curve[k].y).sum::<f64>();
    let steps = curves.first().map_or(0, Vec::len);
    let mut best = (0, f64::NEG_INFINITY);
    for k in 0..steps {
        let height = sum(k);
        if height > best.1 {
            best = (k, height);
        }
    }
    (vec![best.0; curves.len()], best.1)
}

/// The steps, one per group and no further apart than the tolerance, at which the weighted sum is highest; of equal sums the one
/// whose steps are closest, of those the last. A window moves over the grid, and each group keeps the steps in it that are higher
/// than all later ones.
fn highest_within(curves: &[Vec<Mixture>], shares: &[f64], tolerance: f64) -> (Vec<usize>, f64) {
    let steps = curves.first().map_or(0, Vec::len);
    let mut queues = vec![VecDeque::<usize>::new(); curves.len()];
    let height = |group: usize, k: usize| curves[group][k].y * shares[group];
    let (mut best, mut best_sum, mut best_range) = (vec![0; curves.len()], f64::NEG_INFINITY, f64::INFINITY);
    let mut start = 0;
    for end in 0..steps {
        for (group, queue) in queues.iter_mut().enumerate() {
            while queue.back().is_some_and(|&last| height(group, last) <= height(group, end)) {
                queue.pop_back();
            }
            queue.push_back(end);
        }
        while curves[0][end].x - curves[0][start].x > tolerance {
            queues.iter_mut().filter(|queue| queue.front() == Some(&start)).for_each(|queue| {
                queue.pop_front();
            });
            start += 1;
        }
        let current: Vec<usize> = queues.iter().map(|queue| queue.front().copied().unwrap_or(end)).collect();
        let sum = current.iter().enumerate().map(|(group, &k)| height(group, k)).sum::<f64>();
        let at = |k: Option<&usize>| k.map_or(0.0, |&k| curves[0][k].x);
        let range = at(current.iter().max()) - at(current.iter().min());
        if sum > best_sum || (sum == best_sum && range <= best_range) {
            (best, best_sum, best_range) = (current, sum, range);
        }
    }
    (best, best_sum)
}

/// Both rates, equal.
pub(super) fn equalized_odds(groups: &[ScoreState], options: &ThresholdOptions) -> ThresholdRules {
    let curves: Vec<Vec<Mixture>> =
        groups.iter().map(|group| tradeoff(plane(group, options), options.grid)).collect();
    let lowest = |k: usize| curves.iter().map(|curve| curve[k].y).fold(f64::INFINITY, f64::min);
    // Rounded, so that of steps that differ by the rounding of sums alone the first is taken.
    let value = |k: usize| {
        (odds_objective(groups, options, lowest(k), curves[0][k].x) * 1e15).round_ties_even() / 1e15
    };
    let (best, _) = (0..=options.grid)
        .map(|k| (k, value(k)))
        .fold((0, f64::NEG_INFINITY), |best, next| if next.1 > best.1 { next } else { best });
    let (x, y) = (curves[0][best].x, lowest(best));
    let rule = |curve: &Vec<Mixture>| {
        let mixture = &curve[best];
        let ignore = if mixture.y == mixture.x {
            0.0
        } else {
            ((mixture.y - y) / (mixture.y - mixture.x)).clamp(0.0, 1.0)
        };
        GroupRule { ignore, constant: x, ..GroupRule::mixture(mixture) }
    };
    let rules = curves.iter().map(rule).collect();
    ThresholdRules::new(options, rules, vec![x; groups.len()], odds_objective(groups, options, y, x))
}
