//! Expectations about a table, checked together: every failure is found, named and counted, not only the first.
//!
//! An expectation that cannot be checked fails: a column that is not there, a range on text. Only a malformed expectation
//! (a range upside down, a share above 1) is an error, and it is one before any row is read.
//!
//! Rows in [`Failure::rows`] count from 0, as everywhere in code; messages are for people and count data rows from 1.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::data::cell::{Cell, cell, row_digests, shown};
use crate::data::schema::type_name;
use crate::data::{Column, DataType, Range, Schema, Table, Values};
use crate::error::{Error, ErrorKind, Result, quote};

const OP: &str = "Expectations::new";

/// How many rows a failure lists.
const SAMPLE: usize = 20;

/// What a failure means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Reported; the table passes.
    Warning,
    /// The table does not pass. The default.
    #[default]
    Error,
}

/// What can be expected of a table.
///
/// Missing values are [`Rule::Present`]'s affair: every other rule on values looks at those that are there. NaN is a value.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case", deny_unknown_fields)]
pub enum Rule {
    /// The column is there and has this type.
    Type {
        /// The column.
        column: String,
        /// Its type.
        data_type: DataType,
    },
    /// At most a share of the column's values is missing.
    Present {
        /// The column.
        column: String,
        /// The largest share allowed, in \[0, 1\]; 0 allows none.
        #[serde(default)]
        max_missing: f64,
    },
    /// Every value lies in a range. For numbers and times (in microseconds); NaN lies in no range.
    Within {
        /// The column.
        column: String,
        /// The range.
        range: Range,
    },
    /// Every value reads as one of these texts.
    OneOf {
        /// The column.
        column: String,
        /// The texts allowed.
        values: Vec<String>,
    },
    /// No two rows are equal in all of these columns. A row with a missing value among them equals no other, as in SQL.
    Unique {
        /// The columns, together the key.
        columns: Vec<String>,
    },
    /// The number of rows.
    Rows {
        /// The smallest number allowed.
        #[serde(default)]
        min: usize,
        /// The largest number allowed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<usize>,
    },
    /// No value is NaN or infinite.
    Finite {
        /// The column.
        column: String,
    },
    /// At least two different values.
    NotConstant {
        /// The column.
        column: String,
    },
    /// There are no columns but these.
    NoOtherColumns {
        /// The columns allowed.
        columns: Vec<String>,
    },
}

impl Rule {
    /// The rule's name, as it is serialised.
    ///
    /// ```
    /// use mlops_core::data::Rule;
    /// assert_eq!(Rule::Finite { column: "age".into() }.name(), "finite");
    /// ```
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Type { .. } => "type",
            Self::Present { .. } => "present",
            Self::Within { .. } => "within",
            Self::OneOf { .. } => "one_of",
            Self::Unique { .. } => "unique",
            Self::Rows { .. } => "rows",
            Self::Finite { .. } => "finite",
            Self::NotConstant { .. } => "not_constant",
            Self::NoOtherColumns { .. } => "no_other_columns",
        }
    }

    /// The columns the rule is about; none for a rule about the table.
    pub fn columns(&self) -> &[String] {
        match self {
            Self::Type { column, .. }
            | Self::Present { column, .. }
            | Self::Within { column, .. }
            | Self::OneOf { column, .. }
            | Self::Finite { column }
            | Self::NotConstant { column } => std::slice::from_ref(column),
            Self::Unique { columns } => columns,
            Self::Rows { .. } | Self::NoOtherColumns { .. } => &[],
        }
    }

    fn check(&self) -> Result<()> {
        let fail = |field, message: String| Err(Error::invalid(OP, field, message).with("rule", self.name()));
        match self {
            Self::Present { max_missing, .. } if !(0.0..=1.0).contains(max_missing) => {
                fail("max_missing", format!("must lie in [0, 1], got {max_missing}"))
            }
            Self::OneOf { values, .. } if values.is_empty() => fail("values", "must not be empty".into()),
            Self::Unique { columns } | Self::NoOtherColumns { columns } if columns.is_empty() => {
                fail("columns", "must not be empty".into())
            }
            Self::Rows { min, max: Some(max) } if min > max => {
                fail("min", format!("must not be above the maximum: {min} > {max}"))
            }
            _ => Ok(()),
        }
    }
}

/// A rule and what its failure means.
///
/// ```
/// use mlops_core::data::{Expectation, Range, Severity};
///
/// let age = Expectation::within("age", Range::new(Some(0.0), Some(120.0))?);
/// assert_eq!(age.severity, Severity::Error);
/// let soft = Expectation::not_constant("age").warning();
/// assert_eq!(soft.severity, Severity::Warning);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// What is expected.
    #[serde(flatten)]
    pub rule: Rule,
    /// What a failure means.
    #[serde(default)]
    pub severity: Severity,
}

impl From<Rule> for Expectation {
    fn from(rule: Rule) -> Self {
        Self { rule, severity: Severity::Error }
    }
}

impl Expectation {
    /// The column is there and has this type.
    pub fn data_type(column: impl Into<String>, data_type: DataType) -> Self {
        Rule::Type { column: column.into(), data_type }.into()
    }

    /// No value is missing.
    pub fn present(column: impl Into<String>) -> Self {
        Self::mostly_present(column, 0.0)
    }

    /// At most the share `max_missing` of the values is missing.
    pub fn mostly_present(column: impl Into<String>, max_missing: f64) -> Self {
        Rule::Present { column: column.into(), max_missing }.into()
    }

    /// Every value lies in a range.
    pub fn within(column: impl Into<String>, range: Range) -> Self {
        Rule::Within { column: column.into(), range }.into()
    }

    /// Every value reads as one of these texts.
    pub fn one_of<S: Into<String>>(column: impl Into<String>, values: impl IntoIterator<Item = S>) -> Self {
        Rule::OneOf { column: column.into(), values: values.into_iter().map(Into::into).collect() }.into()
    }

    /// No two rows are equal in all of these columns.
    pub fn unique<S: Into<String>>(columns: impl IntoIterator<Item = S>) -> Self {
        Rule::Unique { columns: columns.into_iter().map(Into::into).collect() }.into()
    }

    /// At least `min` rows, and at most `max` where that is given.
    pub fn rows(min: usize, max: Option<usize>) -> Self {
        Rule::Rows { min, max }.into()
    }

    /// No value is NaN or infinite.
    pub fn finite(column: impl Into<String>) -> Self {
        Rule::Finite { column: column.into() }.into()
    }

    /// At least two different values.
    pub fn not_constant(column: impl Into<String>) -> Self {
        Rule::NotConstant { column: column.into() }.into()
    }

    /// There are no columns but these.
    pub fn no_other_columns<S: Into<String>>(columns: impl IntoIterator<Item = S>) -> Self {
        Rule::NoOtherColumns { columns: columns.into_iter().map(Into::into).collect() }.into()
    }

    /// The same, but a failure is only reported.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }
}

/// Expectations, checked together.
///
/// ```
/// use mlops_core::data::{Column, Expectation, Expectations, Table};
///
/// let table = Table::new(vec![
///     Column::i64("id", vec![1, 2, 2])?,
///     Column::f64("bmi", vec![32.1, f64::NAN, 21.6])?,
/// ])?;
/// let expected = Expectations::new(vec![Expectation::unique(["id"]), Expectation::finite("bmi")])?;
/// let report = expected.validate(&table);
/// assert!(!report.passed());
/// let messages: Vec<&str> = report.failures.iter().map(|f| f.message.as_str()).collect();
/// assert_eq!(messages, [
///     "column `id`: 1 row repeats an earlier one; first in row 3 (value 2)",
///     "column `bmi`: 1 value is not finite; first in row 2 (NaN)",
/// ]);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Expectation>", into = "Vec<Expectation>")]
pub struct Expectations(Vec<Expectation>);

impl From<Expectations> for Vec<Expectation> {
    fn from(expectations: Expectations) -> Self {
        expectations.0
    }
}

impl TryFrom<Vec<Expectation>> for Expectations {
    type Error = Error;

    fn try_from(expectations: Vec<Expectation>) -> Result<Self> {
        Self::new(expectations)
    }
}

impl Expectations {
    /// These expectations.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for none at all (nothing expected is nothing passed) and for a malformed rule: a share
    /// outside \[0, 1\], an empty list, a minimum above the maximum.
    pub fn new(expectations: Vec<Expectation>) -> Result<Self> {
        if expectations.is_empty() {
            return Err(Error::invalid(OP, "expectations", "must not be empty"));
        }
        expectations.iter().try_for_each(|e| e.rule.check())?;
        Ok(Self(expectations))
    }

    /// What a schema says: types, no missing values where they are not nullable, ranges and levels as errors; columns the
    /// schema does not know as a warning. Order is not checked: columns are found by name.
    ///
    /// ```
    /// use mlops_core::data::{Column, Expectations, Schema, Table};
    /// let train = Table::new(vec![Column::i64("age", vec![59])?])?;
    /// let serving = Table::new(vec![Column::f64("age", vec![59.0])?, Column::bool("new", vec![true])?])?;
    /// let report = Expectations::from_schema(&Schema::infer(&train)?).validate(&serving);
    /// assert_eq!(report.failures.len(), 2);
    /// assert_eq!(report.failures[0].message, "column `age`: is f64, expected i64");
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn from_schema(schema: &Schema) -> Self {
        let mut all = Vec::new();
        for field in schema.fields() {
            all.push(Expectation::data_type(&field.name, field.data_type));
            if !field.nullable {
                all.push(Expectation::present(&field.name));
            }
            all.extend(field.range.map(|range| Expectation::within(&field.name, range)));
            all.extend(field.levels.as_ref().map(|levels| Expectation::one_of(&field.name, levels)));
        }
        all.push(Expectation::no_other_columns(schema.fields().iter().map(|f| &f.name)).warning());
        Self(all)
    }

    /// The same and more.
    ///
    /// # Errors
    /// As [`Expectations::new`].
    pub fn with(mut self, more: impl IntoIterator<Item = Expectation>) -> Result<Self> {
        self.0.extend(more);
        Self::new(self.0)
    }

    /// The expectations, in order.
    pub fn as_slice(&self) -> &[Expectation] {
        &self.0
    }

    /// Checks every expectation and collects all failures, in the order of the expectations.
    ///
    /// O(rows) time for each rule; memory for each failure is bounded, [`Rule::Unique`] keeps 32 bytes a row.
    pub fn validate(&self, table: &Table<'_>) -> ValidationReport {
        let failure = |e: &Expectation| check(&e.rule, table).map(|f| f.into_failure(e));
        let failures = self.0.iter().filter_map(failure).collect();
        ValidationReport { schema_version: 1, rows: table.rows(), checked: self.0.len(), failures }
    }
}

/// One expectation that was not met.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The columns concerned; none for a rule about the table.
    pub columns: Vec<String>,
    /// The rule's name.
    pub rule: String,
    /// What the failure means.
    pub severity: Severity,
    /// How many values or rows failed; 0 when the rule is not about rows (a type, a missing column).
    pub failed: usize,
    /// The first rows that failed, at most 20, counted from 0.
    pub rows: Vec<usize>,
    /// What happened, in one sentence; rows counted from 1.
    pub message: String,
}

/// What came of checking a table.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValidationReport {
    /// The version of this report's shape: 1.
    pub schema_version: u32,
    /// How many rows the table has.
    pub rows: usize,
    /// How many expectations were checked.
    pub checked: usize,
    /// Those that were not met.
    pub failures: Vec<Failure>,
}

impl ValidationReport {
    /// Whether no failure is an error, and something was checked.
    pub fn passed(&self) -> bool {
        self.checked > 0 && self.failures.iter().all(|f| f.severity < Severity::Error)
    }

    /// Turns a report that did not pass into an error.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`] that gives the number of errors, and the first three in words.
    ///
    /// ```
    /// use mlops_core::data::{Column, Expectation, Expectations, Table};
    /// let table = Table::new(vec![Column::f64("age", vec![-1.0])?])?;
    /// let report = Expectations::new(vec![Expectation::not_constant("age")])?.validate(&table);
    /// assert_eq!(report.require_passed().unwrap_err().kind(), mlops_core::ErrorKind::Rejected);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn require_passed(&self) -> Result<()> {
        if self.passed() {
            return Ok(());
        }
        let errors = || self.failures.iter().filter(|f| f.severity == Severity::Error);
        let count = errors().count();
        let first: Vec<&str> = errors().take(3).map(|f| f.message.as_str()).collect();
        let more = if count > 3 { format!("; and {} more", count - 3) } else { String::new() };
        let message = format!("the data does not meet its expectations: {}{more}", first.join("; "));
        Err(Error::new(ErrorKind::Rejected, "ValidationReport::require_passed", message)
            .with("errors", count)
            .with("rows", self.rows))
    }
}

impl fmt::Display for ValidationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passed() { "passed" } else { "failed" };
        write!(f, "{verdict}: {} expectations, {} rows", self.checked, self.rows)?;
        for failure in &self.failures {
            let severity = if failure.severity == Severity::Error { "error" } else { "warning" };
            write!(f, "\n{severity}: {}", failure.message)?;
        }
        Ok(())
    }
}

/// A failure before it knows its expectation: how many, where, and the sentence.
#[derive(Debug)]
struct Found {
    failed: usize,
    rows: Vec<usize>,
    message: String,
}

impl Found {
    fn shape(message: String) -> Self {
        Self { failed: 0, rows: Vec::new(), message }
    }

    fn into_failure(self, expectation: &Expectation) -> Failure {
        Failure {
            columns: expectation.rule.columns().to_vec(),
            rule: expectation.rule.name().to_owned(),
            severity: expectation.severity,
            failed: self.failed,
            rows: self.rows,
            message: self.message,
        }
    }
}

/// Counts rows and keeps the first of them.
#[derive(Default)]
struct Tally {
    failed: usize,
    rows: Vec<usize>,
}

impl FromIterator<usize> for Tally {
    fn from_iter<I: IntoIterator<Item = usize>>(rows: I) -> Self {
        let mut tally = Self::default();
        for row in rows {
            tally.failed += 1;
            if tally.rows.len() < SAMPLE {
                tally.rows.push(row);
            }
        }
        tally
    }
}

impl Tally {
    /// `None` when nothing failed; else the sentence made of the count and the first row.
    fn found(self, message: impl FnOnce(usize, usize) -> String) -> Option<Found> {
        let first = *self.rows.first()?;
        Some(Found { message: message(self.failed, first), failed: self.failed, rows: self.rows })
    }
}

fn check(rule: &Rule, table: &Table<'_>) -> Option<Found> {
    if let Some(name) = rule.columns().iter().find(|name| table.get(name).is_none()) {
        return Some(Found::shape(format!("column `{}`: there is no such column", quote(name))));
    }
    // The first column of a rule about columns is there by now.
    let column = rule.columns().first().and_then(|name| table.get(name));
    match (rule, column) {
        (Rule::Type { data_type, .. }, Some(column)) => check_type(column, *data_type),
        (Rule::Present { max_missing, .. }, Some(column)) => check_present(column, *max_missing),
        (Rule::Within { range, .. }, Some(column)) => check_within(column, *range),
        (Rule::OneOf { values, .. }, Some(column)) => check_one_of(column, values),
        (Rule::Finite { .. }, Some(column)) => check_finite(column),
        (Rule::NotConstant { .. }, Some(column)) => check_not_constant(column),
        (Rule::Unique { columns }, _) => check_unique(table, columns),
        (Rule::Rows { min, max }, _) => check_rows(table, *min, *max),
        (Rule::NoOtherColumns { columns }, _) => check_no_others(table, columns),
        (_, None) => Some(Found::shape(format!("rule {}: names no column", rule.name()))),
    }
}

fn check_type(column: &Column<'_>, expected: DataType) -> Option<Found> {
    let found = column.data_type();
    let message = || format!("{}: is {}, expected {}", named(column), type_name(found), type_name(expected));
    (found != expected).then(|| Found::shape(message()))
}

fn check_present(column: &Column<'_>, max_missing: f64) -> Option<Found> {
    let tally: Tally = (0..column.len()).filter(|&row| !column.is_valid(row)).collect();
    let share = tally.failed as f64 / column.len().max(1) as f64;
    if share <= max_missing {
        return None;
    }
    let rows = column.len();
    tally.found(|count, first| {
        let allowed = if max_missing == 0.0 {
            String::new()
        } else {
            format!(", at most {max_missing} of them may be")
        };
        let verb = if count == 1 { "is" } else { "are" };
        format!(
            "{}: {count} of {rows} values {verb} missing{allowed}; first in row {}",
            named(column),
            first + 1
        )
    })
}

fn check_within(column: &Column<'_>, range: Range) -> Option<Found> {
    let ordered = column.data_type().is_numeric() || column.data_type() == DataType::Time;
    let (true, Ok(values)) = (ordered, column.to_f64()) else {
        let message = format!("{}: is {} and has no range", named(column), type_name(column.data_type()));
        return Some(Found::shape(message));
    };
    let outside = |&row: &usize| column.is_valid(row) && !range.contains(values[row]);
    let tally: Tally = (0..column.len()).filter(outside).collect();
    tally.found(|count, first| sentence(column, count, ["lies", "lie"], &format!("outside {range}"), first))
}

fn check_one_of(column: &Column<'_>, values: &[String]) -> Option<Found> {
    let allowed: HashSet<&str> = values.iter().map(String::as_str).collect();
    let known: Box<dyn Fn(usize) -> bool> = match column.values() {
        // Each level is looked up once, not each row.
        Values::Category { codes, levels } => {
            let known: Vec<bool> = levels.iter().map(|level| allowed.contains(level.as_str())).collect();
            Box::new(move |row| usize::try_from(codes[row]).is_ok_and(|code| known[code]))
        }
        _ => Box::new(|row| column.label(row).is_some_and(|label| allowed.contains(label.as_ref()))),
    };
    let tally: Tally = (0..column.len()).filter(|&row| column.is_valid(row) && !known(row)).collect();
    let what = format!("none of the {} allowed", allowed.len());
    tally.found(|count, first| sentence(column, count, ["is", "are"], &what, first))
}

fn check_finite(column: &Column<'_>) -> Option<Found> {
    let finite: Box<dyn Fn(usize) -> bool> = match column.values() {
        Values::F64(v) => Box::new(|row| v[row].is_finite()),
        Values::F32(v) => Box::new(|row| v[row].is_finite()),
        Values::I64(_) | Values::Time(_) | Values::Bool(_) => return None,
        Values::Category { .. } => {
            return Some(Found::shape(format!("{}: is category and holds no numbers", named(column))));
        }
    };
    let tally: Tally = (0..column.len()).filter(|&row| column.is_valid(row) && !finite(row)).collect();
    tally.found(|count, first| sentence(column, count, ["is", "are"], "not finite", first))
}

fn check_not_constant(column: &Column<'_>) -> Option<Found> {
    let mut present = (0..column.len()).filter(|&row| column.is_valid(row));
    let Some(first) = present.next() else {
        return Some(Found::shape(format!("{}: has no value", named(column))));
    };
    let value = cell(column, first);
    if present.any(|row| cell(column, row) != value) {
        return None;
    }
    let message = format!("{}: every value is {}", named(column), shown(column, first));
    Some(Found::shape(message))
}

fn check_unique(table: &Table<'_>, columns: &[String]) -> Option<Found> {
    let Ok(keys) = table.select(columns) else {
        return Some(Found::shape(format!("{}: the key names one twice", list(columns))));
    };
    let digests = row_digests(&keys);
    let whole = |row: &usize| keys.columns().iter().all(|column| cell(column, *row) != Cell::Missing);
    let mut seen = HashSet::with_capacity(digests.len());
    let repeats = |&row: &usize| !seen.insert(digests[row]);
    let tally: Tally = (0..keys.rows()).filter(whole).filter(repeats).collect();
    tally.found(|count, first| {
        let (subject, verb) = if count == 1 { ("row", "repeats") } else { ("rows", "repeat") };
        let values: Vec<String> = keys.columns().iter().map(|column| shown(column, first)).collect();
        let (columns, values) = (list(columns), values.join(", "));
        format!(
            "{columns}: {count} {subject} {verb} an earlier one; first in row {} (value {values})",
            first + 1
        )
    })
}

fn check_rows(table: &Table<'_>, min: usize, max: Option<usize>) -> Option<Found> {
    let rows = table.rows();
    if rows >= min && max.is_none_or(|max| rows <= max) {
        return None;
    }
    let expected = max.map_or_else(|| format!("at least {min}"), |max| format!("{min} to {max}"));
    Some(Found::shape(format!("the table has {rows} rows, expected {expected}")))
}

fn check_no_others(table: &Table<'_>, columns: &[String]) -> Option<Found> {
    let known: HashSet<&str> = columns.iter().map(String::as_str).collect();
    let others: Vec<String> = table.names().filter(|name| !known.contains(name)).map(str::to_owned).collect();
    if others.is_empty() {
        return None;
    }
    Some(Found::shape(format!("{}: not expected", list(&others))))
}

fn named(column: &Column<'_>) -> String {
    format!("column `{}`", quote(column.name()))
}

/// The names, at most five of them.
fn list(columns: &[String]) -> String {
    let names: Vec<String> = columns.iter().take(5).map(|name| format!("`{}`", quote(name))).collect();
    let noun = if columns.len() == 1 { "column" } else { "columns" };
    let more = if columns.len() > 5 { format!(" and {} more", columns.len() - 5) } else { String::new() };
    format!("{noun} {}{more}", names.join(", "))
}

fn sentence(column: &Column<'_>, count: usize, verb: [&str; 2], what: &str, first: usize) -> String {
    let (subject, verb) = if count == 1 { ("value", verb[0]) } else { ("values", verb[1]) };
    let value = shown(column, first);
    format!("{}: {count} {subject} {verb} {what}; first in row {} ({value})", named(column), first + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Field, Validity};

    fn table() -> Table<'static> {
        let bmi = Values::F64(vec![32.1, f64::NAN, f64::INFINITY, -4.0].into());
        Table::new(vec![
            Column::i64("id", vec![1, 2, 2, 2]).unwrap(),
            Column::new("bmi", bmi, Some(Validity::from_bools(&[true, true, true, false]))).unwrap(),
            Column::optional_text("sex", [Some("f"), None, Some("x\n"), Some("f")]).unwrap(),
            Column::bool("site", vec![true; 4]).unwrap(),
            Column::f64("group", vec![0.0, -0.0, 0.0, 1.0]).unwrap(),
        ])
        .unwrap()
    }

    fn only(expectation: Expectation) -> Option<Failure> {
        let report = Expectations::new(vec![expectation]).unwrap().validate(&table());
        assert_eq!(report.checked, 1);
        report.failures.into_iter().next()
    }

    #[test]
    fn every_rule_finds_what_it_is_for() {
        let adult = Range::new(Some(18.5), Some(40.0)).unwrap();
        for (expectation, failed, rows, message) in [
            (Expectation::data_type("id", DataType::F64), 0, vec![], "column `id`: is i64, expected f64"),
            (
                Expectation::present("sex"),
                1,
                vec![1],
                "column `sex`: 1 of 4 values is missing; first in row 2",
            ),
            (
                Expectation::mostly_present("sex", 0.2),
                1,
                vec![1],
                "column `sex`: 1 of 4 values is missing, at most 0.2 of them may be; first in row 2",
            ),
            (
                Expectation::within("bmi", adult),
                2,
                vec![1, 2],
                "column `bmi`: 2 values lie outside [18.5, 40]; first in row 2 (NaN)",
            ),
            (
                Expectation::one_of("sex", ["f", "m"]),
                1,
                vec![2],
                r#"column `sex`: 1 value is none of the 2 allowed; first in row 3 ("x\n")"#,
            ),
            (
                Expectation::one_of("id", ["1"]),
                3,
                vec![1, 2, 3],
                "column `id`: 3 values are none of the 1 allowed; first in row 2 (2)",
            ),
            (
                Expectation::unique(["id"]),
                2,
                vec![2, 3],
                "column `id`: 2 rows repeat an earlier one; first in row 3 (value 2)",
            ),
            (
                Expectation::unique(["site", "group"]),
                2,
                vec![1, 2],
                "columns `site`, `group`: 2 rows repeat an earlier one; first in row 2 (value true, -0)",
            ),
            (Expectation::rows(5, None), 0, vec![], "the table has 4 rows, expected at least 5"),
            (Expectation::rows(1, Some(3)), 0, vec![], "the table has 4 rows, expected 1 to 3"),
            (
                Expectation::finite("bmi"),
                2,
                vec![1, 2],
                "column `bmi`: 2 values are not finite; first in row 2 (NaN)",
            ),
            (Expectation::not_constant("site"), 0, vec![], "column `site`: every value is true"),
            (
                Expectation::no_other_columns(["id", "bmi", "sex"]),
                0,
                vec![],
                "columns `site`, `group`: not expected",
            ),
            // What cannot be checked fails.
            (Expectation::finite("age"), 0, vec![], "column `age`: there is no such column"),
            (Expectation::unique(["id", "age"]), 0, vec![], "column `age`: there is no such column"),
            (Expectation::unique(["id", "id"]), 0, vec![], "columns `id`, `id`: the key names one twice"),
            (Expectation::within("sex", adult), 0, vec![], "column `sex`: is category and has no range"),
            (Expectation::within("site", adult), 0, vec![], "column `site`: is bool and has no range"),
            (Expectation::finite("sex"), 0, vec![], "column `sex`: is category and holds no numbers"),
        ] {
            let failure = only(expectation.clone()).unwrap_or_else(|| panic!("{expectation:?} passed"));
            assert_eq!((failure.failed, &failure.rows), (failed, &rows), "{}", failure.message);
            assert_eq!(failure.message, message);
            assert_eq!(failure.rule, expectation.rule.name());
        }
    }

    #[test]
    fn what_holds_passes() {
        for expectation in [
            Expectation::data_type("id", DataType::I64),
            Expectation::present("id"),
            Expectation::mostly_present("sex", 0.25),
            Expectation::within("id", Range::new(Some(1.0), Some(2.0)).unwrap()),
            Expectation::one_of("site", ["true"]),
            // A missing value in the key equals nothing.
            Expectation::unique(["bmi"]),
            Expectation::unique(["id", "bmi"]),
            Expectation::rows(4, Some(4)),
            Expectation::finite("id"),
            Expectation::not_constant("group"),
            Expectation::no_other_columns(["id", "bmi", "sex", "site", "group"]),
        ] {
            assert_eq!(only(expectation), None);
        }
    }

    #[test]
    fn missing_ids_are_no_duplicates_but_nan_is() {
        let ids = Column::optional_text("id", [None::<&str>, None]).unwrap();
        let nan = Column::f64("x", vec![f64::NAN, -f64::NAN]).unwrap();
        let table = Table::new(vec![ids, nan]).unwrap();
        let check = |name: &str| {
            Expectations::new(vec![Expectation::unique([name])]).unwrap().validate(&table).failures.len()
        };
        assert_eq!((check("id"), check("x")), (0, 1));
    }

    #[test]
    fn an_empty_or_all_missing_column_is_not_varied() {
        for table in [
            Table::new(vec![Column::f64("x", vec![]).unwrap()]).unwrap(),
            Table::new(vec![Column::optional_text("x", [None::<&str>]).unwrap()]).unwrap(),
        ] {
            let expected = Expectations::new(vec![Expectation::not_constant("x")]).unwrap();
            assert_eq!(expected.validate(&table).failures[0].message, "column `x`: has no value");
        }
    }

    #[test]
    fn the_sample_is_bounded_and_the_count_is_not() {
        let table = Table::new(vec![Column::f64("x", vec![f64::NAN; 1_000]).unwrap()]).unwrap();
        let report = Expectations::new(vec![Expectation::finite("x")]).unwrap().validate(&table);
        assert_eq!((report.failures[0].failed, report.failures[0].rows.len()), (1_000, 20));
    }

    #[test]
    fn warnings_pass_and_errors_do_not() {
        let warning = Expectation::present("sex").warning();
        let report = Expectations::new(vec![warning.clone()]).unwrap().validate(&table());
        assert!(report.passed() && report.failures.len() == 1 && report.require_passed().is_ok());
        let both = Expectations::new(vec![warning, Expectation::finite("bmi")]).unwrap().validate(&table());
        let error = both.require_passed().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected);
        assert!(error.message().contains("`bmi`") && !error.message().contains("`sex`"), "{error}");
        assert!(both.to_string().contains("\nwarning: column `sex`"));
    }

    #[test]
    fn malformed_expectations_are_refused_also_when_read() {
        for bad in [
            Expectation::mostly_present("x", 1.5),
            Expectation::mostly_present("x", f64::NAN),
            Expectation::one_of("x", Vec::<String>::new()),
            Expectation::unique(Vec::<String>::new()),
            Expectation::no_other_columns(Vec::<String>::new()),
            Expectation::rows(2, Some(1)),
        ] {
            let text = serde_json::to_string(&vec![bad.clone()]).unwrap();
            assert_eq!(Expectations::new(vec![bad]).unwrap_err().kind(), ErrorKind::InvalidInput);
            assert!(serde_json::from_str::<Expectations>(&text).is_err(), "{text}");
        }
        assert!(Expectations::new(vec![]).is_err());
        assert!(serde_json::from_str::<Expectations>("[]").is_err());
        for text in [
            r#"[{"rule":"finite","column":"x","severity":"fatal"}]"#,
            r#"[{"rule":"finite","column":"x","colunm":"y"}]"#,
            r#"[{"rule":"finit","column":"x"}]"#,
        ] {
            assert!(serde_json::from_str::<Expectations>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn expectations_and_reports_survive_serialisation() {
        let range = Range::new(Some(0.0), None).unwrap();
        let all = Expectations::new(vec![
            Expectation::within("bmi", range).warning(),
            Expectation::unique(["id", "sex"]),
            Expectation::rows(1, None),
        ])
        .unwrap();
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<Expectations>(&text).unwrap(), all);
        let report = all.validate(&table());
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<ValidationReport>(&text).unwrap(), report);
        let toml = "[[expect]]\nrule = \"within\"\ncolumn = \"age\"\nrange = { min = 0.0 }\nseverity = \"warning\"\n";
        let read: std::collections::HashMap<String, Expectations> = toml::from_str(toml).unwrap();
        assert_eq!(read["expect"].as_slice()[0], Expectation::within("age", range).warning());
    }

    #[test]
    fn a_schema_expects_what_it_says() {
        let range = Range::new(Some(0.0), Some(1.0)).unwrap();
        let schema = Schema::new(vec![
            Field::new("p", DataType::F64).with_range(range),
            Field::new("c", DataType::Category).with_nullable(true).with_levels(["a"]),
        ])
        .unwrap();
        let good = Table::new(vec![
            Column::optional_text("c", [Some("a"), None]).unwrap(),
            Column::f64("p", vec![0.5, 1.0]).unwrap(),
        ])
        .unwrap();
        let expected = Expectations::from_schema(&schema);
        assert!(expected.validate(&good).failures.is_empty());
        let bad = Table::new(vec![
            Column::optional_text("c", [Some("b")]).unwrap(),
            Column::new("p", Values::F64(vec![2.0].into()), Some(Validity::from_bools(&[false]))).unwrap(),
        ])
        .unwrap();
        let rules: Vec<String> = expected.validate(&bad).failures.into_iter().map(|f| f.rule).collect();
        assert_eq!(rules, ["present", "one_of"]);
    }
}
