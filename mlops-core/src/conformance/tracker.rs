//! The suite of [`ExperimentTracker`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use super::support::{
    RACERS, TEXTS, actor, at, fault, hostile_tags, kind, race, read_all, read_quietly, refuses_bad_pages,
    skipped,
};
use crate::error::ErrorKind;
use crate::experiment::{
    ArtifactLink, Capsule, Comparison, DataInput, Experiment, ExperimentSpec, ExperimentTracker,
    ExperimentTrackerExt as _, Field, Filter, HistoryQuery, InputMatch, LIFECYCLE_TAGS, LogBatch, Match,
    MetricPoint, MetricStat, MetricSummary, OrderBy, Run, RunEnd, RunQuery, RunSpec, RunStatus,
    TrackerCapabilities, View, is_lifecycle_tag,
};
use crate::hash::Digest;
use crate::id::{
    ActorId, AssetName, ExperimentName, IdempotencyKey, MAX_ENTRIES, MAX_TEXT, MetricKey, ParamKey, RelPath,
    RunId, TagKey, Version,
};
use crate::page::PageRequest;
use crate::time::{Clock as _, ManualClock, Timestamp};

/// Makes a test of every case of the [`ExperimentTracker`] suite.
///
/// Takes the name of the module to put them in, and an expression that makes a fresh
/// [`TrackerUnderTest`](crate::conformance::tracker::TrackerUnderTest).
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::conformance::tracker::TrackerUnderTest;
/// use mlops_core::memory::MemoryTracker;
///
/// mlops_core::experiment_tracker_suite!(
///     memory,
///     TrackerUnderTest::new(Arc::new(MemoryTracker::default()))
/// );
/// ```
#[macro_export]
macro_rules! experiment_tracker_suite {
    ($module:ident, $fresh:expr) => {
        $crate::__conformance_suite! { $module, $fresh, tracker, [
            capabilities_are_as_promised,
            ensure_experiment_is_idempotent,
            concurrent_ensure_makes_one_experiment,
            experiments_are_alphabetical,
            start_run_is_idempotent,
            run_id_reuse_is_a_conflict,
            of_many_that_reuse_a_run_id_one_wins,
            experiment_must_exist,
            parent_must_exist,
            what_was_started_is_kept,
            batch_is_atomic,
            params_are_immutable,
            of_many_values_of_a_param_one_wins,
            tags_are_replaced,
            tags_of_pipelines_and_sweeps_are_kept,
            artifact_paths_are_immutable,
            inputs_are_kept_once,
            replayed_batch_changes_nothing,
            keyed_batch_is_one_call,
            concurrent_replays_are_one_call,
            metric_values_round_trip,
            non_finite_metrics_round_trip,
            extreme_steps_round_trip,
            distant_times_round_trip,
            summaries_follow_the_points,
            log_after_end_is_a_conflict,
            run_status_moves_forward_only,
            of_many_ends_one_wins,
            lost_lease_kills_the_run,
            heartbeats_keep_a_run_alive,
            search_matches_and_orders,
            search_takes_text_literally,
            search_combines_filters,
            search_follows_patterns,
            search_asks_for_existence,
            search_knows_ids_and_durations,
            search_knows_whole_histories,
            search_knows_inputs,
            search_orders_by_every_field,
            search_sees_deleted_runs_when_asked,
            filters_nested_too_deep_are_refused,
            filters_that_say_too_much_are_refused,
            paging_is_complete_under_writes,
            paging_holds_while_the_order_moves,
            tokens_belong_to_their_query,
            bad_pages_are_refused,
            history_is_ordered,
            history_has_windows,
            history_is_complete_under_writes,
            deleted_runs_can_be_restored,
            unicode_is_kept_exactly,
            names_that_differ_in_case_are_two,
            concurrent_logging_loses_nothing,
            failed_calls_change_nothing,
            missing_is_not_found,
            limits_are_typed,
            nothing_is_degraded_in_silence,
        ] }
    };
}

/// An empty tracker and what the suite may do to it.
#[derive(Debug)]
pub struct TrackerUnderTest {
    tracker: Arc<dyn ExperimentTracker>,
    clock: Option<Arc<ManualClock>>,
    promised: TrackerCapabilities,
}

impl TrackerUnderTest {
    /// An empty tracker that promises everything.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use mlops_core::conformance::tracker::TrackerUnderTest;
    /// use mlops_core::memory::MemoryTracker;
    /// let under_test = TrackerUnderTest::new(Arc::new(MemoryTracker::default()));
    /// assert!(format!("{under_test:?}").contains("MemoryTracker"));
    /// ```
    pub fn new(tracker: Arc<dyn ExperimentTracker>) -> Self {
        Self { tracker, clock: None, promised: TrackerCapabilities::FULL }
    }

    /// The tracker's clock, when it can be turned.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<ManualClock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// What the tracker promises, where that is not everything.
    #[must_use]
    pub fn with_promised(mut self, promised: TrackerCapabilities) -> Self {
        self.promised = promised;
        self
    }

    async fn ensure(&self, name: &str) -> ExperimentName {
        let name = ExperimentName::new(name).unwrap();
        self.tracker.ensure_experiment(&ExperimentSpec::new(name.clone())).await.unwrap();
        name
    }

    async fn spec(&self, name: &str) -> RunSpec {
        RunSpec::new(self.ensure("suite").await, name, actor())
    }

    async fn start(&self, name: &str) -> RunId {
        self.tracker.start_run(&self.spec(name).await).await.unwrap().id
    }

    /// A run with the last value of one metric.
    async fn scored(&self, name: &str, value: f64) -> RunId {
        let run = self.start(name).await;
        self.tracker.write(&run, &LogBatch::new().metric(point("score", value, 0))).await.unwrap();
        run
    }

    async fn run(&self, run: &RunId) -> Run {
        self.tracker.run(run).await.unwrap()
    }

    async fn history(&self, run: &RunId, key: &str) -> Vec<MetricPoint> {
        self.tracker.full_history(run, &metric(key)).await.unwrap()
    }

    async fn search(&self, query: &RunQuery) -> Vec<Run> {
        read_quietly(query.page.limit, async |page| {
            self.tracker.search_runs(&query.clone().with_page(page)).await
        })
        .await
    }

    async fn found(&self, query: &RunQuery) -> Vec<String> {
        self.search(query).await.into_iter().map(|run| run.name).collect()
    }

    async fn everything(&self) -> (Vec<Experiment>, Vec<Run>, Vec<Vec<MetricPoint>>) {
        let experiments = read_quietly(100, async |page| self.tracker.experiments(&page).await).await;
        let runs = self.search(&RunQuery::everywhere().with_view(View::All)).await;
        let mut histories = Vec::new();
        for run in &runs {
            for key in run.metrics.keys() {
                histories.push(self.tracker.full_history(&run.id, key).await.unwrap());
            }
        }
        (experiments, runs, histories)
    }
}

fn metric(key: &str) -> MetricKey {
    MetricKey::new(key).unwrap()
}

fn param(key: &str) -> ParamKey {
    ParamKey::new(key).unwrap()
}

fn tag(key: &str) -> TagKey {
    TagKey::new(key).unwrap()
}

fn point(key: &str, value: f64, step: i64) -> MetricPoint {
    MetricPoint::new(metric(key), value, at("2026-01-01T00:00:00Z")).with_step(step)
}

fn link(path: &str, content: &str) -> ArtifactLink {
    ArtifactLink {
        path: RelPath::new(path).unwrap(),
        digest: Digest::of(content.as_bytes()),
        size: content.len() as u64,
    }
}

fn input(asset: &str, role: &str) -> DataInput {
    DataInput {
        asset: AssetName::new(asset).unwrap(),
        version: Version::FIRST,
        digest: Digest::of(asset.as_bytes()),
        role: role.to_owned(),
    }
}

fn values(points: &[MetricPoint]) -> Vec<f64> {
    points.iter().map(|p| p.value).collect()
}

/// The tracker can do what was promised for it, no less.
pub async fn capabilities_are_as_promised(under: &TrackerUnderTest) {
    assert_eq!(under.tracker.capabilities(), under.promised);
}

/// Making sure of an experiment twice makes it once; it keeps what it was made with.
pub async fn ensure_experiment_is_idempotent(under: &TrackerUnderTest) {
    let mut spec = ExperimentSpec::new(ExperimentName::new("suite").unwrap());
    spec.tags.insert(tag("team"), "risk".to_owned());
    let made = under.tracker.ensure_experiment(&spec).await.unwrap();
    assert_eq!((&made.name, &made.tags), (&spec.name, &spec.tags));
    let other = ExperimentSpec::new(spec.name.clone());
    assert_eq!(under.tracker.ensure_experiment(&other).await.unwrap(), made);
    assert_eq!(under.tracker.experiment(&spec.name).await.unwrap(), made);
}

/// Many that make sure of the same experiment get one.
pub async fn concurrent_ensure_makes_one_experiment(under: &TrackerUnderTest) {
    let made = race(RACERS, |i| {
        let tracker = under.tracker.clone();
        let mut spec = ExperimentSpec::new(ExperimentName::new("suite").unwrap());
        spec.tags.insert(tag("racer"), i.to_string());
        async move { tracker.ensure_experiment(&spec).await.unwrap() }
    })
    .await;
    assert!(made.iter().all(|m| *m == made[0]));
    assert_eq!(under.everything().await.0, [made[0].clone()]);
}

/// Experiments come in the order of their bytes, each once, while others are made.
pub async fn experiments_are_alphabetical(under: &TrackerUnderTest) {
    let names = ["b", "a", "B", "a-1", "a1", "10", "9"];
    for name in names {
        under.ensure(name).await;
    }
    let seen = read_all(
        2,
        async |page| under.tracker.experiments(&page).await,
        async |i| (under.ensure(&format!("0-{i}")).await, under.ensure(&format!("c-{i}")).await),
    )
    .await;
    let seen: Vec<_> = seen.iter().map(|e| e.name.as_str()).filter(|n| names.contains(n)).collect();
    assert_eq!(seen, ["10", "9", "B", "a", "a-1", "a1", "b"]);
}

/// Starting a run twice is starting it once, also after things were logged.
pub async fn start_run_is_idempotent(under: &TrackerUnderTest) {
    let spec = under.spec("once").await;
    let started = under.tracker.start_run(&spec).await.unwrap();
    assert_eq!(under.tracker.start_run(&spec).await.unwrap(), started);
    let batch = LogBatch::new().param(param("depth"), 6).tag(tag("later"), "yes");
    under.tracker.write(&spec.id, &batch).await.unwrap();
    let again = under.tracker.start_run(&spec).await.unwrap();
    assert_eq!(again, under.run(&spec.id).await);
    assert_eq!(again.params.len(), 1);
    let started = race(RACERS, |_| {
        let (tracker, spec) = (under.tracker.clone(), spec.clone());
        async move { tracker.start_run(&spec).await.unwrap() }
    })
    .await;
    assert!(started.iter().all(|run| *run == again));
    assert_eq!(under.everything().await.1.len(), 1);
}

/// A run id that is taken by another run is a conflict that names what differs.
pub async fn run_id_reuse_is_a_conflict(under: &TrackerUnderTest) {
    let parent = under.start("parent").await;
    let spec = under.spec("taken").await;
    let started = under.tracker.start_run(&spec).await.unwrap();
    for (field, other) in [
        ("experiment", RunSpec { experiment: under.ensure("other").await, ..spec.clone() }),
        ("name", RunSpec { name: "other".to_owned(), ..spec.clone() }),
        ("parent", spec.clone().with_parent(parent)),
        ("actor", RunSpec { actor: ActorId::new("other").unwrap(), ..spec.clone() }),
    ] {
        let error = fault(under.tracker.start_run(&other).await);
        assert_eq!((error.kind(), error.context("field")), (ErrorKind::Conflict, Some(field)));
    }
    assert_eq!(under.run(&spec.id).await, started);
}

/// Of many that start different runs under one id exactly one does.
pub async fn of_many_that_reuse_a_run_id_one_wins(under: &TrackerUnderTest) {
    let spec = under.spec("").await;
    let results = race(RACERS, |i| {
        let (tracker, spec) = (under.tracker.clone(), RunSpec { name: format!("racer {i}"), ..spec.clone() });
        async move { tracker.start_run(&spec).await }
    })
    .await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    assert!(lost.into_iter().all(|r| kind(r) == ErrorKind::Conflict));
    assert_eq!(under.run(&spec.id).await, won.into_iter().next().unwrap().unwrap());
}

/// A run needs its experiment.
pub async fn experiment_must_exist(under: &TrackerUnderTest) {
    let spec = RunSpec::new(ExperimentName::new("nowhere").unwrap(), "r", actor());
    assert_eq!(kind(under.tracker.start_run(&spec).await), ErrorKind::NotFound);
    assert_eq!(kind(under.tracker.run(&spec.id).await), ErrorKind::NotFound);
    assert_eq!(kind(under.tracker.experiment(&spec.experiment).await), ErrorKind::NotFound);
}

/// A part needs its whole; a run is not its own parent.
pub async fn parent_must_exist(under: &TrackerUnderTest) {
    let spec = under.spec("child").await;
    let orphan = spec.clone().with_parent(RunId::generate());
    assert_eq!(kind(under.tracker.start_run(&orphan).await), ErrorKind::NotFound);
    let selfish = spec.clone().with_parent(spec.id.clone());
    assert_eq!(kind(under.tracker.start_run(&selfish).await), ErrorKind::InvalidInput);
    assert_eq!(kind(under.tracker.run(&spec.id).await), ErrorKind::NotFound);
    let parent = under.start("parent").await;
    let child = under.tracker.start_run(&spec.with_parent(parent.clone())).await.unwrap();
    assert_eq!(child.parent, Some(parent.clone()));
    let query = RunQuery::everywhere().with_filter(Filter::Parent(parent));
    assert_eq!(under.found(&query).await, ["child"]);
}

/// Everything said when a run starts is kept.
pub async fn what_was_started_is_kept(under: &TrackerUnderTest) {
    let mut capsule = Capsule::default().with_seed("split", u64::from(u32::MAX)).with_seed("model", 0);
    capsule.code.commit = Some("0123456789abcdef0123456789abcdef01234567".to_owned());
    capsule.code.dirty = Some(true);
    capsule.lock = Some(Digest::of(b"lock"));
    capsule.versions.insert("rustc".to_owned(), "1.95.0".to_owned());
    capsule.code.diff = Some(Digest::of(b"diff"));
    capsule.code.repository = Some("https://example.org/repo".to_owned());
    capsule.machine.memory = Some(1 << 40);
    capsule.program.name = Some("trainer".to_owned());
    capsule.inputs.insert("training".to_owned(), Digest::of(b"rows"));
    capsule.environment.insert("TZ".to_owned(), "UTC".to_owned());
    capsule.gaps.insert("code.dirty".to_owned(), "there is no git".to_owned());
    let mut spec = under.spec("whole").await.with_capsule(capsule.clone()).with_tag(tag("k"), "v");
    spec.started_at = Some(at("2001-02-03T04:05:06.000007Z"));
    under.tracker.start_run(&spec).await.unwrap();
    let run = under.run(&spec.id).await;
    assert_eq!(
        (&run.id, &run.experiment, &run.name, &run.actor),
        (&spec.id, &spec.experiment, &spec.name, &spec.actor)
    );
    assert_eq!((run.capsule, run.tags, run.started_at), (capsule, spec.tags, spec.started_at.unwrap()));
    assert_eq!((run.status, run.ended_at, run.parent, run.deleted), (RunStatus::Running, None, None, false));
}

/// Of a batch with one thing that cannot be kept, nothing is kept.
pub async fn batch_is_atomic(under: &TrackerUnderTest) {
    if !under.promised.atomic_batches {
        return skipped("batches are not atomic here");
    }
    let run = under.start("atomic").await;
    let first = LogBatch::new().param(param("depth"), 6).artifact(link("model", "weights"));
    under.tracker.write(&run, &first).await.unwrap();
    let before = under.everything().await;
    let good = || {
        LogBatch::new()
            .metric(point("loss", 0.5, 1))
            .param(param("a new one"), 1)
            .tag(tag("k"), "v")
            .input(input("patients", "training"))
            .artifact(link("other", "content"))
    };
    for (bad, expected) in [
        (good().param(param("depth"), 7), ErrorKind::Conflict),
        (good().artifact(link("model", "other weights")), ErrorKind::Conflict),
        (good().artifact(link("twice", "1")).artifact(link("twice", "2")), ErrorKind::Conflict),
        (good().param(param("long"), "x".repeat(MAX_TEXT + 1)), ErrorKind::LimitExceeded),
        (good().tag(tag("long"), "x".repeat(MAX_TEXT + 1)), ErrorKind::LimitExceeded),
    ] {
        assert_eq!(kind(under.tracker.write(&run, &bad).await), expected);
        assert_eq!(under.everything().await, before);
    }
    under.tracker.write(&run, &good()).await.unwrap();
}

/// A parameter keeps its first value; another is a conflict that names it, what was asked for and what is there.
pub async fn params_are_immutable(under: &TrackerUnderTest) {
    let run = under.start("immutable").await;
    let depth = |value: &str| LogBatch::new().param(param("depth"), value);
    under.tracker.write(&run, &depth("6")).await.unwrap();
    under.tracker.write(&run, &depth("6")).await.unwrap();
    for other in ["7", "6.0", " 6", "", "６"] {
        let error = fault(under.tracker.write(&run, &depth(other)).await);
        assert_eq!((error.kind(), error.context("parameter")), (ErrorKind::Conflict, Some("depth")));
        assert_eq!((error.context("expected"), error.context("found")), (Some(other), Some("6")));
    }
    assert_eq!(under.run(&run).await.params, BTreeMap::from([(param("depth"), "6".to_owned())]));
}

/// Of many that log different values of one parameter exactly one does.
pub async fn of_many_values_of_a_param_one_wins(under: &TrackerUnderTest) {
    let run = under.start("raced").await;
    let results = race(RACERS, |i| {
        let (tracker, run) = (under.tracker.clone(), run.clone());
        async move { tracker.log_param(&run, param("winner"), i).await.map(|_| i) }
    })
    .await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    assert!(lost.into_iter().all(|r| kind(r) == ErrorKind::Conflict));
    let winner = won.into_iter().next().unwrap().unwrap();
    assert_eq!(under.run(&run).await.params[&param("winner")], winner.to_string());
}

/// Tags may be set again, and the others stay.
pub async fn tags_are_replaced(under: &TrackerUnderTest) {
    let spec = under.spec("tagged").await.with_tag(tag("a"), "1").with_tag(tag("b"), "1");
    under.tracker.start_run(&spec).await.unwrap();
    let batch = LogBatch::new().tag(tag("b"), "2").tag(tag("c"), "");
    under.tracker.write(&spec.id, &batch).await.unwrap();
    let expected = [("a", "1"), ("b", "2"), ("c", "")].map(|(k, v)| (tag(k), v.to_owned()));
    assert_eq!(under.run(&spec.id).await.tags, BTreeMap::from(expected));
}

/// What pipelines and sweeps write as tags is kept, also where the tracker has tags of its own under names like theirs.
pub async fn tags_of_pipelines_and_sweeps_are_kept(under: &TrackerUnderTest) {
    let mut spec = under.spec("step").await;
    for name in LIFECYCLE_TAGS {
        assert!(is_lifecycle_tag(name));
        spec = spec.with_tag(tag(name), "1");
    }
    under.tracker.start_run(&spec).await.unwrap();
    let keys = LIFECYCLE_TAGS.map(|name| format!("{name}.key"));
    let batch = keys.iter().fold(LogBatch::new(), |batch, key| batch.tag(tag(key), "2"));
    under.tracker.write(&spec.id, &batch).await.unwrap();
    let run = under.run(&spec.id).await;
    for name in LIFECYCLE_TAGS {
        assert_eq!(
            (run.tags[&tag(name)].as_str(), run.tags[&tag(&format!("{name}.key"))].as_str()),
            ("1", "2")
        );
    }
    assert_eq!(run.tags.len(), 2 * LIFECYCLE_TAGS.len());
}

/// A run's files are kept sorted by path, each once, and a path keeps its content.
pub async fn artifact_paths_are_immutable(under: &TrackerUnderTest) {
    let run = under.start("files").await;
    for batch in [
        LogBatch::new().artifact(link("b", "2")).artifact(link("a", "1")).artifact(link("a", "1")),
        LogBatch::new().artifact(link("a/b", "3")).artifact(link("b", "2")),
    ] {
        under.tracker.write(&run, &batch).await.unwrap();
    }
    let error = fault(under.tracker.write(&run, &LogBatch::new().artifact(link("b", "other"))).await);
    assert_eq!((error.kind(), error.context("path")), (ErrorKind::Conflict, Some("b")));
    let kept = under.run(&run).await.artifacts;
    assert_eq!(kept, [link("a", "1"), link("a/b", "3"), link("b", "2")]);
}

/// The same data in the same role is one input, in the order of logging.
pub async fn inputs_are_kept_once(under: &TrackerUnderTest) {
    let run = under.start("fed").await;
    let inputs = [input("b", "training"), input("a", "test"), input("b", "validation")];
    for _ in 0..2 {
        for one in &inputs {
            under.tracker.write(&run, &LogBatch::new().input(one.clone())).await.unwrap();
        }
    }
    assert_eq!(under.run(&run).await.inputs, inputs);
    let fed = |asset: &str| RunQuery::everywhere().with_filter(Filter::Input(AssetName::new(asset).unwrap()));
    assert_eq!(under.found(&fed("a")).await, ["fed"]);
    assert!(under.found(&fed("c")).await.is_empty());
}

/// Without a key, a repeated batch adds nothing: what is in it is there already.
pub async fn replayed_batch_changes_nothing(under: &TrackerUnderTest) {
    let run = under.start("replayed").await;
    let mut batch = LogBatch::new()
        .param(param("depth"), 6)
        .tag(tag("k"), "v")
        .input(input("patients", "training"))
        .artifact(link("model", "weights"));
    for value in [0.5, -0.0, 0.0, 5e-324] {
        batch = batch.metric(point("loss", value, 1));
    }
    batch = batch.metric(point("loss", 0.5, 1)).metric(point("loss", 0.5, 2));
    assert_eq!(under.tracker.write(&run, &batch).await.unwrap().new_points, 5, "one is there twice");
    let before = under.everything().await;
    for _ in 0..3 {
        assert_eq!(under.tracker.write(&run, &batch).await.unwrap().new_points, 0);
    }
    assert_eq!(under.everything().await, before);
    let empty = under.tracker.write(&run, &LogBatch::new()).await.unwrap();
    assert_eq!((empty.new_points, empty.degraded.len()), (0, 0));
    assert_eq!(under.everything().await, before);
}

/// A batch with a key is one call: repeated, it answers the same and does nothing; with other content it is a conflict.
pub async fn keyed_batch_is_one_call(under: &TrackerUnderTest) {
    let run = under.start("keyed").await;
    let key = Some(IdempotencyKey::generate());
    let batch = LogBatch { key, ..LogBatch::new().metric(point("loss", f64::MAX, 1)).tag(tag("k"), "first") };
    let receipt = under.tracker.write(&run, &batch).await.unwrap();
    assert_eq!(receipt.new_points, 1);
    under.tracker.write(&run, &LogBatch::new().tag(tag("k"), "second")).await.unwrap();
    assert_eq!(under.tracker.write(&run, &batch).await.unwrap(), receipt);
    assert_eq!(under.run(&run).await.tags[&tag("k")], "second", "an old call does not come back");
    let other = batch.clone().metric(point("loss", 0.0, 2));
    assert_eq!(kind(under.tracker.write(&run, &other).await), ErrorKind::Conflict);
    under.tracker.finish_run(&run, &RunEnd::FINISHED).await.unwrap();
    assert_eq!(under.tracker.write(&run, &batch).await.unwrap(), receipt, "it did happen");
    assert_eq!(under.history(&run, "loss").await.len(), 1);
    // The key is the run's: another run may use the same.
    let another = under.start("another").await;
    assert_eq!(under.tracker.write(&another, &batch).await.unwrap().new_points, 1);
}

/// Many that repeat one call get one answer.
pub async fn concurrent_replays_are_one_call(under: &TrackerUnderTest) {
    let run = under.start("keyed").await;
    let points = (0..100).map(|i| point("loss", i as f64, i)).collect();
    let batch = LogBatch { key: Some(IdempotencyKey::generate()), metrics: points, ..LogBatch::new() };
    let receipts = race(RACERS, |_| {
        let (tracker, run, batch) = (under.tracker.clone(), run.clone(), batch.clone());
        async move { tracker.write(&run, &batch).await.unwrap() }
    })
    .await;
    assert!(receipts.iter().all(|r| r.new_points == 100));
    assert_eq!(under.history(&run, "loss").await, batch.metrics);
}

/// Finite values come back bit for bit.
pub async fn metric_values_round_trip(under: &TrackerUnderTest) {
    let run = under.start("bits").await;
    let sent = [
        0.0,
        -0.0,
        5e-324,
        -5e-324,
        f64::MIN_POSITIVE,
        f64::MAX,
        f64::MIN,
        f64::EPSILON,
        0.1 + 0.2,
        1.0 / 3.0,
        1e23,
        9_007_199_254_740_992.0,
        9_007_199_254_740_994.0,
        -1.797_693_134_862_315_7e308,
        2.225_073_858_507_201e-308,
    ];
    for (step, value) in (0..).zip(sent) {
        under.tracker.write(&run, &LogBatch::new().metric(point("value", value, step))).await.unwrap();
        let last = under.run(&run).await.metric("value").unwrap();
        assert_eq!(last.to_bits(), value.to_bits(), "{value:e} as the last value");
    }
    let got = values(&under.history(&run, "value").await);
    assert_eq!(got.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), sent.map(f64::to_bits));
}

/// NaN and infinities come back as they were, and are counted among the points.
pub async fn non_finite_metrics_round_trip(under: &TrackerUnderTest) {
    if !under.promised.non_finite_metrics {
        return skipped("NaN and infinities are not kept here");
    }
    let run = under.start("not finite").await;
    let sent = [1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -f64::NAN];
    for (step, value) in (0..).zip(sent) {
        let batch = LogBatch::new().metric(point("value", value, step));
        assert_eq!(under.tracker.write(&run, &batch).await.unwrap().new_points, 1);
        assert_eq!(under.tracker.write(&run, &batch).await.unwrap().new_points, 0, "NaN is itself here");
    }
    let history = under.history(&run, "value").await;
    assert_eq!(history, (0..).zip(sent).map(|(s, v)| point("value", v, s)).collect::<Vec<_>>());
    let summary = under.run(&run).await.metrics[&metric("value")].clone();
    assert!(summary.last.value.is_nan());
    if !under.promised.summaries {
        return skipped("summaries are those of the last point here; the points were checked");
    }
    assert_eq!((summary.min, summary.max, summary.count), (Some(f64::NEG_INFINITY), Some(f64::INFINITY), 5));
    // A metric that was never anything but NaN has no least and no greatest value.
    under.tracker.write(&run, &LogBatch::new().metric(point("never", f64::NAN, 0))).await.unwrap();
    let summary = under.run(&run).await.metrics[&metric("never")].clone();
    assert_eq!((summary.min, summary.max, summary.count), (None, None, 1));
}

/// Any step is a step: negative, repeated, the least and the greatest.
pub async fn extreme_steps_round_trip(under: &TrackerUnderTest) {
    let run = under.start("steps").await;
    let steps = [i64::MAX, 0, i64::MIN, -1, 1, i64::MAX - 1, i64::MIN + 1, (1 << 53) + 1];
    for (value, step) in (0..).map(f64::from).zip(steps) {
        under.tracker.write(&run, &LogBatch::new().metric(point("m", value, step))).await.unwrap();
    }
    let mut sorted = steps;
    sorted.sort_unstable();
    let got: Vec<_> = under.history(&run, "m").await.iter().map(|p| p.step).collect();
    assert_eq!(got, sorted);
    let last = under.run(&run).await.metrics[&metric("m")].last.clone();
    assert_eq!((last.step, last.value), (i64::MAX, 0.0));
    let edge = HistoryQuery { from_step: i64::MAX, ..HistoryQuery::new(metric("m")) };
    assert_eq!(under.tracker.history(&run, &edge).await.unwrap().items.len(), 1);
}

/// Times before 1970 and in a far future are kept to the microsecond, of points and of runs.
pub async fn distant_times_round_trip(under: &TrackerUnderTest) {
    if !under.promised.exact_times {
        return skipped("times of metric points are not kept to the microsecond here");
    }
    let times: Vec<Timestamp> = [
        "0001-01-01T00:00:00.000001Z",
        "1582-10-15T12:00:00.5Z",
        "1969-12-31T23:59:59.999999Z",
        "1970-01-01T00:00:00Z",
        "2016-12-31T23:59:59.999999Z",
        "2038-01-19T03:14:08Z",
        "9999-12-31T23:59:59.999999Z",
    ]
    .map(at)
    .to_vec();
    for pair in times.windows(2) {
        let mut spec = under.spec("distant").await;
        spec.started_at = Some(pair[0]);
        under.tracker.start_run(&spec).await.unwrap();
        let batch = times.iter().rev().map(|at| MetricPoint::new(metric("m"), 1.0, *at)).collect();
        let batch = LogBatch { metrics: batch, ..LogBatch::new() };
        assert_eq!(under.tracker.write(&spec.id, &batch).await.unwrap().new_points, times.len() as u64);
        let history = under.history(&spec.id, "m").await;
        assert_eq!(history.iter().map(|p| p.at).collect::<Vec<_>>(), times);
        let end = RunEnd { status: RunStatus::Finished, at: Some(pair[1]) };
        under.tracker.finish_run(&spec.id, &end).await.unwrap();
        let run = under.run(&spec.id).await;
        assert_eq!((run.started_at, run.ended_at), (pair[0], Some(pair[1])));
    }
    let early = Filter::Started(Comparison::Less, at("1970-01-01T00:00:00Z"));
    assert_eq!(under.search(&RunQuery::everywhere().with_filter(early)).await.len(), 3);
}

/// The summary has the point with the greatest step, then time, then place in the log, and least, greatest and count.
pub async fn summaries_follow_the_points(under: &TrackerUnderTest) {
    let run = under.start("summed").await;
    let later = |value, step| MetricPoint { at: at("2026-01-02T00:00:00Z"), ..point("m", value, step) };
    for (logged, expected) in [
        (point("m", 0.5, 2), (0.5, 0.5, 0.5, 1)),
        (point("m", 0.9, 1), (0.5, 0.5, 0.9, 2)), // an earlier step comes late
        (point("m", 0.4, 2), (0.4, 0.4, 0.9, 3)), // the same step and time, logged later
        (later(0.6, 2), (0.6, 0.4, 0.9, 4)),      // the same step at a later time
        (point("m", 0.7, 2), (0.6, 0.4, 0.9, 5)), // the same step at an earlier time
        (point("m", -2.0, -5), (0.6, -2.0, 0.9, 6)),
        (point("m", -2.0, -5), (0.6, -2.0, 0.9, 6)), // the same point
        (point("m", 1e300, 3), (1e300, -2.0, 1e300, 7)),
    ] {
        under.tracker.write(&run, &LogBatch::new().metric(logged)).await.unwrap();
        let summary = under.run(&run).await.metrics[&metric("m")].clone();
        if !under.promised.summaries {
            assert_eq!(summary, MetricSummary::of(summary.last.clone()), "the summary of the last point");
            assert_eq!(summary.last.value, expected.0);
            continue;
        }
        let got = (summary.last.value, summary.min.unwrap(), summary.max.unwrap(), summary.count);
        assert_eq!(got, expected);
    }
    // Order of logging is the order within a batch, too.
    let batch =
        LogBatch::new().metric(point("n", 1.0, 0)).metric(point("n", 3.0, 0)).metric(point("n", 2.0, 0));
    under.tracker.write(&run, &batch).await.unwrap();
    assert_eq!(under.run(&run).await.metric("n"), Some(2.0));
    if !under.promised.summaries {
        return skipped("summaries are those of the last point here; that much was checked");
    }
    let mut model = MetricSummary::of(batch.metrics[0].clone());
    batch.metrics[1..].iter().cloned().for_each(|p| model.add(p));
    assert_eq!(under.run(&run).await.metrics[&metric("n")], model);
}

/// Nothing is logged to a run that has ended, however it ended.
pub async fn log_after_end_is_a_conflict(under: &TrackerUnderTest) {
    for end in [RunEnd::FINISHED, RunEnd::FAILED, RunEnd::KILLED] {
        let run = under.scored("ended", 1.0).await;
        under.tracker.finish_run(&run, &end).await.unwrap();
        let before = under.everything().await;
        for batch in [
            LogBatch::new().metric(point("score", 2.0, 2)),
            LogBatch::new().param(param("p"), 1),
            LogBatch::new().tag(tag("t"), "v"),
            LogBatch::new().input(input("a", "r")),
            LogBatch::new().artifact(link("a", "c")),
            // Even what is there already: without a key nobody knows that this call was made before.
            LogBatch::new().metric(point("score", 1.0, 0)),
        ] {
            assert_eq!(kind(under.tracker.write(&run, &batch).await), ErrorKind::Conflict);
        }
        if under.promised.leases {
            let beat = under.tracker.heartbeat(&run, Duration::from_secs(60)).await;
            assert_eq!(kind(beat), ErrorKind::Conflict);
        }
        assert_eq!(under.everything().await, before);
    }
}

/// A run ends once: the same end again returns it as it is, another is a conflict, and what is no end is refused.
pub async fn run_status_moves_forward_only(under: &TrackerUnderTest) {
    let ends = [RunEnd::FINISHED, RunEnd::FAILED, RunEnd::KILLED];
    for end in ends {
        let run = under.start("ends").await;
        for status in [RunStatus::Running, RunStatus::Scheduled] {
            let not_an_end = RunEnd { status, at: None };
            assert_eq!(kind(under.tracker.finish_run(&run, &not_an_end).await), ErrorKind::InvalidInput);
        }
        let ended = under.tracker.finish_run(&run, &end).await.unwrap();
        assert_eq!(ended.status, end.status);
        assert!(ended.ended_at.is_some());
        for other in ends {
            // Another time does not move the end.
            let again = RunEnd { at: Some(at("2030-01-01T00:00:00Z")), ..other };
            let result = under.tracker.finish_run(&run, &again).await;
            match other == end {
                true => assert_eq!(result.unwrap(), ended),
                false => assert_eq!(kind(result), ErrorKind::Conflict),
            }
        }
        assert_eq!(under.run(&run).await, ended);
    }
    // Starting it again does not open it again.
    let spec = under.spec("closed").await;
    under.tracker.start_run(&spec).await.unwrap();
    under.tracker.finish_run(&spec.id, &RunEnd::FAILED).await.unwrap();
    assert_eq!(under.tracker.start_run(&spec).await.unwrap().status, RunStatus::Failed);
}

/// Of many that end a run differently one does, and its peers with the same end agree.
pub async fn of_many_ends_one_wins(under: &TrackerUnderTest) {
    let run = under.start("raced").await;
    let ends = [RunEnd::FINISHED, RunEnd::FAILED, RunEnd::KILLED];
    let results = race(RACERS, |i| {
        let (tracker, run, end) = (under.tracker.clone(), run.clone(), ends[i % 3]);
        async move { tracker.finish_run(&run, &end).await.map(|run| (end.status, run)) }
    })
    .await;
    let ended = under.run(&run).await;
    for result in results {
        match result {
            Ok((status, run)) => assert_eq!((status, &run), (ended.status, &ended)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict),
        }
    }
}

/// A run whose lease ran out reads as killed, by every way of reading, ended when the lease did.
pub async fn lost_lease_kills_the_run(under: &TrackerUnderTest) {
    if !under.promised.leases {
        return skipped("there are no leases here");
    }
    let (empty, second) = (Duration::ZERO, Duration::from_secs(1));
    let run = under.start("leased").await;
    let without = under.start("without a lease").await;
    let done = under.start("done in time").await;
    assert_eq!(kind(under.tracker.heartbeat(&run, empty).await), ErrorKind::InvalidInput);
    let Some(clock) = &under.clock else { return skipped("the clock cannot be turned here") };
    let until = clock.now() + TimeDelta::seconds(60);
    for run in [&run, &done] {
        under.tracker.heartbeat(run, second * 60).await.unwrap();
        assert_eq!(under.run(run).await.lease_until, Some(until));
    }
    clock.advance(second * 59);
    assert_eq!(under.run(&run).await.status, RunStatus::Running);
    let done = under.tracker.finish_run(&done, &RunEnd::FINISHED).await.unwrap();
    clock.advance(second * 3600);
    let killed = RunQuery::everywhere().with_filter(Filter::Status(vec![RunStatus::Killed]));
    assert_eq!(under.found(&killed).await, ["leased"]);
    let read = under.run(&run).await;
    assert_eq!((read.status, read.ended_at), (RunStatus::Killed, Some(until)));
    assert_eq!(kind(under.tracker.heartbeat(&run, second).await), ErrorKind::Conflict);
    assert_eq!(
        kind(under.tracker.write(&run, &LogBatch::new().tag(tag("k"), "v")).await),
        ErrorKind::Conflict
    );
    assert_eq!(kind(under.tracker.finish_run(&run, &RunEnd::FINISHED).await), ErrorKind::Conflict);
    assert_eq!(under.tracker.finish_run(&run, &RunEnd::KILLED).await.unwrap(), read);
    assert_eq!(under.run(&done.id).await, done, "an end in time stays");
    assert_eq!(under.run(&without).await.status, RunStatus::Running);
}

/// Every heartbeat replaces the lease, by a longer or a shorter one; the longest there is does not overflow.
pub async fn heartbeats_keep_a_run_alive(under: &TrackerUnderTest) {
    if !under.promised.leases {
        return skipped("there are no leases here");
    }
    let run = under.start("alive").await;
    under.tracker.heartbeat(&run, Duration::MAX).await.unwrap();
    under.tracker.heartbeat(&run, Duration::from_secs(60)).await.unwrap();
    let Some(clock) = &under.clock else { return skipped("the clock cannot be turned here") };
    for _ in 0..10 {
        clock.advance(Duration::from_secs(59));
        under.tracker.heartbeat(&run, Duration::from_secs(60)).await.unwrap();
    }
    assert_eq!(under.run(&run).await.status, RunStatus::Running);
    under.tracker.heartbeat(&run, Duration::from_secs(5)).await.unwrap();
    clock.advance(Duration::from_secs(5));
    assert_eq!(under.run(&run).await.status, RunStatus::Killed);
}

/// Eight runs that differ in everything one can search for.
async fn varied(under: &TrackerUnderTest) -> Vec<RunId> {
    let nan = under.promised.non_finite_metrics.then_some(f64::NAN);
    let inf = under.promised.non_finite_metrics.then_some(f64::INFINITY);
    let table = [
        ("one", Some(1.0), Some("6"), Some("risk"), Some(RunEnd::FINISHED), 10),
        ("two", Some(2.0), Some("10"), Some("Risk"), Some(RunEnd::FAILED), 20),
        ("three", Some(-3.0), None, None, None, 30),
        ("nan", nan, Some("6"), Some(""), None, 40),
        ("inf", inf, Some(""), Some("risky"), Some(RunEnd::KILLED), 50),
        ("none", None, None, Some("risk"), None, 60),
        ("tie", Some(1.0), Some("6"), None, Some(RunEnd::FINISHED), 10),
        ("zero", Some(-0.0), Some("6"), Some("a risk"), None, 5),
    ];
    let mut ids = Vec::new();
    for (name, score, depth, team, end, second) in table {
        let started = at("2026-01-01T00:00:00Z") + TimeDelta::seconds(second);
        let mut spec = under.spec(name).await;
        spec.started_at = Some(started);
        spec.actor = ActorId::new(if second < 30 { "ann" } else { "bob" }).unwrap();
        under.tracker.start_run(&spec).await.unwrap();
        let mut batch = LogBatch::new();
        batch.metrics =
            score.map(|v| vec![point("score", 99.0, -1), point("score", v, 7)]).unwrap_or_default();
        batch.params = depth.map(|v| (param("depth"), v.to_owned())).into_iter().collect();
        batch.tags = team.map(|v| (tag("team"), v.to_owned())).into_iter().collect();
        under.tracker.write(&spec.id, &batch).await.unwrap();
        if let Some(end) = end {
            let end = RunEnd { at: Some(started + TimeDelta::seconds(second)), ..end };
            under.tracker.finish_run(&spec.id, &end).await.unwrap();
        }
        ids.push(spec.id);
    }
    ids
}

/// A search answers exactly the runs that match, in the order asked for, on any size of page.
pub async fn search_matches_and_orders(under: &TrackerUnderTest) {
    varied(under).await;
    let all = under.search(&RunQuery::everywhere().with_view(View::All)).await;
    assert_eq!(all.len(), 8);
    let second = |n| at("2026-01-01T00:00:00Z") + TimeDelta::seconds(n);
    let mut filters = vec![
        Filter::And(vec![]),
        Filter::Param(param("depth"), Match::Equals("6".to_owned())),
        Filter::Param(param("depth"), Match::In(vec!["10".to_owned(), String::new()])),
        Filter::Tag(tag("team"), Match::StartsWith("risk".to_owned())),
        Filter::Tag(tag("team"), Match::Contains(String::new())),
        Filter::Name(Match::Contains("e".to_owned())),
        Filter::Actor(Match::Equals("ann".to_owned())),
        Filter::Status(vec![RunStatus::Running, RunStatus::Failed]),
        Filter::Status(vec![]),
        Filter::Started(Comparison::AtLeast, second(30)),
        Filter::Ended(Comparison::NotEqual, second(20)),
    ];
    let comparisons = [
        Comparison::Less,
        Comparison::AtMost,
        Comparison::Equal,
        Comparison::NotEqual,
        Comparison::AtLeast,
        Comparison::Greater,
    ];
    for comparison in comparisons {
        for value in [0.0, 1.0, f64::INFINITY, f64::NAN] {
            filters.push(Filter::Metric { key: metric("score"), comparison, value });
        }
    }
    let fields = [
        Field::Started,
        Field::Ended,
        Field::Name,
        Field::Metric(metric("score")),
        Field::Param(param("depth")),
    ];
    let orders = fields.iter().flat_map(|f| [OrderBy::ascending(f.clone()), OrderBy::descending(f.clone())]);
    let mut orders: Vec<Vec<OrderBy>> = orders.map(|order| vec![order]).collect();
    orders.push(vec![]);
    orders.push(vec![OrderBy::ascending(Field::Param(param("depth"))), OrderBy::descending(Field::Name)]);
    for (i, filter) in filters.into_iter().enumerate() {
        for order in &orders {
            let limit = [1, 3, 100][i % 3];
            let query = RunQuery { filter: filter.clone(), order: order.clone(), ..RunQuery::everywhere() }
                .with_page(PageRequest::first(limit));
            let mut expected: Vec<&Run> = all.iter().filter(|run| query.matches(run)).collect();
            expected.sort_by(|l, r| query.compare(l, r));
            let got = under.search(&query).await;
            assert_eq!(got.iter().collect::<Vec<_>>(), expected, "{query:?}");
        }
    }
    // What the above takes for granted, once in plain words.
    let best = RunQuery::everywhere()
        .with_filter(Filter::Metric { key: metric("score"), comparison: Comparison::AtMost, value: 1.0 })
        .with_order(OrderBy::descending(Field::Metric(metric("score"))))
        .with_order(OrderBy::descending(Field::Name));
    assert_eq!(under.found(&best).await, ["tie", "one", "zero", "three"]);
}

/// Nothing in a text that is searched for is a wildcard, an escape or a command.
pub async fn search_takes_text_literally(under: &TrackerUnderTest) {
    for (i, text) in TEXTS.iter().enumerate() {
        let batch = LogBatch::new().param(param("text"), text).tag(tag("text"), *text);
        let run = under.start(&i.to_string()).await;
        under.tracker.write(&run, &batch).await.unwrap();
    }
    let probes = TEXTS
        .iter()
        .copied()
        .chain(["%", "_", "\\", "'", "\"", "100%", "e", "é", "É", "\u{301}", "\0", ".*", "(", "DROP"]);
    for probe in probes {
        for by in [Match::Equals, Match::Contains, Match::StartsWith, |text| Match::In(vec![text])] {
            let by: Match = by(probe.to_owned());
            let mut expected: Vec<_> =
                (0..TEXTS.len()).filter(|i| by.holds(TEXTS[*i])).map(|i| i.to_string()).collect();
            expected.sort();
            for filter in [Filter::Param(param("text"), by.clone()), Filter::Tag(tag("text"), by.clone())] {
                let mut got = under.found(&RunQuery::everywhere().with_filter(filter)).await;
                got.sort();
                assert_eq!(got, expected, "{by:?}");
            }
        }
    }
}

/// `And`, `Or` and `Not` mean what they mean, empty ones too; experiments narrow the search.
pub async fn search_combines_filters(under: &TrackerUnderTest) {
    if !under.promised.full_filters {
        return skipped("`Or` and `Not` are not understood here");
    }
    varied(under).await;
    let other = RunSpec::new(under.ensure("other").await, "elsewhere", actor());
    under.tracker.start_run(&other).await.unwrap();
    let named = |name: &str| Filter::Name(Match::Equals(name.to_owned()));
    let deep = (0..30).fold(named("one"), |f, _| Filter::Not(Box::new(Filter::And(vec![f]))));
    for (filter, expected) in [
        (Filter::Or(vec![named("one"), named("two")]), &["one", "two"][..]),
        (Filter::Or(vec![]), &[]),
        (
            Filter::Not(Box::new(Filter::Or(vec![]))),
            &["inf", "nan", "none", "one", "three", "tie", "two", "zero"],
        ),
        (Filter::And(vec![named("one"), named("two")]), &[]),
        // What a run does not have matches nothing, and `Not` turns that.
        (Filter::Not(Box::new(Filter::Tag(tag("team"), Match::Contains(String::new())))), &["three", "tie"]),
        (
            Filter::And(vec![
                Filter::Or(vec![named("one"), named("tie"), named("none")]),
                Filter::Not(Box::new(Filter::Param(param("depth"), Match::Equals("6".to_owned())))),
            ]),
            &["none"],
        ),
        (deep, &["one"]),
    ] {
        let query = RunQuery::new(ExperimentName::new("suite").unwrap()).with_filter(filter);
        let mut got = under.found(&query).await;
        got.sort();
        assert_eq!(got, expected, "{query:?}");
    }
    assert_eq!(under.found(&RunQuery::new(other.experiment)).await, ["elsewhere"]);
    assert!(under.found(&RunQuery::new(ExperimentName::new("nowhere").unwrap())).await.is_empty());
}

const COMPARISONS: [Comparison; 6] = [
    Comparison::Less,
    Comparison::AtMost,
    Comparison::Equal,
    Comparison::NotEqual,
    Comparison::AtLeast,
    Comparison::Greater,
];

fn negated(filter: &Filter) -> Filter {
    Filter::Not(Box::new(filter.clone()))
}

/// Every filter and its opposite finds the runs that it matches, in the order asked for, on any size of page.
async fn answers_as_defined(under: &TrackerUnderTest, filters: &[Filter], orders: &[OrderBy]) {
    let all = under.search(&RunQuery::everywhere().with_view(View::All)).await;
    let queries = filters.iter().flat_map(|filter| [filter.clone(), negated(filter)]);
    for (i, filter) in queries.enumerate() {
        let mut query =
            RunQuery::everywhere().with_filter(filter).with_page(PageRequest::first([100, 1, 3][i % 3]));
        query.order = orders.get(i % orders.len().max(1)).cloned().into_iter().collect();
        let mut expected: Vec<&Run> = all.iter().filter(|run| query.matches(run)).collect();
        expected.sort_by(|l, r| query.compare(l, r));
        let got = under.search(&query).await;
        assert_eq!(got.iter().collect::<Vec<_>>(), expected, "{query:?}");
    }
}

/// The names of the runs that match, sorted.
async fn named(under: &TrackerUnderTest, filter: Filter) -> Vec<String> {
    let mut names = under.found(&RunQuery::everywhere().with_filter(filter)).await;
    names.sort();
    names
}

/// `%` is any text, `_` any one character, a backslash is itself; with case, or without it for ASCII letters.
pub async fn search_follows_patterns(under: &TrackerUnderTest) {
    if !under.promised.full_filters {
        return skipped("not all filters are understood here");
    }
    for (i, text) in TEXTS.iter().chain(["É", "line\nLINE", "%", "_", "\\%"].iter()).enumerate() {
        let batch = LogBatch::new().param(param("text"), text).tag(tag("text"), *text);
        let run = under.start(&i.to_string()).await;
        under.tracker.write(&run, &batch).await.unwrap();
    }
    let patterns = [
        "",
        "%",
        "_",
        "__",
        "%_",
        "_%_%",
        "%\\%",
        "\\%",
        "\\_%",
        "100\\%%",
        "%line%",
        "LINE%",
        "%LINE",
        "a_b",
        "A_B",
        "é",
        "É",
        "%É%",
        "e\u{301}%",
        "%ß%",
        "%SS%",
        "%İ%",
        "%i%",
        "家%",
        "%\u{202e}%",
        "'%",
        "%--",
        "%DROP table%",
        "%\0%",
        "*",
        "%[a-z]%",
        "%a%b%c%d%e%",
    ];
    let mut filters = Vec::new();
    for pattern in patterns {
        for by in [Match::Like, Match::ILike, Match::differs_from] {
            let by: Match = by(pattern.to_owned());
            filters.push(Filter::Param(param("text"), by.clone()));
            filters.push(Filter::Tag(tag("text"), by));
        }
    }
    filters.push(Filter::Param(param("text"), Match::NotIn(vec![])));
    answers_as_defined(under, &filters, &[]).await;
    // What the above takes for granted, once in plain words.
    let like = |pattern: &str| Filter::Tag(tag("text"), Match::Like(pattern.to_owned()));
    let line = TEXTS.iter().position(|text| text.starts_with("line")).unwrap();
    let mut lines = vec![line.to_string(), (TEXTS.len() + 1).to_string()];
    lines.sort();
    assert_eq!(named(under, like("line%LINE")).await, lines[1..]);
    assert_eq!(named(under, like("line%")).await, lines);
    assert_eq!(named(under, like("LINE%")).await, [""; 0]);
    assert_eq!(named(under, Filter::Param(param("text"), Match::ILike("LINE%".to_owned()))).await, lines);
}

/// That something is there can be asked, whatever its value; what must differ must be there.
pub async fn search_asks_for_existence(under: &TrackerUnderTest) {
    if !under.promised.full_filters {
        return skipped("not all filters are understood here");
    }
    let parent = varied(under).await.swap_remove(0);
    let child = under.spec("child").await.with_parent(parent.clone());
    under.tracker.start_run(&child).await.unwrap();
    let filters = [
        Filter::HasMetric(metric("score")),
        Filter::HasMetric(metric("Score")),
        Filter::HasParam(param("depth")),
        Filter::HasTag(tag("team")),
        Filter::HasTag(tag("nowhere")),
        Filter::HasParent,
        Filter::HasEnded,
        Filter::Param(param("depth"), Match::NotIn(vec![])),
        Filter::Param(param("depth"), Match::differs_from("6")),
        Filter::Tag(tag("team"), Match::NotIn(vec!["risk".to_owned(), String::new()])),
        Filter::Tag(tag("nowhere"), Match::differs_from("6")),
        Filter::Name(Match::differs_from("one")),
        Filter::Actor(Match::differs_from("ann")),
        Filter::Parent(parent),
    ];
    answers_as_defined(under, &filters, &[]).await;
    let [_, _, _, team, _, has_parent, has_ended, ..] = filters;
    assert_eq!(named(under, negated(&team)).await, ["child", "three", "tie"]);
    assert_eq!(named(under, has_parent).await, ["child"]);
    assert_eq!(named(under, has_ended).await, ["inf", "one", "tie", "two"]);
    let differs = Filter::Param(param("depth"), Match::differs_from("6"));
    assert_eq!(named(under, differs).await.last().map(String::as_str), Some("two"));
}

/// Runs are found by their ids, and by how long they took.
pub async fn search_knows_ids_and_durations(under: &TrackerUnderTest) {
    if !under.promised.full_filters {
        return skipped("not all filters are understood here");
    }
    let ids = varied(under).await;
    let [one, two] = [&ids[0], &ids[1]].map(|id| id.as_str().to_owned());
    let mut filters = vec![
        Filter::Id(Match::Equals(one.clone())),
        Filter::Id(Match::Equals(one.to_uppercase())),
        Filter::Id(Match::In(vec![one.clone(), two.clone(), "nobody".to_owned()])),
        Filter::Id(Match::NotIn(vec![one.clone(), two.clone()])),
        Filter::Id(Match::StartsWith(one[..9].to_owned())),
        Filter::Id(Match::Like(format!("%{}", &two[20..]))),
        Filter::Id(Match::ILike(two.to_uppercase())),
    ];
    for comparison in COMPARISONS {
        for took in [Duration::ZERO, Duration::from_secs(10), Duration::from_micros(9_999_999), Duration::MAX]
        {
            filters.push(Filter::Took(comparison, took));
        }
        // Durations are compared in whole microseconds.
        filters.push(Filter::Took(comparison, Duration::from_secs(10) + Duration::from_nanos(999)));
    }
    answers_as_defined(under, &filters, &[OrderBy::ascending(Field::Took), OrderBy::descending(Field::Id)])
        .await;
    assert_eq!(named(under, Filter::Id(Match::In(vec![one, two]))).await, ["one", "two"]);
    assert_eq!(named(under, Filter::Took(Comparison::AtMost, Duration::from_secs(10))).await, ["one", "tie"]);
    assert_eq!(
        named(under, Filter::Took(Comparison::Greater, Duration::from_secs(10))).await,
        ["inf", "two"]
    );
}

/// Runs are found and ordered by the least, the greatest and the number of a metric's values.
pub async fn search_knows_whole_histories(under: &TrackerUnderTest) {
    if !under.promised.full_filters {
        return skipped("not all filters are understood here");
    }
    varied(under).await;
    if !under.promised.summaries {
        let field = Field::MetricStat(metric("score"), MetricStat::Max);
        let (stat, comparison, value) = (MetricStat::Max, Comparison::Equal, 99.0);
        let filter = negated(&Filter::MetricStat { key: metric("score"), stat, comparison, value });
        let queries = [
            RunQuery::everywhere().with_order(OrderBy::ascending(field)),
            RunQuery::everywhere().with_filter(filter),
        ];
        for query in queries {
            assert_eq!(kind(under.tracker.search_runs(&query).await), ErrorKind::Unsupported);
        }
        return skipped("summaries are those of the last point here; that the search says so was checked");
    }
    let mut filters = Vec::new();
    let mut orders = Vec::new();
    for stat in [MetricStat::Min, MetricStat::Max, MetricStat::Count] {
        for key in ["score", "nowhere"] {
            for comparison in COMPARISONS {
                for value in [0.0, 1.0, 2.0, 99.0, f64::INFINITY, f64::NAN] {
                    filters.push(Filter::MetricStat { key: metric(key), stat, comparison, value });
                }
            }
            let field = Field::MetricStat(metric(key), stat);
            orders.extend([OrderBy::ascending(field.clone()), OrderBy::descending(field)]);
        }
    }
    answers_as_defined(under, &filters, &orders).await;
    let best = |stat, comparison, value| Filter::MetricStat { key: metric("score"), stat, comparison, value };
    assert_eq!(named(under, best(MetricStat::Min, Comparison::Less, 0.0)).await, ["three"]);
    let max = named(under, best(MetricStat::Max, Comparison::Equal, 99.0)).await;
    assert!(max.iter().any(|name| name == "one") && !max.iter().any(|name| name == "inf"), "{max:?}");
    assert_eq!(named(under, best(MetricStat::Count, Comparison::NotEqual, 2.0)).await, [""; 0]);
}

/// Runs are found by what went in: one input meets all that is asked of it, two filters may be met by two.
pub async fn search_knows_inputs(under: &TrackerUnderTest) {
    if !under.promised.full_filters {
        return skipped("not all filters are understood here");
    }
    let second =
        |asset: &str, role: &str| DataInput { version: Version::FIRST.next().unwrap(), ..input(asset, role) };
    for (name, inputs) in [
        ("both", vec![input("patients", "training"), input("holdout", "test")]),
        ("swapped", vec![input("patients", "test"), input("holdout", "training")]),
        ("newer", vec![second("patients", "training")]),
        ("other", vec![input("Patients", "")]),
        ("none", vec![]),
    ] {
        let run = under.start(name).await;
        let batch = LogBatch { inputs, ..LogBatch::new() };
        under.tracker.write(&run, &batch).await.unwrap();
    }
    let asset = |name: &str| InputMatch::default().with_asset(Match::Equals(name.to_owned()));
    let digest = Digest::of(b"holdout").hex();
    let asked = [
        InputMatch::default(),
        asset("patients"),
        asset("patients").with_version(Version::FIRST),
        asset("patients").with_role(Match::Equals("training".to_owned())),
        asset("patients").with_role(Match::differs_from("training")),
        InputMatch::default().with_asset(Match::differs_from("patients")),
        InputMatch::default().with_asset(Match::ILike("PATIENTS".to_owned())),
        InputMatch::default().with_asset(Match::NotIn(vec!["patients".to_owned(), "holdout".to_owned()])),
        InputMatch::default().with_digest(Match::Equals(digest.clone())),
        InputMatch::default().with_digest(Match::StartsWith(digest[..10].to_owned())),
        InputMatch::default().with_digest(Match::Equals(format!("sha256:{digest}"))),
        InputMatch::default().with_role(Match::Like("t%".to_owned())),
        InputMatch::default().with_role(Match::Equals(String::new())).with_version(Version::FIRST),
    ];
    let mut filters: Vec<Filter> = asked.iter().cloned().map(Filter::AnyInput).collect();
    filters.push(Filter::Input(AssetName::new("patients").unwrap()));
    answers_as_defined(under, &filters, &[]).await;
    let trained = asset("patients").with_role(Match::Equals("training".to_owned()));
    assert_eq!(named(under, Filter::AnyInput(trained)).await, ["both", "newer"]);
    let apart = vec![
        Filter::AnyInput(asset("patients")),
        Filter::AnyInput(InputMatch::default().with_role(Match::Equals("training".to_owned()))),
    ];
    assert_eq!(named(under, Filter::And(apart)).await, ["both", "newer", "swapped"]);
    let differs = Filter::AnyInput(InputMatch::default().with_asset(Match::differs_from("patients")));
    assert_eq!(named(under, differs).await, ["both", "other", "swapped"]);
}

/// Every field orders, in both directions; runs without it come last, and ties are broken by the id, newest first.
pub async fn search_orders_by_every_field(under: &TrackerUnderTest) {
    varied(under).await;
    let fields = [
        Field::Started,
        Field::Ended,
        Field::Took,
        Field::Name,
        Field::Id,
        Field::Actor,
        Field::Status,
        Field::Tag(tag("team")),
        Field::Param(param("depth")),
        Field::Metric(metric("score")),
        Field::MetricStat(metric("score"), MetricStat::Min),
        Field::MetricStat(metric("score"), MetricStat::Max),
    ];
    let summaries = under.promised.summaries;
    for field in fields.into_iter().filter(|f| summaries || !matches!(f, Field::MetricStat(..))) {
        for order in [OrderBy::ascending(field.clone()), OrderBy::descending(field.clone())] {
            answers_as_defined(under, &[Filter::And(vec![])], &[order]).await;
        }
    }
    let by = |field| RunQuery::everywhere().with_order(OrderBy::ascending(field));
    assert_eq!(
        under.found(&by(Field::Status)).await,
        ["two", "tie", "one", "inf", "zero", "none", "nan", "three"]
    );
    assert_eq!(under.found(&by(Field::Took)).await[..4], ["tie", "one", "two", "inf"]);
    let teams = under.found(&by(Field::Tag(tag("team")))).await;
    assert_eq!(teams, ["nan", "two", "zero", "none", "one", "inf", "tie", "three"]);
}

/// A search sees active runs, deleted ones, or both.
pub async fn search_sees_deleted_runs_when_asked(under: &TrackerUnderTest) {
    let (kept, gone) = (under.start("kept").await, under.start("gone").await);
    under.tracker.set_deleted(&gone, true).await.unwrap();
    for (view, expected) in [
        (View::Active, vec![kept.clone()]),
        (View::Deleted, vec![gone.clone()]),
        (View::All, vec![gone, kept]),
    ] {
        let got = under.search(&RunQuery::everywhere().with_view(view)).await;
        let mut got: Vec<_> = got.into_iter().map(|run| run.id).collect();
        let mut expected = expected;
        got.sort();
        expected.sort();
        assert_eq!(got, expected, "{view:?}");
    }
}

/// A filter nested beyond the limit is refused; one at the limit is answered.
pub async fn filters_nested_too_deep_are_refused(under: &TrackerUnderTest) {
    under.start("one").await;
    let nested = |depth| (1..depth).fold(Filter::And(vec![]), |f, _| Filter::And(vec![f]));
    let at_limit = RunQuery::everywhere().with_filter(nested(Filter::MAX_DEPTH));
    assert_eq!(under.found(&at_limit).await, ["one"]);
    for depth in [Filter::MAX_DEPTH + 1, 10_000] {
        let query = RunQuery::everywhere().with_filter(nested(depth));
        assert_eq!(kind(under.tracker.search_runs(&query).await), ErrorKind::LimitExceeded);
    }
}

/// A filter of more comparisons, texts or longer patterns than the limits is refused; one at the limits is answered.
pub async fn filters_that_say_too_much_are_refused(under: &TrackerUnderTest) {
    if !under.promised.full_filters {
        return skipped("not all filters are understood here");
    }
    under.start("one").await;
    let comparisons = |n: usize| Filter::And(vec![Filter::Name(Match::Equals("one".to_owned())); n]);
    let any = |n: usize| Filter::Or(vec![Filter::Tag(tag("k"), Match::Equals("one".to_owned())); n]);
    let texts =
        |n: usize| Filter::Name(Match::In((1..n).map(|i| i.to_string()).chain(["one".to_owned()]).collect()));
    let pattern = |n: usize| Filter::Name(Match::Like("%".repeat(n)));
    for (filter, limit, found) in [
        (&comparisons as &(dyn Fn(usize) -> Filter + Sync), Filter::MAX_COMPARISONS, &["one"][..]),
        (&any, Filter::MAX_COMPARISONS, &[]),
        (&texts, Filter::MAX_TEXTS, &["one"]),
        (&pattern, Match::MAX_PATTERN, &["one"]),
    ] {
        assert_eq!(named(under, filter(limit)).await, found);
        let query = RunQuery::everywhere().with_filter(filter(limit + 1));
        assert_eq!(kind(under.tracker.search_runs(&query).await), ErrorKind::LimitExceeded);
    }
}

/// A reader of pages sees every run that was there when it began exactly once, while others log, end and start runs.
pub async fn paging_is_complete_under_writes(under: &TrackerUnderTest) {
    let mut old = Vec::new();
    for i in 0..9 {
        old.push(under.start(&i.to_string()).await);
    }
    let seen = read_all(
        2,
        async |page| under.tracker.search_runs(&RunQuery::everywhere().with_page(page)).await,
        async |i| {
            let new = under.start(&format!("new {i}")).await;
            under.tracker.finish_run(&old[i % old.len()], &RunEnd::FINISHED).await.unwrap();
            under.tracker.write(&new, &LogBatch::new().metric(point("m", 1.0, 0))).await.unwrap();
        },
    )
    .await;
    for id in old {
        assert_eq!(seen.iter().filter(|run| run.id == id).count(), 1);
    }
}

/// Also when what the runs are ordered by changes while the pages are read.
pub async fn paging_holds_while_the_order_moves(under: &TrackerUnderTest) {
    let mut runs = Vec::new();
    for i in 0..8 {
        runs.push(under.scored(&i.to_string(), f64::from(i)).await);
    }
    let query = RunQuery::everywhere().with_order(OrderBy::descending(Field::Metric(metric("score"))));
    let seen = read_all(
        3,
        async |page| under.tracker.search_runs(&query.clone().with_page(page)).await,
        async |i| {
            // What was read moves behind, what was not moves before the reader.
            for (value, run) in (0..).map(f64::from).zip(runs[1..].iter().rev()) {
                let step = i64::try_from(i).unwrap() + 1;
                let batch = LogBatch::new().metric(point("score", 100.0 + value, step));
                under.tracker.write(run, &batch).await.unwrap();
            }
            if i == 0 {
                under.tracker.set_deleted(&runs[0], true).await.unwrap();
            }
        },
    )
    .await;
    let names: Vec<_> = seen.iter().map(|run| run.name.as_str()).collect();
    assert_eq!(
        names,
        ["7", "6", "5", "4", "3", "2", "1"],
        "in their order when it began; the deleted one is gone"
    );
}

/// A token of another query, or of another method, is refused.
pub async fn tokens_belong_to_their_query(under: &TrackerUnderTest) {
    let run = under.scored("one", 1.0).await;
    under.scored("two", 2.0).await;
    under.ensure("other").await;
    under.tracker.write(&run, &LogBatch::new().metric(point("score", 2.0, 1))).await.unwrap();
    let query = RunQuery::everywhere().with_page(PageRequest::first(1));
    let page = under.tracker.search_runs(&query).await.unwrap();
    let next = query.page.after(&page).unwrap();
    let descending = OrderBy::descending(Field::Name);
    for other in [
        query.clone().with_order(descending),
        query.clone().with_view(View::All),
        query.clone().with_filter(Filter::Name(Match::Contains(String::new()))),
        RunQuery::new(ExperimentName::new("suite").unwrap()),
    ] {
        let result = under.tracker.search_runs(&other.with_page(next.clone())).await;
        assert_eq!(kind(result), ErrorKind::InvalidInput);
    }
    assert_eq!(kind(under.tracker.experiments(&next).await), ErrorKind::InvalidInput);
    let history = HistoryQuery::new(metric("score")).with_page(next.clone());
    assert_eq!(kind(under.tracker.history(&run, &history).await), ErrorKind::InvalidInput);
    for _ in 0..2 {
        let page = under.tracker.search_runs(&query.clone().with_page(next.clone())).await.unwrap();
        assert_eq!(page.items.len(), 1, "the token is still good, and a page can be read again");
    }
}

/// Limits of nobody and forged tokens are refused by every list.
pub async fn bad_pages_are_refused(under: &TrackerUnderTest) {
    let run = under.scored("one", 1.0).await;
    refuses_bad_pages(async |page| under.tracker.experiments(&page).await).await;
    refuses_bad_pages(async |page| under.tracker.search_runs(&RunQuery::everywhere().with_page(page)).await)
        .await;
    let history =
        async |page| under.tracker.history(&run, &HistoryQuery::new(metric("score")).with_page(page)).await;
    refuses_bad_pages(history).await;
}

/// Points come by step, then time, then order of logging; equal places keep the order of logging over batches.
pub async fn history_is_ordered(under: &TrackerUnderTest) {
    let run = under.start("ordered").await;
    let later = |value, step| MetricPoint { at: at("2026-01-02T00:00:00Z"), ..point("m", value, step) };
    let batch = LogBatch::new()
        .metric(later(6.0, 2))
        .metric(point("m", 3.0, 2))
        .metric(point("m", 1.0, -1))
        .metric(point("other", 0.0, 0));
    under.tracker.write(&run, &batch).await.unwrap();
    let batch = LogBatch::new().metric(point("m", 5.0, 2)).metric(point("m", 4.0, 2)).metric(later(2.0, 1));
    under.tracker.write(&run, &batch).await.unwrap();
    assert_eq!(values(&under.history(&run, "m").await), [1.0, 2.0, 3.0, 5.0, 4.0, 6.0]);
    assert!(under.history(&run, "never logged").await.is_empty());
}

/// A window has its first and last step; one that ends before it begins is refused.
pub async fn history_has_windows(under: &TrackerUnderTest) {
    let run = under.start("windows").await;
    let metrics = (-5..=5).map(|step| point("m", step as f64, step)).collect();
    under.tracker.write(&run, &LogBatch { metrics, ..LogBatch::new() }).await.unwrap();
    for (from_step, to_step, expected) in [(-2, 1, 4), (5, 5, 1), (6, i64::MAX, 0), (i64::MIN, i64::MAX, 11)]
    {
        for limit in [1, 4, 100] {
            let query = HistoryQuery { from_step, to_step, ..HistoryQuery::new(metric("m")) };
            let list = async |page| under.tracker.history(&run, &query.clone().with_page(page)).await;
            let points = read_quietly(limit, list).await;
            assert_eq!(points.len(), expected, "{from_step}..={to_step}");
            assert!(points.iter().all(|p| (from_step..=to_step).contains(&p.step)));
        }
    }
    let backwards = HistoryQuery { from_step: 1, to_step: 0, ..HistoryQuery::new(metric("m")) };
    assert_eq!(kind(under.tracker.history(&run, &backwards).await), ErrorKind::InvalidInput);
}

/// A reader of a history sees every point that was there when it began exactly once, while others log around it.
pub async fn history_is_complete_under_writes(under: &TrackerUnderTest) {
    let run = under.start("read").await;
    // Many points at one step and time, so that a page ends among them.
    let old: Vec<_> = (0..20).map(|i| point("m", f64::from(i), i64::from(i / 7))).collect();
    under.tracker.write(&run, &LogBatch { metrics: old.clone(), ..LogBatch::new() }).await.unwrap();
    let seen = read_all(
        3,
        async |page| under.tracker.history(&run, &HistoryQuery::new(metric("m")).with_page(page)).await,
        async |i| {
            let value = 1000.0 + i as f64;
            let batch = (0..3).fold(LogBatch::new(), |b, step| b.metric(point("m", value, step)));
            under.tracker.write(&run, &batch).await.unwrap();
        },
    )
    .await;
    assert_eq!(seen.into_iter().filter(|p| p.value < 1000.0).collect::<Vec<_>>(), old);
}

/// A deleted run can be read, refuses every write, and comes back as it was.
pub async fn deleted_runs_can_be_restored(under: &TrackerUnderTest) {
    let run = under.scored("deleted", 1.0).await;
    let before = under.run(&run).await;
    for _ in 0..2 {
        assert!(under.tracker.set_deleted(&run, true).await.unwrap().deleted);
    }
    assert!(under.found(&RunQuery::everywhere()).await.is_empty());
    assert_eq!(under.run(&run).await, Run { deleted: true, ..before.clone() });
    assert_eq!(under.history(&run, "score").await.len(), 1);
    let write = under.tracker.write(&run, &LogBatch::new().metric(point("score", 2.0, 2))).await;
    assert_eq!(kind(write), ErrorKind::Conflict);
    assert_eq!(kind(under.tracker.finish_run(&run, &RunEnd::FINISHED).await), ErrorKind::Conflict);
    assert_eq!(under.tracker.set_deleted(&run, false).await.unwrap(), before);
    under.tracker.write(&run, &LogBatch::new().metric(point("score", 2.0, 2))).await.unwrap();
    assert_eq!(under.found(&RunQuery::everywhere()).await, ["deleted"]);
}

/// Names, parameters, tags, roles and keys of any script come back as they went.
pub async fn unicode_is_kept_exactly(under: &TrackerUnderTest) {
    for text in TEXTS {
        let mut spec = under.spec(text).await;
        spec.tags = hostile_tags();
        spec.actor = ActorId::new("jos\u{65}\u{301} 家族").unwrap();
        spec.capsule.seeds.insert((*text).to_owned(), 1);
        under.tracker.start_run(&spec).await.unwrap();
        let batch = LogBatch::new()
            .param(param("größe/標籤"), text)
            .metric(point("метка: a.b/c", 1.0, 0))
            .input(input("patients", text))
            .artifact(link("模型/'a;b' 100%.bin", text));
        under.tracker.write(&spec.id, &batch).await.unwrap();
        let run = under.run(&spec.id).await;
        assert_eq!((&run.name, &run.tags, &run.actor), (&spec.name, &spec.tags, &spec.actor));
        assert_eq!((run.capsule, run.params), (spec.capsule, batch.params), "{text:?}");
        assert_eq!((run.inputs, run.artifacts), (batch.inputs, batch.artifacts), "{text:?}");
        assert_eq!(under.history(&spec.id, "метка: a.b/c").await, batch.metrics);
    }
}

/// Keys that differ in case, or only in how an accent is written, are two keys.
pub async fn names_that_differ_in_case_are_two(under: &TrackerUnderTest) {
    let run = under.start("twins").await;
    let keys = ["loss", "Loss", "straße", "strasse", "ı", "i"];
    for (value, key) in (0..).map(f64::from).zip(keys) {
        let batch = LogBatch::new().metric(point(key, value, 0)).param(param(key), value).tag(tag(key), key);
        under.tracker.write(&run, &batch).await.unwrap();
    }
    let kept = under.run(&run).await;
    assert_eq!((kept.metrics.len(), kept.params.len(), kept.tags.len()), (6, 6, 6));
    for (value, key) in (0..).map(f64::from).zip(keys) {
        assert_eq!(values(&under.history(&run, key).await), [value], "{key}");
    }
    let (lower, upper) = (under.ensure("twin").await, under.ensure("TWIN").await);
    let spec = RunSpec::new(upper.clone(), "r", actor());
    under.tracker.start_run(&spec).await.unwrap();
    assert!(under.found(&RunQuery::new(lower)).await.is_empty());
    assert_eq!(under.found(&RunQuery::new(upper)).await, ["r"]);
}

/// Many tasks log to one run at once; every point, parameter, tag and file is there.
pub async fn concurrent_logging_loses_nothing(under: &TrackerUnderTest) {
    const EACH: i64 = 50;
    let run = under.start("busy").await;
    let new = race(RACERS, |i| {
        let (tracker, run) = (under.tracker.clone(), run.clone());
        async move {
            let mut new = 0;
            for step in 0..EACH {
                let batch =
                    LogBatch::new().metric(point("shared", i as f64, step)).metric(point("same", 1.0, step));
                new += tracker.write(&run, &batch).await.unwrap().new_points;
            }
            let batch = LogBatch::new()
                .param(param(&format!("p{i}")), i)
                .tag(tag(&format!("t{i}")), i.to_string())
                .input(input(&format!("d{i}"), "training"))
                .artifact(link(&format!("f{i}"), &i.to_string()));
            tracker.write(&run, &batch).await.unwrap();
            new
        }
    })
    .await;
    let racers = RACERS as u64;
    assert_eq!(new.iter().sum::<u64>(), (racers + 1) * EACH.unsigned_abs(), "a shared point is new once");
    let kept = under.run(&run).await;
    assert_eq!((kept.params.len(), kept.tags.len()), (RACERS, RACERS));
    assert_eq!((kept.inputs.len(), kept.artifacts.len()), (RACERS, RACERS));
    if under.promised.summaries {
        assert_eq!(kept.metrics[&metric("shared")].count, racers * EACH.unsigned_abs());
    }
    let history = under.history(&run, "shared").await;
    let distinct: BTreeSet<_> = history.iter().map(|p| (p.step, p.value.to_bits())).collect();
    assert_eq!((distinct.len(), history.len()), (RACERS * 50, RACERS * 50));
    assert!(history.iter().map(|p| p.step).is_sorted());
}

/// Whatever fails leaves the tracker with what it had.
pub async fn failed_calls_change_nothing(under: &TrackerUnderTest) {
    let run = under.scored("kept", 1.0).await;
    let spec = under.spec("kept").await;
    let ended = under.start("ended").await;
    under.tracker.finish_run(&ended, &RunEnd::FINISHED).await.unwrap();
    let before = under.everything().await;
    let missing = RunId::generate();
    let mut tagged = ExperimentSpec::new(ExperimentName::new("refused").unwrap());
    tagged.tags.insert(tag("long"), "x".repeat(MAX_TEXT + 1));
    assert!(under.tracker.ensure_experiment(&tagged).await.is_err());
    let long = RunSpec { name: "x".repeat(MAX_TEXT + 1), ..spec.clone() };
    assert!(under.tracker.start_run(&long).await.is_err());
    assert!(under.tracker.start_run(&spec.clone().with_parent(missing.clone())).await.is_err());
    assert!(
        under
            .tracker
            .start_run(&RunSpec { id: run.clone(), ..spec.clone() }.with_parent(ended.clone()))
            .await
            .is_err()
    );
    assert!(under.tracker.write(&missing, &LogBatch::new().param(param("p"), 1)).await.is_err());
    assert!(under.tracker.write(&ended, &LogBatch::new().param(param("p"), 1)).await.is_err());
    assert!(under.tracker.finish_run(&ended, &RunEnd::KILLED).await.is_err());
    assert!(under.tracker.finish_run(&run, &RunEnd { status: RunStatus::Running, at: None }).await.is_err());
    assert!(under.tracker.heartbeat(&run, Duration::ZERO).await.is_err());
    assert!(under.tracker.set_deleted(&missing, true).await.is_err());
    assert_eq!(under.everything().await, before);
}

/// What is not there is not found, by every method that names it.
pub async fn missing_is_not_found(under: &TrackerUnderTest) {
    let (tracker, run) = (&under.tracker, RunId::generate());
    assert_eq!(kind(tracker.run(&run).await), ErrorKind::NotFound);
    assert_eq!(kind(tracker.write(&run, &LogBatch::new()).await), ErrorKind::NotFound);
    assert_eq!(kind(tracker.finish_run(&run, &RunEnd::FINISHED).await), ErrorKind::NotFound);
    assert_eq!(kind(tracker.history(&run, &HistoryQuery::new(metric("m"))).await), ErrorKind::NotFound);
    assert_eq!(kind(tracker.set_deleted(&run, true).await), ErrorKind::NotFound);
    assert_eq!(kind(tracker.experiment(&ExperimentName::new("e").unwrap()).await), ErrorKind::NotFound);
    if under.promised.leases {
        assert_eq!(kind(tracker.heartbeat(&run, Duration::from_secs(1)).await), ErrorKind::NotFound);
    }
    assert!(under.found(&RunQuery::everywhere()).await.is_empty());
    assert!(tracker.experiments(&PageRequest::default()).await.unwrap().items.is_empty());
}

/// What is too much is refused with the limit and what was sent, in one batch and over many.
pub async fn limits_are_typed(under: &TrackerUnderTest) {
    let run = under.start("limits").await;
    let refused = async |batch: &LogBatch, limit: usize| {
        let error = fault(under.tracker.write(&run, batch).await);
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
        assert_eq!(error.context("limit"), Some(limit.to_string().as_str()));
        assert!(error.context("got").is_some());
    };
    refused(&LogBatch::new().param(param("p"), "é".repeat(MAX_TEXT + 1)), MAX_TEXT).await;
    refused(&LogBatch::new().tag(tag("t"), "x".repeat(10 << 20)), MAX_TEXT).await;
    refused(&LogBatch::new().input(input("a", &"x".repeat(MAX_TEXT + 1))), MAX_TEXT).await;
    let many = |range: std::ops::Range<usize>| LogBatch {
        params: range.clone().map(|i| (param(&i.to_string()), String::new())).collect(),
        tags: range.map(|i| (tag(&i.to_string()), String::new())).collect(),
        ..LogBatch::new()
    };
    refused(&many(0..MAX_ENTRIES + 1), MAX_ENTRIES).await;
    under.tracker.write(&run, &many(0..MAX_ENTRIES)).await.unwrap();
    under.tracker.write(&run, &many(0..MAX_ENTRIES)).await.unwrap();
    refused(&many(MAX_ENTRIES..MAX_ENTRIES + 1), MAX_ENTRIES).await;
    let kept = under.run(&run).await;
    assert_eq!((kept.params.len(), kept.tags.len()), (MAX_ENTRIES, MAX_ENTRIES));
}

/// A receipt without degradation means that everything reads back as it was sent.
pub async fn nothing_is_degraded_in_silence(under: &TrackerUnderTest) {
    let run = under.start("degraded").await;
    let batch = LogBatch::new()
        .metric(point("nan", f64::NAN, 0))
        .metric(point("inf", f64::INFINITY, i64::MAX))
        .metric(MetricPoint::new(metric("time"), 1.0, at("1601-01-01T00:00:00.000001Z")))
        .param(param("long"), "é".repeat(MAX_TEXT))
        .tag(tag("long"), "家".repeat(MAX_TEXT));
    let receipt = match under.tracker.write(&run, &batch).await {
        Ok(receipt) => receipt,
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::LimitExceeded), "{error}");
            assert_ne!(under.promised, TrackerCapabilities::FULL, "{error}");
            return;
        }
    };
    if under.promised == TrackerCapabilities::FULL {
        assert!(receipt.degraded.is_empty(), "{receipt:?}");
    }
    let spoilt = |subject: &str| receipt.degraded.iter().any(|d| d.subject.contains(subject));
    let kept = under.run(&run).await;
    assert!(kept.params == batch.params || spoilt("long"));
    assert!(kept.tags == batch.tags || spoilt("long"));
    for point in &batch.metrics {
        let key = point.key.as_str();
        assert!(under.history(&run, key).await == [point.clone()] || spoilt(key), "{key}");
    }
}
