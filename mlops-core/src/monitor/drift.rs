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
    /// The threshold it was held against.
    pub threshold: f64,
    /// The p-value of no drift, where there is one, before any correction.
    pub p_value: Option<f64>,
    /// The p-value after correction for the number of features, where there is one.
    pub adjusted_p_value: Option<f64>,
    /// Share of missing values in the reference.
    pub missing_reference: f64,
    /// Share of missing values in the current data.
    pub missing_current: f64,
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
            threshold,
            p_value: None,
            adjusted_p_value: None,
            missing_reference: 0.0,
            missing_current: 0.0,
            verdict,
        }
    }
}

/// What became of one feature: a score, or why there is none. A feature that fails is a row in the report, never a lost one.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureOutcome {
    /// It was measured.
    Measured(FeatureScore),
    /// It could not be, for this reason.
    Failed(String),
}

/// One row of a drift report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureDrift {
    /// The feature.
    pub feature: String,
    /// What became of it.
    pub outcome: FeatureOutcome,
}

impl FeatureDrift {
    /// The verdict; a feature that failed is inconclusive.
    pub fn verdict(&self) -> DriftVerdict {
        match &self.outcome {
            FeatureOutcome::Measured(score) => score.verdict,
            FeatureOutcome::Failed(_) => DriftVerdict::Inconclusive,
        }
    }
}

/// What a detector found in one window of data.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DriftReport {
    /// The version of this shape: 1.
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
    /// The verdict over all features.
    pub verdict: DriftVerdict,
    /// Why, as a sentence.
    pub reason: String,
}

impl DriftReport {
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
            schema: 1,
            detector: detector.into(),
            at,
            reference_rows: rows.0,
            current_rows: rows.1,
            features,
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
