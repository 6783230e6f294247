//! The suite of [`SecretStore`].

use std::sync::Arc;

use super::support::{RACERS, TEXTS, fault, kind, race, skipped};
use crate::error::ErrorKind;
use crate::governance::{Secret, SecretStore};
use crate::id::SecretName;

/// Makes a test of every case of the [`SecretStore`] suite.
///
/// Takes the name of the module to put them in, and an expression that makes a fresh
/// [`SecretsUnderTest`](crate::conformance::secret::SecretsUnderTest). See [the module](crate::conformance) for a whole
/// example.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::conformance::secret::SecretsUnderTest;
/// use mlops_core::memory::MemorySecretStore;
///
/// mlops_core::secret_store_suite!(memory, SecretsUnderTest::new(Arc::new(MemorySecretStore::default())));
/// ```
#[macro_export]
macro_rules! secret_store_suite {
    ($module:ident, $fresh:expr) => {
        $crate::__conformance_suite! { $module, $fresh, secret, [
            secrets_round_trip,
            set_replaces,
            missing_secret_is_not_found,
            values_never_print,
            read_only_stores_say_so,
            removed_secrets_are_gone,
            names_are_listed_alphabetically,
            secrets_are_kept_apart,
            concurrent_sets_leave_one_of_the_values,
        ] }
    };
}

/// A secret store and what the suite may do to it.
#[derive(Debug)]
pub struct SecretsUnderTest {
    store: Arc<dyn SecretStore>,
    read_only: Option<(SecretName, Secret)>,
}

impl SecretsUnderTest {
    /// A store that is empty and can be written.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use mlops_core::conformance::secret::SecretsUnderTest;
    /// use mlops_core::memory::MemorySecretStore;
    /// let under_test = SecretsUnderTest::new(Arc::new(MemorySecretStore::default()));
    /// assert!(format!("{under_test:?}").contains("MemorySecretStore"));
    /// ```
    pub fn new(store: Arc<dyn SecretStore>) -> Self {
        Self { store, read_only: None }
    }

    /// A store that cannot be written, and one secret in it.
    #[must_use]
    pub fn read_only(mut self, name: SecretName, value: Secret) -> Self {
        self.read_only = Some((name, value));
        self
    }

    /// The store, if it can be written.
    fn writable(&self) -> Option<&dyn SecretStore> {
        if self.read_only.is_some() {
            skipped("the store is read-only");
            return None;
        }
        Some(&*self.store)
    }
}

fn name(text: &str) -> SecretName {
    SecretName::new(text).unwrap()
}

async fn value(store: &dyn SecretStore, secret: &SecretName) -> String {
    store.get(secret).await.unwrap().expose().to_owned()
}

/// A value comes back exactly, whatever is in it.
pub async fn secrets_round_trip(under: &SecretsUnderTest) {
    if let Some((secret, expected)) = &under.read_only {
        assert_eq!(value(&under.store, secret).await, expected.expose());
        return;
    }
    let long = "x".repeat(20_000);
    // Some vaults take no empty value and no zero byte; nobody has a secret like that.
    let texts = TEXTS.iter().filter(|text| !text.is_empty() && !text.contains('\0'));
    for (i, text) in texts.copied().chain([long.as_str()]).enumerate() {
        let secret = name(&format!("secret-{i}"));
        under.store.set(&secret, &Secret::new(text)).await.unwrap();
        assert_eq!(value(&under.store, &secret).await, text);
    }
}

/// Setting again makes a new current value.
pub async fn set_replaces(under: &SecretsUnderTest) {
    let Some(store) = under.writable() else { return };
    for text in ["first", "second", "first", "x"] {
        store.set(&name("token"), &Secret::new(text)).await.unwrap();
        assert_eq!(value(store, &name("token")).await, text);
    }
    assert_eq!(store.names().await.unwrap(), [name("token")], "it is one secret");
}

/// A name that is not there is not found, and the error names it.
pub async fn missing_secret_is_not_found(under: &SecretsUnderTest) {
    let error = fault(under.store.get(&name("missing")).await);
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("missing"), "{error}");
    if let Some(store) = under.writable() {
        assert_eq!(kind(store.remove(&name("missing")).await), ErrorKind::NotFound);
    }
}

/// No value appears in a `Debug`, an error or a list.
pub async fn values_never_print(under: &SecretsUnderTest) {
    const CANARY: &str = "canary-5f3759df";
    let mut shown = Vec::new();
    if let Some((secret, value)) = &under.read_only {
        shown.push(format!("{:?}", under.store.set(secret, &Secret::new(CANARY)).await));
        shown.push(format!("{:?} {:?}", under.store, under.store.get(secret).await));
        assert!(!shown.concat().contains(value.expose()), "{shown:?}");
    } else {
        under.store.set(&name("token"), &Secret::new(CANARY)).await.unwrap();
        shown.push(format!("{:?} {:#?}", under.store, under.store));
        shown.push(format!("{:?}", under.store.get(&name("token")).await));
        shown.push(format!("{:?}", under.store.names().await));
        let error = fault(under.store.get(&name("missing")).await);
        shown.push(format!("{error} {error:?}"));
    }
    assert!(!shown.concat().contains(CANARY), "{shown:?}");
}

/// A store that cannot be written says so, and keeps what it has.
pub async fn read_only_stores_say_so(under: &SecretsUnderTest) {
    let Some((secret, expected)) = &under.read_only else { return skipped("the store can be written") };
    for target in [secret, &name("another")] {
        assert_eq!(kind(under.store.set(target, &Secret::new("x")).await), ErrorKind::Unsupported);
        assert_eq!(kind(under.store.remove(target).await), ErrorKind::Unsupported);
    }
    assert_eq!(value(&under.store, secret).await, expected.expose());
}

/// What was removed is gone, and can be set again.
pub async fn removed_secrets_are_gone(under: &SecretsUnderTest) {
    let Some(store) = under.writable() else { return };
    let token = name("token");
    store.set(&token, &Secret::new("one")).await.unwrap();
    store.remove(&token).await.unwrap();
    assert_eq!(kind(store.get(&token).await), ErrorKind::NotFound);
    assert_eq!(kind(store.remove(&token).await), ErrorKind::NotFound);
    assert!(store.names().await.unwrap().is_empty());
    store.set(&token, &Secret::new("two")).await.unwrap();
    assert_eq!(value(store, &token).await, "two");
}

/// The list has every name once, in order.
pub async fn names_are_listed_alphabetically(under: &SecretsUnderTest) {
    if let Some((secret, _)) = &under.read_only {
        assert!(under.store.names().await.unwrap().contains(secret));
        return;
    }
    assert!(under.store.names().await.unwrap().is_empty());
    for text in ["m", "a-2", "z", "a", "a-10"] {
        under.store.set(&name(text), &Secret::new("v")).await.unwrap();
    }
    let expected: Vec<_> = ["a", "a-10", "a-2", "m", "z"].map(name).into();
    assert_eq!(under.store.names().await.unwrap(), expected);
}

/// One secret does not touch another, however alike their names are.
pub async fn secrets_are_kept_apart(under: &SecretsUnderTest) {
    let Some(store) = under.writable() else { return };
    let long = "n".repeat(127);
    let names = ["a", "aa", "a-", "a-a", "0", "00", &long, &long[1..]];
    for text in names {
        store.set(&name(text), &Secret::new(format!("value of {text}"))).await.unwrap();
    }
    for text in names {
        assert_eq!(value(store, &name(text)).await, format!("value of {text}"));
    }
}

/// Of many values set at once, one stays, whole.
pub async fn concurrent_sets_leave_one_of_the_values(under: &SecretsUnderTest) {
    if under.writable().is_none() {
        return;
    }
    let text = |i: usize| format!("{i}-").repeat(100);
    let answers = race(RACERS, |i| {
        let store = under.store.clone();
        async move { store.set(&name("token"), &Secret::new(text(i))).await }
    })
    .await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let kept = value(&under.store, &name("token")).await;
    assert!((0..RACERS).any(|i| kept == text(i)), "{kept}");
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::error::{Error, Result};

    /// A store of one secret that cannot be written.
    #[derive(Debug)]
    struct Fixed;

    #[async_trait]
    impl SecretStore for Fixed {
        async fn get(&self, secret: &SecretName) -> Result<Secret> {
            match secret.as_str() {
                "token" => Ok(Secret::new("hunter2")),
                _ => Err(Error::not_found("SecretStore::get", "secret", secret)),
            }
        }

        async fn set(&self, _: &SecretName, _: &Secret) -> Result<()> {
            Err(Error::unsupported("SecretStore::set", "writing"))
        }

        async fn remove(&self, _: &SecretName) -> Result<()> {
            Err(Error::unsupported("SecretStore::remove", "writing"))
        }

        async fn names(&self) -> Result<Vec<SecretName>> {
            Ok(vec![name("token")])
        }
    }

    crate::secret_store_suite!(
        a_read_only_store,
        SecretsUnderTest::new(Arc::new(Fixed)).read_only(name("token"), Secret::new("hunter2"))
    );
}
