//! The metrics of Azure ML's model monitoring: names, limits and the side of the alarm.
//!
//! The names and limits are those of the SDK (`azure-ai-ml`, `entities/_monitoring/thresholds.py`), NDCG's is that of its
//! examples. Performance has no default limit there.
//!
//! ```
//! use mlops_core::monitor::DriftVerdict;
//! use mlops_drift::signal::azure::Metric;
//!
//! let metric: Metric = serde_json::from_str("\"two_sample_kolmogorov_smirnov_test\"")?;
//! // A p-value: the alarm is below the limit.
//! let limit = metric.threshold(0.05)?;
//! assert_eq!(limit.judge(Some(0.01)), DriftVerdict::Drift);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

use super::Threshold;
use crate::decision::AlarmWhen;

/// A signal that a monitor may have.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// The inputs have another distribution.
    DataDrift,
    /// The predictions have another distribution.
    PredictionDrift,
    /// The inputs break.
    DataQuality,
    /// The model leans on other features.
    FeatureAttributionDrift,
    /// The model errs more.
    ModelPerformance,
}

impl Signal {
    /// The signals of a monitor that names none.
    pub const OUT_OF_BOX: [Self; 3] = [Self::DataDrift, Self::PredictionDrift, Self::DataQuality];
}

/// A metric, by the name that the service has for it.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Jensen–Shannon distance, base 2; numeric and categorical features.
    JensenShannonDistance,
    /// Population stability index with Laplace smoothing; numeric and categorical features.
    PopulationStabilityIndex,
    /// Wasserstein-1 over the reference's standard deviation; numeric features.
    NormalizedWassersteinDistance,
    /// The p-value of a two-sample Kolmogorov–Smirnov test; numeric features, below 10 000 rows.
    TwoSampleKolmogorovSmirnovTest,
    /// The p-value of a chi-square goodness-of-fit test; categorical features.
    PearsonsChiSquaredTest,
    /// The share of missing values.
    NullValueRate,
    /// The share of values of another type than the reference's.
    DataTypeErrorRate,
    /// The share of values outside the range, or not among the levels, of the reference.
    OutOfBoundsRate,
    /// [`ndcg`](super::ndcg) of the attributions.
    NormalizedDiscountedCumulativeGain,
    /// Classification.
    Accuracy,
    /// Classification.
    Precision,
    /// Classification.
    Recall,
    /// Regression.
    MeanAbsoluteError,
    /// Regression.
    MeanSquaredError,
    /// Regression.
    RootMeanSquaredError,
}

impl Metric {
    /// The signal it belongs to. Those of data drift serve prediction drift too.
    ///
    /// ```
    /// use mlops_drift::signal::azure::{Metric, Signal};
    /// assert_eq!(Metric::Recall.signal(), Signal::ModelPerformance);
    /// ```
    pub const fn signal(self) -> Signal {
        match self {
            Self::JensenShannonDistance
            | Self::PopulationStabilityIndex
            | Self::NormalizedWassersteinDistance
            | Self::TwoSampleKolmogorovSmirnovTest
            | Self::PearsonsChiSquaredTest => Signal::DataDrift,
            Self::NullValueRate | Self::DataTypeErrorRate | Self::OutOfBoundsRate => Signal::DataQuality,
            Self::NormalizedDiscountedCumulativeGain => Signal::FeatureAttributionDrift,
            Self::Accuracy
            | Self::Precision
            | Self::Recall
            | Self::MeanAbsoluteError
            | Self::MeanSquaredError
            | Self::RootMeanSquaredError => Signal::ModelPerformance,
        }
    }

    /// On which side of a limit the alarm lies: below for p-values, for agreement and for what a good model has much of.
    ///
    /// ```
    /// use mlops_drift::decision::AlarmWhen;
    /// use mlops_drift::signal::azure::Metric;
    /// assert_eq!(Metric::PearsonsChiSquaredTest.alarm(), AlarmWhen::Below);
    /// ```
    pub const fn alarm(self) -> AlarmWhen {
        match self {
            Self::TwoSampleKolmogorovSmirnovTest
            | Self::PearsonsChiSquaredTest
            | Self::NormalizedDiscountedCumulativeGain
            | Self::Accuracy
            | Self::Precision
            | Self::Recall => AlarmWhen::Below,
            _ => AlarmWhen::Above,
        }
    }

    /// The limit of a monitor that names none; `None` where there is no such limit.
    ///
    /// ```
    /// use mlops_drift::signal::azure::Metric;
    /// assert_eq!(Metric::NormalizedWassersteinDistance.default_limit(), Some(0.1));
    /// assert_eq!(Metric::Accuracy.default_limit(), None);
    /// ```
    pub const fn default_limit(self) -> Option<f64> {
        match self {
            Self::NormalizedWassersteinDistance | Self::JensenShannonDistance => Some(0.1),
            Self::NullValueRate | Self::DataTypeErrorRate | Self::OutOfBoundsRate => Some(0.0),
            Self::NormalizedDiscountedCumulativeGain => Some(0.9),
            _ => None,
        }
    }

    /// A limit with the side of the alarm.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for a limit that is not finite.
    pub fn threshold(self, limit: f64) -> Result<Threshold, StatsError> {
        match self.alarm() {
            AlarmWhen::Above => Threshold::above(limit),
            AlarmWhen::Below => Threshold::below(limit),
        }
    }
}
