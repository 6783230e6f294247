//! Datastores and their secrets.

use std::fmt;

use mlops_core::governance::Secret;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::quiet::{Members, Text};
use super::resource::Properties;
use super::text::TextMap;

open_enum! {
    /// What kind of storage a datastore names.
    pub enum DatastoreType {
        /// A container of blobs.
        AzureBlob = "AzureBlob",
        /// A file system of Data Lake Storage Gen2.
        AzureDataLakeGen2 = "AzureDataLakeGen2",
        /// A file share.
        AzureFile = "AzureFile",
        /// A lakehouse of Fabric.
        OneLake = "OneLake",
    }
}

open_enum! {
    /// Which of the workspace's identities reads for people who look at data.
    pub enum ServiceIdentity {
        /// None.
        None = "None",
        /// The workspace's own.
        WorkspaceSystem = "WorkspaceSystemAssignedIdentity",
        /// The one that was assigned to it.
        WorkspaceUser = "WorkspaceUserAssignedIdentity",
    }
}

/// How a datastore's storage is opened. `Debug` shows no secret, and the service answers none.
///
/// ```
/// use mlops_azure::wire::Credentials;
/// use mlops_core::governance::Secret;
/// let key = Credentials::AccountKey(Some(Secret::new("hunter2")));
/// assert!(!format!("{key:?}").contains("hunter2"));
/// ```
#[non_exhaustive]
#[derive(Clone)]
pub enum Credentials {
    /// By the identity of whoever reads.
    None,
    /// By the account's key; `None` where the service does not say it.
    AccountKey(Option<Secret>),
    /// By a signature.
    Sas(Option<Secret>),
    /// By an application.
    ServicePrincipal {
        /// The application's id.
        client_id: String,
        /// The tenant's id.
        tenant_id: String,
        /// The application's secret.
        secret: Option<Secret>,
        /// Members that this crate does not know.
        other: Members,
    },
    /// In a way that this crate does not know.
    Other(Members),
}

impl Credentials {
    fn kind(&self) -> &str {
        match self {
            Self::None => "None",
            Self::AccountKey(_) => "AccountKey",
            Self::Sas(_) => "Sas",
            Self::ServicePrincipal { .. } => "ServicePrincipal",
            Self::Other(members) => {
                members.get("credentialsType").and_then(Value::as_str).unwrap_or_default()
            }
        }
    }

    fn members(&self) -> Option<Map<String, Value>> {
        let secrets = |member: &str, secret: &Option<Secret>| match secret {
            Some(secret) => json!({ "secretsType": self.kind(), member: secret.expose() }),
            None => json!({ "secretsType": self.kind() }),
        };
        let value = match self {
            Self::None => json!({}),
            Self::AccountKey(key) => json!({ "secrets": secrets("key", key) }),
            Self::Sas(token) => json!({ "secrets": secrets("sasToken", token) }),
            Self::ServicePrincipal { client_id, tenant_id, secret, .. } => json!({
                "clientId": client_id, "tenantId": tenant_id, "secrets": secrets("clientSecret", secret),
            }),
            Self::Other(members) => return Some(members.clone().0),
        };
        let Value::Object(mut members) = value else { return None };
        members.insert("credentialsType".to_owned(), self.kind().into());
        if let Self::ServicePrincipal { other, .. } = self {
            members.extend(other.clone());
        }
        Some(members)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials::{}", self.kind())
    }
}

/// Equal in what is sent.
impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        self.members() == other.members()
    }
}

impl Serialize for Credentials {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.members().ok_or_else(|| S::Error::custom("credentials are an object"))?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Credentials {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut members = Map::deserialize(deserializer)?;
        let kind = members.get("credentialsType").and_then(Value::as_str).unwrap_or_default().to_owned();
        let secret = |members: &Map<String, Value>, name: &str| {
            let text = members.get("secrets").and_then(|secrets| secrets.get(name)).and_then(Value::as_str);
            text.map(Secret::new)
        };
        let is = |name: &str| kind.eq_ignore_ascii_case(name);
        Ok(match () {
            () if is("None") => Self::None,
            () if is("AccountKey") => Self::AccountKey(secret(&members, "key")),
            () if is("Sas") => Self::Sas(secret(&members, "sasToken")),
            () if is("ServicePrincipal") => {
                let secret = secret(&members, "clientSecret");
                let mut take = |name: &str| match members.remove(name) {
                    Some(Value::String(text)) => text,
                    _ => String::new(),
                };
                let (client_id, tenant_id) = (take("clientId"), take("tenantId"));
                ["credentialsType", "secrets"].iter().for_each(|name| drop(members.remove(*name)));
                Self::ServicePrincipal { client_id, tenant_id, secret, other: Members(members) }
            }
            () => Self::Other(Members(members)),
        })
    }
}

/// A name for storage, with the way to open it.
///
/// ```
/// use mlops_azure::wire::{Datastore, Resource};
/// let store = Datastore::blob("sa", "container");
/// let body = Resource::new(store).body()?;
/// assert_eq!(body["properties"]["credentials"]["credentialsType"], "None");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Datastore {
    /// What kind of storage.
    pub datastore_type: DatastoreType,
    /// How it is opened.
    pub credentials: Credentials,
    /// The storage account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_name: Option<String>,
    /// The container of blobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_name: Option<String>,
    /// The file system of Data Lake Storage Gen2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<String>,
    /// The file share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_share_name: Option<String>,
    /// The cloud's suffix, such as `core.windows.net`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// `https`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Which of the workspace's identities reads for people who look at data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_data_access_auth_identity: Option<ServiceIdentity>,
    /// Whether it is the workspace's default; read only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_default: Option<bool>,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Text>,
    /// Tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<TextMap>,
    /// Properties.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<TextMap>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl Datastore {
    fn new(datastore_type: DatastoreType, account: impl Into<String>) -> Self {
        Self {
            datastore_type,
            credentials: Credentials::None,
            account_name: Some(account.into()),
            container_name: None,
            filesystem: None,
            file_share_name: None,
            endpoint: None,
            protocol: Some("https".to_owned()),
            service_data_access_auth_identity: None,
            is_default: None,
            description: None,
            tags: None,
            properties: None,
            other: Members::new(),
        }
    }

    /// A container of blobs, opened by the identity of whoever reads.
    pub fn blob(account: impl Into<String>, container: impl Into<String>) -> Self {
        Self { container_name: Some(container.into()), ..Self::new(DatastoreType::AzureBlob, account) }
    }

    /// A file system of Data Lake Storage Gen2, opened by the identity of whoever reads.
    pub fn data_lake(account: impl Into<String>, filesystem: impl Into<String>) -> Self {
        Self { filesystem: Some(filesystem.into()), ..Self::new(DatastoreType::AzureDataLakeGen2, account) }
    }

    /// The same, opened in another way.
    #[must_use]
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// The same in another cloud, by its storage suffix.
    #[must_use]
    pub fn with_endpoint(mut self, suffix: impl Into<String>) -> Self {
        self.endpoint = Some(suffix.into());
        self
    }

    /// The same with the identity that reads for people who look at data.
    #[must_use]
    pub fn with_service_identity(mut self, identity: ServiceIdentity) -> Self {
        self.service_data_access_auth_identity = Some(identity);
        self
    }
}

impl Properties for Datastore {
    const READ_ONLY: &'static [&'static str] = &["isDefault"];
}

/// What asks for a datastore's secrets: POST `…/listSecrets`. A secret that expires is a signature made for the asker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListSecrets {
    /// Whether the secret should expire.
    pub expirable_secret: bool,
    /// After how many hours.
    pub expire_after_hours: u32,
}

/// The answer to [`ListSecrets`]. `Debug` shows nothing.
///
/// ```
/// use mlops_azure::wire::DatastoreSecrets;
/// let secrets: DatastoreSecrets = serde_json::from_str(r#"{"secretsType":"Sas","sasToken":"sv=1&sig=hunter2"}"#)?;
/// assert!(matches!(&secrets, DatastoreSecrets::Sas(token) if token.expose().starts_with("sv=1")));
/// assert!(!format!("{secrets:?}").contains("hunter2"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug)]
pub enum DatastoreSecrets {
    /// The account's key.
    AccountKey(Secret),
    /// A signature.
    Sas(Secret),
    /// An application's secret.
    ServicePrincipal(Secret),
    /// None: whoever reads opens the storage with an identity of their own.
    None,
}

impl<'de> Deserialize<'de> for DatastoreSecrets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Raw {
            secrets_type: Option<String>,
            key: Option<String>,
            sas_token: Option<String>,
            client_secret: Option<String>,
        }
        let raw = Raw::deserialize(deserializer)?;
        let kind = raw.secrets_type.unwrap_or_default();
        let is = |name: &str| kind.eq_ignore_ascii_case(name);
        let missing = || serde::de::Error::custom("the secret is not there");
        match () {
            () if is("AccountKey") => raw.key.map(Secret::new).map(Self::AccountKey).ok_or_else(missing),
            () if is("Sas") => raw.sas_token.map(Secret::new).map(Self::Sas).ok_or_else(missing),
            () if is("ServicePrincipal") => {
                raw.client_secret.map(Secret::new).map(Self::ServicePrincipal).ok_or_else(missing)
            }
            () => Ok(Self::None),
        }
    }
}
