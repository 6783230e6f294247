//! What a metric makes of rows and targets that its definition does not cover.

use mlops_core::num::{Measured, UndefinedReason};
use serde::{Deserialize, Serialize};

/// What a percentage error is of a target that is 0.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PercentageOfZero {
    /// Nothing: the metric is undefined. The default.
    #[default]
    Undefined,
    /// |y − ŷ| over the machine epsilon, as for every target smaller than that; scikit-learn's choice. One such row makes the
    /// metric about 10¹⁵.
    Epsilon,
}

/// What the symmetric percentage error is of a row whose target and prediction are both 0.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SymmetricZero {
    /// 0: the prediction is right. The default.
    #[default]
    Zero,
    /// The row is left out.
    Skip,
    /// The metric is undefined.
    Undefined,
}

/// The choices of the regression metrics.
///
/// ```
/// use mlops_eval::regression::{RegressionMetric, RegressionOptions};
///
/// let mape = |options| RegressionMetric::Mape.evaluate_with(&[0.0, 2.0], &[0.0, 1.0], None, &options);
/// assert_eq!(mape(RegressionOptions::default())?.value(), None);
/// assert_eq!(mape(RegressionOptions::scikit_learn_1_9())?.value(), Some(0.25));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegressionOptions {
    /// The percentage error of a target that is 0.
    pub percentage_of_zero: PercentageOfZero,
    /// The symmetric percentage error where target and prediction are 0.
    pub symmetric_zero: SymmetricZero,
    /// Whether R², explained variance and D² of constant targets are 1 for perfect predictions (for explained variance: errors
    /// that do not vary) and 0 otherwise, instead of undefined. Explained variance of one row is 1 then.
    pub force_finite: bool,
}

impl RegressionOptions {
    /// What scikit-learn 1.9 does by default.
    pub const fn scikit_learn_1_9() -> Self {
        Self {
            percentage_of_zero: PercentageOfZero::Epsilon,
            symmetric_zero: SymmetricZero::Zero,
            force_finite: true,
        }
    }

    /// Sets the percentage error of a target that is 0.
    #[must_use]
    pub const fn with_percentage_of_zero(mut self, choice: PercentageOfZero) -> Self {
        self.percentage_of_zero = choice;
        self
    }

    /// Sets the symmetric percentage error where target and prediction are 0.
    #[must_use]
    pub const fn with_symmetric_zero(mut self, choice: SymmetricZero) -> Self {
        self.symmetric_zero = choice;
        self
    }

    /// Sets whether shares of a spread that is 0 are 1 or 0 instead of undefined.
    #[must_use]
    pub const fn with_force_finite(mut self, force_finite: bool) -> Self {
        self.force_finite = force_finite;
        self
    }

    pub(crate) fn force(&self, measured: Measured) -> Measured {
        if self.force_finite { r2_force_finite(measured) } else { measured }
    }
}

/// What scikit-learn's `r2_score(force_finite=True)` makes of [`r2`](super::r2), and of every other share of a spread, for
/// constant targets: 1 for perfect predictions, else 0.
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
