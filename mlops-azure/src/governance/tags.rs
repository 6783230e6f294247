//! Tags of resources, resource groups and subscriptions.
//!
//! # Versions, permissions, and what is eventually consistent
//! `Microsoft.Resources/tags`, version [`VERSION`](crate::wire::tags::VERSION). To change takes `Microsoft.Resources/tags/write` (role
//! `Tag Contributor`), and no permission on the resource itself. Names have no case, values have. A change may take a while and is
//! waited for. There is no compare-and-set.
//!
//! # What differs from core
//! Assets, models and jobs of Azure Machine Learning have tags of their own in their properties, which these are not.

use mlops_core::Result;

use crate::http::Service;
use crate::wire::tags::{self, TagOperation, TagPatch, Tags};
use crate::wire::{ArmScope, Resource, TextMap};

/// Tags, over a client of Resource Manager.
#[derive(Clone, Debug)]
pub struct ResourceTags {
    service: Service,
}

impl ResourceTags {
    /// Tags over a client.
    pub fn new(service: Service) -> Self {
        Self { service }
    }

    /// The tags of a scope.
    ///
    /// # Errors
    /// Those of [`Service::call`].
    pub async fn get(&self, scope: &ArmScope) -> Result<TextMap> {
        let read: Resource<Tags> = self.service.call(tags::tags(scope)?.get("ResourceTags::get")).await?;
        Ok(read.properties.tags)
    }

    /// Sets these tags and leaves the others.
    ///
    /// # Errors
    /// As of [`TagPatch::new`]; those of [`Service::call`] and of the operation.
    pub async fn merge(&self, scope: &ArmScope, tags: TextMap) -> Result<()> {
        self.change("ResourceTags::merge", scope, TagOperation::Merge, tags).await
    }

    /// Sets these tags and removes the others.
    ///
    /// # Errors
    /// As of [`merge`](Self::merge).
    pub async fn replace(&self, scope: &ArmScope, tags: TextMap) -> Result<()> {
        self.change("ResourceTags::replace", scope, TagOperation::Replace, tags).await
    }

    /// Removes these tags where they have these values, and leaves the others.
    ///
    /// # Errors
    /// As of [`merge`](Self::merge).
    pub async fn delete(&self, scope: &ArmScope, tags: TextMap) -> Result<()> {
        self.change("ResourceTags::delete", scope, TagOperation::Delete, tags).await
    }

    async fn change(
        &self,
        operation: &'static str,
        scope: &ArmScope,
        how: TagOperation,
        tags: TextMap,
    ) -> Result<()> {
        let call = tags::tags(scope)?.patch(operation, &TagPatch::new(how, tags)?)?;
        let call = call.answering::<serde::de::IgnoredAny>();
        self.service.begin(call).await?.wait().await.map(|_| ())
    }
}
