//! Calendar periods in UTC.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, Timelike};
use mlops_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A calendar period in UTC. Weeks are ISO 8601 weeks: they begin on Monday.
///
/// ```
/// use mlops_drift::chunk::Period;
///
/// let t = "2027-01-02T10:30:00Z".parse()?;
/// assert_eq!(Period::Quarter.key(t), "2027-Q1");
/// assert_eq!(Period::Week.key(t), "2026-W53"); // Saturday of a week that began in December
/// assert_eq!(Period::Month.start(t), "2027-01-01T00:00:00Z".parse::<mlops_core::time::Timestamp>()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// An hour, `2026-01-31T08`.
    Hour,
    /// A day, `2026-01-31`.
    Day,
    /// An ISO week, `2026-W05`.
    Week,
    /// A month, `2026-01`.
    Month,
    /// A quarter, `2026-Q1`.
    Quarter,
    /// A year, `2026`.
    Year,
}

impl Period {
    /// The first instant of the period that `t` lies in; `t` itself where the calendar ends before that.
    pub fn start(self, t: Timestamp) -> Timestamp {
        let date = t.date_naive();
        let first = match self {
            Self::Hour => {
                let hour = NaiveTime::from_hms_opt(t.hour(), 0, 0).unwrap_or(NaiveTime::MIN);
                return date.and_time(hour).and_utc();
            }
            Self::Day => Some(date),
            Self::Week => date.checked_sub_days(Days::new(u64::from(date.weekday().num_days_from_monday()))),
            Self::Month => NaiveDate::from_ymd_opt(date.year(), date.month(), 1),
            Self::Quarter => NaiveDate::from_ymd_opt(date.year(), date.month0() / 3 * 3 + 1, 1),
            Self::Year => NaiveDate::from_ymd_opt(date.year(), 1, 1),
        };
        first.map_or(t, |first| first.and_time(NaiveTime::MIN).and_utc())
    }

    /// The first instant after the period that `t` lies in; the end of representable time where there is none.
    pub fn end(self, t: Timestamp) -> Timestamp {
        let start = self.start(t);
        let next = match self {
            Self::Hour => start.checked_add_signed(TimeDelta::hours(1)),
            Self::Day => start.checked_add_days(Days::new(1)),
            Self::Week => start.checked_add_days(Days::new(7)),
            Self::Month => start.checked_add_months(Months::new(1)),
            Self::Quarter => start.checked_add_months(Months::new(3)),
            Self::Year => start.checked_add_months(Months::new(12)),
        };
        next.unwrap_or(DateTime::<chrono::Utc>::MAX_UTC)
    }

    /// The name of the period that `t` lies in; names of one kind sort as the periods do, for years of four digits.
    pub fn key(self, t: Timestamp) -> String {
        let date = t.date_naive();
        match self {
            Self::Hour => format!("{date}T{:02}", t.hour()),
            Self::Day => date.to_string(),
            Self::Week => format!("{:04}-W{:02}", date.iso_week().year(), date.iso_week().week()),
            Self::Month => format!("{:04}-{:02}", date.year(), date.month()),
            Self::Quarter => format!("{:04}-Q{}", date.year(), date.month0() / 3 + 1),
            Self::Year => format!("{:04}", date.year()),
        }
    }
}

/// An instant as text, as short as it can be exact.
pub(super) fn instant(t: Timestamp) -> String {
    t.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Period; 6] =
        [Period::Hour, Period::Day, Period::Week, Period::Month, Period::Quarter, Period::Year];

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn every_instant_lies_in_its_period_and_periods_tile_time() {
        for text in [
            "1969-12-31T23:59:59.999999Z",
            "2024-02-29T12:00:00Z",
            "2026-01-01T00:00:00Z",
            "2026-12-31T23:00:01Z",
        ] {
            let t = at(text);
            for period in ALL {
                let (start, end) = (period.start(t), period.end(t));
                assert!(start <= t && t < end, "{period:?} of {text}");
                assert_eq!(period.start(end), end, "{period:?} of {text}");
                let last = end - TimeDelta::microseconds(1);
                assert_eq!(
                    (period.start(last), period.key(last)),
                    (start, period.key(t)),
                    "{period:?} of {text}"
                );
                assert_ne!(period.key(end), period.key(t));
            }
        }
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        for t in [Timestamp::MIN_UTC, Timestamp::MAX_UTC] {
            for period in ALL {
                assert!(period.start(t) <= t && t <= period.end(t), "{period:?}");
                assert!(!period.key(t).is_empty());
            }
        }
    }

    #[test]
    fn quarters_and_weeks_begin_where_the_calendar_says() {
        assert_eq!(Period::Quarter.start(at("2026-06-30T23:59:59Z")), at("2026-04-01T00:00:00Z"));
        assert_eq!(Period::Week.start(at("2026-11-29T23:00:00Z")), at("2026-11-23T00:00:00Z"));
        assert_eq!(Period::Hour.key(at("2026-11-29T23:05:00Z")), "2026-11-29T23");
    }
}
