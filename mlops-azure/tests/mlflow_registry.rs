//! The model registry against real MLflow servers, which `.ci/mlflow` starts: the public suite on both, and what several
//! clients do to each other that know of nothing but the server.

mod servers;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mlops_azure::http::{HttpBody, HttpRequest, Repeat};
use mlops_azure::mlflow::{MlflowArtifactStore, MlflowRegistry};
use mlops_core::artifact::ArtifactStoreExt as _;
use mlops_core::conformance::registry::RegistryUnderTest;
use mlops_core::id::{TagKey, Tags};
use mlops_core::model::{ModelFormat, Signature};
use mlops_core::problem::Task;
use mlops_core::registry::{AliasChange, ModelRef, ModelRegistry as _, NewModelVersion, Protection};
use mlops_core::time::{ManualClock, SystemClock};
use mlops_core::{ActorId, Alias, ErrorKind, IdempotencyKey, ModelName, PageRequest, RunId, Version};
use serde_json::Value;

use servers::faults::{Fate, Faulty};
use servers::{Server, server};

fn fresh(line: u8) -> Option<RegistryUnderTest> {
    let server = server(line)?;
    let clock = Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
    let artifacts = Arc::new(server.store(clock.clone()));
    let [gated, approved] = ["staging", "champion"].map(|alias| Alias::new(alias).unwrap());
    let registry = server
        .registry(artifacts.clone(), clock.clone())
        .with_protected(gated.clone(), Protection::Gate)
        .with_protected(approved.clone(), Protection::GateAndApproval);
    let under = RegistryUnderTest::new(Arc::new(registry), artifacts);
    Some(under.with_clock(clock).with_gated(gated).with_approved(approved))
}

macro_rules! fresh {
    ($line:literal) => {
        match fresh($line) {
            Some(under) => under,
            None => return,
        }
    };
}

mlops_core::model_registry_suite!(mlflow2, fresh!(2));
mlops_core::model_registry_suite!(mlflow3, fresh!(3));

/// A content, and its registration under the model `churn`.
async fn new_version(store: &MlflowArtifactStore, content: &str) -> NewModelVersion {
    let artifact = store.put_bytes(content.to_owned()).await.unwrap().digest;
    let format = ModelFormat::new("mlops.linear/v1").unwrap();
    let signature = Signature::new(Task::BinaryClassification, Vec::new());
    NewModelVersion::new(churn(), artifact, format, signature, ActorId::new("trainer").unwrap())
}

fn churn() -> ModelName {
    ModelName::new("churn").unwrap()
}

fn moving(from: Option<u64>, to: u64) -> AliasChange {
    let [from, to] = [from, Some(to)].map(|number| number.and_then(Version::new));
    let alias = Alias::new("candidate").unwrap();
    AliasChange::new(churn(), alias, to.unwrap(), ActorId::new("mover").unwrap()).expecting(from)
}

/// The server of a test with a store on it, and as many clients as one wants, none of which knows of the others.
struct Field {
    server: Server,
    store: Arc<MlflowArtifactStore>,
}

impl Field {
    fn new(line: u8) -> Option<Self> {
        let server = server(line)?;
        let store = Arc::new(server.store(Arc::new(SystemClock::new())));
        Some(Self { server, store })
    }

    fn client(&self) -> Arc<MlflowRegistry> {
        Arc::new(self.server.registry(self.store.clone(), Arc::new(SystemClock::new())))
    }

    fn client_through(&self, transport: Arc<Faulty>) -> MlflowRegistry {
        self.server.through(transport).registry(self.store.clone(), Arc::new(SystemClock::new()))
    }

    /// The name of the model `churn` on the server.
    fn on_server(&self) -> String {
        format!("{}.churn", self.server.name)
    }

    async fn ask(&self, path: &str, query: &[(&str, &str)]) -> Value {
        self.server.client.get("test", path, query).await.unwrap()
    }

    /// How many versions of `churn` MLflow has.
    async fn on_server_count(&self) -> usize {
        let filter = format!("name='{}'", self.on_server());
        let found = self.ask("mlflow/model-versions/search", &[("filter", &filter)]).await;
        found["model_versions"].as_array().map_or(0, Vec::len)
    }
}

async fn versions(registry: &MlflowRegistry) -> Vec<u64> {
    let page = registry.versions(&churn(), &PageRequest::default()).await.unwrap();
    page.items.into_iter().map(|version| version.version.get()).collect()
}

/// Runs a case against both servers.
macro_rules! on_both {
    ($($case:ident),* $(,)?) => {
        mod two_clients_on_mlflow2 {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let Some(field) = super::Field::new(2) else { return };
                super::$case(field).await;
            })*
        }

        mod two_clients_on_mlflow3 {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let Some(field) = super::Field::new(3) else { return };
                super::$case(field).await;
            })*
        }
    };
}

on_both!(
    of_many_moves_by_many_clients_one_wins,
    one_key_from_many_clients_is_one_registration,
    registrations_of_many_clients_leave_no_gap,
    a_lost_answer_costs_nothing,
    a_client_that_died_is_replaced,
    mlflow_shows_what_counts,
    what_was_changed_behind_our_back_is_found,
    what_another_client_deleted_is_gone,
    an_alias_that_another_client_moved_does_not_count_and_is_set_right,
);

/// Clients without a common lock race for an alias: one wins, the others are told what they lost to, all remember the same.
async fn of_many_moves_by_many_clients_one_wins(field: Field) {
    let clients: Vec<_> = (0..6).map(|_| field.client()).collect();
    for i in 0..7 {
        clients[0].register(&new_version(&field.store, &format!("content {i}")).await).await.unwrap();
    }
    let mut now = None;
    for round in 1..=3 {
        let targets = (1..=7).filter(|to| Some(*to) != now);
        let moves = clients.iter().zip(targets).map(|(client, to)| {
            let (client, change) = (client.clone(), moving(now, to));
            tokio::spawn(async move { client.set_alias(&change).await })
        });
        let results = futures_util::future::join_all(moves.collect::<Vec<_>>()).await;
        let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().map(Result::unwrap).partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, 5));
        let record = won.into_iter().next().unwrap().unwrap();
        assert_eq!(record.sequence, round);
        for error in lost.into_iter().map(Result::unwrap_err) {
            assert_eq!(error.kind(), ErrorKind::Conflict);
            assert_eq!(error.context("found").map(str::to_owned), record.to.map(|to| to.to_string()));
        }
        now = record.to.map(Version::get);
    }
    let alias = Alias::new("candidate").unwrap();
    let mut memories = Vec::new();
    for client in clients.iter().chain([&field.client()]) {
        let history = client.alias_history(&churn(), &alias, &PageRequest::default()).await.unwrap().items;
        memories.push((
            history,
            client.events(0, 100).await.unwrap(),
            client.aliases(&churn()).await.unwrap(),
        ));
    }
    assert_eq!((memories[0].0.len(), memories[0].1.len()), (3, 10));
    assert!(memories.iter().all(|memory| *memory == memories[0]));
    let query = [("name", &*field.on_server()), ("alias", "candidate")];
    let shown = field.ask("mlflow/registered-models/alias", &query).await;
    assert_eq!(shown["model_version"]["version"].as_str().map(str::to_owned), now.map(|v| v.to_string()));
}

/// The same call through clients that do not know of each other is one version, in MLflow, too.
async fn one_key_from_many_clients_is_one_registration(field: Field) {
    let clients: Vec<_> = (0..4).map(|_| field.client()).collect();
    for round in 1..=3 {
        let new = new_version(&field.store, &format!("content {round}")).await;
        let calls = clients.iter().map(|client| {
            let (client, new) = (client.clone(), new.clone());
            tokio::spawn(async move { client.register(&new).await.unwrap() })
        });
        let made = futures_util::future::join_all(calls.collect::<Vec<_>>()).await;
        let made: Vec<_> = made.into_iter().map(Result::unwrap).collect();
        assert_eq!(made[0].version.get(), round);
        assert!(made.iter().all(|version| *version == made[0]));
    }
    assert_eq!(versions(&field.client()).await, [3, 2, 1]);
    assert_eq!(field.on_server_count().await, 3);
}

async fn registrations_of_many_clients_leave_no_gap(field: Field) {
    let calls = (0..4).map(|i| {
        let (client, store) = (field.client(), field.store.clone());
        tokio::spawn(async move {
            for j in 0..4 {
                client.register(&new_version(&store, &format!("{i} {j}")).await).await.unwrap();
            }
        })
    });
    for call in futures_util::future::join_all(calls.collect::<Vec<_>>()).await {
        call.unwrap();
    }
    assert_eq!(versions(&field.client()).await, (1..=16).rev().collect::<Vec<_>>());
}

fn is_create(request: &HttpRequest) -> bool {
    request.url.path().ends_with("/model-versions/create")
}

/// Every request that makes something loses its first answer: nothing is made twice, and the caller does not notice.
async fn a_lost_answer_costs_nothing(field: Field) {
    // Claim, version, registration, move, in this order; every second try passes.
    let tries = AtomicUsize::new(0);
    let transport = Faulty::new(move |request, _| {
        let is_odd = is_create(request) && tries.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        if is_odd { Fate::Lost } else { Fate::Pass }
    });
    let client = field.client_through(transport.clone());
    for i in 1..=3 {
        let new = new_version(&field.store, &format!("content {i}")).await;
        let made = client.register(&new).await.unwrap();
        assert_eq!(made.version.get(), i);
        client.set_alias(&moving((i > 1).then(|| i - 1), i)).await.unwrap();
    }
    assert!(transport.struck.load(Ordering::SeqCst) >= 9, "answers were lost");
    assert_eq!(field.on_server_count().await, 3);
    let other = field.client();
    assert_eq!(versions(&other).await, [3, 2, 1]);
    assert_eq!(other.events(0, 100).await.unwrap().len(), 6);
}

/// A client that goes silent in the middle of a registration is replaced by one that repeats the call, whether or not its
/// version had been made by then.
async fn a_client_that_died_is_replaced(field: Field) {
    for (round, fate) in [(1, Fate::Void), (2, Fate::Silence)] {
        // The claim passes, the version does not come back.
        let model = field.on_server();
        let transport = Faulty::new(move |request, _| {
            let HttpBody::Bytes(body) = &request.body else { return Fate::Pass };
            let is_model = String::from_utf8_lossy(body).contains(&format!("\"name\":\"{model}\""));
            if is_create(request) && is_model { fate } else { Fate::Pass }
        });
        let new = new_version(&field.store, &format!("content {round}")).await;
        let dying = field.client_through(transport.clone());
        let call = tokio::spawn({
            let new = new.clone();
            async move { dying.register(&new).await }
        });
        while transport.struck.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // What was sent arrives, then the process is gone.
        while fate == Fate::Silence && field.on_server_count().await < round {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        call.abort();
        let heir = field.server.registry(field.store.clone(), Arc::new(SystemClock::new()));
        let made = heir.with_patience(Duration::ZERO).register(&new).await.unwrap();
        assert_eq!(made.version.get(), round as u64);
        assert_eq!(field.client().register(&new).await.unwrap(), made);
        assert_eq!(field.on_server_count().await, round);
    }
}

/// What MLflow's pages and clients see of a version.
async fn mlflow_shows_what_counts(field: Field) {
    let client = field.client();
    let mut new = new_version(&field.store, "content").await.with_description("für Menschen");
    new.tags.insert(TagKey::new("team").unwrap(), "risk".to_owned());
    new.run = Some(RunId::generate());
    client.register(&new).await.unwrap();
    let shown = async || {
        let query = [("name", &*field.on_server()), ("version", "1")];
        field.ask("mlflow/model-versions/get", &query).await["model_version"].clone()
    };
    let tag = |shown: &Value, key: &str| {
        let tags = shown["tags"].as_array().unwrap();
        tags.iter().find(|tag| tag["key"] == key).map(|tag| tag["value"].as_str().unwrap().to_owned())
    };
    let version = shown().await;
    assert_eq!(version["description"], "für Menschen");
    assert_eq!(version["run_id"], new.run.as_ref().unwrap().as_str());
    assert_eq!(tag(&version, "team").as_deref(), Some("risk"));
    assert_eq!(tag(&version, "mlops.artifact"), Some(new.artifact.to_string()));
    let actor = ActorId::new("tester").unwrap();
    let tags = Tags::from([(TagKey::new("stage").unwrap(), "done".to_owned())]);
    client.set_tags(&churn(), Version::FIRST, &tags, &actor).await.unwrap();
    client.set_archived(&churn(), Version::FIRST, true, &actor).await.unwrap();
    let version = shown().await;
    let seen = ["team", "stage", "mlops.archived"].map(|key| tag(&version, key));
    assert_eq!(seen, [None, Some("done".to_owned()), Some("true".to_owned())]);
    client.set_archived(&churn(), Version::FIRST, false, &actor).await.unwrap();
    assert_eq!(tag(&shown().await, "mlops.archived"), None);
    let mut dotted = moving(None, 1);
    dotted.alias = Alias::new("eu.west_1").unwrap();
    client.set_alias(&dotted).await.unwrap();
    assert_eq!(shown().await["aliases"], serde_json::json!(["eu_2e_west_5f_1"]));
}

/// A specification that somebody edited in MLflow is not handed out as what was registered.
async fn what_was_changed_behind_our_back_is_found(field: Field) {
    let new = new_version(&field.store, "content").await;
    field.client().register(&new).await.unwrap();
    let edit = serde_json::json!({
        "name": field.on_server(), "version": "1", "key": "mlops.spec.000", "value": "{}",
    });
    let server = &field.server.client;
    server.post("test", "mlflow/model-versions/set-tag", &edit, Repeat::Safe).await.unwrap();
    let reference: ModelRef = "churn:1".parse().unwrap();
    assert_eq!(field.client().get(&reference).await.unwrap_err().kind(), ErrorKind::Integrity);
    // A ledger with a hole is no ledger.
    let ledger = format!("{}.mlops.ledger.1", field.server.name);
    let gone = serde_json::json!({ "name": ledger, "version": "1" });
    server.delete("test", "mlflow/model-versions/delete", &gone).await.unwrap();
    let error = field.client().get(&reference).await.unwrap_err();
    assert_eq!((error.kind(), error.context("entry")), (ErrorKind::Corrupt, Some("1")));
}

async fn what_another_client_deleted_is_gone(field: Field) {
    let client = field.client();
    for content in ["one", "two"] {
        client.register(&new_version(&field.store, content).await).await.unwrap();
    }
    let server = &field.server.client;
    let gone = serde_json::json!({ "name": field.on_server(), "version": "1" });
    server.delete("test", "mlflow/model-versions/delete", &gone).await.unwrap();
    let other = field.client();
    assert_eq!(other.get(&"churn:1".parse().unwrap()).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(versions(&other).await, [2]);
    // MLflow numbers a model from 1 again that was deleted as a whole: a number here means one version for ever.
    let gone = serde_json::json!({ "name": field.on_server() });
    server.delete("test", "mlflow/registered-models/delete", &gone).await.unwrap();
    let error = other.register(&new_version(&field.store, "three").await).await.unwrap_err();
    assert_eq!((error.kind(), error.context("version")), (ErrorKind::Corrupt, Some("1")));
}

async fn an_alias_that_another_client_moved_does_not_count_and_is_set_right(field: Field) {
    let client = field.client();
    for content in ["one", "two"] {
        client.register(&new_version(&field.store, content).await).await.unwrap();
    }
    client.set_alias(&moving(None, 2)).await.unwrap();
    let mut gone = moving(None, 1);
    gone.alias = Alias::new("gone").unwrap();
    client.set_alias(&gone).await.unwrap();
    client
        .set_alias(&gone.expecting(Some(Version::FIRST)).with_key(IdempotencyKey::generate()).with_to(None))
        .await
        .unwrap();
    for alias in ["candidate", "gone"] {
        let body = serde_json::json!({ "name": field.on_server(), "alias": alias, "version": "1" });
        let path = "mlflow/registered-models/alias";
        field.server.client.post("test", path, &body, Repeat::Safe).await.unwrap();
    }
    let shown = async || {
        let model = field.ask("mlflow/registered-models/get", &[("name", &*field.on_server())]).await;
        let aliases = model["registered_model"]["aliases"].as_array().cloned().unwrap_or_default();
        aliases.iter().map(|a| format!("{} {}", a["alias"], a["version"])).collect::<Vec<_>>()
    };
    assert_eq!(shown().await.len(), 2);
    assert_eq!(client.get(&"churn:@candidate".parse().unwrap()).await.unwrap().version.get(), 2);
    field.client().restore_aliases(&churn()).await.unwrap();
    assert_eq!(shown().await, [r#""candidate" "2""#]);
}
