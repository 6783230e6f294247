//! The regression metrics that are sums, in one pass over data that arrives in parts.

use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::errors::{constant_target, explained};
use crate::input::{finite, in_range, named, not_finite, paired, weight, weight_total};
use mlops_core::num::sum::Sum;

/// Sums of errors that grow row by row and merge across shards and windows.
///
/// The variance of the targets is kept around the running mean (Welford 1962; merged by Chan, Golub, LeVeque 1979),
/// so that a large mean does not swallow a small spread. Merging in any order gives the same result up to rounding.
/// The state serialises, and stays small: nothing is kept per row.
///
/// ```
/// use mlops_eval::regression::RegressionState;
///
/// let mut monday = RegressionState::default();
/// monday.push(3.0, 2.5, 1.0)?;
/// monday.push(-0.5, 0.0, 1.0)?;
/// let tuesday = RegressionState::of(&[2.0, 7.0], &[2.0, 8.0], None)?;
/// monday.merge(&tuesday);
///
/// let summary = monday.finish()?;
/// assert_eq!(summary.rows, 4);
/// assert_eq!(summary.mae.value(), Some(0.5));
/// assert_eq!(summary.mse.value(), Some(0.375));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RegressionState {
    rows: u64,
    weight: Sum,
    absolute: Sum,
    squared: Sum,
    largest: f64,
    /// Of the targets with positive weight; the state around them is empty while `counted` is 0.
    counted: u64,
    mean: Sum,
    spread: Sum,
    lowest_target: f64,
    highest_target: f64,
}

/// The metrics of a [`RegressionState`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegressionSummary {
    /// The number of rows, those of weight 0 included.
    pub rows: u64,
    /// The sum of the weights.
    pub weight: f64,
    /// [`mae`](super::mae)
    pub mae: Measured,
    /// [`mse`](super::mse)
    pub mse: Measured,
    /// [`rmse`](super::rmse)
    pub rmse: Measured,
    /// [`r2`](super::r2)
    pub r2: Measured,
    /// [`max_error`](super::max_error)
    pub max_error: Measured,
}

impl RegressionState {
    /// The state of these rows. Weights that are `None` are all 1.
    ///
    /// ```
    /// use mlops_eval::regression::RegressionState;
    /// let state = RegressionState::of(&[1.0, 2.0], &[1.0, 1.0], Some(&[1.0, 3.0]))?;
    /// assert_eq!(state.finish()?.mae.value(), Some(0.75));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`mae_weighted`](super::mae_weighted), except overflow, which [`finish`](Self::finish) reports.
    pub fn of(y_true: &[f64], y_pred: &[f64], weights: Option<&[f64]>) -> Result<Self, StatsError> {
        paired(named("y_true", y_true), named("y_pred", y_pred))?;
        finite("y_true", y_true)?;
        finite("y_pred", y_pred)?;
        weight_total(weights, named("y_true", y_true))?;
        let mut state = Self::default();
        for (row, (&y, &p)) in y_true.iter().zip(y_pred).enumerate() {
            state.add(y, p, weight(weights, row));
        }
        Ok(state)
    }

    /// Adds one row. O(1).
    ///
    /// # Errors
    /// [`StatsError::Nan`], [`StatsError::NotFinite`] or [`StatsError::OutOfRange`] with the number of rows pushed
    /// before as index; the row is not added then.
    pub fn push(&mut self, y_true: f64, y_pred: f64, weight: f64) -> Result<(), StatsError> {
        let index = usize::try_from(self.rows).unwrap_or(usize::MAX);
        for (argument, value) in [("y_true", y_true), ("y_pred", y_pred), ("weight", weight)] {
            if !value.is_finite() {
                return Err(not_finite(argument, index, value));
            }
        }
        if weight < 0.0 {
            let (argument, low, high) = ("weight", 0.0, f64::MAX);
            return Err(StatsError::OutOfRange { argument, index, value: weight, low, high });
        }
        self.add(y_true, y_pred, weight);
        Ok(())
    }

    fn add(&mut self, y: f64, p: f64, weight: f64) {
        self.rows = self.rows.saturating_add(1);
        if weight == 0.0 {
            return;
        }
        let error = (y - p).abs();
        self.absolute.push(weight * error);
        self.squared.push(weight * (error * error));
        self.largest = self.largest.max(error);
        let (low, high) = if self.counted == 0 { (y, y) } else { (self.lowest_target, self.highest_target) };
        (self.lowest_target, self.highest_target) = (low.min(y), high.max(y));
        self.counted = self.counted.saturating_add(1);
        self.weight.push(weight);
        // The mean is kept to twice the digits: its rounding error, squared over many rows, would show in R².
        let step = self.mean.distance_to(y);
        self.mean.push(step * (weight / self.weight.value()));
        self.spread.push(weight * step * self.mean.distance_to(y));
    }

    /// Adds the rows of another part of the data. O(1).
    ///
    /// ```
    /// use mlops_eval::regression::RegressionState;
    ///
    /// let mut state = RegressionState::default();
    /// state.merge(&RegressionState::of(&[1.0], &[2.0], None)?);
    /// assert_eq!(state, RegressionState::of(&[1.0], &[2.0], None)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn merge(&mut self, other: &Self) {
        let rows = self.rows.saturating_add(other.rows);
        if other.counted == 0 || self.counted == 0 {
            let kept = if other.counted == 0 { *self } else { *other };
            *self = Self { rows, ..kept };
            return;
        }
        let step = self.mean.distance_to_sum(&other.mean);
        let (left, right) = (self.weight.value(), other.weight.value());
        let share = right / (left + right);
        self.rows = rows;
        self.counted = self.counted.saturating_add(other.counted);
        self.mean.push(step * share);
        self.spread.merge(other.spread);
        self.spread.push(step * step * left * share);
        self.weight.merge(other.weight);
        self.absolute.merge(other.absolute);
        self.squared.merge(other.squared);
        self.largest = self.largest.max(other.largest);
        self.lowest_target = self.lowest_target.min(other.lowest_target);
        self.highest_target = self.highest_target.max(other.highest_target);
    }

    /// The number of rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The metrics of all rows so far. Without rows of positive weight all of them are undefined.
    ///
    /// ```
    /// use mlops_eval::regression::RegressionState;
    /// assert_eq!(RegressionState::default().finish()?.mae.value(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Overflow`] when a sum does not fit an f64.
    pub fn finish(&self) -> Result<RegressionSummary, StatsError> {
        let total = in_range("the sum of the weights", self.weight.value())?;
        let absolute = in_range("the sum of absolute errors", self.absolute.value())?;
        let squared = in_range("the sum of squared errors", self.squared.value())?;
        // A quotient by a tiny weight may overflow, and a state read from elsewhere may hold anything.
        let mean = |what, sum: f64| match Measured::ratio(sum, total).value() {
            Some(mean) => in_range(what, mean).map(Measured::Value),
            None => Ok(Measured::ratio(sum, total)),
        };
        let mse = mean("the mean squared error", squared)?;
        let rmse = mse.map(f64::sqrt);
        in_range("the root mean squared error", rmse.value().unwrap_or(0.0))?;
        let max_error = match self.counted {
            0 => Measured::none(UndefinedReason::TooFew, 0, 1),
            _ => Measured::Value(in_range("the largest error", self.largest)?),
        };
        Ok(RegressionSummary {
            rows: self.rows,
            weight: total,
            mae: mean("the mean absolute error", absolute)?,
            mse,
            rmse,
            r2: self.r2(squared)?,
            max_error,
        })
    }

    fn r2(&self, squared: f64) -> Result<Measured, StatsError> {
        if self.counted < 2 {
            let counted = usize::from(self.counted == 1);
            return Ok(Measured::none(UndefinedReason::TooFew, counted, 2));
        }
        if self.lowest_target == self.highest_target {
            return Ok(constant_target(squared));
        }
        explained(squared, in_range("the sum of squares of R²", self.spread.value())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::RegressionMetric;

    fn close(a: Measured, b: Measured) -> bool {
        match (a.value(), b.value()) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-12 * a.abs().max(1.0),
            (a, b) => a == b,
        }
    }

    #[test]
    fn one_pass_agrees_with_the_functions() {
        let y: Vec<f64> = (0..500).map(|i| 1e6 + f64::from(i * i % 97)).collect();
        let p: Vec<f64> = (0..500).map(|i| 1e6 + f64::from(i * i % 89)).collect();
        let w: Vec<f64> = (0..500).map(|i| f64::from(i % 4)).collect();
        for weights in [None, Some(&w[..])] {
            let summary = RegressionState::of(&y, &p, weights).unwrap().finish().unwrap();
            let pairs = [
                (summary.mae, RegressionMetric::Mae),
                (summary.mse, RegressionMetric::Mse),
                (summary.rmse, RegressionMetric::Rmse),
                (summary.r2, RegressionMetric::R2),
                (summary.max_error, RegressionMetric::MaxError),
            ];
            for (one_pass, metric) in pairs {
                let direct = metric.evaluate(&y, &p, weights).unwrap();
                assert!(close(one_pass, direct), "{metric}: {one_pass:?} {direct:?}");
            }
        }
    }

    #[test]
    fn a_refused_row_leaves_the_state_as_it_was() {
        let mut state = RegressionState::of(&[1.0, 2.0], &[1.0, 1.5], None).unwrap();
        let before = state;
        let error = state.push(1.0, f64::NAN, 1.0).unwrap_err();
        assert_eq!(error, StatsError::Nan { argument: "y_pred", index: 2 });
        assert!(state.push(1.0, 1.0, -1.0).is_err());
        assert_eq!(state, before);
    }

    #[test]
    fn what_overflows_is_reported_at_the_end() {
        let state = RegressionState::of(&[1e300, 0.0], &[-1e300, 0.0], None).unwrap();
        assert_eq!(state.finish(), Err(StatsError::Overflow { what: "the sum of squared errors" }));
    }

    #[test]
    fn a_state_survives_its_serialised_form() {
        let state = RegressionState::of(&[0.1, 0.7], &[0.3, 0.9], None).unwrap();
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<RegressionState>(&text).unwrap(), state);
    }
}
