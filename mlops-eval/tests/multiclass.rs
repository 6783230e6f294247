//! Several classes, from predictions and truth to a gate's decision: numbers against scikit-learn, Fairlearn and SciPy (versions in
//! `reference/multiclass.json`), and laws on hostile rows.

use std::collections::BTreeMap;

use mlops_core::data::{Column, Table};
use mlops_core::evaluation::{
    CriterionEvidence, EvaluationInput, EvaluationReport, Evaluator, GateDecision, GateInput, GateSpec,
    TestName, Verdict,
};
use mlops_core::hash::Digest;
use mlops_core::model::Predictions;
use mlops_core::num::Measured;
use mlops_core::problem::Task;
use mlops_core::{ErrorKind, MetricKey, Result};
use mlops_eval::evaluator::{EvaluatorOptions, StandardEvaluator};
use mlops_eval::evidence::{Other, Others};
use proptest::prelude::*;
use serde::Deserialize;

type Values = BTreeMap<String, Option<f64>>;

#[derive(Deserialize)]
struct File {
    versions: BTreeMap<String, String>,
    cases: Vec<Case>,
    compared: Compared,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    classes: Vec<String>,
    truth: Vec<String>,
    probabilities: Vec<f64>,
    group: Vec<String>,
    device: Vec<String>,
    metrics: Values,
    slices: BTreeMap<String, Values>,
    accuracy_by_group: BTreeMap<String, f64>,
    fairness: Option<Values>,
}

#[derive(Deserialize)]
struct Compared {
    classes: Vec<String>,
    truth: Vec<String>,
    challenger: Vec<f64>,
    champion: Vec<f64>,
    accuracy_above: f64,
    accuracy_p: f64,
    recall_above: f64,
    recall_p: f64,
    log_loss_p: f64,
    brier_p: f64,
}

fn file() -> File {
    serde_json::from_str(include_str!("reference/multiclass.json")).unwrap()
}

/// Rows of several classes, owned.
struct Rows {
    predictions: Predictions,
    truth: Column<'static>,
    slices: Table<'static>,
    sensitive: Table<'static>,
}

impl Rows {
    fn new(classes: &[&str], probabilities: Vec<f64>, truth: Column<'static>) -> Self {
        let predictions = Predictions::classes(classes.iter().copied(), probabilities).unwrap();
        Self { predictions, truth, slices: Table::default(), sensitive: Table::default() }
    }

    fn with_slices(mut self, values: &[impl AsRef<str>]) -> Self {
        self.slices = Table::new(vec![Column::text("device", values).unwrap()]).unwrap();
        self
    }

    fn with_groups(mut self, values: &[impl AsRef<str>]) -> Self {
        self.sensitive = Table::new(vec![Column::text("region", values).unwrap()]).unwrap();
        self
    }

    fn input<'a>(&'a self, model: &str, predictions: &'a Predictions) -> EvaluationInput<'a> {
        EvaluationInput::new(
            Digest::of(model.as_bytes()),
            Digest::of(b"data"),
            Task::MulticlassClassification,
            predictions,
            &self.truth,
            "2026-01-01T00:00:00Z".parse().unwrap(),
        )
        .with_slices(&self.slices)
        .with_sensitive(&self.sensitive)
    }

    fn report(&self) -> Result<EvaluationReport> {
        let options = EvaluatorOptions::default().with_min_slice_rows(1).with_min_group_rows(1);
        StandardEvaluator::new(options)?.evaluate(&self.input("challenger", &self.predictions))
    }

    /// The decision of a gate of this text, with a champion, and what was computed for it.
    fn decide(
        &self,
        champion: &Predictions,
        gate: &str,
    ) -> Result<(GateDecision, BTreeMap<String, CriterionEvidence>)> {
        let gate = GateSpec::from_toml(gate)?;
        let evaluator = StandardEvaluator::new(EvaluatorOptions::default().with_resamples(400))?;
        let (new, old) = (self.input("challenger", &self.predictions), self.input("champion", champion));
        let others = Others::default().with_champion(Other::new(old.model, champion));
        let evidence = evaluator.evidence(&gate, &new, &others)?;
        let (report, champion) = (evaluator.evaluate(&new)?, evaluator.evaluate(&old)?);
        let input = GateInput::new(&report).with_champion(&champion).with_evidence(&evidence);
        Ok((gate.decide_with(&input, new.at)?, evidence.criteria))
    }
}

fn names(classes: &[String]) -> Vec<&str> {
    classes.iter().map(String::as_str).collect()
}

impl Case {
    fn rows(&self) -> Rows {
        let truth = Column::text("kind", &self.truth).unwrap();
        Rows::new(&names(&self.classes), self.probabilities.clone(), truth)
            .with_slices(&self.device)
            .with_groups(&self.group)
    }
}

#[track_caller]
fn close(found: Measured, expected: Option<f64>, what: &str) {
    match (found.value(), expected) {
        (Some(a), Some(b)) => assert!((a - b).abs() <= 1e-12 * b.abs().max(1.0), "{what}: {a}, expected {b}"),
        (a, b) => assert_eq!(a, b, "{what}"),
    }
}

#[test]
fn the_tools_are_the_ones_named() {
    let versions = file().versions;
    assert_eq!((versions["scikit-learn"].as_str(), versions["fairlearn"].as_str()), ("1.9.1", "0.15.0"));
}

#[test]
fn metrics_are_those_of_scikit_learn_over_all_rows_and_on_slices() {
    for case in file().cases {
        let report = case.rows().report().unwrap();
        for (key, expected) in &case.metrics {
            let found = report.metrics.get(key.as_str()).unwrap_or_else(|| panic!("{}: no {key}", case.name));
            close(found.value, *expected, &format!("{}: {key}", case.name));
        }
        if case.classes.iter().any(|class| !case.truth.contains(class)) {
            assert_eq!(report.metric("roc_auc_ovo"), None, "{}", case.name);
        }
        assert_eq!(report.slices.len(), case.slices.len());
        for slice in &report.slices {
            for (key, expected) in &case.slices[&slice.name] {
                let what = format!("{}, {}: {key}", case.name, slice.name);
                close(slice.metrics[key.as_str()].value, *expected, &what);
            }
            assert!(slice.metrics.keys().eq(report.metrics.keys()), "{}: {}", case.name, slice.name);
        }
    }
}

#[test]
fn groups_are_compared_as_fairlearn_compares_each_class_with_the_rest() {
    let mut judged = 0;
    for case in file().cases {
        let report = case.rows().report().unwrap();
        let [fairness] = report.fairness.as_slice() else { panic!("one attribute") };
        assert_eq!(fairness.attribute, "region");
        for (group, accuracy) in &case.accuracy_by_group {
            let name = format!("region={group}");
            let found = fairness.groups.iter().find(|found| found.name == name).unwrap();
            close(found.metrics["accuracy"].value, Some(*accuracy), &name);
            assert!(
                found.metrics["accuracy"]
                    .interval
                    .is_some_and(|(low, high)| low <= *accuracy && *accuracy <= high)
            );
            // What a report has of all rows it has of each group, but for what a class alone has an area of.
            for key in report.metrics.keys().filter(|key| !key.as_str().contains('/')) {
                assert!(found.metrics.contains_key(key), "{name}: {key}");
            }
        }
        let Some(expected) = &case.fairness else { continue };
        for (key, expected) in expected {
            let found = &fairness.disparities[key.as_str()];
            close(found.estimate.value, *expected, &format!("{}: {key}", case.name));
            assert!(found.left_out.is_empty(), "{}: {key} {:?}", case.name, found.left_out);
        }
        assert_eq!(fairness.disparities.len(), expected.len());
        judged += 1;
    }
    assert!(judged >= 3, "{judged}");
}

#[test]
fn shares_and_means_have_intervals_and_averages_have_none() {
    let case = &file().cases[0];
    let report = case.rows().report().unwrap();
    for key in [
        "accuracy",
        "zero_one_loss",
        "top_2_accuracy",
        "f1_micro",
        "log_loss",
        "brier",
        "recall/pine",
        "precision/ash",
        "false_positive_rate/ash",
        "roc_auc/birch",
    ] {
        let found = &report.metrics[key];
        let (low, high) = found.interval.unwrap_or_else(|| panic!("{key}"));
        assert!((low..=high).contains(&found.value.value().unwrap()) && low < high, "{key}");
    }
    for key in ["f1_macro", "mcc", "roc_auc_ovr", "ece", "f1/ash", "support/ash"] {
        assert_eq!(report.metrics[key].interval, None, "{key}");
    }
    // Wilson's limits for the share that is right, by their formula.
    let (n, p, z) = (case.truth.len() as f64, report.metric("accuracy").unwrap(), 1.959_963_984_540_054);
    let middle = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let (low, high) = report.metrics["accuracy"].interval.unwrap();
    assert!((low - (middle - half)).abs() < 1e-12 && (high - (middle + half)).abs() < 1e-12);
}

fn compared() -> (Rows, Predictions, Compared) {
    let compared = file().compared;
    let truth = Column::text("kind", &compared.truth).unwrap();
    let classes = names(&compared.classes);
    let champion = Predictions::classes(classes.iter().copied(), compared.champion.clone()).unwrap();
    (Rows::new(&classes, compared.challenger.clone(), truth), champion, compared)
}

#[test]
fn evidence_has_the_p_values_of_scipy() {
    let (rows, champion, expected) = compared();
    let gate = format!(
        r#"
        name = "release"
        [[criteria]]
        id = "accuracy"
        metric = "accuracy"
        min = {}
        test = "exact"
        [[criteria]]
        id = "recall"
        metric = "recall/pine"
        min = {}
        test = "auto"
        [[criteria]]
        id = "log-loss"
        metric = "log_loss"
        min_gain = 0.0
        hypothesis = "superiority"
        [[criteria]]
        id = "brier"
        metric = "brier"
        min_gain = 0.0
        test = "t"
        "#,
        expected.accuracy_above, expected.recall_above
    );
    let (decision, evidence) = rows.decide(&champion, &gate).unwrap();
    for (id, test, p) in [
        ("accuracy", TestName::Exact, expected.accuracy_p),
        ("recall", TestName::Exact, expected.recall_p),
        ("log-loss", TestName::T, expected.log_loss_p),
        ("brier", TestName::T, expected.brier_p),
    ] {
        let found = &evidence[id];
        assert_eq!(found.test, Some(test), "{id}");
        assert!((found.p.unwrap() / p - 1.0).abs() < 1e-9, "{id}: {:?} {p}", found.p);
    }
    let verdict = |p: f64| if p <= 0.05 { Verdict::Pass } else { Verdict::Insufficient };
    for criterion in &decision.criteria {
        let p = evidence[&criterion.id].p.unwrap();
        assert_eq!(criterion.verdict, verdict(p), "{}", criterion.reason);
    }
    // Rows of the class and of the others, for a gate that asks for so many of each.
    let pines = expected.truth.iter().filter(|truth| *truth == "pine").count() as u64;
    assert_eq!(
        (evidence["recall"].positives, evidence["recall"].negatives),
        (Some(pines), Some(240 - pines))
    );
    assert_eq!(evidence["accuracy"].positives, None);
}

#[test]
fn every_test_that_fits_answers_and_the_others_are_refused() {
    let (rows, champion, _) = compared();
    let gate = |metric: &str, test: &str| {
        format!(
            "name = \"g\"\n[[criteria]]\nid = \"c\"\nmetric = \"{metric}\"\nmax_drop = 0.0\ntest = \"{test}\""
        )
    };
    for (metric, test, fits) in [
        ("accuracy", "score", true),
        ("accuracy", "mcnemar", true),
        ("accuracy", "permutation", true),
        ("top_2_accuracy", "score", true),
        ("log_loss", "sign_flip", true),
        ("log_loss", "wilcoxon", true),
        ("f1_macro", "bootstrap", true),
        ("roc_auc_ovr", "permutation", true),
        ("roc_auc/ash", "delong", true),
        ("f1/ash", "bootstrap", true),
        ("recall/ash", "mcnemar", true),
        ("roc_auc_ovr", "delong", false),
        ("f1_macro", "score", false),
        ("classwise_ece", "bootstrap", false),
        ("ece", "auto", false),
        ("roc_auc", "auto", false),
        ("recall/elm", "auto", false),
        ("support/ash", "auto", false),
    ] {
        let found = rows.decide(&champion, &gate(metric, test));
        if !fits {
            let error = found.expect_err(metric);
            assert!(
                matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported),
                "{metric}: {error}"
            );
            assert_eq!(error.context("id"), Some("c"), "{metric}: {error}");
            continue;
        }
        let (_, evidence) = found.unwrap_or_else(|error| panic!("{metric} {test}: {error}"));
        assert!(evidence["c"].p.is_some_and(|p| p < 0.5), "{metric} {test}: {:?}", evidence["c"]);
    }
}

/// Rows of three classes and two regions; `slips` rows of the region "south" more are wrong.
fn regions(slips: usize) -> Rows {
    let classes = ["a", "b", "c"];
    let mut probabilities = Vec::new();
    for row in 0..1_200 {
        let wrong = row % 20 < 2 || (row % 2 == 1 && row / 2 % 20 < slips);
        let said = (row / 2 + usize::from(wrong)) % 3;
        probabilities.extend((0..3).map(|class| if class == said { 0.8 } else { 0.1 }));
    }
    let truth = Column::text("kind", (0..1_200).map(|row| classes[row / 2 % 3])).unwrap();
    let region: Vec<&str> = (0..1_200).map(|row| ["north", "south"][row % 2]).collect();
    Rows::new(&classes, probabilities, truth).with_groups(&region)
}

#[test]
fn disparities_are_shown_for_every_class() {
    let gate = |metric: &str| {
        format!(
            "name = \"g\"\n[[criteria]]\nid = \"c\"\nmetric = \"{metric}\"\nattribute = \"region\"\n\
             max = 0.2\ntest = \"intersection_union\""
        )
    };
    let (fair, unfair) = (regions(0), regions(7));
    for metric in [
        "accuracy_equality_difference",
        "equal_opportunity_difference",
        "equal_opportunity_difference/b",
        "equalized_odds_difference",
        "demographic_parity_difference",
    ] {
        let verdict = |rows: &Rows| {
            let (decision, evidence) = rows.decide(&rows.predictions, &gate(metric)).unwrap();
            (decision.criteria[0].verdict, evidence["c"].p.unwrap())
        };
        let (of_fair, p) = verdict(&fair);
        assert_eq!(of_fair, Verdict::Pass, "{metric} {p}");
        let parity = metric == "demographic_parity_difference";
        assert_eq!(verdict(&unfair).0 == Verdict::Pass, parity, "{metric}");
    }
    // The p-value of all classes is the largest of theirs.
    let p = |metric: &str| fair.decide(&fair.predictions, &gate(metric)).unwrap().1["c"].p.unwrap();
    let each = ["a", "b", "c"].map(|class| p(&format!("equal_opportunity_difference/{class}")));
    assert_eq!(p("equal_opportunity_difference"), each.into_iter().fold(0.0, f64::max));
}

#[test]
fn a_gate_asks_for_a_class_on_a_slice_against_the_champion() {
    let (rows, champion, expected) = compared();
    let device: Vec<&str> = (0..expected.truth.len()).map(|row| ["phone", "web"][row % 2]).collect();
    let rows = rows.with_slices(&device);
    let gate = r#"
        name = "release"
        [[criteria]]
        id = "ash-on-phones"
        metric = "recall/ash"
        slice = "device = phone"
        max_drop = 0.3
        hypothesis = "non_inferiority"
        [[criteria]]
        id = "enough"
        metric = "support/ash"
        min = 20
        [[criteria]]
        id = "macro"
        metric = "f1_macro"
        min = 0.5
        "#;
    let (decision, evidence) = rows.decide(&champion, gate).unwrap();
    assert_eq!(decision.verdict, Verdict::Pass, "{:?}", decision.criteria);
    let phones = expected.truth.iter().zip(&device).filter(|(_, device)| **device == "phone");
    let ashes = phones.filter(|(truth, _)| *truth == "ash").count() as u64;
    let found = &evidence["ash-on-phones"];
    assert_eq!((found.rows, found.positives, found.test), (120, Some(ashes), Some(TestName::Score)));
}

#[test]
fn a_champion_of_other_classes_is_matched_by_name() {
    let (rows, champion, expected) = compared();
    let gate = "name = \"g\"\n[[criteria]]\nid = \"c\"\nmetric = \"log_loss\"\nmin_gain = 0.0\ntest = \"t\"";
    let p = |champion: &Predictions| {
        let gate = GateSpec::from_toml(gate).unwrap();
        let others = Others::default().with_champion(Other::new(Digest::of(b"champion"), champion));
        let input = rows.input("challenger", &rows.predictions);
        StandardEvaluator::default().evidence(&gate, &input, &others).map(|found| found.criteria["c"].p)
    };
    let turned = champion.as_slice().chunks(3).flat_map(|row| [row[2], row[0], row[1]]).collect();
    let turned = Predictions::classes(["ash", "pine", "birch"], turned).unwrap();
    assert_eq!(p(&turned).unwrap(), p(&champion).unwrap());
    assert!((p(&turned).unwrap().unwrap() / expected.log_loss_p - 1.0).abs() < 1e-9);

    let wider = Predictions::classes(["ash", "pine", "birch", "elm"], vec![0.25; 960]).unwrap();
    let error = p(&wider).unwrap_err();
    assert_eq!((error.kind(), error.context("class")), (ErrorKind::InvalidInput, Some("elm")));
    // A champion that knows fewer says that the other class never is.
    let fewer = Predictions::classes(["ash", "pine"], vec![0.5; 480]).unwrap();
    assert!(p(&fewer).unwrap().is_some_and(|p| p < 1e-9));
    let binary = Predictions::probability(vec![0.5; 240]).unwrap();
    assert_eq!(p(&binary).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn of_many_classes_only_the_figures_of_all_are_reported() {
    let (rows, _, _) = compared();
    let options = EvaluatorOptions::default().with_max_reported_classes(2);
    let evaluator = StandardEvaluator::new(options).unwrap();
    let rows = rows.with_groups(&["x", "y"].repeat(120));
    let report = evaluator.evaluate(&rows.input("m", &rows.predictions)).unwrap();
    assert!(
        report.metrics.keys().all(|key| !key.as_str().contains('/')) && report.metric("f1_macro").is_some()
    );
    let disparities = &report.fairness[0].disparities;
    assert!(disparities.keys().all(|key| !key.as_str().contains('/')));
    assert!(disparities.contains_key("equal_opportunity_difference"));
}

#[test]
fn two_classes_are_a_binary_task() {
    let positive: Vec<f64> = (0..200).map(|row| f64::from(row * 37 % 199) / 200.0 + 0.001).collect();
    let truth: Vec<bool> =
        positive.iter().enumerate().map(|(row, p)| (*p > 0.45) != (row % 6 == 0)).collect();
    let wide: Vec<f64> = positive.iter().flat_map(|p| [1.0 - p, *p]).collect();
    let several = Rows::new(&["false", "true"], wide, Column::bool("y", truth.clone()).unwrap());
    let several = several.report().unwrap();
    let (predictions, truth) =
        (Predictions::probability(positive).unwrap(), Column::bool("y", truth).unwrap());
    let binary = StandardEvaluator::default().evaluate(&EvaluationInput::new(
        Digest::of(b"m"),
        Digest::of(b"data"),
        Task::BinaryClassification,
        &predictions,
        &truth,
        "2026-01-01T00:00:00Z".parse().unwrap(),
    ));
    let binary = binary.unwrap();
    for (of_several, of_two) in [
        ("accuracy", "accuracy"),
        ("balanced_accuracy", "balanced_accuracy"),
        ("mcc", "mcc"),
        ("log_loss", "log_loss"),
        ("brier", "brier"),
        ("d2_log_loss", "d2_log_loss"),
        ("d2_brier", "d2_brier"),
        ("roc_auc_ovr", "roc_auc"),
        ("roc_auc_ovo", "roc_auc"),
        ("recall/true", "recall"),
        ("recall/false", "specificity"),
        ("precision/true", "precision"),
        ("f1/true", "f1"),
        ("roc_auc/true", "roc_auc"),
        ("false_positive_rate/true", "false_positive_rate"),
    ] {
        close(several.metrics[of_several].value, binary.metric(of_two), of_several);
    }
    assert_eq!(several.metrics["recall/true"].interval, binary.metrics["recall"].interval);
    assert_eq!(several.metrics["accuracy"].interval, binary.metrics["accuracy"].interval);
}

/// Names of classes as data sets have them, and as nobody should.
const ODD: [&str; 10] = ["setosa", "0", "1", "<60", "a/b", "..", " ", "größe 家族", "a:2f:b", "🦀\n"];

/// The classes' names, the class of every row, the probabilities, and the group of every row.
type Hostile = (Vec<&'static str>, Vec<usize>, Vec<f64>, Vec<usize>);

fn hostile_rows() -> impl Strategy<Value = Hostile> {
    (2..6_usize, 0..5_usize, 1..30_usize, any::<bool>()).prop_flat_map(|(classes, from, rows, normal)| {
        let edges = prop::sample::select(vec![0.0, 1.0, 0.5, 5e-324, 1e-300]);
        let value = prop_oneof![0.0..=1.0_f64, edges];
        let values = prop::collection::vec(value, rows * classes).prop_map(move |mut values| {
            if normal {
                values.chunks_mut(classes).for_each(add_up);
            }
            values
        });
        let labels = Just(ODD[from..from + classes].to_vec());
        let truth = prop::collection::vec(0..classes, rows);
        (labels, truth, values, prop::collection::vec(0..3_usize, rows))
    })
}

fn add_up(row: &mut [f64]) {
    let sum: f64 = row.iter().sum();
    let even = 1.0 / row.len() as f64;
    row.iter_mut().for_each(|p| *p = if sum > 1e-3 { (*p / sum).min(1.0) } else { even });
}

fn rows_of(labels: &[&str], truth: &[usize], values: &[f64], groups: &[usize]) -> Rows {
    let groups: Vec<&str> = groups.iter().map(|group| ["x", "y", "z"][*group]).collect();
    let truth = Column::text("kind", truth.iter().map(|class| labels[*class])).unwrap();
    Rows::new(labels, values.to_vec(), truth).with_slices(&groups).with_groups(&groups)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn hostile_rows_give_numbers_and_reasons((labels, truth, values, groups) in hostile_rows()) {
        let report = rows_of(&labels, &truth, &values, &groups).report().unwrap();
        prop_assert!(report.digest().is_ok());
        for label in &labels {
            let keys = report.metrics.keys().filter(|key| key.as_str().starts_with("support/"));
            prop_assert_eq!(keys.count(), labels.len(), "{}", label);
        }
        let supports: f64 =
            report.metrics.iter().filter(|(key, _)| key.as_str().starts_with("support/")).filter_map(|(_, e)| e.value.value()).sum();
        prop_assert_eq!(supports, truth.len() as f64);
        let unit = |key: &MetricKey| {
            let name = key.as_str();
            ["precision", "recall", "f1", "roc_auc", "top_", "accuracy", "brier"].iter().any(|stem| name.starts_with(stem))
        };
        let parts = report.slices.iter().flat_map(|slice| &slice.metrics);
        let groups = report.fairness.iter().flat_map(|f| &f.groups).flat_map(|group| &group.metrics);
        for (key, estimate) in report.metrics.iter().chain(parts).chain(groups) {
            if let Some(value) = estimate.value.value() {
                prop_assert!(value.is_finite(), "{}", key);
                prop_assert!(!unit(key) || (0.0..=1.0).contains(&value), "{} {}", key, value);
                if let Some((low, high)) = estimate.interval {
                    prop_assert!(low <= value + 1e-12 && value <= high + 1e-12, "{} {} {:?}", key, value, (low, high));
                }
            }
        }
        for (key, disparity) in report.fairness.iter().flat_map(|f| &f.disparities) {
            prop_assert!(disparity.estimate.value.value().is_none_or(|value| (0.0..=1.0).contains(&value)), "{}", key);
        }
    }

    #[test]
    fn neither_the_order_of_rows_nor_of_classes_matters((labels, truth, values, groups) in hostile_rows()) {
        let here = rows_of(&labels, &truth, &values, &groups).report().unwrap();
        let k = labels.len();
        // Where classes tie the first is predicted, so that their order matters.
        prop_assume!(values.chunks(k).all(|row| {
            let mut sorted = row.to_vec();
            sorted.sort_by(f64::total_cmp);
            sorted.windows(2).all(|pair| pair[0] < pair[1])
        }));
        let turned: Vec<&str> = labels.iter().rev().copied().collect();
        let places: Vec<usize> = truth.iter().rev().map(|class| k - 1 - class).collect();
        let wide: Vec<f64> = values.chunks(k).rev().flat_map(|row| row.iter().rev().copied()).collect();
        let back: Vec<usize> = groups.iter().rev().copied().collect();
        let there = rows_of(&turned, &places, &wide, &back).report().unwrap();
        prop_assert!(here.metrics.keys().eq(there.metrics.keys()));
        for (key, estimate) in &here.metrics {
            // Rows of equal mass go to bins in the order of their values alone, but for ties.
            let (a, b) = (estimate.value.value(), there.metric(key.as_str()));
            match (a, b) {
                (Some(a), Some(b)) => prop_assert!((a - b).abs() <= 1e-6 * a.abs().max(1.0), "{} {} {}", key, a, b),
                (a, b) => prop_assert_eq!(a, b, "{}", key),
            }
        }
    }
}
