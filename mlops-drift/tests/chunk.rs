//! Chunks hold every row once, in the right place; late labels lead to the same rows in whatever order they come.

use std::time::Duration;

use mlops_core::num::{Random, StatsError};
use mlops_core::time::Timestamp;
use mlops_drift::chunk::{Chunk, Chunker, Cut, Joined, LabelJoin, Last, Period, Receipt, rows_needed};
use proptest::prelude::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn micros(t: i64) -> Timestamp {
    Timestamp::from_timestamp_micros(t).unwrap()
}

fn lists(chunks: &[Chunk]) -> Vec<Vec<usize>> {
    chunks.iter().map(|chunk| chunk.rows.iter().collect()).collect()
}

fn sizes(chunks: &[Chunk]) -> Vec<usize> {
    chunks.iter().map(|chunk| chunk.rows.len()).collect()
}

#[test]
fn a_partial_chunk_is_kept_dropped_or_appended() {
    for (last, expected) in
        [(Last::Keep, vec![4, 4, 2]), (Last::Drop, vec![4, 4]), (Last::Append, vec![4, 6])]
    {
        let chunks = Chunker::new(Cut::Size(4)).last(last).cut(10).unwrap();
        assert_eq!(sizes(&chunks), expected, "{last:?}");
        let partial: Vec<bool> = chunks.iter().map(|chunk| chunk.partial).collect();
        assert_eq!(partial.last(), Some(&(last == Last::Keep)));
        assert!(!partial[..partial.len() - 1].contains(&true));
        // Nothing is partial when the rows come out even.
        assert_eq!(sizes(&Chunker::new(Cut::Size(5)).last(last).cut(10).unwrap()), [5, 5]);
    }
    // The only chunk has nobody to be appended to.
    let only = Chunker::new(Cut::Size(40)).last(Last::Append).cut(10).unwrap();
    assert_eq!((sizes(&only), only[0].partial), (vec![10], true));
    assert!(Chunker::new(Cut::Size(40)).last(Last::Drop).cut(10).unwrap().is_empty());
}

#[test]
fn windows_slide_until_the_last_row_is_in_one() {
    let slide = |rows, last| {
        let chunker = Chunker::new(Cut::SlidingSize { size: 4, stride: 3 }).last(last);
        lists(&chunker.cut(rows).unwrap())
    };
    assert_eq!(slide(7, Last::Keep), [vec![0, 1, 2, 3], vec![3, 4, 5, 6]]);
    assert_eq!(slide(8, Last::Keep), [vec![0, 1, 2, 3], vec![3, 4, 5, 6], vec![6, 7]]);
    assert_eq!(slide(8, Last::Drop), [vec![0, 1, 2, 3], vec![3, 4, 5, 6]]);
    assert_eq!(slide(8, Last::Append), [vec![0, 1, 2, 3], vec![3, 4, 5, 6, 7]]);
}

#[test]
fn unsorted_times_are_cut_in_time_order() {
    let times = [
        "2026-02-03T00:00:00Z",
        "2026-01-01T00:00:00Z",
        "2026-04-09T12:00:00Z",
        "2026-01-31T23:59:59.999999Z",
    ]
    .map(at);
    let chunks = Chunker::new(Cut::Period(Period::Month)).cut_at(&times).unwrap();
    assert_eq!(lists(&chunks), [vec![1, 3], vec![0], vec![2]]);
    let keys: Vec<&str> = chunks.iter().map(|chunk| chunk.key.as_str()).collect();
    assert_eq!(keys, ["2026-01", "2026-02", "2026-04"]); // March has no rows
    assert_eq!(chunks[0].end, Some(at("2026-02-01T00:00:00Z")));
    assert_eq!(chunks[0].rows.as_range(), None);

    let by_size = Chunker::new(Cut::Size(2)).cut_at(&times).unwrap();
    assert_eq!(lists(&by_size), [vec![1, 3], vec![0, 2]]);
    assert_eq!((by_size[1].start, by_size[1].end), (Some(times[0]), Some(times[2])));

    let mut sorted = times;
    sorted.sort();
    let chunks = Chunker::new(Cut::Period(Period::Quarter)).cut_at(&sorted).unwrap();
    assert_eq!(chunks[0].rows.as_range(), Some(0..3)); // sorted rows can be borrowed
}

#[test]
fn a_period_that_is_not_over_is_partial() {
    let times = ["2026-01-10T00:00:00Z", "2026-02-10T00:00:00Z", "2026-02-11T00:00:00Z"].map(at);
    let until = |until, last| {
        Chunker::new(Cut::Period(Period::Month)).until(at(until)).last(last).cut_at(&times).unwrap()
    };
    assert!(until("2026-02-12T00:00:00Z", Last::Keep)[1].partial);
    assert!(!until("2026-03-01T00:00:00Z", Last::Keep)[1].partial);
    assert_eq!(sizes(&until("2026-02-12T00:00:00Z", Last::Drop)), [1]);
    let appended = until("2026-02-12T00:00:00Z", Last::Append);
    assert_eq!(sizes(&appended), [3]);
    assert_eq!((appended[0].key.as_str(), appended[0].end), ("2026-01", Some(at("2026-03-01T00:00:00Z"))));
}

#[test]
fn windows_in_time_begin_on_the_grid_of_their_origin() {
    let hour = Duration::from_secs(3600);
    let times: Vec<Timestamp> = (0..6).map(|h| at("2026-01-01T10:30:00Z") + hour * h).collect();
    let cut = Cut::Sliding { length: hour * 3, stride: hour * 2, origin: at("2030-01-01T01:00:00Z") };
    let chunks = Chunker::new(cut).cut_at(&times).unwrap();
    let keys: Vec<&str> = chunks.iter().map(|chunk| chunk.key.as_str()).collect();
    assert_eq!(keys, ["2026-01-01T09:00:00Z", "2026-01-01T11:00:00Z", "2026-01-01T13:00:00Z"]);
    assert_eq!(lists(&chunks), [vec![0, 1], vec![1, 2, 3], vec![3, 4, 5]]);
}

#[test]
fn a_window_in_time_without_new_rows_is_there_while_it_has_old_ones() {
    let hour = Duration::from_secs(3600);
    let start = at("2026-01-01T00:00:00Z");
    let times = [2, 4, 9].map(|h| start + hour * h);
    let cut = Cut::Sliding { length: hour * 3, stride: hour, origin: start };
    let chunks = Chunker::new(cut).cut_at(&times).unwrap();
    let begins: Vec<Timestamp> = chunks.iter().filter_map(|chunk| chunk.start).collect();
    assert_eq!(begins, [2, 3, 4, 7].map(|h| start + hour * h));
    assert_eq!(lists(&chunks), [vec![0, 1], vec![1], vec![1], vec![2]]);
}

#[test]
fn a_gap_of_years_costs_nothing() {
    let times = [at("1970-01-01T00:00:00Z"), at("9999-12-31T23:59:59Z")];
    let second = Cut::Every { length: Duration::from_micros(1), origin: at("2026-01-01T00:00:00Z") };
    assert_eq!(lists(&Chunker::new(second).cut_at(&times).unwrap()), [vec![0], vec![1]]);
    let ends = [Timestamp::MIN_UTC, Timestamp::MAX_UTC];
    let day = Duration::from_secs(86_400);
    let grid = Cut::Sliding { length: day, stride: day / 2, origin: at("2026-01-01T00:00:00Z") };
    for cut in [Cut::Period(Period::Hour), Cut::Period(Period::Week), second, grid] {
        let chunks = Chunker::new(cut).cut_at(&ends).unwrap();
        let mut rows: Vec<usize> = lists(&chunks).concat();
        rows.dedup();
        assert_eq!(rows, [0, 1], "{cut:?}");
    }
}

#[test]
fn what_makes_no_chunks_is_refused() {
    let parameter = |result: Result<Vec<Chunk>, StatsError>| match result {
        Err(StatsError::Parameter { parameter, .. }) => parameter,
        other => panic!("{other:?}"),
    };
    let rows = |cut| Chunker::new(cut).cut(10);
    assert_eq!(parameter(rows(Cut::Size(0))), "size");
    assert_eq!(parameter(rows(Cut::Count(0))), "count");
    assert_eq!(parameter(rows(Cut::SlidingSize { size: 3, stride: 0 })), "stride");
    assert_eq!(parameter(rows(Cut::SlidingSize { size: 3, stride: 4 })), "stride");
    let times = |length, stride| {
        Chunker::new(Cut::Sliding { length, stride, origin: micros(0) }).cut_at(&[micros(5)])
    };
    let second = Duration::from_secs(1);
    assert_eq!(parameter(times(Duration::ZERO, second)), "length");
    assert_eq!(parameter(times(Duration::MAX, second)), "length");
    assert_eq!(parameter(times(second, Duration::from_nanos(10))), "stride");
    assert_eq!(parameter(times(second, second * 2)), "stride");
    assert_eq!(rows(Cut::Size(1)).unwrap().len(), 10);
    assert_eq!(Chunker::new(Cut::Size(1)).cut(0), Err(StatsError::Empty { argument: "rows" }));
    assert_eq!(
        Chunker::new(Cut::Period(Period::Day)).cut_at(&[]),
        Err(StatsError::Empty { argument: "rows" })
    );
    assert!(matches!(rows(Cut::Period(Period::Day)), Err(StatsError::Unsupported { .. })));
    assert!(matches!(Chunker::new(Cut::Size(1)).cut(usize::MAX), Err(StatsError::Overflow { .. })));
    let tiny = Cut::Sliding { length: second * 100, stride: Duration::from_micros(1), origin: micros(0) };
    let spread = [micros(0), micros(99_000_000), micros(300_000_000)];
    assert!(matches!(Chunker::new(tiny).cut_at(&spread), Err(StatsError::Overflow { .. })));
}

#[test]
fn chunks_too_small_to_judge_say_so() {
    let needed = rows_needed(0.9, -0.1, 0.05, 0.9).unwrap();
    let chunker = Chunker::new(Cut::Size(150)).min_rows(usize::try_from(needed).unwrap());
    let enough: Vec<bool> = chunker.cut(330).unwrap().iter().map(|chunk| chunk.enough).collect();
    assert_eq!(enough, [true, true, false]);
    for (reference, change, alpha, power) in [
        (1.1, -0.1, 0.05, 0.8),
        (0.5, 0.0, 0.05, 0.8),
        (0.5, 0.6, 0.05, 0.8),
        (0.5, 0.1, 0.0, 0.8),
        (0.5, 0.1, 0.1, f64::NAN),
    ] {
        assert!(matches!(rows_needed(reference, change, alpha, power), Err(StatsError::Parameter { .. })));
    }
}

#[test]
fn the_number_of_rows_needed_gives_the_power_asked_for() {
    // A share of 0.9 that falls to 0.85 must be noticed 8 times of 10 at α = 0.05.
    let rows = rows_needed(0.9, -0.05, 0.05, 0.8).unwrap();
    let spread = 1.959_963_984_540_054 * (0.9 * 0.1 / rows as f64).sqrt();
    let mut random = Random::new(11);
    let noticed = (0..2000)
        .filter(|_| {
            let hits = (0..rows).filter(|_| random.next_f64() < 0.85).count();
            (hits as f64 / rows as f64 - 0.9).abs() > spread
        })
        .count();
    // Four binomial standard deviations of 2000 draws are 0.036.
    assert!((noticed as f64 / 2000.0 - 0.8).abs() < 0.04, "{noticed}");
}

proptest! {
    #[test]
    fn every_row_is_in_a_chunk_and_in_one_without_overlap(
        times in prop::collection::vec(-5_000_000_000_i64..5_000_000_000, 1..60),
        size in 1_usize..20,
        stride in 1_usize..20,
    ) {
        let times: Vec<Timestamp> = times.into_iter().map(micros).collect();
        let minutes = |n: usize| Duration::from_secs(60 * n as u64);
        let (length, stride) = (size.max(stride), size.min(stride));
        let origin = micros(777);
        let whole = [Cut::Size(size), Cut::Count(size), Cut::Period(Period::Hour), Cut::Every { length: minutes(size), origin }];
        let sliding = [
            Cut::SlidingSize { size: length, stride },
            Cut::Sliding { length: minutes(length), stride: minutes(stride), origin },
        ];
        for cut in whole.into_iter().chain(sliding) {
            let chunks = Chunker::new(cut).cut_at(&times).unwrap();
            let mut rows = lists(&chunks).concat();
            let total = rows.len();
            rows.sort_unstable();
            rows.dedup();
            prop_assert_eq!(&rows, &(0..times.len()).collect::<Vec<_>>(), "{:?}", cut);
            prop_assert!(sliding.contains(&cut) || total == times.len(), "{:?}", cut);
            for chunk in &chunks {
                let (start, end) = (chunk.start.unwrap(), chunk.end.unwrap());
                prop_assert!(chunk.rows.iter().all(|row| start <= times[row] && times[row] <= end), "{:?}", chunk);
                prop_assert!(!chunk.rows.is_empty());
            }
        }
    }

    #[test]
    fn deliveries_and_merges_in_any_order_lead_to_the_same_rows(
        events in prop::collection::vec((0_u8..6, any::<bool>(), 0_i64..4, 0_i32..3), 0..40),
        cuts in prop::collection::vec(0_usize..3, 40),
        seed in any::<u64>(),
    ) {
        let deliver = |join: &mut LabelJoin<i32, i32>, &(id, label, t, value): &(u8, bool, i64, i32)| {
            let id = format!("row {id}");
            if label { join.label(&id, micros(t), value) } else { join.predict(&id, micros(t), value) }.unwrap()
        };
        let mut whole = LabelJoin::new();
        events.iter().for_each(|event| { deliver(&mut whole, event); });

        // Shuffled, each delivered twice, spread over three shards, merged in another order.
        let mut shuffled = [events.clone(), events].concat();
        Random::new(seed).shuffle(&mut shuffled);
        let mut shards: [LabelJoin<i32, i32>; 3] = [LabelJoin::new(), LabelJoin::new(), LabelJoin::new()];
        for (event, shard) in shuffled.iter().zip(cuts.iter().cycle()) {
            deliver(&mut shards[*shard], event);
        }
        let [a, b, c] = shards;
        let (mut left, mut right) = (a.clone(), c.clone());
        left.merge(b.clone());
        left.merge(c);
        right.merge(b);
        right.merge(a);
        let pairs = |join: &LabelJoin<i32, i32>| {
            let joined = join.between(micros(0), micros(10));
            let pairs: Vec<(i32, i32)> = joined.pairs.iter().map(|(p, l)| (**p, **l)).collect();
            let counts = join.counts();
            (pairs, joined.predictions, counts.matched, counts.waiting, counts.unmatched, counts.conflicts)
        };
        prop_assert_eq!(pairs(&left), pairs(&whole));
        prop_assert_eq!(&left, &right);
        let text = serde_json::to_string(&left).unwrap();
        prop_assert_eq!(serde_json::from_str::<LabelJoin<i32, i32>>(&text).unwrap(), left);
    }
}

#[test]
fn a_chunk_is_known_better_as_labels_arrive() {
    let mut join: LabelJoin<f64, f64> = LabelJoin::new();
    let noon = at("2026-03-01T12:00:00Z");
    let later = at("2026-04-01T00:00:00Z");
    assert_eq!(join.label("early", later, 9.0), Ok(Receipt::New)); // before its prediction
    for id in ["a", "b", "early"] {
        assert_eq!(join.predict(id, noon, 1.0), Ok(Receipt::New));
    }
    assert_eq!(join.predict("next day", at("2026-03-02T12:00:00Z"), 1.0), Ok(Receipt::New));
    let days = Chunker::new(Cut::Period(Period::Day));
    let completeness = |join: &LabelJoin<f64, f64>| {
        let chunks = join.by_chunk(&days).unwrap();
        chunks.iter().map(|(_, rows)| (rows.labelled(), rows.predictions)).collect::<Vec<_>>()
    };
    assert_eq!(completeness(&join), [(1, 3), (0, 1)]);
    assert_eq!(join.label("a", later, 2.0), Ok(Receipt::New));
    assert_eq!(join.label("a", later, 2.0), Ok(Receipt::Duplicate));
    assert_eq!(join.label("a", at("2026-03-15T00:00:00Z"), 5.0), Ok(Receipt::Outdated));
    assert_eq!(join.label("nobody", later, 5.0), Ok(Receipt::New));
    assert_eq!(completeness(&join), [(2, 3), (0, 1)]);
    assert_eq!(join.label("a", at("2026-05-01T00:00:00Z"), 3.0), Ok(Receipt::Revised));
    let pairs: Vec<f64> = join.between(noon, later).pairs.iter().map(|(_, label)| **label).collect();
    assert_eq!(pairs, [3.0, 9.0]);

    let counts = join.counts();
    assert_eq!((counts.matched, counts.waiting, counts.unmatched), (2, 2, 1));
    assert_eq!((counts.conflicts, counts.duplicates), (1, 1));
    assert_eq!(join.forget_before(at("2026-03-02T00:00:00Z")), 3);
    assert_eq!(join.counts().forgotten, 3);
    assert_eq!(completeness(&join), [(0, 1)]);
}

#[test]
fn a_join_of_nothing_has_no_chunks_and_no_completeness() {
    let join: LabelJoin<f64, f64> = LabelJoin::new();
    assert!(join.by_chunk(&Chunker::new(Cut::Size(3))).unwrap().is_empty());
    let nothing: Joined<'_, f64, f64> = join.between(micros(0), micros(1));
    assert_eq!(nothing.completeness().value(), None);
}

#[test]
fn ids_that_are_none_and_states_of_other_versions_are_refused() {
    let mut join: LabelJoin<f64, bool> = LabelJoin::new();
    assert_eq!(join.predict("", micros(0), 0.5), Err(StatsError::Empty { argument: "id" }));
    let long = "x".repeat(513);
    assert!(matches!(join.label(&long, micros(0), true), Err(StatsError::Parameter { parameter: "id", .. })));
    assert!(join.predict(&long[1..], micros(0), 0.5).is_ok());
    for text in [
        r#"{"version":2,"entries":{},"duplicates":0,"forgotten":0}"#,
        r#"{"version":1,"entries":{"a":{"prediction":null,"label":null}},"duplicates":0,"forgotten":0}"#,
        r#"{"version":1,"entries":{},"duplicates":0,"forgotten":0,"more":1}"#,
    ] {
        assert!(serde_json::from_str::<LabelJoin<f64, bool>>(text).is_err(), "{text}");
    }
    let chunker = Chunker::new(Cut::Period(Period::Week)).last(Last::Append).min_rows(7).until(micros(5));
    let text = serde_json::to_string(&chunker).unwrap();
    assert_eq!(serde_json::from_str::<Chunker>(&text).unwrap(), chunker);
}
