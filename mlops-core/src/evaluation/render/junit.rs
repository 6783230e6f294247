//! As JUnit XML.

use super::Mark;
use super::neutral::{replaced, visible, without_commands};
use crate::evaluation::{CriterionResult, GateDecision, Verdict};

/// The decision as JUnit XML: the gate is a suite, every criterion a test case. A criterion that failed is a failure, one that
/// could not be decided an error; what is only a warning or a note is shown as skipped, with its reason.
///
/// ```
/// use mlops_core::evaluation::{CriterionResult, GateDecision, Verdict, render};
/// # let (digest, at) = (mlops_core::hash::Digest::of(b"x"), "2026-01-05T09:00:00Z".parse()?);
/// let criteria = vec![CriterionResult::new("auc", Verdict::Fail, None, "0.7 < 0.75")];
/// let decision = GateDecision::new("release", digest, digest, digest, None, at, criteria);
/// assert!(render::junit(&decision).contains(r#"<failure message="0.7 &lt; 0.75" type="fail">0.7 &lt; 0.75</failure>"#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn junit(decision: &GateDecision) -> String {
    let count =
        |matching: fn(&CriterionResult) -> bool| decision.criteria.iter().filter(|c| matching(c)).count();
    let gate = text(&decision.gate);
    let counts = format!(
        r#"tests="{}" failures="{}" errors="{}" skipped="{}""#,
        decision.criteria.len(),
        count(|c| Mark::of(c) == Mark::Error && c.verdict == Verdict::Fail),
        count(|c| Mark::of(c) == Mark::Error && c.verdict != Verdict::Fail),
        count(|c| matches!(Mark::of(c), Mark::Warning | Mark::Note)),
    );
    // JUnit's times have neither a zone nor fractions.
    let at = decision.at.format("%Y-%m-%dT%H:%M:%S");
    let properties = [
        ("verdict", decision.settled_verdict().to_string()),
        ("gate", decision.gate_digest.to_string()),
        ("model", decision.model.to_string()),
        ("report", decision.report.to_string()),
    ];
    let properties =
        properties.map(|(name, value)| format!("      <property name=\"{name}\" value=\"{value}\"/>\n"));
    let cases: String = decision.criteria.iter().map(|c| case(&gate, c)).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  \
         <testsuite name=\"{gate}\" {counts} time=\"0\" timestamp=\"{at}\" hostname=\"localhost\">\n    \
         <properties>\n{}    </properties>\n{cases}  </testsuite>\n</testsuites>\n",
        properties.concat(),
    )
}

fn case(gate: &str, result: &CriterionResult) -> String {
    let (id, reason) = (text(&result.id), text(&result.reason));
    let head = format!("    <testcase name=\"{id}\" classname=\"gate.{gate}\" time=\"0\"");
    let verdict = result.verdict;
    match Mark::of(result) {
        Mark::Pass => format!("{head}/>\n"),
        Mark::Warning | Mark::Note => {
            let severity = result.severity.name();
            format!(
                "{head}>\n      <skipped message=\"{severity}: {verdict}: {reason}\"/>\n    </testcase>\n"
            )
        }
        Mark::Error => {
            let tag = if verdict == Verdict::Fail { "failure" } else { "error" };
            format!(
                "{head}>\n      <{tag} message=\"{reason}\" type=\"{verdict}\">{reason}</{tag}>\n    </testcase>\n"
            )
        }
    }
}

/// A text for an attribute or an element: visible, so that no character in it is forbidden in XML or changed when read.
fn text(from: &str) -> String {
    replaced(&without_commands(&visible(from)), |c| match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '"' => Some("&quot;"),
        '\'' => Some("&apos;"),
        _ => None,
    })
}
