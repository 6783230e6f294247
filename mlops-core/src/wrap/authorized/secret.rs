//! Secrets, of which reading is what matters.

use async_trait::async_trait;

use super::Authorized;
use crate::error::Result;
use crate::governance::{Action, Secret, SecretStore};
use crate::id::SecretName;

// The one backend whose reads are asked: a secret that was read is known. Names are no secrets.
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: SecretStore> SecretStore for Authorized<T> {
    async fn get(&self, name: &SecretName) -> Result<Secret> {
        self.ask(&self.actor, Action::SecretRead, &format!("secret/{name}"), &[]).await?;
        self.inner.get(name).await
    }

    async fn set(&self, name: &SecretName, value: &Secret) -> Result<()> {
        self.ask(&self.actor, Action::SecretWrite, &format!("secret/{name}"), &[]).await?;
        self.inner.set(name, value).await
    }

    async fn remove(&self, name: &SecretName) -> Result<()> {
        self.ask(&self.actor, Action::SecretWrite, &format!("secret/{name}"), &[]).await?;
        self.inner.remove(name).await
    }

    async fn names(&self) -> Result<Vec<SecretName>> {
        self.inner.names().await
    }
}
