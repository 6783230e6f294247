use mlops_core::conformance::fuzz::Input;
use mlops_eval::forecast::*;

use super::{answer, answers, mergeable, near, plain, rows};

fn levels(input: &mut Input<'_>) -> Vec<f64> {
    let many = input.below(4);
    (1..=many).map(|at| near(input, at as f64 / 4.0)).collect()
}

/// For every row as many numbers as there are columns.
fn wide(numbers: &[f64], columns: usize) -> Vec<f64> {
    numbers.iter().flat_map(|number| (0..columns.min(16)).map(move |at| number + at as f64 / 8.0)).collect()
}

pub fn forecast(input: &mut Input<'_>) {
    let rows = rows(input);
    let (levels, level, season) = (levels(input), near(input, 0.8), input.size());
    let members = if input.byte() == 0 { input.size() } else { 1 + usize::from(input.byte() % 4) };
    let estimator = input.pick(&[CrpsEstimator::Plain, CrpsEstimator::Fair]);
    let (y, w) = (&rows.truth, &rows.weights);
    let (low, high): (Vec<f64>, Vec<f64>) = y
        .iter()
        .zip(&rows.forecast)
        .map(|(y, p)| if input.byte() == 0 { (*y, *p) } else { (y.min(*p), y.max(*p)) })
        .unzip();
    let (quantiles, ensemble) = (wide(&rows.forecast, levels.len()), wide(&rows.forecast, members));
    let p = &rows.forecast;
    answers![
        crps_ensemble(y, &ensemble, members, estimator),
        crps_ensemble_weighted(y, &ensemble, members, w, estimator),
        interval_coverage(y, &low, &high, level),
        interval_coverage_weighted(y, &low, &high, w, level),
        interval_width(y, &low, &high, level),
        interval_width_weighted(y, &low, &high, w, level),
        winkler_score(y, &low, &high, level),
        winkler_score_weighted(y, &low, &high, w, level),
        quantile_losses(y, &quantiles, &levels),
        quantile_losses_weighted(y, &quantiles, &levels, w),
        crps_from_quantiles(y, &quantiles, &levels),
        crps_from_quantiles_weighted(y, &quantiles, &levels, w),
        mase(y, p, &low, season),
        mase_weighted(y, p, w, &low, season),
        rmsse(y, p, &low, season),
        rmsse_weighted(y, p, w, &low, season),
    ];
    let many = levels.len();
    let (lower, upper) = (wide(&low, many), wide(&high, many));
    answers![
        weighted_interval_score(y, p, &lower, &upper, &levels),
        weighted_interval_score_weighted(y, p, &lower, &upper, &levels, w),
    ];
}

pub fn states(input: &mut Input<'_>) {
    let both = [rows(input), rows(input)];
    let (levels, level, season) = (levels(input), near(input, 0.8), 1 + usize::from(input.byte() % 4));
    let crossing = input.pick(&[Crossing::Refuse, Crossing::Count, Crossing::Sort]);
    let members = 1 + usize::from(input.byte() % 3);
    let (mut ensembles, mut intervals, mut quantiles, mut series) = (vec![], vec![], vec![], vec![]);
    for rows in &both {
        let (y, p, w) = (&rows.truth, &rows.forecast, Some(rows.weights.as_slice()));
        let (low, high): (Vec<f64>, Vec<f64>) = y.iter().zip(p).map(|(y, p)| (y.min(*p), y.max(*p))).unzip();
        ensembles.extend(answer("of", EnsembleState::of(y, &wide(p, members), members, w)));
        intervals.extend(answer("of", IntervalState::of(level, p, &low, &high, w)));
        intervals.extend(answer("new", IntervalState::new(level)));
        quantiles.extend(answer("new", QuantileState::new(&levels, crossing)));
        quantiles.extend(answer("of", QuantileState::of(&levels, y, &wide(p, levels.len()), w, crossing)));
        let mut state = ForecastState::default();
        let scale = answer("of", NaiveScale::of(y, season));
        answer("add", state.add("a", y, p, w, scale));
        answer(
            "add",
            state.add(input.text(), p, y, None, NaiveScale::given(near(input, 1.0), near(input, 2.0)).ok()),
        );
        series.push(state);
        if let Some(scale) = scale {
            plain("scale", (scale.absolute(), scale.squared()));
        }
    }
    mergeable(input, "EnsembleState", &ensembles, EnsembleState::merge, |state| {
        answer("finish", state.finish());
        answer("crps", state.crps(CrpsEstimator::Fair));
    });
    mergeable(input, "IntervalState", &intervals, IntervalState::merge, |state| {
        answer("finish", state.finish());
        answer("finish_with", state.finish_with(0.5));
    });
    mergeable(input, "QuantileState", &quantiles, QuantileState::merge, |state| {
        answer("finish", state.finish());
    });
    mergeable(input, "ForecastState", &series, ForecastState::merge, |state| {
        answer("finish", state.finish());
        plain("len", (state.len(), state.is_empty()));
    });
}
