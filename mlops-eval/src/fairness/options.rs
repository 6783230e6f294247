//! The choices behind a fairness number.

use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

use crate::classification::ZeroDivision;
use crate::interval::{CONFIDENCE, RateInterval, check_confidence};

/// What a group is compared with.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// The best group with the worst: largest minus smallest value, smallest over largest. The default.
    #[default]
    BetweenGroups,
    /// Each group with all rows together, whatever their group; the worst group counts.
    ToOverall,
}

/// How equalized odds combines true and false positive rates.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OddsAggregation {
    /// The worse of the two. The default.
    #[default]
    WorstCase,
    /// Their mean.
    Mean,
}

/// What equalized odds is when only one of its two comparisons has a value.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HalfOdds {
    /// Undefined: half of the criterion can look perfect. The default.
    #[default]
    Undefined,
    /// The other one.
    Skip,
}

/// What comparing a single group gives.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoneGroup {
    /// Nothing: there is no second group to compare with. The default.
    #[default]
    Undefined,
    /// Equality with itself: difference 0, ratio 1.
    Equal,
}

/// The choices behind a fairness number. The default is the defensible one; [`fairlearn_0_15`](Self::fairlearn_0_15)
/// reproduces that tool.
///
/// ```
/// use mlops_eval::fairness::{Comparison, FairnessOptions};
///
/// let options = FairnessOptions::default().with_comparison(Comparison::ToOverall).with_minimum_size(30);
/// assert_eq!((options.minimum_size, options.confidence), (30, 0.95));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FairnessOptions {
    /// The fewest rows of a group that is judged. Default 10: the 95 % interval of a rate of one half is then half as
    /// wide as the whole scale, and with fewer rows it says even less. A convention; the intervals say what larger
    /// groups can tell.
    pub minimum_size: u64,
    /// The confidence of the interval beside each rate, above 0 and below 1. Default 0.95.
    pub confidence: f64,
    /// What a rate without a denominator becomes. Default: it stays undefined.
    pub zero_division: ZeroDivision,
    /// What comparing a single group gives. Default: nothing.
    pub lone_group: LoneGroup,
    /// What a group is compared with. Default: the other groups.
    pub comparison: Comparison,
    /// How equalized odds combines its two rates. Default: the worse one.
    pub odds: OddsAggregation,
    /// What equalized odds is when only one of its two comparisons has a value. Default: undefined.
    #[serde(default)]
    pub half_odds: HalfOdds,
    /// How the interval beside each rate is made. Default: Wilson's.
    #[serde(default)]
    pub rate_interval: RateInterval,
}

impl Default for FairnessOptions {
    fn default() -> Self {
        Self {
            minimum_size: 10,
            confidence: CONFIDENCE,
            zero_division: ZeroDivision::Undefined,
            lone_group: LoneGroup::Undefined,
            comparison: Comparison::BetweenGroups,
            odds: OddsAggregation::WorstCase,
            half_odds: HalfOdds::Undefined,
            rate_interval: RateInterval::Wilson,
        }
    }
}

impl FairnessOptions {
    /// Fairlearn 0.15.0's choices: groups of any size, a rate 0/0 is 0, a lone group equals itself, groups without a value
    /// are passed over, and so is the half of equalized odds that has none.
    ///
    /// Agrees with it to 1e-12 wherever it returns a number; where it returns NaN (a ratio of two rates that are 0) the value
    /// is undefined. Two of its habits are worth knowing: a rate without a denominator is 0 without a word, which can make
    /// equal opportunity look as unfair as it can be; and a ratio of a metric that can be negative leaves [0, 1] there, while
    /// it is refused here under all options.
    ///
    /// ```
    /// use mlops_eval::fairness::{FairnessOptions, SensitiveFeature, equal_opportunity_difference};
    ///
    /// // Group b has no positives. Fairlearn calls its true positive rate 0, and the difference the largest there is.
    /// let group = SensitiveFeature::from_values("group", &["a", "a", "b", "b"]);
    /// let (y_true, y_pred) = ([true, false, false, false], [true, false, true, false]);
    /// let compat = FairnessOptions::fairlearn_0_15();
    /// let difference = equal_opportunity_difference(&y_true, &y_pred, &[group], &compat)?;
    /// assert_eq!(difference.value.value(), Some(1.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn fairlearn_0_15() -> Self {
        Self {
            minimum_size: 1,
            zero_division: ZeroDivision::Zero,
            lone_group: LoneGroup::Equal,
            half_odds: HalfOdds::Skip,
            ..Self::default()
        }
    }

    /// Sets [`Self::minimum_size`].
    #[must_use]
    pub fn with_minimum_size(mut self, minimum_size: u64) -> Self {
        self.minimum_size = minimum_size;
        self
    }

    /// Sets [`Self::confidence`].
    #[must_use]
    pub fn with_confidence(mut self, confidence: f64) -> Self {
        self.confidence = confidence;
        self
    }

    /// Sets [`Self::zero_division`].
    #[must_use]
    pub fn with_zero_division(mut self, zero_division: ZeroDivision) -> Self {
        self.zero_division = zero_division;
        self
    }

    /// Sets [`Self::lone_group`].
    #[must_use]
    pub fn with_lone_group(mut self, lone_group: LoneGroup) -> Self {
        self.lone_group = lone_group;
        self
    }

    /// Sets [`Self::comparison`].
    #[must_use]
    pub fn with_comparison(mut self, comparison: Comparison) -> Self {
        self.comparison = comparison;
        self
    }

    /// Sets [`Self::odds`].
    #[must_use]
    pub fn with_odds(mut self, odds: OddsAggregation) -> Self {
        self.odds = odds;
        self
    }

    /// Sets [`Self::half_odds`].
    #[must_use]
    pub fn with_half_odds(mut self, half_odds: HalfOdds) -> Self {
        self.half_odds = half_odds;
        self
    }

    /// Sets [`Self::rate_interval`].
    ///
    /// ```
    /// use mlops_eval::classification::LabelMetric;
    /// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, SensitiveFeature};
    /// use mlops_eval::interval::{Rate, RateInterval, rate_interval};
    ///
    /// let group = SensitiveFeature::from_values("group", &["a"; 12]);
    /// let options = FairnessOptions::default().with_rate_interval(RateInterval::ClopperPearson);
    /// let groups = GroupMetrics::of(&[true; 12], &[true; 12], &[group], &options)?;
    /// let exact = rate_interval(Rate::new(12, 12)?, 0.95, RateInterval::ClopperPearson)?;
    /// assert_eq!(groups.by_group(LabelMetric::Recall).groups[0].interval, Some(exact));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_rate_interval(mut self, rate_interval: RateInterval) -> Self {
        self.rate_interval = rate_interval;
        self
    }

    pub(crate) fn check(&self) -> Result<(), StatsError> {
        check_confidence(self.confidence)
    }
}
