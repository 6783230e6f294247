//! What callers are told when they get no prediction.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::deploy::RequestOutcome;
use crate::error::{Error, ErrorKind, quote};

macro_rules! codes {
    ($($name:ident $text:literal $status:ident,)*) => {
        /// Why there is no prediction, for programs. The list is closed: metrics count by it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Code { $($name,)* }

        impl Code {
            pub(super) const ALL: &[Self] = &[$(Self::$name,)*];

            pub(super) const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }
        }
    };
}

codes! {
    MalformedJson "malformed_json" BAD_REQUEST,
    InvalidInput "invalid_input" BAD_REQUEST,
    IncompleteBody "incomplete_body" BAD_REQUEST,
    Unauthorized "unauthorized" UNAUTHORIZED,
    NotFound "not_found" NOT_FOUND,
    UnknownEndpoint "unknown_endpoint" NOT_FOUND,
    UnknownDeployment "unknown_deployment" NOT_FOUND,
    NoTraffic "no_traffic" NOT_FOUND,
    MethodNotAllowed "method_not_allowed" METHOD_NOT_ALLOWED,
    RequestTimeout "request_timeout" REQUEST_TIMEOUT,
    BodyTooLarge "body_too_large" PAYLOAD_TOO_LARGE,
    UnsupportedMediaType "unsupported_media_type" UNSUPPORTED_MEDIA_TYPE,
    WrongHost "wrong_host" MISDIRECTED_REQUEST,
    TooManyRequests "too_many_requests" TOO_MANY_REQUESTS,
    ModelFailed "model_failed" INTERNAL_SERVER_ERROR,
    Internal "internal" INTERNAL_SERVER_ERROR,
    NotReady "not_ready" SERVICE_UNAVAILABLE,
    Overloaded "overloaded" SERVICE_UNAVAILABLE,
    AnswerTimeout "answer_timeout" GATEWAY_TIMEOUT,
}

impl Code {
    /// Whose fault it was: that there is no traffic, no place and no model is not the caller's.
    pub(super) fn outcome(self) -> RequestOutcome {
        match self {
            Self::NoTraffic
            | Self::TooManyRequests
            | Self::ModelFailed
            | Self::Internal
            | Self::NotReady
            | Self::Overloaded
            | Self::AnswerTimeout => RequestOutcome::Failed,
            Self::MalformedJson
            | Self::InvalidInput
            | Self::IncompleteBody
            | Self::Unauthorized
            | Self::NotFound
            | Self::UnknownEndpoint
            | Self::UnknownDeployment
            | Self::MethodNotAllowed
            | Self::RequestTimeout
            | Self::BodyTooLarge
            | Self::UnsupportedMediaType
            | Self::WrongHost => RequestOutcome::Refused,
        }
    }
}

/// Whose shape an error is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `{"error": {"code", "message", "details"}}`.
    #[default]
    Plain,
    /// The same, and `error_code` and `message` beside it, where clients of MLflow look.
    Mlflow,
    /// `{"error": MESSAGE, "code", "details"}`: the Open Inference Protocol wants a text there.
    Open,
}

/// A request that gets no prediction.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) code: Code,
    message: String,
    details: Map<String, Value>,
    retry_after: Option<u32>,
    /// The rest of the request was not read: the connection cannot be used again.
    close: bool,
}

impl Failure {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Map::new(), retry_after: None, close: false }
    }

    pub(super) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }

    /// A text from outside, escaped and cut.
    pub(super) fn quoting(self, key: &str, value: &str) -> Self {
        self.with(key, quote(value))
    }

    pub(super) fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    pub(super) fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// What a model's error means to its caller. Only what is wrong with the rows is told; the rest is the server's own affair.
    pub(super) fn of_model(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidInput | ErrorKind::LimitExceeded => {
                let failure = Self::new(Code::InvalidInput, error.message());
                ["field", "column", "row", "limit", "got"].into_iter().fold(failure, |failure, key| {
                    match error.context(key) {
                        Some(value) => {
                            failure.with(key, value.parse::<u64>().map_or(json!(quote(value)), Value::from))
                        }
                        None => failure,
                    }
                })
            }
            ErrorKind::Busy | ErrorKind::RateLimited => {
                Self::new(Code::Overloaded, "the model has no time now").retry_after(1)
            }
            _ => Self::new(Code::ModelFailed, "the model failed"),
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.code.status()
    }

    pub(super) fn body(&self, dialect: Dialect) -> Value {
        let (code, message, details) = (self.code.as_str(), &self.message, &self.details);
        match dialect {
            Dialect::Plain => json!({"error": {"code": code, "message": message, "details": details}}),
            Dialect::Mlflow => json!({
                "error_code": if self.status().is_client_error() { "BAD_REQUEST" } else { "INTERNAL_ERROR" },
                "message": message,
                "error": {"code": code, "message": message, "details": details},
            }),
            Dialect::Open => json!({"error": message, "code": code, "details": details}),
        }
    }

    pub(super) fn into_response(self, dialect: Dialect) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body(dialect).to_string()));
        *response.status_mut() = self.status();
        response.extensions_mut().insert(self.code);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.code == Code::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.code == Code::ModelFailed {
            headers.insert("ms-azureml-model-error-statuscode", HeaderValue::from_static("500"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
