//! What is sent is what azureml-mlflow sends, and the fake answers as MLflow does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mlops_azure::fake::FakeRequest;
use mlops_azure::http::{HttpBody, Method, ReqwestConfig, ReqwestTransport};
use mlops_core::RelPath;
use mlops_core::artifact::ArtifactStoreExt as _;
use mlops_core::model::{ModelFormat, Signature};
use mlops_core::problem::Task;
use mlops_core::registry::{AliasChange, ModelRegistry as _, NewModelVersion};
use mlops_core::{ModelName, Version};

use super::*;

/// A request as it was sent.
#[derive(Clone, Debug)]
struct Sent {
    method: String,
    url: String,
    headers: BTreeMap<String, String>,
    body: Value,
}

/// Sends every request, and remembers it.
struct Recorder {
    inner: Arc<dyn HttpTransport>,
    sent: Mutex<Vec<Sent>>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorder")
    }
}

#[async_trait]
impl HttpTransport for Recorder {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpFault> {
        let body = match &request.body {
            HttpBody::Bytes(bytes) => serde_json::from_slice(bytes).unwrap_or_default(),
            _ => Value::Null,
        };
        let header = |(name, value): (&mlops_azure::http::HeaderName, &mlops_azure::http::HeaderValue)| {
            (name.to_string(), value.to_str().unwrap_or_default().to_owned())
        };
        let headers = request.headers.iter().map(header).collect();
        let (method, url) = (request.method.to_string(), request.url.to_string());
        self.sent.lock().unwrap().push(Sent { method, url, headers, body });
        self.inner.send(request).await
    }
}

/// Method and path, with the workspace, the ids and the host's account left out.
fn shape(method: &str, url: &str) -> String {
    let path = url.split('?').next().unwrap_or_default();
    let (host, path) = path.strip_prefix("https://").unwrap_or(path).split_once('/').unwrap_or_default();
    if host.ends_with(".blob.core.windows.net") {
        return format!("{method} blob");
    }
    let below =
        path.split_once("/workspaces/").map_or(path, |(_, rest)| rest.split_once('/').map_or("", |(_, r)| r));
    let service = path.split('/').take(2).collect::<Vec<_>>().join("/");
    let mut segments: Vec<&str> = below.split('/').collect();
    for i in 0..segments.len().saturating_sub(1) {
        if service.starts_with("history") && matches!(segments[i], "experiments" | "runs") {
            segments[i + 1] = "ID";
        }
    }
    format!("{method} {service} {}", segments.join("/"))
}

fn recorded() -> Option<Vec<Value>> {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let named = std::env::var_os("MLOPS_TEST_AZURE_RECORDED").map(PathBuf::from);
    let mut above = folders.map(|folder| folder.join("shared/azure/recorded"));
    let file = named.or_else(|| above.find(|f| f.is_dir()))?.join("azureml-mlflow-1.62.0.post6.json");
    let text = std::fs::read_to_string(file).ok()?;
    Some(serde_json::from_str(&text).unwrap())
}

/// Members by name, with the kind of their values; what is in lists is looked at in the first item.
fn members(value: &Value) -> BTreeMap<String, &'static str> {
    let kind = |value: &Value| match value {
        Value::String(_) => "text",
        Value::Number(_) => "number",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
        Value::Bool(_) => "flag",
        Value::Null => "null",
    };
    let mut found = BTreeMap::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        found.insert(name.clone(), kind(value));
        let inner = value.as_array().and_then(|items| items.first()).map(members).unwrap_or_default();
        found.extend(inner.into_iter().map(|(inner, kind)| (format!("{name}[].{inner}"), kind)));
    }
    found
}

/// What azureml-mlflow 1.62.0.post6 with MLflow 3.15.0 does: a run with a parameter, metrics, a tag and an artifact, and a model
/// with a version and an alias.
async fn act(azure: &FakeAzure, transport: Arc<Recorder>) {
    let mlflow = through(azure, transport);
    let tracker = mlflow.tracker();
    let run = start(&tracker, "rn").await;
    let batch = LogBatch::new().param(ParamKey::new("p").unwrap(), 1).metric(point("m", 0.5, 1));
    tracker.write(&run, &batch).await.unwrap();
    tracker.heartbeat(&run, Duration::from_secs(60)).await.unwrap();
    let uuid = tracker.mlflow_run_id(&run).await.unwrap();
    let metric = wire::Metric { key: "a".to_owned(), value: 1.0, timestamp: 1_795_417_071_437, step: 0 };
    mlflow.log_metrics_async(&uuid, &[metric]).await.unwrap();
    let artifacts = mlflow.artifacts("ex", &uuid).unwrap();
    artifacts.upload(&RelPath::new("sub/a.txt").unwrap(), b"hi".to_vec().into()).await.unwrap();

    let clock = clock();
    let store = Arc::new(MemoryArtifactStore::new(clock.clone()));
    let content = store.put_bytes(b"weights".to_vec()).await.unwrap().digest;
    let registry = MlflowRegistry::new(mlflow.client().clone(), store, clock).with_runs_of(tracker.clone());
    let format = ModelFormat::new("mlops.linear/v1").unwrap();
    let name = ModelName::new("m").unwrap();
    let signature = Signature::new(Task::BinaryClassification, Vec::new());
    let mut new = NewModelVersion::new(name.clone(), content, format, signature, actor());
    new.run = Some(run.clone());
    registry.register(&new).await.unwrap();
    let alias = Alias::new("champion").unwrap();
    registry.set_alias(&AliasChange::new(name, alias, Version::FIRST, actor())).await.unwrap();
    tracker.finish_run(&run, &RunEnd::FINISHED).await.unwrap();
}

#[tokio::test]
async fn what_is_sent_is_what_the_official_client_sends() {
    let Some(recorded) = recorded() else {
        println!(
            "skipped: MLOPS_TEST_AZURE_RECORDED names no folder, and there is no shared/azure/recorded above"
        );
        return;
    };
    let azure = crate::judged();
    let recorder = Arc::new(Recorder { inner: azure.transport(), sent: Mutex::default() });
    act(&azure, recorder.clone()).await;
    let ours = recorder.sent.lock().unwrap().clone();
    // What it does besides, or in another way: it asks which clouds there are and whether it may report on its user; it logs what
    // comes one by one, which goes in batches here; and it has stages, which are no longer a way to say what a model is for.
    let elsewhere = [
        "GET metadata/endpoints metadata/endpoints",
        "GET 3.15.0.json 3.15.0.json",
        "POST mlflow/v2.0 api/2.0/mlflow/runs/log-metric",
        "POST mlflow/v2.0 api/2.0/mlflow/model-versions/transition-stage",
        "GET mlflow/v2.0 api/2.0/mlflow/registered-models/get",
    ];
    let (mut compared, mut missing) = (0, Vec::new());
    for request in &recorded {
        let (method, url) = (request["method"].as_str().unwrap(), request["url"].as_str().unwrap());
        let wanted = shape(method, url);
        if elsewhere.contains(&wanted.as_str()) {
            continue;
        }
        let same: Vec<&Sent> = ours.iter().filter(|sent| shape(&sent.method, &sent.url) == wanted).collect();
        // The same thing is called by two names in some bodies; one is enough.
        let mut expected = members(&request["body"]);
        expected.retain(|name, _| name != "run_uuid");
        let fits = |sent: &&&Sent| {
            let there = members(&sent.body);
            expected.iter().all(|(name, kind)| there.get(name) == Some(kind))
        };
        if same.iter().find(fits).is_none() {
            missing.push(format!(
                "{wanted} {expected:?}; ours: {:?}",
                same.iter().map(|s| &s.body).collect::<Vec<_>>()
            ));
        }
        compared += 1;
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert_eq!(compared, recorded.len() - 6, "all others are compared");
    for sent in &ours {
        let is_blob = sent.url.contains(".blob.core.windows.net");
        assert_eq!(sent.headers.contains_key("authorization"), !is_blob, "{}", sent.url);
    }
    let blob = ours.iter().find(|sent| sent.url.contains(".blob.core.windows.net")).unwrap();
    let put = recorded.iter().find(|request| request["method"] == "PUT").unwrap();
    for header in ["x-ms-blob-type", "If-None-Match", "Content-Type"] {
        let ours = blob.headers.get(&header.to_ascii_lowercase()).map(String::as_str);
        assert_eq!(ours, put["headers"][header].as_str(), "{header}");
    }
    let entered = ours.iter().find(|sent| sent.url.contains("batch/metadata")).unwrap();
    let official =
        recorded.iter().find(|request| request["url"].as_str().unwrap().contains("batch/metadata"));
    assert_eq!(entered.body, official.unwrap()["body"]);
}

/// Somebody who answers calls of MLflow's API.
enum Server {
    Fake(FakeMlflow),
    Real(String, ReqwestTransport),
}

impl Server {
    /// Status and body of an answer.
    async fn ask(&self, method: Method, path: &str, arguments: &Value) -> (u16, Value) {
        let base = match self {
            Self::Fake(_) => "http://127.0.0.1:1",
            Self::Real(url, _) => url.trim_end_matches('/'),
        };
        let mut url: reqwest::Url = format!("{base}/api/2.0/mlflow/{path}").parse().unwrap();
        let mut request = HttpRequest::new(method.clone(), url.clone());
        if method == Method::GET {
            for (name, value) in arguments.as_object().unwrap() {
                url.query_pairs_mut().append_pair(name, value.as_str().unwrap());
            }
            request.url = url;
        } else {
            request.headers.insert("content-type", "application/json".parse().unwrap());
            request.body = arguments.to_string().into_bytes().into();
        }
        match self {
            Self::Fake(fake) => {
                let mut asked = FakeRequest::new(method, request.url.clone());
                if let HttpBody::Bytes(bytes) = request.body {
                    asked.body = bytes;
                }
                let answer = fake.respond(&asked).unwrap();
                (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
            }
            Self::Real(_, transport) => {
                request.timeout = Duration::from_secs(300);
                let answer = transport.send(request).await.unwrap();
                let body = answer.body.collect(64 << 20).await.unwrap();
                (answer.status, serde_json::from_slice(&body).unwrap_or_default())
            }
        }
    }
}

/// What is compared of an answer: its status, its error's code, and what our client reads.
fn seen((status, body): &(u16, Value), picks: &[&str]) -> String {
    let code = body["error_code"].as_str().unwrap_or("-");
    let picks: Vec<String> = picks
        .iter()
        .map(|pointer| body.pointer(pointer).map_or_else(|| "none".to_owned(), ToString::to_string))
        .collect();
    format!("{status} {code} {}", picks.join(" "))
}

/// The same requests to any server, and what it answers. Names and ids differ from run to run, and are left out.
async fn conversation(server: &Server) -> Vec<(String, String)> {
    let (post, get) = (Method::POST, Method::GET);
    let mut found = Vec::new();
    let name = format!("t{}", uuid::Uuid::new_v4().simple());
    macro_rules! ask {
        ($label:expr, $method:expr, $path:expr, $arguments:expr $(, $pick:expr)*) => {{
            let answer = server.ask($method.clone(), $path, &$arguments).await;
            found.push((format!("{}: {} {}", $label, $method, $path), seen(&answer, &[$($pick),*])));
            answer.1
        }};
    }
    // Experiments.
    let made = ask!(
        "new",
        post,
        "experiments/create",
        json!({ "name": name, "tags": [{"key": "k", "value": "v"}] })
    );
    let experiment = made["experiment_id"].as_str().unwrap().to_owned();
    ask!("again", post, "experiments/create", json!({ "name": name }));
    ask!("no name", post, "experiments/create", json!({}));
    ask!(
        "get",
        get,
        "experiments/get",
        json!({ "experiment_id": experiment }),
        "/experiment/lifecycle_stage",
        "/experiment/tags"
    );
    ask!("none", get, "experiments/get", json!({ "experiment_id": "987654321" }));
    ask!(
        "name",
        get,
        "experiments/get-by-name",
        json!({ "experiment_name": name }),
        "/experiment/lifecycle_stage"
    );
    ask!("no such", get, "experiments/get-by-name", json!({ "experiment_name": format!("{name}x") }));
    let filter = format!("name LIKE '{name}%'");
    let search = json!({ "filter": filter, "max_results": 10, "view_type": "ACTIVE_ONLY" });
    ask!("search", post, "experiments/search", search, "/experiments/0/lifecycle_stage", "/experiments/1");
    ask!("bad filter", post, "experiments/search", json!({ "filter": "name LIKE", "max_results": 10 }));
    ask!("too many", post, "experiments/search", json!({ "max_results": 1_000_000 }));
    ask!("delete", post, "experiments/delete", json!({ "experiment_id": experiment }));
    ask!("delete twice", post, "experiments/delete", json!({ "experiment_id": experiment }));
    ask!(
        "deleted",
        get,
        "experiments/get-by-name",
        json!({ "experiment_name": name }),
        "/experiment/lifecycle_stage"
    );
    ask!("name of a deleted one", post, "experiments/create", json!({ "name": name }));
    ask!(
        "run in a deleted one",
        post,
        "runs/create",
        json!({ "experiment_id": experiment, "start_time": 1 })
    );
    ask!("restore", post, "experiments/restore", json!({ "experiment_id": experiment }));
    ask!("restore twice", post, "experiments/restore", json!({ "experiment_id": experiment }));
    ask!(
        "rename",
        post,
        "experiments/update",
        json!({ "experiment_id": experiment, "new_name": format!("{name}-2") })
    );
    ask!(
        "tag",
        post,
        "experiments/set-experiment-tag",
        json!({ "experiment_id": experiment, "key": "a", "value": "b" })
    );

    // Runs.
    let body = json!({ "experiment_id": experiment, "user_id": "u", "run_name": "rn", "start_time": 1_000,
        "tags": [{"key": "mlops.run_key", "value": "k1"}, {"key": "mlflow.user", "value": "u"}] });
    let made = ask!(
        "new",
        post,
        "runs/create",
        body,
        "/run/info/status",
        "/run/info/run_name",
        "/run/info/start_time",
        "/run/info/lifecycle_stage",
        "/run/info/user_id",
        "/run/data/metrics"
    );
    let run = made["run"]["info"]["run_id"].as_str().unwrap().to_owned();
    let named = json!({ "experiment_id": experiment, "run_name": "a", "start_time": 1,
        "tags": [{"key": "mlflow.runName", "value": "b"}] });
    ask!("two names", post, "runs/create", named);
    ask!("no experiment", post, "runs/create", json!({ "experiment_id": "987654321", "start_time": 1 }));
    ask!("none", get, "runs/get", json!({ "run_id": "0123456789abcdef0123456789abcdef" }));
    ask!("no id", get, "runs/get", json!({ "run_id": "../x" }));
    ask!("nothing", get, "runs/get", json!({}));
    ask!("no id", post, "runs/set-tag", json!({ "run_id": "../x", "key": "t", "value": "1" }));
    let nobody = "0123456789abcdef0123456789abcdef";
    ask!("nobody", post, "runs/set-tag", json!({ "run_id": nobody, "key": "t", "value": "1" }));
    ask!("nobody", post, "runs/update", json!({ "run_id": nobody, "status": "FINISHED" }));
    ask!("nobody", post, "runs/log-batch", json!({ "run_id": nobody, "tags": [] }));
    let param = |value: &str| json!({ "run_id": run, "key": "p", "value": value });
    ask!("first", post, "runs/log-parameter", param("1"));
    ask!("same", post, "runs/log-parameter", param("1"));
    ask!("other", post, "runs/log-parameter", param("2"));
    ask!("bad key", post, "runs/log-parameter", json!({ "run_id": run, "key": "a/../b", "value": "1" }));
    ask!(
        "long key",
        post,
        "runs/log-parameter",
        json!({ "run_id": run, "key": "k".repeat(251), "value": "1" })
    );
    for (i, value) in
        [json!(0.5), json!("NaN"), json!("Infinity"), json!("-Infinity"), json!(-0.0), json!(5e-324)]
            .iter()
            .enumerate()
    {
        let body =
            json!({ "run_id": run, "key": format!("m{i}"), "value": value, "timestamp": 5, "step": 1 });
        ask!("value", post, "runs/log-metric", body);
        ask!(
            "value",
            get,
            "metrics/get-history",
            json!({ "run_id": run, "metric_key": format!("m{i}") }),
            "/metrics"
        );
    }
    ask!("no value", post, "runs/log-metric", json!({ "run_id": run, "key": "m", "timestamp": 5 }));
    ask!("no time", post, "runs/log-metric", json!({ "run_id": run, "key": "m", "value": 1.0 }));
    ask!(
        "before 1970",
        post,
        "runs/log-metric",
        json!({ "run_id": run, "key": "m", "value": 1.0, "timestamp": -1 })
    );
    let metrics: Vec<Value> = [(1.0, 10, 0), (1.0, 10, 0), (3.0, 20, 0), (2.0, 20, 0), (9.0, 5, -1)]
        .iter()
        .map(|(value, time, step)| json!({ "key": "loss", "value": value, "timestamp": time, "step": step }))
        .collect();
    let batch = json!({ "run_id": run, "metrics": metrics, "params": [{"key": "q", "value": ""}],
        "tags": [{"key": "t", "value": "1"}] });
    ask!("batch", post, "runs/log-batch", batch);
    ask!("batch again", post, "runs/log-batch", batch);
    ask!(
        "history",
        get,
        "metrics/get-history",
        json!({ "run_id": run, "metric_key": "loss" }),
        "/metrics/3/value",
        "/metrics/4"
    );
    ask!(
        "no history",
        get,
        "metrics/get-history",
        json!({ "run_id": run, "metric_key": "none" }),
        "/metrics"
    );
    let read =
        ask!("get", get, "runs/get", json!({ "run_id": run }), "/run/data/params", "/run/info/end_time");
    let latest =
        read["run"]["data"]["metrics"].as_array().unwrap().iter().find(|m| m["key"] == "loss").cloned();
    found.push(("latest".to_owned(), latest.unwrap_or_default().to_string().replace(&run, "")));
    let conflict =
        json!({ "run_id": run, "params": [{"key": "p", "value": "9"}, {"key": "new", "value": "1"}] });
    ask!("conflict in a batch", post, "runs/log-batch", conflict);
    ask!("nothing of it", get, "runs/get", json!({ "run_id": run }), "/run/data/params");
    let twice = json!({ "run_id": run, "params": [{"key": "d", "value": "1"}, {"key": "d", "value": "2"}] });
    ask!("a key twice", post, "runs/log-batch", twice);
    let many = |what: &str, n: usize| {
        let item = |i: usize| match what {
            "metrics" => json!({ "key": "many", "value": 1.0, "timestamp": i, "step": 0 }),
            _ => json!({ "key": format!("k{i}"), "value": "v" }),
        };
        json!({ "run_id": run, what: (0..n).map(item).collect::<Vec<_>>() })
    };
    for (what, n) in [("metrics", 1_000), ("metrics", 1_001), ("params", 101), ("tags", 101)] {
        ask!(format!("{n} {what}"), post, "runs/log-batch", many(what, n));
    }
    ask!("tag", post, "runs/set-tag", json!({ "run_id": run, "key": "t", "value": "2" }));
    ask!(
        "long tag",
        post,
        "runs/set-tag",
        json!({ "run_id": run, "key": "long", "value": "x".repeat(9_000) })
    );
    let read = server.ask(get.clone(), "runs/get", &json!({ "run_id": run })).await.1;
    let tags = read["run"]["data"]["tags"].as_array().unwrap();
    let long = tags.iter().find(|tag| tag["key"] == "long").map(|tag| tag["value"].as_str().unwrap().len());
    found.push(("cut".to_owned(), format!("{long:?}")));
    ask!("remove tag", post, "runs/delete-tag", json!({ "run_id": run, "key": "t" }));
    ask!("remove twice", post, "runs/delete-tag", json!({ "run_id": run, "key": "t" }));
    let inputs = json!({ "run_id": run, "datasets": [{ "tags": [{"key": "mlflow.data.context", "value": "training"}],
        "dataset": { "name": "d", "digest": "0123", "source_type": "mlops", "source": "{}" } }] });
    ask!("inputs", post, "runs/log-inputs", inputs);

    // Searching.
    let other = server
        .ask(
            post.clone(),
            "runs/create",
            &json!({ "experiment_id": experiment, "start_time": 2_000, "run_name": "b" }),
        )
        .await;
    let other = other.1["run"]["info"]["run_id"].as_str().unwrap().to_owned();
    for filter in [
        "",
        "tags.`mlops.run_key` = 'k1'",
        "params.p = '1'",
        "params.p != '1'",
        "params.p LIKE '_'",
        "params.p ILIKE '1%'",
        "metrics.loss >= 3",
        "metrics.loss > 3",
        "metrics.m1 >= 0",
        "attributes.start_time >= 2000",
        "attributes.status != 'FAILED' and attributes.status != 'KILLED'",
        "status = 'FINISHED'",
        "params.p = '1' and metrics.loss < 100",
        "a = ",
        "params.p = '1' or params.p = '2'",
        "metrics.loss = 'x'",
    ] {
        let body = json!({ "experiment_ids": [experiment], "filter": filter, "max_results": 10,
            "order_by": ["attributes.start_time ASC"] });
        ask!(filter, post, "runs/search", body, "/runs/0/info/start_time", "/runs/1/info/start_time");
    }
    let ids = format!("attributes.run_id IN ('{run}','{other}')");
    let body =
        json!({ "experiment_ids": [experiment], "filter": ids, "max_results": 1, "run_view_type": "ALL" });
    let first = ask!("page", post, "runs/search", body, "/runs/0/info/start_time", "/runs/1");
    let mut next = body.clone();
    next["page_token"] = first["next_page_token"].clone();
    ask!("next page", post, "runs/search", next, "/runs/0/info/start_time", "/next_page_token");

    // How a run ends.
    let update = json!({ "run_id": run, "status": "FINISHED", "end_time": 9_000 });
    ask!("end", post, "runs/update", update, "/run_info/status", "/run_info/end_time");
    ask!(
        "unknown status",
        post,
        "runs/update",
        json!({ "run_id": run, "status": "BOGUS" }),
        "/run_info/status"
    );
    ask!("delete", post, "runs/delete", json!({ "run_id": run }));
    ask!("deleted", get, "runs/get", json!({ "run_id": run }), "/run/info/lifecycle_stage");
    ask!("write to a deleted one", post, "runs/set-tag", json!({ "run_id": run, "key": "t", "value": "2" }));
    ask!("batch to a deleted one", post, "runs/log-batch", many("metrics", 1));
    let view =
        |view: &str| json!({ "experiment_ids": [experiment], "run_view_type": view, "max_results": 10 });
    for name in ["ACTIVE_ONLY", "DELETED_ONLY", "ALL"] {
        ask!(name, post, "runs/search", view(name), "/runs/0/info/start_time", "/runs/1/info/start_time");
    }
    ask!("restore", post, "runs/restore", json!({ "run_id": run }));
    ask!("delete none", post, "runs/delete", json!({ "run_id": "0123456789abcdef0123456789abcdef" }));
    found.extend(models(server, &format!("{name}.m")).await);
    found
}

async fn models(server: &Server, name: &str) -> Vec<(String, String)> {
    let (post, get, patch, delete) = (Method::POST, Method::GET, Method::PATCH, Method::DELETE);
    let mut found = Vec::new();
    macro_rules! ask {
        ($label:expr, $method:expr, $path:expr, $arguments:expr $(, $pick:expr)*) => {{
            let answer = server.ask($method.clone(), $path, &$arguments).await;
            found.push((format!("{}: {} {}", $label, $method, $path), seen(&answer, &[$($pick),*])));
            answer.1
        }};
    }
    ask!(
        "new",
        post,
        "registered-models/create",
        json!({ "name": name, "description": "d" }),
        "/registered_model/description"
    );
    ask!("again", post, "registered-models/create", json!({ "name": name }));
    ask!("no name", post, "registered-models/create", json!({}));
    ask!("get", get, "registered-models/get", json!({ "name": name }), "/registered_model/description");
    ask!("none", get, "registered-models/get", json!({ "name": "none" }));
    let version = |tags: &[(&str, &str)]| {
        let tags: Vec<Value> = tags.iter().map(|(k, v)| json!({ "key": k, "value": v })).collect();
        json!({ "name": name, "source": "s3://b/m", "description": "v", "tags": tags })
    };
    let picks = [
        "/model_version/version",
        "/model_version/current_stage",
        "/model_version/status",
        "/model_version/tags",
    ];
    for tags in [&[("mlops.call", "a")][..], &[("mlops.call", "b")], &[]] {
        ask!("version", post, "model-versions/create", version(tags), picks[0], picks[1], picks[2], picks[3]);
    }
    ask!("no model", post, "model-versions/create", json!({ "name": "none", "source": "s3://b/m" }));
    ask!("no source", post, "model-versions/create", json!({ "name": name }));
    let one = |n: &str| json!({ "name": name, "version": n });
    ask!("get", get, "model-versions/get", one("2"), picks[0], picks[3], "/model_version/description");
    ask!("none", get, "model-versions/get", one("9"));
    ask!("no number", get, "model-versions/get", one("x"));
    ask!(
        "tag",
        post,
        "model-versions/set-tag",
        json!({ "name": name, "version": "2", "key": "t", "value": "1" })
    );
    ask!(
        "remove tag",
        delete,
        "model-versions/delete-tag",
        json!({ "name": name, "version": "2", "key": "t" })
    );
    ask!(
        "remove twice",
        delete,
        "model-versions/delete-tag",
        json!({ "name": name, "version": "2", "key": "t" })
    );
    ask!(
        "tag none",
        post,
        "model-versions/set-tag",
        json!({ "name": name, "version": "9", "key": "t", "value": "1" })
    );
    ask!(
        "describe",
        patch,
        "model-versions/update",
        json!({ "name": name, "version": "2", "description": "x" }),
        "/model_version/description"
    );
    let search = |filter: String, limit: &str| json!({ "filter": filter, "max_results": limit, "order_by": "version_number DESC" });
    let first = ask!(
        "search",
        get,
        "model-versions/search",
        search(format!("name='{name}'"), "2"),
        "/model_versions/0/version",
        "/model_versions/1/version",
        "/model_versions/2"
    );
    let mut next = search(format!("name='{name}'"), "2");
    next["page_token"] = first["next_page_token"].clone();
    ask!("next page", get, "model-versions/search", next, "/model_versions/0/version", "/model_versions/1");
    let tagged = format!("name='{name}' and tags.`mlops.call` = 'b'");
    ask!(
        "by tag",
        get,
        "model-versions/search",
        search(tagged, "1"),
        "/model_versions/0/version",
        "/model_versions/1"
    );
    ask!("bad filter", get, "model-versions/search", search("name=".to_owned(), "1"));
    ask!(
        "search models",
        get,
        "registered-models/search",
        json!({ "filter": format!("name='{name}'") }),
        "/registered_models/1"
    );
    let alias = |alias: &str, version: &str| json!({ "name": name, "alias": alias, "version": version });
    ask!("alias", post, "registered-models/alias", alias("champion", "2"));
    ask!("alias again", post, "registered-models/alias", alias("champion", "1"));
    ask!(
        "alias",
        get,
        "registered-models/alias",
        json!({ "name": name, "alias": "champion" }),
        picks[0],
        "/model_version/aliases"
    );
    ask!("alias to none", post, "registered-models/alias", alias("champion", "9"));
    for bad in ["latest", "v1", "a b"] {
        ask!(bad, post, "registered-models/alias", alias(bad, "1"));
    }
    ask!("no alias", get, "registered-models/alias", json!({ "name": name, "alias": "none" }));
    ask!("alias of none", get, "registered-models/alias", json!({ "name": "none", "alias": "champion" }));
    ask!("remove alias", delete, "registered-models/alias", json!({ "name": name, "alias": "champion" }));
    ask!("remove twice", delete, "registered-models/alias", json!({ "name": name, "alias": "champion" }));
    let stage = |stage: &str| json!({ "name": name, "version": "1", "stage": stage, "archive_existing_versions": false });
    ask!("stage", post, "model-versions/transition-stage", stage("Staging"), picks[0], picks[1]);
    ask!("bad stage", post, "model-versions/transition-stage", stage("Bogus"));
    ask!("remove", delete, "model-versions/delete", one("3"));
    ask!("remove twice", delete, "model-versions/delete", one("3"));
    ask!("numbers are not given again", post, "model-versions/create", version(&[]), picks[0]);
    ask!("remove model", delete, "registered-models/delete", json!({ "name": name }));
    ask!("removed", get, "model-versions/get", one("1"));
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fake_answers_as_mlflow_does() {
    let fake = conversation(&Server::Fake(FakeMlflow::new())).await;
    assert!(fake.len() > 120, "{}", fake.len());
    let Some(url) = std::env::var("MLOPS_TEST_MLFLOW_2").ok().filter(|url| !url.is_empty()) else {
        println!("skipped: MLOPS_TEST_MLFLOW_2 names no server");
        return;
    };
    let real = Server::Real(url, ReqwestTransport::new(&ReqwestConfig::default()).unwrap());
    let real = conversation(&real).await;
    let differ: Vec<_> = fake
        .iter()
        .zip(&real)
        .filter(|(fake, real)| fake != real)
        .map(|((label, fake), (_, real))| format!("{label}\n  fake: {fake}\n  real: {real}"))
        .collect();
    assert_eq!((differ.len(), fake.len()), (0, real.len()), "\n{}", differ.join("\n"));
}
