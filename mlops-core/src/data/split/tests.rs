use super::fractions::Fractions;
use super::holdout::sizes;
use super::*;
use crate::data::{Column, Validity, Values};
use crate::error::ErrorKind;
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};

fn numbers(values: Vec<i64>) -> Table<'static> {
    Table::new(vec![Column::i64("c", values).unwrap()]).unwrap()
}

fn two() -> Fractions {
    Fractions::test(0.25).unwrap()
}

fn three() -> Fractions {
    Fractions::validation_test(0.15, 0.2).unwrap()
}

#[test]
fn sizes_are_those_of_the_largest_remainder() {
    for (rows, fractions, expected) in [
        (10, Fractions::validation_test(0.1, 0.2).unwrap(), vec![7, 1, 2]),
        (442, Fractions::test(0.2).unwrap(), vec![354, 88]),
        (442, Fractions::validation_test(0.2, 0.2).unwrap(), vec![265, 89, 88]),
        (3, Fractions::validation_test(1.0 / 3.0, 1.0 / 3.0).unwrap(), vec![1, 1, 1]),
        (5, Fractions::test(0.5).unwrap(), vec![3, 2]),
        // 100 × 0.29 is 28.999999999999996 in binary.
        (100, Fractions::test(0.29).unwrap(), vec![71, 29]),
    ] {
        assert_eq!(sizes(rows, &fractions.parts()).unwrap(), expected, "{rows} {fractions:?}");
    }
}

#[test]
fn fractions_outside_their_range_are_refused_also_when_read() {
    for bad in [0.0, 1.0, -0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert_eq!(Fractions::test(bad).unwrap_err().context("field"), Some("test"));
        assert_eq!(Fractions::validation_test(bad, 0.5).unwrap_err().context("field"), Some("validation"));
    }
    assert!(Fractions::validation_test(0.6, 0.6).is_err());
    assert!(serde_json::from_str::<Fractions>(r#"{"test":1.5}"#).is_err());
    assert!(serde_json::from_str::<Fractions>(r#"{"test":0.5,"train":0.2}"#).is_err());
}

#[test]
fn a_part_that_would_be_empty_is_an_error_that_names_it() {
    for rows in [0, 1, 2] {
        let error = Split::holdout(two(), 1).apply(&numbers(vec![0; rows])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().contains("leave none for"), "{error}");
    }
    let one_group = Split::group("c", two(), 1).apply(&numbers(vec![1; 10])).unwrap_err();
    assert!(one_group.message().contains("1 groups for 2 parts"), "{one_group}");
    let one_time = Split::time("c", two()).apply(&numbers(vec![1; 10])).unwrap_err();
    assert!(one_time.message().contains("1 different times for 2 parts"), "{one_time}");
    let gap = Split::time("c", two()).with_gap(1_000).apply(&numbers((0..10).collect())).unwrap_err();
    assert!(gap.message().contains("no rows for train"), "{gap}");
}

#[test]
fn a_row_without_class_group_or_time_is_an_error_that_names_it() {
    let column = |values, valid: &[bool]| {
        Table::new(vec![Column::new("c", values, Some(Validity::from_bools(valid))).unwrap()]).unwrap()
    };
    let all = vec![true; 8];
    let mut one_missing = all.clone();
    one_missing[2] = false;
    let nan = vec![0.0, 1.0, f64::NAN, 0.0, 1.0, 0.0, 1.0, 0.0];
    for table in [
        column(Values::I64(vec![1, 2, 3, 4, 5, 6, 7, 8].into()), &one_missing),
        column(Values::F64(nan.into()), &all),
    ] {
        for split in [Split::stratified("c", two(), 0), Split::group("c", two(), 0), Split::time("c", two())]
        {
            let error = split.apply(&table).unwrap_err();
            assert!(error.message().contains("`c`, row 3"), "{error}");
        }
    }
    let text = Table::new(vec![Column::text("c", ["2024-01-01", "b", "c", "d"]).unwrap()]).unwrap();
    assert!(Split::time("c", two()).apply(&text).is_err());
    for split in [Split::stratified("d", two(), 0), Split::group("d", two(), 0), Split::time("d", two())] {
        assert_eq!(split.apply(&text).unwrap_err().kind(), ErrorKind::NotFound);
    }
}

#[test]
fn many_small_classes_still_fill_every_part() {
    // Rounding each class on its own would send all of these to training.
    let table = numbers((0..200).map(|i| i / 2).collect());
    let parts = Split::stratified("c", three(), 3).apply(&table).unwrap();
    assert_eq!(parts.manifest().sizes, Sizes { train: 130, validation: Some(30), test: 40, dropped: 0 });
}

#[test]
fn one_seed_one_split_another_seed_another() {
    let table = numbers((0..100).collect());
    for split in
        [Split::holdout, |f, seed| Split::stratified("c", f, seed), |f, seed| Split::group("c", f, seed)]
    {
        let [a, b, c] = [0, 0, u64::MAX].map(|seed| split(three(), seed).apply(&table).unwrap());
        assert_eq!(a, b);
        assert_ne!(a.test(), c.test());
    }
}

#[test]
fn the_split_of_a_seed_never_changes_between_releases() {
    let parts = Split::holdout(two(), 42).apply(&numbers((0..12).collect())).unwrap();
    assert_eq!(parts.test(), PINNED_TEST);
    assert_eq!(parts.manifest().digest.to_string(), PINNED_DIGEST);
}

/// Computed from the documented layout with a second implementation, in Python 3.
const PINNED_TEST: [usize; 3] = [2, 4, 11];
const PINNED_DIGEST: &str = "sha256:4c24ac49f311a7141946ed93809fd2c4a1c32286111c0a3d4acb70811de1f133";

#[test]
fn every_row_is_in_the_test_equally_often() {
    let table = numbers((0..8).collect());
    let mut counts = [0_u32; 8];
    for seed in 0..4_000 {
        Split::holdout(two(), seed).apply(&table).unwrap().test().iter().for_each(|&row| counts[row] += 1);
    }
    // 2 of 8 rows each time: 1000 expected, standard deviation 27.
    assert!(counts.iter().all(|count| count.abs_diff(1_000) < 120), "{counts:?}");
}

#[test]
fn equal_times_never_straddle_even_as_zeros_of_two_signs() {
    let table = Table::new(vec![Column::f64("t", vec![0.0, -0.0, 0.0, -1.0, 5.0, 0.0, -0.0, 2.0]).unwrap()]);
    let parts = Split::time("t", Fractions::test(0.5).unwrap()).apply(&table.unwrap()).unwrap();
    assert_eq!((parts.train(), parts.test()), (&[0, 1, 2, 3, 5, 6][..], &[4, 7][..]));
}

#[test]
fn extreme_times_do_not_overflow() {
    let parts = Split::time("c", Fractions::test(0.5).unwrap())
        .with_gap(u64::MAX - 1)
        .apply(&numbers(vec![i64::MAX, i64::MIN]))
        .unwrap();
    assert_eq!((parts.train(), parts.test()), (&[1][..], &[0][..]));
}

#[test]
fn a_partition_read_from_elsewhere_is_checked() {
    let parts = Split::holdout(two(), 1).apply(&numbers((0..8).collect())).unwrap();
    let text = serde_json::to_string(&parts).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value["test"] = value["train"].clone();
    assert!(serde_json::from_value::<Partition>(value.clone()).is_err());
    value["train"] = serde_json::json!([0]);
    value["test"] = serde_json::json!([1]);
    let error = serde_json::from_value::<Partition>(value).unwrap_err().to_string();
    assert!(error.contains("does not describe the rows"), "{error}");
    for (train, test) in [(vec![], vec![1]), (vec![1], vec![]), (vec![1, 1], vec![2]), (vec![1], vec![8])] {
        assert!(Partition::predefined(8, train, None, test).is_err());
    }
    assert!(parts.table(&numbers(vec![1]), Part::Train).is_err());
    let eight = numbers((0..8).collect());
    assert_eq!(parts.table(&eight, Part::Validation).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn settings_can_be_written_in_toml() {
    let split: Split =
        toml::from_str("method = \"time\"\ncolumn = \"day\"\ngap = 7\nfractions = { test = 0.2 }").unwrap();
    assert_eq!(split, Split::time("day", Fractions::test(0.2).unwrap()).with_gap(7));
    for bad in [
        "method = \"holdout\"\nsed = 1",
        "method = \"holdout\"\ncolumn = \"day\"",
        "method = \"holdout\"\ngap = 1",
        "method = \"group\"",
        "method = \"group\"\ncolumn = \"day\"\ngap = 1",
        "method = \"random\"",
    ] {
        let text = format!("{bad}\nfractions = {{ test = 0.2 }}");
        assert!(toml::from_str::<Split>(&text).is_err(), "{text}");
    }
}

fn fractions() -> impl Strategy<Value = Fractions> {
    (prop::option::of(0.05..0.4), 0.05..0.4).prop_map(|(v, t)| Fractions::checked(v, t).unwrap())
}

/// All rows are in exactly one part, none is lost, and the manifest says so.
fn check_cover(parts: &Partition, rows: usize) {
    let mut all: Vec<usize> = parts.parts().flat_map(|(_, rows)| rows.to_vec()).collect();
    assert!(parts.parts().all(|(_, rows)| !rows.is_empty() && rows.is_sorted()));
    all.sort_unstable();
    assert_eq!(all, (0..rows).collect::<Vec<_>>());
    assert_eq!(parts.manifest().sizes.dropped, 0);
}

proptest! {
    #[test]
    fn holdout_covers_all_rows(rows in 20_usize..200, fractions in fractions(), seed: u64) {
        let table = numbers(vec![0; rows]);
        let parts = Split::holdout(fractions, seed).apply(&table).unwrap();
        check_cover(&parts, rows);
        prop_assert_eq!(&parts, &Split::holdout(fractions, seed).apply(&table).unwrap());
    }

    #[test]
    fn stratified_keeps_each_class_within_one_row_and_sizes_exactly(
        class in prop::collection::vec(0_i64..12, 20..200), fractions in fractions(), seed: u64,
    ) {
        let parts = Split::stratified("c", fractions, seed).apply(&numbers(class.clone())).unwrap();
        check_cover(&parts, class.len());
        let wanted = sizes(class.len(), &fractions.parts()).unwrap();
        for ((part, share), size) in fractions.parts().into_iter().zip(wanted) {
            let rows = parts.parts().find(|(p, _)| *p == part).unwrap().1;
            prop_assert_eq!(rows.len(), size);
            for c in 0..12 {
                let total = class.iter().filter(|&&x| x == c).count() as f64;
                let got = rows.iter().filter(|&&row| class[row] == c).count() as f64;
                prop_assert!((got - total * share).abs() < 1.0 + 1e-9, "{got} of {total} in {part}");
            }
        }
    }

    #[test]
    fn group_never_splits_a_group(
        group in prop::collection::vec(0_i64..15, 40..200), fractions in fractions(), seed: u64,
    ) {
        let distinct: HashSet<i64> = group.iter().copied().collect();
        prop_assume!(distinct.len() >= 3);
        let parts = Split::group("c", fractions, seed).apply(&numbers(group.clone())).unwrap();
        check_cover(&parts, group.len());
        let mut owner = HashMap::new();
        for (part, rows) in parts.parts() {
            for &row in rows {
                prop_assert_eq!(*owner.entry(group[row]).or_insert(part), part);
            }
        }
    }

    #[test]
    fn group_sizes_overshoot_by_less_than_a_group(
        group in prop::collection::vec(0_i64..1_000, 200..400), fractions in fractions(), seed: u64,
    ) {
        let parts = Split::group("c", fractions, seed).apply(&numbers(group.clone())).unwrap();
        let mut counts = HashMap::new();
        group.iter().for_each(|g| *counts.entry(g).or_insert(0_usize) += 1);
        let largest = *counts.values().max().unwrap();
        let wanted = sizes(group.len(), &fractions.parts()).unwrap();
        for ((_, rows), size) in parts.parts().zip(wanted) {
            prop_assert!(rows.len() < size + largest);
        }
    }

    #[test]
    fn time_parts_are_strictly_apart(
        time in prop::collection::vec(-50_i64..50, 40..200), fractions in fractions(), gap in 0_u64..3,
    ) {
        let distinct: HashSet<i64> = time.iter().copied().collect();
        prop_assume!(distinct.len() > 20);
        let Ok(parts) = Split::time("c", fractions).with_gap(gap).apply(&numbers(time.clone())) else {
            // A gap may leave nothing of a small part; without one there is always a split.
            prop_assert!(gap > 0);
            return Ok(());
        };
        let bounds: Vec<(i64, i64)> = parts
            .parts()
            .map(|(_, rows)| {
                let times = || rows.iter().map(|&row| time[row]);
                (times().min().unwrap(), times().max().unwrap())
            })
            .collect();
        for pair in bounds.windows(2) {
            prop_assert!(pair[0].1 + i64::try_from(gap).unwrap() < pair[1].0);
        }
        let used: usize = parts.parts().map(|(_, rows)| rows.len()).sum();
        prop_assert_eq!(used + parts.manifest().sizes.dropped, time.len());
        prop_assert!(gap > 0 || parts.manifest().sizes.dropped == 0);
    }
}
