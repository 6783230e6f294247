//! What a profile says.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::data::DataType;

/// How many different values there are; missing ones and NaN are none.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distinct {
    /// The number.
    pub count: u64,
    /// Whether it was counted. Else it is an estimate (HyperLogLog) with a relative standard error of 0.81 %.
    pub exact: bool,
}

/// A value and how often it comes.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopValue {
    /// The value as text; one of more than 256 bytes is its beginning, its length and a hash.
    pub value: String,
    /// How often it comes; of a column that was not counted, in the sample, scaled to all rows.
    pub count: u64,
}

/// Counts of values between two limits, in cells of equal width.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Where the first cell begins.
    pub low: f64,
    /// Where the last cell ends; it includes its end, the others do not.
    pub high: f64,
    /// How many values of the sample lie in each cell.
    pub counts: Vec<u64>,
}

/// What the numbers of a column are like. NaN and infinities are counted, and left out of everything else.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NumericProfile {
    /// How many are NaN.
    pub nan: u64,
    /// How many are +∞.
    pub positive_infinite: u64,
    /// How many are −∞.
    pub negative_infinite: u64,
    /// How many are zero.
    pub zeros: u64,
    /// How many are below zero.
    pub negative: u64,
    /// The smallest finite value.
    pub min: Option<f64>,
    /// The largest finite value.
    pub max: Option<f64>,
    /// Their sum; none where it overflows.
    pub sum: Option<f64>,
    /// Their mean.
    pub mean: Option<f64>,
    /// Their variance, divided by n − 1.
    pub variance: Option<f64>,
    /// Their skewness m₃/m₂^1.5, biased as SciPy's default.
    pub skewness: Option<f64>,
    /// Their excess kurtosis m₄/m₂² − 3, biased as SciPy's default.
    pub kurtosis: Option<f64>,
    /// Quantiles of the sample, each with its share: 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99; linear between values, as NumPy's
    /// default.
    pub quantiles: Vec<(f64, f64)>,
    /// How far the rank of a quantile may be off, as a share, with 99 % probability; 0 where the sample has all values.
    pub rank_error: f64,
    /// The histogram of the sample; none without a finite value.
    pub histogram: Option<Histogram>,
}

/// What the texts of a column are like.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextProfile {
    /// The fewest characters.
    pub min_length: u64,
    /// The most characters.
    pub max_length: u64,
    /// The mean number of characters.
    pub mean_length: f64,
    /// How many texts are empty.
    pub empty: u64,
}

/// What the times of a column are like.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeProfile {
    /// The first, in microseconds since 1970; it may lie beyond every calendar.
    pub min_micros: i64,
    /// The last.
    pub max_micros: i64,
}

impl TimeProfile {
    /// The first moment, where the calendar has it.
    pub fn min(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.min_micros)
    }

    /// The last moment, where the calendar has it.
    pub fn max(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.max_micros)
    }
}

/// What one column is like.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnProfile {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// How many values are there; NaN is one.
    pub count: u64,
    /// How many values are missing.
    pub missing: u64,
    /// How many different values there are.
    pub distinct: Distinct,
    /// The most frequent values, the most frequent first, then by value; exact where `distinct` is.
    pub top: Vec<TopValue>,
    /// 1 − H/ln k, H being the entropy of the k values' shares: 0 for equal shares, 1 where one value is everything. Of categories and
    /// truth values that were counted, where there are two at least.
    pub imbalance: Option<f64>,
    /// Of numbers.
    pub numeric: Option<NumericProfile>,
    /// Of texts, where there is one.
    pub text: Option<TextProfile>,
    /// Of times, where there is one.
    pub time: Option<TimeProfile>,
}

/// A measure of association.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Association {
    /// Pearson's r of numeric columns, over all rows at which both have a finite value.
    Pearson,
    /// Spearman's ρ of numeric columns: Pearson's r of midranks, on at most 10 000 rows of the sample.
    Spearman,
    /// Cramér's V of categories and truth values of at most 100 levels, with Bergsma's bias correction ("A bias-correction for
    /// Cramér's V and Tschuprow's T", 2013), on the sample.
    CramersV,
}

impl Association {
    /// What it is called.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pearson => "Pearson",
            Self::Spearman => "Spearman",
            Self::CramersV => "Cramér's V",
        }
    }
}

/// How two columns hang together.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Correlation {
    /// One column.
    pub a: String,
    /// The other one.
    pub b: String,
    /// By which measure.
    pub kind: Association,
    /// The number, from −1 (Cramér's V: 0) to 1.
    pub value: f64,
    /// On how many rows.
    pub rows: u64,
}

/// What is worth a look, by the names of ydata-profiling.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// The table has no rows.
    Empty,
    /// Rows come twice.
    Duplicates,
    /// No value is there.
    Unsupported,
    /// Every value is the same.
    Constant,
    /// Values are missing.
    Missing,
    /// Values are infinite.
    Infinite,
    /// Values are zero.
    Zeros,
    /// No value comes twice.
    Unique,
    /// Texts of very many sorts.
    HighCardinality,
    /// One sort of value is nearly everything.
    Imbalance,
    /// Numbers far to one side.
    Skewed,
    /// Texts of one length.
    ConstantLength,
    /// Two columns say nearly the same.
    HighCorrelation,
}

impl AlertKind {
    /// What it is called.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Duplicates => "duplicates",
            Self::Unsupported => "unsupported",
            Self::Constant => "constant",
            Self::Missing => "missing",
            Self::Infinite => "infinite",
            Self::Zeros => "zeros",
            Self::Unique => "unique",
            Self::HighCardinality => "high cardinality",
            Self::Imbalance => "imbalance",
            Self::Skewed => "skewed",
            Self::ConstantLength => "constant length",
            Self::HighCorrelation => "high correlation",
        }
    }
}

/// Something worth a look.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// What.
    pub kind: AlertKind,
    /// The columns; none for the table.
    pub columns: Vec<String>,
    /// In a sentence.
    pub message: String,
}

/// What a table is like; made by [`Profile::of`](super::Profile::of) or a [`Profiler`](super::Profiler).
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// The version of this profile's shape: 1.
    pub schema_version: u32,
    /// How many rows there are.
    pub rows: u64,
    /// How many rows the sample has.
    pub sample_rows: u64,
    /// How many rows repeat an earlier one, counted by a 128-bit hash of each; none where it was not asked for, or where there were more
    /// different rows than may be kept.
    pub duplicates: Option<u64>,
    /// Every column, in order.
    pub columns: Vec<ColumnProfile>,
    /// How pairs of columns hang together, the strongest first of each measure.
    pub correlations: Vec<Correlation>,
    /// What is worth a look.
    pub alerts: Vec<Alert>,
}

impl Profile {
    /// The profile of the column called `name`, if there is one.
    pub fn column(&self, name: &str) -> Option<&ColumnProfile> {
        self.columns.iter().find(|column| column.name == name)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows, {} columns, {} alerts", self.rows, self.columns.len(), self.alerts.len())?;
        self.alerts.iter().try_for_each(|alert| write!(f, "\n{}: {}", alert.kind.as_str(), alert.message))
    }
}
