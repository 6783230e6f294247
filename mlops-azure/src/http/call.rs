//! A call as data: what the builders of [`wire`](crate::wire) make and a [`Service`](super::Service) sends.

use std::marker::PhantomData;
use std::time::Duration;

use bytes::Bytes;
use mlops_core::{Error, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::retry::Repeat;

/// What a query may hold as it is: the unreserved characters of RFC 3986, and `$`, with which Resource Manager's begin.
const UNRESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'$');

/// A call to a service and the type of its answer. Nothing is sent by making one.
///
/// Its `Debug` shows neither the values of headers nor the body.
///
/// ```
/// use mlops_azure::http::{Call, Method};
/// let call: Call<serde_json::Value> = Call::get("example", "/subscriptions").query("api-version", "2022-12-01");
/// assert_eq!((call.method(), call.target()), (&Method::GET, "/subscriptions?api-version=2022-12-01".to_owned()));
/// ```
#[must_use]
pub struct Call<T> {
    pub(crate) operation: &'static str,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
    pub(crate) repeat: Repeat,
    pub(crate) settling: Option<Duration>,
    pub(crate) waits: bool,
    answer: PhantomData<fn() -> T>,
}

impl<T> Call<T> {
    /// A call without a body. `path` begins with `/` and is sent as it is: build it from checked segments.
    pub fn new(operation: &'static str, method: Method, path: impl Into<String>) -> Self {
        let repeat = if method == Method::POST { Repeat::Never } else { Repeat::Safe };
        Self {
            operation,
            method,
            path: path.into(),
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: None,
            repeat,
            settling: None,
            waits: true,
            answer: PhantomData,
        }
    }

    /// Reads.
    pub fn get(operation: &'static str, path: impl Into<String>) -> Self {
        Self::new(operation, Method::GET, path)
    }

    /// Removes. Repeated, it may find nothing any more.
    pub fn delete(operation: &'static str, path: impl Into<String>) -> Self {
        Self::new(operation, Method::DELETE, path)
    }

    /// Writes the whole of a resource.
    ///
    /// # Errors
    /// As of [`json`](Self::json).
    pub fn put(operation: &'static str, path: impl Into<String>, body: &impl Serialize) -> Result<Self> {
        Self::new(operation, Method::PUT, path).json(body)
    }

    /// Changes a part of a resource.
    ///
    /// # Errors
    /// As of [`json`](Self::json).
    pub fn patch(operation: &'static str, path: impl Into<String>, body: &impl Serialize) -> Result<Self> {
        Self::new(operation, Method::PATCH, path).json(body)
    }

    /// Does something. It is sent once, unless the service has certainly not taken it, or [`repeat`](Self::repeat) says
    /// otherwise.
    pub fn post(operation: &'static str, path: impl Into<String>) -> Self {
        Self::new(operation, Method::POST, path)
    }

    /// Sets the body.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a value that JSON cannot hold.
    pub fn json(mut self, body: &impl Serialize) -> Result<Self> {
        // The error of serde_json names types and not values.
        let text = serde_json::to_vec(body).map_err(|e| {
            Error::invalid(self.operation, "body", "cannot be written as JSON").with_source(e)
        })?;
        self.body = Some(text.into());
        self.headers.insert("content-type", HeaderValue::from_static("application/json"));
        Ok(self)
    }

    /// Sets a body that is written already.
    pub fn raw_body(mut self, body: impl Into<Bytes>, content_type: &'static str) -> Self {
        self.body = Some(body.into());
        self.headers.insert("content-type", HeaderValue::from_static(content_type));
        self
    }

    /// Adds a query parameter, not encoded.
    pub fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// Adds a header whose value is shown nowhere.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a value that no header can hold.
    pub fn header(mut self, name: HeaderName, value: &str) -> Result<Self> {
        let mut value = HeaderValue::from_str(value).map_err(|_| {
            Error::invalid(self.operation, "headers", "holds a character that no header can hold")
                .with("name", &name)
        })?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(self)
    }

    /// Says whether it may be sent twice: a POST may if it changes nothing, or carries a key by which the service knows it
    /// again.
    pub fn repeat(mut self, repeat: Repeat) -> Self {
        self.repeat = repeat;
        self
    }

    /// Tries again for so long if the service answers 403 or 404: a role or a resource that was made a moment ago is not yet
    /// known everywhere.
    pub fn settling(mut self, within: Duration) -> Self {
        self.settling = Some(within);
        self
    }

    /// Does not wait while another operation holds the resource, but says at once that it is
    /// [`ErrorKind::Busy`](mlops_core::ErrorKind::Busy): for a write of what was read, which must be read again after the other
    /// operation.
    pub fn unless_busy(mut self) -> Self {
        self.waits = false;
        self
    }

    /// The operation, as it is named in errors.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Path and query as they are sent.
    pub fn target(&self) -> String {
        let encode = |text| utf8_percent_encode(text, UNRESERVED).to_string();
        let pairs = self.query.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        match pairs.collect::<Vec<_>>().join("&").as_str() {
            "" => self.path.clone(),
            query => format!("{}?{query}", self.path),
        }
    }

    /// The body as it is sent.
    pub fn body(&self) -> Option<&Bytes> {
        self.body.as_ref()
    }

    /// The same call with another type of answer.
    pub fn answering<U: DeserializeOwned>(self) -> Call<U> {
        let Self { operation, method, path, query, headers, body, repeat, settling, waits, .. } = self;
        Call { operation, method, path, query, headers, body, repeat, settling, waits, answer: PhantomData }
    }
}

impl<T> std::fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call")
            .field("operation", &self.operation)
            .field("method", &self.method)
            .field("path", &self.path)
            .field("repeat", &self.repeat)
            .finish_non_exhaustive()
    }
}
