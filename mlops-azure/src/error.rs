//! What Azure's answers mean: status, `error` body and `Retry-After`, turned into [`mlops_core::Error`].
//!
//! Azure Resource Manager answers `{"error":{"code","message","target","details","additionalInfo"}}`. Azure Machine Learning
//! puts the useful part into `additionalInfo`: a chain of inner codes (`BadArgument` → `MissingArgument`) and the ids that
//! support asks for. [`from_response`] surfaces all of it in the error's context.

use std::fmt;
use std::time::Duration;

use mlops_core::governance::Secret;
use mlops_core::time::Timestamp;
use mlops_core::{Error, ErrorKind};
use serde::Deserialize;
use serde_json::Value;

use crate::http::redact;
use crate::http::retry::is_transient;

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
    correlation_id: Option<&'a str>,
    retry_after: Option<Duration>,
    secrets: &'a [Secret],
}

impl<'a> Answer<'a> {
    /// A status and a body.
    pub fn new(status: u16, body: &'a [u8]) -> Self {
        Self { status, body, request_id: None, correlation_id: None, retry_after: None, secrets: &[] }
    }

    /// Adds the service's id of the request (`x-ms-request-id`).
    #[must_use]
    pub fn with_request_id(mut self, id: &'a str) -> Self {
        self.request_id = Some(id);
        self
    }

    /// Adds the id under which the service keeps what belongs to the request (`x-ms-correlation-request-id`).
    #[must_use]
    pub fn with_correlation_id(mut self, id: &'a str) -> Self {
        self.correlation_id = Some(id);
        self
    }

    /// Adds what may not appear in the error: a service may echo what it was sent.
    #[must_use]
    pub fn with_secrets(mut self, secrets: &'a [Secret]) -> Self {
        self.secrets = secrets;
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

/// The most details that are kept.
const MAX_DETAILS: usize = 16;

/// The longest text of the service that is kept, in characters.
const MAX_TEXT: usize = 4000;

/// What a service said of its error, in full: the source of the [`mlops_core::Error`] that [`from_response`] makes.
///
/// Texts are on one line, without secrets, and cut at 4000 characters.
///
/// ```
/// use mlops_azure::error::{Answer, ServiceError, from_response};
///
/// let body = br#"{"error":{"code":"UserError","message":"no","additionalInfo":[{"type":"InnerError","info":{"value":
///     {"code":"BadArgument","innerError":{"code":"MissingArgument"}}}}]}}"#;
/// let error = from_response("jobs", &Answer::new(400, body));
/// let said = ServiceError::of(&error).unwrap();
/// assert_eq!((said.code.as_deref(), said.inner.as_slice()), (Some("UserError"), &["BadArgument".to_owned(), "MissingArgument".to_owned()][..]));
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceError {
    /// The code, such as `UserError`.
    pub code: Option<String>,
    /// The message.
    pub message: Option<String>,
    /// What the error is about; without a query.
    pub target: Option<String>,
    /// The chain of inner codes, from the outermost on.
    pub inner: Vec<String>,
    /// Code and message of each detail.
    pub details: Vec<(String, String)>,
    /// The component that failed, such as `managementfrontend`.
    pub component: Option<String>,
    /// The ids under which the service's people find the request: of the operation, then of the request.
    pub correlation: Vec<String>,
    /// Where it failed.
    pub location: Option<String>,
    /// When it failed, by the service's clock.
    pub time: Option<Timestamp>,
}

impl ServiceError {
    /// What a service said, if that is where an error comes from.
    pub fn of(error: &Error) -> Option<&Self> {
        let mut source = std::error::Error::source(error);
        while let Some(below) = source {
            if let Some(said) = below.downcast_ref() {
                return Some(said);
            }
            source = below.source();
        }
        None
    }

    /// Whether the code or one of the inner codes is this one, in any case.
    pub fn has(&self, code: &str) -> bool {
        self.code.iter().chain(&self.inner).any(|c| c.eq_ignore_ascii_case(code))
    }

    /// Whether it has one of these codes.
    fn has_any(&self, codes: &[&str]) -> bool {
        codes.iter().any(|code| self.has(code))
    }

    /// Whether the code or one of the inner codes ends so, in any case.
    fn has_ending(&self, end: &str) -> bool {
        let ends = |code: &String| code.to_ascii_lowercase().ends_with(end);
        self.code.iter().chain(&self.inner).any(ends)
    }

    fn read(body: Body, secrets: &[Secret]) -> Self {
        let Body { error, correlation: ids, location: place, time: when, component: part } = body;
        let detail = error.unwrap_or_default();
        let text = |text: &str| redact::text(text, secrets, MAX_TEXT);
        let info = |name: &str| detail.info(name);
        let name = |value: &Value| value.as_str().map(text);
        // The control plane has these in its additional information, the services behind it beside the error.
        let correlation = info("Correlation").or(ids.as_ref()).map(|ids| {
            let id = |name: &str| ids.get(name).and_then(name_of).map(|id| text(&id));
            ["operation", "request"].into_iter().filter_map(id).collect()
        });
        let details = detail.details.iter().flatten().take(MAX_DETAILS).map(|d| {
            let part = |part: &Option<String>| text(part.as_deref().unwrap_or_default());
            (part(&d.code), part(&d.message))
        });
        Self {
            code: detail.code.as_deref().map(text),
            message: detail.message.as_deref().map(|m| text(m.trim_matches(['$', '"']))),
            // A target may be a URL with a signature in its query.
            target: detail.target.as_deref().map(|t| text(t.split('?').next().unwrap_or_default())),
            inner: inner_codes(&detail).iter().map(|code| text(code)).collect(),
            details: details.collect(),
            component: info("ComponentName").or(part.as_ref()).and_then(name),
            correlation: correlation.unwrap_or_default(),
            location: info("Location").or(place.as_ref()).and_then(name),
            time: info("Time").or(when.as_ref()).and_then(|t| t.as_str()?.parse().ok()),
        }
    }
}

fn name_of(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the service said: {}", self.code.as_deref().unwrap_or("an error without a code"))?;
        for code in &self.inner {
            write!(f, " > {code}")?;
        }
        if let Some(message) = &self.message {
            write!(f, ": {message}")?;
        }
        for (code, message) in &self.details {
            write!(f, "; {code}: {message}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ServiceError {}

/// What an error's body holds. Run history and its neighbours have what support asks for beside the error.
#[derive(Deserialize, Default)]
struct Body {
    #[serde(default)]
    error: Option<Detail>,
    #[serde(default)]
    correlation: Option<Value>,
    #[serde(default)]
    location: Option<Value>,
    #[serde(default)]
    time: Option<Value>,
    #[serde(default, rename = "componentName")]
    component: Option<Value>,
}

impl Body {
    /// The body of an answer, if it is one of Azure's errors: in Resource Manager's envelope, or without one, as the metrics of Azure
    /// Monitor have it.
    fn of(body: &[u8]) -> Option<Self> {
        let enveloped = serde_json::from_slice::<Self>(body).ok().filter(|body| body.error.is_some());
        let bare = || serde_json::from_slice::<Detail>(body).ok().filter(|detail| detail.code.is_some());
        enveloped.or_else(|| bare().map(|detail| Self { error: Some(detail), ..Self::default() }))
    }
}

#[derive(Deserialize, Default)]
struct Detail {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    target: Option<String>,
    #[serde(default)]
    details: Option<Vec<Part>>,
    #[serde(default, rename = "additionalInfo")]
    additional: Option<Vec<Additional>>,
    /// As Key Vault and storage have it (Microsoft's REST guidelines): a chain beside the code.
    #[serde(default, alias = "innerError")]
    innererror: Option<Value>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

impl Detail {
    /// What the additional information of a type says.
    fn info(&self, kind: &str) -> Option<&Value> {
        let infos = self.additional.iter().flatten();
        infos.filter(|a| a.kind.as_deref() == Some(kind)).find_map(|a| a.info.as_ref()?.get("value"))
    }
}

#[derive(Deserialize)]
struct Additional {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    info: Option<Value>,
}

/// Turns an answer that is not a success into an error.
///
/// The kind follows from the code where Azure's status is too coarse (409 is many things), else from the status. 409 is
/// [`ErrorKind::Busy`] if the code says that another operation holds the resource, or if the answer says when to come back; what
/// else says so only a look at the resource tells, which a [`Service`](crate::http::Service) takes. A body that
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
    let body = answer.body.get(..LIMIT).unwrap_or(answer.body);
    let parsed = Body::of(body);
    let understood = parsed.is_some();
    let said = ServiceError::read(parsed.unwrap_or_default(), answer.secrets);
    let kind = match kind_of(answer.status, &said, understood) {
        // Whoever is told when to come back is not told that it is in vain.
        ErrorKind::Conflict
            if answer.status == 409 && answer.retry_after.is_some() && !said.has_any(&DEFINITE) =>
        {
            ErrorKind::Busy
        }
        kind => kind,
    };
    told(kind, operation, said, answer)
}

/// The error of a conflict whose body does not say what it is, as that of a resource that is busy: of it the caller knows.
pub(crate) fn busy(operation: &'static str, answer: &Answer<'_>) -> Error {
    let said = ServiceError::read(Body::of(answer.body).unwrap_or_default(), answer.secrets);
    told(ErrorKind::Busy, operation, said, answer)
}

/// Whether an error is a conflict of which its body does not say whether another operation is its cause.
pub(crate) fn is_open_conflict(error: &Error) -> bool {
    let definite = ServiceError::of(error).is_some_and(|said| said.has_any(&DEFINITE));
    error.kind() == ErrorKind::Conflict && error.context("status") == Some("409") && !definite
}

fn told(kind: ErrorKind, operation: &'static str, said: ServiceError, answer: &Answer<'_>) -> Error {
    let mut error = described(kind, operation, said, answer);
    error = error.with("status", answer.status);
    if let Some(wait) = answer.retry_after {
        error = error.with("retry_after_ms", wait.as_millis());
    }
    error.with_retryable(kind.is_retryable() || answer.retry_after.is_some() || is_transient(answer.status))
}

/// Turns the error of a long-running operation that failed into one of this crate. Azure answers it with status 200: the status
/// says nothing, the code everything.
///
/// ```
/// use mlops_azure::error::{Answer, from_operation};
/// use mlops_core::ErrorKind;
///
/// let body = br#"{"status":"Failed","error":{"code":"OutOfQuota","message":"not enough cores"}}"#;
/// let error = from_operation("Deployer::deploy", "Failed", &Answer::new(200, body));
/// assert_eq!((error.kind(), error.context("state")), (ErrorKind::LimitExceeded, Some("Failed")));
/// ```
pub fn from_operation(operation: &'static str, state: &str, answer: &Answer<'_>) -> Error {
    let said = ServiceError::read(Body::of(answer.body).unwrap_or_default(), answer.secrets);
    let kind = match () {
        () if state.eq_ignore_ascii_case("canceled") || state.eq_ignore_ascii_case("cancelled") => {
            ErrorKind::Cancelled
        }
        () if ["OutOfQuota", "QuotaExceeded", "OutOfCapacity"].iter().any(|code| said.has(code)) => {
            ErrorKind::LimitExceeded
        }
        () if ["BadArgument", "BadParameter", "ValidationError", "ArgumentInvalid"]
            .iter()
            .any(|code| said.has(code)) =>
        {
            ErrorKind::InvalidInput
        }
        () if ["NotFound", "ResourceNotFound"].iter().any(|code| said.has(code)) => ErrorKind::NotFound,
        () if ["AuthorizationFailed", "Forbidden"].iter().any(|code| said.has(code)) => ErrorKind::Auth,
        () => ErrorKind::Rejected,
    };
    described(kind, operation, said, answer).with("state", state)
}

/// An error with what the service said in its context, and all of it as its source.
fn described(kind: ErrorKind, operation: &'static str, said: ServiceError, answer: &Answer<'_>) -> Error {
    const SHORT: usize = 160;
    let message = match &said.message {
        _ if (300..400).contains(&answer.status) => {
            "the service redirects, and redirects are not followed".to_owned()
        }
        Some(message) if !message.is_empty() => redact::text(message, &[], SHORT),
        _ => "the service answered with an error".to_owned(),
    };
    let mut error = Error::new(kind, operation, message);
    if let Some(code) = &said.code {
        error = error.with("code", code);
    }
    if !said.inner.is_empty() {
        error = error.with("inner", said.inner.join(" > "));
    }
    if let Some(target) = &said.target {
        error = error.with("target", target);
    }
    if let Some(id) = answer.request_id {
        error = error.with("request_id", id);
    }
    if let Some(id) = answer.correlation_id.or(said.correlation.first().map(String::as_str)) {
        error = error.with("correlation_id", id);
    }
    if let Some(time) = said.time {
        error = error.with("time", time.to_rfc3339());
    }
    match said == ServiceError::default() {
        true => error,
        false => error.with_source(said),
    }
}

/// Codes of 409 that say that another operation holds the resource, as services of Azure write them.
const BUSY: [&str; 6] = [
    "RetryableErrorDueToAnotherOperation",
    "AnotherOperationInProgress",
    "OperationInProgress",
    "StorageAccountOperationInProgress",
    "DeploymentActive",
    "RequestConflict",
];

/// Codes of 409 for which no waiting helps: locks, dependants, subscriptions and names that are not to be had.
const DEFINITE: [&str; 10] = [
    "ScopeLocked",
    "CannotDeleteResource",
    "ReadOnlyDisabledSubscription",
    "SubscriptionNotRegistered",
    "InvalidResourceLocation",
    "FlagMustBeSetForRestore",
    "ObjectIsDeletedButRecoverable",
    "ObjectIsBeingDeleted",
    "ObjectIsBeingRecovered",
    "ResourceGroupBeingDeleted",
];

fn kind_of(status: u16, said: &ServiceError, understood: bool) -> ErrorKind {
    let has = |name: &str| said.has(name);
    match status {
        _ if has("JobPropertyImmutable") || has("Immutable") => ErrorKind::AlreadyExists,
        300..=399 => ErrorKind::Protocol,
        400 | 422 => ErrorKind::InvalidInput,
        401 | 403 => ErrorKind::Auth,
        404 => ErrorKind::NotFound,
        408 | 504 => ErrorKind::Timeout,
        409 if said.has_any(&["RoleAssignmentExists", "ResourceExists"])
            || said.has_ending("alreadyexists") =>
        {
            ErrorKind::AlreadyExists
        }
        409 if has("MissingSubscriptionRegistration") => ErrorKind::Unsupported,
        409 if said.has_any(&BUSY) => ErrorKind::Busy,
        409 | 412 => ErrorKind::Conflict,
        413 => ErrorKind::LimitExceeded,
        // A scoring container failed on this request: the endpoint answered, the model did not.
        424 => ErrorKind::Internal,
        429 | 529 => ErrorKind::RateLimited,
        500 | 502 | 503 => ErrorKind::Transport,
        _ if understood => ErrorKind::Rejected,
        _ => ErrorKind::Protocol,
    }
}

fn inner_codes(detail: &Detail) -> Vec<String> {
    let mut codes = Vec::new();
    let mut next = detail.info("InnerError").or(detail.innererror.as_ref());
    while let Some(error) = next.filter(|_| codes.len() < MAX_CHAIN) {
        let Some(code) = error.get("code").and_then(|c| c.as_str()) else { break };
        codes.push(code.to_owned());
        next = error.get("innerError").or_else(|| error.get("innererror"));
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
            (409, "anotherOperationInProgress", ErrorKind::Busy, true),
            (409, "StorageAccountAlreadyExists", ErrorKind::AlreadyExists, false),
            (409, "ScopeLocked", ErrorKind::Conflict, false),
            (409, "Conflict", ErrorKind::Conflict, false),
            (404, "NotFound", ErrorKind::NotFound, false),
            (403, "AuthorizationFailed", ErrorKind::Auth, false),
            (429, "TooManyRequests", ErrorKind::RateLimited, true),
            (500, "ServiceError", ErrorKind::Transport, true),
            (504, "GatewayTimeout", ErrorKind::Timeout, true),
            (529, "Throttled", ErrorKind::RateLimited, true),
            (418, "Teapot", ErrorKind::Rejected, false),
        ] {
            let error = answer(status, &with_code(code));
            assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{status} {code}");
        }
    }

    #[test]
    fn a_code_without_an_envelope_is_read_too() {
        // As Azure Monitor answers; the text is from github.com/Azure/azure-sdk-for-net/issues/29584.
        let message = "Failed to find metric configuration for provider: microsoft.operationalinsights";
        let error = answer(400, &format!(r#"{{"code":"BadRequest","message":"{message}"}}"#));
        assert_eq!((error.kind(), error.message()), (ErrorKind::InvalidInput, message));
        assert_eq!(error.context("code"), Some("BadRequest"));
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

    #[test]
    fn everything_that_support_asks_for_is_kept() {
        let body = r#"{"error":{"code":"UserError","message":"m","details":[{"code":"A","message":"why sig=hunter2"}],
            "additionalInfo":[{"type":"ComponentName","info":{"value":"managementfrontend"}},
            {"type":"Correlation","info":{"value":{"operation":"op-1","request":"rq-1"}}},
            {"type":"Location","info":{"value":"eastus2"}},
            {"type":"Time","info":{"value":"2023-12-18T22:43:23.3580957+00:00"}}]}}"#;
        let error = answer(400, body);
        assert_eq!(error.context("correlation_id"), Some("op-1"));
        let said = ServiceError::of(&error).unwrap();
        assert_eq!(said.correlation, ["op-1", "rq-1"]);
        assert_eq!(
            (said.component.as_deref(), said.location.as_deref()),
            (Some("managementfrontend"), Some("eastus2"))
        );
        assert_eq!(said.time.map(|t| t.timestamp()), Some(1_702_939_403));
        assert_eq!(said.details, [("A".to_owned(), "why sig=(secret)".to_owned())]);
        assert!(ServiceError::of(&answer(400, "")).is_none());
    }

    /// The shape of run history and of the services behind the control plane.
    #[test]
    fn what_support_asks_for_is_read_beside_the_error_too() {
        let body = r#"{"error":{"code":"UserError","message":"m","innerError":{"code":"NotFoundError","innerError":null},
            "additionalInfo":null},"correlation":{"operation":"op-1","request":"rq-1"},"environment":"eastus2",
            "location":"eastus2","time":"2023-12-18T22:43:23.3580957+00:00","componentName":"RunHistory","statusCode":404}"#;
        let error = answer(404, body);
        assert_eq!(error.context("correlation_id"), Some("op-1"));
        assert_eq!(error.context("time"), Some("2023-12-18T22:43:23.358095700+00:00"));
        let said = ServiceError::of(&error).unwrap();
        assert_eq!(
            (said.correlation.as_slice(), said.inner.as_slice()),
            (&["op-1".to_owned(), "rq-1".to_owned()][..], &["NotFoundError".to_owned()][..])
        );
        assert_eq!(
            (said.component.as_deref(), said.location.as_deref()),
            (Some("RunHistory"), Some("eastus2"))
        );
        // What is of another kind than expected does not cost the rest.
        let odd = r#"{"error":{"code":"X","message":"m"},"correlation":7,"location":{},"time":"soon","componentName":null}"#;
        let said = ServiceError::of(&answer(404, odd)).unwrap().clone();
        assert_eq!((said.code.as_deref(), said.component, said.time), (Some("X"), None, None));
    }

    #[test]
    fn what_the_service_echoes_is_hidden() {
        let secrets = [Secret::new("hunter2hunter2")];
        let body = br#"{"error":{"code":"hunter2hunter2","message":"token hunter2hunter2","target":"x/hunter2hunter2",
            "details":[{"code":"hunter2hunter2","message":"hunter2hunter2"}]}}"#;
        let error = from_response("op", &Answer::new(400, body).with_secrets(&secrets));
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }

    #[test]
    fn a_failed_operation_is_told_by_its_code() {
        let failed = |code: &str, state: &str| {
            let body = format!(r#"{{"status":"{state}","error":{{"code":"{code}","message":"m"}}}}"#);
            from_operation("op", state, &Answer::new(200, body.as_bytes())).kind()
        };
        assert_eq!(failed("ModelRegistryError", "Failed"), ErrorKind::Rejected);
        assert_eq!(failed("BadArgument", "Failed"), ErrorKind::InvalidInput);
        assert_eq!(failed("x", "Canceled"), ErrorKind::Cancelled);
        assert_eq!(from_operation("op", "Failed", &Answer::new(200, b"")).kind(), ErrorKind::Rejected);
    }
}
