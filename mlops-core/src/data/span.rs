//! A length of time: a duration, or a number in the unit of a column of numbers.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::data::{Column, DataType};
use crate::error::{Error, Result, quote};
use crate::time::duration_text;

/// A length along a column that has an order: a [`Duration`] where the column holds times, a whole number of the column's
/// own unit where it holds numbers.
///
/// The two are never mixed: seven days are no length of a column of numbers, and 7 says nothing about a column of times. Only
/// nothing is the same for both. In files it is a text such as `"7d"` or a number.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::data::Span;
///
/// assert_eq!(serde_json::from_str::<Span>("\"7d\"")?, Span::from(Duration::from_secs(604_800)));
/// assert_eq!(serde_json::from_str::<Span>("7")?, Span::from(7));
/// assert_eq!(Span::from(Duration::from_secs(90)).to_string(), "90s");
/// for bad in ["-1", "1.5", "\"7\"", "\"-7d\"", "null"] {
///     assert!(serde_json::from_str::<Span>(bad).is_err(), "{bad}");
/// }
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "SpanWire", into = "SpanWire")]
pub enum Span {
    /// Of a column of times.
    Duration(Duration),
    /// Of a column of numbers, in its own unit.
    Units(u64),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum SpanWire {
    Number(u64),
    Text(String),
}

impl From<Span> for SpanWire {
    fn from(span: Span) -> Self {
        match span {
            Span::Duration(duration) => Self::Text(duration_text::format(duration)),
            Span::Units(units) => Self::Number(units),
        }
    }
}

impl TryFrom<SpanWire> for Span {
    type Error = String;

    fn try_from(wire: SpanWire) -> Result<Self, String> {
        match wire {
            SpanWire::Number(units) => Ok(Self::Units(units)),
            SpanWire::Text(text) => duration_text::parse(&text)
                .map(Self::Duration)
                .ok_or_else(|| format!("\"{}\" is not a duration such as 90s, 15m, 6h or 7d", quote(&text))),
        }
    }
}

impl Default for Span {
    /// Nothing.
    fn default() -> Self {
        Self::Units(0)
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self::Duration(duration)
    }
}

impl From<u64> for Span {
    fn from(units: u64) -> Self {
        Self::Units(units)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duration(duration) => f.write_str(&duration_text::format(*duration)),
            Self::Units(units) => units.fmt(f),
        }
    }
}

impl Span {
    /// Whether it has no length.
    ///
    /// ```
    /// use mlops_core::data::Span;
    /// assert!(Span::default().is_zero() && !Span::from(1).is_zero());
    /// ```
    pub const fn is_zero(&self) -> bool {
        match self {
            Self::Duration(duration) => duration.is_zero(),
            Self::Units(units) => *units == 0,
        }
    }

    /// The length in the unit of a column's values: microseconds for times.
    pub(super) fn along(&self, operation: &'static str, field: &str, column: &Column<'_>) -> Result<i128> {
        let refuse =
            |message: String| Err(Error::invalid(operation, field, message).with("column", column.name()));
        let is_time = column.data_type() == DataType::Time;
        match self {
            _ if self.is_zero() => Ok(0),
            Self::Units(units) if !is_time => Ok(i128::from(*units)),
            Self::Duration(duration) if is_time && duration.as_nanos().is_multiple_of(1_000) => {
                i128::try_from(duration.as_micros())
                    .or_else(|_| refuse(format!("is {self}, which is too long")))
            }
            Self::Duration(_) if is_time => {
                refuse(format!("is {self}, which is no whole number of microseconds"))
            }
            Self::Units(units) => {
                refuse(format!("is {units} without a unit, but the column holds times: say 7d or 90s"))
            }
            Self::Duration(_) => {
                refuse(format!("is {self}, but the column holds numbers: say how many of their unit"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Values;

    #[test]
    fn a_length_is_taken_in_the_unit_of_the_column_or_refused() {
        let times = Column::new("at", Values::Time(vec![0].into()), None).unwrap();
        let days = Column::i64("day", vec![0]).unwrap();
        let along = |span: Span, column| span.along("test", "gap", column);
        assert_eq!(along(Duration::from_millis(2).into(), &times).unwrap(), 2_000);
        assert_eq!(along(2.into(), &days).unwrap(), 2);
        assert_eq!(along(Duration::ZERO.into(), &days).unwrap(), 0);
        assert_eq!(along(0.into(), &times).unwrap(), 0);
        for (span, column) in [
            (Span::from(2), &times),
            (Duration::from_secs(1).into(), &days),
            (Duration::from_nanos(1).into(), &times),
        ] {
            let error = along(span, column).unwrap_err();
            assert_eq!((error.context("field"), error.context("column")), (Some("gap"), Some(column.name())));
        }
    }
}
