use mlops_core::conformance::fuzz::Input;
use mlops_core::num::parallel::Threads;
use mlops_core::num::{Measured, StatsError};
use mlops_eval::catalog::{self, Metric};
use mlops_eval::classification::{Confusion, LabelMetric};
use mlops_eval::compare::*;
use mlops_eval::interval::*;

use super::{answer, answers, mergeable, near, number, ordered, plain, rows};

pub fn alternative(input: &mut Input<'_>) -> Alternative {
    input.pick(&[Alternative::TwoSided, Alternative::Greater, Alternative::Less])
}

/// Counts of which the first is mostly no more than the second.
pub fn rate(input: &mut Input<'_>) -> Option<Rate> {
    let (first, second) = (input.count(), input.count());
    let (successes, trials) =
        if input.byte() == 0 { (first, second) } else { (first.min(second), first.max(second)) };
    answer("Rate::new", Rate::new(successes, trials))
}

pub fn intervals(input: &mut Input<'_>) {
    let rates: Vec<Rate> = [rate(input), rate(input)].into_iter().flatten().collect();
    let confidence = near(input, 0.95);
    for &first in &rates {
        ordered("wilson", wilson(first.successes(), first.trials(), confidence));
        for method in [
            RateInterval::Wilson,
            RateInterval::ClopperPearson,
            RateInterval::Jeffreys,
            RateInterval::AgrestiCoull,
            RateInterval::MidP,
        ] {
            ordered("rate_interval", rate_interval(first, confidence, method));
            let (share, trials) = (near(input, 0.3), near(input, 12.5));
            ordered("rate_interval_effective", rate_interval_effective(share, trials, confidence, method));
        }
        for &second in &rates {
            for method in [
                DifferenceInterval::MiettinenNurminen,
                DifferenceInterval::Newcombe,
                DifferenceInterval::AgrestiCaffo,
                DifferenceInterval::Wald,
            ] {
                ordered("difference_interval", difference_interval(first, second, confidence, method));
            }
            for method in [
                RatioInterval::Koopman,
                RatioInterval::MiettinenNurminen,
                RatioInterval::Katz,
                RatioInterval::Walter,
            ] {
                ordered("ratio_interval", ratio_interval(first, second, confidence, method));
            }
        }
    }
    let values = rows(input).truth;
    let (count, mean, variance) = (input.count(), input.f64(), near(input, 2.0));
    for method in [MeanInterval::StudentT, MeanInterval::Normal] {
        ordered("mean_interval", mean_interval(&values, confidence, method));
        ordered("moments", mean_interval_from_moments(count, mean, variance, confidence, method));
    }
    mergeable(input, "Rate", &rates, Rate::merge, |rate| {
        plain("value", rate.value());
    });
}

fn draws(input: &mut Input<'_>) -> DrawOptions {
    let resamples = if input.byte() == 0 { 0 } else { 1 + u64::from(input.byte() % 40) };
    DrawOptions::default()
        .with_seed(input.word())
        .with_resamples(resamples)
        .with_alternative(alternative(input))
        .with_threads(Threads::ONE)
}

fn bootstraps(input: &mut Input<'_>) -> BootstrapOptions {
    let interval =
        input.pick(&[BootstrapInterval::Bca, BootstrapInterval::Percentile, BootstrapInterval::Basic]);
    BootstrapOptions::default()
        .with_seed(input.word())
        .with_resamples(u64::from(input.byte() % 40))
        .with_resampling(input.pick(&[Resampling::Multinomial, Resampling::Poisson]))
        .with_interval(interval)
        .with_threads(Threads::ONE)
}

fn use_bootstrap(bootstrap: &Bootstrap, confidence: f64) {
    plain(
        "bootstrap",
        (bootstrap.first(), bootstrap.second(), bootstrap.difference(), bootstrap.standard_error()),
    );
    plain("replicates", (bootstrap.replicates(), bootstrap.acceleration()));
    answer("confidence_interval", bootstrap.confidence_interval(confidence));
    for margin in [0.0, 0.1] {
        answers![
            superiority(bootstrap, margin, 0.05),
            non_inferiority(bootstrap, margin, 0.05),
            equivalence(bootstrap, margin, 0.05),
        ];
    }
}

pub fn paired_models(input: &mut Input<'_>) {
    let rows = rows(input);
    let (alternative, confidence, margin) = (alternative(input), near(input, 0.9), near(input, 0.05));
    let (draws, bootstraps) = (draws(input), bootstraps(input));
    let metric = input.pick(LabelMetric::ALL);
    let kind =
        input.pick(&[McnemarKind::MidP, McnemarKind::Exact, McnemarKind::ChiSquare, McnemarKind::Corrected]);
    let mut counts: Vec<PairedCounts> =
        answer("of", PairedCounts::of(&rows.y, &rows.p)).into_iter().collect();
    counts.push(PairedCounts::discordant(input.count(), input.count()));
    mergeable(input, "PairedCounts", &counts, PairedCounts::merge, |counts| {
        answers![mcnemar(counts), mcnemar_with(counts, kind, alternative, confidence)];
        ordered("tango", tango(counts, confidence));
        ordered("newcombe_paired", newcombe_paired(counts, confidence));
    });
    let guesses: Vec<bool> = rows.scores.iter().map(|score| *score > 0.5).collect();
    let cells: Vec<PairedCells> =
        answer("of", PairedCells::of(&rows.y, &rows.p, &guesses)).into_iter().collect();
    for cells in &cells {
        answers![permutation_cells(cells, metric, &draws)];
        let share = |cells: &Confusion| metric.from_counts(*cells);
        answers![permutation_cells_of(cells, share, &draws)];
        let drawn = answer("bootstrap_cells", bootstrap_cells(cells, metric, &bootstraps));
        let own = answer("bootstrap_cells_of", bootstrap_cells_of(cells, share, &bootstraps));
        drawn.iter().chain(&own).for_each(|bootstrap| use_bootstrap(bootstrap, confidence));
    }
    mergeable(input, "PairedCells", &cells, PairedCells::merge, |cells| {
        plain("cells", (cells.first(), cells.second(), cells.rows()));
        for metric in LabelMetric::ALL {
            plain("shares", cells.shares(*metric));
        }
    });
    let first_share = |rows: &[bool]| -> Result<Measured, StatsError> {
        Ok(Measured::ratio(rows.iter().filter(|row| **row).count() as f64, rows.len() as f64))
    };
    answers![permutation(&rows.y, &rows.p, first_share, &draws)];
    let sums = |weights: &[f64]| -> Result<[Measured; 2], StatsError> {
        let mean = |values: &[f64]| {
            let sum: f64 = values.iter().zip(weights).map(|(value, weight)| value * weight).sum();
            Measured::ratio(sum, weights.iter().sum())
        };
        Ok([mean(&rows.shares), mean(&rows.shares)])
    };
    if rows.shares.iter().all(|share| share.is_finite() && share.abs() < 1e100) {
        answer("bootstrap_rows", bootstrap_rows(rows.shares.len(), sums, &bootstraps));
    }
    let area = answer("bootstrap_auc", bootstrap_auc(&rows.y, &rows.scores, &rows.shares, &bootstraps));
    area.iter().for_each(|bootstrap| use_bootstrap(bootstrap, confidence));
    let scores: [&[f64]; 3] = [&rows.scores, &rows.shares, &rows.truth];
    if let Some(delong) = answer("of", Delong::of_with(&rows.y, &scores, Threads::ONE)) {
        for model in 0..4 {
            answer("auc", delong.auc(model));
            answer("covariance", delong.covariance(0, model));
            answer("difference_variance", delong.difference_variance(0, model));
            answer("interval", delong.interval(model, confidence));
            answer("logit_interval", delong.logit_interval(model, confidence));
            answer("compare", delong.compare(0, model, alternative, confidence));
            if let Some(difference) = answer("difference", delong.difference(0, model)) {
                answer("superiority", superiority(&difference, margin, 0.05));
                answer("test", difference.test(alternative, confidence));
            }
        }
        let contrast: Vec<f64> = (0..3 * input.below(3)).map(|_| near(input, 1.0)).collect();
        answer("contrast", delong.contrast(&contrast));
        answer("all_equal", delong.all_equal());
    }
    let all: Vec<Metric> = Metric::all().collect();
    let options = PairedOptions::default()
        .with_alpha(near(input, 0.05))
        .with_power(near(input, 0.8))
        .with_seed(input.word())
        .with_resamples(1 + u64::from(input.byte() % 40))
        .with_losses(input.pick(&[LossTest::StudentT, LossTest::SignFlip, LossTest::Bootstrap]))
        .with_threads(Threads::ONE);
    let binary = |labels, scores| catalog::Input::binary(&rows.y).with_labels(labels).with_scores(scores);
    let (champion, challenger) = (binary(&rows.p, &rows.shares), binary(&guesses, &rows.scores));
    let numbers = [&rows.forecast, &rows.scores].map(|p| catalog::Input::regression(&rows.truth, p));
    for _ in 0..3 {
        let metric = input.pick(&all);
        answers![
            paired(metric, &champion, &challenger, margin, &options),
            paired(metric, &numbers[0], &numbers[1], margin, &options),
        ];
        let test = input.pick(&[
            PairedTest::Auto,
            PairedTest::Bootstrap,
            PairedTest::Delong,
            PairedTest::Mcnemar,
            PairedTest::Permutation,
            PairedTest::Score,
            PairedTest::SignFlip,
            PairedTest::StudentT,
            PairedTest::Wilcoxon,
        ]);
        for (one, other) in [(&champion, &challenger), (&numbers[0], &numbers[1])] {
            match paired_difference(metric, one, other, test, &options) {
                Ok(difference) => {
                    answers![
                        superiority(&*difference, margin, 0.05),
                        non_inferiority(&*difference, margin, 0.05),
                        equivalence(&*difference, margin, 0.05),
                    ];
                }
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
}

pub fn of_differences(input: &mut Input<'_>) {
    let rows = rows(input);
    let (draws, alternative, confidence) = (draws(input), alternative(input), near(input, 0.9));
    let (margin, alpha) = (near(input, 0.1), near(input, 0.05));
    let found = answer("differences", differences(&rows.truth, &rows.forecast)).unwrap_or_default();
    let kind = input.byte();
    let ten: Vec<f64> = (0..10).map(|_| number(input, kind)).collect();
    for d in [&found, &rows.scores, &ten] {
        answers![
            corrected_resampled(d, near(input, 0.25)),
            five_by_two_t(d, alternative),
            five_by_two_f(d),
            paired_t(d, alternative, confidence),
            sign_test(d, alternative),
            sign_flip(d, &draws),
            wilcoxon(d),
        ];
        if let Some(mean) = answer("mean_difference", mean_difference(d)) {
            answers![
                superiority(&mean, margin, alpha),
                non_inferiority(&mean, margin, alpha),
                equivalence(&mean, margin, alpha),
            ];
        }
        if let Ok(flips) = SignFlips::new(d, draws) {
            answer("superiority", superiority(&flips, margin, alpha));
        }
        for law in [WilcoxonLaw::Auto, WilcoxonLaw::Exact, WilcoxonLaw::Normal] {
            for zeros in [ZeroMethod::Wilcox, ZeroMethod::Pratt, ZeroMethod::Zsplit] {
                let options = WilcoxonOptions::default().with_law(law).with_zeros(zeros);
                let options = options.with_alternative(alternative).with_correction(input.bool());
                answers![wilcoxon_with(d, &options)];
            }
        }
    }
    let p: Vec<Measured> =
        rows.shares.iter().map(|p| Measured::Value(if p.is_finite() { *p } else { 1.0 })).collect();
    plain("intersection_union", intersection_union(&p));
    let wald = Wald::new(Measured::Value(input.real()), Measured::Value(input.real().abs()), input.count());
    answers![superiority(&wald, margin, alpha), equivalence(&wald, margin, alpha)];
    let models = if input.byte() == 0 { input.size() } else { 2 + usize::from(input.byte() % 3) };
    let n = rows.y.len() / models.clamp(1, 64) * models.clamp(1, 64);
    answers![cochran_q(&rows.y[..n], models)];
    if let Some(friedman) = answer("friedman", friedman(&rows.truth[..n], models)) {
        plain("nemenyi", friedman.nemenyi());
        answer("pairwise", friedman.pairwise(mlops_core::num::multiple::Correction::Holm));
    }
}

pub fn sample_sizes(input: &mut Input<'_>) {
    let side = alternative(input);
    let (alpha, power, n) = (near(input, 0.05), near(input, 0.8), input.count());
    let mut value = || near(input, 0.1);
    let (a, b, c, d) = (value(), value(), value(), value());
    let higher = b + 0.6;
    answers![
        rows_for_difference(a, b, alpha, power, side),
        paired_t_power(n, a, alpha, side),
        paired_t_rows(a, alpha, power, side),
        proportion_rows(a, higher, alpha, power, side),
        proportion_power(n, a, higher, alpha, side),
        two_proportion_rows(a, higher, alpha, power, side),
        paired_proportion_rows(a, b, alpha, power, side),
        paired_proportion_power(n, a, b, alpha, side),
        hanley_mcneil_variance(higher, 100.0 * c, 100.0 * d),
        auc_rows(higher, higher + 0.1, c, alpha, power, side),
        auc_difference_rows(higher, higher + 0.1, c, d, alpha, power, side),
    ];
}
