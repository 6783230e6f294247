//! Calibration: values of scikit-learn, statsmodels, SciPy and relplot (versions in the file), laws, hostile input, and
//! simulations of the interval.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mlops_core::num::parallel::Threads;
use mlops_core::num::{Measured, Random, StatsError, UndefinedReason};
use mlops_eval::calibration::*;
use mlops_eval::classification::{ScoreState, brier_weighted, log_loss_weighted};
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    versions: BTreeMap<String, String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    y_true: Vec<bool>,
    probabilities: Vec<f64>,
    weights: Option<Vec<f64>>,
    curves: Vec<Curve>,
    uniform: BTreeMap<usize, BTreeMap<String, f64>>,
    mass: BTreeMap<String, f64>,
    hosmer_lemeshow: Option<(f64, usize, f64, Option<f64>)>,
    spiegelhalter: [f64; 2],
    ratio: f64,
    logistic: BTreeMap<String, Vec<f64>>,
    corp_brier: [f64; 4],
    corp_log_loss: [f64; 4],
    isotonic: [Vec<f64>; 2],
    smooth: Option<f64>,
    smooth_at: Option<f64>,
}

#[derive(Deserialize)]
struct Curve {
    strategy: String,
    bins: usize,
    observed: Vec<f64>,
    predicted: Vec<f64>,
}

impl Case {
    fn weights(&self) -> Option<&[f64]> {
        self.weights.as_deref()
    }

    fn state(&self) -> ScoreState {
        match self.weights() {
            None => ScoreState::of(&self.y_true, &self.probabilities).unwrap(),
            Some(weights) => ScoreState::weighted(&self.y_true, &self.probabilities, weights).unwrap(),
        }
    }

    fn curve(&self, binning: Binning) -> CalibrationCurve {
        let options = CalibrationOptions::default().with_binning(binning);
        let curve =
            calibration_curve_with(&self.y_true, &self.probabilities, self.weights(), &options).unwrap();
        let from_state = calibration_curve_from_state(&self.state(), &options).unwrap();
        for (a, b) in curve.bins.iter().zip(&from_state.bins) {
            assert_eq!((a.lower, a.upper), (b.lower, b.upper), "{}", self.name);
            close(&self.name, a.weight, b.weight, 1e-13);
            close(&self.name, a.gap().value().unwrap_or(0.0), b.gap().value().unwrap_or(0.0), 1e-13);
        }
        curve
    }
}

fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/calibration.json");
    let file: File = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert!(file.versions.contains_key("scikit-learn") && file.cases.len() > 8);
    file.cases
}

#[track_caller]
fn close(context: &str, got: f64, expected: f64, tolerance: f64) {
    let allowed = tolerance * expected.abs().max(1.0);
    assert!((got - expected).abs() <= allowed, "{context}: {got} instead of {expected}");
}

#[track_caller]
fn value(measured: Measured) -> f64 {
    measured.value().unwrap()
}

fn check_norms(name: &str, curve: &CalibrationCurve, expected: &BTreeMap<String, f64>) {
    let got = [("ece", curve.ece()), ("mce", curve.mce()), ("rmsce", curve.rmsce()), ("ace", curve.ace())];
    for (norm, got) in got {
        close(&format!("{name}: {norm}"), got, expected[norm], 1e-12);
    }
}

#[test]
fn curves_are_those_of_scikit_learn() {
    let mut seen = 0;
    for case in cases() {
        for curve in &case.curves {
            let binning = match curve.strategy.as_str() {
                "uniform" => Binning::Uniform(curve.bins),
                _ => Binning::Quantile(curve.bins),
            };
            let context = format!("{} {} {}", case.name, curve.strategy, curve.bins);
            let points: Vec<_> = case.curve(binning).points().collect();
            assert_eq!(points.len(), curve.observed.len(), "{context}");
            for ((predicted, observed), (p, o)) in
                points.iter().zip(curve.predicted.iter().zip(&curve.observed))
            {
                close(&context, *predicted, *p, 1e-12);
                close(&context, *observed, *o, 1e-12);
                seen += 1;
            }
        }
    }
    assert!(seen > 100);
}

#[test]
fn errors_over_bins_are_the_formulas() {
    for case in cases() {
        for (bins, expected) in &case.uniform {
            check_norms(&case.name, &case.curve(Binning::Uniform(*bins)), expected);
            let edges: Vec<f64> = (0..=*bins).map(|i| i as f64 * (1.0 / *bins as f64)).collect();
            if edges[*bins] == 1.0 {
                check_norms(&case.name, &case.curve(Binning::Edges(edges)), expected);
            }
        }
        check_norms(&case.name, &case.curve(Binning::EqualMass(10)), &case.mass);
        let (y, p, w) = (&case.y_true, &case.probabilities, case.weights());
        for (metric, expected) in [
            (CalibrationMetric::Ece, case.uniform[&10]["ece"]),
            (CalibrationMetric::Mce, case.uniform[&10]["mce"]),
            (CalibrationMetric::Rmsce, case.uniform[&10]["rmsce"]),
            (CalibrationMetric::Ace, case.mass["ace"]),
        ] {
            close(&case.name, value(metric.evaluate(y, p, w).unwrap()), expected, 1e-12);
        }
    }
}

#[test]
fn tests_and_ratio_are_the_formulas() {
    for case in cases() {
        let state = case.state();
        let z = spiegelhalter(&state).unwrap();
        close(&case.name, value(z.z), case.spiegelhalter[0], 1e-12);
        close(&case.name, value(z.p_value), case.spiegelhalter[1], 1e-12);
        close(&case.name, value(calibration_ratio(&state, 0.95).unwrap().ratio), case.ratio, 1e-12);
        let test = hosmer_lemeshow(&state, &HosmerLemeshowOptions::default()).unwrap();
        let same = HosmerLemeshowOptions::default().with_fitted_on_the_same_rows(true);
        let same = hosmer_lemeshow(&state, &same).unwrap();
        match case.hosmer_lemeshow {
            None => assert_eq!(test.chi2.undefined().unwrap().reason, UndefinedReason::ZeroDenominator),
            Some((chi2, groups, external, internal)) => {
                assert_eq!(test.groups, groups, "{}", case.name);
                close(&case.name, value(test.chi2), chi2, 1e-12);
                close(&case.name, value(test.p_value), external, 1e-12);
                assert_eq!(same.p_value.value().is_some(), internal.is_some(), "{}", case.name);
                internal.inspect(|internal| close(&case.name, value(same.p_value), *internal, 1e-12));
            }
        }
    }
}

#[test]
fn a_z_larger_than_any_f64_is_an_error() {
    let state = ScoreState::weighted(&[false, false], &[0.1875, 1.0], &[1.0, f64::MAX]).unwrap();
    assert_eq!(spiegelhalter(&state), Err(StatsError::Overflow { what: "Spiegelhalter's z" }));
}

/// With logits ±L, positives at 1, at 0 and a negative at 1: 2 exp(−(a + L)) = exp(a − L), so that the intercept is ln 2 / 2.
#[test]
fn rows_that_are_surely_wrong_leave_the_intercept_to_the_complements() {
    for weight in [1.0, 3.0, 0.1, 1e100, 1e-100] {
        let state = ScoreState::weighted(&[false, true, true], &[1.0, 0.0, 1.0], &[weight; 3]).unwrap();
        let fit = recalibration(&state, &RecalibrationOptions::default()).unwrap();
        close(&weight.to_string(), value(fit.in_the_large.estimate), std::f64::consts::LN_2 / 2.0, 1e-12);
    }
}

#[track_caller]
fn check_coefficient(context: &str, got: &Coefficient, expected: Option<&Vec<f64>>) {
    let Some(expected) = expected else {
        assert!(got.estimate.undefined().is_some() && got.interval.is_none(), "{context}");
        return;
    };
    let got = [got.estimate, got.standard_error, got.z, got.p_value].map(value);
    for (got, expected) in got.into_iter().zip(expected) {
        close(context, got, *expected, 1e-9);
    }
}

#[test]
fn recalibration_is_that_of_statsmodels() {
    for case in cases() {
        let fit = recalibration(&case.state(), &RecalibrationOptions::default()).unwrap();
        check_coefficient(&case.name, &fit.slope, case.logistic.get("slope"));
        check_coefficient(&case.name, &fit.intercept, case.logistic.get("intercept"));
        check_coefficient(&case.name, &fit.in_the_large, case.logistic.get("large"));
        if let Some(ratio) = case.logistic.get("likelihood_ratio") {
            close(&case.name, value(fit.likelihood_ratio), ratio[0], 1e-9);
            close(&case.name, value(fit.p_value), ratio[1], 1e-9);
        }
        let reason = fit.slope.estimate.undefined().map(|undefined| undefined.reason);
        let expected = match case.name.as_str() {
            "all alike" => Some(UndefinedReason::Constant),
            "only positives" => Some(UndefinedReason::SingleClass),
            "separated" => Some(UndefinedReason::Separated),
            _ => None,
        };
        assert_eq!(reason, expected, "{}", case.name);
    }
}

#[test]
fn isotonic_shares_are_those_of_scikit_learn() {
    for case in cases() {
        let curve = corp_curve(&case.state()).unwrap();
        assert!(
            curve.windows(2).all(|pair| pair[0].observed < pair[1].observed && pair[0].upper < pair[1].lower)
        );
        for (p, expected) in case.isotonic[0].iter().zip(&case.isotonic[1]) {
            let point = curve.iter().find(|point| (point.lower..=point.upper).contains(p)).unwrap();
            close(&case.name, point.observed, *expected, 1e-12);
        }
        for (score, expected) in
            [(CorpScore::Brier, case.corp_brier), (CorpScore::LogLoss, case.corp_log_loss)]
        {
            let parts = corp_decomposition(&case.state(), score).unwrap();
            let got = [parts.score, parts.miscalibration, parts.discrimination, parts.uncertainty];
            for (got, expected) in got.into_iter().zip(expected) {
                close(&format!("{} {score:?}", case.name), got, expected, 1e-12);
            }
            let identity = parts.miscalibration - parts.discrimination + parts.uncertainty;
            close(&case.name, identity, parts.score, 1e-12);
        }
    }
}

#[test]
fn the_parts_of_the_brier_score_add_up() {
    for case in cases() {
        let (state, ones) = (case.state(), vec![1.0; case.y_true.len()]);
        let weights = case.weights().unwrap_or(&ones);
        let brier = value(brier_weighted(&case.y_true, &case.probabilities, weights).unwrap());
        let log = value(log_loss_weighted(&case.y_true, &case.probabilities, weights).unwrap());
        close(&case.name, corp_decomposition(&state, CorpScore::LogLoss).unwrap().score, log, 1e-12);
        let parts = brier_decomposition(&state).unwrap();
        close(&case.name, parts.brier, brier, 1e-13);
        close(&case.name, parts.reliability - parts.resolution + parts.uncertainty, brier, 1e-12);
        for binning in
            [Binning::Uniform(1), Binning::Uniform(10), Binning::Quantile(4), Binning::EqualMass(7)]
        {
            let parts = brier_decomposition_binned(&state, &binning).unwrap();
            let sum = parts.reliability - parts.generalized_resolution() + parts.uncertainty;
            close(&case.name, sum, brier, 1e-12);
            let curve = case.curve(binning);
            close(&case.name, parts.reliability.sqrt(), curve.rmsce(), 1e-12);
        }
    }
}

#[test]
fn smooth_errors_are_near_those_of_relplot() {
    let mut seen = 0;
    for case in cases() {
        let (Some(smooth), Some(at)) = (case.smooth, case.smooth_at) else { continue };
        // relplot 1.0.3 does not reflect the end nodes of its grid, so rows at exactly 0 or 1 count half there.
        if case.probabilities.iter().any(|p| *p == 0.0 || *p == 1.0) {
            continue;
        }
        seen += 1;
        let state = case.state();
        close(&case.name, smooth_calibration_error(&state).unwrap().error, smooth, 2e-3);
        close(&case.name, smooth_calibration_error_at(&state, 0.1).unwrap().error, at, 1e-3);
    }
    assert!(seen >= 6);
}

fn rows(count: usize, seed: u64) -> (Vec<bool>, Vec<f64>, Vec<f64>) {
    let mut random = Random::new(seed);
    let p: Vec<f64> = (0..count).map(|_| random.next_f64()).collect();
    let y = p.iter().map(|p| random.next_f64() < *p).collect();
    let w = (0..count).map(|_| random.next_f64()).collect();
    (y, p, w)
}

#[test]
fn parts_and_threads_change_nothing() {
    let (y, p, w) = rows(200_000, 1);
    for weights in [None, Some(w.as_slice())] {
        let of = |threads| {
            let mut bins = CalibrationBins::uniform(10).unwrap();
            bins.extend_with(&y, &p, weights, Threads::new(threads)).unwrap();
            bins
        };
        let whole = of(1);
        assert_eq!(whole, of(2));
        assert_eq!(whole, of(5));
        let mut parts = CalibrationBins::uniform(10).unwrap();
        for range in [0..70_000, 70_000..70_001, 70_001..200_000] {
            let mut part = CalibrationBins::uniform(10).unwrap();
            let weights = weights.map(|weights| &weights[range.clone()]);
            part.extend_with(&y[range.clone()], &p[range], weights, Threads::ONE).unwrap();
            parts.merge(&part).unwrap();
        }
        assert_eq!(parts.rows(), 200_000);
        for (a, b) in parts.curve(0.95).unwrap().bins.iter().zip(&whole.curve(0.95).unwrap().bins) {
            close("parts", value(a.predicted), value(b.predicted), 1e-15);
            assert_eq!(a.rows, b.rows);
        }
    }
    let mut pushed = CalibrationBins::uniform(10).unwrap();
    y.iter().zip(&p).take(5000).for_each(|(y, p)| pushed.push(*y, *p).unwrap());
    let mut extended = CalibrationBins::uniform(10).unwrap();
    extended.extend(&y[..5000], &p[..5000]).unwrap();
    close("pushed", pushed.curve(0.9).unwrap().ece(), extended.curve(0.9).unwrap().ece(), 1e-15);
}

#[test]
fn bins_are_read_back_as_they_were_written() {
    let (y, p, w) = rows(1000, 2);
    for mut bins in
        [CalibrationBins::uniform(7).unwrap(), CalibrationBins::with_edges(&[0.0, 0.01, 0.5, 1.0]).unwrap()]
    {
        bins.extend_with(&y, &p, Some(&w), Threads::ONE).unwrap();
        let text = serde_json::to_string(&bins).unwrap();
        assert_eq!(serde_json::from_str::<CalibrationBins>(&text).unwrap(), bins);
    }
    let sum = |value: &str| format!(r#"[{{"total":{value},"lost":0.0}}]"#);
    let one = |layout: &str, rows: &str, weight: &str, positives: &str, predicted: &str| {
        let (weight, positives, predicted) = (sum(weight), sum(positives), sum(predicted));
        format!(
            r#"{{{layout},"rows":[{rows}],"weight":{weight},"positives":{positives},"predicted":{predicted}}}"#
        )
    };
    let read = |text: String| serde_json::from_str::<CalibrationBins>(&text);
    assert!(read(one(r#""uniform":1"#, "2", "2.0", "1.0", "1.5")).is_ok());
    for bad in [
        one(r#""uniform":0"#, "2", "2.0", "1.0", "1.5"),
        one(r#""uniform":2"#, "2", "2.0", "1.0", "1.5"),
        one(r#""uniform":99999999999"#, "2", "2.0", "1.0", "1.5"),
        one(r#""edges":[0.0,0.5]"#, "2", "2.0", "1.0", "1.5"),
        one(r#""edges":[0.0,1.0],"uniform":1"#, "2", "2.0", "1.0", "1.5"),
        one(r#""uniform":1"#, "2", "-2.0", "1.0", "1.5"),
        one(r#""uniform":1"#, "2", "2.0", "3.0", "1.5"),
        one(r#""uniform":1"#, "2", "2.0", "1.0", "2.5"),
        one(r#""uniform":1"#, "0", "2.0", "1.0", "1.5"),
        one(r#""uniform":1,"more":1"#, "2", "2.0", "1.0", "1.5"),
    ] {
        assert!(read(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn bad_input_is_named() {
    let named = |result: Result<Measured, StatsError>| result.unwrap_err().to_string();
    for metric in CalibrationMetric::ALL {
        let of = |y: &[bool], p: &[f64], w: Option<&[f64]>| named(metric.evaluate(y, p, w));
        assert_eq!(of(&[], &[], None), "`y_true` is empty", "{metric}");
        assert_eq!(of(&[true], &[], None), "`y_true` has 1 elements but `probabilities` has 0");
        assert_eq!(of(&[true, true], &[0.5, f64::NAN], None), "`probabilities` has a NaN at index 1");
        assert_eq!(
            of(&[true], &[1.5], None),
            "`probabilities` has 1.5 at index 0, which lies outside [0, 1]"
        );
        assert_eq!(of(&[true], &[0.5], Some(&[0.0])), "`weights` adds up to zero");
        assert!(of(&[true], &[0.5], Some(&[-1.0])).starts_with("`weights` has -1 at index 0"));
        assert!(metric.from_state(&ScoreState::default()).is_err());
        let scores = ScoreState::of(&[true, false], &[3.0, -1.0]).unwrap();
        assert!(matches!(metric.from_state(&scores), Err(StatsError::OutOfRange { .. })), "{metric}");
    }
    let (y, mut p, _) = rows(200_000, 3);
    p[150_000] = 1.5;
    let mut bins = CalibrationBins::uniform(10).unwrap();
    let error = bins.extend(&y, &p).unwrap_err();
    assert!(matches!(error, StatsError::OutOfRange { index: 150_000, .. }), "{error}");
    assert_eq!(bins.rows(), 0);
    assert_eq!(
        bins.merge(&CalibrationBins::uniform(11).unwrap()),
        Err(StatsError::Incompatible { what: "the edges" })
    );
    assert!(bins.curve(0.95).is_err() && CalibrationBins::uniform(0).is_err());
    for binning in [Binning::Uniform(0), Binning::Quantile(70_000), Binning::Edges(vec![0.0, 0.5, 0.5, 1.0])]
    {
        let options = CalibrationOptions::default().with_binning(binning);
        assert!(calibration_curve_with(&[true], &[0.5], None, &options).is_err(), "{options:?}");
    }
}

#[test]
fn every_metric_stays_in_its_range_and_is_never_nan() {
    let mut random = Random::new(4);
    for round in 0..300 {
        let count = 1 + (round % 40);
        let mut draw = || (random.next_f64() * 6.0).floor() / 5.0;
        let p: Vec<f64> = (0..count).map(|_| draw().min(1.0)).collect();
        let y: Vec<bool> = (0..count).map(|_| draw() > 0.4).collect();
        let w: Vec<f64> = (0..count).map(|_| draw() * 10_f64.powi(round % 7 * 20 - 60)).collect();
        for metric in CalibrationMetric::ALL {
            let (low, high) = metric.range();
            for weights in [None, Some(w.as_slice())] {
                if weights.is_some_and(|w| w.iter().all(|w| *w == 0.0)) {
                    continue;
                }
                match metric.evaluate(&y, &p, weights) {
                    Ok(Measured::Value(value)) => {
                        assert!(
                            value.is_finite() && value >= low && value <= high + 1e-12,
                            "{metric} {value}"
                        );
                    }
                    Ok(Measured::Undefined(_)) => {}
                    Err(error) => assert!(matches!(error, StatsError::Overflow { .. }), "{metric} {error}"),
                }
            }
        }
    }
}

#[test]
fn names_are_those_that_are_written() {
    for metric in CalibrationMetric::ALL {
        assert_eq!(serde_json::to_string(metric).unwrap(), format!("\"{}\"", metric.name()));
    }
}

#[test]
fn several_classes_are_checked_and_measured() {
    let p = [0.5, 0.3, 0.2, 0.1, 0.8, 0.1];
    let top = top_labels(&[0, 2], &p, 3).unwrap();
    assert_eq!((top.correct, top.confidence), (vec![true, false], vec![0.5, 0.8]));
    let options = CalibrationOptions::default();
    let errors = classwise_calibration_error(&[0, 2], &p, 3, None, &options).unwrap();
    // Gaps by class: 0.5 and 0.1; 0.3 and 0.8; 0.2 and 0.9, which 0.1 and 0.2 on different sides of an edge keep apart.
    close("classwise", value(errors.ece), (0.3 + 0.55 + 0.55) / 3.0, 1e-15);
    assert_eq!(value(errors.mce), 0.9);
    assert!(matches!(top_labels(&[3], &[0.5, 0.3, 0.2], 3), Err(StatsError::UnknownCode { index: 0, .. })));
    assert!(matches!(
        top_labels(&[0, 0], &[0.5, 0.5, 0.5, 0.6], 2),
        Err(StatsError::OutOfRange { index: 1, .. })
    ));
    assert!(matches!(top_labels(&[0], &[0.5, 0.5], 3), Err(StatsError::LengthMismatch { .. })));
    assert!(top_labels(&[0], &[1.0], 1).is_err() && top_labels(&[], &[], 2).is_err());
}

#[test]
fn groups_that_are_too_small_are_named() {
    let (y, p, _) = rows(300, 5);
    let codes: Vec<u32> = (0..300).map(|row| if row < 290 { row % 2 } else { 2 }).collect();
    let states = group_states(&y, &p, None, &codes, 4).unwrap();
    let groups = calibration_by_group(&["a", "b", "c", "d"], &states, CalibrationMetric::Ece, 20).unwrap();
    assert_eq!(groups.groups.iter().map(|group| group.rows).collect::<Vec<_>>(), [145, 145, 10, 0]);
    for group in &groups.groups[2..] {
        assert_eq!(group.value.undefined().unwrap().reason, UndefinedReason::TooFew);
    }
    assert!(!groups.complete);
    let [a, b] = [0, 1].map(|group| value(groups.groups[group].value));
    assert_eq!(value(groups.gap), (a - b).abs());
    close("overall", value(groups.overall), value(ece(&y, &p).unwrap()), 1e-14);
    assert!(matches!(group_states(&y, &p, None, &codes, 2), Err(StatsError::UnknownCode { index: 290, .. })));
}

/// Whether so few would be covered by chance less than once in 10 000, by the exact binomial law of the nominal share.
fn too_few(covered: usize, rounds: usize, nominal: f64) -> bool {
    let (n, odds) = (rounds as f64, nominal / (1.0 - nominal));
    let mut term = n * (1.0 - nominal).ln();
    let mut sum = term.exp();
    for k in 0..covered {
        term += ((n - k as f64) / (k as f64 + 1.0) * odds).ln();
        sum += term.exp();
    }
    sum < 1e-4
}

/// The squared error over bins of equal width of uniform probabilities, whose truth is `truth`.
fn target(bins: usize, truth: impl Fn(f64) -> f64) -> f64 {
    let steps = 2000;
    let place = |bin: usize, i: usize| (bin as f64 + (i as f64 + 0.5) / steps as f64) / bins as f64;
    let gap =
        |bin: usize| (0..steps).map(|i| truth(place(bin, i)) - place(bin, i)).sum::<f64>() / steps as f64;
    (0..bins).map(|bin| gap(bin).powi(2)).sum::<f64>() / bins as f64
}

#[test]
fn the_interval_of_the_debiased_error_covers_and_its_estimate_has_no_bias() {
    let shift = |by: f64| move |p: f64| p + by * p * (1.0 - p) * 4.0;
    for (case, by) in [0.0, 0.03, 0.1, -0.2].into_iter().enumerate() {
        let truth = shift(by);
        for (bins, count, rounds) in [(10, 200_u32, 1500), (50, 500, 600), (10, 2000, 150)] {
            let theta = target(bins, truth);
            let options = CalibrationOptions::default().with_binning(Binning::Uniform(bins));
            let mut random = Random::new(7).nth(case as u64 * 100 + bins as u64 + u64::from(count));
            let (mut covered, mut sum, mut squares) = (0, 0.0, 0.0);
            for _ in 0..rounds {
                let p: Vec<f64> = (0..count).map(|_| random.next_f64()).collect();
                let y: Vec<bool> = p.iter().map(|p| random.next_f64() < truth(*p)).collect();
                let error = debiased_calibration_error(&y, &p, None, &options).unwrap();
                covered += usize::from(error.squared_interval.unwrap().contains(theta));
                let squared = value(error.squared);
                sum += squared;
                squares += squared * squared;
            }
            let mean = sum / rounds as f64;
            let error = ((squares / rounds as f64 - mean * mean) / rounds as f64).sqrt();
            let share = covered as f64 / rounds as f64;
            println!("shift {by}, {bins} bins, {count} rows: covers {share}, mean {mean}, truth {theta}");
            assert!(!too_few(covered, rounds, 0.95), "{by} {bins} {count}: {share}");
            assert!((mean - theta).abs() < 4.0 * error, "{by} {bins} {count}: {mean} is not {theta}");
        }
    }
}
