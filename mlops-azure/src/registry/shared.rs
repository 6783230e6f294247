//! Models in a registry that workspaces share, as Azure has them, and publishing into it.
//!
//! Resource Manager, version [`API_VERSION`](crate::config::API_VERSION). To read takes the role `AzureML Registry User`, to write
//! `…/registries/assets/write`, to publish also `…/workspaces/models/versions/publish/action`. Writes are long-running operations, and what was
//! written is waited for; of two who change tags at once the last one wins. The local registry is not shared: it has nothing to publish to.

use std::fmt;
use std::time::Duration;

use mlops_core::registry::{ModelRef, ModelRegistry as _};
use mlops_core::time::Timestamp;
use mlops_core::{ActorId, Error, ErrorKind, ModelName, Result, Version};
use serde_json::Value;

use super::models::AzureModelRegistry;
use crate::config::Registry;
use crate::data::once::{PATIENCE, is_taken, items};
use crate::http::Service;
use crate::wire::model::Publish;
use crate::wire::open::ProvisioningState;
use crate::wire::{ModelVersion as AzureModel, Place, Resource, TextMap};

/// A model version that is in a registry.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The URI by which every workspace names it: `azureml://registries/…/models/…/versions/…`.
    pub uri: String,
    /// The version there, which is the version in the workspace.
    pub version: Version,
    /// Whether it came there by this call.
    pub fresh: bool,
}

impl AzureModelRegistry {
    /// Publishes a version of a workspace's model into a registry, under the same name and number, waits until it is there, and
    /// says on it where it came from: in the tags `mlops.published.from` (the Resource Manager id in the workspace),
    /// `mlops.published.by` and `mlops.published.at`.
    ///
    /// Nothing is overwritten: a version that is there already must be the same registration, and is then left as it is.
    ///
    /// Takes the permission `…/workspaces/models/versions/publish/action` in the workspace and
    /// `…/registries/assets/write` in the registry.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] when the registry has something else under the name and number;
    /// [`ErrorKind::Unsupported`] when these are the models of a registry; [`ErrorKind::NotFound`] for a version that is not
    /// there; that with which the operation failed.
    pub async fn publish(
        &self,
        reference: &ModelRef,
        registry: &Registry,
        actor: &ActorId,
        at: Timestamp,
    ) -> Result<Published> {
        const OP: &str = "AzureModelRegistry::publish";
        if self.is_shared() {
            return Err(Error::unsupported(OP, "publishing from a registry"));
        }
        let made = self.get(reference).await?;
        let (model, number) = (&made.spec.model, made.version.to_string());
        let uri = registry.asset_uri("models", model.as_str(), &number)?;
        let from = self.at(model, made.version).await?;
        let own = self.service.call(from.get(OP)).await.map_err(|e| e.with("model", model))?;
        let there = Place::from(registry).model(model.as_str(), &number)?;
        match self.service.call(there.get(OP)).await {
            Ok(found) => {
                same(OP, &own, &found).map_err(|e| e.with("uri", &uri))?;
                // What is left of one that failed is published again.
                if has_arrived(&found) {
                    return Ok(Published { uri, version: made.version, fresh: false });
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.with("uri", &uri)),
        }
        let call = from.act::<Value>(OP, "publish")?;
        let call = call.json(&Publish::new(registry.name(), model.as_str(), &number))?;
        match self.service.begin(call).await {
            Ok(operation) => operation.wait().await.map(drop).map_err(|e| e.with("uri", &uri))?,
            // It may have been taken: whether it was is seen in the registry.
            Err(error) if error.kind() == ErrorKind::UnknownOutcome || is_taken(&error) => {
                if let Err(unseen) = self.service.call(there.get(OP).settling(self.patience)).await {
                    return Err(error.with("uri", &uri).with("registry_says", unseen.kind()));
                }
            }
            Err(error) => return Err(error.with("uri", &uri)),
        }
        let found = self.service.call(there.get(OP).settling(self.patience)).await;
        let mut found = found.map_err(|e| e.with("uri", &uri))?;
        same(OP, &own, &found).map_err(|e| e.with("uri", &uri))?;
        let tags = found.properties.tags.get_or_insert_default();
        tags.insert("mlops.published.from", from.id());
        tags.insert("mlops.published.by", actor.as_str());
        tags.insert("mlops.published.at", at.to_rfc3339());
        self.service.begin(there.put(OP, &found)?).await?.wait().await.map_err(|e| e.with("uri", &uri))?;
        Ok(Published { uri, version: made.version, fresh: true })
    }
}

/// Whether the operation that made a version has not failed.
fn has_arrived(found: &Resource<AzureModel>) -> bool {
    let state = found.properties.other.get("provisioningState").and_then(Value::as_str);
    state.is_none_or(|state| ProvisioningState::from(state) == ProvisioningState::Succeeded)
}

/// Whether two versions are of one registration.
fn same(operation: &'static str, own: &Resource<AzureModel>, found: &Resource<AzureModel>) -> Result<()> {
    let asked = |model: &Resource<AzureModel>| {
        model.properties.properties.as_ref()?.get("mlops.asked").map(str::to_owned)
    };
    match asked(own) {
        Some(own) if asked(found).as_ref() == Some(&own) => Ok(()),
        _ => {
            let message = "the registry has another model under this name and number";
            Err(Error::new(ErrorKind::AlreadyExists, operation, message))
        }
    }
}

/// Models in a registry, as Azure has them, whoever put them there. Writes are long-running operations, and are waited for.
///
/// Azure keeps files and properties of a version as they are; tags and whether it is archived can be changed, by reading and
/// writing the whole version: of two that do so at once the later one counts.
///
/// ```
/// use std::sync::Arc;
/// use mlops_azure::auth::{AccessToken, FixedToken};
/// use mlops_azure::config::{Cloud, Endpoints, Registry};
/// use mlops_azure::http::Service;
/// use mlops_azure::registry::SharedModels;
///
/// let tokens = Arc::new(FixedToken::new(AccessToken::new("…", "2100-01-01T00:00:00Z".parse()?)));
/// let service = Service::resource_manager(&Endpoints::of(Cloud::Public)?, tokens).build()?;
/// let registry = Registry::new("00000000-0000-0000-0000-000000000000", "rg-shared", "contoso-ml")?;
/// let models = SharedModels::new(service, &registry);
/// assert!(format!("{models:?}").contains("contoso-ml"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SharedModels {
    service: Service,
    place: Place,
    patience: Duration,
}

impl fmt::Debug for SharedModels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedModels").field("registry", &self.place.id()).finish_non_exhaustive()
    }
}

impl SharedModels {
    /// The models of a registry. Nothing is sent yet.
    pub fn new(service: Service, registry: &Registry) -> Self {
        Self { service, place: Place::from(registry), patience: PATIENCE }
    }

    /// The names of all models, in the order of their bytes.
    ///
    /// # Errors
    /// Those of the transport.
    pub async fn names(&self) -> Result<Vec<String>> {
        const OP: &str = "SharedModels::names";
        let list = self.place.container("models", "x")?.list(OP)?.query("listViewType", "All");
        let found = items(&self.service, list).await?;
        let mut names: Vec<String> = found.into_iter().filter_map(|container| container.name).collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// All versions of a model: those that are numbers first, the highest before the others, then the rest as Azure lists them.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a model that is not there; those of the transport.
    pub async fn versions(&self, model: &ModelName) -> Result<Vec<Resource<AzureModel>>> {
        const OP: &str = "SharedModels::versions";
        let list = self.place.model(model.as_str(), "1")?.list(OP)?.query("listViewType", "All");
        let mut found = items(&self.service, list).await?;
        if found.is_empty() {
            return Err(Error::not_found(OP, "model", model));
        }
        let number = |version: &Resource<AzureModel>| version.name.as_deref()?.parse::<Version>().ok();
        found.sort_by_key(|version| std::cmp::Reverse(number(version)));
        Ok(found)
    }

    /// One version.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; those of the transport.
    pub async fn get(&self, model: &ModelName, version: &str) -> Result<Resource<AzureModel>> {
        const OP: &str = "SharedModels::get";
        let found = self.service.call(self.place.model(model.as_str(), version)?.get(OP)).await;
        found.map_err(|e| e.with("model", model).with("version", version))
    }

    /// Hides a version from lists, or shows it again. Two requests, and those that the operation is asked with.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; that with which the operation failed; those of the transport.
    pub async fn set_archived(&self, model: &ModelName, version: &str, archived: bool) -> Result<()> {
        const OP: &str = "SharedModels::set_archived";
        let mut found = self.get(model, version).await?;
        if found.properties.is_archived.unwrap_or(false) == archived {
            return Ok(());
        }
        found.properties.is_archived = Some(archived);
        self.put(OP, model, version, &found).await
    }

    /// Replaces the tags of a version, but for those that say where it was published from.
    ///
    /// # Errors
    /// As of [`set_archived`](Self::set_archived).
    pub async fn set_tags(&self, model: &ModelName, version: &str, tags: &TextMap) -> Result<()> {
        const OP: &str = "SharedModels::set_tags";
        let mut found = self.get(model, version).await?;
        let mut kept = found.properties.tags.take().unwrap_or_default();
        kept.0.retain(|key, _| key.starts_with("mlops.published."));
        let new = tags.0.iter().filter(|(key, _)| !key.starts_with("mlops.published."));
        kept.0.extend(new.map(|(key, value)| (key.clone(), value.clone())));
        found.properties.tags = Some(kept);
        self.put(OP, model, version, &found).await
    }

    async fn put(
        &self,
        operation: &'static str,
        model: &ModelName,
        version: &str,
        body: &Resource<AzureModel>,
    ) -> Result<()> {
        let call = self.place.model(model.as_str(), version)?.put(operation, body)?;
        self.service.begin(call.settling(self.patience)).await?.wait().await.map(drop)
    }
}
