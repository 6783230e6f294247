//! What MLflow's answers mean: status and `{"error_code", "message"}`, turned into [`mlops_core::Error`].
//!
//! The status alone does not say it: what exists already is 400, so is an alias that does not exist, and 404 with a page of
//! HTML is an endpoint that this server does not have. The server's text is quoted, and cut before the SQL that it likes to
//! add.

use mlops_core::governance::Secret;
use mlops_core::{Error, ErrorKind};
use serde::Deserialize;

#[derive(Deserialize)]
struct Body {
    error_code: String,
    #[serde(default)]
    message: String,
}

/// Turns an answer that is not a success into an error; what is in `secrets` does not appear in it.
///
/// ```
/// use mlops_azure::mlflow::error::from_answer;
/// use mlops_core::ErrorKind;
///
/// let body = br#"{"error_code": "INVALID_PARAMETER_VALUE", "message": "Registered model alias zz not found."}"#;
/// let error = from_answer("ModelRegistry::get", 400, body, &[]);
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// ```
pub fn from_answer(operation: &'static str, status: u16, body: &[u8], secrets: &[Secret]) -> Error {
    const LIMIT: usize = 64 * 1024;
    let body = body.get(..LIMIT).unwrap_or(body);
    let Ok(parsed) = serde_json::from_slice::<Body>(body) else {
        return foreign(operation, status, body, secrets);
    };
    let kind = kind_of(status, &parsed.error_code, &parsed.message);
    let error = Error::new(kind, operation, said(&parsed.message, secrets))
        .with("status", status)
        .with("code", hide(&parsed.error_code, secrets));
    match conflicting_param(&parsed.message) {
        Some(key) => error.with("parameter", hide(key, secrets)),
        None => error,
    }
}

/// An answer that is not MLflow's: Azure Machine Learning's own, or somebody else's.
fn foreign(operation: &'static str, status: u16, body: &[u8], secrets: &[Secret]) -> Error {
    #[derive(Deserialize)]
    struct OfAzure {
        error: Said,
    }
    #[derive(Deserialize)]
    struct Said {
        #[serde(default)]
        message: String,
    }
    let Ok(OfAzure { error }) = serde_json::from_slice::<OfAzure>(body) else {
        return unreadable(operation, status);
    };
    let absent = status == 404 && error.message.contains("not implemented");
    match absent {
        true => unreadable(operation, status),
        false => crate::error::from_response(
            operation,
            &crate::error::Answer::new(status, body).with_secrets(secrets),
        ),
    }
}

fn unreadable(operation: &'static str, status: u16) -> Error {
    let (kind, message) = match status {
        300..=399 => (ErrorKind::Protocol, "the server redirects, and redirects are not followed"),
        401 | 403 => (ErrorKind::Auth, "the server does not let this client in"),
        404 | 405 | 501 => (ErrorKind::Unsupported, "the server has no such endpoint"),
        408 | 504 => (ErrorKind::Timeout, "the server did not answer in time"),
        413 => (ErrorKind::LimitExceeded, "the request is too large for the server"),
        429 => (ErrorKind::RateLimited, "the server asks to slow down"),
        500 | 502 | 503 => (ErrorKind::Transport, "the server is not available"),
        _ => (ErrorKind::Protocol, "the server's answer is not one of MLflow"),
    };
    Error::new(kind, operation, message).with("status", status)
}

fn kind_of(status: u16, code: &str, message: &str) -> ErrorKind {
    match code {
        "RESOURCE_DOES_NOT_EXIST" | "NOT_FOUND" => ErrorKind::NotFound,
        "ENDPOINT_NOT_FOUND" | "NOT_IMPLEMENTED" => ErrorKind::Unsupported,
        "RESOURCE_ALREADY_EXISTS" => ErrorKind::AlreadyExists,
        "RESOURCE_CONFLICT" | "ABORTED" | "INVALID_STATE" => ErrorKind::Conflict,
        "PERMISSION_DENIED" | "UNAUTHENTICATED" => ErrorKind::Auth,
        "REQUEST_LIMIT_EXCEEDED" => ErrorKind::RateLimited,
        "RESOURCE_LIMIT_EXCEEDED" => ErrorKind::LimitExceeded,
        "TEMPORARILY_UNAVAILABLE" => ErrorKind::Busy,
        "DEADLINE_EXCEEDED" => ErrorKind::Timeout,
        "INVALID_PARAMETER_VALUE" | "BAD_REQUEST" => kind_of_text(message),
        _ => match status {
            400 | 422 => ErrorKind::InvalidInput,
            401 | 403 => ErrorKind::Auth,
            404 => ErrorKind::NotFound,
            409 => ErrorKind::Conflict,
            429 => ErrorKind::RateLimited,
            500..=599 => ErrorKind::Transport,
            _ => ErrorKind::Protocol,
        },
    }
}

/// `INVALID_PARAMETER_VALUE` is many things, and only the text tells which.
fn kind_of_text(message: &str) -> ErrorKind {
    let says = |text: &str| message.contains(text);
    match () {
        () if is_race(message) => ErrorKind::Busy,
        () if says("Registered model alias") && says("not found") => ErrorKind::NotFound,
        () if says("Changing param values is not allowed") => ErrorKind::Conflict,
        () if says("must be in the 'active' state") || says("must be in 'active' state") => {
            ErrorKind::Conflict
        }
        () if says("exceeds the maximum length") || says("can contain at most") => ErrorKind::LimitExceeded,
        () => ErrorKind::InvalidInput,
    }
}

/// Whether two clients wrote the same row at the same moment: MLflow looks whether it is there, then inserts it, and answers
/// 400 with the database's own words to the one that came second. Once more, it finds the row.
fn is_race(message: &str) -> bool {
    const WORDS: [&str; 4] = [
        "UNIQUE constraint failed",
        "duplicate key value violates unique constraint",
        "Duplicate entry",
        "Cannot insert duplicate key",
    ];
    WORDS.iter().any(|words| message.contains(words))
}

/// The parameter that has another value already.
fn conflicting_param(message: &str) -> Option<&str> {
    let rest = message.strip_prefix("Changing param values is not allowed.")?;
    let start = ["'key': '", "key='"].iter().find_map(|mark| rest.split_once(mark))?.1;
    start.split_once('\'').map(|(key, _)| key)
}

/// The server's text as far as it is fit to be shown: its first line, before any SQL, without secrets, quoted.
fn said(message: &str, secrets: &[Secret]) -> String {
    let line = message.lines().next().unwrap_or_default();
    let end = ["[SQL", "Error: (", "(sqlite3.", "(psycopg2.", "(pymysql.", "(pyodbc.", "(Background on"];
    let end = end.iter().filter_map(|mark| line.find(mark)).min().unwrap_or(line.len());
    let text = hide(line.get(..end).unwrap_or_default().trim(), secrets);
    match text.is_empty() {
        true => "the server answered with an error".to_owned(),
        false => format!("the server said: {}", mlops_core::error::quote(&text)),
    }
}

/// A text without the secrets in it: a server may echo what it was sent.
fn hide(text: &str, secrets: &[Secret]) -> String {
    secrets.iter().map(Secret::expose).filter(|secret| !secret.is_empty()).fold(
        text.to_owned(),
        |text, secret| match text.contains(secret) {
            true => text.replace(secret, "(secret)"),
            false => text,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Error {
        from_answer("op", status, body.as_bytes(), &[Secret::new("hunter2")])
    }

    /// The bodies are answers of MLflow 3.17.2.
    #[test]
    fn answers_of_a_real_server_have_the_right_kind() {
        for (status, body, kind) in [
            (
                400,
                r#"{"error_code": "RESOURCE_ALREADY_EXISTS", "message": "Registered Model (name=m) already exists."}"#,
                ErrorKind::AlreadyExists,
            ),
            (
                404,
                r#"{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "No Experiment with id=999999 exists", "sqlstate": "KAM00"}"#,
                ErrorKind::NotFound,
            ),
            (
                400,
                r#"{"error_code": "INVALID_PARAMETER_VALUE", "message": "Registered model alias zz not found."}"#,
                ErrorKind::NotFound,
            ),
            (
                400,
                r#"{"error_code": "INVALID_PARAMETER_VALUE", "message": "A batch logging request can contain at most 1000 metrics. Got 1001 metrics."}"#,
                ErrorKind::LimitExceeded,
            ),
            (
                400,
                r#"{"error_code": "INVALID_PARAMETER_VALUE", "message": "Version alias name 'v1' is reserved."}"#,
                ErrorKind::InvalidInput,
            ),
            (
                501,
                r#"{"error_code": "NOT_IMPLEMENTED", "message": "Multipart upload is not supported for the current artifact repository"}"#,
                ErrorKind::Unsupported,
            ),
            (
                503,
                r#"{"error_code": "TEMPORARILY_UNAVAILABLE", "message": "database is locked"}"#,
                ErrorKind::Busy,
            ),
            (404, "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>", ErrorKind::Unsupported),
            (403, "Invalid Host header - possible DNS rebinding attack detected", ErrorKind::Auth),
            (302, "", ErrorKind::Protocol),
            (418, "{}", ErrorKind::Protocol),
            (500, r#"{"error_code": "INTERNAL_ERROR", "message": "x"}"#, ErrorKind::Transport),
        ] {
            assert_eq!(answer(status, body).kind(), kind, "{body}");
        }
    }

    #[test]
    fn answers_of_azure_are_told_from_pages_of_a_proxy() {
        let azure =
            |message: &str| format!(r#"{{"error": {{"code": "UserError", "message": "{message}"}}}}"#);
        for (status, body, kind) in [
            (404, azure("V3 API not implemented yet"), ErrorKind::Unsupported),
            (404, azure("Run r was not found"), ErrorKind::NotFound),
            (403, azure("no"), ErrorKind::Auth),
            (429, azure("slow down"), ErrorKind::RateLimited),
            (404, r#"{"error": "text"}"#.to_owned(), ErrorKind::Unsupported),
        ] {
            assert_eq!(answer(status, &body).kind(), kind, "{body}");
        }
        let error = answer(400, &azure("no user hunter2"));
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    /// The message is one of MLflow 2.22.5, shortened.
    #[test]
    fn two_that_wrote_at_once_may_try_again() {
        let message =
            "(sqlite3.IntegrityError) UNIQUE constraint failed: params.key, params.run_uuid\n[SQL: INSERT]";
        let body = serde_json::json!({"error_code": "BAD_REQUEST", "message": message}).to_string();
        let error = answer(400, &body);
        assert!(
            error.kind() == ErrorKind::Busy && error.is_retryable() && !error.to_string().contains("sqlite")
        );
        let other = body.replace("UNIQUE", "FOREIGN KEY");
        assert_eq!(answer(400, &other).kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn a_parameter_with_another_value_is_named() {
        for message in [
            "Changing param values is not allowed. Param with key='lr' was already logged with value='0.1' for run ID='c8'. Attempted logging new value '0.2'.",
            "Changing param values is not allowed. Params were already logged='[{'key': 'lr', 'old_value': '0.1', 'new_value': '9'}]' for run ID='c8'.",
        ] {
            let body = serde_json::json!({"error_code": "INVALID_PARAMETER_VALUE", "message": message});
            let error = answer(400, &body.to_string());
            assert_eq!((error.kind(), error.context("parameter")), (ErrorKind::Conflict, Some("lr")));
        }
    }

    #[test]
    fn neither_sql_nor_secrets_are_shown() {
        let message = "Experiment(name=p) already exists. Error: (sqlite3.IntegrityError) UNIQUE\n[SQL: INSERT INTO experiments]";
        let body = serde_json::json!({"error_code": "RESOURCE_ALREADY_EXISTS", "message": message});
        let shown = answer(400, &body.to_string()).to_string();
        assert!(
            shown.contains("already exists.") && !shown.contains("SQL") && !shown.contains("sqlite"),
            "{shown}"
        );
        let echo = r#"{"error_code": "BAD hunter2", "message": "no user with password hunter2"}"#;
        let error = answer(400, echo);
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        assert!(error.message().contains("(secret)"));
    }
}
