//! What stands in for a number that a ratio 0/0 does not give.

use mlops_core::num::{Measured, UndefinedReason};
use serde::{Deserialize, Serialize};

/// What a ratio with denominator 0 becomes. The default keeps it undefined; the other choices reproduce tools that
/// put a number there (scikit-learn's `zero_division` with its default 0, Fairlearn's rates, which are always 0).
///
/// ```
/// use mlops_eval::classification::{ZeroDivision, precision};
///
/// let nothing_selected = precision(&[true, false], &[false, false])?;
/// assert_eq!(nothing_selected.value(), None);
/// assert_eq!(ZeroDivision::Zero.apply(nothing_selected).value(), Some(0.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZeroDivision {
    /// Stays undefined, with numerator and denominator. The default.
    #[default]
    Undefined,
    /// Becomes 0.
    Zero,
    /// Becomes 1.
    One,
    /// Stays undefined, and averages leave it out: scikit-learn's `zero_division=nan`.
    Nan,
}

impl ZeroDivision {
    /// Replaces a value that is undefined because of a zero denominator; every other value passes unchanged.
    ///
    /// ```
    /// use mlops_core::num::{Measured, UndefinedReason};
    /// use mlops_eval::classification::ZeroDivision;
    ///
    /// assert_eq!(ZeroDivision::One.apply(Measured::ratio(0.0, 0.0)), Measured::Value(1.0));
    /// let single_class = Measured::none(UndefinedReason::SingleClass, 0, 1);
    /// assert_eq!(ZeroDivision::One.apply(single_class), single_class);
    /// ```
    #[must_use]
    pub fn apply(self, measured: Measured) -> Measured {
        let zero_denominator = measured
            .undefined()
            .is_some_and(|undefined| undefined.reason == UndefinedReason::ZeroDenominator);
        match self {
            Self::Zero if zero_denominator => Measured::Value(0.0),
            Self::One if zero_denominator => Measured::Value(1.0),
            _ => measured,
        }
    }
}
