//! Fuzzing of what reads gates and their evidence, of what writes their decisions, and of what reads schemas of tables, search spaces,
//! sweeps, budgets, rules about cost, questionnaires and signatures of models
//! ([`mlops_core::conformance::fuzz`] says how, and which variables are read).
//!
//! Whatever a file says, nothing panics, and nothing passes on a report in which nothing was measured. A schema that was read is written
//! and read the same, and every table can be held against it.
//!
//! ```text
//! MLOPS_FUZZ_SECONDS=60 cargo test -p mlops-core --all-features --test fuzz
//! ```

#[path = "fuzz/governance.rs"]
mod governance;
#[path = "fuzz/search_space.rs"]
mod search_space;
#[path = "fuzz/sweep.rs"]
mod sweep;

use std::path::Path;

use mlops_core::conformance::fuzz::{self, Input, Target};
use mlops_core::data::{
    Column, Expectations, Schema, SchemaFormat, Table, ValidateOptions, Validator, Validity, Values,
};
use mlops_core::evaluation::{
    Criterion, CriterionEvidence, CriterionResult, EarlierUses, Estimate, EvaluationReport, GateDecision,
    GateEvidence, GateFormat, GateInput, GateSpec, ImportedGate, TestName, Verdict, render,
};
use mlops_core::hash::Digest;
use mlops_core::num::Measured;
use mlops_core::problem::{Direction, Task};
use mlops_core::time::Timestamp;
use mlops_core::{MetricKey, Result};
use serde_json::{Value, json};

const TARGETS: &[Target] = &[
    ("budgets_text", governance::budgets_text),
    ("cost_rules_text", governance::cost_rules_text),
    ("gate_text", gate_text),
    ("gate_json", gate_json),
    ("gate_imports", gate_imports),
    ("gate_evidence", gate_evidence),
    ("gate_decision", gate_decision),
    ("questionnaire_text", governance::questionnaire_text),
    ("schema_json", schema_json),
    ("schema_text", schema_text),
    #[cfg(feature = "signing")]
    ("signature_bundle", governance::signature_bundle),
    #[cfg(feature = "signing")]
    ("signature_statement", governance::signature_statement),
    ("space_azure", search_space::space_azure),
    ("space_json", search_space::space_json),
    ("space_text", search_space::space_text),
    ("sweep_azure", sweep::sweep_azure),
    ("sweep_events", sweep::sweep_events),
    ("sweep_journal", sweep::sweep_journal),
];

#[test]
fn no_input_panics_or_passes_on_nothing() {
    fuzz::run(Path::new(env!("CARGO_MANIFEST_DIR")), TARGETS);
}

/// Writes the inputs to begin with; those that failed once stay.
#[test]
#[ignore = "writes into the corpus"]
fn seeds_are_written() {
    let mut random = fuzz::random();
    let seeds = TARGETS
        .iter()
        .map(|&(name, _)| (name, (0..40).flat_map(|_| random.next_u64().to_le_bytes()).collect::<Vec<u8>>()));
    fuzz::keep(Path::new(env!("CARGO_MANIFEST_DIR")), seeds);
}

const TOML: [&str; 2] =
    [include_str!("gate_corpus/valid/everything.toml"), include_str!("gate_corpus/valid/smallest.toml")];
const YAML: [&str; 2] =
    [include_str!("gate_corpus/valid/own-level.yaml"), include_str!("gate_corpus/valid/smallest.yaml")];
const JSON: &str = include_str!("gate_corpus/valid/smallest.json");

/// Every key of a schema, every rule.
const SCHEMA: &str = include_str!("reference/schema.toml");

const SCHEMA_FORMATS: &[SchemaFormat] = if cfg!(feature = "yaml") {
    &[SchemaFormat::Toml, SchemaFormat::Json, SchemaFormat::Yaml]
} else {
    &[SchemaFormat::Toml, SchemaFormat::Json]
};

const FORMATS: &[GateFormat] = if cfg!(feature = "yaml") {
    &[GateFormat::Toml, GateFormat::Json, GateFormat::Yaml]
} else {
    &[GateFormat::Toml, GateFormat::Json]
};

fn at() -> Timestamp {
    "2026-01-05T09:00:00Z".parse().unwrap()
}

fn digest() -> Digest {
    Digest::of(b"x")
}

fn empty() -> EvaluationReport {
    EvaluationReport::new(digest(), digest(), Task::BinaryClassification, at(), 100)
}

/// A report with every metric that the criteria ask for, and numbers out of the input.
fn filled(input: &mut Input<'_>, criteria: &[Criterion]) -> EvaluationReport {
    let mut report = empty();
    for criterion in criteria {
        let value = if input.bool() { 0.5 } else { input.f64() };
        let direction =
            input.pick(&[Direction::HigherIsBetter, Direction::LowerIsBetter, Direction::Neither]);
        let estimate = Estimate::new(Measured::Value(value), direction, input.count());
        let (low, high) = (input.f64(), input.f64());
        report.metrics.insert(criterion.metric.clone(), estimate.with_interval(low, high));
    }
    report
}

/// A file with some of its parts replaced by what means something in a gate, or in none.
fn edited(input: &mut Input<'_>, text: &str) -> String {
    const PIECES: [&str; 32] = [
        "nan",
        "inf",
        "-inf",
        "1e999",
        "-1",
        "0",
        "0.5",
        "18446744073709551616",
        "\"",
        "'''",
        "[",
        "]",
        "{",
        "}",
        "[[criteria]]\n",
        "- ",
        ": ",
        " = ",
        ",",
        "\n",
        "\t",
        "&a ",
        "*a",
        "!!float",
        "#",
        "min",
        "max",
        "test",
        "alpha",
        "null",
        "\u{feff}",
        "\u{202e}",
    ];
    input.edited(text, &PIECES)
}

fn read<T>(result: Result<T>) -> Option<T> {
    result.map_err(|error| assert!(!error.to_string().is_empty())).ok()
}

/// A gate that was accepted decides, and passes nothing that was not measured.
fn use_gate(input: &mut Input<'_>, gate: &GateSpec) {
    assert!(!gate.criteria().is_empty());
    for requirement in gate.requirements() {
        let confidence = requirement.confidence();
        assert!(confidence > 0.0 && confidence < 1.0, "{requirement:?}");
    }
    let nothing = gate.decide(&empty(), None, at()).unwrap();
    assert_ne!(nothing.verdict, Verdict::Pass, "{gate:?} passes on an empty report: {nothing:?}");
    let champion = filled(input, gate.criteria());
    let nothing = read(gate.decide(&empty(), Some(&champion), at()));
    assert!(nothing.is_none_or(|decision| decision.verdict != Verdict::Pass), "{gate:?}");
    let report = filled(input, gate.criteria());
    let uses = EarlierUses::new(input.count(), input.count());
    let all = GateInput::new(&report).with_champion(&champion).with_uses(uses);
    if let Some(decision) = read(gate.decide_with(&all, at())) {
        written(&decision);
        gate.require_made(&decision).unwrap();
    }
}

/// A decision in every language, and back from JSON.
fn written(decision: &GateDecision) {
    // Counts beyond 2^53 have no exact number in JSON, and are refused.
    if let Some(json) = read(render::json(decision)) {
        assert_eq!(serde_json::from_str::<GateDecision>(&json).unwrap(), *decision);
    }
    let documents = [read(render::sarif(decision, "gate.toml")), read(render::in_toto(decision))];
    for text in documents.into_iter().flatten() {
        assert!(serde_json::from_str::<Value>(&text).is_ok(), "{text}");
    }
    let texts = [
        render::markdown(decision),
        render::junit(decision),
        render::github(decision, "gate.toml"),
        render::azure_devops(decision, "gate.toml"),
    ];
    for text in texts {
        let hidden = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
        assert!(!text.contains(hidden), "{text:?}");
    }
    read(decision.digest());
    assert!(!decision.to_string().is_empty());
    if decision.computed_verdict() != Verdict::Pass {
        assert!(decision.require_pass(&decision.model).is_err());
    }
}

fn gate_text(input: &mut Input<'_>) {
    let format = input.pick(FORMATS);
    let text = match (input.byte() % 4, format) {
        (0, _) => input.rest(),
        (_, GateFormat::Toml) => {
            let text = input.pick(&TOML);
            edited(input, text)
        }
        (_, GateFormat::Yaml) => {
            let text = input.pick(&YAML);
            edited(input, text)
        }
        _ => edited(input, JSON),
    };
    if let Some(gate) = read(GateSpec::from_text(&text, format)) {
        use_gate(input, &gate);
    }
}

/// The gate with every key, spoilt as a document rather than as text.
fn gate_json(input: &mut Input<'_>) {
    let whole: Value = toml::from_str(TOML[0]).unwrap();
    let document = input.json(&whole);
    if let Some(gate) = read(GateSpec::from_json(&document.to_string())) {
        use_gate(input, &gate);
    }
}

fn gate_imports(input: &mut Input<'_>) {
    let mlflow = json!({
        "accuracy_score": {"threshold": 0.8, "min_absolute_change": 0.05, "greater_is_better": true},
        "mean_squared_error": {"threshold": 4.0, "min_relative_change": 0.1, "greater_is_better": false},
    });
    let card = json!({
        "Model": {"ModelName": "churn", "ModelType": "Classification", "ModelSummary": ""},
        "Metrics": {"accuracy_score": {"threshold": ">=0.7"}, "precision_score": {}},
        "Fairness": {
            "metric": ["selection_rate"], "sensitive_features": ["sex"],
            "fairness_evaluation_kind": "difference", "threshold": "<=0.1",
        },
    });
    type Import = fn(&str, &str) -> Result<ImportedGate>;
    let imports: [(Import, Value); 2] =
        [(GateSpec::from_mlflow_thresholds, mlflow), (GateSpec::from_rai_scorecard, card)];
    for (import, document) in imports {
        let text = match input.byte() % 3 {
            0 => edited(input, &document.to_string()),
            _ => input.json(&document).to_string(),
        };
        if let Some(imported) = read(import("release", &text)) {
            use_gate(input, &imported.gate);
        }
    }
}

fn gate_evidence(input: &mut Input<'_>) {
    let gate = GateSpec::from_toml(TOML[0]).unwrap();
    let mut evidence = GateEvidence::new(gate.digest(), digest(), digest()).with_champion(digest());
    for criterion in gate.criteria().iter().filter(|criterion| criterion.needs_evidence()) {
        let found = CriterionEvidence::new(input.count())
            .with_p(TestName::Delong, input.f64(), input.f64())
            .with_interval(input.f64(), input.f64(), input.f64())
            .with_classes(input.count(), input.count());
        evidence = evidence.with(criterion.id.clone(), found);
    }
    let plain = CriterionEvidence::new(200).with_p(TestName::Delong, 0.001, 0.5);
    let template = GateEvidence::new(gate.digest(), digest(), digest()).with("a", plain);
    let spoilt = input.json(&serde_json::to_value(&template).unwrap()).to_string();
    let all: Vec<GateEvidence> =
        [Some(evidence), serde_json::from_str(&spoilt).ok()].into_iter().flatten().collect();
    let report = filled(input, gate.criteria());
    for evidence in &all {
        // A number that is none has no digest, and decides nothing.
        drop(evidence.digest());
        for report in [&report, &empty()] {
            let asked = GateInput::new(report).with_champion(report).with_evidence(evidence);
            if let Some(decision) = read(gate.decide_with(&asked, at())) {
                assert!(!report.metrics.is_empty() || decision.verdict != Verdict::Pass);
                written(&decision);
            }
        }
    }
}

fn gate_decision(input: &mut Input<'_>) {
    let key = MetricKey::new("auc").unwrap();
    let verdict = |input: &mut Input<'_>| input.pick(&[Verdict::Pass, Verdict::Fail, Verdict::Insufficient]);
    let criteria = (0..input.below(4)).map(|_| {
        let (id, verdict, reason) = (input.text(), verdict(input), input.text());
        CriterionResult::new(id, verdict, Some(Measured::Value(input.real())), reason)
    });
    let criteria: Vec<CriterionResult> = criteria.collect();
    let name = input.text();
    let decision = GateDecision::new(name, digest(), digest(), digest(), None, at(), criteria);
    written(&decision);
    let gate = GateSpec::new("release", vec![Criterion::new("auc", key).with_min(0.5)]).unwrap();
    drop(gate.require_made(&decision));
    let spoilt = input.json(&serde_json::to_value(&decision).unwrap()).to_string();
    if let Ok(decision) = serde_json::from_str::<GateDecision>(&spoilt) {
        written(&decision);
        drop(gate.require_made(&decision));
    }
}

/// A small table of every type, with what the schema's columns are called.
fn small_table(input: &mut Input<'_>) -> Table<'static> {
    let rows = input.below(4);
    let valid = |input: &mut Input<'_>| {
        Some(Validity::from_bools(&(0..rows).map(|_| input.bool()).collect::<Vec<_>>()))
    };
    let reals: Vec<f64> = (0..rows).map(|_| input.f64()).collect();
    let wholes: Vec<i64> = (0..rows).map(|_| input.count().cast_signed()).collect();
    let times: Vec<i64> = (0..rows).map(|_| input.count().cast_signed()).collect();
    let texts: Vec<&str> = (0..rows).map(|_| input.pick(&["", "bonn", "A12", "köln"])).collect();
    let mut columns = vec![
        Column::new("bmi", Values::F64(reals.into()), valid(input)).unwrap(),
        Column::new("age", Values::I64(wholes.into()), valid(input)).unwrap(),
        Column::new("at", Values::Time(times.into()), valid(input)).unwrap(),
        Column::text("site", texts).unwrap(),
        Column::bool("ill", (0..rows).map(|_| input.bool()).collect::<Vec<_>>()).unwrap(),
    ];
    columns.truncate(1 + input.below(5));
    Table::new(columns).unwrap()
}

/// A schema that was accepted is written and read the same, differs from itself in nothing, and judges every table.
fn use_schema(input: &mut Input<'_>, schema: &Schema) {
    for format in [SchemaFormat::Toml, SchemaFormat::Json] {
        let text = schema.to_text(format).unwrap();
        assert_eq!(read(Schema::from_text(&text, format)).as_ref(), Some(schema), "{text}");
    }
    assert!(schema.diff(schema).is_empty());
    assert_eq!(schema.digest(), schema.clone().digest());
    let mut all = vec![Expectations::from_schema(schema)];
    all.extend(
        schema.environments().iter().filter_map(|name| read(Expectations::for_environment(schema, name))),
    );
    for expected in all.iter().take(3) {
        let options = ValidateOptions::default().with_now(at()).with_values(input.bool());
        let mut validator = Validator::new(expected, options);
        assert!(!validator.report().passed(), "nothing was seen");
        let table = small_table(input);
        read(validator.add_reference("patients", &table));
        let Some(split) = read(validator.push(&table)) else { continue };
        assert_eq!(split.good().len() + split.bad().len(), table.rows());
        let written = serde_json::to_string(&validator.state()).unwrap();
        let mut again = Validator::resume(serde_json::from_str(&written).unwrap()).unwrap();
        read(again.add_reference("patients", &table));
        assert_eq!(again.report(), validator.report());
        again.merge(&validator).unwrap();
        let report = again.report();
        assert_eq!(report.rows, 2 * table.rows() as u64);
        for result in &report.results {
            assert!(result.failed <= result.evaluated, "{result:?}");
            assert!(result.observed.is_none_or(f64::is_finite), "{result:?}");
        }
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<mlops_core::data::ValidationReport>(&text).unwrap(), report);
    }
}

fn schema_text(input: &mut Input<'_>) {
    let format = input.pick(SCHEMA_FORMATS);
    let whole = Schema::from_text(SCHEMA, SchemaFormat::Toml).unwrap();
    let text = match (input.byte() % 4, format) {
        (0, _) => input.rest(),
        (_, SchemaFormat::Toml) => edited(input, SCHEMA),
        // YAML contains JSON.
        _ => {
            let text = whole.to_text(SchemaFormat::Json).unwrap();
            edited(input, &text)
        }
    };
    if let Some(schema) = read(Schema::from_text(&text, format)) {
        use_schema(input, &schema);
    }
}

/// The schema with every key, spoilt as a document rather than as text.
fn schema_json(input: &mut Input<'_>) {
    let whole: Value = toml::from_str(SCHEMA).unwrap();
    let text = input.json(&whole).to_string();
    if let Some(schema) = read(Schema::from_text(&text, SchemaFormat::Json)) {
        use_schema(input, &schema);
    }
}
