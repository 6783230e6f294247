//! The tracker against something too simple to be wrong: a list of points, in the order of logging.

use std::collections::BTreeMap;

use mlops_core::experiment::{
    ExperimentTracker as _, ExperimentTrackerExt as _, HistoryQuery, LogBatch, MetricPoint, RunEnd, RunStatus,
};
use mlops_core::local::{LocalTracker, LoggerOptions, RunLogger};
use mlops_core::{MetricKey, PageRequest, ParamKey, RunId};
use proptest::prelude::*;

use super::support::{block, open, start};

const RUNS: usize = 2;

#[derive(Clone, Debug)]
enum Step {
    Write { run: usize, points: Vec<MetricPoint>, param: Option<(ParamKey, u8)> },
    Log { run: usize, points: Vec<MetricPoint> },
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
    fn write(&mut self, points: &[MetricPoint], param: Option<&(ParamKey, u8)>) -> Option<u64> {
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

fn point() -> impl Strategy<Value = MetricPoint> {
    let value = prop::sample::select(vec![0.0, -0.0, 1.0, -2.5, f64::NAN, f64::INFINITY, 5e-324]);
    let step = prop_oneof![8 => -20..40_i64, 1 => Just(i64::MIN), 1 => Just(i64::MAX)];
    let at = prop::sample::select(vec![-1, 0, 1]);
    (prop::sample::select(vec!["a", "b"]), value, step, at).prop_map(|(key, value, step, at)| {
        let at = chrono::DateTime::from_timestamp_micros(at).unwrap();
        MetricPoint::new(MetricKey::new(key).unwrap(), value, at).with_step(step)
    })
}

/// Points one after the other, as a loop logs them: many go into one chunk.
fn rising() -> impl Strategy<Value = Vec<MetricPoint>> {
    (-20..20_i64, 60..140_usize, any::<bool>()).prop_map(|(first, count, second)| {
        let key = MetricKey::new(if second { "a" } else { "b" }).unwrap();
        let at = chrono::DateTime::UNIX_EPOCH;
        (first..)
            .take(count)
            .map(|step| MetricPoint::new(key.clone(), step as f64, at).with_step(step))
            .collect()
    })
}

fn points() -> impl Strategy<Value = Vec<MetricPoint>> {
    prop_oneof![
        4 => prop::collection::vec(point(), 0..6),
        2 => prop::collection::vec(point(), 60..200),
        2 => rising(),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let param = prop::option::of((prop::sample::select(vec!["p", "q"]), 0..2_u8))
        .prop_map(|p| p.map(|(key, value)| (ParamKey::new(key).unwrap(), value)));
    let ends = vec![RunEnd::FINISHED, RunEnd::FAILED, RunEnd::KILLED];
    prop_oneof![
        10 => (0..RUNS, points(), param).prop_map(|(run, points, param)| Step::Write { run, points, param }),
        6 => (0..RUNS, points()).prop_map(|(run, points)| Step::Log { run, points }),
        1 => (0..RUNS, prop::sample::select(ends)).prop_map(|(run, end)| Step::End { run, end }),
        1 => (0..RUNS, any::<bool>()).prop_map(|(run, deleted)| Step::Delete { run, deleted }),
    ]
}

async fn take(tracker: &LocalTracker, id: &RunId, logger: &RunLogger, simple: &mut Simple, step: &Step) {
    match step {
        Step::Write { points, param, .. } => {
            let mut batch = LogBatch::new().with_metrics(points.clone());
            batch.params = param.iter().map(|(key, value)| (key.clone(), value.to_string())).collect();
            let new = tracker.write(id, &batch).await.ok().map(|receipt| receipt.new_points);
            assert_eq!(new, simple.write(points, param.as_ref()));
        }
        Step::Log { points, .. } => {
            // A logger of a deleted run goes on: it was open when the logger was made.
            let hidden = std::mem::take(&mut simple.deleted);
            for point in points {
                logger.metric_at(&point.key, point.value, point.step, point.at);
            }
            simple.write(points, None);
            simple.deleted = hidden;
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

async fn compare(tracker: &LocalTracker, id: &RunId, simple: &Simple) {
    let run = tracker.run(id).await.unwrap();
    assert_eq!(run.status, simple.end.unwrap_or(RunStatus::Running));
    assert_eq!((&run.params, run.deleted), (&simple.params, simple.deleted));
    for key in ["a", "b"].map(|key| MetricKey::new(key).unwrap()) {
        let expected = simple.history(&key);
        assert_eq!(tracker.full_history(id, &key).await.unwrap(), expected);
        assert_eq!(by_pages(tracker, id, &key, 7).await, expected);
        let window = HistoryQuery::new(key.clone()).with_from_step(-3).with_to_step(20);
        let inside: Vec<_> = expected.iter().filter(|p| (-3..=20).contains(&p.step)).cloned().collect();
        assert_eq!(tracker.history(id, &window).await.unwrap().items, inside);
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

async fn by_pages(tracker: &LocalTracker, id: &RunId, key: &MetricKey, limit: usize) -> Vec<MetricPoint> {
    let mut query = HistoryQuery::new(key.clone()).with_page(PageRequest::first(limit));
    let mut out = Vec::new();
    loop {
        let mut page = tracker.history(id, &query).await.unwrap();
        assert!(page.items.len() <= limit);
        out.append(&mut page.items);
        match query.page.after(&page) {
            Some(next) => query.page = next,
            None => return out,
        }
    }
}

fn check(steps: &[Step]) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let tracker = store.tracker();
    let mut runs: Vec<_> = (0..RUNS)
        .map(|_| {
            let id = start(&tracker);
            let logger = tracker.logger(&id, LoggerOptions::default()).unwrap();
            (id, logger, Simple::default())
        })
        .collect();
    for step in steps {
        let (Step::Write { run, .. }
        | Step::Log { run, .. }
        | Step::End { run, .. }
        | Step::Delete { run, .. }) = step;
        let (id, logger, simple) = &mut runs[*run];
        block(take(&tracker, id, logger, simple, step));
    }
    for (id, _, simple) in &runs {
        block(compare(&tracker, id, simple));
    }
    // And the same after everything was closed.
    let runs: Vec<_> = runs.into_iter().map(|(id, _, simple)| (id, simple)).collect();
    drop((tracker, store));
    let tracker = open(folder.path()).tracker();
    for (id, simple) in &runs {
        block(compare(&tracker, id, simple));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_calls_does_what_the_simple_one_does(steps in prop::collection::vec(step(), 0..16)) {
        check(&steps);
    }
}
