//! The sources of `azure_identity`, over this crate's transport.
//!
//! `azure_identity` knows how to ask Entra ID; how requests travel is decided here: without redirects, with deadlines, with
//! capped answers, and repeated by one policy. Its errors are turned into text without secrets, for in `Debug` they may hold
//! whole answers.

use std::ffi::OsStr;
use std::fmt;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::{Secret as AzureSecret, TokenCredential};
use azure_core::http::headers::Headers;
use azure_core::http::{
    AsyncRawResponse, Body, ClientOptions, HttpClient, Method as AzureMethod, Request, RetryOptions,
    StatusCode, Transport,
};
use azure_identity::{
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions,
    DeveloperToolsCredential, DeveloperToolsCredentialOptions, Executor, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential,
    WorkloadIdentityCredentialOptions,
};
use chrono::DateTime;
use mlops_core::governance::Secret;
use mlops_core::{Error, ErrorKind, Result};
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde_json::Value;

use super::chain::TokenChain;
use super::job::JobIdentity;
use super::token::{AccessToken, Scope, TokenSource};
use crate::config::discover::ProcessVariables;
use crate::config::{Cloud, Endpoints, Variables};
use crate::http::{HttpBody, HttpRequest, HttpTransport, Repeat, RetryPolicy, guard, redact, retry};

const OP: &str = "Identity::token";

/// Where the platform answers who a process is, if it is not a virtual machine's.
const IDENTITY_ENDPOINT: &str = "IDENTITY_ENDPOINT";
/// The metadata service of virtual machines.
const METADATA: &str = "http://169.254.169.254/";
/// The variable for which there is no source.
const CERTIFICATE: &str = "AZURE_CLIENT_CERTIFICATE_PATH";

/// A source of `azure_identity`: whatever is a `TokenCredential`.
///
/// ```
/// use std::sync::Arc;
/// use mlops_azure::auth::Identity;
/// use mlops_azure::config::{Cloud, Endpoints};
/// use mlops_azure::http::{ReqwestConfig, ReqwestTransport};
/// use mlops_core::governance::Secret;
///
/// let transport = Arc::new(ReqwestTransport::new(&ReqwestConfig::default())?);
/// let endpoints = Endpoints::of(Cloud::Public)?;
/// let source = Identity::client_secret(&endpoints, transport, "contoso.com", "client", &Secret::new("hunter2"))?;
/// assert!(!format!("{source:?}").contains("hunter2"));
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub struct Identity {
    name: &'static str,
    credential: Arc<dyn TokenCredential>,
    /// What may not be in an error.
    secrets: Vec<Secret>,
}

impl Identity {
    /// Any credential of the Azure SDK.
    pub fn new(name: &'static str, credential: Arc<dyn TokenCredential>) -> Self {
        Self { name, credential, secrets: Vec::new() }
    }

    /// A service principal with a secret.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a tenant, client or secret that cannot be one.
    pub fn client_secret(
        endpoints: &Endpoints,
        transport: Arc<dyn HttpTransport>,
        tenant: &str,
        client: &str,
        secret: &Secret,
    ) -> Result<Self> {
        let options =
            ClientSecretCredentialOptions { client_options: Bridge::new(transport).options(endpoints) };
        let hidden = AzureSecret::new(secret.expose().to_owned());
        let credential = ClientSecretCredential::new(tenant, client.to_owned(), hidden, Some(options))
            .map_err(|e| unfit("client secret", &e, std::slice::from_ref(secret)))?;
        Ok(Self { name: "client secret", credential, secrets: vec![secret.clone()] })
    }

    /// A workload's identity in Kubernetes: the token in a file, exchanged for one of Entra ID.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a tenant or client that cannot be one and a file that cannot be read.
    pub fn workload(
        endpoints: &Endpoints,
        transport: Arc<dyn HttpTransport>,
        tenant: &str,
        client: &str,
        token_file: impl Into<std::path::PathBuf>,
    ) -> Result<Self> {
        let client_options = Bridge::new(transport).options(endpoints);
        let options = WorkloadIdentityCredentialOptions {
            credential_options: ClientAssertionCredentialOptions { client_options },
            client_id: Some(client.to_owned()),
            tenant_id: Some(tenant.to_owned()),
            token_file_path: Some(token_file.into()),
        };
        let credential = WorkloadIdentityCredential::new(Some(options))
            .map_err(|e| unfit("workload identity", &e, &[]))?;
        Ok(Self::new("workload identity", credential))
    }

    /// The managed identity of a virtual machine, a container or an App Service; the system's own, or one by its client id.
    ///
    /// Who answers is named by the process's environment, as everywhere in Azure: `IDENTITY_ENDPOINT` in App Service, Functions and
    /// Container Apps, else the metadata service of a virtual machine. Such an endpoint may be a host of the link (169.254.0.0/16), which
    /// has no certificate: it is then asked in clear text, never through a proxy of [`ReqwestConfig`](crate::http::ReqwestConfig), and
    /// gets nothing but the secret that came with its name (`IDENTITY_HEADER`).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] where the environment is one whose protocol is not known.
    pub fn managed(transport: Arc<dyn HttpTransport>, client: Option<&str>) -> Result<Self> {
        let bridge = Bridge::new(transport).on_the_link(&ProcessVariables);
        let options = ManagedIdentityCredentialOptions {
            user_assigned_id: client.map(|id| UserAssignedId::ClientId(id.to_owned())),
            client_options: ClientOptions {
                transport: Some(bridge.into_transport()),
                ..ClientOptions::default()
            },
        };
        let credential =
            ManagedIdentityCredential::new(Some(options)).map_err(|e| unfit("managed identity", &e, &[]))?;
        Ok(Self::new("managed identity", credential))
    }

    /// Whoever is logged in to `az`, else to `azd`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] in practice never.
    pub fn developer_tools() -> Result<Self> {
        let options = DeveloperToolsCredentialOptions { executor: Some(Arc::new(Killing)) };
        let credential =
            DeveloperToolsCredential::new(Some(options)).map_err(|e| unfit("developer tools", &e, &[]))?;
        Ok(Self::new("developer tools", credential))
    }

    /// The usual chain of the process's environment: see [`Identity::chain_from`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a variable that names no cloud.
    pub fn chain(transport: Arc<dyn HttpTransport>) -> Result<TokenChain> {
        let cloud = Cloud::from_variables(&ProcessVariables)?;
        Ok(Self::chain_from(&ProcessVariables, &Endpoints::of(cloud)?, transport))
    }

    /// The usual chain:
    ///
    /// | link | when it is there |
    /// |---|---|
    /// | environment | `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_CLIENT_SECRET` are set |
    /// | workload identity | `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_FEDERATED_TOKEN_FILE` are set |
    /// | job identity | `MSI_ENDPOINT` and `MSI_SECRET` are set: Azure Machine Learning's compute |
    /// | managed identity | always; where no `IDENTITY_ENDPOINT` is set it has twelve seconds to answer, because outside Azure nobody does |
    /// | developer tools | always |
    ///
    /// `AZURE_CLIENT_ID`, else `DEFAULT_IDENTITY_CLIENT_ID`, says which managed identity is meant. A service principal by a certificate
    /// (`AZURE_CLIENT_CERTIFICATE_PATH`) is not among them: to sign with its key takes a library for RSA, which this crate does without;
    /// the link `environment` then says so. Federation (a workload identity) does without a certificate and without a secret; a
    /// credential of the Azure SDK can be given to [`Identity::new`].
    pub fn chain_from(
        variables: &(impl Variables + ?Sized),
        endpoints: &Endpoints,
        transport: Arc<dyn HttpTransport>,
    ) -> TokenChain {
        let managed_client =
            ["AZURE_CLIENT_ID", "DEFAULT_IDENTITY_CLIENT_ID"].iter().find_map(|n| variables.read(n));
        let chain = TokenChain::new();
        let chain = link(chain, "environment", Self::environment(variables, endpoints, transport.clone()));
        let chain = link(
            chain,
            "workload identity",
            Self::workload_environment(variables, endpoints, transport.clone()),
        );
        let chain = link(chain, "job identity", JobIdentity::from_variables(variables, transport.clone()));
        const PATIENCE: Duration = Duration::from_secs(12);
        let chain = match Self::managed(transport, managed_client.as_deref()) {
            // The platform says that it is there.
            Ok(source) if ProcessVariables.read(IDENTITY_ENDPOINT).is_some() => {
                chain.or("managed identity", Arc::new(source))
            }
            Ok(source) => chain.or_if_there("managed identity", PATIENCE, Arc::new(source)),
            Err(error) => chain.or_unavailable("managed identity", error.message()),
        };
        link(chain, "developer tools", Self::developer_tools())
    }

    fn environment(
        variables: &(impl Variables + ?Sized),
        endpoints: &Endpoints,
        transport: Arc<dyn HttpTransport>,
    ) -> Result<Self> {
        if variables.read(CERTIFICATE).is_some() && variables.read("AZURE_CLIENT_SECRET").is_none() {
            let message = format!(
                "{CERTIFICATE} is set, and certificates are not supported: use a federated credential"
            );
            return Err(Error::new(ErrorKind::Unsupported, OP, message));
        }
        let [tenant, client, secret] =
            required(variables, ["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"])?;
        Self::client_secret(endpoints, transport, &tenant, &client, &Secret::new(secret))
    }

    fn workload_environment(
        variables: &(impl Variables + ?Sized),
        endpoints: &Endpoints,
        transport: Arc<dyn HttpTransport>,
    ) -> Result<Self> {
        let [tenant, client, file] =
            required(variables, ["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE"])?;
        Self::workload(endpoints, transport, &tenant, &client, file)
    }
}

fn link(chain: TokenChain, name: &'static str, source: Result<impl TokenSource>) -> TokenChain {
    match source {
        Ok(source) => chain.or(name, Arc::new(source)),
        Err(error) => chain.or_unavailable(name, error.message()),
    }
}

/// The values of variables, or an error that names those that are not set.
fn required<const N: usize>(variables: &(impl Variables + ?Sized), names: [&str; N]) -> Result<[String; N]> {
    let missing: Vec<&str> = names.iter().copied().filter(|name| variables.read(name).is_none()).collect();
    match missing.as_slice() {
        [] => Ok(names.map(|name| variables.read(name).unwrap_or_default())),
        [one] => Err(Error::new(ErrorKind::NotFound, OP, format!("{one} is not set"))),
        many => Err(Error::new(ErrorKind::NotFound, OP, format!("{} are not set", many.join(", ")))),
    }
}

/// The text of an error of the SDK with those below it, without secrets, on one line and not endless.
fn said(error: &azure_core::Error, secrets: &[Secret]) -> String {
    let mut text = error.to_string();
    let mut below = std::error::Error::source(error);
    while let Some(inner) = below {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        below = inner.source();
    }
    redact::text(&text, secrets, 400)
}

/// What an error of the SDK is: that nobody answered is not that nobody may.
fn cause(error: &azure_core::Error) -> ErrorKind {
    let mut below: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = below {
        if let Some(own) = error.downcast_ref::<Error>().filter(|own| own.kind().is_retryable()) {
            return own.kind();
        }
        below = error.source();
    }
    ErrorKind::Auth
}

fn unfit(name: &'static str, error: &azure_core::Error, secrets: &[Secret]) -> Error {
    Error::invalid(OP, "credential", said(error, secrets)).with("link", name)
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("name", &self.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl TokenSource for Identity {
    async fn token(&self, scope: &Scope) -> Result<AccessToken> {
        let token = self.credential.get_token(&[scope.as_str()], None).await.map_err(|error| {
            Error::new(cause(&error), OP, said(&error, &self.secrets)).with("link", self.name)
        })?;
        let late = || Error::new(ErrorKind::Protocol, OP, "the token's end is not a time");
        let expires = DateTime::from_timestamp(token.expires_on.unix_timestamp(), 0).ok_or_else(late)?;
        Ok(AccessToken::new(token.token.secret(), expires))
    }

    /// `azure_identity` has no way to forget a token; it renews five minutes before the end.
    async fn refuse(&self, _: &Scope, _: &AccessToken) {}
}

/// Sends the SDK's requests through this crate's transport.
#[derive(Clone, Debug)]
struct Bridge {
    inner: Arc<dyn HttpTransport>,
    patience: Duration,
    attempts: u32,
    /// Hosts of the link that may be asked in clear text: those that the platform names.
    link: Vec<Url>,
}

impl Bridge {
    /// The longest answer that can be a token.
    const LIMIT: usize = 1 << 20;
    /// The longest life of a token that is believed, in seconds: a year. Times beyond what a clock can hold are not added.
    const LIFE: i64 = 366 * 86_400;

    fn new(inner: Arc<dyn HttpTransport>) -> Self {
        Self { inner, patience: Duration::from_secs(30), attempts: 4, link: Vec::new() }
    }

    /// Towards the platform's own endpoints. Where the environment names none, it is not known whether anybody is there.
    fn on_the_link(self, variables: &(impl Variables + ?Sized)) -> Self {
        let named = variables.read(IDENTITY_ENDPOINT);
        let (patience, attempts) = match named {
            Some(_) => (self.patience, self.attempts),
            None => (Duration::from_secs(5), 2),
        };
        let link =
            named.as_deref().into_iter().chain([METADATA]).filter_map(|url| url.parse().ok()).collect();
        Self { patience, attempts, link, ..self }
    }

    /// Whether a request goes to an endpoint of the platform on the link, with nothing that is somebody else's.
    fn stays_on_the_link(&self, request: &Request) -> bool {
        let url = request.url();
        let named = self.link.iter().any(|own| own.origin() == url.origin());
        let bears =
            request.headers().iter().any(|(name, _)| name.as_str().eq_ignore_ascii_case("authorization"));
        named && guard::is_link_local(url) && !bears
    }

    fn into_transport(self) -> Transport {
        Transport::new(Arc::new(self))
    }

    fn options(self, endpoints: &Endpoints) -> ClientOptions {
        let mut custom = CustomConfiguration::default();
        custom.authority_host = endpoints.authority().to_string();
        ClientOptions {
            transport: Some(self.into_transport()),
            // What is tried again is decided below.
            retry: RetryOptions::none(),
            cloud: Some(Arc::new(CloudConfiguration::from(custom))),
            ..ClientOptions::default()
        }
    }

    async fn send(&self, request: &Request) -> Result<AsyncRawResponse> {
        let url = request.url().clone();
        if !self.stays_on_the_link(request) {
            guard::may_carry_secrets(OP, "url", &url)?;
        }
        let mut sent = HttpRequest::new(method(request.method())?, url);
        for (name, value) in request.headers().iter() {
            let bad = |_| Error::invalid(OP, "headers", "is not a header");
            let name = HeaderName::from_bytes(name.as_str().as_bytes()).map_err(|_| bad(()))?;
            let mut value = HeaderValue::from_str(value.as_str()).map_err(|_| bad(()))?;
            value.set_sensitive(true);
            sent.headers.insert(name, value);
        }
        sent.body = match request.body() {
            Body::Bytes(bytes) if bytes.is_empty() => HttpBody::Empty,
            Body::Bytes(bytes) => HttpBody::Bytes(bytes.clone()),
            Body::SeekableStream(_) => return Err(Error::unsupported(OP, "streams")),
        };
        sent.timeout = self.patience;
        let policy = RetryPolicy { attempts: self.attempts, ..RetryPolicy::default() };
        // To ask for a token twice is to get two tokens, which harms nobody.
        let answer = retry::send(&*self.inner, &policy, OP, Repeat::Safe, Some(Self::LIMIT), sent).await?;
        let status = answer.status;
        let body = answer.body.collect(Self::LIMIT).await?;
        // The platform's own endpoints are asked again by the SDK, which knows what they mean.
        if retry::is_transient(status) && self.link.is_empty() {
            return Err(passing(status));
        }
        if status == 200 && !is_plausible(&body) {
            return Err(Error::new(
                ErrorKind::Protocol,
                OP,
                "the answer is not a token with a life of less than a year",
            ));
        }
        Ok(AsyncRawResponse::from_bytes(StatusCode::from(status), Headers::new(), body))
    }
}

/// The error of an issuer that cannot answer now. Its words may repeat what it was sent, and would pass through the SDK's log.
fn passing(status: u16) -> Error {
    let kind = match status {
        429 => ErrorKind::RateLimited,
        408 | 504 => ErrorKind::Timeout,
        _ => ErrorKind::Transport,
    };
    Error::new(kind, OP, format!("the issuer answered with status {status}"))
}

fn method(method: AzureMethod) -> Result<Method> {
    Method::from_bytes(method.as_ref().as_bytes()).map_err(|_| Error::unsupported(OP, "method"))
}

/// Whether the times in a token's answer can be added to a clock: what comes from the network could overflow it.
fn is_plausible(body: &[u8]) -> bool {
    let Ok(Value::Object(answer)) = serde_json::from_slice(body) else { return false };
    let fits = |name: &str| match answer.get(name) {
        None => true,
        Some(Value::Number(number)) => number.as_i64().is_some_and(|n| (0..=Bridge::LIFE).contains(&n)),
        Some(Value::String(text)) => text.parse().is_ok_and(|n: i64| (0..=Bridge::LIFE).contains(&n)),
        Some(_) => false,
    };
    ["expires_in", "ext_expires_in"].into_iter().all(fits)
}

#[async_trait]
impl HttpClient for Bridge {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        // Not a kind that the SDK itself would try again.
        self.send(request).await.map_err(|error| {
            let message = error.message().to_owned();
            azure_core::Error::with_error(azure_core::error::ErrorKind::Other, error, message)
        })
    }
}

/// Runs a command, and kills it when nobody waits any more.
#[derive(Debug)]
struct Killing;

#[async_trait]
impl Executor for Killing {
    async fn run(&self, program: &OsStr, args: &[&OsStr]) -> std::io::Result<Output> {
        tokio::process::Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
    }
}
