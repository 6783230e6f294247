//! Reading CSV with errors that name file, column, row and line.
//!
//! # Design
//! One scanner decides where fields begin and end, both for checking and for reading, so that there are no two opinions on
//! a row. The whole file is looked at before a type is chosen: a column is what *all* its values are, never what the first
//! hundred are. Text goes straight into its dictionary. The file is read twice from memory: once to check and infer, once to
//! build; nothing is kept for each field in between.
//!
//! # Format
//! RFC 4180, and what is around it: lines end in LF, CRLF or CR; a field may be in double quotes, doubled inside; a quote
//! inside an unquoted field is a character. A byte-order mark is skipped. Empty lines are skipped, but in a file of one column
//! they are missing values. Everything else that is off is an error: a row with too few or too many fields, text after a
//! closing quote, a quote that is never closed, a NUL byte, what is not UTF-8.
//!
//! # Types
//! An empty field is missing, quoted or not, and so is what `null_values` lists. Of the others, a column is the first of these
//! that all its values are:
//!
//! | type | values |
//! |---|---|
//! | bool | `true`, `True`, `TRUE`, `false`, `False`, `FALSE` |
//! | i64 | digits with an optional sign, without leading zeros, in 64 bits |
//! | f64 | decimal numbers; `nan`, `inf`, `infinity` in any case. Not whole numbers alone that leave 64 bits: those are names |
//! | time | ISO 8601 dates, or dates and times; UTC unless an offset is given |
//! | category | anything; and a column without any value |
//!
//! Larger files than memory are read in batches: [`CsvBatches`], and [`TolerantCsvBatches`] where what cannot be read must not
//! stop the rest.
//!
//! `007` is text: a number would lose its zeros. [`CsvOptions::types`] overrides all this.

mod batches;
mod build;
mod guess;
mod header;
mod options;
mod records;
#[cfg(test)]
mod tests;

use std::path::Path;

use crate::data::Table;
use crate::error::{Error, ErrorKind, Result};

pub use batches::{CsvBatches, TolerantCsvBatches};
pub use options::CsvOptions;

pub(in crate::data) use build::Builder;

use build::Builders;
use guess::Guesses;
use header::{Kept, header};
use records::Records;

const OP: &str = "read_csv";

/// Reads a CSV file.
///
/// Needs memory for the file, and for the table: 8 bytes a number, 4 bytes a text, one copy of each distinct text.
///
/// # Errors
/// All of them have the file's name in the context.
/// - [`ErrorKind::NotFound`]: no such file; a column of `select` or `types` that is not there.
/// - [`ErrorKind::InvalidInput`]: not a regular file; no bytes; a header but no rows; a header that names a column twice or not at
///   all; a row with more or fewer fields than there are columns; a value that is not of the type asked for; quotes that do
///   not match; NUL bytes; what is not UTF-8. Names row (the first below the header is 1), line and column.
/// - [`ErrorKind::LimitExceeded`]: more than 100 000 columns; a name of more than 1024 characters.
/// - [`ErrorKind::Storage`]: the file cannot be read.
///
/// ```no_run
/// use mlops_core::data::{CsvOptions, read_csv};
/// let table = read_csv("patients.csv", &CsvOptions::default().with_null_values(["NA"]))?;
/// println!("{} rows", table.rows());
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub fn read_csv(path: impl AsRef<Path>, options: &CsvOptions) -> Result<Table<'static>> {
    let path = path.as_ref();
    parse_csv(&read_file(OP, path)?, options).map_err(|e| e.with("file", file_name(path)))
}

/// Reads CSV from memory.
///
/// # Errors
/// As [`read_csv`], without those of files.
///
/// ```
/// use mlops_core::data::{CsvOptions, DataType, parse_csv};
///
/// let table = parse_csv(b"id,bmi,sex\n1,32.1,f\n2,,m\n", &CsvOptions::default())?;
/// let types: Vec<DataType> = table.columns().iter().map(|c| c.data_type()).collect();
/// assert_eq!(types, [DataType::I64, DataType::F64, DataType::Category]);
/// assert_eq!(table.column("bmi")?.missing(), 1);
///
/// let error = parse_csv(b"id,bmi\n1,32.1\n2\n", &CsvOptions::default()).unwrap_err();
/// assert_eq!(error.message(), "row 2 (line 3): has 1 field, but there are 2 columns");
/// let strict = CsvOptions::default().with_type("bmi", DataType::F64);
/// let error = parse_csv(b"id,bmi\n1,32.1\n2,abc\n", &strict).unwrap_err();
/// assert_eq!(error.message(), "column `bmi`, row 2 (line 3): \"abc\" is not a number");
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub fn parse_csv(bytes: &[u8], options: &CsvOptions) -> Result<Table<'static>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut records = Records::new(bytes, options)?;
    let empty = || Error::invalid(OP, "content", "is empty");
    let names = header(&mut records, options)?.ok_or_else(empty)?;
    let kept = Kept::new(&names, options)?;
    let start = records.mark();
    let mut guesses = Guesses::new(&kept);
    while records.row(&names)?.is_some() {
        guesses.see(&records, &kept);
    }
    let rows = records.row;
    let types = guesses.types(rows, &kept, options)?;
    records.rewind(start);
    let mut builders = Builders::new(&types, rows);
    while let Some(at) = records.row(&names)? {
        builders.push(&records, at, &names, &kept, &types)?;
    }
    builders.finish(&names, &kept).map(|(table, _)| table)
}

/// The bytes of a regular file.
pub(in crate::data) fn read_file(operation: &'static str, path: &Path) -> Result<Vec<u8>> {
    check_file(operation, path)?;
    std::fs::read(path).map_err(|e| unreadable(operation, path, e))
}

/// Refuses what is not a regular file: a pipe or a device could block for ever.
pub(in crate::data) fn check_file(operation: &'static str, path: &Path) -> Result<()> {
    let metadata = std::fs::metadata(path).map_err(|e| unreadable(operation, path, e))?;
    if metadata.is_file() {
        return Ok(());
    }
    let message = if metadata.is_dir() { "is a directory" } else { "is not a regular file" };
    Err(Error::invalid(operation, "path", message).with("file", file_name(path)))
}

/// What the file system said.
pub(in crate::data) fn unreadable(operation: &'static str, path: &Path, error: std::io::Error) -> Error {
    let (kind, message) = match error.kind() {
        std::io::ErrorKind::NotFound => (ErrorKind::NotFound, "no such file"),
        _ => (ErrorKind::Storage, "the file cannot be read"),
    };
    Error::new(kind, operation, message).with("file", file_name(path)).with_source(error)
}

/// A path for a message, which keeps the end of a long one: that is where the name is.
pub(in crate::data) fn file_name(path: &Path) -> String {
    const LIMIT: usize = 60;
    let text = path.display().to_string();
    match text.chars().count().checked_sub(LIMIT) {
        None | Some(0) => text,
        Some(surplus) => format!("…{}", text.chars().skip(surplus).collect::<String>()),
    }
}
