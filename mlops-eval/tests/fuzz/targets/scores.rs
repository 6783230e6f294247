use mlops_core::conformance::fuzz::Input;
use mlops_core::num::parallel::Threads;
use mlops_eval::catalog::MulticlassMetric;
use mlops_eval::classification::*;

use super::classification::{average, zero_division};
use super::{answer, answers, mergeable, near, plain, probabilities, rows, share};

pub fn use_scores(state: &ScoreState) {
    answers![
        roc_auc_from_state(state),
        gini_from_state(state),
        ks_from_state(state),
        separation(state),
        log_loss_from_state(state),
        brier_from_state(state),
        d2_log_loss_from_state(state),
        d2_brier_from_state(state),
        average_precision_from_state(state),
        pr_auc_from_state(state),
        cumulative_gains_area(state),
        pr_curve_from_state(state),
        roc_curve_from_state(state),
        roc_curve_from_state_with(state, &RocCurveOptions::default().with_drop_intermediate(true)),
        det_curve_from_state(state),
        gains_table_from_state(state),
        confusion_at_threshold(state, 0.5),
        confusion_at_thresholds(state),
    ];
    for metric in ScoreMetric::ALL {
        answer(metric.name(), metric.from_state(state));
    }
    for objective in [
        ThresholdObjective::Youden,
        ThresholdObjective::FBeta(1.0),
        ThresholdObjective::Metric(LabelMetric::Mcc),
        ThresholdObjective::MinRecall(0.8),
        ThresholdObjective::MinPrecision(0.8),
    ] {
        answer("best_threshold", best_threshold(state, &objective));
    }
    plain(
        "points",
        (state.points().collect::<Vec<_>>(), state.positives(), state.negatives(), state.distinct()),
    );
    answer("rounded", state.rounded(4));
}

fn region(input: &mut Input<'_>) -> RocAucOptions {
    let region = match input.byte() % 3 {
        0 => RocRegion::Whole,
        1 => RocRegion::MaxFalsePositiveRate(near(input, 0.2)),
        _ => RocRegion::MinTruePositiveRate(near(input, 0.8)),
    };
    RocAucOptions::default().with_region(region).with_standardized(input.bool()).with_threads(Threads::ONE)
}

pub fn scores(input: &mut Input<'_>) {
    let rows = rows(input);
    let auc = region(input);
    let eps = near(input, 1e-15);
    let logs = LogLossOptions::default().with_eps(eps);
    let cuts: Vec<f64> = (0..input.below(4)).map(|_| near(input, 0.25)).collect();
    let gains = GainsOptions::default()
        .with_cuts(cuts)
        .with_ties(input.pick(&[GainsTies::Averaged, GainsTies::Stable]));
    let (threshold, resolution) = (input.f64(), u32::from(input.byte()));
    let (y, w) = (&rows.y, &rows.weights);
    for s in [&rows.scores, &rows.shares] {
        answers![
            roc_auc(y, s),
            roc_auc_weighted(y, s, w),
            roc_auc_with(y, s, &auc),
            roc_auc_weighted_with(y, s, w, &auc),
            gini(y, s),
            gini_weighted(y, s, w),
            det_curve(y, s),
            det_curve_weighted(y, s, w),
            gains_table(y, s),
            gains_table_weighted(y, s, w),
            gains_table_with(y, s, Some(w), &gains),
            ks(y, s),
            ks_weighted(y, s, w),
            pr_curve(y, s),
            pr_curve_weighted(y, s, w),
            average_precision(y, s),
            average_precision_weighted(y, s, w),
            pr_auc(y, s),
            pr_auc_weighted(y, s, w),
            log_loss(y, s),
            log_loss_with(y, s, &logs),
            log_loss_weighted(y, s, w),
            log_loss_weighted_with(y, s, w, &logs),
            brier(y, s),
            brier_with(y, s, &BrierOptions::default()),
            brier_weighted(y, s, w),
            brier_weighted_with(y, s, w, &BrierOptions::default()),
            d2_log_loss(y, s),
            d2_log_loss_weighted(y, s, w),
            d2_brier(y, s),
            d2_brier_weighted(y, s, w),
            roc_curve(y, s),
            roc_curve_weighted(y, s, w),
        ];
        if let Some(state) = answer("weighted", ScoreState::weighted(y, s, w)) {
            answers![
                roc_auc_from_state_with(&state, &auc),
                log_loss_from_state_with(&state, &logs),
                gains_table_from_state_with(&state, &gains),
                confusion_at_threshold(&state, threshold),
            ];
            answer("best_threshold", best_threshold(&state, &ThresholdObjective::FBeta(eps)));
            answer("best_threshold", best_threshold(&state, &ThresholdObjective::MinRecall(threshold)));
            answer("rounded", state.rounded(resolution));
        }
    }
}

pub fn states(input: &mut Input<'_>) {
    let resolution = [None, Some(u32::from(input.byte()))][usize::from(input.bool())];
    let options = ScoreOptions::default().with_resolution(resolution).with_threads(Threads::ONE);
    let mut states = vec![];
    for _ in 0..2 {
        let rows = rows(input);
        states.extend(answer("of", ScoreState::of(&rows.y, &rows.shares)));
        states
            .extend(answer("of", ScoreState::of_with(&rows.y, &rows.scores, Some(&rows.weights), &options)));
        let Some(mut stream) = sound_stream(options) else { continue };
        for ((y, s), w) in rows.y.iter().zip(&rows.scores).zip(&rows.weights) {
            answer("push", stream.push(*y, *s, *w));
        }
        answer("extend", stream.extend(&rows.y, &rows.scores, None));
        states.extend(answer("state", stream.state()));
        states.extend(answer("finish", stream.finish()));
    }
    states.truncate(3);
    mergeable(input, "ScoreState", &states, ScoreState::merge, use_scores);
}

fn sound_stream(options: ScoreOptions) -> Option<ScoreStream> {
    ScoreStream::new(options).ok()
}

fn use_multiclass(state: &MulticlassScoreState) {
    for average in [Average::Macro, Average::Micro, Average::Weighted] {
        answers![
            multiclass_roc_auc(state, average),
            multiclass_roc_auc_one_vs_one(state, average),
            multiclass_average_precision(state, average, ZeroDivision::Undefined),
        ];
    }
    answers![
        multiclass_log_loss_from_state(state),
        multiclass_brier_from_state(state, BrierScale::Sum),
        multiclass_d2_log_loss(state),
        multiclass_d2_brier(state),
    ];
    plain("class_weights", state.class_weights());
    for class in [0, 1, 99] {
        answer("one_vs_rest", state.one_vs_rest(class));
    }
}

pub fn multiclass(input: &mut Input<'_>) {
    let classes = if input.byte() == 0 { input.size() } else { 1 + usize::from(input.byte() % 4) };
    let options = ScoreOptions::default().with_threads(Threads::ONE);
    let (average, choice) = (average(input), zero_division(input));
    let scale = input.pick(&[BrierScale::Auto, BrierScale::Half, BrierScale::Sum]);
    let (mut states, mut labels) = (vec![], vec![]);
    for _ in 0..2 {
        let rows = rows(input);
        let s = probabilities(input, rows.codes.len(), classes.min(64));
        let (y, w) = (&rows.codes, &rows.weights);
        let logs = LogLossOptions::default().with_eps(share(input));
        answers![
            multiclass_log_loss(y, &s, classes),
            multiclass_log_loss_weighted(y, &s, classes, w),
            multiclass_log_loss_with(y, &s, classes, Some(w), &logs),
            multiclass_brier(y, &s, classes, scale),
            multiclass_brier_weighted(y, &s, classes, w, scale),
        ];
        for metric in MulticlassMetric::ALL {
            answer(metric.name(), metric.of_scores(y, &s, classes, Some(w)));
        }
        states.extend(answer("of", MulticlassScoreState::of(y, &s, classes)));
        states.extend(answer("of", MulticlassScoreState::of_with(y, &s, classes, Some(w), &options)));
        let n = rows.y.len() / classes.clamp(1, 64) * classes.clamp(1, 64);
        let weights = &w[..n / classes.clamp(1, 64)];
        let (y, s) = (&rows.y[..n], &rows.scores[..n]);
        labels.extend(answer("of", MultilabelScoreState::of_with(y, s, classes, Some(weights), &options)));
    }
    states.truncate(2);
    mergeable(input, "MulticlassScoreState", &states, MulticlassScoreState::merge, use_multiclass);
    mergeable(input, "MultilabelScoreState", &labels, MultilabelScoreState::merge, |state| {
        answers![multilabel_roc_auc(state, average), multilabel_average_precision(state, average, choice)];
        state.labels().iter().for_each(use_scores);
    });
}
