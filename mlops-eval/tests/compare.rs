//! Paired comparisons against SciPy, statsmodels, MLstatkit and definitions in rationals (versions inside the file), and laws.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mlops_core::num::parallel::Threads;
use mlops_core::num::{Measured, Random};
use mlops_eval::compare::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    versions: BTreeMap<String, String>,
    delong: Vec<DelongCase>,
    proportions: Vec<ProportionCase>,
    rows: Vec<RowCase>,
    several: Vec<SeveralCase>,
    five_by_two: Vec<SplitCase>,
    power: PowerCases,
}

#[derive(Deserialize)]
struct DelongCase {
    name: String,
    y_true: Vec<bool>,
    scores: Vec<Vec<f64>>,
    auc: Vec<f64>,
    covariance: Vec<Vec<f64>>,
    difference_variance: f64,
    z: f64,
    p: f64,
    roc_auc_score: Vec<f64>,
    mlstatkit: MlstatkitCase,
    all_equal: Option<ContrastCase>,
}

#[derive(Deserialize)]
struct MlstatkitCase {
    z: f64,
    p: f64,
}

#[derive(Deserialize)]
struct ContrastCase {
    statistic: f64,
    p: f64,
}

#[derive(Deserialize)]
struct ProportionCase {
    counts: [u64; 4],
    exact: f64,
    mid_p: f64,
    chi_square: [f64; 2],
    corrected: [f64; 2],
    tango: [f64; 2],
    newcombe: [f64; 2],
}

#[derive(Deserialize)]
struct RowCase {
    name: String,
    differences: Vec<f64>,
    t: BTreeMap<String, [f64; 4]>,
    sign: f64,
    wilcoxon: Vec<WilcoxonCase>,
    sign_flip: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct WilcoxonCase {
    zeros: ZeroMethod,
    correction: bool,
    law: WilcoxonLaw,
    alternative: Alternative,
    p: f64,
}

#[derive(Deserialize)]
struct SeveralCase {
    models: usize,
    values: Vec<f64>,
    friedman: [f64; 2],
    success: Vec<bool>,
    cochran: [f64; 2],
}

#[derive(Deserialize)]
struct SplitCase {
    differences: Vec<f64>,
    t: [f64; 2],
    f: [f64; 2],
}

#[derive(Deserialize)]
struct PowerCases {
    t_power: Vec<TPower>,
    t_rows: Vec<TRows>,
    two_proportions: Vec<TwoProportions>,
}

#[derive(Deserialize)]
struct TPower {
    n: u64,
    effect: f64,
    alpha: f64,
    alternative: Alternative,
    power: f64,
}

#[derive(Deserialize)]
struct TRows {
    effect: f64,
    alpha: f64,
    power: f64,
    alternative: Alternative,
    n: f64,
}

#[derive(Deserialize)]
struct TwoProportions {
    first: f64,
    second: f64,
    alpha: f64,
    power: f64,
    alternative: Alternative,
    n: f64,
}

fn reference() -> Reference {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/compare.json");
    let reference: Reference = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert!(reference.versions.contains_key("scipy"));
    reference
}

#[track_caller]
fn near(got: f64, expected: f64, tolerance: f64, context: &str) {
    assert!(
        (got - expected).abs() <= tolerance * expected.abs().max(1e-3),
        "{context}: {got} instead of {expected}"
    );
}

#[track_caller]
fn agree(got: Measured, expected: f64, context: &str) {
    near(got.value().unwrap_or(f64::NAN), expected, 1e-11, context);
}

#[test]
fn delong_is_its_definition_in_rationals() {
    for case in reference().delong {
        let scores: Vec<&[f64]> = case.scores.iter().map(Vec::as_slice).collect();
        let areas = Delong::of(&case.y_true, &scores).unwrap();
        for i in 0..scores.len() {
            agree(areas.auc(i).unwrap(), case.auc[i], &case.name);
            agree(areas.auc(i).unwrap(), case.roc_auc_score[i], &case.name);
            for j in 0..scores.len() {
                let got = areas.covariance(i, j).unwrap().value().unwrap();
                let scale = (case.covariance[i][i] * case.covariance[j][j]).sqrt();
                assert!((got - case.covariance[i][j]).abs() <= 1e-13 * scale, "{} {i} {j}", case.name);
            }
        }
        let variance = areas.difference_variance(0, 1).unwrap().value().unwrap();
        assert!((variance / case.difference_variance - 1.0).abs() < 1e-13, "{}", case.name);
        let test = areas.compare(0, 1, Alternative::TwoSided, 0.95).unwrap();
        agree(test.statistic, case.z, &case.name);
        agree(test.p, case.p, &case.name);
        agree(test.p, case.mlstatkit.p, &case.name);
        near(test.statistic.value().unwrap().abs(), case.mlstatkit.z.abs(), 1e-11, &case.name);
        if let Some(expected) = case.all_equal {
            let test = areas.all_equal().unwrap();
            near(test.statistic.value().unwrap(), expected.statistic, 1e-9, &case.name);
            near(test.p.value().unwrap(), expected.p, 1e-9, &case.name);
        }
    }
}

fn scored(rows: u64, seed: u64, levels: f64) -> (Vec<bool>, Vec<f64>, Vec<f64>) {
    let mut random = Random::new(seed);
    let truth: Vec<bool> = (0..rows).map(|_| random.next_f64() < 0.3).collect();
    let mut scores = |noise: f64| -> Vec<f64> {
        let mut score = |label: &bool| f64::from(u8::from(*label)) + noise * random.next_f64();
        truth.iter().map(|label| (score(label) * levels).floor() / levels).collect()
    };
    let (a, b) = (scores(2.0), scores(1.8));
    (truth, a, b)
}

#[test]
fn delong_does_not_depend_on_threads_or_monotone_transforms() {
    for levels in [7.0, 1e12] {
        let (y, a, b) = scored(150_000, 1, levels);
        let one = Delong::of(&y, &[&a, &b]).unwrap();
        assert_eq!(one, Delong::of_with(&y, &[&a, &b], Threads::new(3)).unwrap());
        let logits: Vec<f64> = b.iter().map(|s| (s - 1.4).powi(3)).collect();
        if levels < 1e3 {
            assert_eq!(one, Delong::of(&y, &[&a, &logits]).unwrap());
        }
        let auc = mlops_eval::classification::roc_auc(&y, &b).unwrap();
        assert_eq!(one.auc(1).unwrap(), auc);
    }
}

#[test]
fn delong_answers_degenerate_rows_with_reasons() {
    let y = [true, true, false, false];
    let perfect = [0.9, 0.8, 0.1, 0.2];
    let areas = Delong::of(&y, &[&perfect, &perfect, &[0.1, 0.2, 0.8, 0.9]]).unwrap();
    assert_eq!(areas.compare(0, 1, Alternative::TwoSided, 0.95).unwrap().p, Measured::Value(1.0));
    assert_eq!(areas.compare(0, 2, Alternative::TwoSided, 0.95).unwrap().p.value(), None);
    assert_eq!((areas.interval(0, 0.95).unwrap(), areas.logit_interval(0, 0.95).unwrap()), (None, None));
    assert_eq!(areas.all_equal().unwrap().p.value(), None);
    let single = Delong::of(&[true, true], &[&[0.1, 0.2]]).unwrap();
    assert_eq!((single.auc(0).unwrap().value(), single.covariance(0, 0).unwrap().value()), (None, None));
    assert!(areas.auc(3).is_err() && areas.compare(0, 9, Alternative::Less, 0.95).is_err());
    assert!(Delong::of(&y, &[]).is_err());
    assert!(Delong::of(&y, &[&[0.1, 0.2, f64::NAN, 0.3]]).is_err());
    assert!(areas.contrast(&[1.0, 0.0, 0.0]).is_err() && areas.contrast(&[1.0, -1.0]).is_err());
}

#[test]
fn nearly_equal_models_keep_the_digits_of_their_difference() {
    // One positive moves past one negative: the difference is 1/mn, and so is its standard error but for a factor near 1.
    let rows = 40_000;
    let y: Vec<bool> = (0..rows).map(|i| i % 2 == 0).collect();
    let a: Vec<f64> = (0..rows).map(f64::from).collect();
    let mut b = a.clone();
    b.swap(20_000, 20_001);
    let test = Delong::of(&y, &[&a, &b]).unwrap().compare(0, 1, Alternative::TwoSided, 0.95).unwrap();
    let pairs = 4e8;
    near(test.difference.value().unwrap() * pairs, 1.0, 1e-12, "difference");
    near(test.statistic.value().unwrap(), 1.0 / 2.0_f64.sqrt(), 1e-4, "z");
}

#[test]
fn paired_shares_meet_statsmodels_and_restricted_likelihood() {
    for case in reference().proportions {
        let [both, only_first, only_second, neither] = case.counts;
        let counts = PairedCounts { both, only_first, only_second, neither };
        let context = format!("{:?}", case.counts);
        let test = |kind| mcnemar_with(&counts, kind, Alternative::TwoSided, 0.95).unwrap();
        agree(test(McnemarKind::Exact).p, case.exact, &context);
        agree(test(McnemarKind::MidP).p, case.mid_p, &context);
        agree(test(McnemarKind::ChiSquare).statistic, case.chi_square[0], &context);
        agree(test(McnemarKind::ChiSquare).p, case.chi_square[1], &context);
        agree(test(McnemarKind::Corrected).statistic, case.corrected[0], &context);
        agree(test(McnemarKind::Corrected).p, case.corrected[1], &context);
        let (score, hybrid) = (tango(&counts, 0.95).unwrap(), newcombe_paired(&counts, 0.95).unwrap());
        for (got, expected) in [(score.lower, case.tango[0]), (score.upper, case.tango[1])] {
            assert!((got - expected).abs() < 1e-10, "{context}: Tango {got} instead of {expected}");
        }
        for (got, expected) in [(hybrid.lower, case.newcombe[0]), (hybrid.upper, case.newcombe[1])] {
            assert!((got - expected).abs() < 1e-12, "{context}: Newcombe {got} instead of {expected}");
        }
    }
}

#[test]
fn published_intervals_are_met() {
    // Airway hyper-responsiveness before and after stem cell transplantation (Bentur et al. 2009), as in M. Fagerland,
    // S. Lydersen, P. Laake, Statistics in Medicine 33, 2014: Tango 0.026 to 0.517, Newcombe 0.026 to 0.507.
    let counts = PairedCounts { both: 1, only_first: 1, only_second: 7, neither: 12 };
    let (score, hybrid) = (tango(&counts, 0.95).unwrap(), newcombe_paired(&counts, 0.95).unwrap());
    for (got, printed) in
        [(score.lower, 0.026), (score.upper, 0.517), (hybrid.lower, 0.026), (hybrid.upper, 0.507)]
    {
        assert!((got - printed).abs() < 5.1e-4, "{got} {printed}");
    }
}

fn alternative(name: &str) -> Alternative {
    serde_json::from_str(&format!("\"{name}\"")).unwrap()
}

#[test]
fn tests_of_rows_meet_scipy_and_statsmodels() {
    for case in reference().rows {
        let d = &case.differences;
        for (name, [statistic, p, low, high]) in &case.t {
            let test = paired_t(d, alternative(name), 0.95).unwrap();
            agree(test.statistic, *statistic, &case.name);
            agree(test.p, *p, &case.name);
            let interval = test.interval.unwrap();
            near(interval.lower, *low, 1e-11, &case.name);
            near(interval.upper, *high, 1e-11, &case.name);
        }
        agree(sign_test(d, Alternative::TwoSided).unwrap().p, case.sign, &case.name);
        for (name, p) in &case.sign_flip {
            let options = DrawOptions::default().with_alternative(alternative(name));
            agree(sign_flip(d, &options).unwrap().p, *p, &case.name);
        }
        assert!(!case.wilcoxon.is_empty());
        for w in &case.wilcoxon {
            let options = WilcoxonOptions::default()
                .with_zeros(w.zeros)
                .with_correction(w.correction)
                .with_law(w.law)
                .with_alternative(w.alternative);
            let context = format!("{} {options:?}", case.name);
            agree(wilcoxon_with(d, &options).unwrap().p, w.p, &context);
        }
    }
}

#[test]
fn tests_of_several_models_and_splits_meet_scipy_and_statsmodels() {
    let reference = reference();
    for case in reference.several {
        let test = friedman(&case.values, case.models).unwrap();
        agree(test.chi_square.statistic, case.friedman[0], "Friedman");
        agree(test.chi_square.p, case.friedman[1], "Friedman");
        let q = cochran_q(&case.success, case.models).unwrap();
        agree(q.statistic, case.cochran[0], "Cochran");
        agree(q.p, case.cochran[1], "Cochran");
    }
    for case in reference.five_by_two {
        let t = five_by_two_t(&case.differences, Alternative::TwoSided).unwrap();
        agree(t.statistic, case.t[0], "t");
        agree(t.p, case.t[1], "t");
        let f = five_by_two_f(&case.differences).unwrap();
        agree(f.statistic, case.f[0], "F");
        agree(f.p, case.f[1], "F");
    }
}

#[test]
fn plans_meet_statsmodels() {
    let cases = reference().power;
    for case in cases.t_power {
        let got = paired_t_power(case.n, case.effect, case.alpha, case.alternative).unwrap();
        assert!((got - case.power).abs() < 1e-8, "{} {}: {got} {}", case.n, case.effect, case.power);
    }
    for case in cases.t_rows {
        let got = paired_t_rows(case.effect, case.alpha, case.power, case.alternative).unwrap().unwrap();
        assert_eq!(got as f64, case.n.ceil(), "{}", case.effect);
    }
    for case in cases.two_proportions {
        let got = two_proportion_rows(case.first, case.second, case.alpha, case.power, case.alternative);
        assert_eq!(got.unwrap().unwrap() as f64, case.n.ceil());
    }
}

#[test]
fn the_plan_for_mcnemar_is_connors_formula() {
    // R. Connor 1987 gives the formula; the number follows by hand:
    // (1.959964·√0.1 + 0.841621·√0.0996)²/0.0004 = 1959.9.
    assert_eq!(paired_proportion_rows(0.1, 0.02, 0.05, 0.8, Alternative::TwoSided), Ok(Some(1960)));
}

#[test]
fn results_survive_a_file() {
    let test = paired_t(&[0.1, 0.3, -0.1], Alternative::Greater, 0.9).unwrap();
    let text = serde_json::to_string(&test).unwrap();
    assert_eq!(serde_json::from_str::<TestResult>(&text).unwrap(), test);
    assert!(serde_json::from_str::<TestResult>(&text.replace("\"n\"", "\"m\"")).is_err());
    let judged = non_inferiority(&mean_difference(&[0.1, 0.3, -0.1]).unwrap(), 0.1, 0.05).unwrap();
    let text = serde_json::to_string(&judged).unwrap();
    assert_eq!(serde_json::from_str::<Judgement>(&text).unwrap(), judged);
}
