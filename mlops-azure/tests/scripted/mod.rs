//! An HTTP server on this machine that answers what it is told, and remembers what it was asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What the server does with one request.
#[derive(Clone, Debug)]
pub enum Step {
    /// Writes these bytes as they are, and closes the connection.
    Raw(Vec<u8>),
    /// Closes the connection without an answer.
    Hangup,
    /// Never answers.
    Silence,
    /// Begins an answer and goes on with a byte every ten milliseconds, without end.
    Drip,
}

/// An answer with a status, headers and a body.
pub fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Step {
    let mut text =
        format!("HTTP/1.1 {status} Scripted\r\ncontent-length: {}\r\nconnection: close\r\n", body.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    Step::Raw(format!("{text}\r\n{body}").into_bytes())
}

/// An answer in JSON.
pub fn ok(body: &str) -> Step {
    answer(200, &[("content-type", "application/json")], body)
}

/// The server; ends with the test.
pub struct Scripted {
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    /// A server that takes one step for each request, and repeats the last one.
    pub async fn start(steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(serve(listener, steps, seen.clone()));
        Self { port, seen }
    }

    /// Its address. `localhost` and `127.0.0.1` are two hosts to a client.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Every request so far, head and body.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(listener: TcpListener, steps: Vec<Step>, seen: Arc<Mutex<Vec<String>>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        tokio::spawn(talk(stream, steps.clone(), seen.clone()));
    }
}

async fn talk(mut stream: TcpStream, steps: Vec<Step>, seen: Arc<Mutex<Vec<String>>>) {
    let Some(request) = read(&mut stream).await else { return };
    let step = {
        let mut seen = seen.lock().unwrap();
        seen.push(request);
        steps[(seen.len() - 1).min(steps.len() - 1)].clone()
    };
    match step {
        Step::Raw(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Step::Hangup => {}
        Step::Silence => std::future::pending().await,
        Step::Drip => {
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
            let _ = stream.write_all(head).await;
            while stream.write_all(b" ").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

/// A request with its body, by `content-length` or in chunks.
async fn read(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 65_536];
    loop {
        let n = stream.read(&mut buffer).await.ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_ascii_lowercase();
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        let chunked = head.contains("transfer-encoding: chunked");
        if if chunked { body.ends_with("0\r\n\r\n") } else { body.len() >= length } {
            return Some(text);
        }
    }
}
