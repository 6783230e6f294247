//! Sweep jobs: one command for many values of its parameters.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::JobStatus;
use super::command::{Distribution, JobIdentity, JobResources, QueueSettings};
use super::input::{JobInput, JobOutput};
use crate::wire::quiet::{Members, Text, Untyped};
use crate::wire::text::{IsoDuration, TextMap};

open_enum! {
    /// `Sweep`, the discriminator of sweep jobs.
    pub enum SweepType {
        /// The only one.
        Sweep = "Sweep",
    }
}

open_enum! {
    /// How values are chosen.
    pub enum SamplingType {
        /// At random.
        Random = "Random",
        /// All of them.
        Grid = "Grid",
        /// By what the trials before have shown; without early termination.
        Bayesian = "Bayesian",
    }
}

open_enum! {
    /// How random values are drawn.
    pub enum RandomRule {
        /// Independently.
        Random = "Random",
        /// By a sequence of Sobol, which covers the space evenly.
        Sobol = "Sobol",
    }
}

/// How values are chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SamplingAlgorithm {
    /// How.
    pub sampling_algorithm_type: SamplingType,
    /// How random ones are drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RandomRule>,
    /// From what random ones are drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u32>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl SamplingAlgorithm {
    /// Of a type, as the service does it by itself.
    pub fn new(sampling_algorithm_type: SamplingType) -> Self {
        Self { sampling_algorithm_type, rule: None, seed: None, other: Members::new() }
    }

    /// By a sequence of Sobol from a seed.
    pub fn sobol(seed: u32) -> Self {
        Self { rule: Some(RandomRule::Sobol), seed: Some(seed), ..Self::new(SamplingType::Random) }
    }
}

open_enum! {
    /// Whether more is better.
    pub enum Goal {
        /// Less is.
        Minimize = "Minimize",
        /// More is.
        Maximize = "Maximize",
    }
}

/// What is to be made best.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Objective {
    /// The metric, as the command logs it.
    pub primary_metric: String,
    /// Whether more of it is better.
    pub goal: Goal,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

/// How many trials there are, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SweepLimits {
    job_limits_type: SweepType,
    /// The most trials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_total_trials: Option<u32>,
    /// The most at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent_trials: Option<u32>,
    /// How long all may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<IsoDuration>,
    /// How long each may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial_timeout: Option<IsoDuration>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl SweepLimits {
    /// So many trials, so many of them at once.
    pub fn trials(total: u32, concurrent: u32) -> Self {
        Self {
            job_limits_type: SweepType::Sweep,
            max_total_trials: Some(total),
            max_concurrent_trials: Some(concurrent),
            timeout: None,
            trial_timeout: None,
            other: Members::new(),
        }
    }

    /// The same for at most so long, in all and each.
    #[must_use]
    pub fn within(mut self, all: Duration, each: Duration) -> Self {
        (self.timeout, self.trial_timeout) = (Some(all.into()), Some(each.into()));
        self
    }
}

open_enum! {
    /// Which trials are ended early.
    pub enum PolicyType {
        /// Those that are worse than the best one by more than a slack.
        Bandit = "Bandit",
        /// Those whose best is worse than the median of the means.
        MedianStopping = "MedianStopping",
        /// The worst of each round, so many per cent.
        TruncationSelection = "TruncationSelection",
    }
}

/// Which trials are ended early, and when that is looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EarlyTermination {
    /// Which.
    pub policy_type: PolicyType,
    /// At every how many values of the metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation_interval: Option<u32>,
    /// After how many values for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_evaluation: Option<u32>,
    /// The slack as a part of the best; of `Bandit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack_factor: Option<f64>,
    /// The slack as a difference; of `Bandit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack_amount: Option<f64>,
    /// How many per cent; of `TruncationSelection`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncation_percentage: Option<u32>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl EarlyTermination {
    /// Of a type, at every so many values, after so many for the first time.
    pub fn new(policy_type: PolicyType, evaluation_interval: u32, delay_evaluation: u32) -> Self {
        Self {
            policy_type,
            evaluation_interval: Some(evaluation_interval),
            delay_evaluation: Some(delay_evaluation),
            slack_factor: None,
            slack_amount: None,
            truncation_percentage: None,
            other: Members::new(),
        }
    }
}

/// The command of each trial, in which `${{search_space.NAME}}` stands for a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trial {
    /// The command.
    pub command: Text,
    /// The environment.
    pub environment_id: String,
    /// The code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_id: Option<String>,
    /// How its processes are spread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<Distribution>,
    /// On what it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<JobResources>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_variables: Option<TextMap>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl Trial {
    /// A command in an environment.
    pub fn new(command: impl Into<String>, environment_id: impl Into<String>) -> Self {
        Self {
            command: Text(command.into()),
            environment_id: environment_id.into(),
            code_id: None,
            distribution: None,
            resources: None,
            environment_variables: None,
            other: Members::new(),
        }
    }
}

/// The values of one parameter, as the service writes them: a name and its arguments.
///
/// ```
/// use mlops_azure::wire::job::sweep::ParameterValues;
/// assert_eq!(ParameterValues::uniform(0.001, 0.1).0.to_string(), r#"["uniform",[0.001,0.1]]"#);
/// assert_eq!(ParameterValues::choice([16, 32]).0.to_string(), r#"["choice",[[16,32]]]"#);
/// ```
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ParameterValues(pub Value);

impl fmt::Debug for ParameterValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values are whatever the command takes.
        f.debug_tuple("ParameterValues").field(&Untyped(self.0.clone())).finish()
    }
}

impl ParameterValues {
    /// One of several values.
    pub fn choice<V: Into<Value>>(values: impl IntoIterator<Item = V>) -> Self {
        let values: Vec<Value> = values.into_iter().map(Into::into).collect();
        Self(json!(["choice", [values]]))
    }

    /// Evenly between two.
    pub fn uniform(low: f64, high: f64) -> Self {
        Self(json!(["uniform", [low, high]]))
    }

    /// With a logarithm that is even between two.
    pub fn loguniform(low: f64, high: f64) -> Self {
        Self(json!(["loguniform", [low, high]]))
    }
}

/// A sweep.
///
/// ```
/// use mlops_azure::wire::job::sweep::{ParameterValues, Goal, SamplingAlgorithm, SweepJob, SweepLimits, Trial};
/// use mlops_azure::wire::job::Job;
/// use mlops_azure::wire::Resource;
///
/// let trial = Trial::new("python t.py --lr ${{search_space.lr}}", "azureml:e:1");
/// let job = SweepJob::new(trial, "auc", Goal::Maximize, SamplingAlgorithm::sobol(1))
///     .over("lr", ParameterValues::uniform(0.001, 0.1))
///     .with_limits(SweepLimits::trials(20, 4));
/// let body = Resource::new(Job::from(job)).body()?;
/// assert_eq!(body["properties"]["samplingAlgorithm"]["rule"], "Sobol");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SweepJob {
    job_type: SweepType,
    /// The command of each trial.
    pub trial: Trial,
    /// What is to be made best.
    pub objective: Objective,
    /// How values are chosen.
    pub sampling_algorithm: SamplingAlgorithm,
    /// Among which values.
    pub search_space: BTreeMap<String, ParameterValues>,
    /// Which trials are ended early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_termination: Option<EarlyTermination>,
    /// How many trials there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<SweepLimits>,
    /// The cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_id: Option<String>,
    /// The experiment.
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
    /// How it queues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_settings: Option<QueueSettings>,
    /// Who it is to others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<JobIdentity>,
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

impl SweepJob {
    /// A sweep over nothing yet.
    pub fn new(
        trial: Trial,
        primary_metric: impl Into<String>,
        goal: Goal,
        sampling_algorithm: SamplingAlgorithm,
    ) -> Self {
        Self {
            job_type: SweepType::Sweep,
            trial,
            objective: Objective { primary_metric: primary_metric.into(), goal, other: Members::new() },
            sampling_algorithm,
            search_space: BTreeMap::new(),
            early_termination: None,
            limits: None,
            compute_id: None,
            experiment_name: None,
            display_name: None,
            description: None,
            inputs: None,
            outputs: None,
            queue_settings: None,
            identity: None,
            tags: None,
            properties: None,
            status: None,
            other: Members::new(),
        }
    }

    /// The same over values of one more parameter.
    #[must_use]
    pub fn over(mut self, name: impl Into<String>, values: ParameterValues) -> Self {
        self.search_space.insert(name.into(), values);
        self
    }

    /// The same with limits.
    #[must_use]
    pub fn with_limits(mut self, limits: SweepLimits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// The same with trials ended early.
    #[must_use]
    pub fn with_early_termination(mut self, policy: EarlyTermination) -> Self {
        self.early_termination = Some(policy);
        self
    }

    /// The same on a cluster, by its Resource Manager id.
    #[must_use]
    pub fn on(mut self, compute_id: impl Into<String>) -> Self {
        self.compute_id = Some(compute_id.into());
        self
    }
}
