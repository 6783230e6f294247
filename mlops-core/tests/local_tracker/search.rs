//! Searches in SQL against [`RunQuery::matches`] and [`RunQuery::compare`].

use std::sync::OnceLock;
use std::time::Duration;

use chrono::TimeDelta;
use mlops_core::experiment::{
    Comparison, DataInput, ExperimentSpec, ExperimentTracker as _, Field, Filter, InputMatch, LogBatch,
    Match, MetricPoint, MetricStat, OrderBy, Run, RunEnd, RunQuery, RunSpec, RunStatus, View,
};
use mlops_core::hash::Digest;
use mlops_core::local::LocalTracker;
use mlops_core::time::Timestamp;
use mlops_core::{ActorId, AssetName, ErrorKind, ExperimentName, PageRequest, ParamKey, TagKey, Version};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use super::support::{block, key, open, start};

const TEXTS: [&str; 12] = ["", "a", "A", "ab", "a%b", "a_b", "É", "é", "a\0b", "\0", "100%", "' OR 1=1 --"];
const NUMBERS: [f64; 9] = [f64::NEG_INFINITY, -1.5, -0.0, 0.0, 5e-324, 1.0, 2.0, f64::INFINITY, f64::NAN];

fn time(micros: i64) -> Timestamp {
    chrono::DateTime::from_timestamp_micros(micros).unwrap()
}

struct World {
    tracker: LocalTracker,
    all: Vec<Run>,
    _folder: tempfile::TempDir,
}

/// Runs that differ, and agree, in everything one can search for.
fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let tracker = open(folder.path()).tracker();
        let mut parent = None;
        for i in 0..60_usize {
            let name = ExperimentName::new(["one", "two"][i % 2]).unwrap();
            block(tracker.ensure_experiment(&ExperimentSpec::new(name.clone()))).unwrap();
            let actor = ActorId::new(["ann", "bob", "Ann"][i % 3]).unwrap();
            let mut spec = RunSpec::new(name, TEXTS[i % 12], actor);
            spec.started_at = Some(time(1_000_000 * i64::try_from(i % 5).unwrap()));
            spec.parent = parent.clone().filter(|_| i % 4 == 1);
            let run = block(tracker.start_run(&spec)).unwrap();
            block(tracker.write(&run.id, &content(i))).unwrap();
            finish(&tracker, &run, i);
            parent = Some(run.id);
        }
        let all = RunQuery::everywhere().with_view(View::All).with_page(PageRequest::first(1000));
        let all = block(tracker.search_runs(&all)).unwrap().items;
        assert_eq!(all.len(), 60);
        World { tracker, all, _folder: folder }
    })
}

fn content(i: usize) -> LogBatch {
    let mut batch = LogBatch::new();
    if !i.is_multiple_of(5) {
        let points = [(0, NUMBERS[(i + 3) % 9]), (1, NUMBERS[i % 9])];
        for (step, value) in points {
            batch = batch.metric(MetricPoint::new(key("score"), value, time(0)).with_step(step));
        }
    }
    if !i.is_multiple_of(7) {
        batch = batch.param(ParamKey::new("p").unwrap(), TEXTS[(i / 2) % 12]);
        batch = batch.tag(TagKey::new("t").unwrap(), TEXTS[(i / 3) % 12]);
    }
    if i.is_multiple_of(3) {
        batch = batch.input(DataInput::new(
            AssetName::new(["data", "more"][i % 2]).unwrap(),
            Version::new(1 + i as u64 % 2).unwrap(),
            Digest::of(&[u8::try_from(i % 4).unwrap()]),
            TEXTS[i % 12].to_owned(),
        ));
    }
    batch
}

fn finish(tracker: &LocalTracker, run: &Run, i: usize) {
    let status = [RunStatus::Finished, RunStatus::Failed, RunStatus::Killed, RunStatus::Running][i % 4];
    if status.is_final() {
        let at = Some(
            run.started_at + TimeDelta::microseconds(1_000_000 * i64::try_from(i % 3).unwrap() - 500_000),
        );
        block(tracker.finish_run(&run.id, &RunEnd::new(status).with_at(at))).unwrap();
    }
    if i.is_multiple_of(9) {
        block(tracker.set_deleted(&run.id, true)).unwrap();
    }
}

fn comparison() -> impl Strategy<Value = Comparison> {
    prop::sample::select(vec![
        Comparison::Less,
        Comparison::AtMost,
        Comparison::Equal,
        Comparison::NotEqual,
        Comparison::AtLeast,
        Comparison::Greater,
    ])
}

fn text() -> impl Strategy<Value = Match> {
    let some = || prop::sample::select(TEXTS.to_vec()).prop_map(str::to_owned);
    let pattern = prop::sample::select(vec!["%", "a%", "A_", "_", "%b", "%\0%", "é", "", "%a%b%", "a\\%b"]);
    let pattern = move || pattern.clone().prop_map(str::to_owned);
    prop_oneof![
        some().prop_map(Match::Equals),
        some().prop_map(Match::Contains),
        some().prop_map(Match::StartsWith),
        prop::collection::vec(some(), 0..4).prop_map(Match::In),
        prop::collection::vec(some(), 0..4).prop_map(Match::NotIn),
        pattern().prop_map(Match::Like),
        pattern().prop_map(Match::ILike),
    ]
}

fn moment() -> impl Strategy<Value = Timestamp> {
    // Between, at, and a part of a microsecond beside the times that are there.
    (-1..6_i64, prop::sample::select(vec![0, 1, 999, 500_000_000, 1_500_000_000])).prop_map(
        |(second, nanos)| {
            chrono::DateTime::from_timestamp(second * 60 - 1, nanos)
                .unwrap_or_else(|| chrono::DateTime::from_timestamp(second, nanos % 1_000_000_000).unwrap())
        },
    )
}

fn leaf() -> impl Strategy<Value = Filter> {
    let number = || prop::sample::select(NUMBERS.to_vec());
    let metric = || prop::sample::select(vec!["score", "never"]).prop_map(key);
    let stat = prop::sample::select(vec![MetricStat::Min, MetricStat::Max, MetricStat::Count]);
    let param = || prop::sample::select(vec!["p", "never"]).prop_map(|k| ParamKey::new(k).unwrap());
    let tag = || prop::sample::select(vec!["t", "never"]).prop_map(|k| TagKey::new(k).unwrap());
    let statuses = prop::sample::subsequence(
        vec![
            RunStatus::Scheduled,
            RunStatus::Running,
            RunStatus::Finished,
            RunStatus::Failed,
            RunStatus::Killed,
        ],
        0..4,
    );
    let run = || (0..60_usize).prop_map(|i| world().all[i].id.clone());
    let input = (prop::option::of(text()), prop::option::of(1..3_u64), prop::option::of(text())).prop_map(
        |(asset, version, role)| {
            let mut input = InputMatch::default();
            (input.asset, input.role) = (asset, role);
            input.version = version.and_then(Version::new);
            input
        },
    );
    let took = prop::sample::select(vec![
        Duration::ZERO,
        Duration::from_millis(500),
        Duration::from_nanos(500_000_001),
        Duration::MAX,
    ]);
    prop_oneof![
        (metric(), comparison(), number()).prop_map(|(key, comparison, value)| Filter::Metric {
            key,
            comparison,
            value
        }),
        (metric(), stat, comparison(), number()).prop_map(|(key, stat, comparison, value)| {
            Filter::MetricStat { key, stat, comparison, value }
        }),
        (param(), text()).prop_map(|(key, text)| Filter::Param(key, text)),
        (tag(), text()).prop_map(|(key, text)| Filter::Tag(key, text)),
        text().prop_map(Filter::Name),
        text().prop_map(Filter::Actor),
        text().prop_map(Filter::Id),
        run().prop_map(|id| Filter::Id(Match::Equals(id.to_string()))),
        statuses.prop_map(Filter::Status),
        (comparison(), moment()).prop_map(|(c, at)| Filter::Started(c, at)),
        (comparison(), moment()).prop_map(|(c, at)| Filter::Ended(c, at)),
        (comparison(), took).prop_map(|(c, limit)| Filter::Took(c, limit)),
        run().prop_map(Filter::Parent),
        prop::sample::select(vec!["data", "none"]).prop_map(|a| Filter::Input(AssetName::new(a).unwrap())),
        input.prop_map(Filter::AnyInput),
        metric().prop_map(Filter::HasMetric),
        param().prop_map(Filter::HasParam),
        tag().prop_map(Filter::HasTag),
        Just(Filter::HasParent),
        Just(Filter::HasEnded),
    ]
}

fn filter() -> impl Strategy<Value = Filter> {
    leaf().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Filter::And),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Filter::Or),
            inner.prop_map(|part| Filter::Not(Box::new(part))),
        ]
    })
}

fn field() -> impl Strategy<Value = Field> {
    prop::sample::select(vec![
        Field::Started,
        Field::Ended,
        Field::Name,
        Field::Id,
        Field::Actor,
        Field::Status,
        Field::Took,
        Field::Metric(key("score")),
        Field::MetricStat(key("score"), MetricStat::Min),
        Field::MetricStat(key("score"), MetricStat::Max),
        Field::MetricStat(key("score"), MetricStat::Count),
        Field::Param(ParamKey::new("p").unwrap()),
        Field::Tag(TagKey::new("t").unwrap()),
    ])
}

fn query() -> impl Strategy<Value = RunQuery> {
    let order = (field(), any::<bool>()).prop_map(|(field, descending)| match descending {
        true => OrderBy::descending(field),
        false => OrderBy::ascending(field),
    });
    let experiments = prop::sample::subsequence(vec!["one", "two", "none"], 0..3);
    let view = prop::sample::select(vec![View::Active, View::Deleted, View::All]);
    let limit = prop::sample::select(vec![1, 7, 1000]);
    (filter(), prop::collection::vec(order, 0..4), experiments, view, limit).prop_map(
        |(filter, order, experiments, view, limit)| {
            let query = RunQuery::everywhere()
                .with_filter(filter)
                .with_view(view)
                .with_page(PageRequest::first(limit));
            let mut query = order.into_iter().fold(query, RunQuery::with_order);
            query.experiments =
                experiments.into_iter().map(|name| ExperimentName::new(name).unwrap()).collect();
            query
        },
    )
}

fn search(tracker: &LocalTracker, query: &RunQuery) -> Vec<Run> {
    let (mut query, mut out) = (query.clone(), Vec::new());
    loop {
        let mut page = block(tracker.search_runs(&query)).unwrap();
        assert!(page.items.len() <= query.page.limit);
        out.append(&mut page.items);
        match query.page.after(&page) {
            Some(next) => query.page = next,
            None => return out,
        }
    }
}

fn expected(query: &RunQuery) -> Vec<&'static Run> {
    let mut runs: Vec<&Run> = world().all.iter().filter(|run| query.matches(run)).collect();
    runs.sort_by(|left, right| query.compare(left, right));
    runs
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sql_finds_what_matches_in_the_order_asked_for(query in query()) {
        let found = search(&world().tracker, &query);
        prop_assert_eq!(found.iter().collect::<Vec<_>>(), expected(&query));
    }
}

/// Each leaf and each field once by itself, so that none of them is only ever seen beside others.
#[test]
fn every_kind_of_filter_and_order_is_understood() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..300 {
        let leaf = leaf().new_tree(&mut runner).unwrap().current();
        for filter in [leaf.clone(), Filter::Not(Box::new(leaf))] {
            let query = RunQuery::everywhere().with_filter(filter).with_page(PageRequest::first(1000));
            let found = search(&world().tracker, &query);
            assert_eq!(found.iter().collect::<Vec<_>>(), expected(&query), "{query:?}");
        }
    }
}

#[test]
fn filters_that_are_too_much_for_sql_are_answered_all_the_same() {
    let tracker = &world().tracker;
    let name = |text: &str| Filter::Name(Match::Equals(text.to_owned()));
    let wide = Filter::Or((0..Filter::MAX_COMPARISONS).map(|i| name(TEXTS[i % 2])).collect());
    let long = Filter::Name(Match::In(
        (1..Filter::MAX_TEXTS).map(|i| i.to_string()).chain(["a".to_owned()]).collect(),
    ));
    let many: Vec<OrderBy> =
        (0..200).map(|i| OrderBy::ascending(Field::Metric(key(&format!("m{i}"))))).collect();
    for filter in [wide.clone(), Filter::Not(Box::new(wide)), long] {
        for order in [vec![], many.clone(), vec![OrderBy::descending(Field::Name); 100]] {
            for limit in [7, 1000] {
                let mut query =
                    RunQuery::everywhere().with_filter(filter.clone()).with_page(PageRequest::first(limit));
                query.order = order.clone();
                let found = search(tracker, &query);
                assert_eq!(found.iter().collect::<Vec<_>>(), expected(&query));
            }
        }
    }
}

#[test]
fn tokens_of_orders_that_cannot_move_hold_for_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (open(folder.path()).tracker(), open(folder.path()).tracker());
    (0..3).for_each(|_| drop(start(&one)));
    for (order, holds) in [(vec![], true), (vec![OrderBy::descending(Field::Ended)], false)] {
        let mut query = RunQuery::everywhere().with_page(PageRequest::first(1));
        query.order = order;
        let first = block(one.search_runs(&query)).unwrap();
        let next = query.clone().with_page(query.page.after(&first).unwrap());
        assert!(block(one.search_runs(&next)).is_ok());
        let other = block(two.search_runs(&next)).map(|page| page.items.len()).map_err(|e| e.kind());
        assert_eq!(other, if holds { Ok(1) } else { Err(ErrorKind::InvalidInput) });
    }
}
