//! Metrics of scores and probabilities against scikit-learn 1.9.1 (`tests/reference/scores.py`), and the laws of their states.

use std::collections::BTreeMap;

use mlops_core::num::Measured;
use mlops_core::num::parallel::Threads;
use mlops_eval::classification::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    cases: Vec<Case>,
}

type Values = BTreeMap<String, Option<f64>>;

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Case {
    Binary(Binary),
    Multiclass(Multiclass),
    Multilabel(Multilabel),
}

#[derive(Deserialize)]
struct Binary {
    name: String,
    y_true: Vec<bool>,
    scores: Vec<f64>,
    weights: Option<Vec<f64>>,
    metrics: Values,
    partial: Values,
    single_precision_log_loss: f64,
    roc: Rates,
    pr: PrecisionRecall,
    cells: Cells,
    det: Option<Errors>,
}

#[derive(Deserialize)]
struct Rates {
    false_positive_rate: Vec<Option<f64>>,
    true_positive_rate: Vec<Option<f64>>,
    thresholds: Vec<Option<f64>>,
}

#[derive(Deserialize)]
struct Errors {
    false_positive_rate: Vec<Option<f64>>,
    false_negative_rate: Vec<Option<f64>>,
    thresholds: Vec<Option<f64>>,
}

#[derive(Deserialize)]
struct PrecisionRecall {
    precision: Vec<Option<f64>>,
    recall: Vec<Option<f64>>,
    thresholds: Vec<Option<f64>>,
}

#[derive(Deserialize)]
struct Cells {
    cells: Vec<[f64; 4]>,
    thresholds: Vec<Option<f64>>,
}

#[derive(Deserialize)]
struct Multiclass {
    name: String,
    y_true: Vec<u32>,
    probabilities: Vec<f64>,
    classes: usize,
    weights: Option<Vec<f64>>,
    one_vs_rest: Values,
    one_vs_one: Values,
    average_precision: Values,
    log_loss: f64,
    brier: Values,
    d2_log_loss: Option<f64>,
    d2_brier: Option<f64>,
}

#[derive(Deserialize)]
struct Multilabel {
    name: String,
    y_true: Vec<bool>,
    scores: Vec<f64>,
    labels: usize,
    weights: Option<Vec<f64>>,
    roc_auc: Values,
    average_precision: Values,
}

fn cases() -> Vec<Case> {
    let text = include_str!("reference/scores.json");
    serde_json::from_str::<Reference>(text).unwrap().cases
}

fn binary() -> Vec<Binary> {
    let binary: Vec<_> = cases()
        .into_iter()
        .filter_map(|case| if let Case::Binary(case) = case { Some(case) } else { None })
        .collect();
    assert!(binary.len() >= 20);
    binary
}

impl Binary {
    fn state(&self) -> ScoreState {
        let options = ScoreOptions::default();
        ScoreState::of_with(&self.y_true, &self.scores, self.weights.as_deref(), &options).unwrap()
    }
}

fn agree(context: &str, got: Measured, expected: Option<f64>) {
    match (got, expected) {
        (Measured::Value(got), Some(expected)) => {
            let near = (got - expected).abs() <= 1e-12 * expected.abs().max(1.0);
            assert!(near, "{context}: {got}, not {expected}");
        }
        (Measured::Undefined(_), None) => {}
        _ => panic!("{context}: {got:?}, not {expected:?}"),
    }
}

fn average(name: &str) -> Average {
    match name {
        "macro" => Average::Macro,
        "micro" => Average::Micro,
        _ => Average::Weighted,
    }
}

#[test]
fn every_number_agrees_with_scikit_learn_from_rows_and_from_the_state() {
    for case in binary() {
        let state = case.state();
        assert_eq!(case.metrics.len(), ScoreMetric::ALL.len(), "every metric has a reference value");
        for &metric in ScoreMetric::ALL {
            let expected = case.metrics[metric.name()];
            let rows = metric.evaluate(&case.y_true, &case.scores, case.weights.as_deref()).unwrap();
            agree(&format!("{}, {metric}", case.name), rows, expected);
            let stated = metric.from_state(&state).unwrap();
            agree(&format!("{}, {metric} from the state", case.name), stated, expected);
        }
        if case.metrics["average_precision"].is_none() {
            let zero = ZeroDivision::Zero.apply(average_precision_from_state(&state).unwrap());
            assert_eq!(zero.value(), Some(0.0), "scikit-learn's value without positives");
        }
    }
}

#[test]
fn partial_areas_agree_with_scikit_learn() {
    for case in binary() {
        for (rate, expected) in &case.partial {
            let region = RocRegion::MaxFalsePositiveRate(rate.parse().unwrap());
            let options = RocAucOptions::default().with_region(region);
            let got = match &case.weights {
                None => roc_auc_with(&case.y_true, &case.scores, &options),
                Some(weights) => roc_auc_weighted_with(&case.y_true, &case.scores, weights, &options),
            };
            agree(&format!("{}, up to {rate}", case.name), got.unwrap(), *expected);
        }
    }
}

#[test]
fn parts_of_the_area_add_up_to_the_whole() {
    for case in binary().iter().filter(|case| case.metrics["roc_auc"].is_some()) {
        let state = case.state();
        let raw = |region| {
            let options = RocAucOptions::default().with_region(region).with_standardized(false);
            roc_auc_from_state_with(&state, &options).unwrap().value().unwrap()
        };
        let whole = raw(RocRegion::Whole);
        assert!((raw(RocRegion::MaxFalsePositiveRate(1.0)) - whole).abs() < 1e-14);
        assert!((raw(RocRegion::MinTruePositiveRate(0.0)) - whole).abs() < 1e-14);
        // Mirrored in the falling diagonal, with truth and order swapped, "above" becomes "left of".
        let swapped: Vec<bool> = case.y_true.iter().map(|y| !y).collect();
        let negated: Vec<f64> = case.scores.iter().map(|score| -score).collect();
        let weights = case.weights.as_deref();
        let mirrored = ScoreState::of_with(&swapped, &negated, weights, &ScoreOptions::default()).unwrap();
        let options = RocAucOptions::default()
            .with_region(RocRegion::MaxFalsePositiveRate(0.3))
            .with_standardized(false);
        let left = roc_auc_from_state_with(&mirrored, &options).unwrap().value().unwrap();
        assert!((raw(RocRegion::MinTruePositiveRate(0.7)) - left).abs() < 1e-14, "{}", case.name);
    }
}

#[test]
fn a_log_loss_of_single_precision_is_an_eps_away() {
    for case in binary() {
        let single: Vec<f64> = case.scores.iter().map(|&score| f64::from(score as f32)).collect();
        let options = LogLossOptions::default().with_eps(f64::from(f32::EPSILON));
        let got = match &case.weights {
            None => log_loss_with(&case.y_true, &single, &options),
            Some(weights) => log_loss_weighted_with(&case.y_true, &single, weights, &options),
        };
        let (got, expected) = (got.unwrap().value().unwrap(), case.single_precision_log_loss);
        // scikit-learn takes its logarithms in single precision.
        assert!((got - expected).abs() <= 1e-6 * expected.max(1.0), "{}: {got} {expected}", case.name);
    }
}

#[test]
fn curves_agree_with_scikit_learn() {
    for case in binary() {
        let (state, name) = (case.state(), &case.name);
        let options = RocCurveOptions::default().with_drop_intermediate(true);
        let points = roc_curve_from_state_with(&state, &options).unwrap().points;
        assert_eq!(points.len(), case.roc.thresholds.len(), "{name}");
        for (i, point) in points.iter().enumerate() {
            assert_eq!(point.threshold, case.roc.thresholds[i], "{name}");
            agree(name, point.false_positive_rate, case.roc.false_positive_rate[i]);
            agree(name, point.true_positive_rate, case.roc.true_positive_rate[i]);
        }

        let curve = pr_curve_from_state(&state).unwrap();
        assert_eq!(curve.points.len(), case.pr.precision.len(), "{name}");
        for (i, point) in curve.points.iter().rev().enumerate() {
            assert_eq!(point.threshold, case.pr.thresholds.get(i).copied().flatten(), "{name}");
            agree(name, point.precision, case.pr.precision[i]);
            // scikit-learn sets recall to 1 without positives, and to 0 at the end.
            if curve.positives > 0.0 {
                agree(name, point.recall, case.pr.recall[i]);
            } else {
                assert_eq!(point.recall.value(), None);
            }
        }

        let at = confusion_at_thresholds(&state).unwrap();
        assert_eq!(at.len(), case.cells.thresholds.len() + 1, "{name}");
        for (at, (cells, threshold)) in
            at[1..].iter().zip(case.cells.cells.iter().zip(&case.cells.thresholds))
        {
            assert_eq!(at.threshold, *threshold);
            let [tp, fp, fn_, tn] = *cells;
            assert_eq!(at.cells, WeightedConfusion::new(tp, fp, fn_, tn).unwrap(), "{name}");
        }

        let points = det_curve_from_state(&state).unwrap().points;
        let Some(det) = &case.det else {
            let missing = |point: &DetPoint| {
                point.false_positive_rate.value().is_none() || point.false_negative_rate.value().is_none()
            };
            assert!(points.iter().all(missing), "{name}");
            continue;
        };
        assert_eq!(points.len(), det.thresholds.len(), "{name}");
        for (i, point) in points.iter().rev().enumerate() {
            assert_eq!(point.threshold, det.thresholds[i], "{name}");
            agree(name, point.false_positive_rate, det.false_positive_rate[i]);
            agree(name, point.false_negative_rate, det.false_negative_rate[i]);
        }
    }
}

#[test]
fn several_classes_agree_with_scikit_learn() {
    let mut seen = 0;
    for case in cases() {
        let Case::Multiclass(case) = case else { continue };
        seen += 1;
        let (weights, name) = (case.weights.as_deref(), &case.name);
        let (y, p, k) = (&case.y_true, &case.probabilities, case.classes);
        let state = MulticlassScoreState::of_with(y, p, k, weights, &ScoreOptions::default()).unwrap();
        for (by, expected) in &case.one_vs_rest {
            agree(name, multiclass_roc_auc(&state, average(by)).unwrap(), *expected);
        }
        for (by, expected) in &case.one_vs_one {
            agree(name, multiclass_roc_auc_one_vs_one(&state, average(by)).unwrap(), *expected);
        }
        for (by, expected) in &case.average_precision {
            let got = multiclass_average_precision(&state, average(by), ZeroDivision::Zero).unwrap();
            agree(&format!("{name}, AP {by}"), got, *expected);
        }
        let options = LogLossOptions::default();
        agree(name, multiclass_log_loss_with(y, p, k, weights, &options).unwrap(), Some(case.log_loss));
        agree(name, multiclass_log_loss_from_state(&state).unwrap(), Some(case.log_loss));
        for (scale, expected) in &case.brier {
            let scale = match scale.as_str() {
                "auto" => BrierScale::Auto,
                "half" => BrierScale::Half,
                _ => BrierScale::Sum,
            };
            let rows = match weights {
                None => multiclass_brier(y, p, k, scale),
                Some(weights) => multiclass_brier_weighted(y, p, k, weights, scale),
            };
            agree(name, rows.unwrap(), *expected);
            agree(name, multiclass_brier_from_state(&state, scale).unwrap(), *expected);
        }
        agree(name, multiclass_d2_log_loss(&state).unwrap(), case.d2_log_loss);
        agree(name, multiclass_d2_brier(&state).unwrap(), case.d2_brier);
    }
    assert!(seen >= 6);
}

#[test]
fn several_labels_agree_with_scikit_learn() {
    let mut seen = 0;
    for case in cases() {
        let Case::Multilabel(case) = case else { continue };
        seen += 1;
        let (weights, options) = (case.weights.as_deref(), ScoreOptions::default());
        let state = MultilabelScoreState::of_with(&case.y_true, &case.scores, case.labels, weights, &options);
        let state = state.unwrap();
        for (by, expected) in &case.roc_auc {
            let got = multilabel_roc_auc(&state, average(by)).unwrap();
            agree(&format!("{}, area, {by}", case.name), got, *expected);
        }
        for (by, expected) in &case.average_precision {
            let got = multilabel_average_precision(&state, average(by), ZeroDivision::Zero).unwrap();
            agree(&format!("{}, AP, {by}", case.name), got, *expected);
        }
    }
    assert!(seen >= 4);
}

/// Rows of two classes whose scores overlap; `grid` makes ties.
fn rows(n: usize, grid: Option<f64>) -> (Vec<bool>, Vec<f64>, Vec<f64>) {
    let unit = |i: usize, salt: u64| {
        let mixed = (i as u64 + salt).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        ((mixed ^ (mixed >> 32)) >> 11) as f64 / (1_u64 << 53) as f64
    };
    let y_true: Vec<bool> = (0..n).map(|i| unit(i, 1) < 0.3).collect();
    let score = |i: usize| if y_true[i] { unit(i, 77).sqrt() } else { unit(i, 77) };
    let scores = (0..n).map(|i| grid.map_or(score(i), |steps| (score(i) * steps).round() / steps)).collect();
    let weights = (0..n).map(|i| 0.1 + 2.0 * unit(i, 555)).collect();
    (y_true, scores, weights)
}

#[test]
fn threads_change_no_bit() {
    for grid in [None, Some(50.0)] {
        let (y, s, w) = rows(150_000, grid);
        let all = |threads| {
            let threads = Threads::new(threads);
            let area = RocAucOptions::default().with_threads(threads);
            let loss = LogLossOptions::default().with_threads(threads);
            let brier = BrierOptions::default().with_threads(threads);
            let state = ScoreOptions::default().with_threads(threads);
            let numbers = [
                roc_auc_with(&y, &s, &area),
                roc_auc_weighted_with(&y, &s, &w, &area),
                log_loss_with(&y, &s, &loss),
                log_loss_weighted_with(&y, &s, &w, &loss),
                brier_with(&y, &s, &brier),
                brier_weighted_with(&y, &s, &w, &brier),
            ];
            (numbers.map(Result::unwrap), ScoreState::of_with(&y, &s, Some(&w), &state).unwrap())
        };
        let one = all(1);
        assert!(one == all(2) && one == all(5));
    }
}

#[test]
fn every_way_to_a_state_leads_to_the_same_numbers() {
    let (y, s, w) = rows(200_000, None);
    let whole = ScoreState::of(&y, &s).unwrap();
    let mut stream = ScoreStream::default();
    for row in 0..70_000 {
        stream.push(y[row], s[row], 1.0).unwrap();
    }
    for part in [70_000..70_001, 70_001..150_000, 150_000..200_000] {
        stream.extend(&y[part.clone()], &s[part], None).unwrap();
    }
    assert!(stream.finish().unwrap() == whole);
    assert_eq!(roc_auc_from_state(&whole).unwrap().value().map(|a| (a * 1e13).round()), {
        roc_auc(&y, &s).unwrap().value().map(|a| (a * 1e13).round())
    });

    let weighted = ScoreState::weighted(&y, &s, &w).unwrap();
    let mut merged = ScoreState::weighted(&y[..99], &s[..99], &w[..99]).unwrap();
    merged.merge(&ScoreState::weighted(&y[99..], &s[99..], &w[99..]).unwrap()).unwrap();
    for &metric in ScoreMetric::ALL {
        let rows = metric.evaluate(&y, &s, Some(&w)).unwrap().value().unwrap();
        for state in [&weighted, &merged] {
            let stated = metric.from_state(state).unwrap().value().unwrap();
            assert!((stated - rows).abs() < 1e-13, "{metric}: {stated} {rows}");
        }
    }
}

#[test]
fn a_resolution_bounds_the_size_and_the_error() {
    let (y, s, _) = rows(50_000, None);
    let exact = ScoreState::of(&y, &s).unwrap();
    for k in [4, 8, 12] {
        let options = ScoreOptions::default().with_resolution(Some(k));
        let state = ScoreState::of_with(&y, &s, None, &options).unwrap();
        assert_eq!(state, exact.rounded(k).unwrap());
        assert!(state.distinct() <= (1 << k) + 1);
        let moved = |metric: ScoreMetric| {
            let value = |state| metric.from_state(state).unwrap().value().unwrap();
            (value(&state) - value(&exact)).abs()
        };
        let pairs = state.positives() * state.negatives();
        let tied: f64 = state.points().map(|(_, negatives, positives)| negatives * positives / pairs).sum();
        assert!(moved(ScoreMetric::RocAuc) <= 0.5 * tied);
        assert!(moved(ScoreMetric::Brier) <= 0.5_f64.powi(k.cast_signed()));
    }
    assert!(exact.rounded(53).is_err());
}

#[test]
fn ten_million_rows_lose_no_digit() {
    // Single precision stops counting at 2²⁴; here the answer is known exactly.
    let n = 10_000_000;
    let y: Vec<bool> = (0..n).map(|i| i % 4 == 0).collect();
    let s: Vec<f64> = (0..n).map(|i| f64::from(u8::from(i % 8 == 0 || i % 4 == 1)) * 0.8 + 0.1).collect();
    // Positives: half score high. Negatives: a third scores high. ½·⅔ + ½·(½·⅓ + ½·⅔) = 7/12.
    assert_eq!(roc_auc(&y, &s).unwrap().value(), Some(7.0 / 12.0));
    let (high, low) = (-(0.9_f64.ln()), -(0.1_f64.ln()));
    // Of eight rows, one positive and four negatives are right.
    let expected = (5.0 * high + 3.0 * low) / 8.0;
    let loss = log_loss(&y, &s).unwrap().value().unwrap();
    assert!((loss - expected).abs() < 1e-14 * expected, "{loss} {expected}");
    let brier = brier(&y, &s).unwrap().value().unwrap();
    assert!((brier - (5.0 * 0.01 + 3.0 * 0.81) / 8.0).abs() < 1e-14, "{brier}");
}

#[test]
fn the_cumulative_gains_area_follows_from_the_roc_area() {
    for case in binary().iter().filter(|case| case.metrics["roc_auc"].is_some()) {
        let state = case.state();
        let prevalence = state.positives() / (state.positives() + state.negatives());
        let expected = 0.5 * prevalence + (1.0 - prevalence) * case.metrics["roc_auc"].unwrap();
        agree(&case.name, cumulative_gains_area(&state).unwrap(), Some(expected));
        let table = gains_table_from_state(&state).unwrap();
        let last = table.buckets.last().unwrap();
        agree(&case.name, last.gain, Some(1.0));
        let rows: f64 = table.buckets.iter().map(|bucket| bucket.rows).sum();
        assert!((rows - table.rows).abs() < 1e-9);
    }
}

#[test]
fn the_separation_is_reached_at_its_threshold() {
    for case in binary() {
        let state = case.state();
        let Some(best) = separation(&state).unwrap() else {
            assert_eq!(ks_from_state(&state).unwrap().value(), None);
            continue;
        };
        let cells = confusion_at_threshold(&state, best.threshold).unwrap();
        let gap = cells.true_positives() / state.positives() - cells.false_positives() / state.negatives();
        assert!((gap.abs() - best.statistic).abs() < 1e-15 && (gap >= 0.0) == best.positives_above);
    }
}
