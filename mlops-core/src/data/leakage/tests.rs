use super::input::*;
use super::*;
use crate::data::{Column, Fractions, Part, Partition, Split, Table, Validity, Values};
use crate::error::ErrorKind;
use proptest::prelude::*;
use std::collections::HashSet;

fn one(column: Column<'static>) -> Table<'static> {
    Table::new(vec![column]).unwrap()
}

fn halves(rows: usize) -> Partition {
    Partition::predefined(rows, (0..rows / 2).collect(), None, (rows / 2..rows).collect()).unwrap()
}

#[test]
fn equal_rows_are_found_by_value_not_by_their_bits_or_their_text() {
    let leaks = |column: Column<'static>| {
        let table = one(column);
        let split = halves(table.rows());
        LeakageInput::new(&table, &split).check().unwrap().leaks.len()
    };
    assert_eq!(leaks(Column::f64("x", vec![0.0, -0.0]).unwrap()), 1);
    assert_eq!(leaks(Column::f64("x", vec![f64::NAN, -f64::NAN]).unwrap()), 1);
    assert_eq!(leaks(Column::optional_text("x", [None::<&str>, None]).unwrap()), 1);
    assert_eq!(leaks(Column::optional_text("x", [None, Some("")]).unwrap()), 0);
    let values = Values::F64(vec![f64::NAN, f64::NAN].into());
    let half = Some(Validity::from_bools(&[true, false]));
    assert_eq!(leaks(Column::new("x", values, half).unwrap()), 0);
    assert_eq!(leaks(Column::i64("x", vec![1 << 53, (1 << 53) + 1]).unwrap()), 0);
}

#[test]
fn cells_that_read_the_same_when_joined_are_different_rows() {
    let table = Table::new(vec![
        Column::text("a", ["ab", "a", "1", "x,y"]).unwrap(),
        Column::text("b", ["c", "bc", "1,1", "z"]).unwrap(),
    ])
    .unwrap();
    let split = halves(4);
    assert!(LeakageInput::new(&table, &split).check().unwrap().is_clean());
}

#[test]
fn every_pair_of_parts_is_compared_and_every_leak_reported() {
    use LeakKind::{DuplicateRow, SharedId, TimeOverlap};
    use Part::{Test, Train, Validation};
    let table = Table::new(vec![
        Column::text("id", ["a", "b", "a", "c", "b", "a"]).unwrap(),
        Column::f64("x", vec![1.0, 2.0, 3.0, 1.0, 5.0, 1.0]).unwrap(),
    ])
    .unwrap();
    let split = Partition::predefined(6, vec![0, 1], Some(vec![2, 3]), vec![4, 5]).unwrap();
    let report = LeakageInput::new(&table, &split).with_id("id").with_time("x").check().unwrap();
    assert_eq!(report.checked, [DuplicateRow, SharedId, TimeOverlap]);
    let found: Vec<(LeakKind, Part, usize, Part, usize, usize)> =
        report.leaks.iter().map(|l| (l.kind, l.from.0, l.from.1, l.into.0, l.into.1, l.keys)).collect();
    assert_eq!(
        found,
        [
            (DuplicateRow, Train, 1, Validation, 1, 1),
            (DuplicateRow, Train, 1, Test, 1, 1),
            (DuplicateRow, Validation, 1, Test, 1, 1),
            (SharedId, Train, 1, Validation, 1, 1),
            (SharedId, Train, 2, Test, 2, 2),
            (SharedId, Validation, 1, Test, 1, 1),
            (TimeOverlap, Train, 2, Validation, 1, 1),
            (TimeOverlap, Train, 2, Test, 1, 1),
            (TimeOverlap, Validation, 2, Test, 1, 1),
        ]
    );
    let error = report.require_clean().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    for part in [
        "1 distinct row: 1 row of train equal 1 row of validation; first in train row 1 and validation row 4",
        "column `id`: 2 ids are in both train (2 rows) and test (2 rows); first \"b\" in train row 2 and test row 5",
        "column `x`: 1 row of test is not later than the last of train (2, row 2); first row 6 (1)",
    ] {
        assert!(error.message().contains(part), "{error}");
    }
}

#[test]
fn an_equal_time_is_a_leak_and_a_later_one_is_none() {
    for (times, leaks) in [(vec![1, 2, 2, 3], 1), (vec![1, 2, 3, 4], 0), (vec![3, 4, 1, 2], 1)] {
        let table = one(Column::i64("t", times).unwrap());
        let split = halves(4);
        let report = LeakageInput::new(&table, &split).with_features(["t"]).with_time("t").check().unwrap();
        let found = report.leaks.iter().filter(|l| l.kind == LeakKind::TimeOverlap).count();
        assert_eq!(found, leaks, "{report}");
    }
}

#[test]
fn what_cannot_be_checked_is_an_error_not_clean() {
    let table = Table::new(vec![
        Column::optional_text("id", [Some("a"), None]).unwrap(),
        Column::f64("t", vec![1.0, f64::NAN]).unwrap(),
        Column::text("day", ["mon", "tue"]).unwrap(),
    ])
    .unwrap();
    let split = halves(2);
    let input = || LeakageInput::new(&table, &split);
    for (input, message) in [
        (input().with_id("id"), "column `id`, row 2: the value is missing"),
        (input().with_group("id"), "column `id`, row 2: the value is missing"),
        (input().with_time("t"), "column `t`, row 2: the value is NaN"),
        (input().with_time("day"), "must hold numbers or times"),
        (input().with_group("nope"), "no such column"),
        (input().with_features(Vec::<String>::new()), "no column is left"),
    ] {
        let error = input.check().unwrap_err();
        assert!(error.message().contains(message), "{error}");
    }
    let only_id = one(Column::text("id", ["a", "b"]).unwrap());
    assert!(LeakageInput::new(&only_id, &split).with_id("id").check().is_err());
    let longer = one(Column::text("id", ["a", "b", "c"]).unwrap());
    assert!(LeakageInput::new(&longer, &split).check().is_err());
}

#[test]
fn the_sample_is_bounded_and_the_count_is_not() {
    let table = one(Column::i64("x", (0..100).chain(0..100).collect::<Vec<_>>()).unwrap());
    let split = halves(200);
    let report = LeakageInput::new(&table, &split).check().unwrap();
    assert_eq!((report.leaks[0].keys, report.leaks[0].rows.len()), (100, 20));
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<LeakageReport>(&text).unwrap(), report);
}

/// A table where every row differs in id, group and feature, with time going up.
fn clean(rows: i64) -> [Vec<i64>; 4] {
    [(0..rows).collect(), (0..rows).map(|i| i + 1_000).collect(), (0..rows).collect(), (0..rows).collect()]
}

fn check(columns: &[Vec<i64>; 4], split: &Partition) -> LeakageReport {
    let named = ["id", "group", "time", "x"].iter().zip(columns);
    let columns = named.map(|(name, values)| Column::i64(*name, values.clone()).unwrap()).collect();
    let table = Table::new(columns).unwrap();
    LeakageInput::new(&table, split)
        .with_id("id")
        .with_group("group")
        .with_time("time")
        .with_features(["x"])
        .check()
        .unwrap()
}

proptest! {
    #[test]
    fn clean_splits_are_clean(rows in 20_i64..100, seed: u64) {
        let columns = clean(rows);
        let table = one(Column::i64("time", columns[2].clone()).unwrap());
        let fractions = Fractions::validation_test(0.2, 0.2).unwrap();
        let split = Split::time("time", fractions).apply(&table).unwrap();
        prop_assert!(check(&columns, &split).is_clean());
        let split = Split::holdout(fractions, seed).apply(&table).unwrap();
        let kinds: HashSet<LeakKind> = check(&columns, &split).leaks.iter().map(|l| l.kind).collect();
        prop_assert!(kinds.iter().all(|kind| *kind == LeakKind::TimeOverlap));
    }

    #[test]
    fn every_planted_leak_is_found(rows in 20_i64..100, what in 0_usize..4, a: usize, b: usize) {
        let mut columns = clean(rows);
        let table = one(Column::i64("time", columns[2].clone()).unwrap());
        let split = Split::time("time", Fractions::validation_test(0.2, 0.2).unwrap()).apply(&table).unwrap();
        let from = split.train()[a % split.train().len()];
        let into = split.test()[b % split.test().len()];
        let kind = [LeakKind::SharedId, LeakKind::SharedGroup, LeakKind::TimeOverlap, LeakKind::DuplicateRow];
        // A copied time lies before all of validation too, so it leaks from both earlier parts.
        columns[what][into] = columns[what][from];
        let report = check(&columns, &split);
        let leaks: Vec<&Leak> = report.leaks.iter().collect();
        prop_assert_eq!(leaks.len(), if what == 2 { 2 } else { 1 });
        for leak in leaks {
            prop_assert_eq!(leak.kind, kind[what]);
            prop_assert_eq!(leak.keys, 1);
            prop_assert_eq!(leak.rows[0].1, into);
        }
        if what != 2 {
            prop_assert_eq!(report.leaks[0].rows[0], (from, into));
        }
    }
}
