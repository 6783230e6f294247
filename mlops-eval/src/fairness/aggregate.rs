//! One metric in every group, and what the groups add up to.

use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::group::{Group, GroupStatus};
use super::options::{Comparison, FairnessOptions, LoneGroup};
use crate::catalog::Metric;
use crate::interval::Interval;

/// A metric in one group.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupValue {
    /// Who.
    pub group: Group,
    /// The number of rows, whatever their weights.
    pub rows: u64,
    /// Whether the group is judged.
    pub status: GroupStatus,
    /// The metric; undefined with [`UndefinedReason::TooFew`] unless the group is judged.
    pub value: Measured,
    /// Numerator and denominator, for a metric that is a share of rows; weights where rows have weights.
    pub share: Option<(f64, f64)>,
    /// The Wilson interval of the share, for rows without weights.
    pub interval: Option<Interval>,
}

/// A metric in every group and in all rows together.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricByGroup {
    /// Which metric.
    pub metric: Metric,
    /// The metric of all rows, those of groups that are not judged included.
    pub overall: Measured,
    /// The groups, the last feature varying fastest.
    pub groups: Vec<GroupValue>,
    /// The choices made.
    pub options: FairnessOptions,
}

/// A number made of several groups, with the groups it is not made of.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Aggregate {
    /// The number.
    pub value: Measured,
    /// The group with the smallest value, among those compared; the first of several.
    pub lowest: Option<Group>,
    /// The group with the largest value, among those compared; the first of several.
    pub highest: Option<Group>,
    /// The groups that were not compared. Combinations nobody belongs to ([`GroupStatus::Vacant`]) are not among them.
    pub left_out: Vec<LeftOut>,
}

impl Aggregate {
    /// Whether every group took part. A value that is not complete cannot show that all groups are treated alike.
    ///
    /// ```
    /// use mlops_eval::fairness::{FairnessOptions, SensitiveFeature, equal_opportunity_difference};
    ///
    /// // Group c has no positives, hence no true positive rate.
    /// let group = SensitiveFeature::from_values("group", &["a", "b", "c"]);
    /// let options = FairnessOptions::default().with_minimum_size(1);
    /// let difference =
    ///     equal_opportunity_difference(&[true, true, false], &[true, true, true], &[group], &options)?;
    /// assert_eq!(difference.value.value(), Some(0.0));
    /// assert!(!difference.is_complete());
    /// assert_eq!(difference.left_out[0].group.to_string(), "group=c");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_complete(&self) -> bool {
        self.left_out.is_empty()
    }
}

/// A group that an [`Aggregate`] does not compare.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Who.
    pub group: Group,
    /// The number of rows.
    pub rows: u64,
    /// Why.
    pub reason: LeftOutReason,
}

/// Why a group is not compared.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOutReason {
    /// Fewer rows than [`FairnessOptions::minimum_size`].
    TooSmall,
    /// No rows at all, of a category that was announced.
    Absent,
    /// Enough rows, but the metric has no value in the group.
    Undefined,
}

/// A group that takes part.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    group: &'a Group,
    value: f64,
}

impl MetricByGroup {
    /// The smallest value of a group; undefined when no group has one.
    ///
    /// ```
    /// use mlops_eval::classification::LabelMetric;
    /// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, SensitiveFeature};
    ///
    /// let group = SensitiveFeature::from_values("group", &["a", "a", "b", "b"]);
    /// let labels = [true, true, true, false];
    /// let groups = GroupMetrics::of(&labels, &labels, &[group], &FairnessOptions::fairlearn_0_15())?;
    /// let rates = groups.by_group(LabelMetric::SelectionRate);
    /// assert_eq!(rates.min().value.value(), Some(0.5));
    /// assert_eq!(rates.max().value.value(), Some(1.0));
    /// assert_eq!(rates.difference().value.value(), Some(0.5));
    /// assert_eq!(rates.ratio()?.value.value(), Some(0.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn min(&self) -> Aggregate {
        self.aggregate(1, |compared| extreme(compared, |a, b| a < b))
    }

    /// The largest value of a group; undefined when no group has one.
    pub fn max(&self) -> Aggregate {
        self.aggregate(1, |compared| extreme(compared, |a, b| a > b))
    }

    /// How far the groups are apart, as [`FairnessOptions::comparison`] says.
    ///
    /// Between groups: largest minus smallest value. To overall: the largest |group − overall|. At least 0; 0 is equality.
    pub fn difference(&self) -> Aggregate {
        self.difference_with(self.options.comparison)
    }

    /// [`difference`](Self::difference) with another comparison.
    ///
    /// ```
    /// use mlops_eval::classification::LabelMetric;
    /// use mlops_eval::fairness::{Comparison, FairnessOptions, GroupMetrics, SensitiveFeature};
    ///
    /// let group = SensitiveFeature::from_values("group", &["a", "a", "b", "b"]);
    /// let labels = [true, true, true, false];
    /// let groups = GroupMetrics::of(&labels, &labels, &[group], &FairnessOptions::fairlearn_0_15())?;
    /// let to_overall = groups.by_group(LabelMetric::SelectionRate).difference_with(Comparison::ToOverall);
    /// assert_eq!(to_overall.value.value(), Some(0.25));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn difference_with(&self, comparison: Comparison) -> Aggregate {
        self.compare(comparison, |a, b| Some((a - b).abs()), f64::max)
    }

    /// How far the groups are apart in proportion, as [`FairnessOptions::comparison`] says.
    ///
    /// Between groups: smallest over largest value. To overall: the smallest of group over overall, or of its
    /// reciprocal where that is smaller. In [0, 1]; 1 is equality. Undefined when all values are 0.
    ///
    /// # Errors
    /// [`StatsError::Unsupported`] for a metric that can be negative.
    pub fn ratio(&self) -> Result<Aggregate, StatsError> {
        self.ratio_with(self.options.comparison)
    }

    /// [`ratio`](Self::ratio) with another comparison.
    ///
    /// ```
    /// use mlops_eval::classification::LabelMetric;
    /// use mlops_eval::fairness::{Comparison, FairnessOptions, GroupMetrics, SensitiveFeature};
    ///
    /// let group = SensitiveFeature::from_values("group", &["a", "a", "b", "b"]);
    /// let labels = [true, true, true, false];
    /// let groups = GroupMetrics::of(&labels, &labels, &[group], &FairnessOptions::fairlearn_0_15())?;
    /// let to_overall = groups.by_group(LabelMetric::SelectionRate).ratio_with(Comparison::ToOverall)?;
    /// assert_eq!(to_overall.value.value(), Some(0.5 / 0.75));
    /// assert!(groups.by_group(LabelMetric::Mcc).ratio().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`ratio`](Self::ratio).
    pub fn ratio_with(&self, comparison: Comparison) -> Result<Aggregate, StatsError> {
        if self.metric.range().0 < 0.0 {
            let reason = "a ratio has no meaning for a metric that can be negative";
            return Err(StatsError::Unsupported { what: self.metric.name(), reason });
        }
        let below_one = |a: f64, b: f64| Measured::ratio(a.min(b), a.max(b)).value();
        Ok(self.compare(comparison, below_one, f64::min))
    }

    /// Compares each group with what `comparison` names; `worse` picks among the results.
    fn compare(
        &self,
        comparison: Comparison,
        distance: impl Fn(f64, f64) -> Option<f64>,
        worse: impl Fn(f64, f64) -> f64,
    ) -> Aggregate {
        let needed = match self.options.lone_group {
            LoneGroup::Undefined => 2,
            LoneGroup::Equal => 1,
        };
        self.aggregate(needed, |compared| {
            let against = match comparison {
                Comparison::BetweenGroups => extreme(compared, |a, b| a > b).value(),
                Comparison::ToOverall => self.overall.value(),
            };
            let Some(against) = against else { return self.overall };
            let distances = compared.iter().filter_map(|candidate| distance(candidate.value, against));
            // Only a ratio has no distance, and only where both sides are 0.
            distances.reduce(worse).map_or(Measured::ratio(0.0, 0.0), Measured::Value)
        })
    }

    fn aggregate(&self, needed: usize, combine: impl FnOnce(&[Candidate<'_>]) -> Measured) -> Aggregate {
        let compared = self.candidates();
        let value = match compared.len() {
            0 => Measured::none(UndefinedReason::NothingDefined, 0, needed),
            have if have < needed => Measured::none(UndefinedReason::TooFew, have, needed),
            _ => combine(&compared),
        };
        let first = |better: fn(f64, f64) -> bool| {
            let mut best: Option<Candidate<'_>> = None;
            for &candidate in &compared {
                if best.is_none_or(|best| better(candidate.value, best.value)) {
                    best = Some(candidate);
                }
            }
            best.map(|candidate| candidate.group.clone())
        };
        Aggregate {
            value,
            lowest: first(|a, b| a < b),
            highest: first(|a, b| a > b),
            left_out: self.left_out(),
        }
    }

    fn candidates(&self) -> Vec<Candidate<'_>> {
        let judged = self.groups.iter().filter(|group| group.status == GroupStatus::Judged);
        judged
            .filter_map(|group| Some(Candidate { group: &group.group, value: group.value.value()? }))
            .collect()
    }

    fn left_out(&self) -> Vec<LeftOut> {
        let reason = |group: &GroupValue| match group.status {
            GroupStatus::TooSmall => Some(LeftOutReason::TooSmall),
            GroupStatus::Absent => Some(LeftOutReason::Absent),
            GroupStatus::Judged if group.value.value().is_none() => Some(LeftOutReason::Undefined),
            GroupStatus::Judged | GroupStatus::Vacant => None,
        };
        let left_out = |group: &GroupValue| {
            Some(LeftOut { group: group.group.clone(), rows: group.rows, reason: reason(group)? })
        };
        self.groups.iter().filter_map(left_out).collect()
    }
}

fn extreme(compared: &[Candidate<'_>], better: impl Fn(f64, f64) -> bool) -> Measured {
    let values = compared.iter().map(|candidate| candidate.value);
    let best = values.reduce(|best, value| if better(value, best) { value } else { best });
    best.map_or(Measured::none(UndefinedReason::NothingDefined, 0, 1), Measured::Value)
}
