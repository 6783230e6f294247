//! Limits of numbers, and of the lengths of texts.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The values a numeric or time field may take; both ends are included unless they are said to be excluded, and a side without a
/// limit is open.
///
/// Integers and times are compared with the limits exactly, also beyond ±2⁵³. Serialised with the keys `min`, `max`,
/// `exclusive_min` and `exclusive_max`.
///
/// ```
/// use mlops_core::data::Range;
/// let range = Range::new(Some(0.0), Some(120.0))?;
/// assert!(range.contains(120.0) && !range.contains(f64::NAN));
/// assert!(!range.with_exclusive_max(true)?.contains(120.0));
/// assert!(Range::new(Some(1.0), Some(0.0)).is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RangeWire", into = "RangeWire")]
pub struct Range {
    min: Option<f64>,
    max: Option<f64>,
    exclusive_min: bool,
    exclusive_max: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RangeWire {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max: Option<f64>,
    #[serde(default, skip_serializing_if = "is_false")]
    exclusive_min: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    exclusive_max: bool,
}

pub(super) fn is_false(flag: &bool) -> bool {
    !flag
}

impl From<Range> for RangeWire {
    fn from(range: Range) -> Self {
        let Range { min, max, exclusive_min, exclusive_max } = range;
        Self { min, max, exclusive_min, exclusive_max }
    }
}

impl TryFrom<RangeWire> for Range {
    type Error = Error;

    fn try_from(wire: RangeWire) -> Result<Self> {
        Self::new(wire.min, wire.max)?
            .with_exclusive_min(wire.exclusive_min)?
            .with_exclusive_max(wire.exclusive_max)
    }
}

impl Range {
    /// The values from `min` to `max`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a limit that is NaN or infinite (leave it out
    /// instead) and for `min` above `max`.
    pub fn new(min: Option<f64>, max: Option<f64>) -> Result<Self> {
        for (field, limit) in [("min", min), ("max", max)] {
            if let Some(limit) = limit.filter(|limit| !limit.is_finite()) {
                return Err(Error::invalid("Range::new", field, format!("must be finite, got {limit}")));
            }
        }
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            let message = format!("must not be above the maximum: {min} > {max}");
            return Err(Error::invalid("Range::new", "min", message));
        }
        Ok(Self { min, max, exclusive_min: false, exclusive_max: false })
    }

    /// Sets whether the smallest value itself is excluded.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) without a smallest value, and when nothing would be left.
    pub fn with_exclusive_min(mut self, exclusive: bool) -> Result<Self> {
        self.exclusive_min = exclusive;
        self.check("exclusive_min", exclusive && self.min.is_none())
    }

    /// Sets whether the largest value itself is excluded.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) without a largest value, and when nothing would be left.
    pub fn with_exclusive_max(mut self, exclusive: bool) -> Result<Self> {
        self.exclusive_max = exclusive;
        self.check("exclusive_max", exclusive && self.max.is_none())
    }

    fn check(self, field: &str, no_limit: bool) -> Result<Self> {
        let empty = (self.exclusive_min || self.exclusive_max) && self.min.is_some() && self.min == self.max;
        match (no_limit, empty) {
            (true, _) => Err(Error::invalid("Range::new", field, "excludes a limit that is not given")),
            (_, true) => Err(Error::invalid("Range::new", field, "leaves no value")),
            _ => Ok(self),
        }
    }

    /// The smallest value allowed.
    pub const fn min(&self) -> Option<f64> {
        self.min
    }

    /// The largest value allowed.
    pub const fn max(&self) -> Option<f64> {
        self.max
    }

    /// Whether the smallest value itself is excluded.
    pub const fn exclusive_min(&self) -> bool {
        self.exclusive_min
    }

    /// Whether the largest value itself is excluded.
    pub const fn exclusive_max(&self) -> bool {
        self.exclusive_max
    }

    /// Whether `value` lies inside; NaN never does.
    pub fn contains(&self, value: f64) -> bool {
        let above = |min| if self.exclusive_min { value > min } else { value >= min };
        let below = |max| if self.exclusive_max { value < max } else { value <= max };
        !value.is_nan() && self.min.is_none_or(above) && self.max.is_none_or(below)
    }

    /// Whether everything in this range lies in `other`.
    pub(in crate::data) fn is_inside(&self, other: &Self) -> bool {
        let low = match (self.min, other.min) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(theirs)) => {
                own > theirs || own == theirs && (self.exclusive_min || !other.exclusive_min)
            }
        };
        let high = match (self.max, other.max) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(theirs)) => {
                own < theirs || own == theirs && (self.exclusive_max || !other.exclusive_max)
            }
        };
        low && high
    }

    /// The smallest and the largest float inside.
    pub(in crate::data) fn floats(&self) -> (f64, f64) {
        let low =
            self.min.map_or(f64::NEG_INFINITY, |min| if self.exclusive_min { min.next_up() } else { min });
        let high =
            self.max.map_or(f64::INFINITY, |max| if self.exclusive_max { max.next_down() } else { max });
        (low, high)
    }

    /// The smallest and the largest whole number inside; beyond those of 64 bits where a side is open.
    pub(in crate::data) fn integers(&self) -> (i128, i128) {
        // A cast of a float to an integer saturates, and i128 holds what a float of 64 bits has below 1e38.
        let low = self.min.map_or(i128::MIN, |min| {
            let up = min.ceil() as i128;
            if self.exclusive_min && min.fract() == 0.0 { up.saturating_add(1) } else { up }
        });
        let high = self.max.map_or(i128::MAX, |max| {
            let down = max.floor() as i128;
            if self.exclusive_max && max.fract() == 0.0 { down.saturating_sub(1) } else { down }
        });
        (low, high)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = if self.exclusive_min { '(' } else { '[' };
        let close = if self.exclusive_max { ')' } else { ']' };
        match (self.min, self.max) {
            (Some(min), Some(max)) => write!(f, "{open}{min}, {max}{close}"),
            (Some(min), None) => write!(f, "{open}{min}, ∞)"),
            (None, Some(max)) => write!(f, "(−∞, {max}{close}"),
            (None, None) => f.write_str("(−∞, ∞)"),
        }
    }
}

/// How many characters (Unicode scalar values) a text has.
///
/// ```
/// use mlops_core::data::Length;
/// let code = Length::new(2, Some(2))?;
/// assert_eq!(code.to_string(), "2 to 2");
/// assert!(Length::new(3, Some(2)).is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "LengthWire", into = "LengthWire")]
pub struct Length {
    min: u64,
    max: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LengthWire {
    #[serde(default)]
    min: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max: Option<u64>,
}

impl From<Length> for LengthWire {
    fn from(length: Length) -> Self {
        Self { min: length.min, max: length.max }
    }
}

impl TryFrom<LengthWire> for Length {
    type Error = Error;

    fn try_from(wire: LengthWire) -> Result<Self> {
        Self::new(wire.min, wire.max)
    }
}

impl Length {
    /// From `min` to `max` characters.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for `min` above `max`.
    pub fn new(min: u64, max: Option<u64>) -> Result<Self> {
        if let Some(max) = max.filter(|max| min > *max) {
            let message = format!("must not be above the maximum: {min} > {max}");
            return Err(Error::invalid("Length::new", "min", message));
        }
        Ok(Self { min, max })
    }

    /// The fewest characters.
    pub const fn min(&self) -> u64 {
        self.min
    }

    /// The most characters.
    pub const fn max(&self) -> Option<u64> {
        self.max
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.max {
            Some(max) => write!(f, "{} to {max}", self.min),
            None => write!(f, "{} or more", self.min),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excluded_ends_are_outside_for_floats_and_integers() {
        let range = Range::new(Some(0.0), Some(2.5)).unwrap();
        let open = range.with_exclusive_min(true).unwrap().with_exclusive_max(true).unwrap();
        assert!(range.contains(0.0) && !open.contains(0.0) && !open.contains(2.5) && open.contains(5e-324));
        assert_eq!((range.integers(), open.integers()), ((0, 2), (1, 2)));
        assert_eq!((range.floats(), open.floats().0), ((0.0, 2.5), 5e-324));
        assert_eq!((range.to_string(), open.to_string()), ("[0, 2.5]".to_owned(), "(0, 2.5)".to_owned()));
        assert!(open.is_inside(&range) && !range.is_inside(&open));
    }

    #[test]
    fn limits_that_leave_nothing_or_exclude_nothing_are_refused_also_when_read() {
        assert!(Range::default().with_exclusive_max(true).is_err());
        assert!(Range::new(Some(1.0), Some(1.0)).unwrap().with_exclusive_min(true).is_err());
        for text in [
            r#"{"exclusive_min":true}"#,
            r#"{"min":1.0,"max":1.0,"exclusive_max":true}"#,
            r#"{"min":2.0,"max":1.0}"#,
        ] {
            assert!(serde_json::from_str::<Range>(text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<Length>(r#"{"min":3,"max":2}"#).is_err());
    }

    #[test]
    fn whole_numbers_beyond_those_of_a_float_are_compared_exactly() {
        let max = Range::new(None, Some(9_007_199_254_740_992.0)).unwrap();
        assert_eq!(max.integers().1, 9_007_199_254_740_992);
        let huge = Range::new(Some(-1e300), Some(1e300)).unwrap();
        let (low, high) = huge.integers();
        assert!(low < i128::from(i64::MIN) && high > i128::from(i64::MAX));
    }
}
