//! Declared cohorts: the Responsible AI Toolbox's grammar, what it says of rows, and what it refuses.

use mlops_core::ErrorKind;
use mlops_core::data::{Column, Table, Validity, Values};
use mlops_core::num::UndefinedReason;
use mlops_eval::catalog::{Input, Metric};
use mlops_eval::interval::wilson;
use mlops_eval::slice::{
    Cohort, CohortRows, Filter, FilterMethod, MAX_DEPTH, MAX_FILTERS, Slice, SliceOptions, evaluate_slices,
};

/// Ages with a missing and a NaN value, a category with a missing value, a count, a flag.
fn table() -> Table<'static> {
    let valid = Validity::from_bools(&[true, true, true, true, false]);
    let age = Values::F64(vec![20.0, 40.0, 60.0, f64::NAN, 80.0].into());
    Table::new(vec![
        Column::new("age", age, Some(valid)).unwrap(),
        Column::optional_text("city", [Some("Bonn"), Some("Ulm"), None, Some("Bonn"), Some("3")]).unwrap(),
        Column::i64("count", vec![1, 2, 9_007_199_254_740_993, -4, 5]).unwrap(),
        Column::bool("smoker", vec![true, false, true, false, true]).unwrap(),
    ])
    .unwrap()
}

fn marks(filter: Filter) -> String {
    let table = table();
    let slice = Cohort::of(filter).unwrap().slice(&CohortRows::new(&table)).unwrap();
    slice.mask().iter().map(|inside| if *inside { 'x' } else { '.' }).collect()
}

#[test]
fn every_method_means_what_it_says_and_missing_values_satisfy_none() {
    use FilterMethod::*;
    for (method, values, expected) in [
        (Greater, vec![40.0], "..x.."),
        (GreaterAndEqual, vec![40.0], ".xx.."),
        (Less, vec![40.0], "x...."),
        (LessAndEqual, vec![40.0], "xx..."),
        (Equal, vec![40.0], ".x..."),
        (Includes, vec![60.0, 20.0], "x.x.."),
        (Excludes, vec![60.0, 20.0], ".x.xx"),
        (InTheRangeOf, vec![20.0, 40.0], "xx..."),
    ] {
        assert_eq!(marks(Filter::new("age", method, values).unwrap()), expected, "{method:?}");
    }
    assert_eq!(marks(Filter::greater("age", 40.0).unwrap().negated().unwrap()), "xx.xx");
}

#[test]
fn categories_flags_and_large_integers_are_compared_exactly() {
    assert_eq!(marks(Filter::equal("city", "Bonn").unwrap()), "x..x.");
    assert_eq!(marks(Filter::includes("city", ["Ulm", "nowhere"]).unwrap()), ".x...");
    assert_eq!(marks(Filter::excludes("city", ["Bonn"]).unwrap()), ".xx.x");
    assert_eq!(marks(Filter::equal("city", 3_i64).unwrap()), "....x");
    assert_eq!(marks(Filter::equal("smoker", true).unwrap()), "x.x.x");
    // 2^53 + 1 has no f64 of its own.
    assert_eq!(marks(Filter::equal("count", 9_007_199_254_740_993_i64).unwrap()), "..x..");
    assert_eq!(marks(Filter::equal("count", 9_007_199_254_740_992_i64).unwrap()), ".....");
    assert_eq!(marks(Filter::greater("count", 1.5).unwrap()), ".xx.x");
}

#[test]
fn filters_nest_and_names_can_be_read() {
    let old = Filter::at_least("age", 60.0).unwrap();
    let bonn = Filter::equal("city", "Bonn").unwrap();
    let smoker = Filter::equal("smoker", true).unwrap();
    let either = old.clone().or(bonn.clone()).unwrap();
    assert_eq!(marks(either.clone()), "x.xx.");
    let both = either.clone().and(smoker.clone()).unwrap();
    assert_eq!(marks(both.clone()), "x.x..");
    assert_eq!(both.to_string(), "(age >= 60 | city = Bonn) & smoker = true");
    assert_eq!(both.negated().unwrap().to_string(), "not ((age >= 60 | city = Bonn) & smoker = true)");
    let many = Filter::includes("count", 0..20_i64).unwrap();
    assert_eq!(many.to_string(), "count in {0, 1, 2, 3, 4, 5, 6, 7, …}");
    let hostile = Filter::equal("a\nb\u{202e}", "x\u{1b}[2J").unwrap().to_string();
    assert!(!hostile.contains(['\n', '\u{1b}', '\u{202e}']), "{hostile}");
}

#[test]
fn built_in_columns_look_at_truth_and_predictions() {
    let table = Table::new(vec![Column::f64("x", vec![1.0; 4]).unwrap()]).unwrap();
    let truth = Column::bool("y", vec![true, false, true, false]).unwrap();
    let predicted = Column::bool("p", vec![true, true, false, false]).unwrap();
    let rows = CohortRows::new(&table).with_truth(&truth).with_predictions(&predicted);
    let rows_of = |filter: Filter| {
        let slice = Cohort::of(filter).unwrap().slice(&rows).unwrap();
        (0..4).filter(|&row| slice.mask()[row]).collect::<Vec<_>>()
    };
    for (outcome, code, row) in
        [("True positive", 3, 0), ("False positive", 1, 1), ("False negative", 2, 2), ("True negative", 0, 3)]
    {
        assert_eq!(rows_of(Filter::includes("Classification outcome", [outcome]).unwrap()), [row]);
        assert_eq!(rows_of(Filter::includes("Classification outcome", [code as i64]).unwrap()), [row]);
    }
    assert_eq!(rows_of(Filter::includes("True Y", [1_i64]).unwrap()), [0, 2]);
    assert_eq!(rows_of(Filter::includes("Predicted Y", [true]).unwrap()), [0, 1]);
    assert_eq!(rows_of(Filter::in_the_range_of("Index", 1.0, 2.0).unwrap()), [1, 2]);

    let (y, p) = (
        Column::f64("y", vec![1.0, 2.0, 3.0, 4.0]).unwrap(),
        Column::f64("p", vec![1.0, 4.0, 2.5, 4.0]).unwrap(),
    );
    let rows = CohortRows::new(&table).with_truth(&y).with_predictions(&p);
    let large = Cohort::of(Filter::at_least("Error", 0.5).unwrap()).unwrap().slice(&rows).unwrap();
    assert_eq!(large.mask(), [false, true, true, false]);
}

#[test]
fn files_of_the_toolbox_are_read_and_written() {
    // `raiutils.cohort.Cohort.to_json`.
    let text = r#"{"name": "Cohort 1", "cohort_filter_list": [{"method": "less", "arg": [65], "column": "age"}, {"method": "includes", "arg": ["Bonn", "Ulm"], "column": "city"}]}"#;
    let cohort: Cohort = serde_json::from_str(text).unwrap();
    assert_eq!(cohort.definition(), "age < 65 & city in {Bonn, Ulm}");
    let table = table();
    assert_eq!(cohort.slice(&CohortRows::new(&table)).unwrap().mask(), [true, true, false, false, false]);
    let same = |a: &str, b: &str| {
        let parse = |text| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(parse(a), parse(b));
    };
    same(&serde_json::to_string(&cohort).unwrap(), text);
    assert!(cohort.is_rai());

    // What error analysis sends: filters, and composite ones beside them.
    let text = r#"{"name": "c", "filters": [{"method": "greater", "arg": [10], "column": "age"}],
        "compositeFilters": [{"compositeFilters": [
            {"compositeFilters": [{"arg": [30.5], "column": "age", "method": "less and equal"},
                                  {"arg": [true], "column": "smoker", "method": "equal"}], "operation": "and"},
            {"arg": [2], "column": "count", "method": "equal"}], "operation": "or"}]}"#;
    let cohort: Cohort = serde_json::from_str(text).unwrap();
    assert_eq!(cohort.definition(), "age > 10 & ((age <= 30.5 & smoker = true) | count = 2)");
    assert_eq!(cohort.slice(&CohortRows::new(&table)).unwrap().mask(), [true, true, false, false, false]);
    let all: Cohort = serde_json::from_str(r#"{"name": "all", "cohort_filter_list": null}"#).unwrap();
    assert_eq!(all.slice(&CohortRows::new(&table)).unwrap().rows(), 5);
    let negated = Filter::less("age", 1.0).unwrap().negated().unwrap();
    assert!(!Cohort::of(negated).unwrap().is_rai());
}

#[test]
fn bad_files_are_refused() {
    for filter in [
        r#"{"method":"greatest","arg":[1],"column":"age"}"#,
        r#"{"method":"greater","arg":[],"column":"age"}"#,
        r#"{"method":"greater","arg":[1,2],"column":"age"}"#,
        r#"{"method":"greater","arg":["1"],"column":"age"}"#,
        r#"{"method":"greater","arg":[1],"column":""}"#,
        r#"{"method":"greater","arg":[1],"column":"age","extra":1}"#,
        r#"{"method":"in the range of","arg":[1],"column":"age"}"#,
        r#"{"method":"in the range of","arg":[2,1],"column":"age"}"#,
        r#"{"method":"equal","arg":[1,2],"column":"age"}"#,
        r#"{"compositeFilters":[],"operation":"and"}"#,
        r#"{"compositeFilters":[{"method":"less","arg":[1],"column":"x"}],"operation":"xor"}"#,
        r#"{"compositeFilters":[{"method":"less","arg":[1],"column":"x"},{"method":"less","arg":[1],"column":"x"}],"operation":"not"}"#,
    ] {
        assert!(serde_json::from_str::<Filter>(filter).is_err(), "{filter}");
    }
    assert!(Filter::greater("age", f64::NAN).is_err());
    assert!(Filter::includes("age", [f64::INFINITY]).is_err());
    assert!(Cohort::new("", []).is_err());
}

#[test]
fn depth_and_size_are_limited() {
    let leaf = || Filter::less("age", 1.0).unwrap();
    let mut deep = leaf();
    for _ in 0..MAX_DEPTH {
        deep = deep.negated().unwrap();
    }
    assert_eq!(deep.negated().unwrap_err().kind(), ErrorKind::LimitExceeded);
    let wide = Filter::any((0..MAX_FILTERS).map(|_| leaf()));
    assert_eq!(wide.unwrap_err().kind(), ErrorKind::LimitExceeded);
    assert!(Cohort::new("c", (0..=MAX_FILTERS).map(|_| leaf())).is_err());
    let hostile = r#"{"operation":"not","compositeFilters":["#.repeat(100_000);
    assert!(serde_json::from_str::<Filter>(&hostile).is_err());
}

#[test]
fn errors_name_the_column_and_the_nearest_one() {
    let table = table();
    let rows = CohortRows::new(&table);
    let error = |filter: Filter| Cohort::of(filter).unwrap().slice(&rows).unwrap_err();
    let unknown = error(Filter::less("ags", 1.0).unwrap());
    assert_eq!((unknown.kind(), unknown.context("column")), (ErrorKind::NotFound, Some("ags")));
    assert!(unknown.message().contains("did you mean `age`?"), "{unknown}");
    assert!(error(Filter::less("predicted y", 1.0).unwrap()).message().contains("`Predicted Y`"));
    assert!(!error(Filter::less("zzzzzzzzz", 1.0).unwrap()).message().contains("did you mean"));
    let ordered = error(Filter::less("city", 1.0).unwrap());
    assert_eq!((ordered.kind(), ordered.context("column")), (ErrorKind::InvalidInput, Some("city")));
    assert_eq!(error(Filter::equal("age", "old").unwrap()).context("column"), Some("age"));
    assert!(error(Filter::equal("True Y", true).unwrap()).message().contains("the truth"));

    let (short, full) = (Column::bool("y", vec![true]).unwrap(), Column::bool("p", vec![true; 5]).unwrap());
    let filter = Cohort::of(Filter::less("age", 1.0).unwrap()).unwrap();
    assert!(filter.slice(&rows.with_truth(&short)).is_err());
    let outcomes = rows.with_truth(&full).with_predictions(&full);
    let outcome =
        Cohort::of(Filter::includes("Classification outcome", ["True positives"]).unwrap()).unwrap();
    assert!(outcome.slice(&outcomes).unwrap_err().message().contains("did you mean `True positive`?"));
    let numbers = Column::f64("y", vec![0.0, 1.0, 2.0, 0.0, 0.0]).unwrap();
    let fine = Filter::includes("Classification outcome", ["True positive"]).unwrap();
    assert!(Cohort::of(fine).unwrap().slice(&outcomes.with_truth(&numbers)).is_err());
}

#[test]
fn slices_have_shares_and_intervals_and_agree_with_their_rows() {
    let n = 40_000_usize;
    let y_true: Vec<bool> = (0..n).map(|row| row % 3 == 0).collect();
    let y_pred: Vec<bool> = (0..n).map(|row| row % 7 < 3).collect();
    let weights: Vec<f64> = (0..n).map(|row| (row % 5) as f64 / 2.0).collect();
    let masks = [(0..n).map(|row| row % 11 == 4).collect(), vec![false; n], vec![true; n]];
    let slices: Vec<Slice> = masks.into_iter().map(|mask| Slice::new("s", mask)).collect();
    let plain = Input::binary(&y_true).with_labels(&y_pred);
    for input in [plain, plain.with_weights(&weights)] {
        let metrics: Vec<Metric> = Metric::all().filter(|metric| input.supports(*metric)).collect();
        let results = evaluate_slices(&input, &slices, &metrics, &SliceOptions::default()).unwrap();
        for (slice, result) in slices.iter().zip(&results) {
            let pick =
                |values: &[bool]| (0..n).filter(|&r| slice.mask()[r]).map(|r| values[r]).collect::<Vec<_>>();
            let (t, p) = (pick(&y_true), pick(&y_pred));
            let w: Vec<f64> = (0..n).filter(|&r| slice.mask()[r]).map(|r| weights[r]).collect();
            let part = Input::binary(&t).with_labels(&p);
            let weighted = format!("{input:?}").contains("weights: Some");
            let part = if weighted { part.with_weights(&w) } else { part };
            for value in &result.values {
                if t.is_empty() {
                    assert_eq!(value.value.undefined().unwrap().reason, UndefinedReason::TooFew);
                    assert_eq!(value.interval, None);
                    continue;
                }
                assert_eq!(value.value, value.metric.evaluate(&part).unwrap(), "{}", value.metric);
                match (value.share, value.interval) {
                    (Some((k, n)), Some(interval)) => {
                        assert!(!weighted);
                        let count = |x: f64| x.to_string().parse::<u64>().unwrap();
                        assert_eq!(interval, wilson(count(k), count(n), 0.95).unwrap());
                    }
                    (_, interval) => assert!(interval.is_none()),
                }
            }
        }
        let recall = results[0].values.iter().find(|value| value.metric.name() == "recall").unwrap();
        assert!(recall.share.is_some_and(|(k, n)| k < n && n > 100.0));
    }
    let bad = SliceOptions::default().with_confidence(1.0);
    assert!(evaluate_slices(&plain, &slices, &["f1".parse().unwrap()], &bad).is_err());
}
