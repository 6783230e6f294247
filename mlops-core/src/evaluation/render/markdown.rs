//! As Markdown.

use super::neutral::{visible, without_commands};
use super::{Mark, headline};
use crate::evaluation::{CriterionResult, GateDecision, Severity};

/// The decision as a heading and a table in GitHub-flavoured Markdown: for pull requests, and for the step summary of GitHub
/// Actions (append it to the file `$GITHUB_STEP_SUMMARY`).
///
/// ```
/// use mlops_core::evaluation::{CriterionResult, GateDecision, Verdict, render};
/// # let (digest, at) = (mlops_core::hash::Digest::of(b"x"), "2026-01-05T09:00:00Z".parse()?);
/// let criteria = vec![CriterionResult::new("auc", Verdict::Pass, None, "roc_auc is 0.8 | <b>")];
/// let decision = GateDecision::new("release", digest, digest, digest, None, at, criteria);
/// let text = render::markdown(&decision);
/// assert!(text.contains("| pass | auc | error | roc\\_auc is 0.8 \\| &lt;b&gt; |"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn markdown(decision: &GateDecision) -> String {
    let mut out = format!(
        "### {}\n\n| verdict | criterion | severity | reason |\n|---|---|---|---|\n",
        text(&headline(decision))
    );
    for result in &decision.criteria {
        out.push_str(&row(result));
    }
    out.push_str(&format!(
        "\nmodel `{}`, report `{}`, gate `{}`, {}\n",
        decision.model,
        decision.report,
        decision.gate_digest,
        decision.at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
    ));
    out
}

fn row(result: &CriterionResult) -> String {
    let verdict = match (Mark::of(result), result.severity) {
        (Mark::Error, _) => format!("**{}**", result.verdict),
        (Mark::Pass, _) | (_, Severity::Error) => result.verdict.to_string(),
        (_, severity) => format!("{} ({})", result.verdict, severity.name()),
    };
    let (id, reason) = (text(&visible(&result.id)), text(&visible(&result.reason)));
    format!("| {verdict} | {id} | {} | {reason} |\n", result.severity.name())
}

/// A visible text that Markdown shows as it is: no emphasis, link, mention, code, cell or tag begins or ends in it.
fn text(visible: &str) -> String {
    let mut out = String::with_capacity(visible.len());
    let mut before = ' ';
    for c in without_commands(visible).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // In code, nobody is called and nothing is referred to; a backslash would not help, these are sought afterwards.
            '@' | '#' => out.extend(['`', c, '`']),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '!' | '|' | '~' | '^' | '='
            | '$' | ':' | '"' => {
                out.extend(['\\', c]);
            }
            // Of `www.example.org` a link would be made.
            '.' if matches!(before, 'w' | 'W') => out.push_str("\\."),
            c => out.push(c),
        }
        before = c;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_a_name() {
        for (name, shown) in [
            ("a|b", r"a\|b"),
            ("`rm`", r"\`rm\`"),
            ("<img src=x>", r"&lt;img src\=x&gt;"),
            ("![a](http://b)", r"\!\[a\]\(http\://b\)"),
            ("@all #1", "`@`all `#`1"),
            ("www.evil.org", r"www\.evil.org"),
            ("\\|", r"\\\|"),
        ] {
            assert_eq!(text(name), shown);
        }
    }
}
