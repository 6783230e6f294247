//! Which rows a signal looks at.

use std::fmt;
use std::str::FromStr;

use chrono::{Months, TimeDelta};
use mlops_core::monitor::Window;
use mlops_core::time::Timestamp;
use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// An ISO 8601 duration: `P7D`, `PT24H`, `P1Y2M10DT2H30M`, `P2W`. Years and months are calendar ones, everything else is exact;
/// a day has 24 hours. No signs and no fractions.
///
/// ```
/// use mlops_drift::signal::Span;
///
/// let span: Span = "P1Y2M10DT2H30M".parse()?;
/// assert_eq!(span.to_string(), "P14M10DT9000S");
/// assert_eq!(span, span.to_string().parse()?);
/// for bad in ["", "P", "PT", "7D", "P7", "P-1D", "P1.5D", "PD", "P1H", "P1D2M", "P1DT", "p1d", "P1D ", "PT1M1H"] {
///     assert!(bad.parse::<Span>().is_err(), "{bad}");
/// }
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    months: u32,
    days: u32,
    seconds: u32,
}

impl Span {
    /// Nothing.
    pub const ZERO: Self = Self { months: 0, days: 0, seconds: 0 };

    /// A number of days.
    ///
    /// ```
    /// assert_eq!(mlops_drift::signal::Span::days(7).to_string(), "P7D");
    /// ```
    pub const fn days(days: u32) -> Self {
        Self { days, ..Self::ZERO }
    }

    /// Whether it is nothing.
    ///
    /// ```
    /// assert!(mlops_drift::signal::Span::ZERO.is_zero());
    /// ```
    pub const fn is_zero(&self) -> bool {
        self.months == 0 && self.days == 0 && self.seconds == 0
    }

    /// The moment this long before another: first the months (the 31st becomes the last day of a shorter month), then the rest;
    /// `None` beyond what a timestamp can hold.
    ///
    /// ```
    /// use mlops_drift::signal::Span;
    /// let span: Span = "P1M".parse()?;
    /// assert_eq!(span.before("2026-03-31T06:00:00Z".parse()?), Some("2026-02-28T06:00:00Z".parse()?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn before(&self, at: Timestamp) -> Option<Timestamp> {
        let exact = TimeDelta::days(i64::from(self.days)) + TimeDelta::seconds(i64::from(self.seconds));
        at.checked_sub_months(Months::new(self.months))?.checked_sub_signed(exact)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("P0D");
        }
        f.write_str("P")?;
        if self.months > 0 {
            write!(f, "{}M", self.months)?;
        }
        if self.days > 0 {
            write!(f, "{}D", self.days)?;
        }
        if self.seconds > 0 {
            write!(f, "T{}S", self.seconds)?;
        }
        Ok(())
    }
}

impl FromStr for Span {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse(text).ok_or_else(|| {
            let message = "is not an ISO 8601 duration such as P7D or PT24H";
            Error::invalid("Span::from_str", "span", message).with("value", mlops_core::error::quote(text))
        })
    }
}

impl TryFrom<String> for Span {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

fn parse(text: &str) -> Option<Span> {
    let rest = text.strip_prefix('P')?;
    let (date, time) = match rest.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (rest, None),
    };
    if time == Some("") || date.is_empty() && time.is_none() {
        return None;
    }
    let [years, months, weeks, days] = fields(date, ['Y', 'M', 'W', 'D'])?;
    let [hours, minutes, seconds] = fields(time.unwrap_or(""), ['H', 'M', 'S'])?;
    Some(Span {
        months: years.checked_mul(12)?.checked_add(months)?,
        days: weeks.checked_mul(7)?.checked_add(days)?,
        seconds: hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?.checked_add(seconds)?,
    })
}

/// Numbers before their designators, which come in this order and may be left out.
fn fields<const N: usize>(mut text: &str, designators: [char; N]) -> Option<[u32; N]> {
    let mut values = [0; N];
    let mut next = 0;
    while !text.is_empty() {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = text.split_at(digits);
        let mut letters = rest.chars();
        let letter = letters.next()?;
        let place = next + designators.iter().skip(next).position(|designator| *designator == letter)?;
        values[place] = number.parse().ok()?;
        (next, text) = (place + 1, letters.as_str());
    }
    Some(values)
}

/// A window that ends `offset` before now and is `size` long.
///
/// ```
/// use mlops_drift::signal::Lookback;
///
/// // The week before the last one, as a moving reference.
/// let week: Lookback = serde_json::from_str(r#"{"size":"P7D","offset":"P7D"}"#)?;
/// let window = week.window("2026-03-15T00:00:00Z".parse()?)?;
/// assert_eq!((window.start, window.end), ("2026-03-01T00:00:00Z".parse()?, "2026-03-08T00:00:00Z".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lookback {
    /// How long the window is.
    pub size: Span,
    /// How long before now it ends; nothing by default.
    #[serde(default)]
    pub offset: Span,
}

impl Lookback {
    /// With a window that ends so long before now.
    #[must_use]
    pub fn with_offset(mut self, offset: Span) -> Self {
        self.offset = offset;
        self
    }

    /// A window that ends now. Azure's default for production data: as long as the monitor's period.
    ///
    /// ```
    /// use mlops_drift::signal::{Lookback, Span};
    /// assert!(Lookback::last(Span::days(1)).offset.is_zero());
    /// ```
    pub const fn last(size: Span) -> Self {
        Self { size, offset: Span::ZERO }
    }

    /// The window, seen from a moment.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a size of nothing, and for a window that begins before time.
    pub fn window(&self, at: Timestamp) -> Result<Window> {
        let bounds = self.offset.before(at).and_then(|end| Some((self.size.before(end)?, end)));
        let Some((start, end)) = bounds else {
            return Err(
                Error::invalid("Lookback::window", "size", "begins before time").with("size", self.size)
            );
        };
        Window::new(start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_mean_what_they_say() {
        let at: Timestamp = "2026-03-15T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("P7D", "2026-03-08T12:00:00Z"),
            ("P1W", "2026-03-08T12:00:00Z"),
            ("PT24H", "2026-03-14T12:00:00Z"),
            ("PT90M", "2026-03-15T10:30:00Z"),
            ("P1M", "2026-02-15T12:00:00Z"),
            ("P1Y1DT1S", "2025-03-14T11:59:59Z"),
            ("P0D", "2026-03-15T12:00:00Z"),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.before(at), Some(expected.parse().unwrap()), "{text}");
            assert_eq!(span.to_string().parse::<Span>().unwrap(), span);
        }
    }

    #[test]
    fn what_no_timestamp_can_hold_is_an_error() {
        let at: Timestamp = "2026-03-15T12:00:00Z".parse().unwrap();
        for text in ["P4294967295M", "P4294967295D"] {
            assert!(Lookback::last(text.parse().unwrap()).window(at).is_err(), "{text}");
        }
        assert!("P4294967296D".parse::<Span>().is_err());
        assert!("P4294967295Y".parse::<Span>().is_err());
        assert!(Lookback::last(Span::ZERO).window(at).is_err());
    }
}
