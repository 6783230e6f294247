//! Models behind core's trait: the whole suite, races between clients, faults, versions of other clients, publishing into
//! registries, and what it costs.

use std::collections::BTreeSet;
use std::sync::Arc;

use mlops_azure::fake::FakeAzure;
use mlops_azure::registry::{AzureModelRegistry, SharedModels};
use mlops_azure::wire::model::ModelType;
use mlops_azure::wire::{ModelVersion as AzureModel, Resource, TextMap};
use mlops_core::artifact::ArtifactStoreExt as _;
use mlops_core::conformance::registry::RegistryUnderTest;
use mlops_core::data::DataType;
use mlops_core::id::TagKey;
use mlops_core::memory::MemoryArtifactStore;
use mlops_core::model::{Feature, ModelFormat, Signature};
use mlops_core::problem::Task;
use mlops_core::registry::{
    AliasChange, ModelRef, ModelRegistry as _, ModelVersion, NewModelVersion, Protection,
};
use mlops_core::time::{Clock as _, ManualClock, SystemClock};
use mlops_core::{ActorId, Alias, ErrorKind, IdempotencyKey, ModelName, PageRequest, RunId, Tags, Version};

use crate::judged;

const OP: &str = "test";

fn alias(text: &str) -> Alias {
    Alias::new(text).unwrap()
}

fn protected(registry: AzureModelRegistry) -> AzureModelRegistry {
    registry
        .with_protected(alias("champion"), Protection::Gate)
        .with_protected(alias("production"), Protection::GateAndApproval)
}

fn under_test(
    make: impl FnOnce(Arc<MemoryArtifactStore>, Arc<ManualClock>) -> AzureModelRegistry,
) -> RegistryUnderTest {
    let clock = Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
    let content = Arc::new(MemoryArtifactStore::new(clock.clone()));
    let registry = protected(make(content.clone(), clock.clone()));
    RegistryUnderTest::new(Arc::new(registry), content)
        .with_clock(clock)
        .with_gated(alias("champion"))
        .with_approved(alias("production"))
}

fn in_workspace() -> RegistryUnderTest {
    let azure = judged();
    under_test(|content, clock| AzureModelRegistry::new(azure.arm(), &azure.workspace(), content, clock))
}

fn in_registry() -> RegistryUnderTest {
    let azure = judged();
    let shared = azure.registry("contoso-ml");
    under_test(|content, clock| {
        AzureModelRegistry::in_registry(azure.arm(), &shared, &azure.workspace(), content, clock)
    })
}

mlops_core::model_registry_suite!(of_a_workspace, in_workspace());
mlops_core::model_registry_suite!(of_a_registry, in_registry());

fn models(azure: &FakeAzure, content: &Arc<MemoryArtifactStore>) -> AzureModelRegistry {
    let clock = Arc::new(SystemClock::new());
    AzureModelRegistry::new(azure.arm(), &azure.workspace(), content.clone(), clock)
}

fn churn() -> ModelName {
    ModelName::new("churn").unwrap()
}

fn actor() -> ActorId {
    ActorId::new("tester").unwrap()
}

fn version(number: u64) -> Version {
    Version::new(number).unwrap()
}

fn exact(number: u64) -> ModelRef {
    ModelRef::new(churn(), version(number))
}

async fn new_version(content: &MemoryArtifactStore, text: &str) -> NewModelVersion {
    let artifact = content.put_bytes(text.to_owned()).await.unwrap().digest;
    let signature = Signature::new(Task::Regression, vec![Feature::required("age", DataType::F64)]);
    NewModelVersion::new(churn(), artifact, ModelFormat::new("mlops.linear/v1").unwrap(), signature, actor())
}

async fn registered(
    registry: &AzureModelRegistry,
    content: &MemoryArtifactStore,
    text: &str,
) -> ModelVersion {
    registry.register(&new_version(content, text).await).await.unwrap()
}

fn candidate(expected: Option<u64>, to: u64) -> AliasChange {
    AliasChange::new(churn(), alias("candidate"), version(to), actor()).expecting(expected.map(version))
}

fn foreign(path: &str) -> Resource<AzureModel> {
    let uri = format!("azureml://datastores/workspaceblobstore/paths/LocalUpload/{path}");
    Resource::new(AzureModel::new(ModelType::MlFlow, uri))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_that_register_at_once_get_distinct_versions_and_none_is_lost() {
    const CLIENTS: u64 = 16;
    let (azure, content) = (judged(), Arc::new(MemoryArtifactStore::default()));
    let new = new_version(&content, "the same content").await;
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|i| {
            let registry = models(&azure, &content);
            let new = new.clone().with_key(IdempotencyKey::generate()).with_description(i.to_string());
            tokio::spawn(async move { registry.register(&new).await.unwrap() })
        })
        .collect();
    let mut made = Vec::new();
    for task in tasks {
        made.push(task.await.unwrap());
    }
    let versions: BTreeSet<u64> = made.iter().map(|made| made.version.get()).collect();
    assert_eq!(versions, (1..=CLIENTS).collect());
    let reader = models(&azure, &content);
    for made in &made {
        assert_eq!(reader.get(&made.reference()).await.unwrap(), *made);
        let shown = reader.azure("churn", &made.version.to_string()).await.unwrap().properties;
        assert_eq!(shown.description.as_deref(), Some(made.spec.description.as_str()));
    }
    assert_eq!(azure.refused(), Vec::<String>::new());
    println!("{CLIENTS} clients at once took {} requests", azure.count());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_clients_that_move_an_alias_from_the_same_place_one_wins() {
    const CLIENTS: u64 = 12;
    let (azure, content) = (judged(), Arc::new(MemoryArtifactStore::default()));
    let registry = models(&azure, &content);
    for i in 0..CLIENTS {
        registered(&registry, &content, &i.to_string()).await;
    }
    let tasks: Vec<_> = (1..=CLIENTS)
        .map(|to| {
            let registry = models(&azure, &content);
            tokio::spawn(async move { registry.set_alias(&candidate(None, to)).await })
        })
        .collect();
    let (mut won, mut lost) = (Vec::new(), 0);
    for task in tasks {
        match task.await.unwrap() {
            Ok(record) => won.push(record),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                lost += 1;
            }
        }
    }
    assert_eq!((won.len(), lost), (1, CLIENTS - 1));
    let set = registry.aliases(&churn()).await.unwrap();
    assert_eq!(set, [(alias("candidate"), won[0].to.unwrap())]);
    let history =
        registry.alias_history(&churn(), &alias("candidate"), &PageRequest::default()).await.unwrap();
    assert_eq!(history.items, won);
    let container = azure.place().container("models", "churn").unwrap();
    let tags = azure.arm().call(container.get(OP)).await.unwrap().properties.tags.unwrap();
    assert_eq!(tags.get("mlops.alias.candidate"), won[0].to.map(|v| v.to_string()).as_deref());
}

#[tokio::test]
async fn azure_shows_what_counts_and_is_restored() {
    let (azure, content) = (judged(), Arc::new(MemoryArtifactStore::default()));
    let registry = models(&azure, &content);
    let run = RunId::generate();
    let mut new = new_version(&content, "content").await.with_run(run.clone()).with_description("a model");
    new.tags = Tags::from([(TagKey::new("team").unwrap(), "risk".to_owned())]);
    let made = registry.register(&new).await.unwrap();
    registry.set_alias(&candidate(None, 1)).await.unwrap();
    let tags = Tags::from([(TagKey::new("team").unwrap(), "credit".to_owned())]);
    registry.set_tags(&churn(), made.version, &tags, &actor()).await.unwrap();
    let shown = registry.azure("churn", "1").await.unwrap().properties;
    let properties = shown.properties.clone().unwrap();
    assert_eq!(properties.get("mlops.run"), Some(run.as_str()));
    assert_eq!(properties.get("mlops.artifact"), Some(new.artifact.to_string().as_str()));
    let hex = new.artifact.hex();
    assert!(
        shown
            .model_uri
            .as_deref()
            .unwrap()
            .ends_with(&format!("/datastores/workspaceblobstore/paths/mlops/cas/sha256/{}/{hex}", &hex[..2]))
    );
    assert_eq!(
        (shown.description.as_deref(), shown.tags.unwrap().get("team")),
        (Some("a model"), Some("credit"))
    );
    // Somebody removes and changes it with another client.
    let id = azure.workspace().id();
    let changed = TextMap::from_iter([("mlops.alias.candidate", "9"), ("theirs", "stays")]);
    let container = azure.place().container("models", "churn").unwrap();
    let mut own = azure.arm().call(container.get(OP)).await.unwrap();
    own.properties.tags = Some(changed);
    azure.arm().call(container.put(OP, &own).unwrap()).await.unwrap();
    assert!(azure.remove_resource(&format!("{id}/models/churn/versions/1")));
    assert_eq!(registry.get(&"churn:@candidate".parse().unwrap()).await.unwrap().version, made.version);
    registry.restore(&churn()).await.unwrap();
    assert_eq!(
        registry.azure("churn", "1").await.unwrap().properties.tags.unwrap().get("team"),
        Some("credit")
    );
    let tags = azure.arm().call(container.get(OP)).await.unwrap().properties.tags.unwrap();
    assert_eq!((tags.get("mlops.alias.candidate"), tags.get("theirs")), (Some("1"), Some("stays")));
    registry.set_archived(&churn(), version(1), true, &actor()).await.unwrap_err();
    let removal = candidate(Some(1), 1).with_to(None);
    registry.set_alias(&removal).await.unwrap();
    registry.set_archived(&churn(), version(1), true, &actor()).await.unwrap();
    assert_eq!(registry.azure("churn", "1").await.unwrap().properties.is_archived, Some(true));
    let tags = azure.arm().call(container.get(OP)).await.unwrap().properties.tags.unwrap();
    assert_eq!(tags.get("mlops.alias.candidate"), None);
}

#[tokio::test]
async fn a_registration_that_died_after_its_entry_is_there_and_is_shown_by_its_repetition() {
    let (azure, content) = (judged(), Arc::new(MemoryArtifactStore::default()));
    let new = new_version(&content, "content").await;
    let made = models(&azure, &content).register(&new).await.unwrap();
    let container = format!("{}/models/churn", azure.workspace().id());
    assert!(azure.remove_resource(&container));
    assert_eq!(models(&azure, &content).get(&exact(1)).await.unwrap(), made);
    assert_eq!(models(&azure, &content).register(&new).await.unwrap(), made);
    assert!(azure.resource(&container).is_some());
    // And by an alias that somebody else sets.
    assert!(azure.remove_resource(&container));
    models(&azure, &content).set_alias(&candidate(None, 1)).await.unwrap();
    let tags = &azure.resource(&container).unwrap()["properties"]["tags"];
    assert_eq!(tags["mlops.alias.candidate"], "1");
}

#[tokio::test]
async fn a_version_of_another_client_keeps_its_number_and_says_why_it_is_none_here() {
    let (azure, content) = (judged(), Arc::new(MemoryArtifactStore::default()));
    let (arm, registry) = (azure.arm(), models(&azure, &content));
    let at = |number: &str| azure.place().model("churn", number).unwrap();
    for number in ["1", "2", "7"] {
        arm.call(at(number).put(OP, &foreign(number)).unwrap()).await.unwrap();
    }
    assert_eq!(registered(&registry, &content, "ours").await.version.get(), 8);
    arm.call(at("9").put(OP, &foreign("9")).unwrap()).await.unwrap();
    assert_eq!(registered(&registry, &content, "ours again").await.version.get(), 10);
    let error = registry.get(&exact(7)).await.unwrap_err();
    assert_eq!((error.kind(), error.context("model_type")), (ErrorKind::Unsupported, Some("mlflow_model")));
    assert!(registry.azure("churn", "7").await.unwrap().properties.model_uri.unwrap().ends_with("/7"));
    assert_eq!(registry.get(&exact(6)).await.unwrap_err().kind(), ErrorKind::NotFound);
    let listed = registry.versions(&churn(), &PageRequest::default()).await.unwrap().items;
    assert_eq!(listed.iter().map(|v| v.version.get()).collect::<Vec<_>>(), [10, 8]);
    assert_eq!(registry.set_alias(&candidate(None, 7)).await.unwrap_err().kind(), ErrorKind::NotFound);
}

/// A part that writes another client's version in the moment before ours is written.
struct Faster(std::sync::atomic::AtomicBool);

impl mlops_azure::fake::FakePart for Faster {
    fn answer(
        &self,
        request: &mlops_azure::fake::FakeRequest,
        azure: &FakeAzure,
    ) -> Option<mlops_azure::fake::FakeAnswer> {
        let path = request.path();
        let ours = request.method == "PUT" && path.ends_with("/models/churn/versions/1");
        if ours && !self.0.swap(true, std::sync::atomic::Ordering::SeqCst) {
            azure.set_resource(path, serde_json::to_value(foreign("faster")).unwrap());
        }
        None
    }
}

#[tokio::test]
async fn whoever_takes_the_number_between_entry_and_version_keeps_it() {
    let (azure, content) = (judged(), Arc::new(MemoryArtifactStore::default()));
    azure.plug(Faster(std::sync::atomic::AtomicBool::new(false)));
    let registry = models(&azure, &content);
    let new = new_version(&content, "ours").await.with_run(RunId::generate());
    let made = registry.register(&new).await.unwrap();
    assert_eq!(made.version.get(), 2);
    assert!(registry.azure("churn", "1").await.unwrap().properties.model_uri.unwrap().ends_with("faster"));
    for registry in [registry, models(&azure, &content)] {
        assert_eq!(registry.register(&new).await.unwrap(), made);
        let all = registry.versions(&churn(), &PageRequest::default()).await.unwrap().items;
        assert_eq!(all, std::slice::from_ref(&made));
        assert_eq!(registry.get(&exact(1)).await.unwrap_err().kind(), ErrorKind::Unsupported);
    }
}

#[tokio::test]
async fn what_is_not_seen_everywhere_at_once_is_waited_for() {
    let (azure, content) = (judged(), Arc::new(MemoryArtifactStore::default()));
    azure.faults().hidden(2);
    let (one, two) = (models(&azure, &content), models(&azure, &content));
    for (registry, number) in [(&one, 1), (&two, 2)] {
        assert_eq!(registered(registry, &content, &number.to_string()).await.version, version(number));
    }
    let record = one.set_alias(&candidate(None, 2)).await.unwrap();
    assert_eq!(record.to, Some(version(2)));
    let error = two.set_alias(&candidate(None, 1)).await.unwrap_err();
    assert_eq!((error.kind(), error.context("found")), (ErrorKind::Conflict, Some("2")));
}

#[tokio::test]
async fn throttling_outages_and_lost_answers_change_nothing() {
    let (azure, content) = (judged(), Arc::new(MemoryArtifactStore::default()));
    let registry = models(&azure, &content);
    for round in 1..=6 {
        match round % 3 {
            0 => drop(azure.faults().busy(2)),
            1 => drop(azure.faults().lose_answers(2)),
            _ => drop(azure.faults().unavailable(2)),
        }
        assert_eq!(registered(&registry, &content, &round.to_string()).await.version, version(round));
        azure.faults().lose_answers(2);
        let expected = (round > 1).then(|| round - 1);
        let record = registry.set_alias(&candidate(expected, round)).await.unwrap();
        assert_eq!(record.sequence, round);
    }
    let events = registry.events(0, 100).await.unwrap();
    assert_eq!(events.len(), 12, "each thing happened once");
    let again = models(&azure, &content);
    assert_eq!(again.events(0, 100).await.unwrap(), events, "and everybody reads the same");
}

#[tokio::test]
async fn an_entry_that_was_changed_or_removed_is_noticed() {
    let (azure, content) = (judged(), Arc::new(MemoryArtifactStore::default()));
    let registry = models(&azure, &content);
    for text in ["1", "2", "3"] {
        registered(&registry, &content, text).await;
    }
    let id = format!("{}/data/mlops--ledger/versions/2", azure.workspace().id());
    let good = azure.resource(&id).unwrap();
    let mut bad = good.clone();
    bad["properties"]["properties"]["mlops.entry.000"] = "{}".into();
    azure.set_resource(&id, bad);
    let fresh = || models(&azure, &content).with_patience(std::time::Duration::from_millis(150));
    assert_eq!(fresh().get(&exact(1)).await.unwrap_err().kind(), ErrorKind::Corrupt);
    azure.remove_resource(&id);
    let error = fresh().get(&exact(1)).await.unwrap_err();
    assert_eq!((error.kind(), error.context("entry")), (ErrorKind::Corrupt, Some("2")));
    azure.set_resource(&id, good);
    assert_eq!(fresh().get(&exact(2)).await.unwrap().version, version(2));
}

#[tokio::test]
async fn a_model_is_published_with_its_origin_and_overwrites_nothing() {
    let (azure, content) = (judged(), Arc::new(MemoryArtifactStore::default()));
    let registry = models(&azure, &content);
    let made = registered(&registry, &content, "content").await;
    let shared = azure.registry("contoso-ml");
    let now = SystemClock::new().now();
    azure.faults().slow_operations(2);
    azure.forget_requests();
    let published = registry.publish(&exact(1), &shared, &actor(), now).await.unwrap();
    println!("publish a model into a registry: {} requests with two slow operations", azure.count());
    assert_eq!(published.uri, "azureml://registries/contoso-ml/models/churn/versions/1");
    assert!(published.fresh);
    let again = registry.publish(&exact(1), &shared, &actor(), now).await.unwrap();
    assert_eq!((again.uri, again.fresh), (published.uri, false));
    let there = SharedModels::new(azure.arm(), &shared);
    let found = there.get(&churn(), "1").await.unwrap().properties;
    let tags = found.tags.clone().unwrap();
    let from = azure.place().model("churn", "1").unwrap();
    assert_eq!(tags.get("mlops.published.from"), Some(from.id()));
    assert_eq!(tags.get("mlops.published.by"), Some("tester"));
    let properties = found.properties.unwrap();
    assert_eq!(properties.get("mlops.artifact"), Some(made.spec.artifact.to_string().as_str()));
    assert_eq!(there.names().await.unwrap(), ["churn"]);
    // Tags and whether it is archived may change, but not where it came from.
    there
        .set_tags(&churn(), "1", &TextMap::from_iter([("team", "risk"), ("mlops.published.by", "x")]))
        .await
        .unwrap();
    there.set_archived(&churn(), "1", true).await.unwrap();
    there.set_archived(&churn(), "1", true).await.unwrap();
    let all = there.versions(&churn()).await.unwrap();
    let tags = all[0].properties.tags.clone().unwrap();
    assert_eq!((all.len(), all[0].properties.is_archived), (1, Some(true)));
    assert_eq!((tags.get("team"), tags.get("mlops.published.by")), (Some("risk"), Some("tester")));
    // Something else is there under the next number.
    registered(&registry, &content, "more").await;
    let two = mlops_azure::wire::Place::from(&shared).model("churn", "2").unwrap();
    azure.arm().begin(two.put(OP, &foreign("theirs")).unwrap()).await.unwrap().wait().await.unwrap();
    let error = registry.publish(&exact(2), &shared, &actor(), now).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    let missing = registry.publish(&exact(9), &shared, &actor(), now).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert_eq!(there.get(&churn(), "9").await.unwrap_err().kind(), ErrorKind::NotFound);
    let others = ModelName::new("others").unwrap();
    assert_eq!(there.versions(&others).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(azure.refused(), Vec::<String>::new());
}

#[tokio::test]
async fn publishing_survives_a_lost_answer_and_tells_a_failure() {
    let (azure, content) = (judged(), Arc::new(MemoryArtifactStore::default()));
    let registry = models(&azure, &content);
    for text in ["one", "two"] {
        registered(&registry, &content, text).await;
    }
    let (shared, now) = (azure.registry("contoso-ml"), SystemClock::new().now());
    azure.plug(LosesPublish(std::sync::atomic::AtomicBool::new(false)));
    assert!(registry.publish(&exact(1), &shared, &actor(), now).await.unwrap().fresh);
    azure.faults().fail_operation("/registries/contoso-ml/models/churn", "ModelRegistryError", "no room");
    let error = registry.publish(&exact(2), &shared, &actor(), now).await.unwrap_err();
    assert_eq!((error.kind(), error.context("state")), (ErrorKind::Rejected, Some("Failed")));
    // What failed is not taken for what is there.
    assert!(registry.publish(&exact(2), &shared, &actor(), now).await.unwrap().fresh);
    assert!(!registry.publish(&exact(2), &shared, &actor(), now).await.unwrap().fresh);
}

/// A part that lets the answer to the first publishing be lost, after it was carried out.
struct LosesPublish(std::sync::atomic::AtomicBool);

impl mlops_azure::fake::FakePart for LosesPublish {
    fn answer(
        &self,
        request: &mlops_azure::fake::FakeRequest,
        azure: &FakeAzure,
    ) -> Option<mlops_azure::fake::FakeAnswer> {
        let ours = request.path().ends_with("/publish");
        if ours && !self.0.swap(true, std::sync::atomic::Ordering::SeqCst) {
            azure.faults().lose_answers(1);
        }
        None
    }
}

#[tokio::test]
async fn round_trips_are_counted() {
    let (azure, content) = (judged(), Arc::new(MemoryArtifactStore::default()));
    let registry = models(&azure, &content);
    registered(&registry, &content, "the first call reads the ledger").await;
    let tags = Tags::from([(TagKey::new("k").unwrap(), "v".to_owned())]);
    let two = new_version(&content, "second").await;
    azure.forget_requests();
    registry.register(&two).await.unwrap();
    println!("register a model: {} requests (azure-ai-ml: 7 with the upload)", azure.count());
    azure.requests().iter().for_each(|line| println!("  {line}"));
    assert_eq!(azure.count(), 6);
    azure.forget_requests();
    registry.set_alias(&candidate(None, 1)).await.unwrap();
    println!("move an alias: {} requests", azure.count());
    assert_eq!(azure.count(), 5);
    azure.forget_requests();
    registry.set_tags(&churn(), version(1), &tags, &actor()).await.unwrap();
    println!("replace tags: {} requests", azure.count());
    assert_eq!(azure.count(), 5);
    azure.forget_requests();
    registry.get(&"churn:@candidate".parse().unwrap()).await.unwrap();
    println!("read by alias: {} request", azure.count());
    assert_eq!(azure.count(), 1);
}

// ------------------------------------------------------------------------------------------------- where the content lies

mod content {
    use std::sync::atomic::{AtomicI64, Ordering};

    use async_trait::async_trait;
    use mlops_azure::artifact::BlobArtifacts;
    use mlops_azure::fake::FakeStorage;
    use mlops_azure::http::{HttpFault, HttpRequest, HttpResponse, HttpTransport, Method};
    use mlops_azure::storage::{DatastoreFiles, Datastores, Uploads};
    use mlops_core::RelPath;
    use mlops_core::artifact::{ArtifactStore, Blob, Entry, Manifest};
    use mlops_core::hash::Digest;

    use super::*;

    const STORE: &str = "workspaceblobstore";

    struct Fixture {
        azure: FakeAzure,
        storage: FakeStorage,
        account: String,
        container: String,
    }

    impl Fixture {
        async fn new() -> Self {
            let (azure, storage) = (judged(), FakeStorage::default());
            azure.plug(storage.clone());
            let datastores = Datastores::new(azure.arm(), azure.place()).transport(azure.transport());
            let container = datastores.container(STORE).await.unwrap();
            let (account, container) = (container.account().name().to_owned(), container.name().to_owned());
            storage.create(&account, &container);
            Self { azure, storage, account, container }
        }

        fn datastores(&self, transport: Arc<dyn HttpTransport>) -> Datastores {
            Datastores::new(self.azure.arm(), self.azure.place()).transport(transport)
        }

        fn files(&self) -> DatastoreFiles {
            DatastoreFiles::new(Uploads::new(self.datastores(self.azure.transport())), STORE)
        }

        async fn blobs(&self) -> BlobArtifacts {
            BlobArtifacts::new(self.datastores(self.azure.transport()).container(STORE).await.unwrap())
        }

        fn registry(&self, store: Arc<dyn ArtifactStore>, files: DatastoreFiles) -> AzureModelRegistry {
            let clock = Arc::new(SystemClock::new());
            AzureModelRegistry::new(self.azure.arm(), &self.azure.workspace(), store, clock)
                .with_files(Arc::new(files))
        }

        /// What lies below a path, by what comes after it.
        fn below(&self, path: &str) -> Vec<(String, Vec<u8>)> {
            let blobs = self.storage.blobs(&self.account, &self.container);
            let below = blobs
                .iter()
                .filter_map(|(key, bytes)| Some((key.strip_prefix(path)?.to_owned(), bytes.to_vec())));
            below.collect()
        }

        /// How many blobs were written since the last time.
        fn writes(&self) -> usize {
            let lines = self.azure.requests();
            self.azure.forget_requests();
            lines.iter().filter(|line| line.starts_with("PUT") && line.contains(".blob.")).count()
        }
    }

    async fn tree(store: &dyn ArtifactStore, files: &[(&str, Vec<u8>)]) -> Blob {
        let mut entries = Vec::new();
        for (path, bytes) in files {
            let blob = store.put_bytes(bytes.clone()).await.unwrap();
            entries.push(Entry { path: RelPath::new(path).unwrap(), digest: blob.digest, size: blob.size });
        }
        store.put_tree(&Manifest::new(entries).unwrap()).await.unwrap()
    }

    fn of(artifact: Digest) -> NewModelVersion {
        let signature = Signature::new(Task::Regression, vec![Feature::required("age", DataType::F64)]);
        let format = ModelFormat::new("mlflow.sklearn/v1").unwrap();
        NewModelVersion::new(churn(), artifact, format, signature, actor())
    }

    fn mlflow() -> Vec<(&'static str, Vec<u8>)> {
        vec![
            ("MLmodel", b"flavors: {}\n".to_vec()),
            ("code/score.py", b"print(1)\n".to_vec()),
            ("model.pkl", b"weights".to_vec()),
        ]
    }

    #[tokio::test]
    async fn a_tree_lies_in_azure_as_the_folder_that_it_is() {
        let fixture = Fixture::new().await;
        let store: Arc<dyn ArtifactStore> = Arc::new(MemoryArtifactStore::default());
        let registry = fixture.registry(store.clone(), fixture.files());
        let mlflow_tree = tree(&*store, &mlflow()).await.digest;
        let plain = tree(&*store, &[("model/MLmodel", b"x".to_vec()), ("w", b"y".to_vec())]).await.digest;
        fixture.azure.forget_requests();
        for (number, artifact, kind, files) in [
            (1, mlflow_tree, ModelType::MlFlow, mlflow()),
            (2, plain, ModelType::Custom, vec![("model/MLmodel", b"x".to_vec()), ("w", b"y".to_vec())]),
        ] {
            let made = registry.register(&of(artifact)).await.unwrap();
            assert_eq!((made.version, made.spec.artifact), (version(number), artifact));
            let shown = registry.azure("churn", &number.to_string()).await.unwrap().properties;
            let path = format!("mlops/models/sha256/{}/model", artifact.hex());
            let uri = shown.model_uri.unwrap();
            assert!(uri.starts_with("azureml://subscriptions/"), "{uri:?}");
            assert!(uri.ends_with(&format!("/datastores/{STORE}/paths/{path}")), "{uri:?}");
            assert_eq!(shown.model_type, Some(kind));
            let properties = shown.properties.unwrap();
            assert_eq!(properties.get("mlops.artifact"), Some(artifact.to_string().as_str()));
            let there = fixture.below(&format!("{path}/"));
            let there: Vec<(&str, Vec<u8>)> = there.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
            assert_eq!(there, files);
            let (first, _) = &files[0];
            let mark =
                fixture.storage.metadata(&fixture.account, &fixture.container, &format!("{path}/{first}"));
            assert_eq!(mark.get("upload_status").map(String::as_str), Some("completed"));
        }
        assert_eq!(fixture.writes(), 5);
        // The same content once more: nothing is sent, and the place is the same.
        let again = registry.register(&of(mlflow_tree)).await.unwrap();
        assert_eq!((again.version, fixture.writes()), (version(3), 0));
        let place = async |number: &str| registry.azure("churn", number).await.unwrap().properties.model_uri;
        assert_eq!(place("1").await, place("3").await);
        assert_eq!(fixture.azure.refused(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn one_content_lies_where_the_artifact_store_has_it_or_is_brought_to_azure() {
        let fixture = Fixture::new().await;
        let blobs = fixture.blobs().await;
        let artifact = blobs.put_bytes(b"weights".to_vec()).await.unwrap().digest;
        let in_place = fixture.registry(Arc::new(blobs.clone()), fixture.files().with_content(&blobs));
        fixture.azure.forget_requests();
        in_place.register(&of(artifact)).await.unwrap();
        assert_eq!(fixture.writes(), 0, "it lies in the datastore's container already");
        let shown = in_place.azure("churn", "1").await.unwrap().properties;
        assert!(shown.model_uri.unwrap().ends_with(&format!("/paths/{}", blobs.key(&artifact))));
        assert_eq!(shown.model_type, Some(ModelType::Custom));
        // From elsewhere, or where nobody says that it is there.
        let memory = Arc::new(MemoryArtifactStore::default());
        let other = memory.put_bytes(b"other weights".to_vec()).await.unwrap().digest;
        // Nothing is there of what the store in memory has.
        let files = fixture.files().with_root(&RelPath::new("elsewhere").unwrap());
        let brought = fixture.registry(memory, files);
        brought.register(&of(other)).await.unwrap();
        let path = format!("elsewhere/{}/model", other.hex());
        assert_eq!(fixture.below(&path), [(String::new(), b"other weights".to_vec())]);
        let shown = brought.azure("churn", "2").await.unwrap().properties;
        assert!(shown.model_uri.unwrap().ends_with(&format!("/paths/{path}")));
        assert_eq!(shown.model_type, Some(ModelType::Custom));
    }

    #[tokio::test]
    async fn a_tree_that_nobody_brings_to_azure_is_refused_and_nothing_is_registered() {
        let (azure, content) = (judged(), Arc::new(MemoryArtifactStore::default()));
        let registry = models(&azure, &content);
        let artifact = tree(&*content, &mlflow()).await.digest;
        let error = registry.register(&of(artifact)).await.unwrap_err();
        assert_eq!((error.kind(), error.context("model")), (ErrorKind::Unsupported, Some("churn")));
        assert_eq!(registry.get(&exact(1)).await.unwrap_err().kind(), ErrorKind::NotFound);
        let missing = registry.register(&of(Digest::of(b"nothing"))).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn what_earlier_releases_registered_as_a_manifest_is_read_and_changed_as_before() {
        let fixture = Fixture::new().await;
        let store: Arc<dyn ArtifactStore> = Arc::new(MemoryArtifactStore::default());
        let registry = fixture.registry(store.clone(), fixture.files());
        let artifact = tree(&*store, &mlflow()).await.digest;
        let new = of(artifact);
        let made = registry.register(&new).await.unwrap();
        let id = format!("{}/models/churn/versions/1", fixture.azure.workspace().id());
        let mut old = fixture.azure.resource(&id).unwrap();
        old["properties"]["modelType"] = "custom_model".into();
        old["properties"]["modelUri"] =
            "azureml://datastores/workspaceblobstore/paths/mlops/cas/sha256/ab/ab".into();
        fixture.azure.set_resource(&id, old);
        let later = fixture.registry(store, fixture.files());
        assert_eq!(later.get(&exact(1)).await.unwrap(), made);
        assert_eq!(later.register(&new).await.unwrap(), made);
        let tags = Tags::from([(TagKey::new("k").unwrap(), "v".to_owned())]);
        later.set_tags(&churn(), version(1), &tags, &actor()).await.unwrap();
        let shown = later.azure("churn", "1").await.unwrap().properties;
        assert_eq!(shown.model_type, Some(ModelType::Custom));
        assert!(shown.model_uri.unwrap().ends_with("/ab/ab"));
        // What somebody removed is written anew, as it is written now.
        assert!(fixture.azure.remove_resource(&id));
        later.restore(&churn()).await.unwrap();
        assert_eq!(later.azure("churn", "1").await.unwrap().properties.model_type, Some(ModelType::MlFlow));
    }

    /// Lets so many writes of blobs through; the next one never ends.
    #[derive(Debug)]
    struct Cut {
        inner: Arc<dyn HttpTransport>,
        left: AtomicI64,
        reached: tokio::sync::Notify,
    }

    #[async_trait]
    impl HttpTransport for Cut {
        async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpFault> {
            let is_blob = request.url.host_str().is_some_and(|host| host.contains(".blob."));
            if is_blob && request.method == Method::PUT && self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
                self.reached.notify_one();
                std::future::pending::<()>().await;
            }
            self.inner.send(request).await
        }
    }

    #[tokio::test]
    async fn an_upload_that_was_cut_off_is_complete_after_the_next_call_and_not_before() {
        let fixture = Fixture::new().await;
        let store: Arc<dyn ArtifactStore> = Arc::new(MemoryArtifactStore::default());
        let large: Vec<u8> = (0..9_u32 << 20).map(|i| (i % 251) as u8).collect();
        let files =
            vec![("MLmodel", b"x".to_vec()), ("a", b"1".to_vec()), ("b", b"2".to_vec()), ("c", large)];
        let artifact = tree(&*store, &files).await.digest;
        let cut = Arc::new(Cut {
            inner: fixture.azure.transport(),
            left: AtomicI64::new(2),
            reached: tokio::sync::Notify::new(),
        });
        let uploads = Uploads::new(fixture.datastores(cut.clone())).with_at_once(1).unwrap();
        let registry = fixture.registry(store.clone(), DatastoreFiles::new(uploads, STORE));
        let new = of(artifact);
        tokio::select! {
            _ = registry.register(&new) => panic!("the upload cannot come to its end"),
            () = cut.reached.notified() => {}
        }
        let path = format!("mlops/models/sha256/{}/model/", artifact.hex());
        let there: Vec<String> = fixture.below(&path).into_iter().map(|(key, _)| key).collect();
        assert_eq!(there, ["a", "b"], "the first file, with the mark, comes last");
        let again = fixture.registry(store, fixture.files());
        assert_eq!(again.get(&exact(1)).await.unwrap_err().kind(), ErrorKind::NotFound);
        fixture.azure.forget_requests();
        again.register(&new).await.unwrap();
        let lines = fixture.azure.requests();
        let writes = lines.iter().filter(|line| line.starts_with("PUT") && line.contains(".blob."));
        assert_eq!(writes.count(), 4, "two blocks, their list, and the first file: {lines:#?}");
        let there: Vec<(String, Vec<u8>)> = fixture.below(&path);
        let expected: Vec<(String, Vec<u8>)> = files.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        assert!(there == expected);
        // Another program damages a file: it is written again, and the mark with it.
        let mark = format!("{path}MLmodel");
        let now = SystemClock::new().now();
        fixture.storage.overwrite(&fixture.account, &fixture.container, &mark, b"y".to_vec(), now);
        again.register(&of(artifact)).await.unwrap();
        assert_eq!(fixture.below(&path)[0], ("MLmodel".to_owned(), b"x".to_vec()));
    }
}
