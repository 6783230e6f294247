//! The types of columns.

use crate::data::DataType;
use crate::data::number::{Zeros, boolean, float, integer, is_whole, time};
use crate::error::{Error, Result};

use super::OP;
use super::header::Kept;
use super::options::CsvOptions;
use super::records::Records;

/// What the values of a column have all been so far.
#[derive(Clone, Copy, Debug)]
struct Guess {
    any: bool,
    boolean: bool,
    integer: bool,
    number: bool,
    /// Whether one of the numbers is not a whole one.
    fraction: bool,
    time: bool,
}

impl Guess {
    const NONE: Self =
        Self { any: false, boolean: true, integer: true, number: true, fraction: false, time: true };

    fn see(&mut self, text: &str) {
        self.any = true;
        self.boolean = self.boolean && boolean(text).is_some();
        self.integer = self.integer && integer(text, Zeros::Refuse).is_some();
        self.number = self.number && float(text, Zeros::Refuse).is_some();
        self.fraction = self.fraction || (self.number && !is_whole(text));
        self.time = self.time && time(text).is_some();
    }

    fn is_open(self) -> bool {
        self.boolean || self.number || self.time
    }

    fn data_type(self) -> DataType {
        match self {
            Self { any: false, .. } => DataType::Category,
            Self { boolean: true, .. } => DataType::Bool,
            Self { integer: true, .. } => DataType::I64,
            Self { number: true, fraction: true, .. } => DataType::F64,
            Self { time: true, .. } => DataType::Time,
            _ => DataType::Category,
        }
    }
}

/// What the values of the columns kept have all been so far.
#[derive(Debug)]
pub(super) struct Guesses(Vec<Guess>);

impl Guesses {
    pub(super) fn new(kept: &Kept) -> Self {
        Self(vec![Guess::NONE; kept.0.len()])
    }

    /// Looks at the values of the record read last.
    pub(super) fn see(&mut self, records: &Records<'_>, kept: &Kept) {
        for ((position, given), guess) in kept.0.iter().zip(&mut self.0) {
            if given.is_none()
                && guess.is_open()
                && let Some(text) = records.value(*position)
            {
                guess.see(&text);
            }
        }
    }

    /// The types, after so many rows.
    pub(super) fn types(self, rows: usize, kept: &Kept, options: &CsvOptions) -> Result<Vec<DataType>> {
        if rows == 0 {
            return Err(no_rows(options));
        }
        let ty = |((_, given), guess): (&(usize, Option<DataType>), Guess)| {
            given.unwrap_or_else(|| guess.data_type())
        };
        Ok(kept.0.iter().zip(self.0).map(ty).collect())
    }
}

/// A file in which nothing comes after the header.
pub(super) fn no_rows(options: &CsvOptions) -> Error {
    let message = if options.has_header { "has a header, but no rows" } else { "has no rows" };
    Error::invalid(OP, "content", message)
}
