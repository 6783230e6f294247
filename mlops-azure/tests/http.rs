//! The client against a server that misbehaves: what is tried again, what is not, and what never leaks.

mod scripted;

use std::time::Duration;

use mlops_azure::http::{HeaderMap, HttpBody, Method, Repeat, RetryPolicy};
use mlops_azure::mlflow::{Dialect, MlflowAuth, MlflowClient, RawCall};
use mlops_core::artifact::ByteStream;
use mlops_core::governance::Secret;
use mlops_core::{Error, ErrorKind, Result};
use scripted::{Scripted, Step, answer, ok};
use serde_json::{Value, json};

const CANARY: &str = "canary-5f2c8a17";
const OP: &str = "test";

/// A policy that waits for nothing.
fn quick() -> RetryPolicy {
    RetryPolicy::default().with_attempts(4).with_initial(Duration::ZERO).with_budget(Duration::from_secs(60))
}

fn client(url: &str) -> MlflowClient {
    let auth = MlflowAuth::Bearer(Secret::new(CANARY));
    MlflowClient::builder(url).auth(auth).retry(quick()).timeout(Duration::from_secs(20)).build().unwrap()
}

async fn get(server: &Scripted) -> Result<Value> {
    client(&server.url()).get(OP, "mlflow/runs/get", &[("run_id", "1")]).await
}

async fn post(server: &Scripted, repeat: Repeat) -> Result<Value> {
    client(&server.url()).post(OP, "mlflow/runs/create", &json!({ "experiment_id": "0" }), repeat).await
}

#[track_caller]
fn silent(error: &Error) {
    let mut shown = format!("{error} {error:?}");
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        shown.push_str(&format!(" {inner} {inner:?}"));
        source = inner.source();
    }
    assert!(!shown.contains(CANARY), "{shown}");
}

#[tokio::test]
async fn what_may_be_repeated_is_tried_again_until_it_succeeds() {
    for status in [408, 429, 500, 502, 503, 504, 529] {
        let server =
            Scripted::start(vec![answer(status, &[], ""), answer(status, &[], ""), ok(r#"{"a": 1}"#)]).await;
        assert_eq!(get(&server).await.unwrap(), json!({ "a": 1 }), "{status}");
        assert_eq!(server.seen().len(), 3, "{status}");
    }
    for step in [Step::Hangup, Step::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf".to_vec())] {
        let server = Scripted::start(vec![step, ok("{}")]).await;
        assert_eq!(post(&server, Repeat::Safe).await.unwrap(), json!({}));
        let seen = server.seen();
        assert_eq!((seen.len(), &seen[0]), (2, &seen[1]), "the same request");
    }
}

#[tokio::test]
async fn two_that_wrote_at_once_are_not_told_of_it() {
    let message = "(sqlite3.IntegrityError) UNIQUE constraint failed: params.key";
    let race = answer(400, &[], &json!({ "error_code": "BAD_REQUEST", "message": message }).to_string());
    let server = Scripted::start(vec![race.clone(), race.clone(), ok("{}")]).await;
    assert!(post(&server, Repeat::Safe).await.is_ok());
    assert_eq!(server.seen().len(), 3);
    let server = Scripted::start(vec![race]).await;
    assert_eq!(post(&server, Repeat::Safe).await.unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(server.seen().len(), 4);
    assert_eq!(post(&server, Repeat::Never).await.unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(server.seen().len(), 5);
}

#[tokio::test]
async fn trying_again_has_an_end() {
    let server = Scripted::start(vec![answer(503, &[], "")]).await;
    let error = get(&server).await.unwrap_err();
    assert_eq!((error.kind(), server.seen().len()), (ErrorKind::Transport, 4));
    let server = Scripted::start(vec![Step::Hangup]).await;
    let error = get(&server).await.unwrap_err();
    assert_eq!((error.kind(), error.context("attempts")), (ErrorKind::Transport, Some("4")));
    assert!(error.is_retryable());
    // A budget that is spent ends it sooner.
    let policy = quick().with_budget(Duration::ZERO);
    let server = Scripted::start(vec![answer(503, &[], "")]).await;
    let client = MlflowClient::builder(&server.url()).retry(policy).build().unwrap();
    assert!(client.get(OP, "x", &[]).await.is_err());
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn what_is_wrong_is_not_tried_again() {
    let body = r#"{"error_code": "INVALID_PARAMETER_VALUE", "message": "no"}"#;
    for (status, kind) in
        [(400, ErrorKind::InvalidInput), (401, ErrorKind::Auth), (404, ErrorKind::Unsupported)]
    {
        let server =
            Scripted::start(vec![answer(status, &[], if status == 400 { body } else { "<html>" })]).await;
        assert_eq!(get(&server).await.unwrap_err().kind(), kind);
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_call_that_may_not_be_repeated_is_sent_once_and_says_that_nobody_knows() {
    let broken = Step::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf".to_vec());
    for step in [Step::Hangup, broken, answer(500, &[], ""), answer(502, &[], ""), answer(504, &[], "")] {
        let server = Scripted::start(vec![step.clone(), ok("{}")]).await;
        let error = post(&server, Repeat::Never).await.unwrap_err();
        assert_eq!((error.kind(), server.seen().len()), (ErrorKind::UnknownOutcome, 1), "{step:?}");
        assert!(!error.is_retryable());
        silent(&error);
    }
    // A server that says "later" has not done it.
    let server = Scripted::start(vec![answer(429, &[], ""), ok("{}")]).await;
    assert!(post(&server, Repeat::Never).await.is_ok());
    assert_eq!(server.seen().len(), 2);
    // Where there was no connection, nothing was done.
    let closed = "http://127.0.0.1:1";
    let error = client(closed).post(OP, "x", &json!({}), Repeat::Never).await.unwrap_err();
    assert_eq!((error.kind(), error.context("attempts")), (ErrorKind::Transport, Some("4")));
}

#[tokio::test]
async fn a_server_may_ask_for_a_wait_but_not_for_any() {
    let server = Scripted::start(vec![answer(503, &[("retry-after", "0")], ""), ok("{}")]).await;
    let policy = quick().with_initial(Duration::from_secs(3600)).with_max_delay(Duration::from_secs(3600));
    let client = MlflowClient::builder(&server.url()).retry(policy).build().unwrap();
    assert!(client.get(OP, "x", &[]).await.is_ok(), "its wait replaces ours of an hour");
    let server = Scripted::start(vec![answer(429, &[("retry-after", "86400")], ""), ok("{}")]).await;
    assert_eq!(get(&server).await.unwrap_err().kind(), ErrorKind::RateLimited);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn every_exchange_has_a_deadline() {
    for step in [Step::Silence, Step::Drip] {
        let server = Scripted::start(vec![step]).await;
        let builder = MlflowClient::builder(&server.url()).retry(RetryPolicy::NONE);
        let client = builder.timeout(Duration::from_secs(1)).build().unwrap();
        let error = client.get(OP, "x", &[]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        let error = client.post(OP, "x", &json!({}), Repeat::Never).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownOutcome);
    }
}

#[tokio::test]
async fn redirects_are_not_followed_and_nothing_reaches_the_other_host() {
    for status in [301, 302, 303, 307, 308] {
        let other = Scripted::start(vec![ok("{}")]).await;
        for target in [format!("{}/x?{CANARY}", other.url()), "file:///etc/passwd".to_owned()] {
            let server = Scripted::start(vec![answer(status, &[("location", &target)], "")]).await;
            let error = post(&server, Repeat::Safe).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol);
            silent(&error);
            assert!(server.seen()[0].contains(CANARY), "the right host gets the token");
        }
        assert!(other.seen().is_empty(), "{status}");
    }
}

#[tokio::test]
async fn a_foreign_host_gets_no_credentials() {
    let other = Scripted::start(vec![answer(403, &[], "no"), ok("{}")]).await;
    let client = client("http://127.0.0.1:1");
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("Bearer {CANARY}").parse().unwrap());
    headers.insert("x-part", "1".parse().unwrap());
    let url = format!("{}/bucket/part?sig={CANARY}", other.url());
    let error = client.foreign(OP, Method::PUT, &url, headers, HttpBody::from("part")).await.unwrap_err();
    silent(&error);
    let seen = other.seen().remove(0);
    assert!(seen.contains("x-part: 1") && seen.ends_with("part"));
    assert!(!seen.to_ascii_lowercase().contains("authorization") && !seen.contains("referer"), "{seen}");
    let error =
        client.foreign(OP, Method::GET, "file:///etc/passwd", HeaderMap::new(), HttpBody::Empty).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn secrets_that_a_server_echoes_do_not_come_back() {
    let echo = json!({ "error_code": "BAD_REQUEST", "message": format!("who is {CANARY}?") }).to_string();
    let server = Scripted::start(vec![answer(400, &[], &echo)]).await;
    silent(&get(&server).await.unwrap_err());
    for auth in [
        MlflowAuth::Bearer(Secret::new(CANARY)),
        MlflowAuth::Basic { user: "ann".to_owned(), password: Secret::new(CANARY) },
    ] {
        let client = MlflowClient::builder(&server.url()).auth(auth).build().unwrap();
        assert!(!format!("{client:?}").contains(CANARY));
        silent(&client.get(OP, "x", &[]).await.unwrap_err());
    }
    // No connection, no answer, a refused path: nothing shows the token either.
    silent(&client("http://127.0.0.1:1").get(OP, "x", &[("token", CANARY)]).await.unwrap_err());
    let server = Scripted::start(vec![Step::Hangup]).await;
    silent(&client(&server.url()).get(OP, "x", &[("token", CANARY)]).await.unwrap_err());
}

#[tokio::test]
async fn answers_that_are_too_long_or_packed_are_refused() {
    let long = format!("[{}]", "1,".repeat(100_000));
    let server = Scripted::start(vec![ok(&long)]).await;
    let client = MlflowClient::builder(&server.url()).max_answer(10_000).build().unwrap();
    let error = client.get(OP, "x", &[]).await.unwrap_err();
    assert_eq!((error.kind(), server.seen().len()), (ErrorKind::LimitExceeded, 1));
    // What claims to be packed is not unpacked.
    let packed =
        answer(200, &[("content-encoding", "gzip"), ("content-type", "application/json")], "{\"a\": 1}");
    let server = Scripted::start(vec![packed]).await;
    assert_eq!(get(&server).await.unwrap(), json!({ "a": 1 }), "the bytes as they are");
    assert!(!server.seen()[0].to_ascii_lowercase().contains("accept-encoding"));
    let server = Scripted::start(vec![ok("not json")]).await;
    assert_eq!(get(&server).await.unwrap_err().kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn streams_are_sent_once_and_read_in_pieces() {
    let server = Scripted::start(vec![answer(503, &[], ""), ok("weights")]).await;
    let client = client(&server.url());
    let upload = RawCall::new(Method::PUT, "mlflow-artifacts/artifacts/a b/c.bin")
        .body(HttpBody::Stream(ByteStream::from("weights"), Some(7)));
    assert!(client.raw(OP, upload).await.is_err(), "a stream cannot be read twice");
    assert_eq!(server.seen().len(), 1);
    assert!(server.seen()[0].starts_with("PUT /api/2.0/mlflow-artifacts/artifacts/a%20b/c.bin "));
    assert!(server.seen()[0].ends_with("weights"));
    let download = client.raw(OP, RawCall::new(Method::GET, "mlflow-artifacts/artifacts/x")).await.unwrap();
    assert_eq!(&download.body.collect(100).await.unwrap()[..], b"weights");
}

#[tokio::test]
async fn capabilities_are_asked_once_and_only_where_nobody_said() {
    let info = r#"{"workspaces_enabled": true, "multipart_uploads_enabled": true}"#;
    let server = Scripted::start(vec![answer(200, &[], "3.17.2"), ok(info)]).await;
    let three = client(&server.url());
    for _ in 0..3 {
        let found = three.capabilities().await.unwrap();
        assert_eq!((found.dialect, found.version.as_deref()), (Dialect::Mlflow3, Some("3.17.2")));
        assert!(found.workspaces && found.multipart_uploads && found.logged_models);
    }
    let paths: Vec<_> = server.seen().iter().map(|r| r.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(paths, ["/version", "/api/3.0/mlflow/server-info"]);
    // A server that does not know the question is an old one; one that fails is asked again.
    let html = answer(404, &[("content-type", "text/html")], "<!doctype html>");
    let server = Scripted::start(vec![html]).await;
    assert_eq!(client(&server.url()).capabilities().await.unwrap().dialect, Dialect::Mlflow2);
    let server = Scripted::start(vec![answer(401, &[], ""), answer(200, &[], "2.22.5")]).await;
    let two = client(&server.url());
    assert_eq!(two.capabilities().await.unwrap_err().kind(), ErrorKind::Auth);
    assert_eq!(two.capabilities().await.unwrap().dialect, Dialect::Mlflow2);
    let azure = MlflowClient::builder("http://127.0.0.1:1").dialect(Dialect::AzureMl).build().unwrap();
    assert!(!azure.capabilities().await.unwrap().logged_models, "nobody was asked");
}
