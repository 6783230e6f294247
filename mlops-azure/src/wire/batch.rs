//! Batch endpoints, their deployments and calls.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::deployment::CodeConfiguration;
use super::endpoint::AuthMode;
use super::job::input::{InputMode, OutputMode};
use super::open::ProvisioningState;
use super::quiet::{Members, Text};
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
    pub other: Members,
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
    pub description: Option<Text>,
    /// Properties, which can be added and not changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<TextMap>,
    /// How far it is; read only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioning_state: Option<ProvisioningState>,
    /// Where calls go; read only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scoring_uri: Option<Text>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
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
            other: Members::new(),
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
    pub other: Members,
}

impl AssetReference {
    /// By its Resource Manager id.
    pub fn id(asset_id: impl Into<String>) -> Self {
        Self { reference_type: ReferenceType::Id, asset_id: Some(asset_id.into()), other: Members::new() }
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
    pub other: Members,
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
    pub description: Option<Text>,
    /// Properties, which can be added and not changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub properties: Option<TextMap>,
    /// How far it is; read only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioning_state: Option<ProvisioningState>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
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
            other: Members::new(),
        });
        self
    }
}

impl Properties for BatchDeployment {
    const READ_ONLY: &'static [&'static str] = &["provisioningState"];
}

open_enum! {
    /// What an input or output of a call is; spelt otherwise than in jobs.
    pub enum BatchValueType {
        /// A text; numbers are written as one. Inputs alone.
        Literal = "Literal",
        /// One file.
        UriFile = "UriFile",
        /// A folder.
        UriFolder = "UriFolder",
        /// A folder that is read as a table.
        MlTable = "MLTable",
        /// A model.
        CustomModel = "CustomModel",
        /// A model as MLflow writes it.
        MlFlowModel = "MLFlowModel",
        /// A model as Triton reads it.
        TritonModel = "TritonModel",
    }
}

/// An input of a call.
///
/// ```
/// use mlops_azure::wire::batch::{BatchInput, BatchValueType};
/// let rate = serde_json::to_value(BatchInput::literal(0.1))?;
/// assert_eq!(rate, serde_json::json!({ "jobInputType": "Literal", "value": "0.1" }));
/// let data = serde_json::to_value(BatchInput::data(BatchValueType::UriFolder, "azureml:claims:7"))?;
/// assert_eq!(data, serde_json::json!({ "jobInputType": "UriFolder", "uri": "azureml:claims:7" }));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchInput {
    /// What it is.
    pub job_input_type: BatchValueType,
    /// The text of a literal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Text>,
    /// Where data are: an address, or the Resource Manager id of a data asset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<Text>,
    /// How data reach the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<InputMode>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl BatchInput {
    /// A value, as text.
    pub fn literal(value: impl ToString) -> Self {
        Self {
            job_input_type: BatchValueType::Literal,
            value: Some(Text(value.to_string())),
            uri: None,
            mode: None,
            other: Members::new(),
        }
    }

    /// Data at a place.
    pub fn data(job_input_type: BatchValueType, uri: impl Into<String>) -> Self {
        Self { job_input_type, value: None, uri: Some(Text(uri.into())), ..Self::literal("") }
    }
}

/// An output of a call: where what the job gives out goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchOutput {
    /// What it is.
    pub job_output_type: BatchValueType,
    /// Where it goes; where nothing is said, the service chooses a place in the default datastore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<Text>,
    /// How it leaves the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<OutputMode>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl BatchOutput {
    /// What goes to a place.
    pub fn to(job_output_type: BatchValueType, uri: impl Into<String>) -> Self {
        Self { job_output_type, uri: Some(Text(uri.into())), mode: None, other: Members::new() }
    }
}

/// A call of a batch endpoint: POST to its scoring address, with a key by which the service knows it again.
///
/// Deployments of models take data under any name and give out one file or folder; deployments of pipelines take and give what their
/// component says, by its names. What is said of a deployment's settings goes for this call alone.
///
/// Source: the call as `azure-ai-ml` 1.35.2 writes it (`BatchJobSchema`), and its model in `azure-ai-ml` 1.16.1 (`BatchJob`).
///
/// ```
/// use mlops_azure::wire::batch::{BatchInput, BatchInvoke, BatchOutput, BatchValueType};
/// let call = BatchInvoke::default().with_input("in", BatchInput::data(BatchValueType::UriFolder, "azureml:d:1"));
/// let body = serde_json::to_string(&call)?;
/// assert_eq!(body, r#"{"properties":{"inputData":{"in":{"jobInputType":"UriFolder","uri":"azureml:d:1"}}}}"#);
/// let scores = BatchOutput::to(BatchValueType::UriFile, "azureml://datastores/d/paths/scores.csv");
/// let call = call.with_input("threshold", BatchInput::literal(0.5)).with_output("score", scores).with_instances(4);
/// assert_eq!(call.inputs().len(), 2);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BatchInvoke {
    /// What is asked for.
    pub properties: BatchInvokeProperties,
}

/// What a call of a batch endpoint asks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BatchInvokeProperties {
    /// What goes in, by name.
    pub input_data: BTreeMap<String, BatchInput>,
    /// Where what comes out goes, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub output_data: BTreeMap<String, BatchOutput>,
    /// The job's name; the service finds one where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// On how many machines it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute: Option<BatchCompute>,
    /// How many files make a part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mini_batch_size: Option<u64>,
    /// How many parts may fail; -1 is any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_threshold: Option<i64>,
    /// The one file that rows of answers are appended to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_file_name: Option<String>,
    /// How often a part is tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_settings: Option<BatchRetry>,
    /// Properties of the job; `experimentName` is where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub properties: Option<TextMap>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

/// The machines of a call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BatchCompute {
    /// How many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_count: Option<u32>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl BatchInvoke {
    /// What goes in, by name.
    pub fn inputs(&self) -> &BTreeMap<String, BatchInput> {
        &self.properties.input_data
    }

    /// The same with an input under a name.
    #[must_use]
    pub fn with_input(mut self, name: impl Into<String>, input: BatchInput) -> Self {
        self.properties.input_data.insert(name.into(), input);
        self
    }

    /// The same with an output under a name.
    #[must_use]
    pub fn with_output(mut self, name: impl Into<String>, output: BatchOutput) -> Self {
        self.properties.output_data.insert(name.into(), output);
        self
    }

    /// The same on so many machines.
    #[must_use]
    pub fn with_instances(mut self, count: u32) -> Self {
        self.properties.compute.get_or_insert_default().instance_count = Some(count);
        self
    }

    /// The same as a job of an experiment.
    #[must_use]
    pub fn in_experiment(mut self, name: impl Into<String>) -> Self {
        self.properties.properties.get_or_insert_default().insert("experimentName", name);
        self
    }
}
