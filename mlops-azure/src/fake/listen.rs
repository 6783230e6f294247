//! The fake over HTTP, for other processes on this machine.

use std::fmt;
use std::net::SocketAddr;

use mlops_core::{Error, ErrorKind, Result};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use reqwest::{Method, Url};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::azure::FakeAzure;
use super::exchange::{FakeAnswer, FakeRequest};
use crate::config::Cloud;
use crate::http::guard::is_loopback;

const OP: &str = "FakeAzure::listen";

/// The longest head of a request.
const LONGEST_HEAD: usize = 64 << 10;

/// The longest body of a request.
const LONGEST_BODY: usize = 64 << 20;

/// A fake that listens; it ends when this is dropped.
///
/// Behind this address are Resource Manager and the issuer of tokens (`POST /TENANT/oauth2/v2.0/token`, which gives a token to
/// whoever names a scope). Links in answers lead back to this address. Whoever sends another `Host` reaches that host's part.
pub struct FakeListener {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl FakeListener {
    /// Where it listens: `http://127.0.0.1:…`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for FakeListener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for FakeListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeListener").field("address", &self.address).finish_non_exhaustive()
    }
}

impl FakeAzure {
    /// Listens at an address of this machine; port 0 takes one that is free. Needs a runtime of `tokio` with I/O.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an address that others reach too; [`ErrorKind::Transport`] for one that cannot be had.
    ///
    /// ```
    /// use mlops_azure::fake::FakeAzure;
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let listener = FakeAzure::new().listen("127.0.0.1:0".parse().unwrap()).await?;
    /// assert!(listener.url().starts_with("http://127.0.0.1:"));
    /// assert!(FakeAzure::new().listen("0.0.0.0:0".parse().unwrap()).await.is_err());
    /// # Ok::<(), mlops_core::Error>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn listen(&self, address: SocketAddr) -> Result<FakeListener> {
        if !address.ip().is_loopback() {
            let reason = "must be an address of this machine alone";
            return Err(Error::invalid(OP, "address", reason).with("value", address));
        }
        let failed = |e: std::io::Error| {
            Error::new(ErrorKind::Transport, OP, "cannot listen").with("address", address).with_source(e)
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let task = tokio::spawn(serve(self.clone(), listener, format!("http://{address}")));
        Ok(FakeListener { address, task })
    }
}

async fn serve(azure: FakeAzure, listener: TcpListener, own: String) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => drop(connections.spawn(talk(azure.clone(), stream, own.clone()))),
            // Too many open files, for one: it may pass.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
}

/// Answers the requests of one connection until it ends, or an answer is lost.
async fn talk(azure: FakeAzure, mut stream: TcpStream, own: String) {
    let mut read = Vec::new();
    while let Some(request) = next_request(&mut stream, &mut read).await {
        let is_head = request.method == Method::HEAD;
        let is_own = request.host() == Cloud::Public.resource_manager();
        let Ok(answer) = azure.exchange(&request).await else { return };
        let answer = if is_own { led_back(answer, &own) } else { answer };
        if stream.write_all(&written(&answer, is_head)).await.is_err() {
            return;
        }
    }
}

/// An answer as bytes.
fn written(answer: &FakeAnswer, is_head: bool) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {} Fake\r\n", answer.status).into_bytes();
    for (name, value) in answer.headers.iter().filter(|(name, _)| *name != TRANSFER_ENCODING) {
        if is_head || *name != CONTENT_LENGTH {
            out.extend_from_slice(name.as_str().as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
    let has_body = !is_head && !matches!(answer.status, 204 | 304);
    if has_body {
        out.extend_from_slice(format!("content-length: {}\r\n", answer.body.len()).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    if has_body {
        out.extend_from_slice(&answer.body);
    }
    out
}

/// The same answer with its links to Resource Manager leading to this address.
fn led_back(mut answer: FakeAnswer, own: &str) -> FakeAnswer {
    let arm = format!("https://{}", Cloud::Public.resource_manager());
    for (_, value) in &mut answer.headers {
        let link = value.to_str().ok().filter(|text| text.starts_with(&arm));
        if let Some(link) = link.and_then(|link| HeaderValue::try_from(link.replacen(&arm, own, 1)).ok()) {
            *value = link;
        }
    }
    let is_json =
        answer.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if let Some(text) = std::str::from_utf8(&answer.body).ok().filter(|text| is_json && text.contains(&arm)) {
        answer.body = text.replace(&format!("\"{arm}/"), &format!("\"{own}/")).into();
    }
    answer
}

/// The next request of a connection; `None` at its end, and for what is no HTTP.
async fn next_request(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<FakeRequest> {
    let head_end = loop {
        if let Some(at) = find(read, b"\r\n\r\n") {
            break at;
        }
        if read.len() > LONGEST_HEAD {
            return None;
        }
        more(stream, read).await?;
    };
    let head = String::from_utf8(read.drain(..head_end + 4).collect()).ok()?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (Method::from_bytes(first.next()?.as_bytes()).ok()?, first.next()?);
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        headers.append(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value.trim()).ok()?);
    }
    if headers.get("expect").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_chunked = text("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
    let url = address(text("host").unwrap_or_default(), target)?;
    let body = match is_chunked {
        true => chunks(stream, read).await?,
        false => {
            let length = text("content-length").map_or(Some(0), |length| length.parse().ok())?;
            take(stream, read, length).await?
        }
    };
    Some(FakeRequest { method, url, headers, body: body.into() })
}

/// The address that is meant: this machine is Resource Manager and the issuer of tokens, any other host itself.
fn address(host: &str, target: &str) -> Option<Url> {
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    if !target.starts_with('/') || host.is_empty() || !host.chars().all(is_host) {
        return None;
    }
    let here: Url = format!("http://{host}{target}").parse().ok()?;
    let is_token = here.path().ends_with("/oauth2/v2.0/token");
    match is_loopback(&here) {
        true if is_token => format!("https://{}{target}", Cloud::Public.authority()).parse().ok(),
        true => format!("https://{}{target}", Cloud::Public.resource_manager()).parse().ok(),
        false => format!("https://{host}{target}").parse().ok(),
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Reads some more; `None` at the end.
async fn more(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<()> {
    let n = stream.read_buf(read).await.ok()?;
    (n > 0).then_some(())
}

/// The next so many bytes.
async fn take(stream: &mut TcpStream, read: &mut Vec<u8>, length: usize) -> Option<Vec<u8>> {
    if length > LONGEST_BODY {
        return None;
    }
    while read.len() < length {
        more(stream, read).await?;
    }
    Some(read.drain(..length).collect())
}

/// A body in chunks.
async fn chunks(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line_end = loop {
            if let Some(at) = find(read, b"\r\n") {
                break at;
            }
            if read.len() > LONGEST_HEAD {
                return None;
            }
            more(stream, read).await?;
        };
        let line = String::from_utf8(read.drain(..line_end + 2).collect()).ok()?;
        let size = line.split(';').next().map(str::trim)?;
        let size = usize::from_str_radix(size, 16).ok()?;
        let piece = take(stream, read, size.checked_add(2)?).await?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(piece.get(..size)?);
        if body.len() > LONGEST_BODY {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn links_lead_back_and_nothing_else_changes() {
        let body = r#"{"nextLink":"https://management.azure.com/x?$skip=1","text":"see https://management.azure.com/"}"#;
        let answer = FakeAnswer::bytes(200, "application/json", body)
            .with("location", "https://management.azure.com/y");
        let answer = led_back(answer, "http://127.0.0.1:9");
        assert_eq!(answer.headers["location"], "http://127.0.0.1:9/y");
        let expected =
            r#"{"nextLink":"http://127.0.0.1:9/x?$skip=1","text":"see https://management.azure.com/"}"#;
        assert_eq!(answer.body, Bytes::from(expected));
        let head = String::from_utf8(written(&FakeAnswer::empty(204), false)).unwrap();
        assert_eq!(head, "HTTP/1.1 204 Fake\r\n\r\n");
    }

    #[test]
    fn a_request_is_for_the_host_that_it_names() {
        let url = |host: &str, target: &str| address(host, target).map(String::from);
        for host in ["127.0.0.1:80", "localhost:1", "[::1]:1"] {
            assert_eq!(url(host, "/a?b=c").as_deref(), Some("https://management.azure.com/a?b=c"));
        }
        let token = "/00000000-0000-0000-0000-00000000007e/oauth2/v2.0/token";
        assert!(url("localhost", token).unwrap().starts_with("https://login.microsoftonline.com/"));
        assert_eq!(url("churn.example", "/score").as_deref(), Some("https://churn.example/score"));
        for (host, target) in
            [("h", "http://h/"), ("", "/x"), ("a b", "/x"), ("h", ""), ("a@b", "/x"), ("a/b", "/x")]
        {
            assert_eq!(url(host, target), None, "{host} {target}");
        }
    }
}
