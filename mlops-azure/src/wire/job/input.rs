//! What goes into a job and comes out of it.

use serde::{Deserialize, Serialize};

use crate::wire::quiet::{Members, Text};
use crate::wire::text::lenient;

open_enum! {
    /// What an input or output is.
    pub enum ValueType {
        /// A text; numbers are written as one.
        Literal = "literal",
        /// One file.
        UriFile = "uri_file",
        /// A folder.
        UriFolder = "uri_folder",
        /// A folder that is read as a table.
        MlTable = "mltable",
        /// A model.
        CustomModel = "custom_model",
        /// A model as MLflow writes it.
        MlFlowModel = "mlflow_model",
        /// A model as Triton reads it.
        TritonModel = "triton_model",
    }
}

open_enum! {
    /// How data reach a job.
    pub enum InputMode {
        /// Read over the network as they are needed.
        ReadOnlyMount = "ReadOnlyMount",
        /// The same, and written.
        ReadWriteMount = "ReadWriteMount",
        /// Copied before the job begins.
        Download = "Download",
        /// Not at all: the job is given the address.
        Direct = "Direct",
        /// A table, read over the network.
        EvalMount = "EvalMount",
        /// A table, copied before the job begins.
        EvalDownload = "EvalDownload",
    }
}

open_enum! {
    /// How data leave a job.
    pub enum OutputMode {
        /// Written over the network as they come.
        ReadWriteMount = "ReadWriteMount",
        /// Copied when the job is over.
        Upload = "Upload",
        /// Not at all: the job is given the address.
        Direct = "Direct",
    }
}

/// An input of a job.
///
/// ```
/// use mlops_azure::wire::job::JobInput;
/// use mlops_azure::wire::job::input::ValueType;
/// let rate = serde_json::to_value(JobInput::literal(0.1))?;
/// assert_eq!(rate, serde_json::json!({ "jobInputType": "literal", "value": "0.1" }));
/// let data = JobInput::data(ValueType::UriFolder, "azureml:churn:3");
/// assert_eq!(serde_json::to_value(data)?["jobInputType"], "uri_folder");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobInput {
    /// What it is.
    pub job_input_type: ValueType,
    /// The text of a literal. A number that the service says is read as its text.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
    pub value: Option<Text>,
    /// Where data are: an address, or the Resource Manager id of a data asset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<Text>,
    /// How data reach the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<InputMode>,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Text>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl JobInput {
    /// A value, as text.
    pub fn literal(value: impl ToString) -> Self {
        Self {
            job_input_type: ValueType::Literal,
            value: Some(Text(value.to_string())),
            uri: None,
            mode: None,
            description: None,
            other: Members::new(),
        }
    }

    /// Data at a place.
    pub fn data(job_input_type: ValueType, uri: impl Into<String>) -> Self {
        Self { job_input_type, value: None, uri: Some(Text(uri.into())), ..Self::literal("") }
    }

    /// The same, reaching the job in another way.
    #[must_use]
    pub fn with_mode(mut self, mode: InputMode) -> Self {
        self.mode = Some(mode);
        self
    }
}

/// An output of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobOutput {
    /// What it is.
    pub job_output_type: ValueType,
    /// How data leave the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<OutputMode>,
    /// Where they go; none lets the service choose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<Text>,
    /// The asset that they become.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset_name: Option<String>,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Text>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl JobOutput {
    /// Data that are written over the network as they come, to where the service chooses.
    ///
    /// ```
    /// use mlops_azure::wire::job::JobOutput;
    /// use mlops_azure::wire::job::input::ValueType;
    /// let output = JobOutput::mounted(ValueType::UriFolder);
    /// assert_eq!(serde_json::to_value(output)?["mode"], "ReadWriteMount");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn mounted(job_output_type: ValueType) -> Self {
        Self { mode: Some(OutputMode::ReadWriteMount), ..Self::of(job_output_type) }
    }

    /// Data that leave the job and go where the service chooses.
    pub fn of(job_output_type: ValueType) -> Self {
        Self {
            job_output_type,
            mode: None,
            uri: None,
            asset_name: None,
            description: None,
            other: Members::new(),
        }
    }
}
