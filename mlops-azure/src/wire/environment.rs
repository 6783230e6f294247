//! Environments.

use serde::{Deserialize, Serialize};

use super::quiet::{Members, Text};
use super::resource::Properties;
use super::text::TextMap;

/// An image made of a `Dockerfile` and what lies beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildContext {
    /// The folder: an `https` address of a blob that ends in `/`.
    pub context_uri: Text,
    /// The path of the `Dockerfile` in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dockerfile_path: Option<String>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

/// A version of an environment: an image, an image with packages of conda on it, or an image that is built.
///
/// ```
/// use mlops_azure::wire::{EnvironmentVersion, Resource};
/// let environment = EnvironmentVersion::conda("mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04", "name: x\ndependencies: [python=3.10]\n");
/// assert_eq!(Resource::new(environment).body()?["properties"]["osType"], "Linux");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvironmentVersion {
    /// The image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The packages, as conda reads them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conda_file: Option<Text>,
    /// What the image is built from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildContext>,
    /// `Linux` or `Windows`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_type: Option<String>,
    /// What it is, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Text>,
    /// Whether nobody gave it a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_anonymous: Option<bool>,
    /// Whether it is hidden from lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_archived: Option<bool>,
    /// Tags, which can be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<TextMap>,
    /// Properties, which can be added and not changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub properties: Option<TextMap>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl EnvironmentVersion {
    /// An image as it is.
    pub fn image(image: impl Into<String>) -> Self {
        Self { image: Some(image.into()), os_type: Some("Linux".to_owned()), ..Self::default() }
    }

    /// An image with packages of conda on it.
    pub fn conda(image: impl Into<String>, conda_file: impl Into<String>) -> Self {
        Self { conda_file: Some(Text(conda_file.into())), ..Self::image(image) }
    }

    /// An image that is built from a folder with a `Dockerfile`.
    pub fn build(context_uri: impl Into<String>, dockerfile_path: impl Into<String>) -> Self {
        let build = BuildContext {
            context_uri: Text(context_uri.into()),
            dockerfile_path: Some(dockerfile_path.into()),
            other: Members::new(),
        };
        Self { build: Some(build), ..Self::default() }
    }
}

impl Properties for EnvironmentVersion {
    const READ_ONLY: &'static [&'static str] = &["environmentType", "provisioningState"];
}
