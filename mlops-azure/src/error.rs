//! What Azure's answers mean: status, `error` body and `Retry-After`, turned into [`mlops_core::Error`].
//!
//! Azure Resource Manager answers `{"error":{"code","message","target","details","additionalInfo"}}`. Azure Machine Learning
//! puts the useful part into `additionalInfo`: a chain of inner codes (`BadArgument` → `MissingArgument`) and the ids that
//! support asks for. [`from_response`] surfaces all of it in the error's context.

use std::time::Duration;

use mlops_core::{Error, ErrorKind};
use serde::Deserialize;

/// An answer that is not a success, without its transport: status, the headers that matter, and the body.
///
/// ```
/// use mlops_azure::error::{Answer, from_response};
/// use mlops_core::ErrorKind;
///
/// let body = br#"{"error":{"code":"NotFound","message":"The specified resource was not found."}}"#;
/// let error = from_response("ModelRegistry::get", &Answer::new(404, body).with_request_id("3689"));
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// assert_eq!(error.context("code"), Some("NotFound"));
/// ```
#[derive(Clone, Debug)]
pub struct Answer<'a> {
    status: u16,
    body: &'a [u8],
    request_id: Option<&'a str>,
    retry_after: Option<Duration>,
}

impl<'a> Answer<'a> {
    /// A status and a body.
    pub fn new(status: u16, body: &'a [u8]) -> Self {
        Self { status, body, request_id: None, retry_after: None }
    }

    /// Adds the service's id of the request (`x-ms-request-id`).
    #[must_use]
    pub fn with_request_id(mut self, id: &'a str) -> Self {
        self.request_id = Some(id);
        self
    }

    /// Adds how long the service asks to wait.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }
}

/// The longest chain of inner errors that is followed.
const MAX_CHAIN: usize = 8;

#[derive(Deserialize, Default)]
struct Body {
    #[serde(default)]
    error: Option<Detail>,
}

#[derive(Deserialize, Default)]
struct Detail {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    target: Option<String>,
    #[serde(default, rename = "additionalInfo")]
    additional: Option<Vec<Additional>>,
}

#[derive(Deserialize)]
struct Additional {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    info: Option<serde_json::Value>,
}

/// Turns an answer that is not a success into an error.
///
/// The kind follows from the code where Azure's status is too coarse (409 is many things), else from the status. A body that
/// is not Azure's error shape is [`ErrorKind::Protocol`] unless the status says enough. Bodies are read to 64 KiB.
///
/// ```
/// use mlops_azure::error::{Answer, from_response};
/// use mlops_core::ErrorKind;
///
/// let error = from_response("jobs", &Answer::new(429, b"").with_retry_after(std::time::Duration::from_secs(7)));
/// assert!(error.is_retryable());
/// assert_eq!(error.context("retry_after_ms"), Some("7000"));
/// ```
pub fn from_response(operation: &'static str, answer: &Answer<'_>) -> Error {
    const LIMIT: usize = 64 * 1024;
    let body = &answer.body[..answer.body.len().min(LIMIT)];
    let parsed = serde_json::from_slice::<Body>(body).ok().and_then(|b| b.error);
    let understood = parsed.is_some();
    let detail = parsed.unwrap_or_default();
    let inner = inner_codes(&detail);
    let kind = kind_of(answer.status, detail.code.as_deref(), &inner, understood);
    let message = detail.message.as_deref().map_or_else(
        || "the service answered with an error".to_owned(),
        |m| mlops_core::error::quote(m.trim_matches(['$', '"'])),
    );
    let mut error = Error::new(kind, operation, message).with("status", answer.status);
    if let Some(code) = &detail.code {
        error = error.with("code", code);
    }
    if !inner.is_empty() {
        error = error.with("inner", inner.join(" > "));
    }
    if let Some(target) = &detail.target {
        // A target may be a URL with a signature in its query.
        error = error.with("target", target.split('?').next().unwrap_or_default());
    }
    if let Some(id) = answer.request_id {
        error = error.with("request_id", id);
    }
    if let Some(wait) = answer.retry_after {
        error = error.with("retry_after_ms", wait.as_millis());
    }
    error.with_retryable(kind.is_retryable() || answer.retry_after.is_some() || is_transient(answer.status))
}

fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

fn kind_of(status: u16, code: Option<&str>, inner: &[String], understood: bool) -> ErrorKind {
    let has = |name: &str| code == Some(name) || inner.iter().any(|c| c == name);
    match status {
        _ if has("JobPropertyImmutable") || has("Immutable") => ErrorKind::AlreadyExists,
        400 | 422 => ErrorKind::InvalidInput,
        401 | 403 => ErrorKind::Auth,
        404 => ErrorKind::NotFound,
        408 | 504 => ErrorKind::Timeout,
        409 if has("RoleAssignmentExists") || has("ResourceExists") => ErrorKind::AlreadyExists,
        409 if has("MissingSubscriptionRegistration") => ErrorKind::Unsupported,
        409 if has("RetryableErrorDueToAnotherOperation") => ErrorKind::Busy,
        409 | 412 => ErrorKind::Conflict,
        413 => ErrorKind::LimitExceeded,
        // A scoring container failed on this request: the endpoint answered, the model did not.
        424 => ErrorKind::Internal,
        429 => ErrorKind::RateLimited,
        500 | 502 | 503 => ErrorKind::Transport,
        _ if understood => ErrorKind::Rejected,
        _ => ErrorKind::Protocol,
    }
}

fn inner_codes(detail: &Detail) -> Vec<String> {
    let infos = detail.additional.iter().flatten();
    let inner = infos.filter(|a| a.kind.as_deref() == Some("InnerError")).find_map(|a| a.info.as_ref());
    let mut codes = Vec::new();
    let mut next = inner.and_then(|info| info.get("value"));
    while let Some(error) = next.filter(|_| codes.len() < MAX_CHAIN) {
        let Some(code) = error.get("code").and_then(|c| c.as_str()) else { break };
        codes.push(code.to_owned());
        next = error.get("innerError");
    }
    codes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Error {
        from_response("op", &Answer::new(status, body.as_bytes()))
    }

    #[test]
    fn the_chain_of_inner_codes_reaches_the_caller() {
        let body = r#"{"error":{"code":"UserError","message":"$\"The value for '.emails' is missing.\"",
            "additionalInfo":[{"type":"ComponentName","info":{"value":"managementfrontend"}},
            {"type":"InnerError","info":{"value":{"code":"BadArgument","innerError":{"code":"ArgumentInvalid",
            "innerError":{"code":"MissingArgument","innerError":null}}}}}]}}"#;
        let error = answer(400, body);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.context("inner"), Some("BadArgument > ArgumentInvalid > MissingArgument"));
        assert_eq!(error.message(), "The value for '.emails' is missing.");
    }

    #[test]
    fn one_status_means_several_things_and_the_code_tells_which() {
        let with_code = |code: &str| format!(r#"{{"error":{{"code":"{code}","message":"m"}}}}"#);
        for (status, code, kind, retryable) in [
            (409, "MissingSubscriptionRegistration", ErrorKind::Unsupported, false),
            (409, "RoleAssignmentExists", ErrorKind::AlreadyExists, false),
            (409, "RetryableErrorDueToAnotherOperation", ErrorKind::Busy, true),
            (409, "Conflict", ErrorKind::Conflict, false),
            (404, "NotFound", ErrorKind::NotFound, false),
            (403, "AuthorizationFailed", ErrorKind::Auth, false),
            (429, "TooManyRequests", ErrorKind::RateLimited, true),
            (500, "ServiceError", ErrorKind::Transport, true),
            (504, "GatewayTimeout", ErrorKind::Timeout, true),
            (418, "Teapot", ErrorKind::Rejected, false),
        ] {
            let error = answer(status, &with_code(code));
            assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{status} {code}");
        }
    }

    #[test]
    fn bodies_that_are_no_error_bodies_do_no_harm() {
        for body in ["", "<html>", "null", "[]", r#"{"error":"text"}"#, r#"{"error":{"code":7}}"#, "{"] {
            let error = answer(418, body);
            assert_eq!(error.kind(), ErrorKind::Protocol, "{body}");
        }
        let endless = format!(r#"{{"error":{{"message":"{}"}}}}"#, "x".repeat(100_000));
        assert!(answer(400, &endless).to_string().len() < 300);
    }

    #[test]
    fn a_signature_in_a_target_is_not_shown() {
        let body = r#"{"error":{"code":"X","message":"m","target":"https://host/path?sig=SECRET"}}"#;
        let shown = format!("{0} {0:?}", answer(400, body));
        assert!(!shown.contains("SECRET") && shown.contains("https://host/path"), "{shown}");
    }
}
