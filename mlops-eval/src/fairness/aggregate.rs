//! One metric in every group, and what the groups add up to.

use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::group::{Group, GroupStatus};
use super::measure::Measure;
use super::options::{Comparison, FairnessOptions, LoneGroup};
use crate::catalog::Direction;
use crate::interval::Interval;

/// A metric in one group.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupValue {
    /// Who.
    pub group: Group,
    /// The number of rows, whatever their weights.
    pub rows: u64,
    /// The weight of the rows; their number where rows have no weights.
    pub weight: f64,
    /// Whether the group is judged.
    pub status: GroupStatus,
    /// The metric; undefined with [`UndefinedReason::TooFew`] unless the group is judged.
    pub value: Measured,
    /// Numerator and denominator, for a metric that is a share of rows; weights where rows have weights.
    pub share: Option<(f64, f64)>,
    /// The interval of the share, made as [`FairnessOptions::rate_interval`] says; for rows without weights.
    pub interval: Option<Interval>,
}

/// A metric in every group and in all rows together.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricByGroup {
    /// Which metric.
    pub metric: Measure,
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

/// The value of one group that stands out, with the groups that were not looked at.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Extreme {
    /// Who; the first of several with the same value, nobody when no group has a value.
    pub group: Option<Group>,
    /// The value.
    pub value: Measured,
    /// The groups that were not compared.
    pub left_out: Vec<LeftOut>,
}

/// One group against another, or against everybody else; signed.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contrast {
    /// Who.
    pub group: Group,
    /// The metric in the group.
    pub value: Measured,
    /// The metric of those it is compared with.
    pub against: Measured,
    /// `value` minus `against`; undefined when one of them is.
    pub difference: Measured,
    /// `value` over `against`, from 0 and without an upper end; `None` for a metric that can be negative.
    pub ratio: Option<Measured>,
}

/// A metric of every group against one reference, or against the rest.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contrasts {
    /// Which metric.
    pub metric: Measure,
    /// The group all are compared with; `None` where each is compared with all others together.
    pub reference: Option<Group>,
    /// The groups that have rows, or were announced, in order; without the reference.
    pub contrasts: Vec<Contrast>,
    /// The groups, the reference among them, whose value is not there to compare.
    pub left_out: Vec<LeftOut>,
}

impl Contrasts {
    /// Whether every group could be compared.
    ///
    /// ```
    /// use mlops_eval::classification::LabelMetric;
    /// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, SensitiveFeature};
    ///
    /// let sex = SensitiveFeature::from_values("sex", &["f", "m"]);
    /// let groups = GroupMetrics::of(&[true, false], &[true, true], &[sex], &FairnessOptions::default())?;
    /// assert!(!groups.by_group(LabelMetric::Recall).against_reference(&["m"])?.is_complete());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_complete(&self) -> bool {
        self.left_out.is_empty()
    }
}

pub(super) const NO_REFERENCE: StatsError =
    StatsError::Unsupported { what: "the reference group", reason: "no group has these categories" };

/// Nobody belongs to a vacant combination, so there is nobody to compare.
pub(super) fn is_there(group: &GroupValue) -> bool {
    group.status != GroupStatus::Vacant
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
        if !self.metric.is_non_negative() {
            let reason = "a ratio has no meaning for a metric that can be negative";
            return Err(StatsError::Unsupported { what: self.metric.static_name(), reason });
        }
        let below_one = |a: f64, b: f64| Measured::ratio(a.min(b), a.max(b)).value();
        Ok(self.compare(comparison, below_one, f64::min))
    }

    /// The value of the group that is treated worst, and who that is: the smallest value of a metric that should be high, the
    /// largest of one that should be low.
    ///
    /// ```
    /// use mlops_eval::classification::LabelMetric;
    /// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, SensitiveFeature};
    ///
    /// let group = SensitiveFeature::from_values("group", &["a", "a", "b", "b"]);
    /// let groups =
    ///     GroupMetrics::of(&[true; 4], &[true, true, true, false], &[group], &FairnessOptions::fairlearn_0_15())?;
    /// let worst = groups.by_group(LabelMetric::FalseNegativeRate).worst()?;
    /// assert_eq!((worst.group.unwrap().to_string(), worst.value.value()), ("group=b".to_owned(), Some(0.5)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Unsupported`] for a metric of which neither end is better.
    pub fn worst(&self) -> Result<Extreme, StatsError> {
        let (extreme, of_lowest) = match self.metric.direction() {
            Direction::HigherIsBetter => (self.min(), true),
            Direction::LowerIsBetter => (self.max(), false),
            Direction::Neither => {
                let reason = "neither end of this metric is better";
                return Err(StatsError::Unsupported { what: "the worst-off group", reason });
            }
        };
        let group = if of_lowest { extreme.lowest } else { extreme.highest };
        Ok(Extreme { group, value: extreme.value, left_out: extreme.left_out })
    }

    /// The value of the group with these categories, in the order of the features.
    ///
    /// ```
    /// use mlops_eval::classification::LabelMetric;
    /// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, SensitiveFeature};
    ///
    /// let group = SensitiveFeature::from_values("group", &["a", "b"]);
    /// let groups = GroupMetrics::of(&[true; 2], &[true, false], &[group], &FairnessOptions::fairlearn_0_15())?;
    /// let recall = groups.by_group(LabelMetric::Recall);
    /// assert_eq!(recall.get(&["b"]).and_then(|group| group.value.value()), Some(0.0));
    /// assert_eq!(recall.get(&["c"]), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get(&self, categories: &[&str]) -> Option<&GroupValue> {
        self.groups.iter().find(|group| group.group.is(categories))
    }

    /// Every other group minus a reference group, signed: negative where the group has less than the reference. The reference
    /// is named by its categories, in the order of the features.
    ///
    /// AIF360 0.6.1's "unprivileged minus privileged" is the difference for the privileged group as reference, and its ratio
    /// the ratio, which may exceed 1.
    ///
    /// ```
    /// use mlops_eval::classification::LabelMetric;
    /// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, SensitiveFeature};
    ///
    /// let sex = SensitiveFeature::from_values("sex", &["f", "f", "m", "m"]);
    /// let y_pred = [true, false, true, true];
    /// let groups = GroupMetrics::of(&y_pred, &y_pred, &[sex], &FairnessOptions::fairlearn_0_15())?;
    /// let against = groups.by_group(LabelMetric::SelectionRate).against_reference(&["m"])?;
    /// assert_eq!(against.contrasts[0].difference.value(), Some(-0.5));
    /// assert_eq!(against.contrasts[0].ratio.and_then(|ratio| ratio.value()), Some(0.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Unsupported`] when no group has these categories.
    pub fn against_reference(&self, categories: &[&str]) -> Result<Contrasts, StatsError> {
        let reference = self.get(categories).ok_or(NO_REFERENCE)?;
        let others = self.groups.iter().filter(|group| group.group != reference.group && is_there(group));
        Ok(Contrasts {
            metric: self.metric.clone(),
            contrasts: others.map(|group| self.contrast(group, reference.value)).collect(),
            reference: Some(reference.group.clone()),
            left_out: self.left_out(),
        })
    }

    pub(super) fn contrast(&self, group: &GroupValue, against: Measured) -> Contrast {
        let both = |f: &dyn Fn(f64, f64) -> Measured| match (group.value, against) {
            (Measured::Value(a), Measured::Value(b)) => f(a, b),
            (undefined @ Measured::Undefined(_), _) | (_, undefined) => undefined,
        };
        Contrast {
            group: group.group.clone(),
            value: group.value,
            against,
            difference: both(&|a, b| Measured::Value(a - b)),
            ratio: self.metric.is_non_negative().then(|| both(&Measured::finite_ratio)),
        }
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

    pub(super) fn left_out(&self) -> Vec<LeftOut> {
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
