//! Splits and folds: held against scikit-learn, and against what they promise.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use mlops_core::ErrorKind;
use mlops_core::data::{
    Column, CombinatorialPurged, CrossValidation, Folds, FoldsManifest, Fractions, History, LabelSpan, Part,
    Partition, Span, Split, SplitManifest, Table, TimeWindows, Values,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn reference() -> Value {
    serde_json::from_str(include_str!("reference/splits.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<i64> {
    value.as_array().unwrap().iter().map(|v| v.as_i64().unwrap()).collect()
}

fn texts(value: &Value) -> Vec<String> {
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    value.as_array().unwrap().iter().map(text).collect()
}

fn one(name: &'static str, values: Vec<i64>) -> Table<'static> {
    Table::new(vec![Column::i64(name, values).unwrap()]).unwrap()
}

fn days(values: Vec<i64>) -> Table<'static> {
    one("day", values)
}

/// The fold that tests each row; −1 for none.
fn fold_of(folds: &Folds) -> Vec<i64> {
    let mut out = vec![-1; folds.manifest().rows];
    for (number, fold) in folds.folds().iter().enumerate() {
        fold.test().iter().for_each(|&row| out[row] = i64::try_from(number).unwrap());
    }
    out
}

/// The columns of a case: whole numbers stay numbers, so that their order is numeric.
fn column(name: &'static str, value: &Value) -> Column<'static> {
    match value[0].is_i64() {
        true => Column::i64(name, numbers(value)).unwrap(),
        false => Column::text(name, texts(value)).unwrap(),
    }
}

#[test]
fn folds_that_share_out_the_rows_are_scikit_learns() {
    let reference = reference();
    let cases = reference["cases"].as_array().unwrap();
    let mut seen = BTreeMap::new();
    for case in cases {
        let folds = usize::try_from(case["folds"].as_u64().unwrap()).unwrap();
        let rows = case["rows"].as_i64().unwrap();
        let mut columns = vec![Column::i64("row", (0..rows).collect::<Vec<_>>()).unwrap()];
        columns.extend(case.get("y").map(|y| column("y", y)));
        columns.extend(case.get("groups").map(|groups| column("group", groups)));
        let table = Table::new(columns).unwrap();
        let method = case["method"].as_str().unwrap();
        let splitter = match method {
            "k_fold" => CrossValidation::kfold(folds),
            "stratified" => CrossValidation::stratified("y", folds),
            "group" => CrossValidation::group("group", folds),
            _ => CrossValidation::stratified_group("y", "group", folds),
        };
        let made = splitter.apply(&table).unwrap();
        assert_eq!(fold_of(&made), numbers(&case["fold_of"]), "{method} {rows} {folds}");
        *seen.entry(method).or_insert(0) += 1;
    }
    assert_eq!(seen.values().copied().collect::<Vec<_>>(), [4, 4, 4, 5]);
}

#[test]
fn windows_on_equal_steps_are_scikit_learns_time_series_split() {
    for case in reference()["series"].as_array().unwrap() {
        let number = |key: &str| case[key].as_u64();
        let table = days((0..case["rows"].as_i64().unwrap()).collect());
        let folds = usize::try_from(number("folds").unwrap()).unwrap();
        let mut windows = TimeWindows::new(folds, number("test").unwrap()).with_gap(number("gap").unwrap());
        if let Some(train) = number("train") {
            windows = windows.rolling(train);
        }
        let made = CrossValidation::time("day", windows).apply(&table).unwrap();
        let ends = |rows: &[usize]| json!([rows.first(), rows.last()]);
        let found: Vec<Value> =
            made.folds().iter().map(|f| json!([ends(f.train()), ends(f.test())])).collect();
        assert_eq!(json!(found), case["ends"], "{case}");
        for fold in made.folds() {
            let whole = |rows: &[usize]| rows.windows(2).all(|pair| pair[0] + 1 == pair[1]);
            assert!(whole(fold.train()) && whole(fold.test()));
        }
    }
}

#[test]
fn predefined_folds_are_scikit_learns() {
    let reference = reference();
    let table = one("fold", numbers(&reference["predefined"]["fold"]));
    let made = CrossValidation::predefined("fold").apply(&table).unwrap();
    let tests: Vec<&[usize]> = made.folds().iter().map(|fold| fold.test()).collect();
    assert_eq!(json!(tests), reference["predefined"]["tests"]);
    assert!(made.folds().iter().all(|fold| fold.train().len() + fold.test().len() == 9));
}

#[test]
fn windows_go_by_time_and_not_by_the_order_or_number_of_rows() {
    // Two rows a day, shuffled, and a hole of a week: windows are days, not rows.
    let at: Vec<i64> = vec![9, 1, 20, 8, 9, 2, 21, 8, 1, 3];
    let table = days(at.clone());
    let windows = TimeWindows::new(2, 2).with_step(12).with_gap(1);
    let made = CrossValidation::time("day", windows).apply(&table).unwrap();
    let times = |rows: &[usize]| {
        let mut times: Vec<i64> = rows.iter().map(|&row| at[row]).collect();
        times.sort_unstable();
        times
    };
    assert_eq!(times(made.folds()[0].test()), [8, 8, 9, 9]);
    assert_eq!(times(made.folds()[0].train()), [1, 1, 2, 3]);
    assert_eq!(times(made.folds()[1].test()), [20, 21]);
    assert_eq!(times(made.folds()[1].train()), [1, 1, 2, 3, 8, 8, 9, 9]);
    let summary = &made.manifest().folds[1];
    let range = summary.test.times.as_ref().unwrap();
    assert_eq!((range.first.as_str(), range.last.as_str()), ("20", "21"));
}

#[test]
fn lengths_have_the_unit_of_their_column() {
    const HOUR: i64 = 3_600_000_000;
    let at = Values::Time((0..48).map(|hour| hour * HOUR).collect::<Vec<_>>().into());
    let table = Table::new(vec![Column::new("at", at, None).unwrap()]).unwrap();
    let hours = |n: u32| n * Duration::from_secs(3_600);
    let windows = TimeWindows::new(2, hours(6)).with_labels(LabelSpan::For(hours(3).into()));
    let made = CrossValidation::time("at", windows).apply(&table).unwrap();
    // The window of hours 36 to 41 (the labels of 33, 34 and 35 are made at 36 to 38).
    assert_eq!(made.folds()[0].test(), (36..42).collect::<Vec<_>>());
    assert_eq!((made.folds()[0].train().last(), made.folds()[0].purged()), (Some(&32), 3));
    let error = CrossValidation::time("at", TimeWindows::new(2, 6)).apply(&table).unwrap_err();
    assert!(error.message().contains("without a unit"), "{error}");
    let gap = Split::time("at", Fractions::test(0.25).unwrap()).with_gap(hours(2)).apply(&table).unwrap();
    assert_eq!((gap.train().last(), gap.test()[0]), (Some(&33), 36));
    assert!(Split::time("at", Fractions::test(0.25).unwrap()).with_gap(2).apply(&table).is_err());
}

#[test]
fn a_surrounding_history_is_purged_on_both_sides_and_keeps_the_embargo() {
    let table = days((0..100).collect());
    let windows = TimeWindows::new(1, 10)
        .surrounding()
        .with_gap(2)
        .with_labels(LabelSpan::For(3.into()))
        .with_embargo(5);
    let last = CrossValidation::time("day", windows.clone()).apply(&table).unwrap();
    assert_eq!((last.folds()[0].test().first(), last.folds()[0].train().last()), (Some(&90), Some(&86)));
    let mut five = windows;
    five.folds = 5;
    let earlier = CrossValidation::time("day", five).apply(&table).unwrap();
    // Test 50 to 59, labels until 62: 60 to 62 are purged, 63 to 67 are under the embargo.
    let fold = &earlier.folds()[0];
    assert_eq!(fold.test(), (50..60).collect::<Vec<_>>());
    assert_eq!(fold.train(), (0..47).chain(68..100).collect::<Vec<_>>());
    assert_eq!((fold.purged(), fold.embargoed()), (1 + 3, 5));
}

#[test]
fn settings_out_of_their_range_are_refused_with_their_name() {
    let table = Table::new(vec![
        Column::i64("day", (0..20).collect::<Vec<_>>()).unwrap(),
        Column::i64("end", (0..20).map(|i| i - i64::from(i == 7)).collect::<Vec<_>>()).unwrap(),
        Column::text("class", (0..20).map(|i| i.to_string())).unwrap(),
        Column::f64("x", (0..20).map(|i| if i == 3 { f64::INFINITY } else { 0.5 }).collect::<Vec<_>>())
            .unwrap(),
        Column::i64("fold", (0..20).map(|i| i - 2).collect::<Vec<_>>()).unwrap(),
    ])
    .unwrap();
    let windows = || TimeWindows::new(2, 3);
    let purged = CombinatorialPurged::new;
    let time = |windows| CrossValidation::time("day", windows);
    let combinatorial = |purged| CrossValidation::combinatorial_purged("day", purged);
    for (splitter, field, message) in [
        (CrossValidation::kfold(1), "folds", "must be 2 at least"),
        (CrossValidation::kfold(0), "folds", "must be 2 at least"),
        (CrossValidation::kfold(21), "folds", "20 rows leave no test rows to fold 20"),
        (CrossValidation::kfold(2).with_repeats(2), "repeats", "without a seed"),
        (CrossValidation::kfold(2).with_shuffle(1).with_repeats(0), "repeats", "must be 1"),
        (CrossValidation::stratified("class", 2), "folds", "no class has more than 1"),
        (CrossValidation::stratified_group("class", "day", 2), "folds", "no class has more than 1"),
        (CrossValidation::group("class", 21), "folds", "there are 20 groups"),
        (CrossValidation::hash("x", "", 2), "column", "floats"),
        (CrossValidation::hash("day", "", 2).with_shuffle(1), "seed", "draws nothing"),
        (CrossValidation::predefined("class"), "column", "whole numbers"),
        (CrossValidation::predefined("fold"), "column", "row 1"),
        (time(TimeWindows::new(0, 3)), "folds", "must be 1 at least"),
        (time(TimeWindows::new(2, 0)), "test", "must not be nothing"),
        (time(windows().with_step(0)), "step", "must not be nothing"),
        (time(windows().rolling(0)), "history", "must not be nothing"),
        (time(windows().with_embargo(1)), "embargo", "say surrounding"),
        (time(windows().with_gap(100)), "windows", "no train rows"),
        (time(TimeWindows::new(8, 3)), "windows", "no test rows"),
        (time(windows().with_labels(LabelSpan::Until("end".into()))), "labels", "row 8"),
        (time(windows().with_labels(LabelSpan::Until("class".into()))), "labels", "numbers or times"),
        (CrossValidation::time("x", windows()), "column", "row 4: the time is not finite"),
        (combinatorial(purged(2, 2)), "test_groups", "between 1 and 1"),
        (combinatorial(purged(21, 1)), "groups", "20 rows"),
        (combinatorial(purged(3, 1).with_labels(LabelSpan::For(100.into()))), "labels", "no training rows"),
    ] {
        let error = splitter.apply(&table).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert_eq!(error.context("field"), Some(field), "{error}");
        assert!(error.message().contains(message), "{message}: {error}");
    }
    for splitter in [
        CrossValidation::kfold(10_001),
        CrossValidation::kfold(usize::MAX).with_shuffle(0).with_repeats(usize::MAX),
        time(TimeWindows::new(usize::MAX, 1)),
        combinatorial(purged(1_000, 500)),
        combinatorial(purged(5_000, 4_999)),
        combinatorial(purged(usize::MAX, usize::MAX / 2)),
    ] {
        assert_eq!(splitter.apply(&table).unwrap_err().kind(), ErrorKind::LimitExceeded);
    }
    assert_eq!(CrossValidation::group("nope", 2).apply(&table).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(CrossValidation::kfold(2).apply(&days(vec![])).is_err());
}

#[test]
fn times_at_the_ends_of_their_range_do_not_overflow() {
    let table = days(vec![i64::MIN, -1, 0, i64::MAX]);
    let windows = TimeWindows::new(1, u64::MAX / 2).with_gap(u64::MAX / 4);
    let made = CrossValidation::time("day", windows).apply(&table).unwrap();
    assert_eq!((made.folds()[0].train(), made.folds()[0].test()), (&[0][..], &[3][..]));
    let purged =
        CombinatorialPurged::new(4, 1).with_labels(LabelSpan::For(Span::from(1))).with_embargo(u64::MAX);
    let made = CrossValidation::combinatorial_purged("day", purged).apply(&table);
    assert_eq!(made.unwrap_err().context("field"), Some("labels"));
}

#[test]
fn settings_and_folds_survive_being_written_and_are_checked_when_read() {
    let table = days((0..40).collect());
    let purged = CombinatorialPurged::new(5, 2).with_labels(LabelSpan::For(1.into())).with_embargo(1);
    for splitter in [
        CrossValidation::kfold(4).with_shuffle(3).with_repeats(2).with_times("day"),
        CrossValidation::group("day", 4).with_classes("day"),
        CrossValidation::time("day", TimeWindows::new(2, 5).surrounding().with_embargo(2)),
        CrossValidation::combinatorial_purged("day", purged),
        CrossValidation::hash("day", "salt", 3),
    ] {
        let made = splitter.apply(&table).unwrap();
        let text = serde_json::to_string(&made).unwrap();
        let read: Folds = serde_json::from_str(&text).unwrap();
        assert_eq!(read, made);
        let manifest: FoldsManifest =
            serde_json::from_str(&serde_json::to_string(made.manifest()).unwrap()).unwrap();
        assert_eq!(manifest.verify(&table).unwrap(), made);
        assert!(manifest.verify(&days((1..41).rev().collect())).is_err(), "{splitter:?}");
        let mut value: Value = serde_json::from_str(&text).unwrap();
        let first = value["folds"][0]["test"][0].clone();
        value["folds"][0]["train"][0] = first;
        assert!(serde_json::from_value::<Folds>(value.clone()).is_err());
        value["folds"][0]["train"] = json!([u64::MAX]);
        assert!(serde_json::from_value::<Folds>(value.clone()).is_err());
        value["folds"] = json!([]);
        value["manifest"]["rows"] = json!(u64::MAX);
        assert!(serde_json::from_value::<Folds>(value).is_err());
    }
    for bad in [
        json!({"method": "k_fold"}),
        json!({"method": "k_fold", "folds": 1}),
        json!({"method": "k_fold", "folds": 4, "column": "x"}),
        json!({"method": "k_fold", "folds": 4, "repeats": 3}),
        json!({"method": "k_fold", "folds": -4}),
        json!({"method": "group", "folds": 4}),
        json!({"method": "time", "column": "x"}),
        json!({"method": "time", "column": "x", "windows": {"folds": 2, "test": "seven days"}}),
        json!({"method": "time", "column": "x", "windows": {"folds": 2, "test": 1, "trian": 2}}),
        json!({"method": "combinatorial_purged", "column": "x", "purged": {"groups": 4, "test_groups": 4}}),
        json!({"method": "hash", "column": "x", "folds": 2}),
        json!({"method": "hash", "column": "x", "folds": 2, "salt": "", "seed": 1}),
        json!({"method": "bootstrap"}),
    ] {
        assert!(serde_json::from_value::<CrossValidation>(bad.clone()).is_err(), "{bad}");
    }
    let history: History = serde_json::from_str(r#"{"rolling": "30d"}"#).unwrap();
    assert_eq!(history, History::Rolling(Duration::from_secs(30 * 86_400).into()));
}

#[test]
fn a_split_says_what_its_parts_are_like_and_can_be_held_against_the_table() {
    let table = Table::new(vec![
        Column::i64("day", (0..20).collect::<Vec<_>>()).unwrap(),
        Column::text("sex", (0..20).map(|i| ["f", "m", "m", "m"][i % 4])).unwrap(),
    ])
    .unwrap();
    let split = Split::stratified("sex", Fractions::test(0.4).unwrap(), 3).with_times("day");
    let parts = split.apply(&table).unwrap();
    let test = &parts.manifest().parts[&Part::Test];
    assert_eq!(test.classes.as_ref().unwrap().counts, BTreeMap::from([("f".into(), 2), ("m".into(), 6)]));
    assert_eq!((test.rows, test.classes.as_ref().unwrap().distinct), (8, 2));
    let times = parts.manifest().parts[&Part::Train].times.clone().unwrap();
    let days: Vec<String> = parts.train().iter().map(usize::to_string).collect();
    assert_eq!([Some(&times.first), Some(&times.last)], [days.first(), days.last()]);

    let text = serde_json::to_string(&parts).unwrap();
    assert_eq!(serde_json::from_str::<Partition>(&text).unwrap(), parts);
    let manifest: SplitManifest =
        serde_json::from_str(&serde_json::to_string(parts.manifest()).unwrap()).unwrap();
    assert_eq!(manifest.verify(&table).unwrap(), parts);
    parts.verify(&table).unwrap();
    let other = Table::new(vec![
        Column::i64("day", (100..120).collect::<Vec<_>>()).unwrap(),
        table.columns()[1].clone(),
    ])
    .unwrap();
    for error in [parts.verify(&other).unwrap_err(), manifest.verify(&other).unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Integrity);
        assert!(error.message().contains("not like those described"), "{error}");
    }
    // Rows that a file counts wrongly, and more rows than memory has.
    for (pointer, value) in [
        ("/manifest/parts/test/rows", json!(9)),
        ("/manifest/rows", json!(u64::MAX)),
        ("/manifest/split/fractions/test", json!(-1)),
    ] {
        let mut read: Value = serde_json::from_str(&text).unwrap();
        *read.pointer_mut(pointer).unwrap() = value;
        assert!(serde_json::from_value::<Partition>(read).is_err(), "{pointer}");
    }
    let predefined = Partition::predefined(20, vec![0, 2], None, vec![1]).unwrap();
    predefined.verify(&table).unwrap();
    let described = predefined.described(&table, Some("sex"), None).unwrap();
    described.verify(&table).unwrap();
    assert_eq!(described.manifest().parts[&Part::Test].classes.as_ref().unwrap().counts["m"], 1);
}

#[test]
fn more_classes_than_can_be_listed_are_counted_only() {
    let table = Table::new(vec![Column::text("id", (0..1_000).map(|i| i.to_string())).unwrap()]).unwrap();
    let parts = Split::holdout(Fractions::test(0.5).unwrap(), 1).with_classes("id").apply(&table).unwrap();
    let classes = parts.manifest().parts[&Part::Test].classes.clone().unwrap();
    assert_eq!((classes.counts.len(), classes.distinct), (0, 500));
}

#[test]
fn the_hash_takes_about_its_share_and_other_salts_are_independent() {
    let table = days((0..20_000).collect());
    let fractions = Fractions::validation_test(0.1, 0.2).unwrap();
    let split = |salt: &str| Split::hash("day", salt, fractions).apply(&table).unwrap();
    let (a, b) = (split("a"), split("b"));
    // Standard deviations are 57 and 42.
    for parts in [&a, &b] {
        assert!(parts.test().len().abs_diff(4_000) < 230, "{}", parts.test().len());
        assert!(parts.validation().unwrap().len().abs_diff(2_000) < 170);
    }
    let both: HashSet<&usize> = a.test().iter().collect();
    let both = b.test().iter().filter(|row| both.contains(row)).count();
    assert!(both.abs_diff(800) < 120, "{both}");
    // The key is its text: the same numbers as text go the same way.
    let text = Table::new(vec![Column::text("day", (0..20_000).map(|i| i.to_string())).unwrap()]).unwrap();
    assert_eq!(Split::hash("day", "a", fractions).apply(&text).unwrap().test(), a.test());
    let missing = Table::new(vec![Column::optional_text("k", [Some("a"), None]).unwrap()]).unwrap();
    let error = Split::hash("k", "", fractions).apply(&missing).unwrap_err();
    assert!(error.message().contains("row 2: the key is missing"), "{error}");
}

/// Every way to split, over the columns `k` and `g` (keys, classes, groups) and `t` (times).
fn all_ways() -> (Vec<Split>, Vec<CrossValidation>) {
    let fractions = Fractions::validation_test(0.25, 0.25).unwrap();
    let splits = vec![
        Split::holdout(fractions, 1).with_classes("k").with_times("t"),
        Split::stratified("k", fractions, 1),
        Split::group("g", fractions, 1),
        Split::stratified_group("k", "g", fractions, 1),
        Split::time("t", fractions),
        Split::hash("k", "salt", fractions),
    ];
    let folds = vec![
        CrossValidation::kfold(3).with_shuffle(1),
        CrossValidation::stratified("k", 3),
        CrossValidation::group("g", 3),
        CrossValidation::stratified_group("k", "g", 3),
        CrossValidation::time("t", TimeWindows::new(1, Duration::from_secs(1))),
        CrossValidation::combinatorial_purged("t", CombinatorialPurged::new(3, 1)),
        CrossValidation::predefined("k"),
        CrossValidation::hash("k", "salt", 3),
    ];
    (splits, folds)
}

#[test]
fn tables_with_nothing_to_split_are_refused_by_every_method() {
    let column = |name: &'static str, rows: usize, present: bool| {
        let valid = mlops_core::data::Validity::from_bools(&vec![present; rows]);
        let values = match name {
            "t" => Values::Time(vec![0; rows].into()),
            _ => Values::I64(vec![0; rows].into()),
        };
        Column::new(name, values, Some(valid)).unwrap()
    };
    let table =
        |rows, present| Table::new(["k", "g", "t"].map(|name| column(name, rows, present)).to_vec()).unwrap();
    let (splits, folds) = all_ways();
    for (rows, present) in [(0, true), (1, true), (0, false), (1, false)] {
        for split in &splits {
            let error = split.apply(&table(rows, present)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{split:?} {rows}: {error}");
        }
        for folds in &folds {
            let error = folds.apply(&table(rows, present)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{folds:?} {rows}: {error}");
        }
    }
    // All missing: what decides is not there.
    for split in &splits[1..] {
        let error = split.apply(&table(40, false)).unwrap_err();
        assert!(error.message().contains("missing"), "{split:?}: {error}");
    }
    for folds in &folds[1..] {
        let error = folds.apply(&table(40, false)).unwrap_err();
        assert!(
            error.message().contains("missing") || error.message().contains("or -1"),
            "{folds:?}: {error}"
        );
    }
    assert!(CrossValidation::predefined("k").apply(&one("k", vec![-1; 5])).is_err());
    let none = Table::default();
    assert!(splits.iter().all(|split| split.apply(&none).is_err()));
    assert!(folds.iter().all(|folds| folds.apply(&none).is_err()));
}

#[test]
fn a_class_a_row_and_dates_beyond_the_calendar_are_split_too() {
    let rows = 40_000;
    let table = Table::new(vec![
        Column::i64("k", (0..rows).collect::<Vec<_>>()).unwrap(),
        Column::i64("g", (0..rows).collect::<Vec<_>>()).unwrap(),
        Column::new("t", Values::Time((0..rows).map(|row| i64::MIN + row).collect::<Vec<_>>().into()), None)
            .unwrap(),
    ])
    .unwrap();
    let (splits, folds) = all_ways();
    for split in &splits {
        match split.apply(&table) {
            Ok(parts) => {
                let used: usize = parts.parts().map(|(_, rows)| rows.len()).sum();
                assert_eq!(i64::try_from(used).unwrap(), rows, "{split:?}");
                let times = parts.manifest().parts.values().filter_map(|part| part.times.as_ref());
                assert!(times.into_iter().all(|times| times.first.starts_with("-9223372036854")));
            }
            Err(error) => {
                // As many classes as groups would take 5·10⁹ steps.
                assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{split:?}: {error}");
                assert!(format!("{split:?}").contains("StratifiedGroup"));
            }
        }
    }
    for folds in &folds {
        match folds.apply(&table) {
            Ok(made) => assert_eq!(i64::try_from(made.manifest().rows).unwrap(), rows),
            Err(error) => {
                assert!(
                    matches!(error.kind(), ErrorKind::LimitExceeded | ErrorKind::InvalidInput),
                    "{folds:?}: {error}"
                );
            }
        }
    }
}

#[test]
fn a_smaller_training_share_moves_rows_out_of_training_only() {
    let table = days((0..5_000).collect());
    let small = Split::hash("day", "s", Fractions::test(0.1).unwrap()).apply(&table).unwrap();
    let large =
        Split::hash("day", "s", Fractions::validation_test(0.2, 0.15).unwrap()).apply(&table).unwrap();
    let test: HashSet<usize> = large.test().iter().copied().collect();
    assert!(small.test().iter().all(|row| test.contains(row)));
}

#[test]
fn repeats_draw_differently_and_seeds_can_be_told_apart() {
    let table = days((0..50).collect());
    let made = |seed| CrossValidation::kfold(5).with_shuffle(seed).with_repeats(3).apply(&table).unwrap();
    let (a, b, c) = (made(1), made(1), made(2));
    assert_eq!(a, b);
    assert_ne!(a.manifest().digest, c.manifest().digest);
    let tests: HashSet<&[usize]> = a.folds().iter().map(|fold| fold.test()).collect();
    assert_eq!(tests.len(), 15);
}

fn check_folds(folds: &Folds, exhaustive: bool) {
    let rows = folds.manifest().rows;
    let mut tested = vec![0_usize; rows];
    for (fold, summary) in folds.folds().iter().zip(&folds.manifest().folds) {
        let train: HashSet<usize> = fold.train().iter().copied().collect();
        assert!(!fold.train().is_empty() && !fold.test().is_empty());
        assert!(fold.train().is_sorted() && fold.test().is_sorted());
        assert!(fold.test().iter().all(|row| *row < rows && !train.contains(row)));
        assert_eq!((summary.train.rows, summary.test.rows), (fold.train().len(), fold.test().len()));
        fold.test().iter().for_each(|&row| tested[row] += 1);
        if exhaustive {
            assert_eq!(fold.train().len() + fold.test().len(), rows);
        }
    }
    let times = folds.manifest().method.repeats();
    assert!(!exhaustive || tested.iter().all(|&n| n == times));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_row_is_tested_once_a_repeat(
        class in prop::collection::vec(0_i64..4, 24..120), folds in 2_usize..6, seed in prop::option::of(any::<u64>()),
        repeats in 1_usize..4,
    ) {
        let rows = class.len();
        let group: Vec<i64> = (0..rows).map(|row| i64::try_from(row * 7 % 20).unwrap()).collect();
        let table = Table::new(vec![Column::i64("y", class.clone()).unwrap(), Column::i64("g", group.clone()).unwrap()]).unwrap();
        for splitter in [
            CrossValidation::kfold(folds),
            CrossValidation::stratified("y", folds),
            CrossValidation::group("g", folds),
            CrossValidation::stratified_group("y", "g", folds),
        ] {
            let splitter = match seed {
                Some(seed) => splitter.with_shuffle(seed).with_repeats(repeats),
                None => splitter,
            };
            let name = format!("{:?}", splitter.method());
            let Ok(made) = splitter.apply(&table) else {
                // Whole groups may leave a fold without rows; the others always work with classes this large.
                prop_assert!(name.starts_with("StratifiedGroup"), "{}", name);
                continue;
            };
            check_folds(&made, true);
            if name.contains("Group") {
                for fold in made.folds() {
                    let tested: HashSet<i64> = fold.test().iter().map(|&row| group[row]).collect();
                    prop_assert!(fold.train().iter().all(|&row| !tested.contains(&group[row])));
                }
            }
            if name.starts_with("Stratified {") {
                for c in 0..4 {
                    let counts = made.folds().iter().map(|f| f.test().iter().filter(|&&row| class[row] == c).count());
                    let counts: Vec<usize> = counts.collect();
                    prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1);
                }
            }
        }
    }

    #[test]
    fn a_hash_never_moves_a_row_when_others_come(
        keys in prop::collection::vec(0_i64..500, 80..200), more in prop::collection::vec(0_i64..500, 0..100), salt in "[a-z]{0,4}",
    ) {
        let grown: Vec<i64> = keys.iter().chain(&more).copied().collect();
        let split = Split::hash("k", salt.clone(), Fractions::validation_test(0.25, 0.25).unwrap());
        let of = |parts: &Partition| -> HashMap<usize, Part> {
            parts.parts().flat_map(|(part, rows)| rows.iter().map(move |&row| (row, part))).collect()
        };
        let (before, after) = (split.apply(&one("k", keys.clone())), split.apply(&one("k", grown.clone())));
        if let (Ok(before), Ok(after)) = (before, after) {
            let (before, after) = (of(&before), of(&after));
            prop_assert!(before.iter().all(|(row, part)| after[row] == *part));
            // One key, one part.
            let mut owner = HashMap::new();
            for (row, part) in &after {
                prop_assert_eq!(*owner.entry(grown[*row]).or_insert(*part), *part);
            }
        }
        let folds = CrossValidation::hash("k", salt, 3);
        if let (Ok(before), Ok(after)) = (folds.apply(&one("k", keys.clone())), folds.apply(&one("k", grown))) {
            prop_assert_eq!(fold_of(&before), fold_of(&after)[..keys.len()].to_vec());
            check_folds(&before, true);
        }
    }

    #[test]
    fn groups_stay_whole_and_parts_are_filled_when_both_matter(
        class in prop::collection::vec(0_i64..3, 40..160), seed: u64, groups in 6_i64..30,
    ) {
        let group: Vec<i64> = (0..class.len()).map(|row| i64::try_from(row * row % 97).unwrap() % groups).collect();
        let table = Table::new(vec![Column::i64("y", class).unwrap(), Column::i64("g", group.clone()).unwrap()]).unwrap();
        let distinct: HashSet<&i64> = group.iter().collect();
        prop_assume!(distinct.len() >= 3);
        let split = Split::stratified_group("y", "g", Fractions::validation_test(0.2, 0.2).unwrap(), seed);
        let parts = split.apply(&table).unwrap();
        let mut owner = HashMap::new();
        for (part, rows) in parts.parts() {
            for &row in rows {
                prop_assert_eq!(*owner.entry(group[row]).or_insert(part), part);
            }
        }
        prop_assert_eq!(parts.parts().map(|(_, rows)| rows.len()).sum::<usize>(), group.len());
        prop_assert_eq!(&parts, &split.apply(&table).unwrap());
    }

    #[test]
    fn purge_and_embargo_hold_row_by_row(
        times in prop::collection::vec(0_i64..120, 20..80), lengths in prop::collection::vec(0_i64..8, 80), groups in 3_usize..7,
        test_groups in 1_usize..3, embargo in 0_u64..6,
    ) {
        let ends: Vec<i64> = times.iter().zip(&lengths).map(|(t, l)| t + l).collect();
        let table = Table::new(vec![Column::i64("t", times.clone()).unwrap(), Column::i64("end", ends.clone()).unwrap()]).unwrap();
        let purged = CombinatorialPurged::new(groups, test_groups)
            .with_labels(LabelSpan::Until("end".into()))
            .with_embargo(embargo);
        let Ok(made) = CrossValidation::combinatorial_purged("t", purged).apply(&table) else {
            // Purge and embargo can leave nothing.
            return Ok(());
        };
        check_folds(&made, false);
        let group_of = |row: usize| made.groups().iter().position(|rows| rows.contains(&row)).unwrap();
        let place: Vec<usize> = (0..times.len()).map(group_of).collect();
        for fold in made.folds() {
            let tested: HashSet<usize> = fold.test().iter().map(|&row| place[row]).collect();
            let (mut train, mut gone, mut late) = (Vec::new(), 0, 0);
            for row in (0..times.len()).filter(|&row| !tested.contains(&place[row])) {
                let meets = fold.test().iter().any(|&other| times[row] <= ends[other] && times[other] <= ends[row]);
                // The last label of each stretch of test groups, straight from the definition.
                let embargoed = tested.iter().filter(|group| !tested.contains(&(*group + 1))).any(|&group| {
                    let mut first = group;
                    while first > 0 && tested.contains(&(first - 1)) {
                        first -= 1;
                    }
                    let last = fold.test().iter().filter(|&&r| place[r] >= first && place[r] <= group);
                    let last = last.map(|&r| ends[r]).max().unwrap();
                    times[row] > last && times[row] - last <= i64::try_from(embargo).unwrap()
                });
                match (meets, embargoed) {
                    (true, _) => gone += 1,
                    (_, true) => late += 1,
                    _ => train.push(row),
                }
            }
            prop_assert_eq!((fold.train(), fold.purged(), fold.embargoed()), (&train[..], gone, late));
        }
        // Every path tests every group once, and every (fold, group) is in one path.
        let mut used = HashSet::new();
        for path in made.paths() {
            prop_assert_eq!(path.len(), groups);
            for (group, &fold) in path.iter().enumerate() {
                prop_assert!(made.groups()[group].iter().all(|row| made.folds()[fold].test().contains(row)));
                prop_assert!(used.insert((fold, group)));
            }
        }
        prop_assert_eq!(used.len(), made.folds().len() * test_groups);
        let mut sizes: Vec<usize> = made.groups().iter().map(Vec::len).collect();
        sizes.dedup();
        prop_assert!(sizes.len() <= 2);
    }

    #[test]
    fn parts_by_time_are_purged_of_labels_that_reach_the_next_part(
        times in prop::collection::vec((0_i64..100, 0_i64..15), 40..120), gap in 0_u64..5,
    ) {
        let (t, length): (Vec<i64>, Vec<i64>) = times.into_iter().unzip();
        let end: Vec<i64> = t.iter().zip(&length).map(|(t, l)| t + l).collect();
        let table = Table::new(vec![Column::i64("t", t.clone()).unwrap(), Column::i64("end", end.clone()).unwrap()]).unwrap();
        let plain = Split::time("t", Fractions::validation_test(0.25, 0.25).unwrap());
        let purged = plain.clone().with_gap(gap).with_labels(LabelSpan::Until("end".into()));
        let (Ok(whole), Ok(parts)) = (plain.apply(&table), purged.apply(&table)) else { return Ok(()) };
        let first = |part: Part| whole.parts().find(|(p, _)| *p == part).unwrap().1.iter().map(|&row| t[row]).min();
        let gap = i64::try_from(gap).unwrap();
        for ((part, all), (_, kept)) in whole.parts().zip(parts.parts()) {
            let next = match part {
                Part::Train => first(Part::Validation),
                Part::Validation => first(Part::Test),
                Part::Test => None,
            };
            let clear = |row: &usize| next.is_none_or(|next| t[*row] + gap < next && end[*row] < next);
            let expected: Vec<usize> = all.iter().copied().filter(clear).collect();
            prop_assert_eq!(kept, &expected[..]);
        }
        let text = serde_json::to_string(&purged).unwrap();
        prop_assert_eq!(serde_json::from_str::<Split>(&text).unwrap(), purged);
        let misplaced = text.replace("\"time\"", "\"stratified\"").replace("\"gap\"", "\"salt\"");
        prop_assert!(serde_json::from_str::<Split>(&misplaced).is_err());
    }

    #[test]
    fn windows_never_learn_from_what_is_too_near(
        times in prop::collection::vec(0_i64..200, 30..100), test in 1_u64..30, gap in 0_u64..10, label in 0_u64..10,
        rolling in prop::option::of(5_u64..80),
    ) {
        let mut windows = TimeWindows::new(3, test).with_gap(gap).with_labels(LabelSpan::For(label.into()));
        if let Some(length) = rolling {
            windows = windows.rolling(length);
        }
        let Ok(made) = CrossValidation::time("day", windows).apply(&days(times.clone())) else { return Ok(()) };
        check_folds(&made, false);
        let last = *times.iter().max().unwrap();
        let [test, gap, label] = [test, gap, label].map(|n| i64::try_from(n).unwrap());
        for (fold, back) in made.folds().iter().zip([2, 1, 0]) {
            let (start, end) = (last - (back + 1) * test, last - back * test);
            let expected: Vec<usize> = (0..times.len()).filter(|&r| times[r] > start && times[r] <= end).collect();
            prop_assert_eq!(fold.test(), &expected[..]);
            let first = expected.iter().map(|&r| times[r]).min().unwrap();
            let from = rolling.map_or(i64::MIN, |length| start - gap - i64::try_from(length).unwrap());
            let learnt = |t: i64| t <= start - gap && t > from && t + label < first;
            let expected: Vec<usize> = (0..times.len()).filter(|&r| learnt(times[r])).collect();
            prop_assert_eq!(fold.train(), &expected[..]);
        }
    }
}
