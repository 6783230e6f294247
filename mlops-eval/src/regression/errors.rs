//! Sizes of the errors y − ŷ, and the share of variance they leave.
//!
//! y is the target, ŷ the prediction, w the weight (1 without weights), W the sum of the weights. All values agree
//! with scikit-learn 1.9.1 to 1e-12 where both define them (`tests/reference/`).

use mlops_core::num::{Measured, StatsError};

use super::metric::RegressionMetric;
use super::options::RegressionOptions;
use super::state::RegressionState;

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

    /// Mean error, or bias: Σ w(ŷ − y) / W, in the unit of y; positive where predictions are too high. Always defined. O(n).
    MeanError: mean_error, mean_error_weighted, example "0.25";

    /// Mean absolute percentage error: Σ w|y − ŷ|/|y| / W, a share, at least 0. O(n).
    ///
    /// Undefined with [`UndefinedReason::ZeroDenominator`](mlops_core::num::UndefinedReason::ZeroDenominator) when a target of
    /// positive weight is 0; scikit-learn divides by the machine epsilon then
    /// ([`PercentageOfZero::Epsilon`](super::PercentageOfZero::Epsilon)).
    Mape: mape, mape_weighted, example "0.3273809523809524";

    /// Symmetric mean absolute percentage error: Σ w·2|y − ŷ|/(|y| + |ŷ|) / W, a share from 0 to 2 (Makridakis 1993, as
    /// computed in the M4 competition, without its factor of 100). O(n).
    ///
    /// A row with y = ŷ = 0 counts as 0; [`SymmetricZero`](super::SymmetricZero) has the other choices, of which one makes it
    /// undefined.
    Smape: smape, smape_weighted, example "0.5787878787878787";

    /// Weighted absolute percentage error: Σ w|y − ŷ| / Σ w|y|, a share, at least 0. O(n).
    ///
    /// Undefined with [`UndefinedReason::ZeroDenominator`](mlops_core::num::UndefinedReason::ZeroDenominator) when all targets
    /// are 0.
    Wape: wape, wape_weighted, example "0.16";

    /// The share of the targets' variance that the predictions explain: 1 − Σ w(y − ŷ)² / Σ w(y − ȳ)², at most 1; 0
    /// for predicting the mean ȳ, negative for less than that. O(n).
    ///
    /// Undefined with [`UndefinedReason::TooFew`](mlops_core::num::UndefinedReason::TooFew) for fewer than two rows of positive weight, and with
    /// [`UndefinedReason::Constant`](mlops_core::num::UndefinedReason::Constant) when all targets are equal; scikit-learn returns 1 or 0 then, depending on
    /// whether the predictions are perfect ([`r2_force_finite`](super::r2_force_finite)).
    R2: r2, r2_weighted, example "0.9486081370449679";

    /// The share of the targets' variance that predictions explain up to a constant: 1 − Σ w(e − ē)² / Σ w(y − ȳ)² with
    /// e = y − ŷ, at most 1 and at least R². O(n).
    ///
    /// Undefined as [`r2`]; scikit-learn's numbers then come with
    /// [`RegressionOptions::force_finite`](super::RegressionOptions).
    ExplainedVariance: explained_variance, explained_variance_weighted, example "0.9571734475374732";

    /// Pearson's correlation of targets and predictions: Σ w(y − ȳ)(ŷ − m) / √(Σ w(y − ȳ)² · Σ w(ŷ − m)²), m the mean
    /// prediction, from −1 to 1. O(n). Agrees with `scipy.stats.pearsonr` (1.17.1) to 1e-12.
    ///
    /// Undefined with [`UndefinedReason::TooFew`](mlops_core::num::UndefinedReason::TooFew) for fewer than two rows of positive
    /// weight, and with [`UndefinedReason::Constant`](mlops_core::num::UndefinedReason::Constant) when targets or predictions
    /// do not vary.
    Pearson: pearson, pearson_weighted, example "0.9848696184482703";

    /// Lin's concordance correlation (*A Concordance Correlation Coefficient to Evaluate Reproducibility*, Biometrics 45, 1989):
    /// 2 Σ w(y − ȳ)(ŷ − m) / (Σ w(y − ȳ)² + Σ w(ŷ − m)² + W(ȳ − m)²), from −1 to 1; 1 only for predictions that are
    /// right. Sums, not unbiased variances. O(n).
    ///
    /// Undefined with [`UndefinedReason::TooFew`](mlops_core::num::UndefinedReason::TooFew) for fewer than two rows of positive
    /// weight, and with [`UndefinedReason::Constant`](mlops_core::num::UndefinedReason::Constant) when targets and predictions
    /// are all one number.
    ConcordanceCorrelation: concordance_correlation, concordance_correlation_weighted, example "0.97678916827853";

    /// The median of |y − ŷ|, in the unit of y: the middle one, or the mean of the two middle ones. With weights the averaged inverted
    /// distribution function at W/2. Always defined. O(n) from 2 048 rows on, O(n log n) below.
    MedianAbsoluteError: median_absolute_error, median_absolute_error_weighted, example "0.5";

    /// The largest |y − ŷ|, in the unit of y. Always defined. O(n).
    MaxError: max_error, max_error_weighted, example "1.0";
}

/// [`RegressionMetric::Mape`] with options.
///
/// ```
/// use mlops_eval::regression::{RegressionOptions, mape_with};
/// let options = RegressionOptions::scikit_learn_1_9();
/// assert_eq!(mape_with(&[0.0, 4.0], &[0.0, 3.0], None, &options)?.value(), Some(0.125));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`mape`] and [`mape_weighted`].
pub fn mape_with(
    y_true: &[f64],
    y_pred: &[f64],
    weights: Option<&[f64]>,
    options: &RegressionOptions,
) -> Result<Measured, StatsError> {
    RegressionMetric::Mape.evaluate_with(y_true, y_pred, weights, options)
}

/// [`smape`] with options.
///
/// ```
/// use mlops_eval::regression::{RegressionOptions, SymmetricZero, smape_with};
/// let options = RegressionOptions::default().with_symmetric_zero(SymmetricZero::Skip);
/// assert_eq!(smape_with(&[0.0, 3.0], &[0.0, 1.0], None, &options)?.value(), Some(1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`smape`] and [`smape_weighted`].
pub fn smape_with(
    y_true: &[f64],
    y_pred: &[f64],
    weights: Option<&[f64]>,
    options: &RegressionOptions,
) -> Result<Measured, StatsError> {
    RegressionMetric::Smape.evaluate_with(y_true, y_pred, weights, options)
}

/// [`r2`] adjusted for the number of predictors ([`RegressionState::adjusted_r2`]).
///
/// ```
/// use mlops_eval::regression::adjusted_r2;
/// let value = adjusted_r2(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 3.0], 1)?;
/// assert!(value.value().is_some_and(|value| (value - 0.7).abs() < 1e-15));
/// assert_eq!(adjusted_r2(&[1.0, 2.0], &[1.0, 2.0], 1)?.value(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`r2`].
pub fn adjusted_r2(y_true: &[f64], y_pred: &[f64], predictors: u64) -> Result<Measured, StatsError> {
    RegressionState::of(y_true, y_pred, None)?.adjusted_r2(predictors)
}

/// [`adjusted_r2`] with a weight for each row; n counts the rows of positive weight.
///
/// ```
/// use mlops_eval::regression::{adjusted_r2, adjusted_r2_weighted};
/// let (y, p) = ([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 3.0]);
/// assert_eq!(adjusted_r2_weighted(&y, &p, &[2.0; 4], 1)?, adjusted_r2(&y, &p, 1)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`r2_weighted`].
pub fn adjusted_r2_weighted(
    y_true: &[f64],
    y_pred: &[f64],
    weights: &[f64],
    predictors: u64,
) -> Result<Measured, StatsError> {
    RegressionState::of(y_true, y_pred, Some(weights))?.adjusted_r2(predictors)
}
