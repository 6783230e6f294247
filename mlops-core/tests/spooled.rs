//! A spool around a tracker is a tracker, and loses and doubles nothing: whatever is lost on the way, and whoever is killed when.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
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
    ActorId, AssetName, Error, ErrorKind, ExperimentName, MetricKey, Page, PageRequest, ParamKey, Result,
    RunId, TagKey, Version,
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
    /// So many calls come through, then this.
    Then(u64, &'static Line),
}

#[derive(Clone, Debug)]
struct Far<T> {
    inner: T,
    line: Arc<Mutex<Line>>,
    /// What came through, in order.
    seen: Arc<Mutex<Vec<&'static str>>>,
    hanging: Arc<tokio::sync::Notify>,
    /// Says on the standard output what was done.
    says: bool,
}

impl<T> Far<T> {
    fn new(inner: T) -> Self {
        let (seen, hanging) = (Arc::default(), Arc::default());
        Self { inner, line: Arc::new(Mutex::new(Line::Up)), seen, hanging, says: false }
    }

    fn set(&self, line: Line) {
        *self.line.lock().unwrap() = line;
    }

    fn line(&self) -> Line {
        let mut line = self.line.lock().unwrap();
        match *line {
            Line::Then(0, next) => *line = *next,
            Line::Then(n, next) => {
                *line = Line::Then(n - 1, next);
                return Line::Up;
            }
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
        if self.says {
            say(name);
        }
        match line {
            Line::Hangs => {
                self.hanging.notify_one();
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
    RunSpec::new(name(), "a run", ActorId::new("trainer").unwrap()).with_id(id)
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
    let digest = mlops_core::hash::Digest::of(b"rows");
    let input = DataInput::new(AssetName::new("patients").unwrap(), Version::FIRST, digest, "training");
    let link = ArtifactLink::new("model.bin".parse().unwrap(), digest, 4);
    let tag = |value: &str| LogBatch::new().tag(TagKey::new("state").unwrap(), value);
    let mut calls = vec![
        SpooledCall::EnsureExperiment(ExperimentSpec::new(name())),
        SpooledCall::StartRun(Box::new(parent.with_tag(TagKey::new("état").unwrap(), "早い"))),
        SpooledCall::Write {
            run: run.clone(),
            batch: LogBatch::new().param(ParamKey::new("depth").unwrap(), 6).input(input),
        },
        SpooledCall::StartRun(Box::new(child)),
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

// --------------------------------------------------------------------------------------------------- killed in between

#[tokio::test]
async fn a_process_that_is_killed_while_it_logs_loses_nothing() {
    let calls = training();
    let expected = never_interrupted(&calls).await;
    for killed in 0..=calls.len() {
        let (folder, far) = (tempfile::tempdir().unwrap(), far(&clock()));
        far.set(Line::LosesRequests);
        let tracker = spooled(far.clone(), folder.path());
        train(&tracker, &calls[..killed]).await;
        drop(tracker);
        let tracker = spooled(far.clone(), folder.path());
        assert_eq!((tracker.waiting(), tracker.recovery().waiting), (killed as u64, killed as u64));
        assert!(tracker.recovery().damaged.is_empty());
        train(&tracker, &calls[killed..]).await;
        far.set(Line::Up);
        all_sent(&tracker.replay().await.unwrap(), calls.len());
        all_sent(&tracker.replay().await.unwrap(), 0);
        assert_eq!(held(&far.inner).await, expected, "killed after {killed}");
    }
}

#[tokio::test]
async fn a_replay_that_stops_anywhere_sends_everything_once() {
    let calls = training();
    let expected = never_interrupted(&calls).await;
    const LINES: [Line; 4] = [Line::LosesRequests, Line::LosesAnswers, Line::LeavesUnknown, Line::Hangs];
    for line in &LINES {
        for sent in 0..calls.len() {
            let (folder, far) = (tempfile::tempdir().unwrap(), far(&clock()));
            far.set(Line::LosesRequests);
            let tracker = spooled(far.clone(), folder.path());
            train(&tracker, &calls).await;
            far.set(Line::Then(sent as u64, line));
            if *line == Line::Hangs {
                // What is in flight was done and is never noted.
                tokio::select! {
                    report = tracker.replay() => panic!("{report:?}"),
                    () = far.hanging.notified() => {}
                }
            } else {
                let report = tracker.replay().await.unwrap();
                assert_eq!(report.sent, sent as u64);
                assert!(report.stopped.is_some() && report.rejected.is_empty());
            }
            assert_eq!(tracker.waiting(), (calls.len() - sent) as u64);
            drop(tracker);
            far.set(Line::Up);
            let tracker = spooled(far.clone(), folder.path());
            all_sent(&tracker.replay().await.unwrap(), calls.len() - sent);
            all_sent(&tracker.replay().await.unwrap(), 0);
            assert_eq!(held(&far.inner).await, expected, "{line:?} after {sent}");
        }
    }
}

#[tokio::test]
async fn a_spool_that_forgot_what_it_sent_changes_nothing() {
    let calls = training();
    let (bytes, expected, far) = (spool_of(&calls).await, never_interrupted(&calls).await, far(&clock()));
    for _ in 0..3 {
        // As after a power cut: the calls are there, what was noted of them is not.
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("0.spool"), &bytes).unwrap();
        all_sent(&spooled(far.clone(), folder.path()).replay().await.unwrap(), calls.len());
        assert_eq!(held(&far.inner).await, expected);
    }
}

/// One write for each line: what is heard was said as a whole.
fn say(what: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(format!("\nack {what}\n").as_bytes());
    let _ = out.flush();
}

/// What the child does: logs to a tracker that cannot be reached, or sends what waits to a store; then waits to be killed.
#[tokio::test]
async fn child() {
    let Some(folder) = std::env::var_os("MLOPS_SPOOLED_FOLDER").map(PathBuf::from) else { return };
    if let Some(store) = std::env::var_os("MLOPS_SPOOLED_STORE") {
        let store = LocalStore::open(Path::new(&store)).unwrap();
        let far = Far { says: true, ..Far::new(store.tracker()) };
        let tracker = spooled(far, &folder);
        all_sent(&tracker.replay().await.unwrap(), training().len());
    } else {
        let far = far(&clock());
        far.set(Line::LosesRequests);
        let tracker = spooled(far, &folder);
        for call in training() {
            make(&tracker, &call).await.unwrap();
            say(call.operation());
        }
        std::mem::forget(tracker);
    }
    say("end");
    std::thread::sleep(Duration::from_secs(600));
}

/// Runs [`child`], and kills it with SIGKILL after it said so many things.
fn run_and_kill(folder: &Path, store: Option<&Path>, after: usize) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["child", "--exact", "--nocapture"]).env("MLOPS_SPOOLED_FOLDER", folder);
    if let Some(store) = store {
        command.env("MLOPS_SPOOLED_STORE", store);
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(|line| line.ok());
    let heard = lines.by_ref().filter(|line| line.starts_with("ack ")).take(after).count();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(heard, after);
}

#[tokio::test]
async fn what_was_acknowledged_before_a_sigkill_arrives_once() {
    let calls = training();
    for after in 1..=calls.len() {
        let (folder, far) = (tempfile::tempdir().unwrap(), far(&clock()));
        run_and_kill(folder.path(), None, after);
        let tracker = spooled(far.clone(), folder.path());
        let waiting = usize::try_from(tracker.waiting()).unwrap();
        assert!((after..=calls.len()).contains(&waiting), "{waiting} after {after}");
        all_sent(&tracker.replay().await.unwrap(), waiting);
        all_sent(&tracker.replay().await.unwrap(), 0);
        assert_eq!(held(&far.inner).await, never_interrupted(&calls[..waiting]).await, "after {after}");
    }
}

#[tokio::test]
async fn a_sigkill_while_it_sends_doubles_nothing() {
    let calls = training();
    let expected = never_interrupted(&calls).await.1;
    for after in 1..=calls.len() {
        let (folder, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let down = far(&clock());
        down.set(Line::LosesRequests);
        train(&spooled(down, folder.path()), &calls).await;
        run_and_kill(folder.path(), Some(store.path()), after);
        let local = LocalStore::open(store.path()).unwrap();
        let tracker = spooled(local.tracker(), folder.path());
        assert!(tracker.waiting() <= (calls.len() - after + 1) as u64);
        for _ in 0..2 {
            let report = tracker.replay().await.unwrap();
            assert!(report.stopped.is_none() && report.rejected.is_empty() && report.waiting == 0);
            assert_eq!(held(&local.tracker()).await.1, expected, "after {after}");
        }
    }
}

// ------------------------------------------------------------------------------------------------------------- in order

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_keep_their_order_while_others_are_sent() {
    let (folder, far) = (tempfile::tempdir().unwrap(), far(&clock()));
    let tracker = Arc::new(spooled(far.clone(), folder.path()));
    train(&*tracker, &training()[..2]).await;
    let run = spec(1).id;
    far.set(Line::LosesRequests);
    // At the same step and time: a history has them in the order of logging.
    for n in 0..30 {
        tracker.write(&run, &LogBatch::new().metric(point("n", f64::from(n), 0))).await.unwrap();
    }
    far.set(Line::Up);
    let sender = tracker.clone();
    let sending = tokio::spawn(async move { sender.replay().await.unwrap() });
    for n in 30..90 {
        tracker.write(&run, &LogBatch::new().metric(point("n", f64::from(n), 0))).await.unwrap();
    }
    sending.await.unwrap();
    tracker.replay().await.unwrap();
    let points = far.inner.full_history(&run, &MetricKey::new("n").unwrap()).await.unwrap();
    let values: Vec<_> = points.into_iter().map(|point| point.value).collect();
    assert_eq!(values, (0..90).map(f64::from).collect::<Vec<_>>());
}

// ------------------------------------------------------------------------------------------------- what is answered offline

#[tokio::test]
async fn answers_from_the_spool_are_those_of_a_tracker() {
    let (folder, far) = (tempfile::tempdir().unwrap(), far(&clock()));
    far.set(Line::LosesRequests);
    let tracker = spooled(far.clone(), folder.path());
    let made = tracker.ensure_experiment(&ExperimentSpec::new(name())).await.unwrap();
    assert_eq!((made.name, made.created_at), (name(), start()));
    let (one, run) = (spec(1), spec(1).id);
    let started = tracker.start_run(&one).await.unwrap();
    assert_eq!((started.status, started.started_at), (RunStatus::Running, start()));
    let waiting = tracker.waiting();
    assert_eq!(tracker.start_run(&one).await.unwrap(), started, "the same run");
    let mut other = one;
    other.name = "another".to_owned();
    assert_eq!(tracker.start_run(&other).await.unwrap_err().context("field"), Some("name"));
    assert_eq!(tracker.waiting(), waiting);

    let batch = LogBatch::new().metric(point("loss", 0.5, 1)).param(ParamKey::new("depth").unwrap(), 6);
    let receipt = tracker.write(&run, &batch).await.unwrap();
    assert_eq!((receipt.new_points, receipt.degraded.len()), (1, 1));
    let bad = RunEnd::new(RunStatus::Running);
    assert_eq!(tracker.finish_run(&run, &bad).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    let ended = tracker.finish_run(&run, &RunEnd::FINISHED).await.unwrap();
    assert_eq!(
        (ended.status, ended.ended_at, ended.metric("loss")),
        (RunStatus::Finished, Some(start()), Some(0.5))
    );
    assert_eq!(tracker.finish_run(&run, &RunEnd::FINISHED).await.unwrap(), ended, "ended again");
    assert_eq!(tracker.finish_run(&run, &RunEnd::FAILED).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(tracker.write(&run, &batch).await.unwrap_err().kind(), ErrorKind::Conflict);
    far.set(Line::Up);
    all_sent(&tracker.replay().await.unwrap(), 4);
    assert_eq!(far.inner.run(&run).await.unwrap(), ended);
}

#[tokio::test]
async fn what_cannot_be_known_here_is_not_answered() {
    let (folder, far) = (tempfile::tempdir().unwrap(), far(&clock()));
    train(&far.inner, &training()[..2]).await;
    let run = spec(1).id;
    let tracker = spooled(far.clone(), folder.path());
    far.set(Line::LosesRequests);
    assert_eq!(tracker.finish_run(&run, &RunEnd::FINISHED).await.unwrap_err().kind(), ErrorKind::Transport);
    assert_eq!(tracker.set_deleted(&run, true).await.unwrap_err().kind(), ErrorKind::Transport);
    assert_eq!(tracker.run(&run).await.unwrap_err().kind(), ErrorKind::Transport);
    assert_eq!(tracker.waiting(), 0);
    tracker.write(&run, &LogBatch::new().metric(point("loss", 0.5, 1))).await.unwrap();
    assert_eq!(tracker.finish_run(&run, &RunEnd::FINISHED).await.unwrap_err().kind(), ErrorKind::Transport);
    // Once the tracker can say what the run is like, its end waits behind the write.
    far.set(Line::Up);
    let ended = tracker.finish_run(&run, &RunEnd::FINISHED).await.unwrap();
    assert_eq!((ended.status, tracker.waiting()), (RunStatus::Finished, 2));
    assert!(far.inner.run(&run).await.unwrap().metrics.is_empty(), "reads do not see what waits");
    all_sent(&tracker.replay().await.unwrap(), 2);
    assert_eq!(far.inner.run(&run).await.unwrap().metric("loss"), Some(0.5));
}

#[tokio::test]
async fn a_lease_is_not_renewed_from_here() {
    let (folder, far) = (tempfile::tempdir().unwrap(), far(&clock()));
    far.set(Line::LosesRequests);
    let tracker = spooled(far.clone(), folder.path());
    train(&tracker, &training()[..2]).await;
    let (run, lease) = (spec(1).id, Duration::from_secs(60));
    assert_eq!(tracker.heartbeat(&run, lease).await.unwrap_err().kind(), ErrorKind::Transport);
    far.set(Line::Up);
    let error = tracker.heartbeat(&run, lease).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Busy, true));
    assert_eq!(tracker.heartbeat(&spec(3).id, lease).await.unwrap_err().kind(), ErrorKind::NotFound);
    tracker.replay().await.unwrap();
    tracker.heartbeat(&run, lease).await.unwrap();
}

#[tokio::test]
async fn what_will_never_pass_does_not_wait() {
    let (folder, far) = (tempfile::tempdir().unwrap(), far(&clock()));
    let tracker = spooled(far.clone(), folder.path());
    assert_eq!(tracker.start_run(&spec(1)).await.unwrap_err().kind(), ErrorKind::NotFound);
    far.set(Line::LosesRequests);
    let long = ExperimentSpec::new(name()).with_tag(TagKey::new("t").unwrap(), "x".repeat(100_000));
    assert_eq!(tracker.ensure_experiment(&long).await.unwrap_err().kind(), ErrorKind::LimitExceeded);
    let batch = LogBatch::new().param(ParamKey::new("p").unwrap(), "x".repeat(100_000));
    assert_eq!(tracker.write(&spec(1).id, &batch).await.unwrap_err().kind(), ErrorKind::LimitExceeded);
    assert_eq!(tracker.waiting(), 0);
}

// ------------------------------------------------------------------------------------------------------------- refused

#[tokio::test]
async fn refused_calls_are_kept_until_they_are_discarded() {
    let (folder, far) = (tempfile::tempdir().unwrap(), far(&clock()));
    let tracker = spooled(far.clone(), folder.path());
    train(&tracker, &training()[..2]).await;
    far.set(Line::LosesRequests);
    let (run, depth) = (spec(1).id, ParamKey::new("depth").unwrap());
    let param = |value: i32| LogBatch::new().param(depth.clone(), value);
    let mut lost = spec(3);
    lost.experiment = ExperimentName::new("nowhere").unwrap();
    tracker.write(&run, &param(6)).await.unwrap();
    tracker.write(&run, &param(7).metric(point("loss", 0.1, 0))).await.unwrap();
    tracker.start_run(&lost).await.unwrap();
    tracker.write(&lost.id, &param(1)).await.unwrap();
    tracker.write(&run, &LogBatch::new().metric(point("loss", 0.2, 1))).await.unwrap();
    far.set(Line::Up);
    let report = tracker.replay().await.unwrap();
    assert_eq!((report.sent, report.rejected.len(), report.waiting), (2, 3, 0));
    let kept = far.inner.run(&run).await.unwrap();
    assert_eq!((kept.params[&depth].as_str(), kept.metrics.values().next().unwrap().count), ("6", 1));

    let rejected = tracker.rejected().await.unwrap();
    let kinds: Vec<_> = rejected.iter().map(|r| r.kind).collect();
    assert_eq!(kinds, [ErrorKind::Conflict, ErrorKind::NotFound, ErrorKind::NotFound]);
    assert_eq!(rejected.iter().map(|r| r.id).collect::<Vec<_>>(), report.rejected);
    let Some(SpooledCall::Write { batch, .. }) = &rejected[0].call else { panic!("{rejected:?}") };
    assert_eq!((batch.params[&depth].as_str(), batch.metrics[0].value), ("7", 0.1));
    assert!(rejected[0].message.contains("depth"), "{}", rejected[0].message);

    drop(tracker);
    let tracker = spooled(far.clone(), folder.path());
    assert_eq!((tracker.waiting(), tracker.recovery().rejected), (0, 3));
    assert_eq!(tracker.rejected().await.unwrap(), rejected);
    for (gone, entry) in rejected.iter().enumerate() {
        tracker.discard(entry.id).await.unwrap();
        assert_eq!(tracker.rejected().await.unwrap(), rejected[gone + 1..]);
        assert_eq!(tracker.discard(entry.id).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    drop(tracker);
    assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_call_that_blocks_the_others_can_be_discarded() {
    let (folder, far) = (tempfile::tempdir().unwrap(), far(&clock()));
    far.set(Line::LosesRequests);
    let tracker = spooled(far.clone(), folder.path());
    train(&tracker, &training()[..3]).await;
    let (blocking, error) = tracker.replay().await.unwrap().stopped.unwrap();
    assert_eq!(error.kind(), ErrorKind::Transport);
    tracker.discard(blocking).await.unwrap();
    drop(tracker);
    let tracker = spooled(far.clone(), folder.path());
    assert_eq!(tracker.waiting(), 2);
}

// ------------------------------------------------------------------------------------------------------------- the folder

#[tokio::test]
async fn two_that_live_do_not_send_the_same() {
    let calls = training();
    let (folder, far) = (tempfile::tempdir().unwrap(), far(&clock()));
    far.set(Line::LosesRequests);
    let one = spooled(far.clone(), folder.path());
    train(&one, &calls).await;
    far.set(Line::Up);
    let two = spooled(far.clone(), folder.path());
    assert_eq!(two.waiting(), 0);
    all_sent(&two.replay().await.unwrap(), 0);
    assert!(far.seen.lock().unwrap().is_empty());
    drop(one);
    all_sent(&two.replay().await.unwrap(), calls.len());
    assert_eq!(two.recovery().files, 1);
    assert_eq!(held(&far.inner).await, never_interrupted(&calls).await);
}

#[tokio::test]
async fn a_full_spool_says_so_and_keeps_what_it_has() {
    let (folder, far) = (tempfile::tempdir().unwrap(), far(&clock()));
    let tracker = spooled(far.clone(), folder.path()).with_limit(20_000);
    train(&tracker, &training()[..2]).await;
    let run = spec(1).id;
    far.set(Line::LosesRequests);
    let mut kept = 0;
    let error = loop {
        match tracker.write(&run, &LogBatch::new().metric(point("n", 1.0, kept))).await {
            Ok(_) => kept += 1,
            Err(e) => break e,
        }
    };
    assert_eq!((error.kind(), error.context("limit")), (ErrorKind::LimitExceeded, Some("20000")));
    assert!(kept > 10 && tracker.waiting() == kept.unsigned_abs(), "{kept}");
    far.set(Line::Up);
    all_sent(&tracker.replay().await.unwrap(), usize::try_from(kept).unwrap());
    assert_eq!(
        far.inner.run(&run).await.unwrap().metrics.values().next().unwrap().count,
        kept.unsigned_abs()
    );
    far.set(Line::LosesRequests);
    tracker.write(&run, &LogBatch::new().metric(point("n", 1.0, kept))).await.unwrap();
}

#[tokio::test]
async fn a_file_shrinks_when_most_of_it_was_sent() {
    let (folder, far) = (tempfile::tempdir().unwrap(), far(&clock()));
    let tracker = spooled(far.clone(), folder.path());
    train(&tracker, &training()[..2]).await;
    let run = spec(1).id;
    far.set(Line::LosesRequests);
    let batch = |n: usize| LogBatch::new().param(ParamKey::new(format!("p{n}")).unwrap(), "x".repeat(60_000));
    for n in 0..30 {
        tracker.write(&run, &batch(n)).await.unwrap();
    }
    let bytes = || files(folder.path()).iter().map(|file| file.metadata().unwrap().len()).sum::<u64>();
    assert!(bytes() > 1_800_000);
    far.set(Line::Then(25, &Line::LosesRequests));
    assert_eq!(tracker.replay().await.unwrap().sent, 25);
    assert!(bytes() < 1_000_000, "{}", bytes());
    drop(tracker);
    far.set(Line::Up);
    let tracker = spooled(far.clone(), folder.path());
    all_sent(&tracker.replay().await.unwrap(), 5);
    assert_eq!(far.inner.run(&run).await.unwrap().params.len(), 30);
}

/// The bytes of a spool in which these calls wait.
async fn spool_of(calls: &[SpooledCall]) -> Vec<u8> {
    let (folder, far) = (tempfile::tempdir().unwrap(), far(&clock()));
    far.set(Line::LosesRequests);
    let tracker = spooled(far, folder.path());
    train(&tracker, calls).await;
    std::fs::read(&files(folder.path())[0]).unwrap()
}

/// Opens a spool with these bytes and sends what waits in it; how many calls, and what the tracker then holds.
async fn send_from(bytes: &[u8]) -> (usize, Held, mlops_core::wrap::SpoolRecovery, Vec<PathBuf>) {
    let (folder, far) = (tempfile::tempdir().unwrap(), far(&clock()));
    std::fs::write(folder.path().join("0.spool"), bytes).unwrap();
    let tracker = spooled(far.clone(), folder.path());
    let report = tracker.replay().await.unwrap();
    assert!(report.stopped.is_none());
    let (recovery, sent) = (tracker.recovery(), usize::try_from(report.sent).unwrap());
    drop(tracker);
    (sent, held(&far.inner).await, recovery, files(folder.path()))
}

#[tokio::test]
async fn a_torn_tail_costs_what_was_not_acknowledged() {
    let calls = &training()[..3];
    let (whole, before) = (spool_of(calls).await, spool_of(&calls[..2]).await.len());
    let expected = never_interrupted(&calls[..2]).await;
    for length in before..whole.len() {
        let (sent, held, recovery, left) = send_from(&whole[..length]).await;
        assert_eq!((sent, &held), (2, &expected), "{length}");
        let lost: Vec<_> = recovery.damaged.iter().map(|damaged| damaged.bytes).collect();
        if length == before {
            assert!(lost.is_empty() && left.is_empty());
        } else {
            assert_eq!((lost, left.len()), (vec![(length - before) as u64], 1), "it is kept as it was");
            assert!(left[0].to_str().unwrap().ends_with(".damaged"));
        }
    }
}

#[tokio::test]
async fn a_turned_bit_is_reported_and_changes_no_value() {
    let calls = &training()[..3];
    let whole = spool_of(calls).await;
    let expected = never_interrupted(calls).await;
    assert_eq!(send_from(&whole).await.1, expected);
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        let (sent, held, recovery, _) = send_from(&bytes).await;
        if recovery.damaged.is_empty() {
            assert_eq!((sent, &held), (3, &expected), "byte {at}");
            continue;
        }
        assert!(sent < 3, "byte {at}");
        for (run, histories) in &held.1 {
            let (same, points) = expected.1.iter().find(|(same, _)| same.id == run.id).unwrap();
            assert!(run.params.is_empty() || run.params == same.params, "byte {at}");
            assert_eq!(
                (&run.name, &run.tags, &run.actor),
                (&same.name, &same.tags, &same.actor),
                "byte {at}"
            );
            assert!(histories.is_empty() || histories == points, "byte {at}");
        }
        assert!(recovery.damaged[0].bytes > 0 && recovery.damaged[0].kept_as.is_some(), "byte {at}");
    }
}

#[tokio::test]
async fn what_is_not_a_spool_is_left_alone() {
    let (folder, far) = (tempfile::tempdir().unwrap(), far(&clock()));
    let file = folder.path().join("notes.spool");
    std::fs::write(&file, "not one of ours").unwrap();
    let tracker = spooled(far, folder.path());
    let damaged = tracker.recovery().damaged;
    assert_eq!((damaged.len(), damaged[0].file.as_str()), (1, "notes.spool"));
    tracker.replay().await.unwrap();
    assert_eq!(tracker.recovery().damaged, damaged, "it is reported once");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "not one of ours");

    let bad = Spooled::open(MemoryTracker::default(), &folder.path().join("notes.spool"), clock());
    assert_eq!(bad.unwrap_err().kind(), ErrorKind::Storage);
}
