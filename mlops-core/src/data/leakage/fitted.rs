//! Preprocessing that remembers which rows it was fitted on.

use serde::{Deserialize, Serialize};

use super::SAMPLE;
use super::report::{Leak, LeakKind, count};
use super::shared::Shared;
use crate::data::{Part, Partition, Table, content_digest};
use crate::error::{Error, ErrorKind, Result, quote};
use crate::hash::Digest;

/// The longest name of a step, in characters.
const MAX_NAME: usize = 1_024;

/// Which rows a step was fitted on, and what was in them.
///
/// ```
/// use mlops_core::data::{Column, FitRecord, Fitted, Table};
/// let table = Table::new(vec![Column::f64("x", vec![1.0, 2.0, 9.0])?])?;
/// let fitted = Fitted::on_rows("mean", &table, &[0, 1], |rows| Ok(rows.column("x")?.to_f64()?.iter().sum::<f64>() / 2.0))?;
/// let stored = serde_json::to_string(fitted.record())?;
/// assert_eq!(&serde_json::from_str::<FitRecord>(&stored)?, fitted.record());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "FitRecordWire", into = "FitRecordWire")]
pub struct FitRecord {
    name: String,
    table_rows: usize,
    rows: Vec<usize>,
    content: Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FitRecordWire {
    name: String,
    table_rows: usize,
    rows: Vec<usize>,
    content: Digest,
}

impl From<FitRecord> for FitRecordWire {
    fn from(record: FitRecord) -> Self {
        Self { name: record.name, table_rows: record.table_rows, rows: record.rows, content: record.content }
    }
}

impl TryFrom<FitRecordWire> for FitRecord {
    type Error = Error;

    fn try_from(wire: FitRecordWire) -> Result<Self> {
        let FitRecordWire { name, table_rows, rows, content } = wire;
        check(&name, table_rows, &rows)?;
        if rows.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(Error::invalid("FitRecord", "rows", "must be in ascending order, each row once"));
        }
        Ok(Self { name, table_rows, rows, content })
    }
}

fn check(name: &str, table_rows: usize, rows: &[usize]) -> Result<()> {
    let length = name.chars().count();
    if length == 0 || length > MAX_NAME {
        return Err(Error::invalid(
            "FitRecord",
            "name",
            format!("must have 1 to {MAX_NAME} characters, got {length}"),
        ));
    }
    if rows.is_empty() {
        return Err(Error::invalid("FitRecord", "rows", "must not be empty"));
    }
    match rows.iter().find(|&&row| row >= table_rows) {
        Some(row) => Err(Error::invalid(
            "FitRecord",
            "rows",
            format!("has row {row}, but there are {table_rows} rows"),
        )),
        None => Ok(()),
    }
}

impl FitRecord {
    /// The name of the step.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The rows that it was fitted on, in ascending order.
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// The digest of what was in them, whatever their order: [`content_digest`].
    pub fn content(&self) -> Digest {
        self.content
    }

    /// The rows of later parts that took part in the fit. O(rows × columns): what was in the rows is hashed again.
    ///
    /// # Errors
    /// [`ErrorKind::Integrity`] when the step was fitted on another table, or its rows have changed since: which rows took
    /// part cannot be told then. [`ErrorKind::InvalidInput`] when the table is not the one that was split.
    pub fn leaks(&self, table: &Table<'_>, partition: &Partition) -> Result<Vec<Leak>> {
        const OP: &str = "FitRecord::leaks";
        partition.check_rows(OP, table)?;
        let same =
            table.rows() == self.table_rows && content_digest(&table.take(&self.rows)?) == self.content;
        if !same {
            let message =
                format!("`{}` was fitted on another table, or on rows that have changed", quote(&self.name));
            return Err(Error::new(ErrorKind::Integrity, OP, message).with("expected", self.content));
        }
        let in_fit = |row: &&usize| self.rows.binary_search(row).is_ok();
        let later = partition.parts().filter(|(part, _)| *part != Part::Train);
        let leak = |(part, rows): (Part, &[usize])| {
            let seen: Vec<usize> = rows.iter().filter(in_fit).copied().collect();
            let first = seen.first()?;
            let message = format!(
                "`{}` was fitted on {} of {part}, of {}; first row {}",
                quote(&self.name),
                count(seen.len(), "row"),
                rows.len(),
                first + 1
            );
            let shared = Shared {
                keys: seen.len(),
                left: (Part::Train, self.rows.len()),
                right: (part, seen.len()),
                of: rows.len(),
                rows: seen.iter().take(SAMPLE).map(|&row| (row, row)).collect(),
            };
            Some(shared.leak(LeakKind::FittedOnTest, None, message))
        };
        Ok(later.filter_map(leak).collect())
    }
}

/// Something fitted on rows (a scaler, an encoder, an imputer, a selection of features) with the record of which they were.
///
/// [`Fitted::on_train`] hands only training rows to the fit, so nothing else can get in. [`Fitted::apply`] hands out what was
/// fitted only for a part of which no row took part. What was fitted elsewhere, on all rows say, is made by
/// [`Fitted::on_rows`], and is refused where it would flatter.
///
/// ```
/// use mlops_core::data::{Column, Fitted, Part, Partition, Table};
///
/// let table = Table::new(vec![Column::f64("bmi", vec![20.0, 22.0, 24.0, 90.0])?])?;
/// let split = Partition::predefined(4, vec![0, 1, 2], None, vec![3])?;
/// let mean = |rows: &Table<'_>| Ok(rows.column("bmi")?.to_f64()?.iter().sum::<f64>() / rows.rows() as f64);
///
/// let centre = Fitted::on_train("centre", &table, &split, mean)?;
/// let test = centre.apply(&table, &split, Part::Test, |mean, rows| Ok(rows.column("bmi")?.to_f64()?[0] - mean))?;
/// assert_eq!(test, 68.0);
///
/// // Fitted on everything, it may not be judged on anything.
/// let peeked = Fitted::on_rows("centre", &table, &[0, 1, 2, 3], mean)?;
/// let error = peeked.apply(&table, &split, Part::Test, |_, _| Ok(())).unwrap_err();
/// assert_eq!(error.kind(), mlops_core::ErrorKind::Rejected);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted<T> {
    value: T,
    record: FitRecord,
}

impl<T> Fitted<T> {
    /// Fits on the training rows of a split.
    ///
    /// # Errors
    /// Those of the fit; [`ErrorKind::InvalidInput`] when the table is not the one that was split, and for an empty name.
    pub fn on_train(
        name: impl Into<String>,
        table: &Table<'_>,
        partition: &Partition,
        fit: impl FnOnce(&Table<'_>) -> Result<T>,
    ) -> Result<Self> {
        partition.check_rows("Fitted::on_train", table)?;
        Self::on_rows(name, table, partition.train(), fit)
    }

    /// Fits on these rows of a table, in any order.
    ///
    /// # Errors
    /// Those of the fit; [`ErrorKind::InvalidInput`] for no rows, a row beyond the end, and an empty name.
    pub fn on_rows(
        name: impl Into<String>,
        table: &Table<'_>,
        rows: &[usize],
        fit: impl FnOnce(&Table<'_>) -> Result<T>,
    ) -> Result<Self> {
        let name = name.into();
        check(&name, table.rows(), rows)?;
        let mut rows = rows.to_vec();
        rows.sort_unstable();
        rows.dedup();
        let taken = table.take(&rows)?;
        let record = FitRecord { name, table_rows: table.rows(), content: content_digest(&taken), rows };
        Ok(Self { value: fit(&taken)?, record })
    }

    /// Which rows it was fitted on.
    pub fn record(&self) -> &FitRecord {
        &self.record
    }

    /// Uses what was fitted on the rows of one part.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`] when rows of a part other than training took part in the fit; else as [`FitRecord::leaks`],
    /// [`Partition::table`] and the use itself.
    pub fn apply<R>(
        &self,
        table: &Table<'_>,
        partition: &Partition,
        part: Part,
        apply: impl FnOnce(&T, &Table<'_>) -> Result<R>,
    ) -> Result<R> {
        let leaks = self.record.leaks(table, partition)?;
        if let Some(leak) = leaks.iter().find(|leak| leak.into.0 == part) {
            return Err(Error::new(ErrorKind::Rejected, "Fitted::apply", leak.message.clone())
                .with("step", &self.record.name)
                .with("part", part));
        }
        apply(&self.value, &partition.table(table, part)?)
    }

    /// What was fitted, for data that are no part of a split: what comes in production.
    pub fn get(&self) -> &T {
        &self.value
    }
}
