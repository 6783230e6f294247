//! The hosts that a client talks to.

use mlops_core::{Error, Result};
use reqwest::Url;

use super::cloud::Cloud;
use crate::http::guard;

/// The hosts that a client talks to: those of a cloud, or stand-ins on this machine.
///
/// ```
/// use mlops_azure::config::{Cloud, Endpoints};
/// let endpoints = Endpoints::of(Cloud::Public)?;
/// assert_eq!(endpoints.resource_manager().as_str(), "https://management.azure.com/");
/// let fake = endpoints.with_resource_manager("http://127.0.0.1:8080")?;
/// assert_eq!(fake.resource_manager().as_str(), "http://127.0.0.1:8080/");
/// // A token in clear text would be anybody's.
/// assert!(fake.with_resource_manager("http://management.azure.com").is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    cloud: Cloud,
    resource_manager: Url,
    authority: Url,
}

impl Endpoints {
    /// The hosts of a cloud.
    ///
    /// # Errors
    /// None in practice: the hosts of [`Cloud`] are URLs.
    pub fn of(cloud: Cloud) -> Result<Self> {
        let resource_manager = parse("resource_manager", &format!("https://{}", cloud.resource_manager()))?;
        let authority = parse("authority", &format!("https://{}", cloud.authority()))?;
        Ok(Self { cloud, resource_manager, authority })
    }

    /// The same with another address of Resource Manager.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for an address to which no token may be sent, and for
    /// one with credentials, a path, a query or a fragment.
    pub fn with_resource_manager(mut self, url: &str) -> Result<Self> {
        self.resource_manager = parse("resource_manager", url)?;
        Ok(self)
    }

    /// The same with another issuer of tokens.
    ///
    /// # Errors
    /// As of [`with_resource_manager`](Self::with_resource_manager).
    pub fn with_authority(mut self, url: &str) -> Result<Self> {
        self.authority = parse("authority", url)?;
        Ok(self)
    }

    /// The cloud, which says what tokens are for.
    pub fn cloud(&self) -> Cloud {
        self.cloud
    }

    /// The address of Resource Manager.
    pub fn resource_manager(&self) -> &Url {
        &self.resource_manager
    }

    /// The address of the issuer of tokens.
    pub fn authority(&self) -> &Url {
        &self.authority
    }
}

fn parse(field: &'static str, text: &str) -> Result<Url> {
    const OP: &str = "Endpoints";
    let bad = |reason| Error::invalid(OP, field, reason);
    let url = Url::parse(text).map_err(|_| bad("is not a URL"))?;
    guard::may_carry_secrets(OP, field, &url)?;
    match url.path() == "/" && url.query().is_none() && url.fragment().is_none() {
        true => Ok(url),
        false => Err(bad("must be a host alone, without path, query and fragment")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_could_leak_a_token_is_refused() {
        for bad in [
            "",
            "management.azure.com",
            "http://management.azure.com",
            "http://127.0.0.1.example.com",
            "http://localhost.example.com",
            "ftp://127.0.0.1",
            "https://user:hunter2@management.azure.com",
            "https://management.azure.com/path",
            "https://management.azure.com/?sig=hunter2",
        ] {
            let error = Endpoints::of(Cloud::Public).unwrap().with_resource_manager(bad).unwrap_err();
            assert_eq!(error.context("field"), Some("resource_manager"), "{bad}");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
        for good in ["https://localhost:1", "http://localhost:1", "http://[::1]:1", "http://127.8.9.1:1"] {
            assert!(Endpoints::of(Cloud::China).unwrap().with_authority(good).is_ok(), "{good}");
        }
    }
}
