//! The named parity criteria as functions on rows. Several of them on the same rows are cheaper through
//! [`GroupMetrics`](super::GroupMetrics), which counts once.

use mlops_core::num::{Measured, StatsError};
use serde::{Deserialize, Serialize};

use super::aggregate::Aggregate;
use super::group::SensitiveFeature;
use super::metrics::GroupMetrics;
use super::options::FairnessOptions;

/// Equalized odds: the combined value and the two comparisons it is made of.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EqualizedOdds {
    /// The combined value; undefined when one of the two is.
    pub value: Measured,
    /// The comparison of true positive rates.
    pub true_positive_rate: Aggregate,
    /// The comparison of false positive rates.
    pub false_positive_rate: Aggregate,
}

impl EqualizedOdds {
    /// Whether every group took part in both comparisons.
    ///
    /// ```
    /// use mlops_eval::fairness::{FairnessOptions, SensitiveFeature, equalized_odds_difference};
    ///
    /// let group = SensitiveFeature::from_values("group", &["a", "b"]);
    /// let options = FairnessOptions::default();
    /// let odds = equalized_odds_difference(&[true, false], &[true, false], &[group], &options)?;
    /// assert!(!odds.is_complete());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_complete(&self) -> bool {
        self.true_positive_rate.is_complete() && self.false_positive_rate.is_complete()
    }
}

macro_rules! parity {
    ($(
        $plain:ident, $weighted:ident, $result:ty, example $example:literal;
    )+) => {$(
        #[doc = concat!("[`GroupMetrics::", stringify!($plain), "`] of these rows.")]
        ///
        /// ```
        #[doc = concat!("use mlops_eval::fairness::{FairnessOptions, SensitiveFeature, ", stringify!($plain), "};")]
        ///
        /// let group = SensitiveFeature::from_values("group", &["a", "a", "a", "b", "b", "b"]);
        /// let y_true = [true, true, false, true, true, false];
        /// let y_pred = [true, true, true, true, false, true];
        /// let options = FairnessOptions::default().with_minimum_size(3);
        #[doc = concat!("let parity = ", stringify!($plain), "(&y_true, &y_pred, &[group], &options)?;")]
        /// assert!(parity.is_complete());
        #[doc = concat!("assert!(parity.value.value().is_some_and(|value| (value - ", $example, ").abs() < 1e-15));")]
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        ///
        /// # Errors
        /// Those of [`GroupMetrics::of`].
        pub fn $plain(
            y_true: &[bool],
            y_pred: &[bool],
            features: &[SensitiveFeature<'_>],
            options: &FairnessOptions,
        ) -> Result<$result, StatsError> {
            Ok(GroupMetrics::of(y_true, y_pred, features, options)?.$plain())
        }

        #[doc = concat!("[`", stringify!($plain), "`] with a weight for each row.")]
        ///
        /// ```
        #[doc = concat!("use mlops_eval::fairness::{FairnessOptions, SensitiveFeature, ", stringify!($weighted), "};")]
        ///
        /// let group = SensitiveFeature::from_values("group", &["a", "a", "b", "b", "b"]);
        /// let y_true = [true, false, true, true, false];
        /// let y_pred = [true, true, true, false, true];
        /// let weights = [2.0, 1.0, 1.0, 1.0, 1.0];
        /// let options = FairnessOptions::default().with_minimum_size(2);
        #[doc = concat!("let parity = ", stringify!($weighted), "(&y_true, &y_pred, &weights, &[group], &options)?;")]
        #[doc = concat!("assert!(parity.value.value().is_some_and(|value| (value - ", $example, ").abs() < 1e-15));")]
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        ///
        /// # Errors
        /// Those of [`GroupMetrics::weighted`].
        pub fn $weighted(
            y_true: &[bool],
            y_pred: &[bool],
            weights: &[f64],
            features: &[SensitiveFeature<'_>],
            options: &FairnessOptions,
        ) -> Result<$result, StatsError> {
            Ok(GroupMetrics::weighted(y_true, y_pred, weights, features, options)?.$plain())
        }
    )+};
}

parity! {
    accuracy_equality_difference, accuracy_equality_difference_weighted, Aggregate, example "1.0 / 3.0";
    accuracy_equality_ratio, accuracy_equality_ratio_weighted, Aggregate, example "0.5";
    demographic_parity_difference, demographic_parity_difference_weighted, Aggregate, example "1.0 / 3.0";
    demographic_parity_ratio, demographic_parity_ratio_weighted, Aggregate, example "2.0 / 3.0";
    equal_opportunity_difference, equal_opportunity_difference_weighted, Aggregate, example "0.5";
    equal_opportunity_ratio, equal_opportunity_ratio_weighted, Aggregate, example "0.5";
    equalized_odds_difference, equalized_odds_difference_weighted, EqualizedOdds, example "0.5";
    equalized_odds_ratio, equalized_odds_ratio_weighted, EqualizedOdds, example "0.5";
    error_rate_difference, error_rate_difference_weighted, Aggregate, example "1.0 / 3.0";
    error_rate_ratio, error_rate_ratio_weighted, Aggregate, example "0.5";
    predictive_parity_difference, predictive_parity_difference_weighted, Aggregate, example "1.0 / 6.0";
    predictive_parity_ratio, predictive_parity_ratio_weighted, Aggregate, example "0.75";
    treatment_equality_difference, treatment_equality_difference_weighted, Aggregate, example "1.0";
    treatment_equality_ratio, treatment_equality_ratio_weighted, Aggregate, example "0.0";
}
