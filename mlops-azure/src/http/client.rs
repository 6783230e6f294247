//! The transport over `reqwest`.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use mlops_core::artifact::ByteStream;
use mlops_core::{Error, ErrorKind, Result};
use reqwest::redirect::Policy;
use reqwest::{Body, Certificate, Client};

use super::transport::{HttpBody, HttpFault, HttpRequest, HttpResponse, HttpTransport, Stage};

/// How a [`ReqwestTransport`] connects.
#[derive(Clone, Debug)]
pub struct ReqwestConfig {
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// Certificates in PEM that are trusted besides those of the system.
    pub extra_roots: Vec<Vec<u8>>,
    /// Connections kept open for each host.
    pub idle_per_host: usize,
}

impl Default for ReqwestConfig {
    fn default() -> Self {
        Self { connect_timeout: Duration::from_secs(20), extra_roots: Vec::new(), idle_per_host: 16 }
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
    /// let config = ReqwestConfig { extra_roots: vec![b"no certificate".to_vec()], ..ReqwestConfig::default() };
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
            .user_agent(concat!("mlops-azure/", env!("CARGO_PKG_VERSION")));
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
