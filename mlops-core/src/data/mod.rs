//! Phase 2: version, describe, validate and split data.

mod asset;
mod cell;
mod column;
mod csv;
mod diff;
mod digest;
#[cfg(feature = "polars")]
pub mod frame;
mod jsonl;
mod label;
mod leakage;
mod moment;
mod multiset;
mod number;
#[cfg(feature = "polars-io")]
mod parquet;
mod point_in_time;
mod profile;
mod schema;
mod span;
mod split;
mod store;
mod text;
mod unreadable;
mod validate;

pub use asset::{AssetKind, DataAsset, DataRef, DataVerification, Location, NewDataAsset};
pub use cell::{distinct_rows, row_digests};
pub use column::{Column, DataType, Table, Validity, Values};
pub use csv::{CsvBatches, CsvOptions, TolerantCsvBatches, parse_csv, read_csv};
pub use diff::{
    ChangedRow, DataDiff, DiffOptions, FileChange, FileDiff, Sameness, TableDiff, diff_assets,
    diff_manifests, diff_tables,
};
pub use digest::{ContentDigest, content_digest};
pub use jsonl::{JsonLinesBatches, JsonLinesOptions};
pub use label::{
    AgreementReport, AlphaInterval, Assignment, KappaWeights, LabelEvent, LabelProgress, LabelProject,
    LabelQueue, LabelRecord, LabelScheme, LabelStatus, LabelTask, LabelValue, Level, ModelAgreement,
    PairAgreement, Prelabel, Ratings, Vote, alpha_interval, cohen_kappa, fleiss_kappa, krippendorff_alpha,
    percent_agreement,
};
pub use leakage::{
    FitRecord, Fitted, Leak, LeakKind, LeakSeverity, LeakageInput, LeakageReport, NearDuplicateSearch,
    NearDuplicates, NotChecked, TargetLeak,
};
pub use number::require_numeric;
pub use point_in_time::{FeatureProof, FeatureView, Joined, PointInTimeJoin};
pub use profile::{
    Alert, AlertKind, Association, ColumnProfile, Correlation, Distinct, Histogram, NumericProfile, Profile,
    ProfileOptions, Profiler, ProfilerState, TextProfile, TimeProfile, TopValue,
};
pub use schema::{
    ExtraColumns, Field, FieldChange, Length, Range, RuleChange, Schema, SchemaChange, SchemaDiff,
    SchemaFormat,
};
pub use span::Span;
pub use split::{
    ClassCounts, CombinatorialPurged, CrossValidation, Fold, FoldMethod, FoldSummary, Folds, FoldsManifest,
    Fractions, History, LabelSpan, Method, Part, PartSummary, Partition, Sizes, Split, SplitManifest,
    TimeRange, TimeWindows,
};
pub use store::DataAssetStore;
pub use unreadable::{ReadBatch, Unreadable};
pub use validate::{
    Combination, Comparison, Expectation, Expectations, RowSplit, Rule, RuleResult, RuleVerdict, Sample,
    Severity, Statistic, Threshold, ValidateOptions, ValidationReport, Validator, ValidatorState,
};
