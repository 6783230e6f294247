//! Laws of references, profiles and sketches: merging, storing, refusing, and bounds that hold.

use mlops_core::data::{Column, Table, Validity, Values};
use mlops_core::num::{NanPolicy, Random};
use mlops_drift::profile::{
    ColumnCells, DistinctSketch, FrequentSketch, KsBounds, Profile, ProfileOptions, QuantileSketch, Reference,
};
use mlops_drift::sql::{Candidates, ValueCounts, exact_ks};
use mlops_drift::{KsOptions, ks_with};
use proptest::prelude::*;

/// One row: a number, an integer, a boolean and a text, each perhaps missing.
type Row = (Option<f64>, Option<i64>, Option<bool>, Option<String>);

fn table(rows: &[Row]) -> Table<'static> {
    let column = |name: &'static str, values, valid: Vec<bool>| {
        Column::new(name, values, Some(Validity::from_bools(&valid))).unwrap()
    };
    let valid = |present: fn(&Row) -> bool| rows.iter().map(present).collect::<Vec<bool>>();
    Table::new(vec![
        column(
            "x",
            Values::F64(rows.iter().map(|row| row.0.unwrap_or(0.0)).collect()),
            valid(|row| row.0.is_some()),
        ),
        column(
            "n",
            Values::I64(rows.iter().map(|row| row.1.unwrap_or(0)).collect()),
            valid(|row| row.1.is_some()),
        ),
        column(
            "b",
            Values::Bool(rows.iter().map(|row| row.2 == Some(true)).collect()),
            valid(|row| row.2.is_some()),
        ),
        Column::optional_text("t", rows.iter().map(|row| row.3.as_deref())).unwrap(),
    ])
    .unwrap()
}

fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => -10.0..10.0f64,
        2 => prop_oneof![Just(0.0), Just(-0.0), Just(1.5), Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY)],
        1 => any::<f64>(),
    ]
}

fn any_row() -> impl Strategy<Value = Row> {
    (
        prop::option::weighted(0.9, any_number()),
        prop::option::weighted(0.9, -5..5i64),
        prop::option::weighted(0.9, any::<bool>()),
        prop::option::weighted(0.9, prop_oneof!["[a-c]", "[a-z]{0,3}"]),
    )
}

fn reference() -> Reference {
    let mut random = Random::new(3);
    let rows: Vec<Row> = (0..400_u64)
        .map(|i| {
            let x = random.next_f64() * 12.0 - 6.0;
            let n = i64::try_from(i % 9).unwrap() - 4;
            (
                Some(x),
                Some(n),
                Some(i % 3 == 0),
                Some(["a", "b", "c"][usize::try_from(i % 3).unwrap()].to_owned()),
            )
        })
        .collect();
    Reference::fit_with(&table(&rows), &ProfileOptions::default().with_cells(64).with_keep_values(true))
        .unwrap()
}

fn merged(parts: &[Profile]) -> Profile {
    let mut all = parts[0].clone();
    parts[1..].iter().for_each(|part| all.merge(part).unwrap());
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn merging_is_associative_and_commutative_and_shards_are_the_whole(
        rows in prop::collection::vec(any_row(), 0..60),
        cuts in (0usize..60, 0usize..60),
    ) {
        let reference = reference();
        let (first, second) = (cuts.0.min(cuts.1).min(rows.len()), cuts.0.max(cuts.1).min(rows.len()));
        let shards = [&rows[..first], &rows[first..second], &rows[second..]];
        let [a, b, c] = shards.map(|shard| reference.profile(&table(shard)).unwrap());
        let whole = reference.profile(&table(&rows)).unwrap();
        // Fewer than a thousand new categories: even their sketch is exact.
        prop_assert_eq!(&merged(&[a.clone(), b.clone(), c.clone()]), &whole);
        prop_assert_eq!(&merged(&[c.clone(), a.clone(), b.clone()]), &whole);
        prop_assert_eq!(&merged(&[a.clone(), merged(&[b.clone(), c.clone()])]), &whole);
        let mut profiler = reference.profiler().unwrap();
        for shard in shards {
            profiler.push(&table(shard)).unwrap();
        }
        prop_assert_eq!(profiler.profile(), &whole);

        let text = serde_json::to_string(&whole).unwrap();
        let read: Profile = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&read, &whole);
        reference.check(&read).unwrap();
    }

    #[test]
    fn bins_of_cells_are_what_bins_count_on_the_values(rows in prop::collection::vec(any_row(), 1..60)) {
        let reference = reference();
        let table = table(&rows);
        let profile = reference.profile(&table).unwrap();
        for column in reference.columns() {
            let counts = reference.bin_counts(&profile, column.name()).unwrap();
            let values = table.column(column.name()).unwrap();
            match column.cells() {
                ColumnCells::Numeric { bins, .. } => {
                    let counted = bins.count(&values.to_f64().unwrap());
                    prop_assert_eq!(&counts[..], counted.as_slice(), "{}", column.name());
                }
                ColumnCells::Category { bins } => {
                    let labels: Vec<_> = (0..rows.len()).map(|i| values.label(i)).collect();
                    let counted = bins.count(labels.iter().map(|label| label.as_deref()));
                    prop_assert_eq!(&counts[..], counted.as_slice());
                }
                _ => prop_assert!(false),
            }
        }
    }

    #[test]
    fn bounds_hold_and_the_second_pass_is_exact(
        rows in prop::collection::vec(any_row(), 1..60),
        p in 0.0..=1.0f64,
    ) {
        let reference = reference();
        let table = table(&rows);
        let profile = reference.profile(&table).unwrap();
        let candidates = Candidates::new(&reference, reference.baseline(), &profile).unwrap();
        let before = ValueCounts::of_reference(&reference, &candidates).unwrap();
        let after = ValueCounts::of_table(&reference, &candidates, &profile, &table).unwrap();
        for name in ["x", "n", "b"] {
            let values = table.column(name).unwrap().to_f64().unwrap();
            let known = reference.columns().iter().find(|c| c.name() == name).unwrap().values().unwrap();
            let mut present: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
            present.sort_unstable_by(f64::total_cmp);
            let bounds = reference.ks(reference.baseline(), &profile, name);
            if present.is_empty() {
                prop_assert!(bounds.is_err());
                continue;
            }
            let bounds = bounds.unwrap();
            let direct = ks_with(known, &values, &KsOptions::default().with_nan(NanPolicy::Omit)).unwrap();
            let exact = exact_ks(&reference, &candidates, name, (reference.baseline(), &before), (&profile, &after)).unwrap();
            prop_assert_eq!(exact.numerator, direct.numerator, "{}", name);
            prop_assert!(bounds.statistic.contains(exact.statistic), "{name}: {bounds:?} {exact:?}");
            let (low, high) = (bounds.p_low.value().unwrap(), bounds.p_high.value().unwrap());
            prop_assert!(low <= exact.p.value().unwrap() && exact.p.value().unwrap() <= high);

            let rank = (1..present.len()).find(|&i| i as f64 >= p * present.len() as f64).unwrap_or(present.len());
            let quantile = reference.quantile(&profile, name, p).unwrap();
            prop_assert!(quantile.contains(present[rank - 1]), "{name} {p}: {quantile:?} {present:?}");

            let w1 = reference.wasserstein(reference.baseline(), &profile, name).unwrap();
            let direct = area_between(known, &present);
            prop_assert!(w1.low <= direct * (1.0 + 1e-12) && direct <= w1.high * (1.0 + 1e-12), "{name}: {w1:?} {direct}");
        }
    }
}

/// ∫|F − G| of two sorted samples.
fn area_between(a: &[f64], b: &[f64]) -> f64 {
    let mut points: Vec<f64> = a.iter().chain(b).copied().collect();
    points.sort_unstable_by(f64::total_cmp);
    let share = |values: &[f64], x: f64| values.partition_point(|&v| v <= x) as f64 / values.len() as f64;
    let pieces = points.windows(2).map(|pair| {
        let difference = (share(a, pair[0]) - share(b, pair[0])).abs();
        if difference == 0.0 || pair[0] == pair[1] { 0.0 } else { difference * (pair[1] - pair[0]) }
    });
    pieces.sum()
}

#[test]
fn references_survive_a_round_trip_and_refuse_contradictions() {
    let reference = reference();
    let text = serde_json::to_string(&reference).unwrap();
    let read: Reference = serde_json::from_str(&text).unwrap();
    assert_eq!(read, reference);
    assert_eq!(read.digest(), reference.digest());

    let whole: serde_json::Value = serde_json::from_str(&text).unwrap();
    let refused = |pointer: &str, value: serde_json::Value| {
        let mut changed = whole.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        assert_ne!(changed, whole, "{pointer}");
        let message = serde_json::from_value::<Reference>(changed).unwrap_err().to_string();
        assert!(!message.is_empty(), "{pointer}");
    };
    refused("/version", 2.into());
    refused("/options/bins", 0.into());
    refused("/options/cells", 1.into());
    refused("/options/distinct", 99.into());
    refused("/options/frequent", 2.into());
    refused("/columns", serde_json::json!([]));
    refused("/columns/0/name", "n".into());
    refused("/columns/0/data_type", "category".into());
    refused("/columns/0/data_type", "time".into());
    refused("/columns/0/cells/numeric/cuts/0", 2.into());
    refused("/columns/0/cells/numeric/cuts", serde_json::json!([1, 1]));
    refused("/columns/0/cells/numeric/cuts", serde_json::json!([1, 100_000]));
    refused("/columns/0/cells/numeric/grid/low", 0.123.into());
    refused("/columns/0/cells/numeric/grid/cells", 3.into());
    refused("/columns/0/values/0", 5.0.into());
    refused("/columns/0/values", serde_json::json!([]));
    refused("/baseline/rows", 399.into());
    refused("/baseline/version", 0.into());
    refused("/baseline/reference", format!("sha256:{}", "0".repeat(64)).into());
    refused("/baseline/columns", serde_json::json!([]));
    refused("/baseline/columns/0/numeric/cells/1", 1_000_000.into());
    refused("/baseline/columns/0/numeric/detail/infinite", 1.into());
    refused("/baseline/columns/0/numeric/detail/range/min", (-100.0).into());
    refused("/baseline/columns/0/numeric/detail/moments/count", 1.into());
    refused("/baseline/columns/0/numeric/detail/distinct", "zz".into());
    refused("/baseline/columns/3/category/unseen", "00".into());
    let mut text = whole.clone();
    text.pointer_mut("/columns/3")
        .unwrap()
        .as_object_mut()
        .unwrap()
        .insert("values".to_owned(), serde_json::json!([1.0]));
    assert!(serde_json::from_value::<Reference>(text).is_err());
    let mut extra = whole.clone();
    extra.as_object_mut().unwrap().insert("more".to_owned(), 1.into());
    assert!(serde_json::from_value::<Reference>(extra).is_err());
}

#[test]
fn profiles_of_other_references_do_not_merge() {
    let one = reference();
    let rows: Vec<Row> = vec![(Some(1.0), Some(1), Some(true), Some("z".to_owned()))];
    let other = Reference::fit(&table(&rows)).unwrap();
    let mut profile = one.baseline().clone();
    let before = profile.clone();
    assert!(profile.merge(other.baseline()).is_err());
    assert_eq!(profile, before);
    assert!(one.check(other.baseline()).is_err());
    assert!(one.clone().with_baseline(other.baseline().clone()).is_err());
    assert!(one.resume(other.baseline().clone()).is_err());
}

#[test]
fn a_push_that_fails_counts_nothing() {
    let reference = reference();
    let mut profiler = reference.profiler().unwrap();
    let rows: Vec<Row> = vec![(Some(1.0), Some(1), Some(true), Some("z".to_owned()))];
    let good = table(&rows);
    let absent = good.without(&["t"]);
    assert_eq!(profiler.push(&absent).unwrap_err().kind(), mlops_core::ErrorKind::NotFound);
    let wrong = absent.clone().with_column(Column::f64("t", vec![1.0]).unwrap()).unwrap();
    let error = profiler.push(&wrong).unwrap_err();
    assert_eq!((error.kind(), error.context("column")), (mlops_core::ErrorKind::InvalidInput, Some("t")));
    assert_eq!(profiler.profile().rows(), 0);
    profiler.push(&good).unwrap();
    assert_eq!(profiler.finish(), reference.profile(&good).unwrap());
}

#[test]
fn what_cells_do_not_tell_is_lost_in_a_merge_with_a_profile_that_never_had_it() {
    let reference = reference();
    let rows: Vec<Row> = (0..5).map(|i| (Some(f64::from(i)), None, Some(true), None)).collect();
    let known = reference.profile(&table(&rows)).unwrap();
    let counted = {
        let mut rows = Vec::new();
        for (column, profile) in known.columns().iter().enumerate() {
            let text = reference.columns()[column].name() == "t";
            for (cell, &count) in profile.cells().iter().enumerate().filter(|(_, count)| **count > 0) {
                rows.push(mlops_drift::sql::CountRow {
                    column,
                    cell: (!text).then_some(cell),
                    label: None,
                    count,
                });
            }
        }
        mlops_drift::sql::read_counts(&reference, rows).unwrap()
    };
    assert!(
        reference.moments(&known, "x").unwrap().is_some()
            && reference.moments(&counted, "x").unwrap().is_none()
    );
    let (left, right) =
        (merged(&[known.clone(), counted.clone()]), merged(&[counted.clone(), known.clone()]));
    assert_eq!(left, right);
    assert!(reference.moments(&left, "x").unwrap().is_none());
    // An empty profile of either kind changes nothing.
    let empty = reference.profiler().unwrap().finish();
    assert_eq!(merged(&[empty.clone(), counted.clone()]), counted);
    assert_eq!(merged(&[known.clone(), mlops_drift::sql::read_counts(&reference, []).unwrap()]), known);
}

#[test]
fn atoms_stand_alone_and_new_ones_are_seen() {
    let values: Vec<f64> = (0..1000).map(|i| if i % 4 == 0 { 0.0 } else { f64::from(i) / 100.0 }).collect();
    let reference = Reference::fit(&Table::new(vec![Column::f64("x", values).unwrap()]).unwrap()).unwrap();
    let counts = reference.bin_counts(reference.baseline(), "x").unwrap();
    assert!(counts.contains(&250), "{counts:?}");
    assert!(counts.len() > 8 && counts.iter().all(|&count| count <= 250), "{counts:?}");
}

#[test]
fn sketches_of_the_python_library_are_read() {
    let file: serde_json::Value = serde_json::from_str(include_str!("reference/sketches.json")).unwrap();
    let cases = |kind: &str| file[kind].as_array().unwrap().clone();
    for case in cases("quantiles") {
        let sketch = QuantileSketch::from_bytes(&bytes(&case)).unwrap();
        assert_eq!(Some(sketch.count()), case["count"].as_u64());
        assert!((sketch.rank_error() - case["rank_error"].as_f64().unwrap()).abs() < 1e-15);
        for pair in case["ranks"].as_array().unwrap() {
            let rank = sketch.rank(pair[0].as_f64().unwrap()).unwrap();
            assert!((rank - pair[1].as_f64().unwrap()).abs() < 1e-12, "{pair}");
        }
    }
    for case in cases("distinct") {
        let read = DistinctSketch::from_bytes(&bytes(&case)).unwrap();
        let expected = case["estimate"].as_f64().unwrap();
        assert!(
            (read.estimate() - expected).abs() <= 1e-12 * expected,
            "{} is not {expected}",
            read.estimate()
        );
        // The same values hashed here give the same registers.
        let mut own = DistinctSketch::new(read.lg_k()).unwrap();
        (0..case["numbers"].as_u64().unwrap()).for_each(|i| own.push(i as f64));
        (0..case["texts"].as_u64().unwrap()).for_each(|i| own.push_text(&format!("text {i}")));
        own.merge(&read).unwrap();
        assert!(
            (own.estimate() - expected).abs() <= 1e-12 * expected,
            "{} is not {expected}",
            own.estimate()
        );
    }
    for case in cases("frequent") {
        let sketch = FrequentSketch::from_bytes(&bytes(&case)).unwrap();
        assert_eq!(Some(sketch.total()), case["total"].as_u64());
        let all = sketch.top(usize::MAX);
        for row in case["top"].as_array().unwrap() {
            let expected =
                (row[0].as_str().unwrap().to_owned(), row[1].as_u64().unwrap(), row[2].as_u64().unwrap());
            assert!(all.contains(&expected), "{expected:?} {all:?}");
        }
    }
}

fn bytes(case: &serde_json::Value) -> Vec<u8> {
    let hex = case["bytes"].as_str().unwrap();
    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
}

#[test]
fn sketches_from_damaged_bytes_are_refused_or_answer() {
    let file: serde_json::Value = serde_json::from_str(include_str!("reference/sketches.json")).unwrap();
    let mut random = Random::new(11);
    let mut next = |below: usize| {
        let bound = std::num::NonZeroU64::new(below as u64).unwrap();
        usize::try_from(random.below(bound)).unwrap()
    };
    for (kind, cases) in file.as_object().unwrap() {
        for case in cases.as_array().unwrap() {
            let whole = bytes(case);
            for round in 0..300 {
                let mut damaged = whole.clone();
                if round % 3 == 0 {
                    damaged.truncate(next(whole.len() + 1));
                }
                for _ in 0..round % 4 {
                    if !damaged.is_empty() {
                        // Most of what can go wrong is in the header.
                        let at = next(if round % 2 == 0 { damaged.len() } else { damaged.len().min(32) });
                        damaged[at] = u8::try_from(next(256)).unwrap();
                    }
                }
                match kind.as_str() {
                    "quantiles" | "drifted" => drop(QuantileSketch::from_bytes(&damaged).map(|sketch| {
                        let mut sketch = sketch;
                        (0..500).for_each(|i| sketch.push(f64::from(i)));
                        (sketch.quantile(0.5).unwrap(), sketch.to_bytes())
                    })),
                    "distinct" => drop(DistinctSketch::from_bytes(&damaged).map(|sketch| {
                        let mut own = DistinctSketch::new(12).unwrap();
                        own.merge(&sketch).unwrap();
                        (own.estimate(), own.bounds())
                    })),
                    _ => drop(FrequentSketch::from_bytes(&damaged).map(|sketch| {
                        let mut own = FrequentSketch::new(4).unwrap();
                        let _ = own.merge(&sketch);
                        (0..50).for_each(|i| own.push(&format!("more {i}"), 3));
                        own.top(5)
                    })),
                }
            }
        }
    }
}

#[test]
fn sketches_say_when_they_cannot_see() {
    use mlops_core::monitor::DriftVerdict;
    let file: serde_json::Value = serde_json::from_str(include_str!("reference/sketches.json")).unwrap();
    let cases = file["drifted"].as_array().unwrap();
    let sketches: Vec<QuantileSketch> =
        cases.iter().map(|case| QuantileSketch::from_bytes(&bytes(case)).unwrap()).collect();
    // 0.5 % of the range: significant for 200 000 values a side (critical D is 0.43 %), and below what k = 200 sees (2 × 1.33 %).
    for (index, verdict) in [(1, DriftVerdict::Inconclusive), (2, DriftVerdict::Drift)] {
        let ks = KsBounds::from_sketches(&sketches[0], &sketches[index]).unwrap();
        let exact = cases[index]["statistic"].as_f64().unwrap();
        assert!(exact > 0.0043 && ks.statistic.contains(exact) && ks.confidence == 0.98, "{exact} {ks:?}");
        assert_eq!(ks.verdict(0.05), verdict, "{ks:?}");
    }
}
