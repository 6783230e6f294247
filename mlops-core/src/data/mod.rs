//! Phase 2: version, describe, validate and split data.

mod asset;
mod cell;
mod column;
mod csv;
mod diff;
mod digest;
#[cfg(feature = "polars")]
pub mod frame;
mod leakage;
mod multiset;
mod number;
#[cfg(feature = "polars-io")]
mod parquet;
mod profile;
mod schema;
mod split;
mod store;
mod validate;

pub use asset::{AssetKind, DataAsset, DataRef, DataVerification, Location, NewDataAsset};
pub use cell::{distinct_rows, row_digests};
pub use column::{Column, DataType, Table, Validity, Values};
pub use csv::{CsvBatches, CsvOptions, parse_csv, read_csv};
pub use diff::{
    ChangedRow, DataDiff, DiffOptions, FileChange, FileDiff, Sameness, TableDiff, diff_assets,
    diff_manifests, diff_tables,
};
pub use digest::{ContentDigest, content_digest};
pub use leakage::{Leak, LeakKind, LeakageInput, LeakageReport};
pub use number::require_numeric;
pub use profile::{
    Alert, AlertKind, Association, ColumnProfile, Correlation, Distinct, Histogram, NumericProfile, Profile,
    ProfileOptions, Profiler, TextProfile, TimeProfile, TopValue,
};
pub use schema::{
    ExtraColumns, Field, FieldChange, Length, Range, RuleChange, Schema, SchemaChange, SchemaDiff,
    SchemaFormat,
};
pub use split::{Fractions, Method, Part, Partition, Sizes, Split, SplitManifest};
pub use store::DataAssetStore;
pub use validate::{
    Combination, Comparison, Expectation, Expectations, RowSplit, Rule, RuleResult, RuleVerdict, Sample,
    Severity, Threshold, ValidateOptions, ValidationReport, Validator, ValidatorState,
};
