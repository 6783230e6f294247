//! The answers that need no inputs: what every candidate has to beat.
//!
//! A model that is not better than its baseline has learnt nothing. For a classification that is the share of the positive
//! class, whatever the row; for a regression the mean.

use serde::{Deserialize, Serialize};

use crate::num::{self, StatsError};
use crate::problem::Task;

/// One answer for every row, learnt from the targets alone.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// What is predicted.
    pub task: Task,
    /// The answer: the probability of the positive class, or a number.
    pub value: f64,
    /// From how many rows it was learnt.
    pub rows: u64,
}

impl Baseline {
    /// The class the baseline always answers, for a classification: positive above one half; a tie is negative.
    ///
    /// ```
    /// use mlops_core::experiment::baseline::majority_class;
    /// assert_eq!(majority_class(&[true, true, false])?.majority(), Some(true));
    /// assert_eq!(majority_class(&[true, false])?.majority(), Some(false));
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub fn majority(&self) -> Option<bool> {
        (self.task == Task::BinaryClassification).then_some(self.value > 0.5)
    }
}

/// The share of the positive class, as the probability of every row. In [0, 1]; O(n).
///
/// Answered with its probability rather than the class alone, the majority baseline has a log loss, and it is the best that
/// an answer without inputs can have: the entropy of the labels. Agrees with scikit-learn's
/// `DummyClassifier(strategy="prior")`.
///
/// # Errors
/// [`StatsError::Empty`].
///
/// ```
/// use mlops_core::experiment::baseline::majority_class;
/// assert_eq!(majority_class(&[true, false, false, false])?.value, 0.25);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn majority_class(labels: &[bool]) -> Result<Baseline, StatsError> {
    if labels.is_empty() {
        return Err(StatsError::Empty { argument: "labels" });
    }
    let positive = labels.iter().filter(|label| **label).count();
    let value = positive as f64 / labels.len() as f64;
    Ok(Baseline { task: Task::BinaryClassification, value, rows: labels.len() as u64 })
}

/// The mean of the targets, as the answer for every row: what minimises the squared error without inputs. O(n), summed with
/// compensation, so that the order of the rows hardly counts. Agrees with scikit-learn's
/// `DummyRegressor(strategy="mean")`.
///
/// # Errors
/// [`StatsError::Empty`]; [`StatsError::Nan`] and [`StatsError::NotFinite`] with the index.
///
/// ```
/// use mlops_core::experiment::baseline::mean;
/// assert_eq!(mean(&[1.0, 2.0, 6.0])?.value, 3.0);
/// assert!(mean(&[1.0, f64::NAN]).is_err());
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn mean(values: &[f64]) -> Result<Baseline, StatsError> {
    let value = num::sum::mean(values)?;
    Ok(Baseline { task: Task::Regression, value, rows: values.len() as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scikit-learn 1.9.1: `DummyClassifier(strategy="prior").fit(X, y).predict_proba(X)[0, 1]` and
    /// `DummyRegressor(strategy="mean").fit(X, y).constant_[0, 0]`, X being zeros.
    #[test]
    fn baselines_agree_with_scikit_learn() {
        let labels = [true, false, true, true, false, true, false];
        assert_eq!(majority_class(&labels).unwrap().value, 0.571_428_571_428_571_4);
        let targets = [151.0, 75.0, 141.0, 206.0, 135.0, 97.0, 138.0, 63.0, 110.0, 310.5];
        assert_eq!(mean(&targets).unwrap().value, 142.65);
    }

    #[test]
    fn targets_that_have_no_mean_are_refused_with_their_place() {
        assert_eq!(majority_class(&[]), Err(StatsError::Empty { argument: "labels" }));
        assert_eq!(mean(&[]), Err(StatsError::Empty { argument: "values" }));
        assert_eq!(mean(&[0.0, f64::NAN]), Err(StatsError::Nan { argument: "values", index: 1 }));
        let infinite = StatsError::NotFinite { argument: "values", index: 2, value: f64::NEG_INFINITY };
        assert_eq!(mean(&[0.0, 0.0, f64::NEG_INFINITY]), Err(infinite));
    }

    #[test]
    fn one_class_and_huge_values_have_a_baseline_too() {
        assert_eq!(majority_class(&[true]).unwrap().value, 1.0);
        assert_eq!(majority_class(&[false; 3]).unwrap().value, 0.0);
        assert_eq!(mean(&[f64::MAX, f64::MAX]).unwrap().value, f64::MAX);
        assert_eq!(mean(&[f64::MAX, -f64::MAX]).unwrap().value, 0.0);
        assert_eq!(mean(&[1e16, 1.0, -1e16]).unwrap().value, 1.0 / 3.0);
        assert_eq!(mean(&[1.0]).unwrap().majority(), None);
    }
}
