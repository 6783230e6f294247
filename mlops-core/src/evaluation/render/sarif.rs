//! As SARIF 2.1.0.

use serde_json::{Value, json};

use super::json::pretty;
use super::neutral::{replaced, visible};
use super::{Mark, headline};
use crate::error::Result;
use crate::evaluation::{CriterionResult, GateDecision, Verdict};
use crate::hash::Hasher;

/// The decision as a SARIF 2.1.0 log: every criterion is a rule, and what it says a result, placed in the file of the gate,
/// whose path relative to the repository is `file`. What did not pass has the level of its severity; what passed is a result
/// of the kind `pass`.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput), never for a decision that was made by a gate.
///
/// ```
/// use mlops_core::evaluation::{CriterionResult, GateDecision, Verdict, render};
/// # let (digest, at) = (mlops_core::hash::Digest::of(b"x"), "2026-01-05T09:00:00Z".parse()?);
/// let criteria = vec![CriterionResult::new("auc", Verdict::Fail, None, "too low")];
/// let decision = GateDecision::new("release", digest, digest, digest, None, at, criteria);
/// let log: serde_json::Value = serde_json::from_str(&render::sarif(&decision, "ci/gate.toml")?)?;
/// assert_eq!(log["runs"][0]["results"][0]["level"], "error");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn sarif(decision: &GateDecision, file: &str) -> Result<String> {
    let rule = |c: &CriterionResult| {
        json!({
            "id": visible(&c.id),
            "shortDescription": { "text": message(&format!("criterion {}", visible(&c.id))) },
            "defaultConfiguration": { "level": c.severity.name() },
        })
    };
    let rules: Vec<Value> = decision.criteria.iter().map(rule).collect();
    let results: Vec<Value> =
        decision.criteria.iter().enumerate().map(|(index, c)| result(decision, index, c, file)).collect();
    let verdict = decision.settled_verdict();
    pretty(&json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "mlops gate", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "invocations": [{
                "executionSuccessful": true,
                "exitCode": super::super::GateExit::of_verdict(verdict).code(),
                "exitCodeDescription": headline(decision),
            }],
            "columnKind": "unicodeCodePoints",
            "properties": {
                "verdict": verdict,
                "gate": decision.gate_digest,
                "model": decision.model,
                "report": decision.report,
            },
            "results": results,
        }],
    }))
}

fn result(decision: &GateDecision, index: usize, result: &CriterionResult, file: &str) -> Value {
    let (kind, level) = match Mark::of(result) {
        Mark::Pass => ("pass", "none"),
        Mark::Error => ("fail", "error"),
        Mark::Warning => ("fail", "warning"),
        Mark::Note => ("fail", "note"),
    };
    let fingerprint = Hasher::new("mlops.gate.criterion/v1").field(&decision.gate).field(&result.id).finish();
    let said = match result.verdict {
        Verdict::Insufficient => format!("cannot be decided: {}", visible(&result.reason)),
        _ => visible(&result.reason),
    };
    json!({
        "ruleId": visible(&result.id),
        "ruleIndex": index,
        "kind": kind,
        "level": level,
        "message": { "text": message(&said) },
        "locations": [{
            "physicalLocation": { "artifactLocation": { "uri": uri(file) }, "region": { "startLine": 1 } },
        }],
        "partialFingerprints": { "gateCriterion/v1": fingerprint.hex() },
        "properties": { "verdict": result.verdict },
    })
}

/// A text for a message: no placeholder and no link begins in it (SARIF 2.1.0, 3.11.5 and 3.11.6).
fn message(visible: &str) -> String {
    replaced(visible, |c| match c {
        '{' => Some("{{"),
        '}' => Some("}}"),
        '[' => Some("\\["),
        ']' => Some("\\]"),
        '\\' => Some("\\\\"),
        _ => None,
    })
}

/// A path as a relative URI reference: everything but letters, digits, `-`, `.`, `_`, `~` and the slash is percent-encoded.
fn uri(path: &str) -> String {
    let path = path.replace('\\', "/");
    let mut out = String::new();
    for byte in path.trim_start_matches('/').bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte))
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
