//! The registry of the embedded store.

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{children, fresh, open, sabotage, wait};
use mlops_core::artifact::{ArtifactStore as _, ArtifactStoreExt as _, GcOptions};
use mlops_core::conformance::registry::RegistryUnderTest;
use mlops_core::data::{AssetKind, DataAssetStore as _, NewDataAsset};
use mlops_core::evaluation::{CriterionResult, GateDecision, Verdict};
use mlops_core::experiment::{
    ArtifactLink, DataInput, ExperimentSpec, ExperimentTracker as _, LogBatch, RunSpec,
};
use mlops_core::governance::AuditLogExt as _;
use mlops_core::hash::Digest;
use mlops_core::local::{FindingKind, LocalStore, NetworkPolicy};
use mlops_core::model::{ModelFormat, Signature};
use mlops_core::problem::Task;
use mlops_core::registry::{
    AliasChange, Direction, Edge, ModelRef, ModelRegistry, ModelVersion, NewModelVersion, Node, Promotion,
    Protection, Relation,
};
use mlops_core::time::{Clock as _, ManualClock};
use mlops_core::{
    ActorId, Alias, AssetName, DeploymentName, EndpointName, ErrorKind, ExperimentName, ModelName,
    PageRequest, RelPath, RunId, TagKey, Tags, Version, VersionSpec,
};

fn under_test() -> RegistryUnderTest {
    let (store, clock) = fresh(NetworkPolicy::Refuse);
    let [gated, approved] = ["staging", "champion"].map(|alias| Alias::new(alias).unwrap());
    let registry = store
        .registry()
        .with_protected(gated.clone(), Protection::Gate)
        .with_protected(approved.clone(), Protection::GateAndApproval);
    RegistryUnderTest::new(Arc::new(registry), Arc::new(store.artifacts()))
        .with_clock(clock)
        .with_gated(gated)
        .with_approved(approved)
}

mlops_core::model_registry_suite!(suite, under_test());

fn name(text: &str) -> ModelName {
    ModelName::new(text).unwrap()
}

fn actor() -> ActorId {
    ActorId::new("tests").unwrap()
}

fn candidate() -> Alias {
    Alias::new("candidate").unwrap()
}

fn version(number: u64) -> Version {
    Version::new(number).unwrap()
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()))
}

/// Stores the content and describes a version that has it.
async fn new_version(store: &LocalStore, model: &str, content: &str) -> NewModelVersion {
    let artifact = store.artifacts().put_bytes(content.to_owned()).await.unwrap().digest;
    let format = ModelFormat::new("mlops.linear/v1").unwrap();
    NewModelVersion::new(name(model), artifact, format, Signature::new(Task::Regression, Vec::new()), actor())
}

async fn register(store: &LocalStore, model: &str, content: &str) -> ModelVersion {
    store.registry().register(&new_version(store, model, content).await).await.unwrap()
}

async fn move_candidate(store: &LocalStore, model: &str, expected: Option<u64>, to: Option<u64>) {
    let change = AliasChange::new(name(model), candidate(), Version::FIRST, actor());
    let change = change.with_to(to.map(version)).expecting(expected.map(version));
    store.registry().set_alias(&change).await.unwrap();
}

/// Every answer that the store has, as text, each for itself.
async fn answers(store: &LocalStore) -> Vec<Result<String, ErrorKind>> {
    fn shown<T: std::fmt::Debug>(answer: mlops_core::Result<T>) -> Result<String, ErrorKind> {
        answer.map(|answer| format!("{answer:?}")).map_err(|e| e.kind())
    }
    let (registry, all) = (store.registry(), PageRequest::default());
    let mut answers = vec![shown(registry.models(&all).await), shown(registry.events(0, 1000).await)];
    for model in ["churn", "fraud"] {
        answers.push(shown(registry.versions(&name(model), &all).await));
        answers.push(shown(registry.versions(&name(model), &PageRequest::first(2)).await.map(|p| p.items)));
        answers.push(shown(registry.aliases(&name(model)).await));
        answers.push(shown(registry.alias_history(&name(model), &candidate(), &all).await));
        let at = |text: &str| VersionSpec::AliasAsOf { alias: candidate(), at: text.parse().unwrap() };
        let mut specs = vec![
            VersionSpec::Latest,
            candidate().into(),
            VersionSpec::Digest(Digest::of(b"content 1")),
            at("2026-01-01T00:30:00Z"),
            at("2026-01-01T01:30:00Z"),
            at("2030-01-01T00:00:00Z"),
        ];
        specs.extend((1..=4).map(|n| version(n).into()));
        for spec in specs {
            answers.push(shown(registry.get(&ModelRef::new(name(model), spec)).await));
        }
        for number in 1..=4 {
            let node = Node::Model { name: name(model), version: version(number) };
            for direction in [Direction::Upstream, Direction::Downstream] {
                answers.push(shown(registry.lineage(&node, direction, 5).await));
            }
        }
    }
    let assets = store.data_assets();
    answers.push(shown(assets.names(&all).await));
    for asset in ["patients", "weather"] {
        answers.push(shown(assets.versions(&AssetName::new(asset).unwrap(), &all).await));
        for reference in [format!("{asset}:latest"), format!("{asset}:1")] {
            answers.push(shown(assets.get(&reference.parse().unwrap()).await));
        }
    }
    answers.push(shown(mlops_core::governance::AuditLog::read(&store.audit_log(), 0, 1000).await));
    answers
}

/// Something of everything.
async fn fill(store: &LocalStore, clock: &ManualClock) {
    let registry = store.registry();
    for asset in ["patients", "patients", "weather"] {
        let file = (RelPath::new("rows.csv").unwrap(), asset.as_bytes().to_vec().into());
        let tree = store.artifacts().put_files(&[file]).await.unwrap().0.digest;
        let asset = NewDataAsset::stored(AssetName::new(asset).unwrap(), AssetKind::Table, tree, actor());
        store.data_assets().register(&asset).await.unwrap();
    }
    for model in ["churn", "fraud"] {
        for number in 1..=3 {
            let input = DataInput::new(
                AssetName::new("patients").unwrap(),
                Version::FIRST,
                Digest::of(b"patients"),
                "training",
            );
            let new = new_version(store, model, &format!("content {}", number % 2)).await;
            let new = new.with_data(input).with_run(RunId::generate()).with_description("a model");
            registry.register(&new).await.unwrap();
        }
        for (expected, to) in [(None, Some(1)), (Some(1), Some(2))] {
            move_candidate(store, model, expected, to).await;
            clock.advance(Duration::from_secs(3600));
        }
        let tags = Tags::from([(TagKey::new("team").unwrap(), "risk".to_owned())]);
        registry.set_tags(&name(model), version(2), &tags, &actor()).await.unwrap();
        registry.set_archived(&name(model), version(3), true, &actor()).await.unwrap();
        let to = Node::Deployment {
            endpoint: EndpointName::new("scores").unwrap(),
            deployment: DeploymentName::new(model).unwrap(),
        };
        let from = Node::Model { name: name(model), version: version(2) };
        registry.link(&Edge { from, to, relation: Relation::DeployedAs }).await.unwrap();
        store.audit_log().record(&actor(), "model.register", model, "filled").await.unwrap();
    }
}

#[test]
fn everything_is_the_same_in_a_store_that_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    wait(async {
        let store = open(dir.path(), &clock);
        fill(&store, &clock).await;
        let before = answers(&store).await;
        drop(store);
        // Also between two writes, and by somebody who only reads.
        assert_eq!(answers(&open(dir.path(), &clock)).await, before);
        let reader = LocalStore::options().with_read_only(true).open(dir.path()).unwrap();
        assert_eq!(answers(&reader).await, before);
        let mut current = 2;
        for expected in 4..7 {
            let store = open(dir.path(), &clock);
            assert_eq!(register(&store, "churn", "another content").await.version, version(expected));
            drop(store);
            let store = open(dir.path(), &clock);
            move_candidate(&store, "churn", Some(current), Some(expected)).await;
            current = expected;
        }
    });
}

#[test]
fn calls_are_known_again_and_tokens_hold_in_another_process_of_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    wait(async {
        let one = open(dir.path(), &clock);
        let new = new_version(&one, "churn", "content").await;
        let made = one.registry().register(&new).await.unwrap();
        register(&one, "churn", "more").await;
        let first = PageRequest::first(1);
        let page = one.registry().versions(&name("churn"), &first).await.unwrap();
        drop(one);
        let two = open(dir.path(), &clock);
        assert_eq!(two.registry().register(&new).await.unwrap(), made);
        let other = new.clone().with_description("other");
        assert_eq!(two.registry().register(&other).await.unwrap_err().kind(), ErrorKind::Conflict);
        let next = first.after(&page).unwrap();
        assert_eq!(two.registry().versions(&name("churn"), &next).await.unwrap().items, [made]);
    });
}

#[test]
fn a_clock_that_goes_back_does_not_change_what_was() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    wait(async {
        let store = open(dir.path(), &clock);
        register(&store, "churn", "1").await;
        register(&store, "churn", "2").await;
        move_candidate(&store, "churn", None, Some(1)).await;
        let seen = clock.now();
        for now in ["1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "2025-12-31T23:59:59.999999Z"] {
            clock.set(now.parse().unwrap());
            let store = open(dir.path(), &clock);
            move_candidate(&store, "churn", Some(1), Some(2)).await;
            move_candidate(&store, "churn", Some(2), Some(1)).await;
        }
        let store = open(dir.path(), &clock);
        let history =
            store.registry().alias_history(&name("churn"), &candidate(), &PageRequest::default()).await;
        let history = history.unwrap().items;
        assert_eq!(history.len(), 7);
        assert!(history.iter().all(|record| record.at == seen));
        assert!(store.verify().await.unwrap().is_sound());
    });
}

const STORE: &str = "MLOPS_TEST_REGISTRY";
const PROCESSES: usize = 8;
const EACH: u64 = 50;

/// Does nothing unless it is told to, in a process of its own, by the test after it.
#[test]
fn child_registers() {
    let Some(folder) = std::env::var_os(STORE) else { return };
    wait(async {
        let store = LocalStore::open(Path::new(&folder)).unwrap();
        for number in 0..EACH {
            let made = register(&store, "crowded", &format!("content {number}")).await;
            println!("registered {}", made.version);
        }
    });
}

#[test]
fn many_processes_register_in_one_new_store() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("new store");
    let printed = children(PROCESSES, "child_registers", STORE, &folder).concat();
    let mut versions: Vec<u64> = printed
        .lines()
        .filter_map(|line| line.split_once("registered ").map(|(_, number)| number.parse().unwrap()))
        .collect();
    versions.sort_unstable();
    assert_eq!(versions, (1..=PROCESSES as u64 * EACH).collect::<Vec<_>>());
    wait(async {
        let store = LocalStore::open(&folder).unwrap();
        let all = PageRequest::first(10_000);
        let kept = store.registry().versions(&name("crowded"), &all).await.unwrap().items;
        assert_eq!(kept.len() as u64, PROCESSES as u64 * EACH);
        let events = store.registry().events(0, 10_000).await.unwrap();
        assert!(events.iter().map(|event| event.sequence).eq(1..=PROCESSES as u64 * EACH));
    });
}

/// Flips one bit of each of some thousand bytes, one at a time, and reads everything. `MLOPS_TEST_FLIPS` is how many of the
/// bytes that are not zero.
#[test]
fn a_flipped_bit_is_an_error_and_never_another_answer() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let folder = dir.path().join(".mlops");
    wait(async {
        let options = LocalStore::options().with_clock(clock.clone()).with_network(NetworkPolicy::Assume);
        let store = options.open(&folder).unwrap();
        fill(&store, &clock).await;
        drop(store);
        let path = folder.join("mlops.db");
        let honest = std::fs::read(&path).unwrap();
        let reading = LocalStore::options().with_clock(clock.clone()).with_read_only(true);
        let before = answers(&reading.open(&folder).unwrap()).await;
        let (mut tried, mut noticed) = (0, 0);
        // What is written, closely; what is empty, here and there.
        let (written, empty): (Vec<usize>, Vec<usize>) = (0..honest.len()).partition(|at| honest[*at] != 0);
        let sample = |of: Vec<usize>, count: usize| {
            let step = (of.len() / count).max(1);
            of.into_iter().step_by(step)
        };
        let closely = std::env::var("MLOPS_TEST_FLIPS").map_or(1800, |count| count.parse().unwrap());
        for at in sample(written, closely).chain(sample(empty, 300)) {
            let mut damaged = honest.clone();
            damaged[at] ^= 1 << (at % 8);
            std::fs::write(&path, damaged).unwrap();
            tried += 1;
            let Ok(store) = reading.open(&folder) else {
                noticed += 1;
                continue;
            };
            let after = answers(&store).await;
            for (place, (now, then)) in after.iter().zip(&before).enumerate() {
                if now != then {
                    noticed += 1;
                    assert!(now.is_err(), "byte {at}, answer {place}: {then:?} became {now:?}");
                }
            }
        }
        println!("{tried} bits flipped, {noticed} answers became errors");
        assert!(tried >= 2000 && noticed > tried / 10, "{tried} {noticed}");
    });
}

#[test]
fn content_that_is_registered_is_not_collected() {
    wait(async {
        let (store, clock) = fresh(NetworkPolicy::Refuse);
        fill(&store, &clock).await;
        let gone = store.artifacts().put_bytes("nobody's").await.unwrap();
        clock.advance(Duration::from_secs(60));
        let young = store.artifacts().put_bytes("young").await.unwrap();
        let minute = GcOptions::default().with_grace(Duration::from_secs(60));
        assert_eq!(store.collect_garbage(&minute.clone().with_dry_run(true)).await.unwrap().removed, [gone]);
        let report = store.collect_garbage(&minute).await.unwrap();
        // Two contents of models (one of them archived), two trees of data of one file each.
        assert_eq!((report.removed, report.reachable, report.in_grace), (vec![gone], 6, 1));
        assert_eq!(store.collect_garbage(&GcOptions::default()).await.unwrap().removed, [young]);
        let report = store.verify().await.unwrap();
        assert!(report.is_sound(), "{:?}", report.findings);
        assert_eq!(report.contents, 4);
    });
}

#[test]
fn nothing_is_collected_while_a_reference_cannot_be_read() {
    wait(async {
        for damage in [
            "UPDATE model_version SET doc = replace(doc, 'a model', 'b model') WHERE model = 'churn' AND version = 1",
            "DELETE FROM model_version WHERE model = 'churn' AND version = 2",
            "DELETE FROM model WHERE name = 'fraud'",
            "DELETE FROM data_version WHERE name = 'weather'",
            "DELETE FROM data_asset WHERE name = 'weather'",
        ] {
            let (store, clock) = fresh(NetworkPolicy::Refuse);
            fill(&store, &clock).await;
            store.artifacts().put_bytes("nobody's").await.unwrap();
            sabotage(store.folder(), damage);
            let error = store.collect_garbage(&GcOptions::default()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{damage}");
            assert!(error.context("row").is_some(), "{error}");
            assert!(store.artifacts().head(&Digest::of(b"nobody's")).await.unwrap().is_some(), "{damage}");
        }
    });
}

/// Who registers while content is collected is told that it is gone, or has it for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_registration_that_succeeds_beside_a_collection_keeps_its_content() {
    let (store, _) = fresh(NetworkPolicy::Refuse);
    let done = Arc::new(AtomicBool::new(false));
    let collector = tokio::spawn({
        let (store, done) = (store.clone(), done.clone());
        async move {
            let mut removed = 0;
            while !done.load(Ordering::Relaxed) {
                removed += store.collect_garbage(&GcOptions::default()).await.unwrap().removed.len();
            }
            removed
        }
    });
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let (mut kept, mut lost) = (0, 0);
                for number in 0..40 {
                    let content = format!("content {writer} {number}");
                    let new = new_version(&store, &format!("model-{writer}"), &content).await;
                    match store.registry().register(&new).await {
                        Ok(_) => kept += 1,
                        Err(e) if e.kind() == ErrorKind::NotFound => lost += 1,
                        Err(e) => panic!("{e}"),
                    }
                }
                (kept, lost)
            })
        })
        .collect();
    let mut kept = 0;
    for writer in writers {
        kept += writer.await.unwrap().0;
    }
    done.store(true, Ordering::Relaxed);
    collector.await.unwrap();
    store.collect_garbage(&GcOptions::default()).await.unwrap();
    let report = store.verify().await.unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!(report.contents, kept);
}

#[test]
fn a_check_of_everything_finds_what_was_done_to_it() {
    use FindingKind::{Audit, Inconsistent, Missing, Row};
    let cases: [(&str, FindingKind, &str); 20] = [
        (
            "UPDATE model_version SET archived = 1 WHERE model = 'churn' AND version = 1",
            Row,
            "model_version churn 1",
        ),
        (
            "UPDATE model_version SET tags = '{}' WHERE model = 'churn' AND version = 2",
            Row,
            "model_version churn 2",
        ),
        ("UPDATE model SET versions = 2 WHERE name = 'churn'", Row, "model churn"),
        ("UPDATE alias SET target = 1 WHERE model = 'churn'", Row, "alias churn candidate"),
        (
            "UPDATE alias_history SET at = 0 WHERE model = 'churn' AND sequence = 2",
            Row,
            "alias_history churn candidate 2",
        ),
        ("UPDATE registry_event SET at = 0 WHERE sequence = 4", Row, "registry_event 4"),
        ("UPDATE lineage_edge SET relation = '\"deployed_as\"' WHERE sequence = 1", Row, "lineage_edge 1"),
        ("UPDATE tally SET value = 1 WHERE name = 'registry events'", Row, "tally registry events"),
        ("UPDATE data_version SET created_at = 0 WHERE name = 'weather'", Row, "data_version weather 1"),
        ("DELETE FROM model_version WHERE model = 'fraud' AND version = 3", Missing, "model_version fraud 3"),
        ("DELETE FROM model WHERE name = 'fraud'", Missing, "model"),
        ("DELETE FROM alias WHERE model = 'churn'", Missing, "alias churn"),
        (
            "DELETE FROM alias_history WHERE model = 'churn' AND sequence = 1",
            Missing,
            "alias_history churn candidate 1",
        ),
        ("DELETE FROM registry_event WHERE sequence = 3", Missing, "registry_event 3"),
        ("DELETE FROM lineage_edge WHERE sequence = 2", Missing, "lineage_edge"),
        (
            "DELETE FROM data_version WHERE name = 'patients' AND version = 1",
            Missing,
            "data_version patients 1",
        ),
        ("DELETE FROM data_asset WHERE name = 'patients'", Missing, "data_asset"),
        ("UPDATE name_list SET count = 1 WHERE list = 'model'", Row, "name_list model"),
        // A row of another place, whose own digest is right.
        (
            "UPDATE model_content SET (version, digest) = (SELECT version, digest FROM model_content b
             WHERE b.model = 'churn' AND b.version = 2) WHERE model = 'churn' AND version = 3",
            Row,
            "model_content churn",
        ),
        ("DELETE FROM audit_record WHERE sequence = 2", Audit, "audit_record 2"),
    ];
    wait(async {
        for (damage, kind, subject) in cases {
            let (store, clock) = fresh(NetworkPolicy::Refuse);
            fill(&store, &clock).await;
            assert!(store.verify().await.unwrap().is_sound());
            sabotage(store.folder(), damage);
            let findings = store.verify().await.unwrap().findings;
            let found = findings.iter().any(|finding| finding.kind == kind && finding.subject == subject);
            assert!(found, "{damage}: {findings:?}");
        }
        // An old state of one row, digest and all: what surrounds it tells.
        let (store, clock) = fresh(NetworkPolicy::Refuse);
        fill(&store, &clock).await;
        sabotage(store.folder(), "CREATE TABLE old AS SELECT * FROM alias");
        move_candidate(&store, "churn", Some(2), None).await;
        sabotage(store.folder(), "DELETE FROM alias; INSERT INTO alias SELECT * FROM old; DROP TABLE old");
        let findings = store.verify().await.unwrap().findings;
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!((finding.kind, finding.subject.as_str()), (Inconsistent, "alias churn candidate"));
    });
}

#[test]
fn content_that_is_gone_or_damaged_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    wait(async {
        let store = open(dir.path(), &clock);
        fill(&store, &clock).await;
        let blob = |digest: &Digest| {
            let hex = digest.hex();
            dir.path().join("cas/sha256").join(&hex[..2]).join(&hex[2..])
        };
        let damage = |path: &Path| {
            let mut bytes = std::fs::read(path).unwrap();
            bytes[0] ^= 1;
            std::fs::remove_file(path).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        std::fs::remove_file(blob(&Digest::of(b"content 1"))).unwrap();
        damage(&blob(&Digest::of(b"content 0")));
        damage(&blob(&Digest::of(b"weather")));
        let findings = store.verify().await.unwrap().findings;
        let found: BTreeSet<_> =
            findings.iter().map(|f| (format!("{:?}", f.kind), f.subject.clone())).collect();
        let weather = store.data_assets().get(&"weather:1".parse().unwrap()).await.unwrap().spec.digest;
        let expected = [
            ("ContentMissing", Digest::of(b"content 1")),
            ("ContentDamaged", Digest::of(b"content 0")),
            ("ContentDamaged", weather),
        ];
        let expected = expected.map(|(kind, digest)| (kind.to_owned(), digest.to_string()));
        assert_eq!(found, BTreeSet::from(expected));
        assert!(findings.iter().any(|f| f.reason.contains("model churn:1")), "{findings:?}");
    });
}

#[test]
fn what_runs_use_and_make_is_lineage_and_is_not_collected() {
    wait(async {
        let (store, _) = fresh(NetworkPolicy::Refuse);
        let experiment = ExperimentName::new("churn").unwrap();
        let tracker = store.tracker();
        tracker.ensure_experiment(&ExperimentSpec::new(experiment.clone())).await.unwrap();
        let run = tracker.start_run(&RunSpec::new(experiment, "one", actor())).await.unwrap().id;
        let input = DataInput::new(
            AssetName::new("patients").unwrap(),
            version(3),
            Digest::of(b"patients"),
            "training",
        );
        let plot = store.artifacts().put_bytes("a plot").await.unwrap();
        let path = RelPath::new("plots/roc.svg").unwrap();
        let mut test = input.clone();
        test.role = "test".to_owned();
        let link = ArtifactLink::new(path, plot.digest, plot.size);
        let batch = LogBatch::new().input(input.clone()).input(test).artifact(link);
        tracker.write(&run, &batch).await.unwrap();
        let new = new_version(&store, "churn", "content").await.with_run(run.clone());
        store.registry().register(&new).await.unwrap();
        let data = Node::Data { name: input.asset, version: input.version, digest: input.digest };
        let model = Node::Model { name: name("churn"), version: Version::FIRST };
        let chain = [data.clone(), Node::Run(run.clone()), model.clone()];
        let down = store.lineage(&data, Direction::Downstream, 10).await.unwrap();
        assert_eq!((down.nodes, down.edges.len()), (chain.to_vec(), 2));
        let up = store.lineage(&model, Direction::Upstream, 10).await.unwrap();
        assert_eq!(up.nodes, chain.iter().rev().cloned().collect::<Vec<_>>());
        assert_eq!(store.lineage(&model, Direction::Upstream, 1).await.unwrap().nodes.len(), 2);
        let other = Node::Data {
            name: AssetName::new("patients").unwrap(),
            version: version(2),
            digest: input.digest,
        };
        assert_eq!(store.lineage(&other, Direction::Downstream, 10).await.unwrap().nodes, [other]);
        // Deleted runs can be brought back, so their files stay.
        tracker.set_deleted(&run, true).await.unwrap();
        assert!(store.collect_garbage(&GcOptions::default()).await.unwrap().removed.is_empty());
        assert_eq!(&store.artifacts().get_bytes(&plot.digest, 100).await.unwrap()[..], b"a plot");
    });
}

#[test]
fn lineage_reads_only_what_it_reaches() {
    wait(async {
        let (store, _) = fresh(NetworkPolicy::Refuse);
        let node = |n: u64| Node::Model { name: name("churn"), version: version(n) };
        let link = async |from, to| {
            let edge = Edge { from: node(from), to: node(to), relation: Relation::UsedBy };
            store.registry().link(&edge).await.unwrap();
        };
        // A chain with a shortcut and a circle, and far away an edge that cannot be read.
        for (from, to) in [(1, 2), (2, 3), (3, 4), (1, 3), (4, 1), (100, 101)] {
            link(from, to).await;
        }
        sabotage(store.folder(), "UPDATE lineage_edge SET digest = zeroblob(32) WHERE sequence = 6");
        let reach = async |start, direction, depth| {
            let graph = store.registry().lineage(&node(start), direction, depth).await.unwrap();
            let numbers = graph.nodes.iter().map(|node| match node {
                Node::Model { version, .. } => version.get(),
                other => panic!("{other}"),
            });
            (numbers.collect::<Vec<_>>(), graph.edges.len())
        };
        assert_eq!(reach(1, Direction::Downstream, 1).await, (vec![1, 2, 3], 2));
        assert_eq!(reach(1, Direction::Downstream, 2).await, (vec![1, 2, 3, 4], 4));
        assert_eq!(reach(1, Direction::Downstream, u32::MAX).await, (vec![1, 2, 3, 4], 5));
        assert_eq!(reach(3, Direction::Upstream, 1).await, (vec![3, 2, 1], 2));
        let far = store.registry().lineage(&node(100), Direction::Downstream, 1).await.unwrap_err();
        assert_eq!((far.kind(), far.context("row")), (ErrorKind::Corrupt, Some("lineage_edge 6")));
    });
}

#[test]
fn a_store_that_is_only_read_registers_nothing_and_changes_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    wait(async {
        let store = open(dir.path(), &clock);
        let new = new_version(&store, "churn", "content").await;
        drop(store);
        let files = || {
            let entries = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
            entries.filter(|name| !name.to_string_lossy().starts_with("mlops.db-")).collect::<BTreeSet<_>>()
        };
        let before = files();
        let reader = LocalStore::options().with_read_only(true).open(dir.path()).unwrap();
        let errors = [
            reader.registry().register(&new).await.unwrap_err(),
            reader.registry().link(&edge_of_nothing()).await.unwrap_err(),
            reader.collect_garbage(&GcOptions::default()).await.unwrap_err(),
            reader.audit_log().record(&actor(), "a", "b", "").await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!((error.kind(), error.context("reason")), (ErrorKind::Storage, Some("read-only")));
        }
        assert_eq!(files(), before);
    });
}

fn edge_of_nothing() -> Edge {
    let node = |n| Node::Model { name: name("churn"), version: version(n) };
    Edge { from: node(1), to: node(2), relation: Relation::UsedBy }
}

/// Names that could lead out of the store, or into a statement, are no names.
#[test]
fn hostile_names_are_refused_before_the_store_sees_them() {
    for bad in [
        "",
        ".",
        "..",
        "../../evil",
        "a/b",
        "a\\b",
        "a\0b",
        "a\nb",
        "'; DROP TABLE model;--",
        "%_",
        "a\u{202e}b",
    ] {
        assert!(ModelName::new(bad).is_err(), "{bad:?}");
        assert!(Alias::new(bad).is_err(), "{bad:?}");
        assert!(format!("{bad}:1").parse::<ModelRef>().is_err(), "{bad:?}");
    }
    assert!("churn:@champion/../../x".parse::<ModelRef>().is_err());
    assert!(ModelName::new("x".repeat(300)).is_err());
}

/// A promotion keeps its evidence: the digest of the decision is in the history, and a key replays after a restart.
#[test]
fn the_evidence_of_a_promotion_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    wait(async {
        let store = open(dir.path(), &clock);
        let made = register(&store, "churn", "content").await;
        let criteria = vec![CriterionResult::new("auc", Verdict::Pass, None, "0.81 against at least 0.8")];
        let (rules, report) = (Digest::of(b"gate.toml"), Digest::of(b"report"));
        let gate =
            GateDecision::new("release", rules, made.spec.artifact, report, None, clock.now(), criteria);
        let promotion = Promotion::new(
            name("churn"),
            made.version,
            Alias::new("champion").unwrap(),
            gate.clone(),
            actor(),
        );
        let protect =
            |store: &LocalStore| store.registry().with_protected(promotion.alias.clone(), Protection::Gate);
        let record = protect(&store).promote(&promotion).await.unwrap();
        assert_eq!(record.gate, Some(gate.digest().unwrap()));
        drop(store);
        let store = open(dir.path(), &clock);
        assert_eq!(protect(&store).promote(&promotion).await.unwrap(), record);
        let (model, page) = (name("churn"), PageRequest::default());
        let history = store.registry().alias_history(&model, &promotion.alias, &page).await.unwrap();
        assert_eq!(history.items, [record]);
    });
}

/// What is protected in the store holds for every handle; the suite sees no difference to what a handle protects.
mod protected_in_the_store {
    use super::*;

    fn under_test() -> RegistryUnderTest {
        let (store, clock) = fresh(NetworkPolicy::Refuse);
        let [gated, approved] = ["staging", "champion"].map(|alias| Alias::new(alias).unwrap());
        let protect = |alias: Alias, protection| {
            let registry = store.registry();
            // The suite runs inside of a runtime of its own.
            let protect = move || wait(async { registry.protect(&alias, protection, &actor()).await });
            std::thread::spawn(protect).join().unwrap().unwrap()
        };
        assert_eq!(protect(gated.clone(), Protection::Gate), None);
        assert_eq!(protect(approved.clone(), Protection::GateAndApproval), None);
        RegistryUnderTest::new(Arc::new(store.registry()), Arc::new(store.artifacts()))
            .with_clock(clock)
            .with_gated(gated)
            .with_approved(approved)
    }

    mlops_core::model_registry_suite!(suite, under_test());
}

#[test]
fn an_alias_that_the_store_protects_is_protected_for_whoever_opens_it() {
    use Protection::{Gate, GateAndApproval};
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    wait(async {
        let store = open(dir.path(), &clock);
        let made = register(&store, "churn", "content").await;
        let change = || AliasChange::new(name("churn"), candidate(), made.version, actor());
        assert_eq!(store.registry().protect(&candidate(), Gate, &actor()).await.unwrap(), None);

        let other = open(dir.path(), &clock).registry();
        let error = other.set_alias(&change()).await.unwrap_err();
        assert_eq!((error.kind(), error.context("alias")), (ErrorKind::Rejected, Some("candidate")));

        // The stronger of handle and store holds, either way.
        let kept = |registry: mlops_core::local::LocalModelRegistry| async move {
            registry.protections().await.unwrap().get(&candidate()).copied()
        };
        assert_eq!(
            kept(other.clone().with_protected(candidate(), GateAndApproval)).await,
            Some(GateAndApproval)
        );
        assert_eq!(other.protect(&candidate(), GateAndApproval, &actor()).await.unwrap(), Some(Gate));
        assert_eq!(kept(other.clone().with_protected(candidate(), Gate)).await, Some(GateAndApproval));

        assert_eq!(other.unprotect(&candidate(), &actor()).await.unwrap(), Some(GateAndApproval));
        assert_eq!(other.unprotect(&candidate(), &actor()).await.unwrap(), None);
        assert_eq!(kept(store.registry()).await, None);
        store.registry().set_alias(&change()).await.unwrap();
        assert_eq!(other.unprotect(&Alias::new("never").unwrap(), &actor()).await.unwrap(), None);
        assert!(store.verify().await.unwrap().is_sound());

        let reader = LocalStore::options().with_read_only(true).open(dir.path()).unwrap().registry();
        assert!(reader.protections().await.unwrap().is_empty());
        let error = reader.protect(&candidate(), Gate, &actor()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Storage);
    });
}

#[test]
fn protection_does_not_end_by_damage() {
    let cases = [
        ("UPDATE protected_alias SET protection = NULL", "protected_alias candidate"),
        ("UPDATE protected_alias SET protection = '\"gate\"'", "protected_alias candidate"),
        ("DELETE FROM protected_alias", "protected_alias count"),
        ("UPDATE tally SET value = 0 WHERE name = 'protected aliases'", "tally protected aliases"),
    ];
    for (damage, row) in cases {
        wait(async {
            let (store, _) = fresh(NetworkPolicy::Refuse);
            let made = register(&store, "churn", "content").await;
            let registry = store.registry();
            registry.protect(&candidate(), Protection::GateAndApproval, &actor()).await.unwrap();
            sabotage(store.folder(), damage);
            let change = AliasChange::new(name("churn"), candidate(), made.version, actor());
            let error = registry.set_alias(&change).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{damage}: {error}");
            assert!(error.context("row").is_some_and(|found| row.starts_with(found)), "{damage}: {error}");
            assert!(!store.verify().await.unwrap().is_sound(), "{damage}");
        });
    }
}
