//! Result rows become a profile.

use mlops_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::profile::{ColumnCells, ColumnProfile, NumericProfile, Profile, Reference};

/// One row of the result of [`count_statement`](super::count_statement). Deserialises from the statement's own column names.
///
/// ```
/// let row: mlops_drift::sql::CountRow =
///     serde_json::from_str(r#"{"mlops_column":0,"mlops_cell":17,"mlops_label":null,"mlops_count":3}"#)?;
/// assert_eq!((row.cell, row.count), (Some(17), 3));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CountRow {
    /// The index of the column in the reference.
    #[serde(rename = "mlops_column")]
    pub column: usize,
    /// The index in the grid of a column of numbers.
    #[serde(rename = "mlops_cell")]
    pub cell: Option<usize>,
    /// The text of a column of text; `None` where it is missing.
    #[serde(rename = "mlops_label")]
    pub label: Option<String>,
    /// How many rows there are.
    #[serde(rename = "mlops_count")]
    pub count: u64,
}

/// The profile that the rows of a result describe: the same that counting the source here would have given, but for what cells
/// of numbers do not tell (extremes, moments, distinct counts). It merges with every profile of the reference.
///
/// # Errors
/// [`InvalidInput`](ErrorKind::InvalidInput) for a column or a cell that the reference does not have, a cell or a text given
/// twice, a text for numbers; [`Conflict`](ErrorKind::Conflict) when the columns do not have equally many rows, because rows
/// are missing or the source changed during the statement; [`LimitExceeded`](ErrorKind::LimitExceeded) beyond 2⁶² rows.
///
/// ```
/// use mlops_core::data::{Column, Table};
/// use mlops_drift::profile::Reference;
/// use mlops_drift::sql::{CountRow, read_counts};
///
/// let reference = Reference::fit(&Table::new(vec![Column::text("plan", ["basic", "plus"])?])?)?;
/// let row = |label: Option<&str>, count| CountRow { column: 0, cell: None, label: label.map(str::to_owned), count };
/// let profile = read_counts(&reference, [row(Some("basic"), 5), row(Some("new"), 2), row(None, 1)])?;
/// assert_eq!(reference.bin_counts(&profile, "plan")?, [5, 0, 2, 1]);
/// assert!(read_counts(&reference, [row(None, 1), row(None, 1)]).is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub fn read_counts(reference: &Reference, rows: impl IntoIterator<Item = CountRow>) -> Result<Profile> {
    let mut columns = reference.empty_profile()?.into_columns();
    let mut seen = std::collections::HashSet::new();
    let mut totals = vec![0_u64; columns.len()];
    for row in rows {
        let (Some(profile), Some(column)) =
            (columns.get_mut(row.column), reference.columns().get(row.column))
        else {
            return Err(refused("column", format!("{} is not one of the reference's", row.column)));
        };
        let named = |error: Error| error.with("column", column.name());
        let total = &mut totals[row.column];
        *total =
            total.checked_add(row.count).filter(|&total| total <= Profile::MAX_ROWS).ok_or_else(|| {
                named(Error::limit("read_counts", "the rows of a profile", Profile::MAX_ROWS, "more"))
            })?;
        match (profile, column.cells()) {
            (ColumnProfile::Numeric(profile), ColumnCells::Numeric { .. }) => {
                count_cell(profile, &row).map_err(named)?;
            }
            (ColumnProfile::Category(profile), ColumnCells::Category { bins }) => {
                if row.cell.is_some() {
                    return Err(named(refused("cell", "is given for a column of text".to_owned())));
                }
                if !seen.insert((row.column, row.label.clone())) {
                    return Err(named(refused("label", "is given twice".to_owned())));
                }
                profile.push(bins, row.label.as_deref(), row.count);
            }
            _ => return Err(named(refused("column", "is of another type".to_owned()))),
        }
    }
    let rows = totals.first().copied().unwrap_or(0);
    if let Some(index) = totals.iter().position(|&total| total != rows) {
        let message = "the columns do not have equally many rows";
        return Err(Error::new(ErrorKind::Conflict, "read_counts", message)
            .with("column", reference.columns()[index].name())
            .with("rows", totals[index])
            .with("first", rows));
    }
    Ok(reference.counted(rows, columns))
}

fn count_cell(profile: &mut NumericProfile, row: &CountRow) -> Result<()> {
    if row.label.is_some() {
        return Err(refused("label", "is given for a column of numbers".to_owned()));
    }
    let Some(cell) = row.cell.and_then(|cell| profile.cell_mut(cell)) else {
        return Err(refused("cell", format!("{:?} is not one of the grid's", row.cell)));
    };
    if *cell > 0 {
        return Err(refused("cell", format!("{:?} is given twice", row.cell)));
    }
    *cell = row.count;
    Ok(())
}

fn refused(field: &'static str, message: String) -> Error {
    Error::invalid("read_counts", field, message)
}
