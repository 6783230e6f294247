//! Core's schedules as triggers, and back. Zones are written by their Windows names and read by either name; calendars, and what core
//! says of firings that were missed or overlap, the service has no words for.

use chrono::Timelike as _;
use mlops_core::pipeline::schedule::{AzureTrigger, AzureTriggerWire, Schedule};
use mlops_core::{Error, ErrorKind, Result};
use serde_json::{Map, Value};

use super::ScheduleTrigger;

impl TryFrom<&Schedule> for ScheduleTrigger {
    type Error = Error;

    /// ```
    /// use mlops_azure::wire::ScheduleTrigger;
    /// use mlops_core::pipeline::schedule::Schedule;
    /// let nightly = Schedule::cron("30 2 * * *".parse()?, "Europe/Vienna".parse()?);
    /// let trigger = ScheduleTrigger::try_from(&nightly)?;
    /// assert_eq!(trigger.time_zone.as_deref(), Some("W. Europe Standard Time"));
    /// assert_eq!(trigger.schedule()?.next_after("2026-06-01T00:00:00Z".parse()?), Some("2026-06-01T00:30:00Z".parse()?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn try_from(schedule: &Schedule) -> Result<Self> {
        const OP: &str = "ScheduleTrigger::try_from";
        let wire = AzureTriggerWire::from(AzureTrigger::try_from(schedule)?);
        let bad = |e| Error::new(ErrorKind::Internal, OP, "a trigger cannot be written").with_source(e);
        let value = serde_json::to_value(wire).map_err(bad)?;
        let mut trigger: Self = serde_json::from_value(without_nulls(value)).map_err(bad)?;
        // Where the schedule gives the times of its start, the service wants them said.
        if let Some(times) = trigger.schedule.as_mut().filter(|times| times.hours.is_empty()) {
            let start = schedule.start().unwrap_or_default();
            times.hours.push(start.hour());
            if times.minutes.is_empty() {
                times.minutes.push(start.minute());
            }
        }
        Ok(trigger)
    }
}

/// What is there is said; what is `null` is not.
fn without_nulls(mut value: Value) -> Value {
    let clean = |members: &mut Map<String, Value>| members.retain(|_, member| !member.is_null());
    if let Some(members) = value.as_object_mut() {
        clean(members);
        if let Some(times) = members.get_mut("schedule").and_then(Value::as_object_mut) {
            clean(times);
        }
    }
    value
}

impl ScheduleTrigger {
    /// When that is, in core's words.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] that names what core does not read: a unit, a zone or a time that is none.
    pub fn schedule(&self) -> Result<Schedule> {
        const OP: &str = "ScheduleTrigger::schedule";
        let bad = |e| Error::invalid(OP, "trigger", "is none that this library reads").with_source(e);
        let mut known = self.clone();
        known.other = crate::wire::Members::new();
        if let Some(times) = &mut known.schedule {
            times.other = crate::wire::Members::new();
        }
        let value = serde_json::to_value(&known).map_err(bad)?;
        let wire: AzureTriggerWire = serde_json::from_value(value).map_err(bad)?;
        Schedule::try_from(AzureTrigger::from(wire))
    }
}
