//! Columns from records.

use std::collections::HashMap;

use crate::data::number::{Zeros, boolean, described, float, integer, time};
use crate::data::{Column, DataType, Table, Validity, Values};
use crate::error::{Error, Result, quote};

use super::OP;
use super::header::Kept;
use super::records::{At, Records};

/// Collects the rows of a table.
#[derive(Debug)]
pub(super) struct Builders(Vec<Builder>);

impl Builders {
    /// Room for so many rows of columns of these types.
    pub(super) fn new(types: &[DataType], rows: usize) -> Self {
        Self(types.iter().map(|ty| Builder::new(*ty, rows)).collect())
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
        for (((position, given), builder), ty) in kept.0.iter().zip(&mut self.0).zip(types) {
            let zeros = if given.is_some() { Zeros::Allow } else { Zeros::Refuse };
            let text = records.value(*position);
            if !builder.push(text.as_deref(), zeros)? {
                let shown = quote(text.as_deref().unwrap_or_default());
                let message = format!("\"{shown}\" is not {}", described(*ty));
                return Err(at.fail(names.get(*position).map(String::as_str), &message));
            }
        }
        Ok(())
    }

    /// The table.
    pub(super) fn finish(self, names: &[String], kept: &Kept) -> Result<Table<'static>> {
        let name = |position: usize| names.get(position).map_or("", String::as_str);
        let columns = kept.0.iter().zip(self.0).map(|((position, _), b)| b.finish(name(*position)));
        Table::new(columns.collect::<Result<Vec<_>>>()?)
    }
}

/// Collects the values of one column.
#[derive(Debug)]
pub(super) struct Builder {
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
    pub(super) fn new(data_type: DataType, rows: usize) -> Self {
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

    /// Adds a value, and says whether it was of the type.
    fn push(&mut self, text: Option<&str>, zeros: Zeros) -> Result<bool> {
        self.valid.push(text.is_some());
        fn put<T: Default>(
            values: &mut Vec<T>,
            text: Option<&str>,
            parse: impl Fn(&str) -> Option<T>,
        ) -> bool {
            let value = text.map_or_else(|| Some(T::default()), parse);
            let good = value.is_some();
            values.extend(value);
            good
        }
        Ok(match &mut self.values {
            Building::F64(values) => put(values, text, |text| float(text, zeros)),
            Building::F32(values) => put(values, text, |text| {
                let narrow = text.parse::<f32>().ok()?;
                float(text, zeros).filter(|wide| wide.is_finite() == narrow.is_finite()).map(|_| narrow)
            }),
            Building::I64(values) => put(values, text, |text| integer(text, zeros)),
            Building::Bool(values) => put(values, text, boolean),
            Building::Time(values) => put(values, text, time),
            Building::Text { codes, levels, seen } => {
                codes.push(text.map_or(Ok(0), |text| code(text, levels, seen))?);
                true
            }
        })
    }

    fn finish(self, name: &str) -> Result<Column<'static>> {
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
