//! What governance judges, read from real stores: an inventory, evidence of maturity, and provenance.

use std::sync::Arc;

use mlops_core::artifact::ArtifactStoreExt as _;
use mlops_core::data::{AssetKind, Column, DataAssetStore as _, NewDataAsset, Table};
use mlops_core::deploy::{Deployer as _, DeploymentSpec, EndpointSpec, TrafficChange, TrafficSplit};
use mlops_core::evaluation::{CriterionResult, GateDecision, Verdict};
use mlops_core::experiment::{
    Capsule, DataInput, ExperimentSpec, ExperimentTracker as _, LogBatch, MetricPoint, RunEnd, RunSpec,
    RunStatus,
};
use mlops_core::governance::hygiene::{HygieneRules, ItemId, ItemKind, sweep};
use mlops_core::governance::maturity::{MaturityLevel, Measure, assess, criteria};
use mlops_core::governance::{Approval, ApprovalDecision, ApprovalRequest, AuditLogExt as _};
use mlops_core::hash::Digest;
use mlops_core::memory::{
    MemoryArtifactStore, MemoryAuditLog, MemoryDataAssetStore, MemoryDeployer, MemoryModelRegistry,
    MemoryMonitor, MemoryTracker,
};
use mlops_core::model::{ModelFormat, Predictions, Predictor as _};
use mlops_core::monitor::{
    DriftDetector, DriftReport, DriftVerdict, FeatureDrift, FeatureOutcome, FeatureScore, Monitor as _,
    MonitorSpec, Observations, SignalKind, SignalSpec, Window,
};
use mlops_core::oversight::provenance::{ProvenanceOptions, statement};
use mlops_core::oversight::{ProbeOptions, Stores};
use mlops_core::problem::Task;
use mlops_core::registry::{
    Direction, Edge, LineageGraph, ModelRef, ModelRegistry as _, ModelVersion, NewModelVersion, Node,
    Promotion, Relation,
};
use mlops_core::serve::{BuiltinLoader, ConstantPredictor};
use mlops_core::time::{Clock as _, ManualClock, Timestamp};
use mlops_core::wrap::Audited;
use mlops_core::{ActorId, EndpointName, ErrorKind, IdempotencyKey, ModelName, MonitorName, RunId, Version};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn actor(name: &str) -> ActorId {
    ActorId::new(name).unwrap()
}

struct World {
    clock: Arc<ManualClock>,
    artifacts: Arc<MemoryArtifactStore>,
    stores: Stores,
}

fn world() -> World {
    let clock = Arc::new(ManualClock::at(at("2025-01-01T00:00:00Z")));
    let artifacts = Arc::new(MemoryArtifactStore::new(clock.clone()));
    let audit = Arc::new(MemoryAuditLog::new(clock.clone()));
    let registry = Arc::new(MemoryModelRegistry::new(artifacts.clone(), clock.clone()));
    let deployer =
        MemoryDeployer::new(registry.clone(), artifacts.clone(), Arc::new(BuiltinLoader), clock.clone());
    let stores = Stores::new(
        Arc::new(MemoryDataAssetStore::new(artifacts.clone(), clock.clone())),
        Arc::new(MemoryTracker::new(clock.clone())),
        Arc::new(Audited::new(registry, audit.clone(), actor("pipeline"))),
        Arc::new(Audited::new(deployer, audit.clone(), actor("pipeline"))),
        audit,
    );
    World { clock, artifacts, stores }
}

impl World {
    async fn data(&self, name: &str) -> DataInput {
        let file = ("rows.csv".parse().unwrap(), name.as_bytes().to_vec().into());
        let (tree, _) = self.artifacts.put_files(&[file]).await.unwrap();
        let digest = tree.digest;
        let asset = NewDataAsset::stored(name.parse().unwrap(), AssetKind::Table, digest, actor("ingest"));
        let asset = self.stores.data.register(&asset).await.unwrap();
        DataInput::new(asset.spec.name, asset.version, digest, "training")
    }

    /// A run on data, and the model version it made.
    async fn version(&self, data: &DataInput, by: &str, value: f64) -> ModelVersion {
        let experiment = "churn".parse().unwrap();
        self.stores.tracker.ensure_experiment(&ExperimentSpec::new(experiment)).await.unwrap();
        let mut capsule = Capsule::default().with_seed("split", 7);
        capsule.code.commit = Some("0123456789abcdef0123456789abcdef01234567".to_owned());
        let spec = RunSpec::new("churn".parse().unwrap(), "run", actor(by)).with_capsule(capsule);
        let run = self.stores.tracker.start_run(&spec).await.unwrap();
        let point = MetricPoint::new("auc".parse().unwrap(), 0.8, self.clock.now());
        let batch = LogBatch::new().metric(point).param("depth".parse().unwrap(), 3).input(data.clone());
        self.stores.tracker.write(&run.id, &batch).await.unwrap();
        let end = RunEnd::new(RunStatus::Finished);
        self.stores.tracker.finish_run(&run.id, &end).await.unwrap();
        let model = ConstantPredictor::new(Task::BinaryClassification, value).unwrap();
        let blob = self.artifacts.put_bytes(model.to_bytes().unwrap()).await.unwrap();
        let format = ModelFormat::new("mlops.constant/v1").unwrap();
        let signature = model.signature().clone();
        let new = NewModelVersion::new("churn".parse().unwrap(), blob.digest, format, signature, actor(by));
        let new = new.with_run(run.id).with_data(data.clone()).with_metric("auc".parse().unwrap(), 0.8);
        self.stores.registry.register(&new).await.unwrap()
    }

    async fn promote(&self, version: &ModelVersion, expected: Option<Version>, by: &str, until: Timestamp) {
        let (digest, now) = (Digest::of(b"x"), self.clock.now());
        let criteria = vec![CriterionResult::new("auc", Verdict::Pass, None, "good")];
        let gate = GateDecision::new("release", digest, version.spec.artifact, digest, None, now, criteria);
        let request = ApprovalRequest::new(gate.digest().unwrap(), "Promote?", actor("pipeline"), until);
        let yes = ApprovalDecision::Approved;
        let approval = Approval::answer(&request, yes, actor("risk-officer"), "", now);
        let promotion = Promotion::new(
            version.spec.model.clone(),
            version.version,
            "champion".parse().unwrap(),
            gate,
            actor(by),
        )
        .expecting(expected)
        .with_approval(approval);
        self.stores.registry.promote(&promotion).await.unwrap();
    }

    async fn deploy(&self, version: &ModelVersion, name: &str) {
        let endpoint = || "churn-prod".parse().unwrap();
        let spec = EndpointSpec::new(endpoint(), actor("pipeline"));
        self.stores.deployer.ensure_endpoint(&spec).await.unwrap();
        let (model, by) = (version.spec.model.clone(), actor("pipeline"));
        let spec = DeploymentSpec::new(endpoint(), name.parse().unwrap(), model, version.version, by);
        self.stores.deployer.deploy(&spec).await.unwrap();
    }

    async fn traffic(&self, to: &str, by: &str) {
        let split = TrafficSplit::all_to(to.parse().unwrap());
        let (key, endpoint) = (IdempotencyKey::generate(), "churn-prod".parse().unwrap());
        let change = TrafficChange::new(endpoint, split, actor(by)).with_key(key);
        self.stores.deployer.set_traffic(&change).await.unwrap();
    }
}

fn rules() -> HygieneRules {
    let mut rules = HygieneRules::default();
    rules.keep_last = 0;
    rules
}

#[tokio::test]
async fn a_sweep_of_real_stores_offers_what_nothing_reaches() {
    let world = world();
    let (used, unused) = (world.data("used").await, world.data("unused").await);
    let first = world.version(&used, "pipeline", 0.1).await;
    let second = world.version(&used, "pipeline", 0.2).await;
    let third = world.version(&unused, "pipeline", 0.3).await;
    world.deploy(&first, "blue").await;
    world.deploy(&second, "green").await;
    world.traffic("blue", "pipeline").await;
    world.promote(&second, None, "pipeline", at("2025-01-02T00:00:00Z")).await;
    world.clock.set(at("2026-01-01T00:00:00Z"));
    world.traffic("blue", "pipeline").await;
    let judge = async |now: &str| {
        let inventory = world.stores.inventory(&[]).await.unwrap();
        let found = sweep(&inventory, &rules(), at(now)).unwrap();
        assert!(found.gaps.is_empty(), "{:?}", found.gaps);
        found.proposals.into_iter().map(|p| p.item.to_string()).collect::<Vec<_>>()
    };
    let run = format!("run churn:{}", third.spec.run.clone().unwrap());
    let gone = ["model churn:3".to_owned(), run, "data unused:1".to_owned()];
    // Traffic was moved just now: nobody knows yet that green is idle.
    assert_eq!(judge("2026-01-08T00:00:00Z").await, gone);
    let mut idle = vec!["deployment churn-prod:green".to_owned()];
    idle.extend(gone.clone());
    assert_eq!(judge("2026-01-08T00:00:01Z").await, idle);
    // A model that is on the way to a model that is deployed is one of its origins.
    let from = Node::Model { name: "churn".parse().unwrap(), version: third.version };
    let to = Node::Model { name: "churn".parse().unwrap(), version: first.version };
    world.stores.registry.link(&Edge { from, to, relation: Relation::UsedBy }).await.unwrap();
    assert_eq!(judge("2026-01-08T00:00:00Z").await, Vec::<String>::new());
}

#[tokio::test]
async fn an_approval_by_which_an_alias_moved_keeps_the_model_while_it_is_in_force() {
    let world = world();
    let data = world.data("rows").await;
    let first = world.version(&data, "pipeline", 0.1).await;
    let second = world.version(&data, "pipeline", 0.2).await;
    world.promote(&first, None, "pipeline", at("2026-06-01T00:00:00Z")).await;
    world.promote(&second, Some(first.version), "pipeline", at("2025-02-01T00:00:00Z")).await;
    let offered = async |now: &str| {
        let inventory = world.stores.inventory(&[]).await.unwrap();
        let found = sweep(&inventory, &rules(), at(now)).unwrap();
        let model = ItemId::new(ItemKind::Model, "churn", "1");
        found.proposals.iter().any(|p| p.item == model)
    };
    assert!(!offered("2026-05-31T00:00:00Z").await);
    assert!(offered("2026-06-01T00:00:00Z").await);
}

#[tokio::test]
async fn traffic_that_was_moved_past_the_log_makes_nothing_idle() {
    let mut world = world();
    let data = world.data("rows").await;
    let version = world.version(&data, "pipeline", 0.1).await;
    let silent = MemoryDeployer::new(
        world.stores.registry.clone(),
        world.artifacts.clone(),
        Arc::new(BuiltinLoader),
        world.clock.clone(),
    );
    world.stores.deployer = Arc::new(silent);
    world.deploy(&version, "blue").await;
    world.deploy(&version, "green").await;
    world.traffic("blue", "pipeline").await;
    let found =
        sweep(&world.stores.inventory(&[]).await.unwrap(), &rules(), at("2027-01-01T00:00:00Z")).unwrap();
    assert!(found.proposals.is_empty(), "{:?}", found.proposals);
}

fn options() -> ProbeOptions {
    ProbeOptions::new(at("2025-01-01T00:00:00Z"), "champion".parse().unwrap())
        .with_automation(actor("pipeline"))
}

#[tokio::test]
async fn evidence_is_counted_in_the_stores() {
    let world = world();
    let data = world.data("rows").await;
    let automatic = world.version(&data, "pipeline", 0.1).await;
    let manual = world.version(&data, "ann", 0.2).await;
    world.deploy(&automatic, "blue").await;
    world.deploy(&manual, "green").await;
    world.traffic("blue", "pipeline").await;
    world.traffic("green", "ann").await;
    world.promote(&automatic, None, "pipeline", at("2025-02-01T00:00:00Z")).await;
    world.promote(&manual, Some(automatic.version), "ann", at("2025-02-01T00:00:00Z")).await;
    // Back to what was champion before: no release.
    world.promote(&automatic, Some(manual.version), "ann", at("2025-02-01T00:00:00Z")).await;
    world.stores.audit.record(&actor("pipeline"), "retrain.train", "model/churn", "drift").await.unwrap();
    let evidence = world.stores.evidence(None, &options()).await.unwrap();
    for (measure, good, of) in [
        (Measure::RunsWithCode, 2, 2),
        (Measure::RunsWithResults, 2, 2),
        (Measure::RunsWithData, 2, 2),
        (Measure::VersionsFromRuns, 2, 2),
        (Measure::AutomatedTraining, 1, 2),
        (Measure::GatedReleases, 2, 2),
        (Measure::AutomatedReleases, 1, 2),
        (Measure::AutomatedDeployments, 1, 2),
        (Measure::TracedDeployments, 2, 2),
        (Measure::IntactAuditLogs, 1, 1),
        (Measure::MeasuredDeployments, 0, 1),
        (Measure::TriggeredTrainings, 1, 1),
    ] {
        let count = evidence.counts[&measure];
        assert_eq!((count.good, count.of), (good, of), "{measure:?}");
    }
    assert!(!evidence.counts.contains_key(&Measure::MonitoredEndpoints), "no monitor was given");
    let found = assess(&criteria(), &evidence, world.clock.now()).unwrap();
    assert_eq!(found.level, MaturityLevel::NoMlops, "nobody has attested anything");
    // What began before is not how it is now.
    let late = ProbeOptions::new(at("2025-01-01T00:00:01Z"), "champion".parse().unwrap());
    let counts = world.stores.evidence(None, &late).await.unwrap().counts;
    assert_eq!((counts[&Measure::RunsWithCode].of, counts[&Measure::AutomatedReleases].of), (0, 0));
    // A log whose end was cut off is not intact, and what it says is not counted.
    let checkpoint = mlops_core::governance::Checkpoint { size: 1_000, head: Digest::of(b"later") };
    let cut = options().with_checkpoint(checkpoint);
    let counts = world.stores.evidence(None, &cut).await.unwrap().counts;
    assert_eq!(counts[&Measure::IntactAuditLogs].good, 0);
    assert_eq!(counts[&Measure::TriggeredTrainings].of, 0);
}

/// Finds that nothing changed.
#[derive(Debug)]
struct Quiet;

impl DriftDetector for Quiet {
    fn name(&self) -> &str {
        "quiet"
    }

    fn features(&self) -> Vec<String> {
        vec!["age".to_owned()]
    }

    fn detect(&self, current: &Table<'_>, at: Timestamp) -> mlops_core::Result<DriftReport> {
        let score = FeatureScore::new("quiet/v1", 0.0, 1.0, DriftVerdict::NoDrift);
        let feature = FeatureDrift::new("age", FeatureOutcome::Measured(score));
        let rows = (1, current.rows() as u64);
        Ok(DriftReport::new("quiet", at, rows, vec![feature], DriftVerdict::NoDrift, "nothing changed"))
    }
}

#[tokio::test]
async fn an_endpoint_is_monitored_when_somebody_looked_at_rows_of_it_lately() {
    let world = world();
    let data = world.data("rows").await;
    let version = world.version(&data, "pipeline", 0.1).await;
    let monitor = MemoryMonitor::new(world.clock.clone()).with_detector("inputs", Arc::new(Quiet));
    let (name, endpoint): (MonitorName, EndpointName) =
        ("churn-inputs".parse().unwrap(), "churn-prod".parse().unwrap());
    let probe = || options().with_monitor(name.clone(), endpoint.clone());
    let counted = async |monitor: &MemoryMonitor, options: ProbeOptions| {
        let evidence = world.stores.evidence(Some(monitor), &options).await.unwrap();
        let count = evidence.counts[&Measure::MonitoredEndpoints];
        (count.good, count.of)
    };
    assert_eq!(counted(&monitor, probe()).await, (0, 0), "there is no endpoint");
    world.deploy(&version, "blue").await;
    assert_eq!(counted(&monitor, probe()).await, (0, 0), "nor one with traffic");
    world.traffic("blue", "pipeline").await;
    assert_eq!(counted(&monitor, probe()).await, (0, 1), "nobody defined the monitor");

    let signals = vec![SignalSpec::new("inputs", SignalKind::DataDrift)];
    let spec = MonitorSpec::new(name.clone(), endpoint.clone(), signals);
    monitor.define(&spec).await.unwrap();
    assert_eq!(counted(&monitor, probe()).await, (0, 1), "a monitor that has not looked watches nothing");
    let window = Window::new(at("2025-01-01T00:00:00Z"), at("2025-01-02T00:00:00Z")).unwrap();
    monitor.check(&name, &window).await.unwrap();
    assert_eq!(counted(&monitor, probe()).await, (0, 1), "nor does one that saw no rows");

    let features = Table::new(vec![Column::f64("age", vec![59.0, 48.0]).unwrap()]).unwrap();
    let predictions = Predictions::probability(vec![0.1, 0.1]).unwrap();
    let (blue, ids) = ("blue".parse().unwrap(), ["a".to_owned(), "b".to_owned()]);
    let when = at("2025-01-01T06:00:00Z");
    let seen = Observations::new(endpoint.clone(), blue, when, &ids, &features, &predictions);
    monitor.observe(&seen).await.unwrap();
    monitor.check(&name, &window).await.unwrap();
    assert_eq!(counted(&monitor, probe()).await, (1, 1));
    // Of a monitor whose endpoint is not known nothing follows, nor of one that looked before what is counted.
    assert_eq!(counted(&monitor, options()).await, (0, 1));
    let mut late = probe();
    late.since = at("2025-06-01T00:00:00Z");
    assert_eq!(counted(&monitor, late).await, (0, 1));
    let mut criteria = criteria();
    criteria.retain(|criterion| criterion.id == "monitoring");
    let evidence = world.stores.evidence(Some(&monitor), &probe()).await.unwrap();
    assert!(assess(&criteria, &evidence, world.clock.now()).unwrap().findings[0].met);
}

fn build_options() -> ProvenanceOptions {
    ProvenanceOptions::new("https://example.com/builders/pipeline", "https://example.com/training/v1")
        .with_byproduct("gate decision", Digest::of(b"decision"))
}

/// Everything fixed, so that the text is the same on every machine.
fn fixed() -> (ModelVersion, mlops_core::experiment::Run, LineageGraph, Vec<ModelVersion>) {
    let started = at("2026-03-01T08:00:00Z");
    let mut capsule = Capsule::default().with_seed("split", u64::MAX).with_version("rustc", "1.95.0");
    capsule.code.commit = Some("0123456789abcdef0123456789abcdef01234567".to_owned());
    capsule.code.repository = Some("https://example.com/churn.git".to_owned());
    capsule.code.dirty = Some(false);
    capsule.lock = Some(Digest::of(b"lock"));
    let mut spec = RunSpec::new("churn".parse().unwrap(), "run", actor("pipeline")).with_capsule(capsule);
    spec.id = RunId::new("0190a6c1d2e34f5061728394a5b6c7d8").unwrap();
    let data = DataInput::new("patients".parse().unwrap(), Version::FIRST, Digest::of(b"rows"), "training");
    let mut run = mlops_core::experiment::Run::start(spec, started);
    run.ended_at = Some(at("2026-03-01T08:10:00.5Z"));
    run.params.insert("depth".parse().unwrap(), "3 \"é\"".to_owned());
    run.inputs.push(data.clone());
    let format = ModelFormat::new("mlops.constant/v1").unwrap();
    let signature = ConstantPredictor::new(Task::BinaryClassification, 0.5).unwrap().signature().clone();
    let name = || ModelName::new("churn").unwrap();
    let new = |content: &[u8]| {
        NewModelVersion::new(
            name(),
            Digest::of(content),
            format.clone(),
            signature.clone(),
            actor("pipeline"),
        )
        .with_key(IdempotencyKey::new("key").unwrap())
    };
    let parent = ModelVersion::new(new(b"parent"), Version::FIRST, started);
    let spec = new(b"model").with_run(run.id.clone()).with_data(data.clone());
    let spec = spec.with_metric("roc_auc".parse().unwrap(), 0.8125);
    let version = ModelVersion::new(spec, "2".parse().unwrap(), started);
    let node = Node::Model { name: name(), version: version.version };
    let origin = Node::Model { name: name(), version: Version::FIRST };
    let rows = Node::Data { name: data.asset, version: data.version, digest: data.digest };
    let edges = [
        Edge { from: rows, to: node.clone(), relation: Relation::UsedBy },
        Edge { from: origin, to: node.clone(), relation: Relation::UsedBy },
    ];
    let lineage = LineageGraph::reach(&edges, &node, Direction::Upstream, 8);
    (version, run, lineage, vec![parent])
}

/// `provenance.json` is read by `provenance.py` with in-toto's own library (PyPI `in-toto-attestation` 0.9.3), which takes
/// it as a Statement v1 and its predicate as SLSA's Provenance v1, with no field that is not theirs.
#[test]
fn the_statement_is_the_one_that_in_totos_library_reads() {
    let (version, run, lineage, parents) = fixed();
    let made = statement(&version, &run, &lineage, &parents, &build_options()).unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/provenance.json");
    if std::env::var_os("MLOPS_WRITE_REFERENCE").is_some() {
        std::fs::write(path, format!("{}\n", made.json)).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap();
    assert_eq!(made.json, expected.trim_end());
    assert_eq!(made.digest, Digest::of(made.json.as_bytes()));
    assert_eq!((made.to_plan().subject, made.to_plan().statement), (version.spec.artifact, made.digest));
}

#[test]
fn nothing_is_stated_that_the_registry_does_not_say() {
    let (version, run, lineage, parents) = fixed();
    let kind = |version: &ModelVersion, parents: &[ModelVersion], options: &ProvenanceOptions| {
        statement(version, &run, &lineage, parents, options).unwrap_err().kind()
    };
    let mut other = version.clone();
    other.spec.run = Some(RunId::generate());
    assert_eq!(kind(&other, &parents, &build_options()), ErrorKind::Conflict);
    other.spec.run = None;
    assert_eq!(kind(&other, &parents, &build_options()), ErrorKind::Conflict);
    assert_eq!(kind(&version, &[], &build_options()), ErrorKind::InvalidInput);
    for uri in ["", "builder", "https:", "1https://x", "https://exämple.com", "https://a b", "https://a\nb"]
    {
        let (builder, build) = (ProvenanceOptions::new(uri, "x:y"), ProvenanceOptions::new("x:y", uri));
        assert_eq!(kind(&version, &parents, &builder), ErrorKind::InvalidInput, "{uri}");
        assert_eq!(kind(&version, &parents, &build), ErrorKind::InvalidInput, "{uri}");
    }
}

#[tokio::test]
async fn provenance_is_read_from_registry_tracker_and_lineage() {
    let world = world();
    let data = world.data("rows").await;
    let parent = world.version(&data, "pipeline", 0.1).await;
    let child = world.version(&data, "pipeline", 0.2).await;
    let node = |version| Node::Model { name: "churn".parse().unwrap(), version };
    let (from, to) = (node(parent.version), node(child.version));
    world.stores.registry.link(&Edge { from, to, relation: Relation::UsedBy }).await.unwrap();
    let made = world.stores.provenance(&child.reference(), &build_options()).await.unwrap();
    let value: serde_json::Value = serde_json::from_str(&made.json).unwrap();
    let definition = &value["predicate"]["buildDefinition"];
    let names: Vec<&str> = definition["resolvedDependencies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["source", "data/rows:1", "model/churn:1"]);
    assert_eq!(definition["externalParameters"]["parameters"]["depth"], "3");
    assert_eq!(value["subject"][0]["digest"]["sha256"], child.spec.artifact.hex());
    let again = world.stores.provenance(&child.reference(), &build_options()).await.unwrap();
    assert_eq!(again, made);
    let missing = ModelRef::new("churn".parse().unwrap(), "9".parse::<Version>().unwrap());
    let error = world.stores.provenance(&missing, &build_options()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
