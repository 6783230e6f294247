//! Jobs.
//!
//! | module | what it holds |
//! |---|---|
//! | [`automl`] | [`AutoMlJob`]: the service tries algorithms by itself |
//! | [`command`] | [`CommandJob`]: one command, on one machine or several |
//! | [`input`] | what goes in and comes out |
//! | [`pipeline`] | [`PipelineJob`]: steps, and what flows between them |
//! | [`sweep`] | [`SweepJob`]: one command for many values of its parameters |
//!
//! A job cannot be changed by writing it again; its tags, display name and whether it is archived are changed in run history.

pub mod automl;
pub mod command;
pub mod input;
pub mod pipeline;
pub mod sweep;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

pub use automl::AutoMlJob;
pub use command::CommandJob;
pub use input::{JobInput, JobOutput};
pub use pipeline::PipelineJob;
pub use sweep::SweepJob;

use self::command::{JobIdentity, JobIdentityType};
use super::resource::Properties;
use super::text::{TextMap, without_nulls};
use crate::wire::quiet::Members;

open_enum! {
    /// How far a job is.
    pub enum JobStatus {
        /// It was taken.
        NotStarted = "NotStarted",
        /// It is about to be scheduled.
        Starting = "Starting",
        /// Machines are being made for it.
        Provisioning = "Provisioning",
        /// Its environment is being made.
        Preparing = "Preparing",
        /// It waits for machines.
        Queued = "Queued",
        /// It runs.
        Running = "Running",
        /// Its outputs are being written.
        Finalizing = "Finalizing",
        /// It is being cancelled.
        CancelRequested = "CancelRequested",
        /// It is over, and was successful.
        Completed = "Completed",
        /// It is over, and failed.
        Failed = "Failed",
        /// It was cancelled.
        Canceled = "Canceled",
        /// Nothing is heard of it.
        NotResponding = "NotResponding",
        /// It stands still.
        Paused = "Paused",
        /// The service does not know.
        Unknown = "Unknown",
    }
}

impl JobStatus {
    /// Whether it will not change any more.
    ///
    /// ```
    /// use mlops_azure::wire::job::JobStatus;
    /// assert!(JobStatus::from("failed").is_final() && !JobStatus::from("SomethingNew").is_final());
    /// ```
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled)
    }
}

/// What a job is.
///
/// What the service says of a job is read by its type. Where it does not say what a job of this type has (an old job without an
/// environment, a step in a form of its own), the job is [`Other`](Self::Other), with all of its members: one odd job makes no list
/// unreadable.
///
/// ```
/// use mlops_azure::wire::Job;
/// let odd: Job = serde_json::from_str(r#"{"jobType":"Command","command":null,"environmentId":"e","status":"Completed"}"#)?;
/// assert!(matches!(odd, Job::Other(_)));
/// assert_eq!((odd.job_type(), odd.status().is_some_and(|status| status.is_final())), ("Command", true));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum Job {
    /// Algorithms that the service tries.
    AutoMl(Box<AutoMlJob>),
    /// One command.
    Command(Box<CommandJob>),
    /// Steps, and what flows between them.
    Pipeline(Box<PipelineJob>),
    /// One command for many values of its parameters.
    Sweep(Box<SweepJob>),
    /// A job of a type that has no type here, or one that its type does not fit: its members as they are.
    Other(Members),
}

/// A member that the jobs with types of their own have alike.
macro_rules! of_any {
    ($self:ident, $job:ident => $typed:expr, $members:ident => $other:expr) => {
        match $self {
            Self::AutoMl($job) => $typed,
            Self::Command($job) => $typed,
            Self::Pipeline($job) => $typed,
            Self::Sweep($job) => $typed,
            Self::Other($members) => $other,
        }
    };
}

impl Job {
    /// The type: `Command`, `Sweep`, `Pipeline`, `AutoML`, `Spark`.
    pub fn job_type(&self) -> &str {
        match self {
            Self::AutoMl(_) => "AutoML",
            Self::Command(_) => "Command",
            Self::Pipeline(_) => "Pipeline",
            Self::Sweep(_) => "Sweep",
            Self::Other(members) => members.get("jobType").and_then(Value::as_str).unwrap_or_default(),
        }
    }

    /// How far it is; `None` where the service does not say.
    pub fn status(&self) -> Option<JobStatus> {
        of_any!(self, job => job.status.clone(), members => text(members, "status").map(JobStatus::from))
    }

    /// The experiment; `None` where the service does not say.
    pub fn experiment_name(&self) -> Option<&str> {
        of_any!(self, job => job.experiment_name.as_deref(), members => text(members, "experimentName"))
    }

    /// Its name for people.
    pub fn display_name(&self) -> Option<&str> {
        of_any!(self, job => job.display_name.as_deref(), members => text(members, "displayName"))
    }

    /// The tags.
    pub fn tags(&self) -> TextMap {
        of_any!(self, job => job.tags.clone().unwrap_or_default(), members => texts(members, "tags"))
    }

    /// The properties.
    pub fn properties(&self) -> TextMap {
        of_any!(self, job => job.properties.clone().unwrap_or_default(), members => texts(members, "properties"))
    }

    /// Sets one of the properties.
    pub fn set_property(&mut self, name: &str, value: &str) {
        of_any!(self, job => job.properties.get_or_insert_default().insert(name, value), members => {
            let mut map = texts(members, "properties");
            map.insert(name, value);
            let map = map.0.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
            members.insert("properties".to_owned(), Value::Object(map));
        });
    }

    /// What comes out.
    pub fn outputs(&self) -> BTreeMap<String, JobOutput> {
        of_any!(self, job => job.outputs.clone().unwrap_or_default(), members => {
            let outputs = members.get("outputs").filter(|outputs| outputs.is_object());
            outputs.and_then(|outputs| BTreeMap::deserialize(outputs).ok()).unwrap_or_default()
        })
    }

    /// Where the service says how it is doing: the addresses by the names of its services, such as `Tracking` and `Studio`.
    pub fn services(&self) -> BTreeMap<String, String> {
        let services = of_any!(self, job => job.other.get("services"), members => members.get("services"));
        let endpoint = |(name, service): (&String, &Value)| {
            Some((name.clone(), service.get("endpoint")?.as_str()?.to_owned()))
        };
        services.and_then(Value::as_object).into_iter().flatten().filter_map(endpoint).collect()
    }

    /// Whether it runs as whoever starts it, or its steps do: the service then wants a token of theirs.
    pub fn needs_user_token(&self) -> bool {
        let as_user = |identity: &Option<JobIdentity>| {
            identity.as_ref().is_some_and(|of| of.identity_type == JobIdentityType::UserIdentity)
        };
        match self {
            Self::Pipeline(_) => true,
            Self::AutoMl(job) => as_user(&job.identity),
            Self::Command(job) => as_user(&job.identity),
            Self::Sweep(job) => as_user(&job.identity),
            Self::Other(members) => {
                let kind = members.get("identity").and_then(|of| of.get("identityType")?.as_str());
                self.job_type().eq_ignore_ascii_case("pipeline")
                    || kind.is_some_and(|kind| JobIdentityType::from(kind) == JobIdentityType::UserIdentity)
            }
        }
    }
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name).and_then(Value::as_str)
}

fn texts(members: &Map<String, Value>, name: &str) -> TextMap {
    members.get(name).and_then(|map| TextMap::deserialize(map).ok()).unwrap_or_default()
}

macro_rules! from {
    ($($name:ident($job:ident)),+) => {$(
        impl From<$job> for Job {
            fn from(job: $job) -> Self {
                Self::$name(Box::new(job))
            }
        }
    )+};
}
from!(AutoMl(AutoMlJob), Command(CommandJob), Pipeline(PipelineJob), Sweep(SweepJob));

impl Serialize for Job {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        of_any!(self, job => job.serialize(serializer), members => members.serialize(serializer))
    }
}

impl<'de> Deserialize<'de> for Job {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = Map::deserialize(deserializer)?;
        Ok(typed(&members).unwrap_or(Self::Other(Members(members))))
    }
}

/// A job by its type, if it is one of a type that has a type here; members that are `null` say nothing.
fn typed(members: &Map<String, Value>) -> Option<Job> {
    fn read<J: for<'de> Deserialize<'de> + Into<Job>>(members: &Map<String, Value>) -> Option<Job> {
        let whole = Value::Object(members.clone());
        let job = J::deserialize(&whole).or_else(|_| J::deserialize(without_nulls(&whole)));
        job.ok().map(J::into)
    }
    match text(members, "jobType").unwrap_or_default().to_ascii_lowercase().as_str() {
        "automl" => read::<AutoMlJob>(members),
        "command" => read::<CommandJob>(members),
        "pipeline" => read::<PipelineJob>(members),
        "sweep" => read::<SweepJob>(members),
        _ => None,
    }
}

impl Properties for Job {
    const READ_ONLY: &'static [&'static str] =
        &["status", "parameters", "services/*/errorMessage", "services/*/status"];
}
