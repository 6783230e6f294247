use mlops_core::conformance::fuzz::Input;
use mlops_core::num::Measured;
use mlops_eval::regression::*;

use super::{answer, answers, mergeable, near, plain, rows};

fn options(input: &mut Input<'_>) -> RegressionOptions {
    RegressionOptions::default()
        .with_percentage_of_zero(input.pick(&[PercentageOfZero::Undefined, PercentageOfZero::Epsilon]))
        .with_symmetric_zero(input.pick(&[
            SymmetricZero::Zero,
            SymmetricZero::Skip,
            SymmetricZero::Undefined,
        ]))
        .with_force_finite(input.bool())
}

pub fn regression(input: &mut Input<'_>) {
    let rows = rows(input);
    let options = options(input);
    let (alpha, delta, power) = (near(input, 0.9), near(input, 1.0), near(input, 1.5));
    let (predictors, outputs) = (input.count(), input.size());
    let (y, p, w) = (&rows.truth, &rows.forecast, &rows.weights);
    answers![
        mae(y, p),
        mae_weighted(y, p, w),
        mse(y, p),
        mse_weighted(y, p, w),
        rmse(y, p),
        rmse_weighted(y, p, w),
        mean_error(y, p),
        mean_error_weighted(y, p, w),
        mape(y, p),
        mape_weighted(y, p, w),
        smape(y, p),
        smape_weighted(y, p, w),
        wape(y, p),
        wape_weighted(y, p, w),
        r2(y, p),
        r2_weighted(y, p, w),
        explained_variance(y, p),
        explained_variance_weighted(y, p, w),
        pearson(y, p),
        pearson_weighted(y, p, w),
        concordance_correlation(y, p),
        concordance_correlation_weighted(y, p, w),
        median_absolute_error(y, p),
        median_absolute_error_weighted(y, p, w),
        max_error(y, p),
        max_error_weighted(y, p, w),
        mape_with(y, p, Some(w), &options),
        smape_with(y, p, Some(w), &options),
        adjusted_r2(y, p, predictors),
        adjusted_r2_weighted(y, p, w, predictors),
        spearman(y, p),
        spearman_weighted(y, p, w),
        kendall(y, p),
        kendall_weighted(y, p, w),
        concordance_index(y, p),
        concordance_index_weighted(y, p, w),
        msle(y, p),
        msle_weighted(y, p, w),
        rmsle(y, p),
        rmsle_weighted(y, p, w),
        log_cosh(y, p),
        log_cosh_weighted(y, p, w),
        pinball(y, p, alpha),
        pinball_weighted(y, p, w, alpha),
        huber(y, p, delta),
        huber_weighted(y, p, w, delta),
        tweedie_deviance(y, p, power),
        tweedie_deviance_weighted(y, p, w, power),
        poisson_deviance(y, p),
        poisson_deviance_weighted(y, p, w),
        gamma_deviance(y, p),
        gamma_deviance_weighted(y, p, w),
        d2_absolute_error(y, p),
        d2_absolute_error_weighted(y, p, w),
        d2_pinball(y, p, alpha),
        d2_pinball_weighted(y, p, w, alpha),
        d2_tweedie(y, p, power),
        d2_tweedie_weighted(y, p, w, power),
    ];
    let average = match input.byte() % 3 {
        0 => OutputAverage::Uniform,
        1 => OutputAverage::VarianceWeighted,
        _ => OutputAverage::Weights((0..outputs.min(9)).map(|_| near(input, 1.0)).collect()),
    };
    for metric in RegressionMetric::ALL {
        answer(metric.name(), metric.evaluate_with(y, p, Some(w), &options));
        for outputs in [outputs, 1, 2] {
            answer("output_metrics", output_metrics(*metric, y, p, outputs, None, &options));
            answer("outputs_average", outputs_average(*metric, y, p, outputs, None, &average, &options));
        }
    }
    if let Ok(measured) = r2(y, p) {
        plain("r2_force_finite", r2_force_finite(measured));
    }
    plain("r2_force_finite", r2_force_finite(Measured::ratio(0.0, 0.0)));
}

pub fn states(input: &mut Input<'_>) {
    let both = [rows(input), rows(input)];
    let options = options(input);
    let (alpha, resolution) = (near(input, 0.5), near(input, 0.25));
    let loss = match input.byte() % 5 {
        0 => Loss::SquaredLog,
        1 => Loss::LogCosh,
        2 => Loss::Pinball { alpha },
        3 => Loss::Huber { delta: alpha },
        _ => Loss::Tweedie { power: near(input, 1.5) },
    };
    let (mut sums, mut losses, mut shares, mut residuals) = (vec![], vec![], vec![], vec![]);
    for rows in &both {
        let (y, p, w) = (&rows.truth, &rows.forecast, Some(rows.weights.as_slice()));
        let w = if input.bool() { w } else { None };
        // A sum that overflowed is refused when the state is asked.
        sums.extend(RegressionState::of(y, p, w));
        losses.extend(answer("of", LossState::of(loss, y, p, w)));
        losses.extend(answer("new", LossState::new(loss)));
        shares.extend(answer("of", D2State::of(loss, y, p, w)));
        residuals.extend(answer("of", ResidualState::of(y, p, w)));
        residuals.extend(answer("rounded", ResidualState::rounded(y, p, w, resolution)));
    }
    let merge = |into: &mut RegressionState, from: &RegressionState| {
        into.merge(from);
        Ok(())
    };
    mergeable(input, "RegressionState", &sums, merge, |state| {
        answer("finish", state.finish());
        answer("finish_with", state.finish_with(&options));
        answer("adjusted_r2", state.adjusted_r2(1));
        for metric in RegressionMetric::ALL {
            answer(metric.name(), metric.from_state_with(state, &options));
        }
        let mut more = *state;
        answer("push", more.push(1e300, -1e300, 3.0));
        answer("finish", more.finish());
    });
    mergeable(input, "LossState", &losses, LossState::merge, |state| {
        answer("finish", state.finish());
        let mut more = *state;
        answer("push", more.push(1.0, 2.0, 1e300));
        answer("finish", more.finish());
    });
    mergeable(input, "D2State", &shares, D2State::merge, |state| {
        answer("finish", state.finish());
    });
    mergeable(input, "ResidualState", &residuals, ResidualState::merge, |state| {
        answer("summary", state.summary());
        answer("quantiles", state.quantiles(&[0.0, 0.3, 1.0]));
        answer("quantile", state.quantile(alpha));
        answer("pinball", state.pinball(0.1));
        answer("median_absolute_error", state.median_absolute_error());
        plain("max_error", (state.max_error(), state.resolution(), state.points().collect::<Vec<_>>()));
    });
}
