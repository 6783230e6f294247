//! Tests, intervals and decisions of a frame are those of its groups' counts, with names.

use mlops_core::evaluation::Verdict;
use mlops_core::num::parallel::Threads;
use mlops_core::num::{Random, StatsError};
use mlops_eval::calibration::{Binning, CalibrationMetric, CalibrationOptions, calibration_curve_with};
use mlops_eval::catalog::{Input, Metric};
use mlops_eval::classification::{Confusion, LabelMetric, ZeroDivision};
use mlops_eval::fairness::{
    self, BootstrapInterval, BootstrapOptions, CellBootstrap, DisparityInterval, DisparityStatistic,
    DisparityTestOptions, FairnessOptions, Group, GroupMetrics, HomogeneityMethod, LeftOut, LeftOutReason,
    MetricFrame, OddsDecision, PairwiseDifferences, PairwiseOptions, ParityDecision, ParityOptions, PriorFit,
    SensitiveFeature, Simultaneous,
};
use mlops_eval::interval::{Rate, RateInterval, rate_interval};

/// Cells of groups spelled out as rows.
fn spelled(cells: &[Confusion]) -> (Vec<u32>, Vec<bool>, Vec<bool>) {
    let mut rows = (Vec::new(), Vec::new(), Vec::new());
    for (code, cells) in (0..).zip(cells) {
        for (truth, prediction, count) in [
            (true, true, cells.true_positives),
            (false, true, cells.false_positives),
            (true, false, cells.false_negatives),
            (false, false, cells.true_negatives),
        ] {
            for _ in 0..count {
                rows.0.push(code);
                rows.1.push(truth);
                rows.2.push(prediction);
            }
        }
    }
    rows
}

fn cells(tp: u64, fp: u64, fneg: u64, tn: u64) -> Confusion {
    Confusion { true_positives: tp, false_positives: fp, false_negatives: fneg, true_negatives: tn }
}

/// Judged: a, b, d and e; e has no positives. c is too small, f absent.
fn example() -> (Vec<Confusion>, GroupMetrics) {
    let all = vec![
        cells(40, 20, 10, 130),
        cells(35, 30, 15, 120),
        cells(1, 1, 1, 1),
        cells(60, 10, 5, 225),
        cells(0, 7, 0, 43),
    ];
    (all.clone(), metrics(&all, &["a", "b", "c", "d", "e", "f"], &FairnessOptions::default()))
}

fn metrics(all: &[Confusion], categories: &[&str], options: &FairnessOptions) -> GroupMetrics {
    let (codes, y_true, y_pred) = spelled(all);
    let group = SensitiveFeature::new("group", &codes, categories.iter().copied());
    GroupMetrics::of(&y_true, &y_pred, &[group], options).unwrap()
}

fn rates(cells: &[Confusion], metric: LabelMetric) -> Vec<Rate> {
    cells.iter().map(|cells| Rate::of(metric, cells).unwrap()).collect()
}

fn names(left_out: &[LeftOut]) -> Vec<(String, u64, LeftOutReason)> {
    left_out.iter().map(|left| (left.group.to_string(), left.rows, left.reason)).collect()
}

fn name(group: &Group) -> String {
    group.to_string()
}

fn small_and_absent() -> Vec<(String, u64, LeftOutReason)> {
    vec![("group=c".to_owned(), 4, LeftOutReason::TooSmall), ("group=f".to_owned(), 0, LeftOutReason::Absent)]
}

fn with_undefined() -> Vec<(String, u64, LeftOutReason)> {
    let mut all = small_and_absent();
    all.insert(1, ("group=e".to_owned(), 50, LeftOutReason::Undefined));
    all
}

#[test]
fn tests_are_those_of_the_judged_counts_and_name_who_is_left_out() {
    let (all, groups) = example();
    let judged = [all[0], all[1], all[3], all[4]];
    for method in [HomogeneityMethod::Pearson, HomogeneityMethod::LikelihoodRatio] {
        for (metric, left_out) in
            [(LabelMetric::SelectionRate, small_and_absent()), (LabelMetric::Recall, with_undefined())]
        {
            let test = groups.homogeneity_test(metric, method).unwrap();
            let expected = fairness::homogeneity_test(&rates(&judged, metric), method).unwrap();
            assert_eq!((test.statistic, test.p_value), (expected.statistic, expected.p_value));
            assert_eq!(test.degrees_of_freedom, expected.degrees_of_freedom);
            assert_eq!(names(&test.left_out), left_out);
        }
    }
    let options =
        DisparityTestOptions::new(3).with_statistic(DisparityStatistic::Pearson).with_resamples(500);
    let test = groups.disparity_test(LabelMetric::Recall, &options).unwrap();
    let expected = fairness::disparity_test(&rates(&judged, LabelMetric::Recall), &options).unwrap();
    assert_eq!(
        (test.statistic, test.p_value, test.at_least),
        (expected.statistic, expected.p_value, expected.at_least)
    );
    assert_eq!(names(&test.left_out), with_undefined());

    let odds = groups.odds_test(&options).unwrap();
    let expected = fairness::odds_test(&judged, &options).unwrap();
    assert_eq!(
        (odds.statistic, odds.p_value, &odds.holm),
        (expected.statistic, expected.p_value, &expected.holm)
    );
    assert_eq!(names(&odds.true_positive_rate.left_out), with_undefined());
    assert_eq!(names(&odds.false_positive_rate.left_out), small_and_absent());
}

#[test]
fn pairs_and_extremes_have_names() {
    let (all, groups) = example();
    let judged = [all[0], all[1], all[3], all[4]];
    let judged_names = ["group=a", "group=b", "group=d", "group=e"];
    for family in [Simultaneous::Bonferroni, Simultaneous::MaxT] {
        let options = PairwiseOptions::new(5).with_family(family).with_resamples(300);
        let pairs = groups.pairwise_differences(LabelMetric::Accuracy, &options).unwrap();
        let expected =
            fairness::pairwise_differences(&rates(&judged, LabelMetric::Accuracy), &options).unwrap();
        assert_eq!(pairs.pairs.len(), 6);
        for (pair, expected) in pairs.pairs.iter().zip(&expected.pairs) {
            assert_eq!(
                (name(&pair.first), name(&pair.second)),
                (judged_names[expected.first].to_owned(), judged_names[expected.second].to_owned())
            );
            assert_eq!((pair.difference, pair.interval), (expected.difference, expected.interval));
            assert_eq!((pair.p_value, pair.adjusted), (expected.p_value, expected.adjusted));
        }
        assert_eq!(names(&pairs.left_out), small_and_absent());

        let disparity = groups.disparity_interval(LabelMetric::Recall, &options).unwrap();
        let expected = fairness::disparity_interval(&rates(&judged, LabelMetric::Recall), &options).unwrap();
        assert_eq!((disparity.value, disparity.corrected), (expected.value, expected.corrected));
        assert_eq!(disparity.interval, expected.interval);
        assert_eq!(disparity.lowest.as_ref().map(name), Some("group=b".to_owned()));
        assert_eq!(disparity.highest.as_ref().map(name), Some("group=d".to_owned()));
        assert_eq!(names(&disparity.left_out), with_undefined());

        let text = serde_json::to_string(&(&pairs, &disparity)).unwrap();
        assert!(text.contains(r#""category":"d""#) && text.contains(r#""reason":"too_small""#));
        type Read = (PairwiseDifferences<Group, LeftOut>, DisparityInterval<Group, LeftOut>);
        assert_eq!(serde_json::from_str::<Read>(&text).unwrap(), (pairs, disparity));
    }
}

#[test]
fn who_is_too_small_absent_or_undefined_keeps_a_pass_away_but_not_a_fail() {
    let options = ParityOptions::default();
    let alike = cells(900, 300, 100, 2_700);
    let decide = |all: &[Confusion], categories: &[&str]| {
        let groups = metrics(all, categories, &FairnessOptions::default());
        groups.difference_within(LabelMetric::Recall, 0.1, &options).unwrap()
    };
    let whole = decide(&[alike, alike], &["a", "b"]);
    assert_eq!((whole.verdict, whole.left_out.len()), (Verdict::Pass, 0));
    for (other, reason) in [
        (cells(9, 0, 0, 0), LeftOutReason::TooSmall),
        (cells(0, 0, 0, 0), LeftOutReason::Absent),
        (cells(0, 30, 0, 270), LeftOutReason::Undefined),
    ] {
        let decision = decide(&[alike, other, alike], &["a", "x", "b"]);
        assert_eq!(decision.verdict, Verdict::Insufficient, "{reason:?}");
        assert_eq!(names(&decision.left_out), [("group=x".to_owned(), other.rows(), reason)]);
        let apart = cells(100, 300, 900, 2_700);
        let decision = decide(&[alike, other, apart], &["a", "x", "b"]);
        assert_eq!(decision.verdict, Verdict::Fail, "{reason:?}");
        let pair = decision.deciding.unwrap();
        assert_eq!((name(&pair.first), name(&pair.second)), ("group=a".to_owned(), "group=b".to_owned()));
    }
    // Nobody is judged.
    let nobody = decide(&[cells(1, 1, 1, 1), cells(2, 0, 0, 0)], &["a", "b"]);
    assert_eq!((nobody.verdict, nobody.deciding, nobody.left_out.len()), (Verdict::Insufficient, None, 2));
}

#[test]
fn ratios_and_odds_are_decided_by_name() {
    let (all, groups) = example();
    let options = ParityOptions::default();
    let judged = [all[0], all[1], all[3], all[4], Confusion::default()];
    let judged_names = ["group=a", "group=b", "group=d", "group=e"];
    let check = |decision: &ParityDecision<Group, LeftOut>, expected: &ParityDecision| {
        assert_eq!(decision.verdict, expected.verdict);
        let (pair, expected_pair) = (decision.deciding.as_ref().unwrap(), expected.deciding.unwrap());
        assert_eq!(pair.interval, expected_pair.interval);
        assert_eq!(name(&pair.first), judged_names[expected_pair.first]);
        let more = decision.more.as_ref().map(|more| (name(&more.group), more.trials));
        assert_eq!(more, expected.more.map(|more| (judged_names[more.group].to_owned(), more.trials)));
    };
    let ratio = groups.ratio_within(LabelMetric::SelectionRate, 0.8, &options).unwrap();
    check(
        &ratio,
        &fairness::ratio_within(&rates(&judged, LabelMetric::SelectionRate), 0.8, &options).unwrap(),
    );
    assert_eq!(names(&ratio.left_out), small_and_absent());
    let odds = groups.odds_within(0.4, &options).unwrap();
    let expected = fairness::odds_within(&judged, 0.4, &options).unwrap();
    assert_eq!(odds.verdict, expected.verdict);
    check(&odds.true_positive_rate, &expected.true_positive_rate);
    check(&odds.false_positive_rate, &expected.false_positive_rate);
    assert_eq!(names(&odds.true_positive_rate.left_out), with_undefined());
    let text = serde_json::to_string(&odds).unwrap();
    assert_eq!(serde_json::from_str::<OddsDecision<Group, LeftOut>>(&text).unwrap(), odds);
    for bad in [0.0, f64::NAN, 1.5] {
        assert!(groups.difference_within(LabelMetric::Recall, bad, &options).is_err());
        assert!(
            groups.odds_within(bad, &options).is_err()
                && groups.ratio_within(LabelMetric::Recall, bad, &options).is_err()
        );
    }
}

#[test]
fn many_groups_that_are_not_judged_do_not_hinder_a_comparison() {
    // More than can be paired, two of which are judged.
    let mut all = vec![cells(1, 1, 1, 1); 1_500];
    (all[3], all[700]) = (cells(50, 50, 50, 50), cells(40, 60, 60, 40));
    let categories: Vec<String> = (0..1_500).map(|code| format!("{code:04}")).collect();
    let categories: Vec<&str> = categories.iter().map(String::as_str).collect();
    let groups = metrics(&all, &categories, &FairnessOptions::default());
    let pairs = groups.pairwise_differences(LabelMetric::Recall, &PairwiseOptions::new(1)).unwrap();
    assert_eq!((pairs.pairs.len(), pairs.left_out.len()), (1, 1_498));
    assert_eq!(name(&pairs.pairs[0].second), "group=0700");
    let order: Vec<String> = pairs.left_out.iter().map(|left| name(&left.group)).collect();
    assert!(order.is_sorted());
}

#[test]
fn combinations_nobody_belongs_to_are_not_missed() {
    let n = 2_000;
    let (sex, age): (Vec<u32>, Vec<u32>) = (0..3 * n).map(|row| [(0, 0), (0, 1), (1, 0)][row % 3]).unzip();
    let y_pred: Vec<bool> = (0..3 * n).map(|row| row / 3 % 2 == 0).collect();
    let features = [
        SensitiveFeature::new("sex", &sex, ["f", "m"]),
        SensitiveFeature::new("age", &age, ["old", "young"]),
    ];
    let groups = GroupMetrics::of(&y_pred, &y_pred, &features, &FairnessOptions::default()).unwrap();
    let decision =
        groups.difference_within(LabelMetric::SelectionRate, 0.1, &ParityOptions::default()).unwrap();
    assert_eq!((decision.verdict, decision.left_out.len()), (Verdict::Pass, 0));
    assert_eq!(groups.structured_rates(LabelMetric::SelectionRate).unwrap().groups.len(), 3);
}

#[test]
fn weights_and_metrics_that_are_no_shares_are_refused() {
    let (codes, y_true, y_pred) = spelled(&[cells(10, 10, 10, 10), cells(10, 10, 10, 10)]);
    let group = [SensitiveFeature::new("group", &codes, ["a", "b"])];
    let ones = vec![1.0; codes.len()];
    let options = FairnessOptions::default();
    let weighted = GroupMetrics::weighted(&y_true, &y_pred, &ones, &group, &options).unwrap();
    let unsupported = |result: Result<(), StatsError>| matches!(result, Err(StatsError::Unsupported { .. }));
    let recall = LabelMetric::Recall;
    assert!(unsupported(weighted.disparity_test(recall, &DisparityTestOptions::new(1)).map(drop)));
    assert!(unsupported(weighted.homogeneity_test(recall, HomogeneityMethod::Pearson).map(drop)));
    assert!(unsupported(weighted.odds_test(&DisparityTestOptions::new(1)).map(drop)));
    assert!(unsupported(weighted.pairwise_differences(recall, &PairwiseOptions::new(1)).map(drop)));
    assert!(unsupported(weighted.disparity_interval(recall, &PairwiseOptions::new(1)).map(drop)));
    assert!(unsupported(weighted.difference_within(recall, 0.1, &ParityOptions::default()).map(drop)));
    assert!(unsupported(weighted.ratio_within(recall, 0.8, &ParityOptions::default()).map(drop)));
    assert!(unsupported(weighted.odds_within(0.1, &ParityOptions::default()).map(drop)));
    assert!(unsupported(weighted.bootstrap(&BootstrapOptions::new(1)).map(drop)));
    assert!(unsupported(weighted.shrunken_rates(recall, PriorFit::Moments, 0.95).map(drop)));
    assert!(unsupported(weighted.structured_rates(recall).map(drop)));
    let counted = GroupMetrics::of(&y_true, &y_pred, &group, &options).unwrap();
    assert!(unsupported(counted.disparity_test(LabelMetric::Mcc, &DisparityTestOptions::new(1)).map(drop)));
    assert!(unsupported(counted.shrunken_rates(LabelMetric::F1, PriorFit::Moments, 0.95).map(drop)));
}

#[test]
fn the_bootstrap_is_that_of_the_judged_cells() {
    let (all, groups) = example();
    let judged = [all[0], all[1], all[3], all[4]];
    let options = BootstrapOptions::new(9).with_resamples(400).with_threads(Threads::new(2));
    let bootstrap = groups.bootstrap(&options).unwrap();
    assert_eq!(
        bootstrap.groups().iter().map(name).collect::<Vec<_>>(),
        ["group=a", "group=b", "group=d", "group=e"]
    );
    assert_eq!(names(bootstrap.left_out()), small_and_absent());
    let alone = CellBootstrap::of(&judged, &options).unwrap();
    assert!(alone.resamples().eq(bootstrap.cells().resamples()));

    let f1 = LabelMetric::F1;
    let estimates = bootstrap.by_group(f1, 0.9, BootstrapInterval::Bca).unwrap();
    for (index, estimate) in estimates.iter().enumerate() {
        let of = |cells: &[Confusion]| f1.from_counts(cells[index]).value();
        assert_eq!(estimate.estimate, alone.estimate(0.9, BootstrapInterval::Bca, of).unwrap());
        assert_eq!(
            estimate.estimate.value.value(),
            groups.by_group(f1).get(&[["a", "b", "d", "e"][index]]).unwrap().value.value()
        );
    }
    // e has no recall, so it is left out of the difference and named.
    let apart = bootstrap.difference(LabelMetric::Recall, 0.9, BootstrapInterval::Percentile).unwrap();
    assert_eq!(apart.estimate.value, groups.equal_opportunity_difference().value);
    assert_eq!(names(&apart.left_out).len(), 3);
    assert!(apart.left_out.iter().any(|left| left.reason == LeftOutReason::Undefined));
    let ratio = bootstrap.ratio(LabelMetric::Recall, 0.9, BootstrapInterval::Percentile).unwrap();
    assert_eq!(ratio.estimate.value, groups.equal_opportunity_ratio().value);
    assert!(bootstrap.ratio(LabelMetric::Mcc, 0.9, BootstrapInterval::Percentile).is_err());
    // A rate 0/0 that counts as 0 does so in the resamples, too.
    let zero =
        groups.with_options(&FairnessOptions::default().with_zero_division(ZeroDivision::Zero)).unwrap();
    let apart =
        zero.bootstrap(&options).unwrap().difference(LabelMetric::Recall, 0.9, BootstrapInterval::Percentile);
    assert_eq!(apart.unwrap().estimate.value, zero.equal_opportunity_difference().value);
}

#[test]
fn small_groups_take_part_in_shrinkage() {
    let (all, groups) = example();
    let rate = LabelMetric::SelectionRate;
    let shrunken = groups.shrunken_rates(rate, PriorFit::Moments, 0.9).unwrap();
    let with_absent = [&all[..], &[Confusion::default()]].concat();
    let prior = fairness::BetaPrior::fit(&rates(&with_absent, rate), PriorFit::Moments).unwrap();
    assert_eq!(shrunken.prior, prior);
    for (group, rate) in shrunken.groups.iter().zip(rates(&with_absent, rate)) {
        assert_eq!((group.rate, group.shrunken), (rate, prior.shrink(rate, 0.9).unwrap()));
    }
    assert_eq!(shrunken.groups.len(), 6);
    let absent = &shrunken.groups[5];
    assert_eq!((name(&absent.group), absent.shrunken.shrinkage), ("group=f".to_owned(), 1.0));
    assert!((absent.shrunken.value - prior.mean).abs() < 1e-12);
}

#[test]
fn main_effects_are_those_of_the_features() {
    let mut random = Random::new(8);
    let (mut sex, mut age, mut y_pred) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..3_000_u32 {
        let (s, a) = (row % 2, row / 2 % 3);
        sex.push(s);
        age.push(a);
        y_pred.push(random.next_f64() < 0.3 + 0.2 * f64::from(s) + 0.1 * f64::from(a));
    }
    let features = [
        SensitiveFeature::new("sex", &sex, ["f", "m"]),
        SensitiveFeature::new("age", &age, ["young", "middle", "old"]),
    ];
    let groups = GroupMetrics::of(&y_pred, &y_pred, &features, &FairnessOptions::default()).unwrap();
    let named = groups.structured_rates(LabelMetric::SelectionRate).unwrap();
    let rates = rates(groups.confusions().unwrap(), LabelMetric::SelectionRate);
    let codes = [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]];
    let fit = fairness::structured_rates(&rates, &codes, &[2, 3]).unwrap();
    assert_eq!(named.groups.iter().map(|group| group.additive).collect::<Vec<_>>(), fit.additive);
    assert_eq!(named.groups.iter().map(|group| group.value).collect::<Vec<_>>(), fit.values);
    assert_eq!((named.statistic, named.degrees_of_freedom, named.p_value), (fit.statistic, 2, fit.p_value));
    assert_eq!(name(&named.groups[5].group), "sex=m & age=old");
    // The truth is additive: every value lies within five standard errors of it.
    for (group, [s, a]) in named.groups.iter().zip(codes) {
        let truth = 0.3 + 0.2 * s as f64 + 0.1 * a as f64;
        assert!((group.value - truth).abs() < 5.0 * (0.25 / 500.0_f64).sqrt(), "{group:?}");
    }
}

#[test]
fn every_stratum_is_decided_by_itself() {
    let n = 6_000_u32;
    let rows: Vec<(u32, u32)> = (0..n).map(|row| (row % 2, row / 2 % 3)).collect();
    let (sex, site): (Vec<u32>, Vec<u32>) = rows.iter().copied().unzip();
    // In the second site one sex is selected, the other is not; nobody is in the fourth.
    let labels: Vec<bool> = rows
        .iter()
        .enumerate()
        .map(|(row, (sex, site))| if *site == 1 { *sex == 0 } else { row / 6 % 2 == 0 })
        .collect();
    let sex = [SensitiveFeature::new("sex", &sex, ["f", "m"])];
    let site = [SensitiveFeature::new("site", &site, ["one", "two", "three", "four"])];
    let metrics: [Metric; 1] = ["selection_rate".parse().unwrap()];
    let input = Input::binary(&labels).with_labels(&labels);
    let frame = MetricFrame::of(&input, &metrics, &sex, &site, &FairnessOptions::default()).unwrap();
    let options = ParityOptions::default();
    let decided = frame
        .in_strata(|groups| groups.difference_within(LabelMetric::SelectionRate, 0.1, &options))
        .unwrap();
    let verdicts: Vec<_> =
        decided.iter().map(|stratum| (stratum.control.to_string(), stratum.result.verdict)).collect();
    assert_eq!(
        verdicts,
        [
            ("site=one".to_owned(), Verdict::Pass),
            ("site=two".to_owned(), Verdict::Fail),
            ("site=three".to_owned(), Verdict::Pass),
            ("site=four".to_owned(), Verdict::Insufficient),
        ]
    );
    for (stratum, alone) in decided.iter().zip(frame.group_metrics().unwrap()) {
        let alone = alone.metrics.difference_within(LabelMetric::SelectionRate, 0.1, &options).unwrap();
        assert_eq!(stratum.result, alone);
    }
    let scores_only: [Metric; 1] = ["roc_auc".parse().unwrap()];
    let scores = vec![0.5; labels.len()];
    let input = Input::binary(&labels).with_scores(&scores);
    let frame = MetricFrame::of(&input, &scores_only, &sex, &site, &FairnessOptions::default()).unwrap();
    assert!(frame.in_strata(|groups| groups.odds_within(0.1, &options)).is_err());
}

#[test]
fn shares_have_the_interval_that_was_chosen() {
    let (all, groups) = example();
    for method in [
        RateInterval::Wilson,
        RateInterval::ClopperPearson,
        RateInterval::Jeffreys,
        RateInterval::AgrestiCoull,
        RateInterval::MidP,
    ] {
        let options = FairnessOptions::default().with_rate_interval(method).with_confidence(0.9);
        let recall = groups.clone().with_options(&options).unwrap().by_group(LabelMetric::Recall);
        for (group, cells) in recall.groups.iter().zip(&all) {
            let rate = Rate::of(LabelMetric::Recall, cells).unwrap();
            let expected = (rate.trials() > 0).then(|| rate_interval(rate, 0.9, method).unwrap());
            assert_eq!(group.interval, expected, "{method:?}");
        }
    }
    // Options that were written before there was a choice have Wilson's.
    let text = serde_json::to_string(&FairnessOptions::default()).unwrap();
    let old = text.replace(r#","rate_interval":"wilson""#, "");
    assert_ne!(old, text);
    assert_eq!(serde_json::from_str::<FairnessOptions>(&old).unwrap(), FairnessOptions::default());
}

#[test]
fn calibration_of_groups_is_that_of_their_rows() {
    let mut random = Random::new(21);
    let n = 600;
    let scores: Vec<f64> = (0..n).map(|_| (1.0 + (random.next_f64() * 48.0).round()) / 50.0).collect();
    let y_true: Vec<bool> = scores.iter().map(|score| random.next_f64() < *score).collect();
    let weights: Vec<f64> = (0..n).map(|row| (row % 4) as f64 * 0.5).collect();
    let codes: Vec<u32> = (0..n as u32).map(|row| row % 3).collect();
    let group = [SensitiveFeature::new("group", &codes, ["a", "b", "c"])];
    let metrics: [Metric; 1] = ["roc_auc".parse().unwrap()];
    for weights in [None, Some(&weights[..])] {
        let mut input = Input::binary(&y_true).with_scores(&scores);
        if let Some(weights) = weights {
            input = input.with_weights(weights);
        }
        let frame = MetricFrame::of(&input, &metrics, &group, &[], &FairnessOptions::default()).unwrap();
        let of = |code: u32| {
            let rows: Vec<usize> = (0..n).filter(|row| codes[*row] == code).collect();
            let y: Vec<bool> = rows.iter().map(|row| y_true[*row]).collect();
            let p: Vec<f64> = rows.iter().map(|row| scores[*row]).collect();
            (y, p, weights.map(|weights| rows.iter().map(|row| weights[*row]).collect::<Vec<f64>>()))
        };
        // Edges of three and of 50 bins fall where i/n and i·(1/n) differ, and where scores lie.
        for bins in [1, 3, 10, 50] {
            let gaps = &frame.calibration_gap(bins).unwrap()[0].by_group;
            let options = CalibrationOptions::default().with_binning(Binning::Uniform(bins));
            for (code, gap) in (0..).zip(&gaps.groups) {
                let (y, p, w) = of(code);
                let expected = calibration_curve_with(&y, &p, w.as_deref(), &options).unwrap().ece();
                assert!((gap.value.value().unwrap() - expected).abs() < 1e-14, "{bins}");
            }
            let whole = calibration_curve_with(&y_true, &scores, weights, &options).unwrap().ece();
            assert!((gaps.overall.value().unwrap() - whole).abs() < 1e-14);
        }
        for &metric in CalibrationMetric::ALL {
            let by_group = &frame.calibration(metric).unwrap()[0].by_group;
            for (code, value) in (0..).zip(&by_group.groups) {
                let (y, p, w) = of(code);
                let expected = metric.evaluate(&y, &p, w.as_deref()).unwrap();
                match (value.value.value(), expected.value()) {
                    (Some(got), Some(expected)) => {
                        assert!(
                            (got - expected).abs() <= 1e-9 * expected.abs().max(1.0),
                            "{metric}: {got} {expected}"
                        );
                    }
                    (got, expected) => assert_eq!(got, expected, "{metric}"),
                }
            }
        }
    }
}
