use mlops_core::conformance::fuzz::Input;
use mlops_core::num::parallel::Threads;
use mlops_eval::catalog::{self, Metric};
use mlops_eval::classification::{Confusion, LabelMetric, ScoreState, ZeroDivision};
use mlops_eval::fairness::*;
use mlops_eval::interval::{DifferenceInterval, Rate, RatioInterval};
use mlops_eval::regression::RegressionMetric;

use super::compare::rate;
use super::{Rows, answer, answers, mergeable, near, plain, reread, rows};

fn options(input: &mut Input<'_>) -> FairnessOptions {
    let base = if input.bool() { FairnessOptions::fairlearn_0_15() } else { FairnessOptions::default() };
    base.with_minimum_size(u64::from(input.byte() % 4))
        .with_confidence(near(input, 0.95))
        .with_zero_division(input.pick(&[ZeroDivision::Undefined, ZeroDivision::Zero, ZeroDivision::One]))
        .with_lone_group(input.pick(&[LoneGroup::Undefined, LoneGroup::Equal]))
        .with_comparison(input.pick(&[Comparison::BetweenGroups, Comparison::ToOverall]))
        .with_odds(input.pick(&[OddsAggregation::WorstCase, OddsAggregation::Mean]))
        .with_half_odds(input.pick(&[HalfOdds::Undefined, HalfOdds::Skip]))
}

fn use_groups(metrics: &GroupMetrics) {
    plain("differences", (metrics.demographic_parity_difference(), metrics.equal_opportunity_difference()));
    plain("ratios", (metrics.demographic_parity_ratio(), metrics.equal_opportunity_ratio()));
    plain("odds", (metrics.equalized_odds_difference(), metrics.equalized_odds_ratio()));
    plain("predictive", (metrics.predictive_parity_difference(), metrics.predictive_parity_ratio()));
    plain("omission", (metrics.false_omission_rate_difference(), metrics.false_omission_rate_ratio()));
    plain("accuracy", (metrics.accuracy_equality_difference(), metrics.accuracy_equality_ratio()));
    plain("errors", (metrics.error_rates(), metrics.error_rate_difference(), metrics.error_rate_ratio()));
    let treatment = (metrics.treatment_equality_difference(), metrics.treatment_equality_ratio());
    plain("treatment", (metrics.treatment(), treatment));
    plain("disparate_impact", metrics.disparate_impact());
    answer("average_odds", metrics.average_odds(&["a"]));
    plain("sizes", (metrics.rows(), metrics.statuses(), metrics.weighted_confusions(), metrics.group(0)));
    for metric in LabelMetric::ALL {
        use_values(&metrics.by_group(*metric));
        plain("one_vs_rest", metrics.one_vs_rest(*metric));
    }
}

fn use_values(values: &MetricByGroup) {
    plain("by_group", values);
    plain("aggregates", (values.min(), values.max(), values.difference()));
    answer("ratio", values.ratio());
    answer("worst", values.worst());
    answer("against_reference", values.against_reference(&["a"]));
}

pub fn groups(input: &mut Input<'_>) {
    let both = [rows(input), rows(input)];
    let options = options(input);
    let mut states = vec![];
    for rows in &both {
        let features = [SensitiveFeature::new("sex", &rows.codes, ["a", "b", "c"])];
        let (y, p, w, f, o) = (&rows.y, &rows.p, &rows.weights, &features, &options);
        answers![
            accuracy_equality_difference(y, p, f, o),
            accuracy_equality_difference_weighted(y, p, w, f, o),
            accuracy_equality_ratio(y, p, f, o),
            accuracy_equality_ratio_weighted(y, p, w, f, o),
            demographic_parity_difference(y, p, f, o),
            demographic_parity_difference_weighted(y, p, w, f, o),
            demographic_parity_ratio(y, p, f, o),
            demographic_parity_ratio_weighted(y, p, w, f, o),
            equal_opportunity_difference(y, p, f, o),
            equal_opportunity_difference_weighted(y, p, w, f, o),
            equal_opportunity_ratio(y, p, f, o),
            equal_opportunity_ratio_weighted(y, p, w, f, o),
            equalized_odds_difference(y, p, f, o),
            equalized_odds_difference_weighted(y, p, w, f, o),
            equalized_odds_ratio(y, p, f, o),
            equalized_odds_ratio_weighted(y, p, w, f, o),
            error_rate_difference(y, p, f, o),
            error_rate_difference_weighted(y, p, w, f, o),
            error_rate_ratio(y, p, f, o),
            error_rate_ratio_weighted(y, p, w, f, o),
            predictive_parity_difference(y, p, f, o),
            predictive_parity_difference_weighted(y, p, w, f, o),
            predictive_parity_ratio(y, p, f, o),
            predictive_parity_ratio_weighted(y, p, w, f, o),
            treatment_equality_difference(y, p, f, o),
            treatment_equality_difference_weighted(y, p, w, f, o),
            treatment_equality_ratio(y, p, f, o),
            treatment_equality_ratio_weighted(y, p, w, f, o),
        ];
        states.extend(answer("of", GroupMetrics::of(y, p, f, o)));
        states.extend(answer("weighted", GroupMetrics::weighted(y, p, w, f, o)));
        // A sum that overflowed is refused when the errors are asked.
        if let Ok(errors) = GroupErrors::of(&rows.truth, &rows.forecast, Some(w), f, o) {
            for metric in RegressionMetric::ALL {
                answer("by_group", errors.by_group(*metric)).iter().for_each(use_values);
            }
        }
    }
    states.truncate(3);
    mergeable(input, "GroupMetrics", &states, GroupMetrics::merge, use_groups);
}

pub fn frames(input: &mut Input<'_>) {
    let (first, second) = (rows(input), rows(input));
    let options = options(input);
    let all: Vec<Metric> = Metric::all().collect();
    let metrics: Vec<Metric> = (0..1 + input.below(3)).map(|_| input.pick(&all)).collect();
    let (numbers, kept) = (input.bool(), input.bool());
    let frame = |rows: &Rows| {
        let features = [SensitiveFeature::new("sex", &rows.codes, ["a", "b", "c"])];
        let controls = [SensitiveFeature::new("site", &rows.guesses, ["x", "y", "z", "v"])];
        let binary = catalog::Input::binary(&rows.y).with_labels(&rows.p).with_scores(&rows.shares);
        let regression = catalog::Input::regression(&rows.truth, &rows.forecast);
        let data = if numbers { regression } else { binary }.with_weights(&rows.weights);
        let made = if kept {
            MetricFrame::keeping_rows(&data, &metrics, &features, &controls, &options)
        } else {
            MetricFrame::of(&data, &metrics, &features, &controls, &options)
        };
        // A sum that overflowed is refused when the frame is asked.
        let mut frame = made.ok()?;
        answer("push", frame.push(&data, &features, &controls));
        Some(frame)
    };
    let states: Vec<MetricFrame> = [&first, &second].into_iter().filter_map(frame).collect();
    mergeable(input, "MetricFrame", &states, MetricFrame::merge, |frame| {
        for metric in frame.metrics() {
            answer("by_stratum", frame.by_stratum(*metric));
            answer("one_vs_rest", frame.one_vs_rest(*metric));
            answer("by_group", frame.by_group(*metric)).iter().for_each(use_values);
        }
        answer("calibration_gap", frame.calibration_gap(5));
        answer("group_metrics", frame.group_metrics().map(|all| all.len()));
        answer("margin", frame.margin(&["sex"]).map(|frame| frame.metrics().len()));
        answer("without_controls", frame.without_controls().map(|frame| frame.metrics().len()));
    });
}

fn cells(input: &mut Input<'_>) -> Vec<Confusion> {
    (0..input.below(4))
        .filter_map(|_| {
            let rows = rows(input);
            Confusion::of(&rows.y, &rows.p).ok()
        })
        .collect()
}

pub fn disparities(input: &mut Input<'_>) {
    let rates: Vec<Rate> = (0..input.below(5)).filter_map(|_| rate(input)).collect();
    let cells = cells(input);
    let (seed, margin, confidence) = (input.word(), near(input, 0.1), near(input, 0.95));
    let resamples = usize::from(input.byte() % 30);
    let difference = input.pick(&[
        DifferenceInterval::MiettinenNurminen,
        DifferenceInterval::Newcombe,
        DifferenceInterval::AgrestiCaffo,
        DifferenceInterval::Wald,
    ]);
    let parity = ParityOptions::default()
        .with_alpha(near(input, 0.05))
        .with_power(near(input, 0.8))
        .with_difference(difference)
        .with_ratio(input.pick(&[RatioInterval::Koopman, RatioInterval::Katz]));
    let pairs = PairwiseOptions::new(seed)
        .with_confidence(confidence)
        .with_resamples(resamples)
        .with_interval(difference)
        .with_threads(Threads::ONE)
        .with_family(input.pick(&[
            Simultaneous::Bonferroni,
            Simultaneous::Sidak,
            Simultaneous::MaxT,
            Simultaneous::Each,
        ]));
    let tests = DisparityTestOptions::new(seed)
        .with_resamples(resamples)
        .with_threads(Threads::ONE)
        .with_statistic(input.pick(&[
            DisparityStatistic::Difference,
            DisparityStatistic::Pearson,
            DisparityStatistic::Probability,
        ]));
    let draws = BootstrapOptions::new(seed).with_resamples(resamples).with_threads(Threads::ONE);
    let draws = draws.with_resampling(input.pick(&[Resampling::Rows, Resampling::WithinGroups]));
    // Resampling takes as long as there are trials to draw.
    if rates.iter().all(|rate| rate.trials() < 10_000) {
        answers![disparity_test(&rates, &tests), pairwise_differences(&rates, &pairs)];
        answers![disparity_interval(&rates, &pairs)];
    }
    answers![
        difference_within(&rates, margin, &parity),
        ratio_within(&rates, 1.0 - margin, &parity),
        odds_within(&cells, margin, &parity),
        homogeneity_test(&rates, HomogeneityMethod::Pearson),
        homogeneity_test(&rates, HomogeneityMethod::LikelihoodRatio),
        odds_test(&cells, &tests),
    ];
    if let Some(drawn) = answer("of", CellBootstrap::of(&cells, &draws)) {
        for method in [BootstrapInterval::Percentile, BootstrapInterval::Basic, BootstrapInterval::Bca] {
            let share = |cells: &[Confusion]| LabelMetric::Recall.from_counts(*cells.first()?).value();
            answer("estimate", drawn.estimate(confidence, method, share));
        }
    }
    for method in [PriorFit::Moments, PriorFit::Likelihood] {
        if let Some(prior) = answer("fit", BetaPrior::fit(&rates, method)) {
            for rate in &rates {
                answer("shrink", prior.shrink(*rate, confidence));
            }
        }
    }
    for rate in &rates {
        answer("smoothed_rate", smoothed_rate(*rate, margin));
    }
    let codes: Vec<[usize; 2]> =
        rates.iter().map(|_| [usize::from(input.byte() % 3), input.size() % 3]).collect();
    let variances: Vec<f64> = rates.iter().map(|_| near(input, 0.5)).collect();
    let values: Vec<f64> = rates.iter().map(|_| input.f64()).collect();
    answers![structured_rates(&rates, &codes, &[2, 3]), james_stein(&values, &variances)];
    let pairs: Vec<(f64, f64)> = rates.iter().map(|_| (near(input, 3.0), near(input, 5.0))).collect();
    answers![
        differential_fairness(&pairs, near(input, 1.0)),
        differential_fairness_amplification(&cells, near(input, 1.0)),
        demographic_disparity_aif360(&pairs),
    ];
}

pub fn inequality(input: &mut Input<'_>) {
    let rows = rows(input);
    let (alpha, count) = (near(input, 2.0), u32::from(input.byte() % 6));
    let (columns, neighbors) = (input.size(), input.size());
    let nearest = ConsistencyOptions::default().with_neighbors(neighbors).with_include_self(input.bool());
    let nearest = nearest.with_threads(Threads::ONE);
    let counts: Vec<u64> = input.many(6, Input::count);
    let reference: Vec<f64> = counts.iter().map(|_| near(input, 1.0 / counts.len().max(1) as f64)).collect();
    let (b, w) = (&rows.truth, &rows.weights);
    let cells = cells(input);
    answers![
        generalized_entropy(b, alpha),
        generalized_entropy_weighted(b, w, alpha),
        theil_index(b),
        coefficient_of_variation(b),
        atkinson_index(b, alpha),
        generalized_entropy_by_group(&cells, alpha),
        consistency(&rows.scores, columns, &rows.shares, &nearest),
        consistency(&rows.scores, 1, &rows.shares, &nearest),
        conditional_demographic_disparity(&rows.p, &rows.y, &rows.codes, count),
        conditional_demographic_disparity_weighted(&rows.p, &rows.y, &rows.codes, count, w),
        distribution_balance(&counts, None),
        distribution_balance(&counts, Some(&reference)),
        aggregate_balance(&counts),
    ];
    cells.iter().for_each(|cells| {
        answers![generalized_entropy_from_counts(*cells, alpha)];
    });
    let mut states: Vec<LabelBalance> =
        answer("of", LabelBalance::of(&rows.codes, 4, &rows.y)).into_iter().collect();
    let given = counts.iter().filter_map(|rows| CategoryCounts::new(*rows, rows / 2).ok()).collect();
    states.extend(answer("from_counts", LabelBalance::from_counts(given)));
    mergeable(input, "LabelBalance", &states, LabelBalance::merge, |state| {
        for at in 0..5 {
            answer("category", state.category(at));
            answer("gap", state.gap(0, at));
        }
    });
}

pub fn mitigation(input: &mut Input<'_>) {
    let both = [rows(input), rows(input)];
    let weighed: Vec<Reweighing> = both
        .iter()
        .filter_map(|rows| answer("weighted", Reweighing::weighted(&rows.codes, 4, &rows.y, &rows.weights)))
        .collect();
    mergeable(input, "Reweighing", &weighed, Reweighing::merge, |state| {
        for group in 0..5 {
            answer("factor", state.factor(group, true));
            answer("factor", state.factor(group, false));
        }
        answer("weights", state.weights(&both[0].codes, &both[0].y));
    });
    let states: Vec<ScoreState> = both
        .iter()
        .filter_map(|rows| answer("weighted", ScoreState::weighted(&rows.y, &rows.shares, &rows.weights)))
        .collect();
    let options = ThresholdOptions::default()
        .with_constraint(input.pick(&[
            ParityConstraint::SelectionRate,
            ParityConstraint::FalsePositiveRate,
            ParityConstraint::FalseNegativeRate,
            ParityConstraint::TruePositiveRate,
            ParityConstraint::TrueNegativeRate,
            ParityConstraint::EqualizedOdds,
        ]))
        .with_objective(input.pick(&[
            ThresholdObjective::Accuracy,
            ThresholdObjective::BalancedAccuracy,
            ThresholdObjective::SelectionRate,
            ThresholdObjective::TruePositiveRate,
            ThresholdObjective::TrueNegativeRate,
        ]))
        .with_grid(usize::from(input.byte()))
        .with_flip(input.bool())
        .with_deterministic(input.bool());
    let Some(rules) = answer("fit", ThresholdOptimizer::fit(&states, &options)) else { return };
    let score = input.f64();
    reread(input, "ThresholdRules", &rules, |rules: &ThresholdRules| {
        plain("rules", (rules.rates(), rules.objective(), rules.rules()));
        answer("probabilities", rules.probabilities(&[0, 1], &[score, 0.5]));
        answer("predict", rules.predict(&[0, 1], &[score, 0.5], 1));
        for group in 0..3 {
            if let Some(share) = answer("probability", rules.probability(group, 0.5)) {
                assert!((0.0..=1.0).contains(&share), "{share}");
            }
            answer("decide", rules.decide(group, score, 7, 1));
            for state in &states {
                answer("expected", rules.expected(group, state));
            }
        }
    });
}
