//! The artifacts of runs in memory: run history, and the blobs behind its signed addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::HeaderName;
use serde_json::{Map, Value, json};

use super::azure::FakeAzure;
use super::exchange::{FakeAnswer, FakePart, FakeRequest};

/// The host of the blobs.
const HOST: &str = "strunartifacts.blob.core.windows.net";

/// How many artifacts a page of a list has.
const PAGE: usize = 3;

/// The part of Azure that keeps the artifacts of runs.
///
/// An artifact is entered first, and is then where its signed address says. It is entered once: what is there already is
/// answered with a conflict. Blobs know whole uploads, uploads in blocks, conditions and ranges. Signed addresses of reads
/// do not write.
#[derive(Clone, Default)]
pub struct FakeRunArtifacts(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The paths of the artifacts of each run, by the run's place in the history.
    runs: BTreeMap<String, BTreeSet<String>>,
    blobs: BTreeMap<String, Blob>,
    /// Blocks that no list has named yet, by blob.
    blocks: BTreeMap<String, BTreeMap<String, Bytes>>,
    written: u64,
}

#[derive(Clone)]
struct Blob {
    bytes: Bytes,
    etag: String,
    metadata: Vec<(HeaderName, String)>,
}

impl FakeRunArtifacts {
    /// What makes an address signed; no test may find it in what a client prints.
    pub const SIGNATURE: &str = "fake-signature-of-artifacts";

    /// No artifacts.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes of an artifact: of the first run that has this path.
    pub fn content(&self, path: &str) -> Option<Bytes> {
        let end = format!("/{path}");
        let state = self.state();
        state.blobs.iter().find(|(name, _)| name.ends_with(&end)).map(|(_, blob)| blob.bytes.clone())
    }

    /// Changes the first byte of an artifact behind everybody's back; whether there is one.
    pub fn damage(&self, path: &str) -> bool {
        let end = format!("/{path}");
        let mut state = self.state();
        let found =
            state.blobs.iter_mut().find(|(name, blob)| name.ends_with(&end) && !blob.bytes.is_empty());
        found.is_some_and(|(_, blob)| {
            let mut bytes = blob.bytes.to_vec();
            bytes.iter_mut().take(1).for_each(|first| *first ^= 1);
            blob.bytes = bytes.into();
            true
        })
    }

    /// How many blocks of an artifact wait to be named.
    pub fn waiting_blocks(&self, path: &str) -> usize {
        let end = format!("/{path}");
        let state = self.state();
        state.blocks.iter().find(|(name, _)| name.ends_with(&end)).map_or(0, |(_, blocks)| blocks.len())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to a request, if it is one of run history's artifacts or of their blobs.
    pub fn respond(&self, request: &FakeRequest) -> Option<FakeAnswer> {
        if request.host() == HOST {
            return Some(self.state().blob(request));
        }
        let (run, rest) = request.path().split_once("/artifacts")?;
        if !run.starts_with("/history/v1.0/") || !run.contains("/runs/") {
            return None;
        }
        let mut state = self.state();
        match (&request.method, rest) {
            (&Method::POST, "/batch/metadata") => Some(state.enter(run, &request.json())),
            (&Method::GET, "/contentinfo") => Some(state.content_info(run, request)),
            (&Method::GET, "") => Some(state.list(run, request)),
            _ => None,
        }
    }
}

impl fmt::Debug for FakeRunArtifacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeRunArtifacts { .. }")
    }
}

impl FakePart for FakeRunArtifacts {
    fn answer(&self, request: &FakeRequest, _: &FakeAzure) -> Option<FakeAnswer> {
        self.respond(request)
    }
}

/// Where the bytes of an artifact are, signed for reading (`r`) or for writing too (`rcw`).
fn signed(run: &str, path: &str, may: &str) -> Value {
    let id = run.rsplit('/').next().unwrap_or_default();
    let uri = format!("https://{HOST}/azureml/ExperimentRun/dcid.{id}/{}", escape(path));
    let sas = format!("sv=2023-11-03&sr=b&sp={may}&sig={}", FakeRunArtifacts::SIGNATURE);
    json!({ "contentUri": format!("{uri}?{sas}"), "origin": "ExperimentRun", "container": format!("dcid.{id}"), "path": path })
}

fn escape(path: &str) -> String {
    let encode =
        |part| percent_encoding::utf8_percent_encode(part, percent_encoding::NON_ALPHANUMERIC).to_string();
    path.split('/').map(encode).collect::<Vec<_>>().join("/")
}

impl State {
    fn enter(&mut self, run: &str, body: &Value) -> FakeAnswer {
        let id = run.rsplit('/').next().unwrap_or_default();
        let paths = body["paths"].as_array().cloned().unwrap_or_default();
        if paths.is_empty() || paths.iter().any(|path| path["path"].as_str().is_none_or(str::is_empty)) {
            return FakeAnswer::error(400, "UserError", "The request has no paths");
        }
        let (mut made, mut errors) = (Map::new(), Map::new());
        let there = self.runs.entry(run.to_owned()).or_default();
        for path in paths.iter().filter_map(|path| path["path"].as_str()) {
            if there.insert(path.to_owned()) {
                made.insert(path.to_owned(), signed(run, path, "rcw"));
            } else {
                let message =
                    format!("Resource Conflict: ArtifactId ExperimentRun/dcid.{id}/{path} already exists.");
                let error = json!({ "error": { "code": "UserError", "message": message } });
                errors.insert(path.to_owned(), error);
            }
        }
        let artifact = |path: &String| {
            let container = format!("dcid.{id}");
            let id = format!("ExperimentRun/{container}/{path}");
            (
                path.clone(),
                json!({ "artifactId": id, "origin": "ExperimentRun", "container": container, "path": path }),
            )
        };
        let artifacts: Map<String, Value> = made.keys().map(artifact).collect();
        FakeAnswer::ok(
            json!({ "artifacts": artifacts, "artifactContentInformation": made, "errors": errors }),
        )
    }

    fn content_info(&self, run: &str, request: &FakeRequest) -> FakeAnswer {
        let path = request.query("path").unwrap_or_default();
        match self.runs.get(run).is_some_and(|paths| paths.contains(&path)) {
            // An entry without bytes may still get them.
            true if self.blobs.contains_key(&blob_name(run, &path)) => {
                FakeAnswer::ok(signed(run, &path, "r"))
            }
            true => FakeAnswer::ok(signed(run, &path, "rcw")),
            false => FakeAnswer::error(404, "UserError", format!("Artifact {path} is not found")),
        }
    }

    fn list(&self, run: &str, request: &FakeRequest) -> FakeAnswer {
        let start: usize = request.query("continuationToken").and_then(|text| text.parse().ok()).unwrap_or(0);
        let none = BTreeSet::new();
        let paths = self.runs.get(run).unwrap_or(&none);
        let id = run.rsplit('/').next().unwrap_or_default();
        let show = |path: &String| {
            json!({ "artifactId": format!("ExperimentRun/dcid.{id}/{path}"), "origin": "ExperimentRun",
                "container": format!("dcid.{id}"), "path": path })
        };
        let value: Vec<Value> = paths.iter().skip(start).take(PAGE).map(show).collect();
        let next = (start + PAGE < paths.len()).then(|| {
            format!("https://{}{}?continuationToken={}", request.host(), request.path(), start + PAGE)
        });
        FakeAnswer::ok(json!({ "value": value, "nextLink": next }))
    }

    fn blob(&mut self, request: &FakeRequest) -> FakeAnswer {
        let may = request.query("sp").unwrap_or_default();
        let signed = request.query("sig").as_deref() == Some(FakeRunArtifacts::SIGNATURE);
        if !signed || request.header("authorization").is_some() {
            return refused(403, "AuthenticationFailed");
        }
        if request.method == Method::PUT && !may.contains('w') {
            return refused(403, "AuthorizationPermissionMismatch");
        }
        let name = request.path().to_owned();
        match (&request.method, request.query("comp").as_deref()) {
            (&Method::PUT, None) => self.put(name, request),
            (&Method::PUT, Some("block")) => self.put_block(name, request),
            (&Method::PUT, Some("blocklist")) => self.put_list(name, request),
            (&Method::GET, Some("blocklist")) => self.list_blocks(&name),
            (&Method::GET | &Method::HEAD, None) => self.get(&name, request),
            _ => refused(400, "UnsupportedQueryParameter"),
        }
    }

    fn keep(&mut self, name: String, bytes: Bytes, request: &FakeRequest) -> FakeAnswer {
        if request.header("if-none-match") == Some("*") && self.blobs.contains_key(&name) {
            return refused(409, "BlobAlreadyExists");
        }
        self.written += 1;
        let etag = format!("\"0x{:016X}\"", self.written);
        let metadata = request
            .headers
            .iter()
            .filter(|(header, _)| header.as_str().starts_with("x-ms-meta-"))
            .filter_map(|(header, value)| Some((header.clone(), value.to_str().ok()?.to_owned())))
            .collect();
        self.blocks.remove(&name);
        self.blobs.insert(name, Blob { bytes, etag: etag.clone(), metadata });
        FakeAnswer::empty(201).with("etag", etag)
    }

    fn put(&mut self, name: String, request: &FakeRequest) -> FakeAnswer {
        match request.header("x-ms-blob-type") {
            Some("BlockBlob") => self.keep(name, request.body.clone(), request),
            _ => refused(400, "MissingRequiredHeader"),
        }
    }

    fn put_block(&mut self, name: String, request: &FakeRequest) -> FakeAnswer {
        let id = request.query("blockid").unwrap_or_default();
        let blocks = self.blocks.entry(name).or_default();
        // All ids of a blob are of one length.
        if id.is_empty() || blocks.keys().any(|other| other.len() != id.len()) {
            return refused(400, "InvalidBlobOrBlock");
        }
        blocks.insert(id, request.body.clone());
        FakeAnswer::empty(201)
    }

    fn put_list(&mut self, name: String, request: &FakeRequest) -> FakeAnswer {
        let text = String::from_utf8_lossy(&request.body).into_owned();
        let (mut bytes, mut rest) = (Vec::new(), text.as_str());
        while let Some((_, after)) = rest.split_once("<Latest>") {
            let Some((id, after)) = after.split_once("</Latest>") else {
                return refused(400, "InvalidXmlDocument");
            };
            match self.blocks.get(&name).and_then(|blocks| blocks.get(id)) {
                Some(block) => bytes.extend_from_slice(block),
                None => return refused(400, "InvalidBlockList"),
            }
            rest = after;
        }
        self.keep(name, bytes.into(), request)
    }

    fn list_blocks(&self, name: &str) -> FakeAnswer {
        let Some(blocks) = self.blocks.get(name) else { return refused(404, "BlobNotFound") };
        let show = |(id, bytes): (&String, &Bytes)| {
            format!("<Block><Name>{id}</Name><Size>{}</Size></Block>", bytes.len())
        };
        let blocks: String = blocks.iter().map(show).collect();
        let body = format!(
            r#"<?xml version="1.0" encoding="utf-8"?><BlockList><UncommittedBlocks>{blocks}</UncommittedBlocks></BlockList>"#
        );
        FakeAnswer::bytes(200, "application/xml", body)
    }

    fn get(&self, name: &str, request: &FakeRequest) -> FakeAnswer {
        let Some(blob) = self.blobs.get(name) else { return refused(404, "BlobNotFound") };
        if request.header("if-match").is_some_and(|wanted| wanted != blob.etag) {
            return refused(412, "ConditionNotMet");
        }
        let start = |range: &str| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok();
        let from = request.header("range").and_then(start);
        let size = blob.bytes.len();
        let (status, bytes) = match from {
            Some(from) if from >= size => return refused(416, "InvalidRange"),
            Some(from) => (206, blob.bytes.slice(from..)),
            None => (200, blob.bytes.clone()),
        };
        let length = bytes.len().to_string();
        let bytes = if request.method == Method::HEAD { Bytes::new() } else { bytes };
        let mut answer = FakeAnswer::bytes(status, "application/octet-stream", bytes)
            .with("etag", &blob.etag)
            .with("content-length", length);
        for (header, value) in &blob.metadata {
            if let Ok(value) = value.parse() {
                answer.headers.insert(header.clone(), value);
            }
        }
        answer
    }
}

/// The name under which the bytes of an artifact are kept.
fn blob_name(run: &str, path: &str) -> String {
    let id = run.rsplit('/').next().unwrap_or_default();
    format!("/azureml/ExperimentRun/dcid.{id}/{}", escape(path))
}

/// An error as Storage says it.
fn refused(status: u16, code: &'static str) -> FakeAnswer {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>no</Message></Error>"
    );
    FakeAnswer::bytes(status, "application/xml", body).with("x-ms-error-code", code)
}
