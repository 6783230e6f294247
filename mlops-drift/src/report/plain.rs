//! A report as plain text.

use std::fmt::Write as _;

use mlops_core::error::quote;
use mlops_core::monitor::{DriftReport, DriftVerdict, FeatureOutcome, FeatureScore};

use super::format::{adjusted, count, number};
use super::{by_severity, moves};

/// A report as plain text: the verdict, then a line a feature with what moved, the worst first.
///
/// Names are quoted as in error messages, so that none can forge a line.
///
/// ```
/// use mlops_core::monitor::{DriftReport, DriftVerdict};
///
/// let at = "2026-01-01T00:00:00Z".parse().unwrap_or_default();
/// let report = DriftReport::new("inputs", at, (1200, 50), vec![], DriftVerdict::NoDrift, "nothing to watch");
/// assert!(mlops_drift::report::text(&report).starts_with("inputs: no drift: nothing to watch\n"));
/// ```
pub fn text(report: &DriftReport) -> String {
    let mut out = String::new();
    let (n, m) = (count(report.reference_rows), count(report.current_rows));
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}: {}: {}", quote(&report.detector), report.verdict, report.reason);
    let _ = writeln!(out, "{}, {m} rows against {n}", report.at.format("%Y-%m-%d %H:%M UTC"));
    let features = by_severity(report);
    let width = features.iter().map(|(_, f)| quote(&f.feature).chars().count()).max().unwrap_or(0);
    for (_, feature) in features {
        let name = quote(&feature.feature);
        let mark = match feature.verdict() {
            DriftVerdict::Drift => '!',
            DriftVerdict::NoDrift => ' ',
            DriftVerdict::Inconclusive => '?',
        };
        let found = match &feature.outcome {
            FeatureOutcome::Measured(score) => measured(score),
            FeatureOutcome::Failed(reason) => format!("could not be measured: {}", one_line(reason)),
            _ => String::new(),
        };
        let _ = writeln!(out, "{mark} {name:width$}  {found}");
        if let FeatureOutcome::Measured(score) = &feature.outcome {
            for moved in moves(score, 3) {
                let _ = writeln!(out, "  {:width$}    {}", "", moved.sentence);
            }
        }
    }
    out
}

fn measured(score: &FeatureScore) -> String {
    let mut out = format!("{} {}", score.definition, number(score.score));
    if score.noise_floor > 0.0 {
        let _ = write!(out, " (noise {})", number(score.noise_floor));
    }
    let _ = write!(out, ", threshold {}", number(score.threshold));
    if let Some(q) = adjusted(score) {
        let _ = write!(out, ", adjusted p {q}");
    }
    out
}

/// What comes from an error of somebody else may have line breaks.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
