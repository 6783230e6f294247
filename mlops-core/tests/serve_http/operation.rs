//! What a server answers, as operational metrics: the numbers are what callers saw, alert rules fire on them, guards of a rollout
//! judge by them, and what was captured reaches the monitors of drift.

use std::time::Instant;

use mlops_core::EndpointName;
use mlops_core::data::Column;
use mlops_core::deploy::rollout::judge::{Count, Observations, Proportions};
use mlops_core::deploy::rollout::{
    MetricGuard, OperationGuard, Phase, RolloutDriver, RolloutOptions, RolloutPlan, VecJournal,
};
use mlops_core::deploy::{InvokeRequest, SmokeTest};
use mlops_core::evaluation::Verdict;
use mlops_core::monitor::alerting::{AlertInput, AlertRoute, AlertRule, AlertRules, AlertState};
use mlops_core::monitor::{
    DriftDetector, DriftReport, DriftVerdict, FeatureDrift, FeatureOutcome, FeatureScore, LatencyHistogram,
    Monitor, MonitorSink, MonitorSpec, OperationRecorder, OperationReport, OperationSeries, SignalKind,
    SignalSpec, Window,
};
use mlops_core::num::Measured;
use mlops_core::time::{Clock, ManualClock, Timestamp};

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn start_of_time() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn minute(number: u32) -> Window {
    Window::new(start_of_time() + MINUTE * number, start_of_time() + MINUTE * (number + 1)).unwrap()
}

fn recorder(width: Duration) -> Arc<OperationRecorder> {
    Arc::new(OperationRecorder::new(&OperationSeries::new(width).unwrap()))
}

fn scores() -> EndpointName {
    "scores".parse().unwrap()
}

fn named(deployment: &str) -> DeploymentName {
    deployment.parse().unwrap()
}

/// A caller who notes how long each answer took and how each request ended.
struct Caller {
    address: SocketAddr,
    client: Option<Client>,
    answered: Vec<(String, Duration)>,
    failed: u64,
    refused: u64,
}

impl Caller {
    fn new(address: SocketAddr) -> Self {
        Self { address, client: None, answered: Vec::new(), failed: 0, refused: 0 }
    }

    async fn ask(&mut self, headers: &str, body: &str) -> Answer {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => Client::to(self.address).await,
        };
        let request = post("/score", headers, body);
        let began = Instant::now();
        let answer = client.ask(&request).await;
        match answer.status {
            200 => self.answered.push((answer.deployment().to_owned(), began.elapsed())),
            429 | 500.. => self.failed += 1,
            _ => self.refused += 1,
        }
        self.client = (answer.header("connection") != "close").then_some(client);
        answer
    }

    async fn times(&mut self, times: usize, headers: &str, body: &str, status: u16) {
        for _ in 0..times {
            assert_eq!(self.ask(headers, body).await.status, status);
        }
    }
}

fn to(deployment: &str) -> String {
    format!("azureml-model-deployment: {deployment}\r\n")
}

/// What goes wrong in a bad minute at one instance; everything else is answered.
async fn a_bad_minute(address: SocketAddr) -> Caller {
    let mut caller = Caller::new(address);
    for _ in 0..40 {
        caller.ask("", ROW).await;
    }
    caller.times(10, &to("slow"), ROW, 200).await;
    caller.times(6, &to("fails"), ROW, 500).await;
    caller.times(2, &to("panics"), ROW, 500).await;
    caller.times(1, &to("late"), ROW, 504).await;
    caller.times(3, "", "{", 400).await;
    caller.times(1, &to("red"), ROW, 404).await;
    caller.times(2, "authorization: Bearer of bad news\r\n", ROW, 401).await;
    caller
}

async fn a_good_minute(address: SocketAddr) -> Caller {
    let mut caller = Caller::new(address);
    for _ in 0..40 {
        caller.ask("", ROW).await;
    }
    caller
}

/// The duration with rank ⌈q·n⌉, as reports define quantiles.
fn quantile(sorted: &[Duration], q: f64) -> Duration {
    // Not negative: both factors are not.
    #[allow(clippy::cast_sign_loss)]
    let rank = ((q * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len());
    sorted[rank - 1]
}

/// Each answer took the server at least as long as its model slept, and at most as long as its caller waited: so did every quantile.
fn lies_between(report: &OperationReport, mut slept: Vec<Duration>, mut waited: Vec<Duration>) {
    slept.sort_unstable();
    waited.sort_unstable();
    let latency = report.latency.unwrap();
    let error = 1.0 + LatencyHistogram::RELATIVE_ERROR;
    for (q, got) in
        [(0.5, latency.p50), (0.9, latency.p90), (0.95, latency.p95), (0.99, latency.p99), (1.0, latency.max)]
    {
        let (least, most) = (quantile(&slept, q), quantile(&waited, q));
        assert!(got.mul_f64(error) >= least && got <= most.mul_f64(error), "{q}: {least:?} {got:?} {most:?}");
    }
}

const SLEEP: Duration = Duration::from_millis(40);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn error_rate_and_latency_are_what_callers_saw_and_alert_rules_fire_on_them() {
    let clock = Arc::new(ManualClock::at(start_of_time()));
    let world = World::new().await;
    for (name, model) in
        [("slow", "1 slow 40"), ("late", "1 slow 1500"), ("fails", "1 fails"), ("panics", "1 panics")]
    {
        world.deploy(name, model).await;
    }
    // Two instances of the server, each with a recorder of its own.
    let instances = [recorder(MINUTE), recorder(MINUTE)];
    let mut servers = Vec::new();
    for recorder in &instances {
        let limits = Limits::default().with_request_timeout(Duration::from_secs(1));
        let change = |server: Server| {
            server.with_limits(limits).with_clock(clock.clone()).with_observer(recorder.clone())
        };
        servers.push(world.start(change).await);
    }
    let rules = [
        AlertRule::new("errors", "error_rate").with_above(0.05, 0.02),
        AlertRule::new("slow", "latency_p99_seconds")
            .with_above(0.039, 0.03)
            .with_label("deployment", "slow"),
    ];
    let rules =
        AlertRules::new("scores".parse().unwrap(), rules.into(), vec![AlertRoute::new("all", ["inbox"])]);
    let (rules, mut alerts) = (rules.unwrap(), AlertState::default());
    let (mut firing, mut notices) = (Vec::new(), Vec::new());
    let mut reports = Vec::new();
    for number in 0..3 {
        clock.set(start_of_time() + MINUTE * number);
        let (one, other) = (servers[0].local_addr(), servers[1].local_addr());
        let callers = match number {
            1 => <[Caller; 2]>::from(tokio::join!(a_bad_minute(one), a_bad_minute(other))),
            _ => <[Caller; 2]>::from(tokio::join!(a_good_minute(one), a_good_minute(other))),
        };
        // What the instances recorded travels as JSON to whoever looks at all of them.
        let whole = recorder(MINUTE);
        for instance in &instances {
            let sent = serde_json::to_string(&instance.recorded()).unwrap();
            whole.merge(&serde_json::from_str::<Vec<_>>(&sent).unwrap()).unwrap();
        }
        let now = start_of_time() + MINUTE * (number + 1);
        let all = whole.reports(&minute(number)).unwrap();
        for found in &all {
            for input in AlertInput::of_operation(&found.report, &found.labels()) {
                let (state, told) = rules.step(&alerts, &input, now).unwrap();
                alerts = state;
                notices.extend(told);
            }
        }
        let name = |series: &mlops_core::monitor::alerting::AlertSeries| {
            (series.rule.clone(), series.labels.get("deployment").cloned().unwrap_or_default())
        };
        firing.push(alerts.firing().map(name).collect::<BTreeSet<_>>());
        reports.push((callers, all));
    }
    let of = |number: usize, deployment: Option<&str>| -> OperationReport {
        let all = &reports[number].1;
        let found =
            all.iter().find(|found| found.deployment.as_ref().map(DeploymentName::as_str) == deployment);
        found.unwrap().report.clone()
    };
    // Every request is in the counts of the endpoint, with the end that its caller saw.
    for (number, (callers, _)) in reports.iter().enumerate() {
        let sum = |count: fn(&Caller) -> u64| callers.iter().map(count).sum::<u64>();
        let seen = (sum(|c| c.answered.len() as u64), sum(|c| c.failed), sum(|c| c.refused));
        let whole = of(number, None);
        assert_eq!((whole.answered, whole.failed, whole.refused), seen, "minute {number}");
        assert_eq!(whole.abandoned, 0);
        assert_eq!(whole.error_rate, Measured::Value(seen.1 as f64 / (seen.0 + seen.1) as f64));
        assert_eq!(whole.throughput, (seen.0 + seen.1 + seen.2) as f64 / 60.0);
        let waited: Vec<Duration> =
            callers.iter().flat_map(|c| &c.answered).map(|(_, waited)| *waited).collect();
        let slept = callers.iter().flat_map(|c| &c.answered).map(|(name, _)| match name.as_str() {
            "slow" => SLEEP,
            _ => Duration::ZERO,
        });
        lies_between(&whole, slept.collect(), waited);
    }
    // And in those of its deployment, if it reached one. An answer that is not there in time is a failure of who was asked.
    let (callers, bad) = (&reports[1].0, of(1, None));
    assert!(bad.failed >= 18 && bad.refused == 12, "{bad:?}");
    for (name, answered, failed) in [("slow", 20, 0), ("fails", 0, 12), ("panics", 0, 4), ("late", 0, 2)] {
        let report = of(1, Some(name));
        assert_eq!((report.answered, report.failed, report.refused), (answered, failed, 0), "{name}");
    }
    let waited = callers
        .iter()
        .flat_map(|c| &c.answered)
        .filter(|(name, _)| name == "slow")
        .map(|(_, waited)| *waited);
    lies_between(&of(1, Some("slow")), vec![SLEEP; 20], waited.collect());
    // The rules fire in the bad minute and not before; the endpoint recovers, those whom nobody asks any more do not.
    let names = |pairs: &[(&str, &str)]| -> BTreeSet<(String, String)> {
        pairs.iter().map(|(rule, deployment)| ((*rule).to_owned(), (*deployment).to_owned())).collect()
    };
    let broken = [("errors", "fails"), ("errors", "panics"), ("errors", "late"), ("slow", "slow")];
    assert_eq!(firing[0], names(&[]));
    assert_eq!(firing[1], names(&[&broken[..], &[("errors", "")]].concat()));
    assert_eq!(firing[2], names(&broken));
    assert!(
        notices.iter().any(|notice| notice.to_alert().message.contains("error_rate is 0.1")),
        "{notices:?}"
    );
    // The server's own counts say the same of the one that was late.
    let late = r#"mlops_predict_requests_total{endpoint="scores",deployment="late",outcome="failed"}"#;
    assert_eq!(metric(servers[0].local_addr(), late).await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_goes_back_for_answers_that_came_too_late_for_their_callers() {
    let clock = Arc::new(ManualClock::at(start_of_time()));
    let world = World::new().await;
    world.deploy("tardy", "3 slow 1500").await;
    let recorder = recorder(Duration::from_secs(10));
    let limits = Limits::default().with_request_timeout(Duration::from_millis(300));
    let change =
        |server: Server| server.with_limits(limits).with_clock(clock.clone()).with_observer(recorder.clone());
    let running = world.start_with(by_user(), change).await;
    let (blue, tardy) = (named("blue"), named("tardy"));
    let answers = MetricGuard::new("answers", Proportions::new(0.02)).with_min_samples(10);
    let options = RolloutOptions::default()
        .with_steps([50, 100].map(|share| Percent::new(share).unwrap()))
        .with_bake(Duration::from_secs(10))
        .with_limits(OperationGuard::default().with_min_requests(10))
        .with_metric(answers);
    let plan =
        RolloutPlan::canary(scores(), blue.clone(), tardy.clone(), "bot".parse().unwrap(), options).unwrap();
    let rows = row_with(Column::f64("age", vec![10.0]).unwrap());
    let smoke = SmokeTest::new(rows).unwrap();
    let mut rollout =
        RolloutDriver::new(plan, smoke, world.deployer.clone(), Arc::new(VecJournal::default()));
    let mut status = rollout.advance(clock.now()).await.unwrap();
    assert!(matches!(status.phase, Phase::Baking { step: 0, .. }), "{status}");
    let before = world.deployer.stats(&scores(), &tardy).await.unwrap().requests;
    running.refresh(&scores()).await.unwrap();
    let address = running.local_addr();
    let users = (0..60).map(|user| {
        let headers = format!("x-user: user-{user}\r\n");
        async move { score(address, &headers, ROW).await.status }
    });
    let statuses = futures_util::future::join_all(users).await;
    // Everybody who got the candidate got no answer; the deployer knows of no failure of it.
    let late = statuses.iter().filter(|status| **status == 504).count() as u64;
    eventually("the candidate has answered everybody who is gone", async || {
        let stats = world.deployer.stats(&scores(), &tardy).await.unwrap();
        assert_eq!(stats.failures, 0);
        stats.requests - before >= late.min(10)
    })
    .await;
    let seen = recorder.failures(&scores(), &tardy, &blue, start_of_time()).unwrap();
    let Observations::Counts { candidate, stable } = seen.clone() else { panic!("{seen:?}") };
    assert!(candidate.trials() >= 10 && candidate.rate() == Some(1.0), "{seen:?}");
    assert_eq!(candidate.events() + stable.events(), late);
    assert_eq!(candidate.trials() + stable.trials(), 60);
    rollout.report_observations("answers", seen);
    for _ in 0..5 {
        clock.advance(Duration::from_secs(10));
        status = rollout.advance(clock.now()).await.unwrap();
    }
    assert!(matches!(status.phase, Phase::RolledBack { .. }), "{status}");
    assert_eq!(world.deployer.endpoint(&scores()).await.unwrap().traffic, split(&[("blue", 100)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_who_go_away_and_copies_for_shadows_are_counted_apart() {
    let clock = Arc::new(ManualClock::at(start_of_time()));
    let world = World::new().await;
    world.deploy("held", "1 held and abandoned").await;
    world.deploy("fails", "1 fails").await;
    let recorder = recorder(MINUTE);
    let limits = Limits::default().with_drain_timeout(Duration::from_millis(200));
    let change =
        |server: Server| server.with_limits(limits).with_clock(clock.clone()).with_observer(recorder.clone());
    let mirror = Mirror::new(named("fails"), Percent::ALL);
    let running = world.start_with(by_user().with_mirror(mirror), change).await;
    let report = |deployment: Option<&str>| {
        let all = recorder.reports(&minute(0)).unwrap();
        let of = |found: &&mlops_core::monitor::RecordedReport| {
            found.deployment.as_ref().map(DeploymentName::as_str) == deployment
        };
        all.iter().find(of).map(|found| found.report.clone())
    };
    let mut gone = Client::to(running.local_addr()).await;
    gone.send(post("/score", &to("held"), ROW).as_bytes()).await.unwrap();
    eventually("it is asked", async || metric(running.local_addr(), "mlops_http_in_flight").await >= 2.0)
        .await;
    drop(gone);
    eventually("it is seen that nobody waits", async || {
        report(Some("held")).is_some_and(|all| all.abandoned == 1)
    })
    .await;
    release("held and abandoned");
    for _ in 0..7 {
        assert_eq!(score(running.local_addr(), "", ROW).await.status, 200);
    }
    eventually("the shadow has failed", async || report(Some("fails")).is_some_and(|all| all.failed == 7))
        .await;
    let whole = report(None).unwrap();
    assert_eq!((whole.answered, whole.failed, whole.abandoned), (7, 0, 1), "nobody waits for a shadow");
    assert_eq!(whole.abandon_rate, Measured::Value(0.125));
    assert_eq!(whole.error_rate, Measured::Value(0.0));
    let abandoned =
        r#"mlops_predict_requests_total{endpoint="scores",deployment="held",outcome="abandoned"}"#;
    assert_eq!(metric(running.local_addr(), abandoned).await, 1.0);
    // What a server breaks off at its end is its own fault.
    let mut half = Client::to(running.local_addr()).await;
    let request = post("/score", "", ROW);
    half.send(&request.as_bytes()[..request.len() - 3]).await.unwrap();
    eventually("it is begun", async || metric(running.local_addr(), "mlops_http_in_flight").await >= 2.0)
        .await;
    assert_eq!(running.stop().await.broken_off, 1);
    let whole = recorder.endpoint(&scores()).unwrap().report(&minute(0)).unwrap();
    assert_eq!((whole.answered, whole.failed, whole.abandoned), (7, 1, 1));
}

/// A row as the model takes it, but for the column of the age.
fn row_with(age: Column<'static>) -> Table<'static> {
    let rest =
        [Column::i64("visits", vec![1]), Column::text("plan", ["gold"]), Column::bool("member", vec![true])];
    let columns = std::iter::once(age).chain(rest.map(std::result::Result::unwrap));
    Table::new(columns.collect()).unwrap()
}

async fn invoke_all(deployer: &dyn Deployer) {
    let rows = row_with(Column::f64("age", vec![10.0]).unwrap());
    let wrong = row_with(Column::text("age", ["ten"]).unwrap());
    for (deployment, rows, times) in [("blue", &rows, 5), ("blue", &wrong, 2), ("fails", &rows, 3)] {
        let request = InvokeRequest::new(scores(), rows).with_deployment(named(deployment));
        for _ in 0..times {
            let _answer = deployer.invoke(&request).await;
        }
    }
}

fn check_invoked(recorder: &OperationRecorder, window: &Window) {
    let reports = recorder.reports(window).unwrap();
    let counts: Vec<_> = reports
        .iter()
        .map(|all| {
            let name = all.deployment.as_ref().map_or("", DeploymentName::as_str);
            (name, all.report.answered, all.report.failed, all.report.refused)
        })
        .collect();
    assert_eq!(counts, [("", 5, 3, 2), ("blue", 5, 0, 2), ("fails", 0, 3, 0)]);
}

#[tokio::test]
async fn deployers_tell_of_what_is_asked_of_them_in_this_process() {
    let (clock, artifacts) =
        (Arc::new(ManualClock::at(start_of_time())), Arc::new(MemoryArtifactStore::default()));
    let registry = Arc::new(MemoryModelRegistry::new(artifacts.clone(), clock.clone()));
    let (loader, heard) = (Arc::new(ScaledLoader::default()), recorder(MINUTE));
    let deployer = MemoryDeployer::new(registry.clone(), artifacts.clone(), loader, clock.clone());
    let deployer = deployer.with_observer(heard.clone());
    deployer.ensure_endpoint(&EndpointSpec::new(scores(), "me".parse().unwrap())).await.unwrap();
    for (name, model) in [("blue", "2 ok"), ("fails", "1 fails")] {
        deployer.deploy(&register(&*registry, &*artifacts, name, model).await).await.unwrap();
    }
    invoke_all(&deployer).await;
    check_invoked(&heard, &minute(0));
}

#[cfg(feature = "local")]
#[tokio::test]
async fn the_embedded_deployer_tells_of_what_is_asked_of_it_in_this_process() {
    use mlops_core::local::LocalStore;
    let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::new(ManualClock::at(start_of_time())));
    let store = LocalStore::options().with_clock(clock.clone()).open(folder.path()).unwrap();
    let (registry, heard) = (Arc::new(store.registry()), recorder(MINUTE));
    let deployer =
        store.deployer(registry.clone(), Arc::new(ScaledLoader::default())).with_observer(heard.clone());
    deployer.ensure_endpoint(&EndpointSpec::new(scores(), "me".parse().unwrap())).await.unwrap();
    for (name, model) in [("blue", "2 ok"), ("fails", "1 fails")] {
        deployer.deploy(&register(&*registry, &store.artifacts(), name, model).await).await.unwrap();
    }
    invoke_all(&deployer).await;
    check_invoked(&heard, &minute(0));
}

/// Calls it drift when the mean of a column has left the reference's by more than half.
#[derive(Debug)]
struct MeanShift {
    column: &'static str,
    reference: f64,
}

impl DriftDetector for MeanShift {
    fn name(&self) -> &str {
        "mean-shift"
    }

    fn features(&self) -> Vec<String> {
        vec![self.column.to_owned()]
    }

    fn detect(&self, current: &Table<'_>, at: Timestamp) -> Result<DriftReport> {
        let values = current.column(self.column)?.to_f64()?;
        let score = (values.iter().sum::<f64>() / values.len() as f64 / self.reference - 1.0).abs();
        let verdict = if score > 0.5 { DriftVerdict::Drift } else { DriftVerdict::NoDrift };
        let outcome = FeatureOutcome::Measured(FeatureScore::new("mean-shift/v1", score, 0.5, verdict));
        let features = vec![FeatureDrift::new(self.column.to_owned(), outcome)];
        Ok(DriftReport::new(self.name(), at, (100, values.len() as u64), features, verdict, "by the mean"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_and_answered_reaches_the_monitors_of_drift() {
    let clock = Arc::new(ManualClock::at(start_of_time()));
    let inputs = MeanShift { column: "age", reference: 50.0 };
    let answers = MeanShift { column: MemoryMonitor::PREDICTION, reference: 100.0 };
    let monitor = MemoryMonitor::new(clock.clone())
        .with_detector("inputs", Arc::new(inputs))
        .with_detector("answers", Arc::new(answers));
    let monitor: Arc<dyn Monitor> = Arc::new(monitor);
    let name = "drift".parse().unwrap();
    let signals = vec![
        SignalSpec::new("inputs", SignalKind::DataDrift),
        SignalSpec::new("answers", SignalKind::PredictionDrift),
    ];
    monitor.define(&MonitorSpec::new(name, scores(), signals)).await.unwrap();
    let rule = AlertRule::new("drift", "monitor_signal").with_above(0.5, 0.5);
    let rules =
        AlertRules::new("scores".parse().unwrap(), vec![rule], vec![AlertRoute::new("all", ["inbox"])])
            .unwrap();
    let capture = Capture::new(Arc::new(MonitorSink::new(monitor.clone())));
    let change = |server: Server| server.with_capture(capture).with_clock(clock.clone());
    let running = World::new().await.start(change).await;
    let mut client = Client::to(running.local_addr()).await;
    for (number, base, verdict) in [(0, 40, Verdict::Pass), (1, 140, Verdict::Fail)] {
        clock.set(start_of_time() + MINUTE * number);
        for i in 0..20 {
            let body = format!(r#"{{"data": [{{"age": {}}}, {{"age": {}}}]}}"#, base + i, base + i);
            assert_eq!(client.ask(&post("/score", "", &body)).await.status, 200);
        }
        let check = async || monitor.check(&"drift".parse().unwrap(), &minute(number)).await.unwrap();
        eventually("all rows have come", async || check().await.rows == 40).await;
        let report = check().await;
        let verdicts: Vec<Verdict> = report.signals.iter().map(|signal| signal.verdict).collect();
        assert_eq!(verdicts, [verdict, verdict], "{report:?}");
        let mut state = AlertState::default();
        for input in AlertInput::of_monitor(&report) {
            (state, _) = rules.step(&state, &input, clock.now()).unwrap();
        }
        assert_eq!(state.firing().count(), if verdict == Verdict::Fail { 2 } else { 0 });
    }
}

#[test]
fn deployments_that_nobody_asks_any_more_are_forgotten_and_their_number_is_bounded() {
    use mlops_core::deploy::{EndedRequest, RequestObserver};
    use mlops_core::monitor::RequestOutcome;
    let series = OperationSeries::new(MINUTE).unwrap().with_retention(10).unwrap();
    let recorder = OperationRecorder::new(&series);
    let hear = |name: &str, minutes: u32| {
        let (endpoint, deployment, at) = (scores(), named(name), start_of_time() + MINUTE * minutes);
        let request = EndedRequest::new(
            &endpoint,
            Some(&deployment),
            at,
            RequestOutcome::Answered,
            Duration::from_millis(1),
        );
        recorder.ended(&request);
    };
    hear("old", 0);
    hear("new", 9);
    assert_eq!(recorder.recorded().len(), 2);
    hear("newer", 11);
    let names: Vec<_> = recorder.recorded().into_iter().filter_map(|one| one.deployment).collect();
    assert_eq!(names, [named("new"), named("newer")]);
    for i in 0..OperationRecorder::MAX_SERIES + 50 {
        hear(&format!("deployment-{i}"), 12);
    }
    assert_eq!(recorder.recorded().len(), OperationRecorder::MAX_SERIES + 1);
    let whole = recorder.endpoint(&scores()).unwrap().report(&minute(12)).unwrap();
    assert_eq!(whole.answered, OperationRecorder::MAX_SERIES as u64 + 50, "all count for their endpoint");
    // What does not fit together is not merged, and changes nothing.
    let other = OperationRecorder::new(&OperationSeries::new(MINUTE * 2).unwrap());
    other.ended(&EndedRequest::new(&scores(), None, start_of_time(), RequestOutcome::Failed, MINUTE));
    let before = recorder.recorded();
    assert!(recorder.merge(&other.recorded()).is_err());
    assert_eq!(recorder.recorded(), before);
    let counted =
        recorder.failures(&scores(), &named("new"), &named("nobody"), start_of_time() + MINUTE * 5).unwrap();
    assert_eq!(
        counted,
        Observations::Counts { candidate: Count::new(0, 1).unwrap(), stable: Count::default() }
    );
}
