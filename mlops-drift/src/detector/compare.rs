//! Two tables, one report.

use mlops_core::data::Table;
use mlops_core::monitor::{DriftDetector as _, DriftReport};
use mlops_core::time::{Clock as _, SystemClock, Timestamp};
use mlops_core::{Error, Result};

use super::{Detector, DetectorOptions};

/// Compares two tables, or two of what a table can be made of: with the feature `polars` two `&DataFrame`s. The report says now.
///
/// For a reference that is compared more than once fit a [`Detector`].
///
/// # Errors
/// Those of making the tables and of [`Detector::fit`]. A feature of the current table that cannot be measured is a row of the
/// report.
///
/// ```
/// use mlops_core::data::{Column, Table};
/// use mlops_core::monitor::DriftVerdict;
/// use mlops_drift::detector::DetectorOptions;
///
/// let ages = |from: i32| Column::f64("age", (0..400).map(|i| f64::from(from + i % 40)).collect::<Vec<_>>());
/// let (then, now) = (Table::new(vec![ages(20)?])?, Table::new(vec![ages(30)?])?);
/// let report = mlops_drift::compare(&then, &now, &DetectorOptions::default())?;
/// assert_eq!(report.verdict, DriftVerdict::Drift);
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub fn compare<'r, 'c, R, C>(reference: R, current: C, options: &DetectorOptions) -> Result<DriftReport>
where
    R: TryInto<Table<'r>>,
    R::Error: Into<Error>,
    C: TryInto<Table<'c>>,
    C::Error: Into<Error>,
{
    compare_at(reference, current, options, SystemClock::new().now())
}

/// The comparison with a time to put into the report, so that the same tables give the same report.
///
/// # Errors
/// As [`compare`].
///
/// ```
/// use mlops_core::data::{Column, Table};
/// use mlops_drift::detector::{DetectorOptions, compare_at};
///
/// let table = Table::new(vec![Column::i64("n", (0..99).map(|i| i % 7).collect::<Vec<_>>())?])?;
/// let report = compare_at(&table, &table, &DetectorOptions::default(), "2026-01-01T00:00:00Z".parse()?)?;
/// assert_eq!(report.drifted().count(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn compare_at<'r, 'c, R, C>(
    reference: R,
    current: C,
    options: &DetectorOptions,
    at: Timestamp,
) -> Result<DriftReport>
where
    R: TryInto<Table<'r>>,
    R::Error: Into<Error>,
    C: TryInto<Table<'c>>,
    C::Error: Into<Error>,
{
    let reference = reference.try_into().map_err(Into::into)?;
    let current = current.try_into().map_err(Into::into)?;
    Detector::fit(&reference, options.clone())?.detect(&current, at)
}
