//! Schedules: what the service does at times.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::job::Job;
use super::open::ProvisioningState;
use super::resource::Properties;
use super::text::TextMap;

open_enum! {
    /// How times are told.
    pub enum TriggerType {
        /// As cron writes them.
        Cron = "Cron",
        /// Every so often.
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

/// At which times of the day, and on which days. Hours and minutes are all combined with each other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecurrencePattern {
    /// Hours, 0 to 23.
    pub hours: Vec<u8>,
    /// Minutes, 0 to 59.
    pub minutes: Vec<u8>,
    /// Days of the week; of weeks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub week_days: Option<Vec<WeekDay>>,
    /// Days of the month; of months.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub month_days: Option<Vec<u8>>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// When something happens.
///
/// ```
/// use mlops_azure::wire::schedule::Trigger;
/// let monday = serde_json::to_string(&Trigger::cron("0 2 * * 1", "UTC"))?;
/// assert_eq!(monday, r#"{"triggerType":"Cron","expression":"0 2 * * 1","timeZone":"UTC"}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trigger {
    /// How times are told.
    pub trigger_type: TriggerType,
    /// As cron writes them: minute, hour, day of month, month, day of week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// The unit of a recurrence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency: Option<Frequency>,
    /// How many units lie between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<u32>,
    /// At which times and on which days of the unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<RecurrencePattern>,
    /// From when on, by a wall clock in the zone: `2026-01-05T00:00:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// Up to when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    /// The Windows name of a time zone; none is UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Trigger {
    fn new(trigger_type: TriggerType, time_zone: impl Into<String>) -> Self {
        Self {
            trigger_type,
            expression: None,
            frequency: None,
            interval: None,
            schedule: None,
            start_time: None,
            end_time: None,
            time_zone: Some(time_zone.into()),
            other: Map::new(),
        }
    }

    /// At times as cron writes them, in a time zone by its Windows name.
    pub fn cron(expression: impl Into<String>, time_zone: impl Into<String>) -> Self {
        Self { expression: Some(expression.into()), ..Self::new(TriggerType::Cron, time_zone) }
    }

    /// Every so many units, in a time zone by its Windows name.
    pub fn every(interval: u32, frequency: Frequency, time_zone: impl Into<String>) -> Self {
        Self {
            frequency: Some(frequency),
            interval: Some(interval),
            ..Self::new(TriggerType::Recurrence, time_zone)
        }
    }

    /// The same at these times and on these days.
    #[must_use]
    pub fn at(mut self, pattern: RecurrencePattern) -> Self {
        self.schedule = Some(pattern);
        self
    }

    /// The same from when on, by a wall clock in the zone.
    #[must_use]
    pub fn starting(mut self, time: impl Into<String>) -> Self {
        self.start_time = Some(time.into());
        self
    }
}

/// Core's schedules as triggers, and back. Zones are written by their Windows names and read by either name; calendars, and what core
/// says of firings that were missed or overlap, the service has no words for.
#[cfg(feature = "schedule")]
mod core {
    use mlops_core::pipeline::schedule::{AzureTrigger, AzureTriggerWire, Schedule};
    use mlops_core::{Error, ErrorKind, Result};
    use serde::Deserialize as _;
    use serde_json::{Map, Value};

    use super::Trigger;

    impl TryFrom<&Schedule> for Trigger {
        type Error = Error;

        /// ```
        /// use mlops_azure::wire::schedule::Trigger;
        /// use mlops_core::pipeline::schedule::Schedule;
        /// let nightly = Schedule::cron("30 2 * * *".parse()?, "Europe/Vienna".parse()?);
        /// let trigger = Trigger::try_from(&nightly)?;
        /// assert_eq!(trigger.time_zone.as_deref(), Some("W. Europe Standard Time"));
        /// assert_eq!(trigger.schedule()?.next_after("2026-06-01T00:00:00Z".parse()?), Some("2026-06-01T00:30:00Z".parse()?));
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        fn try_from(schedule: &Schedule) -> Result<Self> {
            const OP: &str = "Trigger::try_from";
            let wire = AzureTriggerWire::from(AzureTrigger::try_from(schedule)?);
            let bad = |e| Error::new(ErrorKind::Internal, OP, "a trigger cannot be written").with_source(e);
            let value = serde_json::to_value(wire).map_err(|e: serde_json::Error| bad(e))?;
            let mut trigger = Self::deserialize(without_nulls(value)).map_err(bad)?;
            // Where the schedule gives the times of its start, the service wants them said.
            if let Some(pattern) = &mut trigger.schedule {
                let start = schedule.start().unwrap_or_default();
                use chrono::Timelike as _;
                let small = |value: u32| u8::try_from(value).unwrap_or_default();
                if pattern.hours.is_empty() {
                    pattern.hours.push(small(start.hour()));
                    if pattern.minutes.is_empty() {
                        pattern.minutes.push(small(start.minute()));
                    }
                }
            }
            Ok(trigger)
        }
    }

    /// What is there is said; what is `null` is not, and hours and minutes are always said.
    fn without_nulls(mut value: Value) -> Value {
        let clean = |members: &mut Map<String, Value>| members.retain(|_, member| !member.is_null());
        if let Some(members) = value.as_object_mut() {
            clean(members);
            if let Some(pattern) = members.get_mut("schedule").and_then(Value::as_object_mut) {
                clean(pattern);
                for name in ["hours", "minutes"] {
                    pattern.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                }
            }
        }
        value
    }

    impl Trigger {
        /// When that is, in core's words.
        ///
        /// # Errors
        /// [`ErrorKind::InvalidInput`] that names what core does not read: a unit, a zone or a time that is none.
        pub fn schedule(&self) -> Result<Schedule> {
            const OP: &str = "Trigger::schedule";
            let bad = |e| Error::invalid(OP, "trigger", "is none that this library reads").with_source(e);
            let mut known = self.clone();
            known.other = Map::new();
            if let Some(pattern) = &mut known.schedule {
                pattern.other = Map::new();
            }
            let value = serde_json::to_value(&known).map_err(bad)?;
            let wire = AzureTriggerWire::deserialize(value).map_err(bad)?;
            Schedule::try_from(AzureTrigger::from(wire))
        }
    }
}

open_enum! {
    /// What is done.
    pub enum ActionType {
        /// A job is started.
        CreateJob = "CreateJob",
        /// A batch endpoint is called.
        InvokeBatchEndpoint = "InvokeBatchEndpoint",
        /// A model is watched.
        CreateMonitor = "CreateMonitor",
    }
}

/// What is done at the times of a schedule.
///
/// ```
/// use mlops_azure::wire::job::CommandJob;
/// use mlops_azure::wire::schedule::Action;
/// let action = Action::from(CommandJob::new("python train.py", "azureml:train:1"));
/// assert_eq!(serde_json::to_value(action)?["actionType"], "CreateJob");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// A job is started.
    CreateJob(Job),
    /// A batch endpoint is called, with this.
    InvokeBatchEndpoint(Map<String, Value>),
    /// Something that has no type here: its members as they are.
    Other(Map<String, Value>),
}

impl Action {
    /// The members of what is done.
    fn members(&self) -> Result<Map<String, Value>, serde_json::Error> {
        let with = |kind: ActionType, name: &str, value: Value| {
            let pairs = [("actionType".to_owned(), kind.as_str().into()), (name.to_owned(), value)];
            pairs.into_iter().collect()
        };
        Ok(match self {
            Self::CreateJob(job) => with(ActionType::CreateJob, "jobDefinition", serde_json::to_value(job)?),
            Self::InvokeBatchEndpoint(definition) => {
                let definition = Value::Object(definition.clone());
                with(ActionType::InvokeBatchEndpoint, "endpointInvocationDefinition", definition)
            }
            Self::Other(members) => members.clone(),
        })
    }
}

impl<J: Into<Job>> From<J> for Action {
    fn from(job: J) -> Self {
        Self::CreateJob(job.into())
    }
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.members().map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut members = Map::deserialize(deserializer)?;
        let kind = members.get("actionType").and_then(Value::as_str).map(ActionType::from);
        // What has members besides these is kept as it is.
        let plain = members.len() == 2;
        match kind {
            Some(ActionType::CreateJob) if plain => match members.remove("jobDefinition") {
                Some(job) => Job::deserialize(job).map(Self::CreateJob).map_err(serde::de::Error::custom),
                None => Ok(Self::Other(members)),
            },
            Some(ActionType::InvokeBatchEndpoint) if plain => {
                match members.remove("endpointInvocationDefinition") {
                    Some(Value::Object(definition)) => Ok(Self::InvokeBatchEndpoint(definition)),
                    Some(other) => {
                        members.insert("endpointInvocationDefinition".to_owned(), other);
                        Ok(Self::Other(members))
                    }
                    None => Ok(Self::Other(members)),
                }
            }
            _ => Ok(Self::Other(members)),
        }
    }
}

/// A schedule.
///
/// ```
/// use mlops_azure::wire::job::CommandJob;
/// use mlops_azure::wire::schedule::{Schedule, Trigger};
/// use mlops_azure::wire::Resource;
///
/// let weekly = Schedule::new(Trigger::cron("0 2 * * 1", "UTC"), CommandJob::new("python train.py", "azureml:train:1"));
/// let body = Resource::new(weekly).body()?;
/// assert_eq!(body["properties"]["trigger"]["triggerType"], "Cron");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// When.
    pub trigger: Trigger,
    /// What.
    pub action: Action,
    /// Whether it does anything; it does, if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_enabled: Option<bool>,
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<TextMap>,
    /// Properties, which can be added and not changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<TextMap>,
    /// How far it is; read only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioning_state: Option<ProvisioningState>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Schedule {
    /// Does something at times.
    pub fn new(trigger: Trigger, action: impl Into<Action>) -> Self {
        Self {
            trigger,
            action: action.into(),
            is_enabled: None,
            display_name: None,
            description: None,
            tags: None,
            properties: None,
            provisioning_state: None,
            other: Map::new(),
        }
    }

    /// The same, on or off.
    #[must_use]
    pub fn enabled(mut self, yes: bool) -> Self {
        self.is_enabled = Some(yes);
        self
    }
}

impl Properties for Schedule {
    const READ_ONLY: &'static [&'static str] = &["provisioningState"];
}
