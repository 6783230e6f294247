//! Criteria of group fairness that have a name, beside those of demographic parity and of odds.

use mlops_core::num::{Measured, StatsError};
use serde::{Deserialize, Serialize};

use super::aggregate::{Aggregate, Contrasts, LeftOut, MetricByGroup};
use super::group::Group;
use super::measure::CustomMetric;
use super::metrics::GroupMetrics;
use crate::catalog::Direction;
use crate::classification::{LabelMetric, WeightedConfusion};

/// The share of the highest selection rate below which the Uniform Guidelines on Employee Selection Procedures (29 CFR
/// 1607.4 D, 1978) see adverse impact: four fifths. A convention, not a test.
pub const FOUR_FIFTHS: f64 = 0.8;

/// What the four-fifths rule says.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FourFifths {
    /// Every group is selected at four fifths of the highest rate or more.
    Met,
    /// At least one group is selected less often: adverse impact.
    AdverseImpact,
    /// No group that is judged falls short, but some could not be judged, or nobody is selected.
    Undetermined,
}

/// The selection rate of one group against the highest.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImpactRatio {
    /// Who.
    pub group: Group,
    /// The group's selection rate.
    pub selection_rate: f64,
    /// Over the highest selection rate, in [0, 1].
    pub ratio: f64,
    /// Whether it is below [`FOUR_FIFTHS`].
    pub adverse: bool,
}

/// Disparate impact: how often groups are selected, against the group that is selected most often.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DisparateImpact {
    /// The smallest ratio, with the groups it is made of.
    pub ratio: Aggregate,
    /// What the four-fifths rule says.
    pub verdict: FourFifths,
    /// Every group that is judged.
    pub groups: Vec<ImpactRatio>,
}

/// How far apart the odds of a group and of a reference group are, by AIF360's definitions.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OddsContrast {
    /// Who.
    pub group: Group,
    /// The mean of the differences in false and in true positive rate, group minus reference; in [−1, 1]. Differences of
    /// opposite sign cancel.
    pub average_difference: Measured,
    /// The mean of their absolute values, in [0, 1]: nothing cancels.
    pub average_absolute: Measured,
}

/// The odds of every group against those of one reference group.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AverageOdds {
    /// The group all are compared with.
    pub reference: Group,
    /// The other groups, in order.
    pub groups: Vec<OddsContrast>,
    /// The groups without a true or without a false positive rate; named once for each.
    pub left_out: Vec<LeftOut>,
}

impl GroupMetrics {
    /// How far the precisions of the groups are apart: 0 is predictive parity (Chouldechova 2017).
    ///
    /// ```
    /// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, SensitiveFeature};
    ///
    /// let group = SensitiveFeature::from_values("group", &["a", "a", "b", "b"]);
    /// let (y_true, y_pred) = ([true, false, true, true], [true; 4]);
    /// let groups = GroupMetrics::of(&y_true, &y_pred, &[group], &FairnessOptions::fairlearn_0_15())?;
    /// assert_eq!(groups.predictive_parity_difference().value.value(), Some(0.5));
    /// assert_eq!(groups.predictive_parity_ratio().value.value(), Some(0.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn predictive_parity_difference(&self) -> Aggregate {
        self.by_group(LabelMetric::Precision).difference()
    }

    /// The smallest precision over the largest: 1 is predictive parity.
    pub fn predictive_parity_ratio(&self) -> Aggregate {
        self.share_ratio(LabelMetric::Precision)
    }

    /// How far the false omission rates of the groups are apart: with predictive parity, 0 is conditional use accuracy
    /// equality (Berk et al. 2018).
    ///
    /// ```
    /// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, SensitiveFeature};
    ///
    /// let group = SensitiveFeature::from_values("group", &["a", "a", "b", "b"]);
    /// let (y_true, y_pred) = ([true, false, true, true], [false; 4]);
    /// let groups = GroupMetrics::of(&y_true, &y_pred, &[group], &FairnessOptions::fairlearn_0_15())?;
    /// assert_eq!(groups.false_omission_rate_difference().value.value(), Some(0.5));
    /// assert_eq!(groups.false_omission_rate_ratio().value.value(), Some(0.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn false_omission_rate_difference(&self) -> Aggregate {
        self.by_group(LabelMetric::FalseOmissionRate).difference()
    }

    /// The smallest false omission rate over the largest.
    pub fn false_omission_rate_ratio(&self) -> Aggregate {
        self.share_ratio(LabelMetric::FalseOmissionRate)
    }

    /// How far the accuracies of the groups are apart: 0 is overall accuracy equality (Berk et al. 2018). The difference of the
    /// error rates is the same number.
    pub fn accuracy_equality_difference(&self) -> Aggregate {
        self.by_group(LabelMetric::Accuracy).difference()
    }

    /// The smallest accuracy over the largest.
    pub fn accuracy_equality_ratio(&self) -> Aggregate {
        self.share_ratio(LabelMetric::Accuracy)
    }

    /// The share of rows predicted wrong, (FP + FN) / n, in every group.
    ///
    /// ```
    /// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, SensitiveFeature};
    ///
    /// let group = SensitiveFeature::from_values("group", &["a", "a", "b", "b"]);
    /// let (y_true, y_pred) = ([true, false, true, true], [true, true, false, false]);
    /// let groups = GroupMetrics::of(&y_true, &y_pred, &[group], &FairnessOptions::fairlearn_0_15())?;
    /// assert_eq!(groups.error_rates().groups[0].share, Some((1.0, 2.0)));
    /// assert_eq!(groups.error_rate_difference().value.value(), Some(0.5));
    /// assert_eq!(groups.error_rate_ratio().value.value(), Some(0.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn error_rates(&self) -> MetricByGroup {
        let metric = CustomMetric::new("error_rate", Direction::LowerIsBetter).with_non_negative(true);
        let share =
            |cells: &WeightedConfusion| (cells.false_positives() + cells.false_negatives(), cells.total());
        let value = |cells: &WeightedConfusion| {
            let (wrong, all) = share(cells);
            Measured::ratio(wrong, all).map(|rate| rate.min(1.0))
        };
        self.by_cells(metric.into(), value, |cells| Some(share(cells)))
    }

    /// How far the error rates of the groups are apart.
    pub fn error_rate_difference(&self) -> Aggregate {
        self.error_rates().difference()
    }

    /// The smallest error rate over the largest.
    pub fn error_rate_ratio(&self) -> Aggregate {
        ratio_of(&self.error_rates())
    }

    /// False negatives for each false positive, FN / FP, in every group; from 0 without an upper end, neither end better.
    /// Undefined in a group without false positives.
    pub fn treatment(&self) -> MetricByGroup {
        let metric = CustomMetric::new("false_negatives_per_false_positive", Direction::Neither);
        let value =
            |cells: &WeightedConfusion| Measured::ratio(cells.false_negatives(), cells.false_positives());
        self.by_cells(metric.with_non_negative(true).into(), value, |_| None)
    }

    /// How far the ratios of false negatives to false positives are apart: 0 is treatment equality (Berk et al. 2018).
    ///
    /// ```
    /// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, SensitiveFeature};
    ///
    /// let group = SensitiveFeature::from_values("group", &["a", "a", "b", "b", "b"]);
    /// let y_true = [true, false, true, true, false];
    /// let y_pred = [false, true, false, false, true];
    /// let groups = GroupMetrics::of(&y_true, &y_pred, &[group], &FairnessOptions::fairlearn_0_15())?;
    /// assert_eq!(groups.treatment_equality_difference().value.value(), Some(1.0));
    /// assert_eq!(groups.treatment_equality_ratio().value.value(), Some(0.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn treatment_equality_difference(&self) -> Aggregate {
        self.treatment().difference()
    }

    /// The smallest FN / FP over the largest.
    pub fn treatment_equality_ratio(&self) -> Aggregate {
        ratio_of(&self.treatment())
    }

    /// The selection rate of every group over the highest one, judged by the four-fifths rule.
    ///
    /// Groups are compared with each other whatever [`FairnessOptions::comparison`](super::FairnessOptions::comparison) says: so
    /// the rule is written. 0.8 itself is enough. AIF360 0.6.1's `disparate_impact` of an unprivileged and a privileged group is
    /// the ratio of [`against_reference`](MetricByGroup::against_reference).
    ///
    /// ```
    /// use mlops_eval::fairness::{FairnessOptions, FourFifths, GroupMetrics, SensitiveFeature};
    ///
    /// let group = SensitiveFeature::from_values("group", &["a", "a", "b", "b"]);
    /// let y_pred = [true, true, true, false];
    /// let groups = GroupMetrics::of(&y_pred, &y_pred, &[group], &FairnessOptions::fairlearn_0_15())?;
    /// let impact = groups.disparate_impact();
    /// assert_eq!((impact.ratio.value.value(), impact.verdict), (Some(0.5), FourFifths::AdverseImpact));
    /// assert!(!impact.groups[0].adverse && impact.groups[1].adverse);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn disparate_impact(&self) -> DisparateImpact {
        let rates = self.by_group(LabelMetric::SelectionRate);
        let ratio = match rates.ratio_with(super::Comparison::BetweenGroups) {
            Ok(ratio) => ratio,
            // A rate is never negative, so its ratio is not refused.
            Err(_) => rates.min(),
        };
        let highest = rates.max().value.value().filter(|highest| *highest > 0.0);
        let judged = rates.groups.iter().filter(|group| group.status == super::GroupStatus::Judged);
        let impact = |group: &super::GroupValue| {
            let (selection_rate, highest) = (group.value.value()?, highest?);
            let ratio = selection_rate / highest;
            // Shares of decimal fractions fall an ulp or two short of what they are on paper.
            let adverse = FOUR_FIFTHS - ratio > 4.0 * f64::EPSILON;
            Some(ImpactRatio { group: group.group.clone(), selection_rate, ratio, adverse })
        };
        let groups: Vec<ImpactRatio> = judged.filter_map(impact).collect();
        let verdict = if groups.iter().any(|group| group.adverse) {
            FourFifths::AdverseImpact
        } else if ratio.value.value().is_some() && ratio.is_complete() {
            FourFifths::Met
        } else {
            FourFifths::Undetermined
        };
        DisparateImpact { ratio, verdict, groups }
    }

    /// The average odds of every group against a reference group, by AIF360's definitions (`average_odds_difference`,
    /// `average_abs_odds_difference`), for the privileged group as reference. The reference is named by its categories.
    ///
    /// ```
    /// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, SensitiveFeature};
    ///
    /// let sex = SensitiveFeature::from_values("sex", &["f", "f", "m", "m"]);
    /// let (y_true, y_pred) = ([true, false, true, false], [true, true, true, false]);
    /// let groups = GroupMetrics::of(&y_true, &y_pred, &[sex], &FairnessOptions::fairlearn_0_15())?;
    /// let odds = groups.average_odds(&["m"])?;
    /// assert_eq!(odds.groups[0].average_difference.value(), Some(0.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Unsupported`] when no group has these categories.
    pub fn average_odds(&self, reference: &[&str]) -> Result<AverageOdds, StatsError> {
        let against = |metric| self.by_group(metric).against_reference(reference);
        let (hits, alarms) = (against(LabelMetric::Recall)?, against(LabelMetric::FalsePositiveRate)?);
        let pairs = hits.contrasts.iter().zip(&alarms.contrasts);
        let groups = pairs.map(|(hit, alarm)| {
            let both = |f: fn(f64) -> f64| match (hit.difference, alarm.difference) {
                (Measured::Value(a), Measured::Value(b)) => Measured::Value(f(a).midpoint(f(b))),
                (undefined @ Measured::Undefined(_), _) | (_, undefined) => undefined,
            };
            OddsContrast {
                group: hit.group.clone(),
                average_difference: both(|difference| difference),
                average_absolute: both(f64::abs),
            }
        });
        let groups = groups.collect();
        let Contrasts { reference: Some(reference), mut left_out, .. } = hits else {
            return Err(super::aggregate::NO_REFERENCE);
        };
        left_out.extend(alarms.left_out);
        Ok(AverageOdds { reference, groups, left_out })
    }
}

/// The ratio of a metric that is known not to be negative.
fn ratio_of(by_group: &MetricByGroup) -> Aggregate {
    by_group.ratio().unwrap_or_else(|_| by_group.difference())
}
