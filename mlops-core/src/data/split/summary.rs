//! What some rows are like: how many, of which classes, from when until when.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::data::cell::{Cell, cell};
use crate::data::moment::{Moment, Moments, moments};
use crate::data::{Column, DataType, Table, Values};
use crate::error::Result;

/// The most classes whose rows are counted.
const MAX_CLASSES: usize = 100;

/// What the rows of one part are like.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartSummary {
    /// How many rows.
    pub rows: usize,
    /// Their classes, where a column of classes is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<ClassCounts>,
    /// Their times, where a column of times is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<TimeRange>,
}

/// How many rows of each class.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassCounts {
    /// The column.
    pub column: String,
    /// Rows by class; only classes that occur. Empty when the whole table has more than 100.
    #[serde(default)]
    pub counts: BTreeMap<String, usize>,
    /// How many different classes occur.
    pub distinct: usize,
    /// How many rows have no class: missing.
    #[serde(default)]
    pub missing: usize,
}

/// From when until when.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeRange {
    /// The column.
    pub column: String,
    /// The first, as text: times by RFC 3339.
    pub first: String,
    /// The last.
    pub last: String,
}

/// A column, the class of each row, and what the classes are called.
type Classes<'t> = (&'t Column<'t>, Vec<Option<usize>>, Vec<String>);

/// Summarises rows of one table; what does not depend on the rows is computed once.
#[derive(Debug)]
pub(super) struct Summariser<'t> {
    classes: Option<Classes<'t>>,
    times: Option<(&'t Column<'t>, Moments)>,
}

impl<'t> Summariser<'t> {
    pub(super) fn new(
        operation: &'static str,
        table: &'t Table<'t>,
        classes: Option<&str>,
        times: Option<&str>,
    ) -> Result<Self> {
        let classes = classes.map(|name| table.column(name)).transpose()?;
        let times = times.map(|name| table.column(name)).transpose()?;
        let times = times.map(|column| moments(operation, "times", column).map(|m| (column, m)));
        Ok(Self {
            classes: classes.map(|column| {
                let (codes, labels) = coded(column);
                (column, codes, labels)
            }),
            times: times.transpose()?,
        })
    }

    pub(super) fn of(&self, rows: &[usize]) -> PartSummary {
        PartSummary { rows: rows.len(), classes: self.classes(rows), times: self.times(rows) }
    }

    fn classes(&self, rows: &[usize]) -> Option<ClassCounts> {
        let (column, codes, labels) = self.classes.as_ref()?;
        let (mut counts, mut missing) = (vec![0_usize; labels.len()], 0);
        for &row in rows {
            match codes[row] {
                Some(code) => counts[code] += 1,
                None => missing += 1,
            }
        }
        let present = counts.iter().zip(labels).filter(|(count, _)| **count > 0);
        let distinct = present.clone().count();
        let listed = labels.len() <= MAX_CLASSES;
        let counts = present.filter(|_| listed).map(|(count, label)| (label.clone(), *count)).collect();
        Some(ClassCounts { column: column.name().to_owned(), counts, distinct, missing })
    }

    fn times(&self, rows: &[usize]) -> Option<TimeRange> {
        let (column, moments) = self.times.as_ref()?;
        let (first, last) = match moments {
            Moments::Whole(moments) => ends(moments, rows),
            Moments::Real(moments) => ends(moments, rows),
        }?;
        let [first, last] = [first, last].map(|row| time_text(column, row));
        Some(TimeRange { column: column.name().to_owned(), first, last })
    }
}

/// The rows with the first and the last moment.
fn ends<T: Moment>(moments: &[T], rows: &[usize]) -> Option<(usize, usize)> {
    let first = rows.iter().copied().reduce(|a, b| if moments[b] < moments[a] { b } else { a })?;
    let last = rows.iter().copied().reduce(|a, b| if moments[b] > moments[a] { b } else { a })?;
    Some((first, last))
}

/// The columns of classes and of times by which parts are described: those that were named, else those of the method.
pub(super) fn described_by<'a>(
    named: (&'a Option<String>, &'a Option<String>),
    of_method: (Option<&'a String>, Option<&'a String>),
) -> (Option<&'a str>, Option<&'a str>) {
    let either = |named: &'a Option<String>, other| named.as_ref().or(other).map(String::as_str);
    (either(named.0, of_method.0), either(named.1, of_method.1))
}

/// A time beyond the calendar stays its number of microseconds.
fn time_text(column: &Column<'_>, row: usize) -> String {
    match (column.label(row), column.values()) {
        (Some(label), _) if !label.is_empty() => label.into_owned(),
        (_, Values::Time(micros)) => micros.get(row).map(i64::to_string).unwrap_or_default(),
        _ => String::new(),
    }
}

/// The class of each row, numbered in order of appearance, and what the numbers stand for. Missing has none.
fn coded(column: &Column<'_>) -> (Vec<Option<usize>>, Vec<String>) {
    let (mut seen, mut labels) = (HashMap::new(), Vec::new());
    let mut code = |row: usize| {
        let key = cell(column, row);
        if key == Cell::Missing {
            return None;
        }
        let next = seen.len();
        let code = *seen.entry(key).or_insert(next);
        if code == next {
            let zero = matches!(key, Cell::Float(0)) && column.data_type() != DataType::I64;
            labels.push(if zero { "0".to_owned() } else { time_text(column, row) });
        }
        Some(code)
    };
    ((0..column.len()).map(&mut code).collect(), labels)
}
