//! From rows to a gate's decision: what criteria ask to be tested is tested, on the right rows, in the right direction, and no more
//! often wrong than they allow.

use mlops_core::data::{Column, Table};
use mlops_core::evaluation::{
    CriterionEvidence, EvaluationInput, Evaluator, GateDecision, GateInput, GateSpec, TestName, Verdict,
};
use mlops_core::hash::Digest;
use mlops_core::model::Predictions;
use mlops_core::num::Random;
use mlops_core::num::special::Binomial;
use mlops_core::problem::Task;
use mlops_core::{Error, ErrorKind};
use mlops_eval::evaluator::{EvaluatorOptions, StandardEvaluator};
use mlops_eval::evidence::{Other, Others};
use mlops_eval::fairness::{ParityOptions, difference_within};
use mlops_eval::interval::Rate;

/// Rows with their truth, and what models predict for them.
struct Rows {
    task: Task,
    truth: Column<'static>,
    slices: Table<'static>,
    sensitive: Table<'static>,
    challenger: Predictions,
    champion: Option<Predictions>,
}

impl Rows {
    fn binary(truth: Vec<bool>, challenger: Vec<f64>) -> Self {
        Self {
            task: Task::BinaryClassification,
            truth: Column::bool("truth", truth).unwrap(),
            slices: Table::default(),
            sensitive: Table::default(),
            challenger: Predictions::probability(challenger).unwrap(),
            champion: None,
        }
    }

    /// `right` rows of `all` are predicted rightly, in both classes alike.
    fn right(right: usize, all: usize) -> Self {
        let truth: Vec<bool> = (0..all).map(|row| row % 2 == 0).collect();
        let score = |row: usize| if truth[row] == (row < right) { 0.9 } else { 0.1 };
        let scores = (0..all).map(score).collect();
        Self::binary(truth, scores)
    }

    fn regression(truth: Vec<f64>, challenger: Vec<f64>) -> Self {
        Self {
            task: Task::Regression,
            truth: Column::f64("truth", truth).unwrap(),
            slices: Table::default(),
            sensitive: Table::default(),
            challenger: Predictions::value(challenger).unwrap(),
            champion: None,
        }
    }

    fn with_champion(mut self, champion: Vec<f64>) -> Self {
        self.champion = Some(match self.task {
            Task::Regression => Predictions::value(champion).unwrap(),
            _ => Predictions::probability(champion).unwrap(),
        });
        self
    }

    fn with_groups(mut self, groups: &[&str]) -> Self {
        self.sensitive = Table::new(vec![Column::text("sex", groups).unwrap()]).unwrap();
        self
    }

    fn with_slices(mut self, values: &[&str]) -> Self {
        self.slices = Table::new(vec![Column::text("device", values).unwrap()]).unwrap();
        self
    }

    fn input<'a>(&'a self, name: &str, predictions: &'a Predictions) -> EvaluationInput<'a> {
        EvaluationInput::new(
            Digest::of(name.as_bytes()),
            Digest::of(b"data"),
            self.task,
            predictions,
            &self.truth,
            "2026-01-05T09:00:00Z".parse().unwrap(),
        )
        .with_slices(&self.slices)
        .with_sensitive(&self.sensitive)
    }

    fn decide(&self, gate: &GateSpec) -> Result<(GateDecision, Option<CriterionEvidence>), Error> {
        let evaluator = StandardEvaluator::new(EvaluatorOptions::default().with_seed(3).with_resamples(999))?;
        let new = self.input("challenger", &self.challenger);
        let mut others = Others::default();
        let mut champion_report = None;
        if let Some(champion) = &self.champion {
            let old = self.input("champion", champion);
            others = others.with_champion(Other::new(old.model, champion));
            champion_report = Some(evaluator.evaluate(&old)?);
        }
        let evidence = evaluator.evidence(gate, &new, &others)?;
        assert_eq!(
            evidence,
            evaluator.evidence(gate, &new, &others)?,
            "the same rows give the same evidence"
        );
        let report = evaluator.evaluate(&new)?;
        let input = GateInput::new(&report).with_champion(champion_report.as_ref()).with_evidence(&evidence);
        let decision = gate.decide_with(&input, new.at)?;
        Ok((decision, evidence.criteria.get("c").cloned()))
    }
}

fn gate(criterion: &str) -> GateSpec {
    GateSpec::from_toml(&format!("name = \"g\"\n[[criteria]]\nid = \"c\"\n{criterion}")).unwrap()
}

#[track_caller]
fn judged(rows: &Rows, criterion: &str) -> (Verdict, CriterionEvidence) {
    let (decision, evidence) = rows.decide(&gate(criterion)).unwrap();
    let evidence = evidence.unwrap_or_else(|| panic!("no evidence: {decision}"));
    (decision.verdict, evidence)
}

#[track_caller]
fn close(got: Option<f64>, expected: f64) {
    let got = got.unwrap();
    assert!((got - expected).abs() <= 1e-12 * expected.abs().max(1e-3), "{got} is not {expected}");
}

#[test]
fn a_share_is_held_against_its_bound_by_the_exact_law() {
    let rows = Rows::right(90, 100);
    let (verdict, evidence) = judged(&rows, "metric = \"accuracy\"\nmin = 0.8\ntest = \"exact\"");
    // SciPy 1.17.1: binomtest(90, 100, 0.8, alternative="greater"), proportion_ci(0.9, "exact").
    close(evidence.p, 0.005696380955793522);
    close(evidence.interval.map(|i| i.0), 0.8362823767241857);
    close(evidence.interval.map(|i| i.1), 0.9447367623171317);
    assert_eq!((verdict, evidence.test), (Verdict::Pass, Some(TestName::Exact)));
    assert_eq!((evidence.rows, evidence.positives, evidence.negatives), (100, Some(50), Some(50)));

    // statsmodels 0.15.0: proportions_ztest(90, 100, 0.8, alternative="larger", prop_var=0.8).
    let (_, evidence) = judged(&rows, "metric = \"accuracy\"\nmin = 0.8\ntest = \"score\"");
    close(evidence.p, 0.006209665325776138);

    // What is higher is right, and 0.91 is not shown; more rows would show 0.89.
    let (verdict, evidence) = judged(&rows, "metric = \"accuracy\"\nmin = 0.89\ntest = \"auto\"");
    assert_eq!(verdict, Verdict::Insufficient);
    assert!(evidence.more_rows.is_some_and(|more| more > 5_000), "{evidence:?}");
    let (verdict, _) = judged(&rows, "metric = \"accuracy\"\nmin = 0.97\ntest = \"auto\"");
    assert_eq!(verdict, Verdict::Fail);
    let (verdict, evidence) = judged(&rows, "metric = \"zero_one_loss\"\nmax = 0.2\ntest = \"exact\"");
    assert_eq!(verdict, Verdict::Pass);
    close(evidence.p, 0.005696380955793522);
    let (verdict, _) = judged(&rows, "metric = \"accuracy\"\nmin = 0.8\nmax = 0.99\ntest = \"exact\"");
    assert_eq!(verdict, Verdict::Pass);
}

#[test]
fn a_mean_over_rows_takes_students_t() {
    let errors: Vec<f64> =
        (0..100).map(|i| if i % 10 == 0 { 0.49 } else { 0.0 } + f64::from(i % 7) * 0.01).collect();
    let rows = Rows::regression(vec![0.0; 100], errors);
    let (verdict, evidence) = judged(&rows, "metric = \"mae\"\nmax = 0.1\ntest = \"t\"");
    // SciPy 1.17.1: ttest_1samp(errors, 0.1, alternative="less").
    close(evidence.p, 0.07648128948089218);
    assert_eq!((verdict, evidence.test), (Verdict::Insufficient, Some(TestName::T)));
    let (verdict, _) = judged(&rows, "metric = \"mae\"\nmax = 0.11\ntest = \"auto\"");
    assert_eq!(verdict, Verdict::Pass);
    // The root of a mean is none: rows are resampled.
    let (verdict, evidence) = judged(&rows, "metric = \"rmse\"\nmax = 0.3\ntest = \"auto\"");
    assert_eq!((verdict, evidence.test), (Verdict::Pass, Some(TestName::Bootstrap)));
}

/// Scores with noise of this size around the truth.
fn scores(truth: &[bool], noise: f64, seed: u64) -> Vec<f64> {
    let mut random = Random::new(seed);
    let score = |&y: &bool| 0.5 + (f64::from(u8::from(y)) - 0.5) * 0.4 + noise * (random.next_f64() - 0.5);
    truth.iter().map(score).map(|p| p.clamp(0.0, 1.0)).collect()
}

#[test]
fn a_challenger_is_compared_in_the_metrics_own_direction() {
    let truth: Vec<bool> = (0..600).map(|i| i % 3 == 0).collect();
    let (good, bad) = (scores(&truth, 0.7, 1), scores(&truth, 1.0, 2));
    let up = Rows::binary(truth.clone(), good.clone()).with_champion(bad.clone());
    let down = Rows::binary(truth.clone(), bad).with_champion(good.clone());
    let metrics =
        ["roc_auc", "accuracy", "f1", "log_loss", "brier", "average_precision", "false_positive_rate"];
    for metric in metrics {
        let claim = |text: &str| format!("metric = \"{metric}\"\n{text}");
        let (verdict, evidence) = judged(&up, &claim("max_drop = 0.0\nhypothesis = \"non_inferiority\""));
        assert_eq!(verdict, Verdict::Pass, "{metric} {evidence:?}");
        assert!(evidence.estimate.is_some_and(|gain| gain > 0.0), "{metric} {evidence:?}");
        let (verdict, evidence) = judged(&down, &claim("max_drop = 0.0\nhypothesis = \"non_inferiority\""));
        assert_eq!(verdict, Verdict::Fail, "{metric} {evidence:?}");
        let (verdict, _) = judged(&up, &claim("band = 0.001\nhypothesis = \"equivalence\""));
        assert_eq!(verdict, Verdict::Fail, "{metric}");
    }
    let same = Rows::binary(truth.clone(), good.clone()).with_champion(scores(&truth, 0.7, 3));
    let (verdict, _) = judged(&same, "metric = \"roc_auc\"\nband = 0.1\nhypothesis = \"equivalence\"");
    assert_eq!(verdict, Verdict::Pass);
}

#[test]
fn every_test_answers_where_it_fits_and_is_refused_where_it_does_not() {
    let truth: Vec<bool> = (0..400).map(|i| i % 3 == 0).collect();
    let rows = Rows::binary(truth.clone(), scores(&truth, 0.7, 1)).with_champion(scores(&truth, 1.1, 2));
    let fits = [
        ("roc_auc", vec!["delong", "bootstrap", "permutation"]),
        ("accuracy", vec!["score", "mcnemar", "permutation", "bootstrap"]),
        ("brier", vec!["t", "sign_flip", "wilcoxon", "permutation", "bootstrap"]),
        ("f1", vec!["permutation", "bootstrap"]),
    ];
    let all = ["bootstrap", "delong", "mcnemar", "permutation", "score", "sign_flip", "t", "wilcoxon"];
    for (metric, tests) in fits {
        for test in all {
            let criterion = format!("metric = \"{metric}\"\nmax_drop = 0.0\ntest = \"{test}\"");
            match rows.decide(&gate(&criterion)) {
                Ok((decision, evidence)) => {
                    assert!(tests.contains(&test), "{metric} {test}");
                    assert_eq!(decision.verdict, Verdict::Pass, "{metric} {test}: {decision}");
                    assert_eq!(evidence.unwrap().test.map(TestName::name), Some(test));
                }
                Err(error) => {
                    assert!(!tests.contains(&test), "{metric} {test}: {error}");
                    assert_eq!(error.context("id"), Some("c"));
                }
            }
        }
    }
    for margin in ["mcnemar", "permutation"] {
        let criterion = format!("metric = \"accuracy\"\nmax_drop = 0.01\ntest = \"{margin}\"");
        assert_eq!(rows.decide(&gate(&criterion)).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let unknown = rows.decide(&gate("metric = \"acuracy\"\nmin = 0.5\ntest = \"exact\"")).unwrap_err();
    assert_eq!(unknown.context("id"), Some("c"));
}

#[test]
fn slices_are_tested_on_their_own_rows() {
    let truth: Vec<bool> = (0..300).map(|i| i % 2 == 0).collect();
    let device: Vec<&str> = (0..300).map(|i| if i < 200 { "desktop" } else { "mobile" }).collect();
    // On mobile every third row is wrong.
    let score = |i: usize| if truth[i] == (i < 200 || !i.is_multiple_of(3)) { 0.9 } else { 0.1 };
    let rows = Rows::binary(truth.clone(), (0..300).map(score).collect()).with_slices(&device);
    let (verdict, evidence) =
        judged(&rows, "metric = \"accuracy\"\nslice = \"device = mobile\"\nmin = 0.8\ntest = \"exact\"");
    assert_eq!((verdict, evidence.rows), (Verdict::Fail, 100));
    close(evidence.p, Binomial { trials: 100, probability: 0.8 }.ln_above(67).exp());
    let (verdict, _) =
        judged(&rows, "metric = \"accuracy\"\nslice = \"device = desktop\"\nmin = 0.8\ntest = \"exact\"");
    assert_eq!(verdict, Verdict::Pass);
    let absent = gate("metric = \"accuracy\"\nslice = \"device = watch\"\nmin = 0.1\ntest = \"exact\"");
    let (decision, evidence) = rows.decide(&absent).unwrap();
    assert_eq!((decision.verdict, evidence), (Verdict::Fail, None));
}

#[test]
fn a_disparity_passes_when_every_pair_of_groups_does() {
    let groups: Vec<&str> = (0..3000).map(|i| ["f", "m", "x"][i % 3]).collect();
    let truth: Vec<bool> = (0..3000).map(|i| i / 3 % 2 == 0).collect();
    // 500, 520 and 480 of 1000 are selected.
    let selected = |i: usize| i / 3 < [500, 520, 480][i % 3];
    let scores: Vec<f64> = (0..3000).map(|i| if selected(i) { 0.8 } else { 0.2 }).collect();
    let rows = Rows::binary(truth.clone(), scores).with_groups(&groups);
    let parity = |text: &str| format!("attribute = \"sex\"\ntest = \"intersection_union\"\n{text}");
    let criterion = parity("metric = \"demographic_parity_difference\"\nmax = 0.1");
    let (verdict, evidence) = judged(&rows, &criterion);
    assert_eq!(verdict, Verdict::Pass, "{evidence:?}");
    // p is where the rule turns: it passes at a level a little above, and not at one a little below.
    let rates = [500, 520, 480].map(|k| Rate::new(k, 1000).unwrap());
    let p = evidence.p.unwrap();
    let passes = |alpha: f64| {
        difference_within(&rates, 0.1, &ParityOptions::default().with_alpha(alpha)).unwrap().verdict
            == Verdict::Pass
    };
    assert!(passes(p * 1.000_001) && !passes(p * 0.999_999), "{p}");

    let (verdict, evidence) =
        judged(&rows, &parity("metric = \"demographic_parity_difference\"\nmax = 0.045"));
    assert_eq!(verdict, Verdict::Insufficient);
    assert!(evidence.more_rows.is_some_and(|more| more > 1_000), "{evidence:?}");
    let (verdict, _) = judged(&rows, &parity("metric = \"demographic_parity_ratio\"\nmin = 0.8"));
    assert_eq!(verdict, Verdict::Pass);
    let (verdict, evidence) = judged(&rows, &parity("metric = \"equalized_odds_difference\"\nmax = 0.2"));
    assert_eq!(verdict, Verdict::Pass, "{evidence:?}");
    let (verdict, _) = judged(&rows, &parity("metric = \"equal_opportunity_difference\"\nmax = 0.01"));
    assert_ne!(verdict, Verdict::Pass);
    for bad in [
        "metric = \"demographic_parity_difference\"\nmax = 0.0",
        "metric = \"demographic_parity_ratio\"\nmax = 0.9",
    ] {
        assert!(rows.decide(&gate(&parity(bad))).is_err(), "{bad}");
    }

    // A group of five people cannot be judged, and nothing passes over it.
    let mut few = groups.clone();
    few[..5].copy_from_slice(&["y"; 5]);
    let few = Rows { sensitive: Table::new(vec![Column::text("sex", &few).unwrap()]).unwrap(), ..rows };
    let (verdict, _) = judged(&few, &criterion);
    assert_eq!(verdict, Verdict::Insufficient);
}

#[test]
fn without_the_other_model_nothing_is_shown() {
    let rows = Rows::right(90, 100);
    let asked = gate("metric = \"accuracy\"\nmax_drop = 0.05\nhypothesis = \"non_inferiority\"");
    let (decision, evidence) = rows.decide(&asked).unwrap();
    assert_eq!((decision.verdict, evidence), (Verdict::Insufficient, None));
    // Models that never differ leave nothing to test by DeLong; shares have Tango's score still.
    let scores = rows.challenger.as_slice().to_vec();
    let same = Rows::right(90, 100).with_champion(scores);
    let (verdict, evidence) = judged(&same, "metric = \"roc_auc\"\nmax_drop = 0.01\ntest = \"delong\"");
    assert_eq!((verdict, evidence.p), (Verdict::Insufficient, None));
    let (verdict, _) = judged(&same, "metric = \"accuracy\"\nmax_drop = 0.05\ntest = \"score\"");
    assert_eq!(verdict, Verdict::Pass);
    let other = Predictions::probability(vec![0.5; 99]).unwrap();
    let evaluator = StandardEvaluator::default();
    let others = Others::default().with_champion(Other::new(Digest::of(b"c"), &other));
    assert!(evaluator.evidence(&asked, &rows.input("n", &rows.challenger), &others).is_err());
}

/// That so many of so many draws are no more than chance explains for this rate.
#[track_caller]
fn at_most(rate: f64, hits: u64, draws: u64) {
    let p = Binomial { trials: draws, probability: rate }.ln_above(hits).exp();
    assert!(p > 1e-4, "{hits} of {draws} where {rate} is allowed");
}

#[test]
fn a_gate_passes_no_more_often_than_alpha_when_a_model_lies_on_the_bound() {
    let (mut alone, mut pairs, mut groups) = (0, 0, 0);
    let draws = 400;
    let accuracy = gate("metric = \"accuracy\"\nmin = 0.8\ntest = \"exact\"");
    let drop = gate("metric = \"accuracy\"\nmax_drop = 0.05\nhypothesis = \"non_inferiority\"");
    let parity =
        gate("metric = \"demographic_parity_difference\"\nattribute = \"sex\"\nmax = 0.1\ntest = \"auto\"");
    for seed in 0..draws {
        let mut random = Random::new(seed);
        let truth: Vec<bool> = (0..200).map(|_| random.next_f64() < 0.5).collect();
        let mut model = |right: f64| -> Vec<f64> {
            truth.iter().map(|&y| if y == (random.next_f64() < right) { 0.9 } else { 0.1 }).collect()
        };
        // 80 % right, and five points worse than a champion that errs elsewhere.
        let (challenger, champion) = (model(0.8), model(0.85));
        let rows = Rows::binary(truth.clone(), challenger).with_champion(champion);
        alone += u64::from(rows.decide(&accuracy).unwrap().0.verdict == Verdict::Pass);
        pairs += u64::from(rows.decide(&drop).unwrap().0.verdict == Verdict::Pass);
        // 40 and 50 % selected.
        let sexes: Vec<&str> = (0..200).map(|i| if i % 2 == 0 { "f" } else { "m" }).collect();
        let chosen =
            (0..200).map(|i| if random.next_f64() < 0.4 + 0.1 * f64::from(i % 2) { 0.9 } else { 0.1 });
        let rows = Rows::binary(truth.clone(), chosen.collect()).with_groups(&sexes);
        groups += u64::from(rows.decide(&parity).unwrap().0.verdict == Verdict::Pass);
    }
    at_most(0.05, alone, draws);
    at_most(0.055, pairs, draws);
    at_most(0.05, groups, draws);
}
