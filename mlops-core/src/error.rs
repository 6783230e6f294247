//! One error type for everything that talks to the world.
//!
//! # Design
//! Backends differ, callers do not: a service that holds an `Arc<dyn ModelRegistry>` wants to know *what kind* of thing
//! went wrong, *which operation* failed, *on what*, and *whether trying again may help*. So [`Error`] carries a coarse
//! [`ErrorKind`] to match on, the operation, context pairs, a retry flag and the source error; it never carries a secret.
//! Pure computations do not use it: they return the small `Copy` enum [`StatsError`](crate::num::StatsError).
//!
//! Values that came from outside are quoted with [`quote`]: escaped, at most 64 characters, so that a hostile name cannot
//! forge a log line.

use std::error::Error as StdError;
use std::fmt;

/// The result of an operation on a backend.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn StdError + Send + Sync + 'static>;

/// What kind of thing went wrong; match on this, never on the text.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// An argument is malformed or inconsistent; the context names it under `field`.
    InvalidInput,
    /// A documented limit (length, count, size) is exceeded; the context has `limit` and `got`.
    LimitExceeded,
    /// The thing named does not exist.
    NotFound,
    /// The thing to create exists already, with other content.
    AlreadyExists,
    /// The state is not the one the caller expected (compare-and-set lost, run already ended, in use).
    Conflict,
    /// Content does not hash to its digest.
    Integrity,
    /// Stored metadata cannot be read as what it should be.
    Corrupt,
    /// The storage below failed: no space, read-only, denied, I/O.
    Storage,
    /// Something else holds what is needed; it may be free later.
    Busy,
    /// The deadline passed before an answer came.
    Timeout,
    /// The caller cancelled.
    Cancelled,
    /// The network failed before an answer came.
    Transport,
    /// Not authenticated, or not allowed.
    Auth,
    /// The service asks to slow down.
    RateLimited,
    /// The peer answered something that does not follow the protocol.
    Protocol,
    /// This backend cannot do this; see its capabilities.
    Unsupported,
    /// A rule said no: a gate failed, an approval is missing, a policy denies.
    Rejected,
    /// A request that may not be repeated lost its answer: it may or may not have happened.
    UnknownOutcome,
    /// A defect of this library or a backend; please report it.
    Internal,
}

impl ErrorKind {
    /// Whether the same call may succeed later without anybody changing anything.
    ///
    /// ```
    /// use mlops_core::ErrorKind;
    /// assert!(ErrorKind::Busy.is_retryable());
    /// assert!(!ErrorKind::NotFound.is_retryable());
    /// // A lost answer to a call that may not be repeated is *not* retryable: look first.
    /// assert!(!ErrorKind::UnknownOutcome.is_retryable());
    /// ```
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Busy | Self::Timeout | Self::Transport | Self::RateLimited)
    }

    /// The kind in words, as it appears in messages.
    ///
    /// ```
    /// assert_eq!(mlops_core::ErrorKind::AlreadyExists.as_str(), "already exists");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid input",
            Self::LimitExceeded => "limit exceeded",
            Self::NotFound => "not found",
            Self::AlreadyExists => "already exists",
            Self::Conflict => "conflict",
            Self::Integrity => "integrity violation",
            Self::Corrupt => "corrupt data",
            Self::Storage => "storage failure",
            Self::Busy => "busy",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Transport => "transport failure",
            Self::Auth => "not authorised",
            Self::RateLimited => "rate limited",
            Self::Protocol => "protocol violation",
            Self::Unsupported => "unsupported",
            Self::Rejected => "rejected",
            Self::UnknownOutcome => "unknown outcome",
            Self::Internal => "internal error",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a backend returns when it could not do what was asked.
///
/// ```
/// use mlops_core::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::NotFound, "ModelRegistry::get", "no such model version")
///     .with("model", "churn")
///     .with("version", 3);
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// assert_eq!(error.context("model"), Some("churn"));
/// assert!(!error.is_retryable());
/// assert_eq!(
///     error.to_string(),
///     "ModelRegistry::get: not found: no such model version (model: churn, version: 3)"
/// );
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    operation: &'static str,
    message: String,
    context: Vec<(&'static str, String)>,
    retryable: bool,
    source: Option<Source>,
}

impl Error {
    /// An error of `kind` in `operation`, with a lower-case sentence that says what happened.
    pub fn new(kind: ErrorKind, operation: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            operation,
            message: message.into(),
            context: Vec::new(),
            retryable: kind.is_retryable(),
            source: None,
        }))
    }

    /// [`ErrorKind::InvalidInput`] about the argument `field`.
    ///
    /// ```
    /// let error = mlops_core::Error::invalid("split", "fraction", "must lie in (0, 1), got 1.5");
    /// assert_eq!(error.context("field"), Some("fraction"));
    /// ```
    pub fn invalid(operation: &'static str, field: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, operation, message).with("field", field)
    }

    /// [`ErrorKind::NotFound`] for a thing of type `what` called `name`.
    pub fn not_found(operation: &'static str, what: &'static str, name: impl fmt::Display) -> Self {
        Self::new(ErrorKind::NotFound, operation, format!("no such {what}")).with(what, name)
    }

    /// [`ErrorKind::Conflict`]: `expected` was asked for, `found` is there.
    pub fn conflict(
        operation: &'static str,
        message: impl Into<String>,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Self {
        Self::new(ErrorKind::Conflict, operation, message).with("expected", expected).with("found", found)
    }

    /// [`ErrorKind::LimitExceeded`]: `what` may be at most `limit`, `got` was sent.
    pub fn limit(
        operation: &'static str,
        what: &'static str,
        limit: impl fmt::Display,
        got: impl fmt::Display,
    ) -> Self {
        Self::new(ErrorKind::LimitExceeded, operation, format!("{what} is over its limit"))
            .with("limit", limit)
            .with("got", got)
    }

    /// [`ErrorKind::Unsupported`]: this backend does not have `capability`.
    pub fn unsupported(operation: &'static str, capability: &'static str) -> Self {
        Self::new(ErrorKind::Unsupported, operation, "this backend does not support it")
            .with("capability", capability)
    }

    /// Adds a context pair. The value is escaped and cut with [`quote`]; never pass a secret.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((key, quote(&value.to_string())));
        self
    }

    /// Keeps the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Overrides whether a retry may help, where a backend knows better than the kind.
    #[must_use]
    pub fn with_retryable(mut self, retryable: bool) -> Self {
        self.0.retryable = retryable;
        self
    }

    /// The kind to match on.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The operation that failed, as `Trait::method` or a function's name.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// What happened, without operation, kind and context.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The first context value under `key`.
    pub fn context(&self, key: &str) -> Option<&str> {
        self.0.context.iter().find(|(k, _)| *k == key).map(|(_, v)| v.as_str())
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.0.operation, self.0.kind, self.0.message)?;
        for (i, (key, value)) in self.0.context.iter().enumerate() {
            write!(f, "{}{key}: {value}", if i == 0 { " (" } else { ", " })?;
        }
        if self.0.context.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Error");
        out.field("kind", &self.0.kind)
            .field("operation", &self.0.operation)
            .field("message", &self.0.message)
            .field("context", &self.0.context)
            .field("retryable", &self.0.retryable);
        if let Some(source) = &self.0.source {
            out.field("source", source);
        }
        out.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|s| s as &(dyn StdError + 'static))
    }
}

/// What cannot fail has no error; so that a table can be taken wherever something becomes one.
impl From<std::convert::Infallible> for Error {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

/// Quotes a value from outside for a message: control, bidirectional and invisible characters are escaped, and what is
/// longer than 64 characters is cut and says so.
///
/// ```
/// use mlops_core::error::quote;
/// assert_eq!(quote("churn"), "churn");
/// assert_eq!(quote("a\nb\u{202e}c"), r"a\nb\u{202e}c");
/// assert_eq!(quote(&"x".repeat(70)).chars().filter(|c| *c == 'x').count(), 64);
/// ```
pub fn quote(value: &str) -> String {
    const LIMIT: usize = 64;
    let mut out = String::new();
    let mut written = 0;
    for c in value.chars() {
        let piece: String = if needs_escape(c) { c.escape_default().collect() } else { c.into() };
        let width = piece.chars().count();
        if written + width > LIMIT {
            out.push('…');
            break;
        }
        written += width;
        out.push_str(&piece);
    }
    out
}

/// Control characters, line and paragraph separators, bidirectional controls, zero-width characters, byte-order mark, tags.
pub(crate) fn needs_escape(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_value_cannot_forge_a_log_line() {
        let error = Error::not_found("op", "model", "x\r\n2026-01-01 INFO granted\u{1b}[2J\0");
        let shown = error.to_string();
        assert!(!shown.contains(['\n', '\r', '\u{1b}', '\0']), "{shown}");
        assert!(format!("{error:?}").lines().count() == 1);
    }

    #[test]
    fn a_long_value_is_cut_to_64_characters() {
        let error = Error::invalid("op", "name", "too long").with("value", "é".repeat(10_000));
        assert_eq!(error.context("value").map(|v| v.chars().count()), Some(65));
    }

    #[test]
    fn the_source_is_kept_and_reachable() {
        let error = Error::new(ErrorKind::Storage, "op", "cannot write")
            .with_source(std::io::Error::other("no space left"));
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("no space left"));
    }

    #[test]
    fn the_retry_flag_follows_the_kind_unless_overridden() {
        for (kind, expected) in [
            (ErrorKind::Busy, true),
            (ErrorKind::Timeout, true),
            (ErrorKind::Transport, true),
            (ErrorKind::RateLimited, true),
            (ErrorKind::Conflict, false),
            (ErrorKind::UnknownOutcome, false),
            (ErrorKind::Integrity, false),
        ] {
            assert_eq!(Error::new(kind, "op", "m").is_retryable(), expected, "{kind}");
        }
        assert!(Error::new(ErrorKind::Storage, "op", "m").with_retryable(true).is_retryable());
    }
}
