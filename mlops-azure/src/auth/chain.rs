//! Several sources, one after the other.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::{Error, ErrorKind, Result};

use super::token::{AccessToken, Scope, TokenSource};

/// Why a source had no token.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkFailure {
    /// The source.
    pub link: &'static str,
    /// Why, in words; without secrets.
    pub reason: String,
}

/// That no source of a chain had a token: each with its reason, in the order in which they were asked.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoToken {
    /// The sources and their reasons.
    pub failures: Vec<LinkFailure>,
}

impl fmt::Display for NoToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no source had a token")?;
        for (i, LinkFailure { link, reason }) in self.failures.iter().enumerate() {
            write!(f, "{}{link}: {reason}", if i == 0 { ": " } else { "; " })?;
        }
        Ok(())
    }
}

impl std::error::Error for NoToken {}

/// Sources that are asked in order until one has a token.
///
/// The one that had the first token stays the one that is asked, alone: a process does not change who it is because a request
/// failed. If none has a token, the error says of each why; its source is a [`NoToken`]. It is
/// [retryable](mlops_core::Error::is_retryable) if one of them failed in a way that may pass. A source that does not answer in time
/// counts as one without a token, so that a machine outside Azure does not wait for Azure's metadata service.
///
/// ```
/// use std::sync::Arc;
/// use mlops_azure::auth::{AccessToken, FixedToken, Scope, TokenChain, TokenSource};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let token = FixedToken::new(AccessToken::new("t", "2100-01-01T00:00:00Z".parse().unwrap()));
/// let chain = TokenChain::new()
///     .or_unavailable("environment", "AZURE_TENANT_ID is not set")
///     .or("fixed", Arc::new(token));
/// assert!(chain.token(&Scope::new("https://ml.azure.com/.default")?).await.is_ok());
///
/// let nobody = TokenChain::new().or_unavailable("environment", "AZURE_TENANT_ID is not set");
/// let error = nobody.token(&Scope::new("https://ml.azure.com/.default")?).await.unwrap_err();
/// assert!(error.to_string().contains("environment: AZURE_TENANT_ID is not set"));
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct TokenChain {
    links: Vec<Link>,
    chosen: Mutex<Option<usize>>,
}

#[derive(Debug)]
struct Link {
    name: &'static str,
    source: Result<Arc<dyn TokenSource>, String>,
    patience: Duration,
    /// Whether no answer means that it is not there.
    probed: bool,
}

impl TokenChain {
    /// How long a source may take, where nothing else is said.
    pub const PATIENCE: Duration = Duration::from_secs(60);

    /// A chain without sources.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a source.
    #[must_use]
    pub fn or(self, name: &'static str, source: Arc<dyn TokenSource>) -> Self {
        self.or_within(name, Self::PATIENCE, source)
    }

    /// Adds a source that must answer in so much time.
    #[must_use]
    pub fn or_within(mut self, name: &'static str, patience: Duration, source: Arc<dyn TokenSource>) -> Self {
        self.links.push(Link { name, source: Ok(source), patience, probed: false });
        self
    }

    /// Adds a source of which only asking tells whether it is there: that it cannot be reached in so much time says that it is not, and
    /// not that a later try may find it.
    #[must_use]
    pub fn or_if_there(
        mut self,
        name: &'static str,
        patience: Duration,
        source: Arc<dyn TokenSource>,
    ) -> Self {
        self.links.push(Link { name, source: Ok(source), patience, probed: true });
        self
    }

    /// Adds a source that is known not to be there, so that the error can say why.
    #[must_use]
    pub fn or_unavailable(mut self, name: &'static str, reason: impl Into<String>) -> Self {
        self.links.push(Link { name, source: Err(reason.into()), patience: Duration::ZERO, probed: false });
        self
    }

    /// The source that had the first token.
    pub fn chosen(&self) -> Option<&'static str> {
        let chosen = *self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        chosen.and_then(|i| self.links.get(i)).map(|link| link.name)
    }

    fn choose(&self, link: usize) {
        let mut chosen = self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        chosen.get_or_insert(link);
    }

    fn link(&self) -> Option<&Link> {
        let chosen = *self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        chosen.and_then(|i| self.links.get(i))
    }
}

impl Link {
    async fn ask(&self, scope: &Scope) -> Result<AccessToken> {
        let late = || Error::new(ErrorKind::Timeout, "TokenChain::token", "it did not answer in time");
        match &self.source {
            Ok(source) => {
                tokio::time::timeout(self.patience, source.token(scope)).await.map_err(|_| late())?
            }
            Err(reason) => Err(Error::new(ErrorKind::Auth, "TokenChain::token", reason)),
        }
    }
}

#[async_trait]
impl TokenSource for TokenChain {
    async fn token(&self, scope: &Scope) -> Result<AccessToken> {
        if let Some(link) = self.link() {
            return link.ask(scope).await.map_err(|error| error.with("link", link.name));
        }
        let mut failures = Vec::new();
        let mut may_pass = false;
        for (i, link) in self.links.iter().enumerate() {
            match link.ask(scope).await {
                Ok(token) => {
                    self.choose(i);
                    return Ok(token);
                }
                Err(error) => {
                    may_pass |= match link.probed {
                        true => error.kind() == ErrorKind::RateLimited,
                        false => error.is_retryable(),
                    };
                    failures.push(LinkFailure { link: link.name, reason: error.message().to_owned() });
                }
            }
        }
        let nobody = NoToken { failures };
        Err(Error::new(ErrorKind::Auth, "TokenChain::token", nobody.to_string())
            .with_retryable(may_pass)
            .with_source(nobody))
    }

    async fn refuse(&self, scope: &Scope, token: &AccessToken) {
        if let Some(Link { source: Ok(source), .. }) = self.link() {
            source.refuse(scope, token).await;
        }
    }
}
