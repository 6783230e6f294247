//! The metric frame against Fairlearn, and the laws of its states.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mlops_core::num::parallel::Threads;
use mlops_core::num::{Measured, StatsError, UndefinedReason};
use mlops_eval::catalog::{Direction, Input, Metric};
use mlops_eval::classification::LabelMetric;
use mlops_eval::fairness::{
    Comparison, CustomMetric, FairnessOptions, FourFifths, GroupMetrics, GroupStatus, LeftOutReason, MISSING,
    MetricFrame, SensitiveFeature, Stratum,
};
use mlops_eval::regression::Domain;
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    versions: BTreeMap<String, String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    y_true: Vec<u8>,
    y_pred: Vec<u8>,
    scores: Vec<f64>,
    target: Vec<f64>,
    forecast: Vec<f64>,
    features: Vec<Feature>,
    controls: Vec<Feature>,
    weights: Option<Vec<f64>>,
    label: Vec<Expected>,
    score: Vec<Expected>,
    regression: Vec<Expected>,
}

#[derive(Deserialize)]
struct Feature {
    name: String,
    categories: Vec<String>,
    codes: Vec<u32>,
}

type Values = BTreeMap<String, Option<f64>>;

#[derive(Deserialize)]
struct Expected {
    control: Vec<String>,
    overall: Values,
    groups: Vec<ExpectedGroup>,
    aggregates: BTreeMap<String, Values>,
}

#[derive(Deserialize)]
struct ExpectedGroup {
    key: Vec<String>,
    values: Values,
}

fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/frame.json");
    let file: File = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(file.versions["fairlearn"], "0.15.0");
    assert_eq!(file.cases.len(), 6);
    file.cases
}

fn sensitive(features: &[Feature]) -> Vec<SensitiveFeature<'_>> {
    features.iter().map(|f| SensitiveFeature::new(f.name.clone(), &f.codes, f.categories.clone())).collect()
}

#[track_caller]
fn agree(context: &str, got: Measured, expected: Option<f64>) {
    match (got.value(), expected) {
        (Some(got), Some(expected)) => {
            assert!(
                (got - expected).abs() <= 1e-12 * expected.abs().max(1.0),
                "{context}: {got} not {expected}"
            );
        }
        (got, expected) => assert_eq!(got, expected, "{context}"),
    }
}

fn compare(context: &str, metric: Metric, strata: &[Stratum], expected: &[Expected]) {
    let name = metric.name();
    assert_eq!(strata.len(), expected.len(), "{context}");
    for (stratum, expected) in strata.iter().zip(expected) {
        let categories: Vec<&str> = stratum.control.values().iter().map(|v| v.category.as_str()).collect();
        assert_eq!(categories, expected.control, "{context}");
        let by_group = &stratum.by_group;
        let context = format!("{context}, {}, {name}", stratum.control);
        agree(&format!("{context} overall"), by_group.overall, expected.overall[name]);
        assert_eq!(by_group.groups.len(), expected.groups.len(), "{context}");
        for group in &expected.groups {
            let key: Vec<&str> = group.key.iter().map(String::as_str).collect();
            agree(&format!("{context} {key:?}"), by_group.get(&key).unwrap().value, group.values[name]);
        }
        let value = |aggregate: &str| expected.aggregates[aggregate][name];
        agree(&format!("{context} min"), by_group.min().value, value("min"));
        agree(&format!("{context} max"), by_group.max().value, value("max"));
        for (method, comparison) in
            [("between_groups", Comparison::BetweenGroups), ("to_overall", Comparison::ToOverall)]
        {
            let difference = by_group.difference_with(comparison).value;
            agree(
                &format!("{context} difference {method}"),
                difference,
                value(&format!("difference_{method}")),
            );
            match by_group.ratio_with(comparison) {
                Ok(ratio) => {
                    agree(&format!("{context} ratio"), ratio.value, value(&format!("ratio_{method}")))
                }
                Err(error) => {
                    assert_eq!(name, "r2");
                    assert!(matches!(error, StatsError::Unsupported { what: "r2", .. }));
                }
            }
        }
    }
}

#[test]
fn frames_agree_with_fairlearn() {
    for case in cases() {
        let bools = |values: &[u8]| values.iter().map(|v| *v == 1).collect::<Vec<_>>();
        let (y_true, y_pred) = (bools(&case.y_true), bools(&case.y_pred));
        let (features, controls) = (sensitive(&case.features), sensitive(&case.controls));
        let binary = Input::binary(&y_true).with_labels(&y_pred).with_scores(&case.scores);
        let numbers = Input::regression(&case.target, &case.forecast);
        let families = [(binary, &case.label), (binary, &case.score), (numbers, &case.regression)];
        for (input, expected) in families {
            let input = case.weights.as_ref().map_or(input, |weights| input.with_weights(weights));
            let metrics: Vec<Metric> = expected[0].overall.keys().map(|name| name.parse().unwrap()).collect();
            let options = FairnessOptions::fairlearn_0_15();
            let frame = MetricFrame::of(&input, &metrics, &features, &controls, &options).unwrap();
            for &metric in &metrics {
                compare(&case.name, metric, &frame.by_stratum(metric).unwrap(), expected);
            }
            if case.weights.is_none() {
                let ones = vec![1.0; y_true.len()];
                let weighted = input.with_weights(&ones);
                let frame = MetricFrame::of(&weighted, &metrics, &features, &controls, &options).unwrap();
                for &metric in &metrics {
                    compare(&case.name, metric, &frame.by_stratum(metric).unwrap(), expected);
                }
            }
        }
    }
}

/// Rows of every kind, in no order.
struct Data {
    y_true: Vec<bool>,
    y_pred: Vec<bool>,
    scores: Vec<f64>,
    target: Vec<f64>,
    forecast: Vec<f64>,
    weights: Vec<f64>,
    codes: [Vec<u32>; 3],
}

fn data(n: usize) -> Data {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 40
    };
    let mut draw = |k: u64| (0..n).map(|_| next() % k).collect::<Vec<_>>();
    let f = |values: Vec<u64>, scale: f64| values.into_iter().map(|v| v as f64 / scale).collect::<Vec<f64>>();
    let b = |values: Vec<u64>| values.into_iter().map(|v| v == 0).collect::<Vec<bool>>();
    let c = |values: Vec<u64>| values.into_iter().map(|v| u32::try_from(v).unwrap()).collect::<Vec<u32>>();
    Data {
        y_true: b(draw(2)),
        y_pred: b(draw(3)),
        scores: f(draw(101), 100.0),
        // Above 0, as some deviances need.
        target: f(draw(64), 8.0).into_iter().map(|value| value + 0.125).collect(),
        forecast: f(draw(64), 8.0).into_iter().map(|value| value + 0.125).collect(),
        weights: f(draw(9), 4.0),
        codes: [c(draw(2)), c(draw(3)), c(draw(2))],
    }
}

impl Data {
    fn part(&self, rows: std::ops::Range<usize>) -> Self {
        let cut = |values: &[f64]| values[rows.clone()].to_vec();
        Self {
            y_true: self.y_true[rows.clone()].to_vec(),
            y_pred: self.y_pred[rows.clone()].to_vec(),
            scores: cut(&self.scores),
            target: cut(&self.target),
            forecast: cut(&self.forecast),
            weights: cut(&self.weights),
            codes: [0, 1, 2].map(|i| self.codes[i][rows.clone()].to_vec()),
        }
    }

    fn inputs(&self) -> [Input<'_>; 4] {
        let binary = Input::binary(&self.y_true).with_labels(&self.y_pred).with_scores(&self.scores);
        let numbers = Input::regression(&self.target, &self.forecast);
        [binary, numbers, binary.with_weights(&self.weights), numbers.with_weights(&self.weights)]
    }

    fn features(&self) -> [SensitiveFeature<'_>; 2] {
        [
            SensitiveFeature::new("sex", &self.codes[0], ["f", "m"]),
            SensitiveFeature::new("age", &self.codes[1], ["a", "b", "c"]),
        ]
    }

    fn controls(&self) -> [SensitiveFeature<'_>; 1] {
        [SensitiveFeature::new("site", &self.codes[2], ["north", "south"])]
    }
}

fn supported(input: &Input<'_>) -> Vec<Metric> {
    // Forecasts of 0 are no mean of a Poisson or gamma law.
    let defined = |metric: &Metric| match metric {
        Metric::Regression(metric) => metric.domain() == Domain::Real,
        _ => true,
    };
    Metric::all().filter(|metric| input.supports(*metric) && defined(metric)).collect()
}

fn close(a: Measured, b: Measured) -> bool {
    match (a.value(), b.value()) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-12 * a.abs().max(1.0),
        (a, b) => a == b,
    }
}

#[test]
fn parts_merge_into_the_whole_and_survive_a_file() {
    let (whole, options) = (data(600), FairnessOptions::default());
    let parts = [whole.part(0..250), whole.part(250..600)];
    for (index, input) in whole.inputs().into_iter().enumerate() {
        let metrics = supported(&input);
        let frame =
            MetricFrame::of(&input, &metrics, &whole.features(), &whole.controls(), &options).unwrap();
        let mut merged = MetricFrame::of(
            &parts[0].inputs()[index],
            &metrics,
            &parts[0].features(),
            &parts[0].controls(),
            &options,
        )
        .unwrap();
        merged.push(&parts[1].inputs()[index], &parts[1].features(), &parts[1].controls()).unwrap();
        let text = serde_json::to_string(&merged).unwrap();
        let read: MetricFrame = serde_json::from_str(&text).unwrap();
        assert_eq!(read, merged);
        for &metric in &metrics {
            let (all, sum) = (frame.by_stratum(metric).unwrap(), read.by_stratum(metric).unwrap());
            for (all, sum) in all.iter().zip(&sum) {
                assert_eq!(all.rows, sum.rows);
                assert!(close(all.by_group.overall, sum.by_group.overall), "{metric}");
                for (all, sum) in all.by_group.groups.iter().zip(&sum.by_group.groups) {
                    assert_eq!((all.rows, all.status), (sum.rows, sum.status));
                    assert!(close(all.value, sum.value), "{metric}: {:?} {:?}", all.value, sum.value);
                }
            }
        }
    }
}

#[test]
fn every_group_is_measured_like_its_rows() {
    let data = data(500);
    for input in data.inputs() {
        let metrics = supported(&input);
        let options = FairnessOptions::default();
        let frame = MetricFrame::of(&input, &metrics, &data.features(), &[], &options).unwrap();
        let inside: Vec<usize> =
            (0..500).filter(|&row| data.codes[0][row] == 1 && data.codes[1][row] == 2).collect();
        let pick = |values: &[f64]| inside.iter().map(|&row| values[row]).collect::<Vec<_>>();
        let bools = |values: &[bool]| inside.iter().map(|&row| values[row]).collect::<Vec<_>>();
        let (y_true, y_pred, scores) = (bools(&data.y_true), bools(&data.y_pred), pick(&data.scores));
        let (target, forecast, weights) = (pick(&data.target), pick(&data.forecast), pick(&data.weights));
        for &metric in &metrics {
            let part = if matches!(metric, Metric::Regression(_)) {
                Input::regression(&target, &forecast)
            } else {
                Input::binary(&y_true).with_labels(&y_pred).with_scores(&scores)
            };
            let weighed = format!("{input:?}").contains("weights: Some");
            let part = if weighed { part.with_weights(&weights) } else { part };
            let by_group = frame.by_group(metric).unwrap();
            let group = by_group.get(&["m", "c"]).unwrap();
            assert_eq!(group.rows as usize, inside.len());
            assert!(close(group.value, metric.evaluate(&part).unwrap()), "{metric}");
            assert!(close(by_group.overall, metric.evaluate(&input).unwrap()), "{metric}");
        }
    }
}

#[test]
fn threads_and_margins_do_not_change_what_is_counted() {
    let data = data(400);
    for input in data.inputs() {
        let metrics = supported(&input);
        let options = FairnessOptions::default();
        let of = |threads| {
            let (features, controls) = (data.features(), data.controls());
            MetricFrame::parallel(&input, &metrics, &features, &controls, &options, threads).unwrap()
        };
        let frame = of(Threads::ONE);
        assert_eq!(frame, of(Threads::new(3)));
        let margin = frame.without_controls().unwrap().margin(&["age"]).unwrap();
        let direct = MetricFrame::of(&input, &metrics, &data.features()[1..], &[], &options).unwrap();
        for &metric in &metrics {
            let (margin, direct) = (margin.by_group(metric).unwrap(), direct.by_group(metric).unwrap());
            for (margin, direct) in margin.groups.iter().zip(&direct.groups) {
                assert_eq!((&margin.group, margin.rows), (&direct.group, direct.rows));
                assert!(close(margin.value, direct.value), "{metric}");
            }
        }
        assert!(matches!(frame.by_group(metrics[0]), Err(StatsError::Unsupported { .. })));
        assert!(matches!(frame.margin(&["height"]), Err(StatsError::Unsupported { .. })));
        assert!(matches!(frame.margin(&[]), Err(StatsError::Empty { .. })));
        assert!(matches!(frame.margin(&["sex", "sex"]), Err(StatsError::Unsupported { .. })));
    }
}

#[test]
fn the_rest_is_everybody_else() {
    let data = data(300);
    for input in data.inputs() {
        let metrics = supported(&input);
        let options = FairnessOptions::default();
        let feature = [data.features()[1].clone()];
        let frame = MetricFrame::of(&input, &metrics, &feature, &[], &options).unwrap();
        // The rest of "b" is one group of a coarser feature.
        let other: Vec<u32> = data.codes[1].iter().map(|code| u32::from(*code != 1)).collect();
        let halves = [SensitiveFeature::new("age", &other, ["b", "rest"])];
        let halves = MetricFrame::of(&input, &metrics, &halves, &[], &options).unwrap();
        for &metric in &metrics {
            let (_, contrasts) = &frame.one_vs_rest(metric).unwrap()[0];
            assert_eq!(contrasts.contrasts.len(), 3);
            let rest = halves.by_group(metric).unwrap().get(&["rest"]).unwrap().value;
            assert!(close(contrasts.contrasts[1].against, rest), "{metric}");
        }
    }
}

#[test]
fn strata_judge_their_own_rows() {
    // Nobody of group b works nights: nothing can be said about b there.
    let (group, shift) = ([0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1]);
    let features = [SensitiveFeature::new("group", &group, ["a", "b"])];
    let controls = [SensitiveFeature::new("shift", &shift, ["day", "night"])];
    let labels = [true, false, true, true, true, true];
    let input = Input::binary(&labels).with_labels(&labels);
    let metric: Metric = "selection_rate".parse().unwrap();
    let options = FairnessOptions::default().with_minimum_size(2);
    let frame = MetricFrame::of(&input, &[metric], &features, &controls, &options).unwrap();
    let strata = frame.by_stratum(metric).unwrap();
    assert_eq!(strata[0].by_group.difference().value, Measured::Value(0.5));
    assert!(strata[0].by_group.difference().is_complete());
    assert_eq!((strata[1].rows, strata[1].weight), (2, 2.0));
    assert_eq!(strata[1].by_group.groups[1].status, GroupStatus::Absent);
    let night = strata[1].by_group.difference();
    assert_eq!(night.value.undefined().unwrap().reason, UndefinedReason::TooFew);
    assert_eq!(night.left_out[0].reason, LeftOutReason::Absent);
    let named = &frame.group_metrics().unwrap()[0];
    assert_eq!(named.metrics.demographic_parity_difference().value, Measured::Value(0.5));
    assert_eq!(named.metrics.confusions().map(<[_]>::len), Some(2));
}

#[test]
fn worst_off_reference_and_left_out_are_named() {
    let codes: Vec<u32> = [vec![0; 10], vec![1; 10], vec![2; 3]].concat();
    let y_pred: Vec<bool> = (0..23).map(|row| row % 10 < if row < 10 { 8 } else { 5 }).collect();
    let features = [SensitiveFeature::new("group", &codes, ["a", "b", "small"])];
    let input = Input::binary(&[true; 23]).with_labels(&y_pred);
    let metrics: [Metric; 3] =
        ["recall", "false_negative_rate", "selection_rate"].map(|name| name.parse().unwrap());
    let frame = MetricFrame::of(&input, &metrics, &features, &[], &FairnessOptions::default()).unwrap();
    for metric in &metrics[..2] {
        let worst = frame.by_group(*metric).unwrap().worst().unwrap();
        assert_eq!(worst.group.unwrap().to_string(), "group=b", "{metric}");
        assert_eq!(worst.left_out[0].group.to_string(), "group=small");
    }
    let rates = frame.by_group(metrics[2]).unwrap();
    assert!(matches!(rates.worst(), Err(StatsError::Unsupported { .. })));
    let against = rates.against_reference(&["a"]).unwrap();
    assert_eq!(against.contrasts.len(), 2);
    assert!((against.contrasts[0].difference.value().unwrap() + 0.3).abs() < 1e-15);
    assert!((against.contrasts[0].ratio.unwrap().value().unwrap() - 0.625).abs() < 1e-15);
    assert_eq!(against.contrasts[1].difference.value(), None);
    assert!(!against.is_complete());
    assert!(rates.against_reference(&["z"]).is_err());
}

#[test]
fn four_fifths_names_the_groups_that_fall_short() {
    let impact = |selected: [u32; 3]| {
        let codes: Vec<u32> = (0..60).map(|row| row / 20).collect();
        let y_pred: Vec<bool> = (0..60).map(|row| row % 20 < selected[(row / 20) as usize]).collect();
        let groups = [SensitiveFeature::new("group", &codes, ["a", "b", "c"])];
        GroupMetrics::of(&y_pred, &y_pred, &groups, &FairnessOptions::default()).unwrap().disparate_impact()
    };
    // 8/20 is four fifths of 10/20, and not below it.
    let met = impact([10, 8, 9]);
    assert_eq!((met.verdict, met.groups.iter().filter(|g| g.adverse).count()), (FourFifths::Met, 0));
    let adverse = impact([10, 7, 8]);
    assert_eq!(adverse.verdict, FourFifths::AdverseImpact);
    let short: Vec<String> =
        adverse.groups.iter().filter(|g| g.adverse).map(|g| g.group.to_string()).collect();
    assert_eq!(short, ["group=b"]);
    assert_eq!(impact([0, 0, 0]).verdict, FourFifths::Undetermined);
    // A group that is too small leaves it open whether the rule is met.
    let codes: Vec<u32> = [vec![0; 12], vec![1; 12], vec![2; 3]].concat();
    let groups = [SensitiveFeature::new("group", &codes, ["a", "b", "c"])];
    let groups = GroupMetrics::of(&[true; 27], &[true; 27], &groups, &FairnessOptions::default()).unwrap();
    assert_eq!(groups.disparate_impact().verdict, FourFifths::Undetermined);
}

#[test]
fn average_odds_follow_their_definition() {
    // Unprivileged: TPR 1/2, FPR 1/4. Privileged: TPR 3/4, FPR 1/8.
    let mut rows: Vec<(u32, bool, bool)> = Vec::new();
    for (group, truth, positive, negative) in
        [(0, true, 2, 2), (0, false, 1, 3), (1, true, 3, 1), (1, false, 1, 7)]
    {
        rows.extend(vec![(group, truth, true); positive]);
        rows.extend(vec![(group, truth, false); negative]);
    }
    let codes: Vec<u32> = rows.iter().map(|row| row.0).collect();
    let (t, p): (Vec<bool>, Vec<bool>) = rows.iter().map(|row| (row.1, row.2)).unzip();
    let sex = [SensitiveFeature::new("sex", &codes, ["f", "m"])];
    let groups = GroupMetrics::of(&t, &p, &sex, &FairnessOptions::default().with_minimum_size(4)).unwrap();
    let odds = groups.average_odds(&["m"]).unwrap();
    assert_eq!(odds.reference.to_string(), "sex=m");
    assert_eq!(odds.groups[0].average_difference.value(), Some((-0.25 + 0.125) / 2.0));
    assert_eq!(odds.groups[0].average_absolute.value(), Some((0.25 + 0.125) / 2.0));
    assert!(groups.average_odds(&["x"]).is_err());
}

#[test]
fn a_metric_of_ones_own_sees_the_rows_of_each_group() {
    let data = data(200);
    let input = Input::regression(&data.target, &data.forecast).with_weights(&data.weights);
    let (features, controls, options) = (data.features(), data.controls(), FairnessOptions::default());
    let frame = MetricFrame::keeping_rows(&input, &[], &features, &controls, &options).unwrap();
    let mae: Metric = "mae".parse().unwrap();
    let own = CustomMetric::new("own", Direction::LowerIsBetter);
    let strata = frame.custom_by_stratum(own.clone(), |rows| mae.evaluate(rows)).unwrap();
    let expected = MetricFrame::of(&input, &[mae], &features, &controls, &options).unwrap();
    for (own, mae) in strata.iter().zip(expected.by_stratum(mae).unwrap()) {
        assert!(close(own.by_group.difference().value, mae.by_group.difference().value));
        assert!(own.by_group.ratio().is_err(), "it may be negative for all that is known");
        assert!(own.by_group.worst().unwrap().group.is_some());
    }
    let nan = frame.custom_by_stratum(own.clone(), |_| Ok(Measured::Value(f64::NAN))).unwrap();
    assert_eq!(nan[0].by_group.difference().value.value(), None);
    let bare = MetricFrame::of(&input, &[mae], &features, &controls, &options).unwrap();
    assert!(matches!(
        bare.custom_by_stratum(own, |rows| mae.evaluate(rows)),
        Err(StatsError::Unsupported { .. })
    ));
}

#[test]
fn classes_that_are_codes_have_frames_too() {
    let data = data(300);
    let codes =
        |values: &[f64]| values.iter().map(|v| u32::from(*v > 2.0) + u32::from(*v > 5.0)).collect::<Vec<_>>();
    let (y_true, y_pred) = (codes(&data.target), codes(&data.forecast));
    let input = Input::multiclass(&y_true, &y_pred, 3);
    let metric = Metric::Label(LabelMetric::F1);
    let frame =
        MetricFrame::of(&input, &[metric], &data.features(), &[], &FairnessOptions::default()).unwrap();
    let by_group = frame.by_group(metric).unwrap();
    assert_eq!(by_group.overall, metric.evaluate(&input).unwrap());
    assert!(by_group.difference().value.value().is_some());
    assert!(frame.group_metrics().is_err());
}

#[test]
fn calibration_within_groups_is_the_binned_gap() {
    let data = data(400);
    let input = Input::binary(&data.y_true).with_scores(&data.scores);
    let metric: Metric = "brier".parse().unwrap();
    let frame =
        MetricFrame::of(&input, &[metric], &data.features()[..1], &[], &FairnessOptions::default()).unwrap();
    let gaps = &frame.calibration_gap(5).unwrap()[0].by_group;
    for group in 0..2_usize {
        let mut bins = [(0.0, 0.0); 5];
        let mut rows = 0.0;
        for row in (0..400).filter(|&row| data.codes[0][row] as usize == group) {
            let score = data.scores[row];
            let bin = (1..5).filter(|edge| score > *edge as f64 / 5.0).count();
            bins[bin].0 += score;
            bins[bin].1 += f64::from(u8::from(data.y_true[row]));
            rows += 1.0;
        }
        let expected =
            bins.iter().map(|(score, positive): &(f64, f64)| (score - positive).abs()).sum::<f64>() / rows;
        assert!((gaps.groups[group].value.value().unwrap() - expected).abs() < 1e-12);
    }
    assert!(frame.calibration_gap(0).is_err() && frame.calibration_gap(usize::MAX).is_err());
}

#[test]
fn missing_values_are_a_group() {
    let sex = [SensitiveFeature::from_optional("sex", &[Some("f"), None, Some("m"), None])];
    let input = Input::binary(&[true; 4]).with_labels(&[true, false, true, false]);
    let metric: Metric = "recall".parse().unwrap();
    let frame = MetricFrame::of(&input, &[metric], &sex, &[], &FairnessOptions::fairlearn_0_15()).unwrap();
    let by_group = frame.by_group(metric).unwrap();
    assert_eq!(by_group.get(&[MISSING]).unwrap().value, Measured::Value(0.0));
    assert_eq!(by_group.difference().value, Measured::Value(1.0));
}

#[test]
fn what_does_not_fit_is_refused_and_named() {
    let data = data(20);
    let options = FairnessOptions::default();
    let auc: Metric = "roc_auc".parse().unwrap();
    let of = |input: &Input<'_>, features: &[SensitiveFeature<'_>], controls: &[SensitiveFeature<'_>]| {
        MetricFrame::of(input, &[auc], features, controls, &options)
    };
    let labels = Input::binary(&data.y_true).with_labels(&data.y_pred);
    assert!(matches!(
        of(&labels, &data.features(), &[]),
        Err(StatsError::Unsupported { what: "roc_auc", .. })
    ));
    let scored = Input::binary(&data.y_true).with_scores(&data.scores);
    assert_eq!(of(&scored, &[], &[]), Err(StatsError::Empty { argument: "sensitive_features" }));
    let sex = [data.features()[0].clone()];
    assert!(
        matches!(of(&scored, &sex, &sex), Err(StatsError::Unsupported { .. })),
        "a feature that is a control too"
    );
    let short = [SensitiveFeature::new("sex", &data.codes[0][..5], ["f", "m"])];
    assert!(matches!(of(&scored, &short, &[]), Err(StatsError::LengthMismatch { .. })));
    let unknown = [SensitiveFeature::new("age", &data.codes[1], ["a"])];
    assert!(matches!(of(&scored, &unknown, &[]), Err(StatsError::UnknownCode { .. })));
    let mut scores = data.scores.clone();
    scores[17] = f64::NAN;
    let nan = Input::binary(&data.y_true).with_scores(&scores);
    assert_eq!(of(&nan, &sex, &[]), Err(StatsError::Nan { argument: "scores", index: 17 }));
    let weights: Vec<f64> = (0..20).map(|row| if row == 9 { -1.0 } else { 1.0 }).collect();
    let negative = scored.with_weights(&weights);
    assert!(matches!(of(&negative, &sex, &[]), Err(StatsError::OutOfRange { index: 9, .. })));

    let mut frame = of(&scored, &sex, &[]).unwrap();
    let before = frame.clone();
    let other = of(&scored, &data.features(), &[]).unwrap();
    assert!(matches!(frame.merge(&other), Err(StatsError::Incompatible { .. })));
    let mae: Metric = "mae".parse().unwrap();
    assert!(matches!(frame.by_group(mae), Err(StatsError::Unsupported { what: "mae", .. })));
    assert_eq!(frame, before);
}

#[test]
fn a_forged_file_is_refused() {
    let data = data(30);
    let [binary, ..] = data.inputs();
    let options = FairnessOptions::default();
    let metrics = supported(&binary);
    let frame = MetricFrame::keeping_rows(&binary, &metrics, &data.features()[..1], &[], &options).unwrap();
    let text = serde_json::to_string(&frame).unwrap();
    let mut broken = 0;
    for (old, new) in [
        (r#""categories":["f","m"]"#, r#""categories":["f"]"#),
        (r#""categories":["f","m"]"#, r#""categories":["f","f"]"#),
        (r#""controls":0"#, r#""controls":1"#),
        (r#""rows":"#, r#""rows":9"#),
        (r#""weight":"#, r#""weight":-"#),
        (r#""y_true":["#, r#""y_true":[true,"#),
        (r#""confidence":0.95"#, r#""confidence":1.5"#),
        (r#""scores":["#, r#""scores":null,"x":["#),
        (r#""metrics":["#, r#""metrics":["mae","#),
    ] {
        assert!(text.contains(old), "{old}");
        assert!(serde_json::from_str::<MetricFrame>(&text.replacen(old, new, 1)).is_err(), "{old} -> {new}");
        broken += 1;
    }
    assert_eq!(broken, 9);
    assert_eq!(serde_json::from_str::<MetricFrame>(&text).unwrap(), frame);
}

#[test]
fn several_classes_have_every_metric_of_their_groups_and_survive_a_file() {
    let rows = 90;
    let truth: Vec<u32> = (0..rows).map(|row| row * 7 % 3).collect();
    let said: Vec<u32> = (0..rows).map(|row| if row % 4 == 0 { row % 3 } else { row * 7 % 3 }).collect();
    let wide = |row: u32| {
        let sure = 0.4 + f64::from(row * 13 % 50) / 100.0;
        let mut shares = [(1.0 - sure) * 0.4; 3];
        shares[(said[row as usize] as usize + 1) % 3] = (1.0 - sure) * 0.6;
        shares[said[row as usize] as usize] = sure;
        shares
    };
    let probabilities: Vec<f64> = (0..rows).flat_map(wide).collect();
    let codes: Vec<u32> = (0..rows).map(|row| row / 10 % 2).collect();
    let whole = Input::multiclass(&truth, &said, 3).with_probabilities(&probabilities);
    let metrics: Vec<Metric> = Metric::all().filter(|metric| whole.supports(*metric)).collect();
    let feature = [SensitiveFeature::new("sex", &codes, ["f", "m"])];
    let frame = MetricFrame::of(&whole, &metrics, &feature, &[], &FairnessOptions::default()).unwrap();
    let text = serde_json::to_string(&frame).unwrap();
    let read: MetricFrame = serde_json::from_str(&text).unwrap();
    for group in 0..2_u32 {
        let inside: Vec<usize> = (0..rows as usize).filter(|row| codes[*row] == group).collect();
        let of = |values: &[u32]| inside.iter().map(|row| values[*row]).collect::<Vec<_>>();
        let (truth, said) = (of(&truth), of(&said));
        let shares = inside.iter().flat_map(|row| &probabilities[3 * row..3 * row + 3]);
        let shares: Vec<f64> = shares.copied().collect();
        let part = Input::multiclass(&truth, &said, 3).with_probabilities(&shares);
        for &metric in &metrics {
            for frame in [&frame, &read] {
                let found = frame.by_group(metric).unwrap().groups[group as usize].value;
                assert_eq!(found, metric.evaluate(&part).unwrap(), "{metric} {group}");
            }
        }
    }
    let cut = text.replacen("\"probabilities\":[", "\"probabilities\":[0.5,", 1);
    assert_ne!(cut, text);
    assert!(serde_json::from_str::<MetricFrame>(&cut).is_err(), "more probabilities than rows have");
}
