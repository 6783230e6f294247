//! When a pipeline runs: cron expressions and recurrences in time zones, as data and pure functions.
//!
//! | question | answered by |
//! |---|---|
//! | when next? | [`Schedule::next_after`] |
//! | what is due, after nobody looked for a while? | [`Schedule::due`], by [`Misfire`] |
//! | and while the run before is at work? | [`Overlap::decide`] |
//! | how does Azure ML say it? | [`AzureTrigger`] in its YAML, [`AzureTriggerWire`] in its REST interface |
//!
//! Nothing here waits or asks for the time: whoever keeps the schedule hands in `now`.

mod azure;
mod cron;
mod policy;
mod recurrence;
mod wall;
mod zone;

pub use azure::{AzureTrigger, AzureTriggerWire};
pub use cron::Cron;
pub use policy::{Blackout, Calendar, Due, Misfire, Overlap, OverlapDecision};
pub use recurrence::{Frequency, Recurrence, RecurrencePattern, WeekDay};
pub use zone::Zone;

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{NaiveDateTime, TimeDelta};
use serde::{Deserialize, Serialize};

use super::PipelineFormat;
use crate::config::Document;
use crate::error::{Error, Result};
use crate::time::{Timestamp, duration_text};

/// When something fires.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Timing {
    /// By a cron expression.
    Cron(Cron),
    /// Every so often.
    Recurrence(Recurrence),
}

/// When a pipeline runs: a timing in a time zone, between a start and an end, but for the dates of a calendar.
///
/// In a file, `cron` or `recurrence` is given; times are those of a wall clock in the zone, without an offset.
///
/// ```
/// use mlops_core::pipeline::PipelineFormat;
/// use mlops_core::pipeline::schedule::{Misfire, Schedule};
///
/// let nightly = Schedule::parse(
///     r#"
///     cron = "30 2 * * *"
///     time_zone = "America/New_York"
///     misfire = "fire_once"
///     overlap = "skip"
///     calendar.holidays = ["2025-03-08"]
///     "#,
///     PipelineFormat::Toml,
/// )?;
/// // On the 8th nothing fires; on the 9th there is no 02:30, and it fires when the gap ends, at 03:00.
/// let next = nightly.next_after("2025-03-07T12:00:00Z".parse()?);
/// assert_eq!(next, Some("2025-03-09T07:00:00Z".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Schedule {
    timing: Timing,
    zone: Zone,
    start: Option<NaiveDateTime>,
    end: Option<NaiveDateTime>,
    misfire: Misfire,
    grace: Duration,
    overlap: Overlap,
    calendar: Calendar,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MisfireWord {
    Skip,
    #[default]
    FireOnce,
    FireAll,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cron: Option<Cron>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recurrence: Option<Recurrence>,
    #[serde(default = "utc")]
    time_zone: Zone,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "local_time::option")]
    start_time: Option<NaiveDateTime>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "local_time::option")]
    end_time: Option<NaiveDateTime>,
    #[serde(default)]
    misfire: MisfireWord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_fires: Option<u32>,
    #[serde(default = "minute", with = "duration_text")]
    grace: Duration,
    #[serde(default)]
    overlap: Overlap,
    #[serde(default, skip_serializing_if = "Calendar::is_empty")]
    calendar: Calendar,
}

fn utc() -> Zone {
    Zone::UTC
}

fn minute() -> Duration {
    Duration::from_secs(60)
}

/// Times of a wall clock: `2026-01-31T08:00:00`.
mod local_time {
    use chrono::NaiveDateTime;

    pub(super) const FORMAT: &str = "%Y-%m-%dT%H:%M:%S";

    /// Reads what [`FORMAT`] writes, with seconds or without.
    pub(super) fn parse(text: &str) -> Option<NaiveDateTime> {
        let with = NaiveDateTime::parse_from_str(text, FORMAT);
        let time = with.or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M")).ok()?;
        // What is read is what would be written: no `+2025`, no `2025-1-1`, no leap second, no year beyond four digits.
        let written = time.format(FORMAT).to_string();
        (written == text || written.strip_suffix(":00") == Some(text)).then_some(time)
    }

    pub(super) mod option {
        use chrono::NaiveDateTime;
        use serde::{Deserialize as _, Deserializer, Serializer};

        pub(in super::super) fn serialize<S: Serializer>(
            time: &Option<NaiveDateTime>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => serializer.collect_str(&time.format(super::FORMAT)),
                None => serializer.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<NaiveDateTime>, D::Error> {
            let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
            super::parse(&text).map(Some).ok_or_else(|| {
                let shown = crate::error::quote(&text);
                serde::de::Error::custom(format!("\"{shown}\" is no local time such as 2026-01-31T08:00:00"))
            })
        }
    }
}

impl TryFrom<Wire> for Schedule {
    type Error = Error;

    fn try_from(wire: Wire) -> Result<Self> {
        const OP: &str = "Schedule::parse";
        let timing = match (wire.cron, wire.recurrence) {
            (Some(cron), None) => Timing::Cron(cron),
            (None, Some(recurrence)) => Timing::Recurrence(recurrence),
            _ => return Err(Error::invalid(OP, "cron", "one of `cron` and `recurrence` must be given")),
        };
        let misfire = match (wire.misfire, wire.max_fires) {
            (MisfireWord::FireAll, Some(max)) => Misfire::FireAll { max },
            (MisfireWord::FireAll, None) => {
                return Err(Error::invalid(OP, "max_fires", "must be given with `misfire = \"fire_all\"`"));
            }
            (_, Some(_)) => {
                return Err(Error::invalid(OP, "max_fires", "goes with `misfire = \"fire_all\"` only"));
            }
            (MisfireWord::Skip, None) => Misfire::Skip,
            (MisfireWord::FireOnce, None) => Misfire::FireOnce,
        };
        let schedule = Self {
            timing,
            zone: wire.time_zone,
            start: wire.start_time,
            end: wire.end_time,
            misfire,
            grace: wire.grace,
            overlap: wire.overlap,
            calendar: wire.calendar,
        };
        schedule.check()?;
        Ok(schedule)
    }
}

impl From<Schedule> for Wire {
    fn from(schedule: Schedule) -> Self {
        let (cron, recurrence) = match schedule.timing {
            Timing::Cron(cron) => (Some(cron), None),
            Timing::Recurrence(recurrence) => (None, Some(recurrence)),
        };
        let (misfire, max_fires) = match schedule.misfire {
            Misfire::Skip => (MisfireWord::Skip, None),
            Misfire::FireOnce => (MisfireWord::FireOnce, None),
            Misfire::FireAll { max } => (MisfireWord::FireAll, Some(max)),
        };
        Self {
            cron,
            recurrence,
            time_zone: schedule.zone,
            start_time: schedule.start,
            end_time: schedule.end,
            misfire,
            max_fires,
            grace: schedule.grace,
            overlap: schedule.overlap,
            calendar: schedule.calendar,
        }
    }
}

impl Schedule {
    /// The most firings that [`Misfire::FireAll`] catches up with.
    pub const MAX_FIRES: u32 = 1_000;

    /// The most missed firings that are counted; where there were more, the count starts five weeks before now.
    pub const MAX_COUNTED: u64 = 50_000;

    /// By a cron expression, in a zone.
    pub fn cron(cron: Cron, zone: Zone) -> Self {
        Self::of(Timing::Cron(cron), zone, None)
    }

    /// Every so often, in a zone, from a local time on.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) where the recurrence says nothing without a start: intervals of more than
    /// one, minutes and hours, and where times or days are left to it.
    pub fn recurrence(recurrence: Recurrence, zone: Zone, start: Option<NaiveDateTime>) -> Result<Self> {
        let schedule = Self::of(Timing::Recurrence(recurrence), zone, start);
        schedule.check()?;
        Ok(schedule)
    }

    fn of(timing: Timing, zone: Zone, start: Option<NaiveDateTime>) -> Self {
        Self {
            timing,
            zone,
            start,
            end: None,
            misfire: Misfire::default(),
            grace: minute(),
            overlap: Overlap::default(),
            calendar: Calendar::default(),
        }
    }

    /// Says between which local times it fires; both are included.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for an end before the start.
    ///
    /// ```
    /// # use mlops_core::pipeline::schedule::{Schedule, Zone};
    /// # let daily = Schedule::cron("30 2 * * *".parse()?, Zone::UTC);
    /// let (june, july) = ("2026-06-01T00:00:00".parse()?, "2026-07-01T00:00:00".parse()?);
    /// let summer = daily.with_span(Some(june), Some(july))?;
    /// assert_eq!(summer.next_after("2026-01-01T00:00:00Z".parse()?), Some("2026-06-01T02:30:00Z".parse()?));
    /// assert_eq!(summer.next_after("2026-06-30T12:00:00Z".parse()?), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_span(mut self, start: Option<NaiveDateTime>, end: Option<NaiveDateTime>) -> Result<Self> {
        (self.start, self.end) = (start, end);
        self.check()?;
        Ok(self)
    }

    /// Says what happens to firings that were missed, and from which delay on they were.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for catching up with none or more than 1 000.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use mlops_core::pipeline::schedule::{Misfire, Schedule, Zone};
    /// # let daily = Schedule::cron("30 2 * * *".parse()?, Zone::UTC);
    /// let strict = daily.with_misfire(Misfire::Skip, Duration::from_secs(300))?;
    /// // Six minutes late is too late.
    /// let due = strict.due(Some("2026-01-01T00:00:00Z".parse()?), "2026-01-01T02:36:00Z".parse()?);
    /// assert_eq!((due.fire.len(), due.left_out), (0, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_misfire(mut self, misfire: Misfire, grace: Duration) -> Result<Self> {
        (self.misfire, self.grace) = (misfire, grace);
        self.check()?;
        Ok(self)
    }

    /// Says what happens to a firing while a run is at work.
    ///
    /// ```
    /// # use mlops_core::pipeline::schedule::{Overlap, Schedule, Zone};
    /// # let daily = Schedule::cron("30 2 * * *".parse()?, Zone::UTC);
    /// assert_eq!(daily.with_overlap(Overlap::Queue).overlap(), Overlap::Queue);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }

    /// Says on which dates, in the zone, nothing fires.
    ///
    /// ```
    /// # use mlops_core::pipeline::schedule::{Calendar, Schedule, Zone};
    /// # let daily = Schedule::cron("30 2 * * *".parse()?, Zone::UTC);
    /// let open = daily.with_calendar(Calendar::new(["2026-01-01".parse()?], [])?);
    /// assert_eq!(open.next_after("2025-12-31T12:00:00Z".parse()?), Some("2026-01-02T02:30:00Z".parse()?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_calendar(mut self, calendar: Calendar) -> Self {
        self.calendar = calendar;
        self
    }

    /// Reads a schedule from a text of at most one mebibyte.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) with the context `line`, `column` and `field`;
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded).
    pub fn parse(text: &str, format: PipelineFormat) -> Result<Self> {
        const OP: &str = "Schedule::parse";
        let document = Document::new(OP, "text", text, format)?;
        let wire: Wire = document.parse(None)?;
        Self::try_from(wire).map_err(|error| {
            let field = error.context("field").unwrap_or("file").to_owned();
            // What is missing has no place but that of the whole.
            let offset = document.offset(&[field.as_str()]).or(Some(0));
            document.error(&field, offset, error.message())
        })
    }

    /// When it fires.
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// The zone.
    pub fn zone(&self) -> Zone {
        self.zone
    }

    /// The local time from which on it fires.
    pub fn start(&self) -> Option<NaiveDateTime> {
        self.start
    }

    /// The local time up to which it fires.
    pub fn end(&self) -> Option<NaiveDateTime> {
        self.end
    }

    /// What happens to firings that were missed.
    pub fn misfire(&self) -> Misfire {
        self.misfire
    }

    /// What happens to a firing while a run is at work.
    pub fn overlap(&self) -> Overlap {
        self.overlap
    }

    /// The dates on which nothing fires.
    pub fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    fn check(&self) -> Result<()> {
        const OP: &str = "Schedule::check";
        if let Timing::Recurrence(recurrence) = &self.timing
            && recurrence.needs_start()
            && self.start.is_none()
        {
            let message = "must be given: the recurrence leaves times, days or the first interval to it";
            return Err(Error::invalid(OP, "start_time", message));
        }
        if self.start.zip(self.end).is_some_and(|(start, end)| start > end) {
            return Err(Error::invalid(OP, "end_time", "must not be before start_time"));
        }
        if let Misfire::FireAll { max } = self.misfire
            && !(1..=Self::MAX_FIRES).contains(&max)
        {
            let message = format!("must be from 1 to {}, got {max}", Self::MAX_FIRES);
            return Err(Error::invalid(OP, "max_fires", message));
        }
        Ok(())
    }

    /// The first firing after `after`; none where there is none any more, or none in nine years.
    ///
    /// Cost: constant while clocks are not changed on the way and it fires within a week; else it grows with the dates until
    /// then and the times on a date.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let end = self.end.map(|end| self.zone.moment(end));
        let mut after = after;
        if let Some(start) = self.start {
            // The start itself may fire.
            let before = self.zone.moment(start)?.checked_sub_signed(TimeDelta::nanoseconds(1))?;
            after = after.max(before);
        }
        // Each turn leaves a stretch of the calendar behind.
        for _ in 0..=2 * Calendar::MAX_ENTRIES {
            let moment = match &self.timing {
                Timing::Cron(cron) => wall::next(cron, self.zone, after),
                Timing::Recurrence(recurrence) => recurrence.next(self.zone, self.start, after),
            }?;
            if end.is_some_and(|end| end.is_none_or(|end| moment > end)) {
                return None;
            }
            let date = self.zone.local(moment)?.date();
            if !self.calendar.excludes(date) {
                return Some(moment);
            }
            let midnight = self.calendar.open(date)?.and_hms_opt(0, 0, 0)?;
            let open = self.zone.moment(midnight)?.checked_sub_signed(TimeDelta::nanoseconds(1))?;
            after = moment.max(open);
        }
        None
    }

    /// What is due at `now`, when firings up to `last` were dealt with. Without `last`, nothing before `now` less the grace counts.
    ///
    /// A firing at most the grace ago is on time and fires; what happens to the others is said by [`Misfire`]. A pure function.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mlops_core::pipeline::schedule::{Misfire, Schedule, Zone};
    /// let hourly = Schedule::cron("0 * * * *".parse()?, Zone::UTC)
    ///     .with_misfire(Misfire::FireAll { max: 2 }, Duration::from_secs(60))?;
    /// let due = hourly.due(Some("2026-01-01T00:00:00Z".parse()?), "2026-01-01T05:00:10Z".parse()?);
    /// assert_eq!((due.fire.len(), due.left_out), (2, 3));
    /// assert_eq!(due.next, Some("2026-01-01T06:00:00Z".parse()?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn due(&self, last: Option<Timestamp>, now: Timestamp) -> Due {
        let grace = TimeDelta::from_std(self.grace).unwrap_or(TimeDelta::MAX);
        let on_time = now.checked_sub_signed(grace).unwrap_or(Timestamp::MIN_UTC);
        let just_before = on_time.checked_sub_signed(TimeDelta::nanoseconds(1)).unwrap_or(on_time);
        let keep = match self.misfire {
            Misfire::FireAll { max } => usize::try_from(max).unwrap_or(usize::MAX),
            _ => 1,
        };
        let (mut cursor, mut counted, mut at_least) = (last.unwrap_or(just_before), 0_u64, false);
        let mut latest: VecDeque<Timestamp> = VecDeque::new();
        let next = loop {
            match self.next_after(cursor) {
                Some(moment) if moment <= now => {
                    counted += 1;
                    latest.push_back(moment);
                    if latest.len() > keep {
                        latest.pop_front();
                    }
                    cursor = moment;
                    if counted == Self::MAX_COUNTED {
                        at_least = true;
                        // No timing fires more often than once a minute: of five weeks, not more than are counted.
                        let weeks = now.checked_sub_signed(TimeDelta::days(34)).unwrap_or(cursor);
                        cursor = cursor.max(weeks);
                    }
                }
                next => break next,
            }
        };
        if self.misfire == Misfire::Skip {
            latest.retain(|moment| *moment >= on_time);
        }
        let fire: Vec<Timestamp> = latest.into();
        let left_out = counted.saturating_sub(fire.len() as u64);
        Due::new(fire, left_out, at_least, next)
    }
}
