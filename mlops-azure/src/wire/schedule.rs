//! Schedules: what the service does at times.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::job::Job;
use super::open::ProvisioningState;
use super::quiet::{Members, Text};
use super::resource::Properties;
use super::schedule_trigger::ScheduleTrigger;
use super::text::TextMap;

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
    /// A batch endpoint is called, with this: members as they are, because neither Azure's type definitions nor its documentation say which
    /// there are (every client has a map of anything here, and names no page). What a call itself holds is a
    /// [`BatchInvoke`](super::batch::BatchInvoke).
    InvokeBatchEndpoint(Members),
    /// Something that has no type here: its members as they are.
    Other(Members),
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
                let definition = Value::Object(definition.clone().0);
                with(ActionType::InvokeBatchEndpoint, "endpointInvocationDefinition", definition)
            }
            Self::Other(members) => members.clone().0,
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
            Some(ActionType::CreateJob) if plain => {
                match members.get("jobDefinition").map(Job::deserialize) {
                    Some(Ok(job)) => Ok(Self::CreateJob(job)),
                    _ => Ok(Self::Other(Members(members))),
                }
            }
            Some(ActionType::InvokeBatchEndpoint) if plain => {
                match members.remove("endpointInvocationDefinition") {
                    Some(Value::Object(definition)) => Ok(Self::InvokeBatchEndpoint(Members(definition))),
                    Some(other) => {
                        members.insert("endpointInvocationDefinition".to_owned(), other);
                        Ok(Self::Other(Members(members)))
                    }
                    None => Ok(Self::Other(Members(members))),
                }
            }
            _ => Ok(Self::Other(Members(members))),
        }
    }
}

/// A schedule.
///
/// ```
/// use mlops_azure::wire::job::CommandJob;
/// use mlops_azure::wire::{Resource, Schedule, ScheduleTrigger};
///
/// let monday = ScheduleTrigger::cron("0 2 * * 1")?.in_time_zone("UTC")?;
/// let weekly = Schedule::new(monday, CommandJob::new("python train.py", "azureml:train:1"));
/// let body = Resource::new(weekly).body()?;
/// assert_eq!(body["properties"]["trigger"]["triggerType"], "Cron");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// When.
    pub trigger: ScheduleTrigger,
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
    pub description: Option<Text>,
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
    pub other: Members,
}

impl Schedule {
    /// Does something at times.
    pub fn new(trigger: ScheduleTrigger, action: impl Into<Action>) -> Self {
        Self {
            trigger,
            action: action.into(),
            is_enabled: None,
            display_name: None,
            description: None,
            tags: None,
            properties: None,
            provisioning_state: None,
            other: Members::new(),
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
