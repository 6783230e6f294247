//! Registered models.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::quiet::{Members, Text};
use super::resource::Properties;
use super::text::TextMap;

open_enum! {
    /// What a model's files are.
    pub enum ModelType {
        /// Whatever its scoring script reads.
        Custom = "custom_model",
        /// A folder as MLflow writes it.
        MlFlow = "mlflow_model",
        /// A folder as Triton reads it.
        Triton = "triton_model",
    }
}

/// What MLflow says of a model's flavour.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Flavor {
    /// Names and values.
    pub data: TextMap,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

/// A version of a model. Its files cannot be changed; stage, tags, description and whether it is archived can.
///
/// ```
/// use mlops_azure::wire::model::{ModelType, ModelVersion};
/// use mlops_azure::wire::Resource;
/// let model = ModelVersion::new(ModelType::MlFlow, "azureml://jobs/j1/outputs/artifacts/paths/model/");
/// assert_eq!(Resource::new(model).body()?["properties"]["modelType"], "mlflow_model");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelVersion {
    /// What its files are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_type: Option<ModelType>,
    /// Where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_uri: Option<Text>,
    /// The job that made them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_name: Option<String>,
    /// How far it has come, such as `Staging`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// What MLflow says of it, by flavour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flavors: Option<BTreeMap<String, Flavor>>,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Text>,
    /// Whether nobody gave it a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_anonymous: Option<bool>,
    /// Whether it is hidden from lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_archived: Option<bool>,
    /// Tags, which can be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<TextMap>,
    /// Properties, which can be added and not changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<TextMap>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl ModelVersion {
    /// A model of a type at a place.
    pub fn new(model_type: ModelType, model_uri: impl Into<String>) -> Self {
        Self {
            model_type: Some(model_type),
            model_uri: Some(Text(model_uri.into())),
            job_name: None,
            stage: None,
            flavors: None,
            description: None,
            is_anonymous: None,
            is_archived: None,
            tags: None,
            properties: None,
            other: Members::new(),
        }
    }

    /// The same with tags.
    #[must_use]
    pub fn with_tags(mut self, tags: TextMap) -> Self {
        self.tags = Some(tags);
        self
    }

    /// The same with properties.
    #[must_use]
    pub fn with_properties(mut self, properties: TextMap) -> Self {
        self.properties = Some(properties);
        self
    }
}

impl Properties for ModelVersion {
    const READ_ONLY: &'static [&'static str] = &["provisioningState"];
}

/// What publishes a model into a registry: POST `…/publish`.
///
/// ```
/// use mlops_azure::wire::model::Publish;
/// let publish = Publish::new("contoso-ml", "churn", "3");
/// assert_eq!(serde_json::to_value(&publish)?["registryName"], "contoso-ml");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Publish {
    /// The registry.
    pub registry_name: String,
    /// The model's name there.
    pub destination_name: String,
    /// The model's version there.
    pub destination_version: String,
}

impl Publish {
    /// Into a registry, under a name and version.
    pub fn new(registry: impl Into<String>, name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            registry_name: registry.into(),
            destination_name: name.into(),
            destination_version: version.into(),
        }
    }
}
