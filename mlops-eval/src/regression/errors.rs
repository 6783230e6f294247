//! Sizes of the errors y − ŷ, and the share of variance they leave.
//!
//! y is the target, ŷ the prediction, w the weight (1 without weights), W the sum of the weights. All values agree
//! with scikit-learn 1.9.1 to 1e-12 where both define them (`tests/reference/`).

use std::fmt;

use mlops_core::num::ranks::sort_pairs;
use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use crate::catalog::Direction;
use crate::input::{finite, in_range, named, paired, weight, weight_total};
use mlops_core::num::sum::Sum;

/// A regression metric, as a value.
///
/// ```
/// use mlops_eval::regression::RegressionMetric;
///
/// for metric in RegressionMetric::ALL {
///     println!("{metric} = {}", metric.evaluate(&[1.0, 2.0], &[1.5, 2.0], None)?);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegressionMetric {
    /// [`mae`]
    Mae,
    /// [`mse`]
    Mse,
    /// [`rmse`]
    Rmse,
    /// [`r2`]
    R2,
    /// [`median_absolute_error`]
    MedianAbsoluteError,
    /// [`max_error`]
    MaxError,
}

impl RegressionMetric {
    /// Every metric of this kind.
    pub const ALL: &[Self] =
        &[Self::Mae, Self::Mse, Self::Rmse, Self::R2, Self::MedianAbsoluteError, Self::MaxError];

    /// The name it has in reports and configuration files.
    ///
    /// ```
    /// use mlops_eval::regression::RegressionMetric;
    /// assert_eq!(RegressionMetric::R2.name(), "r2");
    /// ```
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mae => "mae",
            Self::Mse => "mse",
            Self::Rmse => "rmse",
            Self::R2 => "r2",
            Self::MedianAbsoluteError => "median_absolute_error",
            Self::MaxError => "max_error",
        }
    }

    /// Which way is better.
    pub const fn direction(self) -> Direction {
        match self {
            Self::R2 => Direction::HigherIsBetter,
            _ => Direction::LowerIsBetter,
        }
    }

    /// The smallest and the largest value it can take.
    pub const fn range(self) -> (f64, f64) {
        match self {
            Self::R2 => (f64::NEG_INFINITY, 1.0),
            _ => (0.0, f64::INFINITY),
        }
    }

    /// The metric of these rows. Weights that are `None` are all 1.
    ///
    /// ```
    /// use mlops_eval::regression::RegressionMetric;
    ///
    /// let rmse = RegressionMetric::Rmse.evaluate(&[1.0, 2.0], &[1.0, 4.0], Some(&[1.0, 1.0]))?;
    /// assert_eq!(rmse.value(), Some(2.0_f64.sqrt()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`mae`] and [`mae_weighted`].
    pub fn evaluate(
        self,
        y_true: &[f64],
        y_pred: &[f64],
        weights: Option<&[f64]>,
    ) -> Result<Measured, StatsError> {
        let rows = Rows::check(y_true, y_pred, weights)?;
        match self {
            Self::Mae => rows.mean("the mean absolute error", f64::abs),
            Self::Mse => rows.mean("the mean squared error", |error| error * error),
            Self::Rmse => rows.root_mean_square(),
            Self::R2 => rows.r2(),
            Self::MedianAbsoluteError => rows.median(),
            Self::MaxError => rows.max(),
        }
    }
}

impl fmt::Display for RegressionMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Checked rows and the sum of their weights.
#[derive(Clone, Copy)]
struct Rows<'a> {
    y_true: &'a [f64],
    y_pred: &'a [f64],
    weights: Option<&'a [f64]>,
    total: f64,
}

impl<'a> Rows<'a> {
    fn check(y_true: &'a [f64], y_pred: &'a [f64], weights: Option<&'a [f64]>) -> Result<Self, StatsError> {
        paired(named("y_true", y_true), named("y_pred", y_pred))?;
        finite("y_true", y_true)?;
        finite("y_pred", y_pred)?;
        let total = weight_total(weights, named("y_true", y_true))?;
        Ok(Self { y_true, y_pred, weights, total })
    }

    fn errors(self) -> impl Iterator<Item = f64> {
        self.y_true.iter().zip(self.y_pred).map(|(y, p)| y - p)
    }

    /// Σ w·term / W. With weights, each becomes a share first, so that large ones do not overflow.
    fn average(self, terms: impl Iterator<Item = f64>) -> f64 {
        match self.weights {
            None => terms.collect::<Sum>().value() / self.total,
            Some(weights) => {
                terms.zip(weights).map(|(term, w)| term * (w / self.total)).collect::<Sum>().value()
            }
        }
    }

    fn mean(self, what: &'static str, loss: impl Fn(f64) -> f64) -> Result<Measured, StatsError> {
        in_range(what, self.average(self.errors().map(loss))).map(Measured::Value)
    }

    fn root_mean_square(self) -> Result<Measured, StatsError> {
        // Relative to the largest error: squares leave the range of f64 long before the root does.
        let largest =
            in_range("the largest error", self.errors().fold(0.0, |max, error| max.max(error.abs())))?;
        if largest == 0.0 {
            return Ok(Measured::Value(0.0));
        }
        let mean = self.average(self.errors().map(|error| (error / largest) * (error / largest)));
        in_range("the root mean squared error", largest * mean.sqrt()).map(Measured::Value)
    }

    fn counted(self) -> impl Iterator<Item = (usize, f64)> {
        (0..self.y_true.len()).map(move |row| (row, weight(self.weights, row))).filter(|(_, w)| *w > 0.0)
    }

    fn r2(self) -> Result<Measured, StatsError> {
        let counted = self.counted().count();
        if counted < 2 {
            return Ok(Measured::none(UndefinedReason::TooFew, counted, 2));
        }
        let mut targets = self.counted().map(|(row, _)| self.y_true[row]);
        let first = targets.next().unwrap_or(0.0);
        let left = in_range(R2, self.average(self.errors().map(|error| error * error)))?;
        // Asked of the values: the spread around a rounded mean is seldom exactly 0.
        if targets.all(|y| y == first) {
            return Ok(constant_target(left));
        }
        let mean = in_range(R2, self.average(self.y_true.iter().copied()))?;
        let spread = in_range(R2, self.average(self.y_true.iter().map(|y| (y - mean) * (y - mean))))?;
        explained(left, spread)
    }

    /// The averaged lower and upper weighted median: where the cumulated weight meets W/2 exactly, the next value is
    /// averaged in.
    fn median(self) -> Result<Measured, StatsError> {
        let mut errors: Vec<(f64, f64)> =
            self.counted().map(|(row, w)| ((self.y_true[row] - self.y_pred[row]).abs(), w)).collect();
        sort_pairs(&mut errors);
        let half = errors.iter().map(|(_, w)| *w).collect::<Sum>().value() / 2.0;
        let mut below = Sum::default();
        for (position, &(error, w)) in errors.iter().enumerate() {
            below.push(w);
            if below.value() >= half {
                let exactly = below.value() == half;
                let next = errors.get(position + 1).filter(|_| exactly).map_or(error, |(next, _)| *next);
                let median = in_range("the median absolute error", error)?;
                return in_range("the median absolute error", median.midpoint(next)).map(Measured::Value);
            }
        }
        Ok(Measured::none(UndefinedReason::TooFew, 0, 1))
    }

    fn max(self) -> Result<Measured, StatsError> {
        let largest = self
            .counted()
            .map(|(row, _)| (self.y_true[row] - self.y_pred[row]).abs())
            .fold(0.0_f64, f64::max);
        in_range("the largest error", largest).map(Measured::Value)
    }
}

const R2: &str = "the sum of squares of R²";

/// R² of targets that do not vary; keeps what is left unexplained.
pub(crate) fn constant_target(left: f64) -> Measured {
    let undefined =
        mlops_core::num::Undefined { reason: UndefinedReason::Constant, numerator: left, denominator: 0.0 };
    Measured::Undefined(undefined)
}

/// 1 − left / spread. A spread that underflowed to 0 although the targets vary cannot be told from constant targets.
pub(crate) fn explained(left: f64, spread: f64) -> Result<Measured, StatsError> {
    if spread == 0.0 {
        return Ok(constant_target(left));
    }
    in_range("R²", 1.0 - left / spread).map(Measured::Value)
}

macro_rules! regression_metrics {
    ($(
        $(#[doc = $doc:literal])+
        $variant:ident: $plain:ident, $weighted:ident, example $example:literal;
    )+) => {$(
        $(#[doc = $doc])+
        ///
        /// ```
        #[doc = concat!("use mlops_eval::regression::", stringify!($plain), ";")]
        ///
        #[doc = concat!("let value = ", stringify!($plain), "(&[3.0, -0.5, 2.0, 7.0], &[2.5, 0.0, 2.0, 8.0])?.value().unwrap_or(f64::NAN);")]
        #[doc = concat!("assert!((value - ", $example, ").abs() < 1e-15);")]
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        ///
        /// # Errors
        /// [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::Nan`], [`StatsError::NotFinite`];
        /// [`StatsError::Overflow`] when the result, or a sum it needs, does not fit an f64.
        pub fn $plain(y_true: &[f64], y_pred: &[f64]) -> Result<Measured, StatsError> {
            RegressionMetric::$variant.evaluate(y_true, y_pred, None)
        }

        #[doc = concat!("[`", stringify!($plain), "`] with a weight for each row; rows of weight 0 do not count.")]
        ///
        /// ```
        #[doc = concat!("use mlops_eval::regression::{", stringify!($plain), ", ", stringify!($weighted), "};")]
        ///
        #[doc = concat!("let repeated = ", stringify!($plain), "(&[1.0, 1.0, 4.0], &[2.0, 2.0, 1.5])?.value().unwrap_or(f64::NAN);")]
        #[doc = concat!("let weighted = ", stringify!($weighted), "(&[1.0, 4.0, 9.0], &[2.0, 1.5, 0.0], &[2.0, 1.0, 0.0])?;")]
        /// assert!(weighted.value().is_some_and(|value| (value - repeated).abs() < 1e-12));
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        ///
        /// # Errors
        #[doc = concat!("Those of [`", stringify!($plain), "`], and what [`weights::total`](mlops_core::num::weights::total) refuses.")]
        pub fn $weighted(y_true: &[f64], y_pred: &[f64], weights: &[f64]) -> Result<Measured, StatsError> {
            RegressionMetric::$variant.evaluate(y_true, y_pred, Some(weights))
        }
    )+};
}

regression_metrics! {
    /// Mean absolute error: Σ w|y − ŷ| / W, in the unit of y, at least 0. Always defined. O(n).
    Mae: mae, mae_weighted, example "0.5";

    /// Mean squared error: Σ w(y − ŷ)² / W, in the squared unit of y, at least 0. Always defined. O(n).
    Mse: mse, mse_weighted, example "0.375";

    /// Root of the mean squared error: √(Σ w(y − ŷ)² / W), in the unit of y, at least 0. Always defined. O(n).
    Rmse: rmse, rmse_weighted, example "0.375_f64.sqrt()";

    /// The share of the targets' variance that the predictions explain: 1 − Σ w(y − ŷ)² / Σ w(y − ȳ)², at most 1; 0
    /// for predicting the mean ȳ, negative for less than that. Two passes, O(n).
    ///
    /// Undefined with [`UndefinedReason::TooFew`] for fewer than two rows of positive weight, and with
    /// [`UndefinedReason::Constant`] when all targets are equal; scikit-learn returns 1 or 0 then, depending on
    /// whether the predictions are perfect ([`r2_force_finite`]).
    R2: r2, r2_weighted, example "0.9486081370449679";

    /// The median of |y − ŷ|, in the unit of y: the middle one, or the mean of the two middle ones. With weights the averaged inverted
    /// distribution function at W/2. Always defined. O(n) from 2 048 rows on, O(n log n) below.
    MedianAbsoluteError: median_absolute_error, median_absolute_error_weighted, example "0.5";

    /// The largest |y − ŷ|, in the unit of y. Always defined. O(n).
    MaxError: max_error, max_error_weighted, example "1.0";
}

/// What scikit-learn's `r2_score(force_finite=True)` makes of [`r2`] for constant targets: 1 for perfect predictions,
/// else 0.
///
/// ```
/// use mlops_eval::regression::{r2, r2_force_finite};
///
/// let constant = r2(&[2.0, 2.0], &[2.0, 2.5])?;
/// assert_eq!(constant.value(), None);
/// assert_eq!(r2_force_finite(constant).value(), Some(0.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn r2_force_finite(measured: Measured) -> Measured {
    match measured.undefined() {
        Some(undefined) if undefined.reason == UndefinedReason::Constant => {
            Measured::Value(if undefined.numerator == 0.0 { 1.0 } else { 0.0 })
        }
        _ => measured,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_listed_once_with_its_serialised_name() {
        assert_eq!(RegressionMetric::MaxError as usize + 1, RegressionMetric::ALL.len());
        for metric in RegressionMetric::ALL {
            assert_eq!(serde_json::to_string(metric).unwrap(), format!("\"{metric}\""));
        }
    }

    #[test]
    fn bad_input_is_named_by_every_metric() {
        let cases: [(&[f64], &[f64], &str); 4] = [
            (&[], &[], "`y_true` is empty"),
            (&[1.0], &[], "`y_true` has 1 elements but `y_pred` has 0"),
            (&[1.0, f64::NAN], &[1.0, 1.0], "`y_true` has a NaN at index 1"),
            (&[1.0], &[f64::INFINITY], "`y_pred` has inf at index 0, which is not finite"),
        ];
        for metric in RegressionMetric::ALL {
            for (y_true, y_pred, message) in cases {
                assert_eq!(metric.evaluate(y_true, y_pred, None).unwrap_err().to_string(), message);
            }
            assert!(metric.evaluate(&[1.0], &[1.0], Some(&[-1.0])).is_err());
            assert!(metric.evaluate(&[1.0], &[1.0], Some(&[0.0])).is_err());
        }
    }

    #[test]
    fn what_does_not_fit_is_an_overflow_and_never_infinite() {
        for metric in RegressionMetric::ALL {
            let result = metric.evaluate(&[f64::MAX, f64::MAX, 0.0], &[-f64::MAX, -f64::MAX, 0.0], None);
            assert!(matches!(result, Err(StatsError::Overflow { .. })), "{metric}: {result:?}");
        }
    }

    #[test]
    fn rmse_survives_errors_whose_squares_do_not_fit() {
        let rmse = rmse(&[1e200, 1e-200], &[0.0, 0.0]).unwrap().value().unwrap();
        assert!((rmse / 1e200 - 0.5_f64.sqrt()).abs() < 1e-15);
    }

    #[test]
    fn constant_targets_have_no_r2_even_when_their_mean_is_rounded() {
        let constant = r2(&[0.1; 7], &[0.1, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1]).unwrap();
        assert_eq!(constant.undefined().unwrap().reason, UndefinedReason::Constant);
        assert_eq!(r2_force_finite(r2(&[0.1; 7], &[0.1; 7]).unwrap()).value(), Some(1.0));
        let one_counts = r2_weighted(&[1.0, 2.0], &[1.0, 2.0], &[1.0, 0.0]).unwrap();
        assert_eq!(one_counts.undefined().unwrap().reason, UndefinedReason::TooFew);
    }
}
