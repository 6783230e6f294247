//! Components: steps of pipelines that are described once.
//!
//! Inside a component the service's keys are those of its YAML, in snake case; around it they are Resource Manager's.

use std::collections::BTreeMap;

use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::quiet::{Members, Text, Untyped};
use super::resource::Properties;
use super::text::TextMap;

/// What a component takes in or gives out.
///
/// ```
/// use mlops_azure::wire::component::Port;
/// let rate = serde_json::to_value(Port::of("number").with_default(0.1))?;
/// assert_eq!(rate, serde_json::json!({ "type": "number", "default": "0.1" }));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Port {
    /// What it is: `uri_folder`, `uri_file`, `mltable`, a kind of model; of inputs also `string`, `number`, `integer`, `boolean`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The value where none is given, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Text>,
    /// Whether it may be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Text>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl Port {
    /// Of a kind.
    pub fn of(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), default: None, optional: None, description: None, other: Members::new() }
    }

    /// The same with a value where none is given.
    #[must_use]
    pub fn with_default(mut self, value: impl ToString) -> Self {
        self.default = Some(Text(value.to_string()));
        self
    }

    /// The same, but it may be left out.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = Some(true);
        self
    }
}

/// A component that is a command. `${{inputs.NAME}}` and `${{outputs.NAME}}` stand for values and paths.
///
/// ```
/// use mlops_azure::wire::component::{CommandComponent, ComponentVersion, Port};
/// use mlops_azure::wire::Resource;
///
/// let component = CommandComponent::new("prepare", "1", "python p.py ${{inputs.d}} ${{outputs.o}}", "/subscriptions/…/environments/e/versions/1")
///     .with_input("d", Port::of("uri_folder"))
///     .with_output("o", Port::of("uri_folder"));
/// let body = Resource::new(ComponentVersion::command(&component)?).body()?;
/// assert_eq!(body["properties"]["componentSpec"]["is_deterministic"], true);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandComponent {
    #[serde(rename = "$schema", default, skip_serializing_if = "Option::is_none")]
    schema: Option<String>,
    /// The name.
    pub name: String,
    /// The version.
    pub version: String,
    #[serde(rename = "type")]
    kind: String,
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Text>,
    /// Whether the same inputs give the same outputs: a step that ran already is then not run again.
    #[serde(default = "yes")]
    pub is_deterministic: bool,
    /// What goes in.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, Port>,
    /// What comes out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, Port>,
    /// The command.
    pub command: Text,
    /// The environment: `azureml:` and its Resource Manager id.
    pub environment: String,
    /// The code: `azureml:` and its Resource Manager id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Members that this crate does not know, such as `distribution` and `resources`.
    #[serde(flatten)]
    pub other: Members,
}

fn yes() -> bool {
    true
}

/// An id as the service's YAML writes it.
fn reference(id: String) -> String {
    if id.starts_with("azureml:") { id } else { format!("azureml:{id}") }
}

impl CommandComponent {
    const SCHEMA: &'static str = "https://azuremlschemas.azureedge.net/latest/commandComponent.schema.json";

    /// A command in an environment, by its Resource Manager id. Deterministic, as the service takes it where nothing is said.
    pub fn new(
        name: impl Into<String>,
        version: impl Into<String>,
        command: impl Into<String>,
        environment_id: impl Into<String>,
    ) -> Self {
        Self {
            schema: Some(Self::SCHEMA.to_owned()),
            name: name.into(),
            version: version.into(),
            kind: "command".to_owned(),
            display_name: None,
            description: None,
            is_deterministic: true,
            inputs: BTreeMap::new(),
            outputs: BTreeMap::new(),
            command: Text(command.into()),
            environment: reference(environment_id.into()),
            code: None,
            other: Members::new(),
        }
    }

    /// The same with code, by its Resource Manager id.
    #[must_use]
    pub fn with_code(mut self, code_id: impl Into<String>) -> Self {
        self.code = Some(reference(code_id.into()));
        self
    }

    /// The same with an input.
    #[must_use]
    pub fn with_input(mut self, name: impl Into<String>, port: Port) -> Self {
        self.inputs.insert(name.into(), port);
        self
    }

    /// The same with an output.
    #[must_use]
    pub fn with_output(mut self, name: impl Into<String>, port: Port) -> Self {
        self.outputs.insert(name.into(), port);
        self
    }

    /// The same, but it is run again also where it ran already.
    #[must_use]
    pub fn not_deterministic(mut self) -> Self {
        self.is_deterministic = false;
        self
    }
}

/// A version of a component.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ComponentVersion {
    /// What it is, in the keys of the service's YAML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component_spec: Option<Untyped>,
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

impl ComponentVersion {
    /// The name under which the service keeps components that nobody gave one.
    pub const ANONYMOUS: &'static str = "azureml_anonymous";

    /// A component that is a command.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for members that JSON cannot hold.
    pub fn command(component: &CommandComponent) -> Result<Self> {
        let bad =
            |e| Error::invalid("ComponentVersion", "component", "cannot be written as JSON").with_source(e);
        let spec = serde_json::to_value(component).map_err(|e: serde_json::Error| bad(e))?;
        Ok(Self { component_spec: Some(Untyped(spec)), ..Self::default() })
    }

    /// The same, without a name of its own.
    #[must_use]
    pub fn anonymous(mut self) -> Self {
        self.is_anonymous = Some(true);
        self
    }

    /// The component, if it is a command.
    pub fn as_command(&self) -> Option<CommandComponent> {
        let spec = self.component_spec.as_ref().filter(|spec| spec["type"] == "command")?;
        CommandComponent::deserialize(&**spec).ok()
    }
}

impl Properties for ComponentVersion {
    const READ_ONLY: &'static [&'static str] = &["provisioningState"];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_that_was_read_is_written_as_it_was() {
        let spec = serde_json::json!({
            "name": "c", "version": "1", "type": "command", "is_deterministic": true, "command": "x", "environment": "azureml:/e",
            "inputs": { "d": { "type": "uri_folder" }, "n": { "type": "integer", "default": "3", "min": "1" } },
            "_source": "YAML.COMPONENT",
        });
        let version =
            ComponentVersion { component_spec: Some(Untyped(spec.clone())), ..ComponentVersion::default() };
        let component = version.as_command().unwrap();
        assert_eq!(component.inputs["n"].default.as_deref(), Some("3"));
        assert_eq!(serde_json::to_value(component).unwrap(), spec);
        let pipeline = serde_json::json!({ "type": "pipeline", "jobs": {} });
        assert!(
            ComponentVersion { component_spec: Some(Untyped(pipeline)), ..version }.as_command().is_none()
        );
    }
}
