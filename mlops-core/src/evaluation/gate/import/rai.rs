//! The configuration of Azure Machine Learning's Responsible AI scorecard.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{ImportedGate, build, id, metric};
use crate::config::{Document, Format};
use crate::error::{Result, quote};
use crate::evaluation::Criterion;
use crate::evaluation::gate::spec::GateSpec;
use crate::id::MetricKey;

/// `pdf_gen.json`, with the keys of its documentation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scorecard {
    #[serde(default, rename = "Model")]
    _model: Option<IgnoredAny>,
    #[serde(default, rename = "Metrics")]
    metrics: BTreeMap<String, Target>,
    #[serde(default, rename = "Fairness")]
    fairness: Option<Fairness>,
    #[serde(default, rename = "FeatureImportance")]
    feature_importance: Option<IgnoredAny>,
    #[serde(default, rename = "DataExplorer")]
    data_explorer: Option<IgnoredAny>,
    #[serde(default, rename = "Cohorts")]
    cohorts: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    #[serde(default)]
    threshold: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fairness {
    metric: Vec<String>,
    sensitive_features: Vec<String>,
    fairness_evaluation_kind: Kind,
    #[serde(default)]
    threshold: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Difference,
    Ratio,
}

/// A threshold's side and value.
enum Bound {
    Min(f64),
    Max(f64),
}

const OP: &str = "GateSpec::from_rai_scorecard";

impl GateSpec {
    /// A gate out of the configuration of Azure Machine Learning's Responsible AI scorecard (`pdf_gen.json`): the thresholds
    /// under `Metrics`, and the one under `Fairness` for every metric and sensitive feature. What the scorecard only shows (a
    /// metric without a threshold, features, cohorts) becomes a note.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a threshold that is not `>=` or `<=` and a number (a
    /// strict one cannot be carried over), for unknown keys, and when there is no threshold at all.
    ///
    /// ```
    /// use mlops_core::evaluation::GateSpec;
    ///
    /// let text = r#"{
    ///     "Model": {"ModelName": "churn", "ModelType": "Classification", "ModelSummary": ""},
    ///     "Metrics": {"accuracy_score": {"threshold": ">=0.7"}, "precision_score": {}},
    ///     "Fairness": {"metric": ["selection_rate"], "sensitive_features": ["sex"],
    ///                  "fairness_evaluation_kind": "difference", "threshold": "<=0.1"}
    /// }"#;
    /// let imported = GateSpec::from_rai_scorecard("release", text)?;
    /// let [accuracy, parity] = imported.gate.criteria() else { panic!("two criteria") };
    /// assert_eq!((accuracy.metric.as_str(), accuracy.min), ("accuracy", Some(0.7)));
    /// assert_eq!((parity.metric.as_str(), parity.max), ("demographic_parity_difference", Some(0.1)));
    /// assert_eq!(parity.attribute.as_deref(), Some("sex"));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn from_rai_scorecard(name: &str, json: &str) -> Result<ImportedGate> {
        let document = Document::new(OP, "(text)", json, Format::Json)?;
        let card: Scorecard = document.parse(None)?;
        let (mut criteria, mut notes) = (Vec::new(), Vec::new());
        let bound = |text: &str, path: &[&str]| {
            parse(text).map_err(|message| document.error("threshold", document.offset(path), message))
        };
        for (theirs, target) in &card.metrics {
            let Some(threshold) = &target.threshold else {
                notes.push(format!(
                    "the metric `{}` has no threshold: the scorecard only shows it",
                    quote(theirs)
                ));
                continue;
            };
            let bound = bound(threshold, &["Metrics", theirs, "threshold"])?;
            let key = metric(OP, theirs, &mut notes)?;
            criteria.push(bound.on(Criterion::new(id(theirs, ""), key)));
        }
        if let Some(fairness) = &card.fairness {
            match &fairness.threshold {
                None => notes.push("`Fairness` has no threshold: the scorecard only shows it".to_owned()),
                Some(threshold) => {
                    let bound = bound(threshold, &["Fairness", "threshold"])?;
                    criteria.extend(fairness.criteria(&bound, &mut notes)?);
                }
            }
        }
        for (section, given) in [
            ("FeatureImportance", card.feature_importance.is_some()),
            ("DataExplorer", card.data_explorer.is_some()),
            ("Cohorts", card.cohorts.is_some()),
        ] {
            if given {
                notes.push(format!("`{section}` is what the scorecard shows, and no criterion"));
            }
        }
        build(name, criteria, notes)
    }
}

impl Fairness {
    fn criteria(&self, bound: &Bound, notes: &mut Vec<String>) -> Result<Vec<Criterion>> {
        let mut criteria = Vec::new();
        for theirs in &self.metric {
            let key = self.disparity(theirs, notes)?;
            for feature in &self.sensitive_features {
                let id = id(&format!("{theirs}-{feature}"), "");
                criteria.push(bound.on(Criterion::new(id, key.clone()).with_attribute(feature)));
            }
        }
        Ok(criteria)
    }

    /// The disparity that a metric and the kind of comparison stand for.
    fn disparity(&self, theirs: &str, notes: &mut Vec<String>) -> Result<MetricKey> {
        let kind = match self.fairness_evaluation_kind {
            Kind::Difference => "difference",
            Kind::Ratio => "ratio",
        };
        let stem = match theirs {
            "selection_rate" => "demographic_parity".to_owned(),
            "recall_score" => "equal_opportunity".to_owned(),
            "precision_score" => "predictive_parity".to_owned(),
            "accuracy_score" => "accuracy_equality".to_owned(),
            other => metric(OP, other, notes)?.to_string(),
        };
        metric(OP, &format!("{stem}_{kind}"), notes)
    }
}

impl Bound {
    fn on(&self, criterion: Criterion) -> Criterion {
        match *self {
            Self::Min(min) => criterion.with_min(min),
            Self::Max(max) => criterion.with_max(max),
        }
    }
}

fn parse(text: &str) -> Result<Bound, String> {
    let trimmed = text.trim();
    let (side, number): (fn(f64) -> Bound, &str) = if let Some(number) = trimmed.strip_prefix(">=") {
        (Bound::Min, number)
    } else if let Some(number) = trimmed.strip_prefix("<=") {
        (Bound::Max, number)
    } else if trimmed.starts_with(['<', '>']) {
        return Err(format!(
            "is `{}`; a gate's bounds belong to what passes: write `>=` or `<=`",
            quote(text)
        ));
    } else {
        return Err(format!("is `{}`, expected `>=` or `<=` and a number", quote(text)));
    };
    // Rust would read `nan` and `inf` too.
    let plain = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E');
    let number = number.trim();
    match number.parse::<f64>() {
        Ok(value) if value.is_finite() && number.chars().all(plain) => Ok(side(value)),
        _ => Err(format!("is `{}`, expected `>=` or `<=` and a number", quote(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_that_cannot_be_carried_over_are_refused_with_their_place() {
        for threshold in [">0.7", "<1", "0.7", "=0.7", ">=nan", "<=inf", ">= 1e999", ">=", ">=0,7", "=>0.7"] {
            let text = format!("{{\"Metrics\":\n{{\"f1_score\": {{\"threshold\": \"{threshold}\"}}}}}}");
            let error = GateSpec::from_rai_scorecard("g", &text).unwrap_err();
            assert_eq!(error.context("field"), Some("threshold"), "{error}");
            assert_eq!((error.context("line"), error.context("column")), (Some("2"), Some("28")), "{error}");
        }
        let spaced = r#"{"Metrics": {"mean_absolute_error": {"threshold": " <= 20.0 "}}}"#;
        let gate = GateSpec::from_rai_scorecard("g", spaced).unwrap().gate;
        assert_eq!((gate.criteria()[0].metric.as_str(), gate.criteria()[0].max), ("mae", Some(20.0)));
    }

    #[test]
    fn what_is_only_shown_is_noted_and_what_is_not_known_is_refused() {
        let text = r#"{"Metrics": {"a": {"threshold": ">=1"}, "b": {}}, "Cohorts": [null], "DataExplorer": {"features": []},
            "FeatureImportance": {"top_n": 6},
            "Fairness": {"metric": ["a"], "sensitive_features": ["s"], "fairness_evaluation_kind": "ratio"}}"#;
        let imported = GateSpec::from_rai_scorecard("g", text).unwrap();
        assert_eq!((imported.gate.criteria().len(), imported.notes.len()), (1, 5));
        for bad in [
            text.replace("Cohorts", "Cohort"),
            text.replace("ratio", "ration"),
            text.replace("threshold", "treshold"),
            "{}".to_owned(),
        ] {
            assert!(GateSpec::from_rai_scorecard("g", &bad).is_err(), "{bad}");
        }
        let error = GateSpec::from_rai_scorecard("g", &text.replace("ratio", "rati")).unwrap_err();
        assert_eq!(error.message(), "unknown value `rati`; did you mean `ratio`?");
    }

    #[test]
    fn every_feature_is_a_criterion_of_its_own() {
        let text = r#"{"Fairness": {"metric": ["recall_score", "accuracy_score"], "sensitive_features": ["a b", "a-b"],
            "fairness_evaluation_kind": "ratio", "threshold": ">=0.8"}}"#;
        let gate = GateSpec::from_rai_scorecard("g", text).unwrap().gate;
        let found: Vec<(&str, &str)> =
            gate.criteria().iter().map(|c| (c.id.as_str(), c.metric.as_str())).collect();
        assert_eq!(
            found,
            [
                ("recall_score-a-b", "equal_opportunity_ratio"),
                ("recall_score-a-b-1", "equal_opportunity_ratio"),
                ("accuracy_score-a-b", "accuracy_equality_ratio"),
                ("accuracy_score-a-b-3", "accuracy_equality_ratio"),
            ]
        );
    }
}
