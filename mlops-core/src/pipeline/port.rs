//! What goes in and out of components: types of data.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The type of an input or output; Azure ML's words. Two ports fit together if they have the same type.
///
/// ```
/// use mlops_core::pipeline::PortType;
/// assert_eq!(PortType::UriFolder.as_str(), "uri_folder");
/// assert!(PortType::UriFolder.is_tree() && !PortType::UriFile.is_tree());
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortType {
    /// One file.
    UriFile,
    /// A folder of files.
    UriFolder,
    /// Files that together are one table.
    #[serde(rename = "mltable")]
    MlTable,
    /// A model in MLflow's format, a folder.
    MlflowModel,
    /// A model in a format of its own, one file.
    CustomModel,
    /// A model for the Triton server, a folder.
    TritonModel,
}

impl PortType {
    /// Every type.
    pub const ALL: [Self; 6] = [
        Self::UriFile,
        Self::UriFolder,
        Self::MlTable,
        Self::MlflowModel,
        Self::CustomModel,
        Self::TritonModel,
    ];

    /// Its name in files and keys.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UriFile => "uri_file",
            Self::UriFolder => "uri_folder",
            Self::MlTable => "mltable",
            Self::MlflowModel => "mlflow_model",
            Self::CustomModel => "custom_model",
            Self::TritonModel => "triton_model",
        }
    }

    /// Whether its content is a tree of files, named by the digest of its manifest, and not one file.
    pub const fn is_tree(self) -> bool {
        !matches!(self, Self::UriFile | Self::CustomModel)
    }
}

impl fmt::Display for PortType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
