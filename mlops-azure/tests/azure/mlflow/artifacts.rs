//! The artifacts of runs: once, whole, and checked, whatever breaks off.

use mlops_azure::fake::{FakeAzure, FakeRunArtifacts, Fault, FaultRule, FaultyTransport};
use mlops_azure::http::Method;
use mlops_azure::mlflow::RunArtifacts;
use mlops_core::hash::Digest;
use mlops_core::{RelPath, Result};

use super::*;
use crate::log::Log;

const BLOBS: &str = "strunartifacts.blob.core.windows.net";

/// The fake, the part that keeps artifacts, and a client whose requests may meet faults.
struct Field {
    azure: FakeAzure,
    kept: FakeRunArtifacts,
    faulty: Arc<FaultyTransport>,
}

impl Field {
    fn new() -> Self {
        let (azure, kept) = (crate::judged(), FakeRunArtifacts::new());
        azure.plug(kept.clone());
        let faulty = Arc::new(FaultyTransport::new(azure.transport()));
        Self { azure, kept, faulty }
    }

    fn client(&self, part: u64) -> RunArtifacts {
        self.client_through(self.faulty.clone(), part)
    }

    fn client_through(&self, transport: Arc<dyn HttpTransport>, part: u64) -> RunArtifacts {
        let builder = AzureMlflow::builder(uri(&self.azure), self.azure.tokens()).transport(transport);
        builder.retry(retry()).part(part).build().unwrap().artifacts("churn", "amiable_pin_1").unwrap()
    }

    fn count(&self, part: &str) -> usize {
        self.azure.requests().iter().filter(|line| line.contains(part)).count()
    }
}

fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 % 251) as u8).collect()
}

async fn read(artifacts: &RunArtifacts, at: &str) -> Result<Vec<u8>> {
    Ok(artifacts.download(&path(at), None).await?.1.collect(64 << 20).await?.to_vec())
}

#[tokio::test]
async fn content_goes_up_in_two_requests_and_comes_down_as_it_was() {
    let field = Field::new();
    let artifacts = field.client(AzureMlflow::PART);
    let link = artifacts.upload(&path("model/w eights.json"), b"{}".to_vec().into()).await.unwrap();
    assert_eq!((link.digest, link.size, field.azure.count()), (Digest::of(b"{}"), 2, 2));
    assert_eq!(read(&artifacts, "model/w eights.json").await.unwrap(), b"{}");
    artifacts.upload(&path("empty"), Vec::new().into()).await.unwrap();
    assert_eq!(read(&artifacts, "empty").await.unwrap(), b"");
    for i in 0..7 {
        artifacts.upload(&path(&format!("many/{i}")), vec![i].into()).await.unwrap();
    }
    let listed: Vec<_> = artifacts.list().await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(listed.len(), 9, "over several pages: {listed:?}");
    assert_eq!((listed[0].as_str(), listed[8].as_str()), ("empty", "model/w eights.json"));
    assert_eq!(read(&artifacts, "none").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn an_artifact_is_written_once() {
    let field = Field::new();
    let artifacts = field.client(AzureMlflow::PART);
    let first = artifacts.upload(&path("a"), b"one".to_vec().into()).await.unwrap();
    let again = artifacts.upload(&path("a"), b"one".to_vec().into()).await.unwrap();
    assert_eq!(again, first);
    for other in [&b"two"[..], b"longer"] {
        let error = artifacts.upload(&path("a"), other.to_vec().into()).await.unwrap_err();
        assert_eq!((error.kind(), error.context("path")), (ErrorKind::Conflict, Some("a")));
    }
    assert_eq!(field.kept.content("a").unwrap(), "one");
}

#[tokio::test]
async fn what_another_client_put_there_is_compared_by_its_bytes() {
    let field = Field::new();
    let artifacts = field.client(AzureMlflow::PART);
    // Entered by us; its bytes come from somebody who knows of no digests.
    field.faulty.add(FaultRule::new(Fault::Status(403, None)).host(BLOBS).times(1));
    assert_eq!(
        artifacts.upload(&path("a"), b"one".to_vec().into()).await.unwrap_err().kind(),
        ErrorKind::Auth
    );
    let sas = format!("sv=1&sp=rcw&sig={}", FakeRunArtifacts::SIGNATURE);
    let url = format!("https://{BLOBS}/azureml/ExperimentRun/dcid.amiable_pin_1/a?{sas}");
    let mut request = HttpRequest::new(Method::PUT, url.parse().unwrap());
    request.headers.insert("x-ms-blob-type", "BlockBlob".parse().unwrap());
    request.body = b"one".to_vec().into();
    assert_eq!(field.azure.transport().send(request).await.unwrap().status, 201);
    artifacts.upload(&path("a"), b"one".to_vec().into()).await.unwrap();
    let error = artifacts.upload(&path("a"), b"two".to_vec().into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(read(&artifacts, "a").await.unwrap(), b"one");
}

#[tokio::test]
async fn lost_answers_do_no_harm() {
    let field = Field::new();
    let lossy = Lossy::new(field.azure.transport());
    let artifacts = field.client_through(lossy.clone(), 1_000);
    for length in [3, 1_000, 4_500] {
        let at = format!("f{length}");
        let link = artifacts.upload(&path(&at), content(length).into()).await.unwrap();
        assert_eq!((link.size, link.digest), (length as u64, Digest::of(&content(length))));
        assert_eq!(read(&artifacts, &at).await.unwrap(), content(length));
    }
    assert!(lossy.lost() > 12);
    assert_eq!(artifacts.list().await.unwrap().len(), 3);
}

#[tokio::test]
async fn an_upload_that_broke_off_goes_on_where_it_was() {
    let field = Field::new();
    let artifacts = field.client(1_000);
    let bytes = content(10_000);
    // Six blocks go up, and then the storage is not there any more.
    let down = FaultRule::new(Fault::Status(403, None)).host(BLOBS).method(Method::PUT).after(6);
    field.faulty.add(down);
    let error = artifacts.upload(&path("big"), bytes.clone().into()).await.unwrap_err();
    assert_eq!((error.kind(), field.kept.waiting_blocks("big")), (ErrorKind::Auth, 6));
    assert!(field.kept.content("big").is_none(), "half of it is nothing");
    field.faulty.heal();
    field.azure.forget_requests();
    let link = artifacts.upload(&path("big"), bytes.clone().into()).await.unwrap();
    assert_eq!(link.digest, Digest::of(&bytes));
    assert_eq!(field.count("comp=block&"), 4, "{:?}", field.azure.requests());
    assert_eq!(read(&artifacts, "big").await.unwrap(), bytes);
}

#[tokio::test]
async fn a_download_that_breaks_off_goes_on_where_it_was() {
    let field = Field::new();
    let artifacts = field.client(AzureMlflow::PART);
    let bytes = content(100_000);
    artifacts.upload(&path("big"), bytes.clone().into()).await.unwrap();
    field.faulty.add(FaultRule::new(Fault::HalfBody).host(BLOBS).method(Method::GET).times(3));
    assert_eq!(read(&artifacts, "big").await.unwrap(), bytes);
    assert_eq!(field.faulty.made().len(), 3);
    // Unless there is other content by then.
    field.faulty.heal();
    field.faulty.add(FaultRule::new(Fault::HalfBody).host(BLOBS).method(Method::GET).times(1));
    field.faulty.add(FaultRule::new(Fault::Status(412, None)).host(BLOBS).method(Method::GET));
    assert_eq!(read(&artifacts, "big").await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn what_changed_on_the_way_is_not_handed_out() {
    let field = Field::new();
    let artifacts = field.client(AzureMlflow::PART);
    artifacts.upload(&path("a"), b"one".to_vec().into()).await.unwrap();
    let known = Digest::of(b"one");
    assert!(artifacts.download(&path("a"), Some(&known)).await.is_ok());
    let other = Digest::of(b"two");
    assert_eq!(artifacts.download(&path("a"), Some(&other)).await.unwrap_err().kind(), ErrorKind::Integrity);
    assert!(field.kept.damage("a"));
    let error = artifacts.download(&path("a"), None).await.unwrap_err();
    assert_eq!((error.kind(), error.context("path")), (ErrorKind::Integrity, Some("a")));
}

#[tokio::test]
async fn folders_go_up_and_come_down_and_what_is_there_is_not_sent_again() {
    let field = Field::new();
    let artifacts = field.client(AzureMlflow::PART);
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir_all(from.path().join("sub/deep")).unwrap();
    for i in 0..60 {
        std::fs::write(from.path().join(format!("sub/deep/{i:02}")), content(i * 10)).unwrap();
    }
    std::fs::write(from.path().join("MLmodel"), "flavors: {}").unwrap();
    let links = artifacts.upload_folder(Some(&path("model")), from.path()).await.unwrap();
    assert_eq!((links.len(), links[0].path.as_str()), (61, "model/MLmodel"));
    assert_eq!(field.count("batch/metadata"), 2, "fifty files share a request");
    assert_eq!(field.count("PUT "), 61);

    field.azure.forget_requests();
    assert_eq!(artifacts.upload_folder(Some(&path("model")), from.path()).await.unwrap(), links);
    assert_eq!(field.count("PUT "), 0);

    let mut fetched = artifacts.download_folder(Some(&path("model")), to.path()).await.unwrap();
    fetched.sort();
    assert_eq!(fetched, links);
    for i in 0..60 {
        assert_eq!(std::fs::read(to.path().join(format!("sub/deep/{i:02}"))).unwrap(), content(i * 10));
    }
    // A file that was changed here is set right, and the others are left as they are.
    std::fs::write(to.path().join("MLmodel"), "flavors: []").unwrap();
    artifacts.download_folder(Some(&path("model")), to.path()).await.unwrap();
    assert_eq!(std::fs::read_to_string(to.path().join("MLmodel")).unwrap(), "flavors: {}");
    assert_eq!(std::fs::read_dir(to.path()).unwrap().count(), 2, "nothing is left beside");
    assert!(artifacts.download_folder(Some(&path("mod")), to.path()).await.unwrap().is_empty());
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_with_a_link_is_refused() {
    let field = Field::new();
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
    let error = field.client(AzureMlflow::PART).upload_folder(None, folder.path()).await.unwrap_err();
    assert_eq!((error.kind(), field.azure.count()), (ErrorKind::InvalidInput, 0));
    let missing = folder.path().join("none");
    let error = field.client(AzureMlflow::PART).upload_file(&path("a"), &missing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_run_says_where_its_artifacts_are() {
    let field = Field::new();
    let service = FakeMlflow::new();
    field.azure.plug(service.clone());
    service.start_job(&uri(&field.azure), "churn", "amiable_pin_1");
    let mlflow = mlflow(&field.azure);
    let artifacts = mlflow.artifacts_of("amiable_pin_1").await.unwrap();
    let link = artifacts.upload(&path("a"), b"one".to_vec().into()).await.unwrap();
    assert_eq!(read(&field.client(1), "a").await.unwrap(), b"one", "it is the same run");
    // And the run says what it has.
    let tracker = mlflow.tracker();
    let run = tracker.adopt("amiable_pin_1").await.unwrap().id;
    tracker.write(&run, &LogBatch::new().artifact(link.clone())).await.unwrap();
    assert_eq!(tracker.run(&run).await.unwrap().artifacts, [link]);
    assert_eq!(mlflow.artifacts_of("none").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn no_signature_and_no_token_is_shown() {
    let field = Field::new();
    let log = Log::default();
    let guard = tracing::subscriber::set_default(log.clone());
    let token = field.azure.tokens();
    let scope = mlops_azure::auth::Scope::new("https://management.azure.com/.default").unwrap();
    let token = token.token(&scope).await.unwrap().secret;
    let artifacts = field.client(1_000);
    let mut shown = format!("{artifacts:?} {:?}", mlflow(&field.azure));
    artifacts.upload(&path("a"), content(5_000).into()).await.unwrap();
    read(&artifacts, "a").await.unwrap();
    let faults = [Fault::Status(403, None), Fault::Status(404, None), Fault::Unreachable, Fault::Html];
    for (n, fault) in faults.into_iter().enumerate() {
        field.faulty.heal();
        field.faulty.add(FaultRule::new(fault).host(BLOBS));
        for error in [
            artifacts.download(&path("a"), None).await.unwrap_err(),
            artifacts.upload(&path(&format!("b{n}")), content(10).into()).await.unwrap_err(),
        ] {
            shown.push_str(&format!("{error} {error:?}"));
        }
    }
    drop(guard);
    shown.push_str(&log.text());
    assert!(shown.len() > 1_000);
    for secret in [FakeRunArtifacts::SIGNATURE, token.expose()] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
