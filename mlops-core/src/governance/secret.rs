//! Secrets, which never print.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::{ExposeSecret as _, SecretString};

use crate::error::Result;
use crate::id::SecretName;

/// A secret text. It has no `Display`, no `Serialize`, its `Debug` shows nothing, and its memory is wiped when it is dropped.
///
/// ```
/// use mlops_core::governance::Secret;
/// let secret = Secret::new("hunter2");
/// assert_eq!(format!("{secret:?}"), "Secret(..)");
/// assert_eq!(secret.expose(), "hunter2");
/// ```
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Where secrets are kept.
///
/// # Contract
/// * `set` makes a new current value; `get` returns the current one exactly. (`secrets_round_trip`, `set_replaces`)
/// * A name that is not there is [`ErrorKind::NotFound`](crate::ErrorKind::NotFound). (`missing_secret_is_not_found`)
/// * No value appears in any `Debug`, error or list. (`values_never_print`)
/// * A store that is read-only answers `set` and `remove` with
///   [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported). (`read_only_stores_say_so`)
#[async_trait]
pub trait SecretStore: fmt::Debug + Send + Sync + 'static {
    /// The current value.
    async fn get(&self, name: &SecretName) -> Result<Secret>;

    /// Makes a new current value.
    async fn set(&self, name: &SecretName, value: &Secret) -> Result<()>;

    /// Removes a secret.
    async fn remove(&self, name: &SecretName) -> Result<()>;

    /// The names of all secrets, alphabetically; never the values.
    async fn names(&self) -> Result<Vec<SecretName>>;
}

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: SecretStore + ?Sized> SecretStore for $pointer<T> {
            async fn get(&self, name: &SecretName) -> Result<Secret> {
                (**self).get(name).await
            }

            async fn set(&self, name: &SecretName, value: &Secret) -> Result<()> {
                (**self).set(name, value).await
            }

            async fn remove(&self, name: &SecretName) -> Result<()> {
                (**self).remove(name).await
            }

            async fn names(&self) -> Result<Vec<SecretName>> {
                (**self).names().await
            }
        }
    };
}
forward!(Arc);
forward!(Box);

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn SecretStore) {}
