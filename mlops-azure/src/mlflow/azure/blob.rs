//! Blobs at signed addresses: put once, in whole or in blocks, and read to their end whatever breaks off.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use futures_util::StreamExt as _;
use mlops_core::artifact::ByteStream;
use mlops_core::governance::Secret;
use mlops_core::hash::Digest;
use mlops_core::{Error, ErrorKind, Result};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH, RANGE};
use reqwest::{Method, Url};

use crate::artifact::spool::Spool;
use crate::http::{
    HttpBody, HttpRequest, HttpResponse, HttpTransport, Repeat, RetryPolicy, StorageHosts, retry,
};

/// The version of Storage's API.
const VERSION: HeaderValue = HeaderValue::from_static("2023-11-03");
const X_MS_VERSION: HeaderName = HeaderName::from_static("x-ms-version");
const BLOB_TYPE: HeaderName = HeaderName::from_static("x-ms-blob-type");
/// What content hashes to, beside it: by this it is checked when it comes back.
const DIGEST: HeaderName = HeaderName::from_static("x-ms-meta-mlops_sha256");

/// The longest answer that is not content.
const MAX_ANSWER: usize = 16 << 20;

/// The most blocks that a blob has.
const MAX_BLOCKS: u64 = 50_000;

/// How often in a row a transfer is taken up again without a byte more.
const TRIES: u32 = 4;

/// Sends to Storage. No request has credentials but those in its address.
#[derive(Clone)]
pub(super) struct Blobs {
    pub transport: Arc<dyn HttpTransport>,
    pub retry: RetryPolicy,
    pub timeout: Duration,
    /// From how many bytes on content goes up in blocks, and how long one is.
    pub part: u64,
    /// Where signed addresses may lead.
    pub hosts: StorageHosts,
}

impl fmt::Debug for Blobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blobs").field("part", &self.part).finish_non_exhaustive()
    }
}

/// What became of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    Done,
    /// Something is there already: this content, if an answer was lost, or other.
    There,
}

/// What is known of a blob without reading it.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub size: u64,
    pub digest: Option<Digest>,
    etag: HeaderValue,
}

impl Stored {
    fn of(operation: &'static str, response: &HttpResponse) -> Result<Self> {
        let size = response.header("content-length").and_then(|text| text.parse().ok());
        let size = size.ok_or_else(|| {
            Error::new(ErrorKind::Protocol, operation, "the storage does not say how long the content is")
        })?;
        let digest = response.header(DIGEST.as_str());
        let digest = digest.and_then(|hex| format!("sha256:{hex}").parse().ok());
        // A page that somebody on the way puts in its place has none.
        let etag = response.headers.get("etag").cloned().ok_or_else(|| {
            Error::new(ErrorKind::Protocol, operation, "the answer is not one of the storage")
        })?;
        Ok(Self { size, digest, etag })
    }
}

fn refused(operation: &'static str, response: &HttpResponse) -> Error {
    let kind = match response.status {
        401 | 403 => ErrorKind::Auth,
        404 => ErrorKind::NotFound,
        409 | 412 => ErrorKind::Conflict,
        413 => ErrorKind::LimitExceeded,
        429 => ErrorKind::RateLimited,
        408 | 504 => ErrorKind::Timeout,
        500..=599 => ErrorKind::Transport,
        _ => ErrorKind::Protocol,
    };
    let error =
        Error::new(kind, operation, "the storage refuses the request").with("status", response.status);
    match code(response) {
        Some(code) => error.with("code", code),
        None => error,
    }
}

/// The storage's word for what is wrong.
fn code(response: &HttpResponse) -> Option<&str> {
    let plain = |code: &&str| code.len() <= 64 && code.bytes().all(|b| b.is_ascii_alphanumeric());
    response.header("x-ms-error-code").filter(plain)
}

fn is_there(response: &HttpResponse) -> bool {
    matches!(code(response), Some("BlobAlreadyExists" | "UnauthorizedBlobOverwrite" | "ConditionNotMet"))
        || (response.status == 412)
}

/// The signed address, checked: it comes from a service, but over the wire.
fn address(hosts: &StorageHosts, operation: &'static str, signed: &Secret) -> Result<Url> {
    let bad = |message| Error::new(ErrorKind::Protocol, operation, message);
    let url = Url::parse(signed.expose()).map_err(|_| bad("the signed address is none"))?;
    hosts.check(operation, &url)?;
    Ok(url)
}

impl Blobs {
    async fn send(
        &self,
        operation: &'static str,
        (method, url): (Method, Url),
        mut headers: HeaderMap,
        body: HttpBody,
        collect: Option<usize>,
    ) -> Result<HttpResponse> {
        headers.insert(X_MS_VERSION, VERSION);
        let mut request = HttpRequest::new(method, url);
        (request.headers, request.body, request.timeout) = (headers, body, self.timeout);
        retry::send(&*self.transport, &self.retry, operation, Repeat::Safe, collect, request).await
    }

    /// Puts content where nothing is yet.
    pub(super) async fn put(&self, operation: &'static str, signed: &Secret, spool: &Spool) -> Result<Put> {
        let url = address(&self.hosts, operation, signed)?;
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        if let Ok(digest) = HeaderValue::from_str(&spool.blob.digest.hex()) {
            headers.insert(DIGEST, digest);
        }
        match spool.in_memory().filter(|_| spool.blob.size <= self.part) {
            Some(bytes) => {
                headers.insert(BLOB_TYPE, HeaderValue::from_static("BlockBlob"));
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
                let sent = self.send(operation, (Method::PUT, url), headers, bytes.into(), Some(MAX_ANSWER));
                settled(operation, &sent.await?)
            }
            None => self.put_blocks(operation, &url, headers, spool).await,
        }
    }

    /// Stages what is not staged yet, and then names all of it: until then there is nothing, and at once all of it.
    async fn put_blocks(
        &self,
        operation: &'static str,
        url: &Url,
        headers: HeaderMap,
        spool: &Spool,
    ) -> Result<Put> {
        let size = spool.blob.size;
        let part = self.part.max(1).max(size.div_ceil(MAX_BLOCKS));
        let mut tried = 0;
        loop {
            let staged = self.staged(operation, url).await?;
            let mut list = String::from(r#"<?xml version="1.0" encoding="utf-8"?><BlockList>"#);
            for (number, start) in (0..size).step_by(usize::try_from(part).unwrap_or(usize::MAX)).enumerate()
            {
                let end = start.saturating_add(part).min(size);
                let limit = usize::try_from(end - start).unwrap_or(usize::MAX);
                let bytes = spool.stream(operation, start..end).await?.collect(limit).await?;
                let id = block_id(number, &bytes);
                if !staged.contains(&id) {
                    self.stage(operation, url, &id, bytes).await?;
                }
                list.push_str(&format!("<Latest>{id}</Latest>"));
            }
            list.push_str("</BlockList>");
            let mut target = url.clone();
            target.query_pairs_mut().append_pair("comp", "blocklist");
            let body = HttpBody::from(list);
            let sent = self.send(operation, (Method::PUT, target), headers.clone(), body, Some(MAX_ANSWER));
            let response = sent.await?;
            tried += 1;
            // Whoever named other blocks meanwhile, or the storage's broom, took these away.
            if code(&response) == Some("InvalidBlockList") && tried < TRIES {
                continue;
            }
            return settled(operation, &response);
        }
    }

    /// The blocks that an upload before this one left: they need not be sent again.
    async fn staged(&self, operation: &'static str, url: &Url) -> Result<Vec<String>> {
        let mut url = url.clone();
        url.query_pairs_mut().append_pair("comp", "blocklist").append_pair("blocklisttype", "uncommitted");
        let sent = self
            .send(operation, (Method::GET, url), HeaderMap::new(), HttpBody::Empty, Some(MAX_ANSWER))
            .await?;
        match sent.status {
            200 => {
                let text = sent.body.collect(MAX_ANSWER).await?;
                Ok(names(&String::from_utf8_lossy(&text)))
            }
            // Nothing there, or an address that is good for writing alone: then all of it is sent.
            403 | 404 => Ok(Vec::new()),
            _ => Err(refused(operation, &sent)),
        }
    }

    async fn stage(&self, operation: &'static str, url: &Url, id: &str, bytes: Bytes) -> Result<()> {
        let mut url = url.clone();
        url.query_pairs_mut().append_pair("comp", "block").append_pair("blockid", id);
        let sent = self.send(operation, (Method::PUT, url), HeaderMap::new(), bytes.into(), Some(MAX_ANSWER));
        settled(operation, &sent.await?).map(drop)
    }

    /// What is at an address; nothing, if nothing was put there yet.
    pub(super) async fn look(&self, operation: &'static str, signed: &Secret) -> Result<Option<Stored>> {
        let url = address(&self.hosts, operation, signed)?;
        let sent =
            self.send(operation, (Method::HEAD, url), HeaderMap::new(), HttpBody::Empty, Some(MAX_ANSWER));
        let response = sent.await?;
        match response.status {
            200 => Stored::of(operation, &response).map(Some),
            404 => Ok(None),
            _ => Err(refused(operation, &response)),
        }
    }

    /// Begins to read.
    pub(super) async fn open(
        &self,
        operation: &'static str,
        signed: &Secret,
    ) -> Result<Option<(Stored, ByteStream)>> {
        let url = address(&self.hosts, operation, signed)?;
        let response =
            self.send(operation, (Method::GET, url.clone()), HeaderMap::new(), HttpBody::Empty, None).await?;
        match response.status {
            200 => {}
            404 => return Ok(None),
            _ => return Err(refused(operation, &response)),
        }
        let stored = Stored::of(operation, &response)?;
        let reading = Reading {
            blobs: self.clone(),
            operation,
            url,
            stored: stored.clone(),
            body: Some(response.body),
            at: 0,
            tried: 0,
        };
        let pieces = futures_util::stream::try_unfold(reading, Reading::next);
        Ok(Some((stored, ByteStream::new(pieces))))
    }
}

fn settled(operation: &'static str, response: &HttpResponse) -> Result<Put> {
    match response.status {
        201 => Ok(Put::Done),
        _ if is_there(response) => Ok(Put::There),
        _ => Err(refused(operation, response)),
    }
}

/// A block is named by its place and its content, so that it is known again; all names are of one length.
fn block_id(number: usize, bytes: &[u8]) -> String {
    let hex = Digest::of(bytes).hex();
    let text = format!("{number:08}{}", hex.get(..28).unwrap_or_default());
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// The names in a list of blocks; no more than a blob can have.
fn names(xml: &str) -> Vec<String> {
    let name = |part: &str| part.split_once("</Name>").map(|(name, _)| name.to_owned());
    xml.split("<Name>").skip(1).take(MAX_BLOCKS as usize).filter_map(name).collect()
}

/// A download under way.
struct Reading {
    blobs: Blobs,
    operation: &'static str,
    url: Url,
    stored: Stored,
    body: Option<ByteStream>,
    at: u64,
    tried: u32,
}

impl Reading {
    /// The next piece; where the connection breaks, from there on over another.
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        loop {
            let mut body = match self.body.take() {
                Some(body) => body,
                None => self.blobs.take_up(self.operation, &self.url, &self.stored, self.at).await?,
            };
            match body.next().await {
                Some(Ok(piece)) => {
                    self.at = self.at.saturating_add(piece.len() as u64);
                    if self.at > self.stored.size {
                        let error = Error::limit(self.operation, "the content", self.stored.size, self.at);
                        return Err(error);
                    }
                    (self.tried, self.body) = (0, Some(body));
                    return Ok(Some((piece, self)));
                }
                None if self.at == self.stored.size => return Ok(None),
                Some(Err(error)) if !error.is_retryable() || self.tried >= TRIES => return Err(error),
                None if self.tried >= TRIES => {
                    let message = "the content ends before it should";
                    return Err(Error::new(ErrorKind::Transport, self.operation, message)
                        .with("expected", self.stored.size)
                        .with("found", self.at));
                }
                _ => {
                    tokio::time::sleep(self.blobs.retry.delay(self.tried, retry::random())).await;
                    self.tried += 1;
                }
            }
        }
    }
}

impl Blobs {
    /// Goes on to read from a place on, if it still is the same content.
    async fn take_up(
        &self,
        operation: &'static str,
        url: &Url,
        stored: &Stored,
        at: u64,
    ) -> Result<ByteStream> {
        let mut headers = HeaderMap::new();
        if at > 0
            && let Ok(range) = HeaderValue::from_str(&format!("bytes={at}-"))
        {
            headers.insert(RANGE, range);
        }
        // Other content has another tag.
        headers.insert(IF_MATCH, stored.etag.clone());
        let target = (Method::GET, url.clone());
        let response = self.send(operation, target, headers, HttpBody::Empty, None).await?;
        match response.status {
            200 if at == 0 => Ok(response.body),
            206 if at > 0 => Ok(response.body),
            _ => Err(refused(operation, &response)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_named_by_place_and_content() {
        let ids = [block_id(0, b"a"), block_id(1, b"a"), block_id(0, b"b"), block_id(49_999, b"")];
        assert!(ids.iter().all(|id| id.len() == ids[0].len() && id.len() <= 64));
        assert!(ids.iter().enumerate().all(|(i, id)| ids.iter().skip(i + 1).all(|other| other != id)));
        assert_eq!(block_id(0, b"a"), ids[0]);
    }

    #[test]
    fn lists_of_blocks_are_read_and_what_is_none_is_empty() {
        let xml = "<BlockList><Block><Name>QQ==</Name><Size>1</Size></Block><Block><Name>Qg==</Name></Block></BlockList>";
        assert_eq!(names(xml), ["QQ==", "Qg=="]);
        assert!(names("<Name>QQ==").is_empty() && names("").is_empty());
    }

    #[test]
    fn content_goes_to_no_address_in_clear_text() {
        for bad in [
            "",
            "http://sa.blob.core.windows.net/c?sig=hunter2",
            "https://u:hunter2@h/c",
            "file:///etc/passwd",
        ] {
            let error = address(&StorageHosts::azure(), "op", &Secret::new(bad)).unwrap_err();
            assert!(
                error.kind() == ErrorKind::Protocol && !format!("{error:?}").contains("hunter2"),
                "{bad}"
            );
        }
        assert!(
            address(&StorageHosts::azure(), "op", &Secret::new("https://sa.blob.core.windows.net/c?sig=x"))
                .is_ok()
        );
    }
}
