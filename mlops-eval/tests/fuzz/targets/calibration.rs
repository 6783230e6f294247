use mlops_core::conformance::fuzz::Input;
use mlops_core::num::parallel::Threads;
use mlops_eval::calibration::*;
use mlops_eval::classification::ScoreState;

use super::{answer, answers, mergeable, near, plain, probabilities, rows};

fn binning(input: &mut Input<'_>) -> Binning {
    let bins = if input.byte() == 0 { input.size() } else { 1 + usize::from(input.byte() % 12) };
    match input.byte() % 4 {
        0 => Binning::Uniform(bins),
        1 => Binning::Quantile(bins),
        2 => Binning::EqualMass(bins),
        _ => Binning::Edges((0..input.below(5)).map(|at| near(input, at as f64 / 4.0)).collect()),
    }
}

pub fn calibration(input: &mut Input<'_>) {
    let rows = rows(input);
    let (confidence, bandwidth) = (near(input, 0.9), near(input, 0.1));
    let options = CalibrationOptions::default()
        .with_binning(binning(input))
        .with_confidence(confidence)
        .with_threads(Threads::ONE);
    let lemeshow =
        HosmerLemeshowOptions::default().with_groups(input.size()).with_fitted_on_the_same_rows(input.bool());
    let logits = RecalibrationOptions::default().with_eps(near(input, 1e-6)).with_confidence(confidence);
    let (y, p, w) = (&rows.y, &rows.shares, &rows.weights);
    answers![
        ece(y, p),
        ece_weighted(y, p, w),
        mce(y, p),
        mce_weighted(y, p, w),
        rmsce(y, p),
        rmsce_weighted(y, p, w),
        ace(y, p),
        ace_weighted(y, p, w),
        calibration_curve(y, p),
        calibration_curve_weighted(y, p, w),
        calibration_curve_with(y, p, Some(w), &options),
        debiased_calibration_error(y, p, Some(w), &options),
        debiased_calibration_error(y, p, None, &options),
    ];
    for metric in CalibrationMetric::ALL {
        answer(metric.name(), metric.evaluate(y, p, Some(w)));
    }
    let count = input.size();
    if let Ok(states) = group_states(y, p, Some(w), &rows.codes, count.min(1 << 14)) {
        let names: Vec<String> = (0..states.len()).map(|at| at.to_string()).collect();
        let metric = input.pick(CalibrationMetric::ALL);
        if states.len() < 40 {
            answer("calibration_by_group", calibration_by_group(&names, &states, metric, 2));
        }
    }
    let weighted = answer("weighted", ScoreState::weighted(y, p, w));
    for state in weighted.iter().chain(&answer("of", ScoreState::of(y, p))) {
        answers![
            corp_curve(state),
            corp_decomposition(state, CorpScore::Brier),
            corp_decomposition(state, CorpScore::LogLoss),
            calibration_curve_from_state(state, &options),
            debiased_calibration_error_from_state(state, &options),
            brier_decomposition(state),
            brier_decomposition_binned(state, &options.binning),
            spiegelhalter(state),
            hosmer_lemeshow(state, &lemeshow),
            calibration_ratio(state, confidence),
            recalibration(state, &logits),
            smooth_calibration_error(state),
            smooth_calibration_error_at(state, bandwidth),
        ];
        for metric in CalibrationMetric::ALL {
            answer(metric.name(), metric.from_state(state));
        }
    }
    let classes = 1 + usize::from(input.byte() % 3);
    let matrix = probabilities(input, rows.codes.len(), classes);
    answers![
        top_labels(&rows.codes, &matrix, classes),
        classwise_calibration_error(&rows.codes, &matrix, classes, Some(w), &options),
    ];
}

pub fn bins(input: &mut Input<'_>) {
    let mut empty = vec![];
    match binning(input) {
        Binning::Edges(edges) => empty.extend(answer("with_edges", CalibrationBins::with_edges(&edges))),
        _ => empty.extend(answer("uniform", CalibrationBins::uniform(input.size().min(1 << 14)))),
    }
    empty.extend(answer("uniform", CalibrationBins::uniform(4)));
    let mut states = vec![];
    for bins in &empty {
        let rows = rows(input);
        let mut bins = bins.clone();
        answer("extend", bins.extend(&rows.y, &rows.shares));
        answer("extend_with", bins.extend_with(&rows.y, &rows.shares, Some(&rows.weights), Threads::ONE));
        answer("push", bins.push(true, near(input, 0.5)));
        if bins.edges().len() < 100 {
            states.push(bins);
        }
    }
    mergeable(input, "CalibrationBins", &states, CalibrationBins::merge, |bins| {
        plain("bins", (bins.edges(), bins.rows(), bins.weight()));
        if let Some(curve) = answer("curve", bins.curve(0.95)) {
            plain("errors", (curve.ece(), curve.mce(), curve.rmsce(), curve.ace()));
            plain("points", curve.points().collect::<Vec<_>>());
            for bin in &curve.bins {
                plain("gap", bin.gap());
            }
        }
    });
}
