//! Every preset against the tool it stands for, or its published formula; `reference/compat.py` says which and wrote the values.

use std::fs;
use std::path::Path;

use mlops_core::num::StatsError;
use mlops_drift::compat::{
    Direction, NoAlert, Preset, check, check_categories, verdicts, verdicts_of_categories,
};
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
    /// `None` where the tool raises or says NaN.
    score: Option<f64>,
    alert: Option<bool>,
    #[serde(default)]
    warning: Option<bool>,
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
        let Some(score) = case.score else {
            assert!(matches!(got, Err(StatsError::Unsupported { .. })), "{of}: {got:?}");
            continue;
        };
        let got = got.unwrap();
        // p-values to 1e-10, distances to 1e-12.
        let relative = if matches!(got.preset.direction(), Direction::Below | Direction::AtMost) {
            1e-10
        } else {
            1e-12
        };
        // Evidently takes its series for Cramér–von Mises, and its normal law for z, from 1.
        let small = match got.preset {
            Preset::EvidentlyCramerVonMises | Preset::EvidentlyZ => 1.0,
            _ if relative < 1e-11 => 1e-3,
            _ => 0.0,
        };
        assert!(
            (got.score - score).abs() <= relative * score.abs().max(small),
            "{of}: {} is not {score}",
            got.score
        );
        assert_eq!(got.alert, case.alert, "{of}");
        assert!(case.warning.is_none() || got.warning == case.warning, "{of}");
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

#[test]
fn evidently_gives_the_same_p_values_and_alerts() {
    agrees("evidently_tests");
}

#[test]
fn whylogs_gives_the_same_scores_and_bands() {
    agrees("whylogs");
}

#[test]
fn every_preset_that_applies_has_a_row_and_the_row_says_what_the_preset_says() {
    let reference: Vec<f64> = (0..150).map(|i| f64::from(i * i % 151)).collect();
    let current: Vec<f64> = (0..120).map(|i| f64::from(i * i % 151) + 25.0).collect();
    let rows = verdicts(&reference, &current).unwrap();
    assert_eq!(rows.len(), Preset::ALL.iter().filter(|preset| preset.takes_numbers()).count());
    for row in &rows {
        let alone = check(row.preset, &reference, &current).unwrap();
        assert_eq!((row.score, row.threshold), (Some(alone.score), alone.threshold));
        assert_eq!(row.alert, alone.alert.ok_or(NoAlert::NoThreshold), "{row}");
    }
    let alarms = rows.iter().filter(|row| row.alert == Ok(true)).count();
    assert!(alarms > 8 && alarms < rows.len(), "{alarms} of {}", rows.len());
}

#[test]
fn a_preset_that_refuses_is_a_row_with_its_reason() {
    let long: Vec<f64> = (0..Preset::AZURE_KS_ROWS).map(|i| i as f64).collect();
    let rows = verdicts(&long, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let azure = rows.iter().find(|row| row.preset == Preset::AzureMlKs).unwrap();
    assert!(
        matches!(azure.alert, Err(NoAlert::Refused(StatsError::Parameter { parameter: "rows", .. }))),
        "{azure}"
    );
    assert_eq!((azure.score, azure.threshold), (None, Some(0.05)));

    // Sizes differ: Evidently's G and Fisher raise, the others answer.
    let rows = verdicts_of_categories(&[10, 20], &[20, 20]).unwrap();
    for row in rows {
        let refused = matches!(row.alert, Err(NoAlert::Refused(_)));
        let should = matches!(row.preset, Preset::EvidentlyG | Preset::EvidentlyFisher);
        assert_eq!(refused, should, "{row}");
        let json = serde_json::to_value(row).unwrap();
        assert_eq!(json["preset"], row.preset.to_string());
        assert_eq!(json["reason"].is_string(), row.alert.is_err());
    }
    assert!(verdicts(&[], &[1.0]).is_err() && verdicts(&[1.0], &[f64::NAN]).is_err());
    assert!(verdicts_of_categories(&[0], &[1]).is_err());
}
