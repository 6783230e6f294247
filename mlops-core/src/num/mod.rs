//! What statistics share: NaN policy, errors, typed "no answer", summation, ranks, quantiles, weights, tails of
//! laws, corrections for many tests, instruction sets and threads.
//!
//! Everything here is a pure function on slices. The same input gives the same bits on every run.

pub mod json_float;
pub mod labelled;
pub mod multiple;
pub mod parallel;
pub mod quantile;
mod random;
pub mod ranks;
pub mod sample;
pub mod simd;
pub mod special;
pub mod sum;
pub mod weights;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use random::Random;

/// What to do with NaN in the data, with SciPy's names (`nan_policy`).
///
/// Missing values marked by a validity bitmap are not NaN: they are counted and left out under every policy.
///
/// ```
/// use mlops_core::num::NanPolicy;
/// assert_eq!(NanPolicy::default(), NanPolicy::Raise);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NanPolicy {
    /// A NaN is an error that names the argument and the index. The default.
    #[default]
    Raise,
    /// NaNs are left out, and counted where the result has a place for it.
    Omit,
    /// A NaN makes the result [`Undefined`] with [`UndefinedReason::NanInput`].
    Propagate,
}

/// Why a computation refused its input. Small, `Copy`, and it names the argument and, where there is one, the index.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum StatsError {
    /// The argument has no elements.
    #[error("`{argument}` is empty")]
    Empty {
        /// The argument's name.
        argument: &'static str,
    },
    /// Every element is missing or left out.
    #[error("`{argument}` has no value that is present")]
    AllMissing {
        /// The argument's name.
        argument: &'static str,
    },
    /// Fewer elements than the statistic needs.
    #[error("`{argument}` has {got} elements, at least {needed} are needed")]
    TooFew {
        /// The argument's name.
        argument: &'static str,
        /// How many are needed.
        needed: usize,
        /// How many there are.
        got: usize,
    },
    /// Two arguments that belong together differ in length.
    #[error("`{left}` has {left_len} elements but `{right}` has {right_len}")]
    LengthMismatch {
        /// The first argument's name.
        left: &'static str,
        /// Its length.
        left_len: usize,
        /// The second argument's name.
        right: &'static str,
        /// Its length.
        right_len: usize,
    },
    /// A NaN under [`NanPolicy::Raise`].
    #[error("`{argument}` has a NaN at index {index}")]
    Nan {
        /// The argument's name.
        argument: &'static str,
        /// Where.
        index: usize,
    },
    /// An infinity where the definition needs finite values.
    #[error("`{argument}` has {value} at index {index}, which is not finite")]
    NotFinite {
        /// The argument's name.
        argument: &'static str,
        /// Where.
        index: usize,
        /// The value.
        value: f64,
    },
    /// A value outside the range the definition allows.
    #[error("`{argument}` has {value} at index {index}, which lies outside [{low}, {high}]")]
    OutOfRange {
        /// The argument's name.
        argument: &'static str,
        /// Where.
        index: usize,
        /// The value.
        value: f64,
        /// The smallest value allowed.
        low: f64,
        /// The largest value allowed.
        high: f64,
    },
    /// Values that must not decrease do.
    #[error("`{argument}` is not in ascending order at index {index}")]
    Unsorted {
        /// The argument's name.
        argument: &'static str,
        /// The index of the element that is smaller than the one before.
        index: usize,
    },
    /// A code, label or group that was not announced.
    #[error("`{argument}` has the code {code} at index {index}, but there are {known} known ones")]
    UnknownCode {
        /// The argument's name.
        argument: &'static str,
        /// Where.
        index: usize,
        /// The code.
        code: u64,
        /// How many codes are known: they run from 0.
        known: u64,
    },
    /// Weights or counts that add up to nothing.
    #[error("`{argument}` adds up to zero")]
    ZeroTotal {
        /// The argument's name.
        argument: &'static str,
    },
    /// An option outside its documented range.
    #[error("`{parameter}` is {value}, which {reason}")]
    Parameter {
        /// The option's name.
        parameter: &'static str,
        /// Its value.
        value: f64,
        /// What is wrong with it, as a clause ("must be positive").
        reason: &'static str,
    },
    /// The result does not fit a finite number.
    #[error("{what} overflows")]
    Overflow {
        /// What overflowed.
        what: &'static str,
    },
    /// A combination that has no meaning: a statistic asked of data, or of another statistic, it is not defined for.
    #[error("{what} is not available: {reason}")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
        /// Why there is no such thing, as a clause.
        reason: &'static str,
    },
    /// Two states that cannot be merged: made with other parameters or of another version.
    #[error("cannot merge: {what} differs")]
    Incompatible {
        /// What differs.
        what: &'static str,
    },
}

impl From<StatsError> for crate::Error {
    fn from(error: StatsError) -> Self {
        Self::new(crate::ErrorKind::InvalidInput, "statistics", error.to_string()).with_source(error)
    }
}

/// Why a number has no value here although the input is legal.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UndefinedReason {
    /// A ratio with denominator 0.
    ZeroDenominator,
    /// Only one class is present where two are needed.
    SingleClass,
    /// The values do not vary where variation is needed.
    Constant,
    /// Fewer rows than the stated minimum.
    TooFew,
    /// A NaN in the input under [`NanPolicy::Propagate`].
    NanInput,
    /// Nothing to aggregate: every part is undefined itself.
    NothingDefined,
    /// A threshold separates the classes, so that a likelihood has no maximum.
    Separated,
    /// The quotient is larger than any f64.
    Overflow,
}

impl fmt::Display for UndefinedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ZeroDenominator => "the denominator is zero",
            Self::SingleClass => "only one class is present",
            Self::Constant => "the values are constant",
            Self::TooFew => "there are too few rows",
            Self::NanInput => "the input has a NaN",
            Self::NothingDefined => "no part of it is defined",
            Self::Separated => "the classes are separated",
            Self::Overflow => "the number is too large",
        })
    }
}

/// "There is no number", with the reason and what a ratio would have been made of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Undefined {
    /// Why.
    pub reason: UndefinedReason,
    /// The numerator, or the number of usable rows where there is no ratio.
    pub numerator: f64,
    /// The denominator, or the number of rows needed where there is no ratio.
    pub denominator: f64,
}

impl fmt::Display for Undefined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "undefined ({})", self.reason)
    }
}

/// A number, or a typed reason why there is none. Never NaN.
///
/// ```
/// use mlops_core::num::{Measured, UndefinedReason};
///
/// assert_eq!(Measured::ratio(1.0, 4.0).value(), Some(0.25));
/// let none = Measured::ratio(0.0, 0.0);
/// assert_eq!(none.value(), None);
/// assert_eq!(none.undefined().map(|u| u.reason), Some(UndefinedReason::ZeroDenominator));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measured {
    /// The number.
    Value(f64),
    /// Why there is none.
    Undefined(Undefined),
}

impl Measured {
    /// `numerator / denominator`, or [`UndefinedReason::ZeroDenominator`].
    pub fn ratio(numerator: f64, denominator: f64) -> Self {
        if denominator == 0.0 {
            Self::Undefined(Undefined { reason: UndefinedReason::ZeroDenominator, numerator, denominator })
        } else {
            Self::Value(numerator / denominator)
        }
    }

    /// [`ratio`](Self::ratio), or [`UndefinedReason::Overflow`] where no f64 is large enough for it.
    ///
    /// ```
    /// use mlops_core::num::{Measured, UndefinedReason};
    /// let reason = Measured::finite_ratio(1e300, 1e-300).undefined().map(|undefined| undefined.reason);
    /// assert_eq!(reason, Some(UndefinedReason::Overflow));
    /// ```
    pub fn finite_ratio(numerator: f64, denominator: f64) -> Self {
        match Self::ratio(numerator, denominator) {
            Self::Value(value) if !value.is_finite() => {
                Self::Undefined(Undefined { reason: UndefinedReason::Overflow, numerator, denominator })
            }
            ratio => ratio,
        }
    }

    /// "No number" for a reason without a ratio; `have` rows were usable and `need` are needed.
    pub fn none(reason: UndefinedReason, have: usize, need: usize) -> Self {
        Self::Undefined(Undefined { reason, numerator: have as f64, denominator: need as f64 })
    }

    /// The number, if there is one.
    pub const fn value(self) -> Option<f64> {
        match self {
            Self::Value(value) => Some(value),
            Self::Undefined(_) => None,
        }
    }

    /// The reason, if there is no number.
    pub const fn undefined(self) -> Option<Undefined> {
        match self {
            Self::Value(_) => None,
            Self::Undefined(undefined) => Some(undefined),
        }
    }

    /// Applies a function to the number, if there is one.
    ///
    /// ```
    /// use mlops_core::num::Measured;
    /// assert_eq!(Measured::Value(0.25).map(f64::sqrt), Measured::Value(0.5));
    /// ```
    #[must_use]
    pub fn map(self, f: impl FnOnce(f64) -> f64) -> Self {
        match self {
            Self::Value(value) => Self::Value(f(value)),
            Self::Undefined(_) => self,
        }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => value.fmt(f),
            Self::Undefined(undefined) => undefined.fmt(f),
        }
    }
}
