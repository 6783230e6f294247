//! A transport that answers what it is told, and a source of tokens that counts. Nothing leaves the process, so that hours of
//! paused time cost milliseconds.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mlops_azure::auth::{AccessToken, Scope, TokenSource};
use mlops_azure::config::{Cloud, Endpoints};
use mlops_azure::http::{
    HeaderMap, HttpBody, HttpFault, HttpRequest, HttpResponse, HttpTransport, RetryPolicy, Service,
    ServiceBuilder, Stage,
};
use mlops_core::Result;
use mlops_core::time::Timestamp;

/// What nobody but the service may see.
pub const CANARY: &str = "canary-5f2c8a17-do-not-print";

/// A subscription that is one.
pub const SUBSCRIPTION: &str = "/subscriptions/01234567-89ab-cdef-0123-456789abcdef";

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub url: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub timeout: Duration,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Method and what comes after the host.
    pub fn line(&self) -> String {
        let path = self.url.splitn(4, '/').nth(3).unwrap_or_default();
        format!("{} /{path}", self.method)
    }
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Step {
    Answer(u16, Vec<(&'static str, String)>, String),
    /// It is sent, and the connection breaks.
    Lost,
    /// No connection comes about.
    Unreachable,
    /// No answer comes until the request's own deadline.
    Silence,
}

/// An answer in JSON.
pub fn json(status: u16, body: &str) -> Step {
    Step::Answer(status, vec![("content-type", "application/json".to_owned())], body.to_owned())
}

/// An answer with headers.
pub fn with(status: u16, headers: &[(&'static str, &str)], body: &str) -> Step {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Step::Answer(status, headers, body.to_owned())
}

type Script = dyn FnMut(usize, &Seen) -> Step + Send;

/// The transport.
pub struct Memory {
    script: Mutex<Box<Script>>,
    seen: Mutex<Vec<Seen>>,
}

impl Memory {
    /// The script is given how many requests came before, and the request.
    pub fn new(script: impl FnMut(usize, &Seen) -> Step + Send + 'static) -> Arc<Self> {
        Arc::new(Self { script: Mutex::new(Box::new(script)), seen: Mutex::default() })
    }

    /// One step for each request; the last one repeats.
    pub fn steps(steps: Vec<Step>) -> Arc<Self> {
        Self::new(move |n, _| steps[n.min(steps.len() - 1)].clone())
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn lines(&self) -> Vec<String> {
        self.seen().iter().map(Seen::line).collect()
    }

    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

#[async_trait]
impl HttpTransport for Memory {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpFault> {
        let body = match &request.body {
            HttpBody::Bytes(bytes) => bytes.to_vec(),
            _ => Vec::new(),
        };
        let seen = Seen {
            method: request.method.to_string(),
            url: request.url.to_string(),
            headers: request.headers.clone(),
            body,
            timeout: request.timeout,
        };
        let step = {
            let mut all = self.seen.lock().unwrap();
            let before = all.len();
            all.push(seen.clone());
            (self.script.lock().unwrap())(before, &seen)
        };
        let fault = |stage, timeout| Err(HttpFault::new(stage, timeout, std::io::Error::other("scripted")));
        match step {
            Step::Answer(status, pairs, body) => {
                let mut headers = HeaderMap::new();
                for (name, value) in pairs {
                    headers.insert(name, value.parse().unwrap());
                }
                Ok(HttpResponse::new(status, headers, bytes::Bytes::from(body).into()))
            }
            Step::Lost => fault(Stage::Answer, false),
            Step::Unreachable => fault(Stage::Connect, false),
            Step::Silence => {
                tokio::time::sleep(request.timeout).await;
                fault(Stage::Answer, true)
            }
        }
    }
}

/// A source whose every token is another one, with the canary in it.
#[derive(Debug)]
pub struct Tokens {
    pub asked: AtomicUsize,
    pub refused: Mutex<Vec<String>>,
    pub expires_at: Mutex<Timestamp>,
}

impl Tokens {
    pub fn new() -> Arc<Self> {
        let expires_at = Mutex::new("2100-01-01T00:00:00Z".parse().unwrap());
        Arc::new(Self { asked: AtomicUsize::new(0), refused: Mutex::default(), expires_at })
    }

    pub fn count(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl TokenSource for Tokens {
    async fn token(&self, _: &Scope) -> Result<AccessToken> {
        let number = self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(AccessToken::new(format!("{CANARY}-{number}"), *self.expires_at.lock().unwrap()))
    }

    async fn refuse(&self, _: &Scope, token: &AccessToken) {
        self.refused.lock().unwrap().push(token.secret.expose().to_owned());
    }
}

/// A policy whose waits are small and the same in every run.
pub fn quick() -> RetryPolicy {
    RetryPolicy::default().with_attempts(4).with_seed(1).with_deadline(Duration::from_secs(300))
}

/// Resource Manager over a transport.
pub fn builder(transport: &Arc<Memory>, tokens: &Arc<Tokens>) -> ServiceBuilder {
    Service::resource_manager(&Endpoints::of(Cloud::Public).unwrap(), tokens.clone())
        .transport(transport.clone())
        .retry(quick())
}

pub fn service(transport: &Arc<Memory>) -> Service {
    builder(transport, &Tokens::new()).build().unwrap()
}

/// Everything that an error shows, and what is below it.
pub fn shown(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = format!("{error} {error:?}");
    let mut below = error.source();
    while let Some(inner) = below {
        text.push_str(&format!(" {inner} {inner:?}"));
        below = inner.source();
    }
    text
}
