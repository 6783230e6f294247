//! The HTTP server on real sockets: every address, every fault that a caller can cause, changes of traffic under load, shadows,
//! capture, and its end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::artifact::ArtifactStoreExt as _;
use mlops_core::data::{DataType, Table};
use mlops_core::deploy::{
    Deployer, DeploymentSpec, EndpointSpec, MirrorChange, Sticky, StickyKey, TrafficChange, TrafficSplit,
};
use mlops_core::governance::Secret;
use mlops_core::memory::{MemoryArtifactStore, MemoryDeployer, MemoryModelRegistry, MemoryMonitor};
use mlops_core::model::{Feature, ModelFormat, ModelLoader, Predictions, Predictor, Signature};
use mlops_core::problem::Task;
use mlops_core::registry::{ModelRegistry, NewModelVersion};
use mlops_core::serve::http::{
    Access, Capture, CaptureSink, CapturedRows, Limits, Mirror, ModelHost, Redaction, RoutingKey, Running,
    ServedEndpoint, ServedMirror, Server,
};
use mlops_core::time::SystemClock;
use mlops_core::{DeploymentName, EndpointName, Error, ErrorKind, IdempotencyKey, Percent, Result};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

#[path = "serve_http/exposition.rs"]
mod exposition;
#[path = "serve_http/faults.rs"]
mod faults;
#[path = "serve_http/operation.rs"]
mod operation;

// ── models ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// The faults called `held…` whose models may go on.
static RELEASED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn release(held: &str) {
    RELEASED.lock().unwrap().insert(held.to_owned());
}

/// Answers `weight · age`, or misbehaves in the way its bytes say.
#[derive(Debug)]
struct Scaled {
    signature: Signature,
    weight: f64,
    fault: String,
}

fn signature() -> Signature {
    let optional = |name: &str, data_type| Feature::required(name, data_type).with_nullable(true);
    let inputs = vec![
        Feature::required("age", DataType::F64),
        optional("visits", DataType::I64),
        optional("plan", DataType::Category),
        optional("member", DataType::Bool),
    ];
    Signature::new(Task::Regression, inputs)
}

impl Predictor for Scaled {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn predict(&self, rows: &Table<'_>) -> Result<Predictions> {
        let ages = rows.column("age")?.to_f64()?;
        match self.fault.as_str() {
            "panics" => panic!("this model panics"),
            "fails" => {
                return Err(Error::new(ErrorKind::Storage, "predict", "the weights at /secret are gone"));
            }
            slow if slow.starts_with("slow ") => {
                std::thread::sleep(Duration::from_millis(slow["slow ".len()..].parse().unwrap()));
            }
            "classes" => {
                let values = ages.iter().flat_map(|age| [age / 100.0, 1.0 - age / 100.0]).collect();
                return Predictions::classes(["old", "young"], values);
            }
            held if held.starts_with("held") => {
                // A test that failed releases nobody, and is to end all the same.
                let patience = std::time::Instant::now() + Duration::from_secs(60);
                while !RELEASED.lock().unwrap().contains(held) && std::time::Instant::now() < patience {
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            _ => {}
        }
        Predictions::value(ages.iter().map(|age| age * self.weight).collect())
    }
}

/// Reads `WEIGHT FAULT`; broken, it reads nothing.
#[derive(Debug, Default)]
struct ScaledLoader {
    broken: AtomicBool,
    loads: AtomicUsize,
}

impl ModelLoader for ScaledLoader {
    fn load(&self, _: &ModelFormat, bytes: &[u8]) -> Result<Arc<dyn Predictor>> {
        self.loads.fetch_add(1, SeqCst);
        if self.broken.load(SeqCst) {
            return Err(Error::new(ErrorKind::Corrupt, "load", "cannot be read"));
        }
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (weight, fault) = text.split_once(' ').unwrap();
        let (signature, weight) = (signature(), weight.parse().unwrap());
        Ok(Arc::new(Scaled { signature, weight, fault: fault.to_owned() }))
    }
}

// ── the world ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const KEY: &str = "primary-key-of-the-tests";
const SECOND: &str = "secondary-key-of-the-tests";

struct World {
    artifacts: Arc<MemoryArtifactStore>,
    registry: Arc<MemoryModelRegistry>,
    deployer: Arc<MemoryDeployer>,
}

impl World {
    /// An endpoint `scores` with the deployments `blue` (×2) and `green` (×3); all traffic goes to blue.
    async fn new() -> Self {
        let clock = Arc::new(SystemClock::new());
        let artifacts = Arc::new(MemoryArtifactStore::default());
        let registry = Arc::new(MemoryModelRegistry::new(artifacts.clone(), clock.clone()));
        let loader = Arc::new(ScaledLoader::default());
        let deployer = MemoryDeployer::new(registry.clone(), artifacts.clone(), loader, clock);
        let world = Self { artifacts, registry, deployer: Arc::new(deployer) };
        let endpoint = EndpointSpec::new("scores".parse().unwrap(), "me".parse().unwrap());
        world.deployer.ensure_endpoint(&endpoint).await.unwrap();
        world.deploy("blue", "2 ok").await;
        world.deploy("green", "3 ok").await;
        world.split(&[("blue", 100)]).await;
        world
    }

    async fn deploy(&self, name: &str, model: &str) {
        let spec = register(&*self.registry, &*self.artifacts, name, model).await;
        self.deployer.deploy(&spec).await.unwrap();
    }

    async fn split(&self, shares: &[(&str, u8)]) {
        set_traffic(&*self.deployer, shares).await;
    }

    async fn start(&self, change: impl FnOnce(Server) -> Server) -> Running {
        let endpoint = ServedEndpoint::new("scores".parse().unwrap(), access());
        self.start_with(endpoint, change).await
    }

    async fn start_with(&self, endpoint: ServedEndpoint, change: impl FnOnce(Server) -> Server) -> Running {
        let server = change(Server::new(self.deployer.clone()).with_endpoint(endpoint));
        server.start("127.0.0.1:0".parse().unwrap()).await.unwrap()
    }
}

async fn register(
    registry: &dyn ModelRegistry,
    artifacts: &impl mlops_core::artifact::ArtifactStore,
    name: &str,
    model: &str,
) -> DeploymentSpec {
    let blob = artifacts.put_bytes(model.to_owned()).await.unwrap();
    let format = ModelFormat::new("test.scaled/v1").unwrap();
    let (model, me) = (format!("model-{name}").parse().unwrap(), "me".parse().unwrap());
    let spec = NewModelVersion::new(model, blob.digest, format, signature(), me);
    let version = registry.register(&spec).await.unwrap().version;
    DeploymentSpec::new("scores".parse().unwrap(), name.parse().unwrap(), spec.model, version, spec.actor)
}

fn split(shares: &[(&str, u8)]) -> TrafficSplit {
    let share = |(name, share): &(&str, u8)| (name.parse().unwrap(), Percent::new(*share).unwrap());
    TrafficSplit::new(shares.iter().map(share)).unwrap()
}

async fn set_traffic(deployer: &dyn Deployer, shares: &[(&str, u8)]) {
    let (key, split, actor) = (IdempotencyKey::generate(), split(shares), "me".parse().unwrap());
    let change = TrafficChange::new("scores".parse().unwrap(), split, actor).with_key(key);
    deployer.set_traffic(&change).await.unwrap();
}

fn access() -> Access {
    Access::keys(&Secret::new(KEY), Some(&Secret::new(SECOND))).unwrap()
}

// ── a client ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

#[derive(Clone, Debug)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    fn code(&self) -> String {
        let body = self.json();
        let code = body["error"].get("code").or_else(|| body.get("code"));
        code.and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn deployment(&self) -> &str {
        self.header("azureml-model-deployment")
    }

    /// What every error is, wherever it comes from.
    fn is_error(&self, status: u16, code: &str) -> &Self {
        assert_eq!((self.status, self.code().as_str()), (status, code), "{self:?}");
        assert_eq!(self.header("content-type"), "application/json");
        assert!(!self.body.contains("/secret") && !self.body.contains(KEY), "{self:?}");
        self
    }
}

struct Client(TcpStream);

impl Client {
    async fn to(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes).await
    }

    /// Reads one answer; nothing where the connection ended before its first byte.
    async fn answer(&mut self) -> Option<Answer> {
        let mut bytes = Vec::new();
        let head = loop {
            let mut piece = [0; 4096];
            let n = self.0.read(&mut piece).await.ok()?;
            if n == 0 {
                assert!(bytes.is_empty(), "half an answer: {}", String::from_utf8_lossy(&bytes));
                return None;
            }
            bytes.extend_from_slice(&piece[..n]);
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
        };
        let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
        let mut lines = text.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let pair =
            |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        let headers: BTreeMap<_, _> = lines.filter_map(pair).collect();
        let length: usize = headers.get("content-length").map_or(0, |n| n.parse().unwrap());
        let mut body = bytes[head + 4..].to_vec();
        while body.len() < length {
            let mut piece = [0; 4096];
            let n = self.0.read(&mut piece).await.ok()?;
            assert!(n > 0, "half an answer: {text}");
            body.extend_from_slice(&piece[..n]);
        }
        Some(Answer { status, headers, body: String::from_utf8(body).unwrap() })
    }

    async fn ask(&mut self, request: &str) -> Answer {
        self.send(request.as_bytes()).await.unwrap();
        self.answer().await.expect("an answer")
    }
}

fn post(path: &str, headers: &str, body: &str) -> String {
    let authorization = if headers.contains("authorization") {
        String::new()
    } else {
        format!("authorization: Bearer {KEY}\r\n")
    };
    let kind = if headers.contains("content-type") { "" } else { "content-type: application/json\r\n" };
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\n{authorization}{kind}{headers}content-length: {length}\r\n\r\n{body}"
    )
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n")
}

fn with_key() -> String {
    format!("authorization: Bearer {KEY}\r\n")
}

async fn ask(address: SocketAddr, request: &str) -> Answer {
    Client::to(address).await.ask(request).await
}

async fn score(address: SocketAddr, headers: &str, body: &str) -> Answer {
    ask(address, &post("/score", headers, body)).await
}

const ROW: &str = r#"{"data": [{"age": 10}]}"#;

async fn metric(address: SocketAddr, name: &str) -> f64 {
    let text = ask(address, &get("/metrics", &with_key())).await.body;
    let line = text.lines().find(|line| line.starts_with(name) && !line.starts_with('#'));
    line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

/// Held by tests that measure the memory of this process, and by those that take much of it.
static MEMORY: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..500 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

// ── addresses ────────────────────────────────────────────────────────────────────────────────────────────────────────────

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_taken_in_every_form_and_answered_in_the_words_of_the_address() {
    let running = World::new().await.start(|server| server).await;
    let address = running.local_addr();
    for body in [
        r#"{"input_data": {"columns": ["age", "visits", "plan", "member"], "index": [0, 1], "data": [[10, 1, "a", true], [20, null, "b", false]]}}"#,
        r#"{"input_data": {"data": [[10, "a"], [20, "b"]], "columns": ["age", "plan"]}}"#,
        r#"{"input_data": {"columns": ["unknown", "age"], "data": [[{"x": []}, 10], [null, 20.0]]}}"#,
        r#"{"input_data": [{"age": 10}, {"plan": "a", "age": 20, "more": [1]}]}"#,
        r#"{"input_data": {"age": [10, 20], "member": [true, null]}}"#,
        r#"{"input_data": [[10, 1, "a", true], [20, 3.0, null, 0]]}"#,
        r#"{"data": [[10, 1, "a", true], [2e1, 3, null, null]]}"#,
        r#"{"data": [{"age": 10}, {"age": 20}], "params": {}}"#,
        r#"{"dataframe_split": {"columns": ["age"], "data": [[10], [20]]}}"#,
        r#"{"dataframe_records": [{"age": 10}, {"age": 20}]}"#,
        r#"{"instances": [{"age": 10}, {"age": 20}], "params": null}"#,
        r#"{"inputs": {"age": [10, 20]}}"#,
        r#"{"inputs": [[10, null, null, null], [20, null, null, null]]}"#,
    ] {
        let answer = score(address, "", body).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "[20.0,40.0]"), "{body}: {answer:?}");
        assert_eq!((answer.deployment(), answer.header("content-type")), ("blue", "application/json"));
        for path in ["/invocations", "/endpoints/scores/invocations"] {
            let answer = ask(address, &post(path, "", body)).await;
            assert_eq!(answer.json(), json!({"predictions": [20.0, 40.0]}));
        }
    }
    let named = ask(address, &post("/endpoints/scores/score", "", ROW)).await;
    assert_eq!(named.body, "[20.0]");
    assert_eq!(score(address, "", r#"{"data": []}"#).await.body, "[]");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_classes_a_list_a_row_is_answered_and_monitors_say_that_they_take_none() {
    use mlops_core::monitor::MonitorSink;
    let world = World::new().await;
    world.deploy("many", "1 classes").await;
    world.split(&[("many", 100)]).await;
    let sink = MonitorSink::new(Arc::new(MemoryMonitor::new(Arc::new(SystemClock::new()))));
    let running = world.start(|server| server.with_capture(Capture::new(Arc::new(sink)))).await;
    let address = running.local_addr();
    let lists = json!([[0.25, 0.75], [0.5, 0.5]]);
    let rows = r#"{"data": [{"age": 25}, {"age": 50}]}"#;
    assert_eq!(score(address, "", rows).await.json(), lists);
    assert_eq!(ask(address, &post("/invocations", "", rows)).await.json(), json!({"predictions": lists}));
    let inputs = json!({"inputs": [{"name": "age", "shape": [2], "datatype": "FP64", "data": [25, 50]}]});
    let answer = ask(address, &post("/v2/models/scores/infer", "", &inputs.to_string())).await;
    let expected = json!([{
        "name": "predict",
        "shape": [2, 2],
        "datatype": "FP64",
        "parameters": {"classes": ["old", "young"]},
        "data": [0.25, 0.75, 0.5, 0.5],
    }]);
    assert_eq!(answer.json()["outputs"], expected);
    assert_eq!(score(address, "", r#"{"data": []}"#).await.body, "[]");
    // Captured rows that no monitor takes are counted, not lost in silence.
    eventually("the rows are counted as failed", async || {
        metric(address, "mlops_capture_failed_rows_total").await >= 6.0
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_not_what_the_model_takes_are_refused_with_their_place() {
    let running =
        World::new().await.start(|server| server.with_limits(Limits::default().with_max_rows(3))).await;
    let address = running.local_addr();
    for (body, code, detail) in [
        ("", "malformed_json", json!({"line": 1})),
        ("{", "malformed_json", json!({"line": 1})),
        (r#"{"data": [[1, 2"#, "malformed_json", json!({})),
        (r#"{"data": [{"age": NaN}]}"#, "malformed_json", json!({})),
        (r#"{"data": [{"age": 1e400}]}"#, "malformed_json", json!({})),
        (r#"{"data": [{"age": 1}]} x"#, "malformed_json", json!({})),
        ("{\"data\": [{\"plan\": \"\u{1}\", \"age\": 1}]}", "malformed_json", json!({})),
        ("[[1]]", "invalid_input", json!({})),
        ("null", "invalid_input", json!({})),
        ("{}", "invalid_input", json!({})),
        (r#"{"rows": [[1]]}"#, "invalid_input", json!({})),
        (r#"{"data": [[1]], "inputs": [[1]]}"#, "invalid_input", json!({})),
        (r#"{"data": [[1]], "data": [[1]]}"#, "invalid_input", json!({})),
        (r#"{"data": 7}"#, "invalid_input", json!({})),
        (r#"{"data": {"age": [1]}}"#, "invalid_input", json!({})),
        (r#"{"data": [7]}"#, "invalid_input", json!({"row": 0})),
        (r#"{"data": [{"age": 1}, "x"]}"#, "invalid_input", json!({"row": 1})),
        (r#"{"data": [[1, 2, "a"]]}"#, "invalid_input", json!({"row": 0})),
        (r#"{"data": [[1, 2, "a", true], [1, 2, "a", true, 5]]}"#, "invalid_input", json!({"row": 1})),
        (r#"{"data": [{"age": 1}, {"age": "old"}]}"#, "invalid_input", json!({"row": 1, "column": "age"})),
        (r#"{"data": [{"age": 1}, {"age": true}]}"#, "invalid_input", json!({"row": 1, "column": "age"})),
        (r#"{"data": [{"age": 1}, {"age": null}]}"#, "invalid_input", json!({"row": 1, "column": "age"})),
        (r#"{"data": [{"age": [1]}]}"#, "invalid_input", json!({"row": 0, "column": "age"})),
        (r#"{"data": [{"age": 1, "age": 2}]}"#, "invalid_input", json!({"row": 0})),
        (r#"{"data": [{"age": 1, "visits": 1.5}]}"#, "invalid_input", json!({"column": "visits"})),
        (
            r#"{"data": [{"age": 1, "visits": 18446744073709551615}]}"#,
            "invalid_input",
            json!({"column": "visits"}),
        ),
        (r#"{"data": [{"age": 1, "plan": 5}]}"#, "invalid_input", json!({"column": "plan"})),
        (r#"{"data": [{"age": 1, "member": "yes"}]}"#, "invalid_input", json!({"column": "member"})),
        (r#"{"data": [{"visits": 1}]}"#, "invalid_input", json!({"column": "age", "row": 0})),
        (r#"{"data": [{"age": 1}, {"age": 2}, {"age": 3}, {"age": 4}]}"#, "invalid_input", json!({})),
        (r#"{"inputs": {"age": [1, 2], "visits": [1]}}"#, "invalid_input", json!({"column": "visits"})),
        (r#"{"inputs": {"age": 1}}"#, "invalid_input", json!({"column": "age"})),
        (r#"{"inputs": {"visits": [1]}}"#, "invalid_input", json!({"column": "age"})),
        (
            r#"{"input_data": {"columns": ["age", "age"], "data": [[1, 2]]}}"#,
            "invalid_input",
            json!({"column": "age"}),
        ),
        (
            r#"{"input_data": {"columns": ["visits"], "data": [[1]]}}"#,
            "invalid_input",
            json!({"column": "age"}),
        ),
        (r#"{"input_data": {"columns": [0], "data": [[1]]}}"#, "invalid_input", json!({})),
        (r#"{"dataframe_split": [[1]]}"#, "invalid_input", json!({})),
        (r#"{"data": [{"age": 1}], "params": {"a": 1}}"#, "invalid_input", json!({})),
    ] {
        let answer = score(address, "", body).await;
        let details = &answer.is_error(400, code).json()["error"]["details"];
        for (key, value) in detail.as_object().unwrap() {
            assert_eq!(&details[key], value, "{body}: {answer:?}");
        }
    }
    let deep = format!(r#"{{"data": {}1{}}}"#, "[".repeat(20_000), "]".repeat(20_000));
    score(address, "", &deep).await.is_error(400, "invalid_input");
    let deep =
        format!(r#"{{"data": [{{"other": {}1{}, "age": 10}}]}}"#, "[".repeat(20_000), "]".repeat(20_000));
    assert_eq!(score(address, "", &deep).await.body, "[20.0]");
    let hostile = r#"{"data": [{"age": "\u001b[2J\n\u202e"}]}"#;
    let answer = score(address, "", hostile).await;
    assert!(!answer.is_error(400, "invalid_input").body.contains(['\u{1b}', '\u{202e}']), "{answer:?}");
    // MLflow's clients find what they look for, too.
    let answer = ask(address, &post("/invocations", "", "{}")).await;
    assert_eq!(answer.is_error(400, "invalid_input").json()["error_code"], "BAD_REQUEST");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_open_inference_protocol_is_spoken() {
    let world = World::new().await;
    let running = world.start(|server| server).await;
    let address = running.local_addr();
    let read = async |path: &str| ask(address, &get(path, &with_key())).await;
    assert_eq!(read("/v2").await.json()["extensions"], json!([]));
    assert_eq!(read("/v2/health/live").await.status, 200);
    assert_eq!(read("/v2/health/ready").await.status, 200);
    let model = read("/v2/models/scores").await.json();
    assert_eq!((&model["name"], &model["versions"]), (&json!("scores"), &json!(["blue", "green"])));
    assert_eq!(model["inputs"][0], json!({"name": "age", "datatype": "FP64", "shape": [-1]}));
    assert_eq!(model["inputs"][2], json!({"name": "plan", "datatype": "BYTES", "shape": [-1]}));
    assert_eq!(model["outputs"], json!([{"name": "predict", "datatype": "FP64", "shape": [-1]}]));
    assert_eq!(
        read("/v2/models/scores/versions/green/ready").await.json(),
        json!({"name": "scores", "ready": true})
    );
    assert_eq!(read("/v2/models/other").await.status, 404);
    assert_eq!(read("/v2/models/scores/versions/red/ready").await.status, 404);
    for (path, who, factor) in
        [("", "blue", 2.0), ("/versions/green", "green", 3.0), ("/versions/1", "blue", 2.0)]
    {
        let path = format!("/v2/models/scores{path}/infer");
        for (inputs, ages) in [
            (json!([{"name": "age", "shape": [2], "datatype": "FP64", "data": [10.5, 20]}]), [10.5, 20.0]),
            (json!([{"data": [[1], [2]], "name": "age", "shape": [2, 1], "datatype": "UINT8"}]), [1.0, 2.0]),
            (
                json!([{"name": "age", "shape": [2], "datatype": "FP32", "data": [10, 20], "parameters": {"a": 1}},
                {"name": "plan", "shape": [2], "datatype": "BYTES", "data": ["a", null]},
                {"name": "member", "shape": [2], "datatype": "BOOL", "data": [true, 0]},
                {"name": "visits", "shape": [2], "datatype": "INT64", "data": [1, -1]}]),
                [10.0, 20.0],
            ),
        ] {
            let body = json!({"id": "my-id", "inputs": inputs, "outputs": [{"name": "predict"}]}).to_string();
            let answer = ask(address, &post(&path, "", &body)).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let predictions: Vec<f64> = ages.iter().map(|age| age * factor).collect();
            let expected = json!({"model_name": "scores", "model_version": "1", "id": "my-id", "outputs":
                [{"name": "predict", "shape": [2], "datatype": "FP64", "data": predictions}]});
            assert_eq!((answer.deployment(), answer.json()), (who, expected));
        }
    }
    let tensor = |shape: Value, datatype: &str, data: Value| json!({"inputs": [{"name": "age", "shape": shape, "datatype": datatype, "data": data}]});
    for bad in [
        json!({"inputs": []}),
        json!({"inputs": [{"name": "age"}]}),
        tensor(json!([2]), "FP64", json!([1])),
        tensor(json!([2]), "FP64", json!([1, 2, 3])),
        tensor(json!([2]), "FP64", json!([[1, 2]])),
        tensor(json!([2, 1]), "FP64", json!([[1], [2, 3]])),
        tensor(json!([1, 2]), "FP64", json!([1, 2])),
        tensor(json!([1]), "FP16", json!([1])),
        tensor(json!([1]), "FP64", json!(["1"])),
        tensor(json!([1]), "FP64", json!(1)),
        tensor(json!([1]), "FP64", json!([{}])),
        tensor(json!([1]), "FP32", json!([1e300])),
        tensor(json!([1]), "INT8", json!([128])),
        tensor(json!([1]), "UINT8", json!([-1])),
        tensor(json!([1]), "INT32", json!([1.5])),
        tensor(json!([1]), "INT64", json!([u64::MAX])),
        tensor(json!([1]), "BOOL", json!([2])),
        tensor(json!([1]), "BYTES", json!(["x"])),
        tensor(json!([u64::MAX, u64::MAX]), "FP64", json!([1])),
        tensor(json!([-1]), "FP64", json!([1])),
        tensor(json!([]), "FP64", json!([])),
        json!({"inputs": [{"name": "weight", "shape": [1, 3], "datatype": "FP64", "data": [1, 2, 3]}]}),
        json!({"inputs": [{"name": "age", "shape": [1], "datatype": "FP64", "data": [1]},
            {"name": "age", "shape": [1], "datatype": "FP64", "data": [1]}]}),
        json!({"inputs": [{"name": "age", "shape": [1], "datatype": "FP64", "data": [1]}], "outputs": [{"name": "x"}]}),
    ] {
        let answer = ask(address, &post("/v2/models/scores/infer", "", &bad.to_string())).await;
        assert!(answer.is_error(400, "invalid_input").json()["error"].is_string(), "{bad}: {answer:?}");
    }
    let answer = ask(address, &post("/v2/models/scores/infer", "", "{")).await;
    answer.is_error(400, "malformed_json");
    let answer =
        ask(address, &post("/v2/models/scores/infer", "inference-header-content-length: 3\r\n", "{}")).await;
    answer.is_error(415, "unsupported_media_type");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_key_nothing_is_told() {
    let world = World::new().await;
    let running = world.start(|server| server).await;
    let (address, scores) = (running.local_addr(), "scores".parse().unwrap());
    for headers in [
        "authorization: x\r\n".to_owned(),
        "authorization: Bearer\r\n".to_owned(),
        "authorization: Bearer wrong-key-of-the-tests\r\n".to_owned(),
        format!("authorization: Basic {KEY}\r\n"),
        format!("authorization: Bearer {KEY}x\r\n"),
        format!("x-authorization: Bearer {KEY}\r\n"),
    ] {
        for path in ["/score", "/invocations", "/endpoints/other/score", "/v2/models/other/infer"] {
            let answer = ask(address, &post(path, &headers, ROW)).await;
            assert_eq!(answer.is_error(401, "unauthorized").header("www-authenticate"), "Bearer");
        }
        for path in ["/metrics", "/v2", "/v2/models/scores", "/v2/models/other/ready"] {
            ask(address, &get(path, &headers)).await.is_error(401, "unauthorized");
        }
    }
    assert_eq!(score(address, &format!("authorization: bearer {SECOND}\r\n"), ROW).await.status, 200);
    // Probes have no key, and learn one word.
    assert_eq!(ask(address, &get("/health/live", "")).await.json(), json!({"status": "live"}));
    assert_eq!(ask(address, &get("/health/ready", "")).await.json(), json!({"status": "ready"}));
    let told = ask(address, &get("/health/ready", &with_key())).await.json();
    assert_eq!(told["endpoints"][0]["deployments"][0]["traffic"], 100);
    // Keys are changed while the server runs.
    running.set_access(&scores, Access::keys(&Secret::new(SECOND), None).unwrap()).unwrap();
    score(address, "", ROW).await.is_error(401, "unauthorized");
    assert_eq!(score(address, &format!("authorization: Bearer {SECOND}\r\n"), ROW).await.status, 200);
    assert!(!format!("{running:?} {:?}", access()).contains("key-of-the-tests"));
    for bad in ["short", "with a space in between", "with\u{e9}-other-characters"] {
        let error = Access::keys(&Secret::new(bad), None).unwrap_err();
        assert!(!format!("{error:?}").contains(bad), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_none_are_told_why() {
    let running = World::new().await.start(|server| server).await;
    let address = running.local_addr();
    let key = with_key();
    ask(address, &get("/", &key)).await.is_error(404, "not_found");
    ask(address, &get("/score/", &key)).await.is_error(404, "not_found");
    ask(address, &get("/v2/nothing", &key)).await.is_error(404, "not_found");
    ask(address, &get("/score", &key)).await.is_error(405, "method_not_allowed");
    ask(address, &post("/metrics", "", "")).await.is_error(405, "method_not_allowed");
    ask(address, &post("/endpoints/other/score", "", ROW)).await.is_error(404, "unknown_endpoint");
    ask(address, &post("/endpoints/%ff/score", "", ROW)).await.is_error(404, "unknown_endpoint");
    ask(address, &post("/endpoints/..%2fx/score", "", ROW)).await.is_error(404, "unknown_endpoint");
    for kind in
        ["text/plain", "text/csv", "application/x-www-form-urlencoded", "application/json; charset=utf-16"]
    {
        let answer = score(address, &format!("content-type: {kind}\r\n"), ROW).await;
        answer.is_error(415, "unsupported_media_type");
    }
    score(address, "content-encoding: gzip\r\n", ROW).await.is_error(415, "unsupported_media_type");
    assert_eq!(score(address, "content-type: Application/JSON; charset=UTF-8\r\n", ROW).await.status, 200);
    for (name, status) in [("red", 404), ("", 404), ("../blue", 404), ("blue", 200), ("green", 200)] {
        let answer = score(address, &format!("azureml-model-deployment: {name}\r\n"), ROW).await;
        assert_eq!(answer.status, status, "{answer:?}");
        if status == 200 {
            assert_eq!(answer.deployment(), name);
        } else {
            answer.is_error(404, "unknown_deployment");
        }
    }
    // What is no HTTP is answered by a status alone.
    for (garbage, status) in
        [("nonsense\r\n\r\n".to_owned(), 400), (format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(80_000)), 431)]
    {
        let mut client = Client::to(address).await;
        let _refused = client.send(garbage.as_bytes()).await;
        if let Some(answer) = client.answer().await {
            assert_eq!(answer.status, status, "{answer:?}");
        }
    }
    assert_eq!(score(address, "", ROW).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_has_an_id_and_a_sane_one_is_kept() {
    let running = World::new().await.start(|server| server).await;
    let address = running.local_addr();
    let answer =
        score(address, "x-request-id: order-7:a.b_c\r\nx-ms-client-request-id: theirs\r\n", ROW).await;
    assert_eq!(
        (answer.header("x-request-id"), answer.header("x-ms-request-id")),
        ("order-7:a.b_c", "order-7:a.b_c")
    );
    assert_eq!(
        (answer.header("x-ms-client-request-id"), answer.header("x-content-type-options")),
        ("theirs", "nosniff")
    );
    let long = "y".repeat(129);
    for bad in ["", "a b", "a/b", "a\"b", long.as_str()] {
        let answer = score(address, &format!("x-request-id: {bad}\r\n"), ROW).await;
        assert_eq!(answer.header("x-request-id").len(), 36, "{answer:?}");
        assert_ne!(answer.header("x-request-id"), bad);
    }
    assert_eq!(ask(address, &get("/nowhere", "")).await.header("x-ms-request-id").len(), 36);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_server_on_this_machine_answers_no_foreign_host() {
    let world = World::new().await;
    let open = ServedEndpoint::new("scores".parse().unwrap(), Access::open());
    let running = world.start_with(open.clone(), |server| server).await;
    let request = |host: &str| post("/score", "authorization: none\r\n", ROW).replace("localhost", host);
    for host in ["localhost", "LOCALHOST:80", "127.0.0.1:5001", "[::1]:5001"] {
        assert_eq!(ask(running.local_addr(), &request(host)).await.status, 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", ""] {
        ask(running.local_addr(), &request(host)).await.is_error(421, "wrong_host");
    }
    let named = world.start_with(open, |server| server.with_hosts(["models.example"])).await;
    assert_eq!(ask(named.local_addr(), &request("models.example:443")).await.status, 200);
    ask(named.local_addr(), &request("localhost")).await.is_error(421, "wrong_host");
}

// ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// A number from `/proc/self/status`, in KiB; nothing where there is none.
fn memory(field: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_100_megabytes_is_refused_without_being_kept() {
    let running = World::new().await.start(|server| server).await;
    let address = running.local_addr();
    let _alone = MEMORY.lock().await;
    let before = memory("VmRSS");
    const SIZE: usize = 100_000_000;
    let head = |framing: &str| {
        let (key, kind) = (with_key(), "content-type: application/json\r\n");
        format!("POST /score HTTP/1.1\r\nhost: localhost\r\n{key}{kind}{framing}\r\n\r\n")
    };
    let chunk = [format!("{:x}\r\n", 1 << 16).into_bytes(), vec![b' '; 1 << 16], b"\r\n".to_vec()].concat();
    for (framing, piece) in [
        (format!("content-length: {SIZE}"), vec![b' '; 1 << 16]),
        ("transfer-encoding: chunked".to_owned(), chunk),
    ] {
        // A client that writes all it has before it looks for an answer.
        let mut client = Client::to(address).await;
        client.send(head(&framing).as_bytes()).await.unwrap();
        let mut sent = 0;
        while sent < SIZE && client.send(&piece).await.is_ok() {
            sent += 1 << 16;
        }
        let answer = client.answer().await.expect("the answer outlives the rest of the body");
        assert_eq!(answer.is_error(413, "body_too_large").json()["error"]["details"]["limit"], 4 << 20);
        println!("{framing}: {sent} bytes were sent before the answer was read");
    }
    // A client that asks first sends nothing.
    let mut client = Client::to(address).await;
    let answer = client.ask(&head(&format!("expect: 100-continue\r\ncontent-length: {SIZE}"))).await;
    answer.is_error(413, "body_too_large");
    if let (Some(before), Some(after)) = (before, memory("VmRSS")) {
        println!("resident before {before} KiB, after {after} KiB");
        assert!(after < before + 64 * 1024, "{before} KiB, then {after} KiB");
    }
    assert_eq!(score(address, "", ROW).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_and_half_requests_end_and_hold_up_nobody() {
    let limits = Limits::default()
        .with_header_timeout(Duration::from_millis(300))
        .with_body_timeout(Duration::from_millis(300))
        .with_idle_timeout(Duration::from_millis(700));
    let running = World::new().await.start(|server| server.with_limits(limits)).await;
    let address = running.local_addr();
    let whole = post("/score", "", ROW);
    // Headers that never end, a byte at a time: answered, and over.
    let mut slow = Client::to(address).await;
    let drip = async {
        for byte in whole.as_bytes().iter().cycle() {
            if slow.send(&[*byte]).await.is_err() {
                break;
            }
            let mut peeked = [0; 1];
            if matches!(
                tokio::time::timeout(Duration::from_millis(30), slow.0.peek(&mut peeked)).await,
                Ok(Ok(_))
            ) {
                break;
            }
        }
        slow.answer().await
    };
    drip.await.expect("an answer").is_error(408, "request_timeout");
    // Every half of a request: cut in the headers, at their end, in the body.
    let half = whole.len() - ROW.len();
    for cut in [1, 20, half - 3, half, half + 1, whole.len() - 1] {
        let mut client = Client::to(address).await;
        client.send(&whole.as_bytes()[..cut]).await.unwrap();
        client.answer().await.expect("an answer").is_error(408, "request_timeout");
        assert!(client.answer().await.is_none(), "closed");
        // The same, and the sender goes away.
        let mut client = Client::to(address).await;
        client.send(&whole.as_bytes()[..cut]).await.unwrap();
        drop(client);
    }
    // A connection on which nothing comes ends without a word; so does one after its answer.
    let mut idle = Client::to(address).await;
    assert!(idle.answer().await.is_none());
    let mut kept = Client::to(address).await;
    assert_eq!(kept.ask(&whole).await.status, 200);
    assert_eq!(kept.ask(&whole).await.status, 200);
    assert!(kept.answer().await.is_none());
    eventually("connections end", async || metric(address, "mlops_http_connections ").await <= 1.0).await;
    assert_eq!(metric(address, "mlops_http_in_flight").await, 1.0);
    assert_eq!(score(address, "", ROW).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_beyond_the_most_are_told_so() {
    let running = World::new()
        .await
        .start(|server| server.with_limits(Limits::default().with_max_connections(3)))
        .await;
    let address = running.local_addr();
    let mut kept = Vec::new();
    for _ in 0..3 {
        let mut client = Client::to(address).await;
        assert_eq!(client.ask(&post("/score", "", ROW)).await.status, 200);
        kept.push(client);
    }
    let answer = Client::to(address).await.answer().await.expect("an answer");
    assert_eq!(answer.is_error(503, "overloaded").header("retry-after"), "1");
    assert_eq!(kept[0].ask(&post("/score", "", ROW)).await.status, 200);
    drop(kept);
    eventually("there is room again", async || {
        let mut client = Client::to(address).await;
        client.send(post("/score", "", ROW).as_bytes()).await.is_ok()
            && client.answer().await.is_some_and(|answer| answer.status == 200)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_panics_or_fails_or_dawdles_fails_alone() {
    let world = World::new().await;
    for (name, model) in [("panics", "1 panics"), ("fails", "1 fails"), ("held", "1 held alone")] {
        world.deploy(name, model).await;
    }
    let running = world.start(|server| server).await;
    let address = running.local_addr();
    let to = |name: &str| format!("azureml-model-deployment: {name}\r\n");
    for _ in 0..3 {
        let answer = score(address, &to("panics"), ROW).await;
        assert_eq!(answer.is_error(500, "model_failed").header("ms-azureml-model-error-statuscode"), "500");
        score(address, &to("fails"), ROW).await.is_error(500, "model_failed");
        assert_eq!(score(address, "", ROW).await.status, 200);
    }
    let failed = r#"mlops_predict_requests_total{endpoint="scores",deployment="panics",outcome="failed"}"#;
    assert_eq!(metric(address, failed).await, 3.0);
    assert_eq!(metric(address, r#"mlops_http_failures_total{code="model_failed"}"#).await, 6.0);
    // What is served counts at the deployer, as if it had been asked there.
    let stats = world.deployer.stats(&"scores".parse().unwrap(), &"panics".parse().unwrap()).await.unwrap();
    assert_eq!((stats.requests, stats.failures), (3, 3));
    // One that does not answer is waited for so long and no longer; it keeps its place until it ends.
    let limits = Limits::default().with_request_timeout(Duration::from_millis(100)).with_max_in_flight(1);
    let running = world.start(|server| server.with_limits(limits.with_max_waiting(0))).await;
    let address = running.local_addr();
    score(address, &to("held"), ROW).await.is_error(504, "answer_timeout");
    score(address, "", ROW).await.is_error(429, "too_many_requests");
    assert_eq!(metric(address, r#"mlops_http_failures_total{code="answer_timeout"}"#).await, 1.0);
    release("held alone");
    eventually("there is a place again", async || score(address, "", ROW).await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_at_once_are_sent_away_and_the_others_answered() {
    let world = World::new().await;
    world.deploy("held", "1 held in numbers").await;
    let limits = Limits::default().with_max_in_flight(2).with_max_waiting(1);
    let running = world.start(|server| server.with_limits(limits)).await;
    let address = running.local_addr();
    let mut asked: Vec<JoinHandle<Answer>> = (0..8)
        .map(|_| tokio::spawn(async move { score(address, "azureml-model-deployment: held\r\n", ROW).await }))
        .collect();
    eventually("two are asked, one waits, five are sent away", async || {
        asked.iter().filter(|answer| answer.is_finished()).count() == 5
    })
    .await;
    release("held in numbers");
    let mut statuses = Vec::new();
    for answer in asked.drain(..) {
        let answer = answer.await.unwrap();
        if answer.status != 200 {
            assert_eq!(answer.is_error(429, "too_many_requests").header("retry-after"), "1");
        }
        statuses.push(answer.status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 429, 429, 429, 429, 429]);
    // Bodies share what there is for bodies.
    let limits = Limits::default().with_max_buffered(1_000);
    let running = world.start(|server| server.with_limits(limits)).await;
    let long = format!(r#"{{"data": [{{"age": 1{}}}]}}"#, " ".repeat(2_000));
    score(running.local_addr(), "", &long).await.is_error(503, "overloaded");
    assert_eq!(score(running.local_addr(), "", ROW).await.status, 200);
}

// ── traffic ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Callers that ask all the time, each on a connection of its own that it opens again when it is asked to, until told to stop or
/// nobody listens any more. Each answers what it was answered.
fn callers(address: SocketAddr, count: usize, until: Arc<AtomicBool>) -> Vec<JoinHandle<Vec<Answer>>> {
    (0..count).map(|user| tokio::spawn(call(address, user, until.clone()))).collect()
}

async fn call(address: SocketAddr, user: usize, until: Arc<AtomicBool>) -> Vec<Answer> {
    let (mut answers, mut kept) = (Vec::new(), None);
    let request = post("/score", &format!("x-user: user-{user}\r\n"), ROW);
    while !until.load(SeqCst) {
        let mut client = match kept.take() {
            Some(client) => client,
            None => match TcpStream::connect(address).await {
                Ok(stream) => Client(stream),
                Err(_) => break,
            },
        };
        client.send(request.as_bytes()).await.unwrap();
        let answer = client.answer().await.expect("no request is lost");
        let ends = answer.header("connection") == "close";
        answers.push(answer);
        // Who is told that the server goes asks another one.
        if ends {
            break;
        }
        kept = Some(client);
    }
    answers
}

fn by_user() -> ServedEndpoint {
    ServedEndpoint::new("scores".parse().unwrap(), access())
        .with_routing_key(RoutingKey::Header("x-user".to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traffic_changes_under_load_without_a_lost_request() {
    let world = World::new().await;
    let limits = Limits::default().with_refresh(Duration::from_millis(10));
    let running = world.start_with(by_user(), |server| server.with_limits(limits)).await;
    let (address, scores) = (running.local_addr(), "scores".parse().unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let callers = callers(address, 12, stop.clone());
    for share in [10, 50, 100, 0, 70] {
        world.split(&[("blue", 100 - share), ("green", share)]).await;
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    // A deployment that comes, takes everything, and goes again, while it is asked.
    world.deploy("red", "5 ok").await;
    world.split(&[("red", 100)]).await;
    let red = "red".parse().unwrap();
    let answered = async || world.deployer.stats(&scores, &red).await.unwrap().requests > 0;
    eventually("red answers", answered).await;
    world.split(&[("green", 100)]).await;
    world.deployer.delete_deployment(&scores, &red).await.unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    running.refresh(&scores).await.unwrap();
    score(address, "azureml-model-deployment: red\r\n", ROW).await.is_error(404, "unknown_deployment");
    stop.store(true, SeqCst);
    let (mut total, mut seen) = (0, BTreeSet::new());
    for caller in callers {
        for answer in caller.await.unwrap() {
            let expected = match answer.deployment() {
                "blue" => "[20.0]",
                "green" => "[30.0]",
                _ => "[50.0]",
            };
            assert_eq!((answer.status, answer.body.as_str()), (200, expected), "{answer:?}");
            seen.insert(answer.deployment().to_owned());
            total += 1;
        }
    }
    println!("{total} requests, none lost");
    assert_eq!(seen.len(), 3, "{seen:?}");
    let mut counted = 0;
    for name in ["blue", "green"] {
        counted += world.deployer.stats(&scores, &name.parse().unwrap()).await.unwrap().requests;
    }
    assert!(counted > 0 && counted <= total);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_stay_where_they_are_and_move_one_way() {
    let world = World::new().await;
    let limits = Limits::default().with_refresh(Duration::from_secs(3600));
    let in_body = by_user().with_routing_key(RoutingKey::Field("user".to_owned()));
    let headers = world.start_with(by_user(), |server| server.with_limits(limits.clone())).await;
    let fields = world.start_with(in_body, |server| server.with_limits(limits)).await;
    let scores = "scores".parse().unwrap();
    let mut before: BTreeSet<usize> = BTreeSet::new();
    for share in [20, 55, 90] {
        let shares = [("blue", 100 - share), ("green", share)];
        world.split(&shares).await;
        headers.refresh(&scores).await.unwrap();
        fields.refresh(&scores).await.unwrap();
        let mut on_green = BTreeSet::new();
        let mut client = Client::to(headers.local_addr()).await;
        let mut other = Client::to(fields.local_addr()).await;
        for user in 0..200 {
            let request = post("/score", &format!("x-user: user-{user}\r\n"), ROW);
            let answer = client.ask(&request).await;
            assert_eq!(client.ask(&request).await.deployment(), answer.deployment());
            // As the deployer itself routes, and however the key comes.
            let routed = split(&shares).route("scores", &format!("user-{user}"), None).unwrap().clone();
            assert_eq!(routed.as_str(), answer.deployment());
            let body = format!(r#"{{"user": "user-{user}", "data": [{{"age": 10}}]}}"#);
            assert_eq!(other.ask(&post("/score", "", &body)).await.deployment(), answer.deployment());
            let body = json!({"parameters": {"user": format!("user-{user}")}, "inputs":
                [{"name": "age", "shape": [1], "datatype": "FP64", "data": [10]}]});
            let open = other.ask(&post("/v2/models/scores/infer", "", &body.to_string())).await;
            assert_eq!(open.deployment(), answer.deployment());
            if answer.deployment() == "green" {
                on_green.insert(user);
            }
        }
        assert!(before.is_subset(&on_green), "nobody moves back");
        // Binomial, three standard deviations of at most 7.1.
        let expected = 2 * usize::from(share);
        assert!(on_green.len().abs_diff(expected) <= 22, "{} of 200 at {share} %", on_green.len());
        before = on_green;
    }
}

/// What the traffic says tells callers apart is what the server goes by, from the refresh on and until the traffic says nothing;
/// the server's own setting is what it goes by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_traffic_says_what_tells_callers_apart() {
    let world = World::new().await;
    let limits = Limits::default().with_refresh(Duration::from_secs(3600));
    let running = world.start_with(by_user(), |server| server.with_limits(limits)).await;
    let (scores, shares) = ("scores".parse().unwrap(), [("blue", 50), ("green", 50)]);
    let mut client = Client::to(running.local_addr()).await;
    let session = Sticky::header("x-session").unwrap().with_salt("autumn").unwrap();
    let field = Sticky::field("customer").unwrap();
    for sticky in [None, Some(session), Some(field), None] {
        let split = split(&shares).with_sticky(sticky.clone());
        let change = TrafficChange::new("scores".parse().unwrap(), split.clone(), "me".parse().unwrap());
        world.deployer.set_traffic(&change).await.unwrap();
        running.refresh(&scores).await.unwrap();
        let salt = sticky.as_ref().and_then(Sticky::salt).unwrap_or("scores");
        let mut seen = BTreeSet::new();
        for caller in 0..40 {
            // Three keys, of which one counts.
            let (user, session, customer) =
                (format!("user-{caller}"), format!("session-{caller}"), format!("customer-{caller}"));
            let headers = format!("x-user: {user}\r\nx-session: {session}\r\n");
            let by_field = format!(r#"{{"customer": "{customer}", "data": [{{"age": 10}}]}}"#);
            let (counts, body) = match sticky.as_ref().map(Sticky::key) {
                None => (&user, ROW),
                Some(StickyKey::Header(_)) => (&session, ROW),
                Some(_) => (&customer, by_field.as_str()),
            };
            let expected = split.route(salt, counts, None).unwrap().to_string();
            let answer = client.ask(&post("/score", &headers, body)).await;
            assert_eq!((answer.status, answer.deployment()), (200, expected.as_str()), "{split}");
            seen.insert(expected);
        }
        assert_eq!(seen.len(), 2);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn raising_a_share_moves_nobody_away_from_it(
        weights in prop::collection::vec(0..=100_u32, 2..6),
        taken in prop::collection::vec(0..=100_u8, 6),
        raised in 0..6_usize,
    ) {
        let raised = raised % weights.len();
        let sum: u32 = weights.iter().sum();
        prop_assume!(sum > 0);
        let mut shares: Vec<u8> = weights.iter().map(|w| u8::try_from(w * 100 / sum).unwrap()).collect();
        let rest = 100 - shares.iter().sum::<u8>();
        shares[0] += rest;
        let name = |i: usize| DeploymentName::new(format!("deployment-{i}")).unwrap();
        let make = |shares: &[u8]| {
            let parts = shares.iter().enumerate().map(|(i, share)| (name(i), Percent::new(*share).unwrap()));
            TrafficSplit::new(parts).unwrap()
        };
        let before = make(&shares);
        // Everybody else gives as much as they like to the one that is raised.
        for (i, taken) in taken.iter().enumerate().take(shares.len()) {
            if i != raised {
                let by = shares[i].min(*taken);
                shares[i] -= by;
                shares[raised] += by;
            }
        }
        let after = make(&shares);
        for user in 0..300 {
            let key = format!("user-{user}");
            if before.route("scores", &key, None) == Some(&name(raised)) {
                prop_assert_eq!(after.route("scores", &key, None), Some(&name(raised)));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_traffic_there_is_no_answer_and_no_readiness() {
    let world = World::new().await;
    let endpoint = EndpointSpec::new("empty".parse().unwrap(), "me".parse().unwrap());
    world.deployer.ensure_endpoint(&endpoint).await.unwrap();
    let empty = ServedEndpoint::new("empty".parse().unwrap(), access());
    let running = world.start(|server| server.with_endpoint(empty)).await;
    let address = running.local_addr();
    ask(address, &post("/endpoints/empty/score", "", ROW)).await.is_error(404, "no_traffic");
    assert_eq!(ask(address, &post("/endpoints/scores/score", "", ROW)).await.status, 200);
    ask(address, &post("/score", "", ROW)).await.is_error(404, "unknown_endpoint");
    assert_eq!(ask(address, &get("/health/ready", "")).await.status, 503);
    assert_eq!(ask(address, &get("/v2/health/ready", "")).await.status, 400);
    assert_eq!(ask(address, &get("/health/live", "")).await.status, 200);
    let missing = ServedEndpoint::new("missing".parse().unwrap(), access());
    let server = Server::new(world.deployer.clone()).with_endpoint(missing);
    assert_eq!(server.start("127.0.0.1:0".parse().unwrap()).await.unwrap_err().kind(), ErrorKind::NotFound);
    let none = Server::new(world.deployer.clone());
    assert_eq!(none.start("127.0.0.1:0".parse().unwrap()).await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[cfg(feature = "local")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_that_cannot_be_loaded_is_told_and_not_served() {
    use mlops_core::local::LocalStore;
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::open(folder.path()).unwrap();
    let registry = Arc::new(store.registry());
    let maker = store.deployer(registry.clone(), Arc::new(ScaledLoader::default()));
    maker
        .ensure_endpoint(&EndpointSpec::new("scores".parse().unwrap(), "me".parse().unwrap()))
        .await
        .unwrap();
    for (name, model) in [("blue", "2 ok"), ("green", "3 ok")] {
        let spec = register(&*registry, &store.artifacts(), name, model).await;
        maker.deploy(&spec).await.unwrap();
        if name == "blue" {
            set_traffic(&maker, &[("blue", 100)]).await;
        }
    }
    let green = "green".parse().unwrap();
    let scores = "scores".parse().unwrap();
    maker.delete_deployment(&scores, &green).await.unwrap();
    // Another process serves; here another deployer on the same folder.
    let loader = Arc::new(ScaledLoader::default());
    let serving = Arc::new(store.deployer(registry.clone(), loader.clone()));
    let limits = Limits::default().with_refresh(Duration::from_millis(10));
    let endpoint = ServedEndpoint::new(scores.clone(), access());
    let server = Server::new(serving.clone()).with_endpoint(endpoint).with_limits(limits);
    let running = server.start("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = running.local_addr();
    assert_eq!(score(address, "", ROW).await.deployment(), "blue");
    assert_eq!(loader.loads.load(SeqCst), 1);
    loader.broken.store(true, SeqCst);
    maker.deploy(&register(&*registry, &store.artifacts(), "green", "3 ok").await).await.unwrap();
    set_traffic(&maker, &[("green", 100)]).await;
    let ready = async || ask(address, &get("/health/ready", &with_key())).await;
    eventually("health tells", async || ready().await.json()["status"] == "degraded").await;
    let told = ready().await;
    assert_eq!(told.status, 200, "what was served is served");
    let failed = &told.json()["endpoints"][0]["deployments"][1];
    assert_eq!(
        (&failed["name"], &failed["state"], &failed["reason"]),
        (&json!("green"), &json!("failed"), &json!("corrupt data"))
    );
    assert_eq!(score(address, "", ROW).await.deployment(), "blue");
    score(address, "azureml-model-deployment: green\r\n", ROW).await.is_error(503, "not_ready");
    assert_eq!(
        metric(address, r#"mlops_deployment_loaded{endpoint="scores",deployment="green"}"#).await,
        0.0
    );
    loader.broken.store(false, SeqCst);
    eventually("it is loaded", async || score(address, "", ROW).await.deployment() == "green").await;
    assert_eq!(ready().await.json()["status"], "ready");
    assert_eq!(serving.stats(&scores, &green).await.unwrap().failures, 0);
    assert!(serving.stats(&scores, &green).await.unwrap().requests >= 1);
    let again = serving.model(&scores, &green).await.unwrap();
    assert_eq!(again.signature(), &signature());
    running.stop().await;
}

// ── shadows and capture ──────────────────────────────────────────────────────────────────────────────────────────────────

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shadow_is_asked_and_changes_nothing() {
    let world = World::new().await;
    world.deploy("held", "1 held in the shadow").await;
    let mirror = Mirror::new("green".parse().unwrap(), Percent::new(50).unwrap());
    let running = world.start_with(by_user().with_mirror(mirror), |server| server).await;
    let (address, scores) = (running.local_addr(), "scores".parse().unwrap());
    let mut client = Client::to(address).await;
    for user in 0..200 {
        let answer = client.ask(&post("/score", &format!("x-user: u{user}\r\n"), ROW)).await;
        assert_eq!((answer.deployment(), answer.body.as_str()), ("blue", "[20.0]"));
        // Asked past the split: not mirrored.
        client.ask(&post("/score", "azureml-model-deployment: blue\r\n", ROW)).await;
    }
    let stats =
        async |name: &str| world.deployer.stats(&scores, &name.parse().unwrap()).await.unwrap().requests;
    let mirrored = r#"mlops_mirror_requests_total{endpoint="scores",deployment="green"}"#;
    // Binomial, three standard deviations of 7.1.
    eventually("the shadow has caught up", async || {
        let asked = stats("green").await;
        (79..=121).contains(&asked) && metric(address, mirrored).await == asked as f64
    })
    .await;
    assert_eq!(stats("blue").await, 400);
    // A shadow that does not answer: nobody waits, and what does not fit is counted. It holds one request itself.
    let held = Mirror::new("held".parse().unwrap(), Percent::ALL);
    running.set_mirror(&scores, held).unwrap();
    for _ in 0..Mirror::MAX_WAITING + 50 {
        assert_eq!(client.ask(&post("/score", "", ROW)).await.status, 200);
    }
    assert!((49.0..=50.0).contains(&metric(address, "mlops_mirror_dropped_total").await));
    release("held in the shadow");
    running.set_mirror(&scores, ServedMirror::Off).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deployers_mirror_is_the_shadow_where_the_server_has_none_of_its_own() {
    let world = World::new().await;
    let running = world.start_with(by_user(), |server| server).await;
    let mut client = Client::to(running.local_addr()).await;
    let set = async |mirror: Option<Mirror>| {
        let (key, actor) = (IdempotencyKey::generate(), "me".parse().unwrap());
        let change = MirrorChange::new("scores".parse().unwrap(), mirror, actor).with_key(key);
        world.deployer.set_mirror(&change).await.unwrap();
    };
    let asked = async || {
        let (scores, green) = ("scores".parse().unwrap(), "green".parse().unwrap());
        world.deployer.stats(&scores, &green).await.unwrap().requests
    };
    set(Some(Mirror::new("green".parse().unwrap(), Percent::ALL))).await;
    eventually("the shadow is asked", async || {
        let answer = client.ask(&post("/score", "x-user: u1\r\n", ROW)).await;
        assert_eq!((answer.deployment(), answer.body.as_str()), ("blue", "[20.0]"));
        asked().await > 0
    })
    .await;
    set(None).await;
    eventually("the shadow is asked no more", async || {
        let before = asked().await;
        for _ in 0..5 {
            client.ask(&post("/score", "x-user: u1\r\n", ROW)).await;
        }
        asked().await == before
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shadow_that_the_server_takes_away_is_away_whatever_the_deployer_has() {
    let world = World::new().await;
    let scores: EndpointName = "scores".parse().unwrap();
    let green = || Mirror::new("green".parse().unwrap(), Percent::ALL);
    let (key, actor) = (IdempotencyKey::generate(), "me".parse().unwrap());
    let (endpoint, mirror) = (scores.clone(), Some(green()));
    let change = MirrorChange::new(endpoint, mirror, actor).with_key(key);
    world.deployer.set_mirror(&change).await.unwrap();
    let running = world.start_with(by_user().with_mirror(ServedMirror::Off), |server| server).await;
    let mut client = Client::to(running.local_addr()).await;
    let asked = async || world.deployer.stats(&scores, &"green".parse().unwrap()).await.unwrap().requests;
    let mut ask = async || {
        for _ in 0..5 {
            assert_eq!(client.ask(&post("/score", "x-user: u1\r\n", ROW)).await.deployment(), "blue");
        }
    };
    ask().await;
    // Set, and taken away: what was mirrored in between is the last.
    running.set_mirror(&scores, green()).unwrap();
    ask().await;
    eventually("the shadow is asked", async || asked().await == 5).await;
    running.set_mirror(&scores, None::<Mirror>).unwrap();
    ask().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(asked().await, 5);
    running.set_mirror(&scores, ServedMirror::Deployer).unwrap();
    ask().await;
    eventually("the deployer's shadow is asked", async || asked().await == 10).await;
    running.stop().await;
}

#[derive(Debug, Default)]
struct Kept {
    ids: Mutex<Vec<String>>,
    rows: Mutex<Vec<(String, f64, String)>>,
    dawdle: bool,
    failures: AtomicUsize,
}

#[async_trait]
impl CaptureSink for Kept {
    async fn capture(&self, rows: &CapturedRows<'_>) -> Result<()> {
        if self.failures.load(SeqCst) > 0 {
            self.failures.fetch_sub(1, SeqCst);
            return Err(Error::new(ErrorKind::Busy, "capture", "not now"));
        }
        if self.dawdle {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.ids.lock().unwrap().extend(rows.ids.iter().cloned());
        for (row, prediction) in rows.predictions.as_slice().iter().enumerate() {
            let shown: Vec<String> = rows
                .features
                .columns()
                .iter()
                .map(|c| format!("{}={}", c.name(), c.label(row).unwrap_or_default()))
                .collect();
            self.rows.lock().unwrap().push((rows.deployment.to_string(), *prediction, shown.join(" ")));
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_asked_and_answered_is_captured_as_far_as_it_may_be() {
    let world = World::new().await;
    let kept = Arc::new(Kept::default());
    kept.failures.store(2, SeqCst);
    let redaction =
        Redaction::none().removing("member").hashing("plan", &Secret::new("the key of the hashes"));
    let capture = Capture::new(kept.clone()).with_share(0.5).with_redaction(redaction);
    let mirror = Mirror::new("green".parse().unwrap(), Percent::ALL);
    let endpoint = ServedEndpoint::new("scores".parse().unwrap(), access()).with_mirror(mirror);
    let running = world.start_with(endpoint, |server| server.with_capture(capture)).await;
    let mut client = Client::to(running.local_addr()).await;
    for i in 0..100 {
        let body = format!(r#"{{"data": [{{"age": {i}, "plan": "gold", "member": true, "visits": 3}}]}}"#);
        client.ask(&post("/score", &format!("x-request-id: r{i}\r\n"), &body)).await;
    }
    // The same ids again at another time, and many rows under one id.
    let rows = r#"{"data": [{"age": 1}, {"age": 2}]}"#;
    let many: Vec<String> = (0..20).map(|i| format!("m{i}")).collect();
    for id in &many {
        client.ask(&post("/score", &format!("x-request-id: {id}\r\n"), rows)).await;
    }
    client.ask(&post("/score", "x-request-id: r1\r\n", "{}")).await.is_error(400, "invalid_input");
    let drained = running.stop().await;
    assert!(drained.is_complete() && drained.uncaptured == 0, "{drained:?}");
    let ids = kept.ids.lock().unwrap().clone();
    let live: BTreeSet<&str> =
        ids.iter().map(String::as_str).filter(|id| id.starts_with('r') && !id.contains('@')).collect();
    let shadow: BTreeSet<&str> =
        ids.iter().filter(|id| id.starts_with('r')).filter_map(|id| id.strip_suffix("@green")).collect();
    assert_eq!(live, shadow, "a request is captured with its shadow or not at all");
    // Binomial, three standard deviations of 5.
    assert!((35..=65).contains(&live.len()), "{}", live.len());
    let taken: Vec<bool> = many.iter().map(|id| ids.contains(&format!("{id}/0"))).collect();
    let both = many.iter().zip(&taken).all(|(id, taken)| ids.contains(&format!("{id}/1")) == *taken);
    assert!(both && taken.contains(&true) && taken.contains(&false), "{taken:?}");
    let rows = kept.rows.lock().unwrap().clone();
    assert_eq!(rows.len(), ids.len());
    for (deployment, prediction, shown) in rows.iter().filter(|(_, _, shown)| shown.contains("visits=3")) {
        assert!(!shown.contains("gold") && !shown.contains("member"), "{shown}");
        let age: f64 = shown.split("age=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert_eq!(*prediction, age * if deployment == "blue" { 2.0 } else { 3.0 });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_is_too_slow_costs_rows_and_no_time() {
    let kept = Arc::new(Kept { dawdle: true, ..Kept::default() });
    let capture = Capture::new(kept.clone()).with_max_requests(2);
    let running = World::new().await.start(|server| server.with_capture(capture)).await;
    let mut client = Client::to(running.local_addr()).await;
    for _ in 0..100 {
        assert_eq!(client.ask(&post("/score", "", ROW)).await.status, 200);
    }
    let dropped = metric(running.local_addr(), "mlops_capture_dropped_rows_total").await;
    let drained = running.stop().await;
    assert!(
        dropped > 0.0 && drained.flushed && drained.uncaptured as f64 == dropped,
        "{dropped} {drained:?}"
    );
    assert_eq!(kept.ids.lock().unwrap().len() as f64, 100.0 - dropped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_monitor_joins_the_truth_to_what_was_captured() {
    use mlops_core::monitor::{GroundTruth, Monitor, MonitorSink};
    let monitor: Arc<dyn Monitor> = Arc::new(MemoryMonitor::new(Arc::new(SystemClock::new())));
    let capture = Capture::new(Arc::new(MonitorSink::new(monitor.clone())));
    let running = World::new().await.start(|server| server.with_capture(capture)).await;
    let answer = score(running.local_addr(), "", ROW).await;
    running.stop().await;
    let labels = [GroundTruth::new(answer.header("x-request-id").to_owned(), 21.0)];
    let receipt = monitor.label(&"scores".parse().unwrap(), &labels).await.unwrap();
    assert_eq!((receipt.joined, receipt.waiting), (1, 0));
}

// ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_under_load_answers_everything_it_was_sent() {
    let world = World::new().await;
    let limits = Limits::default().with_drain_grace(Duration::from_secs(2));
    let running = world.start(|server| server.with_limits(limits)).await;
    let address = running.local_addr();
    let callers = callers(address, 16, Arc::default());
    let mut kept_open = Client::to(address).await;
    assert_eq!(kept_open.ask(&post("/score", "", ROW)).await.status, 200);
    let never_used = Client::to(address).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let stopping = tokio::spawn(running.stop());
    // A connection that was kept open is heard for a moment longer.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let last = kept_open.ask(&post("/score", "", ROW)).await;
    assert_eq!((last.status, last.header("connection")), (200, "close"));
    let drained = stopping.await.unwrap();
    assert!(drained.is_complete(), "{drained:?}");
    drop(never_used);
    let mut total = 0;
    for caller in callers {
        let answers = caller.await.unwrap();
        total += answers.len() as u64;
        for answer in answers {
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }
    println!("{total} requests, none lost");
    let stats = world.deployer.stats(&"scores".parse().unwrap(), &"blue".parse().unwrap()).await.unwrap();
    assert_eq!(stats.requests, total + 2, "what was predicted was answered");
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_end_in_time_is_broken_off() {
    let limits = Limits::default().with_drain_timeout(Duration::from_millis(200));
    let running = World::new().await.start(|server| server.with_limits(limits)).await;
    let mut half = Client::to(running.local_addr()).await;
    half.send(&post("/score", "", ROW).as_bytes()[..60]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let drained = running.stop().await;
    assert_eq!((drained.broken_off, drained.is_complete()), (1, false));
    assert!(half.answer().await.is_none());
}
