//! How often intervals cover and tests reject, counted exactly where all outcomes can be listed, and simulated with fixed seeds
//! elsewhere. A simulated count is held against the exact binomial law of what it should be: one that would be met 99.99 times
//! in 100.

use mlops_core::evaluation::Verdict;
use mlops_core::num::Random;
use mlops_core::num::sample::Draws;
use mlops_core::num::special::Binomial;
use mlops_eval::classification::{Confusion, LabelMetric};
use mlops_eval::fairness::{
    BootstrapInterval, BootstrapOptions, CellBootstrap, DisparityStatistic, DisparityTestOptions,
    HomogeneityMethod, PairwiseOptions, ParityOptions, Simultaneous, difference_within, disparity_interval,
    disparity_test, homogeneity_test, odds_test, odds_within, pairwise_differences, ratio_within,
};
use mlops_eval::interval::{
    DifferenceInterval, Interval, MeanInterval, Rate, RateInterval, RatioInterval, difference_interval,
    mean_interval, rate_interval, ratio_interval,
};

/// The chance that a correct procedure fails a comparison here.
const SLACK: f64 = 1e-4;

/// So many of `trials` are not too many for something that happens with a probability of at most `most`.
#[track_caller]
fn not_more_often(context: &str, count: u64, trials: u64, most: f64) {
    let ln_p = Binomial { trials, probability: most }.ln_above(count);
    assert!(ln_p > SLACK.ln(), "{context}: {count} of {trials} is more often than {most}");
}

/// So many of `trials` are not too few for something that happens with a probability of at least `least`.
#[track_caller]
fn not_less_often(context: &str, count: u64, trials: u64, least: f64) {
    let ln_p = Binomial { trials, probability: least }.ln_below(count);
    assert!(ln_p > SLACK.ln(), "{context}: {count} of {trials} is less often than {least}");
}

fn rate(k: u64, n: u64) -> Rate {
    Rate::new(k, n).unwrap()
}

fn draws(name: &str) -> Draws {
    Draws::new(Random::new(2026).stream(name))
}

fn draw(draws: &mut Draws, groups: &[(u64, f64)]) -> Vec<Rate> {
    groups.iter().map(|(n, p)| rate(draws.binomial(*n, *p), *n)).collect()
}

/// P(X = k) for all k.
fn binomial(n: u64, p: f64) -> Vec<f64> {
    let at_least = |k| Binomial { trials: n, probability: p }.ln_above(k).exp();
    (0..=n).map(|k| at_least(k) - at_least(k + 1)).collect()
}

fn inside(interval: &Interval, value: f64) -> bool {
    interval.lower - 1e-12 <= value && value <= interval.upper + 1e-12
}

/// The least and the mean coverage over rates of 0.5 %, 1.5 %, … 99.5 %, by adding up all outcomes.
fn coverage_of_rate(n: u64, confidence: f64, method: RateInterval) -> (f64, f64) {
    let intervals: Vec<Interval> =
        (0..=n).map(|k| rate_interval(rate(k, n), confidence, method).unwrap()).collect();
    let coverages: Vec<f64> = (0..100)
        .map(|i| {
            let p = (f64::from(i) + 0.5) / 100.0;
            binomial(n, p)
                .iter()
                .zip(&intervals)
                .filter(|(_, interval)| inside(interval, p))
                .map(|(q, _)| q)
                .sum()
        })
        .collect();
    let least = coverages.iter().copied().fold(1.0, f64::min);
    (least, coverages.iter().sum::<f64>() / 100.0)
}

#[test]
fn the_exact_interval_of_a_rate_never_covers_less_than_it_says() {
    for n in [1, 3, 10, 40, 200] {
        for confidence in [0.8, 0.95, 0.99] {
            let (least, _) = coverage_of_rate(n, confidence, RateInterval::ClopperPearson);
            assert!(least >= confidence - 1e-12, "{n} {confidence}: {least}");
        }
    }
}

#[test]
fn the_other_intervals_of_a_rate_cover_about_as_often_as_they_say() {
    for (method, below, mean_below) in [
        (RateInterval::Wilson, 0.12, 0.008),
        (RateInterval::Jeffreys, 0.12, 0.008),
        (RateInterval::AgrestiCoull, 0.06, 0.0),
        // At 200 rows 0.918961 at least and 0.949242 on average, also by limits from SciPy 1.17.1's `binom`.
        (RateInterval::MidP, 0.032, 0.001),
    ] {
        for n in [5, 10, 40, 200] {
            let (least, mean) = coverage_of_rate(n, 0.95, method);
            println!("{method:?} n={n}: least {least:.4} mean {mean:.4}");
            assert!(least >= 0.95 - below, "{method:?} {n}: least {least}");
            assert!((0.95 - mean_below..0.99).contains(&mean), "{method:?} {n}: mean {mean}");
        }
    }
}

/// The least and the mean coverage of a difference or ratio over a grid of pairs of rates, by adding up all outcomes.
fn coverage_of_pair(
    (n1, n2): (u64, u64),
    interval: impl Fn(Rate, Rate) -> Interval,
    target: impl Fn(f64, f64) -> f64,
) -> (f64, f64) {
    let intervals: Vec<Vec<Interval>> =
        (0..=n1).map(|k1| (0..=n2).map(|k2| interval(rate(k1, n1), rate(k2, n2))).collect()).collect();
    let (mut least, mut sum, mut cases) = (1.0_f64, 0.0, 0.0);
    for i in 0..12 {
        for j in 0..12 {
            let (p1, p2) = ((f64::from(i) + 0.37) / 12.0, (f64::from(j) + 0.61) / 12.0);
            let (first, second) = (binomial(n1, p1), binomial(n2, p2));
            let mut covered = 0.0;
            for (row, q1) in intervals.iter().zip(&first) {
                for (interval, q2) in row.iter().zip(&second) {
                    covered += if inside(interval, target(p1, p2)) { q1 * q2 } else { 0.0 };
                }
            }
            least = least.min(covered);
            sum += covered;
            cases += 1.0;
        }
    }
    (least, sum / cases)
}

#[test]
fn intervals_of_differences_cover_about_as_often_as_they_say() {
    for (method, below) in [
        (DifferenceInterval::MiettinenNurminen, 0.05),
        (DifferenceInterval::Newcombe, 0.08),
        (DifferenceInterval::AgrestiCaffo, 0.04),
    ] {
        for sizes in [(5, 5), (10, 25), (30, 30)] {
            let of = |a, b| difference_interval(a, b, 0.95, method).unwrap();
            let (least, mean) = coverage_of_pair(sizes, of, |p1, p2| p1 - p2);
            println!("{method:?} {sizes:?}: least {least:.4} mean {mean:.4}");
            assert!(least >= 0.95 - below, "{method:?} {sizes:?}: least {least}");
            assert!((0.945..0.985).contains(&mean), "{method:?} {sizes:?}: mean {mean}");
        }
    }
    // What the default is there to avoid.
    let wald = |a, b| difference_interval(a, b, 0.95, DifferenceInterval::Wald).unwrap();
    assert!(coverage_of_pair((5, 5), wald, |p1, p2| p1 - p2).0 < 0.6);
}

#[test]
fn intervals_of_ratios_cover_about_as_often_as_they_say() {
    for method in
        [RatioInterval::Koopman, RatioInterval::MiettinenNurminen, RatioInterval::Katz, RatioInterval::Walter]
    {
        for sizes in [(10, 25), (30, 30)] {
            let of = |a, b| ratio_interval(a, b, 0.95, method).unwrap();
            let (least, mean) = coverage_of_pair(sizes, of, |p1, p2| p1 / p2);
            println!("{method:?} {sizes:?}: least {least:.4} mean {mean:.4}");
            let below = match method {
                RatioInterval::Koopman | RatioInterval::MiettinenNurminen => 0.05,
                // They collapse where all rows succeed.
                _ => 0.25,
            };
            assert!(least >= 0.95 - below, "{method:?} {sizes:?}: least {least}");
            assert!((0.93..0.99).contains(&mean), "{method:?} {sizes:?}: mean {mean}");
        }
    }
}

/// Sums of two uniform numbers: not normal, but near.
#[test]
fn intervals_of_means_cover_as_often_as_they_say() {
    let mut draws = draws("means");
    for n in [4, 12, 60] {
        let mut covered = 0;
        for _ in 0..2_000 {
            let values: Vec<f64> = (0..n).map(|_| draws.next_f64() + draws.next_f64()).collect();
            let interval = mean_interval(&values, 0.95, MeanInterval::StudentT).unwrap();
            covered += u64::from(interval.contains(1.0));
        }
        not_less_often(&format!("{n} values"), covered, 2_000, 0.945);
        not_more_often(&format!("{n} values"), covered, 2_000, 0.96);
    }
}

/// Sizes and rates of alike groups: even, uneven, tiny, rare.
fn alike() -> [Vec<(u64, f64)>; 4] {
    [
        vec![(100, 0.3); 5],
        vec![(1_000, 0.2), (400, 0.2), (60, 0.2), (25, 0.2), (12, 0.2), (9, 0.2)],
        vec![(3, 0.5), (4, 0.5), (5, 0.5), (200, 0.5)],
        vec![(500, 0.01); 8],
    ]
}

#[test]
fn permutation_tests_of_alike_groups_keep_their_size() {
    for (case, groups) in alike().iter().enumerate() {
        for statistic in [DisparityStatistic::Difference, DisparityStatistic::Pearson] {
            let name = format!("size {case} {statistic:?}");
            let mut draws = draws(&name);
            let mut rejected = 0;
            for seed in 0..400 {
                let options = DisparityTestOptions::new(seed).with_resamples(199).with_statistic(statistic);
                let p = disparity_test(&draw(&mut draws, groups), &options).unwrap().p_value.value().unwrap();
                rejected += u64::from(p <= 0.05);
            }
            println!("{name}: {rejected} of 400");
            not_more_often(&name, rejected, 400, 0.05);
            if case == 0 {
                // Many rows, few ties: near its level, too.
                not_less_often(&name, rejected, 400, 0.03);
            }
        }
    }
}

#[test]
fn chi_square_tests_of_large_alike_groups_keep_their_size() {
    for method in [HomogeneityMethod::Pearson, HomogeneityMethod::LikelihoodRatio] {
        let name = format!("{method:?}");
        let mut draws = draws(&name);
        let mut rejected = 0;
        for _ in 0..4_000 {
            let test = homogeneity_test(&draw(&mut draws, &[(500, 0.3); 6]), method).unwrap();
            rejected += u64::from(test.p_value.value().unwrap() <= 0.05);
        }
        not_more_often(&name, rejected, 4_000, 0.055);
        not_less_often(&name, rejected, 4_000, 0.045);
    }
}

fn odds_groups(draws: &mut Draws, groups: &[(u64, f64, u64, f64)]) -> Vec<Confusion> {
    let mut one = |(positives, tpr, negatives, fpr): &(u64, f64, u64, f64)| {
        let (tp, fp) = (draws.binomial(*positives, *tpr), draws.binomial(*negatives, *fpr));
        Confusion {
            true_positives: tp,
            false_negatives: positives - tp,
            false_positives: fp,
            true_negatives: negatives - fp,
        }
    };
    groups.iter().map(&mut one).collect()
}

#[test]
fn the_odds_test_keeps_its_size_with_rare_positives_and_finds_what_is_there() {
    let mut draws = draws("odds");
    let (mut rejected, mut found) = (0, 0);
    for seed in 0..300 {
        let options = DisparityTestOptions::new(seed).with_resamples(199);
        let rejects =
            |cells: &[Confusion]| odds_test(cells, &options).unwrap().p_value.value().unwrap() <= 0.05;
        let alike = odds_groups(&mut draws, &[(15, 0.7, 400, 0.1), (30, 0.7, 300, 0.1), (8, 0.7, 200, 0.1)]);
        rejected += u64::from(rejects(&alike));
        let apart = odds_groups(&mut draws, &[(100, 0.7, 400, 0.1), (100, 0.4, 400, 0.1)]);
        found += u64::from(rejects(&apart));
    }
    not_more_often("odds", rejected, 300, 0.05);
    not_less_often("odds", found, 300, 0.9);
}

#[test]
fn simultaneous_intervals_hold_together_as_often_as_they_say() {
    let apart = vec![(80, 0.2), (150, 0.35), (40, 0.5), (300, 0.25), (25, 0.8)];
    for (case, groups) in alike().into_iter().chain([apart]).enumerate() {
        for family in [Simultaneous::Bonferroni, Simultaneous::Sidak, Simultaneous::MaxT] {
            let name = format!("pairs {case} {family:?}");
            let mut draws = draws(&name);
            let (mut held, mut disparity_held) = (0, 0);
            let truths: Vec<f64> = groups.iter().map(|(_, p)| *p).collect();
            let disparity =
                truths.iter().copied().fold(0.0, f64::max) - truths.iter().copied().fold(1.0, f64::min);
            for seed in 0..300 {
                let rates = draw(&mut draws, &groups);
                let options = PairwiseOptions::new(seed).with_family(family).with_resamples(199);
                let all = pairwise_differences(&rates, &options).unwrap();
                let covers = all
                    .pairs
                    .iter()
                    .all(|pair| inside(&pair.interval, truths[pair.first] - truths[pair.second]));
                held += u64::from(covers);
                let interval = disparity_interval(&rates, &options).unwrap().interval.unwrap();
                disparity_held += u64::from(inside(&interval, disparity));
            }
            println!("{name}: pairs {held}, disparity {disparity_held} of 300");
            not_less_often(&name, held, 300, 0.94);
            not_less_often(&name, disparity_held, 300, 0.94);
        }
    }
}

#[test]
fn the_bootstrap_of_a_largest_difference_never_covers_zero_and_the_pairwise_interval_does() {
    let mut draws = draws("alike");
    let (mut bootstrap_covers, mut pairwise_covers) = (0, 0);
    let (mut plain, mut corrected) = (0.0, 0.0);
    for seed in 0..100 {
        let rates = draw(&mut draws, &[(100, 0.3); 5]);
        let cells: Vec<Confusion> = rates
            .iter()
            .map(|rate| Confusion {
                true_positives: rate.successes(),
                true_negatives: rate.trials() - rate.successes(),
                ..Default::default()
            })
            .collect();
        let bootstrap = CellBootstrap::of(&cells, &BootstrapOptions::new(seed).with_resamples(400)).unwrap();
        let difference = |cells: &[Confusion]| {
            let rates = cells.iter().map(|cells| LabelMetric::SelectionRate.from_counts(cells).value());
            let rates: Vec<f64> = rates.collect::<Option<_>>()?;
            Some(rates.iter().copied().fold(0.0, f64::max) - rates.iter().copied().fold(1.0, f64::min))
        };
        let estimate = bootstrap.estimate(0.95, BootstrapInterval::Percentile, difference).unwrap();
        bootstrap_covers += u64::from(estimate.interval.unwrap().contains(0.0));
        let disparity = disparity_interval(&rates, &PairwiseOptions::new(seed).with_resamples(400)).unwrap();
        pairwise_covers += u64::from(disparity.interval.unwrap().contains(0.0));
        plain += disparity.value.value().unwrap() / 100.0;
        corrected += disparity.corrected.value().unwrap() / 100.0;
    }
    assert_eq!(bootstrap_covers, 0);
    not_less_often("pairwise", pairwise_covers, 100, 0.95);
    // All groups are alike, so all of it is bias; the correction takes at least a third.
    assert!(corrected < 0.67 * plain, "{corrected} {plain}");
}

#[test]
fn bootstrap_intervals_of_a_difference_cover_about_as_often_as_they_say() {
    for (method, least) in [
        (BootstrapInterval::Percentile, 0.92),
        (BootstrapInterval::Basic, 0.92),
        (BootstrapInterval::Bca, 0.92),
    ] {
        let name = format!("bootstrap {method:?}");
        let mut draws = draws(&name);
        let mut covered = 0;
        for seed in 0..400 {
            let cells = odds_groups(&mut draws, &[(80, 0.7, 120, 0.1), (60, 0.5, 90, 0.2)]);
            let bootstrap =
                CellBootstrap::of(&cells, &BootstrapOptions::new(seed).with_resamples(400)).unwrap();
            let recall = |cells: &Confusion| LabelMetric::Recall.from_counts(cells).value();
            let estimate = bootstrap
                .estimate(0.95, method, |cells| Some(recall(&cells[0])? - recall(&cells[1])?))
                .unwrap();
            covered += u64::from(inside(&estimate.interval.unwrap(), 0.2));
        }
        println!("{name}: {covered} of 400");
        not_less_often(&name, covered, 400, least);
        not_more_often(&name, covered, 400, 0.97);
    }
}

#[test]
fn a_wrong_pass_or_fail_is_as_rare_as_it_should_be() {
    let options = ParityOptions::default();
    let count = |name: &str, groups: &[(u64, f64)], decide: &dyn Fn(&[Rate]) -> Verdict, verdict| {
        let mut draws = draws(name);
        let wrong = (0..1_000).filter(|_| decide(&draw(&mut draws, groups)) == verdict).count() as u64;
        println!("{name}: {wrong} of 1000");
        wrong
    };
    let difference = |rates: &[Rate]| difference_within(rates, 0.1, &options).unwrap().verdict;
    let ratio = |rates: &[Rate]| ratio_within(rates, 0.8, &options).unwrap().verdict;
    // On the margin, where a pass and a fail are both wrong and both likeliest.
    for (case, groups) in [
        vec![(500, 0.4), (500, 0.5)],
        vec![(500, 0.4), (500, 0.5), (2_000, 0.45)],
        vec![(3_000, 0.40), (3_000, 0.5), (2_000, 0.43), (2_000, 0.47), (900, 0.45)],
        vec![(400, 0.001), (150, 0.101)],
    ]
    .iter()
    .enumerate()
    {
        let name = format!("difference {case}");
        not_more_often(
            &name,
            count(&format!("{name} pass"), groups, &difference, Verdict::Pass),
            1_000,
            0.06,
        );
        not_more_often(
            &name,
            count(&format!("{name} fail"), groups, &difference, Verdict::Fail),
            1_000,
            0.055,
        );
    }
    for (case, groups) in
        [vec![(800, 0.4), (800, 0.5)], vec![(4_000, 0.04), (3_000, 0.05), (3_000, 0.045)]].iter().enumerate()
    {
        let name = format!("ratio {case}");
        not_more_often(&name, count(&format!("{name} pass"), groups, &ratio, Verdict::Pass), 1_000, 0.06);
        not_more_often(&name, count(&format!("{name} fail"), groups, &ratio, Verdict::Fail), 1_000, 0.055);
    }
    // Alike and large enough: shown.
    let passed = count("alike", &[(2_000, 0.4), (2_000, 0.4), (2_000, 0.4)], &difference, Verdict::Pass);
    not_less_often("alike", passed, 1_000, 0.95);
}

#[test]
fn a_wrong_pass_of_equalized_odds_is_rare_and_the_rows_it_asks_for_give_the_power() {
    let options = ParityOptions::default();
    let mut draws = draws("odds within");
    let mut wrong = 0;
    for _ in 0..600 {
        // The false positive rates are alike, the true positive rates just at the margin.
        let cells = odds_groups(&mut draws, &[(600, 0.7, 5_000, 0.1), (600, 0.8, 5_000, 0.1)]);
        wrong += u64::from(odds_within(&cells, 0.1, &options).unwrap().verdict == Verdict::Pass);
    }
    not_more_often("odds within", wrong, 600, 0.06);

    let few = [rate(50, 100), rate(50, 100), rate(1_000, 2_000)];
    let more = difference_within(&few, 0.1, &options).unwrap().more.unwrap();
    assert!(more.others_too);
    let n = 100 + more.trials;
    let passes = |rates: &[Rate]| difference_within(rates, 0.1, &options).unwrap().verdict == Verdict::Pass;
    let passed =
        (0..1_000).filter(|_| passes(&draw(&mut draws, &[(n, 0.5), (n, 0.5), (2_000, 0.5)]))).count();
    println!("power with {n}: {passed} of 1000");
    not_less_often("power", passed as u64, 1_000, 0.8);
}
