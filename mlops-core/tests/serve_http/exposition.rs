//! What `/metrics` shows, held against the grammar of Prometheus' text format and against the parser of its Python client.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;

/// Holds a text against the grammar of Prometheus' text format, version 0.0.4; answers the samples by family.
fn families(text: &str) -> BTreeMap<String, Vec<(String, f64)>> {
    let name_ok = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
    };
    assert!(text.ends_with('\n'), "the last line ends");
    let (mut families, mut current, mut kind) = (BTreeMap::new(), String::new(), String::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            current = help.split(' ').next().unwrap().to_owned();
            assert!(name_ok(&current) && !families.contains_key(&current), "{line}");
            let declared = lines.next().unwrap().strip_prefix("# TYPE ").unwrap();
            let (name, declared) = declared.split_once(' ').unwrap();
            assert_eq!(name, current);
            assert!(["counter", "gauge", "histogram"].contains(&declared), "{declared}");
            kind = declared.to_owned();
            families.insert(current.clone(), Vec::new());
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let value: f64 = value.parse().unwrap();
        let name = series.split('{').next().unwrap();
        let base = if kind == "histogram" {
            ["_bucket", "_sum", "_count"].into_iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap()
        } else {
            name
        };
        assert_eq!(base, current, "a sample stands under its family");
        if let Some(labels) = series.strip_prefix(name).filter(|labels| !labels.is_empty()) {
            let labels = labels.strip_prefix('{').and_then(|l| l.strip_suffix('}')).unwrap();
            for label in labels.split(',') {
                let (label, value) = label.split_once('=').unwrap();
                assert!(
                    name_ok(label) && value.len() >= 2 && value.starts_with('"') && value.ends_with('"'),
                    "{line}"
                );
                assert!(!value[1..value.len() - 1].contains(['"', '\n']), "{line}");
            }
        }
        families.get_mut(&current).unwrap().push((series.to_owned(), value));
    }
    families
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_what_prometheus_reads_and_bounded_in_number() {
    let running = World::new().await.start(Server::with_open_metrics).await;
    let address = running.local_addr();
    for i in 0..50 {
        score(address, &format!("azureml-model-deployment: made-up-{i}\r\n"), ROW).await;
        ask(address, &get(&format!("/made-up/{i}"), "")).await;
        ask(address, &post(&format!("/endpoints/made-up-{i}/score"), "", ROW)).await;
        score(address, "", ROW).await;
    }
    let answer = ask(address, &get("/metrics", "")).await;
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert!(!answer.body.contains("made-up"), "labels are the server's own");
    let all = families(&answer.body);
    let samples: usize = all.values().map(Vec::len).sum();
    assert!(all.len() >= 15 && samples < 150, "{} families, {samples} samples", all.len());
    let value = |family: &str, series: &str| all[family].iter().find(|(s, _)| s == series).unwrap().1;
    let labels = r#"endpoint="scores",deployment="blue""#;
    assert_eq!(
        value("mlops_http_requests_total", r#"mlops_http_requests_total{route="score",status="200"}"#),
        50.0
    );
    assert_eq!(
        value("mlops_http_requests_total", r#"mlops_http_requests_total{route="score",status="404"}"#),
        100.0
    );
    assert_eq!(
        value("mlops_http_failures_total", r#"mlops_http_failures_total{code="unknown_deployment"}"#),
        50.0
    );
    assert_eq!(
        value("mlops_deployment_traffic_percent", &format!("mlops_deployment_traffic_percent{{{labels}}}")),
        100.0
    );
    let histogram = &all["mlops_predict_duration_seconds"];
    let buckets: Vec<f64> = histogram
        .iter()
        .filter(|(s, _)| s.contains("_bucket") && s.contains("blue"))
        .map(|(_, v)| *v)
        .collect();
    assert!(buckets.is_sorted() && buckets.last() == Some(&50.0), "{buckets:?}");
    assert_eq!(
        value("mlops_predict_duration_seconds", &format!("mlops_predict_duration_seconds_count{{{labels}}}")),
        50.0
    );
}

/// What that client's parser made of the text beside it: prometheus_client 0.26.0, by `reference/serve_metrics.py`.
const PARSED: &str = include_str!("../reference/serve_metrics.json");
const SHOWN: &str = include_str!("../reference/serve_metrics.txt");

/// Has the real parser read a text; nothing where no Python is named.
fn parse_with_prometheus(text: &str) -> Option<String> {
    let Ok(python) = std::env::var("MLOPS_TEST_PROMETHEUS") else {
        println!("skipped: MLOPS_TEST_PROMETHEUS names no Python with prometheus-client");
        return None;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/serve_metrics.py");
    let mut command = Command::new(python);
    command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
    if std::env::var_os("MLOPS_WRITE_REFERENCE").is_some() {
        command.arg("--write");
    }
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the parser refuses what the server shows");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Name, labels in order of their names, and value.
type Sample = (String, BTreeMap<String, String>, f64);

/// Type, help and samples by family, the suffix `_total` left out as that parser does it.
fn ours(text: &str) -> BTreeMap<String, (String, String, Vec<Sample>)> {
    let about = |what: &str, family: &str| {
        let start = format!("# {what} {family} ");
        text.lines().find_map(|line| line.strip_prefix(&start)).unwrap().to_owned()
    };
    let sample = |(series, value): &(String, f64)| {
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let pairs = labels.trim_end_matches('}').split(',').filter_map(|pair| pair.split_once('='));
        let labels =
            pairs.map(|(label, value)| (label.to_owned(), value.trim_matches('"').to_owned())).collect();
        (name.to_owned(), labels, *value)
    };
    let family = |(name, series): (&String, &Vec<(String, f64)>)| {
        let read = (about("TYPE", name), about("HELP", name), series.iter().map(sample).collect());
        (name.strip_suffix("_total").unwrap_or(name).to_owned(), read)
    };
    families(text).iter().map(family).collect()
}

fn theirs(parsed: &Value) -> BTreeMap<String, (String, String, Vec<Sample>)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let sample = |sample: &Value| {
        let labels = sample[1].as_object().unwrap().iter();
        let labels = labels.map(|(label, value)| (label.clone(), text(value))).collect();
        (text(&sample[0]), labels, text(&sample[2]).parse().unwrap())
    };
    let family = |(name, family): (&String, &Value)| {
        let samples = family["samples"].as_array().unwrap().iter().map(sample).collect();
        (name.clone(), (text(&family["type"]), text(&family["help"]), samples))
    };
    parsed["families"].as_object().unwrap().iter().map(family).collect()
}

/// What does not depend on how much was asked: types, help, and which labels every name of a sample has.
fn shape(text: &str) -> BTreeSet<(String, String, String, String, Vec<String>)> {
    let mut all = BTreeSet::new();
    for (family, (kind, help, samples)) in ours(text) {
        for (name, labels, _) in samples {
            all.insert((family.clone(), kind.clone(), help.clone(), name, labels.into_keys().collect()));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_parser_of_prometheus_reads_what_a_server_shows() {
    let world = World::new().await;
    world.deploy("fails", "1 fails").await;
    let mirror = Mirror::new("green".parse().unwrap(), Percent::ALL);
    let endpoint = ServedEndpoint::new("scores".parse().unwrap(), access()).with_mirror(mirror);
    let capture = Capture::new(Arc::new(Kept::default()));
    let running = world.start_with(endpoint, |server| server.with_capture(capture)).await;
    let address = running.local_addr();
    for _ in 0..3 {
        assert_eq!(score(address, "", ROW).await.status, 200);
    }
    score(address, "azureml-model-deployment: fails\r\n", ROW).await.is_error(500, "model_failed");
    score(address, "", "{").await.is_error(400, "malformed_json");
    let shown = ask(address, &get("/metrics", &with_key())).await.body;
    // With a Python at hand the parser reads what is shown now; without, what it read before is looked at.
    let now = parse_with_prometheus(&shown);
    let (text, parsed) = match &now {
        Some(parsed) => (shown.as_str(), parsed.as_str()),
        None => (SHOWN, PARSED),
    };
    let parsed: Value = serde_json::from_str(parsed).unwrap();
    assert!(parsed["parser"].as_str().unwrap().starts_with("prometheus_client "));
    assert_eq!(ours(text), theirs(&parsed));
    // And that is what is shown still.
    if std::env::var_os("MLOPS_WRITE_REFERENCE").is_none() {
        assert_eq!(
            shape(&shown),
            shape(SHOWN),
            "`reference/serve_metrics.py` tells how to make the reference anew"
        );
    }
}
