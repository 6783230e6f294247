//! Performance with and without labels, against NannyML and scikit-learn and in simulations.
//!
//! `reference/performance.json` holds inputs and expected values; `reference/performance.py` wrote it. What is defined alike agrees
//! to 1e-9 (calibrated) or 1e-12; NannyML's AUROC and average precision are rounded inside to five decimals of a count, so they
//! agree to that and to 1e-9 with the same formula unrounded. Calibration is decided by other shuffles; in every case here both
//! decide alike, which is compared as well, and the calibration itself is fitted to the whole reference by both.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mlops_core::evaluation::Verdict;
use mlops_core::num::{Measured, Random, StatsError, UndefinedReason};
use mlops_drift::chunk::{Chunk, Chunker, Cut, LabelJoin, Period, Rows};
use mlops_drift::performance::{
    Band, Binary, BinaryPerformance, BoostedTrees, Calibration, Cbpe, CbpeOptions, CellValues, Dle, Features,
    Isotonic, Metric, Multiclass, MulticlassCbpe, MulticlassPerformance, Performance, PerformanceOptions,
    Predict, Regression, RegressionPerformance, Regressor, Sides, confusion, measure_binary,
    measure_multiclass, measure_regression,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    binary: Vec<BinaryCase>,
    multiclass: MulticlassCase,
    regression: RegressionCase,
    isotonic: IsotonicCase,
    scored: ScoredCase,
}

/// By chunk.
type Records = BTreeMap<String, Record>;

#[derive(Deserialize)]
struct Record {
    value: Vec<f64>,
    sampling_error: Vec<f64>,
    #[serde(default)]
    realized: Vec<f64>,
    upper_threshold: Vec<f64>,
    lower_threshold: Vec<f64>,
}

#[derive(Deserialize)]
struct BinaryCase {
    name: String,
    reference: Vec<u32>,
    reference_truth: String,
    current: Vec<u32>,
    current_truth: String,
    threshold: f64,
    calibrated: bool,
    metrics: Records,
    exact_auroc_ap: Vec<(f64, f64)>,
    realised: Vec<BTreeMap<String, f64>>,
}

#[derive(Deserialize)]
struct MulticlassCase {
    reference: Vec<u32>,
    reference_truth: String,
    current: Vec<u32>,
    current_truth: String,
    calibrated: Vec<bool>,
    metrics: Records,
}

#[derive(Deserialize)]
struct RegressionCase {
    reference: BTreeMap<String, Vec<f64>>,
    current: BTreeMap<String, Vec<f64>>,
    metrics: Records,
    realised: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct IsotonicCase {
    x: Vec<f64>,
    y: Vec<f64>,
    at: Vec<f64>,
    value: Vec<f64>,
}

#[derive(Deserialize)]
struct ScoredCase {
    scores: Vec<f64>,
    truth: String,
    predicted: String,
    binary: BTreeMap<String, f64>,
    weights4: Vec<f64>,
    truth4: String,
    predicted4: String,
    multiclass: BTreeMap<String, f64>,
}

fn reference() -> Reference {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/performance.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn metric(name: &str) -> Metric {
    let name = if name == "roc_auc" { "auroc" } else { name };
    serde_json::from_value(name.into()).unwrap()
}

fn scores(ppm: &[u32]) -> Vec<f64> {
    ppm.iter().map(|&ppm| f64::from(ppm) / 1e6).collect()
}

fn bits(text: &str) -> Vec<bool> {
    text.chars().map(|c| c == '1').collect()
}

fn codes(text: &str) -> Vec<u32> {
    text.chars().map(|c| c.to_digit(10).unwrap()).collect()
}

#[track_caller]
fn close(got: f64, expected: f64, tolerance: f64, of: &str) {
    let bound = tolerance * f64::abs(expected).max(1e-3);
    assert!((got - expected).abs() <= bound, "{of}: {got} is not {expected}");
}

fn value(performance: &Performance, metric: Metric) -> f64 {
    performance.get(metric).unwrap().value.value().unwrap()
}

#[track_caller]
fn same_bands(performance: &Performance, records: &Records, chunk: usize, of: &str) {
    for (name, record) in records {
        let band = performance.get(metric(name)).unwrap().band;
        close(band.low.unwrap(), record.lower_threshold[chunk], 1e-11, &format!("{of}: low end of {name}"));
        close(band.high.unwrap(), record.upper_threshold[chunk], 1e-11, &format!("{of}: high end of {name}"));
    }
}

#[test]
fn isotonic_regression_agrees_with_scikit_learn() {
    let case = reference().isotonic;
    let curve = Isotonic::fit(&case.x, &case.y).unwrap();
    for (at, expected) in case.at.iter().zip(&case.value) {
        close(curve.apply(*at).unwrap(), *expected, 1e-12, &format!("isotonic at {at}"));
    }
}

#[test]
fn realised_metrics_agree_with_scikit_learn_despite_ties() {
    let case = reference().scored;
    let predicted = bits(&case.predicted);
    let rows = Binary::new(&case.scores, &predicted).unwrap();
    for m in measure_binary(&rows, &bits(&case.truth), &Metric::BINARY, None).unwrap() {
        close(m.value.value().unwrap(), case.binary[m.metric.as_str()], 1e-12, m.metric.as_str());
    }
    let scores: Vec<f64> =
        case.weights4.chunks(4).flat_map(|row| row.iter().map(|w| w / row.iter().sum::<f64>())).collect();
    let predicted = codes(&case.predicted4);
    let rows = Multiclass::new(&scores, 4, &predicted).unwrap();
    for m in measure_multiclass(&rows, &codes(&case.truth4), &Metric::MULTICLASS).unwrap() {
        // scikit-learn has no macro specificity.
        if let Some(expected) = case.multiclass.get(m.metric.as_str()) {
            close(m.value.value().unwrap(), *expected, 1e-12, m.metric.as_str());
        }
    }
}

#[test]
fn cbpe_of_two_classes_agrees_with_nannyml() {
    for case in reference().binary {
        let (old, new) = (scores(&case.reference), scores(&case.current));
        let predict = |scores: &[f64]| scores.iter().map(|&s| s >= case.threshold).collect::<Vec<_>>();
        let (old_predicted, new_predicted) = (predict(&old), predict(&new));
        let rows = Binary::new(&old, &old_predicted).unwrap();
        let chunks = Chunker::new(Cut::Size(300)).cut(old.len()).unwrap();
        let cbpe = Cbpe::fit(&rows, &bits(&case.reference_truth), &chunks, &CbpeOptions::default()).unwrap();
        assert_eq!(cbpe.calibration().is_some(), case.calibrated, "{}", case.name);

        let truth = bits(&case.current_truth);
        for (chunk, from) in [0, 400].into_iter().enumerate() {
            let rows = Binary::new(&new[from..from + 400], &new_predicted[from..from + 400]).unwrap();
            let estimated = cbpe.estimate(&rows).unwrap();
            let realised = cbpe.realised().measure(&rows, &truth[from..from + 400]).unwrap();
            same_bands(&estimated, &case.metrics, chunk, &case.name);
            for (name, record) in &case.metrics {
                let of = format!("{} {name}", case.name);
                let metric = metric(name);
                close(value(&realised, metric), record.realized[chunk], 1e-12, &of);
                let error = estimated.get(metric).unwrap().standard_error.value().unwrap();
                let theirs = record.sampling_error[chunk];
                match metric {
                    Metric::Auroc => {
                        close(value(&estimated, metric), record.value[chunk], 1e-5, &of);
                        close(value(&estimated, metric), case.exact_auroc_ap[chunk].0, 1e-9, &of);
                        // DeLong's counts the rarer class as well.
                        assert!(error > 0.95 * theirs && error < 2.0 * theirs, "{of}: {error} {theirs}");
                    }
                    Metric::AveragePrecision => {
                        close(value(&estimated, metric), record.value[chunk], 1e-5, &of);
                        close(value(&estimated, metric), case.exact_auroc_ap[chunk].1, 1e-9, &of);
                        // Theirs is the spread of 50 resamples: four of its own standard errors are 40 %.
                        close(error, theirs, 0.4, &of);
                    }
                    Metric::F1 => {
                        close(value(&estimated, metric), record.value[chunk], 1e-9, &of);
                        assert!(error < theirs && error > 0.5 * theirs, "{of}: {error} {theirs}");
                    }
                    _ => {
                        close(value(&estimated, metric), record.value[chunk], 1e-9, &of);
                        close(error, theirs, 1e-12, &of);
                    }
                }
            }
            for (name, expected) in &case.realised[chunk] {
                close(value(&realised, metric(name)), *expected, 1e-12, name);
            }
        }
    }
}

#[test]
fn cbpe_of_several_classes_agrees_with_nannyml() {
    let case = reference().multiclass;
    let (old, new) = (scores(&case.reference), scores(&case.current));
    let largest = |row: &[u32]| (0..3_u32).rev().max_by_key(|&k| row[k as usize]).unwrap();
    let predict = |ppm: &[u32]| ppm.chunks(3).map(largest).collect::<Vec<u32>>();
    let (old_predicted, new_predicted) = (predict(&case.reference), predict(&case.current));
    let rows = Multiclass::new(&old, 3, &old_predicted).unwrap();
    let chunks = Chunker::new(Cut::Size(400)).cut(rows.rows()).unwrap();
    let cbpe =
        MulticlassCbpe::fit(&rows, &codes(&case.reference_truth), &chunks, &CbpeOptions::default()).unwrap();
    let calibrated: Vec<bool> = cbpe.calibrations().iter().map(Option::is_some).collect();
    assert_eq!(calibrated, case.calibrated);

    let rows = Multiclass::new(&new, 3, &new_predicted).unwrap();
    let estimated = cbpe.estimate(&rows).unwrap();
    let realised = cbpe.realised().measure(&rows, &codes(&case.current_truth)).unwrap();
    same_bands(&estimated, &case.metrics, 0, "several classes");
    for (name, record) in &case.metrics {
        let metric = metric(name);
        close(value(&realised, metric), record.realized[0], 1e-12, name);
        let tolerance = if metric == Metric::Auroc { 1e-5 } else { 1e-9 };
        close(value(&estimated, metric), record.value[0], tolerance, name);
        let error = estimated.get(metric).unwrap().standard_error.value().unwrap();
        if metric == Metric::Accuracy {
            close(error, record.sampling_error[0], 1e-12, name);
        } else {
            // Theirs takes the classes as independent, which they are not.
            assert!(
                error > 0.4 * record.sampling_error[0] && error < 2.5 * record.sampling_error[0],
                "{name}: {error}"
            );
        }
    }
}

#[test]
fn errors_and_bands_of_numbers_agree_and_their_estimates_are_near() {
    let case = reference().regression;
    let matrix = |rows: &BTreeMap<String, Vec<f64>>| -> Vec<f64> {
        rows["x"].iter().zip(&rows["z"]).flat_map(|(x, z)| [*x, *z]).collect()
    };
    let (old, new) = (matrix(&case.reference), matrix(&case.current));
    let all = [Metric::Mae, Metric::Mape, Metric::Mse, Metric::Rmse, Metric::Msle, Metric::Rmsle];
    let rows = Regression::new(&case.reference["pred"]).unwrap();
    let chunks = Chunker::new(Cut::Size(400)).cut(rows.rows()).unwrap();
    let options = PerformanceOptions::default().with_metrics(all);
    let features = Features::new(&old, 2).unwrap();
    let dle = Dle::fit_boosted(&features, &rows, &case.reference["y"], &chunks, &options).unwrap();

    let rows = Regression::new(&case.current["pred"]).unwrap();
    let estimated = dle.estimate(&Features::new(&new, 2).unwrap(), &rows).unwrap();
    let realised = dle.realised().measure(&rows, &case.current["y"]).unwrap();
    same_bands(&estimated, &case.metrics, 0, "numbers");
    for (name, record) in &case.metrics {
        let metric = metric(name);
        close(value(&realised, metric), case.realised[name], 1e-12, name);
        let error = estimated.get(metric).unwrap().standard_error.value().unwrap();
        close(error, record.sampling_error[0], 1e-11, name);
        // Two boosted trees that are not the same: within 5 % of each other.
        close(value(&estimated, metric), record.value[0], 0.05, name);
    }
    let text = serde_json::to_string(&dle).unwrap();
    let again: Dle = serde_json::from_str(&text).unwrap();
    assert_eq!(again.estimate(&Features::new(&new, 2).unwrap(), &rows), Ok(estimated));
}

/// Rows whose score is the probability, or a power of it: scores, predictions and labels.
fn draw(
    random: &mut Random,
    rows: usize,
    power: i32,
    p: impl Fn(f64) -> f64,
) -> (Vec<f64>, Vec<bool>, Vec<bool>) {
    let mut out = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rows {
        let probability = p(random.next_f64());
        out.0.push(probability.powi(power));
        out.1.push(probability > 0.5);
        out.2.push(random.next_f64() < probability);
    }
    out
}

#[test]
fn under_covariate_shift_the_estimate_meets_the_realised_metric() {
    let mut random = Random::new(2026);
    for power in [1, 3] {
        let (s, p, y) = draw(&mut random, 12_000, power, |u| u);
        let chunks = Chunker::new(Cut::Count(10)).cut(s.len()).unwrap();
        let cbpe = Cbpe::fit(&Binary::new(&s, &p).unwrap(), &y, &chunks, &CbpeOptions::default()).unwrap();
        assert!(power == 1 || cbpe.calibration().is_some());
        // Only rows that the model is unsure of.
        let (s, p, y) = draw(&mut random, 12_000, power, |u| 0.35 + 0.3 * u);
        let rows = Binary::new(&s, &p).unwrap();
        let estimated = cbpe.estimate(&rows).unwrap();
        let realised = cbpe.realised().measure(&rows, &y).unwrap();
        for metric in Metric::BINARY {
            let (guess, truth) = (value(&estimated, metric), value(&realised, metric));
            // Four standard errors of 12 000 rows, and as much for the calibration.
            let error = realised.get(metric).unwrap().standard_error.value().unwrap();
            assert!(
                (guess - truth).abs() < 8.0 * error,
                "{metric}, power {power}: {guess} {truth} ± {error}"
            );
        }
        // The fall is noticed without labels, and confirmed with them.
        for performance in [estimated, realised] {
            let accuracy = performance.get(Metric::Accuracy).unwrap();
            assert_eq!(accuracy.verdict, Verdict::Fail);
            assert!(accuracy.value.value().unwrap() < 0.65);
        }
    }
}

#[test]
fn under_concept_drift_the_estimate_does_not_move_as_documented() {
    let mut random = Random::new(7);
    let (s, p, y) = draw(&mut random, 4000, 1, |u| u);
    let chunks = Chunker::new(Cut::Count(10)).cut(s.len()).unwrap();
    let cbpe = Cbpe::fit(&Binary::new(&s, &p).unwrap(), &y, &chunks, &CbpeOptions::default()).unwrap();
    let flipped: Vec<bool> = y.iter().map(|y| !y).collect();
    let rows = Binary::new(&s, &p).unwrap();
    assert_eq!(cbpe.estimate(&rows).unwrap().get(Metric::Accuracy).unwrap().verdict, Verdict::Pass);
    let realised = cbpe.realised().measure(&rows, &flipped).unwrap();
    assert_eq!(realised.get(Metric::Accuracy).unwrap().verdict, Verdict::Fail);
}

#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    const SIMULATIONS: u64 = 250;
    // What 200 rows would show if there were endlessly many: the metrics of a large draw.
    let root = Random::new(99);
    let metrics = [
        Metric::Accuracy,
        Metric::Precision,
        Metric::Recall,
        Metric::F1,
        Metric::Specificity,
        Metric::Auroc,
        Metric::AveragePrecision,
        Metric::Brier,
    ];
    let measure = |(s, p, y): (Vec<f64>, Vec<bool>, Vec<bool>)| {
        measure_binary(&Binary::new(&s, &p).unwrap(), &y, &metrics, None).unwrap()
    };
    let truth = measure(draw(&mut root.stream("truth"), 60_000, 1, |u| u));
    let mut held = BTreeMap::new();
    for simulation in 0..SIMULATIONS {
        let measured = measure(draw(&mut root.nth(simulation), 200, 1, |u| u));
        for (m, truth) in measured.iter().zip(&truth) {
            let distance = (m.value.value().unwrap() - truth.value.value().unwrap()).abs();
            let inside = distance <= 1.959_963_984_540_054 * m.standard_error().value().unwrap();
            *held.entry(m.metric).or_insert(0_u64) += u64::from(inside);
        }
    }
    for (metric, held) in held {
        // 95 %, four binomial standard deviations below (0.055) and what normal intervals of 200 rows lose.
        let share = held as f64 / SIMULATIONS as f64;
        assert!((0.885..=1.0).contains(&share), "{metric}: {share}");
    }
}

#[test]
fn sampling_errors_from_the_reference_cover_what_chunks_realise() {
    let root = Random::new(5);
    let (s, p, y) = draw(&mut root.stream("reference"), 6000, 1, |u| u);
    let chunks = Chunker::new(Cut::Count(12)).cut(s.len()).unwrap();
    let options = PerformanceOptions::default().with_deviations(2.0).with_metrics([
        Metric::Accuracy,
        Metric::Recall,
        Metric::F1,
        Metric::Auroc,
    ]);
    let options = CbpeOptions::default().with_performance(options);
    let cbpe = Cbpe::fit(&Binary::new(&s, &p).unwrap(), &y, &chunks, &options).unwrap();
    let (mut inside, mut all) = (0, 0);
    for simulation in 0..100 {
        let (s, p, y) = draw(&mut root.nth(simulation), 300, 1, |u| u);
        let rows = Binary::new(&s, &p).unwrap();
        let (estimated, realised) =
            (cbpe.estimate(&rows).unwrap(), cbpe.realised().measure(&rows, &y).unwrap());
        for (estimate, truth) in estimated.estimates.iter().zip(&realised.estimates) {
            let interval = estimate.interval.unwrap();
            assert!((interval.level - 0.9545).abs() < 1e-4);
            all += 1;
            inside += usize::from(interval.contains(truth.value.value().unwrap()));
        }
    }
    // At least the 95.45 % it says, less four standard deviations of 100 independent chunks.
    assert!(inside as f64 / f64::from(all) > 0.87, "{inside} of {all}");
}

#[test]
fn the_errors_of_numbers_are_estimated_under_covariate_shift() {
    let mut random = Random::new(31);
    let mut rows = |n: usize, from: f64, to: f64| {
        let (mut x, mut predicted, mut truth) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..n {
            let at = from + (to - from) * random.next_f64();
            x.extend([at, random.next_f64()]);
            predicted.push(5.0 * at);
            truth.push(5.0 * at + (random.next_f64() - 0.5) * (1.0 + 4.0 * at));
        }
        (x, predicted, truth)
    };
    let (x, predicted, truth) = rows(4000, 0.0, 1.0);
    let chunks = Chunker::new(Cut::Count(10)).cut(4000).unwrap();
    let options =
        PerformanceOptions::default().with_metrics([Metric::Mae, Metric::Rmse]).with_sides(Sides::Worse);
    let fitted = Dle::fit(
        &Features::new(&x, 2).unwrap(),
        &Regression::new(&predicted).unwrap(),
        &truth,
        &chunks,
        &options,
        &BoostedTrees::default().with_trees(40),
    );
    let dle = fitted.unwrap();
    let (x, predicted, truth) = rows(2000, 0.7, 1.0);
    let rows = Regression::new(&predicted).unwrap();
    let estimated = dle.estimate(&Features::new(&x, 2).unwrap(), &rows).unwrap();
    let realised = dle.realised().measure(&rows, &truth).unwrap();
    for metric in [Metric::Mae, Metric::Rmse] {
        close(value(&estimated, metric), value(&realised, metric), 0.05, metric.as_str());
        assert_eq!(estimated.get(metric).unwrap().verdict, Verdict::Fail);
        assert_eq!(estimated.get(metric).unwrap().band.low, None);
    }
}

fn quick(rows: usize) -> (Vec<f64>, Vec<bool>, Vec<bool>, Vec<Chunk>) {
    let (s, p, y) = draw(&mut Random::new(1), rows, 1, |u| u);
    let chunks = Chunker::new(Cut::Count(10)).cut(rows).unwrap();
    (s, p, y, chunks)
}

#[test]
fn fitted_state_survives_and_other_versions_are_refused() {
    let (s, p, y, chunks) = quick(600);
    let rows = Binary::new(&s, &p).unwrap();
    let options = CbpeOptions::default().with_calibration(Calibration::Always);
    let cbpe = Cbpe::fit(&rows, &y, &chunks, &options).unwrap();
    let text = serde_json::to_string(&cbpe).unwrap();
    let again: Cbpe = serde_json::from_str(&text).unwrap();
    assert_eq!(again, cbpe);
    assert_eq!(again.estimate(&rows), cbpe.estimate(&rows));
    assert!(serde_json::from_str::<Cbpe>(&text.replacen("\"version\":1", "\"version\":2", 1)).is_err());
    assert!(serde_json::from_str::<BinaryPerformance>(&text).is_err());
    assert_eq!(Cbpe::fit(&rows, &y, &chunks, &options), Ok(cbpe)); // the same bits every time

    let codes: Vec<u32> = y.iter().map(|&y| u32::from(y)).collect();
    let two: Vec<f64> = s.iter().flat_map(|s| [1.0 - s, *s]).collect();
    let many = Multiclass::new(&two, 2, &codes).unwrap();
    let fitted = MulticlassCbpe::fit(&many, &codes, &chunks, &CbpeOptions::default()).unwrap();
    let text = serde_json::to_string(&fitted).unwrap();
    assert_eq!(serde_json::from_str::<MulticlassCbpe>(&text).unwrap(), fitted);
}

#[test]
fn rows_that_cannot_be_are_refused_by_name() {
    let flags = [true, false];
    let refused = |scores: &[f64]| Binary::new(scores, &flags).err().unwrap();
    assert_eq!(refused(&[0.5, f64::NAN]), StatsError::Nan { argument: "scores", index: 1 });
    for bad in [-1e-9, 1.0 + 1e-9, f64::INFINITY] {
        assert!(
            matches!(refused(&[bad, 0.5]), StatsError::OutOfRange { argument: "scores", index: 0, .. }),
            "{bad}"
        );
    }
    assert!(matches!(refused(&[0.5]), StatsError::LengthMismatch { left_len: 1, right_len: 2, .. }));
    assert_eq!(Binary::new(&[], &[]).err(), Some(StatsError::Empty { argument: "scores" }));
    assert!(matches!(
        Multiclass::new(&[0.5], 1, &[0]),
        Err(StatsError::Parameter { parameter: "classes", .. })
    ));
    assert!(matches!(
        Multiclass::new(&[0.5, 0.5], 2, &[2]),
        Err(StatsError::UnknownCode { code: 2, known: 2, .. })
    ));
    assert!(matches!(Multiclass::new(&[0.5; 3], 2, &[0, 1]), Err(StatsError::LengthMismatch { .. })));
    assert!(matches!(Regression::new(&[1.0, f64::INFINITY]), Err(StatsError::NotFinite { index: 1, .. })));
    assert!(matches!(Regression::new(&[]), Err(StatsError::Empty { .. })));
    assert!(matches!(Features::new(&[1.0; 3], 2), Err(StatsError::LengthMismatch { .. })));
    assert!(matches!(Features::new(&[], 2), Err(StatsError::Empty { .. })));
    assert!(matches!(Features::new(&[1.0], 0), Err(StatsError::Parameter { .. })));
    let rows = Regression::new(&[0.5, -1.0]).unwrap();
    assert!(matches!(
        measure_regression(&rows, &[1.0, 1.0], &[Metric::Rmsle]),
        Err(StatsError::OutOfRange { argument: "predicted", index: 1, .. })
    ));
    let huge = Regression::new(&[1e300]).unwrap();
    assert!(matches!(measure_regression(&huge, &[-1e300], &[Metric::Mse]), Err(StatsError::Overflow { .. })));
    assert!(matches!(
        measure_regression(&rows, &[1.0], &[Metric::Mae]),
        Err(StatsError::LengthMismatch { .. })
    ));
    assert!(matches!(
        measure_regression(&rows, &[1.0, 2.0], &[Metric::F1]),
        Err(StatsError::Unsupported { .. })
    ));
    let rows = Binary::new(&[0.5, 0.1], &flags).unwrap();
    for metric in [Metric::Mae, Metric::BusinessValue] {
        assert!(matches!(
            measure_binary(&rows, &flags, &[metric], None),
            Err(StatsError::Unsupported { .. })
        ));
    }
    assert!(matches!(confusion(&rows, &[true]), Err(StatsError::LengthMismatch { .. })));
}

#[test]
fn references_that_teach_nothing_are_refused() {
    let (s, p, y, chunks) = quick(600);
    let rows = Binary::new(&s, &p).unwrap();
    let fit = |y: &[bool], chunks: &[Chunk], options: &CbpeOptions| {
        Cbpe::fit(&rows, y, chunks, options).err().unwrap()
    };
    let plain = CbpeOptions::default();
    for class in [true, false] {
        assert!(matches!(fit(&[class; 600], &chunks, &plain), StatsError::Unsupported { .. }));
    }
    assert!(matches!(fit(&y[..599], &chunks, &plain), StatsError::LengthMismatch { .. }));
    let mut beyond = chunks.clone();
    beyond[3].rows = Rows::list(vec![5, 600]);
    assert!(matches!(
        fit(&y, &beyond, &plain),
        StatsError::LengthMismatch { left: "chunks", left_len: 601, .. }
    ));
    beyond[3].rows = Rows::range(7..7);
    assert_eq!(fit(&y, &beyond, &plain), StatsError::Empty { argument: "chunks" });
    for options in [
        PerformanceOptions::default().with_deviations(f64::NAN),
        PerformanceOptions::default().with_min_completeness(1.5),
        PerformanceOptions::default().with_band(Metric::F1, Band::given(Some(1.0), Some(0.0))),
    ] {
        let options = CbpeOptions::default().with_performance(options);
        assert!(matches!(fit(&y, &chunks, &options), StatsError::Parameter { .. }));
    }
    let learner = BoostedTrees::default().with_leaves(1);
    let features = Features::new(&s, 1).unwrap();
    assert!(matches!(learner.fit(&features, &s), Err(StatsError::Parameter { parameter: "leaves", .. })));
    let nan = vec![f64::NAN; 600];
    assert!(matches!(BoostedTrees::default().fit(&features, &nan), Err(StatsError::Nan { .. })));
}

#[test]
fn verdicts_have_three_values() {
    let (s, p, y, chunks) = quick(3000);
    let rows = Binary::new(&s, &p).unwrap();
    let options = PerformanceOptions::default().with_metrics([Metric::Accuracy, Metric::Precision]);
    let watch = BinaryPerformance::fit(&rows, &y, &chunks, &options).unwrap();
    assert_eq!(watch.measure(&rows, &y).unwrap().verdict(), Verdict::Pass);
    // Too few rows; no prediction is positive; no chunks to lay a band around.
    let few = Binary::new(&s[..20], &p[..20]).unwrap();
    assert_eq!(watch.measure(&few, &y[..20]).unwrap().verdict(), Verdict::Insufficient);
    let negative = Binary::new(&s, &[false; 3000]).unwrap();
    let precision = *watch.measure(&negative, &y).unwrap().get(Metric::Precision).unwrap();
    assert_eq!(precision.verdict, Verdict::Insufficient);
    assert_eq!(precision.value.undefined().map(|u| u.reason), Some(UndefinedReason::ZeroDenominator));
    assert_eq!(precision.interval, None);
    let bandless = BinaryPerformance::fit(&rows, &y, &[], &options).unwrap();
    assert_eq!(bandless.measure(&rows, &y).unwrap().verdict(), Verdict::Insufficient);
    // A band that was given is taken at its word.
    let given = options.with_band(Metric::Accuracy, Band::given(Some(0.99), None));
    let strict = BinaryPerformance::fit(&rows, &y, &chunks, &given).unwrap();
    assert_eq!(strict.measure(&rows, &y).unwrap().verdict(), Verdict::Fail);
}

#[test]
fn realised_performance_follows_the_labels_as_they_arrive() {
    let (s, p, y, chunks) = quick(1000);
    let options = PerformanceOptions::default().with_metrics([Metric::Accuracy]).with_min_completeness(0.8);
    let watch = BinaryPerformance::fit(&Binary::new(&s, &p).unwrap(), &y, &chunks, &options).unwrap();
    let mut join: LabelJoin<(f64, bool), bool> = LabelJoin::new();
    let day = "2026-05-01T12:00:00Z".parse().unwrap();
    for (row, (score, predicted)) in s.iter().zip(&p).enumerate().take(200) {
        join.predict(&format!("{row:04}"), day, (*score, *predicted)).unwrap();
    }
    let mut look = |rows: std::ops::Range<usize>| {
        for row in rows {
            join.label(&format!("{row:04}"), day, y[row]).unwrap();
        }
        let chunks = join.by_chunk(&Chunker::new(Cut::Period(Period::Day))).unwrap();
        watch.measure_joined(&chunks[0].1).unwrap()
    };
    let none = look(0..0);
    assert_eq!(
        (none.rows, none.completeness, none.verdict()),
        (0, Measured::Value(0.0), Verdict::Insufficient)
    );
    let half = look(0..100);
    assert_eq!(
        (half.rows, half.completeness, half.verdict()),
        (100, Measured::Value(0.5), Verdict::Insufficient)
    );
    assert!(half.get(Metric::Accuracy).unwrap().value.value().is_some());
    let all = look(50..200);
    assert_eq!((all.rows, all.completeness, all.verdict()), (200, Measured::Value(1.0), Verdict::Pass));
    let direct = watch.measure(&Binary::new(&s[..200], &p[..200]).unwrap(), &y[..200]).unwrap();
    assert_eq!(all, direct);
}

#[test]
fn late_labels_of_several_classes_and_of_numbers_are_measured_too() {
    let codes: Vec<u32> = (0..300).map(|i| i % 3).collect();
    let scores: Vec<f64> =
        codes.iter().flat_map(|&code| (0..3).map(move |k| if k == code { 0.8 } else { 0.1 })).collect();
    let chunks = Chunker::new(Cut::Count(5)).cut(300).unwrap();
    let rows = Multiclass::new(&scores, 3, &codes).unwrap();
    let plain = PerformanceOptions::default();
    let many = MulticlassPerformance::fit(&rows, &codes, &chunks, &plain).unwrap();
    let mut join: LabelJoin<(Vec<f64>, u32), u32> = LabelJoin::new();
    let day = "2026-05-01T12:00:00Z".parse().unwrap();
    let later = "2026-06-01T12:00:00Z".parse().unwrap();
    for (row, (scores, code)) in scores.chunks(3).zip(&codes).enumerate() {
        join.predict(&format!("{row:04}"), day, (scores.to_vec(), *code)).unwrap();
        join.label(&format!("{row:04}"), later, *code).unwrap();
    }
    assert_eq!(many.measure_joined(&join.between(day, later)), many.measure(&rows, &codes));
    join.predict("odd", day, (vec![0.5; 2], 0)).unwrap();
    join.label("odd", later, 0).unwrap();
    assert!(matches!(many.measure_joined(&join.between(day, later)), Err(StatsError::LengthMismatch { .. })));

    let predicted: Vec<f64> = (0..100).map(f64::from).collect();
    let truth: Vec<f64> = predicted.iter().map(|p| p + p % 3.0).collect();
    let chunks = Chunker::new(Cut::Count(5)).cut(100).unwrap();
    let rows = Regression::new(&predicted).unwrap();
    let numbers = RegressionPerformance::fit(&rows, &truth, &chunks, &plain).unwrap();
    let mut join: LabelJoin<f64, f64> = LabelJoin::new();
    for (row, (predicted, truth)) in predicted.iter().zip(&truth).enumerate() {
        join.predict(&format!("{row:04}"), day, *predicted).unwrap();
        join.label(&format!("{row:04}"), later, *truth).unwrap();
    }
    assert_eq!(numbers.measure_joined(&join.between(day, later)), numbers.measure(&rows, &truth));
}

#[test]
fn a_row_is_worth_what_its_cell_says() {
    let rows = Binary::new(&[0.9, 0.8, 0.2, 0.1], &[true, true, false, false]).unwrap();
    let truth = [true, false, true, false];
    let values =
        CellValues { true_positive: 10.0, false_positive: -4.0, false_negative: -20.0, true_negative: 1.0 };
    let m = measure_binary(&rows, &truth, &[Metric::BusinessValue], Some(&values)).unwrap()[0];
    assert_eq!(m.value.value(), Some(-13.0 / 4.0));
    // Variance with divisor n of 10, −4, −20, 1.
    close(m.unit_variance.value().unwrap(), 517.0 / 4.0 - (13.0_f64 / 4.0).powi(2), 1e-12, "variance");
    let (s, p, y, chunks) = quick(600);
    let performance = PerformanceOptions::default().with_metrics([Metric::BusinessValue]);
    let options = CbpeOptions::default()
        .with_performance(performance)
        .with_values(values)
        .with_calibration(Calibration::Never);
    let rows = Binary::new(&s, &p).unwrap();
    let cbpe = Cbpe::fit(&rows, &y, &chunks, &options).unwrap();
    let expected = cbpe.confusion(&rows);
    let total =
        10.0 * expected.true_positive - 4.0 * expected.false_positive - 20.0 * expected.false_negative
            + expected.true_negative;
    close(
        value(&cbpe.estimate(&rows).unwrap(), Metric::BusinessValue),
        total / 600.0,
        1e-12,
        "business value",
    );
    close(expected.rows(), 600.0, 1e-12, "rows");
}

#[test]
fn a_regressor_that_breaks_its_contract_is_an_error() {
    struct Broken;
    struct Model;
    impl Regressor for Broken {
        type Model = Model;
        fn fit(&self, _: &Features<'_>, _: &[f64]) -> Result<Model, StatsError> {
            Ok(Model)
        }
    }
    impl Predict for Model {
        fn predict(&self, features: &Features<'_>) -> Result<Vec<f64>, StatsError> {
            Ok(vec![f64::NAN; features.rows()])
        }
    }
    let x = [1.0, 2.0, 3.0, 4.0];
    let (features, rows) = (Features::new(&x, 1).unwrap(), Regression::new(&x).unwrap());
    let options = PerformanceOptions::default().with_metrics([Metric::Mae]);
    let dle = Dle::fit(&features, &rows, &[1.0; 4], &[], &options, &Broken).unwrap();
    assert!(matches!(dle.estimate(&features, &rows), Err(StatsError::Nan { .. })));
    assert!(matches!(
        dle.estimate(&Features::new(&x, 2).unwrap(), &rows),
        Err(StatsError::LengthMismatch { .. })
    ));
}
