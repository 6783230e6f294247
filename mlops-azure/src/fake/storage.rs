//! Storage in memory: blobs, the Data Lake's access lists, and what a workspace says of its datastores' secrets.
//!
//! What it does as the service does: names and addresses of accounts; keys, signatures and tokens are asked for, a signature is one
//! that was made here, for one container and for a time; conditions on every write; MD5 of what is sent; blocks that are in no blob
//! yet, and a list of blocks that names what is not there; ranges; metadata, which makes a blob young; lists in pages, with ETags in
//! the form that lists have; times to the second; access lists of whole trees in batches, with failures in an answer that is a
//! success; retention of 1 to 365 days, and no versions where there is a hierarchical namespace.
//!
//! What it does not: the signature of a shared key is not recomputed (Azurite does that), nothing is kept that was removed, and there
//! are no leases, snapshots, tags, copies, batches and tiers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use chrono::TimeDelta;
use md5::{Digest as _, Md5};
use mlops_core::governance::Secret;
use mlops_core::time::Timestamp;
use percent_encoding::percent_decode_str;
use reqwest::Method;
use serde_json::{Value, json};

use super::azure::FakeAzure;
use super::exchange::{FakeAnswer, FakePart, FakeRequest};
use super::state::guid;
use crate::config::cloud::Audience;
use crate::storage::AclEntry;

/// How many blobs a page of a list has.
const PAGE: usize = 10;

/// The suffix of accounts.
const SUFFIX: &str = "core.windows.net";

/// Storage in memory. Clones are the same storage; plug one in to look at it.
///
/// ```
/// use mlops_azure::fake::{FakeAzure, FakeStorage};
/// use mlops_azure::storage::Datastores;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let (azure, storage) = (FakeAzure::new(), FakeStorage::default());
/// azure.plug(storage.clone());
/// let datastores = Datastores::new(azure.arm(), azure.place()).transport(azure.transport());
/// let container = datastores.container("workspaceblobstore").await?;
/// assert_eq!(container.head("nothing").await?, None);
/// assert!(storage.blobs("stfake", container.name()).is_empty());
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct FakeStorage(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    containers: BTreeMap<String, Container>,
    signatures: BTreeMap<String, Grant>,
    writes: u64,
    locked: BTreeSet<String>,
}

#[derive(Default)]
struct Container {
    blobs: BTreeMap<String, Blob>,
    /// Blocks that are in no blob yet, by key.
    blocks: BTreeMap<String, BTreeMap<String, Bytes>>,
    /// Access lists by path.
    lists: BTreeMap<String, BTreeMap<String, String>>,
}

struct Blob {
    bytes: Bytes,
    etag: String,
    modified: Timestamp,
    md5: Option<String>,
    metadata: BTreeMap<String, String>,
    blocks: BTreeMap<String, Bytes>,
}

/// What a signature lets somebody do.
struct Grant {
    container: String,
    until: Timestamp,
}

/// The name of a container with its account.
fn full(account: &str, container: &str) -> String {
    format!("{account}/{container}")
}

impl FakeStorage {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a container.
    pub fn create(&self, account: &str, container: &str) {
        self.state().containers.entry(full(account, container)).or_default();
    }

    /// The blobs of a container.
    pub fn blobs(&self, account: &str, container: &str) -> BTreeMap<String, Bytes> {
        let state = self.state();
        let blobs = state.containers.get(&full(account, container)).map(|c| &c.blobs);
        blobs.into_iter().flatten().map(|(key, blob)| (key.clone(), blob.bytes.clone())).collect()
    }

    /// The metadata of a blob.
    pub fn metadata(&self, account: &str, container: &str, key: &str) -> BTreeMap<String, String> {
        let state = self.state();
        let blob = state.containers.get(&full(account, container)).and_then(|c| c.blobs.get(key));
        blob.map(|blob| blob.metadata.clone()).unwrap_or_default()
    }

    /// How many blocks of a key are in no blob yet.
    pub fn uncommitted(&self, account: &str, container: &str, key: &str) -> usize {
        let state = self.state();
        state
            .containers
            .get(&full(account, container))
            .and_then(|c| c.blocks.get(key))
            .map_or(0, BTreeMap::len)
    }

    /// Writes a blob as another program does, over whatever is there.
    pub fn overwrite(
        &self,
        account: &str,
        container: &str,
        key: &str,
        bytes: impl Into<Bytes>,
        now: Timestamp,
    ) {
        let mut state = self.state();
        let etag = state.etag();
        let container = state.containers.entry(full(account, container)).or_default();
        let blob = Blob::new(bytes.into(), etag, now);
        container.blobs.insert(key.to_owned(), blob);
    }

    /// A signature for all of a container, until then.
    pub fn sign(&self, account: &str, container: &str, until: Timestamp) -> Secret {
        let mut state = self.state();
        // Looks like no other text of a test, so that one that leaks is found.
        let sig = format!("sas-canary+{}/=", state.signatures.len() + 1);
        state.signatures.insert(sig.clone(), Grant { container: full(account, container), until });
        let sig = sig.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        let until = until.format("%Y-%m-%dT%H:%M:%SZ");
        Secret::new(format!("sv=2023-11-03&sr=c&sp=racwdl&se={until}&sig={sig}"))
    }

    /// No signature that was made so far is good any longer.
    pub fn forget_signatures(&self) {
        self.state().signatures.clear();
    }

    /// Nobody may change the access list of a path in a file system.
    pub fn lock_path(&self, account: &str, file_system: &str, path: &str) {
        self.state().locked.insert(format!("{}/{path}", full(account, file_system)));
    }
}

impl fmt::Debug for FakeStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeStorage")
            .field("containers", &self.state().containers.len())
            .finish_non_exhaustive()
    }
}

impl State {
    fn etag(&mut self) -> String {
        self.writes += 1;
        format!("0x8DFA{:012X}", self.writes)
    }
}

impl Blob {
    fn new(bytes: Bytes, etag: String, modified: Timestamp) -> Self {
        let md5 = Some(BASE64_STANDARD.encode(Md5::digest(&bytes)));
        Self { bytes, etag, modified, md5, metadata: BTreeMap::new(), blocks: BTreeMap::new() }
    }
}

// ------------------------------------------------------------------------------------------------------------- the answers

impl FakePart for FakeStorage {
    fn answer(&self, request: &FakeRequest, azure: &FakeAzure) -> Option<FakeAnswer> {
        let host = request.host();
        if host == crate::config::Cloud::Public.resource_manager() {
            return self.manage(request, azure);
        }
        let (account, rest) = host.split_once('.')?;
        let service = rest.strip_suffix(SUFFIX)?.trim_end_matches('.');
        let answer = match service {
            "blob" => self.blob(request, azure, account),
            "dfs" => self.data_lake(request, azure, account),
            _ => return None,
        };
        let answer = answer.unwrap_or_else(|refused| refused);
        let id = guid(0x57, self.state().writes);
        let version = request.header("x-ms-version").unwrap_or_default();
        Some(
            answer
                .with("date", http_date(azure.now()))
                .with("x-ms-request-id", id)
                .with("x-ms-version", version),
        )
    }
}

type Outcome = Result<FakeAnswer, FakeAnswer>;

fn http_date(time: Timestamp) -> String {
    time.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// An error as storage says it: XML, and the code in a header, which is all that an answer to HEAD has.
fn refuse(status: u16, code: &str, message: &str) -> FakeAnswer {
    let body = format!(
        "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{message}\nRequestId:0\nTime:0</Message></Error>"
    );
    FakeAnswer::bytes(status, "application/xml", body).with("x-ms-error-code", code)
}

fn blob_not_found() -> FakeAnswer {
    refuse(404, "BlobNotFound", "The specified blob does not exist.")
}

/// Where a request is about.
struct At {
    container: String,
    key: String,
}

fn at(request: &FakeRequest, account: &str) -> Option<At> {
    let path = request.path().strip_prefix('/')?;
    let (container, key) = path.split_once('/').unwrap_or((path, ""));
    let key = percent_decode_str(key).decode_utf8().ok()?.into_owned();
    Some(At { container: full(account, container), key })
}

impl FakeStorage {
    /// What is answered to a request that may not be made; nothing to one that may.
    fn admit(
        &self,
        request: &FakeRequest,
        azure: &FakeAzure,
        account: &str,
        at: &At,
    ) -> Result<(), FakeAnswer> {
        let failed = |message: &str| Err(refuse(403, "AuthenticationFailed", message));
        if request.header("x-ms-version").is_none() {
            return Err(refuse(400, "MissingRequiredHeader", "x-ms-version is missing."));
        }
        if let Some(authorization) = request.header("authorization") {
            if let Some(signed) = authorization.strip_prefix("SharedKey ") {
                let dated = request.header("x-ms-date").or(request.header("date")).is_some();
                let well = signed.split_once(':').is_some_and(|(name, signature)| {
                    let bytes = BASE64_STANDARD.decode(signature).unwrap_or_default();
                    name == account && bytes.len() == 32
                });
                return if well && dated {
                    Ok(())
                } else {
                    failed("The shared key's signature is not well-formed.")
                };
            }
            return match azure.refuse_token(request, Audience::Storage) {
                None => Ok(()),
                Some(refused) => Err(refused.with("x-ms-error-code", "InvalidAuthenticationInfo")),
            };
        }
        let Some(sig) = request.query("sig") else {
            return Err(refuse(
                401,
                "NoAuthenticationInformation",
                "Server failed to authenticate the request.",
            ));
        };
        let state = self.state();
        match state.signatures.get(&sig) {
            Some(grant) if grant.container != at.container => {
                failed("The signature is for another container.")
            }
            Some(grant) if grant.until <= azure.now() => {
                failed("Signature not valid in the specified time frame.")
            }
            Some(_) => Ok(()),
            None => failed("Signature did not match."),
        }
    }

    /// Whether a container is there: one that was made, or the one that a datastore names.
    fn require(&self, azure: &FakeAzure, account: &str, at: &At) -> Result<(), FakeAnswer> {
        if self.state().containers.contains_key(&at.container) {
            return Ok(());
        }
        let stores = azure.list_resources(&format!("{}/datastores", azure.workspace().id()));
        let text =
            |store: &Value, name: &str| store["properties"][name].as_str().unwrap_or_default().to_owned();
        let named = stores.iter().any(|store| {
            let containers = [text(store, "containerName"), text(store, "filesystem")];
            text(store, "accountName") == account
                && containers.iter().any(|name| full(account, name) == at.container)
        });
        match named {
            true => {
                self.state().containers.entry(at.container.clone()).or_default();
                Ok(())
            }
            false => Err(refuse(404, "ContainerNotFound", "The specified container does not exist.")),
        }
    }

    fn blob(&self, request: &FakeRequest, azure: &FakeAzure, account: &str) -> Outcome {
        let at = at(request, account).ok_or_else(|| refuse(400, "InvalidUri", "The URI is not valid."))?;
        self.admit(request, azure, account, &at)?;
        let comp = request.query("comp").unwrap_or_default();
        if at.key.is_empty() && request.query("restype").as_deref() == Some("container") {
            return match (&request.method, comp.as_str()) {
                (&Method::PUT, "") => self.make_container(&at),
                (&Method::GET, "list") => {
                    self.require(azure, account, &at)?;
                    Ok(self.list(request, &at))
                }
                _ => Err(refuse(400, "UnsupportedQueryParameter", "The fake does not know this operation.")),
            };
        }
        self.require(azure, account, &at)?;
        let now = azure.now();
        match (&request.method, comp.as_str()) {
            (&Method::HEAD, "") => self.head(request, &at),
            (&Method::GET, "") => self.get(request, &at),
            (&Method::GET, "blocklist") => self.blocks(&at),
            (&Method::PUT, "") => self.put(request, &at, now),
            (&Method::PUT, "block") => self.put_block(request, &at),
            (&Method::PUT, "blocklist") => self.put_blocks(request, &at, now),
            (&Method::PUT, "metadata") => self.put_metadata(request, &at, now),
            (&Method::DELETE, "") => self.delete(request, &at),
            _ => Err(refuse(400, "UnsupportedQueryParameter", "The fake does not know this operation.")),
        }
    }

    fn make_container(&self, at: &At) -> Outcome {
        let mut state = self.state();
        match state.containers.contains_key(&at.container) {
            true => Err(refuse(409, "ContainerAlreadyExists", "The specified container already exists.")),
            false => {
                state.containers.insert(at.container.clone(), Container::default());
                Ok(FakeAnswer::empty(201))
            }
        }
    }

    fn list(&self, request: &FakeRequest, at: &At) -> FakeAnswer {
        let state = self.state();
        let prefix = request.query("prefix").unwrap_or_default();
        let marker = request.query("marker").unwrap_or_default();
        let blobs = state.containers.get(&at.container).map(|container| &container.blobs);
        let mut found =
            blobs.into_iter().flatten().filter(|(key, _)| key.starts_with(&prefix) && **key >= marker);
        let page: Vec<_> = found.by_ref().take(PAGE).collect();
        let next = found.next().map(|(key, _)| escape(key)).unwrap_or_default();
        let items: String = page
            .into_iter()
            .map(|(key, blob)| {
                // Here ETags have no quotation marks; in headers they do.
                format!(
                    "<Blob><Name>{}</Name><Properties><Last-Modified>{}</Last-Modified><Etag>{}</Etag>\
                     <Content-Length>{}</Content-Length><Content-Type>application/octet-stream</Content-Type>\
                     <BlobType>BlockBlob</BlobType></Properties></Blob>",
                    escape(key),
                    http_date(blob.modified),
                    blob.etag,
                    blob.bytes.len()
                )
            })
            .collect();
        let xml = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults><Prefix>{}</Prefix><Blobs>{items}</Blobs>\
             <NextMarker>{next}</NextMarker></EnumerationResults>",
            escape(&prefix)
        );
        FakeAnswer::bytes(200, "application/xml", xml)
    }

    fn head(&self, request: &FakeRequest, at: &At) -> Outcome {
        let state = self.state();
        let blob = state.find(at).ok_or_else(blob_not_found)?;
        conditions(request, Some(blob), false)?;
        Ok(described(blob).with("content-length", blob.bytes.len().to_string()))
    }

    fn get(&self, request: &FakeRequest, at: &At) -> Outcome {
        let state = self.state();
        let blob = state.find(at).ok_or_else(blob_not_found)?;
        conditions(request, Some(blob), false)?;
        let size = blob.bytes.len();
        let Some(range) = request.header("x-ms-range").or(request.header("range")) else {
            let answer = described(blob).with("content-length", size.to_string());
            return Ok(FakeAnswer { body: blob.bytes.clone(), ..answer });
        };
        let out = || {
            refuse(
                416,
                "InvalidRange",
                "The range specified is invalid for the current size of the resource.",
            )
            .with("content-range", format!("bytes */{size}"))
        };
        let Range { start, end } = read_range(range, size).ok_or_else(out)?;
        let mut answer = described(blob)
            .with("content-range", format!("bytes {start}-{}/{size}", end - 1))
            .with("content-length", (end - start).to_string());
        if let Some(md5) = &blob.md5 {
            answer = answer.with("x-ms-blob-content-md5", md5);
        }
        answer.headers.remove("content-md5");
        Ok(FakeAnswer { status: 206, body: blob.bytes.slice(start..end), ..answer })
    }

    fn put(&self, request: &FakeRequest, at: &At, now: Timestamp) -> Outcome {
        if request.header("x-ms-blob-type") != Some("BlockBlob") {
            return Err(refuse(400, "InvalidHeaderValue", "x-ms-blob-type is missing."));
        }
        check_md5(request)?;
        let mut state = self.state();
        conditions(request, state.find(at), true)?;
        let etag = state.etag();
        let mut blob = Blob::new(request.body.clone(), etag, now);
        blob.metadata = metadata(request);
        let answer = written(&blob, 201);
        // Writing a blob at once forgets the blocks that were to become one.
        if let Some(container) = state.containers.get_mut(&at.container) {
            container.blocks.remove(&at.key);
            container.blobs.insert(at.key.clone(), blob);
        }
        Ok(answer)
    }

    fn put_block(&self, request: &FakeRequest, at: &At) -> Outcome {
        check_md5(request)?;
        let bad =
            || refuse(400, "InvalidQueryParameterValue", "The block id is not Base64 of up to 64 bytes.");
        let id = request.query("blockid").ok_or_else(bad)?;
        BASE64_STANDARD.decode(&id).ok().filter(|id| (1..=64).contains(&id.len())).ok_or_else(bad)?;
        if request.body.is_empty() {
            return Err(refuse(400, "InvalidHeaderValue", "A block has at least one byte."));
        }
        let mut state = self.state();
        let container = state.containers.entry(at.container.clone()).or_default();
        let blocks = container.blocks.entry(at.key.clone()).or_default();
        if blocks.keys().any(|other| other.len() != id.len()) {
            return Err(refuse(400, "InvalidBlobOrBlock", "The ids of a blob's blocks have one length."));
        }
        blocks.insert(id, request.body.clone());
        Ok(FakeAnswer::empty(201))
    }

    fn blocks(&self, at: &At) -> Outcome {
        let state = self.state();
        let blocks = state.containers.get(&at.container).and_then(|container| container.blocks.get(&at.key));
        if blocks.is_none() && state.find(at).is_none() {
            return Err(blob_not_found());
        }
        let blocks: String = blocks
            .into_iter()
            .flatten()
            .map(|(id, bytes)| format!("<Block><Name>{id}</Name><Size>{}</Size></Block>", bytes.len()))
            .collect();
        let xml = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList><UncommittedBlocks>{blocks}</UncommittedBlocks></BlockList>"
        );
        Ok(FakeAnswer::bytes(200, "application/xml", xml))
    }

    fn put_blocks(&self, request: &FakeRequest, at: &At, now: Timestamp) -> Outcome {
        let xml = String::from_utf8_lossy(&request.body).into_owned();
        let ids: Vec<&str> =
            xml.split("<Latest>").skip(1).filter_map(|rest| Some(rest.split_once("</Latest>")?.0)).collect();
        let mut state = self.state();
        conditions(request, state.find(at), true)?;
        let sent = state.containers.get(&at.container).and_then(|container| container.blocks.get(&at.key));
        let own = state.find(at).map(|blob| &blob.blocks);
        let block = |id: &&str| sent.and_then(|b| b.get(*id)).or_else(|| own?.get(*id)).cloned();
        let found: Option<Vec<Bytes>> = ids.iter().map(block).collect();
        let found = found
            .filter(|found| !found.is_empty())
            .ok_or_else(|| refuse(400, "InvalidBlockList", "The specified block list is invalid."))?;
        let blocks = ids.iter().map(|id| (*id).to_owned()).zip(found.iter().cloned()).collect();
        let bytes: Vec<u8> = found.concat();
        let etag = state.etag();
        let md5 = request.header("x-ms-blob-content-md5").map(str::to_owned);
        let blob = Blob { md5, metadata: metadata(request), blocks, ..Blob::new(bytes.into(), etag, now) };
        let answer = written(&blob, 201);
        if let Some(container) = state.containers.get_mut(&at.container) {
            container.blocks.remove(&at.key);
            container.blobs.insert(at.key.clone(), blob);
        }
        Ok(answer)
    }

    fn put_metadata(&self, request: &FakeRequest, at: &At, now: Timestamp) -> Outcome {
        let mut state = self.state();
        conditions(request, Some(state.find(at).ok_or_else(blob_not_found)?), true)?;
        let etag = state.etag();
        let blob =
            state.containers.get_mut(&at.container).and_then(|container| container.blobs.get_mut(&at.key));
        let blob = blob.ok_or_else(blob_not_found)?;
        (blob.etag, blob.modified, blob.metadata) = (etag, now, metadata(request));
        Ok(written(blob, 200))
    }

    fn delete(&self, request: &FakeRequest, at: &At) -> Outcome {
        let mut state = self.state();
        conditions(request, Some(state.find(at).ok_or_else(blob_not_found)?), true)?;
        if let Some(container) = state.containers.get_mut(&at.container) {
            container.blobs.remove(&at.key);
        }
        Ok(FakeAnswer::empty(202))
    }
}

impl State {
    fn find(&self, at: &At) -> Option<&Blob> {
        self.containers.get(&at.container)?.blobs.get(&at.key)
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

/// Checks the conditions of a request.
fn conditions(request: &FakeRequest, blob: Option<&Blob>, is_write: bool) -> Result<(), FakeAnswer> {
    let etag = blob.map(|blob| quoted(&blob.etag));
    let not_met = || Err(refuse(412, "ConditionNotMet", "The condition specified is not met."));
    match (request.header("if-match"), &etag) {
        (Some("*"), Some(_)) | (None, _) => {}
        (Some(wanted), Some(etag)) if wanted == etag => {}
        _ => return not_met(),
    }
    match (request.header("if-none-match"), &etag) {
        (Some("*"), Some(_)) if is_write => {
            Err(refuse(409, "BlobAlreadyExists", "The specified blob already exists."))
        }
        (Some(unwanted), Some(etag)) if unwanted == etag => match is_write {
            true => not_met(),
            false => Err(FakeAnswer::empty(304)),
        },
        _ => Ok(()),
    }
}

fn check_md5(request: &FakeRequest) -> Result<(), FakeAnswer> {
    let found = BASE64_STANDARD.encode(Md5::digest(&request.body));
    match request.header("content-md5") {
        Some(said) if said != found => {
            Err(refuse(400, "Md5Mismatch", "The MD5 value specified in the request did not match."))
        }
        _ => Ok(()),
    }
}

fn metadata(request: &FakeRequest) -> BTreeMap<String, String> {
    let pairs = request.headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix("x-ms-meta-")?;
        Some((name.to_owned(), value.to_str().ok()?.to_owned()))
    });
    pairs.collect()
}

fn written(blob: &Blob, status: u16) -> FakeAnswer {
    FakeAnswer::empty(status).with("etag", quoted(&blob.etag)).with("last-modified", http_date(blob.modified))
}

fn described(blob: &Blob) -> FakeAnswer {
    let mut answer = written(blob, 200).with("x-ms-blob-type", "BlockBlob").with("accept-ranges", "bytes");
    if let Some(md5) = &blob.md5 {
        answer = answer.with("content-md5", md5);
    }
    for (name, value) in &blob.metadata {
        let name = format!("x-ms-meta-{name}");
        if let (Ok(name), Ok(value)) =
            (reqwest::header::HeaderName::from_bytes(name.as_bytes()), value.parse())
        {
            answer.headers.insert(name, value);
        }
    }
    answer
}

/// `bytes=FROM-TO`, both included, or `bytes=FROM-`.
fn read_range(text: &str, size: usize) -> Option<Range<usize>> {
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    let start: usize = from.parse().ok()?;
    let end = match to {
        "" => size,
        to => to.parse::<usize>().ok()?.checked_add(1)?.min(size),
    };
    (start < end).then_some(start..end)
}

// ----------------------------------------------------------------------------------------------------------- the Data Lake

impl FakeStorage {
    fn data_lake(&self, request: &FakeRequest, azure: &FakeAzure, account: &str) -> Outcome {
        let at = at(request, account).ok_or_else(|| refuse(400, "InvalidUri", "The URI is not valid."))?;
        self.admit(request, azure, account, &at)?;
        self.require(azure, account, &at)?;
        let accounts = azure.list_resources(&format!("/subscriptions/{}", azure.workspace().subscription()));
        let flat = accounts.iter().any(|found| {
            found["name"].as_str() == Some(account)
                && found["properties"]["isHnsEnabled"].as_bool() == Some(false)
        });
        if flat {
            return Err(refuse(
                409,
                "FeatureNotSupportedForAccount",
                "The account has no hierarchical namespace.",
            ));
        }
        match (&request.method, request.query("action").as_deref()) {
            (&Method::HEAD, Some("getAccessControl")) => self.read_list(&at),
            (&Method::PATCH, Some("setAccessControl")) => self.write_list(request, &at),
            (&Method::PATCH, Some("setAccessControlRecursive")) => self.write_lists(request, &at),
            _ => Err(refuse(400, "UnsupportedQueryParameter", "The fake does not know this operation.")),
        }
    }

    fn read_list(&self, at: &At) -> Outcome {
        let state = self.state();
        let container = state.containers.get(&at.container);
        container.filter(|c| c.paths(&at.key).next().is_some()).ok_or_else(path_not_found)?;
        let list = container.and_then(|c| c.lists.get(&at.key)).cloned().unwrap_or_else(usual_list);
        let list = list.iter().map(|(head, rights)| format!("{head}:{rights}")).collect::<Vec<_>>().join(",");
        Ok(FakeAnswer::empty(200).with("x-ms-acl", list).with("x-ms-owner", "$superuser"))
    }

    fn write_list(&self, request: &FakeRequest, at: &At) -> Outcome {
        let entries = read_entries(request)?;
        let mut state = self.state();
        if state.locked.contains(&format!("{}/{}", at.container, at.key)) {
            return Err(refuse(403, "AuthorizationPermissionMismatch", "This request is not authorized."));
        }
        let container = state.containers.get_mut(&at.container).ok_or_else(path_not_found)?;
        if container.paths(&at.key).next().is_none() {
            return Err(path_not_found());
        }
        container.lists.insert(at.key.clone(), entries);
        Ok(FakeAnswer::empty(200))
    }

    fn write_lists(&self, request: &FakeRequest, at: &At) -> Outcome {
        let mode = request.query("mode").unwrap_or_default();
        let entries = match mode.as_str() {
            "remove" => request
                .header("x-ms-acl")
                .unwrap_or_default()
                .split(',')
                .map(|head| (head.to_owned(), String::new()))
                .collect(),
            "set" | "modify" => read_entries(request)?,
            _ => {
                return Err(refuse(400, "InvalidQueryParameterValue", "mode must be set, modify or remove."));
            }
        };
        let size =
            request.query("maxRecords").and_then(|text| text.parse().ok()).unwrap_or(2000).clamp(1, 2000);
        let from: usize = request.query("continuation").and_then(|text| text.parse().ok()).unwrap_or(0);
        let goes_on = request.query("forceFlag").as_deref() == Some("true");
        let mut state = self.state();
        let State { containers, locked, .. } = &mut *state;
        let container = containers.get_mut(&at.container).ok_or_else(path_not_found)?;
        let paths: Vec<(String, bool)> = container.paths(&at.key).collect();
        let (mut folders, mut files, mut failed, mut done) = (0, 0, Vec::new(), from);
        for (path, is_folder) in paths.iter().skip(from).take(size) {
            done += 1;
            if locked.contains(&format!("{}/{path}", at.container)) {
                let kind = if *is_folder { "DIRECTORY" } else { "FILE" };
                let message =
                    "This request is not authorized to perform this operation using this permission.";
                failed.push(json!({ "name": path, "type": kind, "errorMessage": message }));
                if goes_on {
                    continue;
                }
                break;
            }
            let list = container.lists.entry(path.clone()).or_insert_with(usual_list);
            match mode.as_str() {
                "set" => *list = entries.clone(),
                "modify" => list.extend(entries.clone()),
                _ => list.retain(|head, _| !entries.contains_key(head)),
            }
            if *is_folder { folders += 1 } else { files += 1 }
        }
        let body = json!({
            "directoriesSuccessful": folders, "filesSuccessful": files,
            "failureCount": failed.len(), "failedEntries": failed,
        });
        let answer = FakeAnswer::ok(body);
        Ok(if done < paths.len() { answer.with("x-ms-continuation", done.to_string()) } else { answer })
    }
}

fn path_not_found() -> FakeAnswer {
    refuse(404, "PathNotFound", "The specified path does not exist.")
}

/// What a path has that nobody set: by what stands before the last colon, and the rights.
fn usual_list() -> BTreeMap<String, String> {
    let usual = [("user:", "rwx"), ("group:", "r-x"), ("other:", "---")];
    usual.into_iter().map(|(head, rights)| (head.to_owned(), rights.to_owned())).collect()
}

fn read_entries(request: &FakeRequest) -> Result<BTreeMap<String, String>, FakeAnswer> {
    let bad = || refuse(400, "InvalidHeaderValue", "x-ms-acl is not an access list.");
    let list = request.header("x-ms-acl").ok_or_else(bad)?;
    let entry = |text: &str| {
        text.parse::<AclEntry>().ok()?;
        let (head, rights) = text.rsplit_once(':')?;
        Some((head.to_owned(), rights.to_owned()))
    };
    list.split(',').map(entry).collect::<Option<_>>().ok_or_else(bad)
}

impl Container {
    /// A path and everything below it, folders first, each with whether it is one.
    fn paths(&self, below: &str) -> impl Iterator<Item = (String, bool)> + use<> {
        let mut folders = BTreeSet::from([String::new()]);
        for key in self.blobs.keys() {
            folders.extend(key.match_indices('/').filter_map(|(at, _)| key.get(..at).map(str::to_owned)));
        }
        let files: Vec<String> = self.blobs.keys().cloned().collect();
        let below = below.to_owned();
        let all =
            folders.into_iter().map(|path| (path, true)).chain(files.into_iter().map(|path| (path, false)));
        all.filter(move |(path, _)| {
            below.is_empty()
                || *path == below
                || path.strip_prefix(&below).is_some_and(|rest| rest.starts_with('/'))
        })
    }
}

// ------------------------------------------------------------------------------------------------------- Resource Manager

impl FakeStorage {
    /// Secrets of datastores, places for code, and the settings of accounts.
    fn manage(&self, request: &FakeRequest, azure: &FakeAzure) -> Option<FakeAnswer> {
        let path = request.path();
        if request.method == Method::POST {
            if let Some(datastore) = strip_action(path, "listSecrets").filter(|p| p.contains("/datastores/"))
            {
                return Some(self.secrets(request, azure, datastore));
            }
            let code = strip_action(path, "startPendingUpload")?;
            return Some(self.place_for_code(request, azure, code));
        }
        let settings =
            path.strip_suffix("/blobServices/default").filter(|p| p.contains("/storageAccounts/"))?;
        let account = azure.resource(settings)?;
        if request.method == Method::GET && azure.resource(path).is_none() {
            azure.set_resource(
                path,
                json!({ "sku": { "name": "Standard_LRS", "tier": "Standard" }, "properties": {
                    "cors": { "corsRules": [] },
                    "deleteRetentionPolicy": { "enabled": false, "allowPermanentDelete": false },
                } }),
            );
        }
        if request.method == Method::PUT {
            return objection(&request.json()["properties"], &account);
        }
        None
    }

    fn secrets(&self, request: &FakeRequest, azure: &FakeAzure, datastore: &str) -> FakeAnswer {
        let Some(store) = azure.resource(datastore) else {
            let message = format!("Datastore '{datastore}' was not found.");
            return FakeAnswer::user_error(404, "UserError", message, &["NotFound", "DatastoreNotFound"]);
        };
        let properties = &store["properties"];
        let text = |name: &str| properties[name].as_str();
        let container = text("containerName").or(text("filesystem"));
        let kind = properties["credentials"]["credentialsType"].as_str().unwrap_or("None");
        let expires = request.json()["expirableSecret"].as_bool().unwrap_or_default();
        match (kind, text("accountName"), container) {
            ("AccountKey" | "Sas", Some(account), Some(container)) if expires || kind == "Sas" => {
                let sas = self.sign(account, container, in_an_hour(azure));
                // With a question mark, as the service says it.
                FakeAnswer::ok(json!({ "secretsType": "Sas", "sasToken": format!("?{}", sas.expose()) }))
            }
            ("AccountKey", ..) => {
                let key = BASE64_STANDARD.encode("account-key-canary");
                FakeAnswer::ok(json!({ "secretsType": "AccountKey", "key": key }))
            }
            ("ServicePrincipal", ..) => FakeAnswer::ok(
                json!({ "secretsType": "ServicePrincipal", "clientSecret": "application-canary" }),
            ),
            _ => FakeAnswer::ok(json!({ "secretsType": "None" })),
        }
    }

    /// The place is a container of its own, which is there from then on.
    fn place_for_code(&self, request: &FakeRequest, azure: &FakeAzure, asset: &str) -> FakeAnswer {
        if request.json()["pendingUploadType"].as_str() != Some("TemporaryBlobReference") {
            let message = "The value for 'pendingUploadType' is not one of TemporaryBlobReference.";
            return FakeAnswer::user_error(400, "UserError", message, &["BadArgument", "ArgumentInvalid"]);
        }
        let is_registry = asset.contains("/registries/");
        let may = |kind: &str| asset.contains(&format!("/{kind}/")) && asset.contains("/versions/");
        if !(may("codes") || is_registry && (may("data") || may("models"))) {
            return FakeAnswer::error(404, "NotFound", "Only code can be uploaded to a place of its own.");
        }
        let number = u32::from_be_bytes(Md5::digest(asset).first_chunk().copied().unwrap_or_default());
        let (account, container) = ("stfake", guid(0xc0de, u64::from(number)));
        self.create(account, &container);
        let uri = format!("https://{account}.blob.{SUFFIX}/{container}");
        let sas = self.sign(account, &container, in_an_hour(azure));
        FakeAnswer::ok(json!({
            "pendingUploadId": guid(0xc0df, u64::from(number)), "pendingUploadType": "TemporaryBlobReference",
            "blobReferenceForConsumption": {
                "blobUri": uri,
                "storageAccountArmId": format!(
                    "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Storage/storageAccounts/{account}",
                    azure.workspace().subscription(), azure.workspace().resource_group()
                ),
                "credential": { "credentialType": "SAS", "sasUri": format!("{uri}?{}", sas.expose()) },
            },
        }))
    }
}

fn in_an_hour(azure: &FakeAzure) -> Timestamp {
    let now = azure.now();
    now.checked_add_signed(TimeDelta::hours(1)).unwrap_or(now)
}

fn strip_action<'a>(path: &'a str, action: &str) -> Option<&'a str> {
    path.strip_suffix(action)?.strip_suffix('/')
}

/// What the service refuses of an account's settings.
fn objection(properties: &Value, account: &Value) -> Option<FakeAnswer> {
    for policy in ["deleteRetentionPolicy", "containerDeleteRetentionPolicy"] {
        let policy = &properties[policy];
        let days = policy["days"].as_i64();
        let wrong = days.is_some_and(|days| !(1..=365).contains(&days));
        if wrong || (policy["enabled"].as_bool() == Some(true) && days.is_none()) {
            return Some(FakeAnswer::error(
                400,
                "InvalidRequestPropertyValue",
                "The days must be from 1 to 365.",
            ));
        }
    }
    let hierarchical = account["properties"]["isHnsEnabled"].as_bool() == Some(true);
    (hierarchical && properties["isVersioningEnabled"].as_bool() == Some(true)).then(|| {
        let message = "Versioning is not supported for accounts with a hierarchical namespace.";
        FakeAnswer::error(409, "FeatureNotSupportedForAccount", message)
    })
}
