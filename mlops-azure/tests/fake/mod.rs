//! An MLflow server in memory, as far as artifacts and the registry go, with an object store behind it: for what no server on
//! a local disk does, and for what would take one too long.

// Each test program uses a part of this.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use mlops_azure::http::{
    HeaderMap, HttpBody, HttpFault, HttpRequest, HttpResponse, HttpTransport, Method, RetryPolicy,
    StorageHosts,
};
use mlops_azure::mlflow::{MlflowAuth, MlflowClient};
use mlops_core::governance::Secret;
use serde_json::{Value, json};

/// What the object store hands out may be written to with this.
pub const SIGNATURE: &str = "hunter2";

#[derive(Default)]
pub struct State {
    pub files: BTreeMap<String, Bytes>,
    /// The parts of uploads under way, by their ids.
    pub uploads: BTreeMap<String, BTreeMap<u64, Bytes>>,
    pub models: BTreeMap<String, Vec<Value>>,
    /// Every request, as `METHOD path`.
    pub log: Vec<String>,
    /// Requests whose log line begins with one of these are answered with this status: 403 or 501.
    pub refusals: Vec<(&'static str, u16)>,
    /// How many uploads were ever offered.
    pub offers: u64,
    /// Parts that are left out of an offer.
    pub holes: BTreeSet<u64>,
}

#[derive(Clone, Default)]
pub struct Fake(Arc<Mutex<State>>);

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fake { .. }")
    }
}

impl Fake {
    pub fn client(&self) -> MlflowClient {
        let auth = MlflowAuth::Bearer(Secret::new("token-of-the-server"));
        let builder = MlflowClient::builder("https://mlflow.example").auth(auth).retry(RetryPolicy::NONE);
        let hosts = StorageHosts::object_stores().with("store.example").unwrap();
        builder.storage_hosts(hosts).transport(Arc::new(self.clone())).build().unwrap()
    }

    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    /// How many requests began so.
    pub fn count(&self, start: &str) -> usize {
        self.with(|state| state.log.iter().filter(|line| line.starts_with(start)).count())
    }
}

/// A status, a body, an `ETag`.
type Answer = (u16, Bytes, Option<String>);

fn ok(value: Value) -> Answer {
    (200, value.to_string().into(), None)
}

fn error(status: u16, code: &str) -> Answer {
    (status, json!({ "error_code": code, "message": "no" }).to_string().into(), None)
}

impl State {
    fn answer(&mut self, method: &Method, url: &reqwest::Url, body: Bytes) -> Answer {
        let path = url.path().to_owned();
        if url.host_str() == Some("store.example") {
            return self.put_part(&path, url.query(), body);
        }
        let path = path.strip_prefix("/api/2.0/").unwrap_or(&path).to_owned();
        let query = |key: &str| url.query_pairs().find(|(k, _)| k == key).map(|(_, v)| v.into_owned());
        let json = || serde_json::from_slice::<Value>(&body).unwrap_or_default();
        if let Some(rest) = path.strip_prefix("mlflow-artifacts/mpu/") {
            let (step, folder) = rest.split_once('/').unwrap();
            return self.multipart(step, folder, &json());
        }
        match (method.as_str(), path.as_str()) {
            ("GET", "mlflow-artifacts/artifacts") => self.list(&query("path").unwrap()),
            ("POST", "mlflow/registered-models/create") => self.create_model(&json()),
            ("POST", "mlflow/model-versions/create") => self.create_version(&json()),
            ("GET", "mlflow/model-versions/search") => self.search(query),
            ("POST" | "DELETE", "mlflow/registered-models/alias") => ok(json!({})),
            (method, path) => match path.strip_prefix("mlflow-artifacts/artifacts/") {
                Some(file) => self.file(method, file, body),
                None => error(404, "ENDPOINT_NOT_FOUND"),
            },
        }
    }

    fn file(&mut self, method: &str, file: &str, body: Bytes) -> Answer {
        match method {
            "PUT" => {
                self.files.insert(file.to_owned(), body);
                ok(json!({}))
            }
            "DELETE" => {
                let below = format!("{file}/");
                self.files.retain(|path, _| path != file && !path.starts_with(&below));
                ok(json!({}))
            }
            _ => match self.files.get(file) {
                Some(bytes) => (200, bytes.clone(), None),
                None => error(404, "RESOURCE_DOES_NOT_EXIST"),
            },
        }
    }

    fn list(&self, folder: &str) -> Answer {
        let below = format!("{folder}/");
        let mut items = BTreeMap::new();
        for (path, bytes) in &self.files {
            let Some(rest) = path.strip_prefix(&below) else { continue };
            match rest.split_once('/') {
                Some((name, _)) => items.insert(name, json!({ "path": name, "is_dir": true })),
                None => {
                    items.insert(rest, json!({ "path": rest, "is_dir": false, "file_size": bytes.len() }))
                }
            };
        }
        ok(json!({ "files": items.into_values().collect::<Vec<_>>() }))
    }

    fn multipart(&mut self, step: &str, folder: &str, body: &Value) -> Answer {
        let id = || body["upload_id"].as_str().unwrap().to_owned();
        match step {
            "create" => {
                // Never used twice: uploads that end leave the map while others go on.
                let id = format!("upload-{}", self.offers);
                self.offers += 1;
                let numbers = (1..=body["num_parts"].as_u64().unwrap()).filter(|n| !self.holes.contains(n));
                let credentials: Vec<_> = numbers
                    .map(|n| {
                        let url = format!("https://store.example/{id}/{n}?sig={SIGNATURE}");
                        json!({ "url": url, "part_number": n, "headers": { "x-kind": "block" } })
                    })
                    .collect();
                self.uploads.insert(id.clone(), BTreeMap::new());
                ok(json!({ "upload_id": id, "credentials": credentials }))
            }
            "complete" => {
                let parts = self.uploads.remove(&id()).unwrap();
                let named: Vec<_> = parts.keys().map(|n| json!(format!("etag-{n}"))).collect();
                let sent: Vec<_> =
                    body["parts"].as_array().unwrap().iter().map(|p| p["etag"].clone()).collect();
                if named != sent {
                    return error(400, "INVALID_PARAMETER_VALUE");
                }
                let whole: Vec<u8> = parts.into_values().flatten().collect();
                self.files.insert(format!("{folder}/{}", body["path"].as_str().unwrap()), whole.into());
                ok(json!({}))
            }
            _ => {
                self.uploads.remove(&id());
                ok(json!({}))
            }
        }
    }

    fn put_part(&mut self, path: &str, query: Option<&str>, body: Bytes) -> Answer {
        let mut segments = path.trim_start_matches('/').split('/');
        let (id, number) = (segments.next().unwrap(), segments.next().unwrap().parse().unwrap());
        if query != Some(&format!("sig={SIGNATURE}")) {
            return error(403, "PERMISSION_DENIED");
        }
        self.uploads.get_mut(id).unwrap().insert(number, body);
        (200, Bytes::new(), Some(format!("etag-{number}")))
    }

    fn create_model(&mut self, body: &Value) -> Answer {
        let name = body["name"].as_str().unwrap().to_owned();
        if self.models.contains_key(&name) {
            return error(400, "RESOURCE_ALREADY_EXISTS");
        }
        self.models.insert(name, Vec::new());
        ok(json!({}))
    }

    fn create_version(&mut self, body: &Value) -> Answer {
        let Some(versions) = self.models.get_mut(body["name"].as_str().unwrap()) else {
            return error(404, "RESOURCE_DOES_NOT_EXIST");
        };
        let mut version = body.clone();
        version["version"] = json!((versions.len() + 1).to_string());
        versions.push(version.clone());
        ok(json!({ "model_version": version }))
    }

    fn search(&self, query: impl Fn(&str) -> Option<String>) -> Answer {
        let filter = query("filter").unwrap();
        let name = filter.strip_prefix("name='").and_then(|rest| rest.strip_suffix('\'')).unwrap();
        let limit: usize = query("max_results").unwrap().parse().unwrap();
        let skip: usize = query("page_token").map_or(0, |token| token.parse().unwrap());
        assert_eq!(query("order_by").as_deref(), Some("version_number DESC"));
        let all = self.models.get(name).map_or(&[][..], Vec::as_slice);
        let found: Vec<_> = all.iter().rev().skip(skip).take(limit).collect();
        let next = (skip + limit < all.len()).then(|| (skip + limit).to_string());
        ok(json!({ "model_versions": found, "next_page_token": next.unwrap_or_default() }))
    }
}

#[async_trait]
impl HttpTransport for Fake {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpFault> {
        let is_store = request.url.host_str() == Some("store.example");
        assert_eq!(request.headers.contains_key("authorization"), !is_store, "credentials are the server's");
        assert!(!is_store || request.headers.get("x-kind").is_some_and(|value| value == "block"));
        let body = match request.body {
            HttpBody::Empty => Bytes::new(),
            HttpBody::Bytes(bytes) => bytes,
            HttpBody::Stream(stream, length) => {
                let bytes = stream.collect(1 << 30).await.unwrap();
                assert_eq!(length, Some(bytes.len() as u64));
                bytes
            }
        };
        let (status, body, etag) = self.with(|state| {
            let line = format!("{} {}", request.method, request.url.path());
            state.log.push(line.clone());
            match state.refusals.iter().find(|(start, _)| line.starts_with(start)) {
                Some((_, 501)) => error(501, "NOT_IMPLEMENTED"),
                Some((_, status)) => error(*status, "PERMISSION_DENIED"),
                None => state.answer(&request.method, &request.url, body),
            }
        });
        let mut headers = HeaderMap::new();
        if let Some(etag) = etag {
            headers.insert("etag", etag.parse().unwrap());
        }
        Ok(HttpResponse::new(status, headers, body.into()))
    }
}
