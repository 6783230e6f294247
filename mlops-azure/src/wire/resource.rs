//! The envelope of every resource.

use mlops_core::time::Timestamp;
use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::quiet::Members;
use super::text::TextMap;

/// What is in a resource's envelope.
pub trait Properties: Serialize {
    /// The members that the service alone writes; they are read, and never sent. Names with `/` between lead to members of
    /// members, and `*` stands for all of them.
    const READ_ONLY: &'static [&'static str];
}

/// A resource of Resource Manager. What is not known of it is kept in [`other`](Self::other).
///
/// ```
/// use mlops_azure::wire::{DataVersion, Resource};
/// let read = r#"{"id":"/subscriptions/s","name":"3","properties":{"dataType":"uri_file","dataUri":"azureml://x","new":1}}"#;
/// let data: Resource<DataVersion> = serde_json::from_str(read)?;
/// assert_eq!(data.name.as_deref(), Some("3"));
/// assert_eq!(data.body()?.to_string(), r#"{"properties":{"dataType":"uri_file","dataUri":"azureml://x","new":1}}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource<P> {
    /// The Resource Manager id; read only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The last part of the id; read only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The tags of the resource itself; those of versions and jobs are among their properties.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<TextMap>,
    /// Who the resource is to others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Its size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<Sku>,
    /// Who made and changed it, and when; read only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_data: Option<SystemData>,
    /// What it is.
    pub properties: P,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl<P> Resource<P> {
    /// A resource to be made.
    pub fn new(properties: P) -> Self {
        Self {
            id: None,
            name: None,
            location: None,
            tags: None,
            identity: None,
            sku: None,
            system_data: None,
            properties,
            other: Members::new(),
        }
    }

    /// The same in a region.
    #[must_use]
    pub fn with_location(mut self, location: impl Into<String>) -> Self {
        self.location = Some(location.into());
        self
    }

    /// The same with tags.
    #[must_use]
    pub fn with_tags(mut self, tags: TextMap) -> Self {
        self.tags = Some(tags);
        self
    }

    /// The same with an identity.
    #[must_use]
    pub fn with_identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// The same with a size.
    #[must_use]
    pub fn with_sku(mut self, sku: Sku) -> Self {
        self.sku = Some(sku);
        self
    }
}

impl<P: Properties> Resource<P> {
    /// The body of a write: everything but what the URL says and what the service alone writes.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a number that JSON cannot hold.
    pub fn body(&self) -> Result<Value> {
        let bad =
            |e| Error::invalid("Resource::body", "properties", "cannot be written as JSON").with_source(e);
        let mut body = serde_json::to_value(self).map_err(|e: serde_json::Error| bad(e))?;
        if let Some(envelope) = body.as_object_mut() {
            for name in ["id", "name", "type", "systemData", "apiVersion", "etag"] {
                envelope.remove(name);
            }
        }
        if let Some(properties) = body.get_mut("properties") {
            P::READ_ONLY.iter().for_each(|path| forget(properties, path));
        }
        if let Some(identity) = body.get_mut("identity").and_then(Value::as_object_mut) {
            forget_principals(identity);
        }
        Ok(body)
    }
}

/// Removes what a path leads to.
fn forget(value: &mut Value, path: &str) {
    match path.split_once('/') {
        None => {
            if let Some(members) = value.as_object_mut() {
                members.remove(path);
            }
        }
        Some(("*", rest)) => match value {
            Value::Object(members) => members.values_mut().for_each(|member| forget(member, rest)),
            Value::Array(items) => items.iter_mut().for_each(|item| forget(item, rest)),
            _ => {}
        },
        Some((name, rest)) => {
            if let Some(member) = value.get_mut(name) {
                forget(member, rest);
            }
        }
    }
}

/// The ids of an identity are the service's to write.
fn forget_principals(identity: &mut Map<String, Value>) {
    let ids = ["principalId", "tenantId", "clientId"];
    ids.iter().for_each(|id| drop(identity.remove(*id)));
    let assigned = identity.get_mut("userAssignedIdentities").and_then(Value::as_object_mut);
    for identity in assigned.into_iter().flat_map(|map| map.values_mut()).filter_map(Value::as_object_mut) {
        ids.iter().for_each(|id| drop(identity.remove(*id)));
    }
}

open_enum! {
    /// Which identities a resource has.
    pub enum IdentityType {
        /// None.
        None = "None",
        /// One that comes and goes with the resource.
        SystemAssigned = "SystemAssigned",
        /// Others' that it may use.
        UserAssigned = "UserAssigned",
        /// Both.
        Both = "SystemAssigned,UserAssigned",
    }
}

/// The identities of a resource.
///
/// ```
/// use mlops_azure::wire::Identity;
/// assert_eq!(serde_json::to_string(&Identity::system())?, r#"{"type":"SystemAssigned"}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Which.
    #[serde(rename = "type")]
    pub kind: IdentityType,
    /// The Resource Manager ids of those that are others', each with what the service says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_assigned_identities: Option<Members>,
    /// The system's own in the directory; read only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<String>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl Identity {
    /// One that comes and goes with the resource.
    pub fn system() -> Self {
        Self {
            kind: IdentityType::SystemAssigned,
            user_assigned_identities: None,
            principal_id: None,
            other: Members::new(),
        }
    }

    /// Others', by their Resource Manager ids.
    pub fn user<I: IntoIterator<Item = S>, S: Into<String>>(ids: I) -> Self {
        let ids = ids.into_iter().map(|id| (id.into(), Value::Object(Map::new()))).collect();
        let kind = IdentityType::UserAssigned;
        Self { kind, user_assigned_identities: Some(ids), ..Self::system() }
    }
}

/// A size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sku {
    /// Its name; `Default` for deployments.
    pub name: String,
    /// How many; the instances of a deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl Sku {
    /// So many instances of a deployment.
    pub fn instances(count: u32) -> Self {
        Self { name: "Default".to_owned(), capacity: Some(count), other: Members::new() }
    }
}

/// Who made and changed a resource, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SystemData {
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// Who changed it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified_by: Option<String>,
    /// When it was changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified_at: Option<Timestamp>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}
