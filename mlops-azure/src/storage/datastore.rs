//! Datastores: names in a workspace for storage, and what opens it.
//!
//! # Version, permission, and what differs
//! Resource Manager, Azure Machine Learning [`API_VERSION`](crate::config::API_VERSION). Reading takes
//! `Microsoft.MachineLearningServices/workspaces/datastores/read`, the secrets `…/datastores/listSecrets/action` (the role `AzureML
//! Data Scientist` has both). A datastore that was just made can be read at once. The service does not look whether the storage is
//! there if it is told to skip validation; core's local store has one folder and no datastores.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use mlops_core::{Error, ErrorKind, Result};

use super::account::StorageAccount;
use super::container::Container;
use super::credential::{Issuer, StorageCredential};
use crate::auth::TokenSource;
use crate::config::Cloud;
use crate::http::{HttpTransport, RetryPolicy, Service};
use crate::wire::datastore::{DatastoreType, ListSecrets};
use crate::wire::{Credentials, Datastore, DatastoreSecrets, Nothing, Place, Resource};

/// For how many hours a signature is asked for.
const HOURS: u32 = 1;

/// How long one is used.
const USED_FOR: Duration = Duration::from_secs(45 * 60);

/// The datastores of a workspace. Cheap to clone.
///
/// [`container`](Self::container) opens one: it asks for the datastore and for its secret once, and asks for the secret again
/// before it ends, or when storage refuses it.
#[derive(Clone)]
pub struct Datastores(Arc<Inner>);

struct Inner {
    service: Service,
    place: Place,
    cloud: Cloud,
    transport: Option<Arc<dyn HttpTransport>>,
    retry: RetryPolicy,
    tokens: Option<Arc<dyn TokenSource>>,
    open: Mutex<BTreeMap<String, Container>>,
}

impl Datastores {
    /// Those of a workspace; `service` is Resource Manager.
    pub fn new(service: Service, place: Place) -> Self {
        Self(Arc::new(Inner {
            service,
            place,
            cloud: Cloud::Public,
            transport: None,
            retry: RetryPolicy::default(),
            tokens: None,
            open: Mutex::default(),
        }))
    }

    fn with(self, change: impl FnOnce(&mut Inner)) -> Self {
        let Inner { service, place, cloud, transport, retry, tokens, .. } = &*self.0;
        let mut inner = Inner {
            service: service.clone(),
            place: place.clone(),
            cloud: *cloud,
            transport: transport.clone(),
            retry: retry.clone(),
            tokens: tokens.clone(),
            open: Mutex::default(),
        };
        change(&mut inner);
        Self(Arc::new(inner))
    }

    /// In another cloud.
    #[must_use]
    pub fn in_cloud(self, cloud: Cloud) -> Self {
        self.with(|inner| inner.cloud = cloud)
    }

    /// Sends to storage through this transport.
    #[must_use]
    pub fn transport(self, transport: Arc<dyn HttpTransport>) -> Self {
        self.with(|inner| inner.transport = Some(transport))
    }

    /// What of the requests to storage is tried again.
    #[must_use]
    pub fn retry(self, retry: RetryPolicy) -> Self {
        self.with(|inner| inner.retry = retry)
    }

    /// Opens datastores without credentials of their own with tokens of these.
    #[must_use]
    pub fn tokens(self, tokens: Arc<dyn TokenSource>) -> Self {
        self.with(|inner| inner.tokens = Some(tokens))
    }

    /// The workspace.
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// Makes a datastore, or changes the one of this name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a name that none can have; those of the service.
    pub async fn create(
        &self,
        name: &str,
        datastore: &Datastore,
        skip_validation: bool,
    ) -> Result<Resource<Datastore>> {
        const OP: &str = "Datastores::create";
        let call = self.0.place.datastore(name)?.put(OP, &Resource::new(datastore.clone()))?;
        let call = call.query("skipValidation", if skip_validation { "true" } else { "false" });
        let made = self.0.service.call(call).await?;
        self.open().remove(name);
        Ok(made)
    }

    /// Reads a datastore. Its secrets are not in it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], and those of the service.
    pub async fn get(&self, name: &str) -> Result<Resource<Datastore>> {
        let call = self.0.place.datastore(name)?.get("Datastores::get");
        self.0.service.call(call).await
    }

    /// Reads all datastores.
    ///
    /// # Errors
    /// Those of the service.
    pub async fn list(&self) -> Result<Vec<Resource<Datastore>>> {
        let call = self.0.place.datastore("x")?.list("Datastores::list")?;
        self.0.service.items(call).try_collect().await
    }

    /// Reads the workspace's default datastore.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a workspace without one; those of the service.
    pub async fn default(&self) -> Result<Resource<Datastore>> {
        const OP: &str = "Datastores::default";
        let call = self.0.place.datastore("x")?.list(OP)?.query("isDefault", "true");
        let found: Vec<Resource<Datastore>> = self.0.service.items(call).try_collect().await?;
        let is_default = |found: &Resource<Datastore>| found.properties.is_default != Some(false);
        let found = found.into_iter().find(is_default);
        found.ok_or_else(|| Error::not_found(OP, "datastore", "(default)"))
    }

    /// Removes a datastore. What it names stays.
    ///
    /// # Errors
    /// Those of the service.
    pub async fn remove(&self, name: &str) -> Result<()> {
        let call = self.0.place.datastore(name)?.delete("Datastores::remove");
        self.open().remove(name);
        self.0.service.call::<Nothing>(call).await.map(drop)
    }

    /// Asks for what opens a datastore: a signature for an hour, where the service can make one.
    ///
    /// # Errors
    /// Those of the service.
    pub async fn secrets(&self, name: &str) -> Result<DatastoreSecrets> {
        self.ask("Datastores::secrets", name).await
    }

    async fn ask(&self, operation: &'static str, name: &str) -> Result<DatastoreSecrets> {
        let call = self.0.place.datastore(name)?.ask(operation, "listSecrets")?;
        let call = call.json(&ListSecrets { expirable_secret: true, expire_after_hours: HOURS })?;
        self.0.service.call(call).await
    }

    /// The container that a datastore names, opened with its secret, or with tokens where it has none.
    ///
    /// It is remembered: the next time nothing is asked.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for storage that is no container of blobs and no file system of a Data Lake, for credentials of an
    /// application, and for a datastore without credentials where there are no tokens; those of the service.
    pub async fn container(&self, name: &str) -> Result<Container> {
        const OP: &str = "Datastores::container";
        if let Some(known) = self.open().get(name) {
            return Ok(known.clone());
        }
        let datastore = self.get(name).await?.properties;
        let unsupported = |capability| Error::unsupported(OP, capability).with("datastore", name);
        let missing = |what: &'static str| {
            Error::new(ErrorKind::Protocol, OP, "the datastore does not say where it is")
                .with("missing", what)
        };
        let container = match datastore.datastore_type {
            DatastoreType::AzureBlob => datastore.container_name.as_deref(),
            DatastoreType::AzureDataLakeGen2 => datastore.filesystem.as_deref(),
            _ => return Err(unsupported("datastores_other_than_blobs")),
        };
        let container = container.ok_or_else(|| missing("containerName"))?;
        let account = datastore.account_name.as_deref().ok_or_else(|| missing("accountName"))?;
        let suffix = datastore.endpoint.as_deref().unwrap_or(self.0.cloud.storage_suffix());
        let account = StorageAccount::with_suffix(account, suffix)?;
        let credential = match &datastore.credentials {
            Credentials::None => {
                let tokens =
                    self.0.tokens.clone().ok_or_else(|| unsupported("datastores_without_credentials"))?;
                // Whoever may change a datastore could otherwise have tokens sent to a host of theirs.
                if !Cloud::ALL.iter().any(|cloud| cloud.storage_suffix() == suffix) {
                    let message = "the datastore's host is in no cloud, and gets no token";
                    return Err(Error::new(ErrorKind::Auth, OP, message).with("endpoint", suffix));
                }
                StorageCredential::tokens(tokens)
            }
            Credentials::ServicePrincipal { .. } => return Err(unsupported("datastores_of_applications")),
            _ => StorageCredential::issued(Arc::new(Secrets {
                datastores: self.clone(),
                name: name.to_owned(),
            })),
        };
        let mut builder = Container::builder(account, container, credential).retry(self.0.retry.clone());
        if let Some(transport) = &self.0.transport {
            builder = builder.transport(transport.clone());
        }
        let container = builder.build()?;
        self.open().insert(name.to_owned(), container.clone());
        Ok(container)
    }

    pub(super) fn service(&self) -> &Service {
        &self.0.service
    }

    pub(super) fn blob_transport(&self) -> Option<&Arc<dyn HttpTransport>> {
        self.0.transport.as_ref()
    }

    pub(super) fn blob_retry(&self) -> &RetryPolicy {
        &self.0.retry
    }

    fn open(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Container>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Datastores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datastores").field("place", &self.0.place).finish_non_exhaustive()
    }
}

/// The secrets of one datastore, as they are asked for.
struct Secrets {
    datastores: Datastores,
    name: String,
}

#[async_trait]
impl Issuer for Secrets {
    async fn issue(&self, operation: &'static str) -> Result<(StorageCredential, Duration)> {
        let credential = match self.datastores.ask(operation, &self.name).await? {
            DatastoreSecrets::AccountKey(key) => StorageCredential::account_key(&key)?,
            DatastoreSecrets::Sas(query) => StorageCredential::sas(&query)?,
            _ => {
                let message = "the service gives no secret that opens the datastore";
                return Err(Error::new(ErrorKind::Auth, operation, message).with("datastore", &self.name));
            }
        };
        Ok((credential, USED_FOR))
    }
}
