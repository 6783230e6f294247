//! The secret store in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use async_trait::async_trait;

use crate::error::{Error, Result};
use crate::governance::{Secret, SecretStore};
use crate::id::SecretName;
use crate::time::lock;

/// Secrets in memory, wiped when they are replaced, removed or dropped.
///
/// ```
/// use mlops_core::SecretName;
/// use mlops_core::governance::{Secret, SecretStore};
/// use mlops_core::memory::MemorySecretStore;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let store = MemorySecretStore::default();
/// let name = SecretName::new("tracking-token")?;
/// store.set(&name, &Secret::new("hunter2")).await?;
/// assert_eq!(store.get(&name).await?.expose(), "hunter2");
/// assert_eq!(format!("{store:?}"), "MemorySecretStore { secrets: 1 }");
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct MemorySecretStore {
    secrets: Mutex<BTreeMap<SecretName, Secret>>,
}

impl fmt::Debug for MemorySecretStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySecretStore").field("secrets", &lock(&self.secrets).len()).finish()
    }
}

#[async_trait]
impl SecretStore for MemorySecretStore {
    async fn get(&self, name: &SecretName) -> Result<Secret> {
        let secret = lock(&self.secrets).get(name).cloned();
        secret.ok_or_else(|| Error::not_found("SecretStore::get", "secret", name))
    }

    async fn set(&self, name: &SecretName, value: &Secret) -> Result<()> {
        lock(&self.secrets).insert(name.clone(), value.clone());
        Ok(())
    }

    async fn remove(&self, name: &SecretName) -> Result<()> {
        match lock(&self.secrets).remove(name) {
            Some(_) => Ok(()),
            None => Err(Error::not_found("SecretStore::remove", "secret", name)),
        }
    }

    async fn names(&self) -> Result<Vec<SecretName>> {
        Ok(lock(&self.secrets).keys().cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::conformance::secret::SecretsUnderTest;

    fn fresh() -> Arc<MemorySecretStore> {
        Arc::default()
    }

    crate::secret_store_suite!(plain, SecretsUnderTest::new(fresh()));
    crate::secret_store_suite!(in_an_arc, SecretsUnderTest::new(Arc::new(fresh() as Arc<dyn SecretStore>)));
    crate::secret_store_suite!(
        in_a_box,
        SecretsUnderTest::new(Arc::new(Box::new(fresh()) as Box<dyn SecretStore>))
    );
}
