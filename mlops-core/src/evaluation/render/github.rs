//! As GitHub Actions' workflow commands.

use super::neutral::{replaced, visible, without_commands};
use super::{Mark, headline, line};
use crate::evaluation::{CriterionResult, GateDecision, Verdict};

/// The decision as workflow commands of GitHub Actions, one a line: `::error`, `::warning` or `::notice` for every criterion
/// that did not pass, and one for the gate. Print it; for the step summary see [`markdown`](super::markdown). `file` is the
/// gate's file, relative to the repository.
pub fn github(decision: &GateDecision, file: &str) -> String {
    let mut out: String = decision.criteria.iter().map(|c| annotation(decision, file, c)).collect();
    let level = if decision.settled_verdict() == Verdict::Pass { "notice" } else { "error" };
    out.push_str(&command(level, file, &visible(&decision.gate), &headline(decision)));
    out
}

fn annotation(decision: &GateDecision, file: &str, result: &CriterionResult) -> String {
    let level = match Mark::of(result) {
        Mark::Pass => return String::new(),
        Mark::Error => "error",
        Mark::Warning => "warning",
        Mark::Note => "notice",
    };
    let title = format!("{}: {}", visible(&decision.gate), visible(&result.id));
    command(level, file, &title, &line(result))
}

fn command(level: &str, file: &str, title: &str, message: &str) -> String {
    let (file, title) = (property(&visible(file)), property(title));
    format!("::{level} file={file},title={title}::{}\n", data(message))
}

/// What stands after the second `::`. Nothing in it can begin a command: those begin at the beginning of a line.
fn data(visible: &str) -> String {
    replaced(&without_commands(visible), |c| (c == '%').then_some("%25"))
}

/// The value of a property.
fn property(visible: &str) -> String {
    replaced(&data(visible), |c| match c {
        ':' => Some("%3A"),
        ',' => Some("%2C"),
        _ => None,
    })
}
