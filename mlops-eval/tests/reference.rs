//! Values of scikit-learn, SciPy and Fairlearn (versions inside the files), met to 1e-12 by every variant of every
//! metric.

use std::fs;
use std::path::Path;

use mlops_core::num::{Measured, StatsError};
use mlops_eval::catalog::{Input, Metric};
use mlops_eval::classification::{
    Average, Confusion, ConfusionMatrix, LabelMetric, WeightedConfusion, WeightedConfusionMatrix,
    ZeroDivision, f_beta, f_beta_weighted, roc_curve, roc_curve_weighted,
};
use mlops_eval::fairness::{
    Aggregate, Comparison, FairnessOptions, GroupMetrics, MetricByGroup, OddsAggregation, SensitiveFeature,
};
use mlops_eval::interval::wilson;
use mlops_eval::regression::{RegressionMetric, RegressionState, r2_force_finite};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

type Values = BTreeMap<String, Option<f64>>;

#[derive(Deserialize)]
struct File<C> {
    versions: BTreeMap<String, String>,
    cases: Vec<C>,
}

fn read<C: DeserializeOwned>(name: &str) -> Vec<C> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference").join(name);
    let file: File<C> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert!(file.versions.contains_key("scikit-learn"), "{name} does not say what made it");
    assert!(!file.cases.is_empty(), "{name} has no cases");
    file.cases
}

/// Equal to 1e-12, relative for large values, or both without a number.
#[track_caller]
fn agree(context: &str, got: Measured, expected: Option<f64>) {
    match (got.value(), expected) {
        (Some(got), Some(expected)) => {
            let tolerance = 1e-12 * expected.abs().max(1.0);
            assert!((got - expected).abs() <= tolerance, "{context}: {got} instead of {expected}");
        }
        (got, expected) => assert_eq!(got, expected, "{context}"),
    }
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Classification {
    Binary {
        name: String,
        y_true: Vec<bool>,
        y_pred: Vec<bool>,
        scores: Vec<f64>,
        weights: Option<Vec<f64>>,
        metrics: Values,
        f_beta: BTreeMap<String, Option<f64>>,
        zero_division: BTreeMap<String, BTreeMap<String, Option<f64>>>,
        curve: Option<Curve>,
    },
    Multiclass {
        name: String,
        y_true: Vec<u32>,
        y_pred: Vec<u32>,
        classes: usize,
        weights: Option<Vec<f64>>,
        metrics: Values,
        averages: BTreeMap<String, Values>,
    },
    Wilson {
        name: String,
        successes: u64,
        trials: u64,
        confidence: f64,
        lower: f64,
        upper: f64,
    },
}

#[derive(Deserialize)]
struct Curve {
    thresholds: Vec<Option<f64>>,
    fpr: Vec<Option<f64>>,
    tpr: Vec<Option<f64>>,
}

fn metric(name: &str) -> Metric {
    name.parse().unwrap()
}

fn label(name: &str) -> LabelMetric {
    match metric(name) {
        Metric::Label(metric) => metric,
        other => panic!("{other} is not a metric of labels"),
    }
}

/// Metrics whose reference values are in `scores.json`, held by `scores.rs`.
const IN_SCORES_JSON: [&str; 6] = ["average_precision", "pr_auc", "gini", "ks", "d2_log_loss", "d2_brier"];

/// Metrics whose reference values are in `labels.json`, held by `labels.rs`.
const IN_LABELS_JSON: [&str; 10] = [
    "prevalence",
    "zero_one_loss",
    "informedness",
    "markedness",
    "g_mean",
    "fowlkes_mallows",
    "positive_likelihood_ratio",
    "negative_likelihood_ratio",
    "diagnostic_odds_ratio",
    "prevalence_threshold",
];

#[test]
fn binary_metrics_agree_with_scikit_learn() {
    let mut seen = 0;
    for case in read::<Classification>("classification.json") {
        let Classification::Binary {
            name,
            y_true,
            y_pred,
            scores,
            weights,
            metrics,
            f_beta: f_betas,
            zero_division,
            curve,
        } = case
        else {
            continue;
        };
        seen += 1;
        let weights = weights.as_deref();
        let mut input = Input::binary(&y_true).with_labels(&y_pred).with_scores(&scores);
        if let Some(weights) = weights {
            input = input.with_weights(weights);
        }
        // Values of the others stand in labels.json, scores.json and calibration.json.
        let elsewhere = |metric: &Metric| {
            let name = metric.name();
            let calibration = matches!(metric, Metric::Calibration(_));
            calibration || IN_LABELS_JSON.contains(&name) || IN_SCORES_JSON.contains(&name)
        };
        let covered = Metric::all().filter(|m| input.supports(*m) && !elsewhere(m)).count();
        assert_eq!(metrics.len(), covered, "{name}: every metric has a reference value");
        for (metric_name, expected) in &metrics {
            let context = format!("{name}, {metric_name}");
            agree(&context, metric(metric_name).evaluate(&input).unwrap(), *expected);
            if weights.is_none() {
                let ones = vec![1.0; y_true.len()];
                let weighted = metric(metric_name).evaluate(&input.with_weights(&ones)).unwrap();
                agree(&format!("{context}, weights of 1"), weighted, *expected);
            }
        }
        for (beta, expected) in &f_betas {
            let beta: f64 = beta.parse().unwrap();
            let got = match weights {
                None => f_beta(&y_true, &y_pred, beta),
                Some(weights) => f_beta_weighted(&y_true, &y_pred, weights, beta),
            };
            agree(&format!("{name}, F{beta}"), got.unwrap(), *expected);
        }
        let cells = match weights {
            None => Confusion::of(&y_true, &y_pred).unwrap().into(),
            Some(weights) => WeightedConfusion::of(&y_true, &y_pred, weights).unwrap(),
        };
        for (metric_name, by_choice) in &zero_division {
            for (choice, expected) in by_choice {
                let switch = if choice == "zero" { ZeroDivision::Zero } else { ZeroDivision::One };
                let got = switch.apply(label(metric_name).from_counts(cells));
                agree(&format!("{name}, {metric_name}, zero division {choice}"), got, *expected);
            }
        }
        if let Some(expected) = curve {
            compare_curve(&name, &y_true, &scores, weights, &expected);
        }
    }
    assert!(seen >= 30);
}

fn compare_curve(name: &str, y_true: &[bool], scores: &[f64], weights: Option<&[f64]>, expected: &Curve) {
    let curve = match weights {
        None => roc_curve(y_true, scores),
        Some(weights) => roc_curve_weighted(y_true, scores, weights),
    };
    let points = curve.unwrap().points;
    // scikit-learn drops rows of weight 0 first; scores that only they have are points of ours alone.
    let kept: Vec<_> = points
        .iter()
        .filter(|point| point.threshold.is_none() || expected.thresholds.contains(&point.threshold))
        .collect();
    assert_eq!(kept.len(), expected.thresholds.len(), "{name}");
    for (position, point) in kept.iter().enumerate() {
        assert_eq!(point.threshold, expected.thresholds[position], "{name}");
        agree(&format!("{name}, FPR {position}"), point.false_positive_rate, expected.fpr[position]);
        agree(&format!("{name}, TPR {position}"), point.true_positive_rate, expected.tpr[position]);
    }
}

#[test]
fn multiclass_metrics_agree_with_scikit_learn() {
    let mut seen = 0;
    for case in read::<Classification>("classification.json") {
        let Classification::Multiclass { name, y_true, y_pred, classes, weights, metrics, averages } = case
        else {
            continue;
        };
        seen += 1;
        let mut input = Input::multiclass(&y_true, &y_pred, classes);
        if let Some(weights) = &weights {
            input = input.with_weights(weights);
        }
        for (metric_name, expected) in &metrics {
            let got = metric(metric_name).evaluate(&input).unwrap();
            agree(&format!("{name}, {metric_name}"), got, *expected);
        }
        let matrix = match &weights {
            None => ConfusionMatrix::of(&y_true, &y_pred, classes).unwrap().weighted(),
            Some(weights) => WeightedConfusionMatrix::of(&y_true, &y_pred, weights, classes).unwrap(),
        };
        for (average_name, values) in &averages {
            let average = match average_name.as_str() {
                "macro" => Average::Macro,
                "micro" => Average::Micro,
                _ => Average::Weighted,
            };
            for (metric_name, expected) in values {
                let got = matrix.average(label(metric_name), average, ZeroDivision::Zero);
                agree(&format!("{name}, {average_name} {metric_name}"), got, *expected);
            }
        }
    }
    assert!(seen >= 6);
}

#[test]
fn wilson_intervals_agree_with_scipy() {
    let mut seen = 0;
    for case in read::<Classification>("classification.json") {
        let Classification::Wilson { name, successes, trials, confidence, lower, upper } = case else {
            continue;
        };
        seen += 1;
        let interval = wilson(successes, trials, confidence).unwrap();
        agree(&format!("{name}, lower"), Measured::Value(interval.lower), Some(lower));
        agree(&format!("{name}, upper"), Measured::Value(interval.upper), Some(upper));
    }
    assert!(seen >= 32);
}

#[derive(Deserialize)]
struct Regression {
    name: String,
    y_true: Vec<f64>,
    y_pred: Vec<f64>,
    weights: Option<Vec<f64>>,
    metrics: Values,
    /// Metrics that are not defined for numbers such as these.
    refused: Vec<String>,
    r2_force_finite: Option<f64>,
}

#[test]
fn regression_metrics_agree_with_scikit_learn() {
    for case in read::<Regression>("regression.json") {
        let weights = case.weights.as_deref();
        let covered = case.metrics.len() + case.refused.len();
        assert_eq!(covered, RegressionMetric::ALL.len(), "every metric has a reference value");
        for &metric in RegressionMetric::ALL {
            let got = metric.evaluate(&case.y_true, &case.y_pred, weights);
            if case.refused.iter().any(|name| name == metric.name()) {
                assert!(
                    matches!(got, Err(StatsError::OutOfRange { .. })),
                    "{}, {metric}: {got:?}",
                    case.name
                );
                continue;
            }
            let got = got.unwrap();
            agree(&format!("{}, {metric}", case.name), got, case.metrics[metric.name()]);
            if metric == RegressionMetric::R2 {
                agree(&format!("{}, finite R2", case.name), r2_force_finite(got), case.r2_force_finite);
            }
        }
    }
}

#[test]
fn the_one_pass_state_agrees_with_scikit_learn_however_it_is_split() {
    for case in read::<Regression>("regression.json") {
        let rows = case.y_true.len();
        for parts in [1, 2, 7] {
            let mut state = RegressionState::default();
            for part in 0..parts {
                let mut shard = RegressionState::default();
                for row in (0..rows).filter(|row| row % parts == part) {
                    let weight = case.weights.as_ref().map_or(1.0, |weights| weights[row]);
                    shard.push(case.y_true[row], case.y_pred[row], weight).unwrap();
                }
                state.merge(&shard);
            }
            let summary = state.finish().unwrap();
            for (name, got) in [
                ("mae", summary.mae),
                ("mse", summary.mse),
                ("rmse", summary.rmse),
                ("mean_error", summary.mean_error),
                ("mape", summary.mape),
                ("smape", summary.smape),
                ("wape", summary.wape),
                ("r2", summary.r2),
                ("explained_variance", summary.explained_variance),
                ("pearson", summary.pearson),
                ("concordance_correlation", summary.concordance_correlation),
                ("max_error", summary.max_error),
            ] {
                agree(&format!("{}, {name} in {parts} parts", case.name), got, case.metrics[name]);
            }
        }
    }
}

#[derive(Deserialize)]
struct Fairness {
    name: String,
    y_true: Vec<bool>,
    y_pred: Vec<bool>,
    features: Vec<Feature>,
    weights: Option<Vec<f64>>,
    overall: Values,
    groups: Vec<GroupReference>,
    comparisons: BTreeMap<String, ComparisonReference>,
}

#[derive(Deserialize)]
struct Feature {
    name: String,
    categories: Vec<String>,
    codes: Vec<u32>,
}

#[derive(Deserialize)]
struct GroupReference {
    key: Vec<String>,
    values: Values,
}

#[derive(Deserialize)]
struct ComparisonReference {
    difference: Values,
    ratio: Values,
    #[serde(flatten)]
    parity: Values,
}

impl Fairness {
    fn metrics(&self, options: &FairnessOptions) -> GroupMetrics {
        let features: Vec<_> = self
            .features
            .iter()
            .map(|feature| SensitiveFeature::new(&feature.name, &feature.codes, &feature.categories))
            .collect();
        match &self.weights {
            None => GroupMetrics::of(&self.y_true, &self.y_pred, &features, options),
            Some(weights) => GroupMetrics::weighted(&self.y_true, &self.y_pred, weights, &features, options),
        }
        .unwrap()
    }

    fn compare_groups(&self, by_group: &MetricByGroup) {
        let metric = &by_group.metric;
        agree(&format!("{}, {metric} overall", self.name), by_group.overall, self.overall[metric.name()]);
        assert_eq!(by_group.groups.len(), self.groups.len(), "{}", self.name);
        for group in &by_group.groups {
            let key: Vec<&str> = group.group.values().iter().map(|value| value.category.as_str()).collect();
            let reference = self.groups.iter().find(|reference| reference.key == key).unwrap();
            let context = format!("{}, {metric} of {}", self.name, group.group);
            agree(&context, group.value, reference.values[metric.name()]);
        }
    }
}

#[test]
fn group_metrics_and_parity_agree_with_fairlearn() {
    for case in read::<Fairness>("fairness.json") {
        for (method, expected) in &case.comparisons {
            let comparison =
                if method == "to_overall" { Comparison::ToOverall } else { Comparison::BetweenGroups };
            let options = FairnessOptions::fairlearn_0_15().with_comparison(comparison);
            let groups = case.metrics(&options);
            for (metric, difference) in &expected.difference {
                let by_group = groups.by_group(label(metric));
                case.compare_groups(&by_group);
                let context = format!("{}, {metric}, {method}", case.name);
                agree(&format!("{context}, difference"), by_group.difference().value, *difference);
                agree(&format!("{context}, ratio"), by_group.ratio().unwrap().value, expected.ratio[metric]);
            }
            let parities: [(&str, Aggregate); 4] = [
                ("demographic_parity_difference", groups.demographic_parity_difference()),
                ("demographic_parity_ratio", groups.demographic_parity_ratio()),
                ("equal_opportunity_difference", groups.equal_opportunity_difference()),
                ("equal_opportunity_ratio", groups.equal_opportunity_ratio()),
            ];
            for (name, got) in parities {
                agree(&format!("{}, {name}, {method}", case.name), got.value, expected.parity[name]);
            }
            for (suffix, odds) in
                [("worst_case", OddsAggregation::WorstCase), ("mean", OddsAggregation::Mean)]
            {
                let groups = groups.clone().with_options(&options.with_odds(odds)).unwrap();
                for (name, got) in [
                    ("equalized_odds_difference", groups.equalized_odds_difference()),
                    ("equalized_odds_ratio", groups.equalized_odds_ratio()),
                ] {
                    let name = format!("{name}_{suffix}");
                    agree(&format!("{}, {name}, {method}", case.name), got.value, expected.parity[&name]);
                }
            }
        }
    }
}

#[test]
fn the_default_refuses_what_fairlearn_makes_a_number_of() {
    let case = read::<Fairness>("fairness.json").into_iter().find(|c| c.name == "a group without positives");
    let case = case.unwrap();
    let compat = case.metrics(&FairnessOptions::fairlearn_0_15()).equal_opportunity_difference();
    let ours = case.metrics(&FairnessOptions::default().with_minimum_size(1)).equal_opportunity_difference();
    assert_eq!(
        compat.value.value(),
        case.comparisons["between_groups"].parity["equal_opportunity_difference"]
    );
    assert_eq!(ours.value.value(), None);
    assert_eq!(ours.left_out.len(), 1);
}
