//! Losses, shares of a loss, distributions and averages of outputs against their reference, and the laws of the states.

use std::fs;
use std::path::Path;

use mlops_core::num::parallel::Threads;
use mlops_core::num::{Measured, StatsError};
use mlops_eval::regression::{
    D2State, Loss, LossState, OutputAverage, RegressionMetric, RegressionOptions, RegressionState,
    ResidualState, output_metrics, outputs_average,
};
use proptest::prelude::*;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
    outputs: Vec<Outputs>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    y_true: Vec<f64>,
    y_pred: Vec<f64>,
    weights: Option<Vec<f64>>,
    metrics: BTreeMap<String, Option<f64>>,
    compat: BTreeMap<String, Option<f64>>,
    losses: Vec<LossCase>,
    quantiles: Vec<(f64, f64)>,
}

#[derive(Deserialize)]
struct LossCase {
    loss: Loss,
    mean: Option<f64>,
    d2: Option<f64>,
    #[serde(default)]
    refused: bool,
}

#[derive(Deserialize)]
struct Outputs {
    name: String,
    y_true: Vec<f64>,
    y_pred: Vec<f64>,
    outputs: usize,
    weights: Option<Vec<f64>>,
    raw: Vec<Option<f64>>,
    uniform: Option<f64>,
    given: Vec<f64>,
    given_average: Option<f64>,
    variance_weighted: Option<f64>,
}

fn file() -> File {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/regression.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Equal to 1e-12, relative for large values, or both without a number.
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

#[test]
fn what_scikit_learn_makes_of_undefined_metrics_is_one_switch_away() {
    let options = RegressionOptions::scikit_learn_1_9();
    let mut differ = 0;
    for case in file().cases {
        for (name, expected) in &case.compat {
            let metric = RegressionMetric::ALL.iter().find(|metric| metric.name() == name).unwrap();
            let got = metric.evaluate_with(&case.y_true, &case.y_pred, case.weights.as_deref(), &options);
            agree(&format!("{}, {name}", case.name), got.unwrap(), *expected);
            differ += usize::from(case.metrics[name] != *expected);
        }
    }
    assert!(differ >= 16, "the switch matters in {differ} values");
}

#[test]
fn losses_and_their_shares_agree_with_scikit_learn_and_scipy() {
    let mut seen = 0;
    for case in file().cases {
        let weights = case.weights.as_deref();
        for LossCase { loss, mean, d2, refused } in case.losses {
            let context = format!("{}, {loss:?}", case.name);
            let state = LossState::of(loss, &case.y_true, &case.y_pred, weights);
            if refused {
                assert!(matches!(state, Err(StatsError::OutOfRange { .. })), "{context}: {state:?}");
                continue;
            }
            agree(&context, state.unwrap().finish().unwrap(), mean);
            if let Some(d2) = d2 {
                let whole = D2State::of(loss, &case.y_true, &case.y_pred, weights).unwrap();
                agree(&format!("{context}, D²"), whole.finish().unwrap(), Some(d2));
                seen += 1;
            }
        }
    }
    assert!(seen >= 100, "{seen} shares");
}

#[derive(Deserialize)]
struct Deviances {
    deviances: Vec<[f64; 4]>,
}

#[test]
fn deviances_agree_with_mpmath_where_doubles_cancel() {
    let Deviances { deviances } = serde_json::from_str(include_str!("reference/deviances.json")).unwrap();
    assert!(deviances.len() > 100);
    for [power, y, p, expected] in deviances {
        let got = Loss::Tweedie { power }.of(y, p);
        assert!((got / expected - 1.0).abs() < 1e-14, "power {power}, {y}, {p}: {got} is not {expected}");
    }
}

#[test]
fn deviances_of_rows_outside_the_domain_are_no_numbers() {
    for (power, y, p) in
        [(1.0, -1.0, 1.0), (1.5, 1.0, -1.0), (2.0, 0.0, 1.0), (3.0, 0.0, 1.0), (-1.0, 1.0, 0.0)]
    {
        let got = Loss::Tweedie { power }.of(y, p);
        assert!(!got.is_finite(), "power {power}, {y}, {p}: {got}");
    }
    assert_eq!(Loss::Tweedie { power: 0.0 }.of(-1.0, 1.0), 4.0);
    assert_eq!(Loss::Tweedie { power: 1.7 }.of(1e-300, 1e-300), 0.0);
}

#[test]
fn equal_targets_leave_nothing_to_explain() {
    for loss in [Loss::Pinball { alpha: 0.3 }, Loss::Tweedie { power: 1.0 }, Loss::Tweedie { power: 0.0 }] {
        let share = D2State::of(loss, &[2.0; 4], &[1.0, 2.0, 3.0, 2.0], None).unwrap().finish().unwrap();
        assert_eq!(share.value(), None, "{loss:?}");
    }
}

#[test]
fn residual_quantiles_agree_with_numpy() {
    for case in file().cases {
        let state = ResidualState::of(&case.y_true, &case.y_pred, case.weights.as_deref()).unwrap();
        for (p, expected) in case.quantiles {
            let got = state.quantile(p).unwrap();
            agree(&format!("{}, quantile {p}", case.name), got, Some(expected));
        }
        let median = state.median_absolute_error().unwrap();
        agree(&case.name, median, case.metrics["median_absolute_error"]);
        agree(&case.name, state.max_error(), case.metrics["max_error"]);
        let mean = state.summary().unwrap().mean.map(|mean| -mean);
        agree(&case.name, mean, case.metrics["mean_error"]);
    }
}

#[test]
fn averages_of_outputs_agree_with_scikit_learn() {
    let options = RegressionOptions::scikit_learn_1_9();
    for case in file().outputs {
        let weights = case.weights.as_deref();
        let metric = *RegressionMetric::ALL.iter().find(|metric| metric.name() == case.name).unwrap();
        let (y, p) = (&case.y_true, &case.y_pred);
        let raw = output_metrics(metric, y, p, case.outputs, weights, &options).unwrap();
        for (output, (got, expected)) in raw.into_iter().zip(&case.raw).enumerate() {
            agree(&format!("{metric} of output {output}"), got, *expected);
        }
        let average =
            |average| outputs_average(metric, y, p, case.outputs, weights, &average, &options).unwrap();
        agree(metric.name(), average(OutputAverage::Uniform), case.uniform);
        agree(metric.name(), average(OutputAverage::Weights(case.given)), case.given_average);
        if case.variance_weighted.is_some() {
            agree(metric.name(), average(OutputAverage::VarianceWeighted), case.variance_weighted);
        }
    }
}

/// Targets and predictions without a random number generator.
fn columns(rows: u32) -> [Vec<f64>; 3] {
    let part = |i: u32, a: u32, b: u32| f64::from(i.wrapping_mul(a) % b) / f64::from(b);
    let y: Vec<f64> = (0..rows).map(|i| 1e3 * part(i, 7_919, 104_729) + 0.1).collect();
    let p = (0..rows).zip(&y).map(|(i, y)| y + part(i, 104_723, 99_991) - 0.25).collect();
    [y, p, (0..rows).map(|i| part(i, 31, 1_009) + 0.5).collect()]
}

#[test]
fn threads_do_not_change_a_bit() {
    let [y, p, w] = columns(300_000);
    for weights in [None, Some(&w[..])] {
        let one = RegressionState::of(&y, &p, weights).unwrap();
        for threads in [2, 3, 8] {
            let many = RegressionState::of_with(&y, &p, weights, Threads::new(threads)).unwrap();
            assert_eq!(many, one, "{threads}");
        }
    }
}

#[test]
fn sums_of_many_rows_keep_their_digits() {
    // Errors of 0.1 and 0.3 in turn: each of the two is one number, so that integer arithmetic gives the sum.
    let rows = 1_000_003_u32;
    let y: Vec<f64> = (0..rows).map(|i| if i % 2 == 0 { 0.1 } else { 0.3 }).collect();
    let zeros = vec![0.0; y.len()];
    let state = RegressionState::of(&y, &zeros, None).unwrap().finish().unwrap();
    // 0.1 and 0.3 as multiples of 2⁻⁵⁶.
    let unit = 2.0_f64.powi(-56);
    #[expect(clippy::cast_possible_truncation, reason = "whole numbers below 2⁵⁵")]
    let whole = |x: f64| (x / unit) as i128;
    let sum = whole(0.1) * i128::from(rows.div_ceil(2)) + whole(0.3) * i128::from(rows / 2);
    let exact = sum as f64 * unit / f64::from(rows);
    let got = state.mae.value().unwrap();
    assert!(((got - exact) / exact).abs() < 1e-15, "{got} {exact}");
}

#[test]
fn a_small_spread_on_a_large_mean_is_kept() {
    // Spread 1/4 around 1e9: sums of squares would lose all of it.
    let y: Vec<f64> = (0..200_000).map(|i| 1e9 + f64::from(i % 4) * 0.25).collect();
    let p: Vec<f64> = y.iter().map(|y| y + 1.0).collect();
    let summary = RegressionState::of(&y, &p, None).unwrap().finish().unwrap();
    // Variance of 0, ¼, ½, ¾ is 5/64.
    let r2 = 1.0 - 1.0 / (5.0 / 64.0);
    assert!((summary.r2.value().unwrap() - r2).abs() < 1e-11 * r2.abs());
    assert_eq!(summary.explained_variance.value(), Some(1.0));
    assert!((summary.pearson.value().unwrap() - 1.0).abs() < 1e-14);
    let ccc = 2.0 * (5.0 / 64.0) / (2.0 * (5.0 / 64.0) + 1.0);
    assert!((summary.concordance_correlation.value().unwrap() - ccc).abs() < 1e-12);
}

prop_compose! {
    fn row()(
        y in prop_oneof![-50.0..50.0_f64, prop::sample::select(vec![0.0, -0.0, 1.0, 2.0])],
        p in prop_oneof![-50.0..50.0_f64, prop::sample::select(vec![0.0, 1.0, 2.0])],
        w in prop_oneof![Just(0.0), 0.01..10.0_f64],
    ) -> (f64, f64, f64) { (y, p, w) }
}

fn close(a: Measured, b: Measured) -> bool {
    match (a.value(), b.value()) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(1.0),
        (a, b) => a.is_none() && b.is_none(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn parts_add_up_in_every_state(rows in prop::collection::vec(row(), 2..70), cut in 1..70_usize) {
        let cut = 1 + cut % (rows.len() - 1);
        prop_assume!(rows[..cut].iter().any(|row| row.2 > 0.0) && rows[cut..].iter().any(|row| row.2 > 0.0));
        let split = |rows: &[(f64, f64, f64)]| {
            let column = |f: fn(&(f64, f64, f64)) -> f64| rows.iter().map(f).collect::<Vec<f64>>();
            (column(|row| row.0), column(|row| row.1), column(|row| row.2))
        };
        let (whole, left, right) = (split(&rows), split(&rows[..cut]), split(&rows[cut..]));

        let state = |(y, p, w): &(Vec<f64>, Vec<f64>, Vec<f64>)| RegressionState::of(y, p, Some(w)).unwrap();
        let mut merged = state(&left);
        merged.merge(&state(&right));
        for &metric in RegressionMetric::ALL {
            let (a, b) = (metric.from_state(&merged), metric.from_state(&state(&whole)));
            if let (Ok(a), Ok(b)) = (&a, &b) {
                prop_assert!(close(*a, *b), "{}: {:?} {:?}", metric, a, b);
            } else {
                prop_assert_eq!(&a, &b);
            }
        }

        let residuals = |(y, p, w): &(Vec<f64>, Vec<f64>, Vec<f64>)| ResidualState::of(y, p, Some(w)).unwrap();
        let mut merged = residuals(&left);
        merged.merge(&residuals(&right)).unwrap();
        let all = residuals(&whole);
        prop_assert_eq!(merged.rows(), all.rows());
        prop_assert_eq!(merged.distinct(), all.distinct());
        prop_assert!(close(merged.pinball(0.3).unwrap(), all.pinball(0.3).unwrap()));
        prop_assert_eq!(merged.max_error(), all.max_error());
        let direct = RegressionMetric::MaxError.evaluate(&whole.0, &whole.1, Some(&whole.2)).unwrap();
        prop_assert_eq!(all.max_error(), direct);

        let loss = Loss::Pinball { alpha: 0.7 };
        let shares = |(y, p, w): &(Vec<f64>, Vec<f64>, Vec<f64>)| D2State::of(loss, y, p, Some(w)).unwrap();
        let mut merged = shares(&left);
        merged.merge(&shares(&right)).unwrap();
        prop_assert!(close(merged.finish().unwrap(), shares(&whole).finish().unwrap()));
    }

    #[test]
    fn a_resolution_moves_quantiles_by_half_of_it(rows in prop::collection::vec(row(), 1..70), p in 0.0..=1.0_f64) {
        let (y, f): (Vec<f64>, Vec<f64>) = rows.iter().map(|row| (row.0, row.1)).unzip();
        let exact = ResidualState::of(&y, &f, None).unwrap().quantile(p).unwrap().value().unwrap();
        let rounded = ResidualState::rounded(&y, &f, None, 0.5).unwrap();
        prop_assert!(rounded.distinct() <= 401);
        prop_assert!((rounded.quantile(p).unwrap().value().unwrap() - exact).abs() <= 0.25 + 1e-12);
    }

    #[test]
    fn hostile_files_are_refused_or_give_numbers(text in state_text()) {
        if let Ok(state) = serde_json::from_str::<RegressionState>(&text) {
            let mut state = state;
            state.merge(&state.clone());
            for &metric in RegressionMetric::ALL {
                if let Ok(measured) = metric.from_state(&state) {
                    prop_assert!(measured.value().is_none_or(f64::is_finite));
                }
            }
            let _ = state.push(1.0, 2.0, 1.0);
        }
    }
}

/// A state as it is written, with one number exchanged for another.
fn state_text() -> impl Strategy<Value = String> {
    let number = prop::sample::select(vec!["-1.0", "0.0", "1e308", "-1e308", "1e999", "5e-324", "null", "3"]);
    (number, 0..80_usize).prop_map(|(number, place)| {
        let state = RegressionState::of(&[1.5, 2.5, 0.0], &[1.0, 3.0, 0.5], None).unwrap();
        let text = serde_json::to_string(&state).unwrap();
        let colons: Vec<usize> = text.match_indices(':').map(|(at, _)| at).collect();
        let at = colons[place % colons.len()] + 1;
        if text[at..].starts_with('{') {
            return text;
        }
        let end = at + text[at..].find([',', '}']).unwrap();
        format!("{}{number}{}", &text[..at], &text[end..])
    })
}
