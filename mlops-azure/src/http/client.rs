//! The transport over `reqwest`.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use mlops_core::artifact::ByteStream;
use mlops_core::governance::Secret;
use mlops_core::{Error, ErrorKind, Result};
use reqwest::redirect::Policy;
use reqwest::{Body, Certificate, Client, NoProxy, Proxy};

use super::transport::{HttpBody, HttpFault, HttpRequest, HttpResponse, HttpTransport, Stage};

/// What this crate calls itself in `User-Agent`.
pub(crate) const USER_AGENT: &str = concat!("mlops-azure/", env!("CARGO_PKG_VERSION"));

/// Hosts that are never reached through a proxy: what is said to this machine in clear text stays on it, and so does what the
/// platform's identity endpoints on the link answer.
const DIRECT: &str = "localhost,127.0.0.0/8,::1,169.254.0.0/16";

/// Through what connections are made.
#[derive(Clone, Debug, Default)]
pub enum ProxySetting {
    /// What the environment says: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in upper and in lower case.
    #[default]
    Environment,
    /// None.
    None,
    /// One for everything but the hosts listed, separated by commas. The address may hold a user and a password.
    Url {
        /// Its address.
        url: Secret,
        /// Hosts and networks that are reached directly.
        except: String,
    },
}

/// How a [`ReqwestTransport`] connects.
///
/// However proxies are set, this machine itself and hosts of the link (169.254.0.0/16, where the platform answers who a process is)
/// are reached directly.
///
/// ```
/// use std::time::Duration;
/// use mlops_azure::http::ReqwestConfig;
///
/// let config = ReqwestConfig::default().with_connect_timeout(Duration::from_secs(3)).with_idle_per_host(4);
/// assert_eq!((config.connect_timeout, config.idle_per_host), (Duration::from_secs(3), 4));
/// ```
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct ReqwestConfig {
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// Certificates in PEM that are trusted besides those of the system.
    pub extra_roots: Vec<Vec<u8>>,
    /// Connections kept open for each host.
    pub idle_per_host: usize,
    /// Through what.
    pub proxy: ProxySetting,
}

impl Default for ReqwestConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(20),
            extra_roots: Vec::new(),
            idle_per_host: 16,
            proxy: ProxySetting::Environment,
        }
    }
}

impl ReqwestConfig {
    /// With so long for a connection to come about.
    #[must_use]
    pub fn with_connect_timeout(mut self, connect_timeout: Duration) -> Self {
        self.connect_timeout = connect_timeout;
        self
    }

    /// With these certificates in PEM trusted too.
    #[must_use]
    pub fn with_extra_roots(mut self, extra_roots: Vec<Vec<u8>>) -> Self {
        self.extra_roots = extra_roots;
        self
    }

    /// With so many connections kept open for each host.
    #[must_use]
    pub fn with_idle_per_host(mut self, idle_per_host: usize) -> Self {
        self.idle_per_host = idle_per_host;
        self
    }

    /// Through this.
    #[must_use]
    pub fn with_proxy(mut self, proxy: ProxySetting) -> Self {
        self.proxy = proxy;
        self
    }
}

/// Sends requests with `reqwest` and rustls. See [the module](super) for what it does not do.
#[derive(Clone)]
pub struct ReqwestTransport(Client);

impl ReqwestTransport {
    /// A transport.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a certificate that is none.
    ///
    /// ```
    /// use mlops_azure::http::{ReqwestConfig, ReqwestTransport};
    /// assert!(ReqwestTransport::new(&ReqwestConfig::default()).is_ok());
    /// let config = ReqwestConfig::default().with_extra_roots(vec![b"no certificate".to_vec()]);
    /// assert!(ReqwestTransport::new(&config).is_err());
    /// ```
    pub fn new(config: &ReqwestConfig) -> Result<Self> {
        const OP: &str = "ReqwestTransport::new";
        let mut builder = Client::builder()
            .redirect(Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            .connect_timeout(config.connect_timeout)
            .pool_max_idle_per_host(config.idle_per_host)
            .no_proxy()
            .user_agent(USER_AGENT);
        for proxy in proxies(&config.proxy)? {
            builder = builder.proxy(proxy);
        }
        for pem in &config.extra_roots {
            let bad = |reason| Error::invalid(OP, "extra_roots", reason);
            let roots = Certificate::from_pem_bundle(pem)
                .map_err(|e| bad("is not a certificate in PEM").with_source(e.without_url()))?;
            if roots.is_empty() {
                return Err(bad("holds no certificate in PEM"));
            }
            builder = builder.tls_certs_merge(roots);
        }
        let client = builder.build().map_err(|e| {
            Error::new(ErrorKind::InvalidInput, OP, "the transport cannot be set up")
                .with_source(e.without_url())
        })?;
        Ok(Self(client))
    }
}

/// The proxies of a setting, each without the hosts that are reached directly.
fn proxies(setting: &ProxySetting) -> Result<Vec<Proxy>> {
    let bad = |field: &str| Error::invalid("ReqwestTransport::new", field, "is not the address of a proxy");
    let except = |hosts: &str| NoProxy::from_string(&format!("{DIRECT},{hosts}"));
    match setting {
        ProxySetting::None => Ok(Vec::new()),
        ProxySetting::Url { url, except: hosts } => {
            let proxy = Proxy::all(url.expose()).map_err(|_| bad("proxy"))?;
            Ok(vec![proxy.no_proxy(except(hosts))])
        }
        ProxySetting::Environment => {
            let hosts = variable(["NO_PROXY", "no_proxy"]).unwrap_or_default();
            let mut found = Vec::new();
            if let Some(url) = variable(["HTTPS_PROXY", "https_proxy"]) {
                found.push(Proxy::https(&url).map_err(|_| bad("HTTPS_PROXY"))?);
            }
            // A web server hands a client's header `Proxy` to its programs under this name.
            let from_client = std::env::var_os("REQUEST_METHOD").is_some();
            if let Some(url) = variable(["HTTP_PROXY", "http_proxy"]).filter(|_| !from_client) {
                found.push(Proxy::http(&url).map_err(|_| bad("HTTP_PROXY"))?);
            }
            if let Some(url) = variable(["ALL_PROXY", "all_proxy"]) {
                found.push(Proxy::all(&url).map_err(|_| bad("ALL_PROXY"))?);
            }
            Ok(found.into_iter().map(|proxy| proxy.no_proxy(except(&hosts))).collect())
        }
    }
}

fn variable(names: [&str; 2]) -> Option<String> {
    names.into_iter().find_map(|name| std::env::var(name).ok()).filter(|value| !value.is_empty())
}

impl fmt::Debug for ReqwestTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReqwestTransport { .. }")
    }
}

fn fault(error: reqwest::Error) -> HttpFault {
    let stage = match () {
        () if error.is_builder() => Stage::Request,
        () if error.is_connect() => Stage::Connect,
        () => Stage::Answer,
    };
    HttpFault::new(stage, error.is_timeout(), error.without_url())
}

#[async_trait]
impl HttpTransport for ReqwestTransport {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpFault> {
        let HttpRequest { method, url, mut headers, body, timeout } = request;
        let body = match body {
            HttpBody::Empty => None,
            HttpBody::Bytes(bytes) => Some(Body::from(bytes)),
            HttpBody::Stream(stream, length) => {
                if let Some(length) = length {
                    headers.insert(reqwest::header::CONTENT_LENGTH, length.into());
                }
                Some(Body::wrap_stream(stream))
            }
        };
        let mut builder = self.0.request(method, url).headers(headers).timeout(timeout);
        if let Some(body) = body {
            builder = builder.body(body);
        }
        let response = builder.send().await.map_err(fault)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes_stream().map_err(|e| fault(e).into_error("HttpTransport::send"));
        Ok(HttpResponse { status, headers, body: ByteStream::new(body) })
    }
}
