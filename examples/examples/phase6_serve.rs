//! Phase 6: models over HTTP, traffic that moves while callers stay where they are, a shadow, what was asked kept for monitoring, and
//! how requests ended counted for alert rules and for the guards of a rollout.
//!
//! `cargo run -p mlops-examples --example phase6_serve`

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::Percent;
use mlops_core::artifact::ArtifactStoreExt as _;
use mlops_core::data::{Part, Table};
use mlops_core::deploy::{Deployer, DeploymentSpec, EndpointSpec, Sticky, TrafficChange, TrafficSplit};
use mlops_core::governance::Secret;
use mlops_core::local::LocalStore;
use mlops_core::model::Predictor as _;
use mlops_core::monitor::alerting::{AlertFormat, AlertInput, AlertRules, AlertState};
use mlops_core::monitor::{OperationRecorder, OperationSeries, Window};
use mlops_core::registry::{ModelRegistry as _, NewModelVersion};
use mlops_core::serve::BuiltinLoader;
use mlops_core::serve::http::{
    Access, Capture, CaptureSink, CapturedRows, Mirror, Redaction, ServedEndpoint, Server,
};
use mlops_core::time::{Clock as _, SystemClock, Timestamp};
use mlops_examples::narrate::{say, step};
use mlops_examples::prepare::{Source, prepare};
use mlops_examples::train::{Trainer, boosted_trees, logistic};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const KEY: &str = "keys come from a secret store";

/// Calls somebody when more than one request in twenty fails.
const RULES: &str = r#"
name = "diabetes"

[[rules]]
id = "errors"
signal = "error_rate"
above = 0.05
severity = "critical"

[[routes]]
id = "all"
sinks = ["log"]
"#;

/// Where captured rows go; a service hands them to its monitor by `monitor::MonitorSink`.
#[derive(Debug, Default)]
struct Counting(AtomicUsize);

#[async_trait]
impl CaptureSink for Counting {
    async fn capture(&self, rows: &CapturedRows<'_>) -> mlops_core::Result<()> {
        self.0.fetch_add(rows.ids.len(), Relaxed);
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let data = prepare(&Source::diabetes())?;
    let (train, rows) = (data.part(Part::Train)?, data.part(Part::Validation)?);

    step(1, "Two versions behind one endpoint, kept in a folder");
    let folder = std::env::temp_dir().join(format!("mlops-phase6-serve-{}", std::process::id()));
    let store = LocalStore::open(&folder)?;
    let deployer = Arc::new(store.deployer(Arc::new(store.registry()), Arc::new(BuiltinLoader)));
    deployer.ensure_endpoint(&EndpointSpec::new("diabetes".parse()?, "release".parse()?)).await?;
    let trainers: [(&str, Trainer); 2] = [("blue", logistic), ("green", boosted_trees)];
    for (deployment, trainer) in trainers {
        let model = trainer(&train, &data.features, 2004)?;
        let artifact = store.artifacts().put_bytes(model.bytes).await?.digest;
        let (name, signature) = ("diabetes".parse()?, model.predictor.signature().clone());
        let new = NewModelVersion::new(name, artifact, model.format, signature, "trainer".parse()?);
        let version = store.registry().register(&new).await?.version;
        let (endpoint, name) = ("diabetes".parse()?, deployment.parse()?);
        deployer.deploy(&DeploymentSpec::new(endpoint, name, new.model, version, new.actor)).await?;
        say(format!("{deployment}: version {version}, {}", model.name));
    }
    split(&*deployer, 0).await?;

    step(2, "A server, on a free port of this machine");
    // Half of the requests are captured, without the column that says most about a person.
    let captured = Arc::new(Counting::default());
    let redaction = Redaction::none().removing("sex");
    let capture = Capture::new(captured.clone()).with_share(0.5).with_redaction(redaction);
    let access = Access::keys(&Secret::new(KEY.replace(' ', "-")), None)?;
    let endpoint = ServedEndpoint::new("diabetes".parse()?, access)
        .with_mirror(Mirror::new("green".parse()?, Percent::new(20).unwrap_or(Percent::ALL)));
    let minute = Duration::from_secs(60);
    let (recorder, began) =
        (Arc::new(OperationRecorder::new(&OperationSeries::new(minute)?)), minute_of(now()));
    let server = Server::new(deployer.clone()).with_endpoint(endpoint).with_capture(capture);
    let server = server.with_observer(recorder.clone());
    let running = server.start("127.0.0.1:0".parse()?).await?;
    let address = running.local_addr();
    say(ask(address, "GET", "/health/ready", "", "").await?);
    say(format!("without a key: {}", ask(address, "POST", "/score", "", "{}").await?));

    step(3, "The same row in two dialects, and one deployment asked by name");
    let key = format!("authorization: Bearer {}\r\n", KEY.replace(' ', "-"));
    let row = as_json(&rows.take(&[0])?, &data.features)?;
    say(format!(
        "Azure:  {}",
        ask(address, "POST", "/score", &key, &format!(r#"{{"input_data": [{row}]}}"#)).await?
    ));
    let body = format!(r#"{{"dataframe_records": [{row}]}}"#);
    say(format!("MLflow: {}", ask(address, "POST", "/invocations", &key, &body).await?));
    let pinned = format!("{key}azureml-model-deployment: green\r\n");
    say(format!(
        "green:  {}",
        ask(address, "POST", "/score", &pinned, &format!(r#"{{"data": [{row}]}}"#)).await?
    ));
    let bad = r#"{"data": [{"age": "old"}]}"#;
    say(format!("a text for a number: {}", ask(address, "POST", "/score", &key, bad).await?));

    step(4, "Traffic moves; callers stay, or move once");
    let mut before = 0;
    for share in [0, 25, 100] {
        split(&*deployer, share).await?;
        // The server looks ten times a second by itself; here nobody wants to wait.
        running.refresh(&"diabetes".parse()?).await?;
        let (mut on_green, mut moved) = (0_u64, 0);
        for user in 0..60 {
            let headers = format!("{key}x-user: user-{user}\r\n");
            let answer =
                ask_whole(address, "POST", "/score", &headers, &format!(r#"{{"data": [{row}]}}"#)).await?;
            let green = answer.contains("azureml-model-deployment: green");
            let bit = 1_u64 << user;
            on_green |= if green { bit } else { 0 };
            moved += usize::from(green && before & bit == 0);
        }
        let back = (before & !on_green).count_ones();
        say(format!(
            "{share:>3} % to green: {} of 60 are there, {moved} moved, {back} moved back",
            on_green.count_ones()
        ));
        before = on_green;
    }

    step(5, "What is counted, and the end");
    let metrics = ask(address, "GET", "/metrics", &key, "").await?;
    for line in metrics
        .lines()
        .filter(|line| line.contains("outcome=\"answered\"") || line.starts_with("mlops_mirror_r"))
    {
        say(line);
    }
    // The same requests, as the server saw them end: for rules that call somebody, and for guards of a rollout.
    let rules = AlertRules::parse(RULES, AlertFormat::Toml)?;
    let mut state = AlertState::default();
    let window = Window::new(began, minute_of(now()) + minute)?;
    for found in recorder.reports(&window)? {
        for input in AlertInput::of_operation(&found.report, &found.labels()) {
            (state, _) = rules.step(&state, &input, now())?;
        }
        let whose = found.deployment.map_or("all".to_owned(), |deployment| deployment.to_string());
        say(format!("{whose}: {} answered, {} refused", found.report.answered, found.report.refused));
    }
    say(format!("rules that fire: {}", state.firing().count()));
    let (green, blue) = ("green".parse()?, "blue".parse()?);
    let seen = recorder.failures(&"diabetes".parse()?, &green, &blue, began)?;
    say(format!("what a guard would judge: {seen:?}"));
    let drained = running.stop().await;
    say(format!(
        "every request was answered: {}; rows captured: {}",
        drained.is_complete(),
        captured.0.load(Relaxed) > 0
    ));
    drop((deployer, store));
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Gives green a share of the traffic.
async fn split(deployer: &dyn Deployer, share: u8) -> Result<()> {
    let share = Percent::new(share).ok_or("a share is at most 100")?;
    let split = TrafficSplit::canary("blue".parse()?, "green".parse()?, share)?;
    // Callers are told apart by a header, wherever the endpoint is served.
    let split = split.with_sticky(Sticky::header("x-user")?);
    deployer.set_traffic(&TrafficChange::new("diabetes".parse()?, split, "release".parse()?)).await?;
    Ok(())
}

fn now() -> Timestamp {
    SystemClock::new().now()
}

/// The beginning of the minute that it is in, which is where a recorder begins to count anew.
fn minute_of(now: Timestamp) -> Timestamp {
    Timestamp::from_timestamp(now.timestamp() / 60 * 60, 0).unwrap_or(now)
}

/// The first row of a table as a JSON object.
fn as_json(rows: &Table<'_>, features: &[String]) -> Result<String> {
    let mut text = String::new();
    for feature in features {
        let column = rows.column(feature)?;
        let value = match (column.data_type().is_numeric(), column.label(0)) {
            (true, Some(label)) => label.into_owned(),
            (_, Some(label)) => serde_json::to_string(&label)?,
            (_, None) => "null".to_owned(),
        };
        write!(
            text,
            "{}{}: {value}",
            if text.is_empty() { "{" } else { ", " },
            serde_json::to_string(feature)?
        )?;
    }
    Ok(text + "}")
}

/// The body of an answer.
async fn ask(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Result<String> {
    let answer = ask_whole(address, method, path, headers, body).await?;
    Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// A whole answer, as any client gets it; programs use a library for this.
async fn ask_whole(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Result<String> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n"
    );
    let request = format!("{head}{headers}content-length: {}\r\n\r\n{body}", body.len());
    let exchange = move || {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    Ok(tokio::task::spawn_blocking(exchange).await??)
}
