//! Budgets, rules about cost, questionnaires about maturity, and signatures of models: what is accepted can be used, and what is not
//! is refused by an error that says something.

use mlops_core::config::Format;
use mlops_core::conformance::fuzz::Input;
use mlops_core::governance::budget::{DailyCost, parse_budgets};
use mlops_core::governance::cost::{CostInventory, CostRules, cost_findings};
use mlops_core::governance::hygiene::Sweep;
use mlops_core::governance::maturity::{Measure, assess};
use mlops_core::governance::{BudgetGuard, Questionnaire};
use serde_json::Value;

use super::{FORMATS, at, edited, read};

const BUDGETS: &str = r#"
[[budgets]]
name = "churn"
amount = 1000.0
grain = "quarterly"
start = "2026-01-01"
thresholds = [{ percent = 80.0 }, { percent = 100.0, basis = "forecast" }]
"#;

const COST_RULES: &str = r#"
max_idle = "10m"
max_instance_idle = "1h"
max_unused = "14d"
headroom = 1.5
tags = ["owner"]
"#;

const QUESTIONS: &str = r#"
[[criteria]]
id = "gate"
level = "automated_deployment"
dimension = "model_release"
statement = "Nine of ten releases pass a gate."
measure = "gated_releases"
at_least = 0.9

[[criteria]]
id = "cards"
level = "automated_training"
dimension = "model_creation"
statement = "Every model has a card."

[[attestations]]
criterion = "cards"
met = true
by = "ann"
at = "2026-01-01T00:00:00Z"
expires_at = "2027-01-01T00:00:00Z"
comment = "seen"
"#;

/// A file in some format: as it is, spoilt as a text or as a document, or nothing of the kind.
fn file(input: &mut Input<'_>, toml: &str) -> (String, Format) {
    let format = input.pick(FORMATS);
    let whole: Value = toml::from_str(toml).unwrap();
    let text = match (input.byte() % 4, format) {
        (0, _) => input.rest(),
        (1, Format::Toml) => toml.to_owned(),
        (_, Format::Toml) => edited(input, toml),
        (2, _) => edited(input, &whole.to_string()),
        _ => input.json(&whole).to_string(),
    };
    (text, format)
}

pub(crate) fn budgets_text(input: &mut Input<'_>) {
    let (text, format) = file(input, BUDGETS);
    for budget in read(parse_budgets(&text, format)).into_iter().flatten() {
        assert!(budget.amount() > 0.0 && budget.amount().is_finite() && !budget.thresholds().is_empty());
        let day = at().date_naive();
        read(budget.status(&[DailyCost::new(day, input.f64())]));
        if let Some(guard) = read(BudgetGuard::new(&budget, input.f64())) {
            if let Ok(ticket) = guard.admit(input.f64()) {
                ticket.spend(input.f64());
            }
            assert!(guard.spent() >= 0.0 && guard.promised() == 0.0 && guard.remaining() >= 0.0);
        }
        let text = serde_json::to_string(&budget).unwrap();
        assert_eq!(serde_json::from_str::<mlops_core::governance::budget::Budget>(&text).unwrap(), budget);
    }
}

pub(crate) fn cost_rules_text(input: &mut Input<'_>) {
    let (text, format) = file(input, COST_RULES);
    if let Some(rules) = read(CostRules::parse(&text, format)) {
        assert!(rules.headroom >= 1.0 && rules.headroom.is_finite());
        assert!(
            cost_findings(&CostInventory::default(), &Sweep::default(), &rules, at()).unwrap().is_empty()
        );
    }
}

pub(crate) fn questionnaire_text(input: &mut Input<'_>) {
    let (text, format) = file(input, QUESTIONS);
    if let Some(asked) = read(Questionnaire::parse(&text, format)) {
        let evidence = asked.evidence().with_count(Measure::GatedReleases, input.count() % 11, 10);
        let found = assess(asked.criteria(), &evidence, at()).unwrap();
        assert_eq!(found.findings.len(), asked.criteria().len());
        assert!(found.to_markdown().contains("# Maturity"));
    }
}

/// A bundle, spoilt as a text or as a document: nothing but what was signed verifies.
#[cfg(feature = "signing")]
pub(crate) fn signature_bundle(input: &mut Input<'_>) {
    use mlops_core::oversight::signing::SignatureBundle;
    let (good, key) = (&REFERENCE["deterministic"], key());
    let text = match input.byte() % 3 {
        0 => input.rest(),
        1 => edited(input, &good.to_string()),
        _ => input.json(good).to_string(),
    };
    let Some(bundle) = read(SignatureBundle::parse(&text)) else { return };
    assert_eq!(SignatureBundle::parse(&bundle.to_json()).unwrap(), bundle);
    if let Some(signed) = read(bundle.verify(&key.verifying_key())) {
        let whole = SignatureBundle::parse(&good.to_string()).unwrap().verify(&key.verifying_key()).unwrap();
        assert_eq!(signed, whole);
    }
}

/// A model of any names, signed: it verifies, and no other one does.
#[cfg(feature = "signing")]
pub(crate) fn signature_statement(input: &mut Input<'_>) {
    use mlops_core::RelPath;
    use mlops_core::hash::Digest;
    use mlops_core::oversight::signing::{ModelFiles, SignatureBundle};
    let mut files = Vec::new();
    for _ in 0..input.below(6) {
        if let Ok(path) = RelPath::new(input.text()) {
            files.push((path, Digest::of(input.text().as_bytes())));
        }
    }
    let (name, key) = (input.text(), key());
    let Some(model) = read(ModelFiles::new(name, files.clone())) else { return };
    let bundle = SignatureBundle::sign(&model, &key).unwrap();
    let signed = SignatureBundle::parse(&bundle.to_json()).unwrap().verify(&key.verifying_key()).unwrap();
    signed.require(&model).unwrap();
    assert_eq!(*signed.digest(), model.root());
    let one = input.below(files.len());
    files[one].1 = Digest::of(b"another");
    if let Some(other) = read(ModelFiles::new("other", files)) {
        assert_eq!(signed.require(&other).is_ok(), signed.files().eq(other.files()));
    }
}

/// Reading it takes longer than what is tried.
#[cfg(feature = "signing")]
static REFERENCE: std::sync::LazyLock<Value> =
    std::sync::LazyLock::new(|| serde_json::from_str(include_str!("../reference/signing.json")).unwrap());

#[cfg(feature = "signing")]
fn key() -> mlops_core::oversight::signing::SigningKey {
    let pem = REFERENCE["test_only"]["pkcs8"].as_str().unwrap().to_owned();
    mlops_core::oversight::signing::SigningKey::from_pem(&mlops_core::governance::Secret::new(pem)).unwrap()
}
