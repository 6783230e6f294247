//! The answers that need no inputs: what every candidate has to beat.
//!
//! A model that is not better than its baseline has learnt nothing. Which baseline is the one to beat depends on the error:
//!
//! | baseline | for | is the best constant answer by |
//! |---|---|---|
//! | [`majority_class`] | two classes | log loss, and accuracy with its class |
//! | [`class_prior`] | several classes | log loss; its majority by accuracy |
//! | [`mean`] | numbers | squared error |
//! | [`median`] | numbers | absolute error |
//! | [`quantile`] | numbers | pinball loss at that share |
//! | [`seasonal_naive`] | a series | – ; what the scaled errors of forecasts divide by |
//!
//! The conventions are those of scikit-learn's `DummyClassifier` and `DummyRegressor`.

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

/// The median of the targets, as the answer for every row: what minimises the absolute error without inputs; of an even number
/// of rows the middle between the two in the middle. O(n log n). Agrees with scikit-learn's
/// `DummyRegressor(strategy="median")`.
///
/// # Errors
/// As [`mean`].
///
/// ```
/// use mlops_core::experiment::baseline::median;
/// assert_eq!(median(&[1.0, 2.0, 60.0])?.value, 2.0);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn median(values: &[f64]) -> Result<Baseline, StatsError> {
    quantile(values, 0.5)
}

/// A quantile of the targets, as the answer for every row: what minimises the pinball loss at the share `p` in [0, 1] without
/// inputs. Between two targets it is interpolated. O(n log n). Agrees with scikit-learn's
/// `DummyRegressor(strategy="quantile", quantile=p)`.
///
/// # Errors
/// As [`mean`]; [`StatsError::Parameter`] for `p` outside [0, 1].
///
/// ```
/// use mlops_core::experiment::baseline::quantile;
/// assert_eq!(quantile(&[0.0, 10.0, 20.0], 0.75)?.value, 15.0);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn quantile(values: &[f64], p: f64) -> Result<Baseline, StatsError> {
    finite(values)?;
    let value = num::quantile::quantile(values, p)?;
    Ok(Baseline { task: Task::Regression, value, rows: values.len() as u64 })
}

/// The most classes that are counted.
const MAX_CLASSES: u32 = 1 << 20;

/// The shares of several classes, as the probabilities of every row.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassPrior {
    /// The share of each class, by its code; they add up to 1.
    pub shares: Vec<f64>,
    /// The code of the most frequent class; of equally frequent ones the first.
    pub majority: usize,
    /// From how many rows it was learnt.
    pub rows: u64,
}

/// The shares of classes with the codes 0 … `classes` − 1, and the most frequent one. O(n + classes). Agrees with scikit-learn's
/// `DummyClassifier` with the strategies `prior` and `most_frequent`, where all classes are seen.
///
/// # Errors
/// [`StatsError::Empty`]; [`StatsError::UnknownCode`] with the index; [`StatsError::Parameter`] for more than 2²⁰ classes.
///
/// ```
/// use mlops_core::experiment::baseline::class_prior;
/// let prior = class_prior(&[2, 0, 2, 1], 3)?;
/// assert_eq!((prior.shares, prior.majority), (vec![0.25, 0.25, 0.5], 2));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn class_prior(labels: &[u32], classes: u32) -> Result<ClassPrior, StatsError> {
    if labels.is_empty() {
        return Err(StatsError::Empty { argument: "labels" });
    }
    if classes > MAX_CLASSES {
        let value = f64::from(classes);
        return Err(StatsError::Parameter { parameter: "classes", value, reason: "must be at most 2^20" });
    }
    if let Some(index) = labels.iter().position(|label| *label >= classes) {
        let code = labels.get(index).copied().unwrap_or_default().into();
        return Err(StatsError::UnknownCode { argument: "labels", index, code, known: classes.into() });
    }
    let mut counts = vec![0_u64; classes as usize];
    for label in labels {
        if let Some(count) = counts.get_mut(*label as usize) {
            *count += 1;
        }
    }
    let most = counts.iter().copied().max().unwrap_or_default();
    let majority = counts.iter().position(|count| *count == most).unwrap_or_default();
    let rows = labels.len() as u64;
    let shares = counts.into_iter().map(|count| count as f64 / rows as f64).collect();
    Ok(ClassPrior { shares, majority, rows })
}

/// The seasonal naive forecast of the next `horizon` values: each is the last known one of its place in the season,
/// ŷₜ = yₜ₋ₘ, and repeats itself beyond one season. A season of 1 repeats the last value. O(horizon).
///
/// # Errors
/// [`StatsError::Parameter`] for a season of 0; [`StatsError::TooFew`] for a series shorter than one season;
/// [`StatsError::Nan`] and [`StatsError::NotFinite`] with the index, where they lie in the last season.
///
/// ```
/// use mlops_core::experiment::baseline::seasonal_naive;
/// assert_eq!(seasonal_naive(&[9.0, 1.0, 2.0, 3.0], 3, 5)?, [1.0, 2.0, 3.0, 1.0, 2.0]);
/// assert_eq!(seasonal_naive(&[9.0, 3.0], 1, 2)?, [3.0, 3.0]);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
///
/// Source: Hyndman, Athanasopoulos, "Forecasting: principles and practice" (third edition, 2021), section 5.2.
pub fn seasonal_naive(series: &[f64], season: usize, horizon: usize) -> Result<Vec<f64>, StatsError> {
    if season == 0 {
        return Err(StatsError::Parameter { parameter: "season", value: 0.0, reason: "must be at least 1" });
    }
    let Some(start) = series.len().checked_sub(season) else {
        return Err(StatsError::TooFew { argument: "series", needed: season, got: series.len() });
    };
    let last = series.get(start..).unwrap_or_default();
    for (value, index) in last.iter().copied().zip(start..) {
        if value.is_nan() {
            return Err(StatsError::Nan { argument: "series", index });
        }
        if value.is_infinite() {
            return Err(StatsError::NotFinite { argument: "series", index, value });
        }
    }
    Ok(last.iter().copied().cycle().take(horizon).collect())
}

fn finite(values: &[f64]) -> Result<(), StatsError> {
    for (index, value) in values.iter().copied().enumerate() {
        if value.is_nan() {
            return Err(StatsError::Nan { argument: "values", index });
        }
        if value.is_infinite() {
            return Err(StatsError::NotFinite { argument: "values", index, value });
        }
    }
    match values.is_empty() {
        true => Err(StatsError::Empty { argument: "values" }),
        false => Ok(()),
    }
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
