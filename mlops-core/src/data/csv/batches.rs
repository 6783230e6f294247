//! A CSV file in batches, for files that are larger than memory.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::data::unreadable::ReadBatch;
use crate::data::{DataType, Table};
use crate::error::{Error, Result};

use super::build::Builders;
use super::guess::{Guesses, no_rows};
use super::header::{Kept, header};
use super::options::CsvOptions;
use super::records::{At, Foul, Mark, Records, foul};
use super::{OP, check_file, file_name, unreadable};

/// How many bytes are read at a time.
const CHUNK: usize = 1 << 20;

/// The longest record, in bytes: more than this is held only to find its end.
const MAX_RECORD: usize = 16 << 20;

/// A batch ends early when it has taken so many bytes of the file.
const MAX_BATCH: usize = 64 << 20;

/// Reads a CSV file batch by batch.
///
/// The file is read as [`read_csv`](super::read_csv) reads it, with the same grammar, types and errors: where a type is not given, the whole
/// file is read once to find it, as a column is what *all* its values are. Then it is read again, batch by batch. With the types of
/// all columns given it is read once.
///
/// Memory: one mebibyte of the file, or its longest record (16 MiB at most), and one batch. A batch has as many rows as asked for, and
/// fewer where they take 64 MiB of the file. The levels of a column of text are those of its batch.
///
/// A file that changes while it is read gives rows of both states, or an error.
///
/// ```
/// use std::io::Write as _;
/// use mlops_core::data::{CsvBatches, CsvOptions, DataType};
///
/// let mut file = tempfile::NamedTempFile::new()?;
/// file.write_all(b"id,bmi\n1,32.1\n2,21.6\n3,\n")?;
/// let mut batches = CsvBatches::open(file.path(), &CsvOptions::default(), 2)?;
/// assert_eq!(batches.columns(), [("id", DataType::I64), ("bmi", DataType::F64)]);
/// let rows = batches.map(|batch| batch.map(|table| table.rows())).collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(rows, [2, 1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CsvBatches {
    feed: Feed,
    names: Vec<String>,
    kept: Kept,
    types: Vec<DataType>,
    rows: usize,
    /// Whether what cannot be read is set aside.
    tolerant: bool,
    done: bool,
}

impl CsvBatches {
    /// Opens a file, checks it and finds the types of its columns; `rows` is the most rows of a batch, at least 1.
    ///
    /// # Errors
    /// As [`read_csv`](super::read_csv), [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for no rows a batch, and
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for a record of more than 16 MiB.
    pub fn open(path: impl AsRef<Path>, options: &CsvOptions, rows: usize) -> Result<Self> {
        Self::start(path.as_ref(), options, rows, false)
    }

    fn start(path: &Path, options: &CsvOptions, rows: usize, tolerant: bool) -> Result<Self> {
        if rows == 0 {
            return Err(Error::invalid(OP, "rows", "must be at least 1").with("file", file_name(path)));
        }
        let mut feed = Feed::open(path, options)?;
        Self::prepare(&mut feed, rows, tolerant)
            .map(|(names, kept, types)| Self { feed, names, kept, types, rows, tolerant, done: false })
            .map_err(|e| if e.context("file").is_some() { e } else { e.with("file", file_name(path)) })
    }

    fn prepare(feed: &mut Feed, rows: usize, tolerant: bool) -> Result<(Vec<String>, Kept, Vec<DataType>)> {
        let names = feed.header()?;
        let kept = Kept::new(&names, &feed.options)?;
        if let Some(types) = kept.0.iter().map(|(_, given)| *given).collect::<Option<Vec<_>>>() {
            return Ok((names, kept, types));
        }
        let mut guesses = Guesses::new(&kept);
        let mut seen = 0;
        while feed.some_rows(&names, rows, tolerant, |records, _| {
            if records.fields.len() == names.len() {
                guesses.see(records, &kept);
            }
            Ok(())
        })? > 0
        {
            seen = feed.from.row;
        }
        let types = guesses.types(seen, &kept, &feed.options)?;
        feed.rewind()?;
        feed.header()?;
        Ok((names, kept, types))
    }

    /// The columns: name and type.
    pub fn columns(&self) -> Vec<(&str, DataType)> {
        let name = |position: usize| self.names.get(position).map_or("", String::as_str);
        self.kept.0.iter().zip(&self.types).map(|((position, _), ty)| (name(*position), *ty)).collect()
    }

    /// How many rows were read.
    pub fn rows_read(&self) -> usize {
        self.feed.from.row
    }

    fn read(&mut self) -> Result<Option<ReadBatch>> {
        let Self { feed, names, kept, types, tolerant, .. } = self;
        let room = self.rows.min(1 << 12);
        let mut builders =
            if *tolerant { Builders::tolerant(types, room) } else { Builders::new(types, room) };
        let read = feed.some_rows(names, self.rows, *tolerant, |records, at| {
            builders.push(records, at, names, kept, types)
        })?;
        match read {
            0 if feed.from.row == 0 => Err(no_rows(&feed.options)),
            0 => Ok(None),
            _ => builders.finish(names, kept).map(|(table, marks)| Some(ReadBatch::new(table, marks))),
        }
    }

    /// The next batch; after an error there is nothing more.
    fn advance(&mut self) -> Option<Result<ReadBatch>> {
        if self.done {
            return None;
        }
        let batch = self.read();
        self.done = !matches!(batch, Ok(Some(_)));
        let name = || file_name(&self.feed.path);
        batch.map_err(|e| if e.context("file").is_some() { e } else { e.with("file", name()) }).transpose()
    }
}

/// After an error there is nothing more.
impl Iterator for CsvBatches {
    type Item = Result<Table<'static>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().map(|batch| batch.map(ReadBatch::into_table))
    }
}

/// Reads a CSV file batch by batch as [`CsvBatches`] does, but sets aside what cannot be read: a value that is not of its
/// column's [given type](CsvOptions::types), and a row with more or fewer fields than there are columns. They are missing in the
/// table, and [described](ReadBatch::unreadable) beside it; [`Validator::push_read`](crate::data::Validator::push_read) makes them
/// bad rows.
///
/// Only a column whose type is given has values that are not of it: a type that is inferred is what all values are. With
/// [`CsvOptions::with_schema`] the types are those of a schema.
///
/// What still is an error is what leaves no rows to speak of, or no way to tell where the next one begins: a header that is not good,
/// quotes that do not match, NUL bytes, what is not UTF-8, a record of more than 16 MiB.
///
/// Memory: that of [`CsvBatches`], and up to 65 536 descriptions of what could not be read in a batch.
///
/// ```
/// use std::io::Write as _;
/// use mlops_core::data::{
///     CsvOptions, DataType, Expectations, Field, Schema, TolerantCsvBatches, ValidateOptions, Validator,
/// };
///
/// let mut file = tempfile::NamedTempFile::new()?;
/// file.write_all(b"id,bmi\n1,32.1\n2,high\n3,21.6\n")?;
/// let schema = Schema::new(vec![
///     Field::new("id", DataType::I64),
///     Field::new("bmi", DataType::F64).with_nullable(true),
/// ])?;
/// let mut validator = Validator::new(&Expectations::from_schema(&schema), ValidateOptions::default());
/// let options = CsvOptions::default().with_schema(&schema);
/// for batch in TolerantCsvBatches::open(file.path(), &options, 100)? {
///     let batch = batch?;
///     let split = validator.push_read(&batch)?;
///     assert_eq!((split.good(), split.bad()), (&[0, 2][..], &[1][..]));
///     let set_aside = split.bad_table(batch.table(), "why")?;
///     let why = "readable (line 3, column `bmi`: \"high\" is not a number)";
///     assert_eq!(set_aside.column("why")?.label(0).as_deref(), Some(why));
/// }
/// assert!(!validator.report().passed() && validator.report().good_rows_usable());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TolerantCsvBatches(CsvBatches);

impl TolerantCsvBatches {
    /// As [`CsvBatches::open`].
    ///
    /// # Errors
    /// As [`CsvBatches::open`], but for what is set aside.
    pub fn open(path: impl AsRef<Path>, options: &CsvOptions, rows: usize) -> Result<Self> {
        CsvBatches::start(path.as_ref(), options, rows, true).map(Self)
    }

    /// The columns: name and type.
    pub fn columns(&self) -> Vec<(&str, DataType)> {
        self.0.columns()
    }

    /// How many rows were read, those that were set aside among them.
    pub fn rows_read(&self) -> usize {
        self.0.rows_read()
    }
}

/// After an error there is nothing more.
impl Iterator for TolerantCsvBatches {
    type Item = Result<ReadBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.advance()
    }
}

/// A file, of which some bytes are here.
#[derive(Debug)]
struct Feed {
    path: PathBuf,
    file: File,
    options: CsvOptions,
    bytes: Vec<u8>,
    /// Where the next record begins, in `bytes`.
    from: Mark,
    foul: Option<Foul>,
    end: bool,
}

const START: Mark = Mark { position: 0, line: 1, row: 0 };

impl Feed {
    fn open(path: &Path, options: &CsvOptions) -> Result<Self> {
        options.separator_byte()?;
        check_file(OP, path)?;
        let file = File::open(path).map_err(|e| unreadable(OP, path, e))?;
        let (path, options) = (path.to_owned(), options.clone());
        Ok(Self { path, file, options, bytes: Vec::new(), from: START, foul: None, end: false })
    }

    fn rewind(&mut self) -> Result<()> {
        self.file.seek(SeekFrom::Start(0)).map_err(|e| unreadable(OP, &self.path, e))?;
        self.bytes.clear();
        (self.from, self.foul, self.end) = (START, None, false);
        Ok(())
    }

    /// Drops what was read and reads on.
    fn refill(&mut self) -> Result<()> {
        let first = self.bytes.is_empty() && self.from.row == 0;
        self.bytes.drain(..self.from.position.min(self.bytes.len()));
        self.from.position = 0;
        if self.bytes.len() > MAX_RECORD {
            let got = format!("{} bytes or more", self.bytes.len());
            return Err(
                Error::limit(OP, "the length of a record", MAX_RECORD, got).with("line", self.from.line)
            );
        }
        // A long record doubles what is here, so that its bytes are looked at twice at most, not once for each chunk.
        let more = CHUNK.max(self.bytes.len()) as u64;
        let read = (&mut self.file)
            .take(more)
            .read_to_end(&mut self.bytes)
            .map_err(|e| unreadable(OP, &self.path, e))?;
        self.end = read == 0;
        if first && self.bytes.starts_with(b"\xef\xbb\xbf") {
            self.from.position = 3;
        }
        self.foul = foul(&self.bytes, !self.end);
        Ok(())
    }

    /// The names of the columns; stands before the first row then.
    fn header(&mut self) -> Result<Vec<String>> {
        loop {
            self.refill()?;
            let mut records = Records::part(&self.bytes, &self.options, self.from, self.foul, !self.end)?;
            match header(&mut records, &self.options)? {
                Some(names) => {
                    self.from = records.mark();
                    return Ok(names);
                }
                None if self.end => return Err(Error::invalid(OP, "content", "is empty")),
                None => {}
            }
        }
    }

    /// Reads up to `most` rows; how many there were. Fewer only at the end, or when they take much of the file.
    fn some_rows(
        &mut self,
        names: &[String],
        most: usize,
        tolerant: bool,
        mut each: impl FnMut(&Records<'_>, At) -> Result<()>,
    ) -> Result<usize> {
        let (before, mut taken) = (self.from.row, 0);
        loop {
            let mut records = Records::part(&self.bytes, &self.options, self.from, self.foul, !self.end)?;
            while records.row - before < most
                && let Some(at) = if tolerant { records.any_row(names)? } else { records.row(names)? }
            {
                each(&records, at)?;
            }
            let reached = records.mark();
            taken += reached.position - self.from.position;
            self.from = reached;
            let rows = self.from.row - before;
            if rows == most || self.end || (rows > 0 && taken >= MAX_BATCH) {
                return Ok(rows);
            }
            self.refill()?;
        }
    }
}
