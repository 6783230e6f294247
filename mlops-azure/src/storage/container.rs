//! One container of blobs.
//!
//! # Version, permission, and what differs
//! Blob service, version 2023-11-03. To read and list takes the role `Storage Blob Data Reader`, to write and remove `Storage Blob Data
//! Contributor`, or a signature with `rl` and `cwd`. Blobs are consistent: what was written is read, and listed; a role that was just
//! assigned is refused for some minutes. Core has no trait for it: its local store is one folder.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use md5::{Digest as _, Md5};
use mlops_core::artifact::ByteStream;
use mlops_core::time::{Clock, SystemClock, Timestamp};
use mlops_core::{Error, ErrorKind, Result};
use object_store::azure::{MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::{BackoffConfig, ObjectStore, RetryConfig};
use reqwest::{Method, Url};

use super::account::{StorageAccount, check_container};
use super::client::{Answered, Client, Signed, between};
use super::connect::Connector;
use super::credential::StorageCredential;
use crate::http::{HttpRequest, HttpTransport, ReqwestConfig, ReqwestTransport, RetryPolicy, redact};

/// How much of a blob is asked for at once, and from how many bytes on a blob is sent in blocks.
pub(crate) const PIECE: u64 = 8 << 20;

/// How many pieces of one blob are under way at once: what of a blob is in memory is at most five pieces.
pub(crate) const PIECES_AT_ONCE: usize = 4;

/// A container of blobs in a storage account. Cheap to clone.
///
/// Every request goes through this crate's transport, is tried again as the [`RetryPolicy`] says, and follows no redirect.
/// For what is not here, [`object_store`](Self::object_store) gives the same container as an [`ObjectStore`].
///
/// ```
/// use mlops_azure::config::Cloud;
/// use mlops_azure::storage::{Container, StorageAccount, StorageCredential};
/// use mlops_core::governance::Secret;
///
/// let account = StorageAccount::named("stchurn", Cloud::Public)?;
/// let sas = StorageCredential::sas(&Secret::new("sv=2022-11-02&sr=c&sig=hunter2"))?;
/// let container = Container::builder(account, "data", sas).build()?;
/// assert_eq!(container.url("a b/c")?.as_str(), "https://stchurn.blob.core.windows.net/data/a%20b/c");
/// assert!(!format!("{container:?}").contains("hunter2"));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Container(Arc<Inner>);

struct Inner {
    name: String,
    client: Client,
    store: Arc<MicrosoftAzure>,
}

/// Builds a [`Container`].
#[must_use]
pub struct ContainerBuilder {
    account: StorageAccount,
    name: String,
    credential: StorageCredential,
    http: ReqwestConfig,
    transport: Option<Arc<dyn HttpTransport>>,
    retry: RetryPolicy,
    timeout: Duration,
    clock: Arc<dyn Clock>,
}

impl ContainerBuilder {
    /// How connections are made.
    pub fn connections(mut self, http: ReqwestConfig) -> Self {
        self.http = http;
        self
    }

    /// Sends through this transport; connections are then its own matter.
    pub fn transport(mut self, transport: Arc<dyn HttpTransport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// What is tried again.
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// The deadline of one try, which carries at most one piece of 8 MiB (larger ones for blobs of more than 390 GiB).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Where time comes from where the service does not say it.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The container. Nothing is sent yet; whether it exists, the first request shows.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a name that no container has, and for connections that cannot be set up.
    pub fn build(self) -> Result<Container> {
        const OP: &str = "ContainerBuilder::build";
        check_container(OP, &self.name)?;
        let transport = match self.transport {
            Some(transport) => transport,
            None => Arc::new(ReqwestTransport::new(&self.http)?),
        };
        let connector = Connector { transport: transport.clone(), timeout: self.timeout };
        let store = MicrosoftAzureBuilder::new()
            .with_account(self.account.name())
            .with_container_name(&self.name)
            .with_endpoint(self.account.blobs().as_str().trim_end_matches('/').to_owned())
            .with_credentials(Arc::new(self.credential.clone()))
            .with_retry(retry_config(&self.retry))
            .with_http_connector(connector)
            .build()
            .map_err(|e| told(OP, &e))?;
        let Self { account, name, credential, retry, timeout, clock, .. } = self;
        let ahead = AtomicI64::new(0);
        let client = Client { account, credential, transport, retry, timeout, clock, ahead };
        Ok(Container(Arc::new(Inner { name, client, store: Arc::new(store) })))
    }
}

impl fmt::Debug for ContainerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContainerBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}

fn retry_config(policy: &RetryPolicy) -> RetryConfig {
    let init_backoff = policy.initial.max(Duration::from_millis(1));
    let max_backoff = policy.max_delay.max(init_backoff);
    RetryConfig {
        backoff: BackoffConfig { init_backoff, max_backoff, ..BackoffConfig::default() },
        max_retries: policy.attempts.saturating_sub(1) as usize,
        retry_timeout: policy.budget,
    }
}

/// An error of `object_store`. Its texts hold what the service wrote, and URLs: they are shown without what is secret.
pub(crate) fn told(operation: &'static str, error: &object_store::Error) -> Error {
    use object_store::Error as Store;
    let kind = match error {
        Store::NotFound { .. } => ErrorKind::NotFound,
        Store::AlreadyExists { .. } => ErrorKind::AlreadyExists,
        Store::Precondition { .. } | Store::NotModified { .. } => ErrorKind::Conflict,
        Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => ErrorKind::Auth,
        Store::NotSupported { .. } | Store::NotImplemented { .. } => ErrorKind::Unsupported,
        Store::InvalidPath { .. } | Store::UnknownConfigurationKey { .. } => ErrorKind::InvalidInput,
        _ => ErrorKind::Transport,
    };
    Error::new(kind, operation, redact::text(&error.to_string(), &[], 300))
}

/// What is known of a blob.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobProperties {
    /// The length in bytes.
    pub size: u64,
    /// What names this state of the blob.
    pub etag: String,
    /// When it was last written, or its metadata was, by the service's clock; to the second.
    pub last_modified: Timestamp,
    /// The MD5 that was given when it was written; the service checks it then, and only of blobs that are written at once.
    pub md5: Option<[u8; 16]>,
    /// The metadata; names in lower case.
    pub metadata: BTreeMap<String, String>,
}

/// Under which condition a blob is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// There is none.
    New,
    /// It is still the one that was looked at.
    Same(String),
}

impl Condition {
    fn on(&self, call: Signed) -> Signed {
        match self {
            Self::New => call.header("if-none-match", "*"),
            Self::Same(etag) => call.header("if-match", quoted(etag)),
        }
    }
}

/// An ETag as headers have it: with quotation marks, which lists leave out.
fn quoted(etag: &str) -> String {
    if etag.contains('"') { etag.to_owned() } else { format!("\"{etag}\"") }
}

/// What became of a write with a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Yes,
    /// The condition does not hold.
    No,
}

impl Container {
    /// Begins to set up a container's client.
    pub fn builder(
        account: StorageAccount,
        name: impl Into<String>,
        credential: StorageCredential,
    ) -> ContainerBuilder {
        ContainerBuilder {
            account,
            name: name.into(),
            credential,
            http: ReqwestConfig::default(),
            transport: None,
            retry: RetryPolicy::default(),
            timeout: HttpRequest::TIMEOUT,
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The account.
    pub fn account(&self) -> &StorageAccount {
        &self.0.client.account
    }

    /// The same container for everything that `object_store` can do, over the same transport and credential.
    ///
    /// A key is the same here and there by `Path::parse`; `Path::from` escapes what is not ASCII, and more.
    pub fn object_store(&self) -> Arc<dyn ObjectStore> {
        self.0.store.clone()
    }

    /// The address of a blob, without anything secret.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a key that is empty, longer than 1024 characters, begins or ends with `/`, or has an
    /// empty segment, `.` or `..` in it.
    pub fn url(&self, key: &str) -> Result<Url> {
        self.address("Container::url", key)
    }

    pub(super) fn client(&self) -> &Client {
        &self.0.client
    }

    fn address(&self, operation: &'static str, key: &str) -> Result<Url> {
        let bad = |segment: &str| matches!(segment, "" | "." | "..");
        if key.chars().count() > 1024 || key.split('/').any(bad) {
            let reason = "must have 1 to 1024 characters, and no empty segment, . or .. between slashes";
            return Err(Error::invalid(operation, "key", reason).with("value", key));
        }
        let segments: Vec<&str> = std::iter::once(self.name()).chain(key.split('/')).collect();
        self.0.client.url(operation, self.account().blobs(), &segments)
    }

    /// What the service's clock says, as far as its last answer tells.
    pub(crate) fn service_now(&self) -> Timestamp {
        self.0.client.service_now()
    }

    /// Makes the container; whether it was not there before.
    ///
    /// # Errors
    /// Those of the service.
    pub async fn create(&self) -> Result<bool> {
        const OP: &str = "Container::create";
        let url = self.0.client.url(OP, self.account().blobs(), &[self.name()])?;
        let call = Signed::new(OP, Method::PUT).query("restype", "container");
        let answer = self.0.client.answer(&url, &call).await?;
        match answer.status {
            201 => Ok(true),
            409 if answer.code() == "ContainerAlreadyExists" => Ok(false),
            _ => Err(self.0.client.error(OP, &answer)),
        }
    }

    /// What is known of a blob, if it is there.
    ///
    /// # Errors
    /// Those of the service; [`ErrorKind::NotFound`] when there is no such container.
    pub async fn head(&self, key: &str) -> Result<Option<BlobProperties>> {
        self.properties("Container::head", key).await
    }

    pub(crate) async fn properties(
        &self,
        operation: &'static str,
        key: &str,
    ) -> Result<Option<BlobProperties>> {
        let url = self.address(operation, key)?;
        let answer = self.0.client.answer(&url, &Signed::new(operation, Method::HEAD)).await?;
        match answer.status {
            200 => read_properties(operation, &answer, None).map(Some),
            404 if answer.code() != "ContainerNotFound" => Ok(None),
            _ => Err(self.0.client.error(operation, &answer)),
        }
    }

    /// Reads a blob: what is known of it, and its bytes as they come.
    ///
    /// They come in pieces of 8 MiB, of which some are asked for ahead. All of them are of the same state of the blob: one
    /// that is written meanwhile is [`ErrorKind::Conflict`].
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], and those of the service.
    pub async fn get(&self, key: &str) -> Result<(BlobProperties, ByteStream)> {
        self.read("Container::get", key).await
    }

    pub(crate) async fn read(
        &self,
        operation: &'static str,
        key: &str,
    ) -> Result<(BlobProperties, ByteStream)> {
        let url = self.address(operation, key)?;
        let first =
            Signed::new(operation, Method::GET).header("x-ms-range", format!("bytes=0-{}", PIECE - 1));
        let answer = self.0.client.answer(&url, &first).await?;
        match answer.status {
            200 | 206 => {}
            // An empty blob has no first byte.
            416 => {
                let missing = || Error::not_found(operation, "blob", key);
                let properties = self.properties(operation, key).await?.ok_or_else(missing)?;
                return match properties.size {
                    0 => Ok((properties, ByteStream::from(Bytes::new()))),
                    _ => Err(self.0.client.error(operation, &answer)),
                };
            }
            404 if answer.code() != "ContainerNotFound" => {
                return Err(Error::not_found(operation, "blob", key));
            }
            _ => return Err(self.0.client.error(operation, &answer)),
        }
        let total = answer.header("content-range").and_then(|range| range.rsplit_once('/')?.1.parse().ok());
        let properties = read_properties(operation, &answer, total)?;
        let (size, etag) = (properties.size, properties.etag.clone());
        if (answer.body.len() as u64) != size.min(PIECE) {
            return Err(Error::new(ErrorKind::Protocol, operation, "the answer is not the piece asked for"));
        }
        let container = self.clone();
        let starts = (1..size.div_ceil(PIECE)).map(move |index| index * PIECE);
        let rest = futures_util::stream::iter(starts).map(move |start| {
            let (container, url, etag) = (container.clone(), url.clone(), etag.clone());
            let end = (start + PIECE).min(size);
            async move { container.piece(operation, &url, &etag, start..end).await }
        });
        let first = futures_util::stream::iter((!answer.body.is_empty()).then_some(Ok(answer.body)));
        Ok((properties, ByteStream::new(first.chain(rest.buffered(PIECES_AT_ONCE)))))
    }

    async fn piece(
        &self,
        operation: &'static str,
        url: &Url,
        etag: &str,
        range: std::ops::Range<u64>,
    ) -> Result<Bytes> {
        let call = Signed::new(operation, Method::GET)
            .header("x-ms-range", format!("bytes={}-{}", range.start, range.end.saturating_sub(1)))
            .header("if-match", quoted(etag));
        let answer = self.0.client.send(url, &call).await?;
        match answer.body.len() as u64 == range.end - range.start {
            true => Ok(answer.body),
            false => Err(Error::new(ErrorKind::Protocol, operation, "the answer is not the piece asked for")),
        }
    }

    /// Writes a blob at once. The service refuses bytes that do not have this MD5: what breaks on the way is not stored.
    pub(crate) async fn put(
        &self,
        operation: &'static str,
        key: &str,
        body: Bytes,
        condition: &Condition,
        metadata: &[(&'static str, String)],
    ) -> Result<Written> {
        let url = self.address(operation, key)?;
        let call = Signed::new(operation, Method::PUT)
            .header("x-ms-blob-type", "BlockBlob")
            .header("content-type", "application/octet-stream")
            .header("content-md5", encode_md5(&Md5::digest(&body).into()));
        let call = with_metadata(condition.on(call), metadata).body(body);
        self.written(operation, &url, &call).await
    }

    /// Sends one block of a blob to be.
    pub(crate) async fn put_block(
        &self,
        operation: &'static str,
        key: &str,
        id: &str,
        body: Bytes,
    ) -> Result<()> {
        let url = self.address(operation, key)?;
        let call = Signed::new(operation, Method::PUT)
            .query("comp", "block")
            .query("blockid", id)
            .header("content-md5", encode_md5(&Md5::digest(&body).into()))
            .body(body);
        self.0.client.send(&url, &call).await.map(drop)
    }

    /// The blocks that were sent and are in no blob yet, with their lengths. The service forgets them after a week.
    pub(crate) async fn blocks(&self, operation: &'static str, key: &str) -> Result<BTreeMap<String, u64>> {
        let url = self.address(operation, key)?;
        let call = Signed::new(operation, Method::GET)
            .query("comp", "blocklist")
            .query("blocklisttype", "uncommitted");
        let answer = self.0.client.answer(&url, &call).await?;
        match answer.status {
            200 => Ok(read_blocks(&String::from_utf8_lossy(&answer.body))),
            404 if answer.code() != "ContainerNotFound" => Ok(BTreeMap::new()),
            _ => Err(self.0.client.error(operation, &answer)),
        }
    }

    /// Makes a blob of blocks.
    pub(crate) async fn put_block_list(
        &self,
        operation: &'static str,
        key: &str,
        ids: &[String],
        md5: &[u8; 16],
        condition: &Condition,
        metadata: &[(&'static str, String)],
    ) -> Result<Written> {
        let url = self.address(operation, key)?;
        // Base64 needs no escaping in XML. The latest block of an id is one that is not in a blob yet, or else one that is:
        // who comes second with the same content finds the blocks in the blob that the first one made.
        let blocks: String = ids.iter().map(|id| format!("<Latest>{id}</Latest>")).collect();
        let body = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{blocks}</BlockList>");
        let call = Signed::new(operation, Method::PUT)
            .query("comp", "blocklist")
            .header("content-type", "application/xml")
            .header("x-ms-blob-content-type", "application/octet-stream")
            .header("x-ms-blob-content-md5", encode_md5(md5));
        let call = with_metadata(condition.on(call), metadata).body(body.into());
        self.written(operation, &url, &call).await
    }

    /// Replaces the metadata of a blob, which makes it young and gives it a new ETag.
    pub(crate) async fn set_metadata(
        &self,
        operation: &'static str,
        key: &str,
        etag: Option<&str>,
        metadata: &[(&'static str, String)],
    ) -> Result<Written> {
        let url = self.address(operation, key)?;
        let call = Signed::new(operation, Method::PUT).query("comp", "metadata");
        let call = match etag {
            Some(etag) => call.header("if-match", quoted(etag)),
            None => call,
        };
        self.written(operation, &url, &with_metadata(call, metadata)).await
    }

    /// Removes a blob and its snapshots, if it is still the one that was looked at.
    pub(crate) async fn delete_same(
        &self,
        operation: &'static str,
        key: &str,
        etag: &str,
    ) -> Result<Written> {
        let url = self.address(operation, key)?;
        let call = Signed::new(operation, Method::DELETE)
            .header("if-match", quoted(etag))
            .header("x-ms-delete-snapshots", "include");
        self.written(operation, &url, &call).await
    }

    /// Removes a blob and its snapshots; whether it was there.
    ///
    /// With soft delete the service keeps it for as long as the account says; see [`protection`](super::protection).
    ///
    /// # Errors
    /// Those of the service.
    pub async fn delete(&self, key: &str) -> Result<bool> {
        const OP: &str = "Container::delete";
        let url = self.address(OP, key)?;
        let call = Signed::new(OP, Method::DELETE).header("x-ms-delete-snapshots", "include");
        let answer = self.0.client.answer(&url, &call).await?;
        match answer.status {
            200..=299 => Ok(true),
            404 if answer.code() != "ContainerNotFound" => Ok(false),
            _ => Err(self.0.client.error(OP, &answer)),
        }
    }

    /// Sends a write; a condition that does not hold, or a blob that is not there any more, is no error.
    async fn written(&self, operation: &'static str, url: &Url, call: &Signed) -> Result<Written> {
        let answer = self.0.client.answer(url, call).await?;
        match (answer.status, answer.code()) {
            (200..=299, _) => Ok(Written::Yes),
            // What a lease refuses has the same status, and no other try would be different.
            (412, code) if !code.starts_with("Lease") => Ok(Written::No),
            (409, "BlobAlreadyExists") => Ok(Written::No),
            (404, code) if code != "ContainerNotFound" => Ok(Written::No),
            _ => Err(self.0.client.error(operation, &answer)),
        }
    }

    /// Every blob below a prefix, as the list says: key, length, ETag and time.
    pub(crate) async fn list(&self, operation: &'static str, prefix: &str) -> Result<Vec<Listed>> {
        let path = object_store::path::Path::parse(prefix)
            .map_err(|_| Error::invalid(operation, "prefix", "is no path").with("value", prefix))?;
        let listed = self.0.store.list(Some(&path)).map(|item| {
            let item = item.map_err(|e| told(operation, &e))?;
            Ok::<_, Error>(Listed {
                key: item.location.to_string(),
                size: item.size,
                etag: item.e_tag.unwrap_or_default(),
                last_modified: item.last_modified,
            })
        });
        listed.try_collect().await
    }
}

/// A blob in a list.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub key: String,
    pub size: u64,
    pub etag: String,
    pub last_modified: Timestamp,
}

fn with_metadata(mut call: Signed, metadata: &[(&'static str, String)]) -> Signed {
    for (name, value) in metadata {
        call = call.header(name, value.as_str());
    }
    call
}

pub(crate) fn encode_md5(md5: &[u8; 16]) -> String {
    BASE64_STANDARD.encode(md5)
}

fn read_properties(operation: &'static str, answer: &Answered, total: Option<u64>) -> Result<BlobProperties> {
    let bad = |what: &str| {
        Error::new(ErrorKind::Protocol, operation, "storage does not say what a blob has")
            .with("missing", what)
    };
    let size = total.or_else(|| answer.header("content-length")?.parse().ok());
    let time =
        answer.header("last-modified").and_then(|text| chrono::DateTime::parse_from_rfc2822(text).ok());
    // Of a piece, `Content-MD5` would be that of the piece.
    let md5 = answer.header("x-ms-blob-content-md5").or_else(|| match answer.status {
        206 => None,
        _ => answer.header("content-md5"),
    });
    let metadata = answer.headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix("x-ms-meta-")?;
        Some((name.to_ascii_lowercase(), value.to_str().ok()?.to_owned()))
    });
    Ok(BlobProperties {
        size: size.ok_or_else(|| bad("Content-Length"))?,
        etag: answer.header("etag").ok_or_else(|| bad("ETag"))?.to_owned(),
        last_modified: time.ok_or_else(|| bad("Last-Modified"))?.to_utc(),
        md5: md5.and_then(|text| BASE64_STANDARD.decode(text).ok()?.try_into().ok()),
        metadata: metadata.collect(),
    })
}

/// Reads `<Block><Name>…</Name><Size>…</Size></Block>`, as often as it is there.
fn read_blocks(xml: &str) -> BTreeMap<String, u64> {
    let blocks = xml.split("<Block>").skip(1).filter_map(|block| {
        let name = between(block, "<Name>", "</Name>")?;
        let size = between(block, "<Size>", "</Size>")?.trim().parse().ok()?;
        Some((name.trim().to_owned(), size))
    });
    blocks.collect()
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Container")
            .field("account", &self.account().name())
            .field("name", &self.0.name)
            .field("credential", &self.0.client.credential)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_blocks_is_read_and_what_is_none_reads_as_none() {
        let xml = "<?xml version=\"1.0\"?><BlockList><UncommittedBlocks><Block><Name>QUE=</Name><Size>8</Size></Block>\
                   <Block><Name>QUI=</Name><Size>9</Size></Block></UncommittedBlocks></BlockList>";
        let expected = BTreeMap::from([("QUE=".to_owned(), 8), ("QUI=".to_owned(), 9)]);
        assert_eq!(read_blocks(xml), expected);
        for odd in
            ["", "<BlockList/>", "<Block><Name>x</Name>", "<Block><Name>x</Name><Size>-1</Size>", "<Block>"]
        {
            assert!(read_blocks(odd).is_empty(), "{odd}");
        }
    }

    #[test]
    fn a_key_cannot_leave_the_container() {
        let account = StorageAccount::named("stchurn", crate::config::Cloud::Public).unwrap();
        let key =
            StorageCredential::account_key(&mlops_core::governance::Secret::new("aHVudGVyMg==")).unwrap();
        let container = Container::builder(account.clone(), "data", key.clone()).build().unwrap();
        for bad in ["", "/a", "a/", "a//b", "..", "a/../b", "./a", "x".repeat(1025).as_str()] {
            assert_eq!(container.url(bad).unwrap_err().context("field"), Some("key"), "{bad}");
        }
        for (key, path) in
            [("a?b#c", "/data/a%3Fb%23c"), ("100%/é", "/data/100%25/%C3%A9"), ("a\\b", "/data/a%5Cb")]
        {
            assert_eq!(container.url(key).unwrap().path(), path);
        }
        assert!(Container::builder(account, "../other", key).build().is_err());
    }
}
