//! Blobs against Azurite, the emulator of Azure Storage: with the account's key, with a signature, and with tokens over TLS.
//!
//! `.ci/azurite` starts it and says where it is; without that the tests here say that they are skipped.
#![cfg(all(feature = "fake", feature = "storage"))]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use mlops_azure::artifact::BlobArtifacts;
use mlops_azure::auth::{AccessToken, FixedToken};
use mlops_azure::fake::{FakeAnswer, FakeAzure, FakePart, FakeRequest};
use mlops_azure::http::{
    HttpBody, HttpFault, HttpRequest, HttpResponse, HttpTransport, Method, ReqwestConfig, ReqwestTransport,
};
use mlops_azure::storage::{Container, Datastores, StorageAccount, StorageCredential, Uploads};
use mlops_azure::wire::{Credentials, Datastore};
use mlops_core::ErrorKind;
use mlops_core::artifact::{ArtifactStore, ArtifactStoreExt as _, GcOptions};
use mlops_core::conformance::artifact as suite;
use mlops_core::conformance::artifact::ArtifactsUnderTest;
use mlops_core::governance::Secret;
use mlops_core::hash::Digest;
use mlops_core::time::{Clock as _, SystemClock};
use serde_json::json;

/// The account that every Azurite has, and its key, which its documentation states.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const MEBI: usize = 1 << 20;

fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        println!("skipped: MLOPS_TEST_AZURITE names no server ({name} is not set)");
    }
    value
}

/// A name that no other container has.
fn fresh_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("t{}-{number}", std::process::id())
}

/// The account in clear text, for keys and signatures.
fn clear() -> Option<StorageAccount> {
    Some(StorageAccount::at(ACCOUNT, &variable("MLOPS_TEST_AZURITE")?).unwrap())
}

/// The account over TLS, with the transport that knows its certificate.
fn secure() -> Option<(StorageAccount, Arc<dyn HttpTransport>)> {
    let account = StorageAccount::at(ACCOUNT, &variable("MLOPS_TEST_AZURITE_TLS")?).unwrap();
    let pem = std::fs::read(variable("MLOPS_TEST_AZURITE_CERTIFICATE")?).unwrap();
    let config = ReqwestConfig::default().with_extra_roots(vec![pem]);
    Some((account, Arc::new(ReqwestTransport::new(&config).unwrap())))
}

fn key() -> StorageCredential {
    StorageCredential::account_key(&Secret::new(KEY)).unwrap()
}

/// A token as Entra ID makes them, but for the signature, which Azurite does not look at.
fn token(audience: &str) -> Arc<FixedToken> {
    let now = SystemClock::new().now().timestamp();
    let claims = json!({
        "aud": audience, "iss": "https://sts.windows.net/00000000-0000-0000-0000-00000000007e/",
        "tid": "00000000-0000-0000-0000-00000000007e", "oid": "00000000-0000-0000-0000-0000000000aa",
        "iat": now - 60, "nbf": now - 60, "exp": now + 3600,
    });
    let part = |value: String| BASE64_URL_SAFE_NO_PAD.encode(value);
    let head = part(json!({"typ": "JWT", "alg": "RS256"}).to_string());
    let text = format!("{head}.{}.{}", part(claims.to_string()), part("canary".to_owned()));
    Arc::new(FixedToken::new(AccessToken::new(text, "2100-01-01T00:00:00Z".parse().unwrap())))
}

/// A signature for all that an account's blobs let one do, by the account's key.
///
/// Source: "Create an account SAS", the string to sign of version 2020-12-06.
fn account_signature() -> Secret {
    let until = "2100-01-01T00:00:00Z";
    let text = format!("{ACCOUNT}\nrwdlacx\nb\nsco\n\n{until}\n\nhttps,http\n2022-11-02\n\n");
    let key = BASE64_STANDARD.decode(KEY).unwrap();
    let signature = BASE64_STANDARD.encode(hmac_sha256(&key, text.as_bytes()));
    let encoded = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    Secret::new(format!("?sv=2022-11-02&ss=b&srt=sco&sp=rwdlacx&se={until}&spr=https,http&sig={encoded}"))
}

/// HMAC (RFC 2104) with SHA-256, for keys of up to 64 bytes.
fn hmac_sha256(key: &[u8], text: &[u8]) -> [u8; 32] {
    let pad = |byte: u8| {
        let mut block = [byte; 64];
        block.iter_mut().zip(key).for_each(|(to, from)| *to ^= from);
        block.to_vec()
    };
    let inner = Digest::of(&[pad(0x36), text.to_vec()].concat());
    *Digest::of(&[pad(0x5c), inner.as_bytes().to_vec()].concat()).as_bytes()
}

#[test]
fn the_signature_s_hash_is_that_of_rfc_4231() {
    // Test case 2 of RFC 4231.
    let found = hmac_sha256(b"Jefe", b"what do ya want for nothing?");
    let hex: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

/// What a container is opened with.
#[derive(Clone, Copy, Debug)]
enum By {
    Key,
    Signature,
    Token,
}

/// A container with nothing in it; `None` where there is no server.
async fn fresh(by: By) -> Option<Container> {
    let name = fresh_name();
    let (account, transport, credential) = match by {
        By::Key => (clear()?, None, key()),
        By::Signature => (clear()?, None, StorageCredential::sas(&account_signature()).unwrap()),
        By::Token => {
            let (account, transport) = secure()?;
            (account, Some(transport), StorageCredential::tokens(token("https://storage.azure.com")))
        }
    };
    let mut builder = Container::builder(account, name, credential);
    if let Some(transport) = transport {
        builder = builder.transport(transport);
    }
    let container = builder.build().unwrap();
    assert!(container.create().await.unwrap());
    Some(container)
}

/// A store with nothing in it, whose content another program can overwrite.
async fn under_test(by: By) -> Option<ArtifactsUnderTest> {
    let container = fresh(by).await?;
    let store = BlobArtifacts::new(container.clone());
    let keys = store.clone();
    let damage = move |digest: &Digest| {
        let (container, key) = (container.clone(), keys.key(digest));
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async move {
                use object_store::ObjectStoreExt as _;
                let (store, at) = (container.object_store(), object_store::path::Path::from(key));
                let mut bytes = store.get(&at).await.unwrap().bytes().await.unwrap().to_vec();
                match bytes.last_mut() {
                    Some(last) => *last ^= 1,
                    None => bytes.push(0),
                }
                store.put(&at, bytes.into()).await.unwrap();
            });
        });
    };
    Some(ArtifactsUnderTest::new(Arc::new(store)).with_damage(damage))
}

macro_rules! cases {
    ($module:ident, $by:expr, [$($case:ident),* $(,)?]) => {
        mod $module {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let Some(fresh) = under_test($by).await else { return };
                    suite::$case(&fresh).await;
                }
            )*
        }
    };
}

macro_rules! all_cases {
    ($module:ident, $by:expr) => {
        cases!(
            $module,
            $by,
            [
                put_is_idempotent,
                put_checks_expect,
                broken_body_stores_nothing,
                content_never_changes,
                get_missing_is_not_found,
                get_range,
                damaged_content_is_not_handed_out,
                put_repairs_damage,
                empty_content_is_content,
                pieces_make_the_same_blob_as_the_whole,
                large_content_round_trips,
                put_tree_needs_its_files,
                trees_round_trip,
                trees_are_named_by_paths_and_contents,
                tree_of_other_content_is_corrupt,
                paths_of_any_script_are_kept_exactly,
                a_damaged_file_fails_the_tree,
                gc_keeps_what_is_reachable,
                gc_keeps_what_is_young,
                gc_dry_run_removes_nothing,
                gc_beside_a_damaged_root_loses_nothing,
                removed_content_can_be_put_again,
                concurrent_puts_are_one_blob,
                concurrent_collection_loses_nothing_young,
                failed_calls_change_nothing,
            ]
        );
    };
}

all_cases!(by_key, By::Key);
all_cases!(by_signature, By::Signature);
all_cases!(by_token_over_tls, By::Token);

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

/// Counts the writes of blocks and their bytes.
#[derive(Debug)]
struct Counting {
    inner: Arc<dyn HttpTransport>,
    blocks: AtomicU32,
}

#[async_trait]
impl HttpTransport for Counting {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpFault> {
        if request.url.query_pairs().any(|(name, value)| name == "comp" && value == "block") {
            self.blocks.fetch_add(1, Ordering::Relaxed);
        }
        self.inner.send(request).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_in_blocks_goes_up_once_and_comes_back() {
    for by in [By::Key, By::Signature, By::Token] {
        let Some(container) = fresh(by).await else { return };
        let store = BlobArtifacts::new(container.clone());
        let content = Bytes::from(noise(20 * MEBI + 3));
        let blob = store.put(content.clone().into(), None).await.unwrap();
        assert_eq!(store.get_bytes(&blob.digest, 32 * MEBI).await.unwrap(), content, "{by:?}");
        let there = container.head(&store.key(&blob.digest)).await.unwrap().unwrap();
        assert_eq!((there.size, there.md5.is_some()), (content.len() as u64, true));
        assert_eq!(there.metadata["mlops_sha256"], blob.digest.hex());
        assert_eq!(store.put(content.clone().into(), None).await.unwrap(), blob);
        let again = container.head(&store.key(&blob.digest)).await.unwrap().unwrap();
        assert_ne!(again.etag, there.etag, "it is young again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_hold_and_a_wrong_credential_is_told() {
    let Some(container) = fresh(By::Key).await else { return };
    use object_store::{ObjectStoreExt as _, PutMode, PutOptions};
    let (store, at) = (container.object_store(), object_store::path::Path::parse("a b/ü%+&'").unwrap());
    store.put(&at, "one".into()).await.unwrap();
    let create = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    let error = object_store::ObjectStore::put_opts(&*store, &at, "two".into(), create).await.unwrap_err();
    assert!(matches!(error, object_store::Error::AlreadyExists { .. }), "{error}");
    let (properties, body) = container.get("a b/ü%+&'").await.unwrap();
    assert_eq!((properties.size, body.collect(10).await.unwrap()), (3, Bytes::from_static(b"one")));
    let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert!(container.delete("a b/ü%+&'").await.unwrap() && !container.delete("a b/ü%+&'").await.unwrap());

    let account = container.account().clone();
    let wrong = StorageCredential::account_key(&Secret::new(BASE64_STANDARD.encode("wrong"))).unwrap();
    let other = Container::builder(account, container.name(), wrong).build().unwrap();
    assert_eq!(other.head("x").await.unwrap_err().kind(), ErrorKind::Auth);
    let Some((account, transport)) = secure() else { return };
    let elsewhere = StorageCredential::tokens(token("https://management.azure.com"));
    let other = Container::builder(account.clone(), container.name(), elsewhere)
        .transport(transport)
        .build()
        .unwrap();
    assert_eq!(other.head("x").await.unwrap_err().kind(), ErrorKind::Auth);
    // Without its certificate the server is nobody's.
    let untrusted = Container::builder(
        account,
        container.name(),
        StorageCredential::tokens(token("https://storage.azure.com")),
    );
    let retry = mlops_azure::http::RetryPolicy::default().with_attempts(1);
    assert_eq!(
        untrusted.retry(retry).build().unwrap().head("x").await.unwrap_err().kind(),
        ErrorKind::Transport
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_collected_by_age_is_told_by_the_server_s_clock() {
    let Some(container) = fresh(By::Key).await else { return };
    let store = BlobArtifacts::new(container);
    store.put_bytes(b"young".to_vec()).await.unwrap();
    let hour = GcOptions::default().with_grace(Duration::from_secs(3600));
    let report = store.collect_garbage(&BTreeSet::new(), &hour).await.unwrap();
    assert_eq!((report.removed.len(), report.in_grace), (0, 1));
    let report = store.collect_garbage(&BTreeSet::new(), &GcOptions::default()).await.unwrap();
    assert_eq!((report.removed.len(), report.in_grace), (1, 0));
}

// ------------------------------------------------------------------------------------------------------------- uploads

/// Resource Manager is the fake, storage is Azurite: what is sent to the account's host goes there.
#[derive(Debug)]
struct Routes {
    azure: FakeAzure,
    azurite: ReqwestTransport,
    base: String,
}

#[async_trait]
impl HttpTransport for Routes {
    async fn send(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpFault> {
        let url = request.url.to_string();
        match url.strip_prefix(&format!("https://{ACCOUNT}.blob.core.windows.net")) {
            None => self.azure.transport().send(request).await,
            Some(rest) => {
                request.url = format!("{}{rest}", self.base).parse().unwrap();
                self.azurite.send(request).await
            }
        }
    }
}

/// Answers what opens a datastore with a signature that Azurite takes.
struct Signs;

impl FakePart for Signs {
    fn answer(&self, request: &FakeRequest, _: &FakeAzure) -> Option<FakeAnswer> {
        let asked = request.path().ends_with("/listSecrets");
        let sas = account_signature();
        asked.then(|| FakeAnswer::ok(json!({ "secretsType": "Sas", "sasToken": sas.expose() })))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_goes_up_to_a_datastore_and_once_only() {
    let Some(container) = fresh(By::Key).await else { return };
    let azure = FakeAzure::new();
    azure.plug(Signs);
    let azurite = ReqwestTransport::new(&ReqwestConfig::default()).unwrap();
    let base = container.account().blobs().to_string();
    let routes = Arc::new(Routes { azure: azure.clone(), azurite, base });
    let datastores = Datastores::new(azure.arm(), azure.place()).transport(routes);
    let signed = Credentials::Sas(Some(Secret::new("sv=1&sig=x")));
    let datastore = Datastore::blob(ACCOUNT, container.name()).with_credentials(signed);
    datastores.create("azurite", &datastore, true).await.unwrap();
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("data");
    std::fs::create_dir_all(folder.join("größe")).unwrap();
    let big = noise(9 * MEBI);
    for (path, content) in [("a b+%.csv", &b"1"[..]), ("größe/ü'&.csv", b""), ("z.bin", &big)] {
        std::fs::write(folder.join(path), content).unwrap();
    }
    let uploads = Uploads::new(datastores);
    let uploaded = uploads.asset("azurite", &folder, "d", "1").await.unwrap();
    assert_eq!((uploaded.files, uploaded.sent_files), (3, 3));
    let at = |path: &str| format!("{}/{path}", uploaded.path);
    let mark = container.head(&at("a b+%.csv")).await.unwrap().unwrap();
    assert_eq!((mark.size, mark.metadata["upload_status"].as_str()), (1, "completed"));
    assert_eq!(container.head(&at("größe/ü'&.csv")).await.unwrap().unwrap().size, 0);
    let (_, body) = container.get(&at("z.bin")).await.unwrap();
    assert_eq!(body.collect(16 * MEBI).await.unwrap(), big);
    let again = uploads.asset("azurite", &folder, "d", "2").await.unwrap();
    assert_eq!((again.sent_files, again.sent_bytes), (0, 0));
    // Without the mark, as after a crash, nothing but the mark is sent.
    container.delete(&at("a b+%.csv")).await.unwrap();
    let again = uploads.asset("azurite", &folder, "d", "2").await.unwrap();
    assert_eq!((again.sent_files, again.sent_bytes), (1, 1));
}

// ------------------------------------------------------------------------------------------------- killed in the middle

/// The variable with which this program is told to be the one that is killed: it has the container's name.
const CHILD: &str = "MLOPS_TEST_AZURITE_CHILD";

/// What is uploaded: 6 blocks.
fn long_content() -> Bytes {
    noise(44 * MEBI).into()
}

/// Lets three blocks through, then writes the file that the parent waits for and never comes back.
#[derive(Debug)]
struct StopsAfterThree {
    inner: ReqwestTransport,
    blocks: AtomicU32,
    flag: std::path::PathBuf,
}

#[async_trait]
impl HttpTransport for StopsAfterThree {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpFault> {
        let is_block = request.method == Method::PUT
            && matches!(request.body, HttpBody::Bytes(_))
            && request.url.query().is_some_and(|query| query.contains("comp=block&"));
        if !is_block {
            return self.inner.send(request).await;
        }
        if self.blocks.fetch_add(1, Ordering::SeqCst) >= 3 {
            std::future::pending::<()>().await;
        }
        let answer = self.inner.send(request).await;
        let mark = self.flag.join(format!("{}", std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos()));
        std::fs::write(mark, "").unwrap();
        answer
    }
}

/// Not a test of its own: the program that is killed, started by the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_one_that_is_killed() {
    let (Ok(name), Ok(flag)) = (std::env::var(CHILD), std::env::var("MLOPS_TEST_AZURITE_FLAG")) else {
        return;
    };
    let Some(account) = clear() else { return };
    let inner = ReqwestTransport::new(&ReqwestConfig::default()).unwrap();
    let transport = Arc::new(StopsAfterThree { inner, blocks: AtomicU32::new(0), flag: flag.into() });
    let container = Container::builder(account, name, key()).transport(transport).build().unwrap();
    let _ = BlobArtifacts::new(container).put(long_content().into(), None).await;
}

fn count_of(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_whose_process_was_killed_sends_only_what_is_missing() {
    let Some(container) = fresh(By::Key).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_one_that_is_killed", "--nocapture"])
        .env(CHILD, container.name())
        .env("MLOPS_TEST_AZURITE_FLAG", folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while count_of(folder.path()) < 3 {
        assert!(child.try_wait().unwrap().is_none(), "the upload ended before it could be killed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let inner: Arc<dyn HttpTransport> = Arc::new(ReqwestTransport::new(&ReqwestConfig::default()).unwrap());
    let counting = Arc::new(Counting { inner, blocks: AtomicU32::new(0) });
    let account = container.account().clone();
    let builder = Container::builder(account, container.name(), key()).transport(counting.clone());
    let store = BlobArtifacts::new(builder.build().unwrap());
    let content = long_content();
    let digest = Digest::of(&content);
    assert_eq!(store.head(&digest).await.unwrap(), None, "half of it is nothing");
    store.put(content.clone().into(), Some(digest)).await.unwrap();
    let sent = counting.blocks.load(Ordering::Relaxed);
    println!("6 blocks, 3 were sent before SIGKILL, {sent} after it");
    assert_eq!(sent, 3);
    assert_eq!(store.get_bytes(&digest, 64 * MEBI).await.unwrap(), content);
}
