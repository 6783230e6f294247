//! What MLflow sees of a store: in its tables, through its own servers, and what is taken over from it.
//!
//! Python with MLflow is said by `MLOPS_TEST_PYTHON_2` (2.22.5) and `MLOPS_TEST_PYTHON_3` (3.17.2); without them those cases are
//! skipped.

use std::path::Path;
use std::process::Command;

use mlops_core::artifact::ArtifactStoreExt as _;
use mlops_core::experiment::{
    ArtifactLink, DataInput, ExperimentSpec, ExperimentTracker as _, LogBatch, MetricPoint, RunEnd, RunSpec,
};
use mlops_core::hash::Digest;
use mlops_core::local::{EditKind, LocalStore, SyncReport};
use mlops_core::model::{ModelFormat, Signature};
use mlops_core::problem::Task;
use mlops_core::registry::{AliasChange, ModelRef, ModelRegistry as _, NewModelVersion, Protection};
use mlops_core::{
    ActorId, Alias, AssetName, ExperimentName, MetricKey, ModelName, ParamKey, RelPath, RunId, TagKey,
    Version,
};
use rusqlite::Connection;
use serde_json::Value;

fn actor() -> ActorId {
    ActorId::new("trainer").unwrap()
}

fn metric(key: &str) -> MetricKey {
    MetricKey::new(key).unwrap()
}

/// A store with a run that has everything, a part of it that failed, and a model with two versions.
struct World {
    dir: tempfile::TempDir,
    store: LocalStore,
    run: RunId,
}

async fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::open(dir.path().join("a store")).unwrap();
    let (tracker, name) = (store.tracker(), ExperimentName::new("ward").unwrap());
    tracker.ensure_experiment(&ExperimentSpec::new(name.clone())).await.unwrap();
    let run = tracker.start_run(&RunSpec::new(name.clone(), "main", actor())).await.unwrap();
    let at = run.started_at;
    let notes = store.artifacts().put_bytes(b"dear diary".to_vec()).await.unwrap();
    let asset = AssetName::new("patients").unwrap();
    let mut batch = LogBatch::new()
        .param(ParamKey::new("depth").unwrap(), 6)
        .param(ParamKey::new("long").unwrap(), "x".repeat(7000))
        .tag(TagKey::new("team").unwrap(), "風")
        .metric(MetricPoint::new(metric("auc"), 0.75, at))
        .metric(MetricPoint::new(metric("gone"), f64::NAN, at))
        .metric(MetricPoint::new(metric("high"), f64::INFINITY, at))
        .input(DataInput::new(asset, Version::FIRST, Digest::of(b"rows"), "training"))
        .artifact(ArtifactLink::new(RelPath::new("notes.txt").unwrap(), notes.digest, notes.size));
    for step in 0..200 {
        batch = batch.metric(MetricPoint::new(metric("loss"), 1.0 / (step + 1) as f64, at).with_step(step));
    }
    tracker.write(&run.id, &batch).await.unwrap();
    let part = RunSpec::new(name, "part", actor()).with_parent(run.id.clone());
    let part = tracker.start_run(&part).await.unwrap();
    tracker.finish_run(&part.id, &RunEnd::FAILED).await.unwrap();
    tracker.finish_run(&run.id, &RunEnd::FINISHED).await.unwrap();
    let registry = store.registry();
    for (weights, description) in [("one", "the first"), ("two", "")] {
        let blob = store.artifacts().put_bytes(weights.as_bytes().to_vec()).await.unwrap();
        let (model, format) = (model(), ModelFormat::new("mlops.constant/v1").unwrap());
        let signature = Signature::new(Task::BinaryClassification, Vec::new());
        let new = NewModelVersion::new(model, blob.digest, format, signature, actor());
        let new = new.with_run(run.id.clone()).with_metric(metric("auc"), 0.75).with_description(description);
        registry.register(&new).await.unwrap();
    }
    let champion = Alias::new("champion").unwrap();
    registry.set_alias(&AliasChange::new(model(), champion, Version::FIRST, actor())).await.unwrap();
    World { dir, store, run: run.id }
}

fn model() -> ModelName {
    ModelName::new("churn").unwrap()
}

impl World {
    fn database(&self) -> Connection {
        Connection::open(self.store.mlflow().database()).unwrap()
    }

    fn texts(&self, sql: &str) -> Vec<String> {
        let db = self.database();
        let mut statement = db.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    async fn sync(&self) -> SyncReport {
        self.store.mlflow().sync().await.unwrap()
    }
}

#[tokio::test]
async fn everything_is_there_and_only_changes_are_written() {
    let world = world().await;
    let report = world.sync().await;
    assert!(report.rebuilt && report.missing.is_empty(), "{report:?}");
    assert_eq!(
        (report.experiments, report.runs, report.points, report.models, report.files),
        (1, 2, 203, 1, 3)
    );
    assert_eq!(world.sync().await, SyncReport::default(), "nothing has changed");
    let count = |table: &str| world.texts(&format!("SELECT CAST(count(*) AS TEXT) FROM {table}"));
    assert_eq!((count("runs"), count("metrics")), (vec!["2".to_owned()], vec!["203".to_owned()]));
    let special = "SELECT key || ' ' || value || ' ' || is_nan FROM latest_metrics WHERE key IN ('gone', 'high') ORDER BY key";
    assert_eq!(world.texts(special), ["gone 0.0 1", "high 1.7976931348623157e+308 0"]);
    let tags = world.texts(
        "SELECT key || '=' || value FROM tags WHERE key LIKE 'mlops.inf%' OR key = 'team' ORDER BY key",
    );
    assert_eq!(tags, ["mlops.infinite.high=Infinity", "team=風"]);
    assert_eq!(world.texts("SELECT CAST(length(value) AS TEXT) FROM params WHERE key = 'long'"), ["7000"]);
    assert_eq!(world.texts("SELECT alias || version FROM registered_model_aliases"), ["champion1"]);
    let folder = world.store.folder().join("mlflow");
    let notes = folder.join("runs").join(world.run.as_str()).join("artifacts/notes.txt");
    assert_eq!(std::fs::read(notes).unwrap(), b"dear diary");
    assert_eq!(std::fs::read(folder.join("models/churn/2/model")).unwrap(), b"two");
}

#[tokio::test]
async fn points_that_come_later_are_added() {
    let world = world().await;
    world.sync().await;
    let tracker = world.store.tracker();
    let name = ExperimentName::new("ward").unwrap();
    let run = tracker.start_run(&RunSpec::new(name, "long", actor())).await.unwrap();
    let mut expected = 0;
    // Few points are kept as rows, many packed; both come through, in any mixture.
    for (round, points) in (0_i64..).zip([3_u32, 500, 2, 1000, 64, 1]) {
        let point = |i| {
            let point = MetricPoint::new(metric("loss"), f64::from(i), run.started_at);
            point.with_step(round * 10_000 + i64::from(i))
        };
        let batch = LogBatch::new().with_metrics((0..points).map(point));
        tracker.write(&run.id, &batch).await.unwrap();
        expected += points;
        assert_eq!(world.sync().await.points, u64::from(points), "round {round}");
        let sql = format!("SELECT CAST(count(*) AS TEXT) FROM metrics WHERE run_uuid = '{}'", run.id);
        assert_eq!(world.texts(&sql), [expected.to_string()], "round {round}");
    }
}

/// A run may have `a` and `a/b`; a file system cannot. What has no place is said, and holds up nothing.
#[tokio::test]
async fn a_file_in_a_file_is_reported_and_the_rest_is_laid_out() {
    let world = world().await;
    let (tracker, name) = (world.store.tracker(), ExperimentName::new("ward").unwrap());
    let mut runs = Vec::new();
    for paths in [["a", "a/b"], ["c/d", "c"], ["e", "f"]] {
        let run = tracker.start_run(&RunSpec::new(name.clone(), "paths", actor())).await.unwrap();
        for path in paths {
            let blob = world.store.artifacts().put_bytes(path.as_bytes().to_vec()).await.unwrap();
            let link = ArtifactLink::new(RelPath::new(path).unwrap(), blob.digest, blob.size);
            tracker.write(&run.id, &LogBatch::new().artifact(link)).await.unwrap();
        }
        runs.push(run.id);
    }
    let file = |run: usize, path: &str| {
        let folder = world.store.folder().join("mlflow/runs").join(runs[run].as_str()).join("artifacts");
        std::fs::read_to_string(folder.join(path)).ok()
    };
    let report = world.sync().await;
    let there = |run, path: &str| file(run, path).as_deref() == Some(path);
    assert!(there(2, "e") && there(2, "f"), "{report:?}");
    assert!(there(0, "a") ^ there(0, "a/b"));
    assert!(there(1, "c") ^ there(1, "c/d"));
    assert_eq!(report.missing.len(), 2, "{report:?}");
    assert_eq!(world.sync().await, SyncReport::default());
}

#[tokio::test]
async fn a_projection_that_is_deleted_ruined_or_half_migrated_is_made_again() {
    let world = world().await;
    world.sync().await;
    let path = world.store.mlflow().database();
    type Ruin = fn(&Path);
    let ruins: [(&str, Ruin); 4] = [
        ("deleted", |path| std::fs::remove_file(path).unwrap()),
        ("noise", |path| std::fs::write(path, [7; 9000]).unwrap()),
        ("empty", |path| std::fs::write(path, []).unwrap()),
        ("half migrated", |path| {
            Connection::open(path)
                .unwrap()
                .execute_batch("PRAGMA foreign_keys = OFF; DROP TABLE metrics;")
                .unwrap();
        }),
    ];
    for (what, ruin) in ruins {
        ruin(&path);
        let report = world.sync().await;
        assert!(report.rebuilt, "{what}");
        assert_eq!((report.runs, report.points, report.models), (2, 203, 1), "{what}");
        assert_eq!(world.texts("SELECT name FROM runs ORDER BY name"), ["main", "part"], "{what}");
    }
    assert!(world.store.verify().await.unwrap().is_sound(), "nothing of it touched the store");
}

#[tokio::test]
async fn a_store_that_was_moved_gets_its_projection_anew() {
    let world = world().await;
    world.sync().await;
    let moved = world.dir.path().join("elsewhere");
    drop(world.store);
    std::fs::rename(world.dir.path().join("a store"), &moved).unwrap();
    let store = LocalStore::open(&moved).unwrap();
    assert!(store.mlflow().sync().await.unwrap().rebuilt);
    let db = Connection::open(moved.join("mlflow.db")).unwrap();
    let uri: String = db.query_row("SELECT artifact_uri FROM runs LIMIT 1", [], |row| row.get(0)).unwrap();
    assert!(uri.contains("/elsewhere/mlflow/runs/"), "{uri}");
}

#[tokio::test]
async fn edits_wait_for_their_import_and_are_taken_over() {
    let world = world().await;
    world.sync().await;
    let mlflow = world.store.mlflow();
    assert_eq!(mlflow.edits().await.unwrap(), []);
    let (run, db) = (world.run.clone(), world.database());
    for sql in [
        format!("INSERT INTO tags (key, value, run_uuid) VALUES ('mlflow.note.content', 'looks good', '{run}')"),
        format!("UPDATE tags SET value = 'wind' WHERE key = 'team' AND run_uuid = '{run}'"),
        format!("UPDATE tags SET value = 'somebody' WHERE key = 'mlflow.user' AND run_uuid = '{run}'"),
        "UPDATE runs SET lifecycle_stage = 'deleted' WHERE name = 'part'".to_owned(),
        "INSERT INTO experiment_tags (key, value, experiment_id) SELECT 'mlflow.note.content', 'all of them', experiment_id FROM experiments WHERE experiment_id <> 0".to_owned(),
        "UPDATE model_versions SET description = 'better' WHERE version = 2".to_owned(),
        "INSERT INTO registered_model_aliases (alias, version, name) VALUES ('candidate', 2, 'churn')".to_owned(),
        "UPDATE registered_model_aliases SET version = 2 WHERE alias = 'champion'".to_owned(),
        "UPDATE registered_models SET description = 'a model'".to_owned(),
    ] {
        assert_eq!(db.execute(&sql, []).unwrap(), 1, "{sql}");
    }
    drop(db);
    let before: Vec<EditKind> = mlflow.edits().await.unwrap().into_iter().map(|edit| edit.kind).collect();
    assert_eq!(before.len(), 9, "{before:?}");

    let report = mlflow.import(&ActorId::new("reviewer").unwrap()).await.unwrap();
    let mut applied: Vec<EditKind> = report.applied.iter().map(|edit| edit.kind).collect();
    applied.sort();
    assert_eq!(
        applied,
        [
            EditKind::RunTag,
            EditKind::RunTag,
            EditKind::RunStage,
            EditKind::ExperimentTag,
            EditKind::VersionDescription,
            EditKind::Alias,
            EditKind::Alias,
        ]
    );
    let refused: Vec<EditKind> = report.refused.iter().map(|refused| refused.edit.kind).collect();
    assert_eq!(refused, [EditKind::RunTag, EditKind::ModelDescription], "{:?}", report.refused);

    let tracker = world.store.tracker();
    let main = tracker.run(&run).await.unwrap();
    let tag = |key: &str| main.tags.get(&TagKey::new(key).unwrap()).cloned();
    assert_eq!((tag("mlflow.note.content"), tag("team")), (Some("looks good".into()), Some("wind".into())));
    assert_eq!(main.actor, actor());
    let experiment = tracker.experiment(&main.experiment).await.unwrap();
    assert_eq!(experiment.tags.values().collect::<Vec<_>>(), ["all of them"]);
    let registry = world.store.registry();
    let aliases = registry.aliases(&model()).await.unwrap();
    let versions: Vec<(&str, u64)> = aliases.iter().map(|(alias, v)| (alias.as_str(), v.get())).collect();
    assert_eq!(versions, [("candidate", 2), ("champion", 2)]);
    let second = registry.get(&ModelRef::new(model(), Version::new(2).unwrap())).await.unwrap();
    assert_eq!(second.spec.tags.values().collect::<Vec<_>>(), ["better"]);

    // What was refused is still there and still an edit; everything else is the truth now.
    assert_eq!(mlflow.edits().await.unwrap().len(), 2);
    mlflow.rebuild().await.unwrap();
    assert_eq!(mlflow.edits().await.unwrap(), []);
    assert_eq!(
        world.texts("SELECT description FROM model_versions ORDER BY version"),
        ["the first", "better"]
    );
    assert_eq!(world.texts("SELECT lifecycle_stage FROM runs ORDER BY name"), ["active", "deleted"]);
}

#[tokio::test]
async fn a_protected_alias_is_not_moved_by_an_edit() {
    let world = world().await;
    let champion = Alias::new("champion").unwrap();
    let registry = world.store.registry().with_protected(champion, Protection::Gate);
    let mlflow = world.store.mlflow().with_registry(registry.clone());
    mlflow.sync().await.unwrap();
    world.database().execute("UPDATE registered_model_aliases SET version = 2", []).unwrap();
    let report = mlflow.import(&actor()).await.unwrap();
    assert_eq!((report.applied.len(), report.refused.len()), (0, 1), "{report:?}");
    assert_eq!(registry.get(&"churn:@champion".parse().unwrap()).await.unwrap().version, Version::FIRST);
}

#[tokio::test]
async fn a_change_of_the_truth_does_not_take_an_edit_away() {
    let world = world().await;
    world.sync().await;
    let candidate = Alias::new("candidate").unwrap();
    world
        .database()
        .execute(
            "INSERT INTO registered_model_aliases (alias, version, name) VALUES ('candidate', 1, 'churn')",
            [],
        )
        .unwrap();
    let two = Version::new(2).unwrap();
    let change = AliasChange::new(model(), candidate, two, actor());
    world.store.registry().set_alias(&change).await.unwrap();
    let edits = world.store.mlflow().edits().await.unwrap();
    assert_eq!(edits.len(), 1);
    assert_eq!((edits[0].before.as_deref(), edits[0].after.as_deref()), (Some("2"), Some("1")));
}

/// What MLflow's own server says of the projection, and the same after it has migrated and edited it.
async fn shown_by(python: &str) {
    let Ok(python) = std::env::var(python) else {
        println!("skipped: {python} is not set");
        return;
    };
    let world = world().await;
    world.sync().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/projection.py");
    let output = Command::new(&python)
        .arg(script)
        .arg(world.store.mlflow().database())
        .args(["ward", "churn", "edit"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let answers: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    println!("shown by MLflow {}", answers["mlflow"]);
    check_answers(&world, &answers);

    // It has migrated the file by now. We go on writing into it, and read what was edited.
    let tracker = world.store.tracker();
    let name = ExperimentName::new("ward").unwrap();
    let later = tracker.start_run(&RunSpec::new(name, "later", actor())).await.unwrap();
    let point = MetricPoint::new(metric("loss"), 0.5, later.started_at);
    tracker.write(&later.id, &LogBatch::new().metric(point)).await.unwrap();
    let report = world.sync().await;
    assert_eq!((report.rebuilt, report.runs, report.points), (false, 1, 1), "{report:?}");
    let report = world.store.mlflow().import(&actor()).await.unwrap();
    assert!(report.refused.is_empty(), "{:?}", report.refused);
    assert_eq!(report.applied.len(), 4, "{:?}", report.applied);
    let main = tracker.run(&world.run).await.unwrap();
    assert_eq!(main.tags[&TagKey::new("reviewed").unwrap()], "yes");
    assert_eq!(
        world.store.registry().get(&"churn:@candidate".parse().unwrap()).await.unwrap().version,
        Version::FIRST
    );
}

fn check_answers(world: &World, answers: &Value) {
    let main = &answers["runs"]["main"];
    assert_eq!(main["info"]["status"], "FINISHED");
    assert_eq!(main["info"]["run_id"], world.run.as_str());
    assert_eq!(main["info"]["user_id"], "trainer");
    assert_eq!(answers["runs"]["part"]["info"]["status"], "FAILED");
    let value = |list: &Value, key: &str| {
        let found = list.as_array().unwrap().iter().find(|item| item["key"] == key);
        found.unwrap_or_else(|| panic!("no {key} in {list}"))["value"].clone()
    };
    let data = &main["data"];
    assert_eq!(value(&data["metrics"], "auc"), 0.75);
    assert_eq!(value(&data["metrics"], "gone"), "NaN");
    assert_eq!(value(&data["metrics"], "high"), f64::MAX);
    assert_eq!(value(&data["params"], "depth"), "6");
    assert_eq!(value(&data["params"], "long"), "x".repeat(7000));
    assert_eq!(value(&data["tags"], "team"), "風");
    assert_eq!(value(&data["tags"], "mlops.infinite.high"), "Infinity");
    assert_eq!(value(&answers["runs"]["part"]["data"]["tags"], "mlflow.parentRunId"), world.run.as_str());
    let input = &main["inputs"]["dataset_inputs"][0];
    assert_eq!(input["dataset"]["name"], "patients");
    assert_eq!(input["dataset"]["digest"], Digest::of(b"rows").hex()[..32]);
    assert_eq!(value(&input["tags"], "mlflow.data.context"), "training");
    assert_eq!(answers["loss"].as_array().unwrap().len(), 200);
    assert_eq!(answers["filtered"], serde_json::json!(["main"]));
    assert_eq!(answers["artifacts"][0]["path"], "notes.txt");
    assert_eq!(answers["artifact"], "dear diary");
    assert_eq!(answers["versions"].as_array().unwrap().len(), 2);
    let champion = &answers["champion"];
    assert_eq!(
        (&champion["version"], &champion["description"]),
        (&Value::from("1"), &Value::from("the first"))
    );
    assert_eq!(champion["run_id"], world.run.as_str());
    assert_eq!(value(&champion["tags"], "mlops.metric.auc"), "0.75");
}

#[tokio::test]
async fn mlflow_2_shows_it() {
    shown_by("MLOPS_TEST_PYTHON_2").await;
}

#[tokio::test]
async fn mlflow_3_shows_it() {
    shown_by("MLOPS_TEST_PYTHON_3").await;
}
