//! The tracker against real MLflow servers.
//!
//! Runs where `MLOPS_TEST_MLFLOW_2` and `MLOPS_TEST_MLFLOW_3` hold the URLs of servers, and says "skipped" where they do not.
//! Every case has a namespace of its own, so one server serves them all.

use std::sync::Arc;
use std::time::Duration;

use mlops_azure::http::RetryPolicy;
use mlops_azure::mlflow::{MlflowClient, MlflowTracker};
use mlops_core::ExperimentName;
use mlops_core::conformance::tracker::TrackerUnderTest;
use mlops_core::time::{Clock, ManualClock};

/// The server in an environment variable, if there is one.
fn server(variable: &str) -> Option<MlflowClient> {
    let Some(url) = std::env::var(variable).ok().filter(|url| !url.is_empty()) else {
        println!("skipped: {variable} is not set");
        return None;
    };
    // Test servers are slow, and SQLite is busy with one writer at a time.
    let retry = RetryPolicy::default().with_attempts(12).with_budget(Duration::from_secs(600));
    Some(MlflowClient::builder(&url).retry(retry).timeout(Duration::from_secs(300)).build().unwrap())
}

/// A tracker in a namespace that nobody used before.
fn tracker(client: MlflowClient, clock: Arc<dyn Clock>) -> MlflowTracker {
    let namespace = ExperimentName::new(format!("test-{}", uuid::Uuid::now_v7().simple())).unwrap();
    MlflowTracker::new(client).with_namespace(namespace).with_clock(clock)
}

fn under_test(client: MlflowClient) -> TrackerUnderTest {
    let clock = Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
    TrackerUnderTest::new(Arc::new(tracker(client, clock.clone())))
        .with_clock(clock)
        .with_promised(MlflowTracker::CAPABILITIES)
}

/// The suite, where there is a server.
macro_rules! suite {
    ($module:ident, $variable:literal) => {
        mlops_core::experiment_tracker_suite!(
            $module,
            match server($variable) {
                Some(client) => under_test(client),
                None => return,
            }
        );
    };
}

suite!(mlflow_2, "MLOPS_TEST_MLFLOW_2");
suite!(mlflow_3, "MLOPS_TEST_MLFLOW_3");

/// What the suite cannot see: other processes, lost answers, MLflow's own view.
mod beyond {
    use std::collections::BTreeSet;
    use std::fmt;
    use std::sync::Mutex;

    use async_trait::async_trait;
    use mlops_azure::http::{
        HttpFault, HttpRequest, HttpResponse, HttpTransport, Repeat, ReqwestConfig, ReqwestTransport, Stage,
    };
    use mlops_core::conformance::tracker as cases;
    use mlops_core::experiment::{
        DataInput, ExperimentSpec, ExperimentTracker, ExperimentTrackerExt as _, Filter, LogBatch, Match,
        MetricPoint, Run, RunEnd, RunQuery, RunSpec, RunStatus, View,
    };
    use mlops_core::hash::Digest;
    use mlops_core::time::{SystemClock, Timestamp};
    use mlops_core::{
        ActorId, AssetName, ErrorKind, IdempotencyKey, MetricKey, ParamKey, RunId, TagKey, Version,
    };
    use serde_json::{Value, json};

    use super::*;

    /// Sends every request, and loses the first answer to each path.
    struct Lossy {
        inner: ReqwestTransport,
        seen: Mutex<BTreeSet<String>>,
    }

    impl fmt::Debug for Lossy {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Lossy")
        }
    }

    #[async_trait]
    impl HttpTransport for Lossy {
        async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpFault> {
            let path = request.url.path().to_owned();
            let answer = self.inner.send(request).await?;
            match self.seen.lock().unwrap().insert(path) {
                true => Err(HttpFault::new(Stage::Answer, false, "lost")),
                false => Ok(answer),
            }
        }
    }

    /// A fresh namespace of a server, and who looks into it.
    struct World {
        client: MlflowClient,
        namespace: ExperimentName,
        clock: Arc<ManualClock>,
        variable: &'static str,
    }

    impl World {
        fn new(variable: &'static str) -> Option<Self> {
            let client = server(variable)?;
            let namespace = ExperimentName::new(format!("test-{}", uuid::Uuid::now_v7().simple())).unwrap();
            let clock = Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
            Some(Self { client, namespace, clock, variable })
        }

        /// A tracker that knows nothing yet, as in a process of its own.
        fn process(&self) -> MlflowTracker {
            MlflowTracker::new(self.client.clone())
                .with_namespace(self.namespace.clone())
                .with_clock(self.clock.clone())
        }

        /// A tracker that loses answers.
        fn lossy(&self) -> MlflowTracker {
            let inner = ReqwestTransport::new(&ReqwestConfig::default()).unwrap();
            let transport = Arc::new(Lossy { inner, seen: Mutex::default() });
            let retry = RetryPolicy::default().with_initial(Duration::ZERO);
            let builder = MlflowClient::builder(&std::env::var(self.variable).unwrap()).retry(retry);
            let client = builder.transport(transport).build().unwrap();
            MlflowTracker::new(client).with_namespace(self.namespace.clone()).with_clock(self.clock.clone())
        }

        async fn spec(&self, name: &str) -> RunSpec {
            let experiment = ExperimentName::new("e").unwrap();
            self.process().ensure_experiment(&ExperimentSpec::new(experiment.clone())).await.unwrap();
            RunSpec::new(experiment, name, ActorId::new("ann").unwrap())
        }

        async fn post(&self, path: &str, body: &Value) -> Value {
            self.client.post("test", path, body, Repeat::Safe).await.unwrap()
        }

        async fn experiment_id(&self) -> String {
            let name = format!("{}/e", self.namespace);
            let answer = self
                .client
                .get("test", "mlflow/experiments/get-by-name", &[("experiment_name", &name)])
                .await;
            answer.unwrap()["experiment"]["experiment_id"].as_str().unwrap().to_owned()
        }

        /// The runs of MLflow's that are not deleted.
        async fn shown(&self) -> Vec<Value> {
            let body = json!({ "experiment_ids": [self.experiment_id().await], "max_results": 100 });
            let answer = self.post("mlflow/runs/search", &body).await;
            answer["runs"].as_array().cloned().unwrap_or_default()
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn point(key: &str, value: f64, step: i64) -> MetricPoint {
        MetricPoint::new(MetricKey::new(key).unwrap(), value, at("2026-01-01T00:00:00Z")).with_step(step)
    }

    fn tag(run: &Value, key: &str) -> Option<String> {
        let tags = run["data"]["tags"].as_array()?;
        tags.iter().find(|t| t["key"] == key).map(|t| t["value"].as_str().unwrap().to_owned())
    }

    async fn join<T: Send + 'static>(tasks: Vec<impl Future<Output = T> + Send + 'static>) -> Vec<T> {
        let tasks: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
        let mut results = Vec::new();
        for task in tasks {
            results.push(task.await.unwrap());
        }
        results
    }

    /// Whatever answer is lost, there is one run with everything in it.
    async fn lost_answers_lose_and_double_nothing(world: &World) {
        let mut spec = world.spec("lossy").await;
        spec.tags.insert(TagKey::new("team").unwrap(), "x".repeat(20_000));
        let tracker = world.lossy();
        tracker.start_run(&spec).await.unwrap();
        let batch = LogBatch::new()
            .with_key(IdempotencyKey::generate())
            .metric(point("loss", f64::INFINITY, 1))
            .param(ParamKey::new("depth").unwrap(), 6);
        assert_eq!(tracker.write(&spec.id, &batch).await.unwrap().new_points, 1);
        tracker.finish_run(&spec.id, &RunEnd::FINISHED).await.unwrap();
        let shown = world.shown().await;
        assert_eq!((shown.len(), &shown[0]["info"]["status"]), (1, &json!("FINISHED")));
        let run = world.process().run(&spec.id).await.unwrap();
        assert_eq!((run.tags, run.params), (spec.tags, batch.params));
        let history = world.process().full_history(&spec.id, &MetricKey::new("loss").unwrap()).await.unwrap();
        assert_eq!(history, batch.metrics);
    }

    /// Of many processes that start and end different runs under one id, one does, and all agree which.
    async fn many_processes_agree_on_one_run(world: &World) {
        let spec = world.spec("").await;
        let start = |i: usize| {
            let (tracker, mut spec) = (world.process(), spec.clone());
            spec.name = format!("racer {i}");
            async move { tracker.start_run(&spec).await }
        };
        let (won, lost): (Vec<_>, Vec<_>) =
            join((0..6).map(start).collect()).await.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1);
        assert!(lost.into_iter().all(|r| r.unwrap_err().kind() == ErrorKind::Conflict));
        let run = world.process().run(&spec.id).await.unwrap();
        assert_eq!(run, won.into_iter().next().unwrap().unwrap());
        assert_eq!(world.shown().await.len(), 1, "the others are hidden from MLflow's user interface");
        let ends = [RunEnd::FINISHED, RunEnd::FAILED, RunEnd::KILLED];
        let end = |i: usize| {
            let (tracker, id) = (world.process(), spec.id.clone());
            async move { tracker.finish_run(&id, &ends[i % 3]).await }
        };
        let results = join((0..6).map(end).collect()).await;
        let ended = world.process().run(&spec.id).await.unwrap();
        assert!(ended.status.is_final());
        for (i, result) in results.into_iter().enumerate() {
            match ends[i % 3].status == ended.status {
                true => assert_eq!(result.unwrap(), ended),
                false => assert_eq!(result.unwrap_err().kind(), ErrorKind::Conflict),
            }
        }
        let text = format!("{:?}", ended.status).to_uppercase();
        assert_eq!(world.shown().await[0]["info"]["status"], text.as_str());
    }

    /// Of many processes that log different values of one parameter, one does.
    async fn many_processes_agree_on_one_parameter(world: &World) {
        let spec = world.spec("raced").await;
        world.process().start_run(&spec).await.unwrap();
        let key = ParamKey::new("winner").unwrap();
        let log = |i: usize| {
            let (tracker, id, key) = (world.process(), spec.id.clone(), key.clone());
            async move { tracker.log_param(&id, key, i).await.map(|_| i) }
        };
        let results = join((0..6).map(log).collect()).await;
        let winner = world.process().run(&spec.id).await.unwrap().params[&key].clone();
        for (i, result) in results.into_iter().enumerate() {
            match result {
                Ok(i) => assert_eq!(i.to_string(), winner),
                Err(error) => {
                    assert_eq!(
                        (error.kind(), error.context("parameter")),
                        (ErrorKind::Conflict, Some("winner"))
                    );
                    let (asked, there) = (i.to_string(), winner.as_str());
                    assert_eq!(
                        (error.context("expected"), error.context("found")),
                        (Some(&*asked), Some(there))
                    );
                }
            }
        }
    }

    /// MLflow's own API has everything where its user interface looks for it.
    async fn mlflow_shows_what_was_logged(world: &World) {
        let parent = world.spec("parent").await;
        let tracker = world.process();
        tracker.start_run(&parent).await.unwrap();
        let mut spec = world.spec("child").await.with_parent(parent.id.clone());
        spec.capsule.code.commit = Some("0123456789abcdef0123456789abcdef01234567".to_owned());
        spec.started_at = Some(at("2026-01-01T00:00:00.123456Z"));
        tracker.start_run(&spec).await.unwrap();
        let digest = Digest::of(b"patients");
        let asset = AssetName::new("patients").unwrap();
        let input = DataInput::new(asset, Version::FIRST, digest, "training");
        let batch = LogBatch::new()
            .metric(point("nan", f64::NAN, 3))
            .metric(point("loss", 0.25, 7))
            .param(ParamKey::new("depth").unwrap(), 6)
            .tag(TagKey::new("mlflow.note.content").unwrap(), "a note")
            .input(input);
        assert!(tracker.write(&spec.id, &batch).await.unwrap().degraded.is_empty());
        let end = RunEnd::FINISHED.with_at(at("2026-01-01T01:00:00.654321Z"));
        tracker.finish_run(&spec.id, &end).await.unwrap();

        let shown = world.shown().await;
        let named = |name: &str| shown.iter().find(|run| run["info"]["run_name"] == name).unwrap();
        let (child, parent) = (named("child"), named("parent"));
        assert_eq!(tag(child, "mlflow.parentRunId").as_deref(), parent["info"]["run_id"].as_str());
        assert_eq!(tag(child, "mlflow.user").as_deref(), Some("ann"));
        assert_eq!(tag(child, "mlflow.source.git.commit"), spec.capsule.code.commit);
        assert_eq!(tag(child, "mlflow.note.content").as_deref(), Some("a note"));
        let info = &child["info"];
        assert_eq!(info["status"], "FINISHED");
        assert_eq!(
            (&info["start_time"], &info["end_time"]),
            (&json!(1_767_225_600_123_i64), &json!(1_767_229_200_654_i64))
        );
        let metrics = child["data"]["metrics"].as_array().unwrap();
        let value = |key: &str| metrics.iter().find(|m| m["key"] == key).unwrap();
        assert_eq!((&value("nan")["value"], &value("loss")["value"]), (&json!("NaN"), &json!(0.25)));
        assert_eq!(value("loss")["step"], 7);
        let params = child["data"]["params"].as_array().unwrap();
        assert!(params.contains(&json!({ "key": "depth", "value": "6" })));
        let data = &child["inputs"]["dataset_inputs"][0];
        assert_eq!(
            (&data["dataset"]["name"], &data["tags"][0]["value"]),
            (&json!("patients"), &json!("training"))
        );
        assert_eq!(data["dataset"]["digest"].as_str(), digest.hex().get(..32));
        assert!(data["dataset"]["source"].as_str().unwrap().contains(&digest.to_string()));
        // Exact again for us.
        let run = world.process().run(&spec.id).await.unwrap();
        assert_eq!((run.started_at, run.ended_at), (spec.started_at.unwrap(), end.at));
    }

    /// Runs that another client made are read, found, written to and ended.
    async fn runs_of_other_clients_are_runs(world: &World) {
        world.spec("").await;
        let body = json!({
            "experiment_id": world.experiment_id().await,
            "start_time": 1_767_225_600_000_i64,
            "run_name": "from python",
            "tags": [{ "key": "mlflow.user", "value": "bob" }, { "key": "team", "value": "risk" }],
        });
        let made = world.post("mlflow/runs/create", &body).await;
        let uuid = made["run"]["info"]["run_id"].as_str().unwrap();
        let metric = json!({ "run_id": uuid, "key": "loss", "value": 1.5, "timestamp": 1_767_225_600_000_i64, "step": 1 });
        world.post("mlflow/runs/log-metric", &metric).await;
        let (tracker, id) = (world.process(), RunId::new(uuid).unwrap());
        let run = tracker.run(&id).await.unwrap();
        assert_eq!(
            (run.name.as_str(), run.actor.as_str(), run.status),
            ("from python", "bob", RunStatus::Running)
        );
        assert_eq!((run.metric("loss"), run.tags.len(), run.params.len()), (Some(1.5), 1, 0));
        let batch = LogBatch::new().metric(point("loss", 1.5, 1)).metric(point("loss", 1.0, 2));
        assert_eq!(tracker.write(&id, &batch).await.unwrap().new_points, 1, "one was there");
        let child = world.spec("child").await.with_parent(id.clone());
        tracker.start_run(&child).await.unwrap();
        tracker.finish_run(&id, &RunEnd::FAILED).await.unwrap();
        let team = Filter::Tag(TagKey::new("team").unwrap(), Match::Equals("risk".to_owned()));
        let found = tracker.search_runs(&RunQuery::everywhere().with_filter(team)).await.unwrap().items;
        assert_eq!(found.iter().map(|r| (&r.id, r.status)).collect::<Vec<_>>(), [(&id, RunStatus::Failed)]);
        let children = RunQuery::everywhere().with_filter(Filter::Parent(id));
        assert_eq!(tracker.search_runs(&children).await.unwrap().items[0].id, child.id);
    }

    /// A run whose lease ran out is killed for MLflow's user interface too, once somebody looks.
    async fn a_lost_lease_shows_in_mlflow(world: &World) {
        let spec = world.spec("leased").await;
        let tracker = world.process();
        tracker.start_run(&spec).await.unwrap();
        tracker.heartbeat(&spec.id, Duration::from_secs(60)).await.unwrap();
        world.clock.advance(Duration::from_secs(3600));
        assert_eq!(world.shown().await[0]["info"]["status"], "RUNNING");
        let run = world.process().run(&spec.id).await.unwrap();
        assert_eq!((run.status, run.ended_at), (RunStatus::Killed, Some(at("2026-01-01T00:01:00Z"))));
        assert_eq!(world.shown().await[0]["info"]["status"], "KILLED");
        assert_eq!(world.process().run(&spec.id).await.unwrap(), run);
    }

    /// What somebody edits in MLflow's user interface is what counts; nothing breaks.
    async fn edits_in_mlflow_are_seen(world: &World) {
        let spec = world.spec("before").await.with_tag(TagKey::new("long").unwrap(), "x".repeat(30_000));
        let tracker = world.process();
        tracker.start_run(&spec).await.unwrap();
        let uuid = world.shown().await[0]["info"]["run_id"].clone();
        world.post("mlflow/runs/update", &json!({ "run_id": uuid, "run_name": "after" })).await;
        world.post("mlflow/runs/set-tag", &json!({ "run_id": uuid, "key": "long", "value": "edited" })).await;
        world
            .post("mlflow/runs/set-tag", &json!({ "run_id": uuid, "key": "mlops.spec", "value": "{ruined" }))
            .await;
        let run = world.process().run(&spec.id).await.unwrap();
        assert_eq!(
            (run.name.as_str(), run.tags.values().next().map(String::as_str)),
            ("after", Some("edited"))
        );
        assert_eq!(run.actor, spec.actor);
        world.post("mlflow/runs/update", &json!({ "run_id": uuid, "status": "FAILED", "end_time": 1 })).await;
        assert_eq!(world.process().run(&spec.id).await.unwrap().status, RunStatus::Failed);
    }

    /// A caller that gives up in the middle leaves nothing that the next call would trip over.
    async fn cancelled_writes_do_no_harm(world: &World) {
        let spec = world.spec("cancelled").await;
        let tracker = world.process();
        tracker.start_run(&spec).await.unwrap();
        let batch = |n: i64| {
            LogBatch::new()
                .metric(point("m", f64::INFINITY, n))
                .metric(point("m", 1.0, n))
                .param(ParamKey::new(format!("p{n}")).unwrap(), n)
        };
        for n in 0..12 {
            let write = batch(n);
            let mut call = Box::pin(tracker.write(&spec.id, &write));
            for _ in 0..n {
                let waited = tokio::time::timeout(Duration::from_millis(3), &mut call).await;
                if waited.is_ok() {
                    break;
                }
            }
            drop(call);
            // Others go on meanwhile; the same call again completes what was begun.
            tracker.write(&spec.id, &write).await.unwrap();
        }
        let expected: Vec<_> = (0..12).flat_map(|n| batch(n).metrics).collect();
        for tracker in [tracker, world.process()] {
            let history = tracker.full_history(&spec.id, &MetricKey::new("m").unwrap()).await.unwrap();
            assert_eq!(history, expected);
            assert_eq!(tracker.run(&spec.id).await.unwrap().params.len(), 12);
        }
    }

    /// Searches and histories that the server answers in many pages are whole.
    async fn small_pages_of_the_server_lose_nothing(world: &World) {
        let under = || {
            let world = World::new(world.variable).unwrap();
            let tracker = world.process().with_page_size(2);
            TrackerUnderTest::new(Arc::new(tracker))
                .with_clock(world.clock)
                .with_promised(MlflowTracker::CAPABILITIES)
        };
        cases::search_combines_filters(&under()).await;
        cases::paging_is_complete_under_writes(&under()).await;
        cases::paging_holds_while_the_order_moves(&under()).await;
        cases::search_sees_deleted_runs_when_asked(&under()).await;
        cases::history_is_ordered(&under()).await;
        cases::history_is_complete_under_writes(&under()).await;
    }

    /// Clauses that are pushed down to the server mean there what they mean here.
    async fn what_is_pushed_down_means_the_same(world: &World) {
        let tracker = world.process();
        for (i, text) in ["plain", "Plain", "pla_n", "a-b.c:d/e f"].iter().enumerate() {
            let mut spec = world.spec(text).await;
            spec.started_at = Some(at("2026-01-01T00:00:00.5Z") + Duration::from_micros(100 * i as u64));
            spec.actor = ActorId::new(text).unwrap();
            tracker.start_run(&spec).await.unwrap();
            let batch = LogBatch::new()
                .param(ParamKey::new("a b/c:d").unwrap(), text)
                .tag(TagKey::new("a b/c:d").unwrap(), *text)
                .metric(point("a b/c:d", [-1e-300, -2.5, 1e300, f64::INFINITY][i], 0));
            tracker.write(&spec.id, &batch).await.unwrap();
        }
        for (name, text) in
            [("nul", "a\0b".to_owned()), ("long", format!("plain{}needle", "x".repeat(20_000)))]
        {
            let spec = world.spec(name).await;
            tracker.start_run(&spec).await.unwrap();
            let key = "a b/c:d";
            let batch = LogBatch::new()
                .param(ParamKey::new(key).unwrap(), &text)
                .tag(TagKey::new(key).unwrap(), &*text);
            tracker.write(&spec.id, &batch).await.unwrap();
        }
        let all = tracker.search_runs(&RunQuery::everywhere().with_view(View::All)).await.unwrap().items;
        let mut filters = Vec::new();
        for text in ["plain", "PLAIN", "pla_n", "a-b.c:d/e f", "a", "_", "b", "needle", "pla%", "a_b%", "A%"]
        {
            for by in [Match::Equals, Match::Contains, Match::StartsWith, Match::Like, Match::ILike] {
                filters.push(Filter::Param(ParamKey::new("a b/c:d").unwrap(), by(text.to_owned())));
                filters.push(Filter::Tag(TagKey::new("a b/c:d").unwrap(), by(text.to_owned())));
            }
            filters.push(Filter::Actor(Match::Equals(text.to_owned())));
        }
        use mlops_core::experiment::Comparison::{AtLeast, AtMost, Equal, Greater, Less};
        for comparison in [AtLeast, AtMost, Equal, Greater, Less] {
            for value in [-2.5, -1e-300, 0.0, 1e300, f64::MAX] {
                let key = MetricKey::new("a b/c:d").unwrap();
                filters.push(Filter::Metric { key, comparison, value });
            }
            for us in [500_000, 500_100, 500_150, 501_000] {
                let at = at("2026-01-01T00:00:00Z") + Duration::from_micros(us);
                filters.push(Filter::Started(comparison, at));
            }
        }
        for filter in filters {
            let query = RunQuery::everywhere().with_filter(filter);
            let mut expected: Vec<&Run> = all.iter().filter(|run| query.matches(run)).collect();
            expected.sort_by(|left, right| query.compare(left, right));
            let got = tracker.search_runs(&query).await.unwrap().items;
            assert_eq!(got.iter().collect::<Vec<_>>(), expected, "{query:?}");
        }
    }

    /// Two namespaces of one server do not see each other; without one, everything is seen.
    async fn namespaces_keep_apart(world: &World) {
        let spec = world.spec("mine").await;
        world.process().start_run(&spec).await.unwrap();
        let other = tracker(world.client.clone(), Arc::new(SystemClock::new()));
        assert_eq!(other.run(&spec.id).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert!(other.search_runs(&RunQuery::everywhere()).await.unwrap().items.is_empty());
        // Its name on the server holds a slash, which is no experiment's name here.
        let all = MlflowTracker::new(world.client.clone());
        assert_eq!(all.experiment(&spec.experiment).await.unwrap_err().kind(), ErrorKind::NotFound);
    }

    macro_rules! on_both {
        ($($case:ident),* $(,)?) => {
            mod on_2 {$(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    if let Some(world) = super::World::new("MLOPS_TEST_MLFLOW_2") {
                        super::$case(&world).await;
                    }
                }
            )*}
            mod on_3 {$(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    if let Some(world) = super::World::new("MLOPS_TEST_MLFLOW_3") {
                        super::$case(&world).await;
                    }
                }
            )*}
        };
    }

    on_both!(
        lost_answers_lose_and_double_nothing,
        many_processes_agree_on_one_run,
        many_processes_agree_on_one_parameter,
        mlflow_shows_what_was_logged,
        runs_of_other_clients_are_runs,
        a_lost_lease_shows_in_mlflow,
        edits_in_mlflow_are_seen,
        cancelled_writes_do_no_harm,
        small_pages_of_the_server_lose_nothing,
        what_is_pushed_down_means_the_same,
        namespaces_keep_apart,
    );
}
