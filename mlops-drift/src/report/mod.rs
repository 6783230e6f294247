//! Reports for people and for programs: a [`DriftReport`] as text, as JSON, and as one HTML page.
//!
//! | | for | holds |
//! |---|---|---|
//! | [`text`] | terminals, logs, alerts | verdict, a line a feature, what moved |
//! | [`json`] | programs | everything, with the version of the shape |
//! | [`html`] | people | the same as pictures: reference and current over each other, scores beside their noise |
//!
//! The page is one file. It loads nothing, from nowhere: style, script and pictures are inside, and a content security policy
//! forbids the rest. Names and categories come from data, so they are escaped everywhere. All renderings are pure
//! functions: the same report gives the same bytes.
//!
//! ```
//! use mlops_core::data::{Column, Table};
//! use mlops_core::monitor::DriftDetector as _;
//! use mlops_drift::detector::{Detector, DetectorOptions};
//! use mlops_drift::report;
//!
//! let ages = |from: i32| Column::f64("age", (0..400).map(|i| f64::from(from + i % 40)).collect::<Vec<_>>());
//! let detector = Detector::fit(&Table::new(vec![ages(20)?])?, DetectorOptions::default())?;
//! let report = detector.detect(&Table::new(vec![ages(30)?])?, "2026-01-01T00:00:00Z".parse()?)?;
//! let text = report::text(&report);
//! assert!(text.contains("25 % lie above 59, where the reference ends"), "{text}");
//! assert!(report::html(&report).starts_with("<!doctype html>"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod figure;
mod format;
mod html;
mod moved;
mod plain;

use mlops_core::monitor::{DriftReport, DriftVerdict, FeatureDrift, FeatureOutcome, FeatureScore};
use mlops_core::{Error, ErrorKind, Result};

pub use html::{HtmlOptions, html, html_with};
pub use moved::{Move, moves};
pub use plain::text;

/// A report as JSON, indented; the field `schema` is the version of its shape.
///
/// # Errors
/// [`ErrorKind::Internal`] when a number of the report is not finite, which no detector of this crate makes.
///
/// ```
/// use mlops_core::monitor::{DriftReport, DriftVerdict};
///
/// let at = "2026-01-01T00:00:00Z".parse()?;
/// let report = DriftReport::new("inputs", at, (100, 50), vec![], DriftVerdict::NoDrift, "nothing to watch");
/// let text = mlops_drift::report::json(&report)?;
/// assert!(text.starts_with("{\n  \"schema\": 2,"));
/// assert_eq!(serde_json::from_str::<DriftReport>(&text)?, report);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn json(report: &DriftReport) -> Result<String> {
    let refuse = |message: &'static str| Error::new(ErrorKind::Internal, "report::json", message);
    // Canonical JSON refuses what JSON has no number for; the plain one would write null.
    mlops_core::hash::canonical_json(report)
        .map_err(|e| refuse("the report holds a number that is not finite").with_source(e))?;
    serde_json::to_string_pretty(report).map_err(|e| refuse("the report cannot be written").with_source(e))
}

/// How far a feature is beyond its threshold: 1 at the threshold.
fn severity(score: &FeatureScore) -> f64 {
    let value = score.corrected.unwrap_or(score.score);
    let ratio = if score.threshold > 0.0 { value / score.threshold } else { value };
    let missing = (score.missing_current - score.missing_reference).abs();
    if ratio.is_finite() { ratio.max(missing) } else { missing }
}

/// Drifted features first, the worst on top; then those that could not be judged, then the calm ones.
fn by_severity(report: &DriftReport) -> Vec<(usize, &FeatureDrift)> {
    let key = |feature: &FeatureDrift| match (&feature.outcome, feature.verdict()) {
        (FeatureOutcome::Measured(score), DriftVerdict::Drift) => (0, -severity(score)),
        (FeatureOutcome::Measured(score), DriftVerdict::NoDrift) => (3, -severity(score)),
        (FeatureOutcome::Measured(score), _) => (2, -severity(score)),
        _ => (1, 0.0),
    };
    let mut features: Vec<(usize, &FeatureDrift)> = report.features.iter().enumerate().collect();
    features.sort_by(|(_, x), (_, y)| {
        let (x, y) = (key(x), key(y));
        x.0.cmp(&y.0).then(x.1.total_cmp(&y.1))
    });
    features
}
