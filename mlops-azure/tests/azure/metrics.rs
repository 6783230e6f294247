//! Azure Monitor's metrics of online endpoints: as a client, and as what guards of core's rollouts query.

use std::sync::Arc;
use std::time::Duration;

use mlops_azure::deploy::metrics::{EndpointMetrics, FailureRule, LatencyStatistic, Minutes, Utilization};
use mlops_azure::deploy::{AzureDeployer, AzureMetrics, DeploymentTemplate};
use mlops_azure::fake::FakeAzure;
use mlops_azure::wire::metrics::{Aggregation, DimensionFilter, Interval, MetricsQuery};
use mlops_core::artifact::ArtifactStoreExt as _;
use mlops_core::data::{Column, DataType, Table};
use mlops_core::deploy::rollout::judge::{Count, Judge, Observations, Proportions, Threshold};
use mlops_core::deploy::rollout::*;
use mlops_core::deploy::*;
use mlops_core::memory::{MemoryArtifactStore, MemoryModelRegistry};
use mlops_core::model::{Feature, ModelFormat, Predictions, Predictor, Signature};
use mlops_core::problem::Task;
use mlops_core::registry::{ModelRegistry as _, NewModelVersion};
use mlops_core::time::{Clock as _, ManualClock, Timestamp};
use mlops_core::{
    ActorId, DeploymentName, EndpointName, Error, ErrorKind, IdempotencyKey, ModelName, Percent,
};
use serde_json::json;

use crate::judging;

fn time(text: &str) -> Timestamp {
    format!("2026-03-02T{text}Z").parse().unwrap()
}

fn minutes(from: &str, to: &str) -> Minutes {
    Minutes::within(time(from), time(to)).unwrap()
}

fn churn() -> EndpointName {
    EndpointName::new("churn").unwrap()
}

fn named(name: &str) -> DeploymentName {
    DeploymentName::new(name).unwrap()
}

/// Azure at nine, with an endpoint and two deployments, and a client of their metrics.
struct Nine {
    clock: Arc<ManualClock>,
    azure: FakeAzure,
    metrics: EndpointMetrics,
}

impl Nine {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(time("09:00:00")));
        let azure = FakeAzure::new().with_clock(clock.clone());
        let place = azure.place();
        azure.set_resource(place.online_endpoint("churn").unwrap().id(), json!({ "properties": {} }));
        for name in ["blue", "green"] {
            let id = place.online_deployment("churn", name).unwrap().id().to_owned();
            azure.set_resource(&id, json!({ "properties": {} }));
        }
        let metrics = EndpointMetrics::new(azure.arm(), place);
        Self { clock, azure, metrics }
    }

    fn answer(&self, deployment: &str, status: u16, model: Option<u16>, at: &str, times: u32) {
        for _ in 0..times {
            self.azure.metrics().request("churn", deployment, (status, model), 20.0, time(at));
        }
    }

    fn source(&self) -> AzureMetrics {
        AzureMetrics::new(self.metrics.clone()).with_clock(self.clock.clone())
    }

    async fn observe(
        &self,
        source: &AzureMetrics,
        metric: &str,
        from: &str,
        to: &str,
    ) -> Option<Observations> {
        let (endpoint, green, blue) = (churn(), named("green"), named("blue"));
        let request = MetricRequest::new(metric, &endpoint, &green, time(from), time(to)).with_stable(&blue);
        source.observe(&request).await.unwrap()
    }
}

fn counts(candidate: (u64, u64), stable: (u64, u64)) -> Observations {
    let count = |(events, trials)| Count::new(events, trials).unwrap();
    Observations::Counts { candidate: count(candidate), stable: count(stable) }
}

#[tokio::test]
async fn answers_are_told_by_deployment_and_status() {
    let nine = Nine::new();
    nine.answer("blue", 200, Some(200), "08:10:00", 40);
    nine.answer("blue", 200, Some(200), "08:11:59", 20);
    nine.answer("blue", 424, Some(500), "08:11:00", 3);
    nine.answer("blue", 424, Some(422), "08:11:00", 2);
    nine.answer("blue", 503, None, "08:12:00", 1);
    nine.answer("Green", 429, None, "08:12:00", 7);
    nine.answer("blue", 500, None, "08:15:00", 99);
    let asked =
        nine.metrics.answers("churn", &["blue", "green", "red"], minutes("08:10:00", "08:15:00")).await;
    let asked = asked.unwrap();
    assert_eq!(asked.keys().collect::<Vec<_>>(), ["blue", "green", "red"]);
    let blue = &asked["blue"];
    assert_eq!((blue.requests(), blue.of_class(2), blue.of_class(4), blue.of_class(5)), (66, 60, 5, 1));
    let told: Vec<_> = blue.iter().map(|(answer, n)| (answer.status, answer.model, n)).collect();
    assert_eq!(told, [(200, Some(200), 60), (424, Some(422), 2), (424, Some(500), 3), (503, None, 1)]);
    assert_eq!(asked["green"].count(FailureRule::default()).unwrap(), Count::new(7, 7).unwrap());
    assert!(asked["red"].is_empty(), "nobody asked it");
    assert_eq!(nine.azure.count(), 1, "{:?}", nine.azure.requests());
    // Where none is asked for, those that had requests.
    let all = nine.metrics.answers("churn", &[], minutes("08:10:00", "08:12:00")).await.unwrap();
    assert_eq!(all.keys().collect::<Vec<_>>(), ["blue"]);
}

#[tokio::test]
async fn every_request_counts_however_azure_averages() {
    let nine = Nine::new();
    // Two statuses of a class: the average of the class is 15 a minute, where there were 30.
    nine.answer("blue", 500, None, "08:00:00", 10);
    nine.answer("blue", 503, None, "08:00:00", 20);
    let from_to = minutes("08:00:00", "08:01:00");
    let query = MetricsQuery::new(["RequestsPerMinute"], from_to.from(), from_to.to())
        .with_filter(DimensionFilter::every("statusCodeClass").unwrap());
    let told = nine.metrics.query("churn", None, &query).await.unwrap();
    let series = told.series("test", "RequestsPerMinute").unwrap();
    assert_eq!((series.len(), series[0].data[0].average), (1, Some(15.0)));
    let answers = nine.metrics.answers("churn", &["blue"], from_to).await.unwrap();
    assert_eq!(answers["blue"].of_class(5), 30);
}

#[tokio::test]
async fn more_series_than_azure_tells_unasked_are_all_counted() {
    let nine = Nine::new();
    for status in 400..430 {
        nine.answer("blue", status, None, "08:00:00", 1);
    }
    let from_to = minutes("08:00:00", "08:01:00");
    let answers = nine.metrics.answers("churn", &["blue"], from_to).await.unwrap();
    assert_eq!(answers["blue"].requests(), 30);
    let query = MetricsQuery::new(["RequestsPerMinute"], from_to.from(), from_to.to())
        .with_filter(DimensionFilter::every("statusCode").unwrap());
    let told = nine.metrics.query("churn", None, &query).await.unwrap();
    assert_eq!(told.series("test", "RequestsPerMinute").unwrap().len(), 10);
    for status in 0..600 {
        nine.answer("blue", status, None, "08:00:00", 1);
    }
    let error = nine.metrics.answers("churn", &["blue"], from_to).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
}

#[tokio::test]
async fn latencies_are_told_by_minutes_that_have_some() {
    let nine = Nine::new();
    let metrics = nine.azure.metrics();
    for (at, latency) in [("08:00:00", 10.0), ("08:00:30", 30.0), ("08:02:00", 50.0), ("08:03:00", 0.0)] {
        metrics.request("churn", "blue", (200, Some(200)), latency, time(at));
    }
    for n in 1..=100 {
        metrics.request("churn", "green", (200, Some(200)), f64::from(n), time("08:01:00"));
    }
    let of = async |statistic| {
        nine.metrics
            .latency("churn", &["blue", "green"], statistic, minutes("08:00:00", "08:04:00"))
            .await
            .unwrap()
    };
    let mean = of(LatencyStatistic::Mean).await;
    assert_eq!(mean["blue"], [(time("08:00:00"), 20.0), (time("08:02:00"), 50.0)]);
    assert_eq!(mean["green"], [(time("08:01:00"), 50.5)]);
    for (statistic, expected) in [
        (LatencyStatistic::P50, 50.0),
        (LatencyStatistic::P90, 90.0),
        (LatencyStatistic::P95, 95.0),
        (LatencyStatistic::P99, 99.0),
    ] {
        assert_eq!(of(statistic).await["green"], [(time("08:01:00"), expected)]);
    }
    let none =
        nine.metrics.latency("churn", &[], LatencyStatistic::Mean, minutes("07:00:00", "07:05:00")).await;
    assert!(none.unwrap().is_empty());
}

#[tokio::test]
async fn machines_are_told_on_average_over_instances() {
    let nine = Nine::new();
    for (instance, percent) in [("0", 40.0), ("1", 80.0)] {
        let metric = Utilization::Cpu.metric();
        nine.azure.metrics().measure("churn", "blue", metric, instance, percent, time("08:00:00"));
    }
    let told = |what| nine.metrics.utilization("churn", "blue", what, minutes("08:00:00", "08:02:00"));
    assert_eq!(told(Utilization::Cpu).await.unwrap(), [(time("08:00:00"), 60.0)]);
    assert_eq!(told(Utilization::GpuMemory).await.unwrap(), []);
    let seen = nine.observe(&nine.source(), "cpu_percent", "08:00:00", "08:02:00").await;
    assert_eq!(seen, Some(Observations::values(Vec::new(), vec![60.0])));
}

#[tokio::test]
async fn what_can_be_asked_is_told() {
    let nine = Nine::new();
    let all = nine.metrics.definitions("churn").await.unwrap();
    let requests = all.iter().find(|one| one.name.value == "RequestsPerMinute").unwrap();
    assert_eq!(requests.supported_aggregation_types, [Aggregation::Average]);
    let names: Vec<&str> = requests.dimensions.iter().map(|one| one.value.as_str()).collect();
    assert_eq!(names, ["deployment", "statusCode", "statusCodeClass", "modelStatusCode"]);
}

#[tokio::test]
async fn refusals_say_what_was_wrong() {
    let nine = Nine::new();
    let (from, to) = (time("08:00:00"), time("08:05:00"));
    let ask = async |query: MetricsQuery| nine.metrics.query("churn", None, &query).await;
    let requests = || MetricsQuery::new(["RequestsPerMinute"], from, to);

    let error = ask(MetricsQuery::new(["Requests"], from, to)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.message().starts_with("Failed to find metric configuration"), "{error}");
    let error = ask(requests().with_filter(DimensionFilter::every("colour").unwrap())).await.unwrap_err();
    assert!(error.message().contains("does not support requested dimension combination: colour"), "{error}");
    // An aggregation that it does not have is the metric's own error.
    let told = ask(requests().with_aggregations([Aggregation::Total])).await.unwrap();
    let error = told.series("test", "RequestsPerMinute").unwrap_err();
    assert_eq!(error.context("code"), Some("InvalidSamplingType"));

    let from_to = minutes("08:00:00", "08:05:00");
    let error = nine.metrics.answers("other", &["blue"], from_to).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = nine.metrics.utilization("churn", "red", Utilization::Cpu, from_to).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = nine.metrics.answers("../other", &["blue"], from_to).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    nine.azure.metrics().fail("RequestLatency", "Throttled", "try later", 1);
    let latency = || nine.metrics.latency("churn", &["blue"], LatencyStatistic::Mean, from_to);
    let error = latency().await.unwrap_err();
    assert_eq!((error.kind(), error.context("reason")), (ErrorKind::Rejected, Some("try later")));
    nine.azure.faults().forbidden(1);
    assert_eq!(latency().await.unwrap_err().kind(), ErrorKind::Auth);
    // Asked too often, it is asked again.
    nine.azure.metrics().throttled(2);
    assert!(latency().await.unwrap()["blue"].is_empty());
}

#[tokio::test]
async fn values_of_longer_intervals_are_told_too() {
    let nine = Nine::new();
    nine.answer("blue", 200, None, "08:01:00", 10);
    nine.answer("blue", 200, None, "08:03:00", 20);
    for (interval, expected) in [(Interval::FiveMinutes, vec![15.0, 0.0]), (Interval::Full, vec![15.0])] {
        let query = MetricsQuery::new(["RequestsPerMinute"], time("08:00:00"), time("08:10:00"));
        let told = nine.metrics.query("churn", None, &query.with_interval(interval)).await.unwrap();
        let series = told.series("test", "RequestsPerMinute").unwrap();
        let values: Vec<f64> = series[0].points(&Aggregation::Average).map(|(_, value)| value).collect();
        assert_eq!(values, expected);
    }
}

#[tokio::test]
async fn a_cloud_that_does_not_tell_the_models_status_is_asked_without() {
    let nine = Nine::new();
    nine.answer("blue", 424, Some(422), "08:00:00", 2);
    nine.answer("blue", 424, Some(500), "08:01:00", 3);
    nine.azure.metrics().without_dimension("modelStatusCode");
    let from_to = minutes("08:00:00", "08:05:00");
    let error = nine.metrics.answers("churn", &["blue"], from_to).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let plain = nine.metrics.clone().without_model_status();
    let answers = plain.answers("churn", &["blue"], from_to).await.unwrap();
    assert_eq!(answers["blue"].count(FailureRule::Deployment).unwrap(), Count::new(5, 5).unwrap());
}

#[tokio::test]
async fn the_source_tells_what_its_table_says_and_nothing_else() {
    let nine = Nine::new();
    nine.answer("green", 200, Some(200), "08:01:00", 9);
    nine.answer("green", 424, Some(500), "08:01:00", 1);
    nine.answer("green", 400, None, "08:01:00", 5);
    nine.answer("blue", 200, Some(200), "08:01:00", 50);
    let source = nine.source();
    let failures =
        async |source: &AzureMetrics| nine.observe(source, "failures", "08:00:00", "08:05:00").await;
    assert_eq!(failures(&source).await, Some(counts((1, 10), (0, 50))));
    let all = source.clone().with_failures(FailureRule::AllErrors);
    assert_eq!(failures(&all).await, Some(counts((6, 15), (0, 50))));
    let server = source.clone().with_failures(FailureRule::ServerErrors);
    assert_eq!(failures(&server).await, Some(counts((0, 15), (0, 50))));
    for name in ["latency_ms", "latency_p50_ms", "latency_p90_ms", "latency_p95_ms", "latency_p99_ms"] {
        let seen = nine.observe(&source, name, "08:00:00", "08:05:00").await;
        assert_eq!(seen, Some(Observations::values(vec![20.0], vec![20.0])), "{name}");
    }
    for name in ["cpu_percent", "memory_percent", "disk_percent", "gpu_percent", "gpu_memory_percent"] {
        let seen = nine.observe(&source, name, "08:00:00", "08:05:00").await;
        assert!(seen.is_some_and(|seen| seen.is_empty()), "{name}");
    }
    for name in ["", "latency", "RequestLatency", "Failures"] {
        assert_eq!(nine.observe(&source, name, "08:00:00", "08:05:00").await, None, "{name}");
    }
    // Without a stable version there is nothing of one.
    let (endpoint, green) = (churn(), named("green"));
    let request = MetricRequest::new("failures", &endpoint, &green, time("08:00:00"), time("08:05:00"));
    assert_eq!(source.observe(&request).await.unwrap(), Some(counts((1, 10), (0, 0))));
}

#[tokio::test]
async fn minutes_are_asked_about_when_they_are_whole_and_old() {
    let nine = Nine::new();
    nine.azure.metrics().delay(Duration::from_secs(150));
    for minute in ["08:50:30", "08:51:10", "08:55:50", "08:56:50", "08:57:10", "08:59:10"] {
        nine.answer("green", 200, None, minute, 1);
        nine.answer("blue", 200, None, minute, 1);
    }
    let source = nine.source();
    let seen = async |source: &AzureMetrics, from: &str, to: &str| {
        nine.observe(source, "failures", from, to).await.unwrap().len()
    };
    // From 08:51, because 08:50 is not whole; up to 08:57, which has been over for three minutes at nine.
    assert_eq!(seen(&source, "08:50:05", "09:00:00").await, [3, 3]);
    let asked = nine.azure.requests().pop().unwrap();
    assert!(asked.contains("timespan=2026-03-02T08:51:00Z/2026-03-02T08:57:00Z"), "{asked}");
    // Nothing is asked about what is too young.
    let before = nine.azure.count();
    assert_eq!(seen(&source, "08:57:30", "09:00:00").await, [0, 0]);
    assert_eq!(nine.azure.count(), before);
    // A window that ended a while ago is whole at its own end.
    assert_eq!(seen(&source, "08:50:00", "08:51:59").await, [1, 1]);
    // Time makes the answer longer, and what was told stays.
    nine.clock.advance(Duration::from_secs(120));
    assert_eq!(seen(&source, "08:50:05", "09:00:00").await, [4, 4]);
    // Less patience sees less than there was: zeros, where the data have not come.
    let hasty = nine.source().with_delay(Duration::ZERO);
    assert_eq!(seen(&hasty, "08:58:00", "09:02:00").await, [0, 0]);
    nine.clock.advance(Duration::from_secs(60));
    assert_eq!(seen(&hasty, "08:58:00", "09:02:00").await, [1, 1]);
}

/// Answers the age, or fails for those of 70 and more: one in six.
#[derive(Debug)]
struct Aged {
    signature: Signature,
    fails: bool,
}

impl Predictor for Aged {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn predict(&self, rows: &Table<'_>) -> mlops_core::Result<Predictions> {
        let ages = rows.column("age")?.to_f64()?;
        match self.fails && ages.iter().any(|age| *age >= 70.0) {
            true => Err(Error::new(ErrorKind::Storage, "predict", "no tree for this age")),
            false => Ok(Predictions::Value(ages.to_vec())),
        }
    }
}

/// How a rollout went: its status, and how many looks it took.
struct Went {
    status: RolloutStatus,
    looks: u32,
    deployer: Arc<AzureDeployer>,
}

/// Blue serves, green is rolled out beside it, and callers ask every half a minute; guards ask Azure Monitor alone.
async fn roll_out(fails: bool, callers: u32, guard: MetricGuard, prepare: impl Fn(&FakeAzure)) -> Went {
    let clock = Arc::new(ManualClock::at(time("08:00:20")));
    let azure = judging(FakeAzure::new().with_clock(clock.clone()));
    let artifacts = Arc::new(MemoryArtifactStore::default());
    let registry = Arc::new(MemoryModelRegistry::new(artifacts.clone(), clock.clone()));
    let signature = Signature::new(Task::Regression, vec![Feature::required("age", DataType::F64)]);
    let of = signature.clone();
    azure.predict_with(move |id| {
        Some(Arc::new(Aged { signature: of.clone(), fails: fails && id.ends_with("/versions/2") }))
    });
    azure.metrics().delay(Duration::from_secs(90));
    prepare(&azure);

    let actor = ActorId::new("release").unwrap();
    let template = DeploymentTemplate::new("Standard_DS3_v2");
    let builder = AzureDeployer::builder(azure.arm(), &azure.workspace(), registry.clone(), template);
    let builder = builder.transport(azure.transport()).clock(clock.clone()).sole_writer();
    let deployer = Arc::new(builder.build().unwrap());
    deployer.ensure_endpoint(&EndpointSpec::new(churn(), actor.clone())).await.unwrap();
    let model = ModelName::new("risk").unwrap();
    for name in ["blue", "green"] {
        let artifact = artifacts.put_bytes(name.as_bytes().to_vec()).await.unwrap().digest;
        let format = ModelFormat::new("test.aged/v1").unwrap();
        let new = NewModelVersion::new(model.clone(), artifact, format, signature.clone(), actor.clone());
        let version = registry.register(&new).await.unwrap().version;
        let id = azure.place().model("risk", &version.to_string()).unwrap().id().to_owned();
        azure.set_resource(&id, json!({ "properties": { "modelType": "mlflow_model" } }));
        let spec = DeploymentSpec::new(churn(), named(name), model.clone(), version, actor.clone());
        deployer.deploy(&spec).await.unwrap();
    }
    let (key, split) = (IdempotencyKey::generate(), TrafficSplit::all_to(named("blue")));
    let change = TrafficChange::new(churn(), split, actor.clone()).with_key(key);
    deployer.set_traffic(&change).await.unwrap();

    let options = RolloutOptions::default()
        .with_steps([20, 50, 100].into_iter().filter_map(Percent::new))
        .with_bake(Duration::from_secs(600))
        .with_patience(Duration::ZERO)
        .on_no_data(ThinData::Continue)
        .with_metric(guard);
    let plan = RolloutPlan::canary(churn(), named("blue"), named("green"), actor, options).unwrap();
    let smoke_test =
        SmokeTest::new(Table::new(vec![Column::f64("age", vec![50.0]).unwrap()]).unwrap()).unwrap();
    let source =
        AzureMetrics::new(EndpointMetrics::new(azure.arm(), azure.place())).with_clock(clock.clone());
    let mut rollout = RolloutDriver::new(plan, smoke_test, deployer.clone(), Arc::new(VecJournal::default()))
        .with_metrics(Arc::new(source));
    for looks in 1..=200 {
        let status = rollout.advance(clock.now()).await.unwrap();
        if status.is_terminal() || matches!(status.phase, Phase::Paused { .. }) {
            return Went { status, looks, deployer };
        }
        for caller in 0..callers {
            let rows =
                Table::new(vec![Column::f64("age", vec![f64::from(20 + caller % 60)]).unwrap()]).unwrap();
            let request = InvokeRequest::new(churn(), &rows);
            drop(deployer.invoke(&request).await);
        }
        clock.advance(Duration::from_secs(30));
    }
    panic!("the rollout did not end: {}", rollout.status());
}

fn on_failures() -> MetricGuard {
    let guard = MetricGuard::query("failures", MetricQuery::new("failures"), Proportions::new(0.02));
    guard.with_min_samples(40).on_inconclusive(ThinData::Continue)
}

async fn share_of(went: &Went, name: &str) -> Percent {
    went.deployer.endpoint(&churn()).await.unwrap().traffic.share(&named(name))
}

#[tokio::test]
async fn a_good_canary_is_promoted_by_what_azure_monitor_tells() {
    let guard = on_failures().on_no_data(ThinData::Rollback);
    let went = roll_out(false, 60, guard, |_| {}).await;
    assert!(went.status.is_promoted(), "{}", went.status);
    assert_eq!(share_of(&went, "green").await, Percent::ALL);
    assert!(went.looks > 60, "three steps of ten minutes, looked at every half a minute: {}", went.looks);
}

#[tokio::test]
async fn a_bad_canary_is_rolled_back_by_what_azure_monitor_tells() {
    let went = roll_out(true, 60, on_failures(), |_| {}).await;
    assert!(went.status.is_terminal() && !went.status.is_promoted(), "{}", went.status);
    assert_eq!(share_of(&went, "blue").await, Percent::ALL);
    assert!(went.looks < 22, "in the first step already: {}", went.looks);
    assert!(went.looks > 6, "not before Azure could know: {}", went.looks);
}

#[tokio::test]
async fn a_slow_canary_is_rolled_back_by_its_latencies() {
    for (limit, promoted) in [(150.0, true), (60.0, false)] {
        let judge = Judge::from(Threshold::at_most(limit));
        let guard = MetricGuard::query("slow", MetricQuery::new("latency_p95_ms"), judge);
        let guard = guard.with_min_samples(3).on_inconclusive(ThinData::Continue);
        let went =
            roll_out(false, 40, guard, |azure| azure.metrics().latency_of("churn", "green", 100.0)).await;
        assert_eq!(went.status.is_promoted(), promoted, "{limit}: {}", went.status);
    }
}

#[tokio::test]
async fn without_data_the_plan_decides() {
    // Nobody calls; Azure refuses every question; the data come too late for the step.
    type Prepare = fn(&FakeAzure);
    let refuse: Prepare = |azure| azure.metrics().fail("RequestsPerMinute", "Throttled", "later", u32::MAX);
    let late: Prepare = |azure| azure.metrics().delay(Duration::from_secs(86_400));
    for (why, callers, prepare) in
        [("nobody calls", 0, (|_| {}) as Prepare), ("refused", 6, refuse), ("late", 6, late)]
    {
        for (policy, expected) in [
            (ThinData::Rollback, "rolled back"),
            (ThinData::Pause, "paused"),
            (ThinData::Continue, "promoted"),
        ] {
            let went = roll_out(true, callers, on_failures().on_no_data(policy), prepare).await;
            let is_paused = matches!(went.status.phase, Phase::Paused { .. });
            let became = match () {
                () if went.status.is_promoted() => "promoted",
                () if is_paused => "paused",
                () => "rolled back",
            };
            assert_eq!(became, expected, "{why}: {}", went.status);
        }
    }
}
