//! What to look for leaks in.

use super::OP;
use super::fitted::FitRecord;
use super::near::{self, NearDuplicates};
use super::report::{LeakKind, LeakageReport};
use super::shared::{self, Rows};
use super::target::{self, TargetLeak};
use super::{time, window};
use crate::data::cell::row_digests;
use crate::data::{LabelSpan, Partition, Table};
use crate::error::{Error, Result};
use crate::hash::Digest;

/// What to check: a table, its split, and what its columns mean.
///
/// ```
/// use mlops_core::data::{Column, LeakKind, LeakageInput, Partition, Table};
///
/// let table = Table::new(vec![
///     Column::i64("patient", vec![1, 2, 3, 1])?,
///     Column::f64("bmi", vec![32.1, 21.6, 30.5, 25.3])?,
/// ])?;
/// let split = Partition::predefined(4, vec![0, 1], None, vec![2, 3])?;
/// let report = LeakageInput::new(&table, &split).with_group("patient").check()?;
/// assert_eq!(report.leaks[0].kind, LeakKind::SharedGroup);
/// assert_eq!(report.leaks[0].rows, [(0, 3)]);
/// let error = report.require_clean().unwrap_err();
/// assert_eq!(error.kind(), mlops_core::ErrorKind::Rejected);
/// assert_eq!(
///     error.message(),
///     "the split leaks: column `patient`: 1 group is in both train (1 row) and test (1 row); \
///      first 1 in train row 1 and test row 4"
/// );
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LeakageInput<'a> {
    table: &'a Table<'a>,
    partition: &'a Partition,
    id: Option<String>,
    group: Option<String>,
    time: Option<String>,
    label: Option<String>,
    window: Option<(String, LabelSpan)>,
    features: Option<Vec<String>>,
    near: Option<NearDuplicates>,
    target: TargetLeak,
    fitted: Vec<&'a FitRecord>,
}

impl<'a> LeakageInput<'a> {
    /// A table and how it was split. Rows are duplicates when they are equal in all columns but the id and the label.
    pub fn new(table: &'a Table<'a>, partition: &'a Partition) -> Self {
        Self {
            table,
            partition,
            id: None,
            group: None,
            time: None,
            label: None,
            window: None,
            features: None,
            near: None,
            target: TargetLeak::default(),
            fitted: Vec::new(),
        }
    }

    /// The column that identifies a row.
    #[must_use]
    pub fn with_id(mut self, column: impl Into<String>) -> Self {
        self.id = Some(column.into());
        self
    }

    /// The column of what must stay together.
    #[must_use]
    pub fn with_group(mut self, column: impl Into<String>) -> Self {
        self.group = Some(column.into());
        self
    }

    /// The column of times (or numbers): each part must be strictly later than the one before.
    #[must_use]
    pub fn with_time(mut self, column: impl Into<String>) -> Self {
        self.time = Some(column.into());
        self
    }

    /// The column of labels: it is no feature, and no feature may tell it.
    #[must_use]
    pub fn with_label(mut self, column: impl Into<String>) -> Self {
        self.label = Some(column.into());
        self
    }

    /// When the label of each row is made: from the time in a column until what `labels` says. No row may be learnt from
    /// whose label is made while that of a row of a later part is.
    #[must_use]
    pub fn with_label_window(mut self, time: impl Into<String>, labels: LabelSpan) -> Self {
        self.window = Some((time.into(), labels));
        self
    }

    /// The columns whose equality makes two rows duplicates, and which might tell the label.
    #[must_use]
    pub fn with_features<S: Into<String>>(mut self, columns: impl IntoIterator<Item = S>) -> Self {
        self.features = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// Looks for rows that are nearly equal too.
    #[must_use]
    pub fn with_near_duplicates(mut self, search: NearDuplicates) -> Self {
        self.near = Some(search);
        self
    }

    /// From when on a feature tells too much.
    #[must_use]
    pub fn with_target(mut self, target: TargetLeak) -> Self {
        self.target = target;
        self
    }

    /// Looks whether a preprocessing step was fitted on rows that it is judged on; can be given several times.
    #[must_use]
    pub fn with_fitted(mut self, record: &'a FitRecord) -> Self {
        self.fitted.push(record);
        self
    }

    /// Looks for every leak. O(rows × columns) time, 32 bytes a row; near duplicates cost what they [say](NearDuplicates).
    ///
    /// Equality is that of [`row_digests`](crate::data::row_digests): rows are hashed by value and type with lengths, so
    /// that different rows are never confused; −0.0 equals 0.0, NaN equals NaN, missing equals missing.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) for an unknown column;
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when the table is not the one that was split, when no
    /// column is left to compare, when an id, group or time is missing or NaN (what is not known cannot be shown not to
    /// leak), when times are text or booleans, and for settings out of their range.
    pub fn check(&self) -> Result<LeakageReport> {
        self.partition.check_rows(OP, self.table)?;
        let mut report = LeakageReport::new();
        let features = self.features()?;
        let digests = row_digests(&features);
        report.add(LeakKind::DuplicateRow, shared::duplicates(&self.parts(), &digests));
        self.check_labels(&mut report, &digests)?;
        self.check_near(&mut report, &features, &digests)?;
        self.check_keys(&mut report)?;
        self.check_times(&mut report)?;
        self.check_target(&mut report, &features)?;
        self.check_fitted(&mut report)?;
        Ok(report)
    }

    fn parts(&self) -> Vec<Rows<'_>> {
        self.partition.parts().collect()
    }

    fn features(&self) -> Result<Table<'_>> {
        let none: [&Option<String>; 2] = [&self.id, &self.label];
        let none: Vec<&String> = none.into_iter().flatten().collect();
        let features = match &self.features {
            Some(features) => self.table.select(features)?,
            None => self.table.without(&none),
        };
        if features.columns().is_empty() {
            return Err(Error::invalid(OP, "features", "no column is left to compare rows by"));
        }
        Ok(features)
    }

    fn check_labels(&self, report: &mut LeakageReport, digests: &[Digest]) -> Result<()> {
        match &self.label {
            Some(label) => {
                let leaks = shared::conflicts(&self.parts(), digests, self.table.column(label)?);
                report.add(LeakKind::ConflictingLabel, leaks);
            }
            None => report.skip(LeakKind::ConflictingLabel, "no column of labels is named"),
        }
        Ok(())
    }

    fn check_near(&self, report: &mut LeakageReport, features: &Table<'_>, digests: &[Digest]) -> Result<()> {
        let Some(search) = &self.near else {
            report.skip(LeakKind::NearDuplicateRow, "not asked for");
            return Ok(());
        };
        let (found, leaks) = near::search(search, features, &self.parts(), digests)?;
        if found.complete {
            report.add(LeakKind::NearDuplicateRow, leaks);
        } else {
            let reason =
                format!("stopped after {} comparisons of rows: there may be more", found.comparisons);
            report.leaks.extend(leaks);
            report.skip(LeakKind::NearDuplicateRow, reason);
        }
        report.near_duplicates = Some(found);
        Ok(())
    }

    fn check_keys(&self, report: &mut LeakageReport) -> Result<()> {
        for (kind, column, what) in
            [(LeakKind::SharedId, &self.id, "ids"), (LeakKind::SharedGroup, &self.group, "groups")]
        {
            match column {
                Some(name) => {
                    report.add(kind, shared::shared(&self.parts(), kind, self.table.column(name)?)?)
                }
                None => report.skip(kind, format!("no column of {what} is named")),
            }
        }
        Ok(())
    }

    fn check_times(&self, report: &mut LeakageReport) -> Result<()> {
        match &self.time {
            Some(name) => {
                report.add(LeakKind::TimeOverlap, time::overlaps(&self.parts(), self.table.column(name)?)?);
            }
            None => report.skip(LeakKind::TimeOverlap, "no column of times is named"),
        }
        match &self.window {
            Some((name, labels)) => {
                let column = self.table.column(name)?;
                report
                    .add(LeakKind::LabelWindow, window::overlaps(&self.parts(), self.table, column, labels)?);
            }
            None => report.skip(LeakKind::LabelWindow, "when labels are made is not said"),
        }
        Ok(())
    }

    fn check_target(&self, report: &mut LeakageReport, features: &Table<'_>) -> Result<()> {
        let Some(label) = &self.label else {
            report.skip(LeakKind::Target, "no column of labels is named");
            return Ok(());
        };
        let group: Vec<&String> = self.group.iter().chain(&self.id).chain(&self.label).collect();
        let features = features.without(&group);
        if features.columns().is_empty() {
            report.skip(LeakKind::Target, "no feature is left to tell the label");
            return Ok(());
        }
        match target::leaks(&self.target, &features, self.table.column(label)?, &self.parts())? {
            Ok(leaks) => report.add(LeakKind::Target, leaks),
            Err(reason) => report.skip(LeakKind::Target, reason),
        }
        Ok(())
    }

    fn check_fitted(&self, report: &mut LeakageReport) -> Result<()> {
        if self.fitted.is_empty() {
            report.skip(LeakKind::FittedOnTest, "no record of a fitted step is given");
            return Ok(());
        }
        let mut leaks = Vec::new();
        for record in &self.fitted {
            match record.leaks(self.table, self.partition) {
                Ok(found) => leaks.extend(found),
                Err(error) if error.kind() == crate::ErrorKind::Integrity => {
                    report.leaks.extend(leaks);
                    report.skip(LeakKind::FittedOnTest, error.message());
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        report.add(LeakKind::FittedOnTest, leaks);
        Ok(())
    }
}
