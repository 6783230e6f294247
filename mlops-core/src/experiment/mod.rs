//! Phase 3: track experiments.
//!
//! A run has an id made by the client, so that starting it twice is starting it once. What is logged is kept exactly: NaN
//! and infinities too. A write answers with a receipt that lists everything the backend could not keep as it was.
//!
//! What a sweep may try is a [`space`], what it tries next comes from a [`sampler`], and what a model has to beat is a
//! [`baseline`].

pub mod baseline;
mod capsule;
mod filter_text;
mod pattern;
mod proc_fs;
mod process_metrics;
mod query;
pub mod reproduce;
mod run;
pub mod sampler;
pub mod space;
pub mod stopping;
pub mod sweep;
mod tracker;

pub use baseline::Baseline;
pub use capsule::{Capsule, CaptureOptions, CodeVersion, GitOptions, Machine, Program};
pub use filter_text::{MlflowDialect, MlflowFilter};
pub use process_metrics::{ProcessMetrics, ProcessSampler, SamplingReport};
pub use query::{Comparison, Field, Filter, InputMatch, Match, MetricStat, OrderBy, RunQuery, View};
pub use run::{
    ArtifactLink, DataInput, Experiment, ExperimentSpec, LogBatch, MetricPoint, MetricSummary, Run, RunEnd,
    RunSpec, RunStatus,
};
pub use tracker::{
    Degradation, ExperimentTracker, ExperimentTrackerExt, HistoryQuery, LIFECYCLE_TAGS, TrackerCapabilities,
    WriteReceipt, is_lifecycle_tag,
};
