//! How a client is set up.

use std::sync::Arc;
use std::time::Duration;

use mlops_core::{Error, Result};
use reqwest::Url;

use super::auth::MlflowAuth;
use super::capabilities::Dialect;
use super::client::MlflowClient;
use crate::http::{HttpRequest, HttpTransport, ReqwestConfig, ReqwestTransport, RetryPolicy, guard};

/// Builds a [`MlflowClient`].
///
/// ```
/// use std::time::Duration;
/// use mlops_azure::mlflow::{MlflowAuth, MlflowClient};
///
/// let client = MlflowClient::builder("https://mlflow.example.com/team")
///     .auth(MlflowAuth::from_env()?)
///     .timeout(Duration::from_secs(30))
///     .build()?;
/// assert!(MlflowClient::builder("ftp://mlflow.example.com").build().is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[must_use]
#[derive(Clone, Debug)]
pub struct MlflowBuilder {
    url: String,
    auth: MlflowAuth,
    http: ReqwestConfig,
    transport: Option<Arc<dyn HttpTransport>>,
    dialect: Option<Dialect>,
    settings: Settings,
}

/// What a client needs for every call.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) retry: RetryPolicy,
    pub(super) timeout: Duration,
    pub(super) transfer_timeout: Duration,
    pub(super) max_answer: usize,
}

impl MlflowBuilder {
    /// The longest answer to an API call that is read, where nothing else is set: 64 MiB.
    pub const MAX_ANSWER: usize = 64 << 20;

    pub(super) fn new(url: &str) -> Self {
        let settings = Settings {
            retry: RetryPolicy::default(),
            timeout: HttpRequest::TIMEOUT,
            transfer_timeout: Duration::from_secs(3600),
            max_answer: Self::MAX_ANSWER,
        };
        Self {
            url: url.to_owned(),
            auth: MlflowAuth::None,
            http: ReqwestConfig::default(),
            transport: None,
            dialect: None,
            settings,
        }
    }

    /// Who the client is.
    pub fn auth(mut self, auth: MlflowAuth) -> Self {
        self.auth = auth;
        self
    }

    /// Trusts the certificates in this PEM text, besides those of the system.
    pub fn trust(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.http.extra_roots.push(pem.into());
        self
    }

    /// The deadline of one try of an API call; two minutes where nothing is set.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// The deadline of one transfer of an artifact; an hour where nothing is set.
    pub fn transfer_timeout(mut self, timeout: Duration) -> Self {
        self.settings.transfer_timeout = timeout;
        self
    }

    /// How long a connection may take to come about; 20 seconds where nothing is set.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.http.connect_timeout = timeout;
        self
    }

    /// What is tried again.
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.settings.retry = retry;
        self
    }

    /// The longest answer to an API call that is read; [`Self::MAX_ANSWER`] where nothing is set.
    pub fn max_answer(mut self, bytes: usize) -> Self {
        self.settings.max_answer = bytes;
        self
    }

    /// Says what the server speaks, instead of asking it.
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = Some(dialect);
        self
    }

    /// Sends through this transport; certificates and the connection's deadline are then its own matter.
    pub fn transport(mut self, transport: Arc<dyn HttpTransport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// The client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a URL that is not `http` or `https`, or that holds
    /// credentials, a query or a fragment, for certificates that are none, and for tokens of a [provider](MlflowAuth::Provider)
    /// over `http` to another machine: they are those of Entra ID, and open more than this server.
    pub fn build(self) -> Result<MlflowClient> {
        let url = parse(&self.url)?;
        if matches!(self.auth, MlflowAuth::Provider(_)) {
            guard::may_carry_secrets("MlflowBuilder::build", "url", &url)?;
        }
        let dialect = self.dialect.or_else(|| is_azure(&url).then_some(Dialect::AzureMl));
        let transport = match self.transport {
            Some(transport) => transport,
            None => Arc::new(ReqwestTransport::new(&self.http)?),
        };
        Ok(MlflowClient::new(url, self.auth, transport, dialect, self.settings))
    }
}

fn parse(text: &str) -> Result<Url> {
    let bad = |reason| Error::invalid("MlflowBuilder::build", "url", reason);
    // Azure's own name for the same address.
    let text = match text.strip_prefix("azureml://") {
        Some(rest) => format!("https://{rest}"),
        None => text.to_owned(),
    };
    let url = Url::parse(&text).map_err(|e| bad("is not a URL").with_source(e))?;
    match () {
        () if !matches!(url.scheme(), "http" | "https") => Err(bad("must begin with http:// or https://")),
        () if !url.username().is_empty() || url.password().is_some() => {
            Err(bad("holds credentials; give them to `auth`"))
        }
        () if url.query().is_some() || url.fragment().is_some() => Err(bad("has a query or a fragment")),
        () if url.cannot_be_a_base() => Err(bad("has no host")),
        () => Ok(url),
    }
}

/// Azure Machine Learning's tracking URIs end in `/mlflow/v1.0/subscriptions/…/workspaces/…` or `/mlflow/v2.0/…`.
fn is_azure(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let hosts = [".azureml.ms", ".azureml.us", ".azureml.cn", ".api.ml.azure.us", ".api.ml.azure.cn"];
    let azure = hosts.iter().any(|suffix| host.ends_with(suffix));
    let path = url.path();
    azure
        || (path.starts_with("/mlflow/v")
            && path.contains("/subscriptions/")
            && path.contains("/workspaces/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_could_leak_or_mislead_are_refused() {
        for bad in
            ["", "mlflow", "ftp://h", "https://u:hunter2@h", "https://h/?sig=hunter2", "http://h#f", "data:x"]
        {
            let error = MlflowBuilder::new(bad).build().unwrap_err();
            assert_eq!(error.context("field"), Some("url"), "{bad}");
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn a_providers_tokens_go_in_clear_text_to_this_machine_alone() {
        #[derive(Debug)]
        struct Nobody;

        #[async_trait::async_trait]
        impl crate::mlflow::TokenProvider for Nobody {
            async fn token(&self) -> Result<mlops_core::governance::Secret> {
                Ok(mlops_core::governance::Secret::new("hunter2"))
            }
        }

        for (url, fits) in
            [("http://h", false), ("https://h", true), ("http://127.0.0.1:1", true), ("azureml://h/x", true)]
        {
            let auth = MlflowAuth::Provider(Arc::new(Nobody));
            assert_eq!(MlflowBuilder::new(url).auth(auth).build().is_ok(), fits, "{url}");
        }
    }

    #[test]
    fn azure_is_known_by_its_address() {
        let path =
            "subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w";
        for (url, azure) in [
            (format!("azureml://westeurope.api.azureml.ms/mlflow/v1.0/{path}"), true),
            (format!("https://westeurope.api.azureml.ms/mlflow/v2.0/{path}"), true),
            (format!("http://127.0.0.1:1/mlflow/v2.0/{path}"), true),
            ("http://127.0.0.1:5000".to_owned(), false),
            ("https://example.com/mlflow".to_owned(), false),
        ] {
            assert_eq!(is_azure(&parse(&url).unwrap()), azure, "{url}");
        }
    }
}
