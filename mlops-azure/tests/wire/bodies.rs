//! Bodies of changes and actions, and of services behind other hosts than Resource Manager's, judged by what the official clients say of
//! them; and that no body of this crate is without a judge.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mlops_azure::config::Workspace;
use mlops_azure::fake::Bodies;
use mlops_azure::http::{Call, Method, Url};
use mlops_azure::wire::batch::{
    BatchInput, BatchInvoke, BatchInvokeProperties, BatchOutput, BatchRetry, BatchValueType,
};
use mlops_azure::wire::endpoint::{KeyType, RegenerateKeys};
use mlops_azure::wire::event::Event;
use mlops_azure::wire::history::{History, RunUpdate, TagChange};
use mlops_azure::wire::telemetry::{Envelope, TelemetryItem, Texts};
use mlops_azure::wire::workspace::{Diagnose, WorkspaceProperties};
use mlops_azure::wire::{Resource, RunHistory, secret};
use mlops_core::SecretName;
use mlops_core::governance::Secret;
use serde_json::{Value, json};

use super::{SUBSCRIPTION, everything, material, place, read, text};

/// A body, and where it goes.
struct Sent {
    method: Method,
    url: Url,
    body: Value,
}

impl Sent {
    fn new(method: &Method, url: &str, body: Value) -> Self {
        Self { method: method.clone(), url: url.parse().unwrap(), body }
    }

    fn of<T>(host: &str, call: &Call<T>) -> Self {
        let body = serde_json::from_slice(call.body().unwrap()).unwrap();
        Self::new(call.method(), &format!("https://{host}{}", call.target()), body)
    }
}

const ARM: &str = "management.azure.com";
const HISTORY: &str = "eastus.api.azureml.ms";

fn run_history() -> Vec<Sent> {
    let workspace = Workspace::new(SUBSCRIPTION, "rg", "wsp").unwrap();
    let history = History::from(&workspace);
    let mut update = RunUpdate::hidden(true).with_tag("a", "b").with_display_name("d").with_description("d");
    update.properties = Some(text(&[("c", "d")]));
    let tags = TagChange::removing(["old"]).with_tag("stage", "canary");
    let run = RunHistory::new(&workspace, "ex", "run").unwrap();
    vec![
        Sent::of(HISTORY, &history.update("test", "ex", "run", &update).unwrap()),
        Sent::of(HISTORY, &history.change_tags("test", "ex", "run", &tags).unwrap()),
        Sent::of(HISTORY, &history.children("test", "1", "run", None).unwrap()),
        Sent::of(HISTORY, &history.children("test", "1", "run", Some("next")).unwrap()),
        Sent::of(HISTORY, &run.enter("test", &["a/b.json", "c"]).unwrap()),
    ]
}

fn batch_calls() -> Vec<Sent> {
    let url = "https://nightly.eastus.inference.ml.azure.com/jobs";
    let data = |kind| BatchInput::data(kind, "azureml://datastores/d/paths/x/");
    let retry = BatchRetry {
        max_retries: Some(3),
        timeout: Some(Duration::from_secs(30).into()),
        ..BatchRetry::default()
    };
    let kinds = [
        BatchValueType::UriFile,
        BatchValueType::UriFolder,
        BatchValueType::MlTable,
        BatchValueType::CustomModel,
        BatchValueType::MlFlowModel,
        BatchValueType::TritonModel,
    ];
    let mut full = kinds.into_iter().fold(BatchInvoke::default(), |call, kind| {
        let name = kind.as_str().to_owned();
        let output = BatchOutput::to(kind.clone(), "azureml://datastores/d/paths/y/");
        call.with_input(&name, data(kind)).with_output(name, output)
    });
    full = full.with_input("threshold", BatchInput::literal(0.5)).with_instances(4).in_experiment("ex");
    full.properties = BatchInvokeProperties {
        name: Some("job-1".to_owned()),
        mini_batch_size: Some(10),
        error_threshold: Some(-1),
        output_file_name: Some("p.csv".to_owned()),
        retry_settings: Some(retry),
        ..full.properties
    };
    let plain =
        BatchInvoke::default().with_input("in", BatchInput::data(BatchValueType::UriFolder, "azureml:d:1"));
    [plain, full].map(|call| Sent::new(&Method::POST, url, serde_json::to_value(call).unwrap())).into()
}

fn others() -> Vec<Sent> {
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    let event = Event::new("1", "mlops", "Mlops.DriftDetected", at);
    let grid = Event { subject: Some("models/churn".to_owned()), ..event.clone() };
    let topic = "https://t.eastus-1.eventgrid.azure.net/api/events?api-version=2018-01-01";
    let item =
        TelemetryItem::event("prediction", at).with_property("model", "m:1").with_measurement("ms", 3.2);
    let tags = Texts::default();
    let envelope = Envelope::new(&item, "00000000-0000-0000-0000-00000000cafe", &tags);
    let track = "https://eastus-1.in.applicationinsights.azure.com/v2.1/track";
    let secret = secret::set("test", &SecretName::new("token").unwrap(), &Secret::new("v")).unwrap();
    vec![
        Sent::new(&Method::POST, topic, json!([event.cloud_event()])),
        Sent::new(&Method::POST, topic, json!([grid.grid_event()])),
        Sent::new(&Method::POST, track, json!([envelope])),
        Sent::of("kv.vault.azure.net", &secret),
    ]
}

/// Every body of this crate that Azure's type definitions do not have, but for MLflow's, which its tests send to the fake.
fn sent() -> Vec<Sent> {
    let endpoint = place().online_endpoint("churn").unwrap();
    let keys = RegenerateKeys { key_type: KeyType::Secondary };
    let keys: Call<Value> = endpoint.act("test", "regenerateKeys").unwrap().json(&keys).unwrap();
    let workspace = place().itself::<Resource<WorkspaceProperties>>();
    let diagnose: Call<Value> =
        workspace.act("test", "diagnose").unwrap().json(&Diagnose::default()).unwrap();
    let actions = everything().into_iter().filter(|built| built.kind.is_none()).map(|built| built.call);
    let actions = actions.chain([keys, diagnose]).filter(|call| call.target().starts_with("/subscriptions"));
    let actions: Vec<Sent> = actions.map(|call| Sent::of(ARM, &call)).collect();
    [actions, run_history(), batch_calls(), others()].into_iter().flatten().collect()
}

#[test]
fn azure_would_take_every_change_and_action_and_not_what_one_mistake_makes_of_it() {
    let (mut judged, mut mutants, mut seen) = (0, 0, BTreeSet::new());
    for Sent { method, url, body } in sent() {
        let bodies = Bodies::official();
        let of = bodies.of(&method, &url).unwrap_or_else(|| panic!("nobody judges {method} {url}"));
        let report = bodies.judge(&method, &url, &body).unwrap();
        assert_eq!((report.errors, report.warnings), (vec![], vec![]), "{method} {url}: {body:#}");
        for mutant in bodies.mutants(&method, &url, &body) {
            let report = bodies.judge(&method, &url, &mutant.body).unwrap();
            assert!(!report.errors.is_empty(), "{method} {url}: {} at {}", mutant.change, mutant.at);
            mutants += 1;
        }
        seen.insert(of.source.clone());
        judged += 1;
    }
    println!("{judged} bodies of {} operations judged, {mutants} mutants refused", seen.len());
    assert!(judged >= 20 && seen.len() >= 18 && mutants > 120, "{judged} {} {mutants}", seen.len());
}

/// The judge is not stricter than Azure: what the official clients sent in recorded conversations, and the minimal bodies, it takes.
#[test]
fn what_the_official_clients_sent_is_taken() {
    let Some(material) = material() else { return };
    let mut taken = BTreeMap::new();
    let mut take = |from: &str, method: &str, url: &str, body: &Value| {
        let (method, url): (Method, Url) = (method.parse().unwrap(), url.parse().unwrap());
        let Some(report) = Bodies::official().judge(&method, &url, body) else { return };
        assert_eq!((report.errors, report.warnings), (vec![], vec![]), "{from}: {method} {url}: {body:#}");
        *taken.entry(report.type_name).or_insert(0) += 1;
    };
    for file in
        ["azure-ai-ml-1.35.2-main", "azure-ai-ml-1.35.2-monitors-registries", "azureml-mlflow-1.62.0.post6"]
    {
        for exchange in read(&material.join(format!("recorded/{file}.json"))).as_array().unwrap() {
            let said = |member: &str| exchange[member].as_str().unwrap();
            take(file, said("method"), said("url"), &exchange["body"]);
        }
    }
    for exchange in read(&material.join("recorded/appinsights-track.json")).as_array().unwrap() {
        // The exporter sends to `//v2.1/track`.
        let url = exchange[1].as_str().unwrap().replace("//v2.1", "/v2.1");
        take("appinsights-track", exchange[0].as_str().unwrap(), &url, &exchange[3]);
    }
    for (name, minimal) in super::files(&material.join("minimal")) {
        let url = minimal["url"].as_str().unwrap();
        let url = match url {
            "{scoringUri}" => "https://e.eastus.inference.ml.azure.com/jobs".to_owned(),
            url if url.starts_with("/{scope}") => {
                format!("https://{ARM}{}", url.replace("{scope}", "subscriptions/s"))
            }
            url if url.starts_with('/') => format!("https://{ARM}{url}"),
            url => {
                url.replace("{IngestionEndpoint}", "https://x.in.applicationinsights.azure.com").to_owned()
            }
        };
        let url = url.replace(['{', '}'], "");
        if name != "online_score" {
            take(&name, minimal["method"].as_str().unwrap(), &url, &minimal["body"]);
        }
    }
    println!("{taken:#?}");
    assert!(taken.len() >= 20 && taken.values().sum::<u32>() >= 35, "{taken:#?}");
}

/// What makes a body, as it is written.
const MAKERS: [&str; 14] = [
    "Call::put(",
    "Call::patch(",
    ".patch(",
    ".json(&",
    ".json(data",
    ".json(body",
    ".post(op, ",
    ".post(OP, ",
    ".post(START, ",
    ".post(operation, ",
    ".delete(operation, \"",
    "Method::POST, ",
    "Method::PUT",
    "Method::PATCH",
];

const TYPES: &str = "Azure's type definitions: `azure_would_take_every_body`";
const CLIENTS: &str = "the official clients: `azure_would_take_every_change_and_action…`";
const MLFLOW: &str = "MLflow's messages: its tests send every one to the fake, which judges them";
const CONTENT: &str = "content, which has no type; the emulator of Storage takes it in `tests/azurite.rs`";
const NONE: &str = "makes no body of its own: it sends or reads what others made";

/// Where bodies are made, in how many lines, and who judges them.
const JUDGES: [(&str, usize, &str); 36] = [
    ("compute/mod.rs", 1, CLIENTS),
    ("deploy/batch.rs", 1, CLIENTS),
    ("deploy/online.rs", 3, CLIENTS),
    ("deploy/scoring.rs", 1, "rows, in the form that the model takes"),
    ("event/publish.rs", 1, CLIENTS),
    ("governance/tags.rs", 1, CLIENTS),
    ("governance/workspaces.rs", 1, CLIENTS),
    ("http/call.rs", 3, NONE),
    ("http/operation/state.rs", 1, NONE),
    ("http/webhook.rs", 1, "its receiver, who is not Azure"),
    ("mlflow/artifact.rs", 1, CONTENT),
    ("mlflow/artifact/multipart.rs", 4, MLFLOW),
    ("mlflow/azure/blob.rs", 3, CONTENT),
    ("mlflow/azure/mod.rs", 1, MLFLOW),
    ("mlflow/client.rs", 2, NONE),
    ("mlflow/registry/server.rs", 7, MLFLOW),
    ("mlflow/tracker/experiments.rs", 2, MLFLOW),
    ("mlflow/tracker/mod.rs", 4, MLFLOW),
    ("mlflow/tracker/search.rs", 1, MLFLOW),
    ("mlflow/tracker/start.rs", 5, MLFLOW),
    ("mlflow/tracker/write.rs", 2, MLFLOW),
    ("registry/shared.rs", 1, CLIENTS),
    ("storage/access.rs", 2, "headers alone: there is no body"),
    ("storage/client.rs", 1, NONE),
    ("storage/container.rs", 5, CONTENT),
    ("storage/datastore.rs", 1, CLIENTS),
    ("telemetry/insights.rs", 1, CLIENTS),
    ("telemetry/otlp.rs", 1, "the official message types: `tests/reference/otlp.py`"),
    ("wire/arm_scope.rs", 2, TYPES),
    ("wire/autoscale.rs", 1, TYPES),
    ("wire/blob_service.rs", 1, TYPES),
    ("wire/history.rs", 3, CLIENTS),
    ("wire/pending_upload.rs", 1, CLIENTS),
    ("wire/place.rs", 2, TYPES),
    ("wire/run_artifact.rs", 1, CLIENTS),
    ("wire/secret.rs", 1, CLIENTS),
];

/// A body that is made in a new place fails here until it is said who judges it.
#[test]
fn every_body_that_this_crate_makes_has_a_judge() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeMap::new();
    for path in sources(&root) {
        let name = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
        if name.starts_with("fake/") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = code.lines().map(str::trim).filter(|line| !line.starts_with("//"));
        let count = lines.filter(|line| MAKERS.iter().any(|maker| line.contains(maker))).count();
        if count > 0 {
            found.insert(name, count);
        }
    }
    let listed: BTreeMap<String, usize> =
        JUDGES.iter().map(|(name, count, _)| ((*name).to_owned(), *count)).collect();
    assert_eq!(found, listed, "a body is made in a new place: say who judges it");
}

/// Resources that this crate reads and never writes, and what it sends instead.
const NEVER_WRITTEN: [(&str, &str); 3] =
    [("WorkspaceProperties", "nothing"), ("Tags", "`TagPatch`"), ("AnySchedule", "`ModelMonitor`")];

/// A type of resources that no test here writes would have no judge.
#[test]
fn every_type_of_resource_is_written_by_a_test_here() {
    let text_of = |root: &str| -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(root);
        sources(&root).iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    };
    let (source, tests) = (text_of("src"), text_of("tests/wire"));
    let names =
        source.split("\nimpl Properties for ").skip(1).filter_map(|rest| rest.split([' ', '<']).next());
    let names: BTreeSet<&str> = names.collect();
    assert!(names.len() >= 15, "{names:?}");
    for name in names {
        let is_written = tests.contains(&format!("{name}::")) || tests.contains(&format!("{name} {{"));
        let is_read = NEVER_WRITTEN.iter().any(|(other, _)| *other == name);
        assert!(is_written != is_read, "{name}: written {is_written}, never written {is_read}");
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let of = |path: PathBuf| match path.is_dir() {
        true => sources(&path),
        false => vec![path],
    };
    entries.flat_map(of).filter(|path| path.extension().is_some_and(|ext| ext == "rs")).collect()
}
