//! MLflow in Azure Machine Learning: core's suites against the fake, jobs, tokens, limits, and what is sent.

mod artifacts;
mod conversation;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mlops_azure::fake::{FakeAzure, FakeMlflow};
use mlops_azure::http::{HttpFault, HttpRequest, HttpResponse, HttpTransport, Repeat, RetryPolicy, Stage};
use mlops_azure::mlflow::{AzureMlflow, Dialect, JobRun, MlflowRegistry, MlflowTracker, TrackingUri, wire};
use mlops_core::conformance::registry::RegistryUnderTest;
use mlops_core::conformance::tracker::TrackerUnderTest;
use mlops_core::experiment::{
    Capsule, ExperimentSpec, ExperimentTracker as _, ExperimentTrackerExt as _, LogBatch, MetricPoint,
    RunEnd, RunQuery, RunSpec, RunStatus,
};
use mlops_core::memory::MemoryArtifactStore;
use mlops_core::registry::Protection;
use mlops_core::time::{Clock, ManualClock};
use mlops_core::{ActorId, Alias, ErrorKind, ExperimentName, MetricKey, ParamKey, RunId, TagKey};
use serde_json::{Value, json};

const HOST: &str = "eastus.api.azureml.ms";

fn uri(azure: &FakeAzure) -> TrackingUri {
    TrackingUri::of_workspace(HOST, &azure.workspace()).unwrap()
}

/// Tries at once and as often as usual.
fn retry() -> RetryPolicy {
    RetryPolicy::default().with_initial(Duration::ZERO)
}

fn mlflow(azure: &FakeAzure) -> AzureMlflow {
    through(azure, azure.transport())
}

fn through(azure: &FakeAzure, transport: Arc<dyn HttpTransport>) -> AzureMlflow {
    AzureMlflow::builder(uri(azure), azure.tokens()).transport(transport).retry(retry()).build().unwrap()
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()))
}

fn tracker_under_test() -> TrackerUnderTest {
    let clock = clock();
    // Beside it is the experiment that MLflow makes itself.
    let tracker = mlflow(&crate::judged()).tracker().with_namespace(ExperimentName::new("team").unwrap());
    let tracker = tracker.with_clock(clock.clone());
    TrackerUnderTest::new(Arc::new(tracker)).with_clock(clock).with_promised(MlflowTracker::CAPABILITIES)
}

mlops_core::experiment_tracker_suite!(tracker, tracker_under_test());

fn registry_under_test() -> RegistryUnderTest {
    let clock = clock();
    let artifacts = Arc::new(MemoryArtifactStore::new(clock.clone()));
    let [gated, approved] = ["staging", "champion"].map(|alias| Alias::new(alias).unwrap());
    let client = mlflow(&crate::judged()).client().clone();
    let registry = MlflowRegistry::new(client, artifacts.clone(), clock.clone())
        .with_protected(gated.clone(), Protection::Gate)
        .with_protected(approved.clone(), Protection::GateAndApproval);
    let under = RegistryUnderTest::new(Arc::new(registry), artifacts);
    under.with_clock(clock).with_gated(gated).with_approved(approved)
}

mlops_core::model_registry_suite!(registry, registry_under_test());

/// Sends every request, and loses the first answer to each address.
struct Lossy {
    inner: Arc<dyn HttpTransport>,
    seen: Mutex<BTreeSet<String>>,
}

impl Lossy {
    fn new(inner: Arc<dyn HttpTransport>) -> Arc<Self> {
        Arc::new(Self { inner, seen: Mutex::default() })
    }

    fn lost(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

impl fmt::Debug for Lossy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lossy")
    }
}

#[async_trait]
impl HttpTransport for Lossy {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpFault> {
        let place = format!("{} {}", request.method, request.url);
        let answer = self.inner.send(request).await?;
        match self.seen.lock().unwrap().insert(place) {
            true => Err(HttpFault::new(Stage::Answer, false, "lost")),
            false => Ok(answer),
        }
    }
}

fn experiment() -> ExperimentName {
    ExperimentName::new("churn").unwrap()
}

fn actor() -> ActorId {
    ActorId::new("ann").unwrap()
}

async fn start(tracker: &MlflowTracker, name: &str) -> RunId {
    tracker.ensure_experiment(&ExperimentSpec::new(experiment())).await.unwrap();
    tracker.start_run(&RunSpec::new(experiment(), name, actor())).await.unwrap().id
}

fn point(key: &str, value: f64, step: i64) -> MetricPoint {
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    MetricPoint::new(MetricKey::new(key).unwrap(), value, at).with_step(step)
}

async fn raw_run(azure: &AzureMlflow, run: &str) -> Value {
    azure.client().get("test", "mlflow/runs/get", &[("run_id", run)]).await.unwrap()["run"].clone()
}

#[tokio::test]
async fn a_workspace_says_where_its_mlflow_is() {
    let azure = crate::judged();
    let workspace = azure.workspace();
    let read = TrackingUri::read(&azure.arm(), &workspace).await.unwrap();
    assert_eq!((read, azure.count()), (uri(&azure), 1));

    let with = |uri: Value| {
        let mut resource = azure.resource(&workspace.id()).unwrap();
        resource["properties"]["mlFlowTrackingUri"] = uri;
        azure.set_resource(&workspace.id(), resource);
    };
    let text = uri(&azure).to_string();
    with(json!(text.replace("resourceGroups/rg-fake", "resourcegroups/RG-FAKE")));
    let read = TrackingUri::read(&azure.arm(), &workspace).await.unwrap();
    assert_eq!(read.workspace(), Some(&workspace), "as it was asked for");
    for bad in [json!(null), json!("https://example.com"), json!(text.replace("mlw-fake", "mlw-other"))] {
        with(bad.clone());
        let error = TrackingUri::read(&azure.arm(), &workspace).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{bad}");
    }
}

#[tokio::test]
async fn nothing_is_asked_to_know_what_the_service_can_do() {
    let azure = crate::judged();
    let mlflow = mlflow(&azure);
    let can = mlflow.client().capabilities().await.unwrap();
    assert_eq!((can.dialect, azure.count()), (Dialect::AzureMl, 0));
    assert!(!can.logged_models && !can.proxied_artifacts && !can.paged_history && !can.null_filters);
    for path in ["mlflow/logged-models/m-1", "mlflow/traces", "mlflow-artifacts/artifacts"] {
        let error = mlflow.client().get("test", path, &[]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{path}");
    }
    let missing = mlflow.client().get("test", "mlflow/runs/get", &[("run_id", "none")]).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_token_that_is_refused_is_renewed_once() {
    let azure = crate::judged();
    let mlflow = mlflow(&azure);
    let tracker = mlflow.tracker();
    let run = start(&tracker, "a").await;
    let (issued, _) = (azure.tokens_issued(), azure.forget_requests());
    azure.faults().expire_tokens();
    tracker.write(&run, &LogBatch::new().metric(point("loss", 0.5, 1))).await.unwrap();
    assert_eq!(azure.tokens_issued(), issued + 1);
    let writes = azure.requests().iter().filter(|line| line.contains("log-batch")).count();
    assert!(writes <= 2, "what was refused is sent again, and nothing else");
    azure.faults().expire_tokens();
    let artifacts = mlflow.artifacts("churn", "r1").unwrap();
    assert!(artifacts.list().await.unwrap().is_empty());
    assert_eq!(azure.tokens_issued(), issued + 2);
}

#[tokio::test]
async fn tokens_of_another_audience_are_not_taken_and_not_repeated_for_ever() {
    let azure = crate::judged();
    // A source that gives what is for scoring, whatever it is asked for.
    #[derive(Debug)]
    struct Wrong(Arc<dyn mlops_azure::auth::TokenSource>);
    #[async_trait]
    impl mlops_azure::auth::TokenSource for Wrong {
        async fn token(
            &self,
            _: &mlops_azure::auth::Scope,
        ) -> mlops_core::Result<mlops_azure::auth::AccessToken> {
            self.0.token(&mlops_azure::auth::Scope::new("https://ml.azure.com/.default")?).await
        }
        async fn refuse(&self, _: &mlops_azure::auth::Scope, _: &mlops_azure::auth::AccessToken) {}
    }
    let builder = AzureMlflow::builder(uri(&azure), Arc::new(Wrong(azure.tokens())));
    let mlflow = builder.transport(azure.transport()).retry(retry()).build().unwrap();
    let error = mlflow.client().get("test", "mlflow/runs/get", &[("run_id", "r")]).await.unwrap_err();
    assert_eq!((error.kind(), azure.count()), (ErrorKind::Auth, 2));
}

fn job_of(azure: &FakeAzure, run: &str) -> AzureMlflow {
    let uri = uri(azure).to_string();
    let variables = [
        ("MLFLOW_TRACKING_URI", uri.as_str()),
        ("MLFLOW_RUN_ID", run),
        ("AZUREML_RUN_ID", run),
        ("MLFLOW_TRACKING_TOKEN", "token-of-the-job"),
    ];
    let job = JobRun::from_variables(&variables[..]).unwrap().unwrap();
    let builder = AzureMlflow::in_job(job, Some(azure.tokens())).unwrap();
    builder.transport(azure.transport()).retry(retry()).build().unwrap()
}

#[tokio::test]
async fn a_jobs_run_is_written_to_and_its_status_is_left_to_the_service() {
    let azure = crate::judged();
    let service = FakeMlflow::new();
    azure.plug(service.clone());
    service.start_job(&uri(&azure), "churn", "amiable_pin_1");
    let mlflow = job_of(&azure, "amiable_pin_1");
    let tracker = mlflow.tracker();
    let run = mlflow.attach(&tracker).await.unwrap().unwrap();
    let batch = LogBatch::new().param(ParamKey::new("depth").unwrap(), 6).metric(point("loss", 0.5, 1));
    tracker.write(&run, &batch).await.unwrap();

    let child = RunSpec::new(experiment(), "fold 1", actor()).with_parent(run.clone());
    let child = tracker.start_run(&child).await.unwrap();
    assert_eq!(child.parent, Some(run.clone()));
    tracker.finish_run(&child.id, &RunEnd::FINISHED).await.unwrap();
    let uuid = tracker.mlflow_run_id(&child.id).await.unwrap();
    assert_eq!(
        raw_run(&mlflow, &uuid).await["info"]["status"],
        "FINISHED",
        "a run within the job is its own"
    );

    azure.forget_requests();
    let ended = tracker.finish_run(&run, &RunEnd::FINISHED).await.unwrap();
    assert_eq!((ended.status, ended.id), (RunStatus::Finished, run.clone()));
    // Nor does anybody who looks at it later.
    assert_eq!(tracker.run(&run).await.unwrap().status, RunStatus::Finished);
    let elsewhere = crate::mlflow::mlflow(&azure).tracker();
    assert_eq!(elsewhere.run(&run).await.unwrap().params.len(), 1, "every tracker finds it by its id");
    assert!(!azure.requests().iter().any(|line| line.contains("runs/update")));
    assert_eq!(raw_run(&mlflow, "amiable_pin_1").await["info"]["status"], "RUNNING");
}

#[tokio::test]
async fn a_run_is_adopted_once_however_many_do_it() {
    let azure = crate::judged();
    let service = FakeMlflow::new();
    azure.plug(service.clone());
    service.start_job(&uri(&azure), "churn", "amiable_pin_1");
    let ranks: Vec<_> = (0..4).map(|_| job_of(&azure, "amiable_pin_1")).collect();
    let attach = ranks.iter().map(|rank| async move { rank.attach(&rank.tracker()).await.unwrap().unwrap() });
    let ids: BTreeSet<RunId> = futures_util::future::join_all(attach).await.into_iter().collect();
    assert_eq!(ids.len(), 1);
    let again = mlflow(&azure).tracker().adopt("amiable_pin_1").await.unwrap();
    assert_eq!(Some(&again.id), ids.first());
    assert_eq!(mlflow(&azure).attach(&mlflow(&azure).tracker()).await.unwrap(), None, "there is no job here");
    let missing = mlflow(&azure).tracker().adopt("amiable_pin_2").await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn runs_that_are_called_by_names_are_found_and_read() {
    let azure = crate::judged();
    let service = FakeMlflow::new();
    azure.plug(service.clone());
    service.start_job(&uri(&azure), "churn", "amiable_pin_1");
    service.start_job(&uri(&azure), "churn", "silly_hat_2");
    let tracker = mlflow(&azure).tracker();
    let ours = start(&tracker, "ours").await;
    let found = tracker.search_runs(&RunQuery::everywhere()).await.unwrap().items;
    let ids: BTreeSet<RunId> = found.iter().map(|run| run.id.clone()).collect();
    assert!(ids.len() == 3 && ids.contains(&ours));
    for run in &found {
        assert_eq!(tracker.run(&run.id).await.unwrap(), *run, "what was met is found again");
    }
}

#[tokio::test]
async fn an_ordinary_run_keeps_to_the_limits_of_the_service() {
    let azure = crate::judged();
    azure.plug(FakeMlflow::new().strict());
    let tracker = mlflow(&azure).tracker();
    tracker.ensure_experiment(&ExperimentSpec::new(experiment())).await.unwrap();
    let mut spec = RunSpec::new(experiment(), "long", actor());
    spec.capsule = Capsule::default().with_seed("x".repeat(6_000), 7);
    spec.capsule.code.commit = Some("c".repeat(1_500));
    spec.tags.insert(TagKey::new("note").unwrap(), "n".repeat(4_000));
    tracker.start_run(&spec).await.unwrap();
    let mut batch = LogBatch::new().param(ParamKey::new("text").unwrap(), "p".repeat(7_000));
    batch.tags.insert(TagKey::new("later").unwrap(), "l".repeat(2_500));
    for step in 0..3 {
        batch = batch.metric(point("loss", f64::INFINITY, step));
    }
    tracker.write(&spec.id, &batch).await.unwrap();
    let run = mlflow(&azure).tracker().run(&spec.id).await.unwrap();
    assert_eq!((&run.capsule, run.params), (&spec.capsule, batch.params));
    assert_eq!(run.tags.values().map(String::len).collect::<Vec<_>>(), [2_500, 4_000]);
    let points = tracker.full_history(&spec.id, &MetricKey::new("loss").unwrap()).await.unwrap();
    assert_eq!(points, batch.metrics);
    // More than it takes is refused with the service's words, and nothing is lost in silence.
    let tags = (0..50).map(|i| (TagKey::new(format!("t{i}")).unwrap(), "x".to_owned()));
    let batch = tags.fold(LogBatch::new(), |batch, (key, value)| batch.tag(key, value));
    let error = tracker.write(&spec.id, &batch).await.unwrap_err();
    assert!(error.message().contains("50 tags"), "{error}");
}

#[tokio::test]
async fn lost_answers_lose_and_double_nothing() {
    let azure = crate::judged();
    let lossy = Lossy::new(azure.transport());
    let tracker = through(&azure, lossy.clone()).tracker();
    let run = start(&tracker, "lossy").await;
    tracker.write(&run, &LogBatch::new().metric(point("loss", 0.5, 1))).await.unwrap();
    tracker.finish_run(&run, &RunEnd::FINISHED).await.unwrap();
    assert!(lossy.lost() > 5);
    let fresh = mlflow(&azure).tracker();
    let found = fresh.search_runs(&RunQuery::everywhere()).await.unwrap().items;
    assert_eq!(
        found.iter().map(|run| (&run.id, run.status)).collect::<Vec<_>>(),
        [(&run, RunStatus::Finished)]
    );
    assert_eq!(fresh.full_history(&run, &MetricKey::new("loss").unwrap()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn metrics_can_be_logged_without_waiting() {
    let azure = crate::judged();
    let mlflow = mlflow(&azure);
    let tracker = mlflow.tracker();
    let run = start(&tracker, "fast").await;
    let uuid = tracker.mlflow_run_id(&run).await.unwrap();
    let metrics: Vec<wire::Metric> = (0..1_000)
        .map(|step| wire::Metric { key: "loss".to_owned(), value: step as f64, timestamp: 1, step })
        .collect();
    let pending = mlflow.log_metrics_async(&uuid, &metrics).await.unwrap().unwrap();
    let mut looks = 0;
    while !mlflow.are_stored(&pending).await.unwrap() {
        looks += 1;
        assert!(looks < 10);
    }
    let points = tracker.full_history(&run, &MetricKey::new("loss").unwrap()).await.unwrap();
    assert_eq!((points.len(), looks), (1_000, 1));
    let too_many = vec![metrics[0].clone(); 1_001];
    assert_eq!(
        mlflow.log_metrics_async(&uuid, &too_many).await.unwrap_err().kind(),
        ErrorKind::LimitExceeded
    );
}

#[tokio::test]
async fn a_registry_is_a_server_of_its_own() {
    let azure = crate::judged();
    let shared = TrackingUri::of_registry(HOST, "contoso-ml").unwrap();
    let shared = AzureMlflow::builder(shared, azure.tokens()).transport(azure.transport()).build().unwrap();
    let body = json!({ "name": "churn" });
    shared.client().post("test", "mlflow/registered-models/create", &body, Repeat::Never).await.unwrap();
    let get = async |client: &AzureMlflow| {
        client.client().get("test", "mlflow/registered-models/get", &[("name", "churn")]).await
    };
    assert_eq!(get(&shared).await.unwrap()["registered_model"]["name"], "churn");
    assert_eq!(get(&mlflow(&azure)).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(shared.artifacts("e", "r").unwrap_err().kind(), ErrorKind::Unsupported);
}

/// A server with another clock for all that is kept open.
#[tokio::test]
async fn a_lease_is_kept_on_the_service() {
    let azure = crate::judged();
    let clock = clock();
    let tracker = mlflow(&azure).tracker().with_clock(clock.clone());
    let run = start(&tracker, "leased").await;
    tracker.heartbeat(&run, Duration::from_secs(60)).await.unwrap();
    let fresh = mlflow(&azure).tracker().with_clock(clock.clone());
    assert_eq!(fresh.run(&run).await.unwrap().lease_until, Some(clock.now() + Duration::from_secs(60)));
}
