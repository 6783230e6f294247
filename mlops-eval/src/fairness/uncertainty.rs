//! What the rows of a frame can show about its groups: tests, intervals, decisions and steadied rates, by name.

use mlops_core::num::{Measured, StatsError};
use serde::{Deserialize, Serialize};

use super::aggregate::{LeftOut, LeftOutReason};
use super::bootstrap::{BootstrapEstimate, BootstrapOptions, CellBootstrap};
use super::equivalence::{
    self, DecidingPair, DisparityInterval, MoreTrials, OddsDecision, ParityDecision, ParityOptions,
};
use super::group::{Group, GroupStatus};
use super::homogeneity::{
    self, DisparityTest, DisparityTestOptions, HomogeneityMethod, HomogeneityTest, OddsTest,
};
use super::metrics::GroupMetrics;
use super::pairwise::{self, PairwiseDifference, PairwiseDifferences, PairwiseOptions};
use super::shrinkage::{BetaPrior, PriorFit, ShrunkenRate, structured_rates};
use crate::classification::{Confusion, LabelMetric, ZeroDivision};
use crate::interval::BootstrapInterval;
use crate::interval::Rate;

/// The groups of a frame as functions of counts take them: those that are judged, and where there are others one more without
/// rows, which stands for all of these. Vacant combinations are not among them.
struct Members {
    judged: Vec<Member>,
    /// Too small, or absent.
    others: Vec<Member>,
    /// Of the judged ones, and of what stands for the others.
    cells: Vec<Confusion>,
}

/// A group with its place among all.
struct Member {
    index: usize,
    group: Group,
    rows: u64,
    status: GroupStatus,
}

impl Member {
    fn left_out(&self) -> LeftOut {
        let reason = match self.status {
            GroupStatus::TooSmall => LeftOutReason::TooSmall,
            GroupStatus::Absent | GroupStatus::Vacant => LeftOutReason::Absent,
            GroupStatus::Judged => LeftOutReason::Undefined,
        };
        LeftOut { group: self.group.clone(), rows: self.rows, reason }
    }
}

impl Members {
    fn of(metrics: &GroupMetrics) -> Result<Self, StatsError> {
        let cells = counts(metrics)?;
        let member = |((index, cells), status): ((usize, &Confusion), GroupStatus)| {
            let group = metrics.group(index).filter(|_| status != GroupStatus::Vacant)?;
            Some(Member { index, group, rows: cells.rows(), status })
        };
        let there = cells.iter().enumerate().zip(metrics.statuses()).filter_map(member);
        let (judged, others): (Vec<Member>, Vec<Member>) =
            there.partition(|member| member.status == GroupStatus::Judged);
        let mut cells: Vec<Confusion> = judged.iter().map(|member| cells[member.index]).collect();
        if !others.is_empty() {
            cells.push(Confusion::default());
        }
        Ok(Self { judged, others, cells })
    }

    fn rates(&self, metric: LabelMetric) -> Result<Vec<Rate>, StatsError> {
        self.cells.iter().map(|cells| Rate::of(metric, cells)).collect()
    }

    fn name(&self, position: usize) -> Group {
        self.judged[position].group.clone()
    }

    /// Those that are not judged, and the judged ones at these positions, in the order of all groups.
    fn left_out(&self, positions: &[usize]) -> Vec<LeftOut> {
        let undefined = positions.iter().filter_map(|&position| self.judged.get(position));
        let mut members: Vec<&Member> = undefined.chain(&self.others).collect();
        members.sort_unstable_by_key(|member| member.index);
        members.into_iter().map(Member::left_out).collect()
    }

    fn decision(&self, decision: ParityDecision) -> ParityDecision<Group, LeftOut> {
        let pair = |pair: DecidingPair| DecidingPair {
            first: self.name(pair.first),
            second: self.name(pair.second),
            interval: pair.interval,
        };
        let more = |more: MoreTrials| MoreTrials {
            group: self.name(more.group),
            trials: more.trials,
            others_too: more.others_too,
        };
        ParityDecision {
            verdict: decision.verdict,
            deciding: decision.deciding.map(pair),
            more: decision.more.map(more),
            left_out: self.left_out(&decision.left_out),
        }
    }

    fn disparity_test(&self, test: &DisparityTest) -> DisparityTest<LeftOut> {
        DisparityTest {
            statistic: test.statistic,
            p_value: test.p_value,
            at_least: test.at_least,
            resamples: test.resamples,
            left_out: self.left_out(&test.left_out),
        }
    }
}

fn counts(metrics: &GroupMetrics) -> Result<&[Confusion], StatsError> {
    let reason = "rows with weights are no counts, and the cells do not keep how their weights spread";
    metrics.confusions().ok_or(StatsError::Unsupported { what: "inference for weighted groups", reason })
}

/// A rate of one group, drawn towards those of the others.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShrunkenGroup {
    /// Who.
    pub group: Group,
    /// What was counted.
    pub rate: Rate,
    /// The rate given the prior.
    pub shrunken: ShrunkenRate,
}

/// A rate of every group, drawn towards those of the others.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShrunkenRates {
    /// Which rate.
    pub metric: LabelMetric,
    /// The law of the groups' rates that was fitted.
    pub prior: BetaPrior,
    /// The groups that somebody belongs to, and those that were announced.
    pub groups: Vec<ShrunkenGroup>,
}

/// A rate of one combination of categories, explained by its categories.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StructuredGroup {
    /// Who.
    pub group: Group,
    /// What was counted.
    pub rate: Rate,
    /// What the main effects alone give, in [0, 1].
    pub additive: f64,
    /// The additive value plus what is left of the group's own deviation, in [0, 1].
    pub value: f64,
}

/// A rate of every combination of categories, explained by main effects: [`StructuredRates`](super::StructuredRates) with names.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StructuredGroups {
    /// Which rate.
    pub metric: LabelMetric,
    /// The groups that somebody belongs to, and those that were announced.
    pub groups: Vec<StructuredGroup>,
    /// The variance of interactions, τ².
    pub interaction_variance: f64,
    /// χ² of what the main effects leave unexplained.
    pub statistic: f64,
    /// Its degrees of freedom.
    pub degrees_of_freedom: usize,
    /// The probability of so large a statistic without interactions; undefined without degrees of freedom.
    pub p_value: Measured,
}

/// A bootstrap estimate for one group.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupEstimate {
    /// Who.
    pub group: Group,
    /// The metric with its interval.
    pub estimate: BootstrapEstimate,
}

/// A bootstrap estimate for a number made of several groups.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DisparityEstimate {
    /// The number with its interval.
    pub estimate: BootstrapEstimate,
    /// The groups it is not made of.
    pub left_out: Vec<LeftOut>,
}

/// The resampled cells of the groups that are judged, with their names.
///
/// ```
/// use mlops_eval::classification::LabelMetric;
/// use mlops_eval::fairness::{BootstrapInterval, BootstrapOptions, FairnessOptions, GroupMetrics, SensitiveFeature};
///
/// let codes: Vec<u32> = (0..400).map(|row| row % 2).collect();
/// let y_pred: Vec<bool> = (0..400).map(|row| row % 4 != 1).collect();
/// let group = SensitiveFeature::new("group", &codes, ["a", "b"]);
/// let groups = GroupMetrics::of(&y_pred, &y_pred, &[group], &FairnessOptions::default())?;
/// let bootstrap = groups.bootstrap(&BootstrapOptions::new(1))?;
/// let apart = bootstrap.difference(LabelMetric::SelectionRate, 0.95, BootstrapInterval::Percentile)?;
/// assert_eq!(apart.estimate.value.value(), Some(0.5));
/// assert!(apart.estimate.interval.is_some_and(|interval| interval.lower > 0.4 && interval.upper < 0.6));
/// assert!(apart.left_out.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct GroupBootstrap {
    groups: Vec<Group>,
    left_out: Vec<LeftOut>,
    cells: CellBootstrap,
    zero_division: ZeroDivision,
}

impl GroupBootstrap {
    /// The groups that are judged, in the order of their cells.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The groups that are not resampled, because they are not judged.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// The resampled cells, for a statistic of your own.
    pub fn cells(&self) -> &CellBootstrap {
        &self.cells
    }

    fn value(&self, metric: LabelMetric, cells: &Confusion) -> Option<f64> {
        self.zero_division.apply(metric.from_counts(*cells)).value()
    }

    /// Any metric of labels in every judged group: F1 and MCC too, which are no shares of rows.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for a confidence outside (0, 1).
    pub fn by_group(
        &self,
        metric: LabelMetric,
        confidence: f64,
        method: BootstrapInterval,
    ) -> Result<Vec<GroupEstimate>, StatsError> {
        let estimate = |(index, group): (usize, &Group)| {
            let of = |cells: &[Confusion]| cells.get(index).and_then(|cells| self.value(metric, cells));
            Ok(GroupEstimate { group: group.clone(), estimate: self.cells.estimate(confidence, method, of)? })
        };
        self.groups.iter().enumerate().map(estimate).collect()
    }

    /// The largest minus the smallest value of a group. A group whose metric is undefined in the data is left out; a resample in
    /// which that of another is has no value. The interval cannot reach 0: see [`CellBootstrap`].
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for a confidence outside (0, 1).
    pub fn difference(
        &self,
        metric: LabelMetric,
        confidence: f64,
        method: BootstrapInterval,
    ) -> Result<DisparityEstimate, StatsError> {
        self.disparity(metric, confidence, method, |low, high| Some(high - low))
    }

    /// The smallest over the largest value of a group, as [`difference`](Self::difference).
    ///
    /// # Errors
    /// [`StatsError::Unsupported`] for a metric that can be negative, and those of [`difference`](Self::difference).
    pub fn ratio(
        &self,
        metric: LabelMetric,
        confidence: f64,
        method: BootstrapInterval,
    ) -> Result<DisparityEstimate, StatsError> {
        if metric.range().0 < 0.0 {
            let reason = "a ratio has no meaning for a metric that can be negative";
            return Err(StatsError::Unsupported { what: metric.name(), reason });
        }
        self.disparity(metric, confidence, method, |low, high| Measured::ratio(low, high).value())
    }

    fn disparity(
        &self,
        metric: LabelMetric,
        confidence: f64,
        method: BootstrapInterval,
        apart: impl Fn(f64, f64) -> Option<f64>,
    ) -> Result<DisparityEstimate, StatsError> {
        let observed = self.cells.observed();
        let (compared, undefined): (Vec<usize>, Vec<usize>) =
            (0..observed.len()).partition(|&group| self.value(metric, &observed[group]).is_some());
        let of = |cells: &[Confusion]| {
            let mut extremes = None;
            for &group in &compared {
                let value = self.value(metric, cells.get(group)?)?;
                let (low, high) = extremes.unwrap_or((value, value));
                extremes = Some((value.min(low), value.max(high)));
            }
            let (low, high) = extremes.filter(|_| compared.len() > 1)?;
            apart(low, high)
        };
        let estimate = self.cells.estimate(confidence, method, of)?;
        let without = |&group: &usize| LeftOut {
            group: self.groups[group].clone(),
            rows: observed[group].rows(),
            reason: LeftOutReason::Undefined,
        };
        let left_out = self.left_out.iter().cloned().chain(undefined.iter().map(without)).collect();
        Ok(DisparityEstimate { estimate, left_out })
    }
}

/// # Inference
/// Of groups without weights. A group that is too small, absent or without trials for the rate is left out by name, and keeps a
/// decision from passing; combinations nobody belongs to are not missed. `zero_division` makes no trials: a rate 0/0 stays left
/// out. Rows with weights are refused: the cells do not keep how weights spread, so that not even Kish's approximation
/// ([`rate_interval_effective`](crate::interval::rate_interval_effective)) can be had from them.
impl GroupMetrics {
    /// Tests by χ² whether a rate is the same in every group: [`homogeneity_test`](super::homogeneity_test()).
    ///
    /// ```
    /// use mlops_eval::classification::LabelMetric;
    /// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, HomogeneityMethod, SensitiveFeature};
    ///
    /// let codes: Vec<u32> = (0..400).map(|row| row % 2).collect();
    /// let y_pred: Vec<bool> = (0..400).map(|row| row % 4 != 1).collect();
    /// let group = SensitiveFeature::new("group", &codes, ["a", "b"]);
    /// let groups = GroupMetrics::of(&y_pred, &y_pred, &[group], &FairnessOptions::default())?;
    /// let test = groups.homogeneity_test(LabelMetric::SelectionRate, HomogeneityMethod::Pearson)?;
    /// assert!(test.p_value.value().is_some_and(|p| p < 1e-20));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Unsupported`] for weights, and for a metric that is no share of rows; [`StatsError::Overflow`].
    pub fn homogeneity_test(
        &self,
        metric: LabelMetric,
        method: HomogeneityMethod,
    ) -> Result<HomogeneityTest<LeftOut>, StatsError> {
        let members = Members::of(self)?;
        let test = homogeneity::homogeneity_test(&members.rates(metric)?, method)?;
        Ok(HomogeneityTest {
            statistic: test.statistic,
            degrees_of_freedom: test.degrees_of_freedom,
            p_value: test.p_value,
            left_out: members.left_out(&test.left_out),
        })
    }

    /// Tests by permutation whether a rate is the same in every group: [`disparity_test`](super::disparity_test()).
    ///
    /// ```
    /// use mlops_eval::classification::LabelMetric;
    /// use mlops_eval::fairness::{DisparityTestOptions, FairnessOptions, GroupMetrics, SensitiveFeature};
    ///
    /// // Twelve rows a group: a difference of one sixth says nothing.
    /// let codes: Vec<u32> = (0..24).map(|row| row / 12).collect();
    /// let y_pred: Vec<bool> = (0..24).map(|row| row % 12 < 6 || row == 20 || row == 21).collect();
    /// let group = SensitiveFeature::new("group", &codes, ["a", "b"]);
    /// let groups = GroupMetrics::of(&y_pred, &y_pred, &[group], &FairnessOptions::default())?;
    /// let test = groups.disparity_test(LabelMetric::SelectionRate, &DisparityTestOptions::new(1))?;
    /// assert!(test.p_value.value().is_some_and(|p| p > 0.3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`homogeneity_test`](Self::homogeneity_test); [`StatsError::Parameter`] for a number of resamples outside its
    /// range.
    pub fn disparity_test(
        &self,
        metric: LabelMetric,
        options: &DisparityTestOptions,
    ) -> Result<DisparityTest<LeftOut>, StatsError> {
        let members = Members::of(self)?;
        let test = homogeneity::disparity_test(&members.rates(metric)?, options)?;
        Ok(members.disparity_test(&test))
    }

    /// Tests equalized odds by permutation: [`odds_test`](super::odds_test()).
    ///
    /// # Errors
    /// Those of [`disparity_test`](Self::disparity_test).
    pub fn odds_test(&self, options: &DisparityTestOptions) -> Result<OddsTest<LeftOut>, StatsError> {
        let members = Members::of(self)?;
        let test = homogeneity::odds_test(&members.cells, options)?;
        Ok(OddsTest {
            statistic: test.statistic,
            p_value: test.p_value,
            true_positive_rate: members.disparity_test(&test.true_positive_rate),
            false_positive_rate: members.disparity_test(&test.false_positive_rate),
            holm: test.holm,
        })
    }

    /// The differences of a rate between all pairs of groups, with intervals that hold together:
    /// [`pairwise_differences`](super::pairwise_differences()).
    ///
    /// ```
    /// use mlops_eval::classification::LabelMetric;
    /// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, PairwiseOptions, SensitiveFeature};
    ///
    /// let codes: Vec<u32> = (0..400).map(|row| row % 2).collect();
    /// let y_pred: Vec<bool> = (0..400).map(|row| row % 4 != 1).collect();
    /// let group = SensitiveFeature::new("group", &codes, ["a", "b"]);
    /// let groups = GroupMetrics::of(&y_pred, &y_pred, &[group], &FairnessOptions::default())?;
    /// let all = groups.pairwise_differences(LabelMetric::SelectionRate, &PairwiseOptions::new(1))?;
    /// assert_eq!((all.pairs[0].first.to_string(), all.pairs[0].difference), ("group=a".to_owned(), 0.5));
    /// assert!(all.pairs[0].interval.lower > 0.4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`homogeneity_test`](Self::homogeneity_test) and of [`pairwise_differences`](super::pairwise_differences()).
    pub fn pairwise_differences(
        &self,
        metric: LabelMetric,
        options: &PairwiseOptions,
    ) -> Result<PairwiseDifferences<Group, LeftOut>, StatsError> {
        let members = Members::of(self)?;
        let all = pairwise::pairwise_differences(&members.rates(metric)?, options)?;
        let pair = |pair: PairwiseDifference| PairwiseDifference {
            first: members.name(pair.first),
            second: members.name(pair.second),
            difference: pair.difference,
            interval: pair.interval,
            p_value: pair.p_value,
            adjusted: pair.adjusted,
        };
        Ok(PairwiseDifferences {
            pairs: all.pairs.into_iter().map(pair).collect(),
            left_out: members.left_out(&all.left_out),
        })
    }

    /// The largest difference of a rate between groups, with an interval that can reach 0:
    /// [`disparity_interval`](super::disparity_interval()).
    ///
    /// # Errors
    /// Those of [`pairwise_differences`](Self::pairwise_differences).
    pub fn disparity_interval(
        &self,
        metric: LabelMetric,
        options: &PairwiseOptions,
    ) -> Result<DisparityInterval<Group, LeftOut>, StatsError> {
        let members = Members::of(self)?;
        let disparity = equivalence::disparity_interval(&members.rates(metric)?, options)?;
        Ok(DisparityInterval {
            value: disparity.value,
            corrected: disparity.corrected,
            interval: disparity.interval,
            lowest: disparity.lowest.map(|position| members.name(position)),
            highest: disparity.highest.map(|position| members.name(position)),
            left_out: members.left_out(&disparity.left_out),
        })
    }

    /// Whether a rate differs between no two groups by `margin` or more, shown rather than assumed:
    /// [`difference_within`](super::difference_within()). A group that is left out keeps a pass away, but not a fail.
    ///
    /// ```
    /// use mlops_core::evaluation::Verdict;
    /// use mlops_eval::classification::LabelMetric;
    /// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, ParityOptions, SensitiveFeature};
    ///
    /// let codes: Vec<u32> = (0..4_000).map(|row| row % 2).collect();
    /// let y_pred: Vec<bool> = (0..4_000).map(|row| row % 4 < 2).collect();
    /// let decide = |categories: &[&str], codes: &[u32], y_pred: &[bool]| {
    ///     let group = SensitiveFeature::new("group", codes, categories.iter().copied());
    ///     let groups = GroupMetrics::of(y_pred, y_pred, &[group], &FairnessOptions::default())?;
    ///     groups.difference_within(LabelMetric::SelectionRate, 0.1, &ParityOptions::default())
    /// };
    /// assert_eq!(decide(&["a", "b"], &codes, &y_pred)?.verdict, Verdict::Pass);
    ///
    /// // The same rows, and a category that was announced but does not occur.
    /// let unsure = decide(&["a", "b", "c"], &codes, &y_pred)?;
    /// assert_eq!(unsure.verdict, Verdict::Insufficient);
    /// assert_eq!(unsure.left_out[0].group.to_string(), "group=c");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`homogeneity_test`](Self::homogeneity_test) and of [`difference_within`](super::difference_within()).
    pub fn difference_within(
        &self,
        metric: LabelMetric,
        margin: f64,
        options: &ParityOptions,
    ) -> Result<ParityDecision<Group, LeftOut>, StatsError> {
        let members = Members::of(self)?;
        let decision = equivalence::difference_within(&members.rates(metric)?, margin, options)?;
        Ok(members.decision(decision))
    }

    /// Whether a rate has a ratio of `least` or less between no two groups: [`ratio_within`](super::ratio_within()). With 0.8 and
    /// the selection rate it is the four-fifths rule, shown.
    ///
    /// # Errors
    /// Those of [`homogeneity_test`](Self::homogeneity_test) and of [`ratio_within`](super::ratio_within()).
    pub fn ratio_within(
        &self,
        metric: LabelMetric,
        least: f64,
        options: &ParityOptions,
    ) -> Result<ParityDecision<Group, LeftOut>, StatsError> {
        let members = Members::of(self)?;
        let decision = equivalence::ratio_within(&members.rates(metric)?, least, options)?;
        Ok(members.decision(decision))
    }

    /// Whether equalized odds holds within `margin`: [`odds_within`](super::odds_within()).
    ///
    /// # Errors
    /// Those of [`difference_within`](Self::difference_within).
    pub fn odds_within(
        &self,
        margin: f64,
        options: &ParityOptions,
    ) -> Result<OddsDecision<Group, LeftOut>, StatsError> {
        let members = Members::of(self)?;
        let decision = equivalence::odds_within(&members.cells, margin, options)?;
        Ok(OddsDecision {
            verdict: decision.verdict,
            true_positive_rate: members.decision(decision.true_positive_rate),
            false_positive_rate: members.decision(decision.false_positive_rate),
        })
    }

    /// The bootstrap of the rows of the groups that are judged, drawn from their cells: for metrics that are no shares of rows, and
    /// for numbers of your own.
    ///
    /// # Errors
    /// [`StatsError::Unsupported`] for weights; those of [`CellBootstrap::of`], without groups that are judged
    /// [`StatsError::Empty`].
    pub fn bootstrap(&self, options: &BootstrapOptions) -> Result<GroupBootstrap, StatsError> {
        let members = Members::of(self)?;
        let cells = members.cells.get(..members.judged.len()).unwrap_or_default();
        Ok(GroupBootstrap {
            left_out: members.left_out(&[]),
            cells: CellBootstrap::of(cells, options)?,
            groups: members.judged.into_iter().map(|member| member.group).collect(),
            zero_division: self.options().zero_division,
        })
    }

    /// A rate of every group drawn towards those of the others: the posterior under a [`BetaPrior`] fitted to all groups.
    ///
    /// Groups that are too small to be judged take part: they are what it is for. One without trials has the prior.
    ///
    /// ```
    /// use mlops_eval::classification::LabelMetric;
    /// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, PriorFit, SensitiveFeature};
    ///
    /// // Two large groups of which half is selected, and one row of a third.
    /// let codes: Vec<u32> = (0..401).map(|row| if row == 400 { 2 } else { row % 2 }).collect();
    /// let y_pred: Vec<bool> = (0..401).map(|row| row % 4 < 2).collect();
    /// let group = SensitiveFeature::new("group", &codes, ["a", "b", "c"]);
    /// let groups = GroupMetrics::of(&y_pred, &y_pred, &[group], &FairnessOptions::default())?;
    /// let rates = groups.shrunken_rates(LabelMetric::SelectionRate, PriorFit::Likelihood, 0.95)?;
    /// assert_eq!(rates.groups[2].rate.value().value(), Some(1.0));
    /// assert!((rates.groups[2].shrunken.value - 0.5).abs() < 0.05);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Unsupported`] for weights, and for a metric that is no share of rows; [`StatsError::TooFew`] for fewer than
    /// two groups with trials; [`StatsError::Parameter`] for a confidence outside (0, 1).
    pub fn shrunken_rates(
        &self,
        metric: LabelMetric,
        fit: PriorFit,
        confidence: f64,
    ) -> Result<ShrunkenRates, StatsError> {
        let (rates, groups) = self.present(metric)?;
        let prior = BetaPrior::fit(&rates, fit)?;
        let shrunken = |(rate, (_, group)): (&Rate, (usize, Group))| {
            Ok(ShrunkenGroup { group, rate: *rate, shrunken: prior.shrink(*rate, confidence)? })
        };
        let groups = rates.iter().zip(groups).map(shrunken).collect::<Result<_, StatsError>>()?;
        Ok(ShrunkenRates { metric, prior, groups })
    }

    /// A rate of every group explained by the main effects of the features, with what interactions are left after shrinkage:
    /// [`structured_rates`](super::structured_rates()). Groups that are too small to be judged take part, and so do announced
    /// ones without rows.
    ///
    /// ```
    /// use mlops_eval::classification::LabelMetric;
    /// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, SensitiveFeature};
    ///
    /// let (sex, old): (Vec<u32>, Vec<u32>) = (0..800).map(|row| (row % 2, row / 2 % 2)).unzip();
    /// let y_pred: Vec<bool> = (0..800).map(|row| row % 8 < 4).collect();
    /// let features = [SensitiveFeature::new("sex", &sex, ["f", "m"]), SensitiveFeature::new("age", &old, ["young", "old"])];
    /// let groups = GroupMetrics::of(&y_pred, &y_pred, &features, &FairnessOptions::default())?;
    /// let rates = groups.structured_rates(LabelMetric::SelectionRate)?;
    /// assert_eq!((rates.groups.len(), rates.degrees_of_freedom), (4, 1));
    /// assert!(rates.groups.iter().all(|group| (group.value - 0.5).abs() < 1e-9));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Unsupported`] for weights, and for a metric that is no share of rows; [`StatsError::ZeroTotal`] without any
    /// trials; [`StatsError::Parameter`] for more than 511 categories in all.
    pub fn structured_rates(&self, metric: LabelMetric) -> Result<StructuredGroups, StatsError> {
        let (rates, groups) = self.present(metric)?;
        let codes: Vec<Vec<usize>> = groups.iter().map(|(index, _)| self.axes().codes(*index)).collect();
        let fit = structured_rates(&rates, &codes, &self.axes().sizes())?;
        let values = fit.additive.into_iter().zip(fit.values);
        let structured = |((rate, (_, group)), (additive, value)): ((Rate, (usize, Group)), (f64, f64))| {
            StructuredGroup { group, rate, additive, value }
        };
        Ok(StructuredGroups {
            metric,
            groups: rates.into_iter().zip(groups).zip(values).map(structured).collect(),
            interaction_variance: fit.interaction_variance,
            statistic: fit.statistic,
            degrees_of_freedom: fit.degrees_of_freedom,
            p_value: fit.p_value,
        })
    }

    /// The rates of all groups but the vacant ones, whatever their size, and their positions and names.
    #[allow(clippy::type_complexity, reason = "two lists of the same length")]
    fn present(&self, metric: LabelMetric) -> Result<(Vec<Rate>, Vec<(usize, Group)>), StatsError> {
        let cells = counts(self)?.iter().zip(self.statuses()).enumerate();
        let there = cells.filter(|(_, (_, status))| *status != GroupStatus::Vacant);
        let (mut rates, mut groups) = (Vec::new(), Vec::new());
        for (index, (cells, _)) in there {
            rates.push(Rate::of(metric, cells)?);
            groups.extend(self.group(index).map(|group| (index, group)));
        }
        Ok((rates, groups))
    }
}
