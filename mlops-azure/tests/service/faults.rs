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

/// How long a call may take with everything that is tried again.
const DEADLINE: Duration = Duration::from_secs(20);

/// A service at a server of this machine, which waits for nothing but answers, and for those as long as it takes.
fn service(server: &Scripted, attempts: u32) -> Service {
    impatient(server, attempts, Duration::from_secs(5))
}

/// How long a try waits for a server that does this: only one that will never be done is given up on soon.
fn patience(step: &Step) -> Duration {
    match step {
        Step::Silence | Step::Drip => Duration::from_millis(500),
        _ => Duration::from_secs(5),
    }
}

fn impatient(server: &Scripted, attempts: u32, timeout: Duration) -> Service {
    let scope = Scope::new("https://management.azure.com/.default").unwrap();
    let deadline = Some(DEADLINE);
    let retry =
        RetryPolicy::default().with_attempts(attempts).with_initial(Duration::ZERO).with_deadline(deadline);
    let base = server.url().parse().unwrap();
    let builder = Service::builder(base, scope, Tokens::new()).retry(retry).max_answer(64 << 10);
    builder.timeout(timeout).build().unwrap()
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

/// What becomes of a call: of one that may be repeated, how often it is sent in three tries, and of one that may not.
struct Expected {
    repeated: (ErrorKind, usize),
    once: (ErrorKind, usize),
}

/// The answer is lost: whoever may asks again, and nobody else knows what was done.
fn lost(kind: ErrorKind) -> Expected {
    Expected { repeated: (kind, 3), once: (ErrorKind::UnknownOutcome, 1) }
}

/// It is an answer, and no other try would change it.
fn settled(kind: ErrorKind) -> Expected {
    Expected { repeated: (kind, 1), once: (kind, 1) }
}

fn raw(bytes: impl AsRef<[u8]>) -> Step {
    Step::Raw(bytes.as_ref().to_vec())
}

fn head(headers: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{headers}\r\n\r\n")
}

/// Every way in which a service or what lies between can misbehave.
fn faults() -> Vec<(&'static str, Step, Expected)> {
    use ErrorKind::*;
    let status = |status: u16| answer(status, &[], "");
    let error = r#"{"error":{"code":"X","message":"m"}}"#;
    vec![
        // No answer.
        ("reset", Step::Hangup, lost(Transport)),
        ("an empty answer", raw(""), lost(Transport)),
        ("silence", Step::Silence, lost(Timeout)),
        ("a byte at a time", Step::Drip, lost(Timeout)),
        ("no HTTP", raw("SSH-2.0-x\r\n"), lost(Transport)),
        ("an alert of TLS", raw(b"\x15\x03\x01\x00\x02\x02\x28"), lost(Transport)),
        ("a preface of HTTP/2", raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), lost(Transport)),
        // Half an answer.
        ("half a status", raw("HTTP/1.1 20"), lost(Transport)),
        ("a status that is no number", raw("HTTP/1.1 OK OK\r\n\r\n"), lost(Transport)),
        ("half a head", raw("HTTP/1.1 200 OK\r\ncontent-le"), lost(Transport)),
        ("a header without a colon", raw("HTTP/1.1 200 OK\r\nnothing\r\n\r\n1"), lost(Transport)),
        ("a hint and no answer", raw("HTTP/1.1 103 Early Hints\r\n\r\n"), lost(Transport)),
        ("half a body", raw(HALF), lost(Transport)),
        ("no body", raw(head("content-length: 5")), lost(Transport)),
        ("two lengths", raw(head("content-length: 1\r\ncontent-length: 2") + "1"), lost(Transport)),
        ("a length that is none", raw(head("content-length: one") + "1"), lost(Transport)),
        ("a negative length", raw(head("content-length: -1") + "1"), lost(Transport)),
        ("a chunk without end", raw(CHUNK), lost(Transport)),
        ("a chunk of no length", raw(head("transfer-encoding: chunked") + "zz\r\n1\r\n"), lost(Transport)),
        ("chunks without the last", raw(head("transfer-encoding: chunked") + "1\r\n1\r\n"), lost(Transport)),
        ("half a chunk", raw(head("transfer-encoding: chunked") + "9\r\n1"), lost(Transport)),
        // What is no answer to the question.
        (
            "a page of HTML",
            answer(200, &[("content-type", "text/html")], "<html>sign in</html>"),
            settled(Protocol),
        ),
        ("a packed body", answer(200, &[("content-encoding", "gzip")], "\u{1f}\u{8b}"), settled(Protocol)),
        ("half of JSON", ok("{\"a\":"), settled(Protocol)),
        ("JSON and more", ok("1 2"), settled(Protocol)),
        ("JSON without end", ok(&"[".repeat(10_000)), settled(Protocol)),
        ("no UTF-8", raw([head("content-length: 3").as_bytes(), b"\"\xff\""].concat()), settled(Protocol)),
        ("zeros", ok("\0\0\0"), settled(Protocol)),
        ("a number that is none", ok("NaN"), settled(Protocol)),
        ("a body up to the end of the connection", raw("HTTP/1.0 200 OK\r\n\r\n{"), settled(Protocol)),
        ("a body that is too long", ok(&format!("[{}1]", "1,".repeat(100_000))), settled(LimitExceeded)),
        (
            "chunks that are too long",
            raw(head("transfer-encoding: chunked") + "20000\r\n" + &" ".repeat(0x20000) + "\r\n0\r\n\r\n"),
            settled(LimitExceeded),
        ),
        // Where it leads away.
        ("301", answer(301, &[("location", "http://localhost:1/")], ""), settled(Protocol)),
        ("302", answer(302, &[("location", "http://localhost:1/")], ""), settled(Protocol)),
        ("303", answer(303, &[("location", "/x")], ""), settled(Protocol)),
        ("304", status(304), settled(Protocol)),
        ("307", answer(307, &[("location", "http://localhost:1/")], ""), settled(Protocol)),
        ("308", answer(308, &[("location", "file:///etc/passwd")], ""), settled(Protocol)),
        // What is said.
        ("400", answer(400, &[], error), settled(InvalidInput)),
        ("401, whatever the token", status(401), Expected { repeated: (Auth, 2), once: (Auth, 2) }),
        ("403", status(403), settled(Auth)),
        ("404", status(404), settled(NotFound)),
        ("405", status(405), settled(Protocol)),
        ("408", status(408), lost(Timeout)),
        ("409", answer(409, &[], error), settled(Conflict)),
        ("412", status(412), settled(Conflict)),
        ("413", status(413), settled(LimitExceeded)),
        ("418", answer(418, &[], error), settled(Rejected)),
        ("422", status(422), settled(InvalidInput)),
        ("424", status(424), settled(Internal)),
        ("429", status(429), Expected { repeated: (RateLimited, 3), once: (RateLimited, 3) }),
        ("429 for an hour", answer(429, &[("retry-after", "3600")], ""), settled(RateLimited)),
        ("500", status(500), lost(Transport)),
        ("501", status(501), settled(Protocol)),
        ("502", answer(502, &[], "<html>"), lost(Transport)),
        ("503", status(503), lost(Transport)),
        (
            "503 for an hour",
            answer(503, &[("retry-after", "3600")], ""),
            Expected { repeated: (Transport, 1), once: (UnknownOutcome, 1) },
        ),
        ("504", status(504), lost(Timeout)),
        ("505", status(505), settled(Protocol)),
        ("507", status(507), settled(Protocol)),
        ("a status that nobody knows", status(999), settled(Protocol)),
    ]
}

const VERBS: [&str; 4] = ["GET", "PUT", "DELETE", "POST"];

/// Every fault with every verb: it ends, in time, as it should, and was sent no more often than it may be; nothing shows the token.
#[tokio::test]
async fn every_fault_has_its_outcome() {
    let faults = faults();
    assert!(faults.len() >= 45, "{}", faults.len());
    for (name, step, expected) in &faults {
        for verb in VERBS {
            let server = Scripted::start(vec![step.clone()]).await;
            let began = std::time::Instant::now();
            let error = impatient(&server, 3, patience(step)).call(call(verb)).await.unwrap_err();
            let (kind, sent) = if verb == "POST" { expected.once } else { expected.repeated };
            assert_eq!((error.kind(), server.seen().len()), (kind, sent), "{name}, {verb}: {error}");
            assert!(began.elapsed() < DEADLINE.mul_f64(1.1), "{name}, {verb}: {:?}", began.elapsed());
            assert!(!shown(&error).contains(CANARY), "{name}: {error:?}");
        }
    }
}

/// A POST that carries a key is sent as often as any other call, and is the same every time: whoever counts by keys counts one.
#[tokio::test]
async fn whatever_is_lost_a_call_with_a_key_is_one_call() {
    let lost: Vec<_> = faults()
        .into_iter()
        .filter(|(_, _, expected)| expected.once.0 == ErrorKind::UnknownOutcome)
        .collect();
    assert!(lost.len() >= 20, "{}", lost.len());
    for (name, step, expected) in lost {
        let (patience, server) = (patience(&step), Scripted::start(vec![step, ok("1")]).await);
        let keyed = call("POST").repeat(Repeat::Safe);
        let keyed = keyed.header("repeatability-request-id".parse().unwrap(), "key-1").unwrap();
        let result = impatient(&server, 3, patience).call(keyed).await;
        let seen = server.seen();
        match expected.repeated.1 {
            1 => assert!(result.is_err() && seen.len() == 1, "{name}"),
            _ => {
                assert!(result.is_ok(), "{name}: {result:?}");
                assert_eq!((seen.len(), &seen[0]), (2, &seen[1]), "{name}");
                assert!(seen[0].contains("repeatability-request-id: key-1"), "{name}");
            }
        }
    }
}

/// Nobody is there: nothing was sent, whatever the verb, and so nothing is unknown.
#[tokio::test]
async fn what_reaches_nobody_is_not_of_unknown_outcome() {
    for verb in VERBS {
        let scope = Scope::new("https://management.azure.com/.default").unwrap();
        let retry = RetryPolicy::default().with_attempts(3).with_initial(Duration::ZERO);
        let builder = Service::builder("http://127.0.0.1:1".parse().unwrap(), scope, Tokens::new());
        let error = builder.retry(retry).build().unwrap().call(call(verb)).await.unwrap_err();
        assert_eq!((error.kind(), error.context("attempts")), (ErrorKind::Transport, Some("3")), "{verb}");
    }
}

#[tokio::test]
async fn what_is_lost_once_is_found_the_second_time_by_the_same_request() {
    for step in [Step::Hangup, Step::Raw(HALF.to_vec()), Step::Drip, answer(503, &[], "")] {
        let (patience, server) = (patience(&step), Scripted::start(vec![step, ok("1")]).await);
        assert!(impatient(&server, 3, patience).call(call("PUT")).await.is_ok());
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
    let arrived = async {
        while server.seen().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = service.call(call("POST")) => panic!("nobody answered"),
        () = arrived => {}
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.seen().len(), 1, "and nothing is sent again behind the caller's back");
}

#[tokio::test]
async fn a_proxy_gets_what_is_for_others_and_nothing_that_is_for_this_machine() {
    let proxy = Scripted::start(vec![answer(502, &[], "")]).await;
    let url = proxy.url().replace("http://", &format!("http://user:{CANARY}@"));
    let setting = ProxySetting::Url { url: Secret::new(url), except: "direct.example".to_owned() };
    let config = ReqwestConfig::default().with_proxy(setting);
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
    // Nor what is for the platform on the link: whoever answers there, it is not the proxy.
    let mut linked = mlops_azure::http::HttpRequest::new(
        mlops_azure::http::Method::GET,
        "http://169.254.129.3:8081/msi/token".parse().unwrap(),
    );
    linked.timeout = Duration::from_millis(200);
    let _ = transport.send(linked).await;
    assert_eq!(proxy.seen().len(), 1);
    let bad = ProxySetting::Url { url: Secret::new(format!("::{CANARY}")), except: String::new() };
    let error = ReqwestTransport::new(&ReqwestConfig::default().with_proxy(bad)).unwrap_err();
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
