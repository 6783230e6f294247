//! What statistics on values take: a slice of numbers of any width, with or without a validity bitmap.

use std::borrow::Cow;
use std::fmt::Debug;

use mlops_core::data::Validity;
use mlops_core::num::{NanPolicy, StatsError};
use serde::{Deserialize, Serialize};

mod sealed {
    pub trait Sealed: Sized {
        /// The values as doubles: themselves, or in `buffer`, which is at least as long.
        fn doubles<'a>(values: &'a [Self], buffer: &'a mut [f64]) -> &'a [f64];

        /// The values as doubles, in a buffer that grows where they are not.
        fn doubles_in<'a>(values: &'a [Self], buffer: &'a mut Vec<f64>) -> &'a [f64];

        /// The values as doubles, copied where they are not.
        fn as_doubles(values: &[Self]) -> std::borrow::Cow<'_, [f64]>;
    }
}

pub(crate) use sealed::Sealed;

/// Fills the buffer by conversion.
macro_rules! converted {
    () => {
        #[inline(always)]
        fn doubles<'a>(values: &'a [Self], buffer: &'a mut [f64]) -> &'a [f64] {
            let doubles = &mut buffer[..values.len()];
            doubles.iter_mut().zip(values).for_each(|(double, value)| *double = value.to_f64());
            doubles
        }

        fn doubles_in<'a>(values: &'a [Self], buffer: &'a mut Vec<f64>) -> &'a [f64] {
            buffer.clear();
            buffer.extend(values.iter().map(|value| value.to_f64()));
            buffer
        }

        fn as_doubles(values: &[Self]) -> Cow<'_, [f64]> {
            Cow::Owned(values.iter().map(|value| value.to_f64()).collect())
        }
    };
}

/// A number that can be a value of a column: `f64`, `f32`, the integers of 8 to 64 bits, and `bool`.
///
/// Sealed: statistics rely on the order and the exactness of [`Value::key`].
///
/// ```
/// use mlops_drift::Value as _;
///
/// // Integers that no double can tell apart keep their order.
/// assert!(9_007_199_254_740_993_i64.key() > 9_007_199_254_740_992_i64.key());
/// assert_eq!((-0.0_f64).key(), 0.0_f64.key());
/// ```
pub trait Value: Copy + PartialEq + PartialOrd + Debug + Default + Send + Sync + Sealed + 'static {
    /// Whether the value is NaN; integers never are.
    fn is_nan(self) -> bool;

    /// Whether the value is finite; integers always are.
    fn is_finite(self) -> bool;

    /// The nearest double. Exact but for integers beyond 2⁵³.
    fn to_f64(self) -> f64;

    /// `self − other`, rounded once: integers are subtracted exactly first, so that neighbours beyond 2⁵³ differ by 1.
    fn minus(self, other: Self) -> f64;

    /// An integer in the order of the values: equal exactly for equal values (so −0.0 and 0.0 share one), and for NaN above
    /// that of every number.
    fn key(self) -> u64;
}

const SIGN: u64 = 1 << 63;

macro_rules! float {
    ($type:ty, $bits:ty) => {
        impl Value for $type {
            #[inline]
            fn is_nan(self) -> bool {
                self.is_nan()
            }

            #[inline]
            fn is_finite(self) -> bool {
                self.is_finite()
            }

            #[inline]
            fn to_f64(self) -> f64 {
                self.into()
            }

            #[inline]
            fn minus(self, other: Self) -> f64 {
                f64::from(self) - f64::from(other)
            }

            #[inline]
            fn key(self) -> u64 {
                if self.is_nan() {
                    return u64::MAX;
                }
                // −0.0 + 0.0 is 0.0. Negative numbers are ordered backwards by their bits.
                let bits = (self + 0.0).to_bits();
                let sign = <$bits>::MAX / 2 + 1;
                u64::from(if bits & sign == 0 { bits | sign } else { !bits })
            }
        }
    };
}

macro_rules! integer {
    ($offset:expr; $($type:ty),*) => {$(
        impl Sealed for $type {
            converted!();
        }

        impl Value for $type {
            #[inline]
            fn is_nan(self) -> bool {
                false
            }

            #[inline]
            fn is_finite(self) -> bool {
                true
            }

            #[inline]
            fn to_f64(self) -> f64 {
                self as f64
            }

            #[inline]
            fn minus(self, other: Self) -> f64 {
                (i128::from(self) - i128::from(other)) as f64
            }

            #[inline]
            #[allow(clippy::cast_sign_loss, reason = "the sign is flipped into the order right after")]
            fn key(self) -> u64 {
                self as u64 ^ $offset
            }
        }
    )*};
}

float!(f64, u64);
float!(f32, u32);
integer!(SIGN; i8, i16, i32, i64);
integer!(0; u8, u16, u32, u64);

impl Sealed for bool {
    converted!();
}

impl Sealed for f32 {
    converted!();
}

impl Sealed for f64 {
    // Copying the most frequent type would cost as much as counting it.
    #[inline(always)]
    fn doubles<'a>(values: &'a [Self], _: &'a mut [f64]) -> &'a [f64] {
        values
    }

    fn doubles_in<'a>(values: &'a [Self], _: &'a mut Vec<f64>) -> &'a [f64] {
        values
    }

    fn as_doubles(values: &[Self]) -> Cow<'_, [f64]> {
        Cow::Borrowed(values)
    }
}

impl Value for bool {
    #[inline]
    fn is_nan(self) -> bool {
        false
    }

    #[inline]
    fn is_finite(self) -> bool {
        true
    }

    #[inline]
    fn to_f64(self) -> f64 {
        f64::from(u8::from(self))
    }

    #[inline]
    fn minus(self, other: Self) -> f64 {
        self.to_f64() - other.to_f64()
    }

    #[inline]
    fn key(self) -> u64 {
        u64::from(self)
    }
}

/// Values and which of them are present. Slices, vectors and arrays of numbers turn into one by themselves, so that
/// functions which take `impl Into<Sample<'_, T>>` are called with `&values`.
///
/// A value that the bitmap says is missing is left out and counted, under every [`NanPolicy`]; a NaN is a value until the
/// policy says otherwise.
///
/// ```
/// use mlops_core::data::Validity;
/// use mlops_drift::Sample;
///
/// let validity = Validity::from_bools(&[true, false, true]);
/// let sample = Sample::new(&[1_i64, 0, 3]).with_validity(&validity)?;
/// assert_eq!((sample.len(), sample.iter().count()), (3, 2));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a, T> {
    values: &'a [T],
    validity: Option<&'a Validity<'a>>,
}

impl<'a, T: Value> Sample<'a, T> {
    /// Values that are all present.
    ///
    /// ```
    /// assert_eq!(mlops_drift::Sample::new(&[1.5_f32, 2.5]).len(), 2);
    /// ```
    pub const fn new(values: &'a [T]) -> Self {
        Self { values, validity: None }
    }

    /// With a bitmap that says which values are present.
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`] for a bitmap of another length.
    ///
    /// ```
    /// use mlops_core::data::Validity;
    /// use mlops_drift::Sample;
    /// assert!(Sample::new(&[1.0, 2.0]).with_validity(&Validity::from_bools(&[true])).is_err());
    /// ```
    pub fn with_validity(mut self, validity: &'a Validity<'a>) -> Result<Self, StatsError> {
        if validity.len() != self.values.len() {
            return Err(StatsError::LengthMismatch {
                left: "validity",
                left_len: validity.len(),
                right: "values",
                right_len: self.values.len(),
            });
        }
        self.validity = Some(validity);
        Ok(self)
    }

    /// How many values there are, missing ones included.
    ///
    /// ```
    /// assert_eq!(mlops_drift::Sample::new(&[1_u8, 2]).len(), 2);
    /// ```
    pub const fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no value, not even a missing one.
    ///
    /// ```
    /// assert!(mlops_drift::Sample::<f64>::new(&[]).is_empty());
    /// ```
    pub const fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The slots, whether present or not.
    ///
    /// ```
    /// assert_eq!(mlops_drift::Sample::new(&[true, false]).values(), [true, false]);
    /// ```
    pub const fn values(&self) -> &'a [T] {
        self.values
    }

    /// Whether the value at an index is present.
    ///
    /// ```
    /// assert!(mlops_drift::Sample::new(&[1.0]).is_valid(0));
    /// ```
    pub fn is_valid(&self, index: usize) -> bool {
        index < self.values.len() && self.validity.is_none_or(|validity| validity.is_valid(index))
    }

    /// The values that are present, NaN among them.
    ///
    /// ```
    /// assert_eq!(mlops_drift::Sample::new(&[1, 2, 3_i32]).iter().sum::<i32>(), 6);
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = T> + 'a {
        let validity = self.validity;
        let valid = move |index| validity.is_none_or(|validity| validity.is_valid(index));
        self.values.iter().enumerate().filter(move |&(index, _)| valid(index)).map(|(_, &value)| value)
    }

    /// The values a statistic works on, and what was left out.
    ///
    /// Borrows when nothing has to be left out. Under [`NanPolicy::Propagate`] NaN is left out too; the caller asks [`Self::has_nan`] first.
    ///
    /// # Errors
    /// [`StatsError::Empty`]; [`StatsError::Nan`] under [`NanPolicy::Raise`]; [`StatsError::AllMissing`] when nothing is left.
    pub(crate) fn present(
        &self,
        argument: &'static str,
        nan: NanPolicy,
    ) -> Result<(Cow<'a, [T]>, Side), StatsError> {
        if self.values.is_empty() {
            return Err(StatsError::Empty { argument });
        }
        let side = self.account(argument, nan)?;
        let values = if side.missing == 0 {
            Cow::Borrowed(self.values)
        } else {
            Cow::Owned(self.iter().filter(|value| !value.is_nan()).collect::<Vec<T>>())
        };
        if values.is_empty() && nan != NanPolicy::Propagate {
            return Err(StatsError::AllMissing { argument });
        }
        Ok((values, side))
    }

    /// What becomes of the values when NaN and what is absent are left out; an error for a NaN under [`NanPolicy::Raise`].
    pub(crate) fn account(&self, argument: &'static str, nan: NanPolicy) -> Result<Side, StatsError> {
        let rows = self.values.len() as u64;
        // One pass without branches tells the usual case: everything is there and finite.
        let odd = self.values.iter().map(|value| u64::from(!value.is_finite())).sum::<u64>();
        if odd == 0 && self.validity.is_none() {
            return Ok(Side { rows, used: rows, missing: 0, infinite: 0, unseen: 0 });
        }
        self.nans(argument, nan)?;
        let used = self.iter().filter(|value| !value.is_nan()).count() as u64;
        let infinite = self.iter().filter(|value| !value.is_nan() && !value.is_finite()).count() as u64;
        Ok(Side { rows, used, missing: rows - used, infinite, unseen: 0 })
    }

    /// Whether a present value is NaN.
    pub(crate) fn has_nan(&self) -> bool {
        self.values.iter().enumerate().any(|(i, v)| v.is_nan() && self.is_valid(i))
    }

    /// How many present values are NaN, or where the first one is when there must be none.
    fn nans(&self, argument: &'static str, nan: NanPolicy) -> Result<u64, StatsError> {
        let Some(first) = self.values.iter().enumerate().position(|(i, v)| v.is_nan() && self.is_valid(i))
        else {
            return Ok(0);
        };
        if nan == NanPolicy::Raise {
            return Err(StatsError::Nan { argument, index: first });
        }
        Ok((first..self.values.len()).filter(|&i| self.values[i].is_nan() && self.is_valid(i)).count() as u64)
    }
}

impl<'a, T: Value> From<&'a [T]> for Sample<'a, T> {
    fn from(values: &'a [T]) -> Self {
        Self::new(values)
    }
}

impl<'a, T: Value> From<&'a Vec<T>> for Sample<'a, T> {
    fn from(values: &'a Vec<T>) -> Self {
        Self::new(values)
    }
}

impl<'a, T: Value, const N: usize> From<&'a [T; N]> for Sample<'a, T> {
    fn from(values: &'a [T; N]) -> Self {
        Self::new(values)
    }
}

impl<'a, T: Value> From<&'a Cow<'_, [T]>> for Sample<'a, T> {
    fn from(values: &'a Cow<'_, [T]>) -> Self {
        Self::new(values)
    }
}

/// What became of the values of one side of a comparison.
///
/// ```
/// use mlops_drift::{Sample, psi};
///
/// let score = psi(&[1.0, 2.0, 3.0], &[1.0, 2.0, 9.0])?;
/// assert_eq!((score.current.rows, score.current.used, score.current.unseen), (3, 3, 1));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Side {
    /// How many values were given.
    pub rows: u64,
    /// How many of them the score speaks for. Where missing values have a cell of their own they are among them.
    pub used: u64,
    /// How many were missing: absent by the bitmap, `None`, or NaN.
    pub missing: u64,
    /// How many were infinite.
    pub infinite: u64,
    /// How many lie in no cell or category in which the reference has a value: outside its range, or of a new level.
    pub unseen: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_the_order_of_values() {
        let ascending =
            [f64::NEG_INFINITY, f64::MIN, -1.0, -5e-324, 0.0, 5e-324, 1.0, f64::MAX, f64::INFINITY, f64::NAN];
        assert!(ascending.windows(2).all(|pair| pair[0].key() < pair[1].key()));
        assert_eq!((-f64::NAN).key(), u64::MAX);
        let narrow = [f32::NEG_INFINITY, -1.0, -1e-45, 0.0, 1e-45, f32::MAX, f32::INFINITY, f32::NAN];
        assert!(narrow.windows(2).all(|pair| pair[0].key() < pair[1].key()));
        assert_eq!((-0.0_f32).key(), 0.0_f32.key());
        assert!([i64::MIN, -1, 0, 1, i64::MAX].windows(2).all(|pair| pair[0].key() < pair[1].key()));
        assert!([i8::MIN, -1, 0, 1, i8::MAX].windows(2).all(|pair| pair[0].key() < pair[1].key()));
        assert!([0, 1, u64::MAX].windows(2).all(|pair| pair[0].key() < pair[1].key()));
        assert!(false.key() < true.key());
    }

    #[test]
    fn differences_of_integers_are_exact() {
        assert_eq!(9_007_199_254_740_993_i64.minus(9_007_199_254_740_992), 1.0);
        assert_eq!((0_u64.minus(u64::MAX), i64::MIN.minus(i64::MAX)), (-(2f64.powi(64)), -(2f64.powi(64))));
        assert_eq!((false.minus(true), 2.5_f32.minus(1.0)), (-1.0, 1.5));
    }

    #[test]
    fn what_is_missing_is_left_out_and_counted() {
        let validity = Validity::from_bools(&[true, false, true, true, true]);
        let values = [1.0, f64::NAN, f64::NAN, f64::INFINITY, 2.0];
        let sample = Sample::new(&values).with_validity(&validity).unwrap();
        assert_eq!(
            sample.present("reference", NanPolicy::Raise),
            Err(StatsError::Nan { argument: "reference", index: 2 })
        );
        let (present, side) = sample.present("reference", NanPolicy::Omit).unwrap();
        assert_eq!(&present[..], [1.0, f64::INFINITY, 2.0]);
        assert_eq!(side, Side { rows: 5, used: 3, missing: 2, infinite: 1, unseen: 0 });
    }

    #[test]
    fn nothing_to_leave_out_means_nothing_to_copy() {
        let values = [3_i32, 1, 2];
        let (present, _) = Sample::new(&values).present("current", NanPolicy::Raise).unwrap();
        assert!(matches!(present, Cow::Borrowed(_)));
    }
}
