//! Signed webhooks over real connections: what arrives, what is tried again, and what a failure looks like.

mod scripted;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mlops_azure::http::webhook::HttpWebhook;
use mlops_core::monitor::sink::{
    WebhookAlertSink, WebhookIo, WebhookRequest, WebhookRetry, WebhookSecret, WebhookTarget,
    WebhookTransport as _, verify_webhook,
};
use mlops_core::monitor::{Alert, AlertSink as _, Severity};
use mlops_core::time::{ManualClock, Timestamp};
use mlops_core::wrap::Pause;
use mlops_core::{Error, ErrorKind, IdempotencyKey, MonitorName};
use scripted::{Scripted, Step, answer, ok};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PATH: &str = "/hooks/canary-5f2c8a17";

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// Remembers how long it should have waited.
#[derive(Debug, Default)]
struct Waits(Mutex<Vec<Duration>>);

#[async_trait]
impl Pause for Waits {
    async fn pause(&self, duration: Duration) {
        self.0.lock().unwrap().push(duration);
    }
}

fn transport() -> HttpWebhook {
    HttpWebhook::new().unwrap().with_timeout(Duration::from_secs(20)).unwrap()
}

fn sink(url: &str, transport: HttpWebhook, waits: Arc<Waits>) -> WebhookAlertSink {
    let target = WebhookTarget::new(
        "on-call",
        format!("{url}{PATH}"),
        "/mlops/monitors/diabetes",
        vec![WebhookSecret::parse(SECRET).unwrap()],
    )
    .with_retry(WebhookRetry::default().with_attempts(4));
    let clock = Arc::new(ManualClock::at(now()));
    WebhookAlertSink::new(target, WebhookIo::new(Arc::new(transport), waits, clock)).unwrap()
}

fn alert(key: &str) -> Alert {
    let (key, monitor) = (IdempotencyKey::new(key).unwrap(), MonitorName::new("diabetes").unwrap());
    Alert::new(key, monitor, "inputs", Severity::Critical, "age has shifted: größer 🚨", now())
}

/// Headers and body of a request as it arrived.
fn arrived(request: &str) -> (Vec<(String, String)>, &str) {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with(&format!("POST {PATH} HTTP/1.1\r\n")), "{head}");
    let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
    (head.lines().skip(1).filter_map(header).collect(), body)
}

fn verified(request: &str) -> String {
    let (headers, body) = arrived(request);
    let (secrets, five_minutes) = ([WebhookSecret::parse(SECRET).unwrap()], Duration::from_secs(300));
    verify_webhook(&secrets, &headers, body.as_bytes(), now(), five_minutes).unwrap().to_owned()
}

#[track_caller]
fn silent(error: &Error) {
    let mut shown = format!("{error} {error:?}");
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        shown.push_str(&format!(" {inner} {inner:?}"));
        source = inner.source();
    }
    assert!(!shown.contains("canary") && !shown.contains("v1,"), "{shown}");
}

#[tokio::test]
async fn an_alert_arrives_signed_byte_for_byte() {
    let server = Scripted::start(vec![answer(204, &[], "")]).await;
    let sink = sink(&server.url(), transport(), Arc::default());
    assert!(!sink.deliver(&alert("a-1")).await.unwrap().duplicate);
    assert!(sink.deliver(&alert("a-1")).await.unwrap().duplicate);
    let seen = server.seen();
    assert_eq!(seen.len(), 1, "once");
    assert_eq!(verified(&seen[0]), "a-1");
    let (headers, body) = arrived(&seen[0]);
    assert!(
        headers
            .iter()
            .any(|(name, value)| name == "content-type" && value.starts_with("application/cloudevents+json"))
    );
    let expected = sink.request(&alert("a-1"), now()).unwrap();
    assert_eq!(body.as_bytes(), &expected.body[..]);
    // One byte more, and nobody believes it.
    let (headers, changed) = (headers, format!("{body} "));
    let secrets = [WebhookSecret::parse(SECRET).unwrap()];
    assert!(verify_webhook(&secrets, &headers, changed.as_bytes(), now(), Duration::from_secs(300)).is_err());
}

#[tokio::test]
async fn what_may_help_is_tried_again_and_counted() {
    let busy = answer(503, &[("retry-after", "7")], "");
    let server = Scripted::start(vec![busy, Step::Hangup, answer(429, &[], ""), ok("{}")]).await;
    let waits = Arc::new(Waits::default());
    let sink = sink(&server.url(), transport(), waits.clone());
    assert!(sink.deliver(&alert("a-2")).await.is_ok());
    let seen = server.seen();
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|request| verified(request) == "a-2"), "one id, signed every time");
    let attempts = sink.attempts();
    let statuses: Vec<_> = attempts.iter().map(|attempt| attempt.status).collect();
    assert_eq!(statuses, [Some(503), None, Some(429), Some(200)]);
    assert!(attempts[1].failure.as_ref().is_some_and(|failure| !failure.contains("canary")));
    let waits = waits.0.lock().unwrap().clone();
    assert_eq!(waits.len(), 3);
    assert_eq!(waits[0], Duration::from_secs(7), "what the receiver asked for");
}

#[tokio::test]
async fn failures_are_errors_that_say_how_often_and_nothing_secret() {
    let elsewhere = Scripted::start(vec![answer(200, &[], "")]).await;
    let location = format!("{}/stolen", elsewhere.url());
    for (step, kind, attempts) in [
        (answer(500, &[], "sorry"), ErrorKind::Busy, 4),
        (answer(404, &[], ""), ErrorKind::NotFound, 1),
        (answer(401, &[], ""), ErrorKind::Auth, 1),
        (answer(307, &[("location", &location)], ""), ErrorKind::Rejected, 1),
        (Step::Hangup, ErrorKind::Transport, 4),
        (Step::Raw(b"SSH-2.0-OpenSSH\r\n".to_vec()), ErrorKind::Transport, 4),
    ] {
        let server = Scripted::start(vec![step.clone()]).await;
        let sink = sink(&server.url(), transport(), Arc::default());
        let error = sink.deliver(&alert("a-3")).await.unwrap_err();
        assert_eq!((error.kind(), server.seen().len()), (kind, attempts), "{step:?}: {error}");
        assert_eq!(error.context("attempts"), Some(attempts.to_string().as_str()));
        assert_eq!(error.context("sink"), Some("on-call"));
        assert_eq!(sink.attempts().len(), attempts);
        silent(&error);
    }
    assert!(elsewhere.seen().is_empty(), "a redirect was followed");
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_does_not_hold_up_the_alert() {
    for step in [Step::Silence] {
        let server = Scripted::start(vec![step]).await;
        let impatient = HttpWebhook::new().unwrap().with_timeout(Duration::from_millis(500)).unwrap();
        let error = sink(&server.url(), impatient, Arc::default()).deliver(&alert("a-4")).await.unwrap_err();
        assert_eq!((error.kind(), server.seen().len()), (ErrorKind::Timeout, 4), "{error}");
        silent(&error);
    }
    // The head of an answer is an answer, whatever its body does.
    let server = Scripted::start(vec![Step::Drip]).await;
    assert!(sink(&server.url(), transport(), Arc::default()).deliver(&alert("a-5")).await.is_ok());
    // Nobody listens.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let free = taken.local_addr().unwrap();
    let error = sink(&format!("http://{free}"), transport(), Arc::default()).deliver(&alert("a-6")).await;
    let error = error.unwrap_err();
    assert_eq!((error.kind(), error.context("attempts")), (ErrorKind::Transport, Some("4")));
    silent(&error);
}

#[tokio::test]
async fn a_request_that_cannot_be_sent_is_refused_without_its_values() {
    let header = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    for (url, headers) in [
        ("no url canary", Vec::new()),
        ("http://127.0.0.1:1/canary", header("bad name", "canary")),
        ("http://127.0.0.1:1/canary", header("x", "can\r\nary: canary")),
        ("ftp://127.0.0.1:1/canary", Vec::new()),
    ] {
        let error = transport().post(&WebhookRequest::new(url, headers, "canary")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{url}: {error}");
        assert!(!error.is_retryable());
        silent(&error);
    }
}
