//! How often tests reject what is true and intervals cover it, by simulation with fixed seeds, held against exact binomial bounds.
//!
//! A bound is the range that a binomial count leaves with a probability below 10⁻⁴ at the nominal rate. What is known to be
//! conservative is only held to its upper bound, and says so.

use mlops_core::num::Random;
use mlops_core::num::special::Binomial;
use mlops_eval::classification::LabelMetric;
use mlops_eval::compare::*;

/// That `hits` of `runs` can come from a rate of `nominal`, or one somewhat lower where `conservative`.
#[track_caller]
fn within(hits: u64, runs: u64, nominal: f64, conservative: bool, context: &str) {
    let law = Binomial { trials: runs, probability: nominal };
    let (above, below) = (law.ln_above(hits).exp(), law.ln_below(hits).exp());
    let rate = hits as f64 / runs as f64;
    assert!(above > 1e-4, "{context}: {rate} is more than {nominal}");
    assert!(conservative || below > 1e-4, "{context}: {rate} is less than {nominal}");
}

fn normal(random: &mut Random) -> f64 {
    let (u, v) = (1.0 - random.next_f64(), random.next_f64());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// Two correlated scores of equal quality; coarse ones tie.
fn scores(
    rows: usize,
    positives: usize,
    coarse: Option<f64>,
    random: &mut Random,
) -> (Vec<bool>, [Vec<f64>; 2]) {
    let truth: Vec<bool> = (0..rows).map(|i| i < positives).collect();
    let mut columns = [Vec::new(), Vec::new()];
    for label in &truth {
        let shared = normal(random) + f64::from(u8::from(*label));
        for column in &mut columns {
            let score = shared + 0.7 * normal(random);
            column.push(coarse.map_or(score, |step| (score / step).round()));
        }
    }
    (truth, columns)
}

#[test]
fn delong_rejects_equal_models_as_often_as_it_says() {
    const RUNS: u64 = 2000;
    for (rows, positives, coarse) in [(120, 60, None), (200, 40, Some(0.8)), (400, 30, None)] {
        let root = Random::new(11).nth(rows as u64);
        let (mut rejected, mut covered) = (0, 0);
        for run in 0..RUNS {
            let (y, [a, b]) = scores(rows, positives, coarse, &mut root.nth(run));
            let test = Delong::of(&y, &[&a, &b]).unwrap().compare(0, 1, Alternative::TwoSided, 0.9).unwrap();
            rejected += u64::from(test.p.value().unwrap() <= 0.1);
            covered += u64::from(test.interval.unwrap().contains(0.0));
        }
        within(rejected, RUNS, 0.1, false, &format!("DeLong {rows} {positives} {coarse:?}"));
        assert_eq!(covered, RUNS - rejected, "the interval is the inverse of the test");
    }
}

#[test]
fn areas_near_one_are_covered_on_the_logit_scale() {
    const RUNS: u64 = 2000;
    let root = Random::new(12);
    // Normal scores 2 apart with variance 1: the area is Φ(2/√2) = 0.9214.
    let area = 0.921_350_396_474_857_4;
    let (mut logit, mut plain) = (0, 0);
    for run in 0..RUNS {
        let mut random = root.nth(run);
        let y: Vec<bool> = (0..150).map(|i| i < 40).collect();
        let s: Vec<f64> =
            y.iter().map(|label| normal(&mut random) + if *label { 2.0 } else { 0.0 }).collect();
        let areas = Delong::of(&y, &[&s]).unwrap();
        logit += u64::from(areas.logit_interval(0, 0.9).unwrap().unwrap().contains(area));
        plain += u64::from(areas.interval(0, 0.9).unwrap().unwrap().contains(area));
    }
    within(logit, RUNS, 0.9, false, "logit");
    assert!(plain < logit, "the plain interval is too short near 1: {plain} {logit}");
}

#[test]
fn rates_of_paired_counts_are_exact_sums() {
    // The law of the counts is known, so size and coverage are sums over all tables, without simulation.
    for (n, psi) in [(25_u64, 0.3), (60, 0.1), (60, 0.4), (120, 0.05)] {
        let discordant = Binomial { trials: n, probability: psi };
        let mut sizes = [0.0; 4];
        let kinds = [McnemarKind::MidP, McnemarKind::Exact, McnemarKind::ChiSquare, McnemarKind::Corrected];
        for d in 0..=n {
            let fair = Binomial { trials: d, probability: 0.5 };
            for b in 0..=d {
                let mass = (discordant.ln_pmf(d) + fair.ln_pmf(b)).exp();
                let counts = PairedCounts { both: n - d, only_first: d - b, only_second: b, neither: 0 };
                for (size, kind) in sizes.iter_mut().zip(kinds) {
                    let test = mcnemar_with(&counts, kind, Alternative::TwoSided, 0.95).unwrap();
                    *size += if test.p.value().unwrap() <= 0.05 { mass } else { 0.0 };
                }
            }
        }
        let [mid_p, exact, plain, corrected] = sizes;
        assert!(exact <= 0.05 && corrected <= 0.05, "{n} {psi}: {sizes:?}");
        // Mid-p and the uncorrected test pass their level by little: Fagerland et al. 2013 found at most 0.053.
        assert!(mid_p <= 0.0535 && plain <= 0.06 && mid_p > exact, "{n} {psi}: {sizes:?}");
    }
}

#[test]
fn intervals_of_paired_shares_cover() {
    let n = 50_u64;
    // Probabilities of only the second and only the first being right; the rest is split evenly.
    for (p, q) in [(0.15, 0.05), (0.1, 0.1), (0.04, 0.02), (0.3, 0.1), (0.02, 0.0)] {
        let (mut score, mut hybrid) = (0.0, 0.0);
        for b in 0..=n {
            let first = Binomial { trials: n, probability: p };
            for c in 0..=n - b {
                let second = Binomial { trials: n - b, probability: q / (1.0 - p) };
                let mass = (first.ln_pmf(b) + second.ln_pmf(c)).exp();
                if mass < 1e-9 {
                    continue;
                }
                let rest = n - b - c;
                let counts =
                    PairedCounts { both: rest / 2, only_first: c, only_second: b, neither: rest - rest / 2 };
                score += mass * f64::from(u8::from(tango(&counts, 0.95).unwrap().contains(p - q)));
                hybrid += mass * f64::from(u8::from(newcombe_paired(&counts, 0.95).unwrap().contains(p - q)));
            }
        }
        // Exact coverage: score intervals swing around nominal, and are conservative where hardly any row disagrees.
        assert!((0.93..=0.999).contains(&score), "Tango {p} {q}: {score}");
        assert!((0.93..=0.9999).contains(&hybrid), "Newcombe {p} {q}: {hybrid}");
    }
}

#[test]
fn tests_of_rows_keep_their_level() {
    const RUNS: u64 = 1500;
    let root = Random::new(13);
    for (case, n, step) in [("small", 9, None), ("ties", 24, Some(0.5)), ("drawn", 40, None)] {
        let mut rejected = [0_u64; 5];
        for run in 0..RUNS {
            let mut random = root.stream(case).nth(run);
            let d: Vec<f64> = (0..n)
                .map(|_| normal(&mut random))
                .map(|d| step.map_or(d, |step| (d / step).round() * step))
                .collect();
            let draws = DrawOptions::default().with_resamples(199).with_seed(run);
            let results = [
                paired_t(&d, Alternative::TwoSided, 0.95).unwrap(),
                sign_flip(&d, &draws).unwrap(),
                wilcoxon(&d).unwrap(),
                wilcoxon_with(&d, &WilcoxonOptions::default().with_law(WilcoxonLaw::Normal)).unwrap(),
                sign_test(&d, Alternative::TwoSided).unwrap(),
            ];
            rejected
                .iter_mut()
                .zip(results)
                .for_each(|(count, test)| *count += u64::from(test.p.value().unwrap() <= 0.1));
        }
        let [t, flip, exact, approximate, sign] = rejected;
        within(t, RUNS, 0.1, false, &format!("t {case}"));
        within(flip, RUNS, 0.1, case != "drawn", &format!("sign flips {case}"));
        within(exact, RUNS, 0.1, true, &format!("Wilcoxon exact {case}"));
        within(approximate, RUNS, 0.1, n < 20, &format!("Wilcoxon normal {case}"));
        within(sign, RUNS, 0.1, true, &format!("sign {case}"));
    }
}

#[test]
fn the_permutation_of_cells_keeps_its_level_with_rare_positives() {
    const RUNS: u64 = 1500;
    for (rows, prevalence) in [(200, 0.3), (300, 0.03)] {
        let root = Random::new(14).nth(rows);
        let mut rejected = [0_u64; 2];
        let mut counted = [0_u64; 2];
        for run in 0..RUNS {
            let mut random = root.nth(run);
            let mut cells = PairedCells::default();
            for _ in 0..rows {
                let positive = random.next_f64() < prevalence;
                // The same error rates for both models, errors partly shared.
                let hard = random.next_f64() < 0.2;
                let mut says = || {
                    let wrong = random.next_f64() < if hard { 0.6 } else { 0.08 };
                    usize::from(positive != wrong)
                };
                let cell = says() << 1 | says();
                let class = if positive { &mut cells.positive } else { &mut cells.negative };
                class[cell] += 1;
            }
            for (i, metric) in [LabelMetric::F1, LabelMetric::Precision].into_iter().enumerate() {
                let test = permutation_cells(&cells, metric, &DrawOptions::default()).unwrap();
                let Some(p) = test.p.value() else { continue };
                counted[i] += 1;
                rejected[i] += u64::from(p <= 0.1);
            }
        }
        for i in 0..2 {
            within(rejected[i], counted[i], 0.1, true, &format!("permutation {rows} {prevalence}"));
            assert!(rejected[i] * 20 > counted[i], "and it is not idle: {rejected:?}");
        }
    }
}

#[test]
fn bootstrap_intervals_of_label_metrics_cover() {
    const RUNS: u64 = 600;
    // Probabilities of the eight cells; the true difference of precision follows from them.
    let law = [0.55, 0.04, 0.03, 0.05, 0.04, 0.05, 0.02, 0.22];
    let precision = |tp: f64, fp: f64| tp / (tp + fp);
    let truth = precision(law[5] + law[7], law[1] + law[3]) - precision(law[6] + law[7], law[2] + law[3]);
    for interval in [BootstrapInterval::Percentile, BootstrapInterval::Bca] {
        for resampling in [Resampling::Multinomial, Resampling::Poisson] {
            let root = Random::new(15);
            let mut covered = 0;
            for run in 0..RUNS {
                let mut random = root.nth(run);
                let mut cells = [0_u64; 8];
                for _ in 0..300 {
                    let mut u = random.next_f64();
                    let cell = law
                        .iter()
                        .position(|p| {
                            u -= p;
                            u < 0.0
                        })
                        .unwrap_or(7);
                    cells[cell] += 1;
                }
                let [a, b, c, d, e, f, g, h] = cells;
                let cells = PairedCells { negative: [a, b, c, d], positive: [e, f, g, h] };
                let options = BootstrapOptions::default()
                    .with_resamples(400)
                    .with_seed(run)
                    .with_interval(interval)
                    .with_resampling(resampling);
                let bootstrap = bootstrap_cells(&cells, LabelMetric::Precision, &options).unwrap();
                covered += u64::from(bootstrap.confidence_interval(0.9).unwrap().unwrap().contains(truth));
            }
            within(covered, RUNS, 0.9, false, &format!("{interval:?} {resampling:?}"));
        }
    }
}

#[test]
fn bootstrap_intervals_of_areas_cover() {
    const RUNS: u64 = 500;
    let root = Random::new(16);
    let mut covered = 0;
    for run in 0..RUNS {
        let (y, [a, b]) = scores(160, 50, Some(0.5), &mut root.nth(run));
        let options = BootstrapOptions::default()
            .with_resamples(300)
            .with_seed(run)
            .with_resampling(Resampling::Poisson);
        let bootstrap = bootstrap_auc(&y, &a, &b, &options).unwrap();
        covered += u64::from(bootstrap.confidence_interval(0.9).unwrap().unwrap().contains(0.0));
    }
    within(covered, RUNS, 0.9, false, "AUC");
}

#[test]
fn margins_are_shown_as_rarely_as_alpha_when_the_truth_lies_on_them() {
    const RUNS: u64 = 2000;
    let root = Random::new(17);
    let mut shown = [0_u64; 3];
    for run in 0..RUNS {
        let mut random = root.nth(run);
        // The challenger is worse by exactly the margin of 0.3 deviations.
        let d: Vec<f64> = (0..60).map(|_| normal(&mut random) - 0.3).collect();
        let mean = mean_difference(&d).unwrap();
        let flips =
            SignFlips::new(&d[..], DrawOptions::default().with_resamples(199).with_seed(run)).unwrap();
        let judged = [
            non_inferiority(&mean, 0.3, 0.05).unwrap(),
            non_inferiority(&flips, 0.3, 0.05).unwrap(),
            equivalence(&mean, 0.3, 0.05).unwrap(),
        ];
        shown
            .iter_mut()
            .zip(judged)
            .for_each(|(count, judged)| *count += u64::from(judged.verdict == Verdict::Shown));
    }
    within(shown[0], RUNS, 0.05, false, "t");
    within(shown[1], RUNS, 0.05, false, "sign flips");
    // Two one-sided tests show less where the interval is nearly as wide as the range.
    within(shown[2], RUNS, 0.05, true, "TOST");
}

#[test]
fn splits_and_ranks_keep_their_level() {
    const RUNS: u64 = 2000;
    let root = Random::new(18);
    let (mut corrected, mut f, mut friedman_f, mut nemenyi) = (0, 0, 0, 0);
    for run in 0..RUNS {
        let mut random = root.nth(run);
        // Ten splits whose differences share the part that overlapping training sets share: correlation 1/(1 + 9) · … as Nadeau
        // and Bengio assume, n_test/(n_test + n_train) = 0.1.
        let shared = normal(&mut random) * 0.1_f64.sqrt();
        let splits: Vec<f64> = (0..10).map(|_| shared + 0.9_f64.sqrt() * normal(&mut random)).collect();
        let test =
            corrected_resampled(&splits, 1.0 / 9.0).unwrap().test(Alternative::TwoSided, 0.95).unwrap();
        corrected += u64::from(test.p.value().unwrap() <= 0.05);
        let folds: Vec<f64> = (0..10).map(|_| normal(&mut random)).collect();
        f += u64::from(five_by_two_f(&folds).unwrap().p.value().unwrap() <= 0.05);
        let values: Vec<f64> = (0..60).map(|_| normal(&mut random)).collect();
        let test = friedman(&values, 4).unwrap();
        friedman_f += u64::from(test.f.p.value().unwrap() <= 0.05);
        if run % 5 == 0 {
            nemenyi += u64::from(test.nemenyi().iter().any(|pair| pair.p <= 0.05));
        }
    }
    within(corrected, RUNS, 0.05, false, "corrected t");
    // Squares of ten independent differences are F with 10 and 5 degrees of freedom only about; on the safe side.
    within(f, RUNS, 0.05, true, "5x2 F");
    within(friedman_f, RUNS, 0.05, true, "Iman-Davenport");
    within(nemenyi, RUNS / 5, 0.05, true, "Nemenyi");
}

#[test]
fn planned_variances_are_those_of_exponential_scores() {
    const RUNS: u64 = 4000;
    let root = Random::new(19);
    // Positives with mean 4, negatives with mean 1: the area is 4/5.
    let y: Vec<bool> = (0..50).map(|i| i < 20).collect();
    let areas: Vec<f64> = (0..RUNS)
        .map(|run| {
            let mut random = root.nth(run);
            let mut score = |label: &bool| -(1.0 - random.next_f64()).ln() * if *label { 4.0 } else { 1.0 };
            let scores: Vec<f64> = y.iter().map(&mut score).collect();
            Delong::of(&y, &[&scores]).unwrap().auc(0).unwrap().value().unwrap()
        })
        .collect();
    let mean = areas.iter().sum::<f64>() / RUNS as f64;
    let variance = areas.iter().map(|a| (a - mean) * (a - mean)).sum::<f64>() / (RUNS - 1) as f64;
    let planned = hanley_mcneil_variance(0.8, 20.0, 30.0).unwrap();
    assert!((mean - 0.8).abs() < 5.0 * (planned / RUNS as f64).sqrt(), "{mean}");
    // A variance of 4 000 draws is known to 2.2 %.
    assert!((variance / planned - 1.0).abs() < 0.09, "{variance} {planned}");
}
