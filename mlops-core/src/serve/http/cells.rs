//! Values as they come in, one after the other, into the columns that a model wants.

use std::collections::HashMap;

use crate::data::{Column, DataType, Table, Validity, Values};
use crate::error::{Result, quote};
use crate::model::{Feature, Signature};
use crate::time::Timestamp;

/// One value of a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cell<'a> {
    Missing,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
}

impl Cell<'_> {
    fn describe(self) -> String {
        match self {
            Self::Missing => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Text(value) => format!("the text {}", quote(value)),
        }
    }
}

/// What is wrong with one value, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) row: Option<usize>,
    pub(super) column: Option<String>,
}

impl Fault {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), row: None, column: None }
    }

    pub(super) fn in_row(mut self, row: usize) -> Self {
        self.row = Some(row);
        self
    }

    pub(super) fn in_column(mut self, column: &str) -> Self {
        self.column = Some(column.to_owned());
        self
    }
}

/// A column that grows. Its type is the model's: a value of another one is refused, never bent.
#[derive(Debug)]
pub(super) struct Growing<'s> {
    feature: &'s Feature,
    values: Cells,
    /// Made with the first value that is missing.
    valid: Option<Vec<bool>>,
}

#[derive(Debug)]
enum Cells {
    F64(Vec<f64>),
    F32(Vec<f32>),
    I64(Vec<i64>),
    Bool(Vec<bool>),
    Text { codes: Vec<u32>, levels: Vec<String>, known: HashMap<String, u32> },
    Time(Vec<i64>),
}

impl Cells {
    fn len(&self) -> usize {
        match self {
            Self::F64(values) => values.len(),
            Self::F32(values) => values.len(),
            Self::I64(values) | Self::Time(values) => values.len(),
            Self::Bool(values) => values.len(),
            Self::Text { codes, .. } => codes.len(),
        }
    }

    fn push_missing(&mut self) {
        match self {
            Self::F64(values) => values.push(f64::NAN),
            Self::F32(values) => values.push(f32::NAN),
            Self::I64(values) | Self::Time(values) => values.push(0),
            Self::Bool(values) => values.push(false),
            Self::Text { codes, .. } => codes.push(0),
        }
    }
}

/// The largest integer up to which every integer is a double.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl<'s> Growing<'s> {
    pub(super) fn new(feature: &'s Feature) -> Self {
        let values = match feature.data_type {
            DataType::F64 => Cells::F64(Vec::new()),
            DataType::F32 => Cells::F32(Vec::new()),
            DataType::I64 => Cells::I64(Vec::new()),
            DataType::Bool => Cells::Bool(Vec::new()),
            DataType::Category => {
                Cells::Text { codes: Vec::new(), levels: Vec::new(), known: HashMap::new() }
            }
            DataType::Time => Cells::Time(Vec::new()),
        };
        Self { feature, values, valid: None }
    }

    pub(super) fn name(&self) -> &str {
        &self.feature.name
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    fn fault(&self, message: String) -> Fault {
        Fault::new(message).in_row(self.len()).in_column(&self.feature.name)
    }

    /// Takes the value of the next row.
    pub(super) fn push(&mut self, cell: Cell<'_>) -> Result<(), Fault> {
        if let Cell::Missing = cell {
            return self.push_missing();
        }
        let taken = match (&mut self.values, cell) {
            (Cells::F64(values), Cell::Float(value)) => finite(value).map(|value| values.push(value)),
            (Cells::F64(values), Cell::Int(value)) => {
                values.push(value as f64);
                Some(())
            }
            (Cells::F32(values), Cell::Float(value)) => narrow(value).map(|value| values.push(value)),
            (Cells::F32(values), Cell::Int(value)) => narrow(value as f64).map(|value| values.push(value)),
            (Cells::I64(values), Cell::Int(value)) => {
                values.push(value);
                Some(())
            }
            (Cells::I64(values), Cell::Float(value)) => whole(value).map(|value| values.push(value)),
            (Cells::Bool(values), Cell::Bool(value)) => {
                values.push(value);
                Some(())
            }
            (Cells::Bool(values), Cell::Int(value @ (0 | 1))) => {
                values.push(value == 1);
                Some(())
            }
            (Cells::Text { codes, levels, known }, Cell::Text(text)) => {
                code(text, levels, known).map(|code| codes.push(code))
            }
            (Cells::Time(values), Cell::Text(text)) => micros(text).map(|value| values.push(value)),
            _ => None,
        };
        if taken.is_none() {
            let (want, got) = (wanted(self.feature.data_type), cell.describe());
            return Err(self.fault(format!("expected {want}, got {got}")));
        }
        if let Some(valid) = &mut self.valid {
            valid.push(true);
        }
        Ok(())
    }

    fn push_missing(&mut self) -> Result<(), Fault> {
        if !self.feature.nullable {
            return Err(self.fault("has no value".to_owned()));
        }
        let rows = self.len();
        self.valid.get_or_insert_with(|| vec![true; rows]).push(false);
        self.values.push_missing();
        Ok(())
    }

    fn finish(self) -> Result<Column<'static>> {
        let values = match self.values {
            Cells::F64(values) => Values::F64(values.into()),
            Cells::F32(values) => Values::F32(values.into()),
            Cells::I64(values) => Values::I64(values.into()),
            Cells::Bool(values) => Values::Bool(values.into()),
            Cells::Text { codes, levels, .. } => {
                Values::Category { codes: codes.into(), levels: levels.into() }
            }
            Cells::Time(values) => Values::Time(values.into()),
        };
        let validity = self.valid.map(|valid| Validity::from_bools(&valid));
        Column::new(self.feature.name.clone(), values, validity)
    }
}

fn wanted(data_type: DataType) -> &'static str {
    match data_type {
        DataType::F64 | DataType::F32 => "a number",
        DataType::I64 => "a whole number",
        DataType::Bool => "true or false",
        DataType::Category => "a text",
        DataType::Time => "a time as RFC 3339",
    }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

fn narrow(value: f64) -> Option<f32> {
    let narrow = value as f32;
    narrow.is_finite().then_some(narrow)
}

fn whole(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && value.abs() <= EXACT).then_some(value as i64)
}

fn micros(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(|at| at.timestamp_micros())
}

fn code(text: &str, levels: &mut Vec<String>, known: &mut HashMap<String, u32>) -> Option<u32> {
    if let Some(code) = known.get(text) {
        return Some(*code);
    }
    let code = u32::try_from(levels.len()).ok()?;
    levels.push(text.to_owned());
    known.insert(text.to_owned(), code);
    Some(code)
}

/// All columns of a model, growing.
#[derive(Debug)]
pub(super) struct Columns<'s> {
    pub(super) columns: Vec<Growing<'s>>,
    /// Rows so far. Counted apart, for models without inputs.
    pub(super) rows: usize,
}

impl<'s> Columns<'s> {
    pub(super) fn new(signature: &'s Signature) -> Self {
        Self { columns: signature.inputs.iter().map(Growing::new).collect(), rows: 0 }
    }

    /// The table; a model without inputs gets a column that numbers the rows, so that it knows how many there are.
    pub(super) fn finish(self) -> Result<Table<'static>, Fault> {
        let rows = self.rows;
        if let Some(short) = self.columns.iter().find(|column| column.len() != rows) {
            let message = format!("has {} values, other columns have {rows}", short.len());
            return Err(Fault::new(message).in_column(&short.feature.name));
        }
        let made = if self.columns.is_empty() {
            let numbers: Vec<i64> = (0..rows).map(|row| i64::try_from(row).unwrap_or(i64::MAX)).collect();
            Column::i64("row", numbers).map(|column| vec![column])
        } else {
            self.columns.into_iter().map(Growing::finish).collect()
        };
        made.and_then(Table::new).map_err(|error| Fault::new(error.message()))
    }
}
