//! Laws that every metric of the catalogue obeys, on hostile numbers: nothing panics, nothing is NaN, order does not
//! matter, weights of 1 do not matter, parts add up to the whole.

use mlops_core::num::{Measured, StatsError};
use mlops_eval::catalog::{Input, Metric};
use mlops_eval::classification::{
    Confusion, ConfusionMatrix, LogLossOptions, f_beta, log_loss_with, roc_auc, roc_curve,
};
use mlops_eval::fairness::{FairnessOptions, GroupErrors, GroupMetrics, SensitiveFeature};
use mlops_eval::interval::wilson;
use mlops_eval::regression::{Domain, RegressionMetric, RegressionState};
use mlops_eval::slice::{Slice, SliceOptions, evaluate_slices};
use proptest::prelude::*;

/// Any f64 there is, with the awkward ones often.
fn hostile() -> impl Strategy<Value = f64> {
    prop_oneof![
        prop::num::f64::ANY,
        prop::sample::select(vec![
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.5,
            5e-324,
            f64::MIN_POSITIVE,
            f64::EPSILON,
            1e-300,
            1e300,
            f64::MAX,
            f64::MIN,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ]),
        0.0..1.0_f64,
    ]
}

#[derive(Clone, Debug)]
struct Row {
    t: bool,
    p: bool,
    score: f64,
    y: f64,
    forecast: f64,
    weight: f64,
    group: u32,
}

prop_compose! {
    fn tame_row()(
        t: bool,
        p: bool,
        score in prop_oneof![0.0..=1.0_f64, prop::sample::select(vec![0.0, 0.25, 0.5, 1.0])],
        y in -1e3..1e3_f64,
        forecast in -1e3..1e3_f64,
        weight in prop_oneof![Just(0.0), 0.01..10.0_f64],
        group in 0..3_u32,
    ) -> Row {
        Row { t, p, score, y, forecast, weight, group }
    }
}

struct Columns {
    t: Vec<bool>,
    p: Vec<bool>,
    scores: Vec<f64>,
    y: Vec<f64>,
    forecasts: Vec<f64>,
    positive_y: Vec<f64>,
    positive_forecasts: Vec<f64>,
    weights: Vec<f64>,
    groups: Vec<u32>,
    codes: Vec<u32>,
    said: Vec<u32>,
    probabilities: Vec<f64>,
}

/// The classes of the rows' codes.
const CLASSES: usize = 6;

impl Columns {
    fn of(rows: &[Row]) -> Self {
        let code = |side: bool, row: &Row| 2 * row.group + u32::from(side);
        let wide = |row: &Row| {
            let rest = 1.0 - row.score;
            [row.score, 0.05 * rest, 0.1 * rest, 0.15 * rest, 0.3 * rest, 0.4 * rest]
        };
        Self {
            codes: rows.iter().map(|row| code(row.t, row)).collect(),
            said: rows.iter().map(|row| code(row.p, row)).collect(),
            probabilities: rows.iter().flat_map(wide).collect(),
            t: rows.iter().map(|row| row.t).collect(),
            p: rows.iter().map(|row| row.p).collect(),
            scores: rows.iter().map(|row| row.score).collect(),
            y: rows.iter().map(|row| row.y).collect(),
            forecasts: rows.iter().map(|row| row.forecast).collect(),
            positive_y: rows.iter().map(|row| row.y.abs() + 0.1).collect(),
            positive_forecasts: rows.iter().map(|row| row.forecast.abs() + 0.1).collect(),
            weights: rows.iter().map(|row| row.weight).collect(),
            groups: rows.iter().map(|row| row.group).collect(),
        }
    }

    fn inputs(&self) -> [Input<'_>; 2] {
        [
            Input::binary(&self.t).with_labels(&self.p).with_scores(&self.scores),
            Input::regression(&self.y, &self.forecasts),
        ]
    }

    fn classes(&self) -> Input<'_> {
        Input::multiclass(&self.codes, &self.said, CLASSES).with_probabilities(&self.probabilities)
    }

    /// What a metric is for: some are defined for positive numbers alone.
    fn input_for<'a>(&'a self, metric: Metric, input: Input<'a>) -> Input<'a> {
        match metric {
            Metric::Regression(metric) if metric.domain() != Domain::Real => {
                Input::regression(&self.positive_y, &self.positive_forecasts)
            }
            _ => input,
        }
    }

    fn feature(&self) -> [SensitiveFeature<'_>; 1] {
        [SensitiveFeature::new("group", &self.groups, ["a", "b", "c"])]
    }
}

/// Every metric of every input that has it.
fn all(columns: &Columns, weights: Option<&[f64]>) -> Vec<(Metric, Result<Measured, StatsError>)> {
    let mut results = Vec::new();
    for input in columns.inputs() {
        for metric in Metric::all().filter(|metric| input.supports(*metric)) {
            let input = columns.input_for(metric, input);
            let input = weights.map_or(input, |weights| input.with_weights(weights));
            results.push((metric, metric.evaluate(&input)));
        }
    }
    let only_of_classes = |metric: &Metric| matches!(metric, Metric::Multiclass(_));
    assert_eq!(results.len(), without_classes(), "the laws cover every metric");
    // Those that binary rows have too are others here. One takes as long as all the others together.
    let fit = |metric: &Metric| columns.classes().supports(*metric) && metric.name() != "smooth_ece";
    for metric in Metric::all().filter(fit) {
        let input = weights.map_or(columns.classes(), |weights| columns.classes().with_weights(weights));
        results.push((metric, metric.evaluate(&input)));
    }
    let of_classes = results.iter().filter(|(metric, _)| only_of_classes(metric)).count();
    assert_eq!(of_classes + without_classes(), Metric::all().count(), "the laws cover every metric");
    results
}

/// How many metrics are not of several classes alone; they come first.
fn without_classes() -> usize {
    Metric::all().filter(|metric| !matches!(metric, Metric::Multiclass(_))).count()
}

fn close(a: &Result<Measured, StatsError>, b: &Result<Measured, StatsError>) -> bool {
    match (a, b) {
        (Ok(Measured::Value(a)), Ok(Measured::Value(b))) => (a - b).abs() <= 1e-9 * a.abs().max(1.0),
        (Ok(a), Ok(b)) => a.value().is_none() && b.value().is_none(),
        (a, b) => a == b,
    }
}

fn is_a_number_or_a_reason(result: &Result<Measured, StatsError>, metric: Metric) -> bool {
    let (low, high) = metric.range();
    match result {
        Ok(Measured::Value(value)) => value.is_finite() && (low..=high).contains(value),
        _ => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn hostile_input_gives_a_number_a_reason_or_an_error(
        t in prop::collection::vec(any::<bool>(), 0..12),
        p in prop::collection::vec(any::<bool>(), 0..12),
        a in prop::collection::vec(hostile(), 0..12),
        b in prop::collection::vec(hostile(), 0..12),
        weights in prop::option::of(prop::collection::vec(hostile(), 0..12)),
        codes in prop::collection::vec(0..4_u32, 0..12),
        same_length: bool,
    ) {
        let n = if same_length { [t.len(), p.len(), a.len(), b.len(), codes.len()].into_iter().min().unwrap() } else { 12 };
        let cut = |len: usize| len.min(n);
        let (t, p, a, b) = (&t[..cut(t.len())], &p[..cut(p.len())], &a[..cut(a.len())], &b[..cut(b.len())]);
        let codes = &codes[..cut(codes.len())];
        let weights = weights.as_ref().map(|w| &w[..cut(w.len())]);
        let unit: Vec<f64> = a.iter().map(|x| x.abs().min(1.0)).collect();
        let shares = |p: f64| [0.5 * p, 1.0 - p, 0.25 * p, 0.25 * p];
        let wide: Vec<f64> = codes.iter().zip(unit.iter().cycle()).flat_map(|(_, p)| shares(*p)).collect();
        let inputs = [
            Input::binary(t).with_labels(p).with_scores(a),
            Input::binary(t).with_scores(&unit),
            Input::multiclass(codes, codes, 3),
            Input::multiclass(codes, codes, 3).with_probabilities(a),
            Input::multiclass(codes, codes, 4).with_probabilities(&wide),
            Input::regression(a, b),
        ];
        for input in inputs {
            let input = weights.map_or(input, |weights| input.with_weights(weights));
            // It takes far longer than any other.
            let dear = |metric: &Metric| metric.name() == "smooth_ece" && (t.len() + codes.len()) % 8 != 0;
            for metric in Metric::all().filter(|metric| !dear(metric)) {
                let result = metric.evaluate(&input);
                prop_assert!(is_a_number_or_a_reason(&result, metric), "{} {:?}", metric, result);
            }
            let slices = [Slice::range("range", a, ..0.5), Slice::missing("missing", b)];
            let supported: Vec<Metric> =
                Metric::all().filter(|metric| input.supports(*metric) && !dear(metric)).collect();
            for slice in evaluate_slices(&input, &slices, &supported, &SliceOptions::default().with_minimum_size(1)).into_iter().flatten() {
                for value in slice.values {
                    prop_assert!(is_a_number_or_a_reason(&Ok(value.value), value.metric));
                }
            }
        }
        let curve = roc_curve(t, a);
        prop_assert!(curve.is_err() || curve.is_ok_and(|curve| curve.points.len() <= t.len() + 1));
    }

    #[test]
    fn hostile_groups_give_numbers_reasons_or_errors(
        rows in prop::collection::vec((any::<bool>(), any::<bool>(), 0..4_u32, hostile(), hostile(), hostile()), 0..20),
        minimum in 0..4_u64,
        confidence in hostile(),
    ) {
        let t: Vec<bool> = rows.iter().map(|row| row.0).collect();
        let p: Vec<bool> = rows.iter().map(|row| row.1).collect();
        let codes: Vec<u32> = rows.iter().map(|row| row.2).collect();
        let (y, f, w): (Vec<f64>, Vec<f64>, Vec<f64>) = (
            rows.iter().map(|row| row.3).collect(),
            rows.iter().map(|row| row.4).collect(),
            rows.iter().map(|row| row.5).collect(),
        );
        let feature = || [SensitiveFeature::new("group", &codes, ["a", "b", "c"])];
        for options in [FairnessOptions::default().with_minimum_size(minimum), FairnessOptions::fairlearn_0_15(), FairnessOptions::default().with_confidence(confidence)] {
            let counted = GroupMetrics::of(&t, &p, &feature(), &options);
            let weighted = GroupMetrics::weighted(&t, &p, &w, &feature(), &options);
            for groups in [counted, weighted].into_iter().flatten() {
                for metric in Metric::all() {
                    let Metric::Label(label) = metric else { continue };
                    let by_group = groups.by_group(label);
                    for group in &by_group.groups {
                        prop_assert!(is_a_number_or_a_reason(&Ok(group.value), metric));
                        if let (Some(interval), Some(value)) = (group.interval, group.value.value()) {
                            prop_assert!(interval.contains(value));
                        }
                    }
                    let (low, high) = metric.range();
                    prop_assert!(by_group.difference().value.value().is_none_or(|x| (0.0..=high - low).contains(&x)));
                    prop_assert!(by_group.ratio().is_err() || by_group.ratio().unwrap().value.value().is_none_or(|x| (0.0..=1.0).contains(&x)));
                }
                prop_assert!(groups.equalized_odds_difference().value.value().is_none_or(|x| (0.0..=1.0).contains(&x)));
            }
            if let Ok(errors) = GroupErrors::of(&y, &f, Some(&w), &feature(), &options) {
                for &metric in RegressionMetric::ALL {
                    for group in errors.by_group(metric).iter().flat_map(|by_group| &by_group.groups) {
                        prop_assert!(group.value.value().is_none_or(f64::is_finite));
                    }
                }
            }
        }
    }

    #[test]
    fn options_of_any_value_are_refused_or_work(x in hostile(), y in hostile(), k: u64, n: u64) {
        let loss = log_loss_with(&[true, false], &[0.0, 1.0], &LogLossOptions::default().with_eps(x));
        prop_assert!(loss.is_err() || loss.is_ok_and(|loss| loss.value().is_some_and(f64::is_finite)));
        let f = f_beta(&[true, false], &[true, true], y);
        prop_assert!(f.is_err() || f.is_ok_and(|f| f.value().is_some_and(|f| (0.0..=1.0).contains(&f))));
        if let Ok(interval) = wilson(k, n, x) {
            prop_assert!(interval.contains(k as f64 / n as f64), "{:?}", interval);
        }
    }

    #[test]
    fn the_order_of_rows_does_not_matter(rows in prop::collection::vec(tame_row(), 1..60), turn in 0..60_usize) {
        let mut turned = rows.clone();
        turned.rotate_left(turn % rows.len());
        turned.reverse();
        let (here, there) = (Columns::of(&rows), Columns::of(&turned));
        for ((metric, a), (_, b)) in all(&here, None).iter().zip(&all(&there, None)) {
            prop_assert!(close(a, b), "{} {:?} {:?}", metric, a, b);
        }
        for ((metric, a), (_, b)) in
            all(&here, Some(&here.weights)).iter().zip(&all(&there, Some(&there.weights)))
        {
            prop_assert!(close(a, b), "{} {:?} {:?}", metric, a, b);
        }
    }

    #[test]
    fn equal_weights_are_no_weights(rows in prop::collection::vec(tame_row(), 1..60), size in prop::sample::select(vec![1.0, 0.125, 3.0, 1e-200, 1e200])) {
        let columns = Columns::of(&rows);
        let weights = vec![size; rows.len()];
        for ((metric, a), (_, b)) in all(&columns, None).iter().zip(&all(&columns, Some(&weights))) {
            // To a test, three times the weight is three times the rows.
            let counts_rows = ["debiased_ece", "spiegelhalter_z", "hosmer_lemeshow"].contains(&metric.name());
            // Bins of equal mass: half a row of 1e-200 may fall on the other side of a tenth.
            let rounds = metric.name() == "ace" && !(1e-100..1e100).contains(&size);
            if counts_rows || rounds {
                continue;
            }
            prop_assert!(close(a, b), "{} {:?} {:?}", metric, a, b);
        }
    }

    #[test]
    fn a_row_of_weight_two_is_two_rows(rows in prop::collection::vec(tame_row(), 1..40)) {
        let columns = Columns::of(&rows);
        let doubles: Vec<f64> = (0..rows.len()).map(|row| if row % 3 == 0 { 2.0 } else { 1.0 }).collect();
        let repeated: Vec<Row> = rows
            .iter()
            .enumerate()
            .flat_map(|(row, values)| std::iter::repeat_n(values.clone(), if row % 3 == 0 { 2 } else { 1 }))
            .collect();
        for ((metric, a), (_, b)) in
            all(&columns, Some(&doubles)).iter().zip(&all(&Columns::of(&repeated), None))
        {
            // R² needs two rows, and a row that counts twice is one.
            prop_assume!(metric.name() != "r2" || rows.len() > 1);
            prop_assert!(close(a, b), "{} {:?} {:?}", metric, a, b);
        }
    }

    #[test]
    fn perfect_predictions_score_best(rows in prop::collection::vec(tame_row(), 2..60)) {
        let mut columns = Columns::of(&rows);
        columns.p = columns.t.clone();
        columns.said = columns.codes.clone();
        let sure = |code: &u32| (0..CLASSES as u32).map(|class| f64::from(u8::from(class == *code))).collect::<Vec<_>>();
        columns.probabilities = columns.codes.iter().flat_map(sure).collect();
        columns.scores = columns.t.iter().map(|&t| f64::from(u8::from(t))).collect();
        columns.forecasts = columns.y.clone();
        columns.positive_forecasts = columns.positive_y.clone();
        for (place, (metric, result)) in all(&columns, None).into_iter().enumerate() {
            let best = match metric.direction() {
                // All top labels are right: there is nothing to tell apart.
                _ if metric.name() == "corp_discrimination" && place >= without_classes() => 0.0,
                // Nothing discriminates better than the truth; what there is to tell apart is the variance of the outcome.
                mlops_eval::catalog::Direction::HigherIsBetter if metric.name() == "corp_discrimination" => {
                    let share = columns.t.iter().filter(|t| **t).count() as f64 / columns.t.len() as f64;
                    share * (1.0 - share)
                }
                mlops_eval::catalog::Direction::HigherIsBetter => 1.0,
                mlops_eval::catalog::Direction::LowerIsBetter => 0.0,
                _ => continue,
            };
            // Log loss moves certainty away from 1 by eps; its skill divides that by the loss of the prevalence.
            let slack = if metric.name() == "d2_log_loss" { 1e-13 } else { 1e-15 };
            prop_assert!(result.unwrap().value().is_none_or(|value| (value - best).abs() < slack), "{}", metric);
        }
    }

    #[test]
    fn swapping_the_classes_or_the_order_of_scores_mirrors_auc(rows in prop::collection::vec(tame_row(), 2..80)) {
        let columns = Columns::of(&rows);
        let auc = roc_auc(&columns.t, &columns.scores).unwrap();
        let swapped: Vec<bool> = columns.t.iter().map(|t| !t).collect();
        let negated: Vec<f64> = columns.scores.iter().map(|score| -score).collect();
        for mirrored in [roc_auc(&swapped, &columns.scores), roc_auc(&columns.t, &negated)] {
            prop_assert!(close(&Ok(mirrored.unwrap().map(|auc| 1.0 - auc)), &Ok(auc)));
        }
        // Any rising function of the scores ranks the same.
        let risen: Vec<f64> = columns.scores.iter().map(|score| score.exp() * 100.0).collect();
        prop_assert_eq!(roc_auc(&columns.t, &risen).unwrap(), auc);
    }

    #[test]
    fn parts_add_up_to_the_whole(rows in prop::collection::vec(tame_row(), 2..80), cut in 1..80_usize) {
        let cut = 1 + cut % (rows.len() - 1);
        let (whole, left, right) = (Columns::of(&rows), Columns::of(&rows[..cut]), Columns::of(&rows[cut..]));

        let mut counts = Confusion::of(&left.t, &left.p).unwrap();
        counts.merge(&Confusion::of(&right.t, &right.p).unwrap()).unwrap();
        prop_assert_eq!(counts, Confusion::of(&whole.t, &whole.p).unwrap());

        let mut matrix = ConfusionMatrix::of(&left.groups, &left.groups, 3).unwrap();
        matrix.merge(&ConfusionMatrix::of(&right.groups, &right.groups, 3).unwrap()).unwrap();
        prop_assert_eq!(matrix, ConfusionMatrix::of(&whole.groups, &whole.groups, 3).unwrap());

        let options = FairnessOptions::default();
        let mut groups = GroupMetrics::of(&left.t, &left.p, &left.feature(), &options).unwrap();
        groups.merge(&GroupMetrics::of(&right.t, &right.p, &right.feature(), &options).unwrap()).unwrap();
        prop_assert_eq!(groups, GroupMetrics::of(&whole.t, &whole.p, &whole.feature(), &options).unwrap());

        let mut state = RegressionState::of(&left.y, &left.forecasts, None).unwrap();
        state.merge(&RegressionState::of(&right.y, &right.forecasts, None).unwrap());
        let merged = state.finish().unwrap();
        let direct = RegressionState::of(&whole.y, &whole.forecasts, None).unwrap().finish().unwrap();
        for (a, b) in [(merged.mae, direct.mae), (merged.mse, direct.mse), (merged.r2, direct.r2)] {
            prop_assert!(close(&Ok(a), &Ok(b)), "{:?} {:?}", a, b);
        }
    }
}
