//! Decimal numbers of milliseconds, exact to the nanosecond: the form in which times travel.

use std::time::Duration;

use crate::time::Timestamp;

/// Nanoseconds in a second.
const SECOND: i128 = 1_000_000_000;

/// Digits that a number of milliseconds has behind the point.
const PLACES: i64 = 6;

/// What a decimal number of milliseconds is in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nanos {
    /// Exactly this.
    Exact(i128),
    /// Beyond everything that a time can be; with the sign.
    Beyond { negative: bool },
    /// It has digits below a nanosecond.
    TooFine,
}

impl Nanos {
    /// Reads `-12.5e3`, which the scanner has found to be a number.
    pub(super) fn of_millis(text: &str) -> Self {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        // An exponent that does not fit is as good as one that is huge.
        let huge = if exponent.starts_with('-') { -1_000_000_000 } else { 1_000_000_000 };
        let exponent: i64 = exponent.parse::<i32>().map_or(huge, i64::from);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let significant = digits.trim_end_matches('0');
        let dropped = i64::try_from(digits.len() - significant.len()).unwrap_or(i64::MAX);
        let places = i64::try_from(fraction.len()).unwrap_or(i64::MAX);
        let scale = exponent.saturating_sub(places).saturating_add(PLACES).saturating_add(dropped);
        Self::scaled(significant.trim_start_matches('0'), scale, negative)
    }

    fn scaled(digits: &str, scale: i64, negative: bool) -> Self {
        if digits.is_empty() {
            return Self::Exact(0);
        }
        let Ok(scale) = u32::try_from(scale) else {
            return if scale < 0 { Self::TooFine } else { Self::Beyond { negative } };
        };
        let power = 10_i128.checked_pow(scale);
        let value = digits.parse::<i128>().ok().zip(power).and_then(|(d, p)| d.checked_mul(p));
        match value {
            Some(value) => Self::Exact(if negative { -value } else { value }),
            None => Self::Beyond { negative },
        }
    }

    /// The time this long after 1970; what lies beyond all times is the first or the last of them.
    pub(super) fn timestamp(self) -> Option<Timestamp> {
        let (nanos, negative) = match self {
            Self::TooFine => return None,
            Self::Beyond { negative } => (None, negative),
            Self::Exact(nanos) => (Some(nanos), nanos < 0),
        };
        let time = nanos.and_then(|nanos| {
            let seconds = i64::try_from(nanos.div_euclid(SECOND)).ok()?;
            Timestamp::from_timestamp(seconds, u32::try_from(nanos.rem_euclid(SECOND)).ok()?)
        });
        Some(time.unwrap_or(if negative { Timestamp::MIN_UTC } else { Timestamp::MAX_UTC }))
    }

    /// The duration, if one can be that long.
    pub(super) fn duration(self) -> Option<Duration> {
        let Self::Exact(nanos) = self else { return None };
        let seconds = u64::try_from(nanos.div_euclid(SECOND)).ok()?;
        Some(Duration::new(seconds, u32::try_from(nanos.rem_euclid(SECOND)).ok()?))
    }
}

/// A time as decimal milliseconds since 1970.
pub(super) fn millis_of_time(time: &Timestamp) -> String {
    millis(i128::from(time.timestamp()) * SECOND + i128::from(time.timestamp_subsec_nanos()))
}

/// A duration as decimal milliseconds.
pub(super) fn millis_of_duration(duration: &Duration) -> String {
    millis(i128::from(duration.as_secs()) * SECOND + i128::from(duration.subsec_nanos()))
}

fn millis(nanos: i128) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let (whole, fraction) = (nanos.unsigned_abs() / 1_000_000, nanos.unsigned_abs() % 1_000_000);
    match format!("{fraction:06}").trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        digits => format!("{sign}{whole}.{digits}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_read_without_rounding() {
        for (text, expected) in [
            ("0", Nanos::Exact(0)),
            ("-0.0", Nanos::Exact(0)),
            ("1", Nanos::Exact(1_000_000)),
            ("1.5", Nanos::Exact(1_500_000)),
            (".000001", Nanos::Exact(1)),
            ("5.", Nanos::Exact(5_000_000)),
            ("1e12", Nanos::Exact(1_000_000_000_000_000_000)),
            ("-12.5E-1", Nanos::Exact(-1_250_000)),
            ("1767225600000.123456", Nanos::Exact(1_767_225_600_000_123_456)),
            ("100e-2", Nanos::Exact(1_000_000)),
            ("0.0000001", Nanos::TooFine),
            ("1e-99999999999", Nanos::TooFine),
            ("1e30", Nanos::Exact(10_i128.pow(36))),
            ("1e40", Nanos::Beyond { negative: false }),
            ("-1e99999999999", Nanos::Beyond { negative: true }),
            ("0e99999999999", Nanos::Exact(0)),
        ] {
            assert_eq!(Nanos::of_millis(text), expected, "{text}");
        }
        let long = format!("1{}", "0".repeat(100_000));
        assert_eq!(Nanos::of_millis(&long), Nanos::Beyond { negative: false });
    }

    #[test]
    fn times_come_back_as_they_were() {
        for time in
            [Timestamp::MIN_UTC, Timestamp::MAX_UTC, "1969-12-31T23:59:59.999999999Z".parse().unwrap()]
        {
            assert_eq!(Nanos::of_millis(&millis_of_time(&time)).timestamp(), Some(time));
        }
        for duration in [Duration::ZERO, Duration::MAX, Duration::from_nanos(1_000_001)] {
            assert_eq!(Nanos::of_millis(&millis_of_duration(&duration)).duration(), Some(duration));
        }
        assert_eq!(Nanos::of_millis("-1").duration(), None);
        assert_eq!(Nanos::of_millis("1e300").timestamp(), Some(Timestamp::MAX_UTC));
    }
}
