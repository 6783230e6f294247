//! Decisions to be looked at: of a gate with criteria of every kind, and of somebody who means harm.

use std::collections::BTreeMap;

use mlops_core::MetricKey;
use mlops_core::evaluation::render::{HtmlOptions, html_with};
use mlops_core::evaluation::{
    Criterion, CriterionEvidence, CriterionResult, Disparity, Estimate, EvaluationReport, FairnessReport,
    GateDecision, GateEvidence, GateInput, GateSpec, GroupReport, Severity, SliceReport, TestName, Verdict,
};
use mlops_core::hash::Digest;
use mlops_core::num::{Measured, UndefinedReason};
use mlops_core::problem::{Direction, Task};

const GATE: &str = r#"
    name = "release"
    alpha = 0.05
    multiplicity = "holm"
    requires_approval = true

    [[criteria]]
    id = "auc"
    metric = "roc_auc"
    min = 0.75

    [[criteria]]
    id = "auc-surely"
    metric = "roc_auc"
    min = 0.7
    require_interval = "low"

    [[criteria]]
    id = "accuracy-between"
    metric = "accuracy"
    min = 0.6
    max = 0.99

    [[criteria]]
    id = "log-loss"
    metric = "log_loss"
    max = 0.5
    severity = "warning"

    [[criteria]]
    id = "old-people"
    metric = "roc_auc"
    slice = "age band=60+"
    min = 0.72

    [[criteria]]
    id = "parity"
    metric = "demographic_parity_difference"
    attribute = "sex"
    max = 0.1

    [[criteria]]
    id = "no-step-back"
    metric = "roc_auc"
    max_drop = 0.01

    [[criteria]]
    id = "loss-no-step-back"
    metric = "log_loss"
    max_drop = 0.01

    [[criteria]]
    id = "better-than-chance"
    metric = "roc_auc"
    baseline = "prior"
    min_gain = 0.2

    [[criteria]]
    id = "surely-no-step-back"
    metric = "roc_auc"
    max_drop = 0.02
    test = "delong"

    [[criteria]]
    id = "as-selective"
    metric = "selection_rate"
    band = 0.05
    hypothesis = "equivalence"
    severity = "note"

    [[criteria]]
    id = "never-measured"
    metric = "brier"
    max = 0.2
    severity = "note"
"#;

fn key(name: &str) -> MetricKey {
    MetricKey::new(name).unwrap()
}

fn measured(value: f64, direction: Direction) -> Estimate {
    Estimate::new(Measured::Value(value), direction, 442).with_interval(value - 0.04, value + 0.03)
}

fn metrics(auc: f64, loss: f64) -> BTreeMap<MetricKey, Estimate> {
    use Direction::{HigherIsBetter, LowerIsBetter, Neither};
    BTreeMap::from([
        (key("roc_auc"), measured(auc, HigherIsBetter)),
        (key("accuracy"), measured(auc - 0.05, HigherIsBetter)),
        (key("log_loss"), measured(loss, LowerIsBetter)),
        (key("selection_rate"), measured(0.4, Neither)),
        (
            key("average_precision"),
            Estimate::new(Measured::none(UndefinedReason::TooFew, 1, 2), HigherIsBetter, 1),
        ),
    ])
}

fn report(model: &str, auc: f64, loss: f64) -> EvaluationReport {
    let (model, data) = (Digest::of(model.as_bytes()), Digest::of(b"data"));
    let mut report = EvaluationReport::new(model, data, Task::BinaryClassification, super::super::now(), 442);
    report.metrics = metrics(auc, loss);
    for (at, name) in ["age band=<40", "age band=40-59", "age band=60+", "plan=family & friends, of old"]
        .into_iter()
        .enumerate()
    {
        let shift = 0.03 * at as f64;
        report.slices.push(SliceReport::new(name, 110, metrics(auc - shift, loss + shift)));
    }
    let group = |name, shift: f64| GroupReport::new(name, 221, false, metrics(auc - shift, loss + shift));
    let parity = Disparity::new(measured(0.08, Direction::LowerIsBetter), vec![]);
    let disparities = BTreeMap::from([(key("demographic_parity_difference"), parity)]);
    report.fairness.push(FairnessReport::new("sex", vec![group("f", 0.02), group("m", -0.02)], disparities));
    report
}

/// The page of a decision, and how many pictures it has.
pub(super) fn page() -> (String, usize) {
    let gate = GateSpec::from_toml(GATE).unwrap();
    let (ours, champion, prior) = (report("m", 0.78, 0.52), report("c", 0.785, 0.5), report("p", 0.5, 0.7));
    let tested = |p, estimate: f64| {
        let found = CriterionEvidence::new(442).with_p(TestName::Delong, p, estimate);
        found.with_interval(estimate - 0.012, estimate + 0.012, 0.95).with_classes(200, 242)
    };
    let same = CriterionEvidence::new(442).with_p(TestName::Bootstrap, 0.01, 0.0);
    let evidence = GateEvidence::new(gate.digest(), ours.model, ours.data)
        .with_champion(champion.model)
        .with("surely-no-step-back", tested(0.02, 0.78 - 0.785))
        .with("as-selective", same.with_interval(-0.02, 0.02, 0.95));
    let input = GateInput::new(&ours)
        .with_champion(&champion)
        .with_baseline("prior", &prior)
        .with_evidence(&evidence);
    let decision = gate.decide_with(&input, super::super::now()).unwrap();
    let options = HtmlOptions::default().with_gate(&gate).with_input(&input);
    // Every criterion but the one that was never measured; four metrics of slices; four of groups.
    (html_with(&decision, &options).unwrap(), 11 + 4 + 4)
}

/// A decision in which everything is called as somebody wants it.
pub(super) fn named(gate: &str, names: &[&str]) -> GateDecision {
    let digest = Digest::of(b"x");
    let verdicts = [Verdict::Fail, Verdict::Pass, Verdict::Insufficient];
    let criterion = |(at, name): (usize, &&str)| {
        CriterionResult::new(
            *name,
            verdicts[at % 3],
            Some(Measured::Value(0.5)),
            format!("because of {name}"),
        )
        .with_severity(if at % 4 == 3 { Severity::Warning } else { Severity::Error })
    };
    let criteria = names.iter().enumerate().map(criterion).collect();
    GateDecision::new(gate, digest, digest, digest, None, super::super::now(), criteria)
}

/// The page of a report whose slices, groups and attributes have names of somebody who means harm.
pub(super) fn hostile_parts(names: &[&str]) -> String {
    let mut ours = report("m", 0.78, 0.52);
    ours.slices = names.iter().map(|name| SliceReport::new(*name, 9, metrics(0.7, 0.5))).collect();
    ours.fairness.clear();
    for attribute in names {
        let groups = names.iter().map(|name| GroupReport::new(*name, 9, false, metrics(0.7, 0.5))).collect();
        let left_out = names.iter().map(|name| (*name).to_owned()).collect();
        let disparity = Disparity::new(measured(0.1, Direction::LowerIsBetter), left_out);
        ours.fairness.push(FairnessReport::new(
            *attribute,
            groups,
            BTreeMap::from([(key("ratio"), disparity)]),
        ));
    }
    let auc = Criterion::new("auc", key("roc_auc")).with_slice(names[0]).with_min(0.5);
    let loss = Criterion::new("loss", key("log_loss")).with_max_drop(0.1).with_baseline(names[3]);
    let gate = GateSpec::new("g", vec![auc, loss]).unwrap();
    let prior = report("p", 0.5, 0.7);
    let input = GateInput::new(&ours).with_baseline(names[3], &prior);
    let decision = gate.decide_with(&input, super::super::now()).unwrap();
    html_with(&decision, &HtmlOptions::default().with_title(names[1]).with_gate(&gate).with_input(&input))
        .unwrap()
}
