//! Sinks of alerts: log, file, CloudEvents, webhooks over a real socket.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::conformance::alert::AlertsUnderTest;
use mlops_core::monitor::sink::{
    FileAlertSink, LogAlertSink, SignatureError, WebhookAlertSink, WebhookIo, WebhookRequest,
    WebhookResponse, WebhookRetry, WebhookSecret, WebhookTarget, WebhookTransport, alert_event,
    verify_webhook,
};
use mlops_core::monitor::{Alert, AlertSink, AlertStatus, Severity};
use mlops_core::time::{ManualClock, Pause, Timestamp};
use mlops_core::{Error, ErrorKind, IdempotencyKey, Result};
use serde_json::{Value, json};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const FIVE_MINUTES: Duration = Duration::from_secs(300);

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn alert(key: &str) -> Alert {
    let key = IdempotencyKey::new(key).unwrap();
    Alert::new(key, "diabetes".parse().unwrap(), "inputs", Severity::Warning, "age drifted", now())
}

fn secret() -> WebhookSecret {
    WebhookSecret::parse(SECRET).unwrap()
}

// The suite of every sink. A file shows what arrived; of a log, the receipts are seen.
mlops_core::alert_sink_suite!(log, AlertsUnderTest::new(Arc::new(LogAlertSink::new(std::io::sink()))));
mlops_core::alert_sink_suite!(file, {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.jsonl");
    let sink = Arc::new(FileAlertSink::open(&path).unwrap());
    AlertsUnderTest::new(sink).with_arrived(move || {
        let _ = &folder;
        let text = std::fs::read_to_string(&path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    })
});
mlops_core::alert_sink_suite!(webhook, {
    let receiver = Arc::new(Receiver::default());
    let sink = webhook(receiver.clone(), WebhookRetry::default(), Arc::new(Waits::default()));
    AlertsUnderTest::new(Arc::new(sink)).with_arrived(move || receiver.alerts())
});

/// Remembers how long it was asked to wait.
#[derive(Debug, Default)]
struct Waits(Mutex<Vec<Duration>>);

#[async_trait]
impl Pause for Waits {
    async fn pause(&self, duration: Duration) {
        self.0.lock().unwrap().push(duration);
    }
}

/// A receiver that answers from a list, then with 204, and keeps what it took.
#[derive(Debug, Default)]
struct Receiver {
    answers: Mutex<Vec<Result<WebhookResponse>>>,
    requests: Mutex<Vec<WebhookRequest>>,
    taken: Mutex<Vec<WebhookRequest>>,
}

impl Receiver {
    fn answering(answers: Vec<Result<WebhookResponse>>) -> Arc<Self> {
        let receiver = Self::default();
        *receiver.answers.lock().unwrap() = answers.into_iter().rev().collect();
        Arc::new(receiver)
    }

    fn alerts(&self) -> Vec<Alert> {
        let data = |request: &WebhookRequest| {
            serde_json::from_slice::<Value>(&request.body).unwrap()["data"].clone()
        };
        self.taken
            .lock()
            .unwrap()
            .iter()
            .map(|request| serde_json::from_value(data(request)).unwrap())
            .collect()
    }
}

#[async_trait]
impl WebhookTransport for Receiver {
    async fn post(&self, request: &WebhookRequest) -> Result<WebhookResponse> {
        verify_webhook(&[secret()], &request.headers, &request.body, now(), FIVE_MINUTES)?;
        self.requests.lock().unwrap().push(request.clone());
        let answer = self.answers.lock().unwrap().pop().unwrap_or_else(|| Ok(WebhookResponse::new(204)));
        if answer.as_ref().is_ok_and(|answer| (200..300).contains(&answer.status)) {
            self.taken.lock().unwrap().push(request.clone());
        }
        answer
    }
}

fn target(url: &str, retry: WebhookRetry) -> WebhookTarget {
    let (name, source) = ("pager".to_owned(), "/mlops/monitors/diabetes".to_owned());
    WebhookTarget::new(name, url.to_owned(), source, vec![secret()]).with_retry(retry)
}

fn webhook(
    transport: Arc<dyn WebhookTransport>,
    retry: WebhookRetry,
    pause: Arc<dyn Pause>,
) -> WebhookAlertSink {
    let clock = Arc::new(ManualClock::at(now()));
    let through = WebhookIo::new(transport, pause, clock);
    WebhookAlertSink::new(target("https://example.org/hook", retry), through).unwrap()
}

#[test]
fn signatures_are_those_of_standard_webhooks() {
    let reference: Value = serde_json::from_str(include_str!("reference/monitor_webhook.json")).unwrap();
    let cases = reference["standard_webhooks"].as_array().unwrap();
    assert_eq!(cases.len(), 16);
    for case in cases {
        let text = |key: &str| case[key].as_str().unwrap();
        let secret = WebhookSecret::parse(text("secret")).unwrap();
        let signature = secret.sign(text("id"), case["timestamp"].as_i64().unwrap(), text("body").as_bytes());
        assert_eq!(signature, text("signature"));
    }
}

#[test]
fn a_webhook_is_believed_only_as_it_was_signed_and_only_for_a_while() {
    let secret = secret();
    let headers = |id: &str, at: &str, signature: &str| -> Vec<(String, String)> {
        [("webhook-id", id), ("WEBHOOK-TIMESTAMP", at), ("webhook-signature", signature)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    };
    let (at, body) = (now().timestamp(), b"{}");
    let right = secret.sign("id", at, body);
    let check = |headers: &[(String, String)], body: &[u8], now| {
        verify_webhook(std::slice::from_ref(&secret), headers, body, now, FIVE_MINUTES).map(str::to_owned)
    };
    let stamp = at.to_string();
    assert_eq!(check(&headers("id", &stamp, &right), body, now()), Ok("id".to_owned()));
    // Others before it: another key, another version.
    let several = format!("v1,{} v2,x {right}", "A".repeat(43) + "=");
    assert_eq!(check(&headers("id", &stamp, &several), body, now()), Ok("id".to_owned()));
    for (headers, body) in [
        (headers("id2", &stamp, &right), &b"{}"[..]),
        (headers("id", &(at + 1).to_string(), &right), b"{}"),
        (headers("id", &stamp, &right), b"{ }"),
        (headers("id", &stamp, &right[..right.len() - 1]), b"{}"),
        (headers("id", &stamp, &right.replacen("v1", "v2", 1)), b"{}"),
        (headers("id", &stamp, ""), b"{}"),
    ] {
        assert_eq!(check(&headers, body, now()), Err(SignatureError::Mismatch), "{headers:?}");
    }
    for (away, fits) in [(300, true), (301, false)] {
        for now in [now() + Duration::from_secs(away), now() - Duration::from_secs(away)] {
            assert_eq!(check(&headers("id", &stamp, &right), body, now).is_ok(), fits);
        }
    }
    for bad in ["", "-1", "1e9", "+5", "9999999999999", "１"] {
        let error = check(&headers("id", bad, &right), body, now()).unwrap_err();
        assert_eq!(error, SignatureError::Timestamp("webhook-timestamp"), "{bad}");
    }
    let mut twice = headers("id", &stamp, &right);
    twice.push(("Webhook-Id".to_owned(), "other".to_owned()));
    assert_eq!(check(&twice, body, now()), Err(SignatureError::Header("webhook-id")));
    assert_eq!(check(&[], body, now()), Err(SignatureError::Header("webhook-id")));
    assert_eq!(
        verify_webhook(&[], &headers("id", &stamp, &right), body, now(), FIVE_MINUTES),
        Err(SignatureError::Mismatch)
    );
    for bad in ["", "MfKQ", "whsec_", "whsec_!", "whsec_c2hvcnQ="] {
        let error = WebhookSecret::parse(bad).unwrap_err();
        assert!(error.context("field") == Some("secret") && error.context("value").is_none());
    }
}

#[tokio::test]
async fn it_tries_again_with_one_id_and_a_new_signature_and_waits_longer_each_time() {
    let answers = vec![
        Err(Error::new(ErrorKind::Transport, "post", "connection reset")),
        Ok(WebhookResponse::new(503)),
        Ok(WebhookResponse::new(429).with_retry_after("30")),
        Ok(WebhookResponse::new(500).with_retry_after("Thu, 01 Jan 2026 00:00:40 GMT")),
    ];
    let (receiver, waits) = (Receiver::answering(answers), Arc::new(Waits::default()));
    let sink = webhook(receiver.clone(), WebhookRetry::default(), waits.clone());
    assert!(!sink.deliver(&alert("one")).await.unwrap().duplicate);
    assert!(sink.deliver(&alert("one")).await.unwrap().duplicate);
    assert_eq!(receiver.alerts(), [alert("one")]);
    let ids: Vec<_> = receiver
        .requests
        .lock()
        .unwrap()
        .iter()
        .map(|r| r.header("Webhook-Id").unwrap().to_owned())
        .collect();
    assert_eq!(ids, ["one"; 5]);
    let waits = waits.0.lock().unwrap().clone();
    let second = Duration::from_secs(1);
    assert!(
        (second / 2..=second).contains(&waits[0]) && (second..=2 * second).contains(&waits[1]),
        "{waits:?}"
    );
    assert_eq!(waits[2..], [Duration::from_secs(30), Duration::from_secs(40)]);
    let attempts = sink.attempts();
    let statuses: Vec<_> = attempts.iter().map(|attempt| attempt.status).collect();
    assert_eq!(statuses, [None, Some(503), Some(429), Some(500), Some(204)]);
    assert!(attempts[0].failure.as_ref().unwrap().contains("connection reset"));
    assert_eq!((attempts[4].attempt, &attempts[4].failure, attempts[4].wait), (5, &None, None));
}

#[tokio::test]
async fn what_is_final_is_not_tried_again_and_what_never_comes_is_an_error() {
    for (status, kind, tries) in [
        (301, ErrorKind::Rejected, 1),
        (400, ErrorKind::Rejected, 1),
        (403, ErrorKind::Auth, 1),
        (410, ErrorKind::NotFound, 1),
        (408, ErrorKind::Timeout, 5),
        (429, ErrorKind::RateLimited, 5),
        (502, ErrorKind::Busy, 5),
    ] {
        let receiver = Receiver::answering((0..9).map(|_| Ok(WebhookResponse::new(status))).collect());
        let sink = webhook(receiver.clone(), WebhookRetry::default(), Arc::new(Waits::default()));
        let error = sink.deliver(&alert("one")).await.unwrap_err();
        assert_eq!((error.kind(), receiver.requests.lock().unwrap().len()), (kind, tries), "{status}");
        assert_eq!(error.context("sink"), Some("pager"));
        assert!(!format!("{error} {error:?} {sink:?}").contains("example.org"), "the URL is a secret");
        assert_eq!(sink.attempts().len(), tries);
        // It did not arrive, so it is not known.
        assert!(sink.deliver(&alert("one")).await.is_ok() || tries > 1 || status >= 300);
    }
    // A receiver that wants to be left alone for an hour is: the caller decides.
    let receiver = Receiver::answering(vec![Ok(WebhookResponse::new(503).with_retry_after("3600"))]);
    let sink = webhook(receiver.clone(), WebhookRetry::default(), Arc::new(Waits::default()));
    let error = sink.deliver(&alert("one")).await.unwrap_err();
    assert!(error.is_retryable() && error.context("retry_after") == Some("1h"), "{error}");
    assert_eq!(receiver.requests.lock().unwrap().len(), 1);
    assert!(!sink.deliver(&alert("one")).await.unwrap().duplicate);
}

#[test]
fn a_webhook_that_could_not_work_is_refused_when_it_is_made() {
    let made = |change: fn(&mut WebhookTarget)| {
        let mut target = target("https://example.org/hook?token=t", WebhookRetry::default());
        change(&mut target);
        let clock = Arc::new(ManualClock::at(now()));
        WebhookAlertSink::new(
            target,
            WebhookIo::new(Arc::new(Receiver::default()), Arc::new(Waits::default()), clock),
        )
    };
    assert!(made(|_| {}).is_ok());
    for url in ["http://127.0.0.1:8080/x", "http://localhost", "http://[::1]:80/"] {
        assert!(
            made(match url {
                "http://127.0.0.1:8080/x" => |t| t.url = "http://127.0.0.1:8080/x".into(),
                "http://localhost" => |t| t.url = "http://localhost".into(),
                _ => |t| t.url = "http://[::1]:80/".into(),
            })
            .is_ok(),
            "{url}"
        );
    }
    type Change = fn(&mut WebhookTarget);
    let bad: [(&str, Change); 11] = [
        ("url", |t| t.url = "http://example.org".into()),
        ("url", |t| t.url = "https://user:pw@example.org".into()),
        ("url", |t| t.url = "https://".into()),
        ("url", |t| t.url = "ftp://example.org".into()),
        ("url", |t| t.url = "https://example.org/a b".into()),
        ("name", |t| t.name = " ".into()),
        ("source", |t| t.source = "not a uri".into()),
        ("secrets", |t| t.secrets.clear()),
        ("attempts", |t| t.retry.attempts = 0),
        ("attempts", |t| t.retry.attempts = 101),
        ("longest", |t| t.retry.longest = Duration::ZERO),
    ];
    for (field, change) in bad {
        let error = made(change).unwrap_err();
        assert_eq!(error.context("field"), Some(field), "{error}");
        assert!(!error.to_string().contains("example.org"));
    }
}

/// A transport in a few lines: HTTP/1.1 over a socket of this machine.
#[derive(Debug)]
struct Socket(SocketAddr);

#[async_trait]
impl WebhookTransport for Socket {
    async fn post(&self, request: &WebhookRequest) -> Result<WebhookResponse> {
        let lost = |source: std::io::Error| {
            Error::new(ErrorKind::Transport, "post", "no answer").with_source(source)
        };
        let mut stream = TcpStream::connect(self.0).map_err(lost)?;
        let mut head =
            format!("POST /hook HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n", self.0, request.body.len());
        request.headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
        stream
            .write_all(format!("{head}\r\n").as_bytes())
            .and_then(|()| stream.write_all(&request.body))
            .map_err(lost)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(lost)?;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| lost(std::io::ErrorKind::UnexpectedEof.into()))?;
        let after = answer.lines().find_map(|line| line.strip_prefix("retry-after: "));
        let response = WebhookResponse::new(status);
        Ok(after.map_or(response.clone(), |after| response.with_retry_after(after)))
    }
}

/// Headers and body of one request.
fn receive(stream: &mut TcpStream) -> (Vec<(String, String)>, Vec<u8>) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let headers: Vec<(String, String)> = head
                .lines()
                .filter_map(|line| {
                    line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()))
                })
                .collect();
            let length = headers
                .iter()
                .find(|(name, _)| name == "content-length")
                .unwrap()
                .1
                .parse::<usize>()
                .unwrap();
            let body = &bytes[head.len() + 4..];
            if body.len() == length {
                return (headers, body.to_vec());
            }
        }
        let read = stream.read(&mut buffer).unwrap();
        bytes.extend(&buffer[..read]);
    }
}

#[test]
fn over_a_real_socket_it_survives_a_lost_connection_and_the_receiver_can_verify_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let receiver = std::thread::spawn(move || {
        // The first connection is dropped after the request, the second is refused for a while, the third taken.
        let mut seen = Vec::new();
        for answer in [
            "",
            "HTTP/1.1 503 Busy\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
        ] {
            let (mut stream, _) = listener.accept().unwrap();
            seen.push(receive(&mut stream));
            stream.write_all(answer.as_bytes()).unwrap();
        }
        seen
    });
    let waits = Arc::new(Waits::default());
    let through = WebhookIo::new(Arc::new(Socket(address)), waits.clone(), Arc::new(ManualClock::at(now())));
    let sink =
        WebhookAlertSink::new(target(&format!("http://{address}/hook"), WebhookRetry::default()), through)
            .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let sent = alert("one");
    runtime.block_on(sink.deliver(&sent)).unwrap();
    let seen = receiver.join().unwrap();
    assert_eq!(seen.len(), 3);
    for (headers, body) in &seen {
        assert_eq!(verify_webhook(&[secret()], headers, body, now(), FIVE_MINUTES), Ok("one"));
        let event: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(event, alert_event(&sent, "/mlops/monitors/diabetes").unwrap());
    }
    assert_eq!(waits.0.lock().unwrap()[1], Duration::from_secs(2));
}

#[test]
fn an_alert_is_a_cloud_event() {
    let mut resolved = alert("k");
    resolved.status = AlertStatus::Resolved;
    resolved.labels.insert("deployment".to_owned(), "blue".to_owned());
    let event = alert_event(&resolved, "/mlops/monitors/diabetes").unwrap();
    assert_eq!(
        event,
        json!({
            "specversion": "1.0", "id": "k", "source": "/mlops/monitors/diabetes", "type": "mlops.alert.resolved",
            "subject": "inputs", "time": "2026-01-01T00:00:00Z", "datacontenttype": "application/json",
            "data": {
                "key": "k", "monitor": "diabetes", "signal": "inputs", "severity": "warning", "message": "age drifted",
                "at": "2026-01-01T00:00:00Z", "status": "resolved", "labels": {"deployment": "blue"},
            },
        })
    );
    // An attribute that would be empty is left out.
    let mut nameless = alert("k");
    nameless.signal = String::new();
    assert!(alert_event(&nameless, "s").unwrap().get("subject").is_none());
    for bad in ["", "a b", "é", "a\n", "<x>"] {
        assert_eq!(alert_event(&alert("k"), bad).unwrap_err().context("field"), Some("source"), "{bad}");
    }
}

#[test]
fn a_line_of_the_log_cannot_be_forged() {
    let mut hostile = alert("k");
    hostile.message = "x\" level=info\nts=2026 level=info\u{202e}\\".to_owned();
    hostile.labels.insert("a b=c".to_owned(), String::new());
    let line = LogAlertSink::line(&hostile);
    assert_eq!(line.matches('\n').count(), 1);
    assert_eq!(
        line,
        "ts=2026-01-01T00:00:00Z level=warning state=firing monitor=diabetes signal=inputs \"label.a b=c\"=\"\" key=k \
         msg=\"x\\\" level=info\\nts=2026 level=info\\u{202e}\\\\\"\n"
    );
}

/// Takes nothing.
struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_heard_of() {
    let sink = LogAlertSink::new(Full);
    for _ in 0..2 {
        assert_eq!(sink.deliver(&alert("k")).await.unwrap_err().kind(), ErrorKind::Storage);
    }
}

#[tokio::test]
async fn a_file_keeps_whole_lines_through_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.jsonl");
    let deliver =
        async |key: &str| FileAlertSink::open(&path).unwrap().deliver(&alert(key)).await.unwrap().duplicate;
    assert!(!deliver("one").await);
    assert!(!deliver("two").await);
    let whole = std::fs::read(&path).unwrap();
    for cut in [whole.len() - 1, whole.len() - 20, whole.len() / 2 + 1] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        assert!(deliver("one").await, "it is known");
        assert!(!deliver("two").await, "it was torn, so it was never confirmed");
        assert_eq!(std::fs::read(&path).unwrap(), whole, "cut at {cut}");
    }
    std::fs::write(&path, [b"{}\n".as_slice(), &whole].concat()).unwrap();
    let error = FileAlertSink::open(&path).unwrap_err();
    assert_eq!((error.kind(), error.context("line")), (ErrorKind::Corrupt, Some("1")));
    let error = FileAlertSink::open(folder.path().join("none/alerts.jsonl")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
}

/// The line of another handle is never cut off: of two, one alone has the file.
#[tokio::test]
async fn a_file_has_one_sink_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.jsonl");
    let first = FileAlertSink::open(&path).unwrap();
    first.deliver(&alert("one")).await.unwrap();
    let second = FileAlertSink::open(&path);
    // Were there a second, its line would be there still after the first one has written again.
    if let Ok(second) = &second {
        second.deliver(&alert("two")).await.unwrap();
    }
    first.deliver(&alert("three")).await.unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), if second.is_ok() { 3 } else { 2 }, "{text}");
    assert_eq!(second.unwrap_err().kind(), ErrorKind::Busy);
    drop(first);
    assert!(FileAlertSink::open(&path).unwrap().deliver(&alert("three")).await.unwrap().duplicate);
}
