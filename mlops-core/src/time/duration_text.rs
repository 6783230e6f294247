//! Serde for [`Duration`] as people write it: `"90s"`, `"15m"`, `"6h"`, `"7d"`.
//!
//! One whole number and one unit: `ns`, `us`, `ms`, `s`, `m`, `h` or `d` (24 hours). What is written is read back exactly: the
//! largest unit that divides the duration is used.
//!
//! ```
//! use std::time::Duration;
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Options {
//!     #[serde(with = "mlops_core::time::duration_text")]
//!     cooldown: Duration,
//! }
//! let options: Options = serde_json::from_str(r#"{"cooldown":"90m"}"#)?;
//! assert_eq!(options.cooldown, Duration::from_secs(5400));
//! assert_eq!(serde_json::to_string(&options)?, r#"{"cooldown":"90m"}"#);
//! assert!(serde_json::from_str::<Options>(r#"{"cooldown":"-1h"}"#).is_err());
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

/// Units with their length in nanoseconds, the longest first.
const UNITS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// A duration in the largest unit that divides it.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::time::duration_text::format;
/// assert_eq!(format(Duration::from_secs(7200)), "2h");
/// assert_eq!(format(Duration::from_millis(1500)), "1500ms");
/// assert_eq!(format(Duration::ZERO), "0s");
/// ```
pub fn format(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    match UNITS.iter().find(|(_, length)| nanos > 0 && nanos.is_multiple_of(*length)) {
        Some((unit, length)) => format!("{}{unit}", nanos / length),
        None => "0s".to_owned(),
    }
}

/// The duration that a text names; `None` for anything but digits and one unit, or for what a [`Duration`] cannot hold.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::time::duration_text::parse;
/// assert_eq!(parse("7d"), Some(Duration::from_secs(604_800)));
/// for bad in ["", "5", "h", "1.5h", "-1h", "1 h", "1H", "1h30m", "+1h", "١h"] {
///     assert_eq!(parse(bad), None, "{bad}");
/// }
/// ```
pub fn parse(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, length) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let nanos = number.parse::<u128>().ok()?.checked_mul(*length)?;
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    let rest = u32::try_from(nanos % 1_000_000_000).ok()?;
    Some(Duration::new(seconds, rest))
}

/// Writes a duration as [`format()`] does.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*duration))
}

/// Reads a duration as [`parse()`] does.
///
/// # Errors
/// A text that is not a duration.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| {
        let shown = crate::error::quote(&text);
        serde::de::Error::custom(format!("\"{shown}\" is not a duration such as 90s, 15m, 6h or 7d"))
    })
}

/// The same for an optional duration.
pub mod option {
    use super::{Deserializer, Duration, Serializer};

    /// Writes nothing, or the duration as text.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serializer.serialize_some(&super::format(*duration)),
            None => serializer.serialize_none(),
        }
    }

    /// Reads nothing, or a duration.
    ///
    /// # Errors
    /// A text that is not a duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        #[derive(serde::Deserialize)]
        struct Text(#[serde(with = "super")] Duration);
        Ok(<Option<Text> as serde::Deserialize>::deserialize(deserializer)?.map(|text| text.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_read_back_exactly() {
        for duration in [
            Duration::ZERO,
            Duration::from_nanos(1),
            Duration::from_micros(1_001),
            Duration::from_secs(61),
            Duration::from_secs(86_400 * 365),
            Duration::MAX,
        ] {
            assert_eq!(parse(&format(duration)), Some(duration), "{duration:?}");
        }
    }

    #[test]
    fn what_a_duration_cannot_hold_is_refused() {
        assert_eq!(parse("213503982334602d"), None);
        assert_eq!(parse(&format!("{}s", u128::MAX)), None);
    }
}
