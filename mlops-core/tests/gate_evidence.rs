//! What a gate decides on the evidence of tests.

use mlops_core::evaluation::{
    Adaptivity, Claim, Criterion, CriterionEvidence, CriterionResult, EarlierUses, Estimate,
    EvaluationReport, GateEvidence, GateInput, GateRules, GateSpec, Hypothesis, Multiplicity, NoChampion,
    Reuse, Severity, TestName, Verdict,
};
use mlops_core::hash::Digest;
use mlops_core::num::Measured;
use mlops_core::problem::{Direction, Task};
use mlops_core::time::Timestamp;
use mlops_core::{ErrorKind, MetricKey};

fn at() -> Timestamp {
    "2026-01-05T09:00:00Z".parse().unwrap()
}

fn report(model: &str, metrics: &[(&str, f64, Direction)]) -> EvaluationReport {
    let (model, data) = (Digest::of(model.as_bytes()), Digest::of(b"data"));
    let mut report = EvaluationReport::new(model, data, Task::BinaryClassification, at(), 100);
    for (name, value, direction) in metrics {
        report
            .metrics
            .insert(MetricKey::new(*name).unwrap(), Estimate::new(Measured::Value(*value), *direction, 100));
    }
    report
}

fn auc(model: &str, value: f64) -> EvaluationReport {
    report(model, &[("auc", value, Direction::HigherIsBetter)])
}

fn criterion(id: &str) -> Criterion {
    Criterion::new(id, MetricKey::new("auc").unwrap())
}

fn evidence(gate: &GateSpec) -> GateEvidence {
    GateEvidence::new(gate.digest(), Digest::of(b"new"), Digest::of(b"data"))
        .with_champion(Digest::of(b"old"))
}

/// What one criterion says of 0.8 against the champion's 0.79, on some evidence.
fn judge(criterion: Criterion, found: Option<CriterionEvidence>) -> CriterionResult {
    let gate = GateSpec::new("g", vec![criterion]).unwrap();
    let (new, old) = (auc("new", 0.8), auc("old", 0.79));
    let evidence = match found {
        Some(found) => evidence(&gate).with("c", found),
        None => evidence(&gate),
    };
    let input = GateInput::new(&new).with_champion(&old).with_evidence(&evidence);
    gate.decide_with(&input, at()).unwrap().criteria.remove(0)
}

fn shows(p: f64, estimate: f64) -> CriterionEvidence {
    CriterionEvidence::new(100).with_p(TestName::Delong, p, estimate)
}

#[test]
fn a_test_shows_or_refutes_or_leaves_open() {
    use Verdict::{Fail, Insufficient, Pass};
    let drop = || criterion("c").with_max_drop(0.02).with_test(TestName::Delong);
    let gain = |g| criterion("c").with_min_gain(g).with_hypothesis(Hypothesis::Superiority);
    let band = |b| criterion("c").with_band(b).with_hypothesis(Hypothesis::Equivalence);
    let gained = 0.8 - 0.79;
    let with = |p: f64, low: f64, high: f64| shows(p, gained).with_interval(low, high, 0.9);
    for (criterion, found, verdict, reason) in [
        (
            drop(),
            Some(shows(0.01, gained)),
            Pass,
            "auc is 0.8 and the champion's is 0.79, it may be worse by at most 0.02: p = 0.01 (delong), at most 0.05",
        ),
        (drop(), Some(shows(0.05, gained)), Pass, ""),
        (
            drop(),
            Some(shows(0.0501, gained).with_more_rows(7)),
            Insufficient,
            "auc is 0.8 and the champion's is 0.79, it may be worse by at most 0.02, but that is not shown: p = 0.0501 \
             (delong), at most 0.05 is needed; 7 more rows needed",
        ),
        (drop(), Some(with(0.06, -0.021, 0.03)), Insufficient, ""),
        (drop().with_alpha(0.001), Some(shows(0.01, gained)), Insufficient, ""),
        (gain(0.005), Some(shows(0.01, gained)), Pass, ""),
        // What the numbers do not show, no p-value makes true.
        (
            gain(0.02),
            Some(shows(0.01, gained)),
            Insufficient,
            "auc is 0.8 and the champion's is 0.79, it must be better by at least 0.02: the test contradicts the \
             numbers, p = 0.01 (delong), at most 0.05",
        ),
        (gain(0.02), Some(shows(0.9, gained)), Fail, ""),
        (gain(0.02), Some(with(0.9, -0.01, 0.03)), Insufficient, ""),
        (gain(0.02), Some(with(0.99, 0.0, 0.019)), Fail, ""),
        (band(0.02), Some(shows(0.01, gained)), Pass, ""),
        (band(0.005), Some(with(0.99, 0.006, 0.015)), Fail, ""),
        (band(0.005), Some(with(0.7, 0.004, 0.016)), Insufficient, ""),
        (criterion("c").with_min(0.75).with_test(TestName::Auto), Some(shows(0.01, 0.8)), Pass, ""),
        (criterion("c").with_max(0.7).with_test(TestName::Auto), Some(shows(0.9, 0.8)), Fail, ""),
        (
            criterion("c").with_max(0.7).with_test(TestName::Auto),
            Some(shows(0.9, 0.8).with_interval(0.69, 0.9, 0.9)),
            Insufficient,
            "",
        ),
        (drop(), None, Insufficient, "the gate asks for a test of auc, and there is no evidence of one"),
        (
            drop(),
            Some(CriterionEvidence::new(100).with_p(TestName::Bootstrap, 0.01, gained)),
            Insufficient,
            "the gate asks for the test delong of auc, the evidence is of bootstrap",
        ),
        (
            drop(),
            Some(shows(0.01, 0.02)),
            Insufficient,
            "the evidence on auc is about 0.02, the reports give 0.01",
        ),
        (
            drop(),
            Some(CriterionEvidence::new(99).with_p(TestName::Delong, 0.01, gained)),
            Insufficient,
            "the evidence on auc rests on 99 rows, the report's value on 100",
        ),
    ] {
        let result = judge(criterion, found);
        assert_eq!(result.verdict, verdict, "{}", result.reason);
        if !reason.is_empty() {
            assert_eq!(result.reason, reason);
        }
    }
}

#[test]
fn classes_are_counted_by_evidence_alone() {
    let asked = || criterion("c").with_min(0.5).with_min_of_each_class(10, 20);
    let counted = |p, n| Some(CriterionEvidence::new(100).with_classes(p, n));
    for (found, verdict, reason) in [
        (
            None,
            Verdict::Insufficient,
            "on how many positive rows auc rests is not known, at least 10 are needed",
        ),
        (counted(10, 20), Verdict::Pass, "auc is 0.8, at least 0.5 is needed"),
        (
            counted(9, 91),
            Verdict::Insufficient,
            "auc rests on 9 positive rows, at least 10 are needed; 1 more rows needed",
        ),
        (
            counted(81, 19),
            Verdict::Insufficient,
            "auc rests on 19 negative rows, at least 20 are needed; 1 more rows needed",
        ),
    ] {
        let result = judge(asked(), found);
        assert_eq!((result.verdict, result.reason.as_str()), (verdict, reason));
    }
}

#[test]
fn evidence_about_something_else_gives_no_decision() {
    let gate = GateSpec::new("g", vec![criterion("c").with_max_drop(0.1).with_test(TestName::Auto)]).unwrap();
    let (new, old) = (auc("new", 0.8), auc("old", 0.79));
    let good = evidence(&gate).with("c", shows(0.01, 0.8 - 0.79));
    let decide = |evidence: &GateEvidence| {
        gate.decide_with(&GateInput::new(&new).with_champion(&old).with_evidence(evidence), at())
    };
    assert_eq!(decide(&good).unwrap().verdict, Verdict::Pass);
    let other = Digest::of(b"other");
    type Change = fn(&mut GateEvidence, Digest);
    let conflicts: [Change; 5] = [
        |e, d| e.gate = d,
        |e, d| e.model = d,
        |e, d| e.data = d,
        |e, d| e.champion = Some(d),
        |e, _| e.champion = None,
    ];
    for change in conflicts {
        let mut evidence = good.clone();
        change(&mut evidence, other);
        assert_eq!(decide(&evidence).unwrap_err().kind(), ErrorKind::Conflict);
    }
    let invalid: [Change; 10] = [
        |e, _| e.schema = 2,
        |e, _| e.criteria.extend([("d".to_owned(), CriterionEvidence::new(1))]),
        |e, _| e.criteria.values_mut().for_each(|c| c.p = Some(f64::NAN)),
        |e, _| e.criteria.values_mut().for_each(|c| c.p = Some(-0.1)),
        |e, _| e.criteria.values_mut().for_each(|c| c.test = None),
        |e, _| e.criteria.values_mut().for_each(|c| c.test = Some(TestName::Auto)),
        |e, _| e.criteria.values_mut().for_each(|c| c.estimate = Some(f64::INFINITY)),
        |e, _| {
            e.criteria.values_mut().for_each(|c| (c.interval, c.confidence) = (Some((1.0, 0.0)), Some(0.9)))
        },
        |e, _| e.criteria.values_mut().for_each(|c| c.interval = Some((0.0, 1.0))),
        |e, _| e.criteria.values_mut().for_each(|c| (c.positives, c.negatives) = (Some(u64::MAX), Some(1))),
    ];
    for (index, change) in invalid.into_iter().enumerate() {
        let mut evidence = good.clone();
        change(&mut evidence, other);
        assert_eq!(decide(&evidence).unwrap_err().kind(), ErrorKind::InvalidInput, "{index}");
    }
    let error = decide(&good.clone().with("C", CriterionEvidence::new(1))).unwrap_err();
    assert_eq!(error.message(), "the gate has no criterion `C`; did you mean `c`?");
    // Evidence is kept as JSON, and strictly read.
    let text = serde_json::to_string(&good).unwrap();
    assert_eq!(serde_json::from_str::<GateEvidence>(&text).unwrap(), good);
    assert!(serde_json::from_str::<GateEvidence>(&text.replace("\"p\"", "\"q\"")).is_err());
}

#[test]
fn p_values_are_adjusted_for_each_other_and_a_test_left_out_does_not_help() {
    // statsmodels 0.15.0, multipletests([0.01, 0.03, 0.02], method=...)[1], at 0.05.
    for (multiplicity, adjusted) in [
        (Multiplicity::None, [0.01, 0.03, 0.02]),
        (Multiplicity::IntersectionUnion, [0.01, 0.03, 0.02]),
        (Multiplicity::Holm, [0.03, 0.04, 0.04]),
        (Multiplicity::Bonferroni, [0.03, 0.09, 0.06]),
        (Multiplicity::Hommel, [0.03, 0.03, 0.03]),
        (Multiplicity::BenjaminiHochberg, [0.03, 0.03, 0.03]),
    ] {
        let rules = GateRules::default().with_multiplicity(multiplicity);
        let tested = |id| criterion(id).with_max_drop(0.1).with_test(TestName::Delong);
        let gate = GateSpec::with_rules("g", rules, vec![tested("a"), tested("b"), tested("c")]).unwrap();
        let (new, old) = (auc("new", 0.8), auc("old", 0.79));
        let gained = 0.8 - 0.79;
        let all = evidence(&gate).with("a", shows(0.01, gained)).with("b", shows(0.03, gained));
        let without = all.clone();
        let all = all.with("c", shows(0.02, gained));
        let decide = |evidence: &GateEvidence| {
            gate.decide_with(&GateInput::new(&new).with_champion(&old).with_evidence(evidence), at()).unwrap()
        };
        for (result, expected) in decide(&all).criteria.iter().zip(adjusted) {
            let tested = result.tested.clone().unwrap();
            assert!((tested.adjusted - expected).abs() < 1e-15, "{multiplicity:?} {tested:?}");
            assert_eq!(result.verdict == Verdict::Pass, expected <= 0.05, "{multiplicity:?}");
        }
        let thin = decide(&without);
        assert_eq!(thin.criteria[2].verdict, Verdict::Insufficient);
        assert_ne!(thin.verdict, Verdict::Pass);
        for (thin, full) in thin.criteria.iter().zip(&decide(&all).criteria).take(2) {
            let p = |r: &CriterionResult| r.tested.clone().unwrap().adjusted;
            assert!(p(thin) >= p(full), "{multiplicity:?}");
        }
    }
}

#[test]
fn a_test_set_serves_as_often_as_it_was_meant_to() {
    let gate = |adaptivity, budget| {
        let rules = GateRules::default().with_alpha(0.04).with_reuse(Reuse::new(budget, adaptivity));
        GateSpec::with_rules("g", rules, vec![criterion("c").with_max_drop(0.1).with_test(TestName::Auto)])
            .unwrap()
    };
    let (new, old) = (auc("new", 0.8), auc("old", 0.79));
    let decide = |gate: &GateSpec, p, uses: Option<EarlierUses>| {
        let evidence = evidence(gate).with("c", shows(p, 0.8 - 0.79));
        let input = GateInput::new(&new).with_champion(&old).with_evidence(&evidence);
        let input = match uses {
            Some(uses) => input.with_uses(uses),
            None => input,
        };
        gate.decide_with(&input, at()).unwrap()
    };
    use Adaptivity::{FirstChange, Full, None as Nothing};
    let uses = |decisions, passes| Some(EarlierUses::new(decisions, passes));
    for (adaptivity, p, uses, verdict) in [
        (Nothing, 0.01, uses(0, 0), Verdict::Pass),
        (Nothing, 0.0101, uses(0, 0), Verdict::Insufficient),
        (Nothing, 0.01, uses(3, 3), Verdict::Pass),
        (Nothing, 0.01, uses(4, 0), Verdict::Insufficient),
        (Nothing, 0.01, None, Verdict::Insufficient),
        (FirstChange, 0.01, uses(3, 0), Verdict::Pass),
        (FirstChange, 0.01, uses(1, 1), Verdict::Insufficient),
        (Full, 0.0025, uses(3, 2), Verdict::Pass),
        (Full, 0.0026, uses(0, 0), Verdict::Insufficient),
    ] {
        let decision = decide(&gate(adaptivity, 4), p, uses);
        assert_eq!(decision.verdict, verdict, "{adaptivity:?} {p} {uses:?}: {decision}");
        assert_eq!(decision.uses, uses);
    }
    let spent = decide(&gate(Nothing, 4), 0.001, uses(4, 0));
    let end = "but the test set has served 4 decisions, it was meant for 4: a new one is needed";
    assert!(spent.criteria[0].reason.ends_with(end), "{spent}");
    // A bound without a test wears the test set out as well.
    let rules = GateRules::default().with_reuse(Reuse::new(1, Nothing));
    let plain = GateSpec::with_rules("g", rules, vec![criterion("c").with_min(0.5)]).unwrap();
    assert_eq!(plain.decide(&new, None, at()).unwrap().verdict, Verdict::Insufficient);
    let first = GateInput::new(&new).with_uses(EarlierUses::default());
    assert_eq!(plain.decide_with(&first, at()).unwrap().verdict, Verdict::Pass);
}

#[test]
fn a_baseline_takes_the_champions_place() {
    let compared = |c: Criterion| GateSpec::new("g", vec![c.with_baseline("logistic")]).unwrap();
    let (new, base) = (auc("new", 0.85), auc("base", 0.8));
    let gate = compared(criterion("c").with_min_gain(0.05));
    let decide = |name: &str, report| {
        gate.decide_with(&GateInput::new(&new).with_champion(&new).with_baseline(name, report), at()).unwrap()
    };
    let passed = decide("logistic", &base);
    // 0.85 is a gain of 0.05 over 0.8.
    assert_eq!(passed.verdict, Verdict::Pass, "{passed}");
    assert_eq!(passed.baseline_reports["logistic"], base.digest().unwrap());
    assert_eq!((passed.champion_report, passed.schema), (None, 2));
    let missing = decide("logistics", &base);
    assert_eq!(missing.verdict, Verdict::Insufficient);
    let reason = "there is no baseline `logistic` to compare auc with; did you mean `logistics`?";
    assert_eq!(missing.criteria[0].reason, reason);

    let gate = compared(criterion("c").with_max_drop(0.1).with_test(TestName::Auto));
    let evidence = GateEvidence::new(gate.digest(), new.model, new.data).with("c", shows(0.01, 0.85 - 0.8));
    let decide = |evidence: &GateEvidence| {
        gate.decide_with(&GateInput::new(&new).with_baseline("logistic", &base).with_evidence(evidence), at())
    };
    assert_eq!(decide(&evidence).unwrap_err().kind(), ErrorKind::Conflict);
    let evidence = evidence.with_baseline("logistic", base.model);
    let decision = decide(&evidence).unwrap();
    assert_eq!((decision.verdict, decision.evidence), (Verdict::Pass, Some(evidence.digest().unwrap())));
}

#[test]
fn a_direction_is_lent_to_a_metric_that_has_none_and_never_turned_round() {
    let rate = |v, direction| report("new", &[("rate", v, direction)]);
    let criterion =
        |way| Criterion::new("c", MetricKey::new("rate").unwrap()).with_max_drop(0.1).with_direction(way);
    use Direction::{HigherIsBetter, LowerIsBetter, Neither};
    for (said, asked, new, old, verdict) in [
        (Neither, LowerIsBetter, 0.3, 0.2, Verdict::Pass),
        (Neither, LowerIsBetter, 0.31, 0.2, Verdict::Fail),
        (Neither, HigherIsBetter, 0.31, 0.2, Verdict::Pass),
        (HigherIsBetter, HigherIsBetter, 0.1, 0.2, Verdict::Pass),
        (HigherIsBetter, LowerIsBetter, 0.2, 0.2, Verdict::Fail),
    ] {
        let gate = GateSpec::new("g", vec![criterion(asked)]).unwrap();
        let decision = gate.decide(&rate(new, said), Some(&rate(old, said)), at()).unwrap();
        assert_eq!(decision.verdict, verdict, "{decision}");
    }
    // To be alike, no direction is needed.
    let alike = Criterion::new("c", MetricKey::new("rate").unwrap()).with_band(0.1);
    let gate = GateSpec::new("g", vec![alike]).unwrap();
    for (new, verdict) in [(0.3, Verdict::Pass), (0.1, Verdict::Pass), (0.31, Verdict::Fail)] {
        assert_eq!(
            gate.decide(&rate(new, Neither), Some(&rate(0.2, Neither)), at()).unwrap().verdict,
            verdict
        );
    }
}

#[test]
fn a_share_is_of_the_champions_size_and_of_nothing_there_is_none() {
    let gate = |share| GateSpec::new("g", vec![criterion("c").with_min_relative_gain(share)]).unwrap();
    for (new, old, share, verdict) in [
        (0.88, 0.8, 0.1, Verdict::Pass),
        (0.879, 0.8, 0.1, Verdict::Fail),
        // Below zero, a better value is still a greater one.
        (-0.9, -1.0, 0.1, Verdict::Pass),
        (-1.1, -1.0, 0.1, Verdict::Fail),
        (1.0, 0.0, 0.1, Verdict::Insufficient),
    ] {
        let decision = gate(share).decide(&auc("new", new), Some(&auc("old", old)), at()).unwrap();
        assert_eq!(decision.verdict, verdict, "{decision}");
    }
}

#[test]
fn warnings_are_shown_and_do_not_block() {
    let gate = GateSpec::new(
        "g",
        vec![
            criterion("good").with_min(0.7),
            criterion("great").with_min(0.9).with_severity(Severity::Warning),
            criterion("tested").with_min(0.7).with_test(TestName::Auto).with_severity(Severity::Note),
        ],
    )
    .unwrap();
    let decision = gate.decide(&auc("new", 0.8), None, at()).unwrap();
    assert_eq!(decision.verdict, Verdict::Pass);
    let verdicts: Vec<Verdict> = decision.criteria.iter().map(|c| c.verdict).collect();
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Fail, Verdict::Insufficient]);
    assert!(decision.require_pass(&Digest::of(b"new")).is_ok());
    assert!(decision.to_string().contains("(warning) auc is 0.8, at least 0.9 is needed"), "{decision}");
}

#[test]
fn without_a_champion_the_policy_holds_and_no_test_is_asked_for() {
    let tested = criterion("c").with_max_drop(0.1).with_test(TestName::Delong);
    for (policy, verdict) in
        [(NoChampion::Pass, Verdict::Pass), (NoChampion::Insufficient, Verdict::Insufficient)]
    {
        let gate = GateSpec::new("g", vec![tested.clone().with_no_champion(policy)]).unwrap();
        assert_eq!(gate.decide(&auc("new", 0.8), None, at()).unwrap().verdict, verdict);
    }
}

#[test]
fn a_gate_says_what_it_needs() {
    let rules = GateRules::default()
        .with_alpha(0.08)
        .with_multiplicity(Multiplicity::Holm)
        .with_reuse(Reuse::new(2, Adaptivity::Full));
    let gate = GateSpec::with_rules(
        "g",
        rules,
        vec![
            criterion("plain").with_min(0.5),
            criterion("classes").with_min(0.5).with_min_of_each_class(5, 6),
            criterion("bound").with_min(0.5).with_max(0.9).with_test(TestName::Bootstrap).with_slice("old"),
            criterion("gain").with_min_gain(0.01).with_hypothesis(Hypothesis::Superiority).with_baseline("b"),
        ],
    )
    .unwrap();
    let needed = gate.requirements();
    let ids: Vec<&str> = needed.iter().map(|r| r.id.as_str()).collect();
    assert_eq!(ids, ["classes", "bound", "gain"]);
    assert_eq!((needed[0].claim, needed[0].min_positives, needed[0].min_negatives), (None, Some(5), Some(6)));
    assert_eq!(needed[1].claim, Some(Claim::Within { min: 0.5, max: 0.9 }));
    assert_eq!((needed[1].test, needed[1].slice.as_deref()), (TestName::Bootstrap, Some("old")));
    assert!(needed[2].is_comparison() && !needed[1].is_comparison());
    assert_eq!((needed[2].alpha, needed[2].alpha_alone, needed[2].confidence()), (0.02, 0.01, 0.98));
    assert_eq!(needed[2].baseline.as_deref(), Some("b"));
    let text = serde_json::to_string(&needed).unwrap();
    assert_eq!(serde_json::from_str::<Vec<mlops_core::evaluation::Requirement>>(&text).unwrap(), needed);
}

#[test]
fn a_confidence_stays_below_one_however_small_the_level_is() {
    for alpha in [1e-10, 1e-17, 1e-300, f64::MIN_POSITIVE] {
        let rules = GateRules::default().with_alpha(alpha);
        let tested = criterion("c").with_min(0.5).with_test(TestName::Bootstrap);
        let gate = GateSpec::with_rules("g", rules, vec![tested]).unwrap();
        let confidence = gate.requirements()[0].confidence();
        assert!(confidence > 0.999 && confidence < 1.0, "{alpha}: {confidence}");
    }
}

#[test]
fn a_gate_that_asks_for_an_approval_says_so_in_its_decision() {
    let rules = GateRules::default().with_approval();
    let gate = GateSpec::with_rules("g", rules, vec![criterion("c").with_min(0.5)]).unwrap();
    let decision = gate.decide(&auc("new", 0.8), None, at()).unwrap();
    assert!(decision.requires_approval && decision.schema == 2);
    let plain = GateSpec::new("g", vec![criterion("c").with_min(0.5)]).unwrap();
    assert_ne!(plain.digest(), gate.digest());
    assert_eq!(plain.decide(&auc("new", 0.8), None, at()).unwrap().schema, 1);
}
