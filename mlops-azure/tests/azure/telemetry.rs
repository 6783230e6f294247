//! Telemetry for Application Insights and by OTLP: what is sent, what becomes of it, and what survives.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mlops_azure::fake::{FakeAnswer, FakeAzure, FakeInsights, FakePart, FakeRequest, Ingestion};
use mlops_azure::telemetry::otlp::{OtlpAlertSink, latency_metric};
use mlops_azure::telemetry::{
    AppInsights, ConnectionString, InsightsAlertSink, OtlpExporter, RequestTelemetry, Spool,
};
use mlops_azure::wire::otlp::{
    Attributes, HistogramPoint, LogRecord, Metric, MetricData, NumberPoint, PointValue, Span, logs_body,
    metrics_body, traces_body,
};
use mlops_azure::wire::telemetry::{Envelope, Telemetry, TelemetryItem, Texts};
use mlops_core::conformance::alert::AlertsUnderTest;
use mlops_core::deploy::{EndedRequest, RequestObserver as _};
use mlops_core::governance::Secret;
use mlops_core::monitor::{
    Alert, AlertSink as _, AlertStatus, OperationRecorder, OperationSeries, RequestOutcome, Severity, Window,
};
use mlops_core::time::{ManualClock, Timestamp};
use mlops_core::{ErrorKind, IdempotencyKey};
use serde_json::{Value, json};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn noon() -> Timestamp {
    at("2026-01-01T12:00:00Z")
}

fn event(name: &str) -> TelemetryItem {
    TelemetryItem::event(name, noon())
}

/// Numbers as numbers: `3` and `3.0` are one.
fn same_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => *value = json!(number.as_f64()),
        Value::Array(items) => items.iter_mut().for_each(same_numbers),
        Value::Object(members) => members.values_mut().for_each(same_numbers),
        _ => {}
    }
}

/// What the official exporter sent, built here.
fn as_recorded() -> Vec<Vec<TelemetryItem>> {
    let ms = Duration::from_millis;
    let mut dependency = TelemetryItem::dependency(
        "GET /x",
        "88cc88b4a5cecb36",
        404,
        true,
        ms(0),
        at("2026-11-23T06:59:50.390889Z"),
    )
    .within("da390aed5d93784633dbd86cf99a2562", Some("bd580f55549fed0a"))
    .with_tag("ai.operation.name", "GET /x");
    let Telemetry::Dependency(data) = &mut dependency.data else { panic!() };
    (data.data, data.target) = (Some("https://sa/x".into()), Some("sa".to_owned()));
    let mut request = TelemetryItem::request(
        "POST /score",
        "bd580f55549fed0a",
        200,
        true,
        ms(19),
        at("2026-11-23T06:59:50.382263Z"),
    )
    .with_property("model", "m:1")
    .within("da390aed5d93784633dbd86cf99a2562", None)
    .with_tag("ai.operation.name", "POST /score");
    let Telemetry::Request(data) = &mut request.data else { panic!() };
    data.url = Some("https://h/score".into());
    let mut exception = TelemetryItem::exception("ValueError", "bad", at("2026-11-23T06:59:50.382619Z"))
        .within("da390aed5d93784633dbd86cf99a2562", Some("bd580f55549fed0a"));
    let Telemetry::Exception(data) = &mut exception.data else { panic!() };
    data.exceptions[0].has_full_stack = true;
    data.exceptions[0].stack = Some(
        "Traceback (most recent call last):\n  File \"run_ai.py\", line 26, in <module>\n    try: raise ValueError('bad')\n         ^^^^^^^^^^^^^^^^^^^^^^^\nValueError: bad\n"
            .into(),
    );
    let measured = at("2026-11-23T06:59:50.419652Z");
    let metrics = vec![
        TelemetryItem::metric("predictions", 3.0, measured).with_property("model", "m"),
        TelemetryItem::aggregate("psi", 0.12, 1, (0.12, 0.12), measured).with_property("feature", "age"),
    ];
    let code = |item: TelemetryItem| {
        item.with_property("code.file.path", "run_ai.py")
            .with_property("code.function.name", "<module>")
            .with_property("code.line.number", "36")
            .with_property("logger_name", "app")
            .within("00000000000000000000000000000000", Some("0000000000000000"))
    };
    let message = TelemetryItem::message("drift", 1, at("2026-11-23T06:59:50.436163Z"));
    let message = code(message.with_property("feature", "age"));
    let custom = TelemetryItem::event("prediction", at("2026-11-23T06:59:50.437921Z"));
    let custom = code(custom.with_property("score", "0.7"));
    vec![vec![dependency], vec![request, exception], metrics, vec![message], vec![custom]]
}

#[test]
fn what_the_official_exporter_sent_is_what_is_sent_here() {
    let Some(types) = super::types() else { return };
    let file = types.parent().unwrap().join("recorded/appinsights-track.json");
    let recorded: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let tags: Texts = [
        ("ai.device.id", "vm"),
        ("ai.device.locale", "en_US"),
        ("ai.device.type", "Other"),
        ("ai.internal.sdkVersion", "ulm_py3.11.7:otel1.45.1:dst1.8.11"),
        ("ai.cloud.role", "unknown_service:python"),
        ("ai.cloud.roleInstance", "bff3d777-609e-4f04-ac87-a75ab991c61f"),
        ("ai.internal.nodeName", "bff3d777-609e-4f04-ac87-a75ab991c61f"),
    ]
    .into_iter()
    .collect();
    let requests = recorded.as_array().unwrap();
    assert_eq!(requests.len(), 5);
    for (request, items) in requests.iter().zip(as_recorded()) {
        let key = "00000000-0000-0000-0000-000000000001";
        let envelopes: Vec<_> = items.iter().map(|item| Envelope::new(item, key, &tags)).collect();
        let (mut ours, mut theirs) = (serde_json::to_value(&envelopes).unwrap(), request[3].clone());
        same_numbers(&mut ours);
        same_numbers(&mut theirs);
        assert_eq!(ours, theirs);
    }
}

struct Bench {
    azure: FakeAzure,
    ingestion: FakeInsights,
    clock: Arc<ManualClock>,
    insights: AppInsights,
}

fn bench_with(spool: Spool) -> Bench {
    let azure = crate::judged();
    let ingestion = FakeInsights::of(&azure);
    let clock = Arc::new(ManualClock::at(noon()));
    let insights = AppInsights::builder(ingestion.connection().parse().unwrap())
        .role("scorer")
        .transport(azure.transport())
        .clock(clock.clone())
        .spool(spool)
        .build()
        .unwrap();
    Bench { azure, ingestion, clock, insights }
}

fn bench() -> Bench {
    bench_with(Spool::in_memory(16 << 20))
}

fn names(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["data"]["baseData"]["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_waits_is_sent_in_few_requests_oldest_first() {
    let bench = bench();
    for n in 0..1_200 {
        bench.insights.track(&[event(&n.to_string())]).unwrap();
    }
    let report = bench.insights.flush().await.unwrap();
    assert_eq!((report.accepted, report.waiting, report.requests), (1_200, 0, 3));
    let items = bench.ingestion.items();
    assert_eq!(names(&items), (0..1_200).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(items[0]["tags"]["ai.cloud.role"], "scorer");
    assert_eq!(
        bench.azure.requests()[0],
        "POST https://eastus-1.in.applicationinsights.azure.com/v2.1/track"
    );
    assert_eq!(bench.insights.flush().await.unwrap().requests, 0);
}

#[tokio::test]
async fn of_a_part_only_what_may_pass_is_sent_again() {
    for in_folder in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let spool = match in_folder {
            true => Spool::open(folder.path(), 1 << 20).unwrap(),
            false => Spool::in_memory(1 << 20),
        };
        let bench = bench_with(spool);
        bench.insights.track(&["a", "b", "c"].map(event)).unwrap();
        bench.insights.track(&["d", "e"].map(event)).unwrap();
        // Places beyond the request are a liar's.
        bench.ingestion.next([Ingestion::TakesPart(vec![(1, 429), (2, 400), (4, 500), (99, 500)])]);
        let report = bench.insights.flush().await.unwrap();
        assert_eq!((report.accepted, report.refused, report.waiting), (2, 1, 2));
        assert!(report.wait.is_some());
        assert_eq!(bench.insights.flush().await.unwrap().requests, 0, "it waits");
        bench.clock.advance(report.wait.unwrap());
        let report = bench.insights.flush().await.unwrap();
        assert_eq!((report.accepted, report.waiting, report.wait), (2, 0, None));
        assert_eq!(names(&bench.ingestion.items()), ["a", "d", "b", "e"]);
        assert_eq!(bench.insights.losses().refused, 1);
    }
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_waited_for_long_and_a_busy_service_as_it_asks() {
    for (status, asked, shortest, longest) in [
        (439, None, 1_800, 3_600),
        (402, None, 1_800, 3_600),
        (439, Some(7_200), 7_200, 7_200),
        (429, Some(17), 17, 17),
        (503, None, 1, 2),
        (401, None, 1, 2),
        (403, None, 1, 2),
        // Not about what was sent, but about where to: it is kept, and told.
        (404, None, 1, 2),
        (405, None, 1, 2),
        (407, None, 1, 2),
        (410, None, 1, 2),
        (421, None, 1, 2),
        (500, Some(u32::MAX), 86_400, 86_400),
    ] {
        let bench = bench();
        bench.insights.track(&[event("a")]).unwrap();
        bench.ingestion.next([Ingestion::Refuses(status, asked)]);
        let report = bench.insights.flush().await.unwrap();
        assert_eq!(
            (report.accepted, report.refused, report.waiting, report.requests),
            (0, 0, 1, 1),
            "{status}"
        );
        let wait = report.wait.unwrap().as_secs_f64();
        assert!((f64::from(shortest)..=f64::from(longest)).contains(&wait), "{status}: {wait}");
        assert!(report.failure.unwrap().starts_with(&status.to_string()));
        bench.clock.advance(Duration::from_secs_f64(wait * 0.9));
        assert_eq!(bench.insights.flush().await.unwrap().requests, 0);
        bench.clock.advance(Duration::from_secs_f64(wait * 0.2));
        assert_eq!(bench.insights.flush().await.unwrap().accepted, 1);
    }
}

#[tokio::test]
async fn waits_grow_to_five_minutes_and_start_again_after_a_success() {
    let bench = bench();
    bench.insights.track(&[event("a")]).unwrap();
    for n in 0..12_i32 {
        bench.azure.faults().unavailable(1);
        let wait = bench.insights.flush().await.unwrap().wait.unwrap().as_secs_f64();
        let full = 2_f64.powi(n + 1).min(300.0);
        assert!((full / 2.0..=full).contains(&wait), "{n}: {wait}");
        bench.clock.advance(Duration::from_secs(301));
    }
    assert_eq!(bench.insights.flush().await.unwrap().accepted, 1);
    bench.insights.track(&[event("b")]).unwrap();
    bench.azure.faults().lose_answers(1);
    let report = bench.insights.flush().await.unwrap();
    assert!(report.wait.unwrap() <= Duration::from_secs(2) && report.waiting == 1);
}

#[tokio::test]
async fn a_redirect_is_followed_to_azure_and_nowhere_else() {
    let bench = bench();
    let to = |host: &str| Ingestion::Redirects(format!("https://{host}/v2.1/track"));
    bench.insights.track(&[event("a")]).unwrap();
    bench.ingestion.next([to("westus-0.in.applicationinsights.azure.com")]);
    assert_eq!(bench.insights.flush().await.unwrap().accepted, 1);
    // From now on there.
    bench.insights.track(&[event("b")]).unwrap();
    bench.insights.flush().await.unwrap();
    let hosts: Vec<String> = bench.ingestion.requests().into_iter().map(|(host, _)| host).collect();
    let (east, west) =
        ("eastus-1.in.applicationinsights.azure.com", "westus-0.in.applicationinsights.azure.com");
    assert_eq!(hosts, [east, west, west]);

    bench.ingestion.at_host("evil.example");
    bench.ingestion.next([to("evil.example")]);
    bench.insights.track(&[event("c")]).unwrap();
    let report = bench.insights.flush().await.unwrap();
    assert_eq!((report.accepted, report.waiting), (0, 1));
    assert!(bench.ingestion.requests().iter().all(|(host, _)| host != "evil.example"));

    // A circle ends.
    bench.clock.advance(Duration::from_secs(10));
    bench.ingestion.next([to(east), to(west), to(east), to(west), to(east)]);
    let report = bench.insights.flush().await.unwrap();
    assert_eq!((report.waiting, report.failure.as_deref()), (1, Some("too many redirects")));
}

#[tokio::test]
async fn too_much_is_halved_and_what_is_wrong_is_lost_and_counted() {
    let bench = bench();
    bench.insights.track(&["a", "b", "c", "d", "e"].map(event)).unwrap();
    bench.ingestion.next([413, 413, 413].map(|status| Ingestion::Refuses(status, None)));
    let report = bench.insights.flush().await.unwrap();
    // Five, three, two; then one alone is lost only if that is too large too.
    let sizes: Vec<usize> = bench.ingestion.requests().into_iter().map(|(_, items)| items).collect();
    assert_eq!(sizes, [5, 3, 2, 1, 1, 1, 1, 1]);
    assert_eq!((report.accepted, report.refused, report.waiting), (5, 0, 0));
    assert_eq!(names(&bench.ingestion.items()), ["a", "b", "c", "d", "e"]);

    bench.insights.track(&[event("f")]).unwrap();
    bench.ingestion.next([Ingestion::Refuses(413, None)]);
    assert_eq!(bench.insights.flush().await.unwrap().refused, 1);
    bench.insights.track(&[event("g")]).unwrap();
    bench.ingestion.next([Ingestion::Refuses(400, None)]);
    assert_eq!(bench.insights.flush().await.unwrap().refused, 1);
    assert_eq!((bench.insights.losses().refused, bench.insights.waiting()), (2, 0));
}

#[tokio::test]
async fn a_token_is_sent_where_there_is_one_and_renewed() {
    /// An ingestion that takes no key alone.
    struct WithToken(Mutex<u32>);
    impl FakePart for WithToken {
        fn answer(&self, request: &FakeRequest, azure: &FakeAzure) -> Option<FakeAnswer> {
            request.path().starts_with("/v2.1/track").then_some(())?;
            *self.0.lock().unwrap() += 1;
            azure.refuse_token(request, mlops_azure::config::cloud::Audience::Monitor)
        }
    }
    let azure = crate::judged();
    let ingestion = FakeInsights::of(&azure);
    azure.plug(WithToken(Mutex::new(0)));
    let clock = Arc::new(ManualClock::at(noon()));
    let build = |tokens: bool| {
        let builder = AppInsights::builder(ingestion.connection().parse().unwrap())
            .transport(azure.transport())
            .clock(clock.clone());
        let builder = if tokens { builder.tokens(azure.tokens()) } else { builder };
        builder.build().unwrap()
    };
    let (without, with) = (build(false), build(true));
    for insights in [&without, &with] {
        insights.track(&[event("a")]).unwrap();
    }
    assert_eq!(without.flush().await.unwrap().waiting, 1);
    assert_eq!(with.flush().await.unwrap().accepted, 1);
    azure.faults().expire_tokens();
    with.track(&[event("b")]).unwrap();
    let report = with.flush().await.unwrap();
    assert_eq!(report.waiting, 1);
    clock.advance(report.wait.unwrap());
    assert_eq!(with.flush().await.unwrap().accepted, 1);
    assert_eq!(azure.tokens_issued(), 2);
}

/// Not a test of its own: the process that is killed by the next one. Without its folder it does nothing.
#[test]
fn a_process_that_writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os("MLOPS_TEST_SPOOL") else { return };
    let mut spool = Spool::open(folder, 64 << 20).unwrap();
    for n in 0..100_000 {
        spool.push(&[event(&format!("{n}-a")), event(&format!("{n}-b"))]).unwrap();
        println!("written {n}");
        std::io::stdout().flush().unwrap();
    }
}

#[tokio::test]
async fn what_was_told_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "telemetry::a_process_that_writes_until_it_is_killed", "--nocapture"])
        .env("MLOPS_TEST_SPOOL", folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let written = lines.map(Result::unwrap).filter(|line| line.contains("written ")).take(40).count();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(written, 40);

    let bench = bench_with(Spool::open(folder.path(), 64 << 20).unwrap());
    let report = bench.insights.flush().await.unwrap();
    let items = bench.ingestion.items();
    assert!(report.accepted >= 80 && report.waiting == 0, "{report:?}");
    let expected: Vec<String> =
        (0..items.len()).map(|n| format!("{}-{}", n / 2, if n % 2 == 0 { "a" } else { "b" })).collect();
    assert_eq!(names(&items), expected);
    assert_eq!(bench.insights.losses(), Default::default());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_spool_that_is_full_lets_the_oldest_go_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let size = {
        let mut one = Spool::in_memory(1 << 20);
        one.push(&[event("0")]).unwrap();
        one.bytes()
    };
    let bench = bench_with(Spool::open(folder.path(), 4 * size).unwrap());
    for n in 0..9 {
        bench.insights.track(&[event(&n.to_string())]).unwrap();
    }
    assert_eq!((bench.insights.waiting(), bench.insights.losses().over_limit), (4, 5));
    bench.insights.flush().await.unwrap();
    assert_eq!(names(&bench.ingestion.items()), ["5", "6", "7", "8"]);
}

fn recorder() -> (OperationRecorder, Window) {
    let minute = Duration::from_secs(60);
    let recorder = OperationRecorder::new(&OperationSeries::new(minute).unwrap());
    let (endpoint, blue) = ("churn".parse().unwrap(), "blue".parse().unwrap());
    let ended = |second: u64, outcome, ms| {
        let at = noon() + Duration::from_secs(second);
        recorder.ended(&EndedRequest::new(&endpoint, Some(&blue), at, outcome, Duration::from_millis(ms)));
    };
    (0..8).for_each(|n| ended(n, RequestOutcome::Answered, 20 + n));
    ended(9, RequestOutcome::Failed, 1);
    ended(10, RequestOutcome::Answered, 3_000);
    // In the next window.
    ended(60, RequestOutcome::Answered, 700);
    (recorder, Window::new(noon(), noon() + minute).unwrap())
}

#[tokio::test]
async fn operational_metrics_arrive_with_endpoint_and_deployment() {
    let bench = bench();
    let (recorder, window) = recorder();
    bench.insights.track_operation(&recorder.reports(&window).unwrap()).unwrap();
    bench.insights.flush().await.unwrap();
    let items = bench.ingestion.items();
    let value = |name: &str, deployment: Option<&str>| {
        let data = items.iter().map(|item| &item["data"]["baseData"]);
        let found = data.filter(|data| {
            data["metrics"][0]["name"] == name && data["properties"]["deployment"].as_str() == deployment
        });
        found.map(|data| data["metrics"][0]["value"].as_f64().unwrap()).collect::<Vec<_>>()
    };
    for deployment in [None, Some("blue")] {
        assert_eq!(value("mlops.requests.answered", deployment), [9.0]);
        assert_eq!(value("mlops.error_rate", deployment), [0.1]);
        assert_eq!(value("mlops.latency_p50_seconds", deployment).len(), 1);
    }
    assert_eq!(items[0]["time"], "2026-01-01T12:01:00.000000Z");
    assert_eq!(items[0]["data"]["baseData"]["properties"]["endpoint"], "churn");
}

fn alert(key: &str) -> Alert {
    let (key, monitor) = (IdempotencyKey::new(key).unwrap(), "watch".parse().unwrap());
    Alert::new(key, monitor, "inputs", Severity::Warning, "age drifted", noon())
}

#[tokio::test]
async fn an_alert_that_does_not_arrive_is_an_error_that_can_be_tried_again() {
    let bench = bench();
    let sink = InsightsAlertSink::new(bench.insights.clone());
    bench.ingestion.next([Ingestion::Refuses(429, Some(5))]);
    let error = sink.deliver(&alert("one")).await.unwrap_err();
    assert!(error.kind() == ErrorKind::RateLimited && error.is_retryable(), "{error}");
    let error = sink.deliver(&alert("one")).await.unwrap_err();
    assert!(error.is_retryable() && bench.ingestion.requests().len() == 1, "it waits");
    bench.clock.advance(Duration::from_secs(5));
    bench.ingestion.next([Ingestion::TakesPart(vec![(0, 400)])]);
    let error = sink.deliver(&alert("one")).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Rejected && !error.is_retryable(), "{error}");
    assert!(!sink.deliver(&alert("one")).await.unwrap().duplicate);
    assert_eq!(bench.ingestion.items().len(), 1);
}

/// An alert from the texts that it was sent as.
fn read_alert(name: &str, time: &str, text: impl Fn(&str) -> String, labels: Vec<(String, String)>) -> Alert {
    let severity = match text("severity").as_str() {
        "info" | "INFO" => Severity::Info,
        "warning" | "WARN" => Severity::Warning,
        _ => Severity::Critical,
    };
    let key = IdempotencyKey::new(text("key")).unwrap();
    let mut alert = Alert::new(
        key,
        text("monitor").parse().unwrap(),
        text("signal"),
        severity,
        text("message"),
        at(time),
    );
    if name.ends_with("resolved") {
        alert.status = AlertStatus::Resolved;
    }
    alert.labels = labels.into_iter().collect();
    alert
}

fn insights_alert(item: &Value) -> Alert {
    let data = &item["data"]["baseData"];
    let properties = data["properties"].as_object().unwrap();
    let labels = properties.iter().filter_map(|(name, value)| {
        Some((name.strip_prefix("label.")?.to_owned(), value.as_str()?.to_owned()))
    });
    let text = |name: &str| properties[name].as_str().unwrap().to_owned();
    read_alert(data["name"].as_str().unwrap(), item["time"].as_str().unwrap(), text, labels.collect())
}

mlops_core::alert_sink_suite!(insights_alerts, {
    let bench = bench();
    let ingestion = bench.ingestion.clone();
    AlertsUnderTest::new(Arc::new(InsightsAlertSink::new(bench.insights)))
        .with_arrived(move || ingestion.items().iter().map(insights_alert).collect())
});

/// A collector of OpenTelemetry that keeps what it is sent and answers as it is told.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    taken: Vec<(String, Value)>,
    next: Vec<FakeAnswer>,
}

impl FakePart for Collector {
    fn answer(&self, request: &FakeRequest, _: &FakeAzure) -> Option<FakeAnswer> {
        (request.host() == "otel.example.com").then_some(())?;
        let mut state = self.0.lock().unwrap();
        assert_eq!(
            (request.header("content-type"), request.header("api-key")),
            (Some("application/json"), Some("hunter2"))
        );
        let answer = state.next.pop().unwrap_or_else(|| FakeAnswer::ok(json!({ "partialSuccess": {} })));
        if answer.is_success() {
            state.taken.push((request.path().to_owned(), request.json()));
        }
        Some(answer)
    }
}

impl Collector {
    fn taken(&self) -> Vec<(String, Value)> {
        self.0.lock().unwrap().taken.clone()
    }

    fn next(&self, answer: FakeAnswer) {
        self.0.lock().unwrap().next.push(answer);
    }
}

fn collector() -> (Collector, OtlpExporter) {
    let (azure, collector) = (crate::judged(), Collector::default());
    azure.plug(collector.clone());
    let exporter = OtlpExporter::new("https://otel.example.com/base/".parse().unwrap(), azure.transport())
        .unwrap()
        .with_resource("service.name", "scorer")
        .with_header("api-key", Secret::new("hunter2"))
        .unwrap()
        .with_clock(Arc::new(ManualClock::at(noon())));
    (collector, exporter)
}

#[tokio::test]
async fn metrics_logs_and_spans_are_what_otlp_says() {
    let (collector, exporter) = collector();
    let (recorder, window) = recorder();
    exporter.export_operation(&recorder.reports(&window).unwrap()).await.unwrap();
    let latency = latency_metric(&recorder.recorded(), &window).unwrap().unwrap();
    exporter.export_metrics(&[latency]).await.unwrap();
    OtlpAlertSink::new(exporter.clone()).deliver(&alert("one")).await.unwrap();
    let span = Span {
        trace: 0xabc,
        id: 0xdef,
        parent: Some(1),
        name: "POST /score".to_owned(),
        start: noon(),
        end: noon() + Duration::from_millis(4),
        attributes: Attributes::default().with_int("rows", 3),
        failed: true,
    };
    exporter.export_traces(&[span]).await.unwrap();
    let taken = collector.taken();
    let paths: Vec<&str> = taken.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["/base/v1/metrics", "/base/v1/metrics", "/base/v1/logs", "/base/v1/traces"]);
    let scoped = &taken[0].1["resourceMetrics"][0];
    assert_eq!(
        scoped["resource"]["attributes"][0],
        json!({ "key": "service.name", "value": { "stringValue": "scorer" } })
    );
    let metrics = scoped["scopeMetrics"][0]["metrics"].as_array().unwrap();
    let requests = &metrics[0];
    assert_eq!(
        (&requests["name"], &requests["sum"]["aggregationTemporality"]),
        (&json!("mlops.requests"), &json!(1))
    );
    let failed = requests["sum"]["dataPoints"].as_array().unwrap().iter().find(|point| {
        let attributes = point["attributes"].as_array().unwrap();
        attributes.len() == 3 && attributes[2]["value"]["stringValue"] == "failed"
    });
    let expected = json!({
        "attributes": [
            { "key": "endpoint", "value": { "stringValue": "churn" } },
            { "key": "deployment", "value": { "stringValue": "blue" } },
            { "key": "outcome", "value": { "stringValue": "failed" } },
        ],
        "startTimeUnixNano": "1767268800000000000", "timeUnixNano": "1767268860000000000", "asInt": "1",
    });
    assert_eq!(failed, Some(&expected));
    let histogram =
        &taken[1].1["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["histogram"]["dataPoints"][0];
    assert_eq!((&histogram["count"], histogram["bucketCounts"].as_array().unwrap().len()), (&json!("9"), 15));
    // 20 to 24 ms; 25 ms share their bucket with what is longer, and count with it.
    assert_eq!((&histogram["bucketCounts"][2], &histogram["bucketCounts"][3]), (&json!("5"), &json!("3")));
    assert_eq!(histogram["bucketCounts"][11], "1");
    assert!((histogram["sum"].as_f64().unwrap() - 3.188).abs() < 1e-6);
    let log = &taken[2].1["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
    assert_eq!((&log["severityNumber"], &log["body"]["stringValue"]), (&json!(13), &json!("age drifted")));
    let span = &taken[3].1["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
    assert_eq!(span["traceId"], "00000000000000000000000000000abc");
    assert_eq!((&span["parentSpanId"], &span["status"]["code"]), (&json!("0000000000000001"), &json!(2)));
}

/// The bodies that the official message types make: opentelemetry-proto 1.45.1, protobuf 7.36.2; see the script beside them.
#[test]
fn bodies_of_otlp_are_those_of_the_official_messages() {
    let text = include_str!("../reference/otlp.json").replace("VERSION", env!("CARGO_PKG_VERSION"));
    let mut expected: Value = serde_json::from_str(&text).unwrap();
    let resource = Attributes::default().with("service.name", "scorer");
    let (start, end) = (noon(), noon() + Duration::from_secs(60));
    let attributes = || Attributes::default().with("endpoint", "churn");
    let point = |value| NumberPoint { start, end, attributes: attributes(), value };
    let metric = |name: &str, unit, data| Metric { name: name.to_owned(), unit, data };
    let count = point(PointValue::Count(9_007_199_254_740_993));
    let (bounds, counts) = (vec![0.25, 0.5], vec![3, 2, 1]);
    let histogram = HistogramPoint { start, end, attributes: attributes(), sum: 1.5, bounds, counts };
    let metrics = [
        metric("mlops.requests", "{request}", MetricData::Sum(vec![count])),
        // What is not finite is left out.
        metric(
            "mlops.error_rate",
            "1",
            MetricData::Gauge(vec![point(PointValue::Measure(0.125)), point(PointValue::Measure(f64::NAN))]),
        ),
        metric("mlops.request.duration", "s", MetricData::Histogram(vec![histogram])),
    ];
    let record = LogRecord {
        at: start,
        severity: 13,
        severity_text: "WARN",
        body: "age drifted".into(),
        attributes: Attributes::default().with("mlops.signal", "inputs"),
    };
    let span = Span {
        trace: 0xabc,
        id: 0xdef,
        parent: Some(1),
        name: "POST /score".to_owned(),
        start,
        end,
        attributes: Attributes::default().with_int("rows", 3),
        failed: true,
    };
    let mut ours = json!({
        "metrics": metrics_body(&resource, &metrics),
        "logs": logs_body(&resource, &[record], end),
        "traces": traces_body(&resource, &[span]),
    });
    same_numbers(&mut expected);
    same_numbers(&mut ours);
    assert_eq!(ours, expected);
}

#[tokio::test]
async fn requests_are_told_as_they_ended_and_stand_for_others() {
    let bench = bench();
    let requests = RequestTelemetry::new(bench.insights.clone(), 4).unwrap();
    let (endpoint, blue) = ("churn".parse().unwrap(), "blue".parse().unwrap());
    let ended = |outcome| {
        requests.ended(&EndedRequest::new(
            &endpoint,
            Some(&blue),
            noon(),
            outcome,
            Duration::from_millis(250),
        ));
    };
    (0..8).for_each(|_| ended(RequestOutcome::Answered));
    (0..3).for_each(|_| ended(RequestOutcome::Failed));
    ended(RequestOutcome::Refused);
    requests.flush().unwrap();
    assert_eq!(bench.insights.flush().await.unwrap().accepted, 6);
    let items = bench.ingestion.items();
    let stand_for = |item: &Value| 100.0 / item["sampleRate"].as_f64().unwrap_or(100.0);
    let with = |code: &str| {
        items
            .iter()
            .filter(|item| item["data"]["baseData"]["responseCode"] == code)
            .map(stand_for)
            .collect::<Vec<_>>()
    };
    assert_eq!((with("200"), with("500"), with("400")), (vec![4.0, 4.0], vec![1.0; 3], vec![4.0]));
    let data = &items[0]["data"]["baseData"];
    assert_eq!(
        (&data["duration"], &data["properties"]["deployment"]),
        (&json!("0.00:00:00.250"), &json!("blue"))
    );
    assert_eq!(items[0]["time"], "2026-01-01T11:59:59.750000Z", "it is told when it began");

    for _ in 0..4 * (RequestTelemetry::MOST + 5) {
        ended(RequestOutcome::Answered);
    }
    assert_eq!(requests.dropped(), 5);
    assert!(RequestTelemetry::new(bench.insights, 0).is_err());
}

#[tokio::test]
async fn a_collector_that_does_not_take_it_says_whether_to_come_back() {
    let (collector, exporter) = collector();
    let logs = || exporter.export_logs(&[]);
    for (status, kind, retryable) in [
        (429, ErrorKind::RateLimited, true),
        (502, ErrorKind::Busy, true),
        (503, ErrorKind::Busy, true),
        (504, ErrorKind::Busy, true),
        (500, ErrorKind::Rejected, false),
        (400, ErrorKind::Rejected, false),
        (401, ErrorKind::Auth, false),
        (307, ErrorKind::Rejected, false),
    ] {
        collector.next(FakeAnswer::bytes(status, "text/plain", "no: hunter2").retry_after(7));
        let error = logs().await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{status}");
        assert_eq!(error.context("retry_after_s"), Some("7"));
        assert!(!format!("{error} {error:?} {exporter:?}").contains("hunter2"), "{error:?}");
    }
    collector.next(FakeAnswer::ok(
        json!({ "partialSuccess": { "rejectedLogRecords": "2", "errorMessage": "old" } }),
    ));
    let error = logs().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.context("rejected"), error.is_retryable()),
        (ErrorKind::Rejected, Some("2"), false)
    );
    assert!(logs().await.is_ok());
    let plain = OtlpExporter::new("http://otel.example.com".parse().unwrap(), crate::judged().transport());
    assert_eq!(plain.unwrap_err().kind(), ErrorKind::InvalidInput);
}

fn otlp_alert(record: &Value) -> Alert {
    let attributes: Vec<(String, String)> = record["attributes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["key"].as_str().unwrap().to_owned(),
                one["value"]["stringValue"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let attribute = |wanted: &str| attributes.iter().find(|(name, _)| name == wanted).unwrap().1.clone();
    let text = |name: &str| match name {
        "severity" => attribute("mlops.severity"),
        "message" => record["body"]["stringValue"].as_str().unwrap().to_owned(),
        "key" => attribute("mlops.alert.key"),
        other => attribute(&format!("mlops.{other}")),
    };
    let labels = attributes
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("mlops.label.")?.to_owned(), value.clone())));
    let nanos: i64 = record["timeUnixNano"].as_str().unwrap().parse().unwrap();
    let time = Timestamp::from_timestamp_nanos(nanos).to_rfc3339();
    read_alert(&attribute("event.name"), &time, text, labels.collect())
}

mlops_core::alert_sink_suite!(otlp_alerts, {
    let (collector, exporter) = collector();
    AlertsUnderTest::new(Arc::new(OtlpAlertSink::new(exporter))).with_arrived(move || {
        let records = collector.taken().into_iter().flat_map(|(_, body)| {
            body["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap().clone()
        });
        records.map(|record| otlp_alert(&record)).collect()
    })
});

#[tokio::test]
async fn the_key_is_shown_nowhere_and_lies_on_no_disk() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench_with(Spool::open(folder.path(), 1 << 20).unwrap());
    let key = "00000000-0000-0000-0000-00000000cafe";
    bench.insights.track(&[event("a"), TelemetryItem::exception("E", "m", noon())]).unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        assert!(!std::fs::read_to_string(file.path()).unwrap().contains("cafe"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0);
        }
    }
    let connection: ConnectionString = bench.ingestion.connection().parse().unwrap();
    // A service that tells the key again.
    bench.azure.plug(Echo);
    let report = bench.insights.flush().await.unwrap();
    let sink = InsightsAlertSink::new(bench.insights.clone());
    bench.clock.advance(Duration::from_secs(400));
    let error = sink.deliver(&alert("one")).await.unwrap_err();
    let builder = AppInsights::builder(connection.clone());
    for shown in [
        format!("{connection:?} {builder:?} {:?} {sink:?}", bench.insights),
        format!("{report:?} {error} {error:?}"),
    ] {
        assert!(!shown.contains("cafe"), "{shown}");
    }
    assert_eq!(connection.key().expose(), key);
}

/// An ingestion that says in its error what it was sent.
struct Echo;

impl FakePart for Echo {
    fn answer(&self, request: &FakeRequest, _: &FakeAzure) -> Option<FakeAnswer> {
        let key = request.json()[0]["iKey"].as_str()?.to_owned();
        let said = json!({ "itemsReceived": 1, "itemsAccepted": 0, "errors": [{ "index": 0, "statusCode": 503, "message": format!("iKey {key} is busy") }] });
        Some(FakeAnswer::json(503, said))
    }
}

/// What arrives is what was sent, and shorter on the way.
#[tokio::test]
async fn long_bodies_go_out_compressed_and_short_ones_as_they_are() {
    /// The lengths of bodies and whether each said that it is compressed.
    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<(usize, bool)>>>);
    impl FakePart for Seen {
        fn answer(&self, request: &FakeRequest, _: &FakeAzure) -> Option<FakeAnswer> {
            let is_compressed = request.header("content-encoding") == Some("gzip");
            assert_eq!(request.body.starts_with(&[0x1f, 0x8b]), is_compressed);
            self.0.lock().unwrap().push((request.body.len(), is_compressed));
            None
        }
    }
    let bench = bench();
    let seen = Seen::default();
    bench.azure.plug(seen.clone());
    let lately = || std::mem::take(&mut *seen.0.lock().unwrap());
    let many: Vec<_> = (0..100).map(|n| event(&n.to_string())).collect();

    bench.insights.track(&[event("a")]).unwrap();
    assert_eq!(bench.insights.flush().await.unwrap().accepted, 1);
    assert!(matches!(lately()[..], [(length, false)] if length < 1_024));
    bench.insights.track(&many).unwrap();
    assert_eq!(bench.insights.flush().await.unwrap().accepted, 100);
    let [(compressed, true)] = lately()[..] else { panic!("it is not compressed") };
    assert_eq!(bench.ingestion.items().len(), 101);

    // Whoever does not take it gets it as it is, from then on.
    bench.insights.track(&many).unwrap();
    bench.ingestion.next([Ingestion::Refuses(415, None)]);
    let report = bench.insights.flush().await.unwrap();
    assert_eq!((report.accepted, report.refused, report.waiting), (100, 0, 0));
    let [(_, true), (plain, false)] = lately()[..] else { panic!("it is not sent again") };
    assert!(compressed * 5 < plain, "{compressed} of {plain}");
    bench.insights.track(&many).unwrap();
    bench.insights.flush().await.unwrap();
    assert!(matches!(lately()[..], [(_, false)]));
    // One that says 415 to a body that is not compressed does not take it now; nothing is lost.
    bench.insights.track(&[event("b")]).unwrap();
    bench.ingestion.next([Ingestion::Refuses(415, None)]);
    let report = bench.insights.flush().await.unwrap();
    assert_eq!((report.refused, report.waiting), (0, 1));
    lately();

    let never = AppInsights::builder(bench.ingestion.connection().parse().unwrap())
        .transport(bench.azure.transport())
        .uncompressed()
        .build()
        .unwrap();
    never.send(&many).await.unwrap();
    assert!(matches!(lately()[..], [(_, false)]));
}
