//! Recurrences, as Azure ML describes them.

use std::collections::BTreeSet;

use chrono::{Datelike as _, NaiveDate, NaiveDateTime, TimeDelta, Timelike as _};
use serde::{Deserialize, Serialize};

use super::Zone;
use super::wall::{Wall, next};
use crate::error::{Error, Result};
use crate::time::Timestamp;

/// The unit of a recurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frequency {
    /// Minutes, of passing time.
    Minute,
    /// Hours, of passing time.
    Hour,
    /// Days of the calendar.
    Day,
    /// Weeks of the calendar, from Monday.
    Week,
    /// Months of the calendar.
    Month,
}

impl Frequency {
    /// The longest interval, as Azure has it.
    const fn max_interval(self) -> u32 {
        match self {
            Self::Minute => 72_000,
            Self::Hour => 12_000,
            Self::Day => 500,
            Self::Week => 71,
            Self::Month => 16,
        }
    }
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeekDay {
    /// Monday.
    Monday,
    /// Tuesday.
    Tuesday,
    /// Wednesday.
    Wednesday,
    /// Thursday.
    Thursday,
    /// Friday.
    Friday,
    /// Saturday.
    Saturday,
    /// Sunday.
    Sunday,
}

impl WeekDay {
    fn of(date: NaiveDate) -> Self {
        match date.weekday() {
            chrono::Weekday::Mon => Self::Monday,
            chrono::Weekday::Tue => Self::Tuesday,
            chrono::Weekday::Wed => Self::Wednesday,
            chrono::Weekday::Thu => Self::Thursday,
            chrono::Weekday::Fri => Self::Friday,
            chrono::Weekday::Sat => Self::Saturday,
            chrono::Weekday::Sun => Self::Sunday,
        }
    }
}

/// At which times of the day, and on which days, a recurrence fires. Hours and minutes are all combined with each other.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecurrencePattern {
    /// Hours, 0 to 23. Default: that of the start.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub hours: BTreeSet<u8>,
    /// Minutes, 0 to 59. Default: 0 where hours are given, else that of the start.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub minutes: BTreeSet<u8>,
    /// Days of the week, for weeks. Default: that of the start.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub week_days: BTreeSet<WeekDay>,
    /// Days of the month, 1 to 31, for months; a month without such a day is left out. Default: that of the start.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub month_days: BTreeSet<u8>,
}

impl RecurrencePattern {
    /// At these hours, 0 to 23.
    #[must_use]
    pub fn with_hours(mut self, hours: impl IntoIterator<Item = u8>) -> Self {
        self.hours = hours.into_iter().collect();
        self
    }

    /// At these minutes, 0 to 59.
    #[must_use]
    pub fn with_minutes(mut self, minutes: impl IntoIterator<Item = u8>) -> Self {
        self.minutes = minutes.into_iter().collect();
        self
    }

    /// On these days of the week.
    #[must_use]
    pub fn with_week_days(mut self, week_days: impl IntoIterator<Item = WeekDay>) -> Self {
        self.week_days = week_days.into_iter().collect();
        self
    }

    /// On these days of the month, 1 to 31.
    #[must_use]
    pub fn with_month_days(mut self, month_days: impl IntoIterator<Item = u8>) -> Self {
        self.month_days = month_days.into_iter().collect();
        self
    }
}

/// Every so many minutes, hours, days, weeks or months.
///
/// Minutes and hours are counted as time passes, from the start: when clocks are changed they are not. Days, weeks and months follow
/// the calendar and the wall clock: at a time that comes twice it fires the first time, and for one that does not come at the end of
/// the gap.
///
/// ```
/// use mlops_core::pipeline::schedule::{Frequency, Recurrence, WeekDay};
/// let weekly = Recurrence::new(Frequency::Week, 2)?
///     .with_hours([9, 17])?
///     .with_week_days([WeekDay::Monday, WeekDay::Thursday])?;
/// assert!(Recurrence::new(Frequency::Day, 0).is_err());
/// assert!(Recurrence::new(Frequency::Day, 1)?.with_month_days([1]).is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire")]
pub struct Recurrence {
    frequency: Frequency,
    interval: u32,
    #[serde(skip_serializing_if = "is_empty")]
    schedule: RecurrencePattern,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    frequency: Frequency,
    #[serde(default = "one")]
    interval: u32,
    #[serde(default)]
    schedule: RecurrencePattern,
}

fn one() -> u32 {
    1
}

fn is_empty(pattern: &RecurrencePattern) -> bool {
    *pattern == RecurrencePattern::default()
}

impl TryFrom<Wire> for Recurrence {
    type Error = Error;

    fn try_from(wire: Wire) -> Result<Self> {
        let recurrence = Self { frequency: wire.frequency, interval: wire.interval, schedule: wire.schedule };
        recurrence.check()?;
        Ok(recurrence)
    }
}

const OP: &str = "Recurrence::check";

impl Recurrence {
    /// Every `interval` units.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for an interval of nothing, or longer than Azure's: 72 000 minutes, 12 000
    /// hours, 500 days, 71 weeks, 16 months.
    pub fn new(frequency: Frequency, interval: u32) -> Result<Self> {
        let recurrence = Self { frequency, interval, schedule: RecurrencePattern::default() };
        recurrence.check()?;
        Ok(recurrence)
    }

    /// Says at which times and on which days.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names what is out of range, or what a unit does not have.
    ///
    /// ```
    /// # use mlops_core::pipeline::schedule::{Frequency, Recurrence, RecurrencePattern};
    /// let pattern = RecurrencePattern::default().with_hours([9]);
    /// assert!(Recurrence::new(Frequency::Day, 1)?.with_schedule(pattern.clone()).is_ok());
    /// assert!(Recurrence::new(Frequency::Minute, 5)?.with_schedule(pattern).is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn with_schedule(mut self, schedule: RecurrencePattern) -> Result<Self> {
        self.schedule = schedule;
        self.check()?;
        Ok(self)
    }

    /// Says at which hours.
    ///
    /// # Errors
    /// As [`Recurrence::with_schedule`].
    ///
    /// ```
    /// # use mlops_core::pipeline::schedule::{Frequency, Recurrence};
    /// assert!(Recurrence::new(Frequency::Day, 1)?.with_hours([9, 17]).is_ok());
    /// assert!(Recurrence::new(Frequency::Day, 1)?.with_hours([24]).is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn with_hours(mut self, hours: impl IntoIterator<Item = u8>) -> Result<Self> {
        self.schedule.hours = hours.into_iter().collect();
        self.check()?;
        Ok(self)
    }

    /// Says at which minutes.
    ///
    /// # Errors
    /// As [`Recurrence::with_schedule`].
    ///
    /// ```
    /// # use mlops_core::pipeline::schedule::{Frequency, Recurrence};
    /// let half_hours = Recurrence::new(Frequency::Day, 1)?.with_hours([9])?.with_minutes([0, 30])?;
    /// assert_eq!(half_hours.schedule().minutes.len(), 2);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn with_minutes(mut self, minutes: impl IntoIterator<Item = u8>) -> Result<Self> {
        self.schedule.minutes = minutes.into_iter().collect();
        self.check()?;
        Ok(self)
    }

    /// Says on which days of the week.
    ///
    /// # Errors
    /// As [`Recurrence::with_schedule`].
    ///
    /// ```
    /// # use mlops_core::pipeline::schedule::{Frequency, Recurrence, WeekDay};
    /// assert!(Recurrence::new(Frequency::Week, 2)?.with_week_days([WeekDay::Monday]).is_ok());
    /// assert!(Recurrence::new(Frequency::Day, 2)?.with_week_days([WeekDay::Monday]).is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn with_week_days(mut self, days: impl IntoIterator<Item = WeekDay>) -> Result<Self> {
        self.schedule.week_days = days.into_iter().collect();
        self.check()?;
        Ok(self)
    }

    /// Says on which days of the month.
    ///
    /// # Errors
    /// As [`Recurrence::with_schedule`].
    ///
    /// ```
    /// # use mlops_core::pipeline::schedule::{Frequency, Recurrence};
    /// assert!(Recurrence::new(Frequency::Month, 1)?.with_month_days([1, 15]).is_ok());
    /// assert!(Recurrence::new(Frequency::Month, 1)?.with_month_days([32]).is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn with_month_days(mut self, days: impl IntoIterator<Item = u8>) -> Result<Self> {
        self.schedule.month_days = days.into_iter().collect();
        self.check()?;
        Ok(self)
    }

    /// The unit.
    pub fn frequency(&self) -> Frequency {
        self.frequency
    }

    /// How many units.
    pub fn interval(&self) -> u32 {
        self.interval
    }

    /// At which times and on which days.
    pub fn schedule(&self) -> &RecurrencePattern {
        &self.schedule
    }

    fn check(&self) -> Result<()> {
        let wrong = |field: &str, message: String| Err(Error::invalid(OP, field, message));
        let longest = self.frequency.max_interval();
        if !(1..=longest).contains(&self.interval) {
            return wrong("interval", format!("must be from 1 to {longest}, got {}", self.interval));
        }
        let pattern = &self.schedule;
        for (field, values, range) in [
            ("hours", &pattern.hours, 0..=23_u8),
            ("minutes", &pattern.minutes, 0..=59),
            ("month_days", &pattern.month_days, 1..=31),
        ] {
            if let Some(value) = values.iter().find(|value| !range.contains(*value)) {
                let (min, max) = (range.start(), range.end());
                return wrong(field, format!("must be from {min} to {max}, got {value}"));
            }
        }
        let passing = matches!(self.frequency, Frequency::Minute | Frequency::Hour);
        if passing && !is_empty(pattern) {
            return wrong("schedule", "only days, weeks and months have one".to_owned());
        }
        if !pattern.week_days.is_empty() && self.frequency != Frequency::Week {
            return wrong("week_days", "only weeks have them".to_owned());
        }
        if !pattern.month_days.is_empty() && self.frequency != Frequency::Month {
            return wrong("month_days", "only months have them".to_owned());
        }
        Ok(())
    }

    /// Whether it says nothing without a start.
    pub(super) fn needs_start(&self) -> bool {
        let pattern = &self.schedule;
        let days = match self.frequency {
            Frequency::Minute | Frequency::Hour => return true,
            Frequency::Day => true,
            Frequency::Week => !pattern.week_days.is_empty(),
            Frequency::Month => !pattern.month_days.is_empty(),
        };
        self.interval > 1 || pattern.hours.is_empty() || !days
    }

    /// The first moment after `after`, given the local time it starts at, where it needs one.
    pub(super) fn next(
        &self,
        zone: Zone,
        start: Option<NaiveDateTime>,
        after: Timestamp,
    ) -> Option<Timestamp> {
        let start = start.unwrap_or_default();
        let unit = match self.frequency {
            Frequency::Minute => 60,
            Frequency::Hour => 3_600,
            _ => return next(&Anchored::new(self, start), zone, after),
        };
        let (start, every) = (zone.moment(start)?, unit * i64::from(self.interval));
        if after < start {
            return Some(start);
        }
        let passed = (after - start).num_seconds() / every;
        start.checked_add_signed(TimeDelta::try_seconds(passed.checked_add(1)?.checked_mul(every)?)?)
    }
}

/// A recurrence with its start: the days are counted from it, and what is not said is taken from it.
struct Anchored<'a> {
    recurrence: &'a Recurrence,
    start: NaiveDateTime,
    times: Vec<u16>,
}

impl<'a> Anchored<'a> {
    fn new(recurrence: &'a Recurrence, start: NaiveDateTime) -> Self {
        let small = |value: u32| u8::try_from(value).unwrap_or_default();
        let pattern = &recurrence.schedule;
        let hours = match pattern.hours.is_empty() {
            true => BTreeSet::from([small(start.hour())]),
            false => pattern.hours.clone(),
        };
        let minutes = match (pattern.minutes.is_empty(), pattern.hours.is_empty()) {
            (false, _) => pattern.minutes.clone(),
            (true, true) => BTreeSet::from([small(start.minute())]),
            (true, false) => BTreeSet::from([0]),
        };
        let in_hour = |hour: &u8| {
            let hour = u16::from(*hour) * 60;
            minutes.iter().map(move |minute| hour + u16::from(*minute)).collect::<Vec<_>>()
        };
        Self { recurrence, start, times: hours.iter().flat_map(in_hour).collect() }
    }
}

impl Wall for Anchored<'_> {
    fn on(&self, date: NaiveDate) -> bool {
        let (start, pattern) = (self.start.date(), &self.recurrence.schedule);
        let interval = i64::from(self.recurrence.interval);
        let monday = |date: NaiveDate| {
            i64::from(date.num_days_from_ce()) - i64::from(date.weekday().num_days_from_monday())
        };
        let month = |date: NaiveDate| i64::from(date.year()) * 12 + i64::from(date.month0());
        let day = u8::try_from(date.day()).unwrap_or_default();
        match self.recurrence.frequency {
            Frequency::Week => {
                let days = &pattern.week_days;
                let on = if days.is_empty() {
                    date.weekday() == start.weekday()
                } else {
                    days.contains(&WeekDay::of(date))
                };
                on && (monday(date) - monday(start)).rem_euclid(interval * 7) == 0
            }
            Frequency::Month => {
                let days = &pattern.month_days;
                let on = if days.is_empty() { date.day() == start.day() } else { days.contains(&day) };
                on && (month(date) - month(start)).rem_euclid(interval) == 0
            }
            _ => (date - start).num_days().rem_euclid(interval) == 0,
        }
    }

    fn times(&self) -> &[u16] {
        &self.times
    }

    fn follows_passing_time(&self) -> bool {
        false
    }
}
