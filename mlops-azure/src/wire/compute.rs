//! Computes: clusters and instances.

use std::time::Duration;

use mlops_core::{Error, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::open::ProvisioningState;
use super::quiet::{Members, Text, Untyped};
use super::resource::Properties;
use super::text::IsoDuration;
use crate::config::name::check;
use crate::config::{ApiVersion, Workspace};
use crate::http::{Call, Page};

open_enum! {
    /// What kind of compute.
    pub enum ComputeType {
        /// A cluster that the service makes larger and smaller.
        Cluster = "AmlCompute",
        /// A machine for one person.
        Instance = "ComputeInstance",
    }
}

open_enum! {
    /// Whether others can take a cluster's machines away.
    pub enum VmPriority {
        /// They cannot.
        Dedicated = "Dedicated",
        /// They can, at any time; it costs a part.
        LowPriority = "LowPriority",
    }
}

/// How large a cluster may be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleSettings {
    /// The most machines.
    pub max_node_count: u32,
    /// The fewest; with 0 a cluster that nobody uses costs nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_node_count: Option<u32>,
    /// How long a machine without work is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_idle_time_before_scale_down: Option<IsoDuration>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl ScaleSettings {
    /// From none to so many machines, each kept for a while without work.
    pub fn up_to(max_node_count: u32, idle: Duration) -> Self {
        Self {
            max_node_count,
            min_node_count: Some(0),
            node_idle_time_before_scale_down: Some(idle.into()),
            other: Members::new(),
        }
    }
}

/// A cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterProperties {
    /// The machines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vm_size: Option<String>,
    /// Whether others can take them away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vm_priority: Option<VmPriority>,
    /// `Linux` or `Windows`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_type: Option<String>,
    /// How large it may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_settings: Option<ScaleSettings>,
    /// Whether its machines can be reached by SSH from public networks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_login_port_public_access: Option<String>,
    /// How many machines it has; read only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_node_count: Option<u32>,
    /// How many machines it should have; read only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_node_count: Option<u32>,
    /// Whether it is becoming larger or smaller; read only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocation_state: Option<String>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

/// When an instance starts or stops by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StartStop {
    /// `Start` or `Stop`.
    pub action: String,
    /// `Enabled` or `Disabled`.
    pub status: String,
    /// `Cron` or `Recurrence`.
    pub trigger_type: String,
    /// The times, as cron writes them, with the Windows name of a time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<Cron>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

/// Times as cron writes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cron {
    /// Minute, hour, day of month, month, day of week.
    pub expression: String,
    /// The Windows name of a time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl StartStop {
    /// Stops an instance at times as cron writes them, in a time zone by its Windows name.
    pub fn stop(expression: impl Into<String>, time_zone: impl Into<String>) -> Self {
        Self::at("Stop", expression.into(), time_zone.into())
    }

    /// Starts an instance at times as cron writes them, in a time zone by its Windows name.
    pub fn start(expression: impl Into<String>, time_zone: impl Into<String>) -> Self {
        Self::at("Start", expression.into(), time_zone.into())
    }

    fn at(action: &str, expression: String, time_zone: String) -> Self {
        let cron = Cron { expression, time_zone: Some(time_zone), other: Members::new() };
        Self {
            action: action.to_owned(),
            status: "Enabled".to_owned(),
            trigger_type: "Cron".to_owned(),
            cron: Some(cron),
            other: Members::new(),
        }
    }
}

/// The times at which an instance starts or stops by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InstanceSchedules {
    /// Each.
    pub compute_start_stop: Vec<StartStop>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

/// A machine for one person.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InstanceProperties {
    /// The machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vm_size: Option<String>,
    /// How long it is kept without work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_time_before_shutdown: Option<IsoDuration>,
    /// Whether it can be reached by SSH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_settings: Option<Untyped>,
    /// When it starts and stops by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedules: Option<InstanceSchedules>,
    /// What it does, such as `Running`; read only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

/// A compute.
///
/// ```
/// use std::time::Duration;
/// use mlops_azure::wire::compute::{ClusterProperties, Compute, ScaleSettings, VmPriority};
/// use mlops_azure::wire::Resource;
///
/// let cluster = ClusterProperties {
///     vm_size: Some("STANDARD_DS3_V2".to_owned()),
///     vm_priority: Some(VmPriority::LowPriority),
///     scale_settings: Some(ScaleSettings::up_to(4, Duration::from_secs(120))),
///     ..ClusterProperties::default()
/// };
/// let body = Resource::new(Compute::cluster(&cluster)?).with_location("eastus").body()?;
/// assert_eq!(body["properties"]["properties"]["scaleSettings"]["minNodeCount"], 0);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Compute {
    /// What kind.
    pub compute_type: ComputeType,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Text>,
    /// Whether keys are refused and only identities let in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disable_local_auth: Option<bool>,
    /// How far it is; read only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioning_state: Option<ProvisioningState>,
    /// What it is, by its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<Untyped>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl Compute {
    fn new(compute_type: ComputeType, properties: &impl Serialize) -> Result<Self> {
        let bad = |e| Error::invalid("Compute", "properties", "cannot be written as JSON").with_source(e);
        let properties = serde_json::to_value(properties).map_err(|e: serde_json::Error| bad(e))?;
        Ok(Self {
            compute_type,
            description: None,
            disable_local_auth: None,
            provisioning_state: None,
            properties: Some(Untyped(properties)),
            other: Members::new(),
        })
    }

    /// A cluster.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for members that JSON cannot hold.
    pub fn cluster(properties: &ClusterProperties) -> Result<Self> {
        Self::new(ComputeType::Cluster, properties)
    }

    /// A machine for one person.
    ///
    /// # Errors
    /// As of [`cluster`](Self::cluster).
    pub fn instance(properties: &InstanceProperties) -> Result<Self> {
        Self::new(ComputeType::Instance, properties)
    }

    /// What a cluster is; `None` for another kind and for members of another form.
    pub fn as_cluster(&self) -> Option<ClusterProperties> {
        self.read(&ComputeType::Cluster)
    }

    /// What an instance is; `None` for another kind and for members of another form.
    pub fn as_instance(&self) -> Option<InstanceProperties> {
        self.read(&ComputeType::Instance)
    }

    fn read<T: DeserializeOwned>(&self, kind: &ComputeType) -> Option<T> {
        let properties = self.properties.as_ref().filter(|_| self.compute_type == *kind)?;
        T::deserialize(&**properties).ok()
    }
}

impl Properties for Compute {
    const READ_ONLY: &'static [&'static str] = &[
        "createdOn",
        "isAttachedCompute",
        "modifiedOn",
        "provisioningErrors",
        "provisioningState",
        "properties/allocationState",
        "properties/allocationStateTransitionTime",
        "properties/applications",
        "properties/connectivityEndpoints",
        "properties/containers",
        "properties/createdBy",
        "properties/currentNodeCount",
        "properties/dataDisks",
        "properties/dataMounts",
        "properties/errors",
        "properties/lastOperation",
        "properties/nodeStateCounts",
        "properties/osImageMetadata",
        "properties/schedules/computeStartStop/*/id",
        "properties/schedules/computeStartStop/*/provisioningStatus",
        "properties/sshSettings/adminUserName",
        "properties/sshSettings/sshPort",
        "properties/state",
        "properties/targetNodeCount",
        "properties/versions",
    ];
}

/// What changes how large a cluster may be: PATCH.
///
/// ```
/// use std::time::Duration;
/// use mlops_azure::wire::compute::{ScalePatch, ScaleSettings};
/// let patch = ScalePatch::new(ScaleSettings::up_to(8, Duration::from_secs(120)));
/// assert_eq!(serde_json::to_value(&patch)?["properties"]["properties"]["scaleSettings"]["maxNodeCount"], 8);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScalePatch {
    properties: Inner,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Inner {
    properties: Scale,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Scale {
    scale_settings: ScaleSettings,
}

impl ScalePatch {
    /// To these settings.
    pub fn new(scale_settings: ScaleSettings) -> Self {
        Self { properties: Inner { properties: Scale { scale_settings } } }
    }
}

open_enum! {
    /// What becomes of the machines when a compute is removed from the workspace.
    pub enum Underlying {
        /// They are deleted.
        Delete = "Delete",
        /// They stay; of computes that were attached.
        Detach = "Detach",
    }
}

/// A machine of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeState {
    /// Its id.
    pub node_id: String,
    /// What it does: `idle`, `running`, `preparing`, `unusable`, `leaving`, `preempted`.
    pub node_state: String,
    /// The job that it is at.
    pub run_id: Option<String>,
    /// Its address in the virtual network.
    pub private_ip_address: Option<String>,
    /// Its address outside.
    pub public_ip_address: Option<String>,
}

/// A page of a cluster's machines: `nodes` where other lists have `value`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodePage {
    /// The machines.
    pub nodes: Vec<NodeState>,
    /// Where the next page is.
    pub next_link: Option<String>,
}

/// A name for machines and one for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UsageName {
    /// The name.
    pub value: String,
    /// The name for people.
    pub localized_value: Option<String>,
}

/// How much of something is used in a region, and how much may be.
///
/// ```
/// use mlops_azure::wire::compute::Usage;
/// let text = r#"{"name":{"value":"standardDSv2Family"},"currentValue":12,"limit":100,"unit":"Count"}"#;
/// let usage: Usage = serde_json::from_str(text)?;
/// assert_eq!(usage.left(), Some(88));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// Of what.
    pub name: UsageName,
    /// How much is used; quotas do not say.
    pub current_value: Option<i64>,
    /// How much may be used; −1 for no limit.
    pub limit: Option<i64>,
    /// In which unit: `Count`.
    pub unit: Option<String>,
}

impl Usage {
    /// How much more may be used; `None` where nothing is said, or there is no limit.
    pub fn left(&self) -> Option<i64> {
        let limit = self.limit.filter(|limit| *limit >= 0)?;
        Some(limit.saturating_sub(self.current_value?).max(0))
    }
}

/// A kind of machine.
///
/// ```
/// use mlops_azure::wire::compute::VmSize;
/// let text = r#"{"name":"STANDARD_DS3_V2","family":"standardDSv2Family","vCPUs":4,"gpus":0,"memoryGB":14,"lowPriorityCapable":true}"#;
/// let size: VmSize = serde_json::from_str(text)?;
/// assert_eq!((size.cores, size.memory_gb, size.low_priority_capable), (Some(4), Some(14.0), Some(true)));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VmSize {
    /// Its name.
    pub name: String,
    /// The family, which quotas are for.
    pub family: Option<String>,
    /// Its processors.
    #[serde(rename = "vCPUs")]
    pub cores: Option<u32>,
    /// Its graphics processors.
    pub gpus: Option<u32>,
    /// Its memory in 10⁹ bytes.
    #[serde(rename = "memoryGB")]
    pub memory_gb: Option<f64>,
    /// Whether there are some that others can take away.
    pub low_priority_capable: Option<bool>,
    /// For which computes there are some: `AmlCompute`, `ComputeInstance`.
    pub supported_compute_types: Vec<String>,
}

/// A region, as the subscription of a workspace sees it: what there may be of machines.
///
/// ```
/// use mlops_azure::config::Workspace;
/// use mlops_azure::wire::compute::Region;
/// let workspace = Workspace::new("00000000-0000-0000-0000-000000000000", "rg", "mlw-churn")?;
/// let call = Region::of(&workspace, "eastus")?.usages("example");
/// assert!(call.target().ends_with("/locations/eastus/usages?api-version=2026-05-01"));
/// assert!(Region::of(&workspace, "east/us").is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    root: String,
    version: ApiVersion,
}

impl Region {
    /// A region, such as `eastus`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a text that no region's name can be.
    pub fn of(workspace: &Workspace, location: &str) -> Result<Self> {
        let reason = "must be letters and digits";
        let is_region = !location.is_empty() && location.bytes().all(|b| b.is_ascii_alphanumeric());
        check("Region", "location", location, is_region, reason)?;
        let subscription = workspace.subscription();
        let provider = "Microsoft.MachineLearningServices";
        let root = format!("/subscriptions/{subscription}/providers/{provider}/locations/{location}");
        Ok(Self { root, version: workspace.api_version().clone() })
    }

    fn list<T>(&self, operation: &'static str, what: &str) -> Call<Page<T>> {
        Call::get(operation, format!("{}/{what}", self.root)).query("api-version", self.version.as_str())
    }

    /// How much is used.
    pub fn usages(&self, operation: &'static str) -> Call<Page<Usage>> {
        self.list(operation, "usages")
    }

    /// How much each workspace may use.
    pub fn quotas(&self, operation: &'static str) -> Call<Page<Usage>> {
        self.list(operation, "quotas")
    }

    /// The kinds of machines.
    pub fn vm_sizes(&self, operation: &'static str) -> Call<Page<VmSize>> {
        self.list(operation, "vmSizes")
    }
}
