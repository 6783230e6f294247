//! Command jobs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::JobStatus;
use super::input::{JobInput, JobOutput};
use crate::wire::quiet::{Members, Text};
use crate::wire::text::{IsoDuration, TextMap};

open_enum! {
    /// `Command`, the discriminator of command jobs.
    pub enum CommandType {
        /// The only one.
        Command = "Command",
    }
}

open_enum! {
    /// By what several processes find each other.
    pub enum DistributionType {
        /// By MPI.
        Mpi = "Mpi",
        /// By PyTorch's launcher.
        PyTorch = "PyTorch",
        /// By `TF_CONFIG`.
        TensorFlow = "TensorFlow",
    }
}

/// How a job's processes are spread over its machines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Distribution {
    /// By what they find each other.
    pub distribution_type: DistributionType,
    /// Processes of each machine; of MPI and PyTorch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_count_per_instance: Option<u32>,
    /// Workers; of TensorFlow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_count: Option<u32>,
    /// Parameter servers; of TensorFlow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter_server_count: Option<u32>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl Distribution {
    /// So many processes of PyTorch on each machine.
    pub fn pytorch(processes: u32) -> Self {
        Self {
            distribution_type: DistributionType::PyTorch,
            process_count_per_instance: Some(processes),
            worker_count: None,
            parameter_server_count: None,
            other: Members::new(),
        }
    }

    /// So many processes of MPI on each machine.
    pub fn mpi(processes: u32) -> Self {
        Self { distribution_type: DistributionType::Mpi, ..Self::pytorch(processes) }
    }

    /// So many workers and parameter servers of TensorFlow.
    pub fn tensorflow(workers: u32, parameter_servers: u32) -> Self {
        Self {
            distribution_type: DistributionType::TensorFlow,
            process_count_per_instance: None,
            worker_count: Some(workers),
            parameter_server_count: Some(parameter_servers),
            other: Members::new(),
        }
    }
}

/// On what a job runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JobResources {
    /// How many machines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_count: Option<u32>,
    /// Which, where the job has no cluster of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    /// Shared memory of the container, such as `16g`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<String>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

open_enum! {
    /// How soon a job gets machines, and for how long.
    pub enum JobTier {
        /// When some are left, until others want them.
        Spot = "Spot",
        /// Basic.
        Basic = "Basic",
        /// Standard.
        Standard = "Standard",
        /// Premium.
        Premium = "Premium",
    }
}

/// How a job queues.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueSettings {
    /// How soon it gets machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_tier: Option<JobTier>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

/// How long a job may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandLimits {
    job_limits_type: CommandType,
    /// How long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<IsoDuration>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl CommandLimits {
    /// At most so long.
    pub fn timeout(timeout: Duration) -> Self {
        Self { job_limits_type: CommandType::Command, timeout: Some(timeout.into()), other: Members::new() }
    }
}

open_enum! {
    /// Who a job is to others.
    pub enum JobIdentityType {
        /// Whom the workspace makes it: a token of its own.
        AmlToken = "AMLToken",
        /// An identity of the machines.
        Managed = "Managed",
        /// Whoever started it.
        UserIdentity = "UserIdentity",
    }
}

/// Who a job is to others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobIdentity {
    /// Who.
    pub identity_type: JobIdentityType,
    /// The client id of one of several managed identities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl JobIdentity {
    /// Of a kind.
    pub fn new(identity_type: JobIdentityType) -> Self {
        Self { identity_type, client_id: None, other: Members::new() }
    }
}

/// One command, on one machine or several.
///
/// In the command `${{inputs.NAME}}` and `${{outputs.NAME}}` stand for values and paths.
///
/// ```
/// use mlops_azure::wire::job::{CommandJob, Job, JobInput};
/// use mlops_azure::wire::Resource;
///
/// let job = CommandJob::new("python train.py --lr ${{inputs.lr}}", "azureml:train:1")
///     .on("/subscriptions/…/computes/cpu")
///     .with_input("lr", JobInput::literal(0.1));
/// let body = Resource::new(Job::from(job)).body()?;
/// assert_eq!(body["properties"]["inputs"]["lr"]["value"], "0.1");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandJob {
    job_type: CommandType,
    /// The command.
    pub command: Text,
    /// The environment: a Resource Manager id, or `azureml:NAME:VERSION`.
    pub environment_id: String,
    /// The code that lies in the current folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_id: Option<String>,
    /// The cluster; none runs it on machines that the service chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_id: Option<String>,
    /// The experiment; none is `Default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment_name: Option<String>,
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Text>,
    /// What goes in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<BTreeMap<String, JobInput>>,
    /// What comes out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<BTreeMap<String, JobOutput>>,
    /// How its processes are spread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<Distribution>,
    /// On what it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<JobResources>,
    /// How it queues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_settings: Option<QueueSettings>,
    /// How long it may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<CommandLimits>,
    /// Who it is to others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<JobIdentity>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_variables: Option<TextMap>,
    /// Whether it is hidden from lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_archived: Option<bool>,
    /// Tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<TextMap>,
    /// Properties.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<TextMap>,
    /// How far it is; read only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<JobStatus>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl CommandJob {
    /// A command in an environment.
    pub fn new(command: impl Into<String>, environment_id: impl Into<String>) -> Self {
        Self {
            job_type: CommandType::Command,
            command: Text(command.into()),
            environment_id: environment_id.into(),
            code_id: None,
            compute_id: None,
            experiment_name: None,
            display_name: None,
            description: None,
            inputs: None,
            outputs: None,
            distribution: None,
            resources: None,
            queue_settings: None,
            limits: None,
            identity: None,
            environment_variables: None,
            is_archived: None,
            tags: None,
            properties: None,
            status: None,
            other: Members::new(),
        }
    }

    /// The same on a cluster, by its Resource Manager id.
    #[must_use]
    pub fn on(mut self, compute_id: impl Into<String>) -> Self {
        self.compute_id = Some(compute_id.into());
        self
    }

    /// The same with code.
    #[must_use]
    pub fn with_code(mut self, code_id: impl Into<String>) -> Self {
        self.code_id = Some(code_id.into());
        self
    }

    /// The same in an experiment.
    #[must_use]
    pub fn in_experiment(mut self, name: impl Into<String>) -> Self {
        self.experiment_name = Some(name.into());
        self
    }

    /// The same with an input.
    #[must_use]
    pub fn with_input(mut self, name: impl Into<String>, input: JobInput) -> Self {
        self.inputs.get_or_insert_default().insert(name.into(), input);
        self
    }

    /// The same with an output.
    #[must_use]
    pub fn with_output(mut self, name: impl Into<String>, output: JobOutput) -> Self {
        self.outputs.get_or_insert_default().insert(name.into(), output);
        self
    }

    /// The same on so many machines.
    #[must_use]
    pub fn with_instances(mut self, count: u32) -> Self {
        self.resources.get_or_insert_default().instance_count = Some(count);
        self
    }

    /// The same with processes spread over its machines.
    #[must_use]
    pub fn with_distribution(mut self, distribution: Distribution) -> Self {
        self.distribution = Some(distribution);
        self
    }

    /// The same in a queue.
    #[must_use]
    pub fn with_tier(mut self, tier: JobTier) -> Self {
        self.queue_settings = Some(QueueSettings { job_tier: Some(tier), other: Members::new() });
        self
    }

    /// The same for at most so long.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.limits = Some(CommandLimits::timeout(timeout));
        self
    }

    /// The same with tags.
    #[must_use]
    pub fn with_tags(mut self, tags: TextMap) -> Self {
        self.tags = Some(tags);
        self
    }
}
