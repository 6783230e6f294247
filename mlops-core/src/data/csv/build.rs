//! Columns from records.

use std::collections::HashMap;

use crate::data::number::{Zeros, boolean, described, float, integer, time};
use crate::data::unreadable::{Marks, Unreadable};
use crate::data::{Column, DataType, Table, Validity, Values};
use crate::error::{Error, Result, quote};

use super::OP;
use super::header::Kept;
use super::records::{At, Records};

/// Collects the rows of a table.
#[derive(Debug)]
pub(super) struct Builders {
    columns: Vec<Builder>,
    rows: usize,
    /// Where something could not be read; none where that is an error.
    marks: Option<Marks>,
}

impl Builders {
    /// Room for so many rows of columns of these types.
    pub(super) fn new(types: &[DataType], rows: usize) -> Self {
        Self { columns: types.iter().map(|ty| Builder::new(*ty, rows)).collect(), rows: 0, marks: None }
    }

    /// The same, but what cannot be read is set aside.
    pub(super) fn tolerant(types: &[DataType], rows: usize) -> Self {
        Self { marks: Some(Marks::default()), ..Self::new(types, rows) }
    }

    /// Adds the record read last.
    pub(super) fn push(
        &mut self,
        records: &Records<'_>,
        at: At,
        names: &[String],
        kept: &Kept,
        types: &[DataType],
    ) -> Result<()> {
        let Self { columns, rows, marks } = self;
        let row = *rows;
        *rows += 1;
        if let Some(marks) = marks {
            marks.begin(at.line);
        }
        if let Some(marks) = marks.as_mut().filter(|_| records.fields.len() != names.len()) {
            columns.iter_mut().for_each(Builder::push_missing);
            let (text, problem) = (quote(&records.beginning()), records.ragged(names.len()));
            let place = Unreadable { row, line: at.line, column: None, expected: None, text, problem };
            marks.add(|| place, row, None);
            return Ok(());
        }
        for (((position, given), builder), ty) in kept.0.iter().zip(columns).zip(types) {
            let zeros = if given.is_some() { Zeros::Allow } else { Zeros::Refuse };
            let text = records.value(*position);
            if builder.push(text.as_deref(), zeros)? {
                continue;
            }
            let shown = quote(text.as_deref().unwrap_or_default());
            let name = names.get(*position).map(String::as_str);
            let Some(marks) = marks else {
                return Err(at.fail(name, &format!("\"{shown}\" is not {}", described(*ty))));
            };
            builder.push_missing();
            let place = || Unreadable {
                row,
                line: at.line,
                column: name.map(str::to_owned),
                expected: Some(*ty),
                text: shown,
                problem: format!("is not {}", described(*ty)),
            };
            marks.add(place, row, name);
        }
        Ok(())
    }

    /// The table, and where something of it could not be read.
    pub(super) fn finish(self, names: &[String], kept: &Kept) -> Result<(Table<'static>, Marks)> {
        let name = |position: usize| names.get(position).map_or("", String::as_str);
        let columns = kept.0.iter().zip(self.columns).map(|((position, _), b)| b.finish(name(*position)));
        Ok((Table::new(columns.collect::<Result<Vec<_>>>()?)?, self.marks.unwrap_or_default()))
    }
}

/// Collects the values of one column.
#[derive(Debug)]
pub(in crate::data) struct Builder {
    values: Building,
    valid: Vec<bool>,
}

#[derive(Debug)]
enum Building {
    F64(Vec<f64>),
    F32(Vec<f32>),
    I64(Vec<i64>),
    Bool(Vec<bool>),
    Time(Vec<i64>),
    Text { codes: Vec<u32>, levels: Vec<String>, seen: HashMap<String, u32> },
}

impl Builder {
    pub(in crate::data) fn new(data_type: DataType, rows: usize) -> Self {
        let values = match data_type {
            DataType::F64 => Building::F64(Vec::with_capacity(rows)),
            DataType::F32 => Building::F32(Vec::with_capacity(rows)),
            DataType::I64 => Building::I64(Vec::with_capacity(rows)),
            DataType::Bool => Building::Bool(Vec::with_capacity(rows)),
            DataType::Time => Building::Time(Vec::with_capacity(rows)),
            DataType::Category => {
                Building::Text { codes: Vec::with_capacity(rows), levels: Vec::new(), seen: HashMap::new() }
            }
        };
        Self { values, valid: Vec::with_capacity(rows) }
    }

    /// Adds a value that is missing.
    pub(in crate::data) fn push_missing(&mut self) {
        self.valid.push(false);
        match &mut self.values {
            Building::F64(values) => values.push(0.0),
            Building::F32(values) => values.push(0.0),
            Building::I64(values) | Building::Time(values) => values.push(0),
            Building::Bool(values) => values.push(false),
            Building::Text { codes, .. } => codes.push(0),
        }
    }

    /// Adds a value, and says whether it was of the type; if not, nothing was added.
    pub(in crate::data) fn push(&mut self, text: Option<&str>, zeros: Zeros) -> Result<bool> {
        let Some(text) = text else {
            self.push_missing();
            return Ok(true);
        };
        fn put<T>(values: &mut Vec<T>, value: Option<T>) -> bool {
            let good = value.is_some();
            values.extend(value);
            good
        }
        let good = match &mut self.values {
            Building::F64(values) => put(values, float(text, zeros)),
            Building::F32(values) => put(values, narrow(text, zeros)),
            Building::I64(values) => put(values, integer(text, zeros)),
            Building::Bool(values) => put(values, boolean(text)),
            Building::Time(values) => put(values, time(text)),
            Building::Text { codes, levels, seen } => {
                codes.push(code(text, levels, seen)?);
                true
            }
        };
        if good {
            self.valid.push(true);
        }
        Ok(good)
    }

    pub(in crate::data) fn finish(self, name: &str) -> Result<Column<'static>> {
        let validity = self.valid.contains(&false).then(|| Validity::from_bools(&self.valid));
        let values = match self.values {
            Building::F64(values) => Values::F64(values.into()),
            Building::F32(values) => Values::F32(values.into()),
            Building::I64(values) => Values::I64(values.into()),
            Building::Bool(values) => Values::Bool(values.into()),
            Building::Time(values) => Values::Time(values.into()),
            Building::Text { codes, levels, .. } => {
                Values::Category { codes: codes.into(), levels: levels.into() }
            }
        };
        Column::new(name.to_owned(), values, validity)
    }
}

/// A number of 32 bits; one that only 64 bits hold is none.
fn narrow(text: &str, zeros: Zeros) -> Option<f32> {
    let narrow = text.parse::<f32>().ok()?;
    float(text, zeros).filter(|wide| wide.is_finite() == narrow.is_finite()).map(|_| narrow)
}

fn code(text: &str, levels: &mut Vec<String>, seen: &mut HashMap<String, u32>) -> Result<u32> {
    if let Some(code) = seen.get(text) {
        return Ok(*code);
    }
    let code = u32::try_from(levels.len())
        .map_err(|_| Error::limit(OP, "the number of distinct texts", u32::MAX, levels.len()))?;
    seen.insert(text.to_owned(), code);
    levels.push(text.to_owned());
    Ok(code)
}
