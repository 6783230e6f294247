//! A service over real sockets that misbehaves: each fault has one outcome, and none lasts.

use std::sync::Arc;
use std::time::Duration;

use mlops_azure::auth::Scope;
use mlops_azure::http::{
    Call, HttpTransport, ProxySetting, Repeat, ReqwestConfig, ReqwestTransport, RetryPolicy, Service,
};
use mlops_core::ErrorKind;
use mlops_core::governance::Secret;
use serde_json::Value;

use crate::memory::{CANARY, Tokens, shown};
use crate::scripted::{Scripted, Step, answer, ok};

const OP: &str = "test";

/// A service at a server of this machine, which waits for nothing.
fn service(server: &Scripted, attempts: u32) -> Service {
    let scope = Scope::new("https://management.azure.com/.default").unwrap();
    let retry = RetryPolicy { attempts, initial: Duration::ZERO, ..RetryPolicy::default() };
    let base = server.url().parse().unwrap();
    let builder = Service::builder(base, scope, Tokens::new()).retry(retry).max_answer(64 << 10);
    builder.timeout(Duration::from_millis(500)).build().unwrap()
}

fn call(method: &str) -> Call<Value> {
    match method {
        "GET" => Call::get(OP, "/x"),
        "DELETE" => Call::delete(OP, "/x"),
        "PUT" => Call::put(OP, "/x", &1).unwrap(),
        "POST" => Call::post(OP, "/x").json(&1).unwrap(),
        other => panic!("{other}"),
    }
}

const HALF: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{\"half\":";
const CHUNK: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nx";

/// What the outcome is, by whether the call may be repeated, and how often it is sent in three tries.
#[tokio::test]
async fn every_fault_has_its_outcome() {
    use ErrorKind::{LimitExceeded, Protocol, Timeout, Transport, UnknownOutcome};
    let long = ok(&format!("[{}1]", "1,".repeat(100_000)));
    let gzip =
        answer(200, &[("content-type", "application/json"), ("content-encoding", "gzip")], "\u{1f}\u{8b}");
    let html = answer(200, &[("content-type", "text/html")], "<html>sign in</html>");
    let redirect = answer(302, &[("location", "http://localhost:1/")], "");
    let cases: Vec<(&str, Step, ErrorKind, ErrorKind, usize, usize)> = vec![
        ("reset", Step::Hangup, Transport, UnknownOutcome, 3, 1),
        ("half a body", Step::Raw(HALF.to_vec()), Transport, UnknownOutcome, 3, 1),
        ("a chunk without end", Step::Raw(CHUNK.to_vec()), Transport, UnknownOutcome, 3, 1),
        ("no HTTP", Step::Raw(b"SSH-2.0-x\r\n".to_vec()), Transport, UnknownOutcome, 3, 1),
        ("an empty answer", Step::Raw(Vec::new()), Transport, UnknownOutcome, 3, 1),
        ("silence", Step::Silence, Timeout, UnknownOutcome, 3, 1),
        ("a byte at a time", Step::Drip, Timeout, UnknownOutcome, 3, 1),
        ("a body that is too long", long, LimitExceeded, LimitExceeded, 1, 1),
        ("a page of HTML", html, Protocol, Protocol, 1, 1),
        ("a packed body", gzip, Protocol, Protocol, 1, 1),
        ("a redirect", redirect, Protocol, Protocol, 1, 1),
        ("502", answer(502, &[], "<html>"), Transport, UnknownOutcome, 3, 1),
        ("503", answer(503, &[], ""), Transport, UnknownOutcome, 3, 1),
        ("504", answer(504, &[], ""), Timeout, UnknownOutcome, 3, 1),
        ("429", answer(429, &[], ""), ErrorKind::RateLimited, ErrorKind::RateLimited, 3, 3),
    ];
    for (name, step, repeated, once, sent, sent_once) in cases {
        for method in ["GET", "PUT", "DELETE", "POST"] {
            let server = Scripted::start(vec![step.clone()]).await;
            let error = service(&server, 3).call(call(method)).await.unwrap_err();
            let (kind, count) = if method == "POST" { (once, sent_once) } else { (repeated, sent) };
            assert_eq!((error.kind(), server.seen().len()), (kind, count), "{name}, {method}: {error}");
            assert!(!shown(&error).contains(CANARY), "{name}: {error:?}");
        }
    }
}

#[tokio::test]
async fn what_is_lost_once_is_found_the_second_time_by_the_same_request() {
    for step in [Step::Hangup, Step::Raw(HALF.to_vec()), Step::Drip, answer(503, &[], "")] {
        let server = Scripted::start(vec![step, ok("1")]).await;
        assert!(service(&server, 3).call(call("PUT")).await.is_ok());
        let seen = server.seen();
        assert_eq!((seen.len(), &seen[0]), (2, &seen[1]));
    }
}

#[tokio::test]
async fn no_redirect_is_followed_and_nothing_reaches_the_other_host() {
    for status in [301, 302, 303, 307, 308] {
        let other = Scripted::start(vec![ok("1")]).await;
        let target = format!("{}/x?sig={CANARY}", other.url());
        let server = Scripted::start(vec![answer(status, &[("location", &target)], "")]).await;
        let error = service(&server, 3).call(call("POST")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{status}");
        assert!(error.message().contains("redirect") && !shown(&error).contains(CANARY));
        assert!(other.seen().is_empty() && server.seen().len() == 1);
    }
}

/// Two ports of this machine are two hosts: links of lists and of operations do not take the token there.
#[tokio::test]
async fn no_link_takes_the_token_to_another_host() {
    let other = Scripted::start(vec![ok("{}")]).await;
    let target = format!("{}/x?sig={CANARY}", other.url());
    let page = ok(&format!(r#"{{"value":[],"nextLink":"{target}"}}"#));
    let server = Scripted::start(vec![page]).await;
    let list: Call<mlops_azure::http::Page<Value>> = Call::get(OP, "/x");
    let pages: Vec<_> = futures_util::StreamExt::collect(service(&server, 1).pages(list)).await;
    assert!(pages.iter().any(|page| page.as_ref().is_err_and(|e| e.kind() == ErrorKind::Protocol)));
    for header in ["azure-asyncoperation", "location"] {
        let server = Scripted::start(vec![answer(202, &[(header, &target)], "")]).await;
        let error = service(&server, 1).begin(call("PUT")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(!shown(&error).contains(CANARY));
    }
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn a_token_goes_in_clear_text_to_this_machine_alone() {
    let scope = Scope::new("https://management.azure.com/.default").unwrap();
    for base in
        ["http://management.azure.com", "http://10.0.0.1", "http://169.254.169.254", "ftp://localhost"]
    {
        let error =
            Service::builder(base.parse().unwrap(), scope.clone(), Tokens::new()).build().unwrap_err();
        assert_eq!((error.kind(), error.context("field")), (ErrorKind::InvalidInput, Some("base")), "{base}");
    }
}

/// What the server did is not undone because the client went away: the call is "unknown", not "not done".
#[tokio::test]
async fn a_future_that_is_dropped_may_have_been_carried_out_once() {
    let server = Scripted::start(vec![Step::Silence]).await;
    let service = service(&server, 3);
    let sent = tokio::time::timeout(Duration::from_millis(200), service.call(call("POST")));
    assert!(sent.await.is_err());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.seen().len(), 1, "and nothing is sent again behind the caller's back");
}

#[tokio::test]
async fn a_proxy_gets_what_is_for_others_and_nothing_that_is_for_this_machine() {
    let proxy = Scripted::start(vec![answer(502, &[], "")]).await;
    let url = proxy.url().replace("http://", &format!("http://user:{CANARY}@"));
    let setting = ProxySetting::Url { url: Secret::new(url), except: "direct.example".to_owned() };
    let config = ReqwestConfig { proxy: setting, ..ReqwestConfig::default() };
    assert!(!format!("{config:?}").contains(CANARY));
    let transport: Arc<dyn HttpTransport> = Arc::new(ReqwestTransport::new(&config).unwrap());
    let scope = Scope::new("https://management.azure.com/.default").unwrap();
    let build = |base: &str| {
        let builder = Service::builder(base.parse().unwrap(), scope.clone(), Tokens::new());
        builder.transport(transport.clone()).retry(RetryPolicy::NONE).build().unwrap()
    };
    // To another host it asks the proxy for a tunnel, in which nobody reads the token.
    assert!(build("https://management.azure.example").call(call("GET")).await.is_err());
    let seen = proxy.seen();
    assert!(seen.len() == 1 && seen[0].starts_with("CONNECT management.azure.example:443 "), "{seen:?}");
    assert!(!seen[0].contains(CANARY), "the proxy's own password is encoded, the token is not there");
    let server = Scripted::start(vec![ok("1")]).await;
    assert!(build(&server.url()).call(call("GET")).await.is_ok());
    assert_eq!((proxy.seen().len(), server.seen().len()), (1, 1));
    let bad = ProxySetting::Url { url: Secret::new(format!("::{CANARY}")), except: String::new() };
    let error = ReqwestTransport::new(&ReqwestConfig { proxy: bad, ..ReqwestConfig::default() }).unwrap_err();
    assert!(error.context("field") == Some("proxy") && !shown(&error).contains(CANARY));
}

#[tokio::test]
async fn a_request_of_the_callers_making_is_sent_with_the_token_to_this_host_alone() {
    let server = Scripted::start(vec![answer(424, &[], "model error")]).await;
    let service = service(&server, 1);
    let request = |url: String| {
        let method = mlops_azure::http::Method::POST;
        mlops_azure::http::HttpRequest::new(method, url.parse().unwrap())
    };
    let answer = service.send(OP, Repeat::Never, request(format!("{}/score", server.url()))).await.unwrap();
    assert_eq!(answer.status, 424);
    assert!(server.seen()[0].contains(&format!("authorization: Bearer {CANARY}-0")));
    let elsewhere = service.send(OP, Repeat::Never, request("http://localhost:1/score".to_owned())).await;
    assert_eq!(elsewhere.unwrap_err().kind(), ErrorKind::Protocol);
}
