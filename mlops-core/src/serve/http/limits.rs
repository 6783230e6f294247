//! How much one server takes on.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::time::duration_text;

/// The bounds of a server: of what one caller may send, of how long they may take, and of how many are served at once.
///
/// Memory for requests is bounded by `max_buffered` for bodies as they were sent, and by a small multiple of `max_body` for each
/// of the `max_in_flight + max_waiting` requests that are read into tables; a connection that sends nothing costs a few kilobytes.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::serve::http::Limits;
///
/// let limits = Limits::default().with_max_body(64 * 1024).with_request_timeout(Duration::from_secs(5));
/// assert!(limits.check().is_ok());
/// assert!(limits.with_max_body(0).check().is_err());
/// let read: Limits = serde_json::from_str(r#"{"max_body": 1024, "body_timeout": "2s"}"#)?;
/// assert_eq!((read.max_body, read.body_timeout), (1024, Duration::from_secs(2)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The most bytes of one body. More is answered 413, before it is read where its length is announced. Default: 4 MiB.
    pub max_body: usize,
    /// The most bytes of all bodies that are being received. More is answered 503. Default: 256 MiB.
    pub max_buffered: usize,
    /// The most rows of one request. Default: 100 000.
    pub max_rows: usize,
    /// The most requests that are predicted at once. Default: 64.
    pub max_in_flight: usize,
    /// The most requests that wait for their turn; those beyond are answered 429. Default: 256.
    pub max_waiting: usize,
    /// The most open connections; those beyond are answered 503 and closed. Default: 16 384.
    pub max_connections: usize,
    /// From the first byte of a request to the end of its headers; then 408. Default: 10 s.
    #[serde(with = "duration_text")]
    pub header_timeout: Duration,
    /// From the end of the headers to the end of the body; then 408. Default: 30 s.
    #[serde(with = "duration_text")]
    pub body_timeout: Duration,
    /// From the end of the headers to the answer; then 504. A prediction that was begun is not broken off: it keeps its place
    /// among `max_in_flight` until it ends. Default: 60 s.
    #[serde(with = "duration_text")]
    pub request_timeout: Duration,
    /// How long a caller may take nothing of an answer; then the connection is closed. Default: 30 s.
    #[serde(with = "duration_text")]
    pub write_timeout: Duration,
    /// How long a connection may stay open with no request on it. Default: 75 s.
    #[serde(with = "duration_text")]
    pub idle_timeout: Duration,
    /// How long requests may take once the server was told to stop. Default: 30 s.
    #[serde(with = "duration_text")]
    pub drain_timeout: Duration,
    /// How long connections that are kept open may still send a request once the server was told to stop. Default: 500 ms.
    #[serde(with = "duration_text")]
    pub drain_grace: Duration,
    /// How often the server looks for changes of deployments and traffic. Default: 100 ms.
    #[serde(with = "duration_text")]
    pub refresh: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body: 4 << 20,
            max_buffered: 256 << 20,
            max_rows: 100_000,
            max_in_flight: 64,
            max_waiting: 256,
            max_connections: 16_384,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            drain_timeout: Duration::from_secs(30),
            drain_grace: Duration::from_millis(500),
            refresh: Duration::from_millis(100),
        }
    }
}

macro_rules! setters {
    ($($setter:ident $field:ident: $type:ty, $what:literal;)*) => {$(
        #[doc = concat!("Sets ", $what, ".")]
        #[must_use]
        pub fn $setter(mut self, $field: $type) -> Self {
            self.$field = $field;
            self
        }
    )*};
}

impl Limits {
    setters! {
        with_max_body max_body: usize, "the most bytes of one body";
        with_max_buffered max_buffered: usize, "the most bytes of all bodies that are being received";
        with_max_rows max_rows: usize, "the most rows of one request";
        with_max_in_flight max_in_flight: usize, "the most requests that are predicted at once";
        with_max_waiting max_waiting: usize, "the most requests that wait for their turn";
        with_max_connections max_connections: usize, "the most open connections";
        with_header_timeout header_timeout: Duration, "how long headers may take";
        with_body_timeout body_timeout: Duration, "how long a body may take";
        with_request_timeout request_timeout: Duration, "how long an answer may take";
        with_write_timeout write_timeout: Duration, "how long a caller may take nothing of an answer";
        with_idle_timeout idle_timeout: Duration, "how long a connection may be idle";
        with_drain_timeout drain_timeout: Duration, "how long requests may take at the end";
        with_drain_grace drain_grace: Duration, "how long open connections may send a request at the end";
        with_refresh refresh: Duration, "how often changes are looked for";
    }

    /// Checks every bound; a server checks them when it is built.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names a count of 0 or beyond 2³¹, a time of 0, or one of
    /// more than a day.
    pub fn check(&self) -> Result<()> {
        const OP: &str = "Limits::check";
        let counts = [
            ("max_body", self.max_body),
            ("max_buffered", self.max_buffered),
            ("max_rows", self.max_rows),
            ("max_in_flight", self.max_in_flight),
            ("max_connections", self.max_connections),
            ("max_waiting", self.max_waiting.saturating_add(1)),
        ];
        for (name, count) in counts {
            if count == 0 || count > 1 << 31 {
                return Err(Error::invalid(OP, name, "lies between 1 and 2^31").with("value", count));
            }
        }
        let times = [
            ("header_timeout", self.header_timeout),
            ("body_timeout", self.body_timeout),
            ("request_timeout", self.request_timeout),
            ("write_timeout", self.write_timeout),
            ("idle_timeout", self.idle_timeout),
            ("drain_timeout", self.drain_timeout),
            ("drain_grace", self.drain_grace),
            ("refresh", self.refresh),
        ];
        for (name, time) in times {
            if time.is_zero() || time > Duration::from_secs(86_400) {
                let error = Error::invalid(OP, name, "is longer than 0 and at most a day");
                return Err(error.with("value", format!("{time:?}")));
            }
        }
        Ok(())
    }
}
