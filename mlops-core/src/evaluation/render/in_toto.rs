//! As an in-toto statement.

use serde_json::{Value, json};

use super::Mark;
use super::json::pretty;
use super::neutral::visible;
use crate::error::Result;
use crate::evaluation::{CriterionResult, GateDecision, Verdict};
use crate::hash::Digest;

/// The decision as an in-toto Statement (version 1) with the predicate test-result (version 0.1), ready to be signed: the subject is
/// the model by its digest, the configuration are gate, report and evidence by theirs. The result is `PASSED`, `WARNED` when
/// a warning or note was not met, and else `FAILED`, for what could not be decided too.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput), never for a decision that was made by a gate.
///
/// ```
/// use mlops_core::evaluation::{CriterionResult, GateDecision, Verdict, render};
/// # let (digest, at) = (mlops_core::hash::Digest::of(b"x"), "2026-01-05T09:00:00Z".parse()?);
/// let criteria = vec![CriterionResult::new("auc", Verdict::Pass, None, "good")];
/// let decision = GateDecision::new("release", digest, digest, digest, None, at, criteria);
/// let statement: serde_json::Value = serde_json::from_str(&render::in_toto(&decision)?)?;
/// assert_eq!(statement["predicate"]["result"], "PASSED");
/// assert_eq!(statement["subject"][0]["digest"]["sha256"], digest.hex());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn in_toto(decision: &GateDecision) -> Result<String> {
    let named = |matching: fn(Mark) -> bool| -> Vec<String> {
        let matches = |c: &&CriterionResult| matching(Mark::of(c));
        decision.criteria.iter().filter(matches).map(|c| visible(&c.id)).collect()
    };
    let warned = named(|mark| matches!(mark, Mark::Warning | Mark::Note));
    let result = match decision.settled_verdict() {
        Verdict::Pass if warned.is_empty() => "PASSED",
        Verdict::Pass => "WARNED",
        _ => "FAILED",
    };
    let mut configuration = vec![
        resource(&format!("gate {}", visible(&decision.gate)), decision.gate_digest),
        resource("evaluation report", decision.report),
    ];
    let others = [("champion's report", decision.champion_report), ("evidence", decision.evidence)];
    configuration.extend(others.into_iter().filter_map(|(name, digest)| Some(resource(name, digest?))));
    let baselines = decision.baseline_reports.iter();
    configuration
        .extend(baselines.map(|(name, digest)| resource(&format!("baseline {}", visible(name)), *digest)));
    pretty(&json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [resource("model", decision.model)],
        "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
        "predicate": {
            "result": result,
            "configuration": configuration,
            "passedTests": named(|mark| mark == Mark::Pass),
            "warnedTests": warned,
            "failedTests": named(|mark| mark == Mark::Error),
        },
    }))
}

fn resource(name: &str, digest: Digest) -> Value {
    json!({ "name": name, "digest": { "sha256": digest.hex() } })
}
