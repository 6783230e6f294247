//! Batch endpoints, their deployments and calls.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::deployment::CodeConfiguration;
use super::endpoint::AuthMode;
use super::open::ProvisioningState;
use super::resource::Properties;
use super::text::{IsoDuration, TextMap};

/// Which deployment answers those who name none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BatchDefaults {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_name: Option<String>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A batch endpoint. Which deployment is the default can be said once that deployment is there: the endpoint is written again.
///
/// ```
/// use mlops_azure::wire::batch::BatchEndpoint;
/// use mlops_azure::wire::Resource;
/// let endpoint = Resource::new(BatchEndpoint::new().with_default("b1")).with_location("eastus");
/// assert_eq!(endpoint.body()?["properties"]["defaults"]["deploymentName"], "b1");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchEndpoint {
    /// How callers say who they are: by a token of Entra ID.
    pub auth_mode: AuthMode,
    /// Which deployment answers those who name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defaults: Option<BatchDefaults>,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Properties, which can be added and not changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<TextMap>,
    /// How far it is; read only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioning_state: Option<ProvisioningState>,
    /// Where calls go; read only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scoring_uri: Option<String>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl BatchEndpoint {
    /// An endpoint without a default.
    pub fn new() -> Self {
        Self {
            auth_mode: AuthMode::AadToken,
            defaults: None,
            description: None,
            properties: None,
            provisioning_state: None,
            scoring_uri: None,
            other: Map::new(),
        }
    }

    /// The same with a default.
    #[must_use]
    pub fn with_default(mut self, deployment: impl Into<String>) -> Self {
        self.defaults.get_or_insert_default().deployment_name = Some(deployment.into());
        self
    }
}

impl Default for BatchEndpoint {
    fn default() -> Self {
        Self::new()
    }
}

impl Properties for BatchEndpoint {
    const READ_ONLY: &'static [&'static str] = &["provisioningState", "scoringUri", "swaggerUri", "keys"];
}

open_enum! {
    /// How an asset is named.
    pub enum ReferenceType {
        /// By its Resource Manager id.
        Id = "Id",
        /// By a path in a datastore.
        DataPath = "DataPath",
        /// By the output of a job.
        OutputPath = "OutputPath",
    }
}

/// A model, named in one of several ways.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AssetReference {
    /// How.
    pub reference_type: ReferenceType,
    /// The Resource Manager id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset_id: Option<String>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl AssetReference {
    /// By its Resource Manager id.
    pub fn id(asset_id: impl Into<String>) -> Self {
        Self { reference_type: ReferenceType::Id, asset_id: Some(asset_id.into()), other: Map::new() }
    }
}

open_enum! {
    /// What comes of the answers.
    pub enum OutputAction {
        /// They are put into one file.
        AppendRow = "AppendRow",
        /// The script keeps them.
        SummaryOnly = "SummaryOnly",
    }
}

/// How often a part of the data is tried.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BatchRetry {
    /// How often again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_retries: Option<u32>,
    /// How long one try may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<IsoDuration>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A deployment of a batch endpoint.
///
/// ```
/// use mlops_azure::wire::batch::BatchDeployment;
/// use mlops_azure::wire::Resource;
/// let deployment = BatchDeployment::new("/subscriptions/…/models/m/versions/1", "/subscriptions/…/computes/cpu");
/// assert_eq!(Resource::new(deployment).body()?["properties"]["model"]["referenceType"], "Id");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BatchDeployment {
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<AssetReference>,
    /// The cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute: Option<String>,
    /// The environment; none for models that bring their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment_id: Option<String>,
    /// The code; none for models that bring their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_configuration: Option<CodeConfiguration>,
    /// On how many machines it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<crate::wire::job::command::JobResources>,
    /// How many files make a part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mini_batch_size: Option<u64>,
    /// How many parts a machine works on at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrency_per_instance: Option<u32>,
    /// How many parts may fail; -1 is any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_threshold: Option<i64>,
    /// What comes of the answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_action: Option<OutputAction>,
    /// The one file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_file_name: Option<String>,
    /// How often a part is tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_settings: Option<BatchRetry>,
    /// `Info`, `Warning` or `Debug`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logging_level: Option<String>,
    /// Environment variables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment_variables: Option<TextMap>,
    /// What it is, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Properties, which can be added and not changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub properties: Option<TextMap>,
    /// How far it is; read only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioning_state: Option<ProvisioningState>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl BatchDeployment {
    /// A model on a cluster, both by their Resource Manager ids.
    pub fn new(model: impl Into<String>, compute: impl Into<String>) -> Self {
        Self { model: Some(AssetReference::id(model)), compute: Some(compute.into()), ..Self::default() }
    }

    /// The same in an environment, with code.
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
            other: Map::new(),
        });
        self
    }
}

impl Properties for BatchDeployment {
    const READ_ONLY: &'static [&'static str] = &["provisioningState"];
}

open_enum! {
    /// What the data of a call are; spelt otherwise than in jobs.
    pub enum BatchInputType {
        /// One file.
        UriFile = "UriFile",
        /// A folder.
        UriFolder = "UriFolder",
    }
}

/// The data of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchInput {
    /// What they are.
    pub job_input_type: BatchInputType,
    /// Where they are.
    pub uri: String,
}

/// A call of a batch endpoint: POST to its scoring address, with a key by which the service knows it again.
///
/// ```
/// use mlops_azure::wire::batch::{BatchInputType, BatchInvoke};
/// let call = BatchInvoke::default().with_input("in", BatchInputType::UriFolder, "azureml:d:1");
/// let body = serde_json::to_string(&call)?;
/// assert_eq!(body, r#"{"properties":{"inputData":{"in":{"jobInputType":"UriFolder","uri":"azureml:d:1"}}}}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BatchInvoke {
    properties: BatchInvokeProperties,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchInvokeProperties {
    input_data: BTreeMap<String, BatchInput>,
}

impl BatchInvoke {
    /// The same with data under a name.
    #[must_use]
    pub fn with_input(
        mut self,
        name: impl Into<String>,
        kind: BatchInputType,
        uri: impl Into<String>,
    ) -> Self {
        let input = BatchInput { job_input_type: kind, uri: uri.into() };
        self.properties.input_data.insert(name.into(), input);
        self
    }
}
