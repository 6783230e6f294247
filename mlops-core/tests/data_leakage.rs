//! The leakage report: every planted leak is found, none is invented, and what was not looked for is said.

use std::collections::{HashMap, HashSet};

use mlops_core::ErrorKind;
use mlops_core::data::{
    Column, CombinatorialPurged, CrossValidation, FitRecord, Fitted, Fractions, LabelSpan, LeakKind,
    LeakSeverity, LeakageInput, LeakageReport, NearDuplicates, Part, Partition, Split, Table, TargetLeak,
    Validity, Values,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn halves(rows: usize) -> Partition {
    Partition::predefined(rows, (0..rows / 2).collect(), None, (rows / 2..rows).collect()).unwrap()
}

fn of(report: &LeakageReport, kind: LeakKind) -> Vec<&mlops_core::data::Leak> {
    report.leaks.iter().filter(|leak| leak.kind == kind).collect()
}

#[test]
fn every_kind_is_either_checked_or_said_not_to_be() {
    let table = Table::new(vec![
        Column::i64("id", (0..60).collect::<Vec<_>>()).unwrap(),
        Column::i64("x", (0..60).map(|i| i * 7 % 60).collect::<Vec<_>>()).unwrap(),
        Column::bool("y", (0..60).map(|i| i % 2 == 0).collect::<Vec<_>>()).unwrap(),
    ])
    .unwrap();
    let split = halves(60);
    let all = |report: &LeakageReport| {
        let mut kinds: Vec<LeakKind> = report.checked.clone();
        kinds.extend(report.not_checked.iter().map(|not| not.kind));
        kinds.sort_unstable();
        kinds
    };
    let bare = LeakageInput::new(&table, &split).check().unwrap();
    assert_eq!((bare.checked.len(), all(&bare)), (1, LeakKind::ALL.to_vec()));
    assert!(
        bare.to_string().contains("not checked: conflicting_label (no column of labels is named)"),
        "{bare}"
    );
    let error = bare.require_checked(&LeakKind::ALL).unwrap_err();
    assert!(error.message().contains("target (no column of labels is named)"), "{error}");

    let scaler = Fitted::on_train("scale", &table, &split, |_| Ok(())).unwrap();
    let full = LeakageInput::new(&table, &split)
        .with_id("id")
        .with_group("id")
        .with_time("id")
        .with_label("y")
        .with_label_window("id", LabelSpan::Instant)
        .with_near_duplicates(NearDuplicates::new().with_quantum(1e-6))
        .with_fitted(scaler.record())
        .check()
        .unwrap();
    assert_eq!((full.not_checked.len(), all(&full)), (0, LeakKind::ALL.to_vec()));
    assert!(full.is_clean(), "{full}");
    full.require_checked(&LeakKind::ALL).unwrap();
    let text = serde_json::to_string(&full).unwrap();
    assert_eq!(serde_json::from_str::<LeakageReport>(&text).unwrap(), full);
}

#[test]
fn equal_features_with_different_labels_are_a_warning_on_both_sides() {
    let table = Table::new(vec![
        Column::text("x", ["a", "a", "b", "c", "a", "b", "c", "a"]).unwrap(),
        Column::optional_text(
            "y",
            [Some("0"), Some("1"), Some("0"), None, Some("0"), Some("1"), Some("1"), None],
        )
        .unwrap(),
    ])
    .unwrap();
    let split = halves(8);
    let report = LeakageInput::new(&table, &split).with_label("y").check().unwrap();
    let [leak] = of(&report, LeakKind::ConflictingLabel)[..] else { panic!("{report}") };
    // a: train has 0 and 1, test 0 and nothing; b: 0 and 1; c: nothing and 1, which is no conflict.
    assert_eq!((leak.keys, leak.from.1, leak.into.1, leak.severity), (2, 2, 2, LeakSeverity::Warning));
    assert_eq!(leak.rows, [(1, 4), (2, 5)]);
    assert!(leak.message.contains("(\"1\" and \"0\")"), "{}", leak.message);
    assert_eq!(report.require_clean().unwrap_err().kind(), ErrorKind::Rejected);
    // The rows are equal in their features: that is critical by itself.
    assert_eq!(of(&report, LeakKind::DuplicateRow)[0].keys, 3);
    assert!(report.require_no_critical().is_err());
}

#[test]
fn only_what_is_critical_can_be_refused() {
    let table =
        Table::new(vec![Column::f64("x", vec![1.0, 5.0, 9.0, 14.0, 1.0001, 30.0, 40.0, 50.0]).unwrap()])
            .unwrap();
    let split = halves(8);
    let report =
        LeakageInput::new(&table, &split).with_near_duplicates(NearDuplicates::new()).check().unwrap();
    assert_eq!(of(&report, LeakKind::NearDuplicateRow)[0].rows, [(0, 4)]);
    assert!((of(&report, LeakKind::NearDuplicateRow)[0].share - 0.25).abs() < 1e-12);
    report.require_no_critical().unwrap();
    assert!(report.require_clean().is_err());
}

#[test]
fn windows_of_labels_are_found_exactly_when_they_meet() {
    let table = Table::new(vec![
        Column::i64("t", vec![0, 5, 9, 10, 12, 30]).unwrap(),
        Column::i64("end", vec![30, 9, 12, 11, 13, 31]).unwrap(),
    ])
    .unwrap();
    let split = halves(6);
    let check = |labels| LeakageInput::new(&table, &split).with_label_window("t", labels).check();
    let report = check(LabelSpan::Until("end".into())).unwrap();
    let [leak] = of(&report, LeakKind::LabelWindow)[..] else { panic!("{report}") };
    assert_eq!((leak.keys, leak.from, leak.into), (2, (Part::Train, 2), (Part::Test, 3)));
    assert!(
        leak.message.contains("the labels of 2 rows of train are made while those of 3 rows of test are")
    );
    assert!(check(LabelSpan::Instant).unwrap().is_clean());
    assert_eq!(of(&check(LabelSpan::For(1.into())).unwrap(), LeakKind::LabelWindow)[0].rows, [(2, 3)]);
    assert!(check(LabelSpan::Until("t2".into())).is_err());
    let backwards = LeakageInput::new(&table, &split).with_label_window("end", LabelSpan::Until("t".into()));
    assert!(backwards.check().unwrap_err().message().contains("row 1"), "the label ends before it begins");
}

#[test]
fn purged_folds_have_no_label_windows_in_common() {
    let table =
        Table::new(vec![Column::i64("t", (0..80).map(|i| i * 3 % 80).collect::<Vec<_>>()).unwrap()]).unwrap();
    let labels = LabelSpan::For(4.into());
    let purged = CombinatorialPurged::new(5, 2).with_labels(labels.clone());
    let folds = CrossValidation::combinatorial_purged("t", purged).apply(&table).unwrap();
    for fold in 0..folds.folds().len() {
        let split = folds.partition(fold).unwrap();
        let input = LeakageInput::new(&table, &split).with_label_window("t", labels.clone());
        assert!(input.check().unwrap().is_clean());
    }
    let unpurged = CombinatorialPurged::new(5, 2);
    let folds = CrossValidation::combinatorial_purged("t", unpurged).apply(&table).unwrap();
    let split = folds.partition(0).unwrap();
    let input = LeakageInput::new(&table, &split).with_label_window("t", labels);
    assert_eq!(of(&input.check().unwrap(), LeakKind::LabelWindow)[0].keys, 4);
}

#[test]
fn scores_of_features_are_those_of_scikit_learn_and_scipy() {
    let reference: Value = serde_json::from_str(include_str!("reference/target.json")).unwrap();
    let numbers = |value: &Value| -> Vec<f64> {
        value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
    };
    let mut columns: Vec<Column<'_>> = reference["features"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, values)| Column::f64(name.as_str(), numbers(values)).unwrap())
        .collect();
    let words = reference["category"].as_array().unwrap().iter().map(|v| v.as_str().unwrap());
    columns.push(Column::text("category", words).unwrap());
    let rows = columns[0].len();
    let train = usize::try_from(reference["train"].as_u64().unwrap()).unwrap();
    let split = Partition::predefined(rows, (0..train).collect(), None, (train..rows).collect()).unwrap();
    let binary = numbers(&reference["binary"]).iter().map(|&y| y == 1.0).collect::<Vec<_>>();
    for label in [
        Column::bool("binary", binary).unwrap(),
        Column::f64("number", numbers(&reference["number"])).unwrap(),
    ] {
        let name = label.name().to_owned();
        let table = Table::new(columns.clone()).unwrap().with_column(label).unwrap();
        let report = LeakageInput::new(&table, &split)
            .with_label(name.clone())
            .with_target(TargetLeak::new(1e-12, 1.0).unwrap())
            .check()
            .unwrap();
        let found: HashMap<&str, f64> = of(&report, LeakKind::Target)
            .into_iter()
            .map(|leak| (leak.column.as_deref().unwrap(), leak.score.unwrap()))
            .collect();
        assert_eq!(found.len(), 4);
        for (feature, expected) in reference["expected"][&name].as_object().unwrap() {
            let (found, expected) = (found[feature.as_str()], expected.as_f64().unwrap());
            assert!((found - expected).abs() < 1e-12, "{name} {feature}: {found} {expected}");
        }
    }
}

#[test]
fn features_that_tell_the_label_are_found_and_ids_are_not_among_them() {
    let class = |i: i64| ["low", "mid", "high"][usize::try_from(i * i % 7 % 3).unwrap()];
    let rows = 120;
    let absent = Validity::from_bools(&(0..rows).map(|i| class(i) != "high").collect::<Vec<_>>());
    let table = Table::new(vec![
        Column::text("id", (0..rows).map(|i| format!("p{i}"))).unwrap(),
        Column::text("code", (0..rows).map(|i| format!("{}{}", class(i), i % 2))).unwrap(),
        Column::f64("level", (0..rows).map(|i| f64::from(u8::from(class(i) == "mid"))).collect::<Vec<_>>())
            .unwrap(),
        Column::new("lab", Values::F64(vec![1.0; 120].into()), Some(absent)).unwrap(),
        Column::i64("noise", (0..rows).map(|i| i * 37 % 101).collect::<Vec<_>>()).unwrap(),
        Column::text("y", (0..rows).map(class)).unwrap(),
        Column::bool("high", (0..rows).map(|i| class(i) == "high").collect::<Vec<_>>()).unwrap(),
    ])
    .unwrap();
    let split = Partition::predefined(120, (0..80).collect(), None, (80..120).collect()).unwrap();
    let found = |label: &str, drop: &str| -> Vec<(String, LeakSeverity)> {
        let table = table.without(&[drop]);
        let report = LeakageInput::new(&table, &split).with_label(label).check().unwrap();
        let leaks = of(&report, LeakKind::Target);
        leaks.into_iter().map(|leak| (leak.column.clone().unwrap(), leak.severity)).collect()
    };
    assert_eq!(found("y", "high"), [("code".to_owned(), LeakSeverity::Critical)]);
    // Whether the laboratory value is missing tells who is ill.
    let expected = ["code", "lab"].map(|name| (name.to_owned(), LeakSeverity::Critical));
    assert_eq!(found("high", "y"), expected);
}

#[test]
fn where_too_little_is_known_of_the_label_the_report_says_so() {
    let check = |y: Vec<i64>| {
        let rows = y.len();
        let x: Vec<i64> = (0..i64::try_from(rows).unwrap()).collect();
        let table = Table::new(vec![Column::i64("x", x).unwrap(), Column::i64("y", y).unwrap()]).unwrap();
        let report = LeakageInput::new(&table, &halves(rows)).with_label("y").check().unwrap();
        report.not_checked.iter().find(|not| not.kind == LeakKind::Target).map(|not| not.reason.clone())
    };
    assert_eq!(check(vec![0; 10]).as_deref(), Some("5 labelled rows to learn from, 20 are needed"));
    assert_eq!(check(vec![0; 60]).as_deref(), Some("1 classes of 5 rows to learn from, two are needed"));
    assert_eq!(check((0..60).map(|i| i % 2).collect()), None);
    for (warning, critical) in [(0.0, 1.0), (0.5, 0.4), (0.5, 1.1), (f64::NAN, 1.0)] {
        assert!(TargetLeak::new(warning, critical).is_err());
    }
    assert!(serde_json::from_value::<TargetLeak>(json!({"warning": 2, "critical": 3})).is_err());
}

#[test]
fn steps_fitted_on_rows_they_are_judged_on_are_found_and_refused() {
    let table =
        Table::new(vec![Column::f64("x", (0..40).map(f64::from).collect::<Vec<_>>()).unwrap()]).unwrap();
    let split = Split::holdout(Fractions::validation_test(0.25, 0.25).unwrap(), 1).apply(&table).unwrap();
    let fit = |rows: &Table<'_>| Ok(rows.rows());
    let good = Fitted::on_train("scale", &table, &split, fit).unwrap();
    let both: Vec<usize> = split.train().iter().chain(split.validation().unwrap()).copied().collect();
    let tuned = Fitted::on_rows("select", &table, &both, fit).unwrap();
    let peeked = Fitted::on_rows("impute", &table, &(0..40).collect::<Vec<_>>(), fit).unwrap();
    let input = |record| LeakageInput::new(&table, &split).with_fitted(record).check().unwrap();
    assert!(input(good.record()).is_clean());
    assert_eq!(*good.get(), 20);
    let use_it = |fitted: &Fitted<usize>, part| fitted.apply(&table, &split, part, |_, rows| Ok(rows.rows()));
    assert_eq!(use_it(&good, Part::Test).unwrap(), 10);
    // What saw the validation part may still be judged on the test.
    assert_eq!(use_it(&tuned, Part::Test).unwrap(), 10);
    assert_eq!(use_it(&tuned, Part::Validation).unwrap_err().kind(), ErrorKind::Rejected);
    let report = input(peeked.record());
    let into: Vec<(Part, usize)> = of(&report, LeakKind::FittedOnTest).iter().map(|leak| leak.into).collect();
    assert_eq!(into, [(Part::Validation, 10), (Part::Test, 10)]);
    let error = use_it(&peeked, Part::Test).unwrap_err();
    assert!(error.message().contains("`impute` was fitted on 10 rows of test, of 10"), "{error}");

    // Another table: which rows took part cannot be told, and is not passed in silence.
    let other = Table::new(vec![Column::f64("x", vec![0.5; 40]).unwrap()]).unwrap();
    let report = LeakageInput::new(&other, &split).with_fitted(good.record()).check().unwrap();
    assert!(
        report.require_checked(&[LeakKind::FittedOnTest]).unwrap_err().message().contains("another table")
    );
    assert_eq!(
        good.apply(&other, &split, Part::Test, |_, _| Ok(())).unwrap_err().kind(),
        ErrorKind::Integrity
    );

    for bad in [
        json!({"name": "", "table_rows": 4, "rows": [1], "content": good.record().content()}),
        json!({"name": "x", "table_rows": 4, "rows": [], "content": good.record().content()}),
        json!({"name": "x", "table_rows": 4, "rows": [4], "content": good.record().content()}),
        json!({"name": "x", "table_rows": 4, "rows": [2, 1], "content": good.record().content()}),
        json!({"name": "x", "table_rows": 4, "rows": [1], "content": "sha256:0"}),
    ] {
        assert!(serde_json::from_value::<FitRecord>(bad).is_err());
    }
    assert!(Fitted::on_rows("x", &table, &[40], fit).is_err());
}

/// Rows in pairs, one in each half, that have `common` of `columns` categories in common and no others with anybody.
fn pairs(count: usize, columns: usize, common: usize) -> Table<'static> {
    let column = |at: usize| {
        let value = |row: usize| {
            let (pair, half) = (row % count, row / count);
            if (at + pair) % columns < common { format!("{pair}") } else { format!("{pair} {half}") }
        };
        Column::text(format!("c{at}"), (0..2 * count).map(value)).unwrap()
    };
    Table::new((0..columns).map(column).collect()).unwrap()
}

#[test]
fn near_pairs_are_found_as_often_as_the_curve_says() {
    let (count, columns) = (300, 20);
    for (common, bands, rows) in [(16, 8, 4), (13, 16, 4), (10, 20, 3), (18, 3, 6)] {
        let similarity = common as f64 / (2 * columns - common) as f64;
        let table = pairs(count, columns, common);
        let split = halves(2 * count);
        let (mut found, seeds) = (0, 4);
        for seed in 0..seeds {
            let search = NearDuplicates::new()
                .with_similarity(similarity - 1e-9)
                .with_bands(bands, rows)
                .with_seed(seed);
            let report =
                LeakageInput::new(&table, &split).with_near_duplicates(search.clone()).check().unwrap();
            found += of(&report, LeakKind::NearDuplicateRow).iter().map(|leak| leak.keys).sum::<usize>();
            let stated = report.near_duplicates.unwrap();
            assert!((stated.recall - search.recall(similarity)).abs() < 1e-6);
        }
        let total = (count * usize::try_from(seeds).unwrap()) as f64;
        let expected = NearDuplicates::new().with_bands(bands, rows).recall(similarity);
        let error = (expected * (1.0 - expected) / total).sqrt();
        let share = found as f64 / total;
        assert!((share - expected).abs() < 4.0 * error, "{similarity}: {share}, {expected} ± {error}");
    }
}

#[test]
fn the_same_seed_finds_the_same_pairs_and_a_budget_that_runs_out_is_said() {
    let table = pairs(50, 10, 9);
    let split = halves(100);
    let check = |search| LeakageInput::new(&table, &split).with_near_duplicates(search).check().unwrap();
    let few = || NearDuplicates::new().with_bands(2, 8);
    assert_eq!(check(few().with_seed(5)), check(few().with_seed(5)));
    let report = check(NearDuplicates::new().with_max_comparisons(10));
    assert!(!report.checked.contains(&LeakKind::NearDuplicateRow));
    let error = report.require_checked(&[LeakKind::NearDuplicateRow]).unwrap_err();
    assert!(error.message().contains("stopped after 10 comparisons"), "{error}");
    assert!(!report.near_duplicates.unwrap().complete);
    let whole = check(NearDuplicates::new());
    assert_eq!(of(&whole, LeakKind::NearDuplicateRow)[0].keys, 50);
}

#[test]
fn text_is_compared_by_its_words() {
    let notes = [
        "patient reports chest pain since monday and shortness of breath",
        "no complaints at all today",
        "fracture of the left wrist after a fall",
        "Patient reports chest pain since Monday, and shortness of breath!",
        "no complaints",
        "fracture of the right ankle",
    ];
    let table = Table::new(vec![
        Column::text("note", notes).unwrap(),
        Column::optional_text("other", [None, Some("a b c"), Some(""), None, None, Some("x")]).unwrap(),
    ])
    .unwrap();
    let split = halves(6);
    let search = NearDuplicates::new().with_text(["note"], 2).with_similarity(0.9);
    let input = LeakageInput::new(&table, &split).with_near_duplicates(search);
    let report = input.clone().with_features(["note"]).check().unwrap();
    assert_eq!(of(&report, LeakKind::NearDuplicateRow)[0].rows, [(0, 3)]);
    let error = input.with_features(["other"]).check().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

#[test]
fn settings_of_the_search_are_checked_also_when_read() {
    let table = Table::new(vec![Column::i64("x", vec![1, 2]).unwrap()]).unwrap();
    let split = halves(2);
    for search in [
        NearDuplicates::new().with_similarity(0.0),
        NearDuplicates::new().with_similarity(f64::NAN),
        NearDuplicates::new().with_quantum(0.0),
        NearDuplicates::new().with_quantum(f64::INFINITY),
        NearDuplicates::new().with_bands(0, 4),
        NearDuplicates::new().with_bands(usize::MAX, 4),
        NearDuplicates::new().with_text(["x"], 2),
        NearDuplicates::new().with_text(["x"], 0),
    ] {
        assert!(LeakageInput::new(&table, &split).with_near_duplicates(search).check().is_err());
    }
    let read: NearDuplicates = serde_json::from_value(json!({"similarity": 0.8, "seed": 3})).unwrap();
    assert_eq!(read, NearDuplicates::new().with_similarity(0.8).with_seed(3));
    for bad in [json!({"similarity": 2}), json!({"bands": 5000}), json!({"band": 5})] {
        assert!(serde_json::from_value::<NearDuplicates>(bad).is_err());
    }
}

#[test]
fn values_that_are_no_ordinary_numbers_are_compared_too() {
    let values = vec![f64::NAN, f64::INFINITY, 1e308, -1e308, f64::NAN, f64::NEG_INFINITY, 1.5e308, 0.0];
    let other: Vec<f64> = (0..8).map(|i| f64::from(i % 4) + f64::from(i) * 1e-6).collect();
    let table =
        Table::new(vec![Column::f64("x", values).unwrap(), Column::f64("z", other).unwrap()]).unwrap();
    let report =
        LeakageInput::new(&table, &halves(8)).with_near_duplicates(NearDuplicates::new()).check().unwrap();
    assert_eq!(of(&report, LeakKind::NearDuplicateRow)[0].rows, [(0, 4)]);
}

/// The tokens of whole numbers of a column whose cells have this width, from the definition.
fn similarity(a: &[i64], b: &[i64]) -> f64 {
    let tokens = |row: &[i64]| -> HashSet<(usize, usize, i64)> {
        row.iter().enumerate().flat_map(|(at, &x)| (0..2).map(move |copy| (at, copy, x))).collect()
    };
    let (a, b) = (tokens(a), tokens(b));
    a.intersection(&b).count() as f64 / a.union(&b).count() as f64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_pair_is_reported_falsely_and_with_enough_bands_none_is_missed(
        rows in prop::collection::vec(prop::collection::vec(0_i64..3, 6), 10..40), threshold in 0.35_f64..1.0,
    ) {
        // Booleans would have two values only; text keeps every value apart.
        let column = |at: usize| Column::text(format!("c{at}"), rows.iter().map(|row| row[at].to_string())).unwrap();
        let table = Table::new((0..6).map(column).collect()).unwrap();
        let split = halves(rows.len());
        let search = NearDuplicates::new().with_similarity(threshold).with_bands(200, 1);
        let report = LeakageInput::new(&table, &split).with_near_duplicates(search).check().unwrap();
        let (left, right) = (split.train(), split.test());
        let equal = |row: &usize| left.iter().any(|&l| rows[l] == rows[*row]);
        let near = |l: &usize, r: &usize| similarity(&rows[*l], &rows[*r]) >= threshold;
        let expected: Vec<usize> =
            right.iter().copied().filter(|r| !equal(r) && left.iter().any(|l| near(l, r))).collect();
        let leaks = of(&report, LeakKind::NearDuplicateRow);
        prop_assert_eq!(leaks.first().map_or(0, |leak| leak.into.1), expected.len());
        for leak in leaks {
            prop_assert!(leak.rows.iter().all(|(l, r)| near(l, r) && rows[*l] != rows[*r]));
            let concerned = left.iter().filter(|l| right.iter().any(|r| !equal(r) && near(l, r))).count();
            prop_assert_eq!(leak.from.1, concerned);
        }
    }

    #[test]
    fn label_windows_are_those_of_every_pair(
        times in prop::collection::vec((0_i64..60, 0_i64..9), 8..50),
    ) {
        let (t, length): (Vec<i64>, Vec<i64>) = times.into_iter().unzip();
        let end: Vec<i64> = t.iter().zip(&length).map(|(t, l)| t + l).collect();
        let table = Table::new(vec![Column::i64("t", t.clone()).unwrap(), Column::i64("end", end.clone()).unwrap()]).unwrap();
        let split = halves(t.len());
        let report = LeakageInput::new(&table, &split)
            .with_label_window("t", LabelSpan::Until("end".into()))
            .check()
            .unwrap();
        let meet = |a: usize, b: usize| t[a] <= end[b] && t[b] <= end[a];
        let left = split.train().iter().filter(|&&a| split.test().iter().any(|&b| meet(a, b))).count();
        let right = split.test().iter().filter(|&&b| split.train().iter().any(|&a| meet(a, b))).count();
        let leaks = of(&report, LeakKind::LabelWindow);
        prop_assert_eq!(leaks.first().map_or((0, 0), |leak| (leak.from.1, leak.into.1)), (left, right));
        for leak in leaks {
            prop_assert_eq!(leak.rows.len(), left.min(20));
            prop_assert!(leak.rows.iter().all(|&(a, b)| meet(a, b)));
        }
    }
}
