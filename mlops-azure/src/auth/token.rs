//! What a token is and who gives it out.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::governance::Secret;
use mlops_core::time::Timestamp;
use mlops_core::{Error, Result};

/// What a token is for: the audience of a service with `/.default` at its end.
///
/// ```
/// use mlops_azure::auth::Scope;
/// let scope = Scope::new("https://storage.azure.com/.default")?;
/// assert_eq!(scope.audience(), "https://storage.azure.com");
/// assert!(Scope::new("https://storage.azure.com").is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(String);

impl Scope {
    const SUFFIX: &str = "/.default";

    /// A scope.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a text that does not end in `/.default`, is longer
    /// than 255 bytes, or has other characters than letters, digits and `.-_:/`: scopes reach a command line.
    pub fn new(text: &str) -> Result<Self> {
        let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'/');
        let fits = (Self::SUFFIX.len() + 1..=255).contains(&text.len());
        match fits && text.ends_with(Self::SUFFIX) && text.bytes().all(ok) && !text.starts_with('-') {
            true => Ok(Self(text.to_owned())),
            false => {
                let reason = "must be an audience of letters, digits and .-_:/ that ends in /.default";
                Err(Error::invalid("Scope::new", "scope", reason).with("value", text))
            }
        }
    }

    /// A scope that this crate spells itself.
    pub(crate) fn known(text: String) -> Self {
        Self(text)
    }

    /// The scope as it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The audience: the scope without `/.default`, as managed identities call it (their `resource`).
    pub fn audience(&self) -> &str {
        self.0.strip_suffix(Self::SUFFIX).unwrap_or(&self.0)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A bearer token and how long it holds. It never prints.
///
/// ```
/// use mlops_azure::auth::AccessToken;
/// let token = AccessToken::new("hunter2", "2026-01-01T00:00:00Z".parse()?);
/// assert!(!format!("{token:?}").contains("hunter2"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct AccessToken {
    /// The token.
    pub secret: Secret,
    /// When it stops to be good, by the clock of this machine.
    pub expires_at: Timestamp,
    /// When the issuer wants it to be renewed; `None` where it does not say.
    pub refresh_at: Option<Timestamp>,
}

impl AccessToken {
    /// A token.
    pub fn new(secret: impl Into<String>, expires_at: Timestamp) -> Self {
        Self { secret: Secret::new(secret), expires_at, refresh_at: None }
    }

    /// The same with the time at which the issuer wants it to be renewed.
    #[must_use]
    pub fn refresh_at(mut self, time: Timestamp) -> Self {
        self.refresh_at = Some(time);
        self
    }
}

/// Gives out tokens.
///
/// # Contract
/// * A token returned is good when it is returned, as far as the source can know.
/// * The scope is asked for as it is; a source never widens it.
/// * No error holds a secret; that nobody can give a token is [`ErrorKind::Auth`](mlops_core::ErrorKind::Auth).
/// * [`refuse`](Self::refuse) says that a service would not take a token: a source that remembers tokens forgets this one.
#[async_trait]
pub trait TokenSource: fmt::Debug + Send + Sync + 'static {
    /// A token for a scope.
    async fn token(&self, scope: &Scope) -> Result<AccessToken>;

    /// Says that a service did not accept this token.
    async fn refuse(&self, scope: &Scope, token: &AccessToken);
}

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: TokenSource + ?Sized> TokenSource for $pointer<T> {
            async fn token(&self, scope: &Scope) -> Result<AccessToken> {
                (**self).token(scope).await
            }

            async fn refuse(&self, scope: &Scope, token: &AccessToken) {
                (**self).refuse(scope, token).await;
            }
        }
    };
}
forward!(Arc);
forward!(Box);

/// One token for every scope: for stand-ins, and for tokens that somebody else renews by restarting the process.
///
/// ```
/// use mlops_azure::auth::{AccessToken, FixedToken};
/// let source = FixedToken::new(AccessToken::new("t", "2026-01-01T00:00:00Z".parse()?));
/// assert_eq!(format!("{source:?}"), "FixedToken(..)");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct FixedToken(AccessToken);

impl FixedToken {
    /// A source that always gives this token.
    pub fn new(token: AccessToken) -> Self {
        Self(token)
    }
}

impl fmt::Debug for FixedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FixedToken(..)")
    }
}

#[async_trait]
impl TokenSource for FixedToken {
    async fn token(&self, _: &Scope) -> Result<AccessToken> {
        Ok(self.0.clone())
    }

    async fn refuse(&self, _: &Scope, _: &AccessToken) {}
}

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn TokenSource) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_cannot_carry_a_command() {
        for bad in [
            "",
            "/.default",
            "https://ml.azure.com",
            "https://ml.azure.com/.default ",
            "$(rm -rf)/.default",
            "a;b/.default",
            "a b/.default",
            "--tenant=x/.default",
            "é/.default",
        ] {
            assert_eq!(Scope::new(bad).unwrap_err().context("field"), Some("scope"), "{bad}");
        }
        assert!(Scope::new(&format!("https://{}/.default", "x".repeat(300))).is_err());
        for good in ["https://monitor.azure.com//.default", "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/.default"] {
            assert_eq!(Scope::new(good).unwrap().as_str(), good);
        }
        assert_eq!(
            Scope::new("https://monitor.azure.com//.default").unwrap().audience(),
            "https://monitor.azure.com/"
        );
    }
}
