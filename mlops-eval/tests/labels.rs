//! Metrics of labels against scikit-learn and Fairlearn (versions inside `reference/*.json`), to 1e-12; and laws of the
//! kernels and states behind them.

use std::collections::BTreeMap;

use mlops_core::num::parallel::Threads;
use mlops_core::num::{Measured, StatsError};
use mlops_eval::catalog::{Input, Metric};
use mlops_eval::classification::{
    Average, CellMetric, Confusion, ConfusionMatrix, KappaWeights, LabelMetric, LabelRankingState,
    MultilabelConfusion, Normalize, TopKOptions, TopKState, TopKTies, WeightedConfusion,
    WeightedConfusionMatrix, WeightedConfusionMatrixState, WeightedConfusionState, ZeroDivision, compat,
};
use proptest::prelude::*;
use serde::Deserialize;

type Values = BTreeMap<String, Option<f64>>;
/// By zero division, average and metric.
type Averages = BTreeMap<String, BTreeMap<String, BTreeMap<String, Vec<Option<f64>>>>>;

#[derive(Deserialize)]
struct File {
    versions: BTreeMap<String, String>,
    binary: Vec<Binary>,
    multiclass: Vec<Multiclass>,
    top_k: Vec<TopK>,
}

#[derive(Deserialize)]
struct MultilabelFile {
    multilabel: Vec<Multilabel>,
}

#[derive(Deserialize)]
struct Binary {
    name: String,
    y_true: Vec<bool>,
    y_pred: Vec<bool>,
    weights: Option<Vec<f64>>,
    metrics: Values,
    replaced_likelihood_ratios: Vec<Option<f64>>,
    fairlearn: Values,
}

#[derive(Deserialize)]
struct Multiclass {
    name: String,
    y_true: Vec<u32>,
    y_pred: Vec<u32>,
    classes: usize,
    weights: Option<Vec<f64>>,
    some: Vec<u32>,
    normalized: BTreeMap<String, Vec<f64>>,
    selected: Vec<f64>,
    kappa: BTreeMap<String, Values>,
    accuracy: f64,
    zero_one_loss: f64,
    hamming_loss: f64,
    mcc: f64,
    balanced_accuracy: f64,
    balanced_accuracy_adjusted: Option<f64>,
    support: Vec<f64>,
    present: Averages,
    all: Averages,
    of_some: Averages,
}

#[derive(Deserialize)]
struct TopK {
    name: String,
    y_true: Vec<u32>,
    scores: Vec<f64>,
    classes: usize,
    weights: Option<Vec<f64>>,
    values: BTreeMap<usize, f64>,
}

#[derive(Deserialize)]
struct Multilabel {
    name: String,
    y_true: Vec<bool>,
    y_pred: Vec<bool>,
    scores: Vec<f64>,
    labels: usize,
    weights: Option<Vec<f64>>,
    cells: Vec<[f64; 4]>,
    averages: Averages,
    of_some: Averages,
    samples: BTreeMap<String, Values>,
    subset_accuracy: f64,
    hamming_loss: f64,
    coverage_error: f64,
    label_ranking_average_precision: f64,
    label_ranking_loss: f64,
}

fn file() -> File {
    let file: File = serde_json::from_str(include_str!("reference/labels.json")).unwrap();
    assert_eq!(file.versions["scikit-learn"], "1.9.1");
    assert_eq!(file.versions["fairlearn"], "0.15.0");
    file
}

#[track_caller]
fn agree(context: &str, got: Measured, expected: Option<f64>) {
    match (got.value(), expected) {
        (Some(got), Some(expected)) => {
            let tolerance = 1e-12 * expected.abs().max(1.0);
            assert!((got - expected).abs() <= tolerance, "{context}: {got} instead of {expected}");
        }
        (got, expected) => assert_eq!(got, expected, "{context}"),
    }
}

#[track_caller]
fn equal(context: &str, got: Measured, expected: f64) {
    agree(context, got, Some(expected));
}

fn all_equal(context: &str, got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len(), "{context}");
    for (got, expected) in got.iter().zip(expected) {
        equal(context, Measured::Value(*got), *expected);
    }
}

fn zero_division(name: &str) -> ZeroDivision {
    match name {
        "zero" => ZeroDivision::Zero,
        "one" => ZeroDivision::One,
        "nan" => ZeroDivision::Nan,
        other => panic!("{other}"),
    }
}

fn metric(name: &str) -> CellMetric {
    if let Some(beta) = name.strip_prefix("f_beta_") {
        return CellMetric::f_beta(beta.parse().unwrap()).unwrap();
    }
    match name.parse().unwrap() {
        Metric::Label(metric) => metric.into(),
        other => panic!("{other}"),
    }
}

fn average(name: &str) -> Average {
    match name {
        "micro" => Average::Micro,
        "macro" => Average::Macro,
        "weighted" => Average::Weighted,
        other => panic!("{other}"),
    }
}

/// `each`: the values of the classes, one by one.
fn compare_averages(
    context: &str,
    expected: &Averages,
    one: impl Fn(CellMetric, Average, ZeroDivision) -> Measured,
    each: impl Fn(CellMetric) -> Vec<Measured>,
) {
    let mut compared = 0;
    for (zero, by_average) in expected {
        for (average_name, by_metric) in by_average {
            for (metric_name, expected) in by_metric {
                let (metric, zero_division) = (metric(metric_name), zero_division(zero));
                let context = format!("{context}, {metric_name}, {average_name}, zero division {zero}");
                if average_name == "each" {
                    let got = each(metric);
                    assert_eq!(got.len(), expected.len(), "{context}");
                    for (got, expected) in got.into_iter().zip(expected) {
                        agree(&context, zero_division.apply(got), *expected);
                    }
                } else {
                    agree(&context, one(metric, average(average_name), zero_division), expected[0]);
                }
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 4 * (2 * 6 + 5));
}

#[test]
fn binary_metrics_agree_with_their_definitions_and_likelihood_ratios_with_scikit_learn() {
    let cases = file().binary;
    assert!(cases.len() >= 24);
    for case in cases {
        let cells = match &case.weights {
            None => Confusion::of(&case.y_true, &case.y_pred).unwrap().into(),
            Some(weights) => WeightedConfusion::of(&case.y_true, &case.y_pred, weights).unwrap(),
        };
        let mut input = Input::binary(&case.y_true).with_labels(&case.y_pred);
        if let Some(weights) = &case.weights {
            input = input.with_weights(weights);
        }
        assert_eq!(case.metrics.len(), 10);
        for (name, expected) in &case.metrics {
            let context = format!("{}, {name}", case.name);
            agree(&context, metric(name).from_counts(cells), *expected);
            agree(&context, name.parse::<Metric>().unwrap().evaluate(&input).unwrap(), *expected);
        }
        let replaced = compat::likelihood_ratios(cells, Some(7.0), Some(0.5));
        for (got, expected) in replaced.into_iter().zip(&case.replaced_likelihood_ratios) {
            // Without one class and with a denominator that is not 0, scikit-learn divides 0 by something or by 0.
            let single = LabelMetric::Informedness.from_counts(cells).value().is_none();
            if !single || got.value().is_some() {
                agree(&format!("{}, replaced likelihood ratio", case.name), got, *expected);
            }
        }
        for (name, expected) in &case.fairlearn {
            agree(
                &format!("{}, Fairlearn {name}", case.name),
                compat::fairlearn_rate(metric(name), cells),
                *expected,
            );
        }
    }
}

fn matrix_of(case: &Multiclass) -> WeightedConfusionMatrix {
    match &case.weights {
        None => ConfusionMatrix::of(&case.y_true, &case.y_pred, case.classes).unwrap().weighted(),
        Some(weights) => {
            WeightedConfusionMatrix::of(&case.y_true, &case.y_pred, weights, case.classes).unwrap()
        }
    }
}

#[test]
fn multiclass_metrics_agree_with_scikit_learn() {
    let cases = file().multiclass;
    assert!(cases.len() >= 18);
    for case in cases {
        let (name, matrix) = (&case.name, matrix_of(&case));
        equal(&format!("{name}, accuracy"), matrix.accuracy(), case.accuracy);
        equal(&format!("{name}, zero-one loss"), matrix.zero_one_loss(), case.zero_one_loss);
        equal(&format!("{name}, Hamming loss"), matrix.hamming_loss(), case.hamming_loss);
        equal(&format!("{name}, mcc"), Measured::Value(compat::mcc(&matrix)), case.mcc);
        equal(name, compat::balanced_accuracy(&matrix, false), case.balanced_accuracy);
        agree(name, compat::balanced_accuracy(&matrix, true), case.balanced_accuracy_adjusted);
        all_equal(name, &matrix.support(), &case.support);
        all_equal(name, matrix.select(&case.some).unwrap().cells(), &case.selected);
        for (by, expected) in &case.normalized {
            let by = match by.as_str() {
                "true" => Normalize::True,
                "pred" => Normalize::Pred,
                _ => Normalize::All,
            };
            all_equal(&format!("{name}, {by:?}"), &compat::normalized(&matrix, by), expected);
        }
        for (weights, expected) in &case.kappa {
            let weights = match weights.as_str() {
                "unweighted" => KappaWeights::Unweighted,
                "linear" => KappaWeights::Linear,
                _ => KappaWeights::Quadratic,
            };
            let context = format!("{name}, kappa {weights:?}");
            agree(&context, matrix.kappa(&weights).unwrap(), expected["all"]);
            let present = compat::cohen_kappa(&matrix, &weights, None).unwrap();
            agree(&context, present, expected["present"]);
            let replaced = compat::cohen_kappa(&matrix, &weights, Some(-1.0)).unwrap();
            agree(&context, replaced, expected["replaced"]);
        }
        let present = matrix.present();
        let all: Vec<u32> = (0..case.classes as u32).collect();
        let of = |classes: &[u32], metric| {
            let each = matrix.per_class(metric);
            classes.iter().map(|&class| each[class as usize]).collect::<Vec<_>>()
        };
        compare_averages(
            name,
            &case.present,
            |metric, average, zero| matrix.average(metric, average, zero),
            |metric| of(&present, metric),
        );
        for (classes, expected) in [(&all, &case.all), (&case.some, &case.of_some)] {
            compare_averages(
                &format!("{name}, classes {classes:?}"),
                expected,
                |metric, average, zero| matrix.average_of(classes, metric, average, zero).unwrap(),
                |metric| of(classes, metric),
            );
        }
    }
}

#[test]
fn top_k_accuracy_agrees_with_scikit_learn_in_its_order_of_ties() {
    for case in file().top_k {
        assert_eq!(case.values.len(), case.classes);
        for (&k, &expected) in &case.values {
            let of = |ties| {
                let options = TopKOptions::new(k).with_ties(ties);
                TopKState::of(&case.y_true, &case.scores, case.weights.as_deref(), case.classes, options)
                    .unwrap()
                    .finish()
            };
            equal(&format!("{}, top {k}", case.name), of(TopKTies::HigherCodeFirst), expected);
            let averaged = of(TopKTies::Averaged).value().unwrap();
            assert!(of(TopKTies::TrueClassLast).value().unwrap() <= averaged + 1e-12);
            if case.name.starts_with("distinct") {
                assert!((averaged - expected).abs() < 1e-12);
            }
            if case.name.starts_with("all tied") {
                assert!((averaged - k as f64 / case.classes as f64).abs() < 1e-12);
            }
        }
    }
}

#[test]
fn multilabel_metrics_agree_with_scikit_learn() {
    let cases =
        serde_json::from_str::<MultilabelFile>(include_str!("reference/multilabel.json")).unwrap().multilabel;
    assert!(cases.len() >= 12);
    for case in cases {
        let name = &case.name;
        let state = match &case.weights {
            None => MultilabelConfusion::of(&case.y_true, &case.y_pred, case.labels),
            Some(weights) => MultilabelConfusion::weighted(&case.y_true, &case.y_pred, weights, case.labels),
        };
        let state = state.unwrap();
        for (label, [tn, fp, fn_, tp]) in case.cells.iter().enumerate() {
            let cells = state.label(label).unwrap();
            let got = [
                cells.true_negatives(),
                cells.false_positives(),
                cells.false_negatives(),
                cells.true_positives(),
            ];
            all_equal(name, &got, &[*tn, *fp, *fn_, *tp]);
        }
        compare_averages(
            name,
            &case.averages,
            |metric, average, zero| state.average(metric, average, zero),
            |metric| state.per_label(metric),
        );
        compare_averages(
            &format!("{name}, two labels"),
            &case.of_some,
            |metric, average, zero| state.average_of(&[1, 0], metric, average, zero).unwrap(),
            |metric| state.per_label(metric).into_iter().take(2).rev().collect(),
        );
        for (zero, by_metric) in &case.samples {
            for (metric_name, expected) in by_metric {
                let got = state.average_over_rows(metric(metric_name), zero_division(zero));
                agree(&format!("{name}, {metric_name} over rows, zero division {zero}"), got, *expected);
            }
        }
        equal(name, state.subset_accuracy(), case.subset_accuracy);
        equal(name, state.hamming_loss(), case.hamming_loss);
        let ranking = LabelRankingState::of(&case.y_true, &case.scores, case.weights.as_deref(), case.labels)
            .unwrap()
            .finish();
        equal(&format!("{name}, coverage"), ranking.coverage_error, case.coverage_error);
        equal(&format!("{name}, LRAP"), ranking.average_precision, case.label_ranking_average_precision);
        equal(&format!("{name}, ranking loss"), ranking.ranking_loss, case.label_ranking_loss);
    }
}

fn long_rows(n: usize) -> (Vec<u32>, Vec<u32>, Vec<f64>) {
    let t = (0..n as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 7) % 5).collect();
    let p = (0..n as u32).map(|i| (i.wrapping_mul(2_246_822_519) >> 9) % 5).collect();
    let w = (0..n).map(|i| (i % 101) as f64 * 0.01 + 1e-7).collect();
    (t, p, w)
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let (t, p, w) = long_rows(300_001);
    let bools = |codes: &[u32]| codes.iter().map(|&code| code > 2).collect::<Vec<_>>();
    let (bt, bp) = (bools(&t), bools(&p));
    let matrix = ConfusionMatrix::of(&t, &p, 5).unwrap();
    let weighted = WeightedConfusionMatrix::of(&t, &p, &w, 5).unwrap();
    let mut pushed = ConfusionMatrix::new(5).unwrap();
    t.iter().zip(&p).for_each(|(&t, &p)| pushed.push(t, p).unwrap());
    assert_eq!(matrix, pushed);
    for threads in [2, 3, 8].map(Threads::new) {
        assert_eq!(Confusion::of_with(&bt, &bp, threads), Confusion::of(&bt, &bp));
        assert_eq!(WeightedConfusion::of_with(&bt, &bp, &w, threads), WeightedConfusion::of(&bt, &bp, &w));
        assert_eq!(ConfusionMatrix::of_with(&t, &p, 5, threads), Ok(matrix.clone()));
        assert_eq!(WeightedConfusionMatrix::of_with(&t, &p, &w, 5, threads), Ok(weighted.clone()));
    }
}

#[test]
fn the_first_bad_row_is_named_wherever_it_is() {
    let n = 200_000;
    let (mut t, mut p, mut w) = long_rows(n);
    let bools = vec![true; n];
    for row in [0, 7, 65_535, 65_536, n - 1] {
        let (code, weight) = (t[row], w[row]);
        t[row] = 9;
        let error = StatsError::UnknownCode { argument: "y_true", index: row, code: 9, known: 5 };
        for threads in [1, 2].map(Threads::new) {
            assert_eq!(ConfusionMatrix::of_with(&t, &p, 5, threads), Err(error));
            assert_eq!(WeightedConfusionMatrix::of_with(&t, &p, &w, 5, threads), Err(error));
        }
        t[row] = code;
        for bad in [f64::NAN, f64::INFINITY, -1.0] {
            w[row] = bad;
            let expected = mlops_core::num::weights::total("weights", &w).unwrap_err();
            assert_eq!(WeightedConfusion::of(&bools, &bools, &w), Err(expected), "{row} {bad}");
            assert_eq!(WeightedConfusionMatrix::of(&t, &p, &w, 5), Err(expected), "{row} {bad}");
        }
        w[row] = weight;
    }
    p[n - 1] = 5;
    assert!(matches!(
        ConfusionMatrix::of(&t, &p, 5),
        Err(StatsError::UnknownCode { argument: "y_pred", .. })
    ));
    assert!(WeightedConfusion::of(&bools, &bools, &vec![0.0; n]).is_err());
    assert!(WeightedConfusion::of(&bools, &bools, &vec![1e308; n]).is_err());
    assert!(WeightedConfusionMatrix::of(&t, &t, &vec![1e308; n], 5).is_err());
}

#[test]
fn states_are_read_back_as_they_were_written_and_checked() {
    let (t, p, w) = long_rows(1000);
    let bools = |codes: &[u32]| codes.iter().map(|&code| code > 2).collect::<Vec<_>>();
    let state = WeightedConfusionState::of(&bools(&t), &bools(&p), &w).unwrap();
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<WeightedConfusionState>(&text).unwrap(), state);
    assert!(
        serde_json::from_str::<WeightedConfusionState>(&text.replacen("total\":", "total\":-", 1)).is_err()
    );
    let state = WeightedConfusionMatrixState::of(&t, &p, &w, 5).unwrap();
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<WeightedConfusionMatrixState>(&text).unwrap(), state);
    assert!(serde_json::from_str::<WeightedConfusionMatrixState>(&text.replacen("5", "4", 1)).is_err());
    let matrix = ConfusionMatrix::of(&t, &p, 5).unwrap();
    let text = serde_json::to_string(&matrix).unwrap();
    assert_eq!(serde_json::from_str::<ConfusionMatrix>(&text).unwrap(), matrix);
    for bad in [
        r#"{"classes":2,"cells":[1,2,3]}"#,
        r#"{"classes":0,"cells":[]}"#,
        r#"{"classes":3000,"cells":[]}"#,
        r#"{"classes":1,"cells":[1],"x":1}"#,
    ] {
        assert!(serde_json::from_str::<ConfusionMatrix>(bad).is_err(), "{bad}");
        assert!(serde_json::from_str::<WeightedConfusionMatrix>(bad).is_err(), "{bad}");
    }
    assert!(serde_json::from_str::<WeightedConfusionMatrix>(r#"{"classes":1,"cells":[-1.0]}"#).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn weighted_states_add_up_however_rows_come(
        rows in prop::collection::vec((0..4_u32, 0..4_u32, 0.0..3.0_f64), 2..80),
        cut in 1..80_usize,
    ) {
        let cut = 1 + cut % (rows.len() - 1);
        let column = |f: fn(&(u32, u32, f64)) -> u32| rows.iter().map(f).collect::<Vec<_>>();
        let (t, p): (Vec<u32>, Vec<u32>) = (column(|row| row.0), column(|row| row.1));
        let w: Vec<f64> = rows.iter().map(|row| row.2 + 1e-3).collect();
        let whole = WeightedConfusionMatrix::of(&t, &p, &w, 4).unwrap();
        let mut pushed = WeightedConfusionMatrixState::new(4).unwrap();
        for row in 0..cut {
            pushed.push(t[row], p[row], w[row]).unwrap();
        }
        pushed.merge(&WeightedConfusionMatrixState::of(&t[cut..], &p[cut..], &w[cut..], 4).unwrap()).unwrap();
        for (a, b) in pushed.finish().cells().iter().zip(whole.cells()) {
            prop_assert!((a - b).abs() <= 1e-15 * b.abs());
        }
    }

    #[test]
    fn matrices_of_any_cells_give_numbers_in_range_or_reasons(
        cells in prop::collection::vec(prop_oneof![Just(0.0), Just(5e-324), Just(1e-300), 0.0..5.0_f64, Just(1e307)], 9),
    ) {
        let text = serde_json::to_string(&cells).unwrap();
        let matrix: WeightedConfusionMatrix =
            serde_json::from_str(&format!(r#"{{"classes":3,"cells":{text}}}"#)).unwrap();
        let inside = |measured: Measured, low: f64, high: f64| {
            measured.value().is_none_or(|value| value.is_finite() && (low..=high).contains(&value))
        };
        for metric in LabelMetric::ALL {
            let (low, high) = metric.range();
            for average in [Average::Macro, Average::Micro, Average::Weighted] {
                for zero in [ZeroDivision::Undefined, ZeroDivision::Zero, ZeroDivision::Nan] {
                    let value = matrix.average(*metric, average, zero);
                    let slack = 1e-12;
                    prop_assert!(inside(value, low - slack, high + slack), "{} {:?} {:?}", metric, average, value);
                }
            }
        }
        for weights in [KappaWeights::Unweighted, KappaWeights::Linear, KappaWeights::Quadratic] {
            let kappa = matrix.kappa(&weights).unwrap();
            prop_assert!(inside(kappa, f64::MIN, 1.0), "{:?}", kappa);
        }
        prop_assert!(inside(matrix.balanced_accuracy_adjusted(), -1.0, 1.0));
        prop_assert!(inside(matrix.zero_one_loss(), 0.0, 1.0));
        for by in [Normalize::True, Normalize::Pred, Normalize::All] {
            prop_assert!(matrix.normalized(by).into_iter().all(|share| inside(share, 0.0, 1.0)));
        }
    }
}
