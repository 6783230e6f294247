//! How a client is set up.

use std::sync::Arc;
use std::time::Duration;

use mlops_core::{Error, Result};
use reqwest::Url;

use super::auth::MlflowAuth;
use super::capabilities::Dialect;
use super::client::MlflowClient;
use crate::http::{
    HttpRequest, HttpTransport, ReqwestConfig, ReqwestTransport, RetryPolicy, StorageHosts, guard,
};

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
    clear: bool,
    settings: Settings,
}

/// What a client needs for every call.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) retry: RetryPolicy,
    pub(super) timeout: Duration,
    pub(super) transfer_timeout: Duration,
    pub(super) max_answer: usize,
    pub(super) hosts: StorageHosts,
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
            hosts: StorageHosts::object_stores(),
        };
        Self {
            url: url.to_owned(),
            auth: MlflowAuth::None,
            http: ReqwestConfig::default(),
            transport: None,
            dialect: None,
            clear: false,
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

    /// Sends a token or a password over `http` to another machine: for a server in a private network that has no certificate. Whoever is
    /// on the way there can read it, and be the client from then on.
    pub fn credentials_in_clear_text(mut self, yes: bool) -> Self {
        self.clear = yes;
        self
    }

    /// Lets the server name places for parts of artifacts at these hosts; if nothing is set, at its own, and at
    /// [those of the usual clouds](StorageHosts::object_stores).
    pub fn storage_hosts(mut self, hosts: StorageHosts) -> Self {
        self.settings.hosts = hosts;
        self
    }

    /// What is tried again. Where the policy sets no deadline, a call with all that is tried again, its token included, may take its
    /// budget and the time of one try, which is five minutes if nothing else is set either.
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
    /// credentials, a query or a fragment, for certificates that are none, and for credentials over `http` to another machine, unless
    /// it was [said](Self::credentials_in_clear_text) that they may go there. Tokens of a [provider](MlflowAuth::Provider) never may:
    /// they are those of Entra ID, and open more than this server.
    pub fn build(self) -> Result<MlflowClient> {
        let url = parse(&self.url)?;
        let guarded = match &self.auth {
            MlflowAuth::None => false,
            MlflowAuth::Basic { .. } | MlflowAuth::Bearer(_) => !self.clear,
            MlflowAuth::Provider(_) => true,
        };
        if guarded {
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
    fn credentials_go_in_clear_text_to_this_machine_alone_unless_somebody_says_so() {
        #[derive(Debug)]
        struct Nobody;

        #[async_trait::async_trait]
        impl crate::mlflow::TokenProvider for Nobody {
            async fn token(&self) -> Result<mlops_core::governance::Secret> {
                Ok(mlops_core::governance::Secret::new("hunter2"))
            }
        }

        let secret = || mlops_core::governance::Secret::new("hunter2");
        let basic = MlflowAuth::Basic { user: "ann".to_owned(), password: secret() };
        for (url, fits) in
            [("http://h", false), ("https://h", true), ("http://127.0.0.1:1", true), ("azureml://h/x", true)]
        {
            let provider = MlflowAuth::Provider(Arc::new(Nobody));
            for (auth, may_be_let) in
                [(provider, false), (MlflowAuth::Bearer(secret()), true), (basic.clone(), true)]
            {
                let builder = MlflowBuilder::new(url).auth(auth);
                assert_eq!(builder.clone().build().is_ok(), fits, "{url}");
                let let_through = builder.credentials_in_clear_text(true).build().is_ok();
                assert_eq!(let_through, fits || may_be_let, "{url}");
            }
            assert!(MlflowBuilder::new(url).build().is_ok(), "{url}");
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
