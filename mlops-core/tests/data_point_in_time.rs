//! Point-in-time joins: against pandas, against brute force, and against what can be wrong with the data.

use std::time::Duration;

use mlops_core::ErrorKind;
use mlops_core::data::{
    Column, DataType, FeatureProof, FeatureView, PointInTimeJoin, Table, Validity, Values,
};
use proptest::prelude::*;
use serde_json::Value;

fn numbers(value: &Value) -> Vec<i64> {
    value.as_array().unwrap().iter().map(|v| v.as_i64().unwrap()).collect()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect()
}

fn labels(table: &Table<'_>, column: &str) -> Vec<Option<String>> {
    let column = table.column(column).unwrap();
    (0..column.len()).map(|row| column.label(row).map(|label| label.into_owned())).collect()
}

#[test]
fn rows_are_those_that_pandas_finds() {
    let reference: Value = serde_json::from_str(include_str!("reference/point_in_time.json")).unwrap();
    let (f, e) = (&reference["features"], &reference["entities"]);
    let rows = i64::try_from(f["key"].as_array().unwrap().len()).unwrap();
    let features = Table::new(vec![
        Column::text("key", texts(&f["key"])).unwrap(),
        Column::i64("event", numbers(&f["event"])).unwrap(),
        Column::i64("created", numbers(&f["created"])).unwrap(),
        Column::i64("row", (0..rows).collect::<Vec<_>>()).unwrap(),
    ])
    .unwrap();
    let entities = Table::new(vec![
        Column::text("key", texts(&e["key"])).unwrap(),
        Column::i64("at", numbers(&e["at"])).unwrap(),
    ])
    .unwrap();
    let join = PointInTimeJoin::new(["key"], "at");
    let cases = reference["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 12);
    for case in cases {
        let mut view =
            FeatureView::new("f", &features, "event", "created").with_ttl(case["ttl"].as_u64().unwrap());
        if case["strict"] == true {
            view = view.strictly_before();
        }
        if case["created"] == false {
            view = view.without_knowledge_cutoff();
        }
        let joined = join.join(&entities, &[view]).unwrap();
        let expected: Vec<Option<String>> = case["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row.as_i64().map(|row| row.to_string()))
            .collect();
        assert_eq!(labels(&joined.table, "row"), expected, "{case}");
        let proof = &joined.proofs[0];
        assert_eq!(proof.matched, expected.iter().flatten().count());
        // Rows written late are there: without the cutoff the proof must fail, and with it it must hold.
        assert_eq!(proof.holds(), case["created"] == true, "{proof}");
        assert_eq!(joined.require_proven().is_ok(), proof.holds());
        assert_eq!(proof.withheld > 0, case["created"] == true);
    }
}

fn times(name: &'static str, hours: &[i64]) -> Column<'static> {
    Column::new(name, Values::Time(hours.iter().map(|h| h * 3_600_000_000).collect::<Vec<_>>().into()), None)
        .unwrap()
}

#[test]
fn the_age_limit_includes_both_ends_and_is_a_duration_where_times_are_joined() {
    let features = Table::new(vec![
        Column::i64("k", vec![1]).unwrap(),
        times("event", &[10]),
        Column::text("x", ["value"]).unwrap(),
    ])
    .unwrap();
    let entities =
        Table::new(vec![Column::i64("k", vec![1; 5]).unwrap(), times("at", &[9, 10, 33, 34, 35])]).unwrap();
    let join = PointInTimeJoin::new(["k"], "at");
    let view = FeatureView::known_at_once("f", &features, "event");
    let day = Duration::from_secs(86_400);
    let joined = join.join(&entities, &[view.clone().with_ttl(day)]).unwrap();
    let value = Some("value".to_owned());
    assert_eq!(labels(&joined.table, "x"), [None, value.clone(), value.clone(), value.clone(), None]);
    let proof = &joined.proofs[0];
    assert_eq!((proof.matched, proof.not_yet, proof.expired, proof.missing), (3, 1, 1, 0));
    assert_eq!((proof.max_event_lead, proof.max_created_lead), (Some(0), None));
    assert!(proof.holds() && !proof.knowledge_recorded && proof.to_string().contains("not recorded"));
    let strict = join.join(&entities, &[view.clone().with_ttl(day).strictly_before()]).unwrap();
    assert_eq!(labels(&strict.table, "x"), [None, None, value.clone(), value, None]);
    assert_eq!(strict.proofs[0].max_event_lead, Some(-23 * 3_600_000_000));
    assert!(strict.proofs[0].to_string().contains("event − entity at most −23h"), "{}", strict.proofs[0]);
    let error = join.join(&entities, &[view.with_ttl(24)]).unwrap_err();
    assert!(error.message().contains("without a unit"), "{error}");
    assert_eq!(error.context("view"), Some("f"));
}

#[test]
fn equal_times_are_told_and_the_last_row_is_taken() {
    let features = Table::new(vec![
        Column::i64("k", vec![1, 1, 1, 2]).unwrap(),
        Column::i64("event", vec![4, 4, 4, 4]).unwrap(),
        Column::i64("created", vec![5, 6, 6, 6]).unwrap(),
        Column::i64("x", vec![10, 20, 30, 40]).unwrap(),
    ])
    .unwrap();
    let entities =
        Table::new(vec![Column::i64("k", vec![2, 1, 1]).unwrap(), Column::i64("at", vec![9, 9, 5]).unwrap()]);
    let view = FeatureView::new("f", &features, "event", "created");
    let joined = PointInTimeJoin::new(["k"], "at").join(&entities.unwrap(), &[view]).unwrap();
    assert_eq!(labels(&joined.table, "x"), ["40", "30", "10"].map(|x| Some(x.to_owned())));
    assert_eq!(joined.proofs[0].ties, 1);
}

#[test]
fn entity_rows_stay_in_their_order_with_every_type_and_several_views() {
    let valid = |bits: &[bool]| Some(Validity::from_bools(bits));
    let features = Table::new(vec![
        Column::text("name", ["a", "b"]).unwrap(),
        Column::bool("flag", vec![true, false]).unwrap(),
        Column::i64("event", vec![1, 1]).unwrap(),
        Column::f64("f64", vec![0.5, f64::NAN]).unwrap(),
        Column::new("f32", Values::F32(vec![1.5, 2.5].into()), None).unwrap(),
        Column::new("i64", Values::I64(vec![7, 8].into()), valid(&[true, false])).unwrap(),
        Column::optional_text("text", [None, Some("t")]).unwrap(),
        times("time", &[0, 1]),
    ])
    .unwrap();
    let none = features.take(&[]).unwrap();
    let entities = Table::new(vec![
        Column::optional_text("who", [Some("b"), None, Some("a"), Some("z"), Some("a")]).unwrap(),
        Column::bool("which", vec![false, true, true, true, false]).unwrap(),
        Column::i64("at", vec![5, 5, 1, 5, 5]).unwrap(),
    ])
    .unwrap();
    let view =
        |table, name| FeatureView::known_at_once(name, table, "event").with_keys(["name", "flag"]).prefixed();
    let joined = PointInTimeJoin::new(["who", "which"], "at")
        .join(&entities, &[view(&features, "full"), view(&none, "empty").with_features(["text", "f32"])])
        .unwrap();
    assert_eq!(
        joined.table.names().collect::<Vec<_>>(),
        [
            "who",
            "which",
            "at",
            "full__f64",
            "full__f32",
            "full__i64",
            "full__text",
            "full__time",
            "empty__text",
            "empty__f32"
        ]
    );
    let some = |values: [&str; 5]| values.map(|v| (!v.is_empty()).then(|| v.to_owned()));
    assert_eq!(labels(&joined.table, "full__f64"), some(["NaN", "", "0.5", "", ""]));
    assert_eq!(labels(&joined.table, "full__f32"), some(["2.5", "", "1.5", "", ""]));
    assert_eq!(labels(&joined.table, "full__i64"), some(["", "", "7", "", ""]));
    assert_eq!(labels(&joined.table, "full__text"), some(["t", "", "", "", ""]));
    assert_eq!(labels(&joined.table, "empty__text"), some(["", "", "", "", ""]));
    assert_eq!(joined.table.column("empty__f32").unwrap().data_type(), DataType::F32);
    assert_eq!(labels(&joined.table, "who"), labels(&entities, "who"));
    let proof = joined.proofs.iter().find(|proof| proof.feature == "i64").unwrap();
    assert_eq!((proof.matched, proof.null_values, proof.missing), (2, 1, 3));
    let read: FeatureProof = serde_json::from_str(&serde_json::to_string(proof).unwrap()).unwrap();
    assert_eq!(&read, proof);
}

#[test]
fn what_cannot_be_placed_in_time_is_refused_with_its_row() {
    let valid = Some(Validity::from_bools(&[true, false]));
    let features = Table::new(vec![
        Column::i64("k", vec![1, 1]).unwrap(),
        Column::i64("event", vec![1, 2]).unwrap(),
        Column::new("late", Values::I64(vec![1, 2].into()), valid.clone()).unwrap(),
        Column::f64("float", vec![1.0, 2.0]).unwrap(),
        Column::text("text", ["a", "b"]).unwrap(),
        times("time", &[1, 2]),
        Column::i64("x", vec![0, 0]).unwrap(),
    ])
    .unwrap();
    let entities = Table::new(vec![
        Column::i64("k", vec![1, 1]).unwrap(),
        Column::i64("at", vec![5, 6]).unwrap(),
        Column::new("gone", Values::I64(vec![1, 2].into()), valid).unwrap(),
        Column::i64("x", vec![0, 0]).unwrap(),
    ])
    .unwrap();
    let join = |at: &str| PointInTimeJoin::new(["k"], at);
    let view =
        |event: &str, created: &str| FeatureView::new("f", &features, event, created).with_features(["text"]);
    for (error, message) in [
        (join("gone").join(&entities, &[]), "column `gone`, row 2: the time is missing"),
        (join("at").join(&entities, &[view("late", "event")]), "column `late`, row 2: the time is missing"),
        (join("at").join(&entities, &[view("event", "late")]), "column `late`, row 2: the time is missing"),
        (join("at").join(&entities, &[view("float", "event")]), "floats are never the same time"),
        (join("at").join(&entities, &[view("text", "event")]), "must hold numbers or times"),
        (join("at").join(&entities, &[view("time", "time")]), "holds Time, but `at` holds I64"),
        (join("at").join(&entities, &[view("event", "event").with_keys(["text"])]), "holds Category"),
        (join("at").join(&entities, &[view("event", "event").with_keys(["k", "x"])]), "has 2 columns"),
        (
            join("at").join(&entities, &[view("event", "event").with_features(["x"])]),
            "the name of another column",
        ),
        (PointInTimeJoin::new(Vec::<String>::new(), "at").join(&entities, &[]), "must not be empty"),
    ] {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.message().contains(message), "{message}: {error}");
    }
    let unknown = join("at").join(&entities, &[view("event", "nope")]).unwrap_err();
    assert_eq!((unknown.kind(), unknown.context("view")), (ErrorKind::NotFound, Some("f")));
    let none = entities.take(&[]).unwrap();
    let empty = join("at").join(&none, &[view("event", "event")]).unwrap();
    assert_eq!(
        (empty.table.rows(), empty.proofs[0].max_event_lead, empty.proofs[0].holds()),
        (0, None, true)
    );
}

#[test]
fn times_at_the_ends_of_their_range_are_joined() {
    let features = Table::new(vec![
        Column::i64("k", vec![1]).unwrap(),
        Column::i64("event", vec![i64::MIN]).unwrap(),
        Column::i64("x", vec![3]).unwrap(),
    ])
    .unwrap();
    let entities =
        Table::new(vec![Column::i64("k", vec![1]).unwrap(), Column::i64("at", vec![i64::MAX]).unwrap()])
            .unwrap();
    let view = FeatureView::known_at_once("f", &features, "event");
    let join = PointInTimeJoin::new(["k"], "at");
    let joined = join.join(&entities, std::slice::from_ref(&view)).unwrap();
    assert_eq!((joined.proofs[0].matched, joined.proofs[0].max_event_lead), (1, Some(i64::MIN)));
    assert_eq!(join.join(&entities, &[view.with_ttl(u64::MAX - 1)]).unwrap().proofs[0].expired, 1);
}

type Rows = Vec<(i64, i64, i64)>;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn rows_are_those_of_the_definition(
        features in prop::collection::vec((0_i64..4, 0_i64..30, -6_i64..12), 0..60),
        entities in prop::collection::vec((0_i64..5, -2_i64..45), 1..40),
        ttl in 0_u64..15, strict: bool, cutoff: bool,
    ) {
        let features: Rows = features.into_iter().map(|(key, event, delay)| (key, event, event + delay)).collect();
        let column = |name, of: fn(&(i64, i64, i64)) -> i64| Column::i64(name, features.iter().map(of).collect::<Vec<_>>()).unwrap();
        let rows: Vec<i64> = (0..i64::try_from(features.len()).unwrap()).collect();
        let table = Table::new(vec![
            column("k", |row| row.0),
            column("event", |row| row.1),
            column("created", |row| row.2),
            Column::i64("row", rows).unwrap(),
        ])
        .unwrap();
        let asked = Table::new(vec![
            Column::i64("k", entities.iter().map(|e| e.0).collect::<Vec<_>>()).unwrap(),
            Column::i64("at", entities.iter().map(|e| e.1).collect::<Vec<_>>()).unwrap(),
        ])
        .unwrap();
        let mut view = FeatureView::new("f", &table, "event", "created").with_ttl(ttl);
        if strict {
            view = view.strictly_before();
        }
        if !cutoff {
            view = view.without_knowledge_cutoff();
        }
        let joined = PointInTimeJoin::new(["k"], "at").join(&asked, &[view]).unwrap();
        let before = |time: i64, at: i64| if strict { time < at } else { time <= at };
        let ttl = i64::try_from(ttl).unwrap();
        let choose = |key: i64, at: i64, cutoff: bool| {
            (0..features.len())
                .filter(|&row| features[row].0 == key && before(features[row].1, at))
                .filter(|&row| !cutoff || before(features[row].2, at))
                .filter(|&row| ttl == 0 || features[row].1 >= at - ttl)
                .max_by_key(|&row| (features[row].1, features[row].2, row))
        };
        let expected: Vec<Option<usize>> = entities.iter().map(|&(key, at)| choose(key, at, cutoff)).collect();
        let found: Vec<Option<usize>> =
            labels(&joined.table, "row").into_iter().map(|label| label.map(|row| row.parse().unwrap())).collect();
        prop_assert_eq!(&found, &expected);
        let proof = &joined.proofs[0];
        let leads = |of: fn(&(i64, i64, i64)) -> i64| {
            expected.iter().zip(&entities).filter_map(|(row, e)| row.map(|row| of(&features[row]) - e.1)).max()
        };
        prop_assert_eq!((proof.max_event_lead, proof.max_created_lead), (leads(|row| row.1), leads(|row| row.2)));
        prop_assert!(proof.holds() || !cutoff);
        prop_assert_eq!(proof.matched + proof.missing + proof.not_yet + proof.expired, entities.len());
        prop_assert_eq!(proof.missing, entities.iter().filter(|e| features.iter().all(|row| row.0 != e.0)).count());
        if cutoff {
            let changed = entities.iter().filter(|e| choose(e.0, e.1, true) != choose(e.0, e.1, false)).count();
            prop_assert_eq!(proof.withheld, changed);
        }
    }
}
