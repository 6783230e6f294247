//! The statements.

use std::fmt::Write as _;

use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::Dialect;
use super::exact::Candidates;
use crate::profile::{ColumnCells, Grid, Reference, ReferenceColumn};

/// What a statement reads from: a table, or a piece of SQL of the caller's.
///
/// ```
/// use mlops_drift::sql::{Dialect, Source};
///
/// let source = Source::table(Dialect::TSql, &["dbo", "events"])?.with_trusted_filter("[day] = '2026-01-05'");
/// assert_eq!(source.to_string(), "[dbo].[events] WHERE [day] = '2026-01-05'");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    from: String,
    filter: Option<String>,
}

impl Source {
    /// A table by the parts of its name, quoted.
    ///
    /// # Errors
    /// [`InvalidInput`](mlops_core::ErrorKind::InvalidInput) without a part and as [`Dialect::identifier`].
    pub fn table(dialect: Dialect, name: &[&str]) -> Result<Self> {
        if name.is_empty() {
            return Err(Error::invalid("Source::table", "name", "needs at least one part"));
        }
        let parts = name.iter().map(|part| dialect.identifier(part)).collect::<Result<Vec<_>>>()?;
        Ok(Self::trusted(parts.join(".")))
    }

    /// Whatever may follow `FROM`: `read_parquet('…')`, a subquery with an alias. It is code, and becomes part of the statement
    /// as it is; never build it from what strangers send, but with [`Dialect::identifier`] and [`Dialect::literal`].
    pub fn trusted(from: impl Into<String>) -> Self {
        Self { from: from.into(), filter: None }
    }

    /// Only the rows for which a condition holds. It is code, as in [`Self::trusted`].
    #[must_use]
    pub fn with_trusted_filter(mut self, condition: impl Into<String>) -> Self {
        self.filter = Some(condition.into());
        self
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.from)?;
        self.filter.as_ref().map_or(Ok(()), |filter| write!(f, " WHERE {filter}"))
    }
}

/// How one statement speaks about many columns.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// `UNION ALL` of one aggregation a column: each reads its own column and nothing else, so that columnar storage (Parquet,
    /// Delta, Iceberg) is read once in all. The default.
    #[default]
    Union,
    /// `GROUPING SETS`: one scan of the source, for sources that are rows or that are computed.
    GroupingSets,
}

/// The statement that counts a source on the cells of a reference: all columns in one pass, with rows of
/// `mlops_column` (index in the reference), `mlops_cell` (index in the [`Grid`]; `NULL` for text), `mlops_label` (the text;
/// `NULL` for numbers and missing text), `mlops_count`. [`read_counts`](super::read_counts) reads them.
///
/// A column of numbers gives at most as many rows as it has cells, a column of text as many as it has different texts.
///
/// # Errors
/// [`InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a column name that no identifier can hold.
///
/// # Example
/// ```
/// use mlops_core::data::{Column, Table};
/// use mlops_drift::profile::Reference;
/// use mlops_drift::sql::{Dialect, Layout, Source, count_statement};
///
/// let table = Table::new(vec![Column::i64("n", vec![0, 1, 2, 3])?])?;
/// let reference = Reference::fit(&table)?;
/// let source = Source::table(Dialect::DuckDb, &["events"])?;
/// let sql = count_statement(&reference, Dialect::DuckDb, &source, Layout::Union)?;
/// assert!(sql.contains(r#"CAST("n" AS DOUBLE)"#) && sql.contains(r#"FROM "events""#), "{sql}");
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub fn count_statement(
    reference: &Reference,
    dialect: Dialect,
    source: &Source,
    layout: Layout,
) -> Result<String> {
    match layout {
        Layout::Union => {
            let parts = reference.columns().iter().enumerate();
            let parts = parts.map(|(i, column)| count_one(i, column, dialect, source));
            Ok(parts.collect::<Result<Vec<_>>>()?.join("\nUNION ALL\n"))
        }
        Layout::GroupingSets => grouping_sets(reference, dialect, source),
    }
}

fn count_one(index: usize, column: &ReferenceColumn, dialect: Dialect, source: &Source) -> Result<String> {
    let (value, count) = (Expression::new(column, dialect)?, dialect.count());
    let (integer, text) = (dialect.integer(), dialect.text());
    Ok(match column.cells() {
        ColumnCells::Numeric { grid, .. } => {
            let cell = cell(grid, dialect, "x");
            format!(
                "SELECT {index} AS mlops_column, c AS mlops_cell, CAST(NULL AS {text}) AS mlops_label, {count} AS mlops_count\n\
                 FROM (SELECT {cell} AS c FROM (SELECT {} AS x FROM {source}) AS a) AS b GROUP BY c",
                value.value
            )
        }
        ColumnCells::Category { .. } => {
            let (extra, group) = match &value.length {
                Some(length) => (format!(", {length} AS y"), "x, y"),
                None => (String::new(), "x"),
            };
            format!(
                "SELECT {index} AS mlops_column, CAST(NULL AS {integer}) AS mlops_cell, x AS mlops_label, {count} AS mlops_count\n\
                 FROM (SELECT {} AS x{extra} FROM {source}) AS a GROUP BY {group}",
                value.value
            )
        }
    })
}

fn grouping_sets(reference: &Reference, dialect: Dialect, source: &Source) -> Result<String> {
    let (mut values, mut cells, mut sets) = (Vec::new(), Vec::new(), Vec::new());
    let (mut which, mut cell_of, mut label_of) = (String::new(), String::new(), String::new());
    for (i, column) in reference.columns().iter().enumerate() {
        let value = Expression::new(column, dialect)?;
        values.push(format!("{} AS x{i}", value.value));
        // Writing to a string cannot fail.
        let _ = write!(which, " WHEN GROUPING(c{i}) = 0 THEN {i}");
        match column.cells() {
            ColumnCells::Numeric { grid, .. } => {
                cells.push(format!("{} AS c{i}", cell(grid, dialect, &format!("x{i}"))));
                let _ = write!(cell_of, " WHEN GROUPING(c{i}) = 0 THEN c{i}");
                sets.push(format!("(c{i})"));
            }
            ColumnCells::Category { .. } => {
                cells.push(format!("x{i} AS c{i}"));
                let _ = write!(label_of, " WHEN GROUPING(c{i}) = 0 THEN c{i}");
                match value.length {
                    Some(length) => {
                        values.push(format!("{length} AS y{i}"));
                        cells.push(format!("y{i}"));
                        sets.push(format!("(c{i}, y{i})"));
                    }
                    None => sets.push(format!("(c{i})")),
                }
            }
        }
    }
    let choose = |cases: &str, of: &str| match cases {
        "" => format!("CAST(NULL AS {of})"),
        cases => format!("CASE{cases} END"),
    };
    Ok(format!(
        "SELECT CASE{which} END AS mlops_column, {} AS mlops_cell, {} AS mlops_label, {} AS mlops_count\n\
         FROM (SELECT {} FROM (SELECT {} FROM {source}) AS a) AS b\nGROUP BY GROUPING SETS ({})",
        choose(&cell_of, dialect.integer()),
        choose(&label_of, dialect.text()),
        dialect.count(),
        cells.join(", "),
        values.join(", "),
        sets.join(", ")
    ))
}

/// The statement that fetches how often each value occurs in the cells that can still hold the Kolmogorov–Smirnov maximum, with rows
/// of `mlops_column`, `mlops_value`, `mlops_count`; `None` when no cell can. Run it on both sides;
/// [`read_values`](super::read_values) reads the rows.
///
/// # Errors
/// As [`count_statement`].
///
/// ```
/// use mlops_core::data::{Column, Table};
/// use mlops_drift::profile::Reference;
/// use mlops_drift::sql::{Candidates, Dialect, Source, value_statement};
///
/// let table = Table::new(vec![Column::f64("x", (0..100).map(f64::from).collect::<Vec<f64>>())?])?;
/// let reference = Reference::fit(&table)?;
/// let candidates = Candidates::new(&reference, reference.baseline(), reference.baseline())?;
/// let source = Source::table(Dialect::Spark, &["events"])?;
/// let sql = value_statement(&reference, &candidates, Dialect::Spark, &source)?;
/// assert!(sql.is_some_and(|sql| sql.contains("BETWEEN")));
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub fn value_statement(
    reference: &Reference,
    candidates: &Candidates,
    dialect: Dialect,
    source: &Source,
) -> Result<Option<String>> {
    candidates.belong_to(reference)?;
    let mut parts = Vec::new();
    for (i, column) in reference.columns().iter().enumerate() {
        let (ranges, Some(grid)) = (candidates.of(i), column.grid()) else { continue };
        if ranges.is_empty() {
            continue;
        }
        let (value, cell, count) =
            (Expression::new(column, dialect)?.value, cell(grid, dialect, "x"), dialect.count());
        let wanted: Vec<String> =
            ranges.iter().map(|(first, last)| format!("c BETWEEN {first} AND {last}")).collect();
        parts.push(format!(
            "SELECT {i} AS mlops_column, x AS mlops_value, {count} AS mlops_count\n\
             FROM (SELECT x, {cell} AS c FROM (SELECT {value} AS x FROM {source}) AS a) AS b\n\
             WHERE {} GROUP BY x",
            wanted.join(" OR ")
        ));
    }
    Ok((!parts.is_empty()).then(|| parts.join("\nUNION ALL\n")))
}

/// A column as the value that is grouped by.
struct Expression {
    value: String,
    /// What else tells texts apart: SQL Server ignores blanks at the end.
    length: Option<String>,
}

impl Expression {
    fn new(column: &ReferenceColumn, dialect: Dialect) -> Result<Self> {
        let name = dialect.identifier(column.name()).map_err(|e| e.with("column", column.name()))?;
        Ok(match (column.cells(), dialect) {
            (ColumnCells::Numeric { .. }, _) => {
                Self { value: dialect.as_double(&name, column.data_type()), length: None }
            }
            (ColumnCells::Category { .. }, Dialect::TSql) => {
                let text = format!("CAST({name} AS {})", dialect.text());
                let length = Some(format!("DATALENGTH({text})"));
                // Collations of the server's own take upper and lower case, and more, for the same.
                Self { value: format!("{text} COLLATE Latin1_General_100_BIN2"), length }
            }
            (ColumnCells::Category { .. }, _) => {
                Self { value: format!("CAST({name} AS {})", dialect.text()), length: None }
            }
        })
    }
}

/// The index of the count of the double `x`: [`Grid::index_of`] in SQL.
fn cell(grid: &Grid, dialect: Dialect, x: &str) -> String {
    let (low, high, scale) =
        (dialect.number(grid.low()), dialect.number(grid.high()), dialect.number(grid.scale()));
    let nan = dialect.is_nan(x).map_or(String::new(), |is_nan| format!(" WHEN {is_nan} THEN {}", grid.nan()));
    format!(
        "CASE WHEN {x} IS NULL THEN {}{nan} WHEN {} THEN 0 WHEN {x} >= {high} THEN {} \
         ELSE CAST(FLOOR(({x} - {low}) * {scale}) AS {}) + 1 END",
        grid.absent(),
        dialect.below(x, grid.low()),
        grid.overflow(),
        dialect.integer()
    )
}
