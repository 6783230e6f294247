//! What every detector checks: the value that comes in, options, and the version of a state that is read back.

use mlops_core::num::StatsError;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The largest magnitude of a value, or of a standardised one: squares of sums stay finite.
pub(super) const LIMIT: f64 = 1e100;

fn index(seen: u64) -> usize {
    usize::try_from(seen).unwrap_or(usize::MAX)
}

/// A finite number of at most [`LIMIT`].
#[inline]
pub(super) fn real(value: f64, seen: u64) -> Result<f64, StatsError> {
    // False for NaN too.
    if value.abs() <= LIMIT { Ok(value) } else { Err(refused(value, seen, -LIMIT, LIMIT)) }
}

/// A number in [0, 1].
#[inline]
pub(super) fn share(value: f64, seen: u64) -> Result<f64, StatsError> {
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err(refused(value, seen, 0.0, 1.0)) }
}

/// 0 (right) or 1 (wrong).
#[inline]
pub(super) fn error(value: f64, seen: u64) -> Result<bool, StatsError> {
    if value == 0.0 {
        Ok(false)
    } else if value == 1.0 {
        Ok(true)
    } else if value.is_finite() {
        let reason = "must be 0 for a right prediction or 1 for a wrong one";
        Err(StatsError::Parameter { parameter: "value", value, reason })
    } else {
        Err(refused(value, seen, 0.0, 1.0))
    }
}

#[cold]
fn refused(value: f64, seen: u64, low: f64, high: f64) -> StatsError {
    let (argument, index) = ("value", index(seen));
    if value.is_finite() {
        StatsError::OutOfRange { argument, index, value, low, high }
    } else {
        StatsError::NotFinite { argument, index, value }
    }
}

/// An option for which `holds` must hold.
pub(super) fn option(
    parameter: &'static str,
    value: f64,
    holds: bool,
    reason: &'static str,
) -> Result<(), StatsError> {
    if holds { Ok(()) } else { Err(StatsError::Parameter { parameter, value, reason }) }
}

/// An option in (0, 1).
pub(super) fn open_unit(parameter: &'static str, value: f64) -> Result<(), StatsError> {
    option(parameter, value, value > 0.0 && value < 1.0, "must lie in (0, 1)")
}

/// ln(numerator/level), finite for levels too small to be turned over.
#[inline]
pub(super) fn ln_inverse(numerator: f64, level: f64) -> f64 {
    (numerator / level).min(f64::MAX).ln()
}

/// A positive, finite option.
pub(super) fn positive(parameter: &'static str, value: f64) -> Result<(), StatsError> {
    option(parameter, value, value > 0.0 && value <= LIMIT, "must be positive and at most 1e100")
}

/// A finite option that is not negative.
pub(super) fn not_negative(parameter: &'static str, value: f64) -> Result<(), StatsError> {
    option(parameter, value, (0.0..=LIMIT).contains(&value), "must be at least 0 and at most 1e100")
}

/// The length of a window.
pub(super) fn window(parameter: &'static str, length: usize, least: usize) -> Result<(), StatsError> {
    let holds = (least..=MAX_WINDOW).contains(&length);
    option(
        parameter,
        length as f64,
        holds,
        "must be a window length within the detector's bounds, at most 2^24",
    )
}

/// The longest window, so that a state read back cannot ask for all of memory.
pub(super) const MAX_WINDOW: usize = 1 << 24;

/// A state that contradicts itself.
pub(super) fn consistent(holds: bool, what: &'static str) -> Result<(), StatsError> {
    if holds { Ok(()) } else { Err(StatsError::Unsupported { what, reason: "the state contradicts itself" }) }
}

/// Counters that no stream reaches: n values since the last alarm, of those seen.
pub(super) fn counted(seen: u64, n: u64) -> Result<(), StatsError> {
    consistent(n <= seen && seen < 1 << 62, "a count of values")
}

/// The version of a state: written as a number, and only that number is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Version;

impl Version {
    const NUMBER: u32 = 1;
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(Self::NUMBER)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            Self::NUMBER => Ok(Self),
            other => Err(D::Error::custom(format_args!(
                "a detector state of version {other}, only {} is known",
                Self::NUMBER
            ))),
        }
    }
}

/// Serde for a type derived with `#[serde(remote = "Self")]`, which is checked by `Self::check` after it is read.
macro_rules! checked_serde {
    ($type:ident) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                // The derived function, which is inherent and therefore wins.
                $type::serialize(self, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let read = $type::deserialize(deserializer)?;
                read.check().map_err(<D::Error as serde::de::Error>::custom)?;
                Ok(read)
            }
        }
    };
}
pub(super) use checked_serde;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_version_is_read() {
        assert_eq!(serde_json::to_string(&Version).unwrap(), "1");
        assert!(serde_json::from_str::<Version>("1").is_ok());
        for text in ["0", "2", "-1", "null"] {
            assert!(serde_json::from_str::<Version>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_refused_value_names_how_many_came_before() {
        assert!(matches!(real(f64::NAN, 7), Err(StatsError::NotFinite { index: 7, .. })));
        assert!(matches!(real(-2e100, 7), Err(StatsError::OutOfRange { index: 7, .. })));
        assert!(matches!(share(1.5, 3), Err(StatsError::OutOfRange { index: 3, .. })));
        assert!(matches!(error(0.5, 3), Err(StatsError::Parameter { parameter: "value", .. })));
        assert_eq!(error(-0.0, 0), Ok(false));
    }
}
