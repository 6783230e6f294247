//! As Azure DevOps' logging commands.

use super::neutral::{replaced, visible, without_commands};
use super::{Mark, headline, line};
use crate::evaluation::{CriterionResult, GateDecision, Verdict};

/// The decision as logging commands of Azure Pipelines, one a line: an issue for every criterion that did not pass, and the
/// result of the task. Notes have no command and are plain lines. Print it. `file` is the gate's file.
///
/// ```
/// use mlops_core::evaluation::{CriterionResult, GateDecision, Verdict, render};
/// # let (digest, at) = (mlops_core::hash::Digest::of(b"x"), "2026-01-05T09:00:00Z".parse()?);
/// let criteria = vec![CriterionResult::new("auc", Verdict::Fail, None, "low ##vso[task.complete result=Succeeded;]")];
/// let decision = GateDecision::new("release", digest, digest, digest, None, at, criteria);
/// assert_eq!(
///     render::azure_devops(&decision, "gate.toml"),
///     "##vso[task.logissue type=error;sourcepath=gate.toml;code=auc;]fail: low # #vso[task.complete result=Succeeded%3B%5D\n\
///      ##vso[task.complete result=Failed;]gate release: fail (0 of 1 criteria pass)\n"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn azure_devops(decision: &GateDecision, file: &str) -> String {
    let mut out: String = decision.criteria.iter().map(|c| issue(file, c)).collect();
    let warned = decision.criteria.iter().any(|c| Mark::of(c) == Mark::Warning);
    let result = match (decision.settled_verdict(), warned) {
        (Verdict::Pass, false) => "Succeeded",
        (Verdict::Pass, true) => "SucceededWithIssues",
        _ => "Failed",
    };
    out.push_str(&format!("##vso[task.complete result={result};]{}\n", escaped(&headline(decision))));
    out
}

fn issue(file: &str, result: &CriterionResult) -> String {
    let kind = match Mark::of(result) {
        Mark::Pass => return String::new(),
        Mark::Note => {
            return format!("note: {}: {}\n", escaped(&visible(&result.id)), escaped(&line(result)));
        }
        Mark::Error => "error",
        Mark::Warning => "warning",
    };
    let (file, id) = (escaped(&visible(file)), escaped(&visible(&result.id)));
    format!("##vso[task.logissue type={kind};sourcepath={file};code={id};]{}\n", escaped(&line(result)))
}

/// A value of a property, or the text after the bracket: the agent undoes the same escapes in both.
fn escaped(visible: &str) -> String {
    replaced(&without_commands(visible), |c| match c {
        '%' => Some("%AZP25"),
        ';' => Some("%3B"),
        ']' => Some("%5D"),
        _ => None,
    })
}
