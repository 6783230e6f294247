//! Online deployments.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::open::{ProvisioningState, Switch};
use super::quiet::{Members, Text, Untyped};
use super::resource::Properties;
use super::text::{IsoDuration, TextMap};

open_enum! {
    /// On what a deployment runs.
    pub enum EndpointComputeType {
        /// Machines that the service keeps.
        Managed = "Managed",
        /// A cluster of one's own.
        Kubernetes = "Kubernetes",
    }
}

/// The code that answers requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CodeConfiguration {
    /// The Resource Manager id of the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_id: Option<String>,
    /// The script in it.
    pub scoring_script: String,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

/// What a deployment does with requests that wait.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestSettings {
    /// How many requests an instance works on at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrent_requests_per_instance: Option<u32>,
    /// How long a request may wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_queue_wait: Option<IsoDuration>,
    /// How long a request may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_timeout: Option<IsoDuration>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

/// How an instance is asked whether it is well.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProbeSettings {
    /// How many failures in a row make it unwell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_threshold: Option<u32>,
    /// How many successes in a row make it well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_threshold: Option<u32>,
    /// How long after its start it is asked first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_delay: Option<IsoDuration>,
    /// How often it is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<IsoDuration>,
    /// How long an answer may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<IsoDuration>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

/// What of the requests and answers is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Collection {
    /// Whether it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_collection_mode: Option<Switch>,
    /// Which share of them, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling_rate: Option<f64>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

/// How requests and answers are kept.
///
/// ```
/// use mlops_azure::wire::deployment::DataCollector;
/// let collector = DataCollector::of(["model_inputs", "model_outputs"], 1.0);
/// assert_eq!(serde_json::to_value(&collector)?["collections"]["model_inputs"]["dataCollectionMode"], "Enabled");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataCollector {
    /// What is kept, by name: `model_inputs` and `model_outputs` are those that monitors read.
    pub collections: BTreeMap<String, Collection>,
    /// How often a new file is begun: `Year` to `Minute`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling_rate: Option<String>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl DataCollector {
    /// A share of requests, from 0 to 1, under several names, with a file an hour.
    pub fn of<S: Into<String>>(names: impl IntoIterator<Item = S>, sampling_rate: f64) -> Self {
        let one = |name: S| {
            let mode = Some(Switch::Enabled);
            let collection = Collection {
                data_collection_mode: mode,
                sampling_rate: Some(sampling_rate),
                other: Members::new(),
            };
            (name.into(), collection)
        };
        let rolling_rate = Some("Hour".to_owned());
        Self { collections: names.into_iter().map(one).collect(), rolling_rate, other: Members::new() }
    }
}

/// A deployment of an online endpoint: a model, an environment, code, and the machines that answer. The number of instances is
/// the [`Sku`](super::Sku)'s capacity.
///
/// ```
/// use mlops_azure::wire::{OnlineDeployment, Resource, Sku};
/// let deployment = OnlineDeployment::managed("azureml:churn:3", "Standard_DS3_v2");
/// let resource = Resource::new(deployment).with_location("eastus").with_sku(Sku::instances(2));
/// assert_eq!(resource.body()?["properties"]["endpointComputeType"], "Managed");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OnlineDeployment {
    /// On what it runs.
    pub endpoint_compute_type: EndpointComputeType,
    /// The model: a Resource Manager id, or `azureml://registries/…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Where the model is mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_mount_path: Option<String>,
    /// The environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_id: Option<String>,
    /// The code; none for models that bring their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_configuration: Option<CodeConfiguration>,
    /// The machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    /// Whether requests are reported to Application Insights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_insights_enabled: Option<bool>,
    /// What is done with requests that wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_settings: Option<RequestSettings>,
    /// How an instance is asked whether it is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness_probe: Option<ProbeSettings>,
    /// How an instance is asked whether it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness_probe: Option<ProbeSettings>,
    /// How an instance is asked whether it has started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup_probe: Option<ProbeSettings>,
    /// How instances are added and removed: `{"scaleType":"Default"}` for managed ones, whose scaling is a resource of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_settings: Option<Untyped>,
    /// What of requests and answers is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_collector: Option<DataCollector>,
    /// Whether it can reach public networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress_public_network_access: Option<Switch>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_variables: Option<TextMap>,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Text>,
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

impl OnlineDeployment {
    /// A model on machines that the service keeps.
    pub fn managed(model: impl Into<String>, instance_type: impl Into<String>) -> Self {
        Self {
            endpoint_compute_type: EndpointComputeType::Managed,
            model: Some(model.into()),
            model_mount_path: None,
            environment_id: None,
            code_configuration: None,
            instance_type: Some(instance_type.into()),
            app_insights_enabled: None,
            request_settings: None,
            liveness_probe: None,
            readiness_probe: None,
            startup_probe: None,
            scale_settings: Some(Untyped(serde_json::json!({ "scaleType": "Default" }))),
            data_collector: None,
            egress_public_network_access: None,
            environment_variables: None,
            description: None,
            properties: None,
            provisioning_state: None,
            other: Members::new(),
        }
    }

    /// The same in an environment, with code for requests.
    #[must_use]
    pub fn with_code(
        mut self,
        environment_id: impl Into<String>,
        code_id: impl Into<String>,
        scoring_script: impl Into<String>,
    ) -> Self {
        self.environment_id = Some(environment_id.into());
        self.code_configuration = Some(CodeConfiguration {
            code_id: Some(code_id.into()),
            scoring_script: scoring_script.into(),
            other: Members::new(),
        });
        self
    }

    /// The same with what it does with requests that wait.
    #[must_use]
    pub fn with_requests(mut self, settings: RequestSettings) -> Self {
        self.request_settings = Some(settings);
        self
    }

    /// The same with what of requests and answers is kept.
    #[must_use]
    pub fn with_collector(mut self, collector: DataCollector) -> Self {
        self.data_collector = Some(collector);
        self
    }
}

impl Properties for OnlineDeployment {
    const READ_ONLY: &'static [&'static str] = &["provisioningState"];
}

open_enum! {
    /// Whose log is meant.
    pub enum ContainerType {
        /// That of the one that fetches model and code.
        StorageInitializer = "StorageInitializer",
        /// That of the one that answers.
        InferenceServer = "InferenceServer",
    }
}

/// What asks for the end of a log: POST `…/getLogs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GetLogs {
    /// Whose.
    pub container_type: ContainerType,
    /// How many lines.
    pub tail: u32,
}

/// The end of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Logs {
    /// The lines.
    pub content: Text,
}
