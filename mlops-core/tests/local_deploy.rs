//! Deployments, rollouts and approvals in a folder: the suites, with the store kept open and opened anew for every call; what
//! is damaged; restarts; many processes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::artifact::{ArtifactStoreExt as _, GcOptions};
use mlops_core::conformance::approver::ApproverUnderTest;
use mlops_core::conformance::deployer::DeployerUnderTest;
use mlops_core::conformance::loop_journal::LoopJournalUnderTest;
use mlops_core::conformance::rollout_journal::JournalUnderTest;
use mlops_core::data::{Column, DataType, Table};
use mlops_core::deploy::rollout::{
    Event, GuardEvidence, GuardVerdict, JournalEntry, Judgement, LabelledPerformance, OperationGuard, Phase,
    RolloutDriver, RolloutJournal, RolloutOptions, RolloutPlan, RolloutState,
};
use mlops_core::deploy::{
    Deployer, DeployerCapabilities, Deployment, DeploymentSpec, Endpoint, EndpointSpec, InvokeRequest,
    InvokeResponse, MirrorChange, OperationStats, SmokeTest, TrafficChange, TrafficSplit,
};
use mlops_core::evaluation::Estimate;
use mlops_core::governance::{
    Actor, Approval, ApprovalDecision, ApprovalRequest, Approver, Principals, Role, RoleAuthorizer, Roles,
};
use mlops_core::hash::Digest;
use mlops_core::local::{LocalDeployer, LocalStore};
use mlops_core::memory::{MemoryArtifactStore, MemoryAuditLog, MemoryModelRegistry};
use mlops_core::model::{Feature, ModelFormat, ModelLoader, Predictions, Predictor, Signature};
use mlops_core::num::Measured;
use mlops_core::problem::{Direction, Task};
use mlops_core::registry::Direction::Upstream;
use mlops_core::registry::{ModelRegistry, NewModelVersion, Node};
use mlops_core::retrain::closed_loop::{
    LoopConfig, LoopEntry, LoopEvent, LoopJournal, LoopStanding, LoopState,
};
use mlops_core::serve::batch::DeployedModel;
use mlops_core::time::{Clock, ManualClock, Timestamp};
use mlops_core::wrap::Authorized;
use mlops_core::{
    ActorId, Alias, DeploymentName, EndpointName, Error, ErrorKind, IdempotencyKey, MetricKey, ModelName,
    Page, PageRequest, Percent, Result, Version,
};

// ── models ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Answers `weight · age`, or misbehaves in the way its bytes say.
#[derive(Debug)]
struct Scaled {
    signature: Signature,
    weight: f64,
    fault: String,
}

fn signature() -> Signature {
    Signature::new(Task::Regression, vec![Feature::required("age", DataType::F64)])
}

impl Predictor for Scaled {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn predict(&self, rows: &Table<'_>) -> Result<Predictions> {
        let ages = rows.column("age")?.to_f64()?;
        match self.fault.as_str() {
            "panics" => panic!("this model panics"),
            "fails" => Err(Error::new(ErrorKind::Storage, "predict", "the weights are gone")),
            "forgets" => Ok(Predictions::Value(Vec::new())),
            _ => Predictions::value(ages.iter().map(|age| age * self.weight).collect()),
        }
    }
}

/// Reads `WEIGHT FAULT`, and counts how often.
#[derive(Debug, Default)]
struct ScaledLoader {
    loads: std::sync::atomic::AtomicUsize,
}

impl ScaledLoader {
    fn loads(&self) -> usize {
        self.loads.load(std::sync::atomic::Ordering::SeqCst)
    }
}

impl ModelLoader for ScaledLoader {
    fn load(&self, _: &ModelFormat, bytes: &[u8]) -> Result<Arc<dyn Predictor>> {
        let corrupt = || Error::new(ErrorKind::Corrupt, "ModelLoader::load", "is not a scaled model");
        let text = std::str::from_utf8(bytes).map_err(|e| corrupt().with_source(e))?;
        assert_ne!(text, "loader panics");
        let (weight, fault) = text.split_once(' ').ok_or_else(corrupt)?;
        let weight = weight.parse::<f64>().map_err(|e| corrupt().with_source(e))?;
        self.loads.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Ok(Arc::new(Scaled { signature: signature(), weight, fault: fault.to_owned() }))
    }
}

/// A folder that lives as long as anybody who has a store in it open: it is their clock.
#[derive(Debug)]
struct Folder {
    folder: tempfile::TempDir,
    clock: ManualClock,
}

impl Clock for Folder {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }
}

fn folder() -> Arc<Folder> {
    Arc::new(Folder { folder: tempfile::tempdir().unwrap(), clock: ManualClock::at(start()) })
}

fn store_in(folder: &Arc<Folder>) -> LocalStore {
    LocalStore::options().with_clock(folder.clone()).open(folder.folder.path()).unwrap()
}

/// A folder, and models in memory for its deployments.
struct World {
    registry: Arc<MemoryModelRegistry>,
    artifacts: Arc<MemoryArtifactStore>,
    loader: Arc<ScaledLoader>,
    folder: Arc<Folder>,
}

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn model(name: &str) -> ModelName {
    ModelName::new(name).unwrap()
}

fn actor(name: &str) -> ActorId {
    ActorId::new(name).unwrap()
}

fn endpoint() -> EndpointName {
    EndpointName::new("diabetes").unwrap()
}

fn deployment(name: &str) -> DeploymentName {
    DeploymentName::new(name).unwrap()
}

fn ages(ages: &[f64]) -> Table<'static> {
    Table::new(vec![Column::f64("age", ages.to_vec()).unwrap()]).unwrap()
}

impl World {
    fn new() -> Arc<Self> {
        let folder = folder();
        let artifacts = Arc::new(MemoryArtifactStore::new(folder.clone()));
        let registry = Arc::new(MemoryModelRegistry::new(artifacts.clone(), folder.clone()));
        Arc::new(Self { folder, registry, artifacts, loader: Arc::default() })
    }

    fn store(&self) -> LocalStore {
        store_in(&self.folder)
    }

    fn deployer(&self) -> LocalDeployer {
        self.deployer_of(&self.store())
    }

    fn deployer_of(&self, store: &LocalStore) -> LocalDeployer {
        store.deployer(self.registry.clone(), self.loader.clone()).with_artifacts(self.artifacts.clone())
    }

    async fn put(&self, name: &str, content: &str) -> (Digest, Version) {
        let digest = self.artifacts.put_bytes(content.to_owned()).await.unwrap().digest;
        let format = ModelFormat::new("test.scaled/v1").unwrap();
        let spec = NewModelVersion::new(model(name), digest, format, signature(), actor("trainer"));
        (digest, self.registry.register(&spec).await.unwrap().version)
    }

    /// A deployer under test made of this world's models.
    async fn under_test(self: &Arc<Self>, deployer: Arc<dyn Deployer>) -> DeployerUnderTest {
        let versions = [self.put("scaled", "2 ok").await.1, self.put("scaled", "3 ok").await.1];
        let text = Table::new(vec![Column::text("age", ["old", "young"]).unwrap()]).unwrap();
        let mut under = DeployerUnderTest::new(deployer, model("scaled"), versions, ages(&[59.0, 48.0]))
            .with_lineage(self.registry.clone())
            .with_bad_rows(text);
        for (name, content) in [("corrupt", "nonsense"), ("panicking", "loader panics")] {
            under = under.with_broken(model(name), self.put(name, content).await.1);
        }
        let (digest, damaged) = self.put("damaged", "4 ok").await;
        self.artifacts.damage(&digest);
        under = under.with_broken(model("damaged"), damaged);
        for fault in ["panics", "fails", "forgets"] {
            under = under.with_failing(model(fault), self.put(fault, &format!("1 {fault}")).await.1);
        }
        under
    }
}

/// Opens the folder anew for every call, and closes it after; of requests, for every sixteenth.
struct Reopening(Arc<World>, Mutex<Option<(LocalDeployer, u32)>>);

impl Reopening {
    fn new(world: &Arc<World>) -> Self {
        Self(world.clone(), Mutex::default())
    }

    fn anew(&self) -> LocalDeployer {
        drop(self.1.lock().unwrap().take());
        self.0.deployer()
    }

    fn for_a_request(&self) -> LocalDeployer {
        let mut kept = self.1.lock().unwrap();
        let (deployer, used) = kept.take().unwrap_or_else(|| (self.0.deployer(), 0));
        *kept = (used < 15).then(|| (deployer.clone(), used + 1));
        deployer
    }
}

impl std::fmt::Debug for Reopening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reopening")
    }
}

#[async_trait]
impl Deployer for Reopening {
    fn capabilities(&self) -> DeployerCapabilities {
        self.anew().capabilities()
    }

    async fn ensure_endpoint(&self, spec: &EndpointSpec) -> Result<Endpoint> {
        self.anew().ensure_endpoint(spec).await
    }

    async fn endpoint(&self, name: &EndpointName) -> Result<Endpoint> {
        self.anew().endpoint(name).await
    }

    async fn endpoints(&self, page: &PageRequest) -> Result<Page<Endpoint>> {
        self.anew().endpoints(page).await
    }

    async fn deploy(&self, spec: &DeploymentSpec) -> Result<Deployment> {
        self.anew().deploy(spec).await
    }

    async fn deployments(&self, endpoint: &EndpointName) -> Result<BTreeMap<DeploymentName, Deployment>> {
        self.anew().deployments(endpoint).await
    }

    async fn set_traffic(&self, change: &TrafficChange) -> Result<Endpoint> {
        self.anew().set_traffic(change).await
    }

    async fn set_mirror(&self, change: &MirrorChange) -> Result<Endpoint> {
        self.anew().set_mirror(change).await
    }

    async fn delete_deployment(&self, endpoint: &EndpointName, name: &DeploymentName) -> Result<()> {
        self.anew().delete_deployment(endpoint, name).await
    }

    async fn invoke(&self, request: &InvokeRequest<'_>) -> Result<InvokeResponse> {
        // Requests without a key are numbered by each deployer: one that is new each time would send all of them one way.
        let number = format!("request {}", unused_number());
        let routing_key = request.routing_key.clone().or(Some(number));
        self.for_a_request().invoke(&request.clone().with_routing_key(routing_key)).await
    }

    async fn stats(&self, endpoint: &EndpointName, name: &DeploymentName) -> Result<OperationStats> {
        self.anew().stats(endpoint, name).await
    }
}

/// A number that was not used before in this process.
fn unused_number() -> usize {
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::SeqCst)
}

// ── suites ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

async fn open() -> DeployerUnderTest {
    let world = World::new();
    world.under_test(Arc::new(world.deployer())).await
}

async fn reopening() -> DeployerUnderTest {
    let world = World::new();
    world.under_test(Arc::new(Reopening::new(&world))).await
}

mlops_core::deployer_suite!(deployer, open().await);
/// Where everything is allowed.
async fn authorized() -> DeployerUnderTest {
    let world = World::new();
    let roles = Roles::new().with("any", Role::new(["*"]));
    let (authorizer, log) = (Arc::new(RoleAuthorizer::new(roles)), Arc::new(MemoryAuditLog::default()));
    let deployer = Authorized::new(world.deployer(), authorizer, Arc::new(Everybody), log, actor("service"));
    let deployer = deployer.with_registry(world.registry.clone());
    world.under_test(Arc::new(deployer)).await
}

/// Everybody is somebody.
#[derive(Debug)]
struct Everybody;

impl Principals for Everybody {
    fn actor(&self, id: &ActorId) -> Option<Actor> {
        Some(Actor::new(id.clone(), ["any"]))
    }
}

mlops_core::deployer_suite!(authorized_deployer, authorized().await);
mlops_core::deployer_suite!(deployer_opened_anew, reopening().await);

fn path(folder: &Folder) -> std::path::PathBuf {
    folder.folder.path().join("mlops.db")
}

/// Opens the journal anew for every call.
#[derive(Debug)]
struct ReopeningJournal(Arc<Folder>);

#[async_trait]
impl RolloutJournal for ReopeningJournal {
    async fn append(&self, rollout: &Digest, entry: &JournalEntry) -> Result<()> {
        store_in(&self.0).rollouts().append(rollout, entry).await
    }

    async fn entries(&self, rollout: &Digest) -> Result<Vec<JournalEntry>> {
        store_in(&self.0).rollouts().entries(rollout).await
    }
}

mlops_core::rollout_journal_suite!(journal, JournalUnderTest::new(Arc::new(store_in(&folder()).rollouts())));
mlops_core::rollout_journal_suite!(
    journal_opened_anew,
    JournalUnderTest::new(Arc::new(ReopeningJournal(folder())))
);

/// Opens the folder anew for every call, and closes it after.
#[derive(Debug)]
struct ReopeningLoops(Arc<Folder>);

#[async_trait]
impl LoopJournal for ReopeningLoops {
    async fn append(&self, entry: &LoopEntry, state: &LoopState) -> Result<()> {
        store_in(&self.0).loops().append(entry, state).await
    }

    async fn standing(&self, id: &IdempotencyKey) -> Result<Option<LoopStanding>> {
        store_in(&self.0).loops().standing(id).await
    }

    async fn entries(&self, id: &IdempotencyKey, after: u64, limit: usize) -> Result<Vec<LoopEntry>> {
        store_in(&self.0).loops().entries(id, after, limit).await
    }
}

mlops_core::loop_journal_suite!(loops, LoopJournalUnderTest::new(Arc::new(store_in(&folder()).loops())));
mlops_core::loop_journal_suite!(
    loops_opened_anew,
    LoopJournalUnderTest::new(Arc::new(ReopeningLoops(folder())))
);

#[tokio::test]
async fn a_journal_of_loops_that_was_changed_is_refused() {
    for sql in [
        "DELETE FROM loop_entry WHERE sequence = 2",
        "DELETE FROM loop_entry WHERE sequence = 1",
        "DELETE FROM loop_entry",
        "DELETE FROM loop_state",
        "UPDATE loop_entry SET body = replace(body, 'reason 2', 'reason 3') WHERE sequence = 2",
        "UPDATE loop_entry SET sequence = 100 WHERE sequence = 2",
        "UPDATE loop_state SET body = replace(body, '\"cycle\":0', '\"cycle\":1')",
    ] {
        let folder = folder();
        let config = LoopConfig::new(
            ModelName::new("diabetes").unwrap(),
            Alias::new("champion").unwrap(),
            EndpointName::new("diabetes").unwrap(),
            actor("retraining"),
        );
        let state = LoopState::new(config, None);
        for sequence in 1..=3 {
            let event = LoopEvent::HeldBack(format!("reason {sequence}"));
            let entry = LoopEntry::new(sequence, folder.now(), event, None, Vec::new());
            store_in(&folder).loops().append(&entry, &state).await.unwrap();
        }
        assert!(store_in(&folder).verify().await.unwrap().is_sound());
        damage(&folder, sql);
        assert!(!store_in(&folder).verify().await.unwrap().is_sound(), "{sql}");
        let loops = store_in(&folder).loops();
        let read = (loops.standing(&state.id).await, loops.entries(&state.id, 0, 10).await);
        let refused = |kind: Option<ErrorKind>| kind == Some(ErrorKind::Corrupt);
        let kinds = (read.0.err().map(|e| e.kind()), read.1.err().map(|e| e.kind()));
        assert!(refused(kinds.0) || refused(kinds.1), "{sql}: {kinds:?}");
    }
}

/// An approver behind which somebody sits, in a store of their own, who decides what they are told to about everything asked.
#[derive(Debug)]
struct Staffed {
    folder: Arc<Folder>,
    says: Arc<Mutex<ApprovalDecision>>,
}

#[async_trait]
impl Approver for Staffed {
    async fn decide(&self, request: &ApprovalRequest, now: Timestamp) -> Result<Approval> {
        let approver = store_in(&self.folder).approvals(actor("risk-office"));
        let answer = approver.decide(request, now).await?;
        let says = *self.says.lock().unwrap();
        if answer.decision != ApprovalDecision::Pending || says == ApprovalDecision::Pending {
            return Ok(answer);
        }
        let desk = store_in(&self.folder).approval_desk();
        let open = desk.pending(&PageRequest::default()).await?.items;
        if let Some(open) = open.iter().find(|open| open.request == *request) {
            // Of many who decide at once one does; and nobody does about what they asked for.
            match desk.decide(&open.digest, &actor("risk-officer"), says, "said so").await {
                Ok(_) => {}
                Err(e) => assert!(matches!(e.kind(), ErrorKind::Conflict | ErrorKind::Rejected), "{e}"),
            }
        }
        approver.decide(request, now).await
    }
}

fn staffed() -> ApproverUnderTest {
    let says = Arc::new(Mutex::new(ApprovalDecision::Pending));
    let staffed = Staffed { folder: folder(), says: says.clone() };
    ApproverUnderTest::new(Arc::new(staffed)).with_decide(move |decision| *says.lock().unwrap() = decision)
}

mlops_core::approver_suite!(approver, staffed());

// ── what the suites do not see ───────────────────────────────────────────────────────────────────────────────────────────

async fn serving(world: &Arc<World>) -> LocalDeployer {
    let deployer = world.deployer();
    for content in ["2 ok", "3 ok"] {
        world.put("scaled", content).await;
    }
    deployer.ensure_endpoint(&EndpointSpec::new(endpoint(), actor("release"))).await.unwrap();
    for (name, version) in [("blue", 1), ("green", 2)] {
        deployer.deploy(&spec(name, version)).await.unwrap();
    }
    set(&deployer, 0).await;
    deployer
}

fn spec(name: &str, version: u64) -> DeploymentSpec {
    let version = Version::new(version).unwrap();
    DeploymentSpec::new(endpoint(), deployment(name), model("scaled"), version, actor("release"))
}

/// Gives green this share of the traffic, and blue the rest.
async fn set(deployer: &dyn Deployer, green: u8) -> Endpoint {
    let share = Percent::new(green).unwrap();
    let split = TrafficSplit::canary(deployment("blue"), deployment("green"), share).unwrap();
    let key = IdempotencyKey::generate();
    let change = TrafficChange::new(endpoint(), split, actor("release")).with_key(key);
    deployer.set_traffic(&change).await.unwrap()
}

async fn ask(deployer: &dyn Deployer, name: Option<&str>) -> Result<f64> {
    let rows = ages(&[10.0]);
    let deployment = name.map(deployment);
    let request = InvokeRequest::new(endpoint(), &rows).with_deployment(deployment);
    Ok(deployer.invoke(&request).await?.predictions.as_slice()[0])
}

async fn requests(deployer: &dyn Deployer, name: &str) -> u64 {
    deployer.stats(&endpoint(), &deployment(name)).await.unwrap().requests
}

#[tokio::test]
async fn a_change_is_seen_by_everybody_at_their_next_call() {
    let world = World::new();
    let (one, other) = (serving(&world).await, world.deployer());
    assert_eq!((ask(&one, None).await.unwrap(), ask(&other, None).await.unwrap()), (20.0, 20.0));
    set(&one, 100).await;
    assert_eq!(ask(&other, None).await.unwrap(), 30.0);
    one.delete_deployment(&endpoint(), &deployment("blue")).await.unwrap();
    assert_eq!(ask(&other, Some("blue")).await.unwrap_err().kind(), ErrorKind::NotFound);
    // Another version under the old name is another deployment, with a model and counts of its own.
    assert_eq!(requests(&one, "green").await, 0, "what others counted a moment ago may be missing");
    other.deploy(&spec("blue", 2)).await.unwrap();
    assert_eq!(ask(&one, Some("blue")).await.unwrap(), 30.0);
    assert_eq!(requests(&one, "blue").await, 1);
}

#[tokio::test]
async fn a_model_is_loaded_once_by_each_process_and_only_when_it_is_asked() {
    let world = World::new();
    let one = serving(&world).await;
    assert_eq!(world.loader.loads(), 2, "deploying loads");
    let other = world.deployer();
    assert_eq!(world.loader.loads(), 2);
    for _ in 0..3 {
        ask(&one, None).await.unwrap();
        ask(&other, None).await.unwrap();
        // A change of the endpoint does not unload anybody.
        set(&one, 0).await;
    }
    assert_eq!(world.loader.loads(), 3, "the other one has loaded blue");
}

#[tokio::test]
async fn a_model_that_cannot_be_loaded_any_more_is_a_failure_that_is_counted() {
    let world = World::new();
    drop(serving(&world).await);
    let (digest, _) = world.put("scaled", "2 ok").await;
    world.artifacts.damage(&digest);
    let deployer = world.deployer();
    assert_eq!(ask(&deployer, Some("blue")).await.unwrap_err().kind(), ErrorKind::Integrity);
    assert_eq!(ask(&deployer, Some("green")).await.unwrap(), 30.0);
    let stats = deployer.stats(&endpoint(), &deployment("blue")).await.unwrap();
    assert_eq!((stats.requests, stats.failures), (1, 1));
}

#[tokio::test]
async fn a_version_that_is_not_what_was_deployed_is_refused_everywhere_with_the_same_words() {
    let world = World::new();
    drop(serving(&world).await);
    // Another registry has other content under the version that blue is of.
    let registry = Arc::new(MemoryModelRegistry::new(world.artifacts.clone(), world.folder.clone()));
    let other = World {
        registry: registry.clone(),
        artifacts: world.artifacts.clone(),
        loader: world.loader.clone(),
        folder: world.folder.clone(),
    };
    let (found, _) = other.put("scaled", "5 ok").await;
    let deployer = other.deployer();
    let asked = ask(&deployer, Some("blue")).await.unwrap_err();
    let (artifacts, loader, blue) = (world.artifacts.clone(), world.loader.clone(), deployment("blue"));
    let scored = DeployedModel::find(&deployer, registry, artifacts, loader, &endpoint(), Some(&blue)).await;
    for error in [asked, scored.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Integrity, "{error}");
        assert!(error.to_string().contains("the registered version is not what was deployed"), "{error}");
        let shown = error.context("found").map(|shown| shown.trim_end_matches('…').to_owned());
        assert!(shown.is_some_and(|shown| found.to_string().starts_with(&shown)), "{error}");
    }
}

#[tokio::test]
async fn counts_of_all_processes_add_up_and_outlive_them() {
    let world = World::new();
    let keeps = serving(&world).await;
    for round in 1..=4_u64 {
        let others = [world.deployer(), world.deployer()];
        for other in &others {
            for _ in 0..5 {
                ask(other, Some("green")).await.unwrap();
            }
        }
        ask(&keeps, Some("green")).await.unwrap();
        drop(others);
        assert_eq!(requests(&keeps, "green").await, round * 11);
        // What keeps writes once a second: it may or may not have by now.
        let seen = requests(&world.deployer(), "green").await;
        assert!((round * 10..=round * 11).contains(&seen), "{seen} after {round} rounds");
    }
    drop(keeps);
    assert_eq!(requests(&world.deployer(), "green").await, 44);
    assert_eq!(requests(&world.deployer(), "blue").await, 0);
}

/// Writers that were killed leave rows of their own behind; they count, once, for everybody who comes after.
#[tokio::test]
async fn counts_are_written_while_a_process_serves() {
    let world = World::new();
    let deployer = serving(&world).await;
    for _ in 0..7 {
        ask(&deployer, Some("green")).await.unwrap();
    }
    let other = world.deployer();
    let patience = std::time::Instant::now() + Duration::from_secs(60);
    while requests(&other, "green").await < 7 {
        assert!(std::time::Instant::now() < patience, "nobody writes");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // As if it had been killed: it never says goodbye.
    std::mem::forget(deployer);
    ask(&other, Some("green")).await.unwrap();
    drop(other);
    assert_eq!(requests(&world.deployer(), "green").await, 8);
}

/// What killed writers left is added up by the next one that counts; what the living count stays theirs.
#[tokio::test]
async fn counts_of_killed_processes_are_added_up() {
    let world = World::new();
    let lives = serving(&world).await;
    ask(&lives, Some("green")).await.unwrap();
    let reader = world.deployer();
    let patience = std::time::Instant::now() + Duration::from_secs(60);
    while requests(&reader, "green").await < 1 {
        assert!(std::time::Instant::now() < patience, "nobody writes");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for writer in ["dead", "dead too", "dead without a file"] {
        let green = "SELECT id FROM deployment WHERE name = 'green'";
        damage(
            &world.folder,
            &format!("INSERT INTO operation_count VALUES (({green}), '{writer}', 10, 1, 2, 30, 7)"),
        );
    }
    let counts = world.folder.folder.path().join("counts");
    std::fs::create_dir_all(&counts).unwrap();
    for writer in ["dead", "dead too"] {
        std::fs::write(counts.join(writer), "").unwrap();
    }
    assert_eq!(requests(&reader, "green").await, 31);
    ask(&reader, Some("green")).await.unwrap();
    drop(reader);
    let writers = || {
        let sql = "SELECT count(*) FROM operation_count WHERE writer <> ''";
        let db = rusqlite::Connection::open(world.folder.folder.path().join("mlops.db")).unwrap();
        db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(writers(), 1, "the one that lives");
    assert_eq!(std::fs::read_dir(&counts).unwrap().count(), 1);
    let stats = world.deployer().stats(&endpoint(), &deployment("green")).await.unwrap();
    assert_eq!((stats.requests, stats.failures, stats.bad_requests), (32, 3, 6));
    drop(lives);
    assert_eq!((writers(), requests(&world.deployer(), "green").await), (0, 32));
    assert_eq!(std::fs::read_dir(&counts).unwrap().count(), 0);
}

#[tokio::test]
async fn a_read_only_store_serves_and_changes_nothing() {
    let world = World::new();
    drop(serving(&world).await);
    let options = LocalStore::options().with_read_only(true);
    let store = options.with_clock(world.folder.clone()).open(world.folder.folder.path()).unwrap();
    let deployer = world.deployer_of(&store);
    assert_eq!(ask(&deployer, None).await.unwrap(), 20.0);
    assert_eq!(requests(&deployer, "blue").await, 1);
    let error = deployer.deploy(&spec("red", 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
    let ensured = deployer.ensure_endpoint(&EndpointSpec::new(endpoint(), actor("release"))).await;
    assert!(ensured.is_ok(), "{ensured:?}");
    drop((deployer, store));
    assert_eq!(requests(&world.deployer(), "blue").await, 0);
}

/// The registry, the content and the lineage of the same folder; what is served is not collected.
#[tokio::test]
async fn one_folder_holds_the_model_and_what_serves_it() {
    let folder = folder();
    let loader = Arc::new(ScaledLoader::default());
    {
        let store = store_in(&folder);
        let blob = store.artifacts().put_bytes("2 ok").await.unwrap();
        let format = ModelFormat::new("test.scaled/v1").unwrap();
        let new = NewModelVersion::new(model("scaled"), blob.digest, format, signature(), actor("trainer"));
        store.registry().register(&new).await.unwrap();
        let deployer = store.deployer(Arc::new(store.registry()), loader.clone());
        deployer.ensure_endpoint(&EndpointSpec::new(endpoint(), actor("release"))).await.unwrap();
        deployer.deploy(&spec("blue", 1)).await.unwrap();
    }
    let store = store_in(&folder);
    folder.clock.advance(Duration::from_secs(86_400));
    assert!(store.collect_garbage(&GcOptions::default()).await.unwrap().removed.is_empty());
    let deployer = store.deployer(Arc::new(store.registry()), loader);
    assert_eq!(ask(&deployer, Some("blue")).await.unwrap(), 20.0);
    let node = Node::Deployment { endpoint: endpoint(), deployment: deployment("blue") };
    let graph = store.registry().lineage(&node, Upstream, 1).await.unwrap();
    assert_eq!(graph.edges.len(), 1, "{graph:?}");
    assert_eq!(store.verify().await.unwrap().findings, []);
}

#[tokio::test]
async fn what_does_not_agree_is_found() {
    for (sql, subject) in [
        ("DELETE FROM traffic_change WHERE revision = 1", "traffic_change diabetes 1"),
        ("DELETE FROM traffic_change WHERE revision = 2", "traffic_change diabetes 2"),
        ("DELETE FROM deployment WHERE name = 'green'", "deployment diabetes/green"),
    ] {
        let world = World::new();
        let deployer = serving(&world).await;
        set(&deployer, 10).await;
        assert_eq!(world.store().verify().await.unwrap().findings, []);
        damage(&world.folder, sql);
        let report = world.store().verify().await.unwrap();
        assert!(report.findings.iter().any(|found| found.subject == subject), "{sql}: {report:?}");
    }
}

/// Every byte of what decisions rest on is covered: whatever is changed, the row is refused and named.
#[tokio::test]
async fn rows_that_were_changed_are_refused_by_name() {
    let cases: [(&str, &str, &str); 6] = [
        ("UPDATE endpoint SET body = replace(body, '\"green\":100', '\"blue\":100')", "endpoint", "diabetes"),
        ("UPDATE endpoint SET digest = zeroblob(32)", "endpoint", "diabetes"),
        (
            "UPDATE deployment SET body = replace(body, '\"version\":1', '\"version\":2')",
            "deployment",
            "diabetes/blue",
        ),
        ("UPDATE deployment SET name = 'red' WHERE name = 'blue'", "deployment", "diabetes/red"),
        (
            "UPDATE traffic_change SET body = replace(body, '\"revision\":2', '\"revision\":9')",
            "traffic_change",
            "a-change",
        ),
        ("UPDATE traffic_change SET body = 'x'", "traffic_change", "a-change"),
    ];
    for (sql, table, row) in cases {
        let world = World::new();
        let deployer = serving(&world).await;
        let change =
            TrafficChange::new(endpoint(), TrafficSplit::all_to(deployment("green")), actor("release"))
                .with_key(IdempotencyKey::new("a-change").unwrap());
        deployer.set_traffic(&change).await.unwrap();
        drop(deployer);
        damage(&world.folder, sql);
        let deployer = world.deployer();
        let error = match table {
            "traffic_change" => deployer.set_traffic(&change).await.unwrap_err(),
            _ => ask(&deployer, None).await.unwrap_err(),
        };
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{sql}: {error}");
        assert_eq!(error.context("row"), Some(format!("{table} {row}").as_str()), "{sql}");
        let report = world.store().verify().await.unwrap();
        assert!(report.findings.iter().any(|found| found.subject == format!("{table} {row}")), "{report:?}");
    }
}

fn damage(folder: &Folder, sql: &str) {
    let changed = rusqlite::Connection::open(path(folder)).unwrap().execute(sql, []).unwrap();
    assert!(changed > 0, "{sql} changes nothing");
}

// ── rollouts ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Stops the process after a number of entries: the next one is written down, and its driver never hears of it.
#[derive(Debug)]
struct Mortal {
    folder: Arc<Folder>,
    entries_left: Mutex<usize>,
    stopped: Arc<tokio::sync::Notify>,
}

#[async_trait]
impl RolloutJournal for Mortal {
    async fn append(&self, rollout: &Digest, entry: &JournalEntry) -> Result<()> {
        store_in(&self.folder).rollouts().append(rollout, entry).await?;
        let alive = {
            let mut left = self.entries_left.lock().unwrap();
            *left = left.saturating_sub(1);
            *left > 0
        };
        if alive {
            return Ok(());
        }
        self.stopped.notify_one();
        std::future::pending().await
    }

    async fn entries(&self, rollout: &Digest) -> Result<Vec<JournalEntry>> {
        store_in(&self.folder).rollouts().entries(rollout).await
    }
}

fn plan() -> RolloutPlan {
    let options = RolloutOptions::default()
        .with_bake(Duration::from_secs(10))
        .with_limits(OperationGuard::default().with_min_requests(5).with_max_failure_rate(0.1))
        .with_approval();
    let (blue, green) = (deployment("blue"), deployment("green"));
    let plan = RolloutPlan::canary(endpoint(), blue, green, actor("release-bot"), options).unwrap();
    plan.with_key(IdempotencyKey::new("rollout-1").unwrap())
}

async fn driver(world: &Arc<World>, journal: Arc<dyn RolloutJournal>) -> RolloutDriver {
    let smoke = SmokeTest::new(ages(&[59.0, 48.0])).unwrap();
    let staffed =
        Staffed { folder: world.folder.clone(), says: Arc::new(Mutex::new(ApprovalDecision::Approved)) };
    let deployer = Arc::new(Reopening::new(world));
    let driver = RolloutDriver::resume(plan(), smoke, deployer, journal).await.unwrap();
    driver.with_approver(Arc::new(staffed))
}

/// Drives the rollout to its end in processes that live for `life` entries each; what became of it, how many processes that
/// took, and every split that there was.
async fn drive(life: usize) -> (Phase, usize, Vec<JournalEntry>, Vec<u64>) {
    let world = World::new();
    drop(serving(&world).await);
    let mut revisions = Vec::new();
    for process in 1..500 {
        let stopped = Arc::new(tokio::sync::Notify::new());
        let (folder, entries_left) = (world.folder.clone(), Mutex::new(life));
        let mortal = Mortal { folder, entries_left, stopped: stopped.clone() };
        let mut rollout = driver(&world, Arc::new(mortal)).await;
        loop {
            let now = world.folder.now();
            let status = tokio::select! {
                status = rollout.advance(now) => status,
                () = stopped.notified() => break,
            };
            let status = status.unwrap();
            revisions.push(world.deployer().endpoint(&endpoint()).await.unwrap().revision);
            if status.is_terminal() {
                let entries =
                    store_in(&world.folder).rollouts().entries(&plan().digest().unwrap()).await.unwrap();
                assert!(world.store().verify().await.unwrap().is_sound());
                return (status.phase, process, entries, revisions);
            }
            let deployer = world.deployer();
            for _ in 0..200 {
                ask(&deployer, None).await.unwrap();
            }
            world.folder.clock.advance(Duration::from_secs(11));
        }
    }
    panic!("the rollout does not end");
}

#[tokio::test]
async fn a_rollout_ends_the_same_whenever_its_process_is_stopped() {
    let (phase, processes, undisturbed, revisions) = drive(usize::MAX).await;
    assert_eq!((phase, processes), (Phase::Promoted, 1));
    assert!(undisturbed.len() > 8, "{}", undisturbed.len());
    // Every entry is the last one of some process.
    let (phase, processes, entries, _) = drive(1).await;
    assert_eq!(phase, Phase::Promoted);
    assert!(processes > undisturbed.len() / 2, "{processes} processes");
    let shares = |entries: &[JournalEntry]| {
        let mut shares: Vec<u8> = entries.iter().map(|entry| entry.state.share().get()).collect();
        shares.dedup();
        shares
    };
    assert_eq!(shares(&entries), shares(&undisturbed));
    assert!(revisions.is_sorted());
}

#[tokio::test]
async fn rollouts_that_have_not_ended_are_found_after_a_restart() {
    let world = World::new();
    drop(serving(&world).await);
    let journal = store_in(&world.folder).rollouts();
    assert!(journal.unfinished().await.unwrap().is_empty());
    let mut rollout = driver(&world, Arc::new(journal)).await;
    rollout.advance(world.folder.now()).await.unwrap();
    let state = rollout.state().clone();
    drop(rollout);
    let found = store_in(&world.folder).rollouts().unfinished().await.unwrap();
    assert_eq!(found, [state]);
    let mut rollout = driver(&world, Arc::new(store_in(&world.folder).rollouts())).await;
    rollout.abort("never mind", world.folder.now()).await.unwrap();
    while !rollout.advance(world.folder.now()).await.unwrap().is_terminal() {}
    assert!(store_in(&world.folder).rollouts().unfinished().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_journal_that_was_changed_is_refused() {
    for sql in [
        "DELETE FROM rollout_entry WHERE sequence = 2",
        "DELETE FROM rollout_entry WHERE sequence = 1",
        "UPDATE rollout_entry SET body = replace(body, '\"epoch\":', '\"epoch\":1') WHERE sequence = 2",
        "UPDATE rollout_entry SET sequence = 100 WHERE sequence = 2",
    ] {
        let world = World::new();
        drop(serving(&world).await);
        let mut rollout = driver(&world, Arc::new(store_in(&world.folder).rollouts())).await;
        rollout.advance(world.folder.now()).await.unwrap();
        drop(rollout);
        damage(&world.folder, sql);
        assert!(!store_in(&world.folder).verify().await.unwrap().is_sound(), "{sql}");
        let entries = store_in(&world.folder).rollouts().entries(&plan().digest().unwrap()).await;
        assert_eq!(entries.unwrap_err().kind(), ErrorKind::Corrupt, "{sql}");
    }
}

#[tokio::test]
async fn an_entry_that_cannot_be_kept_exactly_is_not_kept() {
    let folder = folder();
    let journal = store_in(&folder).rollouts();
    let score = |value| Estimate::new(Measured::Value(value), Direction::HigherIsBetter, 10);
    let metric = MetricKey::new("accuracy").unwrap();
    let entry = |candidate| {
        let performance = LabelledPerformance::new(metric.clone(), score(candidate), score(0.5));
        let evidence = GuardEvidence::new(Percent::ALL, None, None).with_performance(performance);
        let judgement = Judgement::new(GuardVerdict::NoData, "nobody knows");
        let event = Event::GuardJudged { epoch: 1, judgement, evidence: Some(Box::new(evidence)) };
        JournalEntry::new(1, start(), event, RolloutState::new(plan()), Vec::new())
    };
    let rollout = plan().digest().unwrap();
    let error = journal.append(&rollout, &entry(f64::NAN)).await.unwrap_err();
    assert_eq!((error.kind(), error.context("field")), (ErrorKind::InvalidInput, Some("entry")));
    assert!(journal.entries(&rollout).await.unwrap().is_empty());
    journal.append(&rollout, &entry(0.1)).await.unwrap();
    assert_eq!(journal.entries(&rollout).await.unwrap(), [entry(0.1)]);
}

// ── approvals ────────────────────────────────────────────────────────────────────────────────────────────────────────────

fn request(subject: &str, hours: u64) -> ApprovalRequest {
    ApprovalRequest::new(
        Digest::of(subject.as_bytes()),
        format!("Promote {subject}?"),
        actor("trainer"),
        start() + Duration::from_secs(3_600 * hours),
    )
}

#[tokio::test]
async fn what_is_open_is_listed_until_it_is_decided_or_expires() {
    let folder = folder();
    let (approver, desk) = (store_in(&folder).approvals(actor("office")), store_in(&folder).approval_desk());
    for i in 0..25 {
        approver.decide(&request(&format!("churn:{i}"), 1 + i % 3), folder.now()).await.unwrap();
    }
    let open = async || {
        let (mut all, mut page) = (Vec::new(), Some(PageRequest::first(4)));
        while let Some(request) = page {
            let answer = desk.pending(&request).await.unwrap();
            page = request.after(&answer);
            all.extend(answer.items);
        }
        all
    };
    let all = open().await;
    assert_eq!(all.len(), 25);
    assert!(all.iter().enumerate().all(|(i, open)| open.request.question == format!("Promote churn:{i}?")));
    assert_eq!((&all[0].asked, all[0].asked_at), (&actor("office"), start()));
    desk.decide(&all[3].digest, &actor("officer"), ApprovalDecision::Rejected, "no").await.unwrap();
    assert_eq!(open().await.len(), 24);
    folder.clock.advance(Duration::from_secs(3_600));
    let left = open().await;
    assert!(
        left.iter().all(|open| open.request.expires_at > folder.now()) && left.len() == 16,
        "{}",
        left.len()
    );
}

#[tokio::test]
async fn decisions_are_final_and_are_made_by_somebody_else_in_time() {
    let folder = folder();
    let (approver, desk) = (store_in(&folder).approvals(actor("office")), store_in(&folder).approval_desk());
    let (yes, no) = (ApprovalDecision::Approved, ApprovalDecision::Rejected);
    let asked = request("churn:4", 1);
    approver.decide(&asked, folder.now()).await.unwrap();
    let digest = desk.pending(&PageRequest::default()).await.unwrap().items[0].digest;
    let officer = actor("officer");
    let kind = async |digest, who: &str, decision| {
        desk.decide(digest, &actor(who), decision, "").await.unwrap_err().kind()
    };
    assert_eq!(kind(&digest, "trainer", yes).await, ErrorKind::Rejected);
    assert_eq!(kind(&digest, "officer", ApprovalDecision::Pending).await, ErrorKind::InvalidInput);
    let nothing = Digest::of(b"nothing");
    assert_eq!(kind(&nothing, "officer", yes).await, ErrorKind::NotFound);
    let made = desk.decide(&digest, &officer, yes, "good").await.unwrap();
    assert_eq!(desk.decide(&digest, &officer, yes, "good").await.unwrap(), made, "said again");
    assert_eq!(kind(&digest, "officer", no).await, ErrorKind::Conflict);
    assert_eq!(kind(&digest, "another", yes).await, ErrorKind::Conflict);
    let answer = store_in(&folder).approvals(actor("office")).decide(&asked, folder.now()).await.unwrap();
    assert_eq!(answer, made);
    answer.require(&asked.subject, folder.now()).unwrap();
    let late = request("churn:5", 1);
    approver.decide(&late, folder.now()).await.unwrap();
    let digest = desk.pending(&PageRequest::default()).await.unwrap().items[0].digest;
    folder.clock.advance(Duration::from_secs(3_600));
    assert_eq!(kind(&digest, "officer", yes).await, ErrorKind::Rejected);
}

#[tokio::test]
async fn what_has_expired_is_not_read_to_list_what_is_open() {
    let folder = folder();
    let (approver, desk) = (store_in(&folder).approvals(actor("office")), store_in(&folder).approval_desk());
    let mut soon = request("churn:4", 1);
    soon.expires_at += Duration::from_millis(500);
    let later = request("churn:5", 2);
    for asked in [&soon, &later] {
        approver.decide(asked, folder.now()).await.unwrap();
    }
    let open = async || {
        let page = desk.pending(&PageRequest::default()).await?;
        Ok::<_, Error>(page.items.into_iter().map(|open| open.request.subject).collect::<Vec<_>>())
    };
    // To the moment, though the column has whole seconds.
    folder.clock.advance(Duration::from_millis(3_600_499));
    assert_eq!(open().await.unwrap(), [soon.subject, later.subject]);
    folder.clock.advance(Duration::from_millis(1));
    assert_eq!(open().await.unwrap(), [later.subject]);
    folder.clock.advance(Duration::from_millis(500));
    damage(&folder, "UPDATE approval_request SET body = 'noise' WHERE number = 1");
    assert_eq!(open().await.unwrap(), [later.subject], "what has expired is not read");
    damage(&folder, "UPDATE approval_request SET expires_at = NULL WHERE number = 1");
    assert_eq!(
        open().await.unwrap_err().kind(),
        ErrorKind::Corrupt,
        "what was asked before there was a column is"
    );

    damage(&folder, "DELETE FROM approval_request WHERE number = 1");
    damage(&folder, "UPDATE approval_request SET expires_at = expires_at - 7200 WHERE number = 2");
    let report = store_in(&folder).verify().await.unwrap();
    assert_eq!(report.findings.len(), 1, "{report:?}");
    assert!(report.findings[0].subject.starts_with("approval_request "), "{report:?}");
}

#[tokio::test]
async fn an_answer_that_was_changed_is_refused() {
    let folder = folder();
    let (approver, desk) = (store_in(&folder).approvals(actor("office")), store_in(&folder).approval_desk());
    let asked = request("churn:4", 1);
    approver.decide(&asked, folder.now()).await.unwrap();
    let digest = desk.pending(&PageRequest::default()).await.unwrap().items[0].digest;
    desk.decide(&digest, &actor("officer"), ApprovalDecision::Rejected, "no").await.unwrap();
    damage(&folder, "UPDATE approval SET body = replace(body, 'rejected', 'approved')");
    let error = approver.decide(&asked, folder.now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.context("row").is_some_and(|row| row.starts_with("approval ")), "{error}");
    let report = store_in(&folder).verify().await.unwrap();
    assert_eq!(report.findings.len(), 1, "{report:?}");
}

// ── processes ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const CHILD: &str = "MLOPS_TEST_FOLDER";
const CHILDREN: usize = 4;
const EACH: u64 = 25;

/// What each process does: 25 changes of traffic, each on what it finds.
#[tokio::test]
async fn child_that_changes_traffic() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let world = World::new();
    let store = LocalStore::open(Path::new(&folder)).unwrap();
    let deployer = world.deployer_of(&store);
    for _ in 0..EACH {
        loop {
            let found = deployer.endpoint(&endpoint()).await.unwrap();
            let share = Percent::new(u8::try_from(found.revision % 101).unwrap()).unwrap();
            let split = TrafficSplit::canary(deployment("blue"), deployment("green"), share).unwrap();
            let (key, expected) = (IdempotencyKey::generate(), Some(found.revision));
            let change =
                TrafficChange::new(endpoint(), split, actor("child")).with_key(key).expecting(expected);
            match deployer.set_traffic(&change).await {
                Ok(_) => break,
                Err(e) => assert_eq!(e.kind(), ErrorKind::Conflict, "{e}"),
            }
        }
    }
}

#[tokio::test]
async fn of_many_processes_each_wins_its_own_changes() {
    let world = World::new();
    let before = {
        let deployer = serving(&world).await;
        deployer.endpoint(&endpoint()).await.unwrap().revision
    };
    let children: Vec<_> = (0..CHILDREN)
        .map(|_| {
            std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "child_that_changes_traffic"])
                .env(CHILD, world.folder.folder.path())
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let after = world.deployer().endpoint(&endpoint()).await.unwrap();
    assert_eq!(after.revision, before + CHILDREN as u64 * EACH);
    let connection = rusqlite::Connection::open(path(&world.folder)).unwrap();
    let sql = "SELECT count(*), max(revision) FROM traffic_change";
    let kept: (u64, u64) = connection
        .query_row(sql, [], |row| {
            Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?.unsigned_abs()))
        })
        .unwrap();
    assert_eq!(kept, (after.revision, after.revision), "every revision is a change that was kept");
}
