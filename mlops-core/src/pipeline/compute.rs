//! Compute as data: what a pipeline's steps run on, described and checked, not provided.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Pipeline, PipelineFormat};
use crate::config::Document;
use crate::error::{Error, Result, needs_escape};
use crate::id::PortName;
use crate::time::duration_text;

/// How much a machine may be taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// It stays. The default.
    #[default]
    Dedicated,
    /// It is cheaper, and may be taken away at any moment: steps on it keep checkpoints, or are short; see
    /// [`ComputePlan::check`].
    LowPriority,
}

/// How urgent a queue's jobs are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueTier {
    /// They may be taken away for others'.
    Spot,
    /// The default.
    #[default]
    Standard,
    /// Before others.
    Premium,
}

/// Machines that come and go with the work.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// The size of one machine, in the provider's words: `Standard_DS3_v2`.
    pub size: String,
    /// The fewest machines; 0 lets it cost nothing while there is nothing to do.
    #[serde(default)]
    pub min_nodes: u32,
    /// The most machines.
    pub max_nodes: u32,
    /// How long a machine that has nothing to do is kept. Default: two minutes.
    #[serde(default = "two_minutes", with = "duration_text")]
    pub idle_before_scale_down: Duration,
    /// Whether machines may be taken away.
    #[serde(default)]
    pub tier: Tier,
}

impl Cluster {
    /// Up to so many machines of a size, none while there is nothing to do, each kept for two minutes without work.
    ///
    /// ```
    /// use mlops_core::pipeline::compute::{Cluster, Tier};
    /// let cluster = Cluster::new("Standard_DS3_v2", 4).with_tier(Tier::LowPriority);
    /// assert_eq!((cluster.min_nodes, cluster.max_nodes, cluster.tier), (0, 4, Tier::LowPriority));
    /// ```
    pub fn new(size: impl Into<String>, max_nodes: u32) -> Self {
        Self {
            size: size.into(),
            min_nodes: 0,
            max_nodes,
            idle_before_scale_down: two_minutes(),
            tier: Tier::default(),
        }
    }

    /// With at least so many machines.
    #[must_use]
    pub fn with_min_nodes(mut self, min_nodes: u32) -> Self {
        self.min_nodes = min_nodes;
        self
    }

    /// With machines kept so long without work.
    #[must_use]
    pub fn with_idle_before_scale_down(mut self, idle_before_scale_down: Duration) -> Self {
        self.idle_before_scale_down = idle_before_scale_down;
        self
    }

    /// With machines of this tier.
    #[must_use]
    pub fn with_tier(mut self, tier: Tier) -> Self {
        self.tier = tier;
        self
    }
}

/// A machine that somebody works at.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// The size, in the provider's words.
    pub size: String,
    /// Stops it after so long without use. Azure takes 15 minutes to 3 days.
    #[serde(default, with = "duration_text::option", skip_serializing_if = "Option::is_none")]
    pub idle_shutdown: Option<Duration>,
    /// When it starts, as a cron expression of five fields in `time_zone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_cron: Option<String>,
    /// When it stops, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_cron: Option<String>,
    /// The zone of both. Default: UTC.
    #[serde(default = "utc")]
    pub time_zone: String,
}

impl Instance {
    /// An instance of a size that nothing starts or stops; times are in UTC.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mlops_core::pipeline::compute::Instance;
    /// let instance = Instance::new("Standard_DS3_v2").with_idle_shutdown(Duration::from_secs(1800));
    /// assert_eq!((instance.idle_shutdown, instance.time_zone.as_str()), (Some(Duration::from_secs(1800)), "UTC"));
    /// ```
    pub fn new(size: impl Into<String>) -> Self {
        Self { size: size.into(), idle_shutdown: None, start_cron: None, stop_cron: None, time_zone: utc() }
    }

    /// That stops after so long without use, or does not.
    #[must_use]
    pub fn with_idle_shutdown(mut self, idle_shutdown: impl Into<Option<Duration>>) -> Self {
        self.idle_shutdown = idle_shutdown.into();
        self
    }

    /// That starts at these times, five fields of cron.
    #[must_use]
    pub fn with_start_cron(mut self, start_cron: impl Into<String>) -> Self {
        self.start_cron = Some(start_cron.into());
        self
    }

    /// That stops at these times, five fields of cron.
    #[must_use]
    pub fn with_stop_cron(mut self, stop_cron: impl Into<String>) -> Self {
        self.stop_cron = Some(stop_cron.into());
        self
    }

    /// With times in this zone.
    #[must_use]
    pub fn with_time_zone(mut self, time_zone: impl Into<String>) -> Self {
        self.time_zone = time_zone.into();
        self
    }
}

/// Machines of others, by queue.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Serverless {
    /// How urgent.
    #[serde(default)]
    pub queue: QueueTier,
    /// The size, in the provider's words, where it matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
}

impl Serverless {
    /// Of any size, this urgent.
    pub const fn new(queue: QueueTier) -> Self {
        Self { queue, size: None }
    }

    /// Of this size.
    #[must_use]
    pub fn with_size(mut self, size: impl Into<String>) -> Self {
        self.size = Some(size.into());
        self
    }
}

fn two_minutes() -> Duration {
    Duration::from_secs(120)
}

fn utc() -> String {
    "UTC".to_owned()
}

/// What steps of one class of resource run on.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compute {
    /// Machines that come and go.
    Cluster(Cluster),
    /// A machine that somebody works at.
    Instance(Instance),
    /// Machines of others.
    Serverless(Serverless),
}

impl Compute {
    /// Whether it may be taken away while a step is at work.
    pub const fn is_preemptible(&self) -> bool {
        match self {
            Self::Cluster(cluster) => matches!(cluster.tier, Tier::LowPriority),
            Self::Instance(_) => false,
            Self::Serverless(serverless) => matches!(serverless.queue, QueueTier::Spot),
        }
    }

    /// Whether it costs nothing while there is nothing to do.
    pub const fn scales_to_zero(&self) -> bool {
        match self {
            Self::Cluster(cluster) => cluster.min_nodes == 0,
            Self::Instance(_) => false,
            Self::Serverless(_) => true,
        }
    }
}

/// One entry of a file: exactly one of the three.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cluster: Option<Cluster>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance: Option<Instance>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    serverless: Option<Serverless>,
}

/// What each class of resource of a pipeline is.
///
/// ```
/// use mlops_core::pipeline::PipelineFormat;
/// use mlops_core::pipeline::compute::ComputePlan;
/// let plan = ComputePlan::parse(
///     r#"
///     [gpu.cluster]
///     size = "Standard_NC6s_v3"
///     max_nodes = 4
///     tier = "low_priority"
///     idle_before_scale_down = "5m"
///     "#,
///     PipelineFormat::Toml,
/// )?;
/// let (_, gpu) = plan.classes().next().ok_or("one class")?;
/// assert!(gpu.is_preemptible() && gpu.scales_to_zero());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComputePlan(BTreeMap<PortName, Compute>);

const OP: &str = "ComputePlan::check";

/// The longest that a step without checkpoints may take on what may be taken away; a convention: so much is begun anew without
/// much loss.
const SHORT: Duration = Duration::from_secs(10 * 60);

/// The most machines of a cluster, as Azure ML has it for clusters without communication between machines.
const MAX_NODES: u32 = 65_000;

impl ComputePlan {
    /// No class yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says what a class is.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names what is wrong: no machines at most, more at least than at
    /// most, a size that is no name, an idle time of nothing or outside of what Azure takes, cron expressions that are none.
    ///
    /// ```
    /// use mlops_core::id::PortName;
    /// use mlops_core::pipeline::compute::{Compute, ComputePlan, QueueTier, Serverless};
    /// let any = Compute::Serverless(Serverless::new(QueueTier::Spot));
    /// let plan = ComputePlan::new().with(PortName::new("any")?, any)?;
    /// assert!(plan.classes().all(|(_, compute)| compute.is_preemptible()));
    /// let odd = Compute::Serverless(Serverless::new(QueueTier::Spot).with_size("a b"));
    /// assert!(plan.with(PortName::new("odd")?, odd).is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn with(mut self, class: PortName, compute: Compute) -> Result<Self> {
        check(&class, &compute)?;
        self.0.insert(class, compute);
        Ok(self)
    }

    /// Reads it from a text of at most one mebibyte: for each class a table with one of `cluster`, `instance` and `serverless`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) with the context `line`, `column` and `field`.
    pub fn parse(text: &str, format: PipelineFormat) -> Result<Self> {
        const OP: &str = "ComputePlan::parse";
        let document = Document::new(OP, "text", text, format)?;
        let wires: BTreeMap<PortName, Wire> = document.parse(None)?;
        let mut plan = Self::new();
        for (class, wire) in wires {
            let kind = match (&wire.cluster, &wire.instance, &wire.serverless) {
                (Some(_), None, None) => "cluster",
                (None, Some(_), None) => "instance",
                (None, None, Some(_)) => "serverless",
                _ => {
                    let message = "must be one of `cluster`, `instance` and `serverless`";
                    return Err(document.error(class.as_str(), document.offset(&[class.as_str()]), message));
                }
            };
            let cluster = wire.cluster.map(Compute::Cluster);
            let instance = || wire.instance.map(Compute::Instance);
            let Some(compute) =
                cluster.or_else(instance).or_else(|| wire.serverless.map(Compute::Serverless))
            else {
                continue;
            };
            let name = class.clone();
            plan = plan.with(class, compute).map_err(|error| {
                let field = error.context("field").unwrap_or("file").to_owned();
                let path = [name.as_str(), kind, field.as_str()];
                let offset = document.offset(&path).or_else(|| document.offset(&path[..2]));
                document.error(&path.join("."), offset, error.message())
            })?;
        }
        Ok(plan)
    }

    /// The classes, by name.
    pub fn classes(&self) -> impl Iterator<Item = (&PortName, &Compute)> {
        self.0.iter()
    }

    /// What a class is.
    pub fn get(&self, class: &PortName) -> Option<&Compute> {
        self.0.get(class)
    }

    /// Checks a pipeline against it: every class that a step names must be there, and a step on what may be taken away must bear that
    /// it is. Its retries allow for a preemption; and its component [keeps checkpoints](super::Component::keeps_checkpoints), or the
    /// step has a timeout of at most ten minutes, which is the most that is lost then.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the step, the class, and the field of the step that
    /// is wrong: `resource`, `retry`, `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mlops_core::hash::Digest;
    /// use mlops_core::id::{ComponentName, ComponentVersion, PortName, StepName};
    /// use mlops_core::pipeline::compute::ComputePlan;
    /// use mlops_core::pipeline::{Component, Components, Pipeline, PipelineFormat, PipelineSpec, StepSpec};
    ///
    /// let text = r#"{"gpu": {"cluster": {"size": "a", "max_nodes": 4, "tier": "low_priority"}}}"#;
    /// let plan = ComputePlan::parse(text, PipelineFormat::Json)?;
    /// let train = Component::new(ComponentName::new("train")?, ComponentVersion::new("1")?, Digest::of(b"code"));
    /// let step = StepSpec::new(StepName::new("train")?, train.reference()).with_resource(PortName::new("gpu")?);
    /// let check = |component: Component, step: StepSpec| {
    ///     let spec = PipelineSpec::new(ComponentName::new("nightly")?).with_step(step);
    ///     plan.check(&Pipeline::new(spec, &Components::new().with_described(component)?)?)
    /// };
    /// let error = check(train.clone(), step.clone()).unwrap_err();
    /// assert!(error.message().contains("keeps no checkpoints"));
    /// check(train.clone(), step.clone().with_timeout(Duration::from_secs(60)))?;
    /// check(train.with_keeps_checkpoints(true), step)?;
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn check(&self, pipeline: &Pipeline) -> Result<()> {
        for step in pipeline.steps() {
            let Some(class) = &step.resource else { continue };
            let fail = |field: &str, message: &str| {
                Err(Error::invalid(OP, field, message).with("step", &step.id).with("class", class))
            };
            let Some(compute) = self.get(class) else {
                return fail("resource", "there is no such class of resource");
            };
            if !compute.is_preemptible() {
                continue;
            }
            if step.retry.preemptions == 0 {
                return fail("retry", "allows for no preemption, and the machine may be taken away");
            }
            let checkpoints = pipeline.component(&step.id).is_some_and(|c| c.keeps_checkpoints);
            if !checkpoints && step.timeout.is_none_or(|timeout| timeout > SHORT) {
                let message = "must be at most 10m where the machine may be taken away, for the component keeps no checkpoints";
                return fail("timeout", message);
            }
        }
        Ok(())
    }
}

fn check(class: &PortName, compute: &Compute) -> Result<()> {
    let wrong = |field: &str, message: String| Err(Error::invalid(OP, field, message).with("class", class));
    let size = match compute {
        Compute::Cluster(cluster) => Some(&cluster.size),
        Compute::Instance(instance) => Some(&instance.size),
        Compute::Serverless(serverless) => serverless.size.as_ref(),
    };
    if let Some(size) = size
        && (size.is_empty() || size.len() > 128 || size.chars().any(|c| c.is_whitespace() || needs_escape(c)))
    {
        return wrong("size", "must be a name of at most 128 bytes without spaces".to_owned());
    }
    match compute {
        Compute::Cluster(cluster) => {
            if !(1..=MAX_NODES).contains(&cluster.max_nodes) {
                return wrong(
                    "max_nodes",
                    format!("must be from 1 to {MAX_NODES}, got {}", cluster.max_nodes),
                );
            }
            if cluster.min_nodes > cluster.max_nodes {
                let message =
                    format!("must be at most max_nodes ({}), got {}", cluster.max_nodes, cluster.min_nodes);
                return wrong("min_nodes", message);
            }
            if cluster.idle_before_scale_down.is_zero() {
                return wrong("idle_before_scale_down", "must be longer than nothing".to_owned());
            }
            Ok(())
        }
        Compute::Instance(instance) => check_instance(class, instance),
        Compute::Serverless(_) => Ok(()),
    }
}

fn check_instance(class: &PortName, instance: &Instance) -> Result<()> {
    let wrong = |field: &str, message: String| Err(Error::invalid(OP, field, message).with("class", class));
    let (shortest, longest) = (Duration::from_secs(15 * 60), Duration::from_secs(3 * 86_400));
    if instance.idle_shutdown.is_some_and(|idle| !(shortest..=longest).contains(&idle)) {
        return wrong("idle_shutdown", "must be from 15m to 3d".to_owned());
    }
    for (field, cron) in [("start_cron", &instance.start_cron), ("stop_cron", &instance.stop_cron)] {
        if let Some(message) = cron.as_deref().and_then(no_cron) {
            return wrong(field, message);
        }
    }
    match no_zone(&instance.time_zone) {
        Some(message) => wrong("time_zone", message),
        None => Ok(()),
    }
}

/// What is wrong with a cron expression.
#[cfg(feature = "schedule")]
fn no_cron(text: &str) -> Option<String> {
    text.parse::<super::schedule::Cron>().err().map(|error| error.to_string())
}

/// Without the feature `schedule`, only the number of its fields is looked at.
#[cfg(not(feature = "schedule"))]
fn no_cron(text: &str) -> Option<String> {
    (text.split_whitespace().count() != 5).then(|| "must have 5 fields".to_owned())
}

/// What is wrong with the name of a time zone.
#[cfg(feature = "schedule")]
fn no_zone(text: &str) -> Option<String> {
    text.parse::<super::schedule::Zone>().err().map(|error| error.to_string())
}

/// Without the feature `schedule`, no zone is known.
#[cfg(not(feature = "schedule"))]
fn no_zone(text: &str) -> Option<String> {
    text.trim().is_empty().then(|| "must not be empty".to_owned())
}
