//! Phase 7: watch a model in production: drift of inputs and predictions, the quality of data, performance once labels arrive,
//! operations.

mod alert;
pub mod alerting;
mod baseline;
#[cfg(feature = "serve")]
mod capture;
pub(crate) mod compute;
mod drift;
mod latency;
mod operation;
mod quality;
mod recorder;
mod schedule;
pub mod sink;
mod store;

pub use crate::deploy::RequestOutcome;
pub use alert::{Alert, AlertReceipt, AlertSink, AlertStatus, Severity};
pub use baseline::{BaselineStores, DeploymentBaseline};
#[cfg(feature = "serve")]
pub use capture::MonitorSink;
pub use drift::{
    CellCounts, CellKind, DriftDetector, DriftReport, DriftVerdict, FeatureDrift, FeatureOutcome,
    FeatureScore, OtherScore, ScoreInterval, SideCounts, UnwatchedFeature,
};
pub use latency::{LatencyHistogram, LatencySummary};
pub use operation::{OperationCounts, OperationReport, OperationSeries};
pub use quality::{FeatureBounds, FeatureQuality, QualityLimits, QualityReport, QualityRule, QualityState};
pub use recorder::{OperationRecorder, RecordedReport, RecordedSeries};
pub use schedule::{CheckedWindows, DueWindows, MonitorSchedule, check_due};
pub use store::{
    GroundTruth, LabelReceipt, Monitor, MonitorCapabilities, MonitorReport, MonitorSpec, Observations,
    ObserveReceipt, PerformanceRule, SignalKind, SignalOutcome, SignalReport, SignalSpec, Window,
};
