//! The regression metrics that are sums, in one pass over data that arrives in parts.

use mlops_core::num::parallel::{Threads, map_pieces};
use mlops_core::num::simd::run;
use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};

use super::metric::RegressionMetric;
use super::moments::{EPSILON, Pass, symmetric_term};
use super::options::{PercentageOfZero, RegressionOptions, SymmetricZero};
use crate::input::{finite, in_range, named, not_finite, paired, weight_total};

/// Sums of errors that grow row by row and merge across shards and windows.
///
/// Every scalar metric that is a quotient of sums comes from it: mean absolute and squared errors, the percentage errors, bias,
/// R², explained variance, Pearson's and Lin's correlations. Spreads and products are kept around the running means (Welford
/// 1962; merged by Chan, Golub, LeVeque 1979), so that a large mean does not swallow a small spread. Merging in any order gives
/// the same result up to rounding. The state serialises, and stays small: nothing is kept per row.
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
///
/// A state whose sums left the range of f64 answers what it can, and refuses to be written with a message that names the sum: a file
/// could not hold it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "Sums")]
pub struct RegressionState(Sums);

/// A mean, and the sum of weighted squares around it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spread {
    pub(crate) mean: Sum,
    pub(crate) squares: Sum,
}

/// What the state is made of. The extremes and the spreads are those of rows with positive weight and empty while `counted` is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sums {
    pub(crate) rows: u64,
    pub(crate) counted: u64,
    pub(crate) weight: Sum,
    pub(crate) absolute: Sum,
    pub(crate) squared: Sum,
    /// Σ w|y|.
    pub(crate) magnitude: Sum,
    /// Σ w|y − ŷ|/|y| of targets of at least ε.
    pub(crate) percentage: Sum,
    /// The same of targets between 0 and ε.
    pub(crate) percentage_of_tiny: Sum,
    /// Σ w|y − ŷ|/ε of all targets below ε.
    pub(crate) percentage_of_epsilon: Sum,
    /// The weight of targets that are 0.
    pub(crate) zero_targets: Sum,
    /// Σ w·2|y − ŷ|/(|y| + |ŷ|).
    pub(crate) symmetric: Sum,
    /// The weight of rows where target and prediction are 0.
    pub(crate) both_zero: Sum,
    pub(crate) largest: f64,
    pub(crate) lowest_target: f64,
    pub(crate) highest_target: f64,
    pub(crate) lowest_prediction: f64,
    pub(crate) highest_prediction: f64,
    pub(crate) target: Spread,
    pub(crate) prediction: Spread,
    pub(crate) error: Spread,
    /// Σ w(y − ȳ)(ŷ − mean of ŷ).
    pub(crate) product: Sum,
}

impl Spread {
    /// The mean is kept to twice the digits: its rounding error, squared over many rows, would show in R².
    fn add(&mut self, value: f64, weight: f64, share: f64) -> (f64, f64) {
        let before = self.mean.distance_to(value);
        self.mean.push(before * share);
        let after = self.mean.distance_to(value);
        self.squares.push(weight * before * after);
        (before, after)
    }

    #[inline(always)]
    fn merge(&mut self, other: &Self, left: f64, share: f64) -> f64 {
        let step = self.mean.distance_to_sum(&other.mean);
        self.mean.push(step * share);
        self.squares.merge(other.squares);
        self.squares.push(step * step * left * share);
        step
    }

    fn sums(&self) -> [Sum; 2] {
        [self.mean, self.squares]
    }
}

impl Sums {
    fn add(&mut self, y: f64, p: f64, weight: f64) {
        self.rows = self.rows.saturating_add(1);
        if weight == 0.0 {
            return;
        }
        let size = (y - p).abs();
        self.absolute.push(weight * size);
        self.squared.push(weight * (size * size));
        self.magnitude.push(weight * y.abs());
        self.symmetric.push(weight * symmetric_term(size, y.abs(), p.abs()));
        self.add_percentage(y, size, weight);
        self.add_empty(y, p, weight);
        self.largest = self.largest.max(size);
        self.widen((y, y), (p, p));
        self.counted = self.counted.saturating_add(1);
        self.weight.push(weight);
        let share = weight / self.weight.value();
        let (before, _) = self.target.add(y, weight, share);
        let (_, after) = self.prediction.add(p, weight, share);
        self.product.push(weight * before * after);
        self.error.add(y - p, weight, share);
    }

    pub(crate) fn add_percentage(&mut self, y: f64, size: f64, weight: f64) {
        let target = y.abs();
        if weight == 0.0 {
            return;
        }
        if target >= EPSILON {
            self.percentage.push(weight * (size / target));
            return;
        }
        self.percentage_of_epsilon.push(weight * (size / EPSILON));
        if target > 0.0 {
            self.percentage_of_tiny.push(weight * (size / target));
        }
    }

    pub(crate) fn add_empty(&mut self, y: f64, p: f64, weight: f64) {
        if y == 0.0 {
            self.zero_targets.push(weight);
            if p == 0.0 {
                self.both_zero.push(weight);
            }
        }
    }

    fn widen(&mut self, targets: (f64, f64), predictions: (f64, f64)) {
        if self.counted == 0 {
            (self.lowest_target, self.highest_target) = targets;
            (self.lowest_prediction, self.highest_prediction) = predictions;
        }
        self.lowest_target = self.lowest_target.min(targets.0);
        self.highest_target = self.highest_target.max(targets.1);
        self.lowest_prediction = self.lowest_prediction.min(predictions.0);
        self.highest_prediction = self.highest_prediction.max(predictions.1);
    }

    #[inline(always)]
    pub(crate) fn absorb(&mut self, other: &Self) {
        let rows = self.rows.saturating_add(other.rows);
        if other.counted == 0 || self.counted == 0 {
            let kept = if other.counted == 0 { *self } else { *other };
            *self = Self { rows, ..kept };
            return;
        }
        let (left, right) = (self.weight.value(), other.weight.value());
        let share = right / (left + right);
        self.widen(
            (other.lowest_target, other.highest_target),
            (other.lowest_prediction, other.highest_prediction),
        );
        self.rows = rows;
        self.counted = self.counted.saturating_add(other.counted);
        let target = self.target.merge(&other.target, left, share);
        let prediction = self.prediction.merge(&other.prediction, left, share);
        self.error.merge(&other.error, left, share);
        self.product.merge(other.product);
        self.product.push(target * prediction * left * share);
        self.weight.merge(other.weight);
        self.absolute.merge(other.absolute);
        self.squared.merge(other.squared);
        self.magnitude.merge(other.magnitude);
        self.percentage.merge(other.percentage);
        self.percentage_of_tiny.merge(other.percentage_of_tiny);
        self.percentage_of_epsilon.merge(other.percentage_of_epsilon);
        self.zero_targets.merge(other.zero_targets);
        self.symmetric.merge(other.symmetric);
        self.both_zero.merge(other.both_zero);
        self.largest = if other.largest > self.largest { other.largest } else { self.largest };
    }

    /// Sums of numbers that are not negative.
    fn sizes(&self) -> [(&'static str, f64); 14] {
        [
            ("weight", self.weight.value()),
            ("absolute", self.absolute.value()),
            ("squared", self.squared.value()),
            ("magnitude", self.magnitude.value()),
            ("percentage", self.percentage.value()),
            ("percentage_of_tiny", self.percentage_of_tiny.value()),
            ("percentage_of_epsilon", self.percentage_of_epsilon.value()),
            ("zero_targets", self.zero_targets.value()),
            ("symmetric", self.symmetric.value()),
            ("both_zero", self.both_zero.value()),
            ("largest", self.largest),
            ("target", self.target.squares.value()),
            ("prediction", self.prediction.squares.value()),
            ("error", self.error.squares.value()),
        ]
    }

    fn check(&self) -> Result<(), StatsError> {
        if self.counted > self.rows {
            let reason = "must not exceed `rows`";
            return Err(StatsError::Parameter { parameter: "counted", value: self.counted as f64, reason });
        }
        for (parameter, value) in self.sizes() {
            if !(value.is_finite() && value >= 0.0) {
                let reason = "must be finite and not negative";
                return Err(StatsError::Parameter { parameter, value, reason });
            }
        }
        if (self.counted > 0) != (self.weight.value() > 0.0) {
            let value = self.weight.value();
            let reason = "must be positive if and only if rows count";
            return Err(StatsError::Parameter { parameter: "weight", value, reason });
        }
        for (parameter, low, high) in [
            ("lowest_target", self.lowest_target, self.highest_target),
            ("lowest_prediction", self.lowest_prediction, self.highest_prediction),
        ] {
            if low.is_nan() || high.is_nan() || low > high {
                let reason = "must not lie above the highest one";
                return Err(StatsError::Parameter { parameter, value: low, reason });
            }
        }
        self.products_fit()
    }

    /// That no sum has left the range of f64.
    fn fits(&self) -> Result<(), StatsError> {
        self.sizes().into_iter().try_for_each(|(what, value)| in_range(what, value).map(|_| ()))?;
        self.products_fit()
    }

    fn products_fit(&self) -> Result<(), StatsError> {
        let spreads = [self.target.sums(), self.prediction.sums(), self.error.sums()];
        for sum in spreads.iter().flatten().chain([&self.product]) {
            in_range("a mean or a sum of products", sum.value())?;
        }
        Ok(())
    }
}

impl TryFrom<Sums> for RegressionState {
    type Error = StatsError;

    fn try_from(sums: Sums) -> Result<Self, StatsError> {
        sums.check()?;
        Ok(Self(sums))
    }
}

impl Serialize for RegressionState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.fits().map_err(S::Error::custom)?;
        self.0.serialize(serializer)
    }
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
    /// [`mean_error`](super::mean_error)
    pub mean_error: Measured,
    /// [`mape`](super::mape)
    pub mape: Measured,
    /// [`smape`](super::smape)
    pub smape: Measured,
    /// [`wape`](super::wape)
    pub wape: Measured,
    /// [`r2`](super::r2)
    pub r2: Measured,
    /// [`explained_variance`](super::explained_variance)
    pub explained_variance: Measured,
    /// [`pearson`](super::pearson)
    pub pearson: Measured,
    /// [`concordance_correlation`](super::concordance_correlation)
    pub concordance_correlation: Measured,
    /// [`max_error`](super::max_error)
    pub max_error: Measured,
}

impl RegressionState {
    /// The state of these rows. Weights that are `None` are all 1. One pass, O(n).
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
        Self::of_with(y_true, y_pred, weights, Threads::ONE)
    }

    /// [`of`](Self::of) on several threads: the same bits on any number of them.
    ///
    /// ```
    /// use mlops_core::num::parallel::Threads;
    /// use mlops_eval::regression::RegressionState;
    ///
    /// let (y, p) = (vec![1.5; 200_000], vec![1.0; 200_000]);
    /// let two = RegressionState::of_with(&y, &p, None, Threads::new(2))?;
    /// assert_eq!(two, RegressionState::of(&y, &p, None)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`of`](Self::of).
    pub fn of_with(
        y_true: &[f64],
        y_pred: &[f64],
        weights: Option<&[f64]>,
        threads: Threads,
    ) -> Result<Self, StatsError> {
        Self::build(y_true, y_pred, weights, threads, 1.0)
    }

    /// Weights are multiplied with `scale`, a power of two.
    pub(crate) fn build(
        y_true: &[f64],
        y_pred: &[f64],
        weights: Option<&[f64]>,
        threads: Threads,
        scale: f64,
    ) -> Result<Self, StatsError> {
        paired(named("y_true", y_true), named("y_pred", y_pred))?;
        if let Some(weights) = weights.filter(|weights| weights.len() != y_true.len()) {
            // The values come first: they are what the weights belong to.
            check(y_true, y_pred, Some(weights))?;
        }
        let pieces = map_pieces(y_true.len(), threads, |rows| {
            let weights = weights.map(|weights| &weights[rows.clone()]);
            run(Pass { y_true: &y_true[rows.clone()], y_pred: &y_pred[rows], weights, scale })
        });
        let mut sums = Sums::default();
        for piece in pieces {
            match piece {
                Some(piece) => sums.absorb(&piece),
                None => {
                    check(y_true, y_pred, weights)?;
                    return Err(StatsError::Overflow { what: "the sum of the weights" });
                }
            }
        }
        let total = sums.weight.value() / scale;
        if !(total > 0.0 && total.is_finite()) {
            check(y_true, y_pred, weights)?;
        }
        Ok(Self(sums))
    }

    /// Adds one row. O(1).
    ///
    /// # Errors
    /// [`StatsError::Nan`], [`StatsError::NotFinite`] or [`StatsError::OutOfRange`] with the number of rows pushed
    /// before as index; the row is not added then.
    pub fn push(&mut self, y_true: f64, y_pred: f64, weight: f64) -> Result<(), StatsError> {
        check_row(self.0.rows, y_true, y_pred, weight)?;
        self.0.add(y_true, y_pred, weight);
        Ok(())
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
        self.0.absorb(&other.0);
    }

    /// The number of rows so far.
    pub fn rows(&self) -> u64 {
        self.0.rows
    }

    /// The metrics of all rows so far, with the default options. Without rows of positive weight all of them are undefined.
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
        self.finish_with(&RegressionOptions::default())
    }

    /// [`finish`](Self::finish) with options.
    ///
    /// ```
    /// use mlops_eval::regression::{RegressionOptions, RegressionState};
    /// let state = RegressionState::of(&[2.0, 2.0], &[1.0, 2.0], None)?;
    /// assert_eq!(state.finish()?.r2.value(), None);
    /// assert_eq!(state.finish_with(&RegressionOptions::scikit_learn_1_9())?.r2.value(), Some(0.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Overflow`] when a sum does not fit an f64.
    pub fn finish_with(&self, options: &RegressionOptions) -> Result<RegressionSummary, StatsError> {
        let get = |metric: RegressionMetric| metric.from_state_with(self, options);
        Ok(RegressionSummary {
            rows: self.0.rows,
            weight: in_range("the sum of the weights", self.0.weight.value())?,
            mae: get(RegressionMetric::Mae)?,
            mse: get(RegressionMetric::Mse)?,
            rmse: get(RegressionMetric::Rmse)?,
            mean_error: get(RegressionMetric::MeanError)?,
            mape: get(RegressionMetric::Mape)?,
            smape: get(RegressionMetric::Smape)?,
            wape: get(RegressionMetric::Wape)?,
            r2: get(RegressionMetric::R2)?,
            explained_variance: get(RegressionMetric::ExplainedVariance)?,
            pearson: get(RegressionMetric::Pearson)?,
            concordance_correlation: get(RegressionMetric::ConcordanceCorrelation)?,
            max_error: get(RegressionMetric::MaxError)?,
        })
    }

    /// The metric with `options`, or `None` where sums do not tell.
    pub(crate) fn measure(
        &self,
        metric: RegressionMetric,
        options: &RegressionOptions,
    ) -> Option<Result<Measured, StatsError>> {
        Some(match metric {
            RegressionMetric::Mae => self.mean("the mean absolute error", ABSOLUTE, &self.0.absolute),
            RegressionMetric::Mse => self.mean("the mean squared error", SQUARED, &self.0.squared),
            RegressionMetric::Rmse => {
                self.mean("the mean squared error", SQUARED, &self.0.squared).map(|mse| mse.map(f64::sqrt))
            }
            RegressionMetric::MeanError => self.mean_error(),
            RegressionMetric::Mape => self.mape(options),
            RegressionMetric::Smape => self.smape(options),
            RegressionMetric::Wape => self.wape(),
            RegressionMetric::R2 => self.r2(options),
            RegressionMetric::ExplainedVariance => self.explained_variance(options),
            RegressionMetric::Pearson => self.pearson(),
            RegressionMetric::ConcordanceCorrelation => self.concordance_correlation(),
            RegressionMetric::MaxError => self.max_error(),
            _ => return None,
        })
    }

    /// Adjusted R²: 1 − (1 − R²)(n − 1)/(n − p − 1) for p predictors, n the number of rows of positive weight (Ezekiel 1930).
    /// At most R².
    ///
    /// Undefined where R² is, and with [`UndefinedReason::TooFew`] unless n > p + 1.
    ///
    /// ```
    /// use mlops_eval::regression::RegressionState;
    /// let state = RegressionState::of(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 3.0], None)?;
    /// assert!(state.adjusted_r2(1)?.value().is_some_and(|value| (value - 0.7).abs() < 1e-15));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`finish`](Self::finish).
    pub fn adjusted_r2(&self, predictors: u64) -> Result<Measured, StatsError> {
        let needed = predictors.saturating_add(2);
        let r2 = self.r2(&RegressionOptions::default())?;
        if r2.value().is_some() && self.0.counted < needed {
            return Ok(too_few(self.0.counted, needed));
        }
        let factor = self.0.counted.saturating_sub(1) as f64
            / self.0.counted.saturating_sub(predictors).saturating_sub(1) as f64;
        match r2 {
            Measured::Value(r2) => in_range("adjusted R²", 1.0 - (1.0 - r2) * factor).map(Measured::Value),
            undefined => Ok(undefined),
        }
    }

    /// Σ w(y − ȳ)²: what an output weighs in a variance-weighted average.
    pub(crate) fn target_spread(&self) -> f64 {
        if self.0.counted == 0 || self.0.lowest_target == self.0.highest_target {
            return 0.0;
        }
        self.0.target.squares.value()
    }

    /// The root of the mean squared error is far from where squares leave the range of f64.
    pub(crate) fn squares_fit(&self) -> bool {
        self.0.largest == 0.0 || (1e-140..1e140).contains(&self.0.largest)
    }

    /// A sum over the total weight. A quotient by a tiny weight may overflow.
    fn mean(&self, what: &'static str, sum_of: &'static str, sum: &Sum) -> Result<Measured, StatsError> {
        let total = in_range("the sum of the weights", self.0.weight.value())?;
        let sum = in_range(sum_of, sum.value())?;
        match Measured::ratio(sum, total) {
            Measured::Value(mean) => in_range(what, mean).map(Measured::Value),
            undefined => Ok(undefined),
        }
    }

    fn mean_error(&self) -> Result<Measured, StatsError> {
        match self.0.counted {
            0 => Ok(too_few(0, 1)),
            _ => in_range("the mean error", -self.0.error.mean.value() + 0.0).map(Measured::Value),
        }
    }

    fn mape(&self, options: &RegressionOptions) -> Result<Measured, StatsError> {
        let mut sum = self.0.percentage;
        match options.percentage_of_zero {
            PercentageOfZero::Epsilon => sum.merge(self.0.percentage_of_epsilon),
            PercentageOfZero::Undefined => sum.merge(self.0.percentage_of_tiny),
        }
        if options.percentage_of_zero == PercentageOfZero::Undefined && self.0.zero_targets.value() > 0.0 {
            return Ok(Measured::ratio(in_range(ABSOLUTE, self.0.absolute.value())?, 0.0));
        }
        self.mean("the mean absolute percentage error", "the sum of percentage errors", &sum)
    }

    fn smape(&self, options: &RegressionOptions) -> Result<Measured, StatsError> {
        let empty = self.0.both_zero.value();
        if empty > 0.0 && options.symmetric_zero == SymmetricZero::Undefined {
            return Ok(Measured::ratio(0.0, 0.0));
        }
        let sum = in_range("the sum of symmetric percentage errors", self.0.symmetric.value())?;
        let mut weight = self.0.weight;
        if options.symmetric_zero == SymmetricZero::Skip {
            weight.push(-empty);
        }
        match Measured::ratio(sum, in_range("the sum of the weights", weight.value())?) {
            // No term exceeds 2, and rounding must not.
            Measured::Value(mean) => Ok(Measured::Value(mean.min(2.0))),
            undefined => Ok(undefined),
        }
    }

    fn wape(&self) -> Result<Measured, StatsError> {
        let absolute = in_range(ABSOLUTE, self.0.absolute.value())?;
        let magnitude = in_range("the sum of the targets' sizes", self.0.magnitude.value())?;
        match Measured::ratio(absolute, magnitude) {
            Measured::Value(value) => {
                in_range("the weighted absolute percentage error", value).map(Measured::Value)
            }
            undefined => Ok(undefined),
        }
    }

    fn max_error(&self) -> Result<Measured, StatsError> {
        match self.0.counted {
            0 => Ok(too_few(0, 1)),
            _ => in_range("the largest error", self.0.largest).map(Measured::Value),
        }
    }

    fn r2(&self, options: &RegressionOptions) -> Result<Measured, StatsError> {
        if self.0.counted < 2 {
            return Ok(too_few(self.0.counted, 2));
        }
        let left = in_range("the sum of squares of R²", self.0.squared.value())?;
        self.share_explained(left).map(|share| options.force(share))
    }

    fn explained_variance(&self, options: &RegressionOptions) -> Result<Measured, StatsError> {
        if self.0.counted == 0 || (self.0.counted == 1 && !options.force_finite) {
            return Ok(too_few(self.0.counted, 2));
        }
        let left = in_range("the sum of squares of explained variance", self.0.error.squares.value())?;
        self.share_explained(left.max(0.0)).map(|share| options.force(share))
    }

    fn share_explained(&self, left: f64) -> Result<Measured, StatsError> {
        if self.0.lowest_target == self.0.highest_target {
            return Ok(constant_target(left));
        }
        explained(left, in_range("the sum of squares of R²", self.0.target.squares.value())?)
    }

    fn pearson(&self) -> Result<Measured, StatsError> {
        if self.0.counted < 2 {
            return Ok(too_few(self.0.counted, 2));
        }
        let constant = self.0.lowest_target == self.0.highest_target
            || self.0.lowest_prediction == self.0.highest_prediction;
        let [targets, predictions, product] =
            [self.0.target.squares, self.0.prediction.squares, self.0.product].map(|sum| sum.value());
        let product = in_range("the sum of products of Pearson's correlation", product)?;
        // One root at a time: the product of the spreads may leave the range of f64.
        let spread = in_range("the spread of Pearson's correlation", targets.sqrt() * predictions.sqrt())?;
        if constant || spread == 0.0 {
            return Ok(constant_target(product));
        }
        Ok(Measured::Value((product / spread).clamp(-1.0, 1.0)))
    }

    fn concordance_correlation(&self) -> Result<Measured, StatsError> {
        if self.0.counted < 2 {
            return Ok(too_few(self.0.counted, 2));
        }
        let apart = self.0.prediction.mean.distance_to_sum(&self.0.target.mean);
        let spread = self.0.target.squares.value()
            + self.0.prediction.squares.value()
            + self.0.weight.value() * apart * apart;
        let what = "the sum of squares of the concordance correlation";
        let (product, spread) = (in_range(what, self.0.product.value())?, in_range(what, spread)?);
        if spread == 0.0 {
            return Ok(constant_target(product));
        }
        Ok(Measured::Value((2.0 * (product / spread)).clamp(-1.0, 1.0)))
    }
}

const ABSOLUTE: &str = "the sum of absolute errors";
const SQUARED: &str = "the sum of squared errors";

pub(crate) fn too_few(have: u64, need: u64) -> Measured {
    let rows = |n| usize::try_from(n).unwrap_or(usize::MAX);
    Measured::none(UndefinedReason::TooFew, rows(have), rows(need))
}

/// A share of a spread that is none; keeps what is left unexplained.
pub(crate) fn constant_target(left: f64) -> Measured {
    let undefined =
        mlops_core::num::Undefined { reason: UndefinedReason::Constant, numerator: left, denominator: 0.0 };
    Measured::Undefined(undefined)
}

/// 1 − left / spread. A spread that underflowed to 0 although the targets vary cannot be told from constant targets.
pub(crate) fn explained(left: f64, spread: f64) -> Result<Measured, StatsError> {
    if spread <= 0.0 {
        return Ok(constant_target(left));
    }
    in_range("R²", 1.0 - left / spread).map(Measured::Value)
}

/// Lengths, finite values and weights, in this order.
pub(crate) fn check(y_true: &[f64], y_pred: &[f64], weights: Option<&[f64]>) -> Result<f64, StatsError> {
    paired(named("y_true", y_true), named("y_pred", y_pred))?;
    finite("y_true", y_true)?;
    finite("y_pred", y_pred)?;
    weight_total(weights, named("y_true", y_true))
}

/// One row that is about to be pushed.
pub(crate) fn check_row(rows: u64, y_true: f64, y_pred: f64, weight: f64) -> Result<(), StatsError> {
    let index = usize::try_from(rows).unwrap_or(usize::MAX);
    for (argument, value) in [("y_true", y_true), ("y_pred", y_pred), ("weight", weight)] {
        if !value.is_finite() {
            return Err(not_finite(argument, index, value));
        }
    }
    if weight < 0.0 {
        let (argument, low, high) = ("weight", 0.0, f64::MAX);
        return Err(StatsError::OutOfRange { argument, index, value: weight, low, high });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn rows_pushed_one_by_one_are_the_same_rows() {
        let y: Vec<f64> = (0..1500).map(|i| f64::from(i * i % 97) - 3.0).collect();
        let p: Vec<f64> = (0..1500).map(|i| f64::from(i * i % 89) - 3.0).collect();
        let w: Vec<f64> = (0..1500).map(|i| f64::from(i % 4) / 3.0).collect();
        for weights in [None, Some(&w[..])] {
            let mut pushed = RegressionState::default();
            for row in 0..y.len() {
                pushed.push(y[row], p[row], weights.map_or(1.0, |w| w[row])).unwrap();
            }
            let whole = RegressionState::of(&y, &p, weights).unwrap();
            for options in [RegressionOptions::default(), RegressionOptions::scikit_learn_1_9()] {
                for &metric in RegressionMetric::ALL {
                    let (Some(a), Some(b)) =
                        (pushed.measure(metric, &options), whole.measure(metric, &options))
                    else {
                        continue;
                    };
                    assert!(close(a.unwrap(), b.unwrap()), "{metric}: {a:?} {b:?}");
                }
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
        for (from, to) in [
            ("\"counted\":2", "\"counted\":3"),
            ("\"rows\":2", "\"rows\":2,\"more\":1"),
            ("\"weight\":{\"total\":2.0", "\"weight\":{\"total\":-2.0"),
            ("\"lowest_target\":0.1", "\"lowest_target\":9.0"),
        ] {
            assert!(text.contains(from), "{text}");
            assert!(serde_json::from_str::<RegressionState>(&text.replace(from, to)).is_err(), "{to}");
        }
    }
}
