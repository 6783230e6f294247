//! What could not be read of a file, set aside so that the rest can be used.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::data::{DataType, Table};
use crate::error::quote;

/// The most places of one batch that are described; all of them are counted and marked.
const MAX_DESCRIBED: usize = 65_536;

/// A value, or a whole row, that could not be read.
///
/// ```
/// use std::io::Write as _;
/// use mlops_core::data::{CsvOptions, DataType, TolerantCsvBatches};
///
/// let mut file = tempfile::NamedTempFile::new()?;
/// file.write_all(b"id,bmi\n1,32.1\n2,high\n3\n")?;
/// let options = CsvOptions::default().with_type("bmi", DataType::F64);
/// let batch = TolerantCsvBatches::open(file.path(), &options, 100)?.next().ok_or("empty")??;
/// let texts: Vec<String> = batch.unreadable().iter().map(|place| place.to_string()).collect();
/// assert_eq!(texts, [
///     "line 3, column `bmi`: \"high\" is not a number",
///     "line 4: \"3\" has 1 field, but there are 2 columns",
/// ]);
/// assert_eq!(batch.table().column("bmi")?.missing(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// Its row in the batch, counted from 0.
    pub row: usize,
    /// The line of the file on which its row begins, counted from 1.
    pub line: usize,
    /// The column; none where the row as a whole is not what it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The type that was asked for; none of a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<DataType>,
    /// What stands there, escaped and cut to 64 characters.
    pub text: String,
    /// What is wrong with it: "is not a number".
    pub problem: String,
}

impl Unreadable {
    /// The same in words, without the text where that must not be shown.
    pub(super) fn describe(&self, with_text: bool) -> String {
        let column = self.column.as_deref().map(|name| format!(", column `{}`", quote(name)));
        let text = if with_text { format!("\"{}\" ", self.text) } else { String::new() };
        format!("line {}{}: {text}{}", self.line, column.unwrap_or_default(), self.problem)
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe(true))
    }
}

/// Sets the bit of a row.
fn mark(bits: &mut Vec<u64>, row: usize) {
    let word = row / 64;
    if bits.len() <= word {
        bits.resize(word + 1, 0);
    }
    if let Some(bits) = bits.get_mut(word) {
        *bits |= 1 << (row % 64);
    }
}

/// Where a batch could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// Of each column that has any, the rows whose value could not be read: one bit each.
    cells: BTreeMap<String, Vec<u64>>,
    /// The rows that could not be read as a whole: one bit each.
    rows: Vec<u64>,
    described: Vec<Unreadable>,
    count: u64,
    /// On which line of the file each row begins.
    lines: Vec<usize>,
}

impl Marks {
    pub(super) fn add(&mut self, place: impl FnOnce() -> Unreadable, row: usize, column: Option<&str>) {
        match column {
            None => mark(&mut self.rows, row),
            Some(column) => match self.cells.get_mut(column) {
                Some(bits) => mark(bits, row),
                None => mark(self.cells.entry(column.to_owned()).or_default(), row),
            },
        }
        if self.described.len() < MAX_DESCRIBED {
            self.described.push(place());
        }
        self.count += 1;
    }

    /// Notes on which line of the file the next row begins.
    pub(super) fn begin(&mut self, line: usize) {
        self.lines.push(line);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The rows of a column whose value could not be read.
    pub(super) fn cells(&self, column: &str) -> &[u64] {
        self.cells.get(column).map_or(&[], Vec::as_slice)
    }

    /// The columns that have any.
    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        self.cells.keys().map(String::as_str)
    }

    /// The rows that could not be read as a whole.
    pub(super) fn rows(&self) -> &[u64] {
        &self.rows
    }

    pub(super) fn described(&self) -> &[Unreadable] {
        &self.described
    }
}

/// Rows of a file, and what of them could not be read.
///
/// A value that could not be read is missing in the table; of a row that could not be read as a whole, every value is.
/// [`Validator::push_read`](crate::data::Validator::push_read) tells them from values that are merely missing.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadBatch {
    table: Table<'static>,
    marks: Marks,
}

impl From<Table<'static>> for ReadBatch {
    /// A batch of which everything could be read.
    fn from(table: Table<'static>) -> Self {
        Self { table, marks: Marks::default() }
    }
}

impl ReadBatch {
    pub(super) fn new(table: Table<'static>, marks: Marks) -> Self {
        Self { table, marks }
    }

    /// The rows.
    pub fn table(&self) -> &Table<'static> {
        &self.table
    }

    /// The rows, and nothing else.
    pub fn into_table(self) -> Table<'static> {
        self.table
    }

    /// What could not be read, in the order of the file; the first 65 536 of it.
    pub fn unreadable(&self) -> &[Unreadable] {
        self.marks.described()
    }

    /// How many values and rows could not be read.
    pub fn unreadable_count(&self) -> u64 {
        self.marks.count
    }

    /// The rows, counted from 0 and ascending, of which something could not be read; all of them, however many.
    ///
    /// ```
    /// use std::io::Write as _;
    /// use mlops_core::data::{CsvOptions, DataType, TolerantCsvBatches};
    ///
    /// let mut file = tempfile::NamedTempFile::new()?;
    /// file.write_all(b"id,bmi\n1,32.1\n\n2,high\n3\n")?;
    /// let options = CsvOptions::default().with_type("bmi", DataType::F64);
    /// let batch = TolerantCsvBatches::open(file.path(), &options, 100)?.next().ok_or("empty")??;
    /// assert_eq!(batch.unreadable_rows(), [1, 2]);
    /// assert_eq!((batch.line(0), batch.line(1), batch.line(9)), (Some(2), Some(4), None));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unreadable_rows(&self) -> Vec<usize> {
        let words = |bits: &Vec<u64>| bits.len();
        let all = || self.marks.cells.values().chain([&self.marks.rows]);
        let word = |at: usize| all().fold(0, |word, bits| word | bits.get(at).copied().unwrap_or_default());
        let rows = |at: usize| {
            let word = word(at);
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| at * 64 + bit)
        };
        (0..all().map(words).max().unwrap_or_default()).flat_map(rows).collect()
    }

    /// The line of the file on which a row begins, counted from 1; none where the file has no lines.
    pub fn line(&self, row: usize) -> Option<usize> {
        self.marks.lines.get(row).copied()
    }

    pub(super) fn marks(&self) -> &Marks {
        &self.marks
    }
}
