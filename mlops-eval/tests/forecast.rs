//! Forecast metrics against properscoring, scoringrules and utilsforecast (versions inside the file), and the laws of the states.

use std::fs;
use std::path::Path;

use mlops_core::num::Measured;
use mlops_eval::forecast::{
    Crossing, CrpsEstimator, EnsembleState, ForecastState, IntervalState, NaiveScale, QuantileState,
    crps_ensemble, crps_from_quantiles, mase, mase_weighted, rmsse, rmsse_weighted, weighted_interval_score,
    weighted_interval_score_weighted,
};
use mlops_eval::regression::wape;
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    series: Vec<Series>,
    intervals: Vec<Intervals>,
    weighted_intervals: Vec<WeightedIntervals>,
    quantiles: Vec<Quantiles>,
    ensembles: Vec<Ensemble>,
}

#[derive(Deserialize)]
struct Series {
    name: String,
    training: Vec<f64>,
    actual: Vec<f64>,
    forecast: Vec<f64>,
    season: usize,
    mase: Option<f64>,
    rmsse: Option<f64>,
    wape: Option<f64>,
}

#[derive(Deserialize)]
struct Intervals {
    name: String,
    level: f64,
    actual: Vec<f64>,
    lower: Vec<f64>,
    upper: Vec<f64>,
    weights: Option<Vec<f64>>,
    coverage: f64,
    width: f64,
    winkler: f64,
}

#[derive(Deserialize)]
struct WeightedIntervals {
    name: String,
    actual: Vec<f64>,
    median: Vec<f64>,
    lower: Vec<f64>,
    upper: Vec<f64>,
    levels: Vec<f64>,
    weights: Option<Vec<f64>>,
    score: f64,
}

#[derive(Deserialize)]
struct Quantiles {
    name: String,
    actual: Vec<f64>,
    quantiles: Vec<f64>,
    levels: Vec<f64>,
    weights: Option<Vec<f64>>,
    losses: Vec<f64>,
    crps: f64,
    coverage: Vec<f64>,
}

#[derive(Deserialize)]
struct Ensemble {
    name: String,
    actual: Vec<f64>,
    ensemble: Vec<f64>,
    members: usize,
    weights: Option<Vec<f64>>,
    plain: f64,
    fair: Option<f64>,
    transform: f64,
}

fn file() -> File {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/forecast.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[track_caller]
fn agree(context: &str, got: Measured, expected: impl Into<Option<f64>>) {
    match (got.value(), expected.into()) {
        (Some(got), Some(expected)) => {
            let tolerance = 1e-12 * expected.abs().max(1.0);
            assert!((got - expected).abs() <= tolerance, "{context}: {got} instead of {expected}");
        }
        (got, expected) => assert_eq!(got, expected, "{context}"),
    }
}

/// The halves of rows, with `columns` numbers each.
fn halves(values: &[f64], columns: usize) -> (&[f64], &[f64]) {
    values.split_at(values.len() / columns / 2 * columns)
}

#[test]
fn scaled_errors_agree_with_utilsforecast() {
    let mut all = ForecastState::default();
    let cases = file().series;
    for case in &cases {
        let (actual, forecast, training) = (&case.actual, &case.forecast, &case.training);
        agree(&case.name, mase(actual, forecast, training, case.season).unwrap(), case.mase);
        agree(&case.name, rmsse(actual, forecast, training, case.season).unwrap(), case.rmsse);
        let twos = vec![2.0; actual.len()];
        agree(&case.name, mase_weighted(actual, forecast, &twos, training, case.season).unwrap(), case.mase);
        agree(
            &case.name,
            rmsse_weighted(actual, forecast, &twos, training, case.season).unwrap(),
            case.rmsse,
        );
        agree(&case.name, wape(actual, forecast).unwrap(), case.wape);

        let scale = NaiveScale::of(training, case.season).unwrap();
        let (left, right) = (halves(actual, 1), halves(forecast, 1));
        for (part, (y, p)) in [(left.0, right.0), (left.1, right.1)].into_iter().enumerate() {
            if !y.is_empty() {
                let mut shard = ForecastState::default();
                shard.add(case.name.clone(), y, p, None, (part == 1).then_some(scale)).unwrap();
                all.merge(&shard).unwrap();
            }
        }
    }
    let summary = all.finish().unwrap();
    assert_eq!(summary.series.len(), cases.len());
    for case in &cases {
        let series = summary.series.iter().find(|series| series.name == case.name).unwrap();
        agree(&case.name, series.mase, case.mase);
        agree(&case.name, series.rmsse, case.rmsse);
        agree(&case.name, series.wape, case.wape);
    }
    let defined: Vec<f64> = cases.iter().filter_map(|case| case.mase).collect();
    agree("all", summary.mase, defined.iter().sum::<f64>() / defined.len() as f64);
    assert_eq!(summary.mase_left_out, ["a naive forecast that is never wrong"]);
}

#[test]
fn interval_scores_agree_with_scoringrules() {
    for case in file().intervals {
        let weights = case.weights.as_deref();
        let of =
            |y: &[f64], l: &[f64], u: &[f64], w: Option<&[f64]>| IntervalState::of(case.level, y, l, u, w);
        let whole = of(&case.actual, &case.lower, &case.upper, weights).unwrap();
        let mut merged = IntervalState::new(case.level).unwrap();
        merged.merge(&whole).unwrap();
        for state in [whole, merged] {
            let summary = state.finish().unwrap();
            agree(&case.name, summary.coverage, case.coverage);
            agree(&case.name, summary.mean_width, case.width);
            agree(&case.name, summary.winkler, case.winkler);
            agree(&case.name, summary.difference, case.coverage - case.level);
            assert!(summary.coverage_interval.unwrap().contains(case.coverage), "{}", case.name);
            let outside = summary.below.value().unwrap() + summary.above.value().unwrap();
            assert!((outside + case.coverage - 1.0).abs() < 1e-12, "{}", case.name);
        }
    }
    for case in file().weighted_intervals {
        let (y, m, l, u) = (&case.actual, &case.median, &case.lower, &case.upper);
        let got = match &case.weights {
            None => weighted_interval_score(y, m, l, u, &case.levels),
            Some(weights) => weighted_interval_score_weighted(y, m, l, u, &case.levels, weights),
        };
        agree(&case.name, got.unwrap(), case.score);
    }
}

#[test]
fn a_weighted_interval_score_is_twice_the_mean_loss_of_its_quantiles() {
    let case = file().weighted_intervals.remove(0);
    let levels = [0.05, 0.2, 0.4, 0.5, 0.6, 0.8, 0.95];
    let row = |row: usize| {
        let at = |values: &[f64], column| values[row * 3 + column];
        let (l, u) = (&case.lower, &case.upper);
        [at(l, 0), at(l, 1), at(l, 2), case.median[row], at(u, 2), at(u, 1), at(u, 0)]
    };
    let quantiles: Vec<f64> = (0..case.actual.len()).flat_map(row).collect();
    agree(&case.name, crps_from_quantiles(&case.actual, &quantiles, &levels).unwrap(), case.score);
}

#[test]
fn quantile_losses_agree_with_scoringrules() {
    for case in file().quantiles {
        let weights = case.weights.as_deref();
        let of = |y: &[f64], q: &[f64], w: Option<&[f64]>| {
            QuantileState::of(&case.levels, y, q, w, Crossing::Refuse).unwrap()
        };
        let mut states = vec![of(&case.actual, &case.quantiles, weights)];
        if weights.is_none() {
            let (y, q) = (halves(&case.actual, 1), halves(&case.quantiles, case.levels.len()));
            let mut merged = of(y.0, q.0, None);
            merged.merge(&of(y.1, q.1, None)).unwrap();
            states.push(merged);
        }
        for state in states {
            let summary = state.finish().unwrap();
            agree(&case.name, summary.crps, case.crps);
            for (column, (loss, coverage)) in summary.losses.iter().zip(&summary.coverage).enumerate() {
                agree(&case.name, *loss, case.losses[column]);
                agree(&case.name, *coverage, case.coverage[column]);
            }
        }
    }
}

#[test]
fn ensembles_agree_with_properscoring_and_scoringrules() {
    for case in file().ensembles {
        let weights = case.weights.as_deref();
        let of = |y: &[f64], x: &[f64], w: Option<&[f64]>| EnsembleState::of(y, x, case.members, w).unwrap();
        let mut states = vec![of(&case.actual, &case.ensemble, weights)];
        if weights.is_none() {
            let (y, x) = (halves(&case.actual, 1), halves(&case.ensemble, case.members));
            let mut merged = of(y.0, x.0, None);
            merged.merge(&of(y.1, x.1, None)).unwrap();
            states.push(merged);
        }
        for state in states {
            let summary = state.finish().unwrap();
            agree(&case.name, summary.crps, case.plain);
            agree(&case.name, summary.fair_crps, case.fair);
            agree(&case.name, summary.mean_transform, case.transform);
            let ranks: f64 = summary.ranks.iter().filter_map(|rank| rank.value()).sum();
            assert!((ranks - 1.0).abs() < 1e-12, "{}", case.name);
        }
    }
}

#[test]
fn dense_quantiles_of_an_ensemble_score_like_the_ensemble() {
    // The step function of a thousand members, asked for a thousand quantiles: one score, two ways.
    let members: Vec<f64> = (0..1_000).map(|i| f64::from((i * 379) % 1_000) / 100.0).collect();
    let mut sorted = members.clone();
    sorted.sort_by(f64::total_cmp);
    let levels: Vec<f64> = (0..1_000).map(|i| (f64::from(i) + 0.5) / 1_000.0).collect();
    for y in [-1.0, 3.217, 9.5, 12.0] {
        let ensemble = crps_ensemble(&[y], &members, 1_000, CrpsEstimator::Plain).unwrap().value().unwrap();
        let quantiles = crps_from_quantiles(&[y], &sorted, &levels).unwrap().value().unwrap();
        assert!((ensemble - quantiles).abs() < 1e-12, "{y}: {ensemble} {quantiles}");
    }
}

#[test]
fn intervals_of_a_known_law_hold_as_often_as_they_promise() {
    // Uniform targets by a stream with a fixed seed; the interval from 0.05 to 0.95 holds nine in ten.
    let mut random = mlops_core::num::Random::new(20_260_101).stream("targets");
    let y: Vec<f64> = (0..20_000).map(|_| random.next_f64()).collect();
    let (lower, upper) = (vec![0.05; y.len()], vec![0.95; y.len()]);
    let state = IntervalState::of(0.9, &y, &lower, &upper, None).unwrap();
    let summary = state.finish_with(0.999_999).unwrap();
    assert!(summary.difference_interval.unwrap().contains(0.0), "{summary:?}");
    let narrow = IntervalState::of(0.95, &y, &lower, &upper, None).unwrap().finish().unwrap();
    assert!(!narrow.difference_interval.unwrap().contains(0.0), "{narrow:?}");
}
