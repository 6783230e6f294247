//! Jobs.
//!
//! | module | what it holds |
//! |---|---|
//! | [`command`] | [`CommandJob`]: one command, on one machine or several |
//! | [`input`] | what goes in and comes out |
//! | [`sweep`] | [`SweepJob`]: one command for many values of its parameters |
//!
//! A job cannot be changed by writing it again; its tags, display name and whether it is archived are changed in run history.

pub mod command;
pub mod input;
pub mod sweep;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

pub use command::CommandJob;
pub use input::{JobInput, JobOutput};
pub use sweep::SweepJob;

use super::resource::Properties;

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
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum Job {
    /// One command.
    Command(Box<CommandJob>),
    /// One command for many values of its parameters.
    Sweep(Box<SweepJob>),
    /// A job of a type that has no type here: its members as they are.
    Other(Map<String, Value>),
}

impl Job {
    /// The type: `Command`, `Sweep`, `Pipeline`, `AutoML`, `Spark`.
    pub fn job_type(&self) -> &str {
        match self {
            Self::Command(_) => "Command",
            Self::Sweep(_) => "Sweep",
            Self::Other(members) => members.get("jobType").and_then(Value::as_str).unwrap_or_default(),
        }
    }

    /// How far it is; `None` where the service does not say.
    pub fn status(&self) -> Option<JobStatus> {
        match self {
            Self::Command(job) => job.status.clone(),
            Self::Sweep(job) => job.status.clone(),
            Self::Other(members) => members.get("status").and_then(Value::as_str).map(JobStatus::from),
        }
    }
}

impl From<CommandJob> for Job {
    fn from(job: CommandJob) -> Self {
        Self::Command(Box::new(job))
    }
}

impl From<SweepJob> for Job {
    fn from(job: SweepJob) -> Self {
        Self::Sweep(Box::new(job))
    }
}

impl Serialize for Job {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Command(job) => job.serialize(serializer),
            Self::Sweep(job) => job.serialize(serializer),
            Self::Other(members) => members.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Job {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = Map::deserialize(deserializer)?;
        let kind = members.get("jobType").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
        let job = match kind.as_str() {
            "command" => CommandJob::deserialize(Value::Object(members)).map(Self::from),
            "sweep" => SweepJob::deserialize(Value::Object(members)).map(Self::from),
            _ => Ok(Self::Other(members)),
        };
        job.map_err(serde::de::Error::custom)
    }
}

impl Properties for Job {
    const READ_ONLY: &'static [&'static str] =
        &["status", "parameters", "services/*/errorMessage", "services/*/status"];
}
