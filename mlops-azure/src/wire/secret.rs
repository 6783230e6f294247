//! Secrets in Key Vault.
//!
//! Source: Key Vault's REST API, version [`VERSION`].

use std::fmt;

use mlops_core::governance::Secret;
use mlops_core::{Error, ErrorKind, Result, SecretName};
use reqwest::Url;
use serde::{Deserialize, Deserializer, Serialize};

use super::Nothing;
use crate::http::{Call, Method, Page, Repeat};

/// The version of Key Vault's data plane that is spoken.
pub const VERSION: &str = "2025-07-01";

/// The most that Key Vault puts on a page.
const PAGE: &str = "25";

/// A secret with its value. Its `Debug` does not show it.
#[derive(Clone, Debug, Deserialize)]
pub struct SecretBundle {
    /// The value.
    #[serde(deserialize_with = "secret")]
    pub value: Secret,
    /// Where this version of it is: `https://VAULT/secrets/NAME/VERSION`.
    pub id: String,
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

/// A secret in a list, which shows no values.
#[derive(Clone, Debug, Deserialize)]
pub struct SecretItem {
    /// Where it is: `https://VAULT/secrets/NAME`.
    pub id: String,
}

impl SecretItem {
    /// The secret's name: the second segment of its id's path.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] for an id that is no secret's.
    ///
    /// ```
    /// use mlops_azure::wire::secret::SecretItem;
    /// let item = SecretItem { id: "https://kv-churn.vault.azure.net/secrets/token".to_owned() };
    /// assert_eq!(item.name("names")?.as_str(), "token");
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn name(&self, operation: &'static str) -> Result<SecretName> {
        let bad = || Error::new(ErrorKind::Protocol, operation, "the list holds an id that is no secret's");
        let url: Url = self.id.parse().map_err(|_| bad())?;
        let mut segments = url.path_segments().ok_or_else(bad)?;
        match (segments.next(), segments.next()) {
            (Some("secrets"), Some(name)) => SecretName::new(name).map_err(|e| bad().with_source(e)),
            _ => Err(bad()),
        }
    }
}

/// What [`set`] sends.
#[derive(Serialize)]
struct NewValue<'a> {
    value: &'a str,
}

impl fmt::Debug for NewValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewValue(..)")
    }
}

fn path(name: &SecretName) -> String {
    format!("/secrets/{name}")
}

/// Reads the current value. Needs the permission `secrets/getSecret/action`.
///
/// ```
/// use mlops_azure::wire::secret;
/// use mlops_core::SecretName;
/// let call = secret::get("SecretStore::get", &SecretName::new("token")?);
/// assert_eq!(call.target(), "/secrets/token?api-version=2025-07-01");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn get(operation: &'static str, name: &SecretName) -> Call<SecretBundle> {
    Call::get(operation, path(name)).query("api-version", VERSION)
}

/// Makes a new version with this value. Sent twice it makes two, of which the last is the current one. Needs the permission
/// `secrets/setSecret/action`.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for a value that JSON cannot hold.
pub fn set(operation: &'static str, name: &SecretName, value: &Secret) -> Result<Call<Nothing>> {
    let body = NewValue { value: value.expose() };
    Ok(Call::put(operation, path(name), &body)?.query("api-version", VERSION))
}

/// Deletes every version. In a vault with soft delete, which all new ones have, the name stays taken until the secret is purged.
/// Needs the permission `secrets/delete`.
pub fn delete(operation: &'static str, name: &SecretName) -> Call<Nothing> {
    Call::delete(operation, path(name)).query("api-version", VERSION)
}

/// Begins to bring a deleted secret back. Needs the permission `secrets/recover/action`.
pub fn recover(operation: &'static str, name: &SecretName) -> Call<Nothing> {
    // Asked twice, the second answer says that it is there already.
    Call::post(operation, format!("/deletedsecrets/{name}/recover"))
        .query("api-version", VERSION)
        .repeat(Repeat::Safe)
}

/// The secrets that are not deleted. Needs the permission `secrets/readMetadata/action`.
pub fn list(operation: &'static str) -> Call<Page<SecretItem>> {
    Call::get(operation, "/secrets").query("api-version", VERSION).query("maxresults", PAGE)
}

/// What asks a vault which tokens it wants: it says so in its refusal of a request without one.
pub(crate) const PROBE: (Method, &str) = (Method::GET, "/secrets?api-version=2025-07-01&maxresults=1");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_body_and_nowhere_else() {
        let name = SecretName::new("token").unwrap();
        let call = set("op", &name, &Secret::new("hunter2")).unwrap();
        assert_eq!(call.body.as_deref(), Some(br#"{"value":"hunter2"}"#.as_slice()));
        assert!(!format!("{call:?} {:?}", NewValue { value: "hunter2" }).contains("hunter2"));
        let bundle: SecretBundle =
            serde_json::from_str(r#"{"value":"hunter2","id":"https://v/secrets/a/1"}"#).unwrap();
        assert!(!format!("{bundle:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_no_secrets_id_is_refused() {
        for id in [
            "",
            "token",
            "https://v/keys/a",
            "https://v/secrets",
            "https://v/secrets/a%20b",
            "https://v/secrets/",
        ] {
            let error = SecretItem { id: id.to_owned() }.name("op").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{id}");
        }
    }
}
