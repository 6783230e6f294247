//! Storage: content by digest, uploads, datastores, settings and access lists, against the fake.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use mlops_azure::artifact::BlobArtifacts;
use mlops_azure::config::{Cloud, Workspace};
use mlops_azure::environment::{CodeSource, Codes, PendingUpload};
use mlops_azure::fake::{FakeAzure, FakeStorage};
use mlops_azure::http::{HttpFault, HttpRequest, HttpResponse, HttpTransport, RetryPolicy, Stage};
use mlops_azure::job::Jobs;
use mlops_azure::storage::{
    AclChange, AclEntry, AclOptions, Container, DataLakeAccess, Datastores, IgnoreRules, LocalCode,
    LocalTree, Protection, ProtectionSettings, StorageAccount, StorageCredential, Uploads,
};
use mlops_azure::wire::{CommandJob, Credentials, Datastore, DatastoreSecrets};
use mlops_core::ErrorKind;
use mlops_core::artifact::{ArtifactStore, ArtifactStoreExt as _, GcOptions};
use mlops_core::conformance::artifact::ArtifactsUnderTest;
use mlops_core::governance::Secret;
use mlops_core::hash::Digest;
use mlops_core::time::{Clock, ManualClock};
use serde_json::{Value, json};

const ACCOUNT: &str = "stfake";
const STORE: &str = "workspaceblobstore";
const MEBI: usize = 1 << 20;

fn now() -> mlops_core::time::Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// Tries again at once.
fn retry() -> RetryPolicy {
    RetryPolicy::default().with_initial(Duration::ZERO)
}

/// The fake with a clock that is turned by hand, and the storage in it.
struct Fixture {
    azure: FakeAzure,
    storage: FakeStorage,
    clock: Arc<ManualClock>,
}

impl Fixture {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(now()));
        let (azure, storage) = (crate::judged().with_clock(clock.clone()), FakeStorage::default());
        azure.plug(storage.clone());
        storage.create(ACCOUNT, "artifacts");
        Self { azure, storage, clock }
    }

    fn account() -> StorageAccount {
        StorageAccount::named(ACCOUNT, Cloud::Public).unwrap()
    }

    fn sas(&self) -> StorageCredential {
        let tomorrow = "2026-01-02T00:00:00Z".parse().unwrap();
        StorageCredential::sas(&self.storage.sign(ACCOUNT, "artifacts", tomorrow)).unwrap()
    }

    fn container_by(&self, credential: StorageCredential) -> Container {
        self.container_over(credential, self.azure.transport())
    }

    fn container_over(&self, credential: StorageCredential, transport: Arc<dyn HttpTransport>) -> Container {
        let builder = Container::builder(Self::account(), "artifacts", credential);
        builder.transport(transport).retry(retry()).clock(self.clock.clone()).build().unwrap()
    }

    fn artifacts(&self) -> BlobArtifacts {
        BlobArtifacts::new(self.container_by(StorageCredential::tokens(self.azure.tokens())))
    }

    fn datastores(&self) -> Datastores {
        let datastores = Datastores::new(self.azure.arm(), self.azure.place());
        datastores.transport(self.azure.transport()).retry(retry()).tokens(self.azure.tokens())
    }

    /// Code of a folder named `data`, through the fake.
    async fn code(&self, above: &tempfile::TempDir) -> LocalCode {
        let code = LocalCode::read(&above.path().join("data")).await.unwrap();
        code.transport(self.azure.transport()).retry(retry())
    }

    fn codes(&self) -> Codes {
        Codes::new(self.azure.arm(), &self.azure.workspace())
    }

    fn uploads(&self) -> Uploads {
        Uploads::new(self.datastores())
    }

    /// The requests to storage since the last time, as method, path without the container, and `comp`.
    fn blob_requests(&self) -> Vec<String> {
        let lines = self.azure.requests();
        self.azure.forget_requests();
        lines.into_iter().filter(|line| line.contains(".blob.")).collect()
    }
}

fn under_test(credential: impl FnOnce(&Fixture) -> StorageCredential) -> ArtifactsUnderTest {
    let fixture = Fixture::new();
    let store = BlobArtifacts::new(fixture.container_by(credential(&fixture)));
    let (clock, damaged) = (fixture.clock.clone(), store.clone());
    // As another program damages content that may write to the container.
    let damage = move |digest: &Digest| {
        let key = damaged.key(digest);
        let blobs = fixture.storage.blobs(ACCOUNT, "artifacts");
        let mut bytes = blobs[&key].to_vec();
        match bytes.last_mut() {
            Some(last) => *last ^= 1,
            None => bytes.push(0),
        }
        fixture.storage.overwrite(ACCOUNT, "artifacts", &key, bytes, fixture.clock.now());
    };
    ArtifactsUnderTest::new(Arc::new(store)).with_clock(clock).with_damage(damage)
}

fn account_key() -> StorageCredential {
    let key = base64::prelude::BASE64_STANDARD.encode("account-key-canary");
    StorageCredential::account_key(&Secret::new(key)).unwrap()
}

mlops_core::artifact_store_suite!(
    artifacts_by_token,
    under_test(|fixture| StorageCredential::tokens(fixture.azure.tokens()))
);
mlops_core::artifact_store_suite!(artifacts_by_signature, under_test(Fixture::sas));

/// Bytes that do not repeat, the same on every run.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&state.to_be_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Writes the files of a folder named `data`.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let above = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = above.path().join("data").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    above
}

/// A transport that lets so many requests with a body through, and then never answers again.
#[derive(Debug)]
struct Gate {
    inner: Arc<dyn HttpTransport>,
    left: AtomicI64,
    reached: tokio::sync::Notify,
}

impl Gate {
    fn new(inner: Arc<dyn HttpTransport>, writes: i64) -> Arc<Self> {
        Arc::new(Self { inner, left: AtomicI64::new(writes), reached: tokio::sync::Notify::new() })
    }
}

#[async_trait]
impl HttpTransport for Gate {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpFault> {
        let writes = matches!(request.body, mlops_azure::http::HttpBody::Bytes(_))
            && request.url.host_str().is_some_and(|host| host.contains(".blob."));
        if writes && self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            self.reached.notify_one();
            std::future::pending::<()>().await;
        }
        self.inner.send(request).await
    }
}

// --------------------------------------------------------------------------------------------------------------- artifacts

#[tokio::test]
async fn an_upload_that_was_cut_off_sends_only_the_blocks_that_are_missing() {
    let fixture = Fixture::new();
    let content = Bytes::from(noise(40 * MEBI + 5));
    let gate = Gate::new(fixture.azure.transport(), 2);
    let cut = BlobArtifacts::new(fixture.container_over(fixture.sas(), gate.clone()));
    tokio::select! {
        _ = cut.put(content.clone().into(), None) => panic!("the upload cannot come to its end"),
        () = gate.reached.notified() => {}
    }
    let store = fixture.artifacts();
    let digest = Digest::of(&content);
    let key = store.key(&digest);
    assert_eq!(store.head(&digest).await.unwrap(), None, "half of it is nothing");
    let there = fixture.storage.uncommitted(ACCOUNT, "artifacts", &key);
    assert_eq!(there, 2);
    fixture.azure.forget_requests();
    store.put(content.clone().into(), Some(digest)).await.unwrap();
    let blocks = fixture.blob_requests().iter().filter(|line| line.contains("comp=block&")).count();
    println!("6 blocks, {there} were there, {blocks} sent after the crash");
    assert_eq!(blocks, 4);
    assert_eq!(store.get_bytes(&digest, 64 * MEBI).await.unwrap(), content);
    // Once more sends nothing.
    store.put(content.clone().into(), None).await.unwrap();
    let lines = fixture.blob_requests();
    assert_eq!(lines.iter().filter(|line| line.starts_with("PUT")).count(), 1, "{lines:?}");
    assert!(lines.last().unwrap().contains("comp=metadata"));
}

#[tokio::test]
async fn what_a_call_costs_is_what_the_documentation_says() {
    let fixture = Fixture::new();
    let store = fixture.artifacts();
    let count = |what: &str, expected: usize| {
        let lines = fixture.blob_requests();
        println!("{what}: {}", lines.len());
        assert_eq!(lines.len(), expected, "{what}: {lines:#?}");
    };
    let small = store.put_bytes(b"small".to_vec()).await.unwrap();
    count("new content of up to 256 KiB", 1);
    let large = store.put_bytes(noise(MEBI)).await.unwrap();
    count("new content of up to 8 MiB", 2);
    store.get_bytes(&large.digest, MEBI).await.unwrap();
    count("to read up to 8 MiB", 1);
    store.put_bytes(noise(MEBI)).await.unwrap();
    count("content that is there", 2);
    store.head(&small.digest).await.unwrap();
    count("to look", 1);
    let file = |path: &str, blob: mlops_core::artifact::Blob| mlops_core::artifact::Entry {
        path: mlops_core::RelPath::new(path).unwrap(),
        digest: blob.digest,
        size: blob.size,
    };
    let manifest =
        mlops_core::artifact::Manifest::new(vec![file("a", small), file("b", large), file("c", small)])
            .unwrap();
    let tree = store.put_tree(&manifest).await.unwrap();
    count("a tree of three files, two of them the same", 5);
    let report = store.collect_garbage(&BTreeSet::from([tree.digest]), &GcOptions::default()).await.unwrap();
    assert_eq!((report.removed.len(), report.reachable), (0, 3));
    count("to collect nothing with one root", 4);
}

#[tokio::test]
async fn garbage_collection_leaves_what_is_put_while_it_runs() {
    let fixture = Fixture::new();
    let store = fixture.artifacts();
    let blob = store.put_bytes(b"about to be registered".to_vec()).await.unwrap();
    /// Puts the content again right before the first DELETE goes through.
    #[derive(Debug)]
    struct PutsFirst(Arc<dyn HttpTransport>, BlobArtifacts);
    #[async_trait]
    impl HttpTransport for PutsFirst {
        async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpFault> {
            if request.method == mlops_azure::http::Method::DELETE {
                self.1.put_bytes(b"about to be registered".to_vec()).await.unwrap();
            }
            self.0.send(request).await
        }
    }
    let transport = Arc::new(PutsFirst(fixture.azure.transport(), store.clone()));
    let collector = BlobArtifacts::new(fixture.container_over(fixture.sas(), transport));
    let report = collector.collect_garbage(&BTreeSet::new(), &GcOptions::default()).await.unwrap();
    assert_eq!((report.removed.len(), report.in_grace), (0, 1));
    assert_eq!(store.head(&blob.digest).await.unwrap(), Some(blob));
}

#[tokio::test]
async fn age_is_told_by_the_service_s_clock_whatever_this_machine_s_says() {
    let fixture = Fixture::new();
    let store = fixture.artifacts();
    store.put_bytes(b"young".to_vec()).await.unwrap();
    let hour = GcOptions::default().with_grace(Duration::from_secs(3600));
    for year in ["2020-01-01T00:00:00Z", "2031-01-01T00:00:00Z"] {
        let wrong: Arc<dyn Clock> = Arc::new(ManualClock::at(year.parse().unwrap()));
        let builder = Container::builder(Fixture::account(), "artifacts", fixture.sas());
        let container = builder.transport(fixture.azure.transport()).clock(wrong).build().unwrap();
        let report = BlobArtifacts::new(container).collect_garbage(&BTreeSet::new(), &hour).await.unwrap();
        assert_eq!((report.removed.len(), report.in_grace), (0, 1), "{year}");
    }
}

#[tokio::test]
async fn what_goes_wrong_on_the_way_is_tried_again_and_stores_once() {
    let fixture = Fixture::new();
    let store = fixture.artifacts();
    // The answer to the write is lost: the second try finds the blob there.
    fixture.azure.faults().lose_answers(1);
    let blob = store.put_bytes(b"weights".to_vec()).await.unwrap();
    fixture.azure.faults().busy(2);
    assert_eq!(store.get_bytes(&blob.digest, 100).await.unwrap(), b"weights"[..]);
    fixture.azure.faults().unavailable(2);
    assert_eq!(store.head(&blob.digest).await.unwrap(), Some(blob));
    fixture.azure.faults().lose_answers(1);
    store.put(noise(9 * MEBI).into(), None).await.unwrap();
    assert_eq!(fixture.storage.blobs(ACCOUNT, "artifacts").len(), 2);
    // A token that is not good any more is replaced by a new one, once.
    fixture.azure.faults().expire_tokens();
    assert_eq!(store.head(&blob.digest).await.unwrap(), Some(blob));
}

#[tokio::test]
async fn bytes_that_change_on_the_way_are_not_stored() {
    /// Flips a bit in every body.
    #[derive(Debug)]
    struct Flips(Arc<dyn HttpTransport>);
    #[async_trait]
    impl HttpTransport for Flips {
        async fn send(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpFault> {
            if let mlops_azure::http::HttpBody::Bytes(bytes) = &request.body {
                let mut flipped = bytes.to_vec();
                flipped[0] ^= 1;
                request.body = flipped.into();
            }
            self.0.send(request).await
        }
    }
    let fixture = Fixture::new();
    let container = fixture.container_over(fixture.sas(), Arc::new(Flips(fixture.azure.transport())));
    let store = BlobArtifacts::new(container);
    for size in [7, 9 * MEBI] {
        let error = store.put(noise(size).into(), None).await.unwrap_err();
        assert_eq!((error.kind(), error.context("code")), (ErrorKind::InvalidInput, Some("Md5Mismatch")));
    }
    assert!(fixture.storage.blobs(ACCOUNT, "artifacts").is_empty());
}

#[tokio::test]
async fn a_blob_that_is_written_while_it_is_read_is_not_handed_out_in_two_states() {
    let fixture = Fixture::new();
    let container = fixture.container_by(fixture.sas());
    fixture.storage.overwrite(ACCOUNT, "artifacts", "big", noise(20 * MEBI), now());
    let (properties, mut body) = container.get("big").await.unwrap();
    assert_eq!(properties.size, 20 * MEBI as u64);
    assert_eq!(body.next().await.unwrap().unwrap().len(), 8 * MEBI);
    fixture.storage.overwrite(ACCOUNT, "artifacts", "big", vec![0; 20 * MEBI], now());
    assert_eq!(body.next().await.unwrap().unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn a_container_that_is_not_there_is_not_an_empty_one() {
    let fixture = Fixture::new();
    let tokens = StorageCredential::tokens(fixture.azure.tokens());
    let builder = Container::builder(Fixture::account(), "elsewhere", tokens);
    let container = builder.transport(fixture.azure.transport()).retry(retry()).build().unwrap();
    let store = BlobArtifacts::new(container.clone());
    let digest = Digest::of(b"x");
    let missing = |error: mlops_core::Error| (error.kind(), error.context("code").map(str::to_owned));
    let expected = (ErrorKind::NotFound, Some("ContainerNotFound".to_owned()));
    assert_eq!(missing(store.head(&digest).await.unwrap_err()), expected);
    assert_eq!(missing(store.put_bytes(b"x".to_vec()).await.unwrap_err()), expected);
    assert_eq!(missing(store.get(&digest, None).await.unwrap_err()), expected);
    assert!(container.create().await.unwrap() && !container.create().await.unwrap());
    assert_eq!(store.head(&digest).await.unwrap(), None);
}

#[tokio::test]
async fn object_store_goes_through_the_same_transport() {
    let fixture = Fixture::new();
    let container = fixture.container_by(account_key());
    let store = container.object_store();
    let at = |path: &str| object_store::path::Path::from(path);
    use object_store::ObjectStoreExt as _;
    for i in 0..25 {
        store.put(&at(&format!("many/{i:02}")), Bytes::from(format!("{i}")).into()).await.unwrap();
    }
    let listed: Vec<_> = store.list(Some(&at("many"))).try_collect().await.unwrap();
    assert_eq!(listed.len(), 25);
    let pages = fixture.blob_requests().iter().filter(|line| line.contains("comp=list")).count();
    assert_eq!(pages, 3);
    fixture.azure.faults().busy(1);
    assert_eq!(store.get(&at("many/07")).await.unwrap().bytes().await.unwrap(), "7");
    assert!(matches!(store.head(&at("none")).await, Err(object_store::Error::NotFound { .. })));
    store.put(&at("pieces"), object_store::PutPayload::from_iter(["a", "b"].map(Bytes::from))).await.unwrap();
    assert_eq!(fixture.storage.blobs(ACCOUNT, "artifacts")["pieces"], "ab");
}

#[tokio::test]
async fn no_secret_is_in_anything_that_is_shown() {
    let fixture = Fixture::new();
    // Answers that hold everything that came.
    #[derive(Debug)]
    struct Echo;
    #[async_trait]
    impl HttpTransport for Echo {
        async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpFault> {
            let all: String = request.headers.values().filter_map(|v| v.to_str().ok()).collect();
            let body = format!("<Error><Code>X</Code><Message>{} {all}</Message></Error>", request.url);
            match request.method.as_str() {
                "HEAD" => Err(HttpFault::new(Stage::Answer, false, format!("{} {all}", request.url))),
                _ => Ok(HttpResponse::new(418, Default::default(), body.into())),
            }
        }
    }
    let mut shown = String::new();
    for credential in [fixture.sas(), account_key(), StorageCredential::tokens(fixture.azure.tokens())] {
        let builder = Container::builder(Fixture::account(), "artifacts", credential);
        let none = retry().with_attempts(1);
        let container = builder.transport(Arc::new(Echo)).retry(none).build().unwrap();
        let store = BlobArtifacts::new(container.clone());
        shown += &format!("{container:?} {store:?} {:?}", container.object_store());
        for error in [
            store.put_bytes(b"x".to_vec()).await.unwrap_err(),
            store.head(&Digest::of(b"x")).await.unwrap_err(),
            store.get(&Digest::of(b"x"), None).await.unwrap_err(),
            store.collect_garbage(&BTreeSet::new(), &GcOptions::default()).await.unwrap_err(),
        ] {
            shown += &format!("{error} {error:?}");
            let mut source = std::error::Error::source(&error);
            while let Some(below) = source {
                shown += &format!("{below} {below:?}");
                source = below.source();
            }
        }
    }
    let datastores = fixture.datastores();
    shown += &format!("{datastores:?} {:?} {:?}", datastores.secrets(STORE).await.unwrap(), fixture.storage);
    shown += &format!("{:?}", datastores.container(STORE).await.unwrap());
    for canary in [
        "sas-canary",
        "account-key-canary",
        "fake-token-canary",
        "YWNjb3VudC1rZXktY2FuYXJ5",
        "97, 99, 99, 111",
    ] {
        assert!(!shown.contains(canary), "{canary}: {shown}");
    }
}

// ----------------------------------------------------------------------------------------------------------------- uploads

#[tokio::test]
async fn one_file_goes_up_as_the_official_sdk_sends_it() {
    let fixture = Fixture::new();
    let above = folder(&[("a.csv", b"x,y\n1,2\n")]);
    let uploaded = fixture.uploads().asset(STORE, &above.path().join("data"), "d", "1").await.unwrap();
    let container = fixture.datastores().container(STORE).await.unwrap().name().to_owned();
    let key = format!("LocalUpload/{}/data/a.csv", uploaded.digest.hex());
    let lines: Vec<String> = fixture.azure.requests();
    let blob = format!("https://stfake.blob.core.windows.net/{container}/{key}");
    let workspace =
        format!("https://management.azure.com{}/datastores/{STORE}", fixture.azure.workspace().id());
    let starts = [
        format!("GET {workspace}?api-version="),
        format!("POST {workspace}/listSecrets?api-version="),
        format!("HEAD {blob}?sv="),
        format!("PUT {blob}?sv="),
        format!("PUT {blob}?comp=metadata&sv="),
    ];
    for (line, start) in lines.iter().zip(&starts) {
        assert!(line.starts_with(start.as_str()), "{line} does not begin with {start}");
    }
    let metadata = fixture.storage.metadata(ACCOUNT, &container, &key);
    let text = |name: &str| metadata.get(name).map(String::as_str);
    assert_eq!(
        (text("upload_status"), text("name"), text("version")),
        (Some("completed"), Some("d"), Some("1"))
    );
    assert_eq!(fixture.storage.blobs(ACCOUNT, &container)[&key], "x,y\n1,2\n");
    assert_eq!((uploaded.files, uploaded.sent_files, uploaded.sent_bytes), (1, 1, 8));
    assert_eq!(uploaded.data_uri(), format!("azureml://datastores/{STORE}/paths/{}", uploaded.path));
    assert!(uploaded.context_uri().starts_with("https://stfake.blob.core.windows.net/"));
    assert!(!format!("{uploaded:?}").contains("sig"));
    // A second upload of the same is one request, under another name, too.
    let uploads = fixture.uploads();
    uploads.datastores().container(STORE).await.unwrap();
    fixture.azure.forget_requests();
    let again = uploads.asset(STORE, &above.path().join("data"), "other", "7").await.unwrap();
    assert_eq!((again.sent_files, again.path == uploaded.path), (0, true));
    let lines = fixture.azure.requests();
    assert_eq!(lines.iter().filter(|line| line.contains(".blob.")).count(), 1, "{lines:?}");
    println!("a data asset's content: {} requests, the same again {}", starts.len(), 1);
}

/// Keeps what was sent to storage: method, path below the digest, `comp`, and the headers that say what is stored how.
#[derive(Debug)]
struct Recording {
    inner: Arc<dyn HttpTransport>,
    seen: std::sync::Mutex<Vec<Value>>,
}

/// What of a request is the protocol's: everything but time, ids, agents, versions and authorization.
fn protocol(method: &str, url: &str, headers: &[(String, String)]) -> Value {
    let url = mlops_azure::http::Url::parse(url).unwrap();
    let comp = url.query_pairs().find(|(name, _)| name == "comp").map(|(_, value)| value.into_owned());
    let (_, path) = url.path().split_once("/LocalUpload/").unwrap();
    let (_, path) = path.split_once('/').unwrap();
    let said = |name: &str| {
        name.starts_with("x-ms-meta-")
            || ["x-ms-blob-type", "if-none-match", "content-md5", "content-type"].contains(&name)
    };
    let headers: std::collections::BTreeMap<String, String> = headers
        .iter()
        .map(|(name, value)| (name.to_lowercase(), value.clone()))
        .filter(|(name, _)| said(name))
        .collect();
    json!({ "method": method, "path": path, "comp": comp, "headers": headers })
}

#[async_trait]
impl HttpTransport for Recording {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpFault> {
        if request.url.as_str().contains(".blob.") {
            let headers =
                request.headers.iter().map(|(n, v)| (n.to_string(), v.to_str().unwrap().to_owned()));
            let headers: Vec<_> = headers.collect();
            let seen = protocol(request.method.as_str(), request.url.as_str(), &headers);
            self.seen.lock().unwrap().push(seen);
        }
        self.inner.send(request).await
    }
}

/// What azure-ai-ml 1.35.2 was recorded to send for a data asset of one file, and what is sent here for the same file.
#[tokio::test]
async fn the_conversation_is_the_recorded_one_of_the_official_sdk() {
    let Some(types) = crate::types() else { return };
    let file = types.parent().unwrap().join("recorded/azure-ai-ml-1.35.2-main.json");
    let recorded: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let recorded = recorded.as_array().unwrap().iter().filter(|exchange| {
        exchange["url"]
            .as_str()
            .is_some_and(|url| url.contains("/LocalUpload/") && url.contains("/data/a.csv"))
    });
    let expected: Vec<Value> = recorded
        .map(|exchange| {
            let headers = exchange["headers"].as_object().unwrap();
            let headers: Vec<(String, String)> =
                headers.iter().map(|(n, v)| (n.clone(), v.as_str().unwrap_or_default().to_owned())).collect();
            protocol(exchange["method"].as_str().unwrap(), exchange["url"].as_str().unwrap(), &headers)
        })
        .take(3)
        .collect();
    let fixture = Fixture::new();
    let recording = Arc::new(Recording { inner: fixture.azure.transport(), seen: Default::default() });
    let above = folder(&[("a.csv", b"a,b\n1,2\n")]);
    let uploads = Uploads::new(fixture.datastores().transport(recording.clone()));
    uploads.asset(STORE, &above.path().join("data"), "d", "1").await.unwrap();
    assert_eq!(*recording.seen.lock().unwrap(), expected);
    assert_eq!(expected.len(), 3);
}

#[tokio::test]
async fn an_upload_of_many_files_that_was_cut_off_sends_only_what_is_missing() {
    let fixture = Fixture::new();
    let contents: Vec<(String, Vec<u8>)> =
        (0..20).map(|i| (format!("part/{i:02}.bin"), noise(1000 + i))).collect();
    let mut files: Vec<(&str, &[u8])> =
        contents.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    let big = noise(24 * MEBI);
    files.push(("z-big.bin", &big));
    let above = folder(&files);
    let source = above.path().join("data");
    let tree = LocalTree::read(&source).await.unwrap();
    // Cut off in the middle of the small files, then in the middle of the large one.
    let mut sent = Vec::new();
    for writes in [7, 15] {
        let gate = Gate::new(fixture.azure.transport(), writes);
        let uploads = Uploads::new(fixture.datastores().transport(gate.clone())).with_at_once(1).unwrap();
        tokio::select! {
            _ = uploads.tree(STORE, &tree, "d", "1") => panic!("the upload cannot come to its end"),
            () = gate.reached.notified() => {}
        }
        sent.push(fixture.blob_requests().iter().filter(|line| line.starts_with("PUT")).count());
    }
    let uploaded = fixture.uploads().tree(STORE, &tree, "d", "1").await.unwrap();
    let lines = fixture.blob_requests();
    let container = fixture.datastores().container(STORE).await.unwrap().name().to_owned();
    println!(
        "20 small files and one of 3 blocks: {sent:?} writes before the cuts, then {} files",
        uploaded.sent_files
    );
    assert_eq!((sent, uploaded.sent_files), (vec![7, 15], 1));
    assert_eq!(uploaded.sent_bytes, 8 * MEBI as u64, "{lines:?}");
    assert_eq!(uploaded.kept_bytes, tree.size() - uploaded.sent_bytes);
    let blobs = fixture.storage.blobs(ACCOUNT, &container);
    assert_eq!(blobs.len(), 21);
    for (path, content) in &files {
        assert_eq!(blobs[&format!("{}/{path}", uploaded.path)], *content);
    }
}

#[tokio::test]
async fn a_file_with_other_content_in_its_place_is_replaced() {
    let fixture = Fixture::new();
    let above = folder(&[("a", b"right"), ("b", b"right too")]);
    let source = above.path().join("data");
    let tree = LocalTree::read(&source).await.unwrap();
    let container = fixture.datastores().container(STORE).await.unwrap().name().to_owned();
    let key = format!("LocalUpload/{}/data/b", tree.digest().hex());
    for wrong in ["wrong too", "short"] {
        fixture.storage.overwrite(ACCOUNT, &container, &key, wrong, now());
        let uploaded = fixture.uploads().tree(STORE, &tree, "d", "1").await.unwrap();
        assert_eq!(fixture.storage.blobs(ACCOUNT, &container)[&key], "right too");
        assert!(uploaded.sent_files >= 1);
        fixture.storage.overwrite(ACCOUNT, &container, &key.replace("/b", "/a"), "right", now());
    }
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_sent_is_not_stored_under_the_old_digest() {
    let fixture = Fixture::new();
    for size in [100, 9 * MEBI] {
        let above = folder(&[("a", &noise(size))]);
        let source = above.path().join("data");
        let tree = LocalTree::read(&source).await.unwrap();
        let mut other = noise(size);
        other[size - 1] ^= 1;
        std::fs::write(source.join("a"), other).unwrap();
        let error = fixture.uploads().tree(STORE, &tree, "d", "1").await.unwrap_err();
        assert_eq!((error.kind(), error.context("path")), (ErrorKind::Conflict, Some("a")));
        std::fs::write(source.join("a"), b"").unwrap();
        let error = fixture.uploads().tree(STORE, &tree, "d", "1").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
    }
    let container = fixture.datastores().container(STORE).await.unwrap().name().to_owned();
    assert!(fixture.storage.blobs(ACCOUNT, &container).is_empty());
}

#[tokio::test]
async fn two_that_upload_the_same_at_once_both_come_to_the_end() {
    let fixture = Fixture::new();
    let big = noise(17 * MEBI);
    let above = folder(&[("a", b"1"), ("b", b"2"), ("c", &big), ("d", b"")]);
    let tree = LocalTree::read(&above.path().join("data")).await.unwrap();
    let (one, two) = (fixture.uploads(), fixture.uploads());
    let (one, two) = tokio::join!(one.tree(STORE, &tree, "d", "1"), two.tree(STORE, &tree, "d", "2"));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.path, two.path);
    let container = fixture.datastores().container(STORE).await.unwrap().name().to_owned();
    let blobs = fixture.storage.blobs(ACCOUNT, &container);
    assert_eq!((blobs.len(), blobs[&format!("{}/c", one.path)].len()), (4, 17 * MEBI));
}

#[tokio::test]
async fn code_goes_to_the_place_that_the_service_hands_out() {
    let fixture = Fixture::new();
    let above = folder(&[("train.py", b"print(1)\n"), ("lib/a.py", b"")]);
    let uploads = fixture.uploads();
    let name = "e0586a8a-a934-4e58-aee4-a0059f998acf";
    let uploaded = uploads.code(&above.path().join("data"), name, "1").await.unwrap();
    let lines = fixture.azure.requests();
    assert!(lines[0].contains(&format!("/codes/{name}/versions/1/startPendingUpload?")), "{lines:?}");
    assert!(lines.iter().all(|line| !line.contains("datastores")), "{lines:?}");
    assert!(
        uploaded.url.starts_with("https://stfake.blob.core.windows.net/") && uploaded.url.ends_with("/data")
    );
    let container = uploaded.url.split('/').nth(3).unwrap();
    let blobs = fixture.storage.blobs(ACCOUNT, container);
    assert_eq!(blobs.keys().collect::<Vec<_>>(), ["data/lib/a.py", "data/train.py"]);
    let code = uploaded.code();
    assert_eq!(
        (code.code_uri.as_str(), code.properties.get("hash_sha256")),
        (uploaded.url.as_str(), uploaded.snapshot.map(|hash| hash.hex()).as_deref())
    );
    let version = fixture.azure.place().code(name, "1").unwrap();
    fixture
        .azure
        .arm()
        .call(version.put("test", &mlops_azure::wire::Resource::new(code)).unwrap())
        .await
        .unwrap();
    println!("code of two files: {} requests", lines.len());
}

/// Source of the seven: azure-ai-ml 1.35.2, a command job with a folder of code.
#[tokio::test]
async fn a_job_with_a_folder_of_code_takes_four_calls_beside_the_upload() {
    let mut fixture = Fixture::new();
    fixture.azure = crate::judging(fixture.azure);
    let above = folder(&[("train.py", b"print(1)\n"), ("lib/a.py", b"")]);
    let code = fixture.code(&above).await;
    let submit = async |jobs: &Jobs, name: &str| {
        fixture.azure.forget_requests();
        let id = jobs.codes().register(&code).await.unwrap();
        let job = CommandJob::new("python train.py", "azureml:train:1").with_code(id.clone());
        jobs.submit(name, job).await.unwrap();
        let all = fixture.azure.count();
        let blobs = fixture.blob_requests().len();
        println!("{name}: {} calls and {blobs} of storage", all - blobs);
        (id, all - blobs, blobs)
    };
    let jobs = || Jobs::new(fixture.azure.arm(), &fixture.azure.workspace());
    let (here, elsewhere) = (jobs(), jobs());
    let (id, calls, blobs) = submit(&here, "first").await;
    assert_eq!((calls, blobs), (4, 3), "list, two files");
    assert_eq!(submit(&here, "second").await, (id.clone(), 1, 0));
    assert_eq!(submit(&elsewhere, "third").await, (id.clone(), 2, 0));
    assert_eq!(fixture.azure.refused(), Vec::<String>::new());
    let version = fixture.azure.resource(&id).unwrap();
    let (uri, digest) = (&version["properties"]["codeUri"], code.tree().snapshot_hash().await.unwrap().hex());
    assert_eq!(version["properties"]["properties"]["hash_sha256"], digest.as_str());
    let mut path = uri.as_str().unwrap().split('/').skip(3);
    let container = path.next().unwrap();
    assert_eq!(path.next(), Some("data"));
    let blobs = fixture.storage.blobs(ACCOUNT, container);
    assert_eq!(blobs.keys().collect::<Vec<_>>(), ["data/lib/a.py", "data/train.py"]);
    assert_eq!(blobs["data/train.py"], "print(1)\n");
    // Its place says whose it is, under the name that it has.
    let mark = fixture.storage.metadata(ACCOUNT, container, "data/lib/a.py");
    assert!(id.contains(&format!("/codes/{}/versions/{}", mark["name"], mark["version"])), "{id} {mark:?}");
}

/// Source of the seven: azure-ai-ml 1.35.2, a command job with a folder of one file, in its recorded requests.
#[tokio::test]
async fn a_job_with_new_code_of_one_file_takes_four_requests() {
    let mut fixture = Fixture::new();
    fixture.azure = crate::judging(fixture.azure);
    let submit = async |jobs: &Jobs, code: &LocalCode, name: &str| {
        fixture.azure.forget_requests();
        let id = jobs.codes().register(code).await.unwrap();
        let job = CommandJob::new("python train.py", "azureml:train:1").with_code(id);
        jobs.submit(name, job).await.unwrap();
        fixture.azure.count()
    };
    let jobs = || Jobs::new(fixture.azure.arm(), &fixture.azure.workspace());
    for (ask, expected) in [(false, [4, 1, 5]), (true, [5, 1, 2])] {
        let above = folder(&[("train.py", format!("print({ask})\n").as_bytes())]);
        let code = fixture.code(&above).await;
        let code = if ask { code.ask_first(true) } else { code };
        let here = jobs();
        let new = submit(&here, &code, &format!("new-{ask}")).await;
        let lines = fixture.azure.requests();
        let again = submit(&here, &code, &format!("again-{ask}")).await;
        let elsewhere = submit(&jobs(), &code, &format!("elsewhere-{ask}")).await;
        println!(
            "a job with code of one file, asked for first: {ask}; {new} requests (the official SDK: 7), {again} for the same \
             code, {elsewhere} in another process"
        );
        assert_eq!([new, again, elsewhere], expected, "{lines:#?}");
    }
    assert_eq!(fixture.azure.refused(), Vec::<String>::new());
}

/// Code that is sent without a question finds what others left there: the same, or something else.
#[tokio::test]
async fn code_that_is_sent_without_a_question_finds_what_is_there() {
    for (there, expected) in [("print(1)\n", 0), ("print(2)\n", 1), ("x", 1)] {
        let fixture = Fixture::new();
        let above = folder(&[("train.py", b"print(1)\n")]);
        let source = above.path().join("data");
        let name = "e0586a8a-a934-4e58-aee4-a0059f998acf";
        let first = fixture.uploads().code(&source, name, "1").await.unwrap();
        let container = first.url.split('/').nth(3).unwrap();
        let key = "data/train.py";
        // Without the mark.
        fixture.storage.overwrite(ACCOUNT, container, key, there, now());
        let again = fixture.uploads().code(&source, name, "1").await.unwrap();
        assert_eq!((again.sent_files, again.kept_bytes), (expected, if expected == 0 { 9 } else { 0 }));
        assert_eq!(fixture.storage.blobs(ACCOUNT, container)[key], "print(1)\n");
        let mark = fixture.storage.metadata(ACCOUNT, container, key);
        assert_eq!(mark["upload_status"], "completed");
        // What is marked is not looked at again.
        fixture.azure.forget_requests();
        assert_eq!(fixture.uploads().code(&source, name, "1").await.unwrap().sent_files, 0);
        assert_eq!(fixture.blob_requests().len(), 2);
    }
}

#[tokio::test]
async fn what_a_folder_of_code_says_is_left_behind_is_not_sent() {
    let fixture = Fixture::new();
    let above =
        folder(&[(".amlignore", b"*.pyc\n"), (".gitignore", b"*.py\n"), ("train.py", b"1"), ("a.pyc", b"2")]);
    let id = fixture.codes().register(&fixture.code(&above).await).await.unwrap();
    let uri = fixture.azure.resource(&id).unwrap()["properties"]["codeUri"].as_str().unwrap().to_owned();
    let blobs = fixture.storage.blobs(ACCOUNT, uri.split('/').nth(3).unwrap());
    assert_eq!(blobs.keys().collect::<Vec<_>>(), ["data/.amlignore", "data/.gitignore", "data/train.py"]);
    // Of data, everything is sent.
    let uploaded = fixture.uploads().asset(STORE, &above.path().join("data"), "d", "1").await.unwrap();
    assert_eq!(uploaded.files, 4);
    let all = LocalCode::read_with(&above.path().join("data"), IgnoreRules::none()).await.unwrap();
    assert_eq!(all.tree().manifest().entries().len(), 4);
}

/// A folder of code that is somewhere in the place already.
#[derive(Debug)]
struct Lying(Digest, &'static str);

#[async_trait]
impl CodeSource for Lying {
    async fn digest(&self) -> mlops_core::Result<Digest> {
        Ok(self.0)
    }

    async fn upload(&self, _to: &PendingUpload) -> mlops_core::Result<String> {
        Ok(self.1.to_owned())
    }

    fn ask_first(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn code_that_is_registered_and_lies_elsewhere_is_the_same_code() {
    let fixture = Fixture::new();
    let digest = Digest::of(b"code");
    let id = fixture.codes().register(&Lying(digest, "first")).await.unwrap();
    assert_eq!(fixture.codes().register(&Lying(digest, "second")).await.unwrap(), id);
    let uri = fixture.azure.resource(&id).unwrap()["properties"]["codeUri"].clone();
    assert!(uri.as_str().unwrap().ends_with("/first"), "{uri}");
    // Other code in its place is not taken for it.
    let mut other = fixture.azure.resource(&id).unwrap();
    other["properties"]["properties"]["hash_sha256"] = json!("0");
    fixture.azure.set_resource(&id, other);
    let error = fixture.codes().register(&Lying(digest, "second")).await.unwrap_err();
    assert_eq!((error.kind(), error.context("id").is_some()), (ErrorKind::Integrity, true));
}

#[tokio::test]
async fn code_whose_upload_was_cut_off_is_registered_by_sending_what_is_missing() {
    let fixture = Fixture::new();
    let big = noise(24 * MEBI);
    let above = folder(&[("a.py", b"1"), ("b.py", b"2"), ("z.bin", &big)]);
    let code = fixture.code(&above).await;
    let gate = Gate::new(fixture.azure.transport(), 4);
    let cut = code.clone().transport(gate.clone());
    let codes = fixture.codes();
    tokio::select! {
        _ = codes.register(&cut) => panic!("the upload cannot come to its end"),
        () = gate.reached.notified() => {}
    }
    let writes = |lines: &[String]| lines.iter().filter(|line| line.starts_with("PUT")).count();
    let before = writes(&fixture.blob_requests());
    let id = fixture.codes().register(&code).await.unwrap();
    let lines = fixture.blob_requests();
    // A file and three blocks; their list, and the file with the mark.
    println!("{before} writes before the cut, {} after it", writes(&lines));
    assert_eq!((before, writes(&lines)), (4, 2), "{lines:#?}");
    let uri = fixture.azure.resource(&id).unwrap()["properties"]["codeUri"].as_str().unwrap().to_owned();
    let blobs = fixture.storage.blobs(ACCOUNT, uri.split('/').nth(3).unwrap());
    assert_eq!((blobs.len(), &blobs["data/z.bin"][..]), (3, &big[..]));
    // Everything was there, and only the version was missing: no content is sent.
    fixture
        .azure
        .arm()
        .call(fixture.azure.place().code(id.split('/').nth_back(2).unwrap(), "1").unwrap().delete("test"))
        .await
        .unwrap();
    fixture.azure.forget_requests();
    assert_eq!(fixture.codes().register(&code).await.unwrap(), id);
    assert_eq!(writes(&fixture.blob_requests()), 0);
}

#[tokio::test]
async fn no_signature_of_a_place_for_code_is_shown() {
    /// What goes to storage is answered with all of the request.
    #[derive(Debug)]
    struct Echo(Arc<dyn HttpTransport>, bool);
    #[async_trait]
    impl HttpTransport for Echo {
        async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpFault> {
            let said = format!("<Error><Code>X</Code><Message>{}</Message></Error>", request.url);
            match (request.method.as_str(), self.1) {
                (_, true) => Err(HttpFault::new(Stage::Answer, false, said)),
                ("PUT", _) => Ok(HttpResponse::new(418, Default::default(), said.into())),
                _ => self.0.send(request).await,
            }
        }
    }
    let fixture = Fixture::new();
    let above = folder(&[("train.py", b"print(1)\n")]);
    let code = fixture.code(&above).await;
    let mut shown = format!("{code:?} {:?}", fixture.codes());
    for lost in [false, true] {
        let echo = Arc::new(Echo(fixture.azure.transport(), lost));
        let none = retry().with_attempts(1);
        let error = fixture.codes().register(&code.clone().transport(echo).retry(none)).await.unwrap_err();
        shown += &format!("{error} {error:?}");
        let mut source = std::error::Error::source(&error);
        while let Some(below) = source {
            shown += &format!("{below} {below:?}");
            source = below.source();
        }
    }
    shown += &format!("{:?}", fixture.azure.requests());
    assert!(shown.contains("train.py") && !shown.contains("sas-canary"), "{shown}");
}

#[tokio::test]
async fn a_signature_that_ends_is_asked_for_again() {
    let fixture = Fixture::new();
    let container = fixture.datastores().container(STORE).await.unwrap();
    assert_eq!(container.head("x").await.unwrap(), None);
    fixture.storage.forget_signatures();
    assert_eq!(container.head("x").await.unwrap(), None, "storage refused the old one");
    let asked = fixture.azure.requests().iter().filter(|line| line.contains("listSecrets")).count();
    assert_eq!(asked, 2);
    // One that was given by hand cannot be renewed, and the service's word for it comes back.
    let fixed = fixture.container_by(fixture.sas());
    fixture.storage.forget_signatures();
    let error = fixed.head("x").await.unwrap_err();
    assert_eq!((error.kind(), error.context("code")), (ErrorKind::Auth, Some("AuthenticationFailed")));
}

#[tokio::test]
async fn names_that_no_asset_has_are_refused_before_anything_is_read() {
    let fixture = Fixture::new();
    for (name, version) in [("", "1"), ("a/b", "1"), ("a", "../1"), ("a\r\nx-ms-meta-x: 1", "1"), ("é", "1")]
    {
        let error = fixture.uploads().asset(STORE, Path::new("/nowhere"), name, version).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound), "{error}");
    }
    assert_eq!(fixture.azure.count(), 0);
}

// -------------------------------------------------------------------------------------------------------------- datastores

#[tokio::test]
async fn datastores_are_made_read_listed_and_opened() {
    let fixture = Fixture::new();
    let datastores = fixture.datastores();
    let default = datastores.default().await.unwrap();
    assert_eq!(default.name.as_deref(), Some(STORE));
    let key = Credentials::AccountKey(Some(Secret::new("aHVudGVyMg==")));
    for (name, datastore) in [
        ("lake", Datastore::data_lake(ACCOUNT, "lake")),
        ("keyed", Datastore::blob(ACCOUNT, "keyed").with_credentials(key)),
    ] {
        datastores.create(name, &datastore, true).await.unwrap();
    }
    let lines = fixture.azure.requests();
    assert!(lines.last().unwrap().contains("skipValidation=true"), "{lines:?}");
    let names: BTreeSet<_> = datastores.list().await.unwrap().into_iter().filter_map(|d| d.name).collect();
    assert_eq!(names, ["keyed", "lake", STORE].map(str::to_owned).into());
    assert!(matches!(datastores.secrets("keyed").await.unwrap(), DatastoreSecrets::Sas(_)));
    assert!(matches!(datastores.secrets("lake").await.unwrap(), DatastoreSecrets::None));
    // Without credentials of its own it is opened with tokens, and its secrets are not even asked for.
    fixture.azure.forget_requests();
    let lake = datastores.container("lake").await.unwrap();
    assert_eq!((lake.name(), lake.head("x").await.unwrap()), ("lake", None));
    assert!(fixture.azure.requests().iter().all(|line| !line.contains("listSecrets")));
    let without = Datastores::new(fixture.azure.arm(), fixture.azure.place());
    assert_eq!(without.container("lake").await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(datastores.container("missing").await.unwrap_err().kind(), ErrorKind::NotFound);
    datastores.remove("lake").await.unwrap();
    assert_eq!(datastores.get("lake").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_datastore_cannot_have_tokens_sent_to_a_host_of_its_own() {
    let fixture = Fixture::new();
    let datastores = fixture.datastores();
    for (name, suffix) in [("one", "evil.example"), ("two", "core.windows.net.evil.example")] {
        let store = Datastore::blob(ACCOUNT, "data").with_endpoint(suffix);
        datastores.create(name, &store, true).await.unwrap();
        let error = datastores.container(name).await.unwrap_err();
        assert_eq!((error.kind(), error.context("endpoint")), (ErrorKind::Auth, Some(suffix)));
    }
    let china = Datastore::blob(ACCOUNT, "data").with_endpoint("core.chinacloudapi.cn");
    datastores.create("china", &china, true).await.unwrap();
    let host = datastores.container("china").await.unwrap().account().blobs().host_str().map(str::to_owned);
    assert_eq!(host.as_deref(), Some("stfake.blob.core.chinacloudapi.cn"));
}

// ---------------------------------------------------------------------------------------------------------------- settings

#[tokio::test]
async fn soft_delete_and_versions_are_changed_and_what_is_not_known_stays() {
    let fixture = Fixture::new();
    let workspace: Workspace = fixture.azure.workspace();
    let account = format!(
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Storage/storageAccounts",
        workspace.subscription(),
        workspace.resource_group()
    );
    let protection = |name| {
        Protection::new(fixture.azure.arm(), workspace.subscription(), workspace.resource_group(), name)
            .unwrap()
    };
    let settings = protection(ACCOUNT);
    assert_eq!(settings.get().await.unwrap(), ProtectionSettings::default());
    let wanted = ProtectionSettings::default()
        .with_soft_delete(Some(14))
        .with_container_soft_delete(Some(7))
        .with_versions(true);
    assert_eq!(settings.set(&wanted).await.unwrap(), wanted);
    assert_eq!(settings.get().await.unwrap(), wanted);
    let stored = fixture.azure.resource(&format!("{account}/{ACCOUNT}/blobServices/default")).unwrap();
    assert_eq!(stored["properties"]["cors"], json!({ "corsRules": [] }), "what this crate does not know");
    assert_eq!(stored["properties"]["deleteRetentionPolicy"]["allowPermanentDelete"], json!(false));
    fixture.azure.forget_requests();
    for days in [0, 366, u32::MAX] {
        let error = settings.set(&wanted.clone().with_soft_delete(Some(days))).await.unwrap_err();
        assert_eq!((error.kind(), error.context("field")), (ErrorKind::InvalidInput, Some("days")));
    }
    assert_eq!(fixture.azure.count(), 0, "nothing is sent");
    assert_eq!(settings.set(&ProtectionSettings::default()).await.unwrap(), ProtectionSettings::default());
    let lake = json!({ "location": "eastus", "properties": { "isHnsEnabled": true } });
    fixture.azure.set_resource(&format!("{account}/stlake"), lake);
    let error = protection("stlake").set(&wanted).await.unwrap_err();
    assert_eq!(error.context("code"), Some("FeatureNotSupportedForAccount"));
    assert_eq!(protection("stnone").get().await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn access_lists_of_a_tree_are_changed_in_batches_and_failures_in_a_success_are_told() {
    let fixture = Fixture::new();
    fixture.storage.create("stlake", "lake");
    for i in 0..7 {
        fixture.storage.overwrite("stlake", "lake", &format!("raw/{i}/f.csv"), "x", now());
    }
    fixture.storage.overwrite("stlake", "lake", "other/f.csv", "x", now());
    let account = StorageAccount::named("stlake", Cloud::Public).unwrap();
    let tokens = StorageCredential::tokens(fixture.azure.tokens());
    let builder = Container::builder(account, "lake", tokens).transport(fixture.azure.transport());
    let access = DataLakeAccess::new(builder.retry(retry()).build().unwrap()).unwrap();
    let list = |text: &str| text.split(',').map(|e| e.parse().unwrap()).collect::<Vec<AclEntry>>();
    let whole = list("user::rwx,user:someone:r-x,group::r-x,mask::r-x,other::---");
    access.set("other/f.csv", &whole).await.unwrap();
    let mut read = access.get("other/f.csv").await.unwrap();
    let mut expected = whole.clone();
    read.sort();
    expected.sort();
    assert_eq!(read, expected);
    assert_eq!(access.get("nothing").await.unwrap_err().kind(), ErrorKind::NotFound);

    fixture.storage.lock_path("stlake", "lake", "raw/3/f.csv");
    fixture.azure.forget_requests();
    let options = AclOptions::default().with_batch(4);
    let add = list("user:someone:r-x");
    let report = access.set_recursive("raw", AclChange::Modify, &add, &options).await.unwrap();
    assert_eq!((report.folders, report.files, report.failures), (8, 6, 1));
    assert_eq!(report.failed[0].path, "raw/3/f.csv");
    assert_eq!((report.continuation.as_deref(), fixture.azure.count()), (None, 4));
    let has = |entries: Vec<AclEntry>| entries.contains(&add[0]);
    assert!(has(access.get("raw/6/f.csv").await.unwrap()) && !has(access.get("raw/3/f.csv").await.unwrap()));
    assert!(!has(access.get("").await.unwrap()), "what is above is not touched");

    // In two calls, the second from where the first one stopped.
    let first = AclOptions::default().with_batch(4).with_max_batches(2);
    let report = access.set_recursive("raw", AclChange::Remove, &add, &first).await.unwrap();
    assert_eq!((report.folders + report.files, report.continuation.is_some()), (8, true));
    let rest = AclOptions::default().with_continuation(report.continuation);
    let report = access.set_recursive("raw", AclChange::Remove, &add, &rest).await.unwrap();
    assert_eq!((report.folders + report.files, report.failures), (6, 1));
    assert!(!has(access.get("raw/6/f.csv").await.unwrap()));
    // One that must not go on stops at the first failure and says where.
    let strict = AclOptions::default().with_go_on(false);
    let report = access.set_recursive("raw", AclChange::Set, &whole, &strict).await.unwrap();
    assert!(report.failures == 1 && report.continuation.is_some(), "{report:?}");
    // A flat account has no lists.
    let flat =
        DataLakeAccess::new(fixture.container_by(StorageCredential::tokens(fixture.azure.tokens()))).unwrap();
    assert_eq!(flat.get("x").await.unwrap_err().context("code"), Some("FeatureNotSupportedForAccount"));
}
