//! Every wrapper is held to the suites of the traits that it wraps, and does what it adds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::artifact::{ArtifactStore, ArtifactStoreExt as _, GcOptions};
use mlops_core::conformance::alert::AlertsUnderTest;
use mlops_core::conformance::artifact::ArtifactsUnderTest;
use mlops_core::conformance::audit::AuditUnderTest;
use mlops_core::conformance::data::DataAssetsUnderTest;
use mlops_core::conformance::loop_journal::LoopJournalUnderTest;
use mlops_core::conformance::pipeline_journal::PipelineJournalUnderTest;
use mlops_core::conformance::registry::RegistryUnderTest;
use mlops_core::conformance::rollout_journal::JournalUnderTest;
use mlops_core::conformance::secret::SecretsUnderTest;
use mlops_core::conformance::step_cache::StepCacheUnderTest;
use mlops_core::conformance::sweep_journal::SweepsUnderTest;
use mlops_core::conformance::tracker::TrackerUnderTest;
use mlops_core::data::DataAssetStore;
use mlops_core::deploy::rollout::{
    Event, JournalEntry, RolloutJournal as _, RolloutOptions, RolloutPlan, RolloutState, VecJournal,
};
use mlops_core::deploy::{
    Deployer as _, DeploymentSpec, EndpointSpec, Mirror, MirrorChange, TrafficChange, TrafficSplit,
};
use mlops_core::experiment::sampler::{Goal, SamplerSpec};
use mlops_core::experiment::space::{Distribution, SearchSpace};
use mlops_core::experiment::sweep::{Budget, Sweep, SweepEntry, SweepJournal, SweepSpec};
use mlops_core::experiment::{
    Experiment, ExperimentSpec, ExperimentTracker, HistoryQuery, LogBatch, MetricPoint, Run, RunEnd,
    RunQuery, RunSpec, TrackerCapabilities, WriteReceipt,
};
use mlops_core::governance::{
    Action, Actor, AuditEntry, AuditLog, Denial, Denied, Duty, DutyLog, Principals, Role, RoleAuthorizer,
    Roles, Secret, SecretStore, SeparationOfDuties,
};
use mlops_core::hash::{Digest, digest_json};
use mlops_core::id::ComponentName;
use mlops_core::memory::{
    MemoryAlertSink, MemoryArtifactStore, MemoryAuditLog, MemoryDataAssetStore, MemoryDeployer,
    MemoryModelRegistry, MemoryPipelineJournal, MemorySecretStore, MemoryStepCache, MemorySweepJournal,
    MemoryTracker,
};
use mlops_core::model::{ModelFormat, Predictor as _};
use mlops_core::pipeline::{
    Claim, Claimed, PipelineEntry, PipelineEvent, PipelineJournal, StepCache, StepKey, StepRecord,
};
use mlops_core::problem::Task;
use mlops_core::registry::{
    AliasChange, AliasRecord, Direction, Edge, LineageGraph, ModelRef, ModelRegistry, ModelVersion,
    NewModelVersion, Node, Promotion, Protection, RegistryCapabilities, RegistryEvent, Relation,
};
use mlops_core::retrain::closed_loop::{
    LoopConfig, LoopEntry, LoopEvent, LoopJournal as _, LoopState, VecLoopJournal,
};
use mlops_core::serve::{BuiltinLoader, ConstantPredictor};
use mlops_core::time::{ManualClock, SystemClock};
use mlops_core::wrap::{Audited, Authorized, NoPause, Pause, RetryPolicy, Retrying, Tee, TeePolicy};
use mlops_core::{
    ActorId, Alias, DeploymentName, EndpointName, Error, ErrorKind, ExperimentName, IdempotencyKey,
    MetricKey, ModelName, Page, PageRequest, Percent, Result, RunId, SecretName, Tags, Version,
};

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()))
}

fn actor() -> ActorId {
    ActorId::new("wrapper").unwrap()
}

// ------------------------------------------------------------------------------------------------------ a bad network

/// Calls without a key of their own: what they set, they set again when they are repeated, also over what others set meanwhile. Of
/// these only requests are lost, for an event more is what the contract says of them then.
const KEYLESS: &[&str] = &["set_tags", "set_archived"];

/// Loses every third request before the backend sees it, and every third answer after it was done.
#[derive(Debug)]
struct Flaky<T> {
    inner: T,
    calls: AtomicU64,
}

impl<T> Flaky<T> {
    fn new(inner: T) -> Self {
        Self { inner, calls: AtomicU64::new(0) }
    }

    async fn call<A>(&self, name: &str, work: impl Future<Output = Result<A>>) -> Result<A> {
        let lost = |what| Err(Error::new(ErrorKind::Transport, "Flaky", what));
        match self.calls.fetch_add(1, Ordering::SeqCst) % 3 {
            0 => lost("the request was lost"),
            1 if !KEYLESS.contains(&name) => {
                work.await?;
                lost("the answer was lost")
            }
            _ => work.await,
        }
    }
}

macro_rules! flaky {
    ($trait:ident { $($capabilities:ident -> $kind:ty)? } $(
        fn $name:ident($($argument:ident: $type:ty),*) -> $answer:ty;
    )*) => {
        #[async_trait]
        impl<T: $trait> $trait for Flaky<T> {
            $(fn $capabilities(&self) -> $kind {
                self.inner.$capabilities()
            })?

            $(async fn $name(&self, $($argument: $type),*) -> Result<$answer> {
                self.call(stringify!($name), self.inner.$name($($argument),*)).await
            })*
        }
    };
}

flaky! { ExperimentTracker { capabilities -> TrackerCapabilities }
    fn ensure_experiment(spec: &ExperimentSpec) -> Experiment;
    fn experiment(name: &ExperimentName) -> Experiment;
    fn experiments(page: &PageRequest) -> Page<Experiment>;
    fn start_run(spec: &RunSpec) -> Run;
    fn write(run: &RunId, batch: &LogBatch) -> WriteReceipt;
    fn heartbeat(run: &RunId, lease: Duration) -> ();
    fn finish_run(run: &RunId, end: &RunEnd) -> Run;
    fn run(run: &RunId) -> Run;
    fn search_runs(query: &RunQuery) -> Page<Run>;
    fn history(run: &RunId, query: &HistoryQuery) -> Page<MetricPoint>;
    fn set_deleted(run: &RunId, deleted: bool) -> Run;
}

flaky! { ModelRegistry { capabilities -> RegistryCapabilities }
    fn register(version: &NewModelVersion) -> ModelVersion;
    fn get(reference: &ModelRef) -> ModelVersion;
    fn versions(model: &ModelName, page: &PageRequest) -> Page<ModelVersion>;
    fn models(page: &PageRequest) -> Page<ModelName>;
    fn set_alias(change: &AliasChange) -> AliasRecord;
    fn promote(promotion: &Promotion) -> AliasRecord;
    fn aliases(model: &ModelName) -> Vec<(Alias, Version)>;
    fn alias_history(model: &ModelName, alias: &Alias, page: &PageRequest) -> Page<AliasRecord>;
    fn set_tags(model: &ModelName, version: Version, tags: &Tags, actor: &ActorId) -> ModelVersion;
    fn set_archived(model: &ModelName, version: Version, archived: bool, actor: &ActorId) -> ModelVersion;
    fn link(edge: &Edge) -> ();
    fn lineage(node: &Node, direction: Direction, depth: u32) -> LineageGraph;
    fn events(after: u64, limit: usize) -> Vec<RegistryEvent>;
}

flaky! { SecretStore {}
    fn get(name: &SecretName) -> Secret;
    fn set(name: &SecretName, value: &Secret) -> ();
    fn remove(name: &SecretName) -> ();
    fn names() -> Vec<SecretName>;
}

flaky! { SweepJournal {}
    fn append(sweep: &RunId, entry: &SweepEntry) -> ();
    fn entries(sweep: &RunId, after: u64) -> Vec<SweepEntry>;
}

flaky! { PipelineJournal {}
    fn append(run: &RunId, entry: &PipelineEntry) -> ();
    fn entries(run: &RunId) -> Vec<PipelineEntry>;
}

flaky! { StepCache {}
    fn get(key: &StepKey) -> Option<StepRecord>;
    fn put(record: &StepRecord, claim: &Claim) -> ();
    fn claim(key: &StepKey, holder: &str, lease: Duration) -> Claimed;
    fn renew(claim: &Claim, lease: Duration) -> Claim;
    fn release(claim: &Claim) -> ();
    fn recent(component: &ComponentName, limit: usize) -> Vec<StepRecord>;
    fn remove(key: &StepKey) -> bool;
}

/// Many callers share the bad luck, so one call may need many attempts.
fn stubborn<T>(inner: T) -> Retrying<T> {
    let policy = RetryPolicy::default().with_attempts(10_000);
    let policy = policy.with_deadline(Duration::MAX);
    Retrying::new(inner, policy, Arc::new(NoPause)).unwrap()
}

// -------------------------------------------------------------------------------------------------------------- access

/// Everybody is somebody.
#[derive(Debug)]
struct Everybody;

impl Principals for Everybody {
    fn actor(&self, id: &ActorId) -> Option<Actor> {
        Some(Actor::new(id.clone(), ["any"]))
    }
}

/// Where everything is allowed.
fn authorized<T>(inner: T) -> Authorized<T> {
    let roles = Roles::new().with("any", Role::new(["*"]));
    Authorized::new(inner, Arc::new(RoleAuthorizer::new(roles)), Arc::new(Everybody), log(), actor())
}

fn id(name: &str) -> ActorId {
    ActorId::new(name).unwrap()
}

/// Everybody has the role of their name, and nobody else is known.
fn named() -> Arc<dyn Principals> {
    let names = ["trainer", "approver", "deployer", "reader"];
    let known: BTreeMap<ActorId, BTreeSet<String>> =
        names.into_iter().map(|name| (id(name), [name.to_owned()].into())).collect();
    Arc::new(known)
}

fn denied(error: &Error) -> &Denied {
    std::error::Error::source(error).and_then(|source| source.downcast_ref::<Denied>()).unwrap()
}

/// What was decided: the word, the subject, who.
async fn decisions(log: &MemoryAuditLog) -> Vec<(String, String, String)> {
    let records = log.read(0, 1000).await.unwrap();
    let said = |entry: AuditEntry| (entry.action, entry.subject, entry.actor.to_string());
    records.into_iter().map(|record| said(record.entry)).collect()
}

fn new_version(artifact: Digest, by: &str) -> NewModelVersion {
    let model = ConstantPredictor::new(Task::BinaryClassification, 0.5).unwrap();
    let (name, format) = (ModelName::new("churn").unwrap(), ModelFormat::new("mlops.constant/v1").unwrap());
    NewModelVersion::new(name, artifact, format, model.signature().clone(), id(by))
}

#[tokio::test]
async fn a_registry_refuses_by_role_and_every_decision_is_written_down_first() {
    let log = log();
    let artifacts = Arc::new(MemoryArtifactStore::default());
    let digest = artifacts.put_bytes(b"model".to_vec()).await.unwrap().digest;
    let authorizer = Arc::new(RoleAuthorizer::new(Roles::duties()));
    let registry = MemoryModelRegistry::new(artifacts, Arc::new(SystemClock::new()));
    let registry = Authorized::new(registry, authorizer, named(), log.clone(), id("reader"));
    registry.register(&new_version(digest, "trainer")).await.unwrap();
    let (model, alias) = (ModelName::new("churn").unwrap(), Alias::new("champion").unwrap());
    let change = |by: &str| AliasChange::new(model.clone(), alias.clone(), Version::FIRST, id(by));

    let error = registry.set_alias(&change("trainer")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    let refused = denied(&error);
    assert_eq!((&refused.actor, refused.action), (&id("trainer"), Action::ModelAlias));
    assert_eq!(refused.roles, BTreeSet::from(["trainer".to_owned()]));
    assert_eq!(refused.resource, "model/churn@champion");
    assert_eq!(error.message(), "none of the roles of `trainer` allows model.alias");
    assert!(registry.aliases(&model).await.unwrap().is_empty(), "the backend was not asked");

    registry.set_alias(&change("deployer")).await.unwrap();
    for (error, action) in [
        (registry.register(&new_version(digest, "stranger")).await.unwrap_err(), Action::ModelRegister),
        (
            registry.set_tags(&model, Version::FIRST, &Tags::new(), &id("approver")).await.unwrap_err(),
            Action::ModelTag,
        ),
        (
            registry.set_archived(&model, Version::FIRST, true, &id("deployer")).await.unwrap_err(),
            Action::ModelArchive,
        ),
    ] {
        assert_eq!((error.kind(), denied(&error).action), (ErrorKind::Auth, action), "{error}");
    }
    // Who acts where the call does not say it.
    let node = Node::Model { name: model.clone(), version: Version::FIRST };
    let rows = Node::Data { name: "rows".parse().unwrap(), version: Version::FIRST, digest };
    let edge = Edge { from: rows, to: node, relation: Relation::UsedBy };
    assert_eq!(denied(&registry.link(&edge).await.unwrap_err()).actor, id("reader"));

    let said = decisions(&log).await;
    let words: Vec<&str> = said.iter().map(|(word, ..)| word.as_str()).collect();
    assert_eq!(
        words,
        [
            "access.allow",
            "access.deny",
            "access.allow",
            "access.deny",
            "access.deny",
            "access.deny",
            "access.deny",
        ]
    );
    assert_eq!(said[1].1, "model.alias model/churn@champion");
    assert_eq!(said[3].2, "stranger");
}

/// What each of four roles may do to content, secrets and journals; reads are free, but for secrets.
#[tokio::test]
async fn content_secrets_and_journals_are_for_those_who_may() {
    let log = log();
    let roles = Roles::duties().with("keeper", Role::new(["secret.*", "artifact.collect"]));
    let authorizer = Arc::new(RoleAuthorizer::new(roles));
    let known: BTreeMap<ActorId, BTreeSet<String>> =
        ["trainer", "deployer", "keeper", "reader"].map(|name| (id(name), [name.to_owned()].into())).into();
    let known = Arc::new(known);
    let artifacts = Arc::new(MemoryArtifactStore::default());
    let (_, tree) =
        artifacts.put_files(&[("rows.csv".parse().unwrap(), b"x".to_vec().into())]).await.unwrap();
    let secrets = Arc::new(MemorySecretStore::default());
    let (rollouts, loops) = (Arc::new(VecJournal::default()), Arc::new(VecLoopJournal::default()));
    let (sweeps, pipelines) =
        (Arc::new(MemorySweepJournal::default()), Arc::new(MemoryPipelineJournal::default()));
    let (model, alias) = (ModelName::new("churn").unwrap(), Alias::new("champion").unwrap());
    let config = LoopConfig::new(model, alias, EndpointName::new("churn").unwrap(), id("bot"));
    let name = SecretName::new("db-password").unwrap();
    let run = RunId::generate();
    for (who, puts, collects, keeps_secrets, runs, journals) in [
        ("trainer", true, false, false, true, false),
        ("deployer", false, false, false, false, true),
        ("keeper", false, true, true, false, false),
        ("reader", false, false, false, false, false),
        ("stranger", false, false, false, false, false),
    ] {
        macro_rules! by {
            ($backend:expr) => {
                Authorized::new($backend.clone(), authorizer.clone(), known.clone(), log.clone(), id(who))
            };
        }
        let judge = |what: &str, done: Result<()>, may: bool| match done {
            Ok(()) => assert!(may, "{who} may not {what}"),
            Err(error) => assert_eq!((error.kind(), may), (ErrorKind::Auth, false), "{who}, {what}: {error}"),
        };
        let store = by!(artifacts);
        judge("put", store.put_bytes(who.as_bytes().to_vec()).await.map(drop), puts);
        judge("put a tree", store.put_tree(&tree).await.map(drop), puts);
        let (none, look) = (BTreeSet::new(), GcOptions::default().with_dry_run(true));
        assert!(store.collect_garbage(&none, &look).await.is_ok(), "nothing is removed");
        let young = GcOptions::default().with_grace(Duration::from_secs(3_600));
        judge("collect", store.collect_garbage(&none, &young).await.map(drop), collects);

        let vault = by!(secrets);
        judge("set a secret", vault.set(&name, &Secret::new("hunter2")).await, keeps_secrets);
        assert!(vault.names().await.is_ok());
        secrets.set(&name, &Secret::new("hunter2")).await.unwrap();
        judge("read a secret", vault.get(&name).await.map(drop), keeps_secrets);
        judge("remove a secret", vault.remove(&name).await, keeps_secrets);

        let rollout = Digest::of(who.as_bytes());
        let options = RolloutOptions::default();
        let plan = RolloutPlan::first("churn".parse().unwrap(), "blue".parse().unwrap(), id("bot"), options);
        let (at, state) = ("2026-01-01T00:00:00Z".parse().unwrap(), RolloutState::new(plan.unwrap()));
        let entry = JournalEntry::new(1, at, Event::Tick, state, Vec::new());
        judge("write a rollout", by!(rollouts).append(&rollout, &entry).await, journals);
        assert_eq!(by!(rollouts).entries(&rollout).await.unwrap().len(), usize::from(journals));
        let state = LoopState::new(config.clone(), None).with_id(IdempotencyKey::new(who).unwrap());
        let entry = LoopEntry::new(1, at, LoopEvent::Looked("drift".into()), None, Vec::new());
        judge("write a loop", by!(loops).append(&entry, &state).await, journals);
        assert_eq!(by!(loops).standing(&state.id).await.unwrap().is_some(), journals);

        // What the backend itself refuses is not what is asked here.
        let refused = |done: Result<()>| done.is_err_and(|error| error.kind() == ErrorKind::Auth);
        let resumed = PipelineEntry::new(1, at, PipelineEvent::Resumed);
        assert_eq!(refused(by!(pipelines).append(&run, &resumed).await), !runs, "{who}");
        assert!(by!(sweeps).entries(&run, 0).await.is_ok());
    }
    let said = decisions(&log).await;
    let of = |who: &str| -> Vec<&str> {
        said.iter().filter(|entry| entry.2 == who).map(|entry| entry.1.as_str()).collect()
    };
    // Who read a secret is written down, and no secret is; what is done all the time is written down when it is refused.
    let kept = ["artifact.collect", "secret.write", "secret.read", "secret.write"];
    let of_keeper: Vec<&str> =
        of("keeper").into_iter().filter(|subject| !subject.starts_with("artifact.put")).collect();
    assert!(
        kept.iter().zip(&of_keeper).all(|(action, subject)| subject.starts_with(action)),
        "{of_keeper:?}"
    );
    assert!(of("trainer").iter().all(|subject| !subject.starts_with("artifact.put")));
    assert!(of("reader").iter().any(|subject| subject.starts_with("artifact.put")));
    assert!(!format!("{:?}", log.read(0, 1_000).await.unwrap()).contains("hunter2"));
}

#[tokio::test]
async fn duties_are_told_apart_by_the_model_that_is_promoted_deployed_or_given_traffic() {
    let (clock, log) = (clock(), log());
    let artifacts = Arc::new(MemoryArtifactStore::new(clock.clone()));
    let model = ConstantPredictor::new(Task::BinaryClassification, 0.5).unwrap();
    let digest = artifacts.put_bytes(model.to_bytes().unwrap()).await.unwrap().digest;
    let registry = Arc::new(MemoryModelRegistry::new(artifacts.clone(), clock.clone()));
    registry.register(&new_version(digest, "ann")).await.unwrap();
    let everything = Roles::new().with("any", Role::new(["*"]));
    let duties = DutyLog::new().with(digest, Duty::Train, &id("ann")).with(digest, Duty::Approve, &id("ben"));
    let authorizer = Arc::new(SeparationOfDuties::new(everything, duties));
    let wrapped =
        Authorized::new(registry.clone(), authorizer.clone(), Arc::new(Everybody), log.clone(), actor());
    let (name, alias) = (ModelName::new("churn").unwrap(), Alias::new("champion").unwrap());
    let change = |by: &str| AliasChange::new(name.clone(), alias.clone(), Version::FIRST, id(by));
    for by in ["ann", "ben"] {
        let error = wrapped.set_alias(&change(by)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
        assert!(matches!(denied(&error).denial, Denial::SameActor { duty: Duty::Deploy, .. }), "{error}");
    }
    wrapped.set_alias(&change("cleo")).await.unwrap();
    // Taking the alias away is about the version that has it.
    let mut away = change("ann");
    (away.to, away.expected) = (None, Some(Version::FIRST));
    assert!(matches!(denied(&wrapped.set_alias(&away).await.unwrap_err()).denial, Denial::SameActor { .. }));

    let loader = Arc::new(BuiltinLoader);
    let deployer = MemoryDeployer::new(registry.clone(), artifacts, loader, clock);
    let deployer = Authorized::new(deployer, authorizer, Arc::new(Everybody), log.clone(), actor());
    let endpoint: EndpointName = "churn-prod".parse().unwrap();
    deployer.ensure_endpoint(&EndpointSpec::new(endpoint.clone(), id("ann"))).await.unwrap();
    let blue: DeploymentName = "blue".parse().unwrap();
    let spec =
        |by: &str| DeploymentSpec::new(endpoint.clone(), blue.clone(), name.clone(), Version::FIRST, id(by));
    // Without a registry it is not known which model it is: nobody may.
    let error = deployer.deploy(&spec("cleo")).await.unwrap_err();
    assert!(matches!(denied(&error).denial, Denial::NoSubject { .. }), "{error}");
    let deployer = deployer.with_registry(registry);
    assert_eq!(deployer.deploy(&spec("ann")).await.unwrap_err().kind(), ErrorKind::Rejected);
    deployer.deploy(&spec("cleo")).await.unwrap();
    let traffic = |by: &str| TrafficChange::new(endpoint.clone(), TrafficSplit::all_to(blue.clone()), id(by));
    let error = deployer.set_traffic(&traffic("ben")).await.unwrap_err();
    assert!(matches!(denied(&error).denial, Denial::SameActor { .. }), "{error}");
    assert_eq!(denied(&error).resource, "endpoint/churn-prod");
    // Copying requests to it is giving it requests.
    let mirror = |by: &str| {
        MirrorChange::new(
            endpoint.clone(),
            Some(Mirror::new(blue.clone(), Percent::new(10).unwrap())),
            id(by),
        )
    };
    let error = deployer.set_mirror(&mirror("ben")).await.unwrap_err();
    assert!(matches!(denied(&error).denial, Denial::SameActor { .. }), "{error}");
    deployer.set_mirror(&mirror("cleo")).await.unwrap();
    deployer.set_mirror(&mirror("cleo").with_mirror(None)).await.unwrap();
    deployer.set_traffic(&traffic("cleo")).await.unwrap();
    // Every decision about a model names it.
    let records = log.read(0, 100).await.unwrap();
    let about = records.iter().filter(|record| record.entry.subject.starts_with("endpoint.traffic"));
    assert_eq!(about.map(|record| record.entry.digest).collect::<Vec<_>>(), [Some(digest); 4]);
}

#[tokio::test]
async fn what_is_done_all_the_time_is_written_down_when_it_is_denied() {
    let log = log();
    let authorizer = Arc::new(RoleAuthorizer::new(Roles::duties()));
    let inner = Arc::new(MemoryTracker::default());
    let by = |name: &str| Authorized::new(inner.clone(), authorizer.clone(), named(), log.clone(), id(name));
    let tracker = by("trainer");
    let name = ExperimentName::new("e").unwrap();
    tracker.ensure_experiment(&ExperimentSpec::new(name.clone())).await.unwrap();
    let run = tracker.start_run(&RunSpec::new(name, "r", id("trainer"))).await.unwrap().id;
    for _ in 0..3 {
        tracker.write(&run, &one_point()).await.unwrap();
    }
    assert_eq!(log.read(0, 100).await.unwrap().len(), 2);
    let error = by("approver").write(&run, &one_point()).await.unwrap_err();
    assert_eq!(denied(&error).action, Action::RunWrite);
    assert_eq!(log.read(0, 100).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_decision_that_cannot_be_written_down_lets_nothing_happen() {
    let artifacts = Arc::new(MemoryArtifactStore::default());
    let digest = artifacts.put_bytes(b"model".to_vec()).await.unwrap().digest;
    let inner = Arc::new(MemoryModelRegistry::new(artifacts, Arc::new(SystemClock::new())));
    let authorizer = Arc::new(RoleAuthorizer::new(Roles::duties()));
    let registry = Authorized::new(inner.clone(), authorizer, named(), Arc::new(Full), actor());
    let error = registry.register(&new_version(digest, "trainer")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(inner.models(&PageRequest::default()).await.unwrap().items.is_empty());
}

// -------------------------------------------------------------------------------------------------------------- suites

fn trackers<T: ExperimentTracker>(wrap: impl FnOnce(MemoryTracker, MemoryTracker) -> T) -> TrackerUnderTest {
    let clock = clock();
    let [one, two] = [clock.clone(), clock.clone()].map(|clock| MemoryTracker::new(clock));
    TrackerUnderTest::new(Arc::new(wrap(one, two))).with_clock(clock)
}

fn log() -> Arc<MemoryAuditLog> {
    Arc::default()
}

mlops_core::experiment_tracker_suite!(retrying_tracker, trackers(|one, _| stubborn(Flaky::new(one))));
mlops_core::experiment_tracker_suite!(audited_tracker, trackers(|one, _| Audited::new(one, log(), actor())));
mlops_core::experiment_tracker_suite!(authorized_tracker, trackers(|one, _| authorized(one)));
mlops_core::experiment_tracker_suite!(teed_tracker, trackers(Tee::new));

fn registries<T: ModelRegistry>(wrap: impl FnOnce(MemoryModelRegistry) -> T) -> RegistryUnderTest {
    let clock = clock();
    let artifacts = Arc::new(MemoryArtifactStore::default());
    let [gated, approved] = ["staging", "champion"].map(|alias| Alias::new(alias).unwrap());
    let registry = MemoryModelRegistry::new(artifacts.clone(), clock.clone())
        .with_protected(gated.clone(), Protection::Gate)
        .with_protected(approved.clone(), Protection::GateAndApproval);
    let registry = Arc::new(wrap(registry));
    RegistryUnderTest::new(registry, artifacts).with_clock(clock).with_gated(gated).with_approved(approved)
}

mlops_core::model_registry_suite!(retrying_registry, registries(|one| stubborn(Flaky::new(one))));
mlops_core::model_registry_suite!(audited_registry, registries(|one| Audited::new(one, log(), actor())));

mlops_core::model_registry_suite!(authorized_registry, registries(authorized));

fn artifacts<T: ArtifactStore>(
    wrap: impl FnOnce(Arc<MemoryArtifactStore>, Arc<MemoryArtifactStore>) -> T,
) -> ArtifactsUnderTest {
    let clock = clock();
    let [one, two] = [clock.clone(), clock.clone()].map(|clock| Arc::new(MemoryArtifactStore::new(clock)));
    let damaged = one.clone();
    ArtifactsUnderTest::new(Arc::new(wrap(one, two)))
        .with_clock(clock)
        .with_damage(move |digest| damaged.damage(digest))
}

mlops_core::artifact_store_suite!(retrying_artifacts, artifacts(|one, _| stubborn(one)));
mlops_core::artifact_store_suite!(teed_artifacts, artifacts(Tee::new));
mlops_core::artifact_store_suite!(authorized_artifacts, artifacts(|one, _| authorized(one)));

fn assets<T: DataAssetStore>(wrap: impl FnOnce(MemoryDataAssetStore) -> T) -> DataAssetsUnderTest {
    let artifacts = Arc::new(MemoryArtifactStore::default());
    let damaged = artifacts.clone();
    let store = Arc::new(wrap(MemoryDataAssetStore::new(artifacts.clone(), clock())));
    DataAssetsUnderTest::new(store, artifacts).with_damage(move |digest| damaged.damage(digest))
}

mlops_core::data_asset_store_suite!(
    audited_and_retrying_assets,
    assets(|one| Audited::new(stubborn(one), log(), actor()))
);
mlops_core::data_asset_store_suite!(authorized_assets, assets(authorized));

fn audit_log() -> AuditUnderTest {
    let clock = clock();
    AuditUnderTest::new(Arc::new(stubborn(MemoryAuditLog::new(clock.clone())))).with_clock(clock)
}

fn sweeps<T: SweepJournal>(wrap: impl FnOnce(MemorySweepJournal) -> T) -> SweepsUnderTest {
    SweepsUnderTest::new(Arc::new(wrap(MemorySweepJournal::default())))
}

mlops_core::sweep_journal_suite!(retrying_sweeps, sweeps(|one| stubborn(Flaky::new(one))));
mlops_core::sweep_journal_suite!(authorized_sweeps, sweeps(authorized));
mlops_core::sweep_journal_suite!(audited_sweeps, sweeps(|one| Audited::new(one, log(), actor())));

fn pipelines<T: PipelineJournal>(wrap: impl FnOnce(MemoryPipelineJournal) -> T) -> PipelineJournalUnderTest {
    PipelineJournalUnderTest::new(Arc::new(wrap(MemoryPipelineJournal::default())))
}

mlops_core::pipeline_journal_suite!(retrying_pipelines, pipelines(|one| stubborn(Flaky::new(one))));
mlops_core::pipeline_journal_suite!(authorized_pipelines, pipelines(authorized));
mlops_core::pipeline_journal_suite!(audited_pipelines, pipelines(|one| Audited::new(one, log(), actor())));

fn steps<T: StepCache>(wrap: impl FnOnce(MemoryStepCache) -> T) -> StepCacheUnderTest {
    let clock = clock();
    let artifacts = Arc::new(MemoryArtifactStore::new(clock.clone()));
    let cache = wrap(MemoryStepCache::new(artifacts.clone(), clock.clone()));
    StepCacheUnderTest::new(Arc::new(cache), artifacts, clock)
}

mlops_core::step_cache_suite!(retrying_steps, steps(|one| stubborn(Flaky::new(one))));
mlops_core::step_cache_suite!(audited_steps, steps(|one| Audited::new(one, log(), actor())));
mlops_core::step_cache_suite!(authorized_steps, steps(authorized));

mlops_core::rollout_journal_suite!(
    authorized_rollouts,
    JournalUnderTest::new(Arc::new(authorized(VecJournal::default())))
);
mlops_core::loop_journal_suite!(
    authorized_loops,
    LoopJournalUnderTest::new(Arc::new(authorized(VecLoopJournal::default())))
);

mlops_core::audit_log_suite!(retrying_log, audit_log());
mlops_core::secret_store_suite!(
    retrying_secrets,
    SecretsUnderTest::new(Arc::new(stubborn(Flaky::new(MemorySecretStore::default()))))
);
mlops_core::secret_store_suite!(
    authorized_secrets,
    SecretsUnderTest::new(Arc::new(authorized(MemorySecretStore::default())))
);
mlops_core::alert_sink_suite!(
    teed_and_retrying_alerts,
    AlertsUnderTest::new(Arc::new(Tee::new(
        stubborn(MemoryAlertSink::default()),
        MemoryAlertSink::default()
    )))
);

// ------------------------------------------------------------------------------------------------------- what they add

/// Remembers how long it was asked to wait.
#[derive(Debug, Default)]
struct Waits(std::sync::Mutex<Vec<Duration>>);

#[async_trait]
impl Pause for Waits {
    async fn pause(&self, duration: Duration) {
        self.0.lock().unwrap().push(duration);
    }
}

/// A store that cannot be reached.
#[derive(Debug)]
struct Down(ErrorKind);

#[async_trait]
impl SecretStore for Down {
    async fn get(&self, _: &SecretName) -> Result<Secret> {
        Err(Error::new(self.0, "Down", "nobody is there"))
    }

    async fn set(&self, _: &SecretName, _: &Secret) -> Result<()> {
        Err(Error::new(self.0, "Down", "nobody is there"))
    }

    async fn remove(&self, _: &SecretName) -> Result<()> {
        Err(Error::new(self.0, "Down", "nobody is there"))
    }

    async fn names(&self) -> Result<Vec<SecretName>> {
        Err(Error::new(self.0, "Down", "nobody is there"))
    }
}

#[tokio::test]
async fn waits_grow_vary_and_end() {
    let waits = Arc::new(Waits::default());
    let policy = RetryPolicy::default().with_attempts(6);
    let store = Retrying::new(Down(ErrorKind::Transport), policy, waits.clone()).unwrap();
    let error = store.names().await.unwrap_err();
    assert_eq!((error.kind(), error.context("attempts")), (ErrorKind::Transport, Some("6")));
    let waits = waits.0.lock().unwrap().clone();
    assert_eq!(waits.len(), 5);
    for (n, wait) in waits.iter().enumerate() {
        let most = policy.base * 2_u32.pow(u32::try_from(n).unwrap());
        assert!(most.min(policy.longest) / 2 <= *wait && *wait <= most, "wait {n}: {wait:?} of {most:?}");
    }
    let other = Arc::new(Waits::default());
    let policy = policy.with_seed(1);
    let store = Retrying::new(Down(ErrorKind::Transport), policy, other.clone()).unwrap();
    store.names().await.unwrap_err();
    assert_ne!(*other.0.lock().unwrap(), waits, "another seed waits otherwise");
}

#[tokio::test]
async fn what_cannot_succeed_later_is_tried_once() {
    for kind in [ErrorKind::NotFound, ErrorKind::Conflict, ErrorKind::UnknownOutcome, ErrorKind::Auth] {
        let waits = Arc::new(Waits::default());
        let store = Retrying::new(Down(kind), RetryPolicy::default(), waits.clone()).unwrap();
        assert_eq!(store.names().await.unwrap_err().kind(), kind);
        assert!(waits.0.lock().unwrap().is_empty(), "{kind}");
    }
}

#[tokio::test]
async fn no_wait_is_begun_that_ends_after_the_deadline() {
    let waits = Arc::new(Waits::default());
    let policy = RetryPolicy::default().with_deadline(Duration::from_millis(50));
    let store = Retrying::new(Down(ErrorKind::Busy), policy, waits.clone()).unwrap();
    assert_eq!(store.names().await.unwrap_err().context("attempts"), Some("1"));
    assert!(waits.0.lock().unwrap().is_empty());
}

async fn run_in(tracker: &dyn ExperimentTracker) -> RunId {
    let name = ExperimentName::new("e").unwrap();
    tracker.ensure_experiment(&ExperimentSpec::new(name.clone())).await.unwrap();
    tracker.start_run(&RunSpec::new(name, "r", actor())).await.unwrap().id
}

fn one_point() -> LogBatch {
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    LogBatch::new().metric(MetricPoint::new(MetricKey::new("m").unwrap(), 1.0, at))
}

#[tokio::test]
async fn the_receipt_is_that_of_the_attempt_that_came_through() {
    for luck in 0..3 {
        let tracker = stubborn(Flaky::new(MemoryTracker::default()));
        let run = run_in(&tracker).await;
        tracker.inner().calls.store(luck, Ordering::SeqCst);
        assert_eq!(tracker.write(&run, &one_point()).await.unwrap().new_points, 1, "{luck}");
    }
}

#[tokio::test]
async fn a_change_that_fails_is_written_down_with_its_outcome() {
    let log = log();
    let artifacts = Arc::new(MemoryArtifactStore::default());
    let registry = MemoryModelRegistry::new(artifacts, Arc::new(SystemClock::new()));
    let registry = Audited::new(registry, log.clone(), actor());
    let (model, alias) = (ModelName::new("m").unwrap(), Alias::new("a").unwrap());
    let change = AliasChange::new(model, alias, Version::FIRST, ActorId::new("somebody").unwrap());
    for _ in 0..2 {
        assert_eq!(registry.set_alias(&change).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    let records = log.read(0, 10).await.unwrap();
    let shown: Vec<_> = records
        .iter()
        .map(|r| (r.entry.actor.as_str(), r.entry.action.as_str(), r.entry.detail.as_str()))
        .collect();
    // Repeated, it is the same change, and the same records.
    assert_eq!(shown, [("somebody", "model.alias.begin", ""), ("somebody", "model.alias.end", "not found")]);
}

#[tokio::test]
async fn a_change_of_traffic_is_written_down_with_what_it_is_to() {
    let log = log();
    let artifacts = Arc::new(MemoryArtifactStore::default());
    let registry = Arc::new(MemoryModelRegistry::new(artifacts.clone(), Arc::new(SystemClock::new())));
    let (loader, clock) = (Arc::new(BuiltinLoader), Arc::new(SystemClock::new()));
    let deployer = MemoryDeployer::new(registry, artifacts, loader, clock);
    let deployer = Audited::new(deployer, log.clone(), actor());
    let endpoint: EndpointName = "scores".parse().unwrap();
    let (blue, green): (DeploymentName, DeploymentName) = ("blue".parse().unwrap(), "green".parse().unwrap());
    // There is nothing of all this: what was asked for is written down all the same.
    let split = TrafficSplit::canary(blue, green.clone(), Percent::new(10).unwrap()).unwrap();
    let forth = TrafficChange::new(endpoint.clone(), split, actor());
    let back = TrafficChange::new(endpoint.clone(), TrafficSplit::none(), actor());
    for change in [&forth, &back, &forth] {
        assert_eq!(deployer.set_traffic(change).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    let mirror = |mirror| MirrorChange::new(endpoint.clone(), mirror, actor()).expecting(3);
    let on = mirror(Some(Mirror::new(green.clone(), Percent::new(25).unwrap())));
    let off = mirror(None);
    for change in [&on, &off] {
        assert_eq!(deployer.set_mirror(change).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    let model = ModelName::new("risk").unwrap();
    let spec = DeploymentSpec::new(endpoint, green, model, Version::new(3).unwrap(), actor());
    deployer.deploy(&spec).await.unwrap_err();
    let records = log.read(0, 100).await.unwrap();
    let begun: Vec<_> = records
        .iter()
        .filter(|record| record.entry.action.ends_with(".begin"))
        .map(|record| (record.entry.detail.as_str(), record.entry.digest.unwrap()))
        .collect();
    assert_eq!(
        begun,
        [
            ("blue 90 %, green 10 %", digest_json(&forth).unwrap()),
            ("no traffic", digest_json(&back).unwrap()),
            ("25 % to green", digest_json(&on).unwrap()),
            ("no mirror", digest_json(&off).unwrap()),
            ("risk:3", digest_json(&spec).unwrap()),
        ]
    );
    let ended: Vec<_> = records.iter().filter(|record| record.entry.action.ends_with(".end")).collect();
    assert!(ended.iter().zip(&begun).all(|(end, (_, digest))| end.entry.digest == Some(*digest)));
    assert!(ended.iter().all(|end| end.entry.detail == "not found"), "{ended:?}");
}

#[tokio::test]
async fn an_experiment_that_is_made_is_written_down() {
    let log = log();
    let tracker = Audited::new(MemoryTracker::default(), log.clone(), actor());
    let spec = ExperimentSpec::new(ExperimentName::new("diabetes").unwrap());
    tracker.ensure_experiment(&spec).await.unwrap();
    let told = told(&log).await;
    let actions: Vec<_> = told.iter().map(|(action, _)| action.as_str()).collect();
    assert_eq!(actions, ["experiment.ensure.begin", "experiment.ensure.end"]);
    assert_eq!(log.read(0, 1).await.unwrap()[0].entry.subject, "experiment/diabetes");
}

/// The actions of a log's records, one after the other, and who acted.
async fn told(log: &MemoryAuditLog) -> Vec<(String, String)> {
    let records = log.read(0, 100).await.unwrap();
    records.into_iter().map(|r| (r.entry.action, r.entry.actor.to_string())).collect()
}

fn sweep_spec() -> SweepSpec {
    let space = SearchSpace::new([("x", Distribution::float(0.0, 1.0))]).unwrap();
    let (experiment, metric) = (ExperimentName::new("e").unwrap(), MetricKey::new("loss").unwrap());
    let (owner, sampler) = (ActorId::new("owner").unwrap(), SamplerSpec::Random(Default::default()));
    SweepSpec::new(experiment, "s", owner, metric, Goal::Minimize, space, sampler)
        .with_budget(Budget::trials(5))
}

#[tokio::test]
async fn a_sweep_over_a_bad_network_is_whole_and_its_beginning_and_end_are_written_down() {
    let log = log();
    let journal = Audited::new(stubborn(Flaky::new(MemorySweepJournal::default())), log.clone(), actor());
    let sweep = Sweep::new(sweep_spec(), Arc::new(journal)).unwrap();
    let summary = sweep.run(|trial| async move { Ok(trial.assignment().float("x")?) }).await.unwrap();
    assert_eq!(summary.trials.completed, 5);
    let (owner, own) = ("owner", "wrapper");
    let expected = [
        ("sweep.create.begin", owner),
        ("sweep.create.end", owner),
        ("sweep.open.begin", own),
        ("sweep.open.end", own),
        ("sweep.end.begin", own),
        ("sweep.end.end", own),
    ];
    let expected = expected.map(|(action, actor)| (action.to_owned(), actor.to_owned()));
    assert_eq!(told(&log).await, expected);
}

#[tokio::test]
async fn an_entry_that_is_appended_again_is_written_down_once() {
    let log = log();
    let journal = Audited::new(MemoryPipelineJournal::default(), log.clone(), actor());
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    let (run, entry) = (RunId::generate(), PipelineEntry::new(1, at, PipelineEvent::Resumed));
    for _ in 0..3 {
        journal.append(&run, &entry).await.unwrap();
    }
    let told = told(&log).await;
    assert_eq!(
        told.iter().map(|(action, _)| action.as_str()).collect::<Vec<_>>(),
        ["pipeline.resume.begin", "pipeline.resume.end"]
    );
    // A failure is another outcome of another change.
    let gap = PipelineEntry::new(7, at, PipelineEvent::Resumed);
    assert_eq!(journal.append(&run, &gap).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(log.read(3, 1).await.unwrap()[0].entry.detail, "conflict");
}

#[tokio::test]
async fn a_journal_that_cannot_be_written_down_takes_nothing() {
    let journal = Arc::new(MemorySweepJournal::default());
    let audited = Audited::new(journal.clone(), Arc::new(Full), actor());
    let sweep = Sweep::new(sweep_spec(), Arc::new(audited)).unwrap();
    let error = sweep.run(|_| async { Ok(0.0) }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(journal.entries(&sweep_spec().id(), 0).await.unwrap().is_empty());
}

/// A log that is full.
#[derive(Debug)]
struct Full;

#[async_trait]
impl AuditLog for Full {
    async fn append(&self, _: &AuditEntry) -> Result<mlops_core::governance::AuditRecord> {
        Err(Error::new(ErrorKind::Storage, "Full", "no space"))
    }

    async fn read(&self, _: u64, _: usize) -> Result<Vec<mlops_core::governance::AuditRecord>> {
        Ok(Vec::new())
    }

    async fn checkpoint(&self) -> Result<mlops_core::governance::Checkpoint> {
        Err(Error::new(ErrorKind::Storage, "Full", "no space"))
    }

    async fn verify(
        &self,
        _: Option<&mlops_core::governance::Checkpoint>,
    ) -> Result<mlops_core::governance::AuditVerification> {
        Err(Error::new(ErrorKind::Storage, "Full", "no space"))
    }
}

#[tokio::test]
async fn nothing_is_done_that_cannot_be_written_down() {
    let tracker = MemoryTracker::default();
    let run = run_in(&tracker).await;
    let audited = Audited::new(tracker, Arc::new(Full), actor());
    assert_eq!(audited.set_deleted(&run, true).await.unwrap_err().kind(), ErrorKind::Storage);
    assert!(!audited.run(&run).await.unwrap().deleted);
}

#[tokio::test]
async fn both_backends_of_a_tee_keep_the_same() {
    let tee = Tee::new(MemoryTracker::default(), MemoryTracker::default());
    let run = run_in(&tee).await;
    tee.write(&run, &one_point()).await.unwrap();
    tee.finish_run(&run, &RunEnd::FINISHED).await.unwrap();
    assert_eq!(tee.first().run(&run).await.unwrap(), tee.second().run(&run).await.unwrap());
}

#[tokio::test]
async fn a_failure_of_the_second_backend_is_heard() {
    // The second does not know the run: it was started before the two came together.
    let first = MemoryTracker::default();
    let run = run_in(&first).await;
    let tee = Tee::new(first, MemoryTracker::default());
    let error = tee.write(&run, &one_point()).await.unwrap_err();
    assert_eq!((error.kind(), error.context("backend")), (ErrorKind::NotFound, Some("second")));

    let tee = tee.with_policy(TeePolicy::Report);
    let receipt = tee.write(&run, &one_point()).await.unwrap();
    assert_eq!(
        receipt.degraded.iter().map(|d| d.subject.as_str()).collect::<BTreeSet<_>>(),
        BTreeSet::from(["the second backend"])
    );
    let (failures, count) = tee.failures();
    assert_eq!(
        (failures[0].operation, failures[0].error.kind(), count),
        ("ExperimentTracker::write", ErrorKind::NotFound, 1)
    );
    assert_eq!(tee.failures().1, 0, "they are taken out");
}
