//! Time zones, by IANA's names and by Windows's.

use std::fmt;
use std::str::FromStr;

use chrono::{NaiveDateTime, Offset as _, TimeZone as _};
use chrono_tz::{GapInfo, TZ_VARIANTS, Tz};
use serde::{Deserialize, Serialize};

use crate::config::nearest;
use crate::error::{Error, Result};
use crate::time::Timestamp;

/// Unicode CLDR's `windowsZones`: on each line the name on Windows, the IANA zone it stands for, and those it covers besides.
/// Source: <https://github.com/unicode-org/cldr/blob/main/common/supplemental/windowsZones.xml>, under the Unicode licence
/// (`LICENSE-UNICODE`), as published with tzlocal 5.4.5.
const WINDOWS: &str = include_str!("windows_zones.txt");

/// A time zone. It is read by its IANA name (`Europe/Berlin`) and by its name on Windows, which Azure ML uses
/// (`W. Europe Standard Time`); it is written by its IANA name.
///
/// ```
/// use mlops_core::pipeline::schedule::Zone;
/// let zone: Zone = "Eastern Standard Time".parse()?;
/// assert_eq!(zone.name(), "America/New_York");
/// assert_eq!("Europe/Vienna".parse::<Zone>()?.windows_name(), Some("W. Europe Standard Time"));
/// let error = "Europe/Berln".parse::<Zone>().unwrap_err();
/// assert!(error.to_string().contains("did you mean `Europe/Berlin`?"));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Zone(Tz);

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(Tz::UTC);

    /// The IANA name.
    pub fn name(&self) -> &'static str {
        self.0.name()
    }

    /// The name on Windows; none for the few zones that have none there.
    pub fn windows_name(&self) -> Option<&'static str> {
        let mut rows = WINDOWS.lines();
        let covers = |row: &&str| row.split('|').skip(1).any(|name| name == self.name());
        rows.find(covers).and_then(|row| row.split('|').next())
    }

    pub(super) fn tz(self) -> Tz {
        self.0
    }

    /// The moment at which a wall clock there shows a time: the first of two where it is set back, the end of the gap where it
    /// is set forward over it.
    pub(crate) fn moment(self, local: NaiveDateTime) -> Option<Timestamp> {
        match self.0.from_local_datetime(&local) {
            chrono::LocalResult::Single(moment) => Some(moment.to_utc()),
            chrono::LocalResult::Ambiguous(one, other) => Some(one.min(other).to_utc()),
            chrono::LocalResult::None => Some(GapInfo::new(&local, &self.0)?.end?.to_utc()),
        }
    }

    /// The same, but the second of two where it is set back.
    pub(crate) fn last_moment(self, local: NaiveDateTime) -> Option<Timestamp> {
        match self.0.from_local_datetime(&local) {
            chrono::LocalResult::Ambiguous(one, other) => Some(one.max(other).to_utc()),
            _ => self.moment(local),
        }
    }

    /// What a wall clock there shows; none within a day of the ends of the calendar, where it would show what no date is.
    pub(crate) fn local(self, moment: Timestamp) -> Option<NaiveDateTime> {
        let utc = moment.naive_utc();
        utc.checked_add_offset(self.0.offset_from_utc_datetime(&utc).fix())
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Zone {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Ok(zone) = Tz::from_str(text) {
            return Ok(Self(zone));
        }
        let mut rows = WINDOWS.lines().filter_map(|row| row.split_once('|'));
        let found = rows.find(|(name, _)| name.eq_ignore_ascii_case(text));
        let iana = found.and_then(|(_, rest)| rest.split('|').next());
        iana.and_then(|name| Tz::from_str(name).ok()).map(Self).ok_or_else(|| unknown(text))
    }
}

fn unknown(text: &str) -> Error {
    let windows = WINDOWS.lines().filter_map(|row| row.split('|').next());
    let known: Vec<&str> = TZ_VARIANTS.iter().map(|zone| zone.name()).chain(windows).collect();
    let message = match nearest(text, &known) {
        Some(near) => format!("is no time zone; did you mean `{near}`?"),
        None => "is no time zone of IANA or Windows".to_owned(),
    };
    Error::invalid("Zone::from_str", "time_zone", message).with("value", text)
}

impl Serialize for Zone {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_can_be_used_both_ways() {
        let mut rows = 0;
        for row in WINDOWS.lines() {
            let (name, rest) = row.split_once('|').unwrap();
            let zone: Zone = name.parse().unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(zone.windows_name(), Some(name));
            for iana in rest.split('|') {
                assert_eq!(iana.parse::<Zone>().unwrap().windows_name(), Some(name), "{iana}");
            }
            rows += 1;
        }
        assert!(rows > 135, "{rows}");
    }

    #[test]
    fn a_time_that_no_clock_shows_is_the_end_of_the_gap() {
        let zone: Zone = "America/New_York".parse().unwrap();
        for (local, moment) in [
            ("2025-03-09T02:30:00", "2025-03-09T07:00:00Z"),
            ("2025-11-02T01:30:00", "2025-11-02T05:30:00Z"),
            ("2025-07-01T12:00:00", "2025-07-01T16:00:00Z"),
        ] {
            assert_eq!(zone.moment(local.parse().unwrap()), Some(moment.parse().unwrap()), "{local}");
        }
    }
}
