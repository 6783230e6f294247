//! Faults that a caller can cause, on the wire: framing that contradicts itself, what is no HTTP/1.1, bodies that drip, answers that
//! nobody reads, numbers and texts that are hostile, and ten thousand connections of another process.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};

use super::*;

/// Sends bytes as they are; answers every answer until the connection ends.
async fn raw(address: SocketAddr, bytes: &[u8]) -> Vec<Answer> {
    let mut client = Client::to(address).await;
    // A server that has heard enough may hang up before the end.
    let _cut = client.send(bytes).await;
    let mut answers = Vec::new();
    while let Some(answer) = client.answer().await {
        let ends = answer.header("connection") == "close";
        answers.push(answer);
        if ends {
            break;
        }
    }
    answers
}

fn framed(framing: &str, body: &str) -> String {
    let (key, kind) = (with_key(), "content-type: application/json\r\n");
    format!("POST /score HTTP/1.1\r\nhost: localhost\r\n{key}{kind}{framing}\r\n{body}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn framing_that_contradicts_itself_is_refused_and_smuggles_nothing() {
    let limits = Limits::default()
        .with_header_timeout(Duration::from_millis(300))
        .with_body_timeout(Duration::from_millis(300))
        .with_idle_timeout(Duration::from_millis(300));
    let running = World::new().await.start(|server| server.with_limits(limits)).await;
    let address = running.local_addr();
    // What would be a second request, if the first one ended where one of its lengths says.
    let hidden = get("/metrics", &with_key());
    let chunked = format!("{:x}\r\n{ROW}\r\n0\r\n\r\n", ROW.len());
    for (framing, body) in [
        ("content-length: 5\r\ncontent-length: 30\r\n".to_owned(), ROW.to_owned()),
        ("content-length: -1\r\n".to_owned(), ROW.to_owned()),
        ("content-length: +23\r\n".to_owned(), ROW.to_owned()),
        ("content-length: 0x17\r\n".to_owned(), ROW.to_owned()),
        ("content-length: 99999999999999999999999\r\n".to_owned(), ROW.to_owned()),
        ("transfer-encoding: gzip\r\n".to_owned(), ROW.to_owned()),
        ("transfer-encoding: chunked, gzip\r\n".to_owned(), chunked.clone()),
        ("transfer-encoding: chunked\r\n".to_owned(), format!("zz\r\n{ROW}\r\n0\r\n\r\n{hidden}")),
        ("transfer-encoding: chunked\r\n".to_owned(), format!("fffffffffffffffff\r\n{ROW}{hidden}")),
        ("transfer-encoding: chunked\r\n".to_owned(), format!("{:x}\r\n{ROW}0\r\n\r\n{hidden}", ROW.len())),
        ("content-length : 23\r\n".to_owned(), ROW.to_owned()),
        ("x: a\rb\r\ncontent-length: 23\r\n".to_owned(), ROW.to_owned()),
        ("x: a\0b\r\ncontent-length: 23\r\n".to_owned(), ROW.to_owned()),
    ] {
        let answers = raw(address, framed(&framing, &body).as_bytes()).await;
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert!(
            statuses.len() <= 1 && statuses.iter().all(|s| [400, 408].contains(s)),
            "{framing}: {answers:?}"
        );
    }
    // Both lengths at once: the transfer coding counts, and whatever follows is not heard.
    let both = framed("content-length: 4\r\ntransfer-encoding: chunked\r\n", &format!("{chunked}{hidden}"));
    let answers = raw(address, both.as_bytes()).await;
    assert!(answers.iter().all(|answer| answer.status == 400 || answer.body == "[20.0]"), "{answers:?}");
    assert!(!answers.iter().any(|answer| answer.body.contains("mlops_http")), "{answers:?}");
    // Many headers, a long one, a long address.
    let many: String = (0..200).map(|i| format!("x-{i}: y\r\n")).collect();
    let long = format!("/{}", "a".repeat(70_000));
    for request in [framed(&many, ""), get(&long, "")] {
        let answers = raw(address, request.as_bytes()).await;
        assert!(answers.iter().all(|answer| [400, 414, 431].contains(&answer.status)), "{answers:?}");
    }
    assert_eq!(score(address, "", ROW).await.status, 200);
    assert_eq!(metric(address, "mlops_http_panics_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_another_protocol_gets_no_prediction() {
    let running = World::new().await.start(|server| server).await;
    let address = running.local_addr();
    let tls =
        [&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03][..], &[0xff; 500]].concat();
    let upgrade = format!(
        "GET /v2 HTTP/1.1\r\nhost: localhost\r\n{}connection: upgrade, http2-settings\r\n",
        with_key()
    );
    for bytes in [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        tls,
        b"GET /v2 HTTP/3.0\r\nhost: localhost\r\n\r\n".to_vec(),
        b"GET /v2\r\n\r\n".to_vec(),
        b"G\xffT /v2 HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
        vec![0; 1_000],
    ] {
        for answer in raw(address, &bytes).await {
            assert!((400..=505).contains(&answer.status), "{answer:?}");
        }
    }
    // An offer to speak HTTP/2 is passed over; a client of HTTP/1.0 is answered, and hung up on.
    let mut client = Client::to(address).await;
    assert_eq!(
        client.ask(&format!("{upgrade}upgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n\r\n")).await.status,
        200
    );
    let old = post("/score", "", ROW).replace("HTTP/1.1", "HTTP/1.0");
    let mut client = Client::to(address).await;
    client.send(old.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.0.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.0 200") && answer.ends_with("[20.0]"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_come_at_once_are_answered_in_turn() {
    let running = World::new().await.start(|server| server).await;
    let bodies = (0..50).map(|age| post("/score", "", &format!(r#"{{"data": [{{"age": {age}}}]}}"#)));
    let mut client = Client::to(running.local_addr()).await;
    client.send(bodies.collect::<String>().as_bytes()).await.unwrap();
    // Read one after the other: what came with an answer beyond its end belongs to the next.
    let mut bytes = Vec::new();
    let expected: Vec<String> = (0..50).map(|age| format!("[{:?}]", f64::from(age) * 2.0)).collect();
    let mut found = Vec::new();
    while found.len() < expected.len() {
        let mut piece = [0; 4096];
        let n = client.0.read(&mut piece).await.unwrap();
        assert!(n > 0, "it hung up after {} answers", found.len());
        bytes.extend_from_slice(&piece[..n]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        found = text
            .split("\r\n\r\n")
            .skip(1)
            .filter_map(|rest| Some(rest.split_once(']')?.0.to_owned() + "]"))
            .collect();
    }
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_caller_is_answered_if_it_is_done_in_time_and_else_told() {
    let limits =
        Limits::default().with_body_timeout(Duration::from_secs(3)).with_max_in_flight(1).with_max_waiting(0);
    let running = World::new().await.start(|server| server.with_limits(limits)).await;
    let address = running.local_addr();
    let whole = post("/score", "", ROW);
    let head = whole.len() - ROW.len();
    // Fifty callers whose bodies come to an end three bytes at a time, while there is one place: who is slow holds none.
    // They end only after another one was answered.
    let (go, wait) = tokio::sync::watch::channel(false);
    let slow = (0..50).map(|_| {
        let (whole, mut wait) = (whole.clone(), wait.clone());
        tokio::spawn(async move {
            let mut client = Client::to(address).await;
            client.send(&whole.as_bytes()[..head]).await.unwrap();
            let (last, body) = whole.as_bytes()[head..].split_last().unwrap();
            for piece in body.chunks(3) {
                tokio::time::sleep(Duration::from_millis(5)).await;
                client.send(piece).await.unwrap();
            }
            wait.wait_for(|go| *go).await.unwrap();
            client.send(&[*last]).await.unwrap();
            client.answer().await.expect("an answer").status
        })
    });
    let slow: Vec<JoinHandle<u16>> = slow.collect();
    assert_eq!(score(address, "", ROW).await.status, 200);
    go.send_replace(true);
    for caller in slow {
        // One place, and nobody waits for it: some may have met another one there.
        assert!([200, 429].contains(&caller.await.unwrap()));
    }
    // A body that goes on and on, always a little, is told when its time is over, not when it stops.
    let mut client = Client::to(address).await;
    client.send(framed("content-length: 1000000\r\n", "").as_bytes()).await.unwrap();
    let answer = loop {
        let _cut = client.send(b" ").await;
        let mut first = [0; 1];
        let wait = tokio::time::timeout(Duration::from_millis(20), client.0.peek(&mut first));
        if let Ok(Ok(1)) = wait.await {
            break client.answer().await.expect("an answer");
        }
    };
    answer.is_error(408, "request_timeout");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_no_answers_is_hung_up_on() {
    let limits = Limits::default().with_write_timeout(Duration::from_millis(300));
    let running = World::new().await.start(|server| server.with_limits(limits)).await;
    let address = running.local_addr();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut deaf = socket.connect(address).await.unwrap();
    // Answers of 200 kB each: the system's buffers hold some of them, and then nobody takes more.
    let rows = vec!["1"; 50_000].join(",");
    let request = post("/score", "", &format!(r#"{{"inputs": {{"age": [{rows}]}}}}"#));
    let _alone = MEMORY.lock().await;
    let before = memory("VmRSS");
    let sending = async { while deaf.write_all(request.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(60), sending).await.expect("it is hung up on");
    eventually("it is gone", async || metric(address, "mlops_http_connections ").await <= 1.0).await;
    if let (Some(before), Some(after)) = (before, memory("VmRSS")) {
        println!("resident before {before} KiB, after {after} KiB");
        assert!(after < before + 64 * 1024, "{before} KiB, then {after} KiB");
    }
    assert_eq!(score(address, "", ROW).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_texts_and_numbers_are_refused_or_read_and_take_nothing_down() {
    let _alone = MEMORY.lock().await;
    let running = World::new().await.start(|server| server).await;
    let address = running.local_addr();
    let digits = "9".repeat(2_000_000);
    for (body, status) in [
        (format!(r#"{{"data": [{{"age": {digits}}}]}}"#), 400),
        (format!(r#"{{"data": [{{"age": 0.{digits}}}]}}"#), 200),
        (format!(r#"{{"data": [{{"age": 1e-{digits}}}]}}"#), 200),
        (format!(r#"{{"data": [{{"age": 1e{digits}}}]}}"#), 400),
        (format!(r#"{{"data": [{{"age": 10, "{}": 1}}]}}"#, "k".repeat(2_000_000)), 200),
        (format!(r#"{{"data": [{{"age": 10, "plan": "{}"}}]}}"#, "p".repeat(2_000_000)), 200),
        (format!(r#"{{"data": [{}]}}"#, vec!["[]"; 1_000_000].join(",")), 400),
        (format!(r#"{{"{}": 1}}"#, "k".repeat(2_000_000)), 400),
        (
            format!(
                r#"{{"input_data": {{"columns": [{}], "data": []}}}}"#,
                vec![r#""a""#; 500_000].join(",")
            ),
            400,
        ),
        (format!(r#"{{"params": {{{}}}, "data": [[1]]}}"#, vec![r#""a":1"#; 300_000].join(",")), 400),
        (r#"{"data": [{"\u0061ge": 10}]}"#.to_owned(), 200),
        (r#"{"data": [{"age": 10, "plan": "\ud800"}]}"#.to_owned(), 400),
        (r#"{"data": [{"age": -0.0}]}"#.to_owned(), 200),
        (r#"{"data": [{"age": 010}]}"#.to_owned(), 400),
        (r#"{"data": [{"age": 10,}]}"#.to_owned(), 400),
        (r#"{'data': [{'age': 10}]}"#.to_owned(), 400),
        (r#"{"data": [{"age": Infinity}]}"#.to_owned(), 400),
        ("\u{feff}{\"data\": [{\"age\": 10}]}".to_owned(), 400),
        (r#"{"data": [{"age": [10]}]}"#.to_owned(), 400),
        (r#"{"data": [{"age": {"value": 10}}]}"#.to_owned(), 400),
        (r#"{"data": [[[10, 1, "a", true]]]}"#.to_owned(), 400),
        (r#"{"data": {"age": 10}}"#.to_owned(), 400),
        (r#"{"data": [{"age": "10"}]}"#.to_owned(), 400),
        (r#"{"data": [{"age": 10, "visits": 9223372036854775808}]}"#.to_owned(), 400),
    ] {
        let answer = score(address, "", &body).await;
        let shown: String = body.chars().take(60).collect();
        assert_eq!(answer.status, status, "{shown}: {answer:?}");
        assert!(answer.body.len() < 2_000, "{shown}: an answer of {} bytes", answer.body.len());
        if status == 400 {
            assert!(
                ["malformed_json", "invalid_input"].contains(&answer.code().as_str()),
                "{shown}: {answer:?}"
            );
        }
    }
    // What is no UTF-8.
    let mut bytes = framed("content-length: 22\r\n", r#"{"data": [{"age": ""#).into_bytes();
    bytes.extend_from_slice(b"\xff\xfe\"}");
    let mut client = Client::to(address).await;
    client.send(&bytes).await.unwrap();
    client.send(b"]}").await.unwrap();
    assert_eq!(client.answer().await.expect("an answer").status, 400);
    assert_eq!(metric(address, "mlops_http_panics_total").await, 0.0);
    assert_eq!(score(address, "", ROW).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_count_in_their_header_alone_and_once() {
    let running = World::new().await.start(|server| server).await;
    let address = running.local_addr();
    for (path, headers) in [
        (format!("/score?key={KEY}"), "authorization: none\r\n".to_owned()),
        (format!("/score?authorization=Bearer%20{KEY}"), "authorization: none\r\n".to_owned()),
        ("/score".to_owned(), format!("authorization: none\r\ncookie: key={KEY}\r\nx-api-key: {KEY}\r\n")),
        ("/score".to_owned(), format!("authorization: Bearer  {KEY} {KEY}\r\n")),
        ("/score".to_owned(), format!("authorization: Bearer {}\r\n", KEY.to_uppercase())),
        ("/score".to_owned(), format!("authorization: Bearer {}\r\n", &KEY[..KEY.len() - 1])),
        ("/score".to_owned(), format!("authorization: Bearer {}\r\n", "k".repeat(20_000))),
        ("/score".to_owned(), "authorization: Bearer k\u{e9}y\r\n".to_owned()),
        // Of two headers the first one counts, whatever the second one says.
        ("/score".to_owned(), format!("authorization: Bearer nobody\r\nauthorization: Bearer {KEY}\r\n")),
    ] {
        let answer = ask(address, &post(&path, &headers, ROW)).await;
        answer.is_error(401, "unauthorized");
    }
    // Who has no key is not heard out.
    let mut client = Client::to(address).await;
    let head = framed("content-length: 100000000\r\n", "").replace(KEY, "wrong");
    client.ask(&head).await.is_error(401, "unauthorized");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_id_of_an_inference_request_comes_back_and_parameters_are_plain() {
    let running = World::new().await.start(|server| server).await;
    let address = running.local_addr();
    let inputs = json!([{"name": "age", "shape": [1], "datatype": "FP64", "data": [10]}]);
    let infer =
        async |body: Value| ask(address, &post("/v2/models/scores/infer", "", &body.to_string())).await;
    let long = "i".repeat(5_000);
    for id in ["", "42", "with \"quotes\" and \u{1f4a1}", long.as_str()] {
        let answer = infer(json!({"id": id, "inputs": inputs})).await;
        assert_eq!((answer.status, &answer.json()["id"]), (200, &json!(id)), "{answer:?}");
    }
    let answer = infer(json!({"inputs": inputs})).await;
    assert!(answer.json().get("id").is_none() && answer.json().get("parameters").is_none(), "{answer:?}");
    // Parameters that nobody here knows change nothing.
    let parameters = json!({"priority": 1, "weight": 0.5, "tag": "x", "binary_data_output": true});
    let answer = infer(json!({"parameters": parameters, "inputs": inputs})).await;
    assert_eq!(answer.json()["outputs"][0]["data"], json!([20.0]));
    for bad in [json!([1]), json!("x"), json!({"a": [1]}), json!({"a": {}}), json!({"a": null})] {
        let answer = infer(json!({"parameters": bad, "inputs": inputs})).await;
        answer.is_error(400, "invalid_input");
        let with =
            json!([{"name": "age", "shape": [1], "datatype": "FP64", "data": [10], "parameters": bad}]);
        infer(json!({"inputs": with})).await.is_error(400, "invalid_input");
    }
    for bad in [json!(7), json!(["x"]), json!({})] {
        infer(json!({"id": bad, "inputs": inputs})).await.is_error(400, "invalid_input");
    }
    let key = with_key();
    assert_eq!(ask(address, &get("/v2/", &key)).await.json(), ask(address, &get("/v2", &key)).await.json());
}

/// Where the other process finds the server, and how often it connects.
const IDLE: &str = "MLOPS_TEST_IDLE_CONNECTIONS";

/// The other end of the test below: holds connections open until its input ends.
#[test]
fn idle_connections_of_another_process() {
    let Ok(told) = std::env::var(IDLE) else { return };
    let (address, count) = told.split_once(' ').unwrap();
    let address: SocketAddr = address.parse().unwrap();
    let count: usize = count.parse().unwrap();
    let mut open = Vec::with_capacity(count);
    for i in 0..count {
        open.push(std::net::TcpStream::connect(address).unwrap());
        if i % 500 == 499 {
            // A connection for which the listener has no room is tried again after a second.
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    println!("\nholding {}", open.len());
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_cost_little_and_stop_nobody() {
    let running = World::new().await.start(|server| server).await;
    let address = running.local_addr();
    let limit = std::fs::read_to_string("/proc/self/limits").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("Max open files"))?.to_owned();
        line.split_whitespace().nth(3)?.parse::<usize>().ok()
    });
    let count = limit.unwrap_or(1024).saturating_sub(400).clamp(50, 10_000);
    let _alone = MEMORY.lock().await;
    let before = memory("VmRSS");
    let name = "faults::idle_connections_of_another_process";
    let mut other = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(IDLE, format!("{address} {count}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(other.stdout.take().unwrap()).lines();
    let held = tokio::task::spawn_blocking(move || {
        let holding = |line: String| line.strip_prefix("holding ").map(str::to_owned);
        let mut lines = lines.map_while(std::io::Result::ok);
        // Kept open: who writes to nobody fails.
        (lines.find_map(holding), lines)
    });
    let (held, _lines) = held.await.unwrap();
    assert_eq!(held, Some(count.to_string()));
    eventually("all are accepted", async || metric(address, "mlops_http_connections ").await >= count as f64)
        .await;
    for _ in 0..50 {
        assert_eq!(score(address, "", ROW).await.body, "[20.0]");
    }
    println!("{count} idle connections of another process (limit of open files: {limit:?})");
    if let (Some(before), Some(after)) = (before, memory("VmRSS")) {
        println!(
            "resident before {before} KiB, after {after} KiB: {} bytes a connection",
            after.saturating_sub(before) * 1024 / count as u64
        );
        assert!(after < before + 64 * 1024, "{before} KiB, then {after} KiB");
    }
    let mut input = other.stdin.take().unwrap();
    input.flush().unwrap();
    drop(input);
    assert!(other.wait().unwrap().success());
    eventually("all have ended", async || metric(address, "mlops_http_connections ").await <= 2.0).await;
}
