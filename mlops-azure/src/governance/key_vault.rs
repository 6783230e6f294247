//! Key Vault as a [`SecretStore`].
//!
//! # Versions, permissions, and what is eventually consistent
//! The data plane, version [`VERSION`](secret::VERSION). The role `Key Vault Secrets User` is enough to read,
//! `Key Vault Secrets Officer` for everything here. A role that was just assigned is refused for some minutes. A deletion and a
//! recovery take seconds, in which the name can be neither read nor written.
//!
//! # What differs from the other stores
//! * Key Vault tells names apart without case: `Token` and `token` are one secret there.
//! * Removing is soft: the values stay recoverable for the vault's retention, and the name stays taken. [`SecretStore::set`] under
//!   such a name brings the old versions back and puts the new one on top, for there is no other way to use the name without
//!   purging, which cannot be undone and takes a permission of its own.
//! * A value has at most 25 kB.
//! * What a retry removed a second time was not there any more: after a lost answer [`SecretStore::remove`] may say
//!   [`ErrorKind::NotFound`] of a secret that it did remove.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use mlops_core::governance::{Secret, SecretStore};
use mlops_core::{Error, ErrorKind, Result, SecretName};
use reqwest::Url;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use crate::auth::{Scope, TokenSource};
use crate::config::Cloud;
use crate::error::ServiceError;
use crate::http::{
    HttpRequest, HttpTransport, Repeat, ReqwestConfig, ReqwestTransport, RetryPolicy, Service, guard, retry,
};
use crate::wire::secret;

/// Secrets in one vault. Cheap to clone.
///
/// Before its first call it asks the vault, without a token and without a body, which tokens it wants (Key Vault's challenge),
/// and believes it only if the vault's host lies in the domain that the token would be for: nobody is lured into sending a token
/// for another service, and no value is ever sent to a host that has not said who it is.
///
/// ```
/// use std::sync::Arc;
/// use mlops_azure::auth::{AccessToken, FixedToken};
/// use mlops_azure::config::Cloud;
/// use mlops_azure::governance::KeyVault;
///
/// let tokens = Arc::new(FixedToken::new(AccessToken::new("hunter2", "2100-01-01T00:00:00Z".parse()?)));
/// let vault = KeyVault::named("kv-churn", Cloud::Public, tokens)?.build()?;
/// assert_eq!(format!("{vault:?}"), r#"KeyVault { host: "kv-churn.vault.azure.net" }"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct KeyVault(Arc<Inner>);

struct Inner {
    base: Url,
    tokens: Arc<dyn TokenSource>,
    transport: Arc<dyn HttpTransport>,
    retry: RetryPolicy,
    patience: Duration,
    interval: Duration,
    known: OnceCell<Known>,
}

/// What the vault's challenge said.
struct Known {
    service: Service,
    tenant: Option<String>,
}

/// Builds a [`KeyVault`].
#[must_use]
pub struct KeyVaultBuilder {
    base: Url,
    tokens: Arc<dyn TokenSource>,
    http: ReqwestConfig,
    transport: Option<Arc<dyn HttpTransport>>,
    retry: RetryPolicy,
    patience: Duration,
    interval: Duration,
}

impl fmt::Debug for KeyVaultBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyVaultBuilder").field("host", &self.base.host_str()).finish_non_exhaustive()
    }
}

impl KeyVaultBuilder {
    /// What is tried again.
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// How long a name that is being deleted or recovered is waited for; two minutes where nothing is set.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How long is waited between two looks at such a name; half a second where nothing is set.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How connections are made: proxies, certificates, deadlines.
    pub fn connections(mut self, http: ReqwestConfig) -> Self {
        self.http = http;
        self
    }

    /// Sends through this transport; connections are then its own matter.
    pub fn transport(mut self, transport: Arc<dyn HttpTransport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// The store. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an address to which no token may be sent, and for connections that cannot be set up.
    pub fn build(self) -> Result<KeyVault> {
        guard::may_carry_secrets("KeyVaultBuilder::build", "base", &self.base)?;
        let transport = match self.transport {
            Some(transport) => transport,
            None => Arc::new(ReqwestTransport::new(&self.http)?),
        };
        let Self { base, tokens, retry, patience, interval, .. } = self;
        let known = OnceCell::new();
        Ok(KeyVault(Arc::new(Inner { base, tokens, transport, retry, patience, interval, known })))
    }
}

impl KeyVault {
    /// Begins to set up a store for the vault of this name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a name that no vault has: 3 to 24 letters, digits and single hyphens, of which the first is a
    /// letter and the last no hyphen.
    pub fn named(name: &str, cloud: Cloud, tokens: Arc<dyn TokenSource>) -> Result<KeyVaultBuilder> {
        const OP: &str = "KeyVault::named";
        let bytes = name.as_bytes();
        let fits = (3..=24).contains(&bytes.len())
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
            && bytes.first().is_some_and(u8::is_ascii_alphabetic)
            && bytes.last() != Some(&b'-')
            && !name.contains("--");
        let bad = || {
            let reason =
                "must be 3 to 24 letters, digits and single hyphens, with a letter first and no hyphen last";
            Error::invalid(OP, "name", reason).with("value", name)
        };
        if !fits {
            return Err(bad());
        }
        let url = format!("https://{name}.{}/", cloud.vault_suffix()).parse().map_err(|_| bad())?;
        Ok(Self::at(url, tokens))
    }

    /// Begins to set up a store for the vault at this address. What it holds besides scheme, host and port is not used.
    pub fn at(base: Url, tokens: Arc<dyn TokenSource>) -> KeyVaultBuilder {
        KeyVaultBuilder {
            base,
            tokens,
            http: ReqwestConfig::default(),
            transport: None,
            retry: RetryPolicy::default(),
            patience: Duration::from_secs(120),
            interval: Duration::from_millis(500),
        }
    }

    /// Begins to bring back a secret that was removed, with all its versions, and waits until it can be read.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a secret that is not among the deleted ones; [`ErrorKind::Timeout`] when it takes longer than the
    /// store's patience.
    pub async fn recover(&self, name: &SecretName) -> Result<()> {
        const OP: &str = "KeyVault::recover";
        let known = self.known(OP).await?;
        known.service.call(secret::recover(OP, name)).await.map_err(|e| known.told(OP, name, e))?;
        let started = Instant::now();
        loop {
            match known.service.call(secret::get(OP, name)).await {
                Ok(_) => return Ok(()),
                Err(e) if e.kind() == ErrorKind::NotFound => self.wait(OP, name, started, e).await?,
                Err(e) => return Err(known.told(OP, name, e)),
            }
        }
    }

    /// What the vault wants, asked for once.
    async fn known(&self, operation: &'static str) -> Result<&Known> {
        self.0.known.get_or_try_init(|| self.ask(operation)).await
    }

    async fn ask(&self, operation: &'static str) -> Result<Known> {
        let Inner { base, tokens, transport, retry: policy, .. } = &*self.0;
        let (method, path) = secret::PROBE;
        let url = guard::same_origin(operation, base, path)?;
        let request = HttpRequest::new(method, url);
        let response = retry::send(&**transport, policy, operation, Repeat::Safe, None, request).await?;
        let no = |message: &str| {
            Error::new(ErrorKind::Protocol, operation, message).with("status", response.status)
        };
        if response.status != 401 {
            return Err(no(
                "what is at the vault's address answers a request without a token and is no vault",
            ));
        }
        let challenge = Challenge::of(&response.headers)
            .ok_or_else(|| no("the vault does not say which tokens it wants"))?;
        if !challenge.is_for(base) {
            let message = "the vault asks for a token for another service, and gets none";
            return Err(no(message).with("resource", challenge.scope.audience()));
        }
        let service = Service::builder(base.clone(), challenge.scope, tokens.clone());
        let service = service.transport(transport.clone()).retry(policy.clone()).register_providers(false);
        Ok(Known { service: service.build()?, tenant: challenge.tenant })
    }

    /// Waits before the next look, unless patience is at its end.
    async fn wait(
        &self,
        operation: &'static str,
        name: &SecretName,
        since: Instant,
        last: Error,
    ) -> Result<()> {
        if since.elapsed() >= self.0.patience {
            let message = "the secret is still being deleted or recovered";
            return Err(Error::new(ErrorKind::Timeout, operation, message)
                .with("secret", name)
                .with_source(last));
        }
        sleep(self.0.interval).await;
        Ok(())
    }
}

impl fmt::Debug for KeyVault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0.base.host_str().unwrap_or_default();
        f.debug_struct("KeyVault").field("host", &host).finish()
    }
}

impl Known {
    /// An error of a call about a secret: one that is not there is named, and a refusal says whose token was asked for.
    fn told(&self, operation: &'static str, name: &SecretName, error: Error) -> Error {
        match (error.kind(), &self.tenant) {
            (ErrorKind::NotFound, _) => Error::not_found(operation, "secret", name).with_source(error),
            (ErrorKind::Auth, Some(tenant)) => error.with("vault_tenant", tenant),
            _ => error,
        }
    }
}

#[async_trait]
impl SecretStore for KeyVault {
    async fn get(&self, name: &SecretName) -> Result<Secret> {
        const OP: &str = "SecretStore::get";
        let known = self.known(OP).await?;
        let bundle = known.service.call(secret::get(OP, name)).await;
        bundle.map(|bundle| bundle.value).map_err(|e| known.told(OP, name, e))
    }

    async fn set(&self, name: &SecretName, value: &Secret) -> Result<()> {
        const OP: &str = "SecretStore::set";
        let known = self.known(OP).await?;
        let started = Instant::now();
        loop {
            let Err(error) = known.service.call(secret::set(OP, name, value)?).await else { return Ok(()) };
            match Taken::of(&error) {
                None => return Err(known.told(OP, name, error)),
                Some(Taken::BeingDeleted | Taken::BeingRecovered) => {}
                Some(Taken::Deleted) => match known.service.call(secret::recover(OP, name)).await {
                    Ok(_) => {}
                    // Somebody else has recovered or purged it in the meantime.
                    Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Conflict) => {}
                    Err(e) => return Err(known.told(OP, name, e)),
                },
            }
            self.wait(OP, name, started, error).await?;
        }
    }

    async fn remove(&self, name: &SecretName) -> Result<()> {
        const OP: &str = "SecretStore::remove";
        let known = self.known(OP).await?;
        let started = Instant::now();
        loop {
            let Err(error) = known.service.call(secret::delete(OP, name)).await else { return Ok(()) };
            match Taken::of(&error) {
                None => return Err(known.told(OP, name, error)),
                Some(Taken::BeingRecovered) => self.wait(OP, name, started, error).await?,
                // It was removed before, and is on its way.
                Some(Taken::Deleted | Taken::BeingDeleted) => {
                    return Err(Error::not_found(OP, "secret", name).with_source(error));
                }
            }
        }
    }

    async fn names(&self) -> Result<Vec<SecretName>> {
        const OP: &str = "SecretStore::names";
        let known = self.known(OP).await?;
        let items: Vec<_> = known.service.items(secret::list(OP)).try_collect().await?;
        let mut names = items.iter().map(|item| item.name(OP)).collect::<Result<Vec<_>>>()?;
        names.sort();
        names.dedup();
        Ok(names)
    }
}

/// Why a name cannot be written although nobody has a secret of that name.
enum Taken {
    /// A deleted secret has it.
    Deleted,
    /// Its secret is being deleted.
    BeingDeleted,
    /// Its secret is being recovered.
    BeingRecovered,
}

impl Taken {
    fn of(error: &Error) -> Option<Self> {
        let said = ServiceError::of(error).filter(|_| error.kind() == ErrorKind::Conflict)?;
        let codes = [
            ("ObjectIsDeletedButRecoverable", Self::Deleted),
            ("ObjectIsBeingDeleted", Self::BeingDeleted),
            ("ObjectIsBeingRecovered", Self::BeingRecovered),
        ];
        codes.into_iter().find(|(code, _)| said.has(code)).map(|(_, taken)| taken)
    }
}

/// What a vault says it wants: `Bearer authorization="https://login…/TENANT", resource="https://vault.azure.net"`, or `scope=` instead
/// of `resource=`.
#[derive(Debug, PartialEq)]
struct Challenge {
    scope: Scope,
    tenant: Option<String>,
}

impl Challenge {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let challenges = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        challenges.filter_map(Self::read).next()
    }

    fn read(text: &str) -> Option<Self> {
        let (scheme, parameters) = text.trim_start().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let value = |name: &str| {
            parameters_of(parameters).find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|p| p.1)
        };
        let scope = match value("scope") {
            Some(scope) => Scope::new(scope),
            None => Scope::new(&format!("{}/.default", value("resource")?)),
        };
        let issuer = value("authorization").or_else(|| value("authorization_uri"));
        let tenant = issuer.and_then(|uri| Url::parse(uri).ok()?.path_segments()?.next().map(str::to_owned));
        let plain = |tenant: &String| {
            !tenant.is_empty() && tenant.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
        };
        Some(Self { scope: scope.ok()?, tenant: tenant.filter(plain) })
    }

    /// Whether the vault lies in the domain that the token would be for.
    fn is_for(&self, vault: &Url) -> bool {
        let Ok(resource) = Url::parse(self.scope.audience()) else { return false };
        let (Some(vault_host), Some(host)) = (vault.host_str(), resource.host_str()) else { return false };
        let below = vault_host.strip_suffix(host).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        below && host.contains('.') && resource.scheme() == vault.scheme()
    }
}

/// The parameters of a challenge (RFC 9110, section 11.2): `name=value` or `name="value"`, with commas between.
fn parameters_of(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', ',', '\t']);
        let (name, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_at(after.find([',', ' ']).unwrap_or(after.len())),
        };
        rest = after;
        Some((name.trim(), value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(text: &str) -> Option<Challenge> {
        Challenge::read(text)
    }

    #[test]
    fn challenges_are_read_in_both_forms() {
        let expected = Challenge {
            scope: Scope::new("https://vault.azure.net/.default").unwrap(),
            tenant: Some("72f988bf-86f1-41af-91ab-2d7cd011db47".to_owned()),
        };
        for text in [
            r#"Bearer authorization="https://login.windows.net/72f988bf-86f1-41af-91ab-2d7cd011db47", resource="https://vault.azure.net""#,
            r#"bearer  resource=https://vault.azure.net, authorization=https://login.windows.net/72f988bf-86f1-41af-91ab-2d7cd011db47"#,
            r#"Bearer authorization_uri="https://login.windows.net/72f988bf-86f1-41af-91ab-2d7cd011db47/oauth2", scope="https://vault.azure.net/.default""#,
        ] {
            assert_eq!(challenge(text).as_ref(), Some(&expected), "{text}");
        }
        for bad in [
            "",
            "Bearer",
            "Bearer ",
            "Basic realm=x",
            r#"Bearer resource="#,
            r#"Bearer resource=" ; rm -rf /""#,
            "Bearer resource=\"x",
        ] {
            assert_eq!(challenge(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_token_is_asked_for_the_vaults_own_domain_alone() {
        let vault: Url = "https://kv-churn.vault.azure.net/".parse().unwrap();
        for (resource, expected) in [
            ("https://vault.azure.net", true),
            ("https://kv-churn.vault.azure.net", true),
            ("https://azure.net", true),
            ("https://churn.vault.azure.net", false),
            ("https://management.azure.com", false),
            ("https://net", false),
            ("http://vault.azure.net", false),
            ("https://vault.azure.net.evil.example", false),
        ] {
            let challenge = challenge(&format!("Bearer resource={resource}")).unwrap();
            assert_eq!(challenge.is_for(&vault), expected, "{resource}");
        }
    }

    #[test]
    fn names_that_no_vault_has_are_refused() {
        let tokens = || {
            Arc::new(crate::auth::FixedToken::new(crate::auth::AccessToken::new(
                "t",
                "2100-01-01T00:00:00Z".parse().unwrap(),
            )))
        };
        for bad in ["", "ab", "1kv", "kv-", "kv--a", "kv_a", "a.b", "kv/x", "x".repeat(25).as_str(), "évault"]
        {
            let error = KeyVault::named(bad, Cloud::Public, tokens()).unwrap_err();
            assert_eq!(error.context("field"), Some("name"), "{bad}");
        }
        let china = KeyVault::named("kv-churn", Cloud::China, tokens()).unwrap();
        assert_eq!(china.base.as_str(), "https://kv-churn.vault.azure.cn/");
        let clear = KeyVault::at("http://kv.example/".parse().unwrap(), tokens()).build().unwrap_err();
        assert_eq!(clear.kind(), ErrorKind::InvalidInput);
    }
}
