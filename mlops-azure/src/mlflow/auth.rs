//! Credentials for MLflow.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use mlops_core::governance::Secret;
use mlops_core::{Error, Result};
use reqwest::header::HeaderValue;

/// Gives out tokens that expire, such as those of Microsoft Entra ID.
///
/// # Contract
/// * Every call returns a token that is good for the next minutes; the provider caches and renews.
#[async_trait]
pub trait TokenProvider: fmt::Debug + Send + Sync + 'static {
    /// A token for the `Authorization` header.
    async fn token(&self) -> Result<Secret>;

    /// Says that the server did not accept this token: a provider that remembers tokens forgets it. The client then asks once
    /// more.
    async fn refuse(&self, token: &Secret) {
        let _ = token;
    }
}

/// Who the client is. Never printed.
///
/// ```
/// use mlops_azure::mlflow::MlflowAuth;
/// use mlops_core::governance::Secret;
/// let auth = MlflowAuth::Basic { user: "ann".to_owned(), password: Secret::new("hunter2") };
/// assert!(!format!("{auth:?}").contains("hunter2"));
/// ```
#[derive(Clone, Debug, Default)]
pub enum MlflowAuth {
    /// Nobody.
    #[default]
    None,
    /// A user with a password, as of `mlflow server --app-name basic-auth`.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A token that does not expire.
    Bearer(Secret),
    /// Tokens that somebody renews.
    Provider(Arc<dyn TokenProvider>),
}

impl MlflowAuth {
    /// Reads what MLflow's own client reads: `MLFLOW_TRACKING_TOKEN`, else `MLFLOW_TRACKING_USERNAME` with
    /// `MLFLOW_TRACKING_PASSWORD`, else nobody. Empty variables count as not set.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) that names the variable, when there is a user without a
    /// password.
    ///
    /// ```
    /// use mlops_azure::mlflow::MlflowAuth;
    /// assert!(MlflowAuth::from_env().is_ok());
    /// ```
    pub fn from_env() -> Result<Self> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(read: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let read = |name: &str| read(name).filter(|value| !value.is_empty());
        if let Some(token) = read("MLFLOW_TRACKING_TOKEN") {
            return Ok(Self::Bearer(Secret::new(token)));
        }
        let Some(user) = read("MLFLOW_TRACKING_USERNAME") else { return Ok(Self::None) };
        let missing = || {
            Error::invalid(
                "MlflowAuth::from_env",
                "MLFLOW_TRACKING_PASSWORD",
                "is not set, but MLFLOW_TRACKING_USERNAME is",
            )
        };
        let password = read("MLFLOW_TRACKING_PASSWORD").ok_or_else(missing)?;
        Ok(Self::Basic { user, password: Secret::new(password) })
    }

    /// The source of tokens, if a new one may help.
    pub(super) fn provider(&self) -> Option<&Arc<dyn TokenProvider>> {
        match self {
            Self::Provider(provider) => Some(provider),
            _ => None,
        }
    }

    /// The `Authorization` header, marked as sensitive, and the texts in it that nobody may see.
    pub(super) async fn header(&self, operation: &'static str) -> Result<Option<(HeaderValue, Vec<Secret>)>> {
        let (text, secrets) = match self {
            Self::None => return Ok(None),
            Self::Basic { user, password } => {
                let pair = Secret::new(format!("{user}:{}", password.expose()));
                let encoded = base64::engine::general_purpose::STANDARD.encode(pair.expose());
                (format!("Basic {encoded}"), vec![password.clone(), Secret::new(encoded)])
            }
            Self::Bearer(token) => (format!("Bearer {}", token.expose()), vec![token.clone()]),
            Self::Provider(provider) => {
                let token = provider.token().await?;
                (format!("Bearer {}", token.expose()), vec![token])
            }
        };
        let text = Secret::new(text);
        let mut value = HeaderValue::from_str(text.expose())
            .map_err(|_| Error::invalid(operation, "auth", "holds a character that no header can hold"))?;
        value.set_sensitive(true);
        Ok(Some((value, secrets)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<MlflowAuth> {
        let variables: Vec<_> = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        MlflowAuth::from_variables(move |name| {
            variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
        })
    }

    #[test]
    fn the_environment_is_read_as_by_mlflow() {
        let token = ("MLFLOW_TRACKING_TOKEN", "t");
        let (user, password) = (("MLFLOW_TRACKING_USERNAME", "u"), ("MLFLOW_TRACKING_PASSWORD", "p"));
        assert!(matches!(from(&[]), Ok(MlflowAuth::None)));
        assert!(matches!(from(&[("MLFLOW_TRACKING_TOKEN", "")]), Ok(MlflowAuth::None)));
        assert!(matches!(from(&[token, user, password]), Ok(MlflowAuth::Bearer(t)) if t.expose() == "t"));
        let basic = from(&[user, password]).unwrap();
        assert!(
            matches!(basic, MlflowAuth::Basic { user, password } if user == "u" && password.expose() == "p")
        );
        assert_eq!(from(&[user]).unwrap_err().context("field"), Some("MLFLOW_TRACKING_PASSWORD"));
    }

    #[tokio::test]
    async fn headers_are_right_and_do_not_print() {
        // The value is that of RFC 7617, section 2.
        let auth = MlflowAuth::Basic { user: "Aladdin".into(), password: Secret::new("open sesame") };
        let (header, _) = auth.header("op").await.unwrap().unwrap();
        assert_eq!(header.to_str().unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(header.is_sensitive() && !format!("{header:?}").contains("QWxh"));
        let broken = MlflowAuth::Bearer(Secret::new("to\nken"));
        let error = broken.header("op").await.unwrap_err();
        assert!(error.context("field") == Some("auth") && !format!("{error:?}").contains("ken\""));
    }
}
