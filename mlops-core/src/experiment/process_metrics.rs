//! Metrics of process and machine, logged to a run at an interval.

use std::fmt;
use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::future::BoxFuture;

use super::proc_fs::{self, CpuTime, Memory};
use super::{ExperimentTracker, LogBatch, MetricPoint};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{MetricKey, RunId};
use crate::time::{Clock, SystemClock, lock};

const OP: &str = "ProcessMetrics::start";

/// The most points that wait for a slow tracker; later ones are dropped and counted.
const MAX_PENDING: usize = 10_000;

/// Logs what process and machine use, to any tracker.
///
/// | metric | is |
/// |---|---|
/// | `system/cpu_utilization_percentage` | of all processors together, 0 to 100 |
/// | `system/system_memory_usage_megabytes`, `…_percentage` | memory that is not available to programs; 10⁶ bytes |
/// | `system/process_cpu_utilization_percentage` | of this process; 100 is one processor busy all the time |
/// | `system/process_memory_usage_megabytes` | of this process, in memory; 10⁶ bytes |
///
/// The first three have MLflow's names and units. The step counts samples. A point says what happened since the one before;
/// the last one is taken when sampling stops, so that a short run has one too.
///
/// A thread reads four files under `/proc`, on Linux; elsewhere nothing is logged, and the [report](SamplingReport) says so.
/// Whatever fails, the run goes on: a write that may succeed later is tried again with the next sample, another error ends the
/// sampling, and the report has it.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use mlops_core::experiment::{ExperimentSpec, ExperimentTracker, ProcessMetrics, RunSpec};
/// use mlops_core::memory::MemoryTracker;
/// use mlops_core::{ActorId, ExperimentName};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let tracker: Arc<dyn ExperimentTracker> = Arc::new(MemoryTracker::default());
/// let experiment = ExperimentName::new("diabetes")?;
/// tracker.ensure_experiment(&ExperimentSpec::new(experiment.clone())).await?;
/// let run = tracker.start_run(&RunSpec::new(experiment, "baseline", ActorId::new("trainer")?)).await?.id;
///
/// // The thread samples; the runtime of your choice writes.
/// let runtime = tokio::runtime::Handle::current();
/// let metrics = ProcessMetrics::new(tracker.clone(), run.clone()).with_interval(Duration::from_secs(10));
/// let sampler = metrics.start(move |write| drop(runtime.spawn(write)))?;
/// // … train …
/// let report = sampler.stop().await;
/// assert!(report.error.is_none());
/// if cfg!(target_os = "linux") {
///     assert!(tracker.run(&run).await?.metric("system/process_memory_usage_megabytes") > Some(0.0));
/// }
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ProcessMetrics {
    tracker: Arc<dyn ExperimentTracker>,
    run: RunId,
    clock: Arc<dyn Clock>,
    interval: Duration,
    proc: PathBuf,
}

impl fmt::Debug for ProcessMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessMetrics")
            .field("tracker", &self.tracker)
            .field("run", &self.run)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

impl ProcessMetrics {
    /// The shortest interval: the kernel counts processor time in hundredths of a second.
    pub const MIN_INTERVAL: Duration = Duration::from_millis(10);

    /// Metrics for a run, every 10 seconds.
    pub fn new(tracker: Arc<dyn ExperimentTracker>, run: RunId) -> Self {
        let clock = Arc::new(SystemClock::new());
        Self { tracker, run, clock, interval: Duration::from_secs(10), proc: "/proc".into() }
    }

    /// Sets the time between two samples.
    #[must_use]
    pub fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets the clock that says when a sample was taken.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Starts sampling in a thread of its own. `spawn` hands the writes, one at a time, to the runtime that the tracker needs.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an interval below [`ProcessMetrics::MIN_INTERVAL`]; [`ErrorKind::Busy`] when no
    /// thread can be had.
    pub fn start(
        self,
        mut spawn: impl FnMut(BoxFuture<'static, ()>) + Send + 'static,
    ) -> Result<ProcessSampler> {
        if self.interval < Self::MIN_INTERVAL {
            let message = format!("must be at least {:?}, got {:?}", Self::MIN_INTERVAL, self.interval);
            return Err(Error::invalid(OP, "interval", message));
        }
        let shared = Arc::new(Shared::default());
        let of_thread = Ended(Arc::clone(&shared));
        let mut sampling = Sampling { metrics: self, last: Sample::default(), step: 0 };
        std::thread::Builder::new()
            .name("process-metrics".to_owned())
            .spawn(move || {
                let ended = of_thread;
                sampling.until_stopped(&ended.0, &mut spawn);
            })
            .map_err(|e| Error::new(ErrorKind::Busy, OP, "no thread can be started").with_source(e))?;
        Ok(ProcessSampler { shared })
    }
}

/// Sampling that goes on until it is stopped, or dropped.
pub struct ProcessSampler {
    shared: Arc<Shared>,
}

impl fmt::Debug for ProcessSampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProcessSampler { .. }")
    }
}

impl ProcessSampler {
    /// Takes the last sample, waits until everything is written, and says how it went. Stop before the run is finished: an
    /// ended run takes no metrics.
    pub async fn stop(self) -> SamplingReport {
        self.shared.ask_to_stop();
        poll_fn(|context| self.shared.poll_ended(context)).await;
        let mut state = lock(&self.shared.state);
        let mut report = std::mem::take(&mut state.report);
        report.dropped += state.pending.len() as u64;
        report
    }
}

impl Drop for ProcessSampler {
    fn drop(&mut self) {
        self.shared.ask_to_stop();
    }
}

/// How sampling went.
#[non_exhaustive]
#[derive(Debug, Default)]
pub struct SamplingReport {
    /// How many samples were taken.
    pub samples: u64,
    /// How many points the tracker took.
    pub written: u64,
    /// How many points were lost, because the tracker was too slow or failed.
    pub dropped: u64,
    /// The metrics that could not be had here, in the order of the table at [`ProcessMetrics`].
    pub unavailable: Vec<&'static str>,
    /// The last error of the tracker.
    pub error: Option<Error>,
}

/// What the thread, the writes and the handle share.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    stop: Condvar,
}

#[derive(Default)]
struct State {
    stopping: bool,
    /// The thread has ended.
    ended: bool,
    /// A write is under way.
    writing: bool,
    /// The tracker will take nothing any more.
    refused: bool,
    pending: Vec<MetricPoint>,
    report: SamplingReport,
    waker: Option<Waker>,
}

impl Shared {
    fn ask_to_stop(&self) {
        lock(&self.state).stopping = true;
        self.stop.notify_all();
    }

    /// Sleeps for `interval`; whether sampling shall stop.
    fn sleep(&self, interval: Duration) -> bool {
        let state = lock(&self.state);
        let slept = self.stop.wait_timeout_while(state, interval, |state| !state.stopping);
        slept.unwrap_or_else(std::sync::PoisonError::into_inner).0.stopping
    }

    fn poll_ended(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.ended && !state.writing {
            return Poll::Ready(());
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let waker = {
            let mut state = lock(&self.state);
            change(&mut state);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Keeps the points of a sample; whether a write has to be started for them.
    fn push(&self, points: Vec<MetricPoint>) -> bool {
        let mut state = lock(&self.state);
        state.report.samples += 1;
        let room = MAX_PENDING.saturating_sub(state.pending.len());
        state.report.dropped += points.len().saturating_sub(room) as u64;
        state.pending.extend(points.into_iter().take(room));
        !std::mem::replace(&mut state.writing, true)
    }
}

/// Says that the thread has ended, however it ended.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.change(|state| state.ended = true);
    }
}

/// A write that is under way. It ends in the same moment in which nothing waits any more, so that whoever adds a point then
/// knows to start another; and when the runtime drops it.
struct Writing {
    shared: Arc<Shared>,
    ended: bool,
}

impl Writing {
    /// The points to write next; `None` ends the write.
    fn take(&mut self) -> Option<Vec<MetricPoint>> {
        let mut points = Vec::new();
        self.shared.change(|state| {
            points = std::mem::take(&mut state.pending);
            state.writing = !points.is_empty();
        });
        self.ended = points.is_empty();
        (!self.ended).then_some(points)
    }

    fn written(&self, points: usize) {
        lock(&self.shared.state).report.written += points as u64;
    }

    /// Ends the write. What may be written later comes back in front.
    fn failed(mut self, error: Error, points: Vec<MetricPoint>) {
        self.ended = true;
        self.shared.change(|state| {
            state.refused = !error.is_retryable();
            if state.refused {
                state.report.dropped += points.len() as u64;
            } else {
                let newer = std::mem::replace(&mut state.pending, points);
                state.pending.extend(newer);
            }
            state.report.error = Some(error);
            state.writing = false;
        });
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.ended {
            self.shared.change(|state| state.writing = false);
        }
    }
}

/// Writes what waits until nothing does.
async fn write(tracker: Arc<dyn ExperimentTracker>, run: RunId, mut writing: Writing) {
    while let Some(metrics) = writing.take() {
        let batch = LogBatch { metrics, ..LogBatch::default() };
        match tracker.write(&run, &batch).await {
            Ok(_) => writing.written(batch.metrics.len()),
            Err(error) => return writing.failed(error, batch.metrics),
        }
    }
}

/// What the thread does.
struct Sampling {
    metrics: ProcessMetrics,
    last: Sample,
    step: i64,
}

impl Sampling {
    fn until_stopped(&mut self, shared: &Arc<Shared>, spawn: &mut dyn FnMut(BoxFuture<'static, ()>)) {
        self.last = Sample::read(&self.metrics.proc);
        loop {
            let stopping = shared.sleep(self.metrics.interval);
            let points = self.sample(shared);
            if points.is_empty() || lock(&shared.state).refused {
                return;
            }
            if shared.push(points) {
                let writing = Writing { shared: Arc::clone(shared), ended: false };
                spawn(Box::pin(write(Arc::clone(&self.metrics.tracker), self.metrics.run.clone(), writing)));
            }
            if stopping {
                return;
            }
        }
    }

    fn sample(&mut self, shared: &Shared) -> Vec<MetricPoint> {
        let sample = Sample::read(&self.metrics.proc);
        let values = sample.since(&self.last);
        let at = self.metrics.clock.now();
        let (last, step) = (std::mem::replace(&mut self.last, sample), self.step);
        self.step += 1;
        let mut state = lock(&shared.state);
        state.report.unavailable = unavailable(&last, &self.last);
        let point = |(key, value): (&str, f64)| {
            Some(MetricPoint::new(MetricKey::new(key).ok()?, value, at).with_step(step))
        };
        values.into_iter().filter_map(point).collect()
    }
}

const CPU: &str = "system/cpu_utilization_percentage";
const MEMORY: &str = "system/system_memory_usage_megabytes";
const MEMORY_SHARE: &str = "system/system_memory_usage_percentage";
const PROCESS_CPU: &str = "system/process_cpu_utilization_percentage";
const PROCESS_MEMORY: &str = "system/process_memory_usage_megabytes";

/// What `/proc` says at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sample {
    cpu: Option<CpuTime>,
    memory: Option<Memory>,
    process_time: Option<u64>,
    resident: Option<u64>,
}

impl Sample {
    fn read(proc: &Path) -> Self {
        let text = |path: &str| std::fs::read_to_string(proc.join(path)).ok();
        Self {
            cpu: text("stat").and_then(|text| proc_fs::cpu_time(&text)),
            memory: text("meminfo").and_then(|text| proc_fs::memory(&text)),
            process_time: text("self/stat").and_then(|text| proc_fs::process_time(&text)),
            resident: text("self/status").and_then(|text| proc_fs::resident(&text)),
        }
    }

    /// The metrics of the time between `before` and this sample.
    fn since(&self, before: &Self) -> Vec<(&'static str, f64)> {
        let mut values = Vec::new();
        let ticks = before.cpu.zip(self.cpu).and_then(|(from, to)| {
            let total = to.total.checked_sub(from.total).filter(|total| *total > 0)?;
            // What waits for disks may be counted backwards by some kernels.
            Some((to.busy.saturating_sub(from.busy).min(total), total, to.cpus))
        });
        if let Some((busy, total, _)) = ticks {
            values.push((CPU, 100.0 * busy as f64 / total as f64));
        }
        if let Some(Memory { total, available }) = self.memory {
            let used = (total - available) as f64;
            values.push((MEMORY, used / 1e6));
            values.push((MEMORY_SHARE, 100.0 * used / total as f64));
        }
        let process = before.process_time.zip(self.process_time).map(|(from, to)| to.saturating_sub(from));
        if let Some((process, (_, total, cpus))) = process.zip(ticks) {
            // Both count the same ticks, so their length does not matter.
            values.push((PROCESS_CPU, 100.0 * process as f64 * cpus as f64 / total as f64));
        }
        if let Some(resident) = self.resident {
            values.push((PROCESS_MEMORY, resident as f64 / 1e6));
        }
        values
    }
}

/// The metrics that two samples cannot give; a time too short for one tick of the clock does not count.
fn unavailable(from: &Sample, to: &Sample) -> Vec<&'static str> {
    let has = |sample: &Sample| {
        let cpu = sample.cpu.is_some();
        [
            cpu,
            sample.memory.is_some(),
            sample.memory.is_some(),
            cpu && sample.process_time.is_some(),
            sample.resident.is_some(),
        ]
    };
    let (from, to) = (has(from), has(to));
    let all = [CPU, MEMORY, MEMORY_SHARE, PROCESS_CPU, PROCESS_MEMORY];
    let missing = |i: &usize| !(from[*i] && to[*i]);
    (0..all.len()).filter(missing).map(|i| all[i]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::{ExperimentSpec, ExperimentTrackerExt as _, RunEnd, RunSpec};
    use crate::id::{ActorId, ExperimentName};
    use crate::memory::MemoryTracker;
    use crate::time::ManualClock;

    async fn started() -> (Arc<dyn ExperimentTracker>, RunId) {
        let tracker: Arc<dyn ExperimentTracker> = Arc::new(MemoryTracker::default());
        let experiment = ExperimentName::new("diabetes").unwrap();
        tracker.ensure_experiment(&ExperimentSpec::new(experiment.clone())).await.unwrap();
        let spec = RunSpec::new(experiment, "baseline", ActorId::new("trainer").unwrap());
        let run = tracker.start_run(&spec).await.unwrap().id;
        (tracker, run)
    }

    fn spawner() -> impl FnMut(BoxFuture<'static, ()>) + Send + 'static {
        let runtime = tokio::runtime::Handle::current();
        move |write| drop(runtime.spawn(write))
    }

    fn sample(busy: u64, total: u64, process_time: u64) -> Sample {
        Sample {
            cpu: Some(CpuTime { busy, total, cpus: 4 }),
            memory: Some(Memory { total: 8_000_000_000, available: 6_000_000_000 }),
            process_time: Some(process_time),
            resident: Some(250_000_000),
        }
    }

    #[test]
    fn shares_are_of_the_time_between_two_samples() {
        // 4 processors for 10 seconds of 100 ticks: one of them busy, half of that by this process.
        let values = sample(1_500, 9_000, 700).since(&sample(500, 5_000, 200));
        let expected = [
            (CPU, 25.0),
            (MEMORY, 2_000.0),
            (MEMORY_SHARE, 25.0),
            (PROCESS_CPU, 50.0),
            (PROCESS_MEMORY, 250.0),
        ];
        assert_eq!(values, expected);
        // No tick between them, and counters that go backwards: no share, and no panic.
        for before in [sample(1_500, 9_000, 700), sample(1_500, 9_001, 700)] {
            assert_eq!(sample(1_500, 9_000, 700).since(&before).len(), 3);
        }
        assert_eq!(sample(400, 9_000, 100).since(&sample(500, 5_000, 200))[0], (CPU, 0.0));
    }

    #[test]
    fn what_is_not_there_is_named() {
        let whole = sample(1, 1, 1);
        assert!(unavailable(&whole, &whole).is_empty());
        let without_cpu = Sample { cpu: None, ..whole.clone() };
        assert_eq!(unavailable(&whole, &without_cpu), [CPU, PROCESS_CPU]);
        assert_eq!(unavailable(&Sample::default(), &whole).len(), 5);
    }

    #[test]
    fn recorded_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("self")).unwrap();
        for (path, text) in [
            ("stat", "cpu  1 0 1 8 0 0 0 0 0 0\ncpu0 1 0 1 8 0 0 0 0 0 0\n"),
            ("meminfo", "MemTotal: 10 kB\nMemAvailable: 4 kB\n"),
            ("self/stat", "7 (x) R 1 1 1 0 -1 0 0 0 0 0 3 4 0 0 20 0 1 0 0 0 0\n"),
            ("self/status", "VmRSS:\t 3 kB\n"),
        ] {
            std::fs::write(folder.path().join(path), text).unwrap();
        }
        let expected = Sample {
            cpu: Some(CpuTime { busy: 2, total: 10, cpus: 1 }),
            memory: Some(Memory { total: 10_240, available: 4_096 }),
            process_time: Some(7),
            resident: Some(3_072),
        };
        assert_eq!(Sample::read(folder.path()), expected);
        assert_eq!(Sample::read(&folder.path().join("none")), Sample::default());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn values_of_this_machine_are_sane() {
        let (tracker, run) = started().await;
        let at = "2026-01-01T00:00:00Z".parse().unwrap();
        let sampler = ProcessMetrics::new(tracker.clone(), run.clone())
            // Long against the time between two reads, in which the test may be interrupted.
            .with_interval(Duration::from_millis(200))
            .with_clock(Arc::new(ManualClock::at(at)))
            .start(spawner())
            .unwrap();
        let history = async |key| tracker.full_history(&run, &MetricKey::new(key).unwrap()).await.unwrap();
        let patience = std::time::Instant::now() + Duration::from_secs(60);
        while history(PROCESS_CPU).await.len() < 3 {
            assert!(std::time::Instant::now() < patience, "nothing is measured");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let report = sampler.stop().await;
        assert!(report.error.is_none() && report.unavailable.is_empty() && report.dropped == 0, "{report:?}");
        let cpus =
            std::fs::read_to_string("/proc/stat").map(|text| proc_fs::cpu_time(&text).unwrap().cpus).unwrap();
        let mut points = 0;
        for (key, range) in [
            (CPU, 0.0..=100.0),
            (MEMORY, 1.0..=1e9),
            (MEMORY_SHARE, 0.1..=100.0),
            // Ticks of process and machine are counted at slightly different moments.
            (PROCESS_CPU, 0.0..=100.0 * cpus as f64 * 4.0),
            (PROCESS_MEMORY, 0.5..=1e6),
        ] {
            let history = history(key).await;
            points += history.len() as u64;
            assert!(history.len() >= 3 && history.is_sorted_by_key(|point| point.step), "{key}");
            assert!(
                history.iter().all(|point| range.contains(&point.value) && point.at == at),
                "{key}: {history:?}"
            );
        }
        assert_eq!(report.written, points);
    }

    #[tokio::test]
    async fn without_proc_the_run_goes_on_and_the_report_says_so() {
        let (tracker, run) = started().await;
        let mut metrics = ProcessMetrics::new(tracker.clone(), run.clone());
        let nowhere = tempfile::tempdir().unwrap();
        metrics.proc = nowhere.path().to_owned();
        let report = metrics.start(spawner()).unwrap().stop().await;
        assert_eq!((report.samples, report.written, report.unavailable.len()), (0, 0, 5));
        let point = MetricPoint::new(MetricKey::new("loss").unwrap(), 0.5, chrono::DateTime::UNIX_EPOCH);
        assert_eq!(tracker.write(&run, &LogBatch::new().metric(point)).await.unwrap().new_points, 1);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_tracker_that_refuses_ends_the_sampling_with_its_error() {
        let (tracker, run) = started().await;
        tracker.finish_run(&run, &RunEnd::FINISHED).await.unwrap();
        let report = ProcessMetrics::new(tracker, run).start(spawner()).unwrap().stop().await;
        assert_eq!(report.error.map(|error| error.kind()), Some(ErrorKind::Conflict));
        assert_eq!((report.samples, report.written), (1, 0));
        assert!(report.dropped > 0);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn stopping_does_not_wait_for_a_runtime_that_is_gone_or_a_spawner_that_fails() {
        let (tracker, run) = started().await;
        let metrics = || ProcessMetrics::new(tracker.clone(), run.clone());
        let dropped = metrics().start(drop).unwrap().stop().await;
        assert!(dropped.written == 0 && dropped.dropped > 0, "{dropped:?}");
        let failed = metrics().start(|_| panic!("no runtime")).unwrap().stop().await;
        assert_eq!(failed.written, 0);
        drop(metrics().start(spawner()).unwrap());
    }

    #[tokio::test]
    async fn an_interval_below_the_kernels_clock_is_refused() {
        let (tracker, run) = started().await;
        let metrics = ProcessMetrics::new(tracker, run).with_interval(Duration::from_millis(9));
        let error = metrics.start(spawner()).unwrap_err();
        assert_eq!(error.context("field"), Some("interval"));
    }
}
