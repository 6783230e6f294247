//! Azure ML's triggers: in its YAML, and in its REST interface.

use std::collections::BTreeSet;

use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};

use super::{Cron, Frequency, Recurrence, RecurrencePattern, Schedule, Timing, WeekDay, Zone, local_time};
use crate::config::Document;
use crate::error::{Error, Result};
use crate::pipeline::PipelineFormat;

const OP: &str = "AzureTrigger::parse";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Cron,
    Recurrence,
}

/// The `trigger` of a schedule in Azure ML's YAML; JSON with the same keys is read and written too.
///
/// Misfire and overlap policies and calendars are not part of it: Azure ML has none. Zones are written by their names on Windows, as
/// Azure ML wants them, and read by either name; a time with an offset is read as the local time it is.
///
/// ```
/// use mlops_core::pipeline::PipelineFormat;
/// use mlops_core::pipeline::schedule::{AzureTrigger, Schedule};
/// let trigger = AzureTrigger::parse(
///     r#"{"type": "recurrence", "frequency": "day", "interval": 1, "schedule": {"hours": [4, 5, 10], "minutes": [0, 30]},
///         "start_time": "2025-07-10T10:00:00", "time_zone": "Pacific Standard Time"}"#,
///     PipelineFormat::Json,
/// )?;
/// let schedule = Schedule::try_from(trigger)?;
/// assert_eq!(schedule.zone().name(), "America/Los_Angeles");
/// assert_eq!(schedule.next_after("2025-07-10T16:00:00Z".parse()?), Some("2025-07-10T17:00:00Z".parse()?));
/// let again = AzureTrigger::try_from(&schedule)?;
/// assert_eq!(Schedule::try_from(again)?, schedule);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AzureTrigger {
    r#type: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expression: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    frequency: Option<Frequency>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    interval: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schedule: Option<AzurePattern>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start_time: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end_time: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
}

/// One value, or a list of them: Azure ML takes both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    Many(Vec<T>),
    One(T),
}

fn many<T: Ord + Clone>(values: Option<OneOrMany<T>>) -> BTreeSet<T> {
    match values {
        None => BTreeSet::new(),
        Some(OneOrMany::One(value)) => [value].into(),
        Some(OneOrMany::Many(values)) => values.into_iter().collect(),
    }
}

fn listed<T: Clone>(values: &BTreeSet<T>) -> Option<OneOrMany<T>> {
    (!values.is_empty()).then(|| OneOrMany::Many(values.iter().cloned().collect()))
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AzurePattern {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hours: Option<OneOrMany<u8>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    minutes: Option<OneOrMany<u8>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    week_days: Option<OneOrMany<WeekDay>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    month_days: Option<OneOrMany<u8>>,
}

impl AzureTrigger {
    /// Reads a trigger from a text of at most one mebibyte.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) with the context `line`, `column` and `field`.
    pub fn parse(text: &str, format: PipelineFormat) -> Result<Self> {
        Document::new(OP, "text", text, format)?.parse(None)
    }

    /// The trigger as JSON, which is YAML too.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) where it cannot be written.
    pub fn to_json(&self) -> Result<String> {
        let failed = |e| Error::new(crate::ErrorKind::Internal, OP, "cannot be written").with_source(e);
        serde_json::to_string_pretty(self).map_err(failed)
    }
}

fn zone(text: Option<&str>) -> Result<Zone> {
    text.map_or(Ok(Zone::UTC), str::parse)
}

/// A local time; one with an offset as what the wall clock in the zone shows then.
fn local(field: &'static str, text: Option<&str>, zone: Zone) -> Result<Option<NaiveDateTime>> {
    let Some(text) = text else { return Ok(None) };
    if let Some(time) = local_time::parse(text) {
        return Ok(Some(time));
    }
    let moment = chrono::DateTime::parse_from_rfc3339(text).ok();
    let found = moment.and_then(|moment| zone.local(moment.to_utc()));
    let wrong = || Error::invalid(OP, field, "is no time such as 2026-01-31T08:00:00").with("value", text);
    found.map(Some).ok_or_else(wrong)
}

impl TryFrom<AzureTrigger> for Schedule {
    type Error = Error;

    fn try_from(trigger: AzureTrigger) -> Result<Self> {
        let zone = zone(trigger.time_zone.as_deref())?;
        let start = local("start_time", trigger.start_time.as_deref(), zone)?;
        let end = local("end_time", trigger.end_time.as_deref(), zone)?;
        let recurs = trigger.frequency.is_some() || trigger.interval.is_some() || trigger.schedule.is_some();
        match (trigger.r#type, trigger.expression, trigger.frequency) {
            (Kind::Cron, Some(expression), _) if !recurs => {
                Self::cron(expression.parse()?, zone).with_span(start, end)
            }
            (Kind::Cron, ..) => {
                Err(Error::invalid(OP, "expression", "a cron trigger has this and nothing of a recurrence"))
            }
            (Kind::Recurrence, None, Some(frequency)) => {
                let interval = trigger.interval.unwrap_or(1);
                let mut recurrence = Recurrence::new(frequency, interval)?;
                if let Some(pattern) = trigger.schedule {
                    recurrence = recurrence.with_schedule(RecurrencePattern {
                        hours: many(pattern.hours),
                        minutes: many(pattern.minutes),
                        week_days: many(pattern.week_days),
                        month_days: many(pattern.month_days),
                    })?;
                }
                Self::recurrence(recurrence, zone, start)?.with_span(start, end)
            }
            (Kind::Recurrence, ..) => {
                Err(Error::invalid(OP, "frequency", "a recurrence trigger has this and no expression"))
            }
        }
    }
}

impl TryFrom<&Schedule> for AzureTrigger {
    type Error = Error;

    /// Refuses a zone that has no name on Windows, and a calendar, which Azure ML has no place for.
    fn try_from(schedule: &Schedule) -> Result<Self> {
        if !schedule.calendar.is_empty() {
            return Err(Error::unsupported("AzureTrigger::try_from", "calendars, which Azure ML has not"));
        }
        let zone = schedule.zone.windows_name().ok_or_else(|| {
            let error = Error::unsupported("AzureTrigger::try_from", "time zones without a name on Windows");
            error.with("time_zone", schedule.zone)
        })?;
        let text = |time: Option<NaiveDateTime>| time.map(|time| time.format(local_time::FORMAT).to_string());
        let mut trigger = Self {
            r#type: Kind::Cron,
            expression: None,
            frequency: None,
            interval: None,
            schedule: None,
            start_time: text(schedule.start),
            end_time: text(schedule.end),
            time_zone: Some(zone.to_owned()),
        };
        match &schedule.timing {
            Timing::Cron(cron) => trigger.expression = Some(Cron::to_string(cron)),
            Timing::Recurrence(recurrence) => {
                let pattern = recurrence.schedule();
                let written = AzurePattern {
                    hours: listed(&pattern.hours),
                    // Azure ML takes hours and minutes together.
                    minutes: match pattern.minutes.is_empty() && !pattern.hours.is_empty() {
                        true => Some(OneOrMany::Many(vec![0])),
                        false => listed(&pattern.minutes),
                    },
                    week_days: listed(&pattern.week_days),
                    month_days: listed(&pattern.month_days),
                };
                trigger.r#type = Kind::Recurrence;
                trigger.frequency = Some(recurrence.frequency());
                trigger.interval = Some(recurrence.interval());
                trigger.schedule = (*pattern != RecurrencePattern::default()).then_some(written);
            }
        }
        Ok(trigger)
    }
}

/// The trigger of a schedule in Azure ML's REST interface: keys in camel case, words capitalised.
///
/// ```
/// use mlops_core::pipeline::schedule::{AzureTrigger, AzureTriggerWire, Schedule};
/// let wire: AzureTriggerWire = serde_json::from_str(
///     r#"{"triggerType": "Cron", "expression": "0 16 * * 1", "timeZone": "UTC", "startTime": "2025-01-01T00:00:00"}"#,
/// )?;
/// let schedule = Schedule::try_from(AzureTrigger::from(wire))?;
/// assert_eq!(schedule.next_after("2025-06-10T00:00:00Z".parse()?), Some("2025-06-16T16:00:00Z".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AzureTriggerWire {
    trigger_type: WireKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expression: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    frequency: Option<WireFrequency>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    interval: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schedule: Option<WirePattern>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start_time: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end_time: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum WireKind {
    Cron,
    Recurrence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum WireFrequency {
    Minute,
    Hour,
    Day,
    Week,
    Month,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum WireDay {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WirePattern {
    #[serde(default)]
    hours: Option<Vec<u8>>,
    #[serde(default)]
    minutes: Option<Vec<u8>>,
    #[serde(default)]
    week_days: Option<Vec<WireDay>>,
    #[serde(default)]
    month_days: Option<Vec<u8>>,
}

/// Both directions of words that differ in their case only.
macro_rules! same_words {
    ($($ours:ident = $wire:ident [$($word:ident),*];)*) => {$(
        impl From<$wire> for $ours {
            fn from(word: $wire) -> Self {
                match word { $($wire::$word => Self::$word),* }
            }
        }

        impl From<$ours> for $wire {
            fn from(word: $ours) -> Self {
                match word { $($ours::$word => Self::$word),* }
            }
        }
    )*};
}

same_words! {
    Kind = WireKind [Cron, Recurrence];
    Frequency = WireFrequency [Minute, Hour, Day, Week, Month];
    WeekDay = WireDay [Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday];
}

fn listing<T: Clone, U: From<T>>(values: Option<OneOrMany<T>>) -> Option<Vec<U>> {
    values.map(|values| match values {
        OneOrMany::One(value) => vec![value.into()],
        OneOrMany::Many(values) => values.into_iter().map(Into::into).collect(),
    })
}

impl From<AzureTriggerWire> for AzureTrigger {
    fn from(wire: AzureTriggerWire) -> Self {
        fn read<T, U: From<T>>(values: Option<Vec<T>>) -> Option<OneOrMany<U>> {
            values.map(|values| OneOrMany::Many(values.into_iter().map(Into::into).collect()))
        }
        let pattern = |pattern: WirePattern| AzurePattern {
            hours: read(pattern.hours),
            minutes: read(pattern.minutes),
            week_days: read(pattern.week_days),
            month_days: read(pattern.month_days),
        };
        Self {
            r#type: wire.trigger_type.into(),
            expression: wire.expression,
            frequency: wire.frequency.map(Into::into),
            interval: wire.interval,
            schedule: wire.schedule.map(pattern),
            start_time: wire.start_time,
            end_time: wire.end_time,
            time_zone: wire.time_zone,
        }
    }
}

impl From<AzureTrigger> for AzureTriggerWire {
    fn from(trigger: AzureTrigger) -> Self {
        let pattern = |pattern: AzurePattern| WirePattern {
            hours: listing(pattern.hours),
            minutes: listing(pattern.minutes),
            week_days: listing(pattern.week_days),
            month_days: listing(pattern.month_days),
        };
        Self {
            trigger_type: trigger.r#type.into(),
            expression: trigger.expression,
            frequency: trigger.frequency.map(Into::into),
            interval: trigger.interval,
            schedule: trigger.schedule.map(pattern),
            start_time: trigger.start_time,
            end_time: trigger.end_time,
            time_zone: trigger.time_zone,
        }
    }
}
