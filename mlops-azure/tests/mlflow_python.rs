//! What the backends write, read back by MLflow's own Python client.
//!
//! Runs where `MLOPS_TEST_MLFLOW_2` and `MLOPS_TEST_PYTHON_2` (and `_3`) name a server and a Python with MLflow; `.ci/mlflow`
//! sets them.

mod servers;

use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use mlops_azure::mlflow::MlflowTracker;
use mlops_core::artifact::{ArtifactStore as _, ArtifactStoreExt as _};
use mlops_core::experiment::{
    DataInput, ExperimentSpec, ExperimentTracker as _, LogBatch, MetricPoint, RunEnd, RunSpec,
};
use mlops_core::hash::Digest;
use mlops_core::id::{TagKey, Tags};
use mlops_core::model::{ModelFormat, Signature};
use mlops_core::problem::Task;
use mlops_core::registry::{AliasChange, ModelRegistry as _, NewModelVersion};
use mlops_core::time::SystemClock;
use mlops_core::{ActorId, Alias, AssetName, ExperimentName, MetricKey, ModelName, ParamKey, RunId, Version};
use serde_json::{Value, json};

use servers::{Server, server};

fn actor() -> ActorId {
    ActorId::new("ann").unwrap()
}

fn tag(key: &str) -> TagKey {
    TagKey::new(key).unwrap()
}

/// Values that somebody logs, and what MLflow makes of them.
const VALUES: &[(f64, &str)] = &[
    (0.25, "0.25"),
    (f64::NAN, "nan"),
    (5e-324, "5e-324"),
    (f64::INFINITY, "1.7976931348623157e308"),
    (f64::NEG_INFINITY, "-1.7976931348623157e308"),
    (0.1 + 0.2, "0.30000000000000004"),
];

/// A run with a child, and what a reader must find.
async fn runs(server: &Server) -> (RunId, Value) {
    let namespace = ExperimentName::new(&server.name).unwrap();
    let tracker = MlflowTracker::new(server.client.clone()).with_namespace(namespace);
    let experiment = ExperimentName::new("churn").unwrap();
    tracker.ensure_experiment(&ExperimentSpec::new(experiment.clone())).await.unwrap();
    let spec = RunSpec::new(experiment.clone(), "Läufer 1", actor()).with_tag(tag("team"), "risk");
    let run = tracker.start_run(&spec).await.unwrap().id;
    let input = DataInput::new(
        AssetName::new("patients").unwrap(),
        Version::FIRST,
        Digest::of(b"patients"),
        "training",
    );
    let mut batch = LogBatch::new().param(ParamKey::new("depth").unwrap(), 6).tag(tag("größe"), "家族 👩‍👩‍👧");
    batch = batch.param(ParamKey::new("note").unwrap(), "").input(input.clone());
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    let key = |text: &str| MetricKey::new(text).unwrap();
    for (step, (value, _)) in (0..).zip(VALUES) {
        batch = batch.metric(MetricPoint::new(key("odd/values"), *value, at).with_step(step));
    }
    batch = batch.metric(MetricPoint::new(key("loss"), 0.25, at).with_step(1));
    tracker.write(&run, &batch).await.unwrap();
    let child = RunSpec::new(experiment, "child", actor()).with_parent(run.clone());
    let child = tracker.start_run(&child).await.unwrap().id;
    for run in [&child, &run] {
        tracker.finish_run(run, &RunEnd::FINISHED).await.unwrap();
    }
    let odd: Vec<_> = (0..).zip(VALUES).map(|(step, (_, text)): (i64, _)| json!([step, text])).collect();
    let expected = json!({
        "id": tracker.mlflow_run_id(&run).await.unwrap(),
        "name": "Läufer 1",
        "status": "FINISHED",
        "experiment": format!("{}/churn", server.name),
        "params": { "depth": "6", "note": "" },
        "tags": { "team": "risk", "größe": "家族 👩‍👩‍👧", "mlflow.user": "ann" },
        "metrics": { "odd/values": odd, "loss": [[1, "0.25"]] },
        "inputs": [["patients", &input.digest.hex()[..32], "training"]],
        "children": [tracker.mlflow_run_id(&child).await.unwrap()],
    });
    (run, expected)
}

/// Three versions of a model with aliases, and what a reader must find.
async fn model(server: &Server, run: RunId, run_on_server: &Value) -> Value {
    let clock = Arc::new(SystemClock::new());
    let store = Arc::new(server.store(clock.clone()));
    let namespace = ExperimentName::new(&server.name).unwrap();
    let tracker = MlflowTracker::new(server.client.clone()).with_namespace(namespace);
    let registry = server.registry(store.clone(), clock).with_runs_of(tracker);
    let churn = ModelName::new("churn").unwrap();
    let new = |artifact, description: &str| {
        let format = ModelFormat::new("mlops.linear/v1").unwrap();
        let signature = Signature::new(Task::BinaryClassification, Vec::new());
        NewModelVersion::new(churn.clone(), artifact, format, signature, actor())
            .with_description(description)
    };
    let bytes: Bytes = (0..=255).cycle().take(300_000).collect::<Vec<u8>>().into();
    let first = store.put_bytes(bytes.clone()).await.unwrap();
    let files = [(mlops_core::RelPath::new("model/weights").unwrap(), Bytes::from_static(b"0.5"))];
    let (tree, manifest) = store.put_files(&files).await.unwrap();
    let empty = store.put_bytes(Vec::new()).await.unwrap();
    let mut version = new(first.digest, "Beschreibung: größer\nals zuvor").with_run(run);
    version.tags = Tags::from([(tag("team"), "risk".to_owned()), (tag("old"), "1".to_owned())]);
    registry.register(&version).await.unwrap();
    registry.register(&new(tree.digest, "")).await.unwrap();
    registry.register(&new(empty.digest, &"x".repeat(9000))).await.unwrap();
    let tags = Tags::from([(tag("team"), "fraud".to_owned()), (tag("метка"), "да".to_owned())]);
    registry.set_tags(&churn, Version::FIRST, &tags, &actor()).await.unwrap();
    let at = |number| Version::new(number).unwrap();
    let alias = |text: &str, to| AliasChange::new(churn.clone(), Alias::new(text).unwrap(), at(to), actor());
    for change in [alias("champion", 1), alias("eu.west", 3), alias("gone", 2)] {
        registry.set_alias(&change).await.unwrap();
    }
    registry.set_alias(&alias("champion", 2).expecting(Some(at(1)))).await.unwrap();
    let removal = alias("gone", 2).expecting(Some(at(2))).with_to(None);
    registry.set_alias(&removal).await.unwrap();
    registry.set_archived(&churn, Version::FIRST, true, &actor()).await.unwrap();
    assert!(store.head(&first.digest).await.unwrap().is_some());
    let source_is_content = server.line == 2;
    json!({
        "name": format!("{}.churn", server.name),
        "aliases": { "champion": "2", "eu_2e_west": "3" },
        "versions": {
            "1": {
                "description": "Beschreibung: größer\nals zuvor", "run_id": run_on_server, "status": "READY",
                "tags": {
                    "team": "fraud", "метка": "да", "mlops.archived": "true", "mlops.actor": "ann",
                    "mlops.format": "mlops.linear/v1", "mlops.artifact": first.digest.to_string(),
                },
                "absent_tags": ["old"], "aliases": [],
                "content": hex(&bytes), "source_is_content": source_is_content,
            },
            "2": {
                "description": "", "run_id": "", "status": "READY", "tags": {}, "absent_tags": ["mlops.archived"],
                "aliases": ["champion"],
                "content": hex(&manifest.to_bytes().unwrap()), "source_is_content": source_is_content,
            },
            "3": {
                "description": format!("{}…", "x".repeat(4999)), "run_id": "", "status": "READY", "tags": {},
                "absent_tags": [], "aliases": ["eu_2e_west"],
                "content": "", "source_is_content": source_is_content,
            },
        },
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn reads_back(line: u8) {
    let Some(server) = server(line) else { return };
    let variable = format!("MLOPS_TEST_PYTHON_{line}");
    let Some(python) = std::env::var_os(&variable) else {
        println!("skipped: {variable} names no Python");
        return;
    };
    let (run, expected_run) = runs(&server).await;
    let model = model(&server, run, &expected_run["id"]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("expected.json");
    std::fs::write(&file, json!({ "runs": [expected_run], "model": model }).to_string()).unwrap();
    let output = tokio::task::spawn_blocking(move || {
        Command::new(python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/read_back.py"))
            .arg(&file)
            .env("MLFLOW_TRACKING_URI", &server.url)
            .env("MLFLOW_DISABLE_TELEMETRY", "true")
            .env("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
            .env("NO_PROXY", "127.0.0.1")
            .output()
            .unwrap()
    });
    let output = output.await.unwrap();
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    assert!(output.status.success(), "{said}\n{failed}");
    assert!(said.contains("comparisons, 0 differences"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mlflow2_reads_what_was_written() {
    reads_back(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mlflow3_reads_what_was_written() {
    reads_back(3).await;
}
