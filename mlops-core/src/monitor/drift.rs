//! The trait of drift detectors, and what they report.

use std::fmt::{self, Debug};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::data::Table;
use crate::error::Result;
use crate::time::Timestamp;

/// A decision about drift where data may be too thin to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftVerdict {
    /// Current data differs from the reference.
    Drift,
    /// Nothing speaks for a difference, and there was enough data to see one.
    NoDrift,
    /// Not enough data, or a statistic that could not be computed.
    Inconclusive,
}

impl fmt::Display for DriftVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drift => "drift",
            Self::NoDrift => "no drift",
            Self::Inconclusive => "inconclusive",
        })
    }
}

/// A two-sided confidence interval of a score.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreInterval {
    /// The share of samples whose interval holds the true value, in (0, 1).
    pub level: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end, at least `low`.
    pub high: f64,
}

impl ScoreInterval {
    /// From `low` to `high`, at this level in (0, 1).
    pub const fn new(level: f64, low: f64, high: f64) -> Self {
        Self { level, low, high }
    }
}

/// What became of the values of one side of a comparison.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SideCounts {
    /// How many rows there were.
    pub rows: u64,
    /// How many of them the score speaks for. Where missing values have a cell of their own they are among them.
    pub used: u64,
    /// How many were missing, NaN included.
    pub missing: u64,
    /// How many were infinite.
    pub infinite: u64,
    /// How many lie outside what the reference has: beyond its range, or of a new level.
    pub unseen: u64,
}

impl SideCounts {
    /// So many rows, of which the score speaks for `used`.
    pub const fn new(rows: u64, used: u64) -> Self {
        Self { rows, used, missing: 0, infinite: 0, unseen: 0 }
    }

    /// Of which so many were missing.
    #[must_use]
    pub fn with_missing(mut self, missing: u64) -> Self {
        self.missing = missing;
        self
    }

    /// Of which so many were infinite.
    #[must_use]
    pub fn with_infinite(mut self, infinite: u64) -> Self {
        self.infinite = infinite;
        self
    }

    /// Of which so many lie outside what the reference has.
    #[must_use]
    pub fn with_unseen(mut self, unseen: u64) -> Self {
        self.unseen = unseen;
        self
    }
}

/// What a cell of a histogram holds.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CellKind {
    /// Numbers below the smallest of the reference.
    Below,
    /// Exactly one number.
    Value,
    /// The numbers from `low` to below `high`.
    Range,
    /// Numbers above the largest of the reference.
    Above,
    /// One category.
    Level,
    /// The categories that are not listed, because there are too many.
    Others,
    /// Categories that the reference does not have.
    Unseen,
    /// What is missing.
    Missing,
}

/// One cell of a histogram, counted on both sides.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellCounts {
    /// What it holds.
    pub kind: CellKind,
    /// The category of a level; for the other kinds what a person would call the cell.
    pub label: String,
    /// Where it begins, or the number it holds; `None` for an open end and for categories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// Where it ends, or the number it holds; `None` for an open end and for categories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// Rows of the reference in it.
    pub reference: u64,
    /// Rows of the current data in it.
    pub current: u64,
}

impl CellCounts {
    /// A cell with so many rows of the reference and of the current data, without ends.
    pub fn new(kind: CellKind, label: impl Into<String>, reference: u64, current: u64) -> Self {
        Self { kind, label: label.into(), low: None, high: None, reference, current }
    }

    /// Beginning here, or holding this number; `None` for an open end.
    #[must_use]
    pub fn with_low(mut self, low: impl Into<Option<f64>>) -> Self {
        self.low = low.into();
        self
    }

    /// Ending here, or holding this number; `None` for an open end.
    #[must_use]
    pub fn with_high(mut self, high: impl Into<Option<f64>>) -> Self {
        self.high = high.into();
        self
    }
}

/// A statistic that was computed along with the one that decides.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OtherScore {
    /// The definition of the score, by name and version.
    pub definition: String,
    /// The score; `None` where it could not be computed.
    pub score: Option<f64>,
    /// What the score is on average when nothing drifts; 0 where it is not known.
    pub noise_floor: f64,
    /// The p-value of no drift, where there is one.
    pub p_value: Option<f64>,
    /// Why there is no score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl OtherScore {
    /// A score by this definition; `None` where it could not be computed.
    pub fn new(definition: impl Into<String>, score: impl Into<Option<f64>>) -> Self {
        Self {
            definition: definition.into(),
            score: score.into(),
            noise_floor: 0.0,
            p_value: None,
            failure: None,
        }
    }

    /// With this average when nothing drifts.
    #[must_use]
    pub fn with_noise_floor(mut self, noise_floor: f64) -> Self {
        self.noise_floor = noise_floor;
        self
    }

    /// With this p-value of no drift.
    #[must_use]
    pub fn with_p_value(mut self, p_value: impl Into<Option<f64>>) -> Self {
        self.p_value = p_value.into();
        self
    }

    /// With why there is no score.
    #[must_use]
    pub fn with_failure(mut self, failure: impl Into<String>) -> Self {
        self.failure = Some(failure.into());
        self
    }
}

/// What was measured on one feature. Every number is finite.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureScore {
    /// The definition of the score, by name and version: `psi.jeffreys/v1`.
    pub definition: String,
    /// The score.
    pub score: f64,
    /// What the score is on average when nothing drifts, at these sizes; 0 where it is not known.
    pub noise_floor: f64,
    /// The score with the noise taken off, at least 0; `None` where that is not known. Since schema 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrected: Option<f64>,
    /// Where the score of the distributions behind the samples lies, where that is known. Since schema 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<ScoreInterval>,
    /// The threshold it was held against: the corrected score where there is one, else the score.
    pub threshold: f64,
    /// The p-value of no drift, where there is one, before any correction.
    pub p_value: Option<f64>,
    /// The natural logarithm of the p-value, also where that is too small for a double. Since schema 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ln_p_value: Option<f64>,
    /// The p-value after correction for the number of features, where there is one.
    pub adjusted_p_value: Option<f64>,
    /// Share of missing values in the reference.
    pub missing_reference: f64,
    /// Share of missing values in the current data.
    pub missing_current: f64,
    /// What became of the values of the reference. Since schema 2.
    #[serde(default)]
    pub reference: SideCounts,
    /// What became of the current values. Since schema 2.
    #[serde(default)]
    pub current: SideCounts,
    /// A histogram of both sides, in the order of an axis: to be drawn, and to say what moved. Empty where there is none.
    /// Since schema 2.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cells: Vec<CellCounts>,
    /// Statistics that were computed along, which decide nothing. Since schema 2.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<OtherScore>,
    /// The verdict.
    pub verdict: DriftVerdict,
}

impl FeatureScore {
    /// A score against a threshold; the rest is unknown.
    pub fn new(definition: impl Into<String>, score: f64, threshold: f64, verdict: DriftVerdict) -> Self {
        Self {
            definition: definition.into(),
            score,
            noise_floor: 0.0,
            corrected: None,
            interval: None,
            threshold,
            p_value: None,
            ln_p_value: None,
            adjusted_p_value: None,
            missing_reference: 0.0,
            missing_current: 0.0,
            reference: SideCounts::default(),
            current: SideCounts::default(),
            cells: Vec::new(),
            also: Vec::new(),
            verdict,
        }
    }
}

/// What became of one feature: a score, or why there is none. A feature that fails is a row in the report, never a lost one.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every feature is measured, a box would be an allocation for each"
)]
pub enum FeatureOutcome {
    /// It was measured.
    Measured(FeatureScore),
    /// It could not be, for this reason.
    Failed(String),
}

/// One row of a drift report.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureDrift {
    /// The feature.
    pub feature: String,
    /// What became of it.
    pub outcome: FeatureOutcome,
}

impl FeatureDrift {
    /// What became of a feature.
    pub fn new(feature: impl Into<String>, outcome: FeatureOutcome) -> Self {
        Self { feature: feature.into(), outcome }
    }

    /// The verdict; a feature that failed is inconclusive.
    pub fn verdict(&self) -> DriftVerdict {
        match &self.outcome {
            FeatureOutcome::Measured(score) => score.verdict,
            FeatureOutcome::Failed(_) => DriftVerdict::Inconclusive,
        }
    }
}

/// A column of the reference that is not watched, and why.
///
/// ```
/// use mlops_core::monitor::UnwatchedFeature;
/// let left = UnwatchedFeature::new("id", "is an identifier");
/// assert_eq!((left.feature.as_str(), left.reason.as_str()), ("id", "is an identifier"));
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnwatchedFeature {
    /// The column.
    pub feature: String,
    /// Why, as a clause.
    pub reason: String,
}

impl UnwatchedFeature {
    /// A column that is not watched, for this reason.
    pub fn new(feature: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { feature: feature.into(), reason: reason.into() }
    }
}

/// What a detector found in one window of data.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DriftReport {
    /// The version of this shape: [`DriftReport::SCHEMA`] for a new report, 1 for one from before there were histograms.
    pub schema: u32,
    /// The detector's name.
    pub detector: String,
    /// When it looked.
    pub at: Timestamp,
    /// Rows of the reference.
    pub reference_rows: u64,
    /// Rows of the current data.
    pub current_rows: u64,
    /// Every feature, in the order of the reference.
    pub features: Vec<FeatureDrift>,
    /// The p-value of no drift in any feature, where there is one. Since schema 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_value: Option<f64>,
    /// The level that adjusted p-values were held against. Since schema 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// How p-values were adjusted for the number of features, by name. Since schema 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correction: Option<String>,
    /// The columns of the reference that the detector does not watch though nobody asked it not to: the verdict says nothing of
    /// them. Since schema 2.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unwatched: Vec<UnwatchedFeature>,
    /// The verdict over all features.
    pub verdict: DriftVerdict,
    /// Why, as a sentence.
    pub reason: String,
}

impl DriftReport {
    /// The version of the shape that is written. Reports of version 1 are read: what they lack is `None` or empty.
    pub const SCHEMA: u32 = 2;

    /// A report.
    pub fn new(
        detector: impl Into<String>,
        at: Timestamp,
        rows: (u64, u64),
        features: Vec<FeatureDrift>,
        verdict: DriftVerdict,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            schema: Self::SCHEMA,
            detector: detector.into(),
            at,
            reference_rows: rows.0,
            current_rows: rows.1,
            features,
            p_value: None,
            alpha: None,
            correction: None,
            unwatched: Vec::new(),
            verdict,
            reason: reason.into(),
        }
    }

    /// The features that drifted.
    pub fn drifted(&self) -> impl Iterator<Item = &FeatureDrift> {
        self.features.iter().filter(|f| f.verdict() == DriftVerdict::Drift)
    }
}

/// Compares current data with the reference it was fitted on.
///
/// # Contract
/// * `detect` is a pure function of the fitted reference, the rows and `at`. (`detection_is_deterministic`)
/// * Every feature of the reference has its row in the report; one that is missing, of another type or cannot be measured
///   is [`FeatureOutcome::Failed`] and the others are measured all the same. (`a_failing_feature_is_a_row`)
/// * That nothing drifted is said only if it holds whatever the features that failed would have been; of features that all failed
///   it is never said. (`what_fails_is_not_calm`)
/// * No rows, or too few, are [`DriftVerdict::Inconclusive`], never drift and never its absence.
///   (`too_little_data_is_inconclusive`)
/// * The reference held against itself is not drift. (`the_reference_does_not_drift`)
/// * A large shift of a feature is drift. (`a_large_shift_is_drift`)
/// * No number in a report is NaN or infinite. (`reports_hold_no_nan`)
pub trait DriftDetector: Debug + Send + Sync + 'static {
    /// A name for reports.
    fn name(&self) -> &str;

    /// The features of the reference.
    fn features(&self) -> Vec<String>;

    /// Looks at current data.
    fn detect(&self, current: &Table<'_>, at: Timestamp) -> Result<DriftReport>;
}

macro_rules! forward {
    ($pointer:ident) => {
        #[deny(clippy::missing_trait_methods)]
        impl<T: DriftDetector + ?Sized> DriftDetector for $pointer<T> {
            fn name(&self) -> &str {
                (**self).name()
            }

            fn features(&self) -> Vec<String> {
                (**self).features()
            }

            fn detect(&self, current: &Table<'_>, at: Timestamp) -> Result<DriftReport> {
                (**self).detect(current, at)
            }
        }
    };
}
forward!(Arc);
forward!(Box);

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn DriftDetector) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_from_before_histograms_are_read() {
        let text = r#"{"schema":1,"detector":"drift","at":"2026-01-01T00:00:00Z","reference_rows":10,"current_rows":5,
            "features":[{"feature":"age","outcome":{"measured":{"definition":"ks.two_sample/v1","score":0.5,"noise_floor":0.1,
            "threshold":0.1,"p_value":0.25,"adjusted_p_value":0.25,"missing_reference":0.0,"missing_current":0.0,
            "verdict":"no_drift"}}},{"feature":"city","outcome":{"failed":"is gone"}}],"verdict":"no_drift","reason":"none"}"#;
        let report: DriftReport = serde_json::from_str(text).unwrap();
        assert_eq!(report.schema, 1);
        let FeatureOutcome::Measured(age) = &report.features[0].outcome else { panic!("{report:?}") };
        let mut expected = FeatureScore::new("ks.two_sample/v1", 0.5, 0.1, DriftVerdict::NoDrift);
        (expected.noise_floor, expected.p_value, expected.adjusted_p_value) = (0.1, Some(0.25), Some(0.25));
        assert_eq!(*age, expected);
    }

    #[test]
    fn a_report_survives_a_round_trip() {
        let mut score = FeatureScore::new("psi.jeffreys/v1", 0.5, 0.1, DriftVerdict::Drift);
        score.corrected = Some(0.4);
        score.interval = Some(ScoreInterval { level: 0.95, low: 0.3, high: 0.6 });
        score.ln_p_value = Some(-900.0);
        score.current = SideCounts { rows: 9, used: 8, missing: 1, infinite: 0, unseen: 2 };
        score.cells = vec![
            CellCounts {
                kind: CellKind::Below,
                label: "below 3".to_owned(),
                low: None,
                high: Some(3.0),
                reference: 0,
                current: 2,
            },
            CellCounts {
                kind: CellKind::Level,
                label: "<b>".to_owned(),
                low: None,
                high: None,
                reference: 7,
                current: 6,
            },
        ];
        let feature = FeatureDrift { feature: "x".to_owned(), outcome: FeatureOutcome::Measured(score) };
        let at = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut report = DriftReport::new("d", at, (9, 9), vec![feature], DriftVerdict::Drift, "1 of 1");
        report.unwatched =
            vec![UnwatchedFeature { feature: "id".to_owned(), reason: "is an identifier".to_owned() }];
        let text = serde_json::to_string(&report).unwrap();
        assert!(text.starts_with(r#"{"schema":2,"#), "{text}");
        assert_eq!(serde_json::from_str::<DriftReport>(&text).unwrap(), report);
    }
}
