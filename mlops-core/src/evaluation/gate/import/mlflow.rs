//! MLflow's `MetricThreshold`s.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{ImportedGate, build, id, metric};
use crate::config::{Document, Format};
use crate::error::{Result, quote};
use crate::evaluation::Criterion;
use crate::evaluation::gate::spec::GateSpec;
use crate::problem::Direction;

/// One `MetricThreshold`, with the names of its constructor's arguments.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Threshold {
    #[serde(default)]
    threshold: Option<f64>,
    #[serde(default)]
    min_absolute_change: Option<f64>,
    #[serde(default)]
    min_relative_change: Option<f64>,
    #[serde(default)]
    greater_is_better: Option<bool>,
    #[serde(default)]
    higher_is_better: Option<bool>,
}

const OP: &str = "GateSpec::from_mlflow_thresholds";

impl GateSpec {
    /// A gate out of MLflow's validation thresholds: a JSON object from the names of metrics to the arguments of
    /// `mlflow.models.MetricThreshold` (`threshold`, `min_absolute_change`, `min_relative_change`, `greater_is_better`, or
    /// the older `higher_is_better`). As there, all are needed, `>=` and `<=` count, and a change without a champion does not
    /// pass. Unlike there, a NaN never passes.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for what MLflow refuses too (no threshold at all, no
    /// direction or two, a change that is not positive, a share above 1), for unknown keys, and for names that are no metric
    /// keys.
    ///
    /// ```
    /// use mlops_core::evaluation::GateSpec;
    ///
    /// let text = r#"{"accuracy_score": {"threshold": 0.8, "min_absolute_change": 0.05, "greater_is_better": true}}"#;
    /// let imported = GateSpec::from_mlflow_thresholds("release", text)?;
    /// let [floor, gain] = imported.gate.criteria() else { panic!("two criteria") };
    /// assert_eq!((floor.metric.as_str(), floor.min), ("accuracy", Some(0.8)));
    /// assert_eq!((gain.id.as_str(), gain.min_gain), ("accuracy_score.gain", Some(0.05)));
    /// assert_eq!(imported.notes, ["the metric `accuracy_score` is called `accuracy` here"]);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn from_mlflow_thresholds(name: &str, json: &str) -> Result<ImportedGate> {
        let document = Document::new(OP, "(text)", json, Format::Json)?;
        let thresholds: BTreeMap<String, Threshold> = document.parse(None)?;
        let (mut criteria, mut notes) = (Vec::new(), Vec::new());
        for (theirs, threshold) in &thresholds {
            let greater = threshold.check().map_err(|message| {
                let error = document.error(theirs, document.offset(&[theirs]), message);
                error.with("metric", theirs)
            })?;
            let key = metric(OP, theirs, &mut notes)?;
            let new = |suffix: &str| Criterion::new(id(theirs, suffix), key.clone());
            if let Some(bound) = threshold.threshold {
                criteria.push(if greater { new("").with_min(bound) } else { new("").with_max(bound) });
            }
            let way = if greater { Direction::HigherIsBetter } else { Direction::LowerIsBetter };
            if let Some(gain) = threshold.min_absolute_change {
                criteria.push(new(".gain").with_min_gain(gain).with_direction(way));
            }
            if let Some(share) = threshold.min_relative_change {
                criteria.push(new(".relative-gain").with_min_relative_gain(share).with_direction(way));
                notes.push(format!(
                    "`{}`: the share is of the champion's value without its sign, and of 0 nothing can be decided",
                    quote(theirs)
                ));
            }
        }
        build(name, criteria, notes)
    }
}

impl Threshold {
    /// Whether greater is better, or what MLflow would refuse as well.
    fn check(&self) -> Result<bool, &'static str> {
        let greater = match (self.greater_is_better, self.higher_is_better) {
            (Some(greater), None) | (None, Some(greater)) => greater,
            (None, None) => return Err("needs `greater_is_better`"),
            (Some(_), Some(_)) => return Err("has both `greater_is_better` and `higher_is_better`"),
        };
        if self.min_absolute_change.is_some_and(|change| change <= 0.0) {
            return Err("has a `min_absolute_change` that is not positive");
        }
        if self.min_relative_change.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            return Err("has a `min_relative_change` that does not lie between 0 and 1");
        }
        let nothing =
            (self.threshold, self.min_absolute_change, self.min_relative_change) == (None, None, None);
        if nothing { Err("has no threshold") } else { Ok(greater) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn import(text: &str) -> Result<ImportedGate> {
        GateSpec::from_mlflow_thresholds("g", text)
    }

    #[test]
    fn what_mlflow_refuses_is_refused() {
        for text in [
            "{}",
            r#"{"a": {}}"#,
            r#"{"a": {"greater_is_better": true}}"#,
            r#"{"a": {"threshold": 1}}"#,
            r#"{"a": {"threshold": "1", "greater_is_better": true}}"#,
            r#"{"a": {"threshold": 1, "greater_is_better": 1}}"#,
            r#"{"a": {"threshold": 1, "greater_is_better": true, "higher_is_better": true}}"#,
            r#"{"a": {"min_absolute_change": 0, "greater_is_better": true}}"#,
            r#"{"a": {"min_relative_change": 1.5, "greater_is_better": true}}"#,
            r#"{"a": {"threshold": NaN, "greater_is_better": true}}"#,
            r#"{"a": {"treshold": 1, "greater_is_better": true}}"#,
            r#"{"../a": {"threshold": 1, "greater_is_better": true}}"#,
            r#"{"a": {"threshold": 1, "greater_is_better": true}, "a": {"threshold": 0, "greater_is_better": true}}"#,
            "[]",
        ] {
            assert!(import(text).is_err(), "{text}");
        }
        let error = import("{\n\"a\": {\"treshold\": 1}}").err().unwrap();
        assert_eq!(error.message(), "unknown key `treshold`; did you mean `threshold`?");
        assert_eq!((error.context("line"), error.context("column")), (Some("2"), Some("7")));
    }

    #[test]
    fn losses_are_bounded_from_above() {
        let text =
            r#"{"log_loss": {"threshold": 0.5, "min_relative_change": 0.1, "greater_is_better": false}}"#;
        let imported = import(text).unwrap();
        let [bound, gain] = imported.gate.criteria() else { panic!("{imported:?}") };
        assert_eq!((bound.max, bound.min), (Some(0.5), None));
        assert_eq!((gain.min_relative_gain, gain.direction), (Some(0.1), Some(Direction::LowerIsBetter)));
    }
}
