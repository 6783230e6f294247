//! Every preset against the tool it stands for, or its published formula; `reference/compat.py` says which and wrote the values.

use std::fs;
use std::path::Path;

use mlops_drift::compat::{Preset, check, check_categories};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    tool: String,
    preset: Preset,
    #[serde(default)]
    reference: Vec<f64>,
    #[serde(default)]
    current: Vec<f64>,
    #[serde(default)]
    reference_counts: Vec<u64>,
    #[serde(default)]
    current_counts: Vec<u64>,
    score: f64,
    alert: Option<bool>,
}

fn agrees(part: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/reference/compat_{part}.json"));
    let cases: Vec<Case> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert!(cases.len() > 10);
    for case in cases {
        let of = format!("{} on {} by {}", case.preset, case.name, case.tool);
        let got = if case.reference.is_empty() {
            check_categories(case.preset, &case.reference_counts, &case.current_counts)
        } else {
            check(case.preset, &case.reference, &case.current)
        };
        let got = got.unwrap();
        assert!(
            (got.score - case.score).abs() <= 1e-12 * case.score.abs().max(1e-3),
            "{of}: {} is not {}",
            got.score,
            case.score
        );
        assert_eq!(got.alert, case.alert, "{of}");
    }
}

#[test]
fn published_formulas_give_the_same_scores_and_alerts() {
    agrees("formulas");
}

#[test]
fn evidently_gives_the_same_scores_and_alerts() {
    agrees("evidently");
}

#[test]
fn nannyml_gives_the_same_scores() {
    agrees("nannyml");
}
