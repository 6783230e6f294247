//! Detectors as their users see them: every method, kept and read again, on any number of threads, and one call on two tables.

use mlops_core::data::{Column, Table, Validity, Values};
use mlops_core::monitor::{
    CellKind, DriftDetector as _, DriftReport, DriftVerdict, FeatureOutcome, FeatureScore,
};
use mlops_core::num::Random;
use mlops_core::time::Timestamp;
use mlops_drift::detector::{DatasetRule, Detector, DetectorOptions, FeatureRule, Method, compare_at};
use mlops_drift::{Correction, KsMethod, WassersteinOptions, ks_sorted, wasserstein_sorted};

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn normal(n: usize, name: &str, shift: f64) -> Vec<f64> {
    let mut random = Random::new(3).stream(name);
    (0..n).map(|_| shift + (0..12).map(|_| random.next_f64()).sum::<f64>() - 6.0).collect()
}

/// Columns of every type; `shift` moves each of them.
fn table(n: usize, side: &str, shift: f64) -> Table<'static> {
    let name = |feature: &str| format!("{side} {feature}");
    let x = normal(n, &name("x"), shift);
    let valid: Vec<bool> = normal(n, &name("valid"), 0.0).iter().map(|v| *v < 1.5).collect();
    let narrow = Values::F32(normal(n, &name("narrow"), shift).iter().map(|v| *v as f32).collect());
    let whole: Vec<i64> = normal(n, &name("whole"), shift).iter().map(|v| (v * 2.0).round() as i64).collect();
    let flag: Vec<bool> = normal(n, &name("flag"), shift).iter().map(|v| *v > 0.5).collect();
    let plan = normal(n, &name("plan"), shift);
    let plan = plan.iter().map(|v| {
        if *v < 0.0 {
            "basic"
        } else if *v < 1.0 {
            "plus"
        } else {
            "pro"
        }
    });
    Table::new(vec![
        Column::f64("x", x).unwrap(),
        Column::new("narrow", narrow, Some(Validity::from_bools(&valid))).unwrap(),
        Column::i64("whole", whole).unwrap(),
        Column::bool("flag", flag).unwrap(),
        Column::text("plan", plan).unwrap(),
        Column::f64("constant", vec![4.0; n]).unwrap(),
        Column::text("one level", vec!["a"; n]).unwrap(),
    ])
    .unwrap()
}

fn options(method: Method) -> DetectorOptions {
    let options = DetectorOptions::default().with_numeric(method);
    if method.on_categories() { options.with_category(method) } else { options }
}

fn score<'r>(report: &'r DriftReport, feature: &str) -> &'r FeatureScore {
    let row = report.features.iter().find(|row| row.feature == feature).unwrap();
    match &row.outcome {
        FeatureOutcome::Measured(score) => score,
        other => panic!("{feature}: {other:?}"),
    }
}

#[test]
fn every_method_sees_what_moved_and_nothing_else() {
    let others = [Method::BrownForsythe, Method::Fisher, Method::Proportions];
    for method in Method::ALL.iter().filter(|method| !others.contains(method)) {
        let detector = Detector::fit(&table(900, "reference", 0.0), options(*method)).unwrap();
        let calm = detector.detect(&table(400, "calm", 0.0), now()).unwrap();
        assert_eq!(calm.drifted().count(), 0, "{method}: {:?}", calm.drifted().collect::<Vec<_>>());
        let moved = detector.detect(&table(400, "moved", 1.2), now()).unwrap();
        let drifted: Vec<&str> = moved.drifted().map(|f| f.feature.as_str()).collect();
        assert_eq!(drifted, ["x", "narrow", "whole", "flag", "plan"], "{method}");
        assert_eq!(moved.verdict, DriftVerdict::Drift);
        for row in &moved.features {
            let score = score(&moved, &row.feature);
            assert_eq!((score.reference.rows, score.current.rows), (900, 400));
            // Every row is in one cell of the histogram.
            let rows =
                |side: fn(&mlops_core::monitor::CellCounts) -> u64| score.cells.iter().map(side).sum::<u64>();
            assert_eq!((rows(|c| c.reference), rows(|c| c.current)), (900, 400), "{}", row.feature);
        }
    }
}

#[test]
fn methods_for_spread_and_for_two_values_see_theirs() {
    let spread = |side: &str, factor: f64| {
        let x = normal(400, side, 0.0).iter().map(|v| v * factor).collect::<Vec<_>>();
        let flag =
            normal(400, &format!("{side} flag"), 0.0).iter().map(|v| *v > 1.4 / factor).collect::<Vec<_>>();
        Table::new(vec![Column::f64("x", x).unwrap(), Column::bool("flag", flag).unwrap()]).unwrap()
    };
    let (reference, calm, wide) = (spread("reference", 1.0), spread("calm", 1.0), spread("wide", 2.0));
    for (method, feature) in
        [(Method::BrownForsythe, "x"), (Method::Fisher, "flag"), (Method::Proportions, "flag")]
    {
        let detector = Detector::fit(&reference, options(method).with_features([feature])).unwrap();
        assert_eq!(detector.detect(&calm, now()).unwrap().verdict, DriftVerdict::NoDrift, "{method}");
        let report = detector.detect(&wide, now()).unwrap();
        assert_eq!(report.verdict, DriftVerdict::Drift, "{method}");
        let interval = score(&report, feature).interval;
        assert_eq!(interval.is_some(), method == Method::Proportions);
    }
    // Many values are not two: the feature fails, and says why.
    let detector = Detector::fit(&reference, options(Method::Fisher)).unwrap();
    let report = detector.detect(&calm, now()).unwrap();
    assert!(matches!(&report.features[0].outcome, FeatureOutcome::Failed(why) if why.contains("two values")));
    assert_eq!(report.features[1].verdict(), DriftVerdict::NoDrift);
}

#[test]
fn a_detector_that_was_kept_finds_the_same() {
    for method in Method::ALL {
        let detector =
            Detector::fit(&table(300, "reference", 0.0), options(*method).with_also([Method::Psi])).unwrap();
        let kept = serde_json::to_string(&detector).unwrap();
        let read: Detector = serde_json::from_str(&kept).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), kept);
        let current = table(200, "moved", 0.4);
        assert_eq!(
            read.detect(&current, now()).unwrap(),
            detector.detect(&current, now()).unwrap(),
            "{method}"
        );
    }
}

#[test]
fn a_reference_with_infinities_is_kept_too() {
    let values = [f64::NEG_INFINITY, 0.0, 1.0, 2.0, f64::INFINITY, f64::NAN].repeat(20);
    let reference = Table::new(vec![Column::f64("x", values).unwrap()]).unwrap();
    let detector = Detector::fit(&reference, DetectorOptions::default()).unwrap();
    let read: Detector = serde_json::from_str(&serde_json::to_string(&detector).unwrap()).unwrap();
    let report = read.detect(&reference, now()).unwrap();
    assert_eq!(report.verdict, DriftVerdict::NoDrift);
    assert_eq!((score(&report, "x").reference.infinite, score(&report, "x").reference.missing), (40, 20));
}

#[test]
fn detectors_that_make_no_sense_are_not_read() {
    let detector = Detector::fit(&table(100, "reference", 0.0), DetectorOptions::default()).unwrap();
    let kept: serde_json::Value = serde_json::to_value(&detector).unwrap();
    let refused = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut broken = kept.clone();
        change(&mut broken);
        assert_ne!(broken, kept);
        assert!(serde_json::from_value::<Detector>(broken).is_err());
    };
    assert!(serde_json::from_value::<Detector>(kept.clone()).is_ok());
    refused(&|v| v["version"] = 2.into());
    refused(&|v| v["rows"] = 7.into());
    refused(&|v| v["features"] = serde_json::json!([]));
    refused(&|v| v["options"]["alpha"] = 2.0.into());
    refused(&|v| v["features"][0]["min_score"] = serde_json::json!(-1.0));
    refused(&|v| v["features"][0]["method"] = "psi".into());
    refused(&|v| v["features"][4]["method"] = "kolmogorov_smirnov".into());
    refused(&|v| v["features"][0]["kind"]["numbers"]["sorted"] = serde_json::json!([2.0, 1.0]));
    refused(&|v| v["features"][0]["kind"]["numbers"]["sorted"] = serde_json::json!(["NaN"]));
    refused(&|v| v["features"][0]["kind"]["numbers"]["sorted"] = serde_json::json!([]));
    refused(&|v| {
        let cells =
            v["features"][0]["kind"]["numbers"]["overlay"]["reference"]["cells"].as_array_mut().unwrap();
        cells.pop();
    });
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let also = [Method::Psi, Method::Chi2, Method::Hellinger];
    let of = |threads| {
        let options = DetectorOptions::default().with_also(also).with_threads(threads);
        let detector = Detector::fit(&table(500, "reference", 0.0), options).unwrap();
        detector.detect(&table(300, "moved", 0.3), now()).unwrap()
    };
    let one = of(1);
    for threads in [0, 2, 3, 64] {
        assert_eq!(of(threads), one, "{threads} threads");
    }
}

#[test]
fn methods_that_go_along_decide_nothing() {
    let along =
        DetectorOptions::default().with_also([Method::Psi, Method::KolmogorovSmirnov, Method::Energy]);
    let detector = Detector::fit(&table(500, "reference", 0.0), along).unwrap();
    let report = detector.detect(&table(300, "moved", 1.0), now()).unwrap();
    let ids =
        |feature| score(&report, feature).also.iter().map(|o| o.definition.as_str()).collect::<Vec<_>>();
    assert_eq!(ids("x"), ["psi.jeffreys.quantile10/v1", "energy.iqr/v1"]);
    assert_eq!(ids("plan"), ["psi.jeffreys/v1"], "values have no meaning for categories");
    let alone = Detector::fit(&table(500, "reference", 0.0), DetectorOptions::default()).unwrap();
    let alone = alone.detect(&table(300, "moved", 1.0), now()).unwrap();
    assert_eq!(alone.verdict, report.verdict);
    assert_eq!(alone.features.len(), report.features.len());
    assert_eq!(score(&alone, "x").adjusted_p_value, score(&report, "x").adjusted_p_value);
    // What cannot be computed says so, and the feature is judged all the same.
    let mut values = normal(300, "moved x", 1.0);
    values[0] = f64::INFINITY;
    let infinite = Table::new(vec![Column::f64("x", values).unwrap()]).unwrap();
    let report = detector.detect(&infinite, now()).unwrap();
    let x = score(&report, "x");
    assert_eq!(x.verdict, DriftVerdict::Drift);
    assert!(x.also[1].score.is_none() && x.also[1].failure.is_some(), "{:?}", x.also);
}

#[test]
fn single_features_have_rules_of_their_own() {
    let options = DetectorOptions::default()
        .with_rule("x", FeatureRule::default().with_method(Method::Psi).with_min_score(50.0))
        .with_rule("plan", FeatureRule::default().with_method(Method::Chi2).with_min_score(None));
    let detector = Detector::fit(&table(500, "reference", 0.0), options.clone()).unwrap();
    let report = detector.detect(&table(300, "moved", 1.2), now()).unwrap();
    assert_eq!(score(&report, "x").definition, "psi.jeffreys.quantile10/v1");
    assert_eq!((score(&report, "x").threshold, score(&report, "x").verdict), (50.0, DriftVerdict::NoDrift));
    assert_eq!(score(&report, "plan").definition, "chi2.distance/v1");
    // A method that is not defined for categories is refused before anything is fitted.
    let wrong =
        options.with_rule("plan", FeatureRule::default().with_method(Method::Energy).with_min_score(None));
    assert!(Detector::fit(&table(50, "reference", 0.0), wrong).is_err());
    assert!(
        Detector::fit(&table(50, "r", 0.0), DetectorOptions::default().with_category(Method::Energy))
            .is_err()
    );
    // Thresholds may change without a new fit.
    let looser = detector.with_thresholds(&DetectorOptions::default()).unwrap();
    let report = looser.detect(&table(300, "moved", 1.2), now()).unwrap();
    assert_eq!((score(&report, "x").threshold, score(&report, "x").verdict), (0.1, DriftVerdict::Drift));
    assert_eq!(score(&report, "x").definition, "psi.jeffreys.quantile10/v1");
}

#[test]
fn many_small_drifts_add_up_under_simes() {
    // Fifteen columns that all move a little: none alone passes Bonferroni, all together are beyond doubt.
    let columns = |n: usize, side: &str, shift: f64| {
        let column =
            |i: usize| Column::f64(format!("c{i}"), normal(n, &format!("{side} {i}"), shift)).unwrap();
        Table::new((0..15).map(column).collect()).unwrap()
    };
    let (reference, current) = (columns(250, "reference", 0.0), columns(250, "current", 0.24));
    let of = |options: DetectorOptions| {
        let options = options.with_alpha(0.005).with_min_score(0.05);
        Detector::fit(&reference, options).unwrap().detect(&current, now()).unwrap()
    };
    let simes = of(DetectorOptions::default()
        .with_correction(Correction::Bonferroni)
        .with_dataset(DatasetRule::Simes));
    assert_eq!(simes.verdict, DriftVerdict::Drift, "{}", simes.reason);
    let p = simes.p_value.unwrap();
    let bonferroni =
        simes.features.iter().filter_map(|f| score(&simes, &f.feature).adjusted_p_value).fold(1.0, f64::min);
    assert!(p <= bonferroni, "{p} {bonferroni}");
    assert_eq!(simes.correction.as_deref(), Some("bonferroni"));
    // A threshold that nothing reaches is kept, whatever the p-value.
    let high = DetectorOptions::default().with_dataset(DatasetRule::Simes);
    let high = Detector::fit(&reference, high.with_min_score(0.9)).unwrap().detect(&current, now()).unwrap();
    assert_eq!(high.verdict, DriftVerdict::NoDrift);
}

#[test]
fn each_correction_orders_the_same_p_values() {
    let found = |correction| {
        let options = DetectorOptions::default().with_correction(correction);
        let detector = Detector::fit(&table(400, "reference", 0.0), options).unwrap();
        let report = detector.detect(&table(200, "moved", 0.3), now()).unwrap();
        report.features.iter().filter_map(|f| score(&report, &f.feature).adjusted_p_value).collect::<Vec<_>>()
    };
    let [raw, bh, by, holm, hommel, bonferroni] = [
        Correction::None,
        Correction::BenjaminiHochberg,
        Correction::BenjaminiYekutieli,
        Correction::Holm,
        Correction::Hommel,
        Correction::Bonferroni,
    ]
    .map(found);
    // The feature of one level has no p-value.
    assert_eq!(raw.len(), 6);
    for i in 0..raw.len() {
        assert!(raw[i] <= bh[i] && bh[i] <= hommel[i] + 1e-15, "{i}");
        assert!(hommel[i] <= holm[i] + 1e-15 && holm[i] <= bonferroni[i] + 1e-15 && bh[i] <= by[i], "{i}");
    }
}

#[test]
fn histograms_can_be_left_out() {
    let options = DetectorOptions::default().with_cells(0).with_numeric(Method::Psi);
    let detector = Detector::fit(&table(200, "reference", 0.0), options).unwrap();
    let report = detector.detect(&table(100, "moved", 1.0), now()).unwrap();
    assert!(report.features.iter().all(|f| score(&report, &f.feature).cells.is_empty()));
    assert!(score(&report, "x").current.unseen > 0);
}

#[test]
fn what_is_new_is_named_in_the_histogram() {
    let detector = Detector::fit(&table(200, "reference", 0.0), DetectorOptions::default()).unwrap();
    let plan = Column::text("plan", (0..100).map(|i| if i % 4 == 0 { "free" } else { "basic" })).unwrap();
    let report = detector.detect(&Table::new(vec![plan]).unwrap(), now()).unwrap();
    let plan = score(&report, "plan");
    let new: Vec<_> = plan.cells.iter().filter(|c| c.kind == CellKind::Unseen).collect();
    assert_eq!((new.len(), new[0].label.as_str(), new[0].current), (1, "free", 25));
    assert_eq!(plan.current.unseen, 25);
}

#[test]
fn two_tables_are_one_call() {
    let (a, b) = (table(300, "reference", 0.0), table(200, "moved", 1.0));
    let fitted = Detector::fit(&a, DetectorOptions::default()).unwrap().detect(&b, now()).unwrap();
    assert_eq!(compare_at(&a, &b, &DetectorOptions::default(), now()).unwrap(), fitted);
    assert_eq!(compare_at(a, b, &DetectorOptions::default(), now()).unwrap(), fitted);
}

#[test]
fn a_large_reference_reads_as_if_everything_were_sorted() {
    let also = vec![Method::Wasserstein, Method::Psi, Method::MannWhitney];
    let (then, later) = (table(20_000, "large then", 0.0), table(3_000, "large now", 0.2));
    let fitted = |threads| {
        let options = options(Method::KolmogorovSmirnov).with_also(also.clone()).with_threads(threads);
        Detector::fit(&then, options).unwrap()
    };
    let report = fitted(1).detect(&later, now()).unwrap();
    assert_eq!(fitted(2).detect(&later, now()).unwrap(), report);
    let kept: Detector = serde_json::from_str(&serde_json::to_string(&fitted(1)).unwrap()).unwrap();
    assert_eq!(kept.detect(&later, now()).unwrap(), report);

    let sorted = |table: &Table<'_>, feature: &str| {
        let column = table.column(feature).unwrap();
        let values = column.to_f64().unwrap();
        let valid = (0..values.len()).filter(|row| column.is_valid(*row)).map(|row| values[row]);
        let mut valid: Vec<f64> = valid.collect();
        valid.sort_by(f64::total_cmp);
        valid
    };
    for feature in ["x", "narrow", "whole", "flag", "constant"] {
        let (before, after) = (sorted(&then, feature), sorted(&later, feature));
        let score = score(&report, feature);
        let test = ks_sorted(&before, &after, KsMethod::Asymptotic).unwrap();
        assert_eq!(Some(score.score), test.statistic.value(), "{feature}");
        if then.column(feature).unwrap().missing() == 0 {
            assert_eq!(score.p_value, test.p.value(), "{feature}");
        }
        let moved = wasserstein_sorted(&before, &after, &WassersteinOptions::default()).unwrap();
        let got = score.also[0].score.unwrap();
        assert!((got - moved.score).abs() <= 1e-13 * moved.score, "{feature}: {got} is not {}", moved.score);
    }
}
