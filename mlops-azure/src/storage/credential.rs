//! By what storage is opened.
//!
//! # Version, permission, and what differs
//! Signatures and keys are of version 2023-11-03. The account's key and a signature need no role; tokens of Entra ID need `Storage Blob
//! Data Reader` or `…Contributor`, which count some minutes after they were assigned. A key that was made anew and a signature whose
//! policy was taken back work for some minutes more. The local backend is opened by the file system's own permissions.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use mlops_core::governance::Secret;
use mlops_core::{Error, ErrorKind, Result};
use object_store::CredentialProvider;
use object_store::azure::{AzureAccessKey, AzureCredential, split_sas};
use tokio::time::{Duration, Instant};

use crate::auth::{AccessToken, Scope, TokenSource};
use crate::config::Cloud;

/// What opens storage: the account's key, a signature, or tokens of Entra ID. Cheap to clone; it never prints.
///
/// ```
/// use mlops_azure::storage::StorageCredential;
/// use mlops_core::governance::Secret;
///
/// let sas = StorageCredential::sas(&Secret::new("?sv=2022-11-02&sr=c&sig=hunter2"))?;
/// assert_eq!(format!("{sas:?}"), "StorageCredential::Sas");
/// assert!(StorageCredential::account_key(&Secret::new("not Base64")).is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone)]
pub struct StorageCredential(Arc<Kind>);

enum Kind {
    Key(Arc<AzureCredential>),
    Sas(Arc<AzureCredential>),
    Tokens { tokens: Arc<dyn TokenSource>, scope: Scope, last: Mutex<Option<AccessToken>> },
    Issued { issuer: Arc<dyn Issuer>, held: tokio::sync::Mutex<Option<Held>> },
}

struct Held {
    credential: Arc<AzureCredential>,
    until: Instant,
}

/// Makes a credential anew before the last one ends.
#[async_trait]
pub(super) trait Issuer: Send + Sync {
    /// A credential and how long it may be used.
    async fn issue(&self, operation: &'static str) -> Result<(StorageCredential, Duration)>;
}

impl StorageCredential {
    /// The account's key, in Base64. Whoever has it may do everything with the account.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a text that is not Base64.
    pub fn account_key(key: &Secret) -> Result<Self> {
        let bad = |_| Error::invalid("StorageCredential::account_key", "key", "is not Base64");
        let key = AzureAccessKey::try_new(key.expose()).map_err(bad)?;
        Ok(Self(Arc::new(Kind::Key(Arc::new(AzureCredential::AccessKey(key))))))
    }

    /// A shared access signature: the query of a signed URL, with or without `?`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a text that is no query, or has no signature.
    pub fn sas(query: &Secret) -> Result<Self> {
        let bad = |reason| Error::invalid("StorageCredential::sas", "query", reason);
        let pairs = split_sas(query.expose().trim()).map_err(|_| bad("is not a query"))?;
        match pairs.iter().any(|(name, _)| name == "sig") {
            true => Ok(Self(Arc::new(Kind::Sas(Arc::new(AzureCredential::SASToken(pairs)))))),
            false => Err(bad("has no signature")),
        }
    }

    /// Tokens of Entra ID. Their audience is the same in every cloud.
    pub fn tokens(tokens: Arc<dyn TokenSource>) -> Self {
        let scope = Cloud::Public.scope(crate::config::cloud::Audience::Storage);
        Self(Arc::new(Kind::Tokens { tokens, scope, last: Mutex::default() }))
    }

    pub(super) fn issued(issuer: Arc<dyn Issuer>) -> Self {
        Self(Arc::new(Kind::Issued { issuer, held: tokio::sync::Mutex::default() }))
    }

    /// What requests are signed with now.
    pub(super) async fn get(&self, operation: &'static str) -> Result<Arc<AzureCredential>> {
        match &*self.0 {
            Kind::Key(credential) | Kind::Sas(credential) => Ok(credential.clone()),
            Kind::Tokens { tokens, scope, last } => {
                let token = tokens.token(scope).await?;
                let bearer = Arc::new(AzureCredential::BearerToken(token.secret.expose().to_owned()));
                *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
                Ok(bearer)
            }
            // Whoever comes while it is being made waits for it, and does not ask for another.
            Kind::Issued { issuer, held } => {
                let mut held = held.lock().await;
                if let Some(held) = held.as_ref().filter(|held| Instant::now() < held.until) {
                    return Ok(held.credential.clone());
                }
                let (made, lasts) = issuer.issue(operation).await?;
                let credential = Box::pin(made.get(operation)).await?;
                let until = Instant::now().checked_add(lasts).unwrap_or_else(Instant::now);
                *held = Some(Held { credential: credential.clone(), until });
                Ok(credential)
            }
        }
    }

    /// Says that storage did not accept this; whether another may be had.
    pub(super) async fn refuse(&self, used: &Arc<AzureCredential>) -> bool {
        match &*self.0 {
            Kind::Key(_) | Kind::Sas(_) => false,
            Kind::Tokens { tokens, scope, last } => {
                let last = last.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(token) = last {
                    tokens.refuse(scope, &token).await;
                }
                true
            }
            Kind::Issued { held, .. } => {
                let mut held = held.lock().await;
                if held.as_ref().is_some_and(|held| Arc::ptr_eq(&held.credential, used)) {
                    *held = None;
                }
                true
            }
        }
    }
}

/// What must not be seen of a credential: the values that travel.
pub(super) fn secrets_of(credential: &AzureCredential) -> Vec<Secret> {
    match credential {
        AzureCredential::AccessKey(_) => Vec::new(),
        AzureCredential::SASToken(pairs) => pairs
            .iter()
            .filter(|(name, _)| name == "sig")
            .map(|(_, value)| Secret::new(value.clone()))
            .collect(),
        AzureCredential::BearerToken(token) => vec![Secret::new(token.clone())],
    }
}

impl fmt::Debug for StorageCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &*self.0 {
            Kind::Key(_) => "StorageCredential::AccountKey",
            Kind::Sas(_) => "StorageCredential::Sas",
            Kind::Tokens { .. } => "StorageCredential::Tokens",
            Kind::Issued { .. } => "StorageCredential::Issued",
        })
    }
}

#[async_trait]
impl CredentialProvider for StorageCredential {
    type Credential = AzureCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AzureCredential>> {
        self.get("StorageCredential::get").await.map_err(|error| match error.kind() {
            ErrorKind::Auth => {
                object_store::Error::Unauthenticated { path: String::new(), source: Box::new(error) }
            }
            _ => object_store::Error::Generic { store: "MicrosoftAzure", source: Box::new(error) },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signature_is_read_with_and_without_its_mark_and_shown_nowhere() {
        for text in ["?sv=1&sig=hunter2%2B", "sv=1&sig=hunter2%2B", " ?sv=1&sig=hunter2%2B "] {
            let credential = StorageCredential::sas(&Secret::new(text)).unwrap();
            let got = credential.get("op").await.unwrap();
            let AzureCredential::SASToken(pairs) = &*got else { panic!("{text}") };
            assert_eq!(pairs.last().unwrap().1, "hunter2+");
            assert_eq!(secrets_of(&got).len(), 1);
            assert!(!format!("{credential:?}").contains("hunter2"));
        }
        for bad in ["", "sv=1", "?", "hunter2", "sig"] {
            let error = StorageCredential::sas(&Secret::new(bad)).unwrap_err();
            assert_eq!(error.context("field"), Some("query"), "{bad}");
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }
}
