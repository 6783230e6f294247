//! A spool around a tracker is a tracker, and loses and doubles nothing: whatever is lost on the way, and whoever is killed when.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::conformance::tracker::TrackerUnderTest;
use mlops_core::experiment::{
    ArtifactLink, DataInput, Experiment, ExperimentSpec, ExperimentTracker, ExperimentTrackerExt as _,
    HistoryQuery, LogBatch, MetricPoint, Run, RunEnd, RunQuery, RunSpec, RunStatus, TrackerCapabilities,
    WriteReceipt,
};
use mlops_core::local::LocalStore;
use mlops_core::memory::MemoryTracker;
use mlops_core::time::{ManualClock, Timestamp};
use mlops_core::wrap::{SpoolReport, Spooled, SpooledCall};
use mlops_core::{
    ActorId, AssetName, Error, ErrorKind, ExperimentName, IdempotencyKey, MetricKey, Page, PageRequest,
    ParamKey, Result, RunId, TagKey, Version,
};

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(start()))
}

// -------------------------------------------------------------------------------------------- a tracker behind a bad line

/// What happens to calls on their way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Line {
    Up,
    /// The request is lost.
    LosesRequests,
    /// What is asked is done, and the answer is lost.
    LosesAnswers,
    /// What is asked is done, and nobody knows.
    LeavesUnknown,
    /// What is asked is done, and no answer ever comes.
    Hangs,
    /// Only the first so many calls come through.
    UpFor(u64),
}

#[derive(Clone, Debug)]
struct Far<T> {
    inner: T,
    line: Arc<Mutex<Line>>,
    /// What came through, in order.
    seen: Arc<Mutex<Vec<&'static str>>>,
    hanging: Arc<AtomicBool>,
}

impl<T> Far<T> {
    fn new(inner: T) -> Self {
        let (seen, hanging) = (Arc::default(), Arc::default());
        Self { inner, line: Arc::new(Mutex::new(Line::Up)), seen, hanging }
    }

    fn set(&self, line: Line) {
        *self.line.lock().unwrap() = line;
    }

    fn line(&self) -> Line {
        let mut line = self.line.lock().unwrap();
        match *line {
            Line::UpFor(0) => *line = Line::LosesRequests,
            Line::UpFor(n) => *line = Line::UpFor(n - 1),
            _ => {}
        }
        *line
    }

    async fn call<A>(&self, name: &'static str, work: impl Future<Output = Result<A>>) -> Result<A> {
        let line = self.line();
        if line == Line::LosesRequests {
            return Err(Error::new(ErrorKind::Transport, "Far", "the request was lost"));
        }
        let answer = work.await;
        self.seen.lock().unwrap().push(name);
        match line {
            Line::Hangs => {
                self.hanging.store(true, Ordering::SeqCst);
                std::future::pending().await
            }
            Line::LosesAnswers => Err(Error::new(ErrorKind::Timeout, "Far", "the answer was lost")),
            Line::LeavesUnknown => Err(Error::new(ErrorKind::UnknownOutcome, "Far", "nobody knows")),
            _ => answer,
        }
    }
}

macro_rules! far {
    ($( fn $name:ident($($argument:ident: $type:ty),*) -> $answer:ty; )*) => {
        #[async_trait]
        impl<T: ExperimentTracker> ExperimentTracker for Far<T> {
            fn capabilities(&self) -> TrackerCapabilities {
                self.inner.capabilities()
            }

            $(async fn $name(&self, $($argument: $type),*) -> Result<$answer> {
                self.call(stringify!($name), self.inner.$name($($argument),*)).await
            })*
        }
    };
}

far! {
    fn ensure_experiment(spec: &ExperimentSpec) -> Experiment;
    fn experiment(name: &ExperimentName) -> Experiment;
    fn experiments(page: &PageRequest) -> Page<Experiment>;
    fn start_run(spec: &RunSpec) -> Run;
    fn write(run: &RunId, batch: &LogBatch) -> WriteReceipt;
    fn heartbeat(run: &RunId, lease: Duration) -> ();
    fn finish_run(run: &RunId, end: &RunEnd) -> Run;
    fn run(run: &RunId) -> Run;
    fn search_runs(query: &RunQuery) -> Page<Run>;
    fn history(run: &RunId, query: &HistoryQuery) -> Page<MetricPoint>;
    fn set_deleted(run: &RunId, deleted: bool) -> Run;
}

type FarMemory = Far<Arc<MemoryTracker>>;

fn far(clock: &Arc<ManualClock>) -> FarMemory {
    Far::new(Arc::new(MemoryTracker::new(clock.clone())))
}

fn spooled<T: ExperimentTracker>(inner: T, folder: &Path) -> Spooled<T> {
    Spooled::open(inner, folder, clock()).unwrap()
}

// --------------------------------------------------------------------------------------------------------------- the suite

fn online() -> TrackerUnderTest {
    let clock = clock();
    // The spool has its file open; the folder may go.
    let folder = tempfile::tempdir().unwrap();
    let tracker = Spooled::open(MemoryTracker::new(clock.clone()), folder.path(), clock.clone()).unwrap();
    TrackerUnderTest::new(Arc::new(tracker)).with_clock(clock)
}

mlops_core::experiment_tracker_suite!(online, online());

// ------------------------------------------------------------------------------------------------------------- a training

fn name() -> ExperimentName {
    ExperimentName::new("diabetes").unwrap()
}

fn spec(id: u128) -> RunSpec {
    let id = RunId::new(uuid_text(id)).unwrap();
    RunSpec { id, ..RunSpec::new(name(), format!("run {id}", id = 1), ActorId::new("trainer").unwrap()) }
}

fn uuid_text(id: u128) -> String {
    format!("{id:032x}")
}

fn point(key: &str, value: f64, step: i64) -> MetricPoint {
    MetricPoint::new(MetricKey::new(key).unwrap(), value, start()).with_step(step)
}

/// What a training does, call by call: values that JSON has no number for, data, files, tags that change, a run in a run.
fn training() -> Vec<SpooledCall> {
    let (parent, mut child) = (spec(1), spec(2));
    child.parent = Some(parent.id.clone());
    let (run, part) = (parent.id.clone(), child.id.clone());
    let digest = mlops_core::Digest::of(b"rows");
    let input = DataInput {
        asset: AssetName::new("patients").unwrap(),
        version: Version::FIRST,
        digest,
        role: "training".to_owned(),
    };
    let link = ArtifactLink { path: "model.bin".parse().unwrap(), digest, size: 4 };
    let tag = |value: &str| LogBatch::new().tag(TagKey::new("state").unwrap(), value);
    let mut calls = vec![
        SpooledCall::EnsureExperiment(ExperimentSpec::new(name())),
        SpooledCall::StartRun(parent.with_tag(TagKey::new("état").unwrap(), "早い")),
        SpooledCall::Write {
            run: run.clone(),
            batch: LogBatch::new().param(ParamKey::new("depth").unwrap(), 6).input(input),
        },
        SpooledCall::StartRun(child),
    ];
    for (step, value) in [0.1, f64::NAN, -0.0, f64::INFINITY, f64::MIN_POSITIVE / 3.0, f64::NEG_INFINITY]
        .into_iter()
        .enumerate()
    {
        let step = i64::try_from(step).unwrap();
        let batch = LogBatch::new().metric(point("loss", value, step)).metric(point("loss", value, -step));
        calls.push(SpooledCall::Write { run: run.clone(), batch });
    }
    calls.extend([
        SpooledCall::Write { run: run.clone(), batch: tag("late") },
        SpooledCall::Write { run: part.clone(), batch: LogBatch::new().metric(point("loss", 0.5, i64::MAX)) },
        SpooledCall::FinishRun { run: part.clone(), end: RunEnd::FAILED },
        SpooledCall::SetDeleted { run: part, deleted: true },
        SpooledCall::Write { run: run.clone(), batch: tag("done").artifact(link) },
        SpooledCall::FinishRun { run, end: RunEnd::FINISHED },
    ]);
    calls
}

async fn make(tracker: &dyn ExperimentTracker, call: &SpooledCall) -> Result<()> {
    match call {
        SpooledCall::EnsureExperiment(spec) => tracker.ensure_experiment(spec).await.map(drop),
        SpooledCall::StartRun(spec) => tracker.start_run(spec).await.map(drop),
        SpooledCall::Write { run, batch } => tracker.write(run, batch).await.map(drop),
        SpooledCall::FinishRun { run, end } => tracker.finish_run(run, end).await.map(drop),
        SpooledCall::SetDeleted { run, deleted } => tracker.set_deleted(run, *deleted).await.map(drop),
        other => panic!("{other:?}"),
    }
}

async fn train(tracker: &dyn ExperimentTracker, calls: &[SpooledCall]) {
    for call in calls {
        make(tracker, call).await.unwrap();
    }
}

/// Everything that a tracker holds.
type Held = (Vec<Experiment>, Vec<(Run, BTreeMap<String, Vec<MetricPoint>>)>);

async fn held(tracker: &dyn ExperimentTracker) -> Held {
    let experiments = tracker.experiments(&PageRequest::first(100)).await.unwrap().items;
    let mut runs = Vec::new();
    for id in [1, 2, 3] {
        let id = spec(id).id;
        let run = match tracker.run(&id).await {
            Ok(run) => run,
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => panic!("{e}"),
        };
        let mut histories = BTreeMap::new();
        for key in run.metrics.keys() {
            histories.insert(key.to_string(), tracker.full_history(&id, key).await.unwrap());
        }
        runs.push((run, histories));
    }
    (experiments, runs)
}

/// What a tracker holds that was never out of reach.
async fn never_interrupted(calls: &[SpooledCall]) -> Held {
    let tracker = MemoryTracker::new(clock());
    train(&tracker, calls).await;
    held(&tracker).await
}

fn all_sent(report: &SpoolReport, sent: usize) {
    assert_eq!((report.sent, report.waiting), (sent as u64, 0), "{report:?}");
    assert!(report.stopped.is_none() && report.rejected.is_empty(), "{report:?}");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_training_that_was_cut_off_arrives_as_if_it_had_not_been() {
    let calls = training();
    let expected = never_interrupted(&calls).await;
    for line in [Line::LosesRequests, Line::LosesAnswers, Line::LeavesUnknown] {
        let (folder, far) = (tempfile::tempdir().unwrap(), far(&clock()));
        far.set(line);
        let tracker = spooled(far.clone(), folder.path());
        train(&tracker, &calls).await;
        assert_eq!(tracker.waiting(), calls.len() as u64);
        far.set(Line::Up);
        all_sent(&tracker.replay().await.unwrap(), calls.len());
        assert_eq!(held(&far.inner).await, expected, "{line:?}");
        all_sent(&tracker.replay().await.unwrap(), 0);
        assert_eq!(held(&far.inner).await, expected, "{line:?}");
        drop(tracker);
        assert_eq!(files(folder.path()), Vec::<PathBuf>::new(), "nothing is left");
    }
}
