//! Data assets.

use serde::{Deserialize, Serialize};

use super::quiet::{Members, Text};
use super::resource::Properties;
use super::text::TextMap;

open_enum! {
    /// What a data asset is.
    pub enum DataType {
        /// One file.
        UriFile = "uri_file",
        /// A folder.
        UriFolder = "uri_folder",
        /// A folder with a file `MLTable`, which says how its files are read as a table.
        MlTable = "mltable",
    }
}

/// A version of a data asset. It is a name for data that lie in a datastore or on the web, and cannot be changed but for
/// description, tags and whether it is archived.
///
/// ```
/// use mlops_azure::wire::{DataType, DataVersion, Resource};
/// let data = DataVersion::new(DataType::UriFolder, "azureml://datastores/workspaceblobstore/paths/x/");
/// let body = Resource::new(data).body()?;
/// assert_eq!(body["properties"]["dataType"], "uri_folder");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataVersion {
    /// What it is.
    pub data_type: DataType,
    /// Where it is: `azureml://datastores/NAME/paths/PATH`, or an address.
    pub data_uri: Text,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Text>,
    /// Whether nobody gave it a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_anonymous: Option<bool>,
    /// Whether it is hidden from lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_archived: Option<bool>,
    /// The files of an `mltable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referenced_uris: Option<Vec<Text>>,
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

impl DataVersion {
    /// Data of a type at a place.
    pub fn new(data_type: DataType, data_uri: impl Into<String>) -> Self {
        Self {
            data_type,
            data_uri: Text(data_uri.into()),
            description: None,
            is_anonymous: None,
            is_archived: None,
            referenced_uris: None,
            tags: None,
            properties: None,
            other: Members::new(),
        }
    }

    /// The same with a description.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(Text(description.into()));
        self
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

impl Properties for DataVersion {
    const READ_ONLY: &'static [&'static str] = &[];
}
