//! The confusion cells of every group, counted in one pass.

use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::aggregate::{Aggregate, Contrasts, GroupValue, MetricByGroup, is_there};
use super::count::Labels;
use super::group::{Axes, Group, GroupStatus, SensitiveFeature, codes_of_rows};
use super::measure::{CustomMetric, Measure};
use super::options::{FairnessOptions, HalfOdds, OddsAggregation};
use super::parity::EqualizedOdds;
use crate::catalog::Metric;
use crate::classification::{Confusion, LabelMetric, WeightedConfusion};
use crate::input::{named, paired};
use mlops_core::num::parallel::Threads;
use mlops_core::num::sum::Sum;

/// The confusion cells of every group: one pass over the rows, and all group metrics follow from them.
///
/// The cells merge, so shards, windows and machines add up, and they serialise: the fairness of a model can be judged
/// where the sensitive attributes are not.
///
/// ```
/// use mlops_eval::classification::LabelMetric;
/// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, SensitiveFeature};
///
/// let y_true = [true, false, true, false, true, false];
/// let y_pred = [true, false, false, false, true, true];
/// let group = SensitiveFeature::from_values("group", &["a", "a", "b", "b", "c", "c"]);
///
/// let groups = GroupMetrics::of(&y_true, &y_pred, &[group], &FairnessOptions::default().with_minimum_size(2))?;
/// let accuracy = groups.by_group(LabelMetric::Accuracy);
/// assert_eq!(accuracy.overall.value(), Some(4.0 / 6.0));
/// assert_eq!(accuracy.groups[0].value.value(), Some(1.0));
/// assert_eq!(accuracy.groups[0].share, Some((2.0, 2.0)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct GroupMetrics {
    axes: Axes,
    cells: Cells,
    options: FairnessOptions,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Cells {
    Counted(Vec<Confusion>),
    /// Beside the weights, the rows: a group's size is a number of rows.
    Weighted(Vec<(u64, WeightedConfusion)>),
}

impl Cells {
    pub(super) fn rows(&self) -> Vec<u64> {
        match self {
            Self::Counted(groups) => groups.iter().map(Confusion::rows).collect(),
            Self::Weighted(groups) => groups.iter().map(|(rows, _)| *rows).collect(),
        }
    }

    pub(super) fn weights(&self) -> Vec<WeightedConfusion> {
        match self {
            Self::Counted(groups) => groups.iter().map(WeightedConfusion::from).collect(),
            Self::Weighted(groups) => groups.iter().map(|(_, cells)| *cells).collect(),
        }
    }

    /// The cells of both parts together.
    pub(super) fn plus(&self, other: &Self) -> Result<Self, StatsError> {
        match (self, other) {
            (Self::Counted(left), Self::Counted(right)) => {
                let sums = left.iter().zip(right).map(|(left, right)| plus(left, right));
                Ok(Self::Counted(sums.collect::<Result<_, _>>()?))
            }
            (Self::Weighted(left), Self::Weighted(right)) => {
                let sums = left
                    .iter()
                    .zip(right)
                    .map(|(left, right)| Ok((left.0.saturating_add(right.0), left.1.plus(&right.1)?)));
                Ok(Self::Weighted(sums.collect::<Result<_, StatsError>>()?))
            }
            _ => Err(StatsError::Incompatible { what: "the use of weights" }),
        }
    }

    /// Cells added up where `places` sends them.
    pub(super) fn gathered(&self, places: &[usize], len: usize) -> Result<Self, StatsError> {
        match self {
            Self::Counted(cells) => {
                let mut sums = vec![Confusion::default(); len];
                for (cell, &place) in cells.iter().zip(places) {
                    sums[place].merge(cell)?;
                }
                Ok(Self::Counted(sums))
            }
            Self::Weighted(cells) => {
                let mut sums = vec![(0_u64, WeightedConfusion::default()); len];
                for ((rows, cells), &place) in cells.iter().zip(places) {
                    sums[place] = (sums[place].0.saturating_add(*rows), sums[place].1.plus(cells)?);
                }
                Ok(Self::Weighted(sums))
            }
        }
    }

    /// The cells of some groups in a row.
    pub(super) fn part(&self, groups: std::ops::Range<usize>) -> Self {
        match self {
            Self::Counted(cells) => Self::Counted(cells.get(groups).unwrap_or_default().to_vec()),
            Self::Weighted(cells) => Self::Weighted(cells.get(groups).unwrap_or_default().to_vec()),
        }
    }
}

fn plus(left: &Confusion, right: &Confusion) -> Result<Confusion, StatsError> {
    let mut sum = *left;
    sum.merge(right).map(|()| sum)
}

impl GroupMetrics {
    /// Counts the rows of every combination of the features' categories.
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::UnknownCode`] for a code without a
    /// category, [`StatsError::Parameter`] for more than [`MAX_GROUPS`](super::MAX_GROUPS) combinations or a
    /// confidence outside (0, 1), [`StatsError::Unsupported`] for a feature or a category that is listed twice.
    pub fn of(
        y_true: &[bool],
        y_pred: &[bool],
        features: &[SensitiveFeature<'_>],
        options: &FairnessOptions,
    ) -> Result<Self, StatsError> {
        Self::parallel(y_true, y_pred, None, features, options, Threads::ONE)
    }

    /// [`of`](Self::of) with a weight for each row. The size of a group stays its number of rows; there are no
    /// intervals.
    ///
    /// ```
    /// use mlops_eval::classification::LabelMetric;
    /// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, SensitiveFeature};
    ///
    /// let group = SensitiveFeature::from_values("group", &["a", "a", "b"]);
    /// let options = FairnessOptions::default().with_minimum_size(1);
    /// let labels = [true, false, true];
    /// let groups = GroupMetrics::weighted(&labels, &labels, &[1.0, 3.0, 1.0], &[group], &options)?;
    /// assert_eq!(groups.by_group(LabelMetric::SelectionRate).groups[0].value.value(), Some(0.25));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`of`](Self::of), and what [`weights::total`](mlops_core::num::weights::total) refuses.
    pub fn weighted(
        y_true: &[bool],
        y_pred: &[bool],
        weights: &[f64],
        features: &[SensitiveFeature<'_>],
        options: &FairnessOptions,
    ) -> Result<Self, StatsError> {
        Self::parallel(y_true, y_pred, Some(weights), features, options, Threads::ONE)
    }

    /// [`of`](Self::of), or [`weighted`](Self::weighted) where there are weights, on several threads. The same bits on any
    /// number of them.
    ///
    /// ```
    /// use mlops_core::num::parallel::Threads;
    /// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, SensitiveFeature};
    ///
    /// let labels: Vec<bool> = (0..200_000).map(|row| row % 3 == 0).collect();
    /// let codes: Vec<u32> = (0..200_000).map(|row| row % 5).collect();
    /// let group = [SensitiveFeature::new("group", &codes, ["a", "b", "c", "d", "e"])];
    /// let options = FairnessOptions::default();
    /// let alone = GroupMetrics::of(&labels, &labels, &group, &options)?;
    /// assert_eq!(GroupMetrics::parallel(&labels, &labels, None, &group, &options, Threads::new(2))?, alone);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`of`](Self::of) and [`weighted`](Self::weighted).
    pub fn parallel(
        y_true: &[bool],
        y_pred: &[bool],
        weights: Option<&[f64]>,
        features: &[SensitiveFeature<'_>],
        options: &FairnessOptions,
        threads: Threads,
    ) -> Result<Self, StatsError> {
        paired(named("y_true", y_true), named("y_pred", y_pred))?;
        options.check()?;
        let axes = Axes::of(features)?;
        let cells = count(y_true, y_pred, weights, (&axes, features), threads)?;
        Ok(Self { axes, cells, options: *options })
    }

    pub(super) fn from_parts(axes: Axes, cells: Cells, options: FairnessOptions) -> Self {
        Self { axes, cells, options }
    }

    pub(super) fn axes(&self) -> &Axes {
        &self.axes
    }

    /// Adds the rows of another part of the data, counted for the same features.
    ///
    /// ```
    /// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, SensitiveFeature};
    ///
    /// let options = FairnessOptions::default();
    /// let part = |codes: &[u32], labels: &[bool]| {
    ///     let group = SensitiveFeature::new("group", codes, ["a", "b"]);
    ///     GroupMetrics::of(labels, labels, &[group], &options)
    /// };
    /// let mut whole = part(&[0, 1], &[true, false])?;
    /// whole.merge(&part(&[1], &[true])?)?;
    /// assert_eq!(whole, part(&[0, 1, 1], &[true, false, true])?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] when features, categories, options or the use of weights differ,
    /// [`StatsError::Overflow`]; `self` is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        let differs = |what| Err(StatsError::Incompatible { what });
        if self.axes != other.axes {
            return differs("the features or their categories");
        }
        if self.options != other.options {
            return differs("the options");
        }
        self.cells = self.cells.plus(&other.cells)?;
        Ok(())
    }

    /// The counts of every group, in the order of [`group`](Self::group); `None` where rows have weights. For functions that
    /// need no more: intervals, tests and resampling of cells.
    ///
    /// ```
    /// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, SensitiveFeature};
    ///
    /// let group = SensitiveFeature::from_values("group", &["a", "b", "b"]);
    /// let groups = GroupMetrics::of(&[true; 3], &[true, true, false], &[group], &FairnessOptions::default())?;
    /// let rows: Option<Vec<u64>> = groups.confusions().map(|cells| cells.iter().map(|cells| cells.rows()).collect());
    /// assert_eq!(rows, Some(vec![1, 2]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn confusions(&self) -> Option<&[Confusion]> {
        match &self.cells {
            Cells::Counted(cells) => Some(cells),
            Cells::Weighted(_) => None,
        }
    }

    /// The weights in the cells of every group, in the order of [`group`](Self::group); their counts where rows have none.
    pub fn weighted_confusions(&self) -> Vec<WeightedConfusion> {
        self.cells.weights()
    }

    /// The number of groups, those without rows included.
    ///
    /// ```
    /// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, SensitiveFeature};
    /// let group = SensitiveFeature::new("group", &[0], ["a", "b"]);
    /// assert_eq!(GroupMetrics::of(&[true], &[true], &[group], &FairnessOptions::default())?.groups(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn groups(&self) -> usize {
        match &self.cells {
            Cells::Counted(cells) => cells.len(),
            Cells::Weighted(cells) => cells.len(),
        }
    }

    /// The group at a position, the last feature varying fastest.
    pub fn group(&self, index: usize) -> Option<Group> {
        (index < self.groups()).then(|| self.axes.group(index))
    }

    /// The number of rows of every group, whatever their weights.
    pub fn rows(&self) -> Vec<u64> {
        self.cells.rows()
    }

    /// Whether each group is judged, under the options' minimum size.
    pub fn statuses(&self) -> Vec<GroupStatus> {
        self.axes.statuses(&self.cells.rows(), self.options.minimum_size)
    }

    /// The same cells judged by other choices: nothing is counted again.
    ///
    /// ```
    /// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, SensitiveFeature};
    ///
    /// let group = SensitiveFeature::from_values("group", &["a", "b"]);
    /// let groups = GroupMetrics::of(&[true, false], &[true, false], &[group], &FairnessOptions::default())?;
    /// assert_eq!(groups.demographic_parity_difference().value.value(), None);
    /// let judged = groups.with_options(&FairnessOptions::fairlearn_0_15())?;
    /// assert_eq!(judged.demographic_parity_difference().value.value(), Some(1.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for a confidence outside (0, 1).
    pub fn with_options(mut self, options: &FairnessOptions) -> Result<Self, StatsError> {
        options.check()?;
        self.options = *options;
        Ok(self)
    }

    /// The choices made.
    pub fn options(&self) -> &FairnessOptions {
        &self.options
    }

    /// A metric in every group and overall, with denominators, statuses and intervals.
    pub fn by_group(&self, metric: LabelMetric) -> MetricByGroup {
        let share = |cells: &WeightedConfusion| metric.share(*cells);
        self.by_cells(Metric::Label(metric).into(), |cells| metric.from_counts(*cells), share)
    }

    /// A metric of your own, from the cells of every group and of all together. The options' `zero_division` holds for it too.
    ///
    /// ```
    /// use mlops_core::num::Measured;
    /// use mlops_eval::catalog::Direction;
    /// use mlops_eval::fairness::{CustomMetric, FairnessOptions, GroupMetrics, SensitiveFeature};
    ///
    /// let group = SensitiveFeature::from_values("group", &["a", "a", "b", "b"]);
    /// let (y_true, y_pred) = ([true, false, true, false], [true, true, false, false]);
    /// let groups = GroupMetrics::of(&y_true, &y_pred, &[group], &FairnessOptions::fairlearn_0_15())?;
    /// let cost = CustomMetric::new("cost", Direction::LowerIsBetter).with_non_negative(true);
    /// let cost = groups.custom_by_group(cost, |cells| {
    ///     Measured::ratio(5.0 * cells.false_negatives() + cells.false_positives(), cells.total())
    /// });
    /// assert_eq!(cost.difference().value.value(), Some(2.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn custom_by_group(
        &self,
        metric: CustomMetric,
        value: impl Fn(&WeightedConfusion) -> Measured,
    ) -> MetricByGroup {
        self.by_cells(metric.into(), value, |_| None)
    }

    pub(super) fn by_cells(
        &self,
        metric: Measure,
        value: impl Fn(&WeightedConfusion) -> Measured,
        share: impl Fn(&WeightedConfusion) -> Option<(f64, f64)>,
    ) -> MetricByGroup {
        let (rows, statuses, cells) = (self.cells.rows(), self.statuses(), self.cells.weights());
        let counted = matches!(self.cells, Cells::Counted(_));
        let measured = |cells: &WeightedConfusion| finite(self.options.zero_division.apply(value(cells)));
        let group_value = |index: usize| {
            let share = share(&cells[index]);
            let trials = share.filter(|(_, denominator)| counted && *denominator > 0.0);
            GroupValue {
                group: self.axes.group(index),
                rows: rows[index],
                weight: cells[index].total(),
                status: statuses[index],
                value: match statuses[index] {
                    GroupStatus::Judged => measured(&cells[index]),
                    _ => too_few(rows[index], self.options.minimum_size),
                },
                share,
                interval: trials
                    .map(|(k, n)| self.options.rate_interval.limits(k, n, self.options.confidence)),
            }
        };
        let groups = (0..rows.len()).map(group_value).collect();
        let overall = match pooled(&cells) {
            Ok(cells) => measured(&cells),
            // Only cells of several parts can add up to more than an f64; then there is no number overall.
            Err(_) => Measured::none(UndefinedReason::NothingDefined, 0, rows.len()),
        };
        MetricByGroup { metric, overall, groups, options: self.options }
    }

    /// Every group minus all other rows together, signed. The rest includes rows of groups that are not judged.
    ///
    /// ```
    /// use mlops_eval::classification::LabelMetric;
    /// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, SensitiveFeature};
    ///
    /// let group = SensitiveFeature::from_values("group", &["a", "a", "b", "c"]);
    /// let labels = [true, true, true, false];
    /// let groups = GroupMetrics::of(&labels, &labels, &[group], &FairnessOptions::fairlearn_0_15())?;
    /// let rest = groups.one_vs_rest(LabelMetric::SelectionRate);
    /// assert_eq!(rest.contrasts[0].difference.value(), Some(0.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn one_vs_rest(&self, metric: LabelMetric) -> Contrasts {
        let by_group = self.by_group(metric);
        let cells = self.cells.weights();
        let rest = |index: usize| {
            let others = cells.iter().enumerate().filter(|(other, _)| *other != index);
            match pooled(&others.map(|(_, cells)| *cells).collect::<Vec<_>>()) {
                Ok(cells) => self.options.zero_division.apply(metric.from_counts(cells)),
                Err(_) => Measured::none(UndefinedReason::NothingDefined, 0, cells.len()),
            }
        };
        let there = by_group.groups.iter().enumerate().filter(|(_, group)| is_there(group));
        Contrasts {
            contrasts: there.map(|(index, group)| by_group.contrast(group, rest(index))).collect(),
            left_out: by_group.left_out(),
            metric: by_group.metric,
            reference: None,
        }
    }

    /// How far the selection rates of the groups are apart: 0 is demographic parity.
    ///
    /// Needs no true labels. Agrees with Fairlearn 0.15.0 to 1e-12 under [`FairnessOptions::fairlearn_0_15`].
    pub fn demographic_parity_difference(&self) -> Aggregate {
        self.by_group(LabelMetric::SelectionRate).difference()
    }

    /// The smallest selection rate over the largest: 1 is demographic parity; below 0.8 the "four-fifths rule" sees
    /// adverse impact (a convention).
    ///
    /// ```
    /// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, SensitiveFeature};
    ///
    /// let group = SensitiveFeature::from_values("group", &["a", "a", "b", "b"]);
    /// let y_pred = [true, true, true, false];
    /// let groups = GroupMetrics::of(&y_pred, &y_pred, &[group], &FairnessOptions::fairlearn_0_15())?;
    /// assert_eq!(groups.demographic_parity_ratio().value.value(), Some(0.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn demographic_parity_ratio(&self) -> Aggregate {
        self.share_ratio(LabelMetric::SelectionRate)
    }

    /// How far the true positive rates of the groups are apart: 0 is equal opportunity (Hardt, Price, Srebro 2016).
    ///
    /// ```
    /// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, SensitiveFeature};
    ///
    /// let group = SensitiveFeature::from_values("group", &["a", "a", "b", "b"]);
    /// let groups = GroupMetrics::of(&[true; 4], &[true, true, true, false], &[group], &FairnessOptions::fairlearn_0_15())?;
    /// assert_eq!(groups.equal_opportunity_difference().value.value(), Some(0.5));
    /// assert_eq!(groups.equal_opportunity_ratio().value.value(), Some(0.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn equal_opportunity_difference(&self) -> Aggregate {
        self.by_group(LabelMetric::Recall).difference()
    }

    /// The smallest true positive rate over the largest: 1 is equal opportunity.
    pub fn equal_opportunity_ratio(&self) -> Aggregate {
        self.share_ratio(LabelMetric::Recall)
    }

    /// How far true and false positive rates of the groups are apart, combined as [`FairnessOptions::odds`] says: 0
    /// is equalized odds (Hardt, Price, Srebro 2016).
    ///
    /// Undefined when one of the two differences is: half of the criterion can look perfect.
    ///
    /// ```
    /// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, SensitiveFeature};
    ///
    /// let group = SensitiveFeature::from_values("group", &["a", "a", "b", "b"]);
    /// let (y_true, y_pred) = ([true, false, true, false], [true, false, true, true]);
    /// let groups = GroupMetrics::of(&y_true, &y_pred, &[group], &FairnessOptions::fairlearn_0_15())?;
    /// let odds = groups.equalized_odds_difference();
    /// assert_eq!(odds.value.value(), Some(1.0));
    /// assert_eq!(odds.true_positive_rate.value.value(), Some(0.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn equalized_odds_difference(&self) -> EqualizedOdds {
        self.odds(|metric| self.by_group(metric).difference(), f64::max)
    }

    /// The smallest over the largest true and false positive rate, combined as [`FairnessOptions::odds`] says: 1 is
    /// equalized odds.
    ///
    /// Undefined when one of the two ratios is, also when no group has false positives: 0/0.
    ///
    /// ```
    /// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, SensitiveFeature};
    ///
    /// let group = SensitiveFeature::from_values("group", &["a", "a", "a", "b", "b", "b"]);
    /// let y_true = [true, false, false, true, false, false];
    /// let y_pred = [true, true, false, true, true, true];
    /// let groups = GroupMetrics::of(&y_true, &y_pred, &[group], &FairnessOptions::fairlearn_0_15())?;
    /// assert_eq!(groups.equalized_odds_ratio().value.value(), Some(0.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn equalized_odds_ratio(&self) -> EqualizedOdds {
        self.odds(|metric| self.share_ratio(metric), f64::min)
    }

    pub(super) fn share_ratio(&self, metric: LabelMetric) -> Aggregate {
        let by_group = self.by_group(metric);
        // A share is never negative, so the ratio is not refused; the difference is what is left to say if it were.
        by_group.ratio().unwrap_or_else(|_| by_group.difference())
    }

    fn odds(
        &self,
        compare: impl Fn(LabelMetric) -> Aggregate,
        worse: impl Fn(f64, f64) -> f64,
    ) -> EqualizedOdds {
        let true_positive_rate = compare(LabelMetric::Recall);
        let false_positive_rate = compare(LabelMetric::FalsePositiveRate);
        let combine = |a: f64, b: f64| match self.options.odds {
            OddsAggregation::WorstCase => worse(a, b),
            OddsAggregation::Mean => a.midpoint(b),
        };
        let value = match (true_positive_rate.value, false_positive_rate.value) {
            (Measured::Value(a), Measured::Value(b)) => Measured::Value(combine(a, b)),
            (Measured::Undefined(_), value @ Measured::Value(_))
            | (value @ Measured::Value(_), Measured::Undefined(_))
                if self.options.half_odds == HalfOdds::Skip =>
            {
                value
            }
            (undefined @ Measured::Undefined(_), _) | (_, undefined) => undefined,
        };
        EqualizedOdds { value, true_positive_rate, false_positive_rate }
    }
}

pub(crate) fn too_few(rows: u64, minimum: u64) -> Measured {
    let size = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
    // A group without rows is never judged, whatever the minimum.
    Measured::none(UndefinedReason::TooFew, size(rows), size(minimum).max(1))
}

/// A closure may return what a metric of the catalogue never does.
pub(super) fn finite(value: Measured) -> Measured {
    match value {
        Measured::Value(value) if !value.is_finite() => Measured::none(UndefinedReason::NothingDefined, 0, 1),
        value => value,
    }
}

/// The cells of every combination of the axes, which are those of the features.
pub(super) fn count(
    y_true: &[bool],
    y_pred: &[bool],
    weights: Option<&[f64]>,
    (axes, features): (&Axes, &[SensitiveFeature<'_>]),
    threads: Threads,
) -> Result<Cells, StatsError> {
    let codes = codes_of_rows(features, y_true.len(), "y_true")?;
    let labels = Labels { y_true, y_pred, codes: &codes, groups: axes.len()? };
    match weights {
        None => labels.count(threads).map(Cells::Counted),
        Some(weights) => labels.weigh(weights, threads).map(Cells::Weighted),
    }
}

pub(super) fn pooled(groups: &[WeightedConfusion]) -> Result<WeightedConfusion, StatsError> {
    let sum = |part: fn(&WeightedConfusion) -> f64| groups.iter().map(part).collect::<Sum>().value();
    WeightedConfusion::new(
        sum(WeightedConfusion::true_positives),
        sum(WeightedConfusion::false_positives),
        sum(WeightedConfusion::false_negatives),
        sum(WeightedConfusion::true_negatives),
    )
}

/// What a file holds, before it is checked.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    features: Axes,
    cells: Cells,
    options: FairnessOptions,
}

impl From<GroupMetrics> for Stored {
    fn from(metrics: GroupMetrics) -> Self {
        Self { features: metrics.axes, cells: metrics.cells, options: metrics.options }
    }
}

impl TryFrom<Stored> for GroupMetrics {
    type Error = StatsError;

    fn try_from(stored: Stored) -> Result<Self, StatsError> {
        stored.features.check()?;
        stored.options.check()?;
        let (got, needed) = (stored.cells.rows().len(), stored.features.len()?);
        if got != needed {
            let (left, right) = ("cells", "features");
            return Err(StatsError::LengthMismatch { left, left_len: got, right, right_len: needed });
        }
        Ok(Self { axes: stored.features, cells: stored.cells, options: stored.options })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fairness::{LeftOutReason, LoneGroup};

    /// `(group, y_true, y_pred, how often)` spelled out as rows.
    fn rows(spec: &[(u32, bool, bool, usize)]) -> (Vec<u32>, Vec<bool>, Vec<bool>) {
        let mut all = (Vec::new(), Vec::new(), Vec::new());
        for &(group, t, p, count) in spec {
            all.0.extend(std::iter::repeat_n(group, count));
            all.1.extend(std::iter::repeat_n(t, count));
            all.2.extend(std::iter::repeat_n(p, count));
        }
        all
    }

    fn metrics(
        spec: &[(u32, bool, bool, usize)],
        categories: &[&str],
        options: &FairnessOptions,
    ) -> GroupMetrics {
        let (codes, y_true, y_pred) = rows(spec);
        let group = SensitiveFeature::new("group", &codes, categories.iter().copied());
        GroupMetrics::of(&y_true, &y_pred, &[group], options).unwrap()
    }

    #[test]
    fn small_absent_and_undefined_groups_are_left_out_by_name() {
        let spec = [
            (0, true, true, 10),
            (0, false, true, 10),
            (1, true, true, 5),
            (1, true, false, 15),
            (2, true, true, 9),
            (4, false, false, 12),
        ];
        let groups = metrics(&spec, &["a", "b", "small", "absent", "negative"], &FairnessOptions::default());
        let recall = groups.by_group(LabelMetric::Recall);
        assert_eq!(recall.groups[2].value, Measured::none(UndefinedReason::TooFew, 9, 10));
        let difference = recall.difference();
        assert_eq!(difference.value.value(), Some(0.75));
        assert_eq!(difference.lowest.unwrap().to_string(), "group=b");
        assert_eq!(difference.highest.unwrap().to_string(), "group=a");
        let left_out: Vec<_> =
            difference.left_out.iter().map(|left| (left.group.to_string(), left.rows, left.reason)).collect();
        let expected = [
            ("group=small".to_owned(), 9, LeftOutReason::TooSmall),
            ("group=absent".to_owned(), 0, LeftOutReason::Absent),
            ("group=negative".to_owned(), 12, LeftOutReason::Undefined),
        ];
        assert_eq!(left_out, expected);
    }

    #[test]
    fn a_lone_group_is_compared_with_nobody() {
        let spec = [(0, true, true, 10), (0, false, true, 10), (1, true, false, 3)];
        let groups = metrics(&spec, &["a", "small"], &FairnessOptions::default());
        let alone = groups.demographic_parity_difference();
        assert_eq!(alone.value.undefined().unwrap().reason, UndefinedReason::TooFew);
        assert!(!alone.is_complete());
        let equal = FairnessOptions::default().with_lone_group(LoneGroup::Equal);
        let equal = groups.with_options(&equal).unwrap().demographic_parity_difference();
        assert_eq!(equal.value, Measured::Value(0.0));
        assert!(!equal.is_complete());
    }

    #[test]
    fn half_of_equalized_odds_is_not_equalized_odds() {
        let spec = [(0, true, true, 10), (1, true, true, 10)];
        let odds = metrics(&spec, &["a", "b"], &FairnessOptions::default()).equalized_odds_difference();
        assert_eq!(odds.true_positive_rate.value, Measured::Value(0.0));
        assert_eq!(odds.value.undefined().unwrap().reason, UndefinedReason::NothingDefined);
        assert!(!odds.is_complete());
    }

    #[test]
    fn intervals_stand_beside_counted_shares_only() {
        let (codes, y_true, y_pred) = rows(&[(0, true, true, 12), (0, true, false, 4)]);
        let feature = || [SensitiveFeature::new("group", &codes, ["a"])];
        let options = FairnessOptions::default();
        let counted = GroupMetrics::of(&y_true, &y_pred, &feature(), &options).unwrap();
        let interval = counted.by_group(LabelMetric::Recall).groups[0].interval.unwrap();
        assert_eq!(interval, crate::interval::wilson(12, 16, 0.95).unwrap());
        assert_eq!(counted.by_group(LabelMetric::F1).groups[0].interval, None);
        assert_eq!(counted.by_group(LabelMetric::Specificity).groups[0].interval, None);
        let ones = vec![1.0; 16];
        let weighted = GroupMetrics::weighted(&y_true, &y_pred, &ones, &feature(), &options).unwrap();
        let by_group = weighted.by_group(LabelMetric::Recall);
        assert_eq!(by_group.groups[0].interval, None);
        assert_eq!(by_group.groups[0].value.value(), Some(0.75));
    }

    #[test]
    fn stored_cells_come_back_and_are_checked() {
        let spec = [(0, true, true, 12), (1, false, true, 11)];
        let groups = metrics(&spec, &["a", "b"], &FairnessOptions::default());
        let text = serde_json::to_string(&groups).unwrap();
        assert_eq!(serde_json::from_str::<GroupMetrics>(&text).unwrap(), groups);
        let error =
            serde_json::from_str::<GroupMetrics>(&text.replace(r#"["a","b"]"#, r#"["a"]"#)).unwrap_err();
        assert!(error.to_string().contains("`cells` has 2 elements but `features` has 1"), "{error}");
    }

    #[test]
    fn only_like_parts_merge() {
        let options = FairnessOptions::default();
        let mut groups = metrics(&[(0, true, true, 2)], &["a", "b"], &options);
        let before = groups.clone();
        let others = [
            metrics(&[(0, true, true, 2)], &["a", "c"], &options),
            metrics(&[(0, true, true, 2)], &["a", "b"], &options.with_minimum_size(3)),
            GroupMetrics::weighted(
                &[true],
                &[true],
                &[1.0],
                &[SensitiveFeature::new("group", &[0], ["a", "b"])],
                &options,
            )
            .unwrap(),
        ];
        for other in others {
            assert!(matches!(groups.merge(&other), Err(StatsError::Incompatible { .. })));
            assert_eq!(groups, before);
        }
    }
}
