//! A gate's decision as a short text table, for terminals and logs.

use std::fmt;

use super::GateDecision;
use crate::error::quote;

/// One line for the gate, then one a criterion in aligned columns: verdict, id, reason.
///
/// ```
/// use mlops_core::evaluation::{CriterionResult, GateDecision, Verdict};
/// use mlops_core::hash::Digest;
///
/// let digest = Digest::of(b"x");
/// let at = "2026-01-05T09:00:00Z".parse()?;
/// let criteria = vec![
///     CriterionResult::new("auc", Verdict::Pass, None, "roc_auc is 0.81, at least 0.75 is needed"),
///     CriterionResult::new("parity", Verdict::Insufficient, None, "the report has no interval"),
/// ];
/// let decision = GateDecision::new("release", digest, digest, digest, None, at, criteria);
/// assert_eq!(
///     decision.to_string(),
///     "\
/// gate release: insufficient (1 of 2 criteria pass)
///   pass          auc     roc_auc is 0.81, at least 0.75 is needed
///   insufficient  parity  the report has no interval"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl fmt::Display for GateDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (all, unmet) = (self.criteria.len(), self.unmet().count());
        write!(f, "gate {}: {} ({} of {all} criteria pass)", quote(&self.gate), self.verdict, all - unmet)?;
        let ids: Vec<String> = self.criteria.iter().map(|c| quote(&c.id)).collect();
        let width = ids.iter().map(|id| id.chars().count()).max().unwrap_or_default();
        for (criterion, id) in self.criteria.iter().zip(&ids) {
            let verdict = criterion.verdict.to_string();
            write!(f, "\n  {verdict:<12}  {id:<width$}  ")?;
            if !criterion.severity.blocks() {
                write!(f, "({}) ", criterion.severity.name())?;
            }
            escaped(f, &criterion.reason)?;
        }
        Ok(())
    }
}

/// A reason may be long, but it stays on its line: decisions are read back from files that anybody can write.
fn escaped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    use fmt::Write;
    for c in text.chars() {
        if crate::error::needs_escape(c) { write!(f, "{}", c.escape_default())? } else { f.write_char(c)? }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::evaluation::{CriterionResult, GateDecision, Verdict};
    use crate::hash::Digest;

    #[test]
    fn a_decision_that_was_written_by_hand_cannot_forge_a_line() {
        let digest = Digest::of(b"x");
        let criterion = CriterionResult::new("a\nb", Verdict::Fail, None, "no\n  pass  \u{1b}[2J\u{202e}");
        let at = chrono::DateTime::UNIX_EPOCH;
        let decision = GateDecision::new("g\r\n", digest, digest, digest, None, at, vec![criterion]);
        let shown = decision.to_string();
        assert_eq!(shown.lines().count(), 2, "{shown}");
        assert!(!shown.contains(['\r', '\u{1b}', '\u{202e}']), "{shown}");
    }
}
