//! When a schedule runs: by cron or by recurrence, in a time zone by its Windows name.

use super::quiet::Members;
use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

#[cfg(feature = "schedule")]
mod of_core;

const OP: &str = "ScheduleTrigger";

open_enum! {
    /// How times are written.
    pub enum TriggerType {
        /// As cron writes them.
        Cron = "Cron",
        /// Every so many days, at certain hours.
        Recurrence = "Recurrence",
    }
}

open_enum! {
    /// The unit of a recurrence.
    pub enum Frequency {
        /// Minutes.
        Minute = "Minute",
        /// Hours.
        Hour = "Hour",
        /// Days.
        Day = "Day",
        /// Weeks.
        Week = "Week",
        /// Months.
        Month = "Month",
    }
}

open_enum! {
    /// A day of the week.
    pub enum WeekDay {
        /// Monday.
        Monday = "Monday",
        /// Tuesday.
        Tuesday = "Tuesday",
        /// Wednesday.
        Wednesday = "Wednesday",
        /// Thursday.
        Thursday = "Thursday",
        /// Friday.
        Friday = "Friday",
        /// Saturday.
        Saturday = "Saturday",
        /// Sunday.
        Sunday = "Sunday",
    }
}

/// The times of day, and the days, at which a recurrence runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RecurrenceTimes {
    /// Hours, 0 to 23.
    pub hours: Vec<u32>,
    /// Minutes, 0 to 59; it runs at each of them in each hour.
    pub minutes: Vec<u32>,
    /// Days of the month, 1 to 31.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub month_days: Option<Vec<u32>>,
    /// Days of the week.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub week_days: Option<Vec<WeekDay>>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

/// When a schedule runs. With the feature `schedule`, `ScheduleTrigger::try_from` reads core's schedules.
///
/// ```
/// use mlops_azure::wire::schedule_trigger::{Frequency, ScheduleTrigger};
/// let daily = ScheduleTrigger::every(1, Frequency::Day)?.at([3], [15])?.in_time_zone("W. Europe Standard Time")?;
/// assert_eq!(
///     serde_json::to_string(&daily)?,
///     r#"{"triggerType":"Recurrence","timeZone":"W. Europe Standard Time","frequency":"Day","interval":1,"schedule":{"hours":[3],"minutes":[15]}}"#
/// );
/// assert!(ScheduleTrigger::cron("15 3 * *").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleTrigger {
    /// How times are written.
    pub trigger_type: TriggerType,
    /// The first time, without a zone: `2026-01-01T00:00:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// The last time, without a zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    /// The Windows name of the time zone; UTC where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Minute, hour, day of month, month, day of week; of cron alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// The unit; of a recurrence alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency: Option<Frequency>,
    /// Every how many units; of a recurrence alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<u32>,
    /// At which times; of a recurrence alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<RecurrenceTimes>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl ScheduleTrigger {
    fn new(trigger_type: TriggerType) -> Self {
        Self {
            trigger_type,
            start_time: None,
            end_time: None,
            time_zone: None,
            expression: None,
            frequency: None,
            interval: None,
            schedule: None,
            other: Members::new(),
        }
    }

    /// As cron writes times: five fields, minute, hour, day of month, month, day of week, of digits, letters and `*,-/`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for another number of fields or another character.
    pub fn cron(expression: &str) -> Result<Self> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "*,-/ ".contains(c);
        if expression.len() > 255
            || !expression.chars().all(fits)
            || expression.split_ascii_whitespace().count() != 5
        {
            let reason = "must have five fields of digits, letters and * , - /";
            return Err(Error::invalid(OP, "expression", reason).with("value", expression));
        }
        Ok(Self { expression: Some(expression.to_owned()), ..Self::new(TriggerType::Cron) })
    }

    /// Every so many units.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for none, or more than 1 000.
    pub fn every(interval: u32, frequency: Frequency) -> Result<Self> {
        if !(1..=1_000).contains(&interval) {
            return Err(Error::invalid(OP, "interval", format!("must lie in 1 to 1 000, got {interval}")));
        }
        let new = Self::new(TriggerType::Recurrence);
        Ok(Self { frequency: Some(frequency), interval: Some(interval), ..new })
    }

    /// At these hours and minutes: at each of the minutes in each of the hours.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for none of either, an hour beyond 23, a minute beyond 59, and
    /// for times as cron writes them.
    pub fn at(
        mut self,
        hours: impl IntoIterator<Item = u32>,
        minutes: impl IntoIterator<Item = u32>,
    ) -> Result<Self> {
        let times = self.times()?;
        (times.hours, times.minutes) = (hours.into_iter().collect(), minutes.into_iter().collect());
        check_all("hours", &times.hours, 0, 23)?;
        check_all("minutes", &times.minutes, 0, 59)?;
        Ok(self)
    }

    /// On these days of the week.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for none, and for times as cron writes them.
    pub fn on_week_days(mut self, days: impl IntoIterator<Item = WeekDay>) -> Result<Self> {
        let days: Vec<WeekDay> = days.into_iter().collect();
        if days.is_empty() {
            return Err(Error::invalid(OP, "week_days", "must have at least one"));
        }
        self.times()?.week_days = Some(days);
        Ok(self)
    }

    /// On these days of the month.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for none, one outside of 1 to 31, and for times as cron writes
    /// them.
    pub fn on_month_days(mut self, days: impl IntoIterator<Item = u32>) -> Result<Self> {
        let days: Vec<u32> = days.into_iter().collect();
        check_all("month_days", &days, 1, 31)?;
        self.times()?.month_days = Some(days);
        Ok(self)
    }

    /// In a time zone, by its Windows name: `W. Europe Standard Time`, not `Europe/Berlin`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a name with `/`, which is one of the IANA database, and for
    /// an empty or overlong one. Whether the zone exists, the service says.
    pub fn in_time_zone(mut self, name: &str) -> Result<Self> {
        let fits = |c: char| c.is_ascii_alphanumeric() || " .()+-:".contains(c);
        if !(1..=64).contains(&name.len()) || !name.chars().all(fits) {
            let reason = "must be the Windows name of a time zone, such as `W. Europe Standard Time`";
            return Err(Error::invalid(OP, "time_zone", reason).with("value", name));
        }
        self.time_zone = Some(name.to_owned());
        Ok(self)
    }

    /// From this time on, and until that one; without zones, in the trigger's own.
    #[must_use]
    pub fn between(mut self, start: Option<&str>, end: Option<&str>) -> Self {
        (self.start_time, self.end_time) = (start.map(str::to_owned), end.map(str::to_owned));
        self
    }

    fn times(&mut self) -> Result<&mut RecurrenceTimes> {
        if self.trigger_type != TriggerType::Recurrence {
            let reason = "times of day belong to a recurrence; cron has them in its expression";
            return Err(Error::invalid(OP, "schedule", reason));
        }
        Ok(self.schedule.get_or_insert_default())
    }
}

fn check_all(field: &'static str, values: &[u32], low: u32, high: u32) -> Result<()> {
    let bad = values.iter().find(|value| !(low..=high).contains(*value));
    match (values.is_empty(), bad) {
        (false, None) => Ok(()),
        (true, _) => Err(Error::invalid(OP, field, "must have at least one")),
        (_, Some(bad)) => Err(Error::invalid(OP, field, format!("must lie in {low} to {high}, got {bad}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_time_is_refused_by_name() {
        let day = || ScheduleTrigger::every(1, Frequency::Day).unwrap();
        let field = |result: Result<ScheduleTrigger>| result.unwrap_err().context("field").map(str::to_owned);
        assert_eq!(field(ScheduleTrigger::every(0, Frequency::Day)).as_deref(), Some("interval"));
        assert_eq!(field(day().at([24], [0])).as_deref(), Some("hours"));
        assert_eq!(field(day().at([1], [])).as_deref(), Some("minutes"));
        assert_eq!(field(day().on_month_days([0])).as_deref(), Some("month_days"));
        assert_eq!(field(day().on_week_days([])).as_deref(), Some("week_days"));
        assert_eq!(field(day().in_time_zone("Europe/Berlin")).as_deref(), Some("time_zone"));
        for bad in ["", "* * * *", "* * * * * *", "a;b * * * *"] {
            assert_eq!(field(ScheduleTrigger::cron(bad)).as_deref(), Some("expression"), "{bad}");
        }
        let cron = ScheduleTrigger::cron("0 3 * * 1-5").unwrap();
        assert_eq!(field(cron.at([1], [1])).as_deref(), Some("schedule"));
    }

    #[test]
    fn what_is_not_known_survives() {
        let text = r#"{"triggerType":"recurrence","frequency":"week","interval":2,"schedule":{"hours":[1],"minutes":[2],"weekDays":["monday"],"new":1},"newer":true}"#;
        let trigger: ScheduleTrigger = serde_json::from_str(text).unwrap();
        assert_eq!(trigger.frequency, Some(Frequency::Week));
        let written = serde_json::to_value(&trigger).unwrap();
        assert_eq!((&written["newer"], &written["schedule"]["new"]), (&true.into(), &1.into()));
        assert_eq!(written["schedule"]["weekDays"][0], "Monday");
    }
}
