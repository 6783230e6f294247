//! The MLflow servers that `.ci/mlflow` starts, as tests use them.

// Each test program uses a part of this.
#![allow(dead_code)]

pub mod faults;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mlops_azure::http::{HttpTransport, RetryPolicy};
use mlops_azure::mlflow::{MlflowArtifactStore, MlflowClient, MlflowRegistry};
use mlops_core::RelPath;
use mlops_core::hash::Digest;
use mlops_core::time::Clock;
use uuid::Uuid;

/// A server, and a name on it that nobody else uses.
pub struct Server {
    /// 2 or 3.
    pub line: u8,
    pub url: String,
    pub client: MlflowClient,
    /// Where the server keeps its artifacts, if that is on this machine.
    artifacts: Option<PathBuf>,
    pub name: String,
}

/// The server of a line of MLflow, 2 or 3; without one it says that the test is skipped.
pub fn server(line: u8) -> Option<Server> {
    let variable = format!("MLOPS_TEST_MLFLOW_{line}");
    let Ok(url) = std::env::var(&variable) else {
        println!("skipped: {variable} names no server");
        return None;
    };
    let client = client(&url, None);
    let artifacts = std::env::var_os(format!("{variable}_ARTIFACTS")).map(PathBuf::from);
    Some(Server { line, url, client, artifacts, name: format!("t{}", Uuid::new_v4().simple()) })
}

/// A client with the patience that a small machine needs: SQLite is busy with one writer at a time.
fn client(url: &str, transport: Option<Arc<dyn HttpTransport>>) -> MlflowClient {
    let retry = RetryPolicy::default().with_attempts(12).with_budget(Duration::from_secs(600));
    let builder = MlflowClient::builder(url).retry(retry).timeout(Duration::from_secs(300));
    match transport {
        Some(transport) => builder.transport(transport),
        None => builder,
    }
    .build()
    .unwrap()
}

impl Server {
    /// The same server and names through another transport.
    pub fn through(&self, transport: Arc<dyn HttpTransport>) -> Self {
        let (url, artifacts, name) = (self.url.clone(), self.artifacts.clone(), self.name.clone());
        Self { line: self.line, client: client(&url, Some(transport)), url, artifacts, name }
    }

    pub fn store(&self, clock: Arc<dyn Clock>) -> MlflowArtifactStore {
        MlflowArtifactStore::new(self.client.clone(), clock).with_root(&RelPath::new(&self.name).unwrap())
    }

    pub fn registry(&self, store: Arc<MlflowArtifactStore>, clock: Arc<dyn Clock>) -> MlflowRegistry {
        let sources = store.uri();
        MlflowRegistry::new(self.client.clone(), store, clock)
            .with_sources(sources)
            .with_namespace(&format!("{}.", self.name))
            .unwrap()
    }

    /// The file in which the server keeps a content, if it is on this machine.
    pub fn file(&self, digest: &Digest) -> Option<PathBuf> {
        let (root, hex) = (self.artifacts.as_ref()?, digest.hex());
        Some(root.join(&self.name).join(&hex[..2]).join(&hex).join("content"))
    }

    /// Flips a bit of a content behind the server's back; empty content gets a byte.
    pub fn damage(&self, digest: &Digest) {
        let file = self.file(digest).unwrap();
        let mut bytes = fs::read(&file).unwrap();
        match bytes.last_mut() {
            Some(last) => *last ^= 1,
            None => bytes.push(0),
        }
        fs::write(&file, bytes).unwrap();
    }

    pub fn is_local(&self) -> bool {
        self.artifacts.is_some()
    }
}
