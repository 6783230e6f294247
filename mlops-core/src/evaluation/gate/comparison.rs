//! What two numbers say when they are held against each other: a value and a bound, a model and another.

use crate::evaluation::subject::{Found, Subject, at_least, magnitude, number, show};
use crate::evaluation::{EvaluationReport, Verdict};
use crate::problem::Direction;

/// What one bound says, as a verdict and a sentence.
pub(super) type Finding = (Verdict, String);

/// Whether `new` is better than `old` by at least `margin` (worse by at most, where it is negative), and the value that
/// would just do.
pub(in crate::evaluation) fn keeps_margin(
    direction: Direction,
    new: f64,
    old: f64,
    margin: f64,
) -> (bool, f64) {
    let scale = magnitude(&[new, old, margin]);
    match direction {
        Direction::HigherIsBetter => (at_least(new, old + margin, scale), old + margin),
        Direction::LowerIsBetter => (at_least(-new, -(old - margin), scale), old - margin),
        // Nothing is better than anything: no margin is ever kept.
        Direction::Neither => (false, old),
    }
}

/// Whether `new` and `old` lie no further apart than `band`.
pub(super) fn keeps_band(new: f64, old: f64, band: f64) -> bool {
    at_least(band, (new - old).abs(), magnitude(&[new, old, band]))
}

/// A sentence, for a metric in which nothing can be better than anything else.
pub(in crate::evaluation) fn undirected(subject: Subject<'_>, direction: Direction) -> Option<String> {
    (direction == Direction::Neither).then(|| {
        format!("of {subject} neither more nor less is better: it cannot be compared with a champion's")
    })
}

/// Another model's value, if its report speaks of the same rows; else a sentence that says why it cannot be compared.
/// `other` is what the sentence calls it: `the champion`.
pub(in crate::evaluation) fn comparable(
    subject: Subject<'_>,
    found: &Found<'_>,
    report: &EvaluationReport,
    (other, theirs): (&str, &EvaluationReport),
) -> Result<f64, String> {
    if theirs.data != report.data {
        let (theirs, ours) = (theirs.data.short(), report.data.short());
        return Err(format!("{other} was evaluated on other data ({theirs}) than this model ({ours})"));
    }
    if theirs.task != report.task {
        return Err(format!("{other} answers another kind of question"));
    }
    let there = subject.find(theirs).map_err(|reason| format!("of {other}, {reason}"))?;
    let old = there.usable(1).map_err(|reason| format!("{other}'s {subject} {reason}"))?;
    let (here, there) = (found.estimate, there.estimate);
    if here.direction != there.direction {
        return Err(format!("the two reports disagree on which way {subject} is better"));
    }
    if here.rows != there.rows {
        let (theirs, ours) = (there.rows, here.rows);
        return Err(format!("{other}'s {subject} rests on {theirs} rows, this model's on {ours}"));
    }
    Ok(old)
}

pub(super) fn pass_if(ok: bool) -> Verdict {
    if ok { Verdict::Pass } else { Verdict::Fail }
}

pub(super) fn lower_bound(what: &str, value: f64, min: f64) -> Finding {
    let ok = at_least(value, min, magnitude(&[value, min]));
    (pass_if(ok), format!("{what} is {}, at least {} is needed", show(value, min), number(min)))
}

pub(super) fn upper_bound(what: &str, value: f64, max: f64) -> Finding {
    let ok = at_least(max, value, magnitude(&[value, max]));
    (pass_if(ok), format!("{what} is {}, at most {} is allowed", show(value, max), number(max)))
}

/// The verdict over several findings, and the sentences that led to it.
pub(super) fn together(findings: &[Finding]) -> Finding {
    let verdict = Verdict::all(findings.iter().map(|(verdict, _)| *verdict));
    let led: Vec<&str> =
        findings.iter().filter(|(v, _)| *v == verdict).map(|(_, reason)| reason.as_str()).collect();
    (verdict, led.join("; "))
}
