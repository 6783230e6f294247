//! Data quality: what is missing, of the wrong type, or out of bounds.

use std::collections::BTreeSet;

use mlops_core::data::{Column, DataType, Table, Values};
use mlops_core::monitor::DriftVerdict;
use mlops_core::num::StatsError;
use mlops_core::time::Timestamp;
use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// The largest rates that are tolerated; a rate above its limit raises the alarm. The default is Azure's: none at all.
///
/// ```
/// use mlops_drift::signal::QualityLimits;
///
/// let limits = QualityLimits::default().with_missing(0.01);
/// assert_eq!((limits.missing, limits.type_errors), (0.01, 0.0));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QualityLimits {
    /// The share of rows without a value; NaN counts as none.
    pub missing: f64,
    /// The share of the present values that are of another type than the reference.
    pub type_errors: f64,
    /// The share of the present values of the right type that the reference's range, or its levels, do not hold.
    pub out_of_bounds: f64,
}

impl QualityLimits {
    /// With this share of rows without a value tolerated, in [0, 1].
    #[must_use]
    pub fn with_missing(mut self, missing: f64) -> Self {
        self.missing = missing;
        self
    }

    /// With this share of values of another type tolerated, in [0, 1].
    #[must_use]
    pub fn with_type_errors(mut self, type_errors: f64) -> Self {
        self.type_errors = type_errors;
        self
    }

    /// With this share of values that the reference does not hold tolerated, in [0, 1].
    #[must_use]
    pub fn with_out_of_bounds(mut self, out_of_bounds: f64) -> Self {
        self.out_of_bounds = out_of_bounds;
        self
    }

    fn check(&self) -> Result<(), StatsError> {
        let limits = [
            ("missing", self.missing),
            ("type_errors", self.type_errors),
            ("out_of_bounds", self.out_of_bounds),
        ];
        match limits.into_iter().find(|(_, limit)| !(0.0..=1.0).contains(limit)) {
            Some((parameter, value)) => {
                Err(StatsError::Parameter { parameter, value, reason: "must lie in [0, 1]" })
            }
            None => Ok(()),
        }
    }
}

/// A share, and what it is made of.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// How many are bad.
    pub bad: u64,
    /// Of how many.
    pub of: u64,
    /// The largest share that is tolerated.
    pub limit: f64,
    /// Drift above the limit, none up to it, and inconclusive of nothing.
    pub verdict: DriftVerdict,
}

impl Rate {
    fn new(bad: u64, of: u64, limit: f64) -> Self {
        let verdict = match (of, bad as f64 > limit * of as f64) {
            (0, _) => DriftVerdict::Inconclusive,
            (_, true) => DriftVerdict::Drift,
            (_, false) => DriftVerdict::NoDrift,
        };
        Self { bad, of, limit, verdict }
    }

    /// The share; `None` of nothing.
    pub fn share(&self) -> Option<f64> {
        (self.of > 0).then(|| self.bad as f64 / self.of as f64)
    }
}

/// What was found of one feature.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QualityOutcome {
    /// The three rates.
    Rates {
        /// Rows without a value, of all rows.
        missing: Rate,
        /// Values of another type, of the present ones.
        type_errors: Rate,
        /// Values the reference does not hold, of those of the right type.
        out_of_bounds: Rate,
    },
    /// It could not be looked at, for this reason.
    Failed(String),
}

/// One row of a quality report.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureQuality {
    /// The feature.
    pub feature: String,
    /// What was found of it.
    pub outcome: QualityOutcome,
}

impl FeatureQuality {
    /// Drift when some rate is above its limit; a feature that failed, or has no rows, is inconclusive.
    pub fn verdict(&self) -> DriftVerdict {
        let QualityOutcome::Rates { missing, type_errors, out_of_bounds } = &self.outcome else {
            return DriftVerdict::Inconclusive;
        };
        let rates = [missing, type_errors, out_of_bounds];
        if rates.iter().any(|rate| rate.verdict == DriftVerdict::Drift) {
            return DriftVerdict::Drift;
        }
        // Without a single present value the other two rates say nothing, but the first one has spoken.
        missing.verdict
    }
}

/// What data quality found in one window of data.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QualityReport {
    /// The version of this shape: 1.
    pub schema: u32,
    /// When it looked.
    pub at: Timestamp,
    /// Rows of the current data.
    pub rows: u64,
    /// Every feature, in the order of the reference.
    pub features: Vec<FeatureQuality>,
    /// Drift when some feature breaks a limit, inconclusive when none does but one could not be looked at.
    pub verdict: DriftVerdict,
}

impl QualityReport {
    /// The features that break a limit.
    pub fn broken(&self) -> impl Iterator<Item = &FeatureQuality> {
        self.features.iter().filter(|feature| feature.verdict() == DriftVerdict::Drift)
    }
}

/// What a reference says about types and bounds. Fitted once; serialises with a version.
///
/// Text that stands where numbers are expected is read as a number where it is one, and counts as a type error where it is not; a
/// fraction is a type error where the reference has whole numbers, and anything but 0 and 1 where it has booleans.
///
/// ```
/// use mlops_core::data::{Column, Table};
/// use mlops_core::monitor::DriftVerdict;
/// use mlops_drift::signal::{DataQuality, QualityLimits, QualityOutcome};
///
/// let reference = Table::new(vec![
///     Column::f64("age", vec![18.0, 64.0, 99.0])?,
///     Column::text("plan", ["basic", "pro", "pro"])?,
/// ])?;
/// let quality = DataQuality::fit(&reference, QualityLimits::default())?;
///
/// let current = Table::new(vec![
///     Column::text("age", ["21", "n/a", "120", "34"])?,
///     Column::optional_text("plan", [Some("pro"), None, Some("free"), Some("basic")])?,
/// ])?;
/// let report = quality.check(&current, "2026-03-01T00:00:00Z".parse()?);
/// assert_eq!(report.verdict, DriftVerdict::Drift);
/// let QualityOutcome::Rates { missing, type_errors, out_of_bounds } = &report.features[0].outcome else { panic!() };
/// assert_eq!((missing.share(), type_errors.share()), (Some(0.0), Some(0.25)));
/// assert_eq!((out_of_bounds.bad, out_of_bounds.of), (1, 3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct DataQuality {
    limits: QualityLimits,
    features: Vec<Fitted>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    limits: QualityLimits,
    features: Vec<Fitted>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fitted {
    name: String,
    kind: DataType,
    bounds: Bounds,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Bounds {
    /// The smallest and the largest finite value.
    Range(f64, f64),
    Levels(BTreeSet<String>),
    /// Nothing was present, so that nothing is known.
    Unknown,
}

impl From<DataQuality> for Stored {
    fn from(DataQuality { limits, features }: DataQuality) -> Self {
        Self { version: DataQuality::VERSION, limits, features }
    }
}

impl TryFrom<Stored> for DataQuality {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        if stored.version != Self::VERSION {
            return Err(format!("version {} is not known, only {}", stored.version, Self::VERSION));
        }
        stored.limits.check().map_err(|error| error.to_string())?;
        let bad = |bounds: &Bounds| matches!(bounds, Bounds::Range(low, high) if !(low.is_finite() && high.is_finite() && low <= high));
        if stored.features.iter().any(|feature| bad(&feature.bounds)) {
            return Err("a range begins before it ends, and is finite".to_owned());
        }
        Ok(Self { limits: stored.limits, features: stored.features })
    }
}

impl DataQuality {
    /// The version of the serialised form.
    pub const VERSION: u32 = 1;

    /// Notes types and bounds of every column of a reference.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a limit outside [0, 1] and a reference without rows.
    pub fn fit(reference: &Table<'_>, limits: QualityLimits) -> Result<Self> {
        limits.check()?;
        if reference.rows() == 0 {
            return Err(Error::invalid("DataQuality::fit", "reference", "has no rows"));
        }
        let fitted = |column: &Column<'_>| Fitted {
            name: column.name().to_owned(),
            kind: column.data_type(),
            bounds: bounds(column),
        };
        Ok(Self { limits, features: reference.columns().iter().map(fitted).collect() })
    }

    /// Holds current data against the reference. A feature that is not there is a failed row.
    pub fn check(&self, current: &Table<'_>, at: Timestamp) -> QualityReport {
        let features: Vec<FeatureQuality> = self
            .features
            .iter()
            .map(|fitted| {
                let outcome = match current.get(&fitted.name) {
                    None => QualityOutcome::Failed("the feature is missing from the current data".to_owned()),
                    Some(column) => fitted.rates(column, &self.limits),
                };
                FeatureQuality { feature: fitted.name.clone(), outcome }
            })
            .collect();
        let any = |verdict| features.iter().any(|feature| feature.verdict() == verdict);
        let verdict = match (any(DriftVerdict::Drift), any(DriftVerdict::Inconclusive), features.is_empty()) {
            (true, _, _) => DriftVerdict::Drift,
            (false, true, _) | (false, _, true) => DriftVerdict::Inconclusive,
            (false, false, false) => DriftVerdict::NoDrift,
        };
        QualityReport { schema: 1, at, rows: current.rows() as u64, features, verdict }
    }
}

/// What one value is.
enum Found<'a> {
    Missing,
    Number(f64),
    Text(&'a str),
}

/// Every value of a column.
fn found<'a>(column: &'a Column<'_>) -> impl Iterator<Item = Found<'a>> {
    let number = |value: f64| if value.is_nan() { Found::Missing } else { Found::Number(value) };
    (0..column.len()).map(move |row| {
        if !column.is_valid(row) {
            return Found::Missing;
        }
        match column.values() {
            Values::F64(values) => number(values[row]),
            Values::F32(values) => number(f64::from(values[row])),
            Values::I64(values) | Values::Time(values) => Found::Number(values[row] as f64),
            Values::Bool(values) => Found::Number(f64::from(u8::from(values[row]))),
            Values::Category { codes, levels } => {
                let level = usize::try_from(codes[row]).ok().and_then(|code| levels.get(code));
                level.map_or(Found::Missing, |level| Found::Text(level))
            }
            _ => Found::Missing,
        }
    })
}

fn bounds(column: &Column<'_>) -> Bounds {
    let mut range: Option<(f64, f64)> = None;
    let mut levels = BTreeSet::new();
    for value in found(column) {
        match value {
            Found::Number(value) if value.is_finite() => {
                let (low, high) = range.unwrap_or((value, value));
                range = Some((low.min(value), high.max(value)));
            }
            Found::Text(text) if !levels.contains(text) => {
                levels.insert(text.to_owned());
            }
            _ => {}
        }
    }
    match (range, levels.is_empty()) {
        (Some((low, high)), _) => Bounds::Range(low, high),
        (None, false) => Bounds::Levels(levels),
        (None, true) => Bounds::Unknown,
    }
}

impl Fitted {
    fn rates(&self, column: &Column<'_>, limits: &QualityLimits) -> QualityOutcome {
        let (mut rows, mut missing, mut type_errors, mut outside) = (0, 0, 0, 0);
        for value in found(column) {
            rows += 1;
            match value {
                Found::Missing => missing += 1,
                value => match self.holds(value, column.data_type()) {
                    None => type_errors += 1,
                    Some(inside) => outside += u64::from(!inside),
                },
            }
        }
        let present = rows - missing;
        QualityOutcome::Rates {
            missing: Rate::new(missing, rows, limits.missing),
            type_errors: Rate::new(type_errors, present, limits.type_errors),
            out_of_bounds: Rate::new(outside, present - type_errors, limits.out_of_bounds),
        }
    }

    /// Whether the bounds hold a value; `None` for one of another type.
    fn holds(&self, value: Found<'_>, kind: DataType) -> Option<bool> {
        match (&self.bounds, value) {
            (Bounds::Unknown, _) => Some(true),
            (Bounds::Levels(levels), Found::Text(text)) => Some(levels.contains(text)),
            (Bounds::Levels(_), _) => None,
            (Bounds::Range(low, high), Found::Number(value)) => {
                let same = (self.kind == DataType::Time) == (kind == DataType::Time);
                (same && self.is_of_kind(value)).then(|| (*low..=*high).contains(&value))
            }
            (Bounds::Range(low, high), Found::Text(text)) if self.kind != DataType::Time => {
                let value: f64 = text.trim().parse().ok()?;
                (!value.is_nan() && self.is_of_kind(value)).then(|| (*low..=*high).contains(&value))
            }
            (Bounds::Range(..), _) => None,
        }
    }

    /// Whether a number can be one of the reference's type.
    fn is_of_kind(&self, value: f64) -> bool {
        match self.kind {
            DataType::I64 => value.fract() == 0.0,
            DataType::Bool => value == 0.0 || value == 1.0,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-03-01T00:00:00Z".parse().unwrap()
    }

    fn rates(reference: Column<'static>, current: Column<'static>) -> [(u64, u64); 3] {
        let table = |column| Table::new(vec![column]).unwrap();
        let quality = DataQuality::fit(&table(reference), QualityLimits::default()).unwrap();
        // Through its stored form.
        let quality: DataQuality = serde_json::from_str(&serde_json::to_string(&quality).unwrap()).unwrap();
        let report = quality.check(&table(current), now());
        let QualityOutcome::Rates { missing, type_errors, out_of_bounds } =
            report.features[0].outcome.clone()
        else {
            panic!("{report:?}")
        };
        [missing, type_errors, out_of_bounds].map(|rate| (rate.bad, rate.of))
    }

    fn f64s(values: &[f64]) -> Column<'static> {
        Column::f64("x", values.to_vec()).unwrap()
    }

    fn texts(values: &[&str]) -> Column<'static> {
        Column::text("x", values).unwrap()
    }

    #[test]
    fn types_are_those_of_the_reference() {
        let whole = Column::i64("x", vec![1, 5]).unwrap();
        assert_eq!(rates(whole.clone(), f64s(&[1.0, 2.5, 9.0, f64::NAN])), [(1, 4), (1, 3), (1, 2)]);
        let flags = Column::bool("x", vec![false, true]).unwrap();
        assert_eq!(rates(flags, f64s(&[0.0, 1.0, 2.0])), [(0, 3), (1, 3), (0, 2)]);
        assert_eq!(
            rates(f64s(&[1.0, 2.0]), texts(&["1.5", " 2 ", "x", "nan", "inf"])),
            [(0, 5), (2, 5), (1, 3)]
        );
        assert_eq!(rates(texts(&["a"]), f64s(&[1.0])), [(0, 1), (1, 1), (0, 0)]);
        assert_eq!(rates(texts(&["a"]), texts(&["a", "b"])), [(0, 2), (0, 2), (1, 2)]);
        assert_eq!(rates(f64s(&[f64::NAN]), texts(&["a"])), [(0, 1), (0, 1), (0, 1)]);
        assert_eq!(rates(f64s(&[f64::INFINITY, 0.0]), f64s(&[f64::INFINITY])), [(0, 1), (0, 1), (1, 1)]);
        let time = |t: i64| Column::new("x", Values::Time(vec![t].into()), None).unwrap();
        assert_eq!(rates(time(5), f64s(&[5.0])), [(0, 1), (1, 1), (0, 0)]);
        assert_eq!(rates(time(5), time(6)), [(0, 1), (0, 1), (1, 1)]);
    }

    #[test]
    fn limits_decide_and_what_is_gone_is_inconclusive() {
        let reference = Table::new(vec![f64s(&[0.0, 1.0])]).unwrap();
        let current = Table::new(vec![f64s(&[0.0, 0.5, 0.75, 2.0])]).unwrap();
        for (limit, verdict) in [(0.0, DriftVerdict::Drift), (0.25, DriftVerdict::NoDrift)] {
            let limits = QualityLimits { out_of_bounds: limit, ..QualityLimits::default() };
            let quality = DataQuality::fit(&reference, limits).unwrap();
            let report = quality.check(&current, now());
            assert_eq!(report.verdict, verdict);
            assert_eq!(report.broken().count(), usize::from(verdict == DriftVerdict::Drift));
            assert_eq!(quality.check(&Table::default(), now()).verdict, DriftVerdict::Inconclusive);
            let nothing = current.take(&[]).unwrap();
            assert_eq!(quality.check(&nothing, now()).verdict, DriftVerdict::Inconclusive);
        }
        let wrong = QualityLimits { missing: f64::NAN, ..QualityLimits::default() };
        assert!(DataQuality::fit(&reference, wrong).is_err());
        assert!(DataQuality::fit(&Table::default(), QualityLimits::default()).is_err());
    }

    #[test]
    fn all_missing_is_judged_by_its_missing_rate() {
        let reference = Table::new(vec![f64s(&[0.0, 1.0])]).unwrap();
        let limits = QualityLimits { missing: 1.0, ..QualityLimits::default() };
        let report = DataQuality::fit(&reference, limits)
            .unwrap()
            .check(&Table::new(vec![f64s(&[f64::NAN])]).unwrap(), now());
        assert_eq!(report.verdict, DriftVerdict::NoDrift);
    }
}
