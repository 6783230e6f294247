//! At which intervals a policy of Azure ML's is evaluated.

use serde::{Deserialize, Serialize};

/// At which intervals a policy of Azure ML's is evaluated: at every interval i that is a multiple of `evaluation_interval` and
/// at least `delay_evaluation`. An interval is one report of the metric, counted from 1.
///
/// An `evaluation_interval` of 0, which the SDK sends when none was given, is 1.
///
/// ```
/// use mlops_core::experiment::stopping::EvaluationSchedule;
/// let schedule = EvaluationSchedule::default().with_evaluation_interval(2).with_delay_evaluation(5);
/// let due: Vec<u64> = (1..=10).filter(|i| schedule.is_due(*i)).collect();
/// assert_eq!(due, [6, 8, 10]);
/// ```
///
/// ```
/// use mlops_core::experiment::stopping::EvaluationSchedule;
///
/// let schedule = EvaluationSchedule::default().with_evaluation_interval(2).with_delay_evaluation(5);
/// assert_eq!((schedule.evaluation_interval, schedule.delay_evaluation), (2, 5));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluationSchedule {
    /// The distance between evaluations. Default 1.
    pub evaluation_interval: u64,
    /// The interval before which nothing is evaluated. Default 0.
    pub delay_evaluation: u64,
}

impl Default for EvaluationSchedule {
    fn default() -> Self {
        Self { evaluation_interval: 1, delay_evaluation: 0 }
    }
}

impl EvaluationSchedule {
    /// With this distance between evaluations.
    #[must_use]
    pub fn with_evaluation_interval(mut self, evaluation_interval: u64) -> Self {
        self.evaluation_interval = evaluation_interval;
        self
    }

    /// With nothing evaluated before this interval.
    #[must_use]
    pub fn with_delay_evaluation(mut self, delay_evaluation: u64) -> Self {
        self.delay_evaluation = delay_evaluation;
        self
    }

    /// Whether the policy is evaluated at an interval, counted from 1.
    pub const fn is_due(self, interval: u64) -> bool {
        interval > 0 && self.is_multiple(interval) && interval >= self.delay_evaluation
    }

    const fn is_multiple(self, interval: u64) -> bool {
        self.evaluation_interval == 0 || interval.is_multiple_of(self.evaluation_interval)
    }
}
