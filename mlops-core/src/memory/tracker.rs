//! The experiment tracker in memory.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;

use crate::error::{Error, ErrorKind, Result};
use crate::experiment::{
    Experiment, ExperimentSpec, ExperimentTracker, HistoryQuery, LogBatch, MetricPoint, MetricSummary, Run,
    RunEnd, RunQuery, RunSpec, RunStatus, TrackerCapabilities, WriteReceipt,
};
use crate::hash::Digest;
use crate::id::{ExperimentName, IdempotencyKey, MAX_ENTRIES, MetricKey, RunId, check_tags};
use crate::page::pager::Pager;
use crate::page::{Page, PageRequest};
use crate::time::{Clock, SystemClock, Timestamp, lock};

/// Runs in memory.
///
/// Leases are measured by the clock's monotonic time, so a wall clock that is set neither kills a run nor keeps one alive;
/// [`Run::lease_until`] is when the lease ends if nobody sets it.
///
/// A search that has more than one page remembers which runs it found, so that its pages hold together while metrics move.
/// The latest [`Self::LISTINGS`] searches are remembered; a token of an older one is refused.
///
/// Cost: a write is O(log n) for each point, of n in the history, and so is the start of a page of a history; the first page
/// of a search looks at every run and sorts those that match, the next ones look at their own runs only.
///
/// ```
/// use mlops_core::experiment::{
///     ExperimentSpec, ExperimentTracker as _, ExperimentTrackerExt as _, RunEnd, RunSpec, RunStatus,
/// };
/// use mlops_core::memory::MemoryTracker;
/// use mlops_core::{ActorId, ExperimentName, MetricKey};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let tracker = MemoryTracker::default();
/// let name = ExperimentName::new("diabetes")?;
/// tracker.ensure_experiment(&ExperimentSpec::new(name.clone())).await?;
/// let run = tracker.start_run(&RunSpec::new(name, "baseline", ActorId::new("trainer")?)).await?;
///
/// let at = run.started_at;
/// tracker.log_metric(&run.id, MetricKey::new("loss")?, f64::NAN, 1, at).await?;
/// tracker.log_metric(&run.id, MetricKey::new("loss")?, 0.25, 2, at).await?;
///
/// let run = tracker.finish_run(&run.id, &RunEnd::FINISHED).await?;
/// assert_eq!((run.status, run.metric("loss")), (RunStatus::Finished, Some(0.25)));
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MemoryTracker {
    clock: Arc<dyn Clock>,
    pager: Pager,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    experiments: BTreeMap<ExperimentName, Experiment>,
    runs: HashMap<RunId, Kept>,
    listings: Listings,
}

/// A run with its histories.
struct Kept {
    run: Run,
    histories: BTreeMap<MetricKey, History>,
    /// How many points were logged to this run so far: the order of logging.
    logged: u64,
    /// What was written under a key, and what was answered.
    writes: HashMap<IdempotencyKey, (Digest, WriteReceipt)>,
    /// Monotonic time at which the lease runs out.
    lease_end: Option<Duration>,
}

/// Where a point stands in its history: by step, then time, then order of logging.
type Place = (i64, Timestamp, u64);

#[derive(Default)]
struct History {
    points: BTreeMap<Place, f64>,
    /// Step, time and bits of every point: what makes it the same point.
    seen: HashSet<(i64, Timestamp, u64)>,
}

/// Which runs the latest searches found, in their order.
#[derive(Default)]
struct Listings {
    made: u64,
    kept: VecDeque<(u64, Arc<[RunId]>)>,
}

impl MemoryTracker {
    /// How many searches with more than one page are remembered: 256.
    pub const LISTINGS: usize = 256;

    /// An empty tracker with this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, pager: Pager::new(), state: Mutex::default() }
    }
}

impl Default for MemoryTracker {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock::new()))
    }
}

impl fmt::Debug for MemoryTracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.state);
        f.debug_struct("MemoryTracker")
            .field("experiments", &state.experiments.len())
            .field("runs", &state.runs.len())
            .finish_non_exhaustive()
    }
}

impl State {
    /// A run as it is at `now`: killed, if its lease ran out.
    fn run(&mut self, operation: &'static str, id: &RunId, now: Duration) -> Result<&mut Kept> {
        let kept = self.runs.get_mut(id).ok_or_else(|| Error::not_found(operation, "run", id))?;
        kept.expire(now);
        Ok(kept)
    }
}

impl Kept {
    fn new(run: Run) -> Self {
        let (histories, writes) = (BTreeMap::new(), HashMap::new());
        Self { run, histories, logged: 0, writes, lease_end: None }
    }

    fn expire(&mut self, now: Duration) {
        if !self.run.status.is_final() && self.lease_end.is_some_and(|end| now >= end) {
            self.run.status = RunStatus::Killed;
            self.run.ended_at = self.run.lease_until;
        }
    }

    /// The receipt of this batch, if it was written under its key before.
    fn replay(&self, key: &IdempotencyKey, content: Digest) -> Result<Option<WriteReceipt>> {
        match self.writes.get(key) {
            None => Ok(None),
            Some((written, receipt)) if *written == content => Ok(Some(receipt.clone())),
            Some(_) => {
                let message = "the key was used to log something else";
                let error = Error::new(ErrorKind::Conflict, "ExperimentTracker::write", message);
                Err(error.with("key", key).with("run", &self.run.id))
            }
        }
    }

    /// Finds everything that is wrong with a batch, before any of it is kept.
    fn check(&self, batch: &LogBatch) -> Result<()> {
        const OP: &str = "ExperimentTracker::write";
        for (key, value) in &batch.params {
            if let Some(there) = self.run.params.get(key).filter(|there| *there != value) {
                let error = Error::conflict(OP, "a parameter has another value already", value, there);
                return Err(error.with("parameter", key));
            }
        }
        self.check_artifacts(batch)?;
        let new_params = batch.params.keys().filter(|k| !self.run.params.contains_key(*k)).count();
        let new_tags = batch.tags.keys().filter(|k| !self.run.tags.contains_key(*k)).count();
        for (what, count) in [
            ("the number of parameters", self.run.params.len() + new_params),
            ("the number of tags", self.run.tags.len() + new_tags),
        ] {
            if count > MAX_ENTRIES {
                return Err(Error::limit(OP, what, MAX_ENTRIES, count));
            }
        }
        Ok(())
    }

    fn check_artifacts(&self, batch: &LogBatch) -> Result<()> {
        if batch.artifacts.is_empty() {
            return Ok(());
        }
        let mut known: HashMap<_, _> = self.run.artifacts.iter().map(|link| (&link.path, link)).collect();
        for link in &batch.artifacts {
            let there = known.insert(&link.path, link);
            if let Some(there) = there.filter(|there| *there != link) {
                let message = "an artifact's path has other content already";
                let error = Error::conflict("ExperimentTracker::write", message, link.digest, there.digest);
                return Err(error.with("path", &link.path));
            }
        }
        Ok(())
    }

    /// Takes a checked batch in; nothing here can fail.
    fn apply(&mut self, batch: &LogBatch) -> WriteReceipt {
        let new_points = batch.metrics.iter().map(|point| u64::from(self.add(point))).sum();
        self.run.params.extend(batch.params.clone());
        self.run.tags.extend(batch.tags.clone());
        for input in &batch.inputs {
            if !self.run.inputs.contains(input) {
                self.run.inputs.push(input.clone());
            }
        }
        if !batch.artifacts.is_empty() {
            self.run.artifacts.extend(batch.artifacts.iter().cloned());
            self.run.artifacts.sort();
            self.run.artifacts.dedup();
        }
        WriteReceipt::new(new_points)
    }

    /// Whether the point is new.
    fn add(&mut self, point: &MetricPoint) -> bool {
        let history = self.histories.entry(point.key.clone()).or_default();
        let (_, step, at, bits) = point.identity();
        if !history.seen.insert((step, at, bits)) {
            return false;
        }
        history.points.insert((step, at, self.logged), point.value);
        self.logged += 1;
        match self.run.metrics.get_mut(&point.key) {
            Some(summary) => summary.add(point.clone()),
            None => {
                self.run.metrics.insert(point.key.clone(), MetricSummary::of(point.clone()));
            }
        }
        true
    }
}

impl Listings {
    /// Remembers what a search found.
    fn keep(&mut self, found: Arc<[RunId]>) -> u64 {
        self.made += 1;
        self.kept.push_back((self.made, found));
        if self.kept.len() > MemoryTracker::LISTINGS {
            self.kept.pop_front();
        }
        self.made
    }

    fn find(&self, number: u64) -> Option<Arc<[RunId]>> {
        self.kept.iter().find(|(n, _)| *n == number).map(|(_, found)| found.clone())
    }
}

/// The ids of all runs that are wanted, in the order wanted.
fn found(runs: &HashMap<RunId, Kept>, query: &RunQuery) -> Arc<[RunId]> {
    let mut wanted: Vec<&Run> =
        runs.values().map(|kept| &kept.run).filter(|run| query.matches(run)).collect();
    wanted.sort_by(|left, right| query.compare(left, right));
    wanted.into_iter().map(|run| run.id.clone()).collect()
}

#[async_trait]
impl ExperimentTracker for MemoryTracker {
    fn capabilities(&self) -> TrackerCapabilities {
        TrackerCapabilities::FULL
    }

    async fn ensure_experiment(&self, spec: &ExperimentSpec) -> Result<Experiment> {
        check_tags("ExperimentTracker::ensure_experiment", &spec.tags)?;
        let mut state = lock(&self.state);
        let make = || Experiment::new(spec.clone(), self.clock.now());
        Ok(state.experiments.entry(spec.name.clone()).or_insert_with(make).clone())
    }

    async fn experiment(&self, name: &ExperimentName) -> Result<Experiment> {
        let state = lock(&self.state);
        let missing = || Error::not_found("ExperimentTracker::experiment", "experiment", name);
        state.experiments.get(name).cloned().ok_or_else(missing)
    }

    async fn experiments(&self, page: &PageRequest) -> Result<Page<Experiment>> {
        let state = lock(&self.state);
        self.pager.page("ExperimentTracker::experiments", &(), page, |after: Option<ExperimentName>| {
            let start = after.map_or(Bound::Unbounded, Bound::Excluded);
            let experiments = state.experiments.range((start, Bound::Unbounded));
            Ok(experiments.map(|(name, experiment)| (name.clone(), experiment.clone())))
        })
    }

    async fn start_run(&self, spec: &RunSpec) -> Result<Run> {
        const OP: &str = "ExperimentTracker::start_run";
        spec.check()?;
        let mut state = lock(&self.state);
        if state.runs.contains_key(&spec.id) {
            let kept = state.run(OP, &spec.id, self.clock.monotonic())?;
            kept.run.check_same(spec)?;
            return Ok(kept.run.clone());
        }
        if !state.experiments.contains_key(&spec.experiment) {
            return Err(Error::not_found(OP, "experiment", &spec.experiment));
        }
        if let Some(parent) = spec.parent.as_ref().filter(|parent| !state.runs.contains_key(*parent)) {
            return Err(Error::not_found(OP, "parent run", parent));
        }
        let run = Run::start(spec.clone(), self.clock.now());
        state.runs.insert(spec.id.clone(), Kept::new(run.clone()));
        Ok(run)
    }

    async fn write(&self, run: &RunId, batch: &LogBatch) -> Result<WriteReceipt> {
        const OP: &str = "ExperimentTracker::write";
        batch.check()?;
        let keyed =
            batch.key.as_ref().map(|key| content(OP, batch).map(|digest| (key, digest))).transpose()?;
        let mut state = lock(&self.state);
        let kept = state.run(OP, run, self.clock.monotonic())?;
        // First of all: a call that came through before the run ended may be repeated after.
        if let Some((key, digest)) = keyed
            && let Some(receipt) = kept.replay(key, digest)?
        {
            return Ok(receipt);
        }
        kept.run.check_open(OP)?;
        kept.check(batch)?;
        let receipt = kept.apply(batch);
        if let Some((key, digest)) = keyed {
            kept.writes.insert(key.clone(), (digest, receipt.clone()));
        }
        Ok(receipt)
    }

    async fn heartbeat(&self, run: &RunId, lease: Duration) -> Result<()> {
        const OP: &str = "ExperimentTracker::heartbeat";
        if lease.is_zero() {
            return Err(Error::invalid(OP, "lease", "must be longer than nothing").with("run", run));
        }
        let now = self.clock.monotonic();
        let mut state = lock(&self.state);
        let kept = state.run(OP, run, now)?;
        kept.run.check_open(OP)?;
        let span = TimeDelta::from_std(lease).unwrap_or(TimeDelta::MAX);
        let until = self.clock.now().checked_add_signed(span).unwrap_or(Timestamp::MAX_UTC);
        kept.lease_end = Some(now.saturating_add(lease));
        kept.run.lease_until = Some(until);
        Ok(())
    }

    async fn finish_run(&self, run: &RunId, end: &RunEnd) -> Result<Run> {
        const OP: &str = "ExperimentTracker::finish_run";
        if !end.status.is_final() {
            let error = Error::invalid(OP, "status", "must be finished, failed or killed");
            return Err(error.with("value", format!("{:?}", end.status)));
        }
        let mut state = lock(&self.state);
        let kept = state.run(OP, run, self.clock.monotonic())?;
        if kept.run.status == end.status {
            return Ok(kept.run.clone());
        }
        kept.run.check_open(OP)?;
        kept.run.status = end.status;
        kept.run.ended_at = Some(end.at.unwrap_or_else(|| self.clock.now()));
        kept.run.lease_until = None;
        kept.lease_end = None;
        Ok(kept.run.clone())
    }

    async fn run(&self, run: &RunId) -> Result<Run> {
        let mut state = lock(&self.state);
        Ok(state.run("ExperimentTracker::run", run, self.clock.monotonic())?.run.clone())
    }

    async fn search_runs(&self, query: &RunQuery) -> Result<Page<Run>> {
        const OP: &str = "ExperimentTracker::search_runs";
        query.check()?;
        let now = self.clock.monotonic();
        let mut state = lock(&self.state);
        let State { runs, listings, .. } = &mut *state;
        runs.values_mut().for_each(|kept| kept.expire(now));
        let runs = &*runs;
        let asked = (&query.experiments, &query.filter, &query.order, query.view);
        self.pager.page(OP, &asked, &query.page, |after: Option<(u64, usize)>| {
            let (number, found, start) = match after {
                None => {
                    let found = found(runs, query);
                    let more = found.len() > query.page.limit;
                    (if more { listings.keep(found.clone()) } else { 0 }, found, 0)
                }
                Some((number, last)) => {
                    let found = listings.find(number).ok_or_else(|| query.page.bad_token(OP))?;
                    (number, found, last + 1)
                }
            };
            Ok((start..found.len()).filter_map(move |place| {
                let run = &runs.get(&found[place])?.run;
                // What was found may not match any more; how it is now is what is shown.
                query.matches(run).then(|| ((number, place), run.clone()))
            }))
        })
    }

    async fn history(&self, run: &RunId, query: &HistoryQuery) -> Result<Page<MetricPoint>> {
        const OP: &str = "ExperimentTracker::history";
        if query.from_step > query.to_step {
            return Err(Error::invalid(OP, "from_step", "must not be greater than `to_step`")
                .with("from_step", query.from_step)
                .with("to_step", query.to_step));
        }
        let mut state = lock(&self.state);
        let kept = state.run(OP, run, self.clock.monotonic())?;
        let asked = (run, &query.key, query.from_step, query.to_step);
        self.pager.page(OP, &asked, &query.page, |after: Option<Place>| {
            let first = Bound::Included((query.from_step, Timestamp::MIN_UTC, 0));
            let last = Bound::Included((query.to_step, Timestamp::MAX_UTC, u64::MAX));
            let start = after.map_or(first, Bound::Excluded);
            let points = kept.histories.get(&query.key).map(|history| history.points.range((start, last)));
            Ok(points.into_iter().flatten().map(|(place, value)| {
                let (step, at, _) = *place;
                (*place, MetricPoint { key: query.key.clone(), value: *value, step, at })
            }))
        })
    }

    async fn set_deleted(&self, run: &RunId, deleted: bool) -> Result<Run> {
        let mut state = lock(&self.state);
        let kept = state.run("ExperimentTracker::set_deleted", run, self.clock.monotonic())?;
        kept.run.deleted = deleted;
        Ok(kept.run.clone())
    }
}

fn content(operation: &'static str, batch: &LogBatch) -> Result<Digest> {
    let bytes = serde_json::to_vec(batch).map_err(|e| {
        Error::new(ErrorKind::Internal, operation, "the batch cannot be written down").with_source(e)
    })?;
    Ok(Digest::of(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ActorId;
    use crate::conformance::tracker::TrackerUnderTest;
    use crate::time::ManualClock;

    fn fresh(wrap: impl FnOnce(MemoryTracker) -> Arc<dyn ExperimentTracker>) -> TrackerUnderTest {
        let clock = Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
        TrackerUnderTest::new(wrap(MemoryTracker::new(clock.clone()))).with_clock(clock)
    }

    crate::experiment_tracker_suite!(plain, fresh(|tracker| Arc::new(tracker)));
    crate::experiment_tracker_suite!(
        in_an_arc,
        fresh(|tracker| Arc::new(Arc::new(tracker) as Arc<dyn ExperimentTracker>))
    );
    crate::experiment_tracker_suite!(
        in_a_box,
        fresh(|tracker| Arc::new(Box::new(tracker) as Box<dyn ExperimentTracker>))
    );

    async fn one_run(tracker: &MemoryTracker) -> RunId {
        let name = ExperimentName::new("e").unwrap();
        tracker.ensure_experiment(&ExperimentSpec::new(name.clone())).await.unwrap();
        tracker.start_run(&RunSpec::new(name, "r", ActorId::new("a").unwrap())).await.unwrap().id
    }

    #[tokio::test]
    async fn a_wall_clock_that_is_set_does_not_end_leases() {
        let clock = Arc::new(ManualClock::at(chrono::DateTime::UNIX_EPOCH));
        let tracker = MemoryTracker::new(clock.clone());
        let run = one_run(&tracker).await;
        tracker.heartbeat(&run, Duration::from_secs(60)).await.unwrap();
        clock.set("2038-01-19T03:14:08Z".parse().unwrap());
        assert_eq!(tracker.run(&run).await.unwrap().status, RunStatus::Running);
        clock.set("1901-12-13T20:45:52Z".parse().unwrap());
        clock.advance(Duration::from_secs(60));
        assert_eq!(tracker.run(&run).await.unwrap().status, RunStatus::Killed);
    }

    #[tokio::test]
    async fn old_searches_are_forgotten_and_say_so() {
        let tracker = MemoryTracker::default();
        for _ in 0..2 {
            one_run(&tracker).await;
        }
        let query = RunQuery::everywhere().with_page(PageRequest::first(1));
        let oldest = tracker.search_runs(&query).await.unwrap();
        let next = query.clone().with_page(query.page.after(&oldest).unwrap());
        for _ in 0..MemoryTracker::LISTINGS - 1 {
            tracker.search_runs(&query).await.unwrap();
        }
        assert_eq!(tracker.search_runs(&next).await.unwrap().items.len(), 1);
        tracker.search_runs(&query).await.unwrap();
        assert_eq!(tracker.search_runs(&next).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(lock(&tracker.state).listings.kept.len(), MemoryTracker::LISTINGS);
    }

    #[tokio::test]
    async fn debug_output_has_no_content() {
        let tracker = MemoryTracker::default();
        let run = one_run(&tracker).await;
        assert_eq!(format!("{tracker:?}"), "MemoryTracker { experiments: 1, runs: 1, .. }");
        assert!(!format!("{tracker:?}").contains(run.as_str()));
    }

    /// The same promises kept by something too simple to be wrong: a list of points, in the order of logging.
    mod model {
        use proptest::prelude::*;

        use super::*;
        use crate::ParamKey;
        use crate::experiment::{Comparison, ExperimentTrackerExt as _, Filter};

        const RUNS: usize = 3;

        #[derive(Clone, Debug)]
        enum Step {
            Log { run: usize, points: Vec<MetricPoint>, param: Option<(ParamKey, u8)> },
            End { run: usize, end: RunEnd },
            Delete { run: usize, deleted: bool },
        }

        #[derive(Clone, Debug, Default)]
        struct Simple {
            points: Vec<MetricPoint>,
            params: BTreeMap<ParamKey, String>,
            end: Option<RunStatus>,
            deleted: bool,
        }

        impl Simple {
            /// How many points are new; nothing, if it is refused.
            fn log(&mut self, points: &[MetricPoint], param: Option<&(ParamKey, u8)>) -> Option<u64> {
                let open = self.end.is_none() && !self.deleted;
                let same = param.is_none_or(|(k, v)| self.params.get(k).is_none_or(|w| *w == v.to_string()));
                if !open || !same {
                    return None;
                }
                self.params.extend(param.map(|(key, value)| (key.clone(), value.to_string())));
                let before = self.points.len();
                for point in points {
                    if !self.points.contains(point) {
                        self.points.push(point.clone());
                    }
                }
                Some((self.points.len() - before) as u64)
            }

            fn end(&mut self, status: RunStatus) -> bool {
                match self.end {
                    Some(ended) => ended == status,
                    None if self.deleted => false,
                    None => {
                        self.end = Some(status);
                        true
                    }
                }
            }

            fn history(&self, key: &MetricKey) -> Vec<MetricPoint> {
                let mut points: Vec<_> = self.points.iter().filter(|p| p.key == *key).cloned().collect();
                points.sort_by_key(|p| (p.step, p.at));
                points
            }
        }

        fn points() -> impl Strategy<Value = Vec<MetricPoint>> {
            let value = prop::sample::select(vec![0.0, -0.0, 1.0, -2.5, f64::NAN, f64::INFINITY, 5e-324]);
            let step = prop::sample::select(vec![i64::MIN, -1, 0, 1, i64::MAX]);
            let second = prop::sample::select(vec![-1, 0, 1]);
            let point = (prop::sample::select(vec!["a", "b"]), value, step, second).prop_map(
                |(key, value, step, second)| {
                    let at = chrono::DateTime::from_timestamp(second, 0).unwrap();
                    MetricPoint::new(MetricKey::new(key).unwrap(), value, at).with_step(step)
                },
            );
            prop::collection::vec(point, 0..6)
        }

        fn step() -> impl Strategy<Value = Step> {
            let param = prop::option::of((prop::sample::select(vec!["p", "q"]), 0..2_u8))
                .prop_map(|p| p.map(|(key, value)| (ParamKey::new(key).unwrap(), value)));
            let ends = vec![RunEnd::FINISHED, RunEnd::FAILED, RunEnd::KILLED];
            prop_oneof![
                8 => (0..RUNS, points(), param)
                    .prop_map(|(run, points, param)| Step::Log { run, points, param }),
                1 => (0..RUNS, prop::sample::select(ends)).prop_map(|(run, end)| Step::End { run, end }),
                1 => (0..RUNS, any::<bool>()).prop_map(|(run, deleted)| Step::Delete { run, deleted }),
            ]
        }

        async fn take(tracker: &MemoryTracker, id: &RunId, simple: &mut Simple, step: &Step) {
            match step {
                Step::Log { points, param, .. } => {
                    let mut batch = LogBatch { metrics: points.clone(), ..LogBatch::new() };
                    batch.params =
                        param.iter().map(|(key, value)| (key.clone(), value.to_string())).collect();
                    let new = tracker.write(id, &batch).await.ok().map(|receipt| receipt.new_points);
                    assert_eq!(new, simple.log(points, param.as_ref()));
                }
                Step::End { end, .. } => {
                    assert_eq!(tracker.finish_run(id, end).await.is_ok(), simple.end(end.status));
                }
                Step::Delete { deleted, .. } => {
                    tracker.set_deleted(id, *deleted).await.unwrap();
                    simple.deleted = *deleted;
                }
            }
        }

        async fn compare(tracker: &MemoryTracker, id: &RunId, simple: &Simple) {
            let run = tracker.run(id).await.unwrap();
            assert_eq!(run.status, simple.end.unwrap_or(RunStatus::Running));
            assert_eq!((&run.params, run.deleted), (&simple.params, simple.deleted));
            for key in ["a", "b"].map(|key| MetricKey::new(key).unwrap()) {
                let expected = simple.history(&key);
                assert_eq!(tracker.full_history(id, &key).await.unwrap(), expected);
                let Some(summary) = run.metrics.get(&key) else {
                    assert!(expected.is_empty());
                    continue;
                };
                assert_eq!(Some(&summary.last), expected.last());
                assert_eq!(summary.count, expected.len() as u64);
                let numbers = || expected.iter().map(|p| p.value).filter(|v| !v.is_nan());
                assert_eq!(summary.min, numbers().reduce(f64::min));
                assert_eq!(summary.max, numbers().reduce(f64::max));
            }
        }

        async fn check(steps: Vec<Step>) {
            let tracker = MemoryTracker::default();
            let mut runs = Vec::new();
            for _ in 0..RUNS {
                runs.push((one_run(&tracker).await, Simple::default()));
            }
            for step in &steps {
                let (Step::Log { run, .. } | Step::End { run, .. } | Step::Delete { run, .. }) = step;
                let (id, simple) = &mut runs[*run];
                take(&tracker, id, simple, step).await;
            }
            for (id, simple) in &runs {
                compare(&tracker, id, simple).await;
            }
            let key = MetricKey::new("a").unwrap();
            let high = Filter::Metric { key: key.clone(), comparison: Comparison::AtLeast, value: 0.0 };
            let found = tracker.search_runs(&RunQuery::everywhere().with_filter(high)).await.unwrap();
            let last = |simple: &Simple| simple.history(&key).last().map(|p| p.value);
            let wanted = |simple: &Simple| !simple.deleted && last(simple).is_some_and(|v| v >= 0.0);
            let mut expected: Vec<_> = runs.iter().filter(|(_, s)| wanted(s)).map(|(id, _)| id).collect();
            expected.sort_by(|left, right| right.cmp(left));
            assert_eq!(found.items.iter().map(|run| &run.id).collect::<Vec<_>>(), expected);
        }

        proptest! {
            #[test]
            fn any_sequence_of_calls_does_what_the_simple_one_does(steps in prop::collection::vec(step(), 0..40)) {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(check(steps));
            }
        }
    }
}
