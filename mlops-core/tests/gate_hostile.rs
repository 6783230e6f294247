//! Whatever a report or its evidence says, nothing passes that was not shown.

use std::collections::BTreeMap;

use mlops_core::MetricKey;
use mlops_core::evaluation::{
    Adaptivity, Criterion, CriterionEvidence, Disparity, EarlierUses, Estimate, EvaluationReport,
    FairnessReport, GateDecision, GateEvidence, GateInput, GateRules, GateSpec, IntervalEnd, Multiplicity,
    NoChampion, Reuse, SliceReport, TestName, Verdict,
};
use mlops_core::hash::Digest;
use mlops_core::num::{Measured, Undefined, UndefinedReason};
use mlops_core::problem::{Direction, Task};
use mlops_core::time::Timestamp;
use proptest::prelude::*;

fn at() -> Timestamp {
    "2026-01-05T09:00:00Z".parse().unwrap()
}

fn key(name: &str) -> MetricKey {
    MetricKey::new(name).unwrap()
}

/// Any number, with the ones that break comparisons as likely as the others together.
fn number() -> impl Strategy<Value = f64> {
    let hostile = prop::sample::select(vec![
        f64::NAN,
        -f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        0.0,
        -0.0,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        5e-324,
        1.0,
        0.5,
        0.8,
        0.85,
        0.799_999_999_999_999_9,
    ]);
    prop_oneof![hostile, any::<f64>(), 0.0..1.0]
}

fn measured() -> impl Strategy<Value = Measured> {
    let undefined = (number(), number()).prop_map(|(numerator, denominator)| {
        let reason = UndefinedReason::ZeroDenominator;
        Measured::Undefined(Undefined { reason, numerator, denominator })
    });
    prop_oneof![3 => number().prop_map(Measured::Value), 1 => undefined]
}

fn direction() -> impl Strategy<Value = Direction> {
    prop::sample::select(vec![Direction::HigherIsBetter, Direction::LowerIsBetter, Direction::Neither])
}

fn estimate() -> impl Strategy<Value = Estimate> {
    let interval = prop::option::of((number(), number()));
    (measured(), direction(), prop::sample::select(vec![0, 1, 9, 100, u64::MAX]), interval).prop_map(
        |(value, direction, rows, interval)| {
            let estimate = Estimate::new(value, direction, rows);
            match interval {
                Some((low, high)) => estimate.with_interval(low, high),
                None => estimate,
            }
        },
    )
}

fn metrics() -> impl Strategy<Value = BTreeMap<MetricKey, Estimate>> {
    let name = prop::sample::select(vec!["auc", "auC", "loss", "acu"]).prop_map(key);
    prop::collection::btree_map(name, estimate(), 0..3)
}

fn report() -> impl Strategy<Value = EvaluationReport> {
    let slices = prop::collection::vec((prop::sample::select(vec!["old", "old ", "young"]), metrics()), 0..3);
    let left_out = prop::collection::vec("[a-z]{1,3}", 0..2);
    let disparities = (metrics(), left_out);
    let fairness = prop::collection::vec((prop::sample::select(vec!["sex", "Sex"]), disparities), 0..3);
    (metrics(), slices, fairness, any::<bool>()).prop_map(|(metrics, slices, fairness, same)| {
        let data = Digest::of(if same { b"data" } else { b"else" });
        let mut report = EvaluationReport::new(Digest::of(b"m"), data, Task::BinaryClassification, at(), 100);
        report.metrics = metrics;
        report.slices =
            slices.into_iter().map(|(name, metrics)| SliceReport::new(name, 100, metrics)).collect();
        let disparity = |(metrics, left_out): (BTreeMap<MetricKey, Estimate>, Vec<String>)| {
            metrics.into_iter().map(|(k, e)| (k, Disparity::new(e, left_out.clone()))).collect()
        };
        report.fairness = fairness
            .into_iter()
            .map(|(name, found)| FairnessReport::new(name, vec![], disparity(found)))
            .collect();
        report
    })
}

fn found() -> impl Strategy<Value = CriterionEvidence> {
    let tests =
        prop::option::of(prop::sample::select(vec![TestName::Auto, TestName::Delong, TestName::Bootstrap]));
    let counts = prop::option::of(prop::sample::select(vec![0, 5, 50, u64::MAX]));
    let optional = || prop::option::of(number());
    let rows = prop::sample::select(vec![0, 1, 9, 100, u64::MAX]);
    (
        tests,
        optional(),
        optional(),
        prop::option::of((number(), number())),
        optional(),
        rows,
        counts.clone(),
        counts,
    )
        .prop_map(|(test, p, estimate, interval, confidence, rows, positives, negatives)| {
            let mut found = CriterionEvidence::new(rows);
            (found.test, found.p, found.estimate, found.interval) = (test, p, estimate, interval);
            (found.confidence, found.positives, found.negatives) = (confidence, positives, negatives);
            found
        })
}

/// By what is known of a report that has no hole in it: its one estimate of a subject.
fn sound<'a>(report: &'a EvaluationReport, criterion: &Criterion, min_rows: u64) -> Option<&'a Estimate> {
    let estimate = match (&criterion.slice, &criterion.attribute) {
        (Some(slice), _) => {
            let mut slices = report.slices.iter().filter(|s| s.name == *slice);
            let (first, second) = (slices.next()?, slices.next());
            if second.is_some() { None } else { first.metrics.get(criterion.metric.as_str()) }
        }
        (_, Some(attribute)) => {
            let mut all = report.fairness.iter().filter(|f| f.attribute == *attribute);
            let (first, second) = (all.next()?, all.next());
            let disparity = first.disparities.get(criterion.metric.as_str())?;
            if second.is_some() || !disparity.left_out.is_empty() { None } else { Some(&disparity.estimate) }
        }
        _ => report.metrics.get(criterion.metric.as_str()),
    }?;
    let finite = estimate.value.value().is_some_and(f64::is_finite);
    (finite && estimate.rows >= min_rows).then_some(estimate)
}

/// Everything that must hold of a pass.
fn deserved(criterion: &Criterion, report: &EvaluationReport, champion: Option<&EvaluationReport>) -> bool {
    let near = |x: f64, bound: f64, scale: f64| x >= bound || bound - x <= 1e-12 * scale;
    let Some(estimate) = sound(report, criterion, criterion.min_rows.unwrap_or(1)) else { return false };
    let Some(point) = estimate.value.value() else { return false };
    let value = match (criterion.require_interval, estimate.interval) {
        (None, _) => point,
        (Some(IntervalEnd::Low), Some((low, _))) => low,
        (Some(IntervalEnd::High), Some((_, high))) => high,
        (Some(_), None) => return false,
    };
    let low = criterion.min.is_none_or(|min| near(value, min, value.abs().max(min.abs())));
    let high = criterion.max.is_none_or(|max| near(max, value, value.abs().max(max.abs())));
    let margin = match (criterion.max_drop, criterion.min_gain) {
        (Some(drop), _) => Some(-drop),
        (_, gain) => gain,
    };
    let compared = margin.is_none_or(|margin| {
        let Some(champion) = champion else { return criterion.no_champion == Some(NoChampion::Pass) };
        let Some(other) = sound(champion, criterion, 1) else { return false };
        let Some(old) = other.value.value() else { return false };
        let alike = champion.data == report.data
            && other.direction == estimate.direction
            && other.rows == estimate.rows;
        let scale = point.abs().max(old.abs()).max(margin.abs());
        alike
            && match estimate.direction {
                Direction::HigherIsBetter => near(point, old + margin, scale),
                Direction::LowerIsBetter => near(-point, margin - old, scale),
                Direction::Neither => false,
            }
    });
    low && high && compared
}

fn criteria() -> Vec<Criterion> {
    let c = |id: &str| Criterion::new(id, key("auc"));
    vec![
        c("min").with_min(0.8),
        c("max").with_max(0.8),
        c("lowest").with_min(f64::MIN),
        c("low").with_min(0.5).with_interval(IntervalEnd::Low),
        c("high").with_max(0.9).with_interval(IntervalEnd::High),
        c("rows").with_min(-1.0).with_min_rows(100),
        c("slice").with_min(-1.0).with_slice("old"),
        c("attribute").with_max(1.0).with_attribute("sex"),
        c("drop").with_max_drop(0.05),
        c("most").with_max_drop(f64::MAX),
        c("gain").with_min_gain(0.05),
        c("first").with_max_drop(0.05).with_no_champion(NoChampion::Pass),
    ]
}

fn check(
    decision: &GateDecision,
    criteria: &[Criterion],
    report: &EvaluationReport,
    champion: Option<&EvaluationReport>,
) {
    for (criterion, result) in criteria.iter().zip(&decision.criteria) {
        assert!(!result.reason.is_empty() && !result.reason.contains(['\n', '\r']));
        if result.verdict == Verdict::Pass {
            assert!(deserved(criterion, report, champion), "{}: {}\n{report:?}", result.id, result.reason);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_report_passes_that_does_not_deserve_it(new in report(), old in prop::option::of(report())) {
        let criteria = criteria();
        let gate = GateSpec::new("g", criteria.clone()).unwrap();
        if let Ok(decision) = gate.decide(&new, old.as_ref(), at()) {
            check(&decision, &criteria, &new, old.as_ref());
            // A decision can be told apart from every other.
            prop_assert!(decision.digest().is_ok());
        }
    }

    #[test]
    fn no_evidence_passes_what_is_not_so(
        new in report(),
        old in prop::option::of(report()),
        found in prop::collection::vec(prop::option::of(found()), 3),
        uses in prop::option::of((0_u64..6, 0_u64..6)),
    ) {
        let criteria = vec![
            Criterion::new("drop", key("auc")).with_max_drop(0.05).with_test(TestName::Delong),
            Criterion::new("min", key("auc")).with_min(0.8).with_test(TestName::Auto),
            Criterion::new("classes", key("auc")).with_min(0.8).with_min_of_each_class(5, 5),
        ];
        let rules = GateRules::default()
            .with_multiplicity(Multiplicity::Holm)
            .with_reuse(Reuse::new(4, Adaptivity::None));
        let gate = GateSpec::with_rules("g", rules, criteria.clone()).unwrap();
        let mut evidence = GateEvidence::new(gate.digest(), new.model, new.data);
        evidence.champion = old.as_ref().map(|old| old.model);
        for (criterion, found) in criteria.iter().zip(&found) {
            if let Some(found) = found {
                evidence.criteria.insert(criterion.id.clone(), found.clone());
            }
        }
        let mut input = GateInput::new(&new).with_champion(old.as_ref()).with_evidence(&evidence);
        if let Some((decisions, passes)) = uses {
            input = input.with_uses(EarlierUses::new(decisions, passes));
        }
        if let Ok(decision) = gate.decide_with(&input, at()) {
            check(&decision, &criteria, &new, old.as_ref());
            for (criterion, result) in criteria.iter().zip(&decision.criteria) {
                if result.verdict != Verdict::Pass {
                    continue;
                }
                let found = &evidence.criteria[&criterion.id];
                prop_assert!(uses.is_some_and(|(decisions, _)| decisions < 4));
                if criterion.is_tested() {
                    // Two tests, α = 0.05 / 4.
                    prop_assert!(found.p.is_some_and(|p| p <= 0.0125), "{result:?}");
                } else {
                    prop_assert!(found.positives >= Some(5) && found.negatives >= Some(5), "{result:?}");
                }
            }
        }
    }
}

#[test]
fn what_deserves_to_pass_does() {
    let mut new =
        EvaluationReport::new(Digest::of(b"m"), Digest::of(b"data"), Task::BinaryClassification, at(), 100);
    let good = Estimate::new(Measured::Value(0.85), Direction::HigherIsBetter, 100);
    new.metrics.insert(key("auc"), good.with_interval(0.7, 0.88));
    let mut old = new.clone();
    old.metrics.insert(key("auc"), Estimate::new(Measured::Value(0.8), Direction::HigherIsBetter, 100));
    let passing: Vec<Criterion> =
        criteria().into_iter().filter(|c| !matches!(c.id.as_str(), "max" | "slice" | "attribute")).collect();
    let decision = GateSpec::new("g", passing.clone()).unwrap().decide(&new, Some(&old), at()).unwrap();
    assert_eq!(decision.verdict, Verdict::Pass, "{decision}");
    check(&decision, &passing, &new, Some(&old));
}
