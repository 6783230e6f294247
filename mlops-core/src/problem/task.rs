//! What kind of question a model answers, and which way a number is good.

use serde::{Deserialize, Serialize};

/// What kind of question a model answers.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// One of two classes.
    BinaryClassification,
    /// One of several classes.
    MulticlassClassification,
    /// A number.
    Regression,
}

/// Which way a metric is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Greater is better, as accuracy.
    HigherIsBetter,
    /// Smaller is better, as an error.
    LowerIsBetter,
    /// The number describes, neither end is better, as the share of rows that are selected.
    Neither,
}

impl Direction {
    /// By how much `new` is better than `old`; negative when it is worse, 0 where neither way is better.
    ///
    /// ```
    /// use mlops_core::problem::Direction;
    /// assert_eq!(Direction::LowerIsBetter.gain(2.0, 3.0), 1.0);
    /// ```
    pub fn gain(self, new: f64, old: f64) -> f64 {
        match self {
            Self::HigherIsBetter => new - old,
            Self::LowerIsBetter => old - new,
            Self::Neither => 0.0,
        }
    }
}
