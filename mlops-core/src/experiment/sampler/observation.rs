//! What earlier trials showed.

use serde::{Deserialize, Serialize};

use crate::experiment::space::Assignment;
use crate::problem::Direction;

/// Which way the objective is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Smaller is better.
    Minimize,
    /// Greater is better.
    Maximize,
}

impl Goal {
    /// Whether `a` is better than `b`. A NaN is never better, and every number is better than a NaN.
    ///
    /// ```
    /// use mlops_core::experiment::sampler::Goal;
    /// assert!(Goal::Minimize.is_better(1.0, 2.0));
    /// assert!(Goal::Maximize.is_better(1.0, f64::NAN));
    /// ```
    pub fn is_better(self, a: f64, b: f64) -> bool {
        self.loss(a) < self.loss(b) || (b.is_nan() && !a.is_nan())
    }

    /// The value, turned so that smaller is better.
    ///
    /// ```
    /// use mlops_core::experiment::sampler::Goal;
    /// assert_eq!(Goal::Maximize.loss(0.9), -0.9);
    /// ```
    pub fn loss(self, value: f64) -> f64 {
        match self {
            Self::Minimize => value,
            Self::Maximize => -value,
        }
    }
}

impl From<Goal> for Direction {
    fn from(goal: Goal) -> Self {
        match goal {
            Goal::Minimize => Self::LowerIsBetter,
            Goal::Maximize => Self::HigherIsBetter,
        }
    }
}

/// How a trial stands.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// It has begun and not ended.
    Running,
    /// It ended with a value of the objective.
    Completed {
        /// The value; one that is NaN counts as failed.
        #[serde(with = "crate::num::json_float")]
        value: f64,
    },
    /// It was ended before its time.
    Pruned {
        /// The last value of the objective that it reported; none, or NaN, if it reported none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<f64>,
        /// How far it came: the step at which it was ended.
        step: u64,
    },
    /// It ended without a value.
    Failed,
}

/// One trial, as a sampler sees it.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// The trial's number, unique within the sweep.
    pub number: u64,
    /// What it runs with.
    pub assignment: Assignment,
    /// How it stands.
    pub outcome: Outcome,
}

impl Observation {
    /// A trial.
    pub fn new(number: u64, assignment: Assignment, outcome: Outcome) -> Self {
        Self { number, assignment, outcome }
    }
}
